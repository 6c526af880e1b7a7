"""`scale_by_feedback` and the range test in the live JAX: updates times the factor, under jit and scan alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("optax")

import jax
import jax.numpy as jnp
import optax

from lrsched import Linear, feedback, rules
from lrsched_optax import from_rule, run_range_test, scale_by_feedback

RULES = [
    feedback.Plateau(factor=0.5, patience=1),
    feedback.GreedyLR(patience=1),
    feedback.NewBob(),
    feedback.KLAdaptive(target=2.0, band=1.125),
    feedback.DecayOnPlateauThenStop(),
    feedback.EarlyStopping(patience=2),
]
METRICS = [3.0, 2.0, 2.5, 2.5, float("nan"), 2.25, 1.0, 1.25, 1.125, 1.25, 1.25]
HALVE = feedback.Plateau(factor=0.5, patience=0)
PARAMS = {"w": jnp.ones(2), "b": jnp.zeros(())}
GRADIENTS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}

OURS = scale_by_feedback(feedback.Plateau(factor=0.5, patience=2, dialect="optax"))
NATIVE = optax.contrib.reduce_on_plateau(factor=0.5, patience=2)
OURS_UPDATE, NATIVE_UPDATE = jax.jit(OURS.update), jax.jit(NATIVE.update)


def factors(rule, seen):
    """Return the factor after each observation, by the rule in Python."""
    state, found = rule.init(), []
    for metric in seen:
        state, factor = rule.update(state, metric)
        found.append(factor)
    return found


def run(transform, seen, update=None):
    """Return what each update makes of a gradient of ones."""
    update = update or transform.update
    state, found = transform.init(jnp.ones(1)), []
    for metric in seen:
        updates, state = update(jnp.ones(1), state, value=metric)
        found.append(float(updates[0]))
    return found


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_updates_are_multiplied_by_the_factor(rule):
    assert run(scale_by_feedback(rule), METRICS) == pytest.approx(factors(rule, METRICS), rel=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_jit_compiles_once_and_changes_nothing(rule):
    transform = scale_by_feedback(rule)
    update = jax.jit(transform.update)
    assert run(transform, METRICS, update) == pytest.approx(run(transform, METRICS), rel=1e-6)
    assert update._cache_size() == 1


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_scan_carries_the_state(rule):
    transform = scale_by_feedback(rule)

    def step(state, value):
        updates, state = transform.update(jnp.ones(()), state, value=value)
        return state, updates

    _, found = jax.lax.scan(step, transform.init(jnp.ones(())), jnp.array(METRICS))
    np.testing.assert_allclose(found, factors(rule, METRICS), rtol=1e-6)


@settings(max_examples=20)
@given(seen=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30))
def test_it_equals_the_plateau_rule_of_optax(seen):
    assert run(OURS, seen, OURS_UPDATE) == run(NATIVE, seen, NATIVE_UPDATE)


def test_in_a_chain_the_value_reaches_the_rule():
    chained = optax.chain(optax.adam(Linear(0.1, 0.0, steps=10)), scale_by_feedback(HALVE))
    alone = optax.adam(Linear(0.1, 0.0, steps=10))
    state, other = chained.init(PARAMS), alone.init(PARAMS)
    for factor in [1.0, 0.5, 0.25]:
        updates, state = jax.jit(chained.update)(GRADIENTS, state, PARAMS, value=1.0)
        expected, other = alone.update(GRADIENTS, other, PARAMS)
        jax.tree.map(lambda a, b, f=factor: np.testing.assert_allclose(a, f * b, rtol=1e-6), updates, expected)


def test_it_composes_with_the_rules_of_the_core():
    optimizer = optax.chain(from_rule(rules.SGD(), 0.5), scale_by_feedback(HALVE))
    state = optimizer.init(PARAMS)
    for _ in range(2):
        updates, state = optimizer.update(GRADIENTS, state, PARAMS, value=1.0)
    np.testing.assert_allclose(updates["w"], [-0.25, 0.5])


def test_what_others_are_passed_is_ignored():
    transform = scale_by_feedback(HALVE)
    updates, _ = transform.update(jnp.ones(1), transform.init(None), None, value=1.0, grad=3.0, value_fn=None)
    assert updates[0] == 1.0


def test_without_a_value_it_is_refused():
    transform = scale_by_feedback(HALVE)
    with pytest.raises(TypeError, match="value"):
        transform.update(jnp.ones(1), transform.init(None))


def test_an_observation_of_several_numbers_reaches_the_rule():
    rule = feedback.Polyak()
    transform = scale_by_feedback(rule)
    seen = feedback.Observation(loss=0.5, norm_sq=2.0)
    updates, _ = jax.jit(transform.update)(jnp.ones(1), transform.init(None), value=seen)
    assert float(updates[0]) == pytest.approx(rule.update(rule.init(), seen)[1], rel=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_updates_keep_their_dtype(dtype):
    transform = scale_by_feedback(HALVE)
    updates, _ = transform.update(jnp.ones(2, dtype), transform.init(None), value=1.0)
    assert updates.dtype == dtype


def test_places_without_a_gradient_stay_so():
    transform = scale_by_feedback(HALVE)
    updates, _ = transform.update({"a": jnp.ones(1), "b": None}, transform.init(None), value=1.0)
    assert updates["b"] is None


def test_the_state_is_that_of_the_rule():
    transform = scale_by_feedback(feedback.EarlyStopping(patience=1))
    state = transform.init(None)
    for metric in [1.0, 1.0]:
        _, state = transform.update(jnp.ones(1), state, value=metric)
    assert feedback.state_to_json(state.rule) == {"best": 1.0, "bad": 1, "seen": 2, "stop": True}


def test_the_factor_stands_in_the_state():
    optimizer = optax.chain(optax.sgd(1.0), scale_by_feedback(HALVE))
    state = optimizer.init(PARAMS)
    for _ in range(2):
        _, state = optimizer.update(GRADIENTS, state, PARAMS, value=1.0)
    assert optax.tree.get(state, "factor") == 0.5


@pytest.mark.parametrize(
    ("updates", "state", "message"),
    [
        (GRADIENTS, 3, r"update\(state\) must be what init\(params\) of Plateau\(.*\) returned, got 3"),
        (GRADIENTS, optax.adam(0.1).init(PARAMS), r"update\(state\) must be what init\(params\) of Plateau"),
        (GRADIENTS, scale_by_feedback(feedback.EarlyStopping()).init(PARAMS), r"update\(state\) must .* of Plateau"),
        ({"w": "a"}, scale_by_feedback(HALVE).init(PARAMS), r"update\(updates\)\['w'\] must be an array, got 'a'"),
    ],
    ids=["number", "Optax", "another rule", "text"],
)
def test_a_state_or_updates_that_do_not_fit_are_refused(updates, state, message):
    with pytest.raises(TypeError, match=message):
        scale_by_feedback(HALVE).update(updates, state, value=1.0)


@pytest.mark.parametrize("wrong", [None, 0.5, Linear(1.0, 0.0, steps=3), rules.SGD(), feedback.Plateau], ids=repr)
def test_what_is_no_feedback_rule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"scale_by_feedback\(rule=...\) must be a rule such as feedback.Plateau\(\)"):
        scale_by_feedback(wrong)


OPTIMIZER = optax.inject_hyperparams(optax.sgd)(learning_rate=0.0)
X = jnp.linspace(-1.0, 1.0, 16)


def loss_of(params):
    return jnp.mean((params["w"] * X + params["b"] - 2.0 * X - 10.0) ** 2)


def step(carry, lr):
    params, state = carry
    state.hyperparams["learning_rate"] = lr
    loss, gradient = jax.value_and_grad(loss_of)(params)
    updates, state = OPTIMIZER.update(gradient, state, params)
    return (optax.apply_updates(params, updates), state), loss


def start():
    params = {"w": jnp.zeros(()), "b": jnp.zeros(())}
    return params, OPTIMIZER.init(params)


def test_a_range_test_leaves_even_donated_arrays_alone():
    carry = start()
    run_range_test(jax.jit(step, donate_argnums=0), carry, start=1e-3, steps=5)
    assert float(carry[0]["w"]) == 0.0


def test_a_range_test_trains_at_the_rates_that_it_returns():
    used = []

    def recorded(carry, lr):
        used.append(float(lr))
        return step(carry, lr)

    curve = run_range_test(recorded, start(), start=1e-4, end=1e-2, steps=4)
    assert used == pytest.approx(curve.lrs, rel=1e-6)
    assert curve.lrs == pytest.approx([1e-4 * 10 ** (i / 2) for i in range(5)], rel=1e-12)


def test_a_range_test_stops_when_the_loss_explodes():
    curve = run_range_test(jax.jit(step), start(), start=1e-4, end=1e4, steps=60)
    assert len(curve.lrs) < 45
    assert curve.losses[-1] > curve.losses[0]


def test_a_range_test_suggests_what_the_analysis_of_its_smoothed_losses_does():
    curve = run_range_test(jax.jit(step), start(), start=1e-4, rule=feedback.RangeTest(beta=0.0))
    assert curve.suggestions == feedback.lr_range_test(curve.lrs, curve.losses)


def test_a_short_range_test_suggests_nothing():
    assert run_range_test(jax.jit(step), start(), steps=5).suggestions is None


def test_a_range_test_must_rise():
    with pytest.raises(ValueError, match="must rise from start > 0 to end, got"):
        run_range_test(step, start(), start=1.0, end=0.1)
