"""The learning-rate schedule of MaxText, `maxtext.utils.maxtext_utils.create_learning_rate_schedule`."""

from typing import Annotated

from lrsched._core.check import Choice, Int
from lrsched._curves import Constant, Cosine, Extend, Linear, Schedule
from lrsched.compat._tools import Fraction, Rate, checked, must, then, warmed

__all__ = ["create_learning_rate_schedule"]

Steps = Annotated[int, Int(low=-1)]


@checked
def create_learning_rate_schedule(
    steps: Steps,
    learning_rate: Rate = 3e-5,
    lr_schedule_type: Annotated[str, Choice(("cosine", "wsd"))] = "cosine",
    learning_rate_final_fraction: Rate = 0.1,
    wsd_decay_steps_fraction: Fraction = 0.1,
    wsd_decay_style: Annotated[str, Choice(("linear", "cosine"))] = "linear",
    warmup_steps_fraction: Fraction = 0.1,
    learning_rate_schedule_steps: Steps = -1,
    *,
    version: Annotated[str, Choice(("2026-03", "2026-01", "2023-09"))] = "2026-03",
) -> Schedule:
    """Linear warm-up from 0, an optional stable phase, a decay that ends on its own last step, then 0.

    A cosine rises again after the schedule unless zeros follow.

    Args:
        steps: updates of the training; -1 stands for `learning_rate_schedule_steps`.
        learning_rate: the top, >= 0.
        lr_schedule_type: "cosine", or "wsd" with a stable phase.
        learning_rate_final_fraction: last value relative to the top, >= 0. (Before 2026 its name began with `cosine_`.)
        wsd_decay_steps_fraction: part of the schedule that decays ("wsd").
        wsd_decay_style: "linear" or "cosine" ("wsd").
        warmup_steps_fraction: part of the schedule that warms up; both parts are rounded down to steps.
        learning_rate_schedule_steps: length of the schedule; -1 stands for `steps`, fewer for zeros at the end.
        version: month since which MaxText gives this curve. "2026-03" is that of the releases from 0.2.0 on. With
            "2026-01", on the main branch from 20 January to 5 March 2026, the warm-up ends on its own last step too, so
            the top is used twice, and a warm-up of one step stays at 0. With "2023-09", the releases 0.1, there is no
            "wsd", and the cosine ends one step after its last.

    Raises:
        ValueError: an argument is out of range, both lengths are -1, or warm-up and decay take more than the schedule.

    Examples:
        >>> arguments = {"learning_rate_final_fraction": 0.0, "warmup_steps_fraction": 0.3}
        >>> s = create_learning_rate_schedule(10, 1.0, **arguments)
        >>> [round(s(t), 3) for t in range(10)]
        [0.0, 0.333, 0.667, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067, 0.0]
        >>> s = create_learning_rate_schedule(10, 1.0, **arguments, version="2026-01")
        >>> [s(t) for t in range(4)]
        [0.0, 0.5, 1.0, 1.0]

    References:
        MaxText at e591f30 (2026-08-22), src/maxtext/utils/maxtext_utils.py; the defaults are those of configs/types.py.
        Earlier versions at 1137c42 (2026-01-20) and 160ccab (2023-09-26).
    """
    where = "create_learning_rate_schedule"
    must(version != "2023-09" or lr_schedule_type == "cosine", f"{where}(lr_schedule_type=...)", "'cosine' then", "wsd")
    total = steps if learning_rate_schedule_steps < 0 else learning_rate_schedule_steps
    steps = total if steps < 0 else steps
    must(steps >= 0, f"{where}(steps=...)", ">= 1 if learning_rate_schedule_steps is -1", steps)
    must(steps + total > 0, f"{where}(steps=...)", ">= 1 for a schedule without steps", steps)
    top, end = learning_rate, learning_rate * learning_rate_final_fraction
    warmup = int(total * warmup_steps_fraction)
    decay = total - warmup if lr_schedule_type == "cosine" else int(total * wsd_decay_steps_fraction)
    must(
        lr_schedule_type == "cosine" or warmup_steps_fraction + wsd_decay_steps_fraction <= 1.0,
        f"{where}(wsd_decay_steps_fraction=...)",
        "at most what the warm-up leaves",
        wsd_decay_steps_fraction,
    )
    stable = total - warmup - decay
    rest: Schedule | None = Constant(0.0) if steps > total else None
    if version == "2023-09":
        divides = decay > 0 or rest is not None
        must(divides, f"{where}(warmup_steps_fraction=...)", "< 1: MaxText divides by the rest", warmup_steps_fraction)
        wave = Extend(Cosine(top, end, max(decay, 1)))
        return warmed(warmup, 0.0, top, wave if rest is None else then(decay, wave, rest))
    if decay:
        cosine = lr_schedule_type == "cosine" or wsd_decay_style == "cosine"
        fall = _wave(top, end, decay) if cosine else _line(top, end, decay)
        rest = fall if rest is None else then(decay, fall, rest)
    if stable:
        rest = Constant(top) if rest is None else then(stable, Constant(top, stable), rest)
    rise = _line(0.0, top, warmup + (version == "2026-03")) if warmup else Constant(0.0)
    return rise if rest is None else then(warmup, rise, rest)


def _line(start: float, end: float, steps: int) -> Schedule:
    """Return a line that ends on the last of its steps; Optax makes a constant of a line without steps."""
    return Linear(start, end, steps - 1) if steps > 1 else Constant(start)


def _wave(start: float, end: float, steps: int) -> Schedule:
    return Extend(Cosine(start, end, steps - 1)) if steps > 1 else Constant(end)
