"""The learning-rate policies of NeMo 3.0.0, `nemo.core.optim.lr_scheduler`.

The warm-up is `lr * (t + 1) / (warmup_steps + 1)`: never 0, and at its top at step `warmup_steps`. After step
`max_steps` every policy has `min_lr`.
"""

from typing import Unpack

from lrsched._curves import Constant, Cosine, Linear, Polynomial, PowerLaw, Schedule
from lrsched.compat._tools import Length, LengthOrNone, OnOff, Positive, Rate, checked, floored, late, must, then
from lrsched.compat.nemo.hold import (
    NoamHoldAnnealing,
    PolynomialHoldDecayAnnealing,
    Tailed,
    Warmed,
    WarmupHoldAnnealLinear,
    WarmupHoldAnnealOneMinusSquareRoot,
    WarmupHoldPolicy,
    _Phases,
    _policy,
    _steps,
)

__all__ = [
    "CosineAnnealing",
    "InverseSquareRootAnnealing",
    "NoamAnnealing",
    "NoamHoldAnnealing",
    "PolynomialDecayAnnealing",
    "PolynomialHoldDecayAnnealing",
    "SquareAnnealing",
    "SquareRootAnnealing",
    "T5InverseSquareRootAnnealing",
    "WarmupAnnealing",
    "WarmupHoldAnnealLinear",
    "WarmupHoldAnnealOneMinusSquareRoot",
    "WarmupHoldPolicy",
    "WarmupPolicy",
]


@checked
def WarmupPolicy(
    lr: Rate,
    *,
    max_steps: LengthOrNone = None,
    min_lr: Rate = 0.0,
    **given: Unpack[Warmed],
) -> Schedule:
    """A warm-up, then the rate itself.

    Args:
        lr: the optimizer's learning rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.
        max_steps: last step before `min_lr`, or None.
        min_lr: rate after it, >= 0.

    Examples:
        >>> s = WarmupPolicy(1.0, warmup_steps=3)
        >>> s(0), s(3), s(100)
        (0.25, 1.0, 1.0)

    References:
        NeMo 3.0.0, core/optim/lr_scheduler.py; so for all of this module.
    """
    steps = _steps("WarmupPolicy", "warmup", max_steps, given)
    return _policy(lr, steps, 0, Constant(lr), max_steps, min_lr)


def _risen(where: str, end: int, given: Warmed) -> _Phases:
    """Return the phases of a policy without a hold; a warm-up of all steps leaves none to the decay."""
    return _Phases(_steps(where, "warmup", end, given), 0, end)


@checked
def SquareAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 1e-5,
    **given: Unpack[Warmed],
) -> Schedule:
    """Warm-up, then `max(min_lr, lr * (1 - x) ** 2)`, x the part of the steps after the warm-up gone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: lowest rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> SquareAnnealing(1.0, max_steps=10)(5)
        0.25
    """
    phases = _risen("SquareAnnealing", max_steps, given)
    return phases.policy(
        lr, phases.warmup, lambda: floored(Polynomial(lr, 0.0, max_steps - phases.warmup, 2.0), min_lr), min_lr
    )


@checked
def SquareRootAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Warmed],
) -> Schedule:
    """Warm-up, then `max(min_lr, lr * sqrt(1 - t / max_steps))`: the decay counts from step 0, and jumps in.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: lowest rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> SquareRootAnnealing(1.0, max_steps=4)(3)
        0.5
    """
    warmup = _steps("SquareRootAnnealing", "warmup", max_steps, given)
    body = floored(Polynomial(lr, 0.0, max_steps, 0.5), min_lr)
    return _policy(lr, warmup, 0, body, max_steps, min_lr)


@checked
def CosineAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Tailed],
) -> Schedule:
    """Warm-up, half a cosine to `min_lr`, then that for the last `constant_steps`.

    With `constant_steps` the warm-up is another one, Megatron's: `lr * t / warmup_steps`. Where warm-up and constant
    steps leave none to the cosine, the rate drops to `min_lr` after the warm-up.

    Args:
        lr: the optimizer's learning rate, at least `min_lr` (more, with `constant_steps`).
        max_steps: all steps.
        min_lr: last rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.
        constant_steps: steps at the end.
        constant_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> s = CosineAnnealing(1.0, max_steps=10, warmup_steps=4)
        >>> s(0), s(4), round(s(7), 12)
        (0.2, 1.0, 0.5)
    """
    where = "CosineAnnealing"
    phases = _risen(where, max_steps, given)
    constant = _steps(where, "constant", max_steps, given)
    rest = max_steps - constant - phases.warmup
    if not constant:
        must(lr >= min_lr or not phases.decays, f"{where}(min_lr=...)", f"<= lr={lr!r}", min_lr)
        return phases.policy(lr, phases.warmup, lambda: Cosine(lr, min_lr, rest), min_lr)
    must(lr > min_lr, f"{where}(min_lr=...)", f"< lr={lr!r} if there are constant steps", min_lr)
    fails = rest == 0 and not phases.warmup
    must(not fails, f"{where}(constant_steps=...)", f"other than {constant}: NeMo divides by 0", constant)
    # The end of the warm-up belongs to it, and what is left of no steps is the last rate.
    low = Constant(min_lr)
    body: Schedule = Cosine(lr, min_lr, rest) if rest > 0 else Constant(lr, 1) >> low if phases.warmup else low
    return then(phases.warmup, Linear(0.0, lr, max(phases.warmup, 1)), body)


@checked
def NoamAnnealing(
    lr: Rate,
    *,
    d_model: Length,
    max_steps: LengthOrNone = None,
    min_lr: Rate = 0.0,
    **given: Unpack[Warmed],
) -> Schedule:
    """The transformer's schedule, `lr * d_model ** -0.5 * min(n ** -0.5, n * warmup_steps ** -1.5)`, n = max(t, 1).

    Args:
        lr: the optimizer's learning rate, at least `min_lr`.
        d_model: width of the model, >= 1.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.
        max_steps: only for `warmup_ratio`; nothing ends there.
        min_lr: lowest rate after the warm-up, >= 0.

    Examples:
        >>> s = NoamAnnealing(1.0, d_model=4, warmup_steps=4)
        >>> s(0), s(1), s(4), s(16)
        (0.0625, 0.0625, 0.25, 0.125)
    """
    must(lr >= min_lr, "NoamAnnealing(min_lr=...)", f"<= lr={lr!r}", min_lr)
    warmup = _steps("NoamAnnealing", "warmup", max_steps, given)
    unit = max(warmup, 1)
    peak = lr * (d_model * unit) ** -0.5
    fall: Schedule = PowerLaw(peak, 0.5, timescale=unit)
    if min_lr:
        above = floored(fall, min_lr)
        fall = Constant(peak, 1) >> late(above, 1) if warmup else above
    rise = then(warmup - 1, late(Linear(0.0, peak, unit), 1), fall)
    # Step 0 counts as step 1.
    return Constant(rise(0), 1) >> rise


@checked
def WarmupAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Warmed],
) -> Schedule:
    """Warm-up, then a line to `min_lr` at step `max_steps`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the line.
        min_lr: last rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> WarmupAnnealing(1.0, max_steps=10, warmup_steps=4)(7)
        0.5
    """
    phases = _risen("WarmupAnnealing", max_steps, given)
    return phases.policy(lr, phases.warmup, lambda: Linear(lr, min_lr, max_steps - phases.warmup), min_lr)


@checked
def InverseSquareRootAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Warmed],
) -> Schedule:
    """Warm-up, then `lr * sqrt((warmup_steps + 1) / (t + 1))`, and a jump to `min_lr` after step `max_steps`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: rate after it, >= 0; no floor before.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> InverseSquareRootAnnealing(1.0, max_steps=100, warmup_steps=3)(15)
        0.5
    """
    warmup = _steps("InverseSquareRootAnnealing", "warmup", max_steps, given)
    return _policy(lr, warmup, warmup, PowerLaw(lr, 0.5, timescale=warmup + 1), max_steps, min_lr)


@checked
def T5InverseSquareRootAnnealing(*, max_steps: Length, constant_steps: Length, min_lr: Rate = 0.0) -> Schedule:
    """`1 / sqrt(max(t, constant_steps))`, whatever the optimizer's learning rate, and `min_lr` after `max_steps`.

    Args:
        max_steps: last step of the decay.
        constant_steps: last step of the constant phase, >= 1. (NeMo's `constant_ratio` fails in its constructor.)
        min_lr: rate after `max_steps`, >= 0.

    Examples:
        >>> s = T5InverseSquareRootAnnealing(max_steps=100, constant_steps=4)
        >>> s(0), s(4), s(16)
        (0.5, 0.5, 0.25)
    """
    top = constant_steps**-0.5
    fall = then(max_steps + 1 - constant_steps, PowerLaw(top, 0.5, timescale=constant_steps), Constant(min_lr))
    if constant_steps >= max_steps:
        fall = Constant(top, 1) >> Constant(min_lr)
    return Constant(top, constant_steps) >> fall


@checked
def PolynomialDecayAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    power: Positive = 1.0,
    cycle: OnOff = False,
    **given: Unpack[Warmed],
) -> Schedule:
    """Warm-up, then `min_lr + (lr - min_lr) * (1 - x) ** power`, x the part of the steps after the warm-up gone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: last rate, >= 0.
        power: exponent, > 0.
        cycle: changes nothing, as the first cycle ends where `min_lr` begins.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`; not both.

    Examples:
        >>> PolynomialDecayAnnealing(1.0, max_steps=10, power=2.0)(5)
        0.25
    """
    phases = _risen("PolynomialDecayAnnealing", max_steps, given)
    return phases.policy(lr, phases.warmup, lambda: Polynomial(lr, min_lr, max_steps - phases.warmup, power), min_lr)
