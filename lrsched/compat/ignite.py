"""The parameter schedulers of pytorch-ignite 0.5.5, `ignite.handlers.param_scheduler`.

One step is one event of the engine to which the scheduler is attached, an iteration or an epoch. A scheduler sets the
value *before* the event that uses it (`ITERATION_STARTED`), so value t is that of update t. Values must be >= 0 here.
The wrapper `LRScheduler` drives a scheduler of PyTorch, and does its first step twice (pytorch-ignite 0.5.5). It leaves
those that count as they are (`StepLR`, `MultiStepLR`, `LambdaLR`, `OneCycleLR`). Those that multiply the rate they find
come out otherwise: `ExponentialLR`, `PolynomialLR`, `CosineAnnealingWarmRestarts` one step ahead, `LinearLR` times its
start factor, `MultiplicativeLR` times its factor of step 0, `CosineAnnealingLR` with a first value above its rate;
`lrsched_torch.ScheduleLR` does not.

An iteration is a batch: where `create_supervised_trainer(gradient_accumulation_steps=n)` makes an update of n of them,
update j has `s(n * j + n - 1)`, which is `Batches(s, n)(j)`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, TypedDict, Unpack

from lrsched._core.check import Choice, Constraint, Flag, Int, Items, Many, OneOf, OrNone, Real
from lrsched._curves import MAX_CYCLES, Complete, Constant, Cosine, Linear, Repeat, Schedule, Stretch
from lrsched.compat import torch as recipes
from lrsched.compat._tools import (
    ENOUGH,
    Count,
    Lengths,
    OnOff,
    Part,
    Parts,
    Positive,
    Rate,
    RateOrNone,
    arguments_of,
    checked,
    late,
    must,
    then,
    without_effect,
)

__all__ = [
    "ConcatScheduler",
    "CosineAnnealingScheduler",
    "LRScheduler",
    "LinearCyclicalScheduler",
    "PiecewiseLinear",
    "create_lr_scheduler_with_warmup",
]

# They multiply the rate that they find by a factor of the step alone.
_FACTORS = ("ConstantLR", "LinearLR", "MultiStepLR", "PolynomialLR", "StepLR")
_NAMES = (
    *_FACTORS,
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "SWALR",
)


@checked
def LRScheduler(
    lr_scheduler: str | Schedule,
    use_legacy: OnOff = False,
    found: RateOrNone = None,
    taken: Count = 0,
    **arguments: Any,
) -> Schedule:
    """A scheduler of torch that the wrapper of ignite drives, with what its repeated first step does.

    Building a scheduler of torch is its first step; ignite then asks it for the values of the same step again. Those
    that count or know their curve (`StepLR`, `OneCycleLR`, `CyclicLR`, `LambdaLR`) are left as they are. `ConstantLR`
    and `LinearLR` take their first factor twice, `ExponentialLR` and `PolynomialLR` run one step ahead, and so do
    `CosineAnnealingWarmRestarts`; `MultiplicativeLR` takes the factor of step 0 too; `CosineAnnealingLR` begins above
    its rate and is itself from event 1 on; `SWALR`, which counts the steps that it takes itself, stays where it is.

    Args:
        lr_scheduler: the name of the scheduler, such as "ExponentialLR"; or a schedule, for a `LambdaLR`.
        use_legacy: whether ignite calls it after each update (`ITERATION_COMPLETED`): then the curve is that of torch.
        found: rate that the optimizer has when it begins, for one that follows another schedule; None is as it leaves
            the optimizer when built.
        taken: steps that it has taken before ignite gets it.
        **arguments: those of `lrsched.compat.torch`, with `lr`; and `save_history`, without effect.

    Raises:
        ValueError: ignite stops at the scheduler, or its values are negative.

    Examples:
        >>> LRScheduler("ExponentialLR", lr=0.5, gamma=0.5)(0)
        0.25
        >>> LRScheduler("LinearLR", lr=0.5, start_factor=0.25, total_iters=10)
        Linear(0.03125, 0.125, steps=10)

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, LRScheduler.
    """
    Flag()("LRScheduler(save_history=...)", arguments.pop("save_history", False))
    if isinstance(lr_scheduler, Schedule):
        without_effect("LRScheduler", arguments, ())
        curve = Complete()("LRScheduler(lr_scheduler=...)", lr_scheduler)
        return _begun(curve, late(curve, taken + use_legacy), use_legacy, found, taken)
    name = Choice(_NAMES)("LRScheduler(lr_scheduler=...)", lr_scheduler)
    recipe = getattr(recipes, name)
    arguments = arguments_of(recipe, **arguments)
    build = partial(recipe, **arguments)
    curve = build()
    rate = curve(taken) if found is None else found
    if name == "ExponentialLR":
        lr = rate if use_legacy else rate * arguments["gamma"]
        return recipes.ExponentialLR(lr, arguments["gamma"])
    if name == "MultiplicativeLR":
        factor = late(Schedule.of(arguments["lr_lambda"]), taken)
        return recipes.MultiplicativeLR(rate if use_legacy else rate * factor(0), factor)
    if name in _FACTORS:
        return _multiplied(name, build, curve, use_legacy, rate, taken)
    if name == "SWALR":
        must(taken == 0, "LRScheduler(taken=...)", "0 for SWALR, which counts its steps itself", taken)
        end = curve(10) if arguments.get("anneal_epochs", 10) == 0 else rate
        return then(1, Constant(rate), Constant(end)) if use_legacy and rate != end else Constant(end)
    if name == "CosineAnnealingLR":
        events = _cosine(build, curve, use_legacy, rate, taken)
    else:
        events = late(curve, taken + (use_legacy or name == "CosineAnnealingWarmRestarts"))
    return _begun(curve, events, use_legacy, rate, taken)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12)


def _begun(curve: Schedule, events: Schedule, use_legacy: bool, found: float | None, taken: int) -> Schedule:
    """Return the values of the events, after that of the update before them if they come after updates."""
    if not use_legacy:
        return events
    if (found is None or _same(found, curve(taken))) and events == late(curve, taken + 1):
        return late(curve, taken)
    return Constant(curve(taken) if found is None else found, 1) >> events


def _multiplied(
    name: str, build: "partial[Schedule]", curve: Schedule, use_legacy: bool, rate: float, taken: int
) -> Schedule:
    first = taken + use_legacy  # the step whose factor event 0 takes
    if rate == 0.0:
        return Constant(0.0)
    if first:
        before = build(lr=1.0)(first - 1)
        must(before > 0.0, "LRScheduler(found=...)", f"0, as {name} is at step {first - 1}", rate)
    elif name == "PolynomialLR":
        steps = build.keywords.get("total_iters", 5)
        must(steps > 0, "LRScheduler(total_iters=...)", "an int >= 1, or torch divides by zero", steps)
        before = ((steps + 1) / steps) ** build.keywords.get("power", 1.0)
    else:
        before = 1.0
    own = use_legacy and _same(rate, curve(taken))
    return late(curve if own else build(lr=rate / before), taken)


def _cosine(build: "partial[Schedule]", curve: Schedule, use_legacy: bool, rate: float, taken: int) -> Schedule:
    lr, half, low = build.keywords["lr"], build.keywords["T_max"], build.keywords.get("eta_min", 0.0)
    first = taken + use_legacy
    turned = (first - 1 - half) % (2 * half) == 0
    if turned:
        value = rate + (lr - low) * (1.0 - math.cos(math.pi / half)) / 2
    else:
        ratio = (1.0 + math.cos(math.pi * first / half)) / (1.0 + math.cos(math.pi * (first - 1) / half))
        value = low + (rate - low) * ratio
    if taken == 0:
        # Having taken no step itself it has a closed form, save at step 0.
        if use_legacy:
            return late(curve, 1)
        must(value >= 0.0, "LRScheduler(eta_min=...)", "small enough for a first value >= 0", low)
        return Constant(value, 1) >> late(curve, 1)
    at_low = first % (2 * half) == half
    if at_low or _same(value, curve(first)):
        return late(curve, first)
    # Its swing differs by a factor until it comes to the bottom, where torch starts again from the rate.
    swing = (value - low) / ((1.0 + math.cos(math.pi * first / half)) / 2)
    bottom = (first // half | 1) * half
    if bottom < first:
        bottom += 2 * half
    return then(bottom - first, late(build(lr=low + swing), first), late(curve, bottom))


class HandlerArguments(TypedDict, total=False):
    """What most schedulers of ignite take and leaves the curve as it is."""

    param_name: Annotated[str, OneOf(str, "a text")]
    save_history: OnOff
    param_group_index: Annotated[int | None, OrNone(Int())]


CycleSize = Annotated[int, Int(low=2)]
Shape = Callable[[float, float, int], Schedule]


def _cycle(shape: Shape, start: float, end: float, size: int, warmup: int, again: float) -> Schedule:
    """Return one cycle: from `start` to `end`, then the warm-up to `again`, the start of the next."""
    curve = shape(start, end, size)
    return curve >> Linear(end, again, warmup) if warmup else curve


def _cyclical(
    where: str,
    shape: Shape,
    start: float,
    end: float,
    size: int,
    growth: float,
    start_mult: float,
    end_mult: float,
    warmup: int,
) -> Schedule:
    if growth == int(growth):
        if start_mult == end_mult == 1.0:
            return Repeat(_cycle(shape, start, end, size, warmup, start), stretch=growth)
        # The parts of the two ends grow by factors of their own.
        falling = Repeat(_cycle(shape, start, 0.0, size, warmup, start * start_mult), stretch=growth, scale=start_mult)
        return falling + Repeat(_cycle(shape, 0.0, end, size, warmup, 0.0), stretch=growth, scale=end_mult)
    must(growth >= 1.0, f"{where}(cycle_mult=...)", "a number >= 1, or the cycles shrink to nothing", growth)
    label = f"{where}(cycle_mult=...)"

    def falling_part(scale: float, n: int, w: int) -> Schedule:
        return _cycle(shape, start * scale, 0.0, n, w, start * scale * start_mult)

    def rising_part(scale: float, n: int, w: int) -> Schedule:
        return _cycle(shape, 0.0, end * scale, n, w, 0.0)

    if start_mult == end_mult == 1.0:
        return _rounded(lambda _, n, w: _cycle(shape, start, end, n, w, start), size, warmup, growth, 1.0, label)
    fall = _rounded(falling_part, size, warmup, growth, start_mult, label)
    return fall + _rounded(rising_part, size, warmup, growth, end_mult, label)


def _rounded(
    make: Callable[[float, int, int], Schedule], size: int, warmup: int, growth: float, factor: float, label: str
) -> Schedule:
    """Return cycles whose two lengths are each rounded down when they grow."""
    parts: list[Schedule] = []
    begin, scale = 0, 1.0
    # What grows beyond all numbers is held there.
    while begin < ENOUGH and scale < 1e290:
        must(len(parts) < MAX_CYCLES, label, f"large enough for at most {MAX_CYCLES} cycles", growth)
        part = make(scale, size, warmup)
        if int(size * growth) == size and int(warmup * growth) == warmup:
            parts.append(Repeat(part, scale=factor))
            break
        parts.append(part)
        begin += size + warmup
        size, warmup, scale = int(size * growth), int(warmup * growth), scale * factor
    return Schedule.sequence(parts)


@checked
def LinearCyclicalScheduler(
    start_value: Rate,
    end_value: Rate,
    cycle_size: CycleSize,
    cycle_mult: Positive = 1.0,
    start_value_mult: Positive = 1.0,
    end_value_mult: Positive = 1.0,
    warmup_duration: Count = 0,
    monotonic: OnOff = False,
    **same: Unpack[HandlerArguments],
) -> Schedule:
    """A triangular wave from `start_value` to `end_value` and back, or with `monotonic` a saw that goes there only.

    The next cycle lasts `int(cycle_size * cycle_mult)` events.

    Args:
        start_value: value at the start of the first cycle, >= 0.
        end_value: value in the middle of the first cycle (at its end, if `monotonic`), >= 0.
        cycle_size: events of the first cycle, at least 2; an odd one has its tip between two events.
        cycle_mult: factor of the length from cycle to cycle; here at least 1.
        start_value_mult: factor of `start_value` from cycle to cycle, > 0.
        end_value_mult: factor of `end_value` from cycle to cycle, > 0.
        warmup_duration: events of a line to the next cycle's start, after each cycle; only with `monotonic`.
        monotonic: whether a cycle only goes from `start_value` to `end_value`.
        **same: `param_name`, `save_history`, `param_group_index`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or `warmup_duration` comes without `monotonic`.

    Examples:
        >>> import numpy as np
        >>> LinearCyclicalScheduler(start_value=0.0, end_value=1.0, cycle_size=4)(np.arange(6))
        array([0. , 0.5, 1. , 0.5, 0. , 0.5])

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, LinearCyclicalScheduler.
    """
    where = "LinearCyclicalScheduler"
    must(monotonic or warmup_duration == 0, f"{where}(warmup_duration=...)", "0 unless monotonic", warmup_duration)

    def triangle(start: float, end: float, size: int) -> Schedule:
        if size % 2:
            return Stretch(Linear(start, end, size) >> Linear(end, start, size), 0.5)
        return Linear(start, end, size // 2) >> Linear(end, start, size // 2)

    shape: Shape = Linear if monotonic else triangle
    ends = (start_value, end_value, cycle_size, cycle_mult, start_value_mult, end_value_mult, warmup_duration)
    return _cyclical(where, shape, *ends)


@checked
def CosineAnnealingScheduler(
    start_value: Rate,
    end_value: Rate,
    cycle_size: CycleSize,
    cycle_mult: Positive = 1.0,
    start_value_mult: Positive = 1.0,
    end_value_mult: Positive = 1.0,
    warmup_duration: Count = 0,
    **same: Unpack[HandlerArguments],
) -> Schedule:
    """Half a cosine from `start_value` to `end_value`, again and again: it restarts unless another schedule follows.

    Args:
        start_value: value at the start of the first cycle, >= 0.
        end_value: value that the first cycle approaches, >= 0.
        cycle_size: events of the first cycle, at least 2.
        cycle_mult: factor of the length from cycle to cycle, rounded down each time; here at least 1.
        start_value_mult: factor of `start_value` from cycle to cycle, > 0.
        end_value_mult: factor of `end_value` from cycle to cycle, > 0.
        warmup_duration: events of a line to the next cycle's start, after each cycle.
        **same: `param_name`, `save_history`, `param_group_index`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> CosineAnnealingScheduler(0.1, 0.0, cycle_size=10)
        Repeat(Cosine(0.1, 0.0, steps=10))

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, CosineAnnealingScheduler.
    """
    where = "CosineAnnealingScheduler"
    ends = (start_value, end_value, cycle_size, cycle_mult, start_value_mult, end_value_mult, warmup_duration)
    return _cyclical(where, Cosine, *ends)


@checked
def ConcatScheduler(schedulers: Parts, durations: Lengths, **same: Any) -> Schedule:
    """Schedules one after the other, each counting from its own zero.

    Args:
        schedulers: two or more schedules.
        durations: events that each of them but the last takes, at least 1.
        **same: `save_history`, which leaves the curve as it is.

    Raises:
        ValueError: there are fewer than two schedules, or not one duration less.

    Examples:
        >>> ConcatScheduler([Constant(0.1), CosineAnnealingScheduler(0.1, 0.0, 10)], durations=[5])
        Hold(Constant(0.1), steps=5) >> Repeat(Cosine(0.1, 0.0, steps=10))

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, ConcatScheduler.
    """
    without_effect("ConcatScheduler", same, {"save_history": Flag()})
    must(len(schedulers) > 1, "ConcatScheduler(schedulers=...)", "two or more schedules", schedulers)
    count = len(schedulers) - 1
    must(len(durations) == count, "ConcatScheduler(durations=...)", f"{count} ints", durations)
    schedule = schedulers[-1]
    for part, duration in zip(schedulers[-2::-1], durations[::-1], strict=True):
        schedule = then(duration, part, schedule)
    return schedule


_POINT = Items((Int(), Real(low=0.0)), "a pair (event, value)")


@checked
def PiecewiseLinear(
    milestones_values: Annotated[Sequence[tuple[int, float]], Many(_POINT)],
    **same: Unpack[HandlerArguments],
) -> Schedule:
    """Straight lines between points, level before the first and after the last.

    Args:
        milestones_values: pairs of event and value, events increasing; two points at one event make a jump.
        **same: `param_name`, `save_history`, `param_group_index`, which leave the curve as it is.

    Raises:
        ValueError: there is no point, or the events decrease.

    Examples:
        >>> PiecewiseLinear(milestones_values=[(10, 0.5), (20, 0.25)])
        Constant(0.5, steps=10) >> Linear(0.5, 0.25, steps=10)

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, PiecewiseLinear.
    """
    where = "PiecewiseLinear(milestones_values=...)"
    steps, values = (list(column) for column in zip(*milestones_values, strict=True))
    must(steps == sorted(steps), where, "in increasing order of the events", milestones_values)
    schedule: Schedule = Constant(values[-1])
    lines = list(zip(pairwise(steps), pairwise(values), strict=True))
    for i, ((a, b), (start, end)) in enumerate(reversed(lines)):
        line = Linear(start, end, b - a) if b > a else None
        schedule = schedule if line is None else line if i == 0 else line >> schedule
    return then(steps[0], Constant(values[0], max(steps[0], 1)), schedule)


@checked
def create_lr_scheduler_with_warmup(
    lr_scheduler: Part,
    warmup_start_value: Rate,
    warmup_duration: CycleSize,
    warmup_end_value: RateOrNone = None,
    **same: Any,
) -> Schedule:
    """A linear warm-up whose last event has its end value: the line has `warmup_duration - 1` steps.

    A schedule that begins with the end value takes over at event `warmup_duration - 1`, any other one event later.

    Args:
        lr_scheduler: the schedule after the warm-up, one of torch or of ignite.
        warmup_start_value: value at event 0, >= 0.
        warmup_duration: events of the warm-up, at least 2.
        warmup_end_value: value at event `warmup_duration - 1`; None stands for the first value of `lr_scheduler`
            (ignite takes the optimizer's rate, which for a schedule of torch is the same).
        **same: `save_history`, `output_simulated_values`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> create_lr_scheduler_with_warmup(Constant(1.0), 0.0, warmup_duration=3)
        Linear(0.0, 1.0, steps=2) >> Constant(1.0)

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, create_lr_scheduler_with_warmup.
    """
    simulated = OrNone(OneOf(list, "a list"))
    known: dict[str, Constraint] = {"save_history": Flag(), "output_simulated_values": simulated}
    without_effect("create_lr_scheduler_with_warmup", same, known)
    first = lr_scheduler(0)
    end = first if warmup_end_value is None else warmup_end_value
    line = Linear(warmup_start_value, end, warmup_duration - 1)
    return then(line.steps if end == first else warmup_duration, line, lr_scheduler)
