"""What one parameter scheduler of MMEngine does to a rate: at single steps, and from a step on.

MMEngine writes each scheduler as a rule that turns the rate it finds at its step `k` into the next one. So several act
one after the other on one rate, and each goes on from what the others have left. A law here is that rule (`act`), and
the curve that it follows from any step and any rate while no other scheduler acts (`curve`).
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from lrsched._curves import Constant, Cosine, Epochs, Exponential, Extend, Linear, Monomial, Polynomial, Schedule, Sum
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import late, stairs

# A curve, and the step at which it ends; None for one that goes on as long as the scheduler acts.
Stretch = tuple[Schedule, int | None]


class SchedulerLaw(ABC):
    """A scheduler on its own clock: step 0 is the first at which it acts."""

    @property
    def multiplies(self) -> bool:
        """Whether it multiplies the rate by what does not depend on it, as long as a curve goes on."""
        return getattr(self, "low", 0.0) == 0.0  # else it is what lies above `low` that is multiplied

    @abstractmethod
    def act(self, k: int, rate: float) -> float:
        """Return the rate after step `k`, where it was `rate`."""

    @abstractmethod
    def next_change(self, k: int) -> int | None:
        """Return the first step after `k` that changes the rate, or None."""

    def changes(self, k: int, until: int) -> int:
        """Return how many steps between `k` and `until` change the rate."""
        return max(until - k - 1, 0) if self.next_change(k) is not None else 0

    def next_turn(self, k: int) -> int | None:
        """Return the first step after `k` that sets the rate or adds to it, where the others may be multiplying."""
        return None

    @abstractmethod
    def curve(self, k: int, rate: float, found: float) -> Stretch | None:
        """Return the curve from step `k` on, which has made `rate` of the rate `found`; None if it would be negative.

        `found` is `rate` itself where that is not known.
        """


@dataclass(frozen=True)
class Step(SchedulerLaw):
    """The rate times `gamma` after each `size` steps."""

    size: int
    gamma: float

    def act(self, k: int, rate: float) -> float:
        return rate * self.gamma if k > 0 and k % self.size == 0 else rate

    def next_change(self, k: int) -> int | None:
        return (k // self.size + 1) * self.size if self.gamma != 1.0 else None

    def changes(self, k: int, until: int) -> int:
        return (until - 1) // self.size - k // self.size if self.gamma != 1.0 else 0

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        return late(Epochs(Exponential(rate, self.gamma), self.size), k % self.size), None


@dataclass(frozen=True)
class MultiStep(SchedulerLaw):
    """The rate times `gamma` at each of some steps, which are in order."""

    milestones: tuple[int, ...]
    gamma: float

    def act(self, k: int, rate: float) -> float:
        return powers(rate, self.gamma, self.milestones.count(k))[-1]

    def next_change(self, k: int) -> int | None:
        place = bisect_right(self.milestones, k)
        return self.milestones[place] if place < len(self.milestones) and self.gamma != 1.0 else None

    def changes(self, k: int, until: int) -> int:
        return len({step for step in self.milestones if k < step < until}) if self.gamma != 1.0 else 0

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        rest = [step - k for step in self.milestones if step > k]
        taken = self.milestones.count(k)
        if rate != powers(found, self.gamma, taken)[-1]:
            taken, found = 0, rate
        return stairs(rest, powers(found, self.gamma, taken + len(rest))[taken:]), None


@dataclass(frozen=True)
class FactorUntil(SchedulerLaw):
    """The rate times `factor` until step `total`, which divides by it."""

    factor: float
    total: int

    def act(self, k: int, rate: float) -> float:
        if k == 0:
            return rate * self.factor
        return rate * (1.0 / self.factor) if k == self.total else rate

    def next_change(self, k: int) -> int | None:
        return self.total if k < self.total and self.factor != 1.0 else None

    def changes(self, k: int, until: int) -> int:
        return int(k < self.total < until and self.factor != 1.0)

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        after = found if k == 0 and rate == found * self.factor else rate / self.factor
        return Constant(rate, self.total - k) >> Constant(after), None


@dataclass(frozen=True)
class EveryStep(SchedulerLaw):
    """The rate times `gamma` after each step."""

    gamma: float

    def act(self, k: int, rate: float) -> float:
        return rate * self.gamma if k > 0 else rate

    def next_change(self, k: int) -> int | None:
        return k + 1 if self.gamma != 1.0 else None

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        return Exponential(rate, self.gamma), None


@dataclass(frozen=True)
class Line(SchedulerLaw):
    """A line of factors from `start` to `end` at step `total`."""

    start: float
    end: float
    total: int

    def act(self, k: int, rate: float) -> float:
        return rate * self.start if k == 0 else rate * (self._above(k) / self._above(k - 1))

    def _above(self, k: int) -> float:
        """Return `total` times the factor at a step."""
        return self.start * (self.total - k) + self.end * k

    def next_change(self, k: int) -> int | None:
        return k + 1 if k < self.total and self.start != self.end else None

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        if k == 0 and rate == found * self.start:
            return Linear(rate, found * self.end, self.total), None
        return Linear(rate, rate * (self.end * self.total / self._above(k)), self.total - k), None


@dataclass(frozen=True)
class PowerOfRest(SchedulerLaw):
    """The distance from `low` times a power of the part left, which is 0 at step `total`."""

    low: float
    power: float
    total: int

    def act(self, k: int, rate: float) -> float:
        if k == 0:
            return rate
        left = self.total - k
        return (rate - self.low) * math.pow(left / (left + 1), self.power) + self.low

    def next_change(self, k: int) -> int | None:
        return k + 1 if k < self.total else None

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        return Polynomial(rate, self.low, self.total - k, self.power), None


def _wave(step: int, half: int) -> float:
    """Return `(1 + cos(pi * step / half)) / 2`, exact next to its zeros."""
    return math.sin(math.pi / 2.0 * ((half - step % (2 * half)) / half)) ** 2


def _falling(step: int, half: int, low: float, rate: float) -> Schedule | None:
    """Return a cosine wave about `low` that is at `rate` at its step, counted from a top; None if it goes below 0."""
    height = _wave(step, half)
    top = low + (rate - low) / height
    if top >= 0.0:
        whole = Cosine(top, low, half)
        return late(whole if step <= half else Extend(whole), step)
    if step > half:
        return None
    # It rises to `low` from below: cos a - cos b = 2 sin((a + b) / 2) sin((b - a) / 2) keeps every part positive.
    sine = Extend(Cosine(0.0, 1.0, half)) ** 0.5
    return Sum((Constant(rate), ((low - rate) / height) * late(sine, 2 * step) * sine))


@dataclass(frozen=True)
class Wave(SchedulerLaw):
    """A cosine from the rate that it finds to `low`, and back to `base`, half a period in `half` steps."""

    base: float
    low: float
    half: int

    def act(self, k: int, rate: float) -> float:
        if k == 0:
            return rate
        if self._turns(k):
            return rate + (self.base - self.low) * math.sin(math.pi / 2.0 / self.half) ** 2
        return (rate - self.low) * (_wave(k, self.half) / _wave(k - 1, self.half)) + self.low

    def _turns(self, k: int) -> bool:
        return k > self.half and (k - 1 - self.half) % (2 * self.half) == 0

    def next_change(self, k: int) -> int | None:
        return k + 1

    def next_turn(self, k: int) -> int:
        step = k % (2 * self.half)
        return k - step + self.half + 1 + (2 * self.half if step > self.half else 0)

    def curve(self, k: int, rate: float, found: float) -> Stretch | None:
        if (k == 0 and rate == self.base) or (self._turns(k) and found == self.low):
            return late(Extend(Cosine(self.base, self.low, self.half)), k), None
        if rate == self.base == self.low:
            return Constant(rate), None
        step, turn = k % (2 * self.half), self.next_turn(k)
        if step == self.half or rate == self.low:
            return Constant(rate), turn
        curve = _falling(step, self.half, self.low, rate)
        return None if curve is None else (curve, turn)


@dataclass(frozen=True)
class Restarts(SchedulerLaw):
    """Half cosines of given lengths, each from `base` times its weight to `low`."""

    base: float
    low: float
    periods: tuple[int, ...]
    weights: tuple[float, ...]

    def _place(self, k: int) -> tuple[int, int]:
        """Return the number of the cycle that a step is in, and at which step that ends."""
        ends = [*accumulate(self.periods), 0]
        place = bisect_right(ends[:-1], k)
        return place, ends[place]

    def act(self, k: int, rate: float) -> float:
        place, end = self._place(k)
        if place == len(self.periods):
            return rate
        step = k - end + self.periods[place]
        if step == 0:
            return self.base * self.weights[place]
        return (rate - self.low) * (_wave(step, self.periods[place]) / _wave(step - 1, self.periods[place])) + self.low

    def next_change(self, k: int) -> int | None:
        return k + 1 if k + 1 < sum(self.periods) else None

    def next_turn(self, k: int) -> int:
        return self._place(k)[1]

    def curve(self, k: int, rate: float, found: float) -> Stretch | None:
        place, end = self._place(k)
        curve = _falling(k - end + self.periods[place], self.periods[place], self.low, rate)
        return None if curve is None else (curve, end)


@dataclass(frozen=True)
class Cycle(SchedulerLaw):
    """The rates of `total` steps, which do not depend on the one that is found; `first` becomes the group's first."""

    rates: Schedule
    first: float
    total: int

    @property
    def multiplies(self) -> bool:
        return False

    def act(self, k: int, rate: float) -> float:
        return self.rates(k)

    def next_change(self, k: int) -> int | None:
        return k + 1 if k + 1 < self.total else None

    def curve(self, k: int, rate: float, found: float) -> Stretch:
        if rate == self.rates(k):
            return late(self.rates, k), None
        return Constant(rate, 1) >> late(self.rates, k + 1), None


@dataclass(frozen=True)
class Quadratic(SchedulerLaw):
    """A square of the part gone: `base / total**2` first, then as much as makes `base` of it after `total` steps."""

    base: float
    total: int

    @property
    def multiplies(self) -> bool:
        return False

    def act(self, k: int, rate: float) -> float:
        return (rate if k else 0.0) + self.base * (2 * k + 1) / self.total**2

    def next_change(self, k: int) -> int | None:
        return k + 1 if k + 1 < self.total else None

    def curve(self, k: int, rate: float, found: float) -> Stretch | None:
        square = late(Monomial(0.0, self.base, self.total, 2.0), k + 1)
        above = rate - self.base * ((k + 1) / self.total) ** 2
        if abs(above) <= 1e-13 * rate:
            return square, None
        return (Sum((Constant(above), square)), None) if above > 0.0 else None
