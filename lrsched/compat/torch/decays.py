"""The schedulers of torch that decay or warm up."""

from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

from lrsched._core.check import Int, Many, Real
from lrsched._curves.decays import Exponential
from lrsched._curves.modifiers import Epochs
from lrsched._curves.ramps import Linear, Polynomial
from lrsched._curves.schedule import Constant, Schedule
from lrsched._recipes.decimals import powers
from lrsched.compat._tools.arguments import Count, Fraction, Length, Rate, checked
from lrsched.compat._tools.pieces import stairs

PositiveShare = Annotated[float, Real(low=0.0, high=1.0, open_low=True)]


def LambdaLR(lr: float, lr_lambda: Any) -> NoReturn:
    """Refuse: a Python function of the step is no value.

    Write the curve with the schedules of this library, or its first n values as a `Table`.

    Raises:
        ValueError: always.
    """
    raise ValueError(_NO_FUNCTION.format("LambdaLR"))


def MultiplicativeLR(lr: float, lr_lambda: Any) -> NoReturn:
    """Refuse: a Python function of the step is no value.

    Write the curve with the schedules of this library, or its first n values as a `Table`.

    Raises:
        ValueError: always.
    """
    raise ValueError(_NO_FUNCTION.format("MultiplicativeLR"))


_NO_FUNCTION = (
    "{}(lr_lambda=...) must be a schedule, and a Python function is none: combine schedules with >>, * and +, or "
    "list the values, Table(tuple(lr * f(t) for t in range(n)))"
)


def ReduceLROnPlateau(lr: float, *args: Any, **kwargs: Any) -> NoReturn:
    """Refuse: what depends on a metric is no function of the step.

    `lrsched.feedback.Plateau` is that rule; it multiplies any schedule.

    Raises:
        ValueError: always.
    """
    raise ValueError("ReduceLROnPlateau(...) must be a feedback rule, not a schedule: use lrsched.feedback.Plateau")


@checked
def StepLR(lr: Rate, step_size: Length, gamma: Rate = 0.1) -> Schedule:
    """The rate times `gamma` after each `step_size` steps.

    Args:
        lr: rate at step 0.
        step_size: steps between two drops, >= 1.
        gamma: factor of each drop, >= 0.

    Examples:
        >>> StepLR(0.8, step_size=30, gamma=0.5)(60)
        0.2
    """
    if gamma == 0.0:
        return Constant(lr, step_size) >> Constant(0.0)
    return Epochs(Exponential(lr, gamma), step_size)


@checked
def MultiStepLR(lr: Rate, milestones: Annotated[Sequence[int], Many(Int(), least=0)], gamma: Rate = 0.1) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: rate before the first milestone.
        milestones: steps, >= 0, at which the new value is used first, in any order; a repeated one counts again.
        gamma: factor of each drop, >= 0.

    Examples:
        >>> MultiStepLR(1.0, milestones=[30, 80], gamma=0.5)
        Constant(1.0, steps=30) >> Constant(0.5, steps=50) >> Constant(0.25)
    """
    return stairs(sorted(milestones), powers(lr, gamma, len(milestones)))


@checked
def ConstantLR(lr: Rate, factor: PositiveShare = 1.0 / 3, total_iters: Count = 5) -> Schedule:
    """The rate times `factor` for `total_iters` steps, then the rate.

    Torch takes the factor back by dividing by it, so a factor of 0 raises there in training, and here at once. With
    `total_iters=0` it never takes it back.

    Args:
        lr: rate from step `total_iters` on.
        factor: factor of the first steps, in (0, 1].
        total_iters: number of the first steps, >= 0.

    Examples:
        >>> ConstantLR(0.3, factor=0.5, total_iters=4)
        Constant(0.15, steps=4) >> Constant(0.3)
    """
    return Constant(lr * factor, total_iters) >> Constant(lr) if total_iters else Constant(lr * factor)


@checked
def LinearLR(
    lr: Rate, start_factor: PositiveShare = 1.0 / 3, end_factor: Fraction = 1.0, total_iters: Count = 5
) -> Schedule:
    """A line from `lr * start_factor` to `lr * end_factor`.

    Args:
        lr: rate of the optimizer.
        start_factor: factor at step 0, in (0, 1].
        end_factor: factor from step `total_iters` on, in [0, 1].
        total_iters: steps of the line; 0 stays at the start for ever, as it does in torch.

    Examples:
        >>> LinearLR(0.4, start_factor=0.5, total_iters=10)
        Linear(0.2, 0.4, steps=10)
    """
    return Linear(lr * start_factor, lr * end_factor, total_iters) if total_iters else Constant(lr * start_factor)


@checked
def ExponentialLR(lr: Rate, gamma: Rate) -> Schedule:
    """The rate times `gamma` after each step.

    Args:
        lr: rate at step 0.
        gamma: factor, >= 0.

    Examples:
        >>> ExponentialLR(1.0, gamma=0.5)(1)
        0.5
    """
    return Exponential(lr, gamma) if gamma else Constant(lr, 1) >> Constant(0.0)


@checked
def PolynomialLR(lr: Rate, total_iters: Count = 5, power: Rate = 1.0) -> Schedule:
    """A power of the steps left, down to 0: `lr * (1 - t / total_iters) ** power`.

    Args:
        lr: rate at step 0.
        total_iters: steps until 0; with 0 steps the rate stays as it is.
        power: exponent, >= 0; with 0 the rate stays as it is.

    Examples:
        >>> PolynomialLR(1.0, total_iters=10, power=2.0)(5)
        0.25
    """
    if total_iters == 0 or power == 0.0:
        return Constant(lr)
    return Linear(lr, 0.0, total_iters) if power == 1.0 else Polynomial(lr, 0.0, total_iters, power)
