"""Keras schedules as schedules."""

from typing import Any

import keras

from lrsched import Schedule
from lrsched.compat import keras as recipes
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
    """The schedule that a Keras `LearningRateSchedule` computes.

    Args:
        schedule: an object of one of the six classes of `keras.optimizers.schedules`, or an `LRSchedule`, whose own
            schedule is returned; its steps are updates.

    Returns:
        What `lrsched.compat.keras` builds from the arguments of the object. Its steps are batches, also where the
        optimizer accumulates the gradients of n: the updates then have the rates of `Batches(schedule, n)`.

    Raises:
        TypeError: the object is of another class, such as a subclass of the user's, whose formula is not known.
        ValueError: its arguments have no meaning; see the function of that name in `lrsched.compat.keras`.

    Examples:
        >>> import keras
        >>> from_keras(keras.optimizers.schedules.CosineDecay(0.1, 1000))
        Cosine(0.1, 0.0, steps=1000)
    """
    if isinstance(schedule, LRSchedule):
        return schedule.schedule
    name = type(schedule).__name__
    if name not in _NAMES or type(schedule) is not getattr(keras.optimizers.schedules, name):
        raise TypeError(
            f"from_keras(schedule) must get one of {', '.join(_NAMES)}, got {schedule!r}: the formula of another class "
            "is not known; list its values in a Table, or write the curve with the schedules of lrsched"
        )
    build = getattr(recipes, name)
    imported: Schedule = build(**{key: _number(item) for key, item in schedule.get_config().items()})
    return imported


def _number(item: Any) -> Any:
    """Return what Keras keeps in the config as plain Python numbers."""
    if isinstance(item, list | tuple):
        return [_number(part) for part in item]
    return item.item() if hasattr(item, "item") else item
