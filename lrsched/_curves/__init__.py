"""Schedules: the algebra, every curve and every node around curves. Imports `_core` and `_spaces`.

Other rooms take them from here. `equality`, which few need, they take from its file.
"""

from lrsched._curves.budget import Budget, StepsOrPart, share
from lrsched._curves.combine import Combination, Maximum, Minimum, Power, Product, Sum, clip
from lrsched._curves.consumed import Consumed
from lrsched._curves.cycles import MAX_CYCLES, Repeat, Triangular
from lrsched._curves.decays import Curve, Exponential, ExponentialWarmup, InverseTime, PowerLaw, RectifiedWarmup
from lrsched._curves.function import Function
from lrsched._curves.modifiers import Batches, Epochs, Extend, Hold, Reverse, Shift, Stretch, Table, Warp
from lrsched._curves.ramps import (
    Blend,
    Cosine,
    Geometric,
    Harmonic,
    Hyperbolic,
    Linear,
    Logarithmic,
    Monomial,
    NormalizedExponential,
    Polynomial,
    Ramp,
    Rex,
    Tanh,
)
from lrsched._curves.reading import parse
from lrsched._curves.schedule import (
    Chain,
    Complete,
    Constant,
    Schedule,
    ScheduleLike,
    bounded,
    corners,
    is_pending,
)
from lrsched._curves.template import Template
from lrsched._curves.warmup import SHAPES, Cooldown, Warmup

__all__ = [
    "SHAPES",
    "Batches",
    "Blend",
    "Budget",
    "Chain",
    "Combination",
    "Complete",
    "Constant",
    "Consumed",
    "Cooldown",
    "Cosine",
    "Curve",
    "Epochs",
    "Exponential",
    "ExponentialWarmup",
    "Extend",
    "Function",
    "Geometric",
    "Harmonic",
    "Hold",
    "Hyperbolic",
    "InverseTime",
    "Linear",
    "Logarithmic",
    "MAX_CYCLES",
    "Maximum",
    "Minimum",
    "Monomial",
    "NormalizedExponential",
    "StepsOrPart",
    "Polynomial",
    "Power",
    "PowerLaw",
    "Product",
    "Ramp",
    "RectifiedWarmup",
    "Repeat",
    "Reverse",
    "Rex",
    "Schedule",
    "ScheduleLike",
    "Shift",
    "Stretch",
    "Sum",
    "Table",
    "Tanh",
    "Template",
    "Triangular",
    "Warmup",
    "Warp",
    "bounded",
    "clip",
    "corners",
    "is_pending",
    "parse",
    "share",
]
