"""Other libraries' schedules, loaded without the rest of the library, and what compares ours with theirs."""

import ast
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrsched import Schedule

torch = pytest.importorskip("torch")  # most of these libraries drive it


def folder(package: str) -> Path:
    """Return where a package is installed without importing it, or skip the tests of the module."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed (pip install --no-deps -r tests/oracles.txt)", allow_module_level=True)
    return Path(spec.submodule_search_locations[0])


def stub(name: str, **content: Any) -> types.ModuleType:
    """Return a module that holds `content`."""
    module = types.ModuleType(name)
    module.__dict__.update(content)
    return module


def load(package: str, path: str, stubs: Iterable[types.ModuleType] = (), name: str = "") -> types.ModuleType:
    """Run one file of an installed package, with `stubs` in place of the modules that it imports."""
    file = folder(package) / path
    missing = object()
    name = name or f"oracle_{package}_{file.stem}"
    replaced = {key: sys.modules.get(key, missing) for key in (name, *(s.__name__ for s in stubs))}
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.update({s.__name__: s for s in stubs})
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        for key, old in replaced.items():
            if old is missing:
                del sys.modules[key]
            else:
                sys.modules[key] = old  # type: ignore[assignment]  # not missing here
    return module


def hollow(package: str, *submodules: str) -> types.ModuleType:
    """Import a submodule of a package whose own `__init__` is left out (it may need what is not installed)."""
    if package not in sys.modules:
        module = types.ModuleType(package)
        module.__path__ = [str(folder(package))]
        module.__spec__ = importlib.util.find_spec(package)
        sys.modules[package] = module
    return [importlib.import_module(f"{package}.{name}") for name in submodules][-1]


class Optimizer:
    """As much of an optimizer as a scheduler looks at."""

    def __init__(self, lr: float, **rest: Any) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, "initial_lr": lr, "params": [], **rest}]
        self.defaults = {"lr": lr, **rest}

    @property
    def lr(self) -> float:
        """The rate of the first group."""
        return float(self.param_groups[0]["lr"])


def sgd(lr: float) -> torch.optim.Optimizer:
    """Return a real optimizer of one parameter."""
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates(optimizer: Any, advance: Callable[[int], Any], count: int) -> list[float]:
    """Return the rates that the updates use: `advance(t)` is called after update number t - 1."""
    found = [float(optimizer.param_groups[0]["lr"])]
    step = getattr(optimizer, "step", lambda: None)  # torch warns of a scheduler that moves without its optimizer
    for t in range(1, count):
        step()
        advance(t)
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def assert_agrees(schedule: Schedule, expected: Sequence[float], rtol: float = 1e-12, single: bool = True) -> None:
    """Compare the schedule with the values of updates 0, 1, ...: as numbers, an array, and in float32 if `single`."""
    scale = max(1.0, *map(abs, expected))
    steps = range(len(expected))
    message = repr(schedule)[:300]
    np.testing.assert_allclose([schedule(t) for t in steps], expected, rtol, 1e-15 * scale, err_msg=message)
    np.testing.assert_allclose(schedule(np.arange(len(expected))), expected, rtol, 1e-15 * scale, err_msg=message)
    if single:
        values = schedule(torch.arange(len(expected))).numpy()
        np.testing.assert_allclose(values, expected, 2e-6, 2e-7 * max(map(abs, expected)) + 1e-37, err_msg=message)


def definitions(package: str, path: str, names: Sequence[str], **content: Any) -> dict[str, Any]:
    """Run only some definitions of a file of an installed package, in a namespace that holds `content`."""
    source = (folder(package) / path).read_text(encoding="utf-8")
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign) and _name(node) in names
    ]
    namespace = dict(content)
    exec(compile(ast.Module(wanted, []), path, "exec", dont_inherit=True), namespace)
    return namespace


def _name(node: ast.FunctionDef | ast.ClassDef | ast.Assign) -> str:
    if isinstance(node, ast.Assign):
        return node.targets[0].id if isinstance(node.targets[0], ast.Name) else ""
    return node.name


def assert_agrees_at(schedule: Schedule, expected: dict[int, float], rtol: float = 1e-12, atol: float = 1e-15) -> None:
    """Compare with the values at some steps, as numbers and as an array; `atol` in units of the largest."""
    steps, values = sorted(expected), [expected[step] for step in sorted(expected)]
    atol *= max(1.0, *map(abs, values))
    message = repr(schedule)[:300]
    np.testing.assert_allclose([schedule(t) for t in steps], values, rtol, atol, err_msg=message)
    np.testing.assert_allclose(schedule(np.array(steps)), values, rtol, atol, err_msg=message)
