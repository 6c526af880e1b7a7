"""What is believed of a law's parameters before a run has shown much."""

from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from lrsched._core.check import Many, OrNone, Real
from lrsched._core.value import Value
from lrsched.forecast._path import Array

# Nothing is believed of a parameter with this spread.
FREE = 10.0
# Where every law keeps the scale of the reducible loss and its exponent; the floor is parameter 0.
SCALE, ALPHA = 1, 2


# Area at which the response is compared with the slope of the loss, where nobody says otherwise.
REFERENCE = 20_000.0


class Prior(Value):
    """Log-normal beliefs about the parameters of a law.

    `log(x)` is normal with mean `log(centre)` and standard deviation `spread`. For most parameters x is the parameter
    itself. For the response to the rate (`b` of the multi-power law, `c` of the annealing law) it is the response over
    the slope of the loss in log-area at the area `reference`, `b / (alpha * a * reference**-alpha)`: a number without a
    unit, and a slope is what a short run shows best. Without `rate`, rates are over the peak of the run. That serves
    runs of one peak rate and any optimizer; between peaks the response over the slope differs (in one model it is 0.9,
    2.1, 2.7 and 3.6 at the peaks 1e-4, 5e-4, 1e-3 and 2e-3).

    With `rate` the beliefs are about rates in this unit, whatever the peak of the run, and that about the scale of the
    reducible loss is about `a * reference**-alpha / l0`. So they hold for runs of any peak and any unit of the loss.

    Args:
        centre: medians, > 0, in the order of the law's parameters.
        spread: standard deviations of the logarithms, > 0; 10 says nothing.
        reference: area (updates at peak rate), > 0; best of the order of the length of the runs.
        rate: the unit of the rates, > 0, or None.
        correlation: of the logarithms, row by row; empty where they are independent.

    Raises:
        ValueError: `centre` and `spread` differ in length, or `correlation` is no correlation matrix of that size.

    Examples:
        >>> Prior((3.0, 0.5), spread=(10.0, 0.3))
        Prior((3.0, 0.5), spread=(10.0, 0.3))
    """

    kind: ClassVar[str] = "prior"

    centre: Annotated[tuple[float, ...], Many(Real(low=0.0, open_low=True))]
    spread: Annotated[tuple[float, ...], Many(Real(low=0.0, open_low=True))]
    reference: Annotated[float, Real(low=0.0, open_low=True)] = REFERENCE
    rate: Annotated[float | None, OrNone(Real(low=0.0, open_low=True))] = None
    correlation: Annotated[tuple[float, ...], Many(Real(), least=0)] = ()

    def _check(self) -> None:
        size = len(self.centre)
        if size != len(self.spread):
            raise ValueError(
                f"Prior(...) must have as many spreads as centres, got {len(self.spread)} and {len(self.centre)}"
            )
        if self.correlation:
            must = f"Prior(correlation=...) must be a correlation matrix of {size} rows, row by row"
            if len(self.correlation) != size**2:
                raise ValueError(f"{must}, got {len(self.correlation)} numbers")
            matrix = np.reshape(self.correlation, (size, size))
            plain = np.allclose(matrix, matrix.T, rtol=0, atol=1e-9) and np.allclose(matrix.diagonal(), 1.0)
            if not plain or np.linalg.eigvalsh(matrix)[0] <= 0.0:
                raise ValueError(f"{must}: symmetric, 1 on the diagonal, positive definite")

    def _scales(self) -> Array:
        """Return the matrix `(p, p)` that turns a distance from the centre into standard normal numbers."""
        size, spread = len(self.centre), np.array(self.spread)
        if not self.correlation:
            return np.diag(1.0 / spread)
        factor = np.linalg.cholesky(np.reshape(self.correlation, (size, size)))
        return np.linalg.solve(factor, np.diag(1.0 / spread))


class View(NamedTuple):
    """How a prior looks at the parameters of a law whose rates are in some unit."""

    response: int  # the parameter that scales the response to the rate
    log_area: float  # of the reference, in this unit
    shift: Array  # `(p,)`: what is added to the logarithms in this unit
    floor: bool  # whether the scale of the loss is over its floor

    def believed(self, theta: Array) -> Array:
        """Return the logarithms `(p,)` that the prior is about."""
        about = theta + self.shift
        level = theta[SCALE] - np.exp(theta[ALPHA]) * self.log_area
        about[self.response] -= level + theta[ALPHA]
        if self.floor:
            about[SCALE] = level - theta[0]
        return about

    def slope(self, theta: Array) -> Array:
        """Return the derivatives `(p, p)` of `believed` by `theta`."""
        slope = np.eye(theta.size)
        steep = np.exp(theta[ALPHA]) * self.log_area
        slope[self.response, [SCALE, ALPHA]] = -1.0, steep - 1.0
        if self.floor:
            slope[SCALE, [0, SCALE, ALPHA]] = -1.0, 1.0, -steep
        return slope

    def first(self, centre: Array, floor: float, scale: float) -> Array:
        """Return the parameters that have a floor and a scale and are else what the prior holds for likely."""
        theta = np.log(centre) - self.shift
        theta[0], theta[SCALE] = floor, scale
        theta[self.response] += scale - np.exp(theta[ALPHA]) * self.log_area + theta[ALPHA]
        return theta
