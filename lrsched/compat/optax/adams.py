"""The relatives of Adam in Optax 0.2.8 as update rules; see `optimizers`."""

from typing import Annotated

from lrsched import rules
from lrsched._core.check import Real
from lrsched.compat._tools import OnOff, Positive, Rate, checked
from lrsched.compat.optax.optimizers import MaskOrNone, MomentDtype, decayed, either_adam
from lrsched.rules._library.adaptive import Decay

__all__ = ["adabelief", "adamax", "adamaxw", "adan", "nadam", "nadamw", "novograd", "radam", "yogi"]


@checked
def nadam(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    mu_dtype: MomentDtype = None,
    nesterov: OnOff = True,
) -> rules.Rule:
    """Adam with look-ahead, in its short form; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        mu_dtype: None or float32, which moments have at least.
        nesterov: look ahead.

    Examples:
        >>> nadam()
        NAdam(momentum_decay=None)
    """
    return either_adam(b1, b2, eps, eps_root, nesterov)


@checked
def nadamw(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    mu_dtype: MomentDtype = None,
    weight_decay: Rate = 1e-4,
    mask: MaskOrNone = None,
    nesterov: OnOff = True,
) -> rules.Rule:
    """Adam with look-ahead and decoupled weight decay; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        mu_dtype: None or float32, which moments have at least.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        mask: whether the parameters decay; None for True.
        nesterov: look ahead.

    Examples:
        >>> nadamw()
        NAdam(momentum_decay=None) >> DecoupledWeightDecay(0.0001)
    """
    return decayed(either_adam(b1, b2, eps, eps_root, nesterov), weight_decay, mask)


@checked
def radam(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    eps_root: Rate = 0.0,
    threshold: Annotated[float, Real(low=4)] = 5.0,
    nesterov: OnOff = False,
) -> rules.Rule:
    """Adam that divides by its second moment only once that has seen enough.

    The rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root of the corrected average, > 0.
        eps_root: added inside the root, >= 0.
        threshold: length of the average from which on it counts, >= 4; below 4 Optax takes the root of a negative
            number.
        nesterov: look ahead.

    Examples:
        >>> radam(threshold=4.0)
        RAdam(eps_at='outside', threshold=4.0)
    """
    return rules.RAdam(b1, b2, eps, "outside", threshold, nesterov, eps_root)


@checked
def adamax(*, b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-8) -> rules.Rule:
    """Adam with a decaying maximum below the fraction; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the maximum of their magnitudes, in [0, 1).
        eps: added to the magnitude, > 0.

    Examples:
        >>> adamax()
        Adamax()
    """
    return rules.Adamax(b1, b2, eps)


@checked
def adamaxw(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Rate = 1e-4,
    mask: MaskOrNone = None,
) -> rules.Rule:
    """Adamax with decoupled weight decay; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the maximum of their magnitudes, in [0, 1).
        eps: added to the magnitude, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        mask: whether the parameters decay; None for True.

    Examples:
        >>> adamaxw()
        Adamax() >> DecoupledWeightDecay(0.0001)
    """
    return decayed(rules.Adamax(b1, b2, eps), weight_decay, mask)


@checked
def adabelief(
    *,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-16,
    eps_root: Rate = 1e-16,
    nesterov: OnOff = False,
) -> rules.Rule:
    """Adam with the square of what the average did not foresee; the rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of the squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added to the average of the squares at each update, >= 0.
        nesterov: look ahead.

    Examples:
        >>> adabelief()
        AdaBelief()
    """
    return rules.AdaBelief(b1, b2, eps, eps_root, nesterov)


@checked
def yogi(*, b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-3) -> rules.Rule:
    """Adam whose second moment changes slowly; both moments start at 1e-6. The rate is given at each update.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: 1 minus the share of the squared gradient by which the second moment changes, in [0, 1).
        eps: added to the root, > 0.

    Examples:
        >>> yogi()
        Yogi()
    """
    return rules.Yogi(b1, b2, eps)


@checked
def adan(
    *,
    b1: Decay = 0.98,
    b2: Decay = 0.92,
    b3: Decay = 0.99,
    eps: Positive = 1e-8,
    eps_root: Rate = 1e-8,
    weight_decay: Rate = 0.0,
    mask: MaskOrNone = None,
) -> rules.Rule:
    """Adam that follows the change of the gradient, with decoupled weight decay; the rate is given at each update.

    The change has the weight `1 - b2`. In the paper, whose decays are written the other way round, it has `b2`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their changes, in [0, 1).
        b3: decay of the average of the squares, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        mask: whether the parameters decay; None for True.

    Examples:
        >>> adan(b2=0.75)
        Adan(b2=0.75, look_ahead=0.25, eps_root=1e-08)
    """
    return decayed(rules.Adan(b1, b2, b3, eps, 1.0 - b2, eps_root), weight_decay, mask)


@checked
def novograd(
    *, b1: Decay = 0.9, b2: Decay = 0.25, eps: Positive = 1e-6, eps_root: Rate = 0.0, weight_decay: Rate = 0.0
) -> rules.Rule:
    """Adam with one second moment a tensor, and the decay in the first; the rate is given at each update.

    Args:
        b1: share of the velocity that is kept, in [0, 1).
        b2: decay of the average of the squared norms, in [0, 1).
        eps: added to the root, > 0.
        eps_root: added inside the root, >= 0.
        weight_decay: share of the parameter that is added to the direction, >= 0.

    Examples:
        >>> novograd()
        NovoGrad(0.9, 0.25, 1e-06)
    """
    return rules.NovoGrad(b1, b2, eps, weight_decay, eps_root)
