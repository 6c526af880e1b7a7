"""The schedulers of torch that stand alone: decays, warm-ups, cycles, the one-cycle policy."""

from array import array
from collections.abc import Sequence
from threading import RLock
from typing import Annotated, Any, NoReturn

from lrsched._core.check import Choice, Int, Many, OrNone, Real
from lrsched._curves import (
    Complete,
    Constant,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Linear,
    NormalizedExponential,
    Polynomial,
    Product,
    Repeat,
    Schedule,
    ScheduleLike,
    Triangular,
)
from lrsched._curves import (
    Function as AFunction,
)
from lrsched._recipes.cyclic import exp_range, triangular2
from lrsched._recipes.decimals import powers
from lrsched.compat._tools import (
    Count,
    Fraction,
    Length,
    LengthOrNone,
    Nothing,
    OnOff,
    Positive,
    Rate,
    checked,
    must,
    phases,
    stairs,
)

AnyFactor = Annotated[ScheduleLike, Complete()]
PositiveShare = Annotated[float, Real(low=0.0, high=1.0, open_low=True)]


@checked
def LambdaLR(lr: Rate, lr_lambda: AnyFactor) -> Schedule:
    """The rate times a function of the step.

    Args:
        lr: the rate of the group.
        lr_lambda: the factor of each step, a function or a schedule.

    Examples:
        >>> LambdaLR(0.5, lambda epoch: 0.5**epoch)(2)
        0.125
    """
    return Product((Constant(lr), Complete()("LambdaLR(lr_lambda=...)", lr_lambda)))


@checked
def MultiplicativeLR(lr: Rate, lr_lambda: AnyFactor) -> Schedule:
    """The rate times the factors of all steps so far, `lr * f(1) * f(2) * ... * f(t)`.

    The product is computed step by step, and kept: it has no closed form, so no traced code can hold it.

    Args:
        lr: the rate of the group.
        lr_lambda: the factor of each step after the first, a function or a schedule.

    Examples:
        >>> MultiplicativeLR(0.5, lambda epoch: 0.5)(2)
        0.125
    """
    return AFunction(RunningProduct(lr, Complete()("MultiplicativeLR(lr_lambda=...)", lr_lambda)))


_GROWING = RLock()


class RunningProduct:
    """A first value times the factors of the steps from 1 on: a function of the step."""

    def __init__(self, first: float, factor: Schedule) -> None:
        self.first, self.factor = first, factor
        self._known = array("d", [first])

    def __call__(self, step: float) -> float:
        """Return the product after that step; between two steps that of the earlier one."""
        last, known = int(step), self._known
        if last >= len(known):
            with _GROWING:  # a schedule may be shared by threads
                while len(known) <= last:
                    known.append(known[-1] * self.factor(len(known)))
        return known[last]

    def __reduce__(self) -> Any:
        """Pickle without the products."""
        return RunningProduct, (self.first, self.factor)

    def __eq__(self, other: object) -> bool:
        """Equal where first value and factor are."""
        return isinstance(other, RunningProduct) and (self.first, self.factor) == (other.first, other.factor)

    def __hash__(self) -> int:
        """Return what agrees with `==`."""
        return hash((self.first, self.factor))

    def __repr__(self) -> str:
        """Return what it is made of."""
        return f"RunningProduct({self.first!r}, {self.factor!r})"


def ReduceLROnPlateau(lr: float, *args: Any, **kwargs: Any) -> NoReturn:
    """Refuse: what depends on a metric is no function of the step.

    `lrsched.feedback.Plateau` is that rule; it multiplies any schedule.

    Raises:
        ValueError: always.
    """
    raise ValueError("ReduceLROnPlateau(...) must be a feedback rule, not a schedule: use lrsched.feedback.Plateau")


@checked
def StepLR(lr: Rate, step_size: Length, gamma: Rate = 0.1) -> Schedule:
    """The rate times `gamma` after each `step_size` steps.

    Args:
        lr: rate at step 0.
        step_size: steps between two drops, >= 1.
        gamma: factor of each drop, >= 0.

    Examples:
        >>> StepLR(0.8, step_size=30, gamma=0.5)(60)
        0.2
    """
    if gamma == 0.0:
        return Constant(lr, step_size) >> Constant(0.0)
    return Epochs(Exponential(lr, gamma), step_size)


@checked
def MultiStepLR(lr: Rate, milestones: Annotated[Sequence[int], Many(Int(), least=0)], gamma: Rate = 0.1) -> Schedule:
    """The rate times `gamma` at each milestone.

    Args:
        lr: rate before the first milestone.
        milestones: steps, >= 0, at which the new value is used first, in any order; a repeated one counts again.
        gamma: factor of each drop, >= 0.

    Examples:
        >>> MultiStepLR(1.0, milestones=[30, 80], gamma=0.5)
        Constant(1.0, steps=30) >> Constant(0.5, steps=50) >> Constant(0.25)
    """
    return stairs(sorted(milestones), powers(lr, gamma, len(milestones)))


@checked
def ConstantLR(lr: Rate, factor: PositiveShare = 1.0 / 3, total_iters: Count = 5) -> Schedule:
    """The rate times `factor` for `total_iters` steps, then the rate.

    Torch takes the factor back by dividing by it, so a factor of 0 raises there in training, and here at once. With
    `total_iters=0` it never takes it back.

    Args:
        lr: rate from step `total_iters` on.
        factor: factor of the first steps, in (0, 1].
        total_iters: number of the first steps, >= 0.

    Examples:
        >>> ConstantLR(0.3, factor=0.5, total_iters=4)
        Constant(0.15, steps=4) >> Constant(0.3)
    """
    return Constant(lr * factor, total_iters) >> Constant(lr) if total_iters else Constant(lr * factor)


@checked
def LinearLR(
    lr: Rate, start_factor: PositiveShare = 1.0 / 3, end_factor: Fraction = 1.0, total_iters: Count = 5
) -> Schedule:
    """A line from `lr * start_factor` to `lr * end_factor`.

    Args:
        lr: rate of the optimizer.
        start_factor: factor at step 0, in (0, 1].
        end_factor: factor from step `total_iters` on, in [0, 1].
        total_iters: steps of the line; 0 stays at the start for ever, as it does in torch.

    Examples:
        >>> LinearLR(0.4, start_factor=0.5, total_iters=10)
        Linear(0.2, 0.4, steps=10)
    """
    return Linear(lr * start_factor, lr * end_factor, total_iters) if total_iters else Constant(lr * start_factor)


@checked
def ExponentialLR(lr: Rate, gamma: Rate) -> Schedule:
    """The rate times `gamma` after each step.

    Args:
        lr: rate at step 0.
        gamma: factor, >= 0.

    Examples:
        >>> ExponentialLR(1.0, gamma=0.5)(1)
        0.5
    """
    return Exponential(lr, gamma) if gamma else Constant(lr, 1) >> Constant(0.0)


@checked
def PolynomialLR(lr: Rate, total_iters: Count = 5, power: Rate = 1.0) -> Schedule:
    """A power of the steps left, down to 0: `lr * (1 - t / total_iters) ** power`.

    Args:
        lr: rate at step 0.
        total_iters: steps until 0; with 0 steps the rate stays as it is.
        power: exponent, >= 0; with 0 the rate stays as it is.

    Examples:
        >>> PolynomialLR(1.0, total_iters=10, power=2.0)(5)
        0.25
    """
    if total_iters == 0 or power == 0.0:
        return Constant(lr)
    return Linear(lr, 0.0, total_iters) if power == 1.0 else Polynomial(lr, 0.0, total_iters, power)


Anneal = Annotated[str, Choice(("cos", "linear"))]
Field = Annotated[str, Choice(("lr", "momentum"))]


@checked
def CosineAnnealingLR(lr: Rate, T_max: Length, eta_min: Rate = 0.0) -> Schedule:
    """A cosine wave from the rate to `eta_min` at step `T_max`, and back: it rises again.

    Torch computes each value from the one before; its rounding grows with the square of `T_max` after the first turn.

    Args:
        lr: rate at step 0.
        T_max: steps of half a period, >= 1.
        eta_min: rate at step `T_max`.

    Examples:
        >>> CosineAnnealingLR(0.1, T_max=100)
        Extend(Cosine(0.1, 0.0, steps=100))
    """
    return Extend(Cosine(lr, eta_min, T_max))


@checked
def CosineAnnealingWarmRestarts(lr: Rate, T_0: Length, T_mult: Length = 1, eta_min: Rate = 0.0) -> Schedule:
    """Half a cosine wave to `eta_min`, again and again, each `T_mult` times as long as the one before.

    Args:
        lr: rate at each restart.
        T_0: steps of the first cycle, >= 1.
        T_mult: factor of the length, an int >= 1.
        eta_min: rate that each cycle approaches.

    Examples:
        >>> CosineAnnealingWarmRestarts(0.1, T_0=10, T_mult=2)(30)
        0.1
    """
    return Repeat(Cosine(lr, eta_min, T_0), stretch=T_mult)


@checked
def CyclicLR(
    base_lr: Rate,
    max_lr: Rate,
    step_size_up: Length = 2000,
    step_size_down: Annotated[int | None, OrNone(Int())] = None,
    mode: Annotated[str, Choice(("triangular", "triangular2", "exp_range"))] = "triangular",
    gamma: Rate = 1.0,
    scale_fn: Annotated[None, Nothing("a Python function is no schedule")] = None,
    scale_mode: Annotated[str, Choice(("cycle", "iterations"))] = "cycle",
    cycle_momentum: OnOff = True,
    base_momentum: Rate = 0.8,
    max_momentum: Rate = 0.9,
    *,
    field: Field = "lr",
) -> Schedule:
    """A triangular wave between two rates, constant or damped.

    Torch cycles the momentum against it unless told otherwise, which `field="momentum"` gives: a wave of the same shape
    from `max_momentum` to `base_momentum`.

    Args:
        base_lr: rate at the start of each cycle; it replaces the rate of the optimizer.
        max_lr: rate at the top.
        step_size_up: steps up, >= 1.
        step_size_down: steps down, or None for as many as up; 0 drops at once.
        mode: "triangular"; "triangular2", halved after each cycle; "exp_range", times `gamma` after each step.
        gamma: factor of each step, for "exp_range" alone.
        scale_fn: None, for a Python function of the step is no value.
        scale_mode: the clock of `scale_fn`, so without effect.
        cycle_momentum: whether the momentum is cycled too, which has no effect on the rate.
        base_momentum: momentum at the top of the rate, >= 0.
        max_momentum: momentum at the start of each cycle, >= 0.
        field: "lr", or "momentum" for the curve of the momentum, which drives a `ScheduleLR` of that field.

    Raises:
        ValueError: an argument is out of range, or a wave that falls grows below 0 in the end.

    Examples:
        >>> CyclicLR(0.1, 0.5, step_size_up=4)
        Triangular(0.1, 0.5, up=4)
        >>> CyclicLR(0.1, 0.5, step_size_up=4, field="momentum")
        Triangular(0.9, 0.8, up=4)
    """
    start, turn = (base_lr, max_lr) if field == "lr" else (max_momentum, base_momentum)
    must(field == "lr" or cycle_momentum, "CyclicLR(field=...)", "'lr' if cycle_momentum is False", field)
    if start == turn or (mode == "exp_range" and gamma == 0.0):
        return Constant(start)
    if mode == "exp_range" and gamma == 1.0:
        mode = "triangular"
    down = None if step_size_down == step_size_up else step_size_down
    if mode != "triangular" and turn < start:
        return _damped_fall(start, turn, step_size_up, down, mode, gamma)
    if down == 0:
        saw: Schedule = Repeat(Linear(start, turn, step_size_up))
        if mode == "triangular":
            return saw
        scale = 0.5 if mode == "triangular2" else 1.0
        saw = Repeat(Linear(0.0, turn - start, step_size_up), scale=scale)
        return start + (saw if mode == "triangular2" else saw * Exponential(1.0, gamma))
    if mode == "triangular2":
        return triangular2(start, turn, step_size_up, down)
    if mode == "exp_range":
        return exp_range(start, turn, step_size_up, gamma, down)
    return Triangular(start, turn, step_size_up, down)


def _damped_fall(start: float, turn: float, up: int, down: int | None, mode: str, gamma: float) -> Schedule:
    """Return a wave from `start` down to `turn` and back, damped: with parts that are all positive.

    With the wave w from 0 to 1 and its damping g it is `turn + (start - turn) * (1 - w g)`, and 1 - w g is
    (1 - w) + w (1 - g).
    """
    must(mode == "triangular2" or gamma < 1.0, "CyclicLR(gamma=...)", "<= 1 where the wave begins at its top", gamma)
    if down == 0:
        wave: Schedule = Repeat(Linear(0.0, 1.0, up))
        rest: Schedule = Repeat(Linear(1.0, 0.0, up))
    else:
        wave, rest = Triangular(0.0, 1.0, up, down), Triangular(1.0, 0.0, up, down)
    factor = 0.5 if mode == "triangular2" else gamma
    lost: Schedule = Extend(NormalizedExponential(0.0, 1.0 - factor, 1, factor))
    if mode == "triangular2":
        lost = Epochs(lost, up + (up if down is None else down))
    return turn + (start - turn) * (rest + wave * lost)


@checked
def OneCycleLR(
    max_lr: Rate,
    total_steps: LengthOrNone = None,
    epochs: LengthOrNone = None,
    steps_per_epoch: LengthOrNone = None,
    pct_start: Fraction = 0.3,
    anneal_strategy: Anneal = "cos",
    cycle_momentum: OnOff = True,
    base_momentum: Rate = 0.85,
    max_momentum: Rate = 0.95,
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 10000.0,
    three_phase: OnOff = False,
    *,
    field: Field = "lr",
) -> Schedule:
    """The one-cycle policy: up from `max_lr / div_factor`, then down to that divided by `final_div_factor`.

    Torch cycles the momentum against it unless told otherwise, which `field="momentum"` gives: from `max_momentum` to
    `base_momentum` where the rate has its top, and back.

    The phases meet at the real times `pct_start * total_steps - 1` and, of three, twice that; the last value is used by
    update `total_steps - 1`. Torch allows one step more, for which the value leaves the curve, and then raises; here
    the last value holds. As in torch, a `pct_start` of 0 begins below the top, and one above 1/2 does not reach the
    end in three phases.

    Args:
        max_lr: highest rate; it replaces the rate of the optimizer.
        total_steps: all updates, >= 1; or give the next two.
        epochs: number of epochs, >= 1.
        steps_per_epoch: updates in each, >= 1.
        pct_start: part of the steps that rises, a float in [0, 1]; not `1 / total_steps`, where torch divides by zero.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum is cycled too, which has no effect on the rate.
        base_momentum: momentum at the top of the rate, >= 0.
        max_momentum: momentum at the first and the last step, >= 0.
        div_factor: what the first value is smaller by, > 0.
        final_div_factor: what the last value is smaller by than the first, > 0.
        three_phase: whether to return to the first value before falling to the last.
        field: "lr", or "momentum" for the curve of the momentum, which drives a `ScheduleLR` of that field.

    Raises:
        ValueError: the number of steps is missing, or a momentum is asked for that is not cycled.

    Examples:
        >>> s = OneCycleLR(max_lr=0.1, total_steps=1000)
        >>> s(0), s(299), s.length
        (0.004, 0.1, 999)
        >>> OneCycleLR(max_lr=0.1, total_steps=1000, field="momentum")
        Cosine(0.95, 0.85, steps=299) >> Cosine(0.85, 0.95, steps=700)
    """
    if total_steps is None:
        if epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR(total_steps=...) must be given, or epochs=... and steps_per_epoch=...")
        total_steps = epochs * steps_per_epoch
    top = float(pct_start * total_steps) - 1
    ends = [top, float(2 * pct_start * total_steps) - 2] if three_phase else [top]
    if field == "momentum":
        must(cycle_momentum, "OneCycleLR(field=...)", "'lr' if cycle_momentum is False", field)
        return one_cycle(max_momentum, base_momentum, max_momentum, total_steps, ends, anneal_strategy)
    initial = max_lr / div_factor
    return one_cycle(initial, max_lr, initial / final_div_factor, total_steps, ends, anneal_strategy)


@checked
def one_cycle(
    initial_lr: Rate,
    max_lr: Rate,
    min_lr: Rate,
    total_steps: Length,
    ends: Annotated[Sequence[float], Many(Real(low=-2.0))],
    anneal_strategy: Anneal = "cos",
) -> Schedule:
    """`OneCycleLR` from the numbers that torch keeps in the scheduler and its parameter group.

    Args:
        initial_lr: first value.
        max_lr: highest value.
        min_lr: last value, of update `total_steps - 1`.
        total_steps: all updates, >= 1.
        ends: the times at which the phases before the last end: one, or two.
        anneal_strategy: "cos" or "linear".

    Examples:
        >>> one_cycle(0.1, 0.5, 0.0, total_steps=11, ends=[4.0], anneal_strategy="linear")
        Linear(0.1, 0.5, steps=4) >> Linear(0.5, 0.0, steps=6)
    """
    must(ends[0] != 0.0, "OneCycleLR(pct_start=...)", "no 1 / total_steps, where torch divides by zero", ends[0])
    shape = Cosine if anneal_strategy == "cos" else Linear
    return phases(initial_lr, max_lr, min_lr, total_steps - 1, ends, shape)


@checked
def SWALR(lr: Rate, swa_lr: Rate, anneal_epochs: Count = 10, anneal_strategy: Anneal = "cos") -> Schedule:
    """From the rate that the optimizer has to the constant rate of stochastic weight averaging.

    Args:
        lr: rate when the scheduler begins.
        swa_lr: rate after `anneal_epochs` steps.
        anneal_epochs: steps of the way, >= 0.
        anneal_strategy: "cos" or "linear".

    Examples:
        >>> SWALR(0.1, swa_lr=0.05, anneal_epochs=20)
        Cosine(0.1, 0.05, steps=20)
    """
    if anneal_epochs == 0:
        return Constant(swa_lr)
    return (Cosine if anneal_strategy == "cos" else Linear)(lr, swa_lr, anneal_epochs)
