"""From the arguments of one scheduler of MMEngine to what it does when."""

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypedDict

from lrsched._core.check import Int
from lrsched._curves import Cosine, Linear, Schedule
from lrsched.compat._tools import Default, LengthOrNone, OnOff, must, phases
from lrsched.compat.mmengine import laws
from lrsched.compat.mmengine.runs import Acting, follow

INF = int(1e9)


class SchedulerArguments(TypedDict, total=False):
    """What every scheduler of MMEngine takes beside `begin`, `end` and its own.

    Args:
        convert_to_iter_based: whether all lengths are epochs, and one step of the schedule is an iteration.
        epoch_length: iterations of an epoch, for that.
        last_step: must be -1: where training stands is no part of a schedule.
        by_epoch: whether a step is an epoch.
        verbose: no effect.
    """

    convert_to_iter_based: Annotated[OnOff, Default(False)]
    epoch_length: Annotated[LengthOrNone, Default(None)]
    last_step: Annotated[int, Int(low=-1)]
    by_epoch: OnOff
    verbose: OnOff


class _Site(NamedTuple):
    """Where a scheduler acts: the first rate of the group, its steps and how many iterations one of its lengths has."""

    base: float
    steps: int
    scale: int
    endless: bool

    def whole(self, where: str, steps: float, low: int = 1) -> int:
        """Return a length in the scheduler's steps; the rounding of a product with an epoch's iterations is none."""
        length = steps * self.scale
        near = round(length)
        holds = near >= low and abs(length - near) <= 1e-9 * near
        must(holds, where, f"a whole number of steps >= {low}", length)
        return near

    def lowest(self, where: str, eta_min: float | None, ratio: float | None) -> float:
        must(eta_min is None or ratio is None, f"{where}(eta_min_ratio=...)", "None if eta_min is given", ratio)
        return self.base * ratio if ratio is not None else eta_min or 0.0


def acting(name: str, base: float, begin: float, end: float, same: SchedulerArguments, **own: Any) -> Acting:
    """Return what a scheduler does when.

    Args:
        name: the scheduler.
        base: the rate that the parameter group keeps as the first one.
        begin: first step at which it acts.
        end: first step at which it no longer acts; INF stands for none.
        same: what every scheduler takes.
        **own: its own arguments.
    """
    last, epochs = same.get("last_step", -1), bool(same.get("by_epoch", True))
    must(last == -1, f"{name}(last_step=...)", "-1 (where training stands is no part of a schedule)", last)
    scale, length = 1, same["epoch_length"]
    if same["convert_to_iter_based"]:
        must(epochs, f"{name}(convert_to_iter_based=...)", "False if by_epoch is", True)
        must(length is not None, f"{name}(epoch_length=...)", "given with convert_to_iter_based", length)
        scale, epochs = length or 1, False
        begin, end = int(begin * scale), end if end == INF else int(end * scale)
    for argument, step in {"begin": begin, "end": end}.items():
        must(step == int(step), f"{name}({argument}=...)", "a whole number of steps", step)
    must(end > begin, f"{name}(end=...)", f"> begin={begin!r}", end)
    law = _LAWS[name](_Site(base, int(end - begin), scale, end >= INF), **own)
    if isinstance(law, laws.Cycle):
        end = min(end, begin + law.total)
    return Acting(law, int(begin), math.inf if end >= INF else end, epochs=epochs, name=name)


def alone(name: str, lr: float, begin: float, end: float, same: SchedulerArguments, **own: Any) -> Schedule:
    """Return the rates with one scheduler."""
    return follow(lr, [acting(name, lr, begin, end, same, **own)], name)


def _multi_step(run: _Site, milestones: tuple[float, ...], gamma: float) -> laws.SchedulerLaw:
    where = "MultiStepLR(milestones=...)"
    return laws.MultiStep(tuple(sorted(run.whole(where, step, low=0) for step in milestones)), gamma)


def _constant(run: _Site, factor: float) -> laws.SchedulerLaw:
    must(factor > 0.0 or run.endless or run.steps == 1, "ConstantLR(factor=...)", "> 0 if there is an end", factor)
    return laws.FactorUntil(factor, -1 if run.endless else run.steps - 1)


def _cosine(run: _Site, T_max: float | None, eta_min: float | None, eta_min_ratio: float | None) -> laws.SchedulerLaw:
    low = run.lowest("CosineAnnealingLR", eta_min, eta_min_ratio)
    return laws.Wave(run.base, low, run.steps if T_max is None else run.whole("CosineAnnealingLR(T_max=...)", T_max))


def _restarts(
    run: _Site,
    periods: tuple[float, ...],
    restart_weights: tuple[float, ...],
    eta_min: float | None,
    eta_min_ratio: float | None,
) -> laws.SchedulerLaw:
    where, count = "CosineRestartLR", len(periods)
    must(len(restart_weights) == count, f"{where}(restart_weights=...)", f"{count} numbers", restart_weights)
    given = eta_min is not None or eta_min_ratio is not None
    must(given, f"{where}(eta_min=...)", "given if eta_min_ratio is not", None)
    low = run.lowest(where, eta_min, eta_min_ratio)
    lengths = tuple(run.whole(f"{where}(periods=...)", period) for period in periods)
    return laws.Restarts(run.base, low, lengths, tuple(restart_weights))


def _one_cycle(
    run: _Site,
    eta_max: float,
    total_steps: float | None,
    pct_start: float,
    anneal_strategy: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
) -> laws.SchedulerLaw:
    where, given = "OneCycleLR", total_steps is not None or not run.endless
    must(given, f"{where}(total_steps=...)", "given if there is no end", total_steps)
    total = run.steps if total_steps is None else run.whole(f"{where}(total_steps=...)", total_steps)
    top, last = pct_start * total - 1.0, total - 1
    must(top != 0.0 and top != last, f"{where}(pct_start=...)", "a part of more than one step, not all", pct_start)
    ends = [top, 2.0 * top] if three_phase else [top]
    must(ends[-1] < last, f"{where}(pct_start=...)", "short enough for the last phase", pct_start)
    first = eta_max / div_factor
    shape = Cosine if anneal_strategy == "cos" else Linear
    return laws.Cycle(phases(first, eta_max, first / final_div_factor, last, ends, shape), first, total)


def _quadratic(run: _Site) -> laws.SchedulerLaw:
    must(not run.endless, "QuadraticWarmupLR(end=...)", "given", INF)
    return laws.Quadratic(run.base, run.steps)


_LAWS: dict[str, Callable[..., laws.SchedulerLaw]] = {
    "ConstantLR": _constant,
    "CosineAnnealingLR": _cosine,
    "CosineRestartLR": _restarts,
    "ExponentialLR": lambda _, gamma: laws.EveryStep(gamma),
    "LinearLR": lambda run, start_factor, end_factor: laws.Line(start_factor, end_factor, run.steps - 1),
    "MultiStepLR": _multi_step,
    "OneCycleLR": _one_cycle,
    "PolyLR": lambda run, eta_min, power: laws.PowerOfRest(eta_min, power, run.steps - 1),
    "QuadraticWarmupLR": _quadratic,
    "StepLR": lambda run, step_size, gamma: laws.Step(run.whole("StepLR(step_size=...)", step_size), gamma),
}
