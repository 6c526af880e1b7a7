"""Wrong calls of all that is public: each argument of each callable replaced in turn, and the errors judged.

`callables` finds what a package exports: functions, classes, and the methods of these that users call. `calls` starts
from a valid call, which stands in the samples of the tests, in the examples of the docstring, or in a table; what has
none of these is reported. `wrong` makes the wrong values of an argument from its constraint and its annotation.
`judged` says what is the matter with what came of one: an error of another kind, a message without the function, the
argument, what must hold or what came, or no error at all.
"""

import ast
import doctest
import importlib
import inspect
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from lrsched._core.check import constraints
from lrsched._core.value import Value
from lrsched.arguments import constraints_of

HUGE = 2**1100


class Strange:
    """A class of which no argument knows."""

    def __repr__(self) -> str:
        return "Strange()"


@dataclass(frozen=True)
class Public:
    """What a package exports.

    Args:
        package: its name.
        path: its own name, or those of a class and its method.
        item: the function or the class.
        owner: the class of a method.
    """

    package: str
    path: str
    item: Any = field(compare=False)
    owner: type | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return f"{self.package}.{self.path}"

    @property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.item)


@dataclass
class Call:
    """A valid call: what is called with which arguments, by name."""

    target: Callable[..., Any]
    arguments: dict[str, Any]

    def run(self, signature: inspect.Signature, arguments: Mapping[str, Any]) -> Any:
        args: list[Any] = []
        named = dict(arguments)
        for p in signature.parameters.values():
            if p.kind is p.POSITIONAL_ONLY and p.name in named:
                args.append(named.pop(p.name))
            elif p.kind is p.VAR_POSITIONAL:
                args += named.pop(p.name, ())
            elif p.kind is p.VAR_KEYWORD:
                named.update(named.pop(p.name, {}))
        return self.target(*args, **named)


# What a rule, a curve or a law is asked by the engines, in arguments that users do not make: the space, the context.
ENGINE = {"Space", "Context", "Full", "Scalars", "ScalarArrays", "Ops"}


def callables(package: str) -> Iterator[Public]:
    """Yield the functions and classes that a package exports, and the methods of these that are ours."""
    module = importlib.import_module(package)
    for name in module.__all__:
        item = getattr(module, name)
        if isinstance(item, ModuleType):
            continue
        yield Public(package, name, item)
        if isinstance(item, type):
            for method, function in methods(item, {vars(module).get(name) for name in module.__all__}):
                yield Public(package, f"{name}.{method}", function, item)


def methods(cls: type, exported: Collection[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public methods that a class defines, or inherits from one of ours that is not exported itself."""
    for name in dir(cls):
        home = next(base for base in cls.__mro__ if name in vars(base))
        found = vars(home)[name]
        ours = (
            not name.startswith("_") and home.__module__.startswith("lrsched") and (home is cls or home not in exported)
        )
        if ours and (inspect.isroutine(found) or isinstance(found, staticmethod | classmethod)):
            yield name, getattr(cls, name)


def rules_of(public: Public) -> dict[str, Any]:
    """Return the constraints that a callable declares, by argument."""
    if isinstance(public.item, type) and issubclass(public.item, Value):
        return {name: rule for name, _, rule in constraints(public.item)}
    function = public.item.__init__ if isinstance(public.item, type) else public.item
    return constraints_of(function) if inspect.isroutine(inspect.unwrap(function)) else {}


# Valid calls


def examples(public: Public) -> Iterator[Call]:
    """Yield the calls of a callable in the examples of its docstring, and of the module that it is in."""
    own = public.path.rpartition(".")[2]
    documented = [public.item, public.owner]
    for item in filter(None, documented):
        yield from _examples(item, own, method=public.owner is not None)


def _examples(item: Any, own: str, method: bool) -> Iterator[Call]:
    module = importlib.import_module(inspect.unwrap(item).__module__) if hasattr(item, "__module__") else None
    home = inspect.getmodule(inspect.unwrap(item)) or module
    names = dict(vars(home)) if home else {}
    for example in doctest.DocTestParser().get_examples(inspect.getdoc(item) or ""):
        tree = ast.parse(example.source)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) != own:
                continue
            if method and not isinstance(called, ast.Attribute):
                continue
            try:
                target = _value(called, names)
                args = [_value(a, names) for a in node.args]
                named = {k.arg: _value(k.value, names) for k in node.keywords}
                bound = inspect.signature(target).bind(*args, **named)
            except Exception:  # names of a loop or a comprehension
                continue
            yield Call(target, dict(bound.arguments))
        exec(compile(tree, "<example>", "exec"), names)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<example>", "eval"), names)


# Wrong values


def plain(annotation: Any) -> set[Any]:
    """Return the types that an annotation names."""
    if hasattr(annotation, "__metadata__"):
        return plain(annotation.__origin__)
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return set().union(*map(plain, get_args(annotation)))
    return {get_origin(annotation) or annotation}


ANYTHING = [None, "text", "", b"bytes", True, 1j, 3, 0.5, (), [1], {"a": 1}, object(), Strange, np.zeros((2, 2, 2))]
RANGES = [-1, 0, -0.5, 0.5, 2**63, HUGE, -HUGE, 1e308, math.inf, -math.inf, math.nan]


def admitted(kinds: set[Any], value: Any) -> bool | None:
    """Return whether a value is of one of the kinds; None if that cannot be told."""
    known = {float, int, bool, str, NoneType, tuple, list, dict, type(None)}
    if Any in kinds or object in kinds:
        return None
    if value is None:
        return NoneType in kinds or None in kinds
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, float | int):
        if float in kinds or (int in kinds and not isinstance(value, float)):
            return -1e308 < value < 1e308
        if int in kinds:
            return value.is_integer() or False
        return False if kinds <= known or not any(_array(kind) for kind in kinds) else None
    if isinstance(value, str):
        return str in kinds and None
    if isinstance(value, tuple | list | np.ndarray):
        if any(kind in kinds for kind in (tuple, list, Sequence)) or any(map(_array, kinds)):
            return None
        return any(getattr(kind, "__name__", "") in ("Sequence", "Iterable") for kind in kinds) and None
    if isinstance(value, dict):
        return any(getattr(kind, "__name__", "") in ("Mapping", "dict") for kind in kinds) and None
    if isinstance(value, type) and any(getattr(kind, "__name__", "") == "Callable" for kind in kinds):
        return None
    return False


def _array(kind: Any) -> bool:
    return getattr(kind, "__module__", "").startswith("numpy")


def wrong(rule: Any, annotation: Any) -> Iterator[tuple[Any, bool]]:
    """Yield wrong values of an argument, and whether each must be refused."""
    kinds = plain(annotation)
    if rule is not None:
        yield from ((value, True) for value in rule.wrong())
    for value in [*ANYTHING, *RANGES]:
        if rule is not None:
            try:
                rule("here", value)
            except Exception:
                yield value, True
            continue
        fits = admitted(kinds, value)
        if fits is not True:
            yield value, fits is False


# Judging


MUST = re.compile(r"\bmust\b|takes|cannot|needs|has no|unexpected|missing|unsupported|only")


def judged(public: Public, argument: str, call: Callable[[], Any], must_fail: bool) -> str | None:
    """Return what is wrong with what comes of a wrong call, or None."""
    try:
        call()
    except (TypeError, ValueError) as error:
        text = str(error)
        own = public.path.rpartition(".")[2]
        names = {own, public.path.partition(".")[0]}
        if not any(re.search(rf"\b{re.escape(name)}\b", text) for name in names):
            return f"message without the function: {type(error).__name__}: {text}"
        if not re.search(rf"\b{re.escape(argument)}\b", text):
            return f"message without the argument: {type(error).__name__}: {text}"
        if not MUST.search(text):
            return f"message without what must hold: {type(error).__name__}: {text}"
        if not re.search(r"\bgot\b|\bbut\b|missing|takes", text):
            return f"message without what came: {type(error).__name__}: {text}"
        return None
    except Exception as error:
        return f"foreign error: {type(error).__name__}: {error}"
    return "accepted" if must_fail else None


def walk(public: Public, call: Callable[[], Call]) -> Iterator[tuple[str, Any, str | None]]:
    """Yield each wrong call of a callable: the argument, the value and what is the matter, if anything."""
    first = call()
    signature = inspect.signature(first.target)
    rules = rules_of(public)
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    for p in parameters:
        for value, must_fail in wrong(rules.get(p.name), p.annotation):
            one = call()
            arguments = {**one.arguments, p.name: value}
            yield p.name, value, judged(public, p.name, lambda: one.run(signature, arguments), must_fail)  # noqa: B023
        if p.default is p.empty:
            one = call()
            left = {name: value for name, value in one.arguments.items() if name != p.name}
            yield p.name, "missing", judged(public, p.name, lambda: one.run(signature, left), True)  # noqa: B023
    one = call()
    odd = {**one.arguments, "no_such_argument": 1}
    yield "**", "misspelt", judged(public, "no_such_argument", lambda: one.run(signature, odd), True)
