"""Schedules combined step by step: sum, product, power, smallest and largest. Numbers stand for constant schedules."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Annotated, Any, ClassVar

from lrsched._core.check import HORIZON, Many, short
from lrsched._core.value import settle, value
from lrsched._curves.schedule import Complete, Constant, Schedule
from lrsched._spaces.arrays import LARGEST_32
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space
from lrsched.arguments import RateOrNone, checked


@value
class Combination(Schedule, abstract=True):
    """Schedules combined step by step by one associative operation; each sees the same clock."""

    parts: Annotated[tuple[Schedule, ...], Many(Complete(lift=True), least=2)]
    symbol: ClassVar[str] = ""

    def _check(self) -> None:
        flat = [inner for part in self.parts for inner in (part.parts if isinstance(part, type(self)) else (part,))]
        settle(self, "parts", tuple(flat))

    @property
    def length(self) -> int | None:
        """Steps until every part holds its last value, or None; a constant part always does."""
        return settled(self.parts)

    _blame_length: ClassVar[str] = "parts"
    _blame_values: ClassVar[str] = "parts"

    def _reach(self, t: float) -> tuple[float, float]:
        low, high = self.parts[0]._reach(t)
        for part in self.parts[1:]:
            ends = [self._join(a, b, SCALAR) for a in (low, high) for b in part._reach(t)]
            low, high = min(ends), max(ends)
        return low, high

    @abstractmethod
    def _join(self, a: Any, b: Any, space: Space) -> Any:
        """Return the two values combined."""

    def _at(self, t: Any, space: Space) -> Any:
        joined = self.parts[0]._at(t, space)
        for part in self.parts[1:]:
            joined = self._join(joined, part._at(t, space), space)
        return joined

    def __repr__(self) -> str:
        """Return the parts joined by the operator, constants as plain numbers."""
        if not self.symbol:
            return super().__repr__()
        if len(self.parts) > 100:
            return f"{type(self).__name__}({self.parts!r})"
        return _written(self, self.parts, self.symbol)


def settled(parts: Iterable[Schedule]) -> int | None:
    """Return the steps after which all parts hold, or None if one never does (or all are plain constants)."""
    lengths = [part.length for part in parts if not _is_number(part)]
    known = [length for length in lengths if length is not None]
    return max(known) if known and len(known) == len(lengths) else None


def _is_number(part: Schedule) -> bool:
    return isinstance(part, Constant) and part.steps is None


_BINDING: dict[str, int] = {"Chain": 1, "Sum": 2, "Product": 3, "Power": 4}


def _written(outer: Schedule, parts: Sequence[Schedule], symbol: str) -> str:
    """Return the parts joined by an operator: constants as numbers, in brackets what does not bind more tightly."""
    binding = _BINDING[type(outer).__name__]
    texts = [f"({part!r})" if _BINDING.get(type(part).__name__, 5) <= binding else repr(part) for part in parts]
    for i, part in enumerate(parts):
        # Two numbers at the front would be computed by Python before they reach a schedule.
        if isinstance(part, Constant) and _is_number(part) and not (i == 0 and _is_number(parts[1])):
            texts[i] = repr(part.value)
    return f" {symbol} ".join(texts)


@value
class Product(Combination):
    """The product of schedules, step by step: what `a * b` builds.

    Args:
        parts: two or more schedules; a number stands for a constant.

    Examples:
        >>> from lrsched import Exponential, Linear
        >>> (Linear(0.0, 1.0, steps=4) * Exponential(0.1, 0.5))(1)
        0.0125
    """

    symbol: ClassVar[str] = "*"

    _largest: float = field(init=False)

    def _check(self) -> None:
        super()._check()
        largest = max(abs(end) for part in self.parts for end in part._reach(HORIZON))
        settle(self, "_largest", largest)

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return a * b if self._largest <= LARGEST_32 else space.times(a, b)


@value
class Sum(Combination):
    """The sum of schedules, step by step: what `a + b` builds.

    Args:
        parts: two or more schedules; a number stands for a constant.

    Examples:
        >>> from lrsched import Linear
        >>> (0.25 + Linear(0.0, 1.0, steps=4))(1)
        0.5
    """

    symbol: ClassVar[str] = "+"

    def _check(self) -> None:
        super()._check()
        ends = [end for part in self.parts for end in part._reach(HORIZON)]
        if math.inf in ends and -math.inf in ends:
            raise ValueError(f"Sum(parts=...) must not both grow and fall without bound, got {short(self.parts)}")

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return a + b


@value
class Minimum(Combination):
    """The smallest of several schedules at each step.

    Args:
        parts: two or more schedules; a number stands for a constant.

    Examples:
        >>> from lrsched import Linear
        >>> Minimum((0.25, Linear(0.0, 1.0, steps=4)))(3)
        0.25
    """

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return space.minimum(a, b)


@value
class Maximum(Combination):
    """The largest of several schedules at each step.

    Args:
        parts: two or more schedules; a number stands for a constant.

    Examples:
        >>> from lrsched import Linear
        >>> Maximum((0.25, Linear(1.0, 0.0, steps=4)))(4)
        0.25
    """

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return space.maximum(a, b)


@value
class Power(Schedule):
    """One schedule to the power of another: what `a ** b` builds.

    Args:
        base: a schedule, or a number >= 0 for a constant one.
        exponent: a schedule, or a number >= 0 for a constant one.

    Examples:
        >>> from lrsched import Cosine
        >>> round((Cosine(1.0, 0.0, steps=10) ** 2)(5), 12)
        0.25
    """

    base: Annotated[Schedule, Complete(lift=True)]
    exponent: Annotated[Schedule, Complete(lift=True)]
    positional: ClassVar[int] = 2

    @property
    def length(self) -> int | None:
        """Steps until both parts hold their last value, or None."""
        return settled((self.base, self.exponent))

    _blame_length: ClassVar[str] = "base"
    _blame_values: ClassVar[str] = "base"

    def _reach(self, t: float) -> tuple[float, float]:
        ends = [SCALAR.raised(a, b) for a in self.base._reach(t) for b in self.exponent._reach(t)]
        return min(ends), max(ends)

    def _at(self, t: Any, space: Space) -> Any:
        # An extended line may pass below zero, where a fractional power has no value.
        base, exponent = self.base._at(t, space), self.exponent._at(t, space)
        return space.raised(base, exponent)

    def __repr__(self) -> str:
        """Return `base ** exponent`, constants as plain numbers unless both are."""
        return _written(self, (self.base, self.exponent), "**")


@checked
def clip(schedule: Annotated[Schedule, Complete()], low: RateOrNone = None, high: RateOrNone = None) -> Schedule:
    """Return the schedule bounded to `[low, high]` at each step.

    Args:
        schedule: the schedule.
        low: smallest value, or None.
        high: largest value, or None.

    Raises:
        ValueError: `low` exceeds `high`.

    Examples:
        >>> from lrsched import Linear
        >>> clip(Linear(1.0, 0.0, steps=10), low=0.1)(10)
        0.1
    """
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip(low=...) must be <= high={high!r}, got {low!r}")
    bounded: Schedule = schedule
    if low is not None:
        bounded = Maximum((bounded, low))  # type: ignore[arg-type]  # a number stands for a constant
    if high is not None:
        bounded = Minimum((bounded, high))  # type: ignore[arg-type]
    return bounded
