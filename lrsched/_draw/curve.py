"""From samples to the few points that a picture needs: polylines with vertical jumps, or a band of cycles."""

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lrsched._draw.samples import Floats, Ints, Samples, is_jump

# Pixels that a simplified line may lie off the exact one.
_TOLERANCE = 0.12

Place = Callable[[Ints, Floats], tuple[Floats, Floats]]


def line(samples: Samples, place: Place, most: int) -> Floats | None:
    """Return the curve as points of shape `(n, 2)` with real vertical jumps, or None where it needs too many.

    Args:
        samples: the curve.
        place: turns steps and values into picture coordinates.
        most: points that the line may have; a curve that needs more is better drawn as a band.
    """
    if samples.steps.size < 2:
        x, y = place(samples.steps, samples.values)
        return np.column_stack([x, y])
    jumps = np.flatnonzero(is_jump(*samples)) + 1
    if jumps.size > most // 2:
        return None
    x, y = place(*samples)
    pieces = []
    for begin, end in zip([0, *jumps], [*jumps, x.size], strict=True):
        points = np.column_stack([x[begin:end], y[begin:end]])
        if end < x.size:  # the value is held up to the jump
            points = np.vstack([points, [x[end], y[end - 1]]])
        pieces.append(_simplify(points))
    joined = np.vstack(pieces)
    return joined if len(joined) <= most else None


def _simplify(points: Floats) -> Floats:
    """Drop the points that lie on the line through their neighbours (Ramer, Douglas and Peucker)."""
    keep = np.zeros(len(points), dtype=np.bool_)
    keep[[0, -1]] = True
    open_ranges = [(0, len(points) - 1)]
    while open_ranges:
        first, last = open_ranges.pop()
        if last - first < 2:
            continue
        start, along = points[first], points[last] - points[first]
        offset = points[first + 1 : last] - start
        size = float(np.hypot(*along)) or 1.0
        away = np.abs(along[0] * offset[:, 1] - along[1] * offset[:, 0]) / size
        far = int(np.argmax(away))
        if away[far] > _TOLERANCE:
            middle = first + 1 + far
            keep[middle] = True
            open_ranges += [(first, middle), (middle, last)]
    return np.asarray(points[keep])


def _close(heights: Floats, reach: int) -> Floats:
    """Fill the dents of `heights` that are narrower than `2 * reach + 1` (a morphological closing)."""
    window = 2 * reach + 1
    grown = sliding_window_view(np.pad(heights, 2 * reach, mode="edge"), window).max(axis=1)
    return np.asarray(sliding_window_view(grown, window).min(axis=1))


def band(samples: Samples, place: Place, columns: int) -> Floats:
    """Return the outline of a curve that moves too fast to draw, as a polygon of shape `(n, 2)`.

    In each of at most `columns` columns it spans from the least to the greatest value nearby.
    """
    x, y = place(*samples)
    left, right = float(x[0]), float(x[-1])
    column = np.minimum(((x - left) / max(right - left, 1e-9) * columns).astype(np.int64), columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    top, bottom = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    # A column also holds the way from the column before.
    before = y[np.maximum(starts - 1, 0)]
    top, bottom = np.minimum(top, before), np.maximum(bottom, before)
    # Few samples fall into a column, and not all find the top of a cycle: close the gaps between those that do.
    reach = max(columns // 30, 1)
    top, bottom = -_close(-top, reach), _close(bottom, reach)
    middle = left + (column[starts] + 0.5) * (right - left) / columns
    middle[0], middle[-1] = left, right
    return np.column_stack([np.concatenate([middle, middle[::-1]]), np.concatenate([top, bottom[::-1]])])
