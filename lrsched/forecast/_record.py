"""What the return model remembers of a run: bounded, however long the run is."""

import math
from typing import NamedTuple

import numpy as np

from lrsched.forecast._law import Points
from lrsched.forecast._path import Array, Jumps, Trace

# Losses are averaged over this many equal parts of the horizon.
BINS = 100
# A block of jumps holds up to this part of the largest rate; beyond MOST blocks, neighbours are merged.
BLOCK = 1 / 48
MOST = 128
# What is not between these is no loss: the squares of losses must be finite, and not all 0.
SMALLEST, LARGEST = 1e-30, 1e30

Row = tuple[float, ...]


class Record(NamedTuple):
    """The history of a run in numbers and tuples of numbers, which JSON can hold."""

    step: int = 0  # updates done
    area: float = 0.0  # sum of their rates over the peak
    rate: float = 0.0  # rate of the last of them over the peak
    largest: float = 0.0  # largest of these rates
    # Losses in the open bin: how many; their mean; sum of squares about it; sums of area and of step.
    bin: Row = (0.0, 0.0, 0.0, 0.0, 0.0)
    block: Row = (0.0, 0.0, 0.0, 0.0, 0.0)  # open block of jumps: gap; mass; sums of mass times level, area, step
    points: tuple[Row, ...] = ()  # closed bins: step, area, loss, standard deviation of log(loss)
    jumps: tuple[Row, ...] = ()  # closed blocks: gap, level, area, step
    refused: int = 0  # losses that were not between 1e-30 and 1e30


def advance(record: Record, loss: float, rate: float, every: int, width: int) -> Record:
    """Return the record after `every` more updates.

    Args:
        record: what happened before.
        loss: the loss now; if it is not between 1e-30 and 1e30, it is counted and left out.
        rate: rate of these updates over the peak.
        every: how many updates.
        width: length of a bin in updates.

    Returns:
        The new record.
    """
    step, area, old, largest, inside, block, points, jumps, refused = record
    if rate != old:
        largest = max(largest, rate)
        block, jumps = _jump(block, jumps, (old - rate, rate, area, float(step)), BLOCK * largest)
    before, step, area = step, step + every, area + every * rate
    if SMALLEST < loss < LARGEST:
        count, mean, square, areas, steps = inside
        away = loss - mean  # Welford's update: exact where all losses are alike
        mean += away / (count + 1.0)
        inside = (count + 1.0, mean, square + away * (loss - mean), areas + area, steps + step - 1.0)
    else:
        refused += 1
    if before // width != step // width:
        count, mean, square, areas, steps = inside
        if count and areas > 0.0 and len(points) < BINS:
            noise = math.sqrt(square / (count - 1.0) / count) / mean if count > 1.0 else 0.0
            points = (*points, (steps / count, areas / count, mean, noise))
        inside = (0.0, 0.0, 0.0, 0.0, 0.0)
    return Record(step, area, rate, largest, inside, block, points, jumps, refused)


def _jump(block: Row, jumps: tuple[Row, ...], jump: Row, most: float) -> tuple[Row, tuple[Row, ...]]:
    """Return the open block and the closed ones after a jump `(gap, level, area, step)`."""
    gap, level, area, step = jump
    size = abs(gap)
    if block[1] and (block[0] * gap < 0.0 or block[1] + size > most):
        jumps = (*jumps, _centre(block))
        block = (0.0, 0.0, 0.0, 0.0, 0.0)
        if len(jumps) > MOST:
            jumps = _halve(jumps)
    total, mass, levels, areas, steps = block
    return (total + gap, mass + size, levels + size * level, areas + size * area, steps + size * step), jumps


def _centre(block: Row) -> Row:
    gap, mass, *moments = block
    return (gap, *(moment / mass for moment in moments))


def _halve(jumps: tuple[Row, ...]) -> tuple[Row, ...]:
    """Merge pairs of neighbours, except where a rise meets a drop."""
    merged: list[Row] = []
    rest = list(reversed(jumps))
    while rest:
        first = rest.pop()
        if rest and first[0] * rest[-1][0] > 0.0:
            second = rest.pop()
            gap = first[0] + second[0]
            pairs = zip(first[1:], second[1:], strict=True)
            merged.append((gap, *((first[0] * a + second[0] * b) / gap for a, b in pairs)))
        else:
            merged.append(first)
    # Rises and drops in turn: nothing merges, and the oldest have long been answered.
    return tuple(merged[-MOST:])


def jumps_of(record: Record) -> Jumps:
    """Return the jumps so far as arrays."""
    rows = [*record.jumps, *([_centre(record.block)] if record.block[1] else [])]
    return Jumps(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def points_of(record: Record, first: int) -> Points:
    """Return the closed bins from number `first` on, as a law wants them."""
    step, area, loss, noise = np.array(record.points[first:], dtype=np.float64).reshape(-1, 4).T
    return Points(Trace(area, step, jumps_of(record)), loss, noise)


def continued(record: Record, future: Array, horizon: int, points: int = 1) -> Trace:
    """Return the trace at the last update so far and at some later ones up to the last before the horizon.

    Args:
        record: what happened so far.
        future: rates over the peak in the middle of n equal parts of what remains, `(n,)`.
        horizon: length of the run in updates.
        points: how many later updates, evenly spaced, at most n.

    Returns:
        A trace of `points + 1` points.
    """
    stride = (horizon - record.step) / future.size
    total = record.area + np.cumsum(future) * stride
    starts = record.step + np.arange(future.size) * stride
    gap = -np.diff(future, prepend=record.rate)
    moved = gap != 0.0
    later = Jumps(gap[moved], future[moved], (total - future * stride)[moved], starts[moved])
    jumps = Jumps(*map(np.concatenate, zip(jumps_of(record), later, strict=True)))
    last = np.arange(1, points + 1) * future.size // points - 1
    area = np.concatenate(([record.area], total[last]))
    return Trace(area, np.concatenate(([record.step], starts[last] + stride)) - 1.0, jumps)
