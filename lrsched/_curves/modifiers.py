"""Nodes that change the clock of a schedule, or what it does after its end."""

import math
from collections.abc import Iterator
from dataclasses import field
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from lrsched._core.check import Int, Many, Real, Steps
from lrsched._core.value import settle
from lrsched._curves.ramps import Cosine, Geometric, Linear, Monomial, NormalizedExponential, Ramp, complement
from lrsched._curves.schedule import Complete, Schedule, bounded
from lrsched._spaces.clock import Clock, Values, clock, simple
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space


class Hold(Schedule):
    """A schedule cut after `steps` steps: it holds the value it would have then.

    It gives an unbounded schedule a length, so that another can follow.

    Args:
        schedule: any schedule.
        steps: length in optimizer updates, at least 1.

    Examples:
        >>> from lrsched import Cooldown, Hold, PowerLaw
        >>> Hold(PowerLaw(1.0, power=0.5, timescale=100), steps=300) >> Cooldown(50)
        Hold(PowerLaw(1.0, timescale=100.0), steps=300) >> Linear(0.5, 0.0, steps=50)
    """

    schedule: Annotated[Schedule, Complete()]
    steps: Annotated[int, Int(low=1)]

    _end: float = field(init=False)

    def _check(self) -> None:
        settle(self, "_end", self.schedule(self.steps))

    _blame_values: ClassVar[str] = "steps"

    @property
    def length(self) -> int:
        """The given number of steps."""
        return self.steps

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(min(t, self.steps))

    def _at(self, t: Any, space: Space) -> Any:
        return space.before(t, self.steps, self.schedule._at, self._end)


class Shift(Schedule):
    """A schedule that begins `steps` steps after its start: `s(t + steps)`.

    In `a >> Shift(b, steps=a.length)` b counts from the start of the chain. Where steps are int32, as in JAX without
    64-bit mode, the cycles of an endless schedule stay at step 2**31 - 1 instead of going beyond it.

    Args:
        schedule: any schedule.
        steps: number of its first steps left out, at least 0; need not be whole.

    Examples:
        >>> from lrsched import Linear, Shift
        >>> Shift(Linear(1.0, 0.0, steps=4), steps=1)(0)
        0.75
        >>> Shift(Linear(1.0, 0.0, steps=4), steps=0.5)(0)
        0.875
    """

    schedule: Annotated[Schedule, Complete()]
    steps: Annotated[float, Steps()]

    _exact: Fraction = field(init=False)

    def _check(self) -> None:
        # Far from the start a float is coarse: what is left before the end must not lose its digits to a shorter one.
        exact = Fraction(self.steps)
        short = simple(self.steps) if exact.denominator > 1 else exact
        near = abs(short - exact) * short.denominator <= 2.0**-43
        settle(self, "_exact", short if near else exact)

    @property
    def length(self) -> int | None:
        """What is left of the schedule, rounded up, at least 1 step, or None."""
        length = self.schedule.length
        return None if length is None else max(length - math.floor(self._exact), 1)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield self.schedule, -self.steps, 1

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(t + self.steps)

    def _at(self, t: Any, space: Space) -> Any:
        return self.schedule._at(space.later(t, self._exact), space)


class Stretch(Schedule):
    """A schedule that runs `factor` times slower: `s(t / factor)`.

    The factor counts as the simplest fraction that rounds to it, 0.1 as 1/10 and 1 / 3 as a third, so whole steps of
    the schedule are met exactly.

    Args:
        schedule: any schedule.
        factor: how many steps one step of the schedule takes, > 0; below 1 it runs faster.

    Examples:
        >>> from lrsched import Linear, Stretch
        >>> Stretch(Linear(1.0, 0.0, steps=4), factor=2.5)(5)
        0.5
    """

    schedule: Annotated[Schedule, Complete()]
    factor: Annotated[float, Real(low=1e-6, high=1e6)]

    _exact: Fraction = field(init=False)

    def _check(self) -> None:
        settle(self, "_exact", simple(self.factor))

    @property
    def length(self) -> int | None:
        """The stretched length, rounded up to whole steps, or None."""
        length = self.schedule.length
        return None if length is None else max(math.ceil(length * self._exact), 1)

    _blame_length: ClassVar[str] = "factor"

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield self.schedule, 0, self.factor

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(t / self.factor)

    def _at(self, t: Any, space: Space) -> Any:
        return self.schedule._at(t if self.factor == 1.0 else clock(t).slower(self._exact), space)


class Epochs(Schedule):
    """A schedule that counts epochs: `s(t // steps_per_epoch)`.

    Over an unbounded decay this is its staircase.

    Args:
        schedule: any schedule; its steps are epochs.
        steps_per_epoch: optimizer updates per epoch, at least 1.

    Examples:
        >>> import numpy as np
        >>> from lrsched import Epochs, Exponential
        >>> Epochs(Exponential(1.0, 0.5), steps_per_epoch=10)(np.array([0, 9, 10, 25]))
        array([1.  , 1.  , 0.5 , 0.25])
    """

    schedule: Annotated[Schedule, Complete()]
    steps_per_epoch: Annotated[int, Int(low=1)]

    _blame_length: ClassVar[str] = "steps_per_epoch"

    @property
    def length(self) -> int | None:
        """The schedule's length in updates, or None."""
        length = self.schedule.length
        return None if length is None else length * self.steps_per_epoch

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield self.schedule, 0, self.steps_per_epoch

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(t / self.steps_per_epoch)

    def _at(self, t: Any, space: Space) -> Any:
        return self.schedule._at(space.turn(t, self.steps_per_epoch)[0], space)


class Batches(Schedule):
    """A schedule that counts batches, of which n make an update: `s(n * t + n - 1)`.

    With gradient accumulation an update is made in the last of its batches. Where a library moves the schedule with
    every batch (Keras, Paddle's `Model.fit`, MMEngine, fastai), update t uses the value of that batch. Libraries that
    move it with every update need no such node.

    Args:
        schedule: any schedule; its steps are batches.
        batches_per_update: batches accumulated for one optimizer update, n in the formula, at least 1.

    Examples:
        >>> import numpy as np
        >>> from lrsched import Batches, Linear
        >>> Batches(Linear(1.0, 0.0, steps=8), batches_per_update=2)(np.arange(5))
        array([0.875, 0.625, 0.375, 0.125, 0.   ])
    """

    schedule: Annotated[Schedule, Complete()]
    batches_per_update: Annotated[int, Int(low=1)]

    @property
    def length(self) -> int | None:
        """Whole updates before the schedule has ended, at least 1, or None."""
        length = self.schedule.length
        return None if length is None else max(length // self.batches_per_update, 1)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        pace = 1 / self.batches_per_update
        yield self.schedule, pace - 1, pace

    def _reach(self, t: float) -> tuple[float, float]:
        n = self.batches_per_update
        return self.schedule._reach(n * t + n - 1.0)

    def _at(self, t: Any, space: Space) -> Any:
        return self.schedule._at(space.last_of(t, self.batches_per_update, self.schedule.length), space)


class Reverse(Schedule):
    """A schedule that runs backwards: `s(s.length - t)`.

    Args:
        schedule: a schedule with a length.

    Examples:
        >>> from lrsched import Linear, Reverse
        >>> Reverse(Linear(1.0, 0.0, steps=4))(1)
        0.25
    """

    schedule: Annotated[Schedule, Complete(bounded=True)]

    _last: float = field(init=False)

    def _check(self) -> None:
        settle(self, "_last", self.schedule(0))

    @property
    def length(self) -> int:
        """The length of the schedule."""
        return bounded(self.schedule)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield self.schedule, self.length, -1

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(self.length)

    def _at(self, t: Any, space: Space) -> Any:
        return space.before(t, self.length, self._back, self._last)

    def _back(self, t: Any, space: Space) -> Any:
        return self.schedule._at(space.back(t, self.length), space)


class Extend(Schedule):
    """A ramp whose formula goes on after its end, instead of holding it.

    A cosine swings back and forth, as torch's `CosineAnnealingLR` and the Hugging Face schedules do after their last
    step; a line goes on falling, below zero too, as the linear decays of some trainers do.

    Args:
        schedule: a `Linear`, `Cosine`, `Monomial`, `Geometric` or `NormalizedExponential`.

    Raises:
        ValueError: the formula of the schedule has no meaning after its end.

    Examples:
        >>> from lrsched import Cosine, Extend
        >>> Extend(Cosine(1.0, 0.0, steps=10))(20)
        1.0
    """

    schedule: Annotated[Ramp, Complete()]

    def _check(self) -> None:
        if not isinstance(self.schedule, Linear | Cosine | Monomial | Geometric | NormalizedExponential):
            raise ValueError(
                "Extend(schedule=...) must be a Linear, Cosine, Monomial, Geometric or NormalizedExponential, "
                f"got {self.schedule!r}"
            )

    @property
    def length(self) -> None:
        """None: it goes on."""
        return

    def _view(self) -> int:
        return 3 * self.schedule.steps

    def _reach(self, t: float) -> tuple[float, float]:
        low, high = self.schedule._reach(t)
        if isinstance(self.schedule, Cosine):
            return low, high
        last = self._at(float(t), SCALAR)
        return min(low, last), max(high, last)

    def _at(self, t: Any, space: Space) -> Any:
        ramp = self.schedule
        n = ramp.steps
        if isinstance(ramp, Cosine):
            return ramp._at(space.fold(t, n), space)
        if ramp.start == ramp.end:  # a weight that overflows must not meet a height of 0
            return space.full(t, ramp.end)
        if type(t) is Clock:
            x, y = space.parts(t, n)
            return ramp.curve(x, y, space)
        if space.scalar:  # whole numbers of any size are divided exactly
            return ramp.curve(t / n, (n - t) / n, space)
        return ramp.curve(space.real(t) / float(n), space.rest(t, n) / float(n), space)


class Warp(Schedule):
    """A ramp on a bent clock: at step t it has the value of `N * (t / N) ** power`.

    This is the `k_decay` of timm: `Warp(Cosine(b, e, steps=N), power=k)`.

    Args:
        schedule: any of the ramps (`Linear`, `Cosine`, `Polynomial`, ...).
        power: exponent of the clock, > 0; above 1 the ramp starts slowly.

    Raises:
        ValueError: the schedule is not a ramp.

    Examples:
        >>> from lrsched import Linear, Warp
        >>> Warp(Linear(1.0, 0.0, steps=10), power=2.0)(5)
        0.75

    References:
        Zhang & Li, k-decay: A New Method For Learning Rate Schedule, 2020. arXiv:2004.05909
    """

    schedule: Annotated[Ramp, Complete()]
    power: Annotated[float, Real(low=0.0, open_low=True)]

    def _check(self) -> None:
        if not isinstance(self.schedule, Ramp):
            raise ValueError(f"Warp(schedule=...) must be a ramp such as Linear or Cosine, got {self.schedule!r}")

    @property
    def length(self) -> int | None:
        """The length of the ramp."""
        return self.schedule.length

    def _reach(self, t: float) -> tuple[float, float]:
        return self.schedule._reach(t)

    def _bent(self, x: Any, y: Any, space: Space) -> Any:
        power, curve = self.power, self.schedule.curve
        if power >= 1.0 or not hasattr(x, "shape"):
            return curve(space.power(x, y, power), complement(x, y, power, space), space)
        # The clock starts with an infinite slope, of which the curve would make the difference of two.
        some = x > 0.0
        near, far = space.where(some, x, 1.0), space.where(some, y, 0.0)
        bent = (
            space.where(some, space.power(near, far, power), 0.0),
            space.where(some, complement(near, far, power, space), 1.0),
        )
        return curve(*bent, space)

    def _at(self, t: Any, space: Space) -> Any:
        ramp = self.schedule
        return space.bounded(t, ramp.steps, self._bent, ramp.end)


class Table(Schedule):
    """A list of values, one a step; the last one holds.

    Its length is the number of values, so that in a chain and in each cycle of a `Repeat` all of them are used.

    Args:
        values: one or more finite values >= 0.

    Examples:
        >>> import numpy as np
        >>> Table((0.1, 0.2, 0.05))(np.arange(5))
        array([0.1 , 0.2 , 0.05, 0.05, 0.05])
        >>> from lrsched import Repeat
        >>> Repeat(Table((0.1, 0.0)))(np.arange(5))
        array([0.1, 0. , 0.1, 0. , 0.1])
    """

    values: Annotated[tuple[float, ...], Many(Real(low=0.0))]

    _values: Values = field(init=False)

    def _check(self) -> None:
        settle(self, "_values", Values(self.values))

    @property
    def length(self) -> int:
        """Number of values: each has a step of its own, the last one too."""
        return len(self.values)

    def _reach(self, t: float) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def _at(self, t: Any, space: Space) -> Any:
        return space.take(self._values, t)
