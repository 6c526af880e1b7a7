"""The schedules of Optax 0.2.8, `optax.schedules`.

One step of these schedules is one call of `update`. Optax computes in float32; these are exact.

Where `MultiSteps` makes an update of n batches, the schedule inside counts updates. Beside `apply_every(n)` it counts
batches: update j has `s(n * j + n - 1)`, which is `Batches(s, n)(j)`.

References:
    Optax 0.2.8, optax/schedules/_schedule.py and optax/schedules/_join.py; the optimizers in optax/_src/alias.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, Many, OrNone, Pairs, Real
from lrsched._curves import Constant, Cosine, Epochs, Exponential, Linear, Maximum, Minimum, Polynomial, Schedule
from lrsched._recipes.decimals import products
from lrsched.compat._tools import (
    Count,
    Fraction,
    Length,
    OnOff,
    Parts,
    Positive,
    Rate,
    RateOrNone,
    argument_section,
    chain,
    checked,
    join,
    late,
    must,
    stairs,
    then,
)
from lrsched.compat.optax.adams import (
    adabelief,
    adamax,
    adamaxw,
    adan,
    nadam,
    nadamw,
    novograd,
    radam,
    yogi,
)
from lrsched.compat.optax.matrix import adafactor, muon, prodigy, schedule_free_adamw, schedule_free_sgd
from lrsched.compat.optax.optimizers import (
    adadelta,
    adagrad,
    adam,
    adamw,
    amsgrad,
    lamb,
    lars,
    lion,
    rmsprop,
    rprop,
    sgd,
    sign_sgd,
    signum,
)

__all__ = [
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "amsgrad",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "exponential_decay",
    "join_schedules",
    "lamb",
    "lars",
    "linear_onecycle_schedule",
    "linear_schedule",
    "lion",
    "muon",
    "nadam",
    "nadamw",
    "novograd",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "prodigy",
    "radam",
    "rmsprop",
    "rprop",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "sgd",
    "sgdr_schedule",
    "sign_sgd",
    "signum",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
    "yogi",
]


# Factors under the steps at which they begin.
Scales = Annotated[Mapping[int, float] | None, OrNone(Pairs(Int(low=-(2**53)), Real(low=0.0)))]


@checked
def piecewise_constant_schedule(init_value: Rate, boundaries_and_scales: Scales = None) -> Schedule:
    """A staircase whose value is multiplied by a factor at each boundary.

    Args:
        init_value: first value.
        boundaries_and_scales: factors >= 0 under the steps at which they are used first.

    Examples:
        >>> piecewise_constant_schedule(1.0, {30: 0.5, 60: 0.1})
        Constant(1.0, steps=30) >> Constant(0.5, steps=30) >> Constant(0.05)
    """
    scales = boundaries_and_scales or {}
    return stairs(list(scales), products(init_value, scales.values()))


@checked
def piecewise_interpolate_schedule(
    interpolate_type: Annotated[str, Choice(("linear", "cosine"))],
    init_value: Rate,
    boundaries_and_scales: Scales = None,
) -> Schedule:
    """Lines or half cosine waves between points, each of which multiplies the value of the one before.

    Args:
        interpolate_type: "linear" or "cosine".
        init_value: value at step 0.
        boundaries_and_scales: factors >= 0 under the steps at which they are reached.

    Examples:
        >>> piecewise_interpolate_schedule("linear", 1.0, {10: 2.0, 30: 0.0})
        Linear(1.0, 2.0, steps=10) >> Linear(2.0, 0.0, steps=20)
    """
    scales, shape = boundaries_and_scales or {}, Linear if interpolate_type == "linear" else Cosine
    return _interpolated(shape, init_value, list(scales), list(scales.values()))


def _interpolated(shape: type[Linear] | type[Cosine], start: float, steps: list[int], scales: list[float]) -> Schedule:
    values = products(start, scales)
    parts = [
        late(shape(a, b, end - begin), max(-begin, 0))
        for a, b, (begin, end) in zip(values, values[1:], pairwise([0, *steps]), strict=False)
        if end > max(begin, 0)
    ]
    return chain(*parts) if parts else Constant(values[-1])


@checked
def linear_onecycle_schedule(
    transition_steps: Length,
    peak_value: Rate,
    pct_start: Fraction = 0.3,
    pct_final: Fraction = 0.85,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 10000.0,
) -> Schedule:
    """One cycle of straight lines: up, back to the first value, and down from there.

    Args:
        transition_steps: all steps, >= 1.
        peak_value: highest value, reached at step `int(pct_start * transition_steps)`.
        pct_start: part of the steps that rises.
        pct_final: part of the steps after which the value is the first again.
        div_factor: what the first value is smaller by.
        final_div_factor: what the last value is smaller by than the first.

    Examples:
        >>> linear_onecycle_schedule(100, 1.0, div_factor=4.0, final_div_factor=2.0)
        Linear(0.25, 1.0, steps=30) >> Linear(1.0, 0.25, steps=55) >> Linear(0.25, 0.125, steps=15)
    """
    points = {
        int(pct_start * transition_steps): div_factor,
        int(pct_final * transition_steps): 1.0 / div_factor,
        transition_steps: 1.0 / final_div_factor,
    }
    return piecewise_interpolate_schedule("linear", peak_value / div_factor, points)


@checked
def cosine_onecycle_schedule(
    transition_steps: Length,
    peak_value: Rate,
    pct_start: Fraction = 0.3,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 10000.0,
) -> Schedule:
    """One cycle of two half cosine waves: up, and down below where it began.

    The top is at step `int(pct_start * transition_steps)`, one update later than in torch.

    Args:
        transition_steps: all steps, >= 1.
        peak_value: highest value.
        pct_start: part of the steps that rises.
        div_factor: what the first value is smaller by.
        final_div_factor: what the last value is smaller by than the first.

    Examples:
        >>> cosine_onecycle_schedule(100, 1.0, div_factor=4.0, final_div_factor=2.0)
        Cosine(0.25, 1.0, steps=30) >> Cosine(1.0, 0.125, steps=70)
    """
    points = {
        int(pct_start * transition_steps): div_factor,
        transition_steps: 1.0 / (div_factor * final_div_factor),
    }
    return piecewise_interpolate_schedule("cosine", peak_value / div_factor, points)


_ANY_INT = Int(low=-(2**53))
AnyInt = Annotated[int, _ANY_INT]
AnyInts = Annotated[Sequence[int], Many(_ANY_INT, least=0)]


@checked
def constant_schedule(value: Rate) -> Schedule:
    """The same value at every step.

    Args:
        value: the value, >= 0.

    Examples:
        >>> constant_schedule(0.1)
        Constant(0.1)
    """
    return Constant(value)


@checked
def polynomial_schedule(
    init_value: Rate, end_value: Rate, power: Rate, transition_steps: AnyInt, transition_begin: AnyInt = 0
) -> Schedule:
    """A power of the part left: `end + (init - end) * (1 - t / transition_steps) ** power`.

    Args:
        init_value: first value.
        end_value: last value.
        power: exponent, >= 0; with 0 the first value stays.
        transition_steps: steps of the curve; if not positive the first value stays.
        transition_begin: steps before the curve begins; a negative number counts as 0.

    Examples:
        >>> polynomial_schedule(1.0, 0.0, power=2.0, transition_steps=10, transition_begin=5)
        Constant(1.0, steps=5) >> Polynomial(1.0, 0.0, steps=10, power=2.0)
    """
    if transition_steps <= 0 or power == 0.0:
        return Constant(init_value)
    linear = Linear(init_value, end_value, transition_steps)
    curve = linear if power == 1.0 else Polynomial(init_value, end_value, transition_steps, power)
    return then(transition_begin, init_value, curve)


@checked
def linear_schedule(
    init_value: Rate, end_value: Rate, transition_steps: AnyInt, transition_begin: AnyInt = 0
) -> Schedule:
    """A straight line.

    Args:
        init_value: first value.
        end_value: last value.
        transition_steps: steps of the line; if not positive the first value stays.
        transition_begin: steps before the line begins; a negative number counts as 0.

    Examples:
        >>> linear_schedule(1.0, 0.0, transition_steps=10)
        Linear(1.0, 0.0, steps=10)
    """
    return polynomial_schedule(init_value, end_value, 1.0, transition_steps, transition_begin)


@checked
def exponential_decay(
    init_value: Rate,
    transition_steps: AnyInt,
    decay_rate: Rate,
    transition_begin: AnyInt = 0,
    staircase: OnOff = False,
    end_value: RateOrNone = None,
) -> Schedule:
    """Exponential decay: `init_value * decay_rate ** (t / transition_steps)`.

    Args:
        init_value: first value.
        transition_steps: steps of one factor; if not positive the first value stays.
        decay_rate: the factor, >= 0; with 0 the first value stays, as it does in Optax.
        transition_begin: steps before the decay begins; a negative number counts as 0.
        staircase: whether the value changes only each `transition_steps` steps.
        end_value: bound of the value: the least for a factor below 1, the greatest for another.

    Examples:
        >>> exponential_decay(1.0, transition_steps=10, decay_rate=0.5, end_value=0.1)
        Maximum((Exponential(1.0, 0.5, steps=10.0), Constant(0.1)))
    """
    if transition_steps <= 0 or decay_rate == 0.0:
        return Constant(init_value)
    if staircase:
        curve: Schedule = Epochs(Exponential(init_value, decay_rate), transition_steps)
    else:
        curve = Exponential(init_value, decay_rate, transition_steps)
    curve = then(transition_begin, init_value, curve)
    if end_value is None:
        return curve
    return (Maximum if decay_rate < 1.0 else Minimum)((curve, Constant(end_value)))


@checked
def cosine_decay_schedule(init_value: Rate, decay_steps: Length, alpha: Rate = 0.0, exponent: Rate = 1.0) -> Schedule:
    """Half a cosine wave, to a power: `init_value * ((1 - alpha) * cosine ** exponent + alpha)`.

    Args:
        init_value: first value.
        decay_steps: steps of the decay, >= 1.
        alpha: last value as a part of the first; at most 1 if there is an exponent.
        exponent: power of the cosine, >= 0.

    Examples:
        >>> cosine_decay_schedule(0.1, decay_steps=100, alpha=0.5)
        Cosine(0.1, 0.05, steps=100)
    """
    return _cosine(init_value, alpha * init_value, decay_steps, exponent, "cosine_decay_schedule(alpha=...)")


def _cosine(start: float, end: float, steps: int, exponent: float, where: str) -> Schedule:
    if exponent == 0.0:
        return Constant(start)
    if exponent == 1.0 or start == 0.0:
        return Cosine(start, end if start else 0.0, steps)
    must(end <= start, where, "no rise where exponent is not 1", end / start)
    curve = (start - end) * Cosine(1.0, 0.0, steps) ** exponent
    return end + curve if end else curve


@checked
def warmup_constant_schedule(init_value: Rate, peak_value: Rate, warmup_steps: AnyInt) -> Schedule:
    """A line to a constant.

    Args:
        init_value: first value.
        peak_value: value from step `warmup_steps` on.
        warmup_steps: steps of the line; if not positive the *first* value stays, as it does in Optax.

    Examples:
        >>> warmup_constant_schedule(0.0, 1.0, warmup_steps=10)
        Linear(0.0, 1.0, steps=10)
    """
    return linear_schedule(init_value, peak_value, warmup_steps)


@checked
def warmup_cosine_decay_schedule(
    init_value: Rate,
    peak_value: Rate,
    warmup_steps: Count,
    decay_steps: Length,
    end_value: Rate = 0.0,
    exponent: Rate = 1.0,
) -> Schedule:
    """A line up, then half a cosine wave, to a power.

    Args:
        init_value: first value.
        peak_value: value at step `warmup_steps`. A peak of 0 stays 0, whatever `end_value` is.
        warmup_steps: steps of the line, >= 0.
        decay_steps: all steps, those of the line included; more than `warmup_steps`.
        end_value: last value; at most the peak if there is an exponent.
        exponent: power of the cosine, >= 0.

    Examples:
        >>> warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)
        Linear(0.0, 0.001, steps=100) >> Cosine(0.001, 0.0, steps=900)
    """
    where = "warmup_cosine_decay_schedule"
    must(decay_steps > warmup_steps, f"{where}(decay_steps=...)", f"> warmup_steps={warmup_steps!r}", decay_steps)
    alpha = end_value / peak_value if peak_value else 0.0
    decay = _cosine(peak_value, alpha * peak_value, decay_steps - warmup_steps, exponent, f"{where}(end_value=...)")
    return join([linear_schedule(init_value, peak_value, warmup_steps), decay], [warmup_steps])


@checked
def warmup_exponential_decay_schedule(
    init_value: Rate,
    peak_value: Rate,
    warmup_steps: Count,
    transition_steps: AnyInt,
    decay_rate: Rate,
    transition_begin: AnyInt = 0,
    staircase: OnOff = False,
    end_value: RateOrNone = None,
) -> Schedule:
    """A line up, then exponential decay, whose clock starts at the end of the line.

    Args:
        init_value: first value.
        peak_value: value at step `warmup_steps`.
        warmup_steps: steps of the line, >= 0.
        transition_steps: steps of one factor, those of the line not included.
        decay_rate: the factor, >= 0.
        transition_begin: steps after the line before the decay begins.
        staircase: whether the value changes only each `transition_steps` steps.
        end_value: bound of the decay, as in `exponential_decay`.

    Examples:
        >>> warmup_exponential_decay_schedule(0.0, 1.0, 10, transition_steps=5, decay_rate=0.5)
        Linear(0.0, 1.0, steps=10) >> Exponential(1.0, 0.5, steps=5.0)
    """
    decay = exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
    return join([linear_schedule(init_value, peak_value, warmup_steps), decay], [warmup_steps])


@checked
def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Several warm-ups with cosine decay, one after the other.

    Args:
        cosine_kwargs: the arguments of `warmup_cosine_decay_schedule` for each of them.

    Raises:
        ValueError: there is none.

    Examples:
        >>> part = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 1, "decay_steps": 10}
        >>> sgdr_schedule([part, {**part, "peak_value": 0.5}])(11)
        0.5
    """
    where = "sgdr_schedule(cosine_kwargs=...)"
    must(isinstance(cosine_kwargs, Iterable), where, "an iterable of dictionaries", cosine_kwargs)
    given = [
        argument_section(f"{where}[{i}]", warmup_cosine_decay_schedule, kwargs)
        for i, kwargs in enumerate(cosine_kwargs)
    ]
    must(len(given) > 0, where, "at least one dictionary", given)
    parts = [warmup_cosine_decay_schedule(**kwargs) for kwargs in given]
    ends = [0]
    for kwargs in given:
        ends.append(ends[-1] + kwargs["decay_steps"])
    return join(parts, ends[1:-1])


@checked
def join_schedules(schedules: Parts, boundaries: AnyInts) -> Schedule:
    """Schedules one after the other, each on its own clock.

    Args:
        schedules: one or more schedules.
        boundaries: `schedules[i + 1]` takes over at `boundaries[i]`; of several boundaries passed the last in the list
            counts, and what has no partner in the other list is left out.

    Examples:
        >>> join_schedules([linear_schedule(0.0, 1.0, 10), constant_schedule(0.5)], [10])
        Linear(0.0, 1.0, steps=10) >> Constant(0.5)
    """
    return join(schedules, boundaries)
