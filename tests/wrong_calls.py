"""Wrong calls of all that is public: each argument of each callable replaced in turn, and what comes of it judged.

`callables` finds what a package exports: functions, classes, and the methods of these. `example` takes a valid call
from the docstring; what has none needs a line in the table of the test. `wrong` makes the wrong values of an argument
from its constraint and its annotation. `judged` says what is the matter with what came of a call: an error of another
kind, a message without the function, the argument, what must hold or what came, or no error at all.
"""

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import math
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from lrsched._core.check import constraints, short
from lrsched._core.value import Value
from lrsched.arguments import constraints_of, rule_of

HUGE = 2**1100


class Strange:
    """What no argument knows."""

    def __repr__(self) -> str:
        return "Strange()"


ANYTHING = [None, "text", "", b"bytes", True, 1j, 3, (), [1], {"a": 1}, Strange(), Strange, np.zeros((2, 2, 2))]
RANGES = [-1, 0, -0.5, 0.5, 2**63, HUGE, -HUGE, math.inf, -math.inf, math.nan]
# What the engines ask of curves and rules, in arguments that no user makes.
ENGINE = {"Space", "Context", "Full", "Scalars", "ScalarArrays", "Ops"}


@dataclass(frozen=True)
class Public:
    """A callable under its public name; of a method, `owner` is the class."""

    package: str
    path: str
    item: Any = field(compare=False)
    owner: type | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return f"{self.package}.{self.path}"

    @property
    def record(self) -> bool:
        """Whether it is a named tuple, which holds what it is given."""
        return isinstance(self.item, type) and issubclass(self.item, tuple)

    @property
    def engine(self) -> bool:
        """Whether the engines call it, and not a user."""
        if self.record:
            return False
        parameters = inspect.signature(self.item).parameters.values()
        return any(getattr(kind, "__name__", "") in ENGINE for p in parameters for kind in plain(p.annotation))


def callables(package: str) -> Iterator[Public]:
    """Yield the functions and classes that a package exports, and the methods of these that are ours."""
    module = importlib.import_module(package)
    exported = [getattr(module, name) for name in module.__all__]
    for name, item in zip(module.__all__, exported, strict=True):
        if isinstance(item, ModuleType):
            continue
        yield Public(package, name, item)
        if isinstance(item, type):
            for method in methods(item, exported):
                yield Public(package, f"{name}.{method}", getattr(item, method), item)


def methods(cls: type, exported: Collection[Any]) -> Iterator[str]:
    """Yield the public methods that a class defines, or inherits from one of ours that is not exported itself."""
    for name in dir(cls):
        home = next(base for base in cls.__mro__ if name in vars(base))
        ours = home.__module__.startswith("lrsched") and (home is cls or home not in exported)
        found = vars(home)[name]
        if ours and not name.startswith("_") and (inspect.isroutine(found) or isinstance(found, classmethod)):
            yield name


@dataclass
class Call:
    """A valid call: what is called, with which arguments by name."""

    target: Callable[..., Any]
    arguments: dict[str, Any]

    def run(self, arguments: Mapping[str, Any]) -> Any:
        args, named = [], dict(arguments)
        for p in inspect.signature(self.target).parameters.values():
            if p.kind is p.POSITIONAL_ONLY and p.name in named:
                args.append(named.pop(p.name))
            elif p.kind is p.VAR_POSITIONAL:
                args += named.pop(p.name, ())
            elif p.kind is p.VAR_KEYWORD:
                named.update(named.pop(p.name, {}))
        return self.target(*args, **named)


def example(public: Public) -> Call | None:
    """Return a call of a callable in the examples of its docstring, or of that of its class."""
    for item in filter(None, (public.item, public.owner)):
        with contextlib.redirect_stdout(io.StringIO()):
            if found := next(_examples(item, public.path.rpartition(".")[2], public.owner is not None), None):
                return found
    return None


def _examples(item: Any, own: str, method: bool) -> Iterator[Call]:
    names = dict(vars(inspect.getmodule(inspect.unwrap(item)) or object))
    for part in doctest.DocTestParser().get_examples(inspect.getdoc(item) or ""):
        tree = ast.parse(part.source)
        for node in ast.walk(tree):
            called = getattr(node, "func", None)
            if (
                isinstance(called, ast.Attribute if method else ast.Attribute | ast.Name)
                and own in vars(called).values()
            ):
                with contextlib.suppress(Exception):  # names of a loop or a comprehension
                    target = _value(called, names)
                    args = [_value(a, names) for a in node.args]
                    named = {k.arg: _value(k.value, names) for k in node.keywords}
                    yield Call(target, dict(inspect.signature(target).bind(*args, **named).arguments))
        exec(compile(tree, "<example>", "exec"), names)


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    return eval(compile(ast.Expression(node), "<example>", "eval"), names)


def rules_of(public: Public) -> dict[str, Any]:
    """Return the constraints that a callable declares, by argument; those of a group, `**name: Unpack[Group]`, too."""
    if isinstance(public.item, type) and issubclass(public.item, Value):
        return {name: rule for name, _, rule in constraints(public.item)}
    function = inspect.unwrap(public.item.__init__ if isinstance(public.item, type) else public.item)
    if not inspect.isroutine(function):
        return {}
    groups = [
        get_args(p.annotation) for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_KEYWORD
    ]
    more = [getattr(group[0], "__annotations__", {}) for group in groups if group]
    return {name: rule_of(kind) for part in more for name, kind in part.items()} | constraints_of(function)


def plain(annotation: Any) -> set[Any]:
    """Return the types that an annotation names."""
    if hasattr(annotation, "__metadata__"):
        return plain(annotation.__origin__)
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        return set().union(*map(plain, get_args(annotation)))
    return {get_origin(annotation) or annotation}


def fits(kinds: set[Any], value: Any) -> bool:
    """Return whether a value may be right for an argument of such types that declares no constraint."""
    names = {getattr(kind, "__name__", "") for kind in kinds}
    if isinstance(value, bool) or value is None:
        return type(value) in kinds or value in kinds
    if isinstance(value, int | float):
        return bool(kinds & {float, int}) and abs(value) <= 2**63
    if isinstance(value, str):
        return str in kinds
    if callable(value):
        return "Callable" in names
    return (isinstance(value, Mapping) and bool(names & {"Mapping", "dict"})) or (
        isinstance(value, Sequence) and bool(names & {"Sequence", "Iterable", "list", "tuple"})
    )


def wrong(rule: Any, annotation: Any) -> Iterator[Any]:
    """Yield the wrong values of an argument."""
    if rule is None:
        kinds = plain(annotation)
        yield from (value for value in [*ANYTHING, *RANGES] if not fits(kinds, value))
        return
    yield from rule.wrong()
    for value in [*ANYTHING, *RANGES]:
        try:
            rule("here", value)
        except Exception:
            yield value


MUST = re.compile(
    r"\b(must|should|recognized|takes?|missing|needs?|unexpected|at most|has no|cannot|multiple|two values)\b"
)
CAME = re.compile(r"\b(got|[Rr]eceived|recognized|but|missing|takes|write|given)\b")


def judged(public: Public, argument: str, call: Callable[[], Any]) -> str | None:
    """Return what is the matter with what comes of a wrong call, or None."""
    names = {public.path.partition(".")[0], public.path.rpartition(".")[2]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (TypeError, ValueError) as error:
        text = f"{type(error).__name__}: {error}"
        if not any(re.search(rf"\b{name}\b", text) for name in names):
            return f"no function in {text}"
        if not re.search(rf"\b{argument}\b", text):
            return f"no argument in {text}"
        if not MUST.search(text):
            return f"nothing of what must hold in {text}"
        return None if CAME.search(text) else f"nothing of what came in {text}"
    except Exception as error:
        return f"foreign {type(error).__name__}: {error}"
    return "accepted"


def walk(public: Public, call: Callable[[], Call]) -> Iterator[tuple[str, Any, Callable[[], str | None]]]:
    """Yield the wrong calls of a callable: the argument, what it is given, and how to judge what comes of it."""

    def judge(argument: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[], str | None]:
        def run() -> str | None:
            one = call()
            return judged(public, argument, lambda: one.run(change(one.arguments)))

        return run

    parameters = inspect.signature(call().target).parameters.values()
    rules = {} if public.record else rules_of(public)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    kinds = {p.name: p.annotation for p in named} | dict.fromkeys(rules.keys() - {p.name for p in named}, Any)
    for name, kind in {} if public.record else kinds.items():
        for value in wrong(rules.get(name), kind):
            yield name, value, judge(name, lambda arguments, n=name, v=value: {**arguments, n: v})
    for p in named:
        if p.default is p.empty:
            yield p.name, "is missing", judge(p.name, lambda a, n=p.name: {k: v for k, v in a.items() if k != n})
    yield (
        "no_such_argument",
        "misspelt",
        judge("no_such_argument", lambda arguments: {**arguments, "no_such_argument": 1}),
    )


def complaints(
    walked: Iterable[tuple[Public, Callable[[], Call]]], right: Collection[tuple[str, str]], every: int = 1
) -> Iterator[str]:
    """Make every so many wrong calls; yield a line for each that does not end as it must.

    Args:
        walked: what is called, and what makes a valid call of it.
        right: names and arguments for which it does not matter.
        every: of so many calls one is made.
    """
    count = 0
    for public, made in walked:
        for argument, value, judge in walk(public, made):
            count += 1
            if count % every == 0 and (public.name, argument) not in right and (found := judge()):
                yield f"{public.name}({argument}={short(value)}): {found}"
