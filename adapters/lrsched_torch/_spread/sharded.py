"""One update of parameters that are spread over processes, as FSDP2, tensor parallelism and ZeRO leave them.

The body of a rule runs on the local shards, without the dispatch of `DTensor`. What it asks of the context is right for
whole tensors: all sums of one call are added up in one vector, by one all-reduce for each mesh dimension that shards.
Replicas are counted once. A rule that needs tensors in their own shape (`rule.packs` is False) gets them whole: each
process gathers them, computes the same and keeps its shard.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor, Replicate

from lrsched import rules
from lrsched_torch._shared.compiling import Ways
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.update import Batch, BatchUpdate, among, arrays_of, compiled, named
from lrsched_torch._spread.shards import Groups, Shards


def sharded_update_with(
    rule: rules.Rule, *, ways: Ways | None = None, totals_over: ProcessGroup | None = None
) -> BatchUpdate:
    """Return the function that does one update with the rule where parameters may be `DTensor`s.

    Args:
        rule: the update rule.
        ways: to run the body as one graph of `torch.compile`, its all-reduces included, and eagerly where that
            fails; None to run it eagerly.
        totals_over: processes that hold different parameters: totals over all tensors are added up over them too, so
            all of them must take part in every update.

    Returns:
        A function that raises a TypeError for a gradient or a slot that does not fit its parameter, and a ValueError
        for a parameter that this process cannot update.
    """
    plain: dict[tuple[Groups, ...], BatchUpdate] = {}
    facts = facts_of(rule)
    borderless = facts.packs and not facts.ranked and all(asked == "total" for asked in facts.reductions)
    borderless = borderless and (totals_over is not None or not facts.totals)

    def plain_update(groups: tuple[Groups, ...]) -> BatchUpdate:
        if groups not in plain:
            shards = Shards(rule, groups, totals_over)
            if ways is not None and groups:
                plain[groups] = compiled(lambda batch: shards.at_once(batch), ways)
            else:
                plain[groups] = shards.in_pieces if facts.packs else shards.at_once
        return plain[groups]

    def update(batch: Batch) -> None:
        if not borderless and any(getattr(p, "_fsdp_flattened", False) for p in batch.ps):
            raise ValueError(
                f"the rule {rule!r} must see the borders of tensors, got parameters of FullyShardedDataParallel, which "
                "cuts them anywhere; use fully_shard (or totals_over=..., if only a total norm is asked)"
            )
        groups = [_groups(p) for p in batch.ps]
        batch = batch._replace(gs=[_laid_out(g, p) for g, p in zip(batch.gs, batch.ps, strict=True)])
        for p, slots in zip(batch.ps, batch.slots, strict=True):
            _check_slots(p, slots)
        if rule.packs:
            plain_update(tuple(groups))(_viewed(batch, _local))
            return
        everyone = range(len(batch.ps))
        for own in [list(everyone)] if rule.couples else [[i] for i in everyone]:
            shards = among(batch, own)
            whole = _viewed(shards, _whole)
            plain_update(((),) * len(own))(whole)
            _take(shards, whole)

    return update


def _groups(p: Tensor) -> Groups:
    if not isinstance(p, DTensor):
        return ()
    mesh = p.device_mesh
    if mesh.get_coordinate() is None:
        raise ValueError(
            f"RuleOptimizer.step() must run in processes of the mesh of each parameter, got one of shape "
            f"{tuple(p.shape)} on {mesh}"
        )
    if any(placement.is_partial() for placement in p.placements):
        raise ValueError(
            f"RuleOptimizer(params=...) must be sharded or replicated, got one of shape {tuple(p.shape)} with the "
            f"placements {p.placements}; redistribute it"
        )
    shards = (i for i, placement in enumerate(p.placements) if not placement.is_replicate() and mesh.size(i) > 1)
    return tuple(mesh.get_group(i) for i in shards)


def _laid_out(g: Tensor, p: Tensor) -> Tensor:
    """Return the gradient with the placements of the parameter."""
    if isinstance(g, DTensor) != isinstance(p, DTensor):
        raise TypeError(
            f"RuleOptimizer.step() must get a gradient of the kind of its parameter, got a {type(g).__name__} for a "
            f"{type(p).__name__} of shape {tuple(p.shape)}"
        )
    if not isinstance(g, DTensor) or not isinstance(p, DTensor) or g.placements == p.placements:
        return g
    return g.redistribute(p.device_mesh, p.placements)


def _check_slots(p: Tensor, slots: Any) -> None:
    if not isinstance(p, DTensor):
        return
    for name, slot in named(slots):
        if slot.shape == p.shape and getattr(slot, "placements", None) != p.placements:
            raise TypeError(
                f"the state {name!r} of a parameter of shape {tuple(p.shape)} must be a DTensor placed like it, got "
                f"{getattr(slot, 'placements', 'a plain tensor')}; load it by "
                "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict"
            )


def _viewed(batch: Batch, view: Callable[[Tensor], Tensor]) -> Batch:
    slots = [rules.map_arrays(view, s) for s in batch.slots]
    return batch._replace(ps=[view(p) for p in batch.ps], gs=[view(g) for g in batch.gs], slots=slots)


def _local(x: Tensor) -> Tensor:
    return x.to_local() if isinstance(x, DTensor) else x


def _whole(x: Tensor) -> Tensor:
    return x.full_tensor() if isinstance(x, DTensor) else x


def _take(batch: Batch, whole: Batch) -> None:
    """Write the own shards of the whole tensors, which every process has computed alike."""
    for p, slots, whole_p, whole_slots in zip(batch.ps, batch.slots, whole.ps, whole.slots, strict=True):
        pairs = zip([p, *arrays_of(slots)], [whole_p, *arrays_of(whole_slots)], strict=True)
        for old, new in pairs:
            if isinstance(old, DTensor):
                mesh = old.device_mesh
                everywhere = DTensor.from_local(new, mesh, [Replicate()] * mesh.ndim, run_check=False)
                old.to_local().copy_(everywhere.redistribute(mesh, old.placements).to_local())
