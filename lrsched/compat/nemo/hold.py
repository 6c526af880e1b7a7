"""The policies of NeMo that hold the rate after the warm-up."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple, TypedDict, Unpack

from lrsched._core.check import OrNone, Real
from lrsched._curves import Constant, Linear, Monomial, Polynomial, PowerLaw, Schedule
from lrsched.compat._tools import (
    CountOrNone,
    Default,
    Length,
    OnOff,
    Positive,
    Rate,
    checked,
    floored,
    late,
    must,
    then,
)

Part = Annotated[float | None, OrNone(Real(low=0.0, high=1.0))]


class Warmed(TypedDict, total=False):
    """A warm-up: a number of steps, or a part of all."""

    warmup_steps: Annotated[CountOrNone, Default(None)]
    warmup_ratio: Annotated[Part, Default(None)]


class Held(Warmed, total=False):
    """A warm-up, and how long the rate is held after it."""

    hold_steps: Annotated[CountOrNone, Default(None)]
    hold_ratio: Annotated[Part, Default(None)]


class Tailed(Warmed, total=False):
    """A warm-up, and how long the last rate is held at the end."""

    constant_steps: Annotated[CountOrNone, Default(None)]
    constant_ratio: Annotated[Part, Default(None)]


def _steps(where: str, name: str, total: int | None, given: Mapping[str, Any]) -> int:
    steps: int | None = given[f"{name}_steps"]
    ratio: float | None = given[f"{name}_ratio"]
    must(steps is None or ratio is None, f"{where}({name}_ratio=...)", f"None if {name}_steps is given", ratio)
    if ratio is None:
        return steps or 0
    must(total is not None, f"{where}(max_steps=...)", f"given if {name}_ratio is", total)
    return int(ratio * (total or 0))


def _policy(
    lr: float, warmup: int, begin: int, body: Schedule, end: int | None, min_lr: float, hold: int = 0
) -> Schedule:
    """Return warm-up, the rate up to step `hold`, then `body`, whose clock is 0 at step `begin`, and `min_lr`.

    The warm-up owns the step `warmup` too, and the body step `end`.
    """
    first = max(warmup + 1 if warmup else 0, hold)
    joined = warmup > 0 and begin <= warmup and (end is None or warmup < end)
    if joined and first == warmup + 1 and body(warmup - begin) == lr:
        first = warmup
    rest = late(body, first - begin)
    if end is not None:
        length = body.length
        ends_there = length is not None and begin + length <= end and body(length) == min_lr
        rest = rest if ends_there and first <= end else then(end + 1 - first, rest, Constant(min_lr))
    ramp = late(Linear(0.0, lr, warmup + 1), 1)
    steps = min(first, warmup + 1) if warmup else 0
    return then(steps, ramp, then(first - steps, Constant(lr, max(first - steps, 1)), rest))


class _Phases(NamedTuple):
    """The steps of a warm-up, the step at which the hold ends (0 where none is asked for), and the last step."""

    warmup: int
    hold: int
    end: int

    @property
    def first(self) -> int:
        """The first step after both, which has the decay if it does not lie after the end."""
        return max(self.warmup + 1 if self.warmup else 0, self.hold)

    @property
    def decays(self) -> bool:
        """Whether any step has the decay."""
        return self.first <= self.end

    def policy(self, lr: float, begin: int, body: Callable[[], Schedule], min_lr: float) -> Schedule:
        """Return the policy whose decay has its clock at 0 at step `begin`."""
        made = body() if self.decays else Constant(lr)
        return _policy(lr, self.warmup, begin, made, self.end, min_lr, self.hold)


def _held(where: str, end: int, given: Held, divides: bool = True) -> _Phases:
    """Return the phases of a policy with a hold.

    Args:
        where: what an error names.
        end: last step.
        given: the warm-up and the hold.
        divides: whether NeMo divides by the steps after the hold.
    """
    rise, holds = _steps(where, "warmup", end, given), (given["hold_steps"], given["hold_ratio"]) != (None, None)
    found = _Phases(rise, rise + _steps(where, "hold", end, given) if holds else 0, end)
    fails = divides and found.decays and found.hold == end
    must(not fails, f"{where}(max_steps=...)", f"other than {found.hold}, where the hold ends: NeMo divides by 0", end)
    return found


@checked
def WarmupHoldPolicy(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Held],
) -> Schedule:
    """A warm-up, then the rate itself until step `max_steps`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step before `min_lr`.
        min_lr: rate after it, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`, rounded down; not both.
        hold_steps: steps of the hold.
        hold_ratio: the same as a part of `max_steps`, rounded down; not both.

    Examples:
        >>> WarmupHoldPolicy(1.0, max_steps=10, warmup_steps=3, hold_steps=4)(10)
        1.0
    """
    phases = _held("WarmupHoldPolicy", max_steps, given, divides=False)
    return phases.policy(lr, 0, lambda: Constant(lr), min_lr)


@checked
def WarmupHoldAnnealOneMinusSquareRoot(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Held],
) -> Schedule:
    """Warm-up, hold, then `max(min_lr, lr * (1 - sqrt(x)))`, x the part of the steps after the hold gone.

    Without a hold x counts from step 0, so the rate jumps after the warm-up.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: lowest rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`, rounded down; not both.
        hold_steps: steps of the hold.
        hold_ratio: the same as a part of `max_steps`, rounded down; not both.

    Examples:
        >>> WarmupHoldAnnealOneMinusSquareRoot(1.0, max_steps=10, warmup_steps=2, hold_steps=4)(7)
        0.5
    """
    where = "WarmupHoldAnnealOneMinusSquareRoot"
    phases = _held(where, max_steps, given)
    return phases.policy(
        lr, phases.hold, lambda: floored(Monomial(lr, 0.0, max_steps - phases.hold, power=0.5), min_lr), min_lr
    )


@checked
def WarmupHoldAnnealLinear(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    **given: Unpack[Held],
) -> Schedule:
    """Warm-up, hold, then a line to `min_lr` at step `max_steps`; without a hold the line counts from step 0.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the line.
        min_lr: last rate, >= 0.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`, rounded down; not both.
        hold_steps: steps of the hold.
        hold_ratio: the same as a part of `max_steps`, rounded down; not both.

    Examples:
        >>> WarmupHoldAnnealLinear(1.0, max_steps=10, warmup_steps=2, hold_steps=4)(8)
        0.5
    """
    phases = _held("WarmupHoldAnnealLinear", max_steps, given)
    return phases.policy(lr, phases.hold, lambda: Linear(lr, min_lr, max_steps - phases.hold), min_lr)


@checked
def NoamHoldAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    decay_rate: Rate = 0.5,
    min_lr: Rate = 0.0,
    **given: Unpack[Held],
) -> Schedule:
    """Warm-up, hold, then `max(min_lr, lr * (warmup_steps / (t - hold_steps)) ** decay_rate)`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step before `min_lr`.
        decay_rate: exponent, >= 0.
        min_lr: lowest rate, >= 0.
        warmup_steps: steps of the warm-up, >= 1.
        warmup_ratio: the same as a part of `max_steps`, rounded down; not both.
        hold_steps: steps of the hold.
        hold_ratio: the same as a part of `max_steps`, rounded down; not both.

    Examples:
        >>> NoamHoldAnnealing(1.0, max_steps=100, warmup_steps=4, hold_steps=10)(26)
        0.5
    """
    where = "NoamHoldAnnealing"
    phases = _held(where, max_steps, given, divides=False)
    must(phases.warmup > 0 or not phases.decays, f"{where}(warmup_steps=...)", ">= 1", phases.warmup)
    return phases.policy(
        lr,
        max(phases.hold, phases.warmup),
        lambda: floored(PowerLaw(lr, decay_rate, timescale=phases.warmup), min_lr),
        min_lr,
    )


@checked
def PolynomialHoldDecayAnnealing(
    lr: Rate,
    *,
    max_steps: Length,
    min_lr: Rate = 0.0,
    power: Positive = 1.0,
    cycle: OnOff = False,
    **given: Unpack[Held],
) -> Schedule:
    """Warm-up, hold, then `min_lr + (lr - min_lr) * (1 - x) ** power`, x the part of the steps after the hold gone.

    Without a hold x counts from step 0, and is 1 at step `max_steps - warmup_steps`; then a `cycle` takes twice as many
    steps for the whole, so that the rate jumps up again.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: last rate, >= 0.
        power: exponent, > 0.
        cycle: whether steps after the end of x belong to a longer decay; changes nothing with a hold.
        warmup_steps: steps of the warm-up.
        warmup_ratio: the same as a part of `max_steps`, rounded down; not both.
        hold_steps: steps of the hold.
        hold_ratio: the same as a part of `max_steps`, rounded down; not both.

    Examples:
        >>> PolynomialHoldDecayAnnealing(1.0, max_steps=10, warmup_steps=2, hold_steps=4, power=2.0)(8)
        0.25
    """
    where = "PolynomialHoldDecayAnnealing"
    phases = _held(where, max_steps, given)

    def body() -> Schedule:
        steps = max_steps - max(phases.warmup, phases.hold)
        if not cycle or phases.hold:
            return Polynomial(lr, min_lr, steps, power)
        # Cycle k reaches the end at step k * steps; those after the warm-up are in two of them at most.
        before, last = max(-(-phases.first // steps), 1), -(-max_steps // steps)
        ends = [Polynomial(lr, min_lr, k * steps, power) for k in range(before, last + 1)]
        return ends[0] if len(ends) == 1 else then(before * steps + 1, ends[0], late(ends[1], before * steps + 1))

    return phases.policy(lr, phases.hold, body, min_lr)
