"""The schedulers of SpeechBrain that are staircases: by epochs, and by a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lrsched._core.check import MAX_STEPS, Int, Real
from lrsched._curves.cycles import Repeat
from lrsched._curves.decays import Exponential
from lrsched._curves.modifiers import Epochs, Stretch
from lrsched._curves.ramps import Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import Length, Rate, RateOrNone, checked, must
from lrsched.compat._tools.pieces import late, stairs
from lrsched.compat._tools.reading import number


def after_the_first(first: float, schedule: Schedule) -> Schedule:
    """Return the schedule, but the rate of the optimizer at step 0."""
    return Constant(first, 1) >> late(schedule, 1)


def _by_epoch(schedule: Schedule, updates: int) -> Schedule:
    return Epochs(schedule, updates) if updates > 1 else schedule


@checked
def LinearScheduler(
    initial_value: Rate, final_value: Rate, epoch_count: Length, *, lr: RateOrNone = None, updates_per_epoch: Length = 1
) -> Schedule:
    """A line over the epochs, of which the last has `final_value`.

    SpeechBrain takes the values from a table in float32; here they are exact.

    Args:
        initial_value: rate of epoch 0, >= 0.
        final_value: rate of epoch `epoch_count - 1` and of all later ones, >= 0.
        epoch_count: number of values; with 1 there is the first alone.
        lr: rate of the optimizer, which epoch 0 uses; None stands for `initial_value`.
        updates_per_epoch: updates of an epoch; 1 makes a step an epoch.

    Examples:
        >>> s = LinearScheduler(1.0, 0.0, 5)
        >>> [s(t) for t in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    References:
        SpeechBrain 1.1.2, nnet/schedulers.py; so for all schedulers of SpeechBrain.
    """
    line: Schedule = Constant(initial_value)
    if epoch_count > 1:
        line = Linear(initial_value, final_value, epoch_count - 1)
    if lr is not None:
        line = after_the_first(lr, line)
    return _by_epoch(line, updates_per_epoch)


@checked
def StepScheduler(
    initial_value: Rate,
    decay_factor: RateOrNone = None,
    decay_drop: RateOrNone = None,
    half_life: Annotated[float | None, Real(low=0.0, optional=True)] = None,
    *,
    lr: RateOrNone = None,
    updates_per_epoch: Length = 1,
) -> Schedule:
    """A staircase over the epochs: `initial_value * decay_factor ** floor((epoch + 1) / decay_drop)`.

    Args:
        initial_value: the rate before the first drop, >= 0.
        decay_factor: factor of a drop, >= 0; None and 0 stand for 0.5.
        decay_drop: epochs between drops, >= 0; need not be whole; None and 0 stand for 2.
        half_life: the epochs in which the rate halves, instead of the two; None and 0 stand for no such number.
        lr: rate of the optimizer, which epoch 0 uses; None stands for `initial_value`.
        updates_per_epoch: updates of an epoch; 1 makes a step an epoch.

    Raises:
        ValueError: an argument is out of range, or `half_life` comes with one of the other two.

    Examples:
        >>> s = StepScheduler(1.0)
        >>> [s(t) for t in range(4)]
        [1.0, 0.5, 0.5, 0.25]
    """
    if half_life:
        alone = not decay_factor and not decay_drop
        must(alone, "StepScheduler(half_life=...)", "None where decay_factor or decay_drop is given", half_life)
        curve: Schedule = Exponential(initial_value, math.exp(-math.log(2) / half_life))
    else:
        curve = _drops(initial_value, decay_factor or 0.5, decay_drop or 2.0)
    first = initial_value if lr is None else lr
    return _by_epoch(after_the_first(first, late(curve, 1)), updates_per_epoch)


def _drops(start: float, factor: float, every: float) -> Schedule:
    """Return `start * factor ** floor(n / every)`."""
    if every == int(every):
        return Epochs(Exponential(start, factor), int(every)) if every > 1 else Exponential(start, factor)
    must(1e-6 <= every <= 1e6, "StepScheduler(decay_drop=...)", "from 1e-6 to 1e6 if it is not whole", every)
    # Repeat rounds the quotient before its floor, as the library does: 3 / 0.1 is 30.0, though 3 // 0.1 is 29.0.
    return Stretch(Repeat(Constant(start, 1), scale=factor), every)


def _interval(where: str, item: Any) -> tuple[int, float]:
    if not isinstance(item, Mapping) or set(item) != {"steps", "lr"}:
        raise TypeError(f"{where} must be a dictionary of 'steps' and 'lr', got {item!r}")
    steps = Int(low=-MAX_STEPS)(f"{where}['steps']", number(Int(), item["steps"]))
    rate = Real(low=0.0)(f"{where}['lr']", number(Real(), item["lr"]))
    return steps or 0, rate or 0.0


@checked
def IntervalScheduler(lr: Rate, intervals: Sequence[Mapping[str, Any]]) -> Schedule:
    """A table of rates and of the updates from which they count.

    An interval out of order begins one update after the one before it in the list; one that begins at step 0 or before
    is left out.

    Args:
        lr: rate of the optimizer, which holds until the first interval begins.
        intervals: dictionaries of "steps", the update from which on the rate counts, and "lr", the rate.

    Raises:
        TypeError: an interval is no such dictionary.
        ValueError: a rate is negative.

    Examples:
        >>> IntervalScheduler(0.1, [{"steps": 5, "lr": 0.05}, {"steps": 9, "lr": 0.01}])
        Constant(0.1, steps=5) >> Constant(0.05, steps=4) >> Constant(0.01)
    """
    where = "IntervalScheduler(intervals=...)"
    if not isinstance(intervals, list | tuple):
        raise TypeError(f"{where} must be a list of dictionaries, got {intervals!r}")
    table = [_interval(f"{where}[{i}]", item) for i, item in enumerate(intervals)]
    begins: list[int] = []
    rates = [lr]
    for steps, rate in table:
        if steps > 0:
            begins.append(max(steps, begins[-1] + 1) if begins else steps)
            rates.append(rate)
    return stairs(begins, rates)
