"""Cycles: `Repeat`, which restarts any schedule, and the triangular wave."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import field, replace
from functools import cached_property
from itertools import accumulate, islice
from typing import Annotated, Any, ClassVar

from lrsched._core.check import HORIZON, MAX_STEPS, Choice, Int, OrNone, Real
from lrsched._core.value import settle
from lrsched._curves.ramps import Linear
from lrsched._curves.schedule import Complete, Schedule, bounded
from lrsched._spaces.arrays import LARGEST_32
from lrsched._spaces.clock import Cycles, simple
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import Space

# Cycles that lengthen by a tenth of a percent reach 2**53 steps in about 35,000 cycles.
MAX_CYCLES = 100_000
# Fractional bits of the cycle boundaries: enough for every cycle in the table to be rounded only once.
FRACTION_BITS = 256
# So many cycles are made at once for the first steps, which others ask for when they are built.
_EARLY = 200
ROUNDING = ("none", "once", "each")


class Repeat(Schedule):
    """A schedule that starts again when it has ended: warm restarts.

    Cycle i lasts `stretch ** i` times the length of the schedule and has its values multiplied by `scale ** i`. The
    cycle is found by comparing integers, never by a logarithm. With `rounding` each cycle takes whole steps, and the
    schedule is stretched to fill them.

    Args:
        schedule: a schedule with a length.
        times: number of cycles, at least 1, or None for cycles without end. The last one holds its end.
        stretch: factor of the length from one cycle to the next; below 1 only with `times`.
        scale: factor of the values from one cycle to the next, > 0.
        rounding: "none" keeps fractions of steps; "once" rounds the length `n * stretch ** i` of cycle i down; "each"
            rounds `stretch` times the length of the cycle before down. Products and powers are those of float64.

    Raises:
        ValueError: cycles shrink without end or to less than a step, or lengthen so little that more than 100,000 of
            them would fit.

    Examples:
        >>> from lrsched import Cosine, Repeat
        >>> s = Repeat(Cosine(1.0, 0.0, steps=10), stretch=2, scale=0.5)
        >>> s(0), s(10), s(30), s(70)
        (1.0, 0.5, 0.25, 0.125)
        >>> Repeat(Cosine(1.0, 0.0, steps=5), stretch=1.5, rounding="once")(5 + 7)
        1.0

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """

    schedule: Annotated[Schedule, Complete(bounded=True)]
    times: Annotated[int | None, OrNone(Int(low=1))] = None
    stretch: Annotated[float, Real(low=0.0, open_low=True, high=1e6)] = 1.0
    scale: Annotated[float, Real(low=0.0, high=1e6, open_low=True)] = 1.0
    rounding: Annotated[str, Choice(ROUNDING)] = "none"

    _even: bool = field(init=False)
    _period: int = field(init=False)
    _last: float = field(init=False)
    _length: int | None = field(init=False)
    _largest: float = field(init=False)

    def _check(self) -> None:
        period = bounded(self.schedule)
        if self.times is None and self.stretch < 1.0:
            raise ValueError(f"Repeat(stretch=...) must be >= 1 unless times=... is given, got {self.stretch!r}")
        if self.stretch % 1.0 == 0.0:
            settle(self, "rounding", "none")  # nothing to round
        even = self.stretch == 1.0 or (self.rounding == "each" and int(period * self.stretch) == period)
        settle(self, "_even", even)
        settle(self, "_period", period)
        if not even and not (self.rounding == "none" and self.times is None and self._surely_few()):
            _ = self._extent
        settle(self, "_largest", max(*map(abs, self.schedule._reach(period)), self._growth(HORIZON)))
        settle(self, "_length", None)
        if self.times is not None:
            settle(self, "_length", period * self.times if even else self._extent[1])
            settle(self, "_last", SCALAR.times(self.schedule(period), SCALAR.grow(self.scale, self.times - 1)))

    _blame_length: ClassVar[str] = "times"
    _blame_values: ClassVar[str] = "scale"

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        most = min((self.times or math.inf) - 1, last / self._period)
        if not self._even:
            most = min(bisect_right(self._cycles.whole, last), len(self._cycles.per)) - 1
        # Each of a few cycles; of many, some from everywhere.
        for k in sorted({int(most * i / 40) for i in range(41)}):
            if self._even:
                yield self.schedule, self._period * k, 1
            else:
                yield self.schedule, self._cycles.whole[k] - self._cycles.fraction[k], self._cycles.per[k]

    def _view(self) -> int:
        return bounded(replace(self, times=4)) - 1  # the step after would begin a fifth cycle

    def _growth(self, t: float) -> float:
        """Return the factor of the last cycle that begins within the first t steps."""
        most = math.inf if self.times is None else self.times - 1.0
        count = min(t // self._period, most) if self.stretch >= 1.0 else most
        return SCALAR.grow(self.scale, count if self._even or self.scale == 1.0 else min(count, self._extent[0]))

    def _reach(self, t: float) -> tuple[float, float]:
        ends = [
            SCALAR.times(end, factor) for end in self.schedule._reach(self._period) for factor in (1.0, self._growth(t))
        ]
        return min(ends), max(ends)

    def _surely_few(self) -> bool:
        """Return whether far fewer cycles begin within 2**53 steps than may; what is near is counted."""
        growth = self.stretch - 1.0
        return math.log1p(MAX_STEPS / self._period * growth) / math.log1p(growth) < 0.99 * MAX_CYCLES

    def _sizes(self) -> Iterator[int]:
        """Yield the length of each cycle that begins within 2**53 steps: in steps if rounded, else in tiny ones."""
        one = 1 << FRACTION_BITS if self.rounding == "none" else 1
        ratio, per, size = simple(self.stretch), one, self._period * one
        begin = count = 0
        while begin < MAX_STEPS * one and count != self.times:
            if count == MAX_CYCLES:
                raise ValueError(f"Repeat(stretch=...) must give at most {MAX_CYCLES} cycles, got {self.stretch!r}")
            if size < 1 and one == 1:
                raise ValueError(f"Repeat(stretch=...) must leave a step to each cycle, got {self.stretch!r}")
            yield size
            begin += size
            count += 1
            # Rounded in float64, as the libraries compute it: 5 * 1.4 is 7.0, though the number 1.4 stands for is less.
            if self.rounding == "none":
                per = per * ratio.numerator // ratio.denominator
                size = self._period * per
            else:
                size = int(size * self.stretch if self.rounding == "each" else self._period * self.stretch**count)

    @cached_property
    def _extent(self) -> tuple[int, int]:
        """The number of cycles and the step after the last."""
        count = end = 0
        for size in self._sizes():
            count, end = count + 1, end + size
        if self.times is not None and count < self.times:
            return count, MAX_STEPS + 1  # refused by the caller: the last cycles lie past 2**53 steps
        return count, -(-end >> FRACTION_BITS) if self.rounding == "none" else end

    @cached_property
    def _cycles(self) -> Cycles:
        """Where each cycle begins: made when it is asked for, since there may be very many."""
        return self._begins(None)

    @cached_property
    def _early(self) -> Cycles:
        return self._begins(_EARLY)

    def _begins(self, most: int | None) -> Cycles:
        sizes = [*islice(self._sizes(), most)]
        begins = [*accumulate(sizes, initial=0)]
        if self.rounding != "none":
            return Cycles(self._period, begins, [0.0] * len(begins), [size / self._period for size in sizes])
        one = 1 << FRACTION_BITS
        whole = [-(-b // one) for b in begins]
        # What is truncated in the last bits is no part of a step.
        fractions = [(w * one - b >> 64) / (one >> 64) for w, b in zip(whole, begins, strict=True)]
        return Cycles(self._period, whole, fractions, [size // self._period / one for size in sizes])

    @property
    def length(self) -> int | None:
        """Steps until the last cycle ends, or None."""
        return self._length

    def _at(self, t: Any, space: Space) -> Any:
        return self._cycle(t, space) if self._length is None else space.before(t, self._length, self._cycle, self._last)

    def _cycle(self, t: Any, space: Space) -> Any:
        if self._even:
            number, local = space.turn(t, self._period)
        else:
            early = type(t) is int and t < self._early.whole[-1]
            number, local = space.cycle(t, self._early if early else self._cycles)
        current = self.schedule._at(local, space)
        if self.scale == 1.0:
            return current
        factor = space.grow(self.scale, number)
        return current * factor if self._largest <= LARGEST_32 else space.times(current, factor)


class Triangular(Schedule):
    """A triangular wave between two values: the cyclical learning rate.

    Multiplied by a decay, or as one period in `Repeat(..., scale=0.5)`, it gives `exp_range` and `triangular2`.

    Args:
        low: value at the start of each cycle, finite and >= 0.
        high: value after `up` steps, finite and >= 0.
        up: steps from `low` to `high`, at least 1.
        down: steps back to `low`, at least 1, or None for as many as `up`.

    Examples:
        >>> import numpy as np
        >>> Triangular(0.0, 1.0, up=4)(np.arange(9))
        array([0.  , 0.25, 0.5 , 0.75, 1.  , 0.75, 0.5 , 0.25, 0.  ])

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """

    low: Annotated[float, Real(low=0.0)]
    high: Annotated[float, Real(low=0.0)]
    up: Annotated[int, Int(low=1)]
    down: Annotated[int | None, OrNone(Int(low=1))] = None
    positional: ClassVar[int] = 2

    @property
    def length(self) -> None:
        """None: the wave goes on."""
        return

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        up, down = self.up, self.down or self.up
        yield Repeat(Linear(self.low, self.high, up) >> Linear(self.high, self.low, down)), 0, 1

    def _view(self) -> int:
        return 4 * (self.up + (self.down or self.up))

    def _reach(self, t: float) -> tuple[float, float]:
        return min(self.low, self.high), max(self.low, self.high)

    def _at(self, t: Any, space: Space) -> Any:
        up, down = self.up, self.down or self.up
        _, local = space.turn(t, up + down)
        if self.low <= self.high:  # counted from the smaller value, as in `Blend`
            height = space.minimum(space.real(local) / float(up), space.rest(local, up + down) / float(down))
            span = self.high - self.low
            return self.low + (span * height if span <= LARGEST_32 else space.times(height, span))
        before = space.rest(local, up)
        return self.high + (self.low - self.high) * space.maximum(before / float(up), -before / float(down))
