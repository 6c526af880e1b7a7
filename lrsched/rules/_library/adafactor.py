"""Adafactor: the second moment of a matrix from the moments of its rows and columns."""

from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Choice, Flag, Int, OrNone, Real
from lrsched._spaces.ops import Array
from lrsched.rules._library.base import Rule
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full

NonNegative = Annotated[float, Real(low=0)]


class AdafactorSlots(NamedTuple):
    """Averages of the squared gradients over rows and over columns, or of each element, and the average update.

    What a tensor does not need is a number without a meaning, or None if no tensor needs it.
    """

    row: Array
    column: Array
    v: Array
    m: Array | None


class Adafactor(Rule):
    """Adam without momentum whose second moment takes the memory of a row and a column.

    At update t = 1, 2, ..., with `b = 1 - t**-decay`, two axes of the tensor and `x = g**2 + eps`: `row <- b * row +
    (1 - b) * mean(x, last)`, `column <- b * column + (1 - b) * mean(x, other)`, and `v = row * column / mean(row,
    other)`. Tensors of one dimension or less, or with axes shorter than `factor_from`, keep `v <- b * v + (1 - b) * x`
    instead. With `u = g / sqrt(v)` and rms the root of the mean square the update is `-rate * u / max(1, rms(u) /
    clip)`, where `rate = lr`, times `max(rms(p), scale_floor)` if `scale_by_parameter`.

    Args:
        decay: exponent of the decay, > 0.
        eps: >= 0.
        eps_at: "square", as above; "floor": g**2 is left as it is, the mean of the rows is at least eps, and v is at
            least eps**2 (PyTorch).
        clip: the largest rms of u, > 0, or None.
        scale_by_parameter: steps in proportion to the size of the tensor.
        scale_floor: the smallest size, > 0.
        relative_step: `min(lr, 1 / sqrt(t))` takes the place of lr (PyTorch, Keras, the paper).
        axes: "last": the last two axes (PyTorch, Keras); "largest": the two longest (Optax, the paper).
        factor_from: the shorter of the two axes must be at least so long; Optax has 128, the others 1.
        momentum: share of the last update that is kept, in [0, 1): `m <- momentum * m + (1 - momentum) * update`.

    Examples:
        >>> import numpy as np
        >>> rule, p, g = Adafactor(), np.full((2, 2), 2.0), np.array([[1.0, 3.0], [2.0, 6.0]])
        >>> delta, slots = rule.delta(p, g, rule.init(p), lr=0.1, step=0)
        >>> slots.row.ravel(), slots.column.ravel()  # with the mean 12.5 of the rows, v is g * g
        (array([ 5., 20.]), array([ 2.5, 22.5]))
        >>> delta.round(6)  # lr times the size of p, which is 2
        array([[-0.2, -0.2], [-0.2, -0.2]])

    References:
        Shazeer & Stern, Adafactor: adaptive learning rates with sublinear memory cost, ICML 2018. arXiv:1804.04235
    """

    shaped: ClassVar[bool] = True
    decay: Annotated[float, Real(low=0, open_low=True)] = 0.8
    eps: NonNegative = 1e-30
    eps_at: Annotated[str, Choice(("square", "floor"))] = "square"
    clip: Annotated[float | None, OrNone(Real(low=0, open_low=True))] = 1.0
    scale_by_parameter: Annotated[bool, Flag()] = True
    scale_floor: Annotated[float, Real(low=0, open_low=True)] = 1e-3
    relative_step: Annotated[bool, Flag()] = False
    axes: Annotated[str, Choice(("last", "largest"))] = "last"
    factor_from: Annotated[int, Int(low=1)] = 1
    momentum: Annotated[float, Real(low=0, high=1, open_high=True)] = 0.0

    def _axes(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Return the axis over which rows are averaged and the other one, or None if there is nothing to factor."""
        if len(shape) < 2:
            return None
        by_length = sorted(range(len(shape)), key=lambda i: shape[i])
        last, other = (by_length[-1], by_length[-2]) if self.axes == "largest" else (len(shape) - 1, len(shape) - 2)
        return (last, other) if min(shape[last], shape[other]) >= self.factor_from else None

    def slots(self, full: Full) -> AdafactorSlots:
        """Return averages of 0."""
        m = full(0.0) if self.momentum else None
        axes = self._axes(full.shape)
        if axes is None:
            return AdafactorSlots(full(0.0, ()), full(0.0, ()), full(0.0), m)
        row, column = (tuple(1 if i == axis else n for i, n in enumerate(full.shape)) for axis in axes)
        return AdafactorSlots(full(0.0, row), full(0.0, column), full(0.0, ()), m)

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        scaled = [self._scaled(context.at(i), g, s) for i, (g, s) in enumerate(zip(gs, slots, strict=True))]
        us, kept = [u for u, _ in scaled], [s for _, s in scaled]
        everyone = range(len(ps))
        measured = [p * p for p in ps] if self.scale_by_parameter else []
        measured += [u * u for u in us] if self.clip is not None else []
        squares = context.sums(measured, [*everyone, *everyone][: len(measured)]) if measured else []
        updates = []
        for i, (p, u) in enumerate(zip(ps, us, strict=True)):
            rate, size = self._rate(context.at(i)), max(1, _size(p))
            if self.scale_by_parameter:
                rate = rate * context.xp.maximum(context.xp.sqrt(squares[i] / size), self.scale_floor)
            if self.clip is not None:
                rate = rate / context.xp.maximum(context.xp.sqrt(squares[i - len(ps)] / size) / self.clip, 1.0)
            update = rate * u
            m = kept[i].m
            if m is not None:
                update = self.momentum * m + (1.0 - self.momentum) * update
                kept[i] = kept[i]._replace(m=update)
            updates.append(update)
        return updates, kept

    def _rate(self, context: Context) -> Any:
        if not self.relative_step:
            return context.lr
        below = 1.0 / context.root(context.step + 1)
        numbers = isinstance(context.lr, (int, float)) and isinstance(below, float)
        if numbers:
            return min(context.lr, below)
        array, other = (below, context.lr) if isinstance(context.lr, (int, float)) else (context.lr, below)
        return context.xp.minimum(array, other)

    def _scaled(self, context: Context, g: Array, slots: AdafactorSlots) -> tuple[Array, AdafactorSlots]:
        """Return the gradient over the root of its second moment."""
        xp, floor = context.xp, self.eps_at == "floor"
        new = (context.step + 1) ** -self.decay
        square = g * g if floor else g * g + self.eps
        axes = self._axes(tuple(int(n) for n in g.shape))
        if axes is None:
            v = (1.0 - new) * slots.v + new * square
            estimate, slots = v, slots._replace(v=v)
        else:
            last, other = axes
            row = (1.0 - new) * slots.row + new * xp.mean(square, last)
            column = (1.0 - new) * slots.column + new * xp.mean(square, other)
            mean = xp.mean(row, other)
            estimate = row / (xp.maximum(mean, self.eps) if floor else mean) * column
            slots = slots._replace(row=row, column=column)
        if floor:
            estimate = xp.maximum(estimate, self.eps * self.eps)
        return g / xp.sqrt(estimate), slots


def _size(x: Array) -> int:
    size = 1
    for n in x.shape:
        size *= int(n)
    return size
