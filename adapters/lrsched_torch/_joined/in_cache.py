"""Updates on a CPU without a compiler: each pass of a rule by calls of PyTorch that write into the cache.

A weight comes from `_shared/jobs.py` with its state and its gradient, and gets a place in a tray (`tray.py`), which it
keeps. At each step `_numbers` computes what follows from the learning rates and counts: a number if the tensors have
them in common, or else an array with one for each tensor. Then each tray loads, and `_pass` calls the function of each
pass (`script.py`) on one block of its arrays after the other: of a large weight a vector of `BLOCK` elements, of small
ones a matrix with one row each, so that what belongs to a tensor is a column. Sums of the blocks are added in float64.
A rule with totals does a pass over all trays before the next. A large weight goes to PyTorch's own kernel if there is
one (`native.py`), after what stands before it in the rule.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress, repeat
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import dense
from lrsched_torch._joined.native import Kernel, native_of, transformed
from lrsched_torch._joined.script import KEPT, Script, found, script_of
from lrsched_torch._joined.tray import Loading, Rooms, Tray
from lrsched_torch._shared.compiling import EAGER, CannotCompile
from lrsched_torch._shared.entries import MOST, check_gradients, check_members
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Member
from lrsched_torch._traced.graphs import KEY, Form, flat_context
from lrsched_torch._traced.program import TRUTHS, Level, LoopOperation, LoopProgram, program_of, stages_of

# Elements of a block for each thread, and for two at least: what a pass reads and writes of it stays in the cache.
# PyTorch starts threads for more than 2**15, so small tensors together are fewer.
BLOCK, JOINED = 2**15, 2**15 - 1
# From how many elements on a tensor stands alone: fewer take less time to copy than to call for.
ALONE, NATIVE_ALONE = 2**14, 2**12
# Up to how many elements a result is kept from one pass to the next.
MOST_KEPT = 2**22
# Up to how many groups each has trays of its own.
FEW = 8
_shape, _dtype = attrgetter("shape"), attrgetter("dtype")


def program_for(rule: rules.Rule, work: torch.dtype, *, maximize: bool) -> LoopProgram:
    """Return the passes of a rule on arrays of its working dtype.

    Raises:
        Unsupported: the body does something else than arithmetic on elements and sums over them.
        CannotCompile: it looks at what arrays hold.
    """
    return program_of(Form(rule, False, work, work, work, maximize, False, "cpu"))


class InCache(Executor):
    """Does the updates of one rule on a CPU.

    Args:
        rule: a rule that packs, of which `program_for` knows the passes.
    """

    def __init__(self, rule: rules.Rule) -> None:
        self.rule, self.facts = rule, facts_of(rule)
        self.parts, self.kernel = native_of(rule)
        self.engine = EAGER if self.kernel is None else "kernel of PyTorch"
        self._trays: list[Tray] = []
        # Where each member is, by its id: its tray, and its place there.
        self._places: dict[int, tuple[int, int]] = {}
        self._groups: list[dict[str, Any]] = []
        self._maximize: list[bool] = []
        self._members: list[Member] = []
        self._few = False  # whether small tensors too go to the native kernel
        self._calls: list[_NativeCall] = []
        # For each tray that has a gradient: the places of these tensors, or None for all, and of their gradients.
        self._taken: list[tuple[Tray, list[int] | None, list[int]]] = []
        self._shapes: list[torch.Size] = []
        self._counts: list[int] = []
        self._programs: dict[Any, _Passes] = {}
        self._scripts: dict[Any, Script] = {}
        self._kept: dict[int, tuple[Tensor, ...]] = {}
        # The blocks of vectors that stay, by the id of each.
        self._cuts: dict[int, tuple[Tensor, int, Sequence[Tensor]]] = {}
        self._rooms = Rooms()

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Give each member a place; the same list stands for the same members."""
        # Each tensor for itself starts threads in the kernel, so small ones go to it only if there are no threads.
        few = torch.get_num_threads() == 1 or isinstance(self.rule, rules.SGD)
        fits = self._ups(self._groups) == self._maximize and all(tray.fits() for tray in self._trays)
        if members is not self._members or not fits or few != self._few:
            if not fits or not all(map(self._places.__contains__, map(id, members))):
                self._plan(members)
            self._few = few
            self._take(members)
            self._members = members
        counts = _counts(members)
        if set(map(type, counts)) != {int} or not 0 <= min(counts) <= max(counts) <= MOST:
            check_members(self.rule, members)
            counts = _counts(members)
        self._counts = counts
        if list(map(_shape, gs)) != self._shapes:
            check_gradients([m.p for m in members], gs)

    def _ups(self, groups: Sequence[dict[str, Any]]) -> list[bool]:
        return [bool(group["maximize"]) for group in groups]

    def _take(self, members: list[Member]) -> None:
        """Find where the tensors with a gradient are updated."""
        self._shapes = [m.p.shape for m in members]
        rest: list[int] = []
        calls: dict[Any, list[int]] = {}
        places = list(map(self._places.__getitem__, map(id, members)))
        direct = [
            bool(self.kernel) and not self.parts and (tray.alone or self._few) and not tray.master
            for tray in self._trays
        ]
        for i, (number, _) in enumerate(places):
            if direct[number]:
                calls.setdefault((members[i].number, self._trays[number].work), []).append(i)
            else:
                rest.append(i)
        self._calls = [
            _NativeCall(
                at, [members[i].p for i in at], [self._kept[id(members[i])] for i in at],
                [self._trays[places[i][0]].alone for i in at], members[at[0]].group, work,
            )
            for (_, work), at in calls.items()
        ]  # fmt: skip
        self._taken = self._grouped(members, rest)

    def _grouped(self, members: list[Member], which: Sequence[int]) -> list[Any]:
        """Return for some members their trays, their places there (None for all), and which members they are."""
        pairs: dict[int, list[tuple[int, int]]] = {}
        for i in which:
            number, place = self._places[id(members[i])]
            pairs.setdefault(number, []).append((place, i))
        found: list[Any] = []
        for number, own in sorted(pairs.items()):
            tray, places, at = self._trays[number], *map(list, zip(*sorted(own), strict=True))
            found.append((tray, None if len(places) == len(tray.ps) else places, at))
        return found

    def _plan(self, members: list[Member]) -> None:
        """Lay out the members, and those that have no gradient now; their state goes on."""
        check_members(self.rule, members)
        here = {id(m.p) for m in members}
        for tray in self._trays:
            members = members + [m for i, m in enumerate(tray.members) if id(m.p) not in here and tray.holds(i)]
        self._groups = list({m.number: m.group for m in members}.values())
        self._maximize = self._ups(self._groups)
        apart, alone = len(self._groups) <= FEW, NATIVE_ALONE if self.kernel else ALONE
        keys = []
        for m in members:
            size, key = m.p.numel(), (str(m.p.dtype), bool(m.group["maximize"]), "master" in m.state)
            single = size >= alone and dense(m)
            number, rank = m.number if apart else 0, m.p.dim() if self.facts.ranked else 0
            keys.append((single, *key, *((size, number, rank) if not self.facts.elementwise else (number, rank, size))))
        trays: list[list[Member]] = []
        room, last = 0, None
        for i in sorted(range(len(members)), key=keys.__getitem__):
            single, size = keys[i][0], members[i].p.numel()
            # Sums and numbers are those of the rows of a matrix.
            mark = keys[i][:4] if self.facts.elementwise else keys[i][:5]
            if single or mark != last or room + size > JOINED:
                trays.append([])
                room = 0
            trays[-1].append(members[i])
            room, last = room + size, mark
        facts = self.facts
        self._trays = [
            Tray(own, facts, master="master" in own[0].state, alone=own[0].p.numel() >= alone and dense(own[0]))
            for own in trays
        ]
        self._places = {id(m): (i, j) for i, tray in enumerate(self._trays) for j, m in enumerate(tray.members)}
        self._kept = {id(m): slots for tray in self._trays for m, slots in zip(tray.members, tray.kept(), strict=True)}
        self._rooms, self._cuts = Rooms(), {}

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        with np.errstate(all="ignore"):
            taken = self._taken
            if self._calls and self.kernel:
                taken = [*taken, *self._grouped(members, self._natively(self.kernel, gs))]
            if taken:
                self._run(taken, members, gs)
        for member, count in zip(members, self._counts, strict=True):
            member.state["step"] = count + 1

    def _natively(self, kernel: Kernel, gs: list[Tensor]) -> list[int]:
        """Update by the native kernel the tensors that it takes where they lie, and return which it does not take."""
        rest: list[int] = []
        calls = list(self._calls)
        while calls:
            call = calls.pop()
            grads, counts = [gs[i] for i in call.at], [self._counts[i] for i in call.at]
            fits = call.fits(grads)
            if not all(fits):
                rest += [i for i, fit in zip(call.at, fits, strict=True) if not fit]
            elif 0 < counts.count(0) < len(counts):
                fits = [count == 0 for count in counts]
                calls.append(call.some([count > 0 for count in counts]))
            else:
                kernel(call.ps, grads, call.slots, float(call.group["lr"]), counts, bool(call.group["maximize"]))
                continue
            if any(fits):
                calls.append(call.some(fits))
        return rest

    def _run(self, taken: Sequence[Any], members: list[Member], gs: list[Tensor]) -> None:
        """Do all passes over some trays; those between two totals one after the other over each of them."""
        runs = [_TrayRun(self._passes(tray), tray, own, at, {}) for tray, own, at in taken]
        passes = {id(run.passes): run.passes for run in runs}
        keys = {name: self._scalars(each.program, members) for name, each in passes.items()}
        for stage in stages_of(runs[0].passes.program):
            for name, each in passes.items():
                for i in stage:
                    found(each.key[i], keys[name])
            columns = {name: {x for x, n in key.items() if isinstance(n, np.ndarray)} for name, key in keys.items()}
            totals: list[Any] = []
            for run in runs:
                name = id(run.passes)
                loading = run.tray.load(run.own, [gs[i] for i in run.at], self._rooms)
                run.numbers.update(keys[name])
                run.numbers.update({x: keys[name][x][run.at] for x in columns[name]})
                run.numbers.update(loading.numbers)
                for i in stage:
                    given = self._pass(run, loading, i)
                totals.append(given)
                if stage[-1] == len(run.passes.key) - 1:
                    self._store(run, loading)
            for name, each in passes.items():
                if each.program.phases[stage[-1]].total:
                    keys[name][each.program.known[stage[-1]][0]] = np.float64(sum(float(np.sum(x)) for (x,) in totals))

    def _passes(self, tray: Tray) -> "_Passes":
        key = tray.work, bool(tray.members[0].group["maximize"])
        if key not in self._programs:
            self._programs[key] = _passes_of(program_for(self.rule, key[0], maximize=key[1]))
        return self._programs[key]

    def _scalars(self, program: LoopProgram, members: list[Member]) -> dict[str, Any]:
        """Return learning rate, step and rank: each a number, or an array if tensors differ in it."""
        taken = {x for phase in program.phases for op in phase.operations for x in op.args}
        lrs = {m.number: float(m.group["lr"]) for m in members} if len(self._groups) > 1 else {}
        columns: tuple[Any, ...] = (
            [lrs[m.number] for m in members] if len(set(lrs.values())) > 1 else [float(members[0].group["lr"])],
            self._counts,
            [m.p.dim() for m in members],
        )
        made = {}
        for name, column in zip(KEY, columns, strict=True):
            if name in taken:
                same = len(set(column)) == 1
                made[name] = np.float64(column[0]) if same else np.array(column, dtype=np.float64)
        return made

    def _store(self, run: "_TrayRun", loading: Loading) -> None:
        """Write back what the last pass has found."""
        stores: dict[str, Any] = dict(run.passes.program.phases[-1].stores) if loading.numbers else {}
        numbers = {label: stores[label] for label in loading.numbers if label in stores}
        run.tray.store(loading, {label: run.numbers.get(x, x) for label, x in numbers.items()})

    def _pass(self, run: "_TrayRun", loading: Loading, i: int) -> list[Any]:
        """Do one pass over the arrays of a tray, and return the results that it is for."""
        passes, tray, numbers = run.passes, run.tray, run.numbers
        program = passes.program
        found(passes.own[i], numbers)
        if i == len(passes.own) - 1 and self.kernel and tray.alone:
            self._by_blocks(self.kernel, run, loading)
            return []
        columns: frozenset[str] = frozenset()
        if len(run.at) > 1:
            columns = frozenset(x for x in passes.names[i] if isinstance(numbers[x], np.ndarray))
        masks = tuple((x, bool(numbers[x])) for x in passes.truths[i] if x not in columns)
        # What is gathered for one stage is gone in the next.
        lost = run.own is not None and len(passes.own) > 1 and program.phases[-2].total
        early = self.kernel is None and sum(tray.sizes) <= MOST_KEPT and not lost
        key = id(passes), i, columns, masks, early
        if key not in self._scripts:
            self._scripts[key] = script_of(program, i, columns, masks, early)
        script = self._scripts[key]
        if KEPT in script.arrays:
            loading.arrays[KEPT] = self._rooms.room(KEPT, tray.work, tuple(loading.arrays["g"].shape))
        sums: list[Any] = [0.0] * len(script.sums)
        for first, count, arrays in self._parts_of(run, [loading.arrays[x] for x in script.arrays], bool(columns)):
            given = [_given(numbers[x], x in columns, tray.work, first, count) for x in script.scalars]
            for j, x in enumerate(self._blocks(script, arrays, given, tray.work)):
                sums[j] = sums[j] + x
        numbers.update(zip(script.sums, sums, strict=True))
        found(passes.after[i], numbers)
        given = [numbers[x] if isinstance(x, str) else x for x in program.phases[i].gives]
        if given:
            numbers.update(zip(program.known[i], given, strict=True))
        return given

    def _parts_of(self, run: "_TrayRun", arrays: list[Tensor], rows: bool) -> Iterator[tuple[int, int, list[Tensor]]]:
        """Yield runs of tensors of one size as matrices, with where they begin and how many they are.

        If nothing belongs to a tensor and sizes differ, all are one vector.
        """
        tray = run.tray
        if tray.alone or not (rows or tray.even):
            yield 0, 1, arrays
            return
        sizes = tray.sizes if run.own is None else [tray.sizes[i] for i in run.own]
        first = begin = 0
        while first < len(sizes):
            size, count = sizes[first], 1
            while first + count < len(sizes) and sizes[first + count] == size:
                count += 1
            yield first, count, [x[begin : begin + count * size].view(count, size) for x in arrays]
            first, begin = first + count, begin + count * size

    def _blocks(self, script: Script, arrays: list[Tensor], given: list[Any], work: torch.dtype) -> list[Any]:
        """Run a pass over the blocks of some arrays, and return the sums."""
        block = BLOCK * max(torch.get_num_threads(), 2)
        if arrays[0].dim() > 1 or arrays[0].numel() <= block:
            pieces: Any = [arrays]
        else:
            pieces = zip(*map(self._cut, script.arrays, arrays, repeat(block)), strict=True)
        cast = [j for j, x in enumerate(arrays) if x.dtype != work]
        shape, memory, sums = torch.Size((-1,)), [], []
        for piece in pieces:
            own = list(piece)
            if own[0].shape != shape:
                shape = own[0].shape
                memory = self._rooms.buffers(script.buffers, work, shape)
            for j in cast:
                own[j] = self._rooms.room(f"cast{j}", work, tuple(shape)).copy_(own[j])
            sums.append(script.run(*own, *given, *memory))
            for j in cast:
                if script.arrays[j] in script.writes:
                    piece[j].copy_(own[j])
        if not script.sums:
            return []
        if arrays[0].dim() > 1:
            return [x.to(torch.float64).numpy() for x in sums[0]]
        return [sum(x.item() for x in column) for column in zip(*sums, strict=True)]

    def _cut(self, label: str, x: Tensor, block: int) -> Sequence[Tensor]:
        """Return the blocks of a vector; those of what stays are kept."""
        if label in ("g", KEPT):
            return x.unsafe_split(block)
        found = self._cuts.get(id(x))
        if found is None or found[1] != block:
            found = self._cuts[id(x)] = x, block, x.unsafe_split(block)
        return found[2]

    def _by_blocks(self, kernel: Kernel, run: "_TrayRun", loading: Loading) -> None:
        """Run the leading parts of the rule and a native kernel block by block, on copies where dtypes differ."""
        arrays, (member,), work = loading.arrays, loading.members, run.tray.work
        lr, step, up = float(member.group["lr"]), self._counts[run.at[0]], bool(member.group["maximize"])
        lists = [arrays["p"], arrays["g"], *(arrays[label] for label in self.facts.labels)]
        change = self._change(run, flat_context(lr, step, member.p.dim()), up)
        block = 2 * BLOCK if change or any(x.dtype != work for x in lists) else max(len(lists[0]), 1)
        for pieces in zip(*[x.unsafe_split(block) for x in lists], strict=True):
            p, g, *own = [
                x if x.dtype == work else self._rooms.room(f"cast{j}", work, tuple(x.shape)).copy_(x)
                for j, x in enumerate(pieces)
            ]
            kernel([p], [change(p, g) if change else g], [own], lr, step, up)
            if p is not pieces[0]:
                pieces[0].copy_(p)

    def _change(self, run: "_TrayRun", context: rules.Context, up: bool) -> Callable[[Tensor, Tensor], Tensor] | None:
        """Return what the leading parts make of a gradient, or None if it stays as it is."""
        taken: list[Any] = []
        for names, asked in zip(run.passes.program.known, self.facts.reductions, strict=True):
            values = [torch.tensor(float(np.sum(run.numbers[x])), dtype=run.tray.work) for x in names]
            taken.append(values if asked == "sums" else values[0])
        if not all(isinstance(part, rules.ClipByGlobalNorm) for part in self.parts):

            def change(p: Tensor, g: Tensor) -> Tensor:
                (x,) = transformed(self.parts, context.replaying(taken), [p], [-g if up else g])
                return -x if up else x

            return change
        one = torch.ones(1, dtype=run.tray.work)
        factor = transformed(self.parts, context.replaying(taken), [one], [one])[0]
        # Below what it is clipped to, a gradient stays as it is.
        if bool(factor == 1.0):
            return None
        return lambda p, g: torch.mul(g, factor, out=self._rooms.room("clipped", g.dtype, tuple(g.shape)))


def in_cache_of(rule: rules.Rule) -> InCache | None:
    """Return what updates by a rule, or None if its passes are more than arithmetic on elements and sums."""
    try:
        program_for(rule, torch.float32, maximize=False)
    except CannotCompile:
        return None
    return InCache(rule)


class _NativeCall(NamedTuple):
    """Tensors that one call of a native kernel updates, and which members they are."""

    at: list[int]
    ps: list[Tensor]
    slots: list[tuple[Tensor, ...]]
    alone: list[bool]
    group: dict[str, Any]
    work: torch.dtype

    def fits(self, gs: Sequence[Tensor]) -> list[bool]:
        """Return for each tensor whether the kernel takes it and its gradient where they lie."""
        if set(map(_dtype, chain(self.ps, gs))) == {self.work} and all(map(Tensor.is_contiguous, chain(self.ps, gs))):
            return [True]
        return [
            p.dtype == g.dtype == self.work
            and ((p.is_contiguous() and g.is_contiguous()) or (alone and p.stride() == g.stride()))
            for p, g, alone in zip(self.ps, gs, self.alone, strict=True)
        ]

    def some(self, chosen: Sequence[bool]) -> "_NativeCall":
        """Return some of the tensors."""
        columns: list[list[Any]] = [list(compress(column, chosen)) for column in self[:4]]
        return _NativeCall(columns[0], columns[1], columns[2], columns[3], self.group, self.work)


class _TrayRun(NamedTuple):
    """A tray in one update: its passes, which of its tensors and gradients, and what is known of them."""

    passes: "_Passes"
    tray: Tray
    own: list[int] | None
    at: list[int]
    numbers: dict[str, Any]


class _Passes(NamedTuple):
    """A program with what is not done for each element, by pass: operations by level, and what is taken of them."""

    program: LoopProgram
    key: tuple[tuple[LoopOperation, ...], ...]
    own: tuple[tuple[LoopOperation, ...], ...]
    after: tuple[tuple[LoopOperation, ...], ...]
    names: tuple[tuple[str, ...], ...]
    truths: tuple[tuple[str, ...], ...]


def _passes_of(program: LoopProgram) -> _Passes:
    def at(level: Level) -> tuple[tuple[LoopOperation, ...], ...]:
        return tuple(
            tuple(op for op in phase.operations if op.level == level and op.kind != "sum") for phase in program.phases
        )

    names = []
    for phase in program.phases:
        taken = [*phase.used(Level.WIDE), *(x for target, x in phase.stores if target in program.wide)]
        own = {*program.wide, *(op.name for op in phase.operations if op.level == Level.WIDE)}
        names.append(tuple(x for x in taken if isinstance(x, str) and x not in own))
    kinds = {op.name for phase in program.phases for op in phase.operations if op.kind in TRUTHS}
    truths = tuple(tuple(x for x in each if x in kinds) for each in names)
    return _Passes(program, at(Level.KEY), at(Level.OWN), at(Level.AFTER), tuple(names), truths)


def _counts(members: Sequence[Member]) -> list[Any]:
    return [m.state.get("step") for m in members]


def _given(x: Any, column: bool, work: torch.dtype, first: int, count: int) -> Any:
    """Return a number for a pass: as a number of Python, or as a column."""
    if not column:
        return x.item() if isinstance(x, np.generic | np.ndarray) else x
    made = torch.from_numpy(np.ascontiguousarray(x[first : first + count])).view(-1, 1)
    return made if made.dtype == torch.bool else made.to(work)
