"""The parameter scheduler of Megatron-Core 0.16.1, `megatron.core.optimizer_param_scheduler`.

The unit of every length is what `step(increment)` counts. Megatron-LM's training loop passes the global batch size, so
there lengths are numbers of *samples*: divide them by the batch size to get updates.
"""

from typing import Annotated, Any

from lrsched._combine import Maximum
from lrsched._curved import NormalizedExponential
from lrsched._decays import PowerLaw
from lrsched._modifiers import Hold
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear, Monomial, Ramp
from lrsched.compat._args import Choice, Count, Length, LengthOrNone, Rate, checked, must, without_effect
from lrsched.compat._pieces import late, then, warmed

__all__ = ["OptimizerParamScheduler", "get_wd"]

_SAME = (
    "start_wd",
    "end_wd",
    "wd_incr_steps",
    "wd_incr_style",
    "use_checkpoint_opt_param_scheduler",
    "override_opt_param_scheduler",
)
Style = Annotated[str, Choice(("linear", "cosine", "constant", "inverse-square-root", "WSD"))]


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
    lr_wsd_decay_style: str | None = None,
    **same: Any,
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
        lr_warmup_steps: steps of the warm-up, fewer than `lr_decay_steps`.
        lr_decay_steps: the step at which the decay ends, counted from the start of the training.
        lr_decay_style: name of the decay.
        wsd_decay_steps: steps of the tail of "WSD". One that would begin before the warm-up ends jumps into its middle.
        lr_wsd_decay_style: name of the tail of "WSD".
        **same: the arguments of the weight decay (see `get_wd`) and of checkpoints, which leave the rate as it is.

    Raises:
        ValueError: an argument is out of range.

    Examples:
        >>> OptimizerParamScheduler(max_lr=1.0, lr_warmup_steps=10, lr_decay_steps=100, lr_decay_style="cosine")
        Linear(0.0, 1.0, steps=10) >> Cosine(1.0, 0.0, steps=90)

    References:
        Megatron-Core 0.16.1, core/optimizer_param_scheduler.py, get_lr.
    """
    where = "OptimizerParamScheduler"
    without_effect(where, same, _SAME)
    must(init_lr <= max_lr, f"{where}(init_lr=...)", f"<= max_lr={max_lr!r}", init_lr)
    must(min_lr <= max_lr, f"{where}(min_lr=...)", f"<= max_lr={max_lr!r}", min_lr)
    must(lr_warmup_steps < lr_decay_steps, f"{where}(lr_warmup_steps=...)", f"< {lr_decay_steps}", lr_warmup_steps)
    rest = lr_decay_steps - lr_warmup_steps
    if lr_decay_style == "constant":
        body: Schedule = Constant(max_lr)
    elif lr_decay_style == "inverse-square-root":
        body = _inverse_sqrt(max_lr, min_lr, lr_warmup_steps, rest)
    elif lr_decay_style == "WSD":
        body = _wsd(max_lr, min_lr, lr_warmup_steps, rest, wsd_decay_steps, lr_wsd_decay_style)
    else:
        body = (Linear if lr_decay_style == "linear" else Cosine)(max_lr, min_lr, rest)
    return warmed(lr_warmup_steps, init_lr, max_lr, body)


def _inverse_sqrt(max_lr: float, min_lr: float, warmup: int, rest: int) -> Schedule:
    fall: Schedule = PowerLaw(max_lr, 0.5, timescale=max(warmup, 1))
    if not warmup:
        fall = Constant(max_lr, 1) >> fall  # step 0 counts as step 1
    floored = Maximum((fall, Constant(min_lr))) if min_lr else fall
    return Hold(floored, rest + 1) >> Constant(min_lr)


def _wsd(max_lr: float, min_lr: float, warmup: int, rest: int, tail: int | None, style: str | None) -> Schedule:
    if tail is None:
        raise ValueError("OptimizerParamScheduler(wsd_decay_steps=...) must be given for the style 'WSD', got None")
    name = "OptimizerParamScheduler(lr_wsd_decay_style=...)"
    must(style in _TAILS, name, f"one of {', '.join(map(repr, _TAILS))}", style)
    fall = _tail(style or "", max_lr, min_lr, tail)
    if rest >= tail:
        return then(rest - tail, Constant(max_lr, max(rest - tail, 1)), fall)
    # The last step of the warm-up still has the top.
    return then(min(warmup, 1), Constant(max_lr, 1), late(fall, tail - rest + min(warmup, 1)))


_TAILS = ("linear", "cosine", "exponential", "minus_sqrt")


def _tail(style: str, start: float, end: float, steps: int) -> Ramp:
    if style == "exponential":
        return NormalizedExponential(start, end, steps, rate=0.5)
    if style == "minus_sqrt":
        return Monomial(start, end, steps, power=0.5)
    return (Linear if style == "linear" else Cosine)(start, end, steps)


@checked
def get_wd(
    start_wd: Rate,
    end_wd: Rate,
    wd_incr_steps: Count,
    wd_incr_style: Annotated[str, Choice(("constant", "linear", "cosine"))],
) -> Schedule:
    """The weight decay: a rise from `start_wd` to `end_wd`.

    Args:
        start_wd: value at step 0, >= 0.
        end_wd: value at step `wd_incr_steps` and after, at least `start_wd`.
        wd_incr_steps: steps of the rise.
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
    return (Linear if wd_incr_style == "linear" else Cosine)(start_wd, end_wd, wd_incr_steps)
