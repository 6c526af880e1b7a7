"""Rules that need no schedule: averaged iterates and rates from the distance travelled."""

from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Flag, OneOf, OrNone, Real, short
from lrsched._core.value import children
from lrsched._spaces.ops import Array, ops_of
from lrsched.rules._library.base import Pipeline, Rule
from lrsched.rules._library.wrappers import DecayBefore, OwnRate
from lrsched.rules._ops.context import Context
from lrsched.rules._ops.tree import aligned, rebuilt
from lrsched.rules._update.run import Full, check_state

Decay = Annotated[float, Real(low=0, high=1, open_high=True)]


# Stands in a slot until the first update of the tensor, which need not be that of the others: it may be frozen at
# first, or have no gradient.
UNTOUCHED = -1.0


class ScheduleFreeSlots(NamedTuple):
    """The iterate z, the largest rate so far (-1 at first), the sum of the weights, and the slots of the rule."""

    z: Array
    largest: Array
    weights: Array
    rule: Any


class ScheduleFree(Rule):
    """Averaging in place of a falling schedule, on any rule without momentum.

    The parameters hold y, at which gradients are taken. With u what `rule` subtracts, `z <- z - u`, `x <- (1 - c) * x +
    c * z` and `y = (1 - b1) * z + b1 * x`. The weight of the average is `c = w / (sum of all w)`, with w the largest
    learning rate so far to the `power`. Training is done at y; **evaluate x**, which `average` returns.

    Use a warm-up and a constant rate; `ScheduleFree(Adam(b1=0.0))` is Schedule-Free Adam, and with `>>
    DecoupledWeightDecay(w)` inside, AdamW.

    Args:
        rule: any rule; momentum comes from the averaging.
        b1: how near y stays to the average, in (0, 1).
        power: of the rate in the weights, >= 0; 2 in Optax and the authors' code, 0 (equal weights) in Keras.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule, p = rules.ScheduleFree(rules.SGD()), np.array([4.0])
        >>> slots = rule.init(p)
        >>> for t in range(200):
        ...     delta, slots = rule.delta(p, p, slots, lr=0.5, step=t)
        ...     p = p + delta
        >>> bool(abs(rule.average(p, slots)[0]) < 1e-3)
        True

    References:
        Defazio et al., The road less scheduled, NeurIPS 2024. arXiv:2405.15682
    """

    rule: Annotated[Rule, OneOf(Rule, "a rule such as Adam(b1=0.0)")]
    b1: Annotated[float, Real(low=0, high=1, open_low=True, open_high=True)] = 0.9
    power: Annotated[float, Real(low=0)] = 2.0

    def slots(self, full: Full) -> ScheduleFreeSlots:
        """Return zeros; z is the parameter at the first update."""
        return ScheduleFreeSlots(full(0.0), full(UNTOUCHED, ()), full(0.0, ()), self.rule.slots(full))

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        xp = context.xp
        us, inner = self.rule.body(context, ps, gs, [s.rule for s in slots])
        updates, new = [], []
        for i, (p, u, old, own) in enumerate(zip(ps, us, slots, inner, strict=True)):
            z = xp.where(old.largest < 0.0, p, old.z)
            largest = xp.maximum(old.largest, context.at(i).lr)
            weight = largest**self.power
            weights = old.weights + weight
            # 0 as long as the rate was.
            c = xp.where(weights > 0.0, weight / xp.where(weights > 0.0, weights, 1.0), 0.0)
            # y - y' of the formulas above, without x, which would need a division by b1.
            updates.append(c * (p - z) + (1.0 - self.b1 * (1.0 - c)) * u)
            new.append(ScheduleFreeSlots(z - u, largest, weights, own))
        return updates, new

    def average(self, p: Array, slots: ScheduleFreeSlots) -> Array:
        """Return the average x, which is to be evaluated, of a parameter.

        Args:
            p: the parameter.
            slots: its slots; without an update so far, the average is the parameter.
        """
        check_state("ScheduleFree.average(p)", "ScheduleFree.average(slots)", "", self, p, slots)
        return self._average(p, slots)

    def _average(self, p: Array, slots: ScheduleFreeSlots) -> Array:
        xp: Any = ops_of(p)
        return xp.where(slots.largest < 0.0, p, (p - (1.0 - self.b1) * slots.z) / self.b1)


# What keeps the slots of the rule inside.
_AROUND = (Pipeline, DecayBefore, OwnRate)


def averages(rule: Rule, params: Any, slots: Any) -> Any:
    """Return what is to be evaluated in the place of the parameters, if the rule is or holds a `ScheduleFree`.

    Args:
        rule: `ScheduleFree(...)`, or a chain around it.
        params: nested containers of parameters; those without an update so far are their average.
        slots: their slots.

    Returns:
        The containers of `params` with `ScheduleFree.average` of each.

    Raises:
        TypeError: the rule does not average.

    Examples:
        >>> import numpy as np
        >>> from lrsched import rules
        >>> rule, params = rules.ScheduleFree(rules.SGD(), b1=0.5), {"w": np.array([4.0])}
        >>> params, slots = rules.apply(rule, params, params, rules.init(rule, params), lr=0.5, step=0)
        >>> rules.averages(rule, params, slots)
        {'w': array([2.])}
    """
    found: Any = rule
    while not isinstance(found, ScheduleFree):
        inner = [child for child in children(found) if isinstance(child, Rule)] if isinstance(found, _AROUND) else []
        if len(inner) != 1:
            raise TypeError(f"averages(rule, ...) must be a ScheduleFree, or a chain around one, got {short(rule)}")
        (found,) = inner
    names, averaged = ("averages(params)", "averages(slots)"), []
    for path, (p, own) in aligned(names, (params, slots)):
        check_state(*names, path, found, p, own)
        averaged.append(found._average(p, own))
    return rebuilt(params, iter(averaged))


class ProdigySlots(NamedTuple):
    """The moments, the sum of gradients, the first value; of all tensors the distance (-1 at first), its numerator."""

    m: Array
    v: Array
    s: Array
    start: Array
    distance: Array
    numerator: Array


class Prodigy(Rule):
    """Adam that finds its learning rate from the distance travelled; lr = 1 is right to begin with.

    With d the distance estimate, p0 the first parameters and `r = d * lr * sqrt(1 - b2**t) / (1 - b1**t)` at update
    t = 1, 2, ...: `m <- b1 * m + (1 - b1) * d * g`, `v <- b2 * v + (1 - b2) * (d * g)**2`, `s <- b3 * s + r * d * g /
    d0` and, over all tensors, `n <- b3 * n + r * d / d0 * sum(g * (p0 - p))`. Then `d <- max(d, growth * n /
    sum(abs(s)))` and the update is `-r * (m / (sqrt(v) + d * eps) + weight_decay * p)`.

    The estimate belongs to all tensors of a call, so an update must always have the same ones. One that joins later
    begins with `d0` and no distance travelled.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        b3: decay of the sums, in [0, 1), or None for `sqrt(b2)`.
        eps: > 0.
        d0: the first estimate, > 0; small.
        growth: factor of the estimate, > 0.
        weight_decay: decoupled, >= 0, times r.
        bias_correction: False leaves out the correction in r (the default of the authors' code).
        safeguard_warmup: leave the learning rate out of s, for a long warm-up.

    Examples:
        >>> import numpy as np
        >>> rule, p = Prodigy(d0=0.1), np.array([4.0])
        >>> delta, slots = rule.delta(p, p, rule.init(p), lr=1.0, step=0)
        >>> delta.round(6)  # the first step of Adam at the rate d0
        array([-0.1])
        >>> for t in range(1, 50):
        ...     p = p + delta
        ...     delta, slots = rule.delta(p, p, slots, lr=1.0, step=t)
        >>> bool(slots.distance > 0.3)
        True

    References:
        Mishchenko & Defazio, Prodigy: an expeditiously adaptive parameter-free learner, ICML 2024. arXiv:2306.06101
    """

    positional = 2
    joint: ClassVar[bool] = True
    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Annotated[float | None, OrNone(Real(low=0, high=1, open_high=True))] = None
    eps: Annotated[float, Real(low=0, open_low=True)] = 1e-8
    d0: Annotated[float, Real(low=0, open_low=True)] = 1e-6
    growth: Annotated[float, Real(low=0, open_low=True)] = 1.0
    weight_decay: Annotated[float, Real(low=0)] = 0.0
    bias_correction: Annotated[bool, Flag()] = True
    safeguard_warmup: Annotated[bool, Flag()] = False

    def slots(self, full: Full) -> ProdigySlots:
        """Return zeros; the first value is the parameter at the first update, the first estimate `d0`."""
        return ProdigySlots(full(0.0), full(0.0), full(0.0), full(0.0), full(UNTOUCHED, ()), full(0.0, ()))

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        xp = context.xp
        b3 = self.b2**0.5 if self.b3 is None else self.b3
        rates, moved = [], []
        for i, (p, g, old) in enumerate(zip(ps, gs, slots, strict=True)):
            own, fresh = context.at(i), old.distance < 0.0
            d = xp.where(fresh, self.d0, old.distance)
            rate = d * own.lr
            if self.bias_correction:
                rate = rate * (own.root(own.correction(self.b2)) / own.correction(self.b1))
            dg = d * g
            m = self.b1 * old.m + (1.0 - self.b1) * dg
            v = self.b2 * old.v + (1.0 - self.b2) * dg * dg
            s = b3 * old.s + (d if self.safeguard_warmup else rate) * dg / self.d0
            rates.append(rate)
            moved.append(ProdigySlots(m, v, s, xp.where(fresh, p, old.start), d, old.numerator))
        # Each term with the rate of its own tensor.
        gained = context.total(
            [r * k.distance / self.d0 * g * (k.start - p) for r, k, g, p in zip(rates, moved, gs, ps, strict=True)]
        )
        size = context.total([xp.abs(k.s) for k in moved])
        updates, new = [], []
        for i, (p, rate, kept) in enumerate(zip(ps, rates, moved, strict=True)):
            numerator = b3 * kept.numerator + gained
            estimate = self.growth * numerator / xp.where(size > 0.0, size, 1.0)
            d = xp.where(size > 0.0, xp.maximum(kept.distance, estimate), kept.distance)
            update = kept.m / (xp.sqrt(kept.v) + d * self.eps)
            decays = self.weight_decay and not context.spares(i)
            updates.append(rate * (update + self.weight_decay * p if decays else update))
            new.append(kept._replace(distance=d, numerator=numerator))
        return updates, new
