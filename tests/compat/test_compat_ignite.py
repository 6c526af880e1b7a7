"""compat.ignite gives the values of pytorch-ignite's own schedulers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, sgd

from lrsched import Constant, Cosine, Linear
from lrsched.compat import ignite

torch = pytest.importorskip("torch")

live = pytest.importorskip("ignite.handlers.param_scheduler")

values = st.sampled_from([0.0, 1.0, 0.1]) | st.floats(1e-9, 3.0)
sizes = st.integers(2, 25)
mults = st.sampled_from([1.0, 1.0, 2.0, 3.0, 1.5, 2.5])
factors = st.sampled_from([1.0, 1.0, 0.5, 1.3])


def simulate(name, count=120, **arguments):
    return [v for _, v in getattr(live, name).simulate_values(count, param_name="lr", **arguments)]


def check(name, **arguments):
    assert_agrees(getattr(ignite, name)(**arguments), simulate(name, **arguments), single=False)


def cycles(start, end, size, mult, first, second, warmup):
    return {
        "start_value": start,
        "end_value": end,
        "cycle_size": size,
        "cycle_mult": mult,
        "start_value_mult": first,
        "end_value_mult": second,
        "warmup_duration": warmup,
    }


@given(values, values, sizes, mults, factors, factors, st.sampled_from([0, 0, 1, 4]), st.booleans())
def test_linear_cycles_are_those_of_ignite(start, end, size, mult, first, second, warmup, monotonic):
    arguments = cycles(start, end, size, mult, first, second, warmup if monotonic else 0)
    check("LinearCyclicalScheduler", **arguments, monotonic=monotonic)


@given(values, values, sizes, mults, factors, factors, st.sampled_from([0, 0, 1, 4]))
def test_cosine_cycles_are_those_of_ignite(start, end, size, mult, first, second, warmup):
    check("CosineAnnealingScheduler", **cycles(start, end, size, mult, first, second, warmup))


@given(
    st.lists(st.tuples(st.integers(0, 40), values), min_size=1, max_size=6).map(lambda p: sorted(p, key=lambda q: q[0]))
)
def test_piecewise_lines_are_those_of_ignite(points):
    check("PiecewiseLinear", milestones_values=points)


@given(st.integers(1, 12), st.integers(1, 12), sizes, sizes)
def test_concatenation_is_that_of_ignite(first, second, size, other):
    optimizer = sgd(1.0)
    parts = [
        live.LinearCyclicalScheduler(optimizer, "lr", 0.0, 1.0, size),
        live.CosineAnnealingScheduler(optimizer, "lr", 1.0, 0.1, other),
        live.PiecewiseLinear(optimizer, "lr", [(0, 0.5), (9, 0.25)]),
    ]
    scheduler = live.ConcatScheduler(parts, durations=[first, second])
    expected = []
    for _ in range(60):
        scheduler(None)
        expected.append(optimizer.param_groups[0]["lr"])
    ours = [
        ignite.LinearCyclicalScheduler(0.0, 1.0, size),
        ignite.CosineAnnealingScheduler(1.0, 0.1, other),
        ignite.PiecewiseLinear([(0, 0.5), (9, 0.25)]),
    ]
    assert_agrees(ignite.ConcatScheduler(ours, durations=[first, second]), expected)


@given(values, st.integers(2, 12), st.sampled_from([None, 0.5, 1.0]), st.sampled_from(["torch", "ignite"]))
def test_the_warm_up_is_that_of_ignite(start, duration, end, kind):
    optimizer = sgd(1.0)
    if kind == "torch":
        inner = torch.optim.lr_scheduler.LambdaLR(optimizer, Cosine(1.0, 0.0, 30))
        ours = Cosine(1.0, 0.0, 30)
    else:
        inner = live.CosineAnnealingScheduler(optimizer, "lr", 1.0, 0.0, 9)
        ours = ignite.CosineAnnealingScheduler(1.0, 0.0, 9)
    scheduler = live.create_lr_scheduler_with_warmup(inner, start, duration, end)
    expected = []
    for _ in range(50):
        scheduler(None)
        expected.append(optimizer.param_groups[0]["lr"])
    assert_agrees(ignite.create_lr_scheduler_with_warmup(ours, start, duration, end), expected)


def test_the_line_of_the_warm_up_has_one_step_less():
    # 0, then 1 / (3 - 1), then the first value of the schedule that follows
    ours = ignite.create_lr_scheduler_with_warmup(Constant(1.0), 0.0, warmup_duration=3)
    assert [ours(t) for t in range(4)] == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("size", [10, 30])
def test_cycles_that_grow_by_less_than_a_step_do_not_grow(size):
    # int(10 * 1.05) is 10 for ever; 30, 31, 32, ... grows
    check("CosineAnnealingScheduler", start_value=1.0, end_value=0.0, cycle_size=size, cycle_mult=1.05)


def test_cycle_and_warm_up_are_each_rounded_down():
    # 3 + 3 events, then int(3 * 1.5) = 4 of each, then 6: the top is at 0, 6, 14 and 26
    cycles = {"start_value": 1.0, "end_value": 0.0, "cycle_size": 3, "cycle_mult": 1.5, "warmup_duration": 3}
    schedule = ignite.CosineAnnealingScheduler(**cycles)
    assert [t for t in range(40) if schedule(t) == 1.0] == [0, 6, 14, 26]
    check("CosineAnnealingScheduler", **cycles)
    check("LinearCyclicalScheduler", **cycles, start_value_mult=0.5, end_value_mult=2.0, monotonic=True)


def test_the_cosine_restarts():
    assert ignite.CosineAnnealingScheduler(1.0, 0.0, 7)(7) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ignite.CosineAnnealingScheduler(1.0, 0.0, 1), r"cycle_size=...\) must be an int >= 2"),
        (lambda: ignite.LinearCyclicalScheduler(1.0, 0.0, 9, warmup_duration=2), r"must be 0 unless monotonic, got 2"),
        (lambda: ignite.CosineAnnealingScheduler(1.0, 0.0, 9, cycle_mult=0.5), r"must be a number >= 1"),
        (lambda: ignite.ConcatScheduler([Constant(1.0)], [5]), r"must be two or more schedules"),
        (lambda: ignite.ConcatScheduler([Linear(0, 1, 3)] * 2, [1, 2]), r"durations=...\) must be 1 ints"),
        (lambda: ignite.PiecewiseLinear([]), r"must be a sequence of 1 or more items"),
        (lambda: ignite.PiecewiseLinear([(5, 0.1), (3, 0.1)]), r"must be in increasing order of the events"),
        (lambda: ignite.create_lr_scheduler_with_warmup(Constant(1.0), 0.0, 1), r"must be an int >= 2"),
    ],
)
def test_what_ignite_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_schedule_is_needed_to_warm_up():
    with pytest.raises(TypeError, match=r"lr_scheduler=...\) must be a schedule"):
        ignite.create_lr_scheduler_with_warmup(0.1, 0.0, 5)
