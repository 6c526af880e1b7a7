"""A schedule as the `learning_rate` of a Keras optimizer."""

import sys
import warnings
from collections.abc import Callable
from typing import Any, Self

import keras

from lrsched import LintWarning, Schedule, from_config, to_config
from lrsched.arguments import Length, checked, short

_INSIDE = ("keras", "lrsched_keras", "tensorflow", "torch", "jax", "contextlib", "absl")


def level() -> int:
    """Return how far up the code lies that has called Keras."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(schedule: Any) -> bool:
    return type(schedule).__module__.partition(".")[0] == __name__.partition(".")[0]


def complete(where: str, schedule: Any) -> Schedule:
    """Return a schedule, or a function of the step as one, that has a value at every step.

    Raises:
        TypeError: it is not a schedule of lrsched.
        ValueError: it is a `Warmup` or `Cooldown`, or ends with one, whose height is missing.
    """
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule) and _is_ours(schedule):
        raise TypeError(f"{where} must be a schedule of lrsched, got {short(schedule)}, which is one of Keras already")
    schedule = Schedule.of(schedule)
    if not isinstance(schedule, Schedule):
        wanted = "a schedule of lrsched such as Cosine(0.1, 0.0, steps=100)"
        raise TypeError(f"{where} must be {wanted}, got {short(schedule)}")
    # What is still missing shows at one of the two ends.
    schedule(0)
    schedule(schedule.length or 0)
    return schedule


@keras.saving.register_keras_serializable(package="lrsched")
class LRSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of lrsched as a Keras `LearningRateSchedule`.

    Update number t of the optimizer uses `schedule(t)`, compiled with the training step, so it is right under
    `jit_compile`, `steps_per_execution`, resumed training and several calls of `fit`. It is saved with the model as
    JSON; to load such a model, import `lrsched_keras` first.

    Keras calls a schedule with the number of *batches* seen, also when it accumulates the gradients of n batches for
    each update. Pass the same n here and the schedule counts updates:
    `Adam(LRSchedule(s, gradient_accumulation_steps=n), gradient_accumulation_steps=n)`. Without it update j has the
    rate of the last of its batches, `Batches(s, n)(j)`: so do Keras's own schedules, and those of `compat.keras`.

    Args:
        schedule: a schedule of lrsched, or a function of the step; its steps are optimizer updates.
        gradient_accumulation_steps: batches for each update, at least 1.

    Warns:
        LintWarning: where Python sees the step, as with the PyTorch backend or in a callback that reads the rate: the
            schedule has ended at 0 long ago.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: the schedule lacks a height, or `gradient_accumulation_steps` is below 1.

    Examples:
        >>> import keras
        >>> from lrsched import Cosine, Warmup
        >>> from lrsched_keras import LRSchedule
        >>> rate = LRSchedule(Warmup(10) >> Cosine(0.1, 0.0, steps=90))
        >>> optimizer = keras.optimizers.Adam(rate)
        >>> rate(5)
        0.05
        >>> keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate)) == rate
        True
    """

    # Calls of Python, and the one at which the step is looked at; in a graph there is one for each trace.
    _calls = 0
    _look = 1

    @checked
    def __init__(self, schedule: Schedule | Callable[[Any], Any], *, gradient_accumulation_steps: Length = 1) -> None:
        self.schedule = complete("LRSchedule(schedule)", schedule)
        self.gradient_accumulation_steps = gradient_accumulation_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of batch number `step`, counted from 0.

        Args:
            step: a number, an array, or the variable of integers that a Keras optimizer passes.

        Returns:
            A float for a number; else a tensor of the backend, in float32, or in float64 where that is the `floatx`
            and the backend has it.
        """
        self._calls += 1
        if self._calls >= self._look:
            self._see(step)
        if self.gradient_accumulation_steps > 1:
            step = step // self.gradient_accumulation_steps
        # JAX decides by its own switch, jax_enable_x64, which the schedule heeds.
        wide = keras.config.floatx() == "float64" and keras.config.backend() != "jax"
        if wide and (isinstance(step, keras.Variable) or keras.ops.is_tensor(step)):
            step = keras.ops.cast(step, "float64")
        return self.schedule(step)

    def _see(self, step: Any) -> None:
        """Warn once if a step is long after the schedule has ended at 0; look at calls 1, 2, 4, 8, ..."""
        self._look = 2 * self._calls
        length = self.schedule.length
        if length is None or self.schedule(length) != 0.0 or not isinstance(step, keras.Variable):
            return
        try:
            done = int(keras.ops.convert_to_numpy(step)) // self.gradient_accumulation_steps
        except Exception:  # in a graph there is no number, and each backend says so in another way
            return
        if done >= max(2 * length, length + 100):
            self._look = 2**62
            warnings.warn(
                f"length-looks-like-epochs: LRSchedule has come to update {done}, and its schedule of {length} steps "
                "stands at 0: if these are epochs, write Epochs(schedule, n) for n updates to each, or use LRCallback",
                LintWarning,
                stacklevel=level(),
            )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON types."""
        return {
            "schedule": to_config(self.schedule),
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the schedule that `get_config` describes."""
        return cls(**{**config, "schedule": from_config(config["schedule"])})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LRSchedule):
            return NotImplemented
        mine, theirs = ((one.schedule, one.gradient_accumulation_steps) for one in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        return hash((self.schedule, self.gradient_accumulation_steps))

    def __repr__(self) -> str:
        """Return the call that builds this schedule."""
        n = self.gradient_accumulation_steps
        return f"LRSchedule({self.schedule!r}{f', gradient_accumulation_steps={n}' if n > 1 else ''})"
