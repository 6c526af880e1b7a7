"""RuleOptimizer in the live Keras, on the backend that KERAS_BACKEND names."""

import functools
import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from lrsched import Constant, Cosine, Linear, Warmup, rules
from lrsched_keras import LRSchedule, RuleOptimizer

BACKEND = keras.backend.backend()
SCHEDULE = Warmup(4) >> Cosine(0.02, 0.001, steps=16)
# Adam as Keras has it.
ADAM = rules.Adam(eps=1e-7, eps_at="hat")

DIALECT = {
    "SGD": (keras.optimizers.SGD, {}, rules.SGD()),
    "momentum": (keras.optimizers.SGD, {"momentum": 0.9}, rules.Momentum(0.9, lr_in_buffer=True)),
    "Nesterov": (
        keras.optimizers.SGD,
        {"momentum": 0.9, "nesterov": True},
        rules.Nesterov(0.9, lr_in_buffer=True),
    ),
    "Adam": (keras.optimizers.Adam, {}, ADAM),
    "AMSGrad": (keras.optimizers.Adam, {"amsgrad": True}, rules.Adam(eps=1e-7, eps_at="hat", amsgrad="raw")),
    "AdamW": (keras.optimizers.AdamW, {"weight_decay": 0.1}, ADAM >> rules.DecoupledWeightDecay(0.1)),
    "RMSprop": (keras.optimizers.RMSprop, {}, rules.RMSprop(0.9, eps=1e-7, eps_at="inside")),
    "RMSprop, centred, momentum": (
        keras.optimizers.RMSprop,
        {"momentum": 0.9, "centered": True, "epsilon": 1e-3},
        rules.RMSprop(0.9, eps=1e-3, eps_at="inside", momentum=0.9, centered=True, lr_in_buffer=True),
    ),
    "Adagrad": (keras.optimizers.Adagrad, {}, rules.AdaGrad(1e-7, eps_at="inside", initial=0.1)),
    "Lion": (keras.optimizers.Lion, {}, rules.Lion(0.9, 0.99)),
}


def start(dtype="float32"):
    """Return a matrix and a vector as variables."""
    rng = np.random.default_rng(0)
    values = {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=(3,))}
    return [keras.Variable(value.astype("float32"), dtype=dtype, name=name) for name, value in values.items()]


def gradients(steps):
    """Yield a gradient for each variable of `start`, different at each step."""
    rng = np.random.default_rng(1)
    for _ in range(steps):
        yield [rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(3,)).astype("float32")]


def numpy_of(variables):
    return [np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(v, "float32"))) for v in variables]


def run(optimizer, steps, dtype="float32"):
    """Return the values of `start` after some updates."""
    variables = start(dtype)
    for grads in gradients(steps):
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype) for g in grads], variables)
    return numpy_of(variables)


def host(rule, steps, rate=SCHEDULE, accumulated=1):
    """Return the values of `start` after the same updates in NumPy."""
    params = [v.astype("float64") for v in numpy_of(start())]
    slots = rules.init(rule, params)
    given = [[g.astype("float64") for g in grads] for grads in gradients(steps * accumulated)]
    for t in range(steps):
        batches = given[t * accumulated : (t + 1) * accumulated]
        grads = [sum(parts) / accumulated for parts in zip(*batches, strict=True)]
        params, slots = rules.apply(rule, params, grads, slots, lr=rate(t), step=t)
    return params


def assert_close(found, expected, rtol=1e-5, atol=1e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", DIALECT)
def test_fifty_updates_agree_with_the_optimizer_of_keras(name):
    native, arguments, rule = DIALECT[name]
    expected = run(native(LRSchedule(SCHEDULE), **arguments), 50)
    assert_close(run(RuleOptimizer(rule, SCHEDULE), 50), expected)


@pytest.mark.parametrize(
    "rule",
    [
        rules.ClipByGlobalNorm(0.5) >> rules.Momentum(0.9),
        rules.ClipByValue(0.3) >> rules.L2(0.1) >> rules.Adam() >> rules.DecoupledWeightDecay(0.1),
        rules.lars(trust_coefficient=0.1),
        rules.lamb(),
        rules.Layerwise(rules.RMSprop()),
    ],
    ids=repr,
)
def test_updates_agree_with_the_rule_in_numpy(rule):
    assert_close(run(RuleOptimizer(rule, SCHEDULE), 10), host(rule, 10))


# What TensorFlow or torch has as a kernel of its own, in each dialect, with parts around it.
KERNELS = [
    rules.SGD(),
    rules.Momentum(0.9, dampening=0.5),
    rules.Momentum(0.9, dampening=0.5, first_step="clone"),
    rules.Momentum(0.9, dampening=0.5, first_step="clone", lr_in_buffer=True),
    rules.Momentum(0.0, lr_in_buffer=True),
    rules.Nesterov(0.9),
    rules.Nesterov(0.9, lr_in_buffer=True),
    rules.Adam(0.8, 0.95, eps=1e-3),
    rules.Adam(0.8, 0.95, eps=1e-3, eps_at="hat"),
    rules.Adam(0.8, 0.0, eps=1e-3, eps_at="hat", amsgrad="raw"),
    rules.AdaGrad(1e-3),
    rules.ClipByGlobalNorm(0.5) >> rules.L2(0.1) >> rules.Adam() >> rules.DecoupledWeightDecay(0.2),
    rules.L2(0.1, min_ndim=2) >> rules.Momentum(0.9) >> rules.DecoupledWeightDecay(0.2, times_lr=False, min_ndim=2),
]


def native_operations(update):
    """Return the names of the kernels of optimizers that one call runs."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        graph = tf.function(update).get_concrete_function().graph
        return {op.type for op in graph.get_operations() if op.type.startswith("ResourceApply")}
    from torch.utils._python_dispatch import TorchDispatchMode

    class Names(TorchDispatchMode):
        found: set[str] = set()  # noqa: RUF012

        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            self.found.add(str(function).split(".")[1])
            return function(*arguments, **(options or {}))

    with Names() as names:
        update()
    return {name for name in names.found if name.startswith(("_fused_", "_foreach_add_"))}


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        pytest.param(
            "float64", marks=pytest.mark.skipif(BACKEND == "jax", reason="JAX has its own switch for float64")
        ),
    ],
)
@pytest.mark.parametrize("rule", KERNELS, ids=repr)
def test_rules_with_a_native_kernel_agree_with_numpy(rule, dtype):
    rng = np.random.default_rng(4)
    shapes = [(4, 3), (3,), (), (0,), (2, 2, 2)]
    params = [rng.normal(size=shape) for shape in shapes]
    variables = [keras.Variable(np.asarray(p, dtype), dtype=dtype) for p in params]
    optimizer, slots = RuleOptimizer(rule, 0.25), rules.init(rule, params)
    for t, rate in enumerate([0.25, 0.5, 0.125, 0.0, 0.25]):  # exact in float32
        grads = [rng.normal(size=shape) for shape in shapes]
        optimizer.learning_rate = rate
        optimizer.apply([keras.ops.convert_to_tensor(np.asarray(g, dtype)) for g in grads], variables)
        params, slots = rules.apply(rule, params, grads, slots, lr=rate, step=t)
    expected = list(params)
    rules.map_arrays(expected.append, tuple(slots))
    found = [*variables, *(slot for own in optimizer._slots for slot in own)]
    exact = dtype == "float64"
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(a), b, rtol=1e-13 if exact else 5e-6, atol=1e-13 if exact else 2e-6
        )


@pytest.mark.skipif(BACKEND == "jax", reason="XLA compiles the mathematics")
@pytest.mark.parametrize(
    ("rule", "kernels"),
    [
        (rules.SGD(), ("ResourceApplyGradientDescent", "_fused_sgd_")),
        (rules.Momentum(0.9, lr_in_buffer=True), ("ResourceApplyMomentum", "_fused_sgd_")),
        (rules.Nesterov(0.9, lr_in_buffer=True), ("ResourceApplyMomentum", "_foreach_add_")),
        (ADAM, ("ResourceApplyAdam", "_fused_adam_")),
        (rules.ClipByGlobalNorm(1.0) >> rules.Adam(), ("ResourceApplyAdam", "_fused_adam_")),
        (rules.Adam(eps_at="inside"), (None, None)),
        (rules.Adam(b2=1.0 - 1e-9), (None, "_fused_adam_")),  # which float32 rounds to 1
        (rules.lamb(), (None, None)),
        (ADAM >> rules.ClipByNorm(1.0), (None, None)),
    ],
    ids=repr,
)
def test_rules_run_as_native_kernels_where_there_are_some(rule, kernels):
    variables, optimizer = start(), RuleOptimizer(rule, 0.1)
    optimizer.build(variables)
    grads = [keras.ops.ones(v.shape) for v in variables]
    found = native_operations(lambda: optimizer.apply(grads, variables))
    assert found == {kernels[BACKEND == "torch"]} - {None}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has variables beside those of Keras")
@pytest.mark.parametrize(
    "arguments", [{}, {"weight_decay": 0.1}, {"use_ema": True}, {"gradient_accumulation_steps": 2}], ids=repr
)
@pytest.mark.parametrize("name", ["Adam", "RMSprop"])  # with a kernel of TensorFlow, and without
def test_plain_variables_of_tensorflow_are_trained_as_by_keras(name, arguments):
    import tensorflow as tf

    native, own, rule = DIALECT[name]
    found = []
    for optimizer in (native(0.1, **own, **arguments), RuleOptimizer(rule, 0.1, **arguments)):
        variables = [tf.Variable(tf.ones((2, 3)), name="w"), tf.Variable(tf.ones(3, tf.float64))]
        for t in range(4):
            rows = tf.IndexedSlices(tf.fill((1, 3), 0.5 + t), [1], [2, 3])
            optimizer.apply_gradients(zip([tf.convert_to_tensor(rows), tf.cos(variables[1])], variables, strict=True))
        found.append([v.numpy() for v in variables])
    # Keras counts batches in the bias correction of Adam.
    assert_close(*found, rtol=0.2 if name == "Adam" and "gradient_accumulation_steps" in arguments else 1e-5)


def sparse(dense):
    """Return a gradient as the backend has it for a few rows."""
    if BACKEND == "torch":
        import torch

        return torch.tensor(dense).to_sparse()
    if BACKEND == "jax":
        from jax.experimental.sparse import BCOO

        return BCOO.fromdense(dense)
    import tensorflow as tf

    return tf.IndexedSlices(tf.constant(dense[[1]]), [1], tf.constant(dense.shape))


@pytest.mark.parametrize("rule", [rules.SGD(), ADAM, rules.lamb()], ids=repr)
def test_a_sparse_gradient_acts_as_the_dense_one(rule):
    dense, found = np.zeros((3, 2), "float32"), []
    dense[1] = 0.5, -2.0
    for gradient in (sparse(dense), keras.ops.convert_to_tensor(dense)):
        variable, optimizer = keras.Variable(np.ones((3, 2))), RuleOptimizer(rule, 0.1)
        for _ in range(2):
            optimizer.apply([gradient], [variable])
        found.append(numpy_of([variable]))
    assert_close(*found)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_variables_that_cannot_be_trained_are_refused_before_anything_has_changed(dtype):
    variables = [*start(), keras.Variable(np.ones(2), dtype=dtype, trainable=False, name="count")]
    optimizer = RuleOptimizer(ADAM, 0.1)
    with pytest.raises(TypeError, match=rf"RuleOptimizer.build\(variables\) must get .*, got 'count' of {dtype}"):
        optimizer.apply([keras.ops.ones(v.shape) for v in variables], variables)
    assert (optimizer.built, len(optimizer.variables)) == (False, 2)


def test_a_schedule_in_an_optimizer_of_keras_says_that_it_must_be_an_lr_schedule():
    optimizer = keras.optimizers.Adam(SCHEDULE)
    with pytest.raises(TypeError, match=r"write lrsched_keras\.LRSchedule\(schedule\)"):
        optimizer.apply([keras.ops.ones(3)], [keras.Variable(np.ones(3))])


def test_the_slots_of_each_variable_have_names_of_their_own():
    rule = rules.Split(rules.Muon(), rules.Split(rules.Lion(), rules.Adam(), 1))
    optimizer, variables = RuleOptimizer(rule, 0.1), start()
    optimizer.build(variables)
    names = [v.name for v in optimizer.variables]
    assert len(set(names)) == len(names)


def test_gradients_of_another_dtype_are_taken():
    variable, optimizer = keras.Variable(np.zeros(3), dtype="float32"), RuleOptimizer(rules.SGD(), 1.0)
    optimizer.apply([keras.ops.convert_to_tensor(np.arange(3.0), "bfloat16")], [variable])
    assert_close(numpy_of([variable]), [-np.arange(3.0)])


@pytest.mark.skipif(BACKEND != "torch", reason="only torch has views that are not in the order of their elements")
@pytest.mark.parametrize("rule", [rules.SGD(), rules.Momentum(0.9), rules.Nesterov(0.9, lr_in_buffer=True)], ids=repr)
def test_gradients_in_another_order_are_taken(rule):
    import torch

    variables = [keras.Variable(np.zeros((2, 3)), dtype="float32") for _ in range(2)]
    optimizer = RuleOptimizer(rule, 1.0)
    optimizer.apply([torch.arange(6.0).reshape(3, 2).T, torch.ones(1).expand(2, 3)], variables)
    factor = 1.9 if rule == rules.Nesterov(0.9, lr_in_buffer=True) else 1.0  # the look-ahead
    assert_close(numpy_of(variables), [-factor * np.arange(6.0).reshape(3, 2).T, np.full((2, 3), -factor)])


def test_constraints_and_variables_overwritten_by_their_gradients():
    scale, kernel = keras.Variable(np.ones(2), name="scale"), keras.Variable(np.ones(2), name="kernel")
    scale.overwrite_with_gradient, kernel.constraint = True, keras.constraints.NonNeg()
    optimizer = RuleOptimizer(rules.Momentum(0.9), 1.0)
    optimizer.apply([keras.ops.full((2,), 7.0), keras.ops.convert_to_tensor(np.float32([0.5, 3.0]))], [scale, kernel])
    assert_close(numpy_of([scale, kernel]), [[7.0, 7.0], [0.5, 0.0]])


def dense_model(optimizer, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse", **compile_arguments)
    return model


def train(model, batches=6, epochs=1):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2 * batches, 3)).astype("float32")
    model.fit(x, x.sum(axis=1, keepdims=True), batch_size=2, epochs=epochs, verbose=0, shuffle=False)
    return model.get_weights()


BASE = [
    {"clipvalue": 0.1, "loss_scale_factor": 8.0, "weight_decay": 0.1},
    {"global_clipnorm": 0.5, "use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    {"clipnorm": 0.5, "gradient_accumulation_steps": 2},
]


# Adam of Keras counts batches, not updates, in its bias correction; these have none.
@pytest.mark.parametrize("name", ["RMSprop", "momentum"])
@pytest.mark.parametrize("arguments", BASE, ids=repr)
def test_arguments_of_the_base_class_do_what_they_do_in_keras(arguments, name):
    native, own, rule = DIALECT[name]
    assert_close(
        train(dense_model(RuleOptimizer(rule, 0.02, **arguments))), train(dense_model(native(0.02, **own, **arguments)))
    )


@functools.cache
def adamw():
    """Return the weights that AdamW of Keras gives."""
    return train(dense_model(keras.optimizers.AdamW(LRSchedule(SCHEDULE), weight_decay=0.1, global_clipnorm=0.5)))


JIT = [False, pytest.param(True, marks=[pytest.mark.slow] if BACKEND == "torch" else [])]


@pytest.mark.parametrize("jit_compile", JIT)
def test_training_agrees_compiled_or_not(jit_compile):
    rule = rules.ClipByGlobalNorm(0.5) >> ADAM >> rules.DecoupledWeightDecay(0.1)
    assert_close(train(dense_model(RuleOptimizer(rule, SCHEDULE), jit_compile=jit_compile)), adamw())


@pytest.mark.skipif(BACKEND == "torch", reason="Keras on PyTorch has no steps_per_execution")
def test_training_agrees_under_steps_per_execution():
    rule = rules.ClipByGlobalNorm(0.5) >> ADAM >> rules.DecoupledWeightDecay(0.1)
    assert_close(train(dense_model(RuleOptimizer(rule, SCHEDULE), steps_per_execution=3)), adamw())


def test_schedule_and_bias_correction_count_updates_when_gradients_are_accumulated():
    rule = rules.Adam()
    found = run(RuleOptimizer(rule, SCHEDULE, gradient_accumulation_steps=2), 6)
    assert_close(found, host(rule, 3, accumulated=2))


def test_excluded_variables_do_not_decay():
    optimizer = RuleOptimizer(rules.SGD(), 0.5, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    variables = start()
    before = numpy_of(variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in variables], variables)
    # 1 - lr * weight_decay = 0.75 for the kernel
    assert_close(numpy_of(variables), [0.75 * before[0], before[1]])


def test_loss_scale_optimizer_skips_an_update_that_overflows():
    model = dense_model(keras.optimizers.LossScaleOptimizer(RuleOptimizer(ADAM, 0.1)))
    before = model.get_weights()
    model.fit(np.full((2, 3), np.inf), np.ones((2, 1)), verbose=0)
    assert_close([*model.get_weights(), int(model.optimizer.iterations)], [*before, 0])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])  # for the first Keras scales the loss
def test_training_in_mixed_precision_agrees_with_keras(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        expected = train(dense_model(keras.optimizers.Adam(LRSchedule(SCHEDULE))))
        found = train(dense_model(RuleOptimizer(ADAM, SCHEDULE)))
    finally:
        keras.config.set_dtype_policy(before)
    assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 4},
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "gradient_accumulation_steps": 2, "loss_scale_factor": 4.0},
    ],
    ids=repr,
)
def test_saved_model_keeps_averages_and_accumulated_gradients(arguments, tmp_path):
    if BACKEND == "jax" and "use_ema" in arguments:
        pytest.skip("Keras on JAX cannot train on with the averages of a loaded model, whatever the optimizer")
    model = dense_model(RuleOptimizer(ADAM, SCHEDULE, **arguments))
    train(model, batches=5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(train(model, batches=5), train(loaded, batches=5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saved_model_keeps_the_scale_of_the_loss(tmp_path):
    model = dense_model(keras.optimizers.LossScaleOptimizer(RuleOptimizer(ADAM, SCHEDULE), dynamic_growth_steps=2))
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert float(keras.ops.convert_to_numpy(loaded.optimizer.dynamic_scale)) == 2.0**15 * 2**3  # 6 updates
    for a, b in zip(train(model), train(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(BACKEND != "torch", reason="arrays of other backends are not the memory of the variables")
@pytest.mark.parametrize("rule", [ADAM, rules.ClipByGlobalNorm(1.0) >> rules.lamb()], ids=repr)
def test_large_updates_are_done_in_place(rule):
    rng = np.random.default_rng(3)
    values = [rng.normal(size=shape).astype("float32") for shape in ((700, 500), (500,), (500,))]
    variables = [keras.Variable(value) for value in values]
    optimizer = RuleOptimizer(rule, 0.1)
    optimizer.build(variables)
    memory = [v.value.data_ptr() for v in [*variables, *optimizer.variables[2:]]]
    slots = rules.init(rule, values)
    for step in range(3):
        grads = [rng.normal(size=value.shape).astype("float32") for value in values]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], variables)
        values, slots = rules.apply(rule, values, grads, slots, lr=0.1, step=step)
    assert_close(numpy_of(variables), values)
    assert [v.value.data_ptr() for v in [*variables, *optimizer.variables[2:]]] == memory


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_moments_of_narrow_parameters_are_float32(dtype):
    optimizer = RuleOptimizer(rules.Adam(), 0.1)
    optimizer.build(start(dtype))
    assert {v.dtype for v in optimizer.variables if v.name.endswith(("_m", "_v"))} == {"float32"}


def test_bfloat16_parameters_do_not_stall():
    variable = keras.Variable(np.ones(2), dtype="bfloat16")
    optimizer = RuleOptimizer(rules.Adam(), 0.1)
    for _ in range(3):
        optimizer.apply([keras.ops.ones((2,), "bfloat16")], [variable])
    # Each step of Adam under a constant gradient is lr: 1 - 3 * 0.1, in bfloat16 to two digits.
    assert_close(numpy_of([variable]), [np.full(2, 0.7)], rtol=1e-2)


def test_slots_have_their_initial_value_and_the_name_of_their_parameter():
    optimizer = RuleOptimizer(rules.RMSprop(initial=1.0, centered=True), 0.1)
    optimizer.build(start())
    found = {v.name: float(keras.ops.convert_to_numpy(v).ravel()[0]) for v in optimizer.variables[2:]}
    assert found == {"kernel_v": 1.0, "kernel_mean": 0.0, "bias_v": 1.0, "bias_mean": 0.0}


def test_rule_without_state_has_no_slots():
    optimizer = RuleOptimizer(rules.SGD(), SCHEDULE)
    optimizer.build(start())
    assert [v.name for v in optimizer.variables] == ["iteration"]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_variable_without_a_gradient_stays():
    optimizer = RuleOptimizer(rules.Adam(), 0.1)
    variables = start()
    before = numpy_of(variables)
    optimizer.apply([keras.ops.ones((4, 3)), None], variables)
    assert_close(numpy_of(variables), [before[0] - 0.1, before[1]])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="IndexedSlices are of TensorFlow")
def test_sparse_gradient_acts_as_the_dense_one():
    import tensorflow as tf

    rule = rules.ClipByGlobalNorm(1.0) >> rules.Adam()
    rows, where = np.array([[1.0, 2.0], [3.0, 4.0], [0.5, 0.5]], "float32"), [0, 2, 0]
    variable = keras.Variable(np.ones((4, 2)), dtype="float32")
    dense, params = np.zeros((4, 2)), np.ones((4, 2))
    np.add.at(dense, where, rows)
    optimizer, slots = RuleOptimizer(rule, 0.1), rule.init(params)
    sparse = tf.IndexedSlices(tf.constant(rows), tf.constant(where), dense_shape=tf.constant([4, 2]))
    for t in range(3):
        optimizer.apply([sparse], [variable])
        params, slots = rules.apply(rule, params, dense, slots, lr=0.1, step=t)
    assert_close(numpy_of([variable]), [params])


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras on TensorFlow has no stateless_apply")
def test_stateless_apply_returns_new_values_and_leaves_the_variables():
    variables, optimizer = start(), RuleOptimizer(rules.Adam(), SCHEDULE)
    optimizer.build(variables)
    before = numpy_of(variables)
    state, params = [v.value for v in optimizer.variables], [v.value for v in variables]
    for grads in gradients(5):
        params, state = optimizer.stateless_apply(state, [keras.ops.convert_to_tensor(g) for g in grads], params)
    assert_close([*numpy_of(params), *numpy_of(variables)], [*host(rules.Adam(), 5), *before])


@pytest.mark.parametrize("rule", [ADAM, rules.ClipByNorm(1.0) >> rules.Momentum(), rules.lamb()], ids=repr)
def test_saved_model_trains_on_as_if_it_had_not_been_saved(rule, tmp_path):
    model = dense_model(RuleOptimizer(rule, SCHEDULE))
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(train(model), train(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


FRESH = """
import sys, keras, numpy as np, lrsched_keras
optimizer = keras.models.load_model(sys.argv[1]).optimizer
print(repr(optimizer.rule), int(optimizer.iterations), len(optimizer.variables), sep="; ")
"""


def test_saved_model_loads_in_a_process_that_imports_lrsched_keras(tmp_path):
    model = dense_model(RuleOptimizer(rules.L2(0.1) >> ADAM, SCHEDULE))
    train(model)
    path = str(tmp_path / "model.keras")
    model.save(path)
    done = subprocess.run([sys.executable, "-c", FRESH, path], capture_output=True, text=True, check=True)
    # The iteration, and m and v for two kernels and two biases.
    assert done.stdout.strip() == f"{model.optimizer.rule!r}; 6; 9"


@pytest.mark.parametrize(
    "rate",
    [0.25, SCHEDULE, LRSchedule(SCHEDULE), keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)],
    ids=["float", "schedule", "LRSchedule", "schedule of Keras"],
)
def test_config_is_json_that_builds_an_equal_optimizer(rate):
    optimizer = RuleOptimizer(rules.ClipByGlobalNorm(1.0) >> ADAM, rate, weight_decay=0.1, name="mine")
    config = json.loads(json.dumps(keras.optimizers.serialize(optimizer)))
    built = keras.optimizers.deserialize(config)
    assert (built.rule, built.get_config()) == (optimizer.rule, optimizer.get_config())


def test_config_is_not_changed_by_building_from_it():
    config = RuleOptimizer(ADAM, SCHEDULE).get_config()
    before = json.dumps(config)
    RuleOptimizer.from_config(config)
    assert json.dumps(config) == before


@pytest.mark.parametrize(
    "rate",
    [
        0.5,
        Constant(0.5),
        LRSchedule(Constant(0.5)),
        keras.optimizers.schedules.PolynomialDecay(0.5, 1, 0.5),
        lambda: 0.5,
    ],
    ids=["float", "schedule", "LRSchedule", "schedule of Keras", "function"],
)
def test_each_kind_of_rate_is_taken(rate):
    variables = start()
    before = numpy_of(variables)
    RuleOptimizer(rules.SGD(), rate).apply([keras.ops.ones(v.shape) for v in variables], variables)
    assert_close(numpy_of(variables), [v - 0.5 for v in before])


@pytest.mark.parametrize("first", [0.5, Constant(0.5)], ids=repr)
def test_rate_may_be_set_to_a_schedule(first):
    optimizer = RuleOptimizer(rules.SGD(), first)
    optimizer.learning_rate = Linear(0.1, 0.0, steps=10)
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == pytest.approx(0.1)


def test_rate_may_be_set_to_a_number():
    optimizer = RuleOptimizer(rules.SGD(), 0.5)
    optimizer.learning_rate = 0.25
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.25


@pytest.mark.parametrize("wrong", ["Adam()", None, rules.Adam, SCHEDULE, keras.optimizers.SGD()])
def test_what_is_no_rule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"RuleOptimizer\(rule\) must be a rule such as rules.Adam\(\), got"):
        RuleOptimizer(wrong, 0.1)


def test_part_of_a_rule_is_refused_with_a_way_out():
    with pytest.raises(TypeError, match=r"got L2\(0\.1\); write L2\(0\.1\) >> SGD\(\)"):
        RuleOptimizer(rules.L2(0.1), 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "0.1"}, r"\(learning_rate=...\) must be a finite number"),
        ({"learning_rate": Warmup(5)}, "takes its height from a neighbour"),
        ({"learning_rate": 0.1, "b1": 0.9}, "unexpected keyword argument 'b1'"),
        ({"learning_rate": 0.1, "gradient_accumulation_steps": 1}, "must be an int >= 2"),
        ({"learning_rate": 0.1, "clipnorm": 1.0, "clipvalue": 1.0}, "Only one of"),
    ],
    ids=repr,
)
def test_other_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RuleOptimizer(ADAM, **arguments)


MIRRORED = """
import contextlib
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from lrsched import Linear, rules
from lrsched_keras import RuleOptimizer

def trained(scope):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    with scope:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        rule = rules.ClipByGlobalNorm(0.5) >> rules.Adam()
        model.compile(RuleOptimizer(rule, Linear(0.1, 0.0, steps=9)), loss="mse", jit_compile=False)
    model.fit(x, x.sum(axis=1, keepdims=True), batch_size=8, epochs=3, verbose=0, shuffle=False)
    return np.concatenate([w.ravel() for w in model.get_weights()])

two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
print(np.abs(trained(two.scope()) - trained(contextlib.nullcontext())).max())
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is of TensorFlow")
def test_global_norm_is_that_of_all_replicas():
    done = subprocess.run([sys.executable, "-c", MIRRORED], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) < 1e-6
