"""The schedulers of OLMo-core 3.0.0, `olmo_core.optim.scheduler`.

OLMo-core's trainer counts a step before it sets the rate, so update t has the value of `current = t + 1`: a warm-up of
W steps begins with 1 / W and has its top at update W - 1. `t_max` is the trainer's `max_steps`; with `units="tokens"`
it is its `max_tokens`, all lengths are tokens, and update t has the value after `(t + 1) * tokens_per_step` of them.
"""

from collections.abc import Sequence
from typing import Annotated, TypedDict, Unpack

from lrsched._core.check import Choice, Int, Many, OrNone, Real
from lrsched._curves import Batches, Constant, Cosine, Extend, Geometric, Hold, Linear, PowerLaw, Schedule
from lrsched.compat._tools import (
    CountOrNone,
    Default,
    Length,
    LengthOrNone,
    Positive,
    Rate,
    checked,
    late,
    must,
    then,
    warmed,
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

Part = Annotated[float | None, OrNone(Real(low=0.0, high=1.0))]


class TokenUnits(TypedDict, total=False):
    """What the lengths of every scheduler of OLMo-core count.

    Args:
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".
    """

    units: Annotated[str, Choice(("steps", "tokens")), Default("steps")]
    tokens_per_step: Annotated[LengthOrNone, Default(None)]


def _steps(where: str, name: str, steps: int | None, part: float | None, total: int) -> int:
    given = (steps is None) != (part is None)
    must(given, f"{where}({name}=...)", f"given, or {name}_fraction, and not both", steps)
    return steps if steps is not None else round(total * (part or 0.0))


def _counted(where: str, schedule: Schedule, t_max: int | None, count: TokenUnits) -> Schedule:
    """Return the schedule in updates, where its steps are what `count` says."""
    size = count["tokens_per_step"]
    given = (count["units"] == "tokens") == (size is not None) or t_max is None
    must(given, f"{where}(tokens_per_step=...)", 'given if units is "tokens", and only then', size)
    if size is None or isinstance(schedule, Constant):
        return schedule
    # The trainer stops with the update that reaches t_max; where something ends, no step is too large for int32.
    ends = schedule if schedule.length is not None else Hold(schedule, (t_max or 1) + size)
    return Batches(ends, size)


def _ramp(where: str, lr: float, warmup: int, low: float, body: Schedule, at_least: int = 0) -> Schedule:
    """Return the warm-up and the rest, seen from current = 1 on."""
    must(warmup >= at_least, f"{where}(warmup=...)", f">= {at_least}", warmup)
    must(low < lr, f"{where}(warmup_min_lr=...)", f"< {lr!r}", low)
    return late(warmed(warmup, low, lr, body), 1)


def _cooldown(where: str, start: float, low: float, steps: int) -> Schedule:
    """Return the last line, which goes on below its end."""
    must(low < start, f"{where}(decay_min_lr=...)", f"< {start!r}", low)
    return Extend(Linear(start, low, steps)) if steps else Constant(start)


@checked
def WSD(
    lr: Rate,
    t_max: Length,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    decay: CountOrNone = None,
    decay_fraction: Part = 0.1,
    warmup_min_lr: Rate = 0.0,
    decay_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, a constant phase, a line to `decay_min_lr` at `t_max`, which goes on below it.

    Args:
        lr: the initial learning rate, more than the two lowest ones.
        t_max: steps of the training.
        warmup: steps of the warm-up, >= 1.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        decay: steps of the last line; then `decay_fraction` must be None.
        decay_fraction: the same as a part of `t_max`.
        warmup_min_lr: value at step 0, which no update has.
        decay_min_lr: value at step `t_max`, that of the last update.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = WSD(1.0, 10, warmup=2, decay=4, decay_fraction=None)
        >>> s(0), s(5), s(6), s(9)
        (0.5, 1.0, 0.75, 0.0)
    """
    steps = _steps("WSD", "warmup", warmup, warmup_fraction, t_max)
    tail = _steps("WSD", "decay", decay, decay_fraction, t_max)
    fall = _cooldown("WSD", lr, decay_min_lr, tail)
    stable = t_max - tail - steps
    # The end of the warm-up belongs to the warm-up, even where the decay would have begun.
    body = then(stable, lr, fall) if stable >= 0 else then(1, Constant(lr), late(fall, 1 - stable))
    return _counted("WSD", _ramp("WSD", lr, steps, warmup_min_lr, body, 1), t_max, count)


@checked
def PowerLR(
    lr: Rate,
    t_max: Length,
    b: Annotated[float, Real(low=-100.0, high=0.0, open_high=True)] = -0.51,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    warmup_min_lr: Rate = 0.0,
    decay: CountOrNone = None,
    decay_fraction: Part = 0.1,
    decay_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Linear warm-up, then `lr * (current / warmup) ** b`, then a line to `decay_min_lr`, which goes on below it.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training.
        b: exponent, < 0.
        warmup: steps of the warm-up, >= 1, fewer than those before the last line.
        warmup_fraction: the same as a part of `t_max`; exactly one of the two is given.
        warmup_min_lr: value at step 0, which no update has.
        decay: steps of the last line; then `decay_fraction` must be None.
        decay_fraction: the same as a part of `t_max`.
        decay_min_lr: value at step `t_max`, that of the last update.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> round(PowerLR(1.0, 100, b=-0.5, warmup=10)(39), 12)
        0.5
    """
    steps = _steps("PowerLR", "warmup", warmup, warmup_fraction, t_max)
    tail = _steps("PowerLR", "decay", decay, decay_fraction, t_max)
    body = t_max - tail - steps
    must(
        steps > 0 and body > 0,
        "PowerLR(warmup=...)",
        f"from 1 to less than {t_max - tail}, where the line begins",
        steps,
    )
    fall = PowerLaw(lr, -b, timescale=steps)
    rest = Hold(fall, body) >> _cooldown("PowerLR", fall(body), decay_min_lr, tail) if tail else fall
    return _counted("PowerLR", _ramp("PowerLR", lr, steps, warmup_min_lr, rest), t_max, count)


def _cosine(start: float, end: float, steps: int) -> Schedule:
    return Cosine(start, end, steps) if steps > 0 else Constant(end)


@checked
def CosWithWarmupAndLinearDecay(
    lr: Rate,
    t_max: Length,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    alpha_f: Rate = 0.1,
    warmup_min_lr: Rate = 0.0,
    decay: CountOrNone = None,
    decay_fraction: Part = 0.1,
    decay_min_lr: Rate = 0.0,
    *,
    cosine_t_max: LengthOrNone = None,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """`CosWithWarmup` whose last steps are a line to `decay_min_lr`, which goes on below it.

    Args:
        lr: the initial learning rate.
        t_max: steps of the training.
        warmup: steps of the warm-up, fewer than those before the line.
        warmup_fraction: the same as a part of the cosine's length; exactly one of the two is given.
        alpha_f: last value of the cosine relative to `lr`.
        warmup_min_lr: value at step 0, which no update has.
        decay: steps of the line; then `decay_fraction` must be None.
        decay_fraction: the same as a part of `t_max`.
        decay_min_lr: value at step `t_max`, that of the last update.
        cosine_t_max: the scheduler's own `t_max`, the end of the cosine; None stands for that of the training.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = CosWithWarmupAndLinearDecay(1.0, 10, warmup=2, decay=4, decay_fraction=None, alpha_f=0.0)
        >>> round(s(5), 12), round(s(7), 12), s(9)
        (0.5, 0.25, 0.0)
    """
    where = "CosWithWarmupAndLinearDecay"
    end = cosine_t_max or t_max
    steps = _steps(where, "warmup", warmup, warmup_fraction, end)
    tail = _steps(where, "decay", decay, decay_fraction, t_max)
    body = t_max - tail - steps
    must(body >= 0, f"{where}(warmup=...)", f"<= {t_max - tail}, where the line begins", steps)
    wave = _cosine(lr, lr * alpha_f, end - steps)
    rest = then(body, wave, _cooldown(where, wave(body), decay_min_lr, tail)) if tail else wave
    return _counted("CosWithWarmupAndLinearDecay", _ramp(where, lr, steps, warmup_min_lr, rest), t_max, count)


@checked
def WSDS(
    lr: Rate,
    period_lengths: Annotated[Sequence[int], Many(Int(low=1))],
    period_lr_multipliers: Annotated[
        Sequence[float] | None, OrNone(Many(Real(low=0.0, open_low=True), least=0))
    ] = None,
    warmup: CountOrNone = None,
    warmup_fraction: Part = None,
    decay: CountOrNone = None,
    decay_fraction: Part = None,
    warmup_min_lr: Rate = 0.0,
    decay_min_lr: Rate = 0.0,
    **count: Unpack[TokenUnits],
) -> Schedule:
    """Several stable phases, each with its decay (WSD-S); the first period holds the warm-up too.

    Args:
        lr: the initial learning rate.
        period_lengths: steps of each period.
        period_lr_multipliers: height of each period relative to `lr`.
        warmup: steps of the warm-up.
        warmup_fraction: the same as a part of the first period; exactly one of the two is given.
        decay: steps of each decay, >= 1.
        decay_fraction: the same as a part of each period; exactly one of the two is given.
        warmup_min_lr: value at step 0, which no update has.
        decay_min_lr: value at the end of each period, and of the last one for ever.
        units: "steps", or "tokens": then every length counts tokens.
        tokens_per_step: tokens of an update, if `units` is "tokens".

    Examples:
        >>> s = WSDS(1.0, [10, 10], warmup=2, decay=4)
        >>> s(1), s(5), s(9), s(10)
        (1.0, 1.0, 0.0, 1.0)
    """
    multipliers = period_lr_multipliers or [1.0] * len(period_lengths)
    same = len(multipliers) == len(period_lengths)
    must(same, "WSDS(period_lr_multipliers=...)", f"{len(period_lengths)} numbers", period_lr_multipliers)
    first = _steps("WSDS", "warmup", warmup, warmup_fraction, period_lengths[0])
    body: Schedule | None = None
    for i in reversed(range(len(period_lengths))):
        steps, top = period_lengths[i], lr * multipliers[i]
        tail = _steps("WSDS", "decay", decay, decay_fraction, steps)
        stable = steps - tail - (first if i == 0 else 0)
        must(tail > 0 and stable >= 0, "WSDS(decay=...)", "from 1 to the steps of each period without warm-up", tail)
        must(decay_min_lr < top, "WSDS(decay_min_lr=...)", f"< {top!r}", decay_min_lr)
        fall = Linear(top, decay_min_lr, tail)
        # The step at which a period ends belongs to it, so the next one lacks its first.
        rest = fall if body is None else fall >> (Constant(decay_min_lr, 1) >> late(body, 1))
        body = then(stable, top, rest)
    assert body is not None
    return _counted("WSDS", _ramp("WSDS", lr * multipliers[0], first, warmup_min_lr, body), sum(period_lengths), count)


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
