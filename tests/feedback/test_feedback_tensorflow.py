"""Closed-loop rules on tensors of TensorFlow, eager and in a graph."""

import math

import numpy as np
import pytest
from feedback_cases import RULES, coarse, fold, observation
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import feedback as fb

tf = pytest.importorskip("tensorflow")

VALUES = (1.0, 2.0, math.nan, 0.5, 0.5, -1.0, 0.75, 0.75, 3.0, -math.inf, 0.25, 0.25)


def tensors(each, dtype=None):
    return fb.Observation(*(None if x is None else tf.constant(x, dtype or tf.float64) for x in each))


def assert_same_states(rule, found, expected):
    """Compare two states: counters and flags exactly, floats to a relative 1e-12."""
    found, expected = fb.state_to_json(found), fb.state_to_json(expected)
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        exact = isinstance(content, bool | str) or type(content) is int
        assert found[name] == (content if exact else pytest.approx(content, rel=1e-12, abs=1e-15)), (rule, name)
        assert type(found[name]) is type(content), (rule, name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])
@settings(max_examples=10)
@given(st.lists(st.one_of(coarse, st.just(math.nan)), min_size=1, max_size=15))
def test_float64_tensors_give_the_states_of_python(rule, values):
    observations = [observation(rule, x) for x in values]
    states, factors = fold(rule, observations)
    found, rates = fold(rule, [tensors(x) for x in observations])
    for state, expected in zip(found, states, strict=True):
        assert_same_states(rule, state, expected)
    np.testing.assert_allclose([float(x) for x in rates], factors, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])
def test_a_graph_gives_the_states_of_python_and_is_traced_once(rule):
    traces = []

    @tf.function
    def update(state, each):
        traces.append(1)
        return rule.update(state, each)

    observations = [observation(rule, x) for x in VALUES]
    states, factors = fold(rule, observations)
    # The first state of tensors comes from an eager update.
    state, _ = rule.update(rule.init(), tensors(observations[0]))
    state = tf.nest.map_structure(tf.convert_to_tensor, state)
    for each, expected, factor in zip(observations[1:], states[1:], factors[1:], strict=True):
        state, found = update(state, tensors(each))
        assert_same_states(rule, state, expected)
        assert float(found) == pytest.approx(factor, rel=1e-12)
    assert len(traces) == 1


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.int64], ids=lambda dtype: dtype.name)
def test_lower_precision_and_integers_are_float32(dtype):
    state, factor = fb.Plateau().update(fb.Plateau().init(), tf.constant(1, dtype))
    assert (state.best.dtype, factor.dtype, state.bad.dtype) == (tf.float32, tf.float32, tf.int64)


@pytest.mark.parametrize("wrong", [tf.ones(2), tf.constant(True), tf.constant(1j)])
def test_a_tensor_that_is_no_real_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"Plateau\.update\(observation\) must be a real number"):
        fb.Plateau().update(fb.Plateau().init(), wrong)
