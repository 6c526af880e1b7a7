"""Members of the same dtypes, and the library that updates them where they are.

A weight enters as addresses: a column of `table` says where the weight, its gradient and each of its slots begin.
Beside it stand its number of elements, and which of the learning rates and steps at hand are its own. `run` gives all
of that to the library that `cpp.py` writes for the rule, which follows the addresses (`walk.h`) and writes in place, so
nothing comes back. An address that is no longer true would let it write anywhere: before each update `again` asks
`unmoved.py`, or `fits` and its kin compare in Python. What no address can say, gaps between elements or another layout,
is copied first.
"""

import ctypes
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._loops.build import CannotBuild, build
from lrsched_torch._loops.cpp import scalar_names, source_of
from lrsched_torch._loops.threads import threads
from lrsched_torch._loops.unmoved import AT, BIG, INT, UnmovedMembers, start
from lrsched_torch._shared.entries import Entries, check_gradients
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.update import Member
from lrsched_torch._traced.graphs import KEY, Form
from lrsched_torch._traced.program import LoopProgram, program_of, stages_of

# Up to how many elements Python may wait for a pass.
BRIEF = 2**22


class LoopTable:
    """Members of the same dtypes, and the tables that tell the library where they are.

    Args:
        rule: the rule.
        members: the members.
        indices: their places among the gradients of the step.
        p: the dtype of the parameters.
        g: that of the gradients.
        kept: those of the slots.
        master: whether a copy leads.
        maximize: whether to go up.
        ranked: whether the rule looks at the number of dimensions.
        resident: whether what the tables point to is kept for the next update.
        sole: whether it holds all members.
    """

    def __init__(
        self, rule: rules.Rule, members: Sequence[Member], indices: Sequence[int], p: torch.dtype, g: torch.dtype,
        kept: Sequence[torch.dtype], master: bool, maximize: bool, *, ranked: bool, resident: bool, sole: bool,
    ) -> None:  # fmt: skip
        work = torch.float64 if p == torch.float64 else torch.float32
        form = Form(rule, False, p, g, work, maximize, master, "cpu")
        facts = facts_of(rule)
        program, self._calls, built = library(form, tuple(kept))
        self.lacks: CannotBuild | None = built.lacks
        # With how many totals each stage ends, and how many numbers it takes for each learning rate and step.
        last = [program.phases[stage[-1]] for stage in stages_of(program)]
        self._gives, self._width = [len(x.gives) if x.total else 0 for x in last], len(scalar_names(program))
        self.members, self.indices, self.maximize, self.resident = members, indices, maximize, resident
        self.ps, self.states = [m.p for m in members], [m.state for m in members]
        self.count = len(members)
        arrays = [*program.wide, *program.numbers]
        self._row = {label: i for i, label in enumerate(arrays)}
        self.table = array("q", [-1]) * (self.count * len(arrays))  # no address
        self.sizes = array("q", map(Tensor.numel, self.ps))
        # Parameters with gaps between their elements are updated in a copy.
        dense = torch.ops.aten.is_non_overlapping_and_dense.default
        self._spread = [i for i, x in enumerate(self.ps) if not dense(x)]
        layouts = [torch.empty_like(x, device="meta").stride() for x in self.ps]
        self._plain = all(x.is_contiguous() for x in self.ps)
        self._forms = list(map(_form, self.ps))
        self._layouts = layouts
        # For each slot its row and its name.
        self._kept: list[tuple[str, str]] = []
        named = [*zip(facts.labels, facts.names, strict=True), *([("p", "master")] if master else [])]
        for label, name in named:
            wide = name in facts.wide or name == "master"
            self._kept.append((label, name))
            self._point(label, [self._slot(m, name, x, wide=wide) for m, x in zip(members, layouts, strict=True)])
        self._entries = Entries(self.states, [name for _, name in self._kept])
        self._leading = "low" if master else "p"
        # Whether looking and updating is one call.
        self.at_once = sole and len(self._calls) == 1 and sum(self.sizes) <= BRIEF
        self._told = self._updated = False
        self._number(ranked)
        self.known = array("d", bytes(8 * self.count * max(len(program.sums(total=False)), 1)))
        self.totals = array("d", bytes(8 * max(*self._gives, 1)))
        # None of these arrays moves.
        self._where = self.count, start(self.table), start(self.sizes), start(self.keys), len(self.groups)
        self._results = start(self.known), start(self.totals)
        self._call = ctypes.cast(self._calls[0], AT).value or 0
        # What the tables point to, and what only this update needs.
        self._gs: Sequence[Tensor] = []
        self._copied = False
        self._copies: list[Tensor] = []
        self._watch: UnmovedMembers | None = None
        self._watched = self._plain and not self._spread
        self._g = g

    def _slot(self, member: Member, name: str, layout: tuple[int, ...], *, wide: bool) -> Tensor:
        """Return a slot, in the layout of its parameter if it has its shape."""
        found: Tensor = member.state[name]
        if wide and found.stride() != layout:
            found = member.state[name] = _laid_out(found, layout)
        return found

    def _number(self, ranked: bool) -> None:
        """Find which members share group and step."""
        numbers: dict[Any, int] = {}
        keys = [(m.number, m.state["step"], m.p.dim() if ranked else 0) for m in self.members]
        self.keys = array("i", (numbers.setdefault(key, len(numbers)) for key in keys))
        firsts = [self.members[self.keys.index(i)] for i in range(len(numbers))]
        self.groups = [m.group for m in firsts]
        self.steps, self.ranks = [key[1] for key in numbers], [float(key[2]) for key in numbers]

    def _point(self, label: str, arrays: Sequence[Tensor]) -> None:
        begin, found = self._row[label] * self.count, array("q", map(Tensor.data_ptr, arrays))
        if found != self.table[begin : begin + self.count]:
            # The library would follow any address.
            for x in arrays:
                if not x.is_cpu:
                    raise ValueError(
                        "RuleOptimizer.step() must find parameters, gradients and state on the CPU, where it began, "
                        f"got one of shape {tuple(x.shape)} on {x.device}; build the optimizer after moving the model"
                    )
            self.table[begin : begin + self.count] = found

    def again(self, *, alone: bool) -> bool:
        """Return whether all but the gradients is as the tables say; then they say where the gradients are too.

        If nobody else has to look, and the update can be done at once, it is.
        """
        self._told = self._updated = False
        if not self._watched or not self._upwards():
            return False
        if self._watch is None:
            kept = [(name, self._row[label]) for label, name in self._kept]
            try:
                self._watch = UnmovedMembers(
                    self.ps, self.states, kept, [x for own in self._entries.slots for x in own],
                    self._row[self._leading], self.sizes, self.table, self._row["g"], self._g, self.keys,
                )  # fmt: skip
            except CannotBuild:
                self._watched = False
                return False
        scalars = self._scalars([])
        at_once = alone and self.at_once
        self._told = self._watch.again(self.steps, array("q", [self._call, *self._taken(scalars)]) if at_once else None)
        self._updated = self._told and at_once
        return self._told

    def release(self) -> None:
        """Let go of gradients that `again` has found."""
        self._told = self._updated = False
        if self._watch is not None:
            self._watch.release()

    def _upwards(self) -> bool:
        return all(bool(group["maximize"]) == self.maximize for group in self.groups)

    def fits(self) -> bool:
        """Return whether states and groups still are what the tables say."""
        counts = [self.steps[key] for key in self.keys]
        return (
            self._upwards()
            and self._entries.done(counts)
            and list(map(_form, self.ps)) == self._forms
            and self._entries.hold()
        )

    def holds_gradients(self) -> bool:
        """Return whether the gradients still are where they were found; of a copy the content is old."""
        return not self._copied and self._points("g", self._gs)

    def _points(self, label: str, arrays: Iterable[Tensor]) -> bool:
        begin = self._row[label] * self.count
        return self.table[begin : begin + self.count] == array("q", map(Tensor.data_ptr, arrays))

    def point_gradients(self, gs: Sequence[Tensor]) -> None:
        """Tell where the gradients are; one that is laid out in another way than its parameter is copied."""
        own = gs if len(self.indices) == len(gs) else [gs[i] for i in self.indices]
        self._copied = False
        check_gradients(self.ps, own)
        if not (self._plain and all(map(Tensor.is_contiguous, own))):
            own = [
                g if g.stride() == layout else _laid_out(g, layout)
                for g, layout in zip(own, self._layouts, strict=True)
            ]
            self._copied = True
        self._point("g", own)
        self._gs = own

    def point_parameters(self) -> None:
        """Tell where the parameters are, or their copies."""
        ps = self.ps
        if self._spread:
            ps = list(ps)
            for i in self._spread:
                ps[i] = _laid_out(ps[i], self._layouts[i])
            self._copies = [ps[i] for i in self._spread]
        self._point(self._leading, ps)

    @property
    def stages(self) -> int:
        """How many stages the update still has."""
        return 0 if self._updated else len(self._calls)

    def run(self, stage: int, totals: Sequence[float]) -> list[float]:
        """Do the passes of a stage, and return the totals that it ends with."""
        scalars = self._scalars(totals)
        self._calls[stage](*self._taken(scalars))
        return list(self.totals[: self._gives[stage]])

    def _scalars(self, totals: Sequence[float]) -> "array[float]":
        """Return what members of one learning rate, step and rank have in common."""
        found = array("d")
        rest = [0.0] * (self._width - len(KEY) - len(totals))
        for group, step, rank in zip(self.groups, self.steps, self.ranks, strict=True):
            found.extend((float(group["lr"]), float(step), rank, *totals, *rest))
        return found

    def _taken(self, scalars: "array[float]") -> tuple[int, ...]:
        """Return what a stage takes."""
        return *self._where, start(scalars), *self._results, threads()

    def finish(self) -> None:
        """Count one update."""
        for i, x in zip(self._spread, self._copies, strict=True):
            self.ps[i].copy_(x)
        if not self.resident:
            self._gs, self._copies = [], []
        self.steps = [step + 1 for step in self.steps]
        if self._told and self._watch is not None:  # autograd knows
            self._watch.count(self.steps)
        else:
            torch.autograd.graph.increment_version(self.ps)
            for state, key in zip(self.states, self.keys, strict=True):
                state["step"] = self.steps[key]
        self._told = self._updated = False


def _form(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.stride(), x.dtype


def _laid_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    return x.new_empty_strided(x.shape, strides).copy_(x)


@lru_cache(maxsize=64)
def library(form: Form, kept: tuple[torch.dtype, ...]) -> tuple[LoopProgram, tuple[Any, ...], Any]:
    """Return the passes of a rule, the functions of their stages for some dtypes of the slots, and their library.

    Raises:
        CannotBuild: there is no compiler for it.
        Unsupported: the rule cannot be said as a loop.
    """
    program = program_of(form)
    dtypes = dict(zip(facts_of(form.rule).labels, kept, strict=True))
    dtypes |= {"p": form.work if form.master else form.p, "low": form.p, "g": form.g}
    text = source_of(program, form.work, {x: dtypes[x] for x in (*program.wide, *program.numbers)})
    built = build(text)
    calls = [getattr(built, f"stage{i}") for i in range(len(stages_of(program)))]
    for call in calls:
        call.argtypes, call.restype = (BIG, AT, AT, AT, BIG, AT, AT, AT, INT), None
    return program, tuple(calls), built
