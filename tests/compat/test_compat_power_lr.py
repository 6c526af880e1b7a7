"""compat.power_lr against the formulas of lm-engine, which is not published as a package.

Each formula below is the factor of the rate in lm_engine/optimization/lr_scheduler at 36bad91 (2026-08-08), which
torch's `LambdaLR` multiplies with the rate; dolomite-engine, its former name, had the same at 3ac8f74 (2025-05-20).
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, assert_agrees_at

from lrsched.compat import power_lr

COUNT = 90
lrs = st.sampled_from([1.0, 3e-4]) | st.floats(1e-5, 5.0)
counts = st.integers(0, 25)
decays = st.none() | st.integers(0, 40)
totals = st.integers(1, 70)
factors = st.sampled_from([0.0, 0.1, 1.0, 2.0])


def compare(name, lr, warmup, constant, decay, total, factor, tail):
    """Compare at each step and far out; `tail` is the factor at step x of a decay of t steps, or None after it."""
    begin = warmup + constant
    end = total if decay is None else begin + decay

    def formula(t):
        if warmup > 0 and t <= warmup:
            return lr * t / warmup
        if t <= begin:
            return lr
        return lr * tail(t - begin, end - begin)

    ours = getattr(power_lr, name)(lr, warmup, constant, decay, total, factor)
    assert_agrees(ours, [formula(t) for t in range(COUNT)])
    assert_agrees_at(ours, {t: formula(t) for t in (max(end - 1, 0), max(end, 0), max(end, 0) + 1, 100_000)})


@given(lrs, counts, counts, decays, totals, factors)
def test_the_line(lr, warmup, constant, decay, total, factor):
    def tail(x, t):
        return 1 + (factor - 1) / t * x if x <= t else factor

    compare("LinearScheduler", lr, warmup, constant, decay, total, factor, tail)


@given(lrs, counts, counts, decays, totals, factors)
def test_the_cosine(lr, warmup, constant, decay, total, factor):
    def tail(x, t):
        return (1 - factor) * (1 + math.cos(math.pi * x / t)) / 2 + factor if x <= t else factor

    compare("CosineScheduler", lr, warmup, constant, decay, total, factor, tail)


@given(lrs, counts, counts, st.integers(1, 40), factors)
def test_the_exponential(lr, warmup, constant, decay, factor):
    def tail(x, t):
        return (1 - factor) * math.e / (math.e - 1) * math.exp(-x / t) + (factor * math.e - 1) / (math.e - 1)

    compare("ExponentialScheduler", lr, warmup, constant, decay, 1, factor, tail)
    total = warmup + constant + decay
    compare("ExponentialScheduler", lr, warmup, constant, None, total, factor, tail)


@given(lrs, counts)
def test_the_constant(lr, warmup):
    ours = power_lr.ConstantScheduler(lr, warmup, 0, 0, 50, 0.1)
    assert_agrees(ours, [lr * (t / warmup if 0 < warmup >= t else 1) for t in range(COUNT)])


@given(lrs, counts, st.floats(1e-3, 100.0), st.sampled_from([-0.51, -1.0, -0.1, 0.0, 0.5]), st.floats(0.5, 5000.0))
def test_the_power_law(lr, warmup, a, b, c):
    if warmup == 0 and b < 0:
        with pytest.raises(ValueError, match=r"num_warmup_steps=...\) must be >= 1 where b < 0"):
            power_lr.PowerScheduler(lr, warmup, 0, None, 50, 0.1, a, b, c)
        return

    def law(t):
        return min(1, a / lr * (t * c) ** b)

    def formula(t):
        return lr * (law(warmup) / warmup * t if 0 < warmup >= t else law(t))

    ours = power_lr.PowerScheduler(lr, warmup, 0, None, 50, 0.1, a, b, c)
    assert_agrees(ours, [formula(t) for t in range(COUNT)], single=False)
    assert_agrees_at(ours, {t: formula(t) for t in (warmup, warmup + 1, 1000, 10**6)})


def test_the_rate_of_the_paper():
    # Batch 128 of sequences of 4096 tokens: a = 4.6 * 128 = 588.8, c = 128 * 4096 = 524288 = 2**19 tokens a step.
    # With b = -1/2 and W = 8: after 8 steps 2**22 tokens, a / 2**11 = 0.2875, which is above lr = 0.02, so the
    # warm-up ends at lr. The law meets lr where tokens = (a / lr)**2 = 29440**2 = 866713600: step 1653.125.
    # At step 2**13 = 8192 there are 2**32 tokens: a / 2**16 = 0.008984375.
    s = power_lr.PowerScheduler(0.02, 8, 0, None, 10_000, 0.0, a=588.8, b=-0.5, c=2.0**19)
    assert [s(0), s(4), s(8), s(1653)] == [0.0, 0.01, 0.02, 0.02]
    assert s(1654) < 0.02
    assert s(8192) == pytest.approx(0.008984375, rel=1e-14)


def test_a_decay_without_steps_comes_after_the_constant_phase():
    # num_steps <= the end of the constant phase, 5, has the factor 1, and 6 is after the end of the decay.
    s = power_lr.CosineScheduler(1.0, 2, 3, 0, 10, 0.1)
    assert [s(t) for t in (2, 5, 6)] == [1.0, 1.0, 0.1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power_lr.ConstantScheduler(1.0, 2, 0, 5, 10, 0.1), r"num_decay_steps=...\) must be 0, got 5"),
        (lambda: power_lr.ExponentialScheduler(1.0, 2, 0, 0, 10, 0.1), r"num_decay_steps=...\) must be at least one"),
        (lambda: power_lr.PowerScheduler(1.0, 2, 5, 0, 10, 0.1, 1, -1, 1), r"num_constant_steps=...\) must be 0"),
        (lambda: power_lr.PowerScheduler(0.0, 2, 0, 0, 10, 0.1, 1, -1, 1), r"lr=...\) must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
