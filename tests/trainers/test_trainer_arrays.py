"""What docs/trainers.md says of Optax, flax.nnx, Orbax and equinox."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import UPDATES, follows, page, real

from lrsched import Cosine, Warmup

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
optax = real("optax", "optax")
nnx = real("flax.nnx", "flax")

SCHEDULE = Warmup(4) >> Cosine(0.1, 0.0, steps=8)
FLOAT32 = 1e-6


def moved(optimizer: Any, state: Any, updates: int) -> tuple[list[float], Any]:
    """Return how far a gradient of 1 moves a parameter, update by update, and the state."""
    update = jax.jit(optimizer.update)
    used = []
    for _ in range(updates):
        change, state = update(jnp.ones(()), state, jnp.zeros(()))
        used.append(-float(change))
    return used, state


def test_optax_follows_the_schedule_and_goes_on_after_half():
    optimizer = page("Optax", schedule=SCHEDULE)["optimizer"]
    first, state = moved(optimizer, optimizer.init(jnp.zeros(())), UPDATES // 2)
    follows(SCHEDULE, first, moved(optimizer, state, UPDATES // 2)[0], rtol=FLOAT32)


def made(resume: bool, **more: Any) -> tuple[Any, Any]:
    model = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
    return model, page("flax.nnx, Orbax", model=model, schedule=SCHEDULE, resume=resume, **more)["optimizer"]


def in_nnx(model: Any, optimizer: Any, updates: int) -> list[float]:
    used = []
    for _ in range(updates):
        model.kernel[...] = jnp.zeros((1, 1))
        optimizer.update(model, nnx.grad(lambda m: m(jnp.ones((1, 1))).sum())(model))
        used.append(-float(model.kernel[0, 0]))
    return used


def test_nnx_follows_the_schedule_and_what_orbax_saves_goes_on(tmp_path: Path):
    checkpoint = real("orbax.checkpoint", "orbax-checkpoint")
    with checkpoint.StandardCheckpointer() as checkpointer:
        model, optimizer = made(False)
        first = in_nnx(model, optimizer, UPDATES // 2)
        checkpointer.save(tmp_path / "half", nnx.state(optimizer))
        checkpointer.wait_until_finished()
        model, optimizer = made(True, checkpointer=checkpointer, path=tmp_path / "half")
        follows(SCHEDULE, first, in_nnx(model, optimizer, UPDATES // 2), rtol=FLOAT32)


def test_a_schedule_is_a_field_of_a_module_of_equinox(tmp_path: Path):
    eqx = real("equinox", "equinox", "tests/oracles-large.txt")
    scaled = page("equinox", jax=jax)["Scaled"](jnp.ones(()), SCHEDULE)
    assert jax.tree.leaves(scaled) == [1.0]
    follows(SCHEDULE, [float(jax.jit(lambda m, t: m(t))(scaled, t)) for t in range(UPDATES)], rtol=FLOAT32)
    eqx.tree_serialise_leaves(tmp_path / "module.eqx", scaled)
    again = eqx.tree_deserialise_leaves(tmp_path / "module.eqx", scaled)
    np.testing.assert_allclose(eqx.filter_vmap(again)(jnp.arange(UPDATES)), SCHEDULE(np.arange(UPDATES)), FLOAT32, 1e-9)
