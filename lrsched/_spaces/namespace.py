"""Which array library a step belongs to, and the space that a curve is computed in there.

No framework is imported: a value is recognised by the module of its type, and that module is then already loaded. A
space belongs to one dtype of step, so that constants are made in the right precision once.
"""

import sys
from types import ModuleType
from typing import Any

import numpy as np

from lrsched._core.check import LARGEST, is_sequence, short
from lrsched._spaces.arrays import INT64, Arrays
from lrsched._spaces.frameworks import JaxSpace, TensorFlowSpace, TorchSpace, is_plain
from lrsched._spaces.numpy import SORTED, NumPySpace
from lrsched._spaces.ops import array_api, ops_named, root_module
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import AtTime

# One block of float64 temporaries stays in the second-level cache.
BLOCK = 8192


_NUMPY = {"i": NumPySpace(INT64), "f": NumPySpace(None)}
_CACHE: dict[Any, Arrays] = {}


def _cached(kind: type[Arrays], root: str, *facts: Any) -> Arrays:
    found = _CACHE.get((root, *facts))
    if found is None:
        found = _CACHE.setdefault((root, *facts), kind(ops_named(root), *facts))  # of what two threads make, one stays
    return found


def _torch_step(t: Any) -> tuple[Any, Arrays]:
    torch = sys.modules["torch"]
    if t.dtype == torch.bool or t.is_complex():
        raise _kind_error(t)
    result = torch.float64 if torch.float64 in (t.dtype, torch.get_default_dtype()) else torch.float32
    floating = torch.float64 if t.device.type in _WITH_FLOAT64 else result
    whole = not t.is_floating_point()
    t = t.to(torch.int64).clamp(min=0) if whole else t.to(floating)
    top = INT64 if whole else None
    if torch.compiler.is_compiling():  # what a trace writes into the cache would make the next call trace again
        return t, TorchSpace(ops_named("torch"), floating, top, result)
    return t, _cached(TorchSpace, "torch", floating, top, result)


def _is_memory(t: Any) -> bool:
    """Return whether a tensor of torch is many whole numbers in memory, and nothing records what is done with it."""
    torch = sys.modules["torch"]
    if not is_plain(t):
        return False
    whole = t.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    return whole and t.device.type == "cpu" and t.layout == torch.strided and t.numel() >= BLOCK


# Where torch has float64; elsewhere curves are computed in float32.
_WITH_FLOAT64 = ("cpu", "cuda", "meta")


def _jax_step(t: Any) -> tuple[Any, Arrays]:
    jnp = sys.modules["jax.numpy"]
    if t.dtype.kind not in "iuf" and "float" not in str(t.dtype):
        raise _kind_error(t)
    floating = np.dtype(jnp.result_type(float)) if t.dtype.kind in "iu" else np.dtype(t.dtype)
    if floating not in (np.dtype(np.float32), np.dtype(np.float64)):
        floating = np.dtype(np.float32)
    if t.dtype.kind not in "iu":
        return t.astype(floating), _cached(JaxSpace, "jax", floating, None)
    wide = np.dtype(jnp.result_type(int))
    wide = np.dtype(t.dtype) if t.dtype.kind == "i" and t.dtype.itemsize > wide.itemsize else wide
    if t.dtype.kind == "u" and t.dtype.itemsize >= wide.itemsize:
        t = jnp.minimum(t, np.iinfo(wide).max)
    top = int(np.iinfo(wide).max)
    return jnp.maximum(t.astype(wide), 0), _cached(JaxSpace, "jax", floating, top)


def _tensorflow_step(t: Any) -> tuple[Any, Arrays]:
    tf = sys.modules["tensorflow"]
    t = tf.convert_to_tensor(t)
    if t.dtype.is_floating:
        result = tf.float64 if t.dtype == tf.float64 else tf.float32
        t = tf.cast(t, tf.float64)
        return t, _cached(TensorFlowSpace, "tensorflow", tf.float64, None, result)
    if not t.dtype.is_integer:
        raise _kind_error(t)
    t = tf.maximum(tf.cast(t, tf.int64), tf.constant(0, tf.int64))
    return t, _cached(TensorFlowSpace, "tensorflow", tf.float64, INT64, tf.float32)


def _module_step(t: Any, xp: Any) -> tuple[Any, Arrays]:
    t = xp.asarray(t)
    integer = "int" in str(t.dtype)
    floating = xp.float64 if integer or "float64" in str(t.dtype) else t.dtype
    if integer:
        t = xp.astype(t, xp.int64)
        t = xp.where(t < 0, xp.zeros_like(t), t)
    elif "float" not in str(t.dtype):
        raise _kind_error(t)
    return t, Arrays(array_api(xp), floating, INT64 if integer else None)


_STEPS = {"torch": _torch_step, "jax": _jax_step, "tensorflow": _tensorflow_step}


def _kind_error(step: Any) -> TypeError:
    instead = "write schedule(step, xp=module) for another library"
    if step is None:
        instead = "as the learning rate of an optimizer of Keras write lrsched_keras.LRSchedule(schedule)"
    elif type(step).__module__.startswith("polars.expr"):
        instead = "of a column of polars write pl.col('step').map_batches(schedule, return_dtype=pl.Float64)"
    return TypeError(
        "schedule(step) must get an int, a float or an array of one of numpy, torch, jax, tensorflow, or a sequence of "
        f"numbers, got {type(step).__name__} {short(step)}; {instead}"
    )


def evaluate(curve: AtTime, step: Any, xp: ModuleType | None = None) -> Any:
    """Return `curve(step, space)` for a step of any supported library.

    Args:
        curve: a function of a local step and its space.
        step: a Python or NumPy number, an array, a tensor, a tracer, a keras Variable or a sequence of numbers.
        xp: the array-API module of a library that is not known here.

    Returns:
        A Python float for a number, else an array of the same library, shape and device.

    Raises:
        ValueError: a negative, infinite or NaN Python number; an infinite or NaN entry of a NumPy array. In tensors and
            tracers such an entry gives NaN.
        TypeError: any other kind of step.
    """
    if xp is not None:
        t, space = _module_step(step, xp)
        return space.run(curve, t)
    if isinstance(step, np.ndarray):
        return _evaluate_numpy(curve, step)
    if isinstance(step, int | float | np.integer | np.floating) and not isinstance(step, bool):
        number = step.item() if isinstance(step, np.generic) else step
        if not 0 <= number <= LARGEST:
            raise ValueError(f"schedule(step) must get a finite step >= 0, got {short(step)}")
        if type(step) is float and number <= 1.0:
            _refuse_progress(number)
        return float(curve(number, SCALAR))
    root = root_module(type(step))
    if root == "keras" and hasattr(step, "value"):
        return evaluate(curve, step.value)
    adapt = _STEPS.get(root)
    if adapt is None or not hasattr(step, "dtype") or not hasattr(step, "shape"):
        return _evaluate_numpy(curve, _array(step))
    if root == "torch" and _is_memory(step):  # no slope passes through whole numbers
        torch = sys.modules["torch"]
        values = torch.from_numpy(_evaluate_numpy(curve, step.numpy()))
        return values.to(torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32)
    t, space = adapt(step)
    return space.run(curve, t)


def _refuse_progress(number: float) -> None:
    """Raise an error if Stable-Baselines3 asks, which counts from 1 to 0 what is left of a training."""
    asks = sys._getframe(3).f_globals.get("__name__", "")
    if asks.partition(".")[0] == "stable_baselines3":
        raise TypeError(
            "schedule(step) must get a step, but Stable-Baselines3 tells what is left of the training, got "
            f"{number}: write learning_rate=lambda left: schedule(round((1 - left) * steps))"
        )


def _array(steps: Any) -> np.ndarray[Any, Any]:
    """Return a sequence of numbers, or what offers itself as an array of NumPy, as one."""
    if not is_sequence(steps) and not hasattr(steps, "__array__"):
        raise _kind_error(steps)
    try:
        return np.asarray(steps)
    except (TypeError, ValueError, RuntimeError):  # ragged, a tensor that wants its gradient, another device
        raise _kind_error(steps) from None


def _evaluate_numpy(curve: AtTime, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    kind = steps.dtype.kind
    if kind not in "iuf":
        raise _kind_error(steps)
    space = _NUMPY["f" if kind == "f" else "i"]
    flat = np.ascontiguousarray(steps).reshape(-1)
    wanted = np.float64 if kind == "f" else np.int64
    negative = kind != "u" and flat.size > 0 and not flat.min() >= 0
    if kind == "f" and not np.isfinite(flat).all():
        raise ValueError(f"schedule(steps) must get finite steps, got {short(flat[~np.isfinite(flat)][0].item())}")
    values = np.empty(flat.shape)
    # Of a schedule of many parts a block of steps in order meets few.
    parts = getattr(getattr(curve, "__self__", None), "_count", 1)
    order = np.argsort(flat, kind="stable") if flat.size > BLOCK and parts >= SORTED else None
    with np.errstate(all="ignore"):  # a schedule that grows without end overflows to inf
        _fill(values, curve, flat if order is None else flat[order], wanted, negative, space)
    if order is not None:
        values[order] = values.copy()
    return values.reshape(steps.shape)


def _fill(values: Any, curve: Any, flat: Any, wanted: Any, negative: bool, space: Arrays) -> None:
    for i in range(0, flat.size, BLOCK):
        block = flat[i : i + BLOCK]
        if block.dtype == np.uint64:
            block = np.minimum(block, np.uint64(INT64))
        block = block.astype(wanted, copy=False)
        values[i : i + BLOCK] = curve(np.maximum(block, 0) if negative else block, space)
