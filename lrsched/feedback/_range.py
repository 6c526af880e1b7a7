"""The learning-rate range test: when to stop it, and which learning rate its losses suggest."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lrsched._core.check import OneOf, OrNone, Real, Row, short
from lrsched.arguments import Count, CountOrNone, Function, Length, Numbers, Positive, Rate, checked
from lrsched.feedback._base import Feedback
from lrsched.feedback._space import INF, Number, Space, finite

Floats = npt.NDArray[np.float64]


class RangeTestState(NamedTuple):
    """The state of `RangeTest`."""

    average: float  # exponential moving average of the losses, from 0
    weight: float  # of the losses in it; average / weight is without bias
    best: float  # smallest unbiased average
    stop: bool


class RangeTest(Feedback):
    """Stop a range test once the smoothed loss exceeds `ratio` times its best.

    The factor is 1. A best below 0 counts by its size: `best + (ratio - 1) * abs(best)`.

    The schedule raises the rate (`lrsched.range_test`, or `Geometric`); this rule reads the training losses and sets
    `state.stop`. Loss i of the smoothing is `sum((1 - beta) * beta**(i - j) * loss_j) / (1 - beta**(i + 1))`. A NaN
    or infinite loss stops at once (fastai goes on after NaN and cuts it off later).

    Args:
        ratio: loss over the best loss that is too much, > 1.
        beta: weight of the past in the smoothed loss, at least 0 and below 1.

    Examples:
        >>> rule = RangeTest(beta=0.0)
        >>> state = rule.init()
        >>> for loss in [2.0, 1.0, 3.9, 4.1]:
        ...     state, _ = rule.update(state, loss)
        ...     print(state.stop, end=" ")
        False False False True

    References:
        Smith, Cyclical learning rates for training neural networks, WACV 2017. arXiv:1506.01186
    """

    needs: ClassVar[tuple[str, ...]] = ("loss",)

    ratio: Annotated[float, Real(low=1.0, open_low=True)] = 4.0
    beta: Annotated[float, Real(low=0.0, high=1.0, open_high=True)] = 0.98

    def init(self) -> RangeTestState:
        """Return the state before the first loss."""
        return RangeTestState(0.0, 0.0, INF, False)

    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[RangeTestState, Number]:
        """Return the next state and 1."""
        (loss,) = numbers
        old: RangeTestState = state
        sound = finite(loss)
        average = xp.where(sound, self.beta * old.average + (1.0 - self.beta) * loss, old.average)
        weight = xp.where(sound, self.beta * old.weight + (1.0 - self.beta), old.weight)
        smooth = average / xp.where(weight > 0.0, weight, 1.0)
        best = xp.where(sound, xp.minimum(old.best, smooth), old.best)
        stop = old.stop | xp.no(sound) | (smooth > best + (self.ratio - 1.0) * abs(best))
        return RangeTestState(average, weight, best, stop), 1.0


class Suggestions(NamedTuple):
    """Learning rates that a range test suggests, by the four rules of fastai."""

    minimum: float
    steepest: float
    valley: float
    slide: float


@checked
def lr_range_test(lrs: Numbers, losses: Numbers, *, skip_start: CountOrNone = None, skip_end: Count = 5) -> Suggestions:
    """Return the four learning rates that a range test suggests.

    Args:
        lrs: increasing learning rates > 0, of shape `(n,)`.
        losses: the (smoothed) loss after each, of shape `(n,)`.
        skip_start: points to leave out at the start; by default a tenth of them.
        skip_end: points to leave out at the end; losses from the first NaN or infinity on are left out too.

    Raises:
        ValueError: the arrays do not fit together, or fewer than 17 points remain.

    Examples:
        >>> import numpy as np
        >>> lrs = np.geomspace(1e-5, 1.0, 100)
        >>> losses = 2.0 - np.tanh(np.log10(lrs / 1e-3)) + 100 * lrs**2
        >>> [f"{lr:.1g}" for lr in lr_range_test(lrs, losses)]
        ['0.002', '0.0009', '0.0007', '0.0005']
    """
    rates, heights = _curve("lr_range_test", lrs, losses, 1)
    start = len(rates) // 10 if skip_start is None else skip_start
    kept = slice(start, max(len(rates) - skip_end, start))
    rates, heights = rates[kept], heights[kept]
    bad = np.flatnonzero(~np.isfinite(heights))
    if bad.size:
        rates, heights = rates[: bad[0]], heights[: bad[0]]
    return Suggestions(*(f(rates, heights) for f in (minimum, steepest, valley, slide)))


@checked
def minimum(lrs: Numbers, losses: Numbers) -> float:
    """Return a tenth of the learning rate of the smallest loss.

    Args:
        lrs: increasing learning rates > 0, of shape `(n,)`.
        losses: the loss after each, of shape `(n,)`.

    Examples:
        >>> minimum([0.1, 1.0, 10.0], [3.0, 1.0, 2.0])
        0.1
    """
    rates, heights = _curve("minimum", lrs, losses, 1)
    return float(rates[heights.argmin()]) / 10


@checked
def steepest(lrs: Numbers, losses: Numbers) -> float:
    """Return the learning rate where the loss falls fastest over the rate's logarithm.

    It is the left end of the interval between two points of the smallest slope.

    Args:
        lrs: increasing learning rates > 0, of shape `(n,)`.
        losses: the loss after each, of shape `(n,)`.

    Examples:
        >>> steepest([0.1, 1.0, 10.0], [3.0, 2.9, 1.0])
        1.0
    """
    rates, heights = _curve("steepest", lrs, losses, 2)
    return float(rates[(np.diff(heights) / np.diff(np.log(rates))).argmin()])


@checked
def valley(lrs: Numbers, losses: Numbers) -> float:
    """Return the middle of the second third of the longest valley.

    The longest valley is the longest strictly falling subsequence of losses, the first one of that length to be
    complete. With its end at index e and L its length it begins at `e - L`; the index is that plus
    `floor(L / 3) + floor(L / 6)`.

    Args:
        lrs: increasing learning rates > 0, of shape `(n,)`.
        losses: the loss after each, of shape `(n,)`.

    Examples:
        >>> valley([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 9.0])
        3.0
    """
    rates, heights = _curve("valley", lrs, losses, 1)
    lengths = np.ones(len(heights), dtype=np.int64)
    end = start = 0
    for i in range(1, len(heights)):
        higher = lengths[:i][heights[:i] > heights[i]]
        if higher.size:
            lengths[i] = higher.max() + 1
        if lengths[i] > lengths[end]:
            end, start = i, i - int(lengths[i])
    # A valley that has no point outside begins before the first point, at the last one in Python's counting.
    third = (end - start) / 3
    return float(rates[start + int(third) + int(third / 2)])


@checked
def slide(
    lrs: Numbers, losses: Numbers, *, width: Length = 15, threshold: Rate = 0.005, adjust: Positive = 1.0
) -> float:
    """Return where an interval sliding from the right finds equal slopes at its ends.

    The interval of `width` points moves left while the slopes (per point, `numpy.gradient`) at its two ends differ by
    more than `threshold`; the answer is its last left end.

    Args:
        lrs: increasing learning rates > 0, of shape `(n,)`.
        losses: the loss after each, of shape `(n,)`.
        width: of the interval, at least 1 and at most `n - 2`.
        threshold: difference of slopes that stops the slide, at least 0.
        adjust: multiplies the answer.

    Examples:
        >>> slide([1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 1.0, 0.0, 0.0, 5.0], width=2, threshold=1.0)
        2.0
    """
    rates, heights = _curve("slide", lrs, losses, width + 2)
    slopes = np.gradient(heights)
    differ = np.abs(slopes[width:] - slopes[:-width]) > threshold
    # Index i of `differ` is an interval's left end; the slide starts at the last one.
    stop = np.flatnonzero(~differ)
    left = int(stop[-1]) + 1 if stop.size else 0
    return float(rates[min(left, len(differ) - 1)]) * adjust


def _curve(name: str, lrs: npt.ArrayLike, losses: npt.ArrayLike, least: int) -> tuple[Floats, Floats]:
    rates, heights = np.asarray(lrs, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if rates.ndim != 1 or len(rates) < least:
        raise ValueError(f"{name}(lrs=...) must hold {least} or more learning rates, got {short(lrs)}")
    if heights.shape != rates.shape:
        raise ValueError(f"{name}(losses=...) must hold {len(rates)} losses, got shape {heights.shape}")
    if not (rates[0] > 0.0 and np.isfinite(rates[-1]) and (np.diff(rates) > 0.0).all()):
        raise ValueError(f"{name}(lrs=...) must increase and be > 0, got {short(lrs)}")
    return rates, heights


class RangeCurve(NamedTuple):
    """What a range test measured."""

    lrs: list[float]
    losses: list[float]
    suggestions: Suggestions | None  # None after fewer updates than `lr_range_test` needs


@checked
def range_curve(
    train: Function,
    lrs: Iterable[float],
    rule: Annotated[RangeTest | None, OrNone(OneOf(RangeTest, "a RangeTest"))] = None,
) -> RangeCurve:
    """Train with rising rates until the rule stops it; judge the smoothed losses.

    Args:
        train: does one update with the given rate and returns its loss.
        lrs: the rates, strictly rising, > 0.
        rule: when to stop; by default when the smoothed loss exceeds four times its best. Where `train` raises
            StopIteration, because its data end, the test ends too: a warning says so, what it saw is kept.

    Returns:
        The rates used, their losses, and the suggestions.

    Raises:
        ValueError: the rates do not rise, or the data end before the first update.

    Examples:
        >>> curve = range_curve(lambda lr: (1 - lr) ** 2, [0.001 * 1.1**i for i in range(100)])
        >>> 0.001 < curve.suggestions.valley < 2.0
        True
    """
    rates: list[float] = Row()("range_curve(lrs=...)", list(lrs) if isinstance(lrs, Iterator) else lrs).tolist()
    if not (rates[0] > 0.0 and all(a < b for a, b in pairwise([*rates, INF]))):
        shown = f"{rates[0]!r} and {rates[-1]!r}"
        raise ValueError(f"the rates of a range test must rise from start > 0 to end, got {shown}")
    rule = rule or RangeTest()
    state = rule.init()
    used: list[float] = []
    losses: list[float] = []
    smooth: list[float] = []
    for lr in rates:
        if state.stop:
            break
        try:
            losses.append(train(lr))
        except StopIteration:  # of a loader that `train` takes its batches from
            _say_of_the_end(len(used), len(rates))
            break
        used.append(lr)
        state, _ = rule.update(state, losses[-1])
        smooth.append(state.average / state.weight if state.weight else losses[-1])
    try:
        suggestions = lr_range_test(used, smooth)
    except ValueError:  # too few points
        suggestions = None
    return RangeCurve(used, losses, suggestions)


def _say_of_the_end(done: int, wanted: int) -> None:
    if not done:
        raise ValueError("range_curve(train=...) must do at least one update, got StopIteration: there are no data")
    said = f"the data of the range test ended after {done} of {wanted} updates, whose losses it keeps; "
    warnings.warn(f"{said}for all of them give it fewer steps, or data that begin again", stacklevel=6)
