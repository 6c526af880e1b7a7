"""From the arguments of one scheduler of MMEngine to what it does when."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lrsched._core.check import Flag, Int
from lrsched._curves.ramps import Cosine, Linear
from lrsched._curves.schedule import Schedule
from lrsched.compat._tools.arguments import must, without_effect
from lrsched.compat._tools.pieces import phases
from lrsched.compat.mmengine import laws as laws
from lrsched.compat.mmengine.runs import Acting, follow

INF = int(1e9)


def _whole(where: str, steps: float, scale: int, low: int = 1) -> int:
    """Return a length in the scheduler's own steps; the rounding of a product with an epoch's iterations is none."""
    length = steps * scale
    near = round(length)
    holds = near >= low and abs(length - near) <= 1e-9 * near
    must(holds, where, f"a whole number of steps >= {low}", length)
    return near


def acting(
    name: str,
    base: float,
    begin: float,
    end: float,
    convert_to_iter_based: bool,
    epoch_length: int | None,
    same: Mapping[str, Any],
    **own: Any,
) -> Acting:
    """Return what a scheduler does when.

    Args:
        name: the scheduler.
        base: the rate that the parameter group keeps as the first one.
        begin: first step at which it acts.
        end: first step at which it no longer acts; INF stands for none.
        convert_to_iter_based: whether these and all other lengths are epochs, and its steps iterations.
        epoch_length: iterations of an epoch.
        same: what may be given without an effect here.
        **own: its own arguments.
    """
    without_effect(name, same, {"last_step": Int(low=-1), "by_epoch": Flag(), "verbose": Flag()})
    last = same.get("last_step", -1)
    must(last == -1, f"{name}(last_step=...)", "-1 (where training stands is no part of a schedule)", last)
    epochs = Flag()(f"{name}(by_epoch=...)", same.get("by_epoch", True))
    scale = 1
    if convert_to_iter_based:
        must(epochs, f"{name}(convert_to_iter_based=...)", "False if by_epoch is", convert_to_iter_based)
        must(epoch_length is not None, f"{name}(epoch_length=...)", "given with convert_to_iter_based", epoch_length)
        scale, epochs = epoch_length or 1, False
        begin, end = int(begin * scale), end if end == INF else int(end * scale)
    for argument, step in {"begin": begin, "end": end}.items():
        must(step == int(step), f"{name}({argument}=...)", "a whole number of steps", step)
    must(end > begin, f"{name}(end=...)", f"> begin={begin!r}", end)
    steps = int(end - begin)
    law = _BUILD[name](base, steps, scale, end >= INF, **own)
    if isinstance(law, laws.Cycle):
        end = min(end, begin + law.total)
    return Acting(law, int(begin), math.inf if end >= INF else end, epochs=epochs, name=name)


def alone(
    name: str,
    lr: float,
    begin: float,
    end: float,
    convert_to_iter_based: bool,
    epoch_length: int | None,
    same: Mapping[str, Any],
    **own: Any,
) -> Schedule:
    """Return the rates with one scheduler."""
    one = acting(name, lr, begin, end, convert_to_iter_based, epoch_length, same, **own)
    return follow(lr, [one], name)


Build = Callable[..., laws.Law]


def _step(base: float, steps: int, scale: int, endless: bool, step_size: float, gamma: float) -> laws.Law:
    return laws.Step(_whole("StepLR(step_size=...)", step_size, scale), gamma)


def _multi_step(
    base: float, steps: int, scale: int, endless: bool, milestones: tuple[float, ...], gamma: float
) -> laws.Law:
    where = "MultiStepLR(milestones=...)"
    return laws.MultiStep(tuple(sorted(_whole(where, step, scale, low=0) for step in milestones)), gamma)


def _constant(base: float, steps: int, scale: int, endless: bool, factor: float) -> laws.Law:
    must(factor > 0.0 or endless or steps == 1, "ConstantLR(factor=...)", "> 0 if there is an end", factor)
    return laws.Factor(factor, -1 if endless else steps - 1)


def _exponential(base: float, steps: int, scale: int, endless: bool, gamma: float) -> laws.Law:
    return laws.Decay(gamma)


def _linear(base: float, steps: int, scale: int, endless: bool, start_factor: float, end_factor: float) -> laws.Law:
    return laws.Line(start_factor, end_factor, steps - 1)


def _poly(base: float, steps: int, scale: int, endless: bool, eta_min: float, power: float) -> laws.Law:
    return laws.Power(eta_min, power, steps - 1)


def _lowest(where: str, base: float, eta_min: float | None, ratio: float | None) -> float:
    must(eta_min is None or ratio is None, f"{where}(eta_min_ratio=...)", "None if eta_min is given", ratio)
    return base * ratio if ratio is not None else eta_min or 0.0


def _cosine(
    base: float,
    steps: int,
    scale: int,
    endless: bool,
    T_max: float | None,
    eta_min: float | None,
    eta_min_ratio: float | None,
) -> laws.Law:
    low = _lowest("CosineAnnealingLR", base, eta_min, eta_min_ratio)
    return laws.Wave(base, low, steps if T_max is None else _whole("CosineAnnealingLR(T_max=...)", T_max, scale))


def _restarts(
    base: float,
    steps: int,
    scale: int,
    endless: bool,
    periods: tuple[float, ...],
    restart_weights: tuple[float, ...],
    eta_min: float | None,
    eta_min_ratio: float | None,
) -> laws.Law:
    where, count = "CosineRestartLR", len(periods)
    must(len(restart_weights) == count, f"{where}(restart_weights=...)", f"{count} numbers", restart_weights)
    given = eta_min is not None or eta_min_ratio is not None
    must(given, f"{where}(eta_min=...)", "given if eta_min_ratio is not", None)
    low = _lowest(where, base, eta_min, eta_min_ratio)
    lengths = tuple(_whole(f"{where}(periods=...)", period, scale) for period in periods)
    return laws.Restarts(base, low, lengths, tuple(restart_weights))


def _one_cycle(
    base: float,
    steps: int,
    scale: int,
    endless: bool,
    eta_max: float,
    total_steps: float | None,
    pct_start: float,
    anneal_strategy: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
) -> laws.Law:
    where = "OneCycleLR"
    must(total_steps is not None or not endless, f"{where}(total_steps=...)", "given if there is no end", total_steps)
    total = steps if total_steps is None else _whole(f"{where}(total_steps=...)", total_steps, scale)
    top, last = pct_start * total - 1.0, total - 1
    must(top != 0.0 and top != last, f"{where}(pct_start=...)", "a part of more than one step, not all", pct_start)
    ends = [top, 2.0 * top] if three_phase else [top]
    must(ends[-1] < last, f"{where}(pct_start=...)", "short enough for the last phase", pct_start)
    first = eta_max / div_factor
    shape = Cosine if anneal_strategy == "cos" else Linear
    return laws.Cycle(phases(first, eta_max, first / final_div_factor, last, ends, shape), first, total)


def _quadratic(base: float, steps: int, scale: int, endless: bool) -> laws.Law:
    must(not endless, "QuadraticWarmupLR(end=...)", "given", INF)
    return laws.Quadratic(base, steps)


_BUILD: dict[str, Build] = {
    "ConstantLR": _constant,
    "CosineAnnealingLR": _cosine,
    "CosineRestartLR": _restarts,
    "ExponentialLR": _exponential,
    "LinearLR": _linear,
    "MultiStepLR": _multi_step,
    "OneCycleLR": _one_cycle,
    "PolyLR": _poly,
    "QuadraticWarmupLR": _quadratic,
    "StepLR": _step,
}
