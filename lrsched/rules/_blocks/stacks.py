"""Memory for the NumPy arrays that an update returns.

Small tensors of one shape lie in one `Memory`. It knows the arrays that were handed out as its parts: where all of them
come back in their order, nothing has to be gathered.
"""

import math
import weakref
from collections.abc import Sequence
from operator import attrgetter, call, is_
from typing import Any

import numpy as np


class Memory(np.ndarray[Any, Any]):
    """The bytes of some results, and the arrays that lie in them."""

    parts: tuple["weakref.ref[np.ndarray]", ...] = ()


def result(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array for the results of an update."""
    return np.ndarray(shape, dtype, Memory(math.prod(shape) * np.dtype(dtype).itemsize, np.uint8))


def parts(made: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Return the tensors, `shape[0]` in number, of what `result` made for them."""
    rows = made.reshape(shape)
    # Of a vector NumPy would yield scalars.
    found = list(rows) if len(shape) > 1 else [rows[i, ...] for i in range(len(rows))]
    if len(found) > 1 and type(made.base) is Memory:
        made.base.parts = tuple(map(weakref.ref, found))
    return found


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the array of which these are the parts, all of them and in their order, if there is one."""
    whole = arrays[0]
    while type(whole.base) is np.ndarray:
        whole = whole.base
    memory = whole.base
    if type(memory) is not Memory or len(memory.parts) != len(arrays):
        return None
    same = all(map(is_, arrays, map(call, memory.parts)))
    # Somebody may have changed the strides of a part.
    return whole if same and all(map(attrgetter("flags.c_contiguous"), arrays)) else None
