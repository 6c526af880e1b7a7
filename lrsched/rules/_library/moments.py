"""What rules with averages of the gradient share: averages, look-ahead, and the corrected root below the fraction."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lrsched._spaces.ops import Array
from lrsched.rules._ops.context import Context

# log(1 - x / 2) for x in (0, 1] as a power series: after this many terms nothing is left in float64.
TERMS = 54


def average(old: Array, new: Array, b: float) -> Array:
    """Return the exponential average `b * old + (1 - b) * new`.

    Not `old + (1 - b) * (new - old)`, which near b = 0 loses what is much smaller than `old`.
    """
    return b * old + (1.0 - b) * new


def rooted(
    context: Context, b2: float, eps: float, eps_root: float = 0.0, hat: bool = False
) -> tuple[Any, Callable[[Array], Array]]:
    """Return a number s and a function d with `sqrt(v / c + eps_root) + eps = d(v) / s`, where `c = 1 - b2**t`.

    With `hat`, `sqrt(v / c + eps_root) + eps / sqrt(c)`: the same without correction of eps. An element costs one root.
    """
    c = context.correction(b2)
    s = context.root(c)
    inside, outside = eps_root * c, eps if hat else eps * s

    def below(v: Array) -> Array:
        return context.xp.sqrt(v + inside if eps_root else v) + outside

    return s, below


def direction(context: Context, b1: float, nesterov: bool) -> tuple[Any, Any]:
    """Return numbers a, b such that `a * m + b * g` is the corrected average, with look-ahead if `nesterov`.

    With `c(t) = 1 - b1**t` they are `1 / c(t)` and 0, or `b1 / c(t + 1)` and `(1 - b1) / c(t)`.
    """
    c = context.correction(b1)
    if not nesterov:
        return 1.0 / c, 0.0
    ahead = replace(context, step=context.step + 1).correction(b1)
    return b1 / ahead, (1.0 - b1) / c


def warmed_direction(context: Context, b1: float, slope: float, series: Sequence[float]) -> tuple[Any, Any]:
    """Return numbers a, b such that `a * m + b * g` is the look-ahead average of NAdam.

    With `mu(t) = b1 * (1 - q**t / 2)`, where `q = exp(slope)`, and P(t) the product of mu(1), ..., mu(t), they are
    `mu(t + 1) / (1 - P(t + 1))` and `(1 - mu(t)) / (1 - P(t))`. P is a function of the step, not a state: see
    `product_series`, whose result is `series`.
    """
    t = context.step + 1
    gone, gone_next = _less(context, slope * t), _less(context, slope * (t + 1))
    # 1 - mu, 1 - P: as sums of what is positive
    free, free_next = ((1.0 - b1) + 0.5 * b1 * (1.0 - x) for x in (gone, gone_next))
    total = 0.0
    for coefficient in series:
        total = total * (1.0 - gone) + coefficient
    # Without a series q is 1, and each factor is b1 / 2.
    log_product = t * math.log(b1) - gone * total if series else t * math.log(0.5 * b1) if b1 else -math.inf
    rest = _less(context, log_product)
    rest_next = rest + (1.0 - rest) * free_next
    return (1.0 - free_next) / rest_next, free / rest


def _less(context: Context, exponent: Any) -> Any:
    """Return `1 - exp(exponent)`."""
    return -math.expm1(exponent) if isinstance(exponent, (int, float)) else -context.xp.expm1(exponent)


def product_series(slope: float) -> tuple[float, ...]:
    """Return the coefficients, the highest first, of `-log(P(t) / b1**t) / (1 - z)` in powers of `z = q**t`.

    P and `q = exp(slope)` are those of `warmed_direction`. `-log(1 - x / 2)` is the sum of `x**k / (k * 2**k)`, and
    over `x = q, ..., q**t` each power sums to `c(k) * (1 - z**k)`. Divided by `1 - z` that is
    `c(k) * (1 + z + ... + z**(k - 1))`: all terms are positive, and no digit is lost.
    """
    tails, tail = [], 0.0
    for k in range(TERMS, 0, -1):
        tail += 0.5**k / k * math.exp(k * slope) / -math.expm1(k * slope)
        tails.append(tail)
    return tuple(tails)
