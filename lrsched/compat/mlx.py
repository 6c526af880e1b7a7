"""The schedules of MLX 0.32.4, `mlx.optimizers.schedulers`, which computes them in float32."""

from collections.abc import Sequence
from typing import Annotated

from lrsched._core.check import Int, Many
from lrsched._curves import Cosine, Epochs, Exponential, Linear, Schedule
from lrsched.compat._tools import Length, Parts, Positive, Rate, checked, must, then

__all__ = ["cosine_decay", "exponential_decay", "join_schedules", "linear_schedule", "step_decay"]


@checked
def exponential_decay(init: Rate, decay_rate: Positive) -> Schedule:
    """Exponential decay, `init * decay_rate ** step`.

    Args:
        init: value at step 0, >= 0.
        decay_rate: factor per step, > 0.

    Examples:
        >>> round(exponential_decay(1.0, 0.5)(2), 12)
        0.25

    References:
        MLX 0.32.4, python/mlx/optimizers/schedulers.py; so for all of this module.
    """
    return Exponential(init, decay_rate)


@checked
def step_decay(init: Rate, decay_rate: Positive, step_size: Length) -> Schedule:
    """A staircase, `init * decay_rate ** floor(step / step_size)`.

    Args:
        init: value at step 0, >= 0.
        decay_rate: factor at each drop, > 0.
        step_size: steps between drops, >= 1.

    Examples:
        >>> step_decay(1.0, 0.5, 10)(19)
        0.5
    """
    return Epochs(Exponential(init, decay_rate), step_size)


@checked
def cosine_decay(init: Rate, decay_steps: Length, end: Rate = 0.0) -> Schedule:
    """Half a cosine from `init` to `end`.

    Args:
        init: value at step 0, >= 0.
        decay_steps: length, >= 1.
        end: value at the end and after, >= 0.

    Examples:
        >>> cosine_decay(0.1, 1000)
        Cosine(0.1, 0.0, steps=1000)
    """
    return Cosine(init, end, decay_steps)


@checked
def linear_schedule(init: Rate, end: Rate, steps: Length) -> Schedule:
    """A line from `init` to `end`.

    Args:
        init: value at step 0, >= 0.
        end: value at the end and after, >= 0.
        steps: length, >= 1.

    Examples:
        >>> linear_schedule(0.0, 0.1, 100)
        Linear(0.0, 0.1, steps=100)
    """
    return Linear(init, end, steps)


@checked
def join_schedules(schedules: Parts, boundaries: Annotated[Sequence[int], Many(Int(low=0), least=0)]) -> Schedule:
    """Schedules one after the other, each counting from its own boundary.

    Args:
        schedules: one or more schedules.
        boundaries: the step at which each of them but the first begins, in increasing order.

    Raises:
        ValueError: there is not one boundary less than schedules, or they decrease.

    Examples:
        >>> join_schedules([linear_schedule(0.0, 0.1, 10), cosine_decay(0.1, 90)], [10])
        Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.0, steps=90)
    """
    count = len(schedules) - 1
    must(len(boundaries) == count, "join_schedules(boundaries=...)", f"{count} ints", boundaries)
    must(list(boundaries) == sorted(boundaries), "join_schedules(boundaries=...)", "in increasing order", boundaries)
    schedule = schedules[-1]
    starts = [0, *boundaries]
    for i in reversed(range(count)):
        schedule = then(starts[i + 1] - starts[i], schedules[i], schedule)
    return schedule
