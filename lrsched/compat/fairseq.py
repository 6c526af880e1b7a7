"""The learning-rate schedulers of fairseq 0.12.2, `fairseq.optim.lr_scheduler`, under the names of `--lr-scheduler`.

`pass_through` and `reduce_lr_on_plateau` are no functions of the update.
"""

import ast
from collections.abc import Sequence
from typing import Annotated

from lrsched._check import Int, Many, Real
from lrsched._combine import Maximum
from lrsched._cycles import Repeat
from lrsched._decays import Exponential, PowerLaw
from lrsched._modifiers import Epochs
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Geometric, Linear, Polynomial
from lrsched.compat._args import Count, Length, LengthOrNone, OnOff, Positive, Rate, checked, must
from lrsched.compat._pieces import late, stairs, then, warmed

__all__ = ["cosine", "fixed", "inverse_sqrt", "manual", "polynomial_decay", "step", "tri_stage", "triangular"]

# A negative one stands for the lowest rate of the schedule.
FirstRate = Annotated[float, Real()]


@checked
def cosine(
    lr: Rate,
    warmup_updates: Count = 0,
    warmup_init_lr: FirstRate = -1.0,
    min_lr: Rate = 0.0,
    t_mult: Annotated[float, Real(low=1.0)] = 1.0,
    lr_period_updates: Annotated[int, Int(low=-1)] = -1,
    lr_shrink: Positive = 0.1,
    max_update: Count = 0,
) -> Schedule:
    """Linear warm-up, then half cosines, of which each is `lr_shrink` times the one before, its floor too.

    Args:
        lr: highest rate, more than `min_lr`.
        warmup_updates: updates of the warm-up.
        warmup_init_lr: first rate of the warm-up; a negative one stands for `min_lr`.
        min_lr: lowest rate of the first cycle, >= 0.
        t_mult: factor of the length from cycle to cycle, >= 1.
        lr_period_updates: updates of the first cycle; 0 or less stands for `max_update - warmup_updates`.
        lr_shrink: factor of the rates from cycle to cycle, > 0.
        max_update: updates of the training, if no period is given.

    Raises:
        ValueError: an argument is out of range, or neither a period nor `max_update` is given.

    Examples:
        >>> s = cosine(0.1, warmup_updates=10, max_update=110)
        >>> s(5), s(10), s(110)
        (0.05, 0.1, 0.010000000000000002)

    References:
        fairseq 0.12.2, optim/lr_scheduler/cosine_lr_scheduler.py.
    """
    must(lr > min_lr, "cosine(lr=...)", f"> min_lr={min_lr!r}", lr)
    period = lr_period_updates if lr_period_updates > 0 else max_update - warmup_updates
    must(period > 0, "cosine(max_update=...)", "more than the warm-up if lr_period_updates is not given", max_update)
    body = Repeat(Cosine(lr, min_lr, period), stretch=t_mult, scale=lr_shrink)
    return warmed(warmup_updates, min_lr if warmup_init_lr < 0 else warmup_init_lr, lr, body)


@checked
def fixed(
    lr: Annotated[Sequence[float], Many(Real(low=0.0))],
    force_anneal: LengthOrNone = None,
    lr_shrink: Positive = 0.1,
    warmup_updates: Count = 0,
    *,
    updates_per_epoch: Length,
) -> Schedule:
    """A rate for each epoch, times a warm-up `(t + 1) / warmup_updates`.

    From epoch `force_anneal` on (counted from 1) it is the last rate times `lr_shrink ** (epoch + 1 - force_anneal)`.

    Args:
        lr: rates of the epochs 1, 2, ...; the last one stays.
        force_anneal: first epoch of the decay, >= 1, or None.
        lr_shrink: factor from epoch to epoch then, > 0.
        warmup_updates: updates of the warm-up.
        updates_per_epoch: optimizer updates in an epoch.

    Examples:
        >>> s = fixed([0.1, 0.05], warmup_updates=4, updates_per_epoch=10)
        >>> s(0), s(3), s(10)
        (0.025, 0.1, 0.05)

    References:
        fairseq 0.12.2, optim/lr_scheduler/fixed_schedule.py.
    """
    epochs: Schedule = stairs(range(1, len(lr)), lr)
    if force_anneal is not None:
        epochs = then(force_anneal - 1, epochs, Exponential(lr[-1] * lr_shrink, lr_shrink))
    body = epochs if isinstance(epochs, Constant) else Epochs(epochs, updates_per_epoch)
    if warmup_updates < 2:
        return body
    return late(Linear(0.0, 1.0, warmup_updates), 1) * body


@checked
def inverse_sqrt(lr: Rate, warmup_updates: Length = 4000, warmup_init_lr: FirstRate = -1.0) -> Schedule:
    """Linear warm-up, then `lr * sqrt(warmup_updates / t)`.

    Args:
        lr: highest rate, >= 0.
        warmup_updates: updates of the warm-up, >= 1: fairseq divides by it.
        warmup_init_lr: first rate; a negative one stands for 0.

    Examples:
        >>> inverse_sqrt(0.1, warmup_updates=100)(400)
        0.05

    References:
        fairseq 0.12.2, optim/lr_scheduler/inverse_square_root_schedule.py.
    """
    return warmed(warmup_updates, max(warmup_init_lr, 0.0), lr, PowerLaw(lr, 0.5, timescale=warmup_updates))


@checked
def manual(
    lr: Rate, epoch2lr: str = "{}", update2lr: str = "{}", *, updates_per_epoch: LengthOrNone = None
) -> Schedule:
    """Rates given for epochs (counted from 1) or updates; each stays until the next one.

    Args:
        lr: the rate as long as none is given, >= 0.
        epoch2lr: the text of a dictionary, `"{'1-3': 0.1, '4,6': 0.05}"`; keys are numbers, lists or ranges of epochs.
        update2lr: the same for updates; from its first update on it alone counts.
        updates_per_epoch: optimizer updates in an epoch, if epochs are named.

    Raises:
        ValueError: a text is not a dictionary of numbers.

    Examples:
        >>> manual(0.1, update2lr="{'10': 0.05, '20': 0.01}")
        Constant(0.1, steps=10) >> Constant(0.05, steps=10) >> Constant(0.01)

    References:
        fairseq 0.12.2, optim/lr_scheduler/manual_lr_scheduler.py.
    """
    epochs, updates = _given("epoch2lr", epoch2lr), _given("update2lr", update2lr)
    must(not epochs or updates_per_epoch is not None, "manual(updates_per_epoch=...)", "given if epochs are", None)
    per = updates_per_epoch or 1
    before = [((epoch - 1) * per, rate) for epoch, rate in epochs]
    if updates:
        before = [(step, rate) for step, rate in before if step < updates[0][0]]
    first = lr if epochs or not updates or updates[0][0] != 1 else updates[0][1]
    points = [*before, *updates]
    return stairs([step for step, _ in points], [first, *(rate for _, rate in points)])


def _given(name: str, text: str) -> list[tuple[int, float]]:
    try:
        table = ast.literal_eval(text.replace(" ", ""))
        pairs = {}
        for key, rate in table.items():
            first, _, last = key.partition("-")
            keys = map(int, key.split(",")) if "," in key else range(int(first), int(last or first) + 1)
            pairs.update(dict.fromkeys(keys, float(rate)))
    except (AttributeError, SyntaxError, TypeError, ValueError):
        raise ValueError(f"manual({name}=...) must be the text of a dictionary of numbers, got {text!r}") from None
    return sorted(pairs.items())


@checked
def polynomial_decay(
    lr: Rate,
    total_num_update: Length,
    warmup_updates: Count = 0,
    end_learning_rate: Rate = 0.0,
    power: Positive = 1.0,
) -> Schedule:
    """Linear warm-up from 0, then a power of the part left, to `end_learning_rate` at update `total_num_update`.

    Args:
        lr: highest rate, >= 0. (fairseq also takes one an epoch.)
        total_num_update: all updates, warm-up included.
        warmup_updates: updates of the warm-up.
        end_learning_rate: last rate, >= 0.
        power: exponent, > 0.

    Examples:
        >>> polynomial_decay(0.1, 100, warmup_updates=10)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)

    References:
        fairseq 0.12.2, optim/lr_scheduler/polynomial_decay_schedule.py.
    """
    rest = total_num_update - warmup_updates
    if rest < 1:
        body: Schedule = Constant(lr, 1) >> Constant(end_learning_rate)
    elif power == 1.0:
        body = Linear(lr, end_learning_rate, rest)
    else:
        body = Polynomial(lr, end_learning_rate, rest, power)
    return warmed(warmup_updates, 0.0, lr, body)


@checked
def step(
    lr: Rate,
    warmup_updates: Count = 0,
    warmup_init_lr: FirstRate = -1.0,
    min_lr: Rate = 0.0,
    lr_deacy_period: Length = 25000,
    lr_decay: Annotated[float, Real(low=0.0, high=1.0, open_low=True)] = 0.5,
) -> Schedule:
    """Linear warm-up, then a staircase with a floor.

    Args:
        lr: highest rate, more than `min_lr`.
        warmup_updates: updates of the warm-up.
        warmup_init_lr: first rate; a negative one stands for `min_lr`.
        min_lr: lowest rate, >= 0.
        lr_deacy_period: updates between drops (fairseq's spelling).
        lr_decay: factor at each drop, in (0, 1].

    Examples:
        >>> step(0.1, lr_deacy_period=100)(250)
        0.025

    References:
        fairseq 0.12.2, optim/lr_scheduler/step_lr_scheduler.py.
    """
    must(lr > min_lr, "step(lr=...)", f"> min_lr={min_lr!r}", lr)
    body: Schedule = Epochs(Exponential(lr, lr_decay), lr_deacy_period)
    if min_lr:
        body = Maximum((body, Constant(min_lr)))
    return warmed(warmup_updates, min_lr if warmup_init_lr < 0 else warmup_init_lr, lr, body)


@checked
def tri_stage(
    lr: Rate,
    warmup_steps: Count = 0,
    hold_steps: Count = 0,
    decay_steps: Count = 0,
    phase_ratio: Annotated[Sequence[float], Many(Real(low=0.0), least=3)] | None = None,
    init_lr_scale: Rate = 0.01,
    final_lr_scale: Positive = 0.01,
    max_update: Count = 0,
) -> Schedule:
    """Linear warm-up, a constant phase, then an exponential decay.

    Args:
        lr: highest rate, > 0.
        warmup_steps: updates of the warm-up.
        hold_steps: updates at the top.
        decay_steps: updates of the decay, >= 1: fairseq divides by it.
        phase_ratio: the three as parts of `max_update`, rounded down, with the sum 1; replaces them.
        init_lr_scale: first rate relative to `lr`, >= 0.
        final_lr_scale: last rate relative to `lr`, > 0.
        max_update: updates of the training, if `phase_ratio` is given.

    Raises:
        ValueError: an argument is out of range, or there is no decay.

    Examples:
        >>> s = tri_stage(1.0, 10, 40, 50)
        >>> s(0), s(10), s(100)
        (0.01, 1.0, 0.01)

    References:
        fairseq 0.12.2, optim/lr_scheduler/tri_stage_lr_scheduler.py.
    """
    if phase_ratio is not None:
        ratios = tuple(phase_ratio)
        must(
            len(ratios) == 3 and sum(ratios) == 1, "tri_stage(phase_ratio=...)", "three numbers with the sum 1", ratios
        )
        must(max_update > 0, "tri_stage(max_update=...)", "> 0 if phase_ratio is given", max_update)
        warmup_steps, hold_steps, decay_steps = (int(max_update * ratio) for ratio in ratios)
    must(decay_steps > 0, "tri_stage(decay_steps=...)", ">= 1", decay_steps)
    decay = Geometric(lr, lr * final_lr_scale, decay_steps)
    body = then(hold_steps, Constant(lr, max(hold_steps, 1)), decay)
    return warmed(warmup_steps, lr * init_lr_scale, lr, body)


@checked
def triangular(
    lr: Rate,
    max_lr: Rate,
    lr_period_updates: Annotated[int, Int(low=2)] = 5000,
    lr_shrink: Positive = 0.1,
    shrink_min: OnOff = False,
) -> Schedule:
    """A triangular wave whose top is multiplied by `lr_shrink` after each cycle.

    Args:
        lr: the lowest rate, >= 0.
        max_lr: the highest one, more than `lr`. Once the shrunk top lies below `lr`, the wave hangs down from there.
        lr_period_updates: updates of a cycle, rounded down to an even number.
        lr_shrink: factor of the top from cycle to cycle, > 0.
        shrink_min: whether the bottom shrinks too.

    Examples:
        >>> s = triangular(0.0, 1.0, lr_period_updates=10, lr_shrink=0.5)
        >>> s(5), s(15)
        (1.0, 0.5)

    References:
        fairseq 0.12.2, optim/lr_scheduler/triangular_lr_scheduler.py.
    """
    must(max_lr > lr, "triangular(max_lr=...)", f"> lr={lr!r}", max_lr)
    half = lr_period_updates // 2

    def wave(low: float, high: float, scale: float) -> Schedule:
        return Repeat(Linear(low, high, half) >> Linear(high, low, half), scale=scale)

    if shrink_min:
        return wave(lr, max_lr, lr_shrink)
    return wave(0.0, max_lr, lr_shrink) + wave(lr, 0.0, 1.0) if lr else wave(0.0, max_lr, lr_shrink)
