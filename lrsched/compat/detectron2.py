"""The schedulers of detectron2 0.6, `detectron2.solver`, over fvcore's.

Warm-up and decay share one clock: the decay runs on through the warm-up, which rises to the value that the whole
schedule has when it ends, and so usually not to the base rate.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lrsched._check import Int, Many, Real
from lrsched._decimal import powers
from lrsched._modifiers import Hold
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear
from lrsched.compat._args import Choice, Count, Length, Part, Rate, checked, must
from lrsched.compat._pieces import late, stairs, then
from lrsched.compat.fvcore import MultiStepParamScheduler

__all__ = ["LRMultiplier", "WarmupCosineLR", "WarmupMultiStepLR", "WarmupParamScheduler", "build_lr_scheduler"]

Method = Annotated[str, Choice(("linear", "constant"))]
# The defaults of detectron2/config/defaults.py, section SOLVER.
_DEFAULTS: dict[str, Any] = {
    "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "MAX_ITER": 40000,
    "BASE_LR": 0.001,
    "BASE_LR_END": 0.0,
    "GAMMA": 0.1,
    "STEPS": (30000,),
    "WARMUP_FACTOR": 1.0 / 1000,
    "WARMUP_ITERS": 1000,
    "WARMUP_METHOD": "linear",
}


@checked
def WarmupParamScheduler(
    scheduler: Part,
    warmup_factor: Rate,
    warmup_length: Annotated[float, Real(low=0.0, high=1.0)],
    warmup_method: Method = "linear",
    *,
    max_iter: Length,
) -> Schedule:
    """A warm-up laid over the beginning of a schedule, to the value that it has there.

    Args:
        scheduler: a schedule of `compat.fvcore` made for the same `max_iter`.
        warmup_factor: first value, relative to that of the schedule, >= 0.
        warmup_length: part of the training that the warm-up takes, in [0, 1], a whole number of updates.
        warmup_method: "linear" or "constant".
        max_iter: updates of the training.

    Raises:
        ValueError: an argument is out of range, or the warm-up is not a whole number of updates.

    Examples:
        >>> from lrsched.compat.fvcore import CosineParamScheduler
        >>> s = WarmupParamScheduler(CosineParamScheduler(1.0, 0.0, max_iter=90), 0.001, 1 / 3, max_iter=90)
        >>> s(0), round(s(30), 12)
        (0.001, 0.75)

    References:
        detectron2 0.6, solver/lr_scheduler.py, WarmupParamScheduler.
    """
    steps = round(warmup_length * max_iter)
    whole = abs(steps - warmup_length * max_iter) <= 1e-6
    must(whole, "WarmupParamScheduler(warmup_length=...)", "a whole number of updates", warmup_length)
    start = warmup_factor * scheduler(0)
    if warmup_method == "constant":
        warmup: Schedule = Constant(start, max(steps, 1))
    else:
        warmup = Linear(start, scheduler(steps), max(steps, 1))
    return then(steps, warmup, late(scheduler, steps))


@checked
def LRMultiplier(lr: Rate, multiplier: Part, max_iter: Length) -> Schedule:
    """A schedule of multipliers times the base rate.

    Args:
        lr: the optimizer's learning rate, >= 0.
        multiplier: a schedule of `compat.fvcore` or a `WarmupParamScheduler`, made for the same `max_iter`.
        max_iter: updates of the training, after which the last value holds.

    Examples:
        >>> LRMultiplier(0.1, Linear(1.0, 0.0, steps=90), max_iter=90)(45)
        0.05

    References:
        detectron2 0.6, solver/lr_scheduler.py, LRMultiplier.
    """
    return lr * (multiplier if multiplier.length == max_iter else Hold(multiplier, max_iter))


@checked
def WarmupMultiStepLR(
    lr: Rate,
    milestones: Annotated[Sequence[int], Many(Int(low=0), least=0)],
    gamma: Rate = 0.1,
    warmup_factor: Rate = 0.001,
    warmup_iters: Count = 1000,
    warmup_method: Method = "linear",
) -> Schedule:
    """A staircase times a warm-up factor: detectron2's older scheduler.

    Args:
        lr: the optimizer's learning rate, >= 0.
        milestones: steps in order at which the rate is multiplied by `gamma`; there may be none.
        gamma: factor at each milestone, >= 0.
        warmup_factor: first factor, >= 0.
        warmup_iters: updates of the warm-up.
        warmup_method: "linear" or "constant".

    Examples:
        >>> WarmupMultiStepLR(1.0, [50, 80], warmup_iters=10)(60)
        0.1

    References:
        detectron2 0.6, solver/lr_scheduler.py, WarmupMultiStepLR (deprecated there).
    """
    must(list(milestones) == sorted(milestones), "WarmupMultiStepLR(milestones=...)", "in order", milestones)
    levels = powers(lr, gamma, len(milestones))
    return _warmed(stairs(milestones, levels), warmup_factor, warmup_iters, warmup_method)


@checked
def WarmupCosineLR(
    lr: Rate,
    max_iters: Length,
    warmup_factor: Rate = 0.001,
    warmup_iters: Count = 1000,
    warmup_method: Method = "linear",
) -> Schedule:
    """Half a cosine over the whole training, times a warm-up factor: detectron2's older scheduler.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_iters: updates of the training, warm-up included.
        warmup_factor: first factor, >= 0.
        warmup_iters: updates of the warm-up.
        warmup_method: "linear" or "constant".

    Examples:
        >>> round(WarmupCosineLR(1.0, 90, warmup_iters=30)(30), 12)
        0.75

    References:
        detectron2 0.6, solver/lr_scheduler.py, WarmupCosineLR (deprecated there).
    """
    return _warmed(Cosine(lr, 0.0, max_iters), warmup_factor, warmup_iters, warmup_method)


def _warmed(schedule: Schedule, factor: float, steps: int, method: str) -> Schedule:
    if not steps:
        return schedule
    if method == "constant":
        return schedule * (Constant(factor, steps) >> Constant(1.0))
    return schedule * Linear(factor, 1.0, steps)


def build_lr_scheduler(cfg: Mapping[str, Any]) -> Schedule:
    """The schedule that detectron2 builds from the section SOLVER of its configuration.

    Args:
        cfg: the section as a mapping: LR_SCHEDULER_NAME ("WarmupMultiStepLR" or "WarmupCosineLR"), MAX_ITER, BASE_LR,
            BASE_LR_END, GAMMA, STEPS, WARMUP_FACTOR, WARMUP_ITERS, WARMUP_METHOD; what is missing has detectron2's
            default, and other keys are ignored. Steps after MAX_ITER are ignored.

    Raises:
        ValueError: the name is unknown, or a number is out of range.

    Examples:
        >>> s = build_lr_scheduler({"BASE_LR": 0.02, "MAX_ITER": 90000, "STEPS": (60000, 80000)})
        >>> s(1000), round(s(60000), 12)
        (0.02, 0.002)

    References:
        detectron2 0.6, solver/build.py, build_lr_scheduler; config/defaults.py.
    """
    where = "build_lr_scheduler"
    c = {**_DEFAULTS, **cfg}
    lr, total = Real(low=0.0)(f"{where}(BASE_LR=...)", c["BASE_LR"]) or 0.0, int(c["MAX_ITER"])
    if c["LR_SCHEDULER_NAME"] == "WarmupMultiStepLR":
        steps = [step for step in c["STEPS"] if step <= total]
        inner = MultiStepParamScheduler(powers(1.0, c["GAMMA"], len(steps)), total, steps, max_iter=total)
    else:
        name = c["LR_SCHEDULER_NAME"]
        must(name == "WarmupCosineLR", f"{where}(LR_SCHEDULER_NAME=...)", "WarmupMultiStepLR or WarmupCosineLR", name)
        must(0 <= c["BASE_LR_END"] <= lr, f"{where}(BASE_LR_END=...)", f"from 0 to {lr!r}", c["BASE_LR_END"])
        inner = Cosine(1.0, c["BASE_LR_END"] / lr, total)
    part = min(c["WARMUP_ITERS"] / total, 1.0)
    return LRMultiplier(
        lr, WarmupParamScheduler(inner, c["WARMUP_FACTOR"], part, c["WARMUP_METHOD"], max_iter=total), total
    )
