"""One update by blocks that stay in the processor's cache, where arrays have views: NumPy, and torch in place.

The body of a rule makes a dozen arrays on its way. Of the size of a large tensor each of them costs a trip to memory,
and fresh pages besides. So a large tensor is cut into blocks, small tensors of one shape are stacked to one block, and
the body sees one block at a time. This needs a rule that `packs`.

The body is recorded once and then run on each block with buffers that stay where they are (`_tape`).

Sums go by passes. Of a stack, which holds whole tensors, they are known at once. For a tensor in several blocks one
pass takes the first sums of all blocks, another one, with these known, the next, and a last one writes the results. A
total over all tensors is known once every tensor has given its part.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lrsched.rules._arrays import Array, Ops
from lrsched.rules._context import Context
from lrsched.rules._memory import Library, library_for
from lrsched.rules._units import Recorded, Totals, Unit, Update, flat

if TYPE_CHECKING:
    from lrsched.rules._run import Body, Leaf

# Tensors, or elements in all, from which on blocks pay.
MANY, LARGE = 64, 2**18


def _pays(leaves: Sequence["Leaf"]) -> bool:
    """Return whether the update is large enough for the work that blocks need first."""
    return len(leaves) >= MANY or sum(math.prod(leaf.p.shape) for leaf in leaves) >= LARGE


def _plain(library: Library, leaves: Sequence["Leaf"]) -> bool:
    """Return whether all arrays are nothing but memory."""
    return all(library.plain(x) for leaf in leaves for x in (leaf.p, leaf.g, *flat(leaf.slots)))


def _bundles(leaves: Sequence["Leaf"], context: Context, length: int) -> Iterator[tuple[Context, list[int]]]:
    """Yield the tensors of each unit by index, with the learning rate and the step that they have in common."""
    groups: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        groups.setdefault((leaf.p.shape, leaf.p.dtype, id(context.at(i))), []).append(i)
    for (shape, _, _), group in groups.items():
        most = max(1, length // max(1, math.prod(shape)))
        for k in range(0, len(group), most):
            yield context.at(group[0]), group[k : k + most]


def in_blocks(
    update: Update,
    context: Context,
    leaves: Sequence["Leaf"],
    numbers: dict[Any, list[bool]],
    dtypes: Sequence[Any],
) -> tuple[list[Array], list[Any]]:
    """Do one update, and return the parameter and the slots of each tensor.

    Args:
        update: what all tensors share.
        context: of the list of tensors.
        leaves: the tensors.
        numbers: for each shape of a tensor, whether each array of its slots is one number.
        dtypes: of the slots of each tensor, when done.
    """
    recorded: dict[Any, Recorded] = {}
    bundles = list(_bundles(leaves, context, update.length))
    totals = Totals(len(bundles))

    def unit(own: Context, group: list[int]) -> Unit:
        those, dtype = [leaves[i] for i in group], dtypes[group[0]]
        shape = tuple(those[0].p.shape)
        kinds, whole = numbers[shape], math.prod(shape) <= update.length
        key = (id(own), len(shape), whole)
        if key not in recorded:
            recorded[key] = Recorded(update, own, those[0], kinds, whole)
        return Unit(update, recorded[key], those, kinds, [those[0].p.dtype, *[dtype] * len(kinds)], totals)

    ps: list[Any] = [None] * len(leaves)
    slots = list(ps)
    # Units that know of each other go side by side, others one after the other: what one has gathered stays in cache.
    for job in [bundles] if update.rule.couples else ([bundle] for bundle in bundles):
        units = [unit(*bundle) for bundle in job]
        while not all(one.done for one in units):
            for one in units:
                one.step()
        for one, (_, group) in zip(units, job, strict=True):
            for i, (p, own) in zip(group, one.results(), strict=True):
                ps[i], slots[i] = p, own
    return ps, slots
