"""Closed-loop rules on Python numbers: laws of all rules, the arguments, and tables worked out by hand."""

import copy
import inspect
import json
import math
import pickle

import numpy as np
import pytest
from feedback_cases import RULES, coarse, finite_metrics, fold, metrics, observation, wild
from hypothesis import given
from hypothesis import strategies as st

from lrsched import feedback as fb
from lrsched import from_config, to_config
from lrsched._core import offers
from lrsched._core.check import Choice, Flag, Int, Real, constraints

NAN, INF = math.nan, math.inf
CLASSES = sorted(offers.CLASSES["feedback"].values(), key=lambda kind: kind.__name__)
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: repr(rule)[:50])


def numbers(state):
    return [x for part in state for x in (part if isinstance(part, tuple) else (part,))]


def same(a, b):
    """Equal as values and in their types, where NaN equals NaN."""
    return repr(a) == repr(b)


def test_every_rule_is_among_the_cases():
    assert {type(rule) for rule in RULES} == set(CLASSES)


def test_public_names_are_sorted_and_documented_in_one_line():
    assert fb.__all__ == sorted(set(fb.__all__))
    firsts = [(inspect.getdoc(getattr(fb, name)) or "").partition("\n")[0] for name in fb.__all__]
    assert all(0 < len(first) <= 80 and first.endswith((".", ":")) for first in firsts)


# Laws of all rules


@every_rule
@given(metrics)
def test_python_numbers_give_python_numbers(rule, values):
    states, factors = fold(rule, [observation(rule, x) for x in values])
    kinds = [type(x) for x in numbers(rule.init())]
    assert all([type(x) for x in numbers(state)] == kinds for state in states)
    assert all(type(factor) is float for factor in factors)


@every_rule
@given(metrics)
def test_nothing_observed_makes_the_factor_nan_infinite_or_negative(rule, values):
    _, factors = fold(rule, [observation(rule, x) for x in values])
    assert all(0.0 <= factor < INF for factor in factors)


@every_rule
@given(wild)
def test_nothing_observed_leaves_nan_in_the_state(rule, values):
    if getattr(rule, "dialect", "") == "keras":
        values = [0.0, *values]  # only a first metric of NaN stays, as in Keras
    states, factors = fold(rule, [observation(rule, x) for x in values])
    running = rule.accumulation > 1 if isinstance(rule, fb.Plateau) else False
    for state in states:
        if running:  # the average of the metrics so far; the next evaluation drops it
            state = state._replace(average=0.0)
        assert not any(math.isnan(x) for x in numbers(state))
    assert not any(map(math.isnan, factors))


@every_rule
@given(metrics, st.integers(0, 60))
def test_a_state_resumes_from_json_at_any_step(rule, values, cut):
    observations = [observation(rule, x) for x in values]
    states, factors = fold(rule, observations)
    cut = min(cut, len(values))
    state = states[cut - 1] if cut else rule.init()
    text = json.dumps(fb.state_to_json(state), allow_nan=False)
    resumed = fb.state_from_json(rule, json.loads(text))
    assert same(resumed, state)
    for each, expected, factor in zip(observations[cut:], states[cut:], factors[cut:], strict=True):
        resumed, now = rule.update(resumed, each)
        assert same((resumed, now), (expected, factor))


@every_rule
@given(metrics)
def test_numbers_of_numpy_are_python_numbers(rule, values):
    kinds = [np.float64, np.array, lambda x: np.float64(x).reshape(())]
    observations = [observation(rule, x) for x in values]
    wrapped = [
        fb.Observation(*(x if x is None else kinds[i % 3](x) for x in each)) for i, each in enumerate(observations)
    ]
    assert same(fold(rule, wrapped), fold(rule, observations))


@pytest.mark.parametrize("rule", [r for r in RULES if len(r.needs) == 1], ids=lambda rule: repr(rule)[:50])
@given(metrics)
def test_a_number_stands_for_the_one_observation_that_is_needed(rule, values):
    assert same(
        fold(rule, [getattr(observation(rule, x), rule.needs[0]) for x in values]),
        fold(rule, [observation(rule, x) for x in values]),
    )


@every_rule
def test_a_rule_is_rebuilt_from_its_text_its_config_and_its_pickle(rule):
    assert eval(repr(rule), vars(fb)) == rule
    assert from_config(json.loads(json.dumps(to_config(rule)))) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert copy.deepcopy(rule) == rule
    assert hash(pickle.loads(pickle.dumps(rule))) == hash(rule)


@pytest.mark.parametrize("rule", [r for r in RULES if isinstance(r, fb.Plateau | fb.NewBob | fb.ABEL)], ids=repr)
@given(metrics)
def test_a_rule_that_only_cuts_never_raises_the_factor(rule, values):
    _, factors = fold(rule, [observation(rule, x) for x in values])
    assert all(a >= b for a, b in zip([1.0, *factors], factors, strict=False))


@given(st.one_of(finite_metrics, st.integers(-100, 100)))
def test_an_int_is_a_metric(metric):
    rule = fb.NewBob()
    assert same(rule.update(rule.init(), metric), rule.update(rule.init(), float(metric)))


def test_an_int_beyond_all_floats_is_infinite():
    rule = fb.Plateau()
    assert rule.update(rule.init(), 10**400)[0].bad == 1


@pytest.mark.parametrize("wrong", ["0.5", None, True, [0.5], 1j, np.zeros(2), np.bool_(True), np.complex64(1), {}])
def test_what_is_no_number_is_refused(wrong):
    rule = fb.Plateau()
    with pytest.raises(TypeError, match=r"^Plateau\.update\(observation\) must (be a real number|hold metric)"):
        rule.update(rule.init(), wrong)


@pytest.mark.parametrize("wrong", [0.5, fb.Observation(distance=1.0), fb.Observation(metric=1.0)])
def test_an_observation_that_lacks_something_is_refused(wrong):
    rule = fb.DoG()
    with pytest.raises(TypeError, match=r"^DoG\.update\(observation\) must hold distance and norm_sq, got"):
        rule.update(rule.init(), wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"scale": 1.0},
        {"scale": 1.0, "last": 1.0, "wait": 0, "more": 1},
        {"scale": "one", "last": 1.0, "wait": 0},
        {"scale": True, "last": 1.0, "wait": 0},
        {"scale": 1.0, "last": 1.0, "wait": 0.5},
        {"scale": 1.0, "last": [1.0], "wait": 0},
    ],
)
def test_what_is_no_state_is_not_read(wrong):
    with pytest.raises(ValueError, match=r"^state_from_json\(content=\.\.\.\) must "):
        fb.state_from_json(fb.NewBob(), wrong)


def test_a_window_of_another_length_is_not_read():
    content = fb.state_to_json(fb.GreedyLR(window=3).init())
    with pytest.raises(ValueError, match="must hold a list of 4 under 'recent'"):
        fb.state_from_json(fb.GreedyLR(window=4), content)


# Arguments


def valid(kind):
    """Return arguments that the class accepts."""
    special = {
        "rate": 0.5,
        "growth": 2.0,
        "k": 2.0,
        "final": 0.75,
        "ratio": 2.0,
        "band": 2.0,
        "maximum": 2.0,
        "eps": 0.0,
    }
    if kind in (fb.DoG, fb.DoWG):
        special["eps"] = 0.5
    defaults = {Real: 0.5, Int: 10, Flag: True}
    rules = {name: getattr(rule, "rule", rule) for name, _, rule in constraints(kind)}
    return {
        name: rule.options[0] if isinstance(rule, Choice) else special.get(name, defaults.get(type(rule)))
        for name, rule in rules.items()
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_valid_arguments_are_accepted(kind):
    assert isinstance(kind(**valid(kind)), fb.Feedback)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_has_a_constraint(kind):
    assert {name for name, _, _ in constraints(kind)} == set(inspect.signature(kind).parameters)


WRONG = [
    pytest.param(kind, name, wrong, id=f"{kind.__name__}-{name}-{i}")
    for kind in CLASSES
    for name, _, rule in constraints(kind)
    for i, wrong in enumerate(rule.wrong())
]


@pytest.mark.parametrize(("kind", "name", "wrong"), WRONG)
def test_a_wrong_argument_is_named_with_what_must_hold_and_what_came(kind, name, wrong):
    with pytest.raises((TypeError, ValueError), match=rf"^{kind.__name__}\({name}=...\) must be .*got "):
        kind(**{**valid(kind), name: wrong})


def test_the_table_of_wrong_arguments_is_long():
    assert len(WRONG) > 300


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fb.Plateau(minimum=2.0), r"Plateau\(minimum=...\) must be <= base=1.0, got 2.0"),
        (lambda: fb.Plateau(dialect="keras", threshold_mode="rel"), r"threshold_mode=...\) must be 'abs'"),
        (lambda: fb.Plateau("max", dialect="optax"), r"mode=...\) must be 'min' .* negate the metric"),
        (lambda: fb.Plateau(dialect="optax", eps=1e-8), r"eps=...\) must be 0 for dialect='optax'"),
        (lambda: fb.DecayOnPlateauThenStop(minimum=0.5, final=0.1), r"final=...\) must be >= minimum=0.5"),
        (lambda: fb.GreedyLR(minimum=2.0), r"maximum=...\) must be >= minimum=2.0, got 1.0"),
        (lambda: fb.Hypergradient(1.0), r"rate=...\) must be < 1 for form='multiplicative'"),
        (lambda: fb.lr_range_test(np.geomspace(1e-3, 1, 20), np.ones(20)), r"slide\(lrs=...\) must hold 17 or more"),
        (lambda: fb.minimum([], []), r"minimum\(lrs=...\) must be a row of 1 or more"),
        (lambda: fb.valley([1.0, 2.0], [1.0]), r"valley\(losses=...\) must hold 2 losses"),
        (lambda: fb.steepest([1.0, 1.0], [1.0, 2.0]), r"steepest\(lrs=...\) must increase"),
        (lambda: fb.steepest([0.0, 1.0], [1.0, 2.0]), r"steepest\(lrs=...\) must increase and be > 0"),
        (lambda: fb.slide([1.0, 2.0, 3.0], [1.0] * 3, width=0), r"slide\(width=...\) must be an int >= 1"),
        (lambda: fb.refine([1.0]), r"refine\(grad_norms=...\) must hold two or more"),
        (lambda: fb.refine([1.0, 0.0]), r"refine\(grad_norms=...\) must hold two or more finite norms > 0"),
        (lambda: fb.refine([1.0, NAN]), r"refine\(grad_norms=...\) must hold"),
        (lambda: fb.refine([1.0, 2.0], smoothing=1.5), r"refine\(smoothing=...\) must be .* <= 1, got 1.5"),
        (lambda: fb.refine([1.0, 2.0], power=0.0), r"refine\(power=...\) must be .* > 0, got 0.0"),
    ],
)
def test_arguments_that_do_not_fit_together_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# Plateau


def factors_of(rule, values):
    return fold(rule, values)[1]


@pytest.mark.parametrize(
    ("dialect", "cooldown", "first", "period"),
    [
        # A constant metric, patience 2: torch counts bad evaluations 2, 3, 4 and cuts at the third, Keras and Optax at
        # the second. A cool-down of c adds c evaluations, but in Keras its last one is already counted.
        ("lrsched", 0, 4, 3),
        ("lrsched", 1, 4, 4),
        ("lrsched", 2, 4, 5),
        ("torch", 0, 4, 3),
        ("torch", 1, 4, 4),
        ("torch", 2, 4, 5),
        ("keras", 0, 3, 2),
        ("keras", 1, 3, 2),
        ("keras", 2, 3, 3),
        ("optax", 0, 3, 2),
        ("optax", 1, 3, 3),
        ("optax", 2, 3, 4),
    ],
)
def test_evaluation_and_period_of_the_cuts(dialect, cooldown, first, period):
    factors = factors_of(fb.Plateau(factor=0.5, patience=2, cooldown=cooldown, dialect=dialect), [1.0] * 20)
    cuts = [i + 1 for i, (a, b) in enumerate(zip([1.0, *factors], factors, strict=False)) if b < a]
    assert cuts == list(range(first, 21, period))


@pytest.mark.parametrize(("dialect", "cuts"), [("lrsched", 1), ("torch", 0), ("optax", 0), ("keras", 2)])
def test_a_constant_negative_metric_is_a_plateau_only_with_a_safe_margin(dialect, cuts):
    factors = factors_of(fb.Plateau(factor=0.5, patience=1, dialect=dialect), [-1.0] * 3)
    assert factors[-1] == 0.5**cuts


@given(st.lists(finite_metrics, min_size=1, max_size=60), st.sampled_from(["rel", "abs"]))
def test_to_maximise_is_to_minimise_the_negative(values, kind):
    low, high = (fb.Plateau(mode, 0.5, 1, 0.25, kind, cooldown=1) for mode in ("min", "max"))
    assert factors_of(low, values) == factors_of(high, [-x for x in values])


@given(metrics, st.integers(-8, 8))
def test_a_relative_threshold_does_not_depend_on_the_unit_of_the_metric(values, exponent):
    rule = fb.Plateau(factor=0.5, patience=1, threshold=0.25)
    assert factors_of(rule, values) == factors_of(rule, [x * 2.0**exponent for x in values])


@given(st.lists(finite_metrics, min_size=1, max_size=40), st.sampled_from([NAN, INF]))
def test_nan_counts_as_a_metric_that_is_too_large(values, odd):
    rule = fb.Plateau(factor=0.5, patience=1, cooldown=1)
    mixed = [y for x in values for y in (x, odd)]
    replaced = [y for x in values for y in (x, 1e9)]
    assert factors_of(rule, mixed)[1:] == factors_of(rule, replaced)[1:]


def test_the_best_is_never_infinite():
    rule = fb.Plateau(patience=1)
    assert fold(rule, [1.0, -INF, 0.5])[0][-1].best == 0.5


@given(metrics, st.integers(1, 5))
def test_an_accumulation_judges_the_mean_of_its_metrics(values, size):
    rule = fb.Plateau(factor=0.5, patience=0, threshold=0.25, accumulation=size)
    repeated = [x for x in values for _ in range(size)]
    assert factors_of(rule, repeated)[size - 1 :: size] == factors_of(
        fb.Plateau(factor=0.5, patience=0, threshold=0.25), [sum_of(x, size) for x in values]
    )


def sum_of(x, size):
    """Return the mean of `size` equal numbers, rounded as the running mean rounds it."""
    mean = 0.0
    for i in range(size):
        mean = (i * mean + x) / (i + 1)
    return mean


@given(metrics, st.sampled_from(["lrsched", "torch", "keras", "optax"]))
def test_a_power_of_two_as_base_only_changes_the_unit(values, dialect):
    factor = fb.Plateau(factor=0.5, patience=1, minimum=0.125, dialect=dialect)
    rate = fb.Plateau(factor=0.5, patience=1, minimum=0.125 * 2.0**-7, base=2.0**-7, dialect=dialect)
    assert factors_of(factor, values) == factors_of(rate, values)


@pytest.mark.parametrize("eps", [0.2, 0.125])
def test_a_cut_that_changes_too_little_is_left_out(eps):
    rule = fb.Plateau(factor=0.5, patience=0, eps=eps)
    # 1 -> 0.5 (by 0.5), 0.5 -> 0.25 (by 0.25), 0.25 -> 0.125 would change by 0.125 only.
    assert factors_of(rule, [1.0] * 5) == [1.0, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("dialect", ["lrsched", "torch", "keras"])
def test_an_equal_metric_is_no_improvement(dialect, mode):
    patience = 1 if dialect == "keras" else 0
    rule = fb.Plateau(mode, 0.5, patience, threshold=0.0, dialect=dialect)
    assert factors_of(rule, [1.0, 1.0]) == [1.0, 0.5]


@pytest.mark.parametrize("dialect", ["lrsched", "torch", "optax"])
@pytest.mark.parametrize(("threshold", "atol"), [(0.25, 0.0), (0.0, 0.5), (0.125, 0.25)])
def test_an_improvement_must_exceed_both_margins(dialect, threshold, atol):
    rule = fb.Plateau(factor=0.5, patience=1, threshold=threshold, threshold_mode="rel", atol=atol, dialect=dialect)
    # The margins are 0.25 * 2, 0.5 and 0.125 * 2 + 0.25: 0.5 below the best of 2.
    assert fold(rule, [2.0, 1.5])[0][-1].best == 2.0
    assert fold(rule, [2.0, 1.4375])[0][-1].best == 1.4375


@pytest.mark.parametrize("values", [[1.0, 1.0 - 1e-9], [1.0 + 1e-9, 1.0]])
def test_the_keras_dialect_does_not_see_what_float32_does_not(values):
    rule = fb.Plateau(threshold=0.0, dialect="keras")
    assert fold(rule, values)[0][-1].best == values[0]


def test_the_keras_dialect_keeps_a_first_nan_and_goes_on_counting_at_the_minimum():
    rule = fb.Plateau(factor=0.5, patience=1, minimum=0.5, dialect="keras")
    states, factors = fold(rule, [NAN, 1.0, 1.0, 1.0])
    assert math.isnan(states[-1].best)
    assert factors == [1.0, 0.5, 0.5, 0.5]
    assert [state.bad for state in states] == [0, 0, 1, 2]


@pytest.mark.parametrize("dialect", ["lrsched", "torch"])
def test_to_maximise_the_margin_is_above_the_best(dialect):
    rule = fb.Plateau("max", threshold=0.25, dialect=dialect)
    assert fold(rule, [2.0, 2.5])[0][-1].best == 2.0
    assert fold(rule, [2.0, 2.5625])[0][-1].best == 2.5625


def test_a_cut_stops_at_the_minimum():
    assert factors_of(fb.Plateau(factor=0.5, patience=0, minimum=0.3), [1.0] * 4) == [1.0, 0.5, 0.3, 0.3]


# Stopping


@given(metrics, st.integers(1, 4))
def test_training_stops_when_the_last_evaluations_were_all_bad(values, patience):
    states, _ = fold(fb.EarlyStopping(patience=patience), values)
    best, expected, bad = INF, False, 0
    for x, state in zip(values, states, strict=True):
        better = x < best and not math.isinf(x)
        best, bad = (x, 0) if better else (best, bad + 1)
        expected = expected or bad >= patience
        assert state.stop == expected


def test_evaluations_before_the_start_are_left_out():
    states, _ = fold(fb.EarlyStopping(patience=1, start=2), [1.0, 5.0, 3.0, 4.0])
    assert [state.stop for state in states] == [False, False, False, True]


def test_bad_evaluations_before_the_start_do_not_count():
    states, _ = fold(fb.EarlyStopping(patience=2, start=2), [1.0, 2.0, NAN, NAN])
    assert [state.bad for state in states] == [0, 0, 1, 2]
    assert [state.stop for state in states] == [False, False, False, True]


@pytest.mark.parametrize("kind", ["abs", "rel"])
def test_the_baseline_must_be_passed_by_the_threshold(kind):
    rule = fb.EarlyStopping(threshold=0.25, threshold_mode=kind, baseline=1.0)
    # 0.75 is what both margins ask for.
    assert [state.bad for state in fold(rule, [0.9, 0.5])[0]] == [1, 0]
    assert [state.bad for state in fold(rule, [0.75])[0]] == [1]


def test_without_passing_the_baseline_no_improvement_counts():
    states, _ = fold(fb.EarlyStopping("max", patience=3, baseline=0.9), [0.1, 0.2, 0.3, 0.3])
    # Improvements never stop, so the third evaluation does not, though it is the third below the baseline.
    assert [state.stop for state in states] == [False, False, False, True]


@every_rule
@given(metrics)
def test_a_stop_is_final(rule, values):
    states, _ = fold(rule, [observation(rule, x) for x in values])
    stops = [getattr(state, "stop", False) for state in states]
    assert stops == sorted(stops)


def test_decay_then_stop_decays_at_failures_and_stops_after_the_second_in_a_row():
    rule = fb.DecayOnPlateauThenStop(k=10.0, minimum=0.01, final=0.01)
    states, factors = fold(rule, [1.0, 2.0, 0.9, NAN, 0.9, 0.8])
    assert factors == [1.0, 0.1, 0.1, 0.01, 0.01, 0.01]
    assert [state.failures for state in states] == [0, 1, 0, 1, 2, 0]
    assert [state.stop for state in states] == [False, False, False, False, True, True]


def test_decay_then_stop_as_printed_counts_what_is_not_worse():
    rule = fb.DecayOnPlateauThenStop(k=10.0, minimum=0.1, final=0.1, patience=3, printed=True)
    states, factors = fold(rule, [1.0, 2.0, 1.0, 0.9])
    assert factors == [1.0, 0.1, 0.1, 0.1]
    assert [state.failures for state in states] == [1, 1, 2, 3]
    assert [state.stop for state in states] == [False, False, False, True]


# Greedy, new-bob, ABEL


def test_greedy_starts_afresh_after_enough_cuts_at_the_minimum():
    rule = fb.GreedyLR(factor=0.5, patience=0, minimum=0.25, reset_start=2)
    # Cuts to 0.5, to 0.25 (at the minimum: 1 left), at the minimum (0 left): afresh. The next 1.0 is the best again.
    states, factors = fold(rule, [0.5, 1.0, 1.0, 1.0, 1.0])
    assert factors == [1.0, 0.5, 0.25, 1.0, 1.0]
    assert [state.best for state in states] == [0.5, 0.5, 0.5, INF, 1.0]


def test_greedy_forgets_the_cuts_at_the_minimum_when_it_rises():
    rule = fb.GreedyLR(factor=0.5, patience=0, minimum=0.5, reset_start=2)
    # Cut to the minimum (1 left), a rise (2 left again), a cut (1 left), a cut at the minimum: afresh.
    assert factors_of(rule, [5.0, 6.0, 4.0, 5.0, 5.0]) == [1.0, 0.5, 1.0, 0.5, 1.0]
    assert fold(rule, [5.0, 6.0, 4.0, 5.0])[0][-1].waiting == 1


def test_greedy_cools_down_after_a_fresh_start():
    rule = fb.GreedyLR(factor=0.5, patience=0, minimum=0.5, reset_start=1, cooldown=1)
    assert [state.best for state in fold(rule, [1.0, 2.0, 3.0, 4.0])[0]] == [1.0, INF, INF, 4.0]


def test_greedy_counts_afresh_after_each_change():
    rule = fb.GreedyLR(factor=0.5, patience=1, maximum=16.0, minimum=0.0)
    # A change after each second improvement and after each second failure.
    assert factors_of(rule, [9.0, 8.0, 7.0, 6.0, 5.0]) == [1.0, 2.0, 2.0, 4.0, 4.0]
    assert factors_of(rule, [9.0, 9.0, 9.0, 9.0, 9.0]) == [1.0, 1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("eps", [0.2, 0.125])
def test_greedy_leaves_out_changes_that_are_too_small(eps):
    rule = fb.GreedyLR(factor=0.5, patience=0, minimum=0.0, maximum=1.125, eps=eps)
    # Up to 1.125 is a change by 0.125; cuts by 0.5 and 0.25; then by 0.125.
    assert factors_of(rule, [5.0, 5.0, 5.0, 5.0]) == [1.0, 0.5, 0.25, 0.25]


def test_greedy_averages_only_finite_metrics():
    rule = fb.GreedyLR(patience=100, window=2)
    states, _ = fold(rule, [4.0, NAN, 2.0, INF, 1.0])
    # Means 4, (4 + 2) / 2, (2 + 1) / 2.
    assert [state.best for state in states] == [4.0, 4.0, 3.0, 3.0, 1.5]


def test_new_bob_forgives_and_skips_what_it_cannot_compare():
    rule = fb.NewBob(factor=0.5, threshold=0.1, patience=1)
    # 10 -> 9.5 is 5 %: forgiven. NaN: cut. 9.5 -> 8 is 16 %. 8 -> 8: forgiven. 8 -> 0 is 100 %. 0 -> 0 is none: cut.
    assert factors_of(rule, [10.0, 9.5, NAN, 8.0, 8.0, 0.0, 0.0]) == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_new_bob_sees_a_rise_of_a_negative_metric_as_no_improvement():
    assert factors_of(fb.NewBob(), [-1.0, -2.0, -1.5]) == [1.0, 1.0, 0.5]


def test_new_bob_cuts_at_nan_even_if_it_comes_first():
    assert factors_of(fb.NewBob(), [NAN, 1.0, 0.5]) == [0.5, 0.5, 0.5]


def test_a_state_that_holds_nan_is_read():
    state = fb.Plateau(dialect="keras").init()._replace(best=NAN)
    assert same(fb.state_from_json(fb.Plateau(), fb.state_to_json(state)), state)


def test_new_bob_is_content_with_its_threshold():
    # 4 -> 3 is exactly a quarter.
    assert factors_of(fb.NewBob(factor=0.5, threshold=0.25), [4.0, 3.0, 2.5]) == [1.0, 1.0, 0.5]


def test_abel_has_seen_no_trend_at_its_first_norm():
    assert factors_of(fb.ABEL(0.5), [1.0, 2.0, 1.0, 2.0]) == [1.0, 1.0, 1.0, 0.5]


def test_abel_keeps_its_trend_over_what_is_not_finite():
    assert factors_of(fb.ABEL(0.5), [4.0, 3.0, NAN, 4.0, NAN, 3.5]) == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5]


def test_abel_cuts_at_each_second_turn_and_near_the_end():
    rule = fb.ABEL(0.5, last=9)
    # Turns: 3 -> 4 (minimum), 5 -> 4 (cut), 3 -> 4 (minimum); the ninth epoch cuts in any case.
    norms = [4.0, 3.0, 4.0, NAN, 5.0, 4.0, 3.0, 4.0, 5.0]
    assert factors_of(rule, norms) == [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


# Steps


def observed(rule, **fields):
    return rule.update(rule.init(), fb.Observation(**fields))[1]


def test_the_additive_hypergradient_adds_the_inner_products():
    rule = fb.Hypergradient(0.25, form="additive", maximum=2.0)
    dots = [0.0, 2.0, -1.0, NAN, 100.0, -100.0]
    # 1, 1 + 0.5, 1.5 - 0.25, as before, bounded above, bounded below.
    observations = [fb.Observation(norm_sq=1.0, dot_previous=dot) for dot in dots]
    assert factors_of(rule, observations) == [1.0, 1.5, 1.25, 1.25, 2.0, 0.0]


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(-1.0, 1.0))
def test_the_multiplicative_hypergradient_does_not_depend_on_the_size_of_gradients(a, b, cosine):
    rule = fb.Hypergradient(0.5)
    state, _ = rule.update(rule.init(), fb.Observation(norm_sq=a * a, dot_previous=0.0))
    _, factor = rule.update(state, fb.Observation(norm_sq=b * b, dot_previous=cosine * a * b))
    assert factor == pytest.approx(1.0 + 0.5 * cosine, rel=1e-12)


def test_the_multiplicative_hypergradient_passes_over_what_is_no_gradient():
    rule = fb.Hypergradient(0.5)
    seen = [(4.0, 0.0), (NAN, 1.0), (-1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]
    observations = [fb.Observation(norm_sq=norm_sq, dot_previous=dot) for norm_sq, dot in seen]
    # Cosines: none, none, none, 2 / sqrt(4 * 1) = 1, and 3, which can only be an error of rounding: 1.
    assert factors_of(rule, observations) == [1.0, 1.0, 1.0, 1.5, 2.25]


def test_polyak_steps_to_the_minimum_of_a_parabola_at_once():
    # f = 3 x**2 / 2 at x = 2: loss 6, gradient 6; step 6 / 36. With c = 1/2 it is 1/3, and x - 6 / 3 = 0.
    assert observed(fb.Polyak(c=0.5), loss=6.0, norm_sq=36.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("loss", "norm_sq", "expected"),
    [(8.0, 2.0, 3.0), (-1.0, 2.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (NAN, 1.0, 0.0), (1.0, INF, 0.0)],
)
def test_polyak_at_its_bounds(loss, norm_sq, expected):
    assert observed(fb.Polyak(maximum=3.0), loss=loss, norm_sq=norm_sq) == expected


def test_polyak_grows_by_at_most_its_ratio():
    rule = fb.Polyak(maximum=4.0, growth=2.0)
    losses = [0.5, 9.0, NAN, 9.0, 9.0, 0.0, 9.0]
    # 0.5, then doubled, repeated, doubled, bounded; 0 leaves the bound as it was.
    factors = factors_of(rule, [fb.Observation(loss=x, norm_sq=1.0) for x in losses])
    assert factors == [0.5, 1.0, 1.0, 2.0, 4.0, 0.0, 4.0]


@given(st.lists(st.tuples(st.floats(0.0, 1e3), st.floats(0.0, 1e3)), min_size=1, max_size=20))
def test_dog_is_the_largest_distance_over_the_root_of_the_sum(pairs):
    rule = fb.DoG(initial=0.5)
    factors = factors_of(rule, [fb.Observation(distance=d, norm_sq=n) for d, n in pairs])
    largest = max(0.5, *(d for d, _ in pairs))
    assert factors[-1] == pytest.approx(largest / math.sqrt(sum(n for _, n in pairs) + 1e-8), rel=1e-12)


def test_dowg_weighs_each_gradient_by_the_largest_distance_so_far():
    rule = fb.DoWG(initial=0.25, eps=1.0)
    observations = [fb.Observation(distance=2.0, norm_sq=4.0), fb.Observation(distance=1.0, norm_sq=5.0)]
    # r = 4, total 4 * 4: 4 / (4 + 1); r stays 4, total 16 + 4 * 5: 4 / (6 + 1).
    assert factors_of(rule, observations) == [0.8, 4 / 7]


@given(st.lists(st.tuples(st.floats(0.0, 1e3), st.floats(0.0, 1e3)), min_size=1, max_size=20), st.integers(-3, 3))
def test_dowg_scales_with_distances_and_against_gradients(pairs, k):
    # In units 2**k larger, distances grow by 2**k and gradients shrink by it, so the rate grows by 4**k.
    unit = 2.0**k
    plain = factors_of(fb.DoWG(initial=0.25, eps=1e-30), [fb.Observation(distance=d, norm_sq=n + 1) for d, n in pairs])
    scaled = factors_of(
        fb.DoWG(initial=0.25 * unit**2, eps=1e-30),
        [fb.Observation(distance=d * unit, norm_sq=(n + 1) / unit**2) for d, n in pairs],
    )
    assert scaled == pytest.approx([x * unit**2 for x in plain], rel=1e-12)


@pytest.mark.parametrize("rule", [fb.DoG(0.5), fb.DoWG(0.25)], ids=repr)
@pytest.mark.parametrize("odd", [NAN, INF, -INF])
def test_distance_rules_leave_out_what_is_not_finite(rule, odd):
    sound = fb.Observation(distance=1.0, norm_sq=2.0)
    for wrong in (fb.Observation(distance=odd, norm_sq=1.0), fb.Observation(distance=9.0, norm_sq=odd)):
        assert factors_of(rule, [sound, wrong, sound])[2] == factors_of(rule, [sound, sound])[1]


# Range test, refinement


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=40), st.sampled_from([0.0, 0.5, 0.98]))
def test_a_range_test_stops_where_the_unbiased_average_passes_four_times_its_best(losses, beta):
    states, _ = fold(fb.RangeTest(beta=beta), losses)
    smooth = []
    for i in range(len(losses)):
        weights = [(1 - beta) * beta ** (i - j) for j in range(i + 1)]
        smooth.append(sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights))
    close = any(abs(x / (4 * min(smooth[: i + 1])) - 1) < 1e-9 for i, x in enumerate(smooth))
    if not close:
        stops = [any(x > 4 * min(smooth[: k + 1]) for k, x in enumerate(smooth[: i + 1])) for i in range(len(losses))]
        assert [state.stop for state in states] == stops


def test_a_range_test_of_negative_losses_stops_above_the_best():
    states, _ = fold(fb.RangeTest(beta=0.0), [-1.0, -2.0, 4.0, 4.5])
    # Three times the size of the best above it: -2 + 6.
    assert [state.stop for state in states] == [False, False, False, True]


@pytest.mark.parametrize("odd", [NAN, INF])
def test_a_range_test_stops_at_a_loss_that_is_not_finite(odd):
    states, _ = fold(fb.RangeTest(), [1.0, odd])
    assert [state.stop for state in states] == [False, True]


def test_a_loss_that_is_not_finite_leaves_the_average_as_it_was():
    before, after = fold(fb.RangeTest(), [1.0, NAN])[0]
    assert after == before._replace(stop=True)


@pytest.mark.parametrize(
    ("suggest", "expected"),
    [
        # a tenth of the rate of the smallest loss
        (lambda: fb.minimum([0.1, 1.0, 10.0], [3.0, 1.0, 2.0]), 0.1),
        # slopes over the logarithm: -1 / log 2, -2 / log 100, -0.5 / log 2
        (lambda: fb.steepest([1.0, 2.0, 200.0, 400.0], [5.0, 4.0, 2.0, 1.5]), 1.0),
        # 3, 2, 1 falls strictly: length 3, end 3, so it begins at 0; the index is 0 + 1 + 0
        (lambda: fb.valley([1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 2.0, 2.0, 1.0, 5.0]), 2.0),
        # the first of two valleys of length 3: -1 + 1 + 0
        (lambda: fb.valley([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [5.0, 4.0, 3.0, 9.0, 8.0, 7.0]), 1.0),
        # length 6, end 5: -1 + 2 + 1
        (lambda: fb.valley([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 9.0]), 3.0),
        # slopes -1, -1, -0.5, 2.5, 5 differ over two points by 0.5, 3.5, 5.5: the slide stops right of the first
        (lambda: fb.slide([1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 1.0, 0.0, 0.0, 5.0], width=2, threshold=0.5), 2.0),
        (lambda: fb.slide([1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 1.0, 0.0, 0.0, 5.0], width=2, threshold=0.25), 1.0),
        (
            lambda: fb.slide([1.0, 2.0, 4.0, 8.0, 16.0], [2.0, 1.0, 0.0, 0.0, 5.0], width=2, threshold=1.0, adjust=3),
            6.0,
        ),
    ],
)
def test_suggestions_worked_out_by_hand(suggest, expected):
    assert suggest() == pytest.approx(expected, rel=1e-12)


def test_a_tenth_at_the_start_and_five_points_at_the_end_are_left_out():
    lrs = np.geomspace(1e-4, 1.0, 63)
    # Falls of 62, 61, ...: the steepest point that is kept is number 6, the lowest one number 57.
    losses = np.cumsum([0.0, *range(-62, 0)])
    found = fb.lr_range_test(lrs, losses)
    assert found.steepest == lrs[6]
    assert found.minimum == lrs[57] / 10


def test_a_range_curve_stops_with_its_rule_and_judges_the_smoothed_losses():
    lrs = [0.001 * 1.1**i for i in range(80)]
    losses = [2.0 + 0.1 * (-1) ** i - 0.02 * i for i in range(60)] + [100.0] * 20
    seen = iter(losses)
    rule = fb.RangeTest(beta=0.5)
    curve = fb.range_curve(lambda lr: next(seen), lrs, rule)
    # The average is half the loss and half what was before: the first 100 passes four times the best.
    assert (curve.lrs, curve.losses) == (lrs[:61], losses[:61])
    weights = [[0.5 ** (i - j) for j in range(i + 1)] for i in range(61)]
    smooth = [sum(w * x for w, x in zip(row, losses, strict=False)) / sum(row) for row in weights]
    expected = fb.lr_range_test(lrs[:61], smooth)
    assert curve.suggestions == expected
    assert expected != fb.lr_range_test(lrs[:61], losses[:61])


def test_losses_from_the_first_nan_on_are_left_out():
    lrs, losses = np.geomspace(1e-4, 1.0, 60), np.linspace(3.0, 1.0, 60) ** 2
    broken = np.where(np.arange(60) < 40, losses, np.array([NAN, 0.0])[np.arange(60) % 2])
    kept = fb.lr_range_test(lrs[:40], losses[:40], skip_start=0, skip_end=0)
    assert fb.lr_range_test(lrs, broken, skip_start=0, skip_end=0) == kept


@given(st.integers(2, 60), st.floats(0.0, 1.0), st.floats(1e-6, 1e6), st.sampled_from([1.0, 2.0]))
def test_constant_gradient_norms_refine_to_a_line(n, smoothing, norm, power):
    values = fb.refine([norm] * n, smoothing=smoothing, power=power)
    np.testing.assert_allclose(values, np.arange(n - 1, -1, -1) / (n - 1), rtol=1e-12)


@given(st.lists(st.floats(0.1, 10.0), min_size=2, max_size=30), st.sampled_from([1.0, 2.0]))
def test_refinement_without_a_filter_is_its_formula(norms, power):
    w = np.array(norms) ** -power
    rates = np.array([w[t] * w[t + 1 :].sum() for t in range(len(w))])
    np.testing.assert_allclose(fb.refine(norms, smoothing=0.0, power=power), rates / rates.max(), rtol=1e-10)


def test_a_median_filter_takes_out_single_spikes():
    norms = np.ones(50)
    norms[[7, 20, 33]] = 1e3
    np.testing.assert_allclose(fb.refine(norms), np.linspace(1.0, 0.0, 50), rtol=1e-12, atol=1e-15)


@given(st.lists(coarse.map(lambda x: abs(x) + 0.125), min_size=3, max_size=30), st.floats(0.1, 1.0))
def test_the_median_filter_repeats_the_start_and_mirrors_the_end(norms, smoothing):
    half = int(smoothing * len(norms)) // 2
    left = np.pad(norms, (half, 0), mode="edge")
    padded = np.pad(left, (0, half), mode="reflect")
    medians = [np.median(padded[i : i + 2 * half + 1]) for i in range(len(norms))]
    np.testing.assert_allclose(
        fb.refine(norms, smoothing=smoothing), fb.refine(medians, smoothing=0.0), rtol=1e-12, atol=1e-300
    )


def test_gradient_norms_of_any_size_give_finite_values():
    values = fb.refine([1e-300, 1e300, 1e-300, 1e300], smoothing=0.0)
    assert np.isfinite(values).all()
    assert values.max() == 1.0


# KLAdaptive

KLS = st.lists(
    st.sampled_from([0.0, -0.001, 0.001, 0.004, 0.005, 0.008, 0.016, 0.02, 0.021, 1.0, NAN, INF]), max_size=40
)


@given(KLS)
def test_the_rate_of_a_policy_is_that_of_skrl_and_rl_games(kls):
    # Above twice the target lr = max(lr / 1.5, 1e-6), below half of it lr = min(lr * 1.5, 1e-2).
    lr, expected = 1e-3, []
    for kl in kls:
        lr = max(lr / 1.5, 1e-6) if kl > 2 * 0.008 else min(lr * 1.5, 1e-2) if kl < 0.008 / 2 else lr
        expected.append(lr)
    assert [1e-3 * f for f in factors_of(fb.KLAdaptive(), kls)] == pytest.approx(expected, rel=1e-12)


@given(KLS)
def test_the_rate_of_a_policy_is_that_of_rsl_rl(kls):
    # The same from 1e-5 on with the target 0.01, and a divergence must be more than 0 to raise the rate.
    lr, expected = 1e-3, []
    for kl in kls:
        lr = max(lr / 1.5, 1e-5) if kl > 0.01 * 2 else min(lr * 1.5, 1e-2) if 0.0 < kl < 0.01 / 2 else lr
        expected.append(lr)
    rule = fb.KLAdaptive(0.01, minimum=1e-2, hold_at_zero=True)
    assert [1e-3 * f for f in factors_of(rule, kls)] == pytest.approx(expected, rel=1e-12)


def test_a_policy_that_moves_as_wanted_keeps_its_rate_up_to_both_edges():
    # 0.25 * 2 and 0.25 / 2 are no numbers above or below.
    rule = fb.KLAdaptive(target=0.25, ratio=2.0)
    assert factors_of(rule, [0.5, 0.125, NAN, 0.51, 0.12, 0.12]) == [1.0, 1.0, 1.0, 0.5, 1.0, 2.0]
