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
from typing import Any

from lrsched.rules._arrays import Array, Ops
from lrsched.rules._context import Context
from lrsched.rules._memory import Library, library_for
from lrsched.rules._units import Body, Expecting, Leaf, Recorded, Totals, Unit, Update, flat

# Tensors, or elements in all, from which on blocks pay.
MANY, LARGE = 64, 2**18


def _pays(leaves: Sequence[Leaf]) -> bool:
    """Return whether the update is large enough for the work that blocks need first."""
    return len(leaves) >= MANY or sum(math.prod(leaf.p.shape) for leaf in leaves) >= LARGE


def _numbers(rule: Body, shape: tuple[int, ...]) -> list[bool] | None:
    """Return for each array of the slots whether it is one number; None if one is neither that nor like the tensor."""
    slots = rule.slots(Expecting(shape))
    if not isinstance(slots, tuple) or not all(one.shape in (shape, ()) for one in flat(slots)):
        return None
    return [one.shape != shape for one in flat(slots)]


def _plain(library: Library, leaves: Sequence[Leaf]) -> bool:
    """Return whether all arrays are nothing but memory."""
    return all(library.plain(x) for leaf in leaves for x in (leaf.p, leaf.g, *flat(leaf.slots)))


def _bundles(leaves: Sequence[Leaf], context: Context, length: int) -> Iterator[tuple[Context, list[int]]]:
    """Yield the tensors of each unit by index, with the learning rate and the step that they have in common."""
    groups: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        groups.setdefault((leaf.p.shape, leaf.p.dtype, id(context.at(i))), []).append(i)
    for (shape, _, _), group in groups.items():
        most = max(1, length // max(1, math.prod(shape)))
        for k in range(0, len(group), most):
            yield context.at(group[0]), group[k : k + most]


def _recorded(
    update: Update,
    bundles: Sequence[tuple[Context, list[int]]],
    leaves: Sequence[Leaf],
    numbers: dict[Any, list[bool]],
) -> list[Recorded] | None:
    """Return the recorded body for each unit, or None if it does what cannot be recorded."""
    known: dict[Any, Recorded] = {}
    found = []
    for own, (first, *_) in bundles:
        shape = tuple(leaves[first].p.shape)
        whole = math.prod(shape) <= update.length
        key = (id(own), len(shape), whole)
        if key not in known:
            try:
                known[key] = Recorded(update, own, leaves[first], numbers[shape], whole)
            except (AttributeError, TypeError):
                return None
        found.append(known[key])
    return found


def in_blocks(
    rule: Body,
    xp: Ops,
    wide: Any,
    context: Context,
    leaves: Sequence[Leaf],
    dtypes: Sequence[Any],
    *,
    add: bool,
    donate: bool,
) -> tuple[list[Array], list[Any]] | None:
    """Do one update of tensors whose rule packs, and return the parameter and the slots of each.

    Args:
        rule: what to do.
        xp: the operations of the library.
        wide: the working dtype.
        context: of the list of tensors.
        leaves: the tensors.
        dtypes: of the slots of each tensor, when done.
        add: True for new parameters, False for what to add to the old ones.
        donate: the results may be written into the arrays given.

    Returns:
        None where blocks cannot be or do not pay; nothing has been done then.
    """
    library = library_for(xp, donate)
    if library is None or not _pays(leaves) or not _plain(library, leaves):
        return None
    found = {shape: _numbers(rule, shape) for shape in {tuple(leaf.p.shape) for leaf in leaves}}
    numbers = {shape: one for shape, one in found.items() if one is not None}
    if len(numbers) < len(found):
        return None
    length = min(library.length(wide), sum(math.prod(leaf.p.shape) for leaf in leaves))
    update = Update(rule, xp, library, wide, add, donate, max(1, length))
    bundles = list(_bundles(leaves, context, update.length))
    recorded = _recorded(update, bundles, leaves, numbers)
    if recorded is None:
        return None
    totals = Totals(len(bundles))

    def unit(i: int) -> Unit:
        those, dtype = [leaves[k] for k in bundles[i][1]], dtypes[bundles[i][1][0]]
        kinds = numbers[tuple(those[0].p.shape)]
        return Unit(update, recorded[i], those, kinds, [those[0].p.dtype, *[dtype] * len(kinds)], totals)

    ps: list[Any] = [None] * len(leaves)
    slots = list(ps)
    # Units that share totals go side by side, others one after the other: what one has gathered stays in the cache.
    together = any(one.totals for one in recorded)
    for job in [range(len(bundles))] if together else ([i] for i in range(len(bundles))):
        units = [unit(i) for i in job]
        while not all(one.done for one in units):
            for one in units:
                one.step()
        for i, one in zip(job, units, strict=True):
            for k, (p, own) in zip(bundles[i][1], one.results(), strict=True):
                ps[k], slots[k] = p, own
    return ps, slots
