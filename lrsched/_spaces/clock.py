"""Local times and tables that are more than a number: clocks that run slower or faster, lists of values, cycles."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate
from math import gcd
from operator import mul, sub
from typing import Any

import numpy as np


def simple(number: float) -> Fraction:
    """Return the simplest fraction that a float stands for: 1/10 for 0.1, a third for 1 / 3.

    It is the first convergent of the continued fraction that rounds to the float.
    """
    n, d = float(number).as_integer_ratio()
    p, q, last_p, last_q = 1, 0, 0, 1
    while d:
        whole = n // d
        p, q, last_p, last_q = whole * p + last_p, whole * q + last_q, p, q
        if p / q == number:
            break
        n, d = d, n - whole * d
    return Fraction(p, q)


class Clock:
    """A local time that is an exact fraction of the steps: `(steps * times + plus) / over`, three integers.

    So a boundary of the local time is a constant that the steps themselves are compared with, and lies on the same
    side in every library, whatever it makes of a product or a quotient. In a cycle of its own length the local time
    counts in the `unit` of that cycle, `(steps / unit * times + plus) / over`; `left` is then the distance to the end
    of the cycle, where `steps / unit * times` is `end`.
    """

    __slots__ = ("end", "left", "over", "plus", "steps", "times", "unit")

    def __init__(
        self, steps: Any, times: int = 1, plus: int = 0, over: int = 1, unit: Any = None, left: Any = None, end: int = 0
    ) -> None:
        self.steps, self.times, self.plus, self.over = steps, times, plus, over
        self.unit, self.left, self.end = unit, left, end

    def _scaled(self, times: int, plus: int, over: int, end: int) -> "Clock":
        common = gcd(times, plus, over, end)
        times, plus, over, end = times // common, plus // common, over // common, end // common
        return Clock(self.steps, times, plus, over, self.unit, self.left, end)

    def slower(self, factor: Fraction) -> "Clock":
        """Return the local time divided by the factor."""
        n, d = factor.numerator, factor.denominator
        return self._scaled(self.times * d, self.plus * d, self.over * n, self.end * d)

    def ahead(self, steps: Fraction | int) -> "Clock":
        """Return the local time so many local steps later; negative ones begin later."""
        n, d = steps.numerator, steps.denominator
        return self._scaled(self.times * d, self.plus * d + n * self.over, self.over * d, self.end * d)

    def at(self, n: int) -> int:
        """Return `times` times the steps (units in a cycle) at which the local time is n."""
        return n * self.over - self.plus

    def of(self, steps: Any, left: Any = None) -> "Clock":
        """Return the same clock at other steps."""
        return Clock(steps, self.times, self.plus, self.over, self.unit, left, self.end)

    def __getitem__(self, mask: Any) -> "Clock":
        clock = self.of(self.steps[mask], None if self.left is None else self.left[mask])
        if isinstance(self.unit, np.ndarray):
            clock.unit = self.unit[mask]
        return clock


def clock(t: Any) -> Clock:
    """Return a local time as a clock."""
    return t if type(t) is Clock else Clock(t)


class Values:
    """A table of values: Python numbers for one step, an array for many."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.numbers = numbers
        self.array = np.array(numbers)


class Counts:
    """What is counted by the steps: each from `starts[i]` on, until the next one, counts `rates[i]` more.

    Args:
        starts: increasing steps, the first one 0.
        rates: whole numbers >= 1, one for each.
    """

    def __init__(self, starts: Sequence[int], rates: Sequence[int]) -> None:
        self.starts, self.rates = starts, rates
        gained = map(mul, rates, map(sub, starts[1:], starts))
        self.counts: list[int] = [*accumulate(gained, initial=0)]

        # Later steps count no more where steps are int64: in an endless schedule the count stays there.
        self.last = math.floor(self.when(2**62))
        near = [min(count, 2**62) for count in self.counts]
        self.arrays = [np.array(column, dtype=np.int64) for column in (starts, near, rates)]

    def at(self, t: Any) -> Any:
        """Return the count at a time, exact for ints and fractions; a part of a step counts in proportion."""
        i = bisect_right(self.starts, t) - 1
        return self.counts[i] + self.rates[i] * (t - self.starts[i])

    def since(self, i: int, t: Any) -> Clock:
        """Return the count at a local time of piece i as a clock."""
        return clock(t).slower(Fraction(1, self.rates[i])).ahead(self.counts[i])

    def curves(self, curve: Callable[..., Any]) -> list[Callable[..., Any]]:
        """Return a curve of the count as a curve of the local time of each piece."""
        return [lambda t, space, i=i: curve(self.since(i, t), space) for i in range(len(self.starts))]

    def when(self, count: Fraction | int) -> Fraction:
        """Return the exact time of a count."""
        i = max(bisect_right(self.counts, count) - 1, 0)
        return self.starts[i] + Fraction(count - self.counts[i]) / self.rates[i]

    def columns(self, top: int) -> list[np.ndarray[Any, Any]]:
        """Return starts, counts and rates of the pieces up to a step, as arrays."""
        many = bisect_right(self.starts, top)
        return [column[:many] for column in self.arrays]


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
        # How many cycles may begin within one step; 0 if all begin at one.
        self.crowd = max(Counter(whole[1:-1]).values(), default=0) if any(fraction) else 0
