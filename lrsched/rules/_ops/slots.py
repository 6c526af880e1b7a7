"""The slots of tensors as containers, and as one list for each array in them.

Of a thousand tensors the tuples `AdamSlots(m, v)` are turned by `columns` into two lists, all m and all v, so that the
checks of dtypes and shapes are loops in C over one list (`map` of an attribute, `set`) and not calls of Python for each
tensor; what stays is one lookup for each shape that occurs. The update puts its results into such lists, and `rows`
makes tuples of them again. Arrays of other libraries are checked one by one: there a tensor costs more than a call.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, NamedTuple

from lrsched._spaces.ops import Array

SHAPE, DTYPE = attrgetter("shape"), attrgetter("dtype")


@dataclass(frozen=True)
class Expected:
    """Stands for an array in the structure that slots must have."""

    shape: tuple[int | None, ...] | None


class Expecting(NamedTuple):
    """Makes what stands for the slots of a tensor."""

    shape: Any

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Any:
        return Expected(self.shape if shape is None else shape)


def flat(slots: tuple[Any, ...]) -> list[Array]:
    """Return the arrays of the slots of one tensor, in the order of `map_arrays`."""
    found = []
    for item in slots:
        if isinstance(item, tuple):
            found += flat(item)
        elif item is not None:
            found.append(item)
    return found


def columns(slots: Sequence[tuple[Any, ...]]) -> list[Sequence[Array]] | None:
    """Return for each array of the slots those of all tensors; None if they are no tuples of one structure."""
    kinds = set(map(type, slots))
    if kinds == {tuple} and not any(slots):
        return []
    if len(kinds) > 1 or not all(issubclass(kind, tuple) for kind in kinds) or len(set(map(len, slots))) > 1:
        return None
    found: list[Sequence[Array]] = []
    for items in zip(*slots, strict=True):
        kinds = set(map(type, items))
        if any(issubclass(kind, tuple) for kind in kinds):
            inner = columns(items)
            if inner is None:
                return None
            found += inner
        elif type(None) not in kinds:
            found.append(items)
        elif len(kinds) > 1:
            return None
    return found


class SlotForm(NamedTuple):
    """What the slots of a tensor must be.

    Args:
        slots: stand-ins for arrays, in their structure.
        shapes: of these.
        numbers: for each whether it is one number; None if one is neither that nor of the shape of the tensor.
        kind: the structure, to compare.
    """

    slots: Any
    shapes: tuple[Any, ...]
    numbers: tuple[bool, ...] | None
    kind: Any


class SlotForms(dict[Any, SlotForm]):
    """The slots that a rule keeps of a tensor, by its shape.

    Attributes:
        learned: what else has been found out about the rule, by what it depends on.
    """

    def __init__(self, rule: Any) -> None:
        self._rule = rule
        self.packs: bool = rule.packs
        self.learned: dict[Any, Any] = {}

    def __missing__(self, shape: Any) -> SlotForm:
        """Find them out."""
        slots = self._rule.slots(Expecting(shape))
        shapes = tuple(one.shape for one in flat(slots)) if isinstance(slots, tuple) else ()
        fits = isinstance(slots, tuple) and all(one in (shape, ()) for one in shapes)
        numbers = tuple(one != shape for one in shapes) if fits else None
        self[shape] = form = SlotForm(slots, shapes, numbers, kind_of(slots))
        return form


def kind_of(slots: Any) -> Any:
    """Return what is the same for slots of the same structure."""
    return (type(slots), *map(kind_of, slots)) if isinstance(slots, tuple) else slots is None


@lru_cache(maxsize=256)
def forms_of(rule: Any) -> SlotForms:
    """Return the slots that a rule keeps of tensors."""
    return SlotForms(rule)


@dataclass(frozen=True)
class Lists:
    """The tensors of an update, column by column.

    Args:
        rule: of the update.
        shapes: of the tensors.
        gs: the gradients.
        olds: the parameters, and for each array of the slots those of all tensors.
        plain: all are known to be plain NumPy arrays.
    """

    rule: Any
    shapes: Sequence[tuple[int, ...]]
    gs: Sequence[Array]
    olds: list[Sequence[Array]]
    plain: bool = False

    @cached_property
    def forms(self) -> SlotForms:
        """What is known of the rule."""
        return forms_of(self.rule)

    @cached_property
    def expected(self) -> dict[tuple[int, ...], SlotForm]:
        """For each shape what the slots must be."""
        return {shape: self.forms[shape] for shape in set(self.shapes)}

    @cached_property
    def dtypes(self) -> set[Any]:
        """The dtypes that occur."""
        return set(map(DTYPE, chain(self.gs, *self.olds)))

    @cached_property
    def elements(self) -> int:
        """How many there are in a column."""
        return sum(len(those) * math.prod(shape) for shape, those in self.groups.items())

    @cached_property
    def groups(self) -> dict[tuple[int, ...], Sequence[int]]:
        """For each shape its tensors, by index."""
        if len(self.expected) == 1:
            return {self.shapes[0]: range(len(self.shapes))}
        found: dict[tuple[int, ...], list[int]] = {}
        for i, shape in enumerate(self.shapes):
            found.setdefault(shape, []).append(i)
        return dict(found)


def listed(rule: Any, ps: Sequence[Array], gs: Sequence[Array], slots: Sequence[tuple[Any, ...]]) -> Lists | None:
    """Return the columns, or None if the slots are not of one structure."""
    found = columns(slots)
    return None if found is None else Lists(rule, [tuple(p.shape) for p in ps], gs, [ps, *found])


def refilled(slots: Any, arrays: Iterator[Array]) -> Any:
    """Return slots like these with other arrays."""
    items = [
        None if item is None else refilled(item, arrays) if isinstance(item, tuple) else next(arrays) for item in slots
    ]
    return type(slots)._make(items) if hasattr(slots, "_make") else tuple(items)


def rows(like: Any, found: Iterator[Sequence[Array]], count: int) -> list[Any]:
    """Return the slots of `count` tensors, of the structure of `like`: the inverse of `columns`."""
    items = [
        repeat(None, count) if item is None else rows(item, found, count) if isinstance(item, tuple) else next(found)
        for item in like
    ]
    made = zip(*items, strict=True) if items else repeat((), count)
    # What `_make` of a named tuple does, but for a call of Python.
    return list(map(tuple.__new__, repeat(type(like)), made) if hasattr(like, "_make") else made)
