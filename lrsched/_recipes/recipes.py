"""The named schedules of the literature, each one expression of the algebra, each with its citation."""

import math
from typing import Annotated

from lrsched._core.check import Choice, Real
from lrsched._curves import (
    SHAPES,
    Constant,
    Cooldown,
    Cosine,
    Geometric,
    Hold,
    Linear,
    PowerLaw,
    Schedule,
    Warmup,
    share,
)
from lrsched._recipes.shared import CountOrPart, LengthOrPart, recipe, renamed
from lrsched.arguments import Length, Lengths, Positive, Rate

Shape = Annotated[str, Choice(SHAPES)]


def rest(where: str, total: int, *taken: int) -> int:
    """Return the steps left of `total`, at least 1."""
    left = total - sum(taken)
    if left < 1:
        raise ValueError(f"{where} must be an int > {sum(taken)}, the steps of the other phases, got {total!r}")
    return left


@recipe
def warmup_cosine(peak: Rate, steps: Length, warmup: CountOrPart, end: Rate = 0.0) -> Schedule:
    """Linear warm-up, then half a cosine to `end` at step `steps`.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, warm-up included.
        warmup: updates of the warm-up, >= 0, fewer than `steps`; or a part of `steps`, in (0, 1).
        end: learning rate at step `steps` and after.

    Examples:
        >>> warmup_cosine(3e-4, steps=10_000, warmup=500)
        Linear(0.0, 0.0003, steps=500) >> Cosine(0.0003, 0.0, steps=9500)

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    rise = share("warmup_cosine(warmup=...)", steps, warmup)
    return Warmup(rise) >> Cosine(peak, end, rest("warmup_cosine(steps=...)", steps, rise))


@recipe
def warmup_linear(peak: Rate, steps: Length, warmup: CountOrPart, end: Rate = 0.0) -> Schedule:
    """Linear warm-up, then a line to `end` at step `steps`.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, warm-up included.
        warmup: updates of the warm-up, >= 0, fewer than `steps`; or a part of `steps`, in (0, 1).
        end: learning rate at step `steps` and after.

    Examples:
        >>> warmup_linear(1.0, steps=10, warmup=2)(6)
        0.5

    References:
        Defazio et al., When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement, 2023. arXiv:2310.07831
    """
    rise = share("warmup_linear(warmup=...)", steps, warmup)
    return Warmup(rise) >> Linear(peak, end, rest("warmup_linear(steps=...)", steps, rise))


@recipe
def wsd(
    peak: Rate, steps: Length, warmup: CountOrPart, cooldown: CountOrPart, end: Rate = 0.0, shape: Shape = "linear"
) -> Schedule:
    """Warm-up, stable phase, decay: the trapezoid.

    Args:
        peak: learning rate of the stable phase, >= 0.
        steps: all updates; the stable phase takes what the others leave, at least 1.
        warmup: updates of the linear warm-up, >= 0; or a part of `steps`, in (0, 1).
        cooldown: updates of the decay, likewise.
        end: learning rate at step `steps` and after, if there is a decay.
        shape: shape of the decay, one of those of `Cooldown`.

    Examples:
        >>> wsd(1.0, steps=100, warmup=0.1, cooldown=20)
        Linear(0.0, 1.0, steps=10) >> Constant(1.0, steps=70) >> Linear(1.0, 0.0, steps=20)

    References:
        Hu et al., MiniCPM, 2024, section 4. arXiv:2404.06395
    """
    rise, fall = share("wsd(warmup=...)", steps, warmup), share("wsd(cooldown=...)", steps, cooldown)
    return Warmup(rise) >> Constant(peak, rest("wsd(steps=...)", steps, rise, fall)) >> Cooldown(fall, end, shape)


@recipe
def wsd_s(peak: Rate, periods: Lengths, *, warmup: CountOrPart = 0, cooldown: CountOrPart, end: Rate = 0.0) -> Schedule:
    """Several stable phases, each with its decay, after one warm-up (WSD-S).

    Args:
        peak: learning rate of the stable phases, >= 0.
        periods: updates of each period, its decay included, each more than `cooldown`.
        warmup: updates of the warm-up, before the first period, >= 0; or a part of all periods together, in (0, 1).
        cooldown: updates of each decay, >= 0; or a part of each period, in (0, 1).
        end: learning rate at the end of each decay.

    Examples:
        >>> wsd_s(1.0, periods=[10, 20], cooldown=5).length
        30

    References:
        Wen et al., Understanding Warmup-Stable-Decay Learning Rates, 2024. arXiv:2410.05192
    """
    rise = share("wsd_s(warmup=...)", sum(periods), warmup)
    falls = [share("wsd_s(cooldown=...)", size, cooldown) for size in periods]
    parts = [
        Constant(peak, rest(f"wsd_s(periods=...)[{i}]", size, fall)) >> Cooldown(fall, end)
        for i, (size, fall) in enumerate(zip(periods, falls, strict=True))
    ]
    return Schedule.sequence([Warmup(rise), *parts])


@recipe
def inverse_sqrt(peak: Rate, warmup: Length) -> Schedule:
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


@recipe
def noam(model_size: Length, warmup: Length, factor: Rate = 1.0) -> Schedule:
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
    return inverse_sqrt(factor * (model_size * warmup) ** -0.5, warmup)


@renamed(decay="cooldown")
@recipe
def tri_stage(
    peak: Positive, warmup: Length, hold: Length, cooldown: Length, start_scale: Rate = 0.01, end_scale: Positive = 0.01
) -> Schedule:
    """Linear warm-up, a constant phase, then an exponential decay: the speech recipe.

    Args:
        peak: highest learning rate, > 0.
        warmup: updates of the warm-up, from `peak * start_scale`, >= 1.
        hold: updates at the peak, >= 1.
        cooldown: updates of the decay, to `peak * end_scale`, >= 1.
        start_scale: first learning rate relative to the peak, >= 0.
        end_scale: last learning rate relative to the peak, > 0.

    Examples:
        >>> tri_stage(1.0, warmup=10, hold=40, cooldown=50)(100)
        0.01

    References:
        Park et al., SpecAugment, 2019, section 3.2. arXiv:1904.08779
    """
    fall = Geometric(peak, peak * end_scale, cooldown)
    return Linear(peak * start_scale, peak, warmup) >> Constant(peak, hold) >> fall


@renamed(flat="hold")
@recipe
def flat_cosine(peak: Rate, steps: Length, hold: LengthOrPart = 0.75, end: Rate = 0.0) -> Schedule:
    """A constant phase, then half a cosine to `end`.

    Args:
        peak: learning rate of the constant phase, >= 0.
        steps: all updates, >= 2.
        hold: part of the steps that is constant, in (0, 1), rounded down; or updates, >= 1.
        end: learning rate at step `steps` and after.

    Examples:
        >>> flat_cosine(1.0, steps=100)
        Constant(1.0, steps=75) >> Cosine(1.0, 0.0, steps=25)
    """
    first = int(hold) if hold >= 1 else max(math.floor(steps * hold), 1)
    return Constant(peak, first) >> Cosine(peak, end, rest("flat_cosine(steps=...)", steps, first))


@recipe
def power_schedule(
    peak: Rate,
    steps: Length,
    warmup: LengthOrPart,
    cooldown: CountOrPart,
    power: Annotated[float, Real(low=-10.0, high=100.0)] = 0.51,
) -> Schedule:
    """Warm-up, a power law in the step, then a line to zero.

    Args:
        peak: learning rate at the end of the warm-up, >= 0.
        steps: all updates.
        warmup: updates of the warm-up and timescale of the power law, >= 1; or a part of `steps`, in (0, 1).
        cooldown: updates of the line to zero, >= 0; or a part of `steps`, in (0, 1).
        power: exponent, `peak * (t / warmup) ** -power`.

    Examples:
        >>> power_schedule(1.0, steps=500, warmup=100, cooldown=100, power=0.5)(400)
        0.5

    References:
        Shen et al., Power Scheduler, 2024. arXiv:2408.13359
    """
    rise = share("power_schedule(warmup=...)", steps, warmup, low=1)
    fall = share("power_schedule(cooldown=...)", steps, cooldown)
    body = rest("power_schedule(steps=...)", steps, rise, fall)
    return Warmup(rise) >> Hold(PowerLaw(peak, power, timescale=rise), body) >> Cooldown(fall)
