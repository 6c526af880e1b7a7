"""Updates on a CPU by a library that walks over parameters, gradients and slots where they lie: nothing is gathered."""

import ctypes
import warnings
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._build import CannotBuild, build
from lrsched_torch._cpp import known_sums, scalar_names, source_of, stages_of
from lrsched_torch._facts import facts_of
from lrsched_torch._graphs import KEY, Form
from lrsched_torch._loop import Program, Unsupported, program_of
from lrsched_torch._units import Member

_dtype = attrgetter("dtype")
Call = Callable[..., None]


class Looped:
    """Does the updates of one rule on a CPU.

    Args:
        rule: a rule that packs.
        instead: what does the updates where the rule cannot be built.
        resident: whether parameters stay at their place in memory, and gradients while their list is the same.
    """

    def __init__(
        self, rule: rules.Rule, instead: Callable[[list[Member], list[Tensor]], None], *, resident: bool
    ) -> None:
        self.rule, self.instead, self.resident = rule, instead, resident
        self._possible = True
        self._members: list[Member] = []
        self._gs: list[Tensor] = []
        self._dtypes: list[torch.dtype] = []
        self._batches: list[_Batch] = []

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members; the same lists stand for the same members and gradients."""
        if self._possible:
            try:
                self._prepare(members, gs)
            except (CannotBuild, Unsupported) as error:
                warnings.warn(f"{self.rule!r} is compiled by Inductor instead: {error}", stacklevel=2)
                self._possible = False
        if not self._possible:
            self.instead(members, gs)
            return
        totals: list[float] = []
        for i in range(self._batches[0].built.stages if self._batches else 0):
            found = [batch.run(i, totals) for batch in self._batches]
            totals += map(sum, zip(*found, strict=True))
        for batch in self._batches:
            batch.finish()

    def _prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Bring the tables up to date."""
        again = members is not self._members or not all(batch.fits() for batch in self._batches)
        if again or gs is not self._gs or not all(batch.holds_gradients() for batch in self._batches):
            dtypes = list(map(_dtype, gs))
            if again or dtypes != self._dtypes:
                self._plan(members, dtypes)
            for batch in self._batches:
                batch.point_gradients(gs)
            self._gs = gs if self.resident else []
        for batch in self._batches:
            batch.point_parameters()

    def _plan(self, members: list[Member], dtypes: list[torch.dtype]) -> None:
        """Put members that one library updates together."""
        facts = facts_of(self.rule)
        found: dict[Any, list[int]] = {}
        for i, (member, dtype) in enumerate(zip(members, dtypes, strict=True)):
            kept = tuple(member.state[name].dtype for name in facts.names)
            key = (member.p.dtype, dtype, kept, "master" in member.state, bool(member.group["maximize"]))
            found.setdefault(key, []).append(i)
        self._batches = [
            _Batch(self.rule, [members[i] for i in own], own, *key, ranked=facts.ranked, resident=self.resident)
            for key, own in found.items()
        ]
        self._members, self._dtypes = members, dtypes


class _Batch:
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
    """

    def __init__(
        self, rule: rules.Rule, members: Sequence[Member], indices: Sequence[int], p: torch.dtype, g: torch.dtype,
        kept: Sequence[torch.dtype], master: bool, maximize: bool, *, ranked: bool, resident: bool,
    ) -> None:  # fmt: skip
        work = torch.float64 if p == torch.float64 else torch.float32
        form = Form(rule, False, p, g, work, maximize, master, "cpu")
        facts = facts_of(rule)
        self.built = _library(form, tuple(kept))
        program = self.built.program
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
        self._layouts = layouts
        # For each slot, what reads it from a state.
        self._kept: list[tuple[str, Callable[[dict[str, Any]], Any]]] = []
        named = [*zip(facts.labels, facts.names, strict=True), *([("p", "master")] if master else [])]
        for label, name in named:
            found = [self._slot(state, name, layout) for state, layout in zip(self.states, layouts, strict=True)]
            self._kept.append((label, itemgetter(name)))
            self._point(label, found)
        self._leading = "low" if master else "p"
        self._number(ranked)
        self.known = array("d", bytes(8 * self.count * max(len(known_sums(program)), 1)))
        self.totals = array("d", bytes(8 * max(*self.built.gives, 1)))
        # What the tables point to, and what only this update needs.
        self._gs: Sequence[Tensor] = []
        self._copied = False
        self._copies: list[Tensor] = []

    def _slot(self, state: dict[str, Any], name: str, layout: tuple[int, ...]) -> Tensor:
        """Return a slot in the layout of its parameter."""
        found: Tensor = state[name]
        if found.dim() == len(layout) and found.stride() != layout:
            found = state[name] = _laid_out(found, layout)
        return found

    def _number(self, ranked: bool) -> None:
        """Find which members share group and step."""
        numbers: dict[Any, int] = {}
        keys = [(m.number, m.state["step"], m.p.dim() if ranked else 0) for m in self.members]
        self.keys = array("i", (numbers.setdefault(key, len(numbers)) for key in keys))
        firsts = [self.members[self.keys.index(i)] for i in range(len(numbers))]
        self.firsts = [(m.group, m.state) for m in firsts]
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

    def fits(self) -> bool:
        """Return whether states and groups still are what the tables say.

        Memory may move under a tensor too, as `share_memory_` and `x.data = ...` make it.
        """
        for (group, state), step in zip(self.firsts, self.steps, strict=True):
            if state.get("step") != step or bool(group["maximize"]) != self.maximize:
                return False
        try:
            return all(self._points(label, map(read, self.states)) for label, read in self._kept)
        except (AttributeError, KeyError, TypeError):
            return False

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

    def run(self, stage: int, totals: Sequence[float]) -> list[float]:
        """Do the passes of a stage, and return the totals that it ends with."""
        scalars = array("d")
        rest = [0.0] * (self.built.width - len(KEY) - len(totals))
        for (group, _), step, rank in zip(self.firsts, self.steps, self.ranks, strict=True):
            scalars.extend((float(group["lr"]), float(step), rank, *totals, *rest))
        self.built.calls[stage](
            self.count, _at(self.table), _at(self.sizes), _at(self.keys), len(self.firsts), _at(scalars),
            _at(self.known), _at(self.totals), torch.get_num_threads(),
        )  # fmt: skip
        return list(self.totals[: self.built.gives[stage]])

    def finish(self) -> None:
        """Count one update."""
        for i, x in zip(self._spread, self._copies, strict=True):
            self.ps[i].copy_(x)
        if not self.resident:
            self._gs, self._copies = [], []
        torch.autograd.graph.increment_version(self.ps)
        self.steps = [step + 1 for step in self.steps]
        if len(self.steps) == 1:
            (step,) = self.steps
            for state in self.states:
                state["step"] = step
        else:
            for state, key in zip(self.states, self.keys, strict=True):
                state["step"] = self.steps[key]


def _laid_out(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    return x.new_empty_strided(x.shape, strides).copy_(x)


def _at(x: "array[Any]") -> int:
    return x.buffer_info()[0]


class _Library(NamedTuple):
    """A rule, built.

    Args:
        program: the passes of the rule.
        calls: the functions of its stages.
        gives: with how many totals each stage ends.
        width: how many numbers there are for each learning rate and step.
    """

    program: Program
    calls: tuple[Call, ...]
    gives: tuple[int, ...]
    width: int

    @property
    def stages(self) -> int:
        """How often it is called."""
        return len(self.calls)


@lru_cache(maxsize=64)
def _library(form: Form, kept: tuple[torch.dtype, ...]) -> _Library:
    """Return a rule, built for some dtypes.

    Raises:
        CannotBuild: there is no compiler for it.
        Unsupported: the rule cannot be said as a loop.
    """
    program = program_of(form)
    dtypes = dict(zip(facts_of(form.rule).labels, kept, strict=True))
    dtypes |= {"p": form.work if form.master else form.p, "low": form.p, "g": form.g}
    built = build(source_of(program, form.work, {x: dtypes[x] for x in (*program.wide, *program.numbers)}))
    calls, gives = [], []
    for i, stage in enumerate(stages_of(program)):
        call = getattr(built, f"stage{i}")
        big, at = ctypes.c_int64, ctypes.c_void_p
        call.argtypes, call.restype = (big, at, at, at, big, at, at, at, ctypes.c_int), None
        calls.append(call)
        last = program.phases[stage.phases[-1]]
        gives.append(len(last.gives) if last.total else 0)
    return _Library(program, tuple(calls), tuple(gives), len(scalar_names(program)))
