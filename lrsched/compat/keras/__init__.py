"""The schedules of Keras 3.15, `keras.optimizers.schedules`.

One step of these schedules is one batch. Keras computes in the type of the first rate: float32, or integers if it is
written without a dot; these compute in float64 and take an int for the number that it is. Numbers of steps may be
written as floats.

Where the optimizer has `gradient_accumulation_steps=n` it goes on calling its schedule with the number of batches,
though `optimizer.iterations` counts updates: update j has `s(n * j + n - 1)`, which is `Batches(s, n)(j)`.

References:
    Keras 3.15.1, keras/src/optimizers/schedules/learning_rate_schedule.py; the optimizers in keras/src/optimizers.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from lrsched._core.check import Many, Real
from lrsched._curves import (
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Hold,
    InverseTime,
    Linear,
    Polynomial,
    PowerLaw,
    Repeat,
    Schedule,
    Shift,
)
from lrsched.compat._tools import OnOff, Positive, Rate, RateOrNone, Rates, TextOrNone, checked, must, stairs, warmed
from lrsched.compat.keras.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Lion,
    Muon,
    Nadam,
    RMSprop,
    ScheduleFreeAdamW,
)

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
]

Boundaries = Annotated[Sequence[float], Many(Real())]


def _whole(where: str, number: float, low: int = 1) -> int:
    must(number == int(number) and number >= low, where, f"a whole number >= {low}", number)
    return int(number)


@checked
def ExponentialDecay(
    initial_learning_rate: Rate,
    decay_steps: Positive,
    decay_rate: Rate,
    staircase: OnOff = False,
    name: TextOrNone = "ExponentialDecay",
) -> Schedule:
    """Exponential decay: `initial_learning_rate * decay_rate ** (t / decay_steps)`.

    Args:
        initial_learning_rate: first rate.
        decay_steps: steps of one factor, > 0; whole for a staircase.
        decay_rate: the factor, >= 0.
        staircase: whether the rate changes only each `decay_steps` steps.
        name: without effect.

    Examples:
        >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
        Exponential(0.1, 0.5, steps=100.0)
    """
    if staircase or decay_rate == 0.0:
        steps = _whole("ExponentialDecay(decay_steps=...)", decay_steps) if staircase else 1
        if decay_rate == 0.0:
            return Constant(initial_learning_rate, steps) >> Constant(0.0)
        return Epochs(Exponential(initial_learning_rate, decay_rate), steps)
    return Exponential(initial_learning_rate, decay_rate, decay_steps)


@checked
def InverseTimeDecay(
    initial_learning_rate: Rate,
    decay_steps: Positive,
    decay_rate: Rate,
    staircase: OnOff = False,
    name: TextOrNone = "InverseTimeDecay",
) -> Schedule:
    """Inverse time decay: `initial_learning_rate / (1 + decay_rate * t / decay_steps)`.

    Args:
        initial_learning_rate: first rate.
        decay_steps: unit of time in steps, > 0; whole for a staircase.
        decay_rate: growth of the divisor in that time, >= 0.
        staircase: whether the rate changes only each `decay_steps` steps.
        name: without effect.

    Examples:
        >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
        0.05
    """
    if not staircase:
        return InverseTime(initial_learning_rate, decay_rate, decay_steps)
    steps = _whole("InverseTimeDecay(decay_steps=...)", decay_steps)
    return Epochs(InverseTime(initial_learning_rate, decay_rate), steps)


@checked
def PiecewiseConstantDecay(boundaries: Boundaries, values: Rates, name: TextOrNone = "PiecewiseConstant") -> Schedule:
    """A staircase whose value changes one step *after* each boundary.

    Args:
        boundaries: the last steps of each value, in order; the fraction of a float is cut off.
        values: one more than there are boundaries.
        name: without effect.

    Raises:
        ValueError: the numbers of boundaries and values do not fit, or the boundaries decrease.

    Examples:
        >>> PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
        Constant(0.1, steps=11) >> Constant(0.01, steps=10) >> Constant(0.001)
    """
    must(
        len(values) == len(boundaries) + 1,
        "PiecewiseConstantDecay(values=...)",
        f"{len(boundaries) + 1} values for {len(boundaries)} boundaries",
        values,
    )
    where = "PiecewiseConstantDecay(boundaries=...)"
    must(list(boundaries) == sorted(boundaries), where, "in order", boundaries)
    # Keras takes a float as a float32 before it cuts off the fraction.
    last = [int(step if step == int(step) else np.float32(step)) for step in boundaries]
    return stairs([step + 1 for step in last], values)


@checked
def PolynomialDecay(
    initial_learning_rate: Rate,
    decay_steps: Positive,
    end_learning_rate: Rate = 0.0001,
    power: Rate = 1.0,
    cycle: OnOff = False,
    name: TextOrNone = "PolynomialDecay",
) -> Schedule:
    """A power of the part left: `end + (initial - end) * (1 - t / decay_steps) ** power`.

    With `cycle` the length becomes the next multiple of `decay_steps` each time the end is reached, so the rate jumps
    up one step after it, to a height that falls with the number of the cycle.

    Args:
        initial_learning_rate: first rate.
        decay_steps: steps of the decay, whole and >= 1.
        end_learning_rate: last rate; with `cycle` not above the first.
        power: exponent, >= 0.
        cycle: whether to go on after the end.
        name: without effect.

    Examples:
        >>> PolynomialDecay(0.1, decay_steps=100)
        Linear(0.1, 0.0001, steps=100)
        >>> PolynomialDecay(1.0, 10, end_learning_rate=0.0, cycle=True)(15)
        0.25
    """
    start, end = initial_learning_rate, end_learning_rate
    steps = _whole("PolynomialDecay(decay_steps=...)", decay_steps)
    if power == 0.0:
        return Constant(start)
    if not cycle:
        return Linear(start, end, steps) if power == 1.0 else Polynomial(start, end, steps, power)
    must(end <= start, "PolynomialDecay(end_learning_rate=...)", f"<= {start!r} with cycle", end)
    # In cycle k, which ends with the step k * steps, the part left is 1 / k of the part left of the cycle.
    tooth = Repeat(Hold(Shift(Polynomial(start - end, 0.0, steps, power), 1), steps))
    return Constant(start, 1) >> end + tooth * Epochs(PowerLaw(1.0, power), steps)


@checked
def CosineDecay(
    initial_learning_rate: Rate,
    decay_steps: Positive,
    alpha: Rate = 0.0,
    name: TextOrNone = "CosineDecay",
    warmup_target: RateOrNone = None,
    warmup_steps: Rate = 0,
) -> Schedule:
    """Half a cosine wave to the part `alpha`, after a line if there is a `warmup_target`.

    Args:
        initial_learning_rate: first rate.
        decay_steps: steps of the wave, those of the line not included; whole and >= 1.
        alpha: last rate as a part of the highest.
        name: without effect.
        warmup_target: rate at the end of the line; with None there is no line, whatever `warmup_steps` is.
        warmup_steps: steps of the line, whole and >= 0.

    Examples:
        >>> CosineDecay(0.0, 900, warmup_target=0.1, warmup_steps=100)
        Linear(0.0, 0.1, steps=100) >> Cosine(0.1, 0.0, steps=900)
    """
    steps = _whole("CosineDecay(decay_steps=...)", decay_steps)
    if warmup_target is None:
        return Cosine(initial_learning_rate, initial_learning_rate * alpha, steps)
    decay = Cosine(warmup_target, warmup_target * alpha, steps)
    warmup = _whole("CosineDecay(warmup_steps=...)", warmup_steps, low=0)
    return warmed(warmup, initial_learning_rate, warmup_target, decay)


@checked
def CosineDecayRestarts(
    initial_learning_rate: Rate,
    first_decay_steps: Positive,
    t_mul: Annotated[float, Real(low=1.0)] = 2.0,
    m_mul: Rate = 1.0,
    alpha: Rate = 0.0,
    name: TextOrNone = "SGDRDecay",
) -> Schedule:
    """Half a cosine wave, again and again, each longer and lower than the one before.

    The floor `alpha * initial_learning_rate` is the same in all cycles. Keras finds the cycle by a logarithm in
    float32, which may miss a restart by one step; here it is found by comparing integers.

    Args:
        initial_learning_rate: first rate.
        first_decay_steps: steps of the first cycle, whole and >= 1.
        t_mul: factor of the length, >= 1; below 1 Keras ends in NaN.
        m_mul: factor of the height, >= 0.
        alpha: last rate of the first cycle as a part of its first; at most 1 if the height changes.
        name: without effect.

    Examples:
        >>> CosineDecayRestarts(0.1, 10, m_mul=0.5)(30)
        0.025
    """
    start, end = initial_learning_rate, initial_learning_rate * alpha
    steps = _whole("CosineDecayRestarts(first_decay_steps=...)", first_decay_steps)
    if m_mul == 1.0:
        return Repeat(Cosine(start, end, steps), stretch=t_mul)
    if m_mul == 0.0:
        return Cosine(start, end, steps)
    must(alpha <= 1.0, "CosineDecayRestarts(alpha=...)", "<= 1 where m_mul is not 1", alpha)
    waves = Repeat(Cosine(start - end, 0.0, steps), stretch=t_mul, scale=m_mul)
    return end + waves if end else waves
