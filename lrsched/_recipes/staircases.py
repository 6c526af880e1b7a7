"""Schedules given by numbers: staircases, tables and straight lines between points."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from lrsched._core.check import Int, Many, Real, short
from lrsched._curves import Constant, Epochs, Exponential, Linear, Schedule, Table
from lrsched._recipes.decimals import powers
from lrsched._recipes.shared import recipe
from lrsched.arguments import Length, Lengths, Positive, Rate, Rates


@recipe
def step_decay(start: Rate, factor: Positive, every: Length) -> Schedule:
    """The rate times `factor` after each `every` steps, without end.

    Args:
        start: first learning rate, >= 0.
        factor: multiplier at each drop, > 0.
        every: updates between drops, >= 1.

    Examples:
        >>> step_decay(1.0, 0.5, every=30)(65)
        0.25
    """
    return Epochs(Exponential(start, factor), every)


@recipe
def multi_step(start: Rate, factor: Rate, milestones: Lengths) -> Schedule:
    """The rate times `factor` at each milestone.

    Args:
        start: first learning rate, >= 0.
        factor: multiplier at each drop, >= 0.
        milestones: increasing steps, each >= 1, at which the new value is used first; a repeated one counts again.

    Examples:
        >>> multi_step(1.0, 0.1, milestones=[30, 80])
        Constant(1.0, steps=30) >> Constant(0.1, steps=50) >> Constant(0.01)

    References:
        He et al., Deep Residual Learning, 2016, section 3.4. arXiv:1512.03385
    """
    unique = sorted(set(milestones))
    if list(milestones) != sorted(milestones):
        raise ValueError(f"multi_step(milestones=...) must increase, got {short(milestones)}")
    levels = powers(start, factor, len(milestones))
    if not math.isfinite(levels[-1]):
        raise ValueError(f"multi_step(factor=...) must keep every value finite, got {factor!r}")
    return piecewise_constant(unique, [levels[0], *(levels[bisect_right(milestones, bound)] for bound in unique)])


@recipe
def piecewise_constant(boundaries: Lengths, values: Rates) -> Schedule:
    """A staircase of given values; the value changes at its boundary.

    Args:
        boundaries: strictly increasing steps, each >= 1.
        values: one more than there are boundaries, each >= 0.

    Examples:
        >>> piecewise_constant([10, 20], [0.1, 0.01, 0.001])(10)
        0.01
    """
    if len(values) != len(boundaries) + 1:
        raise ValueError(
            f"piecewise_constant(values=...) must hold one value more than there are boundaries, got {len(values)} for "
            f"{len(boundaries)}"
        )
    lengths = _differences("piecewise_constant(boundaries=...)", (0, *boundaries))
    parts = [Constant(rate, length) for rate, length in zip(values[:-1], lengths, strict=True)]
    return Schedule.sequence([*parts, Constant(values[-1])])


@recipe
def batch_ramp(start: Length, end: Length, samples: Length, increment: Length) -> Schedule:
    """A batch size that rises in equal stairs while a number of samples is consumed.

    After c samples it is `start + increment * floor(c / (samples / k))` with k = (end - start) / increment, and `end`
    once c is more than `samples`; each update adds its own size to c. With `Consumed` it gives the rates of such a run;
    times the length of a sequence it counts tokens.

    Args:
        start: batch size of the first updates, >= 1.
        end: batch size after the ramp, `start` and whole increments more.
        samples: samples of the ramp, >= 1.
        increment: how much larger each stair is, >= 1.

    Examples:
        >>> batch_ramp(32, 96, samples=6_400, increment=32)
        Constant(32.0, steps=100) >> Constant(64.0, steps=50) >> Constant(96.0)
        >>> from lrsched import Consumed, Linear
        >>> tokens = Consumed(Linear(3e-4, 0.0, steps=10**9), per_step=2048 * batch_ramp(32, 96, 6_400, 32))
        >>> tokens.length
        5170

    References:
        Megatron-Core 0.16.1, core/num_microbatches_calculator.py, RampupBatchsizeNumMicroBatchesCalculator
        (`--rampup-batch-size start increment samples`).
    """
    stairs, odd = divmod(end - start, increment)
    if stairs < 0 or odd or stairs > _MOST_STAIRS:
        what = f"{start} and 0 to {_MOST_STAIRS} increments of {increment}"
        raise ValueError(f"batch_ramp(end=...) must be {what}, got {end!r}")
    parts, count, stair = [], 0, 0
    while stair < stairs:
        size = start + stair * increment
        steps = max(-(-(samples * (stair + 1) - count * stairs) // (stairs * size)), 1)
        # The stair is found as Megatron finds it, by a quotient of floats.
        while steps > 1 and _stair(count + (steps - 1) * size, samples, stairs) > stair:
            steps -= 1
        while _stair(count + steps * size, samples, stairs) == stair:
            steps += 1
        parts.append(Constant(size, steps))
        count += steps * size
        stair = _stair(count, samples, stairs)
    return Schedule.sequence([*parts, Constant(end)])


_MOST_STAIRS = 10_000


def _stair(count: int, samples: int, stairs: int) -> int:
    return stairs if count > samples else int(count / (samples / stairs))


def _differences(where: str, steps: Sequence[int]) -> list[int]:
    lengths = [b - a for a, b in pairwise(steps)]
    if any(length < 1 for length in lengths):
        raise ValueError(f"{where} must increase strictly, got {short(list(steps))}")
    return lengths


@recipe
def piecewise_linear(
    steps: Annotated[Sequence[int], Many(Int(low=0), least=2)],
    values: Annotated[Sequence[float], Many(Real(low=0.0), least=2)],
) -> Schedule:
    """Straight lines between given points.

    Args:
        steps: strictly increasing steps, the first one 0.
        values: the learning rate at each of them, >= 0.

    Examples:
        >>> piecewise_linear([0, 10, 30], [0.0, 1.0, 0.0])
        Linear(0.0, 1.0, steps=10) >> Linear(1.0, 0.0, steps=20)
    """
    where = "piecewise_linear(steps=...)"
    if steps[0] != 0 or len(steps) != len(values):
        raise ValueError(f"{where} must begin with 0 and be as many as the {len(values)} values, got {short(steps)}")
    lengths = _differences(where, steps)
    parts = [Linear(a, b, n) for a, b, n in zip(values[:-1], values[1:], lengths, strict=True)]
    return Schedule.sequence(parts)


@recipe
def chebyshev(
    start: Rate,
    doublings: Annotated[int, Int(low=0, high=16)],
    condition: Annotated[float, Real(low=1.0)] = 10.0,
) -> Schedule:
    """The steps of Chebyshev iteration, in an order that is stable at every scale.

    Step size k is `start / (1 - r * cos(pi * (k + 1/2) / T))` with T = 2 ** doublings, r = (condition - 1) /
    (condition + 1), taken in the order that interleaves the halves.

    Args:
        start: the plain step size, `2 / (largest + smallest curvature)`, >= 0.
        doublings: the schedule holds 2 ** doublings values, from 0 to 16.
        condition: ratio of the largest to the smallest curvature, >= 1.

    Examples:
        >>> chebyshev(1.0, doublings=1, condition=1.0)
        Table((1.0, 1.0))

    References:
        Agarwal, Goel & Zhang, Acceleration via Fractal Learning Rate Schedules, 2021. arXiv:2103.01338
    """
    ratio = (condition - 1.0) / (condition + 1.0)
    order = [0]
    for _ in range(doublings):
        size = 2 * len(order)
        order = [index for k in order for index in (k, size - 1 - k)]
    count = len(order)
    return Table(tuple(start / (1.0 - ratio * math.cos(math.pi * (k + 0.5) / count)) for k in order))
