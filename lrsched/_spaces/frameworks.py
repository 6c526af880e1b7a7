"""What torch, JAX and TensorFlow compute in their own way. None of them is imported."""

import math
import sys
from typing import Any

import numpy as np

from lrsched._spaces.arrays import Arrays
from lrsched._spaces.clock import Clock
from lrsched._spaces.ops import Ops
from lrsched._spaces.single import constants, exponential
from lrsched._spaces.space import Curve


class TorchSpace(Arrays):
    """torch tensors, on the device of the step."""

    def apart(self, product: Any) -> Any:
        # Inductor fuses products with sums where the device can.
        return self.maximum(product, -1.0 / self.tiny) if self.ops.module.compiler.is_compiling() else product

    def whole(self, t: Any, n: Any) -> Any:
        # The floor division of torch has no derivative, not even 0.
        return self.ops.module.div(t.detach(), n.detach() if hasattr(n, "shape") else n, rounding_mode="floor")


class JaxSpace(Arrays):
    """jax arrays and tracers."""

    fuses = True

    def __init__(self, ops: Ops, floating: Any, top: int | None) -> None:
        super().__init__(ops, floating, top)
        self.single = not self.double
        self._exponential = sys.modules["jax"].jit(exponential(ops.module))  # one call where nothing is traced

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


class TensorFlowSpace(Arrays):
    """tf.Tensors, eager or in a graph."""

    fuses = True

    def whole(self, t: Any, n: Any) -> Any:
        # The quotient of floats may be that with a reciprocal, and off by its rounding: only the remainder is exact.
        if self.counts(t):
            return t // n
        t = self.ops.module.stop_gradient(t)
        return self.ops.module.round((t - t % n) / n)
