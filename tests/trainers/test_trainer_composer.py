"""compat.composer and compat.llmfoundry give the rates that Composer's Trainer uses."""

import pytest
import torch
from harness import EPOCH, UPDATES, agree, emptied, follows, page, real
from oracles import load, stub
from torch_harness import all_watched, line, loader, sgd, watched

from lrsched import Cosine, Warmup, compat

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


def preset_of(max_duration=f"{UPDATES}ba", **options):
    return preset("CosineAnnealingWithWarmupScheduler", max_duration, **options)


def cosine():
    return optim.CosineAnnealingWithWarmupScheduler(**CALLS["CosineAnnealingWithWarmupScheduler"])


def test_a_batch_that_is_split_is_one_update():
    agree("composer", preset_of(), train(cosine(), size=2, device_train_microbatch_size=1))


@pytest.mark.parametrize(("ratio", "scaled"), [(2.0, 24), (0.5, 6)])
def test_a_scaled_schedule(ratio, scaled):
    used = train(cosine(), scale_schedule_ratio=ratio)
    agree("composer", preset_of(f"{scaled}ba", ssr=ratio), used, updates=scaled)


@pytest.mark.parametrize("every_batch", [True, False])
def test_epochs_are_the_unit_of_the_training(every_batch):
    given = {"step_schedulers_every_batch": every_batch}
    agree("composer", preset_of("3ep", **given), train(cosine(), "3ep", **given), updates=3 * EPOCH)


@pytest.mark.parametrize(("every_batch", "first"), [(True, 7), (False, EPOCH + 2)])
def test_a_training_goes_on_in_the_middle_of_an_epoch(tmp_path, every_batch, first):
    given = {"step_schedulers_every_batch": every_batch}
    kept = {"save_folder": str(tmp_path), "save_interval": f"{first}ba", "save_filename": "ba{batch}.pt"}
    used = train(cosine(), **given, **kept)
    loading, *again = train(cosine(), **given, load_path=str(tmp_path / f"ba{first}.pt"))
    assert loading == 0.0  # torch's checkpoints make the optimizer's state by a step without gradients
    agree("composer", preset_of(**given), used[:first] + again)


def package(name):
    module = stub(name)
    module.__path__ = []
    return module


# Of llm-foundry the file of its scheduler; what trains is Composer.
FOUNDRY = [package("llmfoundry"), package("llmfoundry.utils")]
FOUNDRY += [stub("llmfoundry.utils.warnings", experimental_class=lambda name: lambda cls: cls)]


@pytest.mark.parametrize("every_batch", [True, False])
@pytest.mark.parametrize("cooldown", ["4ba", "0ba"])
def test_llm_foundry(every_batch, cooldown):
    foundry = load("llmfoundry", "optim/scheduler.py", FOUNDRY)
    call = {"t_warmup": "4ba", "t_scale": "4ba", "t_cooldown": cooldown, "alpha_f_decay": 0.1}
    used = train(foundry.InverseSquareRootWithWarmupScheduler(**call), step_schedulers_every_batch=every_batch)
    ours = compat.llmfoundry.InverseSquareRootWithWarmupScheduler(
        0.1, **call, max_duration="12ba", dataloader_len=EPOCH, step_schedulers_every_batch=every_batch
    )
    agree("llmfoundry", ours, used)


@pytest.mark.parametrize("micro", ["no", 1])
def test_the_page(tmp_path, micro):
    own, used = Warmup(3) >> Cosine(0.1, 0.0, steps=9), []
    more = {} if micro == "no" else {"device_train_microbatch_size": micro}
    for options in ({"save_folder": str(tmp_path), "save_interval": "7ba", "save_filename": "half.pt"}, {}):
        if not options:
            more |= {"load_path": str(tmp_path / "half.pt")}
        options = {"max_duration": "12ba" if not options else "7ba", "device": "cpu", "progress_bar": False, **options}
        with emptied(*UNUSED), all_watched() as seen:
            trainer = page(
                "Composer", torch=torch, Trainer=composer.Trainer, model=Line(), data=loader(size=2), schedule=own,
                options={**options, **more},
            )["trainer"]  # fmt: skip
            trainer.close()
        used += seen[len(used) > 0 :]  # a load makes the optimizer's state by a step without gradients
    follows(own, used)
