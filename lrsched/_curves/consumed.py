"""`Consumed`: a schedule that counts tokens or samples, of which an update takes one number or another."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import MAX_STEPS, Int, meant, short
from lrsched._core.value import settle
from lrsched._curves.combine import Combination, Power
from lrsched._curves.modifiers import Epochs, Hold
from lrsched._curves.schedule import Chain, Complete, Constant, Schedule
from lrsched._spaces.clock import Counts
from lrsched._spaces.space import Space

# So many different numbers may follow each other; each is an entry of a table.
MAX_CHANGES = 2**20


@dataclass(frozen=True)
class PerStep:
    """A constraint: how many tokens or samples an update takes, a number or a schedule of numbers."""

    def __call__(self, where: str, content: Any) -> int | Schedule:
        """Return the number or the schedule, or raise an error that names `where`."""
        content = meant(content)
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


class Consumed(Schedule):
    """A schedule that counts the tokens or samples that a run has taken.

    Update t uses `s(n(t))`, where n(t) is what the updates before it have taken, the sum of `per_step(u)` for u < t. It
    is an exact integer, however large; so a run is resumed by the number of its update alone.

    Where steps are int32 (JAX without its 64-bit mode) it is exact, too, while `per_step` changes at most 64 times;
    beyond that, and for steps that are float32, n(t) has the 24 bits of float32, less than an update up to step 2**24.

    Args:
        schedule: any schedule; its steps are tokens, or samples.
        per_step: what an update takes, a whole number >= 1 or a schedule of them, such as `batch_ramp` makes: the
            values of one that is no number count as the nearest whole ones. It holds its last value, and changes at
            most 2**20 times.

    Examples:
        >>> from lrsched import Constant, Consumed, Cosine, Linear, Warmup
        >>> Consumed(Linear(1.0, 0.0, steps=10**13), per_step=4_000_000)(1_250_000)
        0.5
        >>> ramp = Constant(1_000_000, steps=1000) >> Constant(4_000_000)
        >>> s = Consumed(Warmup(10**9) >> Cosine(3e-4, 0.0, steps=10**12), per_step=ramp)
        >>> s(1000), s.length
        (0.0003, 251000)

    References:
        Brown et al., Language Models are Few-Shot Learners, 2020, appendix B: warm-up and decay by tokens, under a ramp
        of the batch size. arXiv:2005.14165
    """

    schedule: Annotated[Schedule, Complete()]
    per_step: Annotated[int | Schedule, PerStep()]

    _counts: Counts = field(init=False)

    def _check(self) -> None:
        settle(self, "_counts", counts_of("Consumed(per_step=...)", self.per_step))

    _blame_length: ClassVar[str] = "per_step"

    @property
    def length(self) -> int | None:
        """Updates until the schedule has ended, rounded up, at least 1, or None."""
        length = self.schedule.length
        return None if length is None else max(math.ceil(self._counts.when(length)), 1)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        start, count, rate = (column[-1] for column in (self._counts.starts, self._counts.counts, self._counts.rates))
        yield self.schedule, start - count / rate, 1 / rate

    def _corners(self, last: float) -> Iterator[float]:
        end = self.length
        last = min(last, MAX_STEPS if end is None else end)
        yield from (0, end or 0)
        yield from (start for start in self._counts.starts if start <= last)
        yield from (float(self._counts.when(round(u))) for u in self.schedule._corners(self._counts.at(last)) if u >= 0)

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(self._counts.at(t))

    def _at(self, t: Any, space: Space) -> Any:
        return space.counted(t, self._counts, self.schedule._at)
