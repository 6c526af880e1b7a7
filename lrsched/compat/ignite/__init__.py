"""The parameter schedulers of pytorch-ignite 0.5.5, `ignite.handlers.param_scheduler`.

One step is one event of the engine to which the scheduler is attached, an iteration or an epoch. A scheduler sets the
value *before* the event that uses it (`ITERATION_STARTED`), so value t is that of update t. Values must be >= 0 here.
The wrapper `LRScheduler` drives a scheduler of PyTorch, and does its first step twice (pytorch-ignite 0.5.5). It leaves
those that count as they are (`StepLR`, `MultiStepLR`, `LambdaLR`, `OneCycleLR`). Those that multiply the rate they find
come out otherwise: `ExponentialLR`, `PolynomialLR`, `CosineAnnealingWarmRestarts` one step ahead, `LinearLR` times its
start factor, `CosineAnnealingLR` with a first value above its rate; `lrsched_torch.ScheduleLR` does not.

An iteration is a batch: where `create_supervised_trainer(gradient_accumulation_steps=n)` makes an update of n of them,
update j has `s(n * j + n - 1)`, which is `Batches(s, n)(j)`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any

from lrsched._core.check import Constraint, Flag, Int
from lrsched._curves.cycles import MAX_CYCLES, Repeat
from lrsched._curves.modifiers import Stretch
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import (
    Count,
    Kind,
    Lengths,
    OnOff,
    Part,
    Parts,
    Positive,
    Rate,
    RateOrNone,
    checked,
    must,
    without_effect,
)
from lrsched.compat._tools.pieces import ENOUGH, then
from lrsched.compat.ignite.driven import LRScheduler

__all__ = [
    "ConcatScheduler",
    "CosineAnnealingScheduler",
    "LRScheduler",
    "LinearCyclicalScheduler",
    "PiecewiseLinear",
    "create_lr_scheduler_with_warmup",
]

_SAME: dict[str, Constraint] = {
    "param_name": Kind((str,), "a text"),
    "save_history": Flag(),
    "param_group_index": Int(optional=True),
}
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
    return parts[0] if len(parts) == 1 else Schedule.sequence(parts)


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
    **same: Any,
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
    without_effect(where, same, _SAME)
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
    **same: Any,
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
    without_effect(where, same, _SAME)
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


@checked
def PiecewiseLinear(milestones_values: Sequence[tuple[int, float]], **same: Any) -> Schedule:
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
    without_effect("PiecewiseLinear", same, _SAME)
    must(len(milestones_values) > 0, where, "one or more pairs (event, value)", milestones_values)
    for pair in milestones_values:
        must(len(pair) == 2, where, "pairs (event, value)", pair)
    steps = [Int()(f"{where}[{i}][0]", pair[0]) or 0 for i, pair in enumerate(milestones_values)]
    values = [pair[1] for pair in milestones_values]
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
    simulated = Kind((list, type(None)), "a list or None")
    known: dict[str, Constraint] = {"save_history": Flag(), "output_simulated_values": simulated}
    without_effect("create_lr_scheduler_with_warmup", same, known)
    first = lr_scheduler(0)
    end = first if warmup_end_value is None else warmup_end_value
    line = Linear(warmup_start_value, end, warmup_duration - 1)
    return then(line.steps if end == first else warmup_duration, line, lr_scheduler)
