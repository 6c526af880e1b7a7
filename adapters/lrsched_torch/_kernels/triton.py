"""The updates of one rule by Triton kernels that take all tensors at once and leave them where they are.

A launch covers all tensors of one device and one combination of dtypes, over a table of their addresses and one of
chunks. Nothing is gathered or scattered, and no array is kept but for the sums. What follows from learning rate and
step is computed in float64, once for all tensors that have them in common.

A weight comes from `_shared/jobs.py` with its state and gradient and gets a row in the `KernelTable` of its dtypes, and
as many chunks as it is long. At each step `take` writes the address of the new gradient into the row and sends the
table to the device, `run` launches the kernels of `source.py` for each pass, and `finish` counts. No step waits for the
device.
"""

import importlib
import importlib.util
import linecache
import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import label
from lrsched_torch._kernels.ops import computed
from lrsched_torch._kernels.source import BLOCK, COLUMNS, source_of
from lrsched_torch._shared.captured import Captured, Upload, sent
from lrsched_torch._shared.entries import Entries, check_members
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Member
from lrsched_torch._traced.graphs import Form

WARPS = 4
# Enough chunks to fill a GPU some times over; beyond that they are longer, up to so many blocks.
CHUNKS, BLOCKS = 8192, 16


def interpreted() -> bool:
    """Return whether Triton is told to run kernels in Python, on any device."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "on", "yes", "y")


def check_triton(rule: rules.Rule, ps: Sequence[Tensor]) -> None:
    """Raise an error if Triton cannot update some parameters by a rule.

    Raises:
        ImportError: Triton is not installed.
        NotImplementedError: an operation of the rule has no translation.
        ValueError: the rule needs tensors in their own shape, or a parameter is not on a CUDA device.
    """
    if importlib.util.find_spec("triton") is None:
        raise ImportError("RuleOptimizer(compile='triton') must have the package triton, which is not installed")
    if not facts_of(rule).packs:
        raise ValueError(
            "RuleOptimizer(compile=...) must be True or False for a rule that needs tensors in their own shape, as "
            f"{rule!r} does, got 'triton'"
        )
    for p in {(p.device, p.dtype): p for p in ps}.values():
        _check_device(p)
        source_of(_form(rule, p, p.dtype, maximize=False, master=False))


def _check_device(p: Tensor) -> None:
    if p.device.type != "cuda" and not interpreted():
        raise ValueError(
            f"RuleOptimizer(params=...) must be on a CUDA device for compile='triton', got one on {p.device}"
        )


def _form(
    rule: rules.Rule, p: Tensor, g: torch.dtype, *, maximize: bool, master: bool, captured: Captured | None = None
) -> Form:
    work = torch.float64 if p.dtype == torch.float64 else torch.float32
    # Graphs are traced, and their scalar parts computed, where the learning rate usually is.
    device, scaled = (p.device.type, captured.scaled) if captured else ("cpu", False)
    return Form(rule, False, p.dtype, g, work, maximize, master, device, scaled)


@lru_cache(maxsize=64)
def loaded(text: str) -> dict[str, Any]:
    """Return the kernels of a text, to be compiled at their first launch."""
    triton = importlib.import_module("triton")
    name = f"<lrsched_torch kernels {len(_TEXTS)}>"
    space: dict[str, Any] = {"triton": triton, "tl": importlib.import_module("triton.language"), "__name__": name}
    # Triton reads the text of a function again through `inspect`.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    _TEXTS.append(name)
    exec(compile(text, name, "exec"), space)
    return {key: x for key, x in space.items() if key.startswith(("link", "main"))}


_TEXTS: list[str] = []


class Triton(Executor):
    """Does the updates of one rule.

    Args:
        rule: a rule that packs.
        captured: what is kept on the device, if it is kept there.
    """

    engine = "Triton"

    def __init__(self, rule: rules.Rule, captured: Captured | None = None) -> None:
        self.rule, self.facts, self.captured = rule, facts_of(rule), captured
        self._scaled = False
        self._counts: list[Tensor] = []
        self._members: list[Member] = []
        self._dtypes: list[torch.dtype] = []
        self._tables: list[KernelTable] = []

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members; the same lists stand for the same members and dtypes."""
        dtypes = [g.dtype for g in gs]
        scaled = self.captured is not None and self.captured.scaled
        again = members is not self._members or dtypes != self._dtypes or scaled != self._scaled
        if again or not all(t.fits() for t in self._tables):
            self._plan(members, dtypes)
            self._scaled = scaled
        tables = self._tables
        for table in tables:
            table.take([gs[i] for i in table.indices] if len(tables) > 1 else gs)
        total: Tensor | None = None
        for i in range(len(self.facts.reductions) + 1):
            for table in tables:
                table.run(i, total)
            if i < len(self.facts.reductions) and self.facts.reductions[i] == "total":
                found = [table.total() for table in tables]
                total = found[0] if len(found) == 1 else torch.stack([x.to(found[0].device) for x in found]).sum()
        for table in tables:
            table.finish()
        if self.captured:
            self.captured.count(self._counts)

    def _plan(self, members: list[Member], dtypes: list[torch.dtype]) -> None:
        """Lay out tables for the members; their state goes on."""
        if self.captured:
            self.captured.prepare()
        check_members(self.rule, members)
        if self.captured:
            self._counts = self.captured.settle(members)
        found: dict[tuple[torch.device, Form], list[int]] = {}
        for i, (member, dtype) in enumerate(zip(members, dtypes, strict=True)):
            _check_device(member.p)
            maximize, master = bool(member.group["maximize"]), "master" in member.state
            form = _form(self.rule, member.p, dtype, maximize=maximize, master=master, captured=self.captured)
            found.setdefault((member.p.device, form), []).append(i)
        self._tables = [
            KernelTable(form, [members[i] for i in own], own, self.captured) for (_, form), own in found.items()
        ]
        self._members, self._dtypes = members, dtypes


class KernelTable:
    """Tensors of one device and one combination of dtypes, which one launch updates.

    Args:
        form: what their graphs depend on.
        members: the parameters.
        indices: their places among the gradients of the step.
        captured: what is kept on the device, if it is kept there.
    """

    def __init__(
        self, form: Form, members: Sequence[Member], indices: Sequence[int], captured: Captured | None
    ) -> None:
        self.form, self.members, self.indices, self.captured = form, members, indices, captured
        self.facts, self.source = facts_of(form.rule), source_of(form)
        self.kernels = loaded(self.source.text)
        self.device = members[0].p.device
        self.states = [m.state for m in members]
        # One that does not fill its memory has a stand-in that does.
        self.away = {
            i: torch.empty_like(m.p, memory_format=torch.contiguous_format)
            for i, m in enumerate(members)
            if not torch.ops.aten.is_non_overlapping_and_dense.default(m.p)
        }
        self.ps = [self.away.get(i, m.p) for i, m in enumerate(members)]
        names = dict(zip(self.facts.labels, self.facts.names, strict=True))
        if self.form.master:
            names["p"] = "master"
        # The arrays that are kept in the state, under their names there.
        self.kept = {name: names[name] for name in self.source.arrays if name in names}
        for p, state in zip(self.ps, self.states, strict=True):
            for name in self.kept.values():
                state[name] = self._laid_out(state[name], p)
        self.entries = Entries(self.states, [*self.kept.values()])
        self.addresses = self._addresses()
        self._find_keys()
        self._cut()
        self.plain = all(p.is_contiguous() for p in self.ps)
        self.gs: Sequence[Tensor] = []
        self.filled: list[int] = []
        self.upload = Upload(self.device, spare=captured is not None)
        self.host = self._host_table()

    def _laid_out(self, x: Tensor, p: Tensor) -> Tensor:
        """Return a slot with the dtype of the arithmetic, on the device and in memory like its parameter."""
        x = x.to(self.device, self.form.work)
        return x if x.shape != p.shape or _alike(x, p) else torch.empty_like(p, dtype=x.dtype).copy_(x)

    def _addresses(self) -> list[int]:
        """Return where the parameters are."""
        return [m.p.data_ptr() for m in self.members]

    def _find_keys(self) -> None:
        """Find out which tensors have learning rate, step and rank in common."""
        keys = [(m.number, label(m.state["step"]), m.p.dim() if self.facts.ranked else 0) for m in self.members]
        rows = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        self.rows = [rows[key] for key in keys]
        first = dict(zip(reversed(keys), reversed(self.members), strict=True))
        self.firsts = [first[key] for key in rows]  # for each row of the table of scalars
        self.steps = [m.state["step"] for m in self.firsts]
        self.ranks = sent(torch.tensor([m.p.dim() for m in self.firsts], dtype=torch.float64), self.device)

    def _cut(self) -> None:
        """Cut the tensors into chunks, and make room for the sums."""
        sizes = [p.numel() for p in self.ps]
        self.chunk = BLOCK * min(max(sum(sizes) // (BLOCK * CHUNKS), 1), BLOCKS)
        # An empty tensor has a chunk too: its numbers are updated.
        counts = torch.tensor([max(-(-size // self.chunk), 1) for size in sizes])
        self.count = int(counts.sum())
        columns = {"first": counts.cumsum(0) - counts, "count": counts, "size": sizes, "row": self.rows}
        self.fixed = [torch.as_tensor(columns[name]) for name in COLUMNS[:-1]]
        owner = torch.repeat_interleave(torch.arange(len(sizes), dtype=torch.int32), counts)
        most = max(self.facts.counts, default=1)
        room: dict[str, Any] = {"dtype": self.form.work, "device": self.device}
        self.owner = sent(owner, self.device)
        self.partials = torch.empty(most, self.count, **room)
        self.values = torch.empty(len(sizes), max(len(self.source.values), 1), **room)
        self.no_total = torch.zeros((), dtype=torch.float64, device=self.device)

    def fits(self) -> bool:
        """Return whether the members still are as they were when the tables were made."""
        return (
            self.entries.done([self.steps[row] for row in self.rows], same=self.captured is not None)
            and all(bool(m.group["maximize"]) == self.form.maximize for m in self.firsts)
            and self.entries.hold()
            and self._addresses() == self.addresses
        )

    def take(self, gs: Sequence[Tensor]) -> None:
        """Take the gradients of a step, and fill the tables."""
        for i, p in self.away.items():
            p.copy_(self.members[i].p)
        self.gs = gs
        if not self.plain or not all(map(Tensor.is_contiguous, gs)):
            self.gs = [
                g if _alike(g, p) else torch.empty_like(p, dtype=g.dtype).copy_(g)
                for g, p in zip(gs, self.ps, strict=True)
            ]
        self.filled = list(map(Tensor.data_ptr, self.gs))
        self.table = self.upload(self.filled, self._filled)
        self.scalars = self._scalars()

    def _host_table(self) -> Tensor:
        """Return the table of the tensors without the gradients."""
        columns = {"low" if self.form.master else "p": [p.data_ptr() for p in self.ps], "g": [0] * len(self.ps)}
        columns |= zip(self.kept, self.entries.at, strict=True)
        arrays = torch.tensor([columns[name] for name in self.source.arrays])
        wide = [self.kept.get(name, "p") in {"p", "master", *self.facts.wide} for name in self.source.arrays]
        aligned = (arrays[torch.tensor(wide)] % 16 == 0).all(0).to(torch.int64)
        return torch.stack([*self.fixed, aligned, *arrays], 1)

    def _filled(self) -> Tensor:
        """Return the table with the gradients."""
        table = self.host.clone()
        places = table[:, len(COLUMNS) + self.source.arrays.index("g")]
        places.copy_(torch.from_numpy(np.array(self.filled, dtype=np.int64)))
        table[:, COLUMNS.index("aligned")] *= places % 16 == 0
        return table

    def _scalars(self) -> Tensor:
        """Return what follows from learning rate, step and rank, from float64."""
        rates = [m.group["lr"] for m in self.firsts]
        if self.captured:
            return self._stacked(self._scalars_there(rates, self.captured), len(rates))
        there = next((lr.device for lr in rates if isinstance(lr, Tensor) and lr.device.type != "cpu"), None)
        ranks = [m.p.dim() for m in self.firsts]
        env = {name: torch.tensor(x, dtype=torch.float64) for name, x in (("step", self.steps), ("rank", ranks))}
        if any(isinstance(lr, Tensor) for lr in rates):
            where = there or torch.device("cpu")
            env = {name: sent(x, where) for name, x in env.items()}
            env["lr"] = torch.stack([torch.as_tensor(lr, dtype=torch.float64, device=where) for lr in rates])
        else:
            env["lr"] = torch.tensor(rates, dtype=torch.float64)
        return self._stacked(env, len(rates))

    def _scalars_there(self, rates: Sequence[Tensor], captured: Captured) -> dict[str, Tensor]:
        """Return learning rates, steps and ranks, and what a scaler has said, from tensors of the device."""
        env = {"step": torch.stack(self.steps), "rank": self.ranks}
        env["lr"] = torch.stack([lr.to(self.device, torch.float64) for lr in rates])
        return env | captured.told(self.device)

    def _stacked(self, env: dict[str, Tensor], rows: int) -> Tensor:
        env = computed(self.source.once, env)
        columns = [env[name].to(torch.float64).expand(rows) for name in self.source.scalars]
        return sent(torch.stack(columns, 1).to(self.form.work), self.device)

    def run(self, phase: int, total: Tensor | None) -> None:
        """Launch the kernels of one pass.

        Args:
            phase: its number.
            total: what the pass before has added up over all tensors, float64, or None.
        """
        number = self.no_total if total is None else total.to(self.device)
        arguments = (self.table, self.scalars, self.values, self.owner, self.partials, number, self.count, self.chunk)
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            if self.source.links[phase]:
                self.kernels[f"link{phase}"][(len(self.ps),)](*arguments, BLOCK=BLOCK, num_warps=WARPS)
            self.kernels[f"main{phase}"][(self.count,)](*arguments, BLOCK=BLOCK, num_warps=WARPS)

    def total(self) -> Tensor:
        """Return the sum over all tensors in which the last pass has ended."""
        return torch.sum(self.partials[0], dtype=torch.float64)

    def finish(self) -> None:
        """Write back what had a stand-in, and count the update."""
        for i, p in self.away.items():
            self.members[i].p.copy_(p)
        # What a kernel writes autograd does not see.
        torch.autograd.graph.increment_version([m.p for m in self.members])
        if not self.captured:
            for state in self.states:
                state["step"] += 1
            self.steps = [step + 1 for step in self.steps]
        self.gs = []  # or they would live on during the next backward pass


def _alike(x: Tensor, p: Tensor) -> bool:
    """Return whether a tensor lies in memory like its parameter, which is dense."""
    # The strides of dimensions of length 1 may differ.
    return (x.is_contiguous() and p.is_contiguous()) or x.stride() == p.stride()
