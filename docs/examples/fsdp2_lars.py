"""LARS on parameters that FSDP2 shards, with a checkpoint that any number of processes resumes.

    torchrun --nproc-per-node 2 docs/examples/fsdp2_lars.py [FOLDER]

Run it again with the same folder and another number of processes: it goes on where it stopped.
"""

import gc
import os
import sys

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard

from lrsched import Cosine, Warmup, rules
from lrsched_torch import RuleOptimizer

STEPS = 20


def train(folder: str | None) -> None:
    rank, processes = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else torch.device("cpu")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1)).to(device)
    fully_shard(model, mesh=dist.init_device_mesh(device.type, (processes,)))

    # The norms of LARS are those of whole tensors, the norm of the clip that of the whole model.
    rule = rules.ClipByGlobalNorm(10.0) >> rules.lars(trust_coefficient=0.05)
    schedule = Warmup(5) >> Cosine(0.2, 0.0, steps=2 * STEPS - 5)
    optimizer = RuleOptimizer(model.parameters(), rule, lr=schedule)

    def state() -> dict[str, object]:
        weights, moments = get_state_dict(model, optimizer)
        return {"model": weights, "optimizer": moments}

    if folder and os.path.exists(os.path.join(folder, ".metadata")):
        saved = state()
        checkpoint.load(saved, checkpoint_id=folder)
        set_state_dict(model, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"])
    first = optimizer.param_groups[0]["updates"]
    for t in range(first, first + STEPS):
        data = torch.Generator().manual_seed(t)  # the same batch however many processes share it
        x = torch.randn(64, 20, generator=data).chunk(processes)[rank].to(device)
        loss = (model(x).squeeze(1) - x.sum(dim=1)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        dist.all_reduce(loss.detach_())
        if rank == 0 and t % 5 == 4:
            print(f"step {t + 1}: loss {loss.item() / processes:.4f}")
    if folder:
        checkpoint.save(state(), checkpoint_id=folder)


def main(folder: str | None) -> None:
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    train(folder)
    gc.collect()  # whatever still holds a group of processes when the interpreter ends may abort it
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
