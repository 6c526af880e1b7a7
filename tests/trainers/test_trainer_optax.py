"""compat.optax gives the rates that Flax's training states use, and Optax's own accumulation of gradients.

From 0 a gradient of 1 moves a parameter by the rate.
"""

import pytest
from harness import UPDATES, agree, real

from lrsched import Batches, compat

jnp = pytest.importorskip("jax.numpy")
jax = pytest.importorskip("jax")
optax = real("optax", "optax")
train_state = real("flax.training.train_state", "flax")
nnx = real("flax.nnx", "flax")
FLOAT32 = 1e-6


def in_a_train_state(transform, calls=UPDATES):
    """Return how far a parameter moves in each call of `TrainState.apply_gradients`."""
    state = train_state.TrainState.create(apply_fn=None, params={"w": jnp.zeros(())}, tx=transform)

    @jax.jit
    def update(state):
        moved = state.apply_gradients(grads={"w": jnp.ones(())})
        return moved.replace(params={"w": jnp.zeros(())}), -moved.params["w"]

    used = []
    for _ in range(calls):
        state, rate = update(state)
        used.append(float(rate))
    return used


def in_nnx(transform):
    """Return how far a parameter moves in each call of `nnx.Optimizer.update`."""
    model = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, transform, wrt=nnx.Param)
    used = []
    for _ in range(UPDATES):
        model.kernel[...] = jnp.zeros((1, 1))
        optimizer.update(model, nnx.grad(lambda m: m(jnp.ones((1, 1))).sum())(model))
        used.append(-float(model.kernel[0, 0]))
    return used


# Arguments that change something within 12 updates.
CALLS = {
    "cosine_decay_schedule": {"init_value": 0.1, "decay_steps": 9, "alpha": 0.1},
    "cosine_onecycle_schedule": {"transition_steps": 11, "peak_value": 0.1},
    "exponential_decay": {"init_value": 0.1, "transition_steps": 2, "decay_rate": 0.5, "staircase": True},
    "linear_onecycle_schedule": {"transition_steps": 12, "peak_value": 0.1},
    "linear_schedule": {"init_value": 0.1, "end_value": 0.01, "transition_steps": 5, "transition_begin": 3},
    "piecewise_constant_schedule": {"init_value": 0.1, "boundaries_and_scales": {3: 0.5, 8: 0.1}},
    "piecewise_interpolate_schedule": {
        "interpolate_type": "cosine", "init_value": 0.1, "boundaries_and_scales": {3: 0.5, 8: 0.1},
    },
    "polynomial_schedule": {"init_value": 0.1, "end_value": 0.01, "power": 2.0, "transition_steps": 9},
    "sgdr_schedule": {
        "cosine_kwargs": [
            {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 2, "decay_steps": 6, "end_value": 0.01},
            {"init_value": 0.01, "peak_value": 0.05, "warmup_steps": 1, "decay_steps": 9, "end_value": 0.0},
        ],
    },
    "warmup_constant_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 4},
    "warmup_cosine_decay_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "decay_steps": 20},
    "warmup_exponential_decay_schedule": {
        "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 3, "transition_steps": 4, "decay_rate": 0.5,
    },
}  # fmt: skip
WARM = CALLS["warmup_cosine_decay_schedule"]


def test_every_schedule_of_optax_is_trained_with():
    known = {name for name in compat.optax.__all__ if name.endswith(("_schedule", "_decay"))}
    assert known == {*CALLS, "constant_schedule"}


@pytest.mark.parametrize("name", CALLS)
def test_optax(name):
    used = in_a_train_state(optax.sgd(getattr(optax, name)(**CALLS[name])))
    agree("optax", getattr(compat.optax, name)(**CALLS[name]), used, rtol=2e-6)


def test_the_optimizer_of_nnx():
    used = in_nnx(optax.sgd(optax.warmup_cosine_decay_schedule(**WARM)))
    agree("optax", compat.optax.warmup_cosine_decay_schedule(**WARM), used, rtol=FLOAT32)


def test_several_batches_an_update_count_as_one_in_multi_steps():
    several = optax.MultiSteps(optax.sgd(optax.warmup_cosine_decay_schedule(**WARM)), 3)
    moved = in_a_train_state(several.gradient_transformation(), 3 * UPDATES)
    assert max(map(abs, moved[0::3] + moved[1::3])) == 0.0
    agree("optax", compat.optax.warmup_cosine_decay_schedule(**WARM), moved[2::3], rtol=FLOAT32)


def test_several_batches_an_update_count_each_in_apply_every():
    schedule = optax.warmup_cosine_decay_schedule(**WARM)
    # The sum of three gradients is moved by the rate of the third.
    every = optax.chain(optax.apply_every(3), optax.scale_by_learning_rate(schedule))
    moved = [move / 3 for move in in_a_train_state(every, 3 * UPDATES)]
    agree("optax", Batches(compat.optax.warmup_cosine_decay_schedule(**WARM), 3), moved[2::3], rtol=FLOAT32)
