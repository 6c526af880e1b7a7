"""The functions that transformers gives to torch's `LambdaLR`, as schedules."""

import functools
from collections.abc import Callable
from typing import Any

from lrsched import Schedule
from lrsched.compat import transformers as hf_recipes
from lrsched.compat.torch import LambdaLR


def read_lambda(function: Any, lr: float) -> Schedule:
    """Return the schedule of a `LambdaLR`: of a function of transformers the curve, of another the function itself."""
    inner = function.func if isinstance(function, functools.partial) else function
    build = _LAMBDAS.get(getattr(inner, "__name__", ""))
    if build is None or getattr(inner, "__module__", "") != "transformers.optimization":
        return LambdaLR(lr, function)
    return build(lr, dict(getattr(function, "keywords", {})))


def _by_name(name: str) -> Callable[[float, dict[str, Any]], Schedule]:
    def build(lr: float, arguments: dict[str, Any]) -> Schedule:
        schedule: Schedule = getattr(hf_recipes, name)(lr, **arguments)
        return schedule

    return build


def _hf_cosine(lr: float, arguments: dict[str, Any]) -> Schedule:
    floor = "get_cosine_with_min_lr_schedule_with_warmup"
    return _by_name(floor if "min_lr_rate" in arguments else "get_cosine_schedule_with_warmup")(lr, arguments)


def _hf_polynomial(lr: float, arguments: dict[str, Any]) -> Schedule:
    # The end is relative to the default rate of the optimizer, not to that of the group.
    default = arguments.pop("lr_init")
    if default != lr:
        arguments["lr_end"] *= lr / default
    return hf_recipes.get_polynomial_decay_schedule_with_warmup(lr, **arguments)


def _hf_wsd(lr: float, arguments: dict[str, Any]) -> Schedule:
    if arguments["num_stable_steps"] < 0:
        names = ("num_warmup_steps", "num_decay_steps")
        arguments["num_training_steps"] = arguments.pop("num_stable_steps") + sum(arguments[name] for name in names)
    return hf_recipes.get_wsd_schedule(lr, **arguments)


_LAMBDAS: dict[str, Callable[[float, dict[str, Any]], Schedule]] = {
    "_get_constant_lambda": _by_name("get_constant_schedule"),
    "_get_constant_schedule_with_warmup_lr_lambda": _by_name("get_constant_schedule_with_warmup"),
    "_get_linear_schedule_with_warmup_lr_lambda": _by_name("get_linear_schedule_with_warmup"),
    "_get_cosine_schedule_with_warmup_lr_lambda": _hf_cosine,
    "_get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda": _by_name(
        "get_cosine_with_hard_restarts_schedule_with_warmup"
    ),
    "_get_polynomial_decay_schedule_with_warmup_lr_lambda": _hf_polynomial,
    "_get_inverse_sqrt_schedule_lr_lambda": _by_name("get_inverse_sqrt_schedule"),
    "_get_cosine_with_min_lr_schedule_with_warmup_lr_rate_lambda": _by_name(
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate"
    ),
    "_get_wsd_scheduler_lambda": _hf_wsd,
}
