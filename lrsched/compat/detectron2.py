"""The schedulers of detectron2 0.6, `detectron2.solver`, over fvcore's.

Warm-up and decay share one clock: the decay runs on through the warm-up, which rises to the value that the whole
schedule has when it ends, and so usually not to the base rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

from lrsched._core.check import Choice, Constraint, Flag, Int, Many, Real
from lrsched._curves import Constant, Cosine, Hold, Linear, Schedule
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import (
    Count,
    Length,
    OnOff,
    Part,
    Rate,
    Section,
    checked,
    dictionary,
    late,
    must,
    number,
    stairs,
    then,
)
from lrsched.compat.fvcore import CompositeParamScheduler, MultiStepParamScheduler, StepWithFixedGammaParamScheduler

__all__ = ["LRMultiplier", "WarmupCosineLR", "WarmupMultiStepLR", "WarmupParamScheduler", "build_lr_scheduler"]

Method = Annotated[str, Choice(("linear", "constant"))]
_WHERE = "build_lr_scheduler"
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
    "NUM_DECAYS": 3,
    "RESCALE_INTERVAL": False,
}
_RULES: dict[str, Constraint] = {
    "LR_SCHEDULER_NAME": Choice(("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")),
    "MAX_ITER": Int(low=1),
    "BASE_LR": Real(low=0.0),
    "BASE_LR_END": Real(low=0.0),
    "GAMMA": Real(low=0.0),
    "STEPS": Many(Int(), least=0),
    "WARMUP_FACTOR": Real(low=0.0),
    "WARMUP_ITERS": Int(),
    "WARMUP_METHOD": Choice(("linear", "constant")),
    "NUM_DECAYS": Int(low=1),
    "RESCALE_INTERVAL": Flag(),
}
_SOLVER = Section(
    f"{_WHERE}(cfg)",
    "the names of detectron2's section SOLVER",
    tuple(_RULES),
    aside=("BIAS_LR_FACTOR", "REFERENCE_WORLD_SIZE"),
)
_WHOLE = Section(
    f"{_WHERE}(cfg)",
    "what is about the schedule in its section SOLVER",
    ("SOLVER",),
    homes=dict.fromkeys(_RULES, "it belongs in SOLVER"),
    # GAMMA and STEPS may stand anywhere.
    inside=(
        *("BASE_LR", "LR_SCHEDULER_NAME", "MAX_ITER", "SOLVER", "WARMUP_FACTOR", "WARMUP_ITERS", "WARMUP_METHOD"),
        *("LEARNING_RATE", "LR", "LR_SCHEDULER", "WARMUP_STEPS"),
    ),
)


@checked
def WarmupParamScheduler(
    scheduler: Part,
    warmup_factor: Rate,
    warmup_length: Annotated[float, Real(low=0.0, high=1.0)],
    warmup_method: Method = "linear",
    rescale_interval: OnOff = False,
    *,
    max_iter: Length,
) -> Schedule:
    """A warm-up laid over the beginning of a schedule, to the value that it has there.

    Args:
        scheduler: a schedule of `compat.fvcore` made for the same `max_iter`.
        warmup_factor: first value, relative to that of the schedule, >= 0.
        warmup_length: part of the training that the warm-up takes, in [0, 1], a whole number of updates.
        warmup_method: "linear" or "constant".
        rescale_interval: whether the schedule then runs from its start to its end in what is left, and the warm-up
            rises to its first value.
        max_iter: updates of the training.

    Raises:
        ValueError: an argument is out of range, or the warm-up is not a whole number of updates.

    Examples:
        >>> from lrsched.compat.fvcore import CosineParamScheduler
        >>> s = WarmupParamScheduler(CosineParamScheduler(1.0, 0.0, max_iter=90), 0.001, 1 / 3, max_iter=90)
        >>> s(0), round(s(30), 12)
        (0.001, 0.75)

    References:
        detectron2 at 02b5c4e (2026-06-06), solver/lr_scheduler.py, WarmupParamScheduler, of 2023-05-17.
    """
    steps = round(warmup_length * max_iter)
    whole = abs(steps - warmup_length * max_iter) <= 1e-6
    must(whole, "WarmupParamScheduler(warmup_length=...)", "a whole number of updates", warmup_length)
    start = warmup_factor * scheduler(0)
    if not rescale_interval or steps >= max_iter:
        rise = _rise(start, scheduler(steps), max(steps, 1), warmup_method)
        return then(steps, rise, late(scheduler, steps))
    body = scheduler if scheduler.length == max_iter else Hold(scheduler, max_iter)
    parts, lengths = [_rise(start, body(0), max_iter, warmup_method), body], [warmup_length, 1.0 - warmup_length]
    return CompositeParamScheduler(parts, lengths, ["rescaled", "rescaled"], max_iter=max_iter)


def _rise(start: float, top: float, steps: int, method: str) -> Schedule:
    return Constant(start, steps) if method == "constant" else Linear(start, top, steps)


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
        detectron2 at 02b5c4e (2026-06-06), solver/lr_scheduler.py, LRMultiplier.
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
        detectron2 at 02b5c4e (2026-06-06), solver/lr_scheduler.py, WarmupMultiStepLR (deprecated there).
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
        detectron2 at 02b5c4e (2026-06-06), solver/lr_scheduler.py, WarmupCosineLR (deprecated there).
    """
    return _warmed(Cosine(lr, 0.0, max_iters), warmup_factor, warmup_iters, warmup_method)


def _warmed(schedule: Schedule, factor: float, steps: int, method: str) -> Schedule:
    if not steps:
        return schedule
    if method == "constant":
        return schedule * (Constant(factor, steps) >> Constant(1.0))
    return schedule * Linear(factor, 1.0, steps)


@checked
def build_lr_scheduler(cfg: Mapping[str, Any]) -> Schedule:
    """The schedule that detectron2 builds from its configuration.

    Read are `LR_SCHEDULER_NAME` ("WarmupMultiStepLR", "WarmupCosineLR" or "WarmupStepWithFixedGammaLR"), `MAX_ITER`,
    `BASE_LR`, `BASE_LR_END` (cosine), `STEPS` (steps), `GAMMA`, `NUM_DECAYS` (fixed gamma), `WARMUP_FACTOR`,
    `WARMUP_ITERS`, `WARMUP_METHOD` and `RESCALE_INTERVAL`. What is missing has detectron2's default, `STEPS` after
    `MAX_ITER` are left out, and numbers may be text, as YAML leaves `(60000, 80000)`. Parameters with a
    `BIAS_LR_FACTOR` have their own base rate; `REFERENCE_WORLD_SIZE` is a matter of detectron2's DefaultTrainer.

    Args:
        cfg: the whole configuration, with its section SOLVER, or that section.

    Raises:
        TypeError: a name looks like a schedule's and is none of the above; the message names it.
        ValueError: no such name is there, the scheduler's name is unknown, a number is out of range, or something
            has to come from the file under `_BASE_`, which is not read.

    Examples:
        >>> s = build_lr_scheduler({"SOLVER": {"BASE_LR": 0.02, "MAX_ITER": 90000, "STEPS": "(60000, 80000)"}})
        >>> s(1000), round(s(60000), 12)
        (0.02, 0.002)

    References:
        detectron2 at 02b5c4e (2026-06-06), solver/build.py, build_lr_scheduler, of 2023-05-31; config/defaults.py.
    """
    c = _settings(cfg)
    lr, total = c["BASE_LR"], c["MAX_ITER"]
    name = c["LR_SCHEDULER_NAME"]
    if name == "WarmupMultiStepLR":
        steps = [step for step in c["STEPS"] if step <= total]
        rises = all(a < b for a, b in pairwise([0, *steps, total]))
        must(rises, f"{_WHERE}(STEPS=...)", f"increasing between 0 and MAX_ITER={total}", c["STEPS"])
        inner = MultiStepParamScheduler(powers(1.0, c["GAMMA"], len(steps)), total, steps, max_iter=total)
    elif name == "WarmupStepWithFixedGammaLR":
        must(c["GAMMA"] > 0.0, f"{_WHERE}(GAMMA=...)", f"> 0 for {name}", c["GAMMA"])
        inner = StepWithFixedGammaParamScheduler(1.0, c["NUM_DECAYS"], c["GAMMA"], total, max_iter=total)
    else:
        must(lr > 0.0, f"{_WHERE}(BASE_LR=...)", f"> 0 for {name}", lr)
        must(c["BASE_LR_END"] <= lr, f"{_WHERE}(BASE_LR_END=...)", f"from 0 to {lr!r}", c["BASE_LR_END"])
        inner = Cosine(1.0, c["BASE_LR_END"] / lr, total)
    part = min(c["WARMUP_ITERS"] / total, 1.0)
    warmed = WarmupParamScheduler(
        inner, c["WARMUP_FACTOR"], part, c["WARMUP_METHOD"], c["RESCALE_INTERVAL"], max_iter=total
    )
    return LRMultiplier(lr, warmed, total)


def _settings(cfg: Any) -> dict[str, Any]:
    """Return what a configuration says about the schedule, and detectron2's defaults for the rest."""
    top = dictionary(f"{_WHERE}(cfg)", cfg)
    whole = "SOLVER" in top
    if whole:
        _WHOLE.taken(top)
    section = dictionary(f"{_WHERE}(cfg['SOLVER'])", top["SOLVER"]) if whole else top
    names = replace(_SOLVER, where=f"{_WHERE}(cfg['SOLVER'])" if whole else f"{_WHERE}(cfg)")
    found = names.taken(section, some=True)
    absent = ", ".join([name for name in _RULES if name not in found][:3])
    base = top.get("_BASE_")
    must(base is None or not absent, f"{_WHERE}(cfg['_BASE_'])", f"merged first: {absent} may stand there", base)
    given = {**_DEFAULTS, **found}
    return {name: rule(f"{_WHERE}({name}=...)", number(rule, given[name])) for name, rule in _RULES.items()}
