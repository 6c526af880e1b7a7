"""One update of a list of tensors: checks, the working dtype, the body of the rule, and the way back."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from lrsched.rules._arrays import FLOATS, Array, Ops, described, dtype_name, ops_of, same_shape, shape_of
from lrsched.rules._blocks import in_blocks
from lrsched.rules._context import Context, shared
from lrsched.rules._units import Expected, Expecting

# What the names of the dtypes of scalars begin with.
NUMBERS = ("float", "bfloat", "int", "uint")


class Leaf(NamedTuple):
    """A tensor of one update: its place for messages, and what belongs to it."""

    path: str
    p: Array
    g: Array
    slots: Any


class Full(Protocol):
    """Makes the arrays of the slots of one tensor.

    Args:
        shape: of the tensor.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Any:
        """Return an array filled with `value`, of the shape of the tensor or of another one."""


class Body(Protocol):
    """What `run` needs of a rule."""

    @property
    def couples(self) -> bool:
        """Whether the update of one tensor depends on the others."""

    @property
    def packs(self) -> bool:
        """Whether tensors may be cut and joined."""

    def slots(self, full: Full) -> Any:
        """Return the slots of a tensor, made by `full`."""

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""


def map_arrays(function: Callable[[Array], Array], slots: Any) -> Any:
    """Return the slots with each array replaced by `function(array)`."""
    if slots is None:
        return None
    if isinstance(slots, tuple):
        items = [map_arrays(function, item) for item in slots]
        return type(slots)(*items) if hasattr(slots, "_fields") else tuple(items)
    return function(slots)


def parameter_ops(where: str, p: Array) -> Ops:
    """Return the operations for a parameter.

    Raises:
        TypeError: it is not an array of a known library, or not of a real floating-point dtype.
        ValueError: it stands in a graph that does not know its number of dimensions.
    """
    xp = ops_of(p)
    if xp is None or not hasattr(p, "dtype") or dtype_name(p) not in FLOATS:
        raise TypeError(
            f"{where} must be an array of numpy, torch, jax or tensorflow, of {', '.join(FLOATS)}, got {described(p)}"
        )
    if shape_of(p) is None:
        raise ValueError(f"{where} must have a known number of dimensions, got {described(p)}")
    return xp


def working_dtype(xp: Ops, p: Array) -> Any:
    """Return the dtype of the moments of `p`: float64 for float64, else float32."""
    return xp.float64 if dtype_name(p) == "float64" else xp.float32


@dataclass(frozen=True)
class FullLike:
    """Makes slots of the library, the device and the working dtype of `p`."""

    p: Array
    xp: Ops

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self.p.shape)

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Array:
        """Return an array filled with `value`."""
        dtype = working_dtype(self.xp, self.p)
        if shape is None or shape == self.shape:
            return self.xp.full_like(self.p, value, dtype)
        return self.xp.full(self.p, value, shape, dtype)


def _check_gradient(where: str, leaf: Leaf, xp: Ops) -> None:
    g = leaf.g
    if ops_of(g) is not xp or not hasattr(g, "dtype") or dtype_name(g) not in FLOATS:
        raise TypeError(f"{where} must be a {xp.name} array of {', '.join(FLOATS)}, got {described(g)}")
    if not same_shape(shape_of(leaf.p), shape_of(g)):
        raise ValueError(f"{where} must have the shape {shape_of(leaf.p)} of its parameter, got {described(g)}")


def _cast(xp: Ops, slots: Any, dtype: Any) -> Any:
    return map_arrays(lambda x: xp.cast(x, dtype), slots)


def _usual(rule: Body, leaves: Sequence[Leaf]) -> bool:
    """Return whether all are plain NumPy arrays of one dtype, and as they must be: the quick form of `_check`."""
    arrays = [x for leaf in leaves for x in leaf[1:3]]
    if {type(x) for x in arrays} != {np.ndarray} or len({x.dtype for x in arrays}) > 1:
        return False
    slots: dict[Any, list[Any]] = {}
    for leaf in leaves:
        if leaf.p.shape != leaf.g.shape:
            return False
        slots.setdefault(leaf.p.shape, []).append(leaf.slots)
    return all(_fit(rule.slots(Expecting(shape)), those) for shape, those in slots.items())


def _fit(expected: Any, slots: Sequence[Any]) -> bool:
    if isinstance(expected, Expected):
        return {type(x) for x in slots} == {np.ndarray} and {x.shape for x in slots} == {expected.shape}
    if {type(x) for x in slots} != {type(expected)}:
        return False
    if expected is None:
        return True
    if {len(x) for x in slots} != {len(expected)}:
        return False
    return all(_fit(*pair) for pair in zip(expected, zip(*slots, strict=True), strict=True))


def _check(rule: Body, names: tuple[str, str, str], leaves: Sequence[Leaf], xp: Ops) -> None:
    for leaf in leaves:
        if parameter_ops(names[0] + leaf.path, leaf.p) is not xp:
            raise TypeError(f"{names[0]}{leaf.path} must be a {xp.name} array like the first, got {described(leaf.p)}")
        _check_gradient(names[1] + leaf.path, leaf, xp)
        _check_slots(names[2] + leaf.path, rule.slots(Expecting(shape_of(leaf.p))), leaf.slots, xp)


def _check_slots(where: str, expected: Any, slots: Any, xp: Ops) -> None:
    if isinstance(expected, Expected):
        if ops_of(slots) is not xp or not hasattr(slots, "shape"):
            raise TypeError(f"{where} must be a {xp.name} array, got {described(slots)}")
        if not same_shape(expected.shape, shape_of(slots)):
            raise ValueError(f"{where} must have the shape {expected.shape}, got {described(slots)}")
        return
    if type(expected) is not type(slots) or (expected is not None and len(expected) != len(slots)):
        raise TypeError(f"{where} must be what init(...) of the same rule gave, got {described(slots)}")
    names = getattr(expected, "_fields", None) or range(len(expected or ()))
    for name, one, other in zip(names, expected or (), slots or (), strict=True):
        _check_slots(f"{where}.{name}", one, other, xp)


def _scalar(where: str, number: Any, xp: Ops, dtype: Any) -> Any:
    """Return a scalar as a Python number, or as a 0-d array of the library `xp` and the given dtype."""
    if isinstance(number, int | float) and not isinstance(number, bool):
        return number
    found = ops_of(number)
    if found is None or not hasattr(number, "dtype") or not dtype_name(number).startswith(NUMBERS):
        raise TypeError(f"{where} must be a number or a 0-d array, got {described(number)}")
    if not same_shape((), shape_of(number)):
        raise ValueError(f"{where} must be a number or a 0-d array, got {described(number)}")
    if found.name == "numpy":  # it has no tracers: through Python, where scalars are float64
        return int(number) if "int" in dtype_name(number) else float(number)
    return xp.cast(number, dtype) if found is xp else float(number)


def _count(where: str, step: Any, xp: Ops, dtype: Any) -> Any:
    """Return the number of updates done as a Python int, or as a 0-d floating-point array."""
    number = _scalar(where, step, xp, dtype)
    if not isinstance(number, int | float):
        return number
    if number < 0 or number != int(number):
        raise ValueError(f"{where} must be an int >= 0, got {step!r}")
    return int(number)


def _each(scalar: Any, convert: Callable[[Any], Any]) -> Any:
    if not isinstance(scalar, list):
        return convert(scalar)
    return shared(scalar, lambda a, b: a is b, convert)  # the same object stays the same


def run(
    rule: Body,
    names: tuple[str, str, str],
    leaves: Sequence[Leaf],
    lr: Any,
    step: Any,
    *,
    add: bool,
    donate: bool = False,
) -> tuple[list[Array], list[Any]]:
    """Do one update of some tensors together.

    Args:
        rule: what to do.
        names: what messages call a parameter, a gradient and the slots, before the path.
        leaves: the tensors, at least one.
        lr: learning rate, or a list with that of each tensor.
        step: updates done before this one, or a list.
        add: True for new parameters, False for what to add to the old ones.
        donate: the results may be written into the parameters and slots given.

    Returns:
        One array a tensor, rounded once to the dtype of the parameter, and the new slots.
    """
    xp = parameter_ops(names[0] + leaves[0].path, leaves[0].p)
    if xp.name != "numpy" or not _usual(rule, leaves):
        _check(rule, names, leaves, xp)
    own = [working_dtype(xp, leaf.p) for leaf in leaves]
    # One dtype for all of the update, the widest: a norm may run over all tensors.
    wide = xp.float64 if xp.float64 in own else xp.float32
    verb = names[0].partition("(")[0]
    lr = _each(lr, lambda number: _scalar(f"{verb}(lr=...)", number, xp, wide))
    step = _each(step, lambda number: _count(f"{verb}(step=...)", number, xp, wide))
    context = Context.of_list(xp, [len(shape_of(leaf.p) or ()) for leaf in leaves], lr, step)
    # inf and NaN pass in NumPy as they do in the other libraries, without a warning.
    with np.errstate(all="ignore") if xp.name == "numpy" else nullcontext():
        if rule.packs:
            found = in_blocks(rule, xp, wide, context, leaves, own, add=add, donate=donate)
            if found is not None:
                return found
        ps = [xp.cast(leaf.p, wide) for leaf in leaves]
        gs = [xp.cast(leaf.g, wide) for leaf in leaves]
        old = [_cast(xp, leaf.slots, wide) for leaf in leaves]
        updates, new = rule.body(context, ps, gs, old)
        results = [xp.cast(p - u if add else -u, leaf.p.dtype) for leaf, p, u in zip(leaves, ps, updates, strict=True)]
        return results, [_cast(xp, s, dtype) for s, dtype in zip(new, own, strict=True)]
