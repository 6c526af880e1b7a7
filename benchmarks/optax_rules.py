"""A jitted update with donated buffers, by `lrsched_optax.from_rule` and by `rules.apply`, beside Optax's optimizer.

The parameters are part of the update on all sides. The time to compile is that from the function to the executable.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks._lists import Shapes, resnet50, single, small
from benchmarks._rows import Row, interleaved, skipped
from lrsched import rules

LR = 1e-3
LISTS = {"ResNet-50": resnet50, "1000 x 1000": small, "one of 25 M": single}
ROUNDS = 15
# Whatever the target of the step, it must not compile for longer than its peer.
COMPILE_TARGET = 1.0


def _joint(rule: rules.Rule, weight_decay: float, **options: Any) -> rules.Rule:
    return rules.Layerwise(rule, weight_decay=weight_decay, denominator="joint", min_ndim=0, **options)


def _pairs(optax: Any) -> dict[str, tuple[rules.Rule, Any, float]]:
    """Return for each case our rule, the optimizer of Optax and the target."""
    momentum = rules.Momentum(0.9, lr_in_buffer=True)
    lars = optax.lars(LR, weight_decay=1e-4, momentum=0.9)
    return {
        "Adam": (rules.Adam(), optax.adam(LR), 1.0),
        "Momentum": (rules.Momentum(0.9), optax.sgd(LR, momentum=0.9), 1.0),
        "LARS as published": (rules.lars(), lars, 0.25),
        "LARS as in Optax": (_joint(momentum, 1e-4, at="gradient"), lars, 0.25),
        "LAMB": (_joint(rules.Adam(eps=1e-6), 1e-2, trust_coefficient=1.0), optax.lamb(LR, weight_decay=1e-2), 0.7),
    }


class _Applied(NamedTuple):
    """A rule in the shape of an optimizer, without Optax's addition of the updates."""

    jax: Any
    rule: rules.Rule

    def init(self, params: Any) -> Any:
        return rules.init(self.rule, params), self.jax.numpy.zeros([], self.jax.numpy.int32)

    def step(self, grads: Any, state: Any, params: Any) -> Any:
        slots, count = state
        params, slots = rules.apply(self.rule, params, grads, slots, lr=LR, step=count)
        return params, (slots, count + 1)


def _step(jax: Any, optax: Any, optimizer: Any, shapes: Shapes) -> tuple[list[Any], Callable[[], None], float]:
    """Return parameters and state, a run of one update of them, and the seconds it took to compile."""
    rng = np.random.default_rng(0)
    params, grads = ([jax.numpy.asarray(0.1 * rng.standard_normal(s, np.float32)) for s in shapes] for _ in range(2))
    box = [params, optimizer.init(params)]

    def update(params: Any, state: Any, grads: Any) -> Any:
        if isinstance(optimizer, _Applied):
            return optimizer.step(grads, state, params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    begin = time.perf_counter()
    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(*box, grads).compile()
    seconds = time.perf_counter() - begin

    def run() -> None:
        box[:] = compiled(*box, grads)
        jax.block_until_ready(box)

    return box, run, seconds


def rows() -> list[Row]:
    """Return for each rule and list of tensors rows for both forms of the update and for the time to compile it.

    Raises:
        AssertionError: the two sides differ by more than the rounding of a few steps.
    """
    try:
        jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
        from_rule = importlib.import_module("lrsched_optax").from_rule
    except ImportError as error:
        return [skipped("Optax", "optax", 1.0, str(error))]
    found = []
    for name, make in LISTS.items():
        for case, (rule, native, target) in _pairs(optax).items():
            shapes, place = make(), name
            if case.startswith("L") and name == "1000 x 1000":  # for which Optax compiles minutes
                shapes, place = shapes[:100], "100 x 1000"
            ours, run, compiling = _step(jax, optax, from_rule(rule, LR), shapes)
            theirs, peer, peer_compiling = _step(jax, optax, native, shapes)
            times = interleaved(run, peer, rounds=ROUNDS)
            _, applied, _ = _step(jax, optax, _Applied(jax, rule), shapes)
            applied_times = interleaved(applied, peer, rounds=ROUNDS)
            if case != "LARS as published":  # which differs in the denominator and spares vectors
                for _ in range(ROUNDS + 1):  # as often as theirs
                    run()
                for a, b in zip(ours[0], theirs[0], strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=f"{case}, {place}")
            found.append(Row(f"{case}, {place}: update", "Optax", *times, target))
            found.append(Row(f"{case}, {place}: update by rules.apply", "Optax", *applied_times, target))
            found.append(Row(f"{case}, {place}: compilation", "Optax", compiling, peer_compiling, COMPILE_TARGET))
    return found
