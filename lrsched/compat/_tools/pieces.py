"""What several libraries' schedules are built from."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from lrsched._core.check import Many
from lrsched._curves import (
    MAX_CYCLES,
    Chain,
    Complete,
    Constant,
    Cosine,
    Epochs,
    Extend,
    Hold,
    Linear,
    Maximum,
    Repeat,
    Reverse,
    Schedule,
    Shift,
    Stretch,
    Triangular,
    bounded,
)
from lrsched._recipes.staircases import piecewise_constant
from lrsched.arguments import must

# Schedules as arguments.
Part = Annotated[Schedule, Complete()]
Parts = Annotated[Sequence[Schedule], Many(Complete())]


def cut(schedule: Schedule, steps: int) -> Schedule:
    """Return the first `steps` steps of a schedule, as a part of a chain."""
    if schedule.length == steps:
        return schedule
    return Constant(schedule.value, steps) if isinstance(schedule, Constant) else Hold(schedule, steps)


def chain(*parts: Schedule | None) -> Schedule:
    """Return the given parts one after the other; None stands for a part that takes no step."""
    return Schedule.sequence(part for part in parts if part is not None)


def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Return schedules of which number i + 1 takes over at `boundaries[i]`, at its own step 0.

    Of several boundaries passed the last in the list counts; one below 0 leaves out first steps of its schedule.
    """
    parts: list[Schedule] = []
    until: int | None = None
    for schedule, start in reversed(list(zip(schedules, [0, *boundaries], strict=False))):
        begin = max(start, 0)
        if until is None or begin < until:
            local = Shift(schedule, begin - start) if start < 0 else schedule
            parts.append(local if until is None else cut(local, until - begin))
            until = begin
    return chain(*reversed(parts))


def swing(start: float, end: float, steps: int, cycles: float = 0.5) -> Schedule:
    """Return a cosine wave from `start` that makes `cycles` turns within `steps` steps and goes on after them."""
    if cycles == 0.0 or start == end:
        return Constant(start)
    wave = Extend(Cosine(start, end, steps))
    return wave if abs(cycles) == 0.5 else Stretch(wave, 0.5 / abs(cycles))


# A list of cycles ends here: at a thousand steps a second, after 35 years.
ENOUGH = 2**40


def then(steps: int, first: Schedule | float, rest: Schedule) -> Schedule:
    """Return `first`, a schedule or a rate, for `steps` steps, then `rest`; only `rest` if there are none."""
    if steps < 1:
        return rest
    first = first if isinstance(first, Schedule) else Constant(first, steps)
    return (first if first.length == steps else Hold(first, steps)) >> rest


def warmed(steps: float, start: float, end: float, rest: Schedule) -> Schedule:
    """Return a line from `start` to `end` over a real number of steps, then `rest`; only `rest` if there are none."""
    steps = whole(steps)
    if steps == int(steps):
        return Linear(start, end, int(steps)) >> rest if steps else rest
    owned = math.ceil(steps)
    return then(owned, spread(Linear(start, end, 1), steps), late(rest, owned - steps))


def after(begin: float, rest: Schedule) -> Schedule:
    """Return the first value of `rest` until the real step `begin`, then `rest`."""
    steps = math.ceil(begin)
    return then(steps, Constant(rest(0), max(steps, 1)), late(rest, steps - begin))


def floored(schedule: Schedule, low: float) -> Schedule:
    """Return the schedule where it is above `low`, and that elsewhere."""
    return Maximum((schedule, Constant(low))) if low else schedule


def late(schedule: Schedule, steps: float) -> Schedule:
    """Return the schedule from its step `steps` on."""
    return Shift(schedule, steps) if steps else schedule


def delayed(schedule: Schedule) -> Schedule:
    """Return the schedule one update late: its first rate is used twice."""
    first, *rest = schedule.parts if isinstance(schedule, Chain) else (schedule,)
    if isinstance(first, Constant):
        longer = Constant(first.value, None if first.steps is None else first.steps + 1)
        return Schedule.sequence([longer, *rest])
    return Constant(schedule(0), 1) >> schedule


def stairs(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """Return the staircase that takes `values[i + 1]` at `boundaries[i]`.

    Boundaries do not decrease; of several at one step the last counts, and one at 0 or before leaves its value from
    the start.
    """
    first = values[0]
    rest: dict[int, float] = {}
    for boundary, level in zip(boundaries, values[1:], strict=True):
        if boundary <= 0:
            first = level
        else:
            rest[boundary] = level
    return piecewise_constant(list(rest), [first, *rest.values()]) if rest else Constant(first)


def in_time(schedule: Schedule, factor: float, offset: float = 0.0) -> Schedule:
    """Return the schedule at `(t + offset) / factor`, for real factors and offsets."""
    scaled = schedule if factor == 1.0 else Stretch(schedule, factor)
    return Shift(scaled, offset) if offset else scaled


def spread(part: Schedule, length: float, offset: float = 0.0) -> Schedule:
    """Return a schedule with a length spread over a real `length` of steps and begun `offset` steps earlier."""
    length, offset = whole(length), max(whole(offset), 0.0)
    if isinstance(part, Constant):
        return Constant(part.value)
    if isinstance(part, Linear | Cosine):
        part = type(part)(part.start, part.end, max(int(length), 1))
    return in_time(part, length / bounded(part), offset)


def whole(number: float) -> float:
    """Return the number, made whole if only its rounding keeps it from being so."""
    near = round(number)
    return near if abs(number - near) < 1e-9 * max(abs(number), 1.0) else number


def over(length: float, part: Callable[[int], Schedule]) -> Schedule:
    """Return the part that takes a real length, made by a function of a number of steps: all if whole, else one.

    Then the joints lie where the length times a whole number does, without another rounding.
    """
    steps = int(length) if length == int(length) and length >= 1 else 1
    return in_time(part(steps), length / steps)


def truncated_cycles(
    size: int,
    factor: float,
    make: Callable[[int, int], Schedule],
    where: str,
    *,
    forever: Callable[[int, int], Schedule] | None = None,
    least: int = 0,
) -> Schedule:
    """Return cycles whose length is rounded down each time it changes: `n -> max(int(n * factor), least)`.

    Args:
        size: length of the first cycle.
        factor: growth of the length; below 1 only where there is a `least` length.
        make: returns cycle number i of length n, as a schedule that takes that cycle.
        where: what an error names.
        forever: returns all cycles from number i on where their length stays n; None repeats cycle i.
        least: the shortest length, or 0 for none.
    """
    if factor < 1.0 and not least:
        raise ValueError(f"{where} must be a number >= 1, or the cycles shrink to nothing, got {factor!r}")
    parts: list[Schedule] = []
    start, number = 0, 0
    while start < ENOUGH:
        following = max(int(size * factor), least)
        if following == size:
            parts.append(forever(number, size) if forever else Repeat(make(number, size)))
            break
        if number == MAX_CYCLES:
            raise ValueError(f"{where} must give at most {MAX_CYCLES} cycles, got {factor!r}")
        parts.append(make(number, size))
        start += size
        size, number = following, number + 1
    return Schedule.sequence(parts)


# The one-cycle policy of torch, whose phases meet at real times between the steps.
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


def cyclical(
    where: str, top: str, low: float, high: float, size: float, scale: Schedule | None, by_cycle: bool
) -> Schedule:
    """Return the wave from `low` to `high` in `size` steps and back, its height times `scale`.

    Args:
        where: the library's function, for errors.
        top: its name of `high`.
        low: value at the start of each cycle.
        high: value at the top, not below `low` if there is a scale.
        size: steps of half a cycle, > 0; need not be whole.
        scale: factor of the height, or None.
        by_cycle: whether the step of `scale` is the number of the cycle, from 1; else it is that of the wave.
    """
    whole = size == int(size)
    must(whole or 1e-6 <= size <= 1e6, f"{where}(step_size=...)", "from 1e-6 to 1e6 if it is not whole", size)

    def wave(first: float, second: float) -> Schedule:
        return Triangular(first, second, up=int(size)) if whole else Stretch(Triangular(first, second, up=1), size)

    if scale is None:
        return wave(low, high)
    must(high >= low, f"{where}({top}=...)", f">= {low!r}, the lowest rate, where the height changes", high)
    if by_cycle:
        number, period = Shift(scale, 1), 2.0 * size
        # Where the cycle ends between two steps, the wave is so low there that the side does not show.
        scale = Epochs(number, int(period)) if period == int(period) else Stretch(Epochs(number, 1), period)
    return low + wave(0.0, high - low) * scale if low else wave(0.0, high - low) * scale
