"""The formulas of every shape in mpmath, written from their definitions and not from our code.

Times are fractions: clocks, chains and cycles are exact, and only the leaves are rounded, to 60 digits.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath as mp

import lrsched as ls
from lrsched import Schedule

mp.mp.dps = 60


def exact(schedule: Schedule, t: int | float | Fraction | Any) -> Any:
    """Return the value of a schedule at a whole or rational step to 60 digits."""
    clock = _CLOCKS.get(type(schedule))
    if clock:
        return clock(schedule, Fraction(t))
    return _FORMULAS[type(schedule)](schedule, t if isinstance(t, mp.mpf) else number(Fraction(t)))


def number(fraction: Fraction) -> Any:
    """Return a fraction to 60 digits."""
    return mp.mpf(fraction.numerator) / fraction.denominator


def meant(given: float) -> Fraction:
    """Return the fraction that stands in a text as this float: 0.1 is a tenth, 1 / 3 a third."""
    short = Fraction(given).limit_denominator(10_000)
    return short if float(short) == given else Fraction(given)


def _ramp(weight: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a formula from the weight of `end` at the part x of the steps."""

    def formula(s: Any, t: Any) -> Any:
        if t >= s.steps:
            return mp.mpf(s.end)
        w = weight(s, t / s.steps)
        return mp.mpf(s.start) + (mp.mpf(s.end) - mp.mpf(s.start)) * w

    return formula


def _between(mean: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a formula from a mean of `start` and `end` at the part x of the steps."""
    return lambda s, t: mp.mpf(s.end) if t >= s.steps else mean(mp.mpf(s.start), mp.mpf(s.end), t / s.steps)


def _chain(s: Any, t: Fraction) -> Any:
    for part in s.parts[:-1]:
        if t < part.length:
            return exact(part, t)
        t -= part.length
    return exact(s.parts[-1], t)


def _repeat(s: Any, t: Fraction) -> Any:
    period, stretch, scale = s.schedule.length, meant(s.stretch), mp.mpf(s.scale)
    begin, size, index = Fraction(0), Fraction(period), 0
    if s.stretch == 1.0 or (s.rounding == "each" and int(period * s.stretch) == period):
        index = t // period
        index = index if s.times is None else min(index, s.times - 1)
        begin = Fraction(index * period)
    while t >= begin + size:
        if s.times is not None and index == s.times - 1:
            return exact(s.schedule, period) * scale**index
        begin, index = begin + size, index + 1
        if s.rounding == "each":
            size = Fraction(int(int(size) * s.stretch))
        else:
            size = period * stretch**index if s.rounding == "none" else Fraction(int(period * s.stretch**index))
    return exact(s.schedule, (t - begin) * period / size) * scale**index


def _hyperbolic(s: Any, x: Any) -> Any:
    n, u, t = s.steps, s.upper, x * s.steps
    return 1 - mp.sqrt((n - t) * (2 * u - n - t) / (mp.mpf(n) * (2 * u - n)))


def _tanh(s: Any, x: Any) -> Any:
    return (1 + mp.tanh(mp.mpf(s.lower) * (1 - x) + mp.mpf(s.upper) * x)) / 2


def _rectified(s: Any, t: Any) -> Any:
    b2 = mp.mpf(s.b2)
    limit = 2 / (1 - b2) - 1

    def length(n: Any) -> Any:
        return limit - 2 * n * b2**n / (1 - b2**n)

    first = next(n for n in range(1, 100) if length(n) > 4)
    r = length(t + first)
    return mp.sqrt((r - 4) * (r - 2) * limit / ((limit - 4) * (limit - 2) * r))


def _extended(s: Any, t: Any) -> Any:
    ramp = s.schedule
    x = t / ramp.steps
    if isinstance(ramp, ls.Cosine):
        return mp.mpf(ramp.end) + (mp.mpf(ramp.start) - mp.mpf(ramp.end)) * (1 + mp.cos(mp.pi * x)) / 2
    return mp.mpf(ramp.start) + (mp.mpf(ramp.end) - mp.mpf(ramp.start)) * x


def _warped(s: Any, t: Any) -> Any:
    n = s.schedule.steps
    return exact(s.schedule, n * (t / n) ** mp.mpf(s.power)) if t < n else mp.mpf(s.schedule.end)


def _triangle(s: Any, t: Fraction) -> Any:
    down = s.down or s.up
    t = t % (s.up + down)
    part = t / s.up if t < s.up else (s.up + down - t) / down
    return mp.mpf(s.low) + (mp.mpf(s.high) - mp.mpf(s.low)) * number(part)


_FORMULAS: dict[type, Callable[[Any, Any], Any]] = {
    ls.Constant: lambda s, t: mp.mpf(s.value),
    ls.Linear: _ramp(lambda s, x: x),
    ls.Cosine: _ramp(lambda s, x: (1 - mp.cos(mp.pi * x)) / 2),
    ls.Polynomial: _ramp(lambda s, x: 1 - (1 - x) ** mp.mpf(s.power)),
    ls.Monomial: _ramp(lambda s, x: x ** mp.mpf(s.power)),
    ls.Rex: _ramp(lambda s, x: 1 - (1 - x) / (1 - x / 2)),
    ls.Tanh: _ramp(_tanh),
    ls.NormalizedExponential: _ramp(lambda s, x: 1 - (mp.mpf(s.rate) ** x - s.rate) / (1 - mp.mpf(s.rate))),
    ls.Hyperbolic: _ramp(_hyperbolic),
    ls.Logarithmic: _ramp(lambda s, x: mp.log(1 + x * s.steps) / mp.log(1 + mp.mpf(s.steps))),
    ls.Geometric: _between(lambda a, b, x: a * (b / a) ** x),
    ls.Harmonic: _between(lambda a, b, x: 1 / ((1 - x) / a + x / b)),
    ls.Exponential: lambda s, t: mp.mpf(s.start) * mp.mpf(s.rate) ** (t / mp.mpf(s.steps)),
    ls.InverseTime: lambda s, t: mp.mpf(s.start) / (1 + mp.mpf(s.rate) * t / mp.mpf(s.steps)),
    ls.PowerLaw: lambda s, t: mp.mpf(s.start) * (1 + t / mp.mpf(s.timescale)) ** -mp.mpf(s.power),
    ls.ExponentialWarmup: lambda s, t: mp.mpf(s.end) * (1 - mp.exp(-(t + 1) / mp.mpf(s.timescale))),
    ls.RectifiedWarmup: _rectified,
    ls.Warp: _warped,
    ls.Extend: _extended,
}
_CLOCKS: dict[type, Callable[[Any, Fraction], Any]] = {
    ls.Table: lambda s, t: mp.mpf(s.values[min(math.floor(t), len(s.values) - 1)]),
    ls.Triangular: _triangle,
    ls.Repeat: _repeat,
    ls.Chain: _chain,
    ls.Shift: lambda s, t: exact(s.schedule, t + (meant(s.steps) if s.steps < 100 else Fraction(s.steps))),
    ls.Stretch: lambda s, t: exact(s.schedule, t / meant(s.factor)),
    ls.Epochs: lambda s, t: exact(s.schedule, t // s.steps_per_epoch),
    ls.Batches: lambda s, t: exact(s.schedule, s.batches_per_update * t + s.batches_per_update - 1),
    ls.Hold: lambda s, t: exact(s.schedule, min(t, s.steps)),
    ls.Reverse: lambda s, t: exact(s.schedule, max(s.schedule.length - t, 0)),
    ls.Product: lambda s, t: mp.fprod(exact(part, t) for part in s.parts),
    ls.Sum: lambda s, t: mp.fsum(exact(part, t) for part in s.parts),
    ls.Minimum: lambda s, t: min(exact(part, t) for part in s.parts),
    ls.Maximum: lambda s, t: max(exact(part, t) for part in s.parts),
    ls.Power: lambda s, t: exact(s.base, t) ** exact(s.exponent, t),
}  # fmt: skip
KNOWN = set(_FORMULAS) | set(_CLOCKS)
