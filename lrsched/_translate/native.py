"""The schedules that Optax, Keras, torch and transformers have a name for, as calls in their own words."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from lrsched._curves import (
    Chain,
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Hold,
    InverseTime,
    Linear,
    Maximum,
    Minimum,
    Monomial,
    Polynomial,
    PowerLaw,
    Repeat,
    Schedule,
    Stretch,
    Triangular,
)
from lrsched._curves.equality import equality
from lrsched.compat import torch as recipes


def call(function: str, *arguments: Any, **named: Any) -> str:
    """Return the text of a call; named arguments that are None are left out."""
    texts = [item if isinstance(item, str) else repr(item) for item in arguments]
    texts += [f"{name}={item!r}".replace("'", '"') for name, item in named.items() if item is not None]
    return f"{function}({', '.join(texts)})"


def neat(number: float) -> float:
    """Return an int for a whole number."""
    return int(number) if number == int(number) else number


def parts(node: Schedule) -> tuple[Schedule, ...]:
    """Return the parts of a chain, or the schedule itself."""
    return node.parts if isinstance(node, Chain) else (node,)


def _stairs(node: Schedule) -> tuple[list[int], list[float]] | None:
    """Return boundaries and values of a chain of constants, or None."""
    levels = [part.value for part in parts(node) if isinstance(part, Constant)]
    return (list(node.starts[1:]), levels) if isinstance(node, Chain) and len(levels) == len(node.parts) else None


def _decay(node: Schedule, time: str) -> tuple[float, dict[str, Any]] | None:
    """Return start and named arguments of an exponential decay or its staircase, or None."""
    match node:
        case Exponential(start, rate, steps):
            return start, {time: neat(steps), "decay_rate": rate}
        case Epochs(Exponential(start, rate, 1.0), steps):
            return start, {time: steps, "decay_rate": rate, "staircase": True}
    return None


def _share(part: float, whole: float) -> float | None:
    """Return `part / whole`, or None for 0, which is the default everywhere."""
    short = float(f"{part / whole:.15g}")
    close = math.isclose(whole * short, part, rel_tol=4e-16)
    return (short if close else part / whole) if part else None


def optax(node: Schedule) -> str | None:
    """Return the call that builds the schedule in Optax, or None."""
    match node:
        case Constant(value):
            return call("optax.constant_schedule", value)
        case Linear(start, end, steps):
            return call("optax.linear_schedule", start, end, transition_steps=steps)
        case Polynomial(start, end, steps, power):
            return call("optax.polynomial_schedule", start, end, power=power, transition_steps=steps)
        case Cosine(start, end, steps) if start > 0.0:
            return call("optax.cosine_decay_schedule", start, decay_steps=steps, alpha=_share(end, start))
        case Maximum((decay, Constant(bound))) | Minimum((decay, Constant(bound))):
            return _optax_decay(decay, bound, falls=isinstance(node, Maximum))
        case Chain((Linear(start, peak, steps), decay)) if peak == decay(0) != 0.0:
            return _optax_warmup(decay, {"init_value": start, "peak_value": peak, "warmup_steps": steps})
        case Chain() if (stairs := _stairs(node)) and all(stairs[1][:-1]):
            boundaries, levels = stairs
            scales = {step: b / a for step, (a, b) in zip(boundaries, pairwise(levels), strict=True)}
            return call("optax.piecewise_constant_schedule", levels[0], boundaries_and_scales=scales)
        case Chain() if points := _optax_points(node):
            return points
    return _optax_decay(node)


def _optax_points(node: Chain) -> str | None:
    """Return the call for lines, or half waves, between points: each is a multiple of the one before."""
    pieces = node.parts
    kind = type(pieces[0])
    if kind not in (Linear, Cosine) or not all(isinstance(part, kind) for part in pieces):
        return None
    ramps = [(float(part(0)), float(part(part.length or 0)), part.length or 0) for part in pieces]
    if any(start <= 0.0 for start, _, _ in ramps) or any(a[1] != b[0] for a, b in pairwise(ramps)):
        return None
    ends = accumulate(length for _, _, length in ramps)
    scales = {place: end / start for place, (start, end, _) in zip(ends, ramps, strict=True)}
    text = "linear" if kind is Linear else "cosine"
    return call("optax.piecewise_interpolate_schedule", f'"{text}"', ramps[0][0], boundaries_and_scales=scales)


def _optax_decay(node: Schedule, bound: float | None = None, falls: bool | None = None) -> str | None:
    found = _decay(node, "transition_steps")
    if found is None or falls not in (None, found[1]["decay_rate"] < 1.0):
        return None
    return call("optax.exponential_decay", found[0], **found[1], end_value=bound)


def _optax_warmup(decay: Schedule, names: dict[str, float]) -> str | None:
    match decay:
        case Constant():
            return call("optax.warmup_constant_schedule", **names)
        case Cosine(_, end, steps):
            total = names["warmup_steps"] + steps
            return call("optax.warmup_cosine_decay_schedule", **names, decay_steps=total, end_value=end or None)
    found = _decay(decay, "transition_steps")
    return None if found is None else call("optax.warmup_exponential_decay_schedule", **names, **found[1])


_KERAS = "keras.optimizers.schedules."


def keras(node: Schedule) -> str | None:
    """Return the call that builds the schedule in Keras, or None."""
    match node:
        case Constant(value):
            return call(f"{_KERAS}ExponentialDecay", value, decay_steps=1, decay_rate=1.0)
        case Linear(start, end, steps) | Polynomial(start, end, steps):
            named = {"end_learning_rate": end, "power": getattr(node, "power", None)}
            return call(f"{_KERAS}PolynomialDecay", start, decay_steps=steps, **named)
        case Cosine(start, end, steps) if start > 0.0:
            return call(f"{_KERAS}CosineDecay", start, decay_steps=steps, alpha=_share(end, start))
        case InverseTime(start, rate, time):
            return call(f"{_KERAS}InverseTimeDecay", start, decay_steps=neat(time), decay_rate=rate)
        case Epochs(InverseTime(start, rate, 1.0), steps):
            return call(f"{_KERAS}InverseTimeDecay", start, decay_steps=steps, decay_rate=rate, staircase=True)
        # Keras finds longer and longer cycles by a logarithm in float32, which may miss a restart.
        case Repeat(Cosine(start, end, steps), None, 1.0, scale) if start > 0.0 and (scale == 1.0 or end == 0.0):
            named = {"m_mul": None if scale == 1.0 else scale, "alpha": _share(end, start)}
            return call(f"{_KERAS}CosineDecayRestarts", start, first_decay_steps=steps, t_mul=1.0, **named)
        case Chain((Linear(first, peak, warmup), Cosine(start, end, steps))) if 0.0 < peak == start:
            named = {"warmup_steps": warmup, "alpha": _share(end, start), "warmup_target": start}
            return call(f"{_KERAS}CosineDecay", first, decay_steps=steps, **named)
        case Chain((Linear(first, peak, warmup), Constant(value))) if 0.0 < peak == value:
            # What falls to the whole of its height stays.
            named = {"alpha": 1.0, "warmup_target": peak, "warmup_steps": warmup}
            return call(f"{_KERAS}CosineDecay", first, decay_steps=1, **named)
        case Chain() if stairs := _stairs(node):
            return call(f"{_KERAS}PiecewiseConstantDecay", [step - 1 for step in stairs[0]], values=stairs[1])
    found = _decay(node, "decay_steps")
    return None if found is None else call(f"{_KERAS}ExponentialDecay", found[0], **found[1])


def torch(node: Schedule, lr: float, last: bool = True) -> str | None:
    """Return the call that builds the scheduler in torch, for an optimizer of the rate `lr`, or None.

    Args:
        node: the schedule.
        lr: the rate, > 0.
        last: whether it goes on for ever; if not, what comes after its end is cut off.
    """
    if isinstance(node, Hold) and not last:
        node = node.schedule
    match node:
        case Constant(value) if value / lr == 1.0:
            return call("ConstantLR", "optimizer", factor=1.0)
        case Constant(value):
            return torch(Linear(value, value, 1), lr)
        # PyTorch multiplies from step to step: a factor next to zero would grow beyond all bounds.
        case Linear(start, end, steps) if 1e-200 * lr <= start <= lr and end <= lr:
            factors = {"start_factor": start / lr, "end_factor": end / lr}
            return call("LinearLR", "optimizer", **factors, total_iters=steps)
        case Linear(0.0, end, steps) if end == lr and not last:
            return call("LambdaLR", "optimizer", f"lambda step: step / {steps}")
        case Triangular(low, high, up, down) if last:
            sizes = {"step_size_up": up, "step_size_down": down, "cycle_momentum": False}
            return call("CyclicLR", "optimizer", base_lr=low, max_lr=high, **sizes)
        case _ if node(0) != lr:
            return None
        case Polynomial(_, 0.0, steps, power):
            return call("PolynomialLR", "optimizer", total_iters=steps, power=power)
        case Extend(Cosine(_, end, steps)):
            return call("CosineAnnealingLR", "optimizer", T_max=steps, eta_min=end or None)
        case Cosine(_, end, steps) if not last:
            return call("CosineAnnealingLR", "optimizer", T_max=steps, eta_min=end or None)
        case Exponential(_, rate, time):
            return call("ExponentialLR", "optimizer", gamma=rate if time == 1.0 else rate ** (1.0 / time))
        case Epochs(Exponential(_, rate, 1.0), steps):
            return call("StepLR", "optimizer", step_size=steps, gamma=rate)
        case Repeat(Cosine(_, end, steps), None, stretch, 1.0) if stretch % 1.0 == 0.0:
            named = {"T_mult": int(stretch) if stretch > 1.0 else None, "eta_min": end or None}
            return call("CosineAnnealingWarmRestarts", "optimizer", T_0=steps, **named)
    return None


def torch_cycle(node: Schedule, steps: int) -> tuple[str, float] | None:
    """Return the call of `OneCycleLR` for a run, and the rate of the optimizer, or None."""
    first, length = parts(node)[0], node.length
    core: Any = first
    pace = 1.0
    while isinstance(core, Stretch):
        core, pace = core.schedule, pace * core.factor
    if not isinstance(core, Linear | Cosine) or length is None or not 0.0 < core.start < core.end or steps > length + 1:
        return None
    total, low = length + 1, float(node(length))
    if not 0.0 < low < core.end:  # torch divides by the steps of the way down
        return None
    named: dict[str, Any] = {
        "max_lr": core.end,
        "total_steps": total,
        "pct_start": float(f"{(core.steps * pace + 1) / total:.14g}"),
        "anneal_strategy": "linear" if isinstance(core, Linear) else "cos",
        "div_factor": float(f"{core.end / core.start:.14g}"),
        "final_div_factor": float(f"{core.start / low:.14g}"),
    }
    for three in (False, True):
        try:
            found = recipes.OneCycleLR(**named, three_phase=three)
        except ValueError:
            continue
        if equality(found, node, total, rtol=0.0, atol=1e-12 * core.end).equal:
            given = {name: value for name, value in named.items() if value != _ONE_CYCLE.get(name)}
            return call("OneCycleLR", "optimizer", **given, three_phase=three or None, cycle_momentum=False), core.end
    return None


# Its defaults.
_ONE_CYCLE = {"pct_start": 0.3, "anneal_strategy": "cos", "div_factor": 25.0, "final_div_factor": 1e4}


def torch_stairs(node: Schedule) -> str | None:
    """Return the call of `MultiStepLR` for a chain of constants that fall by the same factor, or None."""
    stairs = _stairs(node)
    if stairs is None or not all(stairs[1][:-1]):
        return None
    boundaries, levels = stairs
    gamma = levels[1] / levels[0]
    if not all(math.isclose(b, a * gamma, rel_tol=1e-14) for a, b in pairwise(levels)):
        return None
    return call("MultiStepLR", "optimizer", milestones=boundaries, gamma=gamma)


def transformers(node: Schedule) -> tuple[str, float] | None:
    """Return the call that builds the scheduler in transformers and the rate of the optimizer, or None."""
    match parts(node):
        case (Linear(first, top, warmup), following, *more) if first < top:
            return _hf(warmup, first, [following, *more]) if top == following(0) else None
        case rest:
            return _hf(0, 0.0, rest)


def _hf(warmup: int, first: float, rest: Sequence[Schedule]) -> tuple[str, float] | None:
    lr = rest[0](0)
    if lr == 0.0:
        return None
    match rest:
        case (tail,):
            stable, found = 0, _hf_named(warmup, lr, tail) if first == 0.0 else None
            if found is not None:
                return found, lr
        case (Constant(_, int(stable)), tail):
            pass
        case _:
            return None
    shape: str | None = None  # a cosine is the default
    match tail:
        case Linear(start, end):
            shape = "linear"
        case Cosine(start, end):
            pass
        case Monomial(start, end, _, 0.5):
            shape = "1-sqrt"
        case _:
            return None
    # The warm-up of this one begins where its decay ends.
    if start != lr or (warmup and first != end):
        return None
    sizes = {"num_warmup_steps": warmup, "num_decay_steps": tail.steps, "num_stable_steps": stable}
    return call("get_wsd_schedule", "optimizer", **sizes, decay_type=shape, min_lr_ratio=_share(end, lr)), lr


def _hf_named(warmup: int, lr: float, tail: Schedule) -> str | None:
    name, named = "", dict[str, Any]()
    match tail:
        case Constant():
            function = "get_constant_schedule_with_warmup" if warmup else "get_constant_schedule"
            return call(function, "optimizer", num_warmup_steps=warmup or None)
        case PowerLaw(_, 0.5, timescale):
            return call("get_inverse_sqrt_schedule", "optimizer", num_warmup_steps=warmup, timescale=neat(timescale))
        case Extend(Cosine(_, 0.0, steps)):
            name = "cosine"
        case Extend(Cosine(_, end, steps)):
            name, named = "cosine_with_min_lr", {"min_lr_rate": _share(end, lr)}
        case Cosine(_, 0.0, steps):
            name = "cosine_with_hard_restarts"
        case Linear(_, 0.0, steps):
            name = "linear"
        case Linear(_, end, steps) | Polynomial(_, end, steps) if end < lr:
            name, named = "polynomial_decay", {"lr_end": end, "power": getattr(tail, "power", None)}
        case _:
            return None
    sizes = {"num_warmup_steps": warmup, "num_training_steps": warmup + steps}
    return call(f"get_{name}_schedule_with_warmup", "optimizer", **sizes, **named)
