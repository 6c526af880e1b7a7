"""The learning-rate schedule of GPT-NeoX, `megatron.learning_rates.AnnealingLR`."""

import math
from typing import Annotated, Any

from lrsched._check import Choice
from lrsched._combine import Maximum
from lrsched._decays import Exponential
from lrsched._modifiers import Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear
from lrsched.compat._args import Count, Length, Rate, checked, must, without_effect
from lrsched.compat._pieces import then, warmed

__all__ = ["AnnealingLR"]


@checked
def AnnealingLR(
    start_lr: Rate,
    warmup_iter: Count,
    total_iters: Length,
    decay_style: Annotated[str, Choice(("linear", "cosine", "exponential", "constant"))],
    last_iter: Count = 0,
    min_lr: Rate = 0.0,
    **same: Any,
) -> Schedule:
    """Linear warm-up from 0, then one of four decays, never below `min_lr` once the warm-up is over.

    With r the part of `total_iters - warmup_iter` gone: "linear" `start_lr * (1 - r)`, "cosine" from `start_lr` to
    `min_lr` (and up again after the end), "exponential" `start_lr * exp(-0.693 * r)`, "constant".

    Args:
        start_lr: highest rate, >= 0.
        warmup_iter: iterations of the warm-up.
        total_iters: all iterations, more than the warm-up.
        decay_style: name of the decay.
        last_iter: where training stands; it is no part of the schedule and must be 0.
        min_lr: lowest rate, >= 0.
        **same: `use_checkpoint_lr_scheduler`, `override_lr_scheduler`, `use_mup`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> s = AnnealingLR(1.0, 10, 110, "linear", min_lr=0.1)
        >>> s(5), s(60), s(200)
        (0.5, 0.5, 0.1)

    References:
        GPT-NeoX at e431ff5, megatron/learning_rates.py.
    """
    without_effect("AnnealingLR", same, ("use_checkpoint_lr_scheduler", "override_lr_scheduler", "use_mup"))
    must(last_iter == 0, "AnnealingLR(last_iter=...)", "0", last_iter)
    must(warmup_iter < total_iters, "AnnealingLR(warmup_iter=...)", f"< total_iters={total_iters!r}", warmup_iter)
    rest = total_iters - warmup_iter
    if decay_style == "linear":
        body: Schedule = Linear(start_lr, 0.0, rest)
    elif decay_style == "cosine":
        body = Extend(Cosine(start_lr, min_lr, rest))
    elif decay_style == "exponential":
        body = Exponential(start_lr, math.exp(-0.693), rest)
    else:
        body = Constant(start_lr)
    if min_lr:
        body = Maximum((body, Constant(min_lr)))
        if warmup_iter and min_lr > start_lr:
            body = then(1, Constant(start_lr), body)
    return warmed(warmup_iter, 0.0, start_lr, body)
