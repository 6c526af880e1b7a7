"""The schedules of the TensorFlow Model Garden 2.20, `official.modeling.optimization.lr_schedule`.

A schedule with an offset runs `offset` steps late; before its begin it is what its formula gives for a negative step.
What a warm-up is put before has counted from step 0 all the time: its first steps are lost. The Model Garden computes
in float32; these compute in float64.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import numpy as np

from lrsched._core.check import Int, Many, Real
from lrsched._curves import (
    Complete,
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Linear,
    Minimum,
    Monomial,
    PowerLaw,
    Schedule,
)
from lrsched.compat import keras
from lrsched.compat._tools import (
    Count,
    Length,
    OnOff,
    Positive,
    Rate,
    Rates,
    TextOrNone,
    chain,
    checked,
    late,
    must,
    then,
    warmed,
)

__all__ = [
    "CosineDecayWithOffset",
    "DirectPowerDecay",
    "ExponentialDecayWithOffset",
    "LinearWarmup",
    "PiecewiseConstantDecayWithOffset",
    "PolynomialDecayWithOffset",
    "PolynomialWarmUp",
    "PowerAndLinearDecay",
    "PowerDecayWithOffset",
    "StepCosineDecayWithOffset",
    "WarmUp",
]

Offset = Annotated[int, Int(low=-(2**53))]
Exponent = Annotated[float, Real(low=-100.0, high=10.0)]


@checked
def DirectPowerDecay(
    initial_learning_rate: Rate, power: Exponent = 1.0, name: TextOrNone = "DirectPowerDecay"
) -> Schedule:
    """A power of the step, `initial_learning_rate * max(t, 1) ** power`.

    Args:
        initial_learning_rate: rate at steps 0 and 1.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        name: without effect.

    Examples:
        >>> s = DirectPowerDecay(1.0, power=-0.5)
        >>> s(0), s(1), s(4)
        (1.0, 1.0, 0.5)
    """
    return _power_from(initial_learning_rate, power, 0)


def _power_from(start: float, power: float, offset: int) -> Schedule:
    """Return `start * max(t - offset, 1) ** power`."""
    law = PowerLaw(start, -power)
    return Constant(start, offset + 1) >> law if offset >= 0 else late(law, -offset - 1)


@checked
def PowerAndLinearDecay(
    initial_learning_rate: Rate,
    total_decay_steps: Length,
    power: Exponent = 1.0,
    linear_decay_fraction: Rate = 0.1,
    offset: Offset = 0,
    name: TextOrNone = "PowerAndLinearDecay",
) -> Schedule:
    """A power of the step, times a line to 0 in the last part.

    Args:
        initial_learning_rate: rate up to one step after the offset.
        total_decay_steps: steps from the offset to 0.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        linear_decay_fraction: the part of them in which the line falls; with 0 there is none.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> s = PowerAndLinearDecay(1.0, 100, power=-0.5, linear_decay_fraction=0.5)
        >>> s(25), s(64), s(100)
        (0.2, 0.09, 0.0)
    """
    curve = _power_from(initial_learning_rate, power, offset)
    length = total_decay_steps * linear_decay_fraction
    if not length:
        return curve
    end = total_decay_steps + offset
    return curve * Minimum((Constant(1.0), Linear(end / length, 0.0, end))) if end > 0 else Constant(0.0)


@checked
def PowerDecayWithOffset(
    initial_learning_rate: Rate,
    power: Exponent = 1.0,
    offset: Offset = 0,
    pre_offset_learning_rate: Rate = 1.0e6,
    name: TextOrNone = "PowerDecayWithOffset",
) -> Schedule:
    """A rate up to the offset, then a power of the steps since, never above that rate.

    Args:
        initial_learning_rate: rate one step after the offset.
        power: exponent; the default 1 grows, that of the configuration files is -0.5.
        offset: last step of the first rate.
        pre_offset_learning_rate: the first rate, a million unless given.
        name: without effect.

    Examples:
        >>> s = PowerDecayWithOffset(1.0, power=-0.5, offset=5, pre_offset_learning_rate=2.0)
        >>> s(5), s(6), s(9)
        (2.0, 1.0, 0.5)
    """
    top = Constant(pre_offset_learning_rate)
    law = Minimum((top, PowerLaw(initial_learning_rate, -power)))
    return Constant(pre_offset_learning_rate, offset + 1) >> law if offset >= 0 else late(law, -offset - 1)


Body = Annotated[Schedule, Complete(lift=True)]
Boundaries = Annotated[Sequence[float], Many(Real())]
Ends = Annotated[Sequence[int], Many(Int(low=0))]


@checked
def PiecewiseConstantDecayWithOffset(
    boundaries: Boundaries, values: Rates, offset: Offset = 0, name: TextOrNone = "PiecewiseConstant"
) -> Schedule:
    """A staircase whose value changes one step after each boundary.

    Args:
        boundaries: the last steps of each value, in order.
        values: one more than there are boundaries.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> PiecewiseConstantDecayWithOffset([10, 20], [0.1, 0.01, 0.001], offset=5)
        Constant(0.1, steps=16) >> Constant(0.01, steps=10) >> Constant(0.001)

    References:
        tf-models-official 2.20.0, modeling/optimization/lr_schedule.py; so for all but `WarmUp`.
    """
    moved = [math.floor(np.float32(boundary)) + offset for boundary in boundaries]
    return keras.PiecewiseConstantDecay(moved, values)


@checked
def PolynomialDecayWithOffset(
    initial_learning_rate: Rate,
    decay_steps: Length,
    end_learning_rate: Rate = 0.0001,
    power: Rate = 1.0,
    cycle: OnOff = False,
    offset: Offset = 0,
    name: TextOrNone = "PolynomialDecay",
) -> Schedule:
    """A power of the part left; before the offset it is more than the first rate.

    Args:
        initial_learning_rate: rate at the offset.
        decay_steps: steps of the decay.
        end_learning_rate: last rate, not above the first if there is an offset.
        power: exponent, >= 0.
        cycle: whether to go on after the end; not with an offset > 0, before which Keras divides by zero.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> PolynomialDecayWithOffset(1.0, 10, end_learning_rate=0.0, offset=10)
        Linear(2.0, 0.0, steps=20)
    """
    where = "PolynomialDecayWithOffset"
    start, end = initial_learning_rate, end_learning_rate
    if offset <= 0:
        return late(keras.PolynomialDecay(start, decay_steps, end, power, cycle), -offset)
    must(not cycle, f"{where}(cycle=...)", "False with an offset > 0", cycle)
    must(end <= start, f"{where}(end_learning_rate=...)", f"<= {start!r} with an offset > 0", end)
    if power == 0.0:
        return Constant(start)
    # 1 - (t - offset) / n = (1 - t / (n + offset)) * (n + offset) / n
    steps = decay_steps + offset
    return keras.PolynomialDecay(end + (start - end) * (steps / decay_steps) ** power, steps, end, power)


@checked
def ExponentialDecayWithOffset(
    initial_learning_rate: Rate,
    decay_steps: Length,
    decay_rate: Positive,
    staircase: OnOff = False,
    offset: Offset = 0,
    name: TextOrNone = "ExponentialDecay",
) -> Schedule:
    """`initial_learning_rate * decay_rate ** ((t - offset) / decay_steps)`, before the offset too.

    Args:
        initial_learning_rate: rate at the offset.
        decay_steps: steps of one factor, >= 1.
        decay_rate: the factor, > 0.
        staircase: whether the exponent is rounded down.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> ExponentialDecayWithOffset(1.0, 10, 0.5, offset=10)
        Exponential(2.0, 0.5, steps=10.0)
    """
    gone = -offset / decay_steps
    if not staircase:
        return Exponential(initial_learning_rate * decay_rate**gone, decay_rate, decay_steps)
    stairs = Exponential(initial_learning_rate * decay_rate ** math.floor(gone), decay_rate)
    return late(Epochs(stairs, decay_steps), -offset % decay_steps)


@checked
def CosineDecayWithOffset(
    initial_learning_rate: Rate,
    decay_steps: Length,
    alpha: Rate = 0.0,
    offset: Offset = 0,
    name: TextOrNone = "CosineDecay",
) -> Schedule:
    """Half a cosine wave; before the offset the wave swings.

    Args:
        initial_learning_rate: rate at the offset.
        decay_steps: steps of the wave.
        alpha: last rate as a part of the first.
        offset: how many steps late it runs.
        name: without effect.

    Examples:
        >>> s = CosineDecayWithOffset(1.0, 10, offset=5)
        >>> round(s(0), 12), s(5), s(15)
        (0.5, 1.0, 0.0)
    """
    start, end = initial_learning_rate, initial_learning_rate * alpha
    if offset <= 0:
        return late(Cosine(start, end, decay_steps), -offset)
    return then(offset, _swing(start, end, decay_steps, offset), Cosine(start, end, decay_steps))


def _swing(start: float, end: float, steps: int, offset: int) -> Schedule:
    """Return the cosine wave without end that is at `start` at step `offset`."""
    return late(Extend(Cosine(start, end, steps)), -offset % (2 * steps))


@checked
def LinearWarmup(
    after_warmup_lr_sched: Body, warmup_steps: Count, warmup_learning_rate: Rate, name: TextOrNone = None
) -> Schedule:
    """A line to the value that the schedule has at step `warmup_steps`, then the schedule from there.

    Args:
        after_warmup_lr_sched: a schedule or a rate.
        warmup_steps: steps of the line.
        warmup_learning_rate: its first value, >= 0.
        name: without effect.

    Examples:
        >>> LinearWarmup(PolynomialDecayWithOffset(1.0, 100, 0.0), 50, 0.0)
        Linear(0.0, 0.5, steps=50) >> Shift(Linear(1.0, 0.0, steps=100), steps=50)
    """
    body = after_warmup_lr_sched
    rest = body if isinstance(body, Constant) else late(body, warmup_steps)
    return warmed(warmup_steps, warmup_learning_rate, body(warmup_steps), rest)


@checked
def PolynomialWarmUp(
    after_warmup_lr_sched: Body, warmup_steps: Count, power: Rate = 1.0, name: TextOrNone = "PolynomialWarmup"
) -> Schedule:
    """A power of the step up to the value that the schedule has at step `warmup_steps`, then the schedule.

    Args:
        after_warmup_lr_sched: a schedule or a rate.
        warmup_steps: steps of the warm-up; its step 0 has the value of step 1.
        power: exponent, >= 0.
        name: without effect.

    Examples:
        >>> s = PolynomialWarmUp(1.0, 4, power=2.0)
        >>> s(0), s(1), s(2), s(4)
        (0.0625, 0.0625, 0.25, 1.0)
    """
    body = after_warmup_lr_sched
    return _power_warmup(body(warmup_steps), body, warmup_steps, power, True)


@checked
def WarmUp(
    initial_learning_rate: Rate,
    decay_schedule_fn: Body,
    warmup_steps: Count,
    power: Rate = 1.0,
    name: TextOrNone = None,
) -> Schedule:
    """A power of the step up to a rate, then the schedule from there.

    Args:
        initial_learning_rate: the rate at the end of the warm-up, whatever the schedule has there.
        decay_schedule_fn: the schedule, which has counted from step 0.
        warmup_steps: steps of the warm-up.
        power: exponent, >= 0.
        name: without effect.

    Examples:
        >>> WarmUp(1.0, PolynomialDecayWithOffset(1.0, 10, 0.0), 5)
        Linear(0.0, 1.0, steps=5) >> Shift(Linear(1.0, 0.0, steps=10), steps=5)

    References:
        tf-models-official 2.20.0, nlp/optimization.py.
    """
    return _power_warmup(initial_learning_rate, decay_schedule_fn, warmup_steps, power, False)


def _power_warmup(height: float, body: Schedule, steps: int, power: float, from_one: bool) -> Schedule:
    """Return `height * (t / steps) ** power`, its step 0 like step 1 if `from_one`, then the schedule from there."""
    rest = body if isinstance(body, Constant) else late(body, steps)
    if not steps:
        return rest
    if power == 0.0:
        return Constant(height, steps) >> rest
    rise = Linear(0.0, height, steps) if power == 1.0 else Monomial(0.0, height, steps, power)
    if not from_one:
        return rise >> rest
    return chain(Constant(rise(1), 1), late(rise, 1) if steps > 1 else None, rest)


@checked
def StepCosineDecayWithOffset(
    boundaries: Ends, values: Rates, offset: Offset = 0, name: TextOrNone = "StepCosineDecayWithOffset"
) -> Schedule:
    """Half cosines between given values.

    Wave i falls from `values[i]` to the next one in the time between `boundaries[i]` and the next. The first begins at
    the offset all the same: it swings on until the second boundary if the first is not 0, and before the offset. After
    the last boundary the last value holds, where the Model Garden gives NaN: it divides by zero.

    Args:
        boundaries: the steps at which the waves begin, strictly increasing, at least two.
        values: as many.
        offset: how many steps late it runs; its end must come after step 0.
        name: without effect.

    Raises:
        ValueError: the numbers of boundaries and values differ, or the boundaries do not increase.

    Examples:
        >>> StepCosineDecayWithOffset([0, 10, 30], [1.0, 0.5, 0.1])
        Cosine(1.0, 0.5, steps=10) >> Cosine(0.5, 0.1, steps=20)
    """
    where = "StepCosineDecayWithOffset"
    must(len(values) == len(boundaries), f"{where}(values=...)", f"{len(boundaries)} values", values)
    must(len(boundaries) > 1, f"{where}(boundaries=...)", "two or more steps", boundaries)
    sizes = [b - a for a, b in pairwise(boundaries)]
    must(min(sizes) > 0, f"{where}(boundaries=...)", "strictly increasing", boundaries)
    first = boundaries[1] + offset
    waves = [Cosine(a, b, n) for a, b, n in zip(values[1:-1], values[2:], sizes[1:], strict=True)]
    if boundaries[0] == 0 and offset == 0:
        return chain(Cosine(values[0], values[1], sizes[0]), *waves)
    begin = _swing(values[0], values[1], sizes[0], offset)
    rest: Schedule = chain(*waves) if waves else Constant(values[-1])
    return then(first, begin, rest) if first > 0 else late(rest, -first)
