"""compat.paddle gives the rates of PaddlePaddle's own schedulers, of which one file is loaded."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, stub

from lrsched.compat import paddle

_eager = stub("paddle.base.core.eager", Tensor=float)
_core = stub("paddle.base.core", eager=_eager)
_framework = stub("paddle.base.framework", Variable=float, default_main_program=None, in_dygraph_mode=lambda: True)
live = load(
    "paddle",
    "optimizer/lr.py",
    [
        stub("paddle", Tensor=float),
        stub("paddle.base", core=_core),
        _core,
        stub("paddle.base.data_feeder", check_type=lambda *_: None),
        _framework,
        stub("paddle.base.layer_helper", LayerHelper=None),
    ],
)
COUNT = 70
rates = st.sampled_from([0.5, 1.0, 3e-4])
lengths = st.integers(1, 30)
lows = st.sampled_from([0.0, 1e-4])


def values(scheduler: Any, count: int) -> list[float]:
    """Return the rates of the first updates; the scheduler steps after each but the last."""
    found = [scheduler()]
    for _ in range(count - 1):
        scheduler.step()
        found.append(scheduler())
    return found


def agree(name: str, *arguments: Any, rtol: float = 1e-12, count: int = COUNT) -> None:
    """Compare all values of a run."""
    assert_agrees(getattr(paddle, name)(*arguments), values(getattr(live, name)(*arguments), count), rtol)


@given(rates, lengths, lengths, st.sampled_from([0.1, 0.9]))
def test_the_plain_decays(lr: float, n: int, width: int, gamma: float):
    agree("NoamDecay", width, n, lr)
    agree("NaturalExpDecay", lr, gamma)
    agree("InverseTimeDecay", lr, gamma)
    agree("ExponentialDecay", lr, gamma, rtol=1e-11)
    agree("StepDecay", lr, n, gamma)
    agree("LinearLR", lr, n, 0.25, gamma, rtol=1e-11)


@given(rates, st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True).map(sorted))
def test_stairs(lr: float, bounds: list[int]):
    agree("PiecewiseDecay", bounds, [lr, 0.2, 0.1, 0.05, 0.01][: len(bounds) + 1])
    agree("MultiStepDecay", lr, bounds, 0.5)


@given(rates, lengths, lows, st.sampled_from([0.5, 1.0, 2.0]), st.booleans())
def test_polynomial(lr: float, n: int, end: float, power: float, cycle: bool):
    agree("PolynomialDecay", lr, n, end, power, cycle, rtol=1e-9)


@given(rates, lengths, lows, st.integers(1, 3))
def test_restarts(lr: float, n: int, low: float, mult: int):
    agree("CosineAnnealingWarmRestarts", lr, n, mult, low)


@given(st.integers(8, 60), st.sampled_from([0.25, 0.375]), st.booleans(), st.sampled_from(["cos", "linear"]))
def test_one_cycle(total: int, part: float, three: bool, kind: str):
    # After the end PaddlePaddle stops with an error.
    agree("OneCycleLR", 0.1, total, 25.0, 1e-4, part, kind, three, rtol=1e-11, count=total)


@given(rates, lengths)
def test_a_cosine_before_its_turn(lr: float, n: int):
    agree("CosineAnnealingDecay", lr, n, rtol=1e-11, count=n)
