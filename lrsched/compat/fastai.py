"""The schedules of fastai 2.8.12, `fastai.callback.schedule`, over a training of `steps` updates.

fastai's schedules are functions of the part of the training gone, t / steps for update t; that part never is 1 while
it trains, so no update has the last value. fastai finds the phases in float32. A policy of `n_epoch` epochs of `n`
batches has `steps = n_epoch * n`.

They count batches: where `GradientAccumulation(n_acc=n * batch size)` makes an update of n of them, update j has
`s(n * j + n - 1)`, which is `Batches(s, n)(j)`.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

from lrsched._core.check import Int, Many, Real
from lrsched._curves import Constant, Cosine, Geometric, Hold, Linear, Monomial, Schedule
from lrsched.compat._tools import Fraction, Length, Parts, Positive, Rate, checked, must, spread, then

__all__ = [
    "LRFinder",
    "SchedCos",
    "SchedExp",
    "SchedLin",
    "SchedNo",
    "SchedPoly",
    "combine_scheds",
    "combined_cos",
    "fit_flat_cos",
    "fit_one_cycle",
    "fit_sgdr",
]


@checked
def SchedLin(start: Rate, end: Rate, *, steps: Length) -> Schedule:
    """A line, `start + (end - start) * x`.

    Args:
        start: first value, >= 0.
        end: value approached, >= 0.
        steps: updates of the training.

    Examples:
        >>> SchedLin(0.0, 1.0, steps=10)
        Linear(0.0, 1.0, steps=10)

    References:
        fastai 2.8.12, callback/schedule.py; so for all of this module.
    """
    return Linear(start, end, steps)


@checked
def SchedCos(start: Rate, end: Rate, *, steps: Length) -> Schedule:
    """Half a cosine from `start` to `end`.

    Args:
        start: first value, >= 0.
        end: value approached, >= 0.
        steps: updates of the training.

    Examples:
        >>> SchedCos(1.0, 0.0, steps=10)
        Cosine(1.0, 0.0, steps=10)
    """
    return Cosine(start, end, steps)


@checked
def SchedNo(start: Rate, end: Rate, *, steps: Length) -> Schedule:
    """The value `start` throughout.

    Args:
        start: the value, >= 0.
        end: not used.
        steps: updates of the training.

    Examples:
        >>> SchedNo(1.0, 0.0, steps=10)
        Constant(1.0, steps=10)
    """
    return Constant(start, steps)


@checked
def SchedExp(start: Positive, end: Positive, *, steps: Length) -> Schedule:
    """A straight line on a logarithmic axis, `start * (end / start) ** x`.

    Args:
        start: first value, > 0.
        end: value approached, > 0.
        steps: updates of the training.

    Examples:
        >>> round(SchedExp(1.0, 0.01, steps=10)(5), 12)
        0.1
    """
    return Geometric(start, end, steps)


@checked
def SchedPoly(start: Rate, end: Rate, power: Positive, *, steps: Length) -> Schedule:
    """A power of the part gone, `start + (end - start) * x ** power`.

    Args:
        start: first value, >= 0.
        end: value approached, >= 0.
        power: exponent, > 0.
        steps: updates of the training.

    Examples:
        >>> SchedPoly(0.0, 1.0, 2.0, steps=10)(5)
        0.25
    """
    return Monomial(start, end, steps, power)


@checked
def combine_scheds(
    pcts: Annotated[Sequence[float], Many(Real(low=0.0, high=1.0, open_low=True))], scheds: Parts, *, steps: Length
) -> Schedule:
    """Schedules one after the other, each squeezed into its part of the training.

    Args:
        pcts: the parts; their sum is 1 within rounding (fastai wants 1.0 exactly).
        scheds: as many schedules with a length, made by this module for any number of steps.
        steps: updates of the training.

    Raises:
        ValueError: the parts are not as many as the schedules, or do not add up to 1, or a schedule never ends.

    Examples:
        >>> combine_scheds([0.5, 0.5], [SchedNo(1.0, 1.0, steps=9), SchedCos(1.0, 0.0, steps=9)], steps=10)
        Hold(Constant(1.0), steps=5) >> Cosine(1.0, 0.0, steps=5)
    """
    must(len(pcts) == len(scheds), "combine_scheds(pcts=...)", f"{len(scheds)} numbers", pcts)
    must(abs(sum(pcts) - 1.0) < 1e-9, "combine_scheds(pcts=...)", "numbers with the sum 1", pcts)
    must(all(part.length for part in scheds), "combine_scheds(scheds=...)", "schedules that end", scheds)
    times = [0.0, *(share * steps for share in accumulate(pcts))]
    firsts = [math.ceil(time - 1e-9 * steps) for time in times]
    schedule: Schedule | None = None
    for i in reversed(range(len(pcts))):
        part = spread(scheds[i], times[i + 1] - times[i], firsts[i] - times[i])
        if schedule is None:
            schedule = Hold(part, steps) if isinstance(part, Constant) else part
        else:
            schedule = then(firsts[i + 1] - firsts[i], part, schedule)
    assert schedule is not None
    return schedule


@checked
def combined_cos(pct: Fraction, start: Rate, middle: Rate, end: Rate, *, steps: Length) -> Schedule:
    """Half a cosine up in the first part of the training, half a cosine down in the rest.

    Args:
        pct: the first part, from 0 to 1.
        start: first value, >= 0.
        middle: value where the two meet, >= 0.
        end: value approached, >= 0.
        steps: updates of the training.

    Examples:
        >>> combined_cos(0.25, 0.1, 1.0, 0.0, steps=100)
        Cosine(0.1, 1.0, steps=25) >> Cosine(1.0, 0.0, steps=75)
    """
    must(0.0 < pct < 1.0, "combined_cos(pct=...)", "more than 0 and less than 1", pct)
    parts = [Cosine(start, middle, steps), Cosine(middle, end, steps)]
    return combine_scheds([pct, 1.0 - pct], parts, steps=steps)


@checked
def fit_one_cycle(
    lr_max: Rate, div: Positive = 25.0, div_final: Positive = 1e5, pct_start: Fraction = 0.25, *, steps: Length
) -> Schedule:
    """The one-cycle policy: from `lr_max / div` to `lr_max` to `lr_max / div_final`.

    Args:
        lr_max: the top, >= 0.
        div: the top divided by the first value.
        div_final: the top (not the first value, as in torch) divided by the last.
        pct_start: part of the training that rises.
        steps: updates of the training.

    Examples:
        >>> s = fit_one_cycle(1.0, steps=100)
        >>> s(0), s(25)
        (0.04, 1.0)
    """
    return combined_cos(pct_start, lr_max / div, lr_max, lr_max / div_final, steps=steps)


@checked
def fit_flat_cos(lr: Rate, div_final: Positive = 1e5, pct_start: Fraction = 0.75, *, steps: Length) -> Schedule:
    """A constant phase, then half a cosine to `lr / div_final`.

    Args:
        lr: the rate, >= 0.
        div_final: the rate divided by the last value.
        pct_start: part of the training that is constant.
        steps: updates of the training.

    Examples:
        >>> fit_flat_cos(1.0, steps=100)(75)
        1.0
    """
    return combined_cos(pct_start, lr, lr, lr / div_final, steps=steps)


@checked
def fit_sgdr(
    lr_max: Rate,
    n_cycles: Length,
    cycle_len: Length,
    cycle_mult: Annotated[int, Int(low=2)] = 2,
    *,
    steps_per_epoch: Length,
) -> Schedule:
    """Half cosines to 0 with restarts, each cycle `cycle_mult` times as long as the one before.

    Args:
        lr_max: the top, >= 0.
        n_cycles: number of cycles.
        cycle_len: epochs of the first cycle.
        cycle_mult: factor of the length, >= 2: fastai divides by `cycle_mult - 1`.
        steps_per_epoch: updates of an epoch.

    Examples:
        >>> s = fit_sgdr(1.0, n_cycles=2, cycle_len=1, steps_per_epoch=10)
        >>> s(0), s(10), round(s(20), 12)
        (1.0, 1.0, 0.5)
    """
    lengths = [cycle_len * cycle_mult**i * steps_per_epoch for i in range(n_cycles)]
    schedule: Schedule = Cosine(lr_max, 0.0, lengths[-1])
    for length in reversed(lengths[:-1]):
        schedule = Cosine(lr_max, 0.0, length) >> schedule
    return schedule


@checked
def LRFinder(start_lr: Positive = 1e-7, end_lr: Positive = 10, num_it: Length = 100) -> Schedule:
    """The range test: a rise from `start_lr` to `end_lr`, straight on a logarithmic axis.

    Args:
        start_lr: first rate, > 0.
        end_lr: last rate, > 0.
        num_it: updates of the test; fewer than 6 are 6.

    Examples:
        >>> round(LRFinder()(50), 12)
        0.001
    """
    return Geometric(start_lr, end_lr, max(num_it, 6))
