"""What a feedback rule turns in a Keras optimizer, and what it remembers."""

import json
import os
import weakref
from pathlib import Path
from typing import Any, Self

import keras

from lrsched import feedback
from lrsched.arguments import Int, Many, Rate, Real, checked
from lrsched_keras._schedule import LRSchedule

# JAX traces a training step with the variables of the optimizer as its arguments and compiles anything else into it.
# Keras finds the variables of an optimizer among its attributes: on JAX the schedule is one.
_ON_JAX = keras.config.backend() == "jax"
_Base: Any = keras.Variable if _ON_JAX else object

_RATE, _COUNT, _RATES = Real(low=0.0), Int(low=0), Many(Real(low=0.0), least=0)


@keras.saving.register_keras_serializable(package="lrsched")
class FeedbackSchedule(keras.optimizers.schedules.LearningRateSchedule, _Base):
    """A schedule times a factor, which `LRCallback` turns by a feedback rule.

    It makes a compiled schedule answer a metric: `Adam(FeedbackSchedule(schedule))` and
    `LRCallback(feedback.Plateau(), monitor="val_loss")`. The factor is a variable that the training step reads, so a
    change compiles nothing again.

    The factor is saved with the model as a part of its configuration. On JAX the schedule is a `keras.Variable` itself
    and belongs to the variables of its optimizer: build one for each optimizer; in a callback, reach it through
    `self.model.optimizer`; assigned to an optimizer of Keras that exists already, it finds its place among the
    variables, which are saved by number, when an `LRCallback` begins to train; and a model saved on another backend
    loads without the state of its optimizer, with a warning.

    Args:
        schedule: a schedule of lrsched, whose steps are updates, or a `LearningRateSchedule` of Keras; under
            accumulation of n gradients, `LRSchedule(schedule, gradient_accumulation_steps=n)`.
        factor: the factor at first.

    Raises:
        TypeError: `schedule` is no schedule.

    Examples:
        >>> from lrsched import Linear
        >>> from lrsched_keras import FeedbackSchedule
        >>> rate = FeedbackSchedule(Linear(0.5, 0.0, steps=4))
        >>> rate.factor = 0.5
        >>> float(rate(2))
        0.125
    """

    @checked
    def __init__(self, schedule: Any, factor: Rate = 1.0) -> None:
        if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            schedule = LRSchedule(schedule)
        own: dict[str, Any] = {"dtype": keras.config.floatx(), "trainable": False, "name": "factor"}
        if _ON_JAX:
            keras.Variable.__init__(self, float(factor), **own)
        self._factor = self if _ON_JAX else keras.Variable(float(factor), **own)
        self.schedule = schedule

    # Variables compare by their numbers, schedules by what they are.
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    @property
    def factor(self) -> float:
        """What the schedule is multiplied with; may be set."""
        return float(keras.ops.convert_to_numpy(self._factor))

    @factor.setter
    def factor(self, factor: float) -> None:
        self._factor.assign(_RATE("FeedbackSchedule(factor=...)", factor))

    def __call__(self, step: Any) -> Any:
        """Return the rate of batch number `step`, counted from 0, as a tensor of the backend."""
        return keras.ops.multiply(self.schedule(step), self._factor)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON types, with the present factor."""
        return {"schedule": keras.optimizers.schedules.serialize(self.schedule), "factor": self.factor}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the schedule that `get_config` describes."""
        return cls(keras.optimizers.schedules.deserialize(config["schedule"]), config["factor"])

    def __repr__(self) -> str:
        """Return the call that builds this schedule."""
        inner = self.schedule.schedule if isinstance(self.schedule, LRSchedule) else self.schedule
        return f"FeedbackSchedule({inner!r}, factor={self.factor!r})"


def core_of(optimizer: Any) -> Any:
    """Return the optimizer inside a `LossScaleOptimizer`, else the optimizer itself."""
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def parts_of(optimizer: Any) -> list[Any]:
    """Return the optimizers inside a `MultiOptimizer`, else the optimizer itself."""
    return list(getattr(core_of(optimizer), "optimizers", [optimizer]))


def put_in_order(optimizer: Any) -> None:
    """Put the factor where a loaded optimizer will have it: Keras saves the variables of an optimizer by number.

    On JAX a schedule that was assigned to an optimizer is its last variable, and what it replaced may be left.
    """
    rate = getattr(optimizer, "_learning_rate", None)
    if not (_ON_JAX and isinstance(rate, FeedbackSchedule)) or optimizer._variables[1] is rate:
        return
    variables = optimizer._variables
    left = [v for v in variables if v is not rate and (isinstance(v, FeedbackSchedule) or v.name == "learning_rate")]
    for variable in (*left, rate):
        optimizer._untrack_variable(variable)
    optimizer._track_variable(rate)
    variables.insert(1, variables.pop())


class Dial:
    """The place of an optimizer where a number can be set: its rate, or the factor of its `FeedbackSchedule`.

    Raises:
        TypeError: the optimizer has neither.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        # Keras shows a schedule only as the rate of the next update.
        schedule = core_of(optimizer)._learning_rate
        self.schedule = schedule if isinstance(schedule, FeedbackSchedule) else None
        # The rate of an optimizer with a schedule is a tensor, computed on the spot.
        if self.schedule is None and not isinstance(self.optimizer.learning_rate, keras.Variable):
            raise TypeError(
                f"LRCallback needs an optimizer whose learning rate can be set, but {self.optimizer.name!r} has a "
                "schedule already: build it with a number, or drop the callback; a feedback rule works with "
                "FeedbackSchedule(schedule) too"
            )

    @property
    def number(self) -> float:
        """What stands there now."""
        if self.schedule is not None:
            return self.schedule.factor
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def turn(self, number: float) -> None:
        """Set the number."""
        if self.schedule is None:
            self.optimizer.learning_rate = number
        else:
            self.schedule.factor = number


class FeedbackLoop:
    """A feedback rule, its state, and the numbers that its factor multiplies; all of it can be saved as JSON."""

    def __init__(self, rule: feedback.Feedback, monitor: str) -> None:
        if len(rule.needs) != 1:
            raise TypeError(f"LRCallback(schedule) must be a rule that needs one number, got one of {rule.needs}")
        self.rule = rule
        self.monitor = monitor
        self._forget()

    def _forget(self) -> None:
        self.state = self.rule.init()
        self.factor = 1.0
        self.bases: list[float] = []
        self.observed = 0
        # What it trains, by weak references: a model and its optimizers.
        self._trains: list[Any] = []
        # By optimizer what was set last and with which factor, to see whether somebody else has set another number.
        self._left: dict[int, tuple[float, float]] = {}

    def begin(self, model: Any, dials: list[Dial]) -> None:
        """Begin to train a model: anew if it or its optimizer is another one, or if the rule has ended the last run."""
        trains = [model, *(core_of(dial.optimizer) for dial in dials)]
        same = [*map(id, trains)] == [id(one()) for one in self._trains]
        if self._trains and (not same or self._ended):
            self._forget()
        self._trains = [*map(weakref.ref, trains)]
        if len(self.bases) != len(dials):
            self.bases = [dial.number for dial in dials]

    def turn(self, i: int, dial: Dial) -> None:
        """Set the number of optimizer i: its base, or what somebody else has set since, times the factor."""
        left, factor = self._left.get(i, (None, 1.0))
        set_by_others = left is not None and dial.number != left
        if set_by_others:
            self.bases[i] = dial.number / (factor or 1.0)
        if not set_by_others or self.factor != factor:
            dial.turn(self.bases[i] * self.factor)
        self._left[i] = dial.number, self.factor

    def observe(self, logs: dict[str, Any] | None) -> bool:
        """Show the monitored value to the rule, if the logs have it; return whether the rule ends the run.

        Raises:
            ValueError: they do not have it, and validation, which need not follow each epoch, does not excuse them.
        """
        logs = logs or {}
        if self.monitor not in logs:
            if self.monitor.startswith("val_"):
                return False
            raise ValueError(f"LRCallback(monitor=...) must be one of {sorted(logs)}, got {self.monitor!r}")
        self.state, self.factor = self.rule.update(self.state, float(logs[self.monitor]))
        self.observed += 1
        return self._ended

    @property
    def _ended(self) -> bool:
        return bool(getattr(self.state, "stop", False))

    def get(self) -> dict[str, Any]:
        """Return the memory as JSON types."""
        return {
            "rule": repr(self.rule),
            "rule_state": feedback.state_to_json(self.state),
            "factor": float(self.factor),
            "bases": list(self.bases),
            "observed": self.observed,
        }

    def set(self, memory: dict[str, Any]) -> None:
        """Take what `get` returned.

        Raises:
            ValueError: it is the memory of another rule.
        """
        if memory.get("rule") != repr(self.rule):
            raise ValueError(f"the state must be one of the rule {self.rule!r}, got that of {memory.get('rule')}")
        wanted = self.get()
        if memory.keys() != wanted.keys():
            raise ValueError(f"the state must be a dictionary of {', '.join(wanted)}, got one of {', '.join(memory)}")
        state = feedback.state_from_json(self.rule, memory["rule_state"])
        factor, bases = _RATE("the factor of the state", memory["factor"]), _RATES("its bases", memory["bases"])
        observed = _COUNT("its number of observations", memory["observed"])
        self._forget()
        self.state, self.factor, self.bases, self.observed = state, factor, list(bases), observed


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file that is whole at every moment."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content), encoding="utf-8")
    os.replace(part, path)
