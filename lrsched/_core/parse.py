"""The text form of a value: the grammar of its `repr`, read token by token, never by `eval`.

A text is a call of a known name with numbers, strings, None, True, False, tuples, lists and other values, combined by
`>>`, `*`, `+` and `**`; a name with a dot is a function of another library, `torch.OneCycleLR(...)`. Numbers may be
computed by `+ - * / // **`. Everything else is a ValueError that names line and column. Reading takes time linear in
the text: brackets lie on a stack of the reader, not on that of Python, and a run of numbers is one token.

A length may have a unit, '5%' or 5%: a call with one in it is not made, but becomes a template.
"""

import ast
import contextlib
import json
import math
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from lrsched._core.check import short
from lrsched._core.functions import check_functions, named
from lrsched._core.hints import cured
from lrsched._core.names import closest
from lrsched._core.offers import CALLS, CLASSES, ELSEWHERE
from lrsched._core.units import BARE, has_units, quantity
from lrsched._core.value import Value

# A schedule of ten thousand parts fits; a longer text is an accident or an attack, but for the numbers of a table.
MAX_CHARACTERS = 2_000_000
MAX_WITH_NUMBERS = 64_000_000
MAX_OPERATORS = 50_000
# As deep as Python reads brackets.
MAX_BRACKETS = 200
# What a longer text holds that is not of this form is not looked for.
MAX_EXPLAINED = 10_000
# For a longer text nothing else is suggested: nobody types it.
MAX_TYPED = 300

_NUMBER = r"(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9][0-9_]*)?"
_TOKEN = re.compile(
    rf"(?:\s|\\\n|#[^\n]*)*+(?:(?P<length>{BARE})|(?P<number>0[xXoObB]\w+|{_NUMBER}(?!\w))|(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"
    r"|(?P<text>'(?:[^'\\\n]|\\.)*+'|\"(?:[^\"\\\n]|\\.)*+\")|(?P<sign>\*\*|//|>>|[-+*/(),=\[\]])|(?P<end>\Z))"
)
_JSON_NUMBER = r"-?[0-9]++(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?"
_RUN = re.compile(rf"\s*+((?:{_JSON_NUMBER}\s*+,\s*+){{8,}}+)")
_ITEM = re.compile(rf"\s*+{_JSON_NUMBER}\s*+")
_NAMED = re.compile(r"\s*+=(?!=)")
_CONSTANTS = {"None": None, "True": True, "False": False}
_CLOSING = {"(": ")", "[": "]"}


class _Operator(NamedTuple):
    """An operator between two operands, or a sign before one."""

    name: str
    binding: int
    apply: Callable[..., Any]
    # Of several in a row the last comes first.
    rightward: bool = False


_OPERATORS = {
    ">>": _Operator(">>", 1, operator.rshift),
    "+": _Operator("+", 2, operator.add),
    "-": _Operator("-", 2, operator.sub),
    "*": _Operator("*", 3, operator.mul),
    "/": _Operator("/", 3, operator.truediv),
    "//": _Operator("//", 3, operator.floordiv),
    "**": _Operator("**", 5, operator.pow, rightward=True),
}
_SIGNS = {"-": _Operator("sign", 4, operator.neg), "+": _Operator("sign", 4, operator.pos)}
# What stands between values, and not only between numbers.
_JOINS = (">>", "+", "*", "**")
_TAKES = ", ".join(_JOINS)
# No number in a text is larger.
_LARGEST = 2.0**1023


def parse_value(text: str, kind: str, functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Build the value of the family `kind` that a text describes.

    Args:
        text: what `repr` of the value prints; line breaks, comments and `_` in numbers are allowed.
        kind: "schedule", "rule", ...: only names of this family are known.
        functions: what names of functions stand for, beside those that are registered.

    Returns:
        The value.

    Raises:
        TypeError: `text` is not a str.
        ValueError: the text is not such a value; the message names line and column.
    """
    if not isinstance(text, str):
        raise TypeError(f"parse(text) must get a str, got {short(text)}")
    if len(text) > MAX_CHARACTERS and _beside_numbers(text) > MAX_CHARACTERS:
        raise ValueError(f"parse(text) must get at most {MAX_CHARACTERS} characters, got {len(text)}")
    table = check_functions("parse", functions)
    try:
        return _read(text, kind, table)
    except ValueError as error:
        if len(text) > MAX_TYPED or " example " in str(error):
            raise
        raise ValueError(f"{error}{_instead(text, str(error), kind, table)}") from None


def _read(text: str, kind: str, functions: Mapping[str, Callable[..., Any]]) -> Value:
    built = _Reader(text, kind, functions).read()
    if not isinstance(built, Value) or {kind, built.kind} == {"schedule", "rule"}:
        raise ValueError(f"the text must describe a {kind}, got {short(text)}")
    return built


def _instead(text: str, error: str, kind: str, functions: Mapping[str, Callable[..., Any]]) -> str:
    """Return what to write instead of a text, as the end of the error about it."""
    if found := re.fullmatch(r"\s*@?([\w./~\\:-]+\.(?:json|txt|ya?ml|toml))\s*", text):
        return f"; a file is read by read_config({found[1]!r})"

    def reads(other: str) -> bool:
        try:
            return bool(_read(other, kind, functions)) or True
        except (TypeError, ValueError):
            return False

    def elsewhere(name: str) -> str | None:
        return next(iter(_like(name, kind)), None)

    cure = cured(text, error, {**CLASSES[kind], **CALLS.get(kind, {})}, elsewhere, reads)
    return f"; write {cure}" if cure else ""


def _like(name: str, kind: str) -> list[str]:
    """Return the functions of other libraries that a name without dots means."""
    found = ELSEWHERE[0](name) if ELSEWHERE and kind == "schedule" and "." not in name else []
    return found if isinstance(found, list) else []


def _beside_numbers(text: str) -> int:
    """Return how many characters of a text are no numbers with commas between them; all, if it is very long."""
    if len(text) > MAX_WITH_NUMBERS:
        return len(text)
    return sum(len(piece) + 1 for piece in text.split(",") if len(piece) > 32 or not _ITEM.fullmatch(piece))


def literal(text: str) -> Any:
    """Return the number, text, tuple, list or dictionary that a text writes.

    Raises:
        SyntaxError: the text is no expression.
        ValueError: it is more than such a value.

    Examples:
        >>> literal("(60000, 8e4)")
        (60000, 80000.0)
    """
    return ast.literal_eval(_tree(text.lstrip(" \t")))


def _tree(text: str) -> ast.expr:
    """Return the syntax tree of an expression.

    Python 3.11 counts in one place for all threads how deep it is, and raises a SystemError after a good parse if
    another thread has parsed in between.
    """
    for _ in range(1000):
        with contextlib.suppress(SystemError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1if`
            return ast.parse(text, mode="eval").body
    return ast.parse(text, mode="eval").body


class _Bracket:
    """An open bracket, or the whole text: what stands in it, and what still waits for its right side."""

    def __init__(self, sign: str, at: int, name: str | None = None) -> None:
        # `name` is that of the class whose arguments stand in it.
        self.sign, self.at, self.name = sign, at, name
        self.items: list[Any] = []
        self.named: dict[str, Any] = {}
        self.argument: str | None = None  # the name of the one that is being read
        self.commas = False  # a tuple of one item has a comma
        self.operands: list[Any] = []
        self.waiting: list[tuple[_Operator, int]] = []

    @property
    def empty(self) -> bool:
        """Whether nothing has been read since it was opened, or since the last comma."""
        return not self.operands and not self.waiting and self.argument is None


class _Reader:
    """Reads a text from left to right; at any place it expects an operand, or what may follow one."""

    def __init__(self, text: str, kind: str, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.text, self.kind, self.functions = text, kind, functions
        self.known: dict[str, Callable[..., Any]] = {**CLASSES[kind], **CALLS.get(kind, {})}
        self.place = self.operators = 0
        self.open = [_Bracket("", 0)]

    def fail(self, at: int, message: str) -> NoReturn:
        line, begin = self.text.count("\n", 0, at) + 1, self.text.rfind("\n", 0, at) + 1
        raise ValueError(f"line {line}, column {at - begin + 1}: {message}") from None

    def refuse(self, at: int, message: str = "invalid syntax") -> NoReturn:
        """Raise the error about what is not of this form, named as Python does."""
        foreign = _foreign(self.text, self.kind) if len(self.text) <= MAX_EXPLAINED else None
        if foreign is not None:
            raise ValueError(foreign) from None
        self.fail(at, message)

    def read(self) -> Any:
        operand = True
        while True:
            token = _TOKEN.match(self.text, self.place)
            if token is None:
                self.refuse(self.place, f"invalid syntax: {short(self.text)}")
            kind = str(token.lastgroup)
            at, self.place = token.start(kind), token.end()
            if kind == "end":
                break
            operand = (self.operand if operand else self.after)(kind, token[kind], at)
        inner = self.open[-1]
        if len(self.open) > 1:
            self.refuse(inner.at, f"{inner.sign!r} was never closed: {short(self.text)}")
        if operand and not inner.empty:
            self.refuse(at, f"invalid syntax: {short(self.text)}")
        return None if operand else self.reduced(0)

    def operand(self, kind: str, token: str, at: int) -> bool:
        """Take a token where an operand is expected; return whether one still is."""
        inner = self.open[-1]
        if kind == "name" and token not in _CONSTANTS:
            return self.take_name(token, at)
        if token in _SIGNS:
            inner.waiting.append((_SIGNS[token], at))
            return True
        if token in _CLOSING:
            return self.opened(_Bracket(token, at))
        if token in _CLOSING.values() and inner.empty:
            return self.closed(token, at)
        if kind == "sign":
            self.refuse(at)
        inner.operands.append(_CONSTANTS[token] if kind == "name" else self.constant(kind, token, at))
        return False

    def constant(self, kind: str, token: str, at: int) -> Any:
        try:
            if kind == "length":
                return self.length(token, at)
            if kind == "text":
                content = ast.literal_eval(token) if "\\" in token else token[1:-1]
                return (self.kind == "schedule" and quantity(content)) or content
            whole = token.replace("_", "").isdecimal() or token[1:2] in tuple("xXoObB")
            return int(token, 0) if whole else float(token)
        except (ValueError, SyntaxError) as error:
            self.refuse(at, str(error))

    def length(self, token: str, at: int) -> Any:
        """Return the length that a text without quotes says; a number of updates is a plain number."""
        found = quantity(token)
        if found is None or self.kind != "schedule":
            self.fail(at, f"a {self.kind} has no lengths with units, got {token}")
        whole = found.unit == "ba" and not token.endswith("ba") and found.number.denominator == 1
        return int(found.number) if whole else found

    def take_name(self, name: str, at: int) -> bool:
        inner, following = self.open[-1], _TOKEN.match(self.text, self.place)
        sign = following["sign"] if following is not None else None
        if sign == "=" and inner.name is not None and inner.empty:
            if name in inner.named:
                self.refuse(at, f"keyword argument repeated: {name}")
            inner.argument = name
        elif sign != "(" and name.lower() in ("nan", "inf", "infinity"):
            self.refuse(at, f"{name!r} is no finite number")
        elif sign != "(" and name in self.known:
            self.refuse(at, f"{name!r} must be called, with its arguments in brackets")
        elif sign != "(":
            try:
                inner.operands.append(named(name, self.functions))
            except ValueError as error:
                self.refuse(at, str(error))
            return False
        elif name not in self.known:
            self.known[name] = self.elsewhere(name, at)
        self.place = following.end()  # type: ignore[union-attr]  # it has a sign
        return True if sign == "=" else self.opened(_Bracket("(", at, name))

    def elsewhere(self, name: str, at: int) -> Callable[..., Any]:
        """Return the function of another library that a name with dots means."""
        home, _, last = name.rpartition(".")
        if home in ("lrsched", "ls", "lrsched.rules", "rules") and last in self.known:
            return self.known[last]
        found = ELSEWHERE[0](name) if home and ELSEWHERE else [*_like(name, self.kind), *closest(name, self.known)][:3]
        if callable(found):
            return found
        self.refuse(at, f"{name!r} is not a known {self.kind}; the nearest are {', '.join(found)}")

    def opened(self, bracket: _Bracket) -> bool:
        if len(self.open) > MAX_BRACKETS:
            self.fail(bracket.at, f"too many nested brackets, more than {MAX_BRACKETS}: {short(self.text)}")
        self.open.append(bracket)
        if run := _RUN.match(self.text, self.place):
            with contextlib.suppress(ValueError):  # what JSON does not read so is read one by one
                bracket.items = json.loads(f"[{run[1].rstrip()[:-1]}]")
                bracket.commas, self.place = True, run.end()
        return True

    def after(self, kind: str, token: str, at: int) -> bool:
        """Take a token that follows an operand; return whether another is expected."""
        inner = self.open[-1]
        if token in _CLOSING.values():
            self.finish(at)
            return self.closed(token, at)
        if token == "," and len(self.open) > 1:
            self.finish(at)
            inner.commas = True
        elif token in _OPERATORS and kind == "sign":
            self.operators += 1
            if self.operators > MAX_OPERATORS:
                self.fail(at, f"the text must hold at most {MAX_OPERATORS} operators; write Chain(...) or Product(...)")
            found = _OPERATORS[token]
            self.reduced(found.binding + found.rightward)
            inner.waiting.append((found, at))
        else:
            self.refuse(at, f"invalid syntax: {short(self.text)}")
        return True

    def finish(self, at: int) -> None:
        """Take what has been read as an item of the bracket."""
        inner = self.open[-1]
        item = self.reduced(0)
        inner.operands = []
        if inner.argument is not None:
            inner.named[inner.argument], inner.argument = item, None
        elif inner.named:
            self.refuse(at, "positional argument follows keyword argument")
        else:
            inner.items.append(item)

    def closed(self, token: str, at: int) -> bool:
        inner = self.open[-1]
        if token != _CLOSING.get(inner.sign):
            self.fail(at, f"unmatched {token!r}: {short(self.text)}")
        self.open.pop()
        if inner.name is None:
            grouped = inner.sign == "(" and inner.items and not inner.commas
            self.open[-1].operands.append(inner.items[0] if grouped else tuple(inner.items))
            return False
        make = self.known[inner.name]
        if has_units(inner.items) or has_units([*inner.named.values()]):
            make = CLASSES["template"]["Template"]._of(inner.name, make)
        try:
            self.open[-1].operands.append(make(*inner.items, **inner.named))
        except (TypeError, ValueError) as error:
            self.fail(inner.at, str(error))
        return False

    def reduced(self, binding: int) -> Any:
        """Apply what binds at least so tightly to the operands before it; return what comes out."""
        inner = self.open[-1]
        operands = inner.operands
        while inner.waiting and inner.waiting[-1][0].binding >= binding:
            found, at = inner.waiting.pop()
            taken = [operands.pop()] if found.name == "sign" else [operands.pop(), operands.pop()][::-1]
            plain = all(isinstance(operand, int | float) and not isinstance(operand, bool) for operand in taken)
            if found.name == "sign" and not plain:
                self.fail(at, "a sign must stand before a number")
            if not plain and (found.name not in _JOINS or not any(isinstance(one, Value) for one in taken)):
                beside = f", or beside a {self.kind}" if found.name in _JOINS else ""
                self.fail(at, f"{found.name} must stand between numbers{beside}; a {self.kind} takes {_TAKES}")
            try:
                operands.append(_computed(found, taken) if plain else found.apply(*taken))
            except (ArithmeticError, TypeError, ValueError) as error:
                self.fail(at, str(error))
        return operands[-1]


def _computed(found: _Operator, numbers: list[Any]) -> Any:
    """Return what an operator makes of numbers, none of them beyond what a float holds."""
    if found.name == ">>":
        raise ValueError(">> must stand between schedules or rules")
    try:
        size = found.apply(*map(float, numbers))  # where a power of integers would take too long, this overflows
    except OverflowError:
        size = math.inf
    if isinstance(size, complex) or not abs(size) <= _LARGEST:
        raise ValueError(f"{found.name} must give a real number below 2**1023")
    return found.apply(*numbers)


def _as_wide(length: re.Match[str]) -> str:
    return "1".ljust(len(length[0]))


_FORM = (ast.BinOp, ast.Call, ast.Name, ast.Tuple, ast.List, ast.UnaryOp, ast.keyword, ast.expr_context)
_FORM_OPERATORS = (
    ast.RShift,
    ast.Mult,
    ast.Add,
    ast.Pow,
    ast.USub,
    ast.UAdd,
    ast.Sub,
    ast.Div,
    ast.FloorDiv,
)
# What people call the parts of Python that are no part of the text.
_WORDS: dict[type[ast.AST], str] = {
    ast.Attribute: "a dot",
    ast.BoolOp: "`and` or `or`",
    ast.Compare: "a comparison",
    ast.Constant: "such a constant",
    ast.Dict: "a dictionary",
    ast.DictComp: "a loop",
    ast.GeneratorExp: "a loop",
    ast.IfExp: "`if`",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.ListComp: "a loop",
    ast.NamedExpr: ":=",
    ast.Set: "a set",
    ast.SetComp: "a loop",
    ast.Starred: "* before an argument",
    ast.Subscript: "an index",
    ast.keyword: "** before arguments",
}


def _told(node: ast.AST, kind: str) -> str:
    return f"{_WORDS.get(type(node), 'this operator')} is not part of the text of a {kind}"


def _is_dotted(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _foreign(text: str, kind: str) -> str | None:
    """Return what an expression of Python holds that is no part of the text form, and where, or None."""
    try:
        # A unit is no Python: in its place a number as wide. The brackets let a text run over several lines.
        waiting: list[ast.AST] = [_tree(f"(\n{re.sub(BARE, _as_wide, text)}\n)")]
    except SyntaxError as error:
        line = max((error.lineno or 2) - 1, 1)
        return f"line {line}, column {error.offset or 1}: {error.msg}: {short(text)}"
    except (ValueError, RecursionError, MemoryError):
        return None
    line = column = 1
    while waiting:
        node = waiting.pop()
        line, column = getattr(node, "lineno", line + 1) - 1, getattr(node, "col_offset", column - 1) + 1
        what = ""
        if isinstance(node, ast.Call) and not _is_dotted(node.func):
            what = _told(node.func, kind) if type(node.func) in _WORDS else f"only a name may be called in a {kind}"
        elif isinstance(node, ast.keyword) and node.arg is None:
            what = _told(node, kind)
        elif isinstance(node, ast.Constant):
            what = "" if node.value is None or isinstance(node.value, str | int | float) else _told(node, kind)
        elif not isinstance(node, (*_FORM, *_FORM_OPERATORS)) and not _is_dotted(node):
            what = _told(node, kind)
        if what:
            return f"line {line}, column {column}: {what}"
        waiting += [*ast.iter_child_nodes(node)][::-1]
    return None
