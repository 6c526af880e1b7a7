"""The less common curves, in the same terms as `_shapes`: x is the part of the steps gone, y = 1 - x the part left."""

import math
from typing import Annotated, Any

from lrsched._check import Int, Real
from lrsched._shapes import Blend, Ramp
from lrsched._value import value


@value
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
    steps: Annotated[int, Int(low=1)]

    def _check(self) -> None:
        if not 1e-300 < self.start / self.end < 1e300:
            raise ValueError(f"Harmonic(end=...) must be within 300 decades of start={self.start!r}, got {self.end!r}")

    def curve(self, x: Any, y: Any, xp: Any) -> Any:
        """Return start / (y + x * start / end)."""
        if not (xp.fits(self.start) and xp.fits(self.end)):
            log = math.log(self.start) - math.log(self.end)
            return xp.exp(math.log(self.start) - xp.log(y + xp.exp(xp.log_of(x, y) + log)))
        return self.start / (y + x * (self.start / self.end))


@value
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

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]

    def fall(self, x: Any, y: Any, xp: Any) -> Any:
        """Return 2 y / (1 + y)."""
        return (y + y) / (1.0 + y)

    def rise(self, x: Any, y: Any, xp: Any) -> Any:
        """Return x / (1 + y)."""
        return x / (1.0 + y)


@value
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

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]
    lower: Annotated[float, Real(low=-300.0, high=300.0)] = -7.0
    upper: Annotated[float, Real(low=-300.0, high=300.0)] = 3.0

    def _check(self) -> None:
        super()._check()
        if self.lower >= self.upper:
            raise ValueError(f"Tanh(lower=...) must be < upper={self.upper!r}, got {self.lower!r}")

    def fall(self, x: Any, y: Any, xp: Any) -> Any:
        """Return 1 / (1 + exp(2 z))."""
        return 1.0 / (1.0 + xp.exp(2.0 * (self.lower * y + self.upper * x)))

    def rise(self, x: Any, y: Any, xp: Any) -> Any:
        """Return 1 / (1 + exp(-2 z))."""
        return 1.0 / (1.0 + xp.exp(-2.0 * (self.lower * y + self.upper * x)))


@value
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

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]
    rate: Annotated[float, Real(low=1e-30, high=1e30)] = 0.5

    def _check(self) -> None:
        super()._check()
        if self.rate == 1.0:
            raise ValueError(f"NormalizedExponential(rate=...) must not be 1 (write Linear), got {self.rate!r}")

    def fall(self, x: Any, y: Any, xp: Any) -> Any:
        """Return expm1(-y log rate) / expm1(-log rate)."""
        log = math.log(self.rate)
        return xp.expm1(-log * y) / math.expm1(-log)

    def rise(self, x: Any, y: Any, xp: Any) -> Any:
        """Return expm1(x log rate) / expm1(log rate)."""
        log = math.log(self.rate)
        return xp.expm1(log * x) / math.expm1(log)


@value
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

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]
    upper: Annotated[int, Int(low=1)]

    def _check(self) -> None:
        super()._check()
        if self.upper < self.steps:
            raise ValueError(f"Hyperbolic(upper=...) must be >= steps={self.steps!r}, got {self.upper!r}")

    def fall(self, x: Any, y: Any, xp: Any) -> Any:
        """Return sqrt(y (2 k - 1 - x) / (2 k - 1)) with k = U / N; the factor is written in y and k - 1."""
        spare = 2.0 * ((self.upper - self.steps) / self.steps)
        return xp.sqrt(y * ((spare + y) / (spare + 1.0)))

    def rise(self, x: Any, y: Any, xp: Any) -> Any:
        """Return (1 - fall ** 2) / (1 + fall)."""
        spare = 2.0 * ((self.upper - self.steps) / self.steps)
        return x * ((spare + 1.0 + y) / (spare + 1.0)) / (1.0 + self.fall(x, y, xp))


@value
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

    start: Annotated[float, Real(low=0.0)]
    end: Annotated[float, Real(low=0.0)]
    steps: Annotated[int, Int(low=1)]

    def fall(self, x: Any, y: Any, xp: Any) -> Any:
        """Return -log((1 + t) / (1 + N)) / log1p(N), its argument written in x and y."""
        n = self.steps
        return -xp.log_of(x + y / (n + 1.0), y * (n / (n + 1))) / math.log1p(n)

    def rise(self, x: Any, y: Any, xp: Any) -> Any:
        """Return log1p(t) / log1p(N)."""
        return xp.log1p(x * float(self.steps)) / math.log1p(self.steps)
