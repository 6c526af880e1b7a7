"""The named schedules against the formulas of their papers, written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrsched as ls

small = st.integers(1, 200)
peaks = st.floats(1e-6, 10.0)


def cosd(x):
    return (1 + math.cos(math.pi * x)) / 2


@given(peaks, small, st.integers(1, 400), st.integers(0, 700))
def test_warmup_cosine_is_its_two_formulas(peak, warmup, decay, t):
    expected = peak * t / warmup if t < warmup else peak * cosd(min((t - warmup) / decay, 1.0))
    assert ls.warmup_cosine(peak, warmup + decay, warmup)(t) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(peaks, small, st.integers(1, 400), st.integers(0, 700))
def test_warmup_linear_is_its_two_formulas(peak, warmup, decay, t):
    expected = peak * min(t / warmup, max((warmup + decay - t) / decay, 0.0))
    assert ls.warmup_linear(peak, warmup + decay, warmup)(t) == pytest.approx(expected, rel=1e-12)


@given(peaks, small, small, small, st.sampled_from(["linear", "cosine", "1-sqrt", "1-square", "square", "exponential"]))
def test_wsd_is_stable_between_its_ramps(peak, warmup, stable, cooldown, shape):
    schedule = ls.wsd(peak, warmup + stable + cooldown, warmup, cooldown, shape=shape)
    assert schedule.length == warmup + stable + cooldown
    assert {schedule(t) for t in range(warmup, warmup + stable + 1)} == {peak}
    x = np.arange(cooldown + 1) / cooldown
    tails = {
        "linear": 1 - x,
        "cosine": (1 + np.cos(np.pi * x)) / 2,
        "1-sqrt": 1 - np.sqrt(x),
        "1-square": 1 - x**2,
        "square": (1 - x) ** 2,
        "exponential": 2 * 0.5**x - 1,
    }
    tail = schedule(np.arange(warmup + stable, schedule.length + 1))
    np.testing.assert_allclose(tail, peak * tails[shape], rtol=1e-9, atol=1e-12 * peak)


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt", "1-square", "square", "exponential"])
def test_a_warmup_is_the_mirror_image_of_the_cooldown_of_its_name(shape):
    up = ls.Warmup(50, shape=shape) >> ls.Constant(0.3)
    down = ls.Constant(0.3, 1) >> ls.Cooldown(50, shape=shape)
    for t in range(51):
        assert up(t) == pytest.approx(down(51 - t), rel=1e-12, abs=1e-16)


def test_wsd_s_ends_each_period_with_a_decay():
    schedule = ls.wsd_s(1.0, periods=[10, 20, 30], cooldown=5, warmup=4, end=0.1)
    assert [schedule(4 + end) for end in (10, 30)] == [1.0, 1.0]  # the next period begins
    assert [schedule(4 + end - 1) for end in (10, 30, 60)] == pytest.approx([0.28, 0.28, 0.28])  # 1 - 0.9 * 4 / 5
    assert schedule(64) == 0.1


@given(peaks, st.integers(1, 500), st.integers(0, 5_000))
def test_inverse_sqrt_and_noam_are_the_minimum_of_two_powers(peak, warmup, t):
    expected = peak * min(t / warmup, math.sqrt(warmup / max(t, 1)))
    assert ls.inverse_sqrt(peak, warmup)(t) == pytest.approx(expected, rel=1e-12)
    noam = 512**-0.5 * min(max(t, 1) ** -0.5, t * warmup**-1.5)
    assert ls.noam(512, warmup)(t) == pytest.approx(noam, rel=1e-12)


@given(peaks, st.integers(1, 50), st.integers(0, 400))
def test_step_decay_drops_after_every_period(start, every, t):
    assert ls.step_decay(start, 0.5, every)(t) == pytest.approx(start * 0.5 ** (t // every), rel=1e-12)


@given(peaks, st.lists(st.integers(1, 100), min_size=1, max_size=6).map(sorted), st.integers(0, 120))
def test_multi_step_counts_milestones_up_to_the_step(start, milestones, t):
    expected = start * 0.1 ** sum(m <= t for m in milestones)
    assert ls.multi_step(start, 0.1, milestones)(t) == pytest.approx(expected, rel=1e-12)


@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 1_000))
def test_cyclical_rates_follow_smith(up, down, t):
    cycle, phase = divmod(t, up + down)
    height = phase / up if phase < up else (up + down - phase) / down
    low, high = 0.1, 0.5
    expected = {
        "triangular": low + (high - low) * height,
        "triangular2": low + (high - low) * height * 0.5**cycle,
        "exp_range": low + (high - low) * height * 0.99**t,
    }
    assert ls.Triangular(low, high, up, down)(t) == pytest.approx(expected["triangular"], rel=1e-12)
    assert ls.triangular2(low, high, up, down)(t) == pytest.approx(expected["triangular2"], rel=1e-12)
    assert ls.exp_range(low, high, up, 0.99, down)(t) == pytest.approx(expected["exp_range"], rel=1e-12)


def test_sgdr_restarts_at_doubling_periods():
    schedule = ls.sgdr(1.0, steps=10, end=0.1)
    assert [schedule(t) for t in (0, 10, 30, 70, 150)] == [1.0] * 5
    assert schedule(29) == pytest.approx(0.1 + 0.9 * cosd(19 / 20))


def test_one_cycle_rises_and_falls_below_its_start():
    schedule = ls.one_cycle(1.0, steps=100, warmup=30, start_divisor=25.0, end_divisor=1e4)
    assert schedule(15) == pytest.approx(0.04 + 0.96 * 0.5)
    assert (schedule(0), schedule(30), schedule(100)) == (0.04, 1.0, pytest.approx(4e-6))


def test_slanted_triangular_follows_its_paper():
    # eq. 3: cut = floor(T * cut_frac); p rises to 1 and falls to 0; lr = peak * (1 + p * (ratio - 1)) / ratio
    peak, total, frac, ratio = 0.01, 200, 0.1, 32
    cut = math.floor(total * frac)
    schedule = ls.slanted_triangular(peak, total, frac, ratio)
    for t in range(total + 1):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / frac - 1))
        assert schedule(t) == pytest.approx(peak * (1 + p * (ratio - 1)) / ratio, rel=1e-9)


def test_tri_stage_ends_in_an_exponential():
    schedule = ls.tri_stage(1.0, warmup=10, hold=20, cooldown=40, start_scale=0.1, end_scale=0.01)
    assert [schedule(t) for t in (0, 5, 10, 29, 30)] == pytest.approx([0.1, 0.55, 1.0, 1.0, 1.0])
    assert schedule(50) == pytest.approx(math.exp(math.log(0.01) * 20 / 40))
    assert schedule(70) == 0.01


def test_flat_cosine_power_schedule_and_range_test():
    assert ls.flat_cosine(1.0, 100, hold=0.6)(80) == pytest.approx(0.5)
    schedule = ls.power_schedule(1.0, warmup=100, steps=1_000, cooldown=200, power=0.51)
    assert schedule(400) == pytest.approx((400 / 100) ** -0.51)
    assert schedule(900) == pytest.approx((800 / 100) ** -0.51 / 2)
    assert ls.range_test(1e-7, 10.0, 100)(25) == pytest.approx(1e-5)


def test_chebyshev_steps_are_those_of_chebyshev_iteration():
    # the step sizes 2 / (M + m - (M - m) cos(theta_k)) for curvatures between m and M, in another order
    m, big, count = 0.05, 0.95, 16
    thetas = (np.arange(count) + 0.5) / count * np.pi
    expected = 2.0 / (big + m - (big - m) * np.cos(thetas))
    schedule = ls.chebyshev(2.0 / (big + m), doublings=4, condition=big / m)
    np.testing.assert_allclose(sorted(schedule.values), sorted(expected), rtol=1e-12)
    # on any quadratic between m and M the product of (1 - step * curvature) is below the Chebyshev bound
    curvatures = np.linspace(m, big, 500)
    left = np.prod(1 - np.array(schedule.values)[:, None] * curvatures, axis=0)
    bound = 1 / math.cosh(count * math.acosh((big + m) / (big - m)))
    assert np.abs(left).max() <= bound * (1 + 1e-9)


def test_piecewise_recipes_are_tables():
    constant = ls.piecewise_constant([10, 20], [0.1, 0.01, 0.001])
    assert [constant(t) for t in (0, 9, 10, 19, 20, 99)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    steps, values = [0, 10, 30, 40], [0.0, 1.0, 0.25, 0.0]
    t = np.arange(50)
    np.testing.assert_allclose(ls.piecewise_linear(steps, values)(t), np.interp(t, steps, values), atol=1e-15)


def test_the_values_of_a_staircase_print_as_a_person_would_write_them():
    assert repr(ls.multi_step(0.1, 0.1, [30, 80])) == (
        "Constant(0.1, steps=30) >> Constant(0.01, steps=50) >> Constant(0.001)"
    )
    assert repr(ls.multi_step(3e-4, 0.1, [10, 10, 20])) == (
        "Constant(0.0003, steps=10) >> Constant(3e-06, steps=10) >> Constant(3e-07)"
    )


@given(st.floats(1e-6, 10.0), st.floats(0.0, 2.0), st.integers(1, 40))
def test_the_values_of_a_staircase_are_within_rounding_of_products_of_floats(start, factor, drops):
    found = [ls.multi_step(start, factor, list(range(1, drops + 1)))(t) for t in range(drops + 1)]
    want = np.multiply.accumulate([start] + drops * [factor])
    np.testing.assert_allclose(found, want, rtol=(drops + 1) * 2.0**-52, atol=1e-300)
    assert found == sorted(found, reverse=factor <= 1.0)


def test_a_staircase_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"multi_step\(factor=...\) must keep every value finite, got 1e\+200"):
        ls.multi_step(1e200, 1e200, [1, 2])
