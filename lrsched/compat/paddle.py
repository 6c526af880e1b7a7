"""The schedulers of PaddlePaddle 3.3.1, `paddle.optimizer.lr`. One step is one call of `step()`.

`Model.fit` makes it after each batch. With `accumulate_grad_batches=n` update j has the rate of the last of its
batches, `s(n * j + n - 1)`, which is `Batches(s, n)(j)`, as long as the batches of an epoch are a multiple of n: the
last update of an epoch takes what is left.

`ReduceOnPlateau` listens to a metric, and `LambdaDecay` and `MultiplicativeDecay` hold a function; they are no values
of this kind.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from lrsched._core.check import Choice, Int, Many, Real
from lrsched._curves import Complete, Constant, Cosine, Epochs, Exponential, InverseTime, Linear, PowerLaw, Schedule
from lrsched._recipes.decimals import powers
from lrsched.compat import keras, torch
from lrsched.compat._tools import (
    Fraction,
    Length,
    LengthOrNone,
    OnOff,
    Positive,
    Rate,
    Rates,
    checked,
    must,
    phases,
    stairs,
    warmed,
)

__all__ = [
    "CosineAnnealingDecay",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearLR",
    "LinearWarmup",
    "MultiStepDecay",
    "NaturalExpDecay",
    "NoamDecay",
    "OneCycleLR",
    "PiecewiseDecay",
    "PolynomialDecay",
    "StepDecay",
]

Milestones = Annotated[Sequence[int], Many(Int(low=0))]
BelowOne = Annotated[float, Real(low=0.0, high=1.0, open_low=True, open_high=True)]


@checked
def NoamDecay(d_model: Length, warmup_steps: Length, learning_rate: Rate = 1.0) -> Schedule:
    """The transformer's schedule, `learning_rate * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5)`.

    Args:
        d_model: width of the model, >= 1.
        warmup_steps: steps of the warm-up, >= 1; step 0 has rate 0.
        learning_rate: factor, >= 0.

    Examples:
        >>> s = NoamDecay(4, 4)
        >>> s(0), s(4), s(16)
        (0.0, 0.25, 0.125)

    References:
        PaddlePaddle 3.3.1, python/paddle/optimizer/lr.py; so for all of this module.
    """
    peak = learning_rate * (d_model * warmup_steps) ** -0.5
    return Linear(0.0, peak, warmup_steps) >> PowerLaw(peak, 0.5, timescale=warmup_steps)


@checked
def PiecewiseDecay(boundaries: Milestones, values: Rates) -> Schedule:
    """A staircase of given values; value i + 1 is used from boundary i on.

    Args:
        boundaries: increasing steps.
        values: at least one more than there are boundaries; the last one stays.

    Examples:
        >>> PiecewiseDecay([10, 20], [0.1, 0.05, 0.01])
        Constant(0.1, steps=10) >> Constant(0.05, steps=10) >> Constant(0.01)
    """
    where = "PiecewiseDecay"
    must(len(values) > len(boundaries), f"{where}(values=...)", f"more than {len(boundaries)} numbers", values)
    increase = all(a < b for a, b in pairwise(boundaries))
    must(increase, f"{where}(boundaries=...)", "in increasing order", boundaries)
    return stairs(boundaries, [*values[: len(boundaries)], values[-1]])


@checked
def NaturalExpDecay(learning_rate: Rate, gamma: Positive) -> Schedule:
    """Exponential decay, `learning_rate * exp(-gamma * t)`.

    Args:
        learning_rate: value at step 0, >= 0.
        gamma: rate of the decay, > 0.

    Examples:
        >>> round(NaturalExpDecay(1.0, 0.1)(10), 12)
        0.367879441171
    """
    return Exponential(learning_rate, math.exp(-1.0), steps=1.0 / gamma)


@checked
def InverseTimeDecay(learning_rate: Rate, gamma: Rate) -> Schedule:
    """Inverse time decay, `learning_rate / (1 + gamma * t)`.

    Args:
        learning_rate: value at step 0, >= 0.
        gamma: growth of the divisor, >= 0.

    Examples:
        >>> InverseTimeDecay(1.0, 0.1)(10)
        0.5
    """
    return InverseTime(learning_rate, gamma)


@checked
def PolynomialDecay(
    learning_rate: Rate, decay_steps: Length, end_lr: Rate = 0.0001, power: Positive = 1.0, cycle: OnOff = False
) -> Schedule:
    """A power of the part left, `end_lr + (learning_rate - end_lr) * (1 - t / decay_steps) ** power`.

    Args:
        learning_rate: value at step 0, >= 0.
        decay_steps: length of the decay, or with `cycle` its unit.
        end_lr: last value, >= 0. The default may lie *above* the first one.
        power: exponent, > 0.
        cycle: whether the length becomes the next multiple of `decay_steps` each time the end is reached, as in Keras;
            then `end_lr` must not exceed `learning_rate`.

    Examples:
        >>> PolynomialDecay(1.0, 10, end_lr=0.0, power=2.0)(5)
        0.25
    """
    return keras.PolynomialDecay(learning_rate, decay_steps, end_lr, power, cycle)


@checked
def LinearWarmup(
    learning_rate: Annotated[Schedule | float, Complete(lift=True)], warmup_steps: Length, start_lr: Rate, end_lr: Rate
) -> Schedule:
    """A line from `start_lr` to `end_lr`, then another schedule from its own step 0, whatever that has there.

    Args:
        learning_rate: the schedule, or a number.
        warmup_steps: steps of the line.
        start_lr: its first value, >= 0.
        end_lr: the value it approaches, more than `start_lr`.

    Examples:
        >>> LinearWarmup(0.1, 10, 0.0, 0.2)
        Linear(0.0, 0.2, steps=10) >> Constant(0.1)
    """
    must(end_lr > start_lr, "LinearWarmup(end_lr=...)", f"> start_lr={start_lr!r}", end_lr)
    body = learning_rate if isinstance(learning_rate, Schedule) else Constant(learning_rate)
    return warmed(warmup_steps, start_lr, end_lr, body)


@checked
def ExponentialDecay(learning_rate: Rate, gamma: BelowOne) -> Schedule:
    """Exponential decay, `learning_rate * gamma ** t`.

    Args:
        learning_rate: value at step 0, >= 0.
        gamma: factor per step, in (0, 1).

    Examples:
        >>> round(ExponentialDecay(1.0, 0.5)(2), 12)
        0.25
    """
    return Exponential(learning_rate, gamma)


@checked
def MultiStepDecay(
    learning_rate: Rate,
    milestones: Annotated[Sequence[int], Many(Int(low=0), least=0)],
    gamma: Annotated[float, Real(low=0.0, high=1.0, open_high=True)] = 0.1,
) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        learning_rate: first value, >= 0.
        milestones: strictly increasing steps.
        gamma: factor at each of them, in [0, 1).

    Examples:
        >>> MultiStepDecay(1.0, [10, 20], 0.5)(15)
        0.5
    """
    increase = all(a < b for a, b in pairwise(milestones))
    must(increase, "MultiStepDecay(milestones=...)", "strictly increasing", milestones)
    return stairs(milestones, powers(learning_rate, gamma, len(milestones)))


@checked
def StepDecay(learning_rate: Rate, step_size: Length, gamma: BelowOne = 0.1) -> Schedule:
    """The rate times `gamma` after each `step_size` steps.

    Args:
        learning_rate: first value, >= 0.
        step_size: steps between drops.
        gamma: factor at each drop, in (0, 1).

    Examples:
        >>> StepDecay(1.0, 10, 0.5)(15)
        0.5
    """
    return Epochs(Exponential(learning_rate, gamma), step_size)


@checked
def CosineAnnealingDecay(learning_rate: Rate, T_max: Length, eta_min: Rate = 0.0) -> Schedule:
    """A cosine wave from the rate to `eta_min` at step `T_max`, and back: it rises again.

    Args:
        learning_rate: value at step 0, >= 0.
        T_max: steps of half a period.
        eta_min: value at step `T_max`.

    Examples:
        >>> CosineAnnealingDecay(1.0, 10)(20)
        1.0
    """
    return torch.CosineAnnealingLR(learning_rate, T_max, eta_min)


@checked
def OneCycleLR(
    max_learning_rate: Rate,
    total_steps: Length,
    divide_factor: Positive = 25.0,
    end_learning_rate: Rate = 0.0001,
    phase_pct: Fraction = 0.3,
    anneal_strategy: Annotated[str, Choice(("cos", "linear"))] = "cos",
    three_phase: OnOff = False,
) -> Schedule:
    """The one-cycle policy of torch with an absolute last value.

    From `max_learning_rate / divide_factor` to `max_learning_rate` at the real time `phase_pct * total_steps - 1`, then
    to `end_learning_rate` at step `total_steps - 1`, which stays. (Paddle has one more value, and then raises.)

    Args:
        max_learning_rate: the top, >= 0.
        total_steps: all steps.
        divide_factor: the top divided by the first value, > 0.
        end_learning_rate: last value, >= 0.
        phase_pct: part of the steps that rises, from 0 to 1; less than 1/2 with three phases.
        anneal_strategy: "cos" or "linear".
        three_phase: whether to fall back to the first value, as fast as the rise was, before the last phase.

    Raises:
        ValueError: an argument is out of range, or the rise takes no time or all.

    Examples:
        >>> s = OneCycleLR(1.0, 10)
        >>> round(s(0), 12), round(s(2), 12), s(9)
        (0.04, 1.0, 0.0001)
    """
    where = "OneCycleLR(phase_pct=...)"
    must(not three_phase or phase_pct < 0.5, where, "< 0.5 with three phases", phase_pct)
    top = phase_pct * total_steps - 1
    must(top != 0.0 and top < total_steps - 1, where, "a part of more than one step, not all", phase_pct)
    ends = [top, 2 * phase_pct * total_steps - 2] if three_phase else [top]
    shape = Cosine if anneal_strategy == "cos" else Linear
    first = max_learning_rate / divide_factor
    return phases(first, max_learning_rate, end_learning_rate, total_steps - 1, ends, shape)


@checked
def CyclicLR(
    base_learning_rate: Rate,
    max_learning_rate: Rate,
    step_size_up: Length,
    step_size_down: LengthOrNone = None,
    mode: Annotated[str, Choice(("triangular", "triangular2", "exp_range"))] = "triangular",
    exp_gamma: Positive = 1.0,
) -> Schedule:
    """A triangular wave, whose height may halve from cycle to cycle or fall by a factor a step.

    Args:
        base_learning_rate: lowest value, >= 0.
        max_learning_rate: value at the first top, at least the lowest.
        step_size_up: steps of the rise.
        step_size_down: steps of the fall; None for as many.
        mode: "triangular", "triangular2" or "exp_range". (Paddle also takes a function.)
        exp_gamma: the factor of "exp_range", > 0.

    Examples:
        >>> CyclicLR(0.0, 1.0, 4, mode="triangular2")(12)
        0.5
    """
    return torch.CyclicLR(base_learning_rate, max_learning_rate, step_size_up, step_size_down, mode, exp_gamma)


@checked
def LinearLR(
    learning_rate: Rate,
    total_steps: Length,
    start_factor: Annotated[float, Real(low=0.0, high=1.0, open_low=True)] = 1.0 / 3,
    end_factor: Fraction = 1.0,
) -> Schedule:
    """A line from `start_factor` to `end_factor` times the rate.

    Args:
        learning_rate: the rate, >= 0.
        total_steps: steps of the line.
        start_factor: first factor, in (0, 1].
        end_factor: last factor, from 0 to 1.

    Examples:
        >>> LinearLR(1.0, 5, start_factor=0.5)
        Linear(0.5, 1.0, steps=5)
    """
    return Linear(learning_rate * start_factor, learning_rate * end_factor, total_steps)


@checked
def CosineAnnealingWarmRestarts(learning_rate: Rate, T_0: Length, T_mult: Length = 1, eta_min: Rate = 0.0) -> Schedule:
    """Half cosines to `eta_min` with restarts.

    Args:
        learning_rate: value at each restart, >= 0.
        T_0: steps of the first cycle.
        T_mult: factor of the length from cycle to cycle, an int >= 1.
        eta_min: value that each cycle approaches.

    Examples:
        >>> CosineAnnealingWarmRestarts(1.0, 10, 2)(30)
        1.0
    """
    return torch.CosineAnnealingWarmRestarts(learning_rate, T_0, T_mult, eta_min)
