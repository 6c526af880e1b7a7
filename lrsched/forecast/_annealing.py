"""The law of learning-rate annealing."""

from typing import Annotated, ClassVar

import numpy as np

from lrsched._core.check import Choice, Many, Real
from lrsched.arguments import Positive
from lrsched.forecast._law import Law
from lrsched.forecast._multipower import STATUS
from lrsched.forecast._path import Array, Trace
from lrsched.forecast._prior import FREE, Prior
from lrsched.forecast._sums import summed


class AnnealingLaw(Law):
    """A power of the area under the learning rate, and a reward for annealing that arrives exponentially in steps.

    With the rates u = lr / peak, the area S(t) = u[0] + ... + u[t] and the drops g[k] = u[k-1] - u[k], u[-1] = 0:

        m(t) = (1 - 1 / memory) * m(t-1) + g[t],    L(t) = l0 + a * S(t)**-alpha - c * (m(0) + ... + m(t)) / memory

    It needs five parameters and a constant amount of state, and fits language models as well as the multi-power law.
    Its weak point: the reward of a drop is proportional to its size and arrives in steps, however low the rate. What is
    said of `MultiPowerLaw` about validity holds here too.

    Args:
        l0: the loss that more training approaches at a constant rate, > 0.
        a: reducible loss at area 1, > 0.
        alpha: its exponent, > 0.
        c: loss that a drop of the rate by `peak` sets free in the end, > 0.
        memory: steps in which a factor e of the reward arrives, > 1.
        peak: unit of the rates, > 0; with 1 the parameters are those of the paper, where c / memory is called C.
        spread: standard deviation of log(observed loss / predicted loss).
        covariance: of the logarithms of the five parameters, row by row; or empty.
        status: "given", or after a fit "identified" or "unidentified".

    Examples:
        >>> AnnealingLaw(l0=3.0, a=0.5, alpha=0.5, c=400.0, memory=500.0).parameters
        ('l0', 'a', 'alpha', 'c', 'memory')

    References:
        Tissue et al., Scaling Law with Learning Rate Annealing, 2024. arXiv:2408.11029
    """

    parameters: ClassVar[tuple[str, ...]] = ("l0", "a", "alpha", "c", "memory")
    response: ClassVar[str] = "c"
    prior: ClassVar[Prior] = Prior((1.0, 1.0, 0.45, 1.1, 500.0), spread=(FREE, FREE, 0.3, 0.5, 1.0))

    l0: Positive
    a: Positive
    alpha: Positive
    c: Positive
    memory: Annotated[float, Real(low=1.0, open_low=True)]
    peak: Positive = 1.0
    spread: Annotated[float, Real(low=0.0)] = 0.0
    covariance: Annotated[tuple[float, ...], Many(Real(), least=0)] = ()
    status: Annotated[str, Choice(STATUS)] = "given"

    @staticmethod
    def _model(theta: Array, trace: Trace) -> tuple[Array, Array]:
        l0, a, alpha, c, memory = np.exp(theta)
        gap, _, _, at = trace.jumps
        rate = np.log1p(-1.0 / memory)

        def kernel(step: Array, some: slice) -> Array:
            age = np.maximum(np.subtract.outer(step, at[some]), 0.0)
            # The geometric sum of the momentum: after n steps a drop has paid 1 - (1 - 1 / memory)**n of its reward.
            left = np.exp(age * rate)
            mine = gap[some]
            return np.column_stack((mine.sum() - left @ mine, (age * left) @ mine))

        arrived, waited = summed(trace.step + 1.0, at, kernel).T
        arrived = c * arrived
        with np.errstate(divide="ignore", invalid="ignore"):
            log_area = np.log(trace.area)
            power = a * np.exp(-alpha * log_area)
            slopes = (
                np.full(power.shape, l0),
                power,
                -alpha * log_area * power,
                -arrived,
                c / (memory - 1.0) * waited,
            )
        return l0 + power - arrived, np.stack(slopes, axis=1)
