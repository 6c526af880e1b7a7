"""One update of a batch of torch parameters in place: the pure function, run as it is or compiled.

A `BatchUpdate` takes whole tensors in their own shapes: matrix rules need them so, and shards come so. Where tensors
may be cut and joined, `_joined.buckets` updates them; matrix rules come one by one, as `_traced.shaped` hands them on.
`_optimizer.choice` chooses.
"""

import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.compiling import EAGER, INDUCTOR, CannotCompile, Ways, compiling, of_torch, undisturbed


class Member(NamedTuple):
    """A parameter, its state and its group; the number of the group stands for what its parameters share."""

    p: Tensor
    state: dict[str, Any]
    group: dict[str, Any]
    number: int


class Batch(NamedTuple):
    """The tensors of one update, as lists.

    Args:
        ps: parameters, or the copies that lead.
        gs: a gradient of each.
        slots: those of each, in their structure.
        maximize: whether each goes up.
        alike: the indices of tensors of one learning rate and one step, a tuple for each of these.
        lrs: the learning rate of each such tuple.
        steps: updates done before, likewise.
        known: for each tensor the results of the first reductions, where they are known.
    """

    ps: list[Tensor]
    gs: list[Tensor]
    slots: list[Any]
    maximize: tuple[bool, ...]
    alike: tuple[tuple[int, ...], ...]
    lrs: list[float | Tensor]
    steps: list[int | Tensor]
    known: Sequence[Sequence[Any]] = ()


# Changes parameters and slots in place.
BatchUpdate = Callable[[Batch], None]


def update_with(rule: rules.Rule) -> BatchUpdate:
    """Return the function that does one update with the rule.

    A rule that looks at all tensors together sees the whole batch, each tensor with its own learning rate and step.
    Another one sees those that are alike after each other, so that the memory of some is free for the next.
    """

    def update(batch: Batch) -> None:
        lrs, steps = spread(batch.lrs, batch), spread(batch.steps, batch)
        together = rule.couples and not batch.known
        for own in [range(len(batch.ps))] if together else batch.alike:
            update_some(batch, own, [lrs[i] for i in own], [steps[i] for i in own])

    # A function of its own: what it has made is gone before the next tensors need as much.
    def update_some(batch: Batch, own: Sequence[int], lrs: list[Any], steps: list[Any]) -> None:
        ps = [batch.ps[i] for i in own]
        wide = width(batch.ps)

        def widened(x: Any) -> Any:
            return x.to(wide) if isinstance(x, Tensor) else x

        # Equal rates stay the same object, so that what a rule computes of them is computed once.
        xp: Any = rules.ops_of(ps[0])
        context = rules.Context.of_list(xp, [p.dim() for p in ps], list(map(widened, lrs)), list(map(widened, steps)))
        if batch.known:
            context = context.replaying(batch.known[own[0]])  # tensors whose sums are known come one by one
        gs = [widened(-batch.gs[i] if batch.maximize[i] else batch.gs[i]) for i in own]
        slots = [rules.map_arrays(widened, batch.slots[i]) for i in own]
        us, kept = rule.body(context, list(map(widened, ps)), gs, slots)
        for i, p, u, content in zip(own, ps, us, kept, strict=True):
            olds = list(arrays_of(batch.slots[i]))
            u, *news = apart([p, *olds], [u, *arrays_of(content)])
            if p.dtype == wide:
                p.sub_(u)
            else:
                put(p, p.to(wide) - u)
            for old, new in zip(olds, news, strict=True):
                put(old, new)

    return update


def spread(scalars: Sequence[Any], batch: Batch) -> list[Any]:
    """Return for each tensor what belongs to those like it."""
    found: list[Any] = [None] * len(batch.ps)
    for own, scalar in zip(batch.alike, scalars, strict=True):
        for i in own:
            found[i] = scalar
    return found


def among(batch: Batch, own: Sequence[int]) -> Batch:
    """Return some of the tensors, by index, each with its own learning rate and step."""
    lrs, steps = spread(batch.lrs, batch), spread(batch.steps, batch)
    return Batch(
        ps=[batch.ps[i] for i in own],
        gs=[batch.gs[i] for i in own],
        slots=[batch.slots[i] for i in own],
        maximize=tuple(batch.maximize[i] for i in own),
        alike=tuple((i,) for i in range(len(own))),
        lrs=[lrs[i] for i in own],
        steps=[steps[i] for i in own],
        known=[batch.known[i] for i in own] if batch.known else (),
    )


def width(ps: Sequence[Tensor]) -> torch.dtype:
    """Return the working dtype of an update, the widest: a norm may run over all tensors."""
    return torch.float64 if any(p.dtype == torch.float64 for p in ps) else torch.float32


def put(target: Tensor, content: Tensor) -> None:
    """Copy one tensor into another."""
    if content is not target:
        # torch.compile (2.13) loses what is copied into a float64 tensor without a dimension.
        (target if target.dim() else target.view(1)).copy_(content)


def apart(targets: Sequence[Tensor], contents: Sequence[Tensor]) -> list[Tensor]:
    """Return contents that stay when others are written: one that was itself another target is copied."""
    return [
        x.clone() if x is not target and any(x is other for other in targets) else x
        for target, x in zip(targets, contents, strict=True)
    ]


def arrays_of(slots: Any) -> Iterator[Tensor]:
    """Yield the arrays of slots."""
    return (x for _, x in named(slots))


def compiled(update: BatchUpdate, ways: Ways) -> Callable[..., None]:
    """Return the function compiled to a graph, with learning rates and steps as 0-d tensors.

    Where that fails it is run as it is, for nothing has been changed by then; `ways` is told. A second argument says
    which graph to take: one for each.
    """
    known: set[Any] = set()

    @cache
    def fast(kind: Any) -> BatchUpdate:
        # Dynamo counts recompilations by code object, and gives up at the eighth: a copy keeps optimizers and shapes
        # out of each other's count.
        own = types.FunctionType(
            update.__code__.replace(), update.__globals__, update.__name__, update.__defaults__, update.__closure__
        )
        with compiling(lambda: (RuntimeError,)):  # a Python or a system that it does not know
            return torch.compile(own, fullgraph=True, dynamic=False)

    def run(batch: Batch, kind: Any = None) -> None:
        dtype, device = width(batch.ps), batch.ps[0].device

        def scalar(number: float | Tensor) -> Tensor:
            return number if isinstance(number, Tensor) else torch.full((), number, dtype=dtype, device=device)

        if INDUCTOR not in ways.failed:
            try:
                function = fast(kind)
                # Filters that are put back make Python show warnings again, so not at each step.
                with compiling(of_torch), nullcontext() if kind in known else undisturbed():
                    function(batch._replace(lrs=list(map(scalar, batch.lrs)), steps=list(map(scalar, batch.steps))))
                known.add(kind)
                return
            except CannotCompile as error:
                ways.failed[INDUCTOR] = error
                ways.tell(EAGER)
        update(batch)

    return run


def named(slots: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the array of each slot that is not None; an inner one is called `outer.inner`."""
    for name, content in zip(getattr(slots, "_fields", range(len(slots))), slots, strict=True):
        if isinstance(content, tuple):
            yield from named(content, f"{prefix}{name}.")
        elif content is not None:
            yield f"{prefix}{name}", content
