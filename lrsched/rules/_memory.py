"""What blocks need of an array library: operations that write where they are told to, and views of memory."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrsched.rules._arrays import Array, Ops
from lrsched.rules._tape import RETURNING, WRITING

# About eight of them, the arrays of a rule with two moments and its buffers, are in turn in a cache of some MiB.
NUMPY_BYTES = 512 * 1024
# torch splits what is longer than 32768 among its threads.
TORCH_LENGTH = 131_072
# The operations that libraries call differently.
OWN = frozenset(("copy", "add_scaled", "subtract_scaled"))


@dataclass(frozen=True)
class Library:
    """What blocks need of an array library beside `Ops`.

    Args:
        length: elements of a block of a dtype.
        empty: `empty(shape, dtype)`.
        join: arrays end to end, along the first axis.
        stack: arrays along a new first axis.
        constant: a number as operations take it.
        write: arrays into others.
        combines: whether there is an operation for `x + y * c`.
        functions: each operation of a tape; those that write take `out`.
        plain: whether an array is nothing but memory of the processor, and no graph is made of what is done to it.
        writable: whether results may be written into a plain array.
        whole: whether an array lies in memory in the order of its elements.
    """

    length: Callable[[Any], int]
    empty: Callable[[tuple[int, ...], Any], Array]
    join: Callable[[list[Array]], Array]
    stack: Callable[[list[Array]], Array]
    constant: Callable[[Any], Any]
    write: Callable[[list[Array], list[Array]], Any]
    combines: bool
    functions: dict[str, Callable[..., Array]]
    plain: Callable[[Array], bool]
    writable: Callable[[Array], bool]
    whole: Callable[[Array], bool]


def _rows(x: Array) -> Array:
    return x.sum(axis=1, keepdims=True)


def _write(targets: list[Array], contents: list[Array]) -> None:
    for target, content in zip(targets, contents, strict=True):
        target[...] = content


_NUMPY = Library(
    length=lambda dtype: NUMPY_BYTES // np.dtype(dtype).itemsize,
    empty=np.empty,
    join=np.concatenate,
    stack=np.stack,
    constant=lambda number: number,
    write=_write,
    combines=False,
    functions=RETURNING
    | {name: getattr(np, name) for name in WRITING - OWN}
    | {"copy": np.positive, "where": np.where, "rows": _rows},
    plain=lambda x: type(x) is np.ndarray,
    writable=lambda x: x.flags.writeable,
    whole=lambda x: x.flags.c_contiguous,
)


def _torch(torch: Any) -> Library:
    kinds = (torch.Tensor, torch.nn.Parameter)

    def plain(x: Array) -> bool:
        differentiates = x.requires_grad and torch.is_grad_enabled()
        return type(x) in kinds and x.device.type == "cpu" and x.layout is torch.strided and not differentiates

    def sign(x: Array, out: Array) -> Array:  # torch takes the sign of NaN for 0
        return out.copy_(torch.where(torch.isnan(x), x, torch.sign(x)))

    return Library(
        length=lambda dtype: TORCH_LENGTH,
        empty=lambda shape, dtype: torch.empty(shape, dtype=dtype),
        join=torch.cat,
        stack=torch.stack,
        constant=lambda number: torch.tensor(float(number), dtype=torch.float64),
        write=lambda targets, contents: torch._foreach_copy_(targets, contents),
        combines=True,
        functions=RETURNING
        | {name: getattr(torch, name) for name in WRITING - OWN - {"sign"}}
        | {
            "add_scaled": lambda x, y, c, out: torch.add(x, y, alpha=c.item(), out=out),
            "subtract_scaled": lambda x, y, c, out: torch.sub(x, y, alpha=c.item(), out=out),
            "copy": lambda x, out: out.copy_(x),
            "sign": sign,
            "where": torch.where,
            "rows": _rows,
        },
        plain=plain,
        writable=lambda x: True,
        whole=lambda x: x.is_contiguous(),
    )


_TORCH: list[Library] = []


def library_for(xp: Ops, donate: bool) -> Library | None:
    """Return what blocks need, or None where they do not pay or cannot be."""
    if xp.name == "numpy":
        return _NUMPY
    # Unless it may write, torch differentiates or traces what it is given.
    if xp.name != "torch" or not donate or sys.modules["torch"].compiler.is_compiling():
        return None
    if not _TORCH:
        _TORCH.append(_torch(sys.modules["torch"]))
    return _TORCH[0]
