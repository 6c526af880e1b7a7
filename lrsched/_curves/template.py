"""`Template`: the text of a schedule whose lengths are in units of a run that is not known yet."""

import operator
from collections.abc import Callable, Iterator
from dataclasses import field
from fractions import Fraction
from functools import cache, reduce
from inspect import Parameter, Signature
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, NoReturn

import numpy as np

from lrsched._core.check import MAX_STEPS, Int, Many, OneOf, OrNone, Real, Steps, constraints, short
from lrsched._core.offers import CALLS
from lrsched._core.parse import parse_value
from lrsched._core.units import Quantity, has_units
from lrsched._core.value import MAX_DEPTH, Value, call_text, settle
from lrsched._curves.budget import Budget, Scale, StepsOrPart, read
from lrsched._curves.combine import Power
from lrsched._curves.consumed import Consumed, PerStep, counts_of
from lrsched._curves.modifiers import Batches, Epochs, Stretch
from lrsched._curves.schedule import Associative, Complete, Schedule
from lrsched._spaces.clock import simple
from lrsched.arguments import checked, constraints_of, signature_of, without_effect

# Whole numbers that count something else than steps, and numbers of steps that need not be whole.
_COUNTS = ("times", "model_size", "doublings", "batches_per_update", "start", "end", "samples", "increment")
_REAL_LENGTHS = ("steps", "timescale")
_BINDING = {">>": 1, "+": 2, "*": 3, "**": 5}
_APPLY: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "*": operator.mul, "**": operator.pow}


class _Unbuilt(NamedTuple):
    """A call that waits for the lengths of the run; its arguments are checked."""

    name: str
    make: Callable[..., Any]
    given: dict[str, Any]


class _Join(NamedTuple):
    """An operator between two trees or numbers; a chain of many is a tree that leans to the left."""

    sign: str
    left: Any
    right: Any
    depth: int


class Template(Value):
    """A schedule whose lengths are in units of a run that is not known yet.

    It prints, compares, saves as JSON and text, and composes with `>>`, `*`, `+`, `**` like a schedule, but has no
    values: `template.build(budget)` returns the schedule. `parse` returns one for a text with units. In a text the
    units need no quotes: `Warmup(5%) >> Cosine(3e-4, 0, steps=95%)`.

    All lengths may have a unit (see `Budget`), in recipes too. Those of the parts of a chain follow each other: the
    updates at which parts end are rounded, so that parts of 30 %, 30 % and 40 % are the whole run. Inside of `Epochs`,
    `Batches`, `Stretch` and `Consumed` a length is the same part of the run, on their clock.

    Args:
        text: what `parse` reads, with or without units.

    Raises:
        ValueError: the text is no schedule; names, arguments and units are checked now, and what depends on the run
            when it is built.

    Examples:
        >>> from lrsched import Budget
        >>> template = Template("Warmup(5%) >> Cosine(3e-4, 0, steps=95%)")
        >>> template.build(Budget(steps=10_000))
        Linear(0.0, 0.0003, steps=500) >> Cosine(0.0003, 0.0, steps=9500)
        >>> print(template * 0.5)
        (Warmup('5%') >> Cosine(0.0003, 0.0, steps='95%')) * 0.5
    """

    kind: ClassVar[str] = "template"
    # What errors add where a schedule is wanted.
    advice: ClassVar[str] = ", whose units want a budget: template.build(Budget(steps=...)) returns the schedule"
    text: Annotated[str, OneOf(str, "a text")]

    _tree: Any = field(init=False)

    def _check(self) -> None:
        found = parse_value(self.text, "schedule")
        if not isinstance(found, Template | Schedule):
            raise ValueError(f"Template(text=...) must be the text of a schedule, got {short(found)}")
        self._place(found._tree if isinstance(found, Template) else found)

    def _place(self, tree: Any) -> None:
        settle(self, "_tree", tree)
        vars(self).pop("text", None)  # written when it is asked for: n parts are joined in time linear in n

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name != "text" or "_tree" not in vars(self):
                raise AttributeError(f"'Template' object has no attribute {name!r}")
            settle(self, "text", _written(self._tree))
            return self.text

    @classmethod
    def _of(cls, name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        """Return what makes the template of a call."""
        return make if make is Budget else lambda *args, **kwargs: _template(_called(name, make, args, kwargs))

    def __call__(self, *step: Any, **xp: Any) -> NoReturn:
        """Refuse: it has no values before the run is known.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"what is called must be a schedule, got {short(self)}: build it first")

    def __str__(self) -> str:
        """Return the text, which `parse` reads."""
        return self.text

    @checked
    def build(self, budget: Annotated[Budget, OneOf(Budget, "a Budget")]) -> Schedule:
        """Return the schedule for a run.

        Raises:
            ValueError: the budget does not know a unit, or a length does not fit.
        """
        built: Schedule = _built(self._tree, Scale(budget))
        return built

    def __rshift__(self, other: Any) -> "Template":
        return _joined(">>", self, other)

    def __rrshift__(self, other: Any) -> "Template":
        return _joined(">>", other, self)

    def __mul__(self, other: Any) -> "Template":
        return _joined("*", self, other)

    def __rmul__(self, other: Any) -> "Template":
        return _joined("*", other, self)

    def __add__(self, other: Any) -> "Template":
        return _joined("+", self, other)

    def __radd__(self, other: Any) -> "Template":
        return _joined("+", other, self)

    def __pow__(self, other: Any) -> "Template":
        return _joined("**", self, other)

    def __rpow__(self, other: Any) -> "Template":
        return _joined("**", other, self)


CALLS.setdefault("schedule", {}).update(Template=Template, Budget=Budget)


def _template(tree: Any) -> Template:
    if _depth(tree) > MAX_DEPTH:
        raise ValueError(f"Template must not nest deeper than {MAX_DEPTH} levels")
    made = object.__new__(Template)
    made._place(tree)
    return made


def _joined(sign: str, left: Any, right: Any) -> Template:
    kinds = (Template, Schedule) if sign == ">>" else (Template, Schedule, int, float, np.integer, np.floating)
    if not all(isinstance(side, kinds) and not isinstance(side, bool) for side in (left, right)):
        return NotImplemented  # type: ignore[no-any-return]  # as Python's operators want it
    sides = [getattr(s, "_tree", s) if isinstance(s, Template | Schedule) else float(s) for s in (left, right)]
    rest = _spine(sides[1]) if sign == ">>" and _is_join(sides[1], sign) else sides[1:]
    return _template(reduce(lambda a, b: _join(sign, a, b), rest, sides[0]))


def _join(sign: str, left: Any, right: Any) -> _Join:
    return _Join(sign, left, right, max(_depth(left) + (not _is_join(left, sign) or sign == "**"), _depth(right) + 1))


def _is_join(tree: Any, sign: str) -> bool:
    return isinstance(tree, _Join) and tree.sign == sign


def _spine(tree: Any) -> list[Any]:
    """Return the operands of a chain, sum or product that leans to the left."""
    sign, found = tree.sign, []
    while isinstance(tree, _Join) and tree.sign == sign and sign != "**":
        found.append(tree.right)
        tree = tree.left
    return [tree, *found[::-1]] if found else [tree.left, tree.right]


def _depth(tree: Any) -> int:
    match tree:
        case _Unbuilt(_, _, given):
            inside = [part for item in given.values() for part in (item if isinstance(item, tuple) else (item,))]
        case _Join():
            return tree.depth
        case Template():
            return _depth(tree._tree)
        case _:
            return getattr(tree, "_depth", 0)
    return 1 + max(map(_depth, inside), default=0)


def _called(name: str, make: Callable[..., Any], args: Any, kwargs: Any) -> _Unbuilt:
    """Return a call, its arguments checked as far as they are known."""
    signature, rules = _form(make)
    without_effect(name, kwargs, [*signature.parameters], "keyword argument")
    try:
        given = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}() {error}") from None
    given.apply_defaults()
    return _Unbuilt(
        name,
        make,
        {key: _checked(f"{name}({key}=...)", key, rules.get(key), item) for key, item in given.arguments.items()},
    )


@cache
def _form(make: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """Return the signature of what a text calls, and the constraint of each argument."""
    if isinstance(make, type):
        return signature_of(make), {name: rule for name, _, rule in constraints(make)}
    return signature_of(make), constraints_of(make)


def _checked(where: str, name: str, rule: Any, item: Any) -> Any:
    if not has_units(item):
        return item if rule is None else rule(where, item)
    each = _each(rule)
    if isinstance(item, tuple | list):
        if isinstance(rule, OrNone):
            rule = rule.rule
        if not isinstance(rule, Many) or len(item) < rule.least:
            return rule(where, item)  # an error
        return tuple([_checked(f"{where}[{i}]", name, each, part) for i, part in enumerate(item)])
    if isinstance(item, Template):
        return item if isinstance(each, Complete | PerStep) else each(where, item)
    if not is_length(name, each):
        return each(where, item)  # an error
    return read(where, item)


def _each(rule: Any) -> Any:
    while isinstance(rule, OrNone | Many):
        rule = rule.rule if isinstance(rule, OrNone) else rule.each
    return rule


def is_length(name: str, rule: Any) -> bool:
    """Return whether an argument counts steps of some clock."""
    rule = _each(rule)
    if isinstance(rule, Int):
        return rule.high == MAX_STEPS and name not in _COUNTS
    return isinstance(rule, Steps | StepsOrPart) or (isinstance(rule, Real) and name in _REAL_LENGTHS)


def _written(tree: Any) -> str:
    match tree:
        case _Unbuilt(name, make, given):
            parameters = _form(make)[0].parameters
            told = [(key, parameters[key].default, _shown(item)) for key, item in given.items()]
            first = getattr(make, "positional", 1)
            named = [i for i, p in enumerate(parameters.values()) if p.kind is Parameter.KEYWORD_ONLY]
            return call_text(name, told, min([first, *named]))
        case _Join(sign):
            return f" {sign} ".join([_bracketed(part, sign, i) for i, part in enumerate(_spine(tree))])
    return repr(tree)


class _Text:
    """What prints as a text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shown(item: Any) -> Any:
    if isinstance(item, tuple):
        return tuple(map(_shown, item))
    return _Text(item.text) if isinstance(item, Template) else item


def _bracketed(tree: Any, sign: str, place: int) -> str:
    text = _written(tree)
    if isinstance(tree, _Join):
        own = _BINDING[tree.sign]
        loose = own < _BINDING[sign] or (own == _BINDING[sign] and (place > 0) == (sign != "**"))
    elif isinstance(tree, Schedule):
        loose = sign != ">>" and isinstance(tree, Associative | Power)
    else:
        loose = isinstance(tree, float) and tree < 0
    return f"({text})" if loose else text


def _built(tree: Any, scale: Scale) -> Any:
    match tree:
        case Quantity():
            return scale.whole(scale.end(Fraction(0), tree))
        case Template():
            return _built(tree._tree, scale)
        case tuple() if type(tree) is tuple:
            return tuple([_built(part, scale) for part in tree])
        case _Unbuilt():
            return _made(tree, scale, {})
        case _Join(">>"):
            return Schedule.sequence(list(_parts(tree, scale)))
        case _Join(sign):
            return reduce(_APPLY[sign], [_built(part, scale) for part in _spine(tree)])
    return tree


def _made(call: _Unbuilt, scale: Scale, known: dict[str, Any]) -> Any:
    clock = _CLOCKS.get(call.make)
    given = {
        key: known[key] if key in known else _built_argument(key, item, scale)
        for key, item in call.given.items()
        if not (clock and key == "schedule")
    }
    if clock:
        given["schedule"] = _built(call.given["schedule"], clock(scale, given))
    try:
        return call.make(**given)
    except (TypeError, ValueError) as error:
        units = {repr(item): given[key] for key, item in call.given.items() if isinstance(item, Quantity)}
        told = ", ".join(f"{unit} is {steps}" for unit, steps in units.items())
        raise type(error)(f"{error}{' where ' if told else ''}{told}") from None


def _built_argument(name: str, item: Any, scale: Scale) -> Any:
    if name != "periods" or not has_units(item):
        return _built(item, scale)
    ends = [Fraction(0)]
    for part in item:
        ends.append(scale.end(ends[-1], read(name, part)))
    whole = [scale.whole(end) for end in ends]
    return tuple([b - a for a, b in pairwise(whole)])


def _parts(tree: _Join, scale: Scale) -> Iterator[Any]:
    """Yield the parts of a chain: where they end is rounded, so that what is lost to one goes to the next."""
    at = Fraction(0)
    for part in _spine(tree):
        steps = part.given.get("steps") if isinstance(part, _Unbuilt) else None
        built = None
        if isinstance(steps, Quantity):
            end = scale.end(at, steps)
            whole = scale.whole(end) - scale.whole(at)
            built = _made(part, scale, {"steps": whole})
            if built.length == whole:
                at = end
                yield built
                continue
        built = _built(part, scale)
        yield built
        at += built.length or 0


def _slower(argument: str, times: Callable[[Any], Fraction], *own: str) -> Callable[[Scale, dict[str, Any]], Scale]:
    """Return the inner clock of a node of which a step takes `times` outer ones."""

    def clock(scale: Scale, given: dict[str, Any]) -> Scale:
        pace = times(given[argument]) or Fraction(1)  # which the node refuses
        return scale.inner(lambda t: t / pace, lambda t: t * pace, own)

    return clock


def _consumed(scale: Scale, given: dict[str, Any]) -> Scale:
    counts = counts_of("Consumed(per_step=...)", PerStep()("Consumed(per_step=...)", given["per_step"]))
    return scale.inner(counts.at, counts.when, ("tok", "sp"))


# The nodes whose schedule has a clock of its own: what it is, from that outside and the other arguments.
_CLOCKS: dict[Any, Callable[[Scale, dict[str, Any]], Scale]] = {
    Epochs: _slower("steps_per_epoch", Fraction, "ep"),
    Stretch: _slower("factor", simple),
    Consumed: _consumed,
    Batches: _slower("batches_per_update", lambda n: Fraction(1, n)),
}
