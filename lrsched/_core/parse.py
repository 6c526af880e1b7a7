"""The text form of a value: the grammar of its `repr`, read through a whitelist of syntax, never `eval`.

A text is a call of a known name with numbers, strings, None, True, False, tuples, lists and other values, combined by
`>>`, `*`, `+` and `**`. Everything else is a ValueError that names the column.
"""

import ast
import contextlib
import operator
from collections.abc import Callable
from typing import Any

from lrsched._core.check import short
from lrsched._core.offers import CLASSES
from lrsched._core.value import Value

# A schedule of ten thousand parts fits; a longer text is an accident or an attack.
MAX_CHARACTERS = 2_000_000

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.RShift: operator.rshift,
    ast.Mult: operator.mul,
    ast.Add: operator.add,
    ast.Pow: operator.pow,
}


def parse_value(text: str, kind: str) -> Any:
    """Build the value of the family `kind` that a text describes.

    Args:
        text: what `repr` of the value prints; line breaks, comments and `_` in numbers are allowed.
        kind: "schedule", "rule", ...: only names of this family are known.

    Returns:
        The value.

    Raises:
        TypeError: `text` is not a str.
        ValueError: the text is not such a value; the message names line and column.
    """
    if not isinstance(text, str):
        raise TypeError(f"parse(text) must get a str, got {text!r}")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"parse(text) must get at most {MAX_CHARACTERS} characters, got {len(text)}")
    try:
        # The brackets let a text run over several lines.
        built = _Reader(kind).read(_tree(f"(\n{text}\n)"))
    except SyntaxError as error:
        line = max((error.lineno or 2) - 1, 1)
        raise ValueError(f"line {line}, column {error.offset or 1}: {error.msg}: {short(text)}") from None
    except (RecursionError, MemoryError):
        raise ValueError(f"the text nests too deeply: {short(text)}") from None
    if not isinstance(built, Value):
        raise ValueError(f"the text must describe a {kind}, got {short(text)}")
    return built


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
        with contextlib.suppress(SystemError):
            return ast.parse(text, mode="eval").body
    return ast.parse(text, mode="eval").body


class _Reader:
    """Walks a syntax tree and builds what it allows."""

    def __init__(self, kind: str) -> None:
        self.known = CLASSES[kind]
        self.kind = kind

    def fail(self, node: ast.AST, message: str) -> ValueError:
        line, column = getattr(node, "lineno", 2) - 1, getattr(node, "col_offset", 0) + 1
        return ValueError(f"line {line}, column {column}: {message}")

    def read(self, node: ast.AST) -> Any:
        if isinstance(node, ast.BinOp):
            return self.read_operator(node)
        if isinstance(node, ast.Call):
            return self.read_call(node)
        if isinstance(node, ast.Tuple | ast.List):
            return tuple(self.read(item) for item in node.elts)
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str | int | float)):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            number = self.read(node.operand)
            if isinstance(number, int | float) and not isinstance(number, bool):
                return -number if isinstance(node.op, ast.USub) else number
        if isinstance(node, ast.Name):
            raise self.fail(node, f"{node.id!r} must be called: write {node.id}(...)")
        raise self.fail(node, f"{type(node).__name__} is not part of the text form")

    def read_operator(self, node: ast.BinOp) -> Any:
        # A long chain leans to the left: walk that spine in a loop, not by recursion.
        spine: list[ast.BinOp] = []
        left: ast.AST = node
        while isinstance(left, ast.BinOp):
            spine.append(left)
            left = left.left
        built = self.read(left)
        pending: list[Any] = []
        for item in reversed(spine):
            right = self.read(item.right)
            if isinstance(item.op, ast.RShift) and isinstance(built, Value) and isinstance(right, Value):
                pending.append(right)  # joined at once below: one by one would copy the parts n times
                continue
            built = self.combine(item, self.join(item, built, pending), right)
            pending = []
        return self.join(node, built, pending)

    def join(self, node: ast.BinOp, built: Any, pending: list[Any]) -> Any:
        if not pending:
            return built
        try:
            return type(built).sequence([built, *pending])
        except (TypeError, ValueError) as error:
            raise self.fail(node, str(error)) from None

    def combine(self, node: ast.BinOp, left: Any, right: Any) -> Any:
        apply = _OPERATORS.get(type(node.op))
        if apply is None or not (isinstance(left, Value) or isinstance(right, Value)):
            raise self.fail(node, f"{type(node.op).__name__} is not part of the text form here")
        try:
            return apply(left, right)
        except (TypeError, ValueError) as error:
            raise self.fail(node, str(error)) from None

    def read_call(self, node: ast.Call) -> Value:
        if not isinstance(node.func, ast.Name) or node.func.id not in self.known:
            name = node.func.id if isinstance(node.func, ast.Name) else type(node.func).__name__
            raise self.fail(node, f"{name!r} is not a known {self.kind}; known are {', '.join(sorted(self.known))}")
        positional = [self.read(item) for item in node.args]
        named: dict[str, Any] = {}
        for item in node.keywords:
            if item.arg is None:
                raise self.fail(node, "** is not part of the text form")
            if item.arg in named:
                raise self.fail(node, f"keyword argument repeated: {item.arg}")
            named[item.arg] = self.read(item.value)
        try:
            built: Value = self.known[node.func.id](*positional, **named)
        except (TypeError, ValueError) as error:
            raise self.fail(node, str(error)) from None
        return built
