"""compat.diffusers gives the rates of the loop of diffusers' training scripts, with accelerate."""

import pytest
from harness import UPDATES, agree, real
from torch_harness import endless, line, sgd, watched

from lrsched import compat

accelerate = real("accelerate", "accelerate")
optimization = real("diffusers.optimization", "diffusers", "tests/oracles-large.txt")

KINDS = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0},
    "constant_with_warmup": {},
    "piecewise_constant": {"step_rules": "1:3,0.5:8,0.1"},
}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_diffusers(kind, accumulate):
    """The loop of examples/text_to_image/train_text_to_image.py."""
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    model = line()
    optimizer = sgd(model)
    used = watched(optimizer)
    given = {"num_warmup_steps": 3, "num_training_steps": UPDATES, **KINDS[kind]}
    scheduler = optimization.get_scheduler(
        kind,
        optimizer=optimizer,
        **{**given, **{k: v * accelerator.num_processes for k, v in given.items() if "num_" in k}},
    )
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    batches = endless(6)
    while len(used) < UPDATES:
        with accelerator.accumulate(model):
            x, y = next(batches)
            accelerator.backward(((model(x) - y) ** 2).mean())
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    agree("diffusers", compat.diffusers.get_scheduler(kind, 0.1, **given), used)
