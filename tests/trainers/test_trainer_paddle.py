"""compat.paddle gives the rates that Paddle's `Model.fit` uses."""

import numpy as np
import pytest
from harness import EPOCH, UPDATES, agree, emptied, real

from lrsched import Batches, Epochs, compat

# What downloads, and what simplifies products of more than two tensors.
with emptied("httpx", "networkx", "opt_einsum"):
    paddle = real("paddle", "paddlepaddle", "tests/oracles-large.txt")
lr = paddle.optimizer.lr


class Pairs(paddle.io.Dataset):
    """Batches of one pair."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return np.full(2, 0.1 * (i + 1), "float32"), np.full(1, 0.2, "float32")


def train(scheduler, n=1, batches=EPOCH, callbacks=None):
    """Return the rates of the first updates, of n batches each, in epochs of `batches`."""
    model = paddle.Model(paddle.nn.Linear(2, 1))
    optimizer = paddle.optimizer.SGD(scheduler, parameters=model.parameters())
    used, minimize = [], optimizer.minimize

    def look(loss):
        used.append(float(optimizer.get_lr()))
        return minimize(loss)

    optimizer.minimize = look
    model.prepare(optimizer, paddle.nn.MSELoss())
    epochs = -(-UPDATES * n // batches)
    model.fit(
        Pairs(batches), batch_size=1, epochs=epochs, verbose=0, shuffle=False, accumulate_grad_batches=n,
        callbacks=callbacks,
    )  # fmt: skip
    return used[:UPDATES]


# Arguments that change something within 12 updates.
CALLS = {
    "CosineAnnealingDecay": {"learning_rate": 0.1, "T_max": 20},
    "CosineAnnealingWarmRestarts": {"learning_rate": 0.1, "T_0": 3, "T_mult": 2},
    "CyclicLR": {"base_learning_rate": 0.01, "max_learning_rate": 0.1, "step_size_up": 3},
    "ExponentialDecay": {"learning_rate": 0.1, "gamma": 0.5},
    "InverseTimeDecay": {"learning_rate": 0.1, "gamma": 0.5},
    "LinearLR": {"learning_rate": 0.1, "total_steps": 6, "start_factor": 0.1},
    "LinearWarmup": {"learning_rate": 0.1, "warmup_steps": 4, "start_lr": 0.0, "end_lr": 0.1},
    "MultiStepDecay": {"learning_rate": 0.1, "milestones": [1, 5, 9], "gamma": 0.5},
    "NaturalExpDecay": {"learning_rate": 0.1, "gamma": 0.5},
    "NoamDecay": {"d_model": 16, "warmup_steps": 4},
    "OneCycleLR": {"max_learning_rate": 0.1, "total_steps": 20},
    "PiecewiseDecay": {"boundaries": [3, 8], "values": [0.1, 0.05, 0.01]},
    "PolynomialDecay": {"learning_rate": 0.1, "decay_steps": 9, "end_lr": 0.01, "power": 2.0},
    "StepDecay": {"learning_rate": 0.1, "step_size": 3},
}


def test_every_scheduler_of_paddle_is_trained_with():
    assert sorted(CALLS) == sorted(compat.paddle.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_paddle(name):
    used = train(getattr(lr, name)(**CALLS[name]))
    agree("paddle", getattr(compat.paddle, name)(**CALLS[name]), used, rtol=1e-11)


def test_a_callback_may_step_once_an_epoch():
    callback = paddle.callbacks.LRScheduler(by_step=False, by_epoch=True)
    used = train(lr.StepDecay(0.1, 1, 0.5), callbacks=[callback])
    agree("paddle", Epochs(compat.paddle.StepDecay(0.1, 1, 0.5), EPOCH), used)


@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n):
    used = train(lr.CosineAnnealingDecay(0.1, 50), n, batches=2 * n)
    agree("paddle", Batches(compat.paddle.CosineAnnealingDecay(0.1, 50), n), used, rtol=1e-11)


def test_the_last_update_of_an_epoch_takes_the_batches_that_are_left():
    used = train(lr.CosineAnnealingDecay(0.1, 50), 3, batches=5)
    ours = compat.paddle.CosineAnnealingDecay(0.1, 50)
    batches = [epoch * 5 + last for epoch in range(UPDATES // 2) for last in (2, 4)]
    np.testing.assert_allclose(used, [ours(t) for t in batches], 1e-11)
