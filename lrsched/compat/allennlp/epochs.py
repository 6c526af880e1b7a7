"""The schedulers of AllenNLP that count epochs."""

from collections.abc import Sequence
from typing import Annotated

from lrsched._core.check import Int, Many, Real
from lrsched._curves.cycles import Repeat
from lrsched._curves.modifiers import Epochs
from lrsched._curves.ramps import Cosine
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat import torch, transformers
from lrsched.compat._tools.arguments import Count, Length, Rate, checked

Milestones = Annotated[Sequence[int], Many(Int(), least=0)]


def _by_epoch(schedule: Schedule, updates: int) -> Schedule:
    return schedule if updates == 1 or isinstance(schedule, Constant) else Epochs(schedule, updates)


@checked
def constant(lr: Rate, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The same rate at every epoch.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_steps_per_epoch: without effect.

    Examples:
        >>> constant(0.1)
        Constant(0.1)

    References:
        AllenNLP 2.10.1, training/learning_rate_schedulers and training/gradient_descent_trainer.py; so for all of this
        module.
    """
    return Constant(lr)


@checked
def constant_with_warmup(lr: Rate, num_warmup_steps: Count, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """A line from 0 over some epochs, then the rate.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> constant_with_warmup(0.1, 2, num_steps_per_epoch=10)(15)
        0.05
    """
    return _by_epoch(transformers.get_constant_schedule_with_warmup(lr, num_warmup_steps), num_steps_per_epoch)


@checked
def cosine_with_warmup(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Annotated[float, Real()] = 0.5,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """A line from 0 over some epochs, then a cosine wave to epoch `num_training_steps`, which rises again after it.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_training_steps: all epochs.
        num_cycles: turns of the wave.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> round(cosine_with_warmup(0.1, 2, 10, num_steps_per_epoch=5)(30), 12)
        0.05
    """
    wave = transformers.get_cosine_schedule_with_warmup(lr, num_warmup_steps, num_training_steps, num_cycles)
    return _by_epoch(wave, num_steps_per_epoch)


@checked
def cosine_hard_restarts_with_warmup(
    lr: Rate,
    num_warmup_steps: Count,
    num_training_steps: Count,
    num_cycles: Annotated[int, Int()] = 1,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """A line from 0 over some epochs, then half cosines with restarts to epoch `num_training_steps`, then 0.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: epochs of the warm-up.
        num_training_steps: all epochs.
        num_cycles: number of cosines.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> cosine_hard_restarts_with_warmup(0.1, 2, 10, 2)(6)
        0.1
    """
    wave = transformers.get_cosine_with_hard_restarts_schedule_with_warmup(
        lr, num_warmup_steps, num_training_steps, num_cycles
    )
    return _by_epoch(wave, num_steps_per_epoch)


@checked
def step(lr: Rate, step_size: Length, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` after each `step_size` epochs.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_size: epochs between drops, >= 1.
        gamma: factor of a drop, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> step(1.0, 3, gamma=0.5, num_steps_per_epoch=10)(65)
        0.25
    """
    return _by_epoch(torch.StepLR(lr, step_size, gamma), num_steps_per_epoch)


@checked
def multi_step(lr: Rate, milestones: Milestones, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: epochs, in order.
        gamma: factor of a drop, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> multi_step(1.0, [2, 4], gamma=0.5, num_steps_per_epoch=10)(25)
        0.5
    """
    return _by_epoch(torch.MultiStepLR(lr, milestones, gamma), num_steps_per_epoch)


@checked
def exponential(lr: Rate, gamma: Rate = 0.1, *, num_steps_per_epoch: Length = 1) -> Schedule:
    """The rate times `gamma` after each epoch.

    Args:
        lr: the optimizer's learning rate, >= 0.
        gamma: the factor, >= 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> exponential(1.0, gamma=0.5, num_steps_per_epoch=10)(25)
        0.25
    """
    return _by_epoch(torch.ExponentialLR(lr, gamma), num_steps_per_epoch)


@checked
def cosine(
    lr: Rate,
    t_initial: Length,
    t_mul: Annotated[float, Real(low=0.0, high=1e6)] = 1.0,
    eta_min: Rate = 0.0,
    eta_mul: Annotated[float, Real(low=0.0, high=1e6, open_low=True)] = 1.0,
    *,
    num_steps_per_epoch: Length = 1,
) -> Schedule:
    """Half cosines with restarts; cycle i lasts `int(t_initial * t_mul ** i)` epochs.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: epochs of the first cycle, >= 1.
        t_mul: factor of the length. Below 1 the last value holds when no epoch is left, where AllenNLP divides by zero.
        eta_min: the value that each cycle approaches, >= 0.
        eta_mul: factor of the first value of each cycle, > 0.
        num_steps_per_epoch: updates of an epoch.

    Examples:
        >>> s = cosine(1.0, 5, t_mul=1.5, eta_mul=0.5)
        >>> s(0), s(5), s(5 + 7)
        (1.0, 0.5, 0.25)

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    times = None
    if t_mul < 1.0:
        times = 1
        while int(t_initial * t_mul**times) > 0:
            times += 1
    if times == 1:
        return _by_epoch(Cosine(lr, eta_min, t_initial), num_steps_per_epoch)

    def waves(start: float, end: float, scale: float) -> Schedule:
        return Repeat(Cosine(start, end, t_initial), times, t_mul, scale, "once")

    if eta_mul == 1.0 or eta_min == 0.0:
        curve = waves(lr, eta_min, eta_mul)
    else:
        curve = waves(lr, 0.0, eta_mul) + waves(0.0, eta_min, 1.0)
    return _by_epoch(curve, num_steps_per_epoch)
