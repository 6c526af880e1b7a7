"""compat.tf_models gives the values of the Model Garden's own schedules, to float32."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import load, stub

from lrsched.compat import tf_models

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

live = load("official", "modeling/optimization/lr_schedule.py")
gin = stub("gin", configurable=lambda function: function)
_empty = [stub("official", __path__=[]), stub("official.modeling", __path__=[])]
_lamb, _adamw = stub("lamb", LAMB=None), stub("legacy_adamw", AdamWeightDecay=None)
_empty.append(stub("official.modeling.optimization", lamb=_lamb, legacy_adamw=_adamw))
live.WarmUp = load("official", "nlp/optimization.py", [gin, *_empty]).WarmUp

COUNT = 100
rates = st.sampled_from([1.0, 3e-4, 0.0]) | st.floats(1e-4, 5.0)
steps = st.integers(1, 30)
offsets = st.sampled_from([0, 0, 1, 7, 20, -1, -9])
powers = st.sampled_from([-0.5, -1.0, 0.5, 1.0, 0.0]) | st.floats(-2.0, 1.5)
parts = st.sampled_from([0.0, 0.1, 0.25, 1.0, 2.0]) | st.floats(0.01, 1.0)


BRANCHING = ("LinearWarmup", "PolynomialWarmUp", "WarmUp", "PiecewiseConstantDecayWithOffset")


def values(native, count=COUNT, far=(1000, 100_000)):
    """Return the values at each step and far out; a schedule that branches takes one step at a time."""
    every = [*range(count), *far]
    if type(native).__name__ not in BRANCHING:
        return every, np.array(native(tf.constant(every, tf.int64)), np.float64)
    return every, np.array([float(native(tf.constant(step, tf.int64))) for step in every], np.float64)


def agree(ours, native, count=COUNT, far=(1000, 100_000), slack=0.0):
    """Compare to float32; what is small beside the largest value has lost what cancels."""
    every, expected = values(native, count, far)
    found = ours(np.array(every))
    # Far out of a growing power the largest value is no measure of the first ones.
    scale = max(abs(expected[:count]).max(), 1e-30)
    np.testing.assert_allclose(found[:count], expected[:count], 2e-6 + slack, 3e-7 * scale, err_msg=repr(ours))
    np.testing.assert_allclose(found[count:], expected[count:], 4e-6 + slack, 3e-7 * scale, err_msg=repr(ours))
    np.testing.assert_allclose([ours(step) for step in every], found, 1e-14)


def check(name, slack=0.0, **arguments):
    agree(getattr(tf_models, name)(**arguments), getattr(live, name)(**arguments), slack=slack)


levels = st.lists(st.integers(-5, 60) | st.sampled_from([2.5, 10.75, -0.5]), min_size=1, max_size=4).map(sorted)


@given(levels, offsets, st.data())
def test_the_staircase(boundaries, offset, data):
    chosen = data.draw(st.lists(rates, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    boundaries = [float(boundary) for boundary in boundaries]
    ours = tf_models.PiecewiseConstantDecayWithOffset(boundaries, chosen, offset)
    native = live.PiecewiseConstantDecayWithOffset(boundaries=boundaries, values=chosen, offset=offset)
    for step in {0, 1, 100_000, *(int(b) + offset + d for b in boundaries for d in (-1, 0, 1, 2))}:
        if step >= 0:
            assert ours(step) == pytest.approx(float(native(tf.constant(step, tf.int64))), rel=2e-6)


@given(rates, steps, st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.booleans(), offsets)
def test_the_polynomial(start, count, part, power, cycle, offset):
    named = {"initial_learning_rate": start, "decay_steps": count, "end_learning_rate": start * part}
    named |= {"power": power, "cycle": cycle, "offset": offset}
    if cycle and offset > 0:  # before the offset the number of the cycle would be negative
        with pytest.raises(ValueError, match=r"cycle=...\) must be False with an offset > 0"):
            tf_models.PolynomialDecayWithOffset(**named)
        return
    # Keras divides the step by the length before it rounds up; at 49 cycles of 1/49 that misses in float32.
    assume(not cycle or (count & (count - 1)) == 0)
    # Far out a cycle is so long that what is left of it drowns in the rounding of the step to float32.
    far = () if cycle else (1000, 100_000)
    agree(tf_models.PolynomialDecayWithOffset(**named), live.PolynomialDecayWithOffset(**named), far=far)


@given(rates, steps, st.sampled_from([0.5, 0.96, 1.0]), st.booleans(), offsets)
def test_the_exponential(start, count, rate, staircase, offset):
    named = {"initial_learning_rate": start, "decay_steps": count, "decay_rate": rate, "offset": offset}
    # As above, the floor of a quotient in float32 may miss a stair unless the length is a power of two.
    assume(not staircase or (count & (count - 1)) == 0)
    # The rounding of the rate to float32 is raised to the power too: 6e-8 times the 100000 steps over `count`.
    ours = tf_models.ExponentialDecayWithOffset(**named, staircase=staircase)
    agree(ours, live.ExponentialDecayWithOffset(**named, staircase=staircase), far=(), slack=6e-8 * COUNT / count)


@given(rates, steps, st.floats(0.0, 2.0), offsets)
def test_the_cosine(start, count, alpha, offset):
    named = {"initial_learning_rate": start, "decay_steps": count, "alpha": alpha, "offset": offset}
    # Before the offset float32 has pi t / n of an angle of up to 20 pi.
    ours, native = tf_models.CosineDecayWithOffset(**named), live.CosineDecayWithOffset(**named)
    every, expected = values(native)
    scale = start * max(1.0, alpha)
    np.testing.assert_allclose(
        ours(np.array(every)), expected, 2e-6, (3e-7 + 2e-7 * max(offset, 0) / count * 3) * scale
    )


def bodies():
    """Schedules of both kinds, alike."""
    cosine = {"initial_learning_rate": 0.5, "decay_steps": 40, "alpha": 0.1}
    line = {"initial_learning_rate": 0.5, "decay_steps": 40, "end_learning_rate": 0.01}
    return st.sampled_from([("CosineDecayWithOffset", cosine), ("PolynomialDecayWithOffset", line), (None, 0.25)])


def both(body):
    name, arguments = body
    if name is None:
        return arguments, arguments
    return getattr(tf_models, name)(**arguments), getattr(live, name)(**arguments)


@settings(max_examples=20)
@given(bodies(), st.integers(0, 30), rates, st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_warm_ups(body, warmup, first, power):
    ours, theirs = both(body)
    count = warmup + 4
    agree(tf_models.LinearWarmup(ours, warmup, first), live.LinearWarmup(theirs, warmup, first), count)
    agree(tf_models.PolynomialWarmUp(ours, warmup, power), live.PolynomialWarmUp(theirs, warmup, power), count)
    if body[0] is not None and warmup:
        agree(tf_models.WarmUp(first, ours, warmup, power), live.WarmUp(first, theirs, warmup, power), count)


@given(rates, powers, offsets, st.sampled_from([0.5, 1e6]))
def test_powers(start, power, offset, before):
    check("DirectPowerDecay", initial_learning_rate=start, power=power)
    named = {"initial_learning_rate": start, "power": power, "offset": offset}
    check("PowerDecayWithOffset", **named, pre_offset_learning_rate=before)


@given(rates, st.integers(1, 80), powers, parts, offsets)
def test_a_power_with_a_line(start, total, power, part, offset):
    named = {"initial_learning_rate": start, "total_decay_steps": total, "power": power, "offset": offset}
    check("PowerAndLinearDecay", **named, linear_decay_fraction=part)


@given(st.lists(st.integers(0, 70), min_size=2, max_size=5, unique=True).map(sorted), offsets, st.data())
def test_cosines_between_values(boundaries, offset, data):
    chosen = data.draw(st.lists(rates, min_size=len(boundaries), max_size=len(boundaries)))
    ours = tf_models.StepCosineDecayWithOffset(boundaries, chosen, offset)
    native = live.StepCosineDecayWithOffset([float(b) for b in boundaries], chosen, offset)
    end = boundaries[-1] + offset
    every, expected = values(native, max(end, 0) + 5, far=())
    known = max(end, 0)
    # Up to 70 half turns of the first wave stand before the second boundary: float32 has so much of the angle.
    turns = (boundaries[1] + abs(offset)) / (boundaries[1] - boundaries[0])
    tolerance = (3e-7 + 4e-7 * turns) * max(*chosen, 1e-30)
    np.testing.assert_allclose(ours(np.array(every))[:known], expected[:known], 2e-6, tolerance)
    assert np.isnan(expected[known:]).all()  # the division by zero
    assert ours(known) == ours(known + 1000) == chosen[-1]


def test_every_schedule_is_here():
    schedule = tf_keras.optimizers.schedules.LearningRateSchedule
    theirs = {name for name, item in vars(live).items() if isinstance(item, type) and issubclass(item, schedule)}
    assert theirs == set(tf_models.__all__)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tf_models.PolynomialDecayWithOffset(1.0, 10, cycle=True, offset=5), r"cycle=...\) must be False with"),
        (lambda: tf_models.PolynomialDecayWithOffset(0.1, 9, 0.5, offset=5), r"end_learning_rate=...\) must be <= 0.1"),
        (lambda: tf_models.StepCosineDecayWithOffset([5], [0.1]), r"boundaries=...\) must be two or more"),
        (lambda: tf_models.StepCosineDecayWithOffset([5, 5], [0.1, 1.0]), r"boundaries=...\) must be strictly"),
        (lambda: tf_models.StepCosineDecayWithOffset([5, 9], [0.1]), r"values=...\) must be 2 values"),
        (lambda: tf_models.LinearWarmup(1.0, -1, 0.0), r"warmup_steps=...\) must be an int >= 0"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
