"""compat.diffusers gives the rates of diffusers' own schedules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, rates, sgd, stub

from lrsched.compat import diffusers


class Logging:
    get_logger = staticmethod(lambda name: None)


live = load(
    "diffusers",
    "optimization.py",
    [stub("diffusers", __path__=[]), stub("diffusers.utils", logging=Logging)],
    "diffusers.optimization",
)


def check(name, lr, count=80, **arguments):
    optimizer = sgd(lr)
    scheduler = live.get_scheduler(name, optimizer, **arguments)
    expected = rates(optimizer, lambda t: scheduler.step(), count)
    assert_agrees(diffusers.get_scheduler(name, lr, **arguments), expected)


@pytest.mark.parametrize("name", ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant_with_warmup"])
@given(lr=st.sampled_from([1.0, 3e-4]), warmup=st.integers(0, 20), rest=st.integers(1, 40), cycles=st.integers(1, 4))
def test_the_named_schedules_are_those_of_diffusers(name, lr, warmup, rest, cycles):
    more = {"num_cycles": cycles} if name == "cosine_with_restarts" else {"power": 2.0} if name == "polynomial" else {}
    check(name, lr, num_warmup_steps=warmup, num_training_steps=warmup + rest, **more)


@given(
    st.dictionaries(st.integers(0, 60), st.sampled_from([1.0, 0.1, 0.05]), max_size=4), st.sampled_from([0.0, 0.005])
)
def test_rules_are_read_as_by_diffusers(rules, last):
    check("piecewise_constant", 0.5, step_rules=",".join([*(f"{v}:{k}" for k, v in rules.items()), str(last)]))


@given(st.integers(0, 20), st.integers(0, 40), st.sampled_from([0.0, 0.1]), st.sampled_from([1.0, 0.5]))
def test_a_line_between_factors_is_that_of_diffusers(warmup, total, low, high):
    optimizer = sgd(0.3)
    scheduler = live.get_linear_schedule_with_warmup(optimizer, warmup, total, f_min=low, f_max=high)
    expected = rates(optimizer, lambda t: scheduler.step(), 60)
    if warmup < total:  # a training within the warm-up ends in a jump there
        assert_agrees(diffusers.get_linear_schedule_with_warmup(0.3, warmup, total, low, high), expected)


def test_a_rule_holds_until_its_step():
    s = diffusers.get_piecewise_constant_schedule(1.0, "1:10,0.1:20,0.01:30,0.005")
    assert [s(t) for t in (9, 10, 19, 20, 29, 30)] == [1.0, 0.1, 0.1, 0.01, 0.01, 0.005]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "rex"}, r"name=...\) must be one of 'linear', 'cosine'"),
        ({"name": "cosine"}, r"num_warmup_steps=...\) must be given for 'cosine'"),
        ({"name": "cosine", "num_warmup_steps": 5}, r"num_training_steps=...\) must be given for 'cosine'"),
        ({"name": "piecewise_constant"}, r"step_rules=...\) must be given"),
        ({"name": "piecewise_constant", "step_rules": "1:10:3,1"}, r"must have the form '1:10,0.1:20,0.01'"),
    ],
)
def test_what_diffusers_refuses_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        diffusers.get_scheduler(lr=1.0, **arguments)
