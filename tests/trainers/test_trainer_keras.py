"""compat.keras gives the rates that Keras's `Model.fit` uses, on each backend.

Batch i is the i-th unit vector and the loss the output, so weight i moves once, by the rate of the update that batch i
is part of.
"""

import numpy as np
import pytest
from harness import UPDATES, agree, follows, page, real

from lrsched import Batches, Cosine, compat
from lrsched_keras import LRCallback, LRSchedule

keras = real("keras", "keras")
schedules = keras.optimizers.schedules
FLOAT32 = 1e-6


@keras.saving.register_keras_serializable(package="lrsched_tests")
class Output(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred


def train(rate, n=1, callbacks=(), epochs=3):
    """Return the rates of the updates of n batches, in `epochs` epochs."""
    count = UPDATES * n
    optimizer = keras.optimizers.SGD(rate, gradient_accumulation_steps=n if n > 1 else None)
    model = keras.Sequential(
        [keras.layers.Input((count,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(optimizer, loss=Output())
    batches = ((row[None], np.zeros((1, 1))) for row in np.eye(count))
    model.fit(
        batches, steps_per_epoch=count // epochs, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)
    )
    (weights,) = model.get_weights()
    moved = -weights.reshape(UPDATES, n) * n  # Keras takes the mean of the gradients
    assert (moved == moved[:, :1]).all()
    return moved[:, 0].tolist()


CALLS = {
    "CosineDecay": {
        "initial_learning_rate": 0.01, "decay_steps": 50, "alpha": 0.1, "warmup_target": 0.1, "warmup_steps": 3,
    },
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 3, "m_mul": 0.5, "alpha": 0.1},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5, "staircase": True},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [3, 8], "values": [0.1, 0.05, 0.01]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 9, "end_learning_rate": 0.01, "power": 2.0},
}  # fmt: skip


def test_every_schedule_of_keras_is_trained_with():
    assert set(CALLS) == {name for name in compat.keras.__all__ if hasattr(schedules, name)}


@pytest.mark.parametrize("name", CALLS)
def test_keras(name):
    used = train(getattr(schedules, name)(**CALLS[name]))
    agree("keras", getattr(compat.keras, name)(**CALLS[name]), used, rtol=FLOAT32)


@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n):
    used = train(schedules.CosineDecay(**CALLS["CosineDecay"]), n)
    agree("keras", Batches(compat.keras.CosineDecay(**CALLS["CosineDecay"]), n), used, rtol=FLOAT32)


def test_updates_may_end_in_another_epoch_than_they_began():
    used = train(schedules.CosineDecay(**CALLS["CosineDecay"]), 3, epochs=9)
    agree("keras", Batches(compat.keras.CosineDecay(**CALLS["CosineDecay"]), 3), used, rtol=FLOAT32)


def test_a_preset_in_the_place_of_the_schedule_counts_batches_too():
    ours = compat.keras.CosineDecay(**CALLS["CosineDecay"])
    agree("keras", Batches(ours, 2), train(LRSchedule(ours), 2), rtol=FLOAT32)


def test_a_callback_counts_updates():
    ours = Batches(compat.keras.CosineDecay(**CALLS["CosineDecay"]), 2)
    agree("keras", ours, train(0.1, 2, [LRCallback(ours, unit="batch")]), rtol=FLOAT32)


def test_the_page_trains_in_two_halves(tmp_path):
    schedule = Cosine(0.1, 0.0, steps=UPDATES)

    def model():
        made = keras.Sequential(
            [keras.layers.Input((UPDATES,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
        )
        made.compile(page("Keras", keras=keras, schedule=schedule)["optimizer"], loss=Output())
        return made

    def fit(trained, rows):
        batches = ((row[None], np.zeros((1, 1))) for row in rows)
        trained.fit(batches, steps_per_epoch=len(rows), epochs=1, shuffle=False, verbose=0)

    first, rows = model(), np.eye(UPDATES)
    fit(first, rows[: UPDATES // 2])
    first.save(tmp_path / "half.keras")
    second = keras.models.load_model(tmp_path / "half.keras")
    fit(second, rows[UPDATES // 2 :])
    follows(schedule, (-second.get_weights()[0][:, 0]).tolist(), rtol=FLOAT32)
