"""Clips and decays: parts that stand before or after any rule."""

from typing import Annotated, ClassVar

from lrsched._core.check import Flag, Int, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Part
from lrsched.rules._ops.context import Context


class ClipByValue(Part):
    """Every element x is limited to the interval from -limit to limit.

    NaN stays NaN; inf becomes the limit.

    Args:
        limit: the largest magnitude, > 0.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = ClipByValue(1.0) >> SGD(), np.ones(2), np.array([3.0, -0.5])
        >>> rule.delta(p, g, rule.init(p), lr=1.0, step=0)[0].round(6)
        array([-1. ,  0.5])
    """

    limit: Annotated[float, Real(low=0, open_low=True)]

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the limited arrays."""
        return [context.xp.minimum(context.xp.maximum(x, -self.limit), self.limit) for x in xs]


def _clip_factor(context: Context, square: Array, max_norm: float, eps: float) -> Array:
    # min(1, max_norm / (norm + eps)), without a division by zero
    return max_norm / context.xp.maximum(context.xp.sqrt(square) + eps, max_norm)


class ClipByNorm(Part):
    """Each tensor x by itself is scaled to a Euclidean norm of at most `max_norm`.

    It becomes `x * min(1, max_norm / (norm(x) + eps))`. If the norm is inf, as also when the squares of large float32
    elements overflow, finite elements become 0 and infinite ones NaN; if it is NaN, all become NaN.

    Args:
        max_norm: the largest norm, > 0.
        eps: added to the norm; PyTorch has 1e-6.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = ClipByNorm(1.0) >> SGD(), np.ones(2), np.array([3.0, 4.0])
        >>> rule.delta(p, g, rule.init(p), lr=1.0, step=0)[0].round(6)
        array([-0.6, -0.8])
    """

    max_norm: Annotated[float, Real(low=0, open_low=True)]
    eps: Annotated[float, Real(low=0)] = 0.0

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the scaled arrays."""
        squares = context.sums([x * x for x in xs], range(len(xs)))
        return [x * _clip_factor(context, s, self.max_norm, self.eps) for x, s in zip(xs, squares, strict=True)]


class ClipByGlobalNorm(Part):
    """All tensors are scaled by one factor, to a joint norm of at most `max_norm`.

    With `norm = sqrt(sum of norm(x)**2 over all tensors x)`, each becomes `x * min(1, max_norm / (norm + eps))`. The
    tensors are those of one call: all of `apply`, the only one of `delta`. A norm of inf makes finite elements 0 and
    infinite ones NaN; a norm of NaN makes all elements of all tensors NaN.

    Args:
        max_norm: the largest norm, > 0.
        eps: added to the norm; PyTorch has 1e-6.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD, apply, init
        >>> rule, params, grads = ClipByGlobalNorm(5.0) >> SGD(), [np.zeros(1)] * 2, [np.array([6.0]), np.array([8.0])]
        >>> apply(rule, params, grads, init(rule, params), lr=1.0, step=0)[0]
        [array([-3.]), array([-4.])]

    References:
        Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, ICML 2013. arXiv:1211.5063
    """

    joint: ClassVar[bool] = True
    max_norm: Annotated[float, Real(low=0, open_low=True)]
    eps: Annotated[float, Real(low=0)] = 0.0

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the scaled arrays."""
        factor = _clip_factor(context, context.total([x * x for x in xs]), self.max_norm, self.eps)
        return [x * factor for x in xs]


class L2(Part):
    """The penalty `strength / 2 * sum(p**2)` as a part: its gradient is added.

    The gradient becomes `g + strength * p`, before the rule: the weight decay of SGD and Adam in PyTorch.

    Args:
        strength: per unit of parameter, >= 0.
        min_ndim: tensors of fewer dimensions are left alone; 2 spares biases and scales.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = L2(0.5) >> SGD(), np.array([2.0]), np.array([1.0])
        >>> rule.delta(p, g, rule.init(p), lr=1.0, step=0)[0].round(6)  # 1 + 0.5 * 2
        array([-2.])
    """

    after: ClassVar[bool] = False
    strength: Annotated[float, Real(low=0)]
    min_ndim: Annotated[int, Int(low=0, high=64)] = 0

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the gradients with the decay."""
        return [
            context.choose(context.decays(i, self.min_ndim), x + self.strength * p, x)
            for i, (p, x) in enumerate(zip(ps, xs, strict=True))
        ]


class L1(Part):
    """The penalty `strength * sum(abs(p))` as a part: its gradient is added.

    The gradient becomes `g + strength * sign(p)`, before the rule. The sign of 0 is 0.

    Args:
        strength: >= 0, in units of the gradient.
        min_ndim: tensors of fewer dimensions are left alone; 2 spares biases and scales.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = L1(0.5) >> SGD(), np.array([2.0, -2.0]), np.zeros(2)
        >>> rule.delta(p, g, rule.init(p), lr=1.0, step=0)[0].round(6)
        array([-0.5,  0.5])
    """

    after: ClassVar[bool] = False
    strength: Annotated[float, Real(low=0)]
    min_ndim: Annotated[int, Int(low=0, high=64)] = 0

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the gradients with the penalty."""
        return [
            context.choose(n >= self.min_ndim, x + self.strength * context.xp.sign(p), x)
            for n, p, x in zip(context.ndims, ps, xs, strict=True)
        ]


class DecoupledWeightDecay(Part):
    """The parameter shrinks by itself: `p <- p - lr * strength * p`, past the moments.

    It stands after the rule: `Adam() >> DecoupledWeightDecay(1e-2)` is AdamW.

    Args:
        strength: >= 0; per step and unit of learning rate, or per step if `times_lr` is False.
        times_lr: multiply by the learning rate, as every framework does; False is the form of the paper, in which
            the decay follows a schedule of its own.
        min_ndim: tensors of fewer dimensions are left alone; 2 spares biases and scales.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = SGD() >> DecoupledWeightDecay(0.5), np.array([2.0]), np.array([1.0])
        >>> rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0].round(6)  # 0.1 * (1 + 0.5 * 2)
        array([-0.2])

    References:
        Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019. arXiv:1711.05101
    """

    before: ClassVar[bool] = False
    strength: Annotated[float, Real(low=0)]
    times_lr: Annotated[bool, Flag()] = True
    min_ndim: Annotated[int, Int(low=0, high=64)] = 0

    def transform(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        """Return the updates with the decay."""
        rates = [context.at(i).lr * self.strength if self.times_lr else self.strength for i in range(len(ps))]
        return [
            context.choose(context.decays(i, self.min_ndim), x + rate * p, x)
            for i, (rate, p, x) in enumerate(zip(rates, ps, xs, strict=True))
        ]
