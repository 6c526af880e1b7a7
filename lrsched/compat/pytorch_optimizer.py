"""The schedulers of pytorch_optimizer 4.1.0, `pytorch_optimizer.lr_scheduler`, other than those it takes from torch.

Their constructors set the optimizer's rate to `min_lr`, so that is what update 0 uses; what follows runs one step late.
`ProportionScheduler` scales another quantity by the rate: multiply the schedule.
"""

import math
from typing import Annotated

from lrsched._core.check import Choice, Int, Real
from lrsched._curves import Constant, Cosine, Extend, Linear, Monomial, PowerLaw, Ramp, Repeat, Rex, Schedule, Table
from lrsched.compat._tools import (
    Count,
    Length,
    OnOff,
    Positive,
    Rate,
    checked,
    late,
    must,
    swing,
    then,
    truncated_cycles,
    warmed,
)

__all__ = [
    "CosineAnnealingWarmupRestarts",
    "CosineScheduler",
    "LinearScheduler",
    "PolyScheduler",
    "REXScheduler",
    "get_chebyshev_schedule",
    "get_wsd_schedule",
]


def _late(where: str, t_max: int, warmup: int, init: float, top: float, low: float, body: Schedule) -> Schedule:
    must(t_max > warmup, f"{where}(t_max=...)", f"> warmup_steps={warmup!r}", t_max)
    return Constant(low, 1) >> warmed(warmup, init, top, body)


@checked
def LinearScheduler(
    t_max: Length, max_lr: Rate, min_lr: Rate = 0.0, init_lr: Rate = 0.0, warmup_steps: Count = 0
) -> Schedule:
    """Update 0 at `min_lr`; then a warm-up and a line to `min_lr`, which goes on below it.

    Args:
        t_max: all steps, more than the warm-up.
        max_lr: the top, >= 0.
        min_lr: rate of update 0, and the end of the line.
        init_lr: first rate of the warm-up.
        warmup_steps: steps of the warm-up.

    Examples:
        >>> s = LinearScheduler(4, 1.0)
        >>> [s(t) for t in range(7)]
        [0.0, 1.0, 0.75, 0.5, 0.25, 0.0, -0.25]

    References:
        pytorch_optimizer 4.1.0, base/scheduler.py and lr_scheduler; so for all of this module.
    """
    body = Extend(Linear(max_lr, min_lr, max(t_max - warmup_steps, 1)))
    return _late("LinearScheduler", t_max, warmup_steps, init_lr, max_lr, min_lr, body)


@checked
def CosineScheduler(
    t_max: Length, max_lr: Rate, min_lr: Rate = 0.0, init_lr: Rate = 0.0, warmup_steps: Count = 0
) -> Schedule:
    """Update 0 at `min_lr`; then a warm-up and half a cosine to `min_lr`, which rises again after its end.

    Args:
        t_max: all steps, more than the warm-up.
        max_lr: the top, >= 0.
        min_lr: rate of update 0, and the lowest of the cosine.
        init_lr: first rate of the warm-up.
        warmup_steps: steps of the warm-up.

    Examples:
        >>> s = CosineScheduler(4, 1.0)
        >>> s(0), s(1), round(s(3), 12), s(9)
        (0.0, 1.0, 0.5, 1.0)
    """
    body = Extend(Cosine(max_lr, min_lr, max(t_max - warmup_steps, 1)))
    return _late("CosineScheduler", t_max, warmup_steps, init_lr, max_lr, min_lr, body)


@checked
def PolyScheduler(
    t_max: Length,
    max_lr: Rate,
    poly_order: Annotated[float, Real(low=0.0, high=10.0, open_low=True)] = 0.5,
    min_lr: Rate = 0.0,
    init_lr: Rate = 0.0,
    warmup_steps: Count = 0,
) -> Schedule:
    """Update 0 at `min_lr`; then a warm-up and `min_lr + (max_lr - min_lr) * u ** poly_order`, which *grows* for ever.

    u counts from the end of the warm-up. The growth is the library's; `t_max` ends nothing.

    Args:
        t_max: all steps, more than the warm-up.
        max_lr: value at u = 0 and u = 1, at least `min_lr`.
        poly_order: exponent, from 0 to 10.
        min_lr: rate of update 0.
        init_lr: first rate of the warm-up.
        warmup_steps: steps of the warm-up.

    Examples:
        >>> s = PolyScheduler(9, 1.0)
        >>> s(0), s(1), s(2), s(5)
        (0.0, 1.0, 1.0, 2.0)
    """
    must(max_lr >= min_lr, "PolyScheduler(max_lr=...)", f">= min_lr={min_lr!r}", max_lr)
    growth: Schedule = PowerLaw(max_lr - min_lr, -poly_order, timescale=1.0)
    body = Constant(max_lr, 1) >> (growth + min_lr if min_lr else growth)
    return _late("PolyScheduler", t_max, warmup_steps, init_lr, max_lr, min_lr, body)


@checked
def REXScheduler(total_steps: Length, max_lr: Rate = 1.0, min_lr: Rate = 0.0) -> Schedule:
    """Update 0 at `min_lr`; then the reflected exponential, of which the first step is left out.

    Args:
        total_steps: length of the curve.
        max_lr: where it would begin, >= 0.
        min_lr: its end, and the rate of update 0.

    Examples:
        >>> s = REXScheduler(4)
        >>> s(0), round(s(2), 12), s(4)
        (0.0, 0.666666666667, 0.0)
    """
    return Constant(min_lr, 1) >> late(Rex(max_lr, min_lr, total_steps), 1)


@checked
def CosineAnnealingWarmupRestarts(
    first_cycle_steps: Length,
    cycle_mult: Positive = 1.0,
    max_lr: Rate = 1e-4,
    min_lr: Rate = 1e-6,
    warmup_steps: Count = 0,
    gamma: Positive = 0.9,
) -> Schedule:
    """Cycles of a linear warm-up and half a cosine, each with its top `gamma` times that of the one before.

    A cycle's cosine lasts `int(cycle_mult * n)` steps, n that of the one before, and at least one; each warm-up is as
    long as the first. Update 0 is at `min_lr`.

    Args:
        first_cycle_steps: steps of the first cycle, its warm-up included.
        cycle_mult: factor of the cosine's length, > 0.
        max_lr: the first top, >= 0.
        min_lr: the bottom of each cycle, >= 0.
        warmup_steps: steps of each warm-up, fewer than `first_cycle_steps`.
        gamma: factor of the top, > 0.

    Examples:
        >>> s = CosineAnnealingWarmupRestarts(10, max_lr=1.0, min_lr=0.0, warmup_steps=2, gamma=0.5)
        >>> s(1), s(2), round(s(6), 12), s(12)
        (0.5, 1.0, 0.5, 0.5)
    """
    where = "CosineAnnealingWarmupRestarts"
    must(warmup_steps < first_cycle_steps, f"{where}(warmup_steps=...)", f"< {first_cycle_steps}", warmup_steps)

    def cycle(low: float, top: float, n: int) -> Schedule:
        return warmed(warmup_steps, low, top, Cosine(top, low, n))

    def one(number: int, n: int) -> Schedule:
        return cycle(min_lr, max_lr * gamma**number, n)

    def forever(number: int, n: int) -> Schedule:
        tops = Repeat(cycle(0.0, max_lr * gamma**number, n), scale=gamma)
        return tops + Repeat(cycle(min_lr, 0.0, n)) if min_lr else tops

    steps, name = first_cycle_steps - warmup_steps, f"{where}(cycle_mult=...)"
    body = truncated_cycles(steps, cycle_mult, one, name, forever=forever, least=1)
    return body if warmup_steps else Constant(min_lr, 1) >> late(body, 1)


@checked
def get_wsd_schedule(
    lr: Rate,
    num_warmup_steps: Count,
    num_stable_steps: Count,
    num_decay_steps: Count,
    min_lr_ratio: Rate = 0.0,
    num_cycles: Rate = 0.5,
    cooldown_type: Annotated[str, Choice(("1-sqrt", "cosine", "linear", "1-square"))] = "1-sqrt",
) -> Schedule:
    """Warm-up, stable phase, decay; all decays but the cosine fall to 0 and then jump to `lr * min_lr_ratio`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_stable_steps: steps at the top.
        num_decay_steps: steps of the decay.
        min_lr_ratio: rate after it, relative to `lr`.
        num_cycles: turns of the cosine in the decay; 0.5 goes down once.
        cooldown_type: "1-sqrt", "cosine", "linear" or "1-square".

    Examples:
        >>> round(get_wsd_schedule(1.0, 10, 80, 10)(95), 12)
        0.292893218813
    """
    low, n = lr * min_lr_ratio, max(num_decay_steps, 1)
    if cooldown_type == "cosine":
        fall: Schedule = Cosine(lr, low, n) if num_cycles == 0.5 else swing(lr, low, n, num_cycles)
    elif cooldown_type == "linear":
        fall = Linear(lr, 0.0, n)
    else:
        fall = Monomial(lr, 0.0, n, power=0.5 if cooldown_type == "1-sqrt" else 2.0)
    ends_there = isinstance(fall, Ramp) and fall.end == low and num_decay_steps > 0
    tail = fall if ends_there else then(num_decay_steps, fall, Constant(low))
    return warmed(num_warmup_steps, 0.0, lr, then(num_stable_steps, lr, tail))


@checked
def get_chebyshev_schedule(
    lr: Rate, num_epochs: Annotated[int, Int(low=1, high=2**16)], is_warmup: OnOff = False
) -> Schedule:
    """Chebyshev step sizes for curvatures from 0.05 to 1, permuted; up to 20 times the rate.

    The first three epochs have the first step size.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_epochs: number of step sizes, rounded up to a power of two.
        is_warmup: whether to leave the rate as it is.

    Examples:
        >>> round(get_chebyshev_schedule(1.0, 8)(0), 4)
        16.9127
    """
    if is_warmup:
        return Constant(lr)
    count = 2 ** (int(math.log2(num_epochs - 1)) + 1) if num_epochs > 1 else 1
    mean, half = (1.0 + 0.05) / 2.0, (1.0 - 0.05) / 2.0
    order = [0]
    while len(order) < count - 2:
        order = [index for k in order for index in (k, 2 * len(order) - 1 - k)]
    sizes = [1.0 / (mean - half * math.cos((k + 0.5) * math.pi / count)) for k in order if k < count]
    return Table(tuple(lr * size for size in (sizes[0], sizes[0], *sizes)))
