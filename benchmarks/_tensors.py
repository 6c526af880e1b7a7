"""Lists of parameters to measure optimizers on, and what the memory of the machine allows."""

from collections.abc import Callable
from typing import Any

from benchmarks._lists import Shapes, llama, resnet50, single, size, small

LISTS: dict[str, Shapes] = {"ResNet-50": resnet50(), "1000 x 1000": small(), "one of 25 M": single()}


# For rules that need tensors in their own shape.
MATRICES: dict[str, Shapes] = {"100 of 316 x 316": [(316, 316)] * 100, "512 x 512": [(512, 512)]}
# For rules without a compiler.
EAGER: dict[str, Shapes] = {"Llama": llama()}


def parameters(torch: Any, name: str, dtype: str = "float32") -> list[Any]:
    """Return the parameters of a list, with gradients."""
    generator, kind = torch.Generator().manual_seed(0), getattr(torch, dtype)
    found = []
    for shape in {**LISTS, **MATRICES, **EAGER}[name]:
        p = torch.nn.Parameter((0.1 * torch.randn(shape, generator=generator)).to(kind))
        p.grad = torch.randn(shape, generator=generator).to(kind)
        found.append(p)
    return found


def passage(torch: Any, name: str, per_element: int) -> Callable[[], object]:
    """Return what moves so many bytes for each element of a list through memory, in place."""
    x = torch.ones(size(LISTS[name]) * per_element // 8)
    return lambda: x.mul_(1.0)
