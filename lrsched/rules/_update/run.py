"""One update of a list of tensors: checks, the working dtype, the body of the rule, and the way back."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from lrsched._core.check import LARGEST, short
from lrsched._spaces.ops import FLOATS, Array, Ops, described, dtype_name, ops_of, same_shape, shape_of
from lrsched.rules._blocks.blocks import in_blocks
from lrsched.rules._ops.context import Context, shared
from lrsched.rules._ops.slots import DTYPE, SHAPE, Expected, Expecting, Lists, columns, kind_of, listed

# What the names of the dtypes of scalars begin with.
NUMBERS = ("float", "bfloat", "int", "uint")


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


@dataclass(frozen=True)
class Place:
    """What messages call an array of the update, worked out only for a message.

    Args:
        name: such as "apply(params)".
        path: makes the rest of it from the index of the tensor.
        i: this index.
        rest: of the name, after the path.
    """

    name: str
    path: Callable[[int], str]
    i: int
    rest: str = ""

    def __str__(self) -> str:
        return self.name + self.path(self.i) + self.rest


def parameter_ops(where: Place | str, p: Array) -> Ops:
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


def _cast(xp: Ops, slots: Any, dtype: Any) -> Any:
    return map_arrays(lambda x: xp.cast(x, dtype), slots)


def _usual(rule: Body, ps: Sequence[Array], gs: Sequence[Array], slots: Sequence[Any]) -> Lists | None:
    """Return all as columns if they are plain NumPy arrays as they must be: the quick form of `_check`."""
    found = columns(slots)
    if found is None or any(set(map(type, column)) != {np.ndarray} for column in (ps, gs, *found)):
        return None
    shapes = list(map(SHAPE, ps))
    lists = Lists(rule, shapes, gs, [ps, *found], plain=True)
    if shapes != list(map(SHAPE, gs)):
        return None
    if len(lists.dtypes) > 1 and len({*map(DTYPE, ps), *map(DTYPE, gs)}) > 1:
        return None
    kind, wanted = kind_of(slots[0]), lists.expected
    if any(form.kind != kind for form in wanted.values()):
        return None
    for i, column in enumerate(found):
        if all(form.shapes[i] == shape for shape, form in wanted.items()):
            fitting = shapes
        else:
            fitting = [wanted[shape].shapes[i] for shape in shapes]
        if list(map(SHAPE, column)) != fitting:
            return None
    return lists


def _check(
    rule: Body,
    names: tuple[str, str, str],
    path: Callable[[int], str],
    columns: tuple[Sequence[Array], Sequence[Array], Sequence[Any]],
    xp: Ops,
) -> None:
    for i, (p, g, slots) in enumerate(zip(*columns, strict=True)):
        where = [Place(name, path, i) for name in names]
        if parameter_ops(where[0], p) is not xp:
            raise TypeError(f"{where[0]} must be a {xp.name} array like the first, got {described(p)}")
        if ops_of(g) is not xp or not hasattr(g, "dtype") or dtype_name(g) not in FLOATS:
            raise TypeError(f"{where[1]} must be a {xp.name} array of {', '.join(FLOATS)}, got {described(g)}")
        if not same_shape(shape_of(p), shape_of(g)):
            raise ValueError(f"{where[1]} must have the shape {shape_of(p)} of its parameter, got {described(g)}")
        _check_slots(where[2], rule.slots(Expecting(shape_of(p))), slots, xp)


def check_state(where: str, place: str, path: str, rule: Body, p: Array, slots: Any) -> None:
    """Raise unless `p` is a parameter, and `slots` are what the rule keeps of it: `where` and `place` name them."""
    xp = parameter_ops(where + path, p)
    _check_slots(Place(place, lambda i: path, 0), rule.slots(Expecting(shape_of(p))), slots, xp)


def _check_slots(where: Place, expected: Any, slots: Any, xp: Ops) -> None:
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
        _check_slots(Place(where.name, where.path, where.i, f"{where.rest}.{name}"), one, other, xp)


def _scalar(where: str, number: Any, xp: Ops, dtype: Any) -> Any:
    """Return a scalar as a Python number, or as a 0-d array of the library `xp` and the given dtype."""
    if isinstance(number, (int, float)) and not isinstance(number, bool):
        if -LARGEST <= number <= LARGEST:
            return number
        raise ValueError(f"{where} must be a finite number, got {short(number)}")
    found = ops_of(number)
    if found is None or not hasattr(number, "dtype") or not dtype_name(number).startswith(NUMBERS):
        raise TypeError(f"{where} must be a number or a 0-d array, got {described(number)}")
    if not same_shape((), shape_of(number)):
        raise ValueError(f"{where} must be a number or a 0-d array, got {described(number)}")
    if found.name == "numpy":  # it has no tracers: through Python, where scalars are float64
        return _scalar(where, int(number) if "int" in dtype_name(number) else float(number), xp, dtype)
    return xp.cast(number, dtype) if found is xp else float(number)


def _count(where: str, step: Any, xp: Ops, dtype: Any) -> Any:
    """Return the number of updates done as a Python int, or as a 0-d floating-point array."""
    number = _scalar(where, step, xp, dtype)
    if not isinstance(number, (int, float)):
        return number
    if number < 0 or number != int(number):
        raise ValueError(f"{where} must be an int >= 0, got {short(step)}")
    return int(number)


def _each(scalar: Any, convert: Callable[[Any], Any]) -> Any:
    if not isinstance(scalar, list):
        return convert(scalar)
    return shared(scalar, lambda a, b: a is b, convert)  # the same object stays the same


def run(
    rule: Body,
    names: tuple[str, str, str],
    path: Callable[[int], str],
    ps: Sequence[Array],
    gs: Sequence[Array],
    slots: Sequence[Any],
    lr: Any,
    step: Any,
    *,
    add: bool,
    donate: bool = False,
    spared: Sequence[bool] = (),
) -> tuple[Sequence[Array], Sequence[Any]]:
    """Do one update of some tensors together.

    Args:
        rule: what to do.
        names: what messages call a parameter, a gradient and the slots, before the path.
        path: of a tensor, by index, for messages.
        ps: the parameters, at least one.
        gs: their gradients.
        slots: the slots of each.
        lr: learning rate, or a list with that of each tensor.
        step: updates done before this one, or a list.
        add: True for new parameters, False for what to add to the old ones.
        donate: the results may be written into the parameters and slots given.
        spared: whether weight decay leaves each alone; empty if it spares none.

    Returns:
        One array a tensor, rounded once to the dtype of the parameter, and the new slots.
    """
    xp = parameter_ops(Place(names[0], path, 0), ps[0])
    lists = _usual(rule, ps, gs, slots) if xp.name == "numpy" else None
    if lists is None:
        _check(rule, names, path, (ps, gs, slots), xp)
        own = [working_dtype(xp, p) for p in ps]
    else:
        own = [working_dtype(xp, ps[0])] * len(ps)
    # One dtype for all of the update, the widest: a norm may run over all tensors.
    wide = xp.float64 if xp.float64 in set(own) else xp.float32
    verb = names[0].partition("(")[0]
    lr = _each(lr, lambda number: _scalar(f"{verb}(lr=...)", number, xp, wide))
    step = _each(step, lambda number: _count(f"{verb}(step=...)", number, xp, wide))
    shapes = lists.shapes if lists else [shape_of(p) or () for p in ps]
    context = Context.of_list(xp, list(map(len, shapes)), lr, step)
    if spared:
        context = replace(context, spared=tuple(spared))
    # inf and NaN pass in NumPy as they do in the other libraries, without a warning.
    with np.errstate(all="ignore") if xp.name == "numpy" else nullcontext():
        if rule.packs and not spared:
            lists = lists or listed(rule, ps, gs, slots)
            found = in_blocks(xp, wide, context, slots, own, lists, add=add, donate=donate)
            if found is not None:
                return found
        context, slots = context.ahead(rule, wide, ps, gs, slots)
        wides = [xp.cast(p, wide) for p in ps]
        updates, new = rule.body(context, wides, [xp.cast(g, wide) for g in gs], [_cast(xp, s, wide) for s in slots])
        results = [
            xp.cast(xp.subtract(w, u) if add else -u, p.dtype) for p, w, u in zip(ps, wides, updates, strict=True)
        ]
        return results, [_cast(xp, s, dtype) for s, dtype in zip(new, own, strict=True)]
