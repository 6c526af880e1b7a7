"""`lrsched_keras.averaged`: the averages of Schedule-Free in the place of the variables."""

import keras
import numpy as np
import pytest

from lrsched import rules
from lrsched_keras import RuleOptimizer, averaged

FREE = rules.ClipByValue(1.0) >> rules.ScheduleFree(rules.SGD(), b1=0.8)


def trained(wrap=lambda optimizer: optimizer, rule=FREE, dtype="float32"):
    """Return a model after some updates, and its RuleOptimizer."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(2, dtype=dtype, name="first"), keras.layers.Dense(1, dtype=dtype, name="second")]
    model, optimizer = keras.Sequential([keras.Input((3,)), *layers]), RuleOptimizer(rule, 0.1)
    model.compile(wrap(optimizer))
    for _ in range(3):
        model.optimizer.apply([keras.ops.cos(v) for v in model.trainable_variables], model.trainable_variables)
    return model, optimizer


def several(optimizer):
    parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    parts["sequential.*/first/.*"] = parts["first/.*"] = optimizer
    return keras.optimizers.MultiOptimizer(parts)


@pytest.mark.parametrize("wrap", [lambda o: o, several])
def test_variables_are_averages_inside_and_themselves_after(wrap):
    model, optimizer = trained(wrap)
    before, own = model.get_weights(), [id(v) for v in optimizer._trainable_variables]
    z = {i: keras.ops.convert_to_numpy(slots[0]) for i, slots in zip(own, optimizer._slots, strict=True)}
    assert z
    # With a scale Keras on JAX updates in a compiled step only.
    with averaged(keras.optimizers.LossScaleOptimizer(model.optimizer)):
        for v, y in zip(model.trainable_variables, before, strict=True):
            x = (y - 0.2 * z[id(v)]) / 0.8 if id(v) in z else y
            np.testing.assert_allclose(keras.ops.convert_to_numpy(v), x, rtol=1e-5, atol=1e-6)
            assert id(v) not in z or not np.array_equal(x, y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_variables_come_back_after_an_error_and_keep_their_precision():
    model, _ = trained(dtype="bfloat16")
    before = [keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in model.trainable_variables]
    with pytest.raises(RuntimeError, match="stop bfloat16"), averaged(model.optimizer):
        raise RuntimeError(f"stop {model.trainable_variables[0].dtype}")
    for v, b in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")), b)


def test_what_has_not_moved_stays():
    w, optimizer = keras.Variable(np.ones(2)), RuleOptimizer(FREE, 0.1)
    with averaged(optimizer):  # which has no variables yet
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(w), np.ones(2))
    optimizer.build([w])
    with averaged(optimizer):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(w), np.ones(2))


@pytest.mark.parametrize("optimizer", [RuleOptimizer(rules.Adam(), 0.1), keras.optimizers.Adam()])
def test_an_optimizer_that_does_not_average_is_refused(optimizer):
    with pytest.raises(TypeError, match=r"averaged\(optimizer\) must have a rule that is a ScheduleFree or around one"):
        averaged(optimizer).__enter__()
