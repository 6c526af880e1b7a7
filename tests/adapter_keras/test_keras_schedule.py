"""LRSchedule in the live Keras, on the backend that KERAS_BACKEND names."""

import json
import pickle

import keras
import numpy as np
import pytest
from pickles import globals_of, private

import lrsched_keras
from lrsched import (
    Chain,
    Constant,
    Cooldown,
    Cosine,
    Exponential,
    Linear,
    Polynomial,
    PowerLaw,
    Repeat,
    Triangular,
    Warmup,
    rules,
)
from lrsched_keras import LRSchedule

BACKEND = keras.backend.backend()

SCHEDULES = [
    Constant(0.1),
    Linear(0.1, 0.0, steps=10),
    Warmup(5) >> Cosine(0.1, 1e-4, steps=40),
    Warmup(3) >> Constant(0.2, steps=8) >> Cooldown(5),
    Repeat(Cosine(0.1, 0.0, steps=7), stretch=1.5, scale=0.9),
    Warmup(4) >> Repeat(Polynomial(0.1, 0.01, steps=10, power=2.0), times=3),
    PowerLaw(0.3, power=0.5, timescale=10),
    Triangular(0.01, 0.1, up=6),
    Linear(0.0, 1.0, steps=8) * Exponential(0.1, 0.97),
]


def falling_model(optimizer, **compile_arguments):
    """Return a model of one weight, first 0, whose gradient is always 1: SGD moves it by minus the rate."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(optimizer, loss="mae", **compile_arguments)
    return model


def train(model, updates, *, epochs=1, **arguments):
    x = np.ones((updates, 1), "float32")
    return model.fit(x, -1000.0 * x, batch_size=1, epochs=epochs, verbose=0, shuffle=False, **arguments)


def weight(model):
    return float(model.get_weights()[0][0, 0])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_rate_of_a_variable_of_the_backend_is_the_rate_of_the_number(schedule):
    iterations = keras.optimizers.SGD().iterations
    for step in (0, 1, 3, 7, 11, 25, 100, 2**24 + 1, 2**31 - 1):
        iterations.assign(step)
        rate = keras.ops.convert_to_numpy(LRSchedule(schedule)(iterations))
        assert rate.dtype == np.float32
        np.testing.assert_allclose(rate, schedule(step), rtol=2e-6, atol=1e-12)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has its own switch for float64")
def test_rate_is_float64_where_that_is_the_float_of_keras():
    schedule = Warmup(3) >> Cosine(0.1, 0.0, steps=7)
    step = keras.optimizers.SGD().iterations
    step.assign(8)
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        rate = keras.ops.convert_to_numpy(LRSchedule(schedule)(step))
    finally:
        keras.config.set_floatx(before)
    np.testing.assert_allclose(rate, schedule(8), rtol=1e-14)


def test_rate_of_a_number_is_a_float():
    assert LRSchedule(Linear(0.1, 0.0, steps=10), gradient_accumulation_steps=4)(11) == Linear(0.1, 0.0, steps=10)(2)


JIT = [False, pytest.param(True, marks=[pytest.mark.slow] if BACKEND == "torch" else [])]


@pytest.mark.parametrize("jit_compile", JIT)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_update_t_uses_the_rate_of_step_t(name, jit_compile):
    schedule = Warmup(4) >> Cosine(0.1, 0.0, steps=10)
    # With a gradient of 1, Adam without a memory of more than one step moves by the rate too.
    make = {"SGD": keras.optimizers.SGD, "Adam": lambda s: keras.optimizers.Adam(s, beta_1=0.0, beta_2=0.0)}[name]
    model = falling_model(make(LRSchedule(schedule)), jit_compile=jit_compile)
    train(model, 12)
    assert weight(model) == pytest.approx(-sum(schedule(t) for t in range(12)), rel=1e-6)


def test_second_fit_goes_on_where_the_first_ended():
    schedule = Linear(0.1, 0.0, steps=10)
    model = falling_model(keras.optimizers.SGD(LRSchedule(schedule)))
    train(model, 3)
    train(model, 4)
    assert weight(model) == pytest.approx(-sum(schedule(t) for t in range(7)), rel=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch has no steps_per_execution")
def test_several_steps_per_execution_each_use_their_own_rate():
    schedule = Linear(0.1, 0.0, steps=10)
    model = falling_model(keras.optimizers.SGD(LRSchedule(schedule)), steps_per_execution=4)
    train(model, 8)
    assert weight(model) == pytest.approx(-sum(schedule(t) for t in range(8)), rel=1e-6)


def test_accumulated_gradients_are_counted_as_updates():
    schedule = Linear(0.1, 0.0, steps=10)
    rate = LRSchedule(schedule, gradient_accumulation_steps=3)
    model = falling_model(keras.optimizers.SGD(rate, gradient_accumulation_steps=3))
    train(model, 12)
    assert weight(model) == pytest.approx(-sum(schedule(t) for t in range(4)), rel=1e-6)


def test_loss_scaling_leaves_the_rate_alone():
    schedule = Linear(0.1, 0.0, steps=10)
    inner = keras.optimizers.SGD(LRSchedule(schedule))
    model = falling_model(keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0))
    train(model, 5)
    assert weight(model) == pytest.approx(-sum(schedule(t) for t in range(5)), rel=1e-6)


def test_saved_model_trains_on_as_if_it_had_not_been_saved(tmp_path):
    schedule = Warmup(4) >> Cosine(0.1, 0.0, steps=10)
    model = falling_model(keras.optimizers.SGD(LRSchedule(schedule), momentum=0.5))
    train(model, 5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    train(model, 4)
    train(loaded, 4)
    assert (weight(loaded), int(loaded.optimizer.iterations)) == (weight(model), 9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("n", [1, 4])
def test_config_is_json_that_builds_an_equal_schedule(schedule, n):
    rate = LRSchedule(schedule, gradient_accumulation_steps=n)
    text = json.dumps(keras.optimizers.schedules.serialize(rate))
    assert keras.optimizers.schedules.deserialize(json.loads(text)) == rate


def test_equal_schedules_are_equal_and_have_one_hash():
    one, other = (LRSchedule(Linear(0.1, 0.0, steps=10)) for _ in range(2))
    assert (one == other, hash(one) == hash(other)) == (True, True)


@pytest.mark.parametrize(
    "other",
    [
        LRSchedule(Linear(0.1, 0.0, steps=11)),
        LRSchedule(Linear(0.1, 0.0, steps=10), gradient_accumulation_steps=2),
        Linear(0.1, 0.0, steps=10),
    ],
    ids=repr,
)
def test_different_schedules_are_not_equal(other):
    assert LRSchedule(Linear(0.1, 0.0, steps=10)) != other


@pytest.mark.parametrize("n", [1, 3])
def test_repr_builds_the_schedule(n):
    rate = LRSchedule(Linear(0.1, 0.0, steps=10), gradient_accumulation_steps=n)
    assert eval(repr(rate)) == rate


@pytest.mark.parametrize(
    "wrong",
    [0.1, None, "Linear(0.1, 0.0, steps=10)", Linear, rules.SGD(), [Constant(0.1)]],
)
def test_what_is_no_schedule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"LRSchedule\(schedule\) must be a schedule of lrsched"):
        LRSchedule(wrong)


@pytest.mark.parametrize(
    "wrong",
    [Warmup(5), Cooldown(5), Chain((Constant(0.1, steps=5), Warmup(5)))],
    ids=repr,
)
def test_schedule_without_a_height_is_refused_before_training(wrong):
    with pytest.raises(ValueError, match="takes its height from a neighbour"):
        LRSchedule(wrong)


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError)])
def test_wrong_number_of_accumulated_batches_is_refused(wrong, error):
    with pytest.raises(error, match=r"LRSchedule\(gradient_accumulation_steps=...\) must be an int >= 1"):
        LRSchedule(Constant(0.1), gradient_accumulation_steps=wrong)


def test_config_of_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"\$\.type must be the name of a schedule"):
        LRSchedule.from_config({"schedule": {"format": 1, "type": "Nonesuch"}})


def test_pickles_hold_public_names():
    """A Keras optimizer is left to Keras, which pickles any by a method of its class."""
    curve = Linear(0.1, 0.0, steps=10)
    for item in (
        lrsched_keras.LRSchedule(curve),
        lrsched_keras.LRCallback(curve),
        lrsched_keras.FeedbackSchedule(curve),
        lrsched_keras.LogLearningRate(),
        lrsched_keras.from_keras,
    ):
        assert private(globals_of(pickle.dumps(item))) == set()
