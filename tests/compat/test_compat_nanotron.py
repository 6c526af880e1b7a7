"""compat.nanotron gives the rates of nanotron's own scheduler."""

import math
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, definitions, rates, sgd

from lrsched.compat.nanotron import lr_scheduler_builder

torch = pytest.importorskip("torch")

_content = {"math": math, "LambdaLR": torch.optim.lr_scheduler.LambdaLR}
_live = definitions(
    "nanotron", "helpers.py", ["lr_scheduler_builder"], **_content, Optimizer=object, LRSchedulerArgs=object
)


@given(
    st.sampled_from([1.0, 3e-4]), st.integers(1, 50), st.integers(0, 20), st.sampled_from(["linear", "constant"]),
    st.sampled_from(["linear", "cosine"]), st.none() | st.integers(0, 30), st.none() | st.integers(0, 30),
    st.sampled_from([0.0, 1e-5]),
)  # fmt: skip
def test_the_rate_is_that_of_nanotron(lr, total, warmup, rise, fall, steps, start, low):
    left = total - warmup - (start or 0) if steps is None else steps
    arguments = {
        "learning_rate": lr,
        "lr_warmup_steps": warmup,
        "lr_warmup_style": rise,
        "lr_decay_style": fall,
        "lr_decay_steps": steps,
        "lr_decay_starting_step": start,
        "min_decay_lr": low,
    }
    if warmup == 0 and left == 0:  # nanotron multiplies the rate by itself
        with pytest.raises(ValueError, match=r"lr_decay_steps=...\) must be > 0 without a warm-up"):
            lr_scheduler_builder(total_training_steps=total, **arguments)
        return
    optimizer = sgd(lr)
    wrapped = types.SimpleNamespace(get_base_optimizer=lambda: optimizer)
    scheduler = _live["lr_scheduler_builder"](wrapped, types.SimpleNamespace(**arguments), total)
    expected = rates(optimizer, lambda t: scheduler.step(), 80)
    assert_agrees(lr_scheduler_builder(total_training_steps=total, **arguments), expected)


@given(
    st.integers(1, 50), st.integers(0, 20), st.integers(1, 30), st.none() | st.integers(0, 30),
    st.sampled_from([0.0, 1e-5]),
)  # fmt: skip
def test_a_square_root_is_that_of_the_main_branch(total, warmup, steps, start, low):
    """nanotron at 2411b02 (2026-04-07), helpers.py, lr_scheduler_builder; the release has no such style."""
    begin = warmup if start is None else start

    def formula(t):
        if t <= warmup:
            return 0.5 * t / max(warmup, 1)
        if t < begin:
            return 0.5
        return low + (0.5 - low) * (1 - math.sqrt((t - begin) / steps)) if t < begin + steps else low

    ours = lr_scheduler_builder(
        0.5, total, warmup, lr_decay_style="1-sqrt", lr_decay_steps=steps, lr_decay_starting_step=start,
        min_decay_lr=low,
    )  # fmt: skip
    assert_agrees(ours, [formula(t) for t in range(80)])


def test_the_warm_up_is_subtracted_twice():
    # 100 steps, warm-up 10, decay from step 40: nanotron's decay takes 100 - 10 - 40 = 50 steps and ends at 90
    s = lr_scheduler_builder(1.0, 100, lr_warmup_steps=10, lr_decay_starting_step=40, min_decay_lr=0.0)
    assert (s(65), s(90)) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr_decay_style": "sqrt"}, r"lr_decay_style=...\) must be one of 'linear', 'cosine', '1-sqrt'"),
        ({"lr_warmup_style": "log"}, r"lr_warmup_style=...\) must be one of 'linear', 'constant'"),
        ({"lr_decay_steps": 0}, r"lr_decay_steps=...\) must be > 0 without a warm-up"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        lr_scheduler_builder(1.0, 100, **arguments)
