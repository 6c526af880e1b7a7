"""Pickles that name public packages only, so that they outlive a move of what lies inside.

A package calls `publish(__name__)` once its public names stand. A function that it exports then carries its name, and
an instance of a class that it exports pickles as a call of `rebuild`:

>>> import pickle, pickletools
>>> from lrsched import Cosine
>>> reduced = Cosine(1.0, 0.0, steps=10).__reduce_ex__(4)
>>> reduced[0].__module__, reduced[1]
('lrsched.pickling', ('lrsched.Cosine', 1.0, 0.0, 10))

A class that no package of ours exports pickles as Python does it: the process that loads it imports its module. So does
a class itself, such as `Cosine`, for `inspect.getsource` reads the file of the module that a class names.
"""

import copyreg
import importlib
import sys
from types import FunctionType
from typing import Any

# Whose names a pickle may hold: `rebuild` imports nothing else.
PACKAGES = (
    "lrsched",
    "lrsched.compat",
    "lrsched.feedback",
    "lrsched.forecast",
    "lrsched.rules",
    "lrsched_keras",
    "lrsched_optax",
    "lrsched_torch",
)

__all__ = ["publish", "rebuild"]

_CLASSES: dict[str, type[Any]] = {}
_NAMES: dict[type[Any], str] = {}


def publish(package: str) -> None:
    """Make what a package exports pickle under its public name, and `dir` list it alone.

    Args:
        package: its name, one of `PACKAGES`. What it loads late it publishes by a second call.
    """
    namespace: dict[str, Any] = vars(sys.modules[package])
    namespace.setdefault("__dir__", lambda: namespace["__all__"])
    for name in namespace["__all__"]:
        item = namespace.get(name)
        if isinstance(item, FunctionType):
            item.__module__ = package
        elif isinstance(item, type) and item not in _NAMES:
            _CLASSES[f"{package}.{name}"] = item
            _NAMES[item] = f"{package}.{name}"
            item.__reduce_ex__ = _reduce_ex  # type: ignore[assignment,method-assign]  # of which class is not known


def _reduce_ex(self: Any, protocol: Any) -> Any:
    """Pickle as Python does it, but for the name of the class."""
    reduced: Any = object.__reduce_ex__(self, max(protocol, 2))
    name = _NAMES.get(type(self))  # none for a class that extends ours
    if name is None:
        return reduced
    function, arguments, *state = reduced
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]  # what pickle calls to make a bare instance
        arguments = arguments[1:]
    elif function is not type(self):
        return reduced
    return rebuild, (name, *arguments), *state


def rebuild(name: str, *arguments: Any) -> Any:
    """Return an instance of a public class of this library: what its pickles call.

    Args:
        name: package and name, such as `"lrsched.Cosine"`.
        arguments: what the class is called with. Of a class that leaves pickling to Python a bare instance is made,
            as pickle would make it.

    Raises:
        ValueError: no package of ours exports such a class: another version of it wrote the pickle.

    Examples:
        >>> rebuild("lrsched.Cosine", 1.0, 0.0, 10)
        Cosine(1.0, 0.0, steps=10)
    """
    package, _, own = name.rpartition(".")
    if name not in _CLASSES and package in PACKAGES:
        getattr(importlib.import_module(package), own, None)
    cls: Any = _CLASSES.get(name)
    if cls is None:
        raise ValueError(f"rebuild(name=...) must be a class that lrsched exports, got {name!r}: of another version?")
    return cls.__new__(cls, *arguments) if cls.__reduce__ is object.__reduce__ else cls(*arguments)
