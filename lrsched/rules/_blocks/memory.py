"""What blocks need of an array library: operations that write where they are told to, and views of memory.

`Ops` has no such operations: what writes into memory given is neither traced nor differentiated. They are the functions
of the same names that the module of the library has, with `out`; only what a library lacks or has in a quicker form is
spelt here. A block of a tensor is read where it lies, its intermediate results in the vectors of a `Scratch`, which are
the same for all blocks and so stay in the cache, and its results in memory that is made once for the whole tensor.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from lrsched._spaces.ops import Array, Ops, ops_named
from lrsched.rules._blocks import stacks, threads
from lrsched.rules._blocks.tape import RETURNING, WRITING


@dataclass(frozen=True)
class Sizes:
    """Numbers of elements.

    Args:
        block: the most of one tensor at a time.
        pack: the most of several small tensors at a time, all their arrays together.
        small: of the largest tensor that is copied to lie beside others.
        kept: of the largest tensor of which a result in between is kept from one pass to the next.
        shared: of the smallest tensor that several threads may do together with others, or block by block.
    """

    block: int
    pack: int
    small: int
    kept: int
    shared: int


# Two threads take turns in the interpreter between operations, so these must be long, and yet the arrays of a rule with
# two moments and its buffers lie in a cache of some MiB. What is stacked fits into the next smaller one.
NUMPY = Sizes(block=2**18, pack=2**18, small=2**13, kept=2**22, shared=2**16)
# torch splits what is longer than 32768 among its threads.
TORCH = Sizes(block=2**17, pack=2**19, small=2**17, kept=2**22, shared=sys.maxsize)
# The operations that libraries call differently.
OWN = frozenset(("copy", "choose", "add_scaled", "subtract_scaled"))
# Elements whose products are summed one after the other, before these sums are.
DOT = 2048


@dataclass(frozen=True)
class Library:
    """What blocks need of an array library beside `Ops`.

    Args:
        sizes: of what is done at a time.
        threads: how many threads there may be.
        empty: `empty(shape, dtype)`.
        result: `result(shape, dtype)`, memory for what an update returns.
        parts: the tensors in such an array; `parts(array, (count, *shape))`.
        joined: the array of which some are the parts, all of them in their order; None if there is none.
        gather: the elements of arrays end to end, in memory given if they can be; `gather(arrays, memory)`.
        constant: a number as operations take it; `constant(number, dtype)`.
        write: arrays into others.
        combines: whether there is an operation for `x + y * c`.
        dots: whether sums of products are had without an array of products.
        functions: each operation of a tape; those that write take `out`.
        plain: whether arrays are nothing but memory of the processor, and no graph is made of what is done to them.
        writable: whether results may be written into plain arrays.
        whole: whether an array lies in memory in the order of its elements.
    """

    sizes: Callable[[], Sizes]
    threads: Callable[[], int]
    empty: Callable[[tuple[int, ...], Any], Array]
    result: Callable[[tuple[int, ...], Any], Array]
    parts: Callable[[Array, tuple[int, ...]], list[Array]]
    joined: Callable[[Sequence[Array]], Array | None]
    gather: Callable[[Sequence[Array], Array], Array]
    constant: Callable[[Any, Any], Any]
    write: Callable[[Sequence[Array], Sequence[Array]], Any]
    combines: bool
    dots: bool
    functions: dict[str, Callable[..., Array]]
    plain: Callable[[Sequence[Array]], bool]
    writable: Callable[[Sequence[Array]], bool]
    whole: Callable[[Array], bool]


def _rows(x: Array) -> Array:
    return x.sum(axis=1, keepdims=True)


def _products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if hasattr(np, "vecdot"):
        return np.vecdot(x, y)  # type: ignore[no-any-return]
    return np.einsum("ij,ij->i", x, y)  # type: ignore[no-any-return]  # before NumPy 2


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the sum of products of each row, `(R, 1)`; long rows are summed by pieces, which keeps the digits."""
    rows, length = x.shape
    if rows > 1 or length < 2 * DOT:
        return _products(x, y)[:, None]
    rest = length % DOT
    if rest:
        x, y, ends = x[:, :-rest], y[:, :-rest], _products(x[:, -rest:], y[:, -rest:])
    total = np.add.reduce(_products(x.reshape(-1, DOT), y.reshape(-1, DOT)), dtype=np.float64)
    return np.array([[total + ends[0] if rest else total]], x.dtype)


def _gather(arrays: Sequence[np.ndarray], memory: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, axis=None, out=memory, casting="unsafe")


def _write(targets: Sequence[np.ndarray], contents: Sequence[np.ndarray]) -> None:
    for target, content in zip(targets, contents, strict=True):
        target[...] = content


def _copy(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    if out is None:
        return x.copy()
    np.copyto(out, x)  # several times as fast as `np.positive`
    return out


def _sign(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    if out is not x:
        return np.sign(x, out=out)  # type: ignore[no-any-return]
    np.copyto(out, np.sign(x))  # in place it takes four times as long
    return out


def _choose(mask: np.ndarray, yes: np.ndarray, no: np.ndarray, out: np.ndarray) -> np.ndarray:
    # Several times as fast as `np.where` for one tensor; of several, `out` may be the memory of what is read.
    np.copyto(out, (yes if mask.item() else no) if mask.size == 1 else np.where(mask, yes, no))
    return out


def _functions(xp: Ops, own: dict[str, Callable[..., Array]]) -> dict[str, Callable[..., Array]]:
    """Return each operation of a tape; those that write are the functions of the library, which take `out`."""
    writing = {name: getattr(xp.module, name) for name in WRITING - OWN}
    return RETURNING | writing | {"where": xp.where, "rows": _rows} | own


OF_NUMPY = _functions(ops_named("numpy"), {"copy": _copy, "choose": _choose, "dots": _dots, "sign": _sign})
_NUMPY = Library(
    sizes=lambda: NUMPY,
    threads=threads.workers,
    empty=np.empty,
    result=stacks.result,
    parts=stacks.parts,
    joined=stacks.joined,
    gather=_gather,
    # An array costs an operation half the time to look at that a number does.
    constant=lambda number, dtype: number if isinstance(number, bool) else np.array(number, dtype),
    write=_write,
    combines=False,
    dots=True,
    functions=OF_NUMPY,
    plain=lambda arrays: set(map(type, arrays)) <= {np.ndarray},
    writable=lambda arrays: all(map(attrgetter("flags.writeable"), arrays)),
    whole=lambda x: x.flags.c_contiguous,
)


def _torch(xp: Ops) -> Library:
    torch = xp.module
    kinds = (torch.Tensor, torch.nn.Parameter)

    def plain(arrays: Sequence[Array]) -> bool:
        graph = torch.is_grad_enabled()
        return all(
            type(x) in kinds
            and x.device.type == "cpu"
            and x.layout is torch.strided
            and not (graph and x.requires_grad)
            for x in arrays
        )

    def empty(shape: tuple[int, ...], dtype: Any) -> Array:
        return torch.empty(shape, dtype=dtype)

    def gather(arrays: Sequence[Array], memory: Array) -> Array:
        joined = (torch.cat if arrays[0].ndim else torch.stack)(arrays)
        return joined.reshape(-1).to(memory.dtype)

    own: dict[str, Callable[..., Array]] = {
        "add_scaled": lambda x, y, c, out: torch.add(x, y, alpha=c.item(), out=out),
        "subtract_scaled": lambda x, y, c, out: torch.sub(x, y, alpha=c.item(), out=out),
        "copy": lambda x, out: out.copy_(x),
        "choose": lambda mask, yes, no, out: xp.module.where(mask, yes, no, out=out),
        "sign": lambda x, out: out.copy_(xp.sign(x)),
    }
    return Library(
        sizes=lambda: TORCH,
        threads=lambda: 1,  # it has its own
        empty=empty,
        result=empty,
        parts=lambda made, shape: list(made.reshape(shape)),
        joined=lambda arrays: None,
        gather=gather,
        constant=lambda number, dtype: torch.tensor(float(number), dtype=torch.float64),
        write=lambda targets, contents: torch._foreach_copy_(targets, contents),
        combines=True,
        dots=False,
        functions=_functions(xp, own),
        plain=plain,
        writable=lambda arrays: True,
        whole=lambda x: x.is_contiguous(),
    )


_TORCH: list[Library] = []


def library_for(xp: Ops, donate: bool) -> Library | None:
    """Return what blocks need, or None where they do not pay or cannot be."""
    if xp.name == "numpy":
        return _NUMPY
    # Unless it may write, torch differentiates or traces what it is given.
    if xp.name != "torch" or not donate or xp.module.compiler.is_compiling():
        return None
    if not _TORCH:
        _TORCH.append(_torch(xp))
    return _TORCH[0]


class Scratch:
    """The memory of one thread: vectors of one dtype that stay where they are.

    Args:
        library: what makes them.
        dtype: of all.
        length: of all.
    """

    def __init__(self, library: Library, dtype: Any, length: int) -> None:
        self._library, self._dtype, self._length = library, dtype, length
        self._buffers: list[Array] = []
        self._inputs: list[Array] = []
        self._kept: Array = None

    def buffers(self, count: int) -> list[Array]:
        """Return so many vectors, always the same ones."""
        return self._first(self._buffers, count)

    def inputs(self, count: int) -> list[Array]:
        """Return so many other vectors, always the same ones."""
        return self._first(self._inputs, count)

    def _first(self, made: list[Array], count: int) -> list[Array]:
        while len(made) < count:
            made.append(self._library.empty((self._length,), self._dtype))
        return made[:count]

    def kept(self, size: int) -> Array:
        """Return one longer vector, for as long as nobody asks again."""
        if self._kept is None or len(self._kept) < size:
            self._kept = self._library.empty((size,), self._dtype)
        return self._kept[:size]
