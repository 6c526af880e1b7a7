"""Optax schedules as schedules."""

import contextlib
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lrsched import Schedule, Table
from lrsched.arguments import Int, checked
from lrsched.compat import optax as recipes

# In units of the largest value, where the function computes in float64.
_SAME = 1e-9


class Imported(NamedTuple):
    """What `from_optax` found.

    Attributes:
        schedule: the schedule.
        sampled: whether it is only a `Table` of the values of the first steps, because the function is not known.
        difference: the largest difference from the function, computed in float64, in units of its largest value.
    """

    schedule: Schedule
    sampled: bool
    difference: float


@checked
def from_optax(fn: Any, steps: Annotated[int, Int(low=1, high=10**8)]) -> Imported:
    """The schedule that an Optax function computes.

    The functions that Optax builds are recognised, joined ones too, and give what `lrsched.compat.optax` builds from
    their arguments; the result is compared with the function at each of the first steps. Any other function of the
    count is read off: its first `steps` values become a `Table`, whose last value holds.

    Args:
        fn: an Optax schedule, any other function of the update count, a number, or a schedule of lrsched.
        steps: how many steps to compare or to read off, at least 1, at most 10**8.

    Returns:
        The schedule, and whether it is sampled.

    Raises:
        TypeError: `fn` is no function and no number.
        ValueError: `steps` is below 1, or a value is negative or not finite.

    Examples:
        >>> import optax
        >>> from_optax(optax.cosine_decay_schedule(0.5, 100), steps=100).schedule
        Cosine(0.5, 0.0, steps=100)
        >>> from_optax(lambda count: 0.5 / (1 + count), steps=3)
        Imported(schedule=Table((0.5, 0.25, 0.1666666716337204)), sampled=True, difference=0.0)
    """
    if isinstance(fn, Schedule):
        return Imported(fn, sampled=False, difference=0.0)
    if isinstance(fn, int | float) and not isinstance(fn, bool):
        return Imported(recipes.constant_schedule(fn), sampled=False, difference=0.0)
    if not callable(fn):
        raise TypeError(f"from_optax(fn=...) must be a function of the count, got {fn!r}")
    schedule = _read(fn)
    if schedule is not None:
        with jax.enable_x64(True):
            exact = _values(fn, steps)
        difference = float(np.max(np.abs(schedule(np.arange(steps)) - exact)) / (np.max(np.abs(exact)) or 1.0))
        if difference <= _SAME:
            return Imported(schedule, sampled=False, difference=difference)
    values = _values(fn, steps)
    for step in np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))[:1].tolist():
        raise ValueError(f"from_optax(fn=...) must give finite values >= 0, got {float(values[step])!r} at step {step}")
    return Imported(Table(tuple(values.tolist())), sampled=True, difference=0.0)


def _values(fn: Any, steps: int) -> NDArray[np.float64]:
    """Return the values of a function at each of the first steps, in the precision that is on."""
    return np.array([float(fn(jnp.asarray(step))) for step in range(steps)])


def _read(fn: Any) -> Schedule | None:
    """Return the schedule of a function that Optax built, or None."""
    if isinstance(fn, Schedule):
        return fn
    maker, _, inner = getattr(fn, "__qualname__", "").partition(".<locals>.")
    if not str(getattr(fn, "__module__", "")).startswith("optax.") or not inner:
        return None
    try:
        return _rebuild(maker, inner, _cells(fn))
    except (KeyError, TypeError, ValueError):
        return None  # of another version of Optax, or with arguments that a schedule does not take


def _cells(fn: Any) -> dict[str, Any]:
    """Return the variables that a function took from its maker; one that was never set is left out."""
    cells = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            cells[name] = cell.cell_contents
    return cells


def _rebuild(maker: str, inner: str, cells: dict[str, Any]) -> Schedule | None:
    if inner == "<lambda>":
        (value,) = cells.values()
        return recipes.constant_schedule(_number(value))
    if maker == "join_schedules":
        parts = [_read(part) for part in cells["schedules"]]
        known = [part for part in parts if part is not None]
        boundaries = [int(_number(step)) for step in cells["boundaries"]]
        return recipes.join_schedules(known, boundaries) if len(known) == len(parts) else None
    read = _MAKERS.get(maker)
    return None if read is None else read({name: _number(item) for name, item in cells.items()})


def _number(item: Any) -> Any:
    """Return an array of no dimension as a Python number."""
    return item.item() if hasattr(item, "item") else item


def _polynomial(cells: dict[str, Any]) -> Schedule:
    names = ("init_value", "end_value", "power", "transition_steps", "transition_begin")
    return recipes.polynomial_schedule(**{name: cells[name] for name in names})


def _exponential(cells: dict[str, Any]) -> Schedule:
    names = ("init_value", "transition_steps", "decay_rate", "transition_begin", "staircase", "end_value")
    return recipes.exponential_decay(**{name: cells[name] for name in names})


def _cosine(cells: dict[str, Any]) -> Schedule:
    # The first call of the function turns the number of steps into a float.
    steps = float(cells["decay_steps"])
    if not steps.is_integer():
        raise ValueError(f"from_optax(fn=...) must count whole steps, got {steps!r}")
    names = ("init_value", "alpha", "exponent")
    arguments = {name: cells[name] for name in names}
    return recipes.cosine_decay_schedule(decay_steps=int(steps), **arguments)


def _piecewise(cells: dict[str, Any]) -> Schedule:
    return recipes.piecewise_constant_schedule(cells["init_value"], cells["boundaries_and_scales"])


def _interpolated(cells: dict[str, Any]) -> Schedule:
    kind = "linear" if cells["interpolate_fn"].__name__ == "_linear_interpolate" else "cosine"
    points = {int(step): scale for step, scale in zip(cells["boundaries"], cells["scales"], strict=True)}
    return recipes.piecewise_interpolate_schedule(kind, cells["init_value"], points)


_MAKERS: dict[str, Callable[[dict[str, Any]], Schedule]] = {
    "polynomial_schedule": _polynomial,
    "exponential_decay": _exponential,
    "cosine_decay_schedule": _cosine,
    "piecewise_constant_schedule": _piecewise,
    "piecewise_interpolate_schedule": _interpolated,
}
