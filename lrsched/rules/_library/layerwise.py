"""The trust ratio of LARS and LAMB on top of any rule."""

from typing import Annotated, Any

from lrsched._core.check import Choice, Flag, Int, OneOf, OrNone, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Rule
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class Layerwise(Rule):
    """The trust ratio: steps in proportion to the norm of each tensor, on any rule.

    With x the gradient (`at="gradient"`) or the update of `rule` at learning rate 1 (`at="update"`), and w the weight
    decay, x becomes `ratio * (x + w * p)`, where `ratio = trust_coefficient * norm(p) / (denominator + eps)` and the
    denominator is

    * "separate": `norm(x) + w * norm(p)` (the LARS paper, TensorFlow, timm, LARC),
    * "joint": `norm(x + w * p)` (Optax; LAMB),
    * "plain": `norm(x)`.

    At the gradient this comes before `rule`, as in LARS; at the update it comes after it, as in LAMB, and the learning
    rate multiplies the result. Adam and RMSprop divide by the size of the gradient, so before them a ratio nearly
    cancels: use `at="update"`.

    The ratio is 1 where `norm(p)` or the norm of x (of `x + w * p` for "joint") is zero, so tensors that start at
    zero can leave it. It is also 1 for tensors of fewer than `min_ndim` dimensions. A norm of NaN gives ratio 1,
    and the NaN goes on in x; a norm of inf gives 0 in finite elements and NaN in infinite ones.

    Args:
        rule: any rule.
        trust_coefficient: > 0; 0.001 for LARS, 0.02 for LARC, 1 for LAMB.
        weight_decay: w, >= 0.
        at: "update" or "gradient".
        denominator: "separate", "joint" or "plain".
        eps: added to the denominator, >= 0.
        min_ndim: tensors of fewer dimensions keep their size and get no decay; 0 adapts all.
        decay_skipped: give them the decay all the same.
        clip: `min(ratio / lr, 1)` takes the place of the ratio: the ratio is a rate, and lr bounds it (LARC).
        upper: the largest ratio, > 0, or None (LAMB in timm: 1).

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD
        >>> rule, p, g = Layerwise(SGD(), trust_coefficient=0.1), np.array([[3.0, 4.0]]), np.array([[0.0, 10.0]])
        >>> rule.delta(p, g, rule.init(p), lr=1.0, step=0)[0].round(6)  # 0.1 * 5 / 10 of the gradient
        array([[-0. , -0.5]])

    References:
        You, Gitman & Ginsburg, Large batch training of convolutional networks, 2017 (LARS). arXiv:1708.03888
        You et al., Large batch optimization for deep learning, ICLR 2020 (LAMB). arXiv:1904.00962
    """

    rule: Annotated[Rule, OneOf(Rule, "a rule such as Momentum(0.9)")]
    trust_coefficient: Annotated[float, Real(low=0, open_low=True)] = 1e-3
    weight_decay: Annotated[float, Real(low=0)] = 0.0
    at: Annotated[str, Choice(("update", "gradient"))] = "update"
    denominator: Annotated[str, Choice(("separate", "joint", "plain"))] = "separate"
    eps: Annotated[float, Real(low=0)] = 0.0
    min_ndim: Annotated[int, Int(low=0, high=64)] = 2
    decay_skipped: Annotated[bool, Flag()] = False
    clip: Annotated[bool, Flag()] = False
    upper: Annotated[float | None, OrNone(Real(low=0, open_low=True))] = None

    def slots(self, full: Full) -> Any:
        """Return the slots of the rule."""
        return self.rule.slots(full)

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        if self.at == "gradient":
            return self.rule.body(context, ps, self._scaled(context, ps, gs), slots)
        xs, slots = self.rule.body(context.at_rate(1.0), ps, gs, slots)
        return [context.at(i).lr * x for i, x in enumerate(self._scaled(context, ps, xs))], slots

    def _scaled(self, context: Context, ps: list[Array], xs: list[Array]) -> list[Array]:
        masks = [n >= self.min_ndim for n in context.ndims]
        ws = [0.0 if context.spares(i) else self.weight_decay for i in range(len(ps))]
        ys = xs
        if self.weight_decay:
            decayed = [x + w * p for w, p, x in zip(ws, ps, xs, strict=True)]
            ys = decayed
            if not self.decay_skipped:
                ys = [context.choose(m, y, x) for m, y, x in zip(masks, decayed, xs, strict=True)]
        # Tensors known to be skipped need no norms.
        owners = [i for i, mask in enumerate(masks) if mask is not False]
        measured = ys if self.denominator == "joint" else xs
        arrays = [ps[i] * ps[i] for i in owners] + [measured[i] * measured[i] for i in owners]
        squares = context.sums(arrays, owners + owners)
        scaled = list(ys)
        for i, p2, x2 in zip(owners, squares[: len(owners)], squares[len(owners) :], strict=True):
            ratio = self._ratio(context.at(i), ws[i], context.xp.sqrt(p2), context.xp.sqrt(x2))
            scaled[i] = context.choose(masks[i], ratio, 1.0) * ys[i]
        return scaled

    def _ratio(self, context: Context, decay: float, p: Array, x: Array) -> Array:
        """Return the trust ratio for the norms of the parameter and of what is measured."""
        xp = context.xp
        usable = (p > 0.0) & (x > 0.0)
        below = x + decay * p + self.eps if self.denominator == "separate" else x + self.eps
        ratio = self.trust_coefficient * p / xp.where(usable, below, 1.0)
        if self.clip:
            ratio = ratio / xp.maximum(ratio, context.lr)
        if self.upper is not None:
            ratio = xp.minimum(ratio, self.upper)
        return xp.where(usable, ratio, 1.0)
