"""What an optimizer must know of a rule to cut, join and pad tensors for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._shared.update import named


@dataclass(frozen=True)
class Facts:
    """What holds for a rule whatever the tensors.

    Args:
        empty: slots in their structure.
        names: of the slots that are not None.
        wide: of those of the shape of the tensor; the others are numbers.
        reductions: what the body asks of its context, in order: "sums" of tensors, or a "total" over all.
        counts: of how many arrays of a tensor each of these is.
        ranked: whether the body looks at the number of dimensions.
        packs: whether tensors may be cut and joined.
    """

    empty: Any
    names: tuple[str, ...]
    wide: frozenset[str]
    reductions: tuple[str, ...]
    counts: tuple[int, ...]
    ranked: bool
    packs: bool

    @property
    def labels(self) -> list[str]:
        """The slots as graphs call them, where a name has no dot."""
        return [f"slot{i}" for i in range(len(self.names))]

    @property
    def elementwise(self) -> bool:
        """Whether a bucket need not know where a tensor in it ends."""
        return "sums" not in self.reductions and len(self.wide) == len(self.names)

    @property
    def totals(self) -> bool:
        """Whether the body asks for totals over all tensors."""
        return "total" in self.reductions

    def arrays(self, slots: Any) -> list[Tensor]:
        """Return the arrays of slots in the order of the names."""
        return [x for _, x in named(slots)]


class _Watched(int):
    """A number of dimensions that knows whether it was looked at."""

    seen: list[bool]

    def _look(self, name: str, other: Any) -> bool:
        self.seen.append(True)
        return bool(getattr(int(self), name)(other))

    def __ge__(self, other: Any) -> bool:
        return self._look("__ge__", other)

    def __gt__(self, other: Any) -> bool:
        return self._look("__gt__", other)

    def __le__(self, other: Any) -> bool:
        return self._look("__le__", other)

    def __lt__(self, other: Any) -> bool:
        return self._look("__lt__", other)

    def __eq__(self, other: object) -> bool:
        return self._look("__eq__", other)

    def __ne__(self, other: object) -> bool:
        return self._look("__ne__", other)

    __hash__ = int.__hash__


def ops() -> rules.Ops:
    """Return the operations of torch."""
    found = rules.ops_of(_ONE)
    assert found is not None  # torch is a library that the core knows
    return found


_ONE = torch.ones(())


@lru_cache(maxsize=256)
@torch.no_grad()
def facts_of(rule: rules.Rule) -> Facts:
    """Return what holds for a rule, found out on a tensor of three elements."""
    p = torch.ones(3)
    slots = rule.init(p)
    pairs = list(named(slots))
    shapes = {tuple(x.shape) for _, x in pairs}
    names = tuple(name for name, _ in pairs)
    wide = frozenset(name for name, x in pairs if x.shape == p.shape)
    if not rule.packs or not shapes <= {(3,), ()}:
        return Facts(slots, names, wide, (), (), True, False)
    rank = _Watched(2)
    rank.seen = []
    rule.body(rules.Context.of_list(ops(), [rank], 1.0, 1), [p], [p], [slots])
    # As arrays, the scalars hide nothing: a body may ask for less of a tensor that it knows to skip.
    one = torch.ones(())
    context = rules.Context.of_list(ops(), (one,), one, one)  # type: ignore[arg-type]  # a rank that may be traced
    kinds: list[str] = []
    results: list[Any] = []
    while (found := rules.next_reduction(lambda c: rule.body(c, [p], [p], [slots]), context, results)) is not None:
        kinds.append(found.kind)
        results.append(found.result)
    counts = tuple(len(result) if kind == "sums" else 1 for kind, result in zip(kinds, results, strict=True))
    return Facts(slots, names, wide, tuple(kinds), counts, bool(rank.seen), True)


def rebuilt(facts: Facts, arrays: Sequence[Tensor]) -> Any:
    """Return slots in their structure."""
    rest = iter(arrays)
    return rules.map_arrays(lambda _: next(rest), facts.empty)
