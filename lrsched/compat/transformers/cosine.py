"""The schedules of transformers that swing."""

import math
from itertools import pairwise
from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Constant, Cosine, Linear, Repeat, Schedule, Shift, Stretch
from lrsched.compat._tools import Count, Length, Rate, RateOrNone, chain, checked, cut, late, must, swing, warmed

Cycles = Annotated[float, Real()]


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
