"""What docs/architecture.md and CONTRIBUTING.md say of the code: rooms, files, nouns, commands."""

import ast
import re
from pathlib import Path

import pytest
from test_architecture import HOUSES

ROOT = Path(__file__).resolve().parents[2]
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PAGES = {"CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), "docs/architecture.md": MAP}
# Where the tables of nouns leave off the beginning of a path.
HOMES = ("", "lrsched/", "adapters/lrsched_torch/")
FILE = re.compile(r"[\w.<>-]*/[\w./<>-]*|[\w-]+\.(?:py|h|md|txt|toml|yaml)|Makefile|NOTICE")


def named(text: str) -> set[str]:
    """Return the files and folders that a page names in code, on lines of a shell and in links."""
    code = [word for span in re.findall(r"`([^`\n]+)`", text) for word in span.split()]
    return {word for word in [*code, *re.findall(r"\]\(([^)]+)\)", text)] if FILE.fullmatch(word)}


def missing(text: str) -> list[str]:
    """Return what a page names and nobody finds; `<name>` stands for any name, `.venv` for the environment."""
    wanted = sorted(name for name in named(text) if not name.startswith(".venv"))
    return [name for name in wanted if not any(_found(home + name) for home in HOMES)]


def _found(name: str) -> bool:
    return any(ROOT.glob(re.sub(r"<\w+>", "*", name.rstrip("/"))))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str):
    assert len(named(PAGES[page])) > 30
    assert missing(PAGES[page]) == []


def test_a_file_that_is_gone_is_found():
    text = "`_core/value.py` `lrsched/gone.py` `tests/<name>/test_gone_<name>.py` `Makefile` [a](gone.md) `python a/b`"
    assert missing(text) == ["a/b", "gone.md", "lrsched/gone.py", "tests/<name>/test_gone_<name>.py"]


def rooms(text: str, house: str) -> list[tuple[str, ...]]:
    """Return the floors in the table that follows a line which begins with the name of a house."""
    table = text.partition(f"\n`{house}`, ")[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()[2:]
    return [tuple(re.findall(r"`([^`]+)`", row.split("|")[1])) for row in table]


@pytest.mark.parametrize("house", HOUSES)
def test_the_map_has_the_rooms_that_the_tests_hold_imports_to(house: str):
    assert rooms(MAP, house) == [tuple(name or house for name in floor) for floor in HOUSES[house]]


def test_a_floor_that_is_left_out_is_seen():
    row = next(line for line in MAP.splitlines(keepends=True) if line.startswith("| `_spaces`"))
    assert len(rooms(MAP.replace(row, ""), "lrsched")) == len(HOUSES["lrsched"]) - 1


# The engines of rules: where code is fast instead of plain.
ENGINES = [*(ROOT / "lrsched/rules").glob("_[obu]*/*.py"), *(ROOT / "adapters/lrsched_torch").rglob("*.py")]


def nouns(text: str) -> set[tuple[str, str]]:
    """Return the nouns in the tables of a page, each with the end of the path of its file."""
    rows = [row.split("|")[1:3] for row in text.partition("## The nouns")[2].splitlines() if row.startswith("| `")]
    found = set()
    for names, places in rows:
        names, places = re.findall(r"`(\w+)`", names), re.findall(r"`([\w./]+)`", places)
        found |= set(zip(names, places if len(places) > 1 else places * len(names), strict=True))
    return found


def classes(path: Path) -> list[str]:
    """Return the classes of a module that are not private, the ones in functions too."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def apart(text: str) -> tuple[set[str], set[str]]:
    """Return the classes of the engines that a page leaves out, and the nouns that it has and the engines have not."""
    there = {f"{path.parent.name}/{path.name}: {name}" for path in ENGINES for name in classes(path)}
    told = {f"{'/'.join(place.split('/')[-2:])}: {name}" for name, place in nouns(text)}
    return there - told, told - there


def test_every_noun_of_the_engines_is_explained_where_it_is():
    assert apart(MAP) == (set(), set())


def test_a_noun_that_moves_or_comes_is_seen():
    left, gone = apart(MAP.replace("`_joined/bucket.py`", "`_joined/buckets.py`", 1))
    assert "_joined/bucket.py: Bucket" in left
    assert "_joined/buckets.py: Bucket" in gone


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_is_one_of_the_makefile(page: str):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"`make ([a-z][\w-]*)", PAGES[page]))
    assert called <= set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))


def test_the_readme_leads_to_both_pages():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"CONTRIBUTING.md", "docs/architecture.md"} <= set(re.findall(r"\]\(([^)#]+)\)", readme))
