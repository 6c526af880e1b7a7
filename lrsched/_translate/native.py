"""The schedules that Optax, Keras, torch and transformers have a name for, as calls in their own words."""

import math
from itertools import pairwise
from typing import Any

from lrsched._curves.combine import Maximum, Minimum
from lrsched._curves.cycles import Repeat, Triangular
from lrsched._curves.decays import Exponential, InverseTime, PowerLaw
from lrsched._curves.modifiers import Epochs, Extend, Hold
from lrsched._curves.ramps import Cosine, Linear, Monomial, Polynomial
from lrsched._curves.schedule import Chain, Constant, Schedule


def call(function: str, *arguments: Any, **named: Any) -> str:
    """Return the text of a call; named arguments that are None are left out."""
    texts = [item if isinstance(item, str) else repr(item) for item in arguments]
    texts += [f"{name}={item!r}".replace("'", '"') for name, item in named.items() if item is not None]
    return f"{function}({', '.join(texts)})"


def _steps(steps: float) -> float:
    return int(steps) if steps == int(steps) else steps


def parts(node: Schedule) -> tuple[Schedule, ...]:
    """Return the parts of a chain, or the schedule itself."""
    return node.parts if isinstance(node, Chain) else (node,)


def _stairs(node: Schedule) -> tuple[list[int], list[float]] | None:
    """Return boundaries and values of a chain of constants, or None."""
    levels = [part.value for part in parts(node) if isinstance(part, Constant)]
    if not isinstance(node, Chain) or len(levels) < len(node.parts):
        return None
    return list(node.starts[1:]), levels


def _decay(node: Schedule) -> tuple[Exponential, float, bool] | None:
    """Return an exponential decay, its time and whether it is a staircase, or None."""
    if isinstance(node, Exponential):
        return node, node.steps, False
    if isinstance(node, Epochs) and isinstance(node.schedule, Exponential) and node.schedule.steps == 1.0:
        return node.schedule, node.steps_per_epoch, True
    return None


def _share(part: float, whole: float) -> float | None:
    """Return `part / whole`, or None for 0, which is the default everywhere."""
    return part / whole if part else None


def optax(node: Schedule) -> str | None:
    """Return the call that builds the schedule in Optax, or None."""
    if isinstance(node, Constant):
        return call("optax.constant_schedule", node.value)
    if isinstance(node, Linear):
        return call("optax.linear_schedule", node.start, node.end, transition_steps=node.steps)
    if isinstance(node, Polynomial):
        return call("optax.polynomial_schedule", node.start, node.end, power=node.power, transition_steps=node.steps)
    if isinstance(node, Cosine) and node.start > 0.0:
        alpha = _share(node.end, node.start)
        return call("optax.cosine_decay_schedule", node.start, decay_steps=node.steps, alpha=alpha)
    bound = None
    if isinstance(node, Maximum | Minimum) and len(node.parts) == 2 and isinstance(node.parts[1], Constant):
        inner = _decay(node.parts[0])
        if inner is None or isinstance(node, Maximum) != (inner[0].rate < 1.0):
            return None
        bound, node = node.parts[1].value, node.parts[0]
    found = _decay(node)
    if found is not None:
        return call("optax.exponential_decay", found[0].start, **_optax_decay(*found), end_value=bound)
    return _optax_chain(node)


def _optax_decay(decay: Exponential, steps: float, staircase: bool) -> dict[str, Any]:
    return {"transition_steps": _steps(steps), "decay_rate": decay.rate, "staircase": staircase or None}


def _optax_chain(node: Schedule) -> str | None:
    stairs = _stairs(node)
    if stairs is not None and all(level > 0.0 for level in stairs[1][:-1]):
        boundaries, levels = stairs
        scales = {step: b / a for step, a, b in zip(boundaries, levels, levels[1:], strict=False)}
        return call("optax.piecewise_constant_schedule", levels[0], boundaries_and_scales=scales)
    if len(parts(node)) != 2:
        return None
    warmup, decay = parts(node)
    if not isinstance(warmup, Linear) or warmup.end != decay(0) or warmup.end == 0.0:
        return None
    names = {"init_value": warmup.start, "peak_value": warmup.end, "warmup_steps": warmup.steps}
    if isinstance(decay, Constant):
        return call("optax.warmup_constant_schedule", **names)
    if isinstance(decay, Cosine):
        total = warmup.steps + decay.steps
        return call("optax.warmup_cosine_decay_schedule", **names, decay_steps=total, end_value=decay.end or None)
    found = _decay(decay)
    return None if found is None else call("optax.warmup_exponential_decay_schedule", **names, **_optax_decay(*found))


_KERAS = "keras.optimizers.schedules."


def keras(node: Schedule) -> str | None:
    """Return the call that builds the schedule in Keras, or None."""
    if isinstance(node, Constant):
        return call(f"{_KERAS}ExponentialDecay", node.value, decay_steps=1, decay_rate=1.0)
    if isinstance(node, Linear | Polynomial):
        power = node.power if isinstance(node, Polynomial) else None
        arguments = {"decay_steps": node.steps, "end_learning_rate": node.end, "power": power}
        return call(f"{_KERAS}PolynomialDecay", node.start, **arguments)
    if isinstance(node, Cosine) and node.start > 0.0:
        alpha = _share(node.end, node.start)
        return call(f"{_KERAS}CosineDecay", node.start, decay_steps=node.steps, alpha=alpha)
    found = _decay(node)
    if found is not None:
        decay, steps, staircase = found
        arguments = {"decay_steps": _steps(steps), "decay_rate": decay.rate, "staircase": staircase or None}
        return call(f"{_KERAS}ExponentialDecay", decay.start, **arguments)
    inverse = node.schedule if isinstance(node, Epochs) else node
    if isinstance(inverse, InverseTime) and (node is inverse or inverse.steps == 1.0):
        time = node.steps_per_epoch if isinstance(node, Epochs) else inverse.steps
        arguments = {"decay_steps": _steps(time), "decay_rate": inverse.rate}
        return call(f"{_KERAS}InverseTimeDecay", inverse.start, **arguments, staircase=node is not inverse or None)
    return _keras_parts(node)


def _keras_parts(node: Schedule) -> str | None:
    # Keras finds longer and longer cycles by a logarithm in float32, which may miss a restart.
    if isinstance(node, Repeat) and isinstance(node.schedule, Cosine) and node.times is None and node.stretch == 1.0:
        wave = node.schedule
        if wave.start > 0.0 and (node.scale == 1.0 or wave.end == 0.0):
            named = {"m_mul": None if node.scale == 1.0 else node.scale, "alpha": _share(wave.end, wave.start)}
            return call(f"{_KERAS}CosineDecayRestarts", wave.start, first_decay_steps=wave.steps, t_mul=1.0, **named)
    stairs = _stairs(node)
    if stairs is not None:
        return call(f"{_KERAS}PiecewiseConstantDecay", [step - 1 for step in stairs[0]], values=stairs[1])
    if len(parts(node)) == 2:
        warmup, decay = parts(node)
        if isinstance(warmup, Linear) and isinstance(decay, Cosine) and 0.0 < warmup.end == decay.start:
            named = {"alpha": _share(decay.end, decay.start), "warmup_target": decay.start}
            steps = {"decay_steps": decay.steps, "warmup_steps": warmup.steps}
            return call(f"{_KERAS}CosineDecay", warmup.start, **steps, **named)
    return None


def torch(node: Schedule, lr: float, last: bool = True) -> str | None:
    """Return the call that builds the scheduler in torch, for an optimizer of the rate `lr`, or None.

    Args:
        node: the schedule.
        lr: the rate, > 0.
        last: whether it goes on for ever; if not, what comes after its end is cut off.
    """
    if isinstance(node, Hold) and not last:
        node = node.schedule
    if isinstance(node, Constant):
        share = node.value / lr
        if share == 1.0:
            return call("ConstantLR", "optimizer", factor=1.0)
        node = Linear(node.value, node.value, 1)
    # PyTorch multiplies from step to step: a factor next to zero would grow beyond all bounds.
    if isinstance(node, Linear) and 1e-200 * lr <= node.start <= lr and node.end <= lr:
        factors = {"start_factor": node.start / lr, "end_factor": node.end / lr}
        return call("LinearLR", "optimizer", **factors, total_iters=node.steps)
    if isinstance(node, Triangular) and last:
        sizes = {"step_size_up": node.up, "step_size_down": node.down, "cycle_momentum": False}
        return call("CyclicLR", "optimizer", base_lr=node.low, max_lr=node.high, **sizes)
    if node(0) != lr:
        return None
    if isinstance(node, Polynomial) and node.end == 0.0:
        return call("PolynomialLR", "optimizer", total_iters=node.steps, power=node.power)
    wave = node.schedule if isinstance(node, Extend) else None if last else node
    if isinstance(wave, Cosine):
        return call("CosineAnnealingLR", "optimizer", T_max=wave.steps, eta_min=wave.end or None)
    found = _decay(node)
    if found is not None:
        decay, steps, staircase = found
        if staircase:
            return call("StepLR", "optimizer", step_size=steps, gamma=decay.rate)
        return call("ExponentialLR", "optimizer", gamma=decay.rate if steps == 1.0 else decay.rate ** (1.0 / steps))
    if not isinstance(node, Repeat) or not isinstance(node.schedule, Cosine):
        return None
    if (node.times, node.scale, node.stretch % 1.0) != (None, 1.0, 0.0):
        return None
    growth, wave = int(node.stretch), node.schedule
    named = {"T_mult": growth if growth > 1 else None, "eta_min": wave.end or None}
    return call("CosineAnnealingWarmRestarts", "optimizer", T_0=wave.steps, **named)


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
    warmup, *rest = parts(node)
    if not rest or not isinstance(warmup, Linear) or warmup.start >= warmup.end:
        return _hf(0, 0.0, parts(node))
    return _hf(warmup.steps, warmup.start, tuple(rest)) if warmup.end == rest[0](0) else None


def _hf(warmup: int, first: float, rest: tuple[Schedule, ...]) -> tuple[str, float] | None:
    lr, tail = rest[0](0), rest[-1]
    if lr == 0.0 or len(rest) > 2:
        return None
    stable = rest[0].steps or 0 if len(rest) == 2 and isinstance(rest[0], Constant) else 0
    if len(rest) == 1 and first == 0.0:
        found = _hf_named(warmup, lr, tail)
        if found is not None:
            return found, lr
    shapes: dict[type, str | None] = {Linear: "linear", Cosine: None, Monomial: "1-sqrt"}
    if (
        (len(rest) == 2 and not stable)
        or type(tail) not in shapes
        or (isinstance(tail, Monomial) and tail.power != 0.5)
    ):
        return None
    # The warm-up of this one begins where its decay ends.
    start, end = tail(0), tail(tail.length or 0)
    if start != lr or (warmup and first != end):
        return None
    sizes = {"num_warmup_steps": warmup, "num_decay_steps": tail.length, "num_stable_steps": stable}
    named = {"decay_type": shapes[type(tail)], "min_lr_ratio": _share(end, lr)}
    return call("get_wsd_schedule", "optimizer", **sizes, **named), lr


def _hf_named(warmup: int, lr: float, tail: Schedule) -> str | None:
    head = {"num_warmup_steps": warmup}
    if isinstance(tail, Constant):
        function = "get_constant_schedule_with_warmup" if warmup else "get_constant_schedule"
        return call(function, "optimizer", **(head if warmup else {}))
    if isinstance(tail, PowerLaw) and tail.power == 0.5:
        return call("get_inverse_sqrt_schedule", "optimizer", **head, timescale=_steps(tail.timescale))
    if isinstance(tail, Extend) and isinstance(tail.schedule, Cosine):
        wave = tail.schedule
        sizes = {**head, "num_training_steps": warmup + wave.steps}
        if wave.end == 0.0:
            return call("get_cosine_schedule_with_warmup", "optimizer", **sizes)
        rate = wave.end / lr
        return call("get_cosine_with_min_lr_schedule_with_warmup", "optimizer", **sizes, min_lr_rate=rate)
    sizes = {**head, "num_training_steps": warmup + (tail.length or 0)}
    if isinstance(tail, Cosine) and tail.end == 0.0:
        return call("get_cosine_with_hard_restarts_schedule_with_warmup", "optimizer", **sizes)
    if isinstance(tail, Linear) and tail.end == 0.0:
        return call("get_linear_schedule_with_warmup", "optimizer", **sizes)
    if isinstance(tail, Linear | Polynomial) and tail.end < lr:
        power = tail.power if isinstance(tail, Polynomial) else None
        named = {"lr_end": tail.end, "power": power}
        return call("get_polynomial_decay_schedule_with_warmup", "optimizer", **sizes, **named)
    return None
