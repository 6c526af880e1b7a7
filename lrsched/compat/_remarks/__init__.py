"""What users trip over when they take a schedule from one library to another."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, OneOf, OrNone
from lrsched._curves import Schedule
from lrsched._lint.codes import Remark
from lrsched.arguments import TextOrNone
from lrsched.compat._remarks import calls, curve
from lrsched.compat._remarks.facts import Call, resolved
from lrsched.compat._remarks.like import like as _like
from lrsched.compat._remarks.table import BATCHES, CODES, CONVENTIONS, Convention
from lrsched.compat._tools import libraries, library

__all__ = ["Remark", "remarks"]

_COUNT = OrNone(Int(low=1))
Updates = Annotated[int | None, _COUNT]
_UNKNOWN = Convention(rate="", kind="open")


def remarks(
    module: str,
    function: str,
    /,
    *args: Any,
    horizon: Updates = None,
    epoch: Updates = None,
    accumulation: Updates = None,
    like: TextOrNone = None,
    **kwargs: Any,
) -> tuple[Remark, ...]:
    """What people trip over in a call of another library's function, in the numbers of that call.

    Where libraries differ (does the length hold the warm-up, what does the first update use, is it T or T - 1, what
    comes after the end) the remark is read off the evaluated curve. A remark is no error: it says what the call means.

    Three are guesses, under conditions. A length in updates looks like epochs if its product with `epoch` is `horizon`,
    or, without `epoch`, if it is at most 1000 and `horizon` is a multiple of it, 10 times or more. A part of a rate
    looks like a rate if it is at most a tenth of the highest rate. Factors look like rates if they and the first value
    are below 1 and none is above the first value.

    Args:
        module: the library, as in `lrsched.compat`.
        function: the name of its function.
        *args: arguments of that function, as `lrsched.compat` takes them.
        horizon: updates of the training; None where that is not known.
        epoch: updates of one epoch; None where that is not known.
        accumulation: batches whose gradients make one update; None where that is not known, 1 where each makes its own.
        like: the function that the numbers were written for, such as "keras.CosineDecay"; None if for this one.
        **kwargs: arguments of that function; `last_epoch` may be among them.

    Returns:
        The remarks, each with a code, a message, a suggestion in words and a severity; none for what makes no
        schedule. `lint` looks at a schedule by itself, and has the same codes where it sees the same.

    Raises:
        ValueError: the library or a function is unknown, an argument is out of range, or `like` names a function that
            needs other numbers.

    Examples:
        >>> from lrsched import compat
        >>> call = ("optax", "warmup_cosine_decay_schedule", 1e-6, 1e-3, 100, 900)
        >>> [(r.code, r.message) for r in compat.remarks(*call)]
        [('length-includes-warmup', 'decay_steps=900 holds the warm-up: the decay has 800 steps and ends at step 900')]
        >>> compat.remarks(*call, like="keras.CosineDecay")[0].suggestion
        'write decay_steps=1000 for that curve'
        >>> [r.message for r in compat.remarks("keras", "CosineDecay", 0.1, 800, accumulation=4)]
        ['keras counts batches: update j uses step 4 * j + 3, and decay_steps=800 takes 200 updates']
    """
    horizon = _COUNT("remarks(horizon=...)", horizon)
    epoch = _COUNT("remarks(epoch=...)", epoch)
    accumulation = _COUNT("remarks(accumulation=...)", accumulation)
    like = OrNone(OneOf(str, "a text"))("remarks(like=...)", like)
    namespace = library(Choice(tuple(libraries()))("remarks(module)", module))
    build = getattr(namespace, Choice(tuple(namespace.__all__))("remarks(function)", function))
    early = tuple(calls.standing(kwargs.pop("last_epoch", None)))
    try:
        written = inspect.signature(build).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"remarks({module!r}, {function!r}): {function}() is called wrongly: {error}") from None
    name, given = resolved(namespace, function, _flat(build, written))
    convention = CONVENTIONS.get(module, {}).get(name, _UNKNOWN)
    try:
        schedule = build(*args, **kwargs)
    except (TypeError, ValueError):
        if found := tuple(calls.ratio(module, convention.warmup, given)):
            return _graded(early + found)
        raise
    if not isinstance(schedule, Schedule):
        return _graded(early)
    build = getattr(namespace, name)
    bound = inspect.signature(build).bind(**given)
    bound.apply_defaults()
    arguments = _flat(build, bound.arguments)
    convention = _fitted(convention, given, arguments)
    batches = (accumulation or 0) if module in BATCHES and convention.unit == "update" else 1
    call = Call(
        module,
        name,
        build,
        arguments,
        frozenset(given),
        convention,
        schedule,
        horizon and horizon * (batches or 1),
        epoch and epoch * (batches or 1),
        batches,
    )
    rules = (
        *curve.RULES,
        *calls.RULES,
        *calls.SINGLE.get((module, name), ()),
    )
    other = _like(call, like) if like is not None else ()
    return _graded((*early, *other, *(remark for rule in rules for remark in rule(call))))


def _graded(found: tuple[Remark, ...]) -> tuple[Remark, ...]:
    """Return remarks with the severity of their code, unless they have one above "info" already."""
    plain = {remark for remark in found if remark.severity == "info"}
    return tuple(r._replace(severity=CODES[r.code].severity) if r in plain else r for r in found)


def _flat(function: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by name, those of `**rest` among them."""
    flat: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in arguments:
            flat |= arguments[name] if parameter.kind is parameter.VAR_KEYWORD else {name: arguments[name]}
    return flat


def _fitted(convention: Convention, given: Mapping[str, Any], arguments: Mapping[str, Any]) -> Convention:
    """Return the convention for these arguments.

    They may leave the warm-up out, ask for several cycles, or count updates where the library counts epochs by default.
    """
    if any(arguments.get(name) is False for name in ("by_epoch", "step_on_epochs", "t_in_epochs")):
        convention = replace(convention, unit="update")
    if convention.rate == "warmup_target" and given.get("warmup_target") is None:
        return replace(convention, rate="initial_learning_rate", warmup="")
    return replace(convention, kind="cycle") if given.get("cycle_limit", 1) != 1 else convention
