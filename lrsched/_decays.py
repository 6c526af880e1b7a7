"""The curves that never end: each is one formula of the step."""

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar

from lrsched._check import Real
from lrsched._schedule import Schedule
from lrsched._value import value


class Decay(Schedule, abstract=True):
    """A curve without an end, in `t`, the real number of steps."""

    @property
    def length(self) -> None:
        """None: it never holds a last value."""
        return

    @abstractmethod
    def curve(self, t: Any, xp: Any) -> Any:
        """Return the value after `t` steps."""

    def _at(self, t: Any, xp: Any) -> Any:
        return self.curve(xp.real(t), xp)


@value
class Exponential(Decay):
    """Exponential decay, `start * rate ** (t / steps)`.

    `Epochs(Exponential(...), n)` is its staircase. A natural decay `start * exp(-gamma * t)` is exact as
    `Exponential(start, exp(-1), steps=1 / gamma)`.

    Args:
        start: value at step 0, finite and >= 0.
        rate: factor after each `steps` steps, > 0; above 1 the schedule grows.
        steps: the time that one factor takes, in optimizer updates, at least 1e-9.

    Examples:
        >>> Exponential(1.0, 0.5, steps=10)(20)
        0.25
    """

    start: Annotated[float, Real(low=0.0)]
    rate: Annotated[float, Real(low=0.0, open_low=True)]
    steps: Annotated[float, Real(low=1e-9)] = 1.0
    positional: ClassVar[int] = 2

    def curve(self, t: Any, xp: Any) -> Any:
        """Return start * exp(log(rate) * t / steps)."""
        return self.start * xp.exp(t / self.steps * math.log(self.rate))


@value
class InverseTime(Decay):
    """Inverse time decay, `start / (1 + rate * t / steps)`.

    Args:
        start: value at step 0, finite and >= 0.
        rate: growth of the divisor per `steps` steps, >= 0.
        steps: the time unit, in optimizer updates, at least 1e-9.

    Examples:
        >>> InverseTime(1.0, 0.5, steps=10)(20)
        0.5

    References:
        Robbins & Monro, A Stochastic Approximation Method, 1951.
    """

    start: Annotated[float, Real(low=0.0)]
    rate: Annotated[float, Real(low=0.0)]
    steps: Annotated[float, Real(low=1e-9)] = 1.0
    positional: ClassVar[int] = 2

    def curve(self, t: Any, xp: Any) -> Any:
        """Return start / (1 + rate t / steps)."""
        return self.start / (1.0 + t / self.steps * self.rate)


@value
class PowerLaw(Decay):
    """A power of the time, `start * (1 + t / timescale) ** -power`.

    After a warm-up of W steps `PowerLaw(peak, power=0.5, timescale=W)` is the inverse square root
    `peak * sqrt(W / (W + t))`; with another power it is Noam-hold or the power schedule.

    Args:
        start: value at step 0, finite and >= 0.
        power: exponent of the decay, from -10 (a negative one grows) to 100.
        timescale: steps before the decay is felt, at least 1e-9.

    Examples:
        >>> PowerLaw(1.0, power=0.5, timescale=100)(300)
        0.5

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """

    start: Annotated[float, Real(low=0.0)]
    power: Annotated[float, Real(low=-10.0, high=100.0)] = 0.5
    timescale: Annotated[float, Real(low=1e-9)] = 1.0

    def curve(self, t: Any, xp: Any) -> Any:
        """Return start * (1 + t / timescale) ** -power."""
        return self.start * (1.0 + t / self.timescale) ** -self.power


@value
class ExponentialWarmup(Decay):
    """A factor that approaches `end` exponentially: multiply a schedule by it.

    At step t it is `end * (1 - exp(-(t + 1) / timescale))`.

    Args:
        end: the value approached, finite and >= 0.
        timescale: time constant in optimizer updates, at least 1e-9; `1 / (1 - b2)` is the untuned one for Adam.

    Examples:
        >>> round(ExponentialWarmup(1.0, timescale=10)(9), 12)
        0.632120558829

    References:
        Ma & Yarats, On the adequacy of untuned warmup for adaptive optimization, 2021, eq. 9. arXiv:1910.04209
    """

    end: Annotated[float, Real(low=0.0)] = 1.0
    timescale: Annotated[float, Real(low=1e-9)] = 1000.0

    def curve(self, t: Any, xp: Any) -> Any:
        """Return -end * expm1(-(t + 1) / timescale)."""
        return -self.end * xp.expm1(-(t + 1.0) / self.timescale)
