"""Argument checks as data: a constraint stands in the annotation of a field.

A frozen dataclass writes `steps: Annotated[int, Int(low=1)]` and calls `check_fields(self)` once it is built. The
same data yields wrong values for the tests (`wrong()`), so no constraint goes untested.

Every error has one template: where, what must hold, what came. A value of the wrong kind is a `TypeError`, a wrong
value of the right kind a `ValueError`.
"""

import contextlib
import inspect
import math
import numbers
import operator
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from lrsched._core.units import quantity

# Float64 counts exactly to here; a longer schedule could not be evaluated exactly.
MAX_STEPS = 2**53
# No integer step of an array is larger.
HORIZON = 2.0**64
LARGEST = sys.float_info.max
LOG_LARGEST = math.log(LARGEST)


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Admits(Protocol[T_co]):
    """What a field must satisfy, and how its value is normalised."""

    def __call__(self, where: str, value: Any) -> T_co:
        """Return the normalised value or raise, naming `where`."""

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""


Constraint = Admits[Any]

_BOOL = bool | np.bool_
_REAL = numbers.Real | np.floating | np.integer
# What most values are is found by their type alone.
_PLAIN = (float, int)


def short(content: object) -> str:
    """Return the repr of anything, cut to 80 characters: what an error message shows."""
    try:
        text = repr(content)
    except (RecursionError, ValueError):  # ValueError: an int too large to print
        text = f"a {type(content).__name__} too large to print"
    text = text if len(text) <= 80 else text[:77] + "..."
    return text + getattr(type(content), "advice", "")


def meant(content: Any) -> Any:
    """Return the value that OmegaConf, and so Hydra, keeps as a configuration of its class; anything else as it is."""
    if type(content).__module__ != "omegaconf.dictconfig":
        return content
    read = sys.modules["omegaconf"].OmegaConf
    return content if read.get_type(content) in (dict, None) else read.to_object(content)


_CALL = re.compile(r"\s*[A-Za-z][\w.]*\(.*\)\s*", re.DOTALL)


def instead(content: Any) -> str:
    """Return what an error adds where something only says which value it means: what to write."""
    if isinstance(content, Mapping):
        known = {"_target_": "hydra.utils.instantiate(config)", "format": "lrsched.from_config(config)"}
        written = next((call for key, call in known.items() if key in content), "")
    else:
        written = "parse(text)" if isinstance(content, str) and _CALL.fullmatch(content) else ""
    return written and f"; {written} builds what it says"


def is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    """Return whether a value is a sequence of items: a list, a tuple, a range, one of another library; no text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _is_row(value: Any) -> bool:
    """Return whether a value is an array of one axis, of any library."""
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and len(shape) == 1 and hasattr(value, "__array__")


def plain(value: Any) -> Any:
    """Return the number that a NumPy scalar or an array without axes holds; anything else as it is."""
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # a tracer has no number yet
            return value.item()
    return value


def _fail(kind: type[Exception], where: str, must: str, value: Any) -> Exception:
    hint = ""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            if must.startswith("an int") and quantity(value):
                hint = f"; Budget(steps=...)({value!r}) is a number of updates, and parse(text) reads units in a text"
        else:
            hint = " (a text: YAML reads 1e-3 as text, write 1.0e-3)"
    return kind(f"{where} must be {must}, got {short(value)}{hint}")


@dataclass(frozen=True)
class Real:
    """A finite float between `low` and `high`; a bound that is `open` is excluded."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def _must(self) -> str:
        parts = []
        if self.low > -math.inf:
            parts.append(f"{'>' if self.open_low else '>='} {self.low:g}")
        if self.high < math.inf:
            parts.append(f"{'<' if self.open_high else '<='} {self.high:g}")
        return " ".join(["a finite number", " and ".join(parts)]).strip()

    def __call__(self, where: str, value: Any) -> float:
        given = value if type(value) in _PLAIN else plain(value)
        if type(given) not in _PLAIN and (isinstance(given, _BOOL) or not isinstance(given, _REAL)):
            raise _fail(TypeError, where, self._must(), value)
        try:
            number = float(given)
        except OverflowError:
            raise _fail(ValueError, where, self._must(), value) from None
        low_ok = number > self.low if self.open_low else number >= self.low
        high_ok = number < self.high if self.open_high else number <= self.high
        if not (math.isfinite(number) and low_ok and high_ok):
            raise _fail(ValueError, where, self._must(), value)
        return number or 0.0  # -0.0 equals 0.0 but prints another text

    def many(self, values: Sequence[Any]) -> tuple[float, ...] | None:
        """Return many plain numbers as floats if all are admitted: what the call does of each, at once."""
        if len(values) < 100 or not {*map(type, values)} <= {int, float}:
            return None
        try:
            array = np.array(values, dtype=np.float64) + 0.0
        except OverflowError:
            return None
        low_ok = array > self.low if self.open_low else array >= self.low
        high_ok = array < self.high if self.open_high else array <= self.high
        return tuple(array.tolist()) if (np.isfinite(array) & low_ok & high_ok).all() else None

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("0.1", [0.1], None, True, 1j, math.nan, math.inf, -math.inf, 10**400)
        if self.low > -math.inf:
            yield self.low if self.open_low else math.nextafter(self.low, -math.inf)
            yield self.low - 1.0
        if self.high < math.inf:
            yield self.high if self.open_high else math.nextafter(self.high, math.inf)


@dataclass(frozen=True)
class Int:
    """An int between `low` and `high`; whole floats are taken, as `1e4` is written for 10,000, bools are not."""

    low: int = 0
    high: int = MAX_STEPS

    def _must(self) -> str:
        return f"an int >= {self.low} and <= {'2**53' if self.high == MAX_STEPS else self.high}"

    def __call__(self, where: str, value: Any) -> int:
        number = value if type(value) is int else plain(value)
        if isinstance(number, float | np.floating) and number.is_integer():
            number = int(number)
        if type(number) is not int and (isinstance(number, _BOOL) or not isinstance(number, int)):
            raise _fail(TypeError, where, self._must(), value)
        if not self.low <= number <= self.high:
            raise _fail(ValueError, where, self._must(), value)
        return int(number)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("3", [3], None, True, 3.5, math.nan, math.inf, self.low - 1, self.high + 1)


@dataclass(frozen=True)
class Steps:
    """A number of steps that need not be whole, from `low` to 2**53; a whole one becomes an int."""

    low: float = 0.0

    def __call__(self, where: str, value: Any) -> int | float:
        number = Real(low=self.low, high=float(MAX_STEPS))(where, value)
        return int(value) if number == int(value) else number

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from Real(low=self.low, high=float(MAX_STEPS)).wrong()


@dataclass(frozen=True)
class OrNone(Generic[T]):
    """None, or what another constraint admits."""

    rule: Admits[T]

    def __call__(self, where: str, value: Any) -> T | None:
        try:
            return None if value is None else self.rule(where, value)
        except (TypeError, ValueError) as error:
            # By the template, what must hold ends where what came begins.
            raise type(error)(str(error).replace(", got ", " or None, got ", 1)) from None

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (value for value in self.rule.wrong() if value is not None)


@dataclass(frozen=True)
class Flag:
    """True or False, nothing that merely looks like it."""

    # What None stands for, if it may be given.
    default: bool | None = None

    def __call__(self, where: str, value: Any) -> bool:
        if value is None and self.default is not None:
            return self.default
        if not isinstance(value, _BOOL):
            raise _fail(TypeError, where, "True or False", value)
        return bool(value)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("yes", 1, 0.0, [True])
        if self.default is None:
            yield None


@dataclass(frozen=True)
class Choice:
    """One of a few names."""

    options: tuple[str, ...]

    def __call__(self, where: str, value: Any) -> str:
        must = "one of " + ", ".join(map(repr, self.options))
        if not isinstance(value, str):
            raise _fail(TypeError, where, must, value)
        if value not in self.options:
            raise _fail(ValueError, where, must, value)
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("no such name", 3, None, b"bytes", ["linear"])


@dataclass(frozen=True)
class OneOf:
    """A value of a family of types, and what an error calls it."""

    family: type | tuple[type, ...]
    noun: str

    def __call__(self, where: str, value: Any) -> Any:
        value = value if isinstance(value, self.family) else meant(value)
        if not isinstance(value, self.family):
            raise TypeError(f"{where} must be {self.noun}, got {short(value)}{instead(value)}")
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        some: tuple[Any, ...] = (None, 3, 0.1, True, "Adam()", b"text", [], self.family)
        yield from (value for value in some if not isinstance(value, self.family))


@dataclass(frozen=True)
class Many:
    """A tuple of at least `least` items, each of which satisfies `each`; sequences and 1-D arrays become tuples."""

    each: Constraint
    least: int = 1

    def __call__(self, where: str, value: Any) -> tuple[Any, ...]:
        must = f"a sequence of {self.least} or more items"
        if type(value) is not tuple and type(value) is not list:
            if _is_row(value):
                value = np.asarray(value).tolist()
            if not is_sequence(value):
                raise _fail(TypeError, where, must, value)
            value = [*value]
        if len(value) < self.least:
            raise _fail(ValueError, where, must, value)
        each = self.each
        if isinstance(each, Real) and (floats := each.many(value)) is not None:
            return floats
        try:
            return tuple([each(where, item) for item in value])
        except (TypeError, ValueError):  # only now is it worth counting: which item was it?
            return tuple([each(f"{where}[{i}]", item) for i, item in enumerate(value)])

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("text", b"bytes", 3, None, {"a": 1}, {1.0, 2.0})
        if self.least:
            yield ()
        for item in self.each.wrong():
            yield [item] * max(self.least, 1)


@dataclass(frozen=True)
class Items:
    """A tuple of as many items as there are constraints, each of which satisfies its own; lists become tuples."""

    each: tuple[Constraint, ...]
    noun: str

    def __call__(self, where: str, value: Any) -> tuple[Any, ...]:
        if not is_sequence(value) or len(value) != len(self.each):
            raise _fail(TypeError, where, self.noun, value)
        return tuple(rule(f"{where}[{i}]", item) for i, (rule, item) in enumerate(zip(self.each, value, strict=True)))

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("text", 3, None, {}, ())


@dataclass(frozen=True)
class Pairs:
    """A mapping whose keys satisfy `key` and whose values satisfy `each`; a dictionary in the order of the keys."""

    key: Constraint
    each: Constraint

    def __call__(self, where: str, value: Any) -> dict[Any, Any]:
        if not isinstance(value, Mapping):
            raise _fail(TypeError, where, "a dictionary", value)
        checked = {self.key(where, key): self.each(f"{where}[{key!r}]", item) for key, item in value.items()}
        return dict(sorted(checked.items()))

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("text", 3, None, [(1, 2)], {None: 1})
        yield from ({1: item} for item in self.each.wrong())


@dataclass(frozen=True)
class Row:
    """A row of `least` or more numbers: a sequence or an array of one axis, of any library; a float64 array."""

    least: int = 1

    def __call__(self, where: str, value: Any) -> NDArray[np.float64]:
        must = f"a row of {self.least} or more numbers"
        try:
            found = np.asarray(value)
            if isinstance(value, str | bytes) or found.dtype.kind in "bcOSUmM":
                raise TypeError("no numbers")
            row = found.astype(np.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):  # RuntimeError: a tensor that wants its gradient
            raise _fail(TypeError, where, must, value) from None
        if row.ndim != 1 or row.size < self.least:
            raise _fail(ValueError, where, must, value)
        return row

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("text", b"bytes", 3, None, {"a": 1}, [None], ["0.1"], [1j], [[0.1]], np.zeros(3, dtype=bool))
        if self.least:
            yield ()


@dataclass(frozen=True)
class OneOrMany:
    """One item that satisfies `each`, or a sequence of up to `most` of them; a tuple either way."""

    each: Constraint
    most: int

    def __call__(self, where: str, value: Any) -> tuple[Any, ...]:
        if not is_sequence(value) and not _is_row(value):
            return (self.each(where, value),)
        if not 1 <= len(value) <= self.most:
            raise ValueError(f"{where} must be one, or a sequence of 1 to {self.most}, got {len(value)}")
        return Many(self.each)(where, value)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from Many(self.each).wrong()


_PLANS: dict[type, tuple[tuple[str, str, Constraint], ...]] = {}


def constraints(cls: type) -> tuple[tuple[str, str, Constraint], ...]:
    """Return `(field, where, constraint)` for each annotated field of the dataclass `cls`."""
    plan = _PLANS.get(cls)
    if plan is None:
        kinds = _annotations(cls)
        plan = tuple((f.name, f"{cls.__name__}({f.name}=...)", constraint_of(kinds[f.name])) for f in fields(cls))
        _PLANS[cls] = plan
    return plan


def _annotations(cls: type) -> dict[str, Any]:
    """Return the annotation of each field; under `from __future__ import annotations` they are texts."""
    kinds = {f.name: f.type for f in fields(cls)}
    if any(isinstance(kind, str) for kind in kinds.values()):
        kinds.update(get_type_hints(cls, include_extras=True))
    return kinds


def constraint_of(annotation: Any) -> Constraint:
    """Return the constraint that an annotation holds, or what one without demands.

    Examples:
        >>> constraint_of(tuple[float, ...])("rates", [1, 2])
        (1.0, 2.0)
    """
    if hasattr(annotation, "__metadata__"):
        told = [item for item in annotation.__metadata__ if hasattr(item, "wrong")]
        return told[0] if told else constraint_of(annotation.__origin__)
    inner = get_args(annotation)
    if len(inner) == 2 and inner[1] is type(None):
        return OrNone(constraint_of(inner[0]))
    if get_origin(annotation) is tuple and inner[1:] == (...,):
        return Many(constraint_of(inner[0]), least=0)
    return _BY_TYPE.get(annotation, Lasting())


@dataclass(frozen=True)
class Lasting:
    """Anything that is hashable, as what does not change is."""

    def __call__(self, where: str, value: Any) -> Any:
        try:
            hash(value)
        except TypeError:
            raise _fail(TypeError, where, "hashable, such as a tuple in place of a list", value) from None
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ([1], {1: 2}, {3})


_BY_TYPE: dict[Any, Constraint] = {float: Real(), int: Int(-MAX_STEPS), bool: Flag(), str: OneOf(str, "a text")}


def check_fields(instance: object) -> None:
    """Check and normalise each annotated field of a frozen dataclass instance, in place.

    Raises:
        TypeError: a field holds a value of the wrong kind.
        ValueError: a field holds a value outside its range.
    """
    for name, where, constraint in constraints(type(instance)):
        value = getattr(instance, name)
        new = constraint(where, value)
        if new is not value:
            object.__setattr__(instance, name, new)


def plain_signature(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature whose annotations are types only: `float` for `Annotated[float, Real()]`."""
    parameters = signature.parameters.values()
    plain = [p.replace(annotation=_plain(p.annotation)) for p in parameters]
    return signature.replace(parameters=plain)


def _plain(annotation: Any) -> Any:
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is Union:
        return reduce(operator.or_, map(_plain, get_args(annotation)))
    return annotation
