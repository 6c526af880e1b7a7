"""Lists of parameters to measure optimizers on, and what the memory of the machine allows."""

from collections.abc import Callable
from typing import Any

# (width, blocks, stride of the first block) of the four stages of ResNet-50.
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


def resnet50() -> list[tuple[int, ...]]:
    """Return the shapes of the 161 parameters of ResNet-50, 25.6 million elements."""
    found: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    before = 64
    for width, blocks in STAGES:
        for block in range(blocks):
            convolutions = [(width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if block == 0:
                convolutions.append((4 * width, before, 1, 1))
            for shape in convolutions:
                found += [shape, shape[:1], shape[:1]]
            before = 4 * width
    return [*found, (1000, 2048), (1000,)]


LISTS: dict[str, list[tuple[int, ...]]] = {
    "ResNet-50": resnet50(),
    "1000 x 1000": [(1000,)] * 1000,
    "one of 25 M": [(25_000_000,)],
}


def parameters(torch: Any, name: str) -> list[Any]:
    """Return the parameters of a list, with gradients."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for shape in LISTS[name]:
        p = torch.nn.Parameter(0.1 * torch.randn(shape, generator=generator))
        p.grad = torch.randn(shape, generator=generator)
        found.append(p)
    return found


def elements(name: str) -> int:
    """Return how many elements a list has."""
    total = 0
    for shape in LISTS[name]:
        size = 1
        for n in shape:
            size *= n
        total += size
    return total


def passage(torch: Any, name: str, per_element: int) -> Callable[[], object]:
    """Return what moves so many bytes for each element of a list through memory, in place."""
    x = torch.ones(elements(name) * per_element // 8)
    return lambda: x.mul_(1.0)
