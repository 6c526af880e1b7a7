"""The schedulers of PyTorch 2.13, `torch.optim.lr_scheduler` and `torch.optim.swa_utils`.

One step of these schedules is one call of `step()`. `lr` is the rate of the parameter group before a scheduler is
built; the schedulers that set it themselves (`CyclicLR`, `OneCycleLR`) take none. Those two cycle the momentum as well
by default: `field="momentum"` gives that curve. The remark `momentum-left-out` and a warning of
`lrsched_torch.from_torch` say where it is left out.

References:
    PyTorch 2.13.0, torch/optim/lr_scheduler.py and torch/optim/swa_utils.py; the optimizers in torch/optim.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from lrsched._core.check import Int, Many, short
from lrsched._curves import (
    MAX_CYCLES,
    Chain,
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Function,
    Linear,
    Polynomial,
    Product,
    Schedule,
    Shift,
    Table,
)
from lrsched.compat._tools import Parts, Positive, chain, checked, cut, join, must
from lrsched.compat.torch.matrix import Adafactor, Muon
from lrsched.compat.torch.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop
from lrsched.compat.torch.schedules import (
    SWALR,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    RunningProduct,
    StepLR,
    one_cycle,
)

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rprop",
    "SGD",
    "SWALR",
    "SequentialLR",
    "StepLR",
    "one_cycle",
]

# A product of schedulers with a cosine that has a floor is what torch's recursion gives, as parts of a chain. In each
# step the schedulers change the rate that they find, in their order: one that multiplies by its ratio r to `r * lr`, a
# cosine with its ratio c to `c * (lr - eta_min) + eta_min`. Between two steps in which another one acts the rate is
# therefore a piece of one cosine wave, and where another one acts in each step it is listed.
_WHERE = "ChainedScheduler(schedulers=...)"
# Values that are listed, and pieces between them: as many as cycles anywhere else.
_MOST = MAX_CYCLES


def floored(part: Schedule) -> bool:
    """Return whether a part is a cosine with a floor."""
    return isinstance(part, Extend) and isinstance(part.schedule, Cosine) and part.schedule.end > 0.0


def recursion(parts: Sequence[Schedule], lr: float) -> Schedule:
    """Return what schedulers with at least one floored cosine make of the rate until the first cosine ends.

    Args:
        parts: schedules of `lrsched.compat.torch` that multiply, or cosines with a floor.
        lr: the rate that all of them were built with, > 0.
    """
    for part in parts:
        zero = isinstance(part, Chain) and any(step(0) == 0.0 for step in part.parts)
        must(not zero, _WHERE, "schedulers with gamma > 0 and rates above 0 beside a cosine with eta_min > 0", part)
    end = min(part.schedule.steps for part in parts if isinstance(part, Extend))
    inner = [part.schedule for part in parts if isinstance(part, Extend) and floored(part)]
    waves = [wave for wave in inner if isinstance(wave, Cosine)]
    changes = [_changes(part, end) for part in parts if not floored(part)]
    listed = end if len(waves) > 1 else max((until for until, _ in changes), default=0)
    few = f"schedulers that act in at most {_MOST} steps beside a cosine with eta_min > 0"
    if listed > _MOST or sum(len(steps) for _, steps in changes) > _MOST:
        raise ValueError(f"{_WHERE} must be {few}, got {short(tuple(parts))}")
    acts = sorted({step for _, steps in changes for step in steps if step > listed})
    values = _stepped(parts, 0, listed, [_first(parts, lr)])
    if listed == end:
        return Table(tuple(values))
    pieces: list[Schedule] = [Table(tuple(values[:-1]))] if listed else []
    rate, wave = values[-1], waves[0]
    for begin, until in zip([listed, *acts], [*acts, end], strict=True):
        if begin < until:
            pieces.append(_piece(wave, rate, begin, until))
            before = wave.end + (rate - wave.end) * _height(wave, until - 1) / _height(wave, begin)
            rate = _stepped(parts, until - 1, until, [before])[-1]
    if rate != wave.end or isinstance(pieces[-1], Table):
        pieces.append(Constant(rate))
    return chain(*pieces)


def _changes(part: Schedule, end: int) -> tuple[int, Sequence[int]]:
    """Return the step until which a part acts in each step, and the steps in which it acts else, up to `end`."""
    if isinstance(part, Chain):
        return 0, [step for step in part.starts[1:] if step <= end]
    if isinstance(part, Epochs):
        return 0, range(part.steps_per_epoch, end + 1, part.steps_per_epoch)
    if isinstance(part, Linear | Polynomial):
        return min(part.steps, end) if part.start != part.end else 0, ()
    return (0 if isinstance(part, Constant) else end), ()


def _first(parts: Sequence[Schedule], lr: float) -> float:
    """Return the rate at update 0, after what each makes of it when it is built or a sequence takes a step more."""
    rate = lr
    for part in parts:
        low = part.schedule.end if isinstance(part, Extend) else 0.0
        if part(0) != lr:
            rate = (rate - low) * ((part(0) - low) / (lr - low)) + low
    return rate


def _stepped(parts: Sequence[Schedule], begin: int, end: int, values: list[float]) -> list[float]:
    """Return the values with those of the steps after `begin` up to `end`."""
    steps = np.arange(begin, end + 1)
    rows = [(part.schedule.end if isinstance(part, Extend) else 0.0, _ratios(part, steps).tolist()) for part in parts]
    rate = values[-1]
    for i in range(end - begin):
        for low, ratios in rows:
            rate = ratios[i] * (rate - low) + low
        values.append(rate)
    return values


def _ratios(part: Schedule, steps: np.ndarray[Any, Any]) -> Any:
    """Return what a part multiplies by in each of the steps but the first."""
    if isinstance(part, Exponential):
        return np.full(steps.size - 1, part.rate)
    if isinstance(part, Epochs) and isinstance(part.schedule, Exponential):
        return np.where(steps[1:] % part.steps_per_epoch == 0, part.schedule.rate, 1.0)
    wave = part.schedule if isinstance(part, Extend) and isinstance(part.schedule, Cosine) else None
    heights = np.array([_height(wave, t) for t in steps.tolist()]) if wave else part(steps)
    some = heights[:-1] > 0.0
    return np.where(some, heights[1:] / np.where(some, heights[:-1], 1.0), 1.0)


def _height(wave: Cosine, t: int) -> float:
    """Return how far the wave stands above its floor at step t, of 1."""
    return math.sin(math.pi / 2 * ((wave.steps - t) / wave.steps)) ** 2


def _piece(wave: Cosine, rate: float, begin: int, end: int) -> Schedule:
    """Return the steps from `begin` to `end` of the wave that has the rate at its step `begin`."""
    top = wave.end + (rate - wave.end) / _height(wave, begin)
    if top < 0.0:  # far below its floor the wave rises from where no rate can be
        count = end - begin
        must(count <= _MOST, _WHERE, f"at most {_MOST} steps from the last drop to the end of the cosine", count)
        heights = [_height(wave, t) / _height(wave, begin) for t in range(begin, end)]
        return Table(tuple(wave.end + (rate - wave.end) * height for height in heights))
    whole = Cosine(top, wave.end, wave.steps)
    piece = Shift(whole, begin) if begin else whole
    return piece if end == wave.steps else cut(piece, end - begin)


@checked
def SequentialLR(schedulers: Parts, milestones: Annotated[Sequence[int], Many(Int(), least=0)]) -> Schedule:
    """Schedulers one after the other, each on its own clock.

    Args:
        schedulers: one or more schedules, such as those of this module.
        milestones: the steps, >= 0 and in order, at which the next one takes over; one fewer than there are schedulers.

    Raises:
        ValueError: the number of milestones is wrong, or they decrease.

    Examples:
        >>> SequentialLR([LinearLR(0.2, 0.5), CosineAnnealingLR(0.2, T_max=95)], milestones=[5])
        Linear(0.1, 0.2, steps=5) >> Extend(Cosine(0.2, 0.0, steps=95))
    """
    where = "SequentialLR(milestones=...)"
    must(len(milestones) == len(schedulers) - 1, where, f"{len(schedulers) - 1} steps", milestones)
    must(list(milestones) == sorted(milestones), where, "in order", milestones)
    return join(schedulers, milestones)


@checked
def ChainedScheduler(schedulers: Parts, lr: Positive) -> Schedule:
    """Schedulers that each change the rate which the others left.

    Most multiply it; a cosine with `eta_min` multiplies what lies above its floor, so that the order counts. Beside it
    a staircase leaves pieces of cosine waves; of schedulers that act in each step the values are listed, up to 100,000.
    A scheduler that sets the rate wipes out what the others did, so it is refused: warm restarts and cycles. After
    `T_max` steps of a `CosineAnnealingLR` torch starts again from its floor, without the history of the others; here
    the product ends there.

    Args:
        schedulers: schedules of this module, all built with the same `lr`.
        lr: that rate, > 0.

    Raises:
        ValueError: a schedule sets the rate, or too many values would have to be listed.

    Examples:
        >>> ChainedScheduler([ExponentialLR(0.5, gamma=0.5), ConstantLR(0.5, factor=0.5, total_iters=2)], lr=0.5)(2)
        0.125
        >>> ChainedScheduler([CosineAnnealingLR(0.1, 90, eta_min=0.01), ConstantLR(0.1, 0.5, 60)], lr=0.1)
        Hold(Cosine(0.05, 0.01, steps=90), steps=60) >> Shift(Cosine(0.13, 0.01, steps=90), steps=60)
    """
    for i, part in enumerate(schedulers):
        must(_multiplies(part), f"ChainedScheduler(schedulers=...)[{i}]", "a scheduler that multiplies the rate", part)
    if len(schedulers) == 1:
        return schedulers[0]
    if any(map(floored, schedulers)):
        return recursion(schedulers, lr)
    product = Product((*schedulers, Constant(lr ** (1 - len(schedulers)))))
    turns = [part.schedule.steps for part in schedulers if isinstance(part, Extend)]
    return cut(product, min(turns)) if turns else product


def _multiplies(part: Schedule) -> bool:
    """Return whether a schedule is one that torch computes by multiplying the rate that it finds."""
    if isinstance(part, Chain):
        return all(isinstance(inner, Constant) for inner in part.parts)
    if isinstance(part, Extend):
        return isinstance(part.schedule, Cosine)
    if isinstance(part, Epochs):
        return isinstance(part.schedule, Exponential)
    if isinstance(part, Function):
        return isinstance(part.f, RunningProduct)
    return isinstance(part, Constant | Linear | Polynomial | Exponential)
