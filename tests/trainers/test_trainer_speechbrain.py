"""compat.speechbrain gives the rates that SpeechBrain's Brain uses, with the calls of its recipes."""

import pytest
from harness import EPOCH, UPDATES, agree, emptied, real
from torch_harness import line, loader, sgd, watched

from lrsched import compat

# What reads configurations and sound.
UNUSED = ("hyperpyyaml", "joblib", "sentencepiece", "soundfile", "torchaudio")
with emptied(*UNUSED):
    core = real("speechbrain.core", "speechbrain")
    schedulers = real("speechbrain.nnet.schedulers", "speechbrain")


class Line(core.Brain):
    """Calls the scheduler as the recipes do: after each update, or for `epochs` after each epoch."""

    used = ()

    def compute_forward(self, batch, stage):
        return self.modules.line(batch[0])

    def compute_objectives(self, predictions, batch, stage):
        return ((predictions - batch[1]) ** 2).mean()

    def on_fit_start(self):
        super().on_fit_start()
        self.used = watched(self.optimizer)

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        if should_step and self.hparams.unit == "update":
            getattr(self.hparams.scheduler, "on_batch_end", self.hparams.scheduler)(self.optimizer)
        elif should_step and self.hparams.unit == "number":
            self.hparams.scheduler(self.optimizer, self.optimizer_step)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == core.Stage.TRAIN and self.hparams.unit == "epoch":
            _, rate = self.hparams.scheduler(epoch)
            schedulers.update_learning_rate(self.optimizer, rate)


def train(scheduler, unit="update", n=1, epochs=3, lr=0.1):
    """Return the rates of the updates of n batches."""
    with emptied(*UNUSED):
        brain = Line(
            {"line": line()}, lambda parameters: sgd(brain.modules, lr), {"scheduler": scheduler, "unit": unit},
            {"device": "cpu", "grad_accumulation_factor": n, "noprogressbar": True},
        )  # fmt: skip
        brain.fit(range(1, epochs + 1), loader())
    return brain.used[:UPDATES]


# How a recipe calls it, and arguments that change something within 12 updates.
CALLS = {
    "CyclicCosineScheduler": ("update", {"n_warmup_steps": 4, "lr_initial": 0.1, "total_steps": 12}),
    "CyclicLRScheduler": ("update", {"base_lr": 0.01, "max_lr": 0.1, "step_size": 3}),
    "InverseSquareRootScheduler": ("update", {"warmup_steps": 4}),
    "LinearNoamScheduler": ("update", {"lr_initial": 0.1, "n_warmup_steps": 3, "n_keep_steps": 3}),
    "NoamScheduler": ("update", {"lr_initial": 0.1, "n_warmup_steps": 4}),
    "TriStageLRSchedule": (
        "number",
        {"lr": 0.1, "warmup_steps": 3, "hold_steps": 3, "decay_steps": 5, "total_steps": 12},
    ),
    "WarmAndExpDecayLRSchedule": ("update", {"lr": 0.1, "n_warmup_steps": 3, "total_steps": 12}),
    "WarmCoolDecayLRSchedule": ("number", {"lr": 0.1, "warmup": 3, "cooldown": 3, "total_steps": 12}),
}
# `optimizer_lr` is the rate of the optimizer where `lr` is the scheduler's.
STARTS = {"TriStageLRSchedule", "WarmAndExpDecayLRSchedule", "WarmCoolDecayLRSchedule"}


@pytest.mark.parametrize("name", CALLS)
def test_speechbrain(name):
    unit, call = CALLS[name]
    ours = getattr(compat.speechbrain, name)(**call, **{"optimizer_lr" if name in STARTS else "lr": 0.1})
    agree("speechbrain", ours, train(getattr(schedulers, name)(**call), unit), rtol=1e-11)


def test_with_accumulated_gradients_the_recipes_count_updates():
    used = train(schedulers.NoamScheduler(0.1, 4), n=2, epochs=6)
    agree("speechbrain", compat.speechbrain.NoamScheduler(0.1, 4, lr=0.1), used)


def test_epochs():
    used = train(schedulers.LinearScheduler(0.1, 0.01, 3), "epoch")
    ours = compat.speechbrain.LinearScheduler(0.1, 0.01, 3, updates_per_epoch=EPOCH)
    agree("speechbrain", ours, used, rtol=1e-7)  # its line is float32
