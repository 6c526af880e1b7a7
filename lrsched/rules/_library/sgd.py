"""Gradient descent, momentum and the signed rules: what divides by no second moment."""

from typing import Annotated, NamedTuple

from lrsched._core.check import Choice, Flag, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Kernel, Local
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class SGD(Local):
    """Gradient descent: the update is `-lr * g`.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = SGD(), np.ones(1), np.array([2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)
        array([-0.2])
    """

    def slots(self, full: Full) -> tuple[()]:
        """Return (): there is no state."""
        return ()

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        return lambda p, g, slots: (context.lr * g, slots)


class MomentumSlots(NamedTuple):
    """The velocity."""

    v: Array


def heavy_ball(g: Array, v: Array, momentum: float, nesterov: bool) -> tuple[Array, Array]:
    """Return the direction and the new velocity of momentum.

    The velocity becomes `momentum * v + g`; the direction is the velocity, or with `nesterov` `g + momentum * v`.
    """
    v = momentum * v + g
    return (g + momentum * v if nesterov else v), v


class Momentum(Local):
    """Gradient descent with momentum, the heavy ball.

    The velocity becomes `v <- momentum * v + (1 - dampening) * g`; the update is `-lr * v`, or, with `nesterov`,
    `-lr * (g + momentum * v)`. With `lr_in_buffer`, `lr * g` takes the place of g, and the update is not multiplied
    again: the two differ as soon as the learning rate changes.

    Args:
        momentum: share of the velocity that is kept, in [0, 1).
        dampening: share of the gradient that is left out, in [0, 1]. `dampening=momentum` makes the velocity the
            exponential average `v <- momentum * v + (1 - momentum) * g`.
        nesterov: look ahead; needs `dampening=0`.
        first_step: "zero": the velocity starts at 0. "clone": at step 0 it is g, whatever the dampening (PyTorch).
        lr_in_buffer: keep the learning rate in the velocity (Keras, and LARS as published) or outside (PyTorch, Optax).

    Examples:
        >>> import numpy as np
        >>> rule, g = Momentum(0.9, dampening=0.9), np.ones(1)
        >>> delta, slots = rule.delta(g, g, rule.init(g), lr=1.0, step=0)
        >>> delta.round(6)
        array([-0.1])

    References:
        Polyak, Some methods of speeding up the convergence of iteration methods, 1964.
        Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.
    """

    momentum: Annotated[float, Real(low=0, high=1, open_high=True)] = 0.9
    dampening: Annotated[float, Real(low=0, high=1)] = 0.0
    nesterov: Annotated[bool, Flag()] = False
    first_step: Annotated[str, Choice(("zero", "clone"))] = "zero"
    lr_in_buffer: Annotated[bool, Flag()] = False

    def _check(self) -> None:
        if self.nesterov and self.dampening:
            raise ValueError(f"Momentum(dampening=...) must be 0 with nesterov=True, got {self.dampening!r}")

    def slots(self, full: Full) -> MomentumSlots:
        """Return a velocity of 0."""
        return MomentumSlots(full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        weight = 1.0 - self.dampening * (context.started() if self.first_step == "clone" else 1.0)
        inside, outside = (weight * context.lr, 1.0) if self.lr_in_buffer else (weight, context.lr)

        def update(p: Array, g: Array, slots: MomentumSlots) -> tuple[Array, MomentumSlots]:
            scaled = inside * g if self.lr_in_buffer or self.dampening else g
            direction, v = heavy_ball(scaled, slots.v, self.momentum, self.nesterov)
            return direction if self.lr_in_buffer else outside * direction, MomentumSlots(v)

        return update


class LionSlots(NamedTuple):
    """The average of the gradients."""

    m: Array


class Lion(Local):
    """The sign of an interpolation between the gradient and its average.

    The update is `-lr * sign(b1 * m + (1 - b1) * g)`; then `m <- b2 * m + (1 - b2) * g`.

    Args:
        b1: weight of the average in the direction, in [0, 1].
        b2: decay of the average, in [0, 1].

    Examples:
        >>> import numpy as np
        >>> rule, p, g = Lion(), np.ones(2), np.array([3.0, -2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)
        array([-0.1,  0.1])

    References:
        Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023. arXiv:2302.06675
    """

    b1: Annotated[float, Real(low=0, high=1)] = 0.9
    b2: Annotated[float, Real(low=0, high=1)] = 0.99

    def slots(self, full: Full) -> LionSlots:
        """Return an average of 0."""
        return LionSlots(full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""

        def update(p: Array, g: Array, slots: LionSlots) -> tuple[Array, LionSlots]:
            direction = context.xp.sign(self.b1 * slots.m + (1.0 - self.b1) * g)
            return context.lr * direction, LionSlots(slots.m + (1.0 - self.b2) * (g - slots.m))

        return update
