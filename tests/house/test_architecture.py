"""The house plan: what may import what, how large a file is, what is public, what the wheel holds.

Each structural check is a function from sources to a list of complaints, and has a second test that shows it can fail.
"""

import ast
import email
import importlib
import inspect
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("lrsched", "lrsched_torch", "lrsched_keras", "lrsched_optax")
FRAMEWORKS = {
    "flax",
    "jax",
    "jaxlib",
    "keras",
    "matplotlib",
    "mpmath",
    "optax",
    "pandas",
    "rich",
    "scipy",
    "sklearn",
    "tensorflow",
    "torch",
    "transformers",
    "yaml",
}
Sources = dict[str, str]  # module name -> source text
Complaints = Callable[[Sources], list[str]]


def sources(folder: Path) -> Sources:
    """Return the modules below `folder`, a package, under their import names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


CORE = sources(ROOT / "lrsched")
ADAPTERS = {name: sources(ROOT / "adapters" / name) for name in PACKAGES[1:]}


def imports(source: str, modules: Sources, late: bool = True) -> Iterator[tuple[str, str]]:
    """Yield `(module, name)` for each import; `late` includes those inside functions.

    `name` is "" where a whole module is imported, also if that is written `from package import module`.
    """
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{package}.{alias.name}"
                yield (inner, "") if inner in modules else (package, alias.name)
        if late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.extend(ast.iter_child_nodes(node))


def loaded(statements: str) -> set[str]:
    """Return the frameworks that a fresh interpreter has loaded after running `statements`."""
    program = f"{statements}\nimport sys\nprint(*sorted({FRAMEWORKS!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_every_module_of_the_core_loads_no_framework():
    assert len(CORE) > 10
    assert loaded("\n".join(f"import {name}" for name in CORE if not name.endswith("__main__"))) == set()


def test_the_import_check_sees_a_framework():
    pytest.importorskip("mpmath")
    assert loaded("import lrsched, mpmath") == {"mpmath"}


# The rooms of each house from the ground up. An import points to a lower floor or stays in its room, whether it runs
# at import time or later; rooms of one floor do not know each other. "compat.*" is every library in `compat`.
HOUSES: dict[str, tuple[tuple[str, ...], ...]] = {
    "lrsched": (
        ("_core", "installed", "pickling"),
        ("_spaces", "arguments"),
        ("_curves",),
        ("rules._ops", "feedback", "_recipes", "_draw"),
        ("rules._blocks", "_lint"),
        ("rules._update",),
        ("rules._library",),
        ("rules._apply",),
        ("rules", "compat._tools"),
        ("compat.*", "forecast"),
        ("compat._remarks",),
        ("compat", "demo"),
        ("_translate", "_configs"),
        ("_command",),
        ("", "cli"),
        ("__main__",),
    ),
    "lrsched_torch": (
        ("_shared", "_scheduler"),
        ("_traced", "_imports"),
        ("_joined", "_loops"),
        ("_kernels", "_spread"),
        ("_optimizer",),
        ("", "demo", "building"),
    ),
}
ALL = CORE | ADAPTERS["lrsched_torch"]


def room(module: str) -> str:
    """Return the room of a module: the one with the longest name that its own begins with."""
    house, _, inside = module.partition(".")
    rooms = {name for floor in HOUSES[house] for name in floor}
    found = inside
    while found not in rooms:
        if f"{found.rpartition('.')[0]}.*" in rooms:
            return f"{found.rpartition('.')[0]}.*"
        if not found:
            raise ValueError(f"{module} is in no room")
        found = found.rpartition(".")[0]
    # The package itself is a room; its files lie in others.
    if not found and inside:
        raise ValueError(f"{module} is in no room")
    return found


def upward(modules: Sources) -> list[str]:
    """Return a line for each import, late ones too, that does not point down or stay in its room."""
    found = []
    for module, source in modules.items():
        house = module.partition(".")[0]
        level = {name: i for i, floor in enumerate(HOUSES[house]) for name in floor}
        here = room(module)
        for target, _ in imports(source, modules):
            if target.partition(".")[0] == house and (there := room(target)) != here and level[there] >= level[here]:
                found.append(f"{module} ({here}) imports {target} ({there})")
    return found


def cycles(modules: Sources) -> list[str]:
    """Return the first circle of imports, late ones too, if there is one."""
    graph = {
        module: {target for target, _ in imports(source, modules) if target in modules and target != module}
        for module, source in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def relative(modules: Sources) -> list[str]:
    """Return a line for each relative import, which the checks above would not see."""
    return [
        f"{module} imports {target}"
        for module, source in modules.items()
        for target, _ in imports(source, modules)
        if target.startswith(".")
    ]


@pytest.mark.parametrize("check", [upward, cycles, relative])
def test_imports_point_down(check: Complaints):
    assert check(ALL) == []


@pytest.mark.parametrize("package", ["lrsched_keras", "lrsched_optax"])
def test_an_adapter_without_rooms_has_no_circle(package: str):
    assert cycles(ADAPTERS[package]) == relative(ADAPTERS[package]) == []


@pytest.mark.parametrize(
    ("check", "module", "source"),
    [
        (upward, "lrsched._core.value", "from lrsched._curves.schedule import Schedule"),
        (upward, "lrsched._core.value", "if True:\n    import lrsched._spaces"),
        (upward, "lrsched._curves.schedule", "def f():\n    from lrsched._draw.svg import mimebundle"),
        (upward, "lrsched._curves.ramps", "from lrsched import rules"),
        (upward, "lrsched._curves.ramps", "from lrsched.compat.torch import StepLR"),
        (upward, "lrsched._recipes.recipes", "from lrsched import Cosine"),
        (upward, "lrsched._draw.svg", "import lrsched._recipes"),
        (upward, "lrsched.rules._ops.context", "from lrsched.rules._blocks import tape"),
        (upward, "lrsched.rules._library.sgd", "from lrsched.rules import Adam"),
        (upward, "lrsched.feedback._plateau", "def f():\n    from lrsched.rules import Adam"),
        (upward, "lrsched.forecast._law", "import lrsched.compat.torch"),
        (upward, "lrsched.compat._tools.pieces", "from lrsched.compat.torch import StepLR"),
        (upward, "lrsched.compat.torch", "from lrsched.compat import remarks"),
        (upward, "lrsched._translate.source", "from lrsched import Cosine"),
        (upward, "lrsched_torch._shared.update", "from lrsched_torch._traced import graphs"),
        (upward, "lrsched_torch._loops.table", "from lrsched_torch._joined.bucket import Bucket"),
        (upward, "lrsched_torch._joined.buckets", "from lrsched_torch import RuleOptimizer"),
        (cycles, "lrsched._core.value", "import lrsched._core.config"),
        (cycles, "lrsched._core.value", "def f():\n    import lrsched._core.config"),
        (relative, "lrsched._curves.ramps", "from ._schedule import Schedule"),
        (relative, "lrsched._curves.ramps", "from . import schedule"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(check: Complaints, module: str, source: str):
    known = dict.fromkeys(ALL, "") | {"lrsched._core.config": "import lrsched._core.value", module: source}
    assert len(check(known)) == 1


@pytest.mark.parametrize("module", ["lrsched._loose", "lrsched_torch._loose", "lrsched._loose.inside"])
def test_a_module_in_no_room_is_found(module: str):
    with pytest.raises(ValueError, match="is in no room"):
        upward({module: ""})


# Keras wraps neither tf.distribute, which keeps replicas in step, nor the kernels that backends have for optimizers.
KERAS = {"keras", "tensorflow", "torch"}
OWN = {"lrsched_torch": {"torch"}, "lrsched_keras": KERAS, "lrsched_optax": {"jax", "optax"}}


def trespasses(modules: Sources) -> list[str]:
    """Return a line for each foreign framework, other adapter or private name of the core that an adapter touches."""
    found = []
    for module, source in modules.items():
        package = module.partition(".")[0]
        foreign = (FRAMEWORKS | set(PACKAGES)) - OWN[package] - {package, "lrsched"}
        for target, name in imports(source, modules):
            first = target.partition(".")[0]
            private = first == "lrsched" and any(part.startswith("_") for part in [*target.split("."), name])
            if first in foreign or private:
                found.append(f"{module} imports {target} {name}".rstrip())
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                base = ast.unparse(node.value)
                if base == "lrsched" or base.startswith("lrsched."):
                    found.append(f"{module} uses {base}.{node.attr}")
    return found


@pytest.mark.parametrize("package", sorted(OWN))
def test_an_adapter_sees_one_framework_and_the_public_core(package: str):
    assert len(ADAPTERS[package]) > 0
    assert trespasses(ADAPTERS[package]) == []


@pytest.mark.parametrize(
    "source",
    [
        "import keras",
        "from jax import numpy",
        "def f():\n    import tensorflow.math",
        "import lrsched_keras",
        "from lrsched._curves.schedule import Schedule",
        "from lrsched import _curves",
        "from lrsched.rules import _library",
        "import lrsched\nlrsched._curves.schedule.Schedule",
        "import lrsched\nlrsched.rules._sgd",
    ],
)
def test_an_adapter_that_reaches_too_far_is_found(source: str):
    assert len(trespasses({"lrsched_torch._module": source})) == 1


def test_an_adapter_may_import_its_framework_itself_and_public_names():
    source = "import torch.nn\nfrom lrsched import Schedule, rules\nfrom lrsched_torch._lr import ScheduleLR"
    assert trespasses({"lrsched_torch": source}) == []


def long_files(modules: Sources, most: int = 500) -> list[str]:
    """Return the modules of more than `most` lines."""
    return [name for name, source in modules.items() if len(source.splitlines()) > most]


def test_no_file_of_the_library_is_long():
    assert long_files(CORE | {name: text for package in ADAPTERS.values() for name, text in package.items()}) == []


def test_a_long_file_is_found():
    assert long_files({"short": "x\n" * 500, "long": "x\n" * 501}) == ["long"]


def test_the_folder_adapters_is_no_package():
    assert not (ROOT / "adapters" / "__init__.py").exists()


def imported(package: str) -> ModuleType:
    """Import a package of ours; skip the test if its framework is not installed."""
    for framework in OWN.get(package, set()):
        pytest.importorskip(framework)
    return importlib.import_module(package)


def undocumented(public: dict[str, object]) -> list[str]:
    """Return the names without a docstring of their own whose first line is a sentence of at most 80 characters."""
    wrong = []
    for name, item in public.items():
        first = (inspect.getdoc(item) or "").partition("\n")[0]
        written_by_dataclass = first.startswith(f"{name}(")
        if written_by_dataclass or not 0 < len(first) <= 80 or not first.endswith((".", ":")):
            wrong.append(f"{name}: {first!r}")
    return wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_sorted(package: str):
    module = imported(package)
    assert len(module.__all__) > 0
    assert list(module.__all__) == sorted(set(module.__all__))


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_documented_in_one_line(package: str):
    module = imported(package)
    assert undocumented({name: getattr(module, name) for name in module.__all__ if name != "__version__"}) == []


def test_a_name_without_a_proper_docstring_is_found():
    def none() -> None: ...

    def long() -> None:
        """A line that goes on and on and on, although nobody reads more than eighty characters of it."""

    def generated() -> None:
        """generated(start: float)"""

    def fine() -> None:
        """A sentence."""

    found = undocumented({f.__name__: f for f in (none, long, generated, fine)})
    assert [line.partition(":")[0] for line in found] == ["none", "long", "generated"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from this checkout without network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("lrsched_suite-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_four_packages_and_nothing_else(wheel: zipfile.ZipFile):
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


SOURCES = (".py", ".h")


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile):
    expected = {
        path.relative_to(base).as_posix()
        for base, packages in ((ROOT, PACKAGES[:1]), (ROOT / "adapters", PACKAGES[1:]))
        for package in packages
        for path in (base / package).rglob("*.[ph]*")
        if path.suffix in SOURCES
    }
    assert {name for name in wheel.namelist() if name.endswith(SOURCES)} == expected
    assert "lrsched_torch/_loops/walk.h" in expected


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_of_the_wheel_is_typed(wheel: zipfile.ZipFile, package: str):
    assert f"{package}/py.typed" in wheel.namelist()


@pytest.mark.parametrize(("file", "words"), [("LICENSE", "Apache License"), ("NOTICE", "`to_source` prints is yours")])
def test_the_wheel_carries_its_licence_and_notice(wheel: zipfile.ZipFile, file: str, words: str):
    (name,) = (name for name in wheel.namelist() if name.endswith(f".dist-info/licenses/{file}"))
    assert words in wheel.read(name).decode()


def test_the_wheel_requires_numpy_alone(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    required = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist", [])
    assert [line for line in required if "extra ==" not in line] == ["numpy>=2.0"]
