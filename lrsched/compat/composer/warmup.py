"""Composer's schedulers with a warm-up."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from lrsched._core.check import Many, Real
from lrsched._curves.ramps import Cosine, Linear, Polynomial
from lrsched._curves.schedule import Constant, Schedule
from lrsched._recipes.decimals import powers
from lrsched.compat._tools.arguments import LengthOrNone, OnOff, Positive, Rate, checked, must
from lrsched.compat._tools.pieces import late, stairs, then
from lrsched.compat.composer.time import Clock, EveryBatch, Time, TimeOrNone, TimeText


class _Body(Protocol):
    def __call__(self, steps: int, /) -> Schedule: ...


def _warmed(clock: Clock, warmup: Any, scaled: bool, top: float, rest: Schedule) -> Schedule:
    """Return the warm-up and what follows; a scaled warm-up is slower, but ends when the other one does."""
    steps = clock.batches(warmup, scaled=False)
    slow = clock.length("t_warmup", warmup) if scaled and steps else max(steps, 1)
    return clock.used(then(steps, Linear(0.0, top, slow), rest))


def _with_warmup(clock: Clock, warmup: Any, t_max: Any, scaled: bool, top: float, body: _Body) -> Schedule:
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
    *,
    max_duration: TimeOrNone = None,
    dataloader_len: LengthOrNone = None,
    ssr: Positive = 1.0,
    step_schedulers_every_batch: EveryBatch = True,
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
    clock = Clock("MultiStepWithWarmupScheduler", max_duration, dataloader_len, ssr, step_schedulers_every_batch)
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
    *,
    max_duration: TimeOrNone = None,
    dataloader_len: LengthOrNone = None,
    ssr: Positive = 1.0,
    step_schedulers_every_batch: EveryBatch = True,
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
    clock = Clock("ConstantWithWarmupScheduler", max_duration, dataloader_len, ssr, step_schedulers_every_batch)
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
    *,
    max_duration: TimeOrNone = None,
    dataloader_len: LengthOrNone = None,
    ssr: Positive = 1.0,
    step_schedulers_every_batch: EveryBatch = True,
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
    clock = Clock("LinearWithWarmupScheduler", max_duration, dataloader_len, ssr, step_schedulers_every_batch)
    top = lr * alpha_i
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, top, lambda steps: Linear(top, lr * alpha_f, steps))


@checked
def CosineAnnealingWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    scale_warmup: OnOff = False,
    *,
    max_duration: TimeOrNone = None,
    dataloader_len: LengthOrNone = None,
    ssr: Positive = 1.0,
    step_schedulers_every_batch: EveryBatch = True,
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
    clock = Clock("CosineAnnealingWithWarmupScheduler", max_duration, dataloader_len, ssr, step_schedulers_every_batch)
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, lr, lambda steps: Cosine(lr, lr * alpha_f, steps))


@checked
def PolynomialWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    power: Annotated[float, Real(low=0.0, open_low=True)] = 2.0,
    t_max: Time = "1dur",
    alpha_f: Rate = 0.0,
    scale_warmup: OnOff = False,
    *,
    max_duration: TimeOrNone = None,
    dataloader_len: LengthOrNone = None,
    ssr: Positive = 1.0,
    step_schedulers_every_batch: EveryBatch = True,
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
    clock = Clock("PolynomialWithWarmupScheduler", max_duration, dataloader_len, ssr, step_schedulers_every_batch)
    end = lr * alpha_f
    return _with_warmup(clock, t_warmup, t_max, scale_warmup, lr, lambda steps: Polynomial(lr, end, steps, power))
