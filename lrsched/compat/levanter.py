"""The learning-rate schedule of Levanter 1.2, `levanter.optim.OptimizerConfig.lr_scheduler`.

One function makes all of them: a warm-up, a stable phase and a decay, in cycles if asked for. Levanter computes in
float32; these compute in float64.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, OrNone, Real, is_sequence
from lrsched._curves import Constant, Harmonic, Linear, Minimum, PowerLaw, Schedule
from lrsched.compat import optax
from lrsched.compat._tools import (
    Length,
    Rate,
    RateOrNone,
    Section,
    checked,
    dictionary,
    floored,
    join,
    late,
    must,
    number,
)

__all__ = ["lr_scheduler"]

# A number up to 1 is a part of the steps, one above it a whole number of steps.
Part = Annotated[float, Real(low=0.0)]
PartOrNone = Annotated[float | None, OrNone(Real(low=0.0))]

_WHERE = "lr_scheduler"
_OPTIONS: dict[str, dict[str, float | None]] = {
    "constant": {},
    "cosine": {"exponent": 1.0},
    "linear": {},
    "inv_sqrt": {"timescale": 10000.0},
    "inv": {},
    "power": {"batch_size": None, "seq_length": None, "a": 4.6, "b": -0.51},
}


@checked
def lr_scheduler(
    num_train_steps: Length,
    learning_rate: Rate = 6e-4,
    min_lr_ratio: Rate = 0.1,
    warmup: Part = 0.01,
    decay: PartOrNone = None,
    rewarmup: Part = 0.0,
    cooldown: PartOrNone = None,
    cycle_length: Any = None,
    cycles: Any = None,
    lr_schedule: Any = "cosine",
    haps: Any = None,
    *,
    override_lr: RateOrNone = None,
) -> Schedule:
    """Warm-up, stable phase, decay; in cycles of it with `cycle_length`, `cycles` or `haps`; then a line.

    A length up to 1 is a part of the cycle (of the training for `cooldown` and `cycle_length`), rounded down; one above
    1 is a number of steps. So 1 means all steps, not one. A warm-up of the first cycle begins at 0, another where the
    cycle before ended.

    Args:
        num_train_steps: steps of the training.
        learning_rate: the highest rate, >= 0.
        min_lr_ratio: the lowest rate relative to it, >= 0.
        warmup: length of the warm-up of the first cycle.
        decay: length of each decay; None stands for all that the warm-up leaves, so that there is no stable phase.
        rewarmup: length of the warm-up of each later cycle.
        cooldown: length of the line to the lowest rate at the end of the training, or None.
        cycle_length: length of each cycle, or a list of numbers of steps. The last cycle takes all steps that are left.
        cycles: number of cycles, or a list of the steps at which they end.
        lr_schedule: the decay, "constant", "cosine", "linear", "inv_sqrt" (which floors at the lowest rate and is flat
            up to its timescale, 10000), "inv" (`1 / (1 / lr + ...)`, which meets the lowest rate), or a dictionary of
            its name as "type" and its arguments: "exponent" of a cosine, "timescale" of an inv_sqrt, "batch_size",
            "seq_length", "a" = 4.6 and "b" = -0.51 of a power, `batch_size * a * tokens ** b`, the tokens counted since
            the decay began and without overflow.
        haps: another name of a list of `cycles`.
        override_lr: a rate in place of `learning_rate`.

    Raises:
        TypeError: a length, list or dictionary is of the wrong kind.
        ValueError: an argument is out of range, or the phases do not fit in the cycle.

    Examples:
        >>> lr_scheduler(1000, 1.0)
        Linear(0.0, 1.0, steps=10) >> Cosine(1.0, 0.1, steps=990)
        >>> lr_scheduler(100, 1.0, min_lr_ratio=0.5, warmup=10, decay=0.25, lr_schedule="linear")
        Linear(0.0, 1.0, steps=10) >> Constant(1.0, steps=65) >> Linear(1.0, 0.5, steps=25)

    References:
        Levanter 1.2.dev1644, optim/config.py.
    """
    name, options = _options(lr_schedule)
    last = _steps("cooldown", cooldown, num_train_steps) if cooldown is not None else 0
    main = num_train_steps - last
    top = learning_rate if override_lr is None else override_lr
    low = top * min_lr_ratio
    schedules: list[Schedule] = []
    boundaries: list[int] = []
    end = 0.0
    for index, (begin, stop) in enumerate(pairwise(_ends(main, cycle_length, cycles, haps))):
        steps = stop - begin
        rise = _steps("rewarmup" if index else "warmup", rewarmup if index else warmup, steps)
        fall = _steps("decay", decay, steps) if decay is not None else steps - rise
        stable = steps - rise - fall
        if rise:
            schedules.append(Linear(end, top, rise))
            boundaries.append(begin + rise)
        if stable:
            schedules.append(Constant(top))
            boundaries.append(begin + rise + stable)
        curve, end = _decay(name, options, top, low, rise, fall)
        schedules.append(curve)
        boundaries.append(stop)
    if last:
        schedules.append(Linear(end, low, last))
    return join(schedules, boundaries[: len(schedules) - 1])


def _steps(name: str, part: float, total: int) -> int:
    """Return the steps that a part of the total or a number of steps stands for."""
    must(part <= 1.0 or part == int(part), f"{_WHERE}({name}=...)", "a part up to 1 or a whole number of steps", part)
    return int(part * total) if part <= 1.0 else int(part)


def _whole_numbers(name: str, items: Sequence[Any]) -> list[int]:
    return [Int(low=1)(f"{_WHERE}({name}=...)[{i}]", item) for i, item in enumerate(items)]


def _ends(total: int, cycle_length: Any, cycles: Any, haps: Any) -> list[int]:
    """Return the steps between which the cycles lie, from 0 to `total`."""
    where = f"{_WHERE}(cycle_length=...)"
    ends: list[int] = []
    name = "cycle_length"
    if cycle_length is not None:
        must(cycles is None and haps is None, where, "None where cycles or haps are given", cycle_length)
        if is_sequence(cycle_length):
            ends = list(accumulate(_whole_numbers(name, cycle_length)))
        else:
            size = _steps(name, Real(low=0.0, open_low=True)(where, cycle_length), total)
            must(size > 0, where, "at least one step", cycle_length)
            ends = [i * size for i in range(1, total // size)]
    elif haps is not None or is_sequence(cycles):
        name, given = ("haps", haps) if haps is not None else ("cycles", cycles)
        if not is_sequence(given):
            raise TypeError(f"{_WHERE}({name}=...) must be a list of steps or None, got {given!r}")
        ends = _whole_numbers(name, given)
    elif cycles is not None:
        name, count = "cycles", Int(low=1)(f"{_WHERE}(cycles=...)", cycles)
        ends = [int(total / count * (i + 1)) for i in range(count - 1)]
    points = [0, *ends, *([total] if not ends or ends[-1] != total else [])]
    rising = all(a < b for a, b in pairwise(points))
    must(rising, f"{_WHERE}({name}=...)", f"cycles of at least one step that end by step {total}", ends)
    return points


def _options(lr_schedule: Any) -> tuple[str, dict[str, float]]:
    """Return the name of a decay and its arguments."""
    where = f"{_WHERE}(lr_schedule=...)"
    given = {"type": lr_schedule} if isinstance(lr_schedule, str) else lr_schedule
    given = dictionary(where, given, "be a name or a dictionary with one as 'type'")
    Section(where, "a name as 'type'", ("type",), aside=tuple(given)).taken(given, some=True)
    name = Choice(tuple(_OPTIONS))(where if isinstance(lr_schedule, str) else f"{where}['type']", given["type"])
    found: dict[str, float] = {}
    for key, default in _OPTIONS[name].items():
        content = given.get(key, default)
        must(content is not None, f"{where}[{key!r}]", "given", content)
        negative = key == "b"
        rule = Real(low=-100.0, high=0.0, open_high=True) if negative else Real(low=0.0, open_low=key != "exponent")
        found[key] = rule(f"{where}[{key!r}]", number(rule, content))
    for key in given:
        must(key == "type" or key in found, where, f"without {key!r}, which {name} does not know", lr_schedule)
    return name, found


def _decay(
    name: str, options: dict[str, float], top: float, low: float, rise: int, steps: int
) -> tuple[Schedule, float]:
    """Return the decay after a warm-up of `rise` steps, and its value after `steps`."""
    if name == "constant" or (name == "linear" and steps < 1):
        return Constant(top), top
    if name == "inv_sqrt":
        return _inverse_sqrt(options["timescale"], top, low, rise, steps)
    must(steps > 0, f"{_WHERE}(decay=...)", f"at least one step of each cycle for {name!r}", steps)
    if name == "linear":
        curve: Schedule = Linear(top, low, steps)
    elif name == "cosine":
        curve = optax.cosine_decay_schedule(top, steps, low / top if top else 0.0, options["exponent"])
    elif name == "inv":
        curve = _inverse(top, low, steps)
    else:
        size, tokens = options["batch_size"], options["batch_size"] * options["seq_length"]
        # After 0 tokens the power is infinite.
        fall = PowerLaw(size * options["a"] * tokens ** options["b"], -options["b"])
        curve = Constant(top, 1) >> Minimum((Constant(top), fall))
    return curve, curve(steps)


def _inverse_sqrt(timescale: float, top: float, low: float, rise: int, steps: int) -> tuple[Schedule, float]:
    """Return `max(low, top * min(1, sqrt(timescale / (t + rise))))`, where t + rise is at least 1."""
    first = max(rise, 1)

    def value(n: int) -> float:
        return max(low, top * min(1.0, math.sqrt(timescale / max(n, 1))))

    bounded = Minimum((Constant(top), PowerLaw(top * (timescale / first) ** 0.5, 0.5, first)))
    curve = floored(bounded, low)
    return (curve if rise else Constant(value(1), 1) >> curve), value(steps + rise)


def _inverse(top: float, low: float, steps: int) -> Schedule:
    """Return the harmonic ramp from `top` to `low`, whose first value is that of step 1."""
    must(low > 0.0, f"{_WHERE}(min_lr_ratio=...)", "> 0 for 'inv', which divides by the lowest rate", low)
    if low >= top:
        return Constant(low)
    curve = Harmonic(top, low, steps)
    return Constant(curve(1), 1) >> late(curve, 1) if steps > 1 else Constant(low)
