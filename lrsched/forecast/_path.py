"""What a loss law needs to know of a sequence of learning rates: the area under it and its jumps.

With the rates `u[t]` (learning rate of update t over a reference rate) and `u[-1] = 0`, the area is
`S[t] = u[0] + ... + u[t]` and update t makes the jump `u[t-1] - u[t]`. A warm-up is a series of negative jumps; they
belong to the law, and a run that starts at full rate starts with one large negative jump.

A curve jumps at every step. Neighbouring jumps are merged into their centre of mass: the law is an integral over jumps,
so this is its midpoint rule, whose error falls with the square of the block.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrsched._core.check import MAX_STEPS, Row, short
from lrsched._core.functions import is_function
from lrsched._curves import Schedule, corners

Array = NDArray[np.float64]
Steps = NDArray[np.int64]

# A block of jumps holds at most this part of the largest rate. Measured on published laws of language models and
# cosine, linear and exponential decays of up to 70,000 jumps: predictions move by less than 5e-5 (FINE), 2.5e-4
# (COARSE).
FINE = 1 / 1024
COARSE = 1 / 256
# It spans at most this part of the area before its end: what is long past may be blurred more.
REACH = 1 / 16
# A schedule is called on each of so many steps; of more, on one in each of half as many stretches.
LONG = 2**20


class Jumps(NamedTuple):
    """Changes of the rate, in the order of time; all arrays are float64 `(k,)`."""

    gap: Array  # rate before minus rate after: negative where the rate rises
    level: Array  # rate after the jump
    area: Array  # area before the jump
    step: Array  # the update that makes it


class Trace(NamedTuple):
    """A path of rates as seen from some of its steps."""

    area: Array  # `(n,)`: area after each of these steps
    step: Array  # `(n,)`
    jumps: Jumps


class Path(NamedTuple):
    """Rates that hold for a stretch of steps each."""

    rate: Array  # `(n,)`
    begin: Steps  # `(n,)`: the first step of each stretch

    def over(self, unit: float) -> "Path":
        """Return the path of the rates over a unit."""
        return Path(self.rate / unit, self.begin)

    def before(self) -> Array:
        """Return the area before each stretch."""
        # Sums, not differences: after a jump to 0 no area may appear out of rounding.
        return np.concatenate(([0.0], np.cumsum(self.rate[:-1] * np.diff(self.begin))))

    def area(self, steps: Steps) -> Array:
        """Return the area after each of some steps."""
        at = np.searchsorted(self.begin, steps, "right") - 1
        return self.before()[at] + self.rate[at] * (steps - self.begin[at] + 1)


def as_path(u: "Array | Path") -> Path:
    """Return a path; an array holds the rate of each step."""
    return u if isinstance(u, Path) else Path(u, np.arange(u.size))


def rates(where: str, lr: Any, last: int) -> Path:
    """Return the rate of every step up to `last`.

    Args:
        where: what errors call them.
        lr: rates `(n,)`, n > `last`, finite and >= 0; or a schedule, called on `0 ... last`, or in the middle of many
            stretches of these if they are very many.
        last: the last step that matters.

    Returns:
        The rates.

    Raises:
        ValueError: the rates are not such an array.
    """
    if isinstance(lr, Schedule) or is_function(lr):
        begin = _stretches(lr, last + 1) if last >= LONG else np.arange(last + 1)
        array = Row()(where, lr(begin + (np.diff(begin, append=last + 1) - 1) // 2))
        wanted = begin.size
    else:
        array = Row()(where, lr)[: last + 1]
        begin, wanted = as_path(array).begin, last + 1
    if array.size != wanted:
        raise ValueError(f"{where} must hold the rate of each step up to {last}, got {array.size} rates")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        odd = array[~(array >= 0) | ~np.isfinite(array)][0].item()
        raise ValueError(f"{where} must hold finite rates >= 0, got {odd!r}")
    return Path(array, begin)


def _stretches(lr: Any, end: int) -> Steps:
    """Return where stretches begin that are short at first and nowhere long, none across a corner of a schedule."""
    few = LONG // 4
    edges = [np.linspace(0, end, few, endpoint=False), np.geomspace(1, end, few, endpoint=False)]
    told = corners(lr, end - 1) if isinstance(lr, Schedule) else []
    return np.unique(np.concatenate([*edges, told]).astype(np.int64))


def whole_steps(where: str, steps: ArrayLike) -> Steps:
    """Return `steps` as a 1-D array of integers from 0 to 2**53, or raise an error that names `where`."""
    try:
        array = np.atleast_1d(np.asarray(steps))
        found = array.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer) or (found < 0).any():
        raise ValueError(f"{where} must be one or more integers >= 0, got {short(steps)}")
    if found.max() > MAX_STEPS:
        raise ValueError(f"{where} must be integers <= 2**53, got {found.max()}")
    return found


def jumps_of(u: Array | Path) -> Jumps:
    """Return every jump of a path, none merged; the rate before it counts as 0."""
    path = as_path(u)
    gap = -np.diff(path.rate, prepend=0.0)
    at = np.flatnonzero(gap)
    return Jumps(gap[at], path.rate[at], path.before()[at], path.begin[at].astype(np.float64))


def merge(every: Jumps, resolution: float, reach: float = REACH) -> Jumps:
    """Merge neighbouring jumps of one sign into blocks at their centre of mass.

    Args:
        every: the jumps, in the order of time.
        resolution: largest total gap of a block over the largest rate; a larger jump stays alone.
        reach: largest width of a block over the area before its end.

    Returns:
        Fewer jumps with the same total gap.
    """
    gap, level, area, step = every
    if not gap.size:
        return every
    mass = np.abs(gap)
    cell = np.floor(np.cumsum(mass) / (resolution * max(float(level.max()), float(mass.max()))) - 1e-9)
    ring = np.floor(np.log(np.maximum(area, 1e-300)) / np.log1p(reach))
    change = (np.diff(cell) != 0) | (np.diff(ring) != 0) | (np.diff(np.sign(gap)) != 0)
    start = np.concatenate(([0], np.flatnonzero(change) + 1))
    weight = np.add.reduceat(mass, start)
    centre = (np.add.reduceat(mass * each, start) / weight for each in (level, area, step))
    return Jumps(np.add.reduceat(gap, start), *centre)


def trace(u: Array | Path, steps: Steps, resolution: float) -> Trace:
    """Return what a law sees of a path from each of `steps`, jumps merged to `resolution`."""
    path = as_path(u)
    return Trace(path.area(steps), steps.astype(np.float64), merge(jumps_of(path), resolution))


class Stretches(NamedTuple):
    """A path as a row of stretches of nearly one rate, as seen from some of its steps."""

    rate: Array  # `(k,)`: mean rate of each stretch
    mean: Array  # `(k,)`: mean rate from the start to its middle, in which late steps count for more
    length: Array  # `(k,)`: number of its steps
    at: Steps  # `(n,)`: the stretch that each of these steps is in
    inside: Array  # `(n,)`: how many steps of it are over after the step


def stretches(path: Path, steps: Steps, resolution: float, reach: float = REACH) -> Stretches:
    """Return the stretches of a path as seen from each of some steps.

    Args:
        path: the path.
        steps: where it is seen from, `(n,)`.
        resolution: largest change of the rate in a stretch over the largest rate.
        reach: largest length of a stretch over the steps before its end.

    Returns:
        The stretches up to the last of the steps.
    """
    end = int(steps.max()) + 1
    rate, begin = (each[: np.searchsorted(path.begin, end)] for each in path)
    length = np.diff(begin, append=end)
    moved = np.abs(np.diff(rate, prepend=0.0))
    cell = np.floor(np.cumsum(moved) / (resolution * max(float(rate.max()), 1e-300)) - 1e-9)
    ring = np.floor(np.log(begin + 1.0) / np.log1p(reach))
    start = np.flatnonzero(np.concatenate(([True], (np.diff(cell) != 0) | (np.diff(ring) != 0))))
    first = begin[start].astype(np.float64)
    long = np.diff(first, append=end)
    flat = np.add.reduceat(rate * length, start) / long
    # Step s counts for 2 s + 1 in the mean, so that what comes before step s counts for s**2.
    squares = np.diff(begin.astype(np.float64) ** 2, append=float(end) ** 2)
    before = np.concatenate(([0.0], np.cumsum(np.add.reduceat(rate * squares, start))[:-1]))
    middle = first + (long + 1.0) / 2.0
    mean = (before + flat * (middle**2 - first**2)) / middle**2
    at = np.searchsorted(first, steps, "right") - 1
    return Stretches(flat, mean, long, at, steps - first[at] + 1.0)
