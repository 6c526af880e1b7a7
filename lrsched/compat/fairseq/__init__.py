"""The learning-rate schedulers of fairseq, `fairseq.optim.lr_scheduler`, under the names of `--lr-scheduler`.

Its trainer tells the scheduler of an epoch before the epoch's first update, and of each update once it is made, so
update t has `step_update(t)`. The release 0.12.2 and the main branch give the same rates. `pass_through` and
`reduce_lr_on_plateau` are no functions of the update.
"""

from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

from lrsched._core.check import Many, Real, Steps
from lrsched._curves.combine import Maximum
from lrsched._curves.cycles import Repeat
from lrsched._curves.decays import Exponential, PowerLaw
from lrsched._curves.modifiers import Epochs
from lrsched._curves.ramps import Cosine, Geometric, Linear
from lrsched._curves.schedule import Constant, Schedule
from lrsched.compat._tools.arguments import Count, Length, OnOff, Positive, Rate, checked, must
from lrsched.compat._tools.pieces import grain, in_time, then, warmed, whole
from lrsched.compat.fairseq.epochs import OneRate, fixed, manual, one, polynomial_decay

__all__ = [
    "cosine",
    "fixed",
    "inverse_sqrt",
    "manual",
    "pass_through",
    "polynomial_decay",
    "reduce_lr_on_plateau",
    "step",
    "tri_stage",
    "triangular",
]

# A negative one stands for the lowest rate of the schedule.
FirstRate = Annotated[float, Real()]


@checked
def cosine(
    lr: OneRate,
    warmup_updates: Count = 0,
    warmup_init_lr: FirstRate = -1.0,
    min_lr: Rate = 0.0,
    t_mult: Annotated[float, Real(low=1.0)] = 1.0,
    lr_period_updates: Annotated[float, Steps(low=-1.0)] = -1,
    lr_shrink: Positive = 0.1,
    max_update: Count = 0,
) -> Schedule:
    """Linear warm-up, then half cosines, of which each is `lr_shrink` times the one before, its floor too.

    Args:
        lr: highest rate, >= 0.
        warmup_updates: updates of the warm-up.
        warmup_init_lr: first rate of the warm-up; a negative one stands for `min_lr`.
        min_lr: lowest rate of the first cycle, >= 0; where it is above `lr` it stands for `lr`. (The release 0.12.2
            refuses one that is not below `lr`.)
        t_mult: factor of the length from cycle to cycle, >= 1: where cycles shrink to nothing fairseq fails.
        lr_period_updates: updates of the first cycle, which need not be whole; 0 or less stands for
            `max_update - warmup_updates`.
        lr_shrink: factor of the rates from cycle to cycle, > 0.
        max_update: updates of the training, if no period is given.

    Raises:
        ValueError: an argument is out of range, or neither a period nor `max_update` is given.

    Examples:
        >>> s = cosine(0.1, warmup_updates=10, max_update=110)
        >>> s(5), s(10), s(110)
        (0.05, 0.1, 0.010000000000000002)

    References:
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/cosine_lr_scheduler.py.
    """
    top = one(lr)
    low = min(min_lr, top)
    period = whole(lr_period_updates if lr_period_updates > 0 else max_update - warmup_updates)
    must(period > 0, "cosine(max_update=...)", "more than the warm-up if lr_period_updates is not given", max_update)
    steps = grain(period)
    body = in_time(Repeat(Cosine(top, low, steps), stretch=t_mult, scale=lr_shrink), period / steps)
    return warmed(warmup_updates, low if warmup_init_lr < 0 else warmup_init_lr, top, body)


@checked
def inverse_sqrt(lr: OneRate, warmup_updates: Length = 4000, warmup_init_lr: FirstRate = -1.0) -> Schedule:
    """Linear warm-up, then `lr * sqrt(warmup_updates / t)`.

    Args:
        lr: highest rate, >= 0.
        warmup_updates: updates of the warm-up, >= 1: fairseq divides by it.
        warmup_init_lr: first rate; a negative one stands for 0.

    Examples:
        >>> inverse_sqrt(0.1, warmup_updates=100)(400)
        0.05

    References:
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/inverse_square_root_schedule.py.
    """
    top = one(lr)
    return warmed(warmup_updates, max(warmup_init_lr, 0.0), top, PowerLaw(top, 0.5, timescale=warmup_updates))


def pass_through(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: the optimizer has the schedule.

    fairseq leaves the rate to the optimizer's own scheduler: take the schedule of that.

    Raises:
        TypeError: always.
    """
    raise TypeError("pass_through has no schedule of its own: the optimizer's scheduler has it, take that")


def reduce_lr_on_plateau(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: it listens to the validation loss, so it is no function of the update.

    Use `lrsched.feedback.Plateau` after a schedule `Linear(warmup_init_lr, lr, steps=warmup_updates)`.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        "reduce_lr_on_plateau listens to the validation loss and is no function of the update: use "
        "lrsched.feedback.Plateau, on Linear(warmup_init_lr, lr, steps=warmup_updates) if there is a warm-up"
    )


@checked
def step(
    lr: OneRate,
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
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/step_lr_scheduler.py.
    """
    top = one(lr)
    must(top > min_lr, "step(lr=...)", f"> min_lr={min_lr!r}", top)
    body: Schedule = Epochs(Exponential(top, lr_decay), lr_deacy_period)
    if min_lr:
        body = Maximum((body, Constant(min_lr)))
    return warmed(warmup_updates, min_lr if warmup_init_lr < 0 else warmup_init_lr, top, body)


@checked
def tri_stage(
    lr: OneRate,
    warmup_steps: Count = 0,
    hold_steps: Count = 0,
    decay_steps: Count = 0,
    phase_ratio: Annotated[Sequence[float], Many(Real(low=0.0), least=3)] | None = None,
    init_lr_scale: Rate = 0.01,
    final_lr_scale: Positive = 0.01,
    max_update: Annotated[float, Steps()] = 0,
) -> Schedule:
    """Linear warm-up, a constant phase, then an exponential decay.

    Args:
        lr: highest rate, >= 0.
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
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/tri_stage_lr_scheduler.py.
    """
    if phase_ratio is not None:
        ratios = tuple(phase_ratio)
        must(
            len(ratios) == 3 and sum(ratios) == 1, "tri_stage(phase_ratio=...)", "three numbers with the sum 1", ratios
        )
        must(max_update > 0, "tri_stage(max_update=...)", "> 0 if phase_ratio is given", max_update)
        warmup_steps, hold_steps, decay_steps = (int(max_update * ratio) for ratio in ratios)
    must(decay_steps > 0, "tri_stage(decay_steps=...)", ">= 1", decay_steps)
    top = one(lr)
    if top == 0.0:
        return Constant(0.0)
    decay = Geometric(top, top * final_lr_scale, decay_steps)
    body = then(hold_steps, Constant(top, max(hold_steps, 1)), decay)
    return warmed(warmup_steps, top * init_lr_scale, top, body)


@checked
def triangular(
    lr: OneRate,
    max_lr: Rate,
    lr_period_updates: Annotated[float, Steps(low=2.0)] = 5000,
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
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/triangular_lr_scheduler.py.
    """
    bottom = one(lr)
    must(max_lr > bottom, "triangular(max_lr=...)", f"> lr={bottom!r}", max_lr)
    half = int(lr_period_updates // 2)

    def wave(low: float, high: float, scale: float) -> Schedule:
        return Repeat(Linear(low, high, half) >> Linear(high, low, half), scale=scale)

    if shrink_min:
        return wave(bottom, max_lr, lr_shrink)
    falling = wave(0.0, max_lr, lr_shrink)
    return falling + wave(bottom, 0.0, 1.0) if bottom else falling
