"""A schedule inside jitted Optax code, beside Optax's own schedule of the same curve."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import lrsched as ls
from benchmarks._rows import Row, interleaved, skipped

# Within noise: the two compile to nearly the same code.
TARGET = 1.05
PEAK, END, WARMUP, STEPS = 0.1, 0.001, 1_000, 10_000
CALLS = 100


def _pairs(optax: Any) -> Iterator[tuple[str, ls.Schedule, Callable[[Any], Any]]]:
    yield "cosine", ls.Cosine(PEAK, 0.0, steps=STEPS), optax.cosine_decay_schedule(PEAK, STEPS)
    yield (
        "warm-up, cosine",
        ls.Warmup(WARMUP) >> ls.Cosine(PEAK, END, steps=STEPS - WARMUP),
        optax.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, STEPS, END),
    )
    yield "exponential", ls.Exponential(PEAK, 0.9, steps=100), optax.exponential_decay(PEAK, 100, 0.9)


def _updates(jax: Any, optax: Any, schedule: Callable[[Any], Any]) -> Callable[[], object]:
    """Return a run of `CALLS` calls of a jitted update of Adam on small parameters."""
    transform = optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(schedule))
    params = [jax.numpy.ones((64, 64)) for _ in range(4)]

    def update(params: Any, state: Any) -> Any:
        updates, state = transform.update(params, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(update)

    def run() -> None:
        carry = (params, transform.init(params))
        for _ in range(CALLS):
            carry = compiled(*carry)
        jax.block_until_ready(carry)

    return run


def _values(jax: Any, schedule: Callable[[Any], Any]) -> Callable[[], object]:
    """Return a run of one jitted loop over every step of the schedule."""

    def total() -> Any:
        zero = jax.numpy.float32(0)
        return jax.lax.fori_loop(0, 100 * STEPS, lambda count, sum_: sum_ + schedule(count), zero)

    compiled = jax.jit(total)
    return lambda: compiled().block_until_ready()


def rows() -> list[Row]:
    """Return two rows a curve: a whole update, and the schedule alone."""
    try:
        jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    except ImportError as error:
        return [skipped("optax", "optax", TARGET, str(error))]
    found = []
    counts = np.arange(0, STEPS + 10, 7, dtype=np.int32)
    for name, ours, native in _pairs(optax):
        np.testing.assert_allclose(ours(jax.numpy.asarray(counts)), native(counts), rtol=1e-4, atol=2e-8, err_msg=name)
        times = interleaved(_updates(jax, optax, ours), _updates(jax, optax, native), rounds=51)
        found.append(Row(f"{name}: jitted update", "optax schedule", times[0] / CALLS, times[1] / CALLS, TARGET))
        times = interleaved(_values(jax, ours), _values(jax, native), rounds=51)
        found.append(Row(f"{name}: alone", "optax schedule", times[0] / STEPS / 100, times[1] / STEPS / 100, TARGET))
    return found
