"""Live torch schedulers as schedules."""

import copy
import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler, swa_utils

from lrsched import Schedule
from lrsched.compat import torch as recipes
from lrsched.compat import transformers as hf_recipes
from lrsched_torch._scheduler import ScheduleLR

# Steps of the copy that the check takes, and what torch's own rounding may come to in a long run.
_CHECKED = 256
_RTOL, _ATOL = 1e-5, 1e-7


def from_torch(scheduler: Any) -> list[Schedule]:
    """The schedules that a torch scheduler follows, one for each parameter group.

    The step of these schedules is the scheduler's `last_epoch`: they describe the whole run, however many steps it has
    taken. All schedulers of torch that are functions of the step are known, nested ones too, and all that
    `transformers` builds. The result is checked against the rates in the optimizer and against a copy of the scheduler,
    which takes the next steps; neither the scheduler nor the optimizer is touched. Where torch itself leaves the curve
    after the end (`OneCycleLR`, `ChainedScheduler` with a cosine), see that function of `lrsched.compat.torch`.

    Args:
        scheduler: an object of `torch.optim.lr_scheduler`, of `torch.optim.swa_utils`, or a `ScheduleLR`.

    Returns:
        The schedules, equal (`==`) to those that `lrsched.compat` builds from the scheduler's arguments.

    Raises:
        TypeError: the object is no torch scheduler, or of a class not known.
        ValueError: it calls a Python function, depends on a metric, or does not follow from its arguments, as after a
            rate was changed by hand.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> from_torch(torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=100))
        [Extend(Cosine(0.1, 0.0, steps=100))]
    """
    schedules = [_read(scheduler, i) for i in range(len(_optimizer(scheduler).param_groups))]
    _check(scheduler, schedules)
    return schedules


def _optimizer(scheduler: Any) -> torch.optim.Optimizer:
    optimizer = getattr(scheduler, "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"from_torch(scheduler) must get a torch scheduler, got {scheduler!r}")
    return optimizer


def _read(scheduler: Any, i: int) -> Schedule:
    read = _READERS.get(type(scheduler))
    if read is not None:
        return read(scheduler, i)
    name = type(scheduler).__name__
    if name in ("ReduceLROnPlateau", "GreedyLR"):
        raise ValueError(f"from_torch(scheduler) must get a function of the step, got a {name}: use lrsched.feedback")
    raise TypeError(f"from_torch(scheduler) must get a scheduler of torch or transformers, got a {name}")


def _rate(scheduler: Any, i: int) -> float:
    """Return the rate that group i had when the scheduler was built."""
    return float(scheduler.base_lrs[i])


def _own(scheduler: ScheduleLR, i: int) -> Schedule:
    if scheduler.field != "lr":
        raise ValueError(f"from_torch(scheduler) must get a ScheduleLR of the field 'lr', got {scheduler.field!r}")
    schedule = scheduler.schedules[min(i, len(scheduler.schedules) - 1)]
    return scheduler._first(i) * schedule if scheduler.relative else schedule


def _plain(name: str, *attributes: str) -> Callable[[Any, int], Schedule]:
    """Return the reader of a scheduler that keeps its arguments under their own names."""

    def read(scheduler: Any, i: int) -> Schedule:
        arguments = {attribute: getattr(scheduler, attribute) for attribute in attributes}
        schedule: Schedule = getattr(recipes, name)(_rate(scheduler, i), **arguments)
        return schedule

    return read


def _multi_step(scheduler: Any, i: int) -> Schedule:
    return recipes.MultiStepLR(_rate(scheduler, i), sorted(scheduler.milestones.elements()), scheduler.gamma)


def _cyclic(scheduler: Any, i: int) -> Schedule:
    if scheduler._scale_fn_custom is not None:
        raise ValueError("from_torch(scheduler) must get a CyclicLR without scale_fn, for a function is no value")
    up = round(scheduler.total_size * scheduler.step_ratio)
    down = round(scheduler.total_size - up)
    if float(up + down) != scheduler.total_size or up / scheduler.total_size != scheduler.step_ratio:
        raise ValueError("from_torch(scheduler) must get a CyclicLR with whole step_size_up and step_size_down")
    low, high = _rate(scheduler, i), float(scheduler.max_lrs[i])
    return recipes.CyclicLR(low, high, up, down, scheduler.mode, scheduler.gamma)


def _one_cycle(scheduler: Any, i: int) -> Schedule:
    group = scheduler.optimizer.param_groups[i]
    first, top, last = (float(group[key]) for key in ("initial_lr", "max_lr", "min_lr"))
    ends = [phase["end_step"] for phase in scheduler._schedule_phases[:-1]]
    return recipes.one_cycle(first, top, last, scheduler.total_steps, ends, scheduler._anneal_func_type)


def _swa(scheduler: Any, i: int, start: float | None = None) -> Schedule:
    group = scheduler.optimizer.param_groups[i]
    end, now = float(group["swa_lr"]), float(group["lr"])

    def build(lr: float, swa_lr: float = end) -> Schedule:
        return recipes.SWALR(lr, swa_lr, scheduler.anneal_epochs, scheduler._anneal_strategy)

    if start is not None:
        return build(start)
    schedule, step = build(_rate(scheduler, i)), scheduler.last_epoch
    if math.isclose(schedule(step), now, rel_tol=_RTOL):
        return schedule
    # It began after another scheduler, with another rate than the optimizer: what is left of that rate tells.
    part = build(1.0, 0.0)(step)
    return build((now - (1.0 - part) * end) / part) if part > 0.0 else schedule


def _sequential(scheduler: Any, i: int, late: int = 0) -> Schedule:
    """Read a sequence; in one that is the first part of another, torch counts one step ahead for each level."""
    children, milestones = scheduler._schedulers, [max(step - late, 0) for step in scheduler._milestones]
    first = children[0]
    parts = [_sequential(first, i, late + 1) if type(first) is lr_scheduler.SequentialLR else _read(first, i)]
    for child, milestone in zip(children[1:], milestones, strict=True):
        if type(child) is swa_utils.SWALR:
            before = recipes.SequentialLR(parts, milestones[: len(parts) - 1])
            parts.append(_swa(child, i, before(max(milestone - 1, 0))))
        else:
            parts.append(_read(child, i))
    return recipes.SequentialLR(parts, milestones)


def _chained(scheduler: Any, i: int) -> Schedule:
    children = scheduler._schedulers
    if len(children) == 1:
        return _read(children[0], i)
    return recipes.ChainedScheduler([_read(child, i) for child in children], _rate(children[0], i))


def _lambda(scheduler: Any, i: int) -> Schedule:
    function = scheduler.lr_lambdas[i]
    inner = function.func if isinstance(function, functools.partial) else function
    build = _LAMBDAS.get(getattr(inner, "__name__", ""))
    if build is None or getattr(inner, "__module__", "") != "transformers.optimization":
        raise ValueError(
            f"from_torch(scheduler) must get a scheduler without functions of the user, got a LambdaLR of {inner!r}: "
            "list its values in a Table, or write the curve with the schedules of lrsched"
        )
    return build(_rate(scheduler, i), dict(getattr(function, "keywords", {})))


def _by_name(name: str) -> Callable[[float, dict[str, Any]], Schedule]:
    def build(lr: float, arguments: dict[str, Any]) -> Schedule:
        schedule: Schedule = getattr(hf_recipes, name)(lr, **arguments)
        return schedule

    return build


def _hf_cosine(lr: float, arguments: dict[str, Any]) -> Schedule:
    floor = "get_cosine_with_min_lr_schedule_with_warmup"
    return _by_name(floor if "min_lr_rate" in arguments else "get_cosine_schedule_with_warmup")(lr, arguments)


def _hf_polynomial(lr: float, arguments: dict[str, Any]) -> Schedule:
    # The end is relative to the default rate of the optimizer, not to that of the group.
    default = arguments.pop("lr_init")
    if default != lr:
        arguments["lr_end"] *= lr / default
    return hf_recipes.get_polynomial_decay_schedule_with_warmup(lr, **arguments)


def _hf_wsd(lr: float, arguments: dict[str, Any]) -> Schedule:
    if arguments["num_stable_steps"] < 0:
        names = ("num_warmup_steps", "num_decay_steps")
        arguments["num_training_steps"] = arguments.pop("num_stable_steps") + sum(arguments[name] for name in names)
    return hf_recipes.get_wsd_schedule(lr, **arguments)


_LAMBDAS: dict[str, Callable[[float, dict[str, Any]], Schedule]] = {
    "_get_constant_lambda": _by_name("get_constant_schedule"),
    "_get_constant_schedule_with_warmup_lr_lambda": _by_name("get_constant_schedule_with_warmup"),
    "_get_linear_schedule_with_warmup_lr_lambda": _by_name("get_linear_schedule_with_warmup"),
    "_get_cosine_schedule_with_warmup_lr_lambda": _hf_cosine,
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda": _by_name(
        "get_cosine_with_hard_restarts_schedule_with_warmup"
    ),
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda": _hf_polynomial,
    "_get_inverse_sqrt_schedule_lr_lambda": _by_name("get_inverse_sqrt_schedule"),
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda": _by_name(
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate"
    ),
    "_get_wsd_scheduler_lambda": _hf_wsd,
}

_READERS: dict[type, Callable[[Any, int], Schedule]] = {
    ScheduleLR: _own,
    lr_scheduler.LambdaLR: _lambda,
    lr_scheduler.MultiplicativeLR: lambda scheduler, i: recipes.MultiplicativeLR(0.0, None),
    lr_scheduler.StepLR: _plain("StepLR", "step_size", "gamma"),
    lr_scheduler.MultiStepLR: _multi_step,
    lr_scheduler.ConstantLR: _plain("ConstantLR", "factor", "total_iters"),
    lr_scheduler.LinearLR: _plain("LinearLR", "start_factor", "end_factor", "total_iters"),
    lr_scheduler.ExponentialLR: _plain("ExponentialLR", "gamma"),
    lr_scheduler.PolynomialLR: _plain("PolynomialLR", "total_iters", "power"),
    lr_scheduler.CosineAnnealingLR: _plain("CosineAnnealingLR", "T_max", "eta_min"),
    lr_scheduler.CosineAnnealingWarmRestarts: _plain("CosineAnnealingWarmRestarts", "T_0", "T_mult", "eta_min"),
    lr_scheduler.CyclicLR: _cyclic,
    lr_scheduler.OneCycleLR: _one_cycle,
    lr_scheduler.SequentialLR: _sequential,
    lr_scheduler.ChainedScheduler: _chained,
    swa_utils.SWALR: _swa,
}


def _now(scheduler: Any) -> int:
    """Return the number of the update that the current rates are for."""
    while isinstance(scheduler, lr_scheduler.ChainedScheduler):
        scheduler = scheduler._schedulers[0]
    return int(scheduler.last_epoch)


def _horizon(scheduler: Any) -> float:
    """Return the last step at which torch is still on the curve."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return scheduler.total_steps - 1
    if isinstance(scheduler, lr_scheduler.ChainedScheduler) and len(scheduler._schedulers) > 1:
        cosines = [part for part in scheduler._schedulers if isinstance(part, lr_scheduler.CosineAnnealingLR)]
        return min((part.T_max for part in cosines), default=math.inf)
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        return max(scheduler._milestones, default=0) + _horizon(scheduler._schedulers[-1])
    return math.inf


def _check(scheduler: Any, schedules: list[Schedule]) -> None:
    """Compare the schedules with the current rates and with the next steps of a copy."""
    optimizer = _optimizer(scheduler)
    now, last = _now(scheduler), _horizon(scheduler)
    groups = [dict(group, params=[torch.zeros(1)]) for group in optimizer.param_groups]
    double = torch.optim.SGD(groups, lr=0.0)
    double.defaults.update(optimizer.defaults)
    twin = copy.deepcopy(scheduler, {id(optimizer): double})
    for step in range(now, now + _CHECKED):
        if step > last:
            return
        for i, (group, schedule) in enumerate(zip(double.param_groups, schedules, strict=True)):
            rate, expected = float(group["lr"]), schedule(step)
            if not math.isclose(rate, expected, rel_tol=_RTOL, abs_tol=_ATOL * schedule(0)):
                raise ValueError(
                    f"from_torch(scheduler) must get a scheduler whose rates follow from its arguments, but group {i} "
                    f"has {rate!r} at step {step}, where {schedule!r} has {expected!r}: was the rate changed by hand?"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                twin.step()
            except (ValueError, ZeroDivisionError):
                return  # torch goes no further
