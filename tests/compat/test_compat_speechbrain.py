"""compat.speechbrain gives the rates of SpeechBrain's own schedulers, called after each update as its trainer does."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Optimizer, assert_agrees, assert_agrees_at, load, stub

from lrsched.compat import speechbrain

torch = pytest.importorskip("torch")


def plain(target):
    return target


class Quiet:
    def info(self, *arguments):
        pass


def _live():
    hooks = {"register_checkpoint_hooks": plain, "mark_as_saver": plain, "mark_as_loader": plain}
    checkpoints = stub("speechbrain.utils.checkpoints", **hooks)
    stubs = [
        stub("speechbrain", __path__=[]),
        stub("speechbrain.utils", checkpoints=checkpoints),
        checkpoints,
        stub("speechbrain.utils.logger", get_logger=lambda name: Quiet()),
    ]
    return load("speechbrain", "nnet/schedulers.py", stubs, "speechbrain_schedulers_of_the_tests")


live = _live()

COUNT = 90
lrs = st.sampled_from([1.0, 3e-4, 0.1]) | st.floats(1e-6, 10.0)
some = st.none() | lrs
steps = st.integers(1, 30)
counts = st.integers(0, 30)
FAR = 10_000


def used(scheduler, lr, count=COUNT, numbered=False, call=None):
    """Return the rates of the updates: the scheduler is called after each."""
    optimizer = Optimizer(lr)
    call = call or (lambda t: scheduler(optimizer, t) if numbered else scheduler(optimizer))
    rates = [optimizer.lr]
    for t in range(1, count):
        call(t)
        rates.append(optimizer.lr)
    return rates


def check(name, *arguments, own=0, lr=None, numbered=False, keyword="lr", single=True, **named):
    """Compare with the scheduler; `own` is the place of its own rate among the arguments."""
    first = (arguments[own] if lr is None else lr) if own is not None else lr
    theirs = used(getattr(live, name)(*arguments, **named), first, numbered=numbered)
    assert_agrees(getattr(speechbrain, name)(*arguments, **named, **{keyword: lr}), theirs, single=single)


@given(lrs, steps, st.none() | st.integers(1, 1024), some)
def test_noam_is_that_of_speechbrain(own, warmup, width, lr):
    check("NoamScheduler", own, warmup, width, lr=lr)


@given(lrs, steps, st.lists(st.tuples(st.integers(-2, 80), st.sampled_from([0.5, 0.1, 0.0, 2.0])), max_size=4), some)
def test_noam_with_drops_is_that_of_speechbrain(own, warmup, drops, lr):
    where, rates = [a for a, _ in drops], [b for _, b in drops] + [0.5]
    check("NoamIntervalScheduler", own, warmup, where, rates, lr=lr)
    check("NoamIntervalScheduler", own, warmup, where, rates, 512, lr=lr)


@given(lrs, steps, counts, some)
def test_linear_noam_is_that_of_speechbrain(own, warmup, keep, lr):
    check("LinearNoamScheduler", own, warmup, keep, lr=lr)


@given(lrs, counts, st.integers(0, 70), some)
def test_the_linear_warm_up_is_that_of_speechbrain(own, warmup, total, lr):
    check("LinearWarmupScheduler", own, warmup, total, lr=lr)


@given(steps, lrs, st.integers(1, 50), some)
def test_the_cosine_is_that_of_speechbrain(warmup, own, total, lr):
    check("CyclicCosineScheduler", warmup, own, total, own=1, lr=lr)


@given(lrs, st.floats(0.0, 5.0), st.integers(5, 30) | st.sampled_from([7.5, 12.25, 33.3]), some)
def test_cycles_are_those_of_speechbrain(low, height, size, lr):
    # SpeechBrain loses n / size units of the last place to cancellation; up to n / size = 18 here.
    for mode in ("triangular", "triangular2", "exp_range"):
        named = {"mode": mode, "gamma": 0.97}
        scheduler = live.CyclicLRScheduler(low, low + height, size, **named)
        first = low if lr is None else lr
        optimizer = Optimizer(first)
        theirs = [first]
        for _ in range(1, COUNT):
            scheduler.on_batch_end(optimizer)
            theirs.append(optimizer.lr)
        ours = speechbrain.CyclicLRScheduler(low, low + height, size, **named, lr=lr)
        scale = max(1.0, *theirs)
        for t, value in enumerate(theirs):
            assert ours(t) == pytest.approx(value, rel=1e-12, abs=(1e-15 + 2.3e-16 * t / size) * scale), (t, ours)


@given(lrs, st.floats(0.001, 1.0))
def test_a_falling_wave_is_that_of_speechbrain(low, part):
    scheduler = live.CyclicLRScheduler(low, low * part, 8)
    expected = [low, *(scheduler.clr(t) for t in range(1, 33))]
    assert_agrees(speechbrain.CyclicLRScheduler(low, low * part, 8), expected)


@given(lrs, counts)
def test_the_inverse_square_root_is_that_of_speechbrain(lr, warmup):
    theirs = used(live.InverseSquareRootScheduler(warmup), lr)
    assert_agrees(speechbrain.InverseSquareRootScheduler(lr, warmup), theirs)


@given(lrs, counts, steps, st.sampled_from([0.1, 0.01, 0.0, 1.0, 3.0]), some)
def test_the_exponential_decay_is_that_of_speechbrain(own, warmup, decay, factor, lr):
    check("WarmAndExpDecayLRSchedule", own, warmup, warmup + decay, factor, lr=lr, keyword="optimizer_lr")


@given(lrs, counts, steps, st.integers(1, 70), st.sampled_from([0.75, 0.5, 1.0, 1.2]), st.integers(1, 50), some)
def test_the_cool_down_is_that_of_speechbrain(own, warmup, cooldown, total, factor, every, lr):
    arguments = (own, warmup, cooldown, total, factor, every)
    check("WarmCoolDecayLRSchedule", *arguments, lr=lr, numbered=True, keyword="optimizer_lr")


@given(lrs, counts, st.integers(0, 40), st.sampled_from([0.75, 1.0]))
def test_without_a_cool_down_speechbrain_divides_by_zero_after_the_end(own, warmup, more, factor):
    total = warmup + more + 1
    scheduler = live.WarmCoolDecayLRSchedule(own, warmup, 0, total, factor, 10)
    theirs = used(scheduler, own, total + 1, numbered=True)
    assert_agrees(speechbrain.WarmCoolDecayLRSchedule(own, warmup, 0, total, factor, 10), theirs)
    with pytest.raises(ZeroDivisionError):
        scheduler(Optimizer(own), total + 1)


@given(lrs, steps, counts, steps, st.sampled_from([0.0, 0.01, 2.0]), st.sampled_from([0.05, 1.0, 1.5]), some)
def test_three_stages_are_those_of_speechbrain(own, warmup, hold, decay, first, last, lr):
    arguments = (own, warmup, hold, decay, warmup + hold + decay, first, last)
    # Beyond the end the rounding of a large exponent grows with it in float32.
    single = last <= 1.0 or decay >= 5
    check("TriStageLRSchedule", *arguments, lr=lr, numbered=True, keyword="optimizer_lr", single=single)


@given(lrs, st.lists(st.fixed_dictionaries({"steps": st.integers(-2, 70), "lr": lrs}), max_size=5))
def test_intervals_are_those_of_speechbrain(lr, intervals):
    assert_agrees(speechbrain.IntervalScheduler(lr, intervals), used(live.IntervalScheduler(list(intervals)), lr))


def epochs(scheduler, first, count=40):
    """Return the rates of the epochs: the recipes set the second value after epoch e, which counts from 1."""
    return [first, *(scheduler(epoch)[1] for epoch in range(1, count))]


def line(start, end, count, lr, dtype):
    """Return the rates of the epochs; after `count` of them the scheduler raises an IndexError."""
    torch.set_default_dtype(dtype)  # the table's
    try:
        return epochs(live.LinearScheduler(start, end, count), start if lr is None else lr, count + 1)
    finally:
        torch.set_default_dtype(torch.float32)


@given(st.floats(0.0, 5.0), st.floats(0.0, 5.0), st.integers(1, 50), some, st.integers(1, 4))
def test_the_line_over_epochs_is_that_of_speechbrain(start, end, count, lr, updates):
    ours = speechbrain.LinearScheduler(start, end, count, lr=lr, updates_per_epoch=updates)
    assert_agrees(ours, [rate for rate in line(start, end, count, lr, torch.float64) for _ in range(updates)])
    for epoch, rate in enumerate(line(start, end, count, lr, torch.float32)):
        assert ours(epoch * updates) == pytest.approx(rate, rel=2e-6, abs=2e-7 * max(start, end) + 1e-37)
    assert ours(FAR * updates) == (end if count > 1 else start)


drops = st.none() | st.integers(0, 9) | st.sampled_from([0.1, 0.3, 0.5, 1.1, 2.5, 3.3]) | st.floats(0.1, 20.0)


@given(lrs, st.none() | st.sampled_from([0.0, 0.5, 0.1, 2.0]) | st.floats(0.1, 1.5), drops, some, st.integers(1, 4))
def test_the_staircase_is_that_of_speechbrain(start, factor, drop, lr, updates):
    scheduler = live.StepScheduler(start, factor, drop)
    theirs = epochs(scheduler, start if lr is None else lr)
    ours = speechbrain.StepScheduler(start, factor, drop, lr=lr, updates_per_epoch=updates)
    # 33 / 1.1 is a little less than 30 in floats, and speechbrain's floor of it 29: an epoch on a stair's edge.
    width = drop or 2.0
    edges = {e for e in range(len(theirs)) if (e + 1) / Fraction(str(width)) // 1 != math.floor((e + 1) / width)}
    expected = {e * updates + k: rate for e, rate in enumerate(theirs) if e not in edges for k in range(updates)}
    assert_agrees_at(ours, expected)


@given(lrs, st.floats(0.1, 40.0), some)
def test_the_half_life_is_that_of_speechbrain(start, half_life, lr):
    scheduler = live.StepScheduler(start, half_life=half_life)
    ours = speechbrain.StepScheduler(start, half_life=half_life, lr=lr)
    assert_agrees(ours, epochs(scheduler, start if lr is None else lr), single=False)


def test_the_first_updates_precede_the_warm_up():
    assert [speechbrain.WarmAndExpDecayLRSchedule(1.0, 2, 6)(t) for t in range(4)] == [1.0, 0.0, 0.5, 1.0]
    assert speechbrain.NoamScheduler(1.0, 4, lr=0.1)(0) == 0.1


def test_every_scheduler_of_speechbrain_is_here_or_looks_at_the_loss():
    theirs = {name for name, item in vars(live).items() if isinstance(item, type) and item.__module__ == live.__name__}
    assert theirs - set(speechbrain.__all__) == {"NewBobScheduler", "ReduceLROnPlateau", "ScheduledLoss"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: speechbrain.NoamScheduler(1.0, 0), r"n_warmup_steps=...\) must be an int >= 1"),
        (lambda: speechbrain.NoamIntervalScheduler(1.0, 4, [5, 9], [0.5]), r"anneal_rates=...\) must be 2 numbers"),
        (lambda: speechbrain.CyclicCosineScheduler(3), r"lr_initial=...\) must be given"),
        (lambda: speechbrain.CyclicLRScheduler(0.2, 0.1, mode="triangular2"), r"max_lr=...\) must be >= 0.2"),
        (lambda: speechbrain.CyclicLRScheduler(scale_fn=abs), r"scale_fn=...\) must be None"),
        (lambda: speechbrain.CyclicLRScheduler(step_size=2e6 + 0.5), r"step_size=...\) must be from 1e-6 to 1e6"),
        (lambda: speechbrain.WarmAndExpDecayLRSchedule(1.0, 5, 5), r"total_steps=...\) must be > n_warmup_steps=5"),
        (lambda: speechbrain.StepScheduler(1.0, 0.5, half_life=3), r"half_life=...\) must be None where"),
        (lambda: speechbrain.StepScheduler(1.0, decay_drop=2e6 + 0.5), r"decay_drop=...\) must be from 1e-6"),
        (lambda: speechbrain.IntervalScheduler(1.0, [{"steps": 1, "lr": -1.0}]), r"\[0\]\['lr'\] must be a finite"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("intervals", [None, [3], [{"steps": 3}], [{"steps": 2.5, "lr": 0.1}]])
def test_what_is_no_table_is_refused(intervals):
    with pytest.raises(TypeError, match=r"IntervalScheduler\(intervals=...\)"):
        speechbrain.IntervalScheduler(0.1, intervals)
