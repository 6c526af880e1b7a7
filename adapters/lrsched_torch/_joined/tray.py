"""Tensors whose slots lie end to end, as `in_cache.py` updates them: some small ones, or one large one.

A bias comes to a tray with others. Its slots move to their places in the buffers of that tray, without a gap, and its
state keeps views of these. Its count, its group and whether it has a gradient do not matter to its place, so it stays.
In an update the tensors with a gradient are copied side by side into memory that all trays share, and if some are
missing, so are their slots; `Loading` says where, and `store` copies back. A large weight has a tray for itself, where
nothing is copied.
"""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrsched_torch._joined.bucket import flattened
from lrsched_torch._shared.entries import Entries
from lrsched_torch._shared.facts import Facts
from lrsched_torch._shared.update import Member

_form = attrgetter("shape", "dtype", "device")


class Loading(NamedTuple):
    """The arrays of a tray in one update, each end to end.

    Args:
        arrays: parameters, gradients and slots, as the passes call them.
        numbers: the slots that are one number for each tensor, in float64.
        members: those that are updated.
        own: their places in the tray, or None for all.
    """

    arrays: dict[str, Tensor]
    numbers: dict[str, Any]
    members: Sequence[Member]
    own: list[int] | None


class Tray:
    """Tensors whose slots lie end to end.

    Args:
        members: the tensors, or one large one.
        facts: of the rule.
        master: whether a copy in the working dtype leads.
        alone: whether it is one tensor that stays where it is.
    """

    def __init__(self, members: Sequence[Member], facts: Facts, *, master: bool, alone: bool) -> None:
        first = members[0].p
        self.members, self.facts, self.master, self.alone = members, facts, master, alone
        self.ps, self.states = [m.p for m in members], [m.state for m in members]
        self.work = torch.float64 if first.dtype == torch.float64 else torch.float32
        self.sizes = [p.numel() for p in self.ps]
        self.even = len(set(self.sizes)) == 1
        self.shapes = [p.shape for p in self.ps]
        self.ranks = [p.dim() for p in self.ps]
        self.forms, self.strides = list(map(_form, self.ps)), first.stride()
        self._views: dict[str, list[Tensor]] = {}
        self._flat = torch.empty(0)
        named = [*zip(facts.labels, facts.names, strict=True), *([("p", "master")] if master else [])]
        self._names = dict(named)
        self.wide = {label for label, name in named if name == "master" or name in facts.wide}
        if alone:
            state = self.states[0]
            for name in self._names.values():
                state[name] = state[name].to(self.work)
            self.slots = {label: flattened(state[name]) for label, name in named}
            self.entries = Entries(self.states, list(self._names.values()))
            return
        self.slots = {label: self._joined(label, name) for label, name in named}
        self.entries = Entries(self.states, list(self._names.values()), list(self.slots.values()))

    def _joined(self, label: str, name: str) -> Tensor:
        """Return one buffer for a slot of all members; what they keep becomes a view of it."""
        shapes = self.shapes if label in self.wide else [torch.Size(())] * len(self.ps)
        buffer = torch.empty(sum(map(torch.Size.numel, shapes)), dtype=self.work)
        views = cut(buffer, shapes)
        for state, view in zip(self.states, views, strict=True):
            view.copy_(state[name])
            state[name] = view
        return buffer

    def fits(self) -> bool:
        """Return whether parameters, states and slots still are what this tray works on."""
        return (
            list(map(_form, self.ps)) == self.forms
            and (not self.alone or self.ps[0].stride() == self.strides)
            and self.entries.hold()
        )

    def holds(self, i: int) -> bool:
        """Return whether a member still keeps its slots here."""
        state = self.states[i]
        return all(
            state.get(name) is own[i] for name, own in zip(self._names.values(), self.entries.slots, strict=True)
        )

    def load(self, own: list[int] | None, gs: Sequence[Tensor], rooms: "Rooms") -> Loading:
        """Return the arrays of those tensors that have a gradient.

        Args:
            own: their places in the tray; None for all.
            gs: their gradients.
            rooms: memory for what must be gathered.
        """
        members = self.members if own is None else [self.members[i] for i in own]
        arrays, numbers = {}, {}
        for (label, x), kept in zip(self.slots.items(), self.entries.slots, strict=True):
            if label not in self.wide:
                numbers[label] = x.view(-1)[slice(None) if own is None else own].to(torch.float64).numpy()
            elif own is None:
                arrays[label] = x
            else:
                arrays[label] = rooms.gathered(label, self.work, [kept[i] for i in own])
        if self.alone:
            (p,), (g,) = self.ps, gs
            if g.stride() != p.stride():
                g = torch.empty_like(p, dtype=g.dtype).copy_(g)
            if self._flat.data_ptr() != p.data_ptr():
                self._flat = flattened(p)
            # A copy that leads is a slot here.
            return Loading({"p": self._flat, **arrays, "g": flattened(g)}, numbers, members, own)
        if not self.master:
            arrays["p"] = rooms.gathered("p", self.work, [m.p for m in members])
        arrays["g"] = rooms.gathered("g", self.work, gs)
        return Loading(arrays, numbers, members, own)

    def store(self, loading: Loading, numbers: dict[str, Any]) -> None:
        """Write back what was gathered, and new numbers."""
        own = loading.own
        for label, x in numbers.items():
            to = self.slots[label].view(-1)
            new = torch.as_tensor(x, dtype=torch.float64).to(self.work)
            to[slice(None) if own is None else own] = new
        if not self.alone:
            shapes = self.shapes if own is None else [self.shapes[i] for i in own]
            if own is not None:
                for label, kept in zip(self.slots, self.entries.slots, strict=True):
                    if label in self.wide:
                        torch._foreach_copy_([kept[i] for i in own], cut(loading.arrays[label], shapes))
            torch._foreach_copy_([m.p for m in loading.members], self._cut(loading.arrays["p"], shapes, own))
        elif self.master:
            self.ps[0].copy_(self.states[0]["master"])

    def _cut(self, p: Tensor, shapes: Sequence[torch.Size], own: list[int] | None) -> list[Tensor]:
        if own is not None:
            return cut(p, shapes)
        key = str(p.data_ptr())
        if key not in self._views:
            self._views = {key: cut(p, shapes)}
        return self._views[key]

    def kept(self) -> list[tuple[Tensor, ...]]:
        """Return the slots of each tensor."""
        return list(zip(*self.entries.slots, strict=True)) if self.entries.slots else [()] * len(self.ps)


class Rooms:
    """Memory that trays share, each piece for one purpose at a time."""

    def __init__(self) -> None:
        self._made: dict[Any, Tensor] = {}
        self._shaped: dict[Any, Tensor] = {}
        self._lists: dict[Any, list[Tensor]] = {}

    def room(self, what: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """Return the beginning of a vector, in a shape; the same object for the same arguments."""
        key = (what, dtype, shape)
        if key not in self._shaped:
            size, whole = math.prod(shape), self._made.get((what, dtype))
            if whole is None or len(whole) < size:
                whole = self._made[what, dtype] = torch.empty(size, dtype=dtype)
                self._lists = {}
                self._shaped = {other: x for other, x in self._shaped.items() if other[:2] != key[:2]}
            self._shaped[key] = whole[:size].view(shape)
        return self._shaped[key]

    def buffers(self, count: int, dtype: torch.dtype, shape: torch.Size) -> list[Tensor]:
        """Return so many of a shape."""
        key = (count, dtype, shape)
        if key not in self._lists:
            self._lists[key] = [self.room(f"b{i}", dtype, tuple(shape)) for i in range(count)]
        return self._lists[key]

    def gathered(self, what: str, dtype: torch.dtype, xs: Sequence[Tensor]) -> Tensor:
        """Return the elements of some tensors end to end."""
        flat = [x if x.dim() == 1 else x.reshape(-1) for x in xs]
        room = self.room(what, dtype, (sum(map(Tensor.numel, flat)),))
        if all(x.dtype == dtype for x in flat):
            return torch.cat(flat, out=room)
        torch._foreach_copy_(room.split_with_sizes(list(map(Tensor.numel, flat))), flat)
        return room


def cut(x: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return the parts of a vector in their shapes."""
    parts = x.split_with_sizes(list(map(torch.Size.numel, shapes)))
    return [part if len(shape) == 1 else part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
