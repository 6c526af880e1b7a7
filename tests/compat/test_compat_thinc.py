"""compat.thinc gives the values of Thinc's own schedules."""

import types

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import assert_agrees, load, stub

from lrsched.compat import thinc

registry = types.SimpleNamespace(schedules=lambda name: lambda function: function)
live = load(
    "thinc", "schedules.py", [stub("thinc", __path__=[]), stub("thinc.config", registry=registry)], "thinc.schedules"
)

rates = st.sampled_from([0.1, 1.0]) | st.floats(1e-4, 2.0)


def check(name, *arguments, rtol=1e-12, single=True, **named):
    theirs = getattr(live, name)(*arguments, **named)
    ours = getattr(thinc, name)(*arguments, **named)
    assert_agrees(ours, [float(theirs(t)) for t in range(60)], rtol, single)


@given(rates, st.floats(0.0, 2.0), st.sampled_from([0.0, 2.5]))
def test_decaying_is_that_of_thinc(base, decay, t):
    check("decaying", base, decay, t=t)
    check("constant", base)


@given(rates, rates, st.sampled_from([1.05, 0.9]), st.sampled_from([0.0, 2.5]))
def test_compounding_is_that_of_thinc(start, stop, compound, t):
    check("compounding", start, stop, compound, t=t)


@given(
    rates,
    st.integers(2, 80) | st.floats(2.0, 80.0),
    st.sampled_from([0.1, 0.25, 0.5]),
    st.sampled_from([2, 32]),
    st.integers(0, 3) | st.floats(0.0, 3.0),
)
@example(1.0, 20.0, 0.1, 10, 1.0)  # Thinc's own test
def test_the_slanted_triangle_is_that_of_thinc(top, steps, part, ratio, t):
    if int(steps * part) == 0:
        with pytest.raises(ZeroDivisionError):
            [live.slanted_triangular(top, steps, cut_frac=part, ratio=ratio, t=t)(step) for step in range(3)]
        with pytest.raises(ValueError, match=r"cut_frac=...\) must be at least one step"):
            thinc.slanted_triangular(top, steps, cut_frac=part, ratio=ratio, t=t)
        return
    check("slanted_triangular", top, steps, cut_frac=part, ratio=ratio, t=t)


@given(rates, st.integers(0, 40), st.integers(0, 50), st.integers(1, 20))
def test_lines_are_those_of_thinc(rate, warmup, total, period):
    check("warmup_linear", rate, warmup, total)
    check("cyclic_triangular", rate / 2, rate, period, rtol=1e-11)


@given(rates, st.integers(0, 20))
def test_what_follows_a_constant_has_counted_all_the_time(rate, steps):
    theirs = live.constant_then(rate, steps, live.decaying(1.0, 0.1))
    ours = thinc.constant_then(rate, steps, thinc.decaying(1.0, 0.1))
    assert_agrees(ours, [theirs(t) for t in range(60)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: thinc.slanted_triangular(1.0, 5), r"cut_frac=...\) must be at least one step"),
        (lambda: thinc.cyclic_triangular(0.0, 1.0, 0), r"period=...\) must be an int >= 1"),
        (lambda: thinc.decaying(1.0, -1.0), r"decay=...\) must be a finite number >= 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
