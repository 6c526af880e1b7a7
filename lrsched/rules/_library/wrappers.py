"""Rules around other rules: one for each rank of tensors, a decay that comes first, a pace of their own."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Flag, Int, OneOf, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Rule
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full


class SplitSlots(NamedTuple):
    """The slots of both rules; those of the one that the tensor does not have are numbers without a meaning."""

    rule: Any
    others: Any


class _Unused(NamedTuple):
    """Makes the smallest arrays, for the slots of the rule that a tensor does not have."""

    full: Full

    @property
    def shape(self) -> tuple[int, ...]:
        return self.full.shape

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Any:
        return self.full(value, ())


class Split(Rule):
    """One rule for the tensors of one rank, another one for the rest.

    `Split(Muon(), Adam())` runs Muon on matrices and Adam on biases, scales and convolutions. What a rule sums over all
    tensors, it sums over its own; a part around the split sees all.

    Args:
        rule: for tensors of `ndim` dimensions.
        others: for all other tensors.
        ndim: number of dimensions.
        others_rate: the learning rate of `others`, relative to that of `rule`, > 0.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule = rules.Split(rules.Momentum(0.9), rules.SGD(), others_rate=0.1)
        >>> params = {"w": np.ones((1, 2)), "b": np.ones(2)}
        >>> params, slots = rules.apply(rule, params, params, rules.init(rule, params), lr=0.5, step=0)
        >>> params
        {'w': array([[0.5, 0.5]]), 'b': array([0.95, 0.95])}
    """

    positional = 2
    shaped: ClassVar[bool] = True
    rule: Annotated[Rule, OneOf(Rule, "a rule such as Muon()")]
    others: Annotated[Rule, OneOf(Rule, "a rule such as Adam()")]
    ndim: Annotated[int, Int(low=0, high=64)] = 2
    others_rate: Annotated[float, Real(low=0, open_low=True)] = 1.0

    def slots(self, full: Full) -> SplitSlots:
        """Return the slots of both rules."""
        mine = len(full.shape) == self.ndim
        return SplitSlots(
            self.rule.slots(full if mine else _Unused(full)), self.others.slots(_Unused(full) if mine else full)
        )

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        updates, new = list(gs), list(slots)
        mine = [i for i, n in enumerate(context.ndims) if n == self.ndim]
        rest = [i for i, n in enumerate(context.ndims) if n != self.ndim]
        for name, rule, indices, rate in (
            ("rule", self.rule, mine, 1.0),
            ("others", self.others, rest, self.others_rate),
        ):
            if not indices:
                continue
            part = context.among(indices)
            part = part if rate == 1.0 else part.scaled(rate)
            found, kept = rule.body(
                part, _pick(ps, indices), _pick(gs, indices), [getattr(slots[i], name) for i in indices]
            )
            for i, update, own in zip(indices, found, kept, strict=True):
                updates[i], new[i] = update, new[i]._replace(**{name: own})
        return updates, new


def _pick(items: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    return [items[i] for i in indices]


class DecayBefore(Rule):
    """Weight decay before the step: the rule sees the parameter that has decayed.

    With `q = p - lr * strength * p` and u what `rule` subtracts from q, `p <- q - u`. It differs from `rule >>
    DecoupledWeightDecay(strength)` where the update depends on the parameter: norms, averages. Keras decays so.

    Args:
        rule: any rule.
        strength: >= 0, per step and unit of learning rate.
        late: leave out the first update.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule, p = rules.DecayBefore(rules.L2(1.0) >> rules.SGD(), 0.4), np.ones(1)
        >>> rule.delta(p, 0 * p, rule.init(p), lr=0.5, step=0)[0].round(6)  # q = 0.8, u = 0.5 * 0.8
        array([-0.6])

    References:
        Keras 3.15.1, src/optimizers/base_optimizer.py: `_apply_weight_decay` comes before the update.
    """

    positional = 2
    rule: Annotated[Rule, OneOf(Rule, "a rule such as Adam()")]
    strength: Annotated[float, Real(low=0)]
    late: Annotated[bool, Flag()] = False

    def slots(self, full: Full) -> Any:
        """Return the slots of the rule."""
        return self.rule.slots(full)

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        lost = [0.0 * p if context.spares(i) else self._share(context.at(i)) * p for i, p in enumerate(ps)]
        us, slots = self.rule.body(context, [p - x for p, x in zip(ps, lost, strict=True)], gs, slots)
        return [u + x for u, x in zip(us, lost, strict=True)], slots

    def _share(self, context: Context) -> Any:
        share = context.lr * self.strength
        return share * context.started() if self.late else share


class OwnRate(Rule):
    """A rule with a warm-up and a decay of its own, on top of the rate that it is given.

    Update t = 0, 1, ... is that of `rule` at the rate `lr * min((t + 1) / warmup, 1) / (1 + decay * t)`.

    Args:
        rule: any rule.
        warmup: updates of the warm-up; 0 for none.
        decay: of the rate, >= 0.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule, p = rules.OwnRate(rules.SGD(), warmup=2, decay=0.5), np.ones(1)
        >>> [float(rule.delta(p, p, (), lr=1.0, step=t)[0][0]) for t in range(3)]
        [-0.5, -0.6666666666666666, -0.5]

    References:
        PyTorch 2.13, torch/optim/adagrad.py (`lr_decay`); Keras 3.15.1, optimizers/schedule_free_adamw.py
        (`warmup_steps`).
    """

    rule: Annotated[Rule, OneOf(Rule, "a rule such as AdaGrad()")]
    warmup: Annotated[int, Int(low=0)] = 0
    decay: Annotated[float, Real(low=0)] = 0.0

    def slots(self, full: Full) -> Any:
        """Return the slots of the rule."""
        return self.rule.slots(full)

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        return self.rule.body(context.paced(self.warmup, self.decay), ps, gs, slots)
