"""What all readers of configurations share.

What they recognise is used. What looks like a schedule's name and is not used is an error that names it, wherever it
stands, and so is a configuration in which nothing is recognised. Numbers that a file left as text are read.
"""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Any, NoReturn

from lrsched._core.check import MAX_STEPS, Constraint, Flag, Int, Many, OrNone, Real, Steps, is_sequence, short
from lrsched._core.names import nearest
from lrsched._core.parse import literal
from lrsched.arguments import rule_of, signature_of
from lrsched.compat._tools.names import below, looks_alike

# Constraints of arguments whose annotation is a plain type.
_PLAIN: dict[Any, Constraint] = {float: Real(), int: Int(low=-MAX_STEPS), bool: Flag()}


def dictionary(where: str, content: Any, what: str = "be a dictionary") -> Mapping[str, Any]:
    """Return a section: a mapping, the fields of a dataclass instance, or what a method `to_dict` gives.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(content, Mapping):
        return content
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        return {field.name: getattr(content, field.name) for field in dataclasses.fields(content)}
    found = content.to_dict() if callable(getattr(content, "to_dict", None)) else None
    if isinstance(content, type) or not isinstance(found, Mapping):
        raise TypeError(f"{where} must {what}, got {short(content)}")
    return found


def number(rule: Constraint, content: Any) -> Any:
    """Return what a value means to a constraint where a file left it as text; what is not clear stays as it is.

    YAML reads `1e-3` and `(60000, 80000)` as text, and `1.0e+4` as a float, which is a number of steps if it is whole.

    Examples:
        >>> number(Real(), "1e-3"), number(Int(), "9e4"), number(Many(Int()), "(60000, 80000)"), number(Int(), "auto")
        (0.001, 90000, (60000, 80000), 'auto')
    """
    if isinstance(rule, OrNone):
        given = not isinstance(content, str) or content.strip().lower() not in ("none", "null")
        return number(rule.rule, content) if given else None
    if isinstance(content, str):
        text = content.strip()
        if isinstance(rule, Flag):
            return {"true": True, "false": False}.get(text.lower(), content)
        if isinstance(rule, Real | Int | Steps):
            content = _parsed(text, content)
        elif isinstance(rule, Many):
            try:
                found = literal(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return content
            content = found if is_sequence(found) else content
    if isinstance(rule, Int) and isinstance(content, float) and content.is_integer():
        return int(content)
    if isinstance(rule, Many) and is_sequence(content):
        return tuple(number(rule.each, item) for item in content)
    return content


def _parsed(text: str, otherwise: Any) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return otherwise


def numbers(function: Callable[..., Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of a function, as `number` understands each by the annotation that it has there."""
    kinds = {name: parameter.annotation for name, parameter in signature_of(function).parameters.items()}
    rules = {name: rule_of(kind) or _PLAIN.get(kind) for name, kind in kinds.items()}
    return {name: number(rule, value) if (rule := rules.get(name)) else value for name, value in content.items()}


def argument_section(
    where: str,
    function: Callable[..., Any],
    given: Any,
    but: Collection[str] = (),
    aside: Collection[str] = (),
    neutral: Mapping[str, tuple[Any, ...]] | None = None,
    homes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a function that a section holds, which must hold nothing else.

    Args:
        where: what an error calls the section.
        function: what is called with them.
        given: the section; None for an empty one.
        but: arguments that do not stand there.
        aside: further names, which change nothing.
        neutral: as in `Section`.
        homes: as in `Section`.
    """
    known = [name for name, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD]
    known = [name for name in known if name not in but]
    what = f"arguments of {function.__name__}: {', '.join(known) or 'it has none'}"
    section = Section(where, what, known, aside, neutral or {}, homes or {}, strict=True)
    return numbers(function, section.taken(dictionary(where, {} if given is None else given)))


@dataclasses.dataclass(frozen=True)
class Section:
    """The names that may stand in one section of a configuration.

    Args:
        where: what an error calls the section.
        what: what it must hold, in words.
        read: the names that are read.
        aside: names that look like a schedule's and are about something else.
        neutral: values that leave the schedule as it is, by the names that have them.
        homes: where a name belongs that is written in a wrong place.
        strict: whether no other names may stand there at all.
        inside: names that are looked for in what is not read; None for those that are read.
    """

    where: str
    what: str
    read: Collection[str]
    aside: Collection[str] = ()
    neutral: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    homes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    strict: bool = False
    inside: Collection[str] | None = None

    def taken(self, content: Mapping[str, Any], some: bool = False) -> dict[str, Any]:
        """Return what is read, once nothing is left that looks like a schedule's.

        Args:
            content: the section.
            some: whether it must hold something that is read.

        Raises:
            TypeError: something is left; the message names it.
            ValueError: nothing is read, though `some` is; the message says where such names are.
        """
        found = {str(name): value for name, value in content.items() if name in self.read}
        rest = {name: value for name, value in content.items() if name not in found and not self._leaves(name, value)}
        wrong = [name for name, value in rest.items() if self.strict or self._looks_alike(name, value)]
        if some and not found and not wrong:
            self.nothing(content)
        inside = self.read if self.inside is None else self.inside
        deeper = [f"{path}.{leaf}" for path, leaf in islice(below(rest, inside), 3)]
        if wrong or deeper:
            self.refuse(*(str(name) for name in wrong), *deeper)
        return found

    def _looks_alike(self, name: Any, value: Any) -> bool:
        return value is not None and looks_alike(str(name), [*self.read, *self.homes])

    def _leaves(self, name: Any, value: Any) -> bool:
        """Return whether a name that is not read is known to leave the schedule as it is."""
        if name in self.neutral:
            if number(_PLAIN[int], value) in self.neutral[name]:
                return True
            values = " or ".join(map(repr, self.neutral[name]))
            raise ValueError(f"{self.where}[{name!r}] must be {values}, which changes nothing, got {short(value)}")
        return name in self.aside

    def refuse(self, *paths: str) -> NoReturn:
        """Raise the error about names that are not read."""
        leaf = paths[0].rpartition(".")[2]
        near = nearest(leaf, self.read)
        if leaf in self.homes:
            hint = f": {self.homes[leaf]}"
        elif near is None:
            hint = ""
        else:
            hint = f": {near!r} is read, {'at this level' if near == leaf else 'is that meant?'}"
        raise TypeError(f"{self.where} must hold {self.what}, got {', '.join(map(repr, paths))}{hint}")

    def nothing(self, content: Mapping[str, Any]) -> NoReturn:
        """Raise the error about a configuration in which nothing is recognised; it says where the names are."""
        places = dict.fromkeys(path for path, _ in below({"": content}, self.read))
        deeper = [path.lstrip(".") for path in places if path.strip(".")]
        hint = f": such names are under {', '.join(map(repr, deeper[:3]))}, give that" if deeper else ""
        got = f"only {', '.join(map(repr, list(content)[:8]))}" if content else "nothing"
        raise ValueError(f"{self.where} must hold {self.what}, got {got}{hint}")
