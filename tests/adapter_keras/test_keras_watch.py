"""`LRCallback` and `LRSchedule` warn once of a run that does not fit the schedule, and of no other."""

import warnings

import keras
import numpy as np
import pytest

from lrsched import Constant, Cosine, Linear, LintWarning, Warmup, feedback, to_config
from lrsched_keras import LogLearningRate, LRCallback, LRSchedule

BACKEND = keras.backend.backend()


def model_of(rate=0.1, **options):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    # Eager, as nothing is worth compiling here, but for a rate that is part of the graph.
    model.compile(keras.optimizers.SGD(rate, **options), loss="mse", run_eagerly=isinstance(rate, float))
    return model


def begin(model, callback, epochs, batches, epoch=0):
    """Tell a callback what `fit` tells it first."""
    callback.set_params({"epochs": epochs, "steps": batches, "verbose": 0})
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(epoch)


def fit(model, callback, epochs, batches, **options):
    x = np.ones((batches, 1), "float32")
    model.fit(x, x, batch_size=1, epochs=epochs, callbacks=[callback], verbose=0, shuffle=False, **options)


def told(act):
    """Return the codes of what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    assert all(one.filename == __file__ for one in caught if one.category is LintWarning)
    return [str(one.message).partition(":")[0] for one in caught if one.category is LintWarning]


@pytest.mark.parametrize(
    ("schedule", "unit", "epochs", "code"),
    [
        (Warmup(2) >> Linear(0.1, 0.0, steps=2), "epoch", 4, "first-epoch-zero"),
        (Cosine(0.1, 0.0, steps=4), "batch", 4, "length-looks-like-epochs"),
        (Cosine(0.1, 0.0, steps=48), "epoch", 4, "length-looks-like-updates"),
    ],
)
def test_a_schedule_of_another_unit_is_told_once(schedule, unit, epochs, code):
    model, callback = model_of(), LRCallback(schedule, unit)
    assert told(lambda: [begin(model, callback, epochs, 12) for _ in range(2)]) == [code]


def test_the_warning_counts_the_updates_that_are_lost():
    callback = LRCallback(Warmup(2) >> Linear(0.1, 0.0, steps=2))
    with pytest.warns(
        LintWarning, match=r"epoch 0 is trained at the rate 0: 6 updates are lost; .* for example Shift\("
    ):
        fit(model_of(gradient_accumulation_steps=2), callback, 1, 12)


@pytest.mark.parametrize(
    ("schedule", "unit", "epochs", "batches"),
    [
        (Linear(0.1, 0.0, steps=4), "epoch", 4, 12),
        (Warmup(12) >> Linear(0.1, 0.0, steps=36), "batch", 4, 12),
        (Linear(0.1, 0.0, steps=2), "batch", 2, 3),
        (Constant(0.1), "epoch", 2, 12),
        (feedback.Plateau(), "epoch", 1, 12),
    ],
)
def test_a_schedule_that_fits_is_not_told(schedule, unit, epochs, batches):
    named = {"monitor": "loss"} if isinstance(schedule, feedback.Feedback) else {}
    assert told(lambda: begin(model_of(), LRCallback(schedule, unit, **named), epochs, batches)) == []


def test_a_run_that_goes_on_is_not_told():
    schedule = Warmup(2) >> Linear(0.1, 0.0, steps=2)
    assert told(lambda: begin(model_of(), LRCallback(schedule), 3, 12, epoch=2)) == []
    model = model_of()
    model.optimizer.iterations.assign(12)
    assert told(lambda: begin(model, LRCallback(schedule), 2, 12)) == []


def test_a_schedule_in_epochs_as_the_rate_is_told_once_where_python_sees_the_step():
    rate = LRSchedule(Cosine(0.1, 0.0, steps=3))
    model = model_of(rate)
    before = to_config(rate.schedule), rate.get_config(), repr(rate)
    codes = told(lambda: fit(model, LogLearningRate(), 9, 40))
    assert codes == ["length-looks-like-epochs"]
    assert (to_config(rate.schedule), rate.get_config(), repr(rate)) == before


def test_a_schedule_in_updates_as_the_rate_is_not_told():
    rate = LRSchedule(Cosine(0.1, 0.0, steps=30), gradient_accumulation_steps=4)
    model = model_of(rate, gradient_accumulation_steps=4)
    assert told(lambda: fit(model, LogLearningRate(), 3, 40)) == []
