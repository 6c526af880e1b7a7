"""Schedulers of libraries without a trainer, in the loops that their documentation shows."""

import pytest
import torch
from harness import UPDATES, agree, real
from torch_harness import endless, line, sgd, watched

from lrsched import Cosine, compat


def train(make, optimizer_of=sgd):
    """Train as the documentation does; `make` returns what is to be done after each update."""
    model = line()
    optimizer = optimizer_of(model)
    after = make(optimizer)
    used = watched(optimizer)
    batches = endless()
    while len(used) < UPDATES:
        x, y = next(batches)
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
        after()
    return used


schedulers = real("pytorch_optimizer.lr_scheduler", "pytorch_optimizer")
LATE = {"t_max": UPDATES, "max_lr": 0.1, "min_lr": 0.01, "warmup_steps": 3}
OPTIMIZER = {
    "CosineScheduler": LATE,
    "LinearScheduler": LATE,
    "PolyScheduler": LATE,
    "REXScheduler": {"total_steps": UPDATES, "max_lr": 0.1},
    "CosineAnnealingWarmupRestarts": {"first_cycle_steps": 7, "max_lr": 0.1, "min_lr": 0.01, "warmup_steps": 2},
}


@pytest.mark.parametrize("name", OPTIMIZER)
def test_pytorch_optimizer(name):
    ours = getattr(compat.pytorch_optimizer, name)(**OPTIMIZER[name])
    agree("pytorch_optimizer", ours, train(lambda o: getattr(schedulers, name)(o, **OPTIMIZER[name]).step))


warmup = real("pytorch_warmup", "pytorch-warmup")
WARMUPS = {
    "LinearWarmup": {"warmup_period": 4},
    "ExponentialWarmup": {"warmup_period": 4},
    "RAdamWarmup": {},
    "UntunedLinearWarmup": {},
    "UntunedExponentialWarmup": {},
}


@pytest.mark.parametrize("name", WARMUPS)
def test_pytorch_warmup(name):
    def make(optimizer):
        main = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, UPDATES)
        dampened = getattr(warmup, name)(optimizer, **WARMUPS[name])

        def after():
            with dampened.dampening():
                main.step()

        return after

    ours = getattr(compat.pytorch_warmup, name)(Cosine(0.1, 0.0, steps=UPDATES), **WARMUPS[name])
    used = train(make, lambda model: torch.optim.Adam(model.parameters(), lr=0.1))
    agree("pytorch_warmup", ours, used, rtol=1e-11)
