"""No wrong call of the Keras adapter ends in a foreign error, in silence, or in a message that does not help."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from wrong_calls import Call, Public, callables, complaints

import lrsched_keras as lk
from lrsched import Cosine, feedback, rules

SCHEDULE = Cosine(0.1, 0.0, steps=10)
MODEL = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
MODEL.compile(keras.optimizers.SGD(0.1), loss="mse")
BATCH = (np.ones((2, 1)), np.ones((2, 1)))


def answering() -> lk.LRCallback:
    return lk.LRCallback(feedback.Plateau(), monitor="loss")


def optimizer() -> lk.RuleOptimizer:
    return lk.RuleOptimizer(rules.Adam(), 0.1)


CALLS: dict[str, Callable[[], Call]] = {
    "FeedbackSchedule": lambda: Call(lk.FeedbackSchedule, {"schedule": SCHEDULE}),
    "LRCallback": lambda: Call(lk.LRCallback, {"schedule": SCHEDULE}),
    "LRCallback.get_state": lambda: Call(answering().get_state, {}),
    "LRCallback.set_state": lambda: Call(answering().set_state, {"state": answering().get_state()}),
    "LRSchedule": lambda: Call(lk.LRSchedule, {"schedule": SCHEDULE}),
    "LogLearningRate": lambda: Call(lk.LogLearningRate, {}),
    "RuleOptimizer": lambda: Call(lk.RuleOptimizer, {"rule": rules.Adam(), "learning_rate": 0.1}),
    "averaged": lambda: Call(lk.averaged, {"optimizer": lk.RuleOptimizer(rules.ScheduleFree(rules.SGD()), 0.1)}),
    "from_keras": lambda: Call(lk.from_keras, {"schedule": keras.optimizers.schedules.CosineDecay(0.1, 10)}),
    "run_range_test": lambda: Call(lk.run_range_test, {"model": MODEL, "batches": [BATCH], "steps": 2}),
}
# Methods that Keras calls.
LEFT = ("on_", "get_config", "from_config", "build", "apply", "set_model", "set_weights", "load_own_variables")
RIGHT: dict[tuple[str, str], str] = {
    ("lrsched_keras.LogLearningRate", "no_such_argument"): "the message is that of the class of Keras",
    ("lrsched_keras.RuleOptimizer", "learning_rate"): "a function without arguments gives it: a class may be one",
}


def left(public: Public) -> bool:
    return public.owner is not None and public.path.rpartition(".")[2].startswith(LEFT)


def test_each_public_callable_has_a_valid_call():
    assert [p.path for p in callables("lrsched_keras") if not left(p)] == list(CALLS)


def walked() -> list[tuple[Public, Callable[[], Call]]]:
    return [(public, CALLS[public.path]) for public in callables("lrsched_keras") if public.path in CALLS]


def test_wrong_calls_are_refused_with_function_argument_what_must_hold_and_what_came():
    assert list(complaints(walked(), RIGHT, every=3)) == []


@pytest.mark.slow
def test_every_wrong_call_is():
    assert list(complaints(walked(), RIGHT)) == []
