"""Rules that take the sign of the gradient only: SignSGD, Rprop."""

from typing import Annotated, NamedTuple

from lrsched._core.check import OrNone, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.adaptive import Positive
from lrsched.rules._library.base import Kernel, Local
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class SignSGD(Local):
    """The sign of the gradient: the update is `-lr * sign(g)`.

    The sign of 0 is 0, that of inf 1, that of NaN NaN.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = SignSGD(), np.ones(2), np.array([3.0, -2.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)
        array([-0.1,  0.1])

    References:
        Bernstein et al., signSGD: compressed optimisation for non-convex problems, ICML 2018. arXiv:1802.04434
    """

    def slots(self, full: Full) -> tuple[()]:
        """Return (): there is no state."""
        return ()

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        return lambda p, g, slots: (context.lr * context.xp.sign(g), slots)


class RpropSlots(NamedTuple):
    """The size of the step of each element, 0 before the first, and the sign of the gradient that made the last."""

    size: Array
    sign: Array


class Rprop(Local):
    """A step of its own size for each element, against the sign of the gradient.

    Where the sign is that of the update before, the size is multiplied by `grow`; where it is the opposite, by
    `shrink`, and the element stays where it is this time. The size is kept between `smallest` and `largest`. The
    magnitude of the gradient has no effect, that of inf neither, so the rule is for gradients without noise: whole
    data sets, not batches.

    Args:
        shrink: factor after a change of sign, in (0, 1).
        grow: factor after none, > 1.
        smallest: the smallest size, > 0.
        largest: the largest, >= `smallest`.
        initial: the first size, > 0; each step is then the size times the learning rate. None: the first size is the
            learning rate of the first update, and that of later updates has no effect (PyTorch, Optax).

    Raises:
        ValueError: `largest` is below `smallest`.

    Examples:
        >>> import numpy as np
        >>> rule, p = Rprop(), np.zeros(2)
        >>> delta, slots = rule.delta(p, np.array([5.0, -1.0]), rule.init(p), lr=0.1, step=0)
        >>> rule.delta(p, np.array([5.0, 1.0]), slots, lr=0.0, step=1)[0]
        array([-0.12, -0.  ])

    References:
        Riedmiller & Braun, A direct adaptive method for faster backpropagation learning, ICNN 1993.
    """

    positional = 2
    shrink: Annotated[float, Real(low=0, high=1, open_low=True, open_high=True)] = 0.5
    grow: Annotated[float, Real(low=1, open_low=True)] = 1.2
    smallest: Positive = 1e-6
    largest: Positive = 50.0
    initial: Annotated[float | None, OrNone(Real(low=0, open_low=True))] = None

    def _check(self) -> None:
        if self.largest < self.smallest:
            raise ValueError(f"Rprop(largest=...) must be >= smallest={self.smallest!r}, got {self.largest!r}")

    def slots(self, full: Full) -> RpropSlots:
        """Return the initial sizes, and no sign."""
        return RpropSlots(full(self.initial or 0.0), full(0.0))

    def kernel(self, context: Context) -> Kernel:
        """Return the update of one tensor."""
        xp = context.xp
        rate = 1.0 if self.initial is None else context.lr

        def update(p: Array, g: Array, slots: RpropSlots) -> tuple[Array, RpropSlots]:
            sign = xp.sign(g)
            same = sign * slots.sign
            size = xp.where(slots.size > 0.0, slots.size, context.lr) if self.initial is None else slots.size
            size = xp.where(same > 0.0, self.grow * size, xp.where(same < 0.0, self.shrink * size, size))
            size = xp.minimum(xp.maximum(size, self.smallest), self.largest)
            sign = xp.where(same < 0.0, 0.0 * sign, sign)
            return rate * size * sign, RpropSlots(size, sign)

        return update
