"""The largest, the smallest and the longest: refused when built, or the same value in every library without a word."""

import math
import re
import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from samples import BOUNDED, ENDLESS, NODES, RAMPS, Arguments
from strategies import SHAPES

import lrsched as ls
from lrsched import parse
from lrsched._spaces.compile import compiled

WILD = [0.0, 5e-324, 1e-310, 1e-300, 1e-30, 1e-5, 0.5, 1.0, 2.0, 10.0, 1e30, 1e39, 1e300, 1.7e308]
numbers = st.sampled_from(WILD) | st.floats(0.0, 100.0)
positive = st.sampled_from(WILD[1:])
scales = st.sampled_from([1e-9, 1e-5, 0.5, 1.0, 100.0, 1e15, 1e300])
lengths = st.sampled_from([1, 2, 3, 1000, 2**24 + 1, 2**31, 2**52, 2**53])
rates = st.sampled_from([1e-300, 1e-5, 0.5, 0.999, 1.0, 1.1, 10.0, 1e300])
powers = st.sampled_from([1e-300, 0.1, 0.5, 1.0, 1.7, 2.0, 3.0, 100.0, 1e300])
bases = st.sampled_from([1e-30, 1e-5, 0.5, 2.0, 1e5, 1e30])
ratios = st.sampled_from([1e-6, 1 / 3, 0.5, 1.0, 1.001, 1.5, 2.0, 10.0, 1e6])

EXTENDED = (ls.Linear, ls.Cosine, ls.Monomial, ls.Geometric, ls.NormalizedExponential)
# The arguments that the lines of `samples` ask for.
ARGUMENTS = {
    "rate": numbers,
    "ends": st.tuples(numbers, numbers),
    "positive_ends": st.tuples(positive, positive),
    "length": lengths,
    "maybe_length": st.none() | lengths,
    "more": st.sampled_from([0, 1000, 2**52]),
    "power": powers,
    "exponent": st.sampled_from([-10.0, -0.5, 0.0, 0.5, 100.0]),
    "base": bases,
    "factor": rates,
    "slope": numbers,
    "scale": scales,
    "beta": st.sampled_from([0.61, 0.999, 1.0 - 1e-16]),
    "lower": st.sampled_from([-300.0, -7.0]),
    "upper": st.sampled_from([3.0, 300.0]),
    "rates": st.lists(numbers, min_size=1, max_size=4).map(tuple),
    "ramp": st.deferred(lambda: one_of(RAMPS)),
    "growing": st.deferred(lambda: one_of([curve for curve in RAMPS if curve.kind in EXTENDED])),
}


@st.composite
def built(draw, curves):
    """Return a function that returns one of some curves, or raises the error with which it was refused."""
    try:
        schedule = draw(st.sampled_from(curves)).build(Arguments(lambda kind: draw(ARGUMENTS[kind])))
    except ValueError as error:
        return partial(raised, error)
    return lambda: schedule


def raised(error):
    raise error


def one_of(curves):
    """Return those of some curves that are not refused."""
    return built(curves).filter(lambda make: not isinstance(make, partial)).map(lambda make: make())


@st.composite
def recipes(draw, depth=3):
    """Return a function that builds a schedule of extreme numbers, or raises."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(built([*RAMPS, *BOUNDED, *ENDLESS]))
    a, b = draw(recipes(depth - 1)), draw(recipes(depth - 1))
    n, shift, ratio, number = draw(lengths), draw(st.sampled_from([0, 1, 2**31, 2**53])), draw(ratios), draw(numbers)
    times, scale, shape = (
        draw(st.sampled_from([None, 1, 3, 100000, 2**53])),
        draw(ratios),
        draw(st.sampled_from(SHAPES)),
    )
    inside = {"inner": a, "other": b}
    drawn = {"count": n, "skip": shift, "stretch": ratio, "root": number}
    around = Arguments(lambda kind: inside[kind]() if kind in inside else drawn[kind])
    return draw(
        st.sampled_from(
            [
                *(partial(node.build, around) for node in NODES),
                lambda: a() >> b(),
                lambda: ls.Hold(a(), n) >> b(),
                lambda: ls.Warmup(n, number, shape) >> a(),
                lambda: ls.Hold(a(), n) >> ls.Cooldown(n, number, shape),
                lambda: a() * number + number,
                lambda: a() ** b(),
                lambda: number ** a(),
                lambda: ls.Maximum((a(), b(), number)),
                lambda: ls.Hold(a(), n),
                lambda: ls.Reverse(ls.Hold(a(), n)),
                lambda: ls.Repeat(ls.Hold(a(), n), times, ratio, scale),
                lambda: ls.Repeat(ls.Hold(a(), n), times, 1.0, scale),
            ]
        )
    )


@st.composite
def extreme(draw):
    """Return a schedule of extreme numbers; one that is refused gives its error."""
    recipe = draw(recipes())
    try:
        return recipe()
    except ValueError as error:
        return str(error)


STEPS = [0, 1, 2, 3, 999, 1000, 2**24, 2**24 + 1, 2**31 - 1, 2**31, 2**52, 2**53 - 1, 2**53]


def agrees(found, want):
    with np.errstate(all="ignore"):
        size = np.abs(want)
        near = np.abs(found - want) <= 1e-9 * size + 1e-300
    return near | (found == want)


@given(extreme())
@example(ls.Shift(ls.Extend(ls.Linear(0.0, 1.0, steps=3)), steps=1))  # 2**53 + 1 is no float
def test_a_schedule_of_extreme_numbers_is_refused_or_the_same_everywhere(schedule):
    if isinstance(schedule, str):
        assert re.search(r"\(.*=\.\.\.\).* must .*, got|only the last schedule of a chain may be unbounded", schedule)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        want = np.array([schedule(t) for t in STEPS])
        assert not np.isnan(want).any(), (schedule, want)
        if "Function(" not in repr(schedule):  # nobody knows the bounds of one
            low, high = schedule._reach(2.0**53)
            assert low - 1e-9 * abs(low) <= want.min()
            assert want.max() <= high + 1e-9 * abs(high)
        number = compiled(schedule._at)
        assert [number(t) for t in STEPS] == want.tolist()
        np.testing.assert_array_equal(agrees(schedule(np.array(STEPS)), want), True, err_msg=repr(schedule))
    if schedule.length is not None:
        assert schedule.length <= 2**53
        assert np.isfinite(want).all()


REFUSED = [
    ("Hold(Constant(1e300)**2, steps=1)", r"Power\(base=...\) must keep every value finite, got Constant\(1e\+300\)"),
    ("Constant(1e200) * Constant(1e200)", r"Product\(parts=...\) must keep every value finite, got \(Constant"),
    ("Constant(1e308) + Linear(1e308, 0, steps=5)", r"Sum\(parts=...\) must keep every value finite, got \(Constant"),
    ("Hold(Exponential(1, 1.1), steps=10000)", r"Hold\(steps=...\) must keep every value finite, got 10000"),
    (
        "Repeat(Linear(1, 0, steps=1), times=100000, scale=10)",
        r"Repeat\(scale=...\) must keep every value finite, got 10",
    ),
    ("Linear(1, 0, steps=2**53) >> Constant(1, steps=1)", r"Chain\(parts=...\) must end within 2\*\*53 steps"),
    ("Stretch(Linear(1, 0, steps=2**50), factor=10)", r"Stretch\(factor=...\) must end within 2\*\*53 steps, got 10.0"),
    ("Epochs(Linear(1, 0, steps=2**50), 10)", r"Epochs\(steps_per_epoch=...\) must end within 2\*\*53 steps, got 10"),
    ("Repeat(Linear(1, 0, steps=2**50), times=10)", r"Repeat\(times=...\) must end within 2\*\*53 steps, got 10"),
    ("Epochs(Epochs(Linear(1, 0, steps=2**20), 2**20), 2**20)", r"Epochs\(steps_per_epoch=...\) must end within"),
    (
        "Extend(NormalizedExponential(1, 0, 1, 2.0)) + Exponential(1, 2.0)",
        r"Sum\(parts=...\) must not both grow and fall",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_cannot_be_finite_or_counted_is_refused_when_built(text, message):
    text = re.sub(r"2\*\*(\d+)", lambda power: str(2 ** int(power[1])), text)
    with pytest.raises(ValueError, match=message):
        parse(text)


UNBOUNDED = [
    (ls.Exponential(1.0, 1.1), 10_000, math.inf),
    (ls.PowerLaw(1e300, -10.0), 10_000, math.inf),
    (ls.Repeat(ls.Linear(1.0, 0.0, steps=1), scale=10.0), 400, math.inf),
    (ls.Extend(ls.NormalizedExponential(1.0, 1e-5, steps=1, rate=2.0)), 1100, -math.inf),
    (ls.Extend(ls.Monomial(0.0, 1.0, steps=1, power=100.0)), 10_000, math.inf),
    (ls.Extend(ls.Geometric(1.0, 10.0, steps=1)), 1000, math.inf),
    (0.0 * ls.Exponential(1.0, 1.1), 10_000, 0.0),
    (ls.Exponential(0.0, 1.1), 10_000, 0.0),
    (ls.Exponential(1.0, 1.1) * ls.Exponential(1.0, 0.5), 10_000, 0.0),
    (ls.Exponential(1.0, 1.1) ** 0.0, 10_000, 1.0),
    (2.0 ** ls.Extend(ls.Linear(0.0, 1.0, steps=1)), 10_000, math.inf),
    (0.0 ** ls.Extend(ls.Linear(1.0, 0.0, steps=1)), 10_000, math.inf),
    (ls.Extend(ls.Linear(1.0, 0.0, steps=1)) ** 0.5, 10_000, 0.0),
    (ls.Minimum((0.1, ls.Exponential(1.0, 1.1))), 10_000, 0.1),
    (ls.Maximum((0.1, ls.Extend(ls.NormalizedExponential(1.0, 0.0, steps=1, rate=2.0)))), 1100, 0.1),
    (ls.Repeat(ls.Constant(0.0, steps=1), times=100_000, scale=10.0), 99_999, 0.0),
    (ls.Exponential(1e300, 0.5), 1500, 1e300 * 2.0**-750 * 2.0**-750),
]


def on_every_library(schedule, step):
    """Yield the values at a step: of numbers, compiled, of arrays, tensors and traces."""
    torch, jax, tf = (pytest.importorskip(name) for name in ("torch", "jax", "tensorflow"))
    yield "scalar", schedule(step)
    yield "float", schedule(float(step))
    yield "compiled", compiled(schedule._at)(step)
    yield "numpy", schedule(np.array([step]))[0]
    yield "numpy float", schedule(np.array([float(step)]))[0]
    yield "torch", schedule(torch.tensor(step)).item()
    yield "torch float", schedule(torch.tensor(float(step))).item()
    yield "jax", float(schedule(jax.numpy.asarray(step)))
    yield "jax.jit", float(jax.jit(schedule)(step))
    yield "jax.jit float", float(jax.jit(schedule)(float(step)))
    yield "tensorflow", float(schedule(tf.constant(step)))
    yield "tf.function", float(tf.function(schedule)(tf.constant(step)))
    yield "tf.function float", float(tf.function(schedule)(tf.constant(float(step))))


@pytest.mark.parametrize(("schedule", "step", "want"), UNBOUNDED, ids=repr)
def test_growth_without_bound_is_inf_in_every_library_without_a_warning(schedule, step, want):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dict(on_every_library(schedule, step))
    assert found == pytest.approx(dict.fromkeys(found, want), rel=2e-6, abs=1e-37)


SOME = (
    ls.Constant(0.1),
    ls.Constant(0.1, steps=5) >> ls.Constant(0.2),
    ls.Linear(1.0, 0.0, steps=5),
    ls.Exponential(1.0, 0.5),
    ls.Table((0.1, 0.2, 0.3)),
    ls.Repeat(ls.Linear(1.0, 0.0, steps=5)),
    ls.Repeat(ls.Linear(1.0, 0.0, steps=5), stretch=1.5),
    ls.Triangular(0.0, 1.0, up=3),
    ls.Epochs(ls.Table((0.1, 0.2, 0.3)), 2),
    ls.Shift(ls.Cosine(1.0, 0.0, steps=5), 1.5),
    ls.Extend(ls.Cosine(1.0, 0.0, steps=5)),
    ls.Reverse(ls.Cosine(1.0, 0.0, steps=5)),
    ls.Minimum((0.1, ls.Linear(1.0, 0.0, steps=5))),
    ls.Maximum((0.1, ls.Linear(1.0, 0.0, steps=5))),
    ls.Hold(ls.PowerLaw(1.0), steps=5),
)


@pytest.mark.parametrize("schedule", SOME, ids=repr)
def test_a_step_that_is_no_number_is_refused_by_numbers_and_numpy_and_gives_nan_elsewhere(schedule):
    torch, jax, tf = (pytest.importorskip(name) for name in ("torch", "jax", "tensorflow"))
    refused = [math.nan, math.inf, -math.inf]
    for step in refused:
        for number in (step, np.float64(step), np.float32(step)):
            with pytest.raises(ValueError, match=r"schedule\(step\) must get a finite step >= 0"):
                schedule(number)
        for dtype in (np.float32, np.float64):
            with pytest.raises(ValueError, match=r"schedule\(steps\) must get finite steps, got -?(nan|inf)"):
                schedule(np.array([3.0, step], dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = [3.0, *refused]
        found = {
            "torch": schedule(torch.tensor(mixed)),
            "torch float64": schedule(torch.tensor(mixed, dtype=torch.float64)),
            "jax": schedule(jax.numpy.array(mixed)),
            "jax.jit": jax.jit(schedule)(jax.numpy.array(mixed)),
            "tensorflow": schedule(tf.constant(mixed)),
            "tf.function": tf.function(schedule)(tf.constant(mixed)),
            "tf.function, XLA": tf.function(schedule, jit_compile=True)(tf.constant(mixed)),
            "named": schedule(np.array(mixed), xp=np),
        }
    for name, values in found.items():
        first, *others = np.asarray(values).tolist()
        assert first == pytest.approx(schedule(3.0), rel=1e-6), name
        assert np.isnan(others).all(), name


def test_an_integer_step_that_no_float_holds_is_refused():
    for schedule in SOME:
        with pytest.raises(ValueError, match=r"schedule\(step\) must get a finite step >= 0"):
            schedule(10**400)


def test_literals_that_are_not_finite_are_known_to_compiled_code():
    for value in (math.inf, -math.inf, math.nan):
        found = compiled(lambda t, space, value=value: space.where(t < 1, t, value))(2)
        assert found == pytest.approx(value, nan_ok=True)
