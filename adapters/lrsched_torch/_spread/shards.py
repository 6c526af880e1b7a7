"""One update of ordinary tensors that are shards of others: the body of a rule, with sums added up over processes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from lrsched import rules
from lrsched_torch._joined.native import Kernel, native_of, transformed
from lrsched_torch._shared.facts import facts_of, ops
from lrsched_torch._shared.update import Batch, apart, arrays_of, put, spread

# The processes whose shards make up a tensor, one group for each mesh dimension that shards it; () for a whole one.
Groups = tuple[ProcessGroup, ...]
# SumsByKey that belong to the tensor of an index: of the first, second, ... array that the body gives for it.
SumsByKey = Mapping[tuple[int, int], Tensor]

# Elements in one call of a body. On a processor what it reads, writes and keeps for a moment then stays in the cache.
PIECE_ON_CPU, PIECE = 2**16, 2**22


class Cut(NamedTuple):
    """What one call of a body sees of a tensor: elements in the order of memory, or, without an end, all as it is."""

    i: int  # of the tensor
    begin: int = 0
    end: int | None = None

    def of(self, x: Tensor) -> Tensor:
        """Return the part of a contiguous tensor."""
        return x if self.end is None else x.view(-1)[self.begin : self.end]


class Shards:
    """The update of tensors with a rule.

    Args:
        rule: the update rule.
        groups: what to add the sums of each tensor up over.
        totals_over: and totals over all tensors.
    """

    def __init__(self, rule: rules.Rule, groups: Sequence[Groups], totals_over: ProcessGroup | None) -> None:
        self.rule, self.groups, self.totals_over = rule, groups, totals_over

    def at_once(self, batch: Batch) -> None:
        """Do the update in one call of the body."""
        batch = _each(batch)
        cuts = [Cut(i) for i in range(len(batch.ps))]
        local, inputs = self._prepared(batch, cuts)

        def sums(arrays: Sequence[Tensor], owners: Sequence[int]) -> list[Tensor]:
            found = dict(_keyed(cuts, arrays, owners))
            return _looked_up(found, self._added(found))

        def total(arrays: Sequence[Tensor]) -> Tensor:
            return self._total(dict(_keyed(cuts, arrays, range(len(arrays)))), batch)

        self._write(batch, cuts, inputs, self._body(inputs, replace(local, sums=sums, total=total)))

    def in_pieces(self, batch: Batch) -> None:
        """Do the update piece by piece: the reductions of all pieces first, in the order of the body."""
        batch = _each(batch)
        parts, kernel = native_of(self.rule)
        pieces = list(_pieces(batch, whole=kernel is not None and not parts))
        known: list[list[Any]] = [[] for _ in pieces]
        for asked in facts_of(self.rule).reductions:
            found: list[SumsByKey] = []
            for cuts, results in zip(pieces, known, strict=True):
                local, inputs = self._prepared(batch, cuts)
                reduction = rules.next_reduction(partial(self._body, inputs), local, results)
                assert reduction is not None  # they come in an order that does not depend on the tensors
                found.append(dict(reduction.result))
            merged: dict[tuple[int, int], Tensor] = {}
            for part in found:
                for key, scalar in part.items():
                    merged[key] = merged[key] + scalar if key in merged else scalar
            total = asked == "total"
            everywhere: Any = self._total(merged, batch) if total else self._added(merged)
            for part, results in zip(found, known, strict=True):
                results.append(everywhere if total else _looked_up(part, everywhere))
        last: list[tuple[Tensor, Tensor]] = []
        for cuts, results in zip(pieces, known, strict=True):
            if kernel is None or not self._natively(batch, cuts, parts, kernel, results):
                local, inputs = self._prepared(batch, cuts)
                last += self._write(batch, cuts, inputs, self._body(inputs, local.replaying(results)))
        for old, new in last:
            put(old, new)

    def _prepared(self, batch: Batch, cuts: Sequence[Cut]) -> tuple[rules.Context, tuple[Any, Any, Any]]:
        """Return the context and the inputs of the body for some tensors; the sums of the context have their keys."""
        widened = partial(_cast, dtype=_wide(batch))
        ps = [widened(cut.of(batch.ps[cut.i])) for cut in cuts]
        gs = [widened(cut.of(batch.gs[cut.i])) for cut in cuts]
        gs = [-g if batch.maximize[cut.i] else g for cut, g in zip(cuts, gs, strict=True)]
        slots = [
            rules.map_arrays(widened, rules.map_arrays(partial(_like, batch, cut), batch.slots[cut.i])) for cut in cuts
        ]
        # Equal rates stay the same object, so that what a rule computes of them is computed once.
        lr: Any = [widened(batch.lrs[cut.i]) for cut in cuts] or 0.0  # without tensors, a number
        step: Any = [widened(batch.steps[cut.i]) for cut in cuts] or 0
        context = rules.Context.of_list(ops(), [batch.ps[cut.i].ndim for cut in cuts], lr, step)

        def sums(arrays: Sequence[Tensor], owners: Sequence[int]) -> Any:
            return _keyed(cuts, arrays, owners)

        def total(arrays: Sequence[Tensor]) -> Any:
            return _keyed(cuts, arrays, range(len(arrays)))

        return replace(context, sums=sums, total=total), (ps, gs, slots)

    def _body(self, inputs: tuple[Any, Any, Any], context: rules.Context) -> tuple[list[Tensor], list[Any]]:
        return self.rule.body(context, *inputs)

    def _write(
        self, batch: Batch, cuts: Sequence[Cut], inputs: tuple[Any, Any, Any], outputs: tuple[list[Tensor], list[Any]]
    ) -> list[tuple[Tensor, Tensor]]:
        """Write parameters and slots; return what the next piece of the same tensor needs as it is, and its content."""
        last = []
        for cut, p, were, u, slots in zip(cuts, inputs[0], inputs[2], *outputs, strict=True):
            moved, *contents = apart([p, *arrays_of(were)], [p - u, *arrays_of(slots)])
            put(cut.of(batch.ps[cut.i]), moved)
            for old, new in zip(arrays_of(batch.slots[cut.i]), contents, strict=True):
                if cut.end is not None and old.shape != batch.ps[cut.i].shape:
                    last.append((old, new))
                else:
                    put(cut.of(old), new)
        return last

    def _natively(
        self, batch: Batch, cuts: Sequence[Cut], parts: Sequence[rules.Part], kernel: Kernel, known: Sequence[Any]
    ) -> bool:
        """Update some tensors by a native kernel, or return False if it does not take them."""
        ps, gs, slots = [], [], []
        for cut in cuts:
            ps.append(cut.of(batch.ps[cut.i]))
            gs.append(cut.of(batch.gs[cut.i]))
            slots.append([cut.of(x) for x in arrays_of(batch.slots[cut.i])])
        work, first = _wide(batch), cuts[0].i
        lr, step, up = batch.lrs[first], batch.steps[first], batch.maximize[first]
        alike = all(
            (batch.lrs[c.i] is lr or (not isinstance(lr, Tensor) and batch.lrs[c.i] == lr))
            and (batch.steps[c.i], batch.maximize[c.i]) == (step, up)
            for c in cuts
        )
        if not alike or any(x.dtype != work or not x.numel() for x in (*ps, *gs)):
            return False
        if parts:
            context, (_, gs, _) = self._prepared(batch, cuts)
            context = context.replaying(known)
            gs = transformed(parts, context, ps, gs)
        kernel(ps, gs, slots, lr if isinstance(lr, Tensor) else float(lr), int(step), up and not parts)
        return True

    def _added(self, found: SumsByKey) -> SumsByKey:
        """Return the sums, each added up over the groups of its tensor: one vector for those of the same groups."""
        result = dict(found)
        keys = sorted(found)
        for own in dict.fromkeys(self.groups[i] for i, _ in keys):
            if own:
                mine = [key for key in keys if self.groups[key[0]] == own]
                vector = torch.stack([found[key] for key in mine])
                for group in own:
                    dist.all_reduce(vector, group=group)
                result.update(zip(mine, vector.unbind(), strict=True))
        return result

    def _total(self, found: SumsByKey, batch: Batch) -> Tensor:
        by_groups: dict[Groups, Any] = {}
        places: dict[Groups, int] = {}
        for (i, _), scalar in sorted(found.items(), key=lambda item: item[0]):
            own = self.groups[i]
            by_groups[own] = by_groups[own] + scalar if own in by_groups else scalar
            places.setdefault(own, i)
        wide = _wide(batch)
        # Other processes may hold parameters of another dtype, or this one none at all.
        exact = wide if self.totals_over is None else torch.float64
        result = torch.zeros((), dtype=exact, device=_device(batch, self.totals_over))
        for scalar in self._added({(i, 0): by_groups[own] for own, i in places.items()}).values():
            result = result + scalar
        if self.totals_over is not None:
            dist.all_reduce(result, group=self.totals_over)
        return result.to(wide)


def _keyed(
    cuts: Sequence[Cut], arrays: Sequence[Tensor], owners: Sequence[int]
) -> list[tuple[tuple[int, int], Tensor]]:
    counts: dict[int, int] = {}
    result = []
    for x, owner in zip(arrays, owners, strict=True):
        counts[owner] = counts.get(owner, -1) + 1
        result.append(((cuts[owner].i, counts[owner]), torch.sum(x)))
    return result


def _looked_up(part: SumsByKey, everywhere: SumsByKey) -> list[Tensor]:
    return [everywhere[key] for key in part]


def _each(batch: Batch) -> Batch:
    """Return the batch with a learning rate and a step for each tensor."""
    everyone = tuple((i,) for i in range(len(batch.ps)))
    return batch._replace(alike=everyone, lrs=spread(batch.lrs, batch), steps=spread(batch.steps, batch))


def _pieces(batch: Batch, whole: bool) -> Iterator[list[Cut]]:
    """Yield the cuts of each call: small tensors together, large ones in parts; or all that is alike together."""
    if whole:
        alike: dict[Any, list[Cut]] = {}
        for i, p in enumerate(batch.ps):
            lr = batch.lrs[i]
            rate = id(lr) if isinstance(lr, Tensor) else lr
            key = rate, batch.steps[i], batch.maximize[i], p.device, p.dtype, batch.gs[i].dtype, p.numel() > 0
            alike.setdefault(key, []).append(Cut(i))
        yield from alike.values()
        return
    own: list[Cut] = []
    size = 0
    for i, (p, g) in enumerate(zip(batch.ps, batch.gs, strict=True)):
        most = PIECE_ON_CPU if p.device.type == "cpu" else PIECE
        numel = p.numel()
        if own and (size + numel > most or p.device != batch.ps[own[0].i].device):
            yield own
            own, size = [], 0
        wide = [x for x in arrays_of(batch.slots[i]) if x.shape == p.shape]
        if numel > most and all(x.is_contiguous() for x in (p, g, *wide)):
            yield from ([Cut(i, begin, min(begin + most, numel))] for begin in range(0, numel, most))
        else:
            own.append(Cut(i))
            size += numel
    if own:
        yield own


def _like(batch: Batch, cut: Cut, x: Tensor) -> Tensor:
    """Return the part of a slot that belongs to a cut: all of a number."""
    return cut.of(x) if x.shape == batch.ps[cut.i].shape else x


def _wide(batch: Batch) -> torch.dtype:
    # One dtype for all of the update, the widest: a norm may run over all tensors.
    return torch.float64 if any(p.dtype == torch.float64 for p in batch.ps) else torch.float32


def _cast(x: Any, dtype: torch.dtype) -> Any:
    return x.to(dtype) if isinstance(x, Tensor) else x


def _device(batch: Batch, totals_over: ProcessGroup | None) -> torch.device:
    if batch.ps:
        return batch.ps[0].device
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None or dist.get_backend(totals_over) == "gloo":
        return torch.device("cpu")
    return torch.device(accelerator.type, torch.accelerator.current_device_index())
