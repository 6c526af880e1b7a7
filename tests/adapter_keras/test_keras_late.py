"""Variables whose gradients come late or with gaps, in the live Keras, on the backend that KERAS_BACKEND names."""

import keras
import numpy as np
import pytest
from rule_samples import SAMPLES

from lrsched import rules
from lrsched_keras import RuleOptimizer

LR = 0.0625
needs_part = pytest.mark.skipif(
    keras.config.backend() == "jax",
    reason="Keras on JAX trains all variables that an optimizer was built with, or none",
)
AROUND = [
    rules.ScheduleFree(rules.Adam(0.0) >> rules.DecoupledWeightDecay(0.1, times_lr=False)),
    rules.DecayBefore(rules.ScheduleFree(rules.OwnRate(rules.Adam(0.0), 3, 0.5), power=0.0), 0.1, late=True),
    rules.ClipByNorm(1.0) >> rules.Split(rules.Prodigy(d0=0.1), rules.ScheduleFree(rules.SGD())),
    rules.ClipByGlobalNorm(1.0) >> rules.AMSGrad(),
    rules.Split(rules.Muon(), rules.AdamW()),
    rules.lamb(),
]
QUICK = [*AROUND[1:4], rules.Prodigy(d0=0.1)]
SLOW = [rule for rule in (*(sample.rule for sample in SAMPLES), *AROUND) if rule not in QUICK]
ADAM = (keras.optimizers.Adam, rules.Adam(eps=1e-7, eps_at="hat"))
MOMENTUM = (lambda lr: keras.optimizers.SGD(lr, momentum=0.9), rules.Momentum(0.9, lr_in_buffer=True))


def value(variable):
    return keras.ops.convert_to_numpy(variable).copy()


def gradient(start, t):
    return np.cos(start * (t + 1)).astype("float32")


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("rule", [*QUICK, *(pytest.param(rule, marks=pytest.mark.slow) for rule in SLOW)], ids=repr)
def test_a_variable_that_joins_late_acts_as_in_a_new_optimizer_of_that_count(rule):
    starts = [np.array([[1.0, -2.0], [0.5, 0.25]], "float32"), np.array([[2.0, -1.0], [0.25, 4.0]], "float32")]
    variables, params = [keras.Variable(start) for start in starts], [start.astype("float64") for start in starts]
    optimizer, slots = RuleOptimizer(rule, LR), rules.init(rule, params)
    optimizer.build(variables)
    optimizer.iterations.assign(7)  # by hand
    alone, new = keras.Variable(starts[1]), RuleOptimizer(rule, LR)
    new.build([alone])
    for t, moves in enumerate([False, False, True, True, False, True], start=7):
        grads = [gradient(start, t) if one else None for start, one in zip(starts, (True, moves), strict=True)]
        given = [None if g is None else keras.ops.convert_to_tensor(g) for g in grads]
        optimizer.apply(given, variables)
        if moves:
            new.iterations.assign(t)
            new.apply(given[1:], [alone])
        params, slots = rules.apply(rule, params, grads, slots, lr=LR, step=t)
    for variable, expected in zip(variables, params, strict=True):
        np.testing.assert_allclose(value(variable), expected, rtol=1e-4, atol=1e-5)
    if not rule.couples:
        np.testing.assert_allclose(value(variables[1]), value(alone), rtol=1e-6)


def trained(optimizer):
    """Return the weights and the slots of the first layer after each of three trainings; it rests in the second."""
    keras.utils.set_random_seed(0)
    first, last = keras.layers.Dense(4, "tanh", name="first"), keras.layers.Dense(1, name="last")
    model = keras.Sequential([keras.Input((3,)), first, last])
    x = np.linspace(-1.0, 1.0, 24, dtype="float32").reshape(8, 3)
    optimizer.build(model.trainable_variables)
    found = []
    for rests in (False, True, False):
        first.trainable = not rests
        model.compile(optimizer, loss="mse", run_eagerly=True)
        model.fit(x, x[:, :1], batch_size=4, verbose=0, shuffle=False)
        slots = [v for v in optimizer.variables if "first_" in v.path]
        found.append(
            [value(v) for v in (*first.trainable_variables, *first.non_trainable_variables, *last.weights, *slots)]
        )
    return found


@needs_part
@pytest.mark.parametrize(
    ("native", "rule"), [ADAM, pytest.param(*MOMENTUM, marks=pytest.mark.slow)], ids=["Adam", "momentum"]
)
def test_a_layer_that_rests_between_trainings_goes_on_as_with_the_optimizer_of_keras(native, rule):
    ours, theirs = trained(RuleOptimizer(rule, 0.05)), trained(native(0.05))
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one[:4], other[:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@needs_part
@pytest.mark.slow
@pytest.mark.parametrize("rule", [AROUND[1], *SLOW], ids=repr)
def test_nothing_of_a_layer_that_rests_changes(rule):
    if isinstance(rule, rules.Muon):
        rule = rules.Split(rule, rules.SGD())
    before, rested, after = trained(RuleOptimizer(rule, 0.01))
    for i, (a, b) in enumerate(zip(before, rested, strict=True)):
        if i not in (2, 3):  # the other layer
            np.testing.assert_array_equal(a, b)
    assert all(np.isfinite(a).all() for a in after)
    assert all(np.abs(a - b).max() < 1.0 for a, b in zip(after[:2], rested[:2], strict=True))
