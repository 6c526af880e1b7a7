"""The learning-rate schedule of nanotron, `nanotron.helpers.lr_scheduler_builder`.

The release 0.4 and nanotron at 2411b02 (2026-04-07), its main branch, give the same rates; "1-sqrt" is only there.
"""

from typing import Annotated

from lrsched._core.check import Choice
from lrsched._curves import Constant, Cosine, Linear, Monomial, Schedule
from lrsched.compat._tools import Count, CountOrNone, Length, Positive, RateOrNone, checked, late, must, then, warmed

__all__ = ["lr_scheduler_builder"]


@checked
def lr_scheduler_builder(
    learning_rate: Positive,
    total_training_steps: Length,
    lr_warmup_steps: Count = 0,
    lr_warmup_style: Annotated[str, Choice(("linear", "constant"))] = "linear",
    lr_decay_style: Annotated[str, Choice(("linear", "cosine", "1-sqrt"))] = "linear",
    lr_decay_steps: CountOrNone = None,
    lr_decay_starting_step: CountOrNone = None,
    min_decay_lr: RateOrNone = None,
) -> Schedule:
    """Warm-up, constant phase, decay to `min_decay_lr`, which by default is the rate itself.

    If both `lr_decay_starting_step` and the warm-up are given, but not `lr_decay_steps`, nanotron subtracts *both* from
    the training, so the decay ends `lr_warmup_steps` early.

    Args:
        learning_rate: highest rate, > 0.
        total_training_steps: updates of the training.
        lr_warmup_steps: updates of the warm-up.
        lr_warmup_style: "linear" (from 0; update 0 has rate 0 even without a warm-up) or "constant".
        lr_decay_style: "linear", "cosine" or "1-sqrt", that is `1 - sqrt(x)`, x the part of the decay gone.
        lr_decay_steps: updates of the decay; None for those left.
        lr_decay_starting_step: first step of the decay; None for the end of the warm-up. One within the warm-up is
            hidden by it.
        min_decay_lr: last rate; None stands for `learning_rate`.

    Raises:
        ValueError: an argument is out of range, or there is neither a warm-up nor a decay.

    Examples:
        >>> lr_scheduler_builder(0.1, 100, lr_warmup_steps=10, lr_decay_style="cosine", min_decay_lr=0.01)
        Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.01, steps=90)

    References:
        nanotron 0.4, helpers.py and config/config.py, LRSchedulerArgs; "1-sqrt" at 2411b02 (2026-04-07).
    """
    where = "lr_scheduler_builder"
    low = learning_rate if min_decay_lr is None else min_decay_lr
    start = lr_warmup_steps if lr_decay_starting_step is None else lr_decay_starting_step
    steps = lr_decay_steps
    if steps is None:
        steps = total_training_steps - lr_warmup_steps - (lr_decay_starting_step or 0)
    # With neither a warm-up nor a decay nanotron takes the rate for a multiplier of itself.
    unscaled = lr_warmup_steps == 0 and steps == 0
    must(not unscaled, f"{where}(lr_decay_steps=...)", "> 0 without a warm-up", lr_decay_steps)
    steps = max(steps, 0)  # where the warm-up leaves less than none, the rate drops at the start of the decay
    fall: Schedule = Constant(low)
    if steps and lr_decay_style == "1-sqrt":
        fall = Monomial(learning_rate, low, steps, power=0.5)
    elif steps:
        fall = (Cosine if lr_decay_style == "cosine" else Linear)(learning_rate, low, steps)
    stable = start - lr_warmup_steps
    body = then(stable, learning_rate, fall) if stable >= 0 else late(fall, -stable)
    if stable < 0 or (stable == 0 and steps == 0):
        # The end of the warm-up belongs to the warm-up.
        body = Constant(learning_rate, 1) >> late(body, 1)
    first = learning_rate if lr_warmup_style == "constant" else 0.0
    if not lr_warmup_steps and body(0) != first:
        return Constant(first, 1) >> late(body, 1)
    return warmed(lr_warmup_steps, first, learning_rate, body)
