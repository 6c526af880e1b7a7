"""`from_keras` reads what Keras optimizers follow, as their updates show it."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from lrsched import Batches, Constant, Epochs, Linear, Schedule, Warmup, rules
from lrsched_keras import FeedbackSchedule, LRSchedule, RuleOptimizer, from_keras

native = keras.optimizers.schedules
SCHEDULES = [
    native.CosineDecay(0.1, 20),
    native.CosineDecay(0.01, 9.0, alpha=0.1, warmup_target=0.1, warmup_steps=5),
    native.CosineDecayRestarts(0.1, 5, t_mul=2.0, m_mul=0.5),
    native.ExponentialDecay(0.1, 7, 0.5, staircase=True),
    native.InverseTimeDecay(0.1, 3, 0.5),
    native.PiecewiseConstantDecay([5, 9], [0.1, 0.05, 0.01]),
    native.PolynomialDecay(0.1, 10, power=2.0, cycle=True),
    LRSchedule(Warmup(3) >> Linear(0.2, 0.0, steps=12)),
    LRSchedule(Linear(0.2, 0.0, steps=8), gradient_accumulation_steps=2),
    0.25,
]


def rates_of(optimizer: Any, updates: int, batches: int) -> list[float]:
    """Return by what a gradient of 1 lowers a variable in each update."""
    variable = keras.Variable([0.0])
    values = [0.0]
    for _ in range(updates * batches):
        optimizer.apply([keras.ops.ones((1,))], [variable])
        values.append(float(keras.ops.convert_to_numpy(variable)[0]))
    return [before - after for before, after in itertools.pairwise(values[::batches])]


def some_are_slow(pairs: list[tuple[int, int]]) -> list[Any]:
    """Mark all but a few pairs: an update that is not compiled takes Keras long, most of all one that accumulates."""
    few = ((0, 1), (1, 2), (2, 3))
    return [pair if pair in few else pytest.param(*pair, marks=pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize(("place", "batches"), some_are_slow(list(itertools.product(range(len(SCHEDULES)), (1, 2, 3)))))
def test_every_optimizer_is_read_as_its_updates_show(place: int, batches: int):
    rate = SCHEDULES[place]
    made = rate if isinstance(rate, float) or (place + batches) % 3 else FeedbackSchedule(rate, factor=0.5)
    accumulated = {"gradient_accumulation_steps": batches} if batches > 1 else {}
    optimizer = keras.optimizers.SGD(made, **accumulated)
    schedule = from_keras(optimizer)
    np.testing.assert_allclose(schedule(np.arange(8)), rates_of(optimizer, 8, batches), rtol=2e-5, atol=1e-6)
    # The steps that were taken are no part of it.
    assert from_keras(optimizer) == schedule


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        (lambda: keras.optimizers.Adam(LRSchedule(Linear(0.1, 0.0, steps=9))), Linear(0.1, 0.0, steps=9)),
        (
            lambda: keras.optimizers.SGD(LRSchedule(Linear(0.1, 0.0, steps=9)), gradient_accumulation_steps=4),
            Batches(Linear(0.1, 0.0, steps=9), 4),
        ),
        (
            lambda: keras.optimizers.SGD(LRSchedule(Linear(0.1, 0.0, steps=9), gradient_accumulation_steps=4)),
            Epochs(Linear(0.1, 0.0, steps=9), 4),
        ),
        (
            lambda: RuleOptimizer(rules.Adam(), Linear(0.1, 0.0, steps=9), gradient_accumulation_steps=4),
            Linear(0.1, 0.0, steps=9),
        ),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)), Constant(0.5)),
        (lambda: keras.optimizers.SGD(FeedbackSchedule(Linear(0.1, 0.0, steps=9))), Linear(0.1, 0.0, steps=9)),
    ],
)
def test_what_stands_in_an_optimizer_is_read_in_updates(optimizer: Any, schedule: Schedule):
    assert np.array_equal(from_keras(optimizer())(np.arange(40)), schedule(np.arange(40)))


def test_optimizers_of_one_schedule_are_read_together_and_others_refused():
    multi = keras.optimizers.MultiOptimizer
    rate = native.CosineDecay(0.1, 20)

    def several(other: Any) -> Any:
        both = keras.optimizers.OptimizerMap(keras.optimizers.SGD(rate), {"a": keras.optimizers.Adam(other)})
        return keras.optimizers.LossScaleOptimizer(multi(both))

    assert from_keras(several(rate)) == from_keras(rate)
    for optimizer in (several(0.5), multi(lambda variable: None)):
        with pytest.raises(ValueError, match="must get a MultiOptimizer whose optimizers follow one schedule, got"):
            from_keras(optimizer)


def test_an_optimizer_that_calls_a_function_is_refused():
    with pytest.raises(TypeError, match="whose rate is a schedule or a number, got a SGD that calls"):
        from_keras(keras.optimizers.SGD(lambda: 0.5))


def test_numbers_in_tensors_are_read():
    rate = native.ExponentialDecay(keras.ops.convert_to_tensor(0.5), np.int64(10), np.float32(0.5))
    assert from_keras(rate)(10) == 0.25
