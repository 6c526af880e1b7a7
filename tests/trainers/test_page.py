"""docs/trainers.md: a test runs each example, with versions that the tests install; what holds it to that can fail."""

import re
from pathlib import Path

import pytest
from harness import HEADING, PAGE, examples, follows, page

from lrsched import Constant, Linear

ROOT = PAGE.parents[1]
TEXT = PAGE.read_text(encoding="utf-8")
ROW = re.compile(r"^\| \[(.+?)\]\(#(.+?)\) \| (.*?) \| .*? \| (.*?) \|$", re.MULTILINE)
PINS = ("constraints.txt", "tests/oracles.txt", "tests/oracles-large.txt")


def left_out(headings: set[str], tests: list[str]) -> set[str]:
    """Return the headings that no text of a test names."""
    return {title for title in headings if not any(f'"{title}"' in text for text in tests)}


def anchor(title: str) -> str:
    """Return what a link to a heading says."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def pinned() -> set[str]:
    """Return `name version` of all that the tests install."""
    lines = [line for name in PINS for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {f"{m[1]} {m[2]}".lower() for line in lines if (m := re.match(r"([\w.-]+)==([^ ;]+)", line))}


def test_a_test_runs_each_example():
    tests = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_trainer_*.py")]
    assert left_out(set(examples(TEXT)), tests) == set()


def test_an_example_that_no_test_runs_is_seen():
    found = examples("## A\n```python\nx = 1\n```\n## B\n```python\ny = 2\n```\n")
    assert left_out(set(found), ['page("A", x=2)']) == {"B"}


def test_each_row_leads_to_its_section():
    rows = ROW.findall(TEXT)
    assert len(rows) == len(re.findall(r"^\| \[", TEXT, re.MULTILINE))
    assert {link for _, link, *_ in rows} <= {anchor(title) for title in HEADING.findall(TEXT)}


def test_versions_of_what_ran_here_are_those_that_the_tests_install():
    said = {one for *_, versions, how in ROW.findall(TEXT) if how == "ran here" for one in versions.lower().split(", ")}
    assert said
    assert said - pinned() == set()


def test_a_row_without_its_version_is_seen():
    assert ROW.findall("| [A b](#a-b) | no-such 1.0 | x | ran here |") == [("A b", "a-b", "no-such 1.0", "ran here")]
    assert "no-such 1.0" not in pinned()
    assert "torch 2.13.0" in pinned()


def test_lines_keep_their_numbers():
    text = "# T\n\n## A\n\n```python\nx = 1\n# y\n```\n\ntext\n\n```python\nx / 0\n```\n"
    code = examples(text)["A"]
    assert code.splitlines()[5] == "x = 1"
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile(code, "page", "exec"), {})
    assert caught.traceback[-1].lineno == 12  # counted from 0


def test_a_heading_that_the_page_has_not_is_an_error():
    with pytest.raises(KeyError, match="no such tool"):
        page("no such tool")


def test_rates_that_differ_or_never_change_are_found():
    follows(Linear(1.0, 0.0, steps=4), [1.0, 0.75], [0.5], updates=3)
    with pytest.raises(AssertionError):
        follows(Linear(1.0, 0.0, steps=4), [1.0, 0.75, 0.6], updates=3)
    with pytest.raises(AssertionError, match="decide nothing"):
        follows(Constant(0.1), [0.1] * 12)
