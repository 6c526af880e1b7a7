"""One of the processes of the tests of FSDP2: `python fsdp2_worker.py FOLDER RESUME RESULT`, with torchrun's variables.

It writes the rates that its updates used and the weights at the end, as JSON.
"""

import gc
import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from harness import page
from torch_harness import all_watched

from lrsched import Cosine, Warmup, rules

OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)
HALF = 6


def train(folder, resume):
    """Return the rates of half a training, and the weights after it."""
    processes, rank = dist.get_world_size(), dist.get_rank()
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    first = HALF if resume else 0
    # The same batch, however many processes share it.
    whole = [torch.randn(4, 3, generator=torch.Generator().manual_seed(t)).double() for t in range(first, first + HALF)]
    with all_watched() as used:
        page(
            "FSDP2 and distributed checkpoints", torch=torch, model=model, resume=resume, folder=folder,
            mesh=dist.init_device_mesh("cpu", (processes,)),
            data=[batch.chunk(processes)[rank] for batch in whole], rule=rules.AdamW(), schedule=OWN,
            loss_of=lambda model, x: (model(x).sum(dim=1) - x[:, 0]).square().mean(),
        )  # fmt: skip
    # Before it loads, PyTorch makes the state of an optimizer by a step of rate 0.
    return used[resume:], [p.full_tensor().flatten().tolist() for p in model.parameters()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    Path(sys.argv[3]).write_text(json.dumps(train(sys.argv[1], sys.argv[2] == "yes")))
    gc.collect()  # whatever still holds a group of processes when the interpreter ends may abort it
    dist.barrier()
    dist.destroy_process_group()
