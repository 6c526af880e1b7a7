"""docs/compat.md and its picture are what the tests' own data gives; its figures bound what is measured here."""

import doctest
import importlib.util
import sys
from pathlib import Path

import compat_samples as samples
import pytest

from lrsched import Schedule, compat

ROOT = Path(__file__).resolve().parents[2]


def _maker():
    spec = importlib.util.spec_from_file_location("make_compat", ROOT / "docs" / "make_compat.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


make = _maker()
PAGE = make.PAGE.read_text(encoding="utf-8")
AGAIN = "write it again: python docs/make_compat.py"
MEASURED = make.read(PAGE)


def unsampled(library, public):
    """Return the public names of a library that have neither a sample nor a word of refusal."""
    return sorted(set(public) - set(samples.sampled(library)) - set(samples.refused(library)))


def unlisted(page, library, public):
    """Return the public names of a library without a row on the page."""
    _, _, section = page.partition(f"\n## `{library}`\n")
    section = section.partition("\n## ")[0]
    return [name for name in public if f"\n| `{name}(" not in section]


@pytest.mark.parametrize("library", dir(compat))
def test_every_public_function_has_a_sample_and_a_row(library):
    public = getattr(compat, library).__all__
    assert library in samples.LIBRARIES, f"add {library} to tests/compat_samples.py"
    assert unsampled(library, public) == [], "add a sample to tests/compat_samples.py"
    assert unlisted(PAGE, library, public) == [], AGAIN


def test_a_function_without_sample_or_row_is_found():
    assert unsampled("torch", ["StepLR", "Adam", "LambdaLR", "NewLR"]) == ["NewLR"]
    assert unlisted(PAGE, "torch", ["StepLR", "Adam", "LambdaLR", "NewLR", "warmup_linear"]) == [
        "NewLR",
        "warmup_linear",
    ]


def test_the_page_is_that_of_the_data():
    assert make.page(MEASURED) == PAGE, AGAIN


def test_the_picture_is_that_of_the_data():
    assert make.picture() == make.PICTURE.read_text(encoding="utf-8"), AGAIN


def test_a_changed_figure_changes_the_page():
    figures = {**MEASURED.differences, ("torch", "StepLR"): "1e-3"}
    changed = make.page(MEASURED._replace(differences=figures))
    assert changed != PAGE
    assert make.read(changed).differences == figures


def test_every_figure_was_measured():
    assert make.UNKNOWN not in PAGE
    assert set(MEASURED.versions) == {name for name, entry in samples.LIBRARIES.items() if entry.run}


@pytest.mark.parametrize("library", [name for name, entry in samples.LIBRARIES.items() if entry.run])
def test_the_figures_hold_for_the_installed_library(library):
    """The optimizers have tests of their own, which run each many times."""
    samples.version(library)  # skips what is not installed
    for name in samples.sampled(library):
        if not make.is_rule(library, name):
            found, stated = samples.difference(library, name), float(MEASURED.differences[library, name])
            # Another processor rounds otherwise, in the last digit.
            assert found <= max(10 * stated, 2e-15), f"{library}.{name} differs by {found}"
            assert stated <= max(100 * found, 1e-12), f"{library}.{name} differs by no more than {found}"


@pytest.mark.parametrize("library", samples.LIBRARIES)
def test_a_sample_is_a_schedule_that_decides_something(library):
    for name, named in samples.sampled(library).items():
        made = samples.call(library, name, named)
        if isinstance(made, Schedule) and "onst" not in name and name != "SchedNo":
            assert len({made(t) for t in range(samples.COUNT)}) > 1, name


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (0.0, "0"),
        (1e-7, "1e-7"),
        (1.01e-7, "2e-7"),
        (8.4e-8, "9e-8"),
        (9.5e-8, "1e-7"),
        (0.9, "9e-1"),
        (3e-16, "3e-16"),
    ],
)
def test_a_difference_is_rounded_up_to_one_digit(difference, text):
    assert make.rounded_up(difference) == text
    assert float(text) >= difference * (1 - 1e-9)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (make.PLAIN, ""),
        ([0.5, *make.PLAIN[1:]], "begins with 0.5"),
        ([*make.PLAIN[:11], 0.5], "rises again"),
        ([0.5 * v for v in make.PLAIN], "never above 0.5"),
        ([*make.PLAIN[1:], 0], "begins with 0.333, top at 2, 0 at 9"),
    ],
)
def test_what_is_odd_is_said(values, words):
    assert make.oddity(list(values)) == words


def test_the_example_of_the_page_runs():
    test = doctest.DocTestParser().get_doctest(PAGE, {}, "compat.md", "compat.md", 0)
    doctest.DebugRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)


def test_the_readme_shows_the_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/compat.md)" in readme
    assert "(docs/one-request.svg)" in readme


def test_the_readme_counts_the_curves_of_one_request():
    written = {label: tuple(rates) for label, (_, rates) in make.TABLE.items() if "by mistake" not in label}
    libraries = {label.split(" (")[0] for label in written}
    assert (len(set(written.values())), len(libraries)) == (14, 21)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "means fourteen different curves in twenty-one libraries" in readme
