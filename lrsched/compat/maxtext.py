"""The learning-rate schedule of MaxText, `maxtext.utils.maxtext_utils.create_learning_rate_schedule`."""

from typing import Annotated

from lrsched._check import Choice, Int
from lrsched._modifiers import Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear
from lrsched.compat._args import Fraction, Length, Rate, checked, must
from lrsched.compat._pieces import then

__all__ = ["create_learning_rate_schedule"]


@checked
def create_learning_rate_schedule(
    steps: Length,
    learning_rate: Rate = 3e-5,
    lr_schedule_type: Annotated[str, Choice(("cosine", "wsd"))] = "cosine",
    learning_rate_final_fraction: Rate = 0.1,
    wsd_decay_steps_fraction: Fraction = 0.1,
    wsd_decay_style: Annotated[str, Choice(("linear", "cosine"))] = "linear",
    warmup_steps_fraction: Fraction = 0.1,
    learning_rate_schedule_steps: Annotated[int, Int(low=-1)] = -1,
) -> Schedule:
    """Warm-up, an optional stable phase, a decay, then 0, where each phase has its end on its own last step.

    So the top is used twice: by the last update of the warm-up and by the first one after it. A warm-up of one step
    stays at 0. A cosine rises again after the schedule unless zeros follow.

    Args:
        steps: updates of the training.
        learning_rate: the top, >= 0.
        lr_schedule_type: "cosine", or "wsd" with a stable phase.
        learning_rate_final_fraction: last value relative to the top, >= 0.
        wsd_decay_steps_fraction: part of the schedule that decays ("wsd").
        wsd_decay_style: "linear" or "cosine" ("wsd").
        warmup_steps_fraction: part of the schedule that warms up; both parts are rounded down to steps.
        learning_rate_schedule_steps: length of the schedule; -1 stands for `steps`, fewer for zeros at the end.

    Raises:
        ValueError: an argument is out of range, or warm-up and decay take more than the schedule.

    Examples:
        >>> s = create_learning_rate_schedule(10, 1.0, learning_rate_final_fraction=0.0, warmup_steps_fraction=0.3)
        >>> [round(s(t), 4) for t in range(10)]
        [0.0, 0.5, 1.0, 1.0, 0.933, 0.75, 0.5, 0.25, 0.067, 0.0]

    References:
        MaxText at 65dda9a, src/maxtext/utils/maxtext_utils.py; the defaults are those of configs/types.py.
    """
    where = "create_learning_rate_schedule"
    total = steps if learning_rate_schedule_steps < 0 else learning_rate_schedule_steps
    must(total > 0, f"{where}(learning_rate_schedule_steps=...)", "-1 or an int >= 1", learning_rate_schedule_steps)
    top, end = learning_rate, learning_rate * learning_rate_final_fraction
    warmup = int(total * warmup_steps_fraction)
    decay = total - warmup if lr_schedule_type == "cosine" else int(total * wsd_decay_steps_fraction)
    stable = total - warmup - decay
    must(
        stable >= 0,
        f"{where}(wsd_decay_steps_fraction=...)",
        "at most what the warm-up leaves",
        wsd_decay_steps_fraction,
    )
    rest: Schedule | None = Constant(0.0) if steps > total else None
    if decay:
        cosine = lr_schedule_type == "cosine" or wsd_decay_style == "cosine"
        fall = _wave(top, end, decay) if cosine else _line(top, end, decay)
        rest = fall if rest is None else then(decay, fall, rest)
    if stable:
        rest = Constant(top) if rest is None else then(stable, Constant(top, stable), rest)
    rise = _line(0.0, top, warmup)
    return rise if rest is None else then(warmup, rise, rest)


def _line(start: float, end: float, steps: int) -> Schedule:
    """Return a line that ends on the last of its steps; Optax makes a constant of a line without steps."""
    return Linear(start, end, steps - 1) if steps > 1 else Constant(start)


def _wave(start: float, end: float, steps: int) -> Schedule:
    return Extend(Cosine(start, end, steps - 1)) if steps > 1 else Constant(end)
