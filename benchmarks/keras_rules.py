"""An update of the Keras adapter's `RuleOptimizer`, beside Keras's own optimizer, on the backend that is set.

`KERAS_BACKEND=jax python -m benchmarks --only keras_rules` measures another backend.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._lists import Shapes, resnet50, single, small
from benchmarks._rows import Row, interleaved, skipped
from lrsched import rules

TARGET = 1.0
LR = 1e-3
ROUNDS = 9
LISTS = {"ResNet-50": resnet50, "1000 x 1000": small, "one of 25 M": single}
# Keras on TensorFlow takes most of a minute to trace an update of a thousand variables.
MOST = 200


def _pairs(keras: Any) -> dict[str, tuple[rules.Rule, Callable[[], Any]]]:
    return {
        "Adam": (rules.Adam(eps=1e-7, eps_at="hat"), lambda: keras.optimizers.Adam(LR)),
        "Momentum": (rules.Momentum(0.9, lr_in_buffer=True), lambda: keras.optimizers.SGD(LR, momentum=0.9)),
    }


def _modes(backend: str) -> tuple[str, ...]:
    return {"tensorflow": ("graph", "XLA"), "jax": ("jit",)}.get(backend, ("eager",))


def _update(keras: Any, mode: str, optimizer: Any, variables: list[Any], grads: list[Any]) -> Callable[[], Any]:
    """Return a run of one update."""
    if mode in ("graph", "XLA"):
        tf = importlib.import_module("tensorflow")
        traced = tf.function(lambda gs: optimizer.apply(gs, variables), jit_compile=mode == "XLA")
        return lambda: traced(grads)
    if mode == "eager":
        torch = importlib.import_module("torch")
        return lambda: torch.no_grad()(optimizer.apply)(grads, variables)
    jax = importlib.import_module("jax")
    compiled = jax.jit(optimizer.stateless_apply, donate_argnums=(0, 2))
    box = [[v.value for v in optimizer.variables], [v.value for v in variables]]

    def run() -> None:
        box[1], box[0] = compiled(box[0], grads, box[1])
        jax.block_until_ready(box)
        for variable, value in zip(variables, box[1], strict=True):
            variable.assign(value)

    return run


def _side(keras: Any, mode: str, optimizer: Any, shapes: Shapes) -> tuple[list[Any], Callable[[], Any], float]:
    """Return the variables, a run of one update of them, and the seconds of the first one."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(0.1 * rng.standard_normal(shape, np.float32)) for shape in shapes]
    grads = [keras.ops.convert_to_tensor(0.1 * rng.standard_normal(shape, np.float32)) for shape in shapes]
    optimizer.build(variables)
    run = _update(keras, mode, optimizer, variables, grads)
    begin = time.perf_counter()
    run()
    return variables, run, time.perf_counter() - begin


def rows() -> list[Row]:
    """Return for each rule and list of tensors a row for the update and one for the first, which traces and compiles.

    Raises:
        AssertionError: the two sides differ by more than the rounding of a few steps.
    """
    try:
        keras = importlib.import_module("keras")
        adapter = importlib.import_module("lrsched_keras")
    except ImportError as error:
        return [skipped("Keras", "keras", TARGET, str(error))]
    found = []
    backend = keras.config.backend()
    for mode in _modes(backend):
        for name, make in LISTS.items():
            for case, (rule, native) in _pairs(keras).items():
                shapes, place = make(), name
                if backend == "tensorflow" and len(shapes) > MOST:
                    shapes, place = shapes[:MOST], f"{MOST} x 1000"
                ours, run, first = _side(keras, mode, adapter.RuleOptimizer(rule, LR), shapes)
                theirs, peer, peer_first = _side(keras, mode, native(), shapes)
                times = interleaved(run, peer, rounds=ROUNDS)
                for a, b in zip(ours, theirs, strict=True):
                    np.testing.assert_allclose(
                        keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=1e-3, atol=1e-5
                    )
                where = f"{case}, {place}, {backend} {mode}"
                found.append(Row(where, "Keras", *times, TARGET))
                found.append(Row(f"{where}: first", "Keras", first, peer_first, TARGET))
    return found
