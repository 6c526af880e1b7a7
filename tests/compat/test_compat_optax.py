"""`compat.optax` gives the values of Optax's own schedules, to float32."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import Constant, Linear, Schedule, Table, compat

optax = pytest.importorskip("optax")
jax = pytest.importorskip("jax")

rates = st.one_of(st.sampled_from([0.0, 0.1, 1.0, 3e-4]), st.floats(1e-6, 10.0))
positive = st.one_of(st.sampled_from([0.1, 1.0, 3e-4]), st.floats(1e-6, 10.0))
counts = st.integers(1, 25)
powers = st.sampled_from([0.0, 1.0]) | st.floats(0.05, 3.0)
begins = st.integers(-3, 20)
factors = st.one_of(st.sampled_from([0.1, 0.5, 1.0, 2.0]), st.floats(0.05, 1.5))
shares = st.one_of(st.sampled_from([0.1, 0.3, 0.5]), st.floats(0.0, 1.0))
staircases = st.dictionaries(st.integers(-5, 40), factors, max_size=5)
decays = {"transition_steps": st.integers(-1, 25), "decay_rate": factors | st.just(0.0)}
decay_options = {"transition_begin": begins, "staircase": st.booleans(), "end_value": st.none() | rates}

ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "constant_schedule": st.fixed_dictionaries({"value": rates}),
    "polynomial_schedule": st.fixed_dictionaries(
        {"init_value": rates, "end_value": rates, "power": powers, "transition_steps": st.integers(-1, 25)},
        optional={"transition_begin": begins},
    ),
    "linear_schedule": st.fixed_dictionaries(
        {"init_value": rates, "end_value": rates, "transition_steps": st.integers(-1, 25)},
        optional={"transition_begin": begins},
    ),
    "piecewise_constant_schedule": st.fixed_dictionaries(
        {"init_value": rates}, optional={"boundaries_and_scales": st.none() | staircases}
    ),
    "exponential_decay": st.fixed_dictionaries({"init_value": rates, **decays}, optional=decay_options),
    "cosine_decay_schedule": st.fixed_dictionaries(
        {"init_value": rates, "decay_steps": counts}, optional={"alpha": st.floats(0.0, 1.0), "exponent": powers}
    ),
    "piecewise_interpolate_schedule": st.fixed_dictionaries(
        {"interpolate_type": st.sampled_from(["linear", "cosine"]), "init_value": rates},
        optional={"boundaries_and_scales": st.none() | staircases},
    ),
    "linear_onecycle_schedule": st.fixed_dictionaries(
        {"transition_steps": counts, "peak_value": positive},
        optional={"pct_start": shares, "pct_final": shares, "div_factor": factors, "final_div_factor": factors},
    ),
    "cosine_onecycle_schedule": st.fixed_dictionaries(
        {"transition_steps": counts, "peak_value": positive},
        optional={"pct_start": shares, "div_factor": factors, "final_div_factor": factors},
    ),
    "warmup_constant_schedule": st.fixed_dictionaries(
        {"init_value": rates, "peak_value": rates, "warmup_steps": st.integers(-1, 25)}
    ),
    "warmup_exponential_decay_schedule": st.fixed_dictionaries(
        {"init_value": rates, "peak_value": rates, "warmup_steps": st.integers(0, 25), **decays}, optional=decay_options
    ),
}


@st.composite
def warmup_cosines(draw: Any) -> dict[str, Any]:
    """The arguments of `warmup_cosine_decay_schedule`."""
    warmup = draw(st.integers(0, 15))
    peak = draw(positive)
    arguments = {
        "init_value": draw(rates),
        "peak_value": peak,
        "warmup_steps": warmup,
        "decay_steps": warmup + draw(st.integers(1, 20)),
        "end_value": peak * draw(st.floats(0.0, 1.0)),
    }
    return arguments | ({"exponent": draw(powers)} if draw(st.booleans()) else {})


ARGUMENTS["warmup_cosine_decay_schedule"] = warmup_cosines()
ARGUMENTS["sgdr_schedule"] = st.fixed_dictionaries(
    {"cosine_kwargs": st.lists(warmup_cosines(), min_size=1, max_size=3)}
)

_STEPS = np.arange(70)


def values(native: Any, steps: Any = _STEPS) -> np.ndarray[Any, Any]:
    """Return the values of an Optax schedule, one step at a time as an optimizer asks for them."""
    return np.asarray(jax.vmap(lambda step: jax.numpy.asarray(native(step), dtype=jax.numpy.float32))(steps))


def agree(schedule: Schedule, native: Any, arguments: dict[str, Any] | None = None) -> None:
    """Check every step; float32 loses what cancels, in units of the largest number that goes in."""
    expected = values(native)
    top = max([float(np.max(expected)), *(v for k, v in (arguments or {}).items() if k.endswith("_value") and v)])
    np.testing.assert_allclose(schedule(_STEPS), expected, rtol=2e-6, atol=3e-7 * top + 1e-37)


@pytest.mark.parametrize("name", [*ARGUMENTS, "join_schedules"])
def test_arguments_and_defaults_are_those_of_optax(name: str):
    def signature(function: Any) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(function).parameters.values()}

    assert signature(getattr(compat.optax, name)) == signature(getattr(optax, name))


def test_every_schedule_of_optax_has_its_function():
    makers = {name for name in vars(optax.schedules) if name.endswith(("_schedule", "_schedules", "_decay"))}
    assert {name for name in makers if name in vars(optax)} <= set(compat.optax.__all__)


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data())
@settings(max_examples=20)
def test_a_schedule_gives_the_values_of_optax(name: str, data: st.DataObject):
    arguments = data.draw(ARGUMENTS[name])
    agree(getattr(compat.optax, name)(**arguments), getattr(optax, name)(**arguments), arguments)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("points", [{-5: 2.0, 10: 0.1}, {0: 2.0, 10: 0.1}, {-9: 3.0, -5: 2.0, 10: 0.1}, {-5: 2.0}])
def test_points_before_the_first_step_give_the_values_of_optax(kind: str, points: dict[int, float]):
    ours = compat.optax.piecewise_interpolate_schedule(kind, 1.0, points)
    agree(ours, optax.piecewise_interpolate_schedule(kind, 1.0, points))


def test_a_peak_of_zero_stays_zero():
    arguments = {"init_value": 1.0, "peak_value": 0.0, "warmup_steps": 3, "decay_steps": 9, "end_value": 0.5}
    agree(compat.optax.warmup_cosine_decay_schedule(**arguments), optax.warmup_cosine_decay_schedule(**arguments))


@given(start=positive, alpha=st.floats(1.0, 5.0), steps=counts)
def test_a_cosine_may_rise(start: float, alpha: float, steps: int):
    ours = compat.optax.cosine_decay_schedule(start, steps, alpha)
    agree(ours, optax.cosine_decay_schedule(start, steps, alpha))


@given(data=st.data(), boundaries=st.lists(st.integers(-5, 50), max_size=4))
def test_joined_schedules_give_the_values_of_optax(data: st.DataObject, boundaries: list[int]):
    names = data.draw(st.lists(st.sampled_from(["linear_schedule", "exponential_decay"]), min_size=1, max_size=5))
    given_ = [(name, data.draw(ARGUMENTS[name])) for name in names]
    ours = compat.optax.join_schedules([getattr(compat.optax, n)(**a) for n, a in given_], boundaries)
    every = {f"{i} {k}": v for i, (_, arguments) in enumerate(given_) for k, v in arguments.items()}
    agree(ours, optax.join_schedules([getattr(optax, n)(**a) for n, a in given_], boundaries), every)


def test_a_join_hands_over_at_its_boundary():
    joined = compat.optax.join_schedules([Constant(1.0), Constant(0.5)], [10])
    assert [joined(9), joined(10)] == [1.0, 0.5]


REJECTED = [
    ("cosine_decay_schedule", {"init_value": 0.1, "decay_steps": 0}),
    ("piecewise_constant_schedule", {"init_value": 0.1, "boundaries_and_scales": {3: -0.1}}),
    ("piecewise_interpolate_schedule", {"interpolate_type": "square", "init_value": 0.1}),
    (
        "piecewise_interpolate_schedule",
        {"interpolate_type": "linear", "init_value": 1.0, "boundaries_and_scales": {3: -1}},
    ),
    ("linear_onecycle_schedule", {"transition_steps": 0, "peak_value": 0.1}),
    ("cosine_onecycle_schedule", {"transition_steps": 0, "peak_value": 0.1}),
    (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 10},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), REJECTED)
def test_what_optax_rejects_is_rejected(name: str, arguments: dict[str, Any]):
    with pytest.raises(ValueError, match=rf"^{name}\(\w+=...\)(\[3\])? must be "):
        getattr(compat.optax, name)(**arguments)
    with pytest.raises(ValueError, match=r"."):
        getattr(optax, name)(**arguments)


def test_an_empty_list_of_cosines_is_refused():
    with pytest.raises(ValueError, match=r"sgdr_schedule\(cosine_kwargs=...\) must be at least one"):
        compat.optax.sgdr_schedule([])


def test_a_rise_to_a_power_is_refused():
    with pytest.raises(ValueError, match=r"cosine_decay_schedule\(alpha=...\) must be no rise"):
        compat.optax.cosine_decay_schedule(0.1, 10, alpha=2.0, exponent=2.0)


# Live functions as schedules.

from_optax = pytest.importorskip("lrsched_optax._import").from_optax


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data())
@settings(max_examples=10)
def test_a_live_function_is_the_schedule_of_its_arguments(name: str, data: st.DataObject):
    arguments = data.draw(ARGUMENTS[name])
    found = from_optax(getattr(optax, name)(**arguments), steps=20)
    assert found.schedule == getattr(compat.optax, name)(**arguments)
    assert not found.sampled


def test_a_function_that_was_called_before_is_recognised():
    native = optax.cosine_decay_schedule(0.1, 100)
    native(3)
    assert from_optax(native, 10).schedule == compat.optax.cosine_decay_schedule(0.1, 100)


def test_joined_functions_are_recognised():
    native = optax.join_schedules(
        [optax.linear_schedule(0.0, 1.0, 5), Constant(0.5), optax.constant_schedule(0.1)], [5, 9]
    )
    assert from_optax(native, 20).schedule == Linear(0.0, 1.0, 5) >> Constant(0.5, steps=4) >> Constant(0.1)


@pytest.mark.parametrize("fn", [Linear(1.0, 0.0, 10), 0.5, 1])
def test_a_schedule_or_a_number_stays_what_it_is(fn: Any):
    found = from_optax(fn, 10)
    assert found.schedule == (fn if isinstance(fn, Schedule) else Constant(fn))
    assert not found.sampled


def test_another_function_becomes_a_table_that_says_so():
    found = from_optax(lambda count: 0.5**count, steps=4)
    assert found == (Table((1.0, 0.5, 0.25, 0.125)), True, 0.0)


def test_a_join_with_another_function_becomes_a_table():
    found = from_optax(optax.join_schedules([lambda count: 0.5, optax.constant_schedule(0.25)], [2]), steps=4)
    assert found.sampled
    assert found.schedule == Table((0.5, 0.5, 0.25, 0.25))


def test_a_function_that_only_looks_like_one_of_optax_is_noticed():
    native = optax.linear_schedule(1.0, 0.0, 10)

    def schedule(count: Any) -> Any:
        return 2 * native(count) + 0 * (init_value + end_value + power + transition_steps + transition_begin)

    init_value, end_value, power, transition_steps, transition_begin = 1.0, 0.0, 1, 10, 0
    schedule.__qualname__, schedule.__module__ = native.__qualname__, native.__module__
    found = from_optax(schedule, 3)
    assert found.sampled
    assert found.schedule(0) == 2.0


def test_values_that_are_no_rates_are_refused():
    with pytest.raises(ValueError, match=r"must give finite values >= 0, got -1.0 at step 1"):
        from_optax(lambda count: 0.0 - count, steps=3)


@pytest.mark.parametrize(("steps", "kind"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)])
def test_a_number_of_steps_that_is_none_is_refused(steps: Any, kind: type[Exception]):
    with pytest.raises(kind, match=r"from_optax\(steps=...\) must be an int >= 1"):
        from_optax(optax.constant_schedule(0.1), steps)


@pytest.mark.parametrize("fn", [None, "cosine"])
def test_what_is_no_function_is_refused(fn: Any):
    with pytest.raises(TypeError, match=r"from_optax\(fn=...\) must be a function"):
        from_optax(fn, 3)
