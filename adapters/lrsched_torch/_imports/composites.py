"""Schedulers of torch in schedulers, as schedules."""

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from torch.optim import lr_scheduler, swa_utils

from lrsched import Constant, Hold, Product, Repeat, Schedule, Shift, Table
from lrsched.compat import torch as recipes
from lrsched_torch._imports.leaves import rate_of, read_leaf, read_product, read_swa
from lrsched_torch._imports.legacy import milestones
from lrsched_torch._scheduler.feedback import FeedbackLR
from lrsched_torch._scheduler.scheduler import ScheduleLR

# The first has no value of its own where another scheduler has set the rate.
_MULTIPLY = (
    lr_scheduler.MultiplicativeLR,
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.LinearLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.CosineAnnealingLR,
)
# How many factors are listed at most.
_LISTED = 100_000
# They set the rate, whatever they find.
_SET = (
    ScheduleLR,
    FeedbackLR,
    lr_scheduler.LambdaLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.CyclicLR,
    lr_scheduler.OneCycleLR,
)


def read(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    """Read a scheduler that the sequences around it have made to step `ahead` times before the first update."""
    if type(scheduler) is lr_scheduler.SequentialLR:
        return _sequential(scheduler, i, ahead)
    if type(scheduler) is lr_scheduler.ChainedScheduler:
        return _chained(scheduler, i, ahead)
    return read_leaf(scheduler, i, ahead)


def starts(scheduler: Any, ahead: int) -> list[int]:
    """Return the steps at which the parts of a sequence begin; one that has stepped ahead is that much earlier."""
    return [max(step - ahead, 0) for step in scheduler._milestones]


def _sequential(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    """Read a sequence; it lets its first part, and what that consists of, take one step more before update 0."""
    children, begins = scheduler._schedulers, starts(scheduler, ahead)
    first = _from_initial(children[0], i)
    if type(first) is swa_utils.SWALR and not ahead:
        parts = [read_swa(first, i, rate_of(first, i))]
    else:
        parts = [read(first, i, ahead + nested(first))]
    for child, milestone in zip(children[1:], begins, strict=True):
        if type(child) in (swa_utils.SWALR, lr_scheduler.MultiplicativeLR):  # from the rate that they find
            found = recipes.SequentialLR(parts, begins[: len(parts) - 1])(max(milestone - 1, 0))
            is_swa = type(child) is swa_utils.SWALR
            parts.append(read_swa(child, i, found) if is_swa else read_product(child, i, found, again=True))
        elif type(child) is lr_scheduler.ConstantLR and child.total_iters == 0:
            parts.append(Constant(rate_of(child, i)))  # a part that takes over is at its end already
        else:
            parts.append(read(child, i))
    if ahead or (first is not children[0] and not nested(first)):
        parts[0] = _turned(children[0], i, parts[0])
    return recipes.SequentialLR(parts, begins)


def _from_initial(scheduler: Any, i: int) -> Any:
    """Return the scheduler with which a sequence begins, from the rate to which building the sequence has set it.

    That is the first rate of the group, which a `OneCycleLR` has replaced.
    """
    if type(scheduler) is lr_scheduler.ChainedScheduler:
        begun = copy.copy(scheduler)
        begun._schedulers = [_from_initial(part, i) for part in scheduler._schedulers]
        return begun
    if nested(scheduler):
        return scheduler
    initial = float(scheduler.optimizer.param_groups[i]["initial_lr"])
    kinds = (*_MULTIPLY, swa_utils.SWALR)
    if type(scheduler) not in kinds or math.isclose(initial, rate_of(scheduler, i), rel_tol=1e-12):
        return scheduler
    begun = copy.copy(scheduler)
    begun.base_lrs = [initial if k == i else rate for k, rate in enumerate(scheduler.base_lrs)]
    return begun


def _turned(scheduler: Any, i: int, part: Schedule) -> Schedule:
    """Return a part with which a sequence begins; a cosine that began with another rate swings back to its own."""
    if type(scheduler) is not lr_scheduler.CosineAnnealingLR or scheduler.T_max != int(scheduler.T_max):
        return part
    back = read_leaf(scheduler, i)
    return Hold(part, int(scheduler.T_max)) >> Shift(back, int(scheduler.T_max))


def nested(scheduler: Any) -> bool:
    return hasattr(scheduler, "_schedulers")


def count_of(scheduler: Any) -> int:
    """Return the number of the update that the current rates are for."""
    while isinstance(scheduler, lr_scheduler.ChainedScheduler):
        scheduler = scheduler._schedulers[0]
    return int(scheduler.last_epoch)


def leaves_of(scheduler: Any) -> list[Any]:
    """Return the schedulers that a scheduler consists of."""
    return [leaf for part in getattr(scheduler, "_schedulers", ()) for leaf in leaves_of(part)] or [scheduler]


def flat(scheduler: Any) -> list[Any]:
    """Return the parts of a product, those of a product in it included."""
    if type(scheduler) is not lr_scheduler.ChainedScheduler:
        return [scheduler]
    return [inner for part in scheduler._schedulers for inner in flat(part)]


def _chained(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    children = flat(scheduler)
    setting = [k for k, child in enumerate(children) if type(child) in _SET]
    if setting and not any(type(child) is lr_scheduler.SequentialLR for child in children):
        return _set(children[setting[-1] :], i, ahead)
    parts = [read(child, i, ahead) for child in children]
    if len(children) == 1:
        return parts[0]
    lr = rate_of(leaves_of(scheduler)[0], i)
    resets = [(step, k) for k, child in enumerate(children) for step in _resets(child, ahead)]
    if not resets:
        return recipes.ChainedScheduler(parts, lr)
    for leaf in leaves_of(scheduler):
        name = type(leaf).__name__ + (" with eta_min" if getattr(leaf, "eta_min", None) else "")
        if type(leaf) not in _MULTIPLY[1:] or name.endswith("eta_min"):
            raise ValueError(f"from_torch(scheduler) must get schedulers that multiply beside a sequence, got a {name}")
    begun = dict(sorted(resets))
    if 0 not in begun:
        begun = {0: -1, **begun}
    pieces: list[Schedule] = []
    steps = [*begun, None]
    for (start, k), end in zip(begun.items(), steps[1:], strict=True):
        # What comes after the part that begins takes its step, what comes before starts again from there.
        then = [lr if j > k and start == 0 else part(start - (j > k)) for j, part in enumerate(parts) if j != k]
        if 0.0 in then:
            raise ValueError(
                f"from_torch(scheduler) must get a product that is not 0 at step {start}, where it goes on"
            )
        scale = lr / math.prod(then) if k < 0 else 1.0 / math.prod(then)
        piece = Product((*parts, Constant(scale)))
        local = Shift(piece, start) if start else piece
        # After its turn torch lets a cosine grow by adding, so here the curve ends.
        turning = min(turn(child, ahead) for child in children) if end is None else math.inf
        if start < turning < math.inf:
            end = int(turning)
        pieces.append(local if end is None else Hold(local, end - start))
    return Schedule.sequence(pieces)


def _set(children: list[Any], i: int, ahead: int) -> Schedule:
    """Return the rate that the first of some schedulers sets in each step, times the factors of the others' steps."""
    first, *others = children
    schedule = read(first, i, ahead)
    initial = float(first.optimizer.param_groups[i]["initial_lr"])
    if type(first) is lr_scheduler.CyclicLR and not ahead and initial != schedule(0):
        schedule = Constant(initial, steps=1) >> Shift(schedule, 1)  # built on top of another, it begins there
    for child in others:
        schedule = schedule * _factors(child, i, ahead)
    return schedule


def _factors(scheduler: Any, i: int, ahead: int) -> Schedule:
    """Return by what a scheduler multiplies the rate that it finds in each step."""
    kind = type(scheduler)
    if kind is lr_scheduler.MultiplicativeLR:
        factor: Schedule = Schedule.of(scheduler.lr_lambdas[i])
        return factor if ahead else Constant(1.0, steps=1) >> Shift(factor, 1)
    last = 0
    if kind is lr_scheduler.MultiStepLR:
        last = max(milestones(scheduler), default=0)
    elif kind in (lr_scheduler.ConstantLR, lr_scheduler.LinearLR):
        last = math.ceil(scheduler.total_iters)
    rates = [rate_of(scheduler, i), *map(float, read(scheduler, i, ahead)(np.arange(min(last, _LISTED) + 1)))]
    endless = kind in (lr_scheduler.StepLR, lr_scheduler.ExponentialLR)
    if not (last or endless) or last > _LISTED or not all(rates) or (endless and not scheduler.gamma):
        raise ValueError(
            f"from_torch(scheduler) must get a scheduler that multiplies the rate, and not by 0, after one that sets "
            f"the rate, got a {kind.__name__}"
        )
    factors = tuple(after / before for before, after in pairwise(rates))
    if kind is lr_scheduler.StepLR:
        size, fall = Fraction(scheduler.step_size).numerator, Constant(scheduler.gamma, steps=1)
        return Constant(1.0, steps=size) >> Repeat(fall >> Constant(1.0, steps=size - 1) if size > 1 else fall)
    if kind is lr_scheduler.ExponentialLR:
        return Constant(factors[0], steps=1) >> Constant(scheduler.gamma)
    return Table((*factors, 1.0))


def _resets(scheduler: Any, ahead: int) -> list[int]:
    """Return the steps at which a part of a product sets the rate instead of multiplying it."""
    if type(scheduler) is lr_scheduler.ChainedScheduler:
        return [step for part in scheduler._schedulers for step in _resets(part, ahead)]
    if type(scheduler) is not lr_scheduler.SequentialLR:
        return []
    begins = starts(scheduler, ahead)
    end = begins[0] if begins else math.inf
    inner = [step for step in _resets(scheduler._schedulers[0], ahead + 1) if step < end]
    # Building a sequence sets the rate to its first value.
    return sorted({*begins, *inner, *([] if ahead else [0])})


def first_end(scheduler: Any, ahead: int, end_of: Callable[[Any, int], float]) -> float:
    """Return the first step at which a part of a sequence comes to its own end before the next takes over."""
    begins = [0, *starts(scheduler, ahead), math.inf]
    first = ahead + nested(scheduler._schedulers[0])
    ends = [
        start + end_of(part, 0 if i else first)
        for i, (start, part) in enumerate(zip(begins, scheduler._schedulers, strict=False))
    ]
    return min((end for end, until in zip(ends, begins[1:], strict=True) if end < until), default=math.inf)


def turn(scheduler: Any, ahead: int = 0) -> float:
    """Return the step at which a cosine in a composite comes to its end, from where torch goes on by adding.

    Sequences reach their milestones earlier for each step ahead, a cosine takes that step as its first one.
    """
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        return min(turn(part, ahead) for part in scheduler._schedulers)
    if isinstance(scheduler, lr_scheduler.CosineAnnealingLR):
        return float(scheduler.T_max)
    return first_end(scheduler, ahead, turn) if isinstance(scheduler, lr_scheduler.SequentialLR) else math.inf
