"""What convex optimisation says of a schedule: a bound of the last loss, and the choices that follow from it.

The rates `e[1] ... e[T]` of subgradient descent on a convex function whose subgradients have the norms `G[t]`, from a
start at the distance `D` of a minimum, leave the last iterate at most

    D^2 / (2 b[1]) + g[1] / (2 b[1]) + 1/2 * sum over k < T of e[k] g[k] / (b[k] b[k + 1])

above the minimum, with the sums from k to the end `b[k]` of the rates and `g[k]` of their squares times `G^2`. A factor
on all rates divides the first term and multiplies the others, so the best one is known in closed form.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import Choice, Int, Many, OneOf, Row, short
from lrsched._core.functions import is_function
from lrsched._curves import Chain, Complete, Constant, Hold, Linear, Ramp, Schedule, Shift, Stretch
from lrsched.arguments import Positive, checked

Array = NDArray[np.float64]
Long = Annotated[int, Int(low=1, high=2**27)]
# A rate that is lower by rounding alone is still the peak.
LEVEL = 1.0 - 1e-9
# The line to the second stage takes this part of the first horizon.
STEP_DOWN = 1 / 50
A_SHAPE = OneOf((Schedule, cast(type, Callable)), "a schedule or a function of the step")
WAYS = ("decay", "two_stage", "rescale")


class Tuned(NamedTuple):
    """A schedule at its best peak."""

    schedule: Schedule
    """The schedule with all rates multiplied by `factor`."""
    factor: float
    """What multiplies the rates of the given schedule."""
    peak: float
    """The largest rate."""
    bound: float
    """The bound there, in units of the loss."""
    ratio: float
    """The bound over that of the best schedule of the list, >= 1."""


class Terms(NamedTuple):
    """The bound of rates: `distance^2 * start + noise`."""

    start: float
    noise: float
    peak: float

    def bound(self, distance: float) -> float:
        """Return the bound from this distance."""
        return distance * distance * self.start + self.noise

    def factor(self, distance: float) -> float:
        """Return what the rates should be multiplied by."""
        return float(distance * np.sqrt(self.start / self.noise))

    def distance(self) -> float:
        """Return the distance from which no factor is better than 1."""
        return float(np.sqrt(self.noise / self.start))


@checked
def convex_bound(schedule: Any, steps: Long, *, distance: Positive = 1.0, gradient_norms: Any = 1.0) -> float:
    """A bound of the last loss of subgradient descent on a convex function, above its minimum.

    With the rates `e`, the sums from k to the end `b[k] = sum e[t]` and `g[k] = sum e[t]^2 G[t]^2`, it is
    `D^2 / (2 b[1]) + g[1] / (2 b[1]) + 1/2 sum_{k<T} e[k] g[k] / (b[k] b[k+1])`. Rates of 0 at the end change nothing.

    It *ranks* schedules of one horizon, each at a peak near its best: linear before cosine before a short decay before
    a constant rate. It does not *forecast*: a loss is no such bound, nor are differences of losses differences of
    bounds; at peaks far from the best it can even give the wrong order (it knows no divergence), and bounds of two
    horizons do not compare. `experiments/README.md` holds it against real runs.

    Args:
        schedule: a schedule or function of the step, called on `0 ... steps - 1`; or `steps` rates >= 0.
        steps: length of the run in updates, at least 1, at most 2**27.
        distance: distance `D` of the start from a minimum, > 0, in units of the parameters.
        gradient_norms: norm `G` of the gradients, or one of each update, finite and > 0.

    Returns:
        The bound, > 0, in units of the loss.

    Raises:
        TypeError: an argument is of a wrong kind.
        ValueError: no rate is above 0, or an argument does not fit.

    Examples:
        >>> from lrsched import Linear
        >>> round(convex_bound(Linear(1.0, 0.0, steps=10_000), 10_000, distance=100.0), 4)
        2.0008
        >>> convex_bound([1.0, 1.0], 2)
        1.25

    Source: M. Zamani, F. Glineur, "Exact convergence rate of the last iterate in subgradient methods",
    arXiv:2307.11134, 2023; A. Defazio et al., "Optimal linear decay learning rate schedules and further refinements",
    arXiv:2310.07831, 2023; F. Schaipp et al., "The surprising agreement between convex optimization theory and
    learning-rate scheduling for large model training", arXiv:2501.18965, 2025.
    """
    norms = _norms("convex_bound", gradient_norms, steps)
    return _terms("convex_bound(schedule)", schedule, steps, norms).bound(distance)


@checked
def best_peaks(
    schedules: Annotated[Sequence[Any], Many(A_SHAPE)],
    steps: Long,
    *,
    distance: Positive = 1.0,
    gradient_norms: Any = 1.0,
) -> list[Tuned]:
    """The peak at which the convex bound of each schedule is lowest; the best schedule comes first.

    The factor on all rates is `D sqrt(start / noise)` with the terms of `convex_bound` that it divides and multiplies:
    for one shape the best peak falls as `steps ** -0.5`. Ratios of bounds compare shapes that are each tuned, so they
    do not depend on `distance` and on a constant norm: the ratio of two cosines with and without a floor is its price.

    Args:
        schedules: one or more schedules, or functions of the step.
        steps: length of the run in updates, at least 1, at most 2**27.
        distance: as for `convex_bound`.
        gradient_norms: as for `convex_bound`.

    Returns:
        A `Tuned` (schedule, factor, peak, bound, ratio) for each schedule, sorted by the bound.

    Raises:
        TypeError: an argument is of a wrong kind.
        ValueError: a schedule has no rate above 0, or an argument does not fit.

    Examples:
        >>> from lrsched import Cosine, Linear
        >>> shapes = [Cosine(1.0, 0.0, steps=10_000), Cosine(1.0, 0.1, steps=10_000), Linear(1.0, 0.0, steps=10_000)]
        >>> for tuned in best_peaks(shapes, 10_000):
        ...     print(f"{tuned.peak:.5f} {tuned.bound:.5f} {tuned.ratio:.3f}")
        0.00999 0.02001 1.000
        0.00971 0.02060 1.030
        0.00821 0.02214 1.107

    Source: as for `convex_bound`.
    """
    found = []
    for i, each in enumerate(schedules):
        terms = _terms(f"best_peaks(schedules[{i}])", each, steps, _norms("best_peaks", gradient_norms, steps))
        factor = terms.factor(distance)
        bound = 2.0 * distance * float(np.sqrt(terms.start * terms.noise))
        found.append(Tuned(factor * Schedule.of(each), factor, terms.peak * factor, bound, 1.0))
    least = min(tuned.bound for tuned in found)
    return sorted((tuned._replace(ratio=tuned.bound / least) for tuned in found), key=lambda tuned: tuned.bound)


@checked
def transfer_horizon(
    schedule: Annotated[Schedule, Complete()],
    steps: Long,
    to: Long,
    *,
    how: Annotated[str, Choice(WAYS)] = "decay",
) -> Schedule:
    """The schedule for another horizon, of a run whose peak is right for this one.

    The distance is taken to be the one from which the peak of `schedule` is best for `steps` (a constant norm of the
    gradients cancels); then the convex bound chooses for the other horizon:

    * "decay": the same peak, and the decay for which it is the best; from the rise on where none is long enough. A
      checkpoint from before both decays can be continued.
    * "two_stage": the same peak until the old decay began, a line over 2 % of `steps` to the factor for which the peak
      is the best one, then constant, and a decay over the old part of the run. It can be continued, too.
    * "rescale": the old parts of the run, the rise apart, and the best peak: about `sqrt(steps / to)` of the old.

    In runs of language models of 124M and 210M parameters, from 50,000 to 100,000 and 200,000 updates, two stages ended
    .005 to .012 below the old peak with the old part of the run, and a decay over .6 of it .010 to .012 lower still
    (`experiments/README.md`); no run there tries "rescale".

    Args:
        schedule: a schedule that rises (or not), stays at its peak (or not), and falls.
        steps: the horizon that its peak is tuned for, in updates, at most 2**27.
        to: the wanted horizon in updates, longer than the rise, at most 2**27.
        how: "decay", "two_stage" or "rescale".

    Returns:
        A schedule of `to` updates.

    Raises:
        TypeError: an argument is of a wrong kind.
        ValueError: the schedule does not rise, stay and fall, or the lengths do not fit.

    Examples:
        >>> from lrsched import Constant, Linear, Warmup
        >>> run = Warmup(300) >> Constant(1e-3, steps=39_700) >> Linear(1e-3, 0.0, steps=10_000)
        >>> transfer_horizon(run, 50_000, to=100_000)
        Linear(0.0, 0.001, steps=300) >> Constant(0.001, steps=36196) >> Linear(0.001, 0.0, steps=63504)
        >>> transfer_horizon(run, 50_000, to=100_000, how="two_stage").parts[2:4]
        (Linear(0.001, 0.000527, steps=1000), Constant(0.000527, steps=39000))

    Source: as for `convex_bound`; the ways are those of Schaipp et al., section 5.
    """
    shape = _trapezoid(schedule, steps)
    if to < (least := shape.first + 2):
        raise ValueError(f"transfer_horizon(to=...) must be an int >= {least}, more than its rise takes, got {to}")
    distance = _terms("transfer_horizon(schedule)", schedule, steps).distance()
    room = to - shape.first
    part = min(max(round((steps - shape.last) * to / steps), 1), room)

    def factor(plan: Schedule) -> float:
        return _terms("transfer_horizon(schedule)", plan, to).factor(distance)

    if how == "rescale":
        plan = shape.build(room - part, part)
        return factor(plan) * plan
    if how == "decay":
        # A decay as long as the old one is the least that is tried where the horizon grows: equal ones compare equal.
        decay = _first(lambda n: factor(shape.build(room - n, n)) >= LEVEL, room)
        return shape.build(room - decay, decay)
    down = max(round(STEP_DOWN * steps), 1)
    first = shape.last - shape.first
    second = room - part - first - down
    if second < 1:
        raise ValueError(
            "transfer_horizon(to=...) must leave room for a second stage"
            f" between the {shape.last + down} updates of the first and a decay of {part}, got {to}"
        )

    def staged(thousandths: int) -> Schedule:
        return shape.build(first, part, (down, second, thousandths / 1000))

    return staged(_first(lambda n: factor(staged(n)) < LEVEL, 1000) - 1)


class _Trapezoid(NamedTuple):
    """A schedule that rises up to `first`, stays until `last`, and falls."""

    schedule: Schedule
    peak: float
    first: int
    last: int
    steps: int

    def build(self, hold: int, decay: int, stage: tuple[int, int, float] | None = None) -> Schedule:
        """Return the rise, `hold` updates at the peak, perhaps a second stage, and the fall in `decay` updates."""
        parts: list[Schedule] = [_cut(self.schedule, 0, self.first)] if self.first else []
        if hold:
            parts.append(Constant(self.peak, steps=hold))
        fall = _longer(_cut(self.schedule, self.last, self.steps), self.steps - self.last, decay)
        if stage:
            down, stay, factor = stage
            low = self.peak * factor
            parts += [Linear(self.peak, low, steps=down), Constant(low, steps=stay)]
            fall = factor * fall
        return Schedule.sequence([*parts, fall])


def _trapezoid(schedule: Schedule, steps: int) -> _Trapezoid:
    rates = _rates("transfer_horizon(schedule)", schedule, steps)
    peak = float(rates.max())
    (top,) = np.nonzero(rates >= LEVEL * peak)
    first, last = int(top[0]), int(top[-1])
    if last == steps - 1 or last - first != top.size - 1:
        does = "has its peak at the end" if last == steps - 1 else f"has left its peak between {first} and {last}"
        raise ValueError(
            f"transfer_horizon(schedule) must rise, stay at its peak and fall within {steps} updates; it {does}"
        )
    return _Trapezoid(schedule, peak, first, last, steps)


def _cut(schedule: Schedule, begin: int, end: int) -> Schedule:
    """Return the part of a schedule from one step to another, in its own words where the cut lies between two parts."""
    if not isinstance(schedule, Chain):
        return schedule if begin == 0 and schedule.length == end else _cut_within(schedule, begin, end)
    edges = np.cumsum([0] + [part.length or 0 for part in schedule.parts[:-1]]).tolist()
    ends = [*edges[1:], end]
    if begin in edges and end in ends:
        return Schedule.sequence(schedule.parts[edges.index(begin) : ends.index(end) + 1])
    return _cut_within(schedule, begin, end)


def _cut_within(schedule: Schedule, begin: int, end: int) -> Schedule:
    later = Shift(schedule, begin) if begin else schedule
    return Hold(later, end - begin)


def _longer(part: Schedule, old: int, new: int) -> Schedule:
    if isinstance(part, Ramp) and part.length == old:
        return replace(part, steps=new)
    return part if new == old else Stretch(part, new / old)


def _first(holds: Callable[[int], bool], most: int) -> int:
    """Return the least n from 1 to `most` for which a condition holds that stays true once it is; `most` if none."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _norms(name: str, norms: Any, steps: int) -> Array:
    where = f"{name}(gradient_norms=...)"
    found = Row()(where, norms if np.ndim(norms) else [norms])
    if found.size not in (1, steps) or not (np.isfinite(found).all() and (found > 0).all()):
        raise ValueError(f"{where} must be a finite number > 0, or one for each of {steps} updates, got {short(norms)}")
    return found


def _rates(where: str, schedule: Any, steps: int) -> Array:
    given = schedule(np.arange(steps)) if isinstance(schedule, Schedule) or is_function(schedule) else schedule
    rates = Row()(where, given)
    if rates.size != steps or not (np.isfinite(rates).all() and (rates >= 0).all() and rates.any()):
        raise ValueError(f"{where} must give {steps} finite rates >= 0, one of them above 0, got {short(rates)}")
    return rates


def _terms(where: str, schedule: Any, steps: int, norms: Any = 1.0) -> Terms:
    """Return the terms of the bound, from sums that begin at the end of the run."""
    rates = _rates(where, schedule, steps)
    # Rates below the least normal number over the peak would count as 0; so they are measured by the peak.
    peak = float(rates.max())
    rate = rates[::-1] / peak
    rate = rate[np.argmax(rate > 0) :]
    norm = np.atleast_1d(norms)[::-1]
    size = rate * (norm if norm.size == 1 else norm[-rate.size :])
    left = np.cumsum(rate)
    square = np.cumsum(size * size)
    last = float(np.sum(rate[1:] / left[1:] * (square[1:] / left[:-1])))
    return Terms(0.5 / (peak * float(left[-1])), 0.5 * peak * (float(square[-1] / left[-1]) + last), peak)
