"""The curves that never end: each is one formula of the step."""

import math
from abc import abstractmethod
from dataclasses import field
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from lrsched._core.check import Real
from lrsched._core.value import settle
from lrsched._curves.schedule import Schedule
from lrsched._spaces.arrays import LARGEST_32
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space


class Curve(Schedule, abstract=True):
    """A curve without an end: extend it and write `at`, the value after `t` steps.

    The fields are annotations, as in a dataclass; each is checked by its annotation. `at` gets `t` as a number, an
    array of any library or what stands for one, so it computes with `+ - * / **` and the functions of `space`: `sin`,
    `exp`, `expm1`, `log`, `log1p`, `sqrt`, `minimum`, `maximum`, and `where` in place of `if`. The values must be
    finite. `Hold(curve, steps=n)` gives it a length.

    So `Fading(0.1)` prints, parses, saves, composes and draws as any other:

        class Fading(lrsched.Curve):
            start: float

            def at(self, t, space):
                return self.start / space.sqrt(1.0 + t)
    """

    @property
    def length(self) -> None:
        """None: it never holds a last value."""
        return

    @abstractmethod
    def at(self, t: Any, space: Space) -> Any:
        """Return the value after `t` steps."""

    def _reach(self, t: float) -> tuple[float, float]:
        first, last = self.at(0.0, SCALAR), self.at(float(t), SCALAR)  # each of the curves below is monotone
        return min(first, last), max(first, last)

    def _at(self, t: Any, space: Space) -> Any:
        return self.at(space.real(t), space)


class Exponential(Curve):
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

    def _at(self, t: Any, space: Space) -> Any:
        if space.single and self.start > 0.0 and self.rate != 1.0:
            return space.exponential(t, self.start, math.log(self.rate) / self.steps)
        return super()._at(t, space)

    def at(self, t: Any, space: Space) -> Any:
        """Return start * exp(log(rate) * t / steps)."""
        if self.start == 0.0 or self.rate == 1.0:
            return space.full(t, self.start)
        exponent = t / self.steps * math.log(self.rate)
        if not space.fits(self.start):
            return space.exp(exponent + math.log(self.start))
        if (self.start > 1.0) == (self.rate > 1.0) or 1e-3 <= self.start <= 1e3:
            return self.start * space.exp(exponent)
        half = space.exp(0.5 * exponent)  # the factor alone may leave the range of floats where the value does not
        return self.start * half * half


class InverseTime(Curve):
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

    def at(self, t: Any, space: Space) -> Any:
        """Return start / (1 + rate t / steps)."""
        if self.start > 0.0 and max(self.rate, self.start) > space.largest:
            return space.exp(math.log(self.start) - space.log(1.0 + space.times(t / self.steps, self.rate)))
        return self.start / (1.0 + t / self.steps * self.rate)


class PowerLaw(Curve):
    """A power of the time, `start * (1 + t / timescale) ** -power`.

    After a warm-up of W steps `PowerLaw(peak, power=0.5, timescale=W)` is the inverse square root
    `peak * sqrt(W / (W + t))`; with another power it is Noam-hold or the power schedule.

    In float32 alone (JAX without its 64-bit mode) a value is exact to 16 units in the last place, and three more
    for each unit of `power`, or of the logarithm of how far the value has fallen.

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

    def at(self, t: Any, space: Space) -> Any:
        """Return start * (1 + t / timescale) ** -power."""
        if self.start == 0.0:
            return space.full(t, 0.0)
        base = 1.0 + t / self.timescale
        if not space.fits(self.start):
            return space.exp(math.log(self.start) - self.power * space.log(base))
        return self.start * (base**-self.power if self.power >= 0.0 else space.raised(base, -self.power))


class ExponentialWarmup(Curve):
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

    def at(self, t: Any, space: Space) -> Any:
        """Return -end * expm1(-(t + 1) / timescale)."""
        gone = -space.expm1(-(t + 1.0) / self.timescale)
        return self.end * gone if self.end <= LARGEST_32 else space.times(gone, self.end)


def _bernoulli(count: int) -> tuple[float, ...]:
    """Return B(2k) / (2k)! for k = 1 ... count, the coefficients of `1 / expm1(z) - 1 / z + 1 / 2` in odd powers."""
    numbers = [Fraction(1)]
    for n in range(1, 2 * count + 1):
        numbers.append(-sum((math.comb(n + 1, k) * numbers[k] for k in range(n)), Fraction(0)) / (n + 1))
    return tuple(float(numbers[2 * k] / math.factorial(2 * k)) for k in range(1, count + 1))


_SERIES = _bernoulli(10)


class RectifiedWarmup(Curve):
    """The rectification of RAdam, a factor that rises to 1: multiply a schedule by it.

    With `R = 2 / (1 - b2) - 1` and `r(n) = R - 2 * n * b2**n / (1 - b2**n)` it is, at step t,
    `sqrt((r - 4) * (r - 2) * R / ((R - 4) * (R - 2) * r))` for n = t + k, k the first n with r(n) > 4.

    Args:
        b2: decay of the second moment of Adam, more than 0.6 and less than 1.

    Examples:
        >>> round(RectifiedWarmup(0.999)(1000), 6)
        0.646639

    References:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, ICLR 2020, eq. 5. arXiv:1908.03265
    """

    b2: Annotated[float, Real(low=0.6, high=1.0, open_low=True, open_high=True)] = 0.999

    _rate: float = field(init=False)
    _limit: float = field(init=False)
    _excess: float = field(init=False)
    _first: int = field(init=False)

    def _check(self) -> None:
        gap = 1.0 - self.b2
        settle(self, "_rate", -math.log(self.b2))
        settle(self, "_limit", 2.0 / gap - 1.0)
        # 2 / gap - 1 - 2 / rate: what cancels is summed up to the terms that do not (Gregory's coefficients).
        gregory = (1 / 12, 1 / 24, 19 / 720, 3 / 160, 863 / 60480, 275 / 24192, 33953 / 3628800, 8183 / 1036800)
        tail = sum(2.0 * part * gap ** (k + 1) for k, part in enumerate(gregory))
        settle(self, "_excess", tail if gap < 0.01 else self._limit - 2.0 / self._rate)
        first = next(n for n in range(1, 100) if self._length_of(float(n), SCALAR) > 4.0)
        settle(self, "_first", first)

    def _length_of(self, n: Any, space: Space) -> Any:
        """Return r(n); for small n its large parts cancel, so it is n and a series."""
        z = n * self._rate
        few = z < 1.0
        near, far = space.where(few, z, 1.0), space.where(few, 1.0, z)
        square, tail = near * near, 0.0
        for part in reversed(_SERIES):
            tail = part + square * tail
        small = self._excess + n - 2.0 * (n * (near * tail))
        return space.where(few, small, self._limit - 2.0 * (n * space.exp(-far) / -space.expm1(-far)))

    def at(self, t: Any, space: Space) -> Any:
        """Return the rectification at n = t + first."""
        r, limit = self._length_of(t + float(self._first), space), self._limit
        return space.sqrt((r - 4.0) / (limit - 4.0) * ((r - 2.0) / (limit - 2.0)) * (limit / r))
