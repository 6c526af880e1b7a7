"""compat.torchtitan gives the rates of torchtitan's own scheduler."""

import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, rates, sgd, stub

from lrsched.compat.torchtitan import LRSchedulersContainer


class Configurable:
    class Config:
        pass


class Quiet:
    warning = staticmethod(lambda *a: None)


def _live():
    package = types.ModuleType("torchtitan.components.optimizer")
    package.__path__ = []
    stubs = [
        stub("torchtitan.config", Configurable=Configurable),
        stub("torchtitan.tools.logging", logger=Quiet),
        stub("torchtitan.components.optimizer.optimizer", OptimizersContainer=list),
        package,
    ]
    name = "torchtitan.components.optimizer.lr_scheduler"
    try:
        return load("torchtitan", "components/optimizer/lr_scheduler.py", stubs, name)
    finally:
        sys.modules.pop(name, None)


live = _live()


@given(
    st.sampled_from([1.0, 3e-4]),
    st.integers(1, 40),
    st.integers(0, 45),
    st.sampled_from([None, 0.0, 0.1, 0.25, 0.5, 1.0]),
    st.sampled_from(["linear", "sqrt", "cosine"]),
    st.sampled_from([0.0, 0.1]),
)
def test_the_rate_is_that_of_torchtitan(lr, total, warmup, ratio, kind, factor):
    config = live.LRSchedulersContainer.Config(
        warmup_steps=warmup, decay_ratio=ratio, decay_type=kind, min_lr_factor=factor
    )
    optimizer = sgd(lr)
    scheduler = config.build(optimizers=[optimizer], training_steps=total)
    # After a schedule without a decay torchtitan stops with an assertion.
    over = 0 if (ratio is not None and round(total * ratio) == 0) or warmup >= total else 6
    expected = rates(optimizer, lambda t: scheduler.step(), total + 1 + over)
    ours = LRSchedulersContainer(lr, total, warmup, None, ratio, kind, factor)
    assert_agrees(ours, expected)


def test_a_line_goes_below_zero_after_the_end():
    # total 10, warm-up 2, so the line falls by 1/8 a step and is 0 at step 10
    s = LRSchedulersContainer(1.0, 10, warmup_steps=2)
    assert [s(t) for t in (1, 2, 9, 10, 12)] == [1.0, 1.0, 0.125, 0.0, -0.25]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"total_steps=...\) must be given"),
        ({"training_steps": 9, "decay_type": "exp"}, r"decay_type=...\) must be one of 'linear', 'sqrt', 'cosine'"),
        ({"training_steps": 0}, r"training_steps=...\) must be an int >= 1"),
        ({"training_steps": 9, "decay_ratio": 1.5}, r"decay_ratio=...\) must be a finite number >= 0 and <= 1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRSchedulersContainer(1.0, **arguments)
