"""LARS on sharded JAX arrays, under `jax.jit` and inside `jax.shard_map`; both do the same.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python docs/examples/jax_sharded_lars.py
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lrsched import Cosine, Warmup, rules
from lrsched_optax import from_rule

STEPS = 20
RULE = rules.ClipByGlobalNorm(10.0) >> rules.lars(trust_coefficient=0.05)
SCHEDULE = Warmup(5) >> Cosine(0.2, 0.0, steps=STEPS - 5)
SPECS = {"w1": P(None, "model"), "b1": P("model"), "w2": P("model", None), "b2": P()}


def drawn():
    keys = jax.random.split(jax.random.key(0), 2)
    shapes = {"w1": (20, 64), "w2": (64, 1)}
    weights = {k: jax.random.normal(key, shapes[k]) / shapes[k][0] ** 0.5 for k, key in zip(shapes, keys, strict=True)}
    return {**weights, "b1": jnp.zeros(64), "b2": jnp.zeros(1)}


def batch(t):
    x = jax.random.normal(jax.random.key(t), (64, 20))
    return x, x.sum(axis=1, keepdims=True)


def loss(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"] - y) ** 2)


def main():
    mesh = jax.make_mesh((jax.device_count(),), ("model",), axis_types=(AxisType.Auto,))
    start = {k: jax.device_put(v, NamedSharding(mesh, SPECS[k])) for k, v in drawn().items()}

    # Under jit: arrays are whole, nothing is said about shards, the compiler adds the all-reduces of the norms.
    optimizer = from_rule(RULE, SCHEDULE)

    @jax.jit
    def step(params, state, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    params, state = start, optimizer.init(start)
    for t in range(STEPS):
        params, state, value = step(params, state, *batch(t))
        if t % 5 == 4:
            print(f"step {t + 1}: loss {value:.4f}")

    # In shard_map: each device sees its shards; axis_name says which mesh axes split which parameter.
    mapped = from_rule(RULE, SCHEDULE, axis_name=SPECS)
    states = jax.tree.map(lambda _: P(), jax.eval_shape(mapped.init, start))
    states = states._replace(slots=jax.tree.map(lambda leaf: leaf.sharding.spec, mapped.init(start).slots))
    update = jax.jit(
        jax.shard_map(mapped.update, mesh=mesh, in_specs=(SPECS, states, SPECS), out_specs=(SPECS, states))
    )
    others, state = start, mapped.init(start)
    for t in range(STEPS):
        updates, state = update(jax.jit(jax.grad(loss))(others, *batch(t)), state, others)
        others = optax.apply_updates(others, updates)
    apart = max(float(jnp.abs(params[k] - others[k]).max()) for k in params)
    print(f"largest difference between jit and shard_map: {apart:.1e}")
    assert apart < 1e-5


if __name__ == "__main__":
    main()
