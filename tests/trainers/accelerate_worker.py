"""One of the processes of the tests of accelerate: `python accelerate_worker.py RESULT` with the variables of torchrun.

It writes what each way of training has used, as JSON.
"""

import itertools
import json
import sys
import tempfile
import warnings
from pathlib import Path

import accelerate
import torch
from accelerate.state import AcceleratorState, GradientState
from harness import page
from torch_harness import Pairs, all_watched, line, sgd

from lrsched import Cosine, LintWarning, Warmup

UPDATES = 12
OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def loss_of(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()


def train(heading, split, accumulate):
    """Return the rates of a training that is resumed at half, and the codes of what was warned of."""
    used, codes = [], []
    with tempfile.TemporaryDirectory() as made:
        # All processes load what the first has saved.
        shared = accelerate.PartialState(cpu=True).use_distributed
        folder = accelerate.utils.broadcast_object_list([made])[0] if shared else made
        for resume in (False, True):
            AcceleratorState._reset_state()
            GradientState._reset_state()
            accelerator = accelerate.Accelerator(
                cpu=True, gradient_accumulation_steps=accumulate,
                dataloader_config=accelerate.utils.DataLoaderConfiguration(split_batches=split),
            )  # fmt: skip
            processes = accelerator.num_processes
            batches = UPDATES // 2 * accumulate * (1 if split else processes)
            data = torch.utils.data.DataLoader(Pairs(batches, 6), batch_size=6)
            model = line()
            with warnings.catch_warnings(record=True) as caught, all_watched() as seen:
                warnings.simplefilter("always")
                page(
                    heading, accelerator=accelerator, model=model, optimizer=sgd(model), data=data, loss_of=loss_of,
                    folder=folder, resume=resume, schedule=OWN,
                )  # fmt: skip
            codes += [str(one.message).partition(":")[0] for one in caught if one.category is LintWarning]
            used += seen
            accelerator.save_state(folder)
            accelerator.wait_for_everyone()
    return used, codes


def train_in_each_way():
    """Return what `train` does with each example, split batches or not, and 1 and 4 batches to an update."""
    return {
        f"{heading}, split batches: {split}, {n} to an update": train(heading, split, n)
        for heading, split, n in itertools.product(("accelerate", "accelerate, RuleOptimizer"), (False, True), (1, 4))
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(train_in_each_way()))
