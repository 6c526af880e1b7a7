"""The schedulers of timm that go in cycles, and what all of them share."""

from collections.abc import Callable
from typing import Annotated, Any

from lrsched._core.check import MAX_STEPS, Choice, Constraint, Flag, Int, Real
from lrsched._curves.cycles import Repeat
from lrsched._curves.modifiers import Warp
from lrsched._curves.ramps import Cosine, Polynomial, Tanh
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import Count, Length, Nothing, OnOff, Positive, Rate, checked, must, without_effect
from lrsched.compat._tools.pieces import late, then, warmed

# timm reads what noise is like only where there is one.
NOISE: dict[str, Constraint] = {"noise_pct": Real(), "noise_std": Real(), "noise_seed": Int(optional=True)}
_SAME: dict[str, Constraint] = {
    "t_in_epochs": Flag(),
    "noise_range_t": Nothing("noise is not a function of the step"),
    "noise_type": Choice(("normal", "uniform")),
    "initialize": Flag(),
    **NOISE,
}


def _no_noise(where: str, given: dict[str, Any]) -> None:
    without_effect(where, given, _SAME)


def _cycles(
    make: Callable[[float, float], Schedule], lr: float, floor: float, factor: float, decay: float, limit: int
) -> Schedule:
    """Return `limit` cycles of `make(start, end)` from `lr * decay ** i` to the floor, which is not scaled."""
    if limit == 0:
        return Constant(floor)
    cycle = make(lr, floor)
    times: int | None = limit
    if factor > 1.0 and limit * (cycle.length or 1) * factor ** min(limit - 1, 60) > MAX_STEPS:
        times = None
    if limit == 1:
        return cycle
    if decay == 1.0:
        return Repeat(cycle, times, stretch=factor)
    falling = Repeat(make(lr, 0.0), times, stretch=factor, scale=decay)
    return falling + Repeat(make(0.0, floor), times, stretch=factor) if floor else falling


def _begun(warmup_t: int, start: float, top: float, lr: float, body: Schedule) -> Schedule:
    """Return the warm-up from `start` to `top` and the body, which begins after it; update 0 has no step before it."""
    if warmup_t or body(0) == lr:
        return warmed(warmup_t, start, top, body)
    return then(1, Constant(lr), late(body, 1))


@checked
def CosineLRScheduler(
    lr: Rate,
    t_initial: Length,
    lr_min: Rate = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    warmup_prefix: OnOff = False,
    k_decay: Positive = 1.0,
    **same: Any,
) -> Schedule:
    """Cosine cycles, `lr_min + (lr * cycle_decay**i - lr_min) * (1 + cos(pi * (u / n) ** k_decay)) / 2`.

    u counts from the start of cycle i, which lasts `n = t_initial * cycle_mul**i`; `lr_min` once the cycles are over.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: length of the first cycle, >= 1.
        lr_min: value at the end of each cycle, >= 0; not scaled by `cycle_decay`.
        cycle_mul: factor of the length from cycle to cycle, > 0.
        cycle_decay: factor of the height from cycle to cycle, > 0. timm's factory has another default, 0.1.
        cycle_limit: number of cycles.
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        warmup_prefix: whether the cycles begin after the warm-up; else they begin at step 0 and the warm-up hides them.
        k_decay: exponent of the clock within a cycle, > 0.
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> CosineLRScheduler(lr=0.1, t_initial=300, warmup_t=5, warmup_prefix=True)
        Linear(0.0, 0.1, steps=5) >> Cosine(0.1, 0.0, steps=300)

    References:
        timm 1.0.31, scheduler/cosine_lr.py.
    """
    _no_noise("CosineLRScheduler", same)

    def cycle(start: float, end: float) -> Schedule:
        cosine = Cosine(start, end, t_initial)
        return cosine if k_decay == 1.0 else Warp(cosine, k_decay)

    body = _cycles(cycle, lr, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return _begun(warmup_t, warmup_lr_init, lr, lr, body if warmup_prefix else late(body, warmup_t))


@checked
def TanhLRScheduler(
    lr: Rate,
    t_initial: Length,
    lb: Annotated[float, Real(low=-300.0, high=300.0)] = -7.0,
    ub: Annotated[float, Real(low=-300.0, high=300.0)] = 3.0,
    lr_min: Rate = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    warmup_prefix: OnOff = False,
    **same: Any,
) -> Schedule:
    """Cycles of a hyperbolic tangent, `lr_min + (lr - lr_min) * (1 - tanh(lb * (1 - x) + ub * x)) / 2`.

    Without `warmup_prefix` the warm-up rises to the value that the decay has at its end, so there is no jump.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: length of the first cycle, >= 1.
        lb: argument of tanh at the start of a cycle.
        ub: argument of tanh at its end, more than `lb`.
        lr_min: value approached at the end of each cycle, and taken when the cycles are over.
        cycle_mul: factor of the length from cycle to cycle, > 0.
        cycle_decay: factor of the height from cycle to cycle, > 0.
        cycle_limit: number of cycles.
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        warmup_prefix: whether the cycles begin after the warm-up.
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> round(TanhLRScheduler(lr=0.1, t_initial=10)(7), 12)
        0.05

    References:
        timm 1.0.31, scheduler/tanh_lr.py.
    """
    _no_noise("TanhLRScheduler", same)
    must(lb < ub, "TanhLRScheduler(lb=...)", f"< ub={ub!r}", lb)

    def cycle(start: float, end: float) -> Schedule:
        return Tanh(start, end, t_initial, lb, ub)

    body = _cycles(cycle, lr, lr_min, cycle_mul, cycle_decay, cycle_limit)
    top = lr if warmup_prefix else body(warmup_t)
    return _begun(warmup_t, warmup_lr_init, top, lr, body if warmup_prefix else late(body, warmup_t))


@checked
def PolyLRScheduler(
    lr: Rate,
    t_initial: Length,
    power: Positive = 0.5,
    lr_min: Rate = 0.0,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 1.0,
    cycle_limit: Count = 1,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    warmup_prefix: OnOff = False,
    k_decay: Positive = 1.0,
    **same: Any,
) -> Schedule:
    """Cycles of a power, `lr_min + (lr * cycle_decay**i - lr_min) * (1 - (u / n) ** k_decay) ** power`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: length of the first cycle, >= 1.
        power: exponent of the part left, > 0. timm's factory passes its `decay_rate` here.
        lr_min: value at the end of each cycle, >= 0; not scaled by `cycle_decay`.
        cycle_mul: factor of the length from cycle to cycle, > 0.
        cycle_decay: factor of the height from cycle to cycle, > 0.
        cycle_limit: number of cycles.
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        warmup_prefix: whether the cycles begin after the warm-up; else they begin at step 0 and the warm-up hides them.
        k_decay: exponent of the clock within a cycle, > 0.
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> PolyLRScheduler(lr=0.1, t_initial=10, power=2.0)(5)
        0.025

    References:
        timm 1.0.31, scheduler/poly_lr.py.
    """
    _no_noise("PolyLRScheduler", same)

    def cycle(start: float, end: float) -> Schedule:
        curve = Polynomial(start, end, t_initial, power)
        return curve if k_decay == 1.0 else Warp(curve, k_decay)

    body = _cycles(cycle, lr, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return _begun(warmup_t, warmup_lr_init, lr, lr, body if warmup_prefix else late(body, warmup_t))
