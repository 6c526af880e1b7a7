"""The shorter schedulers of MMEngine: staircases, factors and lines."""

from collections.abc import Sequence
from typing import Annotated, Any

from lrsched._core.check import Many, Real
from lrsched._curves.schedule import Schedule
from lrsched.compat._tools.arguments import Fraction, LengthOrNone, OnOff, Positive, Rate, checked
from lrsched.compat.mmengine.build import INF, Span, alone

Moment = Annotated[float, Span()]


@checked
def StepLR(
    lr: Rate,
    step_size: Moment,
    gamma: Positive = 0.1,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """The rate times `gamma` after each `step_size` steps.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_size: steps between drops.
        gamma: factor at each drop, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> StepLR(1.0, step_size=5, gamma=0.5, begin=10)(17)
        0.5

    References:
        MMEngine 0.10.7, optim/scheduler/param_scheduler.py; so for all of this module.
    """
    return alone("StepLR", lr, begin, end, convert_to_iter_based, epoch_length, same, step_size=step_size, gamma=gamma)


@checked
def MultiStepLR(
    lr: Rate,
    milestones: Annotated[Sequence[float], Many(Span(), least=0)],
    gamma: Rate = 0.1,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: steps counted from `begin`, in any order; a repeated one counts again.
        gamma: factor at each milestone, >= 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> MultiStepLR(1.0, milestones=[5], gamma=0.5, begin=10)(15)
        0.5
    """
    return alone(
        "MultiStepLR", lr, begin, end, convert_to_iter_based, epoch_length, same, milestones=milestones, gamma=gamma
    )


@checked
def ConstantLR(
    lr: Rate,
    factor: Fraction = 1 / 3,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """The rate times `factor`, and the rate itself again at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        factor: the factor, from 0 to 1; 0 only without an end, as MMEngine divides by it there.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`; with `begin + 1` the factor stays.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> ConstantLR(1.0, factor=0.5, end=5)
        Constant(0.5, steps=4) >> Constant(1.0)
    """
    return alone("ConstantLR", lr, begin, end, convert_to_iter_based, epoch_length, same, factor=factor)


@checked
def ExponentialLR(
    lr: Rate,
    gamma: Positive,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """The rate times `gamma` after each step.

    Args:
        lr: the optimizer's learning rate, >= 0.
        gamma: the factor, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> ExponentialLR(1.0, gamma=0.5, end=2)(9)
        0.5
    """
    return alone("ExponentialLR", lr, begin, end, convert_to_iter_based, epoch_length, same, gamma=gamma)


@checked
def LinearLR(
    lr: Rate,
    start_factor: Annotated[float, Real(low=0.0, high=1.0, open_low=True)] = 1 / 3,
    end_factor: Fraction = 1.0,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """A line of factors whose end is reached at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        start_factor: first factor, in (0, 1] (MMEngine takes 0 and then divides by it).
        end_factor: last factor, from 0 to 1.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`; with `begin + 1` the first factor stays.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> LinearLR(1.0, start_factor=0.2, end=5)
        Linear(0.2, 1.0, steps=4)
    """
    return alone(
        "LinearLR",
        lr,
        begin,
        end,
        convert_to_iter_based,
        epoch_length,
        same,
        start_factor=start_factor,
        end_factor=end_factor,
    )


@checked
def QuadraticWarmupLR(
    lr: Rate,
    begin: Moment = 0,
    end: Moment = INF,
    *,
    convert_to_iter_based: OnOff = False,
    epoch_length: LengthOrNone = None,
    **same: Any,
) -> Schedule:
    """The warm-up that MMDetection, MMPose and MMYOLO add: `lr * ((t + 1) / (end - begin))**2`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts; must be given.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> QuadraticWarmupLR(1.0, end=4)(1)
        0.25

    References:
        MMDetection, mmdet/engine/schedulers/quadratic_warmup.py.
    """
    return alone("QuadraticWarmupLR", lr, begin, end, convert_to_iter_based, epoch_length, same)
