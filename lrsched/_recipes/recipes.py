"""The named schedules of the literature, each one expression of the algebra, each with its citation."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import rshift
from typing import Any

from lrsched._core.check import Int, Many, Real
from lrsched._curves import Constant, Cooldown, Cosine, Geometric, Hold, Linear, PowerLaw, Schedule, Warmup

STEPS = Int(low=1)
RATE = Real(low=0.0)
POSITIVE = Real(low=0.0, open_low=True)


def _warmed(steps: int, schedule: Schedule) -> Schedule:
    return Warmup(steps) >> schedule if steps else schedule


def rest(where: str, total: Any, *taken: Any) -> int:
    """Return the steps left of `total`, at least 1."""
    parts = [Int(low=0)(where, part) for part in taken]
    left = STEPS(where, total) - sum(parts)
    if left < 1:
        raise ValueError(f"{where} must be an int > {sum(parts)}, the steps of the other phases, got {total!r}")
    return left


def warmup_cosine(peak: float, steps: int, warmup: int, end: float = 0.0) -> Schedule:
    """Linear warm-up, then half a cosine to `end` at step `steps`.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, warm-up included.
        warmup: updates of the warm-up, >= 0, fewer than `steps`.
        end: learning rate at step `steps` and after.

    Examples:
        >>> warmup_cosine(3e-4, steps=10_000, warmup=500)
        Linear(0.0, 0.0003, steps=500) >> Cosine(0.0003, 0.0, steps=9500)

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    return _warmed(warmup, Cosine(peak, end, rest("warmup_cosine(steps=...)", steps, warmup)))


def warmup_linear(peak: float, steps: int, warmup: int, end: float = 0.0) -> Schedule:
    """Linear warm-up, then a line to `end` at step `steps`.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, warm-up included.
        warmup: updates of the warm-up, >= 0, fewer than `steps`.
        end: learning rate at step `steps` and after.

    Examples:
        >>> warmup_linear(1.0, steps=10, warmup=2)(6)
        0.5

    References:
        Defazio et al., When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement, 2023. arXiv:2310.07831
    """
    return _warmed(warmup, Linear(peak, end, rest("warmup_linear(steps=...)", steps, warmup)))


def wsd(peak: float, steps: int, warmup: int, cooldown: int, end: float = 0.0, shape: str = "linear") -> Schedule:
    """Warm-up, stable phase, decay: the trapezoid.

    Args:
        peak: learning rate of the stable phase, >= 0.
        steps: all updates; the stable phase takes what the others leave, at least 1.
        warmup: updates of the linear warm-up, >= 0.
        cooldown: updates of the decay, >= 1.
        end: learning rate at step `steps` and after.
        shape: shape of the decay, one of those of `Cooldown`.

    Examples:
        >>> wsd(1.0, steps=100, warmup=10, cooldown=20)
        Linear(0.0, 1.0, steps=10) >> Constant(1.0, steps=70) >> Linear(1.0, 0.0, steps=20)

    References:
        Hu et al., MiniCPM, 2024, section 4. arXiv:2404.06395
    """
    stable = rest("wsd(steps=...)", steps, warmup, cooldown)
    return _warmed(warmup, Constant(peak, stable) >> Cooldown(cooldown, end, shape))


def wsd_s(peak: float, periods: Sequence[int], cooldown: int, warmup: int = 0, end: float = 0.0) -> Schedule:
    """Several stable phases, each with its decay, after one warm-up (WSD-S).

    Args:
        peak: learning rate of the stable phases, >= 0.
        periods: updates of each period, its decay included, each more than `cooldown`.
        cooldown: updates of each decay, >= 1.
        warmup: updates of the warm-up, before the first period, >= 0.
        end: learning rate at the end of each decay.

    Examples:
        >>> wsd_s(1.0, periods=[10, 20], cooldown=5).length
        30

    References:
        Wen et al., Understanding Warmup-Stable-Decay Learning Rates, 2024. arXiv:2410.05192
    """
    sizes = Many(STEPS)("wsd_s(periods=...)", periods)
    parts = [
        Constant(peak, rest(f"wsd_s(periods=...)[{i}]", size, cooldown)) >> Cooldown(cooldown, end)
        for i, size in enumerate(sizes)
    ]
    return _warmed(warmup, reduce(rshift, parts))


def inverse_sqrt(peak: float, warmup: int) -> Schedule:
    """Linear warm-up, then `peak * sqrt(warmup / t)`, without end.

    Args:
        peak: highest learning rate, >= 0.
        warmup: updates of the warm-up and the timescale of the decay, >= 1.

    Examples:
        >>> inverse_sqrt(1.0, warmup=100)(400)
        0.5

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """
    return Warmup(warmup) >> PowerLaw(peak, power=0.5, timescale=warmup)


def noam(model_size: int, warmup: int, factor: float = 1.0) -> Schedule:
    """The schedule of the first transformer.

    At step t it is `factor * model_size ** -0.5 * min(t ** -0.5, t * warmup ** -1.5)`.

    Args:
        model_size: width of the model, >= 1.
        warmup: updates of the warm-up, >= 1.
        factor: multiplier, >= 0.

    Examples:
        >>> noam(512, warmup=4000)(4000) == (512 * 4000) ** -0.5
        True

    References:
        Vaswani et al., Attention Is All You Need, 2017, eq. 3. arXiv:1706.03762
    """
    width = STEPS("noam(model_size=...)", model_size)
    scale = RATE("noam(factor=...)", factor)
    return inverse_sqrt(scale * (width * STEPS("noam(warmup=...)", warmup)) ** -0.5, warmup)


def tri_stage(
    peak: float, warmup: int, hold: int, decay: int, start_scale: float = 0.01, end_scale: float = 0.01
) -> Schedule:
    """Linear warm-up, a constant phase, then an exponential decay: the speech recipe.

    Args:
        peak: highest learning rate, > 0.
        warmup: updates of the warm-up, from `peak * start_scale`, >= 1.
        hold: updates at the peak, >= 1.
        decay: updates of the decay, to `peak * end_scale`, >= 1.
        start_scale: first learning rate relative to the peak, >= 0.
        end_scale: last learning rate relative to the peak, > 0.

    Examples:
        >>> tri_stage(1.0, warmup=10, hold=40, decay=50)(100)
        0.01

    References:
        Park et al., SpecAugment, 2019, section 3.2. arXiv:1904.08779
    """
    first = peak * RATE("tri_stage(start_scale=...)", start_scale)
    last = peak * POSITIVE("tri_stage(end_scale=...)", end_scale)
    return Linear(first, peak, warmup) >> Constant(peak, hold) >> Geometric(peak, last, decay)


def flat_cosine(peak: float, steps: int, flat: float = 0.75, end: float = 0.0) -> Schedule:
    """A constant phase, then half a cosine to `end`.

    Args:
        peak: learning rate of the constant phase, >= 0.
        steps: all updates, >= 2.
        flat: part of the steps that is constant, in (0, 1).
        end: learning rate at step `steps` and after.

    Examples:
        >>> flat_cosine(1.0, steps=100)
        Constant(1.0, steps=75) >> Cosine(1.0, 0.0, steps=25)
    """
    part = Real(low=0.0, high=1.0, open_low=True, open_high=True)("flat_cosine(flat=...)", flat)
    first = max(math.floor(STEPS("flat_cosine(steps=...)", steps) * part), 1)
    return Constant(peak, first) >> Cosine(peak, end, rest("flat_cosine(steps=...)", steps, first))


def power_schedule(peak: float, warmup: int, steps: int, cooldown: int, power: float = 0.51) -> Schedule:
    """Warm-up, a power law in the step, then a line to zero.

    Args:
        peak: learning rate at the end of the warm-up, >= 0.
        warmup: updates of the warm-up and timescale of the power law, >= 1.
        steps: all updates.
        cooldown: updates of the line to zero, >= 1.
        power: exponent, `peak * (t / warmup) ** -power`.

    Examples:
        >>> power_schedule(1.0, warmup=100, steps=500, cooldown=100, power=0.5)(400)
        0.5

    References:
        Shen et al., Power Scheduler, 2024. arXiv:2408.13359
    """
    body = rest("power_schedule(steps=...)", steps, warmup, cooldown)
    return Warmup(warmup) >> Hold(PowerLaw(peak, power, timescale=warmup), body) >> Cooldown(cooldown)
