"""The largest, the smallest and the longest: refused when built, or the same value in every library without a word."""

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import SHAPES

import lrsched as ls
from lrsched import Schedule, parse
from lrsched._compile import compiled

WILD = [0.0, 5e-324, 1e-310, 1e-300, 1e-30, 1e-5, 0.5, 1.0, 2.0, 10.0, 1e30, 1e39, 1e300, 1.7e308]
numbers = st.sampled_from(WILD) | st.floats(0.0, 100.0)
positive = st.sampled_from(WILD[1:])
scales = st.sampled_from([1e-9, 1e-5, 0.5, 1.0, 100.0, 1e15, 1e300])
lengths = st.sampled_from([1, 2, 3, 1000, 2**24 + 1, 2**31, 2**52, 2**53])
rates = st.sampled_from([1e-300, 1e-5, 0.5, 0.999, 1.0, 1.1, 10.0, 1e300])
powers = st.sampled_from([1e-300, 0.1, 0.5, 1.0, 1.7, 2.0, 3.0, 100.0, 1e300])
bases = st.sampled_from([1e-30, 1e-5, 0.5, 2.0, 1e5, 1e30])
ratios = st.sampled_from([1e-6, 1 / 3, 0.5, 1.0, 1.001, 1.5, 2.0, 10.0, 1e6])
LIMIT = 2.0**-1022  # below, floats have fewer digits

RAMPS = st.one_of(
    st.builds(ls.Linear, numbers, numbers, lengths),
    st.builds(ls.Cosine, numbers, numbers, lengths),
    st.builds(ls.Polynomial, numbers, numbers, lengths, powers),
    st.builds(ls.Monomial, numbers, numbers, lengths, powers),
    st.builds(ls.Geometric, positive, positive, lengths),
    st.builds(ls.Harmonic, st.just(1e-5), positive.filter(lambda x: 1e-290 < x < 1e290), lengths),
    st.builds(ls.Rex, numbers, numbers, lengths),
    st.builds(ls.Tanh, numbers, numbers, lengths, st.sampled_from([-300.0, -7.0]), st.sampled_from([3.0, 300.0])),
    st.builds(ls.NormalizedExponential, numbers, numbers, lengths, bases),
    st.builds(ls.Hyperbolic, numbers, numbers, lengths, st.just(2**53)),
    st.builds(ls.Logarithmic, numbers, numbers, lengths),
)
LEAVES = st.one_of(
    RAMPS,
    st.builds(ls.Constant, numbers, st.none() | lengths),
    st.builds(ls.Exponential, numbers, rates, scales),
    st.builds(ls.InverseTime, numbers, numbers, scales),
    st.builds(ls.PowerLaw, numbers, st.sampled_from([-10.0, -0.5, 0.0, 0.5, 100.0]), scales),
    st.builds(ls.ExponentialWarmup, numbers, scales),
    st.builds(ls.RectifiedWarmup, st.sampled_from([0.61, 0.999, 1.0 - 1e-16])),
    st.builds(ls.Triangular, numbers, numbers, lengths, st.none() | lengths),
    st.builds(ls.Table, st.lists(numbers, min_size=1, max_size=4).map(tuple)),
)
GROWING = st.one_of(
    st.builds(ls.Linear, numbers, numbers, lengths),
    st.builds(ls.Cosine, numbers, numbers, lengths),
    st.builds(ls.Monomial, numbers, numbers, lengths, powers),
    st.builds(ls.Geometric, positive, positive, lengths),
    st.builds(ls.NormalizedExponential, numbers, numbers, lengths, bases),
)


@st.composite
def recipes(draw, depth=3):
    """Return a function that builds a schedule of extreme numbers, or raises."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        kind = draw(st.integers(0, 3))
        if kind == 0:
            ramp = draw(GROWING)
            return lambda: ls.Extend(ramp)
        if kind == 1:
            ramp, power = draw(RAMPS), draw(powers)
            return lambda: ls.Warp(ramp, power)
        leaf = draw(LEAVES)
        return lambda: leaf
    a, b = draw(recipes(depth - 1)), draw(recipes(depth - 1))
    n, shift, ratio, number = draw(lengths), draw(st.sampled_from([0, 1, 2**31, 2**53])), draw(ratios), draw(numbers)
    times, scale, shape = draw(st.sampled_from([None, 1, 3, 100000, 2**53])), draw(ratios), draw(st.sampled_from(SHAPES))
    return draw(
        st.sampled_from(
            [
                lambda: a() >> b(),
                lambda: ls.Hold(a(), n) >> b(),
                lambda: ls.Warmup(n, number, shape) >> a(),
                lambda: ls.Hold(a(), n) >> ls.Cooldown(n, number, shape),
                lambda: a() * b(),
                lambda: a() + b(),
                lambda: a() * number + number,
                lambda: a() ** b(),
                lambda: a() ** number,
                lambda: number ** a(),
                lambda: ls.Minimum((a(), b())),
                lambda: ls.Maximum((a(), b(), number)),
                lambda: ls.Hold(a(), n),
                lambda: ls.Shift(a(), shift),
                lambda: ls.Stretch(a(), ratio),
                lambda: ls.Epochs(a(), n),
                lambda: ls.Reverse(ls.Hold(a(), n)),
                lambda: ls.Repeat(ls.Hold(a(), n), times, ratio, scale),
                lambda: ls.Repeat(ls.Hold(a(), n), times, 1.0, scale),
            ]
        )
    )


@st.composite
def extreme(draw):
    """Return a schedule of extreme numbers; one that is refused gives its number back."""
    recipe = draw(recipes())
    try:
        return recipe()
    except ValueError as error:
        assert re.search(r"must|only the last schedule|cannot follow", str(error)), error
        return None


STEPS = [0, 1, 2, 3, 999, 1000, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**52, 2**53 - 1, 2**53]


def agrees(found, want):
    with np.errstate(all="ignore"):
        size = np.abs(want)
        near = np.abs(found - want) <= 1e-9 * size + 1e-300
    return near | (found == want)


@given(extreme())
def test_a_schedule_of_extreme_numbers_is_refused_or_the_same_everywhere(schedule):
    if schedule is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        want = np.array([schedule(t) for t in STEPS])
        assert not np.isnan(want).any(), (schedule, want)
        low, high = schedule._reach(2.0**53)
        assert (want >= low - 1e-9 * abs(low)).all() and (want <= high + 1e-9 * abs(high)).all(), (low, high, want)
        number = compiled(schedule._at)
        assert [number(t) for t in STEPS] == want.tolist()
        np.testing.assert_array_equal(agrees(schedule(np.array(STEPS)), want), True, err_msg=f"{schedule!r} {want} {schedule(np.array(STEPS))}")
    if schedule.length is not None:
        assert schedule.length <= 2**53
        assert np.isfinite(want).all()


if __name__ == "__main__":
    import sys

    from hypothesis import HealthCheck, settings

    run = settings(max_examples=int(sys.argv[1]), suppress_health_check=list(HealthCheck), deadline=None, derandomize=False)
    run(test_a_schedule_of_extreme_numbers_is_refused_or_the_same_everywhere)()
