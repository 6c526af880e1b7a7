"""`to_hf_kwargs`: a schedule as the arguments of the Hugging Face Trainer."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from lrsched._core.check import Int, short
from lrsched._curves import Complete, Schedule
from lrsched._curves.equality import equality
from lrsched._translate.reading import Reading, readings
from lrsched.compat import transformers

# Steps that are compared at once, and the difference that counts as none, in units of the largest rate.
CHUNK = 2**18
TOLERANCE = 1e-12
_RAMPS = ("linear", "cosine", "1-sqrt")


def to_hf_kwargs(schedule: Schedule, steps: int) -> dict[str, Any]:
    """Return the arguments with which the Hugging Face Trainer follows a schedule.

    The result is proven before it is returned: the schedule that `compat.transformers.from_config` builds from it, the
    one of the Trainer, is compared with the given one at every step of the training. They differ by at most 1e-12 of
    the largest rate. It does not matter how the curve is written, nor what it does after the last update.

    Args:
        schedule: the schedule.
        steps: updates of the training, >= 1, which become `max_steps`; most types depend on them.

    Returns:
        `learning_rate`, `lr_scheduler_type`, `warmup_steps`, `lr_scheduler_kwargs` and `max_steps`, for
        `transformers.TrainingArguments`.

    Raises:
        TypeError: `schedule` is none.
        ValueError: no type gives this curve; the message names the nearest and what to do instead.

    Examples:
        >>> from lrsched import Cosine, Warmup
        >>> from lrsched import to_hf_kwargs
        >>> to_hf_kwargs(Warmup(500) >> Cosine(3e-4, 3e-5, steps=9_500), steps=10_000)["lr_scheduler_kwargs"]
        {'min_lr': 3e-05}

    References:
        transformers 5.23.0, optimization.py, get_scheduler, and trainer.py, create_scheduler.
    """
    node = Complete()("to_hf_kwargs(schedule=...)", schedule)
    total = Int(low=1)("to_hf_kwargs(steps=...)", steps)
    probe = Probe(node, total)
    for seen in readings(node, total):
        probe.look_at(seen)
        for name, reading in product(_FAMILIES, seen):
            for warmup, kwargs in _FAMILIES[name](reading, total):
                found = {
                    "learning_rate": reading.lr,
                    "lr_scheduler_type": name,
                    "warmup_steps": warmup,
                    "lr_scheduler_kwargs": kwargs,
                    "max_steps": total,
                }
                if probe.accepts(name, found):
                    return found
    raise ValueError(
        f"to_hf_kwargs(schedule=...) must be a curve that an lr_scheduler_type of transformers gives in {total} steps, "
        f"got {short(node)}: {probe.nearest}; to_source(schedule, 'transformers') prints code for it, and the Trainer "
        "takes a lrsched_torch.ScheduleLR as optimizers=(optimizer, scheduler)"
    )


class Probe:
    """Compares candidates with a schedule: at a few steps, and those that pass at all of them.

    Args:
        node: the schedule.
        total: steps of the training.

    Attributes:
        nearest: a text about the candidate that came nearest.
    """

    def __init__(self, node: Schedule, total: int) -> None:
        self.node, self.total = node, total
        self.nearest, self._distance = "", (True, math.inf)
        self._tried: set[str] = set()

    def look_at(self, seen: list[Reading]) -> None:
        """Choose the few steps: some everywhere, and those near the corners of what was read."""
        corners = {r.warmup for r in seen} | {r.warmup + r.stable for r in seen}
        near = {corner + shift for corner in corners for shift in (-1, 0, 1, 2)}
        spread = {self.total * i // 13 for i in range(13)} | {self.total - 1, self.total - 2, 1, 2, 3}
        self.places = sorted(t for t in near | spread if 0 <= t < self.total)
        self.rates = [self.node(t) for t in self.places]
        self.top = max(map(abs, self.rates))

    def accepts(self, name: str, arguments: dict[str, Any]) -> bool:
        """Return whether the arguments give the schedule, and remember how far they are from it if not."""
        text = repr(arguments)
        if text in self._tried:
            return False
        self._tried.add(text)
        try:
            found = transformers.from_config(arguments)
        except (TypeError, ValueError):
            return False
        place = self._where(found)
        alike = place is None
        if alike:
            place = first_difference(self.node, found, self.total, self.top)
            if place is None:
                return True
            # Others that are wrong there need not be compared everywhere.
            self.places.append(place)
            self.rates.append(self.node(place))
        distance = (not alike, abs(self.node(place) - found(place)))
        if distance < self._distance:
            self._distance = distance
            there = f"{found(place)!r} at step {place} instead of {self.node(place)!r}"
            self.nearest = f"the nearest, {name!r}, has {there}"
        return False

    def _where(self, found: Schedule) -> int | None:
        """Return the one of the few steps at which a candidate is farthest away, if it is not right at all of them."""
        off = [abs(found(t) - rate) for t, rate in zip(self.places, self.rates, strict=True)]
        return self.places[off.index(max(off))] if max(off) > TOLERANCE * self.top else None


def first_difference(a: Schedule, b: Schedule, total: int, top: float) -> int | None:
    """Return a step below `total` at which two schedules differ by more than the tolerance, or None."""
    for start in range(0, total, CHUNK):
        steps = np.arange(start, min(start + CHUNK, total))
        top = max(top, float(np.max(np.abs(a(steps)))))
        where = equality(a, b, steps, rtol=0.0, atol=TOLERANCE * top).first
        if where is not None:
            return where
    return None


Kwargs = Iterator[tuple[int, dict[str, Any]]]


def _given(**named: Any) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


def _other(value: Any, default: Any) -> Any:
    """Return a value, or None if it is the default."""
    return None if value == default else value


def _constant(r: Reading, total: int) -> Kwargs:
    if r.warmup == 0:
        yield 0, {}


def _plain(r: Reading, total: int) -> Kwargs:
    yield r.warmup, {}


def _cosine(r: Reading, total: int) -> Kwargs:
    yield r.warmup, _given(num_cycles=_other(_cycles(r, total - r.warmup), 0.5))


def _cycles(r: Reading, steps: int) -> float:
    """Return the turns of the wave in a number of steps."""
    return 0.5 * max(steps, 1) / r.half


def _inverse_sqrt(r: Reading, total: int) -> Kwargs:
    if r.timescale is not None:
        yield r.warmup, _given(timescale=_other(r.timescale, r.warmup or 10_000))


def _cosine_to_a_floor(r: Reading, total: int) -> Kwargs:
    yield r.warmup, _given(num_cycles=_other(_cycles(r, total - r.warmup), 0.5), min_lr=r.low)


def _polynomial(r: Reading, total: int) -> Kwargs:
    yield r.warmup, _given(lr_end=r.low, power=_other(r.power, 1.0))


def _restarts(r: Reading, total: int) -> Kwargs:
    # A guess of thousands of waves comes from a curve that is no wave.
    if r.restarts <= min(total, 1000):
        yield r.warmup, _given(num_cycles=_other(r.restarts, 1))


def _cosine_warmed_in_time(r: Reading, total: int) -> Kwargs:
    # The line has its top at its last update, and the wave its first step behind it.
    for warmup, first in ((r.warmup + 1, r.first / r.lr if r.lr else None), (1, None), (0, None), (1, r.first)):
        if first is r.first and r.lr:
            first = r.first / r.lr
        if first is not None and first * warmup == 1.0:
            first = None
        cycles = _other(_cycles(r, total - warmup), 0.5)
        yield warmup, _given(num_cycles=cycles, min_lr=r.low, warmup_lr_rate=first)


def _stable(r: Reading, total: int) -> Kwargs:
    if not r.lr:
        return
    end = r.warmup + r.stable - r.late + r.decay
    stable = None if end == total else max(r.stable - r.late, 0)
    cycles = 0.5 * r.decay / r.half if r.decay else 0.5
    for fall in _RAMPS:
        for rise in _RAMPS if r.warmup else _RAMPS[:1]:
            yield (
                r.warmup,
                _given(
                    num_decay_steps=r.decay,
                    num_stable_steps=stable,
                    warmup_type=_other(rise, "linear"),
                    decay_type=_other(fall, "cosine"),
                    min_lr_ratio=_other(r.low / r.lr, 0.0),
                    num_cycles=_other(cycles, 0.5) if fall == "cosine" else None,
                ),
            )


# The simplest first.
_FAMILIES = {
    "constant": _constant,
    "constant_with_warmup": _plain,
    "linear": _plain,
    "cosine": _cosine,
    "inverse_sqrt": _inverse_sqrt,
    "cosine_with_min_lr": _cosine_to_a_floor,
    "polynomial": _polynomial,
    "cosine_with_restarts": _restarts,
    "cosine_warmup_with_min_lr": _cosine_warmed_in_time,
    "warmup_stable_decay": _stable,
}
