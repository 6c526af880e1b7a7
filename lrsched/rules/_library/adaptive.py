"""Rules that divide by the root of a second moment: AdaGrad, AdaDelta, RMSprop, Adam."""

from typing import Annotated, NamedTuple

from lrsched._core.check import Choice, Flag, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Kernel, Local
from lrsched.rules._library.moments import average
from lrsched.rules._library.sgd import heavy_ball
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full

Decay = Annotated[float, Real(low=0, high=1, open_high=True)]
Positive = Annotated[float, Real(low=0, open_low=True)]


def _root(context: Context, v: Array, eps: float, eps_at: str) -> Array:
    return context.xp.sqrt(v + eps) if eps_at == "inside" else context.xp.sqrt(v) + eps


class AdaGradSlots(NamedTuple):
    """The sum of the squared gradients."""

    v: Array


class AdaGrad(Local):
    """The gradient over the root of the sum of all squared gradients.

    With `v <- v + g**2` the update is `-lr * g / (sqrt(v) + eps)`, or `-lr * g / sqrt(v + eps)`.

    Args:
        eps: > 0; PyTorch has 1e-10, Keras and Optax 1e-7.
        eps_at: "outside" the root (PyTorch) or "inside" (Keras, Optax).
        initial: v before the first update, >= 0; 0 in PyTorch and the paper, 0.1 in Keras and Optax.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = AdaGrad(), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # 0.1 * 2 / sqrt(2**2)
        array([-0.1])

    References:
        Duchi, Hazan & Singer, Adaptive subgradient methods, JMLR 12, 2011.
    """

    eps: Positive = 1e-10
    eps_at: Annotated[str, Choice(("outside", "inside"))] = "outside"
    initial: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> AdaGradSlots:
        """Return the initial sum."""
        return AdaGradSlots(full(self.initial))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""

        def update(p: Array, g: Array, slots: AdaGradSlots) -> tuple[Array, AdaGradSlots]:
            v = slots.v + g * g
            return context.lr * g / _root(context, v, self.eps, self.eps_at), AdaGradSlots(v)

        return update


class AdaDeltaSlots(NamedTuple):
    """Averages of the squared gradients and of the squared updates."""

    v: Array
    moved: Array


class AdaDelta(Local):
    """The gradient in units of the updates before: no learning rate is needed.

    `v <- b2 * v + (1 - b2) * g**2`, `d = sqrt(moved + eps) / sqrt(v + eps) * g`, then
    `moved <- b2 * moved + (1 - b2) * d**2`. The update is `-lr * d`, with a learning rate of 1 in the paper.

    Args:
        b2: decay of both averages, in [0, 1); 0.9 in PyTorch and Optax, 0.95 in Keras.
        eps: > 0, sets the size of the first updates; 1e-6 in PyTorch and Optax, 1e-7 in Keras.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = AdaDelta(0.25, eps=1.0), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # 0.1 * sqrt(1 / (0.75 * 2**2 + 1)) * 2
        array([-0.1])

    References:
        Zeiler, AdaDelta: an adaptive learning rate method, 2012. arXiv:1212.5701
    """

    b2: Decay = 0.9
    eps: Positive = 1e-6

    def slots(self, full: Full) -> AdaDeltaSlots:
        """Return averages of 0."""
        return AdaDeltaSlots(full(0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        sqrt = context.xp.sqrt

        def update(p: Array, g: Array, slots: AdaDeltaSlots) -> tuple[Array, AdaDeltaSlots]:
            v = average(slots.v, g * g, self.b2)
            d = sqrt(slots.moved + self.eps) / sqrt(v + self.eps) * g
            return context.lr * d, AdaDeltaSlots(v, average(slots.moved, d * d, self.b2))

        return update


class RMSpropSlots(NamedTuple):
    """Averages of the squared gradients and of the gradients, and the velocity; None where not needed."""

    v: Array
    mean: Array | None
    velocity: Array | None


class RMSprop(Local):
    """The gradient over the root of the average of its square.

    With `v <- b2 * v + (1 - b2) * g**2` the direction is `d = g / (sqrt(v) + eps)`, or `g / sqrt(v + eps)`, and the
    update is `-lr * d`. If `centered`, also `m <- b2 * m + (1 - b2) * g`, and `v - m**2` takes the place of v. With
    momentum the velocity `u <- momentum * u + d` (`+ lr * d` with `lr_in_buffer`) takes that of d, as in `Momentum`.

    Args:
        b2: decay of the averages, in [0, 1); PyTorch has 0.99, Keras and Optax 0.9.
        eps: > 0; PyTorch and Optax have 1e-8, Keras 1e-7.
        eps_at: "outside" the root (PyTorch) or "inside" (Keras, Optax, TensorFlow).
        momentum: share of the velocity that is kept, in [0, 1); 0 for none.
        centered: divide by the root of the variance instead.
        nesterov: look ahead; needs `momentum`.
        initial: v before the first update, >= 0; 1 in TensorFlow 1 and timm, else 0.
        bias_correction: divide v and m by `1 - b2**t` at update t = 1, 2, ... The first variance is then 0, so with
            `centered` the first direction is `g / eps` up to rounding: choose a larger eps.
        lr_in_buffer: keep the learning rate in the velocity (Keras, Optax) or outside (PyTorch).

    Raises:
        ValueError: `nesterov` without momentum.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = RMSprop(0.75), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # 0.1 * 2 / sqrt(0.25 * 2**2)
        array([-0.2])

    References:
        Tieleman & Hinton, Lecture 6.5, COURSERA: Neural networks for machine learning, 2012.
        Graves, Generating sequences with recurrent neural networks, 2013 (centered). arXiv:1308.0850
    """

    b2: Decay = 0.99
    eps: Positive = 1e-8
    eps_at: Annotated[str, Choice(("outside", "inside"))] = "outside"
    momentum: Decay = 0.0
    centered: Annotated[bool, Flag()] = False
    nesterov: Annotated[bool, Flag()] = False
    initial: Annotated[float, Real(low=0)] = 0.0
    bias_correction: Annotated[bool, Flag()] = False
    lr_in_buffer: Annotated[bool, Flag()] = False

    def _check(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError(f"RMSprop(momentum=...) must be > 0 with nesterov=True, got {self.momentum!r}")

    def slots(self, full: Full) -> RMSpropSlots:
        """Return the initial averages and a velocity of 0, as far as needed."""
        return RMSpropSlots(
            full(self.initial), full(0.0) if self.centered else None, full(0.0) if self.momentum else None
        )

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        grown = 1.0 / context.correction(self.b2) if self.bias_correction else 1.0
        inside, outside = (context.lr, 1.0) if self.lr_in_buffer else (1.0, context.lr)

        def update(p: Array, g: Array, slots: RMSpropSlots) -> tuple[Array, RMSpropSlots]:
            v = average(slots.v, g * g, self.b2)
            spread, mean = grown * v, slots.mean
            if mean is not None:
                mean = average(mean, g, self.b2)
                centre = grown * mean
                # A variance that rounding makes negative would become NaN under the root.
                spread = context.xp.maximum(spread - centre * centre, 0.0)
            d, velocity = inside * g / _root(context, spread, self.eps, self.eps_at), slots.velocity
            if velocity is not None:
                d, velocity = heavy_ball(d, velocity, self.momentum, self.nesterov)
            return outside * d, RMSpropSlots(v, mean, velocity)

        return update


class AdamSlots(NamedTuple):
    """Averages of the gradients and of their squares; the largest v so far, or None without `amsgrad`."""

    m: Array
    v: Array
    v_max: Array | None


class Adam(Local):
    """The average gradient over the root of the average squared gradient.

    At update t = 1, 2, ..., `m <- b1 * m + (1 - b1) * g` and `v <- b2 * v + (1 - b2) * g**2`. With the corrected
    averages `m' = m / (1 - b1**t)` and `v' = v / (1 - b2**t)` the update is `-lr * m' / (sqrt(v' + eps_root) + eps)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: > 0.
        eps_at: "outside" the root, as above (PyTorch, Optax); "inside": the denominator is `sqrt(v' + eps)`; "hat":
            added before the correction, `sqrt(v) + eps` below `-lr * sqrt(1 - b2**t) / (1 - b1**t) * m` (Keras, and the
            end of section 2 of the paper).
        amsgrad: "off"; "raw": the largest v so far takes the place of v, before correction (PyTorch, Keras);
            "corrected": the largest v' that of v' (Optax).
        correct_m: False leaves m uncorrected.
        correct_v: False leaves v uncorrected.
        eps_root: added inside the root besides, >= 0 (Optax).

    Examples:
        >>> import numpy as np
        >>> p = np.zeros(2)
        >>> delta, slots = Adam().delta(p, np.array([3.0, -0.2]), Adam().init(p), lr=0.1, step=0)
        >>> delta.round(6)
        array([-0.1,  0.1])

    References:
        Kingma & Ba, Adam, ICLR 2015, algorithm 1. arXiv:1412.6980
        Reddi, Kale & Kumar, On the convergence of Adam and beyond, ICLR 2018 (AMSGrad). arXiv:1904.09237
    """

    positional = 3
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: Positive = 1e-8
    eps_at: Annotated[str, Choice(("outside", "inside", "hat"))] = "outside"
    amsgrad: Annotated[str, Choice(("off", "raw", "corrected"))] = "off"
    correct_m: Annotated[bool, Flag()] = True
    correct_v: Annotated[bool, Flag()] = True
    eps_root: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> AdamSlots:
        """Return averages of 0."""
        return AdamSlots(full(0.0), full(0.0), None if self.amsgrad == "off" else full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor.

        The corrections move into scalars, `sqrt(v / c + r) + e = (sqrt(v + c * r) + sqrt(c) * e) / sqrt(c)`, so an
        element costs one root and one division.
        """
        c1 = context.correction(self.b1) if self.correct_m else 1.0
        c2 = context.correction(self.b2) if self.correct_v else 1.0
        c = 1.0 if self.amsgrad == "corrected" else c2
        rate = context.lr * context.root(c) / c1
        inside = self.eps_root * c + (self.eps * c if self.eps_at == "inside" else 0.0)
        outside = {"outside": self.eps * context.root(c), "inside": 0.0, "hat": self.eps}[self.eps_at]
        has_inside = self.eps_at == "inside" or self.eps_root > 0.0

        def update(p: Array, g: Array, slots: AdamSlots) -> tuple[Array, AdamSlots]:
            m, v = average(slots.m, g, self.b1), average(slots.v, g * g, self.b2)
            largest, v_max = v, slots.v_max
            if v_max is not None:
                v_max = context.xp.maximum(v_max, v / c2 if self.amsgrad == "corrected" else v)
                largest = v_max
            root = context.xp.sqrt(largest + inside if has_inside else largest)
            return rate * m / (root if self.eps_at == "inside" else root + outside), AdamSlots(m, v, v_max)

        return update
