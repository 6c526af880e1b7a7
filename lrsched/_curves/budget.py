"""`Budget`: how long a run is, and what its lengths in other units are in updates."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from typing import Annotated, Any, ClassVar, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import MAX_STEPS, Int, OrNone, plain, short
from lrsched._core.units import KNOWN, Quantity, quantity
from lrsched._core.value import Value, settle
from lrsched._curves.combine import Combination, Power
from lrsched._curves.modifiers import Epochs, Hold
from lrsched._curves.schedule import Chain, Complete, Constant, Schedule
from lrsched._spaces.clock import Counts, simple

# So many different numbers of tokens may follow each other; each is an entry of a table.
MAX_CHANGES = 2**20


@dataclass(frozen=True)
class PerStep:
    """A constraint: how many tokens or samples an update takes, a number or a schedule of numbers."""

    def __call__(self, where: str, content: Any) -> int | Schedule:
        """Return the number or the schedule, or raise an error that names `where`."""
        if not isinstance(content, Schedule):
            return Int(low=1)(where, content)
        Complete()(where, content)
        counts_of(where, content)
        return content

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from Int(low=1).wrong()
        yield from (Constant(0.4), Constant(1e16), Complete)


def counts_of(where: str, per_step: int | Schedule) -> Counts:
    """Return the counts of a number or a schedule of numbers per update.

    Raises:
        ValueError: the schedule goes on changing, changes too often, or is somewhere less than 1 or more than 2**53.
    """
    if not isinstance(per_step, Schedule):
        return Counts([0], [per_step])
    steps = _changes(where, per_step)
    rates = np.rint(per_step(steps))
    for wrong in rates[(rates < 1) | (rates > MAX_STEPS)][:1]:
        raise ValueError(f"{where} must be at every step an int >= 1 and <= 2**53, got {wrong:g} in {short(per_step)}")
    new = np.flatnonzero(np.diff(rates, prepend=0.0))
    return Counts(steps[new].tolist(), rates[new].astype(np.int64).tolist())


def _changes(where: str, schedule: Schedule) -> NDArray[np.int64]:
    """Return, sorted, the steps at which a schedule may take another value; the first one is 0."""
    found = _told(where, schedule)
    if found is None:
        length = schedule.length
        if length is None or length > MAX_CHANGES:
            what = "end" if length is None else f"change at most {MAX_CHANGES} times"
            raise ValueError(f"{where} must {what}, or hold its values for long, got {short(schedule)}")
        found = np.arange(length + 1)
    return found


def _told(where: str, schedule: Schedule) -> NDArray[np.int64] | None:
    match schedule:
        case Constant():
            return np.zeros(1, np.int64)
        case Chain(parts):
            found = [_changes(where, part) for part in parts]
            ends = [*(part.length for part in parts[:-1]), None]
            told = [c if end is None else c[c < end] for c, end in zip(found, ends, strict=True)]
            return np.concatenate([at + c for at, c in zip(schedule.starts, told, strict=True)])
        case Combination(parts):
            return reduce(np.union1d, [_changes(where, part) for part in parts])
        case Power(base, exponent):
            return np.union1d(_changes(where, base), _changes(where, exponent))
        case Hold(inner, steps):
            if inner.length is None and _told(where, inner) is None:
                return np.arange(steps + 1) if steps <= MAX_CHANGES else None
            found_inside = _changes(where, inner)
            return np.append(found_inside[found_inside < steps], steps)
        case Epochs(inner, size):
            return _changes(where, inner) * size
    return None


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
            settle(self, "steps", Int(low=1)("Budget(steps=...)", rounded(self.end(Fraction(0), given_steps), None)))

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

    def end(self, start: Fraction, length: Quantity) -> Fraction:
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
        return self.local(self.budget.end(self.updates(start), length))

    def whole(self, end: Fraction) -> int:
        """Return a local step, rounded."""
        run = None if self.budget.steps is None else self.local(Fraction(self.budget.steps))
        if end > MAX_STEPS:
            raise ValueError(f"a length must be at most 2**53 updates, got {math.floor(end)} by {self.budget!r}")
        return rounded(end, run)

    def inner(self, local: Callable[[Fraction], Fraction], back: Callable[[Fraction], Fraction], own: Any) -> "Scale":
        """Return the scale on a clock that is driven by this one."""
        return Scale(self.budget, lambda t: local(self.local(t)), lambda t: self.updates(back(t)), own)
