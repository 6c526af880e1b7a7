"""One update by blocks that stay in the processor's cache, where arrays have views: NumPy, and torch in place.

The body of a rule makes a dozen arrays on its way. Of the size of a large tensor each of them costs a trip to memory,
and fresh pages besides. So a large tensor is cut into blocks, small tensors of one shape are stacked to one block, and
the body sees one block at a time. This needs a rule that `packs`. NumPy arrays that `init` or the update before made
lie in such stacks already (`stacks`).

The way of a tensor p of a million elements through Adam: `Lists` has set p, its gradient g and its moments m and v side
by side (`slots`). `_bundles` leaves p to itself, where it would put the biases of many layers into one stack. The body
runs once on stand-ins for p, g, m and v, which write down what is done to them (`tape`, `recording`): some dozen
operations, each with the buffer or the result that it writes into. Adam asks for no sums, so one pass will do. It takes
the elements block by block (`passes`): each operation runs on views of the block, from the first, which reads g, to the
last, which writes the new p. The results lie in new memory, or in p, m and v themselves if these are donated, and are
handed to the lists `news`, of which `rows` makes slots again.

Sums go by passes too. Of a stack, which holds whole tensors, they are known at once. For a tensor in several blocks, as
p in LAMB, one pass takes the first sums of all blocks, another one, with these known, the next, and a last one writes
the results. A total over all tensors is known once every tensor has given its part.

NumPy arrays of some hundred elements up to a block, and few of them of any size, are not stacked but updated one after
the other by a loop that is written for the body (`loops`), if this computes each element by itself.

Several threads (`threads`) share the tensors of a large update, and the blocks of a tensor that is most of it.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import is_
from typing import Any

from lrsched._spaces.ops import Array, Ops
from lrsched.rules._blocks import loops
from lrsched.rules._blocks.memory import Library, Scratch, library_for
from lrsched.rules._blocks.passes import Stack
from lrsched.rules._blocks.recording import Recording, Update
from lrsched.rules._blocks.threads import share
from lrsched.rules._ops.context import Context
from lrsched.rules._ops.slots import SHAPE, Lists, listed, rows

# Tensors, or elements in all, from which on blocks pay.
MANY, LARGE = 64, 2**18


def _pay(lists: Lists) -> bool:
    return len(lists.shapes) >= MANY or lists.elements >= LARGE


def _bundles(lists: Lists, context: Context) -> list[tuple[Context, Sequence[int]]]:
    """Return tensors of one shape and dtype by index, with the learning rate and the step that they have in common."""
    groups: Iterable[Sequence[int]] = lists.groups.values()
    if context.each or len(lists.dtypes) > 1:
        found: dict[Any, list[int]] = {}
        for i, (shape, p) in enumerate(zip(lists.shapes, lists.olds[0], strict=True)):
            found.setdefault((shape, p.dtype, id(context.at(i))), []).append(i)
        groups = found.values()
    return [(context.at(group[0]), group) for group in groups]


def _packs(lists: Lists, library: Library, those: Sequence[int]) -> list[Sequence[int]]:
    """Return the tensors of each stack, of some of one shape."""
    sizes, size = library.sizes(), math.prod(lists.shapes[those[0]])
    most = max(1, sizes.pack // ((len(lists.olds) + 1) * max(1, size))) if size <= sizes.small else 1
    return [those[k : k + most] for k in range(0, len(those), most)]


def _divided(
    update: Update, lists: Lists, context: Context, pays: bool
) -> tuple[list[tuple[Recording, Stack]], list[loops.Looped]] | None:
    """Return each stack with the recorded body, and what is for loops.

    None if the body cannot be recorded, or if that does not pay.
    """
    known: dict[Any, Recording] = {}
    stacks: list[tuple[Recording, Stack]] = []
    looped: list[loops.Looped] = []
    for own, those in _bundles(lists, context):
        shape = lists.shapes[those[0]]
        form, possible = lists.expected[shape], loops.takes(update, lists, shape, those)
        found = loops.body_of(update, lists, shape)(own) if possible else None
        if found is None and not pays:
            return None
        recording = None
        if found is None or (pays and not loops.better(found[0], those, shape)):
            whole = math.prod(shape) <= update.library.sizes().block
            key = (id(own), len(shape), whole, form.kind)
            try:
                if key not in known:
                    known[key] = Recording(update, own, len(shape), form.slots, form.numbers or (), whole)
            except (AttributeError, TypeError):
                return None
            recording = known[key]
            if possible and found is None and recording.elementwise:
                found = loops.loop_for(recording, update.donate)
        if found is not None and (not pays or loops.better(found[0], those, shape)):
            loops.add(looped, *found, those)
        elif recording is not None:
            packs = _packs(lists, update.library, those)
            stacks += [(recording, Stack(update, recording, pack, form.numbers or ())) for pack in packs]
    return stacks, looped


def in_stacks(rule: Any, xp: Ops, ps: Sequence[Array], slots: Sequence[Any]) -> Sequence[Any]:
    """Return new slots, those of small tensors as parts of the memory in which `in_blocks` can take them together."""
    lists = listed(rule, ps, ps, slots) if rule.packs and isinstance(slots[0], tuple) else None
    library = library_for(xp, False)
    if lists is None or library is None or not _pay(lists) or not all(map(library.plain, lists.olds)):
        return slots
    columns = [list(column) for column in lists.olds[1:]]
    bundles = _bundles(lists, Context.of_list(xp, [], 0.0, 0))
    for those in chain.from_iterable(_packs(lists, library, those) for _, those in bundles):
        shape = lists.shapes[those[0]]
        for column in columns if len(those) > 1 else []:
            arrays = [column[i] for i in those]
            if set(map(SHAPE, arrays)) == {shape}:
                stack = library.result((len(those), math.prod(shape)), arrays[0].dtype)
                library.gather(arrays, stack.reshape(-1))
                for i, part in zip(those, library.parts(stack, (len(those), *shape)), strict=True):
                    column[i] = part
    return rows(slots[0], iter(columns), len(slots))


def in_blocks(
    xp: Ops,
    wide: Any,
    context: Context,
    slots: Sequence[Any],
    dtypes: Sequence[Any],
    lists: Lists | None,
    *,
    add: bool,
    donate: bool,
) -> tuple[Sequence[Array], Sequence[Any]] | None:
    """Do one update of tensors whose rule packs, and return the parameter and the slots of each.

    Args:
        xp: the operations of the library.
        wide: the working dtype.
        context: of the list of tensors.
        slots: the slots of each tensor.
        dtypes: of the slots of each tensor, when done.
        lists: all tensors, column by column, if slots are of one structure.
        add: True for new parameters, False for what to add to the old ones.
        donate: the results may be written into the arrays given.

    Returns:
        None where blocks cannot be or do not pay; nothing has been done then.
    """
    library = library_for(xp, donate) if lists else None
    if library is None or lists is None:
        return None
    pays = _pay(lists)
    if any(form.numbers is None for form in lists.expected.values()) or not (pays or lists.plain):
        return None
    count, olds = len(lists.shapes), lists.olds
    if not (lists.plain or all(map(library.plain, (lists.gs, *olds)))):
        return None
    uniform = all(dtype == wide for dtype in lists.dtypes)
    news: list[Any] = [[None] * count for _ in olds]
    update = Update(lists.rule, xp, library, wide, add, donate, lists.gs, olds, dtypes, uniform, news)
    parts = _divided(update, lists, context, pays)
    if parts is None:
        return None
    stacks, looped = parts
    if stacks:
        _work(update, stacks, lists.elements)
    for one in looped:
        one.run(update)
    new, *own = news
    if donate and all(map(is_, chain(*own), chain(*olds[1:]))):
        return new, slots
    return new, rows(slots[0], iter(own), count)


def _work(update: Update, stacks: Sequence[tuple[Recording, Stack]], elements: int) -> None:
    """Let all stacks do what they have to."""
    sizes = update.library.sizes()
    order = sorted(range(len(stacks)), key=lambda i: -stacks[i][1].size)
    # Short operations would keep threads waiting for each other.
    large = [i for i in order if stacks[i][1].size >= sizes.shared]
    mass = sum(stacks[i][1].size for i in large)
    threads = update.library.threads() if mass >= 32 * sizes.shared else 1
    length = min(max(sizes.block, sizes.pack // (len(update.olds) + 1)), elements)
    spaces = [[Scratch(update.library, update.wide, length)] for _ in range(threads)]
    together = [space for (space,) in spaces]
    # What is most of it is for all threads together, block by block.
    joint = [i for i in large if threads > 1 and stacks[i][1].size * threads * 2 > mass]
    apart = [i for i in large if i not in joint] if threads > 1 else []
    alone = [i for i in order if i not in {*joint, *apart}]
    runs = [stack.run() for _, stack in stacks]
    parts = [next(run) for run in runs]
    total: float | None = None
    # Without totals a stack does all its passes at once: what one has gathered stays in the cache.
    for _ in range(1 + max(recording.totals for recording, _ in stacks)):

        def go_on(own: list[Scratch], i: int, total: float | None = total) -> None:
            try:
                parts[i] = runs[i].send((own, total))
            except StopIteration:
                parts[i] = 0.0

        for i in joint:
            go_on(together, i)
        share(go_on, spaces, apart)
        share(go_on, spaces[:1], alone)
        total = sum(parts)  # in the order of the stacks, whoever did them
