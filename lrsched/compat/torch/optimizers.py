"""The optimizers of PyTorch 2.13, `torch.optim`, as update rules.

The learning rate is no argument, for a rule takes it at each update: `rules.apply(rule, ..., lr=..., step=...)`. All
arguments are given by name. Those that choose among PyTorch's implementations (`foreach`, `fused`, `capturable`,
`differentiable`) have no effect. Where PyTorch takes an eps of 0 or a momentum of 1, a rule does not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict, Unpack

from lrsched import rules
from lrsched._core.check import Flag, Many, Real
from lrsched.compat._tools import Default, Fraction, OnOff, OnOffOrNone, Positive, Rate, checked, must
from lrsched.rules._library.adaptive import Decay

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
]

Betas = Annotated[Sequence[float], Many(Decay.__metadata__[0])]


@dataclass(frozen=True)
class _Minimize:
    """False."""

    def __call__(self, where: str, value: Any) -> bool:
        must(not Flag()(where, value), where, "False (negate the gradients instead)", value)
        return False

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from (*Flag().wrong(), True)


class Switches(TypedDict, total=False):
    """How PyTorch goes through the tensors."""

    foreach: Annotated[OnOffOrNone, Default(None)]
    maximize: Annotated[bool, _Minimize(), Default(False)]


class Capturable(Switches, total=False):
    """The same of an optimizer that can be captured in a graph."""

    capturable: Annotated[OnOff, Default(False)]
    differentiable: Annotated[OnOff, Default(False)]


class Fused(Switches, total=False):
    """The same of an optimizer that has a fused kernel."""

    differentiable: Annotated[OnOff, Default(False)]
    fused: Annotated[OnOffOrNone, Default(None)]


class Both(Fused, total=False):
    """The same of an optimizer that has both."""

    capturable: Annotated[OnOff, Default(False)]


def check_fused(where: str, switches: Fused) -> None:
    fused = switches["fused"]
    must(not (fused and switches["foreach"]), f"{where}(fused=...)", "False or None with foreach=True", fused)
    must(
        not (fused and switches["differentiable"]),
        f"{where}(fused=...)",
        "False or None with differentiable=True",
        fused,
    )


def penalized(weight_decay: float, rule: rules.Rule) -> rules.Rule:
    return rules.L2(weight_decay) >> rule if weight_decay else rule


@checked
def SGD(
    *,
    momentum: Decay = 0,
    dampening: Fraction = 0,
    weight_decay: Rate = 0,
    nesterov: OnOff = False,
    **switches: Unpack[Fused],
) -> rules.Rule:
    """Gradient descent, with momentum or without.

    The rate stands outside the velocity, which at the first update is the gradient, whatever the dampening. The rate is
    given at each update.

    Args:
        momentum: share of the velocity that is kept, in [0, 1).
        dampening: share of the gradient that is left out of the velocity, in [0, 1].
        weight_decay: strength of an L2 penalty, >= 0.
        nesterov: look ahead; needs momentum and no dampening.
        maximize: must be False.
        foreach: no effect.
        differentiable: no effect.
        fused: no effect.

    Raises:
        ValueError: the arguments do not fit together, or `maximize` is True.

    Examples:
        >>> SGD(momentum=0.9, nesterov=True, weight_decay=1e-4)
        L2(0.0001) >> Momentum(nesterov=True)
    """
    check_fused("SGD", switches)
    must(not nesterov or momentum > 0, "SGD(momentum=...)", "> 0 with nesterov=True", momentum)
    must(not nesterov or dampening == 0, "SGD(dampening=...)", "0 with nesterov=True", dampening)
    if not momentum:
        return penalized(weight_decay, rules.SGD())
    first_step = "clone" if dampening else "zero"
    return penalized(weight_decay, rules.Momentum(momentum, dampening, nesterov, first_step))


def _adam(where: str, betas: Sequence[float], eps: float, amsgrad: bool) -> rules.Rule:
    must(len(betas) == 2, f"{where}(betas=...)", "two numbers", betas)
    return rules.Adam(betas[0], betas[1], eps, amsgrad="raw" if amsgrad else "off")


def decayed(rule: rules.Rule, weight_decay: float) -> rules.Rule:
    return rule >> rules.DecoupledWeightDecay(weight_decay) if weight_decay else rule


@checked
def Adam(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    amsgrad: OnOff = False,
    decoupled_weight_decay: OnOff = False,
    **switches: Unpack[Both],
) -> rules.Rule:
    """Adam, whose weight decay is an L2 penalty; AMSGrad takes the largest raw v.

    The rate is given at each update.

    Args:
        betas: decays of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the root of the corrected average, > 0.
        weight_decay: strength of the penalty, >= 0.
        amsgrad: divide by the root of the largest average so far.
        foreach: no effect.
        maximize: must be False.
        capturable: no effect.
        differentiable: no effect.
        fused: no effect.
        decoupled_weight_decay: decay past the moments, as `AdamW`.

    Raises:
        ValueError: the arguments do not fit together, or `maximize` is True.

    Examples:
        >>> Adam(weight_decay=0.1, amsgrad=True)
        L2(0.1) >> Adam(amsgrad='raw')
    """
    check_fused("Adam", switches)
    rule = _adam("Adam", betas, eps, amsgrad)
    return decayed(rule, weight_decay) if decoupled_weight_decay else penalized(weight_decay, rule)


@checked
def AdamW(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 1e-2,
    amsgrad: OnOff = False,
    **switches: Unpack[Both],
) -> rules.Rule:
    """Adam with decoupled weight decay, in proportion to the learning rate.

    The rate is given at each update.

    Args:
        betas: decays of the averages of the gradient and of its square, each in [0, 1).
        eps: added to the root of the corrected average, > 0.
        weight_decay: share of the parameter that decays per update and unit of rate, >= 0.
        amsgrad: divide by the root of the largest average so far.
        maximize: must be False.
        foreach: no effect.
        capturable: no effect.
        differentiable: no effect.
        fused: no effect.

    Raises:
        ValueError: the arguments do not fit together, or `maximize` is True.

    Examples:
        >>> AdamW()
        Adam() >> DecoupledWeightDecay(0.01)
    """
    check_fused("AdamW", switches)
    return decayed(_adam("AdamW", betas, eps, amsgrad), weight_decay)


@checked
def RMSprop(
    *,
    alpha: Decay = 0.99,
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    momentum: Decay = 0,
    centered: OnOff = False,
    **switches: Unpack[Capturable],
) -> rules.Rule:
    """RMSprop with eps outside the root and the rate outside the velocity.

    The rate is given at each update.

    Args:
        alpha: decay of the average of the squared gradients, in [0, 1).
        eps: added to the root, > 0.
        weight_decay: strength of an L2 penalty, >= 0.
        momentum: share of the velocity that is kept, in [0, 1).
        centered: divide by the root of the variance instead.
        capturable: no effect.
        foreach: no effect.
        maximize: must be False.
        differentiable: no effect.

    Raises:
        ValueError: `maximize` is True.

    Examples:
        >>> RMSprop(momentum=0.9)
        RMSprop(momentum=0.9)
    """
    return penalized(weight_decay, rules.RMSprop(alpha, eps, momentum=momentum, centered=centered))


@checked
def Adagrad(
    *,
    lr_decay: Rate = 0,
    weight_decay: Rate = 0,
    initial_accumulator_value: Rate = 0,
    eps: Positive = 1e-10,
    **switches: Unpack[Fused],
) -> rules.Rule:
    """AdaGrad with eps outside the root.

    The rate is given at each update.

    Args:
        lr_decay: decay of the rate, `lr / (1 + lr_decay * step)`, >= 0.
        weight_decay: strength of an L2 penalty, >= 0.
        initial_accumulator_value: the sum of the squares before the first update, >= 0.
        eps: added to the root, > 0.
        foreach: no effect.
        maximize: must be False.
        differentiable: no effect.
        fused: no effect.

    Raises:
        ValueError: the arguments do not fit together, or `maximize` is True.

    Examples:
        >>> Adagrad(initial_accumulator_value=0.1)
        AdaGrad(initial=0.1)
    """
    check_fused("Adagrad", switches)
    rule: rules.Rule = rules.AdaGrad(eps, initial=initial_accumulator_value)
    return penalized(weight_decay, rules.OwnRate(rule, decay=lr_decay) if lr_decay else rule)


Positives = Annotated[Sequence[float], Many(Real(low=0, open_low=True))]


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
    **switches: Unpack[Capturable],
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
    rule = rules.NAdam(*_two("NAdam(betas=...)", betas), eps, momentum_decay)
    return decayed(rule, weight_decay) if decoupled_weight_decay else penalized(weight_decay, rule)


@checked
def RAdam(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    decoupled_weight_decay: OnOff = False,
    **switches: Unpack[Capturable],
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
    rule = rules.RAdam(*_two("RAdam(betas=...)", betas), eps)
    return decayed(rule, weight_decay) if decoupled_weight_decay else penalized(weight_decay, rule)


@checked
def Adamax(
    *,
    betas: Betas = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: Rate = 0,
    **switches: Unpack[Capturable],
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
    return penalized(weight_decay, rules.Adamax(*_two("Adamax(betas=...)", betas), eps))


@checked
def Adadelta(
    *,
    rho: Decay = 0.9,
    eps: Positive = 1e-6,
    weight_decay: Rate = 0,
    **switches: Unpack[Capturable],
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
    return penalized(weight_decay, rules.AdaDelta(rho, eps))


@checked
def Rprop(
    *,
    etas: Positives = (0.5, 1.2),
    step_sizes: Positives = (1e-6, 50),
    **switches: Unpack[Capturable],
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
    shrink, grow = _two("Rprop(etas=...)", etas)
    must(shrink < 1.0 < grow, "Rprop(etas=...)", "below 1 and above 1", etas)
    smallest, largest = _two("Rprop(step_sizes=...)", step_sizes)
    must(smallest <= largest, "Rprop(step_sizes=...)", "in order", step_sizes)
    return rules.Rprop(shrink, grow, smallest, largest)
