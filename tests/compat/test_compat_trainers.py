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


lengths = st.integers(1, 40) | st.floats(1.0, 40.0)


@given(
    st.integers(0, 15) | st.floats(0.05, 15.0),
    lengths,
    st.sampled_from(["linear", "cosine", "exponential", "constant"]),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.sampled_from(["2026-05", "2023-09"]),
)
def test_gpt_neox(warmup, rest, style, low, version):
    """GPT-NeoX at ea7aefd (2026-05-19) and e431ff5 (2023-09-23), megatron/learning_rates.py, get_lr."""
    total = warmup + rest

    def formula(t):
        if warmup > 0 and t <= warmup:
            return 0.8 * (max(1, t) if version == "2026-05" else t) / warmup
        u, length = t - warmup, total - warmup
        lr = {
            "linear": 0.8 * (length - u) / length,
            "cosine": low + (0.8 - low) / 2.0 * (math.cos(math.pi * u / length) + 1),
            "exponential": 0.8 * math.exp(-0.693 * u / length),
            "constant": 0.8,
        }[style]
        return max(lr, low)

    ours = AnnealingLR(0.8, warmup, total, style, min_lr=low, version=version)
    # At step 69.95 float32 is 4e-6 off, which a cosine of a few steps shows after many turns.
    single = float(warmup).is_integer() and float(rest).is_integer()
    assert_agrees(ours, [formula(t) for t in range(COUNT)], rtol=1e-10, single=single)


def test_the_first_rate_of_gpt_neox_is_that_of_the_second_update():
    assert [AnnealingLR(1.0, 10, 100, "linear")(t) for t in range(3)] == [0.1, 0.1, 0.2]
    assert [AnnealingLR(1.0, 10, 100, "linear", version="2023-09")(t) for t in range(3)] == [0.0, 0.1, 0.2]


def test_the_warm_up_of_gpt_neox_is_a_product_that_need_not_be_whole():
    # 0.01 * 143000 = 1430.0, 0.07 * 100 = 7.000000000000001, 0.29 * 100 = 28.999999999999996
    assert AnnealingLR(1.0, 0.01 * 143000, 143000, "cosine") == AnnealingLR(1.0, 1430, 143000, "cosine")
    assert AnnealingLR(1.0, 0.07 * 100, 100, "linear") == AnnealingLR(1.0, 7, 100, "linear")
    assert AnnealingLR(1.0, 0.29 * 100, 100, "linear") == AnnealingLR(1.0, 29, 100, "linear")
    # 0.025 * 100 = 2.5: 1 / 2.5, 1 / 2.5, 2 / 2.5, then 1 - 0.5 / 97.5
    s = AnnealingLR(1.0, 0.025 * 100, 100, "linear")
    assert_agrees(s, [0.4, 0.4, 0.8, 97 / 97.5])


fractions = st.sampled_from([0.0, 0.1, 0.3, 1.0]) | st.floats(0.0, 1.0)


@given(
    st.integers(1, 50), st.integers(0, 10), fractions, st.sampled_from(["cosine", "wsd"]), fractions,
    st.sampled_from(["linear", "cosine"]), st.sampled_from([0.0, 0.1]),
    st.sampled_from(["2026-03", "2026-01", "2023-09"]),
)  # fmt: skip
def test_maxtext(total, zeros, warmup_part, kind, decay_part, style, final, version):
    """MaxText at e591f30 (2026-08-22), 1137c42 (2026-01-20), 160ccab (2023-09-26); Optax's line without steps stays."""
    top, end, old = 0.5, 0.5 * final, version == "2023-09"
    warmup = int(total * warmup_part)
    decay = total - warmup if kind == "cosine" else int(total * decay_part)

    def line(start, stop, u, steps):
        return start + (stop - start) * min(u / steps, 1.0) if steps > 0 else start

    def formula(t):
        if t >= total and zeros:
            return 0.0
        u = t - (total - decay)
        if t < warmup or (decay == 0 and warmup == total):
            return line(0.0, top, t, warmup - (version == "2026-01"))
        if u < 0 or decay == 0:
            return top
        if kind == "wsd" and style == "linear":
            return line(top, end, u, decay - 1)
        steps = decay if old else decay - 1
        x = u / steps if steps > 0 else 1.0
        return end + (top - end) * (0.5 * (math.cos(math.pi * x) + 1))

    def ours():
        return create_learning_rate_schedule(
            total + zeros, top, kind, final, decay_part, style, warmup_part, total, version=version
        )

    if kind == "wsd" and (old or warmup_part + decay_part > 1.0):
        with pytest.raises(ValueError, match="lr_schedule_type" if old else "wsd_decay_steps_fraction"):
            ours()
    elif old and decay == 0 and not zeros:
        with pytest.raises(ValueError, match="MaxText divides by the rest"):
            ours()
    else:
        assert_agrees(ours(), [formula(t) for t in range(COUNT)])


def test_the_warm_up_of_maxtext_ends_after_its_last_step():
    # 3 of 10 steps: 0, 1/3, 2/3, then the top
    s = create_learning_rate_schedule(10, 1.0, warmup_steps_fraction=0.3)
    assert_agrees(s, [0.0, 1 / 3, 2 / 3, 1.0])
    assert create_learning_rate_schedule(10, 1.0, warmup_steps_fraction=0.1)(1) == 1.0


def test_a_training_of_maxtext_may_be_as_long_as_its_schedule():
    whole = create_learning_rate_schedule(40, 1.0)
    assert create_learning_rate_schedule(-1, 1.0, learning_rate_schedule_steps=40) == whole
    assert create_learning_rate_schedule(40, 1.0, learning_rate_schedule_steps=40) == whole
    assert create_learning_rate_schedule(40, 1.0, learning_rate_schedule_steps=0)(7) == 0.0


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
    """T5X at cc342d4 (2026-04-21), t5x/utils.py, create_learning_rate_scheduler."""

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
        (lambda: AnnealingLR(1.0, 10.5, 10, "cosine"), r"warmup_iter=...\) must be < total_iters=10, got 10.5"),
        (lambda: AnnealingLR(1.0, 1, 10, "linear", 5), r"last_iter=...\) must be 0, got 5"),
        (
            lambda: AnnealingLR(1.0, 1, 10, "linear", override_lr_scheduler=True),
            r"override_lr_scheduler=...\) must be False if use_checkpoint_lr_scheduler is True",
        ),
        (lambda: AnnealingLR(1.0, 1, 10, "linear", version="2020"), r"version=...\) must be one of '2026-05', '2023"),
        (lambda: create_learning_rate_schedule(-1), r"steps=...\) must be >= 1 if learning_rate_schedule_steps is -1"),
        (lambda: create_learning_rate_schedule(0), r"steps=...\) must be >= 1 for a schedule without steps"),
        (
            lambda: create_learning_rate_schedule(10, version="0.2"),
            r"version=...\) must be one of '2026-03', '2026-01'",
        ),
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
