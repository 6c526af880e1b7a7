"""Each preset that is held to a formula names the commit of its source and the date; old ones can be listed."""

import datetime
import importlib.metadata
import importlib.util
import re
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


# A version or a commit with its date, then the file or folder.
SOURCE = re.compile(r"(?:\d+\.\d[\w.]*|at [0-9a-f]{7} \(\d{4}-\d\d-\d\d\)), (?:\w+ )*[\w/]*(?:/\w+|\.py)\b")
NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
LICENCES = {"Apache-2.0", "BSD-3-Clause", "MIT"}


def cited(texts):
    """Return what is cited under "References" with version or commit, and file."""
    sections = re.findall(r"References:\n((?: +.*\n?)+)", "\n\n".join(texts))
    return [found for section in sections for found in SOURCE.findall(section)]


def rows(notice):
    """Return source, version or commit, and licence of each module that the notice names."""
    table = notice.partition("\nmodule ")[2].partition("\n\n")[0].splitlines()[1:]
    return {module: rest for module, *rest in (re.split(r"  +", row) for row in table)}


@pytest.mark.parametrize("library", dir(compat))
def test_each_library_cites_its_source_by_version_and_file(library):
    assert cited(ages.texts(getattr(compat, library))), f"cite <name> <version>, <file> in lrsched/compat/{library}"


@pytest.mark.parametrize(
    "text",
    ["", "References:\n    Thinc, schedules.py.\n", "Thinc 9.1.1, schedules.py.", "References:\n    Thinc 9.1.1.\n"],
)
def test_a_source_without_version_or_file_is_no_citation(text):
    assert cited([text]) == []
    assert cited([text, "References:\n    Thinc 9.1.1, schedules.py.\n"])


def test_the_notice_names_source_and_licence_of_each_library():
    table = rows(NOTICE)
    assert sorted(table) == dir(compat)
    for module, (source, version, licence) in table.items():
        assert source
        assert set(licence.partition(" [")[0].split(", ")) <= LICENCES, module
        words = "\n".join(ages.texts(getattr(compat, module)))
        short = (
            version.partition(" ")[0].rpartition(".")[0] if module in ("keras", "torch") else version.partition(" ")[0]
        )
        assert short in words, f"{module} was read in another version than NOTICE says"


def test_a_library_without_a_row_is_missed():
    assert "torch" not in rows(NOTICE.replace("\ntorch  ", "\ntoch  "))


def test_the_installed_libraries_have_the_licence_that_the_notice_names():
    """Where a distribution says its licence in one word, it is the one of the table."""
    for module, (_, _, licence) in rows(NOTICE).items():
        package = samples.LIBRARIES[module].package
        try:
            said = importlib.metadata.metadata(package) if package else {}
        except importlib.metadata.PackageNotFoundError:
            continue
        words = f"{said.get('License-Expression') or ''} {said.get('License') or ''}"[:80].strip()
        if words and "[" not in licence:
            assert licence.partition("-")[0].casefold() in words.casefold(), module
