"""A class name of the library means one thing."""

import ast
from collections import defaultdict

import pytest
from test_architecture import ADAPTERS, CORE, Sources

LIBRARY = CORE | {name: text for package in ADAPTERS.values() for name, text in package.items()}
# One idea, in the form of each framework.
SHARED = {"RuleOptimizer"}


def classes(source: str) -> set[str]:
    """Return the names of all classes of a module, inner ones too, without the underscore that makes them private."""
    nodes = ast.walk(ast.parse(source))
    return {node.name.lstrip("_") for node in nodes if isinstance(node, ast.ClassDef)}


def twice(modules: Sources) -> list[str]:
    """Return a line for each class name that several modules define."""
    homes = defaultdict(list)
    for module, source in sorted(modules.items()):
        for name in classes(source) - SHARED:
            homes[name].append(module)
    return [f"{name}: {', '.join(found)}" for name, found in sorted(homes.items()) if len(found) > 1]


def test_no_class_name_has_two_meanings():
    assert sum(map(len, map(classes, LIBRARY.values()))) > 300
    assert twice(LIBRARY) == []


@pytest.mark.parametrize("name", ["Batch", "_Batch"])
def test_a_class_name_with_two_meanings_is_found(name: str):
    second = f"def f():\n    class {name}(NamedTuple):\n        x: int"
    assert twice({"one": "class Batch: ...\nclass Other: ...", "two": second}) == ["Batch: one, two"]


def test_a_function_may_bear_the_name_of_a_class():
    assert twice({"one": "class Cosine: ...", "two": "def Cosine(): ..."}) == []
