"""The schedulers of OLMo-core 3.0.0, `olmo_core.optim.scheduler`.

OLMo-core's trainer counts a step before it sets the rate, so update t has the value of `current = t + 1`: a warm-up of
W steps begins with 1 / W and has its top at update W - 1. `t_max` is the trainer's `max_steps`; with `units="tokens"`
it is its `max_tokens`, all lengths are tokens, and update t has the value after `(t + 1) * tokens_per_step` of them.
"""

from typing import Unpack

from lrsched._curves import Constant, Cosine, Geometric, Linear, PowerLaw, Schedule
from lrsched.compat._tools import CountOrNone, Length, Positive, Rate, checked, late, must
from lrsched.compat.olmo_core.tails import (
    WSD,
    WSDS,
    CosWithWarmupAndLinearDecay,
    Part,
    PowerLR,
    TokenUnits,
    _cosine,
    _counted,
    _ramp,
    _steps,
)

__all__ = [
    "ConstantScheduler",
    "ConstantWithWarmup",
    "CosWithWarmup",
    "CosWithWarmupAndLinearDecay",
    "ExponentialScheduler",
    "HalfCosWithWarmup",
    "InvSqrtWithWarmup",
    "LinearWithWarmup",
    "PowerLR",
    "WSD",
    "WSDS",
]


@checked
def ConstantScheduler(lr: Rate, **count: Unpack[TokenUnits]) -> Schedule:
    """The rate itself.

    Args:
        lr: the initial learning rate, >= 0.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> ConstantScheduler(0.1)
        Constant(0.1)

    References:
        OLMo-core 3.0.0, optim/scheduler.py, and train/trainer.py for the count; so for all of this module.
    """
    return _counted("ConstantScheduler", Constant(lr), None, count)


@checked
def ConstantWithWarmup(
    lr: Rate,
    t_max: Length,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    warmup_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, then the rate itself.

    Args:
        lr: the initial learning rate, > `warmup_min_lr`.
        t_max: steps of the training.
        warmup: steps of the warm-up, >= 1.
        warmup_fraction: the same as a part of `t_max`, rounded; exactly one of the two is given.
        warmup_min_lr: value at step 0, which no update has.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = ConstantWithWarmup(1.0, 100, warmup=4)
        >>> s(0), s(3)
        (0.25, 1.0)
    """
    where = "ConstantWithWarmup"
    steps = _steps(where, "warmup", warmup, warmup_fraction, t_max)
    return _counted("ConstantWithWarmup", _ramp(where, lr, steps, warmup_min_lr, Constant(lr), 1), t_max, count)


@checked
def LinearWithWarmup(
    lr: Rate,
    t_max: Length,
    alpha_f: Rate = 0.1,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    warmup_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, then a line to `lr * alpha_f` at `t_max`.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training, or the scheduler's own `t_max`.
        alpha_f: last value relative to `lr`.
        warmup: steps of the warm-up.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        warmup_min_lr: value at step 0, which no update has.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> LinearWithWarmup(1.0, 10, alpha_f=0.0, warmup=2)(5)
        0.5
    """
    steps = _steps("LinearWithWarmup", "warmup", warmup, warmup_fraction, t_max)
    end = lr * alpha_f
    body: Schedule = Linear(lr, end, t_max - steps) if steps < t_max else Constant(end)
    return _counted("LinearWithWarmup", _ramp("LinearWithWarmup", lr, steps, warmup_min_lr, body), t_max, count)


@checked
def InvSqrtWithWarmup(
    lr: Rate,
    t_max: Length,
    alpha_f: Rate = 0.1,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    warmup_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, then `e + (lr - e) * sqrt(warmup / current)` with e = `lr * alpha_f`.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training.
        alpha_f: value approached relative to `lr`, at most 1 here.
        warmup: steps of the warm-up, >= 1.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        warmup_min_lr: value at step 0, which no update has.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> InvSqrtWithWarmup(1.0, 100, alpha_f=0.0, warmup=4)(15)
        0.5
    """
    where = "InvSqrtWithWarmup"
    steps = _steps(where, "warmup", warmup, warmup_fraction, t_max)
    must(steps > 0, f"{where}(warmup=...)", ">= 1", steps)
    end = lr * alpha_f
    must(end <= lr, f"{where}(alpha_f=...)", "<= 1", alpha_f)
    fall: Schedule = PowerLaw(lr - end, 0.5, timescale=steps)
    return _counted(
        "InvSqrtWithWarmup", _ramp(where, lr, steps, warmup_min_lr, fall + end if end else fall), t_max, count
    )


@checked
def CosWithWarmup(
    lr: Rate,
    t_max: Length,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    alpha_f: Rate = 0.1,
    warmup_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, then half a cosine to `lr * alpha_f` at `t_max`.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training, or the scheduler's own `t_max`.
        warmup: steps of the warm-up.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        alpha_f: last value relative to `lr`.
        warmup_min_lr: value at step 0, which no update has.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = CosWithWarmup(1.0, 10, warmup=2, alpha_f=0.0)
        >>> s(0), s(1), round(s(5), 12), s(9)
        (0.5, 1.0, 0.5, 0.0)
    """
    where = "CosWithWarmup"
    steps = _steps(where, "warmup", warmup, warmup_fraction, t_max)
    return _counted(
        "CosWithWarmup", _ramp(where, lr, steps, warmup_min_lr, _cosine(lr, lr * alpha_f, t_max - steps)), t_max, count
    )


@checked
def HalfCosWithWarmup(
    lr: Rate,
    t_max: Length,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    alpha_f: Rate = 0.1,
    warmup_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up to halfway between `lr` and `lr * alpha_f`, then the second half of a half cosine.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training, or the scheduler's own `t_max`.
        warmup: steps of the warm-up.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        alpha_f: last value relative to `lr`.
        warmup_min_lr: value at step 0, which no update has.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = HalfCosWithWarmup(1.0, 10, warmup=2, alpha_f=0.0)
        >>> s(0), round(s(1), 12), s(9)
        (0.25, 0.5, 0.0)
    """
    where = "HalfCosWithWarmup"
    steps = _steps(where, "warmup", warmup, warmup_fraction, t_max)
    end, rest = lr * alpha_f, t_max - steps
    body = late(Cosine(lr, end, 2 * rest), rest) if rest > 0 else Constant(end)
    return _counted("HalfCosWithWarmup", _ramp(where, end + (lr - end) / 2, steps, warmup_min_lr, body), t_max, count)


@checked
def ExponentialScheduler(
    lr: Positive,
    t_max: Length,
    lr_min: Positive = 1e-9,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """A rise from `lr_min` to `lr` at `t_max`, a straight line on a logarithmic axis: a range test.

    Args:
        lr: the initial learning rate, which is the last one, > 0.
        t_max: steps of the training.
        lr_min: value at step 0, which no update has, > 0.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> round(ExponentialScheduler(1.0, 4, lr_min=1e-4)(1), 12)
        0.01
    """
    return _counted("ExponentialScheduler", late(Geometric(lr_min, lr, t_max), 1), t_max, count)
