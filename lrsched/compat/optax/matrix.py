"""Adafactor, Muon, Schedule-Free and Prodigy of Optax 0.2.8 as update rules; see `optimizers`."""

from collections.abc import Sequence
from typing import Annotated

from lrsched import rules
from lrsched._core.check import Int, Many, OrNone, Real
from lrsched.compat._tools import Length, Nothing, OnOff, Positive, Rate, RateOrNone, Text, checked, must
from lrsched.compat.optax.optimizers import MaskOrNone, MomentDtype, decayed, either_adam
from lrsched.rules._library.adaptive import Decay

__all__ = ["adafactor", "muon", "prodigy", "schedule_free_adamw", "schedule_free_sgd"]

_Average = Annotated[float, Real(low=0, high=1, open_low=True, open_high=True)]
# Longer than any axis: nothing is factored.
_NoWarmup = Annotated[None, Nothing("write the warm-up into the rate")]
_NEVER = 2**53


@checked
def adafactor(
    *,
    min_dim_size_to_factor: Length = 128,
    decay_rate: Positive = 0.8,
    decay_offset: Annotated[int, Int(low=0, high=0)] = 0,
    multiply_by_parameter_scale: OnOff = True,
    clipping_threshold: Annotated[float | None, OrNone(Real(low=1))] = 1.0,
    momentum: Annotated[float | None, OrNone(Real(low=0, high=1, open_high=True))] = None,
    dtype_momentum: MomentDtype = None,
    weight_decay_rate: RateOrNone = None,
    eps: Rate = 1e-30,
    factored: OnOff = True,
    weight_decay_mask: MaskOrNone = None,
) -> rules.Rule:
    """Adam with a factored second moment; the rate is given at each update.

    Optax computes the decay in float32, so two runs agree to about 1e-6.

    Args:
        min_dim_size_to_factor: the second longest axis must have this length, >= 1.
        decay_rate: exponent of the decay, > 0.
        decay_offset: must be 0.
        multiply_by_parameter_scale: steps in proportion to the size of the tensor, at least 1e-3.
        clipping_threshold: the largest root mean square of an update before it is scaled, >= 1, or None.
        momentum: share of the last update that is kept, in [0, 1), or None.
        dtype_momentum: None or float32, which moments have at least.
        weight_decay_rate: share of the parameter that decays per update, without the rate, >= 0, or None.
        eps: added to the squared gradient, >= 0.
        factored: False keeps the second moment of each element.
        weight_decay_mask: whether the parameters decay; None for True.

    Examples:
        >>> adafactor(weight_decay_rate=1e-4)
        Adafactor(axes='largest', factor_from=128) >> DecoupledWeightDecay(0.0001, times_lr=False)
    """
    rule = rules.Adafactor(
        decay_rate,
        eps,
        clip=clipping_threshold,
        scale_by_parameter=multiply_by_parameter_scale,
        axes="largest",
        factor_from=min_dim_size_to_factor if factored else _NEVER,
        momentum=momentum or 0.0,
    )
    if not weight_decay_rate or weight_decay_mask is False:
        return rule
    return rule >> rules.DecoupledWeightDecay(weight_decay_rate, times_lr=False)


@checked
def muon(
    *,
    ns_coeffs: Annotated[Sequence[float], Many(Real(), least=3)] = (3.4445, -4.775, 2.0315),
    ns_steps: Annotated[int, Int(low=0, high=99)] = 5,
    beta: Decay = 0.95,
    eps: Positive = 1e-8,
    weight_decay: Rate = 0.0,
    weight_decay_mask: MaskOrNone = None,
    mu_dtype: MomentDtype = None,
    nesterov: OnOff = True,
    adaptive: OnOff = False,
    preconditioning: Text = "frobenius",
    adam_b1: Decay = 0.9,
    adam_b2: Decay = 0.999,
    adam_eps_root: Rate = 0.0,
    adam_weight_decay: Rate = 0.0,
    adam_learning_rate: Annotated[None, Nothing()] = None,
    muon_weight_dimension_numbers: Annotated[None, Nothing()] = None,
    consistent_rms: RateOrNone = None,
) -> rules.Rule:
    """Momentum made orthogonal for matrices, Adam for the rest; the rate is given at each update.

    Args:
        ns_coeffs: three coefficients; Optax's presets and coefficients of each step are no rules.
        ns_steps: steps of the iteration, 0 to 99.
        beta: decay of the average, in [0, 1).
        eps: added to the norm, and to the root in Adam, > 0.
        weight_decay: of matrices, >= 0.
        weight_decay_mask: whether the matrices decay; None for True.
        mu_dtype: None or float32, which moments have at least.
        nesterov: look ahead, in Adam too.
        adaptive: must be False.
        preconditioning: must be "frobenius".
        adam_b1: decay of the average of the gradients in Adam, in [0, 1).
        adam_b2: decay of the average of their squares, in [0, 1).
        adam_eps_root: added inside the root, >= 0.
        adam_weight_decay: of all but matrices, >= 0.
        adam_learning_rate: must be None; `rules.Split(..., others_rate=...)` has a relative one.
        muon_weight_dimension_numbers: must be None.
        consistent_rms: times `consistent_rms * sqrt(max(rows, columns))` in place of
            `sqrt(max(1, columns / rows))`, > 0, or None.

    Examples:
        >>> muon(nesterov=False)
        Split(Muon(nesterov=False, factor='columns', bias_correction=True, eps=1e-08, eps_at='added'), Adam())
    """
    must(not adaptive, "muon(adaptive=...)", "False", adaptive)
    must(preconditioning == "frobenius", "muon(preconditioning=...)", "'frobenius'", preconditioning)
    must(consistent_rms != 0, "muon(consistent_rms=...)", "> 0 or None", consistent_rms)
    matrices = rules.Muon(
        beta,
        nesterov=nesterov,
        coefficients=tuple(ns_coeffs),
        steps=ns_steps,
        factor="larger" if consistent_rms else "columns",
        scale=consistent_rms or 1.0,
        bias_correction=True,
        eps=eps,
        eps_at="added",
    )
    others = either_adam(adam_b1, adam_b2, eps, adam_eps_root, nesterov)
    return rules.Split(decayed(matrices, weight_decay, weight_decay_mask), decayed(others, adam_weight_decay, True))


@checked
def schedule_free_sgd(
    *,
    warmup_steps: _NoWarmup = None,
    b1: _Average = 0.9,
    weight_decay: RateOrNone = None,
    weight_lr_power: Rate = 2.0,
    state_dtype: MomentDtype = None,
) -> rules.Rule:
    """Gradient descent with averaging in place of a schedule; the rate is given at each update.

    Args:
        warmup_steps: must be None; the warm-up belongs to the rate. Optax then weighs update t by the rate of t + 1.
        b1: nearness to the average, in (0, 1).
        weight_decay: strength of an L2 penalty, >= 0, or None.
        weight_lr_power: of the largest rate so far in the weights, >= 0.
        state_dtype: None or float32, which moments have at least.

    Examples:
        >>> schedule_free_sgd()
        ScheduleFree(SGD())
    """
    rule: rules.Rule = rules.L2(weight_decay) >> rules.SGD() if weight_decay else rules.SGD()
    return rules.ScheduleFree(rule, b1, weight_lr_power)


@checked
def schedule_free_adamw(
    *,
    warmup_steps: _NoWarmup = None,
    b1: _Average = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Rate = 0.0,
    weight_lr_power: Rate = 2.0,
    state_dtype: MomentDtype = None,
) -> rules.Rule:
    """AdamW with averaging in place of a schedule; the rate is given at each update.

    Args:
        warmup_steps: must be None; the warm-up belongs to the rate. Optax then weighs update t by the rate of t + 1.
        b1: nearness to the average, in (0, 1).
        b2: decay of the average of the squared gradients, in [0, 1).
        eps: added to the root, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        weight_lr_power: of the largest rate so far in the weights, >= 0.
        state_dtype: None or float32, which moments have at least.

    Examples:
        >>> schedule_free_adamw(weight_decay=0.1)
        ScheduleFree(Adam(0.0) >> DecoupledWeightDecay(0.1))
    """
    return rules.ScheduleFree(decayed(rules.Adam(0.0, b2, eps), weight_decay, True), b1, weight_lr_power)


@checked
def prodigy(
    *,
    betas: Annotated[Sequence[float], Many(Decay.__metadata__[0], least=2)] = (0.9, 0.999),
    beta3: Annotated[float | None, OrNone(Real(low=0, high=1, open_high=True))] = None,
    eps: Positive = 1e-8,
    estim_lr0: Positive = 1e-6,
    estim_lr_coef: Positive = 1.0,
    weight_decay: Rate = 0.0,
    safeguard_warmup: OnOff = False,
) -> rules.Rule:
    """Adam that estimates its rate; 1 is the rate to give at each update.

    Args:
        betas: decays of the averages of the gradients and of their squares, each in [0, 1).
        beta3: decay of the sums of the estimate, in [0, 1), or None for the root of the second.
        eps: added to the root, > 0.
        estim_lr0: the first estimate, > 0.
        estim_lr_coef: factor of the estimate, > 0.
        weight_decay: decoupled, >= 0.
        safeguard_warmup: leave the rate out of the sum of gradients.

    Examples:
        >>> prodigy(weight_decay=0.01)
        Prodigy(weight_decay=0.01)
    """
    must(len(betas) == 2, "prodigy(betas=...)", "two numbers", betas)
    b1, b2 = betas
    return rules.Prodigy(
        b1,
        b2,
        b3=beta3,
        eps=eps,
        d0=estim_lr0,
        growth=estim_lr_coef,
        weight_decay=weight_decay,
        safeguard_warmup=safeguard_warmup,
    )
