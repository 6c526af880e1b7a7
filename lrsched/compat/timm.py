"""The schedulers of timm 1.0.31, `timm.scheduler`.

The clock is the number that the training loop hands to `step` (epochs) or `step_update` (updates); `t_in_epochs`
chooses which of the two timm listens to, and so what one step of these schedules is: `Epochs(schedule, n)` turns epochs
into updates. Step 0 has the optimizer's own rate, or `warmup_lr_init`, as no loop calls `step(0)`. With
`warmup_prefix=False`, the default of most, the decay runs on through the warm-up, which ends in a jump.

Noise is refused: it is drawn from torch's generator, and so not a function of the step alone. timm finds the cycle of
`cycle_mul` by a logarithm, which may miss a restart by one step; here it is found by comparing integers.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict, Unpack

from lrsched._core.check import MAX_STEPS, Choice, Int, Many, OrNone, Real
from lrsched._curves import (
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Linear,
    Monomial,
    NormalizedExponential,
    Polynomial,
    PowerLaw,
    Ramp,
    Repeat,
    Schedule,
    Stretch,
    Tanh,
    Warp,
    bounded,
)
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import (
    Count,
    Length,
    Nothing,
    OnOff,
    Positive,
    PositiveOrNone,
    Rate,
    TextOrNone,
    checked,
    floored,
    late,
    must,
    stairs,
    then,
    warmed,
)

__all__ = [
    "CosineLRScheduler",
    "MultiStepLRScheduler",
    "PolyLRScheduler",
    "StepLRScheduler",
    "TanhLRScheduler",
    "WSDLRScheduler",
    "create_scheduler_v2",
]

_NO_NOISE = Nothing("noise is not a function of the step")


class Noise(TypedDict, total=False):
    """What noise is like: timm reads it only where there is some."""

    noise_pct: Annotated[float, Real()]
    noise_std: Annotated[float, Real()]
    noise_seed: Annotated[int | None, OrNone(Int())]


class Same(Noise, total=False):
    """What every scheduler takes and leaves the curve as it is."""

    t_in_epochs: OnOff
    noise_range_t: Annotated[None, _NO_NOISE]
    noise_type: Annotated[str, Choice(("normal", "uniform"))]
    initialize: OnOff


class SameOfFactory(Noise, total=False):
    """What the factory takes and leaves the curve as it is."""

    plateau_mode: Annotated[str, Choice(("max", "min"))]
    noise: Annotated[None, _NO_NOISE]


def _cycles(
    make: Callable[[float, float], Schedule], lr: float, floor: float, factor: float, decay: float, limit: int
) -> Schedule:
    """Return `limit` cycles of `make(start, end)` from `lr * decay ** i` to the floor, which is not scaled."""
    if limit == 0:
        return Constant(floor)
    cycle = make(lr, floor)
    lasts = factor > 1.0 and limit * bounded(cycle) * factor ** min(limit - 1, 60) > MAX_STEPS
    times = None if lasts else limit
    if limit == 1:
        return cycle
    if decay == 1.0:
        return Repeat(cycle, times, stretch=factor)
    falling = Repeat(make(lr, 0.0), times, stretch=factor, scale=decay)
    return falling + Repeat(make(0.0, floor), times, stretch=factor) if floor else falling


def _warped(cycle: Ramp, clock: float) -> Schedule:
    return cycle if clock == 1.0 else Warp(cycle, clock)


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
    **same: Unpack[Same],
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
    cycles = (cycle_mul, cycle_decay, cycle_limit)
    body = _cycles(lambda start, end: _warped(Cosine(start, end, t_initial), k_decay), lr, lr_min, *cycles)
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
    **same: Unpack[Same],
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
    must(lb < ub, "TanhLRScheduler(lb=...)", f"< ub={ub!r}", lb)
    cycles = (cycle_mul, cycle_decay, cycle_limit)
    body = _cycles(lambda start, end: Tanh(start, end, t_initial, lb, ub), lr, lr_min, *cycles)
    top, body = (lr, body) if warmup_prefix else (body(warmup_t), late(body, warmup_t))
    return _begun(warmup_t, warmup_lr_init, top, lr, body)


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
    **same: Unpack[Same],
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
    cycles = (cycle_mul, cycle_decay, cycle_limit)
    body = _cycles(lambda start, end: _warped(Polynomial(start, end, t_initial, power), k_decay), lr, lr_min, *cycles)
    return _begun(warmup_t, warmup_lr_init, lr, lr, body if warmup_prefix else late(body, warmup_t))


@checked
def StepLRScheduler(
    lr: Rate,
    decay_t: Positive,
    decay_rate: Positive = 1.0,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    warmup_prefix: OnOff = True,
    **same: Unpack[Same],
) -> Schedule:
    """A staircase, `lr * decay_rate ** floor(t / decay_t)`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        decay_t: length of a stair, > 0; need not be whole.
        decay_rate: factor from stair to stair, > 0.
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        warmup_prefix: whether the staircase begins after the warm-up (here the default).
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> StepLRScheduler(lr=0.1, decay_t=30, decay_rate=0.1)(29)
        0.1

    References:
        timm 1.0.31, scheduler/step_lr.py.
    """
    if decay_rate == 1.0:
        body: Schedule = Constant(lr)
    elif decay_t == int(decay_t):
        body = Epochs(Exponential(lr, decay_rate), int(decay_t))
    else:
        body = Stretch(Epochs(Exponential(lr, decay_rate), 1), decay_t)
    return _begun(warmup_t, warmup_lr_init, lr, lr, body if warmup_prefix else late(body, warmup_t))


@checked
def MultiStepLRScheduler(
    lr: Rate,
    decay_t: Annotated[Sequence[int], Many(Int(low=0), least=0)],
    decay_rate: Rate = 1.0,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    warmup_prefix: OnOff = True,
    **same: Unpack[Same],
) -> Schedule:
    """A staircase that falls one step *before* each milestone: `lr * decay_rate ** #{m <= t + 1}`.

    timm keeps this on purpose; torch's `MultiStepLR` falls at the milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        decay_t: milestones m in increasing order; a repeated one counts again.
        decay_rate: factor at each milestone, >= 0.
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        warmup_prefix: whether milestones count from the end of the warm-up (here the default).
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, the milestones decrease, or noise is asked for.

    Examples:
        >>> MultiStepLRScheduler(lr=0.1, decay_t=[10], decay_rate=0.5)
        Constant(0.1, steps=9) >> Constant(0.05)

    References:
        timm 1.0.31, scheduler/multistep_lr.py.
    """
    must(list(decay_t) == sorted(decay_t), "MultiStepLRScheduler(decay_t=...)", "in increasing order", decay_t)
    body = stairs([milestone - 1 for milestone in decay_t], powers(lr, decay_rate, len(decay_t)))
    return _begun(warmup_t, warmup_lr_init, lr, lr, body if warmup_prefix else late(body, warmup_t))


@checked
def WSDLRScheduler(
    lr: Rate,
    t_initial: Length,
    decay_t: Length,
    lr_min: Rate = 0.0,
    stable_fn: Annotated[str, Choice(("constant", "rsqrt", "power"))] = "constant",
    stable_timescale: PositiveOrNone = None,
    stable_power: Positive = 0.5,
    decay_fn: Annotated[str, Choice(("linear", "1-sqrt", "cosine", "power", "exp"))] = "1-sqrt",
    decay_power: Positive = 0.5,
    decay_ratio: Annotated[float, Real(low=0.0, high=1.0, open_low=True, open_high=True)] = 0.1,
    warmup_t: Count = 0,
    warmup_lr_init: Rate = 0.0,
    **same: Unpack[Same],
) -> Schedule:
    """Warm-up, stable phase, decay: `lr_min + (max(lr * stable(u), lr_min) - lr_min) * decay(x)`.

    u counts from the end of the warm-up, x is the part of the last `decay_t` steps gone. A falling stable phase goes on
    falling under the decay. `stable(u) = (1 + u / stable_timescale) ** -power`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_initial: length of the stable phase and the decay, >= 1; the warm-up comes before it.
        decay_t: length of the decay, from 1 to `t_initial`.
        lr_min: value at the end and after, and the least one of the stable phase.
        stable_fn: "constant", "rsqrt" (power 1/2) or "power".
        stable_timescale: steps before the fall of the stable phase is felt, > 0; None stands for `warmup_t`.
        stable_power: exponent of "power", > 0.
        decay_fn: "1-sqrt", "linear", "cosine", "power" (`1 - x ** decay_power`) or "exp"; timm also takes a function.
        decay_power: exponent of "power", > 0.
        decay_ratio: where "exp" would end before it is stretched to zero, in (0, 1).
        warmup_t: length of the linear warm-up, from `warmup_lr_init`.
        warmup_lr_init: first value, if there is a warm-up.
        **same: `t_in_epochs`, `initialize` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> WSDLRScheduler(lr=0.1, t_initial=100, decay_t=20)
        Constant(0.1, steps=80) >> Monomial(0.1, 0.0, steps=20)

    References:
        timm 1.0.31, scheduler/wsd_lr.py.
    """
    must(decay_t <= t_initial, "WSDLRScheduler(decay_t=...)", f"<= t_initial={t_initial!r}", decay_t)
    stable = t_initial - decay_t

    def decay(start: float, end: float) -> Schedule:
        if decay_fn == "exp":
            return NormalizedExponential(start, end, decay_t, decay_ratio)
        if decay_fn in ("1-sqrt", "power"):
            return Monomial(start, end, decay_t, 0.5 if decay_fn == "1-sqrt" else decay_power)
        return (Linear if decay_fn == "linear" else Cosine)(start, end, decay_t)

    if stable_fn == "constant":
        top = max(lr, lr_min)
        body = then(stable, top, decay(top, lr_min))
        return _begun(warmup_t, warmup_lr_init, lr, lr, body)
    timescale = warmup_t if stable_timescale is None else stable_timescale
    must(timescale > 0, "WSDLRScheduler(stable_timescale=...)", "given if there is no warm-up", stable_timescale)
    fall = PowerLaw(lr, 0.5 if stable_fn == "rsqrt" else stable_power, timescale)
    body = floored(fall, lr_min) * then(stable, 1.0, decay(1.0, 0.0))
    body = body + then(stable, 0.0, decay(0.0, lr_min)) if lr_min else body
    return _begun(warmup_t, warmup_lr_init, lr, lr, body)


@checked
def create_scheduler_v2(
    lr: Rate,
    sched: Annotated[
        str, Choice(("cosine", "tanh", "step", "multistep", "constant", "poly", "wsd", "rsqrt", "none"))
    ] = "cosine",
    num_epochs: Length = 300,
    decay_epochs: PositiveOrNone = None,
    decay_milestones: Annotated[Sequence[int], Many(Int(low=0), least=0)] = (90, 180, 270),
    cooldown_epochs: Count = 0,
    patience_epochs: Count = 10,
    decay_rate: Positive = 0.1,
    min_lr: Rate = 0.0,
    warmup_lr: Rate = 1e-5,
    warmup_epochs: Count = 0,
    warmup_prefix: OnOff = False,
    cycle_mul: Positive = 1.0,
    cycle_decay: Positive = 0.1,
    cycle_limit: Count = 1,
    k_decay: Positive = 1.0,
    decay_fn: TextOrNone = None,
    stable_timescale: PositiveOrNone = None,
    step_on_epochs: OnOff = True,
    updates_per_epoch: Count = 0,
    **same: Unpack[SameOfFactory],
) -> Schedule:
    """The schedule that timm's factory builds from a name; a step is an epoch, or an update if `step_on_epochs` is off.

    Only the schedule is returned, not the number of epochs. "plateau" is not a function of the step: see
    `lrsched.feedback`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        sched: name of the schedule; "none" leaves `lr` as it is.
        num_epochs: length of the schedule.
        decay_epochs: length of a stair ("step", 90 by default) or of the decay ("wsd", "rsqrt"; below 1 it is a part
            of the whole, 0.2 by default).
        decay_milestones: milestones of "multistep".
        cooldown_epochs: epochs after the end; they change no value.
        patience_epochs: of "plateau" only.
        decay_rate: factor of the staircases, and the *power* of "poly".
        min_lr: lower end of the curves that have one.
        warmup_lr: first value of the warm-up.
        warmup_epochs: length of the warm-up.
        warmup_prefix: whether the warm-up comes before `num_epochs`. "wsd" and "rsqrt" always have it first, and fit
            the rest into `num_epochs` if this is off.
        cycle_mul: factor of the length from cycle to cycle.
        cycle_decay: factor of the height from cycle to cycle; 0.1 here, 1 in the classes.
        cycle_limit: number of cycles.
        k_decay: exponent of the clock of "cosine" and "poly".
        decay_fn: decay of "wsd" and "rsqrt"; None stands for "1-sqrt" and "linear".
        stable_timescale: timescale of "rsqrt" in epochs; None stands for the warm-up.
        step_on_epochs: whether a step is an epoch.
        updates_per_epoch: updates in an epoch, if a step is an update.
        **same: `plateau_mode` and the arguments of noise, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or noise is asked for.

    Examples:
        >>> create_scheduler_v2(lr=0.1, sched="wsd", num_epochs=100, warmup_epochs=10)
        Linear(1e-05, 0.1, steps=10) >> Constant(0.1, steps=72) >> Monomial(0.1, 0.0, steps=18)

    References:
        timm 1.0.31, scheduler/scheduler_factory.py.
    """
    unit = 1 if step_on_epochs else updates_per_epoch
    must(unit > 0, "create_scheduler_v2(updates_per_epoch=...)", "> 0 if a step is an update", unit)
    warmup: dict[str, Any] = {"warmup_t": warmup_epochs * unit, "warmup_lr_init": warmup_lr}
    total = num_epochs * unit
    if sched == "none":
        return Constant(lr)
    if sched in ("wsd", "rsqrt"):
        rest = total if warmup_prefix else total - warmup["warmup_t"]
        part = 0.2 if decay_epochs is None else decay_epochs
        decay_t = round(part * (rest if part < 1 else unit))
        fits = 0 < decay_t <= rest
        must(fits, "create_scheduler_v2(decay_epochs=...)", "between 0 and the epochs without warm-up", decay_epochs)
        stable, fall = ("rsqrt", "linear") if sched == "rsqrt" else ("constant", "1-sqrt")
        warmup["stable_timescale"] = None if stable_timescale is None else stable_timescale * unit
        return WSDLRScheduler(lr, rest, decay_t, min_lr, stable, decay_fn=decay_fn or fall, **warmup)
    warmup["warmup_prefix"] = warmup_prefix
    if sched == "constant":
        return StepLRScheduler(lr, 1.0, 1.0, **warmup)
    if sched == "step":
        return StepLRScheduler(lr, (90 if decay_epochs is None else decay_epochs) * unit, decay_rate, **warmup)
    if sched == "multistep":
        return MultiStepLRScheduler(lr, [m * unit for m in decay_milestones], decay_rate, **warmup)
    cycles: dict[str, Any] = {"cycle_mul": cycle_mul, "cycle_decay": cycle_decay, "cycle_limit": cycle_limit, **warmup}
    if sched == "tanh":
        return TanhLRScheduler(lr, total, lr_min=min_lr, **cycles)
    if sched == "poly":
        return PolyLRScheduler(lr, total, power=decay_rate, lr_min=min_lr, k_decay=k_decay, **cycles)
    return CosineLRScheduler(lr, total, lr_min=min_lr, k_decay=k_decay, **cycles)
