"""Laws that hold for every schedule."""

import copy
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from strategies import boundary_steps, bounded_schedules, endless_schedules, pending, ramps, schedules, steps

import lrsched as ls
from lrsched import Schedule, from_config, parse, to_config
from lrsched._core.offers import CLASSES, FUNCTIONS
from lrsched._core.value import children
from lrsched._curves.schedule import CALLS_BEFORE_COMPILING
from lrsched._spaces.compile import compiled
from lrsched._spaces.scalar import SCALAR

NODES = {name: kind for name, kind in CLASSES["schedule"].items() if getattr(ls, name, None) is kind}


def nodes_of(schedule: Schedule) -> set[str]:
    """Return the names of all nodes of a schedule."""
    return {type(schedule).__name__}.union(*(nodes_of(child) for child in children(schedule)))


def test_the_strategy_reaches_every_node():
    reached: set[str] = set()

    @settings(max_examples=1_000, derandomize=True, phases=[Phase.generate])
    @given(schedules())
    def collect(schedule):
        reached.update(nodes_of(schedule))

    collect()
    assert reached == set(NODES) - {"Warmup", "Cooldown"}


def test_every_registered_schedule_is_public():
    assert set(NODES) == set(CLASSES["schedule"])


@given(schedules())
def test_the_text_builds_the_schedule_again(schedule):
    assert parse(repr(schedule)) == schedule


@given(schedules())
def test_python_reads_the_text_as_the_parser_does(schedule):
    assert eval(repr(schedule), {name: getattr(ls, name) for name in NODES} | FUNCTIONS) == schedule


@given(schedules())
def test_json_builds_the_schedule_again(schedule):
    assert from_config(json.loads(json.dumps(to_config(schedule), allow_nan=False))) == schedule


@given(schedules(), steps())
def test_copies_are_equal_and_hash_alike(schedule, t):
    for twin in (pickle.loads(pickle.dumps(schedule)), copy.copy(schedule), copy.deepcopy(schedule)):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert twin(t) == schedule(t)


@given(bounded_schedules(), bounded_schedules(), schedules())
def test_chaining_is_associative(a, b, c):
    assert (a >> b) >> c == a >> (b >> c)


@given(st.lists(st.one_of(bounded_schedules(), pending()), min_size=3, max_size=5), st.integers(1, 3))
def test_chaining_is_associative_with_open_heights_too(parts, split):
    def chain(items):
        return items[0] if len(items) == 1 else Schedule.sequence(items)

    split = min(split, len(parts) - 1)
    try:
        whole = Schedule.sequence(parts)
    except ValueError:
        with pytest.raises(ValueError, match="cool-down cannot follow a warm-up"):
            chain(parts[:split]) >> chain(parts[split:])
    else:
        assert chain(parts[:split]) >> chain(parts[split:]) == whole


@given(bounded_schedules(), schedules(), steps())
def test_a_chain_counts_each_part_from_its_own_zero(a, b, t):
    assert (a >> b)(t) == pytest.approx(a(t) if t < a.length else b(t - a.length), rel=1e-15)


@given(bounded_schedules(), steps())
def test_the_last_value_holds(schedule, t):
    assert schedule(schedule.length + t) == schedule(schedule.length)


@given(ramps())
def test_a_ramp_ends_exactly_at_its_end(ramp):
    assert ramp(ramp.steps) == ramp.end


@given(ramps())
def test_a_ramp_begins_at_its_start(ramp):
    if isinstance(ramp, ls.Tanh):  # it begins a part of its way down the curve, which its arguments give
        assert min(ramp.start, ramp.end) * (1 - 1e-15) <= ramp(0) <= max(ramp.start, ramp.end) * (1 + 1e-15)
    else:
        assert ramp(0) == pytest.approx(ramp.start, rel=1e-15)


@given(ramps())
def test_a_ramp_is_monotonic(ramp):
    values = ramp(np.unique(np.linspace(0, ramp.steps + 2, 2_000).astype(int)))
    slack = 4 * np.finfo(float).eps * max(ramp.start, ramp.end)
    direction = 1.0 if ramp.end >= ramp.start else -1.0
    assert (np.diff(values) * direction >= -slack).all()


@given(ramps())
def test_a_ramp_stays_between_its_endpoints(ramp):
    values = ramp(np.arange(min(ramp.steps, 2_000) + 2))
    low, high = sorted((ramp.start, ramp.end))
    assert values.min() >= low * (1 - 1e-15)
    assert values.max() <= high * (1 + 1e-15)


@given(schedules(), st.lists(steps(), min_size=1, max_size=20))
def test_every_value_is_finite(schedule, times):
    values = schedule(np.array(times))
    assert np.isfinite(values).all()
    assert all(math.isfinite(schedule(t)) for t in times)


@given(schedules())
def test_an_array_of_steps_gives_the_values_of_each_step(schedule):
    times = np.array([*boundary_steps(schedule), 7, 100, 2**31])
    expected = np.array([schedule(int(t)) for t in times])
    np.testing.assert_allclose(schedule(times), expected, rtol=1e-13, atol=1e-300)


@given(schedules(), st.lists(steps(), min_size=1, max_size=20))
def test_the_compiled_function_gives_the_same_floats(schedule, times):
    number = compiled(schedule._at)
    for t in [*times, *boundary_steps(schedule)]:
        assert number(t) == schedule._at(t, SCALAR)


def test_a_schedule_that_is_called_often_is_compiled():
    schedule = ls.Warmup(5) >> ls.Cosine(1.0, 0.0, steps=95)
    before = [schedule(t) for t in range(CALLS_BEFORE_COMPILING + 2)]
    assert schedule._number.__name__ == "number"
    assert [schedule(t) for t in range(CALLS_BEFORE_COMPILING + 2)] == before
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_a_chain_too_long_for_one_function_still_has_values():
    schedule = Schedule.sequence([ls.Constant(float(i), 1) for i in range(5_000)])
    assert [schedule(t) for t in range(5_000)] == [float(t) for t in range(5_000)]


@given(schedules(), st.integers(0, 3_000))
def test_a_long_array_is_its_pieces_put_together(schedule, offset):
    times = np.arange(offset, offset + 20_000)
    np.testing.assert_allclose(
        schedule(times), np.concatenate([schedule(part) for part in np.array_split(times, 7)]), rtol=1e-13, atol=1e-300
    )


@given(schedules())
def test_the_shape_of_the_steps_is_kept(schedule):
    times = np.arange(24).reshape(2, 3, 4)
    assert schedule(times).shape == (2, 3, 4)
    assert schedule(np.array(3)).shape == ()
    assert schedule(np.array([], dtype=int)).shape == (0,)
    assert schedule(times).dtype == np.float64


@given(schedules(), st.integers(-(2**40), -1))
def test_negative_steps_raise_in_python_and_count_as_zero_in_arrays(schedule, t):
    assert schedule(np.array([t]))[0] == schedule(np.array([0]))[0]
    with pytest.raises(ValueError, match="finite step >= 0"):
        schedule(t)


@given(schedules(), steps())
def test_numpy_scalars_are_python_numbers(schedule, t):
    assert type(schedule(np.int64(t))) is float
    assert schedule(np.int64(t)) == schedule(t)
    assert schedule(np.float64(t)) == pytest.approx(schedule(t), rel=1e-13)


@given(schedules(), schedules(), steps())
def test_operators_work_step_by_step(a, b, t):
    assert (a * b)(t) == pytest.approx(a(t) * b(t), rel=1e-15)
    assert (a + b)(t) == pytest.approx(a(t) + b(t), rel=1e-15)
    assert ls.Minimum((a, b))(t) == min(a(t), b(t))
    assert ls.Maximum((a, b))(t) == max(a(t), b(t))


@given(schedules(), schedules(), schedules())
def test_products_and_sums_are_associative(a, b, c):
    assert (a * b) * c == a * (b * c)
    assert (a + b) + c == a + (b + c)


@given(bounded_schedules(), st.integers(1, 4), steps())
def test_repeating_starts_again_after_each_length(schedule, times, t):
    cycles = ls.Repeat(schedule, times)
    inside = t < times * schedule.length
    expected = schedule(t % schedule.length) if inside else schedule(schedule.length)
    assert cycles(t) == expected


@given(st.integers(1, 50), st.sampled_from([2, 3, 5]), st.integers(0, 2**52))
def test_the_restart_of_an_integer_stretch_is_exact(period, stretch, t):
    schedule = ls.Repeat(ls.Linear(1.0, 0.0, period), stretch=stretch)
    begin, length = 0, period
    while begin + length <= t:
        begin, length = begin + length, length * stretch
    assert schedule(t) == pytest.approx((begin + length - t) / length, rel=1e-15)


def test_the_restart_that_a_logarithm_misses_is_right():
    # 7 * (3**5 - 1) / 2 = 847: torch's step(epoch) gives the end of the cycle before instead of its start.
    assert ls.Repeat(ls.Cosine(1.0, 0.0, steps=7), stretch=3)(847) == 1.0


@given(st.integers(1, 50), st.sampled_from([1.1, 1.5, 2.7]), st.sampled_from(["once", "each"]), st.integers(0, 10**6))
def test_a_rounded_cycle_takes_whole_steps_and_is_filled(period, stretch, rounding, t):
    schedule = ls.Repeat(ls.Linear(1.0, 0.0, period), stretch=stretch, rounding=rounding)
    begin, size, number = 0, period, 0
    while begin + size <= t:
        begin, number = begin + size, number + 1
        size = int(size * stretch) if rounding == "each" else int(period * stretch**number)
        if rounding == "each" and size == period:
            begin = t // period * period
    assert schedule(t) == pytest.approx((begin + size - t) / size, rel=1e-14)


@given(ramps(), st.sampled_from([0.5, 0.25, 3.75]), st.integers(0, 2_000))
def test_shifting_by_a_part_of_a_step_is_shifting_a_slower_clock(ramp, part, t):
    slow = ls.Stretch(ramp, 4.0)
    assert ls.Shift(ramp, part)(t) == pytest.approx(slow(4 * t + int(4 * part)), rel=1e-12, abs=1e-300)


@given(schedules(), st.integers(0, 2_000), steps(2_000))
def test_shifting_skips_steps(schedule, skip, t):
    assert ls.Shift(schedule, skip)(t) == schedule(t + skip)


@given(schedules(), st.integers(1, 40), steps(2_000))
def test_epochs_count_whole_ones(schedule, size, t):
    assert ls.Epochs(schedule, size)(t) == schedule(t // size)


@given(schedules(), st.integers(1, 40), steps(2_000))
def test_an_update_uses_the_last_of_its_batches(schedule, n, t):
    assert ls.Batches(schedule, n)(t) == schedule(n * t + n - 1)


@given(bounded_schedules(), st.integers(1, 40))
def test_the_batches_of_whole_updates_are_its_length(schedule, n):
    counted = ls.Batches(schedule, n)
    assert counted(counted.length) == counted(counted.length + 1000) == schedule(schedule.length)
    assert n * (counted.length - 1) + n - 1 < max(schedule.length, n)


@given(schedules(), st.integers(1, 9), st.integers(1, 9), steps(2_000))
def test_batches_of_batches_multiply(schedule, n, m, t):
    assert ls.Batches(ls.Batches(schedule, n), m)(t) == ls.Batches(schedule, n * m)(t)


@given(bounded_schedules(), st.integers(2, 9), steps(2_000))
def test_a_whole_stretch_meets_the_schedule_at_its_multiples(schedule, factor, t):
    assert ls.Stretch(schedule, factor)(t * factor) == pytest.approx(schedule(t), rel=1e-12, abs=1e-15)


def test_a_stretch_by_a_decimal_fraction_ends_on_the_step_it_names():
    # the float nearest to 0.8 is a little more, so that 0.8 * 10 lies a little beyond step 8
    assert ls.Stretch(ls.Linear(1.0, 0.0, steps=10), 0.8).length == 8
    assert ls.Stretch(ls.Linear(1.0, 0.0, steps=10), 0.8)(8) == 0.0


def test_stretches_multiply():
    twice = ls.Stretch(ls.Stretch(ls.Cosine(1.0, 0.0, steps=3), 1.5), 2.0)
    once = ls.Stretch(ls.Cosine(1.0, 0.0, steps=3), 3.0)
    np.testing.assert_allclose(twice(np.arange(12)), once(np.arange(12)), rtol=1e-12, atol=1e-16)


@given(bounded_schedules(), steps(2_000))
def test_reversing_counts_from_the_end(schedule, t):
    assert ls.Reverse(schedule)(t) == schedule(max(schedule.length - t, 0))


@given(endless_schedules(), st.integers(1, 500), steps(2_000))
def test_holding_keeps_the_value_reached(schedule, n, t):
    held = ls.Hold(schedule, n)
    assert held.length == n
    assert held(t) == schedule(min(t, n))


@pytest.mark.parametrize("name", ["init", "update", "__len__", "__bool__", "__iter__", "__getitem__"])
def test_names_that_other_libraries_would_misread_are_absent(name):
    assert not any(hasattr(kind, name) for kind in NODES.values())


def test_the_test_for_absent_names_can_fail():
    assert any(hasattr(kind, "length") for kind in NODES.values())


def test_a_second_positional_argument_is_refused():
    with pytest.raises(TypeError, match="positional argument"):
        ls.Constant(0.1)(0, 0.1)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (ls.Table((0.1, 0.0)), [0.1, 0.0]),
        (ls.Table((0.3,)), [0.3]),
        (ls.Constant(0.5, steps=2) >> ls.Table((0.1, 0.0)), [0.5, 0.5, 0.1, 0.0]),
        (ls.Table((0.1, 0.2)) >> ls.Linear(1.0, 0.0, steps=2), [0.1, 0.2, 1.0, 0.5]),
        (ls.Epochs(ls.Table((0.1, 0.0)), 2), [0.1, 0.1, 0.0, 0.0]),
        (ls.Stretch(ls.Table((0.1, 0.0)), 2.0), [0.1, 0.1, 0.0, 0.0]),
        (ls.Shift(ls.Table((0.1, 0.2, 0.0)), 1), [0.2, 0.0]),
        (ls.Batches(ls.Table((0.1, 0.2, 0.3, 0.0)), 2), [0.2, 0.0]),
        (2.0 * ls.Table((0.1, 0.0)), [0.2, 0.0]),
        (ls.Hold(ls.Table((0.1, 0.0)), steps=3), [0.1, 0.0, 0.0]),
        (ls.Repeat(ls.Table((0.1, 0.0)), times=2), [0.1, 0.0, 0.1, 0.0]),
    ],
    ids=repr,
)
def test_each_value_of_a_table_has_its_step_in_every_cycle(schedule, values):
    assert [ls.Repeat(schedule)(t) for t in range(3 * len(values))] == pytest.approx(3 * values, rel=1e-15)
    assert ls.Repeat(schedule, times=2)(2 * len(values) + 3) == schedule(schedule.length)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5), bounded_schedules(depth=1))
def test_a_chain_uses_every_value_of_a_table(values, after):
    chain = ls.Table(tuple(values)) >> after
    assert [chain(t) for t in range(len(values) + 1)] == [*values, after(0)]
