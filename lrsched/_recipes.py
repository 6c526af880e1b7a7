"""The named schedules of the literature, each one expression of the algebra, each with its citation."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import rshift
from typing import Any

from lrsched._check import Int, Many, Real
from lrsched._cycles import Repeat, Triangular
from lrsched._decays import Exponential, PowerLaw
from lrsched._modifiers import Epochs, Hold, Table
from lrsched._schedule import Constant, Schedule
from lrsched._shapes import Cosine, Geometric, Linear
from lrsched._warmup import Cooldown, Warmup

_STEPS = Int(low=1)
_RATE = Real(low=0.0)
_POSITIVE = Real(low=0.0, open_low=True)


def _warmed(steps: int, schedule: Schedule) -> Schedule:
    return Warmup(steps) >> schedule if steps else schedule


def _rest(where: str, total: Any, *taken: Any) -> int:
    """Return the steps left of `total`, at least 1."""
    parts = [int(Int(low=0)(where, part) or 0) for part in taken]
    left = int(_STEPS(where, total) or 0) - sum(parts)
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
    return _warmed(warmup, Cosine(peak, end, _rest("warmup_cosine(steps=...)", steps, warmup)))


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
    return _warmed(warmup, Linear(peak, end, _rest("warmup_linear(steps=...)", steps, warmup)))


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
    stable = _rest("wsd(steps=...)", steps, warmup, cooldown)
    return _warmed(warmup, Constant(peak, stable) >> Cooldown(cooldown, end, shape))


def wsd_s(peak: float, periods: Sequence[int], cooldown: int, warmup: int = 0, end: float = 0.0) -> Schedule:
    """Several stable phases, each with its decay, after one warm-up (WSD-S): a checkpoint at the end of each.

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
    sizes = Many(_STEPS)("wsd_s(periods=...)", periods)
    parts = [
        Constant(peak, _rest(f"wsd_s(periods=...)[{i}]", size, cooldown)) >> Cooldown(cooldown, end)
        for i, size in enumerate(sizes)
    ]
    return _warmed(warmup, reduce(rshift, parts))


def one_cycle(
    peak: float, steps: int, warmup: int, start_divisor: float = 25.0, end_divisor: float = 1e4
) -> Schedule:
    """The one-cycle policy with cosine phases: up from `peak / start_divisor`, then down below where it began.

    Args:
        peak: highest learning rate, > 0.
        steps: all updates.
        warmup: updates of the rise, >= 1, fewer than `steps`.
        start_divisor: the cycle starts at `peak / start_divisor`, > 0.
        end_divisor: and ends at its start divided by this, > 0.

    Examples:
        >>> s = one_cycle(1.0, steps=100, warmup=30)
        >>> s(0), s(30)
        (0.04, 1.0)

    References:
        Smith & Topin, Super-Convergence, 2018. arXiv:1708.07120
    """
    start = peak / (_POSITIVE("one_cycle(start_divisor=...)", start_divisor) or 1.0)
    end = start / (_POSITIVE("one_cycle(end_divisor=...)", end_divisor) or 1.0)
    return Cosine(start, peak, warmup) >> Cosine(peak, end, _rest("one_cycle(steps=...)", steps, warmup))


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
    """The transformer's schedule: `factor * model_size ** -0.5 * min(t ** -0.5, t * warmup ** -1.5)`.

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
    width = _STEPS("noam(model_size=...)", model_size) or 1
    scale = _RATE("noam(factor=...)", factor) or 0.0
    return inverse_sqrt(scale * (width * (_STEPS("noam(warmup=...)", warmup) or 1)) ** -0.5, warmup)


def step_decay(start: float, factor: float, every: int) -> Schedule:
    """The rate times `factor` after each `every` steps, without end.

    Args:
        start: first learning rate, >= 0.
        factor: multiplier at each drop, > 0.
        every: updates between drops, >= 1.

    Examples:
        >>> step_decay(1.0, 0.5, every=30)(65)
        0.25
    """
    return Epochs(Exponential(start, factor), every)


def multi_step(start: float, factor: float, milestones: Sequence[int]) -> Schedule:
    """The rate times `factor` at each milestone.

    Args:
        start: first learning rate, >= 0.
        factor: multiplier at each drop, >= 0.
        milestones: increasing steps, each >= 1, at which the new value is used first; a repeated one counts again.

    Examples:
        >>> multi_step(1.0, 0.1, milestones=[30, 80])
        Constant(1.0, steps=30) >> Constant(0.1, steps=50) >> Constant(0.010000000000000002)

    References:
        He et al., Deep Residual Learning, 2016, section 3.4. arXiv:1512.03385
    """
    steps = Many(_STEPS)("multi_step(milestones=...)", milestones)
    ratio = _RATE("multi_step(factor=...)", factor) or 0.0
    unique = sorted(set(steps))
    if list(steps) != sorted(steps):
        raise ValueError(f"multi_step(milestones=...) must increase, got {milestones!r}")
    counts = [sum(step <= bound for step in steps) for bound in unique]
    values = [start, *(start * ratio**count for count in counts)]
    return piecewise_constant(unique, values)


def piecewise_constant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """A staircase of given values; the value changes at its boundary.

    Args:
        boundaries: strictly increasing steps, each >= 1.
        values: one more than there are boundaries, each >= 0.

    Examples:
        >>> piecewise_constant([10, 20], [0.1, 0.01, 0.001])(10)
        0.01
    """
    steps = Many(_STEPS)("piecewise_constant(boundaries=...)", boundaries)
    rates = Many(_RATE)("piecewise_constant(values=...)", values)
    if len(rates) != len(steps) + 1:
        raise ValueError(
            f"piecewise_constant(values=...) must hold one value more than there are boundaries, got {len(rates)} for "
            f"{len(steps)}"
        )
    lengths = _differences("piecewise_constant(boundaries=...)", (0, *steps))
    parts = [Constant(rate, length) for rate, length in zip(rates[:-1], lengths, strict=True)]
    return Schedule.sequence([*parts, Constant(rates[-1])])


def _differences(where: str, steps: Sequence[int]) -> list[int]:
    lengths = [b - a for a, b in zip(steps[:-1], steps[1:], strict=True)]
    if any(length < 1 for length in lengths):
        raise ValueError(f"{where} must increase strictly, got {list(steps)!r}")
    return lengths


def piecewise_linear(steps: Sequence[int], values: Sequence[float]) -> Schedule:
    """Straight lines between given points.

    Args:
        steps: strictly increasing steps, the first one 0.
        values: the learning rate at each of them, >= 0.

    Examples:
        >>> piecewise_linear([0, 10, 30], [0.0, 1.0, 0.0])
        Linear(0.0, 1.0, steps=10) >> Linear(1.0, 0.0, steps=20)
    """
    where = "piecewise_linear(steps=...)"
    points = Many(Int(low=0), least=2)(where, steps)
    rates = Many(_RATE, least=2)("piecewise_linear(values=...)", values)
    if points[0] != 0 or len(points) != len(rates):
        raise ValueError(f"{where} must begin with 0 and be as many as the {len(rates)} values, got {steps!r}")
    lengths = _differences(where, points)
    parts = [Linear(a, b, n) for a, b, n in zip(rates[:-1], rates[1:], lengths, strict=True)]
    return parts[0] if len(parts) == 1 else Schedule.sequence(parts)


def slanted_triangular(peak: float, steps: int, cut: float = 0.1, ratio: float = 32.0) -> Schedule:
    """A short rise from `peak / ratio` and a long fall back to it.

    Args:
        peak: highest learning rate, >= 0.
        steps: all updates, >= 2.
        cut: part of the steps that rises, in (0, 1).
        ratio: how much smaller the lowest rate is, >= 1.

    Examples:
        >>> slanted_triangular(1.0, steps=100, cut=0.1, ratio=4.0)
        Linear(0.25, 1.0, steps=10) >> Linear(1.0, 0.25, steps=90)

    References:
        Howard & Ruder, Universal Language Model Fine-tuning, 2018, eq. 3. arXiv:1801.06146
    """
    part = Real(low=0.0, high=1.0, open_low=True, open_high=True)("slanted_triangular(cut=...)", cut) or 0.0
    low = peak / (Real(low=1.0)("slanted_triangular(ratio=...)", ratio) or 1.0)
    rise = max(math.floor((_STEPS("slanted_triangular(steps=...)", steps) or 1) * part), 1)
    return Linear(low, peak, rise) >> Linear(peak, low, _rest("slanted_triangular(steps=...)", steps, rise))


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
    first = peak * (_RATE("tri_stage(start_scale=...)", start_scale) or 0.0)
    last = peak * (_POSITIVE("tri_stage(end_scale=...)", end_scale) or 0.0)
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
    part = Real(low=0.0, high=1.0, open_low=True, open_high=True)("flat_cosine(flat=...)", flat) or 0.0
    first = max(math.floor((_STEPS("flat_cosine(steps=...)", steps) or 1) * part), 1)
    return Constant(peak, first) >> Cosine(peak, end, _rest("flat_cosine(steps=...)", steps, first))


def sgdr(peak: float, steps: int, end: float = 0.0, stretch: float = 2.0) -> Schedule:
    """Cosine annealing with warm restarts, without end.

    Args:
        peak: learning rate at each restart, >= 0.
        steps: length of the first cycle, >= 1.
        end: learning rate at the end of each cycle.
        stretch: factor of the length from one cycle to the next, >= 1.

    Examples:
        >>> sgdr(1.0, steps=10)(30)
        1.0

    References:
        Loshchilov & Hutter, SGDR, ICLR 2017. arXiv:1608.03983
    """
    return Repeat(Cosine(peak, end, steps), stretch=stretch)


def triangular2(low: float, high: float, up: int, down: int | None = None) -> Schedule:
    """A triangular wave whose height halves after each cycle.

    Args:
        low: value at the start of each cycle, >= 0.
        high: value at the top of the first cycle, at least `low`.
        up: steps from `low` to the top, >= 1.
        down: steps back, or None for as many as `up`.

    Examples:
        >>> triangular2(0.0, 1.0, up=4)(12)
        0.5

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    rise = Linear(0.0, _span("triangular2", low, high), up)
    return low + Repeat(rise >> Linear(rise.end, 0.0, up if down is None else down), scale=0.5)


def exp_range(low: float, high: float, up: int, rate: float, down: int | None = None) -> Schedule:
    """A triangular wave whose height shrinks by `rate` at each step.

    Args:
        low: value at the start of each cycle, >= 0.
        high: value at the top of an undamped cycle, at least `low`.
        up: steps from `low` to the top, >= 1.
        rate: factor of the height per step, > 0.
        down: steps back, or None for as many as `up`.

    Examples:
        >>> exp_range(0.0, 1.0, up=2, rate=0.5)(2)
        0.25

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017. arXiv:1506.01186
    """
    return low + Triangular(0.0, _span("exp_range", low, high), up, down) * Exponential(1.0, rate)


def _span(name: str, low: float, high: float) -> float:
    bottom = _RATE(f"{name}(low=...)", low) or 0.0
    return (Real(low=bottom)(f"{name}(high=...)", high) or 0.0) - bottom


def range_test(start: float, end: float, steps: int) -> Schedule:
    """The learning-rate range test: a geometric rise from `start` to `end`.

    Args:
        start: first learning rate, > 0.
        end: last learning rate, > 0.
        steps: updates of the test, >= 1.

    Examples:
        >>> round(range_test(1e-7, 10.0, steps=100)(50), 12)
        0.001

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, 2017, section 3.3. arXiv:1506.01186
    """
    return Geometric(start, end, steps)


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
    body = _rest("power_schedule(steps=...)", steps, warmup, cooldown)
    return Warmup(warmup) >> Hold(PowerLaw(peak, power, timescale=warmup), body) >> Cooldown(cooldown)


def chebyshev(start: float, doublings: int, condition: float = 10.0) -> Schedule:
    """The fractal Chebyshev steps: the step sizes of Chebyshev iteration, in an order that is stable at every scale.

    Step size k is `start / (1 - r * cos(pi * (k + 1/2) / T))` with T = 2 ** doublings, r = (condition - 1) /
    (condition + 1), taken in the order that interleaves the halves.

    Args:
        start: the plain step size, `2 / (largest + smallest curvature)`, >= 0.
        doublings: the schedule holds 2 ** doublings values, from 0 to 16.
        condition: ratio of the largest to the smallest curvature, >= 1.

    Examples:
        >>> chebyshev(1.0, doublings=1, condition=1.0)
        Table((1.0, 1.0))

    References:
        Agarwal, Goel & Zhang, Acceleration via Fractal Learning Rate Schedules, 2021. arXiv:2103.01338
    """
    scale = _RATE("chebyshev(start=...)", start) or 0.0
    kappa = Real(low=1.0)("chebyshev(condition=...)", condition) or 1.0
    ratio = (kappa - 1.0) / (kappa + 1.0)
    order = [0]
    for _ in range(Int(low=0, high=16)("chebyshev(doublings=...)", doublings) or 0):
        size = 2 * len(order)
        order = [index for k in order for index in (k, size - 1 - k)]
    count = len(order)
    return Table(tuple(scale / (1.0 - ratio * math.cos(math.pi * (k + 0.5) / count)) for k in order))
