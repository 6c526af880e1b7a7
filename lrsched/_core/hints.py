"""What to write instead of a call or a text that cannot be used: examples that work when they are pasted."""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from lrsched._core.names import folded

_COSINE = "Cosine(0.1, 0.0, steps=1000)"
# What an argument without a default may be.
_SAMPLES = {
    "base": _COSINE, "batches_per_update": "4", "boundaries": "(300, 600)", "cooldown": "200", "decay": "500",
    "doublings": "3", "dim": "512", "end": "0.001", "every": "300", "exponent": "2.0", "factor": "2.0", "high": "0.1",
    "hold": "400", "increment": "32", "limit": "1.0", "links": "(ClipByNorm(1.0), Adam())", "low": "0.01",
    "max_norm": "1.0", "milestones": "(300, 600)", "model_size": "512", "peak": "0.1", "per_step": "4", "power": "2.0",
    "parts": "(Linear(0.0, 0.1, steps=100), Cosine(0.1, 0.0, steps=900))", "periods": "(500, 500)", "rate": "0.9",
    "rule": "Adam()", "samples": "100_000", "schedule": _COSINE, "stable": "400", "start": "0.1", "steps": "1000",
    "steps_per_epoch": "100", "strength": "0.01", "up": "100", "upper": "1100", "value": "0.1",
    "values": "(0.1, 0.05, 0.01)", "warmup": "100",
    "batch_ramp.end": "1536", "batch_ramp.start": "32", "piecewise_linear.steps": "(0, 100, 1000)",
}  # fmt: skip
# Errors about what was typed, and not about the numbers in it.
_TYPED = re.compile(
    r"is not a known|invalid|not part of the text|must be called|must describe|never closed|follows keyword"
    r"|must stand between|height is missing|unexpected keyword|missing"
)


def example(name: str, signature: inspect.Signature) -> str | None:
    """Return a call with an argument for each that has no default, or None if one of them is not known here."""
    told: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            sample = _SAMPLES.get(f"{name}.{parameter.name}") or _SAMPLES.get(parameter.name)
            if sample is None:
                return None
            plain = parameter.name != "steps" and parameter.kind is not parameter.KEYWORD_ONLY
            told.append(sample if plain and "=" not in "".join(told[-1:]) else f"{parameter.name}={sample}")
    return f"{name}({', '.join(told)})"


def helpful(init: Callable[..., None], cls: type[Any]) -> Callable[..., None]:
    """Return a constructor that says what it takes where it is called with other arguments."""

    @wraps(init)
    def __init__(self: Any, *args: Any, **named: Any) -> None:
        try:
            init(self, *args, **named)
        except TypeError as error:
            trace = error.__traceback__
            if trace is None or trace.tb_next is not None or type(self) is not cls:  # raised inside of it
                raise
            name, count = cls.__name__, r"\b\d+(?= (?:to \d+ )?(?:positional arguments? but|were given|was given))"
            said = re.sub(count, lambda number: str(int(number[0]) - 1), str(error))  # `self` is none of what was given
            takes = ", ".join(inspect.signature(cls).parameters) or "nothing"
            such = example(name, inspect.signature(cls))
            said = re.sub(r"^.*\.__init__\(\)", f"{name}()", said)
            raise TypeError(f"{said}: it takes {takes}{f'; for example {such}' if such else ''}") from None

    return __init__


def cured(
    text: str,
    error: str,
    known: Mapping[str, Callable[..., Any]],
    elsewhere: Callable[[str], str | None],
    reads: Callable[[str], bool],
) -> str | None:
    """Return a text that can be read, close to one that cannot, or None.

    Args:
        text: the text.
        error: what is wrong with it.
        known: what it may call.
        elsewhere: returns the full name of a function of another library.
        reads: returns whether a text can be read.
    """
    if not _TYPED.search(error):
        return None
    names = {folded(name): name for name in known}

    def right(name: str) -> str:
        return name if name in known or "." in name else names.get(folded(name)) or elsewhere(name) or name

    def named(text: str) -> str:
        return re.sub(r"(?<![\w.'\"])[A-Za-z_][\w.]*(?=\s*\()", lambda m: right(m[0]), text)

    def bare(text: str) -> str:
        return f"{right(text)}()" if re.fullmatch(r"[A-Za-z_]\w*", text) else text

    def called(text: str) -> str:
        return re.sub(r"[A-Za-z_][\w.]*\([^()]*\)", lambda m: m[0] if reads(m[0]) else sample(m[0]), text)

    def sample(call: str) -> str:
        name = call.partition("(")[0]
        return (name in known and example(name, inspect.signature(known[name]))) or call

    for change in (*_CHANGES, named, bare, called):
        changed = change(text)
        if changed != text and reads(changed):
            return changed
        text = changed
    return None


def _replace(pattern: str, by: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, by, text)


# What people write otherwise: quotes around all, a name before it, other arrows, commas in numbers, a number alone.
_CHANGES = (
    _replace(r"^\s*(['\"])(.*)\1\s*$", r"\2"),
    _replace(r"^\s*[A-Za-z_]\w*\s*=(?!=)\s*", ""),
    _replace(r"\s*(?:[-=]>|\u2192|(?<!>)>(?!>)|\|)\s*", " >> "),
    _replace(r"(?<=\))\s*[+,]\s*(?=[A-Za-z_])", " >> "),
    _replace(r"(?<=\d),(?=\d{3}(?!\d))", "_"),
    _replace(r"^\s*([\d.]+(?:[eE][-+]?\d+)?)\s*$", r"Constant(\1)"),
)
