"""The optimizers of Keras 3.15, `keras.optimizers`, as update rules.

The learning rate is no argument, for a rule takes it at each update: `rules.apply(rule, ..., lr=..., step=...)`. All
arguments are given by name. What every optimizer takes besides its own arguments is described in `Shared`. Weight decay
is decoupled in every optimizer, in proportion to the rate, and happens before the step. That order matters for `Lamb`
alone, whose step depends on the parameter.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, Unpack

from lrsched import rules
from lrsched._core.check import Int, Many, OneOf, OrNone, Real
from lrsched.arguments import LengthOrNone, Nothing, TextOrNone
from lrsched.compat._tools import Count, Fraction, OnOff, Positive, Rate, RateOrNone, checked, must
from lrsched.rules._library.adaptive import Decay

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
]


_NOT_DONE = "a rule does not do it"


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

    clipnorm: RateOrNone
    clipvalue: RateOrNone
    global_clipnorm: RateOrNone
    use_ema: Annotated[bool, Nothing(_NOT_DONE, off=False)]
    ema_momentum: Fraction
    ema_overwrite_frequency: LengthOrNone
    loss_scale_factor: Annotated[None, Nothing(_NOT_DONE)]
    gradient_accumulation_steps: Annotated[None, Nothing(_NOT_DONE)]
    name: TextOrNone


_CLIPS = {
    "clipnorm": rules.ClipByNorm,
    "clipvalue": rules.ClipByValue,
    "global_clipnorm": rules.ClipByGlobalNorm,
}


def around(where: str, rule: rules.Rule, weight_decay: float | None, shared: Shared) -> rules.Rule:
    """Return the rule with the clip before it and the decay after it."""
    given: Mapping[str, Any] = shared
    limits = {name: float(given[name]) for name in _CLIPS if given.get(name) is not None}
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


@checked
def Nadam(
    *,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with a look-ahead whose momentum rises fast.

    The rate is given at each update.

    Args:
        beta_1: decay of the average of the gradients, in [0, 1).
        beta_2: decay of the average of their squares, in [0, 1).
        epsilon: added to the root of the corrected average, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Nadam()
        NAdam(eps=1e-07, momentum_decay=1.0)
    """
    return around("Nadam", rules.NAdam(beta_1, beta_2, epsilon, 1.0), weight_decay, shared)


@checked
def Adamax(
    *,
    beta_1: Decay = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with a decaying maximum below the fraction, epsilon outside it.

    The rate is given at each update.

    Args:
        beta_1: decay of the average of the gradients, in [0, 1).
        beta_2: decay of the maximum of their magnitudes, in [0, 1).
        epsilon: added to the maximum, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Adamax()
        Adamax(eps=1e-07, eps_at='outside')
    """
    return around("Adamax", rules.Adamax(beta_1, beta_2, epsilon, "outside"), weight_decay, shared)


@checked
def Adadelta(
    *,
    rho: Decay = 0.95,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """AdaDelta.

    The rate is given at each update.

    Args:
        rho: decay of the averages, in [0, 1).
        epsilon: added inside the roots, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Adadelta()
        AdaDelta(0.95, eps=1e-07)
    """
    return around("Adadelta", rules.AdaDelta(rho, epsilon), weight_decay, shared)


@checked
def Adafactor(
    *,
    beta_2_decay: Annotated[float, Real(high=0, open_high=True)] = -0.8,
    epsilon_1: Annotated[float, Real(low=0)] = 1e-30,
    epsilon_2: Positive = 1e-3,
    clip_threshold: Positive = 1.0,
    relative_step: OnOff = True,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam without momentum, with a factored second moment; the rate is given at each update.

    The rate is at most `1 / sqrt(t)` at update t = 1, 2, ..., and multiplied by the size of the tensor.

    Args:
        beta_2_decay: minus the exponent of the decay, < 0.
        epsilon_1: added to the squared gradient, >= 0.
        epsilon_2: the smallest size of a tensor, > 0.
        clip_threshold: the largest root mean square of an update before it is scaled, > 0.
        relative_step: no effect: Keras bounds the rate in any case.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None.
        **shared: see `Shared`.

    Examples:
        >>> Adafactor()
        Adafactor(relative_step=True)
    """
    rule = rules.Adafactor(-beta_2_decay, epsilon_1, clip=clip_threshold, scale_floor=epsilon_2, relative_step=True)
    return around("Adafactor", before(rule, weight_decay), None, shared)


@checked
def Muon(
    *,
    adam_beta_1: Decay = 0.9,
    adam_beta_2: Decay = 0.999,
    adam_weight_decay: RateOrNone = 0.004,
    epsilon: Positive = 1e-7,
    weight_decay: RateOrNone = 0.004,
    exclude_layers: Annotated[Sequence[str] | None, OrNone(Many(OneOf(str, "a text"), least=0))] = None,
    exclude_embeddings: OnOff = False,
    muon_a: Annotated[float, Real()] = 3.4445,
    muon_b: Annotated[float, Real()] = -4.775,
    muon_c: Annotated[float, Real()] = 2.0315,
    adam_lr_ratio: Positive = 1.0,
    momentum: Decay = 0.95,
    ns_steps: Annotated[int, Int(low=0, high=99)] = 5,
    nesterov: OnOff = True,
    rms_rate: RateOrNone = 0.2,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Momentum made orthogonal for matrices, Adam for the rest; the rate is given at each update.

    A rule knows no names: embeddings and layers cannot be excluded, where Keras excludes embeddings. Give those Adam
    by a group or an optimizer of their own.

    Args:
        adam_beta_1: decay of the average of the gradients in Adam, in [0, 1).
        adam_beta_2: decay of the average of their squares, in [0, 1).
        adam_weight_decay: of all but matrices, >= 0, or None.
        epsilon: added to the root in Adam, before the correction, > 0.
        weight_decay: of matrices, >= 0, or None.
        exclude_layers: must be None or empty.
        exclude_embeddings: must be False.
        muon_a: first coefficient of the iteration.
        muon_b: second coefficient.
        muon_c: third coefficient.
        adam_lr_ratio: the rate of Adam over that of Muon, > 0.
        momentum: share of the sum of gradients that is kept, in [0, 1).
        ns_steps: steps of the iteration, 0 to 99.
        nesterov: look ahead.
        rms_rate: times `rms_rate * sqrt(max(rows, columns))`, > 0; None for 1.
        **shared: see `Shared`.

    Examples:
        >>> Muon(weight_decay=None, adam_weight_decay=None)
        Split(Muon(factor='larger', scale=0.2, average=False, eps_at='added'), Adam(eps=1e-07, eps_at='hat'))
    """
    why = "(a rule knows shapes, no names: give what is left out Adam in an optimizer or a group of its own)"
    must(not exclude_layers, "Muon(exclude_layers=...)", f"None {why}", exclude_layers)
    must(not exclude_embeddings, "Muon(exclude_embeddings=...)", f"False {why}", exclude_embeddings)
    must(rms_rate != 0, "Muon(rms_rate=...)", "> 0 or None", rms_rate)
    matrices: rules.Rule = rules.Muon(
        momentum,
        nesterov=nesterov,
        coefficients=(muon_a, muon_b, muon_c),
        steps=ns_steps,
        factor="none" if rms_rate is None else "larger",
        scale=1.0 if rms_rate is None else rms_rate,
        average=False,
        eps=1e-7,
        eps_at="added",
    )
    others: rules.Rule = rules.Adam(adam_beta_1, adam_beta_2, epsilon, "hat")
    if weight_decay:
        matrices = matrices >> rules.DecoupledWeightDecay(weight_decay)
    if adam_weight_decay:  # at the rate of Muon
        others = others >> rules.DecoupledWeightDecay(adam_weight_decay / adam_lr_ratio)
    return around("Muon", rules.Split(matrices, others, others_rate=adam_lr_ratio), None, shared)


@checked
def ScheduleFreeAdamW(
    *,
    beta_1: Annotated[float, Real(low=0, high=1, open_low=True, open_high=True)] = 0.9,
    beta_2: Decay = 0.999,
    epsilon: Positive = 1e-8,
    warmup_steps: Count = 0,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with an average of equal weights in place of a schedule; the rate is given at each update.

    Keras on TensorFlow and PyTorch reads z after it has changed it, and takes other steps; this is what it does on JAX.

    Args:
        beta_1: nearness to the average, in (0, 1).
        beta_2: decay of the average of the squared gradients, in [0, 1).
        epsilon: added to the root of the corrected average, > 0.
        warmup_steps: updates of the warm-up; 0 for none.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0, or None. As in Keras it is
            not taken from z, what the parameter averages with; as published it is: `rules.ScheduleFree(rules.Adam(0.0)
            >> rules.DecoupledWeightDecay(...))`.
        **shared: see `Shared`.

    Examples:
        >>> ScheduleFreeAdamW()
        ScheduleFree(Adam(0.0), power=0.0)
    """
    inner: rules.Rule = rules.Adam(0.0, beta_2, epsilon)
    inner = rules.OwnRate(inner, warmup_steps) if warmup_steps else inner
    rule: rules.Rule = rules.ScheduleFree(inner, beta_1, 0.0)
    # The first update is to z, which has not decayed, wherever the parameter was.
    rule = rules.DecayBefore(rule, weight_decay, late=True) if weight_decay else rule
    return around("ScheduleFreeAdamW", rule, None, shared)
