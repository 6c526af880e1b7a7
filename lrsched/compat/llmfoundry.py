"""The scheduler of llm-foundry 0.22.0, `llmfoundry.optim.scheduler`, which is one of Composer's kind.

Its Trainer, in which it runs, uses it one update late: see `lrsched.compat.composer`.
"""

from typing import Unpack

from lrsched._curves import Constant, Hold, Linear, PowerLaw, Schedule, Sum
from lrsched.compat._tools import Rate, checked, must, then, warmed
from lrsched.compat.composer.time import ComposerClock, Counting, Time

__all__ = ["InverseSquareRootWithWarmupScheduler"]


@checked
def InverseSquareRootWithWarmupScheduler(
    lr: Rate,
    t_warmup: Time,
    t_scale: Time,
    t_cooldown: Time,
    t_max: Time = "1dur",
    alpha_f_decay: Rate = 0.0,
    alpha_f_cooldown: Rate = 0.0,
    *,
    max_duration: Time,
    **training: Unpack[Counting],
) -> Schedule:
    """Linear warm-up, inverse square root, linear cool-down from wherever that is.

    Between warm-up and cool-down the multiplier is `d + (1 - d) / sqrt(1 + u / t_scale)`, d = `alpha_f_decay`, u the
    batches since the warm-up.

    Args:
        lr: the optimizer's learning rate, >= 0.
        t_warmup: length of the warm-up, in the unit of `max_duration`; not scaled by `ssr`.
        t_scale: batches before the decay is felt, in the unit of `max_duration`.
        t_cooldown: length of the cool-down, in the unit of `max_duration`; with 0 the value holds where it would begin.
            One that would begin before the warm-up ends begins there, and ends late.
        t_max: end of the cool-down, counted from the start of the training.
        alpha_f_decay: multiplier that the decay approaches, >= `alpha_f_cooldown`.
        alpha_f_cooldown: multiplier at the end of the cool-down, >= 0.
        max_duration: length of the training.
        dataloader_len: batches of an epoch, if a time is in epochs.
        ssr: factor of the other times, > 0.
        step_schedulers_every_batch: as given to the Trainer; False changes the rate at the ends of epochs only.

    Raises:
        ValueError: a unit differs from that of `max_duration`, or an argument is out of range.

    Examples:
        >>> s = InverseSquareRootWithWarmupScheduler(1.0, "10ba", "10ba", "20ba", max_duration="60ba")
        >>> s(6), s(41), s(51), s(61)
        (0.5, 0.5, 0.25, 0.0)

    References:
        llm-foundry 0.22.0, optim/scheduler.py.
    """
    where = "InverseSquareRootWithWarmupScheduler"
    must(alpha_f_decay >= alpha_f_cooldown, f"{where}(alpha_f_decay=...)", f">= {alpha_f_cooldown}", alpha_f_decay)
    for name, time in (("t_warmup", t_warmup), ("t_scale", t_scale), ("t_cooldown", t_cooldown)):
        same = time[1] == max_duration[1]
        must(same, f"{where}({name}=...)", f"in the unit of max_duration, {max_duration[1]!r}", f"{time[0]}{time[1]}")
    clock = ComposerClock(where, {"max_duration": max_duration, **training})
    warmup, scale = clock.batches(t_warmup, scaled=False), clock.length("t_scale", t_scale)
    cooldown = clock.batches(t_cooldown)
    body = max(clock.batches(t_max) - cooldown - warmup, 0)
    fall: Schedule = PowerLaw(lr * (1.0 - alpha_f_decay), 0.5, timescale=scale)
    if alpha_f_decay:
        fall = Sum((fall, Constant(lr * alpha_f_decay)))
    start = fall(body)
    end: Schedule = Linear(start, lr * alpha_f_cooldown, cooldown) if cooldown else Constant(start)
    return clock.used(warmed(warmup, 0.0, lr, then(body, Hold(fall, max(body, 1)), end)))
