"""The schedules of transformers, one by one."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from lrsched._core.check import Choice, Real
from lrsched._curves import Constant, Cosine, Linear, Monomial, Polynomial, PowerLaw, Repeat, Schedule, Shift, Stretch
from lrsched.compat._tools import (
    Count,
    CountOrNone,
    Length,
    PositiveOrNone,
    Rate,
    RateOrNone,
    chain,
    checked,
    cut,
    late,
    must,
    swing,
    warmed,
)

Cycles = Annotated[float, Real()]


@checked
def get_constant_schedule(lr: Rate) -> Schedule:
    """The same rate at every step.

    Args:
        lr: rate of the optimizer.

    Examples:
        >>> get_constant_schedule(5e-5)
        Constant(5e-05)
    """
    return Constant(lr)


@checked
def get_constant_schedule_with_warmup(lr: Rate, num_warmup_steps: Count) -> Schedule:
    """A line from 0, then a constant rate.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the line, >= 0.

    Examples:
        >>> get_constant_schedule_with_warmup(0.1, 10)
        Linear(0.0, 0.1, steps=10) >> Constant(0.1)
    """
    return warmed(num_warmup_steps, 0.0, lr, Constant(lr))


@checked
def get_linear_schedule_with_warmup(lr: Rate, num_warmup_steps: Count, num_training_steps: Count) -> Schedule:
    """A line from 0, then a line to 0.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the first line, >= 0.
        num_training_steps: all steps, >= 0.

    Examples:
        >>> get_linear_schedule_with_warmup(0.1, 10, 100)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)
    """
    left = num_training_steps - num_warmup_steps
    return warmed(num_warmup_steps, 0.0, lr, Linear(lr, 0.0, left) if left > 0 else Constant(0.0))


@checked
def get_polynomial_decay_schedule_with_warmup(
    lr: Rate, num_warmup_steps: Count, num_training_steps: Count, lr_end: Rate = 1e-7, power: Rate = 1.0
) -> Schedule:
    """A line from 0, then a power of the part left, down to `lr_end`.

    Args:
        lr: rate of the optimizer, above `lr_end`.
        num_warmup_steps: steps of the line, >= 0.
        num_training_steps: all steps, >= 0; not `num_warmup_steps`, where the library divides by zero.
        lr_end: last rate.
        power: exponent, >= 0.

    Examples:
        >>> get_polynomial_decay_schedule_with_warmup(0.1, 10, 100, lr_end=0.01)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.01, steps=90)
    """
    where = "get_polynomial_decay_schedule_with_warmup"
    must(lr > lr_end, f"{where}(lr_end=...)", f"< lr={lr!r}", lr_end)
    steps = num_training_steps - num_warmup_steps
    must(steps != 0, f"{where}(num_training_steps=...)", "another number than num_warmup_steps", num_training_steps)
    if steps < 0:
        decay: Schedule = Constant(lr_end)
    elif power == 0.0:
        decay = Constant(lr, steps + 1) >> Constant(lr_end)
    else:
        decay = Linear(lr, lr_end, steps) if power == 1.0 else Polynomial(lr, lr_end, steps, power)
    return warmed(num_warmup_steps, 0.0, lr, decay)


@checked
def get_inverse_sqrt_schedule(lr: Rate, num_warmup_steps: Count, timescale: PositiveOrNone = None) -> Schedule:
    """A line from 0, then the inverse square root of the time.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the line, >= 0.
        timescale: steps before the decay is felt, > 0, or None for `num_warmup_steps` (10,000 without warm-up).

    Examples:
        >>> get_inverse_sqrt_schedule(0.1, 100)(400)
        0.05
    """
    scale = (num_warmup_steps or 10_000) if timescale is None else timescale
    must(scale > 0, "get_inverse_sqrt_schedule(timescale=...)", "> 0", timescale)
    return warmed(num_warmup_steps, 0.0, lr, PowerLaw(lr, 0.5, scale))


@checked
def get_cosine_schedule_with_warmup(
    lr: Rate, num_warmup_steps: Count, num_training_steps: Count, num_cycles: Cycles = 0.5
) -> Schedule:
    """A line from 0, then a cosine wave, which goes on after the last step.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the line, >= 0.
        num_training_steps: all steps, >= 0.
        num_cycles: turns of the wave; a half one ends at 0, a whole one ends where it began.

    Examples:
        >>> get_cosine_schedule_with_warmup(0.1, 10, 100)
        Linear(0.0, 0.1, steps=10) >> Extend(Cosine(0.1, 0.0, steps=90))
    """
    wave = swing(lr, 0.0, max(num_training_steps - num_warmup_steps, 1), num_cycles)
    return warmed(num_warmup_steps, 0.0, lr, wave)


@checked
def get_cosine_with_hard_restarts_schedule_with_warmup(
    lr: Rate, num_warmup_steps: Count, num_training_steps: Count, num_cycles: Length = 1
) -> Schedule:
    """A line from 0, then half cosine waves to 0 that begin anew.

    The library finds the wave of a step by a division in floating point, which for some lengths puts the first step of
    a wave at the end of the one before: an update with the rate 0. These steps are the same here.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the line, >= 0.
        num_training_steps: all steps, >= 0.
        num_cycles: number of waves, >= 1.

    Examples:
        >>> get_cosine_with_hard_restarts_schedule_with_warmup(0.1, 10, 100, num_cycles=3)
        Linear(0.0, 0.1, steps=10) >> Repeat(Cosine(0.1, 0.0, steps=30), times=3)
    """
    waves = _restarts(lr, max(num_training_steps - num_warmup_steps, 1), num_cycles)
    return warmed(num_warmup_steps, 0.0, lr, waves)


def _restarts(lr: float, steps: int, cycles: int) -> Schedule:
    """Return `cycles` waves in `steps` steps, each beginning with the step that the library takes for its first."""
    if cycles == 1:
        return Cosine(lr, 0.0, steps)
    exact = [-(-steps * i // cycles) for i in range(cycles + 1)]
    starts = [t + (t < steps and math.floor(cycles * (t / steps)) < i) for i, t in enumerate(exact)]
    if steps % cycles == 0 and starts == exact:
        return Repeat(Cosine(lr, 0.0, steps // cycles), times=cycles)
    # On a clock that runs `cycles` times faster each wave has `steps` steps and begins with a whole one.
    wave = Cosine(lr, 0.0, steps)
    parts = [
        cut(Stretch(late(wave, begin * cycles - i * steps), 1 / cycles), end - begin)
        for i, (begin, end) in enumerate(pairwise(starts))
        if end > begin
    ]
    return chain(*parts, Constant(0.0))


def _floor(where: str, lr: float, min_lr: float | None, min_lr_rate: float | None) -> float:
    given = [name for name, part in (("min_lr", min_lr), ("min_lr_rate", min_lr_rate)) if part is not None]
    must(len(given) == 1, f"{where}(min_lr=...)", "given, or min_lr_rate=..., and not both", given)
    must(lr > 0.0 or min_lr is None, f"{where}(lr=...)", "> 0 where min_lr is given", lr)
    return lr * (min_lr / lr if min_lr is not None else min_lr_rate or 0.0)


@checked
def get_cosine_with_min_lr_schedule_with_warmup(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Cycles = 0.5,
    min_lr: RateOrNone = None,
    min_lr_rate: RateOrNone = None,
) -> Schedule:
    """A line from 0, then a cosine wave down to a least rate, which goes on after the last step.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: steps of the line, >= 0.
        num_training_steps: all steps, >= 0.
        num_cycles: turns of the wave.
        min_lr: least rate; or give the next.
        min_lr_rate: least rate as a part of `lr`.

    Examples:
        >>> get_cosine_with_min_lr_schedule_with_warmup(0.1, 10, 100, min_lr=0.01)
        Linear(0.0, 0.1, steps=10) >> Extend(Cosine(0.1, 0.01, steps=90))
    """
    low = _floor("get_cosine_with_min_lr_schedule_with_warmup", lr, min_lr, min_lr_rate)
    wave = swing(lr, low, max(num_training_steps - num_warmup_steps, 1), num_cycles)
    return warmed(num_warmup_steps, 0.0, lr, wave)


@checked
def get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Cycles = 0.5,
    min_lr: RateOrNone = None,
    min_lr_rate: RateOrNone = None,
    warmup_lr_rate: RateOrNone = None,
) -> Schedule:
    """A line that reaches the rate with its last update, then a cosine wave down to a least rate.

    Unlike the others of this library, update t of the warm-up has `lr * (t + 1) / num_warmup_steps`, so update 0 is not
    lost, and update `num_training_steps - 1` has the least rate. The wave goes on after it.

    Args:
        lr: rate of the optimizer.
        num_warmup_steps: updates of the line, >= 0.
        num_training_steps: all steps, >= 0.
        num_cycles: turns of the wave.
        min_lr: least rate; or give the next.
        min_lr_rate: least rate as a part of `lr`.
        warmup_lr_rate: first rate as a part of `lr`, or None for `1 / num_warmup_steps`.

    Examples:
        >>> get_cosine_with_min_lr_schedule_with_warmup_lr_rate(1.0, 4, 10, min_lr=0.1)
        Linear(0.25, 1.0, steps=3) >> Extend(Cosine(1.0, 0.1, steps=6))
    """
    low = _floor("get_cosine_with_min_lr_schedule_with_warmup_lr_rate", lr, min_lr, min_lr_rate)
    wave = swing(lr, low, max(num_training_steps - num_warmup_steps, 1), num_cycles)
    if num_warmup_steps == 0:
        return late(wave, 1)
    first = lr / num_warmup_steps if warmup_lr_rate is None else lr * warmup_lr_rate
    if num_warmup_steps == 1:
        return wave if warmup_lr_rate is None else Constant(first, 1) >> Shift(wave, 1)
    return Linear(first, lr, num_warmup_steps - 1) >> wave


Ramp = Annotated[str, Choice(("linear", "cosine", "1-sqrt"))]
_UP: dict[str, Callable[[float, float, int], Schedule]] = {
    "linear": Linear,
    "cosine": Cosine,
    "1-sqrt": lambda start, end, steps: Polynomial(start, end, steps, power=0.5),
}


@checked
def get_wsd_schedule(
    lr: Rate,
    num_warmup_steps: Count,
    num_decay_steps: Count,
    num_training_steps: CountOrNone = None,
    num_stable_steps: CountOrNone = None,
    warmup_type: Ramp = "linear",
    decay_type: Ramp = "cosine",
    min_lr_ratio: Rate = 0,
    num_cycles: Cycles = 0.5,
) -> Schedule:
    """Warm-up, stable phase, decay.

    Args:
        lr: rate of the stable phase.
        num_warmup_steps: steps of the rise from the least rate, >= 0.
        num_decay_steps: steps of the fall to the least rate, >= 0.
        num_training_steps: all steps, which give those of the stable phase. If there are too few for warm-up and decay,
            the warm-up cuts off the beginning of the decay.
        num_stable_steps: or the steps of the stable phase themselves.
        warmup_type: "linear", "cosine" or "1-sqrt".
        decay_type: "linear", "cosine" or "1-sqrt".
        min_lr_ratio: least rate as a part of `lr`.
        num_cycles: turns of a cosine decay, after which the least rate is taken at once.

    Examples:
        >>> get_wsd_schedule(1.0, 10, 20, num_stable_steps=70, decay_type="linear")
        Linear(0.0, 1.0, steps=10) >> Constant(1.0, steps=70) >> Linear(1.0, 0.0, steps=20)
    """
    if num_stable_steps is None:
        where = "get_wsd_schedule(num_training_steps=...)"
        must(num_training_steps is not None, where, "given, or num_stable_steps=...", None)
        stable = (num_training_steps or 0) - num_warmup_steps - num_decay_steps
    else:
        stable = num_stable_steps
    low = lr * min_lr_ratio
    warmup = _UP[warmup_type](low, lr, num_warmup_steps) if num_warmup_steps else None
    flat = Constant(lr, stable) if stable > 0 else None
    missed = max(-stable, 0)
    if num_decay_steps <= missed:
        return chain(warmup, flat, Constant(low))
    if decay_type == "linear":
        decay: Schedule = Linear(lr, low, num_decay_steps)
    elif decay_type == "1-sqrt":
        decay = Monomial(lr, low, num_decay_steps, power=0.5)
    elif abs(num_cycles) == 0.5:
        decay = Cosine(lr, low, num_decay_steps)
    else:
        wave = cut(late(swing(lr, low, num_decay_steps, num_cycles), missed), num_decay_steps - missed)
        return chain(warmup, flat, wave, Constant(low))
    return chain(warmup, flat, late(decay, missed))
