"""compat.gpt_neox, .maxtext and .t5x against their formulas: these trainers are not packaged for installation."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat.gpt_neox import AnnealingLR
from lrsched.compat.maxtext import create_learning_rate_schedule
from lrsched.compat.t5x import create_learning_rate_scheduler

COUNT = 70


@given(
    st.integers(0, 15),
    st.integers(1, 40),
    st.sampled_from(["linear", "cosine", "exponential", "constant"]),
    st.sampled_from([0.0, 0.1, 0.9]),
)
def test_gpt_neox(warmup, rest, style, low):
    """GPT-NeoX at e431ff5, megatron/learning_rates.py, get_lr."""

    def formula(t):
        if warmup > 0 and t <= warmup:
            return 0.8 * t / warmup
        u = t - warmup
        lr = {
            "linear": 0.8 * (rest - u) / rest,
            "cosine": low + (0.8 - low) / 2.0 * (math.cos(math.pi * u / rest) + 1),
            "exponential": 0.8 * math.exp(-0.693 * u / rest),
            "constant": 0.8,
        }[style]
        return max(lr, low)

    assert_agrees(AnnealingLR(0.8, warmup, warmup + rest, style, min_lr=low), [formula(t) for t in range(COUNT)])


@given(
    st.integers(1, 50), st.integers(0, 10), st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from(["cosine", "wsd"]),
    st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from(["linear", "cosine"]), st.sampled_from([0.0, 0.1]),
)  # fmt: skip
def test_maxtext(total, zeros, warmup_part, kind, decay_part, style, final):
    """MaxText at 65dda9a, maxtext_utils.py; a line of Optax without steps is a constant."""
    top, end = 0.5, 0.5 * final
    warmup = int(total * warmup_part)
    decay = total - warmup if kind == "cosine" else int(total * decay_part)

    def line(start, stop, u, steps):
        return start + (stop - start) * min(u / steps, 1.0) if steps > 0 else start

    def formula(t):
        if t >= total and zeros:
            return 0.0
        u = t - (total - decay)
        if t < warmup or (decay == 0 and warmup == total):
            return line(0.0, top, t, warmup - 1)
        if u < 0 or decay == 0:
            return top
        if kind == "wsd" and style == "linear":
            return line(top, end, u, decay - 1)
        x = u / (decay - 1) if decay > 1 else 1.0
        return end + (top - end) * (0.5 * (math.cos(math.pi * x) + 1))

    assume(total - warmup - decay >= 0)
    ours = create_learning_rate_schedule(total + zeros, top, kind, final, decay_part, style, warmup_part, total)
    assert_agrees(ours, [formula(t) for t in range(COUNT)])


FACTORS = [
    "constant", "linear_warmup", "linear_decay", "rsqrt_decay", "rsqrt_normalized_decay", "decay_every", "cosine_decay",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(FACTORS), min_size=1, max_size=3),
    st.integers(1, 20),
    st.sampled_from([0.5, 0.05]),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 9),
)
def test_t5x(names, w, factor, every, cycle, offset):
    """T5X at 019f2a1, t5x/utils.py, create_learning_rate_scheduler."""

    def formula(t):
        t = max(0, t - offset)
        value = 1.0
        for name in names:
            value *= {
                "constant": 0.5,
                "linear_warmup": min(1.0, t / w),
                "linear_decay": 0.5 * min(t / w, 1.0 + factor * (w - t)),
                "rsqrt_decay": 1 / math.sqrt(max(t, w)),
                "rsqrt_normalized_decay": math.sqrt(w) / math.sqrt(max(t, w)),
                "decay_every": factor ** (t // every),
                "cosine_decay": max(0.0, 0.5 * (1.0 + math.cos(math.pi * (max(0.0, (t - w) / cycle) % 1.0)))),
            }[name]
        return max(value, 1e-8)

    assume(names.count("linear_decay") < 2)  # the product of two negative values is no learning rate
    ours = create_learning_rate_scheduler(" * ".join(names), 0.5, w, factor, every, cycle, offset)
    assert_agrees(ours, [formula(t) for t in range(COUNT)], rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AnnealingLR(1.0, 10, 10, "linear"), r"warmup_iter=...\) must be < total_iters=10, got 10"),
        (lambda: AnnealingLR(1.0, 1, 10, "poly"), r"decay_style=...\) must be one of 'linear', 'cosine'"),
        (
            lambda: create_learning_rate_scheduler("constant * no"),
            r"factors=...\) must be made of constant, .*got 'no'",
        ),
        (lambda: create_learning_rate_schedule(10, 1.0, "linear"), r"lr_schedule_type=...\) must be one of"),
        (
            lambda: create_learning_rate_schedule(
                10, 1.0, "wsd", wsd_decay_steps_fraction=0.9, warmup_steps_fraction=0.5
            ),
            r"wsd_decay_steps_fraction=...\) must be at most what the warm-up leaves",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
