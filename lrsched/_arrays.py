"""The operations of a curve on arrays, and on NumPy's in particular.

* Steps are integers. Differences, comparisons and floors of steps are taken in integers, and only their result
  becomes a float: float32 counts exactly to 2**24 only.
* In traced code every branch is computed, so a branch that is not taken sees a harmless argument (no NaN gradient).
  NumPy computes only what a block of steps needs.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lrsched._check import LARGEST
from lrsched._clock import Cycles, Stretched, Values

INT64 = 2**63 - 1
LEAST_32, LARGEST_32 = (float(end) for end in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


class Arrays:
    """Array operations through a module of the array-API kind; the base of the frameworks below."""

    scalar = False

    def __init__(self, xp: Any, floating: Any, top: int | None, result: Any = None) -> None:
        self.xp = xp
        self.floating = floating
        self.top = top
        self.result = floating if result is None else result
        self.double = "float64" in str(floating)
        self.largest = LARGEST if self.double else LARGEST_32
        for name in ("sin", "exp", "log", "log1p", "expm1", "sqrt"):
            setattr(self, name, getattr(xp, name))

    sin: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    log: Callable[[Any], Any]
    log1p: Callable[[Any], Any]
    expm1: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]

    def run(self, curve: Callable[[Any, Any], Any], t: Any) -> Any:
        """Return the curve at any steps: negative ones count as 0, and what is not finite gives NaN."""
        if self.top is not None:
            return self.finish(curve(t, self))
        good = self.finite(t)
        t = self.positive(self.where(good, t, 0.0))
        return self.finish(self.where(good, curve(t, self), math.nan))

    # What a library spells in its own way.

    def finish(self, value: Any) -> Any:
        return value

    def finite(self, t: Any) -> Any:
        return self.xp.isfinite(t)

    def cast(self, t: Any) -> Any:
        return self.xp.astype(t, self.floating)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return self.xp.asarray(table, dtype=self.floating if table.dtype.kind == "f" else like.dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.xp.where(condition, self._lift(a, condition), self._lift(b, condition))

    def _lift(self, value: Any, like: Any) -> Any:
        return self.xp.asarray(value, dtype=self.floating) if isinstance(value, float) else value

    def minimum(self, a: Any, b: Any) -> Any:
        return self.xp.minimum(a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.xp.maximum(a, b)

    def search(self, table: Any, t: Any) -> Any:
        return self.xp.searchsorted(table, t, side="right")

    def gather(self, table: Any, i: Any) -> Any:
        return table[i]

    # What follows from these.

    def real(self, t: Any) -> Any:
        return t.elapsed / t.per if type(t) is Stretched else self.cast(t)

    def full(self, t: Any, value: float) -> Any:
        return self.real(t) * 0.0 + value

    def positive(self, a: Any) -> Any:
        """Return the values, and 0 in place of negative ones."""
        return self.where(a > 0.0, a, 0.0) if hasattr(a, "shape") else max(a, 0.0)

    def unreachable(self, t: Any, n: int) -> bool:
        """Return whether step n lies beyond what the integer dtype of the steps can say."""
        return self.top is not None and n > self.top and type(t) is not Stretched and "int" in str(t.dtype)

    def less(self, t: Any, n: int) -> Any:
        """Return where `t < n`, or None if that holds for every step the dtype can say."""
        return None if self.unreachable(t, n) else t < n

    def rest(self, t: Any, n: int, fraction: float = 0.0) -> Any:
        """Return `n - fraction - t` as a float; the difference of integers is taken in integers."""
        if type(t) is Stretched:
            return n - t
        if self.unreachable(t, n):
            return self.cast(self.top - t) + float(n - (self.top or 0) - fraction)
        return self.cast(n - t) - fraction if fraction else self.cast(n - t)

    def after(self, t: Any, n: int) -> Any:
        """Return the steps since step `n`, and 0 before it."""
        if type(t) is Stretched:
            gone = t - n
            return Stretched(self.maximum(gone.elapsed, gone.elapsed * 0.0), gone.left, gone.per, gone.total)
        return self.maximum(t, n) - n

    def local(self, t: Any, start: int, before: Any) -> Any:
        """Return the steps since `start`; before it a float at which no curve has an infinite slope."""
        if type(t) is Stretched:
            gone = t - start
            return Stretched(self.where(before, 0.5, gone.elapsed), gone.left, gone.per, gone.total)
        return self.where(before, 0.5, t - float(start)) if self.top is None else self.after(t, start)

    def whole(self, t: Any, n: int) -> Any:
        """Return the whole multiples of n in t."""
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

    def bounded(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        """Return `curve(t / n, (n - t) / n)` before step `n`, and `end` from there on."""
        inside = self.less(t, n)
        if self.top is not None and type(t) is not Stretched and inside is not None:
            # No slope passes through an integer: one clamp serves, and the curve sees its own end.
            near = self.minimum(t, n)
            return self.where(inside, curve(self.cast(near) / float(n), self.cast(n - near) / float(n), self), end)
        x, y = t / n if type(t) is Stretched else self.real(t) / float(n), self.rest(t, n) / float(n)
        if inside is None:
            return curve(x, y, self)
        return self.where(inside, curve(self.where(inside, x, 0.5), self.where(inside, y, 0.5), self), end)

    def before(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        """Return `curve(t)` before step `n`, and `end` from there on."""
        inside = self.less(t, n)
        if inside is None:
            return curve(t, self)
        return self.where(inside, curve(self._within(t, n, inside), self), end)

    def _within(self, t: Any, n: int, inside: Any) -> Any:
        """Return the times before step `n`, and in place of the others one at which no curve has an infinite slope."""
        if type(t) is Stretched:
            elapsed, left = (
                self.where(inside, t.elapsed, t.per * 0.5),
                self.where(inside, t.left, t.per * (t.total - 0.5)),
            )
            return Stretched(elapsed, left, t.per, t.total)
        return self.where(inside, t, 0.5) if "float" in str(t.dtype) else self.minimum(t, n - 1)

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        """Return the value of the piece that owns each step, in its local time."""
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

    def power(self, x: Any, y: Any, p: float) -> Any:
        """Return x**p for x = 1 - y; in float32 the rounding of x close to 1 would grow p-fold."""
        if self.double or p <= 1.0:
            return x**p
        near = y < 0.5
        far = self.where(near, 0.5, x) ** p
        return self.where(near, self.exp(p * self.log1p(-self.where(near, y, 0.0))), far)

    def take(self, values: Values, t: Any) -> Any:
        """Return the value at each step, the last one for ever."""
        i = self.index(self.cap(t, len(values.array) - 1))
        return self.gather(self.constant(values.array, i), i)

    def grow(self, factor: float, number: Any) -> Any:
        """Return `factor ** number` for whole numbers."""
        return factor ** self.real(number)

    def cap(self, t: Any, n: int) -> Any:
        """Return the steps, at most n."""
        return t if self.unreachable(t, n) else self.minimum(t, n)

    def until(self, t: Any, n: int) -> Any:
        """Return the steps left until step n, and 0 after it."""
        if type(t) is Stretched:
            return self.positive(self.rest(t, n))
        if self.unreachable(t, n):
            return Stretched(self.rest(t, n), self.cast(t), 1.0, n)
        return n - self.minimum(t, n)

    def ahead(self, t: Any, n: int, length: int | None) -> Any:
        """Return the steps n later, in a schedule of that length."""
        if type(t) is Stretched or self.top is None or (length is None and n <= self.top // 2):
            return t + n if type(t) is Stretched or self.top is None else self.minimum(t, self.top - n) + n
        if length is not None and length <= self.top:
            return self.minimum(t, max(length - n, 0)) + n
        # Beyond what the dtype counts: a float, and the distance to the end.
        return Stretched(self.cast(t) + float(n), self.rest(t, max((length or 0) - n, 0)), 1.0, length or 0)

    def last_of(self, t: Any, n: int, length: int | None) -> Any:
        """Return the last of the n steps that step t stands for, in a schedule of that length."""
        if self.top is not None and (length or 0) + n <= self.top:
            return self.cap(t, (self.top + 1) // n - 1 if length is None else length // n) * n + (n - 1)
        # A float, or beyond what the dtype counts: the distance to the end is scaled, too.
        end = length or 0
        left = self.rest(t, end // n) * float(n) + float(end % n - (n - 1))
        return Stretched(self.real(t) * float(n) + float(n - 1), left, 1.0, end)

    def fold(self, t: Any, n: int) -> Any:
        """Return the distance to the nearest even multiple of n: a clock that swings between 0 and n."""
        if type(t) is Stretched:
            t = t.elapsed / t.per
        if self.unreachable(t, n):
            return t
        if not self.unreachable(t, 2 * n):
            t = t % (2 * n)
        return n - abs(t - n)

    def cycle(self, t: Any, cycles: Cycles) -> tuple[Any, Stretched]:
        """Return the number of the cycle of each step, and the time within it."""
        top = INT64 if self.top is None else self.top
        inner = cycles.whole_array[1:-1]
        i = self.search(self.constant(inner[inner <= top], t), t)
        # A cycle may end after the last step that the dtype can say: that part of its end is a float.
        near = np.minimum(cycles.whole_array, top)
        beyond = (cycles.whole_array - near).astype(np.float64) - cycles.fraction_array

        def at(table: np.ndarray[Any, Any], k: int, like: Any) -> Any:
            return self.gather(self.constant(table, like), i + k)

        elapsed = self.cast(t - at(near, 0, t)) + at(cycles.fraction_array, 0, t)
        left = self.cast(at(near, 1, t) - t) + at(beyond, 1, t)
        return i, Stretched(elapsed, left, at(cycles.per_array, 0, t), cycles.period)

    def index(self, t: Any) -> Any:
        """Return a step as an integer; a float is rounded down."""
        return self.xp.astype(self.xp.floor(t), self.xp.int64) if "float" in str(t.dtype) else t


class NumPy(Arrays):
    """float64 in NumPy; only what a block of steps needs is computed."""

    def __init__(self, top: int | None) -> None:
        super().__init__(np, np.float64, top)

    def cast(self, t: Any) -> Any:
        return t.astype(np.float64, copy=False)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return np.where(condition, a, b)

    def full(self, t: Any, value: float) -> Any:
        return value

    def bounded(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        inside = t < n
        if inside.all():
            return curve(t / n, (n - t) / n, self)
        value = np.full(inside.shape, end)
        if inside.any():
            t = t[inside]
            value[inside] = curve(t / n, (n - t) / n, self)
        return value

    def before(self, t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        inside = t < n
        if inside.all():
            return curve(t, self)
        value = np.full(inside.shape, end)
        if inside.any():
            value[inside] = curve(t[inside], self)
        return value

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        clock = self.real(t) if type(t) is Stretched else t
        first, last = np.searchsorted(starts, [clock.min(), clock.max()], side="right").tolist()
        if first == last:
            return curves[last - 1](t - starts[last - 1], self)
        value = np.empty(clock.shape)
        for start, end, curve in zip(starts[first - 1 :], [*starts[first:], np.inf], curves[first - 1 :], strict=True):
            mine = (start <= clock) & (clock < end)
            if mine.any():
                value[mine] = curve(t[mine] - start, self)
            if end > clock.max():
                break
        return value

    def log_of(self, x: Any, y: Any) -> Any:
        near = y < 0.5
        if near.all():
            return np.log1p(-y)
        with np.errstate(divide="ignore"):
            return np.log(x) if not near.any() else np.where(near, np.log1p(-np.where(near, y, 0.0)), np.log(x))

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return table

    def index(self, t: Any) -> Any:
        return t if t.dtype.kind in "iu" else np.floor(t).astype(np.int64)
