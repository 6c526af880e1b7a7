"""Every schedule of torch, Keras, Optax and transformers goes through this library into the code of all four."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import Cosine, Linear, Schedule, compat, to_source
from tests.adapter_torch.test_torch_import import composites, sgd, take
from tests.compat import test_compat_keras, test_compat_optax, test_compat_torch, test_compat_transformers
from tests.translate.test_source import agree, jax_values, keras_values, run, torch_rates

ARGUMENTS = {
    "keras": test_compat_keras.ARGUMENTS,
    "optax": test_compat_optax.ARGUMENTS,
    "torch": test_compat_torch.ARGUMENTS,
    "transformers": test_compat_transformers.ARGUMENTS,
}
# Where the rate lives in the optimizer, compat takes it first.
RATE = {"torch", "transformers"}
STEPS = range(0, 60, 3)


def drawn(data: Any, library: str) -> Schedule:
    """Return any schedule of a library, with any arguments that its tests give it."""
    strategies = ARGUMENTS[library]
    name = data.draw(st.sampled_from(sorted(strategies)))
    lr = [data.draw(st.sampled_from([0.1, 3e-4]))] if library in RATE else []
    return getattr(getattr(compat, library), name)(*lr, **data.draw(strategies[name]))


@pytest.mark.parametrize("target", ["torch", "transformers"])
@pytest.mark.parametrize("library", ARGUMENTS)
@given(data=st.data())
@settings(max_examples=25)
def test_any_schedule_of_a_library_becomes_a_scheduler_of_torch(library: str, target: str, data: Any):
    pytest.importorskip(target)
    schedule = drawn(data, library)
    agree(torch_rates(to_source(schedule, target), 60), schedule, range(60))


@pytest.mark.parametrize("library", ARGUMENTS)
@given(data=st.data())
@settings(max_examples=15)
def test_any_schedule_of_a_library_becomes_one_of_optax(library: str, data: Any):
    pytest.importorskip("optax")
    schedule = drawn(data, library)
    agree(jax_values(to_source(schedule, "optax"), STEPS), schedule, STEPS)


@pytest.mark.parametrize("library", ARGUMENTS)
@given(data=st.data())
@settings(max_examples=15)
def test_any_schedule_of_a_library_becomes_one_of_keras(library: str, data: Any):
    keras = pytest.importorskip("keras")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        schedule = drawn(data, library)
        # The schedules of Keras compute in float32 all the same.
        agree(keras_values(keras, to_source(schedule, "keras"), STEPS), schedule, STEPS, rtol=2e-6)
    finally:
        keras.config.set_floatx(before)


@given(build=composites(depth=1), taken=st.integers(0, 20))
@settings(max_examples=15)
def test_torch_schedulers_of_any_kind_go_into_optax_and_back(build: Any, taken: int):
    from_torch = pytest.importorskip("lrsched_torch").from_torch
    from_optax = pytest.importorskip("lrsched_optax").from_optax
    optimizer = sgd(0.1)
    scheduler = build(optimizer)
    seen = take(optimizer, scheduler, taken)
    (schedule,) = from_torch(scheduler)
    seen += take(optimizer, scheduler, 60 - taken)
    code = to_source(schedule, "optax")
    rates = [rate for (rate,) in seen]
    np.testing.assert_allclose(jax_values(code, range(60)), rates, rtol=1e-9, atol=1e-10 * max(rates))
    back = from_optax(run(code)["schedule"], 60)
    np.testing.assert_allclose(back.schedule(np.arange(60)), rates, rtol=1e-5, atol=1e-6 * max(rates))


@given(data=st.data())
@settings(max_examples=25)
def test_what_the_code_for_torch_builds_is_imported_again(data: Any):
    from_torch = pytest.importorskip("lrsched_torch").from_torch
    schedule = drawn(data, data.draw(st.sampled_from(sorted(ARGUMENTS))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        names = run(to_source(schedule, data.draw(st.sampled_from(["torch", "transformers"]))))
    (found,) = from_torch(names["scheduler"])
    agree(found(np.arange(60)), schedule, range(60))


def test_a_start_next_to_zero_becomes_a_function():
    schedule = Linear(2.2e-314, 0.1, steps=2) >> Cosine(0.1, 0.01, steps=3)
    for target in ("torch", "transformers"):
        source = to_source(schedule, target)
        assert "LinearLR" not in source
        agree(torch_rates(source, 8), schedule, range(8))
