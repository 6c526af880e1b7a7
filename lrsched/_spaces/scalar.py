"""The operations of a curve on Python numbers."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

from lrsched._core.check import LARGEST, LOG_LARGEST
from lrsched._spaces.clock import Clock, Counts, Cycles, Values
from lrsched._spaces.clocked import Clocked
from lrsched._spaces.functions import Function, number_of
from lrsched._spaces.space import AtTime, Part


class Plain(Clocked):
    """A space of one Python number at a time, or of what stands for it: nothing is cast, and nothing out of reach."""

    scalar = True
    single = False
    largest = LARGEST

    def cast(self, t: Any) -> Any:
        return t

    def apart(self, product: Any) -> Any:
        return product

    def full(self, t: Any, value: float) -> float:
        return value

    def fits(self, number: float) -> bool:
        return True

    def whole(self, t: Any, n: Any) -> Any:
        return t // n

    def less(self, t: Any, n: int) -> Any:
        return self.under(t, n) if type(t) is Clock else t < n

    def rest(self, t: Any, n: int) -> Any:
        return self.remaining(t, n) / self.pace(t) if type(t) is Clock else n - t


class Scalar(Plain):
    """Python numbers through `math`, in float64; only the branch that is needed is computed."""

    sin = staticmethod(math.sin)
    log = staticmethod(math.log)
    log1p = staticmethod(math.log1p)
    sqrt = root = staticmethod(math.sqrt)
    minimum = staticmethod(min)
    maximum = staticmethod(max)

    @staticmethod
    def exp(a: float) -> float:
        return math.exp(a) if a <= LOG_LARGEST else math.inf

    @staticmethod
    def expm1(a: float) -> float:
        return math.expm1(a) if a <= LOG_LARGEST else math.inf

    @staticmethod
    def times(a: float, b: float) -> float:
        product = a * b
        return product if product == product else 0.0

    @staticmethod
    def counts(t: Any) -> bool:
        return type(t) is int

    @staticmethod
    def where(condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    @staticmethod
    def positive(a: float) -> float:
        return a if a > 0.0 else 0.0

    @staticmethod
    def raised(base: float, exponent: float) -> float:
        try:
            return float((base if base > 0.0 else 0.0) ** exponent)
        except (OverflowError, ZeroDivisionError):  # 0.0 to a negative power
            return math.inf

    def value_of(self, f: Function, t: Any) -> float:
        return number_of(f, self.real(t) if type(t) is Clock else t)

    def bounded(self, t: Any, n: int, curve: Part, end: float) -> Any:
        if type(t) is not Clock:
            return end if t >= n else curve(t / n, (n - t) / n, self)
        if not self.under(t, n):
            return end
        x, y = self.parts(t, n)
        return curve(max(x, 0.0), max(y, 0.0), self)

    def before(self, t: Any, n: int, curve: AtTime, end: float) -> Any:
        return curve(t, self) if self.less(t, n) else end

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[AtTime]) -> Any:
        if type(t) is not Clock:
            i = bisect_right(starts, t) - 1
            return curves[i](t - starts[i], self)
        i = bisect_left(range(1, len(starts)), True, key=lambda k: self.under(t, starts[k]))
        return curves[i](t.ahead(-starts[i]), self)

    def counted(self, t: Any, counts: Counts, curve: AtTime) -> Any:
        if type(t) is not Clock:
            return curve(counts.at(t), self)
        i = bisect_left(range(1, len(counts.starts)), True, key=lambda k: self.under(t, counts.starts[k]))
        return curve(counts.since(i, t.ahead(-counts.starts[i])), self)

    @staticmethod
    def power(x: float, y: float, p: float) -> float:
        try:
            return float(x**p)
        except OverflowError:
            return math.inf

    @staticmethod
    def log_of(x: float, y: float) -> float:
        return math.log1p(-y) if y < 0.5 else math.log(x) if x > 0.0 else -math.inf

    def take(self, values: Values, t: Any) -> float:
        t = self.turn(t, 1)[0] if type(t) is Clock else t
        return values.numbers[min(int(t), len(values.numbers) - 1)]

    @staticmethod
    def grow(factor: float, number: float) -> float:
        try:
            return float(factor**number)
        except OverflowError:
            return math.inf

    @staticmethod
    def swing(t: Any, n: int) -> Any:
        t = t % (2 * n)
        return t if t <= n else 2 * n - t

    def cycle(self, t: Any, cycles: Cycles) -> tuple[int, Clock]:
        whole, fraction, count = cycles.whole, cycles.fraction, len(cycles.per)
        if type(t) is int:
            i = bisect_right(whole, t, 1, count) - 1
            elapsed, left = t - whole[i] + fraction[i], whole[i + 1] - t - fraction[i + 1]
        else:
            t, local = self.turn(t, 1)
            rest, pace = (local.steps, self.pace(local)) if type(local) is Clock else (local, 1.0)
            i = bisect_right(whole, t, 1, count) - 1
            while i < count - 1 and t + 1 == whole[i + 1] and rest >= (1.0 - fraction[i + 1]) * pace:
                i += 1  # the next cycle has begun since the last whole step
            elapsed = (t - whole[i] + fraction[i]) * pace + rest
            left = (whole[i + 1] - 1 - t + (1.0 - fraction[i + 1])) * pace - rest
            return i, Clock(elapsed, unit=cycles.per[i] * pace, left=left, end=cycles.period)
        return i, Clock(elapsed, unit=cycles.per[i], left=left, end=cycles.period)


SCALAR = Scalar()
