"""The bound of convex optimisation: against its sum in 50 digits, published figures, and what must follow from it."""

import math

import mpmath
import numpy as np
import pytest

from lrsched import Constant, Cosine, Exponential, Linear, Monomial, Repeat, Warmup
from lrsched.forecast import best_peaks, convex_bound, transfer_horizon

T = 10_000
LINEAR = Linear(1.0, 0.0, steps=T)
WSD = Constant(1.0, steps=8_000) >> Linear(1.0, 0.0, steps=2_000)
ROOT = Constant(1.0, steps=8_000) >> (Monomial(1.0, 0.0, steps=2_000, power=0.5))
RUN = Warmup(300) >> Constant(1e-3, steps=39_700) >> Linear(1e-3, 0.0, steps=10_000)


def by_hand(rates, distance, norms):
    """Return the sum of the docstring, digit by digit, as it stands there."""
    rates = [mpmath.mpf(float(rate)) for rate in np.trim_zeros(rates, "b")]
    squares = [(rate * mpmath.mpf(float(norm))) ** 2 for rate, norm in zip(rates, norms, strict=False)]
    left, square = ([mpmath.fsum(each[k:]) for k in range(len(each))] for each in (rates, squares))
    last = mpmath.fsum(rates[k] * square[k] / (left[k] * left[k + 1]) for k in range(len(rates) - 1))
    return (mpmath.mpf(distance) ** 2 + square[0]) / (2 * left[0]) + last / 2


@pytest.mark.parametrize("seed", range(40))
def test_the_bound_is_the_sum_of_its_docstring(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 60))
    rates = 10.0 ** rng.uniform(-6, 1, steps) * (rng.random(steps) < 0.8)
    rates[rng.integers(steps)] += 0.1
    if seed % 3 == 0:
        rates[steps // 2 + 1 :] = 0.0
        rates[0] += 0.01
    norms = rng.uniform(0.1, 5.0, steps)
    distance = float(rng.uniform(0.01, 100.0))
    with mpmath.workdps(50):
        wanted = float(by_hand(rates, distance, norms))
    assert convex_bound(rates, steps, distance=distance, gradient_norms=norms) == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize(
    ("shape", "figure"), [(LINEAR, 2.0008), (Cosine(1.0, 0.0, steps=T), 2.0605), (WSD, 2.1614), (ROOT, 2.1272)]
)
def test_published_figures_of_shapes_at_their_best_peak(shape, figure):
    (tuned,) = best_peaks([shape], T)
    assert tuned.bound * math.sqrt(T) == pytest.approx(figure, abs=5e-4)
    assert convex_bound(tuned.schedule, T) == pytest.approx(tuned.bound, rel=1e-12)


def test_the_order_of_shapes_and_their_ratios():
    shapes = [Constant(1.0), WSD, LINEAR, Cosine(1.0, 0.0, steps=T), ROOT]
    found = best_peaks(shapes, T)
    assert [round(tuned.bound * 100, 3) for tuned in found] == [2.001, 2.060, 2.127, 2.161, 3.284]
    assert found[-1].ratio == pytest.approx(3.2844 / 2.0008, abs=1e-3)


def test_a_best_peak_is_better_than_its_neighbours_and_falls_as_the_root_of_the_horizon():
    peaks = []
    for steps in (1_000, 10_000, 100_000):
        (tuned,) = best_peaks([Cosine(0.3, 0.0, steps=steps)], steps, distance=2.0, gradient_norms=5.0)
        for other in (0.99, 1.01):
            worse = convex_bound(other * tuned.schedule, steps, distance=2.0, gradient_norms=5.0)
            assert worse > convex_bound(tuned.schedule, steps, distance=2.0, gradient_norms=5.0)
        peaks.append(tuned.peak * math.sqrt(steps))
    assert peaks == pytest.approx([peaks[0]] * 3, rel=0.01)


def test_zeros_at_the_end_and_rates_far_below_the_peak_change_nothing():
    some = convex_bound([1.0, 0.5], 2)
    assert convex_bound([1.0, 0.5, 0.0, 0.0], 4, gradient_norms=[1.0, 1.0, 7.0, 9.0]) == some
    falling = Exponential(1.0, 0.5)  # 2**-999 at the end, whose square is 0
    assert convex_bound(falling, 1_000) == pytest.approx(convex_bound(falling, 500), abs=0.5)
    assert convex_bound(lambda t: 1.0 / (1.0 + t), 3) == convex_bound([1.0, 1 / 2, 1 / 3], 3)
    assert convex_bound([1e-200, 1e-200], 2, distance=1e-200) == pytest.approx(1.25e-200, rel=1e-12)


def test_the_horizon_transfers_of_the_paper():
    """Schaipp et al. chose .6 of the run, and the factors .525 and .375, from a figure."""
    longer = transfer_horizon(RUN, 50_000, 100_000)
    assert longer.parts[-1].steps / 100_000 == pytest.approx(0.6, abs=0.05)
    for to, factor in ((100_000, 0.525), (200_000, 0.375)):
        staged = transfer_horizon(RUN, 50_000, to, how="two_stage")
        assert staged.parts[3].value / 1e-3 == pytest.approx(factor, abs=0.01)
        assert staged.length == to
    assert transfer_horizon(RUN, 50_000, 200_000, how="rescale")(1_000) == pytest.approx(5e-4, rel=0.01)


@pytest.mark.parametrize("how", ["decay", "two_stage", "rescale"])
@pytest.mark.parametrize("to", [1_500, 2_600])
@pytest.mark.parametrize(
    "run",
    [
        Warmup(50) >> Constant(0.3, steps=850) >> Cosine(0.3, 0.03, steps=100),
        Constant(0.3, steps=900) >> Linear(0.3, 0.0, steps=60) >> Constant(0.0),
        Warmup(100) >> Constant(0.3, steps=800) >> 0.3 * (Monomial(1.0, 0.0, steps=100, power=0.5)),
    ],
)
def test_the_peak_of_a_transfer_is_the_best_one_where_it_started_from_the_best_one(run, how, to):
    (here,) = best_peaks([run], 1_000)
    moved = transfer_horizon(run, 1_000, to, how=how)
    (there,) = best_peaks([moved], to, distance=1.0 / here.factor)
    assert there.factor == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(moved(np.arange(50)) * run(60), run(np.arange(50)) * moved(60), rtol=1e-12)


def test_the_same_horizon_gives_the_same_schedule():
    assert transfer_horizon(RUN, 50_000, 50_000) == RUN
    unchanged = transfer_horizon(RUN, 50_000, 50_000, how="rescale")
    np.testing.assert_allclose(unchanged(np.arange(50_000)), RUN(np.arange(50_000)), rtol=1e-12)


def test_a_horizon_too_long_for_the_peak_decays_from_the_rise_on():
    assert transfer_horizon(RUN, 50_000, 400_000) == Warmup(300) >> Linear(1e-3, 0.0, steps=399_700)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convex_bound(Constant(0.0), 10), r"convex_bound\(schedule\) must give 10 finite rates >= 0, one of"),
        (lambda: convex_bound([0.1, -0.1], 2), r"convex_bound\(schedule\) must give 2 finite rates >= 0"),
        (lambda: convex_bound([0.1, 0.1], 3), r"convex_bound\(schedule\) must give 3 finite"),
        (
            lambda: convex_bound(LINEAR, 3, gradient_norms=[1.0, 2.0]),
            r"convex_bound\(gradient_norms=...\) must be a fin",
        ),
        (lambda: convex_bound(LINEAR, 3, gradient_norms=0.0), r"gradient_norms=...\) must be a finite number > 0"),
        (lambda: convex_bound(LINEAR, 2**28), r"convex_bound\(steps=...\) must be an int >= 1 and <= 134217728"),
        (lambda: best_peaks([LINEAR, Constant(0.0)], 3), r"best_peaks\(schedules\[1\]\) must give 3 finite rates"),
        (lambda: transfer_horizon(Constant(0.1), 10, 20), r"must rise, stay at its peak and fall.*peak at the end"),
        (lambda: transfer_horizon(Repeat(LINEAR), 2 * T, 3 * T), r"has left its peak between 0 and 10000"),
        (lambda: transfer_horizon(RUN, 50_000, 300), r"transfer_horizon\(to=...\) must be an int >= 302"),
        (lambda: transfer_horizon(RUN, 50_000, 51_000, how="two_stage"), r"must leave room for a second stage"),
    ],
)
def test_what_cannot_be_bounded_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match=r"best_peaks\(schedules=...\)\[1\] must be a schedule or a function"):
        best_peaks([LINEAR, 0.1], 3)
