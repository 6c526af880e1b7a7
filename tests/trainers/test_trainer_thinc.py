"""compat.thinc gives the rates that Thinc's optimizer uses in a training loop."""

import numpy as np
import pytest
from harness import UPDATES, agree, real

from lrsched import compat

api = real("thinc.api", "thinc")
schedules = real("thinc.schedules", "thinc")


def train(rate, n=1):
    """Return the rates of the updates of n batches in the loop of Thinc's documentation."""
    model = api.Linear(nO=1, nI=2)
    optimizer = api.SGD(rate, L2=0.0, grad_clip=0.0)
    model.initialize(X=np.ones((1, 2), "f"), Y=np.ones((1, 1), "f"))
    used = []
    for _ in range(UPDATES):
        # From 0 the gradient 1 moves a weight by the rate.
        model.set_param("W", np.zeros((1, 2), "f"))
        for _ in range(n):
            _, backward = model.begin_update(np.full((1, 2), 1 / n, "f"))
            backward(np.ones((1, 1), "f"))
        model.finish_update(optimizer)
        optimizer.step_schedules()
        used.append(float(-model.get_param("W")[0, 0]))
    return used


# Arguments that change something within 12 updates.
CALLS = {
    "compounding": {"start": 0.01, "stop": 0.1, "compound": 1.3},
    "constant_then": {"rate": 0.1, "steps": 3, "schedule": ("decaying", {"base_rate": 0.1, "decay": 0.1})},
    "cyclic_triangular": {"min_lr": 0.01, "max_lr": 0.1, "period": 3},
    "decaying": {"base_rate": 0.1, "decay": 0.1},
    "slanted_triangular": {"max_rate": 0.1, "num_steps": 12, "cut_frac": 0.25},
    "warmup_linear": {"initial_rate": 0.1, "warmup_steps": 4, "total_steps": 20},
}


def made(module, name):
    call = {k: getattr(module, v[0])(**v[1]) if isinstance(v, tuple) else v for k, v in CALLS[name].items()}
    return getattr(module, name)(**call)


def test_every_schedule_of_thinc_is_trained_with():
    assert {*CALLS, "constant"} == set(compat.thinc.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_thinc(name):
    agree("thinc", made(compat.thinc, name), train(made(schedules, name)), rtol=1e-6)


def test_with_accumulated_gradients_it_counts_updates():
    agree("thinc", made(compat.thinc, "warmup_linear"), train(made(schedules, "warmup_linear"), 3), rtol=1e-6)
