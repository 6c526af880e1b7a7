"""What torch, JAX and TensorFlow spell in their own way. None of them is imported: each gets its loaded module."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lrsched._spaces.arrays import Arrays
from lrsched._spaces.clock import Clock
from lrsched._spaces.single import constants, exponential
from lrsched._spaces.space import Curve


class Torch(Arrays):
    """torch tensors, on the device of the step."""

    def gather(self, table: Any, i: Any) -> Any:
        # An index without axes torch 2.9 reads as a number, which `torch.vmap` refuses.
        return table[i.reshape(-1)].reshape(i.shape)

    def finish(self, value: Any) -> Any:
        return value.to(self.result)

    def cast(self, t: Any) -> Any:
        return t.to(self.floating)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.xp.minimum(a, b) if hasattr(b, "shape") else a.clamp(max=b)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        dtype = self.floating if table.dtype.kind == "f" else like.dtype
        return self.xp.as_tensor(table, device=like.device).to(dtype)

    def _lift(self, value: Any, like: Any) -> Any:
        # A 0-d tensor keeps float64 exact; a bare number would take the default dtype beside another number.
        if isinstance(value, float):
            return self.xp.full((), value, dtype=self.floating, device=like.device)
        return value

    def counts(self, t: Any) -> bool:
        return not t.is_floating_point()

    def at_least(self, a: Any, low: float) -> Any:
        return a.clamp(min=low)

    def apart(self, product: Any) -> Any:
        # Inductor fuses products with sums where the device can.
        return product.clamp(min=-1.0 / self.tiny) if self.xp.compiler.is_compiling() else product

    def whole(self, t: Any, n: Any) -> Any:
        # The floor division of torch has no derivative, not even 0.
        return self.xp.div(t.detach(), n.detach() if hasattr(n, "shape") else n, rounding_mode="floor")

    def search(self, table: Any, t: Any) -> Any:
        return self.xp.searchsorted(table, t.contiguous(), right=True)

    def index(self, t: Any) -> Any:
        return t if not t.is_floating_point() else t.floor().to(self.xp.int64)


class Jax(Arrays):
    """jax arrays and tracers."""

    def __init__(self, xp: Any, floating: Any, top: int | None, jit: Callable[..., Any]) -> None:
        super().__init__(xp, floating, top)
        self.single = not self.double
        self._exponential = jit(exponential(xp))  # one call where nothing is traced

    def exponential(self, t: Any, start: float, rate: float) -> Any:
        rate, ahead = rate / math.log(2.0), 0.0
        if type(t) is Clock and t.unit is None:
            t, rate, ahead = t.steps, rate * (t.times / t.over), rate * (t.plus / t.over)
        elif type(t) is Clock:
            t = self.elapsed(t) / self.pace(t)
        return self._exponential(t, *constants(start, rate, ahead))

    def grow(self, factor: float, number: Any) -> Any:
        return self.exponential(number, 1.0, math.log(factor)) if self.single else super().grow(factor, number)

    def run(self, curve: Curve, t: Any) -> Any:
        with np.errstate(over="ignore"):  # a number beyond float32 becomes inf
            return super().run(curve, t)

    def cast(self, t: Any) -> Any:
        return t.astype(self.floating)

    def apart(self, product: Any) -> Any:
        return self.xp.maximum(product, -1.0 / self.tiny)

    def index(self, t: Any) -> Any:
        return t if t.dtype.kind in "iu" else self.xp.floor(t).astype("int32")


class TensorFlow(Arrays):
    """tf.Tensors, eager or in a graph."""

    def __init__(self, xp: Any, floating: Any, top: int | None, result: Any = None) -> None:
        self.tf = xp
        super().__init__(xp.math, floating, top, result)
        self.sqrt = xp.math.sqrt

    def finish(self, value: Any) -> Any:
        return self.tf.cast(value, self.result)

    def finite(self, t: Any) -> Any:
        return self.xp.is_finite(t)

    def cast(self, t: Any) -> Any:
        return self.tf.cast(t, self.floating)

    def constant(self, table: np.ndarray[Any, Any], like: Any) -> Any:
        return self.tf.constant(table, dtype=self.floating if table.dtype.kind == "f" else like.dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.tf.where(condition, self._lift(a, condition), self._lift(b, condition))

    def _lift(self, value: Any, like: Any) -> Any:
        return self.tf.constant(value, dtype=self.floating) if isinstance(value, float) else value

    def search(self, table: Any, t: Any) -> Any:
        flat = self.tf.reshape(t, [-1])
        return self.tf.reshape(self.tf.searchsorted(table, flat, side="right"), self.tf.shape(t))

    def gather(self, table: Any, i: Any) -> Any:
        return self.tf.gather(table, i)

    def counts(self, t: Any) -> bool:
        return bool(t.dtype.is_integer)

    def apart(self, product: Any) -> Any:
        return self.xp.maximum(product, self.tf.constant(-1.0 / self.tiny, product.dtype))

    def at_least(self, a: Any, low: float) -> Any:
        return self.xp.maximum(a, self.tf.constant(low, a.dtype))

    def whole(self, t: Any, n: Any) -> Any:
        # The quotient of floats may be that with a reciprocal, and off by its rounding: only the remainder is exact.
        if self.counts(t):
            return t // n
        t = self.tf.stop_gradient(t)
        return self.xp.round((t - t % n) / n)

    def index(self, t: Any) -> Any:
        return t if t.dtype.is_integer else self.tf.cast(self.tf.floor(t), self.tf.int64)
