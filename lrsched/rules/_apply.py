"""A rule on nested containers of parameters."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from lrsched._core.check import Flag
from lrsched.rules._blocks.blocks import in_stacks
from lrsched.rules._library.base import Rule
from lrsched.rules._ops.tree import aligned, leaves, rebuilt
from lrsched.rules._update.run import parameter_ops, run

_FLAG = Flag()
_CONTAINERS = (dict, list, tuple)


def init(rule: Rule, params: Any) -> Any:
    """Return the slots of new parameters: `rule.init` of each array.

    Args:
        rule: an update rule.
        params: nested dicts, lists, tuples, named tuples and None, of arrays.

    Returns:
        The containers of `params` with the slots in the places of the arrays. As in the results of `apply`, small NumPy
        arrays of one shape may be views of one memory.

    Raises:
        TypeError: `rule` is not a rule, or a leaf of `params` is not a real floating-point array.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import Momentum, init
        >>> init(Momentum(), {"w": np.zeros(2)})
        {'w': MomentumSlots(v=array([0., 0.]))}
    """
    rule = Rule.of("init(rule, ...)", rule)
    kinds, ps = [], []
    for path, (p,) in aligned(["init(params)"], [params]):
        kinds.append(parameter_ops(f"init(params){path}", p))
        ps.append(p)
    slots: Sequence[Any] = list(map(rule.init, ps))
    if ps and all(xp is kinds[0] for xp in kinds):
        slots = in_stacks(rule, kinds[0], ps, slots)
    return rebuilt(params, iter(slots))


def apply(
    rule: Rule,
    params: Any,
    grads: Any,
    slots: Any,
    *,
    lr: Any,
    step: Any,
    donate: bool = False,
    decays: bool | Mapping[str, Any] | Sequence[Any] = True,
) -> tuple[Any, Any]:
    """Return the parameters and slots after one update.

    What runs over all tensors, such as `ClipByGlobalNorm`, runs over all arrays of `params`. The update is added in
    float32 (float64 if one parameter is float64) and the sum rounded once to the dtype of the parameter. In bfloat16
    and float16 an update below half a unit in the last place still leaves the parameter where it is.

    A large update of NumPy arrays is shared by up to four threads, no more than processors or `OMP_NUM_THREADS`. The
    result does not depend on their number.

    Args:
        rule: an update rule; hashable, so under `jax.jit` it can be a static argument.
        params: nested dicts, lists, tuples, named tuples and None, of arrays of one library.
        grads: the same containers; None instead of an array leaves this parameter and its slots as they are.
        slots: what `init` or the previous call returned.
        lr: learning rate; a number, a 0-d array or a tracer, or the same containers as `params`, one for each array.
        step: number of updates done before this one; an int, a 0-d array or a tracer, or containers likewise.
        donate: permission to write the results into the arrays of `params` and `slots`, which must not overlap, and
            must not be used afterwards: use what is returned. NumPy and, where it makes no graph, torch on the CPU do
            so when the rule `packs` and the update is large. In JAX donate to `jax.jit`. Without, nothing is changed.
            Small new NumPy arrays of one shape may be views of one memory, of 512 KiB (float64: 1 MiB) at most.
        decays: False, or False in the containers of `params`, for what the weight decay of the rule leaves alone:
            `L2`, `DecoupledWeightDecay`, and the `weight_decay` of a rule.

    Returns:
        New `params` and `slots`, in the same containers and dtypes.

    Raises:
        TypeError: an argument or a leaf is of the wrong kind.
        ValueError: containers or shapes differ, or `step` is a negative number.

    Examples:
        >>> import numpy as np
        >>> from lrsched.rules import SGD, apply, init
        >>> params = {"w": np.array([1.0, 2.0]), "b": [np.array(0.5)]}
        >>> params, slots = apply(SGD(), params, params, init(SGD(), params), lr=0.1, step=0)
        >>> params
        {'w': array([0.9, 1.8]), 'b': [array(0.45)]}
    """
    rule = Rule.of("apply(rule, ...)", rule)
    donate = _FLAG("apply(donate=...)", donate)
    names = ("apply(params)", "apply(grads)", "apply(slots)")
    ps, gs, owns = leaves(names, (params, grads, slots))
    still = type(None) in set(map(type, gs))
    moves = [g is not None for g in gs] if still else [True] * len(gs)
    if not any(moves):
        return params, slots
    lr, step = _scalars("apply(lr=...)", params, lr, moves), _scalars("apply(step=...)", params, step, moves)
    spared: Sequence[bool] = ()
    if decays is not True:
        given = _scalars("apply(decays=...)", params, decays, moves)
        each = given if isinstance(given, list) else [given] * sum(moves)
        spared = [not _FLAG("apply(decays=...)", one) for one in each]

    def path(i: int) -> str:
        paths = [path for path, _ in aligned(names, (params, grads, slots))]
        return list(compress(paths, moves))[i]

    moving = [list(compress(column, moves)) if still else column for column in (ps, gs, owns)]
    found = run(rule, names, path, moving[0], moving[1], moving[2], lr, step, add=True, donate=donate, spared=spared)
    new, after = (iter(column) for column in found)
    if still:
        new = iter([next(new) if one else p for one, p in zip(moves, ps, strict=True)])
        after = iter([next(after) if one else own for one, own in zip(moves, owns, strict=True)])
    return rebuilt(params, new), rebuilt(params, after)


def _scalars(where: str, params: Any, given: Any, moves: list[bool]) -> Any:
    """Return a scalar as it is, and containers of scalars as the list of those whose parameter moves."""
    if not isinstance(given, _CONTAINERS):
        return given
    found = [pair[1] for _, pair in aligned(("apply(params)", where), (params, given))]
    return [one for one, moving in zip(found, moves, strict=True) if moving]
