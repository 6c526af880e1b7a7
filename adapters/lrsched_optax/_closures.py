"""What functions keep: the variables of their makers, arguments of a partial, globals that they name."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any


def cells_of(fn: Any) -> dict[str, Any]:
    """Return the variables that a function took from its maker; one that was never set is left out."""
    cells = {}
    code = getattr(fn, "__code__", None)
    for name, cell in zip(code.co_freevars if code else (), getattr(fn, "__closure__", None) or (), strict=True):
        with contextlib.suppress(ValueError):
            cells[name] = cell.cell_contents
    return cells


def maker_of(fn: Any) -> str:
    """Return the name of the function that has made a function."""
    return str(getattr(fn, "__qualname__", type(fn).__name__)).partition(".<locals>.")[0]


def kept_by(fn: Any) -> Iterator[Any]:
    """Yield the functions that a function may call."""
    found: list[Any] = [*cells_of(fn).values()]
    if isinstance(fn, functools.partial):
        found += [fn.func, *fn.args, *fn.keywords.values(), *kept_by(fn.func)]
    code = getattr(fn, "__code__", None)
    if code is not None:
        known = getattr(fn, "__globals__", {})
        found += [known[name] for name in code.co_names if name in known]
        found += [*(fn.__defaults__ or ()), *(fn.__kwdefaults__ or {}).values()]
    inside = getattr(fn, "__self__", None)
    found += vars(inside if inside is not None else fn).values() if hasattr(inside or fn, "__dict__") else []
    yield from (one for one in found if callable(one) and not isinstance(one, type) and one is not fn)
