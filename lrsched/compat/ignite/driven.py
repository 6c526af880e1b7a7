"""A scheduler of torch as pytorch-ignite drives it: asked for its next values, never stepped."""

import math
from functools import partial
from typing import Any

from lrsched._core.check import Choice, Flag
from lrsched._curves.schedule import Constant, Node, Schedule
from lrsched.compat import torch as recipes
from lrsched.compat._tools.arguments import Count, OnOff, RateOrNone, checked, must, without_effect
from lrsched.compat._tools.pieces import late, then

# They multiply the rate that they find by a factor of the step alone.
_FACTORS = ("ConstantLR", "LinearLR", "MultiStepLR", "PolynomialLR", "StepLR")
_NAMES = (
    *_FACTORS,
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "OneCycleLR",
    "SWALR",
)


@checked
def LRScheduler(
    lr_scheduler: str | Schedule,
    use_legacy: OnOff = False,
    found: RateOrNone = None,
    taken: Count = 0,
    **arguments: Any,
) -> Schedule:
    """A scheduler of torch that the wrapper of ignite drives, with what its repeated first step does.

    Building a scheduler of torch is its first step; ignite then asks it for the values of the same step again. Those
    that count or know their curve (`StepLR`, `OneCycleLR`, `CyclicLR`, `LambdaLR`) are left as they are. `ConstantLR`
    and `LinearLR` take their first factor twice, `ExponentialLR` and `PolynomialLR` run one step ahead, and so do
    `CosineAnnealingWarmRestarts`; `CosineAnnealingLR` begins above its rate and is itself from event 1 on; `SWALR`,
    which counts the steps that it takes itself, stays where it is.

    Args:
        lr_scheduler: the name of the scheduler, such as "ExponentialLR"; or a schedule, for a `LambdaLR`.
        use_legacy: whether ignite calls it after each update (`ITERATION_COMPLETED`): then the curve is that of torch.
        found: rate that the optimizer has when it begins, for one that follows another schedule; None is as it leaves
            the optimizer when built.
        taken: steps that it has taken before ignite gets it.
        **arguments: those of `lrsched.compat.torch`, with `lr`; and `save_history`, without effect.

    Raises:
        ValueError: ignite stops at the scheduler, or its values are negative.

    Examples:
        >>> LRScheduler("ExponentialLR", lr=0.5, gamma=0.5)(0)
        0.25
        >>> LRScheduler("LinearLR", lr=0.5, start_factor=0.25, total_iters=10)
        Linear(0.03125, 0.125, steps=10)

    References:
        pytorch-ignite 0.5.5, handlers/param_scheduler.py, LRScheduler.
    """
    Flag()("LRScheduler(save_history=...)", arguments.pop("save_history", False))
    if isinstance(lr_scheduler, Schedule):
        without_effect("LRScheduler", arguments, ())
        curve = Node()("LRScheduler(lr_scheduler=...)", lr_scheduler)
        return _begun(curve, late(curve, taken + use_legacy), use_legacy, found, taken)
    name = Choice(_NAMES)("LRScheduler(lr_scheduler=...)", lr_scheduler)
    build = partial(getattr(recipes, name), **arguments)
    curve = build()
    rate = curve(taken) if found is None else found
    if name == "ExponentialLR":
        lr = rate if use_legacy else rate * arguments["gamma"]
        return recipes.ExponentialLR(lr, arguments["gamma"])
    if name in _FACTORS:
        return _multiplied(name, build, curve, use_legacy, rate, taken)
    if name == "SWALR":
        must(taken == 0, "LRScheduler(taken=...)", "0 for SWALR, which counts its steps itself", taken)
        end = curve(10) if arguments.get("anneal_epochs", 10) == 0 else rate
        return then(1, Constant(rate), Constant(end)) if use_legacy and rate != end else Constant(end)
    if name == "CosineAnnealingLR":
        events = _cosine(build, curve, use_legacy, rate, taken)
    else:
        events = late(curve, taken + (use_legacy or name == "CosineAnnealingWarmRestarts"))
    return _begun(curve, events, use_legacy, rate, taken)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-12)


def _begun(curve: Schedule, events: Schedule, use_legacy: bool, found: float | None, taken: int) -> Schedule:
    """Return the values of the events, after that of the update before them if they come after updates."""
    if not use_legacy:
        return events
    if (found is None or _same(found, curve(taken))) and events == late(curve, taken + 1):
        return late(curve, taken)
    return Constant(curve(taken) if found is None else found, 1) >> events


def _multiplied(
    name: str, build: "partial[Schedule]", curve: Schedule, use_legacy: bool, rate: float, taken: int
) -> Schedule:
    first = taken + use_legacy  # the step whose factor event 0 takes
    if rate == 0.0:
        return Constant(0.0)
    if first:
        before = build(lr=1.0)(first - 1)
        must(before > 0.0, "LRScheduler(found=...)", f"0, as {name} is at step {first - 1}", rate)
    elif name == "PolynomialLR":
        steps = build.keywords.get("total_iters", 5)
        must(steps > 0, "LRScheduler(total_iters=...)", "an int >= 1, or torch divides by zero", steps)
        before = ((steps + 1) / steps) ** build.keywords.get("power", 1.0)
    else:
        before = 1.0
    own = use_legacy and _same(rate, curve(taken))
    return late(curve if own else build(lr=rate / before), taken)


def _cosine(build: "partial[Schedule]", curve: Schedule, use_legacy: bool, rate: float, taken: int) -> Schedule:
    lr, half, low = build.keywords["lr"], build.keywords["T_max"], build.keywords.get("eta_min", 0.0)
    first = taken + use_legacy
    turned = (first - 1 - half) % (2 * half) == 0
    if turned:
        value = rate + (lr - low) * (1.0 - math.cos(math.pi / half)) / 2
    else:
        ratio = (1.0 + math.cos(math.pi * first / half)) / (1.0 + math.cos(math.pi * (first - 1) / half))
        value = low + (rate - low) * ratio
    if taken == 0:
        # Having taken no step itself it has a closed form, save at step 0.
        if use_legacy:
            return late(curve, 1)
        must(value >= 0.0, "LRScheduler(eta_min=...)", "small enough for a first value >= 0", low)
        return Constant(value, 1) >> late(curve, 1)
    at_low = first % (2 * half) == half
    if at_low or _same(value, curve(first)):
        return late(curve, first)
    # Its swing differs by a factor until it comes to the bottom, where torch starts again from the rate.
    swing = (value - low) / ((1.0 + math.cos(math.pi * first / half)) / 2)
    bottom = (first // half | 1) * half
    if bottom < first:
        bottom += 2 * half
    return then(bottom - first, late(build(lr=low + swing), first), late(curve, bottom))
