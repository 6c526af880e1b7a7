"""Adafactor and Muon of PyTorch 2.13 as update rules; see `optimizers`."""

from collections.abc import Sequence
from typing import Annotated, Unpack

from lrsched import rules
from lrsched._core.check import Choice, Int, Many, OrNone, Real
from lrsched.compat._tools import OnOff, Positive, Rate, checked, must
from lrsched.compat.torch.optimizers import Switches, decayed
from lrsched.rules._library.adaptive import Decay

__all__ = ["Adafactor", "Muon"]

_Small = OrNone(Real(low=0))
# Of the dtype of the parameter in PyTorch; the moments here are float32 or float64.
_EPS = 2.0**-23


@checked
def Adafactor(
    *,
    beta2_decay: Annotated[float, Real(high=0, open_high=True)] = -0.8,
    eps: Annotated[Sequence[float | None], Many(_Small)] = (None, 1e-3),
    d: Annotated[float, Real(low=1)] = 1.0,
    weight_decay: Rate = 0.0,
    **switches: Unpack[Switches],
) -> rules.Rule:
    """Adam without momentum, with a factored second moment; the rate is given at each update.

    The rate is at most `1 / sqrt(t)` at update t = 1, 2, ..., and multiplied by the size of the tensor.

    Args:
        beta2_decay: minus the exponent of the decay, < 0.
        eps: floor of the second moment's root, or None for that of float32 (PyTorch takes that of the parameter), and
            the smallest size of a tensor, > 0.
        d: the largest root mean square of an update before it is scaled, >= 1.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        foreach: no effect.
        maximize: must be False.

    Examples:
        >>> Adafactor(eps=(1e-10, 1e-3))
        Adafactor(eps=1e-10, eps_at='floor', relative_step=True)
    """
    must(len(eps) == 2, "Adafactor(eps=...)", "two numbers", eps)
    first, size = eps
    must(size is not None and size > 0.0, "Adafactor(eps=...)[1]", "> 0", size)
    floor = _EPS if first is None else first
    rule = rules.Adafactor(-beta2_decay, floor, "floor", d, scale_floor=size or 1.0, relative_step=True)
    return decayed(rule, weight_decay)


@checked
def Muon(
    *,
    weight_decay: Rate = 0.1,
    momentum: Decay = 0.95,
    nesterov: OnOff = True,
    ns_coefficients: Annotated[Sequence[float], Many(Real(), least=3)] = (3.4445, -4.775, 2.0315),
    eps: Positive = 1e-7,
    ns_steps: Annotated[int, Int(low=0, high=99)] = 5,
    adjust_lr_fn: Annotated[str | None, OrNone(Choice(("original", "match_rms_adamw")))] = None,
) -> rules.Rule:
    """Momentum made orthogonal, for matrices; the rate is given at each update.

    PyTorch also adds matrices in bfloat16, the rule only multiplies them so; an update differs by some 5 %.

    Args:
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        momentum: decay of the average, in [0, 1).
        nesterov: look ahead.
        ns_coefficients: the three coefficients of the iteration.
        eps: the smallest norm, > 0.
        ns_steps: steps of the iteration, 0 to 99.
        adjust_lr_fn: "original" or None: times `sqrt(max(1, rows / columns))`; "match_rms_adamw": times
            `0.2 * sqrt(max(rows, columns))`.

    Examples:
        >>> Muon(weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        Muon(factor='larger', scale=0.2, precision='bfloat16')
    """
    factor, scale = ("larger", 0.2) if adjust_lr_fn == "match_rms_adamw" else ("rows", 1.0)
    rule = rules.Muon(
        momentum,
        nesterov=nesterov,
        coefficients=tuple(ns_coefficients),
        steps=ns_steps,
        factor=factor,
        scale=scale,
        eps=eps,
        precision="bfloat16",
    )
    return decayed(rule, weight_decay)
