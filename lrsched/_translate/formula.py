"""The formula of a schedule as source code: a rule for each node, and for a curve without one its operations."""

import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from lrsched._core.needed import needed_lines
from lrsched._core.value import Value, children
from lrsched._curves import (
    Batches,
    Blend,
    Chain,
    Constant,
    Cosine,
    Epochs,
    Exponential,
    ExponentialWarmup,
    Extend,
    Geometric,
    Harmonic,
    Hold,
    Hyperbolic,
    InverseTime,
    Linear,
    Logarithmic,
    Maximum,
    Minimum,
    Monomial,
    NormalizedExponential,
    Polynomial,
    Power,
    PowerLaw,
    Product,
    Ramp,
    RectifiedWarmup,
    Repeat,
    Reverse,
    Rex,
    Schedule,
    Shift,
    Stretch,
    Sum,
    Table,
    Tanh,
    Triangular,
    Warp,
)
from lrsched._translate.dialects import Dialect
from lrsched._translate.traced import traced

# What a 32-bit counter of steps can reach: later cycles need not stand in a table.
_LAST_STEP = 2**31
_SIMPLE = re.compile(r"-?[\w.]+")


class Writer:
    """Turns a node into an expression of its clock; what the expression needs is written before it.

    Args:
        dialect: the language.
        names: numbers for new names; writers that share a file share them.

    Attributes:
        lines: assignments that come before the expression, inside the function.
        tables: by name, the lines of what is assigned before the function.
    """

    def __init__(self, dialect: Dialect, names: Iterator[int]) -> None:
        self.dialect = dialect
        self.names = names
        self.lines: list[str] = []
        self.tables: dict[str, list[str]] = {}
        self._below: dict[str, int] = {}

    def write(self, node: Schedule, t: str) -> str:
        """Return the value of the node where its clock is the expression `t`."""
        for family in type(node).__mro__:
            if family in _RULES:
                return _RULES[family](self, node, t)
        return traced(self, node._at, t)

    def name(self, text: str, letter: str = "t") -> str:
        """Return a name for an expression; a short one is its own name."""
        if _SIMPLE.fullmatch(text):
            return text
        fresh = f"{letter}{next(self.names)}"
        self.lines.append(f"{fresh} = {text}")
        return fresh

    def inside(self, text: str, length: int | None) -> str:
        """Return a name for a clock whose values from `length` on do not count."""
        fresh = self.name(text)
        self._below[fresh] = length or _LAST_STEP
        return fresh

    def capped(self, t: str, steps: int) -> str:
        """Return the clock, at most `steps`."""
        return t if self._below.get(t, _LAST_STEP) <= steps else self.dialect.least(t, str(steps))

    def table(self, items: tuple[Any, ...]) -> str:
        """Return the name of a constant before the function."""
        fresh = f"TABLE_{next(self.names)}"
        text = textwrap.fill(", ".join(map(repr, items)) + ",", 100, initial_indent="    ", subsequent_indent="    ")
        self.tables[fresh] = [f"{fresh} = (", *text.split("\n"), ")"]
        return fresh


def enclosed(text: str) -> str:
    """Return an expression in brackets, unless it is a name, a number or already enclosed."""
    if _SIMPLE.fullmatch(text):
        return text
    depth = 0
    for i, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and (character in " -" or (character in ")]" and i < len(text) - 1)):
            return f"({text})"
    return text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _constant(w: Writer, s: Constant, t: str) -> str:
    return repr(s.value)


def _ramp(w: Writer, s: Ramp, t: str) -> str:
    return _curve(w, s, f"{enclosed(w.capped(t, s.steps))} / {s.steps}", t)


def _curve(w: Writer, s: Ramp, part: str, t: str) -> str:
    """Return the value of a ramp at the part of its steps that is gone."""
    a, b = repr(s.start), repr(s.end)
    if isinstance(s, Geometric):
        return f"{a} * ({b} / {a}) ** ({part})"
    x = w.name(part, "x")
    match s:
        case Harmonic():
            return f"1 / ((1 - {x}) / {a} + {x} / {b})"
        case Linear(_, 0.0):
            return f"{a} * (1 - {x})"
        case Linear(0.0, _):
            return f"{b} * {x}"
        case Linear():
            return f"{a} + ({b} - {a}) * {x}"
    known = _FALLS.get(type(s))
    if not isinstance(s, Blend):
        value = traced(w, lambda x, space: s.curve(x, 1.0 - x, space), x, whole=False)
        return w.dialect.choose(f"{t} < {s.steps}", value, b)
    weight = known(w.dialect, s, x) if known else traced(w, lambda x, space: s.fall(x, 1.0 - x, space), x, whole=False)
    weight = enclosed(weight)
    value = f"{b} + ({a} - {b}) * {weight}"
    if s.start == 0.0:
        value = f"{b} * (1 - {weight})"
    if s.end == 0.0:
        value = f"{a} * {weight}"
    # Of those in the table the hyperbolic tangent alone does not meet its end.
    meets = known and not isinstance(s, Tanh)
    return value if meets else w.dialect.choose(f"{t} < {s.steps}", value, b)


# The weight of `start` where the part x of the steps is gone.
_FALLS: dict[type, Callable[[Dialect, Any, str], str]] = {
    Cosine: lambda d, s, x: f"(1 + {d.call('cos', f'{_pi(d)} * {x}')}) / 2",
    Polynomial: lambda d, s, x: f"(1 - {x})" + _to_the(s.power),
    Monomial: lambda d, s, x: f"1 - {x}" + _to_the(s.power),
    Rex: lambda d, s, x: f"(1 - {x}) / (1 - {x} / 2)",
    Tanh: lambda d, s, x: f"(1 - {d.call('tanh', f'{s.lower!r} * (1 - {x}) + {s.upper!r} * {x}')}) / 2",
    NormalizedExponential: lambda d, s, x: f"({s.rate!r} ** {x} - {s.rate!r}) / (1 - {s.rate!r})",
    Hyperbolic: lambda d, s, x: d.call("sqrt", f"(1 - {x}) * (1 - {x} / {2 * s.upper / s.steps - 1!r})"),
    Logarithmic: lambda d, s, x: f"1 - {d.call('log1p', f'{s.steps} * {x}')} / math.log1p({s.steps})",
}


def _to_the(power: float) -> str:
    return "" if power == 1.0 else f" ** {_number(power)}"


def _pi(dialect: Dialect) -> str:
    return "jnp.pi" if dialect.module == "jnp" else "math.pi"


def _exponential(w: Writer, s: Exponential, t: str) -> str:
    exponent = enclosed(t) if s.steps == 1.0 else f"({enclosed(t)} / {_number(s.steps)})"
    return f"{s.start!r} * {s.rate!r} ** {exponent}"


def _inverse_time(w: Writer, s: InverseTime, t: str) -> str:
    return f"{s.start!r} / (1 + {s.rate!r} * {enclosed(t)} / {_number(s.steps)})"


def _power_law(w: Writer, s: PowerLaw, t: str) -> str:
    return f"{s.start!r} * (1 + {enclosed(t)} / {_number(s.timescale)}) ** {-s.power!r}"


def _exponential_warmup(w: Writer, s: ExponentialWarmup, t: str) -> str:
    return f"-{s.end!r} * {w.dialect.call('expm1', f'-({t} + 1) / {_number(s.timescale)}')}"


def _rectified_warmup(w: Writer, s: RectifiedWarmup, t: str) -> str:
    # In a part of a chain that has not begun, the count must not pass through 0.
    n = w.name(f"{w.dialect.greatest(t, '0')} + {s._first}", "n")
    limit = w.name(f"2 / (1 - {s.b2!r}) - 1", "limit_")
    r = w.name(f"{limit} - 2 * {n} * {s.b2!r} ** {n} / (1 - {s.b2!r} ** {n})", "r")
    share = f"({r} - 4) * ({r} - 2) * {limit} / (({limit} - 4) * ({limit} - 2) * {r})"
    return w.dialect.call("sqrt", share)


def _triangular(w: Writer, s: Triangular, t: str) -> str:
    down = s.down or s.up
    u = w.name(f"{enclosed(t)} % {s.up + down}")
    part = w.dialect.least(f"{u} / {s.up}", f"({s.up + down} - {u}) / {down}")
    return f"{s.low!r} + ({s.high!r} - {s.low!r}) * {part}"


def _table(w: Writer, s: Table, t: str) -> str:
    return w.dialect.lookup(w.table(s.values), w.dialect.least(t, str(len(s.values) - 1)))


def _chain(w: Writer, s: Chain, t: str) -> str:
    t = w.name(t)
    texts = [_part(w, part, start, t, start == s.starts[-1]) for part, start in zip(s.parts, s.starts, strict=True)]
    if not w.dialect.scalar:
        texts = [w.name(text, "part_") for text in texts]
    value = texts[-1]
    for start, text in zip(reversed(s.starts[1:]), reversed(texts[:-1]), strict=True):
        value = w.dialect.choose(f"{t} < {start}", text, value)
    return value


def _part(w: Writer, part: Schedule, start: int, t: str, last: bool) -> str:
    """Return the value of a part of a chain; only its own steps count."""
    return w.write(part, w.inside(f"{t} - {start}", None if last else part.length)) if start else w.write(part, t)


def _repeat(w: Writer, s: Repeat, t: str) -> str:
    t = w.name(t)
    period = s._period
    if s._even:
        number, local = f"{t} // {period}", f"{t} % {period}"
    else:
        cycles = s._cycles
        exact = [w - f for w, f in zip(cycles.whole[: len(cycles.per)], cycles.fraction, strict=False)]
        starts = tuple(int(start) if start == int(start) else start for start in exact if start < _LAST_STEP)
        table = w.table(starts)
        number = w.name(w.dialect.rank(table, t))
        slower = f"{s.stretch!r} ** {number}"
        if s.rounding != "none":
            slower = w.dialect.lookup(w.table(tuple(cycles.per[: len(starts)])), number)
        local = f"({t} - {w.dialect.lookup(table, number)}) / {slower}"
    value = w.write(s.schedule, w.inside(local, period))
    if s.scale != 1.0:
        value = f"{enclosed(value)} * {s.scale!r} ** {enclosed(number)}"
    return value if s.length is None else w.dialect.choose(f"{t} < {s.length}", value, repr(s(s.length)))


def _extend(w: Writer, s: Extend, t: str) -> str:
    return _curve(w, s.schedule, f"{enclosed(t)} / {s.schedule.steps}", t)


def _warp(w: Writer, s: Warp, t: str) -> str:
    ramp = s.schedule
    return _curve(w, ramp, f"({enclosed(w.capped(t, ramp.steps))} / {ramp.steps}) ** {s.power!r}", t)


def _joined(symbol: str) -> Callable[[Writer, Any, str], str]:
    def rule(w: Writer, s: Any, t: str) -> str:
        t = w.name(t)
        return f" {symbol} ".join(enclosed(w.write(part, t)) for part in s.parts)

    return rule


def _extreme(name: str) -> Callable[[Writer, Any, str], str]:
    def rule(w: Writer, s: Any, t: str) -> str:
        t = w.name(t)
        text: str = getattr(w.dialect, name)(*(w.write(part, t) for part in s.parts))
        return text

    return rule


def _power(w: Writer, s: Power, t: str) -> str:
    t = w.name(t)
    base, exponent = w.write(s.base, t), w.write(s.exponent, t)
    if _holds_a_line(s.base):
        base = w.dialect.greatest(base, "0.0")
    return f"{enclosed(base)} ** {enclosed(exponent)}"


def _holds_a_line(node: Value) -> bool:
    """Return whether a node may go below zero."""
    return isinstance(node, Extend) or any(_holds_a_line(child) for child in children(node))


_RULES: dict[type, Callable[[Writer, Any, str], str]] = {
    Constant: _constant,
    Ramp: _ramp,
    Exponential: _exponential,
    InverseTime: _inverse_time,
    PowerLaw: _power_law,
    ExponentialWarmup: _exponential_warmup,
    RectifiedWarmup: _rectified_warmup,
    Triangular: _triangular,
    Table: _table,
    Chain: _chain,
    Repeat: _repeat,
    Extend: _extend,
    Warp: _warp,
    Sum: _joined("+"),
    Product: _joined("*"),
    Minimum: _extreme("least"),
    Maximum: _extreme("greatest"),
    Power: _power,
    Hold: lambda w, s, t: w.write(s.schedule, w.name(w.capped(w.name(t), s.steps))),
    Shift: lambda w, s, t: w.write(s.schedule, f"{enclosed(t)} + {s.steps}"),
    Stretch: lambda w, s, t: w.write(s.schedule, f"{enclosed(t)} / {s.factor!r}"),
    Epochs: lambda w, s, t: w.write(s.schedule, f"{enclosed(t)} // {s.steps_per_epoch}"),
    Batches: lambda w, s, t: w.write(
        s.schedule, f"{enclosed(t)} * {s.batches_per_update} + {s.batches_per_update - 1}"
    ),
    Reverse: lambda w, s, t: w.write(s.schedule, w.dialect.greatest(f"{s.length} - {enclosed(t)}", "0")),
}


def function(node: Schedule, dialect: Dialect, name: str, names: Iterator[int]) -> tuple[list[str], list[str]]:
    """Return the lines of the tables that a function of the step needs, and those of the function."""
    if not dialect.scalar or not isinstance(node, Chain):
        writer = Writer(dialect, names)
        value = writer.write(node, "step")
        body = [*needed_lines(writer.lines, value), f"return {value}"]
        return _read(writer.tables, body), [f"def {name}(step):", *(f"    {line}" for line in body)]
    tables: list[str] = []
    body = []
    for part, start, end in zip(node.parts, node.starts, [*node.starts[1:], None], strict=True):
        writer = Writer(dialect, names)
        clock = writer.inside(f"step - {start}" if start else "step", None if end is None else part.length)
        value = writer.write(part, clock)
        lines = [*needed_lines(writer.lines, value), f"return {value}"]
        tables += _read(writer.tables, lines)
        body += lines if end is None else [f"if step < {end}:", *(f"    {line}" for line in lines)]
    return tables, [f"def {name}(step):", *(f"    {line}" for line in body)]


def _read(tables: dict[str, list[str]], body: list[str]) -> list[str]:
    """Return the lines of the tables that the body reads."""
    code = "\n".join(body)
    return [line for name, lines in tables.items() if re.search(rf"\b{name}\b", code) for line in lines]
