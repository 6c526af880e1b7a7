"""How many threads an update in C++ has.

A runtime of OpenMP does not survive a fork: its threads are gone, and the child that starts to work with them waits for
ever. PyTorch's own kernels do so. In such a child an update has one thread, which needs no runtime.
"""

import os

import torch

_alone = [False]
_before = [False]


def threads() -> int:
    """Return how many threads an update may have."""
    return 1 if _alone[0] else torch.get_num_threads()


def _look() -> None:
    """Find out whether this process has ever had threads that are not Python's own; at a fork."""
    try:
        _before[0] = len(os.listdir("/proc/self/task")) > 1
    except OSError:
        _before[0] = True


def _enter() -> None:
    _alone[0] = _alone[0] or _before[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_look, after_in_child=_enter)
