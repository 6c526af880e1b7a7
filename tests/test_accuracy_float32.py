"""Every shape in float32 on every library against mpmath: 8 ulp, 16 where a power is taken.

An ulp is that of the larger endpoint, and of the value itself where the curve falls to zero.
"""

import numpy as np
import pytest
from exact import exact
from test_accuracy import every_shape, times

import lrsched as ls
from lrsched._value import children

jnp = pytest.importorskip("jax.numpy")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

LENGTHS = [7, 1000, 2**31, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 2**24 + 1, 2**31 - 1))]
TOP32 = 2**31 - 1
LIBRARIES = {
    "torch": lambda s, t: s(torch.tensor(t)).numpy(),
    "jax": lambda s, t: np.asarray(s(jnp.asarray(np.array(t, dtype=np.int32)))),
    "tensorflow": lambda s, t: s(tf.constant(t, dtype=tf.int64)).numpy(),
}
ROOTS = ls.Polynomial | ls.Monomial | ls.PowerLaw | ls.Warp | ls.Power
POWERS = ROOTS | ls.Exponential | ls.Geometric | ls.NormalizedExponential


def ulps(schedule):
    """Return how many ulp are allowed: those of each leaf that takes part, 16 for a power, 8 for any other."""
    inner = [ulps(child) for child in children(schedule)]
    own = 16 if isinstance(schedule, POWERS) else 8
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


@pytest.mark.parametrize("library", ["torch", "tensorflow"])
def test_float64_steps_give_values_exact_to_1e_12(library):
    make = {"torch": lambda t: torch.tensor(t, dtype=torch.float64), "tensorflow": lambda t: tf.constant(t, tf.float64)}
    for schedule in every_shape(1000):
        steps = [float(t) for t in times(schedule, 1000)]
        got = schedule(make[library](steps)).numpy()
        assert got.dtype == np.float64
        want = [float(exact(schedule, t)) for t in steps]
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300, err_msg=repr(schedule))
