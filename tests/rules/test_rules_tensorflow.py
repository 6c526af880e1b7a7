"""Update rules on TensorFlow tensors and variables, eager, in `tf.function` and through XLA."""

from typing import Any

import numpy as np
import pytest
from rule_samples import alone

tf = pytest.importorskip("tensorflow")

from lrsched import rules  # noqa: E402

RULES = [
    *(sample.rule for sample in alone()),
    rules.RMSprop(eps=1e-2, momentum=0.9, centered=True, nesterov=True),
    rules.AMSGrad(corrected=True),
    rules.ClipByGlobalNorm(0.5) >> rules.L1(0.1) >> rules.AdamW(),
    rules.ClipByValue(0.5) >> rules.Lion(),
    rules.lars(),
    rules.Layerwise(rules.RMSprop(), clip=True, upper=2.0),
    rules.lamb(),
]
SHAPES = [(), (0,), (3,), (4, 5)]


def tensors(seed: int, dtype: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]


SLOW = pytest.mark.slow
# Operations and graphs, and each dtype, in every run, all pairs of them in the slow ones.
WAYS = [
    *((np.float64, "eager"), (np.float32, "xla")),
    *(
        pytest.param(*pair, marks=SLOW)
        for pair in ((np.float32, "eager"), (np.float32, "function"), (np.float64, "function"), (np.float64, "xla"))
    ),
]


@pytest.mark.parametrize(("dtype", "mode"), WAYS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_tensorflow_agrees_with_numpy(rule: rules.Rule, dtype: Any, mode: str):
    traces = []

    def update(ps: Any, gs: Any, slots: Any, lr: Any, t: Any) -> Any:
        traces.append(1)
        return rules.apply(rule, ps, gs, slots, lr=lr, step=t)

    step = update if mode == "eager" else tf.function(update, jit_compile=mode == "xla")
    expected = tensors(0, dtype)
    found = [tf.constant(p) for p in expected]
    slots, state = rules.init(rule, expected), rules.init(rule, found)
    for t in range(3):
        gs = tensors(1 + t, dtype)
        expected, slots = rules.apply(rule, expected, gs, slots, lr=0.125, step=t)
        lr, count = tf.constant(0.125), tf.constant(t, tf.int64)
        found, state = step(found, [tf.constant(g) for g in gs], state, lr, count)
    assert len(traces) == (3 if mode == "eager" else 1)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for p, q in zip(found, expected, strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance)


def test_a_variable_is_a_parameter():
    p = tf.Variable([1.0, 2.0])
    delta, slots = rules.Momentum().delta(p, tf.constant([1.0, -1.0]), rules.Momentum().init(p), lr=0.5, step=0)
    p.assign_add(delta)
    np.testing.assert_allclose(p, [0.5, 2.5])
    assert not isinstance(slots.v, tf.Variable)


def test_a_sparse_gradient_becomes_dense():
    p = tf.ones((3, 2))
    g = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), dense_shape=tf.constant([3, 2]))
    delta, _ = rules.SGD().delta(p, g, (), lr=1.0, step=0)
    np.testing.assert_array_equal(delta, [[0, 0], [-1, -1], [0, 0]])


def test_bfloat16_parameters_move():
    rule, p = rules.Adam(), tf.ones(3, tf.bfloat16)
    slots = rule.init(p)
    for t in range(3):
        p, slots = rules.apply(rule, p, tf.ones_like(p), slots, lr=tf.constant(0.1), step=tf.constant(t))
    assert p.dtype == tf.bfloat16
    assert slots.m.dtype == tf.float32
    np.testing.assert_allclose(tf.cast(p, tf.float32), 0.7, atol=0.02)


def test_clipping_by_value_keeps_nan():
    rule, p = rules.ClipByValue(1.0) >> rules.SGD(), tf.zeros(2)
    delta, _ = rule.delta(p, tf.constant([np.nan, np.inf], tf.float32), (), lr=1.0, step=0)
    np.testing.assert_array_equal(delta, [np.nan, -1.0])


def test_an_unknown_length_is_no_error():
    rule = rules.lamb()

    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec(None)])
    def update(p: Any, g: Any) -> Any:
        return rule.delta(p, g, rule.init(p), lr=0.1, step=0)[0]

    assert update(tf.ones((3, 2)), tf.ones((3, 2))).shape == (3, 2)


def test_a_tensor_of_unknown_rank_is_refused():
    @tf.function(input_signature=[tf.TensorSpec(None)])
    def update(p: Any) -> Any:
        return rules.lamb().delta(p, p, rules.lamb().init(p), lr=0.1, step=0)[0]

    with pytest.raises(ValueError, match=r"Layerwise\.init\(p\) must have a known number of dimensions"):
        update(tf.ones((3, 2)))
