"""Nested containers of arrays: dictionaries, lists, tuples, named tuples and None."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from lrsched.rules._arrays import described


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
        shown = ", ".join(f"{name}{path} {described(tree)}" for name, tree in zip(names[1:], trees[1:], strict=True))
        raise ValueError(f"{names[0]}{path} is {must}, and so must be {shown or 'the rest'}")


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
        items = [rebuilt(item, leaves) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return next(leaves)
