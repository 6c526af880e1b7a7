"""A copy of a live scheduler that takes the next steps, to check the schedules that were read."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

# Steps that the copy takes, what torch's own rounding may come to in a long run, and what is nothing beside the largest
# value.
STEPS, RTOL, ATOL = 256, 1e-5, 1e-7


def ahead(scheduler: Any, optimizer: Any, step: Callable[[Any], Any]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Yield a copy of a scheduler, and the groups that it drives, now and after each of its next steps.

    Args:
        scheduler: neither it nor its optimizer is touched.
        optimizer: that of the scheduler.
        step: lets a scheduler take a step; where it raises an error the library goes no further.
    """
    # Copies, for a rate that is a tensor is written in place.
    groups = [copy.deepcopy(dict(group, params=[torch.zeros(1)])) for group in optimizer.param_groups]
    double = torch.optim.SGD(groups, lr=0.0)
    double.defaults.update(optimizer.defaults)
    twin = copy.deepcopy(scheduler, {id(optimizer): double})
    for _ in range(STEPS + 1):
        yield twin, double.param_groups
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                step(twin)
            # Torch does not step what its oldest versions have saved.
            except (AttributeError, IndexError, NotImplementedError, ValueError, ZeroDivisionError):
                return


def alike(found: float, expected: float, most: float = 1.0) -> bool:
    """Return whether a live number is that of a schedule whose largest one is `most`."""
    return math.isclose(found, expected, rel_tol=RTOL, abs_tol=ATOL * most)
