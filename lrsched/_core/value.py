"""What schedules, update rules, feedback rules and loss laws have in common: they are frozen values.

A value is a frozen dataclass whose fields are float, int, bool, str, None, other values and tuples of these. So it is
hashable and equal by content (one compiled trace for equal values), it pickles and copies, its `repr` is the text that
builds it again, and `lrsched._core.config` writes it as JSON. What follows from the fields and is used often stands in
further ones, `field(init=False)`, which `_check` sets; they are no part of the value.
"""

import inspect
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import Any, ClassVar, Self, dataclass_transform

from lrsched._core.check import check_fields, plain_signature
from lrsched._core.hints import helpful
from lrsched._core.offers import CLASSES, FIELDS, PICTURES

# Deep enough for any schedule a person writes; shallow enough that no walk over a value meets the recursion limit.
MAX_DEPTH = 64
# Characters of a value that a notebook keeps.
MAX_SHOWN = 2000

# Sets a field of a frozen value that is being built.
settle = object.__setattr__


class _Signature:
    """What `inspect.signature` of a class returns, made when it is asked for; an instance has that of its call."""

    def __get__(self, instance: object, cls: type[Any]) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        return plain_signature(inspect.signature(cls.__init__.__get__(cls)))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A frozen dataclass that is checked when built and prints as the text that builds it.

    A class that extends it is made one where it is defined: its fields are its annotations. A family of values
    (schedules, rules, ...) sets `kind` on its base class. A leaf is found by its name in `CLASSES[kind]`; no two
    families share a name, and nobody takes that of a class of this library.
    """

    kind: ClassVar[str] = ""
    # How many leading fields `repr` writes without their names.
    positional: ClassVar[int] = 1
    # What a class that extends it must define before it has values.
    _missing: ClassVar[tuple[str, ...]] = ()
    # The fields that the constructor takes.
    _arguments: ClassVar[tuple[Field[Any], ...]] = ()
    __signature__ = _Signature()

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        """Make the class a frozen dataclass, and register it under its name unless it is abstract."""
        super().__init_subclass__(**kwargs)
        # eq=False: comparing and hashing by content stand here once, not in generated code in each class.
        made: Any = dataclass(frozen=True, repr=False, eq=False)(cls)
        made.__init__ = helpful(made.__init__, cls)
        # What follows from the others is no part of the value: `dataclasses.fields` and `asdict` do not tell it.
        made.__dataclass_fields__ = {name: f for name, f in made.__dataclass_fields__.items() if f.init}
        cls._arguments, cls._missing = fields(made), _abstract(cls)
        if cls.kind and not abstract and not cls.__name__.startswith("_"):
            known = find(cls.__name__)
            if known is not None and (known.kind != cls.kind or (_is_ours(known) and not _is_ours(cls))):
                raise TypeError(f"{cls.__name__} is already the name of a {known.kind}")
            CLASSES.setdefault(cls.kind, {})[cls.__name__] = cls

    def __post_init__(self) -> None:
        """Check and normalise the fields, then what holds between them."""
        if self._missing:
            raise TypeError(f"{type(self).__name__} must be extended by a class with {', '.join(self._missing)}")
        check_fields(self)
        self._check()
        if (depth := self._levels()) > 1:
            if depth > MAX_DEPTH:
                raise ValueError(f"{type(self).__name__} must not nest deeper than {MAX_DEPTH} levels, got {depth}")
            settle(self, "_depth", depth)

    _depth: int = 1

    def _levels(self) -> int:
        """Return how many values stand in each other at most, this one included."""
        return 1 + max([child._depth for child in children(self)], default=0)

    def _check(self) -> None:
        """Raise if the fields do not fit together."""

    def _fields(self) -> tuple[Any, ...]:
        return tuple([getattr(self, f.name) for f in self._arguments])

    def __eq__(self, other: object) -> bool:
        """Equal by content: the same class and equal fields."""
        return self._fields() == other._fields() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self).__name__, *self._fields()))

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        """Pickle as the constructor call, so that caches stay behind and the checks run again."""
        return type(self), self._fields()

    def __repr__(self) -> str:
        """Return the text that builds this value: `eval(repr(s)) == s`."""
        told = [(f.name, f.default, getattr(self, f.name)) for f in self._arguments]
        return call_text(type(self).__name__, told, self.positional)

    # What those who write a class of values need, and those who have one do not.
    _hidden: ClassVar[frozenset[str]] = frozenset({"kind", "positional", "advice"})

    def __dir__(self) -> list[str]:
        """Return what completion offers: the fields and what one does with the value."""
        own = {f.name for f in self._arguments}
        return [name for name in super().__dir__() if name in own or name not in self._hidden]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """Let models of pydantic have fields of this class: read from text or a configuration, and saved as text."""
        read, write = FIELDS
        reader = {"type": "no-info", "function": partial(read, cls)}
        writer = {"type": "function-plain", "function": write, "return_schema": {"type": "str"}}
        return {"type": "function-plain", "function": reader, "serialization": writer}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "title": cls.__name__, "description": f"the text of a {cls.kind} of lrsched"}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Print the same text in IPython and Hypothesis, which would list fields that are not part of the value."""
        printer.text(repr(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Return what a notebook shows: the text, and a picture where one is offered for the family."""
        picture = PICTURES.get(self.kind)
        return {"text/plain": shown(self)} if picture is None else picture(self)

    def _repr_html_(self) -> str | None:
        """Return the same picture for tools that ask for HTML alone, or None."""
        return self._repr_mimebundle_().get("text/html")


def shown(item: Value) -> str:
    """Return what a notebook shows of the text of a value: all of it, unless it is very long."""
    text = repr(item)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def call_text(name: str, arguments: Iterable[tuple[str, Any, Any]], positional: int) -> str:
    """Return the text of a call.

    Args:
        name: what is called.
        arguments: name, default and content of each; one that is its default is left out.
        positional: how many leading ones are written without their names.
    """
    parts = []
    named = False
    for i, (argument, default, content) in enumerate(arguments):
        if (default is not None and content == default) or default is content:
            named = True
            continue
        named = named or i >= positional
        parts.append(f"{argument}={content!r}" if named else repr(content))
    return f"{name}({', '.join(parts)})"


def _abstract(cls: type[Any]) -> tuple[str, ...]:
    found = {name: item for base in reversed(cls.__mro__) for name, item in vars(base).items()}
    return tuple(sorted(name for name, item in found.items() if getattr(item, "__isabstractmethod__", False)))


def _is_ours(cls: type[Any]) -> bool:
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def children(item: Value) -> list[Value]:
    """Return the values that stand directly in the fields of `item`."""
    found: list[Value] = []
    for content in item._fields():
        if isinstance(content, Value):
            found.append(content)
        elif isinstance(content, tuple):
            found += [part for part in content if isinstance(part, Value)]
    return found


def find(name: str) -> type[Any] | None:
    """Return the class of that name in any family, or None."""
    families = list(CLASSES.values())  # an import in another thread may add one
    return next((family[name] for family in families if name in family), None)
