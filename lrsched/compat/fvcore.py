"""The parameter schedulers of fvcore 0.1.5, `fvcore.common.param_scheduler`, over a training of `max_iter` updates.

fvcore's schedulers are functions of `where`, the part of the training gone, in [0, 1). Update t of `max_iter` has
`where = t / max_iter`, as detectron2's `LRMultiplier` has it. Each schedule has the length of the training, and what
fvcore leaves open or refuses (`where >= 1`) is the last value here. The boundaries are moved by fvcore's epsilon of
1e-6, which makes a difference only where `boundary * max_iter` is not whole.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Annotated

from lrsched._core.check import Choice, Int, Many, OrNone
from lrsched._curves import Chain, Constant, Cosine, Geometric, Hold, Linear, Polynomial, Schedule, Stretch
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import (
    Length,
    LengthOrNone,
    Parts,
    Positive,
    Rate,
    Rates,
    checked,
    in_time,
    late,
    must,
    spread,
    stairs,
    then,
)

__all__ = [
    "CompositeParamScheduler",
    "ConstantParamScheduler",
    "CosineParamScheduler",
    "ExponentialParamScheduler",
    "LinearParamScheduler",
    "MultiStepParamScheduler",
    "PolynomialDecayParamScheduler",
    "StepParamScheduler",
    "StepWithFixedGammaParamScheduler",
]

_EPSILON = 1e-6


def _first(part: float, max_iter: int, reached: Callable[[float], bool]) -> int:
    """Return the first update near `part * max_iter` whose `where` is `reached`."""
    step = max(math.floor((part - 2 * _EPSILON) * max_iter) - 1, 0)
    while not reached(step / max_iter):
        step += 1
    return step


def _stair(m: int, unit: int) -> Callable[[float], bool]:
    """Return whether fvcore has reached boundary m of `unit` at a `where`."""
    return lambda where: int((where + _EPSILON) * unit) >= m


def _staircase(bounds: Sequence[int], unit: int, max_iter: int, values: Sequence[float]) -> Schedule:
    """Return the staircase with boundaries in parts of a `unit` over a training of `max_iter` updates.

    A boundary between two updates is kept as it is: in a part of a training it lies elsewhere between them.
    """
    exact = [Fraction(m * max_iter, unit) for m in bounds]
    steps = [_first(m / unit, max_iter, _stair(m, unit)) for m in bounds]
    if any(step != bound for step, bound in zip(steps, exact, strict=True)) and steps == list(map(math.ceil, exact)):
        # Rounded down, so that a boundary that is a whole update belongs to this update.
        factor = max_iter / unit
        factor = factor if Fraction(factor) * unit <= max_iter else math.nextafter(factor, 0.0)
        return in_time(_levels(bounds, unit, values), factor)
    return _levels(steps, max_iter, values)


def _levels(bounds: Sequence[int], length: int, values: Sequence[float]) -> Schedule:
    """Return the constants between boundaries; the last one ends with the training."""
    edges = [0, *bounds, length]
    parts = [Constant(value, b - a) for value, a, b in zip(values, edges, edges[1:], strict=False) if a < b]
    return Schedule.sequence(parts)


def _stairs_in(part: Schedule, begin: float, share: float, first: int, max_iter: int) -> Schedule | None:
    """Return a staircase run in a `share` of the training from `begin`, where update `first` is; None if it is none."""
    inner = part.schedule if isinstance(part, Stretch) else part
    if not isinstance(inner, Chain) or not all(isinstance(p, Constant) for p in inner.parts) or not inner.length:
        return None
    unit = inner.length

    def reached(m: int) -> Callable[[float], bool]:
        return lambda where: _stair(m, unit)((where - begin) / share)

    steps = [_first(begin + share * m / unit, max_iter, reached(m)) for m in inner.starts[1:]]
    return stairs([step - first for step in steps], [p(0) for p in inner.parts])


@checked
def ConstantParamScheduler(value: Rate, *, max_iter: Length) -> Schedule:
    """The same value throughout.

    Args:
        value: the value, >= 0.
        max_iter: updates of the training.

    Examples:
        >>> ConstantParamScheduler(0.1, max_iter=100)
        Constant(0.1, steps=100)

    References:
        fvcore 0.1.5.post20221221, common/param_scheduler.py; so for all of this module.
    """
    return Constant(value, max_iter)


@checked
def CosineParamScheduler(start_value: Rate, end_value: Rate, *, max_iter: Length) -> Schedule:
    """Half a cosine, `end_value + (start_value - end_value) * (1 + cos(pi * where)) / 2`.

    Args:
        start_value: first value, >= 0.
        end_value: value approached, >= 0.
        max_iter: updates of the training.

    Examples:
        >>> CosineParamScheduler(0.1, 0.0, max_iter=100)
        Cosine(0.1, 0.0, steps=100)
    """
    return Cosine(start_value, end_value, max_iter)


@checked
def ExponentialParamScheduler(start_value: Positive, decay: Positive, *, max_iter: Length) -> Schedule:
    """An exponential, `start_value * decay ** where`.

    Args:
        start_value: first value, > 0.
        decay: factor over the whole training, > 0.
        max_iter: updates of the training.

    Examples:
        >>> round(ExponentialParamScheduler(2.0, 0.25, max_iter=100)(50), 12)
        1.0
    """
    return Geometric(start_value, start_value * decay, max_iter)


@checked
def LinearParamScheduler(start_value: Rate, end_value: Rate, *, max_iter: Length) -> Schedule:
    """A line, `end_value * where + start_value * (1 - where)`.

    Args:
        start_value: first value, >= 0.
        end_value: value approached, >= 0.
        max_iter: updates of the training.

    Examples:
        >>> LinearParamScheduler(0.1, 0.0, max_iter=100)
        Linear(0.1, 0.0, steps=100)
    """
    return Linear(start_value, end_value, max_iter)


@checked
def PolynomialDecayParamScheduler(base_value: Rate, power: Positive, *, max_iter: Length) -> Schedule:
    """A power of the part left, `base_value * (1 - where) ** power`.

    Args:
        base_value: first value, >= 0.
        power: exponent, > 0.
        max_iter: updates of the training.

    Examples:
        >>> PolynomialDecayParamScheduler(0.1, 2.0, max_iter=100)(50)
        0.025
    """
    return Polynomial(base_value, 0.0, max_iter, power)


@checked
def MultiStepParamScheduler(
    values: Rates,
    num_updates: LengthOrNone = None,
    milestones: Annotated[Sequence[int] | None, OrNone(Many(Int(low=1), least=0))] = None,
    *,
    max_iter: LengthOrNone = None,
) -> Schedule:
    """A staircase of given values; value i + 1 is used from milestone i on.

    Args:
        values: the values, each >= 0.
        num_updates: the unit of the milestones: the whole training in it. None stands for the last milestone, which is
            then the end and no boundary.
        milestones: increasing boundaries, one fewer than values (as many, without `num_updates`). None divides
            `num_updates` evenly.
        max_iter: updates of the training; None stands for `num_updates`.

    Raises:
        ValueError: neither `num_updates` nor `milestones` is given, or there are too few or too many milestones, or
            they do not increase from 1 to less than `num_updates`.

    Examples:
        >>> MultiStepParamScheduler([1.0, 0.1], num_updates=90, milestones=[60])
        Constant(1.0, steps=60) >> Constant(0.1, steps=30)
    """
    where = "MultiStepParamScheduler(milestones=...)"
    must(milestones is not None or num_updates is not None, where, "given if num_updates is not", milestones)
    if milestones is None:
        width = math.ceil((num_updates or 0) / len(values))
        bounds = [width * (i + 1) for i in range(len(values) - 1)]
    else:
        count = len(values) - (num_updates is not None)
        must(len(milestones) == count, where, f"{count} ints", list(milestones))
        bounds = list(milestones)
    total = bounds.pop() if num_updates is None else num_updates
    must(total >= len(values), "MultiStepParamScheduler(num_updates=...)", f">= {len(values)}", total)
    increases = all(a < b for a, b in pairwise([0, *bounds, total]))
    must(increases, where, f"increasing between 0 and {total}", milestones and list(milestones))
    return _staircase(bounds, total, max_iter or total, values)


@checked
def StepParamScheduler(num_updates: Positive, values: Rates, *, max_iter: LengthOrNone = None) -> Schedule:
    """A staircase of given values, each for the same part of the training.

    Args:
        num_updates: more than 0; fvcore does not use it.
        values: the values, each >= 0.
        max_iter: updates of the training; None stands for `num_updates`, which then must be whole.

    Examples:
        >>> StepParamScheduler(120, [0.1, 0.01])
        Constant(0.1, steps=60) >> Constant(0.01, steps=60)
    """
    n = max_iter or int(num_updates)
    must(max_iter is not None or n == num_updates, "StepParamScheduler(max_iter=...)", "given", max_iter)
    return _staircase(range(1, len(values)), len(values), n, values)


@checked
def StepWithFixedGammaParamScheduler(
    base_value: Positive, num_decays: Length, gamma: Positive, num_updates: Length, *, max_iter: LengthOrNone = None
) -> Schedule:
    """A staircase of `num_decays + 1` even stairs, each `gamma` times the one before.

    Args:
        base_value: first value, > 0.
        num_decays: number of drops, >= 1.
        gamma: factor at each drop, > 0.
        num_updates: at least 1; fvcore does not use it.
        max_iter: updates of the training; None stands for `num_updates`.

    Examples:
        >>> StepWithFixedGammaParamScheduler(1.0, num_decays=1, gamma=0.5, num_updates=120)
        Constant(1.0, steps=60) >> Constant(0.5, steps=60)
    """
    values = powers(base_value, gamma, num_decays)
    return StepParamScheduler(num_updates, values, max_iter=max_iter)


@checked
def CompositeParamScheduler(
    schedulers: Parts,
    lengths: Rates,
    interval_scaling: Annotated[Sequence[str], Many(Choice(("rescaled", "fixed")))],
    *,
    max_iter: Length,
) -> Schedule:
    """Schedulers one after the other, each for a part of the training.

    Args:
        schedulers: schedules made by this module for the same `max_iter`; another one stands for its first `max_iter`
            steps.
        lengths: the part of the training that each takes; they add up to 1.
        interval_scaling: for each, "rescaled" (runs from its start to its end in its part) or "fixed" (its part of
            what it would be over the whole training).
        max_iter: updates of the training.

    Raises:
        ValueError: the lengths are not as many as the schedulers, or do not add up to 1 within 1e-3.

    Examples:
        >>> halves = [LinearParamScheduler(0.0, 1.0, max_iter=10), CosineParamScheduler(1.0, 0.0, max_iter=10)]
        >>> s = CompositeParamScheduler(halves, [0.5, 0.5], ["rescaled", "fixed"], max_iter=10)
        >>> s(4), round(s(5), 12)
        (0.8, 0.5)
    """
    where = "CompositeParamScheduler"
    must(len(lengths) == len(schedulers), f"{where}(lengths=...)", f"{len(schedulers)} numbers", lengths)
    must(len(interval_scaling) == len(schedulers), f"{where}(interval_scaling=...)", "as many", interval_scaling)
    must(abs(sum(lengths) - 1.0) < 1e-3, f"{where}(lengths=...)", "numbers with the sum 1", lengths)
    parts = list(lengths) if sum(lengths) == 1.0 else [*lengths[:-1], 1.0 - sum(lengths[:-1])]
    ends = list(accumulate(parts))
    steps = [0, *(_first(end, max_iter, lambda w, end=end: w + _EPSILON > end) for end in ends[:-1])]  # type: ignore[misc]
    bounds = [*steps, max(max_iter, steps[-1] + 1)]
    schedule: Schedule | None = None
    for i in reversed(range(len(parts))):
        part = schedulers[i]
        if interval_scaling[i] == "fixed":
            part = late(part, steps[i])
        elif parts[i] > 0.0:
            begin = ends[i] - parts[i]
            part = _stairs_in(part, begin, parts[i], steps[i], max_iter) or spread(
                part if part.length else Hold(part, max_iter), parts[i] * max_iter, steps[i] - begin * max_iter
            )
        length = bounds[i + 1] - steps[i]
        schedule = Hold(part, length) if schedule is None else then(length, part, schedule)
    assert schedule is not None
    return schedule
