"""Calls as data: what a public function takes stands in its annotations, and one place checks it.

A function writes `steps: Annotated[int, Int(low=1)]`, or one of the names below, and is `checked`: so all errors have
one template. Values check their fields by `lrsched._core.check` in the same way. The adapters take their checks here.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar, Unpack, cast, get_args, get_origin

from numpy.typing import ArrayLike

from lrsched._core.check import (
    Choice,
    Constraint,
    Flag,
    Int,
    Many,
    OneOf,
    OrNone,
    Real,
    Row,
    instead,
    meant,
    plain_signature,
    short,
)
from lrsched._core.hints import example
from lrsched._core.names import nearest

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
Text = Annotated[str, OneOf(str, "a text")]
TextOrNone = Annotated[str | None, OrNone(OneOf(str, "a text"))]
OnOffOrNone = Annotated[bool | None, OrNone(Flag())]
Numbers = Annotated[ArrayLike, Row()]
Function = Annotated[Callable[..., Any], OneOf(cast(type, Callable), "a function")]
Lengths = Annotated[Sequence[int], Many(Int(low=1))]
Rates = Annotated[Sequence[float], Many(Real(low=0.0))]

__all__ = [
    "Choice",
    "Count",
    "CountOrNone",
    "Default",
    "Fraction",
    "Function",
    "Int",
    "Length",
    "LengthOrNone",
    "Lengths",
    "Many",
    "Nothing",
    "Numbers",
    "OnOff",
    "OnOffOrNone",
    "OneOf",
    "OrNone",
    "Positive",
    "PositiveOrNone",
    "Rate",
    "RateOrNone",
    "Rates",
    "Real",
    "Text",
    "TextOrNone",
    "arguments_of",
    "checked",
    "constraints_of",
    "instead",
    "meant",
    "must",
    "rule_of",
    "short",
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
    return _constraints(signature_of(function))


def _constraints(signature: inspect.Signature) -> dict[str, Constraint]:
    found = {name: rule_of(p.annotation) for name, p in signature.parameters.items()}
    return {name: rule for name, rule in found.items() if rule is not None}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check and normalise each annotated argument of `function` before it runs.

    An annotation `Annotated[kind, constraint]` is checked by its constraint, defaults included. The errors name the
    function and the argument. What is refused only in its body, because arguments do not fit together, is told with all
    of them. The signature shows types only, and groups of arguments spelt out.
    """
    signature, name = signature_of(function), called(function)
    bind = _binder(function, signature)

    @wraps(function)
    def build(*args: P.args, **kwargs: P.kwargs) -> R:
        given = bind(args, kwargs)
        try:
            return function(**given)  # type: ignore[call-arg]  # the same arguments, checked
        except (TypeError, ValueError) as error:
            said = vars(error).get("said", str(error))  # without the call of ours that told of it first
            if type(error) not in (TypeError, ValueError) or f"{name}(" in said:
                raise
            told = type(error)(f"{_written(function, args, kwargs)}: {said}")
            vars(told)["said"] = said
            raise told from error

    vars(build)["__signature__"] = plain_signature(signature)
    return build


def _binder(
    function: Callable[..., Any], signature: inspect.Signature
) -> Callable[[Sequence[Any], Mapping[str, Any]], dict[str, Any]]:
    """Return what turns the arguments of a call into those with which the function runs."""
    name, parameters = called(function), signature.parameters
    rules = {argument: (rule, f"{name}({argument}=...)") for argument, rule in _constraints(signature).items()}
    rest = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    known = {key: rule_of(annotation) for key, annotation in _group(rest)[1].items()} if rest else {}
    named = [p.name for p in parameters.values() if p is not rest]
    places = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    defaults = {p.name: p.default for p in parameters.values() if p.default is not p.empty}
    needed = [argument for argument in named if argument not in defaults]

    def bind(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(zip(places, args, strict=False))
        if len(args) > len(places):
            most = f"at most {len(places)} ({', '.join(places)})" if places else "none"
            raise TypeError(f"{name}() has too many positional arguments: it takes {most}, got {len(args)}")
        more = {key: value for key, value in kwargs.items() if key not in named}
        for argument in kwargs:
            if argument in given:
                raise TypeError(f"{name}() got two values for the argument {argument!r}")
        if more and rest is None:
            without_effect(name, more, named, "keyword argument")
        given = {**defaults, **given, **kwargs}
        for argument in needed:
            if argument not in given:
                such = example(name, signature)
                told = f"; for example {such}" if such else ""
                raise TypeError(
                    f"{name}() is missing a required argument: {argument!r}: it takes {', '.join(named)}{told}"
                )
        for argument, (rule, where) in rules.items():
            given[argument] = rule(where, given[argument])
        if known:
            without_effect(name, more, known)
        return given

    return bind


def _written(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return a call as it was written, or with the names of its arguments alone if that is long."""
    given = {**dict(zip(inspect.signature(function).parameters, args, strict=False)), **kwargs}
    shown = {key: short(value) for key, value in given.items() if key not in ("self", "cls")}
    if sum(map(len, shown.values())) > 200:
        shown = dict.fromkeys(shown, "...")
    return f"{called(function)}({', '.join(f'{key}={value}' for key, value in shown.items())})"


def called(function: Callable[..., Any]) -> str:
    """Return what messages call a function: `wsd`, `ReturnModel.forecast`, and a class where it is built."""
    return function.__qualname__.rpartition("<locals>.")[2].removesuffix(".__init__")


def arguments_of(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Return all arguments with which a `checked` function would run, by name, without running it."""
    return (
        inspect.signature(inspect.unwrap(function))
        .bind(**_binder(function, signature_of(function))(args, kwargs))
        .arguments
    )


def must(holds: bool, where: str, what: str, got: Any) -> None:
    """Raise a ValueError with the template of the house unless `holds`."""
    if not holds:
        raise ValueError(f"{where} must be {what}, got {short(got)}")


@dataclass(frozen=True)
class Nothing:
    """None, or what else turns something off, and why nothing else."""

    why: str = ""
    off: Any = None

    def __call__(self, where: str, value: Any) -> Any:
        """Raise an error that names `where` unless the value is that one."""
        must(value is self.off, where, f"{self.off!r} ({self.why})" if self.why else repr(self.off), value)
        return self.off

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (0, "text", True, [1])


def without_effect(
    where: str,
    given: Mapping[str, Any],
    known: Collection[str] | Mapping[str, Constraint | None],
    noun: str = "argument",
) -> None:
    """Refuse arguments that are not known, or not known to leave the curve as it is.

    Where `known` is a mapping, each value is held to its constraint, too: what is wrong there is a mistake, or meant
    for another argument.
    """
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"it takes {', '.join(known) or 'none'}" if near is None else f"{near!r} is one, is that meant?"
            raise TypeError(f"{where}() got an unexpected {noun} {name!r}: {hint}")
        rule = known[name] if isinstance(known, Mapping) else None
        if rule is not None:
            rule(f"{where}({name}=...)", given[name])
