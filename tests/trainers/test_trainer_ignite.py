"""compat.ignite gives the rates that the engines of pytorch-ignite use."""

import pytest
import torch
from harness import EPOCH, UPDATES, agree, follows, page, real
from torch_harness import all_watched, line, loader, sgd, watched

from lrsched import Batches, Cosine, Epochs, Warmup, compat

engine = real("ignite.engine", "pytorch-ignite")
handlers = real("ignite.handlers", "pytorch-ignite")
Events = engine.Events


def train(make, n=1, event=Events.ITERATION_STARTED, epochs=3):
    """Return the rates of the first updates, of n batches each; `make` makes the scheduler of an optimizer."""
    model = line()
    optimizer = sgd(model)
    used = watched(optimizer)
    trainer = engine.create_supervised_trainer(
        model, optimizer, torch.nn.functional.mse_loss, gradient_accumulation_steps=n
    )
    trainer.add_event_handler(event, make(optimizer))
    trainer.run(loader(), epochs)
    return used[:UPDATES]


# Arguments that change something within 12 updates.
CALLS = {
    "CosineAnnealingScheduler": {"start_value": 0.1, "end_value": 0.01, "cycle_size": 5},
    "LinearCyclicalScheduler": {"start_value": 0.1, "end_value": 0.01, "cycle_size": 6},
    "PiecewiseLinear": {"milestones_values": [(2, 0.1), (5, 0.05), (9, 0.01)]},
}


@pytest.mark.parametrize("name", CALLS)
def test_ignite(name):
    used = train(lambda optimizer: getattr(handlers, name)(optimizer, "lr", **CALLS[name]))
    agree("ignite", getattr(compat.ignite, name)(**CALLS[name]), used, rtol=1e-11)


def test_a_scheduler_of_torch():
    used = train(lambda optimizer: handlers.LRScheduler(torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)))
    agree("ignite", compat.ignite.LRScheduler(compat.torch.StepLR(0.1, 3, 0.5)), used)


def test_a_warm_up_before_another_scheduler():
    def make(optimizer):
        inner = handlers.CosineAnnealingScheduler(optimizer, "lr", 0.1, 0.01, 20)
        return handlers.create_lr_scheduler_with_warmup(inner, 0.0, 4, warmup_end_value=0.1)

    inner = compat.ignite.CosineAnnealingScheduler(0.1, 0.01, 20)
    agree("ignite", compat.ignite.create_lr_scheduler_with_warmup(inner, 0.0, 4, warmup_end_value=0.1), train(make))


def test_an_epoch_is_a_step_where_its_event_is_the_epoch():
    def make(optimizer):
        return handlers.LinearCyclicalScheduler(optimizer, "lr", 0.1, 0.01, 4)

    ours = compat.ignite.LinearCyclicalScheduler(0.1, 0.01, 4)
    agree("ignite", Epochs(ours, EPOCH), train(make, event=Events.EPOCH_STARTED))


@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n):
    def make(optimizer):
        return handlers.CosineAnnealingScheduler(optimizer, "lr", 0.1, 0.01, 50)

    ours = Batches(compat.ignite.CosineAnnealingScheduler(0.1, 0.01, 50), n)
    agree("ignite", ours, train(make, n, epochs=8), rtol=1e-11)


OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


@pytest.mark.parametrize("n", [1, 2])
def test_the_page(n):
    saved, used = None, []
    for epochs in (2, 4):
        model = line()
        with all_watched() as seen:
            kept = page(
                "ignite", create_supervised_trainer=engine.create_supervised_trainer, Events=Events,
                Checkpoint=handlers.Checkpoint, model=model, optimizer=sgd(model), loss=torch.nn.functional.mse_loss,
                n=n, data=loader(3 * n), epochs=epochs, saved=saved, schedule=OWN,
            )["kept"]  # fmt: skip
        saved = {name: one.state_dict() for name, one in kept.items()}
        used += seen
    follows(OWN, used)
