"""compat.mmengine gives the rates that MMEngine's Runner uses."""

import itertools
import types

import pytest
import torch
from harness import EPOCH, UPDATES, agree, emptied, follows, page, real
from torch_harness import all_watched, line, loader, sgd, watched

from lrsched import Batches, Cosine, Epochs, Warmup, compat

# Its import prepares the reading of images.
UNUSED = ("cv2",)
with emptied(*UNUSED):
    runner = real("mmengine.runner", "mmengine")
    model = real("mmengine.model", "mmengine")
    optim = real("mmengine.optim", "mmengine")
    scheduler = real("mmengine.optim.scheduler", "mmengine")
NUMBERS = itertools.count()


class Line(model.BaseModel):
    def __init__(self):
        super().__init__()
        self.line = line()

    def forward(self, inputs, target=None, mode="loss"):
        return {"loss": ((self.line(inputs) - target) ** 2).mean()}


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """Leave out what takes seconds: notes on the machine's compilers, and a rest between two epochs."""
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    monkeypatch.setattr("mmengine.runner.loops.time", types.SimpleNamespace(sleep=lambda seconds: None))


def train(folder, configs, n=1, **length):
    """Return the rates of the updates of n batches; `length` is `max_iters` or `max_epochs`."""
    trained = Line()
    optimizer = sgd(trained)
    used = watched(optimizer)
    with emptied(*UNUSED):
        runner.Runner(
            trained, str(folder), loader(), optim_wrapper=optim.OptimWrapper(optimizer, accumulative_counts=n),
            param_scheduler=configs, train_cfg={"by_epoch": "max_epochs" in length, **length}, log_level="ERROR",
            default_hooks=dict.fromkeys(["checkpoint", "logger", "runtime_info", "sampler_seed", "timer"]),
            experiment_name=f"run_{next(NUMBERS)}",
        ).train()  # fmt: skip
    return used


# Arguments that change something within 12 updates.
CALLS = {
    "ConstantLR": {"factor": 0.5, "begin": 2, "end": 7},
    "CosineAnnealingLR": {"T_max": 9, "eta_min": 0.01},
    "CosineRestartLR": {"periods": [3, 5, 9], "restart_weights": [1.0, 0.5, 0.25], "eta_min": 0.001},
    "ExponentialLR": {"gamma": 0.9},
    "LinearLR": {"start_factor": 0.1, "end": 6},
    "MultiStepLR": {"milestones": [1, 5, 9], "gamma": 0.5},
    "OneCycleLR": {"eta_max": 0.2, "total_steps": 13},
    "PolyLR": {"eta_min": 0.01, "power": 2.0, "end": 8},
    "StepLR": {"step_size": 3, "gamma": 0.5},
}


def test_every_scheduler_of_mmengine_is_trained_with():
    assert set(CALLS) == {name for name in compat.mmengine.__all__ if hasattr(scheduler, name)}


@pytest.mark.parametrize("name", CALLS)
def test_mmengine(name, tmp_path):
    used = train(tmp_path, [{"type": name, "by_epoch": False, **CALLS[name]}], max_iters=UPDATES)
    # MMEngine multiplies step by step, and its rounding adds up.
    agree("mmengine", getattr(compat.mmengine, name)(0.1, by_epoch=False, **CALLS[name]), used, rtol=1e-11)


def test_epochs_are_stepped_at_their_end(tmp_path):
    used = train(tmp_path, [{"type": "MultiStepLR", "milestones": [1, 2], "by_epoch": True}], max_epochs=3)
    agree("mmengine", Epochs(compat.mmengine.MultiStepLR(0.1, [1, 2]), EPOCH), used[:UPDATES])


@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning")
@pytest.mark.parametrize("n", [2, 3])
def test_with_accumulated_gradients_an_update_has_the_rate_of_its_last_batch(n, tmp_path):
    call = {"T_max": 50, "by_epoch": False}
    used = train(tmp_path, [{"type": "CosineAnnealingLR", **call}], n, max_iters=UPDATES * n)
    agree("mmengine", Batches(compat.mmengine.CosineAnnealingLR(0.1, **call), n), used, rtol=1e-11)


@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning")
def test_the_last_update_of_a_training_takes_the_batches_that_are_left(tmp_path):
    call = {"T_max": 50, "by_epoch": False}
    used = train(tmp_path, [{"type": "CosineAnnealingLR", **call}], 3, max_iters=3 * UPDATES - 2)
    ours = compat.mmengine.CosineAnnealingLR(0.1, **call)
    assert used[-1] == pytest.approx(ours(3 * UPDATES - 3), rel=1e-11)
    agree("mmengine", Batches(ours, 3), used[:-1], rtol=1e-11, updates=UPDATES - 1)


OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


@pytest.mark.filterwarnings("ignore:Detected call of `scheduler.step:UserWarning")
@pytest.mark.parametrize(
    ("heading", "n"), [("MMEngine", 1), ("MMEngine, RuleOptimizer", 1), ("MMEngine, RuleOptimizer", 2)]
)
def test_the_page(tmp_path, heading, n):
    used = []
    for updates in (7, UPDATES):
        kept = {"type": "CheckpointHook", "interval": 7 * n, "by_epoch": False, "save_optimizer": True}
        options = {"train_cfg": {"by_epoch": False, "max_iters": updates * n}, "log_level": "ERROR"}
        options["default_hooks"] = dict.fromkeys(["logger", "runtime_info", "sampler_seed", "timer"])
        options["default_hooks"] |= {"checkpoint": kept}
        options["experiment_name"] = f"run_{next(NUMBERS)}"
        if updates == UPDATES:
            options |= {"load_from": str(tmp_path / f"iter_{7 * n}.pth"), "resume": True}
        with emptied(*UNUSED), all_watched() as seen:
            page(
                heading, torch=torch, Runner=runner.Runner, OptimWrapper=optim.OptimWrapper, model=Line(), n=n,
                folder=str(tmp_path), data=loader(), schedule=OWN, options=options,
            )  # fmt: skip
        used += seen
    follows(OWN, used)
