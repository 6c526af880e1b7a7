"""compat.torch gives the rates that are used in PyTorch's own loop, by Lightning and by accelerate."""

import warnings

import pytest
from harness import EPOCH, UPDATES, agree, real
from torch.optim import lr_scheduler
from torch_harness import endless, line, loader, sgd, watched

from lrsched import Epochs, compat

real("torch.optim.lr_scheduler", "torch")


def warmed(optimizer):
    """Return a warm-up and a cosine, as torch writes them."""
    parts = [lr_scheduler.LinearLR(optimizer, 0.25, 1.0, 3), lr_scheduler.CosineAnnealingLR(optimizer, 9, 0.01)]
    return lr_scheduler.SequentialLR(optimizer, parts, [3])


def preset():
    c = compat.torch
    return c.SequentialLR([c.LinearLR(0.1, 0.25, 1.0, 3), c.CosineAnnealingLR(0.1, 9, 0.01)], [3])


def backward(model, batch):
    x, y = batch
    ((model(x) - y) ** 2).mean().backward()


def loop(make, every=1, updates=UPDATES, state=None):
    """Train as the documentation of torch.optim does; return the rates and what a checkpoint holds."""
    model = line()
    optimizer = sgd(model)
    scheduler = make(optimizer)
    if state is not None:
        optimizer.load_state_dict(state[0])
        scheduler.load_state_dict(state[1])
    used = watched(optimizer)
    batches = endless()
    while len(used) < updates:
        optimizer.zero_grad()
        backward(model, next(batches))
        optimizer.step()
        if len(used) % every == 0:
            scheduler.step()
    return used, (optimizer.state_dict(), scheduler.state_dict())


def test_a_step_for_each_update():
    agree("torch", preset(), loop(warmed)[0])


def test_a_step_for_each_epoch():
    def make(optimizer):
        return lr_scheduler.ExponentialLR(optimizer, 0.5)

    agree("torch", Epochs(compat.torch.ExponentialLR(0.1, 0.5), EPOCH), loop(make, every=EPOCH)[0])


def test_a_resumed_loop():
    first, state = loop(warmed, updates=EPOCH + 1)
    agree("torch", preset(), first + loop(warmed, updates=UPDATES - EPOCH - 1, state=state)[0])


lightning = real("pytorch_lightning", "pytorch-lightning")


class Module(lightning.LightningModule):
    def __init__(self, interval, frequency=1):
        super().__init__()
        self.line, self.options = line(), {"interval": interval, "frequency": frequency}
        self.used = []

    def training_step(self, batch, index):
        x, y = batch
        return ((self.line(x) - y) ** 2).mean()

    def configure_optimizers(self):
        optimizer = sgd(self.line)
        self.used = watched(optimizer)
        make = warmed if self.options["interval"] == "step" else lambda o: lr_scheduler.ExponentialLR(o, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make(optimizer), **self.options}}


def fit(module, folder, updates=UPDATES, batches=EPOCH, resume=None, **options):
    """Return the rates that the updates of Lightning's Trainer used."""
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=updates, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, **options,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader(batches), ckpt_path=resume)
    trainer.save_checkpoint(folder / "last.ckpt")
    return module.used


def test_lightning_steps_with_each_update(tmp_path):
    agree("torch", preset(), fit(Module("step"), tmp_path))


def test_lightning_steps_with_each_epoch(tmp_path):
    ours = Epochs(compat.torch.ExponentialLR(0.1, 0.5), EPOCH)
    agree("torch", ours, fit(Module("epoch"), tmp_path))


def test_lightning_counts_updates_where_gradients_are_accumulated(tmp_path):
    agree("torch", preset(), fit(Module("step"), tmp_path, batches=6, accumulate_grad_batches=2))


def test_lightning_resumes_in_the_middle_of_an_epoch(tmp_path):
    used = fit(Module("step"), tmp_path, updates=EPOCH + 2)
    used = used + fit(Module("step"), tmp_path, resume=tmp_path / "last.ckpt")
    agree("torch", preset(), used)


accelerate = real("accelerate", "accelerate")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_accelerate_counts_updates(accumulate):
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = line()
    optimizer = sgd(model)
    used = watched(optimizer)
    scheduler = warmed(optimizer)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    batches = endless(6)
    while len(used) < UPDATES:
        with accelerator.accumulate(model):
            x, y = next(batches)
            accelerator.backward(((model(x) - y) ** 2).mean())
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    agree("torch", preset(), used)
