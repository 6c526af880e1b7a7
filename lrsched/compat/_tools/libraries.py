"""The libraries of `compat`, found by their files."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

_HOME = "lrsched.compat"
_FOLDER = str(Path(__file__).resolve().parents[1])


def libraries() -> list[str]:
    """Return the names of the libraries, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([_FOLDER]) if not module.name.startswith("_"))


def library(name: str) -> ModuleType:
    """Return the module of a library."""
    return importlib.import_module(f"{_HOME}.{name}")


class Libraries(ModuleType):
    """The module in which the libraries are bound when they are imported, in whatever way, and so become public."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Let a library show its functions only, and let these say that they are its own."""
        if isinstance(value, ModuleType) and not name.startswith("_"):
            names = list(value.__all__)
            vars(value)["__dir__"] = lambda: names
            for item in map(value.__dict__.get, names):
                if item.__module__.startswith(f"{value.__name__}."):
                    item.__module__ = value.__name__
        super().__setattr__(name, value)
