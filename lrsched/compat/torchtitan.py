"""The learning-rate schedule of torchtitan 0.3.0, `torchtitan.components.optimizer.lr_scheduler`."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

from lrsched._check import Choice, Real
from lrsched._modifiers import Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear, Monomial, Ramp
from lrsched.compat._args import Count, Fraction, LengthOrNone, Rate, checked
from lrsched.compat._pieces import late, then

__all__ = ["LRSchedulersContainer", "from_config"]


@checked
def LRSchedulersContainer(
    lr: Rate,
    training_steps: LengthOrNone = None,
    warmup_steps: Count = 200,
    total_steps: LengthOrNone = None,
    decay_ratio: Annotated[float | None, Real(low=0.0, high=1.0, optional=True)] = None,
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
    body = then(stable, Constant(lr, max(stable, 1)), tail)
    return then(warmup - 1, late(Linear(0.0, lr, max(warmup, 1)), 1), body)


def from_config(config: Any) -> Schedule:
    """The schedule of a whole configuration: the tables of a TOML file as dictionaries.

    Read are the table `lr_scheduler`, `lr` of the table `optimizer` (8e-4 if it is missing) and `steps` of the table
    `training` (10,000); what else stands in the configuration is about something else.

    Args:
        config: the tables by their names; one of the three must be there.

    Raises:
        TypeError: a table is no dictionary, or the table `lr_scheduler` holds a name that is not known.
        ValueError: none of the tables is there, or an entry is out of range.

    Examples:
        >>> tables = {"optimizer": {"lr": 1.0}, "training": {"steps": 10}, "lr_scheduler": {"warmup_steps": 2}}
        >>> from_config(tables) == LRSchedulersContainer(1.0, 10, warmup_steps=2)
        True
    """
    names = ("lr_scheduler", "optimizer", "training")
    if not isinstance(config, Mapping) or not any(name in config for name in names):
        kind = ValueError if isinstance(config, Mapping) else TypeError
        raise kind(f"from_config(config) must hold tables such as lr_scheduler, optimizer and training, got {config!r}")
    tables = {name: config.get(name, {}) for name in names}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise TypeError(f"from_config(config[{name!r}]) must be a dictionary, got {table!r}")
    own = dict(tables["lr_scheduler"])
    known = list(inspect.signature(LRSchedulersContainer).parameters)[2:]
    for name in own:
        if name not in known:
            raise TypeError(f"from_config(config['lr_scheduler']) must hold only {', '.join(known)}, got {name!r}")
    steps = tables["training"].get("steps", 10_000)
    return LRSchedulersContainer(tables["optimizer"].get("lr", 8e-4), steps, **own)
