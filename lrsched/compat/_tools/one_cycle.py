"""The one-cycle policy of torch, whose phases meet at real times between the steps."""

import math
from collections.abc import Sequence

from lrsched._curves.modifiers import Reverse, Shift, Stretch
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.parts import chain, cut

Shape = type[Cosine] | type[Linear]


def phases(initial: float, peak: float, low: float, last: int, ends: Sequence[float], shape: Shape) -> Schedule:
    """Return two or three phases that end at the real times `ends` and at step `last`.

    The first phase rises from `initial` to `peak`, the last one falls to `low`; a phase in between, of the length of
    the first, falls back to `initial`. A step that stands on an end belongs to the phase before it.

    Args:
        initial: first value.
        peak: value at `ends[0]`.
        low: value at step `last` and after.
        last: the step at which the last phase ends.
        ends: times at which the phases before the last end; the second is twice the first.
        shape: curve of every phase.
    """
    top = ends[0]
    rises = _whole(top) if _whole(top) is not None else math.ceil(top)
    if len(ends) == 1:
        if top < 0.0:
            return _fall(peak, low, top, 0, last, shape) or Constant(peak)
        first = _owned(top)
        return chain(_rise(initial, peak, top, first, shape), _fall(peak, low, top, first, last, shape))
    foot = ends[1]
    if top < 0.0:
        return _fall(initial, low, foot, 0, last, shape) or Constant(initial)
    first = _owned(foot)
    if first == 1 and _whole(top) is None:
        hill: Schedule = Constant(initial, 1)
    else:
        up_down = shape(initial, peak, rises or 1) >> shape(peak, initial, rises or 1)
        hill = cut(up_down if _whole(top) is not None else Stretch(up_down, top / (rises or 1)), min(first, last))
    return chain(hill, _fall(initial, low, foot, first, last, shape))


def _whole(time: float) -> int | None:
    """Return the step at a time that differs from it by rounding only, or None between the steps and at step 0."""
    near = round(time)
    return near if near != 0 and abs(time - near) < 1e-13 * max(abs(near), 1) else None


def _owned(end: float) -> int:
    """Return the first step of the next phase; at an end that is a step, both phases have the same value."""
    near = _whole(end)
    return math.floor(end) + 1 if near is None else near


def _rise(start: float, end: float, time: float, steps: int, shape: Shape) -> Schedule:
    if _whole(time) is not None:
        return shape(start, end, steps)
    return Stretch(shape(start, end, steps), time / steps) if steps > 1 else Constant(start, 1)


def _fall(start: float, end: float, time: float, first: int, last: int, shape: Shape) -> Schedule | None:
    """Return the phase from a real time to step `last`, beginning with step `first`, or None if no step is left."""
    if first > last or (_whole(time) == last and last > 0):
        return None
    if first == last:
        return Constant(end)
    steps = _whole(last - time)
    if steps is not None:
        missed = steps - (last - first)
        return Shift(shape(start, end, steps), missed) if missed else shape(start, end, steps)
    # The end is a step, so the clock is exact when it runs backwards.
    steps = math.ceil(last - time)
    return Shift(Reverse(Stretch(shape(end, start, steps), (last - time) / steps)), steps - (last - first))
