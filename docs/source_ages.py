"""List the sources, cited by commit and date, that presets and their trainers' loops were read in.

    python docs/source_ages.py              those older than a year
    python docs/source_ages.py --days 90    those older than 90 days; 0 lists all
    python docs/source_ages.py --on 2027-06-01

A source that is old is no mistake: look whether the library has changed since, and cite the newer commit.
"""

import argparse
import datetime
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from compat_loops import LOOPS  # noqa: E402  # the tests' folder must be on the path

from lrsched import compat  # noqa: E402

CITED = re.compile(r"([\w./-]+) at ([0-9a-f]{7}) \((\d{4}-\d\d-\d\d)\)")
# A commit without its date, or one that a citation names before or after its words.
UNDATED = re.compile(r"\bat ([0-9a-f]{7})\b(?! \(\d{4}-\d\d-\d\d\))")


class Source(NamedTuple):
    """A commit of a repository and its date; `what` cites it: a preset of this library, or its loop."""

    date: datetime.date
    library: str
    what: str
    repository: str
    commit: str


def texts(module: ModuleType) -> Iterator[str]:
    """Yield the docstrings of a module of `lrsched.compat` and of its public functions."""
    yield inspect.getdoc(module) or ""
    for name in module.__all__:
        yield inspect.getdoc(getattr(module, name)) or ""


def read(library: str, what: str, text: str) -> Iterator[Source]:
    """Yield the sources that a text cites."""
    for repository, commit, date in CITED.findall(text):
        yield Source(datetime.date.fromisoformat(date), library, what, repository, commit)


def sources() -> list[Source]:
    """Return the newest source of each library and kind, the oldest first."""
    found: dict[tuple[str, str], Source] = {}
    for library in dir(compat):
        cited = [source for text in texts(getattr(compat, library)) for source in read(library, "preset", text)]
        cited += read(library, "loop", LOOPS[library].where)
        for source in cited:
            key = (library, source.what)
            found[key] = max(source, found.get(key, source))
    return sorted(found.values())


def older(found: Iterable[Source], on: datetime.date, days: int) -> list[Source]:
    """Return the sources that are more than so many days old on a day."""
    return [source for source in found if (on - source.date).days > days]


def main(arguments: list[str] | None = None) -> None:
    """Print the sources that are older than asked for, the oldest first."""
    parser = argparse.ArgumentParser(description="List the cited sources that are old.")
    parser.add_argument("--days", type=int, default=365, help="list those older than this (365)")
    parser.add_argument(
        "--on", type=datetime.date.fromisoformat, default=datetime.date.today(), help="the day to count from (today)"
    )
    chosen = parser.parse_args(arguments)
    found = sources()
    old = older(found, chosen.on, chosen.days)
    for source in old:
        print(f"{source.date}  {source.library:17} {source.what:7} {source.repository} at {source.commit}")
    print(f"{len(old)} of {len(found)} cited sources are older than {chosen.days} days on {chosen.on}")


if __name__ == "__main__":
    main()
