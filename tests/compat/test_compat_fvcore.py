"""compat.fvcore gives the values of fvcore's own schedulers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched import Constant, Exponential
from lrsched.compat import fvcore

live = pytest.importorskip("fvcore.common.param_scheduler")

values = st.sampled_from([0.0, 1.0, 0.1]) | st.floats(1e-9, 3.0)
positive = st.floats(0.01, 3.0)
totals = st.integers(1, 90)


def check(name, total, *arguments, single=True):
    """Compare the updates of one training; fvcore is not defined after its end."""
    theirs = getattr(live, name)(*arguments)
    ours = getattr(fvcore, name)(*arguments, max_iter=total)
    assert_agrees(ours, [theirs(t / total) for t in range(total)], single=single)
    return ours, theirs


@given(values, totals)
def test_constant_is_that_of_fvcore(value, total):
    check("ConstantParamScheduler", total, value)


@given(values, values, totals)
def test_line_and_cosine_are_those_of_fvcore(start, end, total):
    for name in ("LinearParamScheduler", "CosineParamScheduler"):
        ours, theirs = check(name, total, start, end)
        assert ours(total) == pytest.approx(theirs(1.0), rel=1e-12, abs=1e-15)


@given(positive, positive, totals)
def test_exponential_is_that_of_fvcore(start, decay, total):
    check("ExponentialParamScheduler", total, start, decay)


@given(values, st.sampled_from([0.5, 0.9, 1.0, 2.0]), totals)
def test_polynomial_is_that_of_fvcore(base, power, total):
    check("PolynomialDecayParamScheduler", total, base, power)


@given(st.data(), st.lists(values, min_size=1, max_size=5), totals, st.booleans())
def test_multistep_is_that_of_fvcore(data, levels, total, ends_there):
    updates = data.draw(st.integers(len(levels) + 1, 60))
    count = len(levels) - (not ends_there)
    bounds = data.draw(st.lists(st.integers(1, updates - 1 + ends_there), min_size=count, max_size=count, unique=True))
    arguments = (levels, None if ends_there else updates, sorted(bounds))
    if ends_there and max(bounds) < len(levels):
        with pytest.raises(ValueError, match="num_updates must be greater"):
            live.MultiStepParamScheduler(*arguments)
        with pytest.raises(ValueError, match=r"num_updates=...\) must be >= "):
            fvcore.MultiStepParamScheduler(*arguments, max_iter=total)
    else:
        check("MultiStepParamScheduler", total, *arguments)


@given(st.lists(values, min_size=1, max_size=5), totals)
def test_even_stairs_are_those_of_fvcore(levels, total):
    check("StepParamScheduler", total, 77, levels)
    updates = 5 * len(levels)
    check("MultiStepParamScheduler", total, levels, updates)


@given(positive, st.integers(1, 5), positive, totals)
def test_stairs_of_one_factor_are_those_of_fvcore(base, decays, gamma, total):
    check("StepWithFixedGammaParamScheduler", total, base, decays, gamma, 120)


LEVELS = st.lists(values, min_size=2, max_size=5)
PARTS = st.one_of(
    st.just(("LinearParamScheduler", 0.1, 1.0)),
    st.just(("CosineParamScheduler", 1.0, 0.2)),
    st.just(("ConstantParamScheduler", 0.42)),
    st.just(("PolynomialDecayParamScheduler", 0.8, 2.0)),
    st.builds(lambda levels: ("StepParamScheduler", 77, levels), LEVELS),
    st.builds(lambda decays: ("StepWithFixedGammaParamScheduler", 1.0, decays, 0.5, 120), st.integers(1, 4)),
    st.builds(
        lambda levels, unit: ("MultiStepParamScheduler", levels, unit, list(range(2, 2 * len(levels), 2))),
        LEVELS,
        st.integers(10, 100),
    ),
)


@given(
    st.lists(st.tuples(PARTS, st.integers(1, 9), st.sampled_from(["rescaled", "fixed"])), min_size=1, max_size=4),
    st.integers(1, 150),
)
@example([(("MultiStepParamScheduler", [1.0, 0.5], 100, [50]), 1, "rescaled")], 90)
@example(
    [
        (("MultiStepParamScheduler", [1.0, 0.5], 100, [50]), 1, "rescaled"),
        (("ConstantParamScheduler", 0.1), 2, "fixed"),
    ],
    7,
)
def test_composites_are_those_of_fvcore(drawn, total):
    kinds, shares, scaling = zip(*drawn, strict=True)
    lengths = [share / sum(shares) for share in shares]
    theirs = live.CompositeParamScheduler([getattr(live, k[0])(*k[1:]) for k in kinds], list(lengths), scaling)
    parts = [getattr(fvcore, k[0])(*k[1:], max_iter=total) for k in kinds]
    ours = fvcore.CompositeParamScheduler(parts, lengths, scaling, max_iter=total)
    assert_agrees(ours, [theirs(t / total) for t in range(total)], rtol=1e-11, single=False)


def test_a_staircase_in_a_part_of_a_training_takes_all_its_values():
    """The chain that ended in an endless constant had no length: it stayed at its first value."""
    stairs = fvcore.MultiStepParamScheduler([1.0, 0.5, 0.25], 90, [30, 60], max_iter=90)
    flat = fvcore.ConstantParamScheduler(0.1, max_iter=90)
    ours = fvcore.CompositeParamScheduler([stairs, flat], [0.5, 0.5], ["rescaled", "fixed"], max_iter=90)
    assert [ours(t) for t in (0, 14, 15, 29, 30, 44, 45)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.1]


def test_a_schedule_without_a_length_stands_for_its_first_updates():
    fall = Exponential(1.0, 0.5, steps=10.0)
    ours = fvcore.CompositeParamScheduler([fall, Constant(0.1)], [0.5, 0.5], ["rescaled"] * 2, max_iter=20)
    assert ours(5) == pytest.approx(fall(10), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fvcore.MultiStepParamScheduler([1.0]), r"milestones=...\) must be given if num_updates is not"),
        (lambda: fvcore.MultiStepParamScheduler([1.0, 0.1], 90, [30, 60]), r"must be 1 ints, got \[30, 60\]"),
        (lambda: fvcore.MultiStepParamScheduler([1.0, 0.1], 90, [90]), r"must be increasing between 0 and 90"),
        (lambda: fvcore.MultiStepParamScheduler([1.0, 0.1], 1), r"num_updates=...\) must be >= 2"),
        (lambda: fvcore.StepParamScheduler(0, [1.0]), r"num_updates=...\) must be a finite number > 0"),
        (lambda: fvcore.StepWithFixedGammaParamScheduler(1.0, 0, 0.5, 9), r"num_decays=...\) must be an int >= 1"),
        (lambda: fvcore.StepWithFixedGammaParamScheduler(1.0, 2, 0.0, 9), r"gamma=...\) must be a finite number > 0"),
        (
            lambda: fvcore.CompositeParamScheduler(
                [fvcore.ConstantParamScheduler(1.0, max_iter=9)], [0.5], ["fixed"], max_iter=9
            ),
            r"lengths=...\) must be numbers with the sum 1",
        ),
        (
            lambda: fvcore.CompositeParamScheduler(
                [fvcore.ConstantParamScheduler(1.0, max_iter=9)], [1.0], ["no"], max_iter=9
            ),
            r"must be one of 'rescaled', 'fixed'",
        ),
    ],
)
def test_what_fvcore_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
