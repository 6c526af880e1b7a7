"""The schedulers of MMEngine, one by one."""

from collections.abc import Sequence
from typing import Annotated, Unpack

from lrsched._core.check import Choice, Many, OrNone, Real, Steps
from lrsched._curves import Schedule
from lrsched.compat._tools import Fraction, OnOff, Positive, Rate, RateOrNone, checked
from lrsched.compat.mmengine.build import INF, SchedulerArguments, alone

Moment = Annotated[float, Steps()]


@checked
def StepLR(
    lr: Rate,
    step_size: Moment,
    gamma: Positive = 0.1,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("StepLR", lr, begin, end, same, step_size=step_size, gamma=gamma)


@checked
def MultiStepLR(
    lr: Rate,
    milestones: Annotated[Sequence[float], Many(Steps(), least=0)],
    gamma: Rate = 0.1,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("MultiStepLR", lr, begin, end, same, milestones=milestones, gamma=gamma)


@checked
def ConstantLR(
    lr: Rate,
    factor: Fraction = 1 / 3,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("ConstantLR", lr, begin, end, same, factor=factor)


@checked
def ExponentialLR(
    lr: Rate,
    gamma: Positive,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("ExponentialLR", lr, begin, end, same, gamma=gamma)


@checked
def LinearLR(
    lr: Rate,
    start_factor: Annotated[float, Real(low=0.0, high=1.0, open_low=True)] = 1 / 3,
    end_factor: Fraction = 1.0,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("LinearLR", lr, begin, end, same, start_factor=start_factor, end_factor=end_factor)


@checked
def QuadraticWarmupLR(
    lr: Rate,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
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
    return alone("QuadraticWarmupLR", lr, begin, end, same)


MomentOrNone = Annotated[float | None, OrNone(Steps())]


@checked
def CosineAnnealingLR(
    lr: Rate,
    T_max: MomentOrNone = None,
    eta_min: RateOrNone = None,
    begin: Moment = 0,
    end: Moment = INF,
    eta_min_ratio: RateOrNone = None,
    **same: Unpack[SchedulerArguments],
) -> Schedule:
    """Half a cosine to `eta_min`, and back again if the scheduler acts for more than `T_max` steps.

    With the default `T_max` the scheduler stops one step before `eta_min`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        T_max: steps of half a period; None stands for `end - begin`.
        eta_min: lowest value, >= 0; None stands for `lr * eta_min_ratio`, or 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        eta_min_ratio: lowest value relative to `lr`, not together with `eta_min`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or both lowest values are given.

    Examples:
        >>> round(CosineAnnealingLR(1.0, T_max=10)(5), 12)
        0.5
    """
    return alone("CosineAnnealingLR", lr, begin, end, same, T_max=T_max, eta_min=eta_min, eta_min_ratio=eta_min_ratio)


@checked
def PolyLR(
    lr: Rate,
    eta_min: Rate = 0.0,
    power: Positive = 1.0,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
) -> Schedule:
    """A power of the part left, which reaches `eta_min` at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        eta_min: last value, >= 0.
        power: exponent, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> PolyLR(1.0, power=2.0, end=11)(5)
        0.25
    """
    return alone("PolyLR", lr, begin, end, same, eta_min=eta_min, power=power)


@checked
def OneCycleLR(
    lr: Rate,
    eta_max: Rate = 0.0,
    total_steps: MomentOrNone = None,
    pct_start: Fraction = 0.3,
    anneal_strategy: Annotated[str, Choice(("cos", "linear"))] = "cos",
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    three_phase: OnOff = False,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
) -> Schedule:
    """The one-cycle policy of torch, whose last value is held after its last step.

    From `eta_max / div_factor` to `eta_max` at the real time `pct_start * total_steps - 1`, then to
    `eta_max / div_factor / final_div_factor` at step `total_steps - 1`.

    Args:
        lr: the optimizer's learning rate, which only the steps before `begin` have.
        eta_max: the top, >= 0. With MMEngine's default, 0, all rates are 0.
        total_steps: length of the cycle, at least as long as the scheduler acts; None stands for `end - begin`.
        pct_start: part of the cycle that rises, from 0 to 1.
        anneal_strategy: "cos" or "linear".
        div_factor: the top divided by the first value, > 0.
        final_div_factor: the first value divided by the last, > 0.
        three_phase: whether to fall back to the first value, in as many steps as the rise took, before the last phase.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or the rise takes no time.

    Examples:
        >>> s = OneCycleLR(0.1, eta_max=1.0, total_steps=10, end=10)
        >>> round(s(0), 12), round(s(2), 12)
        (0.04, 1.0)
    """
    return alone(
        "OneCycleLR",
        lr,
        begin,
        end,
        same,
        eta_max=eta_max,
        total_steps=total_steps,
        pct_start=pct_start,
        anneal_strategy=anneal_strategy,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        three_phase=three_phase,
    )


@checked
def CosineRestartLR(
    lr: Rate,
    periods: Annotated[Sequence[float], Many(Steps(), least=0)],
    restart_weights: Annotated[Sequence[float], Many(Real(low=0.0), least=0)] = (1,),
    eta_min: RateOrNone = None,
    eta_min_ratio: RateOrNone = None,
    begin: Moment = 0,
    end: Moment = INF,
    **same: Unpack[SchedulerArguments],
) -> Schedule:
    """Half cosines of given lengths, each from `lr * weight` to `eta_min`; the value before the last step stays.

    Args:
        lr: the optimizer's learning rate, >= 0.
        periods: lengths of the cycles; without any the rate stays.
        restart_weights: height of each cycle relative to `lr`, >= 0.
        eta_min: lowest value, >= 0.
        eta_min_ratio: lowest value relative to `lr`; exactly one of the two is given.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        **same: `last_step=-1`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, the weights are not as many as the periods, or not exactly one of the
            lowest values is given.

    Examples:
        >>> CosineRestartLR(1.0, periods=[10, 20], restart_weights=[1, 0.5], eta_min=0.0)(10)
        0.5
    """
    return alone(
        "CosineRestartLR",
        lr,
        begin,
        end,
        same,
        periods=periods,
        restart_weights=restart_weights,
        eta_min=eta_min,
        eta_min_ratio=eta_min_ratio,
    )
