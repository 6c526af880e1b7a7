"""The parameter scheduler of Megatron-Core 0.16.1, `megatron.core.optimizer_param_scheduler`.

The unit of every length is what `step(increment)` counts. Megatron-LM's training loop passes the global batch size, so
there lengths are numbers of *samples*: divide them by the batch size to get updates.
"""

import math
from collections.abc import Callable
from typing import Annotated

from lrsched._core.check import Choice, OrNone, Real, Steps
from lrsched._curves import Constant, Cosine, Linear, Monomial, NormalizedExponential, PowerLaw, Schedule
from lrsched.compat._tools import (
    OnOff,
    Rate,
    RateOrNone,
    TextOrNone,
    checked,
    floored,
    late,
    must,
    over,
    spread,
    then,
    whole,
)

__all__ = ["OptimizerParamScheduler", "get_wd"]

Style = Annotated[str, Choice(("linear", "cosine", "constant", "inverse-square-root", "WSD"))]
Rise = Annotated[str, Choice(("constant", "linear", "cosine"))]
# Numbers of samples over the batch size, and a fraction of the decay, are lengths that need not be whole.
Length = Annotated[float, Steps(low=1e-6)]
LengthOrNone = Annotated[float | None, OrNone(Real(low=1e-6))]
Count = Annotated[float, Steps()]


@checked
def OptimizerParamScheduler(
    init_lr: Rate = 0.0,
    *,
    max_lr: Rate,
    min_lr: Rate = 0.0,
    lr_warmup_steps: Count = 0,
    lr_decay_steps: Length,
    lr_decay_style: Style = "linear",
    wsd_decay_steps: LengthOrNone = None,
    lr_wsd_decay_style: TextOrNone = None,
    start_wd: Rate = 0.0,
    end_wd: RateOrNone = None,
    wd_incr_steps: Count = 0,
    wd_incr_style: Rise = "constant",
    use_checkpoint_opt_param_scheduler: OnOff = True,
    override_opt_param_scheduler: OnOff = False,
) -> Schedule:
    """Linear warm-up, then one of five decays to `min_lr`; `lr_decay_steps` counts the warm-up too.

    With r the part of `lr_decay_steps - lr_warmup_steps` gone: "linear" `1 - r`, "cosine" `(1 + cos(pi * r)) / 2`,
    "constant" 1 for ever, "inverse-square-root" `max(min_lr, max_lr * sqrt(W / t))` and a jump to `min_lr` after step
    `lr_decay_steps`, "WSD" 1 and then a tail over the last `wsd_decay_steps`: "linear", "cosine", "exponential"
    (`2 * 0.5 ** r - 1`) or "minus_sqrt" (`1 - sqrt(r)`).

    Args:
        init_lr: value at step 0 of the warm-up, >= 0 and at most `max_lr`.
        max_lr: value at step `lr_warmup_steps`.
        min_lr: value after `lr_decay_steps`, >= 0 and at most `max_lr`.
        lr_warmup_steps: steps of the warm-up, fewer than `lr_decay_steps`. Megatron-LM passes
            `lr_warmup_fraction * lr_decay_steps`, which need not be whole, and nor need the other lengths.
        lr_decay_steps: the step at which the decay ends, counted from the start of the training.
        lr_decay_style: name of the decay.
        wsd_decay_steps: steps of the tail of "WSD", of no use for other styles. One that would begin before the warm-up
            ends jumps into its middle.
        lr_wsd_decay_style: name of the tail of "WSD", of no use for other styles.
        start_wd: of the weight decay (see `get_wd`), as the next three; without effect on the rate.
        end_wd: at least `start_wd`.
        wd_incr_steps: steps of its rise.
        wd_incr_style: name of its rise.
        use_checkpoint_opt_param_scheduler: of checkpoints; without effect on the rate.
        override_opt_param_scheduler: of checkpoints; needs `use_checkpoint_opt_param_scheduler=False`.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> OptimizerParamScheduler(max_lr=1.0, lr_warmup_steps=10, lr_decay_steps=100, lr_decay_style="cosine")
        Linear(0.0, 1.0, steps=10) >> Cosine(1.0, 0.0, steps=90)

    References:
        Megatron-Core 0.16.1, core/optimizer_param_scheduler.py, get_lr.
    """
    where = "OptimizerParamScheduler"
    must(init_lr <= max_lr, f"{where}(init_lr=...)", f"<= max_lr={max_lr!r}", init_lr)
    must(min_lr <= max_lr, f"{where}(min_lr=...)", f"<= max_lr={max_lr!r}", min_lr)
    must(lr_warmup_steps < lr_decay_steps, f"{where}(lr_warmup_steps=...)", f"< {lr_decay_steps}", lr_warmup_steps)
    must(end_wd is None or end_wd >= start_wd, f"{where}(end_wd=...)", f">= start_wd={start_wd!r}", end_wd)
    alone = not (override_opt_param_scheduler and use_checkpoint_opt_param_scheduler)
    name = f"{where}(override_opt_param_scheduler=...)"
    must(alone, name, "False if use_checkpoint_opt_param_scheduler is True", override_opt_param_scheduler)
    must(lr_wsd_decay_style in (None, *_TAILS), f"{where}(lr_wsd_decay_style=...)", _ONE_OF, lr_wsd_decay_style)
    warmup, end = whole(lr_warmup_steps), whole(lr_decay_steps)
    first = int(warmup) + 1 if warmup else 0
    # The end of the warm-up belongs to the warm-up, which does not show where the decay begins there too.
    meets = warmup == int(warmup)
    if lr_decay_style == "WSD":
        must(wsd_decay_steps is not None, f"{where}(wsd_decay_steps=...)", "given for the style 'WSD'", None)
        must(lr_wsd_decay_style is not None, f"{where}(lr_wsd_decay_style=...)", _ONE_OF, None)
        tail = whole(wsd_decay_steps or 1)
        begin = whole(end - tail)
        first = int(warmup) if meets and begin >= warmup else first
        steps = max(math.ceil(begin), first)
        fall = late(_tail(lr_wsd_decay_style or "", max_lr, min_lr, tail), whole(steps - begin))
        body = then(steps - first, Constant(max_lr, max(steps - first, 1)), fall)
    else:
        first = int(warmup) if meets else first
        body = _decay(lr_decay_style, max_lr, min_lr, warmup, end, first)
    return then(first, spread(Linear(init_lr, max_lr, 1), warmup or 1), body)


def _decay(style: str, top: float, low: float, warmup: float, end: float, first: int) -> Schedule:
    """Return the decay from the whole step `first` on, which is the end of the warm-up or the first step after it."""
    if style == "constant":
        return Constant(top)
    if style != "inverse-square-root":
        shape = Linear if style == "linear" else Cosine
        return late(spread(shape(top, low, 1), end - warmup), whole(first - warmup))
    # A warm-up of less than a step counts as one step, and so does step 0.
    unit = max(warmup, 1)
    fall: Schedule = PowerLaw(top, 0.5, timescale=unit)
    fall = late(fall, whole(first - unit)) if first >= unit else Constant(top, 1) >> fall
    above = floored(fall, low)
    return then(int(end) + 1 - first, above, Constant(low))


_TAILS: dict[str, Callable[[float, float, int], Schedule]] = {
    "linear": Linear,
    "cosine": Cosine,
    "exponential": lambda start, end, n: NormalizedExponential(start, end, n, rate=0.5),
    "minus_sqrt": lambda start, end, n: Monomial(start, end, n, power=0.5),
}
_ONE_OF = f"one of {', '.join(map(repr, _TAILS))}"


def _tail(style: str, start: float, end: float, steps: float) -> Schedule:
    return over(steps, lambda n: _TAILS[style](start, end, n))


@checked
def get_wd(
    start_wd: Rate,
    end_wd: Rate,
    wd_incr_steps: Count,
    wd_incr_style: Rise,
) -> Schedule:
    """The weight decay: a rise from `start_wd` to `end_wd`.

    Args:
        start_wd: value at step 0, >= 0.
        end_wd: value at step `wd_incr_steps` and after, at least `start_wd`.
        wd_incr_steps: steps of the rise, which need not be whole.
        wd_incr_style: "constant" (which needs equal ends), "linear" or "cosine".

    Raises:
        ValueError: `end_wd` is less than `start_wd`, or not the same for "constant"; a rise without steps.

    Examples:
        >>> get_wd(0.1, 0.4, wd_incr_steps=30, wd_incr_style="linear")
        Linear(0.1, 0.4, steps=30)

    References:
        Megatron-Core 0.16.1, core/optimizer_param_scheduler.py, get_wd.
    """
    must(end_wd >= start_wd, "get_wd(end_wd=...)", f">= start_wd={start_wd!r}", end_wd)
    if wd_incr_style == "constant":
        must(end_wd == start_wd, "get_wd(end_wd=...)", f"start_wd={start_wd!r} for the style 'constant'", end_wd)
        return Constant(end_wd)
    must(wd_incr_steps > 0, "get_wd(wd_incr_steps=...)", f">= 1 for the style {wd_incr_style!r}", wd_incr_steps)
    return spread((Linear if wd_incr_style == "linear" else Cosine)(start_wd, end_wd, 1), wd_incr_steps)
