"""The rows layout: many tensors in one `(R, width)` buffer, each padded with zeros to whole rows.

Norms are row sums and a segment sum; what belongs to a tensor, such as its learning rate or trust ratio, is a `(T,)`
vector gathered by row to `(R, 1)`. So one kernel of static shape updates any list of tensors, in any array library.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np

from lrsched._core.check import Int, Many, Real, is_sequence
from lrsched._spaces.ops import Array, Ops, described, ops_of, same_shape, shape_of
from lrsched.arguments import checked
from lrsched.rules._ops.context import Context
from lrsched.rules._ops.requests import next_request
from lrsched.rules._ops.slots import Expecting, kind_of
from lrsched.rules._update.run import map_arrays, working_dtype

WIDTH = 1024


class Reduction(NamedTuple):
    """What a body asked of its context: the sums of tensors, or the total over all of them."""

    kind: str  # "sums" or "total"
    result: Any


def next_reduction(body: Callable[[Context], Any], context: Context, known: Sequence[Any]) -> Reduction | None:
    """Run a body no further than to its first reduction that is not known.

    To do so once for each reduction, and then the whole body with `context.replaying(known)`, keeps no array from one
    pass to the next, and a sum or a total may be added up over many pieces before the next pass needs it.

    Args:
        body: calls the body of a rule with the context that it is given.
        context: how to compute sums and totals.
        known: the results of the first reductions.

    Returns:
        The next reduction, or None if the body asks for no other.
    """
    request = next_request(body, context, known)
    if request is None:
        return None
    total = request.kind == "total"
    return Reduction(
        request.kind, context.total(request.arrays) if total else context.sums(request.arrays, request.owners)
    )


class Rows:
    """Tensors packed in whole rows of one buffer.

    Args:
        shapes: of the tensors, at least one.
        width: elements of a row, >= 2.

    Examples:
        >>> import numpy as np
        >>> rows = Rows([(2, 3), ()], width=4)
        >>> rows.pack([np.arange(6.0).reshape(2, 3), np.array(7.0)])
        array([[0., 1., 2., 3.],
               [4., 5., 0., 0.],
               [7., 0., 0., 0.]])
        >>> rows.owner
        array([0, 0, 1])
    """

    @checked
    def __init__(
        self,
        shapes: Annotated[Sequence[tuple[int, ...]], Many(Many(Int(), least=0))],
        width: Annotated[int, Int(low=2)] = WIDTH,
    ) -> None:
        self.shapes = [*shapes]
        self.width = width
        self.sizes = [math.prod(shape) for shape in self.shapes]
        # An empty tensor has a row too, so that it has a place in the sums.
        self.counts = np.array([max(-(-size // width), 1) for size in self.sizes])
        # The tensor of each row, and the first row of each tensor.
        self.owner = np.repeat(np.arange(len(self.sizes)), self.counts)
        self.starts = np.cumsum(self.counts) - self.counts

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self), self.width

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.owner)

    def slices(self) -> list[slice]:
        """Return where the elements of each tensor are in the buffer of one dimension."""
        begins = (int(start) * self.width for start in self.starts)
        return [slice(begin, begin + size) for begin, size in zip(begins, self.sizes, strict=True)]

    def pack(self, arrays: Sequence[Array]) -> Array:
        """Return the buffer `(R, width)` of the tensors, with zeros after each."""
        must = f"{len(self.shapes)} arrays, one for each shape"
        if not is_sequence(arrays) or len(arrays) != len(self.shapes):
            raise ValueError(f"Rows.pack(arrays) must be {must}, got {described(arrays)}")
        xp, pieces = _ops("Rows.pack(arrays)[0]", arrays[0]), []
        for i, (x, size) in enumerate(zip(arrays, self.sizes, strict=True)):
            _ops(f"Rows.pack(arrays)[{i}]", x)
            sizes = [n for n in shape_of(x) or () if n is not None]  # without those that a graph does not know
            if len(sizes) == len(x.shape) and math.prod(sizes) != size:
                raise ValueError(f"Rows.pack(arrays)[{i}] must hold {size} elements, got {described(x)}")
        for x, size, count in zip(arrays, self.sizes, self.counts.tolist(), strict=True):
            pieces += [xp.reshape(x, (size,)), xp.full(x, 0.0, (count * self.width - size,), x.dtype)]
        return xp.reshape(xp.concatenate(pieces), self._shape)

    def unpack(self, buffer: Array) -> list[Array]:
        """Return the tensors of a buffer."""
        xp = _ops("Rows.unpack(buffer)", buffer, self._shape)
        flat = xp.reshape(buffer, (len(self) * self.width,))
        return [xp.reshape(flat[own], shape) for own, shape in zip(self.slices(), self.shapes, strict=True)]

    def tables(self, like: Array) -> "RowTables":
        """Return what the layout says of each row and of each tensor, as arrays of the library and device of `like`."""
        xp = _ops("Rows.tables(like)", like)
        ndims = np.array([len(shape) for shape in self.shapes])[self.owner][:, None]
        return RowTables(*(xp.constant(x, None, like) for x in (self.owner, self.counts, self.starts, ndims)))

    def init(self, rule: Any, like: Array) -> Any:
        """Return the slots of the buffer: what belongs to a tensor is a vector `(T,)`, all else like the buffer.

        Raises:
            ValueError: the rule keeps a slot of another shape.
        """
        xp = _ops("Rows.init(like)", like)
        _check_rule("Rows.init(rule)", rule)
        return rule.slots(_FullRows(self, like, xp, rule))

    def update(self, rule: Any, p: Array, g: Array, slots: Any, *, lr: Any, step: Any) -> tuple[Array, Any]:
        """Return what to subtract from the buffer `p`, and the new slots.

        Args:
            rule: an update rule that packs.
            p: the buffer of the parameters, of the working dtype.
            g: that of the gradients.
            slots: what `init` or the previous call returned.
            lr: learning rate; a scalar, or an array `(T,)` with one for each tensor.
            step: updates done before this one; likewise.
        """
        _check_rule("Rows.update(rule)", rule)
        for name, x in (("p", p), ("g", g)):
            _ops(f"Rows.update({name})", x, self._shape)
        if kind_of(rule.slots(Expecting(self._shape))) != kind_of(slots):
            raise TypeError(f"Rows.update(slots) must be what Rows.init(rule, ...) gave, got {described(slots)}")
        for name, scalar in (("lr", lr), ("step", step)):
            _check_scalar(f"Rows.update({name}=...)", scalar)
        return self.tables(p).update(rule, p, g, slots, lr=lr, step=step)


class RowTables(NamedTuple):
    """The arrays of a layout in rows; they may be traced, so that one graph serves many layouts.

    Args:
        owner: `(R,)`, the tensor of each row.
        counts: `(T,)`, the rows of each tensor.
        starts: `(T,)`, its first row.
        ndims: `(R, 1)`, its number of dimensions.
    """

    owner: Array
    counts: Array
    starts: Array
    ndims: Array

    def spread(self, vector: Array) -> Array:
        """Return what belongs to each tensor, `(T,)`, gathered by row: `(R, 1)`."""
        xp = _ops("RowTables.spread(vector)", vector)
        return xp.reshape(xp.take(vector, self.owner), (-1, 1))

    def gathered(self, column: Array) -> Array:
        """Return for each tensor, `(T,)`, what stands in its first row of `(R, 1)`: the inverse of `spread`."""
        xp = _ops("RowTables.gathered(column)", column)
        return xp.take(xp.reshape(column, (-1,)), self.starts)

    def context(self, xp: Ops, lr: Any, step: Any) -> Context:
        """Return the context in which a body sees the buffer as its only array.

        Args:
            xp: the operations of the library.
            lr: learning rate; a scalar, or an array `(T,)` with one for each tensor.
            step: updates done before this one; likewise.
        """

        def sums(arrays: Sequence[Array], owners: Sequence[int]) -> list[Array]:
            return [self.spread(xp.segment_sum(xp.row_sum(x), self.owner, self.counts)) for x in arrays]

        def total(arrays: Sequence[Array]) -> Array:
            return sum(xp.total(x) for x in arrays)

        return Context(xp, self._column(lr), self._column(step), (self.ndims,), sums, total)

    def wide(self, slots: Any) -> Any:
        """Return slots as a body sees them: what belongs to each tensor gathered by row."""
        return map_arrays(self._column, slots)

    def narrow(self, slots: Any) -> Any:
        """Return slots as they are kept: the inverse of `wide`."""
        return map_arrays(lambda x: self.gathered(x) if x.shape[1] == 1 else x, slots)

    def update(self, rule: Any, p: Array, g: Array, slots: Any, *, lr: Any, step: Any) -> tuple[Array, Any]:
        """Return what to subtract from the buffer `p`, and the new slots: see `Rows.update`."""
        xp = _ops("RowTables.update(p)", p)
        (update,), (new,) = rule.body(self.context(xp, lr, step), [p], [g], [self.wide(slots)])
        return update, self.narrow(new)

    def _column(self, x: Any) -> Any:
        return self.spread(x) if len(getattr(x, "shape", ())) == 1 else x


@dataclass(frozen=True)
class _FullRows:
    """Makes the slots of a buffer."""

    rows: Rows
    like: Array
    xp: Any
    rule: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the buffer."""
        return (len(self.rows), self.rows.width)

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Array:
        if shape not in (None, (), self.shape):
            raise ValueError(f"Rows.init(rule, ...) must get a rule that packs, got {self.rule!r}")
        dtype = working_dtype(self.xp, self.like)
        if shape != () and value:  # the padding stays 0, so that it adds nothing to a norm
            return self.rows.pack([self.xp.full(self.like, value, (size,), dtype) for size in self.rows.sizes])
        wanted = (len(self.rows.shapes),) if shape == () else self.shape
        return self.xp.full(self.like, value, wanted, dtype)


def _ops(where: str, x: Array, shape: tuple[int, ...] | None = None) -> Ops:
    """Return the operations of an array, which must have that shape."""
    xp = ops_of(x)
    if xp is None or not hasattr(x, "dtype"):
        raise TypeError(f"{where} must be an array of a known library, got {described(x)}")
    if shape is not None and not same_shape(shape_of(x), shape):
        raise ValueError(f"{where} must have the shape {shape}, got {described(x)}")
    return xp


def _check_rule(where: str, rule: Any) -> None:
    if isinstance(rule, type) or not hasattr(rule, "slots") or not hasattr(rule, "body"):
        raise TypeError(f"{where} must be a rule such as Adam(), got {described(rule)}")


def _check_scalar(where: str, x: Any) -> None:
    if isinstance(x, int | float) and not isinstance(x, bool):
        Real()(where, x)
    elif ops_of(x) is None or not hasattr(x, "dtype"):
        raise TypeError(f"{where} must be a number or an array, got {described(x)}")
