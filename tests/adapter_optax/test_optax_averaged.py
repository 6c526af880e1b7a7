"""`lrsched_optax.averaged`: what is to be evaluated in the place of the parameters that Schedule-Free trains."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("optax")

import jax
import jax.numpy as jnp
import optax

from lrsched import rules
from lrsched_optax import averaged, from_rule

FREE = rules.ClipByGlobalNorm(1.0) >> rules.ScheduleFree(rules.SGD(), b1=0.8)
PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": [jnp.ones(3)]}


def trained(optimizer: Any, params: Any, steps: int = 4) -> tuple[Any, Any]:
    state = optimizer.init(params)
    for t in range(steps):
        updates, state = optimizer.update(jax.tree.map(lambda p, t=t: jnp.cos(p + t), params), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_it_is_what_optax_evaluates() -> None:
    theirs = optax.contrib.schedule_free(optax.sgd(0.1), 0.1, b1=0.8)
    ours = from_rule(rules.ScheduleFree(rules.SGD(), b1=0.8), 0.1)
    wanted = optax.contrib.schedule_free_eval_params(*trained(theirs, PARAMS)[::-1])
    params, state = trained(ours, PARAMS)
    found = jax.jit(averaged, static_argnums=0)(rules.ScheduleFree(rules.SGD(), b1=0.8), params, state)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, wanted)
    assert not np.allclose(found["w"], params["w"])


WRAPPERS = {
    "chain": lambda one: optax.chain(optax.clip(10.0), one),
    "MultiSteps": lambda one: optax.MultiSteps(one, 1),
    "masked": lambda one: optax.masked(one, {"w": True, "b": [False]}),
    "multi_transform": lambda one: optax.multi_transform({"a": one, "b": optax.adam(0.1)}, {"w": "a", "b": ["b"]}),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_state_is_found_inside_of_others(name: str) -> None:
    params, state = trained(WRAPPERS[name](from_rule(FREE, 0.1)), PARAMS)
    found = averaged(FREE, params, state)
    (own,) = [x for x in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "slots")) if hasattr(x, "slots")]
    np.testing.assert_allclose(found["w"], (params["w"] - 0.2 * own.slots.z["w"]) / 0.8, rtol=1e-5)
    if name in ("masked", "multi_transform"):
        np.testing.assert_array_equal(found["b"][0], params["b"][0])


def test_what_has_not_moved_stays_and_each_keeps_its_precision() -> None:
    params = {"w": jnp.ones((2, 2), jnp.bfloat16), "s": jnp.ones(())}
    found = averaged(FREE, params, from_rule(FREE, 0.1).init(params))
    assert jax.tree.map(lambda x: x.dtype, found) == jax.tree.map(lambda x: x.dtype, params)
    jax.tree.map(np.testing.assert_array_equal, found, params)


@pytest.mark.parametrize(
    ("rule", "state", "message"),
    [
        (rules.Adam(), from_rule(rules.Adam(), 0.1).init(PARAMS), "must be a ScheduleFree, or a chain around one"),
        (rules.L2(0.1), None, r"averaged\(rule=...\) must be a rule"),
        (FREE, from_rule(rules.Adam(), 0.1).init(PARAMS), r"averaged\(state\) must hold one state of .*, got 0 in"),
        (
            FREE,
            [from_rule(FREE, 0.1).init(PARAMS)] * 2,
            r"averaged\(state\) must hold one state of .*, got 2 in a list",
        ),
        (FREE, from_rule(FREE, 0.1).init({"w": PARAMS["w"]}), "must have the containers"),
        (FREE, from_rule(FREE, 0.1).init(jax.tree.map(lambda p: p[:1], PARAMS)), "must have the shape"),
    ],
)
def test_what_does_not_fit_is_refused(rule: Any, state: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        averaged(rule, PARAMS, state)
