"""The schedulers of MosaicML Composer 0.32.1, `composer.optim.scheduler`.

Times are Composer's texts: "10ep" (epochs), "500ba" (batches, that is updates), "0.3dur" (part of the training). As
Composer resolves them while it trains, each function takes the state that it needs: `max_duration` and, where epochs
are named, `dataloader_len`, the batches of an epoch. `ssr` is the Trainer's `scale_schedule_ratio`; like the Trainer,
`max_duration` must then be given scaled already. Times in samples, tokens, iterations or seconds are refused: they are
not functions of the update alone.

Composer's schedulers return multipliers of the time; here `lr` multiplies them, and the schedule is what the Trainer
makes of them. It steps a scheduler after the update, before it counts the batch: update t uses the multiplier after
t - 1 batches, and the first one is used twice. With `step_schedulers_every_batch=False` it steps at the ends of epochs,
whose batches are counted by then. A batch that is split (`device_train_microbatch_size`) is one update.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Unpack

from lrsched._core.check import Many, Real
from lrsched._curves import Constant, Cosine, Epochs, Exponential, Linear, Polynomial, Schedule
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import OnOff, Positive, Rate, checked, late, must, stairs, then, truncated_cycles
from lrsched.compat.composer.time import ComposerClock, Time, TimeText, Training

__all__ = [
    "ConstantScheduler",
    "ConstantWithWarmupScheduler",
    "CosineAnnealingScheduler",
    "CosineAnnealingWarmRestartsScheduler",
    "CosineAnnealingWithWarmupScheduler",
    "ExponentialScheduler",
    "LinearScheduler",
    "LinearWithWarmupScheduler",
    "MultiStepScheduler",
    "MultiStepWithWarmupScheduler",
    "PolynomialScheduler",
    "PolynomialWithWarmupScheduler",
    "StepScheduler",
]


@checked
def StepScheduler(
    lr: Rate,
    step_size: Time,
    gamma: Positive = 0.1,
    **training: Unpack[Training],
) -> Schedule:
    """A staircase, `lr * gamma ** floor(t / step_size)`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_size: time between drops.
        gamma: factor at each drop, > 0.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> StepScheduler(1.0, "30ep", 0.5, dataloader_len=100)(3001)
        0.5

    References:
        Composer 0.32.1, optim/scheduler.py; so for all of this module.
    """
    clock = ComposerClock("StepScheduler", training)
    return clock.used(Epochs(Exponential(lr, gamma), clock.length("step_size", step_size)))


@checked
def MultiStepScheduler(
    lr: Rate,
    milestones: Annotated[Sequence[str], Many(TimeText(), least=0)],
    gamma: Rate = 0.1,
    **training: Unpack[Training],
) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: times at which the rate drops, in any order; there may be none.
        gamma: factor at each drop, >= 0.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> MultiStepScheduler(1.0, ["0.5dur", "9ep"], max_duration="10ep", dataloader_len=10)
        Constant(1.0, steps=51) >> Constant(0.1, steps=40) >> Constant(0.01)
    """
    clock = ComposerClock("MultiStepScheduler", training)
    steps = sorted(clock.batches(time) for time in milestones)
    return clock.used(stairs(steps, powers(lr, gamma, len(steps))))


@checked
def ConstantScheduler(
    lr: Rate,
    alpha: Rate = 1.0,
    t_max: Time = "1dur",
    **training: Unpack[Training],
) -> Schedule:
    """A constant multiplier that returns to 1 at `t_max`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        alpha: the multiplier until `t_max`, >= 0.
        t_max: the time at which the rate becomes `lr`.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> ConstantScheduler(0.1, alpha=0.5, t_max="8ba")
        Constant(0.05, steps=9) >> Constant(0.1)
    """
    clock = ComposerClock("ConstantScheduler", training)
    steps = clock.batches(t_max)
    return clock.used(then(steps, lr * alpha, Constant(lr)))


@checked
def LinearScheduler(
    lr: Rate,
    alpha_i: Rate = 1.0,
    alpha_f: Rate = 0.0,
    t_max: Time = "1dur",
    **training: Unpack[Training],
) -> Schedule:
    """A line from `alpha_i` to `alpha_f` times the rate; by default a decay.

    Args:
        lr: the optimizer's learning rate, >= 0.
        alpha_i: first multiplier, >= 0.
        alpha_f: multiplier from `t_max` on, >= 0.
        t_max: length of the line.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> LinearScheduler(0.1, max_duration="10ep", dataloader_len=5)
        Constant(0.1, steps=1) >> Linear(0.1, 0.0, steps=50)
        >>> LinearScheduler(1.0, max_duration="4ep", dataloader_len=5, step_schedulers_every_batch=False)
        Epochs(Table((1.0, 0.75, 0.5, 0.25, 0.0)), steps_per_epoch=5)
    """
    clock = ComposerClock("LinearScheduler", training)
    return clock.used(Linear(lr * alpha_i, lr * alpha_f, clock.length("t_max", t_max)))


@checked
def ExponentialScheduler(
    lr: Rate,
    gamma: Positive,
    decay_period: Time = "1ep",
    **training: Unpack[Training],
) -> Schedule:
    """Exponential decay, `lr * gamma ** (t / decay_period)`, batch by batch.

    Args:
        lr: the optimizer's learning rate, >= 0.
        gamma: factor after each period, > 0.
        decay_period: the period.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> ExponentialScheduler(1.0, 0.25, dataloader_len=10)(6)
        0.5
    """
    clock = ComposerClock("ExponentialScheduler", training)
    return clock.used(Exponential(lr, gamma, clock.length("decay_period", decay_period)))


@checked
def CosineAnnealingScheduler(
    lr: Rate,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    **training: Unpack[Training],
) -> Schedule:
    """Half a cosine from the rate to `alpha_f` times the rate.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_max: length of the curve.
        alpha_f: multiplier from `t_max` on, >= 0.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> CosineAnnealingScheduler(0.1, max_duration="500ba")
        Constant(0.1, steps=1) >> Cosine(0.1, 0.0, steps=500)
    """
    clock = ComposerClock("CosineAnnealingScheduler", training)
    return clock.used(Cosine(lr, lr * alpha_f, clock.length("t_max", t_max)))


@checked
def CosineAnnealingWarmRestartsScheduler(
    lr: Rate,
    t_0: Time,
    t_mult: Positive = 1.0,
    alpha_f: Rate = 0.0,
    **training: Unpack[Training],
) -> Schedule:
    """Half cosines with restarts; each cycle lasts `int(t_mult * cycle)` batches, rounded down each time.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_0: length of the first cycle.
        t_mult: factor of the length from cycle to cycle, at least 1. (With less Composer fails when a cycle has no
            batch left.)
        alpha_f: multiplier at the end of each cycle, >= 0.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> CosineAnnealingWarmRestartsScheduler(1.0, "10ba")
        Constant(1.0, steps=1) >> Repeat(Cosine(1.0, 0.0, steps=10))
    """
    where = "CosineAnnealingWarmRestartsScheduler"
    clock = ComposerClock(where, training)
    steps = clock.length("t_0", t_0)
    return clock.used(truncated_cycles(steps, t_mult, lambda _, n: Cosine(lr, lr * alpha_f, n), f"{where}(t_mult=...)"))


@checked
def PolynomialScheduler(
    lr: Rate,
    power: Positive,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    **training: Unpack[Training],
) -> Schedule:
    """A power of the part left, `lr * (alpha_f + (1 - alpha_f) * (1 - t / t_max) ** power)`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        power: exponent, > 0.
        t_max: length of the curve.
        alpha_f: multiplier from `t_max` on, >= 0.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the times other than parts of the training, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> PolynomialScheduler(1.0, 2.0, max_duration="100ba")(51)
        0.25
    """
    clock = ComposerClock("PolynomialScheduler", training)
    return clock.used(Polynomial(lr, lr * alpha_f, clock.length("t_max", t_max), power))


def _warmed(clock: ComposerClock, warmup: Any, scaled: bool, top: float, rest: Schedule) -> Schedule:
    """Return the warm-up and what follows; a scaled warm-up is slower, but ends when the other one does."""
    steps = clock.batches(warmup, scaled=False)
    slow = clock.length("t_warmup", warmup) if scaled and steps else max(steps, 1)
    return clock.used(then(steps, Linear(0.0, top, slow), rest))


def _with_warmup(
    clock: ComposerClock, warmup: Any, t_max: Any, scaled: bool, top: float, body: Callable[[int], Schedule]
) -> Schedule:
    end, begin = clock.batches(t_max), clock.batches(warmup, scaled=False)
    if clock.max_duration is not None:
        least, text = clock.total(), f"{t_max[0]:g}{t_max[1]}"
        must(end >= least, f"{clock.where}(t_max=...)", f"at least max_duration, {least} batches", text)
    rest = body(end - begin) if end > begin else Constant(top)
    return _warmed(clock, warmup, scaled, top, rest)


@checked
def MultiStepWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    milestones: Annotated[Sequence[str], Many(TimeText(), least=0)],
    gamma: Rate = 0.1,
    scale_warmup: OnOff = False,
    **training: Unpack[Training],
) -> Schedule:
    """A linear warm-up laid over a staircase: milestones within it act when it ends.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up; not scaled by `ssr`.
        milestones: times at which the rate drops, counted from the start of the training; there may be none.
        gamma: factor at each drop, >= 0.
        scale_warmup: whether the slope of the warm-up (not its length) is scaled by `ssr`; then not 0 batches.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> s = MultiStepWithWarmupScheduler(1.0, "4ba", ["8ba"])
        >>> s(3), s(8), s(9)
        (0.5, 1.0, 0.1)
    """
    clock = ComposerClock("MultiStepWithWarmupScheduler", training)
    steps = sorted(clock.batches(time) for time in milestones)
    body = stairs(steps, powers(lr, gamma, len(steps)))
    return _warmed(clock, t_warmup, scale_warmup, lr, late(body, clock.batches(t_warmup, scaled=False)))


@checked
def ConstantWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    alpha: Rate = 1.0,
    t_max: Time = "1dur",
    scale_warmup: OnOff = False,
    **training: Unpack[Training],
) -> Schedule:
    """A linear warm-up to `alpha` times the rate, and that for ever (unlike `ConstantScheduler`).

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up; not scaled by `ssr`.
        alpha: the multiplier, >= 0.
        t_max: at least `max_duration`.
        scale_warmup: whether the slope of the warm-up (not its length) is scaled by `ssr`; then not 0 batches.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> ConstantWithWarmupScheduler(0.1, "4ba", max_duration="20ba")
        Constant(0.0, steps=1) >> Linear(0.0, 0.1, steps=4) >> Constant(0.1)
    """
    clock = ComposerClock("ConstantWithWarmupScheduler", training)
    top = lr * alpha
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, top, lambda steps: Constant(top))


@checked
def LinearWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    alpha_i: Rate = 1.0,
    alpha_f: Rate = 0.0,
    t_max: Time = "1dur",
    scale_warmup: OnOff = False,
    **training: Unpack[Training],
) -> Schedule:
    """A linear warm-up to `alpha_i` times the rate, then a line to `alpha_f` times it at `t_max`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up; not scaled by `ssr`.
        alpha_i: multiplier after the warm-up, >= 0.
        alpha_f: multiplier from `t_max` on, >= 0.
        t_max: end of the line, counted from the start of the training; at least `max_duration`.
        scale_warmup: whether the slope of the warm-up (not its length) is scaled by `ssr`; then not 0 batches.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> LinearWithWarmupScheduler(0.1, "1ep", max_duration="10ep", dataloader_len=8)
        Constant(0.0, steps=1) >> Linear(0.0, 0.1, steps=8) >> Linear(0.1, 0.0, steps=72)
    """
    clock = ComposerClock("LinearWithWarmupScheduler", training)
    top = lr * alpha_i
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, top, lambda steps: Linear(top, lr * alpha_f, steps))


@checked
def CosineAnnealingWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    scale_warmup: OnOff = False,
    **training: Unpack[Training],
) -> Schedule:
    """A linear warm-up, then half a cosine to `alpha_f` times the rate at `t_max`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up; not scaled by `ssr`.
        t_max: end of the cosine, counted from the start of the training; at least `max_duration`.
        alpha_f: multiplier from `t_max` on, >= 0.
        scale_warmup: whether the slope of the warm-up (not its length) is scaled by `ssr`; then not 0 batches.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> CosineAnnealingWithWarmupScheduler(0.1, "0.1dur", max_duration="100ba")
        Constant(0.0, steps=1) >> Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.0, steps=90)
    """
    clock = ComposerClock("CosineAnnealingWithWarmupScheduler", training)
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, lr, lambda steps: Cosine(lr, lr * alpha_f, steps))


@checked
def PolynomialWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    power: Annotated[float, Real(low=0.0, open_low=True)] = 2.0,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    scale_warmup: OnOff = False,
    **training: Unpack[Training],
) -> Schedule:
    """A linear warm-up, then a power of the part left, to `alpha_f` times the rate at `t_max`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up; not scaled by `ssr`.
        power: exponent, > 0.
        t_max: end of the decay, counted from the start of the training; at least `max_duration`.
        alpha_f: multiplier from `t_max` on, >= 0.
        scale_warmup: whether the slope of the warm-up (not its length) is scaled by `ssr`; then not 0 batches.
        max_duration: length of the training, if a time is a part of it.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Examples:
        >>> PolynomialWithWarmupScheduler(1.0, "20ba", max_duration="100ba")(61)
        0.25
    """
    clock = ComposerClock("PolynomialWithWarmupScheduler", training)
    end = lr * alpha_f
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, lr, lambda steps: Polynomial(lr, end, steps, power))
