"""What schedulers of torch keep under other names in older versions, whose states and pickles are still read."""

from collections import Counter
from typing import Any


def annealing(scheduler: Any) -> str:
    """Return the strategy of a `OneCycleLR`; before torch 2.1 it keeps the function."""
    known = getattr(scheduler, "_anneal_func_type", None)
    if known is not None:
        return str(known)
    name = getattr(getattr(scheduler, "anneal_func", None), "__name__", "")
    names = {"_annealing_cos": "cos", "_annealing_linear": "linear"}
    if name not in names:
        raise ValueError(f"from_torch(scheduler) must get a OneCycleLR with an anneal_func of torch, got {name!r}")
    return names[name]


def phase_ends(scheduler: Any) -> list[float]:
    """Return the times at which the phases of a `OneCycleLR` before the last end; before torch 1.8 there are two."""
    phases = getattr(scheduler, "_schedule_phases", None)
    if phases is None:
        return [float(scheduler.step_size_up)]
    return [float(phase["end_step"]) for phase in phases[:-1]]


def has_own_scale(scheduler: Any) -> bool:
    """Return whether a `CyclicLR` has a function of the user; before torch 1.13 it keeps that of its mode there too."""
    if hasattr(scheduler, "_scale_fn_custom"):
        return scheduler._scale_fn_custom is not None
    function = vars(scheduler).get("scale_fn")
    return function is not None and getattr(function, "__name__", "") != f"_{scheduler.mode}_scale_fn"


def milestones(scheduler: Any) -> list[int]:
    """Return the milestones that a `MultiStepLR` can reach, in order; before torch 1.4 they are a list."""
    kept = scheduler.milestones
    listed = kept.elements() if isinstance(kept, Counter) else kept
    return sorted(int(step) for step in listed if step >= 0 and step == int(step))
