"""`from_torch` reads every number that torch takes for the time of a scheduler, and leaves rates in tensors alone."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import compat

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
from_torch = pytest.importorskip("lrsched_torch").from_torch

STEPS = 50


def times(low: int, high: int) -> Any:
    """Numbers of steps as people compute them: 8, 0.8 * 10, 0.75 * 10."""
    return st.integers(low, high) | st.integers(low, high).map(float) | st.integers(low, high).map(lambda n: n + 0.5)


def one_of(*values: float) -> Any:
    return st.sampled_from(values)


SCHEDULERS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": times(1, 9), "gamma": one_of(0.0, 0.1, 1.0, 1.1)},
    "MultiStepLR": {"milestones": st.lists(times(0, 30), max_size=4), "gamma": one_of(0.0, 0.1, 0.5)},
    "ConstantLR": {"factor": one_of(0.0, 0.5, 1.0), "total_iters": times(0, 9)},
    "LinearLR": {"start_factor": one_of(0.1, 1.0), "end_factor": one_of(0.0, 0.5, 1.0), "total_iters": times(0, 9)},
    "ExponentialLR": {"gamma": one_of(0.0, 0.5, 1.02)},
    "PolynomialLR": {"total_iters": times(0, 20), "power": one_of(0.0, 0.5, 1.0, 3.3)},
    "CosineAnnealingLR": {"T_max": times(1, 30), "eta_min": one_of(0, 1e-3, 0.3)},
    "CosineAnnealingWarmRestarts": {"T_0": st.integers(1, 9), "T_mult": st.integers(1, 3), "eta_min": one_of(0.0, 0.3)},
    "CyclicLR": {
        "base_lr": one_of(0.1, 0.0),
        "max_lr": one_of(0.05, 0.5),
        "step_size_up": times(1, 9),
        "step_size_down": st.none() | times(0, 9),
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
        "gamma": one_of(0.9, 0.99, 1.0),
    },
}


def sgd(lr: Any) -> Any:
    return torch.optim.SGD([torch.zeros(1)], lr=lr, momentum=0.9)


def take(optimizer: Any, scheduler: Any, steps: int) -> list[float]:
    """Return the rates of some updates, or as far as torch goes: dividing by a factor of 0 stops it."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append(float(optimizer.param_groups[0]["lr"]))
            try:
                scheduler.step()
            except ZeroDivisionError:
                break
    return seen


@pytest.mark.parametrize("name", SCHEDULERS)
@settings(max_examples=25)
@given(data=st.data(), lr=st.sampled_from([0.1, 1, 0.0]), taken=st.sampled_from([0, 0, 3]))
def test_a_time_may_be_any_number(name: str, data: st.DataObject, lr: float, taken: int):
    arguments = data.draw(st.fixed_dictionaries(SCHEDULERS[name]))
    optimizer = sgd(lr)
    scheduler = getattr(lr_scheduler, name)(optimizer, **arguments)
    seen = take(optimizer, scheduler, taken)
    (schedule,) = from_torch(scheduler, momentum=False)
    seen += take(optimizer, scheduler, STEPS) if len(seen) == taken else []
    # Torch multiplies step by step: its rounding grows next to the zero of a cosine.
    np.testing.assert_allclose(schedule(np.arange(len(seen))), seen, rtol=1e-9, atol=1e-11 * max(seen))


def test_a_whole_time_is_that_of_an_int():
    for time in (8, 8.0, 0.8 * 10):
        assert from_torch(lr_scheduler.CosineAnnealingLR(sgd(0.1), time)) == [compat.torch.CosineAnnealingLR(0.1, 8)]
    assert from_torch(lr_scheduler.MultiStepLR(sgd(0.1), [3.0, 4.5])) == [compat.torch.MultiStepLR(0.1, [3])]


def test_a_size_that_is_no_fraction_is_refused():
    with pytest.raises(ValueError, match=r"a CyclicLR whose step_size_up and step_size_down are fractions"):
        from_torch(lr_scheduler.CyclicLR(sgd(0.1), 0.1, 0.5, 3.14159265), momentum=False)


@pytest.mark.parametrize("handled", [False, True], ids=["torch", "ignite"])
def test_a_rate_in_a_tensor_is_not_touched(handled: bool):
    rate = torch.tensor(0.5, dtype=torch.float64)
    scheduler: Any = lr_scheduler.StepLR(sgd(rate), 2, 0.1)
    if handled:
        scheduler = pytest.importorskip("ignite.handlers.param_scheduler").LRScheduler(scheduler)
    from_torch(scheduler)
    assert rate.item() == 0.5
