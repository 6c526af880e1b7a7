"""The curves as the tests know them: a line for each says how to build it, and its formula in mpmath.

A line builds its curve from arguments that it names by their kind: `a.length`, `a.power`. Who asks chooses them: draws
of Hypothesis (`strategies`), small numbers (`compositions`), the largest and smallest (`test_range`), or each
combination of a few (`every`). So a new curve needs its class and one line here to be in all the tests of accuracy,
laws, libraries, arguments, text, pictures and source code.

The formulas are written from their definitions and not from our code. Times are fractions: clocks, chains and cycles
are exact, and only the leaves are rounded, to 80 digits.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import mpmath as mp

import lrsched as ls
from lrsched import Schedule

mp.mp.dps = 80


class Arguments:
    """What a line takes its arguments from: `a.power` asks the function `of` for a power.

    Numbers: `rate`, `factor` (of a decay), `slope`, `exponent`, `power`, `root` (a power that keeps values small),
    `base`, `beta`, `lower`, `upper`, `scale` (of time), `stretch`; whole ones: `length`, `more`, `skip`, `count`.
    Several: `ends` and `positive_ends` (two rates), `rates`; a length or None: `maybe_length`. Schedules: `ramp`,
    `growing` (whose formula goes on), `bounded`, `endless`, `inner` and `other` (of the family of the node).
    """

    def __init__(self, of: Callable[[str], Any]) -> None:
        self._of = of

    def __getattr__(self, kind: str) -> Any:
        return self._of(kind)


@dataclass(frozen=True)
class Curve:
    """What the tests know of a curve.

    Args:
        build: makes one from its arguments.
        formula: its exact value, from the schedule and the step.
        rough: whether it takes a power, which may cost 16 units in the last place of float32, and not 8.
        clock: whether the formula gets the step as a fraction, and not as a number of mpmath.
    """

    build: Callable[[Any], Any]
    formula: Callable[[Any, Any], Any]
    rough: bool = False
    clock: bool = False

    @cached_property
    def kind(self) -> type[Schedule]:
        """The class."""
        return type(self.small)

    @property
    def small(self) -> Schedule:
        """A curve of this kind of a dozen steps."""
        return next(every(self, SMALL))


def every(curve: Curve, arguments: Mapping[str, Sequence[Any]]) -> Iterator[Schedule]:
    """Yield the curve with each combination of the arguments that its line asks for."""
    waiting: list[list[int]] = [[]]
    while waiting:
        choices = _Choices(arguments, waiting.pop())
        yield curve.build(Arguments(choices.of))
        waiting += choices.others


@dataclass
class _Choices:
    """The choices of one curve: those `taken`, then always the first; `others` begin alike and then differ."""

    arguments: Mapping[str, Sequence[Any]]
    taken: list[int]
    asked: int = 0
    others: list[list[int]] = field(default_factory=list)

    def of(self, kind: str) -> Any:
        choices = self.arguments[kind]
        if self.asked == len(self.taken):
            self.others += [[*self.taken, other] for other in range(1, len(choices))]
            self.taken.append(0)
        self.asked += 1
        return choices[self.taken[self.asked - 1]]


def exact(schedule: Schedule, t: int | float | Fraction | Any) -> Any:
    """Return the value of a schedule at a whole or rational step to 80 digits."""
    curve = line(type(schedule))
    if curve.clock:
        return curve.formula(schedule, Fraction(t))
    return curve.formula(schedule, t if isinstance(t, mp.mpf) else number(Fraction(t)))


def number(fraction: Fraction) -> Any:
    """Return a fraction to 80 digits."""
    return mp.mpf(fraction.numerator) / fraction.denominator


def meant(given: float) -> Fraction:
    """Return the fraction that stands in a text as this float: 0.1 is a tenth, 1 / 3 a third."""
    short = Fraction(given).limit_denominator(10_000)
    return short if float(short) == given else Fraction(given)


def weighted(weight: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a formula from the weight of `end` at the part x of the steps."""
    return between(lambda s, x: mp.mpf(s.start) + (mp.mpf(s.end) - mp.mpf(s.start)) * weight(s, x))


def between(value: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a formula from the value at the part x of the steps, before the end."""
    return lambda s, t: mp.mpf(s.end) if t >= s.steps else value(s, t / s.steps)


@ls.register
def falling(t: Any) -> Any:
    """A function of a user."""
    return 0.5 / (1 + t)


def _of_user(s: Any, t: Any) -> Any:
    return s.f(t if s.steps is None else min(t, mp.mpf(s.steps)))


def _hyperbolic(s: Any, x: Any) -> Any:
    n, u, t = s.steps, s.upper, x * s.steps
    return 1 - mp.sqrt((n - t) * (2 * u - n - t) / (mp.mpf(n) * (2 * u - n)))


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


# From a start to an end.
RAMPS = [
    Curve(lambda a: ls.Linear(*a.ends, a.length), weighted(lambda s, x: x)),
    Curve(lambda a: ls.Cosine(*a.ends, a.length), weighted(lambda s, x: (1 - mp.cos(mp.pi * x)) / 2)),
    Curve(
        lambda a: ls.Polynomial(*a.ends, a.length, a.power),
        weighted(lambda s, x: 1 - (1 - x) ** mp.mpf(s.power)),
        rough=True,
    ),
    Curve(lambda a: ls.Monomial(*a.ends, a.length, a.power), weighted(lambda s, x: x ** mp.mpf(s.power)), rough=True),
    Curve(
        lambda a: ls.Geometric(*a.positive_ends, a.length),
        between(lambda s, x: mp.mpf(s.start) * (mp.mpf(s.end) / mp.mpf(s.start)) ** x),
        rough=True,
    ),
    Curve(
        lambda a: ls.Harmonic(*a.positive_ends, a.length),
        between(lambda s, x: 1 / ((1 - x) / mp.mpf(s.start) + x / mp.mpf(s.end))),
    ),
    Curve(lambda a: ls.Rex(*a.ends, a.length), weighted(lambda s, x: 1 - (1 - x) / (1 - x / 2))),
    Curve(
        lambda a: ls.Tanh(*a.ends, a.length, a.lower, a.upper),
        weighted(lambda s, x: (1 + mp.tanh(mp.mpf(s.lower) * (1 - x) + mp.mpf(s.upper) * x)) / 2),
    ),
    Curve(
        lambda a: ls.NormalizedExponential(*a.ends, a.length, a.base),
        weighted(lambda s, x: 1 - (mp.mpf(s.rate) ** x - s.rate) / (1 - mp.mpf(s.rate))),
        rough=True,
    ),
    Curve(lambda a: ls.Hyperbolic(*a.ends, n := a.length, n + a.more), weighted(_hyperbolic)),
    Curve(
        lambda a: ls.Logarithmic(*a.ends, a.length),
        weighted(lambda s, x: mp.log(1 + x * s.steps) / mp.log(1 + mp.mpf(s.steps))),
    ),
]
# Others with a length.
BOUNDED = [
    Curve(lambda a: ls.Constant(a.rate, a.length), lambda s, t: mp.mpf(s.value)),
    Curve(
        lambda a: ls.Table(a.rates), lambda s, t: mp.mpf(s.values[min(math.floor(t), len(s.values) - 1)]), clock=True
    ),
    Curve(lambda a: ls.Warp(a.ramp, a.power), _warped, rough=True),
    Curve(lambda a: ls.Function(falling, a.length), _of_user),
]
# Those without.
ENDLESS = [
    Curve(lambda a: ls.Function(falling), _of_user),
    Curve(lambda a: ls.Constant(a.rate), lambda s, t: mp.mpf(s.value)),
    Curve(
        lambda a: ls.Exponential(a.rate, a.factor, a.scale),
        lambda s, t: mp.mpf(s.start) * mp.mpf(s.rate) ** (t / mp.mpf(s.steps)),
        rough=True,
    ),
    Curve(
        lambda a: ls.InverseTime(a.rate, a.slope, a.scale),
        lambda s, t: mp.mpf(s.start) / (1 + mp.mpf(s.rate) * t / mp.mpf(s.steps)),
    ),
    Curve(
        lambda a: ls.PowerLaw(a.rate, a.exponent, a.scale),
        lambda s, t: mp.mpf(s.start) * (1 + t / mp.mpf(s.timescale)) ** -mp.mpf(s.power),
        rough=True,
    ),
    Curve(
        lambda a: ls.ExponentialWarmup(a.rate, a.scale),
        lambda s, t: mp.mpf(s.end) * (1 - mp.exp(-(t + 1) / mp.mpf(s.timescale))),
    ),
    Curve(lambda a: ls.RectifiedWarmup(a.beta), _rectified),
    Curve(lambda a: ls.Triangular(*a.ends, a.length, a.maybe_length), _triangle, clock=True),
    Curve(lambda a: ls.Extend(a.growing), _extended),
]
# Nodes around others, of the same family.
NODES = [
    Curve(
        lambda a: ls.Product((a.inner, a.other)), lambda s, t: mp.fprod(exact(part, t) for part in s.parts), clock=True
    ),
    Curve(lambda a: ls.Sum((a.inner, a.other)), lambda s, t: mp.fsum(exact(part, t) for part in s.parts), clock=True),
    Curve(lambda a: ls.Minimum((a.inner, a.other)), lambda s, t: min(exact(part, t) for part in s.parts), clock=True),
    Curve(lambda a: ls.Maximum((a.inner, a.other)), lambda s, t: max(exact(part, t) for part in s.parts), clock=True),
    Curve(
        lambda a: ls.Power(a.inner, a.root),
        lambda s, t: exact(s.base, t) ** exact(s.exponent, t),
        rough=True,
        clock=True,
    ),
    Curve(
        lambda a: ls.Shift(a.inner, a.skip),
        lambda s, t: exact(s.schedule, t + (meant(s.steps) if s.steps < 100 else Fraction(s.steps))),
        clock=True,
    ),
    Curve(lambda a: ls.Stretch(a.inner, a.stretch), lambda s, t: exact(s.schedule, t / meant(s.factor)), clock=True),
    Curve(lambda a: ls.Epochs(a.inner, a.count), lambda s, t: exact(s.schedule, t // s.steps_per_epoch), clock=True),
    Curve(
        lambda a: ls.Batches(a.inner, a.count),
        lambda s, t: exact(s.schedule, s.batches_per_update * t + s.batches_per_update - 1),
        clock=True,
    ),
]
NODES.append(
    Curve(
        lambda a: ls.Consumed(a.inner, ls.Constant(a.count, 5) >> ls.Constant(2 * a.count)),
        lambda s, t: exact(s.schedule, (t + max(t - 5, 0)) * round(s.per_step.parts[0].value)),
        clock=True,
    )
)
# Nodes that give a length, or need one: which of them stands where, each family says itself.
LENGTHS = [
    Curve(lambda a: ls.Chain((a.bounded, a.inner)), _chain, clock=True),
    Curve(lambda a: ls.Repeat(a.bounded), _repeat, clock=True),
    Curve(lambda a: ls.Hold(a.endless, a.length), lambda s, t: exact(s.schedule, min(t, s.steps)), clock=True),
    Curve(lambda a: ls.Reverse(a.bounded), lambda s, t: exact(s.schedule, max(s.schedule.length - t, 0)), clock=True),
]


def curves() -> list[Curve]:
    """Return all lines."""
    return [*RAMPS, *BOUNDED, *ENDLESS, *NODES, *LENGTHS]


def line(kind: type) -> Curve:
    """Return the line of a class."""
    return next(curve for curve in curves() if curve.kind is kind)


SMALL: dict[str, tuple[Any, ...]] = {
    "rate": (0.1,),
    "ends": ((0.1, 0.0),),
    "positive_ends": ((0.1, 0.01),),
    "length": (12,),
    "maybe_length": (6,),
    "more": (18,),
    "skip": (5,),
    "count": (3,),
    "power": (1.7,),
    "root": (2.0,),
    "exponent": (0.5,),
    "base": (0.5,),
    "factor": (0.9,),
    "slope": (0.5,),
    "scale": (10.0,),
    "beta": (0.99,),
    "lower": (-7.0,),
    "upper": (3.0,),
    "stretch": (2.5,),
    "rates": ((0.1, 0.05, 0.2, 0.01),),
    "ramp": (ls.Cosine(0.1, 0.0, steps=12),),
    "growing": (ls.Cosine(0.1, 0.0, steps=12),),
    "bounded": (ls.Cosine(0.1, 0.0, steps=7),),
    "endless": (ls.PowerLaw(0.1, timescale=5.0),),
    "inner": (ls.Cosine(0.1, 0.0, steps=40),),
    "other": (ls.Linear(0.5, 0.01, steps=9),),
}


def about(n: int) -> dict[str, Sequence[Any]]:
    """Return the arguments of curves of about n steps: falling and rising, to zero and not."""
    half = max(n // 2, 1)
    ends = [(1.0, 0.0), (0.0, 1.0), (3e-4, 3e-5), (1e-6, 0.1), (0.25, 0.25)]
    ramps = [ls.Cosine(*pair, n) for pair in ends]
    return {
        "rate": (0.1,),
        "ends": ends,
        "positive_ends": ends[2:],
        "length": (n,),
        "maybe_length": (half,),
        "more": (0, n + 1),
        "skip": (half,),
        "count": (3,),
        "power": (0.5, 1.0, 2.0, 3.5),
        "root": (2.0,),
        "exponent": (0.5, 0.8),
        "base": (0.01, 0.5, 2.0, 30.0),
        "factor": (0.999,),
        "slope": (2.5,),
        "scale": (n / 3, 4000.0),
        "beta": (0.999, 0.75),
        "lower": (-7.0,),
        "upper": (3.0,),
        "stretch": (2.0, 2.5),
        "rates": ((0.1, 0.4, 0.05),),
        "ramp": ramps[:2],
        "growing": (*ramps[:2], ls.Linear(0.1, 1.0, n)),
        "bounded": ramps[:2],
        "endless": (ls.PowerLaw(0.1, 0.5, n / 3),),
        "inner": ramps[:2],
        "other": (ls.Exponential(0.1, 0.5, n),),
    }
