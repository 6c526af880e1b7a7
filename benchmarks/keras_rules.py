"""An update of the Keras adapter's `RuleOptimizer`, beside Keras's own optimizer, on the backend that is set.

`KERAS_BACKEND=jax python -m benchmarks --only keras_rules` measures another backend.
"""

import importlib
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._lists import Shapes, resnet50, single, small
from benchmarks._rows import Row, interleaved, skipped
from lrsched import rules

TARGET = 1.0
LR = 1e-3
ROUNDS = 15
LISTS = {"ResNet-50": resnet50, "1000 x 1000": small, "one of 25 M": single}
# Where Keras takes minutes to trace or compile all the tensors of a list, or seconds to update them one by one.
MOST = {"tensorflow eager": 200, "tensorflow graph": 200, "tensorflow XLA": 200, "torch compiled": 20}


def _pairs(keras: Any) -> dict[str, tuple[rules.Rule, Callable[[], Any]]]:
    return {
        "Adam": (rules.Adam(eps=1e-7, eps_at="hat"), lambda: keras.optimizers.Adam(LR)),
        "Momentum": (rules.Momentum(0.9, lr_in_buffer=True), lambda: keras.optimizers.SGD(LR, momentum=0.9)),
    }


def _modes(backend: str) -> tuple[str, ...]:
    return {"tensorflow": ("eager", "graph", "XLA"), "jax": ("jit",), "torch": ("eager", "compiled")}[backend]


def _update(keras: Any, mode: str, optimizer: Any, variables: list[Any], grads: list[Any]) -> Callable[[], Any]:
    """Return a run of one update."""
    if mode in ("graph", "XLA"):
        tf = importlib.import_module("tensorflow")
        traced = tf.function(lambda gs: optimizer.apply(gs, variables), jit_compile=mode == "XLA")
        return lambda: traced(grads)
    if keras.config.backend() == "tensorflow":
        return lambda: optimizer.apply(grads, variables)
    if keras.config.backend() == "torch":
        torch = importlib.import_module("torch")
        apply = torch.no_grad()(optimizer.apply)
        # As Keras's trainer compiles a step.
        step = torch.compile(lambda gs: apply(gs, variables)) if mode == "compiled" else apply
        return lambda: step(grads) if mode == "compiled" else step(grads, variables)
    jax = importlib.import_module("jax")

    def step(values: list[Any], state: list[Any], grads: list[Any]) -> Any:
        return optimizer.stateless_apply(state, grads, values)

    # As Keras's trainer has it: a donated buffer goes to the first result of its shape, so both come in one order.
    compiled = jax.jit(step, donate_argnums=(0, 1))
    box = [[v.value for v in variables], [v.value for v in optimizer.variables]]

    def run() -> None:
        box[:] = compiled(*box, grads)
        jax.block_until_ready(box)
        for variable, value in zip(variables, box[0], strict=True):
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
        for rule, native in _pairs(keras).values():  # what a process does but once
            for optimizer in (adapter.RuleOptimizer(rule, LR), native()):
                _side(keras, mode, optimizer, [(3,)])
        for name, make in LISTS.items():
            for case, (rule, native) in _pairs(keras).items():
                shapes, place, most = make(), name, MOST.get(f"{backend} {mode}", math.inf)
                if len(shapes) > most:
                    shapes, place = shapes[: int(most)], f"{name}, the first {most}"
                ours, run, first = _side(keras, mode, adapter.RuleOptimizer(rule, LR), shapes)
                theirs, peer, peer_first = _side(keras, mode, native(), shapes)
                times = interleaved(run, peer, rounds=ROUNDS)
                for a, b in zip(ours, theirs, strict=True):
                    np.testing.assert_allclose(
                        keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=1e-3, atol=1e-5
                    )
                where = f"{case}, {place}, {backend} {mode}"
                found.append(Row(where, "Keras", *times, TARGET))
                if "eager" not in mode:
                    found.append(Row(f"{where}: first", "Keras", first, peer_first, TARGET))
    return found
