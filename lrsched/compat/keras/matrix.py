"""Adafactor, Muon and Schedule-Free of Keras 3.15 as update rules; see `optimizers`."""

from collections.abc import Sequence
from typing import Annotated, Unpack

from lrsched import rules
from lrsched._core.check import Int, Real
from lrsched.compat._tools.arguments import OnOff, Positive, RateOrNone, checked, must
from lrsched.compat.keras.optimizers import Shared, around, before
from lrsched.rules._library.adaptive import Decay

__all__ = ["Adafactor", "Muon", "ScheduleFreeAdamW"]


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
    exclude_layers: Sequence[str] | None = None,
    exclude_embeddings: bool = False,
    muon_a: float = 3.4445,
    muon_b: float = -4.775,
    muon_c: float = 2.0315,
    adam_lr_ratio: Positive = 1.0,
    momentum: Decay = 0.95,
    ns_steps: Annotated[int, Int(low=0, high=99)] = 5,
    nesterov: OnOff = True,
    rms_rate: RateOrNone = 0.2,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Momentum made orthogonal for matrices, Adam for the rest; the rate is given at each update.

    A rule knows no names: embeddings and layers cannot be excluded, where Keras excludes embeddings.

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
    must(not exclude_layers, "Muon(exclude_layers=...)", "None (a rule knows no names)", exclude_layers)
    must(not exclude_embeddings, "Muon(exclude_embeddings=...)", "False (a rule knows no names)", exclude_embeddings)
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
    warmup_steps: Annotated[int, Int(low=0, high=0)] = 0,
    weight_decay: RateOrNone = None,
    **shared: Unpack[Shared],
) -> rules.Rule:
    """Adam with an average of equal weights in place of a schedule; the rate is given at each update.

    Keras on TensorFlow and PyTorch reads z after it has changed it, and takes other steps; this is what it does on JAX.

    Args:
        beta_1: nearness to the average, in (0, 1).
        beta_2: decay of the average of the squared gradients, in [0, 1).
        epsilon: added to the root of the corrected average, > 0.
        warmup_steps: must be 0; write `Warmup` into the rate.
        weight_decay: must be None or 0: Keras shrinks the parameter but not what it averages with.
        **shared: see `Shared`.

    Examples:
        >>> ScheduleFreeAdamW()
        ScheduleFree(Adam(0.0), power=0.0)
    """
    rule = rules.ScheduleFree(rules.Adam(0.0, beta_2, epsilon), beta_1, 0.0)
    hint = "None or 0 (as published: rules.ScheduleFree(rules.Adam(0.0) >> rules.DecoupledWeightDecay(...)))"
    must(not weight_decay, "ScheduleFreeAdamW(weight_decay=...)", hint, weight_decay)
    return around("ScheduleFreeAdamW", rule, None, shared)
