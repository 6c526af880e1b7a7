"""What torch, JAX and TensorFlow spell in their own way. None of them is imported: each gets its loaded module."""

from collections.abc import Callable
from typing import Any

import numpy as np

from lrsched._arrays import Arrays
from lrsched._clock import Stretched


class Torch(Arrays):
    """torch tensors, on the device of the step."""

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

    def after(self, t: Any, n: int) -> Any:
        return super().after(t, n) if type(t) is Stretched else (t - n).clamp(min=0)

    def whole(self, t: Any, n: int) -> Any:
        # The floor division of torch has no derivative, not even 0.
        if type(t) is Stretched:
            return self.xp.floor(t.elapsed.detach() / (t.per * float(n)))
        return self.xp.div(t.detach(), n, rounding_mode="floor")

    def search(self, table: Any, t: Any) -> Any:
        return self.xp.searchsorted(table, t.contiguous(), right=True)

    def index(self, t: Any) -> Any:
        return t if not t.is_floating_point() else t.floor().to(self.xp.int64)


class Jax(Arrays):
    """jax arrays and tracers."""

    def run(self, curve: Callable[[Any, Any], Any], t: Any) -> Any:
        with np.errstate(over="ignore"):  # a number beyond float32 becomes inf
            return super().run(curve, t)

    def cast(self, t: Any) -> Any:
        return t.astype(self.floating)

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

    def index(self, t: Any) -> Any:
        return t if t.dtype.is_integer else self.tf.cast(self.tf.floor(t), self.tf.int64)
