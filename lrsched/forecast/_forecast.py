"""A prediction with an interval: what a law knows, what it gets wrong, and what both mean for a difference."""

from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import numpy as np

from lrsched._core.check import Real
from lrsched.arguments import Count, checked
from lrsched.forecast._law import A_LAW, Law
from lrsched.forecast._path import FINE, Array, Trace, rates, trace

# How far off a law is that fits what was seen, as a part of the change that it predicts from there, and of the loss.
# Calibrated, with TRUST, on forecasts of final losses of language models (experiments/forecast_laws.py).
DRIFT = 0.05
LEAST = 0.0015
# The width of the posterior is mostly that of the prior, which is wider than the runs it is about.
TRUST = 0.7

Coverage = Annotated[float, Real(low=0.0, high=1.0, open_low=True, open_high=True)]


class Forecast(NamedTuple):
    """A predicted loss."""

    mean: float
    lo: float
    hi: float


@checked
def forecast(law: Annotated[Law, A_LAW], lr: Any, step: Count, *, seen: Count, coverage: Coverage = 0.8) -> Forecast:
    """The loss after a future update of a run, with an interval.

    Args:
        law: a law fitted to the run so far.
        lr: the planned rate of every step from 0, warm-up included: an array `(n,)`, n > `step`, or a schedule.
        step: the update in question, >= 0.
        seen: the last update whose loss the law has seen.
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
    at = np.array([seen, step])
    now, then = look(law, trace(rates("forecast(lr=...)", lr, int(at.max())).over(law.peak), at, FINE))
    return interval(then, now.loss, spread_of(law, then.slope), coverage)


class Sight(NamedTuple):
    """What a law says of one step."""

    loss: float
    slope: Array  # `(p,)`: derivatives by the logarithms of the parameters


def look(law: Law, path: Trace) -> list[Sight]:
    """Return what `law` says of each step of a trace."""
    loss, slope = law._model(law.theta, path)
    return [Sight(float(each), row) for each, row in zip(loss, slope, strict=True)]


def spread_of(law: Law, slope: Array) -> float:
    """Return the standard deviation that the covariance of `law` gives to a quantity with this slope `(p,)`."""
    if not law.covariance:
        return 0.0
    covariance = np.reshape(law.covariance, (slope.size, slope.size))
    return float(np.sqrt(max(slope @ covariance @ slope, 0.0)))


def interval(then: Sight, now: float, spread: float, coverage: float) -> Forecast:
    """Return the interval around a prediction, made where the law says `now`, that has this posterior `spread`."""
    error = np.sqrt((TRUST * spread) ** 2 + (DRIFT * (now - then.loss)) ** 2 + (LEAST * then.loss) ** 2)
    reach = NormalDist().inv_cdf((1 + coverage) / 2) * float(error)
    return Forecast(then.loss, then.loss - reach, then.loss + reach)
