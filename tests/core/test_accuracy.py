"""Every shape against mpmath: 1e-12 relative in float64, 8 ulp in float32 (16 where a power is taken).

An ulp is that of the larger endpoint, and of the value itself where the curve falls to zero.
"""

import mpmath as mp
import numpy as np
import pytest
from exact import KNOWN, exact
from hypothesis import given
from hypothesis import strategies as st
from strategies import boundary_steps, ramps

import lrsched as ls
from lrsched._core.offers import CLASSES

LENGTHS = [1, 2, 3, 7, 1000, 9_500, 2**24 + 1, 2**31 - 1, 2**31]


def every_shape(n):
    """Return schedules of every node of about n steps, falling and rising, to zero and not."""
    half = max(n // 2, 1)
    found = []
    for a, b in [(1.0, 0.0), (0.0, 1.0), (3e-4, 3e-5), (1e-6, 0.1), (0.25, 0.25)]:
        found += [ls.Linear(a, b, n), ls.Cosine(a, b, n), ls.Rex(a, b, n), ls.Logarithmic(a, b, n)]
        found += [ls.Polynomial(a, b, n, power) for power in (0.5, 1.0, 2.0, 3.5)]
        found += [ls.Monomial(a, b, n, power) for power in (0.5, 1.0, 2.0, 3.5)]
        found += [ls.NormalizedExponential(a, b, n, rate) for rate in (0.01, 0.5, 2.0, 30.0)]
        found += [ls.Tanh(a, b, n), ls.Hyperbolic(a, b, n, n), ls.Hyperbolic(a, b, n, 2 * n + 1)]
        found += [ls.Warp(ls.Cosine(a, b, n), 2.0), ls.Reverse(ls.Cosine(a, b, n)), ls.Shift(ls.Linear(a, b, n), half)]
        found += [ls.Hold(ls.Cosine(a, b, n), half), ls.Epochs(ls.Linear(a, b, n), 3)]
        found += [ls.Batches(ls.Cosine(a, b, 3 * n + 1), 3)]
        if a and b:
            found += [ls.Geometric(a, b, n), ls.Harmonic(a, b, n)]
    found += [
        ls.Warmup(half) >> ls.Cosine(3e-4, 0.0, steps=n),
        ls.Warmup(3) >> ls.Constant(0.1, n) >> ls.Cooldown(half, shape="1-sqrt"),
        ls.Constant(0.1),
        ls.Exponential(0.1, 0.999, n / 3),
        ls.InverseTime(0.1, 2.5, n / 3),
        ls.PowerLaw(0.1, 0.5, n / 3),
        ls.PowerLaw(0.1, 0.8, 4000.0),
        ls.ExponentialWarmup(0.1, n / 3),
        ls.RectifiedWarmup(0.999),
        ls.RectifiedWarmup(0.75),
        ls.Triangular(0.0, 1.0, n, half),
        ls.Repeat(ls.Cosine(1.0, 0.0, n)),
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
        ls.Stretch(ls.Cosine(1.0, 0.0, n), 2.0),
        ls.Stretch(ls.Cosine(1.0, 0.0, n), 2.5),
        ls.Extend(ls.Cosine(1.0, 0.0, n)),
        ls.Extend(ls.Cosine(0.0, 1.0, n)),
        ls.Extend(ls.Linear(0.1, 1.0, n)),
        ls.Table((0.1, 0.4, 0.05)),
        ls.Cosine(1.0, 0.0, n) * ls.Exponential(0.1, 0.5, n),
        0.1 + ls.Cosine(1.0, 0.0, n),
        ls.Cosine(1.0, 0.0, n) ** 2.0,
        ls.Minimum((0.5, ls.Linear(1.0, 0.0, n))),
        ls.Maximum((0.5, ls.Linear(1.0, 0.0, n))),
    ]  # fmt: skip
    return found


def test_every_node_has_an_exact_formula():
    public = {kind for kind in CLASSES["schedule"].values() if kind is not ls.Schedule}
    assert public - {ls.Warmup, ls.Cooldown} == KNOWN


def test_every_node_is_in_the_list_of_shapes():
    assert {type(schedule) for schedule in every_shape(10)} == KNOWN


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
