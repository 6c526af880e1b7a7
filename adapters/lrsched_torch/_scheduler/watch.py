"""What the first updates of a loop tell of the clock of its scheduler, and the steps after the end."""

import sys
import warnings
from collections.abc import Iterable
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import torch

from lrsched import LintWarning, Schedule, lint, milestones
from lrsched_torch._scheduler.hooks import tell

# Updates between two steps of a scheduler that no generator with its critics makes, but an epoch does.
MANY = 10
# A schedule of fewer steps may be one of epochs.
LONG = 1000
NEVER = 2**62
INSIDE = ("torch", "lrsched_torch", "contextlib", "accelerate")


def callers() -> list[FrameType]:
    """Return the code that asks, and what has called it, up to the first that is no library's."""
    found = [sys._getframe(1)]
    while (up := found[-1].f_back) and found[-1].f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        found.append(up)
    return found


def level() -> int:
    """Return how far up the code lies that has called an optimizer or a scheduler."""
    return len(callers()) - 1


def alarm(schedule: Schedule | None) -> int:
    """Return the update by which a schedule has stood at 0 for longer than it took, or one that never comes."""
    length = None if schedule is None else schedule.length
    if schedule is None or length is None or schedule(length) != 0.0:
        return NEVER
    return max(2 * length, length + 100)


def tell_ended(name: str, length: int | None, step: int) -> None:
    """Warn that a schedule ended at 0 long ago."""
    warnings.warn(
        f"length-looks-like-epochs: {name} has made {step} updates, and its schedule of {length} steps stands at 0: if "
        "these are epochs, step it once an epoch, or write Epochs(schedule, n) for n updates to each",
        LintWarning,
        stacklevel=level(),
    )


def tell_factors(name: str, pairs: Iterable[tuple[float, Schedule]]) -> None:
    """Warn if what multiplies the rate of a group looks like a rate."""
    for rate, factor in dict.fromkeys(pairs):
        for remark in lint(rate * factor, lr=rate) if rate > 0.0 else ():
            if remark.code == "looks-like-rate":
                warnings.warn(
                    f"{remark.code}: {remark.message}; leave out {name}(relative=True) for a schedule of rates",
                    LintWarning,
                    stacklevel=level(),
                )
                return


class LoopWatch:
    """Counts the updates until a scheduler has made its first two steps; it keeps no scheduler alive.

    Args:
        scheduler: the scheduler, which is looked at again with its first step.
    """

    def __init__(self, scheduler: Any) -> None:
        self.updates = 0  # since the last step of the scheduler
        self.first = 0  # before its first one, where they were many
        self.idle = True  # whether all of them had the rate 0
        _WATCHES[scheduler] = self
        self.handle = tell(scheduler, "step_post", _updated)

    def end(self, scheduler: Any) -> None:
        """Count no more."""
        _WATCHES.pop(scheduler, None)
        if self.handle is not None:
            self.handle.remove()


# Neither copied nor pickled with a scheduler.
_WATCHES: WeakKeyDictionary[Any, LoopWatch] = WeakKeyDictionary()


def _updated(scheduler: Any) -> None:
    """Take note of an update."""
    watch = _WATCHES.get(scheduler)
    if watch is None:
        return
    watch.updates += 1
    watch.idle = watch.idle and watch.updates <= MANY and _idle(scheduler)
    if watch.updates == MANY:
        _tell_many(scheduler, watch.first) if watch.first else _tell_zero(scheduler, watch.idle)


def look(scheduler: Any) -> int:
    """Take note of a step of the scheduler; return the count of steps at which to look again."""
    watch = _WATCHES.get(scheduler)
    count, done = int(scheduler._step_count), int(scheduler.last_epoch)
    if watch is not None:
        if not watch.first and watch.updates >= MANY:
            watch.first, watch.updates = watch.updates, 0
            return count + 1
        watch.end(scheduler)
        _tell_processes(scheduler)
    last, i = max((alarm(one), i) for i, one in enumerate(scheduler.schedules))
    if done >= last:
        tell_ended(type(scheduler).__name__, scheduler.schedules[i].length, done)
        last = NEVER
    return count + max(last - done, 1)


def _idle(scheduler: Any) -> bool:
    """Return whether all rates are 0, as far as that is known without waiting for a device."""
    rates = [group["lr"] for group in scheduler.optimizer.param_groups]
    return not any(isinstance(rate, torch.Tensor) and rate.device.type != "cpu" for rate in rates) and not any(rates)


def _tell_zero(scheduler: Any, idle: bool) -> None:
    if idle and scheduler.last_epoch == 0 and scheduler.field == "lr":
        name = type(scheduler).__name__
        warnings.warn(
            f"first-epoch-zero: {MANY} updates had the rate 0, as {name}.step() was not called: once an epoch, it "
            "leaves all of the first one at 0; call it after each update, or begin with Shift(schedule, 1)",
            LintWarning,
            stacklevel=level(),
        )


def _tell_many(scheduler: Any, updates: int) -> None:
    steps = max([_reach(one) for one in scheduler.schedules if one is not None], default=0)
    if steps >= LONG:
        name = type(scheduler).__name__
        warnings.warn(
            f"length-looks-like-updates: {name}.step() was called once for {updates} updates, and its schedule takes "
            f"{steps} steps, which would be {steps * updates} updates: call it after each (in Lightning by "
            "lightning_config(scheduler)), or give it a schedule in epochs",
            LintWarning,
            stacklevel=level(),
        )


def _tell_processes(scheduler: Any) -> None:
    """Warn that accelerate makes many steps of one update, as the loop says that calls this scheduler."""
    loops = [frame.f_locals for frame in callers() if frame.f_globals.get("__name__") == "accelerate.scheduler"]
    processes = loops[-1].get("num_processes", 1) if loops else 1
    if processes > 1 and not scheduler.per_update:
        name = type(scheduler).__name__
        warnings.warn(
            f"counts-processes: accelerate steps a prepared scheduler once for each of {processes} processes, so an "
            f"update is {processes} steps of the schedule: write {name}(..., per_update=True), or split_batches=True",
            LintWarning,
            stacklevel=level(),
        )


def _reach(schedule: Schedule) -> int:
    """Return the steps that a schedule takes; of one without end those that show it."""
    if schedule.length is not None:
        return schedule.length
    seen = milestones(schedule)[-1].step
    return seen if seen > 2 * LONG else 0  # as a constant is shown
