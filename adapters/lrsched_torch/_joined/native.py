"""Rules that PyTorch has as one native kernel.

Such a kernel takes lists of parameters, gradients and slots and updates all in one call, each where it lies, so large
tensors of `buckets.py` go in together. A rule is found here only if the kernel computes the same in every option.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lrsched import rules

# Updates done before: by all, or by each.
Counts = int | Sequence[int]
# (parameters, gradients, slots of each, learning rate, updates done before, maximize); if one has done none, none has.
Kernel = Callable[[list[Tensor], list[Tensor], Sequence[Sequence[Tensor]], Any, Counts, bool], None]

# The dtypes of parameters that they take as they are.
NATIVE = (torch.float32, torch.float64)


def links_of(rule: rules.Rule) -> tuple[rules.Link, ...]:
    """Return the links of a chain, or the rule alone."""
    return rule.links if isinstance(rule, rules.Pipeline) else (rule,)


@lru_cache(maxsize=256)
def kernel_of(rule: rules.Rule) -> Kernel | None:
    """Return the native kernel that computes exactly this rule, up to rounding, or None."""
    links = links_of(rule)
    decay, decoupled = 0.0, False
    if len(links) == 2 and isinstance(links[0], rules.L2) and links[0].min_ndim == 0:
        decay, links = links[0].strength, links[1:]
    elif (
        len(links) == 2
        and isinstance(links[1], rules.DecoupledWeightDecay)
        and links[1].min_ndim == 0
        and links[1].times_lr
        and isinstance(links[0], rules.Adam)
    ):
        decay, decoupled, links = links[1].strength, True, links[:1]
    if len(links) != 1:
        return None
    (only,) = links
    if isinstance(only, rules.Adam):
        return _adam(only, decay, decoupled)
    if isinstance(only, rules.SGD):
        return _sgd(decay, 0.0, 0.0, False)
    if isinstance(only, rules.Momentum):
        return _momentum(only, decay)
    if isinstance(only, rules.AdaGrad):
        return _adagrad(only, decay)
    return None


@lru_cache(maxsize=256)
def native_of(rule: rules.Rule) -> tuple[tuple[rules.Part, ...], Kernel | None]:
    """Return the leading parts of a rule that the native kernel of the rest does not know, and that if there is one."""
    links = links_of(rule)
    for k in range(len(links)):
        rest: Any = rules.Link.sequence(links[k:]) if len(links) - k > 1 else links[k]
        if isinstance(rest, rules.Rule) and (kernel := kernel_of(rest)) is not None:
            return links[:k], kernel  # type: ignore[return-value]  # what stands before the rule is parts
    return (), None


def transformed(
    parts: Sequence[rules.Part], context: rules.Context, ps: list[Tensor], gs: list[Tensor]
) -> list[Tensor]:
    """Return what the leading parts make of gradients."""
    for part in parts:
        gs = part.transform(context, ps, gs)
    return gs


def _adam(rule: rules.Adam, decay: float, decoupled: bool) -> Kernel | None:
    usual = rule.eps_at == "outside" and rule.amsgrad != "corrected" and rule.correct_m and rule.correct_v
    if not usual or rule.eps_root:
        return None
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    largest = rule.amsgrad == "raw"

    def update(ps: Any, gs: Any, slots: Any, lr: Any, step: Counts, maximize: bool) -> None:
        kernel(
            ps, gs, [s[0] for s in slots], [s[1] for s in slots], [s[2] for s in slots] if largest else [],
            _steps(ps, step), lr=lr, beta1=rule.b1, beta2=rule.b2, weight_decay=decay, eps=rule.eps, amsgrad=largest,
            maximize=maximize,
        )  # fmt: skip

    return update


def _adagrad(rule: rules.AdaGrad, decay: float) -> Kernel | None:
    if rule.eps_at != "outside":
        return None

    def update(ps: Any, gs: Any, slots: Any, lr: Any, step: Counts, maximize: bool) -> None:
        torch._fused_adagrad_(
            ps, gs, [s[0] for s in slots], _steps(ps, step), lr=lr, lr_decay=0.0, weight_decay=decay, eps=rule.eps,
            maximize=maximize,
        )  # fmt: skip

    return update


def _momentum(rule: rules.Momentum, decay: float) -> Kernel | None:
    if rule.lr_in_buffer or rule.momentum == 0.0:
        return None
    return _sgd(decay, rule.momentum, rule.dampening, rule.nesterov, clones=rule.first_step == "clone")


def _sgd(decay: float, momentum: float, dampening: float, nesterov: bool, clones: bool = False) -> Kernel:
    def update(ps: Any, gs: Any, slots: Any, lr: Any, step: Counts, maximize: bool) -> None:
        if not (momentum or decay or isinstance(lr, Tensor)):  # which starts threads for large tensors only
            torch._foreach_add_(ps, gs, alpha=lr if maximize else -lr)
            return
        torch._fused_sgd_(
            ps, gs, [s[0] for s in slots] if momentum else [], weight_decay=decay, momentum=momentum, lr=lr,
            dampening=dampening, nesterov=nesterov, maximize=maximize,
            is_first_step=clones and step in (0, [0] * len(ps)),
        )  # fmt: skip

    return update


def _steps(ps: Sequence[Tensor], step: Counts) -> list[Tensor]:
    """Return the number of this update, counted from 1, for each parameter."""
    counts = [step] * len(ps) if isinstance(step, int) else step
    made = {count: torch.full((), float(count + 1), device=ps[0].device) for count in set(counts)}
    return [made[count] for count in counts]
