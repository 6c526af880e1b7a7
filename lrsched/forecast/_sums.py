"""Sums over many sources at many points, in time that grows with their number and not with its square.

What a jump of the rate gives at a later point is smooth once the point is far enough away. So the points are halved
again and again: what lies before an interval by its width or more is summed at a few nodes of it, exactly, and from
there on carried as a polynomial; only what lies nearer goes on to the halves. Of a few points and sources each pair is
computed, in blocks that stay in the cache.
"""

from collections.abc import Callable

import numpy as np

from lrsched.forecast._path import Array

# What the sources of a slice give at the points `(m,)` together, `(m, q)`: nothing at points before them.
Kernel = Callable[[Array, slice], Array]

# A polynomial of this many nodes: 1e-9 of what comes from the nearest of the far sources, much less from the others.
ORDER = 12
# Pairs of points and sources that are computed at once, and those that no polynomial is worth.
BLOCK, PAIRS = 2**15, 2**19
# An interval of so few points, or with so few sources near it, is not halved.
POINTS, SOURCES = 4 * ORDER, 8

_ANGLES = (np.arange(ORDER) + 0.5) * np.pi / ORDER
_NODES = np.cos(_ANGLES)
_COEFFICIENTS = np.cos(np.outer(np.arange(ORDER), _ANGLES)) * 2.0 / ORDER
_COEFFICIENTS[0] /= 2.0


def summed(points: Array, sources: Array, kernel: Kernel) -> Array:
    """Return what all sources give at each point.

    Args:
        points: `(n,)`, in any order.
        sources: where the sources lie, `(k,)`, in order.
        kernel: what some of them give at some points; smooth behind a source.

    Returns:
        The sums, `(n, q)`.
    """

    def pairs(at: Array, first: int, last: int) -> Array:
        """Return what the sources `first`, ... give, from each pair."""
        parts = []
        rows = BLOCK // min(max(last - first, 1), BLOCK)
        for i in range(0, at.size, rows):
            block = at[i : i + rows]
            end = min(last, int(np.searchsorted(sources, block.max(), "right")))
            begins = range(first, max(end, first + 1), BLOCK)
            parts.append(sum(kernel(block, slice(k, min(k + BLOCK, end))) for k in begins))
        return np.concatenate(parts)

    if points.size * sources.size <= PAIRS:
        return pairs(points, 0, sources.size)
    x, back = np.unique(points, return_inverse=True)
    sums = np.empty((x.size, kernel(x[:1], slice(0, 0)).shape[1]))
    waiting: list[tuple[int, int, int, _Interpolant | None]] = [(0, x.size, 0, None)]
    while waiting:
        first, last, near, far = waiting.pop()
        low, high = x[first], x[last - 1]
        end = max(int(np.searchsorted(sources, high)), near)
        if last - first <= POINTS or end - near <= SOURCES:
            here = pairs(x[first:last], near, end)
            sums[first:last] = here if far is None else here + far(x[first:last])
            continue
        begin = int(np.searchsorted(sources, low - (high - low), "right"))
        if begin > near:
            nodes = (low + high) / 2 + (high - low) / 2 * _NODES
            there = pairs(nodes, near, begin)
            near, far = begin, _Interpolant(low, high, there if far is None else there + far(nodes))
        middle = min(max(int(np.searchsorted(x, (low + high) / 2)), first + 1), last - 1)
        waiting += [(first, middle, near, far), (middle, last, near, far)]
    return sums[back]


class _Interpolant:
    """The polynomial through values `(ORDER, q)` at the nodes of an interval."""

    def __init__(self, low: float, high: float, values: Array) -> None:
        self.middle, self.half = (low + high) / 2, (high - low) / 2
        self.coefficients = _COEFFICIENTS @ values

    def __call__(self, points: Array) -> Array:
        values: Array = np.polynomial.chebyshev.chebval((points - self.middle) / self.half, self.coefficients)
        return values.T
