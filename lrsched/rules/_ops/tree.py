"""Nested containers of arrays: dictionaries, lists, tuples, named tuples and None."""

import copy
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from lrsched._spaces.ops import described

_CONTAINERS = (dict, list, tuple, type(None))


def leaves(names: Sequence[str], trees: Sequence[Any]) -> list[list[Any]]:
    """Return for each tree what stands where the first one has its leaves, in the order of `aligned`, but sooner.

    Raises:
        ValueError: a tree has another structure than the first.
    """
    found: list[list[Any]] = [[] for _ in trees]
    if not _gathered(trees, found):
        for _ in aligned(names, trees):  # it knows the path to what is wrong
            pass
    return found


def _gathered(trees: Sequence[Any], found: list[list[Any]]) -> bool:
    first = trees[0]
    if first is None:
        return all(tree is None for tree in trees)
    if isinstance(first, dict):
        if not all(isinstance(tree, dict) and tree.keys() == first.keys() for tree in trees):
            return False
        trees = [[tree[key] for key in first] for tree in trees]
    elif isinstance(first, list | tuple):
        if not all(type(tree) is type(first) and len(tree) == len(first) for tree in trees):
            return False
    else:
        trees = [[tree] for tree in trees]
    if _flat(trees[0]):
        for column, items in zip(found, trees, strict=True):
            column.extend(items)
        return True
    return all(_gathered(items, found) for items in zip(*trees, strict=True))


def _flat(items: Sequence[Any]) -> bool:
    return not any(issubclass(kind, _CONTAINERS) for kind in set(map(type, items)))


def aligned(names: Sequence[str], trees: Sequence[Any], path: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield `(path, entries)` for each leaf of the first tree, with what stands there in every tree.

    A leaf is whatever is no container. None holds no leaf, and wants None in every tree.

    Raises:
        ValueError: a tree has another structure than the first.
    """
    first = trees[0]
    if first is None:
        _require(all(tree is None for tree in trees), names, trees, path, "None")
    elif isinstance(first, dict):
        fits = all(isinstance(tree, dict) and tree.keys() == first.keys() for tree in trees)
        _require(fits, names, trees, path, f"a dict with the keys {list(first)}")
        for key in first:
            yield from aligned(names, [tree[key] for tree in trees], f"{path}[{key!r}]")
    elif isinstance(first, list | tuple):
        fits = all(type(tree) is type(first) and len(tree) == len(first) for tree in trees)
        _require(fits, names, trees, path, f"a {type(first).__name__} of length {len(first)}")
        for i in range(len(first)):
            yield from aligned(names, [tree[i] for tree in trees], f"{path}[{i}]")
    else:
        yield path, tuple(trees)


def _require(fits: bool, names: Sequence[str], trees: Sequence[Any], path: str, must: str) -> None:
    if not fits:
        others = ", ".join(f"{name}{path}" for name in names[1:])
        raise ValueError(
            f"{names[0]}{path} is {must}, and so must be {others}, got {', '.join(map(described, trees[1:]))}"
        )


def rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    """Return the containers of `tree` with its leaves replaced, in the order of `aligned`."""
    if tree is None:
        return None
    if isinstance(tree, dict):
        new = copy.copy(tree)  # keeps the class, the order and a default factory
        for key in tree:
            new[key] = rebuilt(tree[key], leaves)
        return new
    if isinstance(tree, list | tuple):
        items = list(islice(leaves, len(tree))) if _flat(tree) else [rebuilt(item, leaves) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return next(leaves)
