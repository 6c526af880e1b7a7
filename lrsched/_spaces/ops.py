"""How each array library spells the operations that are used here: one table a library, and none of them is imported.

What is written once for all libraries takes its operations from these tables: the space in which a curve is computed
(`arrays`), the body of an update rule, tensors packed in rows, and feedback rules on 0-d arrays. Blocks, whose
operations write where they are told to, take the functions of the same names that know `out` from `Ops.module`.
"""

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrsched._core.check import short

# An array, tensor, variable or tracer of one of the libraries below.
Array = Any

FLOATS = ("float16", "bfloat16", "float32", "float64")
# Functions, element by element, that go by these names in every library.
COMMON = ("sqrt", "abs", "sign", "exp", "expm1", "log", "log1p", "sin", "floor", "maximum", "minimum")


@dataclass(frozen=True)
class Ops:
    """What one array library calls the operations that are used here.

    Arithmetic and comparisons are the operators of the arrays themselves; `subtract(x, y)` is the quickest form of
    `x - y` for whole tensors. The second argument of `maximum` and `minimum` may be a Python number. `total(x)` sums
    all elements to a 0-d array. `full_like(x, value, dtype)` makes an array like x, `full(x, value, shape, dtype)` one
    of another shape on the device of x, `constant(content, dtype, x)` one of a Python number or a NumPy array there;
    a dtype of None keeps that of the content. `mean(x, axis)` keeps the axis with length 1. `transpose(x)` exchanges
    the last two axes. `bfloat16` is None where there is none; `index` is the dtype of whole numbers that index.

    Of arrays with one axis, `search(table, x)` finds where x would go after its equals, `take(table, i)` what stands at
    i, and `segment_sum(x, owner, counts)` the sum of each run of x: `owner` numbers the run of each element, `counts`
    has the lengths of the runs. `row_sum(x)` sums over the second axis.
    """

    name: str
    module: Any
    subtract: Callable[[Array, Array], Array]
    sqrt: Callable[[Array], Array]
    abs: Callable[[Array], Array]
    sign: Callable[[Array], Array]
    exp: Callable[[Array], Array]
    expm1: Callable[[Array], Array]
    log: Callable[[Array], Array]
    log1p: Callable[[Array], Array]
    sin: Callable[[Array], Array]
    floor: Callable[[Array], Array]
    isfinite: Callable[[Array], Array]
    isinteger: Callable[[Array], bool]  # whether the dtype is one of whole numbers
    where: Callable[[Array, Array, Array], Array]
    maximum: Callable[[Array, Array], Array]
    minimum: Callable[[Array, Array], Array]
    total: Callable[[Array], Array]
    row_sum: Callable[[Array], Array]
    segment_sum: Callable[[Array, Array, Array], Array]
    mean: Callable[[Array, int], Array]
    transpose: Callable[[Array], Array]
    reshape: Callable[[Array, tuple[int, ...]], Array]
    concatenate: Callable[[Sequence[Array]], Array]
    take: Callable[[Array, Array], Array]
    search: Callable[[Array, Array], Array]
    cast: Callable[[Array, Any], Array]
    constant: Callable[[Any, Any, Array], Array]
    full_like: Callable[[Array, float, Any], Array]
    full: Callable[[Array, float, tuple[int, ...], Any], Array]
    bfloat16: Any
    float32: Any
    float64: Any
    index: Any


def array_api(xp: Any, name: str = "", **own: Any) -> Ops:
    """Return the operations of a module of the array-API kind.

    Args:
        xp: the module.
        name: of the library.
        own: what it spells in its own way.
    """
    spelt = _common(xp) | {
        "subtract": operator.sub,
        "isfinite": xp.isfinite,
        "isinteger": lambda x: "int" in str(x.dtype),
        "where": xp.where,
        "total": xp.sum,
        "row_sum": lambda x: xp.sum(x, axis=1),
        "segment_sum": None,
        "mean": lambda x, axis: xp.mean(x, axis=axis, keepdims=True),
        "transpose": lambda x: xp.swapaxes(x, -1, -2),
        "reshape": lambda x, shape: xp.reshape(x, shape),
        "concatenate": lambda arrays: xp.concatenate(arrays),
        "take": lambda table, i: table[i],
        "search": lambda table, x: xp.searchsorted(table, x, side="right"),
        "cast": lambda x, dtype: xp.astype(x, dtype),
        "constant": lambda content, dtype, x: xp.asarray(content, dtype=dtype),
        "full_like": lambda x, value, dtype: xp.full_like(x, value, dtype=dtype),
        "full": lambda x, value, shape, dtype: xp.full(shape, value, dtype=dtype),
        "bfloat16": getattr(xp, "bfloat16", None),
        "float32": xp.float32,
        "float64": xp.float64,
        "index": xp.int64,
    }
    return Ops(name=name, module=xp, **spelt | own)


def _common(xp: Any) -> dict[str, Any]:
    return {name: getattr(xp, name, None) for name in COMMON}


def _counted(x: Array) -> bool:
    return x.dtype.kind in "iu"


def _numpy() -> Ops:
    return array_api(
        np,
        "numpy",
        isinteger=_counted,
        cast=lambda x, dtype: np.asarray(x, dtype=dtype),
        segment_sum=lambda x, owner, counts: np.add.reduceat(x, np.cumsum(counts) - counts),
    )


def _jax() -> Ops:
    jax = sys.modules["jax"]
    jnp = jax.numpy

    def subtract(x: Array, y: Array) -> Array:
        # XLA makes a quick loop of this form on the CPU. A loop without a number in it is cut into tiles there, along
        # the last dimensions: four times slower for convolutions of 3 x 3. So the compiler learns the sign late.
        return x + jax.lax.optimization_barrier(jnp.asarray(-1.0, x.dtype)) * y

    # The derivative of a root of 0 is infinite, and what is to be forgotten of it, infinity times 0, would be NaN, as
    # in `x / (sqrt(x**2) + eps)` at 0, the update of many rules. Where nothing is differentiated it is `jnp.sqrt`.
    sqrt = jax.custom_jvp(jnp.sqrt)

    def slope_of_sqrt(x: tuple[Array], slope: tuple[Array]) -> tuple[Array, Array]:
        root, still = sqrt(x[0]), x[0] == 0.0
        return root, jnp.where(still, 0.0, slope[0] * (0.5 / jnp.where(still, 1.0, root)))

    sqrt.defjvp(slope_of_sqrt)

    def maximum(x: Array, y: Array) -> Array:
        # The gradient of `jnp.maximum` asks which side equals the result. Where XLA computes a side twice, unlike in
        # the last digit, neither does, or both. NaN on either side is the result.
        return jnp.maximum(x, y) if isinstance(y, int | float) else jnp.where((y > x) | (y != y), y, x)

    def segment_sum(x: Array, owner: Array, counts: Array) -> Array:
        return jax.ops.segment_sum(x, owner, num_segments=len(counts), indices_are_sorted=True)

    return array_api(
        jnp,
        "jax",
        subtract=subtract,
        sqrt=sqrt,
        maximum=maximum,
        isinteger=_counted,
        cast=lambda x, dtype: x.astype(dtype),
        segment_sum=segment_sum,
        index=jnp.int32,
    )


def _torch() -> Ops:
    torch = sys.modules["torch"]

    # Tuples of types: torch 2.9 does not trace `int | float`.
    def maximum(x: Array, y: Array) -> Array:
        return x.clamp(min=y) if isinstance(y, (int, float)) else torch.maximum(x, y)

    def minimum(x: Array, y: Array) -> Array:
        return x.clamp(max=y) if isinstance(y, (int, float)) else torch.minimum(x, y)

    def take(table: Array, i: Array) -> Array:
        # An index without axes torch 2.9 reads as a number, which `torch.vmap` refuses.
        return torch.index_select(table, 0, i) if i.ndim == 1 else table[i.reshape(-1)].reshape(i.shape)

    def constant(content: Any, dtype: Any, x: Array) -> Array:
        # Made on the device; a 0-d tensor keeps float64 exact, where a bare number would take the default dtype.
        if isinstance(content, (bool, int, float)):
            return torch.full((), content, dtype=dtype, device=x.device)
        found = torch.as_tensor(content, device=x.device)
        return found if dtype is None else found.to(dtype)

    spelt = _common(torch) | {
        # torch takes the sign of NaN for 0.
        "sign": lambda x: torch.where(torch.isnan(x), x, torch.sign(x)),
        "maximum": maximum,
        "minimum": minimum,
    }
    return Ops(
        name="torch",
        module=torch,
        subtract=operator.sub,
        isfinite=torch.isfinite,
        isinteger=lambda x: not x.is_floating_point(),
        where=torch.where,
        total=torch.sum,
        row_sum=lambda x: x.sum(dim=1),
        # Not index_add, which on a GPU adds in another order each time.
        segment_sum=lambda x, owner, counts: torch.segment_reduce(x, "sum", lengths=counts, unsafe=True),
        mean=lambda x, axis: torch.mean(x, dim=axis, keepdim=True),
        transpose=lambda x: x.mT,
        reshape=lambda x, shape: x.reshape(shape),
        concatenate=torch.cat,
        take=take,
        search=lambda table, x: torch.searchsorted(table, x.contiguous(), right=True),
        cast=lambda x, dtype: x.to(dtype),
        constant=constant,
        full_like=lambda x, value, dtype: torch.full_like(x, value, dtype=dtype, requires_grad=False),
        full=lambda x, value, shape, dtype: torch.full(shape, value, dtype=dtype, device=x.device),
        bfloat16=torch.bfloat16,
        float32=torch.float32,
        float64=torch.float64,
        index=torch.int64,
        **spelt,
    )


def _tensorflow() -> Ops:
    tf = sys.modules["tensorflow"]

    def constant(content: Any, dtype: Any, x: Array) -> Array:
        # A Python int would be an int32.
        return tf.constant(content, tf.int64 if dtype is None and type(content) is int else dtype)

    def search(table: Array, x: Array) -> Array:
        return tf.reshape(tf.searchsorted(table, tf.reshape(x, [-1]), side="right"), tf.shape(x))

    return Ops(
        name="tensorflow",
        module=tf,
        subtract=operator.sub,
        isfinite=tf.math.is_finite,
        isinteger=lambda x: bool(x.dtype.is_integer),
        where=tf.where,
        total=tf.reduce_sum,
        row_sum=lambda x: tf.reduce_sum(x, axis=1),
        segment_sum=lambda x, owner, counts: tf.math.segment_sum(x, owner),
        mean=lambda x, axis: tf.reduce_mean(x, axis=axis, keepdims=True),
        transpose=tf.linalg.matrix_transpose,
        reshape=tf.reshape,
        concatenate=lambda arrays: tf.concat(arrays, 0),
        take=tf.gather,
        search=search,
        # The conversion makes a variable a tensor and a sparse gradient dense.
        cast=lambda x, dtype: tf.cast(tf.convert_to_tensor(x), dtype),
        constant=constant,
        full_like=lambda x, value, dtype: tf.zeros_like(x, dtype=dtype) + value,
        full=lambda x, value, shape, dtype: tf.fill(shape, tf.cast(value, dtype)),
        bfloat16=tf.bfloat16,
        float32=tf.float32,
        float64=tf.float64,
        index=tf.int64,
        **_common(tf.math),
    )


def root_module(kind: type) -> str:
    """Return the name of the library that a type comes from: "torch", "jax", "tensorflow", "keras", "numpy", ...

    A subclass made elsewhere (a torch tensor subclass, say) belongs to the first library among its bases.
    """
    for base in kind.__mro__:
        root = base.__module__.partition(".")[0]
        if root in _FRAMEWORKS:
            return _FRAMEWORKS[root]
    return kind.__module__.partition(".")[0]


_FRAMEWORKS = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
}
_MAKERS: dict[str, Callable[[], Ops]] = {"numpy": _numpy, "jax": _jax, "torch": _torch, "tensorflow": _tensorflow}
_MADE: dict[str, Ops] = {}
_ROOTS: dict[type, str] = {}
_NAMES: dict[Any, str] = {}


def ops_named(root: str) -> Ops:
    """Return the operations of a library that is loaded."""
    if root == "torch" and sys.modules["torch"].compiler.is_compiling():
        return _torch()  # what a trace writes into a cache would make the next call trace again
    return _MADE.get(root) or _MADE.setdefault(root, _MAKERS[root]())  # of what two threads make at once, one stays


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
    return short(x)
