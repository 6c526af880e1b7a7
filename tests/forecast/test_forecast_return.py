"""The return model: pure, bounded, resumable; honest about what it does not know; better than its default plan."""

import json
import math
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import closed_loop_mnist as mnist
from experiments import closed_loop_quadratic as quadratic
from lrsched import Constant, Cooldown, Cosine, Warmup, from_config, to_config
from lrsched.forecast import MultiPowerLaw, ReturnModel, ReturnState, predict
from lrsched.forecast._explain import RATE
from lrsched.forecast._path import FINE, jumps_of, trace
from lrsched.forecast._record import BINS, MOST, Record, advance, continued
from lrsched.forecast._record import jumps_of as recorded
from lrsched.forecast._return import DEPTH, DIP

LAW = MultiPowerLaw(l0=2.0, a=20.0, alpha=0.5, b=0.4, c=0.04, beta=0.5, gamma=0.4)
SVG = "{http://www.w3.org/2000/svg}"
DEFAULT = Warmup(50) >> Cosine(1.0, 0.0, steps=950)


def follow(model, stop, law=LAW, *, state=None, noise=1e-3):
    """Run a model on the losses that a law gives for the rates used; return the states, the first included."""
    state = model.init() if state is None else state
    states, used = [state], [state.lr] * (state.record.step + 1) if state.record.step == 0 else []
    rng = np.random.default_rng(5)
    wobble = rng.normal(1.0, noise, model.horizon)
    # The law in its own recursion is slow: its losses are looked up every ten updates.
    loss = 5.0
    for step in range(state.record.step, stop):
        if step % 10 == 9 and used:
            loss = float(predict(law, np.array(used) / model.peak, [step])[0])
        state, lr = model.update(state, loss * wobble[step])
        states.append(state)
        used.append(lr)
    return states


def flat(content):
    """Yield the numbers of nested tuples."""
    for item in content:
        if isinstance(item, tuple):
            yield from flat(item)
        elif item is not None:
            yield item


@pytest.fixture(scope="module")
def acting():
    model = ReturnModel(1000, 0.5, act=True)
    return model, follow(model, 1000)


@pytest.fixture(scope="module")
def advising():
    model = ReturnModel(1000, 1.0, DEFAULT)
    return model, follow(model, 1000)


def test_the_same_losses_give_the_same_states(acting):
    model, states = acting
    assert follow(model, 1000) == states


@pytest.mark.parametrize("at", [0, 1, 149, 150, 460, 461, 777])
def test_a_run_resumed_from_json_goes_on_as_if_it_had_never_stopped(acting, at):
    model, states = acting
    again = from_config(json.loads(json.dumps(to_config(model))))
    state = again.restore(json.loads(json.dumps(states[at])))
    assert state == states[at]
    assert isinstance(state, ReturnState)
    rng = np.random.default_rng(at)
    one, two = states[at], state
    for loss in rng.uniform(2, 3, 60):
        one, two = model.update(one, loss)[0], again.update(two, loss)[0]
    assert one == two


@pytest.mark.parametrize("content", [None, [], [1, 2], "state", [[1], 2, 3, 4, 5, 6, 7, 8]])
def test_what_is_no_state_is_not_restored(content):
    with pytest.raises(ValueError, match="must get the lists of a ReturnState"):
        ReturnModel(1000, 0.5).restore(content)


def test_a_model_is_a_value(acting):
    model, _ = acting
    assert pickle.loads(pickle.dumps(model)) == model
    assert eval(repr(model), {"ReturnModel": ReturnModel}) == model
    assert hash(model) == hash(ReturnModel(1000, 0.5, act=True))


@settings(max_examples=10)
@given(st.lists(st.floats(0.0, 1.0), min_size=300, max_size=300), st.integers(1, 7))
def test_the_state_is_bounded_however_the_rate_moves(pattern, every):
    record = Record()
    for i in range(3000):
        record = advance(record, 1.0, pattern[i % 300] * (-1) ** i % 1.0, every, width=20)
    assert len(record.jumps) <= MOST + 1
    assert len(record.points) <= BINS
    assert record.step == 3000 * every


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40))
def test_a_record_holds_the_jumps_and_the_area_of_the_rates(rates):
    record = Record()
    for rate in rates:
        record = advance(record, 1.0, rate, 1, width=10)
    every = jumps_of(np.array(rates))
    assert recorded(record).gap.sum() == pytest.approx(every.gap.sum())
    assert record.area == pytest.approx(sum(rates))
    assert record.largest == max(rates)


def test_a_record_and_the_rates_to_come_give_the_prediction_of_the_whole_run():
    rates = DEFAULT(np.arange(1000))
    record = Record()
    for rate in rates[:400]:
        record = advance(record, 1.0, float(rate), 1, width=10)
    path = continued(record, rates[400:], 1000)
    whole = predict(LAW, rates, [399, 999])
    np.testing.assert_allclose(LAW._model(LAW.theta, path)[0], whole, atol=2e-3)
    exact = continued(record, rates[400:], 1000)._replace(jumps=jumps_of(rates))
    np.testing.assert_allclose(
        LAW._model(LAW.theta, exact)[0],
        LAW._model(LAW.theta, trace(rates, np.array([399, 999]), FINE)._replace(jumps=jumps_of(rates)))[0],
        rtol=1e-9,
    )


@settings(max_examples=15)
@given(st.lists(st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0]), min_size=30, max_size=200))
def test_no_loss_makes_it_fail(losses):
    model = ReturnModel(200, 1.0, act=True)
    state = model.init()
    for loss in losses:
        state, lr = model.update(state, loss)
        assert 0 <= lr <= 1
    assert state.record.refused == sum(not 1e-30 < loss < 1e30 for loss in losses)
    model.explain(state)


def test_updates_beyond_the_horizon_change_no_plan(acting):
    model, states = acting
    state = states[-1]
    for _ in range(300):
        state, lr = model.update(state, 2.0)
        assert lr == 0.0
    assert state.switch == states[-1].switch
    assert len(state.record.points) <= BINS


def test_advice_does_not_move_the_rate(advising):
    _model, states = advising
    assert [state.lr for state in states] == [DEFAULT(step) for step in range(1001)]


def test_the_default_plan_decays_over_the_last_fifth():
    model = ReturnModel(1000, 0.5)
    assert model.plan(model.init()) == Constant(0.5, steps=800) >> Cooldown(200)


def test_a_model_that_acts_never_raises_the_rate_but_after_its_own_dip(acting):
    _, states = acting
    rates = np.array([state.lr for state in states])
    start, end = (1000 * part // 100 for part in DIP)
    assert rates[start] == DEPTH * 0.5
    assert np.flatnonzero(np.diff(rates) > 1e-12).tolist() == [end - 1]
    assert rates[-1] == 0.0


def test_a_model_that_acts_follows_better_plans_than_its_default(acting):
    _model, states = acting
    assert states[-1].identified
    assert states[-1].switch is not None
    rates = np.array([state.lr for state in states[:1000]]) / 0.5
    default = ReturnModel(1000, 1.0).plan(states[0])
    assert predict(LAW, rates, [999])[0] < predict(LAW, default, [999])[0]


def test_advice_survives_json():
    model = ReturnModel(1000, 1.0, Constant(1.0, steps=300) >> Constant(0.8))
    state = next(state for state in follow(model, 500) if state.better is not None)
    assert model.restore(json.loads(json.dumps(state))) == state


def test_advice_is_taken_by_hand():
    model = ReturnModel(1000, 1.0, Constant(1.0, steps=300) >> Constant(0.8))
    states = follow(model, 500)
    state = next(state for state in states if state.better is not None)
    advised = model.advice(state)
    taken = model.adopt(state)
    assert model.plan(taken) == advised
    assert model.advice(taken) is None
    now = state.record.step
    assert advised(np.arange(now)).tolist() == model.plan(state)(np.arange(now)).tolist()
    assert taken.lr == advised(now)
    assert advised(1000) == 0.0


def test_without_advice_there_is_nothing_to_adopt(advising):
    model, states = advising
    assert model.adopt(states[10]) is states[10]


def test_it_says_nothing_too_early(advising):
    model, states = advising
    mean, lo, hi = model.forecast(states[50])
    assert math.isnan(mean)
    assert (lo, hi) == (-math.inf, math.inf)
    assert model.advantage(states[50], DEFAULT, Constant(1.0)).probability == 0.5
    assert model.law(states[50]) is None
    assert model.status(states[50]) == "early"


def test_a_forecast_half_way_holds_the_final_loss(advising):
    model, states = advising
    final = predict(LAW, DEFAULT, [999])[0]
    mean, lo, hi = model.forecast(states[500])
    assert lo < final < hi
    assert mean == pytest.approx(final, rel=0.02)


def test_a_forecast_depends_on_the_rest_of_the_plan(advising):
    model, states = advising
    assert model.forecast(states[500], Constant(1.0)).mean > model.forecast(states[500]).mean


def test_an_advantage_changes_sign_with_the_order_of_the_plans(advising):
    model, states = advising
    there = model.advantage(states[500], DEFAULT, Constant(1.0))
    back = model.advantage(states[500], Constant(1.0), DEFAULT)
    assert there.mean == pytest.approx(-back.mean)
    assert there.lo == pytest.approx(-back.hi)
    assert there.probability == pytest.approx(1 - back.probability)
    assert back.probability > 0.5  # a decay beats none


def test_a_rate_that_never_moved_teaches_nothing_without_earlier_runs():
    blind = ReturnModel(1000, 1.0, Constant(1.0))
    states = follow(blind, 700)
    assert {blind.status(state) for state in states} == {"early", "blind"}
    assert all(state.better is None for state in states)
    taught = ReturnModel(1000, 1.0, Constant(1.0), MultiPowerLaw.prior)
    assert taught.status(states[-1]) == "ready"


def test_a_loss_that_vanishes_is_left_alone():
    model = ReturnModel(1000, 1.0, act=True)
    state = model.init()
    for step in range(700):
        state, _ = model.update(state, 10.0 * (step + 1) ** -1.0)
    assert model.status(state) == "vanishing"
    assert state.switch is None


def test_an_explanation_is_text_and_a_picture(acting, advising):
    for model, states in (acting, advising):
        for at in (0, 100, 200, 500, 800, 1000):
            explanation = model.explain(states[at])
            root = ElementTree.fromstring(explanation.svg)
            assert root.tag.endswith("svg")
            assert "nan" not in explanation.svg
            assert f"Update {at} of 1000" in explanation.text
            assert explanation._repr_mimebundle_()["text/plain"] == explanation.text


def test_an_explanation_never_sells_a_predicted_gain_as_one():
    model = ReturnModel(1000, 1.0, Constant(1.0, steps=300) >> Constant(0.8))
    state = next(state for state in follow(model, 500) if state.better is not None)
    assert "promises too much as a rule, so expect less" in model.explain(state).text
    assert model.explain(state).svg.count("<polygon") == 2


def drawn_rates(svg, top):
    """Return the learning rates of the lines in the lower panel, read off the picture."""
    lines = [line.get("points").split() for line in ElementTree.fromstring(svg).iter(f"{SVG}polyline")]
    heights = [np.array([float(point.split(",")[1]) for point in line]) for line in lines]
    upper, lower = RATE
    return [top * (lower - y) / (lower - upper) for y in heights if y.min() > upper - 1]


def test_the_picture_shows_the_rates_of_both_plans():
    default = Constant(1.0, steps=300) >> Constant(0.8)
    model = ReturnModel(1000, 1.0, default)
    state = next(state for state in follow(model, 500) if state.better is not None)
    steps = np.round(np.linspace(0, 1000, 257)).astype(int)
    present, advised = drawn_rates(model.explain(state).svg, 1.0)
    # a tenth of a pixel is what the picture can tell
    np.testing.assert_allclose(present, default(steps), atol=0.002)
    np.testing.assert_allclose(advised, model.advice(state)(steps), atol=0.002)


def test_the_picture_shows_the_plan_before_anything_is_known():
    model = ReturnModel(1000, 0.5)
    state = model.init()
    (only,) = drawn_rates(model.explain(state).svg, 0.5)
    steps = np.round(np.linspace(0, 1000, 257)).astype(int)
    np.testing.assert_allclose(only, model.plan(state)(steps), atol=0.001)
    ElementTree.fromstring(ReturnModel(1000, 0.5, Constant(0.0)).explain(state).svg)


def test_the_plan_and_the_peak_must_fit():
    with pytest.raises(ValueError, match=r"ReturnModel\(horizon=...\) must be an int >= 100"):
        ReturnModel(50, 1.0)
    with pytest.raises(TypeError, match=r"ReturnModel\(prior=...\) must be a Prior or None"):
        ReturnModel(100, 1.0, prior=(1.0,))


@pytest.mark.parametrize("seed", [72, 77, 88])
def test_it_beats_its_default_on_a_noisy_quadratic(seed):
    p = quadratic.problem(seed)
    default = quadratic.fixed(p)["WSD 20 %"](np.arange(p.horizon))
    plain = quadratic.train(p, lambda t, loss: float(default[t]))
    excess, _ = quadratic.guided(p, ReturnModel(p.horizon, p.peak, act=True))
    assert excess < 1.1 * plain


@pytest.mark.slow
def test_it_is_near_the_best_fixed_schedule_in_hindsight():
    rows = [quadratic.row(seed) for seed in range(quadratic.DEVELOPED, quadratic.DEVELOPED + 36)]
    found = quadratic.summary(rows)
    assert found["return model"]["mean"] <= 1.12
    assert found["return model"]["worst"] <= 1.4
    assert found["WSD 20 %"]["mean"] > 1.2


@pytest.mark.slow
def test_it_does_no_harm_on_mnist():
    try:
        data = mnist.load()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    plain, acting = (mnist.run(data, 0, 0.05, act)["accuracy"] for act in (False, True))
    assert acting >= plain - 0.3
