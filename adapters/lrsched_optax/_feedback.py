"""`scale_by_feedback`: the factor of a feedback rule as a gradient transformation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrsched import feedback
from lrsched.arguments import short

# Nested containers of arrays, as in every function of JAX.
Tree = Any


class FeedbackState(NamedTuple):
    """What `scale_by_feedback` keeps.

    Args:
        rule: the state of the rule, its numbers as scalars: bool, int32, and float32 (float64 under `jax_enable_x64`).
        factor: the factor of the last update, a scalar like these.
    """

    rule: Any
    factor: jax.Array


def scale_by_feedback(rule: feedback.Feedback) -> optax.GradientTransformationExtraArgs:
    """Return a link of `optax.chain` that multiplies by the factor of a rule.

    `update(updates, state, params, value=loss)` shows `value` to the rule, and the factor that it answers multiplies
    these updates already, as in `optax.contrib.reduce_on_plateau`. So the link stands after what has a learning rate:
    `optax.chain(optax.adam(schedule), scale_by_feedback(rule))`. Inside `optax.MultiSteps` the rule sees the value of
    the last batch of each update.

    Args:
        rule: a rule of `lrsched.feedback`.

    Returns:
        A transformation whose state is a `FeedbackState`; `update` wants the keyword `value`, a scalar or a
        `feedback.Observation` of scalars.

    Raises:
        TypeError: `rule` is no feedback rule; in `update`, `value` is missing or lacks what the rule needs, the state
            is not that of this rule, or an update is no array.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from lrsched import feedback
        >>> optimizer = optax.chain(optax.sgd(1.0), scale_by_feedback(feedback.Plateau(factor=0.5, patience=0)))
        >>> params = jnp.zeros(1)
        >>> state = optimizer.init(params)
        >>> for loss in [2.0, 2.0]:
        ...     updates, state = jax.jit(optimizer.update)(jnp.ones(1), state, params, value=loss)
        >>> updates
        Array([-0.5], dtype=float32)
    """
    if not isinstance(rule, feedback.Feedback):
        raise TypeError(f"scale_by_feedback(rule=...) must be a rule such as feedback.Plateau(), got {rule!r}")

    known = type(rule.init())

    def init(params: Tree) -> FeedbackState:
        del params
        return FeedbackState(jax.tree.map(_scalar, rule.init()), _scalar(1.0))

    def update(
        updates: Tree, state: Any, params: Tree = None, *, value: Any, **others: Any
    ) -> tuple[Tree, FeedbackState]:
        del params, others
        if not isinstance(state, FeedbackState) or type(state.rule) is not known:
            raise TypeError(f"update(state) must be what init(params) of {rule!r} returned, got {short(state)}")
        for path, u in jax.tree_util.tree_leaves_with_path(updates):
            if not hasattr(u, "dtype"):
                raise TypeError(f"update(updates){jax.tree_util.keystr(path)} must be an array, got {short(u)}")
        new, factor = rule.update(state.rule, jax.tree.map(jnp.asarray, value))
        # A loop of JAX carries a state of one type.
        kept = jax.tree.map(lambda old, now: jnp.asarray(now, old.dtype), state, FeedbackState(new, factor))
        scaled = jax.tree.map(lambda u: u * kept.factor.astype(u.dtype), updates)
        return scaled, kept

    return optax.GradientTransformationExtraArgs(init, update)


def _scalar(number: float | bool) -> jax.Array:
    dtype = bool if isinstance(number, bool) else jnp.int32 if isinstance(number, int) else float
    return jnp.asarray(number, dtype)
