"""The relatives of Adam in PyTorch 2.13, AdaDelta and Rprop, as update rules; see `optimizers`."""

from collections.abc import Sequence
from typing import Annotated

from lrsched import rules
from lrsched._core.check import Many, Real
from lrsched.compat._tools.arguments import OnOff, Positive, Rate, checked, must
from lrsched.compat.torch.optimizers import Betas, Switch, check_switches, decayed, penalized
from lrsched.rules._library.adaptive import Decay

Positives = Annotated[Sequence[float], Many(Real(low=0, open_low=True))]

__all__ = ["Adadelta", "Adamax", "NAdam", "RAdam", "Rprop"]


def _two(where: str, numbers: Sequence[float]) -> tuple[float, float]:
    must(len(numbers) == 2, where, "two numbers", numbers)
    return numbers[0], numbers[1]


@checked
def NAdam(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    momentum_decay: Rate = 4e-3,
    decoupled_weight_decay: OnOff = False,
    foreach: Switch = None,
    maximize: OnOff = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> rules.Rule:
    """Adam with a look-ahead whose momentum rises.

    The rate is given at each update. PyTorch keeps the product of the momenta in float32, unless its default dtype is
    float64; here it is exact.

    Args:
        betas: decays of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the root of the corrected average, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        momentum_decay: how fast the momentum rises from half of `betas[0]`, >= 0.
        decoupled_weight_decay: decay past the moments, in proportion to the rate.
        foreach: no effect.
        maximize: must be False.
        capturable: no effect.
        differentiable: no effect.

    Raises:
        ValueError: `betas` are not two, or `maximize` is True.

    Examples:
        >>> NAdam(weight_decay=0.1, decoupled_weight_decay=True)
        NAdam() >> DecoupledWeightDecay(0.1)
    """
    check_switches("NAdam", maximize, foreach)
    rule = rules.NAdam(*_two("NAdam(betas=...)", betas), eps, momentum_decay)
    return decayed(rule, weight_decay) if decoupled_weight_decay else penalized(weight_decay, rule)


@checked
def RAdam(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    decoupled_weight_decay: OnOff = False,
    foreach: Switch = None,
    maximize: OnOff = False,
    capturable: bool = False,
    differentiable: bool = False,
) -> rules.Rule:
    """Adam that divides by its second moment only once that has seen enough.

    The rate is given at each update.

    Args:
        betas: decays of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the root of the average before the correction, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        decoupled_weight_decay: decay past the moments, in proportion to the rate.
        foreach: no effect.
        maximize: must be False.
        capturable: no effect.
        differentiable: no effect.

    Raises:
        ValueError: `betas` are not two, or `maximize` is True.

    Examples:
        >>> RAdam(weight_decay=0.1)
        L2(0.1) >> RAdam()
    """
    check_switches("RAdam", maximize, foreach)
    rule = rules.RAdam(*_two("RAdam(betas=...)", betas), eps)
    return decayed(rule, weight_decay) if decoupled_weight_decay else penalized(weight_decay, rule)


@checked
def Adamax(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    foreach: Switch = None,
    maximize: OnOff = False,
    differentiable: bool = False,
    capturable: bool = False,
) -> rules.Rule:
    """Adam with a decaying maximum below the fraction, eps inside it.

    The rate is given at each update.

    Args:
        betas: decays of the average of the gradient and of the maximum, each in [0, 1).
        eps: added to the magnitude of the gradient, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        foreach: no effect.
        maximize: must be False.
        differentiable: no effect.
        capturable: no effect.

    Raises:
        ValueError: `betas` are not two, or `maximize` is True.

    Examples:
        >>> Adamax(betas=(0.8, 0.999))
        Adamax(0.8)
    """
    check_switches("Adamax", maximize, foreach)
    return penalized(weight_decay, rules.Adamax(*_two("Adamax(betas=...)", betas), eps))


@checked
def Adadelta(
    *,
    rho: Decay = 0.9,
    eps: Positive = 1e-6,
    weight_decay: Rate = 0,
    foreach: Switch = None,
    capturable: bool = False,
    maximize: OnOff = False,
    differentiable: bool = False,
) -> rules.Rule:
    """AdaDelta.

    The rate is given at each update.

    Args:
        rho: decay of the averages, in [0, 1).
        eps: added inside the roots, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        foreach: no effect.
        capturable: no effect.
        maximize: must be False.
        differentiable: no effect.

    Raises:
        ValueError: `maximize` is True.

    Examples:
        >>> Adadelta(rho=0.95)
        AdaDelta(0.95)
    """
    check_switches("Adadelta", maximize, foreach)
    return penalized(weight_decay, rules.AdaDelta(rho, eps))


@checked
def Rprop(
    *,
    etas: Positives = (0.5, 1.2),
    step_sizes: Positives = (1e-6, 50),
    capturable: bool = False,
    foreach: Switch = None,
    maximize: OnOff = False,
    differentiable: bool = False,
) -> rules.Rule:
    """Rprop, whose first step has the size of the learning rate of the first update; later rates have no effect.

    For a schedule that counts write `rules.Rprop(initial=1.0)`.

    Args:
        etas: factors of the size after a change of sign, in (0, 1), and after none, > 1.
        step_sizes: the smallest and the largest size, > 0.
        capturable: no effect.
        foreach: no effect.
        maximize: must be False.
        differentiable: no effect.

    Raises:
        ValueError: the numbers are not as they must be, or `maximize` is True.

    Examples:
        >>> Rprop(step_sizes=(1e-6, 1.0))
        Rprop(largest=1.0)
    """
    check_switches("Rprop", maximize, foreach)
    shrink, grow = _two("Rprop(etas=...)", etas)
    must(shrink < 1.0 < grow, "Rprop(etas=...)", "below 1 and above 1", etas)
    smallest, largest = _two("Rprop(step_sizes=...)", step_sizes)
    must(smallest <= largest, "Rprop(step_sizes=...)", "in order", step_sizes)
    return rules.Rprop(shrink, grow, smallest, largest)
