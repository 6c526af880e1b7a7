"""A schedule of ours is a schedule of Optax, without an adapter."""

import numpy as np
import pytest

pytest.importorskip("optax")

import jax
import jax.numpy as jnp
import optax

import lrsched as ls

PAIRS = {
    "cosine": (ls.Cosine(0.1, 0.01, steps=50), optax.cosine_decay_schedule(0.1, 50, alpha=0.1)),
    "linear": (ls.Linear(0.1, 0.0, steps=50), optax.linear_schedule(0.1, 0.0, 50)),
    "polynomial": (ls.Polynomial(0.1, 0.0, steps=50, power=2.5), optax.polynomial_schedule(0.1, 0.0, 2.5, 50)),
    "exponential": (ls.Exponential(0.1, 0.5, steps=10), optax.exponential_decay(0.1, 10, 0.5)),
    "staircase": (
        ls.Epochs(ls.Exponential(0.1, 0.5), steps_per_epoch=10),
        optax.exponential_decay(0.1, 10, 0.5, staircase=True),
    ),
    "warm-up, cosine": (
        ls.Warmup(10) >> ls.Cosine(0.1, 0.001, steps=40),
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 50, 0.001),
    ),
    "piecewise constant": (
        ls.piecewise_constant([10, 30], [0.1, 0.05, 0.005]),
        optax.piecewise_constant_schedule(0.1, {10: 0.5, 30: 0.1}),
    ),
}
ADAMS = {
    "adam": optax.adam,
    "inject_hyperparams": optax.inject_hyperparams(optax.adam),
    "muon": lambda lr: optax.contrib.muon(lr),
    "schedule_free": lambda lr: optax.contrib.schedule_free_adamw(lr),
    "partition": lambda lr: optax.partition({"a": optax.adam(lr)}, {"w": "a"}),
    "MultiSteps": lambda lr: optax.MultiSteps(optax.adam(lr), 2).gradient_transformation(),
    "weight decay too": lambda lr: optax.adamw(0.1, weight_decay=lr),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_schedule_agrees_with_the_one_of_optax(name):
    ours, native = PAIRS[name]
    counts = jnp.arange(70, dtype=jnp.int32)
    np.testing.assert_allclose(jax.jit(ours)(counts), jax.vmap(native)(counts), rtol=1e-5, atol=2e-8)


@pytest.mark.parametrize("name", ADAMS)
def test_every_optimizer_takes_a_schedule(name):
    ours, native = PAIRS["warm-up, cosine"]
    params = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)}
    moved = []
    for schedule in (ours, native):
        optimizer = ADAMS[name](schedule)
        update = jax.jit(optimizer.update)
        state, p = optimizer.init(params), params
        for _ in range(20):
            updates, state = update(jax.tree.map(lambda w: 2 * w + 0.3, p), state, p)
            p = optax.apply_updates(p, updates)
        moved.append(p["w"])
    assert np.abs(moved[0] - params["w"]).max() > 0.01
    np.testing.assert_allclose(moved[0], moved[1], rtol=1e-5, atol=1e-6)


def test_schedules_of_ours_and_of_optax_join():
    joined = optax.join_schedules([optax.linear_schedule(0.0, 1.0, 4), ls.Cosine(1.0, 0.0, steps=10)], [4])
    expected = (ls.Warmup(4) >> ls.Cosine(1.0, 0.0, steps=10))(np.arange(20))
    np.testing.assert_allclose([joined(jnp.asarray(t)) for t in range(20)], expected, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_no_schedule_looks_like_one_with_state(name):
    assert not isinstance(PAIRS[name][0], optax._src.base.StatefulSchedule)


def test_the_check_for_schedules_with_state_can_fail():
    assert isinstance(optax.schedules.WrappedSchedule(PAIRS["cosine"][0]), optax._src.base.StatefulSchedule)


def test_the_rate_of_an_update_is_that_of_its_count():
    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=PAIRS["cosine"][0])
    state = optimizer.init(jnp.ones(1))
    for t in range(3):
        _, state = optimizer.update(jnp.ones(1), state)
        assert float(state.hyperparams["learning_rate"]) == pytest.approx(PAIRS["cosine"][0](t), rel=1e-6)


def test_gradients_keep_their_dtype():
    scale = optax.scale_by_schedule(PAIRS["cosine"][0])
    updates, _ = scale.update(jnp.ones(2, jnp.bfloat16), scale.init(jnp.ones(2)))
    assert updates.dtype == jnp.bfloat16


def test_schedules_drive_momentum_and_weight_decay():
    optimizer = optax.inject_hyperparams(optax.adamw)(
        learning_rate=0.1, b1=ls.Linear(0.95, 0.85, steps=10), weight_decay=ls.Constant(0.01)
    )
    _, state = optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)), jnp.ones(1))
    assert float(state.hyperparams["b1"]) == pytest.approx(0.95)
    assert float(state.hyperparams["weight_decay"]) == pytest.approx(0.01)
