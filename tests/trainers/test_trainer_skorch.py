"""What docs/trainers.md says of skorch."""

import numpy as np
import pytest
import torch
from harness import follows, page, real
from torch_harness import all_watched

from lrsched import Cosine, Warmup

skorch = real("skorch", "skorch", "tests/oracles-large.txt")
callbacks = real("skorch.callbacks", "skorch", "tests/oracles-large.txt")
OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)
X, Y = np.ones((6, 2), np.float32), np.ones((6, 1), np.float32)
OPTIONS = {"max_epochs": 2, "batch_size": 2, "train_split": None, "verbose": 0}


def made():
    return {
        "NeuralNet": skorch.NeuralNet, "LRScheduler": callbacks.LRScheduler, "module": torch.nn.Linear(2, 1),
        "loss": torch.nn.MSELoss, "x": X, "y": Y, "schedule": OWN,
    }  # fmt: skip


def test_the_page(tmp_path):
    used = []
    for done in (0, 6):
        with all_watched() as seen:
            net = page("skorch", done=done, options=OPTIONS, **made())["net"]
        assert net.history[:, "batches", :, "event_lr"] == [seen[:3], seen[3:]]
        used += seen
    follows(OWN, used)


@pytest.mark.parametrize("saved", [False, True])
def test_the_page_with_an_optimizer_that_counts(tmp_path, saved):
    with all_watched() as used:
        net = page("skorch, RuleOptimizer", options=OPTIONS, **made())["net"]
    follows(OWN, used)
    net.save_params(f_optimizer=tmp_path / "optimizer.pt")
    again = skorch.NeuralNet(
        torch.nn.Linear(2, 1), torch.nn.MSELoss, optimizer=type(net.optimizer_), optimizer__rule=net.optimizer_.rule,
        lr=OWN, **OPTIONS,
    ).initialize()  # fmt: skip
    again.load_params(f_optimizer=tmp_path / "optimizer.pt")
    assert again.optimizer_.param_groups[0]["updates"] == 12
