"""No wrong call of the Optax adapter ends in a foreign error, in silence, or in a message that does not help."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
import pytest
from wrong_calls import Call, Public, callables, complaints

import lrsched_optax as lo
from lrsched import Cosine, feedback, rules


def update(carry: Any, lr: Any) -> tuple[Any, Any]:
    return carry, jnp.float32(1.0)


FREE, ONE = rules.ScheduleFree(rules.SGD()), jnp.ones(2)
CALLS: dict[str, Callable[[], Call]] = {
    "FeedbackState": lambda: Call(lo.FeedbackState, {"rule": 0, "factor": 0}),
    "Imported": lambda: Call(lo.Imported, {"schedule": 0, "sampled": 0, "difference": 0}),
    "RuleState": lambda: Call(lo.RuleState, {"count": 0, "slots": 0}),
    "averaged": lambda: Call(lo.averaged, {"rule": FREE, "params": ONE, "state": lo.from_rule(FREE, 0.1).init(ONE)}),
    "from_optax": lambda: Call(lo.from_optax, {"fn": optax.cosine_decay_schedule(0.1, 10), "steps": 10}),
    "from_rule": lambda: Call(lo.from_rule, {"rule": rules.Adam(), "learning_rate": Cosine(0.1, 0.0, steps=10)}),
    "run_range_test": lambda: Call(lo.run_range_test, {"step": update, "carry": jnp.zeros(2), "steps": 3}),
    "scale_by_feedback": lambda: Call(lo.scale_by_feedback, {"rule": feedback.Plateau()}),
    "scale_by_rule": lambda: Call(lo.scale_by_rule, {"rule": rules.Adam()}),
}
RIGHT: dict[tuple[str, str], str] = {
    ("lrsched_optax.averaged", "params"): "any tree of arrays, which is compared with the state",
    ("lrsched_optax.run_range_test", "carry"): "any tree of arrays, which may be empty",
    ("lrsched_optax.from_rule", "learning_rate"): "any finite number, or a 0-d array",
    ("lrsched_optax.from_rule", "axis_name"): "None",
    ("lrsched_optax.scale_by_rule", "axis_name"): "None",
    ("lrsched_optax.from_optax", "fn"): "a number stands for a constant schedule",
}


def test_each_public_callable_has_a_valid_call():
    assert [public.path for public in callables("lrsched_optax")] == list(CALLS)


def walked() -> list[tuple[Public, Callable[[], Call]]]:
    return [(public, CALLS[public.path]) for public in callables("lrsched_optax")]


def test_wrong_calls_are_refused_with_function_argument_what_must_hold_and_what_came():
    assert list(complaints(walked(), RIGHT, every=3)) == []


@pytest.mark.slow
def test_every_wrong_call_is():
    assert list(complaints(walked(), RIGHT)) == []
