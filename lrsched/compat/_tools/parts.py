"""Parts on their own clocks, and swings: what the schedules of torch, Keras, Optax and transformers are built from."""

from collections.abc import Sequence
from typing import Annotated

from lrsched._core.check import Many, Real
from lrsched._curves.modifiers import Extend, Hold, Shift, Stretch
from lrsched._curves.ramps import Cosine
from lrsched._curves.schedule import Constant, Node, Schedule

Parts = Annotated[Sequence[Schedule], Many(Node())]
Rates = Annotated[Sequence[float], Many(Real(low=0.0))]


def cut(schedule: Schedule, steps: int) -> Schedule:
    """Return the first `steps` steps of a schedule, as a part of a chain."""
    if schedule.length == steps:
        return schedule
    return Constant(schedule.value, steps) if isinstance(schedule, Constant) else Hold(schedule, steps)


def chain(*parts: Schedule | None) -> Schedule:
    """Return the given parts one after the other; None stands for a part that takes no step."""
    given = [part for part in parts if part is not None]
    return given[0] if len(given) == 1 else Schedule.sequence(given)


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
