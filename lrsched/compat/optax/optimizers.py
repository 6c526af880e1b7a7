"""The optimizers of Optax 0.2.8 as update rules.

The learning rate is no argument, for a rule takes it at each update: `rules.apply(rule, ..., lr=..., step=...)`. All
arguments are given by name. Moments are at least float32, so the dtypes of accumulators are None or float32. A value
holds no function and no tree: a mask is True or False for all parameters (None: all), and a decay is a number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from lrsched import rules
from lrsched._core.check import OrNone, Real, short
from lrsched.compat._tools import Fraction, OnOff, Positive, Rate, checked, must
from lrsched.rules._library.adaptive import Decay

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "lamb",
    "lars",
    "lion",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "signum",
]

DecayOrNone = Annotated[float | None, OrNone(Real(low=0, high=1, open_high=True))]


@dataclass(frozen=True)
class _Everywhere:
    """True or False for all parameters."""

    # What None stands for, if it may be given.
    default: bool | None = None

    def __call__(self, where: str, value: Any) -> bool:
        if value is None and self.default is not None:
            return self.default
        if not isinstance(value, bool):
            kind = "True or False" if self.default is None else "True, False or None"
            hint = "a mask by dimensions is the argument min_ndim of DecoupledWeightDecay, L2 and Layerwise"
            raise TypeError(f"{where} must be {kind}, got {short(value)}; {hint}")
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (1, "all", {"w": True}, [True], lambda params: True)
        if self.default is None:
            yield None


Mask = Annotated[bool, _Everywhere()]


@dataclass(frozen=True)
class _Float32:
    """None, or float32 in any spelling: what the moments of float32 parameters are in any case."""

    def __call__(self, where: str, value: Any) -> None:
        try:
            plain = value is None or np.dtype(value) == np.float32
        except (TypeError, ValueError):  # no dtype that NumPy knows
            plain = False
        must(plain, where, "None (or float32, which moments have at least: others would change their values)", value)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("float16", "bfloat16", np.float64, "no dtype", 0, True, [1])


MomentDtype = Annotated[Any, _Float32()]
MaskOrNone = Annotated[bool | None, _Everywhere(default=True)]


def either_adam(b1: float, b2: float, eps: float, eps_root: float, nesterov: bool) -> rules.Rule:
    return rules.NAdam(b1, b2, eps, None, eps_root) if nesterov else rules.Adam(b1, b2, eps, eps_root=eps_root)


def decayed(rule: rules.Rule, weight_decay: float, mask: bool | None) -> rules.Rule:
    return rule >> rules.DecoupledWeightDecay(weight_decay) if weight_decay and mask else rule


@checked
def sgd(*, momentum: DecayOrNone = None, nesterov: OnOff = False, accumulator_dtype: MomentDtype = None) -> rules.Rule:
    """Gradient descent, with momentum or without; the rate stands outside the velocity.

    The rate is given at each update.

    Args:
        momentum: share of the velocity that is kept, in [0, 1), or None.
        nesterov: look ahead; no effect without momentum.
        accumulator_dtype: None or float32, which moments have at least.

    Examples:
        >>> sgd(momentum=0.9)
        Momentum()
    """
    return rules.Momentum(momentum, nesterov=nesterov) if momentum else rules.SGD()


@checked
def adam(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    mu_dtype: MomentDtype = None,
    nesterov: OnOff = False,
) -> rules.Rule:
    """Adam; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        mu_dtype: None or float32, which moments have at least.
        nesterov: look ahead, as `nadam` does.

    Examples:
        >>> adam(eps_root=1e-8)
        Adam(eps_root=1e-08)
    """
    return either_adam(b1, b2, eps, eps_root, nesterov)


@checked
def adamw(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    mu_dtype: MomentDtype = None,
    weight_decay: Rate = 1e-4,
    mask: MaskOrNone = None,
    nesterov: OnOff = False,
) -> rules.Rule:
    """Adam with decoupled weight decay; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        mu_dtype: None or float32, which moments have at least.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        mask: whether the parameters decay; None for True.
        nesterov: look ahead, as `nadam` does.

    Examples:
        >>> adamw()
        Adam() >> DecoupledWeightDecay(0.0001)
    """
    return decayed(either_adam(b1, b2, eps, eps_root, nesterov), weight_decay, mask)


@checked
def amsgrad(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    mu_dtype: MomentDtype = None,
    bias_correction_mu: OnOff = True,
    bias_correction_nu: OnOff = True,
) -> rules.Rule:
    """Adam that divides by the root of the largest corrected average so far.

    The rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        mu_dtype: None or float32, which moments have at least.
        bias_correction_mu: correct the average of the gradients.
        bias_correction_nu: correct the average of their squares.

    Examples:
        >>> amsgrad()
        Adam(amsgrad='corrected')
    """
    return rules.Adam(
        b1,
        b2,
        eps,
        amsgrad="corrected",
        correct_m=bias_correction_mu,
        correct_v=bias_correction_nu,
        eps_root=eps_root,
    )


@checked
def rmsprop(
    *,
    decay: Decay = 0.9,
    eps: Positive = 1e-8,
    initial_scale: Rate = 0.0,
    eps_in_sqrt: OnOff = True,
    centered: OnOff = False,
    momentum: DecayOrNone = None,
    nesterov: OnOff = False,
    bias_correction: OnOff = False,
) -> rules.Rule:
    """RMSprop with eps inside the root and the rate inside the velocity.

    The rate is given at each update.

    Args:
        decay: decay of the average of the squared gradients, in [0, 1).
        eps: > 0.
        initial_scale: that average before the first update, >= 0.
        eps_in_sqrt: add eps inside the root, or else to the root.
        centered: divide by the root of the variance instead.
        momentum: share of the velocity that is kept, in [0, 1), or None.
        nesterov: look ahead; no effect without momentum.
        bias_correction: correct the averages.

    Examples:
        >>> rmsprop(momentum=0.9)
        RMSprop(0.9, eps_at='inside', momentum=0.9, lr_in_buffer=True)
    """
    return rules.RMSprop(
        decay,
        eps,
        "inside" if eps_in_sqrt else "outside",
        momentum=momentum or 0.0,
        centered=centered,
        nesterov=nesterov and bool(momentum),
        initial=initial_scale,
        bias_correction=bias_correction,
        lr_in_buffer=bool(momentum),
    )


@checked
def adagrad(*, initial_accumulator_value: Rate = 0.1, eps: Positive = 1e-7) -> rules.Rule:
    """AdaGrad with eps inside the root; the rate is given at each update.

    Args:
        initial_accumulator_value: the sum of the squares before the first update, >= 0.
        eps: added inside the root, > 0.

    Examples:
        >>> adagrad()
        AdaGrad(1e-07, eps_at='inside', initial=0.1)
    """
    return rules.AdaGrad(eps, "inside", initial_accumulator_value)


@checked
def lion(
    *,
    b1: Fraction = 0.9,
    b2: Fraction = 0.99,
    mu_dtype: MomentDtype = None,
    weight_decay: Rate = 1e-3,
    mask: MaskOrNone = None,
) -> rules.Rule:
    """Lion with decoupled weight decay; the rate is given at each update.

    Args:
        b1: weight of the average in the direction, in [0, 1].
        b2: decay of the average, in [0, 1].
        mu_dtype: None or float32, which moments have at least.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        mask: whether the parameters decay; None for True.

    Examples:
        >>> lion()
        Lion() >> DecoupledWeightDecay(0.001)
    """
    return decayed(rules.Lion(b1, b2), weight_decay, mask)


@checked
def lars(
    *,
    weight_decay: Rate = 0.0,
    weight_decay_mask: MaskOrNone = True,
    trust_coefficient: Positive = 0.001,
    eps: Rate = 0.0,
    trust_ratio_mask: Mask = True,
    momentum: Decay = 0.9,
    nesterov: OnOff = False,
) -> rules.Rule:
    """LARS with the norm of gradient and decay together below the ratio.

    The rate stands inside the velocity, and is given at each update.

    Args:
        weight_decay: strength of an L2 penalty, >= 0.
        weight_decay_mask: whether the parameters decay; None for True.
        trust_coefficient: > 0.
        eps: added to the norm below the ratio, >= 0.
        trust_ratio_mask: whether the gradients are scaled.
        momentum: share of the velocity that is kept, in [0, 1).
        nesterov: look ahead.

    Examples:
        >>> lars(momentum=0.8)
        Layerwise(Momentum(0.8, lr_in_buffer=True), at='gradient', denominator='joint', min_ndim=0)
    """
    strength = weight_decay if weight_decay_mask else 0.0
    rule = rules.Momentum(momentum, nesterov=nesterov, lr_in_buffer=True)
    if trust_ratio_mask:
        return rules.Layerwise(rule, trust_coefficient, strength, "gradient", "joint", eps, min_ndim=0)
    return rules.L2(strength) >> rule if strength else rule


@checked
def lamb(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-6,
    eps_root: Rate = 0.0,
    weight_decay: Rate = 0.0,
    mask: MaskOrNone = None,
) -> rules.Rule:
    """LAMB that scales every tensor; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root in Adam, > 0.
        eps_root: added inside that root, >= 0.
        weight_decay: times the parameter, added to the direction of Adam, >= 0.
        mask: whether the parameters decay; None for True.

    Examples:
        >>> lamb()
        Layerwise(Adam(eps=1e-06), trust_coefficient=1.0, denominator='joint', min_ndim=0)
    """
    rule = rules.Adam(b1, b2, eps, eps_root=eps_root)
    return rules.Layerwise(rule, 1.0, weight_decay if mask else 0.0, denominator="joint", min_ndim=0)


@checked
def adadelta(
    *, rho: Decay = 0.9, eps: Positive = 1e-6, weight_decay: Rate = 0.0, weight_decay_mask: MaskOrNone = None
) -> rules.Rule:
    """AdaDelta; the rate is given at each update.

    Args:
        rho: decay of the averages, in [0, 1).
        eps: added inside the roots, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        weight_decay_mask: whether the parameters decay; None for True.

    Examples:
        >>> adadelta(weight_decay=0.1)
        L2(0.1) >> AdaDelta()
    """
    rule = rules.AdaDelta(rho, eps)
    return rules.L2(weight_decay) >> rule if weight_decay and weight_decay_mask else rule


@checked
def sign_sgd() -> rules.Rule:
    """The sign of the gradient; the rate is given at each update.

    Examples:
        >>> sign_sgd()
        SignSGD()
    """
    return rules.SignSGD()


@checked
def signum(*, beta: Fraction = 0.9, accumulator_dtype: MomentDtype = None) -> rules.Rule:
    """The sign of the average gradient; the rate is given at each update.

    Args:
        beta: decay of the average, in [0, 1].
        accumulator_dtype: None or float32, which moments have at least.

    Examples:
        >>> signum()
        Lion(b2=0.9)
    """
    return rules.Signum(beta)


@checked
def rprop(
    *,
    eta_minus: Positive = 0.5,
    eta_plus: Positive = 1.2,
    min_step_size: Positive = 1e-6,
    max_step_size: Positive = 50.0,
) -> rules.Rule:
    """Rprop, whose first step has the size of the learning rate of the first update; later rates have no effect.

    Optax 0.2.8 returns each update one step too late: the first is 0, and step t takes what step t - 1 has computed,
    unless the sign has changed. Here each step takes its own update. A learning rate outside the bounds of the size is
    brought to them at once.

    Args:
        eta_minus: factor of the size after a change of sign, in (0, 1).
        eta_plus: factor after none, > 1.
        min_step_size: the smallest size, > 0.
        max_step_size: the largest, >= `min_step_size`.

    Raises:
        ValueError: the numbers are not as they must be.

    Examples:
        >>> rprop(max_step_size=1.0)
        Rprop(largest=1.0)
    """
    must(eta_minus < 1.0, "rprop(eta_minus=...)", "< 1", eta_minus)
    must(eta_plus > 1.0, "rprop(eta_plus=...)", "> 1", eta_plus)
    must(max_step_size >= min_step_size, "rprop(max_step_size=...)", f">= {min_step_size!r}", max_step_size)
    return rules.Rprop(eta_minus, eta_plus, min_step_size, max_step_size)
