"""Every shape in float32 on every library against mpmath: 8 ulp, 16 where a power is taken.

An ulp is that of the larger endpoint, and of the value itself where the curve falls to zero. PyTorch and TensorFlow
compute in float64 and round once. JAX has float32 alone: there a steep power costs more, as stated in the README.
"""

import math

import numpy as np
import pytest
from composition_libraries import of_one_size
from hypothesis import example, given
from hypothesis import strategies as st
from samples import exact, line
from test_accuracy import every_shape, times

import lrsched as ls
from lrsched._core.value import children

jnp = pytest.importorskip("jax.numpy")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

LENGTHS = [7, 2**31, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 1000, 2**24 + 1, 2**31 - 1))]
TOP32 = 2**31 - 1
LIBRARIES = {
    "torch": lambda s, t: s(torch.tensor(t)).numpy(),
    "jax": lambda s, t: of_one_size(lambda t: s(jnp.asarray(t)), np.array(t, dtype=np.int32)),
    "tensorflow": lambda s, t: s(tf.constant(t, dtype=tf.int64)).numpy(),
}


def ulps(schedule):
    """Return how many ulp are allowed: those of each leaf that takes part, 16 for a power, 8 for any other."""
    inner = [ulps(child) for child in children(schedule)]
    own = 16 if line(type(schedule)).rough else 8
    several = isinstance(schedule, ls.Product | ls.Sum | ls.Power)
    return own if not inner else max(own, (sum if several else max)(inner))


def falls_to_zero(schedule):
    """Return whether a ramp inside reaches zero; those of a sum stand on what is added, a Tanh jumps to its end."""
    if isinstance(schedule, ls.Sum | ls.Tanh):
        return False
    ends = [getattr(schedule, name, None) for name in ("start", "end", "low", "high")]
    return 0.0 in ends or any(falls_to_zero(child) for child in children(schedule))


def scale(schedule, wanted):
    """Return the value whose ulp counts, at each step."""
    largest = max(largest_endpoint(schedule), max(wanted))
    return [value if falls_to_zero(schedule) else largest for value in wanted]


def largest_endpoint(schedule):
    own = [getattr(schedule, name, 0.0) for name in ("start", "end", "low", "high", "value")]
    return max(own + [largest_endpoint(child) for child in children(schedule)])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("n", LENGTHS)
def test_float32_values_are_exact_to_a_few_ulp(library, n):
    worst = []
    for schedule in every_shape(n):
        steps = times(schedule, n, TOP32 if library == "jax" else 2**31)
        wanted = [float(exact(schedule, t)) for t in steps]
        got = LIBRARIES[library](schedule, steps)
        assert got.dtype == np.float32
        for t, want, value, size in zip(steps, wanted, got.tolist(), scale(schedule, wanted), strict=True):
            ulp = float(np.spacing(np.float32(max(size, 1e-30))))
            if not abs(value - want) <= ulps(schedule) * ulp + 1e-37:
                worst.append((abs(value - want) / ulp, t, value, want, schedule))
    assert not worst, "\n".join(map(str, sorted(worst, key=lambda row: -row[0])[:15]))


def logarithmic(low, high):
    """Return numbers whose logarithm is spread evenly."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


ends = logarithmic(1e-20, 10.0)
many = st.sampled_from([10, 1000, 10**6, 2**24 + 1, TOP32])
times_of = logarithmic(0.1, 1e6)
EXPONENTIALS = st.one_of(
    st.builds(ls.Exponential, ends, logarithmic(1e-6, 1.0).map(lambda gap: 1.0 - 0.9 * gap), times_of),
    st.builds(ls.Exponential, ends, logarithmic(1e-6, 1.0).map(lambda gap: 1.0 + gap), times_of),
    st.builds(ls.Geometric, ends, ends, many),
    st.builds(
        lambda n, scale: ls.Repeat(ls.Constant(1.0, n), scale=scale),
        st.sampled_from([1, 10, 1000]),
        st.floats(0.5, 1.5),
    ),
)
POWERED = st.one_of(
    st.builds(ls.PowerLaw, ends, st.floats(-3.0, 20.0), times_of),
    st.builds(ls.Polynomial, st.just(1.0), st.sampled_from([0.0, 0.1]), many, st.floats(0.1, 30.0)),
    st.builds(ls.Monomial, st.just(0.0), st.just(1.0), many, st.floats(0.1, 30.0)),
    st.builds(ls.NormalizedExponential, st.just(1.0), st.sampled_from([0.0, 0.1]), many, logarithmic(1e-30, 0.9)),
    st.builds(ls.Tanh, st.just(1.0), st.sampled_from([0.0, 0.1]), many, st.floats(-50.0, -0.1), st.floats(0.1, 50.0)),
    st.builds(ls.RectifiedWarmup, logarithmic(1e-9, 0.39).map(lambda gap: 1.0 - gap)),
    st.builds(ls.ExponentialWarmup, st.just(1.0), logarithmic(0.5, 1e9)),
    st.builds(ls.InverseTime, ends, logarithmic(1e-3, 100.0), times_of),
)


def steepness(schedule):
    """Return the largest exponent that a curve takes, in natural logarithms."""
    if isinstance(schedule, ls.NormalizedExponential):
        return abs(math.log(schedule.rate))
    if isinstance(schedule, ls.Tanh):
        return 2.0 * max(-schedule.lower, schedule.upper)
    return abs(getattr(schedule, "power", 0.0))


def off(library, schedule, steps):
    """Return by how many ulp of itself a value is off, at most; the values are those of numbers, which are exact.

    A `RectifiedWarmup` begins with the difference of two numbers near 4: there an ulp is that of its limit 1.
    """
    wanted = np.array([schedule(t) for t in steps])
    inside = (np.abs(wanted) > 1e-37) & (np.abs(wanted) < 1e38)
    found = np.asarray(LIBRARIES[library](schedule, steps), np.float64)
    size = np.ones_like(wanted) if isinstance(schedule, ls.RectifiedWarmup) else np.clip(np.abs(wanted), 1e-37, 1e38)
    ulp = np.spacing(size.astype(np.float32)).astype(np.float64)
    return max((np.abs(found[inside] - wanted[inside]) / ulp[inside]), default=0.0)


PLACES = st.lists(st.one_of(st.integers(0, TOP32), logarithmic(1.0, 2.0**31 - 1).map(int)), min_size=32, max_size=32)


@pytest.mark.parametrize("library", LIBRARIES)
@given(schedule=EXPONENTIALS, steps=PLACES)
@example(schedule=ls.Exponential(1.0, 0.9999, steps=100.0), steps=[16_777_215] * 32)
def test_exponentials_keep_8_ulp_of_the_value_however_far_they_fall(library, schedule, steps):
    assert off(library, schedule, steps) <= 8.0


@pytest.mark.parametrize("library", ["torch", "tensorflow"])
@given(schedule=POWERED, steps=PLACES)
def test_torch_and_tensorflow_round_any_curve_once(library, schedule, steps):
    assert off(library, schedule, steps) <= 1.0


@given(schedule=POWERED, steps=PLACES)
def test_a_power_in_jax_costs_three_ulp_for_each_unit_of_its_exponent(schedule, steps):
    steps = [min(step, (schedule.length or TOP32) - 1) for step in steps]
    wanted = [max(abs(schedule(t)), 1e-30) for t in steps]
    fallen = math.log(max(wanted) / min(wanted))
    assert off("jax", schedule, steps) <= 16.0 + 3.0 * max(steepness(schedule), fallen)


@pytest.mark.parametrize("library", ["torch", "tensorflow"])
def test_float64_steps_give_values_exact_to_1e_12(library):
    make = {"torch": lambda t: torch.tensor(t, dtype=torch.float64), "tensorflow": lambda t: tf.constant(t, tf.float64)}
    for schedule in every_shape(1000):
        steps = [float(t) for t in times(schedule, 1000)]
        got = schedule(make[library](steps)).numpy()
        assert got.dtype == np.float64
        want = [float(exact(schedule, t)) for t in steps]
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300, err_msg=repr(schedule))
