"""The schedules of diffusers 0.42.1, `diffusers.optimization`; most of them are those of transformers."""

from collections.abc import Callable
from typing import Annotated, Any

from lrsched._core.check import Choice
from lrsched._curves import Constant, Linear, Schedule
from lrsched._recipes.decimals import product
from lrsched.compat import transformers
from lrsched.compat._tools import Count, CountOrNone, Length, Rate, Text, TextOrNone, checked, must, stairs, warmed

__all__ = [
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_linear_schedule_with_warmup",
    "get_piecewise_constant_schedule",
    "get_polynomial_decay_schedule_with_warmup",
    "get_scheduler",
]

get_constant_schedule = transformers.get_constant_schedule
get_constant_schedule_with_warmup = transformers.get_constant_schedule_with_warmup
get_cosine_schedule_with_warmup = transformers.get_cosine_schedule_with_warmup
get_cosine_with_hard_restarts_schedule_with_warmup = transformers.get_cosine_with_hard_restarts_schedule_with_warmup
get_polynomial_decay_schedule_with_warmup = transformers.get_polynomial_decay_schedule_with_warmup


@checked
def get_linear_schedule_with_warmup(
    lr: Rate, num_warmup_steps: Count, num_training_steps: Count, f_min: Rate = 0.0, f_max: Rate = 1.0
) -> Schedule:
    """A line from 0 to `f_max` times the rate, then a line to `f_min` times it.

    Args:
        lr: the optimizer's learning rate, >= 0.
        num_warmup_steps: updates of the first line.
        num_training_steps: all updates; if the first line takes them all, the second is a jump.
        f_min: last multiplier, >= 0.
        f_max: highest multiplier, >= 0.

    Examples:
        >>> get_linear_schedule_with_warmup(0.1, 10, 100)
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)

    References:
        diffusers 0.42.1, optimization.py.
    """
    rest = num_training_steps - num_warmup_steps
    fall: Schedule = Linear(lr * f_max, lr * f_min, rest) if rest > 0 else Constant(lr * f_min)
    return warmed(num_warmup_steps, 0.0, lr * f_max, fall)


@checked
def get_piecewise_constant_schedule(lr: Rate, step_rules: Text) -> Schedule:
    """A staircase from a text of multipliers and the steps at which each of them ends.

    `"1:10,0.1:20,0.01"` is the rate until update 10, a tenth of it until update 20, then a hundredth.

    Args:
        lr: the optimizer's learning rate, >= 0.
        step_rules: pairs `multiplier:step` in any order and a last multiplier, separated by commas.

    Raises:
        ValueError: the text does not have that form.

    Examples:
        >>> get_piecewise_constant_schedule(1.0, "1:10,0.1:20,0.01")
        Constant(1.0, steps=10) >> Constant(0.1, steps=10) >> Constant(0.01)

    References:
        diffusers 0.42.1, optimization.py.
    """
    *rules, last = step_rules.split(",")
    try:
        pairs = [rule.split(":") for rule in rules]
        until = {int(step): float(multiple) for multiple, step in pairs}
        rest = float(last)
    except ValueError:
        where = "get_piecewise_constant_schedule(step_rules=...)"
        raise ValueError(f"{where} must have the form '1:10,0.1:20,0.01', got {step_rules!r}") from None
    steps = sorted(until)
    return stairs(steps, [*(product(lr, until[step]) for step in steps), product(lr, rest)])


_NAMES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "piecewise_constant",
)


@checked
def get_scheduler(
    name: Annotated[str, Choice(_NAMES)],
    lr: Rate,
    step_rules: TextOrNone = None,
    num_warmup_steps: CountOrNone = None,
    num_training_steps: CountOrNone = None,
    num_cycles: Length = 1,
    power: Rate = 1.0,
) -> Schedule:
    """The schedule of that name.

    Args:
        name: "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup" or
            "piecewise_constant".
        lr: the optimizer's learning rate, >= 0.
        step_rules: the rules of "piecewise_constant".
        num_warmup_steps: updates of the warm-up; needed by all but "constant" and "piecewise_constant".
        num_training_steps: all updates; needed by those that end.
        num_cycles: cycles of "cosine_with_restarts".
        power: exponent of "polynomial".

    Raises:
        ValueError: the name is unknown, or an argument that it needs is missing.

    Examples:
        >>> get_scheduler("constant_with_warmup", 0.1, num_warmup_steps=10)
        Linear(0.0, 0.1, steps=10) >> Constant(0.1)

    References:
        diffusers 0.42.1, optimization.py, get_scheduler.
    """
    if name == "constant":
        return get_constant_schedule(lr)
    if name == "piecewise_constant":
        must(step_rules is not None, "get_scheduler(step_rules=...)", f"given for {name!r}", step_rules)
        return get_piecewise_constant_schedule(lr, step_rules or "")
    must(num_warmup_steps is not None, "get_scheduler(num_warmup_steps=...)", f"given for {name!r}", num_warmup_steps)
    warmup = num_warmup_steps or 0
    if name == "constant_with_warmup":
        return get_constant_schedule_with_warmup(lr, warmup)
    needed = num_training_steps is not None
    must(needed, "get_scheduler(num_training_steps=...)", f"given for {name!r}", num_training_steps)
    more: dict[str, Any] = {"cosine_with_restarts": {"num_cycles": num_cycles}, "polynomial": {"power": power}}
    functions: dict[str, Callable[..., Schedule]] = {
        "linear": get_linear_schedule_with_warmup,
        "cosine": get_cosine_schedule_with_warmup,
        "cosine_with_restarts": get_cosine_with_hard_restarts_schedule_with_warmup,
        "polynomial": get_polynomial_decay_schedule_with_warmup,
    }
    return functions[name](lr, warmup, num_training_steps or 0, **more.get(name, {}))
