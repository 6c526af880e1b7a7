"""compat.deepspeed gives the rates that DeepSpeed's engine uses."""

import os

import pytest
import torch
from harness import UPDATES, agree, follows, page, real
from torch_harness import all_watched, endless, line, loader, sgd, watched

from lrsched import Cosine, Warmup, compat, warmup_linear

os.environ.setdefault("DS_ACCELERATOR", "cpu")
deepspeed = real("deepspeed", "deepspeed", "tests/oracles-large.txt")


@pytest.fixture(autouse=True, scope="module")
def _alone(tmp_path_factory):
    """A group of one process."""
    store = tmp_path_factory.mktemp("group") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
        yield
        torch.distributed.destroy_process_group()


def train(config, accumulate=1):
    """Return the rates that the engine's updates used."""
    model = line()
    optimizer = sgd(model)
    used = watched(optimizer)
    settings = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": accumulate, "scheduler": config}
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=settings, dist_init_required=False)
    batches = endless()
    while len(used) < UPDATES:
        x, y = next(batches)
        engine.backward(((engine(x) - y) ** 2).mean())
        engine.step()
    return used


CONFIGS = {
    "LRRangeTest": {"lr_range_test_min_lr": 0.01, "lr_range_test_step_size": 3},
    "OneCycle": {"cycle_min_lr": 0.01, "cycle_max_lr": 0.1, "cycle_first_step_size": 4, "cycle_momentum": False},
    "WarmupCosineLR": {"total_num_steps": UPDATES, "warmup_num_steps": 3},
    "WarmupDecayLR": {"total_num_steps": UPDATES, "warmup_max_lr": 0.1, "warmup_num_steps": 3},
    "WarmupLR": {"warmup_max_lr": 0.1, "warmup_num_steps": 3, "warmup_type": "linear"},
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", CONFIGS)
def test_deepspeed(name, accumulate):
    config = {"type": name, "params": CONFIGS[name]}
    more = {"lr": 0.1} if name == "WarmupCosineLR" else {}
    agree("deepspeed", getattr(compat.deepspeed, name)(**CONFIGS[name], **more), train(config, accumulate))


OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)
OFFLOAD = {"offload_optimizer": {"device": "cpu"}}


def loss_of(model, batch):
    x, y = (part.to(next(model.parameters()).dtype) for part in batch)
    return ((model(x) - y) ** 2).float().mean()


@pytest.mark.parametrize(
    ("heading", "accumulate", "zero"),
    [
        ("DeepSpeed", 1, {}),
        ("DeepSpeed", 2, {}),
        ("DeepSpeed", 1, {"stage": 2, **OFFLOAD}),
        ("DeepSpeed", 2, {"stage": 3}),
        ("DeepSpeed, its own scheduler", 2, {}),
        ("DeepSpeed, RuleOptimizer", 2, {}),
        ("DeepSpeed, RuleOptimizer", 1, {"stage": 2, **OFFLOAD}),
        ("DeepSpeed, RuleOptimizer", 1, {"stage": 3, **OFFLOAD}),
    ],
)
def test_the_page(tmp_path, heading, accumulate, zero):
    schedule = warmup_linear(0.1, steps=UPDATES, warmup=3) if "own" in heading else OWN
    settings = {"train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": accumulate}
    if zero:
        settings |= {"zero_optimization": zero, "bf16": {"enabled": True}, "zero_force_ds_cpu_optimizer": False}
    used = []
    for resume in (False, True):
        with all_watched() as seen:
            page(
                heading, torch=torch, deepspeed=deepspeed, model=line(), config=settings, loss_of=loss_of,
                data=loader(6 * accumulate), schedule=schedule, resume=resume, folder=str(tmp_path),
                options={"dist_init_required": False},
            )  # fmt: skip
        used += seen
    follows(schedule, used, rtol=1e-12 if "own" in heading else 0.0)
