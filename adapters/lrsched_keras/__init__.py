"""Schedules and update rules of lrsched in Keras 3, on the TensorFlow, JAX and PyTorch backends alike.

* `LRSchedule(schedule)` is the `learning_rate` of any Keras optimizer.
* `LRCallback(schedule, unit="epoch" | "batch")` sets the rate of an optimizer that was built with a number.
* `LRCallback(feedback_rule, monitor="val_loss")` lets a metric turn that rate, or the factor of
  `FeedbackSchedule(schedule)`.
* `LogLearningRate()` writes the rate of any optimizer into the history.
* `RuleOptimizer(rule, learning_rate)` is a Keras optimizer that runs an update rule of `lrsched.rules`.
* `averaged(optimizer)` holds the averages of Schedule-Free while a model is evaluated.
* `run_range_test(model, batches)` looks for a learning rate.

A program that loads a model saved with these must import `lrsched_keras` first: the import registers the names.
"""

from lrsched.installed import needs as _needs
from lrsched.pickling import publish as _publish

# Keras imports the backend that KERAS_BACKEND names, TensorFlow by default.
_BACKEND = " and one of its backends: tensorflow, or jax or torch with KERAS_BACKEND=jax or torch"

with _needs("lrsched_keras", "keras", "keras", "tensorflow", "jax", "torch", more=_BACKEND):
    from lrsched_keras._averaged import averaged
    from lrsched_keras._callback import LogLearningRate, LRCallback
    from lrsched_keras._feedback import FeedbackSchedule
    from lrsched_keras._import import from_keras
    from lrsched_keras._optimizer import RuleOptimizer
    from lrsched_keras._range_test import run_range_test
    from lrsched_keras._schedule import LRSchedule

__all__ = [
    "FeedbackSchedule",
    "LRCallback",
    "LRSchedule",
    "LogLearningRate",
    "RuleOptimizer",
    "averaged",
    "from_keras",
    "run_range_test",
]

_publish(__name__)
