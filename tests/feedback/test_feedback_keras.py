"""Closed-loop rules against the callbacks of Keras, on whatever backend is set."""

import math
import types

import numpy as np
import pytest
from feedback_cases import coarse, metrics, odd_metrics
from hypothesis import given
from hypothesis import strategies as st

from lrsched import feedback as fb

keras = pytest.importorskip("keras")

# Keras reads its own variables in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

small = st.integers(0, 3)
modes = st.sampled_from(["min", "max"])


def attached(callback, lr=0.5):
    """Return the callback at the beginning of training, and a model of which it sees only the optimizer."""
    model = types.SimpleNamespace(optimizer=keras.optimizers.SGD(lr), stop_training=False)
    callback.set_model(model)
    callback.on_train_begin()
    return callback, model


def rate(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


@given(
    st.one_of(metrics, st.lists(st.one_of(st.floats(-8.0, 8.0), odd_metrics), min_size=1, max_size=30)),
    modes,
    st.sampled_from([0.25, 0.5]),
    small,
    st.sampled_from([0.0, 1e-4, 0.125]),
    small,
    st.sampled_from([0.0, 0.0625]),
)
def test_the_keras_dialect_is_the_callback(values, mode, factor, patience, delta, cooldown, low):
    native, model = attached(
        keras.callbacks.ReduceLROnPlateau(
            "loss", factor, patience, mode=mode, min_delta=delta, cooldown=cooldown, min_lr=low
        )
    )
    rule = fb.Plateau(mode, factor, patience, delta, "abs", cooldown, low, "keras", base=0.5)
    state = rule.init()
    for epoch, value in enumerate(values):
        native.on_epoch_end(epoch, {"loss": value})
        state, found = rule.update(state, value)
        # Powers of two, so the float32 rate of Keras is exact.
        assert (state.scale, state.bad, state.cooldown) == (rate(model), native.wait, native.cooldown_counter)
        assert repr(state.best) == repr(float(native.best))
        assert 0.5 * found == state.scale


@pytest.mark.parametrize("tiny", [0.0, 1e-9])
def test_an_improvement_that_float32_does_not_see_is_none_in_keras(tiny):
    rule = fb.Plateau(factor=0.5, patience=1, threshold=0.0, dialect="keras")
    state, _ = rule.update(rule.init(), 1.0)
    assert rule.update(state, 1.0 - tiny)[1] == 0.5


@given(
    coarse,
    st.lists(st.one_of(coarse, coarse, st.just(math.nan)), max_size=40),
    modes,
    st.integers(1, 3),
    st.sampled_from([0.0, 0.125, 0.5]),
    small,
    st.sampled_from([None, 0.5, -1.0]),
)
def test_early_stopping_is_the_callback(first, rest, mode, patience, delta, start, baseline):
    # A NaN that Keras meets first is its best for ever; ours waits for the first number.
    values = [first] * (start + 1) + rest
    native, model = attached(
        keras.callbacks.EarlyStopping(
            "loss", delta, patience, mode=mode, baseline=baseline, start_from_epoch=start, restore_best_weights=False
        )
    )
    rule = fb.EarlyStopping(mode, patience, delta, "abs", start, baseline)
    state = rule.init()
    for epoch, value in enumerate(values):
        native.on_epoch_end(epoch, {"loss": value})
        state, factor = rule.update(state, value)
        assert (state.stop, state.bad, factor) == (model.stop_training, native.wait, 1.0)


def test_a_keras_variable_is_a_metric():
    rule = fb.Plateau(patience=0, factor=0.5)
    state = rule.init()
    for value in (1.0, 2.0):
        state, factor = rule.update(state, keras.Variable(value, trainable=False))
    assert float(np.asarray(keras.ops.convert_to_numpy(factor))) == 0.5
    assert fb.state_to_json(state)["scale"] == 0.5
