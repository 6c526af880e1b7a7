"""A prediction with an interval: what a law knows, what it gets wrong, and what both mean for a difference."""

from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import numpy as np

from lrsched._core.check import Real
from lrsched.arguments import Count, CountOrNone, checked
from lrsched.forecast._law import A_LAW, Law, Margin
from lrsched.forecast._path import FINE, Array, rates

Coverage = Annotated[float, Real(low=0.0, high=1.0, open_low=True, open_high=True)]


class Forecast(NamedTuple):
    """A predicted loss."""

    mean: float
    lo: float
    hi: float


@checked
def forecast(
    law: Annotated[Law, A_LAW], lr: Any, step: Count, *, seen: CountOrNone = None, coverage: Coverage = 0.8
) -> Forecast:
    """The loss after a future update of a run, with an interval.

    Args:
        law: a law fitted to the run so far; or to other runs of the same model on the same data.
        lr: the planned rate of every step from 0, warm-up included: an array `(n,)`, n > `step`, or a schedule.
        step: the update in question, >= 0.
        seen: the last update of this run whose loss the law has seen; None if it has seen other runs only.
        coverage: the part of such intervals that should hold the truth, between 0 and 1.

    Returns:
        `(mean, lo, hi)`. The interval covers what the fit leaves open (if `law` has a covariance) and the error of the
        law itself; it does not know of anything that the law has no word for.

    Raises:
        ValueError: `lr` or the steps are not as described.

    Examples:
        >>> from lrsched import Linear
        >>> from lrsched.forecast import MultiPowerLaw
        >>> law = MultiPowerLaw(l0=2.0, a=30.0, alpha=0.5, b=0.1, c=0.03, beta=0.5, gamma=0.4)
        >>> mean, lo, hi = forecast(law, Linear(1.0, 0.0, steps=10_000), 9_999, seen=5_000)
        >>> lo < mean < hi
        True
    """
    at = np.array([step if seen is None else seen, step])
    now, then = look(law, law._see(rates("forecast(lr=...)", lr, int(at.max())).over(law.peak), at, FINE))
    margin = law.margin if seen is not None else law.margin._replace(least=law.margin.fresh)
    return interval(then, now.loss, spread_of(law, then.slope), coverage, margin)


class Sight(NamedTuple):
    """What a law says of one step."""

    loss: float
    slope: Array  # `(p,)`: derivatives by the logarithms of the parameters


def look(law: Law, path: Any) -> list[Sight]:
    """Return what `law` says of each step of what it sees."""
    loss, slope = law._model(law.theta, path)
    return [Sight(float(each), row) for each, row in zip(loss, slope, strict=True)]


def spread_of(law: Law, slope: Array) -> float:
    """Return the standard deviation that the covariance of `law` gives to a quantity with this slope `(p,)`."""
    if not law.covariance:
        return 0.0
    covariance = np.reshape(law.covariance, (slope.size, slope.size))
    return float(np.sqrt(max(slope @ covariance @ slope, 0.0)))


def interval(then: Sight, now: float, spread: float, coverage: float, margin: Margin = Law.margin) -> Forecast:
    """Return the interval around a prediction, made where the law says `now`, that has this posterior `spread`."""
    own = (margin.drift * (now - then.loss)) ** 2 + (margin.least * then.loss) ** 2
    error = np.sqrt((margin.trust * spread) ** 2 + own)
    reach = NormalDist().inv_cdf((1 + coverage) / 2) * float(error)
    return Forecast(then.loss, then.loss - reach, then.loss + reach)
