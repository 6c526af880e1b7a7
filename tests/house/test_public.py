"""What is public: the names that pickles hold, where the source of a class is found."""

import ast
import doctest
import importlib
import inspect
import itertools
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feedback_cases import RULES, fold, observation
from pickles import globals_of, private
from samples import falling

import lrsched as ls
from lrsched import pickling, rules
from lrsched._core.check import plain_signature
from lrsched._core.offers import CLASSES
from lrsched._core.value import Value
from lrsched.rules import L2, SGD

ROOT = Path(__file__).resolve().parents[2]
CORE = tuple(package for package in pickling.PACKAGES if package.partition(".")[0] == "lrsched")
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)
PUBLIC = {
    f"{package}.{name}": getattr(importlib.import_module(package), name)
    for package in CORE
    for name in importlib.import_module(package).__all__
}
LEAVES = {leaf for family in CLASSES.values() for leaf in family.values()}
# Bases; and what holds the functions of an array library, which is asked for anew with `ops_of`.
WITHOUT_INSTANCES = {
    "lrsched.Curve",
    "lrsched.Ramp",
    "lrsched.Schedule",
    "lrsched.feedback.Feedback",
    "lrsched.rules.Context",
    "lrsched.rules.Full",
    "lrsched.rules.Link",
    "lrsched.rules.Local",
    "lrsched.rules.Ops",
    "lrsched.rules.Part",
    "lrsched.rules.Rule",
}
TWO = (ls.Linear(1.0, 0.5, steps=4), ls.Constant(0.5, steps=3))
# What the fields of a value are tried with.
CONTENTS = (
    falling,
    0.5,
    2,
    1.5,
    1000,
    (1, 2),
    (0.5, 0.25),
    TWO[0],
    TWO,
    SGD(),
    L2(0.1),
    (L2(0.1),),
    (L2(0.1), SGD()),
    "Constant(1)",
)


def sample(cls: Any) -> Any:
    """Return an instance of a public class."""
    if cls is rules.Rows:
        return cls([(2, 3), ()], width=4)
    if cls is ls.Reading:
        return cls("transformers", {"lr": TWO[0]}, SGD(), ls.Budget(steps=3))
    if not issubclass(cls, Value):
        return cls(*range(len(getattr(cls, "_fields", "x"))))
    needed = [p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    for contents in itertools.product(CONTENTS, repeat=len(needed)):
        try:
            return cls(**dict(zip(needed, contents, strict=True)))
        except (TypeError, ValueError):
            pass
    raise ValueError(f"no contents make a {cls.__name__}")


def instances() -> Iterator[Any]:
    """Yield an instance of each public class, the slots of each rule, states of each feedback rule."""
    for name, item in PUBLIC.items():
        if name not in WITHOUT_INSTANCES:
            yield sample(item) if isinstance(item, type) else item
    for rule in CLASSES["rule"].values():
        if rule.__module__.startswith("lrsched.") and issubclass(rule, rules.Rule):
            yield sample(rule).init(np.ones((2, 3)))
    for rule in RULES:
        yield from fold(rule, [observation(rule, 0.5)])[0]


INSTANCES = list(instances())


def shown(item: Any) -> str:
    """Return what an instance holds, as text."""
    content = item.args if isinstance(item, Exception) else vars(item) if isinstance(item, rules.Rows) else item
    return f"{type(item).__qualname__} {getattr(item, '__qualname__', content)!r}"


def test_a_pickle_of_what_is_public_holds_public_names():
    assert len(INSTANCES) > 150
    assert {type(item) for item in INSTANCES} >= {cls for cls in LEAVES if cls.__module__.startswith("lrsched.")}
    found = {name for item in INSTANCES for protocol in PROTOCOLS for name in globals_of(pickle.dumps(item, protocol))}
    assert private(found) == set()
    assert "lrsched.pickling.rebuild" in found
    functions = [item for item in PUBLIC.values() if inspect.isfunction(item)]
    assert {f"{item.__module__}.{item.__name__}" for item in functions} <= found


def test_a_private_name_in_a_pickle_is_found():
    from lrsched._core.check import short

    assert private(globals_of(pickle.dumps([short, ls.Cosine, ls.wsd]))) == {
        "lrsched._core.check.short",
        "lrsched._curves.ramps.Cosine",
    }


def loaded_elsewhere(items: list[Any], folder: Path) -> list[str]:
    """Return what a process that has imported nothing shows of items that it reads from pickles."""
    file = folder / "pickles"
    file.write_bytes(pickle.dumps([pickle.dumps(item, 2 + i % 4) for i, item in enumerate(items)]))
    program = (
        "import pickle, sys\n"
        f"sys.path[:0] = {[str(folder), *sys.path]!r}\n"
        f"contents = pickle.load(open({str(file)!r}, 'rb'))\n"
        "assert not any(name.startswith('lrsched') for name in sys.modules)\n"
        "items = [pickle.loads(content) for content in contents]\n"
        "from lrsched import rules\nfrom typing import Any\n"
        f"{inspect.getsource(shown)}"
        "print(*(ascii(shown(item)) for item in items), sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pickles_load_here_and_in_a_process_that_has_imported_nothing(tmp_path: Path):
    expected = [ascii(shown(item)) for item in INSTANCES]
    for protocol in PROTOCOLS:
        assert [ascii(shown(pickle.loads(pickle.dumps(item, protocol)))) for item in INSTANCES] == expected
    assert loaded_elsewhere(INSTANCES, tmp_path) == expected


def test_a_class_of_a_user_is_found_in_its_own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "mine_to_pickle.py").write_text("from lrsched import Cosine\nclass Mine(Cosine):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("mine_to_pickle").Mine(1.0, 0.0, 10)
    try:
        assert globals_of(pickle.dumps(mine >> TWO[0])) == {"lrsched.pickling.rebuild", "mine_to_pickle.Mine"}
        assert loaded_elsewhere([mine >> TWO[0]], tmp_path) == [ascii(shown(mine >> TWO[0]))]
    finally:
        del CLASSES["schedule"]["Mine"]


@pytest.mark.parametrize("name", ["lrsched.NoSuch", "os.system", "lrsched.wsd", "lrsched.__main__.main", "Cosine"])
def test_only_public_classes_of_ours_are_rebuilt(name: str):
    with pytest.raises(ValueError, match=f"must be a class that lrsched exports, got '{name}'"):
        pickling.rebuild(name, "true")


def publishing(folder: Path, name: str) -> set[str]:
    """Return the packages in one of that name, which lies in the folder, that publish their names."""
    files = [file for file in (folder / name).rglob("__init__.py") if "publish(__name__)" in file.read_text("utf-8")]
    return {".".join(file.parent.relative_to(folder).parts) for file in files}


def test_the_packages_that_publish_are_those_that_a_pickle_may_name(tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").write_text("publish(__name__)")
    assert publishing(tmp_path, "inner") == {"inner"}
    adapters = {f"lrsched_{name}" for name in ("keras", "optax", "torch")}
    found = publishing(ROOT, "lrsched").union(*(publishing(ROOT / "adapters", name) for name in adapters))
    assert found == set(pickling.PACKAGES)
    assert adapters < found


def test_the_source_of_every_public_class_is_shown():
    classes = [item for item in PUBLIC.values() if isinstance(item, type)]
    assert len(classes) > 100
    assert [cls.__name__ for cls in classes if f"class {cls.__name__}" not in inspect.getsource(cls)] == []


def inside() -> list[str]:
    """Return the names of the modules of `lrsched`, in the order in which pytest collects them."""
    found = (path.relative_to(ROOT).with_suffix("").parts for path in sorted((ROOT / "lrsched").rglob("*.py")))
    return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in found]


def test_the_signature_of_every_value_has_plain_types():
    assert str(inspect.signature(ls.Cosine)) == "(start: float, end: float, steps: int) -> None"
    values = {name: item for name, item in PUBLIC.items() if isinstance(item, type) and issubclass(item, Value)}
    assert len(values) > 80
    assert [name for name, cls in values.items() if "Annotated" in str(inspect.signature(cls))] == []
    leaves = [cls for cls in values.values() if cls in LEAVES]
    assert [cls for cls in leaves if [*inspect.signature(cls).parameters] != [f.name for f in fields(cls)]] == []


def test_the_signature_of_an_instance_is_that_of_its_call():
    assert list(inspect.signature(ls.Constant(0.1)).parameters) == ["step", "xp"]
    assert not hasattr(rules.Adam(), "__signature__")


def test_a_constraint_in_a_signature_would_be_seen():
    assert "Annotated" in str(inspect.signature(ls.Cosine.__init__))
    assert "Annotated" not in str(plain_signature(inspect.signature(ls.Cosine.__init__)))


def examined(names: list[str]) -> list[str]:
    """Return each docstring whose examples doctest finds in these modules, as often as it does."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = map(importlib.import_module, names)  # one after the other, as pytest collects them
    return [test.docstring or "" for module in modules for test in finder.find(module)]


def with_examples() -> dict[str, str]:
    """Return the docstring of each public name that has examples."""
    documented = ((name, inspect.cleandoc(item.__doc__ or "")) for name, item in PUBLIC.items())
    return {name: text for name, text in documented if ">>>" in text}


@pytest.mark.parametrize("late", ["", "import lrsched; [getattr(lrsched, name) for name in lrsched.__all__]"])
def test_doctest_finds_the_examples_of_every_public_name_once(late: str):
    modules = [name for name in inside() if not name.endswith("__main__")]
    program = (
        f"import doctest, importlib\n{late}\n{inspect.getsource(examined)}"
        f"print(*(ascii(text) for text in examined({modules!r})), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [inspect.cleandoc(ast.literal_eval(line)) for line in done.stdout.splitlines()]
    assert len(with_examples()) > 100
    assert {name: found.count(text) for name, text in with_examples().items()} == dict.fromkeys(with_examples(), 1)


def test_doctest_does_not_find_what_another_module_exports():
    text = inspect.getdoc(ls.wsd)
    assert text in map(inspect.cleandoc, examined(["lrsched"]))
    assert text not in map(inspect.cleandoc, examined(["lrsched._recipes.recipes"]))


def impolite(source: str) -> list[str]:
    """Return the lines of examples that touch a private name of ours."""
    return re.findall(r"(?:>>>|\.\.\.) .*\blrsched\w*(?:\.\w+)*(?:\._| import .*\b_).*", source)


@pytest.mark.parametrize("folder", ["lrsched", "adapters"])
def test_examples_take_names_from_where_users_do(folder: str):
    files = list((ROOT / folder).rglob("*.py"))
    assert len(files) > 20
    assert [(file.name, line) for file in files for line in impolite(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "line",
    ["from lrsched._curves import ramps", "lrsched_torch._spread", "x = lrsched._core", "from lrsched import _core"],
)
def test_an_example_that_touches_a_private_name_is_found(line: str):
    assert len(impolite(f">>> {line}\n1\n... {line}")) == 2
    assert impolite(">>> from lrsched import Cosine\n>>> lrsched.rules.Adam(_b=1)") == []


@pytest.mark.parametrize("package", CORE[:1] + CORE[2:])
def test_completion_lists_the_public_names_and_no_others(package: str):
    program = f"import {package} as package, json\nprint(json.dumps([dir(package), package.__all__]))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    listed, public = json.loads(done.stdout)
    extra = set(listed) - set(public)
    assert set(public) <= set(listed)
    assert {name for name in extra if not inspect.ismodule(getattr(importlib.import_module(package), name))} <= {
        "__version__"
    }
    assert not any(name.startswith("_") for name in extra - {"__version__"})
