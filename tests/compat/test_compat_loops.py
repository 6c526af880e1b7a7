"""Each library has a word on how its preset was held to its trainer, and each trainer said to be run is run."""

import ast
import re
from pathlib import Path

import pytest
from compat_loops import LOOPS, ONLY, READ, RUN, Loop

from lrsched import compat
from lrsched.compat._remarks.table import BATCHES

FOLDER = Path(__file__).resolve().parents[1] / "trainers"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("test_trainer_*.py"))}
# An installed version, or a repository at a commit and its date; then the lines.
CITATION = re.compile(r".+( \d+\.\d+\S*| at [0-9a-f]{7,40} \(20\d\d-\d\d-\d\d\)), \S+\.\w+:\d+(-\d+)?")


def trained(sources):
    """Return the libraries that a test compares with a trainer which its file gets by `real`."""
    found = set()
    for source in sources.values():
        tree = ast.parse(source)
        if not any(_called(node) == "real" for node in ast.walk(tree)):
            continue
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                found |= {
                    node.args[0].value
                    for node in ast.walk(function)
                    if _called(node) == "agree" and isinstance(node.args[0], ast.Constant)
                }
    return found


def _called(node):
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def wrong(loops, ran):
    """Return the libraries whose entry says more or less than is known."""
    found = []
    for library, loop in loops.items():
        if (loop.how == RUN) != (library in ran):
            found.append(
                f"{library}: {loop.how}, but tests/trainers {'does' if library in ran else 'does not'} train with it"
            )
        if loop.how == READ and not CITATION.fullmatch(loop.where):
            found.append(f"{library}: read where? {loop.where}")
        if loop.how not in (RUN, READ, ONLY) or not loop.where:
            found.append(f"{library}: {loop}")
    return found


def test_every_library_has_an_entry():
    assert sorted(LOOPS) == sorted(dir(compat))


def test_what_is_said_to_be_run_is_run():
    assert wrong(LOOPS, trained(SOURCES)) == []


def test_it_is_known_of_every_library_what_it_counts():
    kinds = {"updates", "batches", "epochs", "samples"}
    assert {library for library, loop in LOOPS.items() if not set(loop.counts.split(", or ")) <= kinds} == set()


def test_the_remarks_know_which_libraries_count_batches():
    assert {library for library, loop in LOOPS.items() if "batches" in loop.counts} == set(BATCHES)


def test_an_accumulated_batch_is_trained_with_where_batches_are_counted():
    for library in BATCHES:
        source = SOURCES[f"test_trainer_{library}.py"]
        assert f'agree("{library}", Batches(' in source or "ours = Batches(" in source, library


REAL = 'trainer = real("a.trainer", "a")\n'
TEST = 'def test_a():\n    agree("a", ours, train())\n'


@pytest.mark.parametrize(
    ("source", "libraries"),
    [
        (REAL + TEST, {"a"}),
        ("trainer = stub()\n" + TEST, set()),
        (REAL + TEST.replace("test_", "check_"), set()),
        (REAL + TEST.replace("agree", "compare"), set()),
    ],
)
def test_a_test_without_a_real_trainer_does_not_count(source, libraries):
    assert trained({"test_trainer_a.py": source}) == libraries


@pytest.mark.parametrize(
    ("loop", "ran"),
    [
        (Loop(RUN, "`a.Trainer`"), set()),
        (Loop(READ, "a 1.2.3, a/trainer.py:10-20"), {"a"}),
        (Loop(READ, "a/b at 01234567, trainer.py:10-20"), set()),
        (Loop(READ, "a/b at 0123456 (2026-01-02), trainer.py"), set()),
        (Loop(ONLY, ""), set()),
        (Loop("guessed", "so"), set()),
    ],
)
def test_a_wrong_entry_is_found(loop, ran):
    assert len(wrong({"a": loop}, ran)) == 1


@pytest.mark.parametrize("where", ["a 1.2.3, a/trainer.py:10-20", "a/b at 0123456 (2026-01-02), trainer.py:7"])
def test_a_citation_names_version_file_and_lines(where):
    assert wrong({"a": Loop(READ, where)}, set()) == []
