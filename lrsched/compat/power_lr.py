"""The schedulers of lm-engine, once dolomite-engine, with the power scheduler of IBM (PowerLR).

The end of the warm-up, of the constant phase and of the decay belong to these phases, so a decay without a step comes
one update after the constant phase. `lr` is the optimizer's learning rate.
"""

import math
from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Constant, Cosine, Extend, Linear, Minimum, NormalizedExponential, PowerLaw, Schedule
from lrsched.compat._tools import Count, CountOrNone, Length, Positive, Rate, checked, must, then, warmed

__all__ = ["ConstantScheduler", "CosineScheduler", "ExponentialScheduler", "LinearScheduler", "PowerScheduler"]

Exponent = Annotated[float, Real(low=-100.0, high=10.0)]


def _length(warmup: int, constant: int, decay: int | None, training: int) -> int:
    """Return the steps of the decay, none or fewer if it ends before it begins."""
    return training - warmup - constant if decay is None else decay


def _phases(lr: float, warmup: int, constant: int, fall: Schedule | None, end: float) -> Schedule:
    if fall is None:  # the last step of the constant phase belongs to it
        return warmed(warmup, 0.0, lr, Constant(lr, constant + 1) >> Constant(end))
    return warmed(warmup, 0.0, lr, then(constant, lr, fall))


@checked
def ConstantScheduler(
    lr: Rate,
    num_warmup_steps: Count,
    num_constant_steps: Count,
    num_decay_steps: Count,
    num_training_steps: Length,
    lr_decay_factor: Rate,
) -> Schedule:
    """Linear warm-up, then the rate itself.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_constant_steps: without effect.
        num_decay_steps: must be 0.
        num_training_steps: without effect.
        lr_decay_factor: without effect.

    Examples:
        >>> ConstantScheduler(0.1, 5, 0, 0, 100, 0.1)
        Linear(0.0, 0.1, steps=5) >> Constant(0.1)

    References:
        lm-engine at 36bad91 (2026-08-08), lm_engine/optimization/lr_scheduler; so for all of this module.
    """
    must(num_decay_steps == 0, "ConstantScheduler(num_decay_steps=...)", "0", num_decay_steps)
    return warmed(num_warmup_steps, 0.0, lr, Constant(lr))


@checked
def LinearScheduler(
    lr: Rate,
    num_warmup_steps: Count,
    num_constant_steps: Count,
    num_decay_steps: CountOrNone,
    num_training_steps: Length,
    lr_decay_factor: Rate,
) -> Schedule:
    """Linear warm-up, a constant phase, a line to `lr * lr_decay_factor`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_constant_steps: steps of the constant phase.
        num_decay_steps: steps of the decay; None stands for all that are left.
        num_training_steps: all steps.
        lr_decay_factor: the last value relative to `lr`, >= 0.

    Examples:
        >>> LinearScheduler(1.0, 2, 2, None, 10, 0.5)
        Linear(0.0, 1.0, steps=2) >> Constant(1.0, steps=2) >> Linear(1.0, 0.5, steps=6)
    """
    end = lr * lr_decay_factor
    steps = _length(num_warmup_steps, num_constant_steps, num_decay_steps, num_training_steps)
    return _phases(lr, num_warmup_steps, num_constant_steps, Linear(lr, end, steps) if steps > 0 else None, end)


@checked
def CosineScheduler(
    lr: Rate,
    num_warmup_steps: Count,
    num_constant_steps: Count,
    num_decay_steps: CountOrNone,
    num_training_steps: Length,
    lr_decay_factor: Rate,
) -> Schedule:
    """Linear warm-up, a constant phase, half a cosine to `lr * lr_decay_factor`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_constant_steps: steps of the constant phase.
        num_decay_steps: steps of the decay; None stands for all that are left.
        num_training_steps: all steps.
        lr_decay_factor: the last value relative to `lr`, >= 0.

    Examples:
        >>> CosineScheduler(1.0, 2, 0, None, 10, 0.5)
        Linear(0.0, 1.0, steps=2) >> Cosine(1.0, 0.5, steps=8)
    """
    end = lr * lr_decay_factor
    steps = _length(num_warmup_steps, num_constant_steps, num_decay_steps, num_training_steps)
    return _phases(lr, num_warmup_steps, num_constant_steps, Cosine(lr, end, steps) if steps > 0 else None, end)


@checked
def ExponentialScheduler(
    lr: Rate,
    num_warmup_steps: Count,
    num_constant_steps: Count,
    num_decay_steps: CountOrNone,
    num_training_steps: Length,
    lr_decay_factor: Rate,
) -> Schedule:
    """Linear warm-up, a constant phase, an exponential that meets `lr * lr_decay_factor` and goes on below it.

    With x the part of the decay gone it is `lr * (f + (1 - f) * (e ** (1 - x) - 1) / (e - 1))`, f = `lr_decay_factor`,
    which is negative in the end if f < 1 / e.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_constant_steps: steps of the constant phase.
        num_decay_steps: steps of the decay, >= 1; None stands for all that are left.
        num_training_steps: all steps.
        lr_decay_factor: f, >= 0.

    Examples:
        >>> s = ExponentialScheduler(1.0, 2, 0, None, 10, 0.1)
        >>> s(2), round(s(6), 6), round(s(10), 12)
        (1.0, 0.439787, 0.1)
    """
    steps = _length(num_warmup_steps, num_constant_steps, num_decay_steps, num_training_steps)
    must(steps > 0, "ExponentialScheduler(num_decay_steps=...)", "at least one step", num_decay_steps)
    fall = Extend(NormalizedExponential(lr, lr * lr_decay_factor, steps, rate=math.exp(-1.0)))
    return _phases(lr, num_warmup_steps, num_constant_steps, fall, 0.0)


@checked
def PowerScheduler(
    lr: Positive,
    num_warmup_steps: Count,
    num_constant_steps: Count,
    num_decay_steps: CountOrNone,
    num_training_steps: Length,
    lr_decay_factor: Rate,
    a: Positive,
    b: Exponent,
    c: Positive,
) -> Schedule:
    """The power scheduler: linear warm-up, then `min(lr, a * (c * step) ** b)`.

    `c * step` is the number of tokens. The paper's last decay to zero is no part of it.

    Args:
        lr: the optimizer's learning rate, the highest, > 0.
        num_warmup_steps: steps of the warm-up, which ends where the power law is then; >= 1 if b < 0.
        num_constant_steps: must be 0.
        num_decay_steps: without effect.
        num_training_steps: without effect.
        lr_decay_factor: without effect.
        a: amplitude, > 0; the paper's is 4.6 times the batch size.
        b: exponent of the tokens; the paper's is -0.51.
        c: tokens of a step, > 0.

    Raises:
        ValueError: an argument is out of range, or there is no warm-up, where 0 ** b is infinite.

    Examples:
        >>> s = PowerScheduler(1.0, 4, 0, None, 100, 0.0, a=8.0, b=-0.5, c=16.0)
        >>> s(2), s(4), s(16)
        (0.5, 1.0, 0.5)

    References:
        Shen et al., Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler, 2024.
        arXiv:2408.13359
    """
    must(num_constant_steps == 0, "PowerScheduler(num_constant_steps=...)", "0", num_constant_steps)
    warmup = num_warmup_steps
    must(warmup > 0 or b >= 0.0, "PowerScheduler(num_warmup_steps=...)", ">= 1 where b < 0", warmup)
    steps = max(warmup, 1)
    law = PowerLaw(a * (c * steps) ** b, -b, timescale=steps)
    if warmup:
        height = min(lr, law(0))
        return Linear(0.0, height, warmup) >> Minimum((Constant(lr), law))
    return Constant(min(lr, a * 0.0**b), 1) >> Minimum((Constant(lr), law))
