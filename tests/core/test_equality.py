"""`equality` measures how far two curves are apart."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import Constant, Cosine, Linear, Schedule, Warmup
from lrsched._curves.equality import Equality, equality
from tests.strategies import schedules


@given(schedules(), st.integers(1, 300))
def test_a_schedule_equals_itself_and_its_values(schedule: Schedule, steps: int):
    assert equality(schedule, schedule, steps) == Equality(0.0, 0.0, None)
    assert equality(schedule, schedule(np.arange(steps)), steps, rtol=0.0).equal


@given(schedules(), schedules(), st.integers(1, 300))
def test_the_order_does_not_matter(a: Schedule, b: Schedule, steps: int):
    assert equality(a, b, steps) == equality(b, a, steps)


@given(schedules(), st.integers(0, 99))
def test_the_first_step_that_differs_is_found(schedule: Schedule, step: int):
    values = np.array(schedule(np.arange(100))) + np.zeros(100)
    values[step:] = values[step:] * 1.5 + 1.0
    assert equality(schedule, values, 100).first == step


def test_the_differences_are_the_largest():
    # Steps 0, 1, 2: 1.0 and 1.0; 0.5 and 0.25; 0.0 and 0.0.
    found = equality([1.0, 0.5, 0.0], [1.0, 0.25, 0.0], 3)
    assert found == Equality(absolute=0.25, relative=0.5, first=1)


def test_a_difference_within_the_tolerance_is_none():
    assert equality(Constant(1.0), Constant(1.0 + 1e-9), 3, rtol=1e-8).equal
    assert equality(Constant(1.0), Constant(1.0 + 1e-9), 3, rtol=0.0, atol=1e-8).equal
    assert not equality(Constant(1.0), Constant(1.0 + 1e-9), 3).equal


def test_steps_may_be_given():
    assert equality(Linear(1.0, 0.0, 10), Cosine(1.0, 0.0, 10), [0, 10, 7]).first == 7
    assert equality(Linear(1.0, 0.0, 10), Cosine(1.0, 0.0, 10), np.array([0, 5, 10])).absolute < 1e-15


def test_a_function_is_called_with_python_ints():
    seen: list[Any] = []
    equality(lambda step: seen.append(step) or 0.5, Constant(0.5), 3)
    assert seen == [0, 1, 2]
    assert {type(step) for step in seen} == {int}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_differs_from_all_but_itself(value: float):
    assert equality([value], [1.0], 1).first == 0
    assert equality([value], [1.0], 1, rtol=1e9, atol=1e9).absolute == math.inf
    assert equality([value], [value], 1) == Equality(0.0, 0.0, None)


@pytest.mark.parametrize("steps", [0, -1, [], [-1], [0.5], [[1]], "3"])
def test_steps_that_are_none_are_refused(steps: Any):
    with pytest.raises(ValueError, match=r"equality\(steps=...\) must be"):
        equality(Constant(1.0), Constant(1.0), steps)


@pytest.mark.parametrize("curve", [None, 3.0, "0.1"])
def test_what_is_no_curve_is_refused(curve: Any):
    with pytest.raises(TypeError, match=r"equality\(b=...\) must be a schedule, a function or an array"):
        equality(Constant(1.0), curve, 3)


def test_values_for_other_steps_are_refused():
    with pytest.raises(ValueError, match=r"equality\(a=...\) must hold 3 values"):
        equality([1.0, 2.0], Constant(1.0), 3)


def test_a_schedule_that_lacks_a_height_is_refused():
    with pytest.raises(ValueError, match=r"equality\(a=...\) must be complete"):
        equality(Warmup(3), Constant(1.0), 3)


@pytest.mark.parametrize("name", ["rtol", "atol"])
def test_a_negative_tolerance_is_refused(name: str):
    with pytest.raises(ValueError, match=rf"equality\({name}=...\) must be"):
        equality(Constant(1.0), Constant(1.0), 3, **{name: -1.0})
