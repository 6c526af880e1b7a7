"""The steps of a schedule that a person asks about, with the value and the share of the learning there."""

from itertools import groupby, pairwise
from typing import Annotated, NamedTuple

import numpy as np

from lrsched._curves import Complete, Schedule
from lrsched._draw.samples import Samples, area, horizon, phases, sample
from lrsched.arguments import CountOrNone, checked

# A chain of more parts names only its first joints.
_MOST_JOINTS = 24


class Milestone(NamedTuple):
    """A named step of a schedule.

    Args:
        name: "start", "peak", "half of peak", "minimum", "end", or the class of the part that begins here.
        step: update number, counted from 0.
        value: the schedule's value at `step`.
        share: part of the summed value that is spent from here to the next milestone; all shares add up to 1.
    """

    name: str
    step: int
    value: float
    share: float


@checked
def milestones(schedule: Annotated[Schedule, Complete()], steps: CountOrNone = None) -> tuple[Milestone, ...]:
    """The steps of a schedule that matter, in order.

    Args:
        schedule: any schedule.
        steps: look at the steps from 0 to here; by default to the schedule's length, or a sensible horizon where
            it is unbounded.

    Returns:
        One `Milestone` for the start, the peak (the end of the warm-up), each part of a chain, the first step after
        the peak with at most half of it, the minimum, and the end. Several may stand on the same step.

    Examples:
        >>> from lrsched import Linear, Warmup
        >>> for m in milestones(Warmup(10) >> Linear(1.0, 0.0, steps=90)):
        ...     print(m.name, m.step, m.value, round(m.share, 2))
        start 0 0.0 0.0
        Linear 0 0.0 0.09
        peak 10 1.0 0.0
        Linear 10 1.0 0.68
        half of peak 55 0.5 0.23
        end 100 0.0 0.0
    """
    last = horizon(schedule, steps)
    return milestones_of(schedule, sample(schedule, last), last)


def milestones_of(schedule: Schedule, samples: Samples, last: int) -> tuple[Milestone, ...]:
    """The milestones of a schedule that is already sampled from step 0 to `last`."""
    named = [("start", 0)]
    values = samples.values
    top, bottom = float(values.max()), float(values.min())
    if top > bottom:
        peaks = np.flatnonzero(values == top)
        # In a periodic schedule rounding would make any of the equal peaks the highest.
        peak = int(np.flatnonzero(values >= top - 1e-12 * abs(top))[0])
        if 0 < peak < values.size - 1:
            named.append(("peak", int(samples.steps[peak])))
        lows = np.flatnonzero(values[peaks[-1] :] <= top / 2) + peaks[-1]
        if top > 0 and lows.size:
            named.append(("half of peak", _first_below(schedule, samples, int(lows[0]), top / 2)))
        least = int(np.argmin(values))
        if bottom < min(values[0], values[-1]):
            named.append(("minimum", int(samples.steps[least])))
    joints = [(p.name, p.start) for p in phases(schedule)[:_MOST_JOINTS] if p.start < last]
    named = sorted([*named, *joints], key=lambda item: item[1])
    named.append(("end", last))
    stops = [step for _, step in named] + [last]
    areas = [area(samples, a, b) if b > a else 0.0 for a, b in pairwise(stops)]
    total = sum(areas)
    return tuple(
        Milestone(name, step, float(schedule(step)), part / total if total else 0.0)
        for (name, step), part in zip(named, areas, strict=True)
    )


def _first_below(schedule: Schedule, samples: Samples, index: int, level: float) -> int:
    """Return the first step with a value of at most `level` between the samples `index - 1` and `index`."""
    above, below = int(samples.steps[index - 1]), int(samples.steps[index])
    while below - above > 1:
        middle = (above + below) // 2
        above, below = (above, middle) if float(schedule(middle)) <= level else (middle, below)
    return below


def merged(items: tuple[Milestone, ...]) -> list[Milestone]:
    """Join the milestones of the same step, for a table with one row a step."""
    rows = []
    for step, group in groupby(items, key=lambda item: item.step):
        same = list(group)
        rows.append(Milestone(", ".join(m.name for m in same), step, same[0].value, sum(m.share for m in same)))
    return rows
