"""Where to look at a schedule: few points that show every corner, jump and extreme of its curve.

A schedule of up to `BUDGET` steps is read completely. A longer one is read where its fields say that something
happens, evenly in between, and then again where the curve bends: a one-step feature at a boundary is never missed,
and a picture of 2**31 steps costs as much as one of two thousand.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched._curves import Chain, Combination, Hold, Power, Schedule, corners

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Points of a schedule that are ever evaluated for one picture.
BUDGET = 2000
_EVEN, _HINTS = 400, 600
# The finest picture that the points must satisfy, in pixels of height.
_HEIGHT = 250.0
_GOLDEN = 0.6180339887498949


class Samples(NamedTuple):
    """A curve: `steps` int64, strictly increasing, and `values` float64, both of shape `(n,)`."""

    steps: Ints
    values: Floats


class Phase(NamedTuple):
    """A part of a chain: `[start, start + length)`, `length` None where it is unbounded."""

    name: str
    start: int
    length: int | None


def evaluate(schedule: Schedule, steps: Sequence[int] | Ints) -> Floats:
    """Return the float64 values of `schedule` at `steps`; where a product overflows, the largest float."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(np.asarray(schedule(np.asarray(steps, dtype=np.int64)), dtype=np.float64))


def phases(schedule: Schedule) -> tuple[Phase, ...]:
    """Return the parts of the first chain in `schedule` that runs on its clock, or nothing where there is none."""
    if isinstance(schedule, Chain):
        names = [type(part).__name__ for part in schedule.parts]
        return tuple(
            Phase(name, start, part.length)
            for name, start, part in zip(names, schedule.starts, schedule.parts, strict=True)
        )
    inner = schedule._inside(math.inf) if isinstance(schedule, Combination | Power | Hold) else ()
    return next((found for child, _, _ in inner if (found := phases(child))), ())


def horizon(schedule: Schedule, steps: int | None = None) -> int:
    """Return the last step of a picture, at least 1.

    That is `steps`, or the length of a bounded schedule. A periodic one is followed for four periods, a decay until it
    has fallen to a twentieth or for 50 time scales, a constant for 1000 steps.
    """
    return max(steps, 1) if steps is not None else min(_reach(schedule) or 1000, 2**53)


def _reach(node: Schedule) -> int:
    """Return the steps worth seeing of `node`, 0 for a constant."""
    if node.length is not None:
        return max(node.length, 1)
    seen = node._view()
    if seen:
        return seen
    inner = [
        max(begin, 0) + (pace * _reach(child) or (max(1000, begin) if begin > 0 else 0))
        for child, begin, pace in node._inside(math.inf)
    ]
    if inner:
        return math.ceil(max(inner))
    steps = 2 ** np.arange(41, dtype=np.int64)
    values = np.abs(evaluate(node, steps))
    fallen = np.flatnonzero(values <= 0.05 * max(float(values.max()), abs(node(0))))
    scale = max(getattr(node, "timescale", 0.0), 20.0)
    return min(int(steps[fallen[0]]) if fallen.size else 2**53, math.ceil(50 * scale)) if np.ptp(values) else 0


def sample(schedule: Schedule, end: int) -> Samples:
    """Return at most `BUDGET` points of `schedule` between the steps 0 and `end`, both included."""
    if end < BUDGET:
        every = np.arange(end + 1, dtype=np.int64)
        return Samples(every, evaluate(schedule, every))
    # Jittered, so that no cycle beats with the grid.
    index = np.arange(_EVEN)
    even = ((index + (index * _GOLDEN) % 1.0) * (end / _EVEN)).astype(np.int64)
    hints = np.array(corners(schedule, end), dtype=np.int64)
    hints = hints[np.linspace(0, hints.size - 1, min(hints.size, _HINTS // 3)).astype(np.int64)]
    steps = np.unique(np.clip(np.concatenate([[0, end - 1, end], even, hints - 1, hints, hints + 1]), 0, end))
    values = evaluate(schedule, steps)
    steps, values = _refine(schedule, steps, values, BUDGET - 300)
    for sign in (1.0, -1.0):
        steps, values = _zoom(schedule, steps, values, sign)
    return Samples(steps, values)


def _merge(schedule: Schedule, steps: Ints, values: Floats, new: Ints) -> tuple[Ints, Floats]:
    new = np.setdiff1d(new, steps)
    if not new.size:
        return steps, values
    every = np.concatenate([steps, new])
    order = np.argsort(every)
    return every[order], np.concatenate([values, evaluate(schedule, new)])[order]


def relative(values: Floats, low: float, high: float) -> Floats:
    """Return `(values - low) / (high - low)`, for the largest and the smallest floats too."""
    exponent = -math.frexp(max(abs(low), abs(high)))[1]
    base = math.ldexp(low, exponent)
    return np.asarray((np.ldexp(values, exponent) - base) / (math.ldexp(high, exponent) - base))


def _bend(steps: Ints, values: Floats) -> Floats:
    """Return how many pixels each inner point lies off the line through its neighbours."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(max(steps.size - 2, 0))
    heights = relative(values, low, high) * _HEIGHT
    x = (steps - steps[0]).astype(np.float64)
    part = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    return np.asarray(np.abs(heights[:-2] + part * (heights[2:] - heights[:-2]) - heights[1:-1]))


def _refine(schedule: Schedule, steps: Ints, values: Floats, budget: int) -> tuple[Ints, Floats]:
    """Halve the intervals beside the sharpest bends until the picture is exact or the budget is spent."""
    while steps.size < budget:
        bend = _bend(steps, values)
        tiny = np.finfo(np.float64).tiny
        if values.max() > 0:  # steps too low for the linear axis show on a logarithmic one
            floor = max(float(values.max()) * 1e-8, tiny)
            bend = np.maximum(bend, _bend(steps, np.log(np.maximum(values, floor))))
        edge = np.concatenate([[0.0], bend, [0.0]])
        score = np.where(np.diff(steps) > 1, np.maximum(edge[:-1], edge[1:]), 0.0)
        split = np.flatnonzero(score > 0.3)
        if not split.size:
            break
        split = split[np.argsort(-score[split], kind="stable")][: min(budget - steps.size, 200)]
        middle = steps[split] + (steps[split + 1] - steps[split]) // 2
        steps, values = _merge(schedule, steps, values, middle)
    return steps, values


def _zoom(schedule: Schedule, steps: Ints, values: Floats, sign: float) -> tuple[Ints, Floats]:
    """Close in on the maximum (`sign` 1) or minimum (`sign` -1) between the neighbours of the best point."""
    for _ in range(9):
        best = int(np.argmax(sign * values))
        low, high = steps[max(best - 1, 0)], steps[min(best + 1, steps.size - 1)]
        if high - low <= 2:
            break
        steps, values = _merge(schedule, steps, values, np.linspace(low, high, 16).astype(np.int64))
    return steps, values


def is_jump(steps: Ints, values: Floats) -> NDArray[np.bool_]:
    """Say of each interval whether it is a jump: one step long and far steeper than both its neighbours.

    So a level held for two steps has vertical sides, and values that change at every step are joined by slopes.
    """
    size = float(np.abs(values).max())
    if steps.size < 3 or size == 0:
        return np.zeros(steps.size - 1, dtype=np.bool_)
    rise = np.abs(np.diff(relative(values, 0.0, size)))
    slope = rise / np.diff(steps)
    near = np.zeros_like(slope)
    near[1:] = slope[:-1]
    near[:-1] = np.maximum(near[:-1], slope[1:])
    return np.asarray((np.diff(steps) == 1) & (rise > 8 * near) & (rise > 1e-6))


def area(samples: Samples, start: int, end: int) -> float:
    """Return the sum of the absolute values over the steps `[start, end)`, in units of the greatest."""
    size = np.abs(samples.values)
    inner = samples.steps[(samples.steps > start) & (samples.steps < end)]
    steps = np.concatenate([[start], inner, [end]]).astype(np.float64)
    # Relative to the greatest, so that the sum of very large values stays finite.
    values = np.interp(steps, samples.steps, size / (size.max() or 1.0))
    gaps = np.diff(steps)
    return float(np.sum(gaps * values[:-1] + (gaps - 1) / 2 * np.diff(values)))
