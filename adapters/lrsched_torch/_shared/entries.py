"""The state of a parameter: what it must hold, and whether others have changed it since it was laid out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from numbers import Real
from operator import is_, itemgetter
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.captured import numbers
from lrsched_torch._shared.facts import facts_of, ops
from lrsched_torch._shared.update import Member, named

_count = itemgetter("step")
# Counts beyond are no numbers of float64, in which schedules and rules compute.
MOST = 2**53


class Slots(dict[tuple[int, ...], dict[str, tuple[int, ...]]]):
    """The names and shapes of the slots of a parameter, by its shape."""

    def __init__(self, rule: rules.Rule) -> None:
        self.rule = rule
        # What keeps state in the rule, and the slots; it stands in a saved group.
        self.kind = f"{_keepers(rule)}: {', '.join(facts_of(rule).names)}"

    def __missing__(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Find them out."""
        slots = self.rule.init(torch.empty(shape, device="meta"))
        self[shape] = found = {name: tuple(x.shape) for name, x in named(slots)}
        return found


def _keepers(rule: rules.Rule) -> str:
    """Return the names of what keeps state in a rule; parts keep none."""
    inner: list[str] = []
    for field in fields(rule):
        content = getattr(rule, field.name)
        found = content if isinstance(content, tuple) else (content,)
        inner += [_keepers(x) for x in found if isinstance(x, rules.Rule)]
    if isinstance(rule, rules.Pipeline):
        return " >> ".join(inner)
    return f"{type(rule).__name__}({', '.join(inner)})" if inner else type(rule).__name__


@lru_cache(maxsize=256)
def slots_of(rule: rules.Rule) -> Slots:
    """Return the slots that a rule keeps of parameters."""
    return Slots(rule)


def check_entry(where: str, wanted: Mapping[str, tuple[int, ...]], p: Tensor, entry: Mapping[Any, Any]) -> None:
    """Raise an error if the state of a parameter does not hold the slots that are wanted and a count.

    Raises:
        TypeError: a slot is no dense floating-point tensor.
        ValueError: a slot or the count is missing, or a slot has another shape.
    """
    if "step" not in entry or not entry.keys() >= wanted.keys():
        raise ValueError(
            f"{where} must find {['step', *wanted]} in the state of a parameter of shape {tuple(p.shape)}, got "
            f"{sorted(map(str, entry))}"
        )
    for name, size in (wanted if "master" not in entry else {**wanted, "master": p.shape}).items():
        x = entry[name]
        plain = type(x) is Tensor or isinstance(x, Tensor)
        if not plain or not x.is_floating_point() or x.layout is not torch.strided:
            kind = f"one of {x.dtype} and {x.layout}" if plain else repr(x)
            raise TypeError(f"{where} must find {name!r} as a dense floating-point tensor, got {kind}")
        if x.shape != size:
            raise ValueError(
                f"{where} must find {name!r} in shape {tuple(size)} for a parameter of shape {tuple(p.shape)}, got "
                f"{tuple(x.shape)}"
            )


def check_members(rule: rules.Rule, members: Iterable[Member]) -> None:
    """Raise an error if the state of a member does not hold what the rule needs; others' counts become plain ints.

    Raises:
        TypeError: a count is no number, or a slot no dense floating-point tensor.
        ValueError: something is missing, a slot has another shape, or a count is not whole or below 0.
    """
    where, wanted, others = "RuleOptimizer.step()", slots_of(rule), []
    for m in members:
        check_entry(where, wanted[m.p.shape], m.p, m.state)
        if type(m.state["step"]) is not int or not 0 <= m.state["step"] <= MOST:
            others.append(m.state)
    found = counts_of(f"{where} must find 'step'", [state["step"] for state in others])
    for state, count in zip(others, found, strict=True):
        state["step"] = count


@lru_cache(maxsize=1024)
@torch.no_grad()
def check_shape(rule: rules.Rule, shape: torch.Size) -> None:
    """Raise the error of a rule that refuses tensors of a shape, as its body alone knows.

    Raises:
        ValueError: it does.
    """
    p = torch.empty(shape, device="meta")
    try:
        rule.body(rules.Context.of_list(ops(), [p.dim()], 1.0, 1), [p], [p], [rule.init(p)])
    except (RuntimeError, TypeError):  # it looks at what the tensor holds
        return


def counts_of(must: str, counts: Sequence[Any]) -> list[int]:
    """Return numbers and tensors of one number as ints, with one wait for the device.

    Args:
        must: what the message says first.
        counts: the numbers.

    Raises:
        TypeError: one is no number.
        ValueError: one is not whole, below 0 or above 2**53.
    """
    if all(type(x) is int for x in counts) and 0 <= min(counts, default=0) <= max(counts, default=0) <= MOST:
        return list(counts)
    must = f"{must} as a whole number >= 0"
    for x in counts:
        if isinstance(x, Tensor):
            if x.numel() != 1 or x.is_complex() or x.dtype == torch.bool:
                raise TypeError(f"{must}, got a tensor of {x.dtype} and shape {tuple(x.shape)}")
        elif isinstance(x, bool) or not isinstance(x, Real):
            raise TypeError(f"{must}, got {x!r}")
    try:
        found = numbers(counts)
    except OverflowError:
        raise ValueError(f"{must}, got one beyond the largest float") from None
    for x in found:
        if not 0 <= x <= MOST or x != int(x):
            raise ValueError(f"{must}, got {x!r}")
    return list(map(int, found))


def check_gradients(ps: Iterable[Tensor], gs: Iterable[Tensor]) -> None:
    """Raise an error if a gradient has not the shape of its parameter, which may have got other memory since."""
    for p, g in zip(ps, gs, strict=True):
        if g.shape != p.shape:
            raise ValueError(
                f"RuleOptimizer.step() must get gradients of the shape of their parameter, {tuple(p.shape)}, got "
                f"{tuple(g.shape)}"
            )


class Entries:
    """The slots of members as an executor has laid them out.

    Args:
        states: the states of the members.
        names: of the slots, and of a copy that leads.
        buffers: for each name, what all slots are views of, if they are.

    Attributes:
        slots: for each name, those of all members.
        at: where each slot of each member lies.
    """

    def __init__(
        self, states: Sequence[dict[str, Any]], names: Sequence[str], buffers: Sequence[Tensor] | None = None
    ) -> None:
        self._states, self._buffers = states, buffers
        self._uses: list[int] | None = None
        self.slots = [list(map(itemgetter(name), states)) for name in names]
        self._kept = list(zip(map(itemgetter, names), self.slots, strict=True))
        self.at = list(map(_addresses, self.slots))

    def hold(self) -> bool:
        """Return whether the states still keep these tensors, and the tensors this memory.

        Memory may move under a tensor, as `share_memory_` and `x.data = ...` make it.
        """
        states = self._states
        try:
            for read, slots in self._kept:
                if not all(map(is_, map(read, states), slots)):
                    return False
        except KeyError:
            return False
        # As many views of a buffer as before: none has left it.
        uses = None if self._buffers is None else list(map(_uses, self._buffers))
        if uses is not None and uses == self._uses:
            return True
        self._uses = uses
        return list(map(_addresses, self.slots)) == self.at

    def done(self, counts: Sequence[Any], *, same: bool = False) -> bool:
        """Return whether the members have done so many updates; with `same`, in these very tensors."""
        try:
            found = list(map(_count, self._states))
            return all(map(is_, found, counts)) if same else found == counts
        except (KeyError, RuntimeError, ValueError):  # none, or an array without a truth value
            return False


def _addresses(xs: Iterable[Tensor]) -> list[int]:
    return list(map(Tensor.data_ptr, xs))


def _uses(x: Tensor) -> int:
    """Return how many tensors lie in the memory of one."""
    return torch._C._storage_Use_Count(x.untyped_storage()._cdata)
