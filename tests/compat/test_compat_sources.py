"""Each preset that is held to a formula names the commit of its source and the date; old ones can be listed."""

import datetime
import importlib.util
import sys
from pathlib import Path

import compat_samples as samples
import pytest

from lrsched import compat

ROOT = Path(__file__).resolve().parents[2]


def _command():
    spec = importlib.util.spec_from_file_location("source_ages", ROOT / "docs" / "source_ages.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


ages = _command()
FORMULAS = [name for name, entry in samples.LIBRARIES.items() if entry.run is None]
FOUND = ages.sources()


@pytest.mark.parametrize("library", FORMULAS)
def test_a_preset_held_to_a_formula_names_commit_and_date(library):
    dated = [source for source in FOUND if source.library == library and source.what == "preset"]
    assert dated, f"cite <repository> at <7 hexadecimal digits> (<date>) in lrsched/compat/{library}.py"
    assert all(source.date >= datetime.date(2016, 1, 1) for source in dated)


@pytest.mark.parametrize("library", dir(compat))
def test_no_commit_is_named_without_its_date(library):
    for text in ages.texts(getattr(compat, library)):
        assert ages.UNDATED.findall(text) == []


def test_the_tests_of_formulas_name_the_same_commits():
    """What the page says is what the tests were written from."""
    words = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "compat").glob("test_compat_*.py"))
    commits = {commit for _, commit, _ in ages.CITED.findall(words)}
    assert {s.commit for s in FOUND if s.what == "preset" and s.library in FORMULAS} <= commits


def test_a_citation_without_a_date_is_found():
    assert ages.UNDATED.findall("MaxText at 65dda9a, src/maxtext/utils") == ["65dda9a"]
    assert ages.UNDATED.findall("MaxText at e591f30 (2026-08-22), src/maxtext/utils") == []
    assert list(ages.read("maxtext", "preset", "MaxText at 65dda9a, src")) == []


def test_sources_older_than_asked_for_are_listed_oldest_first(capsys):
    a, b = (ages.Source(datetime.date(2026, m, 1), "x", "preset", "y", "1234567") for m in (1, 3))
    assert ages.older([a, b], datetime.date(2027, 1, 1), 365) == []
    assert ages.older([a, b], datetime.date(2027, 1, 2), 365) == [a]
    assert ages.older([a, b], datetime.date(2027, 3, 2), 365) == [a, b]
    ages.main(["--days", "0", "--on", "2030-01-01"])
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{len(FOUND)} of {len(FOUND)} cited sources are older than 0 days on 2030-01-01"
    assert lines == sorted(lines)
    ages.main(["--on", "1999-01-01"])
    assert capsys.readouterr().out == f"0 of {len(FOUND)} cited sources are older than 365 days on 1999-01-01\n"
