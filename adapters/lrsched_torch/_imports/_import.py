"""Live torch schedulers as schedules."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any, Literal, overload

import torch
from torch.optim import lr_scheduler, swa_utils

from lrsched import Constant, Hold, Product, Schedule, Shift
from lrsched.compat import torch as recipes
from lrsched_torch._imports._ignite import is_handler, read_handler, torchs_of
from lrsched_torch._imports._legacy import annealing, has_own_scale, milestones, phase_ends
from lrsched_torch._imports._momentum import cycles_momentum, field_of, momentum_of, read_momentum
from lrsched_torch._imports._transformers import read_lambda
from lrsched_torch._scheduler import ScheduleLR

# Steps of the copy that the check takes, and what torch's own rounding may come to in a long run.
_CHECKED = 256
_RTOL, _ATOL = 1e-5, 1e-7


@overload
def from_torch(scheduler: Any, *, momentum: Literal[False] | None = None) -> list[Schedule]: ...
@overload
def from_torch(scheduler: Any, *, momentum: Literal[True]) -> tuple[list[Schedule], list[Schedule]]: ...
def from_torch(
    scheduler: Any, *, momentum: bool | None = None
) -> list[Schedule] | tuple[list[Schedule], list[Schedule]]:
    """The schedules that a torch scheduler follows, one for each parameter group.

    The step of these schedules is the scheduler's `last_epoch`: they describe the whole run, however many steps it has
    taken. All schedulers of torch that are functions of the step are known, nested ones too, and all that
    `transformers` builds. The result is checked against the rates in the optimizer and against a copy of the scheduler,
    which takes the next steps; neither the scheduler nor the optimizer is touched. Where torch itself leaves the curve
    after the end (`OneCycleLR`, `ChainedScheduler` with a cosine), see that function of `lrsched.compat.torch`.

    Composites are read as torch runs them. In a `ChainedScheduler` a part of a `SequentialLR` that begins sets the rate
    and so takes away what the schedulers before it did (all are expected to have been built in their order). Where
    torch stops with an error, at a later part of a `SequentialLR` that is itself a composite, the rest is what was
    meant.

    `OneCycleLR` and `CyclicLR` cycle the momentum too unless told otherwise: `momentum=True` gives both lists. Momentum
    is that entry of a group, or its first beta; `ScheduleLR(..., field="momentum")` or `field="betas[0]"` drives it.

    States that older versions of torch have saved are read as they meant them.

    A handler of pytorch-ignite is read as attached to `Events.ITERATION_STARTED`, or with `use_legacy` to
    `ITERATION_COMPLETED`: step t is its event t, and what its `LRScheduler` makes of the first step is included. A
    group that it does not drive keeps the rate that it has. Fields other than "lr" are refused.

    Args:
        scheduler: an object of `torch.optim.lr_scheduler`, of `torch.optim.swa_utils`, of
            `ignite.handlers.param_scheduler`, or a `ScheduleLR`.
        momentum: whether the momenta are wanted too; None stands for no, with a warning if the scheduler cycles them.

    Returns:
        The schedules, equal (`==`) to those that `lrsched.compat` builds from the scheduler's arguments; with
        `momentum=True` a pair, the schedules of the rates and those of the momenta.

    Raises:
        TypeError: the object is no torch scheduler, or of a class not known.
        ValueError: it calls a Python function, depends on a metric, or does not follow from its arguments, as after a
            rate was changed by hand; or the momenta are wanted of one that does not cycle them.

    Warns:
        UserWarning: it cycles the momentum, and `momentum` is None.

    Examples:
        >>> import torch
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> from_torch(torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=100))
        [Extend(Cosine(0.1, 0.0, steps=100))]

        All that `OneCycleLR` does, by two schedulers:

        >>> live = torch.optim.lr_scheduler.OneCycleLR(torch.optim.SGD([torch.zeros(1)], momentum=0.9), 0.1, 100)
        >>> rates, momenta = from_torch(live, momentum=True)
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
        >>> both = [ScheduleLR(sgd, rates), ScheduleLR(sgd, momenta, field="momentum")]
        >>> for _ in range(29):
        ...     sgd.step()
        ...     for scheduler in both:
        ...         scheduler.step()
        >>> sgd.param_groups[0]["lr"], sgd.param_groups[0]["momentum"]
        (0.1, 0.85)
    """
    if is_handler(scheduler):
        if momentum:
            raise ValueError(
                "from_torch(scheduler, momentum=True) must get a scheduler of torch, got a handler of ignite"
            )
        schedules = read_handler(scheduler, _read)
        driven = [part for part in torchs_of(scheduler) if cycles_momentum(part)]
        if driven and momentum is None:
            _warn_of_momentum(field_of(driven[0].optimizer))
        return schedules
    groups = range(len(_optimizer(scheduler).param_groups))
    schedules = [_read(scheduler, i) for i in groups]
    cycles = cycles_momentum(scheduler)
    if momentum and not cycles:
        raise ValueError(
            "from_torch(scheduler, momentum=True) must get a scheduler that cycles the momentum, a OneCycleLR or "
            f"CyclicLR or one that holds it, got a {type(scheduler).__name__}"
        )
    momenta = [read_momentum(scheduler, i, _starts, _momentum_cycle) for i in groups] if momentum else []
    _check(scheduler, schedules, momenta)
    if momentum:
        return schedules, momenta
    if cycles and momentum is None:
        _warn_of_momentum(field_of(_optimizer(scheduler)))
    return schedules


def _warn_of_momentum(field: str) -> None:
    warnings.warn(
        "from_torch(scheduler) gives the rates alone, but this scheduler cycles the momentum too: write "
        "rates, momenta = from_torch(scheduler, momentum=True) and drive both, the momenta by "
        f"ScheduleLR(optimizer, momenta, field={field!r}); momentum=False says that none are wanted",
        UserWarning,
        stacklevel=3,
    )


def _optimizer(scheduler: Any) -> torch.optim.Optimizer:
    optimizer = getattr(scheduler, "optimizer", None)
    if optimizer is None and hasattr(scheduler, "_schedulers"):  # a SequentialLR of torch 1.10 has none
        optimizer = getattr(_leaves(scheduler)[0], "optimizer", None)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"from_torch(scheduler) must get a torch scheduler, got {scheduler!r}")
    return optimizer


def _read(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    """Read a scheduler that the sequences around it have made to step `ahead` times before the first update."""
    if type(scheduler) is lr_scheduler.SequentialLR:
        return _sequential(scheduler, i, ahead)
    if type(scheduler) is lr_scheduler.ChainedScheduler:
        return _chained(scheduler, i, ahead)
    if ahead and type(scheduler) in _AGAIN:
        return _again(scheduler, i)
    read = _READERS.get(type(scheduler))
    if read is not None:
        return read(scheduler, i)
    name = type(scheduler).__name__
    if name in ("ReduceLROnPlateau", "GreedyLR"):
        raise ValueError(f"from_torch(scheduler) must get a function of the step, got a {name}: use lrsched.feedback")
    raise TypeError(f"from_torch(scheduler) must get a scheduler of torch, transformers or ignite, got a {name}")


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
    return recipes.MultiStepLR(_rate(scheduler, i), milestones(scheduler), scheduler.gamma)


def _cyclic(scheduler: Any, i: int) -> Schedule:
    return _triangles(scheduler, _rate(scheduler, i), float(scheduler.max_lrs[i]))


def _triangles(scheduler: Any, start: float, turn: float) -> Schedule:
    if has_own_scale(scheduler):
        raise ValueError("from_torch(scheduler) must get a CyclicLR without scale_fn, for a function is no value")
    up = round(scheduler.total_size * scheduler.step_ratio)
    down = round(scheduler.total_size - up)
    if float(up + down) != scheduler.total_size or up / scheduler.total_size != scheduler.step_ratio:
        raise ValueError("from_torch(scheduler) must get a CyclicLR with whole step_size_up and step_size_down")
    return recipes.CyclicLR(start, turn, up, down, scheduler.mode, scheduler.gamma)


def _one_cycle(scheduler: Any, i: int) -> Schedule:
    return _phases(scheduler, i, "initial_lr", "max_lr", "min_lr")


def _phases(scheduler: Any, i: int, *keys: str) -> Schedule:
    group = scheduler.optimizer.param_groups[i]
    first, top, last = (float(group[key]) for key in keys)
    return recipes.one_cycle(first, top, last, scheduler.total_steps, phase_ends(scheduler), annealing(scheduler))


def _momentum_cycle(scheduler: Any, i: int) -> Schedule:
    """Return the momentum that a scheduler cycles."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return _phases(scheduler, i, "max_momentum", "base_momentum", "max_momentum")
    return _triangles(scheduler, float(scheduler.max_momentums[i]), float(scheduler.base_momentums[i]))


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


# These take a step at update 0, and not only their first value, where they are not the very part that begins.
_AGAIN = (lr_scheduler.ExponentialLR, lr_scheduler.PolynomialLR, lr_scheduler.CosineAnnealingLR)


def _again(scheduler: Any, i: int) -> Schedule:
    """Read a scheduler that has taken the step from -1 to 0."""
    lr = _rate(scheduler, i)
    if isinstance(scheduler, lr_scheduler.ExponentialLR):
        return recipes.ExponentialLR(lr * scheduler.gamma, scheduler.gamma)
    if isinstance(scheduler, lr_scheduler.PolynomialLR):
        steps = scheduler.total_iters
        return recipes.PolynomialLR(lr * (steps / (steps + 1)) ** scheduler.power, steps, scheduler.power)
    low = scheduler.eta_min
    growth = 2.0 / (1.0 + math.cos(math.pi / scheduler.T_max))
    return recipes.CosineAnnealingLR((lr - low) * growth + low, scheduler.T_max, low)


def _starts(scheduler: Any, ahead: int) -> list[int]:
    """Return the steps at which the parts of a sequence begin; one that has stepped ahead is that much earlier."""
    return [max(step - ahead, 0) for step in scheduler._milestones]


def _sequential(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    """Read a sequence; it lets its first part, and what that consists of, take one step more before update 0."""
    children, begins = scheduler._schedulers, _starts(scheduler, ahead)
    parts = [_read(children[0], i, ahead + _nested(children[0]))]
    for child, milestone in zip(children[1:], begins, strict=True):
        if type(child) is swa_utils.SWALR:
            before = recipes.SequentialLR(parts, begins[: len(parts) - 1])
            parts.append(_swa(child, i, before(max(milestone - 1, 0))))
        else:
            parts.append(_read(child, i))
    return recipes.SequentialLR(parts, begins)


def _nested(scheduler: Any) -> bool:
    return hasattr(scheduler, "_schedulers")


def _leaves(scheduler: Any) -> list[Any]:
    """Return the schedulers that a scheduler consists of."""
    return [leaf for part in getattr(scheduler, "_schedulers", ()) for leaf in _leaves(part)] or [scheduler]


def _flat(scheduler: Any) -> list[Any]:
    """Return the parts of a product, those of a product in it included."""
    if type(scheduler) is not lr_scheduler.ChainedScheduler:
        return [scheduler]
    return [inner for part in scheduler._schedulers for inner in _flat(part)]


def _chained(scheduler: Any, i: int, ahead: int = 0) -> Schedule:
    children = _flat(scheduler)
    parts = [_read(child, i, ahead) for child in children]
    if len(children) == 1:
        return parts[0]
    lr = _rate(_leaves(scheduler)[0], i)
    resets = [(step, k) for k, child in enumerate(children) for step in _resets(child, ahead)]
    if not resets:
        return recipes.ChainedScheduler(parts, lr)
    for leaf in _leaves(scheduler):
        name = type(leaf).__name__ + (" with eta_min" if getattr(leaf, "eta_min", None) else "")
        if type(leaf) not in _MULTIPLY or name.endswith("eta_min"):
            raise ValueError(f"from_torch(scheduler) must get schedulers that multiply beside a sequence, got a {name}")
    begun = dict(sorted(resets))
    if 0 not in begun:
        begun = {0: -1, **begun}
    pieces: list[Schedule] = []
    steps = [*begun, None]
    for (start, k), end in zip(begun.items(), steps[1:], strict=True):
        # What comes after the part that begins takes its step, what comes before starts again from there.
        then = [lr if j > k and start == 0 else part(start - (j > k)) for j, part in enumerate(parts) if j != k]
        if 0.0 in then:
            raise ValueError(
                f"from_torch(scheduler) must get a product that is not 0 at step {start}, where it goes on"
            )
        scale = lr / math.prod(then) if k < 0 else 1.0 / math.prod(then)
        piece = Product((*parts, Constant(scale)))
        local = Shift(piece, start) if start else piece
        # After its turn torch lets a cosine grow by adding, so here the curve ends.
        turn = min(_turn(child, ahead) for child in children) if end is None else math.inf
        if start < turn < math.inf:
            end = int(turn)
        pieces.append(local if end is None else Hold(local, end - start))
    return pieces[0] if len(pieces) == 1 else Schedule.sequence(pieces)


def _resets(scheduler: Any, ahead: int) -> list[int]:
    """Return the steps at which a part of a product sets the rate instead of multiplying it."""
    if type(scheduler) is lr_scheduler.ChainedScheduler:
        return [step for part in scheduler._schedulers for step in _resets(part, ahead)]
    if type(scheduler) is not lr_scheduler.SequentialLR:
        return []
    begins = _starts(scheduler, ahead)
    end = begins[0] if begins else math.inf
    inner = [step for step in _resets(scheduler._schedulers[0], ahead + 1) if step < end]
    # Building a sequence sets the rate to its first value.
    return sorted({*begins, *inner, *([] if ahead else [0])})


_READERS: dict[type, Callable[[Any, int], Schedule]] = {
    ScheduleLR: _own,
    lr_scheduler.LambdaLR: lambda scheduler, i: read_lambda(scheduler.lr_lambdas[i], _rate(scheduler, i)),
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
    swa_utils.SWALR: _swa,
}


_MULTIPLY = (
    lr_scheduler.StepLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.LinearLR,
    lr_scheduler.ExponentialLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.CosineAnnealingLR,
)


def _now(scheduler: Any) -> int:
    """Return the number of the update that the current rates are for."""
    while isinstance(scheduler, lr_scheduler.ChainedScheduler):
        scheduler = scheduler._schedulers[0]
    return int(scheduler.last_epoch)


def _horizon(scheduler: Any) -> float:
    """Return the last step at which torch is still on the curve."""
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        return scheduler.total_steps - 1
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        children = _flat(scheduler)
        return _horizon(children[0]) if len(children) == 1 else min(map(_turn, children))
    if isinstance(scheduler, lr_scheduler.SequentialLR):
        return _first_end(scheduler, 0, lambda part, ahead: _turn(part, ahead) if _nested(part) else _horizon(part))
    return math.inf


def _first_end(scheduler: Any, ahead: int, end_of: Callable[[Any, int], float]) -> float:
    """Return the first step at which a part of a sequence comes to its own end before the next takes over."""
    starts = [0, *_starts(scheduler, ahead), math.inf]
    first = ahead + _nested(scheduler._schedulers[0])
    ends = [
        start + end_of(part, 0 if i else first)
        for i, (start, part) in enumerate(zip(starts, scheduler._schedulers, strict=False))
    ]
    return min((end for end, until in zip(ends, starts[1:], strict=True) if end < until), default=math.inf)


def _turn(scheduler: Any, ahead: int = 0) -> float:
    """Return the step at which a cosine in a composite comes to its end, from where torch goes on by adding.

    Sequences reach their milestones earlier for each step ahead, a cosine takes that step as its first one.
    """
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        return min(_turn(part, ahead) for part in scheduler._schedulers)
    if isinstance(scheduler, lr_scheduler.CosineAnnealingLR):
        return float(scheduler.T_max)
    return _first_end(scheduler, ahead, _turn) if isinstance(scheduler, lr_scheduler.SequentialLR) else math.inf


def _check(scheduler: Any, schedules: list[Schedule], momenta: list[Schedule]) -> None:
    """Compare the schedules with the current rates and momenta and with the next steps of a copy."""
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
            most = max(schedule(0), float(group.get("initial_lr", 0.0)))
            if not math.isclose(rate, expected, rel_tol=_RTOL, abs_tol=_ATOL * most):
                raise ValueError(
                    f"from_torch(scheduler) must get a scheduler whose rates follow from its arguments, but group {i} "
                    f"has {rate!r} at step {step}, where {schedule!r} has {expected!r}: was the rate changed by hand?"
                )
        for i, (group, schedule) in enumerate(zip(double.param_groups, momenta, strict=False)):
            found, expected = momentum_of(group), schedule(step)
            if not math.isclose(found, expected, rel_tol=_RTOL, abs_tol=_ATOL):
                raise ValueError(
                    f"from_torch(scheduler, momentum=True) must get a scheduler whose momenta follow from its "
                    f"arguments, but group {i} has {found!r} at step {step}, where {schedule!r} has {expected!r}"
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                twin.step()
            except (AttributeError, IndexError, NotImplementedError, ValueError, ZeroDivisionError):
                return  # torch goes no further; it does not step what its oldest versions have saved
