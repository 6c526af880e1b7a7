"""What the schedules of an optimizer leave in its groups, and what becomes of it when others write there."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lrsched import Schedule
from lrsched_torch._scheduler.watch import alarm, level, tell_ended
from lrsched_torch._shared.captured import Captured, capturing, numbers

Group = dict[str, Any]


class LeftRates:
    """The rates that the last step has left: who overwrites one is told so once, and overruled.

    A trainer makes a scheduler whether it is wanted or not, which multiplies the rate that it finds at first and writes
    the product after each step. Two things hold: what stands in a group before the first update if no scheduler has put
    it there, and a first step at rate 0 without gradients, by which distributed checkpoints make a state to load into.
    """

    def __init__(self) -> None:
        # The rates of the groups, as objects; none if none has a schedule, None if a step must look closer.
        self.left: list[Any] | None = None
        self._versions: list[tuple[Any, int]] = []  # of rates on a device, which are written in place
        self._new = True  # whether no update was done, as far as we know
        self._made = self._warned = self._free = self._ended = False

    @contextmanager
    def freely(self) -> Iterator[None]:
        """Let what is written hold inside."""
        self._free = True
        try:
            yield
        finally:
            self._free = False

    def leave(self, groups: Sequence[Group]) -> None:
        """Remember the rates on a device as they are now."""
        self._versions = [(group["lr"], group["lr"]._version) for group in groups]

    def hold(self, groups: Sequence[Group], schedules: Sequence[Schedule | None], captured: Captured | None) -> None:
        """Put back what others have overwritten since the last step.

        Args:
            groups: those of the optimizer.
            schedules: of each group, or None.
            captured: what keeps rates on the device, if anything does.
        """
        if self._free or not any(schedules) or (captured and (capturing() or self._same(groups))):
            return
        made, self._made = self._made, False
        if made:
            return  # what stood in the groups before that step is there again
        if captured:
            captured.adopt(groups)
        self._new = self._new and not numbers([groups[0]["updates"]])[0]
        self._made = self._new and _idle(groups)
        for i, (group, schedule) in enumerate(zip(groups, schedules, strict=True)):
            if schedule is not None and not (self._made or (self._new and "initial_lr" not in group)):
                self._put_back(i, group, schedule, captured)

    def ended(self, group: Group, schedule: Schedule) -> None:
        """Say once of a rate of 0 that its schedule ended long ago."""
        if not self._ended and group["updates"] >= alarm(schedule):
            self._ended = True
            tell_ended("RuleOptimizer", schedule.length, group["updates"])

    def again(self) -> None:
        """Look closer in the next step, as a state was loaded."""
        self.left, self._versions, self._new, self._made = None, [], True, False

    def _same(self, groups: Sequence[Group]) -> bool:
        known = self._versions
        return len(groups) == len(known) and all(
            group["lr"] is x and x._version == version for group, (x, version) in zip(groups, known, strict=True)
        )

    def _put_back(self, i: int, group: Group, schedule: Schedule, captured: Captured | None) -> None:
        if not self._warned:
            done, rate = numbers([group["updates"], group["lr"]])
            own = schedule(int(done))
            # The device computes rates by other operations.
            if not math.isclose(rate, own, rel_tol=1e-6):
                self._warned = True
                warnings.warn(
                    f"RuleOptimizer goes on with its schedule, at {own:.6g}: the learning rate of group {i} was "
                    f"overwritten with {rate:.6g} before update {int(done)}, by a scheduler or by hand. Hand a trainer "
                    "`optimizer.scheduler()`; if another is to set the rate, write RuleOptimizer(..., lr=<a number>)",
                    UserWarning,
                    stacklevel=level(),
                )
        if captured is None:
            group["lr"] = schedule(group["updates"])
        else:
            captured.write_rates([group], [schedule])


def _idle(groups: Sequence[Group]) -> bool:
    """Return whether a step would move nothing: at rate 0, and without a gradient."""
    if any(numbers([group["lr"] for group in groups])):
        return False
    gs = (p.grad for group in groups for p in group["params"])
    return not any(g is not None and (g.layout is not torch.strided or bool(g.any())) for g in gs)
