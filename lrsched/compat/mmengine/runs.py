"""A run with MMEngine's parameter schedulers: which of them act when, and the curve that comes of it.

The hook steps the schedulers that count iterations after each iteration, then, at the end of an epoch, those that count
epochs; both in the order of the list. Building them takes their first step, all in the order of the list.
"""

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from lrsched._curves import Chain, Constant, Cosine, Epochs, Extend, Hold, Product, Schedule, Table
from lrsched.compat._tools import late, must
from lrsched.compat.mmengine.laws import SchedulerLaw

# Changes of the others at which the curve of one scheduler is cut: where a product would do, and where none does.
_FEW, _MANY = 8, 2000
# Updates between two of them, at least; else the rates are listed.
_APART = 16
# Steps that are listed one by one, where schedulers of which one does not multiply change the rate together.
_LISTED = 2**20


@dataclass(frozen=True)
class Acting:
    """A scheduler that acts from its step `begin` until before `end`; one of its steps takes `every` updates.

    `epochs` is whether it is stepped after those that count iterations.
    """

    law: SchedulerLaw
    begin: int
    end: float
    every: int = 1
    epochs: bool = False
    name: str = ""

    def at(self, t: int) -> int | None:
        """Return the number of steps since `begin` at update `t`, or None where it does not act."""
        step = t // self.every
        return step - self.begin if self.begin <= step < self.end else None

    def update(self, k: float) -> float:
        """Return the update at which step `k` is taken."""
        return (self.begin + k) * self.every

    def steps_before(self, update: float) -> float:
        """Return the first step that is not taken before an update."""
        return min(self.end, math.inf if update == math.inf else -(-int(update) // self.every)) - self.begin


Piece = tuple[float, Schedule]


def follow(rate: float, listed: Sequence[Acting], where: str, total: float = math.inf) -> Schedule:
    """Return the rates of all updates.

    Args:
        rate: the rate before the schedulers are built.
        listed: the schedulers, in the order of the list.
        where: what an error names.
        total: updates of the training; the last rate holds from there on.
    """
    names = ", ".join(acting.name for acting in listed)
    # Those that have not begun, the next one last, and those that act now, in the order of the list.
    waiting = sorted(enumerate(listed), key=lambda item: -item[1].update(0))
    begun: list[tuple[int, Acting]] = []
    pieces: list[Piece] = []
    t: float = 0
    while t < total:
        must(len(pieces) < _MANY * 4, where, "schedulers that end, where several change the rate together", names)
        now = int(t)
        while waiting and waiting[-1][1].update(0) <= now:
            insort(begun, waiting.pop(), key=itemgetter(0))
        begun = [item for item in begun if item[1].end * item[1].every > now]
        acting = [one for _, one in begun]
        hooked = sorted(acting, key=lambda one: one.epochs)
        rate, last, found = _act(acting if now == 0 else hooked, now, rate)
        must(rate >= 0.0, where, f"schedulers that leave the rate >= 0, at update {now} too", rate)
        soonest = min(total, waiting[-1][1].update(0)) if waiting else total
        until, curve = _piece(now, rate, last, found, acting, hooked, where, soonest)
        pieces.append((until - now, curve))
        if until < math.inf:
            rate = curve(int(until) - now - 1)
        t = until
    return _joined(pieces if t == math.inf else [*pieces, (math.inf, Constant(rate))])


def _act(listed: Sequence[Acting], t: int, rate: float) -> tuple[float, Acting | None, float]:
    """Return the rate after all have acted at an update, the last that changed it, and what that one found."""
    last, found = None, rate
    for acting in listed:
        k = acting.at(t)
        if k is not None and t % acting.every == 0:
            before, rate = rate, acting.law.act(k, rate)
            if rate != before:
                last, found = acting, before
    return rate, last, found


def _piece(
    t: int,
    rate: float,
    last: Acting | None,
    found: float,
    listed: Sequence[Acting],
    hooked: Sequence[Acting],
    where: str,
    soonest: float,
) -> tuple[float, Schedule]:
    """Return the update at which what happens now ends, and the curve until then, from its own zero."""
    until = min([soonest, *(acting.end * acting.every for acting in listed)])
    movers = [acting for acting in listed if _changes(acting, t, until)]
    if len(movers) > 1:
        turns = [_turn(acting, t) for acting in movers]
        busy = sorted(movers, key=lambda acting: _changes(acting, t, until))
        single = sum(_changes(acting, t, until) for acting in busy[:-1])
        parallel = all(acting.law.multiplies for acting in movers)
        if single <= _FEW or (not parallel and single <= min(_MANY, (until - t) / _APART)):
            until = min(until, *(_next(acting, t) for acting in busy[:-1]))
            movers = busy[-1:]
        elif parallel:
            until = min(until, *turns)
        else:
            return until, _listed(t, until, rate, hooked, where)
    scale, curves = rate, []
    for acting in movers:
        step = t // acting.every
        stretch = acting.law.curve(step - acting.begin, scale, found if acting is last and scale == rate else scale)
        if stretch is None:
            return until, _listed(t, until, rate, hooked, where)
        curve, end = stretch
        until = until if end is None else min(until, acting.update(end))
        curves.append(_from(t - step * acting.every, _on_clock(curve, acting.every)))
        scale = 1.0
    if not curves or (rate == 0.0 and all(acting.law.multiplies for acting in movers)):
        return until, Constant(rate)
    return until, curves[0] if len(curves) == 1 else Product(tuple(curves))


def _changes(acting: Acting, t: int, until: float) -> float:
    """Return how often a scheduler changes the rate between update t and `until`."""
    k = acting.at(t)
    if k is None or acting.law.next_change(k) is None:
        return 0
    end = acting.steps_before(until)
    if end == math.inf:
        return math.inf if acting.law.changes(k, 2**53) > _MANY else acting.law.changes(k, 2**53)
    return acting.law.changes(k, int(end))


def _next(acting: Acting, t: int) -> float:
    k = acting.law.next_change(acting.at(t) or 0)
    return math.inf if k is None or acting.begin + k >= acting.end else acting.update(k)


def _turn(acting: Acting, t: int) -> float:
    k = acting.law.next_turn(acting.at(t) or 0)
    return math.inf if k is None else acting.update(k)


def _listed(t: int, until: float, rate: float, hooked: Sequence[Acting], where: str) -> Schedule:
    """Return the rates from update t until another one, step by step."""
    names = ", ".join(acting.name for acting in hooked if acting.at(t) is not None)
    must(until - t <= _LISTED, where, f"schedulers that act together for at most {_LISTED} updates", names)
    rates = [rate]
    for update in range(t + 1, int(until)):
        rate, _, _ = _act(hooked, update, rate)
        must(rate >= 0.0, where, f"schedulers that leave the rate >= 0, at update {update} too", rate)
        rates.append(rate)
    return Constant(rate) if len(rates) == 1 else Table(tuple(rates))


def _on_clock(curve: Schedule, every: int) -> Schedule:
    """Return a curve whose steps take `every` updates each."""
    if every == 1:
        return curve
    if isinstance(curve, Constant):
        return Constant(curve.value, None if curve.steps is None else curve.steps * every)
    if isinstance(curve, Epochs):
        return Epochs(curve.schedule, curve.steps_per_epoch * every)
    if isinstance(curve, Chain) and all(isinstance(part, Constant) for part in curve.parts):
        return Schedule.sequence([_on_clock(part, every) for part in curve.parts])
    return Epochs(curve, every)


def _from(steps: int, curve: Schedule) -> Schedule:
    """Return a curve from one of its steps on; a staircase loses its first steps."""
    if isinstance(curve, Constant) and curve.steps is None:
        return curve
    if isinstance(curve, Chain) and all(isinstance(part, Constant) for part in curve.parts):
        parts = [part for part, end in zip(curve.parts, [*curve.starts[1:], math.inf], strict=True) if end > steps]
        place = len(curve.parts) - len(parts)
        if not parts[1:]:
            return parts[0]
        first = Constant(curve(steps), curve.starts[place + 1] - steps)
        return Schedule.sequence([first, *parts[1:]])
    return late(curve, steps)


def _joined(pieces: Sequence[Piece]) -> Schedule:
    """Return pieces one after the other; what a piece holds after its end takes no piece of its own."""
    kept: list[Piece] = []
    for steps, curve in pieces:
        if kept and isinstance(curve, Constant):
            length, before = kept[-1]
            settled = _settled(before)
            if settled is not None and settled <= length and before(int(length)) == curve.value:
                kept[-1] = (length + steps, before)
                continue
        kept.append((steps, curve))
    parts = [part for steps, curve in kept[:-1] for part in _part(int(steps), curve)]
    last = kept[-1][1]
    merged: list[Schedule] = []
    for part in [*parts, *(last.parts if isinstance(last, Chain) else [last])]:
        held = merged[-1] if merged else None
        if isinstance(held, Constant) and isinstance(part, Constant) and held.value == part.value:
            whole = None if part.steps is None else (held.steps or 0) + part.steps
            merged[-1] = Constant(part.value, whole)
        else:
            merged.append(part)
    return Schedule.sequence(merged)


def _settled(curve: Schedule) -> int | None:
    """Return the step from which a curve holds its last value, or None."""
    if isinstance(curve, Constant):
        return 0
    last = curve.parts[-1] if isinstance(curve, Chain) else None
    return curve.starts[-1] if isinstance(curve, Chain) and isinstance(last, Constant) else curve.length


def _part(steps: int, curve: Schedule) -> list[Schedule]:
    """Return the first steps of a curve, as parts of a chain."""
    if isinstance(curve, Constant):
        return [Constant(curve.value, steps)]
    if isinstance(curve, Chain):
        ends = [*curve.starts[1:], steps]
        inner = zip(curve.parts, curve.starts, ends, strict=True)
        return [cut for part, start, end in inner if start < steps for cut in _part(min(end, steps) - start, part)]
    if isinstance(curve, Extend) and isinstance(curve.schedule, Cosine) and curve.schedule.steps >= steps:
        curve = curve.schedule
    if curve.length is None or curve.length > steps:
        return [Hold(curve, steps)]
    held = steps - curve.length
    return [curve, Constant(curve(steps), held)] if held else [curve]
