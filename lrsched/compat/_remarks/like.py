"""The same numbers in the function of another library: is it the same curve, and if not, which numbers are?"""

import inspect
from collections.abc import Iterator
from typing import Any

from lrsched._curves import Schedule
from lrsched._curves.equality import Equality, equality
from lrsched._draw.axis import number
from lrsched._lint.codes import Remark
from lrsched.compat._remarks.facts import Call
from lrsched.compat._remarks.table import CONVENTIONS
from lrsched.compat._tools import library

# Arguments that name a shape, and those of the first rate.
_SHAPES = ("decay_style", "decay_type", "lr_decay_style", "lr_schedule")
_FIRST = ("init_lr", "init_value", "initial_learning_rate", "warmup_lr_init")
# Relative to the highest rate; Optax and Keras compute in float32.
_SAME = 1e-6


def like(call: Call, other: str) -> Iterator[Remark]:
    """Yield how the numbers of a call have to change to give the curve of the function they were written for.

    Args:
        call: the call.
        other: "library.function", the function that the numbers were written for.

    Raises:
        ValueError: it is unknown, or has not the same arguments.
    """
    module, _, name = other.partition(".")
    convention = CONVENTIONS.get(module, {}).get(name)
    if convention is None or not convention.length:
        known = [f"{m}.{f}" for m, table in CONVENTIONS.items() for f, c in table.items() if c.length]
        raise ValueError(f"remarks(like=...) must be one of {', '.join(known)}, got {other!r}")
    if not call.length or (call.warmup and not convention.warmup):
        raise ValueError(f"remarks(like=...) must be a function with the same arguments, got {other!r}")
    wanted = _built(call, module, name)
    here = _compared(call, call.schedule, wanted)
    if here.equal:
        return
    yield Remark(
        "other-curve",
        f"{other} with the same numbers gives another curve: it differs from update {here.first} on, by up to "
        f"{number(here.absolute / call.top)} of the highest rate",
        _change(call, wanted) or "no other length gives it: carry it over with lrsched.to_source, or use it as it is",
    )


def _compared(call: Call, ours: Schedule, wanted: Call) -> Equality:
    steps = call.horizon or wanted.stop + 1
    return equality(ours, wanted.schedule, steps, rtol=0.0, atol=_SAME * call.top)


def _change(call: Call, wanted: Call) -> str:
    """Return the other length that gives the wanted curve until its end, if there is one."""
    w, n = call.warmup, call.length
    for length in (n + w, n - w, n + 1, n - 1):
        try:
            changed = call.function(**call.arguments | call.times(w, length))
        except (TypeError, ValueError):
            continue
        if _compared(call, changed, wanted).equal:
            return f"write {call.asking(length)} for that curve"
    return ""


def _built(call: Call, module: str, name: str) -> Call:
    """Return the call of the other function whose arguments have the same meaning."""
    function = getattr(library(module), name)
    parameters = inspect.signature(function).parameters
    c = CONVENTIONS[module][name]
    arguments: dict[str, Any] = {c.length: call.length, c.rate: call.rate or call.top}
    if call.warmup and c.warmup:
        arguments[c.warmup] = call.warmup
    if c.part:
        arguments[c.part] = call.end / (call.rate or call.top)
    elif c.end:
        arguments[c.end] = call.end
    arguments |= {key: "cosine" for key in _SHAPES if key in parameters}
    start = call.schedule(0) if call.warmup else (call.rate or call.top)
    arguments |= {key: start for key in _FIRST if key in parameters}
    if "max_duration" in parameters:
        arguments[c.length] = "1dur"
        arguments |= {key: f"{arguments[key]}ba" for key in (c.warmup,) if key in arguments}
        arguments["max_duration"] = f"{call.length}ba"
    arguments.pop("", None)
    try:
        made: Schedule = function(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"remarks(like=...) must be a function with the same arguments, got {module}.{name}: {error}"
        ) from error
    return Call(module, name, function, arguments, frozenset(), c, made, None, None)
