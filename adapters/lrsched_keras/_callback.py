"""Keras callbacks that set the learning rate, and that log it."""

from collections.abc import Iterator
from typing import Any

import keras

from lrsched import Schedule
from lrsched_keras._schedule import complete

_UNITS = ("epoch", "batch")


def _optimizers(model: Any) -> list[Any]:
    """Return the optimizers of a model: one, or those inside a `MultiOptimizer`."""
    return list(getattr(model.optimizer, "optimizers", [model.optimizer]))


def _rates(model: Any) -> Iterator[tuple[str, float]]:
    """Yield the name in the logs, as Keras has it, and the current rate of each optimizer of a model."""
    several = hasattr(model.optimizer, "optimizers")
    for optimizer in _optimizers(model):
        name = f"learning_rate_{optimizer.name}" if several else "learning_rate"
        yield name, float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class LRCallback(keras.callbacks.Callback):
    """Sets the learning rate by a schedule, before each epoch or batch.

    The optimizer must be built with a number as its rate. `LRSchedule` does the same inside the compiled training step:
    it costs nothing and knows no exceptions, so prefer it for rates that change with each update. A callback is right
    where the unit is the epoch, or where the rate must remain an ordinary variable that others can read and set.

    * `unit="epoch"`: epoch e, as Keras counts it, trains with `schedule(e)`. Each `fit` counts from its
      `initial_epoch`; to go on after an earlier `fit` pass `initial_epoch=` as for Keras's own callbacks.
    * `unit="batch"`: update t trains with `schedule(t)`, where t is `optimizer.iterations`. This is saved with the
      model, goes on over several calls of `fit`, and counts updates, not batches, when gradients are accumulated.

    The rate that was last set appears in the history as `learning_rate`.

    Args:
        schedule: a schedule of lrsched, whose steps are epochs or updates.
        unit: "epoch" or "batch".

    Raises:
        TypeError: an argument is of the wrong kind; when training begins: the optimizer has a schedule already.
        ValueError: the schedule lacks a height, or the unit is unknown; when training begins: `unit="batch"` with
            `steps_per_execution` above 1, where Keras calls no callback between the batches of an execution.

    Examples:
        >>> import keras, numpy as np
        >>> from lrsched import Linear
        >>> from lrsched_keras import LRCallback
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), loss="mse")
        >>> callback = LRCallback(Linear(0.5, 0.0, steps=2), unit="epoch")
        >>> history = model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=3, callbacks=[callback], verbose=0)
        >>> history.history["learning_rate"]
        [0.5, 0.25, 0.0]
    """

    def __init__(self, schedule: Schedule, unit: str = "epoch") -> None:
        super().__init__()
        self.schedule = complete("LRCallback(schedule)", schedule)
        if unit not in _UNITS:
            raise ValueError(f"LRCallback(unit=...) must be one of {', '.join(map(repr, _UNITS))}, got {unit!r}")
        self.unit = unit

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that this model can be trained with this callback."""
        for optimizer in _optimizers(self.model):
            # The rate of an optimizer with a schedule is a tensor, computed on the spot.
            if not isinstance(optimizer.learning_rate, keras.Variable):
                raise TypeError(
                    f"LRCallback needs an optimizer whose learning rate can be set, but {optimizer.name!r} has a "
                    "schedule already: build it with a number, or drop the callback"
                )
        executed = self.model.steps_per_execution
        if self.unit == "batch" and executed > 1:
            raise ValueError(
                f"LRCallback(unit='batch') must run with steps_per_execution=1, got {executed}: Keras calls no "
                "callback between these steps; build the optimizer with LRSchedule(schedule) instead"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of this epoch."""
        if self.unit == "epoch":
            for optimizer in _optimizers(self.model):
                optimizer.learning_rate = self.schedule(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the next update."""
        if self.unit == "batch":
            for optimizer in _optimizers(self.model):
                optimizer.learning_rate = self.schedule(int(keras.ops.convert_to_numpy(optimizer.iterations)))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the rate to the logs."""
        if logs is not None:
            logs.update(_rates(self.model))


class LogLearningRate(keras.callbacks.Callback):
    """Adds the learning rate to the logs of each epoch, and so to the history.

    An optimizer with a `LearningRateSchedule` leaves no trace of the rate in the history. What is logged is
    `optimizer.learning_rate`, with a schedule the rate that the next update will use, which is also what
    `keras.callbacks.TensorBoard` writes. Its name is `learning_rate`, or `learning_rate_<name>` for each part of a
    `MultiOptimizer`.

    Examples:
        >>> import keras, numpy as np
        >>> from lrsched import Linear
        >>> from lrsched_keras import LogLearningRate, LRSchedule
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(LRSchedule(Linear(0.5, 0.0, steps=4))), loss="mse")
        >>> x = np.ones((2, 1))
        >>> history = model.fit(x, x, batch_size=1, epochs=2, callbacks=[LogLearningRate()], verbose=0)
        >>> history.history["learning_rate"]
        [0.25, 0.0]
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the rate to the logs."""
        if logs is not None:
            logs.update(_rates(self.model))
