"""What a curve that rises, stays and falls may consist of: guesses, which whoever uses them must prove.

A schedule tells by its parts how it was meant. One that is written otherwise, or comes from another library, tells by
its values: where it is a line, where its top is, where it has fallen by half.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lrsched._curves import Constant, Extend, Hold, PowerLaw, Ramp, Repeat, Schedule, Shift, Stretch
from lrsched._translate.native import neat, parts

# Values beyond these are not looked at for a guess.
_LOOKED_AT = 2**22


@dataclass(frozen=True)
class Guess:
    """A rise to a top, a flat part, a fall or wave.

    Attributes:
        first: value of step 0.
        warmup: steps before the top.
        lr: the top.
        stable: steps at the top.
        decay: steps of the fall until the bottom is held.
        late: first steps of the fall that are left out.
        low: the bottom.
        half: steps of half a wave, from top to bottom.
        power: exponent of the fall.
        timescale: steps before an inverse root is felt.
        restarts: number of waves that begin at the top.
    """

    first: float
    warmup: int
    lr: float
    stable: int = 0
    decay: int = 0
    late: int = 0
    low: float = 0.0
    half: float = 1.0
    power: float = 1.0
    timescale: float | None = None
    restarts: int = 1


def guesses(node: Schedule, total: int) -> Iterator[list[Guess]]:
    """Yield guesses about a schedule in a training of `total` steps: those of its parts, then those of its values."""
    yield list(dict.fromkeys(_written(node, total)))
    yield list(dict.fromkeys(_measured(node, total)))


def _written(node: Schedule, total: int) -> Iterator[Guess]:
    """Yield what the parts of a schedule say."""
    pieces = parts(node)
    yield from _fallen(Guess(node(0), 0, node(0)), pieces, total)
    match pieces:
        case (Ramp(_, top, warmup), *rest) if rest:
            yield from _fallen(Guess(node(0), warmup, top), rest, total)


def _fallen(base: Guess, rest: Sequence[Schedule], total: int) -> Iterator[Guess]:
    """Yield a rise with what the parts after it say."""
    match rest:
        case (Constant(_, int(stable)), tail, *_):
            base = replace(base, stable=stable)
        case _:
            tail = rest[0]
    core, late, scale, cut = _unwrapped(tail)
    match core:
        case Constant(low):
            yield replace(base, low=low, half=max(total - base.warmup, 1))
        case PowerLaw(timescale=timescale):
            yield replace(base, timescale=neat(timescale))
        case Repeat(Ramp(_, low, steps), times):
            for restarts in (times or 1, -(-(total - base.warmup) // steps)):
                yield replace(base, low=low, half=steps * scale, restarts=restarts)
        case Ramp(start, low, steps):
            half = steps * scale
            decay = math.ceil(half) if cut is None else cut + late
            power = getattr(core, "power", 1.0)
            for lr in dict.fromkeys([base.lr, start]):
                yield replace(base, lr=lr, low=low, half=half, power=power, decay=decay, late=late)
            yield replace(base, restarts=max(len(rest) - 1, 1))


def _unwrapped(node: Schedule) -> tuple[Schedule, int, float, int | None]:
    """Return a schedule without its clocks: how late it begins, how much slower it runs, where it is cut."""
    late, scale, cut = 0.0, 1.0, None
    while isinstance(node, Extend | Hold | Shift | Stretch):
        if isinstance(node, Hold) and cut is None:
            cut = round(node.steps * scale)
        ((node, begin, pace),) = node._inside(math.inf)
        late, scale = late - begin * scale, scale * pace
    return node, round(late), scale, cut


def _measured(node: Schedule, total: int) -> Iterator[Guess]:
    """Yield what the values of a schedule say."""
    rates = np.asarray(node(np.arange(min(total, _LOOKED_AT)))) + np.zeros(min(total, _LOOKED_AT))
    top = float(np.max(rates))
    if not top > 0.0:
        yield Guess(0.0, 0, 0.0)
        return
    high = rates >= top * (1.0 - 1e-13)
    first = int(np.argmax(high))
    below = np.flatnonzero(~high[first:])
    last = first + int(below[0]) - 1 if below.size else rates.size - 1
    jumps = int(np.count_nonzero(np.diff(rates[first:]) > 1e-9 * top))
    ends = [total, total - 1, 0] if node.length is None else [total, node.length, total - 1, 0]
    for warmup in dict.fromkeys([first, _line(node, rates), 0]):
        lr = node(warmup)
        if lr <= 0.0:
            continue
        base = Guess(node(0), warmup, lr, restarts=jumps + 1)
        yield from _roots(base, rates)
        for stable in dict.fromkeys([last - warmup, last - warmup + 1, 0] if warmup == first else [0]):
            for low in dict.fromkeys([0.0, *map(node, ends)]):
                fall = replace(base, stable=stable, low=low, decay=_bottom(node, rates, low, total) - warmup - stable)
                yield from _halves(fall, rates)
                yield from _powers(fall, rates, total)
        yield from _waves(base, rates)
    # Where the top lies one step before the first.
    low, share = node(max(total - 1, 0)), (1.0 + math.cos(math.pi / total)) / 2.0
    if share > 0.0:
        yield Guess(node(0), 0, low + (node(0) - low) / share, low=low, half=total)


def _line(node: Schedule, rates: NDArray[np.float64]) -> int:
    """Return the last step up to which the values lie on a line."""
    if rates.size < 3:
        return rates.size - 1
    line = rates[0] + np.arange(rates.size) * (rates[1] - rates[0])
    off = np.flatnonzero(np.abs(rates - line) > 1e-9 * np.max(np.abs(rates)))
    return int(off[0]) - 1 if off.size else rates.size - 1


def _bottom(node: Schedule, rates: NDArray[np.float64], low: float, total: int) -> int:
    """Return the step from which the low value is held, or where the schedule ends."""
    above = np.flatnonzero(np.abs(rates - low) > 1e-14 * np.max(rates))
    found = int(above[-1]) + 1 if above.size else 0
    return found if found < rates.size else max(node.length or total, total)


def _near(number: float) -> list[float]:
    """Return a number found by a fit, first without its last digits."""
    return list(dict.fromkeys([neat(float(f"{number:.10g}")), number]))


def _halves(fall: Guess, rates: NDArray[np.float64]) -> Iterator[Guess]:
    """Yield the fall as a cosine: the steps to the middle tell its length."""
    start = fall.warmup + fall.stable
    middle, height = (fall.lr + fall.low) / 2.0, (fall.lr - fall.low) / 2.0
    if height == 0.0 or start + 1 >= rates.size:
        yield fall
        return
    with np.errstate(over="ignore"):
        share = (rates[start:] - middle) / height
    crossed = np.flatnonzero(share <= 0.0)
    place = int(crossed[0]) if crossed.size and crossed[0] else share.size - 1
    angle = math.acos(min(max(float(share[place]), -1.0), 1.0))
    if angle == 0.0:
        yield fall
        return
    half = math.pi * place / angle
    restarts = round((rates.size - start) * angle / (math.pi * place))
    steps = rates.size - start
    for value in [*_near(half), *(0.5 * steps / cycles for cycles in _near(0.5 * steps / half))]:
        yield replace(fall, half=value)
    for shift in range(4):
        if restarts + shift * steps > 0:
            yield replace(fall, half=half, restarts=restarts + shift * steps)


def _powers(fall: Guess, rates: NDArray[np.float64], total: int) -> Iterator[Guess]:
    """Yield the fall as a power of what is left of the training."""
    steps = total - fall.warmup
    place = min(steps // 2, rates.size - fall.warmup - 1)
    if place < 1 or fall.lr == fall.low or fall.stable:
        return
    share = (float(rates[fall.warmup + place]) - fall.low) / (fall.lr - fall.low)
    if 0.0 < share < 1.0:
        for power in _near(math.log(share) / math.log1p(-place / steps)):
            yield replace(fall, power=power, half=steps)


def _roots(base: Guess, rates: NDArray[np.float64]) -> Iterator[Guess]:
    """Yield the fall as an inverse square root."""
    place, rate = rates.size - 1 - base.warmup, float(rates[-1])
    if place > 0 and base.lr * 1e-100 < rate < base.lr:
        for timescale in _near(place / ((base.lr / rate) ** 2 - 1.0)):
            yield replace(base, timescale=timescale)


def _waves(base: Guess, rates: NDArray[np.float64]) -> Iterator[Guess]:
    """Yield a wave of unknown length and depth: three values at equal distances tell both."""
    wave = rates[base.warmup :]
    turns = np.flatnonzero(np.diff(np.sign(np.diff(wave))) != 0)
    step = max((int(turns[0]) + 1 if turns.size else wave.size - 1) // 2, 1)
    if 2 * step >= wave.size:
        return
    a, b, c = (float(wave[i * step]) for i in range(3))
    if a == b:
        return
    cosine = (a - c) / (2.0 * (a - b)) - 1.0
    if not -1.0 < cosine < 1.0:
        return
    half = math.pi * step / math.acos(cosine)
    low = a - 2.0 * (a - b) / (1.0 - cosine)
    for bottom in dict.fromkeys([*_near(low), max(low, 0.0)]):
        for length in [*_near(half), 0.5 * wave.size / _near(0.5 * wave.size / half)[0]]:
            yield replace(base, low=bottom, half=length)
