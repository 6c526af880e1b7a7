"""The learning-rate schedulers of fairseq, `fairseq.optim.lr_scheduler`, under the names of `--lr-scheduler`.

Its trainer tells the scheduler of an epoch before the epoch's first update, and of each update once it is made, so
update t has `step_update(t)`. The release 0.12.2 and the main branch give the same rates. `pass_through` and
`reduce_lr_on_plateau` are no functions of the update.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from typing import Annotated, Any, NoReturn

from lrsched._core.check import MAX_STEPS, Int, Many, OneOrMany, OrNone, Real, Steps
from lrsched._core.parse import literal
from lrsched._curves import (
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Geometric,
    Hold,
    Linear,
    Polynomial,
    PowerLaw,
    Repeat,
    Schedule,
)
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import (
    Count,
    Length,
    LengthOrNone,
    OnOff,
    Positive,
    Rate,
    Text,
    checked,
    floored,
    late,
    must,
    over,
    stairs,
    then,
    warmed,
    whole,
)

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

# Epochs of which each takes the rate of the one before; after so many the rate has long been the last one.
_EPOCHS = 20_000


@dataclass(frozen=True)
class Rates:
    """A rate >= 0 or a list of at most `most` of them, as fairseq's `--lr` gives it; becomes a tuple."""

    most: int = MAX_STEPS

    def __call__(self, where: str, value: Any) -> tuple[float, ...]:
        rates = OneOrMany(Real(low=0.0), MAX_STEPS)(where, value)
        must(len(rates) <= self.most, where, "one rate, or a list of one: fairseq uses no other here", value)
        return rates

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("0.1", ["0.1"], True, 1j, -0.1, [-0.1], float("nan"), None, [], {"a": 1})
        if self.most < MAX_STEPS:
            yield [0.1] * (self.most + 1)


OneRate = Annotated[float | Sequence[float], Rates(most=1)]
RatesByEpoch = Annotated[float | Sequence[float], Rates()]
Epoch = Annotated[int | None, OrNone(Int(low=-MAX_STEPS))]


def one(lr: float | Sequence[float]) -> float:
    """Return the rate of a checked `OneRate`."""
    return lr[0] if isinstance(lr, Sequence) else lr


@checked
def fixed(
    lr: RatesByEpoch,
    force_anneal: Epoch = None,
    lr_shrink: Positive = 0.1,
    warmup_updates: Count = 0,
    *,
    updates_per_epoch: Length,
) -> Schedule:
    """A rate for each epoch, times a warm-up `(t + 1) / warmup_updates`.

    From epoch `force_anneal` on (counted from 1) it is the last rate times `lr_shrink ** (epoch + 1 - force_anneal)`.

    Args:
        lr: rates of the epochs 1, 2, ...; the last one stays.
        force_anneal: first epoch of the decay, or None.
        lr_shrink: factor from epoch to epoch then, > 0.
        warmup_updates: updates of the warm-up.
        updates_per_epoch: optimizer updates in an epoch.

    Examples:
        >>> s = fixed([0.1, 0.05], warmup_updates=4, updates_per_epoch=10)
        >>> s(0), s(3), s(10)
        (0.025, 0.1, 0.05)

    References:
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/fixed_schedule.py.
    """
    rates = _listed(lr)
    epochs: Schedule = stairs(range(1, len(rates)), rates)
    if force_anneal is not None:
        begin = max(force_anneal, 1)
        start = powers(rates[-1], lr_shrink, begin + 1 - force_anneal)[-1]
        epochs = then(begin - 1, epochs, Exponential(start, lr_shrink))
    body = epochs if isinstance(epochs, Constant) else Epochs(epochs, updates_per_epoch)
    if warmup_updates < 2:
        return body
    return late(Linear(0.0, 1.0, warmup_updates), 1) * body


@checked
def manual(
    lr: OneRate, epoch2lr: Text = "{}", update2lr: Text = "{}", *, updates_per_epoch: LengthOrNone = None
) -> Schedule:
    """Rates given for epochs (counted from 1) or updates; each stays until the next one.

    Args:
        lr: the rate as long as none is given, >= 0; unused where update 1 is given.
        epoch2lr: the text of a dictionary, `"{'1-3': 0.1, '4,6': 0.05}"`; keys are numbers, lists or ranges of epochs.
        update2lr: the same for updates; from its first update on it alone counts.
        updates_per_epoch: optimizer updates in an epoch, if epochs are named.

    Raises:
        ValueError: a text is not a dictionary of numbers.

    Examples:
        >>> manual(0.1, update2lr="{'10': 0.05, '20': 0.01}")
        Constant(0.1, steps=10) >> Constant(0.05, steps=10) >> Constant(0.01)

    References:
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/manual_lr_scheduler.py.
    """
    epochs, updates = _given("epoch2lr", epoch2lr), _given("update2lr", update2lr)
    must(not epochs or updates_per_epoch is not None, "manual(updates_per_epoch=...)", "given if epochs are", None)
    per = updates_per_epoch or 1
    before = [((epoch - 1) * per, rate) for epoch, rate in epochs.items()]
    if updates:
        before = [(step, rate) for step, rate in before if step < min(updates)]
    points = [*before, *updates.items()]
    # The scheduler begins with the rate of update 1 where there is one, and keeps it until an epoch or update is named.
    return stairs([step for step, _ in points], [updates.get(1, one(lr)), *(rate for _, rate in points)])


def _given(name: str, text: str) -> dict[int, float]:
    where, rate = f"manual({name}=...)", Real(low=0.0)
    pairs: dict[int, float] = {}
    try:
        for key, content in literal(text.replace(" ", "")).items():
            if "," in key:
                keys = [int(part) for part in key.split(",")]
            else:
                first, *last = (int(part) for part in key.split("-"))
                keys = list(range(first, (last or [first])[0] + 1))
            pairs.update(dict.fromkeys(keys, rate(where, float(content))))
    except (AttributeError, SyntaxError, TypeError, ValueError):
        raise ValueError(f"{where} must be the text of a dictionary of numbers, got {text!r}") from None
    return dict(sorted(pairs.items()))


@checked
def polynomial_decay(
    lr: RatesByEpoch,
    total_num_update: Annotated[float, Steps(low=1e-6)],
    warmup_updates: Count = 0,
    end_learning_rate: Rate = 0.0,
    power: Positive = 1.0,
    force_anneal: Epoch = None,
    *,
    updates_per_epoch: LengthOrNone = None,
) -> Schedule:
    """Linear warm-up from 0, then a power of the part left, to `end_learning_rate` at update `total_num_update`.

    Args:
        lr: highest rate, >= 0, or one an epoch; of a list epoch 1 has the *second*, as fairseq takes `lr[epoch]`, and
            the last one stays.
        total_num_update: all updates, warm-up included.
        warmup_updates: updates of the warm-up.
        end_learning_rate: last rate, >= 0.
        power: exponent, > 0.
        force_anneal: first epoch (counted from 1) of those that take the rate reached so far for their highest one, so
            that the decay is applied anew on top of the decay. With a warm-up and epoch 1 the rate is 0 until the end.
        updates_per_epoch: optimizer updates in an epoch, if epochs have rates of their own.

    Raises:
        ValueError: an argument is out of range, or the length of an epoch is missing.

    Examples:
        >>> polynomial_decay(0.1, 100, warmup_updates=10)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)
        >>> s = polynomial_decay(1.0, 100, force_anneal=2, updates_per_epoch=50)
        >>> s(49), s(50), s(75)
        (0.51, 0.25, 0.125)

    References:
        fairseq at 3d262bb (2025-09-30), optim/lr_scheduler/polynomial_decay_schedule.py.
    """
    rates = _listed(lr)
    total = whole(total_num_update)

    def of(top: float) -> Schedule:
        return warmed(warmup_updates, 0.0, top, _fall(top, end_learning_rate, total - warmup_updates, power))

    if len(rates) == 1 and force_anneal is None:
        return of(rates[0])
    name = "polynomial_decay(updates_per_epoch=...)"
    must(updates_per_epoch is not None, name, "given if epochs have rates of their own", None)
    last = max(total, warmup_updates + 1)
    found = _tops(of, rates, force_anneal, updates_per_epoch or 1, warmup_updates, last)
    tops = list(islice(found, _EPOCHS + 1))
    must(len(tops) <= _EPOCHS, name, f"large enough for at most {_EPOCHS} epochs", updates_per_epoch)
    parts = [late(of(top), start) for start, top in tops]
    held = [Hold(part, end - start) for part, ((start, _), (end, _)) in zip(parts, pairwise(tops), strict=False)]
    return Schedule.sequence([*held, parts[-1]])


def _tops(
    of: Callable[[float], Schedule],
    rates: Sequence[float],
    force_anneal: int | None,
    per: int,
    warmup: int,
    last: float,
) -> Iterator[tuple[int, float]]:
    """Yield the first update and the highest rate of each epoch that has another one than the epoch before.

    Args:
        of: returns the schedule with that highest rate.
        rates: those of the list.
        force_anneal: the epoch from which on each takes what is reached.
        per: updates of an epoch.
        warmup: updates of the warm-up.
        last: the update at which every schedule has ended.
    """
    known, given = len(rates) - 1, None
    epoch = 1
    while force_anneal is None or epoch < force_anneal:
        if rates[min(epoch, known)] != given:
            given = rates[min(epoch, known)]
            yield (epoch - 1) * per, given
        if epoch >= known and force_anneal is None:
            return
        epoch = epoch + 1 if epoch < known or force_anneal is None else force_anneal
    top = rates[0] if given is None else given
    for start in count((epoch - 1) * per, per):
        top = of(top)(start)
        if given is not None and (start >= last or (top == given and start > warmup)):
            return
        if top != given:
            given = top
            yield start, top


def _fall(start: float, end: float, steps: float, power: float) -> Schedule:
    """Return the decay over a real number of steps; without a whole step it is over at once."""
    if steps < 1:
        return Constant(start, 1) >> Constant(end)
    return over(steps, lambda n: Linear(start, end, n) if power == 1.0 else Polynomial(start, end, n, power))


def _listed(lr: float | Sequence[float]) -> list[float]:
    return list(lr) if isinstance(lr, Sequence) else [lr]


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
    body = over(period, lambda n: Repeat(Cosine(top, low, n), stretch=t_mult, scale=lr_shrink))
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
    body = floored(Epochs(Exponential(top, lr_decay), lr_deacy_period), min_lr)
    return warmed(warmup_updates, min_lr if warmup_init_lr < 0 else warmup_init_lr, top, body)


@checked
def tri_stage(
    lr: OneRate,
    warmup_steps: Count = 0,
    hold_steps: Count = 0,
    decay_steps: Count = 0,
    phase_ratio: Annotated[Sequence[float] | None, OrNone(Many(Real(low=0.0), least=3))] = None,
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
        all_of_it = len(phase_ratio) == 3 and sum(phase_ratio) == 1
        must(all_of_it, "tri_stage(phase_ratio=...)", "three numbers with the sum 1", phase_ratio)
        must(max_update > 0, "tri_stage(max_update=...)", "> 0 if phase_ratio is given", max_update)
        warmup_steps, hold_steps, decay_steps = (int(max_update * ratio) for ratio in phase_ratio)
    must(decay_steps > 0, "tri_stage(decay_steps=...)", ">= 1", decay_steps)
    top = one(lr)
    if top == 0.0:
        return Constant(0.0)
    decay = Geometric(top, top * final_lr_scale, decay_steps)
    body = then(hold_steps, top, decay)
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
