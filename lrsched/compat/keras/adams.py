"""The relatives of Adam in Keras 3.15, and its AdaDelta, as update rules; see `optimizers`."""

from typing import Unpack

from lrsched import rules
from lrsched.compat._tools.arguments import Positive, RateOrNone, checked
from lrsched.compat.keras.optimizers import Shared, around
from lrsched.rules._library.adaptive import Decay

__all__ = ["Adadelta", "Adamax", "Nadam"]


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
