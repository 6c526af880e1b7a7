"""What a Python function of the step gives: at one step, on an array of steps, in traced code.

A function of the user may branch, call `math` or look into a dictionary: then an array is none of its business. So it
is tried on the array, and what comes out is compared with what it gives at some of the steps, one by one.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from lrsched._core.check import short
from lrsched._spaces.ops import same_shape, shape_of

Function = Callable[[Any], Any]
# So many steps are computed one by one as soon as they are looked at.
_FEW = 8
# Steps at which traced code is tried.
PROBES = (0, 1, 2, 3, 5, 8, 13, 21, 100)


class NoNumber(TypeError):
    """What a function of the user returns is no number."""


def number_of(f: Function, step: Any) -> float:
    """Return the value of a function at a step.

    Raises:
        TypeError: it returns no number.
    """
    found = f(step)
    if type(found) is float:
        return found
    kind = str(getattr(found, "dtype", type(found).__name__))
    if hasattr(found, "__float__") and getattr(found, "shape", ()) == () and not kind.endswith("bool"):
        return float(found)
    raise NoNumber(f"Function(f=...) must return a number, got {short(found)} at step {step}")


def numbers_of(f: Function, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the values of a function at an array of steps, computed one by one."""
    values = [number_of(f, step) for step in steps.reshape(-1).tolist()]
    return np.array(values, dtype=np.float64).reshape(steps.shape)


def on_known(f: Function, arrays: Iterable[Any], steps: np.ndarray[Any, Any], fits: Callable[[Any], Any]) -> Any:
    """Return what a function gives on an array, or None if it must be called step by step.

    Args:
        f: the function.
        arrays: the steps as it may want them, as floats or as integers.
        steps: the same in NumPy.
        fits: returns what came out as an array of the library in the shape of the steps and as one of NumPy, or None.
    """
    if steps.size <= _FEW:
        return None
    flat = steps.reshape(-1)
    some = np.unique([0, flat.size // 3, flat.size // 2, flat.size - 1, flat.argmin(), flat.argmax()])
    wanted = None
    for array in arrays:
        try:
            found = fits(f(array))
        except Exception:  # whatever a function of the user makes of an array
            continue
        if found is None:
            continue
        if wanted is None:
            wanted = numbers_of(f, flat[some])
        if agree(found[1].reshape(-1)[some], wanted):
            return found[0]
    return None


def agree(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    """Return whether values are the same but for the rounding of their dtype."""
    loose = found.dtype != np.float64
    size = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    return np.allclose(
        found.astype(np.float64),
        wanted,
        rtol=1e-4 if loose else 1e-9,
        atol=size * (1e-5 if loose else 1e-9),
        equal_nan=True,
    )


def traced(space: Any, f: Function, t: Any) -> Any:
    """Return what a function gives on steps whose values nobody knows yet.

    Raises:
        TypeError: it needs to know them, or gives another result on an array than step by step.
    """
    reason: Any = "it gives another result on an array than step by step"
    if space.tried(f):
        for array in space.spellings(t):
            try:
                found = f(array)
                if isinstance(found, int | float):
                    return space.full(t, float(found))
                if same_shape(shape_of(found), shape_of(t)):
                    return space.cast(found)
            except Exception as error:  # whatever a function of the user makes of a tracer
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    raise TypeError(
        f"Function(f=...) must compute with the operations of {space.ops.name} where it is traced, got {short(f)} "
        f"({reason}): write `where` in place of `if`, or list its values, Table([f(t) for t in range(n)])"
    )
