"""Single schedulers of torch as schedules."""

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from torch.optim import lr_scheduler, swa_utils

from lrsched import Constant, Hold, Schedule, Stretch
from lrsched.compat import torch as recipes
from lrsched_torch._imports.legacy import annealing, has_own_scale, milestones, phase_ends
from lrsched_torch._imports.transformers import read_lambda
from lrsched_torch._imports.twin import RTOL
from lrsched_torch._scheduler.feedback import FeedbackLR
from lrsched_torch._scheduler.hooks import hooked
from lrsched_torch._scheduler.scheduler import ScheduleLR

# The smallest parts of a step in which the sizes of a cycle are given.
_PARTS = 1000


def rate_of(scheduler: Any, i: int) -> float:
    """Return the rate that group i had when the scheduler was built."""
    return float(scheduler.base_lrs[i])


def _own(scheduler: ScheduleLR, i: int) -> Schedule:
    if scheduler.field != "lr":
        raise ValueError(f"from_torch(scheduler) must get a ScheduleLR of the field 'lr', got {scheduler.field!r}")
    scheduler._follow()
    schedule = scheduler._plan[i]
    if schedule is None:
        return Constant(float(scheduler.optimizer.param_groups[i]["lr"]))
    schedule = scheduler._first(i) * schedule if scheduler.relative else schedule
    return scheduler.factor * schedule if isinstance(scheduler, FeedbackLR) and scheduler.factor != 1.0 else schedule


def schedules_of(optimizer: Any) -> list[Schedule | None]:
    """Return the schedule that each group of a `RuleOptimizer` follows by itself; of another optimizer none."""
    return list(getattr(hooked(optimizer), "_schedules", ())) or [None] * len(optimizer.param_groups)


# Under which names schedulers keep their arguments; the first is the time that they take.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "StepLR": ("step_size", "gamma"),
    "ConstantLR": ("total_iters", "factor"),
    "LinearLR": ("total_iters", "start_factor", "end_factor"),
    "PolynomialLR": ("total_iters", "power"),
    "CosineAnnealingLR": ("T_max", "eta_min"),
    "CosineAnnealingWarmRestarts": ("T_0", "T_mult", "eta_min"),
}


def _plain(scheduler: Any, i: int) -> Schedule:
    """Read a scheduler that keeps its arguments under their own names."""
    return _timed(scheduler, rate_of(scheduler, i))


def _timed(scheduler: Any, lr: float) -> Schedule:
    """Read a scheduler of a first rate, whose time torch takes as any number."""
    name = type(scheduler).__name__
    time, *rest = ARGUMENTS[name]
    arguments = {attribute: getattr(scheduler, attribute) for attribute in rest}
    build: Callable[..., Schedule] = functools.partial(getattr(recipes, name), lr, **arguments)
    length = getattr(scheduler, time)
    whole = math.ceil(length)
    if name == "StepLR":
        # A multiple of the size that is a step is one of this many steps.
        return build(**{time: Fraction(length).numerator})
    if name == "ConstantLR" and (whole != length or scheduler.factor == 0.0):
        return Constant(lr * scheduler.factor)  # the step that divides by the factor never comes, or stops torch
    if whole == length:
        return build(**{time: whole})
    stretched = Stretch(build(**{time: whole}), length / whole)
    if name == "CosineAnnealingLR":
        return stretched
    # The last step on the way is the last that moves.
    return Hold(stretched, whole - 1) if whole > 1 else Constant(stretched(0))


def _multi_step(scheduler: Any, i: int) -> Schedule:
    return recipes.MultiStepLR(rate_of(scheduler, i), milestones(scheduler), scheduler.gamma)


def _cyclic(scheduler: Any, i: int) -> Schedule:
    return _triangles(scheduler, rate_of(scheduler, i), float(scheduler.max_lrs[i]))


def _triangles(scheduler: Any, start: float, turn: float) -> Schedule:
    if has_own_scale(scheduler):
        raise ValueError("from_torch(scheduler) must get a CyclicLR without scale_fn, for a function is no value")
    up = Fraction(scheduler.total_size * scheduler.step_ratio).limit_denominator(_PARTS)
    down = Fraction(scheduler.total_size - float(up)).limit_denominator(_PARTS)
    if float(up + down) != scheduler.total_size or float(up) / scheduler.total_size != scheduler.step_ratio:
        raise ValueError(
            "from_torch(scheduler) must get a CyclicLR whose step_size_up and step_size_down are fractions with a "
            f"denominator of at most {_PARTS}, got {float(up)!r} and {float(down)!r}"
        )
    parts = math.lcm(up.denominator, down.denominator)
    sizes = int(up * parts), int(down * parts)
    gamma = scheduler.gamma if parts == 1 else scheduler.gamma ** (1.0 / parts)
    cycle = recipes.CyclicLR(start, turn, *sizes, scheduler.mode, gamma)
    return cycle if parts == 1 else Stretch(cycle, 1.0 / parts)


def _one_cycle(scheduler: Any, i: int) -> Schedule:
    return _phases(scheduler, i, "initial_lr", "max_lr", "min_lr")


def _phases(scheduler: Any, i: int, *keys: str) -> Schedule:
    group = scheduler.optimizer.param_groups[i]
    first, top, last = (float(group[key]) for key in keys)
    return recipes.one_cycle(first, top, last, scheduler.total_steps, phase_ends(scheduler), annealing(scheduler))


def momentum_cycle(scheduler: Any, i: int) -> Schedule:
    """Return the momentum that a scheduler cycles."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return _phases(scheduler, i, "max_momentum", "base_momentum", "max_momentum")
    return _triangles(scheduler, float(scheduler.max_momentums[i]), float(scheduler.base_momentums[i]))


def read_swa(scheduler: Any, i: int, start: float | None = None) -> Schedule:
    group = scheduler.optimizer.param_groups[i]
    end, now = float(group["swa_lr"]), float(group["lr"])

    def build(lr: float, swa_lr: float = end) -> Schedule:
        return recipes.SWALR(lr, swa_lr, scheduler.anneal_epochs, scheduler._anneal_strategy)

    if start is not None:
        return build(start)
    schedule, step = build(rate_of(scheduler, i)), scheduler.last_epoch
    if math.isclose(schedule(step), now, rel_tol=RTOL):
        return schedule
    # It began after another scheduler, with another rate than the optimizer: what is left of that rate tells.
    part = build(1.0, 0.0)(step)
    return build((now - (1.0 - part) * end) / part) if part > 0.0 else schedule


def read_product(scheduler: Any, i: int, lr: float, again: bool = False) -> Schedule:
    """Read a scheduler that multiplies the rate it finds; `again` by the factor of its step 0 too."""
    factor = scheduler.lr_lambdas[i]
    return recipes.MultiplicativeLR(lr * factor(0) if again else lr, factor)


# These take a step at update 0, and not only their first value, where they are not the very part that begins.
_AGAIN = (
    lr_scheduler.MultiplicativeLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.CosineAnnealingLR,
)


def _again(scheduler: Any, i: int) -> Schedule:
    """Read a scheduler that has taken the step from -1 to 0."""
    lr = rate_of(scheduler, i)
    if isinstance(scheduler, lr_scheduler.MultiplicativeLR):
        return read_product(scheduler, i, lr, again=True)
    if isinstance(scheduler, lr_scheduler.ExponentialLR):
        return recipes.ExponentialLR(lr * scheduler.gamma, scheduler.gamma)
    if isinstance(scheduler, lr_scheduler.PolynomialLR):
        steps = scheduler.total_iters
        return _timed(scheduler, lr * (steps / (steps + 1)) ** scheduler.power)
    low = scheduler.eta_min
    growth = 2.0 / (1.0 + math.cos(math.pi / scheduler.T_max))
    return _timed(scheduler, (lr - low) * growth + low)


_READERS: dict[type, Callable[[Any, int], Schedule]] = {
    ScheduleLR: _own,
    FeedbackLR: _own,
    lr_scheduler.LambdaLR: lambda scheduler, i: read_lambda(scheduler.lr_lambdas[i], rate_of(scheduler, i)),
    lr_scheduler.MultiplicativeLR: lambda scheduler, i: read_product(scheduler, i, rate_of(scheduler, i)),
    lr_scheduler.StepLR: _plain,
    lr_scheduler.MultiStepLR: _multi_step,
    lr_scheduler.ConstantLR: _plain,
    lr_scheduler.LinearLR: _plain,
    lr_scheduler.ExponentialLR: lambda scheduler, i: recipes.ExponentialLR(rate_of(scheduler, i), scheduler.gamma),
    lr_scheduler.PolynomialLR: _plain,
    lr_scheduler.CosineAnnealingLR: _plain,
    lr_scheduler.CosineAnnealingWarmRestarts: _plain,
    lr_scheduler.CyclicLR: _cyclic,
    lr_scheduler.OneCycleLR: _one_cycle,
    swa_utils.SWALR: read_swa,
}


def read_leaf(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    """Read a scheduler that the sequences around it have made to step `ahead` times before the first update."""
    if ahead and type(scheduler) is swa_utils.SWALR:
        raise ValueError("from_torch(scheduler) must get a SWALR in a sequence that stands in no other one first")
    if ahead and type(scheduler) in _AGAIN:
        return _again(scheduler, i)
    read = _READERS.get(type(scheduler))
    if read is not None:
        return read(scheduler, i)
    refuse_feedback(scheduler)
    name = type(scheduler).__name__
    raise TypeError(f"from_torch(scheduler) must get a scheduler of torch, transformers or ignite, got a {name}")


def refuse_feedback(scheduler: Any) -> None:
    """Raise an error if a scheduler answers a metric."""
    name = type(scheduler).__name__
    if name in ("ReduceLROnPlateau", "GreedyLR"):
        raise ValueError(f"from_torch(scheduler) must get a function of the step, got a {name}: use lrsched.feedback")
