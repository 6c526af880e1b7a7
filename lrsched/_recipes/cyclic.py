"""Named schedules that rise and fall: cycles, restarts, one cycle, the range test."""

import math
from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Cosine, Exponential, Geometric, Linear, Repeat, Schedule, Triangular
from lrsched._recipes.recipes import Inner, rest
from lrsched.arguments import Length, LengthOrNone, Positive, Rate, checked

AtLeastOne = Annotated[float, Real(low=1.0)]


@checked
def sgdr(peak: Rate, steps: Length, end: Rate = 0.0, stretch: AtLeastOne = 2.0) -> Schedule:
    """Cosine annealing with warm restarts, without end.

    Args:
        peak: learning rate at each restart, >= 0.
        steps: length of the first cycle, >= 1.
        end: learning rate at the end of each cycle.
        stretch: factor of the length from one cycle to the next, >= 1.

    Examples:
        >>> sgdr(1.0, steps=10)(30)
        1.0

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    return Repeat(Cosine(peak, end, steps), stretch=stretch)


@checked
def triangular2(low: Rate, high: Rate, up: Length, down: LengthOrNone = None) -> Schedule:
    """A triangular wave whose height halves after each cycle.

    Args:
        low: value at the start of each cycle, >= 0.
        high: value at the top of the first cycle, at least `low`.
        up: steps from `low` to the top, >= 1.
        down: steps back, or None for as many as `up`.

    Examples:
        >>> triangular2(0.0, 1.0, up=4)(12)
        0.5

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    rise = Linear(0.0, _span("triangular2", low, high), up)
    return low + Repeat(rise >> Linear(rise.end, 0.0, up if down is None else down), scale=0.5)


@checked
def exp_range(low: Rate, high: Rate, up: Length, rate: Positive, down: LengthOrNone = None) -> Schedule:
    """A triangular wave whose height shrinks by `rate` at each step.

    Args:
        low: value at the start of each cycle, >= 0.
        high: value at the top of an undamped cycle, at least `low`.
        up: steps from `low` to the top, >= 1.
        rate: factor of the height per step, > 0.
        down: steps back, or None for as many as `up`.

    Examples:
        >>> exp_range(0.0, 1.0, up=2, rate=0.5)(2)
        0.25

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    return low + Triangular(0.0, _span("exp_range", low, high), up, down) * Exponential(1.0, rate)


def _span(name: str, low: float, high: float) -> float:
    return Real(low=low)(f"{name}(high=...)", high) - low


@checked
def range_test(start: Positive, end: Positive, steps: Length) -> Schedule:
    """The learning-rate range test: a geometric rise from `start` to `end`.

    Args:
        start: first learning rate, > 0.
        end: last learning rate, > 0.
        steps: updates of the test, >= 1.

    Examples:
        >>> round(range_test(1e-7, 10.0, steps=100)(50), 12)
        0.001

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3. arXiv:1506.01186
    """
    return Geometric(start, end, steps)


@checked
def one_cycle(
    peak: Rate, steps: Length, warmup: Length, start_divisor: Positive = 25.0, end_divisor: Positive = 1e4
) -> Schedule:
    """The one-cycle policy: half a cosine up, then half a cosine down.

    Args:
        peak: highest learning rate, > 0.
        steps: all updates.
        warmup: updates of the rise, >= 1, fewer than `steps`.
        start_divisor: the cycle starts at `peak / start_divisor`, > 0.
        end_divisor: and ends at its start divided by this, > 0.

    Examples:
        >>> s = one_cycle(1.0, steps=100, warmup=30)
        >>> s(0), s(30)
        (0.04, 1.0)

    References:
        Smith & Topin, Super-Convergence, 2018. arXiv:1708.07120
    """
    start = peak / start_divisor
    fall = Cosine(peak, start / end_divisor, rest("one_cycle(steps=...)", steps, warmup))
    return Cosine(start, peak, warmup) >> fall


@checked
def slanted_triangular(peak: Rate, steps: Length, cut: Inner = 0.1, ratio: AtLeastOne = 32.0) -> Schedule:
    """A short rise from `peak / ratio` and a long fall back to it.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, >= 2.
        cut: part of the steps that rises, in (0, 1).
        ratio: how much smaller the lowest rate is, >= 1.

    Examples:
        >>> slanted_triangular(1.0, steps=100, cut=0.1, ratio=4.0)
        Linear(0.25, 1.0, steps=10) >> Linear(1.0, 0.25, steps=90)

    References:
        Howard & Ruder, Universal Language Model Fine-tuning, 2018, eq. 3. arXiv:1801.06146
    """
    low, rise = peak / ratio, max(math.floor(steps * cut), 1)
    return Linear(low, peak, rise) >> Linear(peak, low, rest("slanted_triangular(steps=...)", steps, rise))
