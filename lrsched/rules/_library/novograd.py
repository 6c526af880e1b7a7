"""NovoGrad: Adam with one second moment a tensor."""

from typing import Annotated, Any, NamedTuple

from lrsched._core.check import Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.adaptive import Decay, Positive
from lrsched.rules._library.base import Rule
from lrsched.rules._library.moments import average
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class NovoGradSlots(NamedTuple):
    """The velocity, and the average of the squared norms of the gradient, one number."""

    m: Array
    v: Array


class NovoGrad(Rule):
    """Momentum of the gradient over the root of the average of its squared norm.

    For each tensor `v <- b2 * v + (1 - b2) * sum(g**2)`, at the first update `sum(g**2)`, and
    `m <- b1 * m + g / (sqrt(v + eps_root) + eps) + weight_decay * p`; the update is `-lr * m`. A norm of NaN makes all
    elements of its tensor NaN; one of inf, as also when squares overflow, adds 0 to m in finite elements and NaN in
    infinite ones. Other tensors have their own v.

    Args:
        b1: share of the velocity that is kept, in [0, 1); 0.95 in the paper, 0.9 in Optax.
        b2: decay of the average of the squared norms, in [0, 1); 0.98 in the paper, 0.25 in Optax.
        eps: > 0; 1e-6 in Optax.
        weight_decay: >= 0.
        eps_root: added inside the root, >= 0.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = NovoGrad(), np.ones(2), np.array([3.0, 4.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # the gradient over its norm
        array([-0.06, -0.08])

    References:
        Ginsburg et al., Stochastic gradient methods with layer-wise adaptive moments for training of deep networks,
        2019. arXiv:1905.11286
    """

    positional = 3
    b1: Decay = 0.95
    b2: Decay = 0.98
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Real(low=0)] = 0.0
    eps_root: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> NovoGradSlots:
        """Return a velocity and a number of 0."""
        return NovoGradSlots(full(0.0), full(0.0, ()))

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        updates, new = [], []
        squares = context.sums([g * g for g in gs], range(len(gs)))
        for i, (p, g, square, old) in enumerate(zip(ps, gs, squares, slots, strict=True)):
            one = context.at(i)
            v = average(old.v, square, self.b2 * one.started())
            x = g / (context.xp.sqrt(v + self.eps_root) + self.eps)
            decays = self.weight_decay and not context.spares(i)
            m = self.b1 * old.m + (x + self.weight_decay * p if decays else x)
            updates.append(one.lr * m)
            new.append(NovoGradSlots(m, v))
        return updates, new
