"""The rules of the literature that are one expression of the others."""

from typing import Annotated

from lrsched._core.check import Int
from lrsched.arguments import Fraction, OnOff, Positive, PositiveOrNone, Rate, checked
from lrsched.rules._library.adamax import Adamax
from lrsched.rules._library.adaptive import Adam, Decay
from lrsched.rules._library.base import Rule
from lrsched.rules._library.layerwise import Layerwise
from lrsched.rules._library.nadam import NAdam
from lrsched.rules._library.parts import DecoupledWeightDecay
from lrsched.rules._library.sgd import Lion, Momentum

Rank = Annotated[int, Int(low=0, high=64)]


@checked
def Nesterov(momentum: Decay = 0.9, *, lr_in_buffer: OnOff = False) -> Rule:
    """Momentum with look-ahead: `Momentum(momentum, nesterov=True)`.

    Args:
        momentum: share of the velocity that is kept, in [0, 1).
        lr_in_buffer: keep the learning rate in the velocity, as Keras does.

    Examples:
        >>> Nesterov(0.9)
        Momentum(nesterov=True)

    References:
        Nesterov, A method of solving a convex programming problem with convergence rate O(1/k^2), 1983.
        Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013.
    """
    return Momentum(momentum, nesterov=True, lr_in_buffer=lr_in_buffer)


@checked
def AMSGrad(b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-8, *, corrected: OnOff = False) -> Rule:
    """Adam whose second moment never falls: `Adam(b1, b2, eps, amsgrad="raw")`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        corrected: take the maximum after the bias correction, as Optax does.

    Examples:
        >>> AMSGrad()
        Adam(amsgrad='raw')

    References:
        Reddi, Kale & Kumar, On the convergence of Adam and beyond, ICLR 2018. arXiv:1904.09237
    """
    return Adam(b1, b2, eps, amsgrad="corrected" if corrected else "raw")


@checked
def AdamW(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-8, *, weight_decay: Rate = 1e-2, min_ndim: Rank = 0
) -> Rule:
    """Adam with decoupled weight decay, which the moments do not see.

    It is `Adam(b1, b2, eps) >> DecoupledWeightDecay(weight_decay)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        weight_decay: >= 0, times the learning rate; PyTorch has 0.01, Keras 0.004, Optax 0.0001.
        min_ndim: tensors of fewer dimensions do not decay; 2 spares biases and scales.

    Examples:
        >>> AdamW(weight_decay=0.1)
        Adam() >> DecoupledWeightDecay(0.1)

    References:
        Loshchilov & Hutter, Decoupled weight decay regularization, ICLR 2019. arXiv:1711.05101
    """
    return Adam(b1, b2, eps) >> DecoupledWeightDecay(weight_decay, min_ndim=min_ndim)


@checked
def NAdamW(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-8, *, weight_decay: Rate = 1e-2, min_ndim: Rank = 0
) -> Rule:
    """NAdam with decoupled weight decay, which the moments do not see.

    It is `NAdam(b1, b2, eps) >> DecoupledWeightDecay(weight_decay)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root, > 0.
        weight_decay: >= 0, times the learning rate.
        min_ndim: tensors of fewer dimensions do not decay; 2 spares biases and scales.

    Examples:
        >>> NAdamW(weight_decay=0.1)
        NAdam() >> DecoupledWeightDecay(0.1)

    References:
        Dozat, Incorporating Nesterov momentum into Adam, ICLR workshop 2016.
    """
    return NAdam(b1, b2, eps) >> DecoupledWeightDecay(weight_decay, min_ndim=min_ndim)


@checked
def AdamaxW(
    b1: Decay = 0.9, b2: Decay = 0.999, eps: Positive = 1e-8, *, weight_decay: Rate = 1e-2, min_ndim: Rank = 0
) -> Rule:
    """Adamax with decoupled weight decay, which the moments do not see.

    It is `Adamax(b1, b2, eps) >> DecoupledWeightDecay(weight_decay)`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the maximum of their magnitudes, in [0, 1).
        eps: added to the magnitude, > 0.
        weight_decay: >= 0, times the learning rate.
        min_ndim: tensors of fewer dimensions do not decay; 2 spares biases and scales.

    Examples:
        >>> AdamaxW(weight_decay=0.1)
        Adamax() >> DecoupledWeightDecay(0.1)

    References:
        Kingma & Ba, Adam, ICLR 2015, algorithm 2. arXiv:1412.6980
    """
    return Adamax(b1, b2, eps) >> DecoupledWeightDecay(weight_decay, min_ndim=min_ndim)


@checked
def Signum(b1: Fraction = 0.9) -> Lion:
    """The sign of the average gradient: `Lion(b1, b1)`.

    With `m <- b1 * m + (1 - b1) * g` the update is `-lr * sign(m)`.

    Args:
        b1: decay of the average, in [0, 1].

    Examples:
        >>> Signum(0.95)
        Lion(0.95, b2=0.95)

    References:
        Bernstein et al., signSGD: compressed optimisation for non-convex problems, ICML 2018. arXiv:1802.04434
    """
    return Lion(b1, b1)


@checked
def lars(
    momentum: Decay = 0.9,
    *,
    trust_coefficient: Positive = 1e-3,
    weight_decay: Rate = 1e-4,
    nesterov: OnOff = False,
    eps: Rate = 0.0,
    lr_in_buffer: OnOff = True,
    min_ndim: Rank = 2,
) -> Layerwise:
    """LARS as published: the trust ratio at the gradient, before momentum.

    It is `Layerwise(Momentum(...), at="gradient")`: with `ratio = trust_coefficient * norm(p) / (norm(g) +
    weight_decay * norm(p) + eps)` the velocity becomes `v <- momentum * v + lr * ratio * (g + weight_decay * p)` and
    the update is -v. The paper, TensorFlow, Flax and Optax have the learning rate in the velocity; timm and LARC
    outside. Biases and scales (fewer than two dimensions) get plain momentum without decay. For another base write
    `Layerwise(RMSprop())`.

    Args:
        momentum: share of the velocity that is kept, in [0, 1).
        trust_coefficient: > 0.
        weight_decay: >= 0.
        nesterov: look ahead.
        eps: added to the denominator of the ratio, >= 0.
        lr_in_buffer: keep the learning rate in the velocity.
        min_ndim: tensors of fewer dimensions are not adapted and do not decay; 0 adapts all.

    Examples:
        >>> lars(weight_decay=0.0)
        Layerwise(Momentum(lr_in_buffer=True), at='gradient')

    References:
        You, Gitman & Ginsburg, Large batch training of convolutional networks, 2017, algorithm 1. arXiv:1708.03888
    """
    base = Momentum(momentum, nesterov=nesterov, lr_in_buffer=lr_in_buffer)
    return Layerwise(base, trust_coefficient, weight_decay, at="gradient", eps=eps, min_ndim=min_ndim)


@checked
def lamb(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: Positive = 1e-6,
    *,
    weight_decay: Rate = 1e-2,
    upper: PositiveOrNone = None,
    min_ndim: Rank = 2,
) -> Layerwise:
    """LAMB as published: the trust ratio at the update of Adam, with the decay in it.

    It is `Layerwise(Adam(b1, b2, eps), 1.0, weight_decay, denominator="joint")`: with u the update of Adam at learning
    rate 1, the update is `-lr * ratio * (u + weight_decay * p)`, `ratio = norm(p) / norm(u + weight_decay * p)`. Apex,
    timm and DeepSpeed also clip the gradient: write `ClipByGlobalNorm(1.0) >> lamb()`.

    Args:
        b1: decay of the average of the gradients, in [0, 1).
        b2: decay of the average of their squares, in [0, 1).
        eps: added to the root in Adam, > 0.
        weight_decay: >= 0.
        upper: the largest ratio, or None.
        min_ndim: tensors of fewer dimensions get plain Adam without decay; 0 adapts all (Optax, Apex).

    Examples:
        >>> lamb(weight_decay=0.0)
        Layerwise(Adam(eps=1e-06), trust_coefficient=1.0, denominator='joint')

    References:
        You et al., Large batch optimization for deep learning, ICLR 2020, algorithm 2. arXiv:1904.00962
    """
    base = Adam(b1, b2, eps)
    return Layerwise(base, 1.0, weight_decay, denominator="joint", upper=upper, min_ndim=min_ndim)


LARS = lars
LAMB = lamb
