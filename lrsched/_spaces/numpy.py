"""The operations of a curve on NumPy's arrays: only what a block of steps needs is computed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lrsched._spaces.arrays import Arrays
from lrsched._spaces.clock import Clock
from lrsched._spaces.ops import ops_named
from lrsched._spaces.space import AtTime, Part, Space

# From so many pieces on a block of steps is sorted by piece, instead of being looked through for each.
SORTED = 32


class NumPySpace(Arrays):
    """float64 in NumPy."""

    def __init__(self, top: int | None) -> None:
        super().__init__(ops_named("numpy"), np.float64, top)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return np.where(condition, a, b)

    def full(self, t: Any, value: float) -> Any:
        return value

    def bounded(self, t: Any, n: int, curve: Part, end: float) -> Any:
        def ramp(t: Any, space: Space) -> Any:
            if type(t) is Clock:
                x, y = self.parts(t, n)
                return curve(*((x, y) if t.unit is None else (np.maximum(x, 0.0), np.maximum(y, 0.0))), space)
            return curve(t / n, (n - t) / n, space)

        return self.before(t, n, ramp, end)

    def before(self, t: Any, n: int, curve: AtTime, end: float) -> Any:
        inside = self.less(t, n)
        if inside is None or inside.all():
            return curve(t, self)
        value = np.full(inside.shape, end)
        if inside.any():
            value[inside] = curve(t[inside], self)
        return value

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[AtTime]) -> Any:
        steps, edges = t, list(starts)
        if type(t) is Clock:
            if t.unit is not None:
                return self._pieces_of_cycles(t, starts, curves)
            steps, edges = t.steps, [0, *(self.edge(t.steps, t.at(start), t.times) for start in starts[1:])]
        first, last = np.searchsorted(edges[1:], [steps.min(), steps.max()], side="right").tolist()
        if first == last:
            return curves[last](self._since(t, starts[last]), self)
        value = np.empty(steps.shape)
        if last - first >= SORTED:
            owner = np.searchsorted(edges[1:], steps, side="right")
            order = np.argsort(owner, kind="stable")
            for mine in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
                i = int(owner[mine[0]])
                value[mine] = curves[i](self._since(t[mine], starts[i]), self)
            return value
        for i in range(first, last + 1):
            mine = steps < edges[i + 1] if i == first else edges[i] <= steps
            if first < i < last:
                mine &= steps < edges[i + 1]
            if mine.any():
                value[mine] = curves[i](self._since(t[mine], starts[i]), self)
        return value

    def _since(self, t: Any, start: int) -> Any:
        return t.ahead(-start) if type(t) is Clock else t - start

    def _pieces_of_cycles(self, t: Clock, starts: Sequence[int], curves: Sequence[AtTime]) -> Any:
        value = np.empty(t.steps.shape)
        todo = np.ones(t.steps.shape, dtype=bool)
        for start, end, curve in zip(starts, [*starts[1:], None], curves, strict=True):
            mine = todo if end is None else todo & self.under(t, end)
            if mine.any():
                value[mine] = curve(self._since(t[mine], start), self)
            todo = todo & ~mine
        return value

    def root(self, x: Any) -> Any:
        return np.sqrt(x)

    def power(self, x: Any, y: Any, p: float) -> Any:
        return x**p

    def log_of(self, x: Any, y: Any) -> Any:
        near = y < 0.5
        if near.all():
            return np.log1p(-y)
        with np.errstate(divide="ignore"):
            return np.log(x) if not near.any() else np.where(near, np.log1p(-np.where(near, y, 0.0)), np.log(x))
