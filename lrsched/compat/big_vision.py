"""The learning-rate schedule of big_vision, `big_vision.utils.create_learning_rate_schedule`."""

from collections.abc import Sequence
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, Many, OrNone, Real
from lrsched._curves import Constant, Cosine, Extend, Linear, Polynomial, PowerLaw, Schedule
from lrsched._recipes.decimals import product
from lrsched.compat._tools import (
    Length,
    LengthOrNone,
    OnOff,
    PositiveOrNone,
    Rate,
    RateOrNone,
    after,
    checked,
    late,
    must,
    over,
    stairs,
    warmed,
    whole,
    without_effect,
)

__all__ = ["create_learning_rate_schedule"]

_UNITS = ("steps", "examples", "epochs", "percent")
_POWERS = ("power", "end", "linear_end")
_SCALES = ("timescale", "shift", *(f"{name}_{unit}" for name in ("timescale", "shift") for unit in _UNITS))
# What each decay reads beside the durations of warm-up and cool-down.
_READ: dict[str, tuple[str, ...]] = {
    "cosine": (),
    "linear": _POWERS,
    "polynomial": _POWERS,
    "rsqrt": _SCALES,
    "stair": ("steps", "mults"),
}
_DURATIONS = tuple(f"{name}_{unit}" for name in ("warmup", "cooldown") for unit in _UNITS)


@checked
def create_learning_rate_schedule(
    total_steps: Length,
    batch_size: LengthOrNone = None,
    data_size: LengthOrNone = None,
    base: Rate = 1.0,
    decay_type: Annotated[str, Choice(("stair", "linear", "polynomial", "cosine", "rsqrt"))] = "stair",
    scale_with_batchsize: OnOff = False,
    power: PositiveOrNone = None,
    end: RateOrNone = None,
    timescale: PositiveOrNone = None,
    shift: RateOrNone = None,
    steps: Annotated[Sequence[int], Many(Int(low=0), least=0)] = (),
    mults: Annotated[Sequence[float], Many(Real(low=0.0), least=0)] = (),
    linear_end: RateOrNone = None,
    **durations: Any,
) -> Schedule:
    """One of four decays, times a linear warm-up, times a linear cool-down, which goes on below zero after the end.

    "linear" and "polynomial": `end + (base - end) * (1 - x) ** power`, x the part of the steps after the warm-up gone;
    "cosine": `base * (1 + cos(pi * x)) / 2`; "rsqrt": `base / sqrt(1 + (u + shift) / timescale)`, u the steps since the
    warm-up; "stair": `base * mults[k]` from `steps[k]` on.

    Args:
        total_steps: updates of the training.
        batch_size: examples of an update, for the lengths in examples or epochs and for the scaling.
        data_size: examples of an epoch.
        base: the rate, >= 0.
        decay_type: name of the decay. What the decay does not read is refused.
        scale_with_batchsize: whether to multiply `base` by `batch_size / 256`.
        power: exponent of "linear" and "polynomial", > 0; None stands for 1.
        end: last value of "linear" and "polynomial", >= 0; None stands for 0.
        timescale: steps before the fall of "rsqrt" is felt, > 0; None stands for 10,000.
        shift: steps by which "rsqrt" has fallen already; None stands for 0.
        steps: increasing boundaries of "stair".
        mults: multipliers of `base` from each boundary on.
        linear_end: another name of `end`.
        **durations: `warmup_...` and `cooldown_...`, with "rsqrt" `timescale_...` and `shift_...` too, each in one of
            `steps` (taken as they are), `examples`, `epochs` or `percent` (a part of the training), these three rounded
            to steps, and to at least one unless 0. A negative one counts as not given.

    Raises:
        TypeError: an argument is unknown, or the decay does not read it.
        ValueError: the warm-up takes the whole training, a length is given in two units or not convertible, or an
            argument is out of range.

    Examples:
        >>> create_learning_rate_schedule(100, base=0.1, decay_type="cosine", warmup_percent=0.1)
        Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.0, steps=90)

    References:
        big_vision at 0127fb6 (2025-05-19), big_vision/utils.py. It computes in float32.
    """
    where = "create_learning_rate_schedule"
    without_effect(where, durations, [*_DURATIONS, *_SCALES])
    plain = {"power": power, "end": end, "linear_end": linear_end, "timescale": timescale, "shift": shift}
    given = {**plain, "steps": steps or None, "mults": mults or None, **durations}
    for name, value in given.items():
        read = value is None or name in (*_READ[decay_type], *_DURATIONS)
        if not read:
            raise TypeError(f"{where}({name}=...) must be left out with decay_type={decay_type!r}, got {value!r}")
    both = end is not None and linear_end is not None
    must(not both, f"{where}(linear_end=...)", "left out if end is given", linear_end)
    sizes = (total_steps, batch_size, data_size)
    warmup = _steps(where, "warmup", durations, *sizes, 0.0)
    cooldown = _steps(where, "cooldown", durations, *sizes, 0.0)
    must(warmup < total_steps or total_steps <= 1, f"{where}(warmup_steps=...)", f"< {total_steps}", warmup)
    must(batch_size is not None or not scale_with_batchsize, f"{where}(batch_size=...)", "given", batch_size)
    top = base * (batch_size or 256) / 256.0 if scale_with_batchsize else base
    rest = whole(max(total_steps - warmup, 1))
    body: Schedule
    if decay_type == "cosine":
        body = over(rest, lambda n: Cosine(top, 0.0, n))
    elif decay_type == "rsqrt":
        scale = _steps(where, "timescale", durations, *sizes, 10_000.0 if timescale is None else timescale)
        must(scale > 0, f"{where}(timescale_steps=...)", "> 0", scale)
        offset = _steps(where, "shift", durations, *sizes, shift or 0.0)
        top = top * (1.0 + offset / scale) ** -0.5
        body = PowerLaw(top, 0.5, timescale=scale + offset)
    elif decay_type == "stair":
        must(len(mults) == len(steps), f"{where}(mults=...)", f"{len(steps)} numbers", mults)
        must(list(steps) == sorted(steps), f"{where}(steps=...)", "in increasing order", steps)
        body = stairs(steps, [top, *(product(top, mult) for mult in mults)])
        if warmup:
            body, warmup = warmed(warmup, 0.0, 1.0, Constant(1.0)) * body, 0.0
    else:
        low = end or linear_end or 0.0
        exponent = 1.0 if power is None else power
        body = over(rest, lambda n: Linear(top, low, n) if exponent == 1.0 else Polynomial(top, low, n, exponent))
    schedule = warmed(warmup, 0.0, top, body)
    if not cooldown:
        return schedule
    fall = over(cooldown, lambda n: Extend(Linear(1.0, 0.0, n)))
    stable = whole(total_steps - cooldown)
    return schedule * (after(stable, fall) if stable > 0 else late(fall, -stable))


def _steps(
    where: str,
    name: str,
    given: dict[str, Any],
    total: int,
    batch_size: int | None,
    data_size: int | None,
    default: float,
) -> float:
    """Return a duration in steps, as big_vision's `steps` has it."""
    rule, found = OrNone(Real()), {}
    for unit in _UNITS:
        content = rule(f"{where}({name}_{unit}=...)", given.get(f"{name}_{unit}"))
        if content is not None and content >= 0.0:
            found[unit] = content
    must(len(found) <= 1, f"{where}({name}_...)", "given in one unit", list(found))
    if not found:
        return whole(default)
    ((unit, amount),) = found.items()
    if unit == "steps":
        return whole(amount)
    if unit == "percent":
        must(amount <= 1.0, f"{where}({name}_percent=...)", "a part of the training, <= 1", amount)
        number = amount * total
    else:
        must(batch_size is not None, f"{where}(batch_size=...)", f"given for {name}_{unit}", batch_size)
        must(unit == "examples" or data_size is not None, f"{where}(data_size=...)", f"given for {name}_epochs", None)
        size = batch_size or 1
        number = amount / size if unit == "examples" else amount * ((data_size or 1) / size)
    return max(1, round(number)) if number else 0
