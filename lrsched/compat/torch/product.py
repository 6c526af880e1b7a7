"""A product of torch's schedulers with a cosine that has a floor: what its recursion gives, as parts of a chain.

In each step the schedulers change the rate that they find, in their order: one that multiplies by its ratio r to
`r * lr`, a cosine with its ratio c to `c * (lr - eta_min) + eta_min`. Between two steps in which another one acts the
rate is therefore a piece of one cosine wave, and where another one acts in each step it is listed.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lrsched._core.check import short
from lrsched._curves.cycles import MAX_CYCLES
from lrsched._curves.decays import Exponential
from lrsched._curves.modifiers import Epochs, Extend, Shift, Table
from lrsched._curves.ramps import Cosine, Linear, Polynomial
from lrsched._curves.schedule import Chain, Constant, Schedule
from lrsched.compat._tools.arguments import must
from lrsched.compat._tools.parts import chain, cut

_WHERE = "ChainedScheduler(schedulers=...)"
# Values that are listed, and pieces between them: as many as cycles anywhere else.
_MOST = MAX_CYCLES


def floored(part: Schedule) -> bool:
    """Return whether a part is a cosine with a floor."""
    return isinstance(part, Extend) and isinstance(part.schedule, Cosine) and part.schedule.end > 0.0


def recursion(parts: Sequence[Schedule], lr: float) -> Schedule:
    """Return what schedulers with at least one floored cosine make of the rate until the first cosine ends.

    Args:
        parts: schedules of `lrsched.compat.torch` that multiply, or cosines with a floor.
        lr: the rate that all of them were built with, > 0.
    """
    for part in parts:
        zero = isinstance(part, Chain) and any(step(0) == 0.0 for step in part.parts)
        must(not zero, _WHERE, "schedulers with gamma > 0 beside a cosine with eta_min > 0", part)
    end = min(part.schedule.steps for part in parts if isinstance(part, Extend))
    inner = [part.schedule for part in parts if isinstance(part, Extend) and floored(part)]
    waves = [wave for wave in inner if isinstance(wave, Cosine)]
    changes = [_changes(part, end) for part in parts if not floored(part)]
    listed = end if len(waves) > 1 else max((until for until, _ in changes), default=0)
    few = f"schedulers that act in at most {_MOST} steps beside a cosine with eta_min > 0"
    if listed > _MOST or sum(len(steps) for _, steps in changes) > _MOST:
        raise ValueError(f"{_WHERE} must be {few}, got {short(tuple(parts))}")
    acts = sorted({step for _, steps in changes for step in steps if step > listed})
    values = _stepped(parts, 0, listed, [_first(parts, lr)])
    if listed == end:
        return Table(tuple(values))
    pieces: list[Schedule] = [Table(tuple(values[:-1]))] if listed else []
    rate, wave = values[-1], waves[0]
    for begin, until in zip([listed, *acts], [*acts, end], strict=True):
        if begin < until:
            pieces.append(_piece(wave, rate, begin, until))
            before = wave.end + (rate - wave.end) * _height(wave, until - 1) / _height(wave, begin)
            rate = _stepped(parts, until - 1, until, [before])[-1]
    if rate != wave.end or isinstance(pieces[-1], Table):
        pieces.append(Constant(rate))
    return chain(*pieces)


def _changes(part: Schedule, end: int) -> tuple[int, Sequence[int]]:
    """Return the step until which a part acts in each step, and the steps in which it acts else, up to `end`."""
    if isinstance(part, Chain):
        return 0, [step for step in part.starts[1:] if step <= end]
    if isinstance(part, Epochs):
        return 0, range(part.steps_per_epoch, end + 1, part.steps_per_epoch)
    if isinstance(part, Linear | Polynomial):
        return min(part.steps, end) if part.start != part.end else 0, ()
    return (0 if isinstance(part, Constant) else end), ()


def _first(parts: Sequence[Schedule], lr: float) -> float:
    """Return the rate at update 0, after what each makes of it when it is built or a sequence takes a step more."""
    rate = lr
    for part in parts:
        low = part.schedule.end if isinstance(part, Extend) else 0.0
        if part(0) != lr:
            rate = (rate - low) * ((part(0) - low) / (lr - low)) + low
    return rate


def _stepped(parts: Sequence[Schedule], begin: int, end: int, values: list[float]) -> list[float]:
    """Return the values with those of the steps after `begin` up to `end`."""
    steps = np.arange(begin, end + 1)
    rows = [(part.schedule.end if isinstance(part, Extend) else 0.0, _ratios(part, steps).tolist()) for part in parts]
    rate = values[-1]
    for i in range(end - begin):
        for low, ratios in rows:
            rate = ratios[i] * (rate - low) + low
        values.append(rate)
    return values


def _ratios(part: Schedule, steps: np.ndarray[Any, Any]) -> Any:
    """Return what a part multiplies by in each of the steps but the first."""
    if isinstance(part, Exponential):
        return np.full(steps.size - 1, part.rate)
    if isinstance(part, Epochs) and isinstance(part.schedule, Exponential):
        return np.where(steps[1:] % part.steps_per_epoch == 0, part.schedule.rate, 1.0)
    wave = part.schedule if isinstance(part, Extend) and isinstance(part.schedule, Cosine) else None
    heights = np.array([_height(wave, t) for t in steps.tolist()]) if wave else part(steps)
    some = heights[:-1] > 0.0
    return np.where(some, heights[1:] / np.where(some, heights[:-1], 1.0), 1.0)


def _height(wave: Cosine, t: int) -> float:
    """Return how far the wave stands above its floor at step t, of 1."""
    return math.sin(math.pi / 2 * ((wave.steps - t) / wave.steps)) ** 2


def _piece(wave: Cosine, rate: float, begin: int, end: int) -> Schedule:
    """Return the steps from `begin` to `end` of the wave that has the rate at its step `begin`."""
    top = wave.end + (rate - wave.end) / _height(wave, begin)
    if top < 0.0:  # far below its floor the wave rises from where no rate can be
        count = end - begin
        must(count <= _MOST, _WHERE, f"at most {_MOST} steps from the last drop to the end of the cosine", count)
        heights = [_height(wave, t) / _height(wave, begin) for t in range(begin, end)]
        return Table(tuple(wave.end + (rate - wave.end) * height for height in heights))
    whole = Cosine(top, wave.end, wave.steps)
    piece = Shift(whole, begin) if begin else whole
    return piece if end == wave.steps else cut(piece, end - begin)
