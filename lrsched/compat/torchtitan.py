"""The learning-rate schedule of torchtitan 0.3.0, `torchtitan.components.optimizer.lr_scheduler`."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from lrsched._core.check import Choice, Int, OrNone, Real, is_sequence, short
from lrsched._curves import Constant, Cosine, Extend, Linear, Monomial, Ramp, Schedule
from lrsched.compat._tools import (
    Count,
    CountOrNone,
    Fraction,
    LengthOrNone,
    Rate,
    Section,
    checked,
    dictionary,
    late,
    must,
    number,
    numbers,
    then,
)

__all__ = ["LRSchedulersContainer", "from_config"]


@checked
def LRSchedulersContainer(
    lr: Rate,
    training_steps: LengthOrNone = None,
    warmup_steps: Count = 200,
    total_steps: LengthOrNone = None,
    decay_ratio: Annotated[float | None, OrNone(Real(low=0.0, high=1.0))] = None,
    decay_type: Annotated[str, Choice(("linear", "sqrt", "cosine"))] = "linear",
    min_lr_factor: Fraction = 0.0,
) -> Schedule:
    """Warm-up, stable phase, decay, where the decay is not clamped after the end.

    The warm-up is `lr * (t + 1) / W`: never 0, and at its top at step W - 1. The stable phase is one step longer than
    what is left, and the decay `1 - x`, `1 - sqrt(x)` or `(1 + cos(pi * x)) / 2` counts its first step as done, so it
    reaches `lr * min_lr_factor` at step `total_steps`; after that a line goes below zero and a cosine rises again.

    Args:
        lr: the optimizer's learning rate, >= 0.
        training_steps: updates of the training.
        warmup_steps: updates of the warm-up, cut to `total_steps`.
        total_steps: length of the schedule; None stands for `training_steps`.
        decay_ratio: part of the steps that decays, rounded; None for all after the warm-up. The decay is cut to what
            the warm-up leaves.
        decay_type: "linear", "sqrt" or "cosine".
        min_lr_factor: last value relative to `lr`, from 0 to 1.

    Raises:
        ValueError: an argument is out of range, or no length is given.

    Examples:
        >>> s = LRSchedulersContainer(1.0, 10, warmup_steps=2, decay_ratio=0.4)
        >>> s(0), s(1), s(6), s(7), s(12)
        (0.5, 1.0, 1.0, 0.75, -0.5)

    References:
        torchtitan 0.3.0, components/optimizer/lr_scheduler.py, LRSchedulersContainer.Config.build.
    """
    total = training_steps if total_steps is None else total_steps
    if total is None:
        raise ValueError("LRSchedulersContainer(total_steps=...) must be given if training_steps is not, got None")
    warmup = min(warmup_steps, total)
    left = total - warmup
    decay = left if decay_ratio is None else min(round(total * decay_ratio), left)
    end = lr * min_lr_factor
    shapes: dict[str, Ramp] = {
        "linear": Linear(lr, end, max(decay, 1)),
        "sqrt": Monomial(lr, end, max(decay, 1), power=0.5),
        "cosine": Cosine(lr, end, max(decay, 1)),
    }
    tail = Extend(shapes[decay_type]) if decay else Constant(lr)
    # The warm-up has its top one step early, and the decay begins one step late.
    stable = left - decay + min(warmup, 1)
    body = then(stable, lr, tail)
    return then(warmup - 1, late(Linear(0.0, lr, max(warmup, 1)), 1), body)


@checked
def from_config(config: Any, *, group: CountOrNone = None) -> Schedule:
    """The schedule of a whole configuration: its tables as dictionaries, or the `Trainer.Config` itself.

    Read are the table `lr_scheduler`, `steps` of the table `training` (10,000 if it is missing), and the rate: `lr` in
    the `optimizer_kwargs` of each of the `param_groups` of the table `optimizer`, or `lr` of that table, where it stood
    before 2026-06-04. Numbers may be text.

    Args:
        config: the tables by their names.
        group: which of the `param_groups` the schedule is for, where they have several rates.

    Raises:
        TypeError: a table is no dictionary, or a name looks like a schedule's and is none that is read; the message
            names it. So are `training.warmup_steps` (until 2025-03) and `lr_scheduler.lr_min` (until 2025-07), whose
            curves were others.
        ValueError: there are no such tables, the table `optimizer` holds no rate, or several without a `group`, or an
            entry is out of range.

    Examples:
        >>> tables = {"optimizer": {"lr": 1.0}, "training": {"steps": 10}, "lr_scheduler": {"warmup_steps": 2}}
        >>> from_config(tables) == LRSchedulersContainer(1.0, 10, warmup_steps=2)
        True

    References:
        torchtitan 0.3.0, trainer.py, Trainer.Config; components/optimizer/optimizer.py, ParamGroupConfig, of 632f67f
        (2026-06-04); torchtitan at 238fa99 (2026-02-23), config/job_config.py, for the tables of TOML files.
    """
    return LRSchedulersContainer(**_call(config, group)[2])


def _call(config: Any, group: int | None = None) -> tuple[str, Callable[..., Schedule], dict[str, Any]]:
    """Return the name of the function that a configuration asks for, the function and its arguments."""
    tables = _TABLES.taken(dictionary(_TABLES.where, config), some=True)
    for name in tables:
        tables[name] = dictionary(f"from_config(config[{name!r}])", tables[name])
    own = _SCHEDULER.taken(tables.get("lr_scheduler", {}))
    steps = _TRAINING.taken(tables.get("training", {})).get("steps", 10_000)
    arguments = {"lr": _rate(tables.get("optimizer", {}), group), "training_steps": steps, **own}
    return "LRSchedulersContainer", LRSchedulersContainer, numbers(LRSchedulersContainer, arguments)


def _rate(table: Mapping[str, Any], group: int | None) -> Any:
    """Return the rate that the table `optimizer` holds, in either form."""
    where, found = _OPTIMIZER.where, _OPTIMIZER.taken(table)
    must(len(found) == 1, where, "a table with param_groups, each with its rate, or with lr", table)
    if "lr" in found:
        must(group is None, "from_config(group=...)", "None where there are no param_groups", group)
        return found["lr"]
    where += "['param_groups']"
    groups = found["param_groups"]
    if not is_sequence(groups):
        raise TypeError(f"{where} must be a list of dictionaries, got {short(groups)}")
    rates = [_rate_of(f"{where}[{i}]", item) for i, item in enumerate(groups)]
    must(len(rates) > 0, where, "at least one group with a rate", groups)
    if group is not None:
        return rates[Int(low=0, high=len(rates) - 1)("from_config(group=...)", group)]
    must(all(rate == rates[0] for rate in rates), "from_config(group=...)", f"given, for the groups have {rates}", None)
    return rates[0]


def _rate_of(where: str, item: Any) -> float | None:
    """Return the rate of a group."""
    content = replace(_GROUP, where=where).taken(dictionary(where, item))
    where += "['optimizer_kwargs']"
    kwargs = dictionary(where, content.get("optimizer_kwargs", {}))
    found = replace(_KWARGS, where=where).taken(kwargs)
    must("lr" in found, where, "a dictionary with the rate as 'lr'", dict(kwargs))
    rule = Real(low=0.0)
    return rule(f"{where}['lr']", number(rule, found["lr"]))


_OWN = tuple(inspect.signature(LRSchedulersContainer).parameters)[2:]
# What is looked for in tables that are not read; steps may stand anywhere.
_INSIDE = (
    *("learning_rate", "lr", "lr_min", "lr_scheduler", "optimizer", "optimizer_kwargs", "param_groups", "training"),
    *(name for name in _OWN if name != "total_steps"),
)
_APART = dict.fromkeys(("lr_scheduler", "optimizer", "training"), "it is a table of its own")
_TABLES = Section(
    "from_config(config)",
    "the tables lr_scheduler, optimizer and training",
    ("lr_scheduler", "optimizer", "training"),
    homes={**dict.fromkeys(_OWN, "it belongs in lr_scheduler"), "lr": "it belongs in optimizer"},
    inside=_INSIDE,
)
_SCHEDULER = Section(
    "from_config(config['lr_scheduler'])",
    f"only {', '.join(_OWN)}",
    _OWN,
    homes={
        "lr_min": "it is min_lr_factor since 2025-07-30, and its curve another before 2025-06-11",
        "lr": "it belongs in optimizer",
        "steps": "it belongs in training",
    },
    strict=True,
)
_OPTIMIZER = Section(
    "from_config(config['optimizer'])",
    "param_groups or lr",
    ("lr", "param_groups"),
    # Arguments of the optimizer's constructor, whose rate every group replaces.
    aside=("optimizer_factory_kwargs_by_name",),
    homes={**_APART, "optimizer_kwargs": "it belongs in each of param_groups"},
    inside=_INSIDE,
)
_GROUP = Section(
    "",
    "only pattern, optimizer_name and optimizer_kwargs",
    ("pattern", "optimizer_name", "optimizer_kwargs"),
    homes={"lr": "it belongs in optimizer_kwargs"},
    strict=True,
)
# DistMuon has a way to adjust the rate to the shapes of matrices.
_KWARGS = Section("", "the rate as 'lr'", ("lr",), aside=("adjust_lr_fn",))
_TRAINING = Section(
    "from_config(config['training'])",
    "no other length than steps",
    ("steps",),
    homes={
        "warmup_steps": "it belongs in lr_scheduler since 2025-03-10, and its curve was another before",
        **dict.fromkeys((n for n in _OWN if n != "warmup_steps"), "it belongs in lr_scheduler"),
        "lr": "it belongs in optimizer",
        **_APART,
    },
    inside=("steps", *_INSIDE),
)
