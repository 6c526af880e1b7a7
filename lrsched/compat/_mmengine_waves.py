"""The longer schedulers of MMEngine: waves, cycles and powers."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from lrsched._check import Choice, Int, Many
from lrsched._modifiers import Extend
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Linear, Polynomial
from lrsched.compat._args import (
    Count,
    Fraction,
    Length,
    LengthOrNone,
    OnOff,
    Positive,
    Rate,
    RateOrNone,
    Rates,
    checked,
    must,
    without_effect,
)
from lrsched.compat._one_cycle import phases
from lrsched.compat._pieces import then

INF = int(1e9)


_SAME = ("last_step", "by_epoch", "verbose")


def _window(where: str, curve: Schedule, lr: float, begin: int, end: int, same: Mapping[str, Any]) -> Schedule:
    """Return the curve while the scheduler acts; its last value stays."""
    without_effect(where, same, _SAME)
    must(end > begin, f"{where}(end=...)", f"> begin={begin!r}", end)
    acting = end - begin - 1
    if end < INF:
        held = curve.length is not None and curve.length <= acting
        curve = curve if held else then(acting, curve, Constant(curve(acting)))
    return then(begin, Constant(lr, max(begin, 1)), curve)


@checked
def CosineAnnealingLR(
    lr: Rate,
    T_max: LengthOrNone = None,
    eta_min: RateOrNone = None,
    begin: Count = 0,
    end: Length = INF,
    eta_min_ratio: RateOrNone = None,
    **same: Any,
) -> Schedule:
    """Half a cosine to `eta_min`, and back again if the scheduler acts for more than `T_max` steps.

    With the default `T_max` the scheduler stops one step before `eta_min`.

    Args:
        lr: the optimizer's learning rate, >= 0.
        T_max: steps of half a period; None stands for `end - begin`.
        eta_min: lowest value, >= 0; None stands for `lr * eta_min_ratio`, or 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        eta_min_ratio: lowest value relative to `lr`, not together with `eta_min`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or both lowest values are given.

    Examples:
        >>> round(CosineAnnealingLR(1.0, T_max=10)(5), 12)
        0.5
    """
    low = _lowest("CosineAnnealingLR", lr, eta_min, eta_min_ratio)
    must(end > begin, "CosineAnnealingLR(end=...)", f"> begin={begin!r}", end)
    curve = Extend(Cosine(lr, low, T_max or end - begin))
    return _window("CosineAnnealingLR", curve, lr, begin, end, same)


def _lowest(where: str, lr: float, eta_min: float | None, ratio: float | None) -> float:
    must(eta_min is None or ratio is None, f"{where}(eta_min_ratio=...)", "None if eta_min is given", ratio)
    return lr * ratio if ratio is not None else eta_min or 0.0


@checked
def PolyLR(
    lr: Rate, eta_min: Rate = 0.0, power: Positive = 1.0, begin: Count = 0, end: Length = INF, **same: Any
) -> Schedule:
    """A power of the part left, which reaches `eta_min` at step `end - 1`, the last one at which the scheduler acts.

    Args:
        lr: the optimizer's learning rate, >= 0.
        eta_min: last value, >= 0.
        power: exponent, > 0.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Examples:
        >>> PolyLR(1.0, power=2.0, end=11)(5)
        0.25
    """
    acting = end - begin - 1
    curve = Polynomial(lr, eta_min, acting, power) if acting > 0 else Constant(lr)
    return _window("PolyLR", curve, lr, begin, end, same)


@checked
def OneCycleLR(
    lr: Rate,
    eta_max: Rate = 0.0,
    total_steps: LengthOrNone = None,
    pct_start: Fraction = 0.3,
    anneal_strategy: Annotated[str, Choice(("cos", "linear"))] = "cos",
    div_factor: Positive = 25.0,
    final_div_factor: Positive = 1e4,
    three_phase: OnOff = False,
    begin: Count = 0,
    end: Length = INF,
    **same: Any,
) -> Schedule:
    """The one-cycle policy of torch, whose last value is held after its last step.

    From `eta_max / div_factor` to `eta_max` at the real time `pct_start * total_steps - 1`, then to
    `eta_max / div_factor / final_div_factor` at step `total_steps - 1`.

    Args:
        lr: the optimizer's learning rate, which only the steps before `begin` have.
        eta_max: the top, >= 0. With MMEngine's default, 0, all rates are 0.
        total_steps: length of the cycle, at least as long as the scheduler acts; None stands for `end - begin`.
        pct_start: part of the cycle that rises, from 0 to 1.
        anneal_strategy: "cos" or "linear".
        div_factor: the top divided by the first value, > 0.
        final_div_factor: the first value divided by the last, > 0.
        three_phase: whether to fall back to the first value, in as many steps as the rise took, before the last phase.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, or the rise takes no time.

    Examples:
        >>> s = OneCycleLR(0.1, eta_max=1.0, total_steps=10, end=10)
        >>> round(s(0), 12), round(s(2), 12)
        (0.04, 1.0)
    """
    where = "OneCycleLR"
    must(end > begin, f"{where}(end=...)", f"> begin={begin!r}", end)
    must(total_steps is not None or end < INF, f"{where}(total_steps=...)", "given if there is no end", total_steps)
    total = total_steps or end - begin
    top = pct_start * total - 1.0
    last = total - 1
    must(top != 0.0 and top != last, f"{where}(pct_start=...)", "a part of more than one step, not all", pct_start)
    ends = [top, 2.0 * top] if three_phase else [top]
    must(ends[-1] < last, f"{where}(pct_start=...)", "short enough for the last phase", pct_start)
    first = eta_max / div_factor
    curve = phases(first, eta_max, first / final_div_factor, last, ends, Cosine if anneal_strategy == "cos" else Linear)
    return _window(where, curve, lr, begin, min(end, begin + total), same)


@checked
def CosineRestartLR(
    lr: Rate,
    periods: Annotated[Sequence[int], Many(Int(low=1))],
    restart_weights: Rates = (1,),
    eta_min: RateOrNone = None,
    eta_min_ratio: RateOrNone = None,
    begin: Count = 0,
    end: Length = INF,
    **same: Any,
) -> Schedule:
    """Half cosines of given lengths, each from `lr * weight` to `eta_min`; the value before the last step stays.

    Args:
        lr: the optimizer's learning rate, >= 0.
        periods: lengths of the cycles.
        restart_weights: height of each cycle relative to `lr`, >= 0.
        eta_min: lowest value, >= 0.
        eta_min_ratio: lowest value relative to `lr`; exactly one of the two is given.
        begin: first step at which the scheduler acts.
        end: first step at which it no longer acts, more than `begin`.
        **same: `last_step`, `by_epoch`, `verbose`, which leave the curve as it is.

    Raises:
        ValueError: an argument is out of range, the weights are not as many as the periods, or not exactly one of the
            lowest values is given.

    Examples:
        >>> CosineRestartLR(1.0, periods=[10, 20], restart_weights=[1, 0.5], eta_min=0.0)(10)
        0.5
    """
    where = "CosineRestartLR"
    must(
        len(restart_weights) == len(periods),
        f"{where}(restart_weights=...)",
        f"{len(periods)} numbers",
        restart_weights,
    )
    must(
        eta_min is not None or eta_min_ratio is not None, f"{where}(eta_min=...)", "given if eta_min_ratio is not", None
    )
    low = _lowest(where, lr, eta_min, eta_min_ratio)
    cycles = [Cosine(lr * weight, low, n) for weight, n in zip(restart_weights, periods, strict=True)]
    # After the last period MMEngine leaves what its last step had.
    stay: Schedule = Constant(cycles[-1](periods[-1] - 1))
    curve = then(periods[-1] - 1, cycles[-1], stay)
    for cycle in reversed(cycles[:-1]):
        curve = cycle >> curve
    return _window(where, curve, lr, begin, end, same)
