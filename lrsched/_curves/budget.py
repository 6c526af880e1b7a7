"""`Budget`: how long a run is, and what its lengths in other units are in updates."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any, ClassVar, NamedTuple, overload

import numpy as np

from lrsched._core.check import MAX_STEPS, Int, OrNone, plain, short
from lrsched._core.units import KNOWN, Quantity, quantity
from lrsched._core.value import Value, settle
from lrsched._curves.consumed import PerStep, counts_of
from lrsched._curves.schedule import Schedule
from lrsched._spaces.clock import Counts, simple


def rounded(updates: Fraction, run: Fraction | None) -> int:
    """Return the nearest whole number; a half goes down in the first half of a run, and up in the second.

    So two lengths that make up a run do so after rounding, too: only the halves of an odd number do not.
    """
    whole, part = divmod(updates, 1)
    up = part > Fraction(1, 2) or (part == Fraction(1, 2) and run is not None and updates > run / 2)
    return whole + up


def read(where: str, content: Any) -> Quantity:
    """Return a length that a person gave: updates, a part of the run, or a text with a unit.

    Raises:
        TypeError: it is no number and no text.
        ValueError: it is no length.
    """
    if isinstance(content, str | Quantity):
        found = content if isinstance(content, Quantity) else quantity(content) or quantity(f"{content}ba")
        if found is None:
            raise ValueError(f"{where} must be a length such as '5%', '3ep' or '10k', in {KNOWN}, got {short(content)}")
    else:
        part = StepsOrPart()(where, content)
        return Quantity(Fraction(part), "ba") if isinstance(part, int) else Quantity(simple(part), "dur")
    if found.unit == "ba" and found.number.denominator > 1:
        raise ValueError(f"{where} must be a whole number of updates, got {found!r}")
    return found


@dataclass(frozen=True)
class RunLength:
    """A constraint: the length of a run, in updates or in another unit."""

    def __call__(self, where: str, content: Any) -> Any:
        """Return the updates or the quantity, or raise an error that names `where`."""
        if not isinstance(content, str | Quantity):
            return Int(low=1)(where, content)
        found = read(where, content)
        if found.unit == "dur":
            raise ValueError(f"{where} must not be a part of itself, got {found!r}")
        return found

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (value for value in Int(low=1).wrong() if not isinstance(value, str))
        yield from ("5%", "soon", "1.5ba")


@dataclass(frozen=True)
class StepsOrPart:
    """A constraint: a number of steps, or a part between 0 and 1 of all steps of a recipe."""

    low: int = 0

    def __call__(self, where: str, content: Any) -> int | float:
        """Return the steps or the part, or raise an error that names `where`."""
        number = plain(content)
        if isinstance(number, float | np.floating) and 0.0 < number < 1.0:
            return float(number)
        try:
            return Int(low=self.low)(where, content)
        except (TypeError, ValueError) as error:
            raise type(error)(
                str(error).replace(", got ", ", or a part of the steps between 0 and 1, got ", 1)
            ) from None

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from Int(low=self.low).wrong()


def share(where: str, steps: int, part: int | float, low: int = 0) -> int:
    """Return the steps of a part, or a number of steps as it is: at least `low`."""
    found = part if isinstance(part, int) else rounded(simple(part) * steps, Fraction(steps))
    if found < low:
        raise ValueError(f"{where} must be at least {low} step of {steps}, got {part!r}")
    return found


_ARGUMENTS = {"dur": "steps", "ep": "steps_per_epoch", "tok": "tokens_per_step", "sp": "samples_per_step"}


class Budget(Value):
    """How long a run is: what turns lengths in other units into updates.

    `budget("5%")` is a number of updates, of which schedules are built. A length is a text with a unit: "%" or "dur"
    (of `steps`), "ep" (epochs), "sp" (samples), "tok" (tokens), "ba" (updates), with "k", "M", "G" or "B", "T" before
    it for thousands to trillions; or a number of updates, or a part of the run between 0 and 1, as 0.05. 1 and 1.0 are
    one update.

    It is computed exactly, then rounded to the nearest update. A half goes down in the first half of the run and up in
    the second, so `budget("5%") + budget("95%")` is the run; only the halves of an odd number are not. Several lengths
    at once, `budget("30%", "30%", "40%")`, follow each other: the updates at which they end are rounded, so that they
    always add up.

    Args:
        steps: updates of the run, at least 1, or a text such as "3ep" or "300Btok"; it is kept in updates.
        steps_per_epoch: updates of an epoch, at least 1.
        tokens_per_step: tokens of an update, at least 1; or a schedule of them, such as `batch_ramp` makes, whose
            values count as the nearest whole numbers.
        samples_per_step: samples of an update, likewise.

    Raises:
        TypeError: a length is no number and no text.
        ValueError: a length is unknown, or in a unit of which the budget does not know the size.

    Examples:
        >>> budget = Budget(steps=10_000, steps_per_epoch=500, tokens_per_step=4_000_000)
        >>> budget("5%"), budget("3ep"), budget("2e9tok"), budget("1.5k"), budget(0.05)
        (500, 1500, 500, 1500, 500)
        >>> budget("33%", "33%", "34%")
        (3300, 3300, 3400)
        >>> Budget(steps="300Btok", tokens_per_step=4_000_000)
        Budget(steps=75000, tokens_per_step=4000000)
    """

    kind: ClassVar[str] = "budget"
    positional: ClassVar[int] = 0
    steps: Annotated[int | None, OrNone(RunLength())] = None
    steps_per_epoch: Annotated[int | None, OrNone(Int(low=1))] = None
    tokens_per_step: Annotated[int | Schedule | None, OrNone(PerStep())] = None
    samples_per_step: Annotated[int | Schedule | None, OrNone(PerStep())] = None

    _counts: dict[str, Counts] = field(init=False)

    def _check(self) -> None:
        given = {"tok": self.tokens_per_step, "sp": self.samples_per_step}
        settle(self, "_counts", {unit: counts_of("", size) for unit, size in given.items() if size is not None})
        given_steps: Any = self.steps
        if isinstance(given_steps, Quantity):
            settle(self, "steps", Int(low=1)("Budget(steps=...)", rounded(self._end(Fraction(0), given_steps), None)))

    @overload
    def __call__(self, length: str | float, /) -> int: ...
    @overload
    def __call__(self, length: str | float, second: str | float, /, *more: str | float) -> tuple[int, ...]: ...
    def __call__(self, length: str | float, /, *more: str | float) -> int | tuple[int, ...]:
        """Return the updates of a length, or of several that follow each other."""
        scale, end, whole = Scale(self), Fraction(0), [0]
        for part in (length, *more):
            end = scale.end(end, read("budget(length)", part))
            whole.append(scale.whole(end))
        steps = np.diff(np.array(whole, dtype=object)).tolist()
        return tuple(steps) if more else int(steps[0])

    def _end(self, start: Fraction, length: Quantity) -> Fraction:
        """Return the exact update at which a length ends that begins at `start`."""
        if length.unit == "ba":
            return start + length.number
        if length.unit == "dur" and self.steps is not None:
            return start + length.number * self.steps
        if length.unit == "ep" and self.steps_per_epoch is not None:
            return start + length.number * self.steps_per_epoch
        counts = self._counts.get(length.unit)
        if counts is None:
            missing = _ARGUMENTS[length.unit]
            raise ValueError(f"Budget({missing}=...) must be given for lengths such as {length!r}, got {self!r}")
        return counts.when(counts.at(start) + length.number)


def _same(t: Fraction) -> Fraction:
    return t


class Scale(NamedTuple):
    """The lengths of a budget on a clock: that of the updates, or another one."""

    budget: Budget
    # From updates to local steps, and back.
    local: Callable[[Fraction], Fraction] = _same
    updates: Callable[[Fraction], Fraction] = _same
    # What the clock counts itself.
    own: tuple[str, ...] = ()

    def end(self, start: Fraction, length: Quantity) -> Fraction:
        """Return the exact local step at which a length ends that begins at `start`."""
        if length.unit in self.own:
            return start + length.number
        return self.local(self.budget._end(self.updates(start), length))

    def whole(self, end: Fraction) -> int:
        """Return a local step, rounded."""
        run = None if self.budget.steps is None else self.local(Fraction(self.budget.steps))
        if end > MAX_STEPS:
            raise ValueError(f"a length must be at most 2**53 updates, got {math.floor(end)} by {self.budget!r}")
        return rounded(end, run)

    def inner(self, local: Callable[[Fraction], Fraction], back: Callable[[Fraction], Fraction], own: Any) -> "Scale":
        """Return the scale on a clock that is driven by this one."""
        return Scale(self.budget, lambda t: local(self.local(t)), lambda t: self.updates(back(t)), own)
