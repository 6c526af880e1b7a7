"""The curves to measure: each as a schedule, as a closure over `math`, and as an expression over NumPy."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import lrsched as ls

STEPS = 900_000
WARMUP = 100_000
PEAK, END = 0.1, 0.001
Closure = Callable[[int], float]
Formula = Callable[[Any], Any]


@dataclass(frozen=True)
class Curve:
    """A curve in three forms that agree at every step.

    Args:
        name: what the table calls it.
        schedule: ours.
        closure: what a person would write for one step, with the constants computed before.
        formula: what a person would write for an array of steps.
    """

    name: str
    schedule: ls.Schedule
    closure: Closure
    formula: Formula


def cosine(start: float, end: float, steps: int) -> Closure:
    """Return half a cosine wave."""
    half = (start - end) / 2

    def at(t: int) -> float:
        return end + half * (1.0 + math.cos(math.pi * t / steps)) if t < steps else end

    return at


def cosines(start: float, end: float, steps: int) -> Formula:
    """Return half a cosine wave of an array."""
    return lambda t: end + (start - end) / 2 * (1.0 + np.cos(np.pi * np.minimum(t, steps) / steps))


def _ramp(name: str, schedule: ls.Schedule, closure: Closure, weight: Formula) -> Curve:
    """Return a curve from `PEAK` to `END`; `weight` is that of `PEAK`, as a function of the part gone."""
    return Curve(name, schedule, closure, lambda t: END + (PEAK - END) * weight(np.minimum(t, STEPS) / STEPS))


def _linear(t: int) -> float:
    return PEAK + (END - PEAK) * t / STEPS if t < STEPS else END


def _square(t: int) -> float:
    return END + (PEAK - END) * (1.0 - t / STEPS) ** 2 if t < STEPS else END


def _polynomial(t: int) -> float:
    return END + (PEAK - END) * (1.0 - t / STEPS) ** 1.7 if t < STEPS else END


def _one_minus_sqrt(t: int) -> float:
    return END + (PEAK - END) * (1.0 - math.sqrt(t / STEPS)) if t < STEPS else END


def _monomial(t: int) -> float:
    return END + (PEAK - END) * (1.0 - (t / STEPS) ** 1.7) if t < STEPS else END


def _geometric(t: int) -> float:
    return PEAK * (END / PEAK) ** (t / STEPS) if t < STEPS else END


def _harmonic(t: int) -> float:
    return PEAK / ((PEAK / END - 1.0) * t / STEPS + 1.0) if t < STEPS else END


def _rex(t: int) -> float:
    x = t / STEPS
    return END + (PEAK - END) * (1.0 - x) / (1.0 - x / 2) if t < STEPS else END


def _tanh(t: int) -> float:
    return END + (PEAK - END) * (1.0 - math.tanh(-7.0 + 10.0 * t / STEPS)) / 2 if t < STEPS else END


def _normalized(t: int) -> float:
    return END + (PEAK - END) * (2.0 * 0.5 ** (t / STEPS) - 1.0) if t < STEPS else END


UPPER = 2 * STEPS
_SCALE = STEPS * (2 * UPPER - STEPS)


def _hyperbolic(t: int) -> float:
    return END + (PEAK - END) * math.sqrt((STEPS - t) * (2 * UPPER - STEPS - t) / _SCALE) if t < STEPS else END


def _logarithmic(t: int) -> float:
    return PEAK + (END - PEAK) * math.log(1 + t) / math.log(1 + STEPS) if t < STEPS else END


def ramps() -> Iterator[Curve]:
    """Yield the curves with an end."""
    yield _ramp("linear", ls.Linear(PEAK, END, STEPS), _linear, lambda x: 1.0 - x)
    yield Curve("cosine", ls.Cosine(PEAK, END, STEPS), cosine(PEAK, END, STEPS), cosines(PEAK, END, STEPS))
    yield _ramp("polynomial 2", ls.Polynomial(PEAK, END, STEPS, power=2.0), _square, lambda x: (1.0 - x) ** 2)
    yield _ramp("polynomial 1.7", ls.Polynomial(PEAK, END, STEPS, power=1.7), _polynomial, lambda x: (1.0 - x) ** 1.7)
    yield _ramp("1-sqrt", ls.Monomial(PEAK, END, STEPS), _one_minus_sqrt, lambda x: 1.0 - np.sqrt(x))
    yield _ramp("monomial 1.7", ls.Monomial(PEAK, END, STEPS, power=1.7), _monomial, lambda x: 1.0 - x**1.7)
    yield Curve(
        "geometric", ls.Geometric(PEAK, END, STEPS), _geometric,
        lambda t: PEAK * (END / PEAK) ** (np.minimum(t, STEPS) / STEPS),
    )  # fmt: skip
    yield Curve(
        "harmonic", ls.Harmonic(PEAK, END, STEPS), _harmonic,
        lambda t: PEAK / ((PEAK / END - 1.0) * np.minimum(t, STEPS) / STEPS + 1.0),
    )  # fmt: skip
    yield _ramp("rex", ls.Rex(PEAK, END, STEPS), _rex, lambda x: (1.0 - x) / (1.0 - x / 2))
    yield Curve(
        "tanh", ls.Tanh(PEAK, END, STEPS), _tanh,
        lambda t: np.where(t < STEPS, END + (PEAK - END) * (1.0 - np.tanh(-7.0 + 10.0 * t / STEPS)) / 2, END),
    )  # fmt: skip
    yield _ramp(
        "normalized exponential", ls.NormalizedExponential(PEAK, END, STEPS), _normalized, lambda x: 2.0 * 0.5**x - 1.0
    )
    yield _ramp(
        "hyperbolic", ls.Hyperbolic(PEAK, END, STEPS, upper=UPPER), _hyperbolic,
        lambda x: np.sqrt((1.0 - x) * (2 * UPPER - STEPS - x * STEPS) / (2 * UPPER - STEPS)),
    )  # fmt: skip
    yield Curve(
        "logarithmic", ls.Logarithmic(PEAK, END, STEPS), _logarithmic,
        lambda t: PEAK + (END - PEAK) * np.log(1 + np.minimum(t, STEPS)) / math.log(1 + STEPS),
    )  # fmt: skip


def decays() -> Iterator[Curve]:
    """Yield the curves without an end."""
    yield Curve("constant", ls.Constant(PEAK), lambda t: PEAK, lambda t: np.full(t.shape, PEAK))
    yield Curve(
        "exponential", ls.Exponential(PEAK, 0.9, steps=STEPS / 10), lambda t: PEAK * 0.9 ** (t / (STEPS / 10)),
        lambda t: PEAK * 0.9 ** (t / (STEPS / 10)),
    )  # fmt: skip
    yield Curve(
        "inverse time", ls.InverseTime(PEAK, 0.5, steps=STEPS / 10), lambda t: PEAK / (1.0 + 0.5 * t / (STEPS / 10)),
        lambda t: PEAK / (1.0 + 0.5 * t / (STEPS / 10)),
    )  # fmt: skip
    yield Curve(
        "inverse square root", ls.PowerLaw(PEAK, power=0.5, timescale=WARMUP),
        lambda t: PEAK / math.sqrt(1.0 + t / WARMUP), lambda t: PEAK / np.sqrt(1.0 + t / WARMUP),
    )  # fmt: skip
    yield Curve(
        "power law 0.7", ls.PowerLaw(PEAK, power=0.7, timescale=WARMUP),
        lambda t: PEAK * (1.0 + t / WARMUP) ** -0.7, lambda t: PEAK * (1.0 + t / WARMUP) ** -0.7,
    )  # fmt: skip
    yield Curve(
        "exponential warm-up", ls.ExponentialWarmup(PEAK, timescale=WARMUP),
        lambda t: PEAK * (1.0 - math.exp(-(t + 1) / WARMUP)), lambda t: PEAK * (1.0 - np.exp(-(t + 1) / WARMUP)),
    )  # fmt: skip


def _warmup_cosine() -> Curve:
    tail, tails = cosine(PEAK, END, STEPS - WARMUP), cosines(PEAK, END, STEPS - WARMUP)

    def at(t: int) -> float:
        return PEAK * t / WARMUP if t < WARMUP else tail(t - WARMUP)

    return Curve(
        "warm-up, cosine", ls.Warmup(WARMUP) >> ls.Cosine(PEAK, END, steps=STEPS - WARMUP), at,
        lambda t: np.where(t < WARMUP, PEAK * t / WARMUP, tails(t - WARMUP)),
    )  # fmt: skip


def _wsd() -> Curve:
    down = STEPS - 2 * WARMUP

    def at(t: int) -> float:
        if t < WARMUP:
            return PEAK * t / WARMUP
        if t < down:
            return PEAK
        return PEAK * (STEPS - t) / (STEPS - down) if t < STEPS else 0.0

    def formula(t: Any) -> Any:
        return PEAK * np.minimum(np.minimum(t / WARMUP, 1.0), np.maximum((STEPS - t) / (STEPS - down), 0.0))

    return Curve("warm-up, stable, decay", ls.wsd(PEAK, STEPS, warmup=WARMUP, cooldown=STEPS - down), at, formula)


def _product() -> Curve:
    first, firsts = cosine(PEAK, END, STEPS), cosines(PEAK, END, STEPS)
    return Curve(
        "product", ls.Cosine(PEAK, END, STEPS) * ls.Exponential(1.0, 0.9, steps=WARMUP),
        lambda t: first(t) * 0.9 ** (t / WARMUP), lambda t: firsts(t) * 0.9 ** (t / WARMUP),
    )  # fmt: skip


PERIOD = 1_000


def _restarts() -> Curve:
    begins = [PERIOD * (2**i - 1) for i in range(21)]
    array = np.array(begins)

    def at(t: int) -> float:
        i = bisect_right(begins, t) - 1
        return PEAK / 2 * (1.0 + math.cos(math.pi * (t - begins[i]) / (PERIOD * 2**i)))

    def formula(t: Any) -> Any:
        i = np.searchsorted(array, t, side="right") - 1
        return PEAK / 2 * (1.0 + np.cos(np.pi * (t - array[i]) / (PERIOD * 2**i)))

    return Curve("restarts, stretch 2", ls.Repeat(ls.Cosine(PEAK, 0.0, PERIOD), stretch=2), at, formula)


def _cycles() -> Curve:
    def at(t: int) -> float:
        return PEAK / 2 * (1.0 + math.cos(math.pi * (t % PERIOD) / PERIOD))

    def formula(t: Any) -> Any:
        return PEAK / 2 * (1.0 + np.cos(np.pi * (t % PERIOD) / PERIOD))

    return Curve("restarts, equal", ls.Repeat(ls.Cosine(PEAK, 0.0, PERIOD)), at, formula)


def _triangular() -> Curve:
    def at(t: int) -> float:
        return END + (PEAK - END) * (1.0 - abs(t % (2 * PERIOD) - PERIOD) / PERIOD)

    def formula(t: Any) -> Any:
        return END + (PEAK - END) * (1.0 - np.abs(t % (2 * PERIOD) - PERIOD) / PERIOD)

    return Curve("triangular", ls.Triangular(END, PEAK, up=PERIOD), at, formula)


def _table() -> Curve:
    values = [PEAK / (1 + i) for i in range(1_000)]
    array, last = np.array(values), len(values) - 1
    return Curve(
        "table", ls.Table(tuple(values)), lambda t: values[t] if t < last else values[last],
        lambda t: array[np.minimum(t, last)],
    )  # fmt: skip


def _staircase() -> Curve:
    schedule = ls.Epochs(ls.Exponential(PEAK, 0.9), steps_per_epoch=WARMUP)
    return Curve("staircase", schedule, lambda t: PEAK * 0.9 ** (t // WARMUP), lambda t: PEAK * 0.9 ** (t // WARMUP))


def _milestones() -> Curve:
    edges, values = [300_000, 600_000, 800_000], [PEAK, PEAK / 10, PEAK / 100, PEAK / 1000]
    edge_array, array = np.array(edges), np.array(values)
    return Curve(
        "milestones", ls.piecewise_constant(edges, values), lambda t: values[bisect_right(edges, t)],
        lambda t: array[np.searchsorted(edge_array, t, side="right")],
    )  # fmt: skip


def combinations() -> Iterator[Curve]:
    """Yield the curves made of others."""
    for build in (
        _warmup_cosine, _wsd, _product, _restarts, _cycles, _triangular, _table, _staircase, _milestones
    ):  # fmt: skip
        yield build()


def curves() -> list[Curve]:
    """Return every curve, after a check that its three forms agree.

    Raises:
        AssertionError: two forms differ by more than the rounding of the plain formulas.
    """
    found = [*ramps(), *decays(), *combinations()]
    steps = np.unique(np.linspace(0, STEPS + WARMUP, 9_973).astype(int))
    for curve in found:
        expected = curve.schedule(steps)
        np.testing.assert_allclose(curve.formula(steps), expected, rtol=1e-9, atol=1e-14, err_msg=curve.name)
        one_by_one = [curve.closure(t) for t in steps.tolist()]
        np.testing.assert_allclose(one_by_one, expected, rtol=1e-9, atol=1e-14, err_msg=curve.name)
    return found
