"""Closed-loop rules against Optax, and under jit, scan and vmap."""

import math
from functools import cache

import numpy as np
import pytest
from feedback_cases import RULES, coarse, fold, metrics, observation
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import feedback as fb

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

small = st.integers(0, 3)
LENGTH = 40


def native_plateau(values, dtype, **arguments):
    """Return the states of `reduce_on_plateau` after each value, as a NamedTuple of arrays."""
    native = optax.contrib.reduce_on_plateau(**arguments)
    params = jnp.zeros((), dtype)

    def step(state, value):
        _, state = native.update(params, state, value=value)
        return state, state

    return jax.lax.scan(step, native.init(params), jnp.asarray(values, dtype))[1]


def padded(values):
    """Repeat the last value, so that scans have one length and compile once."""
    return (values + values[-1:] * LENGTH)[:LENGTH]


@settings(max_examples=12)
@given(
    metrics,
    st.sampled_from([0.1, 0.5]),
    small,
    st.sampled_from([(1e-4, 0.0), (0.125, 0.125), (0.0, 0.25), (1.0, 0.0)]),
    small,
    st.integers(1, 3),
    st.sampled_from([0.0, 0.04]),
)
def test_the_optax_dialect_is_reduce_on_plateau(values, factor, patience, tolerances, cooldown, size, low):
    rtol, atol = tolerances
    rule = fb.Plateau(
        "min", factor, patience, rtol, "rel", cooldown, low, dialect="optax", accumulation=size, atol=atol
    )
    values = padded(values)
    with jax.enable_x64(True):
        native = native_plateau(
            values,
            "float64",
            factor=factor,
            patience=patience,
            rtol=rtol,
            atol=atol,
            cooldown=cooldown,
            accumulation_size=size,
            min_scale=low,
        )
    states, factors = fold(rule, values)
    np.testing.assert_array_equal(factors, native.scale)
    for name, theirs in [("bad", "plateau_count"), ("cooldown", "cooldown_count"), ("seen", "count")]:
        np.testing.assert_array_equal([getattr(state, name) for state in states], getattr(native, theirs), name)
    for name, theirs in [("best", "best_value"), ("average", "avg_value")]:
        found = [getattr(state, name) for state in states]
        np.testing.assert_allclose(found, getattr(native, theirs), rtol=1e-15, err_msg=name)


@cache
def compiled(rule):
    """Return the scan over observations that starts from Python numbers."""

    def step(state, each):
        state, factor = rule.update(state, each)
        return state, (state, factor)

    return jax.jit(lambda observations: jax.lax.scan(step, rule.init(), observations)[1])


def scanned(rule, observations):
    """Fold in one compiled scan; return states and factors as arrays."""
    columns = [None if x[0] is None else jnp.asarray(x) for x in zip(*observations, strict=True)]
    return compiled(rule)(fb.Observation(*columns))


def assert_same_states(rule, found, states):
    """Compare scanned states with those of Python: counters and flags exactly, floats to a relative 1e-12."""
    for name in states[0]._fields:
        exact = [getattr(state, name) for state in states]
        content = getattr(found, name)
        if isinstance(exact[0], tuple):
            if not exact[0]:
                continue
            content = np.stack([np.asarray(x) for x in content], axis=-1)
        if isinstance(exact[0], float | tuple):
            np.testing.assert_allclose(content, exact, rtol=1e-12, atol=1e-14, err_msg=f"{rule} {name}")
        else:
            np.testing.assert_array_equal(content, exact, f"{rule} {name}")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])
@settings(max_examples=5)
@given(st.lists(st.one_of(coarse, st.just(math.nan)), min_size=1, max_size=40))
def test_a_compiled_scan_gives_the_states_of_python(rule, values):
    observations = [observation(rule, x) for x in padded(values)]
    states, factors = fold(rule, observations)
    with jax.enable_x64(True):
        found, rates = scanned(rule, observations)
        assert_same_states(rule, found, states)
        np.testing.assert_allclose(rates, factors, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])
def test_a_scan_in_float32_keeps_float32_and_int32(rule):
    found, _ = scanned(rule, [observation(rule, x) for x in (1.0, 2.0, 0.5)])
    assert {str(x.dtype) for x in jax.tree.leaves(found)} <= {"float32", "int32", "bool"}


def test_many_runs_are_folded_at_once():
    rule = fb.Plateau(factor=0.5, patience=1)
    runs = jnp.asarray([[1.0, 1.0, 1.0, 1.0], [4.0, 3.0, 2.0, 1.0]])
    observations = fb.Observation(metric=runs)
    last = jax.vmap(lambda xs: jax.lax.scan(rule.update, rule.init(), xs)[0])(observations)
    np.testing.assert_array_equal(last.scale, [0.5, 1.0])


def test_a_state_saved_by_jax_resumes_in_python():
    rule = fb.GreedyLR(patience=1, factor=0.5, window=3)
    values = [3.0, 2.0, math.nan, 1.0, 4.0, 4.0, 4.0, 4.0]
    state = rule.init()
    for value in values[:4]:
        state, _ = jax.jit(rule.update)(state, jnp.float32(value))
    resumed = fb.state_from_json(rule, fb.state_to_json(state))
    for value in values[4:]:
        resumed, factor = rule.update(resumed, value)
    assert (resumed, factor) == (fold(rule, values)[0][-1], fold(rule, values)[1][-1])


@pytest.mark.parametrize("wrong", [jnp.ones(2), jnp.asarray(True), jnp.asarray(1j)])
def test_an_array_that_is_no_real_number_is_refused(wrong):
    with pytest.raises(TypeError, match=r"Plateau\.update\(observation\) must be a real number"):
        fb.Plateau().update(fb.Plateau().init(), wrong)


START = (3.0, -2.0, 1.0)


def quadratic(x):
    return jnp.sum(jnp.asarray([1.0, 4.0, 9.0]) * x**2)


def steps_of_optax(transform, count=30):
    """Return the first coordinates of gradient descent with an Optax transform, in float64."""
    x = jnp.asarray(START)
    state = transform.init(x)
    found = []
    for _ in range(count):
        value, gradient = jax.value_and_grad(quadratic)(x)
        updates, state = transform.update(gradient, state, x, value=value, grad=gradient, value_fn=quadratic)
        x = optax.apply_updates(x, updates)
        found.append(np.asarray(x))
    return found


def steps_of_rule(rule, count=30):
    """Return the points of gradient descent with a rule as the learning rate, in float64."""
    x = start = jnp.asarray(START)
    state, found = rule.init(), []
    for _ in range(count):
        value, gradient = jax.value_and_grad(quadratic)(x)
        full = {"loss": value, "norm_sq": jnp.sum(gradient**2), "distance": jnp.linalg.norm(x - start)}
        state, lr = rule.update(state, fb.Observation(**{name: full[name] for name in rule.needs}))
        x = x - lr * gradient
        found.append(np.asarray(x))
    return found


@pytest.mark.parametrize(
    ("rule", "native"),
    [
        (fb.DoG(initial=0.01), lambda: optax.contrib.dog(init_step=("distance", 0.01))),
        (fb.DoG(0.1, eps=1e-3), lambda: optax.contrib.dog(init_step=("distance", 0.1), eps=1e-3)),
        (fb.DoWG(), lambda: optax.contrib.dowg()),
        (fb.DoWG(0.25, eps=1e-2), lambda: optax.contrib.dowg(init_estim_sq_dist=0.25, eps=1e-2)),
        (fb.Polyak(), lambda: optax.polyak_sgd()),
        (fb.Polyak(maximum=0.05, f_min=-1.0), lambda: optax.polyak_sgd(max_learning_rate=0.05, f_min=-1.0)),
        (fb.Polyak(f_min=20.0), lambda: optax.polyak_sgd(f_min=20.0, variant="sps+")),
    ],
    ids=lambda item: item if isinstance(item, str) else type(item).__name__,
)
def test_gradient_descent_takes_the_steps_of_optax(rule, native):
    with jax.enable_x64(True):
        found, expected = steps_of_rule(rule), steps_of_optax(native())
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
        assert not np.allclose(expected[0], expected[-1])
