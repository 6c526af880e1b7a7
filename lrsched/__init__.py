"""One learning rate, every framework: schedules as pure values, `step -> lr`.

>>> from lrsched import Cosine, Warmup
>>> s = Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500)
>>> s(0), s(500), s(10_000)
(0.0, 0.0003, 0.0)
"""

from lrsched._combine import Maximum, Minimum, Power, Product, Sum, clip
from lrsched._config import from_config, to_config
from lrsched._curved import Harmonic, Hyperbolic, Logarithmic, NormalizedExponential, Rex, Tanh
from lrsched._cycles import Repeat, Triangular
from lrsched._cyclic import exp_range, one_cycle, range_test, sgdr, slanted_triangular, triangular2
from lrsched._decays import Exponential, ExponentialWarmup, InverseTime, PowerLaw
from lrsched._modifiers import Epochs, Extend, Hold, Reverse, Shift, Stretch, Table, Warp
from lrsched._recipes import (
    flat_cosine,
    inverse_sqrt,
    noam,
    power_schedule,
    tri_stage,
    warmup_cosine,
    warmup_linear,
    wsd,
    wsd_s,
)
from lrsched._schedule import Chain, Constant, Schedule, parse
from lrsched._shapes import Cosine, Geometric, Linear, Monomial, Polynomial
from lrsched._staircases import chebyshev, multi_step, piecewise_constant, piecewise_linear, step_decay
from lrsched._warmup import Cooldown, Warmup

__version__ = "0.1.0"

__all__ = [
    "Chain",
    "Constant",
    "Cooldown",
    "Cosine",
    "Epochs",
    "Exponential",
    "ExponentialWarmup",
    "Extend",
    "Geometric",
    "Harmonic",
    "Hold",
    "Hyperbolic",
    "InverseTime",
    "Linear",
    "Logarithmic",
    "Maximum",
    "Minimum",
    "Monomial",
    "NormalizedExponential",
    "Polynomial",
    "Power",
    "PowerLaw",
    "Product",
    "Repeat",
    "Reverse",
    "Rex",
    "Schedule",
    "Shift",
    "Stretch",
    "Sum",
    "Table",
    "Tanh",
    "Triangular",
    "Warmup",
    "Warp",
    "chebyshev",
    "clip",
    "exp_range",
    "flat_cosine",
    "from_config",
    "inverse_sqrt",
    "multi_step",
    "noam",
    "one_cycle",
    "parse",
    "piecewise_constant",
    "piecewise_linear",
    "power_schedule",
    "range_test",
    "sgdr",
    "slanted_triangular",
    "step_decay",
    "to_config",
    "tri_stage",
    "triangular2",
    "warmup_cosine",
    "warmup_linear",
    "wsd",
    "wsd_s",
]
