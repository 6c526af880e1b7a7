"""The parameter schedulers of MMEngine 0.10.7, `mmengine.optim.scheduler`.

Each acts only while `begin <= t < end` and leaves what it had set before and after. One step is an epoch, or an
iteration with `by_epoch=False`: that changes no number here. Write `build_param_schedulers` for several of them on one
optimizer, and pass a momentum or a weight decay as `lr` for the twins (`CosineAnnealingMomentum`, ...).

An iteration is a batch: with `OptimWrapper(accumulative_counts=n)` update j has `s(n * j + n - 1)`, which is
`Batches(s, n)(j)`; the last update of a training takes the batches that are left.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from lrsched._check import Int, Many, Real
from lrsched._decays import Exponential
from lrsched._modifiers import Epochs
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Linear
from lrsched.compat._args import (
    Count,
    Fraction,
    Length,
    Positive,
    Rate,
    checked,
    must,
)
from lrsched.compat._mmengine_waves import INF, CosineAnnealingLR, CosineRestartLR, OneCycleLR, PolyLR, _window
from lrsched.compat._pieces import stairs, then

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineRestartLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolyLR",
    "StepLR",
    "build_param_schedulers",
]


@checked
def StepLR(
    lr: Rate, step_size: Length, gamma: Positive = 0.1, begin: Count = 0, end: Length = INF, **same: Any
) -> Schedule:
    """The rate times `gamma` after each `step_size` steps.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_size: steps between drops.
        gamma: factor at each drop, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> StepLR(1.0, step_size=5, gamma=0.5, begin=10)(17)
        0.5

    References:
        MMEngine 0.10.7, optim/scheduler/param_scheduler.py; so for all of this module.
    """
    return _window("StepLR", Epochs(Exponential(lr, gamma), step_size), lr, begin, end, same)


@checked
def MultiStepLR(
    lr: Rate,
    milestones: Annotated[Sequence[int], Many(Int(low=0), least=0)],
    gamma: Rate = 0.1,
    begin: Count = 0,
    end: Length = INF,
    **same: Any,
) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: steps counted from `begin`, in any order; a repeated one counts again.
        gamma: factor at each milestone, >= 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> MultiStepLR(1.0, milestones=[5], gamma=0.5, begin=10)(15)
        0.5
    """
    levels = [lr * gamma**k for k in range(len(milestones) + 1)]
    return _window("MultiStepLR", stairs(sorted(milestones), levels), lr, begin, end, same)


@checked
def ConstantLR(lr: Rate, factor: Fraction = 1 / 3, begin: Count = 0, end: Length = INF, **same: Any) -> Schedule:
    """The rate times `factor`, and the rate itself again at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        factor: the factor, from 0 to 1; 0 only without an end, as MMEngine divides by it there.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`; with `begin + 1` the factor stays.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> ConstantLR(1.0, factor=0.5, end=5)
        Constant(0.5, steps=4) >> Constant(1.0)
    """
    must(factor > 0.0 or end >= INF, "ConstantLR(factor=...)", "> 0 if there is an end", factor)
    acting = end - begin - 1
    must(acting >= 0, "ConstantLR(end=...)", f"> begin={begin!r}", end)
    curve = Constant(lr * factor) if acting < 1 or end >= INF else Constant(lr * factor, acting) >> Constant(lr)
    return _window("ConstantLR", curve, lr, begin, INF, same)


@checked
def ExponentialLR(lr: Rate, gamma: Positive, begin: Count = 0, end: Length = INF, **same: Any) -> Schedule:
    """The rate times `gamma` after each step.

    Args:
        lr: the optimizer's learning rate, >= 0.
        gamma: the factor, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> ExponentialLR(1.0, gamma=0.5, end=2)(9)
        0.5
    """
    return _window("ExponentialLR", Exponential(lr, gamma), lr, begin, end, same)


@checked
def LinearLR(
    lr: Rate,
    start_factor: Annotated[float, Real(low=0.0, high=1.0, open_low=True)] = 1 / 3,
    end_factor: Fraction = 1.0,
    begin: Count = 0,
    end: Length = INF,
    **same: Any,
) -> Schedule:
    """A line of factors whose end is reached at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        start_factor: first factor, in (0, 1] (MMEngine takes 0 and then divides by it).
        end_factor: last factor, from 0 to 1.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`; with `begin + 1` the first factor stays.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> LinearLR(1.0, start_factor=0.2, end=5)
        Linear(0.2, 1.0, steps=4)
    """
    acting = end - begin - 1
    curve = Linear(lr * start_factor, lr * end_factor, acting) if acting > 0 else Constant(lr * start_factor)
    return _window("LinearLR", curve, lr, begin, end, same)


_BY_NAME: dict[str, Callable[..., Schedule]] = {
    name: globals()[name] for name in __all__ if name != "build_param_schedulers"
}


def build_param_schedulers(lr: float, configs: Sequence[Mapping[str, Any]]) -> Schedule:
    """Several schedulers on one optimizer, as the list `param_scheduler` of a configuration file has them.

    Each begins with the value that the one before has left, so their times must not overlap.

    Args:
        lr: the optimizer's learning rate, >= 0.
        configs: dictionaries with a "type" (the name of a function of this module) and its arguments; all count the
            same steps, iterations or epochs.

    Raises:
        ValueError: a name is unknown, two schedulers act at the same time, or a cosine that begins below `lr` would
            turn (its way back is taken from `lr`).

    Examples:
        >>> warmup = {"type": "LinearLR", "start_factor": 0.5, "begin": 0, "end": 11}
        >>> build_param_schedulers(0.1, [warmup, {"type": "PolyLR", "begin": 11, "end": 32}])(11)
        0.1
    """
    where = "build_param_schedulers(configs=...)"
    must(len(configs) > 0, where, "one or more dictionaries", configs)
    ordered = sorted(configs, key=lambda config: config.get("begin", 0))
    begins = [config.get("begin", 0) for config in ordered]
    ends = [config.get("end", INF) for config in ordered]
    for end, begin in zip(ends, begins[1:], strict=False):
        must(end <= begin, where, "schedulers that do not act at the same time", f"one up to {end}, one from {begin}")
    current = Real(low=0.0)("build_param_schedulers(lr=...)", lr) or 0.0
    base, begun = current, 0
    parts: list[tuple[int, Schedule]] = []
    for config, begin, end in zip(ordered, begins, ends, strict=True):
        name = str(config.get("type"))
        must(name in _BY_NAME, f"{where}['type']", f"one of {', '.join(sorted(_BY_NAME))}", name)
        arguments = {key: value for key, value in config.items() if key not in ("type", "begin", "end")}
        if name in ("CosineAnnealingLR", "CosineRestartLR") and current != base:
            turns = name == "CosineRestartLR" or config.get("T_max", end - begin) < end - begin
            must(not turns and config.get("eta_min_ratio") is None, where, "cosines that begin with lr", config)
        if end < INF:
            arguments["end"] = end - begin
        schedule = _BY_NAME[name](current, **arguments)
        if begin > begun:
            parts.append((begin - begun, Constant(current)))
        parts.append((end - begin, schedule))
        current, begun = schedule(end - begin), end
    result: Schedule = parts[-1][1]
    for steps, part in reversed(parts[:-1]):
        result = then(steps, Constant(part.value, steps) if isinstance(part, Constant) else part, result)
    return result
