"""Keras schedules as schedules."""

from typing import Any

import keras

from lrsched import Batches, Constant, Epochs, Schedule
from lrsched.arguments import short
from lrsched.compat import keras as recipes
from lrsched_keras._feedback import FeedbackSchedule, core_of, parts_of
from lrsched_keras._schedule import LRSchedule

_NAMES = (
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
)


def from_keras(schedule: Any) -> Schedule:
    """The schedule that a Keras `LearningRateSchedule` or optimizer follows.

    Args:
        schedule: an object of one of the six classes of `keras.optimizers.schedules`; an `LRSchedule`, whose own
            schedule is returned, in updates; a `FeedbackSchedule`, read with the factor that it has now; or an
            optimizer with one of these inside, or with a number, which is the rate that it has now. A
            `LossScaleOptimizer` is looked into, and a `MultiOptimizer` whose optimizers follow one schedule.

    Returns:
        The schedule of the whole run from step 0, however many steps were taken: what `lrsched.compat.keras` builds
        from the arguments of the object. Its steps are batches, also where the optimizer accumulates the gradients of
        n: the updates then have the rates of `Batches(schedule, n)`, and that is what an optimizer gives.

    Raises:
        TypeError: the object is of another class, such as a subclass of the user's, whose formula is not known; or the
            rate of the optimizer is a function.
        ValueError: its arguments have no meaning; see the function of that name in `lrsched.compat.keras`; or the
            optimizers in a `MultiOptimizer` differ.

    Examples:
        >>> import keras
        >>> from_keras(keras.optimizers.schedules.CosineDecay(0.1, 1000))
        Cosine(0.1, 0.0, steps=1000)
        >>> from_keras(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 50, 0.5)))
        Exponential(0.1, 0.5, steps=50.0)
    """
    if isinstance(schedule, keras.optimizers.Optimizer):
        return _followed(schedule)
    if isinstance(schedule, LRSchedule):
        return schedule.schedule
    if isinstance(schedule, FeedbackSchedule):
        return schedule.factor * from_keras(schedule.schedule)
    name = type(schedule).__name__
    if name not in _NAMES or type(schedule) is not getattr(keras.optimizers.schedules, name):
        raise TypeError(
            f"from_keras(schedule) must get one of {', '.join(_NAMES)} or an optimizer that holds one, got "
            f"{short(schedule)}: the formula of another class is not known; list its values in a Table, or write the "
            "curve with the schedules of lrsched"
        )
    build = getattr(recipes, name)
    imported: Schedule = build(**{key: _number(item) for key, item in schedule.get_config().items()})
    return imported


def _followed(optimizer: Any) -> Schedule:
    """Return the rates of the updates that an optimizer makes."""
    parts = parts_of(optimizer)
    if parts != [optimizer]:  # a `MultiOptimizer`
        found = [_followed(part) for part in parts]
        if not found or any(one != found[0] for one in found):
            raise ValueError(
                f"from_keras(schedule) must get a MultiOptimizer whose optimizers follow one schedule, got {found}: "
                "write [from_keras(one) for one in optimizer.optimizers], once it is built"
            )
        return found[0]
    core = core_of(optimizer)
    rate, batches = core._learning_rate, core.gradient_accumulation_steps or 1
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        if callable(rate):
            raise TypeError(
                f"from_keras(schedule) must get an optimizer whose rate is a schedule or a number, got a "
                f"{type(core).__name__} that calls {rate!r}"
            )
        return Constant(_number(rate))
    inner = rate.schedule if isinstance(rate, FeedbackSchedule) else rate
    counted = inner.gradient_accumulation_steps if isinstance(inner, LRSchedule) else 1
    read = from_keras(rate)
    if counted == batches:
        return read
    read = Epochs(read, counted) if counted > 1 else read
    return Batches(read, batches) if batches > 1 else read


def _number(item: Any) -> Any:
    """Return what Keras keeps in the config as plain Python numbers."""
    if isinstance(item, list | tuple):
        return [_number(part) for part in item]
    if keras.ops.is_tensor(item) or isinstance(item, keras.Variable):
        item = keras.ops.convert_to_numpy(item)
    return item.item() if hasattr(item, "item") else item
