"""compat.tensorflow_addons gives the values of TensorFlow Addons' own schedules, computed in float64 and in float32."""

import types
from collections.abc import Callable
from typing import Union

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import definitions

from lrsched import Constant, InverseTime
from lrsched.compat import tensorflow_addons
from lrsched.compat.tensorflow_addons import (
    ExponentialCyclicalLearningRate,
    Triangular2CyclicalLearningRate,
    TriangularCyclicalLearningRate,
)

tf = pytest.importorskip("tensorflow")

NAMES = [
    "CyclicalLearningRate",
    "TriangularCyclicalLearningRate",
    "Triangular2CyclicalLearningRate",
    "ExponentialCyclicalLearningRate",
]
content = {
    "tf": tf, "typechecked": lambda function: function, "FloatTensorLike": float, "Union": Union, "Callable": Callable,
}  # fmt: skip
live = types.SimpleNamespace(
    **definitions(
        "tensorflow_addons", "optimizers/cyclical_learning_rate.py", NAMES, __name__="tensorflow_addons", **content
    )
)

rates = st.sampled_from([0.0, 1.0, 3e-4]) | st.floats(1e-6, 10.0)
heights = st.floats(0.0, 5.0)
sizes = st.integers(1, 30) | st.sampled_from([0.5, 2.5, 12.25, 33.3])
modes = st.sampled_from(["cycle", "iterations"])


def check(name, low, high, size, *arguments, ours=None, **named):
    """Compare at each step of four cycles, at the foot of the tenth and far out."""
    corners = [int(20 * size) + d for d in (-1, 0, 1)] + [int(100 * size)]
    steps = np.array(sorted({*range(int(8 * size) + 2), *(max(c, 0) for c in corners)}))
    for dtype, ulp in ((tf.float64, 2.3e-16), (tf.float32, 1.2e-7)):
        # As tensors, for tf.cast makes a Python number a float32 first.
        given = [tf.constant(number, dtype) for number in (low, high, float(size))]
        native = getattr(live, name)(*given, *arguments, **named)
        theirs = np.array(native(tf.constant(steps, dtype)), np.float64)
        schedule = ours or getattr(tensorflow_addons, name)(low, high, size, *arguments, **named)
        scale = max(1.0, high, float(np.abs(theirs).max()))
        # A factor in float32 is rounded before it is raised to the step.
        rtol = 1e-12 if dtype == tf.float64 else 2e-6 + ulp * steps
        # Of 1 - |n / size - 2 cycle + 1| the library keeps what its type has of n / size.
        atol = 1e-15 + 2 * ulp * scale * (1 + steps / size)
        growth = next((a for a in arguments if isinstance(a, float) and a > 1.0), 1.0)
        atol = atol * growth**steps  # which a factor that grows takes along, at the foot of a wave too
        assert np.all(np.abs(schedule(steps) - theirs) <= rtol * np.abs(theirs) + atol), schedule
        np.testing.assert_allclose([schedule(int(t)) for t in steps[:40]], schedule(steps[:40]), 1e-14, 1e-16)


@given(rates, heights, sizes, modes)
def test_the_triangle_is_that_of_tensorflow_addons(low, height, size, mode):
    check("TriangularCyclicalLearningRate", low, low + height, size, mode)
    check("TriangularCyclicalLearningRate", low + height, low, size)


@given(rates, heights, sizes, modes)
def test_the_halved_triangle_is_that_of_tensorflow_addons(low, height, size, mode):
    check("Triangular2CyclicalLearningRate", low, low + height, size, mode)


@given(rates, heights, sizes, modes, st.sampled_from([0.0, 0.5, 0.99, 1.0, 1.01]))
def test_the_damped_triangle_is_that_of_tensorflow_addons(low, height, size, mode, gamma):
    check("ExponentialCyclicalLearningRate", low, low + height, size, mode, gamma)


@given(rates, heights, sizes, modes)
def test_a_scale_of_ones_own_is_that_of_tensorflow_addons(low, height, size, mode):
    arguments = (low, low + height, size)
    ours = tensorflow_addons.CyclicalLearningRate(*arguments, InverseTime(1.0, 0.5), mode)
    check("CyclicalLearningRate", *arguments, lambda n: 1 / (1 + 0.5 * n), mode, ours=ours)


def test_every_schedule_is_here():
    assert sorted(NAMES) == sorted(tensorflow_addons.__all__)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Triangular2CyclicalLearningRate(0.2, 0.1, 5), r"maximal_learning_rate=...\) must be >="),
        (lambda: TriangularCyclicalLearningRate(0.1, 0.2, 0), r"step_size=...\) must be a finite"),
        (lambda: TriangularCyclicalLearningRate(0.1, 0.2, 2e6 + 0.5), r"step_size=...\) must be from"),
        (lambda: ExponentialCyclicalLearningRate(0.1, 0.2, 5, "epochs"), r"scale_mode=...\) must be one"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_python_function_is_a_scale():
    schedule = tensorflow_addons.CyclicalLearningRate(0.1, 0.2, 5, lambda n: 1.0)
    constant = tensorflow_addons.CyclicalLearningRate(0.1, 0.2, 5, Constant(1.0))
    assert [schedule(t) for t in range(25)] == [constant(t) for t in range(25)]
