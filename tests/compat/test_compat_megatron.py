"""compat.megatron gives the values of Megatron-Core's own scheduler."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Optimizer, assert_agrees, assert_agrees_at, load, rates, stub

from lrsched.compat import megatron

live = load(
    "megatron",
    "core/optimizer_param_scheduler.py",
    [stub("megatron.core.utils", log_single_rank=lambda *a, **k: None)],
)

TAILS = ["linear", "cosine", "exponential", "minus_sqrt"]
WD = {"start_wd": 0.1, "end_wd": 0.1, "wd_incr_steps": 10, "wd_incr_style": "constant"}


def theirs(count, **arguments):
    optimizer = Optimizer(1.0)
    scheduler = live.OptimizerParamScheduler(optimizer, **{**WD, **arguments})
    lrs = rates(optimizer, lambda t: scheduler.step(1), count)
    return lrs


@given(
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([1.0, 3e-4, 0.05]),
    st.sampled_from([0.0, 1e-4]),
    st.integers(0, 15) | st.floats(0.1, 15.0),
    st.integers(1, 40) | st.floats(0.1, 40.0),
    st.sampled_from(["linear", "cosine", "constant", "inverse-square-root", "WSD"]),
    st.integers(1, 50) | st.floats(0.5, 50.0),
    st.sampled_from(TAILS),
)
def test_the_rate_is_that_of_megatron(init, top, low, warmup, rest, style, tail, tail_style):
    arguments = {
        "init_lr": min(init, top),
        "max_lr": top,
        "min_lr": low,
        "lr_warmup_steps": warmup,
        "lr_decay_steps": warmup + rest,
        "lr_decay_style": style,
        "wsd_decay_steps": tail,
        "lr_wsd_decay_style": tail_style,
    }
    # float32 holds the steps of a clock that is not whole to 4e-6
    single = all(isinstance(length, int) for length in (warmup, rest, tail))
    expected = theirs(int(warmup + rest) + 8, **arguments)
    # 1 - sqrt(1 - 1e-16) is 1e-8 off
    rtol, atol = (1e-7, 1e-7) if tail_style == "minus_sqrt" and not single else (1e-10, 1e-15)
    ours = megatron.OptimizerParamScheduler(**arguments)
    assert_agrees_at(ours, dict(enumerate(expected)), rtol, atol)
    if single:
        assert_agrees(ours, expected)


def test_the_warm_up_of_megatron_is_a_fraction_that_need_not_be_whole():
    # Megatron-LM passes lr_warmup_fraction * lr_decay_steps: 0.015 * 100 = 1.5
    arguments = {"max_lr": 1.0, "lr_decay_steps": 100, "lr_decay_style": "linear"}
    s = megatron.OptimizerParamScheduler(lr_warmup_steps=0.015 * 100, **arguments)
    assert_agrees(s, [0.0, 1 / 1.5, 98 / 98.5, 97 / 98.5])
    assert_agrees(s, theirs(100, init_lr=0.0, min_lr=0.0, lr_warmup_steps=1.5, **arguments), single=False)
    # 0.07 * 100 = 7.000000000000001
    seven = megatron.OptimizerParamScheduler(lr_warmup_steps=7, **arguments)
    assert megatron.OptimizerParamScheduler(lr_warmup_steps=0.07 * 100, **arguments) == seven


def test_samples_over_the_batch_size_are_lengths():
    # 1000 samples of warm-up and 10,000 of decay in batches of 64, as updates: 15.625 and 156.25
    s = megatron.OptimizerParamScheduler(max_lr=1.0, lr_warmup_steps=1000 / 64, lr_decay_steps=10_000 / 64)
    samples = megatron.OptimizerParamScheduler(max_lr=1.0, lr_warmup_steps=1000, lr_decay_steps=10_000)
    assert_agrees(s, [samples(64 * t) for t in range(200)], single=False)


@pytest.mark.parametrize(
    ("more", "kind", "message"),
    [
        ({"wd_incr_stepz": 5}, TypeError, "unexpected keyword argument 'wd_incr_stepz'"),
        ({"wd_incr_steps": "5"}, TypeError, r"wd_incr_steps=...\) must be a finite number"),
        ({"start_wd": 0.2, "end_wd": 0.1}, ValueError, r"end_wd=...\) must be >= start_wd=0.2, got 0.1"),
        ({"use_checkpoint_opt_param_scheduler": 1}, TypeError, r"must be True or False, got 1"),
        ({"override_opt_param_scheduler": True}, ValueError, "must be False if use_checkpoint_opt_param_scheduler is"),
        ({"lr_wsd_decay_style": "quadratic"}, ValueError, r"lr_wsd_decay_style=...\) must be one of 'linear'"),
        ({"lr_warmup_steps": float("nan")}, ValueError, r"lr_warmup_steps=...\) must be a finite number"),
    ],
)
def test_what_leaves_the_rate_as_it_is_is_checked_too(more, kind, message):
    with pytest.raises(kind, match=message):
        megatron.OptimizerParamScheduler(max_lr=1.0, lr_decay_steps=10, **more)


@given(
    st.floats(1e-6, 0.2), st.floats(1e-6, 0.5), st.integers(1, 30), st.sampled_from(["constant", "linear", "cosine"])
)
def test_the_weight_decay_is_that_of_megatron(start, more, steps, style):
    end = start if style == "constant" else start + more
    optimizer = Optimizer(1.0)
    scheduler = live.OptimizerParamScheduler(
        optimizer,
        0.0,
        1.0,
        0.0,
        0,
        10,
        "constant",
        start_wd=start,
        end_wd=end,
        wd_incr_steps=steps,
        wd_incr_style=style,
    )
    expected = [optimizer.param_groups[0]["weight_decay"]]
    for _ in range(steps + 3):
        scheduler.step(1)
        expected.append(optimizer.param_groups[0]["weight_decay"])
    assert_agrees(megatron.get_wd(start, end, steps, style), expected)


def test_the_tails_are_those_of_the_table():
    # T = 10, W = 2, tail 4: at steps 7, 8, 9 the part x of the tail gone is 1/4, 1/2, 3/4
    def tail(style):
        s = megatron.OptimizerParamScheduler(
            max_lr=1.0, lr_warmup_steps=2, lr_decay_steps=10, lr_decay_style="WSD", wsd_decay_steps=4,
            lr_wsd_decay_style=style,
        )  # fmt: skip
        return [round(s(t), 3) for t in (6, 7, 8, 9, 10)]

    assert tail("linear") == [1, 0.75, 0.5, 0.25, 0]
    assert tail("minus_sqrt") == [1, 0.5, 0.293, 0.134, 0]
    assert tail("exponential") == [1, 0.682, 0.414, 0.189, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_lr": 2.0}, r"min_lr=...\) must be <= max_lr=1.0, got 2.0"),
        ({"init_lr": 2.0}, r"init_lr=...\) must be <= max_lr=1.0, got 2.0"),
        ({"lr_warmup_steps": 10}, r"lr_warmup_steps=...\) must be < 10, got 10"),
        ({"lr_decay_style": "WSD"}, r"wsd_decay_steps=...\) must be given"),
        ({"lr_decay_style": "WSD", "wsd_decay_steps": 4}, r"lr_wsd_decay_style=...\) must be one of 'linear'"),
        ({"lr_decay_style": "poly"}, r"lr_decay_style=...\) must be one of"),
    ],
)
def test_what_megatron_refuses_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        megatron.OptimizerParamScheduler(**{"max_lr": 1.0, "lr_decay_steps": 10, **arguments})


def test_a_weight_decay_does_not_fall():
    with pytest.raises(ValueError, match=r"end_wd=...\) must be >= start_wd=0.2, got 0.1"):
        megatron.get_wd(0.2, 0.1, 10, "linear")
    with pytest.raises(ValueError, match=r"must be start_wd=0.1 for the style 'constant'"):
        megatron.get_wd(0.1, 0.2, 10, "constant")
