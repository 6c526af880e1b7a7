"""Schedules combined step by step: sum, product, power, smallest and largest. Numbers stand for constant schedules."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import field
from functools import reduce
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from lrsched._core.check import HORIZON, Many, short
from lrsched._core.value import settle
from lrsched._curves.schedule import FEW, Associative, Complete, Constant, Schedule, count_of, is_pending
from lrsched._spaces.arrays import LARGEST_32
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space
from lrsched.arguments import RateOrNone, checked

Ends = tuple[float, float]


class Totals(NamedTuple):
    """What the parts of a combination add up to."""

    # Steps until all hold; -inf where all are plain numbers, inf where one never does.
    length: float
    # Bounds of the first value, and of all values.
    first: Ends
    all: Ends
    # The least and the largest bound of a part.
    parts: Ends


class Combination(Associative, abstract=True):
    """Schedules combined step by step by one associative operation; each sees the same clock."""

    parts: Annotated[tuple[Schedule, ...], Many(Complete(lift=True), least=2)]
    _totals: Totals = field(init=False)
    # Whether float32 holds all values of the parts.
    _narrow: bool = field(init=False)
    symbol: ClassVar[str] = ""

    def _check(self) -> None:
        given = self.parts
        if sum([count_of(type(self), part) for part in given]) > FEW:
            self._postpone(given)
        else:
            self._place(self._flat(given))
            given = self.parts
        self._add_up(given)

    def _add_up(self, parts: Iterable[Schedule]) -> None:
        known = [part._totals if isinstance(part, type(self)) else _totals(part) for part in parts]
        lengths, first, all_, ends = zip(*known, strict=True)
        low, high = min(map(min, ends)), max(map(max, ends))
        settle(self, "_narrow", max(-low, high) <= LARGEST_32)  # which the bounds look at
        bounds = reduce(self._bounds, first), reduce(self._bounds, all_), (low, high)
        settle(self, "_totals", Totals(max(lengths), *bounds))

    @classmethod
    def of_two(cls, left: Any, right: Any) -> Self:
        """Return the two combined, as the operator does it."""
        if count_of(cls, left) + count_of(cls, right) > FEW:
            sides = [
                part if isinstance(part, Schedule) else Complete(lift=True)(cls.__name__, part)
                for part in (left, right)
            ]
            joined = None if any(map(is_pending, sides)) else cls._lazily(*sides)
            if joined is not None:
                joined._add_up(sides)
                told = joined._totals
                finite = all(map(math.isfinite, told.first if joined.length is None else told.all))
                if finite and told.parts != (-math.inf, math.inf):
                    return joined
        return cls((left, right))

    @property
    def length(self) -> int | None:
        """Steps until every part holds its last value, or None; a constant part always does."""
        return _steps(self._totals.length)

    _blame_length: ClassVar[str] = "parts"
    _blame_values: ClassVar[str] = "parts"

    def _reach(self, t: float) -> tuple[float, float]:
        if t == 0:
            return self._totals.first
        if t >= self._totals.length:  # from where on nothing changes
            return self._totals.all
        return reduce(self._bounds, [part._reach(t) for part in self.parts])

    def _bounds(self, left: Ends, right: Ends) -> Ends:
        ends = [self._join(a, b, SCALAR) for a in left for b in right]
        return min(ends), max(ends)

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


def _totals(part: Schedule) -> Totals:
    most = part._reach(HORIZON)
    return Totals(_lasts(part), part._reach(0), most, most)


def _lasts(part: Schedule) -> float:
    """Return the steps until a part holds: inf if it never does, -inf if it is a plain number."""
    return -math.inf if _is_number(part) else math.inf if part.length is None else part.length


def _steps(length: float) -> int | None:
    return int(length) if math.isfinite(length) else None


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

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return a * b if self._narrow else space.times(a, b)


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
        if self._totals.parts == (-math.inf, math.inf):
            raise ValueError(f"Sum(parts=...) must not both grow and fall without bound, got {short(self.parts)}")

    def _join(self, a: Any, b: Any, space: Space) -> Any:
        return a + b


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
        return _steps(max(_lasts(self.base), _lasts(self.exponent)))

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
