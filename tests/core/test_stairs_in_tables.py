"""Many pieces of one value each are looked up in a table, and many whole steps in torch take NumPy's way."""

import numpy as np
import pytest

from lrsched import Cosine, Warmup, multi_step, piecewise_constant
from lrsched._spaces import arrays, namespace

jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
jnp = jax.numpy
EDGES = [1, 2, 5, *range(10, 1_000, 7), 2**24 + 1, 2**31, 2**40]
STAIRS = piecewise_constant(EDGES, [1.0 / (i + 3) for i in range(len(EDGES) + 1)])
STEPS = np.array(sorted({0, *(max(edge + d, 0) for edge in EDGES for d in (-1, 0, 1))}))


@pytest.mark.parametrize(
    ("s", "dtype"), [(STAIRS, np.int64), (multi_step(1.0, 0.99, EDGES), np.int32), (0.5 * STAIRS, np.float64)]
)
def test_a_staircase_in_a_table_is_that_of_numpy_in_every_library(s, dtype):
    steps = STEPS[(2**31 - 1 if dtype is np.int32 else 2**53) >= STEPS].astype(dtype)
    expected = s(steps).astype(np.float32)
    np.testing.assert_array_equal(s(torch.from_numpy(steps)).to(torch.float32).numpy(), expected)
    small = steps[steps < 2**24]
    for f in (s, jax.jit(s)):
        np.testing.assert_array_equal(np.asarray(f(jnp.asarray(small))), expected[: len(small)])
        assert float(f(jnp.asarray(small[7]))) == expected[7]


def test_a_long_staircase_is_a_graph_of_few_operations():
    assert len(jax.make_jaxpr(STAIRS)(jnp.arange(5)).eqns) < 60


def test_what_is_no_staircase_is_not_looked_up():
    curves = [Cosine(1.0, 0.0, steps=5)._at, multi_step(1.0, 0.5, [3])._at]
    assert arrays._levels(curves) is None
    assert arrays._levels([part._at for part in STAIRS.parts[:2]]).tolist() == [1.0 / 3, 1.0 / 4]


def test_a_staircase_has_the_slope_0():
    assert jax.grad(lambda t: STAIRS(t) * 2.0)(25.0) == 0.0
    t = torch.tensor([25.0, 3.0], requires_grad=True)
    y = STAIRS(t)
    assert not y.requires_grad or torch.autograd.grad(y.sum(), t)[0].tolist() == [0.0, 0.0]


S = Warmup(500) >> Cosine(1e-3, 0.0, steps=9_500)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_many_whole_steps_in_torch_are_those_of_numpy(dtype, monkeypatch):
    t = torch.arange(-5, 20_000).clamp(min=0 if dtype is torch.uint8 else -5, max=torch.iinfo(dtype).max).to(dtype)[::2]
    found = S(t)
    monkeypatch.setattr(namespace, "_is_memory", lambda _: False)
    assert torch.equal(found, S(t))
    assert found.dtype == torch.float32


def test_what_is_recorded_stays_in_torch():
    many = torch.arange(10_000)
    expected = S(many)
    assert namespace._is_memory(many)
    assert not namespace._is_memory(many.double())
    assert not namespace._is_memory(many.to("meta"))
    assert not namespace._is_memory(many[:10])
    with torch.device("cpu"):
        assert not namespace._is_memory(many)
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda t: S(t))(many)
    assert torch.equal(graph(many + 9), S(many + 9))
    assert torch.equal(torch.vmap(lambda t: S(t))(many.reshape(1, -1))[0], expected)
    assert torch.equal(torch.jit.trace(lambda t: S(t), (many,))(many + 9), S(many + 9))
