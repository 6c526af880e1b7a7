"""The warm-up factors of pytorch_warmup 0.2.0, times the schedule that they dampen.

Where the library takes the optimizer, these take the schedule, or a number for a constant rate. The factor of update t
is that of step t + 1, so none is 0.
"""

from typing import Annotated

from lrsched._core.check import Real
from lrsched._curves import Complete, Linear, RectifiedWarmup, Schedule
from lrsched._curves import ExponentialWarmup as _Approach
from lrsched.compat._tools import Length, checked, late

__all__ = ["ExponentialWarmup", "LinearWarmup", "RAdamWarmup", "UntunedExponentialWarmup", "UntunedLinearWarmup"]

Main = Annotated[Schedule | float, Complete(lift=True)]
Beta = Annotated[float, Real(low=0.0, high=1.0, open_high=True)]


@checked
def LinearWarmup(lr_scheduler: Main, warmup_period: Length) -> Schedule:
    """A schedule times `min(1, (t + 1) / warmup_period)`.

    Args:
        lr_scheduler: the schedule, or a number.
        warmup_period: updates of the warm-up, >= 1.

    Examples:
        >>> s = LinearWarmup(0.1, warmup_period=4)
        >>> s(0), s(3)
        (0.025, 0.1)

    References:
        pytorch_warmup 0.2.0, base.py and untuned.py; so for all of this module.
    """
    return late(Linear(0.0, 1.0, warmup_period), 1) * lr_scheduler


@checked
def ExponentialWarmup(lr_scheduler: Main, warmup_period: Length) -> Schedule:
    """A schedule times `1 - exp(-(t + 1) / warmup_period)`.

    Args:
        lr_scheduler: the schedule, or a number.
        warmup_period: time constant in updates, >= 1.

    Examples:
        >>> round(ExponentialWarmup(1.0, warmup_period=10)(9), 12)
        0.632120558829
    """
    return _Approach(1.0, timescale=warmup_period) * lr_scheduler


@checked
def UntunedLinearWarmup(lr_scheduler: Main, beta2: Beta = 0.999) -> Schedule:
    """`LinearWarmup` over `int(2 / (1 - beta2))` updates: 1999 for 0.999, as the quotient is rounded down.

    Args:
        lr_scheduler: the schedule, or a number.
        beta2: Adam's second decay rate, in [0, 1).

    Examples:
        >>> UntunedLinearWarmup(0.1, beta2=0.999)(1998)
        0.1
    """
    return LinearWarmup(lr_scheduler, int(2.0 / (1.0 - beta2)))


@checked
def UntunedExponentialWarmup(lr_scheduler: Main, beta2: Beta = 0.999) -> Schedule:
    """`ExponentialWarmup` with the time constant `int(1 / (1 - beta2))`.

    Args:
        lr_scheduler: the schedule, or a number.
        beta2: Adam's second decay rate, in [0, 1).

    Examples:
        >>> UntunedExponentialWarmup(0.1, beta2=0.999)(10**6)
        0.1
    """
    return ExponentialWarmup(lr_scheduler, int(1.0 / (1.0 - beta2)))


@checked
def RAdamWarmup(
    lr_scheduler: Main, beta2: Annotated[float, Real(low=0.6, high=1.0, open_low=True, open_high=True)] = 0.999
) -> Schedule:
    """A schedule times the rectification of RAdam, from the first step at which that is defined.

    Args:
        lr_scheduler: the schedule, or a number.
        beta2: Adam's second decay rate, more than 0.6 and less than 1.

    Examples:
        >>> round(RAdamWarmup(1.0, beta2=0.999)(1000), 4)
        0.6466
    """
    return RectifiedWarmup(beta2) * lr_scheduler
