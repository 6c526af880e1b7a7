"""The averages of Schedule-Free of parameters that Optax trains."""

from typing import Any

import jax
import jax.numpy as jnp

from lrsched import rules
from lrsched.arguments import checked
from lrsched_optax._transform import RuleState, Tree, aligned, layout_of


@checked
def averaged(rule: rules.Rule, params: Tree, state: Any) -> Tree:
    """Return the averages of `rules.ScheduleFree`, which are to be evaluated.

    Parameters that have not been updated, or that are masked from the rule, stay as they are. It runs under `jax.jit`.

    Args:
        rule: a `ScheduleFree`, or a chain around one: what `from_rule` was given.
        params: the parameters.
        state: the state of the optimizer, in which that of the rule may stand inside others: of `optax.chain`,
            `optax.masked`, `optax.multi_transform`, `optax.inject_hyperparams`, `optax.MultiSteps`.

    Returns:
        A tree like the parameters, of their dtypes.

    Raises:
        TypeError: the rule does not average.
        ValueError: the state does not hold one state of this rule, or one of other parameters.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from lrsched import rules
        >>> from lrsched_optax import averaged, from_rule
        >>> rule, params = rules.ScheduleFree(rules.SGD(), b1=0.5), jnp.array([4.0])
        >>> optimizer = from_rule(rule, 0.5)
        >>> state = optimizer.init(params)
        >>> for _ in range(2):
        ...     updates, state = optimizer.update(params, state, params)
        ...     params = optax.apply_updates(params, updates)
        >>> params, averaged(rule, params, state)
        (Array([1.25], dtype=float32), Array([1.5], dtype=float32))
    """
    rule = rules.Rule.of("averaged(rule=...)", rule)
    rules.averages(rule, [], [])  # which refuses another rule
    found = [one for one in jax.tree.leaves(state, is_leaf=_is_state) if _is_state(one) and _fits(rule, one)]
    if len(found) != 1:
        raise ValueError(
            f"averaged(state) must hold one state of {rule!r}, got {len(found)} in a {type(state).__name__}"
        )
    tree: Any
    leaves, tree = jax.tree.flatten(params)
    layout = layout_of(rule)
    columns = [aligned("state", tree, column) for column in layout.flatten_up_to(found[0].slots)]
    for i, own in enumerate(zip(*columns, strict=True)):
        if all(hasattr(x, "dtype") for x in own):  # else it is masked
            p = jnp.asarray(leaves[i])
            leaves[i] = rules.averages(rule, p.astype(own[0].dtype), layout.unflatten(own)).astype(p.dtype)
    return tree.unflatten(leaves)


def _is_state(x: Any) -> bool:
    return isinstance(x, RuleState)


def _fits(rule: rules.Rule, state: RuleState) -> bool:
    try:
        layout_of(rule).flatten_up_to(state.slots)
    except ValueError:
        return False
    return True
