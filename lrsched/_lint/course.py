"""A schedule on its run: the facts that rules look at, read off the exact curve at few steps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrsched._core.value import children
from lrsched._curves import Chain, Constant, Epochs, Extend, Repeat, Schedule
from lrsched._draw.axis import number
from lrsched._draw.samples import Samples, evaluate, sample
from lrsched._draw.samples import horizon as reach

# Intervals between samples in which the end of a stretch of zeros is looked for.
_EDGES = 64


@dataclass(frozen=True)
class Course:
    """A schedule and what is known of the run.

    Args:
        schedule: the schedule.
        steps: steps of the schedule that the run takes, or None.
        per_epoch: updates of an epoch, or None.
        epochs: whether a step of the schedule is an epoch, and not an update.
        lr: the optimizer's own rate, or None.
    """

    schedule: Schedule
    steps: int | None
    per_epoch: int | None
    epochs: bool
    lr: float | None

    @property
    def one(self) -> str:
        """What one step of the schedule is."""
        return "epoch" if self.epochs else "update"

    @property
    def many(self) -> str:
        """What the steps of the schedule are."""
        return self.one + "s"

    @cached_property
    def end(self) -> int | None:
        """The step from which on the curve has nothing new: it holds, or repeats a formula beyond its end."""
        end = _end(self.schedule)
        return None if end is None else math.ceil(end)

    @cached_property
    def total(self) -> int:
        """Steps of the run; of one that is not known those that the curve takes, at least 1."""
        return self.steps or self.end or reach(self.schedule)

    @property
    def last(self) -> int:
        """The last step of the run."""
        return self.total - 1

    @cached_property
    def samples(self) -> Samples:
        """Steps of the run and their rates."""
        return _within(self.schedule, self.last)

    @cached_property
    def whole(self) -> Samples:
        """Steps of the run, and those after it until the end of the curve."""
        beyond = max(self.last, reach(self.schedule) if self.end is None else self.end)
        return self.samples if beyond == self.last else _within(self.schedule, beyond)

    @cached_property
    def top(self) -> float:
        """The highest rate of the run."""
        return float(self.samples.values.max())

    @cached_property
    def summit(self) -> float:
        """The highest rate of the curve."""
        return float(self.whole.values.max())

    @cached_property
    def peak(self) -> int:
        """The first step of the curve with its highest rate."""
        return int(self.whole.steps[np.argmax(self.whole.values >= self.summit - 1e-12 * abs(self.summit))])

    @cached_property
    def leading(self) -> int:
        """Steps at the beginning with the rate 0."""
        steps, values = self.samples
        moving = np.flatnonzero(values)
        if not moving.size or moving[0] == 0:
            return 0 if moving.size else self.total
        return self._switch(int(steps[moving[0] - 1]), int(steps[moving[0]]))

    @cached_property
    def trailing(self) -> int:
        """Steps at the end of the run with the rate 0."""
        steps, values = self.samples
        moving = np.flatnonzero(values)
        if not moving.size or moving[-1] == steps.size - 1:
            return 0 if moving.size else self.total
        return self.total - self._switch(int(steps[moving[-1]]), int(steps[moving[-1] + 1]))

    def _switch(self, a: int, b: int) -> int:
        """Return the first step after a with, or without, a rate of 0 as step b has it and step a has not."""
        zero = self.schedule(b) == 0.0
        while b - a > 1:
            middle = (a + b) // 2
            a, b = (a, middle) if (self.schedule(middle) == 0.0) == zero else (middle, b)
        return b

    @cached_property
    def zeros(self) -> int:
        """Steps of the run with the rate 0, without those that stand alone, as between two cycles."""
        steps, values = self.samples
        zero = values == 0.0
        far = np.diff(steps, prepend=steps[0] - 1, append=steps[-1] + 1) > 1
        near = np.concatenate([[False], zero, [False]])
        zero &= near[:-2] | near[2:] | far[:-1] | far[1:]
        count, gaps = int(zero.sum()), np.diff(steps) - 1
        inner = np.flatnonzero(zero[:-1] & zero[1:] & (gaps > 0))
        # What looks like zeros throughout may be many cycles.
        probes = [steps[inner] + 1 + (gaps[inner] * part).astype(np.int64) for part in (0.0, 0.31, 0.62, 0.93)]
        still = inner[np.all([evaluate(self.schedule, at) == 0.0 for at in probes], axis=0)] if inner.size else inner
        count += int(gaps[still].sum())
        for i in np.flatnonzero((zero[:-1] != zero[1:]) & (gaps > 0))[:_EDGES].tolist():
            a, b = int(steps[i]), int(steps[i + 1])
            at = self._switch(a, b)
            count += at - a - 1 if zero[i] else b - at
        return count

    def rate(self, step: int) -> str:
        """Return the rate of a step as people write it."""
        return number(self.schedule(step))

    @cached_property
    def stairs(self) -> bool:
        """Whether the curve reaches its last value by a jump."""
        if self.end is None or self.end < 2:
            return False
        a, b, c = (self.schedule(self.end + d) for d in (-2, -1, 0))
        return abs(c - b) > 8 * abs(b - a)

    @cached_property
    def cycle(self) -> tuple[int, int] | None:
        """The first step of the cycle in which the run ends and that of the next, where the curve has restarts."""
        found = _cycle(self.schedule, self.last)
        return None if found is None else (max(found[0], 0), max(found[1], self.total))

    @cached_property
    def clock(self) -> int:
        """The longest time that a part of the schedule counts, in steps of its own."""
        return max(_clocks(self.schedule), default=0)

    @cached_property
    def stride(self) -> int:
        """Updates of an epoch as the schedule has it, 0 where it has none."""
        return max((node.steps_per_epoch for node in nodes(self.schedule) if isinstance(node, Epochs)), default=0)


def _within(schedule: Schedule, last: int) -> Samples:
    """Return samples of the steps 0 to `last`."""
    found = sample(schedule, max(last, 1))
    return Samples(found.steps[:1], found.values[:1]) if last == 0 else found


def nodes(schedule: Schedule) -> Iterator[Schedule]:
    """Yield a schedule and all in it."""
    waiting = [schedule]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [child for child in reversed(children(node)) if isinstance(child, Schedule)]


def _end(node: Schedule) -> float | None:
    if isinstance(node, Constant):
        return 0
    if isinstance(node, Extend):
        return node.schedule.steps
    if isinstance(node, Chain) and node.length is not None and isinstance(node.parts[-1], Constant):
        return node.starts[-1]
    if node.length is not None:
        return node.length
    if node._view():
        return None
    ends = [(begin, pace, _end(child)) for child, begin, pace in node._inside(math.inf)]
    known = [begin + pace * end for begin, pace, end in ends if end is not None]
    return max(0, *known) if known and len(known) == len(ends) else None


def _cycle(node: Schedule, t: int) -> tuple[int, int] | None:
    """Return the first step of the restart in which step t lies and that of the next, or None where it is none."""
    if isinstance(node, Repeat):
        found = _round(node, t)
        inner = _cycle(node.schedule, t - found[0]) if found and node.stretch == 1.0 else None
        return (found[0] + inner[0], found[0] + inner[1]) if found and inner else found
    if isinstance(node, Chain):
        i = max(k for k, start in enumerate(node.starts) if start <= t)
        start, part = node.starts[i], node.parts[i]
        inner = _cycle(part, t - start)
        if inner is not None:
            return start + inner[0], start + inner[1]
        restart = start > 0 and node(start) > node(start - 1) and part.length is not None
        fallen = restart and node.parts[i - 1](0) > node(start - 1)
        return (start, start + part.length) if fallen and part.length else None
    for child, begin, pace in () if node._view() else node._inside(t):
        found = _cycle(child, math.floor((t - begin) / pace)) if pace > 0 and t >= begin else None
        if found is not None:
            return math.ceil(begin + pace * found[0]), math.ceil(begin + pace * found[1])
    return None


def _round(node: Repeat, t: int) -> tuple[int, int] | None:
    """Return the first step of the cycle of a `Repeat` in which step t lies, and that of the next."""
    if node.length is not None and t >= node.length:
        return None
    if node._even:
        begin = t - t % node._period
        return begin, begin + node._period
    whole = node._cycles.whole
    k = int(np.searchsorted(whole, t, side="right"))
    return (whole[k - 1], whole[k] if k < len(whole) else node.length or t + 1) if k else None


def _clocks(schedule: Schedule) -> Iterator[int]:
    for node in nodes(schedule):
        if isinstance(node, Chain):
            yield node.starts[-1]
        elif not isinstance(node, Constant) and isinstance(steps := getattr(node, "steps", None), int):
            yield steps
