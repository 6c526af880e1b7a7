"""By what an Optax optimizer multiplies the direction of its updates: numbers and functions of the count."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import optax

from lrsched import Constant, Product, Schedule
from lrsched.arguments import short
from lrsched_optax._closures import cells_of, maker_of

# They pass on what they get, or add to it, and so do not say where the direction is found.
_PASSING = ("add_decayed_weights", "add_noise", "identity", "keep_params_nonnegative", "trace", "zero_nans")
# Their updates depend on values, gradients or metrics, and not on the count alone.
_ADAPTIVE = (
    "cocob",
    "dadapt_adamw",
    "dog",
    "dowg",
    "mechanize",
    "momo",
    "momo_adam",
    "prodigy",
    "reduce_on_plateau",
    "scale_by_backtracking_linesearch",
    "scale_by_feedback",
    "scale_by_polyak",
    "scale_by_zoom_linesearch",
)
# Hyperparameters are tried at these values, to see whether the rate is proportional to them.
_TRIED = (0.5, 0.25)


class Factors(NamedTuple):
    """A number times functions of the count: the rate of an optimizer, with its sign."""

    number: float
    functions: tuple[Callable[[Any], Any], ...]

    def at(self, count: Any) -> Any:
        """Return the rate of an update."""
        return math.prod((f(count) for f in self.functions), start=abs(self.number))


class _ChainPart(NamedTuple):
    """A part of a chain: a factor, or what finds the direction, of all parameters or of some."""

    name: str
    factor: Any = None
    some: bool = False


def is_optimizer(thing: Any) -> bool:
    """Return whether something is a transformation of gradients."""
    return isinstance(thing, optax.GradientTransformation | optax.MultiSteps)


def factors_of(optimizer: Any) -> Factors:
    """Return by what the directions of an optimizer are multiplied."""
    links = list(_links(optimizer))
    finding = [i for i, link in enumerate(links) if link.factor is None]
    first = finding[0] if finding else 0
    early = [link for link in links[:first] if callable(link.factor)]
    factors = [link for link in links[first:] if link.factor is not None]
    if early:
        raise _refused(f"a schedule after the direction is found, got one before {links[first].name}")
    if not factors:
        raise _refused(f"an optimizer with a learning rate, got {[link.name for link in links] or 'nothing'}")
    if any(link.some for link in factors) and not all(link.some for link in factors):
        raise _refused("one rate for all parameters, got a factor that is masked beside one that is not")
    numbers = [float(link.factor) for link in factors if not callable(link.factor)]
    return Factors(math.prod(numbers), tuple(link.factor for link in factors if callable(link.factor)))


def held(state: Any) -> Schedule | None:
    """Return the rate that the state of `inject_hyperparams` holds, or None if it is no such state.

    Raises:
        ValueError: a schedule gives that rate, which the state does not hold.
    """
    if not isinstance(state, tuple | list | dict):
        return None
    for part in jax.tree.leaves(state, is_leaf=_has_rate):
        if _has_rate(part):
            rate = float(part.hyperparams["learning_rate"])
            if "learning_rate" in getattr(part, "hyperparams_states", ()):
                raise _refused(f"the optimizer, got its state, which holds one value of a schedule, {rate!r}")
            return Constant(rate)
    return None


def _has_rate(part: Any) -> bool:
    return "learning_rate" in getattr(part, "hyperparams", ())


def _refused(what: str) -> ValueError:
    return ValueError(f"from_optax(fn=...) must be {what}")


def _links(optimizer: Any) -> Iterator[_ChainPart]:
    """Yield the links of a transformation."""
    inside = getattr(optimizer.update, "__self__", optimizer)
    if isinstance(inside, optax.MultiSteps):
        yield from _links(inside.inner_opt)
        return
    name, cells = maker_of(optimizer.update), cells_of(optimizer.update)
    if name in _ADAPTIVE:
        raise _refused(f"an optimizer whose rate is a function of the count, got one with {name}")
    if name == "scale":
        yield _ChainPart(name, cells["step_size"])
    elif name == "scale_by_schedule":
        yield from _scheduled(cells["step_size_fn"])
    elif name == "from_rule":
        yield _ChainPart(name)
        yield _ChainPart(name, cells["learning_rate"])
    elif name == "inject_hyperparams":
        yield from _injected({**cells_of(optimizer.init), **cells})
    elif name == "partition":
        yield from _one_of(cells["transforms"])
    else:
        inner = _transformations(cells, cells_of(optimizer.init))
        some = name in ("masked", "conditionally_mask")
        for part in inner:
            yield from (link._replace(some=link.some or some) for link in _links(part))
        if not inner and name not in _PASSING:
            yield _ChainPart(name)


def _scheduled(fn: Any) -> Iterator[_ChainPart]:
    """Yield what a function of the count multiplies; the sign that Optax has put before it is a number."""
    cells = cells_of(fn)
    if maker_of(fn) == "scale_by_learning_rate" and set(cells) == {"learning_rate", "m"}:
        yield _ChainPart("scale_by_learning_rate", cells["m"])
        fn = cells["learning_rate"]
    yield _ChainPart("scale_by_schedule", fn)


def _transformations(cells: dict[str, Any], first: dict[str, Any]) -> list[Any]:
    """Return the transformations that a transformation keeps, from the variables of its `update` and its `init`."""
    if "update_fns" in cells:  # of a `chain`
        return list(map(optax.GradientTransformation, first["init_fns"], cells["update_fns"]))
    return list(_within(list(cells.values())))


def _within(kept: Any) -> Iterator[Any]:
    """Yield the transformations in a container."""
    if is_optimizer(kept):
        yield kept
    elif isinstance(kept, tuple | list | dict):
        for item in kept.values() if isinstance(kept, dict) else kept:
            yield from _within(item)


def _one_of(transforms: dict[Any, Any]) -> Iterator[_ChainPart]:
    """Yield the links of transformations of parts of the parameters, if all that move have one rate."""
    links = {label: [link.name for link in _links(tx)] for label, tx in transforms.items()}
    found = {label: factors_of(tx) for label, tx in transforms.items() if links[label] != ["set_to_zero"]}
    first = next(iter(found.values()), None)
    if first is None or any(factors != first for factors in found.values()):
        raise _refused(
            f"one rate for all parameters, got {len(found)} with the labels {short(list(found))}: read each by itself"
        )
    yield _ChainPart("partition")
    yield _ChainPart("partition", first.number)
    yield from (_ChainPart("partition", f) for f in first.functions)


def _injected(cells: dict[str, Any]) -> Iterator[_ChainPart]:
    """Yield the rate of an optimizer whose hyperparameters follow schedules, tried at some of their values."""
    schedules = cells["sched_hps"]

    def tried(**values: float) -> Factors:
        values = {**dict.fromkeys(schedules, _TRIED[0]), **values}
        return factors_of(cells["inner_factory"](**cells["other_hps"], **cells["numeric_hps"], **values))

    yield _ChainPart("inject_hyperparams")
    number, functions = all_at_first = tried()
    for name, schedule in schedules.items():
        change = tried(**{name: _TRIED[1]}).number / (all_at_first.number or 1.0)
        if math.isclose(change, 1.0):
            continue
        inner = getattr(schedule, "schedule_fn", None)
        if inner is None or not math.isclose(change, _TRIED[1] / _TRIED[0]):
            raise _refused(f"an optimizer whose rate is a function of the count, got one that follows {name}")
        number /= _TRIED[0]
        yield _ChainPart(name, inner)
    yield _ChainPart("inject_hyperparams", number)
    yield from (_ChainPart("inject_hyperparams", f) for f in functions)


def product_of(found: list[tuple[float, Schedule]], number: float) -> tuple[float, Schedule]:
    """Return the product of a number and schedules, each with its factor, as one with its factor."""
    number = math.prod((scale for scale, _ in found), start=number)
    schedules = tuple(schedule for _, schedule in found)
    if not schedules:
        return number, Constant(1.0)
    return number, schedules[0] if len(schedules) == 1 else Product(schedules)
