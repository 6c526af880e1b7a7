"""The learning-rate schedule of GPT-NeoX, `megatron.learning_rates.AnnealingLR`."""

import math
from typing import Annotated

from lrsched._core.check import Choice, Steps
from lrsched._curves import Constant, Cosine, Exponential, Extend, Linear, Schedule
from lrsched.compat._tools import (
    Count,
    OnOff,
    Rate,
    checked,
    floored,
    late,
    must,
    over,
    spread,
    then,
    whole,
)

__all__ = ["AnnealingLR"]


@checked
def AnnealingLR(
    start_lr: Rate,
    warmup_iter: Annotated[float, Steps()],
    total_iters: Annotated[float, Steps(low=1.0)],
    decay_style: Annotated[str, Choice(("linear", "cosine", "exponential", "constant"))],
    last_iter: Count = 0,
    min_lr: Rate = 0.0,
    use_checkpoint_lr_scheduler: OnOff = True,
    override_lr_scheduler: OnOff = False,
    use_mup: OnOff = False,
    *,
    version: Annotated[str, Choice(("2026-05", "2023-09"))] = "2026-05",
) -> Schedule:
    """Linear warm-up `start_lr * t / warmup_iter`, then one of four decays, then never below `min_lr`.

    With r the part of `total_iters - warmup_iter` gone: "linear" `start_lr * (1 - r)`, "cosine" from `start_lr` to
    `min_lr` (and up again after the end), "exponential" `start_lr * exp(-0.693 * r)`, "constant". Update 0 has the
    rate of update 1.

    Args:
        start_lr: highest rate, >= 0. With a warm-up of less than one iteration update 0 has `start_lr / warmup_iter`.
        warmup_iter: iterations of the warm-up; GPT-NeoX passes `warmup * total_iters`, which need not be whole.
        total_iters: all iterations, more than the warm-up unless "constant".
        decay_style: name of the decay.
        last_iter: where training stands; it is no part of the schedule and must be 0.
        min_lr: lowest rate, >= 0.
        use_checkpoint_lr_scheduler: of checkpoints; without effect on the curve.
        override_lr_scheduler: of checkpoints; needs `use_checkpoint_lr_scheduler=False`.
        use_mup: whether GPT-NeoX divides the rate of each group by its `width_mult`; this is the rate before that.
        version: month since which GPT-NeoX gives this curve. With "2023-09", until 19 May 2026, update 0 has 0.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> s = AnnealingLR(1.0, 10, 110, "linear", min_lr=0.1)
        >>> s(0), s(1), s(5), s(60), s(200)
        (0.1, 0.1, 0.5, 0.5, 0.1)
        >>> AnnealingLR(1.0, 10, 110, "linear", version="2023-09")(0)
        0.0

    References:
        GPT-NeoX at ea7aefd (2026-05-19), megatron/learning_rates.py; the warm-up in megatron/training.py. The earlier
        version at e431ff5 (2023-09-23).
    """
    where, warmup_iter = "AnnealingLR", whole(warmup_iter)
    must(last_iter == 0, f"{where}(last_iter=...)", "0", last_iter)
    alone = not (override_lr_scheduler and use_checkpoint_lr_scheduler)
    must(alone, f"{where}(override_lr_scheduler=...)", "False if use_checkpoint_lr_scheduler is True", True)
    fits = warmup_iter < total_iters or decay_style == "constant"
    must(fits, f"{where}(warmup_iter=...)", f"< total_iters={total_iters!r}", warmup_iter)
    rest = total_iters - warmup_iter
    if decay_style == "linear":
        body: Schedule = spread(Linear(start_lr, 0.0, 1), rest)
    elif decay_style == "cosine":
        body = over(rest, lambda n: Extend(Cosine(start_lr, min_lr, n)))
    elif decay_style == "exponential":
        body = Exponential(start_lr, math.exp(-0.693), rest)
    else:
        body = Constant(start_lr)
    body = floored(body, min_lr)
    return _risen(start_lr, warmup_iter, body, again=version == "2026-05") if warmup_iter else body


def _risen(top: float, length: float, body: Schedule, again: bool) -> Schedule:
    """Return the line from 0 to `top`, to which the step at which it ends belongs, then `body`.

    Args:
        top: where the line ends.
        length: its length, > 0.
        body: the rest, whose clock is 0 where the line ends.
        again: whether step 0 has the value of step 1.
    """
    steps = int(length)
    owned = steps if steps == length and body(0) == top else steps + 1
    rest = late(body, owned - length)
    rise = spread(Linear(0.0, top, 1), length)
    if again:
        first = rise(1) if length >= 1 else top / length
        return Constant(first, 1) >> then(owned - 1, late(rise, 1), rest)
    return then(owned, rise, rest)
