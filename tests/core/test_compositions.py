"""Schedules inside schedules: one value at every time in every library, at the fractions of steps too.

All of these laws are those of float64, which every library computes in (JAX in 64-bit mode).
"""

import random
from fractions import Fraction

import numpy as np
import pytest
from composition_libraries import LIBRARIES, differences, steps_for
from compositions import bounded, compositions, endless, nodes_of, times
from hypothesis import example, given, settings
from hypothesis import strategies as st
from samples import exact

import lrsched as ls
from lrsched._core.offers import CLASSES
from lrsched._core.value import children
from lrsched._spaces.clock import simple

NAMED = (
    ls.Stretch(ls.Repeat(ls.Cosine(1.0, 0.0, steps=3), times=2), factor=100),
    ls.Warmup(1000) >> ls.Stretch(ls.Repeat(ls.Cosine(3e-4, 0.0, steps=1), times=3), factor=1000),
    ls.Shift(ls.Repeat(ls.Cosine(1.0, 0.0, steps=3), times=2), steps=0.5),
    ls.Stretch(ls.Repeat(ls.Repeat(ls.Linear(1.0, 0.0, steps=3), times=2), times=2), factor=7),
    ls.Stretch(ls.Reverse(ls.Hold(ls.RectifiedWarmup(), steps=10)), factor=2.5),
    ls.Hold(ls.Linear(1.0, 0.0, steps=10), steps=5),
    # 1 / 49 and 1 / 103 round to reciprocals that give less than 1 when multiplied by 49 and 103.
    ls.Stretch(ls.Repeat(ls.Linear(1.0, 0.0, steps=3)), factor=49),
    ls.Stretch(ls.Table(tuple(range(50))), factor=49),
    ls.Stretch(ls.Epochs(ls.Exponential(1.0, 0.9), steps_per_epoch=3), factor=1.1),
    ls.Stretch(ls.Shift(ls.Repeat(ls.Linear(1.0, 0.0, steps=3)), steps=0.1), factor=0.1),
    ls.Stretch(ls.Repeat(ls.Stretch(ls.Table((0.0, 1.0, 0.5)), factor=0.1), times=3, stretch=3.0), factor=2.5),
    ls.Stretch(ls.Repeat(ls.Linear(0.5, 1.0, steps=3), stretch=1.1), factor=1.1),  # cycles begin between two steps
)
seeds = st.integers(0, 10**6)


def slow(*names):
    """Return all libraries, those of the names among the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in names else name for name in LIBRARIES]


@pytest.mark.parametrize("library", slow("torch.compile", "jax", "jax.jit", "tf.function"))
def test_the_time_between_two_steps_of_an_inner_clock_counts(library):
    cases = []
    for schedule in NAMED:
        whole = np.arange(5000)
        cases += [(schedule, whole)] if library != "torch.compile" else []  # which traces for seconds
        cases += [(schedule, whole / 4.0)] if library != "compiled" else []
    assert not list(differences(library, cases))


def test_the_comparison_of_libraries_can_fail(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "numpy", lambda cases: [schedule(steps + 1e-9) for schedule, steps in cases])
    assert list(differences("numpy", [(NAMED[0], np.arange(5000))]))


# How many compositions a test draws, and how many of them are traced together.
DRAWN = {
    "numpy": (50, 4),
    "compiled": (50, 4),
    "torch": (40, 4),
    "torch.vmap": (20, 2),
    "torch.compile": (3, 1),
    "jax": (5, 2),
    "jax.jit": (4, 4),
    "tensorflow": (25, 4),
    "tf.function": (6, 6),
}


@pytest.mark.parametrize("library", slow("torch.compile"))
def test_any_composition_has_one_value_in_every_library(library):
    draws, together = DRAWN[library]

    @settings(max_examples=draws)
    @given(st.lists(st.tuples(compositions(), seeds), min_size=together, max_size=together))
    def one_value(drawn):
        cases = [(schedule, steps_for(library, schedule, seed)) for schedule, seed in drawn]
        assert not list(differences(library, cases))

    one_value()


def test_compositions_hold_every_node_at_every_depth():
    pick = random.Random(0).choice
    reached = set().union(*(nodes_of(pick((bounded, endless))(pick, 4)) for _ in range(3_000)))
    inner = {kind.__name__ for kind in CLASSES["schedule"].values()} - {"Warmup", "Cooldown"}
    leaves = {name for name, kind in CLASSES["schedule"].items() if name in inner and not _holds_schedules(kind)}
    assert {name for name, _ in reached} == inner
    assert all((name, depth) in reached for name in leaves for depth in (1, 2, 3, 4))
    assert all((name, depth) in reached for name in inner - leaves - {"Extend", "Warp"} for depth in (0, 1, 2, 3))


def _holds_schedules(kind):
    return bool({"schedule", "parts", "base"} & set(kind.__dataclass_fields__))


# The clocks of a schedule against exact fractions of steps.


def is_exact(schedule):
    """Return whether each boundary is compared exactly: not inside of cycles that grow or shrink."""
    own = not (isinstance(schedule, ls.Repeat) and schedule.stretch != 1.0)
    return own and all(map(is_exact, children(schedule)))


@settings(max_examples=50)
@given(compositions(), seeds)
@example(ls.Repeat(ls.Linear(1.0, 0.0, steps=10), stretch=1.1), 0)
@example(ls.Repeat(ls.Linear(1.0, 0.0, steps=1), times=5, stretch=0.7), 0)  # two cycles begin within the third step
def test_any_composition_has_the_value_of_its_formulas(schedule, seed):
    steps = [t for kind in (0, 1) for t in steps_for("numpy", schedule, 2 * seed + kind).tolist()[::7] if t < 10**6]
    values = [schedule(t) for t in steps]
    wanted = [float(exact(schedule, t)) for t in steps]
    slack = 1e-12 * max(map(abs, wanted)) + 1e-300
    for t, got, want in zip(steps, values, wanted, strict=True):
        if abs(got - want) <= slack:
            continue
        # A float is a time up to its rounding, next to a jump or an infinite slope as elsewhere.
        assert type(t) is float or not is_exact(schedule), (t, got, want)
        near = [
            float(exact(schedule, max(Fraction(t) + Fraction(k, 2**50) * max(int(t), 1), 0))) for k in (-4, -1, 1, 4)
        ]
        assert min(*near, want) - slack <= got <= max(*near, want) + slack, (t, got, want)


@pytest.mark.parametrize(
    ("number", "fraction"), [(0.1, "1/10"), (1 / 3, "1/3"), (2.5, "5/2"), (1 / 49, "1/49"), (7.0, "7")]
)
def test_a_float_stands_for_the_simplest_fraction(number, fraction):
    assert simple(number) == Fraction(fraction)


@given(st.floats(1e-6, 1e6))
def test_the_fraction_of_a_float_rounds_to_it(number):
    assert float(simple(number)) == number
    assert simple(number).denominator <= Fraction(number).denominator


def test_a_decimal_factor_meets_its_whole_steps():
    tenth = ls.Stretch(ls.Repeat(ls.Table((1.0, 0.5, 0.25))), factor=0.1)  # step t is local step 10 t
    assert [tenth(t) for t in range(6)] == [1.0, 0.5, 0.25, 1.0, 0.5, 0.25]


def test_decimal_cycles_begin_at_whole_steps():
    assert ls.Repeat(ls.Linear(1.0, 0.0, steps=10), stretch=1.1)(21) == 1.0  # 10 + 11


def test_a_cycle_that_begins_between_two_steps_has_begun_after_it():
    schedule = ls.Repeat(ls.Linear(1.0, 0.0, steps=1), stretch=1.5)  # cycles begin at 0, 1, 2.5
    assert schedule(2.5) == 1.0
    assert schedule(2.75) == pytest.approx(1 - 0.25 / 2.25, rel=1e-12)


# Slopes.


def test_the_slope_of_a_held_line_is_its_slope_until_the_end():
    torch = pytest.importorskip("torch")
    steps = torch.tensor([4.5, 4.75, 5.0, 6.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(NAMED[5](steps).sum(), steps)
    assert slope.tolist() == pytest.approx([-0.1, -0.1, 0.0, 0.0])


def slopes_of_torch(schedule, steps):
    torch = pytest.importorskip("torch")
    t = torch.tensor(steps, requires_grad=True)
    values = schedule(t)
    return torch.autograd.grad(values.sum(), t)[0].numpy() if values.requires_grad else np.zeros(steps.shape)


def slopes_of_jax(schedule, steps):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.grad(lambda t: schedule(t).sum()))(steps))


def slopes_of_tensorflow(schedule, steps):
    tf = pytest.importorskip("tensorflow")
    t = tf.constant(steps)
    with tf.GradientTape() as tape:
        tape.watch(t)
        values = schedule(t)
    return tape.gradient(values, t, unconnected_gradients="zero").numpy()


@pytest.mark.parametrize(
    ("slopes", "draws"),
    [(slopes_of_torch, 60), (slopes_of_jax, 5), (slopes_of_tensorflow, 30)],
    ids=["torch", "jax", "tensorflow"],
)
def test_the_slope_of_a_composition_is_never_nan(slopes, draws):
    @settings(max_examples=draws)
    @given(compositions(), seeds)
    def never_nan(schedule, seed):
        steps = times(schedule, random.Random(seed).choice)
        steps[::3] = np.floor(steps[::3])
        wrong = np.isnan(slopes(schedule, steps))
        assert not wrong.any(), (schedule, steps[wrong])

    never_nan()
