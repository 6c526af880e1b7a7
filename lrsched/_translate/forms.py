"""The same curve on a run, written in other ways: what a library may have a name for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrsched._curves import (
    Chain,
    Constant,
    Cosine,
    Extend,
    Hold,
    Linear,
    Polynomial,
    PowerLaw,
    Repeat,
    Schedule,
    bounded,
)
from lrsched._translate.guesses import Guess, guesses
from lrsched._translate.native import parts
from lrsched._translate.proof import Configuration, Proof

_BLOCK = 2**16
# A longer run is looked at to here, and then at steps further and further apart.
_LOOKED_AT = 2**22


def forms(schedule: Schedule, steps: int | None) -> Iterator[Schedule]:
    """Yield the schedule, and others that are equal to it on the run.

    Args:
        schedule: the schedule.
        steps: updates of the run, or None where the schedule itself is wanted.

    Yields:
        Schedules that differ from it by at most 1e-12 of the largest rate, those first that say most plainly what the
        run sees.
    """
    if steps is None:
        yield schedule
        return
    cut = within(schedule, steps)
    yield from _last_ways(cut, steps)
    proof = Proof(schedule, _build, lambda: _blocks(steps))
    spread = {steps * i // 13 for i in range(13)} | {steps - 1, steps - 2, 1, 2, 3}
    for seen in guesses(schedule, steps):
        turns = {r.warmup for r in seen} | {r.warmup + r.stable for r in seen}
        proof.look_at(t for t in {turn + shift for turn in turns for shift in (-1, 0, 1, 2)} | spread if 0 <= t < steps)
        for pieces in dict.fromkeys(pieces for guess in seen for pieces in _written(guess)):
            if proof.gives(repr(pieces), {"pieces": pieces}):
                yield from _last_ways(within(_build({"pieces": pieces}), steps), steps)


def _build(configuration: Configuration) -> Schedule:
    return Schedule.sequence([kind(*arguments) for kind, *arguments in configuration["pieces"]])


def _blocks(steps: int) -> Iterator[NDArray[np.int64]]:
    near = min(steps, _LOOKED_AT)
    yield from (np.arange(start, min(start + _BLOCK, near)) for start in range(0, near, _BLOCK))
    if steps > near:
        yield np.unique(np.geomspace(near, steps - 1, _BLOCK).astype(np.int64))


def within(schedule: Schedule, steps: int) -> Schedule:
    """Return a schedule without what only comes after so many steps."""
    match schedule:
        case Chain():
            begun = [
                (part, start) for part, start in zip(schedule.parts, schedule.starts, strict=True) if start < steps
            ]
            last, start = begun.pop()
            kept = [part for part, _ in begun]
            return _merged([*kept, within(last, steps - start)])
        case Constant(value):
            return Constant(value)
        case Hold(inner, length) if length >= steps - 1:
            return within(inner, steps)
        case Extend(ramp) if ramp.steps >= steps - 1:
            return ramp
        case Repeat(inner) if schedule._even and schedule._period >= steps:
            return within(inner, steps)
    return schedule


def _merged(pieces: list[Schedule]) -> Schedule:
    """Return a chain with each level as one part, and none at the end that the part before it holds."""
    joined: list[Schedule] = []
    for part in pieces:
        before = joined[-1] if joined else None
        if isinstance(part, Constant) and isinstance(before, Constant) and before.value == part.value:
            joined[-1] = Constant(part.value, part.steps and part.steps + bounded(before))
        elif part is not pieces[-1] or not _held(before, part):
            joined.append(part)
    return Schedule.sequence(joined)


def _held(before: Schedule | None, part: Schedule) -> bool:
    return before is not None and isinstance(part, Constant) and before(bounded(before)) == part.value


def _last_ways(schedule: Schedule, steps: int) -> Iterator[Schedule]:
    """Yield a schedule: one that ends with half a wave as if it went on, then as it is, then with what it holds."""
    *before, last = parts(schedule)
    end = sum(map(bounded, before)) + (last.length or 0)
    if isinstance(last, Cosine) and end >= steps - 1:
        yield Schedule.sequence([*before, Extend(last)])
    yield schedule
    if last.length is not None and end < steps - 1 and not isinstance(last, Constant):
        yield Schedule.sequence([*before, last, Constant(last(last.length))])


# A class and its arguments, which may not fit.
Piece = tuple[Any, ...]


def _written(r: Guess) -> Iterator[tuple[Piece, ...]]:
    """Yield what a guess stands for: a line up, a level, and a fall."""
    rise = ((Linear, r.first, r.lr, r.warmup),) if r.warmup else ()
    stay = ((Constant, r.lr, r.stable),) if r.stable else ()
    for fall in _falls(r):
        yield (*rise, *stay, fall)


def _falls(r: Guess) -> Iterator[Piece]:
    half = round(r.half)
    yield Constant, r.lr
    yield Cosine, r.lr, r.low, half
    for length in dict.fromkeys([r.decay, half]):
        yield (Linear, r.lr, r.low, length) if r.power == 1.0 else (Polynomial, r.lr, r.low, length, r.power)
    if r.timescale is not None:
        yield PowerLaw, r.lr, 0.5, r.timescale
