"""compat.paddle gives the rates that Paddle's `Model.fit` uses.

Beside PyTorch and TensorFlow the import of Paddle ends the process: this file, run by itself, trains and prints the
rates of all trainings in JSON, and its tests read them.
"""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest
from harness import EPOCH, UPDATES, agree, emptied, real

from lrsched import Batches, Epochs, compat

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
LONG = {"learning_rate": 0.1, "T_max": 50}
# The scheduler, its arguments, batches of an update and of an epoch, and whether it counts epochs.
RUNS = {name: (name, call, 1, EPOCH, False) for name, call in CALLS.items()} | {
    "epochs": ("StepDecay", {"learning_rate": 0.1, "step_size": 1, "gamma": 0.5}, 1, EPOCH, True),
    "2 batches": ("CosineAnnealingDecay", LONG, 2, 4, False),
    "3 batches": ("CosineAnnealingDecay", LONG, 3, 6, False),
    "3 of 5 batches": ("CosineAnnealingDecay", LONG, 3, 5, False),
}


def trained():
    """Return the rates of the first updates of each run."""
    with emptied("httpx", "networkx", "opt_einsum"):  # download, and simplify products of more than two tensors
        paddle = real("paddle", "paddlepaddle", "tests/oracles-large.txt")

    class Pairs(paddle.io.Dataset):
        """Batches of one pair."""

        def __init__(self, count):
            self.count = count

        def __len__(self):
            return self.count

        def __getitem__(self, i):
            return np.full(2, 0.1 * (i + 1), "float32"), np.full(1, 0.2, "float32")

    def train(name, call, n, batches, by_epoch):
        model = paddle.Model(paddle.nn.Linear(2, 1))
        scheduler = getattr(paddle.optimizer.lr, name)(**call)
        optimizer = paddle.optimizer.SGD(scheduler, parameters=model.parameters())
        used, minimize = [], optimizer.minimize

        def look(loss):
            used.append(float(optimizer.get_lr()))
            return minimize(loss)

        optimizer.minimize = look
        model.prepare(optimizer, paddle.nn.MSELoss())
        stepped = [paddle.callbacks.LRScheduler(by_step=False, by_epoch=True)] if by_epoch else None
        model.fit(
            Pairs(batches), batch_size=1, epochs=-(-UPDATES * n // batches), verbose=0, shuffle=False,
            accumulate_grad_batches=n, callbacks=stepped,
        )  # fmt: skip
        return used[:UPDATES]

    return {run: train(*arguments) for run, arguments in RUNS.items()}


@pytest.fixture(scope="module")
def used():
    if importlib.util.find_spec("paddle") is None:
        pytest.skip("paddlepaddle is not installed: pip install --no-deps -r tests/oracles-large.txt")
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_scheduler_of_paddle_is_trained_with():
    assert sorted(CALLS) == sorted(compat.paddle.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_paddle(name, used):
    agree("paddle", getattr(compat.paddle, name)(**CALLS[name]), used[name], rtol=1e-11)


def test_a_callback_may_step_once_an_epoch(used):
    agree("paddle", Epochs(compat.paddle.StepDecay(0.1, 1, 0.5), EPOCH), used["epochs"])


@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n, used):
    agree("paddle", Batches(compat.paddle.CosineAnnealingDecay(**LONG), n), used[f"{n} batches"], rtol=1e-11)


def test_the_last_update_of_an_epoch_takes_the_batches_that_are_left(used):
    ours = compat.paddle.CosineAnnealingDecay(**LONG)
    batches = [epoch * 5 + last for epoch in range(UPDATES // 2) for last in (2, 4)]
    np.testing.assert_allclose(used["3 of 5 batches"], [ours(t) for t in batches], 1e-11)


if __name__ == "__main__":
    print(json.dumps(trained()))
