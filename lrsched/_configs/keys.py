"""The entries of a configuration, which note what is asked of them."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

from lrsched._configs.document import Document, Place, Unread
from lrsched._core.check import Constraint, Flag, Int, Real, is_sequence, short
from lrsched._core.names import closest, folded, nearest, words
from lrsched._curves import Budget, Schedule
from lrsched.compat._tools import looks_alike, number, numbers
from lrsched.rules import Rule

_VARIABLES = re.compile(r"\$\{|\$[A-Za-z_]")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")


class Note(NamedTuple):
    """One line of an explanation: where an entry stands, what it says, and what has become of it."""

    line: int | None
    key: str
    value: str
    became: str


@dataclass
class Found:
    """What a reader has found: by what it schedules, the schedules; the rule; what is known of the run."""

    schedules: dict[str, Schedule] = field(default_factory=dict)
    optimizer: Rule | None = None
    budget: dict[str, Any] = field(default_factory=dict)


@dataclass
class Journal:
    """What has been asked of a document, and what became of it."""

    document: Document
    given: Budget
    notes: list[Note] = field(default_factory=list)
    unused: list[Note] = field(default_factory=list)
    read: set[Place] = field(default_factory=set)
    asked: dict[Place, set[str]] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """Return what errors call a place."""
        line = self.document.lines.get(place)
        return f"{self.document.name}{'' if line is None else f', line {line}'}: {dotted(place)}"


def dotted(place: Place) -> str:
    """Return a place as people write it."""
    return "".join([f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]).lstrip(".")


class Keys:
    """A section of a configuration.

    Capitals count, dashes are underscores. What is asked for is noted for the explanation, with what it becomes.
    """

    def __init__(self, journal: Journal, content: Mapping[str, Any], place: Place = ()) -> None:
        self.journal, self.place = journal, place
        self.content = content
        self._names = {name.replace("-", "_"): name for name in content}

    def __contains__(self, name: str) -> bool:
        self.journal.asked.setdefault(self.place, set()).add(name)
        return self.raw(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def raw(self, name: str) -> Any:
        """Return an entry as it is written, or None; nothing is noted. A name may have dots."""
        content: Any = self
        for part in name.split("."):
            if not isinstance(content, Keys):
                return None
            found = content.content.get(content._names.get(part, part))
            content = Keys(self.journal, found) if isinstance(found, Mapping) else found
        return content.content if isinstance(content, Keys) else content

    def has(self, *names: str) -> bool:
        """Return whether all these are there."""
        return all(self.raw(name) is not None for name in names)

    def section(self, name: str) -> "Keys":
        """Return a section, an empty one where there is none. A name may have dots.

        Raises:
            TypeError: there is something else.
        """
        found: Keys = self
        for part in name.split("."):
            found.journal.asked.setdefault(found.place, set()).add(part)
            place, content = found.at(part), found.raw(part)
            if content is not None and not isinstance(content, Mapping):
                raise TypeError(
                    f"{self.journal.where(place)} must be a section of names and values, got {short(content)}"
                )
            found = Keys(found.journal, content or {}, place)
        return found

    def sections(self, name: str) -> list["Keys"]:
        """Return the sections of a list, or the one that stands there alone."""
        content, place = self.raw(name), self.at(name)
        listed = content if is_sequence(content) else [] if content is None else [content]
        self.journal.asked.setdefault(self.place, set()).add(name)
        if not all(isinstance(item, Mapping) for item in listed):
            raise TypeError(f"{self.journal.where(place)} must be a list of sections, got {short(content)}")
        return [Keys(self.journal, c, (*place, i) if is_sequence(content) else place) for i, c in enumerate(listed)]

    def at(self, name: str) -> Place:
        """Return the place of an entry."""
        return (*self.place, self._names.get(name, name))

    def get(self, name: str, default: Any = None, became: str = "", rule: Constraint | None = None) -> Any:
        """Return an entry, or the trainer's default; None and `null` are no entries.

        Args:
            name: its name in this section.
            default: what the trainer takes where it is not given.
            became: what it becomes, for the explanation; "" for its name.
            rule: what it must be. A number that stands there as text is read as one.

        Raises:
            ValueError: it is known only where the trainer runs, or it is not what it must be.
            TypeError: likewise.
        """
        journal, place = self.journal, self.at(name)
        journal.asked.setdefault(self.place, set()).add(name)
        journal.read.add(place)
        content = self._known(self.raw(name), place)
        if content is None:
            if default is not None:
                journal.notes.append(Note(None, dotted(place), short(default), f"{became or name}, by default"))
            return default
        journal.notes.append(Note(journal.document.lines.get(place), dotted(place), short(content), became or name))
        if rule is None:
            return content
        where = journal.where(place)
        return rule(f"{where}", number(rule, content))

    def real(self, name: str, default: float | None = None, became: str = "", low: float = 0.0) -> Any:
        """Return a number, at least `low`."""
        return self.get(name, default, became, Real(low=low))

    def whole(self, name: str, default: int | None = None, became: str = "", low: int = 0) -> Any:
        """Return a whole number, at least `low`."""
        return self.get(name, default, became, Int(low=low))

    def flag(self, name: str, default: bool = False, became: str = "") -> bool:
        """Return a switch; it is noted only where it is given."""
        found = self.get(name, None, became, Flag())
        return default if found is None else bool(found)

    def note(self, became: str, line: int | None = None) -> Note:
        """Return the note about what follows from several entries, or from none."""
        return Note(line, dotted(self.place), "", became)

    def first(self, *names: str) -> str:
        """Return the first of several names of one thing that is there, or the first of all."""
        return next((name for name in names if name in self), names[0])

    def unread(self, name: str, why: str) -> None:
        """Note that an entry is known, and not used."""
        place = self.at(name)
        self.journal.read.add(place)
        if self.raw(name) is not None:
            line = self.journal.document.lines.get(place)
            self.journal.unused.append(Note(line, dotted(place), short(self.raw(name)), why))

    def refuse(self, name: str, must: str) -> NoReturn:
        """Raise the error about an entry."""
        content = self.raw(name)
        raise ValueError(f"{self.journal.where(self.at(name))} must {must}, got {short(content)}")

    def missing(self, why: str, *arguments: str) -> ValueError:
        """Return the error about what no configuration tells, and the caller has to: one of these arguments."""
        document, given = self.journal.document, self.journal.given
        named = " or ".join([f"Budget({argument}=...)" for argument in arguments or ("steps", "steps_per_epoch")])
        return ValueError(f"{document.name}: {named} must be given {why}, got {given!r}")

    def _known(self, content: Any, place: Place, left: int = 8) -> Any:
        """Return a value in which references to other entries are put in."""
        if isinstance(content, Unread):
            raise ValueError(f"{self.journal.where(place)} must be written out, got {content}, which only Python knows")
        if isinstance(content, Mapping):
            return {key: self._known(value, (*place, key), left) for key, value in content.items()}
        if is_sequence(content):
            return [self._known(item, (*place, i), left) for i, item in enumerate(content)]
        if not isinstance(content, str) or not _VARIABLES.search(content):
            return None if isinstance(content, str) and content.strip().lower() in ("null", "none", "~") else content
        found = _REFERENCE.fullmatch(content.strip())
        target: Any = self.journal.document.content
        path = tuple(found[1].split(".")) if found and left else ("$",)
        for part in path:
            target = target.get(part) if isinstance(target, Mapping) else None
        self.journal.read.add(path)
        if target is None:
            raise ValueError(
                f"{self.journal.where(place)} must be written out, got {content!r}, which is known only where it runs"
            )
        return self._known(target, place, left - 1)


def called(keys: Keys, function: Callable[..., Any], arguments: Mapping[str, Any], where: str = "") -> Any:
    """Return what a preset makes of arguments, of which None is none; errors say in which file."""
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return function(**numbers(function, given))
    except (TypeError, ValueError) as error:
        journal = keys.journal
        place = keys.place if not where else keys.at(where)
        told = str(error)
        if choice := re.search(r"must be one of (.+), got '(\w+)'", told):
            near = closest(choice[2], [name.strip(" '") for name in re.split(",| or ", choice[1]) if name.strip()])
            told += f": the nearest are {', '.join(map(repr, near))}"
        raise type(error)(f"{journal.where(place) if place else journal.document.name}: {told}") from None


def leftover(journal: Journal) -> None:
    """Note what looks like a schedule's and was not read; refuse what looks like a misspelling of what is not there.

    Raises:
        TypeError: a name is a misspelling of one that would have been read.
    """
    for place, value, there in entries(journal.document.content, ()):
        name = str(place[-1])
        if name in journal.document.used or any(place[:i] in journal.read for i in range(1, len(place) + 1)):
            continue
        # At the top there are names of all kinds, and short ones are like each other.
        least = 1 if len(place) > 1 else 5
        asked = journal.asked.get(place[:-1], set())
        absent = [other for other in asked if other not in there and len(folded(other)) >= least]
        meant = nearest(name, [other for other in absent if len(name) >= least - 1 and _alike(name, other)])
        if meant is not None and name.replace("-", "_") not in asked:
            raise TypeError(f"{journal.where(place)} must be a name that is known, got {name!r}: is {meant!r} meant?")
        if not _is_section(value) and looks_alike(name, ()):
            line = journal.document.lines.get(place)
            journal.unused.append(Note(line, dotted(place), short(value), "not read"))
    for place, lines in journal.document.again.items():
        last = journal.document.lines[place]
        journal.unused += [Note(line, dotted(place), "", f"written again in line {last}") for line in lines]


def _alike(name: str, other: str) -> bool:
    """Return whether each word of a name may be a misspelling of the other's: `local_size` is none of `global_size`."""
    ours, theirs = words(name), words(other)
    return len(ours) != len(theirs) or all(nearest(a, [b]) for a, b in zip(ours, theirs, strict=True))


def _is_section(value: Any) -> bool:
    """Return whether a value is a dictionary that holds something, or a list of dictionaries."""
    return bool(value) and (isinstance(value, Mapping) or (is_sequence(value) and isinstance(value[0], Mapping)))


def entries(content: Any, place: Place) -> Iterator[tuple[Place, Any, set[str]]]:
    """Yield each named entry, those in it after it: its place, its value, and the names beside it."""
    if isinstance(content, Mapping):
        there = {str(key).replace("-", "_") for key in content}
        for key, value in content.items():
            yield (*place, key), value, there
            yield from entries(value, (*place, key))
    elif is_sequence(content):
        for i, item in enumerate(content):
            yield from entries(item, (*place, i))
