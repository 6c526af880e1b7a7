"""What the tests of this folder share: each trains with a library's own trainer and reads the rate of every update.

The tests of a preset elsewhere compare it with the library's scheduler. That is not the whole story: a trainer may step
the scheduler early, late, once a batch or once an epoch. Here the trainer itself runs on the CPU, for `UPDATES` updates
in epochs of `EPOCH` batches, and what its optimizer used is compared with the schedule at t = 0, 1, 2, ...

To add a library:

* tests/trainers/test_trainer_<library>.py. It gets the trainer by `real`, trains, and compares by `agree`, naming the
  library (one file may train with several: llmfoundry's scheduler runs in Composer's Trainer):

      trainer = real("composer.trainer", "mosaicml")

      def train(scheduler, ...):          # returns the rates of the updates, in their order
          ...

      def test_a_warm_up_is_what_composer_uses():
          ours = compat.composer.CosineAnnealingWithWarmupScheduler(0.1, "4ba", max_duration="12ba")
          agree("composer", ours, train(...))

  Where the trainer has them: one test each for an epoch boundary, for gradients accumulated over two batches, and for
  a training resumed at half, in the middle of an epoch.
* an entry of the library in LOOPS, tests/compat_loops.py. Where the trainer cannot be run the entry says where its loop
  was read, and there is no test here.

`docs/trainers.md` says what to write in each tool. `page` runs these lines as they stand there, with what a test gives
them; `follows` compares the rates with the schedule. `test_page.py` holds the page to its tests and to the versions.

`torch_harness` has a model, batches and `watched(optimizer)` for trainers that drive PyTorch. `make test` runs the
folder in processes of its own, because other tests load libraries without their `__init__`.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lrsched import Schedule

UPDATES = 12
EPOCH = 5  # 12 updates cross two boundaries, and end within an epoch


def real(module: str, distribution: str, install: str = "tests/oracles.txt") -> ModuleType:
    """Import a module of a trainer; skip, saying what to install, where it is missing; fail if it is a stub.

    `install` is the file of requirements that brings the distribution.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: pip install --no-deps -r {install}", allow_module_level=True)
    found = importlib.import_module(module)
    if pretended := pretenders(module, {Path(str(file.locate())).resolve() for file in files}):
        raise RuntimeError(f"{', '.join(pretended)} did not come from {distribution}: run tests/trainers by itself")
    return found


def pretenders(module: str, files: set[Path]) -> list[str]:
    """Return which of a module and the packages that hold it are loaded from none of these files."""
    names = module.split(".")
    loaded = [".".join(names[: i + 1]) for i in range(len(names))]
    return [name for name in loaded if not _within(sys.modules.get(name), files)]


def _within(module: ModuleType | None, files: set[Path]) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:  # a namespace package has no file of its own
        spec, folders = getattr(module, "__spec__", None), getattr(module, "__path__", ())
        return spec is not None and spec.origin is None and any(f.is_relative_to(p) for p in folders for f in files)
    return Path(file).resolve() in files


def agree(
    library: str, schedule: Schedule, used: Sequence[float], *, rtol: float = 1e-12, updates: int = UPDATES
) -> None:
    """Compare a preset of `library` with the rates that its trainer used for updates 0, 1, 2, ..."""
    assert len(used) == updates, f"{library} made {len(used)} updates, not {updates}"
    assert len(set(used)) > 1, f"rates that never change decide nothing: {used[0]}"
    np.testing.assert_allclose([schedule(t) for t in range(updates)], used, rtol, 1e-15, err_msg=repr(schedule)[:300])


PAGE = Path(__file__).resolve().parents[2] / "docs" / "trainers.md"
HEADING = re.compile(r"^#{2,4} (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> dict[str, str]:
    """Return the lines of Python below each heading of a page, with empty ones before them: so errors name a line."""
    starts = [(m.start(), m[1]) for m in HEADING.finditer(FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text))]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    found: dict[str, str] = {}
    for (start, title), end in zip(starts, ends, strict=True):
        for block in FENCE.finditer(text, start, end):
            code = found.get(title, "")
            found[title] = code + "\n" * (text.count("\n", 0, block.start(1)) - code.count("\n")) + block[1]
    return found


def page(heading: str, **given: Any) -> dict[str, Any]:
    """Run the lines below a heading of docs/trainers.md with these names; return all names that there are then."""
    exec(compile(examples(PAGE.read_text(encoding="utf-8"))[heading], str(PAGE), "exec"), given)
    return given


def follows(schedule: Schedule, *used: Sequence[float], updates: int = UPDATES, rtol: float = 0.0) -> None:
    """Compare the rates that the updates of a training used, or of several that went on with each other."""
    rates = [rate for part in used for rate in part]
    assert len(rates) == updates, f"there were {len(rates)} updates, not {updates}"
    assert len(set(rates)) > 1, f"rates that never change decide nothing: {rates[0]}"
    np.testing.assert_allclose(rates, [schedule(t) for t in range(updates)], rtol, rtol and 1e-15)


class _Nothing(type):
    """Makes classes that take any arguments, and whose attributes are such classes."""

    def __new__(cls, name: str, bases: tuple[type, ...] = (), content: Any = None) -> "_Nothing":
        return super().__new__(cls, name, bases, {"__init__": lambda self, *args, **kwargs: None, **(content or {})})

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(name)


class _Empty(MetaPathFinder, Loader):
    """Makes modules of the named packages, in which any name is a class without content."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self.packages else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        class Module(ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return _Nothing(name)

        module = Module(spec.name)
        module.__version__ = "0"
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextlib.contextmanager
def emptied(*packages: str) -> Iterator[None]:
    """Replace packages, while others are imported, that these import and a training on the CPU never touches.

    For datasets of images and clients of cloud services, which would cost more to install than the trainer. Never for
    the trainer: `real` refuses that. Who asks whether one is installed, and remembers the answer, hears that it is not.
    """
    finder = _Empty(packages)

    def ours(name: str) -> bool:
        return name.partition(".")[0] in packages

    ask = importlib.util.find_spec

    def asked(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if ours(name) and finder in sys.meta_path else ask(name, package)

    before = {name: sys.modules.pop(name) for name in list(sys.modules) if ours(name)}
    sys.meta_path.insert(0, finder)
    importlib.util.find_spec = asked
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        importlib.util.find_spec = ask
        for name in [name for name in sys.modules if ours(name)]:
            del sys.modules[name]
        sys.modules.update(before)
