"""What is believed of a law's parameters before a run has shown much."""

from typing import Annotated, ClassVar

import numpy as np

from lrsched._core.check import Many, Real
from lrsched._core.value import Value
from lrsched.forecast._path import Array

# Nothing is believed of a parameter with this spread.
FREE = 10.0
# Where every law keeps the scale of the reducible loss and its exponent; the floor is parameter 0.
SCALE, ALPHA = 1, 2


# Area at which the response is compared with the slope of the loss, where nobody says otherwise.
REFERENCE = 20_000.0


class Prior(Value):
    """Independent log-normal beliefs about the parameters of a law.

    `log(x)` is normal with mean `log(centre)` and standard deviation `spread`. For most parameters x is the parameter
    itself. For the response to the rate (`b` of the multi-power law, `c` of the annealing law) it is the response over
    the slope of the loss in log-area at the area `reference`, `b / (alpha * a * reference**-alpha)`: a number without a
    unit, which differs by 8 % between language models whose responses differ by half, and a slope is what a short run
    shows best. Rates are over their peak, so that one prior serves runs of any peak rate and any scale of the loss.

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


def believed(theta: Array, response: int, reference: float) -> Array:
    """Return the logarithms `(p,)` that a prior is about, where parameter number `response` is the response."""
    about = theta.copy()
    about[response] += np.exp(theta[ALPHA]) * np.log(reference) - theta[SCALE] - theta[ALPHA]
    return about


def slope_of_believed(theta: Array, response: int, reference: float) -> Array:
    """Return the derivatives `(p, p)` of `believed` by `theta`."""
    slope = np.eye(theta.size)
    slope[response, [SCALE, ALPHA]] = -1.0, np.exp(theta[ALPHA]) * np.log(reference) - 1.0
    return slope
