"""Muon, which makes the update of a matrix orthogonal."""

import math
from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Choice, Flag, Int, Many, Real
from lrsched._spaces.ops import Array, shape_of
from lrsched.rules._library.base import Rule
from lrsched.rules._ops.context import Context
from lrsched.rules._update.run import Full

# The factor that each way of scaling gives a matrix of some rows and columns.
_SCALES = {
    "rows": lambda rows, columns: math.sqrt(max(1.0, rows / max(columns, 1))),
    "columns": lambda rows, columns: math.sqrt(max(1.0, columns / max(rows, 1))),
    "larger": lambda rows, columns: math.sqrt(max(rows, columns)),
    "none": lambda rows, columns: 1.0,
}


class MuonSlots(NamedTuple):
    """The average of the gradients."""

    m: Array


class Muon(Rule):
    """Momentum made orthogonal: the update of a matrix has singular values of about 1.

    With `m <- momentum * m + (1 - momentum) * g` and `d = momentum * m + (1 - momentum) * g` (`d = m` without
    `nesterov`) the update is `-lr * scale * factor * O`. O comes from `X = d / norm(d)`, of which the smaller side
    stands first, by `steps` times `X <- a * X + (b * S + c * S @ S) @ X`, `S = X @ X.T` (Newton-Schulz): near `U @ V.T`
    of the singular value decomposition, with singular values between 0.7 and 1.2 for the default coefficients.

    All parameters must be matrices; `Split(Muon(), Adam())` gives the others another rule.

    Args:
        momentum: decay of the average, in [0, 1).
        nesterov: look ahead.
        coefficients: a, b, c.
        steps: of the iteration, 0 to 99.
        factor: what depends on the shape. "rows": `sqrt(max(1, rows / columns))` (PyTorch, whose matrices are outputs
            by inputs); "columns": `sqrt(max(1, columns / rows))` (Optax, whose matrices are inputs by outputs);
            "larger": `sqrt(max(rows, columns))`, with a `scale` of 0.2 the size of an update of Adam (Moonlight,
            Keras); "none": 1.
        scale: > 0.
        average: False leaves out the factor `1 - momentum` (Keras). Only eps feels it.
        bias_correction: divide the average and the gradient by what is missing in them, `1 - momentum**(t + 1)` and
            `1 - momentum**t` at update t = 1, 2, ... (`1 - momentum**t` for the average without `nesterov`) (Optax).
        eps: > 0, for the norm.
        eps_at: "floor": `max(norm, eps)` (PyTorch); "added": `norm + eps` (Optax, Keras).
        precision: of the products of matrices: "working", that of the moments, or "bfloat16" (PyTorch, which keeps X
            between them in bfloat16 too; an update differs by some 5 % of its size).

    Raises:
        ValueError: a step or an argument is out of its range; at the update, a parameter is no matrix, or the library
            has no bfloat16.

    Examples:
        >>> import numpy as np
        >>> rule = Muon(coefficients=(1.5, -0.5, 0.0), steps=20)  # leads to singular values of 1
        >>> g = np.array([[3.0, -4.0], [4.0, 3.0]])  # both are 5
        >>> rule.delta(g, g, rule.init(g), lr=0.5, step=0)[0].round(6)
        array([[-0.3,  0.4], [-0.4, -0.3]])

    References:
        Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024. kellerjordan.github.io/posts/muon
        Liu et al., Muon is scalable for LLM training, 2025 (Moonlight). arXiv:2502.16982
    """

    shaped: ClassVar[bool] = True
    momentum: Annotated[float, Real(low=0, high=1, open_high=True)] = 0.95
    nesterov: Annotated[bool, Flag()] = True
    coefficients: Annotated[tuple[float, ...], Many(Real(), least=3)] = (3.4445, -4.775, 2.0315)
    steps: Annotated[int, Int(low=0, high=99)] = 5
    factor: Annotated[str, Choice(tuple(_SCALES))] = "rows"
    scale: Annotated[float, Real(low=0, open_low=True)] = 1.0
    average: Annotated[bool, Flag()] = True
    bias_correction: Annotated[bool, Flag()] = False
    eps: Annotated[float, Real(low=0, open_low=True)] = 1e-7
    eps_at: Annotated[str, Choice(("floor", "added"))] = "floor"
    precision: Annotated[str, Choice(("working", "bfloat16"))] = "working"

    def _check(self) -> None:
        if len(self.coefficients) != 3:
            raise ValueError(f"Muon(coefficients=...) must be three numbers, got {self.coefficients!r}")
        if self.bias_correction and not self.average:
            raise ValueError("Muon(bias_correction=...) must be False with average=False, got True")

    def slots(self, full: Full) -> MuonSlots:
        """Return an average of 0."""
        return MuonSlots(full(0.0))

    def body(
        self, context: Context, ps: list[Array], gs: list[Array], slots: list[Any]
    ) -> tuple[list[Array], list[Any]]:
        """Return what to subtract from each parameter, and the new slots."""
        for g, ndim in zip(gs, context.ndims, strict=True):
            if ndim != 2:
                must = "Muon must get matrices; write Split(Muon(), Adam()) for the other parameters"
                raise ValueError(f"{must}; got one of shape {shape_of(g)}")
        weight = 1.0 - self.momentum if self.average else 1.0
        ms = [self.momentum * s.m + weight * g for g, s in zip(gs, slots, strict=True)]
        directions = [self._direction(context.at(i), g, m, weight) for i, (g, m) in enumerate(zip(gs, ms, strict=True))]
        squares = context.sums([d * d for d in directions], range(len(directions)))
        updates = []
        for i, (p, square) in enumerate(zip(ps, squares, strict=True)):
            rows, columns = (int(n) for n in p.shape)
            scale = self.scale * _SCALES[self.factor](rows, columns)
            # Nobody else holds the direction, whose memory is large.
            x = self._orthogonal(context, directions.pop(0), context.xp.sqrt(square), rows > columns)
            updates.append(context.at(i).lr * scale * x)
        return updates, [MuonSlots(m) for m in ms]

    def _direction(self, context: Context, g: Array, m: Array, weight: float) -> Array:
        if not self.nesterov:
            return m / context.correction(self.momentum) if self.bias_correction else m
        if not self.bias_correction:
            return self.momentum * m + weight * g
        now, ahead = context.correction(self.momentum), context.later().correction(self.momentum)
        return self.momentum / ahead * m + weight / now * g

    def _orthogonal(self, context: Context, d: Array, norm: Array, tall: bool) -> Array:
        xp, dtype = context.xp, d.dtype
        x = d / (xp.maximum(norm, self.eps) if self.eps_at == "floor" else norm + self.eps)
        del d
        x = xp.transpose(x) if tall else x
        if self.precision == "bfloat16" and xp.bfloat16 is None:
            raise ValueError(f"Muon(precision=...) must be 'working' with {xp.name}, which has no bfloat16")
        narrow = xp.bfloat16 if self.precision == "bfloat16" else dtype
        a, b, c = self.coefficients
        for _ in range(self.steps):
            y = xp.cast(x, narrow)
            s = y @ xp.transpose(y)
            if narrow is dtype:
                s = c * (s @ s) + b * s  # in this order they need no further array
            elif xp.name == "torch":  # which rounds the sum once
                s = xp.module.addmm(s, s, s, beta=b, alpha=c)
            else:
                s = xp.cast(b * xp.cast(s, dtype) + c * xp.cast(s @ s, dtype), narrow)
            x = xp.cast(s @ y, dtype) + a * x  # in this order it lies in rows from now on
        return xp.transpose(x) if tall else x
