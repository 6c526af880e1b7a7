"""Update rules on JAX arrays: agreement with Optax over 50 steps, tracing, sharding."""

from functools import partial
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

from lrsched import rules  # noqa: E402

# The last two tensors are a parameter of zeros, and one whose gradient is always zero.
SHAPES = [(), (0,), (3,), (4, 5), (2, 3, 4), (2, 2), (2, 2)]
STEPS = 50


def rate(t: Any) -> Any:
    return 0.01 * (1 + t % 7)


EVERYTHING = {"min_ndim": 0}
PAIRS = [
    (rules.SGD(), optax.sgd(rate)),
    (rules.Momentum(0.9), optax.sgd(rate, momentum=0.9)),
    (rules.Nesterov(0.9), optax.sgd(rate, momentum=0.9, nesterov=True)),
    (rules.AdaGrad(eps=1e-3, eps_at="inside", initial=0.1), optax.adagrad(rate, eps=1e-3)),
    (rules.RMSprop(0.9, eps=1e-3, eps_at="inside"), optax.rmsprop(rate, eps=1e-3)),
    (rules.RMSprop(0.9, eps=1e-3), optax.rmsprop(rate, eps=1e-3, eps_in_sqrt=False)),
    (
        rules.RMSprop(0.9, 1e-3, "inside", momentum=0.8, centered=True, nesterov=True, lr_in_buffer=True),
        optax.rmsprop(rate, eps=1e-3, centered=True, momentum=0.8, nesterov=True),
    ),
    (
        rules.RMSprop(0.9, 1e-3, "inside", centered=True, bias_correction=True),
        optax.rmsprop(rate, eps=1e-3, centered=True, bias_correction=True),
    ),
    (
        rules.RMSprop(0.9, 1e-3, "inside", initial=1.0, bias_correction=True),
        optax.rmsprop(rate, eps=1e-3, initial_scale=1.0, bias_correction=True),
    ),
    (rules.Adam(), optax.adam(rate)),
    (rules.Adam(0.8, 0.99, 1e-3, eps_root=1e-2), optax.adam(rate, b1=0.8, b2=0.99, eps=1e-3, eps_root=1e-2)),
    (rules.AMSGrad(eps=1e-3, corrected=True), optax.amsgrad(rate, eps=1e-3)),
    (
        rules.Adam(eps=1e-3, amsgrad="raw", correct_m=False, correct_v=False),
        optax.chain(
            optax.scale_by_amsgrad(eps=1e-3, bias_correction_mu=False, bias_correction_nu=False),
            optax.scale_by_learning_rate(rate),
        ),
    ),
    (rules.AdamW(weight_decay=0.1), optax.adamw(rate, weight_decay=0.1)),
    (rules.Lion(), optax.lion(rate, weight_decay=0.0)),
    (rules.Lion(0.8, 0.9) >> rules.DecoupledWeightDecay(0.1), optax.lion(rate, b1=0.8, b2=0.9, weight_decay=0.1)),
    (
        rules.Layerwise(rules.Momentum(0.9, lr_in_buffer=True), 1e-2, 0.1, "gradient", "joint", **EVERYTHING),
        optax.lars(rate, weight_decay=0.1, trust_coefficient=1e-2),
    ),
    (
        rules.Layerwise(rules.Nesterov(0.9, lr_in_buffer=True), 1e-3, at="gradient", eps=1e-8, **EVERYTHING),
        optax.lars(rate, nesterov=True, eps=1e-8),
    ),
    (rules.lamb(weight_decay=0.1, **EVERYTHING), optax.lamb(rate, weight_decay=0.1)),
    (rules.lamb(weight_decay=0.0, **EVERYTHING), optax.lamb(rate)),
    (rules.ClipByGlobalNorm(0.5) >> rules.SGD(), optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(rate))),
    (rules.ClipByValue(0.5) >> rules.Adam(), optax.chain(optax.clip(0.5), optax.adam(rate))),
]
ids = [repr(rule) for rule, _ in PAIRS]


def tensors(seed: int, dtype: Any, zero: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    arrays = [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]
    arrays[zero][...] = 0
    return arrays


def start(dtype: Any) -> list[Any]:
    return [jnp.asarray(p) for p in tensors(0, dtype, -2)]


def gradients(dtype: Any, t: int) -> list[Any]:
    return tensors(100 + t, dtype, -1)


# The compiler shall save time: what it makes of 23 rules runs 50 steps on small arrays.
quick = partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})


@quick
def their_step(optimizer: Any, ps: Any, gs: Any, state: Any) -> Any:
    updates, state = optimizer.update(gs, state, ps)
    return optax.apply_updates(ps, updates), state


@quick
def our_step(rule: rules.Rule, ps: Any, gs: Any, slots: Any, lr: Any, step: Any) -> Any:
    return rules.apply(rule, ps, gs, slots, lr=lr, step=step)


def theirs(optimizer: Any, dtype: Any) -> list[Any]:
    ps = start(dtype)
    state = optimizer.init(ps)
    for t in range(STEPS):
        ps, state = their_step(optimizer, ps, gradients(dtype, t), state)
    return ps


def ours(rule: rules.Rule, dtype: Any) -> list[Any]:
    ps = start(dtype)
    slots = rules.init(rule, ps)
    for t in range(STEPS):
        ps, slots = our_step(rule, ps, gradients(dtype, t), slots, rate(t), t)
    return ps


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    # relative to the largest element: parameters pass through zero
    scale = max([1.0, *(float(abs(q).max()) for q in expected if q.size)])
    for p, q in zip(found, expected, strict=True):
        assert p.dtype == q.dtype
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.slow  # in every run the same rules agree with Optax on NumPy
@pytest.mark.parametrize(("rule", "optimizer"), PAIRS, ids=ids)
def test_a_rule_agrees_with_optax_in_float64(rule: rules.Rule, optimizer: Any):
    with jax.enable_x64(True):
        assert_close(ours(rule, jnp.float64), theirs(optimizer, jnp.float64), 1e-10)


@pytest.mark.slow  # in every run the same rules agree with Optax on NumPy
@pytest.mark.parametrize(("rule", "optimizer"), PAIRS, ids=ids)
def test_a_rule_agrees_with_optax_in_float32(rule: rules.Rule, optimizer: Any):
    # Optax computes 1 - b**t in float32, which is off by 5e-5 at b = 0.999, t = 1.
    tolerance = 1e-4 if "Adam" in repr(rule) else 1e-5
    if "centered" in repr(rule):
        tolerance = 1e-3  # the first variance is a difference of equal numbers
    assert_close(ours(rule, jnp.float32), theirs(optimizer, jnp.float32), tolerance)


@pytest.mark.parametrize("rule", [rule for rule, _ in PAIRS[::4]], ids=repr)
def test_tracing_changes_nothing(rule: rules.Rule):
    ps, gs = start(jnp.float32), [jnp.asarray(g) for g in gradients(jnp.float32, 0)]
    slots = rules.init(rule, ps)
    eager = rules.apply(rule, ps, gs, slots, lr=0.01, step=3)
    traced = our_step(rule, ps, gs, slots, 0.01, 3)
    assert jax.tree.structure(eager) == jax.tree.structure(traced)
    for p, q in zip(jax.tree.leaves(eager), jax.tree.leaves(traced), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6)


def test_equal_rules_share_one_trace_for_all_rates_and_steps():
    traces = []

    def update(rule: rules.Rule, p: Any, g: Any, slots: Any, lr: Any, step: Any) -> Any:
        traces.append(rule)
        return rule.delta(p, g, slots, lr=lr, step=step)

    compiled = jax.jit(update, static_argnums=0)
    p = jnp.ones(3)
    slots = rules.Adam().init(p)
    for t in range(4):
        rule = rules.ClipByGlobalNorm(1.0) >> rules.Adam() >> rules.DecoupledWeightDecay(0.1)
        _, slots = compiled(rule, p, p, slots, rate(t), t)
    assert len(traces) == 1
    compiled(rules.Adam(0.8), p, p, slots, 0.1, 0)
    assert len(traces) == 2


def test_a_whole_run_fits_in_a_scan():
    rule, p = rules.AMSGrad(), jnp.ones((2, 2), jnp.bfloat16)

    def body(carry: Any, t: Any) -> Any:
        q, slots = carry
        return rules.apply(rule, q, q, slots, lr=0.1, step=t), None

    (last, _), _ = jax.lax.scan(body, (p, rule.init(p)), jnp.arange(3))
    assert last.dtype == jnp.bfloat16
    np.testing.assert_allclose(last.astype(np.float32), 0.7, atol=0.02)


def test_a_rule_maps_over_a_batch_of_learning_rates():
    rule, p = rules.lars(), jnp.ones((2, 2))
    found = jax.vmap(lambda lr: rule.delta(p, p, rule.init(p), lr=lr, step=0)[0])(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-6)


def test_a_strong_float64_rate_does_not_widen_a_float32_parameter():
    with jax.enable_x64(True):
        p = jnp.ones(2, jnp.float32)
        delta, slots = rules.Adam().delta(p, p, rules.Adam().init(p), lr=jnp.float64(0.1), step=jnp.int64(0))
    assert (delta.dtype, slots.m.dtype) == (np.float32, np.float32)


def test_bfloat16_parameters_move_under_jit():
    rule, p = rules.Adam(), jnp.ones(3, jnp.bfloat16)
    slots = rule.init(p)
    for t in range(3):
        p, slots = our_step(rule, p, jnp.ones_like(p), slots, 0.1, t)
    np.testing.assert_allclose(p.astype(np.float32), 0.7, atol=0.02)


@pytest.mark.parametrize("step", [0, 10**3, 2**24 + 1, 2**31 - 1])
def test_a_traced_step_may_be_large(step: int):
    rule, p = rules.Adam(), jnp.ones(1)
    traced, _ = jax.jit(lambda t: rule.delta(p, p, rule.init(p), lr=1.0, step=t))(step)
    host, _ = rule.delta(p, p, rule.init(p), lr=1.0, step=step)
    np.testing.assert_allclose(traced, host, rtol=1e-6)


@pytest.mark.parametrize(
    "rule", [rules.lars(), rules.lamb(), rules.NovoGrad(), rules.ClipByGlobalNorm(0.1) >> rules.Adam()], ids=repr
)
def test_shards_with_summed_norms_give_what_the_whole_gives(rule: rules.Rule):
    # `vmap` with an axis name stands for two devices that hold half of the rows each.
    ps, gs = [jnp.asarray(x, jnp.float32) for x in np.random.default_rng(0).normal(size=(2, 3, 4, 5))]
    ps, gs = list(ps), list(gs)
    whole, _ = rules.apply(rule, ps, gs, rules.init(rule, ps), lr=0.1, step=0)
    xp = rules.ops_of(ps[0])
    assert xp is not None

    def sums(arrays: Any, owners: Any) -> list[Any]:
        return list(jax.lax.psum(jnp.stack([x.sum() for x in arrays]), "shards"))

    def shard(ps: Any, gs: Any) -> Any:
        context = rules.Context(xp, 0.1, 0, (2,) * len(ps), sums, lambda arrays: sum(sums(arrays, range(len(ps)))))
        updates, _ = rule.body(context, ps, gs, rules.init(rule, ps))
        return [p - u for p, u in zip(ps, updates, strict=True)]

    halves = jax.vmap(shard, axis_name="shards")([p.reshape(2, 2, 5) for p in ps], [g.reshape(2, 2, 5) for g in gs])
    for p, q in zip(halves, whole, strict=True):
        np.testing.assert_allclose(p.reshape(4, 5), q, rtol=1e-5, atol=1e-7)


JOINT = rules.Layerwise(rules.Momentum(0.9, lr_in_buffer=True), 0.1, 0.01, "gradient", "joint")
AHEAD = [
    rules.lamb(),
    rules.Layerwise(rules.Adam(), 0.1, denominator="plain", min_ndim=0),
    JOINT,
    rules.Layerwise(rules.RMSprop(0.9, momentum=0.5), weight_decay=0.1, denominator="joint", min_ndim=0),
    rules.ClipByNorm(1.0) >> rules.lamb() >> rules.ClipByNorm(0.01),
    rules.ClipByGlobalNorm(1.0) >> rules.lamb() >> rules.ClipByGlobalNorm(0.02),
]


@pytest.mark.skipif(jax.device_count() > 1, reason="needs one device")
@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.bfloat16, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", [AHEAD[0], *(pytest.param(r, marks=pytest.mark.slow) for r in AHEAD[1:])], ids=repr)
def test_norms_taken_ahead_in_pieces_change_nothing(rule: rules.Rule, dtype: Any, monkeypatch: pytest.MonkeyPatch):
    """Tensors of a part of a piece, of whole pieces, and of pieces with a rest; in front of a scalar and a vector."""
    monkeypatch.setattr("lrsched.rules._ops.jax_sums.LARGE", 64)
    monkeypatch.setattr("lrsched.rules._ops.jax_sums.PIECE", 32)
    shapes = [(), (3,), (70,), (8, 8), (5, 13), (7, 11, 3), (4, 4)]
    rng = np.random.default_rng(0)
    ps = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    gs = [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]
    whole, pieces = ((ps, rules.init(rule, ps)) for _ in range(2))
    step = jax.jit(partial(rules.apply, rule, lr=0.1))
    for t in range(4):
        whole = rules.apply(rule, whole[0], gs, whole[1], lr=0.1, step=t)
        pieces = step(pieces[0], gs, pieces[1], step=jnp.asarray(t))
    tolerance = 2e-6 if dtype == jnp.float32 else 1e-2
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(pieces), strict=True):
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=tolerance, atol=tolerance)
    assert "while" in step.lower(ps, gs, rules.init(rule, ps), step=0).as_text()


@pytest.mark.skipif(jax.device_count() > 1, reason="needs one device")
@pytest.mark.parametrize("rule", [rules.lamb(), JOINT, rules.lars()], ids=repr)
def test_a_large_tensor_needs_no_memory_beside_itself(rule: rules.Rule):
    p = jax.ShapeDtypeStruct((1 << 10, 1 << 10), jnp.float32)
    step = jax.jit(partial(rules.apply, rule, lr=0.1), donate_argnums=(0, 2))
    compiled = step.lower([p], [p], rules.init(rule, [jnp.zeros(p.shape)]), step=jnp.asarray(0)).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < p.size  # of 4 bytes each


@pytest.mark.skipif(jax.device_count() > 1, reason="needs one device")
def test_norms_taken_ahead_map_and_differentiate(monkeypatch: pytest.MonkeyPatch):
    def moved(lr: Any, p: Any) -> Any:
        (new,), _ = rules.apply(rule, [p], [g], slots, lr=lr, step=0)
        return jnp.sum(new * new)

    rule, p = rules.lamb(), jnp.arange(1.0, 201.0).reshape(10, 20)
    g, slots = jnp.cos(p), rules.init(rule, [p])
    rates = jnp.array([0.1, 0.2])
    expected = [jax.vmap(moved, (0, None))(rates, p), jax.jit(jax.grad(moved))(0.1, p)]
    monkeypatch.setattr("lrsched.rules._ops.jax_sums.LARGE", 64)
    monkeypatch.setattr("lrsched.rules._ops.jax_sums.PIECE", 32)
    jax.clear_caches()
    found = [jax.jit(jax.vmap(moved, (0, None)))(rates, p), jax.jit(jax.grad(moved))(0.1, p)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
