"""Forecasts of very many points, jumps and steps: the work grows in proportion, nothing large is laid out."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import Constant, Cooldown, Cosine, Exponential, Repeat, Warmup, multi_step
from lrsched._command.forecast import LoggedRun, _block_means
from lrsched.forecast import AnnealingLaw, MultiPowerLaw, predict
from lrsched.forecast import _path as path
from lrsched.forecast import _sums as sums

LAWS = [
    MultiPowerLaw(l0=2.5, a=20.0, alpha=0.5, b=0.15, c=0.04, beta=0.5, gamma=0.4),
    AnnealingLaw(l0=2.5, a=20.0, alpha=0.5, c=0.15, memory=300.0),
]
both = pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
N = 3_000
STEP = np.arange(N)
RATES = {
    "cosine": (Warmup(60) >> Cosine(1.0, 0.0, steps=N - 60))(STEP) + 1e-9,
    "sawtooth": 1.0 - 0.9 * (STEP % 50) / 50,
    "noise": 0.5 + 0.1 * np.random.default_rng(0).normal(size=N),
    "on and off": np.where(STEP % 1000 < 500, 1.0, 0.0),
    "one drop": np.where(STEP < 1500, 1.0, 0.01),
}


@both
@pytest.mark.parametrize("kind", RATES)
def test_sums_over_halves_are_sums_over_pairs(law, kind, monkeypatch):
    rng = np.random.default_rng(1)
    seen = path.trace(RATES[kind], rng.permutation(N), path.FINE)
    for _ in range(2):
        theta = law.theta + rng.normal(size=law.theta.size)
        monkeypatch.setattr(sums, "PAIRS", 1e99)
        loss, slope = law._model(theta, seen)
        monkeypatch.setattr(sums, "PAIRS", 0)
        fast, fast_slope = law._model(theta, seen)
        scale = np.exp(theta[3]) * np.abs(seen.jumps.gap).max()
        np.testing.assert_allclose(fast, loss, rtol=1e-12, atol=3e-9 * scale)
        np.testing.assert_allclose(fast_slope / np.abs(slope).max(axis=0), slope / np.abs(slope).max(axis=0), atol=3e-9)


def pairs(points, sources) -> int:
    """Return how many pairs a sum computes."""
    found = [0]

    def kernel(at, some):
        far = np.maximum(np.subtract.outer(at, sources[some]), 0.0)
        found[0] += far.size
        return (far / (1.0 + far)).sum(axis=1, keepdims=True)

    sums.summed(points, sources, kernel)
    return found[0]


def test_twice_the_points_and_jumps_are_little_more_than_twice_the_work():
    once, twice = (pairs(np.arange(float(n)), np.arange(float(n))) for n in (20_000, 40_000))
    assert twice < 2.3 * once
    assert once < 20_000**2 / 50


def test_the_count_of_pairs_sees_squares(monkeypatch):
    monkeypatch.setattr(sums, "PAIRS", 1e99)
    once, twice = (pairs(np.arange(float(n)), np.arange(float(n))) for n in (1_000, 2_000))
    assert twice > 3 * once


def memory(of) -> int:
    """Return the most bytes that a call holds at once."""
    tracemalloc.start()
    try:
        of()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@both
def test_a_prediction_takes_memory_in_proportion_to_its_points(law):
    n = 100_000
    schedule = Warmup(2_000) >> Cosine(1.0, 0.0, steps=n - 2_000)
    # Bytes; a matrix of points and jumps would be 40 times that.
    assert memory(lambda: predict(law, schedule, np.arange(n))) < 400 * n


def test_a_fit_takes_memory_in_proportion_to_its_points():
    n = 8_000
    schedule, at = Warmup(2_000) >> Cosine(1.0, 0.0, steps=n - 2_000), np.arange(2_000, n)
    loss = predict(LAWS[0], schedule, at) * np.exp(1e-2 * np.random.default_rng(0).normal(size=at.size))
    assert memory(lambda: LAWS[0].fit([(schedule, at, loss)])) < 600 * n


@both
@pytest.mark.parametrize(
    "schedule",
    [
        Warmup(3_000) >> Cosine(1.0, 0.0, steps=197_000),
        Constant(1.0, steps=180_000) >> Cooldown(20_000),
        multi_step(1.0, 0.1, (100_001, 150_001)),
        Repeat(Cosine(1.0, 0.1, steps=10_000)),
        Exponential(1.0, 0.5, steps=50_000),
    ],
)
def test_a_schedule_read_in_stretches_predicts_what_all_its_steps_do(law, schedule, monkeypatch):
    at = np.unique(np.geomspace(10, 199_999, 300).astype(int))
    exact = predict(law, schedule, at)
    monkeypatch.setattr(path, "LONG", 2**15)
    np.testing.assert_allclose(predict(law, schedule, at), exact, rtol=5e-5)


def test_a_trillion_steps_are_not_laid_out():
    last = 10**12
    loss = predict(LAWS[0], Constant(1.0, steps=last // 2) >> Constant(0.5), [99, last])
    # Both jumps have been answered but for some 1e-5 of them: (1 + 0.04 * 7.5e11)**-0.5 = 6e-6.
    assert loss[1] == pytest.approx(2.5 + 20.0 * (0.75 * last) ** -0.5 + 0.15 - 0.075, abs=1e-5)
    assert loss[0] == predict(LAWS[0], Constant(1.0), [99])[0]


def test_steps_that_no_float_counts_are_refused():
    with pytest.raises(ValueError, match=r"predict\(steps=...\) must be integers <= 2\*\*53, got 9007199254740993"):
        predict(LAWS[0], Constant(1.0), [2**53 + 1])
    with pytest.raises(ValueError, match="must hold the rate of each step up to 1000000000000, got 5 rates"):
        predict(LAWS[0], [0.1] * 5, [10**12])


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True).map(sorted),
    st.integers(0, 40),
    st.integers(1, 12),
    st.randoms(use_true_random=False),
)
def test_the_rate_of_a_block_is_the_mean_over_its_updates(steps, warmup, every, rng):
    rates = [rng.random() for _ in steps]
    count = (steps[-1] + 1) // every
    if not count:
        return
    every_step = np.interp(np.arange(steps[-1] + 1), steps, rates)
    rise = min(warmup, steps[0])
    every_step[:rise] *= np.arange(rise) / max(rise, 1)
    run = LoggedRun(np.array(steps), np.array(rates), np.array(rates), np.ones(len(steps), dtype=bool), ())
    expected = every_step[: count * every].reshape(count, every).mean(axis=1)
    np.testing.assert_allclose(_block_means(run, warmup, every, count), expected, rtol=1e-13, atol=1e-300)


def test_a_constant_rate_is_the_same_in_each_block():
    run = LoggedRun(np.array([3, 7, 19, 40, 10**12]), np.full(5, 0.1), np.ones(5), np.ones(5, dtype=bool), ())
    assert (_block_means(run, 0, 7 * 10**7, 14_000) == 0.1).all()
