"""Sums over whole tensors where the arrays of a program are shards: inside `jax.shard_map`, `jax.pmap` and `jax.vmap`.

Under `jax.jit` arrays are whole, however they are sharded, and the compiler adds the all-reduces. Where mesh axes are
manual, a sum over an array is the sum over the shard of one device: it must be added up over the axes that split the
tensor, and over no other.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from lrsched.rules import Rule

# Names of the mesh axes that split a leaf.
Axes = tuple[Any, ...]


class Reductions(NamedTuple):
    """What adds up over elements and devices; see `lrsched.rules.Context`."""

    sums: Callable[[Sequence[jax.Array], Sequence[int]], list[jax.Array]]
    total: Callable[[Sequence[jax.Array]], jax.Array]


def check_axis_name(function: str, axis_name: Any) -> None:
    """Check that `axis_name` is None, names of axes, or partition specs.

    Raises:
        TypeError: it is something else.
    """
    specs = jax.tree.leaves(axis_name, is_leaf=_is_spec)
    if axis_name is not None and not _is_names(axis_name) and not (specs and all(map(_is_spec, specs))):
        raise TypeError(
            f"{function}(axis_name=...) must be a name, a tuple of names, or PartitionSpecs in containers like the "
            f"parameters, got {axis_name!r}"
        )


def split_axes(axis_name: Any, tree: Any, moving: Sequence[int], ps: Sequence[Any], gs: Sequence[Any]) -> list[Any]:
    """Return the axes that split each leaf, None where they are unknown.

    Args:
        axis_name: what `from_rule` was given.
        tree: the structure of the gradients, None being a leaf.
        moving: the places of the leaves that have a gradient.
        ps: their parameters; what is no array is not looked at.
        gs: their gradients.
    """
    manual = jax.sharding.get_abstract_mesh().manual_axes
    if axis_name is None:
        untracked = any(not _is_tracked(name) for name in manual)
        return [None if untracked or _varying(*pair) else () for pair in zip(ps, gs, strict=True)]
    if not _is_names(axis_name):
        full = jax.tree.broadcast(axis_name, tree.unflatten(range(tree.num_leaves)), is_leaf=_is_spec)
        specs = jax.tree.leaves(full, is_leaf=_is_spec)
        return [tuple(name for name in manual if name in _names(specs[i])) for i in moving]
    names = axis_name if isinstance(axis_name, tuple) else (axis_name,)
    if any(name in manual and not _is_tracked(name) for name in names):
        return [None] * len(gs)
    return [
        tuple(name for name in names if name not in manual or name in _varying(*pair))
        for pair in zip(ps, gs, strict=True)
    ]


def reductions(rule: Rule, axes: Sequence[Axes | None]) -> Reductions:
    """Return sums over whole tensors.

    Args:
        rule: the update rule.
        axes: what splits each tensor.

    Raises:
        ValueError: the rule needs a tensor whole that is split. In `sums` and `total`: the axes are unknown.
    """
    if not rule.packs and any(own is None or own for own in axes):
        raise ValueError(
            f"the rule {rule!r} must get whole tensors, got shards inside shard_map; update sharded arrays under "
            "jax.jit, or write axis_name=() if the arrays of each device are whole tensors"
        )

    def sums(arrays: Sequence[jax.Array], owners: Sequence[int]) -> list[jax.Array]:
        return _added([jnp.sum(x) for x in arrays], [_known(axes[i]) for i in owners])

    def total(arrays: Sequence[jax.Array]) -> jax.Array:
        by_axes: dict[Axes, Any] = {}
        for x, own in zip(arrays, map(_known, axes), strict=True):
            by_axes[own] = by_axes[own] + jnp.sum(x) if own in by_axes else jnp.sum(x)
        first, *rest = _added(list(by_axes.values()), list(by_axes))
        return sum(rest, start=first)

    return Reductions(sums, total)


def _known(axes: Axes | None) -> Axes:
    if axes is None:
        raise ValueError(
            "inside shard_map or pmap a rule with norms must be told which mesh axes split the parameters: write "
            "axis_name=... with their PartitionSpecs (or, unless check_vma=False, the names), or axis_name=() if the "
            "arrays of each device are whole tensors; gradients of replicated parameters must be summed before"
        )
    return axes


def _added(scalars: list[jax.Array], axes: Sequence[Axes]) -> list[jax.Array]:
    """Return the scalars, each added up over its axes: one vector for those of the same axes."""
    result = list(scalars)
    for own in dict.fromkeys(axes):
        if own:
            places = [i for i, other in enumerate(axes) if other == own]
            added: Any = jax.lax.psum(jnp.stack([scalars[i] for i in places]), own)  # type: ignore[no-untyped-call]
            for i, scalar in zip(places, added, strict=True):
                result[i] = scalar
    return result


def _varying(*arrays: Any) -> frozenset[Any]:
    """Return the manual axes over which one of the arrays differs from device to device, as far as JAX tracks it."""
    found: frozenset[Any] = frozenset()
    for x in arrays:
        if isinstance(x, jax.Array):
            kind: Any = jax.typeof(x)
            found |= kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying
    return found


def _is_tracked(name: Any) -> bool:
    """Return whether JAX tracks what varies over a manual axis, as it does unless `check_vma=False`."""
    return name in _varying(jax.lax.axis_index(name))


def _is_spec(x: Any) -> bool:
    return isinstance(x, PartitionSpec)


def _is_names(x: Any) -> bool:
    return isinstance(x, str) or (type(x) is tuple and all(isinstance(name, str) for name in x))


def _names(spec: PartitionSpec) -> list[Any]:
    """Return the axes of a partition spec; one place may hold None, a name or a tuple of names."""
    parts = [part if isinstance(part, tuple) else (part,) for part in spec]
    return [name for part in parts for name in part if isinstance(name, str)]
