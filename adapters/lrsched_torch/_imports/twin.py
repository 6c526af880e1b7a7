"""A copy of a live scheduler that takes the next steps, to check the schedules that were read."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch

# Steps that the copy takes, what torch's own rounding may come to in a long run, and what is nothing beside the largest
# value.
STEPS, RTOL, ATOL = 256, 1e-5, 1e-7


def twin_of(scheduler: Any, optimizer: Any) -> tuple[torch.optim.Optimizer, Any]:
    """Return a copy of a scheduler with an optimizer of its own, of as many groups."""
    # Copies, for a rate that is a tensor is written in place.
    groups = [copy.deepcopy(dict(group, params=[torch.zeros(1)])) for group in optimizer.param_groups]
    double = torch.optim.SGD(groups, lr=0.0)
    double.defaults.update(optimizer.defaults)
    return double, copy.deepcopy(scheduler, {id(optimizer): double})


def alike(found: float, expected: float, most: float = 1.0) -> bool:
    """Return whether a live number is that of a schedule whose largest one is `most`."""
    return math.isclose(found, expected, rel_tol=RTOL, abs_tol=ATOL * most)


def goes_on(step: Callable[..., Any], *arguments: Any) -> bool:
    """Take a step, and return False if the library goes no further."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            step(*arguments)
        # Torch does not step what its oldest versions have saved.
        except (AttributeError, IndexError, NotImplementedError, ValueError, ZeroDivisionError):
            return False
    return True
