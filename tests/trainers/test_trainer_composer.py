"""compat.composer and compat.llmfoundry give the rates that Composer's Trainer uses."""

import pytest
from harness import EPOCH, UPDATES, agree, emptied, real
from torch_harness import line, loader, sgd, watched

from lrsched import compat

# Composer imports what reads images, and the client of its makers' cloud.
UNUSED = ("mcli", "torchvision")
with emptied(*UNUSED):
    composer = real("composer", "mosaicml")
    optim = real("composer.optim", "mosaicml")
    real("composer.trainer.trainer", "mosaicml")


class Line(composer.models.ComposerModel):
    def __init__(self):
        super().__init__()
        self.line = line()

    def forward(self, batch):
        return self.line(batch[0])

    def loss(self, outputs, batch):
        return ((outputs - batch[1]) ** 2).mean()


def train(scheduler, max_duration=f"{UPDATES}ba", lr=0.1, size=1, **options):
    """Return the rates that the Trainer's optimizer used."""
    model = Line()
    optimizer = sgd(model, lr)
    used = watched(optimizer)
    with emptied(*UNUSED):
        trainer = composer.Trainer(
            model=model, optimizers=optimizer, schedulers=scheduler, max_duration=max_duration,
            train_dataloader=loader(size=size), device="cpu", progress_bar=False, **options,
        )  # fmt: skip
        try:
            trainer.fit()
        finally:
            trainer.close()
    return used


# Arguments that change something within 12 updates.
CALLS = {
    "StepScheduler": {"step_size": "3ba"},
    "MultiStepScheduler": {"milestones": ["1ba", "1ep", "0.75dur"]},
    "ConstantScheduler": {"alpha": 0.5, "t_max": "1ep"},
    "LinearScheduler": {"alpha_f": 0.1},
    "ExponentialScheduler": {"gamma": 0.5, "decay_period": "1ep"},
    "CosineAnnealingScheduler": {"alpha_f": 0.1},
    "CosineAnnealingWarmRestartsScheduler": {"t_0": "3ba", "t_mult": 1.5},
    "PolynomialScheduler": {"power": 2.0},
    "MultiStepWithWarmupScheduler": {"t_warmup": "3ba", "milestones": ["1ep", "9ba"]},
    "ConstantWithWarmupScheduler": {"t_warmup": "1ep", "alpha": 0.5},
    "LinearWithWarmupScheduler": {"t_warmup": "0.25dur", "alpha_f": 0.1},
    "CosineAnnealingWithWarmupScheduler": {"t_warmup": "4ba"},
    "PolynomialWithWarmupScheduler": {"t_warmup": "0ba", "alpha_f": 0.1},
}


def preset(name, max_duration=f"{UPDATES}ba", **options):
    return getattr(compat.composer, name)(
        0.1, **CALLS[name], max_duration=max_duration, dataloader_len=EPOCH, **options
    )


def test_every_scheduler_of_composer_is_trained_with():
    assert sorted(CALLS) == sorted(compat.composer.__all__)


@pytest.mark.filterwarnings("ignore:.*warmup duration is 0")
@pytest.mark.parametrize("every_batch", [None, True, False])
@pytest.mark.parametrize("name", CALLS)
def test_composer(name, every_batch):
    given = {} if every_batch is None else {"step_schedulers_every_batch": every_batch}
    used = train(getattr(optim, name)(**CALLS[name]), **given)
    agree("composer", preset(name, **given), used)
