"""LRCallback and LogLearningRate in the live Keras, on the backend that KERAS_BACKEND names."""

import keras
import numpy as np
import pytest

from lrsched import Cosine, Linear, Warmup, rules
from lrsched_keras import FeedbackSchedule, LogLearningRate, LRCallback, LRSchedule, RuleOptimizer

BACKEND = keras.backend.backend()
SCHEDULE = Linear(0.1, 0.0, steps=10)


def falling_model(optimizer, **compile_arguments):
    """Return a model of one weight, first 0, whose gradient is always 1: SGD moves it by minus the rate."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer, loss="mae", **compile_arguments)
    return model


def train(model, updates, callback, **arguments):
    x = np.ones((updates, 1), "float32")
    arguments = {"batch_size": 1, "verbose": 0, "shuffle": False, **arguments}
    return model.fit(x, -1000.0 * x, callbacks=[callback], **arguments).history


def weight(model):
    return float(model.get_weights()[0][0, 0])


def optimizers():
    return [
        keras.optimizers.SGD(0.5),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=8.0),
        RuleOptimizer(rules.SGD(), 0.5),
    ]


@pytest.mark.parametrize("optimizer", optimizers(), ids=lambda optimizer: optimizer.name)
def test_epoch_e_trains_at_the_rate_of_step_e(optimizer):
    model = falling_model(optimizer)
    train(model, 2, LRCallback(SCHEDULE), epochs=4)
    assert weight(model) == pytest.approx(-2 * sum(SCHEDULE(e) for e in range(4)), rel=1e-6)


@pytest.mark.parametrize("optimizer", optimizers(), ids=lambda optimizer: optimizer.name)
def test_update_t_trains_at_the_rate_of_step_t(optimizer):
    model = falling_model(optimizer)
    train(model, 3, LRCallback(SCHEDULE, unit="batch"), epochs=2)
    assert weight(model) == pytest.approx(-sum(SCHEDULE(t) for t in range(6)), rel=1e-6)


def test_epochs_go_on_from_the_initial_epoch():
    model = falling_model(keras.optimizers.SGD(0.5))
    train(model, 1, LRCallback(SCHEDULE), epochs=2)
    train(model, 1, LRCallback(SCHEDULE), initial_epoch=2, epochs=5)
    assert weight(model) == pytest.approx(-sum(SCHEDULE(e) for e in range(5)), rel=1e-6)


def test_updates_go_on_in_a_second_fit():
    model = falling_model(keras.optimizers.SGD(0.5))
    for _ in range(2):
        train(model, 3, LRCallback(SCHEDULE, unit="batch"))
    assert weight(model) == pytest.approx(-sum(SCHEDULE(t) for t in range(6)), rel=1e-6)


def test_updates_go_on_after_loading(tmp_path):
    model = falling_model(keras.optimizers.SGD(0.5))
    train(model, 3, LRCallback(SCHEDULE, unit="batch"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    train(loaded, 3, LRCallback(SCHEDULE, unit="batch"))
    assert weight(loaded) == pytest.approx(-sum(SCHEDULE(t) for t in range(6)), rel=1e-6)


def test_accumulated_gradients_are_counted_as_updates():
    model = falling_model(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2))
    train(model, 8, LRCallback(SCHEDULE, unit="batch"))
    assert weight(model) == pytest.approx(-sum(SCHEDULE(t) for t in range(4)), rel=1e-6)


def test_callback_and_schedule_give_the_same_weights():
    by_callback = falling_model(keras.optimizers.SGD(0.5, momentum=0.9))
    train(by_callback, 8, LRCallback(SCHEDULE, unit="batch"))
    by_schedule = falling_model(keras.optimizers.SGD(LRSchedule(SCHEDULE), momentum=0.9))
    train(by_schedule, 8, LogLearningRate())
    assert weight(by_callback) == pytest.approx(weight(by_schedule), rel=1e-6)


def test_history_of_epochs_holds_their_rates():
    history = train(falling_model(keras.optimizers.SGD(0.5)), 2, LRCallback(SCHEDULE), epochs=3)
    assert history["learning_rate"] == pytest.approx([SCHEDULE(e) for e in range(3)], rel=1e-6)


def test_history_of_updates_holds_the_last_rate_of_each_epoch():
    history = train(falling_model(keras.optimizers.SGD(0.5)), 2, LRCallback(SCHEDULE, unit="batch"), epochs=3)
    assert history["learning_rate"] == pytest.approx([SCHEDULE(t) for t in (1, 3, 5)], rel=1e-6)


def test_logged_rate_of_a_schedule_is_that_of_the_next_update():
    history = train(falling_model(keras.optimizers.SGD(LRSchedule(SCHEDULE))), 2, LogLearningRate(), epochs=3)
    assert history["learning_rate"] == pytest.approx([SCHEDULE(t) for t in (2, 4, 6)], rel=1e-6)


def test_logged_rate_of_a_number_is_the_number():
    history = train(falling_model(keras.optimizers.SGD(0.25)), 2, LogLearningRate(), epochs=2)
    assert history["learning_rate"] == [0.25, 0.25]


def test_each_part_of_a_multi_optimizer_is_set_and_logged():
    parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5, name="rest"))
    parts["dense_a/.*"] = RuleOptimizer(rules.Adam(), 0.5, name="first")
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, name="dense_a"), keras.layers.Dense(1, name="dense_b")]
    )
    model.compile(keras.optimizers.MultiOptimizer(parts), loss="mae")
    history = train(model, 2, LRCallback(SCHEDULE), epochs=2)
    expected = pytest.approx([SCHEDULE(0), SCHEDULE(1)], rel=1e-6)
    assert (history["learning_rate_first"], history["learning_rate_rest"]) == (expected, expected)


@pytest.mark.parametrize("unit", ["epoch", "batch"])
@pytest.mark.parametrize(
    "rate", [LRSchedule(SCHEDULE), keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), lambda: 0.1]
)
def test_optimizer_with_a_schedule_of_its_own_is_refused_when_training_begins(rate, unit):
    model = falling_model(keras.optimizers.SGD(rate, name="scheduled"))
    with pytest.raises(TypeError, match="'scheduled' has a schedule already: build it with a number"):
        train(model, 1, LRCallback(SCHEDULE, unit=unit))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch has no steps_per_execution")
def test_batches_under_steps_per_execution_are_refused_when_training_begins():
    model = falling_model(keras.optimizers.SGD(0.5), steps_per_execution=2)
    with pytest.raises(ValueError, match=r"steps_per_execution=1, got 2: .* LRSchedule\(schedule\)"):
        train(model, 4, LRCallback(SCHEDULE, unit="batch"))


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch has no steps_per_execution")
def test_epochs_are_right_under_steps_per_execution():
    model = falling_model(keras.optimizers.SGD(0.5), steps_per_execution=2)
    train(model, 4, LRCallback(SCHEDULE), epochs=2)
    assert weight(model) == pytest.approx(-4 * (SCHEDULE(0) + SCHEDULE(1)), rel=1e-6)


def test_schedule_is_a_function_that_the_scheduler_of_keras_takes():
    model = falling_model(keras.optimizers.SGD(0.5))
    history = train(model, 1, keras.callbacks.LearningRateScheduler(Warmup(2) >> Cosine(0.1, 0.0, steps=2)), epochs=5)
    assert history["learning_rate"] == pytest.approx([0.0, 0.05, 0.1, 0.05, 0.0], rel=1e-6)


@pytest.mark.parametrize("wrong", [0.1, None, rules.SGD(), [SCHEDULE]])
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"LRCallback\(schedule\) must be a schedule of lrsched"):
        LRCallback(wrong)


def test_schedule_without_a_height_is_refused():
    with pytest.raises(ValueError, match="takes its height from a neighbour"):
        LRCallback(Warmup(5))


@pytest.mark.parametrize("wrong", ["step", "Epoch", "", None, 1])
def test_unknown_unit_is_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=r"LRCallback\(unit=...\) must be one of 'epoch', 'batch', got"):
        LRCallback(SCHEDULE, unit=wrong)


def test_a_schedule_of_the_adapter_is_taken_for_its_own():
    assert LRCallback(LRSchedule(SCHEDULE, gradient_accumulation_steps=4)).schedule == SCHEDULE


@pytest.mark.parametrize("kind", [LRCallback, LRSchedule])
def test_a_rate_that_a_feedback_rule_moves_is_no_schedule(kind):
    with pytest.raises(TypeError, match=r"must be a schedule of lrsched, got FeedbackSchedule.*of Keras already"):
        kind(FeedbackSchedule(SCHEDULE))
    with pytest.raises(TypeError, match=r"got LRSchedule\(.*of Keras already"):
        LRSchedule(LRSchedule(SCHEDULE))
