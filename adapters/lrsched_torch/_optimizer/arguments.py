"""What the arguments of `RuleOptimizer` must be."""

import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lrsched import Schedule, rules
from lrsched.arguments import instead, short
from lrsched_torch._kernels.triton import check_triton
from lrsched_torch._shared.facts import facts_of

RULE = "RuleOptimizer(rule=...)"
RATE = "must be a finite number >= 0, a 0-d tensor, a schedule or a function of the step"


def check_switches(function: str = "RuleOptimizer", **switches: Any) -> None:
    """Raise an error unless each is True or False."""
    for name, content in switches.items():
        if not isinstance(content, bool):
            raise TypeError(f"{function}({name}=...) must be True or False, got {content!r}")


@contextmanager
def told_of(argument: str) -> Iterator[None]:
    """Say in errors of torch that they are about this argument."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if "RuleOptimizer(" in str(error) or type(error) not in (TypeError, ValueError):
            raise
        must = "must be tensors, named tensors or groups of them"
        raise type(error)(f"RuleOptimizer({argument}=...) {must}, but {error}") from error


def check_new_group(group: Any) -> None:
    """Raise an error unless it is a dictionary with parameters."""
    if not isinstance(group, dict) or "params" not in group:
        must = "a dictionary with the parameters under 'params'"
        raise TypeError(f"RuleOptimizer.add_param_group(param_group=...) must be {must}, got {group!r}")


def check_processes(totals_over: Any) -> None:
    """Raise an error if `totals_over` is neither None nor a group of processes."""
    known = getattr(torch.distributed, "ProcessGroup", ())
    if totals_over is not None and not isinstance(totals_over, known):
        raise TypeError(f"RuleOptimizer(totals_over=...) must be a ProcessGroup or None, got {totals_over!r}")


def check_groups(groups: Any) -> None:
    """Raise an error if others have put something among the groups that is none, or a parameter into two of them."""
    must = "RuleOptimizer.param_groups must hold dictionaries with a list of tensors as 'params'"
    if not isinstance(groups, Sequence):
        raise TypeError(f"{must}, got {groups!r}")
    for group in groups:
        ps = group.get("params") if isinstance(group, dict) else None
        if not isinstance(ps, Sequence) or not all(isinstance(p, Tensor) for p in ps):
            raise TypeError(f"{must}, got {group!r}")
    owners = {id(p): i for i, group in enumerate(groups) for p in group["params"]}
    for i, group in enumerate(groups):
        for p in group["params"]:
            if owners[id(p)] != i:
                raise ValueError(f"{must} and no tensor twice, got one of shape {tuple(p.shape)} in two groups")


def check_table(state: Any) -> None:
    """Raise an error if others have put something in the place of the state that is none."""
    if not isinstance(state, MutableMapping):
        raise TypeError(f"RuleOptimizer.state must be a dictionary, got {state!r}")


def check_group(group: dict[str, Any], rule: Any, compile: Any, capturable: Any, totals_over: Any) -> None:
    """Raise an error if a rule cannot update the parameters of a group in the form that is asked for."""
    rules.Rule.of(RULE, rule)
    ps = group["params"]
    for p in ps:
        if not p.is_floating_point():
            raise TypeError(f"RuleOptimizer(params=...) must be real floating-point tensors, got one of {p.dtype}")
    _check_rate(group["lr"])
    check_switches(maximize=group["maximize"])
    _check_compile(compile, rule, ps, totals_over)
    _check_capturable(capturable, compile, rule, ps, totals_over)


def _check_rate(lr: Any) -> None:
    check_rate("RuleOptimizer(lr=...)", lr)
    told = not isinstance(lr, Schedule) and getattr(lr, "device", None) != torch.device("meta")
    if told and not 0.0 <= lr <= sys.float_info.max:  # a tensor is read once, as torch does it
        raise ValueError(f"RuleOptimizer(lr=...) {RATE}, got {lr!r}")


def check_rate(where: str, lr: Any) -> None:
    """Raise an error if a learning rate is of the wrong kind."""
    if isinstance(lr, Schedule):
        lr(0)  # a warm-up without a neighbour has no height
    elif isinstance(lr, bool) or not isinstance(lr, Real | Tensor):
        raise TypeError(f"{where} {RATE}, got {short(lr)}{instead(lr)}")
    elif isinstance(lr, Tensor) and lr.ndim != 0:
        raise ValueError(f"{where} {RATE}, got a tensor of shape {tuple(lr.shape)}")


def _check_compile(compile: Any, rule: rules.Rule, ps: Sequence[Tensor], totals_over: Any) -> None:
    if isinstance(compile, bool) or (isinstance(compile, str) and compile == "auto"):
        return
    if not isinstance(compile, str) or compile != "triton":
        raise TypeError(f"RuleOptimizer(compile=...) must be 'auto', True, False or 'triton', got {compile!r}")
    if totals_over is not None or any(map(is_sharded, ps)):
        raise ValueError(
            "RuleOptimizer(compile=...) must be True or False for parameters spread over processes, got 'triton'"
        )
    check_triton(rule, ps)


def _check_capturable(capturable: Any, compile: Any, rule: rules.Rule, ps: Sequence[Tensor], totals_over: Any) -> None:
    must = "RuleOptimizer(capturable=...) must be"
    if not isinstance(capturable, bool):
        raise TypeError(f"{must} True or False, got {capturable!r}")
    if not capturable:
        return
    if compile not in (True, "triton"):
        raise ValueError(f"{must} False without compile=True or compile='triton', got True")
    if totals_over is not None or any(map(is_sharded, ps)):
        raise ValueError(f"{must} False for parameters spread over processes, got True")
    if not facts_of(rule).packs:
        raise ValueError(f"{must} False for a rule that needs tensors in their own shape, as {rule!r} does, got True")


def is_sharded(p: Tensor) -> bool:
    """Return whether a parameter is spread over processes."""
    module = sys.modules.get("torch.distributed.tensor")  # who has a DTensor has imported it
    # FullyShardedDataParallel marks its parameters so.
    return (module is not None and isinstance(p, module.DTensor)) or hasattr(p, "_fsdp_flattened")
