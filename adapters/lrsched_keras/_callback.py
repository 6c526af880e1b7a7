"""Keras callbacks that set the learning rate, and that log it."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import keras

from lrsched import LintWarning, Schedule, feedback, lint
from lrsched.arguments import Choice, OneOf, OrNone, checked
from lrsched_keras._feedback import Dial, FeedbackLoop, core_of, parts_of, put_in_order, write_json
from lrsched_keras._schedule import LRSchedule, complete, level

# Batches of an epoch from which on the unit of a schedule can be told.
_MANY = 10
_UNITS = {"length-looks-like-epochs", "length-looks-like-updates"}


def _rates(model: Any) -> Iterator[tuple[str, float]]:
    """Yield the name in the logs, as Keras has it, and the current rate of each optimizer of a model."""
    several = hasattr(core_of(model.optimizer), "optimizers")
    for optimizer in parts_of(model.optimizer):
        name = f"learning_rate_{optimizer.name}" if several else "learning_rate"
        yield name, float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class LRCallback(keras.callbacks.Callback):
    """Sets the learning rate by a schedule or a feedback rule.

    For a schedule, the optimizer must be built with a number as its rate. `LRSchedule` does the same inside the
    compiled training step: it costs nothing and knows no exceptions, so prefer it for rates that change with each
    update. A callback is right where the unit is the epoch, or where the rate must remain an ordinary variable that
    others can read and set.

    * `unit="epoch"`: epoch e, as Keras counts it, trains with `schedule(e)`. Each `fit` counts from its
      `initial_epoch`; to go on after an earlier `fit` pass `initial_epoch=` as for Keras's own callbacks.
    * `unit="batch"`: update t trains with `schedule(t)`, where t is `optimizer.iterations`. This is saved with the
      model, goes on over several calls of `fit`, and counts updates, not batches, when gradients are accumulated.
      A schedule of `compat.keras` counts batches there: pass `Batches(schedule, n)` for n of them.

    A feedback rule observes `logs[monitor]` after each epoch or batch, and its factor multiplies the rate that the
    optimizer had at first, or, if it was built with `FeedbackSchedule(schedule)`, the schedule. Where an epoch has no
    validation, a rule that monitors `val_...` waits. After a batch, Keras logs the mean since the epoch began. The
    state of the rule stays in the callback over several calls of `fit` with one model, and begins anew with another
    one, or with another optimizer; `get_state` and `set_state` carry it on to another process, or `backup` does. A rate
    that somebody else sets, by hand or in another callback, stays, and the factor goes on from there. A rule that can
    end a run (`EarlyStopping`) sets `model.stop_training`, and the next `fit` begins anew.

    The rate that was last set appears in the history as `learning_rate`.

    Args:
        schedule: a schedule of lrsched or a function of the step, whose steps are epochs or updates, or a rule of
            `lrsched.feedback`. Of an `LRSchedule` its schedule is taken.
        unit: "epoch" or "batch".
        monitor: the name in the logs that a feedback rule observes.
        backup: a file for the state of the rule, in JSON: read when training begins if it is there, written after each
            epoch, removed when training ends, as `keras.callbacks.BackupAndRestore` does it with the weights.

    Raises:
        TypeError: an argument is of the wrong kind; when training begins: the optimizer has a schedule already.
        ValueError: the schedule lacks a height, or the unit is unknown; when training begins: `unit="batch"` with
            `steps_per_execution` above 1, where Keras calls no callback between the batches of an execution; after an
            epoch: the logs lack the monitored name.

    Warns:
        UserWarning: training ended, and no logs held the monitored name.
        LintWarning: when the first training begins: the schedule looks like one of the other unit, or the whole first
            epoch would have the rate 0.

    Examples:
        >>> import keras, numpy as np
        >>> from lrsched import Linear, feedback
        >>> from lrsched_keras import LRCallback
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.5), loss="mse")
        >>> callback = LRCallback(Linear(0.5, 0.0, steps=2), unit="epoch")
        >>> history = model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=3, callbacks=[callback], verbose=0)
        >>> history.history["learning_rate"]
        [0.5, 0.25, 0.0]
        >>> callback = LRCallback(feedback.Plateau(factor=0.1, patience=5), monitor="loss")
    """

    @checked
    def __init__(
        self,
        schedule: Schedule | Callable[[Any], Any] | feedback.Feedback,
        unit: Annotated[str, Choice(("epoch", "batch"))] = "epoch",
        *,
        monitor: Annotated[str, OneOf(str, "a name in the logs")] = "val_loss",
        backup: Annotated[str | Path | None, OrNone(OneOf((str, Path), "a file"))] = None,
    ) -> None:
        super().__init__()
        self._loop = FeedbackLoop(schedule, monitor) if isinstance(schedule, feedback.Feedback) else None
        own = schedule.schedule if isinstance(schedule, LRSchedule) else schedule
        self.schedule: Any = schedule if self._loop else complete("LRCallback(schedule)", own)
        self.unit = unit
        self._seen_before = 0
        self._linted = False
        self.backup = None if backup is None else Path(backup)

    def set_model(self, model: Any) -> None:
        """Take the model, before Keras has looked at the variables of its optimizers."""
        super().set_model(model)
        for optimizer in parts_of(model.optimizer):
            put_in_order(core_of(optimizer))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that this model can be trained with this callback."""
        dials = [Dial(optimizer) for optimizer in parts_of(self.model.optimizer)]
        executed = self.model.steps_per_execution
        if self.unit == "batch" and executed > 1:
            raise ValueError(
                f"LRCallback(unit='batch') must run with steps_per_execution=1, got {executed}: Keras calls no "
                "callback between these steps; build the optimizer with LRSchedule(schedule) instead"
            )
        if self._loop is None:
            _refuse_factors(dials)
            return
        if self.backup is not None and self.backup.exists():
            try:
                self.set_state(json.loads(self.backup.read_text(encoding="utf-8")))
            except (TypeError, ValueError) as error:
                raise ValueError(f"LRCallback(backup=...) must be what it wrote, got {self.backup}: {error}") from None
        self._loop.begin(self.model, dials)
        self._seen_before = self._loop.observed

    def _look(self) -> None:
        """Warn if a schedule looks like one of the other unit, or has the rate 0 in the whole first epoch."""
        batches, epochs = self.params.get("steps"), self.params.get("epochs")
        epochs = epochs if epochs and epochs > 1 else None  # one epoch may be one of many calls of `fit`
        optimizers = parts_of(self.model.optimizer)
        if any(int(keras.ops.convert_to_numpy(one.iterations)) for one in optimizers):
            return  # it goes on
        accumulated = max(getattr(one, "gradient_accumulation_steps", None) or 1 for one in optimizers)
        updates = max(batches // accumulated, 1) if batches else None
        unit = "update" if self.unit == "batch" else "epoch"
        steps = epochs if unit == "epoch" else epochs and updates and epochs * updates
        for remark in lint(self.schedule, steps=steps, unit=unit, steps_per_epoch=updates):
            told = remark.code == "first-epoch-zero" or (remark.code in _UNITS and (updates or 0) >= _MANY)
            if told and remark.severity == "error":
                warnings.warn(
                    f"{remark.code}: LRCallback(unit={self.unit!r}): {remark.message}; for example {remark.suggestion}",
                    LintWarning,
                    stacklevel=level(),
                )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of this epoch; at the very first look whether the schedule fits."""
        if epoch == 0 and self._loop is None and not self._linted:
            self._linted = True
            self._look()
        if self.unit == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate of the next update."""
        if self.unit == "batch":
            self._set(None)

    def _set(self, epoch: int | None) -> None:
        for i, optimizer in enumerate(parts_of(self.model.optimizer)):
            if self._loop is not None:
                self._loop.turn(i, Dial(optimizer))
            else:
                step = int(keras.ops.convert_to_numpy(optimizer.iterations)) if epoch is None else epoch
                optimizer.learning_rate = self.schedule(step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the logs to the feedback rule."""
        if self.unit == "batch":
            self._observe(logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the logs to the feedback rule, and add the rate to them."""
        if self.unit == "epoch":
            self._observe(logs)
        if logs is not None:
            logs.update(_rates(self.model))
        if self._loop is not None and self.backup is not None:
            write_json(self.backup, self.get_state())

    def _observe(self, logs: dict[str, Any] | None) -> None:
        if self._loop is not None and self._loop.observe(logs):
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Remove the backup; warn if the rule has seen nothing."""
        if self._loop is None:
            return
        if self.backup is not None:
            self.backup.unlink(missing_ok=True)
        if self._loop.observed == self._seen_before:
            warnings.warn(
                f"LRCallback(monitor={self._loop.monitor!r}) saw no such value in the logs: was there validation data?",
                UserWarning,
                stacklevel=2,
            )

    def get_state(self) -> dict[str, Any]:
        """Return what the feedback rule remembers, as JSON types; empty for a schedule, which remembers nothing."""
        return {} if self._loop is None else self._loop.get()

    @checked
    def set_state(self, state: Annotated[dict[str, Any], OneOf(dict, "what get_state() returned")]) -> None:
        """Go on from what `get_state` returned.

        Raises:
            ValueError: it is the state of another rule.
        """
        if self._loop is not None:
            self._loop.set(state)


def _refuse_factors(dials: list[Dial]) -> None:
    for dial in dials:
        if dial.schedule is not None:
            raise TypeError(
                f"LRCallback(schedule) must be a feedback rule here: {dial.optimizer.name!r} has a schedule already"
            )


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
