"""The few operations that closed-loop rules need, on Python numbers and on 0-d arrays of each library.

The body of a rule is written once. It never branches on a value: it calls `where`, which on Python numbers is a
conditional expression, for whole states too. In `where`, a Python float becomes a float of the working precision, an
int an integer, a bool a truth value.
"""

import math
import operator
from ctypes import c_float
from typing import Any, TypeVar

import numpy as np

from lrsched._core.check import short
from lrsched._spaces.ops import Ops, ops_named, root_module

INF = math.inf

# A Python number, or a 0-d array of one of the libraries.
Number = Any
S = TypeVar("S", bound=tuple[Any, ...])


class Scalars:
    """Python numbers, in float64."""

    no = staticmethod(operator.not_)
    sqrt = staticmethod(math.sqrt)
    real = staticmethod(float)
    maximum = staticmethod(max)
    minimum = staticmethod(min)

    @staticmethod
    def where(condition: bool, a: Any, b: Any) -> Any:
        return a if condition else b

    @staticmethod
    def single(x: float) -> float:
        """Return x rounded to float32."""
        return c_float(x).value


class ScalarArrays:
    """0-d arrays of one library, in float32, or in float64 if any of them is float64.

    Args:
        xp: how the library spells its operations.
        like: an array on the device of all.
        double: one of them is float64.
    """

    def __init__(self, xp: Ops, like: Any, double: bool) -> None:
        self.xp, self.like = xp, like
        self.floating = xp.float64 if double else xp.float32

    def lift(self, x: Any) -> Any:
        """Return a number as an array; a float gets the working precision."""
        if isinstance(x, (bool, int)):
            return self.xp.constant(x, None, self.like)
        return self.real(x) if isinstance(x, float) or "float" in str(x.dtype) else x

    def real(self, x: Any) -> Any:
        """Return a number as a float of the working precision."""
        # A tuple: torch 2.9 does not trace `int | float`.
        if isinstance(x, (int, float)):
            return self.xp.constant(x, self.floating, self.like)
        return self.xp.cast(x, self.floating)

    def single(self, x: Any) -> Any:
        """Return x rounded to float32, in the working precision."""
        return self.real(self.xp.cast(x, self.xp.float32))

    def no(self, condition: Any) -> Any:
        # The optimizer of TensorFlow's graphs turns `~(a <= b)` into `a > b`, which is another thing for NaN.
        return self.xp.where(condition, False, True)

    def sqrt(self, x: Any) -> Any:
        return self.xp.sqrt(x)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        if isinstance(a, tuple):
            parts = [self.where(condition, x, y) for x, y in zip(a, b, strict=True)]
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        return self.xp.where(condition, self.lift(a), self.lift(b))

    def maximum(self, a: Any, b: Any) -> Any:
        return self.xp.maximum(self.lift(a), self.lift(b))

    def minimum(self, a: Any, b: Any) -> Any:
        return self.xp.minimum(self.lift(a), self.lift(b))


Space = Scalars | ScalarArrays
SCALARS = Scalars()
_PYTHON = {float, int, bool}
_NUMPY = (np.generic, np.ndarray)
_LIBRARIES = ("jax", "torch", "tensorflow")


def finite(x: Number) -> Any:
    """Return whether x is neither infinite nor NaN."""
    return (x > -INF) & (x < INF)


def enter(owner: str, state: S, numbers: list[Any]) -> tuple[Space, S, list[Any]]:
    """Return the operations, and the state and the observed numbers in their precision.

    Args:
        owner: what errors call the function that takes `state` and `observation`.
        state: a NamedTuple of numbers and of tuples of numbers.
        numbers: what was observed.

    Raises:
        TypeError: something is neither a number nor a 0-d array.
    """
    if not hasattr(state, "_fields"):
        raise _no_state(owner, state)
    kinds = set(map(type, state))
    if tuple in kinds:
        kinds = kinds.union(*(map(type, part) for part in state if type(part) is tuple)) - {tuple}
    if kinds <= _PYTHON and all(type(x) is float for x in numbers):
        return SCALARS, state, numbers
    numbers = [_observed(f"{owner}(observation)", x) for x in numbers]
    state = _mapped(state, _plain)
    arrays = [x for x in (*numbers, *_leaves(state)) if type(x) not in _PYTHON]
    if not arrays:
        return SCALARS, state, numbers
    if not all(map(_known, arrays)):
        raise _no_state(owner, state)
    space = _space(arrays)
    return space, _mapped(state, space.lift), [space.real(x) for x in numbers]


def _known(x: Any) -> bool:
    return root_module(type(x)) in _LIBRARIES and hasattr(x, "dtype")


def _no_state(owner: str, state: Any) -> TypeError:
    return TypeError(f"{owner}(state) must be what init() or the previous update() returned, got {short(state)}")


def _leaves(state: tuple[Any, ...]) -> list[Any]:
    return [x for part in state for x in (part if type(part) is tuple else (part,))]


def _mapped(state: S, function: Any) -> S:
    parts = [tuple(map(function, part)) if type(part) is tuple else function(part) for part in state]
    return type(state)(*parts)


def _plain(x: Any) -> Any:
    """Return a number of NumPy as a Python number, a Keras variable as a tensor, and else what stands in no graph."""
    if type(x) in _PYTHON:
        return x
    if isinstance(x, _NUMPY) and x.shape == ():
        return x.item()
    x = x.value if root_module(type(x)) == "keras" and hasattr(x, "value") else x
    # A state must not keep a graph of torch alive.
    return x.detach() if root_module(type(x)) == "torch" and hasattr(x, "detach") else x


def _observed(where: str, x: Any) -> Any:
    content = _plain(x)
    # A tuple: torch 2.9 does not trace `int | float`.
    if isinstance(content, (int, float)) and not isinstance(content, bool):
        try:
            return float(content)
        except OverflowError:
            return INF if content > 0 else -INF
    if not _known(content) or content.shape != () or "bool" in str(content.dtype) or "complex" in str(content.dtype):
        raise TypeError(f"{where} must be a real number or a 0-d array of one, got {short(x)}")
    return content


def _space(arrays: list[Any]) -> ScalarArrays:
    double = any("float64" in str(x.dtype) for x in arrays)
    return ScalarArrays(ops_named(root_module(type(arrays[0]))), arrays[0], double)
