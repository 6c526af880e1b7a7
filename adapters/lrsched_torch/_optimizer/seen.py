"""What an optimizer has seen of its groups and of its state, to notice what others have changed since."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor

from lrsched import Schedule, rules
from lrsched_torch._loops.unmoved import Unchanged
from lrsched_torch._shared.entries import MOST, Slots

RATES: tuple[type, ...] = (Real, Tensor)


class KnownGroup(NamedTuple):
    """A group, its rule, its schedule and what the rule keeps, which stay together wherever others move the group."""

    group: dict[str, Any]
    rule: rules.Rule
    schedule: Schedule | None
    slots: Slots


class Seen:
    """The groups, the parameters of each, and the entries of the state, as objects.

    Args:
        groups: the groups.
        state: the state.
        quick: whether to look at all of them in one call.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], state: Mapping[Any, Any], *, quick: bool) -> None:
        self._groups, self._state, self.entries = groups, state, len(state)
        self._lists = [group["params"] for group in groups]
        self._unchanged = Unchanged([groups, *self._lists], state, quick=quick)

    def holds(self, groups: Any, state: Any) -> bool:
        """Return whether they hold the same objects, and each group what a step reads."""
        if groups is not self._groups or state is not self._state or len(groups) != len(self._lists):
            return False
        for group, ps in zip(groups, self._lists, strict=True):
            if group.get("params") is not ps or not complete(group):
                return False
        return bool(self._unchanged)


def complete(group: dict[str, Any]) -> bool:
    """Return whether a group holds what a step reads of it, in kinds that it can use."""
    lr, updates = group.get("lr"), group.get("updates")
    if type(lr) is not float and (not isinstance(lr, RATES) or isinstance(lr, bool)):
        return False
    if isinstance(lr, Tensor) and lr.ndim:
        return False
    return "maximize" in group and (isinstance(updates, Tensor) or (type(updates) is int and 0 <= updates <= MOST))
