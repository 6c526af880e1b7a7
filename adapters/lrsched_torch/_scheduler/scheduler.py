"""A schedule as a torch scheduler."""

import math
import re
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrsched import Schedule

# Of the state dictionary; a reader refuses what is newer.
FORMAT = 1

if not hasattr(LRScheduler, "_update_lr"):
    raise ImportError(
        f"lrsched_torch needs a torch whose LRScheduler writes values in one place (2.9 does), got {torch.__version__}"
    )


class ScheduleLR(LRScheduler):
    """A torch scheduler whose value is a pure function of one integer, `last_epoch`.

    Update number t (from 0) uses `schedule(t)`, or, with `relative=True`, `schedule(t)` times the first rate of each
    group. Call `step()` after each `optimizer.step()`. Nothing is computed from the current rate, so it does not matter
    whether optimizer or scheduler is loaded first, or whether the optimizer is loaded at all.

    A learning rate that is a tensor is written in place, so `torch.compile(optimizer.step)` compiles once. Groups may
    be added later with `add_param_group`; the scheduler writes to a new group from its next `step()` on.

    Inside `SequentialLR` it works as any phase, inside `ChainedScheduler` as the first member: an absolute value
    overwrites what came before. `>>` and `*` of schedules need neither.

    Args:
        optimizer: the optimizer to drive.
        schedule: one schedule for all groups, or a sequence with one for each group; groups added later take the last.
        relative: multiply the schedule with the value that each group had at first, kept in the group under
            `"initial_lr"` (`"initial_" + field` for another field). A group added later starts from its own value.
        field: which entry of the groups to write: "lr", "weight_decay", "momentum", or, for one item of a tuple,
            "betas[0]".
        last_epoch: number of the last update done, -1 for none. `last_epoch=k` on a new optimizer makes the next update
            use `schedule(k + 1)`. To resume, prefer `load_state_dict`.

    Attributes:
        last_epoch: number of the update that the current values are for, counted from 0.

    Raises:
        TypeError: `optimizer` is no torch optimizer, or `schedule` neither a schedule nor a sequence of schedules.
        ValueError: the number of schedules is not the number of groups, or a group has no entry `field`.

    Examples:
        >>> import torch
        >>> from lrsched import Linear
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = ScheduleLR(sgd, Linear(0.1, 0.0, steps=10))
        >>> for _ in range(5):
        ...     sgd.step()
        ...     scheduler.step()
        >>> sgd.param_groups[0]["lr"]
        0.05
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Sequence[Schedule],
        *,
        relative: bool = False,
        field: str = "lr",
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ScheduleLR(optimizer=...) must be a torch.optim.Optimizer, got {optimizer!r}")
        self.schedules = _checked(schedule, len(optimizer.param_groups))
        self.relative = relative
        self.field = field
        self._key, self._item = _parsed(field, optimizer)
        self._initial = f"initial_{field}"
        self._bases: list[float] = []
        for group in optimizer.param_groups:
            # Ahead of the base class, which refuses last_epoch >= 0 without it and would keep a tensor, slow to read.
            group.setdefault("initial_lr", float(group["lr"]))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Return the value of each group for update number `last_epoch`: a closed form, callable at any time."""
        # SequentialLR winds its members back to -1.
        step = max(self.last_epoch, 0)
        groups = self.optimizer.param_groups
        values: list[float | torch.Tensor]
        if len(self.schedules) == 1:
            values = [self.schedules[0](step)] * len(groups)
        else:
            last = len(self.schedules) - 1
            values = [self.schedules[min(i, last)](step) for i in range(len(groups))]
        if self.relative:
            return [self._first(i) * value for i, value in enumerate(values)]
        return values

    # What SequentialLR and `step(epoch)` ask for.
    _get_closed_form_lr = get_lr

    def _first(self, i: int) -> float:
        """Return the value that group i had at first."""
        # An optimizer state that was saved without a scheduler does not hold it.
        group, known = self.optimizer.param_groups[i], self._bases
        if self._initial not in group:
            group[self._initial] = known[i] if i < len(known) else float(_entry(group, self._key, self._item))
        base = float(group[self._initial])
        if i == len(known):
            known.append(base)
        return base

    def _update_lr(self, epoch: int | None = None) -> None:
        """Move to update `epoch`, by default the next one, and write its values into the groups."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else _whole(epoch)
        self._last_lr = self.get_lr()
        key, item = self._key, self._item
        for group, value in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            if isinstance(old := group[key], torch.Tensor):
                old.fill_(value)
            elif item is None:
                group[key] = value
            elif isinstance(old[item], torch.Tensor):
                old[item].fill_(value)
            else:
                group[key] = (*old[:item], value, *old[item + 1 :])

    def state_dict(self) -> dict[str, Any]:
        """Return the state: numbers, texts and lists of them, so that it loads with `weights_only=True`."""
        return {
            "format": FORMAT,
            "last_epoch": int(self.last_epoch),
            "_step_count": int(self._step_count),
            "_last_lr": [float(value) for value in self._last_lr],
            # Flat texts: distributed checkpoints take a nested dictionary apart and want the same keys when they load.
            "schedule": [repr(schedule) for schedule in self.schedules],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to the saved update and write its values into the groups at once.

        Only the count is taken from the state; schedules, `relative` and `field` stay what the constructor got. The
        state of any torch scheduler that counts in `last_epoch` will do.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            ValueError: the state has no `last_epoch`, or a newer version of this library wrote it.

        Warns:
            UserWarning: the state was saved with other schedules.
        """
        if "last_epoch" not in state_dict or state_dict.get("format", FORMAT) > FORMAT:
            raise ValueError(
                "ScheduleLR.load_state_dict(...) must get the state of a scheduler, with 'last_epoch' and a 'format' "
                f"of at most {FORMAT}, got {state_dict!r}"
            )
        saved, present = state_dict.get("schedule"), [repr(schedule) for schedule in self.schedules]
        if saved is not None and list(saved) != present:
            warnings.warn(
                f"the state was saved with the schedule {_shown(saved)}, "
                f"and goes on with the present one, {_shown(present)}",
                UserWarning,
                stacklevel=2,
            )
        self._update_lr(state_dict["last_epoch"])
        self._step_count = state_dict.get("_step_count", self.last_epoch + 1)


def _whole(epoch: Any) -> int:
    number = float(epoch) if isinstance(epoch, Real) else math.nan
    # A ValueError for the wrong kind too: DeepSpeed takes a TypeError for a scheduler with another signature.
    if not number.is_integer():
        raise ValueError(f"ScheduleLR.step(epoch=...) must be an int, got {epoch!r}")
    return int(number)


def _checked(schedule: Any, groups: int) -> tuple[Schedule, ...]:
    if isinstance(schedule, Schedule):
        return (schedule,)
    if not isinstance(schedule, Sequence) or not all(isinstance(part, Schedule) for part in schedule):
        raise TypeError(f"ScheduleLR(schedule=...) must be a schedule or a sequence of schedules, got {schedule!r}")
    if len(schedule) != groups:
        raise ValueError(
            f"ScheduleLR(schedule=...) must hold one schedule for each of {groups} groups, got {len(schedule)}"
        )
    return tuple(schedule)


def _parsed(field: str, optimizer: Optimizer) -> tuple[str, int | None]:
    """Return the key of a group, and the index into its entry if the field names one item."""
    match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", field)
    key, item = (match[1], match[2]) if match else (field, None)
    for group in optimizer.param_groups:
        try:
            float(_entry(group, key, None if item is None else int(item)))
        except (KeyError, IndexError, TypeError, ValueError):
            keys = sorted(set(group) - {"params"})
            raise ValueError(
                f"ScheduleLR(field=...) must name a number in each group, such as 'lr' or 'betas[0]', got {field!r}; "
                f"a group has {keys}"
            ) from None
    return key, None if item is None else int(item)


def _entry(group: dict[str, Any], key: str, item: int | None) -> Any:
    return group[key] if item is None else group[key][item]


def _shown(schedules: Sequence[str]) -> str:
    return str(schedules[0] if len(schedules) == 1 else list(schedules))
