"""The list `param_scheduler` of an MMEngine configuration."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any, NamedTuple

from lrsched._core.check import Flag, is_sequence, short
from lrsched._curves import Schedule
from lrsched.compat._tools import (
    LengthOrNone,
    Rate,
    Section,
    TextOrNone,
    arguments_of,
    checked,
    dictionary,
    must,
    number,
    numbers,
)
from lrsched.compat.mmengine import schedulers
from lrsched.compat.mmengine.build import acting
from lrsched.compat.mmengine.laws import Cycle
from lrsched.compat.mmengine.runs import Acting, follow

_WHERE = "build_param_schedulers(configs=...)"
_FUNCTIONS: dict[str, Callable[..., Schedule]] = {
    "ConstantLR": schedulers.ConstantLR,
    "CosineAnnealingLR": schedulers.CosineAnnealingLR,
    "CosineRestartLR": schedulers.CosineRestartLR,
    "ExponentialLR": schedulers.ExponentialLR,
    "LinearLR": schedulers.LinearLR,
    "MultiStepLR": schedulers.MultiStepLR,
    "OneCycleLR": schedulers.OneCycleLR,
    "PolyLR": schedulers.PolyLR,
    "QuadraticWarmupLR": schedulers.QuadraticWarmupLR,
    "StepLR": schedulers.StepLR,
}
# Their end changes what comes before it, and the Runner fills it in where a configuration has none.
_ENDED = ("ConstantLR", "LinearLR", "PolyLR", "QuadraticWarmupLR")
# What a dictionary may hold beside the arguments of the function.
_BESIDE = ("type", "_scope_", "param_name", "by_epoch", "last_step", "verbose")


class _Entry(NamedTuple):
    """One dictionary of the list, and what its type says: the scheduler's own name and the parameter that it sets."""

    where: str
    config: Mapping[str, Any]
    written: str
    name: str
    param: str

    def flag(self, key: str, default: bool) -> bool:
        """Return a switch."""
        return Flag()(f"{self.where}[{key!r}]", number(Flag(), self.config.get(key, default)))

    @property
    def counts(self) -> str:
        """What its steps are."""
        converted = self.flag("convert_to_iter_based", False)
        return "epochs" if self.flag("by_epoch", True) and not converted else "iterations"


class _Loop(NamedTuple):
    """The training loop: iterations of an epoch, how long it is in epochs and in iterations, where that is known.

    `every` is how many steps of the result an epoch takes, 0 in a loop that is one epoch; `total` is all its steps.
    """

    epoch_length: int | None
    epochs: int | None
    iterations: int | None
    every: int
    total: float


@checked
def build_param_schedulers(
    lr: Rate,
    configs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    epoch_length: LengthOrNone = None,
    max_epochs: LengthOrNone = None,
    max_iters: LengthOrNone = None,
    param: TextOrNone = None,
) -> Schedule:
    """Several schedulers on one optimizer: the list `param_scheduler` of a configuration file, as the Runner runs it.

    Where several act at the same time, each goes on from the rate that the others have left. First all take their step
    0, in the order of the list; then those with `by_epoch=False` take a step after each iteration, and the others after
    each epoch. One step of the result is an iteration, if `epoch_length` is given or a scheduler counts iterations;
    else it is an epoch.

    The base rate `lr` is what the optimizer has when the Runner builds the schedulers:
    `optim_wrapper["optimizer"]["lr"]`, scaled if `auto_scale_lr` is enabled, and for a parameter group with an
    `lr_mult` in `paramwise_cfg`, times that.

    Args:
        lr: the optimizer's learning rate, >= 0; its momentum with `param="momentum"`.
        configs: dictionaries with a "type" and its arguments, or a single one. A type is the name of a function of this
            module, or MMDetection's `QuadraticWarmupLR`; a scope before it is left out, as in "mmdet.LinearLR". Of
            "Linear" there is also `LinearMomentum`, and `LinearParamScheduler` with a "param_name". Arguments may be
            text as YAML leaves it, such as "1e-3".
        epoch_length: iterations of an epoch, the length of the training set's loader; needed if some schedulers count
            epochs and others iterations, and for `convert_to_iter_based`.
        max_epochs: epochs of an `EpochBasedTrainLoop`, the `end` of schedulers that have none.
        max_iters: iterations of an `IterBasedTrainLoop`, the same. Such a loop is one epoch, so schedulers that count
            epochs stay at their first step, as in MMEngine.
        param: the parameter whose values are wanted; None stands for "lr", with a warning if others are scheduled too.

    Raises:
        TypeError: a dictionary holds a key that its scheduler does not have.
        ValueError: a type is unknown or depends on a metric; a length is missing; nothing schedules `param`; or
            several schedulers that do not all multiply change the rate together for too long to be listed.

    Warns:
        UserWarning: another parameter is scheduled too, and `param` is None.

    Examples:
        >>> warmup = {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 500}
        >>> drops = {"type": "MultiStepLR", "by_epoch": True, "begin": 0, "end": 12, "milestones": [8, 11]}
        >>> s = build_param_schedulers(0.02, [warmup, drops], epoch_length=1000, max_epochs=12)
        >>> s(0), s(499), s(7_999), s(8_000), s(11_999)
        (2e-05, 0.02, 0.02, 0.002, 0.0002)

    References:
        MMEngine 0.10.7: runner/runner.py (`_build_param_scheduler`), hooks/param_scheduler_hook.py,
        registry/build_functions.py.
    """
    entries = _entries(configs)
    wanted = "lr" if param is None else param
    others = [entry for entry in entries if entry.param != wanted]
    entries = [entry for entry in entries if entry.param == wanted]
    must(len(entries) > 0, _WHERE, f"schedulers of {wanted!r}, or one of them", _names(others))
    if others and param is None:
        names = {entry.param for entry in others}
        warnings.warn(
            f"{_names(others)} in this list schedules {' and '.join(sorted(names))}, which this schedule of the rate "
            f"leaves out; build_param_schedulers(value, configs, ..., param={min(names)!r}) gives it",
            UserWarning,
            stacklevel=3,
        )
    loop = _loop(entries, epoch_length, max_epochs, max_iters)
    listed: list[Acting] = []
    base = lr
    for entry in entries:
        one = _acting(entry, base, loop)
        listed.append(one)
        if isinstance(one.law, Cycle):
            base = one.law.first  # the group keeps it as its first rate, from which later schedulers count
    cycles = [entry.where for entry, one in zip(entries, listed, strict=True) if isinstance(one.law, Cycle)]
    must(len(cycles) < 2, _WHERE, "one OneCycleLR at most, for MMEngine keeps the rates of the last for all", cycles)
    return follow(lr, listed, _WHERE, loop.total)


def _names(entries: Sequence[_Entry]) -> str:
    return ", ".join(dict.fromkeys(entry.written for entry in entries))


def _entries(configs: Any) -> list[_Entry]:
    if isinstance(configs, Mapping) and "type" not in configs:
        raise ValueError(
            f"{_WHERE} must be the list of one optimizer, the value of 'param_scheduler', got a dictionary of "
            f"{', '.join(map(repr, list(configs)[:8]))}"
        )
    listed = [configs] if isinstance(configs, Mapping) else configs
    if not is_sequence(listed):
        raise TypeError(f"{_WHERE} must be a dictionary or a sequence of them, got {short(configs)}")
    must(len(listed) > 0, _WHERE, "one or more dictionaries", configs)
    return [_entry(f"{_WHERE}[{i}]", dictionary(f"{_WHERE}[{i}]", config)) for i, config in enumerate(listed)]


def _entry(where: str, config: Mapping[str, Any]) -> _Entry:
    kind = config.get("type")
    written = kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
    stem = written
    param: Any = None
    for suffix, field in {"LR": "lr", "Momentum": "momentum", "ParamScheduler": config.get("param_name")}.items():
        if written.endswith(suffix):
            stem, param = written.removesuffix(suffix), field
    what = f"one of {', '.join(_FUNCTIONS)}, or with 'Momentum' or 'ParamScheduler' in place of 'LR'"
    if stem == "ReduceOnPlateau":
        what = "a function of the step; for what depends on a metric use lrsched.feedback.Plateau"
    if f"{stem}LR" not in _FUNCTIONS or (stem == "OneCycle" and param != "lr"):
        raise ValueError(f"{where}['type'] must be {what}, got {short(kind)}")
    if not isinstance(param, str):
        raise ValueError(f"{where}['param_name'] must be the parameter's name, such as 'lr', got {short(param)}")
    return _Entry(where, config, written, f"{stem}LR", param)


def _loop(entries: Sequence[_Entry], length: int | None, epochs: int | None, iterations: int | None) -> _Loop:
    where = "build_param_schedulers(max_iters=...)"
    if epochs is None and iterations is not None:
        return _Loop(length, 1, iterations, 0, iterations)
    total = None if epochs is None or length is None else epochs * length
    must(iterations in (None, total), where, "None if max_epochs is given", iterations)
    if length is None:
        counts = {entry.counts for entry in entries}
        where = "build_param_schedulers(epoch_length=...)"
        must(len(counts) == 1, where, "given where some schedulers count epochs and others iterations", length)
        return _Loop(None, epochs, None, 1, epochs if epochs is not None and counts == {"epochs"} else math.inf)
    return _Loop(length, epochs, total, length, math.inf if total is None else total)


def _acting(entry: _Entry, base: float, loop: _Loop) -> Acting:
    """Return what a scheduler does when, in the steps of the result."""
    function, config = _FUNCTIONS[entry.name], entry.config
    own = [name for name in signature(function).parameters if name not in ("lr", "same")]
    section = Section(entry.where, f"what a {entry.written} takes", [*own, *_BESIDE], strict=True)
    given = numbers(function, section.taken(config))
    for key in ("type", "_scope_", "param_name"):
        given.pop(key, None)
    given["by_epoch"] = entry.flag("by_epoch", True)
    given["convert_to_iter_based"] = entry.flag("convert_to_iter_based", False)
    given.setdefault("epoch_length", loop.epoch_length)
    if "end" not in given:
        end = loop.epochs if given["by_epoch"] else loop.iterations
        length = {"CosineAnnealingLR": "T_max", "OneCycleLR": "total_steps"}.get(entry.name)
        if end is None and (entry.name in _ENDED or (length is not None and given.get(length) is None)):
            given_as = "max_epochs" if given["by_epoch"] else "max_iters, or epoch_length and max_epochs,"
            raise ValueError(
                f"{entry.where}['end'] must be given for a {entry.written}, or {given_as} of the training, with which "
                "the Runner fills it in"
            )
        given |= {} if end is None else {"end": end}
    arguments = arguments_of(function, base, **given)
    del arguments["lr"]
    one = acting(entry.name, base, **arguments)
    if not one.epochs:
        return one
    # In a loop of one epoch the hook comes to those that count epochs when training is over.
    return replace(one, every=loop.every) if loop.every else replace(one, end=min(one.end, 1))
