"""compat.paddle against the formulas of paddle/optimizer/lr.py of PaddlePaddle 3.3.1."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched import Linear
from lrsched.compat import paddle

COUNT = 70
rates = st.sampled_from([0.5, 1.0, 3e-4])
lengths = st.integers(1, 30)
lows = st.sampled_from([0.0, 1e-4])


def compare(schedule, formula, count=COUNT, rtol=1e-12):
    assert_agrees(schedule, [formula(t) for t in range(count)], rtol)


@given(rates, lengths, lengths, st.sampled_from([0.1, 0.9]))
def test_the_plain_decays(lr, n, width, gamma):
    first = lr * width**-0.5
    compare(paddle.NoamDecay(width, n, lr), lambda t: first * min(t**-0.5 if t else 1.0, t * n**-1.5))
    compare(paddle.NaturalExpDecay(lr, gamma), lambda t: lr * math.exp(-gamma * t))
    compare(paddle.InverseTimeDecay(lr, gamma), lambda t: lr / (1 + gamma * t))
    compare(paddle.ExponentialDecay(lr, gamma), lambda t: lr * gamma**t, rtol=1e-11)
    compare(paddle.StepDecay(lr, n, gamma), lambda t: lr * gamma ** (t // n))
    compare(paddle.LinearLR(lr, n, 0.25, gamma), lambda t: lr * (0.25 + (gamma - 0.25) * min(t / n, 1.0)))


@given(rates, st.lists(st.integers(0, 60), min_size=1, max_size=4, unique=True).map(sorted))
def test_stairs(lr, bounds):
    values = [lr, 0.2, 0.1, 0.05, 0.01][: len(bounds) + 1]
    compare(paddle.PiecewiseDecay(bounds, values), lambda t: values[sum(b <= t for b in bounds)])
    compare(paddle.MultiStepDecay(lr, bounds, 0.5), lambda t: lr * 0.5 ** sum(b <= t for b in bounds))


@given(rates, lengths, lows, st.sampled_from([0.5, 1.0, 2.0]), st.booleans())
def test_polynomial(lr, n, end, power, cycle):
    def formula(t):
        length = n * max(math.ceil(t / n), 1) if cycle else n
        return (lr - end) * (1 - (t if cycle else min(t, n)) / length) ** power + end

    compare(paddle.PolynomialDecay(lr, n, end, power, cycle), formula, rtol=1e-9)


@given(rates, lengths, lows, st.integers(1, 3))
def test_cosines(lr, n, low, mult):
    compare(paddle.CosineAnnealingDecay(lr, n, low), lambda t: low + (lr - low) * (1 + math.cos(math.pi * t / n)) / 2)

    def restarts(t):
        begin, length = 0, n
        while t - begin >= length:
            begin, length = begin + length, length * mult
        return low + (lr - low) * (1 + math.cos(math.pi * (t - begin) / length)) / 2

    compare(paddle.CosineAnnealingWarmRestarts(lr, n, mult, low), restarts)


@given(st.integers(4, 60), st.sampled_from([0.3, 0.35, 0.4]), st.booleans(), st.sampled_from(["cos", "linear"]))
def test_one_cycle(total, part, three, kind):
    ends = [0, part * total - 1, *([2 * part * total - 2] if three else []), total - 1]
    levels = [1.0 / 25, 1.0, *([1.0 / 25] if three else []), 1e-4]

    def formula(t):
        i = next(i for i in range(len(ends) - 1) if t <= ends[i + 1] or i == len(ends) - 2)
        x = (t - ends[i]) / (ends[i + 1] - ends[i])
        a, b = levels[i], levels[i + 1]
        return b + (a - b) / 2 * (math.cos(math.pi * x) + 1) if kind == "cos" else (b - a) * x + a

    compare(
        paddle.OneCycleLR(1.0, total, phase_pct=part, three_phase=three, anneal_strategy=kind), formula, total, 1e-10
    )


@given(lows, lengths, st.none() | lengths, st.sampled_from(["triangular", "triangular2", "exp_range"]))
def test_cyclic(low, up, down, mode):
    size = up + (down or up)

    def formula(t):
        cycle, x = t // size, t % size
        height = x / up if x <= up else (size - x) / (size - up)
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": 0.97**t}[mode]
        return low + (1.0 - low) * height * scale

    compare(paddle.CyclicLR(low, 1.0, up, down, mode, 0.97), formula, rtol=1e-11)


def test_a_warm_up_need_not_meet_what_follows():
    s = paddle.LinearWarmup(Linear(1.0, 0.0, 4), 2, 0.0, 0.5)
    assert [s(t) for t in range(7)] == [0.0, 0.25, 1.0, 0.75, 0.5, 0.25, 0.0]
    assert paddle.LinearWarmup(0.1, 2, 0.0, 0.5)(9) == 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paddle.NoamDecay(0, 4), r"d_model=...\) must be an int >= 1"),
        (lambda: paddle.PiecewiseDecay([], [0.1]), r"boundaries=...\) must be a sequence of 1 or more"),
        (lambda: paddle.PiecewiseDecay([5], [0.1]), r"values=...\) must be more than 1 numbers"),
        (lambda: paddle.NaturalExpDecay(0.1, 0.0), r"gamma=...\) must be a finite number > 0"),
        (lambda: paddle.PolynomialDecay(0.1, 0), r"decay_steps=...\) must be an int >= 1"),
        (lambda: paddle.LinearWarmup(0.1, 5, 0.2, 0.1), r"end_lr=...\) must be > start_lr=0.2, got 0.1"),
        (lambda: paddle.ExponentialDecay(0.1, 1.0), r"gamma=...\) must be a finite number > 0 and < 1"),
        (lambda: paddle.MultiStepDecay(0.1, [9, 5]), r"milestones=...\) must be strictly increasing"),
        (lambda: paddle.StepDecay(0.1, 5, 1.0), r"gamma=...\) must be .* < 1"),
        (lambda: paddle.OneCycleLR(1.0, 10, phase_pct=0.5, three_phase=True), r"phase_pct=...\) must be < 0.5"),
        (lambda: paddle.LinearLR(1.0, 5, start_factor=0.0), r"start_factor=...\) must be a finite number > 0 and <= 1"),
    ],
)
def test_what_the_libraries_refuse_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
