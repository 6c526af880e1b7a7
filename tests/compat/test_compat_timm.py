"""compat.timm gives the rates of timm's own schedulers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Optimizer, assert_agrees, assert_agrees_at, hollow, rates

from lrsched import Constant
from lrsched.compat import timm

live = hollow("timm", "scheduler")

lrs = st.sampled_from([1.0, 0.1, 3e-4]) | st.floats(1e-5, 2.0)
floors = st.sampled_from([0.0, 1e-3]) | st.floats(0.0, 0.5)
lengths = st.integers(1, 40)
warmups = st.fixed_dictionaries(
    {
        "warmup_t": st.integers(0, 12),
        "warmup_lr_init": st.sampled_from([0.0, 1e-5, 0.3]),
        "warmup_prefix": st.booleans(),
    }
)
cycles = st.fixed_dictionaries(
    {
        "cycle_mul": st.sampled_from([1.0, 1.0, 2.0, 1.5, 3.0, 1.1]),
        "cycle_decay": st.sampled_from([1.0, 0.1, 0.7]),
        "cycle_limit": st.integers(0, 4),
    }
)


def theirs(name, lr, count, **arguments):
    optimizer = Optimizer(lr)
    scheduler = getattr(live, name)(optimizer, **arguments)
    return rates(optimizer, scheduler.step, count)


def check(name, lr, count=90, **arguments):
    expected, ours = theirs(name, lr, count, **arguments), getattr(timm, name)(lr, **arguments)
    rtol = 1e-11 if "power" in arguments else 1e-12
    misses = missed(count, **arguments) if "cycle_mul" in arguments else set()
    if misses:
        assert_agrees_at(ours, {t: expected[t] for t in range(count) if t not in misses}, rtol)
    else:
        assert_agrees(ours, expected, rtol)


def missed(count, t_initial, cycle_mul, warmup_t, warmup_prefix, **_):
    """Return the restarts at which the rounding of timm's logarithm leaves the rate in the cycle before."""
    found = set()
    for step in range(warmup_t, count if cycle_mul != 1.0 else 0):
        t = step - warmup_t if warmup_prefix else step
        exact, start = 0, 0.0
        while start + t_initial * cycle_mul**exact <= t:
            start += t_initial * cycle_mul**exact
            exact += 1
        if math.floor(math.log(1 - t / t_initial * (1 - cycle_mul), cycle_mul)) != exact:
            found.add(step)
    return found


@given(lrs, floors, lengths, warmups, cycles, st.sampled_from([1.0, 1.0, 2.0, 0.5]))
def test_cosine_is_that_of_timm(lr, lr_min, t_initial, warmup, cycle, k_decay):
    check("CosineLRScheduler", lr, t_initial=t_initial, lr_min=lr_min, k_decay=k_decay, **warmup, **cycle)


@given(lrs, floors, lengths, warmups, cycles)
def test_tanh_is_that_of_timm(lr, lr_min, t_initial, warmup, cycle):
    check("TanhLRScheduler", lr, t_initial=t_initial, lr_min=lr_min, **warmup, **cycle)


@given(lrs, floors, lengths, warmups, cycles, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([1.0, 2.0]))
def test_poly_is_that_of_timm(lr, lr_min, t_initial, warmup, cycle, power, k_decay):
    arguments = {"t_initial": t_initial, "power": power, "lr_min": lr_min, "k_decay": k_decay}
    check("PolyLRScheduler", lr, **arguments, **warmup, **cycle)


@given(lrs, st.one_of(st.integers(1, 30), st.sampled_from([2.5, 7.25])), st.sampled_from([1.0, 0.1, 0.97]), warmups)
def test_step_is_that_of_timm(lr, decay_t, decay_rate, warmup):
    check("StepLRScheduler", lr, decay_t=decay_t, decay_rate=decay_rate, **warmup)


@given(lrs, st.lists(st.integers(0, 80), max_size=4).map(sorted), st.sampled_from([1.0, 0.1, 0.0]), warmups)
def test_multistep_is_that_of_timm(lr, decay_t, decay_rate, warmup):
    check("MultiStepLRScheduler", lr, decay_t=decay_t, decay_rate=decay_rate, **warmup)


@given(
    lrs,
    floors,
    st.integers(1, 40),
    st.floats(0.01, 1.0),
    st.sampled_from(["constant", "rsqrt", "power"]),
    st.sampled_from(["linear", "1-sqrt", "cosine", "power", "exp"]),
    st.sampled_from([None, 3.0, 1000.0]),
    st.sampled_from([0.5, 0.7]),
    st.sampled_from([0.1, 0.01]),
    warmups,
)
def test_wsd_is_that_of_timm(lr, lr_min, n, part, stable, decay, timescale, power, ratio, warmup):
    del warmup["warmup_prefix"]
    arguments = {
        "t_initial": n,
        "decay_t": max(round(n * part), 1),
        "lr_min": lr_min,
        "stable_fn": stable,
        "decay_fn": decay,
        "stable_timescale": timescale,
        "stable_power": power,
        "decay_power": power,
        "decay_ratio": ratio,
    }
    if timescale is None and warmup["warmup_t"] == 0 and stable != "constant":
        with pytest.raises(ValueError, match="requires a positive stable_timescale"):
            live.WSDLRScheduler(Optimizer(lr), **arguments, **warmup)
        with pytest.raises(ValueError, match=r"stable_timescale=...\) must be given if there is no warm-up"):
            timm.WSDLRScheduler(lr, **arguments, **warmup)
        return
    check("WSDLRScheduler", lr, **arguments, **warmup)


@pytest.mark.parametrize("prefix", [True, False])
@pytest.mark.parametrize("name", ["cosine", "tanh", "step", "multistep", "constant", "poly", "wsd", "rsqrt"])
@pytest.mark.parametrize("updates", [0, 3])
def test_the_factory_builds_what_that_of_timm_builds(name, prefix, updates):
    optimizer = Optimizer(0.5)
    arguments = {
        "sched": name,
        "num_epochs": 20,
        "warmup_epochs": 4,
        "warmup_prefix": prefix,
        "min_lr": 1e-3,
        "step_on_epochs": not updates,
        "updates_per_epoch": updates,
        "decay_milestones": [5, 9],
        "decay_epochs": None if name in ("wsd", "rsqrt") else 6,
    }
    scheduler, _ = live.create_scheduler_v2(optimizer, **arguments)
    expected = rates(optimizer, scheduler.step_update if updates else scheduler.step, 80)
    assert_agrees(timm.create_scheduler_v2(0.5, **arguments), expected)


def test_the_factory_leaves_the_rate_alone_if_told_so():
    assert timm.create_scheduler_v2(0.5, "none") == Constant(0.5)


def test_the_default_decays_under_the_warm_up():
    # half a cosine of 10 steps at step 3 is (1 + cos(0.3 pi)) / 2 = 0.79389...
    assert timm.CosineLRScheduler(1.0, 10, warmup_t=3)(3) == pytest.approx(0.7938926261462366, rel=1e-15)


def test_a_milestone_acts_one_step_before_it():
    values = [timm.MultiStepLRScheduler(1.0, [5], 0.5)(t) for t in range(7)]
    assert values == [1, 1, 1, 1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: timm.CosineLRScheduler(1.0, 0), r"CosineLRScheduler\(t_initial=...\) must be an int >= 1"),
        (lambda: timm.CosineLRScheduler(1.0, 9, lr_min=-1.0), r"lr_min=...\) must be a finite number >= 0, got -1.0"),
        (lambda: timm.CosineLRScheduler(1.0, 9, noise_range_t=3), r"noise_range_t=...\) must be None"),
        (lambda: timm.TanhLRScheduler(1.0, 9, lb=1.0, ub=0.0), r"lb=...\) must be < ub=0.0, got 1.0"),
        (lambda: timm.MultiStepLRScheduler(1.0, [9, 5]), r"must be in increasing order"),
        (lambda: timm.WSDLRScheduler(1.0, 9, 10), r"decay_t=...\) must be <= t_initial=9, got 10"),
        (lambda: timm.WSDLRScheduler(1.0, 9, 5, stable_fn="rsqrt"), r"stable_timescale=...\) must be given"),
        (lambda: timm.WSDLRScheduler(1.0, 9, 5, decay_fn="no"), r"must be one of 'linear', '1-sqrt'"),
        (lambda: timm.WSDLRScheduler(1.0, 9, 5, decay_ratio=1.0), r"must be a finite number > 0 and < 1, got 1.0"),
        (lambda: timm.create_scheduler_v2(1.0, "plateau"), r"sched=...\) must be one of"),
        (lambda: timm.create_scheduler_v2(1.0, step_on_epochs=False), r"updates_per_epoch=...\) must be > 0"),
        (lambda: timm.create_scheduler_v2(1.0, "wsd", 10, warmup_epochs=10), r"decay_epochs=...\) must be between"),
    ],
)
def test_what_timm_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="unexpected argument 'gamma'"):
        timm.CosineLRScheduler(1.0, 9, gamma=0.5)
