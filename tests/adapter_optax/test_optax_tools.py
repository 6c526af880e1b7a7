"""The Optax adapter inside Optax's wrappers, Flax and Orbax, compiled, scanned and sharded."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("optax")

import jax
import jax.numpy as jnp
import optax
from pickles import globals_of, private

import lrsched_optax
from lrsched import Cosine, Warmup, feedback, rules
from lrsched_optax import from_rule, scale_by_rule

SCHEDULE = Warmup(4) >> Cosine(0.1, 0.001, steps=200)
ADAM = rules.ClipByGlobalNorm(1.0) >> rules.Adam()
PARAMS = {"kernel": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "bias": np.ones(4, np.float32)}


def loss(params):
    return jnp.sum((params["kernel"] ** 2 - 0.5) ** 2) + jnp.sum((params["bias"] - 3.0) ** 2)


def run(optimizer, params=PARAMS, steps=20):
    """Return the parameters and the state after some jitted updates."""

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def assert_same(a, b, tolerance=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)


@pytest.fixture(scope="module")
def expected():
    """The parameters after 20 plain updates."""
    return run(from_rule(ADAM, SCHEDULE))[0]


def test_a_moving_schedule_is_traced_once():
    traces = []
    optimizer = from_rule(ADAM, SCHEDULE)

    @jax.jit
    def step(params, state):
        traces.append(1)
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params, state = jax.tree.map(jnp.asarray, PARAMS), optimizer.init(PARAMS)
    for _ in range(100):
        params, state = step(params, state)
    assert len(traces) == 1


def test_a_rule_is_a_static_argument_that_traces_once_for_equal_rules():
    traces = []

    @jax.jit(static_argnums=0)
    def step(rule, params):
        traces.append(1)
        optimizer = from_rule(rule, 0.1)
        return optimizer.update(params, optimizer.init(params), params)[0]

    for _ in range(3):
        step(rules.ClipByGlobalNorm(1.0) >> rules.Adam(), PARAMS)
    assert len(traces) == 1


def test_a_scan_gives_what_a_loop_gives(expected):
    optimizer = from_rule(ADAM, SCHEDULE)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    params = jax.tree.map(jnp.asarray, PARAMS)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), length=20)
    assert_same(params, expected)


def test_vmap_trains_several_models_at_once(expected):
    optimizer = from_rule(ADAM, SCHEDULE)

    def train(params):
        def step(_, carry):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state, params)
            return optax.apply_updates(params, updates), state

        return jax.lax.fori_loop(0, 20, step, (params, optimizer.init(params)))[0]

    stacked = jax.tree.map(lambda p: jnp.stack([p, p + 1]), PARAMS)
    assert_same(jax.tree.map(lambda p: p[0], jax.vmap(train)(stacked)), expected)


@pytest.mark.parametrize("learning_rate", [SCHEDULE, 0.05], ids=["schedule", "number"])
def test_injected_hyperparameters_train_alike(learning_rate):
    injected = optax.inject_hyperparams(from_rule)(rule=ADAM, learning_rate=learning_rate)
    assert_same(run(injected)[0], run(from_rule(ADAM, learning_rate))[0])


def test_an_injected_schedule_can_be_read():
    injected = optax.inject_hyperparams(from_rule)(rule=ADAM, learning_rate=SCHEDULE)
    _, state = run(injected, steps=7)
    assert float(state.hyperparams["learning_rate"]) == pytest.approx(SCHEDULE(6), rel=1e-6)


def test_an_injected_number_can_be_changed():
    injected = optax.inject_hyperparams(from_rule)(rule=rules.SGD(), learning_rate=0.5)
    state = injected.init(PARAMS)
    state.hyperparams["learning_rate"] = jnp.asarray(0.25)
    updates, _ = jax.jit(injected.update)(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["bias"], -0.25 * PARAMS["bias"])


def test_accumulated_gradients_count_updates_not_batches(expected):
    wrapped = optax.MultiSteps(from_rule(ADAM, SCHEDULE), every_k_schedule=4)
    # Within four batches the parameters stand still, so their average gradient is that of one.
    params, state = run(wrapped, steps=80)
    assert int(state.inner_opt_state.count) == 20
    assert_same(params, expected, 1e-5)


def test_partitioned_parameters_get_their_own_rules():
    optimizer = optax.partition(
        {"a": from_rule(ADAM, SCHEDULE), "b": from_rule(rules.lars(), 0.1), "unused": from_rule(rules.Adam(), 0.1)},
        {"kernel": "b", "bias": "a"},
    )
    both, _ = run(optimizer)
    kernel, _ = run(optax.partition({"b": from_rule(rules.lars(), 0.1), "no": optax.set_to_zero()},
                                    {"kernel": "b", "bias": "no"}))  # fmt: skip
    np.testing.assert_array_equal(both["kernel"], kernel["kernel"])
    # A clip inside the partition sees the norm of its own part only.
    alone = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(SCHEDULE))
    native, _ = run(optax.partition({"a": alone, "no": optax.set_to_zero()}, {"kernel": "no", "bias": "a"}))
    assert_same(both["bias"], native["bias"], 1e-5)


def test_masked_leaves_pass_through():
    optimizer = optax.masked(from_rule(rules.lamb(min_ndim=0), 0.1), {"kernel": True, "bias": False})
    state = optimizer.init(PARAMS)
    updates, _ = jax.jit(optimizer.update)(PARAMS, state, PARAMS)
    np.testing.assert_array_equal(updates["bias"], PARAMS["bias"])
    assert (updates["kernel"] != PARAMS["kernel"]).any()


@pytest.mark.parametrize("rule", [ADAM, rules.SGD(), rules.lamb()], ids=repr)
def test_a_gradient_of_none_leaves_its_parameter_and_slots(rule):
    optimizer = from_rule(rule, 0.1)
    state = optimizer.init(PARAMS)
    updates, after = optimizer.update({"kernel": None, "bias": PARAMS["bias"]}, state, PARAMS)
    assert updates["kernel"] is None
    bias = {"bias": PARAMS["bias"]}
    alone, _ = optimizer.update(bias, optimizer.init(bias), bias)
    np.testing.assert_array_equal(updates["bias"], alone["bias"])
    for slot, old in zip(after.slots, state.slots, strict=True):
        if slot is not None:
            np.testing.assert_array_equal(slot["kernel"], old["kernel"])


@pytest.mark.parametrize("empty", [{}, [], (), None, {"a": None}, {"a": optax.MaskedNode()}])
def test_an_empty_tree_counts_and_nothing_else(empty):
    optimizer = from_rule(ADAM, SCHEDULE)
    updates, state = optimizer.update(empty, optimizer.init(empty), empty)
    assert updates == empty
    assert int(state.count) == 1


@pytest.mark.parametrize("kind", [tuple, list])
def test_parameters_may_be_a_tuple_or_a_list(kind):
    params = kind([jnp.ones(2), jnp.ones((2, 2))])
    optimizer = from_rule(rules.Adam(), 0.5)
    updates, state = optimizer.update(params, optimizer.init(params), params)
    assert type(updates) is type(state.slots.m) is kind
    np.testing.assert_allclose(updates[0], -0.5, rtol=1e-6)


def test_the_norm_runs_over_the_whole_tree():
    optimizer = from_rule(rules.ClipByGlobalNorm(1.0) >> rules.SGD(), 1.0)
    updates, _ = optimizer.update(PARAMS, optimizer.init(PARAMS))
    assert float(optax.tree.norm(updates)) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_wrappers_that_branch_find_equal_dtypes(dtype):
    params = jax.tree.map(lambda p: jnp.asarray(p, dtype), PARAMS)
    optimizer = optax.apply_if_finite(from_rule(ADAM, SCHEDULE), max_consecutive_errors=3)
    updates, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params)
    assert updates["bias"].dtype == dtype


def test_specs_reach_the_slots():
    optimizer = from_rule(ADAM, SCHEDULE)
    specs = optax.tree_map_params(
        optimizer, lambda _, spec: spec, optimizer.init(PARAMS), {"kernel": "K", "bias": "B"},
        transform_non_params=lambda _: None,
    )  # fmt: skip
    assert specs.slots.m == specs.slots.v == {"kernel": "K", "bias": "B"}
    assert specs.count is None


def test_a_slot_is_found_by_its_name():
    _, state = run(optax.chain(scale_by_rule(ADAM), optax.scale_by_learning_rate(SCHEDULE)))
    assert set(optax.tree.get(state, "v")) == {"kernel", "bias"}


def test_schedule_free_takes_our_optimizer():
    optimizer = optax.contrib.schedule_free(from_rule(rules.SGD(), 0.05), learning_rate=0.05)
    native = optax.contrib.schedule_free(optax.sgd(0.05), learning_rate=0.05)
    assert_same(run(optimizer)[0], run(native)[0], 1e-5)


def test_flax_nnx_trains(expected):
    nnx = pytest.importorskip("flax.nnx")

    class Model(nnx.Module):
        def __init__(self):
            self.kernel = nnx.Param(jnp.asarray(PARAMS["kernel"]))
            self.bias = nnx.Param(jnp.asarray(PARAMS["bias"]))

    model = Model()
    optimizer = nnx.Optimizer(model, from_rule(ADAM, SCHEDULE), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        gradients = nnx.grad(lambda m: loss({"kernel": m.kernel[...], "bias": m.bias[...]}))(model)
        optimizer.update(model, gradients)

    for _ in range(20):
        step(model, optimizer)
    assert_same({"kernel": model.kernel[...], "bias": model.bias[...]}, expected)


def test_a_flax_train_state_trains(expected):
    train_state = pytest.importorskip("flax.training.train_state")
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = train_state.TrainState.create(apply_fn=None, params=params, tx=from_rule(ADAM, SCHEDULE))

    @jax.jit
    def step(state):
        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for _ in range(20):
        state = step(state)
    assert int(state.step) == int(state.opt_state.count) == 20
    assert_same(state.params, expected)


def test_orbax_restores_the_state(tmp_path, expected):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    optimizer = from_rule(ADAM, SCHEDULE)
    params, state = run(optimizer, steps=8)
    with checkpoint.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", {"params": params, "state": state})
    fresh = {"params": jax.tree.map(jnp.zeros_like, params), "state": optimizer.init(PARAMS)}
    with checkpoint.StandardCheckpointer() as loader:
        restored = loader.restore(tmp_path / "state", fresh)
    params, state = restored["params"], restored["state"]
    assert type(state) is type(fresh["state"])
    assert int(state.count) == 8
    for _ in range(12):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    assert_same(params, expected)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
from jax.sharding import NamedSharding, PartitionSpec
from lrsched import Cosine, rules
from lrsched_optax import from_rule

mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
rng = np.random.default_rng(0)
plain = {"w": jnp.asarray(rng.normal(size=(8, 6)), jnp.float32), "b": jnp.asarray(rng.normal(size=8), jnp.float32)}
split = {k: jax.device_put(v, NamedSharding(mesh, PartitionSpec("x"))) for k, v in plain.items()}
for rule in (rules.lars(), rules.ClipByGlobalNorm(0.1) >> rules.lamb(min_ndim=0)):
    optimizer = from_rule(rule, Cosine(0.1, 0.0, steps=10))
    results = []
    for params in (plain, split):
        state = jax.jit(optimizer.init)(params)
        for _ in range(3):
            updates, state = jax.jit(optimizer.update)(params, state, params)
            params = optax.apply_updates(params, updates)
        results.append((params, state))
    for leaf in jax.tree.leaves((optimizer.init(split).slots, results[1])):
        assert leaf.ndim == 0 or not leaf.sharding.is_fully_replicated, leaf.sharding
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *results)
print("same")
"""


def test_sharded_parameters_train_as_whole_ones_and_stay_sharded():
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run([sys.executable, "-c", SHARDED], check=False, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "same", done.stderr


def test_pickles_hold_public_names():
    params = {"w": jnp.zeros(2)}
    for item in (
        lrsched_optax.from_rule(rules.Adam(), 0.1).init(params),
        lrsched_optax.scale_by_feedback(feedback.Plateau()).init(params),
        lrsched_optax.from_optax(optax.linear_schedule(1.0, 0.0, 10), 10),
        lrsched_optax.from_rule,
    ):
        assert private(globals_of(pickle.dumps(item))) == set()
