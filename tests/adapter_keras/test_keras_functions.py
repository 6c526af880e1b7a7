"""A function of the step where the adapter takes a schedule, and the rate of a policy in a callback."""

import contextlib

import numpy as np
import pytest

from lrsched import Function, feedback, register
from lrsched._core.offers import FUNCTIONS

keras = pytest.importorskip("keras")
adapter = pytest.importorskip("lrsched_keras")
DATA = np.ones((8, 1), dtype="float32")


def stairs(t):
    return 0.1 if t < 2 else 0.05


def smooth(t):
    return 0.1 / (1.0 + t)


def model(rate):
    made = keras.Sequential([keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(rate), loss="mse")
    return made


def test_a_callback_takes_any_function_of_the_epoch():
    history = model(1.0).fit(DATA, DATA, epochs=4, verbose=0, callbacks=[adapter.LRCallback(stairs)])
    np.testing.assert_allclose(history.history["learning_rate"], [0.1, 0.1, 0.05, 0.05])


def test_a_schedule_in_the_compiled_step_takes_operations_and_refuses_a_branch(monkeypatch):
    rate = adapter.LRSchedule(smooth)
    assert rate == adapter.LRSchedule(Function(smooth))
    model(rate).fit(DATA, DATA, batch_size=4, epochs=2, verbose=0)
    traced = keras.backend.backend() != "torch"
    refused = pytest.raises((TypeError, ValueError), match="where it is traced")
    with refused if traced else contextlib.nullcontext():
        model(adapter.LRSchedule(stairs)).fit(DATA, DATA, verbose=0)
    with pytest.raises(ValueError, match=r"register\(f, 'a_name'\)"):
        rate.get_config()
    monkeypatch.setitem(FUNCTIONS, "smooth", smooth)
    assert register(smooth) is smooth
    assert keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate)) == rate


@pytest.mark.parametrize("wrong", [0.1, "text", lambda: 0.1, lambda t: None, Function])
def test_what_gives_no_rates_is_refused(wrong):
    with pytest.raises(TypeError, match=r"must be a schedule of lrsched|Function\(f=...\) must"):
        adapter.LRSchedule(wrong)


def test_the_rate_of_a_policy_follows_the_divergence_in_the_logs():
    class Divergence(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["kl"] = [0.1, 0.1, 0.008, 0.001, 0.008][epoch]

    callback = adapter.LRCallback(feedback.KLAdaptive(ratio=2.0), monitor="kl")
    history = model(0.5).fit(DATA, DATA, epochs=5, verbose=0, callbacks=[Divergence(), callback])
    np.testing.assert_allclose(history.history["learning_rate"], [0.5, 0.25, 0.125, 0.125, 0.25])
