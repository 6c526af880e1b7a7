"""The schedules of Hugging Face transformers 5.23, `transformers.optimization`.

One step of these schedules is one update. `lr` stands in the place of the optimizer: it is the rate of its parameter
group. All but one of the warm-ups begin with update 0 at the rate 0.
"""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, OrNone, Real, short
from lrsched._curves import Schedule
from lrsched.compat._tools import (
    CountOrNone,
    LengthOrNone,
    Rate,
    Section,
    argument_section,
    checked,
    dictionary,
    must,
    numbers,
)
from lrsched.compat.transformers.schedules import (
    get_constant_schedule,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_hard_restarts_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup_lr_rate,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
    get_wsd_schedule,
)

__all__ = [
    "from_config",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup",
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
    "get_inverse_sqrt_schedule",
    "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
    "get_scheduler",
    "get_wsd_schedule",
]


# The name of a function, the function and its arguments.
Call = tuple[str, Callable[..., Schedule], dict[str, Any]]


_SCHEDULES: dict[str, tuple[Callable[..., Schedule], bool]] = {
    "constant": (get_constant_schedule, False),
    "linear": (get_linear_schedule_with_warmup, True),
    "cosine": (get_cosine_schedule_with_warmup, True),
    "cosine_with_restarts": (get_cosine_with_hard_restarts_schedule_with_warmup, True),
    "polynomial": (get_polynomial_decay_schedule_with_warmup, True),
    "constant_with_warmup": (get_constant_schedule_with_warmup, False),
    "inverse_sqrt": (get_inverse_sqrt_schedule, False),
    "cosine_with_min_lr": (get_cosine_with_min_lr_schedule_with_warmup, True),
    "cosine_warmup_with_min_lr": (get_cosine_with_min_lr_schedule_with_warmup_lr_rate, True),
    "warmup_stable_decay": (get_wsd_schedule, False),
}
_COMMON = ("lr", "num_warmup_steps", "num_training_steps")


@checked
def get_scheduler(
    name: str,
    lr: Rate,
    num_warmup_steps: CountOrNone = None,
    num_training_steps: CountOrNone = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> Schedule:
    """A schedule by the name that `TrainingArguments(lr_scheduler_type=...)` has for it.

    Args:
        name: "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup",
            "inverse_sqrt", "cosine_with_min_lr", "cosine_warmup_with_min_lr" or "warmup_stable_decay".
        lr: rate of the optimizer.
        num_warmup_steps: steps of the warm-up, >= 0; required by all but "constant".
        num_training_steps: all steps; required by most.
        scheduler_specific_kwargs: further arguments of the function of that name; "constant" and "constant_with_warmup"
            have none. `last_epoch` may be -1.

    Raises:
        TypeError: the function of that name has no such argument. The library leaves out what it is given for
            "constant" and "constant_with_warmup".
        ValueError: the name is unknown or that of a feedback rule, or a number of steps is missing.

    Examples:
        >>> get_scheduler("cosine", lr=0.1, num_warmup_steps=10, num_training_steps=100)
        Linear(0.0, 0.1, steps=10) >> Extend(Cosine(0.1, 0.0, steps=90))
    """
    name = _name("get_scheduler(name=...)", name)
    where = "get_scheduler(scheduler_specific_kwargs=...)"
    _, build, found = _named(name, lr, num_warmup_steps, num_training_steps, where, scheduler_specific_kwargs)
    return build(**found)


def _named(name: str, lr: float, num_warmup_steps: Any, num_training_steps: Any, where: str, more: Any) -> Call:
    """Return the call of a name that is known."""
    build, needs_length = _SCHEDULES[name]
    kwargs = argument_section(where, build, more, but=_COMMON, neutral={"last_epoch": (-1,)})
    if name == "constant":
        return build.__name__, build, {"lr": lr}
    must(num_warmup_steps is not None, "get_scheduler(num_warmup_steps=...)", f"given for {name!r}", None)
    steps: dict[str, Any] = {"lr": lr, "num_warmup_steps": num_warmup_steps}
    if needs_length or name == "warmup_stable_decay":
        must(
            not needs_length or num_training_steps is not None,
            "get_scheduler(num_training_steps=...)",
            f"given for {name!r}",
            None,
        )
        steps["num_training_steps"] = num_training_steps
    return build.__name__, build, {**steps, **kwargs}


def _name(where: str, given: Any) -> str:
    """Return the name of a schedule, which may be the member of an enumeration, or its text."""
    name = getattr(given, "value", given)
    if isinstance(name, str) and name.startswith("SchedulerType."):
        name = name.removeprefix("SchedulerType.").lower()
    must(
        not isinstance(name, str) or name not in ("reduce_lr_on_plateau", "greedy"),
        where,
        "a function of the step: use lrsched.feedback",
        name,
    )
    return Choice(tuple(_SCHEDULES))(where, name)


def from_config(config: Any, num_training_steps: int | None = None) -> Schedule:
    """The schedule that the Trainer builds from its `TrainingArguments`.

    Read are `learning_rate`, `lr_scheduler_type`, `lr_scheduler_kwargs`, `warmup_steps`, `warmup_ratio` and
    `max_steps`, with the defaults of the library; numbers may be text. All other arguments are about something else. A
    `warmup_steps` below 1 is a part of the training, rounded up, as is the `warmup_ratio` of versions before 5, which
    counts where `warmup_steps` is 0. A file that `deepspeed` names is not looked at: where it has a scheduler, that one
    takes the place of this one.

    Args:
        config: a dictionary of arguments, or an object whose `to_dict` gives one, such as `TrainingArguments`.
        num_training_steps: updates of the training, where `max_steps` does not tell them; it wins over `max_steps`.

    Raises:
        TypeError: `config` is neither, an argument is of the wrong kind, or a name looks like a schedule's and is none
            of those above; the message names it.
        ValueError: none of those names is there, an argument is out of range, or the number of updates is needed but
            not given.

    Examples:
        >>> from_config({"learning_rate": 0.1, "warmup_steps": 10, "max_steps": 100, "weight_decay": 0.01})
        Linear(0.0, 0.1, steps=10) >> Linear(0.1, 0.0, steps=90)

    References:
        transformers 5.23.0, training_args.py, get_warmup_steps, and trainer.py, create_scheduler.
    """
    _, build, found = _call(config, OrNone(Int(low=1))("from_config(num_training_steps=...)", num_training_steps))
    return build(**found)


def _call(config: Any, num_training_steps: int | None = None) -> Call:
    """Return the call that a configuration asks for."""
    fields = dictionary("from_config(config)", config, "be a dictionary or have a method to_dict")
    # The discount of the trainers of reinforcement learning.
    known = _NAMES if isinstance(config, Mapping) else replace(_NAMES, aside=(*_NAMES.aside, "gamma"))
    ours = known.taken(fields, some=True)
    engine = fields.get("deepspeed")
    if isinstance(engine, Mapping) and "scheduler" in engine:
        known.refuse("deepspeed.scheduler")
    return TrainingArguments(num_training_steps=num_training_steps, **numbers(TrainingArguments, ours))


@checked
def TrainingArguments(
    num_training_steps: LengthOrNone = None,
    learning_rate: Rate = 5e-5,
    lr_scheduler_type: Any = "linear",
    lr_scheduler_kwargs: Any = None,
    warmup_steps: Rate = 0,
    warmup_ratio: Annotated[float | None, OrNone(Real(low=0.0, high=1.0))] = None,
    max_steps: Annotated[int, Int(low=-1)] = -1,
) -> Call:
    """Read arguments under the name that errors have for them."""
    name = _name("TrainingArguments(lr_scheduler_type=...)", lr_scheduler_type)
    steps = num_training_steps or (max_steps if max_steps > 0 else None)
    # Before version 5 a ratio of its own stood beside whole steps.
    part = warmup_steps or warmup_ratio or 0.0
    if steps is None and (0.0 < part < 1.0 or _SCHEDULES[name][1]):
        what = f"given for {name!r} with warmup_steps={warmup_steps!r} where max_steps is not"
        raise ValueError(f"from_config(num_training_steps=...) must be {what}, got None")
    whole = warmup_steps >= 1 or not part
    warmup = int(warmup_steps) if whole else math.ceil((steps or 0) * part)
    where, kwargs = "TrainingArguments(lr_scheduler_kwargs=...)", lr_scheduler_kwargs or {}
    with suppress(ValueError):
        kwargs = json.loads(kwargs) if isinstance(kwargs, str) else kwargs
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"{where} must be a dictionary, its JSON, or None, got {short(lr_scheduler_kwargs)}")
    return _named(name, learning_rate, warmup, steps, where, kwargs)


_READ = tuple(inspect.signature(TrainingArguments).parameters)[1:]
_FURTHER = {
    name: "it belongs in lr_scheduler_kwargs"
    for build, _ in _SCHEDULES.values()
    for name in inspect.signature(build).parameters
    if name not in _COMMON
}
_NAMES = Section(
    "from_config(config)",
    "the names of TrainingArguments",
    _READ,
    # The updates that GRPO makes of a batch; what DeepSpeed is told.
    aside=("num_iterations", "deepspeed", "num_train_epochs", "epoch"),
    neutral={"last_epoch": (-1,)},
    homes={
        **_FURTHER,
        "lr": "write learning_rate",
        "lr_scheduler": "write lr_scheduler_type",
        "num_training_steps": "write max_steps, or give it beside the configuration",
        "num_warmup_steps": "write warmup_steps",
        "scheduler": "that of DeepSpeed takes the place of the Trainer's, see compat.deepspeed.from_config",
        "scheduler_specific_kwargs": "write lr_scheduler_kwargs",
    },
    inside=("lr", "lr_scheduler", "min_lr", "num_warmup_steps", *(name for name in _READ if name != "max_steps")),
)
