"""The parameter schedulers of pytorch-ignite, as schedules; ignite itself is not imported."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lrsched import Constant, Schedule, Shift
from lrsched.compat import ignite as recipes
from lrsched_torch._imports.leaves import ARGUMENTS
from lrsched_torch._imports.twin import STEPS, ahead, alike

Read = Callable[[Any, int], Schedule]

_CYCLIC = ("LinearCyclicalScheduler", "CosineAnnealingScheduler")
_COMPOSED = ("ConcatScheduler", "ParamGroupScheduler")
_LEAVES = (*_CYCLIC, "LRScheduler", "PiecewiseLinear")
# Under which names a scheduler of torch that multiplies keeps its arguments.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "ExponentialLR": ("gamma",),
    "MultiStepLR": ("gamma",),
    "MultiplicativeLR": (),
    "SWALR": ("anneal_epochs",),
    **ARGUMENTS,
}


def is_handler(thing: Any) -> bool:
    """Return whether an object is a handler of ignite that schedules something."""
    kind = type(thing)
    return kind.__module__.startswith("ignite.") and kind.__name__.endswith(("Scheduler", "PiecewiseLinear"))


def read_handler(handler: Any, read: Read) -> list[Schedule]:
    """Return the schedule of each parameter group; `read` reads the schedulers of torch in it."""
    optimizer = driven_by(handler)
    schedules: list[Schedule] = []
    for i, group in enumerate(optimizer.param_groups):
        rate = float(group["lr"])
        if not _drives(handler, i):
            schedules.append(Constant(rate))
            continue
        begun = _now(handler, i) > 0
        schedules.append(_one(handler, i, _built(handler, i, read) if begun else rate, read)[0])
    _check(handler, optimizer, schedules)
    return schedules


def _refused(what: str) -> ValueError:
    return ValueError(f"from_torch(scheduler) must get {what}")


def _parts(handler: Any) -> Iterator[Any]:
    """Yield the simple schedulers that a handler consists of, in order."""
    name = type(handler).__name__
    if name in _COMPOSED and is_handler(handler):
        for part in handler.schedulers:
            yield from _parts(part)
    elif name in _LEAVES and is_handler(handler) and hasattr(handler, "optimizer"):
        yield handler
    elif name == "ReduceLROnPlateauScheduler":
        raise _refused(f"a function of the step, got a {name}: use lrsched.feedback.Plateau with a FeedbackLR")
    else:
        raise TypeError(f"from_torch(scheduler) must get a scheduler of an optimizer's rates, got a {name} of ignite")


def torchs_of(handler: Any) -> list[Any]:
    """Return the schedulers of torch in a handler."""
    return [_of_torch(part) for part in _parts(handler) if type(part).__name__ == "LRScheduler"]


def driven_by(handler: Any) -> Any:
    """Return the optimizer whose rates a handler sets."""
    parts = list(_parts(handler))
    for part in parts:
        if part.param_name != "lr":
            raise _refused(
                f"a scheduler of 'lr', got one of {part.param_name!r}: build its curve with lrsched.compat.ignite and "
                f"drive it by ScheduleLR(..., field={part.param_name!r})"
            )
    if len({id(part.optimizer) for part in parts}) != 1:
        raise _refused("a ParamGroupScheduler of one optimizer, got several: read its schedulers one by one")
    if len({id(part) for part in parts}) != len(parts):
        raise _refused(f"each scheduler once, got one twice in {[type(part).__name__ for part in parts]}")
    return parts[0].optimizer


def _drives(handler: Any, i: int) -> bool:
    """Return whether a handler sets the rate of group i."""
    for part in _parts(handler):
        groups = range(len(part.optimizer.param_groups))
        if part.param_group_index is None or groups[part.param_group_index] == i:
            return True
    return False


def _driver(handler: Any, i: int) -> Any:
    """Return which of the schedulers side by side has the last word on group i."""
    return [part for part in handler.schedulers if _drives(part, i)][-1]


def _one(handler: Any, i: int, found: float | None, read: Read) -> tuple[Schedule, bool]:
    """Return the schedule of a group where the rate `found` is, and whether it holds the value before the first."""
    name = type(handler).__name__
    if name == "ParamGroupScheduler":
        return _one(_driver(handler, i), i, found, read)
    if name == "ConcatScheduler":
        return _concatenated(handler, i, found, read), False
    if name == "LRScheduler":
        return _wrapped(handler, i, found, read)
    if name == "PiecewiseLinear":
        return recipes.PiecewiseLinear(list(zip(handler.milestones, handler.values, strict=True))), False
    rest = {"monotonic": handler.monotonic} if name == "LinearCyclicalScheduler" else {}
    return getattr(recipes, name)(**_cycle(handler), **rest), False


def _cycle(handler: Any) -> dict[str, Any]:
    """Return the arguments of a cyclical scheduler, which has changed them from cycle to cycle."""
    done = handler.cycle
    turned = done + (handler.event_index > handler.cycle_size)  # the start changes ahead of the warm-up
    return {
        "start_value": _first_value(handler.start_value, handler.start_value_mult, turned),
        "end_value": _first_value(handler.end_value, handler.end_value_mult, done),
        "cycle_size": _first_sizes(handler.cycle_size, handler.cycle_mult, done)[0],
        "cycle_mult": handler.cycle_mult,
        "start_value_mult": handler.start_value_mult,
        "end_value_mult": handler.end_value_mult,
        "warmup_duration": _first_sizes(handler.warmup_duration, handler.cycle_mult, done)[0],
    }


def _first_value(value: float, factor: float, times: int) -> float:
    """Return the number that was multiplied: of those that give the value exactly, that with the fewest digits."""
    if times == 0 or factor == 1.0:
        return value
    guess = value
    for _ in range(times):
        guess /= factor
    for digits in range(1, 18):
        candidate = again = float(f"{guess:.{digits}g}")
        for _ in range(times):
            again *= factor
        if again == value:
            return candidate
    return guess


def _first_sizes(size: int, factor: float, times: int) -> list[int]:
    """Return the lengths of the cycles so far; growing by at least 1 and rounding down has one origin."""
    sizes = [size]
    for _ in range(times):
        guess = int(sizes[0] / factor)
        origins = [n for n in range(max(guess - 1, 0), guess + 3) if int(n * factor) == sizes[0]]
        sizes.insert(0, origins[0] if origins else sizes[0])
    return sizes


def _of_torch(handler: Any) -> Any:
    """Return the scheduler of torch in an `LRScheduler`, which wraps warm restarts once more."""
    return getattr(handler.lr_scheduler, "_lr_scheduler", handler.lr_scheduler)


def _wrapped(handler: Any, i: int, found: float | None, read: Read) -> tuple[Schedule, bool]:
    inner = _of_torch(handler)
    name = type(inner).__name__ if type(inner).__module__.startswith("torch.") else ""
    if name in ("SequentialLR", "ChainedScheduler"):
        raise _refused(f"an LRScheduler with which ignite can run, got one of a {name}, at which it stops")
    # Raises where the curve is none.
    curve = None if name in _ARGUMENTS else read(inner, i)
    if name == "CosineAnnealingWarmRestarts":
        taken, legacy = _restarted(inner, handler.event_index)
    else:
        # Each event counts one, the steps that torch took itself count elsewhere too; one more is ahead of them.
        begun = inner.last_epoch - handler.event_index
        legacy = begun == inner._step_count
        taken = begun - legacy
    if curve is not None:
        return recipes.LRScheduler(curve, use_legacy=legacy, found=found, taken=taken), legacy
    arguments: dict[str, Any] = {key: getattr(inner, key) for key in _ARGUMENTS[name]}
    arguments["lr"] = float(inner.base_lrs[i])
    if name == "MultiStepLR":
        arguments["milestones"] = sorted(inner.milestones.elements())
    if name == "MultiplicativeLR":
        arguments["lr_lambda"] = inner.lr_lambdas[i]
    if name == "SWALR":
        arguments["swa_lr"] = float(inner.optimizer.param_groups[i]["swa_lr"])
    return recipes.LRScheduler(name, use_legacy=legacy, found=found, taken=taken, **arguments), legacy


def _restarted(inner: Any, events: int) -> tuple[int, bool]:
    """Return the steps taken before the first event, and whether one was counted ahead without being taken."""
    begun = inner.last_epoch - 2 * events  # an event counts twice
    if inner.T_0 == inner.T_mult == 1:
        ahead = int(begun > 0)  # all its values are one
    elif inner.T_mult == 1:
        ahead = (begun + events - inner.T_cur) % inner.T_0
    else:
        ahead = begun + events - inner.T_cur - inner.T_0 * (inner.T_i // inner.T_0 - 1) // (inner.T_mult - 1)
    return begun - (ahead == 1), ahead == 1


def _built(handler: Any, i: int, read: Read) -> float | None:
    """Return the rate that the schedulers of torch in a handler leave when they are built in their order."""
    inners = torchs_of(handler)
    if len(inners) < 2:
        return None
    first = rate = float(inners[0].base_lrs[i])
    for inner in inners:
        name, base = type(inner).__name__, float(inner.base_lrs[i])
        if name == "SWALR":
            start = rate if inner.anneal_epochs else float(inner.optimizer.param_groups[i]["swa_lr"])
        else:
            start = read(inner, i)(0)
        if name in set(_ARGUMENTS) - {"CosineAnnealingWarmRestarts", "SWALR"}:
            rate *= start / base if base else 0.0
        else:
            # A second `CyclicLR` writes the rate that the first scheduler found.
            rate = first if name == "CyclicLR" else start
        first = start if name == "OneCycleLR" else first
    return rate


def _concatenated(handler: Any, i: int, found: float | None, read: Read) -> Schedule:
    durations = [*handler.durations, 1]
    parts: list[Schedule] = []
    lasts: list[int] = []
    for part, duration in zip(handler.schedulers, durations, strict=True):
        schedule, early = _one(part, i, found, read) if _drives(part, i) else (Constant(found or 0.0), False)
        if early and parts:
            # It holds the value before its own first: the last of the part before.
            lasts[-1] -= 1
            duration += 1
        elif early:
            schedule = Shift(schedule, 1)
        if len(parts) == 1 and type(handler.schedulers[0]).__name__ == "ParamGroupScheduler":
            parts[0], lasts[0] = _warm_up(_driver(handler.schedulers[0], i), lasts[0], early, parts[0], schedule)
        parts.append(schedule)
        lasts.append(duration)
        found = schedule(duration - 1)
    kept = [(part, last) for part, last in zip(parts, lasts, strict=True) if last > 0]
    if len(kept) == 1:
        return kept[0][0]
    return recipes.ConcatScheduler([part for part, _ in kept], [last for _, last in kept[:-1]])


def _warm_up(line: Any, duration: int, early: bool, part: Schedule, rest: Schedule) -> tuple[Schedule, int]:
    """Return the warm-up of `create_lr_scheduler_with_warmup` and its length, as it was asked for."""
    if type(line).__name__ != "PiecewiseLinear" or line.milestones[0] != 0:
        return part, duration
    milestones, values = line.milestones, line.values
    if early:
        # The point after the end is the first rate of a scheduler of torch, which has its turn there.
        steps = duration - 1
        if milestones == [0, steps, duration] and steps:
            return recipes.PiecewiseLinear(list(zip(milestones[:2], values[:2], strict=True))), duration
        if milestones == [0, duration] and math.isclose(values[1], rest(0), rel_tol=1e-12):
            return recipes.PiecewiseLinear([(0, values[0]), (duration, rest(0))]), duration
    elif milestones == [0] and duration == 1:
        return recipes.PiecewiseLinear([(0, values[0]), (1, rest(0))]), 1
    elif milestones == [0, duration - 1]:
        # A schedule that begins with the end of the line has taken that event over.
        end = values[0] + (values[1] - values[0]) * duration / (duration - 1)
        if math.isclose(end, rest(0), rel_tol=1e-9, abs_tol=1e-12 * max(values)):
            return recipes.PiecewiseLinear([(0, values[0]), (duration, rest(0))]), duration
    return part, duration


def _now(handler: Any, i: int) -> int:
    """Return how many events a handler has seen."""
    name = type(handler).__name__
    if name == "ParamGroupScheduler":
        return _now(_driver(handler, i), i)
    if name == "ConcatScheduler":
        index, left = handler._scheduler_index, handler._current_duration
        durations = [*handler.durations, -1]
        return int(sum(durations[: index + 1]) - left)
    if name not in _CYCLIC:
        return int(handler.event_index)
    past = sum(
        sum(_first_sizes(size, handler.cycle_mult, handler.cycle)[:-1])
        for size in (handler.cycle_size, handler.warmup_duration)
    )
    return int(past + handler.event_index)


def _check(handler: Any, optimizer: Any, schedules: list[Schedule]) -> None:
    """Compare the schedules with what a copy of the handler sets at the next events."""
    driven = [i for i in range(len(schedules)) if _drives(handler, i)]
    starts = {i: _now(handler, i) + _is_early(handler, i) for i in driven}
    peaks = {i: float(np.max(schedules[i](np.arange(starts[i] + STEPS)))) for i in driven}
    for event, (twin, groups) in enumerate(ahead(handler, optimizer, lambda twin: twin(None)), -1):
        for i in driven if event >= 0 else ():
            rate, expected = float(groups[i]["lr"]), schedules[i](starts[i] + event)
            if not alike(rate, expected, peaks[i]):
                raise _refused(
                    f"a scheduler whose rates follow from its arguments, but group {i} has {rate!r} at step "
                    f"{starts[i] + event}, where {schedules[i]!r} has {expected!r}: was the rate changed by hand?"
                )
        if any(_ended(part) for part in _parts(twin)):
            return


def _is_early(handler: Any, i: int) -> bool:
    """Return whether a handler sets its values after the updates."""
    part = _driver(handler, i) if type(handler).__name__ == "ParamGroupScheduler" else handler
    if type(part).__name__ != "LRScheduler":
        return False
    inner = _of_torch(part)
    if type(inner).__name__ == "CosineAnnealingWarmRestarts":
        return _restarted(inner, part.event_index)[1]
    return bool(inner.last_epoch - part.event_index == inner._step_count)


def _ended(part: Any) -> bool:
    """Return whether torch leaves the curve of a `OneCycleLR` at the next event, one before it stops."""
    inner: Any = getattr(part, "lr_scheduler", None)
    return type(inner).__name__ == "OneCycleLR" and bool(inner.last_epoch >= inner.total_steps)
