"""The curves. A bounded one is a line of mathematics in `x`, the part of its steps gone, and `y`, the part left.

Both are exact quotients of integers with x + y = 1, so a curve that falls to zero is written in the one that vanishes
with it and keeps its relative accuracy there.
"""

import math
from abc import abstractmethod
from dataclasses import field
from typing import Annotated, Any, ClassVar

from lrsched._core.check import Int, Real
from lrsched._core.value import settle
from lrsched._curves.schedule import Schedule
from lrsched._spaces.arrays import LARGEST_32
from lrsched._spaces.clock import Clock
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space

HALF_PI = math.pi / 2


class Ramp(Schedule, abstract=True):
    """A curve from `start` to `end`, which it then holds: extend it and write `curve`.

    `curve` gets `x`, the part of the steps that is gone, and `y = 1 - x`, as numbers, arrays of any library or what
    stands for them: see `Curve`. What falls to zero is written in the one that vanishes with it.

    So `Warmup(10) >> Smoothstep(0.5, 0.0, steps=40)` is a schedule as any other:

        class Smoothstep(lrsched.Ramp):
            def curve(self, x, y, space):
                return self.start * y * y * (1.0 + 2.0 * x) + self.end * x * x * (1.0 + 2.0 * y)

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
    """

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]
    positional: ClassVar[int] = 2

    @property
    def length(self) -> int:
        """Steps before `end` is reached."""
        return self.steps

    def _reach(self, t: float) -> tuple[float, float]:
        return min(self.start, self.end), max(self.start, self.end)

    @abstractmethod
    def curve(self, x: Any, y: Any, space: Space) -> Any:
        """Return the value where the part `x` of the steps is gone and `y = 1 - x` is left."""

    def _at(self, t: Any, space: Space) -> Any:
        steps = self.steps
        if space is SCALAR and type(t) is not Clock:
            return self.end if t >= steps else self.curve(t / steps, (steps - t) / steps, SCALAR)
        return space.bounded(t, steps, self.curve, self.end)


class Blend(Ramp, abstract=True):
    """A ramp whose value is a weighted mean of `start` and `end`.

    The value is counted from the smaller endpoint: next to it nothing cancels, and next to the larger one the rounding
    of the weight is below that of the value. A leaf gives the weight of `start` and its complement.
    """

    _low: float = field(init=False)
    _span: float = field(init=False)
    _rises: bool = field(init=False)

    def _check(self) -> None:
        low, high = sorted((self.start, self.end))
        span = high - low
        while low + span > high:
            span = math.nextafter(span, 0.0)
        while low + span < high:
            span = math.nextafter(span, math.inf)
        settle(self, "_low", low)
        settle(self, "_span", span)
        settle(self, "_rises", self.end > self.start)

    @abstractmethod
    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return the weight of `start`, accurate where it vanishes."""

    @abstractmethod
    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return the weight of `end`, accurate where it vanishes: 1 - fall."""

    def curve(self, x: Any, y: Any, space: Space) -> Any:
        """Return the mean of the endpoints with the weight of the larger one."""
        span = self._span
        if span == 0.0:  # which would meet an infinite slope
            return space.full(x, self._low)
        weight = self.rise(x, y, space) if self._rises else self.fall(x, y, space)
        return self._low + (span * weight if span <= LARGEST_32 else space.times(weight, span))


class Linear(Blend):
    """A straight line from `start` to `end`.

    At step t it is `start + (end - start) * t / steps`, and `end` from then on.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> Linear(1.0, 0.0, steps=4)(1)
        0.75
    """

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return y."""
        return y

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return x."""
        return x


class Cosine(Blend):
    """Half a cosine wave from `start` to `end`.

    At step t it is `end + (start - end) * (1 + cos(pi * t / steps)) / 2`, and `end` from then on; computed as the
    square of the sine of half the angle, which does not cancel.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> round(Cosine(1.0, 0.0, steps=10)(5), 12)
        0.5

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5 (without restarts). arXiv:1608.03983
    """

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return (1 + cos(pi x)) / 2."""
        root = space.sin(HALF_PI * y)
        return root * root

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return (1 - cos(pi x)) / 2."""
        root = space.sin(HALF_PI * x)
        return root * root


class Polynomial(Blend):
    """A power of the part left: `end + (start - end) * (1 - t / steps) ** power`.

    Power 1 is linear, 2 is the square decay, 0.5 its mirror image.

    In float32 alone (JAX without its 64-bit mode) a value is exact to 16 units in the last place, and three more
    for each unit of `power`, or of the logarithm of how far the value has fallen.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
        power: exponent, > 0.

    Examples:
        >>> Polynomial(1.0, 0.0, steps=4, power=2.0)(2)
        0.25
    """

    power: Annotated[float, Real(low=0.0, open_low=True)] = 1.0

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return y ** power."""
        return _raised(y, x, self.power, space)

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return 1 - y ** power."""
        return complement(y, x, self.power, space)


class Monomial(Blend):
    """A power of the part gone: `start + (end - start) * (t / steps) ** power`.

    As a decay this is the `1 - x ** power` family of the LLM trainers: power 0.5 is their `1-sqrt`, 2 their `1-square`.

    In float32 alone (JAX without its 64-bit mode) a value is exact to 16 units in the last place, and three more
    for each unit of `power`, or of the logarithm of how small the weight is.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
        power: exponent, > 0.

    Examples:
        >>> Monomial(1.0, 0.0, steps=4, power=0.5)(1)
        0.5

    References:
        Hagele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024 (1-sqrt).
        arXiv:2405.18392
    """

    power: Annotated[float, Real(low=0.0, open_low=True)] = 0.5

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return 1 - x ** power."""
        return complement(x, y, self.power, space)

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return x ** power."""
        return _raised(x, y, self.power, space)


def _raised(x: Any, y: Any, power: float, space: Space) -> Any:
    if power == 1.0:
        return x
    if power == 2.0:
        return x * x
    return space.root(x) if power == 0.5 else space.power(x, y, power)


def complement(x: Any, y: Any, power: float, space: Space) -> Any:
    """Return `1 - x ** power` for x = 1 - y, accurate where it vanishes; short forms where no power is needed."""
    if power == 1.0:
        return y
    if power == 2.0:
        return y * (1.0 + x)
    if power == 0.5:
        return y / (1.0 + space.root(x))
    return -space.expm1(power * space.log_of(x, y))


class Geometric(Ramp):
    """A straight line on a logarithmic axis.

    At step t it is `start ** (1 - x) * end ** x` with x = t / steps, and `end` from x = 1 on.

    Args:
        start: value at step 0, finite and > 0.
        end: value at step `steps` and after, finite and > 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> round(Geometric(1.0, 1e-4, steps=4)(2), 12)
        0.01

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017 (the range test). arXiv:1506.01186
    """

    start: Annotated[float, Real(low=0.0, open_low=True)]
    end: Annotated[float, Real(low=0.0, open_low=True)]

    def _at(self, t: Any, space: Space) -> Any:
        if not space.single or self.start == self.end:
            return super()._at(t, space)
        rate = (math.log(self.end) - math.log(self.start)) / self.steps
        return space.before(t, self.steps, lambda t, space: space.exponential(t, self.start, rate), self.end)

    def curve(self, x: Any, y: Any, space: Space) -> Any:
        """Return the power of the ratio, counted from the nearer endpoint."""
        rate = math.log(self.end) - math.log(self.start)
        if not (space.fits(self.start) and space.fits(self.end)):
            return space.exp(math.log(self.start) * y + math.log(self.end) * x)
        first = x < y
        return space.where(first, self.start, self.end) * space.exp(space.where(first, x, -y) * rate)


class Harmonic(Ramp):
    """A ramp whose reciprocal is a straight line.

    At step t it is `1 / ((1 - x) / start + x / end)` with x = t / steps, and `end` from x = 1 on.

    Also written as an inverse decay to a floor, `start / ((start / end - 1) * x + 1)`.

    Args:
        start: value at step 0, finite and > 0.
        end: value at step `steps` and after, finite and > 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> Harmonic(1.0, 0.25, steps=3)(1)
        0.5
    """

    start: Annotated[float, Real(low=0.0, open_low=True)]
    end: Annotated[float, Real(low=0.0, open_low=True)]

    def _check(self) -> None:
        if not 1e-300 < self.start / self.end < 1e300:
            raise ValueError(f"Harmonic(end=...) must be within 300 decades of start={self.start!r}, got {self.end!r}")

    def curve(self, x: Any, y: Any, space: Space) -> Any:
        """Return start / (y + x * start / end)."""
        if not (space.fits(self.start) and space.fits(self.end)):
            log = math.log(self.start) - math.log(self.end)
            return space.exp(math.log(self.start) - space.log(y + space.exp(space.log_of(x, y) + log)))
        return self.start / (y + x * (self.start / self.end))


class Rex(Blend):
    """Reflected exponential.

    The weight of `start` is `(1 - x) / (1 - x / 2)` with x = t / steps.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> round(Rex(1.0, 0.0, steps=4)(2), 12)
        0.666666666667

    References:
        Chen, Wolfe & Kyrillidis, REX: Revisiting Budgeted Training with an Improved Schedule, 2021. arXiv:2107.04197
    """

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return 2 y / (1 + y)."""
        return (y + y) / (1.0 + y)

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return x / (1 + y)."""
        return x / (1.0 + y)


class Tanh(Blend):
    """A hyperbolic tangent.

    The weight of `start` is `(1 - tanh(lower * (1 - x) + upper * x)) / 2` with x = t / steps.

    It comes close to `start` at step 0 and to `end` before step `steps`, where it takes `end` exactly.

    In float32 alone (JAX without its 64-bit mode) a value is exact to 16 units in the last place, and three more
    for each unit of twice the larger of `-lower` and `upper`.

    Args:
        start: value approached at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
        lower: argument of tanh at step 0, from -300 to 300.
        upper: argument of tanh at step `steps`, from -300 to 300, more than `lower`.

    Examples:
        >>> round(Tanh(1.0, 0.0, steps=10)(7), 12)
        0.5

    References:
        Hsueh, Li & Wu, Stochastic Gradient Descent with Hyperbolic-Tangent Decay on Classification, 2019.
        arXiv:1806.01593
    """

    lower: Annotated[float, Real(low=-300.0, high=300.0)] = -7.0
    upper: Annotated[float, Real(low=-300.0, high=300.0)] = 3.0

    def _check(self) -> None:
        super()._check()
        if self.lower >= self.upper:
            raise ValueError(f"Tanh(lower=...) must be < upper={self.upper!r}, got {self.lower!r}")

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return 1 / (1 + exp(2 z))."""
        return 1.0 / (1.0 + space.exp(2.0 * (self.lower * y + self.upper * x)))

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return 1 / (1 + exp(-2 z))."""
        return 1.0 / (1.0 + space.exp(-2.0 * (self.lower * y + self.upper * x)))


class NormalizedExponential(Blend):
    """An exponential that meets both ends.

    The weight of `start` is `(rate ** x - rate) / (1 - rate)` with x = t / steps.

    Rate 0.5 gives `2 * 0.5 ** x - 1`, the exponential cool-down of Megatron-LM.

    In float32 alone (JAX without its 64-bit mode) a value is exact to 16 units in the last place, and three more
    for each unit of the logarithm of `rate`.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
        rate: base of the exponential, from 1e-30 to 1e30 and not 1; below 1 it falls fast first, above 1 slowly first.

    Examples:
        >>> round(NormalizedExponential(1.0, 0.0, steps=2)(1), 12)
        0.414213562373
    """

    rate: Annotated[float, Real(low=1e-30, high=1e30)] = 0.5

    def _check(self) -> None:
        super()._check()
        if self.rate == 1.0:
            raise ValueError(f"NormalizedExponential(rate=...) must not be 1 (write Linear), got {self.rate!r}")

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return expm1(-y log rate) / expm1(-log rate)."""
        log = math.log(self.rate)
        return space.expm1(-log * y) / math.expm1(-log)

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return expm1(x log rate) / expm1(log rate)."""
        log = math.log(self.rate)
        return space.expm1(log * x) / math.expm1(log)


class Hyperbolic(Blend):
    """A branch of a hyperbola, nearly the same at its beginning for every length.

    The weight of `start` is `sqrt((N - t) * (2 U - N - t) / (N * (2 U - N)))` with N = steps and U = upper.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.
        upper: the upper bound U of the length, in steps, at least `steps`; equal to it, the curve is a line.

    Examples:
        >>> round(Hyperbolic(1.0, 0.0, steps=10, upper=20)(5), 12)
        0.645497224368

    References:
        Kim, HyperbolicLR: Epoch insensitive learning rate scheduler, 2024. arXiv:2407.15200
    """

    upper: Annotated[int, Int(low=1)]

    def _check(self) -> None:
        super()._check()
        if self.upper < self.steps:
            raise ValueError(f"Hyperbolic(upper=...) must be >= steps={self.steps!r}, got {self.upper!r}")

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return sqrt(y (2 k - 1 - x) / (2 k - 1)) with k = U / N; the factor is written in y and k - 1."""
        spare = 2.0 * ((self.upper - self.steps) / self.steps)
        return space.sqrt(y * ((spare + y) / (spare + 1.0)))

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return (1 - fall ** 2) / (1 + fall)."""
        spare = 2.0 * ((self.upper - self.steps) / self.steps)
        return x * ((spare + 1.0 + y) / (spare + 1.0)) / (1.0 + self.fall(x, y, space))


class Logarithmic(Blend):
    """A logarithm of the step: the weight of `end` is `log(1 + t) / log(1 + steps)`.

    Args:
        start: value at step 0, finite and >= 0.
        end: value at step `steps` and after, finite and >= 0; may exceed `start`.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> round(Logarithmic(0.0, 1.0, steps=3)(1), 12)
        0.5
    """

    def fall(self, x: Any, y: Any, space: Space) -> Any:
        """Return -log((1 + t) / (1 + N)) / log1p(N), its argument written in x and y."""
        n = self.steps
        return -space.log_of(x + y / (n + 1.0), y * (n / (n + 1))) / math.log1p(n)

    def rise(self, x: Any, y: Any, space: Space) -> Any:
        """Return log1p(t) / log1p(N)."""
        return space.log1p(x * float(self.steps)) / math.log1p(self.steps)
