"""The node that counts batches where the optimizer is called once for several of them."""

from collections.abc import Iterator
from typing import Annotated, Any

from lrsched._core.check import Int
from lrsched._core.value import value
from lrsched._curves.schedule import Complete, Schedule
from lrsched._spaces.space import Space


@value
class Batches(Schedule):
    """A schedule that counts batches, of which n make an update: `s(n * t + n - 1)`.

    With gradient accumulation an update is made in the last of its batches. Where a library moves the schedule with
    every batch (Keras, Paddle's `Model.fit`, MMEngine, fastai), update t uses the value of that batch. Libraries that
    move it with every update need no such node.

    Args:
        schedule: any schedule; its steps are batches.
        batches_per_update: batches accumulated for one optimizer update, n in the formula, at least 1.

    Examples:
        >>> import numpy as np
        >>> from lrsched import Batches, Linear
        >>> Batches(Linear(1.0, 0.0, steps=8), batches_per_update=2)(np.arange(5))
        array([0.875, 0.625, 0.375, 0.125, 0.   ])
    """

    schedule: Annotated[Schedule, Complete()]
    batches_per_update: Annotated[int, Int(low=1)]

    @property
    def length(self) -> int | None:
        """Whole updates before the schedule has ended, at least 1, or None."""
        length = self.schedule.length
        return None if length is None else max(length // self.batches_per_update, 1)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        pace = 1 / self.batches_per_update
        yield self.schedule, pace - 1, pace

    def _reach(self, t: float) -> tuple[float, float]:
        n = self.batches_per_update
        return self.schedule._reach(n * t + n - 1.0)

    def _at(self, t: Any, space: Space) -> Any:
        return self.schedule._at(space.last_of(t, self.batches_per_update, self.schedule.length), space)
