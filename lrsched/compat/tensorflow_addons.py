"""The schedules of TensorFlow Addons 0.23, `tensorflow_addons.optimizers`: cyclical learning rates.

TensorFlow Addons computes in the type of the first rate, float32 for a number; these compute in float64.
"""

from typing import Annotated

from lrsched._core.check import Choice, Real
from lrsched._curves import Constant, Exponential, Schedule
from lrsched.compat._tools import Part, Rate, TextOrNone, checked, cyclical

__all__ = [
    "CyclicalLearningRate",
    "ExponentialCyclicalLearningRate",
    "Triangular2CyclicalLearningRate",
    "TriangularCyclicalLearningRate",
]

Size = Annotated[float, Real(low=1e-6)]
_TOP = "maximal_learning_rate"
Mode = Annotated[str, Choice(("cycle", "iterations"))]


@checked
def CyclicalLearningRate(
    initial_learning_rate: Rate,
    maximal_learning_rate: Rate,
    step_size: Size,
    scale_fn: Part,
    scale_mode: Mode = "cycle",
    name: TextOrNone = "CyclicalLearningRate",
) -> Schedule:
    """A triangular wave whose height is multiplied by a schedule of the cycle or of the step.

    Args:
        initial_learning_rate: value at the start of each cycle, >= 0.
        maximal_learning_rate: value at the top before it is scaled, at least `initial_learning_rate`.
        step_size: steps of half a cycle, > 0; need not be whole.
        scale_fn: the factor of the height, a schedule; a Python function is none.
        scale_mode: "cycle": the step of `scale_fn` is the number of the cycle, from 1; "iterations": it is the step.
        name: without effect.

    Raises:
        TypeError: `scale_fn` is no schedule.
        ValueError: an argument is out of range.

    Examples:
        >>> from lrsched import InverseTime
        >>> s = CyclicalLearningRate(0.0, 1.0, 4, scale_fn=InverseTime(1.0, 1.0))
        >>> s(4), s(12)  # cycles 1 and 2: factors 1/2 and 1/3
        (0.5, 0.3333333333333333)

    References:
        TensorFlow Addons 0.23.0, optimizers/cyclical_learning_rate.py; so for all of this module.
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    by_cycle = scale_mode == "cycle"
    where = "CyclicalLearningRate"
    return cyclical(where, _TOP, initial_learning_rate, maximal_learning_rate, step_size, scale_fn, by_cycle)


@checked
def TriangularCyclicalLearningRate(
    initial_learning_rate: Rate,
    maximal_learning_rate: Rate,
    step_size: Size,
    scale_mode: Mode = "cycle",
    name: TextOrNone = "TriangularCyclicalLearningRate",
) -> Schedule:
    """A triangular wave of constant height.

    Args:
        initial_learning_rate: value at the start of each cycle, >= 0.
        maximal_learning_rate: value at the top, >= 0.
        step_size: steps of half a cycle, > 0; need not be whole.
        scale_mode: without effect.
        name: without effect.

    Examples:
        >>> TriangularCyclicalLearningRate(0.1, 0.5, step_size=4)
        Triangular(0.1, 0.5, up=4)
    """
    where = "TriangularCyclicalLearningRate"
    return cyclical(where, _TOP, initial_learning_rate, maximal_learning_rate, step_size, None, True)


@checked
def Triangular2CyclicalLearningRate(
    initial_learning_rate: Rate,
    maximal_learning_rate: Rate,
    step_size: Size,
    scale_mode: Mode = "cycle",
    name: TextOrNone = "Triangular2CyclicalLearningRate",
) -> Schedule:
    """A triangular wave whose height halves after each cycle.

    Args:
        initial_learning_rate: value at the start of each cycle, >= 0.
        maximal_learning_rate: value at the first top, at least `initial_learning_rate`.
        step_size: steps of half a cycle, > 0; need not be whole.
        scale_mode: "cycle"; with "iterations" the height halves at each step after the first.
        name: without effect.

    Examples:
        >>> s = Triangular2CyclicalLearningRate(0.0, 1.0, step_size=4)
        >>> round(s(4), 12), round(s(12), 12)
        (1.0, 0.5)
    """
    where = "Triangular2CyclicalLearningRate"
    halves = Exponential(2.0, 0.5)  # 1 / 2 ** (n - 1)
    by_cycle = scale_mode == "cycle"
    return cyclical(where, _TOP, initial_learning_rate, maximal_learning_rate, step_size, halves, by_cycle)


@checked
def ExponentialCyclicalLearningRate(
    initial_learning_rate: Rate,
    maximal_learning_rate: Rate,
    step_size: Size,
    scale_mode: Mode = "iterations",
    gamma: Rate = 1.0,
    name: TextOrNone = "ExponentialCyclicalLearningRate",
) -> Schedule:
    """A triangular wave whose height shrinks by `gamma` at each step or after each cycle.

    With "iterations" a Keras optimizer, whose steps are int64, stops with an error, since TensorFlow takes no float to
    the power of an integer; here it is what the formula says.

    Args:
        initial_learning_rate: value at the start of each cycle, >= 0.
        maximal_learning_rate: value at the top before it shrinks, at least `initial_learning_rate`.
        step_size: steps of half a cycle, > 0; need not be whole.
        scale_mode: "iterations": the factor is `gamma ** step`; "cycle": `gamma` to the number of the cycle, from 1.
        gamma: the factor, >= 0.
        name: without effect.

    Examples:
        >>> ExponentialCyclicalLearningRate(0.0, 1.0, step_size=2, gamma=0.5)(2)
        0.25
    """
    if gamma == 0.0:
        return Constant(initial_learning_rate)
    scale = Exponential(1.0, gamma)
    where, by_cycle = "ExponentialCyclicalLearningRate", scale_mode == "cycle"
    return cyclical(where, _TOP, initial_learning_rate, maximal_learning_rate, step_size, scale, by_cycle)
