"""Named schedules that rise and fall: cycles, restarts, one cycle, the range test."""

import math
from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Cosine, Exponential, Geometric, Linear, Repeat, Schedule, Triangular, share
from lrsched._recipes.recipes import rest
from lrsched._recipes.shared import LengthOrPart, recipe, renamed
from lrsched.arguments import Length, LengthOrNone, Positive, Rate

AtLeastOne = Annotated[float, Real(low=1.0)]


@recipe
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


@recipe
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


@recipe
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


@recipe
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


@recipe
def one_cycle(
    peak: Rate, steps: Length, warmup: LengthOrPart = 0.3, start_divisor: Positive = 25.0, end_divisor: Positive = 1e4
) -> Schedule:
    """The one-cycle policy: half a cosine up, then half a cosine down.

    Args:
        peak: highest learning rate, > 0.
        steps: all updates.
        warmup: updates of the rise, >= 1, fewer than `steps`; or a part of `steps`, in (0, 1), as PyTorch has it.
        start_divisor: the cycle starts at `peak / start_divisor`, > 0.
        end_divisor: and ends at its start divided by this, > 0.

    Examples:
        >>> s = one_cycle(1.0, steps=100, warmup=30)
        >>> s(0), s(30)
        (0.04, 1.0)

    References:
        Smith & Topin, Super-Convergence, 2018. arXiv:1708.07120
    """
    start, rise = peak / start_divisor, share("one_cycle(warmup=...)", steps, warmup, low=1)
    fall = Cosine(peak, start / end_divisor, rest("one_cycle(steps=...)", steps, rise))
    return Cosine(start, peak, rise) >> fall


@renamed(cut="warmup")
@recipe
def slanted_triangular(peak: Rate, steps: Length, warmup: LengthOrPart = 0.1, ratio: AtLeastOne = 32.0) -> Schedule:
    """A short rise from `peak / ratio` and a long fall back to it.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, >= 2.
        warmup: part of the steps that rises, in (0, 1), rounded down; or updates, >= 1.
        ratio: how much smaller the lowest rate is, >= 1.

    Examples:
        >>> slanted_triangular(1.0, steps=100, warmup=0.1, ratio=4.0)
        Linear(0.25, 1.0, steps=10) >> Linear(1.0, 0.25, steps=90)

    References:
        Howard & Ruder, Universal Language Model Fine-tuning, 2018, eq. 3. arXiv:1801.06146
    """
    low, rise = peak / ratio, int(warmup) if warmup >= 1 else max(math.floor(steps * warmup), 1)
    return Linear(low, peak, rise) >> Linear(peak, low, rest("slanted_triangular(steps=...)", steps, rise))
