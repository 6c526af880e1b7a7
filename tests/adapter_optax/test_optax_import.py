"""`from_optax` reads the rates of optimizers, and functions that hide a schedule in what they keep."""

import functools
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lrsched import Constant, Cosine, Linear, Schedule, Table, compat, rules
from lrsched_optax import from_optax, from_rule, scale_by_rule

RATE = optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 12)
READ = compat.optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 12)
FALL = optax.linear_schedule(1.0, 0.5, 10)
PARAMS = {"w": jnp.zeros(2)}


@optax.inject_hyperparams
def injected(learning_rate: Any, scale: Any = 1.0) -> Any:
    return optax.chain(optax.identity(), optax.scale(-0.5 * learning_rate), optax.scale(2.0 * scale))


def negative(count: Any) -> Any:
    return -RATE(count)


# Optimizers whose update of a gradient of 1 is minus the rate.
PLAIN: dict[str, Any] = {
    "sgd": optax.sgd(RATE),
    "scale_by_learning_rate": optax.scale_by_learning_rate(RATE),
    "a schedule and a sign": optax.chain(optax.scale_by_schedule(RATE), optax.scale(-1.0)),
    "a function that turns the sign": optax.chain(optax.clip(1.0), optax.scale_by_schedule(negative)),
    "named_chain": optax.named_chain(("clip", optax.clip(1.0)), ("sgd", optax.sgd(RATE))),
    "decay after it": optax.chain(optax.sgd(RATE), optax.add_decayed_weights(0.0)),
    "inject_hyperparams": optax.inject_hyperparams(optax.sgd)(learning_rate=RATE),
    "inject_hyperparams of a function": injected(RATE),
    "apply_if_finite": optax.apply_if_finite(optax.sgd(RATE), 3),
    "masked": optax.masked(optax.sgd(RATE), True),
    "partition": optax.partition({"a": optax.sgd(RATE), "b": optax.set_to_zero()}, "a"),
    "partition of one rate": optax.partition({"a": optax.sgd(RATE), "b": optax.adam(RATE)}, "a"),
    "in three": optax.chain(optax.apply_if_finite(optax.chain(optax.clip(1.0), injected(RATE)), 3)),
    "MultiSteps": optax.MultiSteps(optax.sgd(RATE), 1).gradient_transformation(),
    "from_rule": from_rule(rules.SGD(), RATE),
    "scale_by_rule": optax.chain(scale_by_rule(rules.SGD()), optax.scale_by_learning_rate(RATE)),
}
OTHERS: dict[str, tuple[Any, Schedule]] = {
    "adam": (optax.adam(RATE), READ),
    "adafactor": (optax.adafactor(RATE), READ),
    "lamb": (optax.lamb(RATE), READ),
    "muon": (optax.contrib.muon(RATE), READ),
    "a number": (optax.adamw(0.25), Constant(0.25)),
    "a scaled loss": (optax.chain(optax.scale(1 / 128), optax.adam(RATE)), READ),
    "a scaled gradient": (optax.chain(optax.scale(0.5), optax.sgd(0.5, 0.9)), Constant(0.25)),
    "two schedules": (optax.chain(optax.adam(RATE), optax.scale_by_schedule(FALL)), READ * Linear(1.0, 0.5, steps=10)),
    "a schedule of another hyperparameter": (
        optax.inject_hyperparams(optax.adam)(learning_rate=RATE, b1=FALL, b2=0.99),
        READ,
    ),
    "two hyperparameters": (injected(RATE, FALL), READ * Linear(1.0, 0.5, steps=10)),
    "MultiSteps": (optax.MultiSteps(optax.adam(RATE), 4), READ),
    "ours": (from_rule(rules.Adam(), Cosine(0.1, 0.0, steps=9)), Cosine(0.1, 0.0, steps=9)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_optimizer_is_read_as_it_updates(name: str):
    optimizer, done = PLAIN[name], []
    state = optimizer.init(PARAMS)
    for _ in range(14):
        updates, state = optimizer.update({"w": jnp.ones(2)}, state, PARAMS)
        done.append(-float(updates["w"][0]))
    found = from_optax(optimizer, steps=20)
    assert not found.sampled
    np.testing.assert_allclose(found.schedule(np.arange(14)), done, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.schedule(np.arange(30)), READ(np.arange(30)), rtol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_the_rate_of_an_optimizer_is_what_multiplies_its_direction(name: str):
    optimizer, schedule = OTHERS[name]
    found = from_optax(optimizer, steps=20)
    assert not found.sampled
    np.testing.assert_allclose(found.schedule(np.arange(30)), schedule(np.arange(30)), rtol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "match"),
    [
        (optax.chain(optax.scale_by_adam(), optax.clip(1.0)), r"with a learning rate, got \['scale_by_adam', 'clip'\]"),
        (optax.identity(), "with a learning rate, got nothing"),
        (optax.set_to_zero(), "with a learning rate, got"),
        (optax.chain(optax.scale_by_schedule(RATE), optax.scale_by_adam(), optax.scale(-1.0)), "before scale_by_adam"),
        (optax.partition({"a": optax.sgd(RATE), "b": optax.sgd(0.1)}, "a"), r"got 2 with the labels \['a', 'b'\]"),
        (optax.chain(optax.adam(RATE), optax.masked(optax.scale(0.1), True)), "a factor that is masked beside one"),
        (optax.chain(optax.adam(RATE), optax.contrib.reduce_on_plateau()), "got one with reduce_on_plateau"),
        (optax.contrib.prodigy(), "a function of the count, got one with prodigy"),
        (optax.lbfgs(), "a function of the count, got one with scale_by_zoom_linesearch"),
        (optax.inject_hyperparams(lambda lr: optax.sgd(1.0 + lr))(RATE), "got one that follows lr"),
        (optax.inject_hyperparams(optax.sgd)(RATE).init(PARAMS), "which holds one value of a schedule, 0.0"),
    ],
)
def test_an_optimizer_without_one_rate_by_the_count_is_refused_by_name(optimizer: Any, match: str):
    with pytest.raises(ValueError, match=match):
        from_optax(optimizer, steps=5)


def test_the_state_of_a_number_gives_it():
    state = optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.sgd)(0.25)).init(PARAMS)
    assert from_optax(state, steps=5).schedule == Constant(0.25)
    with pytest.raises(TypeError, match="must be a function of the count or an optimizer, got"):
        from_optax(optax.adam(0.25).init(PARAMS), steps=5)


class Kept:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, count: Any) -> Any:
        return 2.0 * self.inner(count)


HIDDEN: dict[str, tuple[Any, Schedule]] = {
    "a closure": (lambda count: 3.0 * RATE(count), 3.0 * READ),
    "a partial": (functools.partial(lambda k, count: k * RATE(count), 3.0), 3.0 * READ),
    "an attribute": (Kept(RATE), 2.0 * READ),
    "a method": (Kept(RATE).__call__, 2.0 * READ),
    "a default": (lambda count, inner=RATE: inner(count), READ),
    "a closure in a closure": (lambda count: 0.5 * Kept(RATE)(count), READ),
    "a product": (lambda count: RATE(count) * FALL(count), READ * Linear(1.0, 0.5, steps=10)),
    "in a join": (
        optax.join_schedules([lambda count: 2.0 * FALL(count), RATE], [5]),
        compat.optax.join_schedules([2.0 * Linear(1.0, 0.5, steps=10), READ], [5]),
    ),
    "ours": (lambda count: 0.1 * Cosine(1.0, 0.0, steps=9)(count), 0.1 * Cosine(1.0, 0.0, steps=9)),
}


@pytest.mark.parametrize("name", [name for name in HIDDEN if name != "ours"])
def test_a_schedule_that_a_function_multiplies_is_found_in_what_it_keeps(name: str):
    fn, schedule = HIDDEN[name]
    with warnings.catch_warnings(action="error"):
        found = from_optax(fn, steps=20)
    assert not found.sampled
    np.testing.assert_allclose(found.schedule(np.arange(40)), schedule(np.arange(40)), rtol=1e-12)


def test_a_schedule_that_is_built_inside_is_read_off_with_a_warning():
    with pytest.warns(UserWarning, match="its first 20 values are listed in a Table") as caught:
        found = from_optax(HIDDEN["ours"][0], steps=20)
    assert found.sampled
    assert isinstance(found.schedule, Table)
    assert caught[0].filename == __file__


def test_a_function_that_leaves_the_schedule_it_keeps_is_read_off():
    with pytest.warns(UserWarning, match="does not know this function"):
        found = from_optax(lambda count: jnp.where(count < 5, RATE(count), 0.5), steps=20)
    assert found.sampled
    assert found.schedule(10) == 0.5
