"""A configuration as plain values, and the line of its file that each stands in.

YAML, JSON and TOML files, Python files of assignments, the arguments of a command line or a shell script. Nothing in a
file is run, and what makes objects of others is refused.
"""

import ast
import json
import operator
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from lrsched._core.check import is_sequence, short
from lrsched.installed import needs

Place = tuple[str | int, ...]
# Configurations are small; what is not would take the readers of YAML and TOML minutes.
_MOST_BYTES = 2**20
_MOST_ENTRIES = 100_000
_MOST_LEVELS = 64


@dataclass
class Document:
    """A configuration.

    Attributes:
        name: what errors call it.
        content: dictionaries, lists, texts and numbers; the names of a command line's arguments have no dashes.
        lines: the lines in which values stand, by their places, where there is a file.
        again: the lines of what was written again later, and is not used.
        arguments: whether it is a command line.
        used: names of variables of which others have been made.
    """

    name: str
    content: Mapping[str, Any]
    lines: dict[Place, int] = field(default_factory=dict)
    again: dict[Place, list[int]] = field(default_factory=dict)
    arguments: bool = False
    used: set[str] = field(default_factory=set)

    def put(self, table: dict[str, Any], place: Place, value: Any, line: int) -> None:
        """Set an entry of a table, and note where it stands; the last one counts."""
        if place in self.lines:
            self.again.setdefault(place, []).append(self.lines[place])
        table[str(place[-1])], self.lines[place] = value, line


def read_document(source: Any) -> Document:
    """Return the document in a file, a dictionary or a list of arguments.

    Raises:
        TypeError: it is none of these.
        OSError: there is no such file.
        ValueError: the file is none of the kinds that are read, broken, or beyond all measure.
    """
    if isinstance(source, Mapping):
        document = Document("config", {})
        document.content = _plain(document.name, source)
    elif isinstance(source, str | Path):
        path = Path(source)
        document = document_of(path.name, configuration_of(path), path.suffix.lower())
    elif is_sequence(source) and all(isinstance(item, str) for item in source):
        document = Document("config", {}, arguments=True)
        _arguments(document, [(None, item) for item in source])
    else:
        what = "a path, a dictionary or a list of arguments"
        raise TypeError(f"read_config(path_or_mapping=...) must be {what}, got {short(source)}")
    if not document.content:
        raise ValueError(f"{document.name} must hold a configuration, got nothing")
    return document


def text_of(path: Path, most: int = _MOST_BYTES) -> str:
    """Return the text of a file, in whichever form of Unicode it is written.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text, or has no end in sight.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path}: a file must have at most {most} bytes")
    # What Windows sets at the beginning is a mark, and no part of the text.
    return content.decode(json.detect_encoding(content)).removeprefix("\ufeff")


def configuration_of(path: Path) -> str:
    """Return the text of a configuration.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text, or far too long for a configuration.
    """
    try:
        text = text_of(path)
    except UnicodeDecodeError:
        text = "\0"
    except ValueError:
        raise ValueError(f"{path.name} must have at most {_MOST_BYTES} bytes to be a configuration") from None
    if "\0" in text:
        raise ValueError(f"{path.name} must be a text, got bytes that are none")
    return text


def is_ours(path: Path, text: str) -> bool:
    """Return whether a file is to be read as a value of this library: it is no configuration of a trainer."""
    if text.lstrip().startswith("{"):
        try:
            content = json.loads(text)
        except (RecursionError, ValueError):
            return True
        return not isinstance(content, Mapping) or not content or ("type" in content and "params" not in content)
    return path.suffix.lower() not in READERS and not re.match(r"\s*--\w", text)


def document_of(name: str, text: str, suffix: str = "") -> Document:
    """Return the document in a text.

    Args:
        name: what errors call it.
        text: the text.
        suffix: ".yaml", ".json", ".toml", ".py" or ".sh"; for another one the text tells.
    """
    document = Document(name, {})
    found = [suffix] if suffix in READERS else list(_kinds(text))
    try:
        for kind in found:
            try:
                content = READERS[kind](document, text)
                break
            except ValueError:
                if kind == found[-1]:
                    raise
                document = Document(name, {})
    except RecursionError:
        raise ValueError(f"{name} must not nest deeper than {_MOST_LEVELS} levels") from None
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} must hold names and values, got {short(content)}")
    document.content = _plain(name, content)
    return document


def _kinds(text: str) -> Iterator[str]:
    if re.match(r"\s*\{", text):
        yield ".json"
    if re.search(r"(^|\s)--[a-zA-Z][\w-]*(\s|=)", text) and not re.search(r"^[\w-]+:(\s|$)", text, re.MULTILINE):
        yield ".sh"
    if re.search(r"^\s*\[[\w.\"]+\]\s*(#.*)?$", text, re.MULTILINE) and re.search(r"^\w+\s*=", text, re.MULTILINE):
        yield ".toml"
    yield ".yaml"


def _plain(name: str, content: Any, left: list[int] | None = None, level: int = 0) -> Any:
    """Return dictionaries with texts for names, once they are found to be of bearable size."""
    left = [_MOST_ENTRIES] if left is None else left
    left[0] -= 1
    if left[0] < 0 or level > _MOST_LEVELS:
        raise ValueError(f"{name} must have at most {_MOST_ENTRIES} entries and {_MOST_LEVELS} levels")
    if isinstance(content, Mapping):
        return {str(key): _plain(name, value, left, level + 1) for key, value in content.items()}
    return [_plain(name, item, left, level + 1) for item in content] if is_sequence(content) else content


def _json(document: Document, text: str) -> Any:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{document.name}, line {error.lineno}: {error.msg}") from None
    _json_lines(document, text)
    return content


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n')


def _json_lines(document: Document, text: str) -> None:
    """Note the lines of the names in a JSON text, which is right."""
    place: list[str | int] = []
    line, word = 1, ""
    for token in _TOKEN.findall(text):
        match token:
            case "\n":
                line += 1
            case "{" | "[":
                place.append("" if token == "{" else 0)
            case "}" | "]":
                place.pop()
            case ":":
                place[-1] = json.loads(word)
                if tuple(place) in document.lines:
                    document.again.setdefault(tuple(place), []).append(document.lines[tuple(place)])
                document.lines[tuple(place)] = line
            case ",":
                last = place[-1]
                place[-1] = last + 1 if isinstance(last, int) else last
            case _:
                word = token


def _toml(document: Document, text: str) -> Any:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{document.name}: {error}") from None
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if head := re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]+", line):
            table = tuple(part.strip(" \"'") for part in head[1].split("."))
        elif name := re.match(r"\s*([\w.\"'-]+?)\s*=", line):
            document.lines[(*table, *(part.strip(" \"'") for part in name[1].split(".")))] = number
    return content


def _yaml(document: Document, text: str) -> Any:
    with needs(f"{document.name}: YAML", "config", "yaml"):
        yaml = import_module("yaml")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _Nodes(document, yaml).value(node, (), 0)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"{document.name}{where}: this is no YAML: {what}") from None


class _Nodes:
    """Makes values of the nodes of a YAML text; `*name` counts as often as it is written."""

    def __init__(self, document: Document, yaml: Any) -> None:
        self.document, self.yaml, self.left = document, yaml, _MOST_ENTRIES
        self.scalars = yaml.constructor.SafeConstructor()

    def value(self, node: Any, place: Place, level: int) -> Any:
        """Return the value of a node.

        Raises:
            ValueError: it makes an object of another library, or there is no end to it.
        """
        name, line = self.document.name, node.start_mark.line + 1
        self.left -= 1
        if self.left < 0 or level > _MOST_LEVELS:
            raise ValueError(f"{name} must have at most {_MOST_ENTRIES} entries and {_MOST_LEVELS} levels")
        if not node.tag.startswith("tag:yaml.org,2002:") or "python/" in node.tag:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise ValueError(f"{name}, line {line} must be a plain value, got the tag {tag!r}, which is never run")
        match node:
            case self.yaml.MappingNode():
                return self._table(node, place, level)
            case self.yaml.SequenceNode():
                return [self.value(item, (*place, i), level + 1) for i, item in enumerate(node.value)]
        return self.scalars.construct_object(node)

    def _table(self, node: Any, place: Place, level: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, content in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                found = self.value(content, place, level + 1)
                for part in reversed(found if isinstance(found, list) else [found]):
                    merged |= part
            else:
                inner = (*place, str(getattr(key, "value", "")))
                self.document.put(table, inner, self.value(content, inner, level + 1), key.start_mark.line + 1)
        return merged | table


def _shell(document: Document, text: str) -> Any:
    """Read the arguments in a script; its own variables are put in."""
    known: dict[str, str] = {}
    words: list[tuple[int | None, str]] = []
    continued = False
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        bare = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        was, continued = continued, bare.endswith("\\")
        bare = bare.rstrip("\\ \t")
        if found := re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)=([^\s(].*|)", bare):
            known[found[1]] = _expanded(found[2].split(";")[0].strip(), known).strip("\"'")
            continue
        bare = re.sub(r"^\s*(?:export\s+)?[A-Za-z_]\w*\+?=\(", " ", bare)
        try:
            parts = shlex.split(bare)
        except ValueError:  # a quotation over several lines
            parts = bare.replace('"', " ").replace("'", " ").split()
        if not was:  # a new command, unless it is a list of arguments that goes on
            words.append((number, "|"))
        for part in parts:
            words.append(
                (number, "|" if re.fullmatch(r"\$\{\w+\[[@*]\]\}|\)", part) else _expanded(part, known).rstrip(")"))
            )
    document.arguments = True
    _arguments(document, words)
    return document.content


_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?[-=]([^}]*))?\}|([A-Za-z_]\w*))")


def _expanded(word: str, known: Mapping[str, str]) -> str:
    def put(found: re.Match[str]) -> str:
        return known.get(found[1] or found[3], found[2] if found[2] is not None else found[0])

    return _VARIABLE.sub(put, word)


def _arguments(document: Document, words: Sequence[tuple[int | None, str]]) -> None:
    """Put the arguments of a command line into a document; what stands alone is True."""
    table: dict[str, Any] = {}
    name = ""
    for line, word in words:
        if found := re.fullmatch(r"--([A-Za-z][\w.-]*)(?:=(.*))?", word, re.DOTALL):
            name = found[1].replace("-", "_")
            given = True if found[2] is None else found[2]
            if line is None:
                table[name] = given
            else:
                document.put(table, (name,), given, line)
        elif re.fullmatch(r"[|&;]+|-[A-Za-z].*", word):
            name = ""
        elif name:
            given = table[name]
            table[name] = word if given is True else [*given, word] if isinstance(given, list) else [given, word]
    document.content = table


class Unread:
    """What a Python file computes, and nobody but Python knows."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def _python(document: Document, text: str) -> Any:
    """Read the assignments of a Python file: literals, `dict(...)`, names and arithmetic."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise ValueError(f"{document.name}{where}: this is no Python: {getattr(error, 'msg', error)}") from None
    table: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            place = (node.targets[0].id,)
            document.put(table, place, _literal(document, node.value, place, table), node.lineno)
    return table


def _literal(document: Document, node: ast.expr, place: Place, known: Mapping[str, Any]) -> Any:
    def inner(key: Any, value: ast.expr) -> Any:
        document.lines[(*place, key)] = value.lineno
        return _literal(document, value, (*place, key), known)

    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) if name in known:
            document.used.add(name)
            return known[name]
        case ast.List(items) | ast.Tuple(items):
            return [inner(i, item) for i, item in enumerate(items)]
        case ast.Dict(keys, values) if all(isinstance(key, ast.Constant) for key in keys):
            return {str(k.value): inner(str(k.value), v) for k, v in zip(keys, values, strict=True)}  # type: ignore[union-attr]  # see the line above
        case ast.Call(ast.Name("dict"), [], keywords) if all(keyword.arg for keyword in keywords):
            return {keyword.arg: inner(keyword.arg, keyword.value) for keyword in keywords}
        case ast.UnaryOp(ast.USub(), operand):
            found = _literal(document, operand, place, known)
            return -found if isinstance(found, int | float) else Unread(ast.unparse(node))
        case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
            sides = [_literal(document, side, place, known) for side in (left, right)]
            if all(isinstance(side, int | float) and abs(side) < 2**53 for side in sides):
                try:
                    return _OPERATORS[type(sign)](*sides)
                except ArithmeticError:
                    pass
    return Unread(ast.unparse(node))


READERS: dict[str, Callable[[Document, str], Any]] = {
    ".json": _json,
    ".jsonc": _json,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".sh": _shell,
    ".bash": _shell,
    ".slurm": _shell,
    ".py": _python,
}
