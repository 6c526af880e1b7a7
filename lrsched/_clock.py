"""Local times and tables that are more than a number: stretched clocks, lists of values, cycles."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class Stretched:
    """A local time that runs `per` times slower than the steps: `elapsed / per`.

    `left` is the distance to the local time `total`, counted from that end, so that a curve which falls to zero there
    keeps its relative accuracy and ends on the right step. Offers the few operators that curves apply to a step.
    """

    __slots__ = ("elapsed", "left", "per", "total")

    def __init__(self, elapsed: Any, left: Any, per: Any, total: int) -> None:
        self.elapsed, self.left, self.per, self.total = elapsed, left, per, total

    def __truediv__(self, n: float) -> Any:
        return self.elapsed / (self.per * float(n))

    def __rsub__(self, n: int) -> Any:
        return self.left / self.per if n == self.total else float(n) - self.elapsed / self.per

    def __sub__(self, n: int) -> "Stretched":
        return Stretched(self.elapsed - self.per * float(n), self.left, self.per, self.total - n)

    def __add__(self, n: int) -> "Stretched":
        return Stretched(self.elapsed + self.per * float(n), self.left, self.per, self.total + n)

    def __floordiv__(self, n: int) -> Any:
        return self.elapsed // (self.per * float(n))

    def __lt__(self, n: int) -> Any:
        return self.left > 0 if n == self.total else self.elapsed < self.per * float(n)

    def __ge__(self, n: int) -> Any:
        return self.left <= 0 if n == self.total else self.elapsed >= self.per * float(n)

    def __getitem__(self, mask: Any) -> "Stretched":
        per = self.per[mask] if isinstance(self.per, np.ndarray) else self.per
        return Stretched(self.elapsed[mask], self.left[mask], per, self.total)


class Values:
    """A table of values: Python numbers for one step, an array for many."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = numbers
        self.array = np.array(numbers)


class Cycles:
    """Where cycles of growing or shrinking length begin: cycle i at the exact time `whole[i] - fraction[i]`.

    Args:
        period: length of the cycle that lasts `per = 1`.
        whole: first step of each cycle, and of the one after the last.
        fraction: how far the exact beginning lies before that step, in [0, 1).
        per: how many steps one local step takes in each cycle.
    """

    def __init__(self, period: int, whole: list[int], fraction: list[float], per: list[float]) -> None:
        self.period, self.whole, self.fraction, self.per = period, whole, fraction, per
        # The end of the last cycle may lie past what int64 counts; what is cut off stands in the fraction.
        near = [min(step, 2**62) for step in whole]
        self.whole_array = np.array(near, dtype=np.int64)
        self.fraction_array = np.array(
            [f - (w - n) for f, w, n in zip(fraction, whole, near, strict=True)], dtype=float
        )
        self.per_array = np.array(per)
