"""What the arguments of `RuleOptimizer` must be."""

import sys
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lrsched import Schedule, rules
from lrsched_torch._triton import check_triton


def check_rule(rule: Any) -> None:
    """Raise an error if `rule` is no rule."""
    if not isinstance(rule, rules.Rule):
        hint = f"; write {rule!r} >> rules.SGD()" if isinstance(rule, rules.Part) else ""
        raise TypeError(f"RuleOptimizer(rule=...) must be a rule such as rules.Adam(), got {rule!r}{hint}")


def check_processes(totals_over: Any) -> None:
    """Raise an error if `totals_over` is neither None nor a group of processes."""
    known = getattr(torch.distributed, "ProcessGroup", ())
    if totals_over is not None and not isinstance(totals_over, known):
        raise TypeError(f"RuleOptimizer(totals_over=...) must be a ProcessGroup or None, got {totals_over!r}")


def check_rate(lr: Any) -> None:
    """Raise an error if `lr` is no learning rate."""
    must = "RuleOptimizer(lr=...) must be a finite number >= 0, a 0-d tensor or a schedule"
    if isinstance(lr, Schedule):
        lr(0)  # a warm-up without a neighbour has no height
        return
    if isinstance(lr, bool) or not isinstance(lr, Real | Tensor):
        raise TypeError(f"{must}, got {lr!r}")
    if isinstance(lr, Tensor):
        if lr.ndim != 0:
            raise ValueError(f"{must}, got a tensor of shape {tuple(lr.shape)}")
    elif not 0.0 <= float(lr) < float("inf"):
        raise ValueError(f"{must}, got {lr!r}")


def check_compile(compile: Any, rule: rules.Rule, ps: Sequence[Tensor], totals_over: Any) -> None:
    """Raise an error if `compile` is neither True nor False, nor "triton" where Triton can do the updates."""
    if isinstance(compile, bool):
        return
    if compile != "triton":
        raise TypeError(f"RuleOptimizer(compile=...) must be True, False or 'triton', got {compile!r}")
    if totals_over is not None or any(map(is_sharded, ps)):
        raise ValueError(
            "RuleOptimizer(compile=...) must be True or False for parameters spread over processes, got 'triton'"
        )
    check_triton(rule, ps)


def is_sharded(p: Tensor) -> bool:
    """Return whether a parameter is spread over processes."""
    module = sys.modules.get("torch.distributed.tensor")  # who has a DTensor has imported it
    # FullyShardedDataParallel marks its parameters so.
    return (module is not None and isinstance(p, module.DTensor)) or hasattr(p, "_fsdp_flattened")
