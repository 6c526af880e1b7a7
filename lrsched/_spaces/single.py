"""Exponentials in float32: the exponent is split so that its whole part is exact and its fraction keeps 24 digits.

Of `start * 2**(rate * t)` the value has an error of the exponent's own size if that is rounded, so 50 times the spacing
of float32 at 2**-72. A step t is three digits to the base 2048; the rate of each digit is three numbers of which two
have 12 bits, so that their products with it are exact. What is whole in a product goes into the binary exponent.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Table = np.ndarray[Any, Any]
_DIGIT = 2048


def constants(
    start: float, rate: float, ahead: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the rates of the three digits of a step, split, and `start * 2**ahead` as m and k of m * 2**k."""
    rows = []
    for digit in (2, 1, 0):
        rest = rate * float(_DIGIT) ** digit
        row = []
        for _ in range(2):
            mantissa, exponent = math.frexp(rest)
            row.append(math.ldexp(round(math.ldexp(mantissa, 12)), exponent - 12))
            rest -= row[-1]
        rows.append([*row, rest])
    mantissa, exponent = math.frexp(start)
    if ahead:
        whole = math.floor(ahead)
        mantissa, exponent = mantissa * 2.0 ** (ahead - whole), exponent + max(min(whole, 2**20), -(2**20))
    return np.array(rows, np.float32), np.array(mantissa, np.float32), np.array(exponent, np.int32)


def exponential(jnp: Any) -> Callable[..., Any]:
    """Return the function of a step >= 0 and the constants, written with the module of jax."""

    def value(t: Any, rates: Any, mantissa: Any, power: Any) -> Any:
        if t.dtype.kind in "iu":
            digits, rest = (t // _DIGIT**2, t // _DIGIT % _DIGIT, t % _DIGIT), None
        else:
            high = jnp.floor(t / _DIGIT**2)
            low = t - high * _DIGIT**2
            middle = jnp.floor(low / _DIGIT)
            low = low - middle * _DIGIT
            digits, rest = (high, middle, jnp.floor(low)), low - jnp.floor(low)
        whole, part = 0.0, 0.0
        for i, digit in enumerate(digits):
            number = digit.astype(np.float32)
            for j in (0, 1):
                product = number * rates[i, j]
                near = jnp.round(product)
                whole, part = whole + near, part + (product - near)
            part = part + number * rates[i, 2]
        if rest is not None:
            part = part + rest * (rates[2, 0] + rates[2, 1] + rates[2, 2])
        near = jnp.round(part)
        exponent = jnp.clip(whole + near, -2000.0, 2000.0).astype(np.int32) + power
        return jnp.ldexp(mantissa * jnp.exp((part - near) * np.float32(math.log(2.0))), exponent)

    return value
