"""The momentum that schedulers of torch cycle beside the rate."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch.optim import Optimizer, lr_scheduler

from lrsched import Constant, Schedule, Shift
from lrsched.compat import torch as recipes

CYCLING = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
# The steps at which the parts of a sequence begin, where it has stepped ahead that much.
Starts = Callable[[Any, int], list[int]]
# Reads the cycle of one scheduler for a group.
CycleReader = Callable[[Any, int], Schedule]


class MomentumFrom(NamedTuple):
    """From a step on a scheduler writes this curve of the momentum, or, if there is none, leaves it alone."""

    start: int
    curve: Schedule | None


def cycles_momentum(scheduler: Any) -> bool:
    """Return whether a scheduler, or one in it, writes the momentum."""
    parts = getattr(scheduler, "_schedulers", None)
    if parts is not None:
        return any(map(cycles_momentum, parts))
    return type(scheduler) in CYCLING and bool(getattr(scheduler, "cycle_momentum", False))


def field_of(optimizer: Optimizer) -> str:
    """Return what a `ScheduleLR` calls the momentum of an optimizer; torch takes the first beta where there are any."""
    return "betas[0]" if "betas" in optimizer.defaults else "momentum"


def momentum_of(group: dict[str, Any]) -> float:
    """Return the momentum of a parameter group, as the cycles write it."""
    return float(group["betas"][0] if "betas" in group else group["momentum"])


def read_momentum(scheduler: Any, i: int, starts: Starts, cycle: CycleReader) -> Schedule:
    """Return the momentum of group i; what no part writes stays as it was."""
    written = _written(scheduler, i, 0, starts, cycle)
    # Building the schedulers has written the first value of the last.
    first = [curve(0) for curve in _cycles(scheduler, i, cycle)][-1]
    parts: list[Schedule] = []
    for now, after in pairwise([*written, MomentumFrom(-1, None)]):
        curve = Constant(first) if now.curve is None else now.curve
        parts.append(curve)
        first = curve(max(after.start - now.start - 1, 0))
    return recipes.SequentialLR(parts, [piece.start for piece in written[1:]])


def _cycles(scheduler: Any, i: int, cycle: CycleReader) -> list[Schedule]:
    parts = getattr(scheduler, "_schedulers", None)
    if parts is not None:
        return [curve for part in parts for curve in _cycles(part, i, cycle)]
    return [cycle(scheduler, i)] if cycles_momentum(scheduler) else []


def _written(scheduler: Any, i: int, ahead: int, starts: Starts, cycle: CycleReader) -> list[MomentumFrom]:
    """Return what a scheduler writes when; `ahead` as for its rates."""
    if not hasattr(scheduler, "_schedulers"):
        return [MomentumFrom(0, cycle(scheduler, i) if cycles_momentum(scheduler) else None)]
    children = scheduler._schedulers
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        return _last([_written(child, i, ahead, starts, cycle) for child in children])
    begins = [0, *starts(scheduler, ahead)]
    pieces: list[MomentumFrom] = []
    for k, (child, begin, end) in enumerate(zip(children, begins, [*begins[1:], math.inf], strict=True)):
        first = ahead + hasattr(child, "_schedulers") if k == 0 else 0
        inner = _written(child, i, first, starts, cycle)
        pieces += [MomentumFrom(begin + start, curve) for start, curve in inner if begin + start < end]
    return pieces


def _last(lists: Sequence[list[MomentumFrom]]) -> list[MomentumFrom]:
    """Return what several schedulers side by side write: of those that do at a step, the last."""
    result: list[MomentumFrom] = []
    for start in sorted({piece.start for pieces in lists for piece in pieces}):
        now = [[piece for piece in pieces if piece.start <= start][-1] for pieces in lists]
        writing = [piece for piece in now if piece.curve is not None]
        curve = None
        if writing and (last := writing[-1]).curve is not None:
            curve = Shift(last.curve, start - last.start) if start > last.start else last.curve
        result.append(MomentumFrom(start, curve))
    return result
