"""What several processes on this machine find, which share a group of `torch.distributed`."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

Work = Callable[[int, Path], dict[Any, Any]]


def gathered(work: Work, folder: Path, count: int) -> list[dict[Any, Any]]:
    """Return what each process found.

    Args:
        work: what one process does, of its rank and the folder.
        folder: for what they leave.
        count: of the processes.
    """
    mp.spawn(_run, (work, folder, count), nprocs=count)
    found: list[dict[Any, Any]] = torch.load(folder / "found.pt", weights_only=False)
    return found


def _run(rank: int, work: Work, folder: Path, count: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    every: list[Any] = [None] * count
    dist.all_gather_object(every, work(rank, folder))
    if rank == 0:
        torch.save(every, folder / "found.pt")
    gc.collect()  # whatever still holds a group of processes when the interpreter ends may abort it
    dist.barrier()
    dist.destroy_process_group()
