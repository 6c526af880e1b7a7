"""What is trained in tests of PyTorch's trainers: a line fitted to four numbers a batch."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from harness import EPOCH
from torch.optim.optimizer import register_optimizer_step_pre_hook


class Pairs(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """`EPOCH` batches, or as many as asked, of `size` pairs each."""

    def __init__(self, batches: int = EPOCH, size: int = 1) -> None:
        self.count = batches * size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        if i >= self.count:
            raise IndexError
        return torch.full((2,), 0.1 * (i + 1)), torch.full((1,), 0.2)


def line() -> torch.nn.Module:
    """Return what is trained."""
    return torch.nn.Linear(2, 1)


def loader(batches: int = EPOCH, size: int = 1) -> torch.utils.data.DataLoader[Any]:
    """Return an epoch of batches."""
    return torch.utils.data.DataLoader(Pairs(batches, size), batch_size=size)


def endless(batches: int = EPOCH) -> Iterator[Any]:
    """Yield batches of epoch after epoch."""
    while True:
        yield from loader(batches)


def sgd(model: torch.nn.Module, lr: float = 0.1, **options: Any) -> torch.optim.Optimizer:
    """Return the optimizer of a model."""
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def watched(optimizer: torch.optim.Optimizer, field: str = "lr") -> list[float]:
    """Return a list that grows with each update by the rate of the first group when `optimizer.step` runs."""
    used: list[float] = []
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: used.append(float(opt.param_groups[0][field])))
    return used


@contextlib.contextmanager
def all_watched() -> Iterator[list[float]]:
    """Yield a list that grows with each update of any optimizer, as `watched` does, while the context lasts."""
    used: list[float] = []

    def look(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if "lr" in optimizer.param_groups[0]:  # torchtitan's container of optimizers is one itself
            used.append(float(optimizer.param_groups[0]["lr"]))

    hook = register_optimizer_step_pre_hook(look)
    try:
        yield used
    finally:
        hook.remove()
