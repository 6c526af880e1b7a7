"""One call of another library's function: its arguments by their meaning, and what its evaluated curve does."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np

from lrsched._curves import Schedule
from lrsched._draw.samples import horizon as reach
from lrsched._draw.samples import sample
from lrsched.compat._remarks.table import Convention

# What two rates may differ by and still count as equal, relative to the highest.
TINY = 1e-12
# The warm-up and the length of the curve that shows whether the one is part of the other.
_PROBE = (4, 40)


@dataclass(frozen=True)
class Call:
    """A call and what is known about the training.

    Args:
        library: name of the module of `lrsched.compat`.
        name: name of the function.
        function: the function itself.
        arguments: all arguments by name, defaults included.
        given: names of those that were written.
        convention: what the arguments mean.
        schedule: what the function returns.
        horizon: updates of the training, or None.
        epoch: updates of one epoch, or None.
        batches: batches of which one step of the schedule is one and an update is all; 0 where that is not known, 1
            where a step is an update. `horizon` and `epoch` are batches, too, where there are more.
    """

    library: str
    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    given: frozenset[str]
    convention: Convention
    schedule: Schedule
    horizon: int | None
    epoch: int | None
    batches: int = 1

    @property
    def one(self) -> str:
        """What one step of the schedule is."""
        return "batch" if self.batches > 1 else "update"

    @property
    def many(self) -> str:
        """What the steps of the schedule are."""
        return "batches" if self.batches > 1 else "updates"

    def count(self, name: str) -> int:
        """Return a number of steps among the arguments, in the form that the library has for it, or 0."""
        value = self.arguments.get(name)
        if isinstance(value, str):
            if value.endswith("dur") and "max_duration" in self.arguments:
                return int(float(value[:-3]) * self.count("max_duration"))
            return int(value[:-2]) if value.endswith("ba") and value[:-2].isdigit() else 0
        number = self.number(name) or 0.0
        return int(number) if number > 0 and number == int(number) else 0

    def number(self, name: str) -> float | None:
        """Return an argument that is a number, or None."""
        value = self.arguments.get(name)
        return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)

    @cached_property
    def warmup(self) -> int:
        """Steps of the warm-up, 0 without one."""
        return self.count(self.convention.warmup)

    @cached_property
    def length(self) -> int:
        """The length as it is written, 0 where there is none or it stands for no number."""
        steps = self.count(self.convention.length)
        return steps if steps < 10**9 else 0  # MMEngine's way to say for ever

    def asking(self, steps: int | None = None) -> str:
        """Return the length as it is written, or as one of `steps` would be."""
        name = self.convention.length
        if str(self.arguments[name]).endswith("dur"):  # Composer's times, whose parts refer to the whole
            name = "max_duration"
        value = self.arguments[name]
        if steps is not None:
            value = f"{steps}ba" if isinstance(value, str) else steps
        return f"{name}={value!r}"

    @cached_property
    def rate(self) -> float | None:
        """The highest rate that was asked for."""
        return self.number(self.convention.rate)

    @cached_property
    def end(self) -> float:
        """The last rate that was asked for."""
        last, part = self.number(self.convention.end), self.number(self.convention.part)
        if last is None and part is not None:
            return part * (self.rate or 0.0)
        return last or 0.0

    @cached_property
    def span(self) -> int:
        """The last step that is looked at."""
        return self.warmup + self.length + 2 if self.length else max(reach(self.schedule), self.warmup + 2)

    @cached_property
    def _samples(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        found = sample(self.schedule, self.span)
        near = [s + d for s in (0, self.warmup, self.length, self.warmup + self.length) for d in (-2, -1, 0, 1, 2)]
        steps = np.unique(np.clip(np.concatenate([found.steps, near]), 0, self.span))
        return steps, np.asarray(self.schedule(steps), dtype=np.float64)

    @cached_property
    def top(self) -> float:
        """The highest rate until the end."""
        return float(self._samples[1].max())

    @cached_property
    def peak(self) -> int:
        """The first step with the highest rate."""
        steps, values = self._samples
        return int(steps[np.argmax(values >= self.top - TINY * abs(self.top))])

    @cached_property
    def low(self) -> int:
        """The first step after the peak with the lowest rate until the end; of a fall below 0, that of 0."""
        steps, values = self._samples
        later, fallen = steps[steps >= self.peak], values[steps >= self.peak]
        bottom = max(float(fallen.min()), 0.0)
        return int(later[np.argmax(fallen <= bottom + TINY * abs(self.top))])

    @cached_property
    def bottom(self) -> float:
        """The rate at step `low`."""
        return self.schedule(self.low)

    @cached_property
    def after(self) -> list[tuple[int, float]]:
        """Some steps after `low` and the rates there, as far as the training goes."""
        fall = max(self.low - self.peak, 2)
        steps = sorted({self.low + d for d in (1, 2, 3, fall // 2, fall)})
        return [(t, self.schedule(t)) for t in steps if self.horizon is None or t < self.horizon]

    @cached_property
    def restarts(self) -> bool:
        """Whether the step after the lowest is about as high as the highest."""
        return self.low > self.peak and self.schedule(self.low + 1) > 0.9 * self.top > 2 * self.bottom

    @cached_property
    def stop(self) -> int:
        """The step at which the length ends."""
        inside = self.low <= self.length if self.includes is None else self.includes
        return self.length if inside else self.length + self.warmup

    @cached_property
    def includes(self) -> bool | None:
        """Whether the length holds the warm-up, or None where the curve does not tell."""
        if self.convention.kind != "fall" or not (self.warmup and self.length):
            return None
        found = _includes(self.schedule, self.warmup, self.length, self.low) if self.warmup < self.length else None
        if found is not None:
            return found
        # A pair of lengths that fit, in the same function.
        warmup, length = _PROBE
        try:
            other = self.function(**self.arguments | self.times(warmup, length))
        except (TypeError, ValueError):
            return None
        probe = Call(**{**_fields(self), "arguments": self.arguments | self.times(warmup, length), "schedule": other})
        return _includes(other, warmup, length, probe.low)

    def times(self, warmup: int, length: int) -> dict[str, Any]:
        """Return the arguments that ask for this warm-up, if there is one, and this length."""
        write = "{}ba".format if isinstance(self.arguments[self.convention.length], str) else int
        changed: dict[str, Any] = {self.convention.length: write(length)}
        if self.convention.warmup in self.arguments and warmup:
            changed[self.convention.warmup] = write(warmup)
        return changed | ({"max_duration": write(length)} if "max_duration" in self.arguments else {})


def _fields(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in Call.__dataclass_fields__}


def _includes(schedule: Schedule, warmup: int, length: int, low: int) -> bool | None:
    inside, outside = abs(low - length), abs(low - warmup - length)
    return inside < outside if min(inside, outside) <= 1 and inside != outside else None


# Functions that take the name of another one.
_NAMED = {
    "linear": "get_linear_schedule_with_warmup",
    "cosine": "get_cosine_schedule_with_warmup",
    "cosine_with_restarts": "get_cosine_with_hard_restarts_schedule_with_warmup",
    "polynomial": "get_polynomial_decay_schedule_with_warmup",
    "constant_with_warmup": "get_constant_schedule_with_warmup",
    "inverse_sqrt": "get_inverse_sqrt_schedule",
    "cosine_with_min_lr": "get_cosine_with_min_lr_schedule_with_warmup",
    "cosine_warmup_with_min_lr": "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
    "warmup_stable_decay": "get_wsd_schedule",
}


def resolved(module: ModuleType, name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the function that is meant and its arguments, where the call names it in an argument."""
    if name == "get_scheduler":
        inner = _NAMED.get(str(getattr(arguments["name"], "value", arguments["name"])), "")
        if hasattr(module, inner):
            known = inspect.signature(getattr(module, inner)).parameters
            more = arguments.get("scheduler_specific_kwargs") or {}
            return inner, {k: v for k, v in {**arguments, **more}.items() if k in known and v is not None}
    if name == "from_config":
        inner, _, given = module._call(**arguments)
        if inner in module.__all__:
            return inner, given
    return name, dict(arguments)
