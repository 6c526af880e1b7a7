"""Live torch schedulers as schedules."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import torch
from torch.optim import lr_scheduler

from lrsched import Constant, Schedule
from lrsched_torch._imports.composites import count_of, first_end, flat, nested, read, starts, turn
from lrsched_torch._imports.ignite import is_handler, read_handler, torchs_of
from lrsched_torch._imports.leaves import momentum_cycle, schedules_of
from lrsched_torch._imports.momentum import cycles_momentum, field_of, momentum_of, read_momentum
from lrsched_torch._imports.tools import driven_of, optimizer_of
from lrsched_torch._imports.twin import STEPS, ahead, alike
from lrsched_torch._scheduler.wanted import exactly


@overload
def from_torch(scheduler: Any, *, momentum: Literal[False] | None = None) -> list[Schedule]: ...
@overload
def from_torch(scheduler: Any, *, momentum: Literal[True]) -> tuple[list[Schedule], list[Schedule]]: ...
def from_torch(
    scheduler: Any, *, momentum: bool | None = None
) -> list[Schedule] | tuple[list[Schedule], list[Schedule]]:
    """The schedules that a torch scheduler follows, one for each parameter group.

    The step of these schedules is the scheduler's `last_epoch`: they describe the whole run, however many steps it has
    taken. All schedulers of torch that are functions of the step are known, nested ones too, and all that
    `transformers` builds. The result is checked against the rates in the optimizer and against a copy of the scheduler,
    which takes the next steps; neither the scheduler nor the optimizer is touched. Where torch itself leaves the curve
    after the end (`OneCycleLR`, `ChainedScheduler` with a cosine), see that function of `lrsched.compat.torch`.

    Composites are read as torch runs them. In a `ChainedScheduler` a part of a `SequentialLR` that begins sets the rate
    and so takes away what the schedulers before it did (all are expected to have been built in their order). Where
    torch stops with an error, at a later part of a `SequentialLR` that is itself a composite, the rest is what was
    meant.

    `OneCycleLR` and `CyclicLR` cycle the momentum too unless told otherwise: `momentum=True` gives both lists. Momentum
    is that entry of a group, or its first beta; `ScheduleLR(..., field="momentum")` or `field="betas[0]"` drives it.

    States that older versions of torch have saved are read as they meant them.

    What tools hold is read as they step it. Several schedulers of one optimizer, in a list, are stepped one after the
    other in that order: what one writes the next finds. accelerate lets a prepared scheduler take as many steps for an
    update as there are processes, so that step t is update t. What Lightning's `configure_optimizers` returns, an
    `LRSchedulerConfig` and its dictionary count what `interval` says, epochs by default: `Epochs(schedule, n)` counts
    the updates. The groups of several optimizers follow each other. An optimizer by itself keeps its rates; a
    `RuleOptimizer` with a schedule follows that, whatever drives it.

    A handler of pytorch-ignite is read as attached to `Events.ITERATION_STARTED`, or with `use_legacy` to
    `ITERATION_COMPLETED`: step t is its event t, and what its `LRScheduler` makes of the first step is included. A
    group that it does not drive keeps the rate that it has. Fields other than "lr" are refused.

    Args:
        scheduler: an object of `torch.optim.lr_scheduler`, of `torch.optim.swa_utils`, of
            `ignite.handlers.param_scheduler`, a `ScheduleLR`, or a `FeedbackLR` with the factor that it has now; a list
            of them; accelerate's `AcceleratedScheduler`; an `LRSchedulerConfig`, or what `configure_optimizers`
            returns; or an optimizer that no scheduler drives.
        momentum: whether the momenta are wanted too; None stands for no, with a warning if the scheduler cycles them.

    Returns:
        The schedules, equal (`==`) to those that `lrsched.compat` builds from the scheduler's arguments; with
        `momentum=True` a pair, the schedules of the rates and those of the momenta.

    Raises:
        TypeError: the object is no torch scheduler, or of a class not known.
        ValueError: it calls a Python function, depends on a metric, or does not follow from its arguments, as after a
            rate was changed by hand; or the momenta are wanted of one that does not cycle them.

    Warns:
        UserWarning: it cycles the momentum, and `momentum` is None.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> from_torch(torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=100))
        [Extend(Cosine(0.1, 0.0, steps=100))]

        All that `OneCycleLR` does, by two schedulers:

        >>> from lrsched_torch import ScheduleLR
        >>> live = torch.optim.lr_scheduler.OneCycleLR(torch.optim.SGD([torch.zeros(1)], momentum=0.9), 0.1, 100)
        >>> rates, momenta = from_torch(live, momentum=True)
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
        >>> both = [ScheduleLR(sgd, rates), ScheduleLR(sgd, momenta, field="momentum")]
        >>> for _ in range(29):
        ...     sgd.step()
        ...     for scheduler in both:
        ...         scheduler.step()
        >>> sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]
        (0.1, 0.85)
    """
    if momentum is not None:
        exactly(bool, "from_torch(momentum=...)", momentum)
    rates: list[Schedule] = []
    momenta: list[Schedule] = []
    for optimizer, driver, pace in driven_of(scheduler):
        if momentum and is_handler(driver):
            raise ValueError(
                "from_torch(scheduler, momentum=True) must get a scheduler of torch, got a handler of ignite"
            )
        read_rates, read_momenta = _one(optimizer, driver, momentum)
        rates += map(pace.of, read_rates)
        momenta += map(pace.of, read_momenta)
    return (rates, momenta) if momentum else rates


def _one(
    optimizer: torch.optim.Optimizer, scheduler: Any, momentum: bool | None
) -> tuple[list[Schedule], list[Schedule]]:
    """Return the schedules of an optimizer and those of its momenta, if they are wanted."""
    own = schedules_of(optimizer)
    groups = range(len(optimizer.param_groups))
    parts = torchs_of(scheduler) if is_handler(scheduler) else [] if scheduler is None else [scheduler]
    driven = [part for part in parts if cycles_momentum(part)]
    if momentum and not driven:
        raise ValueError(
            "from_torch(scheduler, momentum=True) must get a scheduler that cycles the momentum, a OneCycleLR or "
            f"CyclicLR or one that holds it, got a {type(scheduler or optimizer).__name__}"
        )
    momenta = [read_momentum(scheduler, i, starts, momentum_cycle) for i in groups] if momentum else []
    if is_handler(scheduler):
        schedules = read_handler(scheduler, read)
    elif scheduler is None:
        schedules = [own[i] or _kept(optimizer, i) for i in groups]
    else:
        schedules = [own[i] or _read(scheduler, i) for i in groups]
        if not all(own) or momenta:
            _check(scheduler, schedules, momenta, own)
    if driven and momentum is None:
        _warn_of_momentum(field_of(driven[0].optimizer))
    return schedules, momenta


def _read(scheduler: Any, i: int) -> Schedule:
    try:
        return read(scheduler, i)
    except ValueError as error:  # of a preset that cannot say it
        if str(error).startswith("from_torch"):
            raise
        raise ValueError(
            "from_torch(scheduler) must get a scheduler whose rates follow from its arguments, got a "
            f"{type(scheduler).__name__}: {error}"
        ) from error


def _kept(optimizer: torch.optim.Optimizer, i: int) -> Schedule:
    """Return the rate of a group that nothing drives."""
    group = optimizer.param_groups[i]
    if "initial_lr" in group:
        raise ValueError(
            "from_torch(scheduler) must get the scheduler of an optimizer that has one, got the "
            f"{type(optimizer).__name__} alone"
        )
    return Constant(float(group["lr"]))


def _warn_of_momentum(field: str) -> None:
    warnings.warn(
        "from_torch(scheduler) gives the rates alone, but this scheduler cycles the momentum too: write "
        "rates, momenta = from_torch(scheduler, momentum=True) and drive both, the momenta by "
        f"ScheduleLR(optimizer, momenta, field={field!r}); momentum=False says that none are wanted",
        UserWarning,
        stacklevel=4,
    )


def _horizon(scheduler: Any, ahead: int = 0) -> float:
    """Return the last step at which torch is still on the curve; `ahead` as for its rates."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return scheduler.total_steps - 1
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        children = flat(scheduler)
        turns = [turn(child, ahead) for child in children if len(children) > 1]
        return min(*turns, *(_horizon(child, ahead) for child in children), math.inf)
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        return first_end(
            scheduler, ahead, lambda part, k: min(turn(part, k) if nested(part) else math.inf, _horizon(part, k))
        )
    return math.inf


def _check(scheduler: Any, schedules: list[Schedule], momenta: list[Schedule], own: Sequence[Schedule | None]) -> None:
    """Compare the schedules with the current rates and momenta and with the next steps of a copy.

    Groups with a schedule of their own do not take what the scheduler writes.
    """
    optimizer = optimizer_of(scheduler)
    now, last = count_of(scheduler), _horizon(scheduler)
    if now < 0:
        raise ValueError(
            f"from_torch(scheduler) must get a scheduler that has begun, got a {type(scheduler).__name__} before its "
            "turn in a SequentialLR: read the sequence"
        )
    tops = [float(np.max(schedule(np.arange(STEPS)))) for schedule in schedules]
    for step, (_, groups) in enumerate(ahead(scheduler, optimizer, lambda twin: twin.step()), now):
        if step > last:
            return
        for i, (group, schedule) in enumerate(zip(groups, schedules, strict=True)):
            if own[i] is not None:
                continue
            rate, expected = float(group["lr"]), schedule(step)
            most = max(tops[i], float(group.get("initial_lr", 0.0)))
            if not alike(rate, expected, most):
                raise ValueError(
                    f"from_torch(scheduler) must get a scheduler whose rates follow from its arguments, but group {i} "
                    f"has {rate!r} at step {step}, where {schedule!r} has {expected!r}: was the rate changed by hand?"
                )
        for i, (group, schedule) in enumerate(zip(groups, momenta, strict=False)):
            found, expected = momentum_of(group), schedule(step)
            if not alike(found, expected):
                raise ValueError(
                    f"from_torch(scheduler, momentum=True) must get a scheduler whose momenta follow from its "
                    f"arguments, but group {i} has {found!r} at step {step}, where {schedule!r} has {expected!r}"
                )
