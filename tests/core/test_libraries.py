"""One schedule, every array library: the same values, in the kind, shape, dtype and place of the steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from samples import curves
from strategies import boundary_steps, schedules

import lrsched as ls
from lrsched._core.offers import CLASSES
from lrsched._core.value import children

SAMPLE = (
    *(curve.small for curve in curves()),
    ls.Linear(0.0, 0.1, steps=10),
    ls.Cosine(0.1, 0.0, steps=1000),
    ls.Polynomial(0.1, 0.01, steps=20, power=1.7),
    ls.Warmup(5) >> ls.Constant(0.1, steps=10) >> ls.Cooldown(8, shape="1-sqrt"),
    ls.Linear(1.0, 0.0, steps=9) * ls.Cosine(0.1, 0.0, steps=30) * 0.5,
    ls.Linear(0.1, 0.0, steps=9) + ls.Constant(0.01),
    ls.Linear(0.5, 0.0, steps=12) ** 0.5,
    ls.clip(ls.Linear(0.1, 0.0, steps=20), low=0.02, high=0.07),
    ls.Repeat(ls.Cosine(0.1, 0.0, steps=7), stretch=2, scale=0.7),
    ls.Repeat(ls.Linear(0.1, 0.0, steps=6), times=3, scale=0.5),
    ls.Repeat(ls.Cosine(0.1, 0.0, steps=7), stretch=1.5, rounding="each"),
    ls.Shift(ls.Cosine(0.1, 0.0, steps=20), 2.5),
    ls.Repeat(ls.Linear(0.1, 0.0, steps=9), times=4, stretch=0.5),
    ls.Stretch(ls.Warmup(4) >> ls.Cosine(0.1, 0.0, steps=11), factor=2.5),
    ls.Epochs(ls.Exponential(0.1, 0.5), steps_per_epoch=7),
    ls.Batches(ls.Warmup(5) >> ls.Cosine(0.1, 0.0, steps=40), batches_per_update=3),
    ls.Batches(ls.Exponential(0.1, 0.99), batches_per_update=3),
)
LARGEST = 2**31 - 1
STEPS = np.array([*range(40), 59, 60, 61, 999, 1000, 1001, 2**24, 2**24 + 1, 2**30 + 1, LARGEST - 1, LARGEST])
EXPECTED = [[schedule(t) for t in STEPS.tolist()] for schedule in SAMPLE]


def library(name):
    """Import a library, or skip the test."""
    return pytest.importorskip(name)


def nodes_of(schedule):
    return {type(schedule).__name__}.union(*(nodes_of(child) for child in children(schedule)))


def test_the_sample_has_every_node():
    assert set().union(*map(nodes_of, SAMPLE)) == set(CLASSES["schedule"]) - {"Warmup", "Cooldown"}


def assert_close(values, expected, rtol, schedule):
    """Compare relative to each value, and to a twentieth of the tolerance of the largest one."""
    values = np.asarray(values, np.float64)
    largest = max(map(abs, expected))
    # Below 2**-126 some libraries flush float32 to zero.
    np.testing.assert_allclose(
        values, expected, rtol=rtol, atol=max(rtol / 20 * largest, 3e-38), err_msg=repr(schedule)
    )


# Each function returns the values of all of SAMPLE at the steps: one trace and one compilation for all of them.
# What JAX does without compilation is tested with random schedules below.


def by_torch(steps):
    t = library("torch").tensor(steps)
    return [schedule(t).numpy() for schedule in SAMPLE]


def by_torch_vmap(steps):
    torch = library("torch")
    return [torch.vmap(schedule)(torch.tensor(steps)).numpy() for schedule in SAMPLE]


def _jax_steps(steps):
    jnp = library("jax.numpy")
    return jnp.asarray(steps.astype(np.int32) if steps.dtype.kind == "i" else steps)


def by_jax_jit(steps):
    jax = library("jax")
    return [np.asarray(v) for v in jax.jit(lambda t: [schedule(t) for schedule in SAMPLE])(_jax_steps(steps))]


def by_jax_vmap(steps):
    jax = library("jax")
    values = jax.jit(jax.vmap(lambda t: [schedule(t) for schedule in SAMPLE]))(_jax_steps(steps))
    return [np.asarray(v) for v in values]


def by_jax_scan(steps):
    jax = library("jax")

    def body(carry, t):
        return carry, [schedule(t) for schedule in SAMPLE]

    return [np.asarray(v) for v in jax.jit(lambda t: jax.lax.scan(body, 0, t)[1])(_jax_steps(steps))]


def by_tensorflow(steps):
    tf = library("tensorflow")
    return [schedule(tf.constant(steps)).numpy() for schedule in SAMPLE]


def _graph(steps, **options):
    tf = library("tensorflow")
    compiled = tf.function(lambda t: [schedule(t) for schedule in SAMPLE], **options)
    return [v.numpy() for v in compiled(tf.constant(steps))]


def by_tf_unknown_shape(steps):
    tf = library("tensorflow")
    return _graph(steps, input_signature=[tf.TensorSpec(None, tf.as_dtype(steps.dtype))])


def by_tf_xla(steps):
    return _graph(steps, jit_compile=True)


def by_keras_variable(steps):
    keras = library("keras")
    variable = keras.Variable(steps, dtype="int64" if steps.dtype.kind == "i" else str(steps.dtype), trainable=False)
    return [keras.ops.convert_to_numpy(schedule(variable)) for schedule in SAMPLE]


FLOAT32 = {
    "torch": by_torch,
    "torch.vmap": by_torch_vmap,
    "jax.jit": by_jax_jit,
    "jax.vmap": by_jax_vmap,
    "jax.lax.scan": by_jax_scan,
    "tensorflow": by_tensorflow,
    "tf.function, shape unknown": by_tf_unknown_shape,
    "tf.function, XLA": by_tf_xla,
    "keras.Variable": by_keras_variable,
}


# In every run XLA compiles what `test_range` gives it, all nodes in the slow ones.
@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.slow] * ("XLA" in x)) for x in FLOAT32])
def test_integer_steps_give_the_same_float32_values_everywhere(name):
    for schedule, expected, values in zip(SAMPLE, EXPECTED, FLOAT32[name](STEPS), strict=True):
        assert values.dtype == np.float32
        assert values.shape == STEPS.shape
        assert_close(values, expected, 2e-6, schedule)


@pytest.mark.parametrize("name", ["torch", "tensorflow", "keras.Variable"])
def test_float64_steps_give_the_same_float64_values_everywhere(name):
    if name == "keras.Variable" and library("keras").backend.backend() == "jax":
        pytest.skip("the 64-bit mode of JAX is off")
    for schedule, expected, values in zip(SAMPLE, EXPECTED, FLOAT32[name](STEPS.astype(float)), strict=True):
        assert values.dtype == np.float64
        assert_close(values, expected, 1e-12, schedule)


@pytest.mark.parametrize("dtype", [pytest.param(np.int32, marks=pytest.mark.slow), np.int64, np.float64])
def test_jax_computes_in_float64_in_64_bit_mode(dtype):
    jax = library("jax")
    with jax.enable_x64(True):
        found = jax.jit(lambda t: [schedule(t) for schedule in SAMPLE])(jax.numpy.asarray(STEPS.astype(dtype)))
        for schedule, expected, values in zip(SAMPLE, EXPECTED, found, strict=True):
            assert values.dtype == np.float64
            assert_close(values, expected, 1e-12, schedule)


def test_torch_computes_in_float64_if_that_is_its_default():
    torch = library("torch")
    torch.set_default_dtype(torch.float64)
    try:
        for schedule, expected, values in zip(SAMPLE, EXPECTED, by_torch(STEPS), strict=True):
            assert_close(values, expected, 1e-12, schedule)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("schedule", SAMPLE, ids=repr)
def test_numpy_gives_the_scalar_values_in_float64(schedule):
    expected = EXPECTED[SAMPLE.index(schedule)]
    for dtype in (np.int64, np.int32, np.uint64, np.float64):
        values = schedule(STEPS.astype(dtype))
        assert values.dtype == np.float64
        assert_close(values, expected, 1e-12, schedule)


@pytest.mark.parametrize("name", ["numpy", "array_api_strict"])
def test_another_library_is_named_by_its_module(name):
    xp = library(name)
    steps = STEPS[STEPS < 2**24]
    for schedule, expected in zip(SAMPLE, EXPECTED, strict=True):
        values = schedule(xp.asarray(steps), xp=xp)
        assert type(values) is type(xp.asarray(0.5))
        assert_close(np.asarray(values), expected[: len(steps)], 1e-12, schedule)


def on_torch(schedule, steps):
    return schedule(library("torch").tensor(steps)).numpy()


def on_jax(schedule, steps):
    return np.asarray(schedule(_jax_steps(np.asarray(steps))))


def on_tensorflow(schedule, steps):
    return schedule(library("tensorflow").constant(steps)).numpy()


EAGER = {"torch": on_torch, "jax": on_jax, "tensorflow": on_tensorflow}


# PyTorch and TensorFlow round a value of float64 once; JAX counts in int32, and its floats are float32 throughout.
ROUNDING = {"torch": 1.2e-7, "jax": 2e-6, "tensorflow": 1.2e-7}


@pytest.mark.parametrize("name", EAGER)
@given(schedule=schedules())
@settings(max_examples=30)
def test_any_schedule_has_one_value_in_every_library(name, schedule):
    # The int32 of JAX cannot say a step beyond the largest: the cycles of a shifted schedule stay there,
    # and a function of the user may count beyond.
    beyond = name == "jax" and {"Stretch", "Shift", "Batches", "Function"} & nodes_of(schedule)
    far = [2**24 + 1] if beyond else [2**24 + 1, LARGEST]
    steps = np.array([*[t for t in boundary_steps(schedule) if t <= 2**24][:60], *far])
    steps = np.resize(steps, 64)  # one length, so that operations are compiled once
    expected = [schedule(t) for t in steps.tolist()]
    values = EAGER[name](schedule, steps)
    rtol = ROUNDING[name]
    np.testing.assert_allclose(
        values, expected, rtol=rtol, atol=max(rtol * max(expected), 3e-38), err_msg=repr(schedule)
    )


# Kind, shape, dtype and place.

KINDS = {
    "numpy": (lambda steps, dtype: np.asarray(steps, dtype), "float64"),
    "torch": (lambda steps, dtype: library("torch").tensor(steps, dtype=getattr(library("torch"), dtype)), "float32"),
    "jax": (lambda steps, dtype: library("jax.numpy").asarray(np.asarray(steps, dtype)), "float32"),
    "tensorflow": (lambda steps, dtype: library("tensorflow").constant(steps, dtype=dtype), "float32"),
}
# One a way to compute: a ramp, a decay, a chain, cycles of both kinds, another clock, whole epochs, a table.
COSINE, WARMED = ls.Cosine(0.1, 0.0, steps=1000), ls.Warmup(5) >> ls.Cosine(0.1, 0.0, steps=20)
SMALL = (
    COSINE,
    ls.Exponential(0.1, 0.9, steps=10.0),
    WARMED,
    ls.clip(ls.Linear(0.1, 0.0, steps=20), low=0.02, high=0.07),
    ls.Repeat(ls.Linear(0.1, 0.0, steps=6), times=3, scale=0.5),
    ls.Triangular(0.01, 0.1, up=4, down=6),
    ls.Stretch(ls.Warmup(4) >> ls.Cosine(0.1, 0.0, steps=11), factor=2.5),
    ls.Epochs(ls.Exponential(0.1, 0.5), steps_per_epoch=7),
    ls.Batches(ls.Warmup(5) >> ls.Cosine(0.1, 0.0, steps=40), batches_per_update=3),
    ls.Table((0.1, 0.05, 0.2, 0.01)),
)


def dtype_of(x):
    return str(getattr(x.dtype, "name", x.dtype)).rpartition(".")[2]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
@pytest.mark.parametrize("name", KINDS)
def test_every_integer_dtype_counts(name, dtype):
    make, floating = KINDS[name]
    for schedule in SMALL:
        values = schedule(make([0, 1, 7, 100, 127], dtype))
        assert dtype_of(values) == floating
        assert_close(np.asarray(values), [schedule(t) for t in (0, 1, 7, 100, 127)], 2e-6, schedule)


@pytest.mark.parametrize("steps", [7, [], [[]], [[3], [4]], [[[0, 5, 9]]]], ids=repr)
@pytest.mark.parametrize("name", KINDS)
def test_the_shape_and_the_kind_of_the_steps_are_kept(name, steps):
    make, floating = KINDS[name]
    array = make(steps, "int32")
    for schedule in SMALL:
        values = schedule(array)
        assert tuple(values.shape) == np.shape(steps)
        assert dtype_of(values) == floating
        assert type(values) is type(array)


@pytest.mark.parametrize("name", KINDS)
def test_negative_steps_of_an_array_count_as_zero(name):
    make, _ = KINDS[name]
    for dtype in ("int32", "float32"):
        for schedule in SMALL:
            below, at = np.asarray(schedule(make([-5, -1], dtype))), np.asarray(schedule(make([0, 0], dtype)))
            np.testing.assert_array_equal(below, at, err_msg=repr(schedule))


@pytest.mark.parametrize("dtype", ["bool", "complex64"])
@pytest.mark.parametrize("name", KINDS)
def test_steps_that_are_no_numbers_of_steps_are_refused(name, dtype):
    array = KINDS[name][0](np.array([True, False]).astype(dtype), dtype)
    for schedule in SMALL:
        with pytest.raises(TypeError, match="must get an int, a float or an array"):
            schedule(array)


@pytest.mark.parametrize("step", [True, np.True_, "3", b"3", None, 1j, ["1"], {}, object(), np.array(["a"])])
def test_other_things_than_steps_are_refused(step):
    with pytest.raises(TypeError, match="must get an int, a float or an array"):
        COSINE(step)


@pytest.mark.parametrize("step", [-1, -0.5, float("nan"), float("inf"), np.float64("nan"), np.int64(-3)], ids=repr)
def test_a_python_step_that_cannot_be_is_refused(step):
    with pytest.raises(ValueError, match="must get a finite step >= 0"):
        COSINE(step)


def test_half_precision_steps_give_float32_values():
    torch, jnp, tf = library("torch"), library("jax.numpy"), library("tensorflow")
    for schedule in SMALL:
        for array in (
            torch.tensor([3.0], dtype=torch.bfloat16),
            torch.tensor([3.0], dtype=torch.float16),
            jnp.asarray([3.0], jnp.bfloat16),
            tf.constant([3.0], tf.float16),
        ):
            values = schedule(array)
            assert dtype_of(values) == "float32"
            assert_close(np.asarray(values), [schedule(3)], 2e-6, schedule)


def test_values_stay_on_the_device_of_the_steps():
    steps = library("torch").arange(5, device="meta")
    for schedule in SAMPLE:
        assert schedule(steps).device.type == "meta"


def test_numpy_scalars_give_python_floats():
    for step in (np.int32(3), np.uint8(3), np.float32(3), np.float64(3)):
        assert type(COSINE(step)) is float


# Tracing and gradients.


def test_equal_schedules_are_traced_once():
    jax = library("jax")
    traces = []

    @jax.jit(static_argnums=0)
    def value(schedule, t):
        traces.append(schedule)
        return schedule(t)

    for _ in range(3):
        for t in (1, 2):
            value(ls.Warmup(5) >> ls.Cosine(0.1, 0.0, steps=20), t)
    assert len(traces) == 1
    value(ls.Warmup(6) >> ls.Cosine(0.1, 0.0, steps=20), 1)
    assert len(traces) == 2


def test_a_graph_is_traced_once():
    tf = library("tensorflow")
    traces = []

    @tf.function
    def value(t):
        traces.append(1)
        return WARMED(t)

    for t in range(5):
        value(tf.constant(t))
    assert len(traces) == 1


# Where a branch that is not taken would give NaN: the ends, the joints and far beyond.
EDGES = np.array([0.0, 4.0, 5.0, 6.0, 7.0, 9.0, 10.0, 11.5, 12.0, 12.5, 15.0, 20.0, 21.0, 30.0, 40.0, 1000.0, 1e6])


def test_gradients_of_jax_are_never_nan():
    jax = library("jax")
    jnp = library("jax.numpy")
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda t: [schedule(t) for schedule in SAMPLE])))(jnp.asarray(EDGES))
    for schedule, slope in zip(SAMPLE, slopes, strict=True):
        assert not np.isnan(slope).any(), (schedule, EDGES[np.isnan(slope)])


def test_reverse_gradients_of_jax_are_never_nan():
    jax = library("jax")
    jnp = library("jax.numpy")
    slopes = jax.jit(lambda t: [jax.grad(lambda u, s=s: s(u).sum())(t) for s in SAMPLE])(jnp.asarray(EDGES))
    for schedule, slope in zip(SAMPLE, slopes, strict=True):
        assert not np.isnan(slope).any(), (schedule, EDGES[np.isnan(slope)])


def test_gradients_of_torch_are_never_nan():
    torch = library("torch")
    for schedule in SAMPLE:
        t = torch.tensor(EDGES, requires_grad=True)
        values = schedule(t)
        if values.requires_grad:
            (slope,) = torch.autograd.grad(values.sum(), t)
            assert not torch.isnan(slope).any(), (schedule, EDGES[torch.isnan(slope).numpy()])


def test_gradients_of_tensorflow_are_never_nan():
    tf = library("tensorflow")
    for schedule in SAMPLE:
        t = tf.constant(EDGES)
        with tf.GradientTape() as tape:
            tape.watch(t)
            values = schedule(t)
        slope = tape.gradient(values, t, unconnected_gradients="zero").numpy()
        assert not np.isnan(slope).any(), (schedule, EDGES[np.isnan(slope)])


def test_the_slope_of_a_line_is_its_slope():
    jax = library("jax")
    line = ls.Linear(1.0, 0.0, steps=10)
    assert [float(jax.grad(line)(t)) for t in (5.0, 20.0)] == pytest.approx([-0.1, 0.0])


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_a_library_is_loaded_by_the_test_and_not_by_the_schedule(name):
    # The step is recognised by the module of its type, so a look-alike is refused without an import.
    pytest.importorskip(name)
    fake = type("Tensor", (), {"__module__": f"{name}ish.core", "dtype": None, "shape": ()})()
    with pytest.raises(TypeError, match="must get an int, a float or an array"):
        COSINE(fake)
