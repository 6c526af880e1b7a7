"""Python functions as parts of a value: which ones a text or a configuration may name.

Nothing is ever imported: a name in a text stands for a function that the program has registered, or gives to the
reader.
"""

import keyword
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from lrsched._core.check import OneOf, Real, short
from lrsched._core.offers import CLASSES, FUNCTIONS
from lrsched._core.value import Value, find

F = TypeVar("F", bound=Callable[..., Any])


def is_function(content: Any) -> bool:
    """Return whether something can be called and is neither a class nor a value of this library."""
    return callable(content) and not isinstance(content, type | Value)


def register(f: F, name: str | None = None) -> F:
    """Let texts and configurations name a function of the step.

    Args:
        f: the function; `register` may stand above it as a decorator.
        name: an identifier; by default the function's own name.

    Returns:
        The function itself.

    Raises:
        TypeError: `f` is no function, or `name` no text.
        ValueError: the name is no identifier, as that of a lambda, or that of a class or of another function.

    Examples:
        >>> from lrsched import Function, parse, register
        >>> @register
        ... def halving(t):
        ...     return 0.1 * 0.5 ** (t // 1000)
        >>> parse("Warmup(10) >> Function(halving)")
        Linear(0.0, 0.1, steps=10) >> Function(halving)
    """
    StepFunction()("register(f)", f)
    if name is None:
        name = getattr(f, "__name__", short(f))
    OneOf(str, "a text")("register(name=...)", name)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"register(name=...) must be an identifier, got {name!r}: write register(f, 'a_name')")
    if find(name) is not None:
        raise ValueError(f"register(name=...) must not be the name of a class, got {name!r}")
    known = FUNCTIONS.get(name, f)
    if known != f and _home(known) != _home(f):  # the same place: a cell of a notebook that has run again
        raise ValueError(f"register(name=...) must be a new name, got {name!r}, which stands for {short(known)}")
    FUNCTIONS[name] = f
    return f


def _home(f: Any) -> tuple[Any, ...]:
    return getattr(f, "__module__", None), getattr(f, "__qualname__", id(f))


def name_of(f: Any) -> str | None:
    """Return the name under which a function is registered, or None."""
    return next((name for name, known in FUNCTIONS.items() if known is f or known == f), None)


def written(f: Any) -> str:
    """Return what stands for a function in a text: its name, in brackets where no reader would find it."""
    name = name_of(f)
    if name is not None:
        return name
    own = getattr(f, "__name__", "")
    return own if own.isidentifier() and own not in FUNCTIONS else short(f) if not own else f"<{own.strip('<>')}>"


def saved(f: Any) -> str:
    """Return the name that a configuration has for a function."""
    name = name_of(f)
    if name is None:
        raise ValueError(
            f"to_config(item=...) must hold functions with a name that a reader knows, got {short(f)}: write "
            "register(f, 'a_name') first, where it is saved and where it is read"
        )
    return name


def named(name: Any, given: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the function that a text means.

    Raises:
        ValueError: nobody has registered or given one of that name.
    """
    found = given.get(name) or FUNCTIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"{short(name)} is not a known function: register(f) it before, or give functions={{...}}; nothing is "
            "imported"
        )
    return found


def check_functions(where: str, given: Any) -> Mapping[str, Callable[..., Any]]:
    """Return a table of functions, or raise an error that names `where`."""
    table = {} if given is None else given
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise TypeError(f"{where}(functions=...) must be a dictionary of functions by their names, got {short(given)}")
    for name, f in table.items():
        StepFunction()(f"{where}(functions=...)[{name!r}]", f)
    return table


class StepFunction:
    """A constraint: a function of the step."""

    def __call__(self, where: str, value: Any) -> Any:
        """Return the function, or raise an error that names `where`."""
        if not is_function(value):
            hint = "; a schedule is one already" if isinstance(value, Value) else ""
            hint = (
                f": write {value.__name__}(...)"
                if isinstance(value, type) and value in CLASSES["schedule"].values()
                else hint
            )
            raise TypeError(f"{where} must be a function of the step, got {short(value)}{hint}")
        try:
            hash(value)
        except TypeError:
            raise TypeError(f"{where} must be a hashable function, got {short(value)}") from None
        return value

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (value for value in Real().wrong() if value is not None)
        yield from (None, float, "os:system")
