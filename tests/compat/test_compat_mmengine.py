"""compat.mmengine gives the rates of MMEngine's own schedulers."""

import enum
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, folder, load, rates, sgd, stub

from lrsched.compat import mmengine


def _live():
    """Load the schedulers without MMEngine, whose import needs what is not installed."""
    folder("mmengine")
    registry = types.SimpleNamespace(register_module=lambda *a, **k: lambda cls: cls)
    packages = [stub(f"mmengine{name}", __path__=[]) for name in ("", ".optim", ".optim.scheduler")]
    stubs = [
        *packages,
        stub("mmengine.logging", print_log=print),
        stub("mmengine.optim", BaseOptimWrapper=enum.Enum, __path__=[]),
        stub("mmengine.registry", PARAM_SCHEDULERS=registry),
    ]
    return load("mmengine", "optim/scheduler/param_scheduler.py", stubs, "mmengine.optim.scheduler.param_scheduler")


live = _live()

lrs = st.sampled_from([1.0, 0.1, 3e-4])
begins = st.integers(0, 9)
lengths = st.integers(1, 30)
ENDLESS = live.INF


def theirs(lr, configs, count=60):
    optimizer = sgd(lr)
    schedulers = []
    for config in configs:
        arguments = {k: v for k, v in config.items() if k != "type"}
        kind = getattr(live, config["type"].replace("LR", "ParamScheduler"))
        schedulers.append(kind(optimizer, "lr", **arguments))

    def advance(t):
        for scheduler in schedulers:
            scheduler.step()

    return rates(optimizer, advance, count)


def check(name, lr, begin, length, count=60, **arguments):
    end = ENDLESS if length is None else begin + length
    window = {"begin": begin, "end": end}
    expected = theirs(lr, [{"type": name, **arguments, **window}], count)
    ours = getattr(mmengine, name)(lr, **arguments, **window)
    # MMEngine multiplies step by step, and its rounding adds up.
    assert_agrees(ours, expected, rtol=1e-11)


windows = st.none() | lengths


@given(lrs, begins, windows, st.integers(1, 12), st.sampled_from([0.1, 0.9]))
def test_stairs_are_those_of_mmengine(lr, begin, length, size, gamma):
    check("StepLR", lr, begin, length, step_size=size, gamma=gamma)


@given(lrs, begins, windows, st.lists(st.integers(0, 40), max_size=4), st.sampled_from([0.1, 0.5]))
def test_milestones_are_those_of_mmengine(lr, begin, length, milestones, gamma):
    check("MultiStepLR", lr, begin, length, milestones=milestones, gamma=gamma)


@given(lrs, begins, windows, st.sampled_from([0.25, 1.0, 1 / 3]))
def test_constants_and_exponentials_are_those_of_mmengine(lr, begin, length, factor):
    check("ConstantLR", lr, begin, length, factor=factor)
    check("ExponentialLR", lr, begin, length, gamma=factor)


@given(lrs, begins, windows, st.none() | st.integers(2, 20), st.sampled_from([0.0, 0.01]), st.booleans())
def test_cosines_are_those_of_mmengine(lr, begin, length, half, low, ratio):
    check("CosineAnnealingLR", lr, begin, length, T_max=half, **{"eta_min_ratio" if ratio else "eta_min": low})


@given(lrs, begins, lengths, st.sampled_from([0.1, 1 / 3, 1.0]), st.sampled_from([0.5, 1.0]))
def test_lines_are_those_of_mmengine(lr, begin, length, start, end):
    check("LinearLR", lr, begin, length, start_factor=start, end_factor=end)


@given(lrs, begins, lengths, st.sampled_from([0.0, 1e-4]), st.sampled_from([0.9, 1.0, 2.0]))
def test_powers_are_those_of_mmengine(lr, begin, length, low, power):
    check("PolyLR", lr, begin, length, eta_min=low, power=power)


@given(
    lrs,
    begins,
    st.integers(5, 40),
    st.sampled_from([0.3, 0.35, 0.4]),
    st.booleans(),
    st.sampled_from(["cos", "linear"]),
)
def test_one_cycle_is_that_of_mmengine(lr, begin, length, part, three, kind):
    check("OneCycleLR", lr, begin, length, eta_max=lr, pct_start=part, three_phase=three, anneal_strategy=kind)


@given(
    lrs, begins, windows, st.lists(st.tuples(st.integers(1, 15), st.sampled_from([1.0, 0.5])), min_size=1, max_size=3)
)
def test_restarts_are_those_of_mmengine(lr, begin, length, cycles):
    periods, weights = map(list, zip(*cycles, strict=True))
    check("CosineRestartLR", lr, begin, length, periods=periods, restart_weights=weights, eta_min=1e-5)


@given(
    lrs,
    st.integers(2, 12),
    st.integers(0, 4),
    st.integers(1, 20),
    st.sampled_from(["PolyLR", "CosineAnnealingLR", "StepLR"]),
)
def test_a_list_of_schedulers_is_that_of_mmengine(lr, first, gap, second, name):
    configs = [
        {"type": "LinearLR", "start_factor": 0.1, "begin": 0, "end": first},
        {
            "type": name,
            "begin": first + gap,
            "end": first + gap + second,
            **({"step_size": 3} if name == "StepLR" else {}),
        },
        {"type": "ExponentialLR", "gamma": 0.9, "begin": first + gap + second},
    ]
    assert_agrees(mmengine.build_param_schedulers(lr, configs[::-1]), theirs(lr, configs), rtol=1e-11)


def test_a_line_ends_at_the_last_step_at_which_it_acts():
    s = mmengine.LinearLR(1.0, start_factor=0.2, end=5)
    assert [s(t) for t in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rel=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mmengine.StepLR(1.0, 5, begin=5, end=5), r"end=...\) must be > begin=5, got 5"),
        (lambda: mmengine.ConstantLR(1.0, 1.5), r"factor=...\) must be a finite number >= 0 and <= 1"),
        (lambda: mmengine.LinearLR(1.0, end_factor=1.5), r"end_factor=...\) must be a finite number >= 0 and <= 1"),
        (lambda: mmengine.CosineAnnealingLR(1.0, 9, 0.1, eta_min_ratio=0.1), r"must be None if eta_min is given"),
        (lambda: mmengine.CosineRestartLR(1.0, [9]), r"eta_min=...\) must be given"),
        (lambda: mmengine.CosineRestartLR(1.0, [9, 9], eta_min=0.0), r"restart_weights=...\) must be 2 numbers"),
        (lambda: mmengine.OneCycleLR(1.0), r"total_steps=...\) must be given"),
        (lambda: mmengine.OneCycleLR(1.0, 1.0, 9, anneal_strategy="no"), r"must be one of 'cos', 'linear'"),
        (lambda: mmengine.build_param_schedulers(1.0, [{"type": "NoLR"}]), r"must be one of ConstantLR, .* got 'NoLR'"),
    ],
)
def test_what_mmengine_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
