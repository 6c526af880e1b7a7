"""Update rules against the Keras optimizers, on whichever Keras backend is set."""

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from lrsched import rules  # noqa: E402

SHAPES = [(), (0,), (4, 5), (2, 2)]  # the last parameter starts at zero
STEPS = 50
# Keras keeps learning rates, and on some backends other numbers, in float32: these are exact there.
RATES = [2.0**-6, 2.0**-5, 2.0**-7]
B1, B2, WD = 0.875, 1.0 - 2.0**-7, 0.125
BETAS = {"beta_1": B1, "beta_2": B2}

PAIRS = [
    (rules.SGD(), lambda: keras.optimizers.SGD()),
    (rules.Momentum(B1, lr_in_buffer=True), lambda: keras.optimizers.SGD(momentum=B1)),
    (rules.Nesterov(B1, lr_in_buffer=True), lambda: keras.optimizers.SGD(momentum=B1, nesterov=True)),
    (rules.SGD() >> rules.DecoupledWeightDecay(WD), lambda: keras.optimizers.SGD(weight_decay=WD)),
    (rules.AdaGrad(1e-3, "inside", 0.1), lambda: keras.optimizers.Adagrad(epsilon=1e-3)),
    (rules.RMSprop(0.9, 1e-7, "inside"), lambda: keras.optimizers.RMSprop()),
    (
        rules.RMSprop(0.9, 1e-3, "inside", momentum=0.8, centered=True, lr_in_buffer=True),
        lambda: keras.optimizers.RMSprop(momentum=0.8, centered=True, epsilon=1e-3),
    ),
    (rules.Adam(B1, B2, 1e-3, "hat"), lambda: keras.optimizers.Adam(epsilon=1e-3, **BETAS)),
    (rules.Adam(B1, B2, 1e-3, "hat", "raw"), lambda: keras.optimizers.Adam(epsilon=1e-3, amsgrad=True, **BETAS)),
    (
        rules.Adam(B1, B2, 1e-7, "hat") >> rules.DecoupledWeightDecay(WD),
        lambda: keras.optimizers.AdamW(weight_decay=WD, **BETAS),
    ),
    (rules.Lion(), lambda: keras.optimizers.Lion()),
    (rules.lamb(B1, B2, 1e-7, weight_decay=0.0, min_ndim=0), lambda: keras.optimizers.Lamb(**BETAS)),
    (rules.ClipByNorm(0.5) >> rules.SGD(), lambda: keras.optimizers.SGD(clipnorm=0.5)),
    (rules.ClipByGlobalNorm(0.5) >> rules.SGD(), lambda: keras.optimizers.SGD(global_clipnorm=0.5)),
    (rules.ClipByValue(0.5) >> rules.SGD(), lambda: keras.optimizers.SGD(clipvalue=0.5)),
]
ids = [repr(rule) for rule, _ in PAIRS]


def tensors(seed: int, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


def theirs(optimizer: Any, start: list[np.ndarray], dtype: str, steps: int) -> list[np.ndarray]:
    variables = [keras.Variable(p, dtype=dtype) for p in start]
    optimizer.build(variables)
    for t in range(steps):
        optimizer.learning_rate = RATES[t % 3]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in tensors(100 + t, dtype)], variables)
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]


def ours(rule: rules.Rule, start: list[np.ndarray], dtype: str, steps: int) -> list[np.ndarray]:
    ps = [keras.ops.convert_to_tensor(p) for p in start]
    slots = rules.init(rule, ps)
    for t in range(steps):
        gs = [keras.ops.convert_to_tensor(g) for g in tensors(100 + t, dtype)]
        ps, slots = rules.apply(rule, ps, gs, slots, lr=RATES[t % 3], step=t)
    return [keras.ops.convert_to_numpy(p) for p in ps]


# JAX has float64 only where it is turned on.
DTYPES = [("float32", 1e-5)] + ([("float64", 1e-10)] if keras.backend.backend() != "jax" else [])


@pytest.mark.slow  # in every run test_compat_rules_keras.py and test_keras_native.py agree with Keras
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(("rule", "make"), PAIRS, ids=ids)
def test_a_rule_agrees_with_keras(rule: rules.Rule, make: Any, dtype: str, tolerance: float):
    start = tensors(0, dtype)
    start[-1] *= 0
    if keras.backend.backend() == "torch" and "Norm" in repr(rule):
        tolerance = max(tolerance, 1e-7)  # there Keras rounds the factor of a clip to float32
    for p, q in zip(ours(rule, start, dtype, STEPS), theirs(make(), start, dtype, STEPS), strict=True):
        assert p.dtype == q.dtype == dtype
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance)
