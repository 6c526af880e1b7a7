"""compat.fairseq against the formulas of fairseq 0.12.2, which cannot be installed beside the versions tested here.

Each formula below is that of one `step_update(num_updates)` in fairseq/optim/lr_scheduler.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat import fairseq

COUNT = 90
warmups = st.integers(0, 20)
firsts = st.sampled_from([-1.0, 0.0, 0.01])
lows = st.sampled_from([0.0, 1e-3])


def compare(schedule, formula, rtol=1e-12):
    assert_agrees(schedule, [formula(t) for t in range(COUNT)], rtol)


@given(warmups, firsts, lows, st.sampled_from([1.0, 2.0]), st.integers(1, 30), st.sampled_from([0.1, 1.0]))
def test_cosine(warmup, first, low, growth, period, shrink):
    start = low if first < 0 else first

    def formula(t):
        if t < warmup:
            return start + t * (1.0 - start) / warmup
        i, begin, length = 0, 0.0, period
        while begin + length <= t - warmup:  # what fairseq finds by a logarithm
            begin, length, i = begin + length, length * growth, i + 1
        x = (t - warmup - begin) / length
        return shrink**i * (low + 0.5 * (1.0 - low) * (1 + math.cos(math.pi * x)))

    compare(fairseq.cosine(1.0, warmup, first, low, growth, period, shrink), formula)


@given(st.lists(st.sampled_from([1.0, 0.5, 0.2]), min_size=1, max_size=4), st.none() | st.integers(1, 6), warmups)
def test_fixed(lrs, force, warmup):
    def formula(t):
        epoch = t // 10 + 1
        lr = lrs[min(epoch - 1, len(lrs) - 1)]
        if force is not None and epoch >= force:
            lr = lrs[-1] * 0.1 ** (epoch + 1 - force)
        return lr * (t + 1) / warmup if warmup > 0 and t < warmup else lr

    compare(fairseq.fixed(lrs, force, warmup_updates=warmup, updates_per_epoch=10), formula)


@given(st.integers(1, 30), firsts)
def test_inverse_sqrt(warmup, first):
    start = max(first, 0.0)
    slope = (0.5 - start) / warmup
    compare(
        fairseq.inverse_sqrt(0.5, warmup, first),
        lambda t: start + t * slope if t < warmup else 0.5 * warmup**0.5 * t**-0.5,
    )


@given(warmups, st.integers(1, 60), lows, st.sampled_from([0.5, 1.0, 2.0]))
def test_polynomial_decay(warmup, total, end, power):
    def formula(t):
        if warmup > 0 and t <= warmup:
            return 0.5 * t / warmup
        if t >= total:
            return end
        return (0.5 - end) * (1 - (t - warmup) / (total - warmup)) ** power + end

    compare(fairseq.polynomial_decay(0.5, total, warmup, end, power), formula)


@given(warmups, firsts, lows, st.integers(1, 30), st.sampled_from([0.5, 0.1, 1.0]))
def test_step(warmup, first, low, period, decay):
    start = low if first < 0 else first

    def formula(t):
        return start + t * (0.5 - start) / warmup if t < warmup else max(0.5 * decay ** ((t - warmup) // period), low)

    compare(fairseq.step(0.5, warmup, first, low, period, decay), formula)


@given(warmups, st.integers(0, 20), st.integers(1, 30), st.sampled_from([0.0, 0.01]), st.sampled_from([0.01, 0.05]))
def test_tri_stage(warmup, hold, decay, first, last):
    def formula(t):
        if t < warmup:
            return first * 0.5 + (0.5 - first * 0.5) / warmup * t
        if t < warmup + hold:
            return 0.5
        u = t - warmup - hold
        return 0.5 * math.exp(math.log(last) / decay * u) if u <= decay else last * 0.5

    compare(fairseq.tri_stage(0.5, warmup, hold, decay, None, first, last), formula)


@given(lows, st.integers(2, 30), st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_triangular(low, period, shrink, both):
    half = period // 2

    def formula(t):
        cycle = t // (2 * half)
        top = 0.5 * shrink**cycle
        bottom = low * shrink**cycle if both else low
        return bottom + (top - bottom) * max(0, 1 - abs(t / half - 2 * (cycle + 1) + 1))

    compare(fairseq.triangular(low, 0.5, period, shrink, both), formula, rtol=1e-11)


def test_manual_rates_stay_until_the_next():
    s = fairseq.manual(0.5, "{'1-2': 0.1, '4,5': 0.2}", "{'45': 0.3}", updates_per_epoch=10)
    assert [s(t) for t in (0, 19, 29, 30, 44, 45, 90)] == [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert fairseq.manual(0.5, update2lr="{'10': 0.1}")(9) == 0.5
    assert fairseq.manual(0.5, update2lr="{'1': 0.1}")(0) == 0.1


def test_the_ratios_of_tri_stage_are_rounded_down():
    # int(33 * 0.25) = 8, int(33 * 0.25) = 8, int(33 * 0.5) = 16
    assert fairseq.tri_stage(1.0, phase_ratio=(0.25, 0.25, 0.5), max_update=33) == fairseq.tri_stage(1.0, 8, 8, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fairseq.cosine(0.1, min_lr=0.1), r"lr=...\) must be > min_lr=0.1, got 0.1"),
        (lambda: fairseq.cosine(0.1), r"max_update=...\) must be more than the warm-up"),
        (lambda: fairseq.inverse_sqrt(0.1, 0), r"warmup_updates=...\) must be an int >= 1"),
        (lambda: fairseq.polynomial_decay(0.1, 0), r"total_num_update=...\) must be an int >= 1"),
        (lambda: fairseq.step(0.1, min_lr=0.2), r"lr=...\) must be > min_lr=0.2"),
        (lambda: fairseq.step(0.1, lr_decay=1.5), r"lr_decay=...\) must be a finite number > 0 and <= 1"),
        (lambda: fairseq.tri_stage(0.1, 5, 5, 0), r"decay_steps=...\) must be >= 1"),
        (lambda: fairseq.tri_stage(0.1, phase_ratio=(0.5, 0.4, 0.2), max_update=9), r"three numbers with the sum 1"),
        (lambda: fairseq.triangular(0.5, 0.5), r"max_lr=...\) must be > lr=0.5"),
        (lambda: fairseq.manual(0.1, update2lr="[1, 2]"), r"update2lr=...\) must be the text of a dictionary"),
    ],
)
def test_what_fairseq_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
