"""compat.fastai gives the values of fastai's own schedules, which find their phases in float32."""

import functools
import math
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import definitions

from lrsched.compat import fastai

torch = pytest.importorskip("torch")

NAMES = [
    "_Annealer", "annealer", "sched_lin", "sched_cos", "sched_no", "sched_exp", "SchedLin", "SchedCos", "SchedNo",
    "SchedExp", "SchedPoly", "combine_scheds", "combined_cos",
]  # fmt: skip


def _store(self, f, start, end):
    self.f, self.start, self.end = f, start, end


def _live():
    content = {"math": math, "functools": functools, "torch": torch, "tensor": torch.tensor, "L": list}
    found = definitions("fastai", "callback/schedule.py", NAMES, **content)
    # fastai's class stores its arguments by looking at the frame that calls it.
    found["_Annealer"].__init__ = _store
    return types.SimpleNamespace(**found)


live = _live()

values = st.sampled_from([1.0, 0.1, 1e-3])
lengths = st.integers(1, 60)


def agrees(ours, theirs, steps, rtol=1e-12):
    expected = [float(theirs(t / steps)) for t in range(steps)]
    np.testing.assert_allclose([ours(t) for t in range(steps)], expected, rtol, 1e-15, err_msg=repr(ours))


@given(values, values, lengths, st.sampled_from([0.5, 1.0, 2.0]))
def test_the_curves_are_those_of_fastai(start, end, steps, power):
    for name in ("SchedLin", "SchedCos", "SchedNo", "SchedExp"):
        agrees(getattr(fastai, name)(start, end, steps=steps), getattr(live, name)(start, end), steps)
    agrees(fastai.SchedPoly(start, end, power, steps=steps), live.SchedPoly(start, end, power), steps)


@given(st.sampled_from([0.25, 0.3, 0.5, 0.7, 0.75]), values, values, values, st.integers(8, 90))
def test_two_cosines_are_those_of_fastai(pct, start, middle, end, steps):
    # float32 has 24 bits of the part gone, and the curve grows their error
    theirs = live.combined_cos(pct, start, middle, end)
    agrees(fastai.combined_cos(pct, start, middle, end, steps=steps), theirs, steps, rtol=1e-4)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(4, 80))
def test_phases_are_those_of_fastai(shares, steps):
    parts = [share / 2 ** (sum(shares).bit_length()) for share in shares]
    parts[-1] = 1.0 - sum(parts[:-1])
    kinds = [("SchedLin", 0.5, 1.0), ("SchedNo", 0.2, 0.2), ("SchedExp", 1.0, 0.01), ("SchedCos", 1.0, 0.1)]
    theirs = live.combine_scheds(parts, [getattr(live, kind)(*ends) for kind, *ends in kinds[: len(parts)]])
    ours = [getattr(fastai, kind)(*ends, steps=steps) for kind, *ends in kinds[: len(parts)]]
    agrees(fastai.combine_scheds(parts, ours, steps=steps), theirs, steps, rtol=1e-4)


def test_the_policies_are_their_parts():
    one = fastai.fit_one_cycle(1.0, steps=100)
    assert one == fastai.combined_cos(0.25, 1 / 25, 1.0, 1e-5, steps=100)
    assert fastai.fit_flat_cos(1.0, steps=100) == fastai.combined_cos(0.75, 1.0, 1.0, 1e-5, steps=100)
    # cycles of 1, 2 and 4 epochs of 10 updates begin at 0, 10 and 30
    s = fastai.fit_sgdr(1.0, 3, 1, steps_per_epoch=10)
    assert [s(t) for t in (0, 10, 30)] == [1.0, 1.0, 1.0]
    assert s(9) < 0.03
    assert fastai.LRFinder(num_it=3) == fastai.LRFinder(num_it=6)


def test_one_cycle_of_ten_updates():
    # the table of one-cycle policies: the top lies between updates 2 and 3
    s = fastai.fit_one_cycle(1.0, steps=10)
    expected = [0.04, 0.3717, 0.9083, 0.9891, 0.9045, 0.75, 0.5523, 0.3455, 0.1654, 0.0432]
    assert [round(s(t), 4) for t in range(10)] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: fastai.combine_scheds([0.5], [fastai.SchedNo(1, 1, steps=5)], steps=5),
            r"must be numbers with the sum 1",
        ),
        (lambda: fastai.combine_scheds([0.5, 0.5], [fastai.SchedNo(1, 1, steps=5)], steps=5), r"must be 1 numbers"),
        (lambda: fastai.combined_cos(0.0, 1.0, 1.0, 1.0, steps=5), r"pct=...\) must be more than 0"),
        (lambda: fastai.fit_sgdr(1.0, 2, 1, 1, steps_per_epoch=5), r"cycle_mult=...\) must be an int >= 2"),
        (lambda: fastai.SchedExp(0.0, 1.0, steps=5), r"start=...\) must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
