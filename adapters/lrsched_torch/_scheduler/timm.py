"""A schedule as a scheduler of timm."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from lrsched import Schedule
from lrsched_torch._scheduler.scheduler import ScheduleLR
from lrsched_torch._scheduler.wanted import exactly, number, whole


class TimmLR(ScheduleLR):
    """A schedule in the loops of timm, which say how many updates or epochs are done.

    Such a loop calls `step_update(num_updates)` after each update and `step(epoch + 1, metric)` after each epoch; one
    of the two moves the schedule. So a training resumes with the rate of its count, whatever was saved. A group that
    timm has given an `"lr_scale"` (layer decay) gets the rate times this.

    Args:
        optimizer: the optimizer to drive.
        schedule: one schedule for all groups, or a sequence with one for each group, where None leaves a group alone.
        t_in_epochs: the schedule counts epochs, as timm's own do by default; else updates.
        relative: multiply the schedule with the first rate of each group.
        field: which entry of the groups to write, as `ScheduleLR` takes it.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: the number of schedules is not the number of groups, or a group has no entry `field`.

    Examples:
        >>> import torch
        >>> from lrsched import Linear
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = TimmLR(sgd, Linear(0.1, 0.0, steps=10))
        >>> sgd.step()
        >>> scheduler.step_update(num_updates=1)
        >>> round(sgd.param_groups[0]["lr"], 9)
        0.09
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Callable[[Any], Any] | Sequence[Schedule | Callable[[Any], Any] | None],
        *,
        t_in_epochs: bool = False,
        relative: bool = False,
        field: str = "lr",
    ) -> None:
        self.t_in_epochs = exactly(bool, "TimmLR(t_in_epochs=...)", t_in_epochs)
        super().__init__(optimizer, schedule, relative=relative, field=field)

    def _values(self, step: int) -> list[Any]:
        values = super()._values(step)
        return [
            value if schedule is None else value * group["lr_scale"] if "lr_scale" in group else value
            for schedule, group, value in zip(self._plan, self.optimizer.param_groups, values, strict=True)
        ]

    def step(self, epoch: int | None = None, metric: Any = None) -> None:  # type: ignore[override]  # as timm has it
        """Go to an epoch, if the schedule counts epochs.

        Args:
            epoch: the epochs done.
            metric: what the schedulers of timm are given; it changes nothing.

        Raises:
            ValueError: `epoch` is no count, or `metric` no number.
        """
        if self._is_initial:
            self._advance(None, None, None)
        else:
            self._go("step", "epoch", epoch, metric, self.t_in_epochs)

    def step_update(self, num_updates: int, metric: Any = None) -> None:
        """Go to an update, if the schedule counts updates.

        Args:
            num_updates: the updates done.
            metric: what the schedulers of timm are given; it changes nothing.

        Raises:
            ValueError: `num_updates` is no count, or `metric` no number.
        """
        self._go("step_update", "num_updates", num_updates, metric, not self.t_in_epochs)

    def _go(self, method: str, name: str, count: Any, metric: Any, ours: bool) -> None:
        count = whole(f"TimmLR.{method}({name}=...)", count, 0, ValueError)
        if metric is not None:
            number(f"TimmLR.{method}(metric=...)", metric, ValueError)
        if ours:
            self._advance(count, None, None)
