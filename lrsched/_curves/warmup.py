"""`Warmup` and `Cooldown`: ramps that take their height from the neighbour in a chain."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, ClassVar

from lrsched._core.check import Choice, Real
from lrsched._curves.ramps import Cosine, Linear, Monomial, NormalizedExponential, Polynomial
from lrsched._curves.schedule import Pending, Schedule

# A cool-down from `start` to `end`, and the warm-up of the same name, which is its mirror image in time.
_SHAPES: dict[str, tuple[Callable[[float, float, int], Schedule], Callable[[float, float, int], Schedule]]] = {
    "linear": (Linear, Linear),
    "cosine": (Cosine, Cosine),
    "1-sqrt": (partial(Monomial, power=0.5), partial(Polynomial, power=0.5)),
    "1-square": (partial(Monomial, power=2.0), partial(Polynomial, power=2.0)),
    "square": (partial(Polynomial, power=2.0), partial(Monomial, power=2.0)),
    "exponential": (partial(NormalizedExponential, rate=0.5), partial(NormalizedExponential, rate=2.0)),
}
SHAPES = tuple(_SHAPES)


class Warmup(Pending):
    """A rise to the first value of the schedule that follows it.

    `Warmup(n) >> s` is `Linear(start, s(0), steps=n) >> s`: update 0 uses `start`, update n the first value of s.

    Args:
        steps: length in optimizer updates; with 0 it vanishes from the chain.
        start: learning rate at step 0, finite and >= 0.
        shape: "linear", "cosine", or the mirror image in time of the cool-down of that name.

    Examples:
        >>> from lrsched import Constant, Warmup
        >>> Warmup(4) >> Constant(0.1)
        Linear(0.0, 0.1, steps=4) >> Constant(0.1)

    References:
        Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2. arXiv:1706.02677
    """

    start: Annotated[float, Real(low=0.0)] = 0.0
    shape: Annotated[str, Choice(SHAPES)] = "linear"
    side: ClassVar[int] = 1

    def resolve(self, height: float) -> Schedule:
        """Return the ramp from `start` to `height`."""
        return _SHAPES[self.shape][1](self.start, height, self.steps)


class Cooldown(Pending):
    """A fall from the last value of the schedule before it.

    `s >> Cooldown(n)` is `s >> Linear(s(s.length), end, steps=n)`.

    Args:
        steps: length in optimizer updates; with 0 it vanishes from the chain.
        end: learning rate at the end and after, finite and >= 0.
        shape: "linear", "cosine", "1-sqrt", "1-square", "square" or "exponential" (`2 * 0.5 ** x - 1`).

    Examples:
        >>> from lrsched import Constant, Cooldown
        >>> Constant(0.1, steps=8) >> Cooldown(2)
        Constant(0.1, steps=8) >> Linear(0.1, 0.0, steps=2)

    References:
        Zhai et al., Scaling Vision Transformers, 2022, section 3.5 (cool-down). arXiv:2106.04560
    """

    end: Annotated[float, Real(low=0.0)] = 0.0
    shape: Annotated[str, Choice(SHAPES)] = "linear"
    side: ClassVar[int] = -1

    def resolve(self, height: float) -> Schedule:
        """Return the ramp from `height` to `end`."""
        return _SHAPES[self.shape][0](height, self.end, self.steps)
