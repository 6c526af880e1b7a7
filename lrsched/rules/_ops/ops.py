"""The dozen array operations that update rules need, for each array library; none of them is imported."""

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrsched._spaces.namespace import root_module

# An array, tensor, variable or tracer of one of the libraries below.
Array = Any

FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Ops:
    """What one array library calls the operations that rules need.

    Arithmetic and comparisons are the operators of the arrays themselves; `subtract(x, y)` is the quickest form of
    `x - y` for whole tensors. The second argument of `maximum` and
    `minimum` may be a Python number. `total(x)` sums all elements to a 0-d array. `full_like(x, value, dtype)` makes an
    array like x, `full(x, value, shape, dtype)` one of another shape on the device of x. `mean(x, axis)` keeps the axis
    with length 1. `transpose(x)` exchanges the last two axes. `bfloat16` is None where there is none.
    """

    name: str
    subtract: Callable[[Array, Array], Array]
    sqrt: Callable[[Array], Array]
    abs: Callable[[Array], Array]
    sign: Callable[[Array], Array]
    expm1: Callable[[Array], Array]
    where: Callable[[Array, Array, Array], Array]
    maximum: Callable[[Array, Array], Array]
    minimum: Callable[[Array, Array], Array]
    total: Callable[[Array], Array]
    mean: Callable[[Array, int], Array]
    transpose: Callable[[Array], Array]
    cast: Callable[[Array, Any], Array]
    full_like: Callable[[Array, float, Any], Array]
    full: Callable[[Array, float, tuple[int, ...], Any], Array]
    bfloat16: Any
    float32: Any
    float64: Any


def _jax_subtract(x: Array, y: Array) -> Array:
    """Return `x - y`, in the form of which XLA makes a quick loop on the CPU.

    A loop without a number in it is cut into tiles there, along the last dimensions: four times slower for convolutions
    of 3 x 3. So the sign is a number that the compiler learns late.
    """
    jax = sys.modules["jax"]
    return x + jax.lax.optimization_barrier(jax.numpy.asarray(-1.0, x.dtype)) * y


def _array_api(name: str, xp: Any, subtract: Callable[[Array, Array], Array] = operator.sub) -> Ops:
    return Ops(
        name=name,
        subtract=subtract,
        sqrt=xp.sqrt,
        abs=xp.abs,
        sign=xp.sign,
        expm1=xp.expm1,
        where=xp.where,
        maximum=xp.maximum,
        minimum=xp.minimum,
        total=xp.sum,
        mean=lambda x, axis: xp.mean(x, axis=axis, keepdims=True),
        transpose=lambda x: xp.swapaxes(x, -1, -2),
        cast=lambda x, dtype: xp.asarray(x, dtype=dtype),
        full_like=lambda x, value, dtype: xp.full_like(x, value, dtype=dtype),
        full=lambda x, value, shape, dtype: xp.full(shape, value, dtype=dtype),
        bfloat16=getattr(xp, "bfloat16", None),
        float32=xp.float32,
        float64=xp.float64,
    )


def _torch(torch: Any) -> Ops:
    # Tuples of types: torch 2.9 does not trace `int | float`.
    def maximum(x: Array, y: Array) -> Array:
        return x.clamp(min=y) if isinstance(y, (int, float)) else torch.maximum(x, y)

    def minimum(x: Array, y: Array) -> Array:
        return x.clamp(max=y) if isinstance(y, (int, float)) else torch.minimum(x, y)

    return Ops(
        name="torch",
        subtract=operator.sub,
        sqrt=torch.sqrt,
        abs=torch.abs,
        # torch takes the sign of NaN for 0.
        sign=lambda x: torch.where(torch.isnan(x), x, torch.sign(x)),
        expm1=torch.expm1,
        where=torch.where,
        maximum=maximum,
        minimum=minimum,
        total=torch.sum,
        mean=lambda x, axis: torch.mean(x, dim=axis, keepdim=True),
        transpose=lambda x: x.mT,
        cast=lambda x, dtype: x.to(dtype),
        full_like=lambda x, value, dtype: torch.full_like(x, value, dtype=dtype, requires_grad=False),
        full=lambda x, value, shape, dtype: torch.full(shape, value, dtype=dtype, device=x.device),
        bfloat16=torch.bfloat16,
        float32=torch.float32,
        float64=torch.float64,
    )


def _tensorflow(tf: Any) -> Ops:
    return Ops(
        name="tensorflow",
        subtract=operator.sub,
        sqrt=tf.sqrt,
        abs=tf.abs,
        sign=tf.sign,
        expm1=tf.math.expm1,
        where=tf.where,
        maximum=tf.maximum,
        minimum=tf.minimum,
        total=tf.reduce_sum,
        mean=lambda x, axis: tf.reduce_mean(x, axis=axis, keepdims=True),
        transpose=tf.linalg.matrix_transpose,
        # The conversion makes a variable a tensor and a sparse gradient dense.
        cast=lambda x, dtype: tf.cast(tf.convert_to_tensor(x), dtype),
        full_like=lambda x, value, dtype: tf.zeros_like(x, dtype=dtype) + value,
        full=lambda x, value, shape, dtype: tf.fill(shape, tf.cast(value, dtype)),
        bfloat16=tf.bfloat16,
        float32=tf.float32,
        float64=tf.float64,
    )


_MAKERS: dict[str, Callable[[], Ops]] = {
    "numpy": lambda: _array_api("numpy", np),
    "jax": lambda: _array_api("jax", sys.modules["jax.numpy"], _jax_subtract),
    "torch": lambda: _torch(sys.modules["torch"]),
    "tensorflow": lambda: _tensorflow(sys.modules["tensorflow"]),
}
_MADE: dict[str, Ops] = {}
_ROOTS: dict[type, str] = {}
_NAMES: dict[Any, str] = {}


def ops_of(x: object) -> Ops | None:
    """Return the array operations for `x`, or None if it is of no known library."""
    kind = type(x)
    root = _ROOTS.get(kind)
    if root is None:
        root = _ROOTS[kind] = root_module(kind)
    if root in _MAKERS and root not in _MADE:
        _MADE.setdefault(root, _MAKERS[root]())
    return _MADE.get(root)


def dtype_name(x: Array) -> str:
    """Return the name of the dtype, the same in every library: "float32", "bfloat16", ..."""
    dtype = x.dtype
    if isinstance(dtype, np.dtype):  # it spells its name anew each time, which takes longer than small updates
        return _NAMES.get(dtype) or _NAMES.setdefault(dtype, dtype.name)
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def shape_of(x: Array) -> tuple[int | None, ...] | None:
    """Return the shape; None stands for a length, or a whole shape, that a traced graph does not know."""
    if getattr(x.shape, "rank", 0) is None:
        return None
    return tuple(x.shape)


def same_shape(a: tuple[int | None, ...] | None, b: tuple[int | None, ...] | None) -> bool:
    """Return whether two shapes can be the same, as far as they are known."""
    if a is None or b is None:
        return True
    return len(a) == len(b) and all(m == n or m is None or n is None for m, n in zip(a, b, strict=True))


def described(x: object) -> str:
    """Return what an error message says of `x`: dtype and shape of an array, else its repr."""
    if hasattr(x, "dtype") and hasattr(x, "shape"):
        xp = ops_of(x)
        return f"a {xp.name if xp else type(x).__name__} array of {dtype_name(x)} and shape {shape_of(x)}"
    text = repr(x)
    return text if len(text) <= 80 else text[:77] + "..."
