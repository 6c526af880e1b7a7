"""Arguments of another library's function, checked by their annotations."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar, Unpack, get_args, get_origin

from lrsched._core.check import Constraint, Flag, Int, Many, OrNone, Real, plain_signature
from lrsched._curves import Complete, Schedule
from lrsched.compat._tools.names import nearest

P = ParamSpec("P")
R = TypeVar("R")

# What most arguments are. Rates are finite and >= 0; a length is a number of updates >= 1, a count may be 0.
Rate = Annotated[float, Real(low=0.0)]
RateOrNone = Annotated[float | None, OrNone(Real(low=0.0))]
Positive = Annotated[float, Real(low=0.0, open_low=True)]
PositiveOrNone = Annotated[float | None, OrNone(Real(low=0.0, open_low=True))]
Fraction = Annotated[float, Real(low=0.0, high=1.0)]
Length = Annotated[int, Int(low=1)]
LengthOrNone = Annotated[int | None, OrNone(Int(low=1))]
Count = Annotated[int, Int(low=0)]
CountOrNone = Annotated[int | None, OrNone(Int(low=0))]
OnOff = Annotated[bool, Flag()]
Lengths = Annotated[Sequence[int], Many(Int(low=1))]
Rates = Annotated[Sequence[float], Many(Real(low=0.0))]
Part = Annotated[Schedule, Complete()]
Parts = Annotated[Sequence[Schedule], Many(Complete())]

__all__ = [
    "Count",
    "CountOrNone",
    "Default",
    "Fraction",
    "Length",
    "LengthOrNone",
    "Lengths",
    "Nothing",
    "OnOff",
    "Part",
    "Parts",
    "Positive",
    "PositiveOrNone",
    "Rate",
    "RateOrNone",
    "Rates",
    "arguments_of",
    "checked",
    "constraints_of",
    "must",
    "rule_of",
    "signature_of",
    "without_effect",
]


@dataclass(frozen=True)
class Default:
    """What an argument of a group is where it is not given."""

    value: Any


def rule_of(annotation: Any) -> Constraint | None:
    """Return the constraint in an annotation, if there is one."""
    said = getattr(annotation, "__metadata__", (None,))[0]
    return None if isinstance(said, Default) else said


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function, constraints included, in which groups of arguments are spelt out.

    A group is a `TypedDict`, taken by `**name: Unpack[Group]`. Those of its arguments that have a `Default` are listed;
    the others stay in `**name`.
    """
    signature = inspect.signature(inspect.unwrap(function))
    listed: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        defaults, rest = _group(parameter)
        for name, annotation in defaults.items():
            default = annotation.__metadata__[-1].value
            listed.append(parameter.replace(name=name, kind=_BY_NAME, default=default, annotation=annotation))
        if rest or not defaults:
            listed.append(parameter)
    return signature.replace(parameters=listed)


_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def _group(parameter: inspect.Parameter) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the annotations of the arguments that `**name: Unpack[Group]` takes: with a default, and without one."""
    grouped = get_origin(parameter.annotation) is Unpack
    group = get_args(parameter.annotation)[0].__annotations__ if grouped else {}
    with_default = {n: a for n, a in group.items() if isinstance(getattr(a, "__metadata__", (None,))[-1], Default)}
    return with_default, {n: a for n, a in group.items() if n not in with_default}


def constraints_of(function: Callable[..., Any]) -> dict[str, Constraint]:
    """Return the constraint of each annotated argument."""
    found = {name: rule_of(p.annotation) for name, p in signature_of(function).parameters.items()}
    return {name: rule for name, rule in found.items() if rule is not None}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check and normalise each annotated argument of `function` before it runs.

    An annotation `Annotated[kind, constraint]` is checked by its constraint, defaults included. The errors name the
    function and the argument. The signature shows types only, and groups of arguments spelt out.
    """
    bind = _binder(function)

    @wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = bind(args, kwargs)
        return function(*bound.args, **bound.kwargs)

    vars(build)["__signature__"] = plain_signature(signature_of(function))
    return build


def _binder(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], inspect.BoundArguments]:
    """Return what turns the arguments of a call into those with which the function runs."""
    name, signature, rules = function.__name__, signature_of(function), constraints_of(function)
    rests = {
        argument: {key: rule_of(annotation) for key, annotation in rest.items()}
        for argument, parameter in signature.parameters.items()
        if (rest := _group(parameter)[1])
    }

    def bind(args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}() has {error}") from None
        bound.apply_defaults()
        for argument, rule in rules.items():
            bound.arguments[argument] = rule(f"{name}({argument}=...)", bound.arguments[argument])
        for argument, known in rests.items():
            without_effect(name, bound.arguments[argument], known)
        return bound

    return bind


def arguments_of(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return all arguments with which a `checked` function would run, by name, without running it."""
    bound = _binder(function)(args, kwargs)
    return inspect.signature(inspect.unwrap(function)).bind(*bound.args, **bound.kwargs).arguments


def must(holds: bool, where: str, what: str, got: Any) -> None:
    """Raise a ValueError with the template of the house unless `holds`."""
    if not holds:
        raise ValueError(f"{where} must be {what}, got {got!r}")


@dataclass(frozen=True)
class Nothing:
    """None, and why nothing else."""

    why: str = ""

    def __call__(self, where: str, value: Any) -> None:
        must(value is None, where, f"None ({self.why})" if self.why else "None", value)

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (0, "text", True, [1])


def without_effect(
    where: str, given: Mapping[str, Any], known: Collection[str] | Mapping[str, Constraint | None]
) -> None:
    """Refuse arguments that are not known, or not known to leave the curve as it is.

    Where `known` is a mapping, each value is held to its constraint, too: what is wrong there is a mistake, or meant
    for another argument.
    """
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = "" if near is None else f": {near!r} is one, is that meant?"
            raise TypeError(f"{where}() got an unexpected argument {name!r}{hint}")
        rule = known[name] if isinstance(known, Mapping) else None
        if rule is not None:
            rule(f"{where}({name}=...)", given[name])
