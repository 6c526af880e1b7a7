"""Adam with look-ahead (NAdam) and with a rectified start (RAdam)."""

import math
from dataclasses import field
from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Choice, Flag, OrNone, Real
from lrsched._core.value import settle
from lrsched._spaces.ops import Array
from lrsched.rules._library.adaptive import Decay, Positive
from lrsched.rules._library.base import Kernel, Local
from lrsched.rules._library.moments import average, direction, product_series, rooted, warmed_direction
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class Moments(NamedTuple):
    """Averages of the gradients and of their squares."""

    m: Array
    v: Array


class NAdam(Local):
    """Adam with Nesterov's look-ahead.

    At update t = 1, 2, ..., m and v are the averages of Adam, `v' = v / (1 - b2**t)`, and the update is
    `-lr * d / (sqrt(v' + eps_root) + eps)`. The direction is
    `d = mu(t + 1) * m / (1 - P(t + 1)) + (1 - mu(t)) * g / (1 - P(t))` with
    `mu(t) = b1 * (1 - 0.96**(t * momentum_decay) / 2)`, and P(t) the product of mu(1), ..., mu(t).

    Args:
        b1: decay of the average of the gradients, in [0, 1), and limit of mu.
        b2: decay of the average of their squares, in [0, 1).
        eps: > 0; PyTorch and Optax have 1e-8, Keras 1e-7.
        momentum_decay: how fast mu rises from `b1 / 2` to b1, >= 0: 0.004 in PyTorch, 1 in Keras. None for the short
            form of Optax: mu is b1 and P(t) is `b1**t`.
        eps_root: added inside the root besides, >= 0 (Optax).

    Examples:
        >>> import numpy as np
        >>> rule, g = NAdam(0.5, momentum_decay=None), np.ones(1)
        >>> rule.delta(g, g, rule.init(g), lr=0.3, step=0)[0].round(6)  # 0.5 * 0.5 / 0.75 + 0.5 * 1 / 0.5
        array([-0.4])

    References:
        Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-8
    momentum_decay: Annotated[float | None, OrNone(Real(low=0))] = 4e-3
    eps_root: Annotated[float, Real(low=0)] = 0.0

    _slope: float = field(init=False)
    _series: tuple[float, ...] = field(init=False)

    def _check(self) -> None:
        # Below this mu never leaves b1 / 2, and the series would overflow in float32.
        slope = math.log(0.96) * self.momentum_decay if self.momentum_decay and self.momentum_decay > 1e-30 else 0.0
        settle(self, "_slope", slope)
        settle(self, "_series", product_series(slope) if slope and self.b1 else ())

    def slots(self, full: Full) -> Moments:
        """Return averages of 0."""
        return Moments(full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        s, below = rooted(context, self.b2, self.eps, self.eps_root)
        if self.momentum_decay is None:
            a, b = direction(context, self.b1, nesterov=True)
        else:
            a, b = warmed_direction(context, self.b1, self._slope, self._series)
        a, b = context.lr * s * a, context.lr * s * b

        def update(p: Array, g: Array, slots: Moments) -> tuple[Array, Moments]:
            m, v = average(slots.m, g, self.b1), average(slots.v, g * g, self.b2)
            return (a * m + b * g) / below(v), Moments(m, v)

        return update


class RAdam(Local):
    """Adam that does not trust its second moment before it has seen enough.

    m and v are the averages of Adam, m' the corrected m. With `r_max = 2 / (1 - b2) - 1` and
    `r = r_max - 2 * t * b2**t / (1 - b2**t)` at update t = 1, 2, ... the update is `-lr * m'` up to `r = threshold`,
    and `-lr * k * sqrt(1 - b2**t) * m' / (sqrt(v) + eps)` above it, where
    `k**2 = (r - 4) * (r - 2) * r_max / ((r_max - 4) * (r_max - 2) * r)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1); up to 0.6 it is never used.
        eps: > 0.
        eps_at: "hat": added before the correction, as above (PyTorch); "outside": `k * m' / (sqrt(v') + eps)` with the
            corrected v (Optax).
        threshold: >= 4; 4 in the paper, 5 in PyTorch and Optax.
        nesterov: look ahead, as `NAdam(momentum_decay=None)` (Optax).
        eps_root: added to the corrected v, >= 0 (Optax).

    Examples:
        >>> import numpy as np
        >>> rule, p, g = RAdam(), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # too early for a variance: the average alone
        array([-0.2])

    References:
        Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020. arXiv:1908.03265
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-8
    eps_at: Annotated[str, Choice(("hat", "outside"))] = "hat"
    threshold: Annotated[float, Real(low=4)] = 5.0
    nesterov: Annotated[bool, Flag()] = False
    eps_root: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> Moments:
        """Return averages of 0."""
        return Moments(full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        s, below = rooted(context, self.b2, self.eps, self.eps_root, self.eps_at == "hat")
        a, b = direction(context, self.b1, self.nesterov)
        on, k = self._rectified(context)
        rate = context.choose(on, context.lr * s * k, context.lr)

        def update(p: Array, g: Array, slots: Moments) -> tuple[Array, Moments]:
            m, v = average(slots.m, g, self.b1), average(slots.v, g * g, self.b2)
            d = a * m + b * g if self.nesterov else a * m
            if on is False:
                return rate * d, Moments(m, v)
            # Of 1 where it is not used: the root of 0 has no derivative.
            root = below(context.choose(on, v, 1.0))
            return rate * d / context.choose(on, root, 1.0), Moments(m, v)

        return update

    def _rectified(self, context: Context) -> tuple[Any, Any]:
        """Return whether the second moment is used, and the factor k, finite in any case."""
        most = 2.0 / (1.0 - self.b2) - 1.0
        if most <= self.threshold:
            return False, 1.0
        r = _length(context, self.b2)
        on = r > self.threshold
        r = context.choose(on, r, most)
        return on, context.root((r - 4.0) / (most - 4.0) * ((r - 2.0) / (most - 2.0)) * (most / r))


def _length(context: Context, b: float) -> Any:
    """Return `r(t) = (1 + b) / (1 - b) - 2 * t * b**t / (1 - b**t)`, for b > 0.

    With `b = exp(-w)` it is `t - 2 / w * (h(w * t / 2) - h(w / 2))`, where `h(y) = y / tanh(y) - 1`. Where the plain
    form subtracts large numbers, the series of h does not.
    """
    t, w = context.step + 1, -math.log(b)
    if isinstance(t, int):
        return _short(t, w) if w * t < 0.25 else (1.0 + b) / (1.0 - b) - 2.0 * t * b**t / -math.expm1(-w * t)
    plain = (1.0 + b) / (1.0 - b) - 2.0 * t / context.xp.expm1(w * t)
    return context.xp.where(w * t < 0.25, _short(t, w), plain)


def _short(t: Any, w: float) -> Any:
    def h(y: Any) -> Any:
        x = y * y
        return x * (1 / 3 - x * (1 / 45 - x * (2 / 945 - x * (1 / 4725 - x * (2 / 93555)))))

    return t - 2.0 / w * (h(0.5 * w * t) - h(0.5 * w))
