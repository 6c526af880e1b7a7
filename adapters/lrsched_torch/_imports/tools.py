"""Schedulers as accelerate and Lightning hold them, and several of one optimizer."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.optim import lr_scheduler

from lrsched import Epochs, Schedule, Stretch
from lrsched.arguments import short
from lrsched_torch._imports.composites import count_of, leaves_of
from lrsched_torch._imports.ignite import driven_by, is_handler
from lrsched_torch._imports.leaves import refuse_feedback
from lrsched_torch._scheduler.hooks import hooked
from lrsched_torch._scheduler.scheduler import ScheduleLR
from lrsched_torch._scheduler.wanted import whole


class Pace(NamedTuple):
    """How a tool steps a scheduler.

    Args:
        unit: what it counts, "step" or "epoch".
        waits: how many of these go by until it steps the scheduler.
        steps: how many steps the scheduler takes then.
    """

    unit: str = "step"
    waits: int = 1
    steps: int = 1

    def of(self, schedule: Schedule) -> Schedule:
        """Return the schedule of what the tool counts, from that of the scheduler's own steps."""
        waited = Epochs(schedule, self.waits) if self.waits > 1 else schedule
        return Stretch(waited, 1.0 / self.steps) if self.steps > 1 else waited


class Driven(NamedTuple):
    """An optimizer, the scheduler that drives it, if any does, and the pace of that."""

    optimizer: torch.optim.Optimizer
    scheduler: Any
    pace: Pace


def optimizer_of(scheduler: Any) -> torch.optim.Optimizer:
    """Return the optimizer of a torch scheduler or of a handler of ignite."""
    if is_handler(scheduler):
        return driven_by(scheduler)  # type: ignore[no-any-return]  # of a handler, whose types are not imported
    optimizer = getattr(scheduler, "optimizer", None)
    if optimizer is None and hasattr(scheduler, "_schedulers"):  # a SequentialLR of torch 1.10 has none
        optimizer = getattr(leaves_of(scheduler)[0], "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"from_torch(scheduler) must get a torch scheduler, got {short(scheduler)}")
    return optimizer


def driven_of(found: Any) -> list[Driven]:
    """Return the optimizers in what a tool holds, in order, each with all that drives its rate as one scheduler."""
    optimizers: dict[int, torch.optim.Optimizer] = {}
    schedulers: dict[int, list[tuple[Any, Pace]]] = {}
    for one, pace in _flat(found, Pace()):
        optimizer = one if isinstance(one, torch.optim.Optimizer) else optimizer_of(one)
        key = id(hooked(optimizer))
        optimizers.setdefault(key, optimizer)
        if one is not optimizer:
            schedulers.setdefault(key, []).append((one, pace))
    if not optimizers:
        raise TypeError(f"from_torch(scheduler) must get a torch scheduler, got {short(found)}")
    return [_together(optimizer, schedulers.get(key, [])) for key, optimizer in optimizers.items()]


def _flat(found: Any, pace: Pace) -> Iterator[tuple[Any, Pace]]:
    """Yield the schedulers and the optimizers in what a tool holds."""
    kind = type(found)
    if kind.__name__ == "AcceleratedScheduler" and kind.__module__.startswith("accelerate."):
        yield from _flat(found.scheduler, pace._replace(steps=_steps_of(found)))
    elif kind.__name__ == "LRSchedulerConfig" and "lightning" in kind.__module__:
        yield from _configured(vars(found))
    elif isinstance(found, Mapping) and "scheduler" in found:
        yield from _configured(found)
    elif isinstance(found, Mapping) and "optimizer" in found:
        yield found["optimizer"], pace
        if "lr_scheduler" in found:
            yield from _flat(_by_epoch(found["lr_scheduler"]), pace)
    elif isinstance(found, list | tuple):
        lightning = len(found) == 2 and isinstance(found[0], list) and isinstance(found[1], list)
        for item in [*found[0], *map(_by_epoch, found[1])] if lightning else found:
            yield from _flat(item, pace)
    else:
        refuse_feedback(found)
        yield found, pace


def _by_epoch(scheduler: Any) -> Any:
    """Return a scheduler that stands in the configuration of an optimizer as Lightning takes it."""
    return {"scheduler": scheduler} if isinstance(scheduler, lr_scheduler.LRScheduler) else scheduler


def _configured(config: Mapping[str, Any]) -> Iterator[tuple[Any, Pace]]:
    where = "from_torch(scheduler)"
    unit, waits = config.get("interval", "epoch"), whole(f"{where}['frequency']", config.get("frequency", 1), 1)
    if unit not in ("step", "epoch"):
        raise ValueError(f"{where}['interval'] must be 'step' or 'epoch', got {short(unit)}")
    if unit == "step" and waits > 1:
        raise ValueError(
            f"{where}['frequency'] must be 1 with the interval 'step', got {waits}: Lightning counts batches from the "
            "start of each epoch, so what the rates are depends on the data"
        )
    if config.get("reduce_on_plateau"):
        raise ValueError(f"{where} must get a function of the step, got one of a metric: use lrsched.feedback")
    yield from _flat(config["scheduler"], Pace(unit, waits))


def _steps_of(prepared: Any) -> int:
    """Return how many steps accelerate lets a scheduler take for each update."""
    state = prepared.gradient_state
    if not prepared.step_with_optimizer:
        return 1
    if state.num_steps > 1 and state.adjust_scheduler and hasattr(prepared.scheduler, "total_steps"):
        raise ValueError(
            f"from_torch(scheduler) must get a scheduler without total_steps where gradients of {state.num_steps} "
            f"batches are accumulated, got a {type(prepared.scheduler).__name__}: accelerate counts the batches and "
            "stops it before its end"
        )
    # accelerate itself is not imported.
    state_of = sys.modules[type(prepared).__module__].AcceleratorState
    return 1 if prepared.split_batches else int(state_of().num_processes)


def _together(optimizer: torch.optim.Optimizer, found: list[tuple[Any, Pace]]) -> Driven:
    """Return several schedulers of one optimizer as one that steps them in their order."""
    rates = [(one, pace) for one, pace in found if not (isinstance(one, ScheduleLR) and one.field != "lr")] or found
    if not rates:
        return Driven(optimizer, None, Pace())
    (first, pace), *others = rates
    if not others:
        return Driven(optimizer, first, pace)
    kinds = [type(one).__name__ for one, _ in rates]
    if any(is_handler(one) for one, _ in rates) or len({id(one) for one, _ in rates}) < len(rates):
        raise ValueError(f"from_torch(scheduler) must get each scheduler once, and handlers one by one, got {kinds}")
    if {each for _, each in rates} != {pace}:
        raise ValueError(
            f"from_torch(scheduler) must get schedulers of an optimizer that step together, got {kinds} of which some "
            "step more often: read them one by one"
        )
    counts = [count_of(one) for one, _ in rates]
    if len(set(counts)) > 1:
        raise ValueError(
            f"from_torch(scheduler) must get schedulers of an optimizer that step together, got {kinds} after {counts} "
            "steps: read them one by one"
        )
    return Driven(optimizer, lr_scheduler.ChainedScheduler([one for one, _ in rates], first.optimizer), pace)
