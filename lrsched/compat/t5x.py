"""The factor strings of T5X, `t5x.utils.create_learning_rate_scheduler`."""

from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Constant, Cosine, Epochs, Exponential, Extend, Linear, Maximum, PowerLaw, Repeat, Schedule
from lrsched.compat._tools import Count, Length, Positive, Rate, Text, checked, must, then, warmed

__all__ = ["create_learning_rate_scheduler"]

_NAMES = (
    "constant",
    "linear_warmup",
    "linear_decay",
    "rsqrt_decay",
    "rsqrt_normalized_decay",
    "decay_every",
    "cosine_decay",
)


@checked
def create_learning_rate_scheduler(
    factors: Text = "constant * linear_warmup * rsqrt_decay",
    base_learning_rate: Rate = 0.5,
    warmup_steps: Length = 1000,
    decay_factor: Annotated[float, Real(low=0.0)] = 0.5,
    steps_per_decay: Length = 20000,
    steps_per_cycle: Length = 100000,
    step_offset: Count = 0,
    min_learning_rate: Positive = 1e-8,
) -> Schedule:
    """The product of named factors, at least `min_learning_rate`.

    With W = `warmup_steps`: "constant" b; "linear_warmup" `min(1, t / W)`; "linear_decay"
    `b * min(t / W, 1 + decay_factor * (W - t))`; "rsqrt_decay" `1 / sqrt(max(t, W))`, which is absolute: the top is
    `b / sqrt(W)`; "rsqrt_normalized_decay" `sqrt(W / max(t, W))`; "decay_every"
    `decay_factor ** floor(t / steps_per_decay)`; "cosine_decay" a half cosine after W, which *restarts* every
    `steps_per_cycle` steps.

    Args:
        factors: the names, separated by `*`.
        base_learning_rate: b, >= 0.
        warmup_steps: W, >= 1.
        decay_factor: slope of "linear_decay", factor of "decay_every" (> 0 there).
        steps_per_decay: steps between drops of "decay_every".
        steps_per_cycle: steps of a cycle of "cosine_decay".
        step_offset: step at which the clock starts; the value before it is that of step 0.
        min_learning_rate: lowest value, > 0; also where "linear_warmup" would have 0.

    Raises:
        ValueError: a factor is unknown, or an argument is out of range.

    Examples:
        >>> s = create_learning_rate_scheduler(warmup_steps=100)
        >>> s(0), s(100), s(400)
        (1e-08, 0.05, 0.025)

    References:
        T5X at cc342d4 (2026-04-21), t5x/utils.py. It computes in float32.
    """
    b, w = base_learning_rate, warmup_steps
    product: Schedule | None = None
    for name in (part.strip() for part in factors.split("*")):
        must(name in _NAMES, "create_learning_rate_scheduler(factors=...)", f"made of {', '.join(_NAMES)}", name)
        if name == "constant":
            factor: Schedule = Constant(b)
        elif name == "linear_warmup":
            factor = Linear(0.0, 1.0, w)
        elif name == "linear_decay":
            # One step of the line falls by decay_factor; steps that would end below 0 are cut by the floor.
            factor = warmed(w, 0.0, b, _falling(b, decay_factor))
        elif name == "rsqrt_decay":
            factor = Constant(w**-0.5, w) >> PowerLaw(w**-0.5, 0.5, timescale=w)
        elif name == "rsqrt_normalized_decay":
            factor = Constant(1.0, w) >> PowerLaw(1.0, 0.5, timescale=w)
        elif name == "decay_every":
            must(decay_factor > 0.0, "create_learning_rate_scheduler(decay_factor=...)", "> 0", decay_factor)
            factor = Epochs(Exponential(1.0, decay_factor), steps_per_decay)
        else:
            factor = Constant(1.0, w) >> Repeat(Cosine(1.0, 0.0, steps_per_cycle))
        product = factor if product is None else product * factor
    assert product is not None
    schedule = Maximum((product, Constant(min_learning_rate)))
    return then(step_offset, Constant(schedule(0), max(step_offset, 1)), schedule)


def _falling(start: float, slope: float) -> Schedule:
    """Return the line `start * (1 - slope * t)`, which goes on below zero."""
    if slope == 0.0:
        return Constant(start)
    if slope <= 1.0:
        return Extend(Linear(start, start * (1.0 - slope), 1))
    return Constant(start, 1) >> Constant(0.0)
