"""The operations of a curve on Python numbers."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from lrsched._check import LARGEST, LOG_LARGEST
from lrsched._clock import Cycles, Stretched, Values


class Scalar:
    """Python numbers through `math`, in float64; only the branch that is needed is computed."""

    scalar = True
    sin = staticmethod(math.sin)
    log = staticmethod(math.log)
    log1p = staticmethod(math.log1p)
    sqrt = staticmethod(math.sqrt)
    minimum = staticmethod(min)
    maximum = staticmethod(max)

    largest = LARGEST

    @staticmethod
    def exp(a: float) -> float:
        return math.exp(a) if a <= LOG_LARGEST else math.inf

    @staticmethod
    def expm1(a: float) -> float:
        return math.expm1(a) if a <= LOG_LARGEST else math.inf

    @staticmethod
    def fits(number: float) -> bool:
        return True

    @staticmethod
    def times(a: float, b: float) -> float:
        product = a * b
        return product if product == product else 0.0

    @staticmethod
    def real(t: Any) -> Any:
        return t.elapsed / t.per if type(t) is Stretched else t

    @staticmethod
    def full(t: Any, value: float) -> float:
        return value

    @staticmethod
    def less(t: Any, n: int) -> bool:
        return bool(t < n)

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

    @staticmethod
    def whole(t: Any, n: int) -> Any:
        return t // n

    @staticmethod
    def bounded(t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        return end if t >= n else curve(t / n, (n - t) / n, SCALAR)

    @staticmethod
    def before(t: Any, n: int, curve: Callable[..., Any], end: float) -> Any:
        return end if t >= n else curve(t, SCALAR)

    @staticmethod
    def pieces(t: Any, starts: Sequence[int], curves: Sequence[Callable[..., Any]]) -> Any:
        i = sum(t >= start for start in starts[1:]) if type(t) is Stretched else bisect_right(starts, t) - 1
        return curves[i](t - starts[i], SCALAR)

    @staticmethod
    def power(x: float, y: float, p: float) -> float:
        try:
            return float(x**p)
        except OverflowError:
            return math.inf

    @staticmethod
    def log_of(x: float, y: float) -> float:
        return math.log1p(-y) if y < 0.5 else math.log(x) if x > 0.0 else -math.inf

    @staticmethod
    def take(values: Values, t: Any) -> float:
        return values.numbers[min(int(t), len(values.numbers) - 1)]

    @staticmethod
    def grow(factor: float, number: float) -> float:
        try:
            return float(factor**number)
        except OverflowError:
            return math.inf

    @staticmethod
    def rest(t: Any, n: int, fraction: float = 0.0) -> Any:
        return n - t - fraction if fraction else n - t

    @staticmethod
    def unreachable(t: Any, n: int) -> bool:
        return False

    cap = staticmethod(min)

    @staticmethod
    def until(t: Any, n: int) -> Any:
        return n - t if t < n else 0

    @staticmethod
    def ahead(t: Any, n: int, length: int | None) -> Any:
        return t + n

    @staticmethod
    def last_of(t: Any, n: int, length: int | None) -> Any:
        return t * n + (n - 1)

    @staticmethod
    def fold(t: Any, n: int) -> Any:
        t = (t.elapsed / t.per if type(t) is Stretched else t) % (2 * n)
        return t if t <= n else 2 * n - t

    @staticmethod
    def cycle(t: Any, cycles: Cycles) -> tuple[int, Stretched]:
        whole, fraction = cycles.whole, cycles.fraction
        i = bisect_right(whole, t, 1, len(cycles.per)) - 1
        elapsed, left = t - whole[i] + fraction[i], whole[i + 1] - t - fraction[i + 1]
        return i, Stretched(elapsed, left, cycles.per[i], cycles.period)


SCALAR = Scalar()
