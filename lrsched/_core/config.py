"""JSON-safe dictionaries: `to_config` and `from_config`.

A value becomes `{"type": "Cosine", "start": 0.1, "end": 0.0, "steps": 100}`; the outermost dictionary also holds
the format version. Reading is strict: what is unknown, missing or of the wrong kind raises a ValueError that names
the place, and nothing but the constructors of known values ever runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from lrsched._core.check import constraints, is_sequence, meant, short
from lrsched._core.functions import StepFunction, check_functions, is_function, named, saved
from lrsched._core.offers import FIELDS
from lrsched._core.parse import parse_value
from lrsched._core.value import MAX_DEPTH, Value, find

FORMAT = 1
# Far beyond any schedule; it stops a hostile file before it fills the memory.
MAX_NODES = 1_000_000
# What errors call the outermost dictionary.
_ROOT = "from_config(config=...): $"


def to_config(item: Value) -> dict[str, Any]:
    """Return `item` as a dictionary of JSON types, with the format version.

    Args:
        item: a schedule or another value of this library.

    Returns:
        A new dictionary of str, float, int, bool, None, lists and dictionaries.

    Raises:
        TypeError: `item` is not a value of this library.
        ValueError: it holds a function that is not registered.

    Examples:
        >>> from lrsched import Linear, to_config
        >>> to_config(Linear(0.1, 0.0, steps=10))
        {'format': 1, 'type': 'Linear', 'start': 0.1, 'end': 0.0, 'steps': 10}
    """
    item = meant(item)
    if not isinstance(item, Value):
        raise TypeError(f"to_config(item=...) must be a value of lrsched, got {short(item)}")
    return {"format": FORMAT, **_encode(item)}


def _encode(content: Any) -> Any:
    if isinstance(content, Value):
        config = {"type": type(content).__name__}
        for f in content._arguments:
            config[f.name] = _encode(getattr(content, f.name))
        return config
    if isinstance(content, tuple):
        return [_encode(part) for part in content]
    return saved(content) if is_function(content) else content


class _Decoding:
    """What is left of the budget of entries, and the functions that the caller knows."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self.left, self.functions = MAX_NODES, functions


def from_config(config: Any, *, functions: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """Build the value that `to_config` wrote.

    Args:
        config: the dictionary, as read from JSON. Fields that have a default may be missing.
        functions: what names of functions in it stand for, beside those that the program has registered. Nothing is
            ever imported, and no function called that is in neither.

    Returns:
        The value; `from_config(to_config(s)) == s`.

    Raises:
        TypeError: `functions` is no dictionary of functions.
        ValueError: anything is unknown, missing, too deep or of the wrong kind; the message names the place.

    Examples:
        >>> from lrsched import from_config
        >>> from_config({"format": 1, "type": "Linear", "start": 0.1, "end": 0.0, "steps": 10})
        Linear(0.1, 0.0, steps=10)
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"{_ROOT} must be a dictionary, got {short(config)}")
    version = config.get("format")
    if isinstance(version, bool) or version != FORMAT:
        raise ValueError(
            f"{_ROOT}.format must be {FORMAT}, got {short(version)}: written by another version of lrsched?"
        )
    rest = {key: content for key, content in config.items() if key != "format"}
    return _decode(rest, _ROOT, _Decoding(check_functions("from_config", functions)), 0)


def read(cls: type[Any], content: Any) -> Any:
    """Return the value of a class that a text or a configuration says, or that is given itself.

    Raises:
        ValueError: it is none, or one of another class.
    """
    if isinstance(content, str):
        content = parse_value(content, cls.kind)
    elif isinstance(content, Mapping) and not isinstance(meant(content), Value):
        content = from_config({"format": FORMAT, "type": cls.__name__, **content})
    content = meant(content)
    if not isinstance(content, cls):
        raise ValueError(f"a field of {cls.__name__} must be one, its text or its configuration, got {short(content)}")
    return content


def write(item: Value) -> str:
    """Return the text that `read` reads.

    Raises:
        ValueError: the value holds a function that is not registered.
    """
    to_config(item)
    return repr(item)


FIELDS[:] = [read, write]


def _decode(content: Any, where: str, reading: _Decoding, depth: int) -> Any:
    reading.left -= 1
    if reading.left < 0:
        raise ValueError(f"{where} must not hold more than {MAX_NODES} entries")
    # A value and the list that holds it are two levels of JSON.
    if depth > 2 * MAX_DEPTH:
        raise ValueError(f"{where} must not nest deeper than {MAX_DEPTH} levels")
    if is_sequence(content):
        return tuple(_decode(part, f"{where}[{i}]", reading, depth + 1) for i, part in enumerate(content))
    if isinstance(content, Mapping):
        return _decode_value(content, where, reading, depth)
    if content is None or isinstance(content, str | int | float):
        return content
    raise ValueError(f"{where} must be JSON, got {short(content)}")


def _decode_value(config: Mapping[Any, Any], where: str, reading: _Decoding, depth: int) -> Value:
    name = config.get("type")
    cls = find(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(
            f"{where}.type must be the name of a schedule or rule, got {short(name)}: is one of your own defined yet?"
        )
    known = {f.name: f for f in cls._arguments}
    given = {key: content for key, content in config.items() if key != "type"}
    for key in given:
        if key not in known:
            raise ValueError(f"{where} is a {name}, which has the fields {sorted(known)}, got {short(key)}")
    for key, f in known.items():
        if key not in given and f.default is MISSING:
            raise ValueError(f"{where} is a {name} and must have the field {key!r}")
    arguments = {key: _decode(part, f"{where}.{key}", reading, depth + 1) for key, part in given.items()}
    for key, _, rule in constraints(cls):
        if isinstance(rule, StepFunction) and key in arguments:
            try:
                arguments[key] = named(arguments[key], reading.functions)
            except ValueError as error:
                raise ValueError(f"{where}.{key}: {error}") from None
    try:
        built: Value = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
    return built
