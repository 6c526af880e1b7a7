"""The learning-rate schedule of big_vision, `big_vision.utils.create_learning_rate_schedule`."""

from collections.abc import Sequence
from typing import Annotated, Any

from lrsched._check import Choice, Int, Many, Real
from lrsched._decays import PowerLaw
from lrsched._modifiers import Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear, Polynomial
from lrsched.compat._args import Count, Length, LengthOrNone, OnOff, Positive, Rate, checked, must, without_effect
from lrsched.compat._pieces import late, stairs, then, warmed

__all__ = ["create_learning_rate_schedule"]

_UNITS = ("steps", "examples", "epochs", "percent")


@checked
def create_learning_rate_schedule(
    total_steps: Length,
    batch_size: LengthOrNone = None,
    data_size: LengthOrNone = None,
    base: Rate = 1.0,
    decay_type: Annotated[str, Choice(("stair", "linear", "polynomial", "cosine", "rsqrt"))] = "stair",
    scale_with_batchsize: OnOff = False,
    power: Positive = 1,
    end: Rate = 0,
    timescale: Positive = 10_000,
    timescale_examples: Annotated[float | None, Real(low=0.0, open_low=True, optional=True)] = None,
    shift: Count = 0,
    steps: Annotated[Sequence[int], Many(Int(low=0), least=0)] = (),
    mults: Annotated[Sequence[float], Many(Real(low=0.0), least=0)] = (),
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
        decay_type: name of the decay.
        scale_with_batchsize: whether to multiply `base` by `batch_size / 256`.
        power: exponent of "polynomial", > 0.
        end: last value of "linear" and "polynomial", >= 0.
        timescale: steps before the fall of "rsqrt" is felt, > 0.
        timescale_examples: the same in examples.
        shift: steps by which "rsqrt" has fallen already.
        steps: increasing boundaries of "stair".
        mults: multipliers of `base` from each boundary on.
        **durations: `warmup_...` and `cooldown_...`, each in one of `steps`, `examples`, `epochs` or `percent` (a part
            of the training), rounded, and at least one step unless 0.

    Raises:
        ValueError: the warm-up takes the whole training, a length is given in two units or not convertible, or an
            argument is out of range.

    Examples:
        >>> create_learning_rate_schedule(100, base=0.1, decay_type="cosine", warmup_percent=0.1)
        Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.0, steps=90)

    References:
        big_vision at 11eea57, utils.py. It computes in float32.
    """
    where = "create_learning_rate_schedule"
    without_effect(where, durations, [f"{name}_{unit}" for name in ("warmup", "cooldown") for unit in _UNITS])
    warmup = _steps(where, "warmup", durations, total_steps, batch_size, data_size)
    cooldown = _steps(where, "cooldown", durations, total_steps, batch_size, data_size)
    must(warmup < total_steps or total_steps <= 1, f"{where}(warmup_steps=...)", f"< {total_steps}", warmup)
    scaled = scale_with_batchsize or timescale_examples is not None
    must(batch_size is not None or not scaled, f"{where}(batch_size=...)", "given", batch_size)
    top = base * (batch_size or 256) / 256.0 if scale_with_batchsize else base
    rest = max(total_steps - warmup, 1)
    body: Schedule
    if decay_type == "cosine":
        body = Cosine(top, 0.0, rest)
    elif decay_type == "rsqrt":
        scale = timescale if timescale_examples is None else timescale_examples / (batch_size or 1)
        top = top * (1.0 + shift / scale) ** -0.5
        body = PowerLaw(top, 0.5, timescale=scale + shift)
    elif decay_type == "stair":
        must(len(mults) == len(steps), f"{where}(mults=...)", f"{len(steps)} numbers", mults)
        must(list(steps) == sorted(steps), f"{where}(steps=...)", "in increasing order", steps)
        body = stairs(steps, [top, *(top * mult for mult in mults)])
        if warmup:
            body, warmup = Linear(0.0, 1.0, warmup) * body, 0
    else:
        body = Linear(top, end, rest) if power == 1 else Polynomial(top, end, rest, power)
    schedule = warmed(warmup, 0.0, top, body)
    if not cooldown:
        return schedule
    fall = Extend(Linear(1.0, 0.0, cooldown))
    stable = total_steps - cooldown
    return schedule * (then(stable, Constant(1.0, stable), fall) if stable > 0 else late(fall, -stable))


def _steps(
    where: str, name: str, given: dict[str, Any], total: int, batch_size: int | None, data_size: int | None
) -> int:
    found = [unit for unit in _UNITS if given.get(f"{name}_{unit}") is not None]
    must(len(found) <= 1, f"{where}({name}_...)", "given in one unit", found)
    if not found:
        return 0
    unit = found[0]
    label = f"{where}({name}_{unit}=...)"
    if unit == "steps":
        return Int(low=0)(label, given[f"{name}_steps"]) or 0
    amount = Real(low=0.0, high=1.0 if unit == "percent" else float("inf"))(label, given[f"{name}_{unit}"]) or 0.0
    if unit == "percent":
        number = amount * total
    else:
        must(batch_size is not None, f"{where}(batch_size=...)", f"given for {name}_{unit}", batch_size)
        must(unit == "examples" or data_size is not None, f"{where}(data_size=...)", f"given for {name}_epochs", None)
        number = amount * (data_size if unit == "epochs" and data_size else 1) / (batch_size or 1)
    return max(1, round(number)) if number else 0
