"""The Keras part of `lrsched demo`: a compiled model with `RuleOptimizer`, on the backend in use."""

import time

import keras

from lrsched import Schedule, demo, rules
from lrsched_keras._optimizer import RuleOptimizer


def train(problem: demo.Problem, schedule: Schedule, rule: rules.Rule, report: demo.Report) -> demo.Run:
    """Train the network of `lrsched.demo` with Keras; arguments and result as `lrsched.demo.train`."""
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(demo.HIDDEN, activation="tanh"), keras.layers.Dense(10)]
    )
    model.set_weights(problem.weights)
    optimizer = RuleOptimizer(rule, learning_rate=schedule)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses: list[float] = []
    rates: list[float] = []
    begin = time.perf_counter()
    for step, rows in enumerate(problem.batches):
        rates.append(float(optimizer.learning_rate))
        losses.append(float(model.train_on_batch(problem.train_x[rows], problem.train_y[rows])))
        report(step + 1)
    return demo.Run(losses, rates, tuple(model.get_weights()), time.perf_counter() - begin)
