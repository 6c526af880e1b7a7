"""What `RuleOptimizer.load_state_dict` takes: all of it is looked at and copied before anything changes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import isfinite, nan
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from lrsched_torch._shared.captured import numbers
from lrsched_torch._shared.entries import Slots, check_entry, counts_of

Groups = list[dict[str, Any]]
WHERE = "RuleOptimizer.load_state_dict(state_dict=...)"
STATE = f"{WHERE} must get the state of a RuleOptimizer"
COUNTS = f"{WHERE} must have 'step' and 'updates'"
# What a group keeps if the saved one does not have it.
OWN = ("params", "maximize", "param_names")
# Under what a saved group names what keeps state in its rule.
OF = "state_of"
# Dtypes of parameters that may have a copy in float32.
LOW = (torch.bfloat16, torch.float16)
# The usual kind first, which is told at once.
MAPPING, SEQUENCE = (dict, Mapping), (list, Sequence)
# Kinds of which nobody can change one.
PLAIN = (float, int, bool, str, type(None))
# From how many elements on a copy waits until somebody writes.
LARGE = 2**14


def loaded(
    given: Mapping[str, Any], groups: Groups, slots_of_groups: Sequence[Slots], *, master: bool
) -> tuple[dict[Any, Any], Groups]:
    """Return the state and the groups that an optimizer has when it has loaded a state dictionary.

    Args:
        given: the dictionary, as hooks have left it.
        groups: those of the optimizer.
        slots_of_groups: what the rule of each keeps; there may be more of them.
        master: whether parameters of low precision have a copy that leads.

    Raises:
        TypeError: something is of the wrong kind.
        ValueError: the groups do not fit, a number is out of range, or the moments are those of another rule.
    """
    saved, entries = _parts(given)
    if [len(group["params"]) for group in saved] != [len(group["params"]) for group in groups]:
        raise ValueError(
            f"{WHERE} must have groups of {[len(group['params']) for group in groups]} parameters, got groups of "
            f"{[len(group['params']) for group in saved]}"
        )
    new = [_group(*both) for both in zip(saved, groups, strict=True)]
    own: set[Any] = set()
    kept: list[tuple[Tensor, Mapping[Any, Any]]] = []
    for theirs, group, wanted in zip(saved, groups, slots_of_groups, strict=False):
        try:
            own.update(theirs["params"])
        except TypeError:
            raise TypeError(f"{WHERE} must have numbers as 'params' of each group, got {theirs['params']!r}") from None
        _keep(kept, entries, theirs, group["params"], wanted)
    for key in entries.keys() - own:
        if type(key) is not int:
            raise ValueError(f"{WHERE} must have the numbers of parameters as keys of 'state', got {key!r}")
    counts = counts_of(COUNTS, [entry["step"] for _, entry in kept] + [group["updates"] for group in new])
    state: dict[Any, Any] = defaultdict(dict)
    small: list[Tensor] = []
    places: list[tuple[dict[str, Any], str]] = []
    for (p, entry), count in zip(kept, counts, strict=False):
        mine: dict[str, Any] = {"step": count}
        state[p] = mine
        leads, here = master and p.dtype in LOW, p.is_cpu
        for name, x in entry.items():
            if name == "step" or (name == "master" and not leads):
                continue
            if here and type(x) is Tensor and x.is_cpu and x.numel() < LARGE and not x.requires_grad:
                small.append(x)
                places.append((mine, name))
                mine[name] = None  # to keep the order
            else:
                mine[name] = _placed(x, p)
        if leads and "master" not in entry:
            mine["master"] = p.detach().to(torch.float32)
    # All at once, as a call for each takes longer than its work.
    for (own_state, name), x in zip(places, _cloned(small), strict=True):
        own_state[name] = x
    for group, count in zip(new, counts[len(kept) :], strict=True):
        group["updates"] = count
    # As in torch, what belongs to no parameter stays as it is.
    state.update((key, x) for key, x in entries.items() if key not in own)
    return state, new


def _parts(given: Any) -> tuple[Sequence[Any], Mapping[Any, Any]]:
    if not isinstance(given, MAPPING):
        raise TypeError(f"{STATE}, got {type(given).__name__}")
    saved, entries = given.get("param_groups"), given.get("state")
    if not isinstance(saved, SEQUENCE) or not isinstance(entries, MAPPING):
        raise ValueError(f"{STATE}, with 'param_groups' and 'state', got the entries {sorted(map(str, given))}")
    for group in saved:
        if not isinstance(group, MAPPING) or not isinstance(group.get("params"), SEQUENCE):
            raise TypeError(f"{STATE}, with dictionaries that hold 'params' as groups, got {group!r}")
    return saved, entries


def _group(saved: Mapping[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    if not saved.keys() >= {"lr", "updates"}:
        raise ValueError(f"{STATE}, got a group with the entries {sorted(map(str, saved))}")
    lr, up = saved["lr"], saved.get("maximize", False)
    if type(lr) is not float:
        if isinstance(lr, bool) or not (isinstance(lr, Real) or (isinstance(lr, Tensor) and lr.numel() == 1)):
            raise TypeError(f"{WHERE} must have a number as 'lr' of each group, got {lr!r}")
        try:
            (lr,) = numbers([lr])
        except (OverflowError, TypeError):
            lr = nan  # beyond all floats, or complex
    if not isfinite(lr):
        raise ValueError(f"{WHERE} must have a finite 'lr' in each group, got {saved['lr']!r}")
    if up is not True and up is not False:
        raise TypeError(f"{WHERE} must have True or False as 'maximize', got {up!r}")
    new = {name: x if type(x) in PLAIN else _copied(x) for name, x in saved.items() if name != "params" and name != OF}
    if isinstance(new["lr"], Tensor):
        new["lr"] = new["lr"].reshape(())
    kept = {name: group[name] for name in OWN if name in group and name not in new}
    return {"params": kept.pop("params"), **new, **kept}


def _keep(
    kept: list[tuple[Tensor, Mapping[Any, Any]]],
    entries: Mapping[Any, Any],
    saved: Mapping[str, Any],
    ps: Sequence[Tensor],
    wanted: Slots,
) -> None:
    """Add the parameters of a group that have a state, with it, after a look at all of them."""
    whose = saved.get(OF)
    for number, p in zip(saved["params"], ps, strict=True):
        entry = entries.get(number, {})
        if not isinstance(entry, MAPPING):
            raise TypeError(f"{WHERE} must have a dictionary as the state of each parameter, got {entry!r}")
        if not entry:
            continue
        slots = wanted[p.shape]
        # Who does not say of which rule it is must hold nothing else.
        if (
            entry.keys() - {"master"} != {"step", *slots}
            if whose is None
            else not (isinstance(whose, str) and whose == wanted.kind)
        ):
            got = f"{sorted(map(str, entry))}" + (f" of {whose!r}" if OF in saved else "")
            raise ValueError(f"{STATE} with the rule {wanted.rule!r}, which keeps {['step', *slots]}, got {got}")
        check_entry(WHERE, slots, p, entry)
        kept.append((p, entry))


def _copied(x: Any) -> Any:
    """Return a copy of what a group or others keep."""
    try:
        return deepcopy(x)
    except Exception as error:
        raise ValueError(f"{WHERE} must hold what can be copied, got {type(x).__name__} with {error!r}") from error


def _cloned(xs: list[Tensor]) -> Sequence[Tensor]:
    """Return copies of tensors of the CPU."""
    at_once = getattr(torch, "_foreach_clone", None)  # not in each version
    return at_once(xs) if xs and at_once is not None else [x.clone() for x in xs]


def _placed(x: Any, p: Tensor) -> Any:
    """Return a part of the state that shares no memory, on the device of its parameter."""
    if not isinstance(x, Tensor):
        return _copied(x)
    x = x.detach()
    if type(x) is Tensor and x.is_cpu and p.is_cpu and x.untyped_storage().nbytes() == x.numel() * x.element_size():
        return torch._lazy_clone(x)
    return x.to(p.device, copy=True)
