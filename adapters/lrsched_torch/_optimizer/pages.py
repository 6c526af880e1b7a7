"""Large pages for large buffers, which spare the processor most of its searches for where memory is."""

import ctypes
import mmap
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# NumPy asks for large pages from this size on, PyTorch only if an environment variable tells it to.
LARGE = 2**22


@lru_cache(maxsize=1)
def _advise() -> Any:
    """Return the function of the operating system that takes advice about memory, None if it takes no such advice."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    found = getattr(ctypes.CDLL(None), "madvise", None)
    if found is not None:
        found.argtypes, found.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    return found


def zeros(count: int, like: Tensor) -> Tensor:
    """Return zeros in one dimension, in large pages where the system has some.

    Args:
        count: how many.
        like: has their dtype and device.
    """
    x = torch.empty(count, dtype=like.dtype, device=like.device)
    size, advise = x.numel() * x.element_size(), _advise()
    if size >= LARGE and x.is_cpu and advise is not None:
        # Pages that nobody has touched. It is advice: what the system answers changes nothing.
        begin, end = -(-x.data_ptr() // mmap.PAGESIZE), (x.data_ptr() + size) // mmap.PAGESIZE
        advise(begin * mmap.PAGESIZE, (end - begin) * mmap.PAGESIZE, mmap.MADV_HUGEPAGE)
    return x.zero_()
