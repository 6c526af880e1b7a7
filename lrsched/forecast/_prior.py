"""What is believed of a law's parameters before a run has shown much."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from lrsched._check import Many, Real
from lrsched._value import Value, value
from lrsched.forecast._path import Array

if TYPE_CHECKING:
    from lrsched.forecast._law import Law

# Nothing is believed of a parameter with this spread.
FREE = 10.0
# Where every law keeps the scale of the reducible loss and its exponent; the floor is parameter 0.
SCALE, ALPHA = 1, 2


# Area at which the response is compared with the slope of the loss, where nobody says otherwise.
REFERENCE = 20_000.0


@value
class Prior(Value):
    """Independent log-normal beliefs about the parameters of a law.

    `log(x)` is normal with mean `log(centre)` and standard deviation `spread`. For most parameters x is the parameter itself.
    For the response to the rate (`b` of the multi-power law, `c` of the annealing law) it is the response over the slope
    of the loss in log-area at the area `reference`, `b / (alpha * a * reference**-alpha)`: a number without a unit, which
    differs by 8 % between language models whose responses differ by half, and a slope is what a short run shows best.
    Rates are over their peak, so that one prior serves runs of any peak rate and any scale of the loss.

    Args:
        centre: medians, > 0, in the order of the law's parameters.
        spread: standard deviations of the logarithms, > 0; 10 says nothing.
        reference: area (updates at peak rate), > 0; best of the order of the length of the runs.

    Raises:
        ValueError: `centre` and `spread` differ in length.

    Examples:
        >>> Prior((3.0, 0.5), spread=(10.0, 0.3))
        Prior((3.0, 0.5), spread=(10.0, 0.3))
    """

    kind: ClassVar[str] = "prior"

    centre: Annotated[tuple[float, ...], Many(Real(low=0.0, open_low=True))]
    spread: Annotated[tuple[float, ...], Many(Real(low=0.0, open_low=True))]
    reference: Annotated[float, Real(low=0.0, open_low=True)] = REFERENCE

    def _check(self) -> None:
        if len(self.centre) != len(self.spread):
            raise ValueError(
                f"Prior(...) must have as many spreads as centres, got {len(self.spread)} and {len(self.centre)}"
            )


def fit_prior(laws: "Sequence[Law]", *, reference: float = REFERENCE, least: float = 0.25) -> Prior:
    """The prior that earlier runs teach: what their laws have in common.

    Centre: the geometric mean of what the runs say. Spread: `sqrt(least**2 + variance of the logarithms)`. The floor of the loss and
    the scale of its reducible part (the first two parameters) differ from run to run and stay free.

    Args:
        laws: one or more laws of one class, each fitted to runs with its own `peak`: with the unit of a run in its peak
            rate, the parameters of different runs compare.
        reference: area at which the response is compared with the slope of the loss, > 0.
        least: smallest spread, > 0: how far a new run may differ however well the old ones agree.

    Returns:
        A prior for the `fit` of that class.

    Raises:
        ValueError: `laws` is empty, or they are of different classes.

    Examples:
        >>> from lrsched.forecast import AnnealingLaw
        >>> runs = [AnnealingLaw(l0=3.0, a=20.0, alpha=alpha, c=0.1, memory=500.0) for alpha in (0.4, 0.5)]
        >>> [round(centre, 3) for centre in fit_prior(runs).centre]
        [3.0, 20.0, 0.447, 0.963, 500.0]
    """
    if not laws or len({type(law) for law in laws}) > 1:
        raise ValueError(f"fit_prior(laws) must get one or more laws of one class, got {laws!r}")
    logarithms = np.array([believed(law.theta, type(law), reference) for law in laws])
    spread = np.full(logarithms.shape[1], least)
    if len(laws) > 1:
        spread = np.sqrt(least**2 + logarithms.var(axis=0, ddof=1))
    spread[:2] = FREE
    centre = np.exp(logarithms.mean(axis=0))
    return Prior(tuple(centre.tolist()), spread=tuple(spread.tolist()), reference=reference)


def believed(theta: Array, law: "type[Law]", reference: float) -> Array:
    """Return the logarithms that a prior of `law` is about at `theta` `(p,)`."""
    about = theta.copy()
    about[law.parameters.index(law.response)] += np.exp(theta[ALPHA]) * np.log(reference) - theta[SCALE] - theta[ALPHA]
    return about


def slope_of_believed(theta: Array, law: "type[Law]", reference: float) -> Array:
    """Return the derivatives `(p, p)` of `believed` by `theta`."""
    slope = np.eye(theta.size)
    slope[law.parameters.index(law.response), [SCALE, ALPHA]] = -1.0, np.exp(theta[ALPHA]) * np.log(reference) - 1.0
    return slope
