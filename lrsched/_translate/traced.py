"""The formula of a curve that has no rule of its own: its operations, written down one by one.

It computes what the curve computes, so any curve has it for nothing; but it has a line for each operation, where a rule
gives the formula of the textbook.
"""

from collections.abc import Callable
from typing import Any, Protocol

from lrsched._core.check import short
from lrsched._spaces.arrays import FEW_PIECES
from lrsched._spaces.clock import Counts
from lrsched._spaces.compile import Code, Symbol, text
from lrsched._spaces.space import AtTime
from lrsched._translate.dialects import Dialect


class Lines(Protocol):
    """Where assignments are written."""

    dialect: Dialect

    def name(self, text: str, letter: str = "t") -> str:
        """Return a name for an expression."""


class Transcript(Code):
    """The space in which an operation on symbols is a line in some dialect, which computes both sides of a choice."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.to = lines

    def let(self, expression: str, whole: bool = False) -> Symbol:
        # What is negated is no name, which a power would take without its sign.
        return Symbol(self, self.to.name(f"({expression})" if expression[0] == "-" else expression, "v"), whole)

    def constant(self, content: Any) -> str:
        raise TypeError("to_source(...) must get curves of operations on numbers: one with a table needs a rule")

    def value_of(self, f: Callable[[Any], Any], t: Any) -> Any:
        try:
            found = f(self.real(t))
            text(found)
        except Exception as error:  # whatever a function of the user makes of a symbol
            raise TypeError(
                f"to_source(...) must get functions of + - * / // % ** alone, got {short(f)}: list its values, "
                "Table([f(t) for t in range(n)])"
            ) from error
        return found

    def call(self, name: str, a: Any) -> Symbol:
        return self.let(self.to.dialect.call(name, text(a)))

    def exp(self, a: Any) -> Any:
        return self.call("exp", a)

    def expm1(self, a: Any) -> Any:
        return self.call("expm1", a)

    def power(self, x: Any, y: Any, p: float) -> Any:
        return self.let(f"{text(x)} ** {text(p)}")

    def log_of(self, x: Any, y: Any) -> Any:
        if not self.to.dialect.scalar:
            return self.log1p(-y)
        return self.let(f"(math.log1p(-{text(y)}) if {text(y)} < 1.0 else -math.inf)")  # `math` refuses log(0)

    def raised(self, base: Any, exponent: Any) -> Any:
        return self.let(f"{text(self.maximum(base, 0.0))} ** {text(exponent)}")

    def grow(self, factor: float, number: Any) -> Any:
        return self.let(f"{factor!r} ** {text(number)}")

    def times(self, a: Any, b: Any) -> Any:
        return self.let(f"{text(a)} * {text(b)}")

    def where(self, condition: Any, a: Any, b: Any) -> Symbol:
        return self.let(self.to.dialect.choose(condition.name, text(a), text(b)))

    def minimum(self, a: Any, b: Any) -> Any:
        return self.let(self.to.dialect.least(text(a), text(b)))

    def maximum(self, a: Any, b: Any) -> Any:
        return self.let(self.to.dialect.greatest(text(a), text(b)))

    def counted(self, t: Any, counts: Counts, curve: AtTime) -> Any:
        if len(counts.starts) > FEW_PIECES:
            self.constant(counts.starts)  # an error
        return self.pieces(t, counts.starts, counts.curves(curve))

    def branch(self, condition: Any, first: Callable[[], Any], second: Callable[[], Any]) -> Symbol:
        return self.where(condition, first(), second())


def traced(lines: Lines, curve: AtTime, t: str, whole: bool = True) -> str:
    """Return the value of a curve at the time `t`, whole steps or parts of them, after the lines of its operations."""
    space = Transcript(lines)
    return text(curve(Symbol(space, lines.name(t), whole), space))
