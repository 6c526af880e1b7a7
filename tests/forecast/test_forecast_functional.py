"""The functional law: its formula, units, several peaks, warm-ups, and what cannot be fitted together."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import forecast_models as protocol
from experiments import scheduling_logs as logs
from lrsched import Constant, Cosine, Linear, Warmup
from lrsched.forecast import (
    FunctionalLaw,
    MisfitWarning,
    MultiPowerLaw,
    Prior,
    UnidentifiedWarning,
    fit,
    fit_prior,
    forecast,
    plan,
    predict,
)
from lrsched.forecast._path import COARSE, FINE, as_path

# A language model, for rates over 1e-3.
TRUE = FunctionalLaw(l0=2.8, a=20.0, alpha=0.5, b=0.35, c=0.4, beta=0.2, limit=0.5, peak=1e-3)


def run(peak, steps=20_000, warmup=300, law=TRUE, decay=0.2):
    """Return a run and the losses of a law."""
    last = int(decay * steps)
    lr = Warmup(warmup) >> Constant(peak, steps=steps - warmup - last) >> Linear(peak, 0.0, steps=last)
    at = np.arange(200, steps, 200)
    return lr, at, predict(law, lr, at)


def by_hand(law, u, t):
    """The formula of the docstring as a double loop."""
    mean = [sum((2 * r + 1) * u[r] for r in range(s + 1)) / (s + 1) ** 2 for s in range(t + 1)]
    progress = np.cumsum([u[s] / (1 + mean[s] / law.limit) for s in range(t + 1)])
    loss = law.l0 + law.a * progress[t] ** -law.alpha

    def left(s):
        return (1 + law.c * (progress[t] - (progress[s] if s >= 0 else 0.0))) ** -law.beta

    return loss + law.b * sum(u[s] * mean[s] ** -0.75 * (left(s) - left(s - 1)) for s in range(t + 1))


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1.0), min_size=1, max_size=12).map(lambda u: [0.5, *u]))
def test_the_law_is_the_formula_of_its_docstring(u):
    law = FunctionalLaw(l0=2.0, a=3.0, alpha=0.5, b=0.4, c=2.0, beta=0.6, limit=0.5)
    every = law._see(as_path(np.array(u)), np.arange(len(u)), 1e-12)
    np.testing.assert_allclose(law._model(law.theta, every)[0], [by_hand(law, u, t) for t in range(len(u))], rtol=1e-9)


@pytest.mark.parametrize(
    "body", [Cosine(1e-3, 1e-4, steps=22_000), Constant(1e-3, steps=18_000) >> Linear(1e-3, 0.0, steps=4000)]
)
@pytest.mark.parametrize(("resolution", "most"), [(FINE, 2e-4), (COARSE, 1e-3)])
def test_stretches_move_a_prediction_by_little(body, resolution, most):
    rates = (Warmup(2000) >> body)(np.arange(24_000)) / TRUE.peak
    at = np.append(np.arange(2000, 24_000, 999), 23_999)
    merged, exact = (TRUE._model(TRUE.theta, TRUE._see(as_path(rates), at, each))[0] for each in (resolution, 1e-9))
    assert np.abs(merged - exact).max() < most


def test_many_points_are_summed_as_few_are():
    lr, at = Warmup(200) >> Cosine(2e-3, 0.0, steps=30_000), np.arange(200, 30_000)
    np.testing.assert_allclose(predict(TRUE, lr, at)[::997], predict(TRUE, lr, at[::997]), rtol=2e-4)


@pytest.mark.parametrize("unit", [1e-4, 1.0])
def test_the_unit_of_the_rates_is_free(unit):
    data = [run(1e-3), run(2e-3)]
    plain, other = fit(data), fit(data, peak=unit)
    at = np.arange(200, 20_000, 999)
    np.testing.assert_allclose(predict(other, run(5e-4)[0], at), predict(plain, run(5e-4)[0], at), rtol=1e-4)


def test_runs_of_two_peaks_predict_a_third_with_an_interval_that_holds_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = fit([run(5e-4), run(2e-3)])
    lr, at, loss = run(1e-3, steps=40_000)
    fresh, seen = (forecast(law, lr, int(at[-1]), seen=seen) for seen in (None, 20_000))
    assert fresh.lo < loss[-1] < fresh.hi
    assert fresh.mean == pytest.approx(loss[-1], abs=0.01)
    assert fresh.hi - fresh.lo > seen.hi - seen.lo
    assert plan(law, 1000, "constant")(0) == 2e-3


def test_curves_that_no_law_describes_together_are_told():
    other = FunctionalLaw(l0=3.3, a=15.0, alpha=0.5, b=0.35, c=0.4, beta=0.2, limit=0.5, peak=1e-3)
    with pytest.warns(MisfitWarning, match=r"no FunctionalLaw describes .* curves\[\d\] is off by [+-]\d"):
        fit([run(1e-3), run(1e-3, law=other)])
    with pytest.warns(MisfitWarning, match="no MultiPowerLaw describes"):
        MultiPowerLaw.fit([run(peak, decay=decay) for peak in (1e-4, 5e-4, 4e-3) for decay in (0.1, 0.9)])


@pytest.mark.parametrize("part", [0.02, 0.05, 0.1])
def test_a_warm_up_does_not_wreck_a_forecast(part):
    lr, at, loss = run(1e-3, warmup=int(part * 20_000))
    # Training begins far above any law.
    loss = loss + 8.0 * np.exp(-at / (0.15 * part * 20_000))
    seen = at < 10_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnidentifiedWarning)
        law = fit([(lr, at[seen], loss[seen])])
    assert forecast(law, lr, int(at[-1]), seen=9_999).mean == pytest.approx(loss[-1], abs=0.03)


def test_rates_of_another_kind_of_optimizer_are_taken_relative_to_their_peak():
    law = FunctionalLaw(l0=0.5, a=20.0, alpha=0.5, b=0.35, c=0.4, beta=0.2, limit=0.5, peak=0.3)
    fitted = fit([run(0.3, law=law), run(0.15, law=law)])
    lr, at, loss = run(0.2, law=law)
    assert predict(fitted, lr, at[-1:])[0] == pytest.approx(loss[-1], rel=0.01)
    assert FunctionalLaw._usual(0.3).rate == 0.3
    assert FunctionalLaw._usual(2e-2) == FunctionalLaw.prior


def test_a_law_that_is_unsure_teaches_little():
    sure, unsure = (
        FunctionalLaw(
            l0=2.8, a=20.0, alpha=alpha, b=0.35, c=0.4, beta=0.2, limit=0.5, peak=1e-3,
            covariance=tuple((sd**2 * np.eye(7)).ravel()),
        )
        for alpha, sd in ((0.5, 0.01), (0.3, 2.0))
    )  # fmt: skip
    assert fit_prior([sure, unsure], least=0.1).centre[2] == pytest.approx(0.5, rel=0.02)
    taught = fit_prior([sure, sure])
    assert taught.rate == 1e-3
    np.testing.assert_allclose(np.reshape(taught.correlation, (7, 7)), np.eye(7), atol=1e-9)


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        ((1.0, 0.0), "2 rows, row by row, got 2 numbers"),
        ((1.0, 0.5, 0.4, 1.0), "symmetric, 1 on the diagonal"),
        ((1.0, 0.5, 0.5, 2.0), "symmetric, 1 on the diagonal"),
        ((1.0, 1.0, 1.0, 1.0), "positive definite"),
    ],
)
def test_what_is_no_correlation_is_refused(correlation, message):
    with pytest.raises(ValueError, match=message):
        Prior((1.0, 2.0), spread=(1.0, 1.0), correlation=correlation)


@pytest.fixture(scope="module")
def study():
    return protocol.Study(logs.load())


class TestLogs:
    """On the logs of ten language models; skipped where they are missing."""

    pytestmark = pytest.mark.skipif(logs.logs() is None, reason=logs.HELP)

    def test_every_branch_is_joined_to_the_run_it_left(self, study):
        runs = logs.load()
        assert (len(runs), sum(run.resumed > 0 for run in runs), len(study.runs)) == (202, 97, 201)
        assert all(run.steps[0] == 0 for run in runs)
        assert len(study.models) == 10

    def test_the_shipped_prior_is_what_the_logs_teach(self, study):
        taught, shipped = study.prior("FunctionalLaw"), FunctionalLaw.prior
        np.testing.assert_allclose(taught.centre[1:], shipped.centre[1:], rtol=0.01)
        np.testing.assert_allclose(taught.spread, shipped.spread, rtol=0.01)
        np.testing.assert_allclose(taught.correlation, shipped.correlation, atol=0.01)

    @pytest.mark.filterwarnings("ignore::lrsched.forecast.UnidentifiedWarning")
    def test_forecasts_for_small_models_that_it_has_not_seen_are_as_near_as_is_said(self, study):
        for fraction, most in ((0.5, 0.011), (0.75, 0.0085)):
            jobs = zip(filter(protocol.ends, study.runs), study.prefix("FunctionalLaw", fraction), strict=True)
            rows = [job() for run, job in jobs if run.model != protocol.GRID]
            assert np.mean(list(protocol.by_model(rows, protocol.error).values())) < most
