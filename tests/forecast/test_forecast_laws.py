"""Loss laws: the formula as it is written, its derivatives, fits, plans, and what they refuse."""

import json
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import Constant, Cooldown, Cosine, Linear, Warmup, from_config, to_config
from lrsched.forecast import (
    AnnealingLaw,
    FunctionalLaw,
    MultiPowerLaw,
    Prior,
    UnidentifiedWarning,
    fit_prior,
    forecast,
    plan,
    predict,
)
from lrsched.forecast._path import COARSE, FINE, as_path, jumps_of, merge, trace

LAWS = {
    MultiPowerLaw: MultiPowerLaw(l0=2.0, a=3.0, alpha=0.5, b=0.4, c=0.2, beta=0.6, gamma=0.5),
    AnnealingLaw: AnnealingLaw(l0=2.0, a=3.0, alpha=0.5, c=0.4, memory=7.0),
    FunctionalLaw: FunctionalLaw(l0=2.0, a=3.0, alpha=0.5, b=0.4, c=0.2, beta=0.6, limit=0.7),
}
# The published law of a language model of 100M parameters (arXiv 2503.12811), for rates as they are.
PUBLISHED = MultiPowerLaw(
    l0=2.6514477024161742, a=0.6011515230827974, alpha=0.4529581100522778, b=437.94642760340304,
    c=2.132456121480403, beta=0.5978519925072291, gamma=0.6552364418199805,
)  # fmt: skip
both = pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: type(law).__name__)


def rates(least: int = 1, most: int = 12) -> st.SearchStrategy[list[float]]:
    return st.lists(st.just(0.0) | st.floats(1e-6, 1.0), min_size=least, max_size=most).map(lambda u: [0.5, *u])


def multi_power_by_hand(law: MultiPowerLaw, u: list[float], t: int) -> float:
    """The formula of the paper as a double loop, warm-up jumps inside the sum."""
    area = [sum(u[: i + 1]) for i in range(len(u))]
    loss = law.l0 + law.a * area[t] ** -law.alpha
    for k in range(t + 1):
        gap = (u[k - 1] if k else 0.0) - u[k]
        since = area[t] - (area[k - 1] if k else 0.0)
        level = max(u[k], 1e-12 * max(u))  # rate 0 is taken for nearly 0
        loss -= law.b * gap * (1 - (1 + law.c * level**-law.gamma * since) ** -law.beta)
    return loss


def annealing_by_hand(law: AnnealingLaw, u: list[float], t: int) -> float:
    """The recursion of the paper, in the notation of the class."""
    momentum = total = 0.0
    for k in range(t + 1):
        momentum = (1 - 1 / law.memory) * momentum + (u[k - 1] if k else 0.0) - u[k]
        total += momentum
    return law.l0 + law.a * sum(u[: t + 1]) ** -law.alpha - law.c * total / law.memory


@given(rates())
def test_the_multi_power_law_is_the_formula_of_its_paper(u):
    law = LAWS[MultiPowerLaw]
    every = trace(np.array(u), np.arange(len(u)), 1e-12)
    expected = [multi_power_by_hand(law, u, t) for t in range(len(u))]
    np.testing.assert_allclose(law._model(law.theta, every)[0], expected, rtol=1e-9)


@given(rates())
def test_the_annealing_law_is_the_recursion_of_its_paper(u):
    law = LAWS[AnnealingLaw]
    every = trace(np.array(u), np.arange(len(u)), 1e-12)
    expected = [annealing_by_hand(law, u, t) for t in range(len(u))]
    np.testing.assert_allclose(law._model(law.theta, every)[0], expected, rtol=1e-9)


@both
@given(u=rates(least=4), shift=st.floats(-0.5, 0.5))
def test_the_jacobian_is_the_derivative(law, u, shift):
    path = law._see(as_path(np.array(u)), np.arange(len(u)), FINE)
    theta = law.theta + shift
    _, slope = law._model(theta, path)
    small = 1e-5
    for i in range(theta.size):
        step = small * np.eye(theta.size)[i]
        difference = (law._model(theta + step, path)[0] - law._model(theta - step, path)[0]) / (2 * small)
        np.testing.assert_allclose(slope[:, i], difference, rtol=1e-5, atol=1e-7)


def test_a_rise_of_the_rate_costs_what_the_law_says():
    # Rates 0.5, 1: area 1.5; jumps -0.5 at area 0 (level 0.5) and -0.5 at area 0.5 (level 1). With all parameters 1:
    # 1 + 1/1.5 + 0.5 * (1 - 1 / (1 + 2 * 1.5)) + 0.5 * (1 - 1 / (1 + 1 * 1)) = 2.291666...
    law = MultiPowerLaw(l0=1.0, a=1.0, alpha=1.0, b=1.0, c=1.0, beta=1.0, gamma=1.0)
    assert predict(law, [0.5, 1.0], [1])[0] == pytest.approx(1 + 1 / 1.5 + 0.375 + 0.25)


@pytest.mark.parametrize(
    "body",
    [Cosine(3e-4, 3e-5, steps=22_000), Constant(3e-4, steps=18_000) >> Cooldown(4000), Linear(3e-4, 0.0, steps=22_000)],
)
def test_merged_jumps_move_a_prediction_by_less_than_5e_5(body):
    lr = (Warmup(2000) >> body)(np.arange(24_000))
    at = np.arange(2000, 24_000, 499)
    exact = trace(lr, at, 1e-12)._replace(jumps=jumps_of(lr))
    merged = PUBLISHED._model(PUBLISHED.theta, trace(lr, at, FINE))[0]
    assert np.abs(merged - PUBLISHED._model(PUBLISHED.theta, exact)[0]).max() < 5e-5


@given(rates(most=60), st.sampled_from([FINE, COARSE, 0.1]))
def test_merging_keeps_the_total_of_the_jumps(u, resolution):
    every = jumps_of(np.array(u))
    assert merge(every, resolution).gap.sum() == pytest.approx(every.gap.sum())
    assert merge(every, resolution).gap.size <= every.gap.size


@given(st.floats(1e-6, 1e3))
def test_the_unit_of_the_rates_is_free(unit):
    law = LAWS[MultiPowerLaw]
    scaled = MultiPowerLaw(
        law.l0, a=law.a, alpha=law.alpha, b=law.b, c=law.c, beta=law.beta, gamma=law.gamma, peak=unit
    )
    u, at = np.linspace(1, 0, 50), np.arange(50)
    np.testing.assert_allclose(predict(scaled, unit * u, at), predict(law, u, at), rtol=1e-9)


def test_a_schedule_stands_for_its_rates():
    schedule = Warmup(5) >> Cosine(1.0, 0.0, steps=45)
    law = LAWS[MultiPowerLaw]
    assert (predict(law, schedule, [10, 40]) == predict(law, schedule(np.arange(50)), [10, 40])).all()


def test_there_is_no_finite_loss_before_the_first_positive_rate():
    assert predict(LAWS[MultiPowerLaw], [0.0, 1.0], [0, 1])[0] == np.inf


def curves(law, *, noise=0.0):
    """Return a run with a drop and a smooth one, with the losses of `law`."""
    rng = np.random.default_rng(0)
    at = np.arange(100, 4000, 20)
    for schedule in (Constant(1.0, steps=2000) >> Constant(0.2), Warmup(200) >> Cosine(1.0, 0.0, steps=3800)):
        yield schedule, at, predict(law, schedule, at) * np.exp(noise * rng.normal(size=at.size))


TRUE = {
    MultiPowerLaw: MultiPowerLaw(l0=2.5, a=20.0, alpha=0.5, b=0.15, c=0.04, beta=0.5, gamma=0.4),
    AnnealingLaw: AnnealingLaw(l0=2.5, a=20.0, alpha=0.5, c=0.15, memory=300.0),
    FunctionalLaw: FunctionalLaw(l0=2.5, a=15.0, alpha=0.5, b=0.3, c=0.3, beta=0.2, limit=0.5),
}


@pytest.mark.parametrize("kind", TRUE)
def test_a_fit_predicts_a_schedule_that_it_has_not_seen(kind):
    fitted = kind.fit(list(curves(TRUE[kind], noise=1e-3)))
    other = Constant(1.0, steps=3000) >> Linear(1.0, 0.0, steps=1000)
    at = np.arange(400, 4000, 50)
    np.testing.assert_allclose(predict(fitted, other, at), predict(TRUE[kind], other, at), rtol=2e-3)
    assert fitted.status == "identified"
    assert fitted.spread == pytest.approx(1e-3, rel=0.5)


@pytest.mark.parametrize("kind", TRUE)
def test_a_fit_with_outliers_predicts_as_well(kind):
    data = []
    for schedule, at, loss in curves(TRUE[kind], noise=1e-3):
        loss[::25] *= 1.5
        data.append((schedule, at, loss))
    at = np.arange(200, 4000, 50)
    fitted = kind.fit(data)
    np.testing.assert_allclose(predict(fitted, Constant(1.0), at), predict(TRUE[kind], Constant(1.0), at), rtol=5e-3)


@pytest.mark.parametrize("kind", TRUE)
def test_rates_that_never_moved_do_not_identify_a_law(kind):
    at = np.arange(100, 4000, 20)
    flat = (Constant(1.0), at, predict(TRUE[kind], Constant(1.0), at))
    with pytest.warns(UnidentifiedWarning, match="mostly its prior; add a run with a drop"):
        assert kind.fit([flat]).status == "unidentified"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kind.fit([flat, next(curves(TRUE[kind]))]).status == "identified"


def test_a_narrow_prior_wins_over_the_data_and_a_wide_one_does_not():
    data = list(curves(TRUE[MultiPowerLaw]))
    centre = (1.0, 1.0, 0.45, 1.3, 0.03, 0.9, 0.3)
    narrow = MultiPowerLaw.fit(data, Prior(centre, spread=(10.0, 10.0, 0.3, 0.5, 1.0, 1e-4, 0.2)))
    wide = MultiPowerLaw.fit(data, Prior(centre, spread=(10.0, 10.0, 0.3, 0.5, 1.0, 1.0, 0.2)))
    assert narrow.beta == pytest.approx(0.9, rel=1e-2)
    assert wide.beta < 0.75


def test_the_loss_may_be_in_any_unit():
    data = list(curves(TRUE[MultiPowerLaw], noise=1e-3))
    plain = MultiPowerLaw.fit(data)
    scaled = MultiPowerLaw.fit([(lr, at, 100 * loss) for lr, at, loss in data])
    at = np.arange(200, 4000, 50)
    np.testing.assert_allclose(predict(scaled, Constant(1.0), at), 100 * predict(plain, Constant(1.0), at), rtol=1e-3)


@pytest.mark.parametrize("kind", TRUE)
def test_a_fitted_law_survives_json_pickle_and_repr(kind):
    law = kind.fit(list(curves(TRUE[kind])))
    assert from_config(json.loads(json.dumps(to_config(law)))) == law
    assert pickle.loads(pickle.dumps(law)) == law
    assert eval(repr(law), {kind.__name__: kind}) == law


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ((Constant(1.0), [1, 2], [1.0]), "one finite loss > 0 for each of its 2 steps"),
        ((Constant(1.0), [1, 2], [1.0, np.nan]), "one finite loss > 0"),
        ((Constant(1.0), [1, 2], [1.0, 0.0]), "one finite loss > 0"),
        ((Constant(1.0), [1.5], [1.0]), "steps must be one or more integers >= 0"),
        (([1.0, 1.0], [5], [1.0]), "rate of each step up to 5"),
        (([1.0, -1.0], [1], [1.0]), "finite rates >= 0, got -1.0"),
        (([0.0, 0.0], [1], [1.0]), "a point after the first rate > 0"),
        ((Constant(1.0), [1, 2], [1.0, 1.0]), "at least 7 points, got 2"),
    ],
)
def test_a_curve_that_is_none_is_refused(curve, message):
    with pytest.raises(ValueError, match=message):
        MultiPowerLaw.fit([curve])


def test_a_fit_needs_a_curve_and_a_prior_of_its_own_length():
    with pytest.raises(ValueError, match="a sequence of 1 or more items"):
        MultiPowerLaw.fit([])
    with pytest.raises(ValueError, match="must have 7 centres, got 5"):
        MultiPowerLaw.fit(list(curves(TRUE[MultiPowerLaw])), AnnealingLaw.prior)


@pytest.mark.parametrize("covariance", [(1.0,), (0.0,) * 48])
def test_a_covariance_of_the_wrong_size_is_refused(covariance):
    with pytest.raises(ValueError, match=r"covariance=...\) must hold 0 or 49 numbers"):
        MultiPowerLaw(1.0, a=1.0, alpha=1.0, b=1.0, c=1.0, beta=1.0, gamma=1.0, covariance=covariance)


def test_earlier_runs_teach_the_mean_of_their_logarithms():
    laws = [AnnealingLaw(l0=3.0, a=20.0, alpha=0.5, c=0.1, memory=memory) for memory in (100.0, 400.0)]
    taught = fit_prior(laws, reference=100.0, least=0.3)
    assert taught.centre[4] == pytest.approx(200.0)  # sqrt(100 * 400)
    # logarithms 2 log 2 apart: variance 2 * log(2)**2
    assert taught.spread[4] == pytest.approx(np.sqrt(0.09 + 2 * np.log(2) ** 2))
    assert taught.spread[:2] == (10.0, 10.0)
    # the response over the slope at area 100: 0.1 / (0.5 * 20 / sqrt(100))
    assert taught.centre[3] == pytest.approx(0.1)


@pytest.mark.parametrize("laws", [[], list(LAWS.values())])
def test_only_laws_of_one_kind_teach(laws):
    with pytest.raises(ValueError, match=r"one or more laws of one class|a sequence of 1 or more items"):
        fit_prior(laws)


def test_a_plan_is_no_worse_than_any_schedule_of_its_family():
    law = TRUE[MultiPowerLaw]
    best = plan(law, 2000, "wsd", peak=1.0, warmup=100)
    last = predict(law, best, [1999])[0]
    for part in (200, 400, 1000):
        other = Warmup(100) >> Constant(1.0, steps=1900 - part) >> Linear(1.0, 0.0, steps=part)
        assert last <= predict(law, other, [1999])[0]
    assert best(0) == 0.0
    assert best(100) == 1.0
    assert best(2000) == 0.0


@pytest.mark.parametrize("family", ["linear", "cosine", "constant"])
def test_a_plan_keeps_to_its_peak_and_length(family):
    rates = plan(TRUE[MultiPowerLaw], 500, family, peak=0.2)(np.arange(500))
    assert rates.max() == rates[0] == 0.2


def test_a_plan_may_choose_from_given_schedules():
    choices = [Constant(1.0), Constant(1.0, steps=3400) >> Linear(1.0, 0.0, steps=600)]
    assert plan(TRUE[MultiPowerLaw], 4000, choices) == choices[1]


@pytest.mark.parametrize("family", ["step", [], [0.1]])
def test_no_plan_without_a_family(family):
    with pytest.raises(ValueError, match="must be one of 'constant', 'cosine', 'linear', 'wsd' or schedules"):
        plan(TRUE[MultiPowerLaw], 100, family)


def test_an_interval_grows_with_its_coverage_and_holds_the_mean():
    law = MultiPowerLaw.fit(list(curves(TRUE[MultiPowerLaw])))
    narrow, wide = (forecast(law, Constant(1.0), 9999, seen=3999, coverage=c) for c in (0.5, 0.95))
    assert wide.lo < narrow.lo < narrow.mean < narrow.hi < wide.hi
    assert narrow.mean == wide.mean == predict(law, Constant(1.0), [9999])[0]


def test_an_interval_grows_with_the_distance():
    law = MultiPowerLaw.fit(list(curves(TRUE[MultiPowerLaw])))
    near, far = (forecast(law, Constant(1.0), step, seen=3999) for step in (4100, 40_000))
    assert far.hi - far.lo > near.hi - near.lo


def test_a_coverage_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"coverage=...\) must be a finite number > 0 and < 1, got 80"):
        forecast(TRUE[MultiPowerLaw], Constant(1.0), 10, seen=5, coverage=80)
