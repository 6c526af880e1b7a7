"""compat.nemo gives the rates of NeMo's policies in its trainer, which is Lightning's, as its models configure it."""

import warnings

import pytest
from harness import UPDATES, agree, real
from torch_harness import line, loader, sgd, watched

from lrsched import compat
from tests.compat.test_compat_nemo import live

lightning = real("pytorch_lightning", "pytorch-lightning")


class Module(lightning.LightningModule):
    def __init__(self, make):
        super().__init__()
        self.line, self.make, self.used = line(), make, []

    def training_step(self, batch, index):
        x, y = batch
        return ((self.line(x) - y) ** 2).mean()

    def configure_optimizers(self):
        """Return what nemo/core/optim/lr_scheduler.py, prepare_lr_scheduler, wraps a policy in."""
        optimizer = sgd(self.line)
        self.used = watched(optimizer)
        plan = {"scheduler": self.make(optimizer), "interval": "step", "frequency": 1, "monitor": "loss"}
        return [optimizer], [{**plan, "reduce_on_plateau": False}]


def train(make, folder, accumulate):
    module = Module(make)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=UPDATES, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, accumulate_grad_batches=accumulate,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader(6))
    return module.used


WARM = {"max_steps": UPDATES, "warmup_steps": 3, "min_lr": 0.01}
POLICIES = {
    "CosineAnnealing": {**WARM, "constant_steps": 2},
    "SquareAnnealing": WARM,
    "PolynomialDecayAnnealing": {**WARM, "power": 2.0},
    "NoamAnnealing": {"d_model": 4, "max_steps": UPDATES, "warmup_steps": 3},
    "WarmupHoldPolicy": {**WARM, "hold_steps": 3},
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", POLICIES)
def test_nemo(name, accumulate, tmp_path):
    used = train(lambda optimizer: getattr(live, name)(optimizer, **POLICIES[name]), tmp_path, accumulate)
    agree("nemo", getattr(compat.nemo, name)(0.1, **POLICIES[name]), used)
