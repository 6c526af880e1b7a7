"""The schedulers of PyTorch 2.13, `torch.optim.lr_scheduler` and `torch.optim.swa_utils`.

One step of these schedules is one call of `step()`. `lr` is the rate of the parameter group before a scheduler is
built; the schedulers that set it themselves (`CyclicLR`, `OneCycleLR`) take none. Those two cycle the momentum as well
by default: `field="momentum"` gives that curve. The remark `momentum-left-out` and a warning of
`lrsched_torch.from_torch` say where it is left out.
"""

from collections.abc import Sequence
from typing import Annotated

from lrsched._core.check import Int, Many
from lrsched._curves.combine import Product
from lrsched._curves.decays import Exponential
from lrsched._curves.modifiers import Epochs, Extend
from lrsched._curves.ramps import Cosine, Linear, Polynomial
from lrsched._curves.schedule import Chain, Constant, Schedule
from lrsched.compat._tools.arguments import Positive, checked, must
from lrsched.compat._tools.parts import Parts, cut, join
from lrsched.compat.torch.adams import Adadelta, Adamax, NAdam, RAdam, Rprop
from lrsched.compat.torch.cycles import (
    SWALR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    OneCycleLR,
    one_cycle,
)
from lrsched.compat.torch.decays import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)
from lrsched.compat.torch.matrix import Adafactor, Muon
from lrsched.compat.torch.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from lrsched.compat.torch.product import floored, recursion

__all__ = [
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "Muon",
    "NAdam",
    "OneCycleLR",
    "PolynomialLR",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "Rprop",
    "SGD",
    "SWALR",
    "SequentialLR",
    "StepLR",
    "one_cycle",
]


@checked
def SequentialLR(schedulers: Parts, milestones: Annotated[Sequence[int], Many(Int(), least=0)]) -> Schedule:
    """Schedulers one after the other, each on its own clock.

    Args:
        schedulers: one or more schedules, such as those of this module.
        milestones: the steps, >= 0 and in order, at which the next one takes over; one fewer than there are schedulers.

    Raises:
        ValueError: the number of milestones is wrong, or they decrease.

    Examples:
        >>> SequentialLR([LinearLR(0.2, 0.5), CosineAnnealingLR(0.2, T_max=95)], milestones=[5])
        Linear(0.1, 0.2, steps=5) >> Extend(Cosine(0.2, 0.0, steps=95))
    """
    where = "SequentialLR(milestones=...)"
    must(len(milestones) == len(schedulers) - 1, where, f"{len(schedulers) - 1} steps", milestones)
    must(list(milestones) == sorted(milestones), where, "in order", milestones)
    return join(schedulers, milestones)


@checked
def ChainedScheduler(schedulers: Parts, lr: Positive) -> Schedule:
    """Schedulers that each change the rate which the others left.

    Most multiply it; a cosine with `eta_min` multiplies what lies above its floor, so that the order counts. Beside it
    a staircase leaves pieces of cosine waves; of schedulers that act in each step the values are listed, up to 100,000.
    A scheduler that sets the rate wipes out what the others did, so it is refused: warm restarts and cycles. After
    `T_max` steps of a `CosineAnnealingLR` torch starts again from its floor, without the history of the others; here
    the product ends there.

    Args:
        schedulers: schedules of this module, all built with the same `lr`.
        lr: that rate, > 0.

    Raises:
        ValueError: a schedule sets the rate, or too many values would have to be listed.

    Examples:
        >>> ChainedScheduler([ExponentialLR(0.5, gamma=0.5), ConstantLR(0.5, factor=0.5, total_iters=2)], lr=0.5)(2)
        0.125
        >>> ChainedScheduler([CosineAnnealingLR(0.1, 90, eta_min=0.01), ConstantLR(0.1, 0.5, 60)], lr=0.1)
        Hold(Cosine(0.05, 0.01, steps=90), steps=60) >> Shift(Cosine(0.13, 0.01, steps=90), steps=60)
    """
    for i, part in enumerate(schedulers):
        must(_multiplies(part), f"ChainedScheduler(schedulers=...)[{i}]", "a scheduler that multiplies the rate", part)
    if len(schedulers) == 1:
        return schedulers[0]
    if any(map(floored, schedulers)):
        return recursion(schedulers, lr)
    product = Product((*schedulers, Constant(lr ** (1 - len(schedulers)))))
    turns = [part.schedule.steps for part in schedulers if isinstance(part, Extend)]
    return cut(product, min(turns)) if turns else product


def _multiplies(part: Schedule) -> bool:
    """Return whether a schedule is one that torch computes by multiplying the rate that it finds."""
    if isinstance(part, Chain):
        return all(isinstance(inner, Constant) for inner in part.parts)
    if isinstance(part, Extend):
        return isinstance(part.schedule, Cosine)
    if isinstance(part, Epochs):
        return isinstance(part.schedule, Exponential)
    return isinstance(part, Constant | Linear | Polynomial | Exponential)
