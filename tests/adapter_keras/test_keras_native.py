"""Each rule against the optimizers of Keras over 200 updates, on whichever Keras backend is set."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from rule_cases import KERAS, WRONG_IN_KERAS, Case, assert_close, gradients, left_out, rates, start, trained

keras = pytest.importorskip("keras")

BACKEND = keras.backend.backend()
RIGHT = [case for case in KERAS if (BACKEND, case.name) not in WRONG_IN_KERAS]


def compiled(optimizer: Any, variables: list[Any]) -> Any:
    """Return what does one update at a learning rate with gradients."""
    if BACKEND == "jax":
        import jax

        state = [v.value for v in variables], [v.value for v in optimizer.variables]
        place = next(i for i, v in enumerate(optimizer.variables) if v is optimizer._learning_rate)
        step = jax.jit(optimizer.stateless_apply, compiler_options={"xla_backend_optimization_level": 0})

        def update(lr: float, gs: list[np.ndarray]) -> list[Any]:
            nonlocal state
            inner = list(state[1])
            inner[place] = jax.numpy.asarray(lr, inner[place].dtype)
            state = step(inner, gs, state[0])
            return state[0]

        return update

    def apply(gs: list[Any]) -> None:
        optimizer.apply(gs, variables)

    if BACKEND == "tensorflow":
        import tensorflow

        apply = tensorflow.function(apply)

    def update(lr: float, gs: list[np.ndarray]) -> list[Any]:
        optimizer.learning_rate = lr
        apply([keras.ops.convert_to_tensor(g) for g in gs])
        return [v.value for v in variables]

    return update


def keras_run(case: Case, dtype: str) -> list[np.ndarray]:
    optimizer = case.native(keras.optimizers)(**case.arguments)
    variables = [keras.Variable(p, dtype=dtype) for p in start(case, dtype)]
    optimizer.build(variables)
    update, gs = compiled(optimizer, variables), gradients(case, dtype)
    for t, lr in enumerate(rates(case).tolist()):
        ps = update(lr, [np.asarray(g[t]) for g in gs])
    return [keras.ops.convert_to_numpy(p) for p in ps]


@pytest.mark.parametrize("case", RIGHT, ids=repr)
def test_a_rule_agrees_with_keras_in_float64(case: Case):
    wide = nullcontext()
    if BACKEND == "jax":
        import jax

        wide = jax.enable_x64(True)
    with wide:
        found = keras_run(case, "float64")
    assert found[0].dtype == np.float64
    rounded = case.name == "Nadam" and BACKEND == "tensorflow"  # there its 0.96 is of float32
    assert_close(trained(case), found, 3e-8 if rounded else case.float64)


@pytest.mark.slow  # in every run float64 agrees with Keras, and float32 follows float64
@pytest.mark.parametrize("case", RIGHT, ids=repr)
def test_a_rule_agrees_with_keras_in_float32(case: Case):
    assert_close(trained(case, np.float32), keras_run(case, "float32"), case.float32)


def test_the_table_leaves_no_optimizer_out():
    assert not left_out("keras", keras.optimizers, "learning_rate", KERAS)
    assert left_out("keras", keras.optimizers, "learning_rate", KERAS[2:]) == {"SGD"}  # it can fail
