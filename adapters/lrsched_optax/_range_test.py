"""The learning-rate range test over a training step of JAX."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from lrsched import feedback, range_test
from lrsched.arguments import Function, Length, OneOf, OrNone, Positive, checked


@checked
def run_range_test(
    step: Function,
    carry: Any,
    *,
    start: Positive = 1e-7,
    end: Positive = 10.0,
    steps: Length = 100,
    rule: Annotated[feedback.RangeTest | None, OrNone(OneOf(feedback.RangeTest, "a RangeTest"))] = None,
) -> feedback.RangeCurve:
    """Train with a rising learning rate and suggest a rate.

    Nothing needs putting back: `carry` stays what it is, also if `step` donates its buffers.

    Args:
        step: one update, `(carry, lr) -> (carry, loss)`, with `lr` a float32 scalar; best under `jax.jit`.
        carry: what training hands on, such as `(params, optimizer_state)`: a tree of arrays.
        start: first learning rate, > 0.
        end: last learning rate, > `start`.
        steps: updates between them, at least 1; at most `steps + 1` are done.
        rule: when to stop; by default when the smoothed loss exceeds four times its best.

    Returns:
        Learning rates, losses as `step` returned them, and the suggestions.

    Raises:
        ValueError: the rates do not rise.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.0)
        >>> x = jnp.linspace(-1.0, 1.0, 16)
        >>> def loss(params):
        ...     return jnp.mean((params["w"] * x + params["b"] - 2.0 * x - 10.0) ** 2)
        >>> @jax.jit
        ... def step(carry, lr):
        ...     params, state = carry
        ...     state.hyperparams["learning_rate"] = lr
        ...     value, gradient = jax.value_and_grad(loss)(params)
        ...     updates, state = optimizer.update(gradient, state, params)
        ...     return (optax.apply_updates(params, updates), state), value
        >>> params = {"w": jnp.zeros(()), "b": jnp.zeros(())}
        >>> curve = run_range_test(step, (params, optimizer.init(params)), start=1e-4)
        >>> 1e-4 < curve.suggestions.valley < 1.0 < curve.lrs[-1]
        True
    """
    try:
        now = [jax.tree.map(jnp.copy, carry)]
    except (OverflowError, TypeError) as error:
        raise TypeError(f"run_range_test(carry=...) must be a tree of arrays, got one that is none: {error}") from None

    def train(lr: float) -> float:
        now[0], loss = step(now[0], jnp.asarray(lr, jnp.float32))
        return float(loss)

    return feedback.range_curve(train, map(range_test(start, end, steps), range(steps + 1)), rule)
