"""The learning-rate schedules of DeepSpeed 0.19.8, `deepspeed.runtime.lr_schedules`.

DeepSpeed's counter starts at -1 and moves after each update, so the warm-ups use their first value twice: update t has
the value of iteration t - 1.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Annotated, Any

from lrsched._core.check import Choice, Constraint, Flag, Int, OrNone, Real
from lrsched._curves import Constant, Cosine, Epochs, Extend, InverseTime, Linear, Logarithmic, Schedule
from lrsched.compat import torch
from lrsched.compat._tools import (
    CountOrNone,
    Length,
    OnOff,
    Rate,
    RateOrNone,
    Section,
    argument_section,
    checked,
    dictionary,
    late,
    must,
    nearest,
    numbers,
    stairs,
    then,
    without_effect,
)

__all__ = ["LRRangeTest", "OneCycle", "WarmupCosineLR", "WarmupDecayLR", "WarmupLR", "from_config"]

Kind = Annotated[str, Choice(("log", "linear"))]
_MOMENTUM: dict[str, Constraint] = {
    "cycle_momentum": Flag(),
    "cycle_min_mom": Real(),
    "cycle_max_mom": Real(),
    "decay_mom_rate": Real(),
}


def _rise(low: float, high: float, steps: int, kind: str) -> Schedule:
    """Return the warm-up of `steps` iterations; the logarithm has its top at the last of them, the line after it."""
    steps = max(steps, 2)
    return Logarithmic(low, high, steps - 1) if kind == "log" else Linear(low, high, steps)


@checked
def LRRangeTest(
    lr_range_test_min_lr: Rate = 1e-3,
    lr_range_test_step_size: Length = 2000,
    lr_range_test_step_rate: Rate = 1.0,
    lr_range_test_staircase: OnOff = False,
) -> Schedule:
    """A line without end, `min_lr * (1 + step_rate * t / step_size)`, or its staircase.

    Args:
        lr_range_test_min_lr: first value, >= 0.
        lr_range_test_step_size: updates in which the rate grows by `step_rate` times its first value.
        lr_range_test_step_rate: the growth, >= 0.
        lr_range_test_staircase: whether it grows only every `step_size` updates.

    Examples:
        >>> LRRangeTest(0.001, 100)(250)
        0.0035

    References:
        DeepSpeed 0.19.8, runtime/lr_schedules.py; so for all of this module.
    """
    top = lr_range_test_min_lr * (1.0 + lr_range_test_step_rate)
    if lr_range_test_staircase:
        return Epochs(Extend(Linear(lr_range_test_min_lr, top, 1)), lr_range_test_step_size)
    return Extend(Linear(lr_range_test_min_lr, top, lr_range_test_step_size))


@checked
def OneCycle(
    cycle_min_lr: Rate,
    cycle_max_lr: Rate,
    decay_lr_rate: Rate = 0.0,
    cycle_first_step_size: Length = 2000,
    cycle_second_step_size: CountOrNone = None,
    cycle_first_stair_count: Annotated[int, Int(low=-1)] = 0,
    cycle_second_stair_count: Annotated[int | None, OrNone(Int(low=-1))] = None,
    decay_step_size: Annotated[float, Real(low=0.0)] = 0,
    **same: Any,
) -> Schedule:
    """A line up, a line down, then an inverse-time decay, `min_lr / (1 + decay_lr_rate * u / decay_step_size)`.

    Args:
        cycle_min_lr: value at both ends of the cycle, >= 0.
        cycle_max_lr: value at its top, >= 0.
        decay_lr_rate: growth of the divisor per `decay_step_size` updates; 0 for no decay.
        cycle_first_step_size: updates of the rise, >= 1.
        cycle_second_step_size: updates of the fall; None for as many, 0 for a jump.
        cycle_first_stair_count: stairs of the rise, or 0 (or less) for a line.
        cycle_second_stair_count: stairs of the fall; None for as many.
        decay_step_size: time unit of the decay; 0 for no decay.
        **same: `cycle_momentum`, `cycle_min_mom`, `cycle_max_mom`, `decay_mom_rate`, which leave the rate as it is.

    Examples:
        >>> OneCycle(0.1, 1.0, 1.0, cycle_first_step_size=10, decay_step_size=5)(25)
        0.05
    """
    without_effect("OneCycle", same, _MOMENTUM)
    up = cycle_first_step_size
    down = up if cycle_second_step_size is None else cycle_second_step_size
    first = cycle_first_stair_count
    second = first if cycle_second_stair_count is None else cycle_second_stair_count
    rise = _stairs(cycle_min_lr, cycle_max_lr, [-(-j * up // first) for j in range(1, first + 1)], up)
    # Going down, level k of n is left one step after its place on the line.
    fall = _stairs(cycle_max_lr, cycle_min_lr, [k * down // second + 1 for k in range(second)], down)
    decays = decay_lr_rate > 0.0 and decay_step_size > 0.0
    tail = InverseTime(cycle_min_lr, decay_lr_rate, decay_step_size) if decays else Constant(cycle_min_lr)
    return then(up, rise, then(down, fall, tail))


def _stairs(start: float, end: float, places: list[int], steps: int) -> Schedule:
    if not places:
        return Linear(start, end, max(steps, 1))
    count = len(places)
    return stairs(places, [start + (end - start) * (j / count) for j in range(count + 1)])


@checked
def WarmupLR(
    warmup_min_lr: Rate = 0.0,
    warmup_max_lr: RateOrNone = None,
    warmup_num_steps: Length = 1000,
    warmup_type: Kind = "log",
    *,
    lr: RateOrNone = None,
) -> Schedule:
    """A warm-up, by default logarithmic, then a constant.

    Update t has `min + (max - min) * log(t) / log(W)` ("log") or `min + (max - min) * (t - 1) / W` ("linear") with
    W = `warmup_num_steps`, at least 2; update 0 has `min` like update 1.

    Args:
        warmup_min_lr: first value, >= 0.
        warmup_max_lr: last value, >= 0; None stands for `lr`.
        warmup_num_steps: iterations of the warm-up.
        warmup_type: "log" or "linear" (DeepSpeed takes any other text for "log").
        lr: the optimizer's learning rate, needed if `warmup_max_lr` is None.

    Raises:
        ValueError: an argument is out of range, or both `warmup_max_lr` and `lr` are None.

    Examples:
        >>> s = WarmupLR(0.0, 0.1, warmup_num_steps=4)
        >>> s(0), s(1), round(s(2), 12), s(4)
        (0.0, 0.0, 0.05, 0.1)
    """
    top = lr if warmup_max_lr is None else warmup_max_lr
    if top is None:
        raise ValueError("WarmupLR(warmup_max_lr=...) must be given if lr is not, got None")
    return Constant(warmup_min_lr, 1) >> _rise(warmup_min_lr, top, warmup_num_steps, warmup_type)


@checked
def WarmupDecayLR(
    total_num_steps: Length,
    warmup_min_lr: Rate = 0.0,
    warmup_max_lr: Rate = 0.001,
    warmup_num_steps: Length = 1000,
    warmup_type: Kind = "log",
) -> Schedule:
    """The warm-up of `WarmupLR`, then a line down to `warmup_min_lr` at iteration `total_num_steps`.

    Args:
        total_num_steps: iterations of the training, warm-up included.
        warmup_min_lr: first and last value, >= 0.
        warmup_max_lr: value after the warm-up, >= 0.
        warmup_num_steps: iterations of the warm-up; a longer one than the training is cut off by a fall to the end.
        warmup_type: "log" or "linear".

    Examples:
        >>> s = WarmupDecayLR(10, 0.0, 1.0, warmup_num_steps=2, warmup_type="linear")
        >>> s(2), s(3), s(7), s(11)
        (0.5, 1.0, 0.5, 0.0)
    """
    steps = max(warmup_num_steps, 2)
    rise = _rise(warmup_min_lr, warmup_max_lr, steps, warmup_type)
    rest = total_num_steps - steps
    fall = Linear(warmup_max_lr, warmup_min_lr, rest) if rest > 0 else Constant(warmup_min_lr)
    return Constant(warmup_min_lr, 1) >> then(steps, rise, fall)


@checked
def WarmupCosineLR(
    lr: Rate,
    total_num_steps: Length,
    warmup_min_ratio: Rate = 0.0,
    warmup_num_steps: Length = 1000,
    cos_min_ratio: Rate = 0.0001,
    warmup_type: Kind = "log",
) -> Schedule:
    """A warm-up, then half a cosine whose first step is left out: a linear warm-up never reaches `lr`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        total_num_steps: iterations of the training, warm-up included.
        warmup_min_ratio: first value relative to `lr`, >= 0; update 0 has rate 0 whatever it is.
        warmup_num_steps: iterations of the warm-up.
        cos_min_ratio: last value relative to `lr`, >= 0.
        warmup_type: "log" or "linear".

    Examples:
        >>> s = WarmupCosineLR(1.0, 10, warmup_num_steps=3, cos_min_ratio=0.0, warmup_type="linear")
        >>> [round(s(t), 4) for t in range(5)]
        [0.0, 0.0, 0.3333, 0.6667, 0.9505]
    """
    steps = max(warmup_num_steps, 2)
    rise = _rise(lr * warmup_min_ratio, lr, steps, warmup_type)
    fall = Cosine(lr, lr * cos_min_ratio, max(total_num_steps - steps, 1))
    return Constant(0.0, 1) >> then(steps, rise, late(fall, 1))


@checked
def from_config(config: Mapping[str, Any], *, lr: RateOrNone = None) -> Schedule:
    """The schedule that the section "scheduler" of a DeepSpeed JSON file describes.

    Numbers may be text, and `last_batch_iteration` (`last_epoch` for the schedulers of torch) may be -1.

    Args:
        config: `{"type": name, "params": {...}}`, or a whole configuration that holds it under "scheduler". The name is
            one of this module or of `torch.optim.lr_scheduler`.
        lr: the optimizer's learning rate, for the schedules that need it; None for that of the section "optimizer".

    Raises:
        ValueError: there is no such section, the name is unknown, a parameter is out of range, or the learning rate is
            needed but not given.
        TypeError: a parameter is unknown, missing, in a wrong place or no number; the message names it. So is "auto",
            which the Hugging Face Trainer replaces by a number: do so first.

    Examples:
        >>> params = {"total_num_steps": 1000, "warmup_max_lr": 0.1, "warmup_num_steps": 100}
        >>> from_config({"type": "WarmupDecayLR", "params": params})(101)
        0.1
        >>> optimizer = {"type": "Adam", "params": {"lr": 0.1}}
        >>> from_config({"optimizer": optimizer, "scheduler": {"type": "ExponentialLR", "params": {"gamma": 0.5}}})(1)
        0.05
    """
    _, build, params = _call(config, lr)
    try:
        schedule: Schedule = build(**params)
    except TypeError as error:
        if "auto" not in params.values():
            raise
        raise TypeError(f"{error}: the Hugging Face Trainer replaces 'auto' by a number, write that number") from None
    return schedule


def _call(config: Any, lr: float | None = None) -> tuple[str, Callable[..., Schedule], dict[str, Any]]:
    """Return the name of the scheduler that a configuration asks for, the function and its arguments."""
    top = dictionary(_WHOLE.where, config)
    if "type" in top or "params" in top:
        where, section, optimizer = _WHOLE.where, top, None
    else:
        if "scheduler" not in top:
            replace(_WHOLE, read=("scheduler",), aside=("optimizer",)).taken(top, some=True)
        tables = _WHOLE.taken(top)
        where = "from_config(config['scheduler'])"
        section, optimizer = dictionary(where, tables["scheduler"]), tables.get("optimizer")
    found = replace(_SECTION, where=where).taken(section)
    name = found.get("type")
    if name not in _KNOWN:
        near = nearest(name, _KNOWN) if isinstance(name, str) else None
        hint = f": is {near!r} meant?" if near else ""
        raise ValueError(f"{where[:-1]}['type']) must be one of {', '.join(_KNOWN)}, got {name!r}{hint}")
    build = _BY_NAME[name] if name in _BY_NAME else getattr(torch, name)
    params = argument_section(
        f"{where[:-1]}['params'])",
        build,
        found.get("params"),
        but=("lr",),
        aside=_MOMENTUM if name == "OneCycle" else (),
        neutral={"last_batch_iteration": (-1,)} if name in _BY_NAME else {"last_epoch": (-1,), "verbose": (0, 1)},
        homes={"lr": "it belongs in the params of 'optimizer'"},
    )
    takes = "lr" in inspect.signature(build).parameters and params.get("warmup_max_lr") is None
    rate = _rate(optimizer, inspect.signature(build).parameters, takes and lr is None)
    if takes:
        rate = rate if lr is None else lr
        needed = name != "WarmupLR"
        must(
            not needed or rate is not None, "from_config(lr=...)", f"given for {name}, here or under 'optimizer'", None
        )
        params |= numbers(build, {"lr": rate}) if rate is not None else {}
    return str(name), build, params


def _rate(content: Any, known: Collection[str], needed: bool) -> Any:
    """Return the rate of the section "optimizer", if there is one, once no names of the scheduler stand there."""
    if content is None:
        return None
    where = "from_config(config['optimizer'])"
    names = {*_OWN, *known, "scheduler", "lr"} - {"gamma", "same"}
    section = Section(where, "'type' and 'params'", ("type", "params"), homes={**_HOMES, "lr": _IN}, inside=names)
    params = section.taken(dictionary(where, content), needed).get("params")
    where = "from_config(config['optimizer']['params'])"
    section = Section(where, "the rate as 'lr'", ("lr",), () if needed else _MUON, homes=_HOMES, inside=names)
    found = section.taken(dictionary(where, {} if params is None else params))
    must("lr" in found or not params or not needed, where, "a dictionary with the rate as 'lr'", params)
    return found.get("lr")


_BY_NAME: dict[str, Callable[..., Schedule]] = {
    "LRRangeTest": LRRangeTest,
    "OneCycle": OneCycle,
    "WarmupLR": WarmupLR,
    "WarmupDecayLR": WarmupDecayLR,
    "WarmupCosineLR": WarmupCosineLR,
}
# DeepSpeed takes the schedulers of torch by their names, too.
_KNOWN = (
    *_BY_NAME,
    "CyclicLR",
    "OneCycleLR",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "PolynomialLR",
    "StepLR",
)
_OWN = frozenset(name for build in _BY_NAME.values() for name in inspect.signature(build).parameters) - {"lr", "same"}
_IN = "it belongs in params"
_HOMES = dict.fromkeys(_OWN, "it belongs in the params of 'scheduler'")
# Rates of the parts of this optimizer, which a scheduler with rates of its own replaces.
_MUON = ("adam_lr", "muon_lr")
_WHOLE = Section(
    "from_config(config)",
    "a section 'scheduler', or be one with 'type' and 'params'",
    ("scheduler", "optimizer"),
    homes=_HOMES,
    inside=("scheduler", *(_OWN - {"warmup_type"})),
)
_SECTION = Section(
    "",
    "only 'type' and 'params'",
    ("type", "params"),
    homes={**dict.fromkeys(_OWN, _IN), "lr": "it belongs in the params of 'optimizer'"},
    strict=True,
)
