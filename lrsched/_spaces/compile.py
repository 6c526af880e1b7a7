"""A schedule as one Python function of the step, with its constants written in.

The curves are evaluated once on symbols instead of numbers; each operation writes a line of Python. What comes out is
the function that one would write by hand, from the same formulas as everything else, and it gives the same floats.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lrsched._core.check import LOG_LARGEST
from lrsched._core.needed import needed_lines
from lrsched._spaces.clock import Clock, Counts, Cycles, Values
from lrsched._spaces.functions import Function, number_of
from lrsched._spaces.scalar import SCALAR, Plain
from lrsched._spaces.space import AtTime, Part

# A function beyond this is slower to make than the calls it saves.
MAX_LINES = 500

_NEUTRAL = {"+": 0.0, "*": 1.0}

Number = Callable[[int], float]


class Symbol:
    """The name of a number in the function being written; `whole` if it is an int."""

    __slots__ = ("code", "name", "whole")

    def __init__(self, code: "Code", name: str, whole: bool = False) -> None:
        self.code, self.name, self.whole = code, name, whole

    def _let(self, left: Any, sign: str, right: Any) -> "Symbol":
        if isinstance(left, float) and not self.whole and left == _NEUTRAL.get(sign):
            return self  # the float itself: nothing to write
        whole = sign in "+-*//%" and sign != "/" and all(_whole(side) for side in (left, right))
        return self.code.let(f"{text(left)} {sign} {text(right)}", whole)

    def __add__(self, other: Any) -> "Symbol":
        return self._let(self, "+", other)

    def __radd__(self, other: Any) -> "Symbol":
        return self._let(other, "+", self)

    def __sub__(self, other: Any) -> "Symbol":
        return self if _whole(other) and text(other) == "0" else self._let(self, "-", other)

    def __rsub__(self, other: Any) -> "Symbol":
        return self._let(other, "-", self)

    def __mul__(self, other: Any) -> "Symbol":
        return self._let(self, "*", other)

    def __rmul__(self, other: Any) -> "Symbol":
        return self._let(other, "*", self)

    def __truediv__(self, other: Any) -> "Symbol":
        return self._let(self, "/", other)

    def __rtruediv__(self, other: Any) -> "Symbol":
        return self._let(other, "/", self)

    def __floordiv__(self, other: Any) -> "Symbol":
        return self._let(self, "//", other)

    def __mod__(self, other: Any) -> "Symbol":
        return self._let(self, "%", other)

    def __pow__(self, other: Any) -> "Symbol":
        return self._let(self, "**", other)

    def __rpow__(self, other: Any) -> "Symbol":
        return self._let(other, "**", self)

    def __neg__(self) -> "Symbol":
        return self.code.let(f"-{self.name}", self.whole)

    def __bool__(self) -> bool:
        raise TypeError("what a symbol stands for is not known yet")

    def __eq__(self, other: object) -> "Symbol":  # type: ignore[override]  # as arrays do it
        return Symbol(self.code, f"{self.name} == {text(other)}")

    def __ne__(self, other: object) -> "Symbol":  # type: ignore[override]
        return Symbol(self.code, f"{self.name} != {text(other)}")

    __hash__ = object.__hash__

    def __lt__(self, other: Any) -> "Symbol":
        return Symbol(self.code, f"{self.name} < {text(other)}")

    def __le__(self, other: Any) -> "Symbol":
        return Symbol(self.code, f"{self.name} <= {text(other)}")

    def __gt__(self, other: Any) -> "Symbol":
        return Symbol(self.code, f"{self.name} > {text(other)}")

    def __ge__(self, other: Any) -> "Symbol":
        return Symbol(self.code, f"{self.name} >= {text(other)}")


def text(content: Any) -> str:
    """Return the Python text of a symbol or a number."""
    if isinstance(content, Symbol):
        return content.name
    return repr(content) if content >= 0 else f"({content!r})"


def _whole(content: Any) -> bool:
    return content.whole if isinstance(content, Symbol) else isinstance(content, int)


class Code(Plain):
    """The space of symbols: what the curves call, written down instead of computed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.indent = 1
        self.count = 0
        functions = {name: getattr(math, name) for name in ("sin", "exp", "log", "log1p", "expm1", "sqrt")}
        self.known: dict[str, Any] = {**functions, "inf": math.inf, "nan": math.nan, "bisect": bisect_right}
        self.known.update(grow=SCALAR.grow, raised=SCALAR.raised)

    def line(self, content: str) -> None:
        if len(self.lines) == MAX_LINES:
            raise OverflowError("the schedule is too long for one function")
        self.lines.append(" " * self.indent + content)

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def let(self, expression: str, whole: bool = False) -> Symbol:
        name = self.fresh()
        self.line(f"{name} = {expression}")
        return Symbol(self, name, whole)

    def constant(self, content: Any) -> str:
        name = self.fresh()
        self.known[name] = content
        return name

    def branch(self, condition: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Symbol:
        """Write `if condition: out = first() else: out = second()`."""
        out = self.fresh()
        for head, branch in ((f"if {condition.name}:", first), ("else:", second)):
            self.line(head)
            self.indent += 1
            self.line(f"{out} = {text(branch())}")
            self.indent -= 1
        return Symbol(self, out)

    def call(self, name: str, a: Any) -> Symbol:
        return self.let(f"{name}({text(a)})")

    def sin(self, a: Any) -> Any:
        return self.call("sin", a)

    def exp(self, a: Any) -> Any:
        return self.let(f"exp({text(a)}) if {text(a)} <= {LOG_LARGEST} else inf")

    def log(self, a: Any) -> Any:
        return self.call("log", a)

    def log1p(self, a: Any) -> Any:
        return self.call("log1p", a)

    def expm1(self, a: Any) -> Any:
        return self.let(f"expm1({text(a)}) if {text(a)} <= {LOG_LARGEST} else inf")

    def sqrt(self, a: Any) -> Any:
        return self.call("sqrt", a)

    root = sqrt

    def counts(self, t: Any) -> bool:
        return _whole(t)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.let(f"{text(a)} if {condition.name} else {text(b)}", _whole(a) and _whole(b))

    def positive(self, a: Any) -> Any:
        return self.where(a > 0.0, a, 0.0) if isinstance(a, Symbol) else max(a, 0.0)

    def raised(self, base: Any, exponent: Any) -> Any:
        return self.let(f"raised({text(base)}, {text(exponent)})")

    def times(self, a: Any, b: Any) -> Any:
        product = self.let(f"{text(a)} * {text(b)}")
        return self.let(f"{product.name} if {product.name} == {product.name} else 0.0")

    def minimum(self, a: Any, b: Any) -> Any:
        if not isinstance(a, Symbol) and not isinstance(b, Symbol):
            return min(a, b)
        return self.let(f"{text(b)} if {text(b)} < {text(a)} else {text(a)}", _whole(a) and _whole(b))

    def maximum(self, a: Any, b: Any) -> Any:
        if not isinstance(a, Symbol) and not isinstance(b, Symbol):
            return max(a, b)
        return self.let(f"{text(b)} if {text(b)} > {text(a)} else {text(a)}", _whole(a) and _whole(b))

    def bounded(self, t: Any, n: int, curve: Part, end: float) -> Any:
        if type(t) is not Clock:
            return self.branch(t >= n, lambda: end, lambda: curve(t / n, (n - t) / n, self))

        def ramp() -> Any:
            x, y = self.parts(t, n)
            exact = t.unit is None
            return curve(*((x, y) if exact else (self.at_least(x, 0.0), self.at_least(y, 0.0))), self)

        return self.branch(self.under(t, n), ramp, lambda: end)

    def before(self, t: Any, n: int, curve: AtTime, end: float) -> Any:
        return self.branch(self.less(t, n), lambda: curve(t, self), lambda: end)

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence[AtTime]) -> Any:
        if len(starts) == 1:
            return curves[0](t.ahead(-starts[0]) if type(t) is Clock else t - starts[0], self)
        half = len(starts) // 2
        return self.branch(
            self.less(t, starts[half]),
            lambda: self.pieces(t, starts[:half], curves[:half]),
            lambda: self.pieces(t, starts[half:], curves[half:]),
        )

    def value_of(self, f: Function, t: Any) -> Symbol:
        return self.let(f"{self.constant(partial(number_of, f))}({text(self.real(t))})")

    def power(self, x: Any, y: Any, p: float) -> Any:
        return self.let(f"{text(x)} ** {text(p)} if {text(x)} <= 1.0 else grow({text(x)}, {text(p)})")

    def log_of(self, x: Any, y: Any) -> Any:
        return self.let(f"log1p(-{text(y)}) if {text(y)} < 0.5 else log({text(x)}) if {text(x)} > 0.0 else -inf")

    def take(self, values: Values, t: Any) -> Any:
        t = self.turn(t, 1)[0] if type(t) is Clock else t
        name, last = self.constant(values.numbers), len(values.numbers) - 1
        index = text(t) if _whole(t) else f"int({text(t)})"
        return self.let(f"{name}[{index}] if {text(t)} < {last} else {name}[{last}]")

    def grow(self, factor: float, number: Any) -> Any:
        return factor**number if factor <= 1.0 else self.let(f"grow({factor!r}, {text(number)})")

    def swing(self, t: Any, n: int) -> Any:
        t = t % (2 * n)
        return self.let(f"{t.name} if {t.name} <= {n} else {2 * n} - {t.name}", t.whole)

    def counted(self, t: Any, counts: Counts, curve: AtTime) -> Any:
        if type(t) is Clock:
            return self.pieces(t, counts.starts, counts.curves(curve))
        if len(counts.starts) == 1:
            return curve(t * counts.rates[0], self)
        starts, before, rates = map(self.constant, (counts.starts, counts.counts, counts.rates))
        i = self.let(f"bisect({starts}, {text(t)}) - 1", True).name
        return curve(self.let(f"{before}[{i}] + {rates}[{i}] * ({text(t)} - {starts}[{i}])", _whole(t)), self)

    def cycle(self, t: Any, cycles: Cycles) -> tuple[Symbol, Clock]:
        rest, pace = 0.0, 1.0
        if type(t) is Clock or not _whole(t):
            t, local = self.turn(t, 1)
            rest, pace = (local.steps, self.pace(local)) if type(local) is Clock else (local, 1.0)
        whole, per, last = self.constant(cycles.whole), self.constant(cycles.per), len(cycles.per)
        after = self.let(f"bisect({whole}, {text(t)}, 1, {last})", True)
        fraction = self.constant(cycles.fraction) if any(cycles.fraction) else None
        whole_only = type(rest) is float
        for _ in range(0 if whole_only else cycles.crowd):
            next_ = f"{after.name} < {last} and {text(t)} + 1 == {whole}[{after.name}]"
            begun = f"{text(rest)} >= (1.0 - {fraction}[{after.name}]) * {text(pace)}"
            after = self.let(f"{after.name} + ({next_} and {begun})", True)
        number = after - 1
        elapsed = self.let(f"{text(t)} - {whole}[{number.name}]")
        if whole_only:
            left = self.let(f"{whole}[{after.name}] - {text(t)}")
            if fraction:
                elapsed = self.let(f"{elapsed.name} + {fraction}[{number.name}]")
                left = self.let(f"{left.name} - {fraction}[{after.name}]")
        else:
            at = [f"{fraction}[{i.name}]" if fraction else "0.0" for i in (number, after)]
            elapsed = self.let(f"({elapsed.name} + {at[0]}) * {text(pace)} + {text(rest)}")
            left = self.let(f"({whole}[{after.name}] - 1 - {text(t)} + (1.0 - {at[1]})) * {text(pace)} - {text(rest)}")
        unit = self.let(f"{per}[{number.name}]") * pace
        return number, Clock(elapsed, unit=unit, left=left, end=cycles.period)


def compiled(curve: AtTime) -> Number:
    """Return a function that gives what `curve` gives at a whole step >= 0.

    Args:
        curve: a function of a local step and its space.

    Returns:
        One function without inner calls; for a curve too long for that, its evaluation step by step.
    """
    code = Code()
    try:
        result = text(curve(Symbol(code, "t", True), code))
        source = "\n".join(["def number(t):", *needed_lines(code.lines, result), f" return {result}"])
        exec(compile(source, "<schedule>", "exec"), code.known)
    # Too many lines, or levels of indentation; or a curve of the user that asks what a symbol does not know.
    except (ArithmeticError, AttributeError, RecursionError, SyntaxError, TypeError, ValueError):
        return lambda t: float(curve(t, SCALAR))
    number: Number = code.known["number"]
    return number
