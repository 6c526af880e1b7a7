"""The policies of NeMo that hold the rate after the warm-up."""

from typing import Annotated, Any

from lrsched._check import Real
from lrsched._combine import Maximum
from lrsched._decays import PowerLaw
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Linear, Monomial, Polynomial
from lrsched.compat._args import Length, Positive, Rate, checked, must
from lrsched.compat._pieces import late, then

Part = Annotated[float | None, Real(low=0.0, high=1.0, optional=True)]


def _steps(where: str, name: str, steps: int | None, ratio: float | None, total: int | None) -> int:
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
    if warmup and first == warmup + 1 and begin <= warmup and body(warmup - begin) == lr:
        first = warmup
    rest = late(body, first - begin)
    if end is not None:
        length = body.length
        ends_there = length is not None and begin + length <= end and body(length) == min_lr
        rest = rest if ends_there and first <= end else then(end + 1 - first, rest, Constant(min_lr))
    ramp = late(Linear(0.0, lr, warmup + 1), 1)
    steps = min(first, warmup + 1) if warmup else 0
    return then(steps, ramp, then(first - steps, Constant(lr, max(first - steps, 1)), rest))


def _held(where: str, max_steps: int, given: dict[str, Any]) -> tuple[int, int]:
    """Return the steps of the warm-up and the step at which the hold ends, or 0 if there is none."""
    unknown = set(given) - {"warmup_steps", "warmup_ratio", "hold_steps", "hold_ratio"}
    if unknown:
        raise TypeError(f"{where}() got an unexpected argument {min(unknown)!r}")
    warmup = _steps(where, "warmup", given.get("warmup_steps"), given.get("warmup_ratio"), max_steps)
    hold = _steps(where, "hold", given.get("hold_steps"), given.get("hold_ratio"), max_steps)
    held = given.get("hold_steps") is not None or given.get("hold_ratio") is not None
    must(warmup >= 0 and hold >= 0, f"{where}(hold_steps=...)", ">= 0", hold)
    return warmup, hold + warmup if held else 0


@checked
def WarmupHoldPolicy(lr: Rate, *, max_steps: Length, min_lr: Rate = 0.0, **phases: Any) -> Schedule:
    """A warm-up, then the rate itself until step `max_steps`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step before `min_lr`.
        min_lr: rate after it, >= 0.
        **phases: `warmup_steps` or `warmup_ratio`, `hold_steps` or `hold_ratio`.

    Examples:
        >>> WarmupHoldPolicy(1.0, max_steps=10, warmup_steps=3, hold_steps=4)(10)
        1.0
    """
    warmup, hold = _held("WarmupHoldPolicy", max_steps, phases)
    return _policy(lr, warmup, 0, Constant(lr), max_steps, min_lr, hold)


@checked
def WarmupHoldAnnealOneMinusSquareRoot(lr: Rate, *, max_steps: Length, min_lr: Rate = 0.0, **phases: Any) -> Schedule:
    """Warm-up, hold, then `max(min_lr, lr * (1 - sqrt(x)))`, x the part of the steps after the hold gone.

    Without a hold x counts from step 0, so the rate jumps after the warm-up.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: lowest rate, >= 0.
        **phases: `warmup_steps` or `warmup_ratio`, `hold_steps` or `hold_ratio`.

    Examples:
        >>> WarmupHoldAnnealOneMinusSquareRoot(1.0, max_steps=10, warmup_steps=2, hold_steps=4)(7)
        0.5
    """
    where = "WarmupHoldAnnealOneMinusSquareRoot"
    warmup, hold = _held(where, max_steps, phases)
    must(hold < max_steps, f"{where}(max_steps=...)", f"> {hold}, where the hold ends", max_steps)
    body: Schedule = Monomial(lr, 0.0, max_steps - hold, power=0.5)
    return _policy(lr, warmup, hold, _floored(body, min_lr), max_steps, min_lr, hold)


def _floored(body: Schedule, low: float) -> Schedule:
    return Maximum((body, Constant(low))) if low else body


@checked
def WarmupHoldAnnealLinear(lr: Rate, *, max_steps: Length, min_lr: Rate = 0.0, **phases: Any) -> Schedule:
    """Warm-up, hold, then a line to `min_lr` at step `max_steps`; without a hold the line counts from step 0.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the line.
        min_lr: last rate, >= 0.
        **phases: `warmup_steps` or `warmup_ratio`, `hold_steps` or `hold_ratio`.

    Examples:
        >>> WarmupHoldAnnealLinear(1.0, max_steps=10, warmup_steps=2, hold_steps=4)(8)
        0.5
    """
    warmup, hold = _held("WarmupHoldAnnealLinear", max_steps, phases)
    must(hold < max_steps, "WarmupHoldAnnealLinear(max_steps=...)", f"> {hold}, where the hold ends", max_steps)
    return _policy(lr, warmup, hold, Linear(lr, min_lr, max_steps - hold), max_steps, min_lr, hold)


def _rest(where: str, max_steps: int, warmup: int) -> int:
    must(warmup < max_steps, f"{where}(max_steps=...)", f"> warmup_steps={warmup!r}", max_steps)
    return max_steps - warmup


@checked
def NoamHoldAnnealing(
    lr: Rate, *, max_steps: Length, decay_rate: Rate = 0.5, min_lr: Rate = 0.0, **phases: Any
) -> Schedule:
    """Warm-up, hold, then `max(min_lr, lr * (warmup_steps / (t - hold_steps)) ** decay_rate)`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step before `min_lr`.
        decay_rate: exponent, >= 0.
        min_lr: lowest rate, >= 0.
        **phases: `warmup_steps` or `warmup_ratio` (at least one step), `hold_steps` or `hold_ratio`.

    Examples:
        >>> NoamHoldAnnealing(1.0, max_steps=100, warmup_steps=4, hold_steps=10)(26)
        0.5
    """
    where = "NoamHoldAnnealing"
    warmup, hold = _held(where, max_steps, phases)
    must(warmup > 0, f"{where}(warmup_steps=...)", ">= 1", warmup)
    begin = max(hold, warmup)
    body = _floored(PowerLaw(lr, decay_rate, timescale=warmup), min_lr)
    return _policy(lr, warmup, begin, body, max_steps, min_lr, hold)


@checked
def PolynomialHoldDecayAnnealing(
    lr: Rate, *, max_steps: Length, min_lr: Rate = 0.0, power: Positive = 1.0, **phases: Any
) -> Schedule:
    """Warm-up, hold, then `min_lr + (lr - min_lr) * (1 - x) ** power`, x the part of the steps after the hold gone.

    Without a hold x counts from step 0, and is 1 at step `max_steps - warmup_steps`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        max_steps: last step of the decay.
        min_lr: last rate, >= 0.
        power: exponent, > 0.
        **phases: `warmup_steps` or `warmup_ratio`, `hold_steps` or `hold_ratio`.

    Examples:
        >>> PolynomialHoldDecayAnnealing(1.0, max_steps=10, warmup_steps=2, hold_steps=4, power=2.0)(8)
        0.25
    """
    where = "PolynomialHoldDecayAnnealing"
    warmup, hold = _held(where, max_steps, phases)
    body = Polynomial(lr, min_lr, _rest(where, max_steps, max(warmup, hold)), power)
    return _policy(lr, warmup, hold, body, max_steps, min_lr, hold)
