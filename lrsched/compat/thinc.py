"""The schedules of Thinc 9.1.1, `thinc.schedules`, which spaCy uses.

`plateau` listens to a score and is no function of the step.
"""

from typing import Annotated

from lrsched._core.check import Real, Steps
from lrsched._curves import (
    Constant,
    Exponential,
    Extend,
    InverseTime,
    Linear,
    Maximum,
    Minimum,
    Schedule,
    Stretch,
    Triangular,
)
from lrsched.compat._tools import Count, Length, Part, Positive, Rate, checked, late, must, then, warmed

__all__ = [
    "compounding",
    "constant",
    "constant_then",
    "cyclic_triangular",
    "decaying",
    "slanted_triangular",
    "warmup_linear",
]


@checked
def constant(rate: Rate) -> Schedule:
    """The same rate at every step.

    Args:
        rate: the rate, >= 0.

    Examples:
        >>> constant(0.1)
        Constant(0.1)

    References:
        Thinc 9.1.1, schedules.py; so for all of this module.
    """
    return Constant(rate)


@checked
def constant_then(rate: Rate, steps: Count, schedule: Part) -> Schedule:
    """A rate for `steps` steps, then a schedule that has counted from step 0 all the time.

    Args:
        rate: the rate, >= 0.
        steps: how long it holds.
        schedule: what follows.

    Examples:
        >>> constant_then(0.1, 5, decaying(1.0, 0.1))(10)
        0.5
    """
    return then(steps, rate, late(schedule, steps))


@checked
def decaying(base_rate: Rate, decay: Rate, *, t: Rate = 0.0) -> Schedule:
    """Inverse time decay, `base_rate / (1 + decay * (step + t))`.

    Args:
        base_rate: the rate at step `-t`, >= 0.
        decay: growth of the divisor per step, >= 0.
        t: steps gone before step 0, >= 0.

    Examples:
        >>> decaying(1.0, 0.1)(10)
        0.5
    """
    gone = 1.0 + decay * t
    return InverseTime(base_rate / gone, decay / gone)


@checked
def compounding(start: Rate, stop: Rate, compound: Positive, *, t: Rate = 0.0) -> Schedule:
    """Exponential growth or decay up to `stop`, `start * compound ** (step + t)`.

    Args:
        start: value at step `-t`, >= 0.
        stop: the value not to pass, the greatest if `start` is less, else the least.
        compound: factor per step, > 0.
        t: steps gone before step 0, >= 0.

    Examples:
        >>> s = compounding(1.0, 4.0, 2.0)
        >>> round(s(1), 12), s(5)
        (2.0, 4.0)
    """
    curve = Exponential(start * compound**t, compound)
    return (Maximum if start > stop else Minimum)((curve, Constant(stop)))


@checked
def slanted_triangular(
    max_rate: Rate,
    num_steps: Annotated[float, Steps(low=1.0)],
    *,
    cut_frac: Annotated[float, Real(low=0.0, high=1.0, open_low=True, open_high=True)] = 0.1,
    ratio: Annotated[float, Real(low=1.0)] = 32,
    t: Rate = 0.0,
) -> Schedule:
    """A short rise from `max_rate / ratio` and a long fall to it, which goes on below zero after the end.

    The step counts from 1, so the first value is a step above the lowest one.

    Args:
        max_rate: the top, >= 0.
        num_steps: all steps, >= 1; they need not be whole.
        cut_frac: part of the steps that rises, in (0, 1), at least one step.
        ratio: the top divided by the bottom, >= 1.
        t: steps gone before step 0, >= 0.

    Raises:
        ValueError: an argument is out of range, or the rise has no step.

    Examples:
        >>> round(slanted_triangular(1.0, 20)(0), 4)
        0.5156
    """
    cut = int(num_steps * cut_frac)
    must(cut > 0, "slanted_triangular(cut_frac=...)", "at least one step", cut_frac)
    bottom = max_rate / ratio
    fall = Stretch(Extend(Linear(max_rate, bottom, cut)), 1.0 / cut_frac - 1.0)
    return late(Linear(bottom, max_rate, cut) >> fall, t + 1)


@checked
def warmup_linear(initial_rate: Rate, warmup_steps: Count, total_steps: Count) -> Schedule:
    """A line from 0, then a line to 0 at `total_steps`.

    Args:
        initial_rate: the top, >= 0.
        warmup_steps: steps of the rise.
        total_steps: all steps.

    Examples:
        >>> warmup_linear(0.1, 10, 100)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)
    """
    rest = total_steps - warmup_steps
    return warmed(warmup_steps, 0.0, initial_rate, Linear(initial_rate, 0.0, rest) if rest > 0 else Constant(0.0))


@checked
def cyclic_triangular(min_lr: Rate, max_lr: Rate, period: Length) -> Schedule:
    """A triangular wave that begins one step above its lowest point.

    Args:
        min_lr: the lowest value, >= 0.
        max_lr: the highest value, >= 0.
        period: steps of the rise, and of the fall.

    Examples:
        >>> cyclic_triangular(0.0, 1.0, period=4)(0)
        0.25
    """
    return late(Triangular(min_lr, max_lr, up=period), 1)
