"""Optax schedules as schedules."""

import warnings
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lrsched import Constant, Product, Schedule, Table
from lrsched.arguments import Int, checked, short
from lrsched.compat import optax as recipes
from lrsched_optax._closures import cells_of, kept_by, maker_of
from lrsched_optax._factors import Factors, factors_of, held, is_optimizer, product_of

# In units of the largest value, where the function computes in float64.
_SAME = 1e-9
# Steps at which a function is tried first.
_TRIED = (0, 1, 2, 3, 7, 20, 90, 150, 400, 1700, 9000, 60_000)


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
    """The schedule that an Optax function computes or an optimizer follows.

    The functions that Optax builds are recognised, joined ones too, and give what `lrsched.compat.optax` builds from
    their arguments; so is a function that calls a known one and multiplies it by a number, as `lambda count: -s(count)`
    does. The result is compared with the function at each of the first steps. Any other function of the count is read
    off: its first `steps` values become a `Table`, whose last value holds, with a warning.

    The rate of an optimizer is all that multiplies the direction after it is found: `scale_by_learning_rate`, `scale`,
    `scale_by_schedule`, without their sign. `chain`, `inject_hyperparams`, `MultiSteps`, `masked`, `apply_if_finite`
    and other wrappers are looked into, and `partition` (`multi_transform`) whose labels have one rate; parameters that
    are set to zero do not count. Steps are updates, under `MultiSteps` too, counted from 0 however many were taken. The
    state of `inject_hyperparams` gives the number that it holds.

    Args:
        fn: an Optax schedule, any other function of the update count, a number, or a schedule of lrsched; an optimizer;
            or a state with the hyperparameter `learning_rate`.
        steps: how many steps to compare or to read off, at least 1, at most 10**8.

    Returns:
        The schedule, and whether it is sampled.

    Raises:
        TypeError: `fn` is no function, number, optimizer or such a state.
        ValueError: `steps` is below 1, or a value is negative or not finite; the rate of the optimizer is not a
            function of the count, there is none, or there are several; or the state holds one value of a schedule.

    Warns:
        UserWarning: the function is not known, and was read off.

    Examples:
        >>> import optax
        >>> from_optax(optax.cosine_decay_schedule(0.5, 100), steps=100).schedule
        Cosine(0.5, 0.0, steps=100)
        >>> optimizer = optax.chain(optax.clip(1.0), optax.adamw(optax.linear_schedule(0.5, 0.0, 10)))
        >>> from_optax(optimizer, steps=10).schedule
        Linear(0.5, 0.0, steps=10)
        >>> import warnings
        >>> with warnings.catch_warnings(action="ignore"):
        ...     from_optax(lambda count: 0.5 / (1 + count), steps=3)
        Imported(schedule=Table((0.5, 0.25, 0.1666666716337204)), sampled=True, difference=0.0)
    """
    if isinstance(fn, Schedule):
        return Imported(fn, sampled=False, difference=0.0)
    if isinstance(fn, int | float) and not isinstance(fn, bool):
        return Imported(recipes.constant_schedule(fn), sampled=False, difference=0.0)
    optimizer = is_optimizer(fn)
    state = None if optimizer or callable(fn) else held(fn)
    if state is not None:
        return Imported(state, sampled=False, difference=0.0)
    if not (optimizer or callable(fn)):
        raise TypeError(f"from_optax(fn=...) must be a function of the count or an optimizer, got {short(fn)}")
    factors = factors_of(fn) if optimizer else Factors(1.0, (fn,))
    known = [_read(f) for f in factors.functions]
    if None not in known:
        scale, schedule = product_of([one for one in known if one is not None], factors.number)
        scale = abs(scale) if optimizer else scale
        if scale >= 0.0:
            schedule = schedule if scale == 1.0 else Constant(scale) if schedule == Constant(1.0) else scale * schedule
            with jax.enable_x64(True):
                exact = np.abs(_values(factors.at, steps)) if optimizer else _values(fn, steps)
            difference = float(np.max(np.abs(schedule(np.arange(steps)) - exact)) / (np.max(np.abs(exact)) or 1.0))
            if difference <= _SAME:
                return Imported(schedule, sampled=False, difference=difference)
    values = _values(factors.at, steps)
    if optimizer and np.all(values <= 0.0):
        values = -values
    for step in np.flatnonzero(~(np.isfinite(values) & (values >= 0.0)))[:1].tolist():
        raise ValueError(f"from_optax(fn=...) must give finite values >= 0, got {float(values[step])!r} at step {step}")
    warnings.warn(
        f"from_optax(fn=...) does not know this function: its first {steps} values are listed in a Table, whose last "
        "one holds from then on",
        UserWarning,
        stacklevel=3,
    )
    return Imported(Table(tuple(values.tolist())), sampled=True, difference=0.0)


def _values(fn: Any, steps: int) -> NDArray[np.float64]:
    """Return the values of a function at each of the first steps, in the precision that is on."""
    return np.array([float(fn(jnp.asarray(step))) for step in range(steps)])


def _read(fn: Any, deep: int = 3) -> tuple[float, Schedule] | None:
    """Return the schedule of a function and what it is multiplied with, or None if the function is not known."""
    if isinstance(fn, Schedule):
        return 1.0, fn
    inner = getattr(fn, "__qualname__", "").partition(".<locals>.")[2]
    if inner and str(getattr(fn, "__module__", "")).startswith("optax."):
        try:
            found = _rebuild(maker_of(fn), inner, cells_of(fn))
        except (KeyError, TypeError, ValueError):
            found = None  # of another version of Optax, or with arguments that a schedule does not take
        if found is not None:
            return found
    return _multiple(fn, deep - 1) if deep else None


def _multiple(fn: Any, deep: int) -> tuple[float, Schedule] | None:
    """Return the schedule that a function multiplies by a number, if it calls one."""
    known = [found[1] for found in (_read(one, deep) for one in kept_by(fn)) if found is not None]
    if not known:
        return None
    try:
        with jax.enable_x64(True):
            values = np.array([float(fn(jnp.asarray(step))) for step in _TRIED])
    except Exception:  # it is no function of the count alone, and says so in its own way
        return None
    for schedule in [*known, *([Product(tuple(known))] if len(known) > 1 else [])]:
        ours = schedule(np.array(_TRIED))
        place = int(np.argmax(np.abs(ours)))
        scale = float(f"{values[place] / ours[place]:.12g}") if ours[place] else 0.0
        if np.allclose(values, scale * ours, rtol=_SAME, atol=_SAME * abs(values[place])):
            return scale, schedule
    return None


def _rebuild(maker: str, inner: str, cells: dict[str, Any]) -> tuple[float, Schedule] | None:
    if inner == "<lambda>" and len(cells) == 1:
        (value,) = cells.values()
        return 1.0, recipes.constant_schedule(_number(value))
    if maker == "join_schedules":
        parts = [_read(part) for part in cells["schedules"]]
        known = [part for part in parts if part is not None]
        sign = -1.0 if all(scale < 0.0 for scale, _ in known) else 1.0
        pieces = [schedule if scale == sign else scale / sign * schedule for scale, schedule in known]
        boundaries = [int(_number(step)) for step in cells["boundaries"]]
        return (sign, recipes.join_schedules(pieces, boundaries)) if len(known) == len(parts) else None
    read = _MAKERS.get(maker)
    return None if read is None else (1.0, read({name: _number(item) for name, item in cells.items()}))


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
