"""Every shape against mpmath: 1e-12 relative in float64, 8 ulp in float32 (16 where a power is taken).

An ulp is that of the larger endpoint, and of the value itself where the curve falls to zero.
"""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import about, curves, every, exact
from strategies import boundary_steps, ramps

import lrsched as ls
from lrsched._core.offers import CLASSES

LENGTHS = [1, 2, 3, 7, 1000, 9_500, 2**24 + 1, 2**31 - 1, 2**31]


def every_shape(n):
    """Return schedules of every node of about n steps, falling and rising, to zero and not."""
    half = max(n // 2, 1)
    arguments = about(n)
    return [
        *(schedule for curve in curves() for schedule in every(curve, arguments)),
        ls.Warmup(half) >> ls.Cosine(3e-4, 0.0, steps=n),
        ls.Warmup(3) >> ls.Constant(0.1, n) >> ls.Cooldown(half, shape="1-sqrt"),
        ls.Shift(ls.Linear(3e-4, 3e-5, n), half),
        ls.Epochs(ls.Linear(1.0, 0.0, n), 3),
        ls.Batches(ls.Cosine(1.0, 0.0, 3 * n + 1), 3),
        ls.Repeat(ls.Cosine(1.0, 0.0, n), times=3, scale=0.5),
        ls.Repeat(ls.Cosine(1.0, 0.0, n), stretch=2.0, scale=0.7),
        ls.Repeat(ls.Polynomial(1.0, 0.0, n, 2.0), times=4, stretch=3.0),
        ls.Repeat(ls.Cosine(1.0, 0.0, n), stretch=1.5),
        ls.Repeat(ls.Cosine(1.0, 0.0, n), stretch=1.5, rounding="once"),
        ls.Repeat(ls.Linear(1.0, 0.0, n), times=4, stretch=1.1, scale=0.7, rounding="each"),
        ls.Shift(ls.Cosine(1.0, 0.0, n), n / 3 + 0.25),
        ls.Shift(ls.PowerLaw(0.1, 0.5, n / 3), 2.5),
        ls.Stretch(ls.Shift(ls.Linear(1.0, 0.0, n), 0.7), 2.5),
        ls.Shift(ls.Stretch(ls.Cosine(1.0, 0.0, n), 1.75), 0.3),
        0.1 + ls.Cosine(1.0, 0.0, n),
        ls.Minimum((0.5, ls.Linear(1.0, 0.0, n))),
        ls.Maximum((0.5, ls.Linear(1.0, 0.0, n))),
    ]


def test_every_node_has_a_line_with_its_exact_formula():
    assert {curve.kind for curve in curves()} == set(CLASSES["schedule"].values()) - {ls.Warmup, ls.Cooldown}


def test_every_node_is_in_the_list_of_shapes():
    assert {type(schedule) for schedule in every_shape(10)} == {curve.kind for curve in curves()}


def close(want):
    """Return 1e-12 of the value; below 1e-300 float64 runs out of exponents."""
    return mp.mpf("1e-12") * abs(want) + mp.mpf("1e-300")


def times(schedule, n, top=2**31):
    """Return steps around the boundaries, some between them, and the largest."""
    spread = {int(n * part) for part in (0.01, 0.1, 0.25, 0.499, 0.5, 0.75, 0.9, 0.99, 1.7, 3.3, 6.1)}
    found = {*boundary_steps(schedule), *spread, *(n + d for d in (-2, -1, 0, 1)), top - 1, top}
    return sorted(step for step in found if 0 <= step <= top)


@pytest.mark.parametrize("n", LENGTHS)
def test_python_values_are_exact_to_1e_12(n):
    for schedule in every_shape(n):
        for t in times(schedule, n):
            want = exact(schedule, t)
            assert abs(schedule(t) - want) <= close(want), (schedule, t, schedule(t), float(want))


@pytest.mark.parametrize("n", LENGTHS)
def test_numpy_values_are_exact_to_1e_12(n):
    for schedule in every_shape(n):
        steps = times(schedule, n)
        for t, got in zip(steps, schedule(np.array(steps)).tolist(), strict=True):
            want = exact(schedule, t)
            assert abs(got - want) <= close(want), (schedule, t, got, float(want))


@given(ramps(), st.floats(0.0, 1.0))
def test_random_ramps_are_exact_to_1e_12(ramp, part):
    for t in {int(part * ramp.steps), ramp.steps - 1, ramp.steps, 0}:
        want = exact(ramp, t)
        assert abs(ramp(t) - want) <= close(want)


def test_the_comparison_with_mpmath_can_fail():
    assert abs(ls.Cosine(1.0, 0.0, 1000)(999) - (1 + mp.cos(mp.pi * mp.mpf(998) / 1000)) / 2) > 1e-12
