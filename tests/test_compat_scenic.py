"""compat.scenic and .big_vision against their formulas: these trainers are not packaged for installation."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat.big_vision import create_learning_rate_schedule
from lrsched.compat.scenic import compound_lr_scheduler

COUNT = 70
warmups = st.integers(0, 15)


@given(
    st.integers(2, 60), warmups, st.integers(0, 70),
    st.sampled_from(["linear", "polynomial", "cosine", "rsqrt", "stair"]),
    st.sampled_from([1, 2.0]), st.sampled_from([0.0, 0.05]), st.integers(0, 5), st.booleans(),
    st.lists(st.integers(0, 60), max_size=3, unique=True),
)  # fmt: skip
def test_big_vision(total, warmup, cooldown, kind, power, end, shift, scaled, bounds):
    """big_vision at 11eea57, utils.py, create_learning_rate_schedule."""
    assume(warmup < total)
    bounds, mults = sorted(bounds), [0.5, 0.25, 0.1][: len(bounds)]

    def formula(t):
        lr = 0.5 * (512 / 256.0 if scaled else 1.0)
        x = min(max((t - warmup) / (total - warmup), 0.0), 1.0)
        if kind in ("linear", "polynomial"):
            lr = end + (lr - end) * (1.0 - x) ** power
        elif kind == "cosine":
            lr = lr * 0.5 * (1.0 + math.cos(math.pi * x))
        elif kind == "rsqrt":
            lr = lr / math.sqrt(1 + (max(t - warmup, 0) + shift) / 20.0)
        else:
            lr = lr * [1.0, *mults][sum(bound <= t for bound in bounds)]
        if warmup:
            lr = lr * min(1.0, t / warmup)
        return lr * min(1.0, (total - t) / cooldown) if cooldown else lr

    ours = create_learning_rate_schedule(
        total, 512, None, 0.5, kind, scaled, power, end, 20.0, None, shift, bounds, mults,
        warmup_steps=warmup, cooldown_steps=cooldown,
    )  # fmt: skip
    assert_agrees(ours, [formula(t) for t in range(COUNT)])


def test_the_lengths_of_big_vision_have_four_units():
    def warmup(**length):
        return create_learning_rate_schedule(100, 8, 64, decay_type="cosine", **length)

    # 5 steps; 43 / 8 = 5.4 -> 5; 0.6 * 64 / 8 = 4.8 -> 5; 0.05 * 100 = 5; and never none
    assert (
        warmup(warmup_steps=5) == warmup(warmup_examples=43) == warmup(warmup_epochs=0.6) == warmup(warmup_percent=0.05)
    )
    assert warmup(warmup_examples=1) == warmup(warmup_steps=1)


CONFIG = {
    "base_learning_rate": 0.5, "decay_steps": 30, "end_factor": 0.1, "power": 2.0, "decay_events": [10, 25],
    "decay_factors": [0.5, 0.1], "warmup_alpha": 0.2, "timescale": 20, "decay_factor": 0.5, "steps_per_decay": 7,
    "total_steps": 50, "cooldown_steps": 12,
}  # fmt: skip
NAMES = [
    "constant", "polynomial", "piecewise_constant", "linear_warmup", "rsqrt_decay", "decay_every", "cosine_decay",
    "linear_decay", "linear_cooldown",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), warmups, st.sampled_from([25, 50]),
    st.sampled_from([1.0, 2.0]), st.sampled_from([1.0, 0.5]), st.sampled_from([0.0, 0.1]), st.integers(0, 4),
    st.sampled_from([0.0, 0.01]),
)  # fmt: skip
def test_scenic(names, warmup, cycle, t_mul, m_mul, alpha, start, end):
    """Scenic at 00091de, train_lib/lr_schedules.py, compound_lr_scheduler."""
    config = {
        **CONFIG, "factors": "*".join(names), "warmup_steps": warmup, "steps_per_cycle": cycle, "t_mul": t_mul,
        "m_mul": m_mul, "alpha": alpha, "start_decay_step": start, "end_learning_rate": end,
    }  # fmt: skip

    def cosine(t):
        period, length, i = max(0, t - warmup - start), cycle - int(warmup / (50 / cycle)), 0
        while period >= length:  # what Scenic finds by a logarithm
            period, length, i = period - length, length * t_mul, i + 1
        return (1 - alpha) * 0.5 * m_mul**i * (1.0 + math.cos(math.pi * period / length)) + alpha

    def formula(t):
        value = 1.0
        for name in names:
            if name == "linear_decay":
                value = (value - end) * max(1.0 - max(0.0, (t - warmup) / (50 - warmup)), 0.0) + end
                continue
            value *= {
                "constant": 0.5,
                "polynomial": 0.9 * ((t <= 30) * (1 - t / 30)) ** 2.0 + 0.1,
                "piecewise_constant": [1.0, 0.5, 0.1][(t > 10) + (t > 25)],
                "linear_warmup": min(1.0, 0.2 + t * 0.8 / warmup) if warmup else 1.0,
                "rsqrt_decay": math.sqrt(20) / math.sqrt(t + 20 - warmup) if t > warmup else 1.0,
                "decay_every": 0.5 ** (t // 7),
                "cosine_decay": cosine(t),
                "linear_cooldown": min(1.0, (50 - max(t, warmup)) / 12),
            }[name]
        return value

    assert_agrees(compound_lr_scheduler(config), [formula(t) for t in range(COUNT)], rtol=1e-11)


def test_a_piecewise_line_meets_its_factors():
    # Scenic divides by the length plus 1e-6, which float32 does not show
    s = compound_lr_scheduler({**CONFIG, "factors": "piecewise_linear"})
    assert_agrees(s, [1 - 0.05 * t for t in range(10)])
    assert (s(10), s(25), s(60)) == (0.5, 0.1, 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compound_lr_scheduler({"factors": "no"}), r'config\["factors"\]\) must be made of'),
        (lambda: compound_lr_scheduler({"factors": "constant"}), r'"base_learning_rate"\]\) must be given'),
        (
            lambda: compound_lr_scheduler({"factors": "linear_decay", "total_steps": 5, "warmup_steps": 5}),
            r'"total_steps"\]\) must be > warmup_steps=5',
        ),
        (lambda: create_learning_rate_schedule(10, warmup_steps=10), r"warmup_steps=...\) must be < 10, got 10"),
        (lambda: create_learning_rate_schedule(10, decay_type="no"), r"decay_type=...\) must be one of"),
        (
            lambda: create_learning_rate_schedule(10, warmup_steps=1, warmup_percent=0.1),
            r"\(warmup_...\) must be given in one unit",
        ),
        (lambda: create_learning_rate_schedule(10, warmup_percent=1.5), r"warmup_percent=...\) must be .* <= 1"),
        (
            lambda: create_learning_rate_schedule(10, warmup_epochs=1),
            r"batch_size=...\) must be given for warmup_epochs",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
