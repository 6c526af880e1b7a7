"""The slots of tensors as containers, and as one list for each array in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

from lrsched.rules._arrays import Array


@dataclass(frozen=True)
class Expected:
    """Stands for an array in the structure that slots must have."""

    shape: tuple[int | None, ...] | None


class Expecting(NamedTuple):
    """Makes what stands for the slots of a tensor."""

    shape: Any

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Any:
        return Expected(self.shape if shape is None else shape)


def alike(a: Any, b: Any) -> bool:
    """Return whether two structures are the same but for the arrays in them."""
    if type(a) is not type(b) or not isinstance(a, tuple):
        return not (isinstance(a, tuple | None) or isinstance(b, tuple | None)) or (a is None and b is None)
    return len(a) == len(b) and all(map(alike, a, b))


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


class Lists(NamedTuple):
    """The tensors of an update, column by column.

    Args:
        shapes: of the tensors.
        olds: the parameters, and for each array of the slots those of all tensors.
        dtypes: that occur among these and the gradients.
    """

    shapes: Sequence[tuple[int, ...]]
    olds: list[Sequence[Array]]
    dtypes: set[Any]


def listed(ps: Sequence[Array], gs: Sequence[Array], slots: Sequence[tuple[Any, ...]]) -> Lists | None:
    """Return the columns, or None if the slots are not of one structure."""
    found = columns(slots)
    if found is None:
        return None
    olds = [ps, *found]
    return Lists([tuple(p.shape) for p in ps], olds, {x.dtype for column in (gs, *olds) for x in column})


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
    return list(map(type(like)._make, made) if hasattr(like, "_make") else made)
