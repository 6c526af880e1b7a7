"""The Optax adapter: rules equal Optax's own optimizers, and `scale_by_rule` equals `from_rule`."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("optax")

import jax
import jax.numpy as jnp
import optax
from rule_samples import SAMPLES

from lrsched import Cosine, Warmup, rules
from lrsched_optax import RuleState, from_rule, scale_by_rule

SCHEDULE = Warmup(5) >> Cosine(0.05, 0.001, steps=20)
STEPS = 12


@dataclasses.dataclass(frozen=True)
class Pair:
    """A rule in Optax's dialect, the optimizer of Optax, and whether the learning rate stands outside the rule."""

    rule: rules.Rule
    native: object
    outside: bool = True


def _layerwise(base, weight_decay, **options):
    return rules.Layerwise(base, weight_decay=weight_decay, denominator="joint", min_ndim=0, **options)


PAIRS = {
    "sgd": Pair(rules.SGD(), optax.sgd),
    "momentum": Pair(rules.Momentum(0.8), lambda lr: optax.sgd(lr, momentum=0.8)),
    "nesterov": Pair(rules.Nesterov(0.8), lambda lr: optax.sgd(lr, momentum=0.8, nesterov=True)),
    "adagrad": Pair(rules.AdaGrad(1e-7, "inside", 0.1), optax.adagrad),
    "rmsprop": Pair(rules.RMSprop(0.9, 1e-4, "inside"), lambda lr: optax.rmsprop(lr, eps=1e-4)),
    "rmsprop outside": Pair(rules.RMSprop(0.9, 1e-4), lambda lr: optax.rmsprop(lr, eps=1e-4, eps_in_sqrt=False)),
    "rmsprop centered": Pair(
        rules.RMSprop(0.9, 1e-4, "inside", centered=True), lambda lr: optax.rmsprop(lr, eps=1e-4, centered=True)
    ),
    "rmsprop momentum": Pair(
        rules.RMSprop(0.9, 1e-4, "inside", momentum=0.7, lr_in_buffer=True),
        lambda lr: optax.rmsprop(lr, eps=1e-4, momentum=0.7),
        outside=False,
    ),
    "adam": Pair(rules.Adam(), optax.adam),
    "adam eps": Pair(rules.Adam(0.8, 0.95, 1e-3), lambda lr: optax.adam(lr, 0.8, 0.95, 1e-3)),
    "adam eps_root": Pair(rules.Adam(eps_root=1e-3), lambda lr: optax.adam(lr, eps_root=1e-3)),
    "amsgrad": Pair(rules.AMSGrad(corrected=True), optax.amsgrad),
    "adamw": Pair(rules.AdamW(weight_decay=0.1), lambda lr: optax.adamw(lr, weight_decay=0.1)),
    "lion": Pair(rules.Lion(), lambda lr: optax.lion(lr, weight_decay=0.0)),
    "lion decayed": Pair(rules.Lion() >> rules.DecoupledWeightDecay(0.1), lambda lr: optax.lion(lr, weight_decay=0.1)),
    "lars": Pair(
        _layerwise(rules.Momentum(0.8, lr_in_buffer=True), 0.1, at="gradient"),
        lambda lr: optax.lars(lr, weight_decay=0.1, momentum=0.8),
        outside=False,
    ),
    "lamb": Pair(
        _layerwise(rules.Adam(eps=1e-6), 0.1, trust_coefficient=1.0), lambda lr: optax.lamb(lr, weight_decay=0.1)
    ),
    "clip, adam": Pair(
        rules.ClipByGlobalNorm(0.5) >> rules.Adam(),
        lambda lr: optax.chain(optax.clip_by_global_norm(0.5), optax.adam(lr)),
    ),
    "clip by value, L2, momentum": Pair(
        rules.ClipByValue(0.5) >> rules.L2(0.1) >> rules.Momentum(0.9),
        lambda lr: optax.chain(optax.clip(0.5), optax.add_decayed_weights(0.1), optax.sgd(lr, 0.9)),
    ),
}
OUTSIDE = {name: pair for name, pair in PAIRS.items() if pair.outside}


def problem(dtype=np.float32):
    """Return parameters and the gradients of some steps, of every rank."""
    rng = np.random.default_rng(0)

    def draw():
        return {"dense": [jnp.asarray(rng.normal(size=shape), dtype) for shape in ((3, 4), (4,))], "scale": dtype(0.7)}

    return draw(), [draw() for _ in range(STEPS)]


def trained(optimizer, params, gradients):
    """Return the parameters after one jitted update a gradient."""

    @jax.jit
    def step(params, state, g):
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for g in gradients:
        params, state = step(params, state, g)
    return params


def assert_moved_alike(ours, theirs, start, tolerance):
    """Compare where two runs went, relative to how far they went."""
    a, b, p = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (ours, theirs, start))
    assert (b != p).all()
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b - p).max())


@pytest.mark.parametrize("name", ["momentum", "rmsprop momentum", "adam", "amsgrad", "adamw", "lion", "lars", "lamb"])
def test_a_rule_is_the_optimizer_of_optax_in_float32(name):
    params, gradients = problem()
    # Optax corrects the bias by 1 - 0.999**t, which float32 gives to 4 digits. LARS moves 1000 times less than the
    # parameters are large, so their own rounding shows.
    tolerance = {"lars": 5e-4}.get(name, 2e-5)
    ours = trained(from_rule(PAIRS[name].rule, SCHEDULE), params, gradients)
    assert_moved_alike(ours, trained(PAIRS[name].native(SCHEDULE), params, gradients), params, tolerance)


@pytest.mark.parametrize("name", PAIRS)
def test_a_rule_is_the_optimizer_of_optax_in_float64(name):
    with jax.enable_x64(True):
        params, gradients = problem(np.float64)
        ours = trained(from_rule(PAIRS[name].rule, SCHEDULE), params, gradients)
        assert jax.tree.leaves(ours)[0].dtype == np.float64
        assert_moved_alike(ours, trained(PAIRS[name].native(SCHEDULE), params, gradients), params, 1e-10)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_scaled_direction_is_the_whole_optimizer(name):
    with jax.enable_x64(True):
        params, gradients = problem(np.float64)
        chain = optax.chain(scale_by_rule(PAIRS[name].rule), optax.scale_by_learning_rate(SCHEDULE))
        whole = trained(from_rule(PAIRS[name].rule, SCHEDULE), params, gradients)
        assert_moved_alike(trained(chain, params, gradients), whole, params, 1e-12)


@pytest.mark.parametrize("name", ["adam", "rmsprop", "lion", "momentum"])
def test_a_direction_takes_the_place_of_the_one_of_optax(name):
    theirs = {
        "adam": optax.scale_by_adam(),
        "rmsprop": optax.scale_by_rms(eps=1e-4),
        "lion": optax.scale_by_lion(),
        "momentum": optax.trace(0.8),
    }[name]
    params, gradients = problem()
    ours = scale_by_rule(PAIRS[name].rule)
    a, _ = jax.jit(ours.update)(gradients[0], ours.init(params), params)
    b, _ = jax.jit(theirs.update)(gradients[0], theirs.init(params), params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), a, b)


@pytest.mark.parametrize(
    "rule",
    [
        *(PAIRS[name].rule for name in PAIRS if not PAIRS[name].outside),
        rules.Momentum(0.9, lr_in_buffer=True),
        rules.lars(),
        rules.Adam() >> rules.ClipByGlobalNorm(1.0),
        rules.Adam() >> rules.ClipByValue(100.0),
        rules.SGD() >> rules.DecoupledWeightDecay(0.1, times_lr=False),
        rules.Layerwise(rules.SGD(), clip=True),
    ],
    ids=repr,
)
def test_a_rule_with_the_learning_rate_inside_has_no_direction(rule):
    with pytest.raises(ValueError, match=r"proportional to the learning rate, got .*; write from_rule"):
        scale_by_rule(rule)


def test_the_trust_ratio_at_the_update_takes_the_learning_rate_out_of_the_buffer():
    assert isinstance(scale_by_rule(rules.Layerwise(rules.Momentum(lr_in_buffer=True))), optax.GradientTransformation)


def test_update_number_zero_uses_the_learning_rate_of_step_zero():
    optimizer = from_rule(rules.SGD(), Cosine(0.5, 0.0, steps=4))
    state = optimizer.init(jnp.ones(1))
    used = []
    for _ in range(6):
        updates, state = optimizer.update(jnp.ones(1), state)
        used.append(-float(updates[0]))
    # sin(pi / 2 * (4 - t) / 4)**2 / 2: 1/2, (2 + sqrt 2) / 8, 1/4, (2 - sqrt 2) / 8, 0, 0
    np.testing.assert_allclose(used, [0.5, 0.426777, 0.25, 0.073223, 0.0, 0.0], atol=1e-6)


@pytest.mark.parametrize("learning_rate", [0.5, 1, np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.array(0.5)])
def test_a_constant_learning_rate_may_be_any_scalar(learning_rate):
    optimizer = from_rule(rules.SGD(), learning_rate)
    updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
    np.testing.assert_array_equal(updates, -float(learning_rate) * np.ones(2))
    assert updates.dtype == np.float32


def test_the_schedules_of_optax_are_learning_rates_too():
    params, gradients = problem()
    schedule = optax.exponential_decay(0.1, 3, 0.5)
    ours = trained(from_rule(rules.Adam(), schedule), params, gradients)
    assert_moved_alike(ours, trained(optax.adam(schedule), params, gradients), params, 1e-5)


@pytest.mark.parametrize("learning_rate", ["0.1", None, True, [0.1], 1j, jnp.array(True)])
def test_a_learning_rate_of_another_kind_is_refused(learning_rate):
    with pytest.raises(TypeError, match=r"learning_rate=.* must be a number"):
        from_rule(rules.SGD(), learning_rate)


def test_a_learning_rate_for_each_element_is_refused():
    with pytest.raises(ValueError, match=r"learning_rate=.*, got an array of shape \(3,\)"):
        from_rule(rules.SGD(), jnp.ones(3))


@pytest.mark.parametrize("build", [lambda rule: from_rule(rule, 0.1), scale_by_rule])
@pytest.mark.parametrize("rule", ["Adam()", None, optax.adam(0.1), rules.Adam, rules.L2(0.1)])
def test_what_is_no_rule_is_refused(build, rule):
    with pytest.raises(TypeError, match="must be a rule such as"):
        build(rule)


@pytest.mark.parametrize("leaf", [np.arange(3), np.array([True]), np.array([1j]), 3])
def test_a_parameter_that_is_not_floating_point_is_refused(leaf):
    with pytest.raises(TypeError, match=r"init\(params\)\['a'\]\[0\] must be an array of float16"):
        from_rule(rules.SGD(), 0.1).init({"a": [leaf]})


@pytest.mark.parametrize("name", [name for name in PAIRS if PAIRS[name].rule.init(np.ones(1)) != () or name == "sgd"])
def test_parameters_are_asked_for_where_the_rule_needs_them(name):
    rule = PAIRS[name].rule
    needed = any(word in repr(rule) for word in ("Layerwise", "L2", "DecoupledWeightDecay"))
    optimizer = from_rule(rule, 0.1)
    gradients = {"w": jnp.ones((2, 2))}
    state = optimizer.init(gradients)
    if needed:
        with pytest.raises(ValueError, match=r"needs the parameters: write update\(updates, state, params\)"):
            optimizer.update(gradients, state)
    else:
        without, _ = optimizer.update(gradients, state)
        given, _ = optimizer.update(gradients, state, {"w": jnp.full((2, 2), 5.0)})
        np.testing.assert_array_equal(without["w"], given["w"])


@pytest.mark.parametrize("part", [rules.L1(0.1), rules.L2(0.1)])
def test_every_use_of_a_missing_parameter_raises(part):
    optimizer = from_rule(part >> rules.SGD(), 0.1)
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))


def test_the_state_holds_a_tree_like_the_parameters_for_each_slot():
    params, _ = problem()
    state = from_rule(rules.Adam(), 0.1).init(params)
    assert isinstance(state, RuleState)
    assert jax.tree.structure(state.slots.m) == jax.tree.structure(params)
    assert state.slots.v_max is None
    assert (state.count.dtype, state.count.shape) == (np.int32, ())


def test_the_count_stays_at_the_largest_int32():
    optimizer = from_rule(rules.Adam(), SCHEDULE)
    state = optimizer.init(jnp.ones(1))._replace(count=jnp.array(2**31 - 1, jnp.int32))
    updates, state = optimizer.update(jnp.ones(1), state)
    assert int(state.count) == 2**31 - 1
    assert np.isfinite(updates).all()


@pytest.mark.parametrize(
    ("p", "g", "expected"),
    [
        (jnp.float32, jnp.float32, jnp.float32),
        (jnp.bfloat16, jnp.bfloat16, jnp.bfloat16),
        (jnp.float16, jnp.float16, jnp.float16),
        (jnp.float32, jnp.bfloat16, jnp.float32),
    ],
)
def test_updates_have_the_wider_dtype_and_moments_are_float32(p, g, expected):
    optimizer = from_rule(rules.Adam(), 0.1)
    params = jnp.ones(3, p)
    updates, state = optimizer.update(jnp.ones(3, g), optimizer.init(params), params)
    assert updates.dtype == expected
    assert state.slots.m.dtype == state.slots.v.dtype == jnp.float32


def test_bfloat16_parameters_do_not_stall():
    params = jnp.ones(4, jnp.bfloat16)
    moved = trained(from_rule(rules.Adam(), 0.1), params, [params] * 3)
    # Each step of Adam on a constant gradient is the learning rate: 1 - 3 * 0.1, in steps of 2**-8.
    np.testing.assert_allclose(np.asarray(moved, np.float32), 0.7, atol=2**-7)


def test_parameters_of_different_precision_keep_their_own():
    with jax.enable_x64(True):
        params = {"a": jnp.ones(3, jnp.float32), "b": jnp.ones(2, jnp.float64)}
        optimizer = from_rule(rules.ClipByGlobalNorm(1.0) >> rules.Adam(), 0.1)
        updates, state = jax.jit(optimizer.update)(params, optimizer.init(params), params)
        for tree in (updates, state.slots.m, state.slots.v):
            assert [leaf.dtype for leaf in jax.tree.leaves(tree)] == [np.float32, np.float64]


@pytest.mark.filterwarnings("error:Some donated buffers were not usable")
@pytest.mark.parametrize("name", ["momentum", "rmsprop momentum", "adam", "amsgrad", "lars", "lamb", "clip, adam"])
def test_donated_buffers_take_the_results(name):
    optimizer = from_rule(PAIRS[name].rule, SCHEDULE)
    params, (g, *_) = problem()

    def step(params, state, g):
        updates, state = optimizer.update(g, state, params)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    donated = jax.tree.leaves((params, state))
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, g).compile()
    header = compiled.as_text().splitlines()[0]
    assert header.count("-alias)") == len(donated)
    jax.block_until_ready(compiled(params, state, g))
    assert all(x.is_deleted() for x in donated)


LATE = [rules.ScheduleFree(rules.SGD()), rules.Split(rules.Prodigy(d0=0.1), rules.ScheduleFree(rules.SGD()), 0)]
WRAPPED = {
    "alone": lambda optimizer: optimizer,
    "masked": lambda optimizer: optax.masked(optimizer, {"a": True, "b": True}),
    "multi_transform": lambda optimizer: optax.multi_transform({"all": optimizer}, {"a": "all", "b": "all"}),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize(
    "rule", [*LATE, *(pytest.param(sample.rule, marks=pytest.mark.slow) for sample in SAMPLES)], ids=repr
)
def test_a_parameter_whose_first_gradient_comes_late_begins_where_it_is(rule, wrap):
    optimizer = wrap(from_rule(rule, 0.1))
    params = {"a": jnp.array([[1.0, -2.0], [0.5, 0.25]]), "b": jnp.full((2, 2), 5.0)}
    state, host = optimizer.init(params), jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    slots = rules.init(rule, host)
    for t in range(6):
        grads = {"a": np.cos(host["a"] + t), "b": np.sin(host["b"] + t) if t in (2, 3, 5) else None}
        updates, state = optimizer.update(grads, state, params)
        params = {name: p if updates[name] is None else p + updates[name] for name, p in params.items()}
        host, slots = rules.apply(rule, host, grads, slots, lr=0.1, step=t)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), params, host)
    assert np.all(np.abs(params["b"] - 5.0) < 4.9)  # not at 0


PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
ADAM = from_rule(rules.Adam(), 0.1)


@pytest.mark.parametrize(
    "rate",
    [float("nan"), float("inf"), -0.1, np.float64("nan"), 10**400, jnp.asarray(-1.0)],
    ids=["nan", "inf", "negative", "NumPy", "huge", "JAX"],
)
def test_a_learning_rate_that_is_no_rate_is_refused_when_the_optimizer_is_built(rate):
    with pytest.raises(ValueError, match=r"from_rule\(learning_rate=\.\.\.\) must be .* finite and >= 0, got"):
        from_rule(rules.SGD(), rate)


@pytest.mark.parametrize("schedule", [Warmup(10), Warmup(5) >> Warmup(3)], ids=repr)
def test_a_schedule_without_a_height_is_refused_when_the_optimizer_is_built(schedule):
    with pytest.raises(ValueError, match=r"from_rule\(learning_rate=\.\.\.\) must be a complete schedule: Warmup"):
        from_rule(rules.SGD(), schedule)


@pytest.mark.parametrize("result", [None, "x", 1j, optax.sgd(0.1)], ids=["None", "text", "complex", "optimizer"])
def test_a_function_that_returns_no_rate_is_named(result):
    with pytest.raises(TypeError, match=r"from_rule\(learning_rate=\.\.\.\) must return a number or a 0-d array, got"):
        from_rule(rules.SGD(), lambda count: result)
    late = from_rule(rules.SGD(), lambda count: result if isinstance(count, jax.core.Tracer) else 0.1)
    with pytest.raises(TypeError, match=r"from_rule\(learning_rate=\.\.\.\) must return a number or a 0-d array, got"):
        jax.jit(late.update)(PARAMS, late.init(PARAMS), PARAMS)


@pytest.mark.parametrize("rate", [jnp.ones(3), float("nan"), float("inf"), -0.1, jnp.asarray(jnp.nan)], ids=repr)
def test_a_function_that_begins_with_no_rate_is_refused_when_the_optimizer_is_built(rate):
    with pytest.raises(ValueError, match=r"from_rule\(learning_rate=\.\.\.\) must return a number or a 0-d array.*got"):
        from_rule(rules.SGD(), lambda count: rate)


def test_a_function_that_cannot_be_asked_yet_is_asked_later():
    rates = {}
    optimizer = from_rule(rules.SGD(), lambda count: rates["lr"])
    rates["lr"] = 0.5
    np.testing.assert_array_equal(optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))[0], [-0.5, -0.5])


def replaced(**leaves):
    return {**PARAMS, **leaves}


@pytest.mark.parametrize("params", [PARAMS, None], ids=["params", "None"])
@pytest.mark.parametrize(
    ("updates", "message"),
    [
        (replaced(w=jnp.ones((2, 3), complex)), r"update\(updates\)\['w'\] must be an array of .*, got complex64"),
        (replaced(b=jnp.ones(3, int)), r"update\(updates\)\['b'\] must be an array of .*, got int"),
        (replaced(w=jnp.ones((1, 3))), r"update\((updates|state)\)\['w'\].* must have the shape \([12], 3\), got"),
        (replaced(w=1.0), r"update\((updates|state)\)\['w'\].* must have the shape"),
        ({"w": PARAMS["w"]}, r"update\((params|state)\) must have the containers of the updates"),
        (replaced(c=jnp.ones(1)), r"update\((params|state)\) must have the containers of the updates"),
    ],
    ids=["complex", "integer", "broadcast", "number", "fewer", "more"],
)
def test_gradients_that_do_not_fit_are_refused_as_rules_apply_refuses_them(updates, message, params):
    for update in (ADAM.update, jax.jit(ADAM.update)):
        with pytest.raises((TypeError, ValueError), match=message):
            update(updates, ADAM.init(PARAMS), params)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (optax.adam(0.1).init(PARAMS), "got a tuple"),
        (from_rule(rules.Momentum(), 0.1).init(PARAMS), "with slots MomentumSlots"),
        (from_rule(rules.AMSGrad(), 0.1).init(PARAMS), "with slots AdamSlots"),
        (ADAM.init(PARAMS)._replace(count=jnp.asarray(0.5)), "a whole number as count"),
        (ADAM.init(PARAMS)._replace(count=-1), "a count >= 0"),
        (ADAM.init({"w": PARAMS["w"]}), r"update\(state\) must have the containers"),
        (jax.tree.map(lambda x: x[..., :1] if x.ndim else x, ADAM.init(PARAMS)), r"\['b'\].m must have the shape"),
        (jax.tree.map(lambda x: x.astype(int), ADAM.init(PARAMS)), r"\(state\)\['b'\].m must be an array of"),
    ],
    ids=["Optax", "another rule", "AMSGrad", "count", "negative", "other parameters", "shape", "integer"],
)
def test_a_state_that_does_not_fit_is_refused(state, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ADAM.update(PARAMS, state, PARAMS)


def test_a_state_that_a_compiled_function_holds_as_a_constant_is_taken():
    state = ADAM.init(PARAMS)
    expected, _ = ADAM.update(PARAMS, state, PARAMS)
    found, _ = jax.jit(lambda g: ADAM.update(g, state, PARAMS))(PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)
    negative = state._replace(count=jnp.asarray(-1))
    with pytest.raises(ValueError, match="a count >= 0"):
        jax.jit(lambda g: ADAM.update(g, negative, PARAMS))(PARAMS)


def test_muon_says_without_the_parameters_too_that_it_needs_matrices():
    optimizer = from_rule(rules.Muon(), 0.1)
    with pytest.raises(ValueError, match=r"Muon must get matrices; .* got one of shape \(3,\)"):
        optimizer.update(PARAMS, optimizer.init(PARAMS))
    with pytest.raises(ValueError, match=r"Adafactor\(\) needs the parameters: write update"):
        from_rule(rules.Adafactor(), 0.1).update(PARAMS, from_rule(rules.Adafactor(), 0.1).init(PARAMS))


@pytest.mark.parametrize("rule", [rules.RAdam(), rules.RAdam(b2=0.75), rules.AMSGrad()], ids=repr)
def test_the_gradient_through_updates_is_the_same_backwards_forwards_and_compiled(rule):
    optimizer = from_rule(rule, 0.1)
    # RAdam has no root in its first updates: a gradient of 0 does no harm then.
    start = jnp.array([0.5, 2.0, 0.0 if isinstance(rule, rules.RAdam) else 1.0])

    def trained(x):
        p, state = x * start, optimizer.init(start)
        for t in range(3):
            updates, state = optimizer.update(p * jnp.cos(p + t), state, p)
            p = p + updates
        return jnp.sum(jnp.sin(p))

    with jax.enable_x64(True):
        x = jnp.asarray(1.3)
        forward = jax.jvp(trained, (x,), (jnp.ones_like(x),))[1]
        np.testing.assert_allclose(jax.grad(trained)(x), forward, rtol=1e-4)
        np.testing.assert_allclose(jax.jit(jax.grad(trained))(x), forward, rtol=1e-4)


ROOTS = [
    rules.ClipByGlobalNorm(0.5) >> rules.Adam(),
    PAIRS["lars"].rule,
    *(
        pytest.param(rule, marks=pytest.mark.slow)
        for rule in (
            rules.AdaGrad(),
            PAIRS["lamb"].rule,
            rules.Adafactor(),
            rules.NovoGrad(),
            rules.NAdam(),
            rules.Adan(),
            rules.Prodigy(),
        )
    ),
]


@pytest.mark.parametrize("rule", ROOTS, ids=repr)
def test_gradients_through_updates_are_finite_at_zeros_and_right_beside_them(rule):
    optimizer = from_rule(rule, 0.1)

    def trained(x, start):
        p, state = x * start, optimizer.init(start)
        for t in range(2):
            updates, state = optimizer.update(jnp.sin(p + t) * p, state, p)
            p = p + updates
        return jnp.sum(jnp.cos(p))

    value, gradient = jax.jit(trained), jax.jit(jax.grad(trained, (0, 1)))
    with jax.enable_x64(True):
        for start in (jnp.zeros((2, 2)), jnp.array([[0.0, 1.0], [0.0, -2.0]])):
            assert all(np.isfinite(found).all() for found in gradient(1.3, start))
        start, h = jnp.array([[0.5, 1.0], [-0.25, -2.0]]), 1e-6
        numerical = (value(1.3 + h, start) - value(1.3 - h, start)) / (2.0 * h)
        np.testing.assert_allclose(gradient(1.3, start)[0], numerical, rtol=1e-5, atol=1e-8)


def test_the_compiled_gradient_through_a_maximum_of_equal_numbers_is_not_lost():
    optimizer = from_rule(rules.AMSGrad(corrected=True), 0.1)
    start = jnp.array([0.5, -2.0, 1.0])

    def trained(x):
        p, state = x * start, optimizer.init(start)
        for _ in range(4):
            updates, state = optimizer.update(0.0 * p + x, state, p)
            p = p + updates
        return jnp.sum(jnp.sin(3.0 * p))

    # Each update is -0.1, whatever x: the derivative is that of the sum of sin(3 (x s - 0.4)).
    with jax.enable_x64(True):
        expected = np.sum(3.0 * np.asarray(start) * np.cos(3.0 * (1.3 * np.asarray(start) - 0.4)))
        np.testing.assert_allclose(jax.jit(jax.grad(trained))(jnp.asarray(1.3)), expected, rtol=1e-4)
