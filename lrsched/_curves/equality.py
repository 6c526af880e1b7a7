"""How far two curves are apart: schedules, functions of the step, or recorded values."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import Int, Row, short
from lrsched._core.functions import is_function
from lrsched._curves.schedule import Complete, Schedule
from lrsched.arguments import Rate, checked

Floats = NDArray[np.float64]
Curve = Schedule | Callable[[int], Any] | Sequence[float] | NDArray[Any]


class Equality(NamedTuple):
    """How far two curves are apart.

    Attributes:
        absolute: the largest difference.
        relative: the largest difference in units of the larger of the two values at its step.
        first: the first step at which they differ by more than the tolerance, or None.
    """

    absolute: float
    relative: float
    first: int | None

    @property
    def equal(self) -> bool:
        """Whether they differ nowhere by more than the tolerance."""
        return self.first is None


@checked
def equality(
    a: Curve, b: Curve, steps: int | Sequence[int] | NDArray[Any], rtol: Rate = 1e-12, atol: Rate = 0.0
) -> Equality:
    """Compare two curves step by step.

    Args:
        a: a schedule, a function that takes a Python int, or an array of values, one for each of `steps`.
        b: the other one.
        steps: the steps, whole and >= 0; an int n stands for 0, ..., n - 1.
        rtol: difference that counts as none, in units of the larger value at that step, >= 0.
        atol: difference that counts as none, >= 0; both are added.

    Returns:
        The largest differences and the first step that differs. A value that is not finite differs from all but itself.

    Raises:
        TypeError: `a` or `b` is none of these.
        ValueError: there is no step, or an array does not hold one value for each.

    Examples:
        >>> from lrsched import Cosine, Linear
        >>> from lrsched import equality
        >>> equality(Linear(1.0, 0.0, steps=4), Cosine(1.0, 0.0, steps=4), steps=5).first
        1
        >>> equality(Linear(1.0, 0.0, steps=4), lambda t: 1 - t / 4, steps=5)
        Equality(absolute=0.0, relative=0.0, first=None)
    """
    where = _steps(steps)
    left, right = _values("a", a, where), _values("b", b, where)
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.abs(left), np.abs(right))
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        distance = np.where(same, 0.0, np.abs(left - right))
        share = np.where(same, 0.0, distance / np.where(size > 0.0, size, 1.0))
    # Also where the difference is not a number.
    far = np.flatnonzero(~(same | (distance <= atol + rtol * size) & np.isfinite(distance)))
    return Equality(_largest(distance), _largest(share), int(where[far[0]]) if far.size else None)


def _largest(differences: Floats) -> float:
    return float(np.max(np.nan_to_num(differences, nan=np.inf, posinf=np.inf)))


def _steps(steps: Any) -> NDArray[np.int64]:
    if isinstance(steps, int | float | np.number):
        return np.arange(Int(low=1)("equality(steps=...)", steps), dtype=np.int64)
    given = np.asarray(steps)
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu" or int(given.min()) < 0:
        raise ValueError(f"equality(steps=...) must be an int >= 1 or a row of ints >= 0, got {short(steps)}")
    return given.astype(np.int64)


def _values(name: str, curve: Any, steps: NDArray[np.int64]) -> Floats:
    where = f"equality({name}=...)"
    if isinstance(curve, Schedule):
        return np.asarray(Complete()(where, curve)(steps), dtype=np.float64) + np.zeros(steps.size)
    if is_function(curve):
        return np.array([float(curve(step)) for step in steps.tolist()], dtype=np.float64)
    if not isinstance(curve, Sequence | np.ndarray) or isinstance(curve, str | bytes):
        raise TypeError(f"{where} must be a schedule, a function or an array, got {short(curve)}")
    given = Row(0)(where, curve)
    if given.shape != steps.shape:
        raise ValueError(f"{where} must hold {steps.size} values, one for each step, got shape {given.shape}")
    return given
