"""What several libraries' schedules are built from."""

import math
from collections.abc import Callable, Sequence

from lrsched._curves.cycles import MAX_CYCLES, Repeat
from lrsched._curves.modifiers import Hold, Shift, Stretch
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Chain, Constant, Schedule
from lrsched._recipes.staircases import piecewise_constant

# A list of cycles ends here: at a thousand steps a second, after 35 years.
ENOUGH = 2**40


def then(steps: int, first: Schedule, rest: Schedule) -> Schedule:
    """Return `first` for `steps` steps, then `rest`; only `rest` if there are none."""
    if steps < 1:
        return rest
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


def late(schedule: Schedule, steps: float) -> Schedule:
    """Return the schedule from its step `steps` on."""
    return Shift(schedule, steps) if steps else schedule


def delayed(schedule: Schedule) -> Schedule:
    """Return the schedule one update late: its first rate is used twice."""
    first, *rest = schedule.parts if isinstance(schedule, Chain) else (schedule,)
    if isinstance(first, Constant):
        longer = Constant(first.value, None if first.steps is None else first.steps + 1)
        return Schedule.sequence([longer, *rest]) if rest else longer
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
    return in_time(part, length / (part.length or 1), offset)


def whole(number: float) -> float:
    """Return the number, made whole if only its rounding keeps it from being so."""
    near = round(number)
    return near if abs(number - near) < 1e-9 * max(abs(number), 1.0) else number


def grain(length: float) -> int:
    """Return the steps of the part that `in_time` spreads over a real length: all if whole, else one.

    Then the joints lie where the length times a whole number does, without another rounding.
    """
    return int(length) if length == int(length) and length >= 1 else 1


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
    return parts[0] if len(parts) == 1 else Schedule.sequence(parts)
