"""The rules of Optax 0.2.8 that take a sign, or no learning rate, as update rules; see `optimizers`."""

from lrsched import rules
from lrsched.compat._tools.arguments import Fraction, Positive, Rate, checked, must
from lrsched.compat.optax.optimizers import MaskOrNone, no_dtype
from lrsched.rules._library.adaptive import Decay

__all__ = ["adadelta", "rprop", "sign_sgd", "signum"]


@checked
def adadelta(
    *, rho: Decay = 0.9, eps: Positive = 1e-6, weight_decay: Rate = 0.0, weight_decay_mask: MaskOrNone = None
) -> rules.Rule:
    """AdaDelta; the rate is given at each update.

    Args:
        rho: decay of the averages, in [0, 1).
        eps: added inside the roots, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        weight_decay_mask: whether the parameters decay; None for True.

    Examples:
        >>> adadelta(weight_decay=0.1)
        L2(0.1) >> AdaDelta()
    """
    rule = rules.AdaDelta(rho, eps)
    return rules.L2(weight_decay) >> rule if weight_decay and weight_decay_mask else rule


@checked
def sign_sgd() -> rules.Rule:
    """The sign of the gradient; the rate is given at each update.

    Examples:
        >>> sign_sgd()
        SignSGD()
    """
    return rules.SignSGD()


@checked
def signum(*, beta: Fraction = 0.9, accumulator_dtype: None = None) -> rules.Rule:
    """The sign of the average gradient; the rate is given at each update.

    Args:
        beta: decay of the average, in [0, 1].
        accumulator_dtype: must be None.

    Examples:
        >>> signum()
        Lion(b2=0.9)
    """
    no_dtype("signum(accumulator_dtype=...)", accumulator_dtype)
    return rules.Signum(beta)


@checked
def rprop(
    *,
    eta_minus: Positive = 0.5,
    eta_plus: Positive = 1.2,
    min_step_size: Positive = 1e-6,
    max_step_size: Positive = 50.0,
) -> rules.Rule:
    """Rprop, whose first step has the size of the learning rate of the first update; later rates have no effect.

    Optax 0.2.8 returns each update one step too late: the first is 0, and step t takes what step t - 1 has computed,
    unless the sign has changed. Here each step takes its own update. A learning rate outside the bounds of the size is
    brought to them at once.

    Args:
        eta_minus: factor of the size after a change of sign, in (0, 1).
        eta_plus: factor after none, > 1.
        min_step_size: the smallest size, > 0.
        max_step_size: the largest, >= `min_step_size`.

    Raises:
        ValueError: the numbers are not as they must be.

    Examples:
        >>> rprop(max_step_size=1.0)
        Rprop(largest=1.0)
    """
    must(eta_minus < 1.0, "rprop(eta_minus=...)", "< 1", eta_minus)
    must(eta_plus > 1.0, "rprop(eta_plus=...)", "> 1", eta_plus)
    must(max_step_size >= min_step_size, "rprop(max_step_size=...)", f">= {min_step_size!r}", max_step_size)
    return rules.Rprop(eta_minus, eta_plus, min_step_size, max_step_size)
