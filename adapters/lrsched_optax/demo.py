"""The Optax part of `lrsched demo`: one jitted training step with `from_rule`."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrsched import Schedule, demo, rules
from lrsched_optax._transform import from_rule


def _loss(weights: Any, x: Any, y: Any) -> Any:
    w1, b1, w2, b2 = weights
    logits = jnp.tanh(x @ w1 + b1) @ w2 + b2
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def train(problem: demo.Problem, schedule: Schedule, rule: rules.Rule, report: demo.Report) -> demo.Run:
    """Train the network of `lrsched.demo` with Optax; arguments and result as `lrsched.demo.train`."""
    optimizer = from_rule(rule, schedule)

    @jax.jit
    def update(weights: Any, state: Any, step: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(_loss)(weights, x, y)
        updates, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state, loss, schedule(step)

    weights: Any = [jnp.asarray(first) for first in problem.weights]
    state = optimizer.init(weights)
    losses, rates = [], []
    begin = time.perf_counter()
    for step, rows in enumerate(problem.batches):
        weights, state, loss, rate = update(weights, state, step, problem.train_x[rows], problem.train_y[rows])
        losses.append(loss)
        rates.append(rate)
        report(step + 1)
    last = tuple(np.asarray(weight) for weight in weights)
    return demo.Run(list(map(float, losses)), list(map(float, rates)), last, time.perf_counter() - begin)
