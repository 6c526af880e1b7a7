"""Other schedules for the same run: what a remark may suggest."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lrsched._core.value import children
from lrsched._curves import Chain, Constant, Cosine, Epochs, Extend, Hold, Linear, Repeat, Schedule, Stretch
from lrsched._curves.ramps import Ramp
from lrsched._lint.course import Course

Cure = Callable[[], Schedule]


def rebuilt(node: Schedule, change: Callable[[Schedule], Schedule | None]) -> Schedule:
    """Return a schedule in which `change` has replaced the nodes for which it does not return None."""
    changed = change(node)
    if changed is not None:
        return changed
    if not children(node):
        return node

    def of(content: Any) -> Any:
        if isinstance(content, tuple):
            return tuple(of(part) for part in content)
        return rebuilt(content, change) if isinstance(content, Schedule) else content

    return type(node)(**{f.name: of(getattr(node, f.name)) for f in node._arguments})


def scaled(schedule: Schedule, factor: float) -> Schedule:
    """Return a schedule whose lengths are multiplied, and whole again.

    Raises:
        ValueError: it has other clocks than lengths.
    """

    def change(node: Schedule) -> Schedule | None:
        if isinstance(node, Ramp | Constant) and node.steps is not None:
            return replace(node, steps=max(1, math.ceil(node.steps * factor - 0.5)))
        if isinstance(node, Hold):
            return replace(node, schedule=scaled(node.schedule, factor), steps=max(1, round(node.steps * factor)))
        if not isinstance(node, Constant | Chain | Repeat | Extend) and (not children(node) or node._view()):
            raise ValueError(f"{node!r} has no length")
        if isinstance(node, Epochs | Stretch):
            raise ValueError(f"{node!r} has another clock")
        return None

    return rebuilt(schedule, change)


def longer(schedule: Schedule, more: int) -> Schedule:
    """Return a schedule whose longest part takes `more` steps more, or fewer where that is negative.

    Raises:
        ValueError: it has no such part, or that would be shorter than half of what it was.
    """
    parts = list(schedule.parts) if isinstance(schedule, Chain) else [schedule]
    sizes = [_own(part) for part in parts]
    i = sizes.index(max(sizes))
    steps = sizes[i] + more
    if sizes[i] == 0 or 2 * steps < sizes[i]:
        raise ValueError(f"{schedule!r} has no part that can be changed by {more} steps")
    parts[i] = _resized(parts[i], steps)
    return Schedule.sequence(parts)


def _own(part: Schedule) -> int:
    inner = part.schedule if isinstance(part, Extend) else part
    return (inner.steps or 0) if isinstance(inner, Ramp | Constant) else 0


def _resized(part: Schedule, steps: int) -> Schedule:
    if isinstance(part, Extend):
        return Extend(replace(part.schedule, steps=steps))
    return replace(part, steps=steps)  # type: ignore[call-arg]  # those that come here have it


def fitted(course: Course, steps: int) -> tuple[Cure, ...]:
    """Return ways to make the curve end at `steps`."""
    s, end = course.schedule, course.end or course.total
    return (
        lambda: longer(s, steps - end),
        lambda: scaled(s, steps / end),
        lambda: Stretch(s, factor=steps / end),
    )


def with_warm_up(course: Course, steps: int) -> Schedule:
    """Return the schedule with another length of the first part, and the same end.

    Raises:
        ValueError: it is no chain whose first part has a length.
    """
    if not isinstance(course.schedule, Chain):
        raise ValueError(f"{course.schedule!r} is no chain")
    first, *rest = course.schedule.parts
    if _own(first) == 0:
        raise ValueError(f"{first!r} has no length")
    after = Schedule.sequence(rest)
    want = (course.steps or course.total) - steps
    if course.end is not None and (more := want - (course.end - _own(first))):
        cures = fitted(replace(course, schedule=after, steps=None), want)
        after = longer(after, more) if 2 * want > course.end - _own(first) and _own(after) else first_of(cures)
    return _resized(first, steps) >> after


def first_of(cures: tuple[Cure, ...]) -> Schedule:
    """Return what the first of several ways makes that is possible.

    Raises:
        ValueError: none is.
    """
    for cure in cures:
        try:
            return cure()
        except (TypeError, ValueError, ArithmeticError):
            continue
    raise ValueError("nothing fits")


def without_nothing(schedule: Schedule) -> Schedule:
    """Return a schedule without the ramps from 0 to 0."""

    def change(node: Schedule) -> Schedule | None:
        if isinstance(node, Chain) and any(map(is_nothing, node.parts)):
            return rebuilt(Schedule.sequence([part for part in node.parts if not is_nothing(part)]), change)
        return None

    return rebuilt(schedule, change)


def is_nothing(node: Schedule) -> bool:
    """Return whether a schedule is a ramp from 0 to 0."""
    return isinstance(node, Ramp) and getattr(node, "start", 1.0) == getattr(node, "end", 1.0) == 0.0


def joined(schedule: Schedule, chain: Chain, i: int) -> tuple[Cure, ...]:
    """Return ways to make part i of a chain inside begin where the part before it ends."""
    left, right = chain.parts[i - 1], chain.parts[i]
    goal, begin = float(left(left.length or 0)), float(right(0))

    def into(place: int, part: Schedule) -> Schedule:
        new = Chain((*chain.parts[:place], part, *chain.parts[place + 1 :]))
        return rebuilt(schedule, lambda node: new if node is chain else None)

    def of(part: Any, name: str, height: float) -> Schedule:
        if not hasattr(part, name):
            raise ValueError(f"{part!r} has no {name}")
        changed: Schedule = replace(part, **{name: height})
        return changed

    lift: Cure = lambda: into(i - 1, of(left, "end", begin))  # noqa: E731
    lower: Cure = lambda: into(i, of(right, "start", goal))  # noqa: E731
    first = (lift, lower) if goal < begin else (lower, lift)
    return *first, lambda: into(i, right * (goal / begin)), lambda: into(i - 1, left * (begin / goal))


def coarser(course: Course, most: int) -> Schedule:
    """Return a schedule that counts several steps as one, so that no part counts more than `most`."""
    stride = math.ceil(1.001 * course.clock / most)
    return Epochs(scaled(course.schedule, 1 / stride), stride)


def cooled(course: Course) -> tuple[Cure, ...]:
    """Return ways to end with a line to 0 over the last fifth."""
    s, fifth = course.schedule, max(course.total // 5, 1)
    stay = course.total - fifth

    def chained() -> Schedule:
        if not (isinstance(s, Chain) and isinstance(s.parts[-1], Constant)):
            raise ValueError(f"{s!r} has no constant end")
        flat = replace(s.parts[-1], steps=stay - s.starts[-1])
        return Schedule.sequence((*s.parts[:-1], flat, _line(s.parts[-1].value, fifth)))

    return chained, lambda: Hold(s, stay) >> _line(s(stay), fifth)


def _line(height: float, steps: int) -> Schedule:
    return Linear(height, 0.0, steps=steps)


def standard(course: Course) -> Schedule:
    """Return a schedule that fits any run: what is suggested where nothing of the given one can stay."""
    known = course.summit if 1e-6 <= course.summit < 1.0 else 1e-3
    peak, steps = course.lr or known, max(course.total - 1, 1)
    if course.total == 1:
        return Constant(peak)
    stride = math.ceil(course.total / 2**23)
    cosine = Cosine(peak, 0.01 * peak, steps=max(steps // stride, 1))
    return Epochs(cosine, stride) if stride > 1 else cosine
