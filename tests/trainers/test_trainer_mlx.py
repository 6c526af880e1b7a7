"""compat.mlx gives the rates that MLX's optimizers use in a training loop."""

import pytest
from harness import UPDATES, agree, real

from lrsched import compat

mx = real("mlx.core", "mlx")
nn = real("mlx.nn", "mlx")
optimizers = real("mlx.optimizers", "mlx")
FLOAT32 = 1e-6


def train(rate, n=1):
    """Return the rates of the updates of n batches in the loop of MLX's documentation."""
    model = nn.Linear(1, 1, bias=False)
    optimizer = optimizers.SGD(rate)
    used = []
    for _ in range(UPDATES):
        # From 0 the gradient 1 moves the weight by the rate.
        model.update({"weight": mx.zeros((1, 1))})
        gradient = mx.zeros((1, 1))
        for _ in range(n):
            _, found = nn.value_and_grad(model, lambda x: model(x).sum())(mx.full((1, 1), 1 / n))
            gradient = gradient + found["weight"]
        optimizer.update(model, {"weight": gradient})
        mx.eval(model.parameters(), optimizer.state)
        used.append(-model["weight"].item())
    return used


# Arguments that change something within 12 updates.
CALLS = {
    "cosine_decay": {"init": 0.1, "decay_steps": 9, "end": 0.01},
    "exponential_decay": {"init": 0.1, "decay_rate": 0.9},
    "linear_schedule": {"init": 0.0, "end": 0.1, "steps": 4},
    "step_decay": {"init": 0.1, "decay_rate": 0.5, "step_size": 3},
}


def warm_up(module):
    lines = [module.linear_schedule(0.0, 0.1, 4), module.cosine_decay(0.1, 20)]
    return module.join_schedules(lines, [4])


def test_every_schedule_of_mlx_is_trained_with():
    assert {*CALLS, "join_schedules"} == set(compat.mlx.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_mlx(name):
    used = train(getattr(optimizers, name)(**CALLS[name]))
    agree("mlx", getattr(compat.mlx, name)(**CALLS[name]), used, rtol=FLOAT32)


def test_a_warm_up_and_accumulated_gradients():
    agree("mlx", warm_up(compat.mlx), train(warm_up(optimizers), 2), rtol=FLOAT32)
