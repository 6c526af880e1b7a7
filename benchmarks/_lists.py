"""Shapes of the parameters that rules are timed on."""

import math
from collections.abc import Iterator

Shapes = list[tuple[int, ...]]


def resnet50() -> Shapes:
    """Return the 161 tensors, 25.6 million elements, of ResNet-50: convolutions, scales and shifts, one classifier."""
    return [*_convolution(64, 3, 7), *_stages(), (1000, 2048), (1000,)]


def _convolution(outputs: int, inputs: int, side: int) -> Shapes:
    return [(outputs, inputs, side, side), (outputs,), (outputs,)]


def _stages() -> Iterator[tuple[int, ...]]:
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            yield from _convolution(width, inputs, 1)
            yield from _convolution(width, width, 3)
            yield from _convolution(4 * width, width, 1)
            if block == 0:
                yield from _convolution(4 * width, inputs, 1)
            inputs = 4 * width


def small() -> Shapes:
    """Return 1000 tensors of 1000 elements."""
    return [(1000,)] * 1000


def single() -> Shapes:
    """Return one matrix of 25 million elements."""
    return [(5000, 5000)]


def llama() -> Shapes:
    """Return the 291 tensors of Llama 7B in a 16th of its width."""
    width, inner = 256, 688
    layer = [(width, width)] * 4 + [(inner, width), (inner, width), (width, inner), (width,), (width,)]
    return [(2_000, width), *layer * 32, (width,), (2_000, width)]


def transformer() -> Shapes:
    """Return the tensors of a decoder of about a billion parameters: width 2048, 14 layers, 32000 words."""
    width, inner = 2048, 8192
    layer = [(width, width)] * 4 + [(inner, width), (inner, width), (width, inner), (width,), (width,)]
    return [(32_000, width), *layer * 14, (width,)]


LISTS = {"resnet50": resnet50, "small": small, "single": single, "transformer": transformer}


def size(shapes: Shapes) -> int:
    """Return the number of elements."""
    return sum(math.prod(shape) for shape in shapes)
