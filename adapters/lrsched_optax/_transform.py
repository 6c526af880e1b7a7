"""`from_rule` and `scale_by_rule`: an update rule as a gradient transformation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrsched import Schedule
from lrsched.arguments import meant, short
from lrsched.rules import Context, Rule, ops_of
from lrsched_optax._mesh import check_axis_name, reductions, split_axes
from lrsched_optax._proportional import is_proportional

# Nested containers of arrays, as in every function of JAX.
Tree = Any

FLOATS = ("float16", "bfloat16", "float32", "float64")
LARGEST = float(np.finfo(np.float64).max)
_RETURNS = "must return a number or a 0-d array"


class RuleState(NamedTuple):
    """What a rule keeps: the updates done, and its slots as trees like the parameters.

    Args:
        count: `int32` scalar; it stays at its largest value instead of overflowing.
        slots: the named tuple of the rule (`AdamSlots(m, v, v_max)`, ...) with a tree like the parameters in the place
            of each array, float64 for float64 parameters, else float32.
    """

    count: jax.Array  # type: ignore[assignment]  # Optax calls it so, tuple.count or not
    slots: Any


def from_rule(rule: Rule, learning_rate: Any, *, axis_name: Any = None) -> optax.GradientTransformation:
    """Return the optimizer of a rule and a learning rate.

    Update number t = 0, 1, 2, ... uses `learning_rate(t)`. What the optimizer returns is to be added to the parameters,
    as `optax.apply_updates` does; its dtype is the wider one of parameter and gradient. What runs over all tensors
    (`ClipByGlobalNorm`) runs over all leaves of the tree; masked leaves and gradients of None do not move. A leaf whose
    gradients come late begins as in a new optimizer of that count; averages are corrected for the count, as in
    `optax.adam`.

    Args:
        rule: an update rule, such as `rules.Adam()`.
        learning_rate: a number, a 0-d array, or a schedule: any function of the count.
        axis_name: inside `jax.shard_map`, the mesh axes over which norms are added up: PartitionSpecs in containers
            like the parameters, or, where JAX tracks what varies (`check_vma`), a name or a tuple of names; each leaf
            is summed over those that split it. () takes norms on each device by itself. Under `jax.jit` arrays are
            whole, however they are sharded, and nothing is needed.

    Returns:
        A transformation whose state is a `RuleState`. `update` needs the parameters if the rule does.

    Raises:
        TypeError: an argument is of another kind; in `init`, a parameter is not floating-point.
        ValueError: the learning rate, or what a function gives for count 0, is not a scalar, finite and >= 0; in
            `update`, the rule needs the parameters, or it needs norms
            inside `jax.shard_map` and does not know which axes split the parameters.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from lrsched import Cosine, rules
        >>> optimizer = from_rule(rules.ClipByGlobalNorm(1.0) >> rules.Adam(), Cosine(0.5, 0.0, steps=10))
        >>> params = {"w": jnp.ones(2)}
        >>> updates, state = jax.jit(optimizer.update)(params, optimizer.init(params), params)
        >>> optax.apply_updates(params, updates)["w"].round(4)
        Array([0.5, 0.5], dtype=float32)

        A learning rate that can be read from the state, or changed:

        >>> optimizer = optax.inject_hyperparams(from_rule)(rule=rules.Adam(), learning_rate=0.5)
        >>> float(optimizer.init(params).hyperparams["learning_rate"])
        0.5
    """
    rule = Rule.of("from_rule(rule=...)", rule)
    learning_rate = meant(learning_rate)
    _check_learning_rate(learning_rate)
    check_axis_name("from_rule", axis_name)

    def update(updates: Tree, state: RuleState, params: Tree = None) -> tuple[Tree, RuleState]:
        _check_state(rule, state)
        lr = learning_rate
        if callable(learning_rate):
            lr = learning_rate(state.count)
            _check_rate(f"from_rule(learning_rate=...) {_RETURNS}", lr)
        return _updated(rule, updates, state, params, lr, _negative, axis_name)

    return optax.GradientTransformation(lambda params: _init(rule, params), update)


def scale_by_rule(rule: Rule, *, axis_name: Any = None) -> optax.GradientTransformation:
    """Return the direction of a rule, a link of `optax.chain` like `scale_by_adam`.

    The sign is that of the gradient and the learning rate is 1: `optax.scale_by_learning_rate` after it multiplies by
    minus the learning rate. With it, the chain equals `from_rule`.

    Args:
        rule: an update rule whose update is proportional to the learning rate.
        axis_name: as in `from_rule`.

    Returns:
        A transformation whose state is a `RuleState`. `update` needs the parameters if the rule does.

    Raises:
        TypeError: `rule` is not a rule; in `init`, a parameter is not floating-point.
        ValueError: the learning rate stands inside the rule, in its buffer or in a clip of the update, so that it
            cannot be multiplied afterwards; in `update`, as in `from_rule`.

    Examples:
        >>> import optax
        >>> from lrsched import Constant, rules
        >>> optimizer = optax.chain(
        ...     optax.clip_by_global_norm(1.0),
        ...     scale_by_rule(rules.Layerwise(rules.Adam())),
        ...     optax.scale_by_learning_rate(Constant(0.1)),
        ... )
    """
    rule = Rule.of("scale_by_rule(rule=...)", rule)
    if not is_proportional(rule):
        raise ValueError(
            f"scale_by_rule(rule=...) must be a rule whose update is proportional to the learning rate, got {rule!r}; "
            "write from_rule(rule, learning_rate)"
        )
    check_axis_name("scale_by_rule", axis_name)

    def update(updates: Tree, state: RuleState, params: Tree = None) -> tuple[Tree, RuleState]:
        _check_state(rule, state)
        return _updated(rule, updates, state, params, 1.0, jnp.positive, axis_name)

    return optax.GradientTransformation(lambda params: _init(rule, params), update)


def _check_learning_rate(learning_rate: Any) -> None:
    if isinstance(learning_rate, Schedule):
        try:  # what is still missing shows at one of the two ends
            learning_rate(0), learning_rate(learning_rate.length or 0)
        except ValueError as error:
            raise ValueError(f"from_rule(learning_rate=...) must be a complete schedule: {error}") from None
        return
    must, rate = "must be a number, a 0-d array or a function of the count", learning_rate
    if callable(learning_rate):
        must = _RETURNS
        try:
            rate = learning_rate(jnp.zeros([], jnp.int32))
        except Exception:  # what it needs may be there later
            return
    must = f"from_rule(learning_rate=...) {must}"
    _check_rate(must, rate)
    if not isinstance(rate, jax.core.Tracer) and not 0.0 <= _number(rate) <= LARGEST:
        raise ValueError(f"{must}, finite and >= 0, got {rate!r}")


def _number(rate: Any) -> int | float:
    return rate if isinstance(rate, int) else float(rate)  # an int may be too large for a float


def _check_rate(must: str, rate: Any) -> None:
    # bfloat16 is of kind "V"
    if type(rate) not in (int, float) and (not hasattr(rate, "dtype") or rate.dtype.kind not in "iufV"):
        raise TypeError(f"{must}, got {short(rate)}")
    if jnp.shape(rate) != ():
        raise ValueError(f"{must}, got an array of shape {jnp.shape(rate)}")


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def _moment_dtype(array: Any) -> Any:
    return jnp.float64 if jnp.result_type(array) == jnp.float64 else jnp.float32


def _init(rule: Rule, params: Tree) -> RuleState:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if (dtype := _dtype(leaf)).name not in FLOATS:
            place = jax.tree_util.keystr(path)
            must = f"an array of {', '.join(FLOATS)}; leave it out with optax.masked"
            raise TypeError(f"init(params){place} must be {must}, got one of {dtype} and shape {jnp.shape(leaf)}")

    tree: Any
    leaves, tree = jax.tree.flatten(params)
    layout = layout_of(rule)
    slots = [layout.flatten_up_to(rule.slots(_SlotsOfLeaf(p))) for p in leaves]
    columns = [tree.unflatten([own[i] for own in slots]) for i in range(layout.num_leaves)]
    return RuleState(jnp.zeros([], jnp.int32), layout.unflatten(columns))


class _SlotsOfLeaf(NamedTuple):
    """Makes the slots of a parameter."""

    p: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return jnp.shape(self.p)

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> jax.Array:
        return jnp.full_like(self.p, value, dtype=_moment_dtype(self.p), shape=shape)


@dataclass(frozen=True)
class _SlotShape:
    """Stands for an array of the slots, where only structure and shapes matter."""

    shape: tuple[int, ...]


class _Shapes(NamedTuple):
    """Makes what stands for the slots of a parameter."""

    shape: tuple[int, ...] = ()

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> _SlotShape:
        return _SlotShape(self.shape if shape is None else shape)


def layout_of(rule: Rule) -> Any:
    """Return the structure of the slots of one parameter."""
    return jax.tree.structure(rule.slots(_Shapes()))


@dataclass(frozen=True)
class _Absent:
    """Stands for a parameter that was not given: what a rule does with it raises."""

    rule: Rule

    def _refuse(self, *_: object) -> Any:
        raise ValueError(f"{self.rule!r} needs the parameters: write update(updates, state, params)")

    __jax_array__ = property(_refuse)  # functions of JAX ask for it first
    __getattr__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = __abs__ = _refuse
    __truediv__ = __rtruediv__ = __pow__ = __gt__ = __lt__ = _refuse


def _negative(step: jax.Array) -> jax.Array:
    """Return `-step` as a product with a number that the compiler learns late.

    With it XLA makes one loop of `apply_updates` on the CPU. Of a plain negation it makes tiles along the last
    dimensions: four times slower for convolutions of 3 x 3.
    """
    minus: jax.Array = jax.lax.optimization_barrier(jnp.asarray(-1.0, step.dtype))  # type: ignore[no-untyped-call]
    return minus * step


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _check_state(rule: Rule, state: Any) -> None:
    must = f"update(state) must be what init(params) of {rule!r} returned"
    if not isinstance(state, RuleState):
        raise TypeError(f"{must}, got a {type(state).__name__}")
    if jnp.shape(state.count) != () or _dtype(state.count).kind not in "iu":
        raise TypeError(f"{must}, with a whole number as count, got {state.count!r}")
    # By NumPy: inside `jax.jit` JAX traces the comparison of what is known too.
    if not isinstance(state.count, jax.core.Tracer) and np.asarray(state.count) < 0:
        raise ValueError(f"{must}, with a count >= 0, got {state.count!r}")
    try:
        layout_of(rule).flatten_up_to(state.slots)
    except ValueError:
        raise TypeError(f"{must}, got one with slots {type(state.slots).__name__}") from None


def aligned(argument: str, tree: Any, content: Any) -> list[Any]:
    """Return what stands in containers like those of the updates, as a list."""
    try:
        return tree.flatten_up_to(content)  # type: ignore[no-any-return]  # a list
    except ValueError as error:
        raise ValueError(f"update({argument}) must have the containers of the updates: {error}") from None


def _check_leaf(rule: Rule, place: str, p: Any, g: Any, slots: Any) -> None:
    shape = jnp.shape(g if p is None else p)
    layout = layout_of(rule)
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(slots)]
    wanted = [one.shape for one in layout.flatten_up_to(rule.slots(_Shapes(shape)))]
    found = [("updates", "", g, shape), *([] if p is None else [("params", "", p, shape)])]
    found += [("state", *rest) for rest in zip(names, layout.flatten_up_to(slots), wanted, strict=True)]
    for argument, name, x, must in found:
        if (dtype := _dtype(x)).name not in FLOATS:
            raise TypeError(f"update({argument}){place}{name} must be an array of {', '.join(FLOATS)}, got {dtype}")
        if jnp.shape(x) != must:
            raise ValueError(f"update({argument}){place}{name} must have the shape {must}, got {jnp.shape(x)}")


def _updated(
    rule: Rule,
    gradients: Tree,
    state: RuleState,
    params: Tree,
    lr: Any,
    sign: Callable[[jax.Array], jax.Array],
    axis_name: Any,
) -> tuple[Tree, RuleState]:
    """Return `sign` of what the rule subtracts from the parameters, and the next state."""
    tree: Any
    leaves, tree = jax.tree.flatten(gradients, is_leaf=_is_none)
    moving = [i for i, g in enumerate(leaves) if g is not None]
    count = optax.safe_increment(state.count)
    if not moving:
        return gradients, RuleState(count, state.slots)
    given = [None] * len(leaves) if params is None else aligned("params", tree, params)
    # The slots are trees of the parameters; the rule wants slots for each of them.
    layout = layout_of(rule)
    columns = [aligned("state", tree, column) for column in layout.flatten_up_to(state.slots)]
    slots = [layout.unflatten([column[i] for column in columns]) for i in moving]
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(gradients, is_leaf=_is_none)]
    for i, own in zip(moving, slots, strict=True):
        _check_leaf(rule, jax.tree_util.keystr(paths[i]), given[i], leaves[i], own)
    gs = [jnp.asarray(leaves[i]) for i in moving]
    ps: list[Any] = [_Absent(rule) if given[i] is None else jnp.asarray(given[i]) for i in moving]
    axes = split_axes(axis_name, tree, moving, ps, gs)
    steps, slots = _steps(rule, ps, gs, slots, lr, state.count, axes)
    for i, p, g, step, own in zip(moving, ps, gs, steps, slots, strict=True):
        leaves[i] = sign(step).astype(g.dtype if params is None else jnp.promote_types(p.dtype, g.dtype))
        for column, content in zip(columns, layout.flatten_up_to(own), strict=True):
            column[i] = content
    return tree.unflatten(leaves), RuleState(count, layout.unflatten([tree.unflatten(column) for column in columns]))


def _steps(
    rule: Rule, ps: list[Any], gs: list[jax.Array], slots: list[Any], lr: Any, count: jax.Array, axes: list[Any]
) -> tuple[list[jax.Array], list[Any]]:
    """Return what the rule subtracts from each parameter, in the working dtype, and the new slots."""
    xp = ops_of(gs[0])
    assert xp is not None  # JAX is a library that the core knows
    # One dtype for all of the update, the widest: a norm may run over all leaves.
    dtypes = {_moment_dtype(x) for x in [*ps, *gs] if not isinstance(x, _Absent)}
    wide = jnp.float64 if jnp.float64 in dtypes else jnp.float32

    def widened(content: Any) -> Any:
        return content if isinstance(content, _Absent | float) else jnp.asarray(content).astype(wide)

    context = Context.of_list(xp, [g.ndim for g in gs], widened(lr), widened(count))
    over = reductions(rule, axes)
    given: Sequence[Any] = slots
    if all(own == () for own in axes) and not any(isinstance(p, _Absent) for p in ps):
        context, given = context.ahead(rule, wide, ps, gs, slots)
    else:
        context = replace(context, sums=over.sums, total=over.total)
    steps, new = rule.body(context, [*map(widened, ps)], [*map(widened, gs)], jax.tree.map(widened, given))
    return steps, jax.tree.map(lambda content, old: content.astype(old.dtype), new, slots)
