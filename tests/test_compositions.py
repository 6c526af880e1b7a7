"""Schedules inside schedules: one value at every time in every library, at the fractions of steps too."""

import numpy as np
import pytest

import lrsched as ls

NAMED = (
    ls.Stretch(ls.Repeat(ls.Cosine(1.0, 0.0, steps=3), times=2), factor=100),
    ls.Warmup(1000) >> ls.Stretch(ls.Repeat(ls.Cosine(3e-4, 0.0, steps=1), times=3), factor=1000),
    ls.Shift(ls.Repeat(ls.Cosine(1.0, 0.0, steps=3), times=2), steps=0.5),
    ls.Stretch(ls.Repeat(ls.Repeat(ls.Linear(1.0, 0.0, steps=3), times=2), times=2), factor=7),
    ls.Stretch(ls.Reverse(ls.Hold(ls.RectifiedWarmup(), steps=10)), factor=2.5),
    ls.Hold(ls.Linear(1.0, 0.0, steps=10), steps=5),
)


def by_torch(schedule, steps):
    return schedule(pytest.importorskip("torch").tensor(steps)).numpy()


def by_jax(schedule, steps):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return np.asarray(schedule(jax.numpy.asarray(steps)))


def by_tensorflow(schedule, steps):
    return schedule(pytest.importorskip("tensorflow").constant(steps)).numpy()


LIBRARIES = {"torch": by_torch, "jax": by_jax, "tensorflow": by_tensorflow}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("schedule", NAMED, ids=repr)
def test_the_time_between_two_steps_of_an_inner_clock_counts(schedule, library):
    whole = np.arange(5000) if schedule.length > 100 else np.arange(50)
    for steps, tolerance in ((whole, 2e-6), (whole / 4.0, 1e-12)):
        wanted = [schedule(t) for t in steps.tolist()]
        np.testing.assert_allclose(
            LIBRARIES[library](schedule, steps), wanted, rtol=tolerance, atol=tolerance * max(wanted)
        )


def test_the_slope_of_a_held_line_is_its_slope_until_the_end():
    torch = pytest.importorskip("torch")
    steps = torch.tensor([4.5, 4.75, 5.0, 6.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(NAMED[-1](steps).sum(), steps)
    assert slope.tolist() == pytest.approx([-0.1, -0.1, 0.0, 0.0])
