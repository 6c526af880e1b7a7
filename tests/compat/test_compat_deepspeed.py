"""compat.deepspeed gives the rates of DeepSpeed's own schedulers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, rates, stub

from lrsched.compat import deepspeed

torch = pytest.importorskip("torch")


class Quiet:
    warning = staticmethod(lambda *a: None)


live = load("deepspeed", "runtime/lr_schedules.py", [stub("deepspeed.utils", logger=Quiet)])

lrs = st.sampled_from([0.0, 0.1, 1.0, 3e-4])
lengths = st.integers(1, 30)
kinds = st.sampled_from(["log", "linear"])


def check(name, lr=1.0, count=90, ours=None, **arguments):
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = getattr(live, name)(optimizer, **arguments)
    expected = rates(optimizer, lambda t: scheduler.step(), count)
    assert_agrees(deepspeed.from_config({"type": name, "params": arguments}, lr=ours), expected)


@given(lrs, lengths, st.sampled_from([1.0, 0.5, 3.0]), st.booleans())
def test_the_range_test_is_that_of_deepspeed(low, size, rate, stairs):
    check(
        "LRRangeTest",
        lr_range_test_min_lr=low,
        lr_range_test_step_size=size,
        lr_range_test_step_rate=rate,
        lr_range_test_staircase=stairs,
    )


@given(
    lrs, lrs, st.sampled_from([0.0, 0.5]), lengths, st.none() | st.integers(0, 30),
    st.integers(-1, 40), st.none() | st.integers(-1, 40), st.sampled_from([0, 1, 7]),
)  # fmt: skip
def test_one_cycle_is_that_of_deepspeed(low, high, rate, first, second, stairs, more, decay):
    check(
        "OneCycle",
        cycle_min_lr=low,
        cycle_max_lr=high,
        decay_lr_rate=rate,
        cycle_first_step_size=first,
        cycle_second_step_size=second,
        cycle_first_stair_count=stairs,
        cycle_second_stair_count=more,
        decay_step_size=decay,
    )


@given(lrs, lrs | st.none(), lengths, kinds)
def test_the_warm_up_is_that_of_deepspeed(low, high, steps, kind):
    arguments = {"warmup_min_lr": low, "warmup_max_lr": high, "warmup_num_steps": steps, "warmup_type": kind}
    check("WarmupLR", lr=0.3, ours=0.3, **arguments)


@given(lrs, lrs, lengths, st.integers(1, 60), kinds)
def test_warm_up_and_line_are_those_of_deepspeed(low, high, steps, total, kind):
    check(
        "WarmupDecayLR",
        total_num_steps=total,
        warmup_min_lr=low,
        warmup_max_lr=high,
        warmup_num_steps=steps,
        warmup_type=kind,
    )


@given(lrs, st.sampled_from([0.0, 0.01]), lengths, st.integers(1, 60), st.sampled_from([0.0, 1e-4]), kinds)
def test_warm_up_and_cosine_are_those_of_deepspeed(lr, ratio, steps, total, end, kind):
    check(
        "WarmupCosineLR",
        lr=lr,
        ours=lr,
        total_num_steps=total,
        warmup_min_ratio=ratio,
        warmup_num_steps=steps,
        cos_min_ratio=end,
        warmup_type=kind,
    )


def test_the_first_two_updates_have_the_least_rate():
    # linear over 4 iterations, each one update late: 0, 0/4, 1/4, 2/4, 3/4, 4/4
    s = deepspeed.WarmupLR(0.0, 0.1, 4, "linear")
    assert [s(t) for t in range(6)] == pytest.approx([0, 0, 0.025, 0.05, 0.075, 0.1], abs=1e-16)


def test_a_whole_configuration_holds_its_scheduler():
    section = {"type": "WarmupLR", "params": {"warmup_max_lr": 0.1}}
    assert deepspeed.from_config({"train_batch_size": 8, "scheduler": section}) == deepspeed.from_config(section)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("CosineLR", {}, r"must be one of LRRangeTest, OneCycle, .* got 'CosineLR'"),
        ("WarmupLR", {"warmup_num_steps": 0, "warmup_max_lr": 1.0}, r"warmup_num_steps=...\) must be an int >= 1"),
        ("WarmupLR", {}, r"warmup_max_lr=...\) must be given if lr is not"),
        ("LRRangeTest", {"lr_range_test_step_size": 0}, r"lr_range_test_step_size=...\) must be an int >= 1"),
        ("OneCycle", {"cycle_min_lr": 0, "cycle_max_lr": 1, "cycle_first_step_size": 0}, r"must be an int >= 1"),
        ("WarmupDecayLR", {"total_num_steps": 9, "warmup_type": "cubic"}, r"must be one of 'log', 'linear'"),
    ],
)
def test_what_deepspeed_refuses_is_refused(name, params, message):
    with pytest.raises(ValueError, match=message):
        deepspeed.from_config({"type": name, "params": params})


def test_auto_is_no_number():
    with pytest.raises(TypeError, match=r"warmup_max_lr=...\) must be a finite number >= 0 or None, got 'auto'"):
        deepspeed.from_config({"type": "WarmupLR", "params": {"warmup_max_lr": "auto"}})
