"""Arguments of another library's function, checked by their annotations."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from lrsched._core.check import Choice, Constraint, Flag, Int, Many, Real, short
from lrsched._curves.schedule import Node, Schedule
from lrsched.compat._tools.names import nearest

P = ParamSpec("P")
R = TypeVar("R")

# What most arguments are. Rates are finite and >= 0; a length is a number of updates >= 1, a count may be 0.
Rate = Annotated[float, Real(low=0.0)]
RateOrNone = Annotated[float | None, Real(low=0.0, optional=True)]
Positive = Annotated[float, Real(low=0.0, open_low=True)]
Fraction = Annotated[float, Real(low=0.0, high=1.0)]
Length = Annotated[int, Int(low=1)]
LengthOrNone = Annotated[int | None, Int(low=1, optional=True)]
Count = Annotated[int, Int(low=0)]
CountOrNone = Annotated[int | None, Int(low=0, optional=True)]
OnOff = Annotated[bool, Flag()]
Lengths = Annotated[Sequence[int], Many(Int(low=1))]
Rates = Annotated[Sequence[float], Many(Real(low=0.0))]
Part = Annotated[Schedule, Node()]
Parts = Annotated[Sequence[Schedule], Many(Node())]

__all__ = [
    "Choice",
    "Count",
    "CountOrNone",
    "Fraction",
    "Kind",
    "Length",
    "LengthOrNone",
    "Lengths",
    "Nothing",
    "OnOff",
    "Part",
    "Parts",
    "Positive",
    "Rate",
    "RateOrNone",
    "Rates",
    "arguments_of",
    "checked",
    "constraints_of",
    "must",
    "without_effect",
]


def constraints_of(function: Callable[..., Any]) -> dict[str, Constraint]:
    """Return the constraint of each annotated argument."""
    parameters = inspect.signature(function).parameters
    return {n: p.annotation.__metadata__[0] for n, p in parameters.items() if hasattr(p.annotation, "__metadata__")}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check and normalise each annotated argument of `function` before it runs.

    An annotation `Annotated[kind, constraint]` is checked by its constraint, defaults included. The errors name the
    function and the argument.
    """
    signature = inspect.signature(function)
    rules = constraints_of(function)

    @wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = _bound(function.__name__, signature, rules, args, kwargs)
        return function(*bound.args, **bound.kwargs)

    return build


def _bound(
    name: str,
    signature: inspect.Signature,
    rules: Mapping[str, Constraint],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> inspect.BoundArguments:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}() has {error}") from None
    bound.apply_defaults()
    for argument, rule in rules.items():
        bound.arguments[argument] = rule(f"{name}({argument}=...)", bound.arguments[argument])
    return bound


def arguments_of(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return all arguments with which a `checked` function would run, by name, without running it."""
    bound = _bound(function.__name__, inspect.signature(function), constraints_of(function), args, kwargs)
    return dict(bound.arguments)


def must(holds: bool, where: str, what: str, got: Any) -> None:
    """Raise a ValueError with the template of the house unless `holds`."""
    if not holds:
        raise ValueError(f"{where} must be {what}, got {got!r}")


@dataclass(frozen=True)
class Nothing:
    """None, and why nothing else."""

    why: str

    def __call__(self, where: str, value: Any) -> None:
        must(value is None, where, f"None ({self.why})", value)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (0, "text", True, [1])


@dataclass(frozen=True)
class Kind:
    """Whatever is of some types: a text, a list. None is no exception unless its type is among them."""

    kinds: tuple[type, ...]
    words: str

    def __call__(self, where: str, value: Any) -> Any:
        if not isinstance(value, self.kinds):
            raise TypeError(f"{where} must be {self.words}, got {short(value)}")
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (3, True, 0.5, b"text")


def without_effect(where: str, given: Mapping[str, Any], known: Collection[str] | Mapping[str, Constraint]) -> None:
    """Refuse arguments that are not known, or not known to leave the curve as it is.

    Where `known` is a mapping, each value is held to its constraint, too: what is wrong there is a mistake, or meant
    for another argument.
    """
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = "" if near is None else f": {near!r} is one, is that meant?"
            raise TypeError(f"{where}() got an unexpected argument {name!r}{hint}")
        if isinstance(known, Mapping):
            known[name](f"{where}({name}=...)", given[name])
