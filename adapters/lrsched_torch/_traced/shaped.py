"""The updates of a rule that needs tensors in their own shape, one tensor after the other.

A matrix comes from `_shared/jobs.py` with its state and its gradient. What the rule sums over all tensors, as a clip
before it does, is added up first, tensor by tensor. Then each tensor is updated by itself, by a function that is made
once for all of its form: a recording (`recorded.py`), or a graph that `compile=True` asks for. So nothing lives but the
arrays of one tensor. All functions are made before anything is changed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.compiling import EAGER, INDUCTOR, Ways, engine_of
from lrsched_torch._shared.entries import check_gradients, check_members, slots_of
from lrsched_torch._shared.facts import Facts, facts_of, ops, rebuilt
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Batch, Member, arrays_of, compiled, update_with, width
from lrsched_torch._traced.recorded import CannotRecord, record

PLAIN = (Tensor, torch.nn.Parameter)


class Shaped(Executor):
    """Updates tensors in their own shapes.

    Args:
        rule: the rule.
        ways: those that have failed, if the rule is to be compiled; else None.
    """

    def __init__(self, rule: rules.Rule, ways: Ways | None = None) -> None:
        self.rule, self.ways, self.facts = rule, ways, facts_of(rule)
        self._plain = update_with(rule)
        self._compiled = None if ways is None else compiled(self._plain, ways)
        self._tried: set[Any] = set()
        self._made: dict[Any, Callable[..., Any] | None] = {}
        self._kinds: dict[Any, str] = {}
        self._asked: dict[Any, tuple[frozenset[int], ...] | None] = {}
        self._ones: list[_One] = []
        self._apart = True

    @property
    def engine(self) -> str:  # type: ignore[override]  # what others know from the beginning
        """What does the arithmetic."""
        return engine_of(self.ways)

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Look at what the members keep, take the totals, and make what updates each."""
        check_members(self.rule, members)
        check_gradients([m.p for m in members], gs)
        names, ps = slots_of(self.rule), [m.p for m in members]
        wide = [width(ps)] * len(ps) if self.rule.couples else [width([p]) for p in ps]
        self._ones = [_One(m, g, names[m.p.shape], w) for m, g, w in zip(members, gs, wide, strict=True)]
        self._apart = not self.rule.couples or self._totals(self._ones)
        if self._compiled is not None and self.engine == INDUCTOR and self._apart:
            for one in self._ones:
                if one.form() not in self._tried and self.engine == INDUCTOR:
                    # On a copy: a failure, or a warning that is an error, must leave no update half done.
                    self._compiled(one.batch(self.facts, copied=True), one.form())
                    self._tried.add(one.form())
        if self.engine == EAGER and self._apart:
            for one in self._ones:
                one.run = self._function(one)

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        ones, self._ones = self._ones, []
        if not self._apart:
            self._plain(_together(self.facts, ones))
        while ones and self._apart:
            one = ones.pop()
            if one.run is not None:
                one.run(one.lr, one.step, *one.tensors())
            elif self._compiled is not None:
                self._compiled(one.batch(self.facts), one.form())
            else:
                self._plain(one.batch(self.facts))
        for member in members:
            if "master" in member.state:
                member.p.copy_(member.state["master"])
            member.state["step"] += 1

    def _totals(self, ones: "list[_One]") -> bool:
        """Add up what the rule sums over all tensors; return whether that can be told tensor by tensor."""
        ranks = tuple(dict.fromkeys(one.p.dim() for one in ones))
        if ranks not in self._asked:
            firsts = {one.p.dim(): one.p for one in reversed(ones)}
            self._asked[ranks] = _asked(self.rule, [firsts[rank] for rank in ranks])
        asked = self._asked[ranks]
        for own in asked or ():
            those = [one for one in ones if one.p.dim() in own]
            total: Any = 0
            for one in those:
                kind, result = self._next(one)
                while kind == "sums":
                    one.known.append(result)
                    kind, result = self._next(one)
                total = total + result[0]
            for one in those:
                one.known.append(total)
        return asked is not None

    def _next(self, one: "_One") -> tuple[str, list[Tensor]]:
        """Return kind and result of the next reduction that a tensor needs to know."""
        run = self._function(one, reduces=True)
        if run is not None:
            return self._kinds[one.form()], run(one.lr, one.step, *one.tensors())
        return self._reduced(one, one.lr, one.step, *one.tensors())

    def _reduced(self, one: "_One", lr: Any, step: Any, *tensors: Tensor) -> tuple[str, list[Tensor]]:
        context, inputs = self._inputs(one, lr, step, *tensors)
        found = rules.next_reduction(lambda own: self.rule.body(own, *inputs), context, one.like_known(tensors))
        assert found is not None  # it was asked for
        return found.kind, found.result if found.kind == "sums" else [found.result]

    def _updated(self, one: "_One", lr: Any, step: Any, *tensors: Tensor) -> list[Tensor]:
        context, inputs = self._inputs(one, lr, step, *tensors)
        (u,), (slots,) = self.rule.body(context.replaying(one.like_known(tensors)), *inputs)
        # First the parameter, then what follows the gradient.
        return [inputs[0][0] - u, *arrays_of(slots)]

    def _inputs(self, one: "_One", lr: Any, step: Any, *tensors: Tensor) -> tuple[rules.Context, tuple[Any, Any, Any]]:
        """Return the context, and what the body takes."""
        p, *slots, g = (x.to(one.wide) for x in tensors[: len(one.slots) + 2])
        context = rules.Context.of_list(ops(), [p.dim()], lr, step)
        return context, ([p], [-g if one.maximize else g], [rebuilt(self.facts, slots)])

    def _function(self, one: "_One", *, reduces: bool = False) -> Callable[..., Any] | None:
        """Return the recording that updates a tensor, or takes the next reduction; None where there can be none."""
        key = one.form(), reduces
        if key not in self._made:
            self._made[key] = self._recorded(one, reduces) if one.plain else None
        return self._made[key]

    def _recorded(self, one: "_One", reduces: bool) -> Callable[..., Any] | None:
        def reduced(*given: Any) -> list[Tensor]:
            self._kinds[one.form()], result = self._reduced(one, *given)
            return result

        forms = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta") for x in one.tensors()]
        body = reduced if reduces else partial(self._updated, one)
        try:
            return record(body, forms, one.wide, one.p.device, replaces=not reduces)
        except CannotRecord:
            return None


class _One:
    """A tensor of an update.

    Args:
        member: the parameter.
        g: its gradient.
        names: of its slots.
        wide: the working dtype.
    """

    def __init__(self, member: Member, g: Tensor, names: Iterable[str], wide: torch.dtype) -> None:
        state, group = member.state, member.group
        self.p, self.g, self.wide = state.get("master", member.p), g, wide
        self.slots = [state[name] for name in names]
        self.lr, self.step, self.maximize = group["lr"], state["step"], bool(group["maximize"])
        self.known: list[Any] = []
        self.run: Callable[..., Any] | None = None

    @property
    def plain(self) -> bool:
        """Whether a recording may update it: it is no tensor of another kind, and its rate is a number."""
        return not isinstance(self.lr, Tensor) and all(type(x) in PLAIN for x in (self.p, self.g, *self.slots))

    def tensors(self) -> list[Tensor]:
        """Return all tensors of the update, first those that it changes."""
        found = [self.p, *self.slots, self.g]
        for result in self.known:
            found += result if isinstance(result, list) else [result]
        return found

    def like_known(self, tensors: Sequence[Tensor]) -> list[Any]:
        """Return the results that are known, taken from the end of such tensors."""
        rest = iter(tensors[len(self.slots) + 2 :])
        return [[next(rest) for _ in x] if isinstance(x, list) else next(rest) for x in self.known]

    def form(self) -> Any:
        """Return what a function of this tensor depends on."""
        lists = tuple(len(x) if isinstance(x, list) else None for x in self.known)
        return self._kinds, lists, self.maximize, self.wide, self.p.device, isinstance(self.lr, Tensor)

    @cached_property
    def _kinds(self) -> Any:
        return tuple([(x.shape, x.stride(), x.dtype) for x in (self.p, *self.slots, self.g)])

    def batch(self, facts: Facts, *, copied: bool = False) -> Batch:
        """Return it as a batch, or a copy of what is changed."""
        p, *slots = (_copy(x) if copied else x.detach() for x in (self.p, *self.slots))
        return Batch(
            [p], [self.g], [rebuilt(facts, slots)], (self.maximize,), ((0,),), [self.lr], [self.step],
            [self.known] if self.known else (),
        )  # fmt: skip


def _copy(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x.detach())


def _together(facts: Facts, ones: Sequence[_One]) -> Batch:
    return Batch(
        [x.p for x in ones], [x.g for x in ones], [rebuilt(facts, x.slots) for x in ones],
        tuple(x.maximize for x in ones), tuple((i,) for i in range(len(ones))), [x.lr for x in ones],
        [x.step for x in ones],
    )  # fmt: skip


def _asked(rule: rules.Rule, ps: Sequence[Tensor]) -> tuple[frozenset[int], ...] | None:
    """Return for each total that a rule asks for the ranks of the tensors in it; None if it cannot be told.

    Args:
        rule: the rule.
        ps: a parameter of each rank.
    """
    forms = [torch.empty(p.shape, device="meta") for p in ps]
    absent = torch.empty((), device="meta")
    found = []

    def total(arrays: Sequence[Tensor]) -> Tensor:
        found.append(frozenset(p.dim() for p, x in zip(ps, arrays, strict=True) if x is not absent))
        return torch.empty((), device="meta")

    # What stands in a total for the tensors of another rule of a `Split` is made by `full`.
    xp = replace(ops(), full=lambda *_: absent)
    context = replace(rules.Context.of_list(xp, [p.dim() for p in ps], 1.0, 1), total=total)
    try:
        rule.body(context, forms, forms, list(map(rule.init, forms)))
    except (AttributeError, RuntimeError, TypeError):
        return None
    return tuple(found)
