"""The optimizers of Keras 3.15, `keras.optimizers`, as update rules.

The learning rate is no argument, for a rule takes it at each update: `rules.apply(rule, ..., lr=..., step=...)`. All
arguments are given by name. What every optimizer takes besides its own arguments is described in `Shared`. Weight decay
is decoupled in every optimizer, in proportion to the rate, and happens before the step. That order matters for `Lamb`
alone, whose step depends on the parameter.
"""

from typing import Annotated, TypedDict, Unpack

from lrsched import rules
from lrsched._core.check import Real
from lrsched.compat._tools.arguments import Fraction, OnOff, Positive, Rate, RateOrNone, checked, must, without_effect
from lrsched.rules._library.adaptive import Decay

__all__ = ["Adagrad", "Adam", "AdamW", "Lamb", "Lion", "RMSprop", "SGD"]


class Shared(TypedDict, total=False):
    """What every optimizer of Keras takes.

    Args:
        clipnorm: the largest norm of the gradient of a tensor; None or 0 for no clip.
        clipvalue: the largest magnitude of an element of the gradient; None or 0 for no clip.
        global_clipnorm: the largest joint norm of the gradients; None or 0 for no clip.
        use_ema: must be False.
        ema_momentum: no effect.
        ema_overwrite_frequency: no effect.
        loss_scale_factor: must be None.
        gradient_accumulation_steps: must be None.
        name: no effect.
    """

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: None
    gradient_accumulation_steps: None
    name: str | None


_CLIPS = {
    "clipnorm": rules.ClipByNorm,
    "clipvalue": rules.ClipByValue,
    "global_clipnorm": rules.ClipByGlobalNorm,
}
# What no rule can do, and how it is turned off.
_OFF = {"use_ema": False, "loss_scale_factor": None, "gradient_accumulation_steps": None}


def around(where: str, rule: rules.Rule, weight_decay: float | None, shared: Shared) -> rules.Rule:
    """Return the rule with the clip before it and the decay after it."""
    without_effect(where, shared, tuple(Shared.__annotations__))
    given = {name: content for name, content in shared.items() if content is not None}
    for name, off in _OFF.items():
        must(given.get(name, off) is off, f"{where}({name}=...)", f"{off!r} (a rule does not do it)", given.get(name))
    limits = {name: Real(low=0)(f"{where}({name}=...)", given[name]) for name in _CLIPS if name in given}
    must(len(limits) <= 1, f"{where}({', '.join(limits)})", "one limit at most", limits)
    for name, limit in limits.items():
        if limit:
            rule = _CLIPS[name](limit) >> rule
    return rule >> rules.DecoupledWeightDecay(weight_decay) if weight_decay else rule


def before(rule: rules.Rule, weight_decay: float | None) -> rules.Rule:
    """Return the rule after the decay, for rules that look at the parameter."""
    return rules.DecayBefore(rule, weight_decay) if weight_decay else rule


@checked
def SGD(
    *, momentum: Decay = 0.0, nesterov: OnOff = False, weight_decay: RateOrNone = None, **shared: Unpack[Shared]
) -> rules.Rule:
    """Gradient descent, with momentum or without; the rate stands inside the velocity.

    The rate is given at each update.

    Args:
        momentum: share of the velocity that is kept, in [0, 1).
        nesterov: look ahead; no effect without momentum.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> SGD(momentum=0.8, clipnorm=1.0)
        ClipByNorm(1.0) >> Momentum(0.8, lr_in_buffer=True)
    """
    rule = rules.Momentum(momentum, nesterov=nesterov, lr_in_buffer=True) if momentum else rules.SGD()
    return around("SGD", rule, weight_decay, shared)


def _adam(beta_1: float, beta_2: float, epsilon: float, amsgrad: bool) -> rules.Rule:
    return rules.Adam(beta_1, beta_2, epsilon, "hat", "raw" if amsgrad else "off")


@checked
def Adam(
    *,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-7,
    amsgrad: OnOff = False,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with epsilon hat, and decoupled weight decay if any.

    The rate is given at each update.

    Args:
        beta_1: decay of the average of the gradients, in [0, 1).
        beta_2: decay of the average of their squares, in [0, 1).
        epsilon: added to the root before the correction, > 0.
        amsgrad: divide by the root of the largest raw average so far.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Adam()
        Adam(eps=1e-07, eps_at='hat')
    """
    return around("Adam", _adam(beta_1, beta_2, epsilon, amsgrad), weight_decay, shared)


@checked
def AdamW(
    *,
    weight_decay: Rate = 0.004,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-7,
    amsgrad: OnOff = False,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with epsilon hat and decoupled weight decay.

    The rate is given at each update.

    Args:
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        beta_1: decay of the average of the gradients, in [0, 1).
        beta_2: decay of the average of their squares, in [0, 1).
        epsilon: added to the root before the correction, > 0.
        amsgrad: divide by the root of the largest raw average so far.
        **shared: see `Shared`.

    Examples:
        >>> AdamW()
        Adam(eps=1e-07, eps_at='hat') >> DecoupledWeightDecay(0.004)
    """
    return around("AdamW", _adam(beta_1, beta_2, epsilon, amsgrad), weight_decay, shared)


@checked
def RMSprop(
    *,
    rho: Decay = 0.9,
    momentum: Decay = 0.0,
    epsilon: Positive = 1e-7,
    centered: OnOff = False,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """RMSprop with epsilon inside the root and the rate inside the velocity.

    The rate is given at each update.

    Args:
        rho: decay of the average of the squared gradients, in [0, 1).
        momentum: share of the velocity that is kept, in [0, 1).
        epsilon: added inside the root, > 0.
        centered: divide by the root of the variance instead.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> RMSprop()
        RMSprop(0.9, eps=1e-07, eps_at='inside')
    """
    rule = rules.RMSprop(rho, epsilon, "inside", momentum=momentum, centered=centered, lr_in_buffer=bool(momentum))
    return around("RMSprop", rule, weight_decay, shared)


@checked
def Adagrad(
    *,
    initial_accumulator_value: Rate = 0.1,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """AdaGrad with epsilon inside the root.

    The rate is given at each update.

    Args:
        initial_accumulator_value: the sum of the squares before the first update, >= 0.
        epsilon: added inside the root, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Adagrad()
        AdaGrad(1e-07, eps_at='inside', initial=0.1)
    """
    return around("Adagrad", rules.AdaGrad(epsilon, "inside", initial_accumulator_value), weight_decay, shared)


@checked
def Lion(
    *,
    beta_1: Annotated[float, Real(low=0, high=1, open_low=True)] = 0.9,
    beta_2: Fraction = 0.99,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Lion, and decoupled weight decay if any.

    The rate is given at each update.

    Args:
        beta_1: weight of the average in the direction, in (0, 1].
        beta_2: decay of the average, in [0, 1].
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Lion(weight_decay=0.1)
        Lion() >> DecoupledWeightDecay(0.1)
    """
    return around("Lion", rules.Lion(beta_1, beta_2), weight_decay, shared)


@checked
def Lamb(
    *,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """LAMB that scales every tensor.

    The rate is given at each update.

    Args:
        beta_1: decay of the average of the gradients, in [0, 1).
        beta_2: decay of the average of their squares, in [0, 1).
        epsilon: added to the root in Adam, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, before its norm is taken and
            outside the trust ratio, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Lamb()
        Layerwise(Adam(eps=1e-07), trust_coefficient=1.0, denominator='joint', min_ndim=0)
    """
    rule = rules.Layerwise(rules.Adam(beta_1, beta_2, epsilon), 1.0, denominator="joint", min_ndim=0)
    return around("Lamb", before(rule, weight_decay), None, shared)
