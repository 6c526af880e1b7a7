"""Relatives of Adam with another second moment: Adamax, AdaBelief, Yogi, Adan."""

from typing import Annotated, NamedTuple

from lrsched._core.check import Choice, Flag, OrNone, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.adaptive import Decay, Positive
from lrsched.rules._library.base import Kernel, Local
from lrsched.rules._library.moments import average, direction, rooted
from lrsched.rules._library.nadam import Moments
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class AdamaxSlots(NamedTuple):
    """The average of the gradients, and the decaying maximum of their magnitudes."""

    m: Array
    u: Array


class Adamax(Local):
    """The average gradient over the largest recent magnitude of the gradient.

    At update t = 1, 2, ..., `m <- b1 * m + (1 - b1) * g` and `u <- max(b2 * u, abs(g) + eps)`; the update is
    `-lr * m / ((1 - b1**t) * u)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the maximum, in [0, 1).
        eps: > 0; PyTorch and Optax have 1e-8, Keras 1e-7.
        eps_at: "inside" the maximum, as above (PyTorch, Optax); "outside": `u <- max(b2 * u, abs(g))`, and the divisor
            is `u + eps` (Keras).

    Examples:
        >>> import numpy as np
        >>> p = np.zeros(2)
        >>> delta, slots = Adamax().delta(p, np.array([3.0, -0.2]), Adamax().init(p), lr=0.1, step=0)
        >>> delta.round(6)
        array([-0.1,  0.1])

    References:
        Kingma & Ba, Adam, ICLR 2015, algorithm 2. arXiv:1412.6980
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-8
    eps_at: Annotated[str, Choice(("inside", "outside"))] = "inside"

    def slots(self, full: Full) -> AdamaxSlots:
        """Return an average and a maximum of 0."""
        return AdamaxSlots(full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        xp, rate = context.xp, context.lr / context.correction(self.b1)
        inside, outside = (self.eps, 0.0) if self.eps_at == "inside" else (0.0, self.eps)

        def update(p: Array, g: Array, slots: AdamaxSlots) -> tuple[Array, AdamaxSlots]:
            m, u = average(slots.m, g, self.b1), xp.maximum(self.b2 * slots.u, xp.abs(g) + inside)
            return rate * m / (u + outside), AdamaxSlots(m, u)

        return update


class AdaBelief(Local):
    """Adam whose second moment is that of what the average did not foresee.

    `m <- b1 * m + (1 - b1) * g`, then `v <- b2 * v + (1 - b2) * (g - m)**2 + eps_root`. With both corrected as in Adam
    the update is `-lr * m' / (sqrt(v') + eps)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of the squared surprises, in [0, 1).
        eps: > 0.
        eps_root: added to v at each update, to stay there, >= 0.
        nesterov: look ahead, as `NAdam(momentum_decay=None)` (Optax).

    Examples:
        >>> import numpy as np
        >>> rule, p, g = AdaBelief(0.5, 0.5), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # the gradient is 1 off its average of 1
        array([-0.2])

    References:
        Zhuang et al., AdaBelief optimizer, NeurIPS 2020. arXiv:2010.07468
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-16
    eps_root: Annotated[float, Real(low=0)] = 1e-16
    nesterov: Annotated[bool, Flag()] = False

    def slots(self, full: Full) -> Moments:
        """Return averages of 0."""
        return Moments(full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        s, below = rooted(context, self.b2, self.eps)
        a, b = direction(context, self.b1, self.nesterov)
        a, b = context.lr * s * a, context.lr * s * b

        def update(p: Array, g: Array, slots: Moments) -> tuple[Array, Moments]:
            m = average(slots.m, g, self.b1)
            surprise = g - m
            v = average(slots.v, surprise * surprise, self.b2) + self.eps_root
            return (a * m + b * g if self.nesterov else a * m) / below(v), Moments(m, v)

        return update


class Yogi(Local):
    """Adam whose second moment changes by at most a share of the squared gradient.

    As Adam, with `v <- v - (1 - b2) * sign(v - g**2) * g**2`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: 1 minus the share, in [0, 1).
        eps: added to the root of the corrected v, > 0.
        initial: m and v before the first update, >= 0.
        eps_root: added inside the root besides, >= 0.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = Yogi(0.5, 0.5, 1e-9), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # as Adam at first
        array([-0.1])

    References:
        Zaheer et al., Adaptive methods for nonconvex optimization, NeurIPS 2018.
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-3
    initial: Annotated[float, Real(low=0)] = 1e-6
    eps_root: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> Moments:
        """Return the initial averages."""
        return Moments(full(self.initial), full(self.initial))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        s, below = rooted(context, self.b2, self.eps, self.eps_root)
        rate, new = context.lr * s / context.correction(self.b1), 1.0 - self.b2

        def update(p: Array, g: Array, slots: Moments) -> tuple[Array, Moments]:
            m, square = average(slots.m, g, self.b1), g * g
            v = slots.v - new * context.xp.sign(slots.v - square) * square
            return rate * m / below(v), Moments(m, v)

        return update


class AdanSlots(NamedTuple):
    """Averages of the gradient, of its change and of the square of both together; the previous gradient."""

    m: Array
    change: Array
    v: Array
    g: Array


class Adan(Local):
    """Adam with a look-ahead that follows the change of the gradient.

    With `c = g - g_previous`, 0 at the first update, and the weight w: m is the average of g with decay b1, n that of c
    with decay b2, v that of `(g + w * c)**2` with decay b3. All three corrected as in Adam, the update is
    `-lr * (m' + w * n') / (sqrt(v' + eps_root) + eps)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their changes, in [0, 1).
        b3: decay of the average of the squares, in [0, 1).
        eps: > 0.
        look_ahead: w, in [0, 1]; None for b2 (the paper, timm). Optax has `1 - b2`.
        eps_root: added inside the root, >= 0; 1e-8 in Optax.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = Adan(), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # as Adam at first
        array([-0.1])

    References:
        Xie et al., Adan: adaptive Nesterov momentum algorithm, TPAMI 2024. arXiv:2208.06677. There the decays are
        written `1 - b`.
    """

    positional = 4
    b1: Decay = 0.98
    b2: Decay = 0.92
    b3: Decay = 0.99
    eps: Positive = 1e-8
    look_ahead: Annotated[float | None, OrNone(Real(low=0, high=1))] = None
    eps_root: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> AdanSlots:
        """Return averages of 0, and a previous gradient of 0 that is not used."""
        return AdanSlots(full(0.0), full(0.0), full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        s, below = rooted(context, self.b3, self.eps, self.eps_root)
        weight = self.b2 if self.look_ahead is None else self.look_ahead
        started = context.started()
        a = context.lr * s / context.correction(self.b1)
        b = context.lr * s / context.correction(self.b2) * weight

        def update(p: Array, g: Array, slots: AdanSlots) -> tuple[Array, AdanSlots]:
            c = started * (g - slots.g)
            both = g + weight * c
            m, change = average(slots.m, g, self.b1), average(slots.change, c, self.b2)
            v = average(slots.v, both * both, self.b3)
            # A product, so that the slot is an array of its own and not the caller's gradient.
            return (a * m + b * change) / below(v), AdanSlots(m, change, v, 1.0 * g)

        return update
