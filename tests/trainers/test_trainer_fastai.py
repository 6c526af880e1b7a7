"""compat.fastai gives the rates that fastai's Learner uses."""

import pytest
import torch
from harness import UPDATES, agree, emptied, follows, page, real
from torch_harness import line, loader

from lrsched import Batches, Cosine, Warmup, compat

# Its import prepares the reading of tables and images, and their download.
UNUSED = ("fastdownload", "pandas", "torchvision")
with emptied(*UNUSED):
    schedule = real("fastai.callback.schedule", "fastai")
    training = real("fastai.callback.training", "fastai")
    core = real("fastai.data.core", "fastai")
    learner = real("fastai.learner", "fastai")
    optimizer = real("fastai.optimizer", "fastai")
BATCHES = 4
EPOCHS = UPDATES // BATCHES
FLOAT32 = 1e-5  # fastai finds the phases in float32


class Look(learner.Callback):
    """Notes the rate of each update: it comes after the callback that leaves an update out."""

    order = 100

    def before_fit(self):
        self.used = []

    def before_step(self):
        self.used.append(float(self.opt.hypers[-1]["lr"]))


def train(fit, n=1, size=1, batches=BATCHES):
    """Return the rates of the updates of n batches of `size` pairs in the epochs that `fit` makes."""
    look = Look()
    more = [training.GradientAccumulation(n * size)] if n > 1 else []
    with emptied(*UNUSED):
        trained = learner.Learner(
            core.DataLoaders(loader(batches, size), []), line(), torch.nn.functional.mse_loss, optimizer.SGD,
            cbs=[look, *more],
        )  # fmt: skip
        with trained.no_bar(), trained.no_logging():
            fit(trained)
    return look.used


def by(**schedules):
    """Return a fit whose rate is one of fastai's schedules."""
    return lambda trained: trained.fit(EPOCHS, cbs=schedule.ParamScheduler(schedules))


# How fastai is told, and what compat calls it.
POLICIES = {
    "SchedCos": (by(lr=schedule.SchedCos(0.1, 0.01)), (0.1, 0.01)),
    "SchedExp": (by(lr=schedule.SchedExp(0.1, 0.01)), (0.1, 0.01)),
    "SchedLin": (by(lr=schedule.SchedLin(0.1, 0.01)), (0.1, 0.01)),
    "SchedPoly": (by(lr=schedule.SchedPoly(0.1, 0.01, 2.0)), (0.1, 0.01, 2.0)),
    "combined_cos": (by(lr=schedule.combined_cos(0.25, 0.01, 0.1, 0.001)), (0.25, 0.01, 0.1, 0.001)),
    "fit_flat_cos": (lambda trained: trained.fit_flat_cos(EPOCHS, 0.1, pct_start=0.5), (0.1, 1e5, 0.5)),
    "fit_one_cycle": (lambda trained: trained.fit_one_cycle(EPOCHS, 0.1), (0.1,)),
}


@pytest.mark.parametrize("name", POLICIES)
def test_fastai(name):
    fit, arguments = POLICIES[name]
    agree("fastai", getattr(compat.fastai, name)(*arguments, steps=UPDATES), train(fit), rtol=FLOAT32)


def test_restarts():
    used = train(lambda trained: trained.fit_sgdr(2, 1, 0.1))
    agree("fastai", compat.fastai.fit_sgdr(0.1, 2, 1, steps_per_epoch=BATCHES), used, rtol=FLOAT32)


@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n):
    # Batches of an epoch that are no multiple of n: an update goes on in the next.
    batches = UPDATES * n // 4
    used = train(lambda trained: trained.fit_one_cycle(4, 0.1), n, size=2, batches=batches)
    agree("fastai", Batches(compat.fastai.fit_one_cycle(0.1, steps=UPDATES * n), n), used, rtol=FLOAT32)


def test_the_page(tmp_path):
    own, used = Warmup(3) >> Cosine(0.1, 0.0, steps=9), []
    for start in (0, 2):
        look = Look()

        class Learner(learner.Learner):
            def __init__(self, *given, cbs, **more):
                super().__init__(*given, cbs=[look, cbs, *([Stop()] if not start else [])], **more)  # noqa: B023

        class Stop(learner.Callback):
            """Ends a training after two of its three epochs."""

            def after_epoch(self):
                if self.epoch == 1:
                    self.learn.save(tmp_path / "half")
                    raise learner.CancelFitException

        with emptied(*UNUSED):
            page(
                "fastai", ParamScheduler=schedule.ParamScheduler, Learner=Learner, opt_func=optimizer.SGD,
                data=core.DataLoaders(loader(BATCHES), []), model=line(), loss=torch.nn.functional.mse_loss,
                epochs=EPOCHS, start_epoch=start, folder=tmp_path / "half", schedule=own,
            )  # fmt: skip
        used += look.used
    follows(own, used)
