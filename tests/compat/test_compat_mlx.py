"""compat.mlx gives the values of MLX's own schedules, whose file runs on NumPy here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, stub

from lrsched.compat import mlx

core = stub("mlx.core", minimum=np.minimum, cos=np.cos, where=np.where)
live = load("mlx", "optimizers/schedulers.py", [stub("mlx", __path__=[], core=core), core])

rates = st.sampled_from([0.0, 0.1, 1.0])
lengths = st.integers(1, 30)


def check(name, *arguments):
    theirs = getattr(live, name)(*arguments)
    assert_agrees(getattr(mlx, name)(*arguments), [float(theirs(t)) for t in range(60)])


@given(rates, rates, lengths, st.sampled_from([0.5, 0.97, 1.1]))
def test_the_schedules_are_those_of_mlx(start, end, steps, rate):
    check("exponential_decay", start, rate)
    check("step_decay", start, rate, steps)
    check("cosine_decay", start, steps, end)
    check("linear_schedule", start, end, steps)


@given(st.lists(st.integers(0, 20), max_size=3), rates)
def test_joined_schedules_are_those_of_mlx(boundaries, rate):
    boundaries = sorted(boundaries)
    parts = [("cosine_decay", 1.0, 9 + i, rate) for i in range(len(boundaries) + 1)]
    theirs = live.join_schedules([getattr(live, name)(*rest) for name, *rest in parts], boundaries)
    ours = mlx.join_schedules([getattr(mlx, name)(*rest) for name, *rest in parts], boundaries)
    assert_agrees(ours, [float(theirs(t)) for t in range(60)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mlx.step_decay(1.0, 0.5, 0), r"step_size=...\) must be an int >= 1"),
        (lambda: mlx.cosine_decay(1.0, 0), r"decay_steps=...\) must be an int >= 1"),
        (lambda: mlx.linear_schedule(1.0, 0.0, 0), r"\(steps=...\) must be an int >= 1"),
        (lambda: mlx.join_schedules([], []), r"schedules=...\) must be a sequence of 1 or more"),
        (lambda: mlx.join_schedules([mlx.cosine_decay(1.0, 5)], [3]), r"boundaries=...\) must be 0 ints"),
    ],
)
def test_what_mlx_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
