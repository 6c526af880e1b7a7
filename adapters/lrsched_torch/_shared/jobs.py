"""The parameters of one rule in an optimizer, and what updates them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import compress, repeat
from operator import attrgetter, is_, is_not
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.compiling import CannotCompile, Ways, engine_of
from lrsched_torch._shared.entries import check_gradients, check_members, check_shape, slots_of
from lrsched_torch._shared.facts import facts_of, rebuilt
from lrsched_torch._shared.update import Batch, BatchUpdate, Member

_layout = attrgetter("layout")
# What makes the state of a parameter before its first update.
NewState = Callable[[rules.Rule, Tensor], dict[str, Any]]


class Executor(ABC):
    """Updates parameters, slots and counts in place."""

    # What does the arithmetic, for people.
    engine: str
    # Whether an update without a tensor is one too, as other processes wait for it.
    always = False

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:  # noqa: B027  # most have nothing to prepare
        """Get ready for an update, which `__call__` does next.

        Raises:
            CannotCompile: this executor cannot do it; no parameter, slot or count has another content.
        """

    @abstractmethod
    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members; the same list stands for the same members."""

    def again(self, *, alone: bool) -> bool:
        """Get ready for one more update of the same members; return False if more than their gradients is new.

        Args:
            alone: nobody else has to get ready, so the update may be done at once; then `__call__` does not repeat it.
        """
        return False

    def release(self) -> None:  # noqa: B027  # most keep none
        """Let go of gradients that `again` has found."""


class InTurn(Executor):
    """The first of several executors that can be compiled; says once if that is not the first of all.

    Args:
        engines: their names, and what makes them, best first; the last compiles nothing.
        ways: which of them have failed before.
    """

    def __init__(self, engines: Mapping[str, Callable[[], Executor]], ways: Ways) -> None:
        self._left = [name for name in engines if name not in ways.failed]
        self._engines, self._ways = engines, ways
        self.executor = engines[self._left[0]]()

    @property
    def engine(self) -> str:  # type: ignore[override]  # what others know from the beginning
        """What does the arithmetic."""
        return self.executor.engine

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Find an executor that can do the update."""
        before = len(self._ways.failed)
        while True:
            try:
                self.executor.prepare(members, gs)
                break
            except CannotCompile as error:
                self._ways.failed[self._left.pop(0)] = error
                if error.hangs:  # Inductor would call it too, and wait for ever
                    del self._left[:-1]
                self.executor = self._engines[self._left[0]]()
        if len(self._ways.failed) > before:
            self._ways.tell(self.engine)

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        self.executor(members, gs)

    def again(self, *, alone: bool) -> bool:
        """Get ready for one more update of the same members; return False if more than their gradients is new."""
        return self.executor.again(alone=alone)

    def release(self) -> None:
        """Let go of gradients that `again` has found."""
        self.executor.release()


class Job:
    """The parameters of all groups of one rule.

    Args:
        executor: does the updates.
        rule: the rule.
        numbers: of the groups.
        groups: all groups of the optimizer.
        state: the state of the optimizer.
        resident: whether gradients live in a buffer that stays.
    """

    def __init__(
        self,
        executor: Executor,
        rule: rules.Rule,
        numbers: Sequence[int],
        groups: Sequence[dict[str, Any]],
        state: Any,
        *,
        resident: bool,
    ) -> None:
        self.executor, self.rule, self.numbers, self.state, self.resident = executor, rule, numbers, state, resident
        self.groups = [groups[i] for i in numbers]
        self.ps = [p for group in self.groups for p in group["params"]]
        self._owners = [pair for pair in zip(self.groups, numbers, strict=True) for _ in pair[0]["params"]]
        # A member for each parameter that had a gradient once, and whether nobody can have changed its state since.
        self._each: list[Member | None] = [None] * len(self.ps)
        self._known = [False] * len(self.ps)
        self._members: list[Member] = []
        self._states: list[dict[str, Any]] = []
        self._present: list[bool] = []
        self._all = False  # whether each parameter had a gradient in the last update
        self._gs: list[Tensor | None] = []
        self._found: list[Tensor] = []
        self._ready = False
        # Parameters whose state is new, that state, and whether it has no entry without it.
        self._made: list[tuple[Tensor, dict[str, Any], bool]] = []

    def takes(self, rule: rules.Rule, numbers: Sequence[int], groups: Sequence[dict[str, Any]], state: Any) -> bool:
        """Return whether it is that of a rule and some groups; then it looks at their state anew."""
        ps = [p for i in numbers for p in groups[i]["params"]]
        found = (
            rule == self.rule
            and numbers == self.numbers
            and all(groups[i] is group for i, group in zip(numbers, self.groups, strict=True))
            and len(ps) == len(self.ps)
            and all(map(is_, ps, self.ps))
        )
        if found:
            self.state, self._present, self._gs, self._all = state, [], [], False
            self._known = [False] * len(ps)
        return found

    def prepare(self, new_state: NewState, *, alone: bool) -> None:
        """Get ready for an update of the parameters that have a gradient; whatever is wrong is found here.

        Args:
            new_state: makes the state of a new parameter.
            alone: there is no other job, so the update may be done at once.
        """
        self._ready = self._all and self.executor.again(alone=alone)
        if self._ready:
            return
        if not all(self._states):  # somebody has emptied one
            self._present, self._gs = [], []
        gs = [p.grad for p in self.ps]
        # Gradients that stay the same objects, as views of a buffer do, have been looked at.
        if len(gs) != len(self._gs) or not all(map(is_, gs, self._gs)):
            self._look(gs, new_state)
        self._ready = bool(self._found) or self.executor.always
        if self._ready:
            self.executor.prepare(self._members, self._found)

    def step(self) -> None:
        """Do the update."""
        if self._ready:
            self.executor(self._members, self._found)
        self.release()

    def release(self, *, undo: bool = False) -> None:
        """Let go of gradients, which would else live on during the next backward pass.

        Args:
            undo: take back the state that was made for this update too, as there is none.
        """
        self.executor.release()
        if undo:
            for p, entry, own in self._made:
                if own:
                    del self.state[p]
                else:
                    entry.clear()
            self._present, self._gs, self._known = [], [], [False] * len(self.ps)
            self._members, self._states = [], []
        self._made = []
        if not self.resident:
            self._gs, self._found = [], []

    def _look(self, gs: list[Tensor | None], new_state: NewState) -> None:
        """Take what is there, and make the state of parameters that are new."""
        present = list(map(is_not, gs, repeat(None)))
        self._all = all(present)
        found: list[Any] = list(compress(gs, present))
        if not set(map(_layout, found)) <= {torch.strided}:
            g = next(g for g in found if g.layout is not torch.strided)
            raise TypeError(
                f"RuleOptimizer.step() must get dense gradients, got one of {g.layout} for a parameter of shape "
                f"{tuple(g.shape)}; write torch.nn.Embedding(..., sparse=False)"
            )
        if present != self._present:
            self._present = present
            each = zip(present, self._known, self._each, strict=True)
            for i in [i for i, (here, known, m) in enumerate(each) if here and not (known and m and m.state)]:
                self._each[i], self._known[i] = self._member(i, new_state), True
            members: list[Any] = list(compress(self._each, present))
            # The same list stands for the same members.
            if len(members) != len(self._members) or not all(map(is_, members, self._members)):
                self._members, self._states = members, [m.state for m in members]
        self._gs, self._found = gs, found

    def _member(self, i: int, new_state: NewState) -> Member:
        """Return a parameter with its state, which is made if there is none; the same object as before if it can be."""
        p, old = self.ps[i], self._each[i]
        known = p in self.state
        entry = self.state.setdefault(p, {})
        if not isinstance(entry, dict):
            raise TypeError(f"RuleOptimizer.step() must find a dictionary as the state of a parameter, got {entry!r}")
        if not entry:
            self._made.append((p, entry, not known))
            entry.update(new_state(self.rule, p))
        new = Member(p, entry, *self._owners[i])
        return old if old is not None and all(map(is_, old, new)) else new


class WholeTensors(Executor):
    """Runs a `BatchUpdate` on the list of all tensors in their own shapes.

    Args:
        update: does it.
        rule: the rule.
        apart: whether each tensor is updated by itself, which needs the least memory.
        ways: those that have failed, if `update` is compiled; else None.
        always: whether an update without a tensor is one too.
    """

    def __init__(
        self, update: BatchUpdate, rule: rules.Rule, *, apart: bool, ways: Ways | None = None, always: bool = False
    ) -> None:
        self.update, self.rule, self.apart, self.always = update, rule, apart, always
        self.ways = ways

    @property
    def engine(self) -> str:  # type: ignore[override]  # what others know from the beginning
        """What does the arithmetic."""
        return engine_of(self.ways)

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Look at the gradients, and at what the members keep."""
        check_members(self.rule, members)
        check_gradients([m.p for m in members], gs)
        for shape in {m.p.shape for m in members}:
            check_shape(self.rule, shape)

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        alike: dict[Any, list[int]] = {}
        for i, m in enumerate(members):
            alike.setdefault(i if self.apart else (m.number, m.state["step"]), []).append(i)
        firsts = [members[own[0]] for own in alike.values()]
        batch = Batch(
            ps=[m.state.get("master", m.p) for m in members],
            gs=gs,
            slots=[self._slots(m) for m in members],
            maximize=tuple(m.group["maximize"] for m in members),
            alike=tuple(map(tuple, alike.values())),
            lrs=[m.group["lr"] for m in firsts],
            steps=[m.state["step"] for m in firsts],
        )
        self.update(batch)
        for member in members:
            if "master" in member.state:
                member.p.copy_(member.state["master"])
            member.state["step"] += 1

    def _slots(self, member: Member) -> Any:
        names = slots_of(self.rule)[member.p.shape]
        return rebuilt(facts_of(self.rule), [member.state[name] for name in names])
