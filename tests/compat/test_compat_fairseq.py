"""compat.fairseq against the formulas of fairseq at 3d262bb (2025-09-30), which does not build beside PyTorch 2.13.

Each formula below is that of one `step_update(num_updates)` in fairseq/optim/lr_scheduler. What depends on the epoch is
run in the order of calls of its trainer. The files of the release 0.12.2 give the same rates.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat import fairseq

COUNT = 90
warmups = st.integers(0, 20)
firsts = st.sampled_from([-1.0, 0.0, 0.01])
lows = st.sampled_from([0.0, 1e-3])


def compare(schedule, formula, rtol=1e-12, single=True):
    assert_agrees(schedule, [formula(t) for t in range(COUNT)], rtol, single)


def run(scheduler, per, count=COUNT):
    """Return the rate of each update in the order of calls of fairseq/trainer.py and fairseq_cli/train.py.

    `_build_optimizer` and `lr_step` call `update(0)` before the first epoch, `begin_epoch` calls `epoch(n)` and
    `update(updates)` before the first update of epoch n, `set_num_updates` calls `update(updates)` after each.
    """
    scheduler.update(0)
    used = []
    while len(used) < count:
        scheduler.epoch(len(used) // per + 1)
        scheduler.update(len(used))
        for _ in range(per):
            used.append(scheduler.lr)
            scheduler.update(len(used))
        scheduler.update(len(used))
    return used[:count]


class Polynomial:
    """polynomial_decay_schedule.py: the epoch chooses the highest rate, by its number or from what is reached."""

    def __init__(self, rates, total, warmup, end, power, force):
        self.rates, self.total, self.warmup, self.end, self.power, self.force = rates, total, warmup, end, power, force
        self.top = self.lr = rates[0]

    def epoch(self, number):
        forced = self.force is not None and number >= self.force
        self.top = self.lr if forced else self.rates[min(number, len(self.rates) - 1)]

    def update(self, n):
        if 0 < self.warmup >= n:
            self.lr = self.top * n / self.warmup
        elif n >= self.total:
            self.lr = self.end
        else:
            left = 1 - (n - self.warmup) / (self.total - self.warmup)
            self.lr = self.end + (self.top - self.end) * left**self.power


class Manual:
    """manual_lr_scheduler.py: the last key that has come, of the updates if there is one, or nothing changes."""

    def __init__(self, lr, epochs, updates):
        self.epochs, self.updates = epochs, updates
        self.lr = epochs.get(1, updates.get(1, lr))

    def epoch(self, number):
        self.lr = self.epochs[max(k for k in self.epochs if k <= number)] if min(self.epochs) <= number else self.lr

    def update(self, n):
        self.lr = self.updates[max(k for k in self.updates if k <= n)] if min(self.updates) <= n else self.lr


@given(
    st.lists(st.sampled_from([1.0, 0.5, 0.2]), min_size=1, max_size=4), st.integers(1, 60) | st.floats(0.5, 60.0),
    warmups, lows, st.sampled_from([0.5, 1.0, 2.0]), st.none() | st.integers(-1, 7), st.integers(1, 25),
)  # fmt: skip
def test_a_polynomial_decay_by_epochs(rates, total, warmup, end, power, force, per):
    ours = fairseq.polynomial_decay(rates, total, warmup, end, power, force, updates_per_epoch=per)
    assert_agrees(ours, run(Polynomial(rates, total, warmup, end, power, force), per), rtol=1e-11)


keys = st.dictionaries(st.integers(0, 8), st.sampled_from([0.0, 0.1, 0.2, 0.3]), max_size=3)
steps = st.dictionaries(st.integers(0, 80), st.sampled_from([0.0, 0.4, 0.5, 0.6]), max_size=3)


@given(keys, steps, st.integers(1, 25))
def test_manual_rates_by_epochs_and_updates(epochs, updates, per):
    texts = [str({str(k): rate for k, rate in table.items()}) for table in (epochs, updates)]
    # A key that never comes stands for none.
    never = {10**9: 0.0}
    expected = run(Manual(0.7, epochs | never, updates | never), per)
    assert_agrees(fairseq.manual(0.7, *texts, updates_per_epoch=per), expected)


def test_the_rate_of_update_1_is_that_of_update_0_unless_epoch_1_has_one():
    assert fairseq.manual(0.1, "{'2':0.5}", "{'1':0.3}", updates_per_epoch=12)(0) == 0.3
    s = fairseq.manual(0.1, "{'1':0.5}", "{'1':0.3}", updates_per_epoch=12)
    assert (s(0), s(1), s(13)) == (0.5, 0.3, 0.3)


def test_the_keys_of_manual_are_read_as_fairseq_reads_them():
    # Of "2-4-9" it takes the first two numbers, and "4-2" holds none.
    s = fairseq.manual(1.0, update2lr="{'2-4-9': 0.5, '8-6': 0.1, ' 7 , 9': 0.2}")
    assert [s(t) for t in (1, 2, 6, 7, 8, 9)] == [1.0, 0.5, 0.5, 0.2, 0.2, 0.2]


def test_an_annealing_that_is_forced_begins_anew_from_what_is_reached():
    # total 100, epochs of 50: at update 50 the rate is 1/2, which then falls by (1 - 50 / 100), and so on
    s = fairseq.polynomial_decay(1.0, 100, force_anneal=2, updates_per_epoch=50)
    assert [s(t) for t in (0, 49, 50, 75, 100)] == [1.0, 0.51, 0.25, 0.125, 0.0]
    # in a warm-up from 0 that begins with epoch 1 nothing is reached
    s = fairseq.polynomial_decay(1.0, 100, 10, force_anneal=1, updates_per_epoch=50)
    assert {s(t) for t in range(120)} == {0.0}


def test_the_first_epoch_of_a_polynomial_decay_has_the_second_rate():
    s = fairseq.polynomial_decay([1.0, 0.5, 0.2], 100, updates_per_epoch=10)
    assert (s(0), s(10)) == (0.5, 0.2 * 0.9)


def test_a_list_of_one_rate_is_that_rate():
    for build in (fairseq.cosine, fairseq.inverse_sqrt, fairseq.step, fairseq.manual):
        more = {"max_update": 50} if build is fairseq.cosine else {}
        assert build([0.1], **more) == build(0.1, **more)
    assert fairseq.tri_stage([0.1], 5, 5, 5) == fairseq.tri_stage(0.1, 5, 5, 5)
    assert fairseq.triangular([0.1], 0.5) == fairseq.triangular(0.1, 0.5)
    assert fairseq.polynomial_decay([0.1], 50) == fairseq.polynomial_decay(0.1, 50)
    assert fairseq.fixed([0.1], updates_per_epoch=5) == fairseq.fixed(0.1, updates_per_epoch=5)


@pytest.mark.parametrize("name", ["pass_through", "reduce_lr_on_plateau"])
def test_what_has_no_schedule_of_its_own_is_refused(name):
    with pytest.raises(TypeError, match=f"{name} .*(take that|Plateau)"):
        getattr(fairseq, name)(0.1)


@given(
    warmups, firsts, st.sampled_from([0.0, 1e-3, 1.0, 2.0]), st.sampled_from([1.0, 2.0, 1.5]),
    st.integers(1, 30) | st.integers(8, 240).map(lambda n: n / 8), st.sampled_from([0.1, 1.0]),
)  # fmt: skip
def test_cosine(warmup, first, low, growth, period, shrink):
    arguments = (1.0, warmup, first, low, growth, period, shrink)
    low = min(low, 1.0)
    start = low if first < 0 else first

    def formula(t):
        if t < warmup:
            return start + t * (1.0 - start) / warmup
        i, begin, length = 0, 0.0, period
        while begin + length <= t - warmup:  # what fairseq finds by a logarithm
            begin, length, i = begin + length, length * growth, i + 1
        x = (t - warmup - begin) / length
        return shrink**i * (low + 0.5 * (1.0 - low) * (1 + math.cos(math.pi * x)))

    compare(fairseq.cosine(*arguments), formula, single=isinstance(period, int))


@given(st.lists(st.sampled_from([1.0, 0.5, 0.2]), min_size=1, max_size=4), st.none() | st.integers(-2, 6), warmups)
def test_fixed(lrs, force, warmup):
    def formula(t):
        epoch = t // 10 + 1
        lr = lrs[min(epoch - 1, len(lrs) - 1)]
        if force is not None and epoch >= force:
            lr = lrs[-1] * 0.1 ** (epoch + 1 - force)
        return lr * (t + 1) / warmup if warmup > 0 and t < warmup else lr

    compare(fairseq.fixed(lrs, force, warmup_updates=warmup, updates_per_epoch=10), formula)


@given(st.integers(1, 30), firsts)
def test_inverse_sqrt(warmup, first):
    start = max(first, 0.0)
    slope = (0.5 - start) / warmup
    compare(
        fairseq.inverse_sqrt(0.5, warmup, first),
        lambda t: start + t * slope if t < warmup else 0.5 * warmup**0.5 * t**-0.5,
    )


@given(warmups, st.integers(1, 60), lows, st.sampled_from([0.5, 1.0, 2.0]))
def test_polynomial_decay(warmup, total, end, power):
    def formula(t):
        if warmup > 0 and t <= warmup:
            return 0.5 * t / warmup
        if t >= total:
            return end
        return (0.5 - end) * (1 - (t - warmup) / (total - warmup)) ** power + end

    compare(fairseq.polynomial_decay(0.5, total, warmup, end, power), formula)


@given(warmups, firsts, lows, st.integers(1, 30), st.sampled_from([0.5, 0.1, 1.0]))
def test_step(warmup, first, low, period, decay):
    start = low if first < 0 else first

    def formula(t):
        return start + t * (0.5 - start) / warmup if t < warmup else max(0.5 * decay ** ((t - warmup) // period), low)

    compare(fairseq.step(0.5, warmup, first, low, period, decay), formula)


@given(warmups, st.integers(0, 20), st.integers(1, 30), st.sampled_from([0.0, 0.01]), st.sampled_from([0.01, 0.05]))
def test_tri_stage(warmup, hold, decay, first, last):
    def formula(t):
        if t < warmup:
            return first * 0.5 + (0.5 - first * 0.5) / warmup * t
        if t < warmup + hold:
            return 0.5
        u = t - warmup - hold
        return 0.5 * math.exp(math.log(last) / decay * u) if u <= decay else last * 0.5

    compare(fairseq.tri_stage(0.5, warmup, hold, decay, None, first, last), formula)


@given(lows, st.integers(2, 30), st.sampled_from([0.1, 0.5, 1.0]), st.booleans())
def test_triangular(low, period, shrink, both):
    half = period // 2

    def formula(t):
        cycle = t // (2 * half)
        top = 0.5 * shrink**cycle
        bottom = low * shrink**cycle if both else low
        return bottom + (top - bottom) * max(0, 1 - abs(t / half - 2 * (cycle + 1) + 1))

    compare(fairseq.triangular(low, 0.5, period + 0.5 * both, shrink, both), formula, rtol=1e-11)


def test_manual_rates_stay_until_the_next():
    s = fairseq.manual(0.5, "{'1-2': 0.1, '4,5': 0.2}", "{'45': 0.3}", updates_per_epoch=10)
    assert [s(t) for t in (0, 19, 29, 30, 44, 45, 90)] == [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert fairseq.manual(0.5, update2lr="{'10': 0.1}")(9) == 0.5
    assert fairseq.manual(0.5, update2lr="{'1': 0.1}")(0) == 0.1


def test_the_ratios_of_tri_stage_are_rounded_down():
    # int(33 * 0.25) = 8, int(33 * 0.25) = 8, int(33 * 0.5) = 16
    assert fairseq.tri_stage(1.0, phase_ratio=(0.25, 0.25, 0.5), max_update=33) == fairseq.tri_stage(1.0, 8, 8, 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fairseq.cosine([0.1, 0.2], max_update=9), r"lr=...\) must be one rate, or a list of one"),
        (lambda: fairseq.polynomial_decay(0.1, 9, force_anneal=2), r"updates_per_epoch=...\) must be given"),
        (
            lambda: fairseq.polynomial_decay(0.1, 10**6, power=1e-6, force_anneal=2, updates_per_epoch=1),
            r"updates_per_epoch=...\) must be large enough for at most 20000 epochs, got 1",
        ),
        (lambda: fairseq.cosine(0.1), r"max_update=...\) must be more than the warm-up"),
        (lambda: fairseq.inverse_sqrt(0.1, 0), r"warmup_updates=...\) must be an int >= 1"),
        (lambda: fairseq.polynomial_decay(0.1, 0), r"total_num_update=...\) must be a finite number >= 1e-06"),
        (lambda: fairseq.step(0.1, min_lr=0.2), r"lr=...\) must be > min_lr=0.2"),
        (lambda: fairseq.step(0.1, lr_decay=1.5), r"lr_decay=...\) must be a finite number > 0 and <= 1"),
        (lambda: fairseq.tri_stage(0.1, 5, 5, 0), r"decay_steps=...\) must be >= 1"),
        (lambda: fairseq.tri_stage(0.1, phase_ratio=(0.5, 0.4, 0.2), max_update=9), r"three numbers with the sum 1"),
        (lambda: fairseq.triangular(0.5, 0.5), r"max_lr=...\) must be > lr=0.5"),
        (lambda: fairseq.manual(0.1, update2lr="[1, 2]"), r"update2lr=...\) must be the text of a dictionary"),
    ],
)
def test_what_fairseq_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
