"""The libraries of `compat`, found by their files."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

_HOME = "lrsched.compat"
_FOLDER = str(Path(__file__).resolve().parents[1])


def libraries() -> list[str]:
    """Return the names of the libraries, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([_FOLDER]) if not module.name.startswith("_"))


def library(name: str) -> ModuleType:
    """Return the module of a library."""
    return importlib.import_module(f"{_HOME}.{name}")
