"""The schedule of transformers with a stable phase."""

from collections.abc import Callable
from typing import Annotated

from lrsched._core.check import Choice
from lrsched._curves import Constant, Cosine, Linear, Monomial, Polynomial, Schedule
from lrsched.compat._tools import Count, CountOrNone, Rate, chain, checked, cut, late, must, swing
from lrsched.compat.transformers.cosine import Cycles

Ramp = Annotated[str, Choice(("linear", "cosine", "1-sqrt"))]
_UP: dict[str, Callable[[float, float, int], Schedule]] = {
    "linear": lambda start, end, steps: Linear(start, end, steps),
    "cosine": lambda start, end, steps: Cosine(start, end, steps),
    "1-sqrt": lambda start, end, steps: Polynomial(start, end, steps, power=0.5),
}


@checked
def get_wsd_schedule(
    lr: Rate,
    num_warmup_steps: Count,
    num_decay_steps: Count,
    num_training_steps: CountOrNone = None,
    num_stable_steps: CountOrNone = None,
    warmup_type: Ramp = "linear",
    decay_type: Ramp = "cosine",
    min_lr_ratio: Rate = 0,
    num_cycles: Cycles = 0.5,
) -> Schedule:
    """Warm-up, stable phase, decay.

    Args:
        lr: rate of the stable phase.
        num_warmup_steps: steps of the rise from the least rate, >= 0.
        num_decay_steps: steps of the fall to the least rate, >= 0.
        num_training_steps: all steps, which give those of the stable phase. If there are too few for warm-up and decay,
            the warm-up cuts off the beginning of the decay.
        num_stable_steps: or the steps of the stable phase themselves.
        warmup_type: "linear", "cosine" or "1-sqrt".
        decay_type: "linear", "cosine" or "1-sqrt".
        min_lr_ratio: least rate as a part of `lr`.
        num_cycles: turns of a cosine decay, after which the least rate is taken at once.

    Examples:
        >>> get_wsd_schedule(1.0, 10, 20, num_stable_steps=70, decay_type="linear")
        Linear(0.0, 1.0, steps=10) >> Constant(1.0, steps=70) >> Linear(1.0, 0.0, steps=20)
    """
    if num_stable_steps is None:
        where = "get_wsd_schedule(num_training_steps=...)"
        must(num_training_steps is not None, where, "given, or num_stable_steps=...", None)
        stable = (num_training_steps or 0) - num_warmup_steps - num_decay_steps
    else:
        stable = num_stable_steps
    low = lr * min_lr_ratio
    warmup = _UP[warmup_type](low, lr, num_warmup_steps) if num_warmup_steps else None
    flat = Constant(lr, stable) if stable > 0 else None
    missed = max(-stable, 0)
    if num_decay_steps <= missed:
        return chain(warmup, flat, Constant(low))
    if decay_type == "linear":
        decay: Schedule = Linear(lr, low, num_decay_steps)
    elif decay_type == "1-sqrt":
        decay = Monomial(lr, low, num_decay_steps, power=0.5)
    elif abs(num_cycles) == 0.5:
        decay = Cosine(lr, low, num_decay_steps)
    else:
        wave = cut(late(swing(lr, low, num_decay_steps, num_cycles), missed), num_decay_steps - missed)
        return chain(warmup, flat, wave, Constant(low))
    return chain(warmup, flat, late(decay, missed))
