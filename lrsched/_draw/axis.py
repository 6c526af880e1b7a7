"""Tick positions and number labels for the pictures."""

import math

import numpy as np
from numpy.typing import ArrayLike

from lrsched._draw.samples import Floats, Samples, relative

# Decades that a logarithmic axis shows at most.
DECADES = 8


def number(value: float) -> str:
    """Return a learning rate as people write it: 0.1, 3e-4, 1.5e-5.

    Examples:
        >>> [number(v) for v in (0.0, 0.1, 0.025, 3e-4, 0.000123456, 1500.0)]
        ['0', '0.1', '0.025', '3e-4', '1.23e-4', '1500']
    """
    if value == 0 or not math.isfinite(value) or 0.01 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"
    return _scientific(value)


def tick_labels(ticks: list[float]) -> list[str]:
    """Return the numbers of a linear axis, all of them written in the same way.

    Examples:
        >>> tick_labels([0.0, 0.005, 0.01, 0.015]), tick_labels([0.0, 0.005, 0.01])
        (['0', '0.005', '0.01', '0.015'], ['0', '5e-3', '1e-2'])
    """
    plain = 0.01 < max(map(abs, ticks)) < 1e5
    return [f"{tick:.6g}" if plain or tick == 0 else _scientific(tick) for tick in ticks]


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def count(steps: int) -> str:
    """Return a number of steps in few characters: 500, 10k, 1.5M, 2.15G.

    Examples:
        >>> [count(n) for n in (500, 9500, 10_000, 1_500_000, 2**31)]
        ['500', '9500', '10k', '1.5M', '2.15G']
    """
    if steps < 10_000:
        return str(steps)
    power = next((p for p in (12, 9, 6, 3) if steps >= 10**p), 3)
    return f"{steps / 10**power:.3g}".removesuffix(".0") + {3: "k", 6: "M", 9: "G", 12: "T"}[power]


def _nice(span: float, most: int) -> float:
    """Return the least of 1, 2, 2.5, 5 times a power of ten that divides `span` into at most `most` parts."""
    unit = 10.0 ** math.floor(math.log10(span / most))
    return next((unit * k for k in (1, 2, 2.5, 5, 10) if span / (unit * k) <= most), unit * 10)


def linear_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers in `[low, high]`, at most `most` + 1 of them."""
    scale = max(abs(low), abs(high))
    if high <= low or scale < 1e-300:
        return [low]
    # In units of the greatest value's decade, so that no size over- or underflows.
    decade = math.floor(math.log10(scale))
    a, b = low / 10.0**decade, high / 10.0**decade
    step = _nice(b - a, most)
    first = math.ceil(a / step - 1e-9)
    ticks = (float(f"{k * step:.10g}e{decade}") for k in range(first, math.floor(b / step + 1e-9) + 1))
    return [tick + 0.0 for tick in ticks]


def step_ticks(end: int, most: int = 6) -> list[int]:
    """Return round step numbers in `[0, end]`."""
    unit = _nice(end, most)
    unit = 5 if unit == 2.5 else max(int(unit), 1)
    return list(range(0, end + 1, unit))


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten in `[low, high]`, thinned to six."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    stride = max(1, math.ceil(len(powers) / 6))
    return [float(f"1e{p}") for p in powers[::stride]]


def labelled_ticks(low: float, high: float, log: bool, most: int = 5) -> tuple[list[float], list[str]]:
    """Return the ticks of a value axis and their texts; a linear one has at most `most` + 1."""
    ticks = log_ticks(low, high) if log else linear_ticks(low, high, most)
    return ticks, list(map(number, ticks)) if log else tick_labels(ticks)


def wants_log(curve: Samples) -> bool:
    """Say whether a linear axis hides the curve: a tenth of it is above 0 but below a thousandth of the peak."""
    even = np.linspace(0, curve.steps[-1], 500)
    values = np.interp(even, curve.steps, curve.values)
    positive = values[values > 0]
    if positive.size < 2 or float(values.min()) < 0:
        return False
    return float(curve.values.max()) > 1e3 * float(np.quantile(positive, 0.1))


def fraction(values: ArrayLike, low: float, high: float, log: bool = False) -> Floats:
    """Return where values stand on an axis: 0 at `low`, 1 at `high`; lower ones stand at 0 of a logarithmic axis."""
    array = np.asarray(values, dtype=np.float64)
    if low >= high:
        return np.zeros_like(array)
    if log:
        return np.asarray(np.log(np.maximum(array, low) / low) / np.log(high / low))
    return relative(array, low, high)


def bounds(low: float, high: float, log: bool) -> tuple[float, float]:
    """Return the ends of a value axis for curves between `low` and `high`.

    A linear axis holds zero, unless the curve stays far from it. A logarithmic one shows `DECADES` at most.
    """
    if log:
        top = high if high > 0 else 1.0
        return max(low if low > 0 else 0.0, top * 10.0**-DECADES, 5e-324), top
    if low == high:
        return (min(low, 0.0), max(high, 0.0)) if low else (0.0, 1.0)
    if low > 0 and high - low < 0.35 * high:
        return low, high
    return min(low, 0.0), max(high, 0.0)
