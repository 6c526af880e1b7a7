"""The schedulers of SpeechBrain 1.1, `speechbrain.nnet.schedulers`.

Its trainer calls a scheduler after each update (or epoch) with the number of updates made. So update 0 uses the rate
that the optimizer was built with: `lr` here (`optimizer_lr` where `lr` is the scheduler's), and if it is None the
scheduler's own rate, which the recipes give to both. Update t uses what the scheduler calls step t. The schedulers that
take epochs are told how many updates one has.

`NewBobScheduler` and `ReduceLROnPlateau` look at the loss: see `lrsched.feedback`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lrsched._core.check import MAX_STEPS, Choice, Int, Many, OrNone, Real, is_sequence
from lrsched._curves import (
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    InverseTime,
    Linear,
    PowerLaw,
    Repeat,
    Schedule,
    Stretch,
)
from lrsched._recipes.decimals import products
from lrsched.compat._tools import (
    Count,
    Length,
    LengthOrNone,
    Nothing,
    Positive,
    Rate,
    RateOrNone,
    checked,
    cyclical,
    late,
    must,
    number,
    stairs,
    then,
    warmed,
)

__all__ = [
    "CyclicCosineScheduler",
    "CyclicLRScheduler",
    "IntervalScheduler",
    "InverseSquareRootScheduler",
    "LinearNoamScheduler",
    "LinearScheduler",
    "LinearWarmupScheduler",
    "NoamIntervalScheduler",
    "NoamScheduler",
    "StepScheduler",
    "TriStageLRSchedule",
    "WarmAndExpDecayLRSchedule",
    "WarmCoolDecayLRSchedule",
]


def _after_the_first(lr: float | None, own: float, schedule: Schedule) -> Schedule:
    """Return the schedule, but the rate of the optimizer at step 0; None stands for the scheduler's own."""
    return Constant(own if lr is None else lr, 1) >> late(schedule, 1)


def _by_epoch(schedule: Schedule, updates: int) -> Schedule:
    return Epochs(schedule, updates) if updates > 1 else schedule


@checked
def LinearScheduler(
    initial_value: Rate, final_value: Rate, epoch_count: Length, *, lr: RateOrNone = None, updates_per_epoch: Length = 1
) -> Schedule:
    """A line over the epochs, of which the last has `final_value`.

    SpeechBrain takes the values from a table in float32; here they are exact.

    Args:
        initial_value: rate of epoch 0, >= 0.
        final_value: rate of epoch `epoch_count - 1` and of all later ones, >= 0.
        epoch_count: number of values; with 1 there is the first alone.
        lr: rate of the optimizer, which epoch 0 uses; None stands for `initial_value`.
        updates_per_epoch: updates of an epoch; 1 makes a step an epoch.

    Examples:
        >>> s = LinearScheduler(1.0, 0.0, 5)
        >>> [s(t) for t in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    References:
        SpeechBrain 1.1.2, nnet/schedulers.py; so for all schedulers of SpeechBrain.
    """
    still: Schedule = Constant(initial_value)
    line = Linear(initial_value, final_value, epoch_count - 1) if epoch_count > 1 else still
    return _by_epoch(line if lr is None else _after_the_first(lr, lr, line), updates_per_epoch)


@checked
def StepScheduler(
    initial_value: Rate,
    decay_factor: RateOrNone = None,
    decay_drop: RateOrNone = None,
    half_life: Annotated[float | None, OrNone(Real(low=0.0))] = None,
    *,
    lr: RateOrNone = None,
    updates_per_epoch: Length = 1,
) -> Schedule:
    """A staircase over the epochs: `initial_value * decay_factor ** floor((epoch + 1) / decay_drop)`.

    Args:
        initial_value: the rate before the first drop, >= 0.
        decay_factor: factor of a drop, >= 0; None and 0 stand for 0.5.
        decay_drop: epochs between drops, >= 0; need not be whole; None and 0 stand for 2.
        half_life: the epochs in which the rate halves, instead of the two; None and 0 stand for no such number.
        lr: rate of the optimizer, which epoch 0 uses; None stands for `initial_value`.
        updates_per_epoch: updates of an epoch; 1 makes a step an epoch.

    Raises:
        ValueError: an argument is out of range, or `half_life` comes with one of the other two.

    Examples:
        >>> s = StepScheduler(1.0)
        >>> [s(t) for t in range(4)]
        [1.0, 0.5, 0.5, 0.25]
    """
    if half_life:
        alone = not decay_factor and not decay_drop
        must(alone, "StepScheduler(half_life=...)", "None where decay_factor or decay_drop is given", half_life)
        curve: Schedule = Exponential(initial_value, math.exp(-math.log(2) / half_life))
    else:
        curve = _drops(initial_value, decay_factor or 0.5, decay_drop or 2.0)
    return _by_epoch(_after_the_first(lr, initial_value, late(curve, 1)), updates_per_epoch)


def _drops(start: float, factor: float, every: float) -> Schedule:
    """Return `start * factor ** floor(n / every)`."""
    if every == int(every):
        return Epochs(Exponential(start, factor), int(every)) if every > 1 else Exponential(start, factor)
    must(1e-6 <= every <= 1e6, "StepScheduler(decay_drop=...)", "from 1e-6 to 1e6 if it is not whole", every)
    # Repeat rounds the quotient before its floor, as the library does: 3 / 0.1 is 30.0, though 3 // 0.1 is 29.0.
    return Stretch(Repeat(Constant(start, 1), scale=factor), every)


def _interval(where: str, item: Any) -> tuple[int, float]:
    if not isinstance(item, Mapping) or set(item) != {"steps", "lr"}:
        raise TypeError(f"{where} must be a dictionary of 'steps' and 'lr', got {item!r}")
    steps = Int(low=-MAX_STEPS)(f"{where}['steps']", number(Int(), item["steps"]))
    rate = Real(low=0.0)(f"{where}['lr']", number(Real(), item["lr"]))
    return steps, rate


@checked
def IntervalScheduler(lr: Rate, intervals: Sequence[Mapping[str, Any]]) -> Schedule:
    """A table of rates and of the updates from which they count.

    An interval out of order begins one update after the one before it in the list; one that begins at step 0 or before
    is left out.

    Args:
        lr: rate of the optimizer, which holds until the first interval begins.
        intervals: dictionaries of "steps", the update from which on the rate counts, and "lr", the rate.

    Raises:
        TypeError: an interval is no such dictionary.
        ValueError: a rate is negative.

    Examples:
        >>> IntervalScheduler(0.1, [{"steps": 5, "lr": 0.05}, {"steps": 9, "lr": 0.01}])
        Constant(0.1, steps=5) >> Constant(0.05, steps=4) >> Constant(0.01)
    """
    where = "IntervalScheduler(intervals=...)"
    if not is_sequence(intervals):
        raise TypeError(f"{where} must be a list of dictionaries, got {intervals!r}")
    table = [_interval(f"{where}[{i}]", item) for i, item in enumerate(intervals)]
    begins: list[int] = []
    rates = [lr]
    for steps, rate in table:
        if steps > 0:
            begins.append(max(steps, begins[-1] + 1) if begins else steps)
            rates.append(rate)
    return stairs(begins, rates)


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
    return _after_the_first(optimizer_lr, lr, warmed(warmup, 0.0, lr, rest))


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
    fall = then(hold_steps, lr, Exponential(lr, final_lr_scale, decay_steps))
    curve = Linear(lr * init_lr_scale, lr, warmup_steps) >> fall
    return _after_the_first(optimizer_lr, lr, curve)


Whole = Annotated[Sequence[int], Many(Int(low=-(2**53)), least=0)]
SomeRates = Annotated[Sequence[float], Many(Real(low=0.0), least=0)]


def _noam(lr: float, warmup: int, model_size: int | None) -> Schedule:
    """Return `lr * norm * min(n ** -0.5, n * warmup ** -1.5)`."""
    peak = lr if model_size is None else lr * (model_size * warmup) ** -0.5
    return Linear(0.0, peak, warmup) >> PowerLaw(peak, 0.5, timescale=warmup)


@checked
def NoamScheduler(
    lr_initial: Rate, n_warmup_steps: Length, model_size: LengthOrNone = None, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, then the inverse square root.

    Step n has `lr_initial * norm * min(n ** -0.5, n * n_warmup_steps ** -1.5)`.

    Args:
        lr_initial: the highest rate, if there is no `model_size`, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        model_size: width of the model: `norm` is `model_size ** -0.5`, and `n_warmup_steps ** 0.5` if it is None.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = NoamScheduler(1.0, 4)
        >>> s(0), s(1), s(4), s(16)
        (1.0, 0.25, 1.0, 0.5)

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """
    return _after_the_first(lr, lr_initial, _noam(lr_initial, n_warmup_steps, model_size))


@checked
def NoamIntervalScheduler(
    lr_initial: Rate,
    n_warmup_steps: Length,
    anneal_steps: Whole,
    anneal_rates: SomeRates,
    model_size: LengthOrNone = None,
    *,
    lr: RateOrNone = None,
) -> Schedule:
    """`NoamScheduler` times a staircase.

    Args:
        lr_initial: the highest rate, if there is no `model_size`, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        anneal_steps: the last steps before each drop, in any order.
        anneal_rates: the factors of the drops, >= 0, at least as many.
        model_size: width of the model, as in `NoamScheduler`.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = NoamIntervalScheduler(1.0, 4, anneal_steps=[16], anneal_rates=[0.5])
        >>> s(16), s(64)
        (0.5, 0.125)
    """
    enough = len(anneal_rates) >= len(anneal_steps)
    must(enough, "NoamIntervalScheduler(anneal_rates=...)", f"{len(anneal_steps)} numbers", anneal_rates)
    drops = sorted(zip(anneal_steps, anneal_rates, strict=False))
    levels = products(1.0, [rate for _, rate in drops])
    curve = _noam(lr_initial, n_warmup_steps, model_size)
    if drops:
        curve = curve * stairs([step + 1 for step, _ in drops], levels)
    return _after_the_first(lr, lr_initial, curve)


@checked
def LinearNoamScheduler(
    lr_initial: Rate, n_warmup_steps: Length, n_keep_steps: Count, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, a constant phase, then `lr_initial * n_warmup_steps / (n - n_keep_steps)`.

    Args:
        lr_initial: the highest rate, >= 0.
        n_warmup_steps: steps of the warm-up, >= 1.
        n_keep_steps: steps of the constant phase.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Examples:
        >>> s = LinearNoamScheduler(1.0, 2, 2)
        >>> s(1), s(4), s(6)
        (0.5, 1.0, 0.5)

    References:
        Kim et al., Squeezeformer, 2022, section 3.4. arXiv:2206.00888
    """
    fall = then(n_keep_steps, lr_initial, InverseTime(lr_initial, 1.0, n_warmup_steps))
    return _after_the_first(lr, lr_initial, Linear(0.0, lr_initial, n_warmup_steps) >> fall)


@checked
def LinearWarmupScheduler(
    initial_value: Rate, num_warmup_steps: Count, num_training_steps: Count, *, lr: RateOrNone = None
) -> Schedule:
    """Linear warm-up, then a line to 0 at step `num_training_steps`.

    Args:
        initial_value: the highest rate, >= 0.
        num_warmup_steps: steps of the warm-up.
        num_training_steps: all steps; if there are no more than those of the warm-up the rate is 0 after it.
        lr: rate of the optimizer, which update 0 uses; None stands for `initial_value`.

    Examples:
        >>> s = LinearWarmupScheduler(1.0, 2, 10)
        >>> [s(t) for t in range(5)]
        [1.0, 0.5, 1.0, 0.875, 0.75]
    """
    steps = num_training_steps - num_warmup_steps
    fall: Schedule = Linear(initial_value, 0.0, steps) if steps > 0 else Constant(0.0)
    curve = warmed(num_warmup_steps, 0.0, initial_value, fall)
    return _after_the_first(lr, initial_value, curve)


@checked
def CyclicCosineScheduler(
    n_warmup_steps: Length, lr_initial: RateOrNone = None, total_steps: Length = 100000, *, lr: RateOrNone = None
) -> Schedule:
    """A cosine wave without end, with its top at step `n_warmup_steps`: `(1 + cos(pi * (n - W) / total_steps)) / 2`.

    Args:
        n_warmup_steps: W, the step of the top, >= 1. There is no warm-up: the rise to it is that of the wave.
        lr_initial: the highest rate, >= 0. Without it SpeechBrain multiplies the rate of the optimizer anew at each
            step, which is no wave: it must be given.
        total_steps: steps of half a period, >= 1.
        lr: rate of the optimizer, which update 0 uses; None stands for `lr_initial`.

    Raises:
        ValueError: `lr_initial` is None, or an argument is out of range.

    Examples:
        >>> s = CyclicCosineScheduler(3, 1.0, total_steps=6)
        >>> s(3), round(s(6), 12), s(9)
        (1.0, 0.5, 0.0)
    """
    given = lr_initial is not None
    must(given, "CyclicCosineScheduler(lr_initial=...)", "given: the rates would multiply without end", lr_initial)
    top = lr_initial or 0.0
    wave = late(Extend(Cosine(top, 0.0, total_steps)), -n_warmup_steps % (2 * total_steps))
    return _after_the_first(lr, top, wave)


@checked
def CyclicLRScheduler(
    base_lr: Rate = 0.001,
    max_lr: Rate = 0.006,
    step_size: Annotated[float, Real(low=1e-6)] = 2000.0,
    mode: Annotated[str, Choice(("triangular", "triangular2", "exp_range"))] = "triangular",
    gamma: Rate = 1.0,
    scale_fn: Annotated[None, Nothing("a Python function is no schedule")] = None,
    scale_mode: Annotated[str, Choice(("cycle", "iterations"))] = "cycle",
    *,
    lr: RateOrNone = None,
) -> Schedule:
    """A triangular wave between two rates, constant or damped.

    Args:
        base_lr: rate at the start of each cycle, >= 0.
        max_lr: rate at the top; not below `base_lr` where the wave is damped.
        step_size: steps of half a cycle, > 0; need not be whole.
        mode: "triangular"; "triangular2", halved after each cycle; "exp_range", times `gamma` after each step.
        gamma: factor of each step, for "exp_range" alone, >= 0.
        scale_fn: None, for a Python function is no value.
        scale_mode: the clock of `scale_fn`, so without effect.
        lr: rate of the optimizer, which update 0 uses; None stands for `base_lr`.

    Examples:
        >>> s = CyclicLRScheduler(0.1, 0.3, step_size=2)
        >>> s(0), s(1), s(2)
        (0.1, 0.2, 0.3)

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    if mode == "exp_range" and gamma == 0.0:
        return _after_the_first(lr, base_lr, Constant(base_lr))
    scales = {"triangular": None, "triangular2": Exponential(2.0, 0.5), "exp_range": Exponential(1.0, gamma or 1.0)}
    wave = cyclical("CyclicLRScheduler", "max_lr", base_lr, max_lr, step_size, scales[mode], mode != "exp_range")
    return _after_the_first(lr, base_lr, wave)


@checked
def InverseSquareRootScheduler(lr: Rate, warmup_steps: Count) -> Schedule:
    """`1 / sqrt(max(warmup_steps, n))`, whatever the rate of the optimizer is.

    Args:
        lr: rate of the optimizer, which update 0 alone uses.
        warmup_steps: steps of the constant phase.

    Examples:
        >>> s = InverseSquareRootScheduler(0.1, 4)
        >>> s(0), s(3), s(16)
        (0.1, 0.5, 0.25)

    References:
        Raffel et al., T5, 2020, section 3.1.2. arXiv:1910.10683
    """
    steps = max(warmup_steps, 1)
    top = steps**-0.5
    return _after_the_first(lr, lr, Constant(top, steps) >> PowerLaw(top, 0.5, timescale=steps))
