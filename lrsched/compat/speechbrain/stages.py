"""The schedulers of SpeechBrain in two or three stages, whose own rate is called `lr`."""

import math

from lrsched._curves.decays import Exponential
from lrsched._curves.modifiers import Extend
from lrsched._curves.ramps import Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import Count, Length, Positive, Rate, RateOrNone, checked, must
from lrsched.compat._tools.pieces import late, then, warmed
from lrsched.compat.speechbrain.steps import after_the_first


@checked
def WarmAndExpDecayLRSchedule(
    lr: Rate, n_warmup_steps: Count, total_steps: Length, decay_factor: Rate = 0.1, *, optimizer_lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, then an exponential decay to `lr * decay_factor` at step `total_steps`, and on.

    It counts from 0 at its first call, so update t has its step t - 1: updates 1 and 0 come before the warm-up.

    Args:
        lr: the highest rate, >= 0.
        n_warmup_steps: steps of the warm-up, fewer than `total_steps`.
        total_steps: steps of warm-up and decay.
        decay_factor: factor of the decay, >= 0; above 1 the rate holds.
        optimizer_lr: rate of the optimizer, which update 0 uses; None stands for `lr`.

    Examples:
        >>> s = WarmAndExpDecayLRSchedule(1.0, 2, 4, decay_factor=0.25)
        >>> [s(t) for t in range(6)]
        [1.0, 0.0, 0.5, 1.0, 0.5, 0.25]
    """
    where = "WarmAndExpDecayLRSchedule(total_steps=...)"
    must(total_steps > n_warmup_steps, where, f"> n_warmup_steps={n_warmup_steps!r}", total_steps)
    if decay_factor == 0.0:
        fall: Schedule = Constant(lr, 1) >> Constant(0.0)
    else:
        fall = Exponential(lr, decay_factor, total_steps - n_warmup_steps) if decay_factor < 1.0 else Constant(lr)
    return Constant(lr if optimizer_lr is None else optimizer_lr, 1) >> warmed(n_warmup_steps, 0.0, lr, fall)


@checked
def WarmCoolDecayLRSchedule(
    lr: Rate,
    warmup: Count,
    cooldown: Count,
    total_steps: Length,
    decay_factor: Positive = 0.75,
    decay_every: Length = 100000,
    *,
    optimizer_lr: RateOrNone = None,
) -> Schedule:
    """Linear warm-up, a slow exponential decay, then a line to 0 at step `total_steps` which goes on below it.

    The decay counts from the end of the warm-up, the height of the line from step 0, so the rate jumps where the line
    begins.

    Args:
        lr: the highest rate, >= 0.
        warmup: steps of the warm-up.
        cooldown: steps of the line; with 0 there is none, where SpeechBrain divides by zero after the end.
        total_steps: the step at which the line is 0.
        decay_factor: factor of the decay, > 0.
        decay_every: the steps that one factor takes, >= 1.
        optimizer_lr: rate of the optimizer, which update 0 uses; None stands for `lr`.

    Examples:
        >>> s = WarmCoolDecayLRSchedule(1.0, 2, 1, 6, decay_factor=0.5, decay_every=1)
        >>> [round(s(t), 12) for t in range(1, 7)]
        [0.5, 1.0, 0.5, 0.25, 0.125, 0.0]

    References:
        Zhai et al., Scaling Vision Transformers, 2022. arXiv:2106.04560
    """
    decay = Exponential(lr, decay_factor, decay_every)
    rest: Schedule = decay
    if cooldown:
        begin = total_steps - cooldown
        height = lr * math.exp(math.log(decay_factor) / decay_every * begin)
        line = Extend(Linear(height, 0.0, cooldown))
        # The step at which the line begins belongs to the decay.
        rest = then(begin - warmup + 1, decay, late(line, max(warmup - begin, 1)))
    return after_the_first(lr if optimizer_lr is None else optimizer_lr, warmed(warmup, 0.0, lr, rest))


@checked
def TriStageLRSchedule(
    lr: Rate,
    warmup_steps: Length,
    hold_steps: Count,
    decay_steps: Length,
    total_steps: Count,
    init_lr_scale: Rate = 0.01,
    final_lr_scale: Positive = 0.05,
    *,
    optimizer_lr: RateOrNone = None,
) -> Schedule:
    """Linear warm-up, a constant phase, then an exponential decay which goes on after its end.

    Args:
        lr: the highest rate, >= 0.
        warmup_steps: steps of the warm-up, >= 1.
        hold_steps: steps of the constant phase.
        decay_steps: steps of the decay to `lr * final_lr_scale`, >= 1.
        total_steps: without effect.
        init_lr_scale: rate at step 0, which no update has, relative to `lr`.
        final_lr_scale: rate at the end of the decay relative to `lr`, > 0.
        optimizer_lr: rate of the optimizer, which update 0 uses; None stands for `lr`.

    Examples:
        >>> s = TriStageLRSchedule(1.0, 2, 2, 2, 6, init_lr_scale=0.0, final_lr_scale=0.25)
        >>> [s(t) for t in range(7)]
        [1.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.25]

    References:
        Park et al., SpecAugment, 2019, section 3.2. arXiv:1904.08779
    """
    fall = then(hold_steps, Constant(lr, max(hold_steps, 1)), Exponential(lr, final_lr_scale, decay_steps))
    curve = Linear(lr * init_lr_scale, lr, warmup_steps) >> fall
    return after_the_first(lr if optimizer_lr is None else optimizer_lr, curve)
