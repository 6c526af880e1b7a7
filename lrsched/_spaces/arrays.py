"""The operations of a curve on arrays.

* Steps are integers. Differences, comparisons and floors of steps are taken in integers, and only their result
  becomes a float: float32 counts exactly to 2**24 only. Local times that are no integers: see `clocked`.
* In traced code every branch is computed, so a branch that is not taken sees a harmless argument (no NaN gradient).
  NumPy computes only what a block of steps needs (`numpy`).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lrsched._core.check import LARGEST
from lrsched._spaces.clock import Clock, Counts, Cycles, Values
from lrsched._spaces.clocked import Clocked
from lrsched._spaces.functions import Function, numbers_of, on_known, traced
from lrsched._spaces.ops import Ops, root_module, same_shape, shape_of
from lrsched._spaces.space import AtTime, Part

INT64 = 2**63 - 1
LEAST_32, LARGEST_32 = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


# So many pieces are computed one by one where a count does not fit an integer.
FEW_PIECES = 65
# How many pieces of one value each are looked up in a table.
STAIRS = 16


class _Timeless:
    """The space of a curve that asks for nothing but one value."""

    @staticmethod
    def full(t: Any, value: float) -> float:
        return value


def _levels(curves: Sequence[Any]) -> np.ndarray[Any, Any] | None:
    """Return the value of each curve, or None if one is not the same at all times."""
    try:
        return np.array([float(curve(None, _Timeless)) for curve in curves])
    except (AttributeError, TypeError):  # it asks for more, or for the time
        return None


class Arrays(Clocked):
    """Array operations as a library spells them; the base of the frameworks below.

    Args:
        ops: how the library spells them.
        floating: the dtype in which curves are computed.
        top: the largest step that its dtype can say; None for floats.
        result: the dtype of what comes out; None if it is `floating`.
    """

    scalar = False
    # Whether curves are computed in float32 and by `exponential`.
    single = False
    # Whether a compiler may fuse a product with a sum.
    fuses = False

    def __init__(self, ops: Ops, floating: Any, top: int | None, result: Any = None) -> None:
        self.ops = ops
        self.floating = floating
        self.top = top
        self.result = result
        self.double = "float64" in str(floating)
        self.largest = LARGEST if self.double else LARGEST_32
        self.tiny = 1e-300 if self.double else 1e-37
        for name in ("sin", "exp", "log", "log1p", "expm1", "sqrt", "minimum", "maximum"):
            setattr(self, name, getattr(ops, name))
        self.counts = ops.isinteger

    sin: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]
    maximum: Callable[[Any, Any], Any]

    def run(self, curve: AtTime, t: Any) -> Any:
        """Return the curve at any steps: negative ones count as 0, and what is not finite gives NaN."""
        if self.top is None:
            good = self.ops.isfinite(t)
            value = self.where(good, curve(self.positive(self.where(good, t, 0.0)), self), math.nan)
        else:
            value = curve(t, self)
        return value if self.result is None else self.ops.cast(value, self.result)

    def cast(self, t: Any) -> Any:
        return self.ops.cast(t, self.floating)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return self.ops.constant(table, self.floating if table.dtype.kind == "f" else like.dtype, like)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.ops.where(condition, self._lift(a, condition), self._lift(b, condition))

    def _lift(self, value: Any, like: Any) -> Any:
        return self.ops.constant(value, self.floating, like) if isinstance(value, float) else value

    def full(self, t: Any, value: float) -> Any:
        return self.real(t) * 0.0 + value

    def positive(self, a: Any) -> Any:
        """Return the values, and 0 in place of negative ones."""
        return self.where(a > 0.0, a, 0.0) if hasattr(a, "shape") else max(a, 0.0)

    def apart(self, product: Any) -> Any:
        return self.maximum(product, -1.0 / self.tiny) if self.fuses else product

    def less(self, t: Any, n: int) -> Any:
        """Return where `t < n`, or None if that holds for every step the dtype can say."""
        if type(t) is Clock:
            return self.under(t, n)
        return None if self.beyond(t, n) else t < self.alike(t, n)

    def rest(self, t: Any, n: int) -> Any:
        """Return `n - t` as a float; the difference of integers is taken in integers."""
        if type(t) is Clock:
            return self.remaining(t, n) / self.pace(t)
        if self.beyond(t, n):
            return self.cast(self.top - t) + float(n - (self.top or 0))
        return self.cast(self.alike(t, n) - t)

    def local(self, t: Any, start: int, before: Any) -> Any:
        """Return the steps since `start`; before it a time at which no curve has an infinite slope."""
        if type(t) is Clock:
            later = t.ahead(-start)
            if t.unit is None and self.counts(t.steps):
                return later.of(self.at_least(t.steps, self.edge(t.steps, t.at(start), t.times)))
            return self._replaced(later, before)
        if self.counts(t):
            return self.at_least(t, start) - start
        return self.where(before, 0.5, t - float(start))

    def _replaced(self, t: Clock, replaced: Any) -> Clock:
        """Return the clock with the local time 0.5 in some places."""
        half = (0.5 * t.over - t.plus) / t.times
        if t.unit is None:
            return t.of(self.where(replaced, half, t.steps))
        steps = t.unit * half
        left = t.unit * (t.end / t.times) - steps
        return t.of(self.where(replaced, steps, t.steps), self.where(replaced, left, t.left))

    def whole(self, t: Any, n: Any) -> Any:
        return t // n

    def fits(self, number: float) -> bool:
        """Return whether the dtype holds a number > 0 with all its digits."""
        return self.double or LEAST_32 <= number <= LARGEST_32

    def times(self, a: Any, b: Any) -> Any:
        """Return the product; 0 beside a value that overflows is 0."""
        none = (a == 0.0) | (b == 0.0)
        return self.where(none, 0.0, self.where(none, 1.0, a) * b)

    def raised(self, base: Any, exponent: Any) -> Any:
        """Return `max(base, 0) ** exponent`; at base 0 a fractional power has an infinite slope, and 0 * inf is NaN."""
        if not hasattr(base, "shape"):
            return max(base, 0.0) ** exponent
        some = base > 0.0
        return self.where(some, self.where(some, base, 1.0) ** exponent, 0.0**exponent)

    def bounded(self, t: Any, n: int, curve: Part, end: float) -> Any:
        """Return `curve(t / n, (n - t) / n)` before step `n`, and `end` from there on."""
        inside = self.less(t, n)
        if type(t) is Clock:
            x, y = self.parts(t, n)
            if t.unit is not None:  # what is left of a product may fall below 0 by its rounding
                x, y = self.at_least(x, self.tiny), self.at_least(y, self.tiny)
        elif inside is not None and self.counts(t):
            # No slope passes through an integer: one clamp serves, and the curve sees its own end.
            near = self.minimum(t, n)
            return self.where(inside, curve(self.cast(near) / float(n), self.cast(n - near) / float(n), self), end)
        else:
            x, y = self.real(t) / float(n), self.rest(t, n) / float(n)
        if inside is None:
            return curve(x, y, self)
        return self.where(inside, curve(self.where(inside, x, 0.5), self.where(inside, y, 0.5), self), end)

    def before(self, t: Any, n: int, curve: AtTime, end: float) -> Any:
        """Return `curve(t)` before step `n`, and `end` from there on."""
        inside = self.less(t, n)
        if inside is None:
            return curve(t, self)
        return self.where(inside, curve(self._within(t, n, inside), self), end)

    def _within(self, t: Any, n: int, inside: Any) -> Any:
        """Return the times before step `n`, and in place of the others one at which no curve has an infinite slope."""
        if type(t) is Clock:
            if t.unit is None and self.counts(t.steps):
                return t.of(self.minimum(t.steps, max(self.edge(t.steps, t.at(n), t.times) - 1, 0)))
            return self._replaced(t, ~inside)
        return self.minimum(t, n - 1) if self.counts(t) else self.where(inside, t, 0.5)

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[AtTime]) -> Any:
        """Return the value of the piece that owns each step, in its local time."""
        levels = _levels(curves) if len(curves) >= STAIRS and type(t) is not Clock else None
        if levels is not None:
            edges = [start for start in starts[1:] if not self.beyond(t, start)]
            i = self.ops.search(self.constant(np.array(edges, np.int64), t), t)
            return self.ops.take(self.constant(levels, t), i)
        value = curves[0](t, self)
        for start, curve in zip(starts[1:], curves[1:], strict=True):
            before = self.less(t, start)
            if before is None:
                return value
            value = self.where(before, value, curve(self.local(t, start, before), self))
        return value

    def log_of(self, x: Any, y: Any) -> Any:
        """Return log(x) for x = 1 - y, accurate where x is close to 1 too."""
        near, some = y < 0.5, x > 0.0
        far = self.where(some, self.log(self.where(some, x, 0.5)), -math.inf)
        return self.where(near, self.log1p(-self.where(near, y, 0.0)), far)

    def root(self, x: Any) -> Any:
        """Return the square root; at 0 its slope is infinite, and 0 * inf is NaN, so it is 0 there."""
        some = x > 0.0
        return self.where(some, self.sqrt(self.where(some, x, 1.0)), 0.0)

    def power(self, x: Any, y: Any, p: float) -> Any:
        """Return x**p for x = 1 - y; in float32 the rounding of x close to 1 would grow p-fold."""
        if p < 1.0:
            return self.raised(x, p)
        if self.double or p <= 1.0:
            return x**p
        near = y < 0.5
        far = self.where(near, 0.5, x) ** p
        return self.where(near, self.exp(p * self.log1p(-self.where(near, y, 0.0))), far)

    def take(self, values: Values, t: Any) -> Any:
        """Return the value at each step, the last one for ever."""
        last = len(values.array) - 1
        if type(t) is Clock:
            t = self.at_least(self.turn(t, 1)[0], 0)
        i = self.index(t if self.beyond(t, last) else self.minimum(t, last))
        return self.ops.take(self.constant(values.array, i), i)

    def value_of(self, f: Function, t: Any) -> Any:
        """Return what a function of the user gives at each step: on the array, or step by step."""
        t = self.real(t) if type(t) is Clock else t
        known = self.known(t)
        if known is None:
            return traced(self, f, t)
        found = on_known(f, self.spellings(t), known, self.fitting(t))
        return self.constant(numbers_of(f, known), self.cast(t)) if found is None else found

    def known(self, t: Any) -> np.ndarray[Any, Any] | None:
        """Return steps as an array of NumPy, or None in traced code."""
        return np.asarray(t)

    def spellings(self, t: Any) -> Iterator[Any]:
        """Yield copies of the steps as a function may want them: as floats, which do not overflow, and as they are."""
        yield self.cast(t) + 0.0
        yield t + 0

    def fitting(self, t: Any) -> Callable[[Any], Any]:
        """Return what makes values of this library, in the shape of the steps, floats of it and of NumPy."""

        def fits(found: Any) -> tuple[Any, Any] | None:
            if root_module(type(found)) != root_module(type(t)) or not same_shape(shape_of(found), shape_of(t)):
                return None
            return self.cast(found), self.known(found)

        return fits

    def tried(self, f: Function) -> bool:
        """Return whether a function that is about to be traced gives the same on an array as step by step."""
        return True

    def counted(self, t: Any, counts: Counts, curve: AtTime) -> Any:
        """Return the value of a curve at what is counted by each step."""
        fits = type(t) is not Clock and (self.top == INT64 if self.counts(t) else self.double)
        if not fits and len(counts.starts) < FEW_PIECES:
            return self.pieces(t, counts.starts, counts.curves(curve))
        if fits and self.counts(t):
            t = self.minimum(t, counts.last)
        starts, before, rates = counts.arrays if self.top in (None, INT64) else counts.columns(self.top)
        time = t if fits or (type(t) is not Clock and self.counts(t)) else self.real(t)
        i = self.ops.search(self.constant(starts[1:], time), time)
        like = time if fits else self.cast(time)
        gone = time - self.ops.take(self.constant(starts, time), i)
        rate, at = (self.ops.take(self.constant(column, like), i) for column in (rates, before))
        # A clock, as a float that may be of 32 bits meets no integer that is longer.
        return curve(at + rate * gone if fits else Clock(at + rate * self.cast(gone)), self)

    def grow(self, factor: float, number: Any) -> Any:
        """Return `factor ** number` for whole numbers."""
        return factor ** self.real(number)

    def swing(self, t: Any, n: int) -> Any:
        if self.beyond(t, n):
            return t
        if not self.beyond(t, 2 * n):
            t = t % (2 * n)
        return n - abs(t - n)

    def cycle(self, t: Any, cycles: Cycles) -> tuple[Any, Clock]:
        """Return the number of the cycle of each step, and the time within it."""
        rest, pace = 0.0, 1.0
        if type(t) is Clock or not self.counts(t):
            t, local = self.turn(t, 1)
            rest, pace = (local.steps, self.pace(local)) if type(local) is Clock else (local, 1.0)
        top = self.top if self.top is not None and self.counts(t) else INT64
        inner = cycles.whole_array[1:-1]
        i = self.ops.search(self.constant(inner[inner <= top], t), t)
        # A cycle may end after the last step that the dtype can say: that part of its end is a float.
        near = np.minimum(cycles.whole_array, top)
        beyond = (cycles.whole_array - near).astype(np.float64) - cycles.fraction_array

        def at(table: np.ndarray[Any, Any], k: int, like: Any) -> Any:
            return self.ops.take(self.constant(table, like), i + k)

        for _ in range(cycles.crowd if type(rest) is not float else 0):
            # The next cycle may have begun since the last whole step.
            begun = self.cast(rest) >= at(1.0 - cycles.fraction_array, 1, t) * pace
            later = begun & (t + 1 == at(near, 1, t)) & (i < len(cycles.per) - 1)
            i = self.where(later, i + 1, i)
        elapsed, left = self.cast(t - at(near, 0, t)), at(beyond, 1, t)
        part = at(cycles.fraction_array, 0, t)
        if type(rest) is float:
            elapsed, left = elapsed + part, self.cast(at(near, 1, t) - t) + left
        else:
            rest = self.cast(rest)
            elapsed = self.apart((elapsed + part) * pace) + rest
            left = self.apart((self.cast(at(near, 1, t) - 1 - t) + (1.0 + left)) * pace) - rest
        return i, Clock(elapsed, unit=at(cycles.per_array, 0, t) * pace, left=left, end=cycles.period)

    def index(self, t: Any) -> Any:
        """Return a step as an integer; a float is rounded down."""
        return t if self.counts(t) else self.ops.cast(self.ops.floor(t), self.ops.index)
