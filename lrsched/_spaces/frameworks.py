"""What torch, JAX and TensorFlow compute in their own way. None of them is imported."""

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from lrsched._spaces.arrays import Arrays
from lrsched._spaces.clock import Clock
from lrsched._spaces.functions import PROBES, Function, on_known
from lrsched._spaces.ops import Ops
from lrsched._spaces.single import constants, exponential
from lrsched._spaces.space import AtTime


def is_plain(t: Any) -> bool:
    """Return whether a tensor of torch has its values, and nothing records what is done with it."""
    torch = sys.modules["torch"]
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or type(t) is not torch.Tensor:
        return False
    try:
        modes = torch._C._len_torch_dispatch_stack() + torch._C._len_torch_function_stack()
        return not modes and not torch._C._functorch.is_functorch_wrapped_tensor(t)
    except AttributeError:  # another version, which cannot be asked
        return False


class TorchSpace(Arrays):
    """torch tensors, on the device of the step."""

    def known(self, t: Any) -> np.ndarray[Any, Any] | None:
        if not is_plain(t) or t.device.type == "meta":
            return None
        t = t.detach().cpu()
        return (t if t.dtype != self.ops.bfloat16 else t.float()).numpy()  # type: ignore[no-any-return]

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

    def known(self, t: Any) -> np.ndarray[Any, Any] | None:
        return None if isinstance(t, sys.modules["jax"].core.Tracer) else np.asarray(t)

    def spellings(self, t: Any) -> Iterator[Any]:
        return iter([*super().spellings(t)][::-1])  # of the two, integers count exactly beyond 2**24

    def tried(self, f: Function) -> bool:
        with sys.modules["jax"].ensure_compile_time_eval():
            probes = self.ops.module.asarray(PROBES)
            return on_known(f, self.spellings(probes), np.array(PROBES), self.fitting(probes)) is not None

    def exponential(self, t: Any, start: float, rate: float) -> Any:
        rate, ahead = rate / math.log(2.0), 0.0
        if type(t) is Clock and t.unit is None:
            t, rate, ahead = t.steps, rate * (t.times / t.over), rate * (t.plus / t.over)
        elif type(t) is Clock:
            t = self.elapsed(t) / self.pace(t)
        return self._exponential(t, *constants(start, rate, ahead))

    def grow(self, factor: float, number: Any) -> Any:
        return self.exponential(number, 1.0, math.log(factor)) if self.single else super().grow(factor, number)

    def run(self, curve: AtTime, t: Any) -> Any:
        with np.errstate(over="ignore"):  # a number beyond float32 becomes inf
            return super().run(curve, t)


class TensorFlowSpace(Arrays):
    """tf.Tensors, eager or in a graph."""

    fuses = True

    def known(self, t: Any) -> np.ndarray[Any, Any] | None:
        return t.numpy() if hasattr(t, "numpy") and self.ops.module.executing_eagerly() else None

    def tried(self, f: Function) -> bool:
        with self.ops.module.init_scope():
            probes = self.ops.constant(np.array(PROBES), None, None)
            return on_known(f, self.spellings(probes), np.array(PROBES), self.fitting(probes)) is not None

    def whole(self, t: Any, n: Any) -> Any:
        # The quotient of floats may be that with a reciprocal, and off by its rounding: only the remainder is exact.
        if self.counts(t):
            return t // n
        t = self.ops.module.stop_gradient(t)
        return self.ops.module.round((t - t % n) / n)
