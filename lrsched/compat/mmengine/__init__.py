"""The parameter schedulers of MMEngine 0.10.7, `mmengine.optim.scheduler`.

Each acts only while `begin <= t < end` and leaves what it had set before and after. One step is an epoch, or an
iteration with `by_epoch=False`: that changes no number here. Write `build_param_schedulers` for the list of a
configuration, where epochs and iterations meet, and pass a momentum or a weight decay as `lr` for the twins
(`CosineAnnealingMomentum`, ...).

An iteration is a batch: with `OptimWrapper(accumulative_counts=n)` update j has `s(n * j + n - 1)`, which is
`Batches(s, n)(j)`; the last update of a training takes the batches that are left.
"""

from lrsched.compat.mmengine.lists import build_param_schedulers
from lrsched.compat.mmengine.schedulers import (
    ConstantLR,
    CosineAnnealingLR,
    CosineRestartLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolyLR,
    StepLR,
)

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineRestartLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolyLR",
    "StepLR",
    "build_param_schedulers",
]
