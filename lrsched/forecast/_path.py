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

from lrsched._core.check import Row, short

Array = NDArray[np.float64]

# A block of jumps holds at most this part of the largest rate. Measured on published laws of language models and
# cosine, linear and exponential decays of up to 70,000 jumps: predictions move by less than 5e-5 (FINE), 2.5e-4
# (COARSE).
FINE = 1 / 1024
COARSE = 1 / 256
# It spans at most this part of the area before its end: what is long past may be blurred more.
REACH = 1 / 16


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


def rates(where: str, lr: Any, last: int) -> Array:
    """Return the rate of every step up to `last`.

    Args:
        where: what errors call them.
        lr: rates `(n,)`, n > `last`, finite and >= 0; or a schedule, called on `0 ... last`.
        last: the last step that matters.

    Returns:
        The rates, float64 `(last + 1,)`.

    Raises:
        ValueError: the rates are not such an array.
    """
    schedule = callable(lr) and not isinstance(lr, type)
    array = Row()(where, lr(np.arange(last + 1)) if schedule else lr)
    if array.size <= last:
        raise ValueError(f"{where} must hold the rate of each step up to {last}, got {array.size} rates")
    array = array[: last + 1]
    if not (np.isfinite(array).all() and (array >= 0).all()):
        odd = array[~(array >= 0) | ~np.isfinite(array)][0].item()
        raise ValueError(f"{where} must hold finite rates >= 0, got {odd!r}")
    return array


def whole_steps(where: str, steps: ArrayLike) -> NDArray[np.int64]:
    """Return `steps` as a 1-D array of integers >= 0, or raise an error that names `where`."""
    try:
        array = np.atleast_1d(np.asarray(steps))
        found = array.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer) or (found < 0).any():
        raise ValueError(f"{where} must be one or more integers >= 0, got {short(steps)}")
    return found


def jumps_of(u: Array) -> Jumps:
    """Return every jump of the rates `u` `(n,)`, none merged; `u[-1]` counts as 0."""
    gap = -np.diff(u, prepend=0.0)
    at = np.flatnonzero(gap)
    # Sums, not differences: after a jump to 0 no area may appear out of rounding.
    before = np.concatenate(([0.0], np.cumsum(u)[:-1]))
    return Jumps(gap[at], u[at], before[at], at.astype(np.float64))


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


def trace(u: Array, steps: NDArray[np.int64], resolution: float) -> Trace:
    """Return what a law sees of the rates `u` `(n,)` from each of `steps`, jumps merged to `resolution`."""
    return Trace(np.cumsum(u)[steps], steps.astype(np.float64), merge(jumps_of(u), resolution))
