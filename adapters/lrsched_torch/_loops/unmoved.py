"""Asks where many tensors lie in one call, as a call of Python for each takes longer than the update of a small one.

A tensor is a Python object, of which `id` is the address; behind what all objects have, PyTorch keeps its own tensor.
Its address goes into an array once, and before each update `unmoved.h` takes it from there, asks PyTorch's C interface
where the memory begins, and compares that with the table of `table.py`: nothing of Python is called for it. A gradient
is new at each step, so it is taken from its parameter, asked for its kind, and its address is written into the table.
Where the C interface cannot be had, those who ask do so in Python.
"""

import ctypes
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import is_
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrsched_torch._loops.build import CannotBuild, build

SOURCE = Path(__file__).with_name("unmoved.h").read_text()
# Under which states keep the number of updates.
COUNT = "step"
# A Python object of PyTorch begins with what all objects have; then its tensor follows.
HEAD = object.__basicsize__
# The members of `Torch` in `unmoved.h`.
OF_TORCH = (
    "_ZNK3c1010TensorImpl4gradEv", "aoti_torch_is_defined", "aoti_torch_is_contiguous", "aoti_torch_get_layout",
    "aoti_torch_get_device_type", "aoti_torch_get_dtype", "aoti_torch_get_numel", "aoti_torch_get_data_ptr",
    "aoti_torch_new_tensor_handle", "aoti_torch_delete_tensor_object",
    "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE",
)  # fmt: skip
OF_PYTHON = (
    "PyDict_GetItemWithError", "PyDict_SetItem", "PyDict_Size", "PyDict_Next", "PyList_Size", "PyList_GetItem",
)  # fmt: skip
BIG, AT, INT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32


@lru_cache(maxsize=1)
def functions() -> "tuple[Any, array[int]] | None":
    """Return the functions of `unmoved.h` and the addresses that make its `Torch`, None where they cannot be had."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None  # what is borrowed from a dictionary might vanish
    try:
        # A library finds what those find that it needs.
        native = ctypes.CDLL(torch._C.__file__)
        found = [getattr(native, name) for name in OF_TORCH]
        built: Any = build(SOURCE, ctypes.PyDLL)
    except (AttributeError, CannotBuild, OSError):
        return None
    found += [getattr(ctypes.pythonapi, name) for name in OF_PYTHON]
    built.hold.argtypes, built.hold.restype = (AT, AT), ctypes.c_bool
    built.count.argtypes, built.count.restype = (AT, AT), None
    built.lie.argtypes, built.lie.restype = (AT, BIG, AT, AT), ctypes.c_bool
    built.again.argtypes, built.again.restype = (AT, AT, AT, AT, BIG, INT, AT, AT), ctypes.c_bool
    built.release.argtypes, built.release.restype = (AT, BIG, AT), None
    built.dtype_of.argtypes, built.dtype_of.restype = (AT, AT), INT
    return built, array("q", [ctypes.cast(f, AT).value or 0 for f in found])


def _tensors(xs: Iterable[Tensor]) -> "array[int]":
    """Return the addresses of the tensors in Python objects.

    Raises:
        CannotBuild: they are not where they should be.
    """
    found = array("q")
    for x in xs:
        found.append(id(x) + HEAD)
        if BIG.from_address(found[-1]).value != x._cdata:
            raise CannotBuild("PyTorch has another layout of its objects")
    return found


class Unmoved:
    """Tells whether tensors still lie where they did.

    Args:
        xs: the tensors.
        quick: whether to ask in one call.
    """

    def __init__(self, xs: Sequence[Tensor], *, quick: bool) -> None:
        self.xs, self.at = xs, array("q", map(Tensor.data_ptr, xs))
        self._functions = functions() if quick else None
        try:
            self._tensors = _tensors(xs) if self._functions else array("q")
        except CannotBuild:
            self._functions = None

    def __bool__(self) -> bool:
        """Return whether none has moved."""
        if self._functions is None:
            return list(map(Tensor.data_ptr, self.xs)) == self.at.tolist()
        built, interface = self._functions
        return bool(built.lie(start(interface), len(self.xs), start(self._tensors), start(self.at)))


class Unchanged:
    """Tells whether lists and a dictionary still hold the same objects.

    Args:
        lists: the lists.
        table: the dictionary.
        quick: whether to ask in one call.
    """

    def __init__(self, lists: Sequence[Sequence[Any]], table: Mapping[Any, Any], *, quick: bool) -> None:
        self._table, self._values = table, list(table.values())
        self._pairs = [(x, list(x)) for x in (*lists, table)]
        plain = quick and all(type(x) is list for x in lists) and isinstance(table, dict)
        self._functions = functions() if plain else None
        *held, keys = (own for _, own in self._pairs)
        arrays = [map(id, lists), map(len, lists), map(id, chain(*held)), map(id, keys), map(id, self._values)]
        self._arrays = [array("q", own) for own in arrays]
        at, sizes, items, names, values = map(start, self._arrays)
        self._asked = array("q", [len(lists), at, sizes, items, id(table), len(table), names, values])

    def __bool__(self) -> bool:
        """Return whether they do, in the same order."""
        if self._functions is not None:
            built, interface = self._functions
            return bool(built.hold(start(interface), start(self._asked)))
        for x, own in self._pairs:
            if len(x) != len(own) or not all(map(is_, x, own)):
                return False
        return all(map(is_, self._table.values(), self._values))


class UnmovedMembers:
    """Tells whether members are as they were but for their gradients, and finds these.

    Args:
        leaves: the parameters; they must be contiguous.
        states: their states.
        kept: names of what the states keep, with the row of the table that says where it is, for each member.
        slots: what they keep under these names, one after the other.
        row: that of the parameters.
        sizes: the numbers of elements.
        table: (rows, members), the addresses.
        g: the row of the gradients.
        dtype: that of the gradients.
        keys: for each member, which of the counts is its own.

    Raises:
        CannotBuild: nothing can be asked in one call.
    """

    def __init__(
        self, leaves: Sequence[Tensor], states: Sequence[dict[str, Any]], kept: Sequence[tuple[str, int]],
        slots: Sequence[Tensor], row: int,
        sizes: "array[int]", table: "array[int]", g: int, dtype: torch.dtype, keys: "array[int]",
    ) -> None:  # fmt: skip
        found = functions()
        if found is None or any(type(state) is not dict for state in states):
            raise CannotBuild("no functions that ask for many tensors at once")
        self._built, interface = found
        own = _tensors(leaves)
        arrays = (
            own, array("q", map(id, states)), array("q", [*(id(name) for name, _ in kept), 0]),
            array("q", [*_tensors(slots), *own]), array("q", [*(i for _, i in kept), row]),
        )  # fmt: skip
        self._counts = array("q", bytes(8 * (max(keys, default=0) + 1)))
        members = array("q", [
            len(leaves), len(kept) + 1, *map(start, arrays), HEAD, id(COUNT), start(keys), start(self._counts)
        ])  # fmt: skip
        held = array("q", bytes(8 * len(leaves)))
        like = torch.empty(0, dtype=dtype)
        code = self._built.dtype_of(start(interface), id(like) + HEAD)
        # What the addresses stand for must live; none of the arrays moves.
        self._objects = (leaves, states, kept, slots, arrays, interface, members, sizes, table, held, keys)
        self._asked = start(interface), start(members), start(sizes), start(table), g, code, start(held)
        self._given = start(interface), len(leaves), start(held)
        self._counted = start(interface), start(members)
        self._holds = False

    def again(self, counts: Sequence[int], then: "array[int] | None" = None) -> bool:
        """Return whether all is as it was, with gradients of the same kind; then the table says where they lie.

        Autograd is told that the parameters have changed.

        Args:
            counts: the objects that the members have as counts.
            then: the `OnlyPass` of `unmoved.h`, which runs at once in that case, while Python waits and nobody can take
                a gradient away. Without it the gradients live until `release`.
        """
        self._note(counts)
        found: bool = self._built.again(*self._asked, start(then) if then else None)
        self._holds = found and then is None
        return found

    def _note(self, counts: Sequence[int]) -> None:
        for i, count in enumerate(counts):
            self._counts[i] = id(count)

    def count(self, counts: Sequence[int]) -> None:
        """Write counts into the states of the members."""
        self._note(counts)
        self._built.count(*self._counted)

    def release(self) -> None:
        """Let the gradients go; until then their memory stays."""
        if self._holds:
            self._holds = False
            self._built.release(*self._given)


def start(x: "array[Any]") -> int:
    """Return where an array begins."""
    return x.buffer_info()[0]
