"""Products of numbers as people write them: 0.1 times 0.1 is 0.01, and not the 0.010000000000000002 of two floats."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import accumulate, repeat


def product(*factors: float) -> float:
    """Return the product of the decimals that the factors print as, rounded once; inf where it overflows.

    It is within one rounding a factor of the product of the floats.

    Examples:
        >>> product(0.1, 0.1), product(3e-4, 0.1, 0.1)
        (0.01, 3e-06)
    """
    return _rounded(math.prod(map(_decimal, factors), start=Fraction(1)))


def powers(start: float, factor: float, count: int) -> list[float]:
    """Return `start * factor ** k` for k = 0, ..., count, each of the decimals and rounded once.

    Examples:
        >>> powers(0.1, 0.1, 3)
        [0.1, 0.01, 0.001, 0.0001]
    """
    found: list[float] = []
    for value in _running(start, repeat(factor, count)):
        found.append(value)
        if value in (0.0, math.inf):  # and all that follow
            return found + [value] * (count + 1 - len(found))
    return found


def products(start: float, factors: Iterable[float]) -> list[float]:
    """Return `start` and its products with the first factors, each of the decimals and rounded once.

    Examples:
        >>> products(0.1, [0.1, 0.5])
        [0.1, 0.01, 0.005]
    """
    return [*_running(start, factors)]


def _running(start: float, factors: Iterable[float]) -> Iterator[float]:
    exact = accumulate(map(_decimal, factors), lambda a, b: _trimmed(a * b), initial=_decimal(start))
    yield from map(_rounded, exact)


def _trimmed(value: Fraction) -> Fraction:
    """Return the number itself while it is short, then its first thousand bits."""
    n, d = value.as_integer_ratio()
    excess = n.bit_length() - d.bit_length() - 1000
    if d.bit_length() < 4000 or excess >= 0:
        return value
    return Fraction((n << -excess) // d, 1 << -excess)


def _decimal(number: float) -> Fraction:
    return Fraction(repr(float(number)))


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
