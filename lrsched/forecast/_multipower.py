"""The multi-power law."""

from typing import Annotated, ClassVar

import numpy as np

from lrsched._core.check import Choice, Many, Real
from lrsched.arguments import Positive
from lrsched.forecast._law import Law
from lrsched.forecast._path import Array, Trace
from lrsched.forecast._prior import FREE, Prior
from lrsched.forecast._sums import summed

# A lower part of the largest rate counts as this much: the response at rate 0 would be infinitely fast.
LEAST = 1e-12
STATUS = ("given", "identified", "unidentified")


class MultiPowerLaw(Law):
    """A power of the area under the learning rate, and a delayed reward for every drop of it.

    With the rates u = lr / peak, the area S(t) = u[0] + ... + u[t] and the drops g[k] = u[k-1] - u[k], u[-1] = 0:

        L(t) = l0 + a * S(t)**-alpha - b * sum_{k<=t} g[k] * (1 - (1 + c * u[k]**-gamma * (S(t) - S(k-1)))**-beta)

    A rise is a negative drop: the jumps of the warm-up are part of the sum. Neighbouring jumps are merged into blocks
    for speed, which moves predictions by less than 5e-5 (module `_path`).

    Good for: one pass of training with a schedule that mostly falls, after what it was fitted to; runs of one peak rate
    (`FunctionalLaw` is for several). Not validated for
    restarts and cyclic rates, a changing mix of data, ramps of the batch size, reinforcement learning, losses that go
    to zero (interpolation) and averaged weights. On language models, differences between schedules are predicted to
    0.007-0.02 nats, and the law promises too much at the end of a decay: a plan that minimises it never gains what it
    predicts.

    Args:
        l0: the loss that more training approaches at a constant rate, > 0.
        a: reducible loss at area 1, > 0.
        alpha: its exponent, > 0.
        b: loss that a drop of the rate by `peak` sets free in the end, > 0.
        c: speed of that response per unit of area, > 0.
        beta: exponent of the response, > 0.
        gamma: how much faster the response is at a low rate, > 0.
        peak: unit of the rates, > 0; with 1 the parameters are those of the paper.
        spread: standard deviation of log(observed loss / predicted loss).
        covariance: of the logarithms of the seven parameters, row by row; or empty.
        status: "given", or after a fit "identified" or "unidentified".

    Examples:
        >>> MultiPowerLaw(l0=3.0, a=0.5, alpha=0.5, b=360.0, c=2.0, beta=0.6, gamma=0.6)
        MultiPowerLaw(l0=3.0, a=0.5, alpha=0.5, b=360.0, c=2.0, beta=0.6, gamma=0.6)

    References:
        Luo et al., A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules, ICLR 2025.
        arXiv:2503.12811
    """

    parameters: ClassVar[tuple[str, ...]] = ("l0", "a", "alpha", "b", "c", "beta", "gamma")
    response: ClassVar[str] = "b"
    # Round numbers near the published fits of three language models; l0 and a are free, c is hardly known.
    prior: ClassVar[Prior] = Prior((1.0, 1.0, 0.45, 1.3, 0.03, 0.5, 0.3), spread=(FREE, FREE, 0.3, 0.5, 1.0, 0.3, 0.2))

    l0: Positive
    a: Positive
    alpha: Positive
    b: Positive
    c: Positive
    beta: Positive
    gamma: Positive
    peak: Positive = 1.0
    spread: Annotated[float, Real(low=0.0)] = 0.0
    covariance: Annotated[tuple[float, ...], Many(Real(), least=0)] = ()
    status: Annotated[str, Choice(STATUS)] = "given"

    @staticmethod
    def _model(theta: Array, trace: Trace) -> tuple[Array, Array]:
        l0, a, alpha, b, c, beta, gamma = np.exp(theta)
        gap, level, before, _ = trace.jumps
        log_level = np.log(np.maximum(level, LEAST * max(float(level.max(initial=0.0)), 1e-100)))
        speed = c * np.exp(-gamma * log_level)
        weights = np.column_stack((gap, gap * log_level))

        def kernel(area: Array, some: slice) -> Array:
            # A jump that is still to come has a negative distance: clipped to 0 it adds nothing.
            z = np.subtract.outer(area, before[some])
            np.maximum(z, 0.0, out=z)
            z *= speed[some]
            log_1z = np.log1p(z)
            left = np.exp(-beta * log_1z)  # the part of each reward that has not arrived yet
            z /= 1.0 + z
            z *= left
            faster = z @ weights[some]
            log_1z *= left
            mine = gap[some]
            return np.column_stack((mine.sum() - left @ mine, faster, log_1z @ mine))

        arrived, faster, faster_levels, logarithms = summed(trace.area, before, kernel).T
        arrived = b * arrived
        with np.errstate(divide="ignore", invalid="ignore"):
            log_area = np.log(trace.area)
            power = a * np.exp(-alpha * log_area)
            slopes = (
                np.full(power.shape, l0),
                power,
                -alpha * log_area * power,
                -arrived,
                -b * beta * faster,
                -b * beta * logarithms,
                b * beta * gamma * faster_levels,
            )
        return l0 + power - arrived, np.stack(slopes, axis=1)
