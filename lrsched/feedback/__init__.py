"""Closed-loop rules: they fold what a run shows into a factor of the learning rate, as pure functions.

>>> from lrsched import Linear, feedback
>>> s, rule = Linear(0.1, 0.0, steps=100), feedback.Plateau(factor=0.5, patience=0)
>>> state, factor = rule.update(rule.init(), 1.0)
>>> state, factor = rule.update(state, 1.0)
>>> s(50) * factor
0.025
"""

from lrsched.feedback._base import Feedback, Observation, state_from_json, state_to_json
from lrsched.feedback._decays import ABEL, ABELState, NewBob, NewBobState
from lrsched.feedback._greedy import GreedyLR, GreedyLRState
from lrsched.feedback._kl import KLAdaptive, KLAdaptiveState
from lrsched.feedback._plateau import Plateau, PlateauState
from lrsched.feedback._range import (
    RangeCurve,
    RangeTest,
    RangeTestState,
    Suggestions,
    lr_range_test,
    minimum,
    range_curve,
    slide,
    steepest,
    valley,
)
from lrsched.feedback._refine import refine
from lrsched.feedback._steps import (
    DoG,
    DoGState,
    DoWG,
    DoWGState,
    Hypergradient,
    HypergradientState,
    Polyak,
    PolyakState,
)
from lrsched.feedback._stopping import (
    DecayOnPlateauThenStop,
    DecayOnPlateauThenStopState,
    EarlyStopping,
    EarlyStoppingState,
)
from lrsched.pickling import publish as _publish

__all__ = [
    "ABEL",
    "ABELState",
    "DecayOnPlateauThenStop",
    "DecayOnPlateauThenStopState",
    "DoG",
    "DoGState",
    "DoWG",
    "DoWGState",
    "EarlyStopping",
    "EarlyStoppingState",
    "Feedback",
    "GreedyLR",
    "GreedyLRState",
    "Hypergradient",
    "HypergradientState",
    "KLAdaptive",
    "KLAdaptiveState",
    "NewBob",
    "NewBobState",
    "Observation",
    "Plateau",
    "PlateauState",
    "Polyak",
    "PolyakState",
    "RangeCurve",
    "RangeTest",
    "RangeTestState",
    "Suggestions",
    "lr_range_test",
    "minimum",
    "range_curve",
    "refine",
    "slide",
    "state_from_json",
    "state_to_json",
    "steepest",
    "valley",
]

_publish(__name__)
