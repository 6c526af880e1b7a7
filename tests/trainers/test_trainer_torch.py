"""compat.torch gives the rates that are used in PyTorch's own loop, by Lightning and by accelerate."""

import warnings

import pytest
import torch
from harness import EPOCH, UPDATES, agree, follows, page, real
from torch.optim import lr_scheduler
from torch_harness import all_watched, endless, line, loader, sgd, watched

from lrsched import Cosine, Epochs, LintWarning, Warmup, compat
from lrsched_torch import ScheduleLR

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


OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def loss_of(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def test_the_page_in_a_loop_of_ones_own():
    saved, used = None, []
    for _ in range(2):
        with all_watched() as seen:
            given = {"torch": torch, "model": line(), "loss_of": loss_of, "data": loader(6), "schedule": OWN}
            saved = page("PyTorch's own loop", saved=saved, **given)["saved"]
        used += seen
    follows(OWN, used)


@pytest.mark.slow
def test_the_page_with_a_compiled_step():
    saved, used = None, []
    for _ in range(2):
        given = {"torch": torch, "model": line(), "loss_of": loss_of, "data": loader(6), "schedule": OWN}
        with all_watched() as seen:
            saved = page("torch.compile", saved=saved, **given)["saved"]
        assert len(seen) in (0, 6)  # a compiled step may take its hooks with it
        used += seen
    follows(OWN, used, rtol=1e-7)  # the rate is a tensor of float32


class Bare(lightning.LightningModule):
    """A module without optimizers."""

    def __init__(self):
        super().__init__()
        self.line = line()

    def forward(self, x):
        return self.line(x)

    def training_step(self, batch, index):
        return loss_of(self, batch)


def trained(updates, folder, accumulate=1, epochs=-1):
    return lightning.Trainer(
        accelerator="cpu", max_steps=updates, max_epochs=epochs, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
        accumulate_grad_batches=accumulate,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*num_workers")
@pytest.mark.parametrize(
    ("heading", "accumulate"), [("Lightning", 1), ("Lightning", 2), ("Lightning, manual optimization", 1)]
)
def test_the_page_in_lightning(tmp_path, heading, accumulate):
    kept, used = None, []
    for updates in (7, UPDATES):
        trainer = trained(updates, tmp_path, accumulate)
        with all_watched() as seen:
            page(
                heading, torch=torch, Module=Bare, trainer=trainer, data=loader(EPOCH * accumulate), checkpoint=kept,
                schedule=OWN, loss_of=loss_of,
            )  # fmt: skip
        kept = tmp_path / "half.ckpt"
        trainer.save_checkpoint(kept)
        used += seen
    follows(OWN, used)


@pytest.mark.filterwarnings("ignore:.*num_workers")
@pytest.mark.parametrize(
    ("schedule", "code"),
    [
        (Cosine(0.1, 0.0, steps=1000), "length-looks-like-updates"),
        (Warmup(3) >> Cosine(0.1, 0.0, 9), "first-epoch-zero"),
    ],
)
def test_lightning_steps_the_short_form_by_epoch_and_a_warning_says_so(tmp_path, schedule, code):
    class Short(Bare):
        def configure_optimizers(self):
            optimizer = sgd(self)
            return [optimizer], [ScheduleLR(optimizer, schedule)]

    with pytest.warns(LintWarning, match=code), all_watched() as used:
        trained(-1, tmp_path, epochs=3).fit(Short(), loader(12))
    assert used == [schedule(t // 12) for t in range(36)]
