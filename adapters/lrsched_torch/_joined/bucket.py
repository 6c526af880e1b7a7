"""How parameters are laid out for a rule: large ones where they are, small ones together in buckets.

A large weight stays where it is, seen in one dimension. The slots of a small one become views of buffers that its
bucket keeps; the weight and its gradient are copied in and out at each step, unless they live side by side in one
buffer already, as `flat=True` makes them (`_optimizer/flat.py`). If a tensor of the rule has a sum or a number for
itself, it gets whole rows of `WIDTH`, filled up with zeros, so that sums of rows can be added up for each; else they
lie end to end.
"""

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.entries import Entries, check_gradients
from lrsched_torch._shared.facts import Facts
from lrsched_torch._shared.update import Member

WIDTH = 1024


# From how many elements on a tensor stands alone, and how many a bucket holds at most. Measured on a CPU. On a GPU a
# launch costs as much as to copy some million elements, which is not measured.
CPU, GPU = (2**16, 2**18), (2**20, 2**24)
# A native kernel takes a list of tensors, so that few need to be joined.
NATIVE = 2**12, 2**18


class Home(NamedTuple):
    """A place in the one buffer that holds parameters, and the one that holds gradients, of `flat=True`."""

    p: Tensor
    g: Tensor
    begin: int
    end: int  # with what is left empty for the alignment


class Bucket:
    """Tensors that one call updates: a large one, or a bucket of those that have step, group and dtype in common.

    Args:
        members: the parameters.
        indices: their places among the gradients of the step.
        facts: of the rule.
        master: whether a copy in the working dtype leads.
        homes: the places of the parameters, if they are neighbours in one buffer.
    """

    def __init__(
        self,
        members: Sequence[Member],
        indices: Sequence[int],
        facts: Facts,
        master: bool,
        homes: Sequence[Home] | None,
    ) -> None:
        first = members[0]
        self.members, self.indices, self.facts, self.master = members, indices, facts, master
        self.group, self.number, self.rank = first.group, first.number, first.p.dim()
        self.maximize = bool(first.group["maximize"])
        # A number, or a count on the device that the members have in common.
        self.step = first.state["step"]
        self.work = torch.float64 if first.p.dtype == torch.float64 else torch.float32
        self.device = first.p.device
        self.ps = [m.p for m in members]
        self.states = [m.state for m in members]
        self.homes = homes
        # Their places in the buffers of `flat=True`.
        self.p = self.g = torch.empty(0)
        self.gs: list[Tensor] = []
        self._forms, self._sizes = list(map(_form, self.ps)), [p.numel() for p in self.ps]
        # Whether a kernel of PyTorch takes the tensors of this update where they lie.
        self.in_lists = False
        self._vectors = all(p.dim() == 1 for p in self.ps)
        self.alone = len(members) == 1 and homes is None and dense(first)
        self.rows: rules.Rows | None = None
        self.tables: rules.RowTables | None = None
        self.phases: Any = None  # the compiled graphs
        self._places: dict[str, list[Tensor]] = {}
        names = [*facts.names, *(["master"] if master else [])]
        if self.alone:
            self.size, self._alone_at = first.p.numel(), _place(first.p)
            for name in names:
                first.state[name] = first.state[name].to(self.device, self.work)
            found = [first.state[name] for name in names]
            self.entries = Entries(self.states, names)
            self.slots = [flattened(x) if x.shape == first.p.shape else x for x in found]
            return
        if facts.elementwise:
            self.slices = self._placed()
            self.size = homes[-1].end - homes[0].begin if homes else sum(p.numel() for p in self.ps)
        else:
            self.rows = rules.Rows([tuple(p.shape) for p in self.ps], WIDTH)
            self.tables = self.rows.tables(torch.empty(0, device=self.device))
            self.slices, self.size = self.rows.slices(), len(self.rows) * WIDTH
        self.slots = [self._bucket(name) for name in names]
        self.entries = Entries(self.states, names, self.slots)
        if homes:
            first_home = homes[0]
            self.p, self.g = (self.shaped(x.as_strided((self.size,), (1,))) for x in (first_home.p, first_home.g))
            self.gs = [home.g for home in homes]

    def _placed(self) -> list[slice]:
        if self.homes:
            start = self.homes[0].begin
            return [
                slice(h.begin - start, h.begin - start + p.numel()) for h, p in zip(self.homes, self.ps, strict=True)
            ]
        found, end = [], 0
        for p in self.ps:
            found.append(slice(end, end + p.numel()))
            end += p.numel()
        return found

    def _bucket(self, name: str) -> Tensor:
        """Return one buffer for a slot of all members; what they keep becomes a view of it."""
        numbers = name != "master" and name not in self.facts.wide
        shape = (len(self.ps),) if numbers else (self.size,)
        # Zeros between the tensors: without a gradient they stay, and add nothing to a norm.
        buffer = torch.zeros(shape, dtype=self.work, device=self.device)
        views = buffer.unbind() if numbers else self.views(buffer)
        for state, view in zip(self.states, views, strict=True):
            view.copy_(state[name])
            state[name] = view
        return buffer if numbers else self.shaped(buffer)

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Return the places of the members in a buffer, in their shapes."""
        return [buffer[own].view(p.shape) for own, p in zip(self.slices, self.ps, strict=True)]

    def places(self, what: str, buffer: Tensor) -> list[Tensor]:
        """Return the views of a shared buffer, the same one at each call."""
        if what not in self._places:
            self._places[what] = self.views(buffer)
        return self._places[what]

    def look(self, gs: Sequence[Tensor], *, native: bool) -> None:
        """Look at the gradients of an update, before anything of it is done.

        Args:
            gs: the gradients.
            native: whether a kernel of PyTorch may take them.

        Raises:
            ValueError: a parameter or a gradient does not fit the place of its state.
        """
        self.in_lists = False
        if self.homes is not None or self.alone:
            if not all(map(is_, gs, self.gs)) or not self.gs:
                check_gradients(self.ps, gs)
            return
        # The kernels ask neither for sizes nor for dtypes, and what lies beside the slots would be overwritten.
        for xs in (self.ps, gs):
            if list(map(Tensor.numel, xs)) != self._sizes:
                x, size = next((x, form[0]) for x, form in zip(xs, self._forms, strict=True) if x.shape != form[0])
                raise ValueError(
                    f"RuleOptimizer.step() must find parameters and gradients in the shape of their state, "
                    f"{tuple(size)}, got {tuple(x.shape)}"
                )
        # On a CPU it is quicker not to gather.
        self.in_lists = (
            native
            and self.device.type == "cpu"
            and all(map(Tensor.is_contiguous, (*self.ps, *gs)))
            and set(map(_dtype, (*self.ps, *gs))) == {self.work}
        )

    def slots_of_each(self) -> list[list[Tensor]]:
        """Return the slots of each member, of a rule that keeps no numbers."""
        return list(map(list, zip(*self.entries.slots, strict=True))) if self.entries.slots else [[]] * len(self.ps)

    def gather(self, what: str, arrays: Sequence[Tensor], room: Tensor) -> None:
        """Copy the parameters or gradients of a bucket into a shared buffer."""
        flat = arrays if self._vectors else [x.reshape(-1) for x in arrays]
        if self.rows is not None:
            # Each with the zeros that fill its last row.
            pads = self._pads(room)
            flat = [x for pair in zip(flat, pads, strict=True) for x in pair]
        torch.cat(list(flat), out=room.resize_(0))  # else it warns where it should fail

    def _pads(self, like: Tensor) -> list[Tensor]:
        if "pads" not in self._places:
            ends = [*(own.start for own in self.slices[1:]), self.size]
            zeros = like.new_zeros(WIDTH)
            self._places["pads"] = [zeros[: end - own.stop] for own, end in zip(self.slices, ends, strict=True)]
        return self._places["pads"]

    @property
    def label(self) -> int:
        """What buckets have in common that have done as many updates."""
        return label(self.step)

    def shaped(self, buffer: Tensor) -> Tensor:
        """Return a buffer of one dimension as the kernel sees it."""
        return buffer.view(-1, WIDTH) if self.rows is not None else buffer

    def fits(self) -> bool:
        """Return whether the parameters and their state still are what this bucket works on."""
        return (
            self.entries.done([self.step] * len(self.ps), same=isinstance(self.step, Tensor))
            and self.maximize == bool(self.group["maximize"])
            and self.entries.hold()
            and self._lies()
        )

    def _lies(self) -> bool:
        """Return whether a parameter that stands alone lies in memory as its state does, in shape, dtype and device."""
        return not self.alone or _place(self.ps[0]) == self._alone_at

    def advance(self) -> None:
        """Count one update, if the count is a number."""
        if isinstance(self.step, Tensor):
            return
        self.step += 1
        for state in self.states:
            state["step"] = self.step


_form, _dtype = attrgetter("shape", "dtype", "device"), attrgetter("dtype")


def _place(p: Tensor) -> Any:
    # Another memory format, as `model.to(memory_format=torch.channels_last)` gives it, keeps the form.
    return _form(p), p.stride()


def unshared(x: Any) -> Any:
    """Return a tensor that is no part of a bucket, or anything else as it is."""
    return x.clone() if isinstance(x, Tensor) and x.untyped_storage().nbytes() > x.numel() * x.element_size() else x


def label(step: int | Tensor) -> int:
    """Return what stands for a count: itself, or which tensor it is."""
    return id(step) if isinstance(step, Tensor) else step


def dense(member: Member) -> bool:
    """Return whether the parameter and its slots fill their memory in the same order."""
    p = member.p
    return torch.ops.aten.is_non_overlapping_and_dense.default(p) and all(
        x.stride() == p.stride() for x in member.state.values() if isinstance(x, Tensor) and x.shape == p.shape
    )


def flattened(x: Tensor) -> Tensor:
    """Return a dense tensor in one dimension, in the order of its memory."""
    return x.view(-1) if x.is_contiguous() else x.as_strided((x.numel(),), (1,))
