"""`to_deepspeed`: a schedule as the section "scheduler" of a DeepSpeed configuration."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Annotated, Any

import numpy as np

from lrsched._curves import (
    Complete,
    Constant,
    Epochs,
    Extend,
    Hold,
    InverseTime,
    Linear,
    Ramp,
    Schedule,
    Shift,
    corners,
)
from lrsched._curves.equality import equality
from lrsched._draw.samples import horizon
from lrsched._translate.native import parts
from lrsched._translate.proof import TOLERANCE, Proof
from lrsched.arguments import RateOrNone, checked
from lrsched.compat import deepspeed

# What is looked at step by step, and the last step that is looked at: a 32-bit counter goes no further.
_LOOKED_AT, _LAST = 2**22, 2**31 - 1


@checked
def to_deepspeed(schedule: Annotated[Schedule, Complete()], *, lr: RateOrNone = None) -> dict[str, Any]:
    """Return the section "scheduler" of DeepSpeed that follows a schedule.

    The result is proven before it is returned: the schedule that `compat.deepspeed.from_config` builds from it is
    compared with the given one, at every step until 1,000 steps after the last corner (of the first 2**22) and at steps
    further and further apart up to 2**31. They differ by at most 1e-12 of the largest rate. It does not matter how the
    curve is written.

    Args:
        schedule: the schedule. DeepSpeed's warm-ups use their first value twice; what rises at once from step 0 is
            given by `OneCycle`, if it falls along a line.
        lr: the optimizer's learning rate, which stands under "optimizer". Only `WarmupCosineLR` looks at it, and is not
            used if it is None.

    Returns:
        `{"type": ..., "params": {...}}`, of one of the types LRRangeTest, OneCycle, WarmupLR, WarmupDecayLR and
        WarmupCosineLR.

    Raises:
        TypeError: `schedule` is none.
        ValueError: no type gives this curve; the message names the nearest and what to do instead.

    Examples:
        >>> from lrsched import warmup_linear
        >>> from lrsched import to_deepspeed
        >>> to_deepspeed(warmup_linear(0.1, steps=100, warmup=10))["type"]
        'OneCycle'

    References:
        DeepSpeed 0.19.8, runtime/lr_schedules.py.
    """
    shape = _Shape(schedule)
    proof = Proof(schedule, partial(deepspeed.from_config, lr=lr), lambda: [shape.steps])
    proof.look_at(shape.few)
    left = "" if lr is not None else _LEFT_OUT
    return proof.first(
        ((name, {"type": name, "params": found}) for name in _FAMILIES for found in _FAMILIES[name](shape, lr)),
        "to_deepspeed(schedule=...)",
        "a scheduler of DeepSpeed gives",
        f"{left}give deepspeed.initialize(lr_scheduler=...) a lrsched_torch.ScheduleLR instead",
    )


_LEFT_OUT = "WarmupCosineLR was left out, for it needs to_deepspeed(lr=...), the optimizer's rate; "


class _Shape:
    """A schedule and what its values say.

    Attributes:
        corners: the steps at which its parts begin or end.
        steps: where it is looked at: every step until after the last corner, then further and further apart.
        rates: the values there.
        size: how many of them belong to successive steps.
        extremes: the first step with the largest value, the first with the smallest.
        bottom: the step from which the last value is held.
        few: steps that tell most curves apart.
    """

    def __init__(self, node: Schedule) -> None:
        self.node = node
        self.corners = corners(node, min(horizon(node), _LAST - 1))
        self.size = min(self.corners[-1] + 1000, _LOOKED_AT)
        near = [corner + shift for corner in self.corners for shift in (-1, 0, 1)]
        far = [*np.geomspace(self.size, _LAST, 60), *np.linspace(0, self.corners[-1], 1000), *near]
        beyond = np.unique(np.array(far).astype(np.int64))
        self.steps = np.concatenate([np.arange(self.size), beyond[(beyond >= self.size) & (beyond <= _LAST)]])
        self.rates = np.asarray(node(self.steps), dtype=np.float64) + np.zeros(self.steps.size)
        self.top = float(np.max(np.abs(self.rates)))
        rates = self.rates[: self.size]
        slack = 1e-14 * self.top
        self.extremes = [int(np.argmax(rates >= np.max(rates) - slack)), int(np.argmax(rates <= np.min(rates) + slack))]
        moving = np.flatnonzero(np.abs(rates - rates[-1]) > slack)
        self.bottom = int(moving[-1]) + 1 if moving.size else 0
        few = [0, 1, 2, 3, self.bottom, self.bottom + 1, *self.extremes, *(step + 1 for step in self.extremes)]
        self.few = [*few, *self.corners[:20]]

    def ends(self) -> list[float]:
        """Return the values that parts of it rise or fall to."""
        found = [self.node(step) for step in self.extremes]
        for part in parts(self.node):
            while isinstance(part, Hold | Shift):
                part = part.schedule
            found += [part.end] if isinstance(part, Ramp) else []
        return list(dict.fromkeys(found))

    def warmups(self) -> Iterator[tuple[float, int, str]]:
        """Yield ends, lengths and kinds that a warm-up may have: the logarithm is at its end one step earlier."""
        lengths = {step + near for step in self.extremes for near in (-2, -1, 0, 1)}
        lengths |= {corner - 1 for corner in self.corners[:20]}
        for high, steps in product(self.ends(), sorted(lengths)):
            if steps > 0:
                yield high, steps, "log"
                yield high, steps, "linear"


Params = Iterator[dict[str, Any]]


def _range_test(s: _Shape, lr: float | None) -> Params:
    node = s.node
    low = node(0)
    if isinstance(node, Constant) or s.bottom == 0:
        yield {"lr_range_test_min_lr": low, "lr_range_test_step_rate": 0.0}
    if low <= 0.0:
        return
    match node:
        case Extend(Linear(_, end, steps)):
            yield _line(low, steps, end / low - 1.0, False)
            yield _line(low, 1, (end / low - 1.0) / steps, False)
        case Epochs(Extend(Linear(_, end, steps)), size):
            yield _line(low, size * steps, (end / low - 1.0) / steps, True)
            yield _line(low, size, (end / low - 1.0) / steps, True)
        case _:
            yield _line(low, _LAST, node(_LAST) / low - 1.0, False)
            # The first stair tells the width of all.
            width = int(np.argmax(s.rates != s.rates[0]))
            if width:
                count = _LAST // width
                yield _line(low, width, (node(count * width) / low - 1.0) / count, True)


def _line(low: float, size: int, rate: float, stairs: bool) -> dict[str, Any]:
    params = {"lr_range_test_min_lr": low, "lr_range_test_step_size": size, "lr_range_test_step_rate": rate}
    return {**params, "lr_range_test_staircase": True} if stairs else params


def _warmup(s: _Shape, lr: float | None) -> Params:
    for high, steps, kind in s.warmups():
        yield _rise(s.node(0), high, steps, kind)


def _rise(low: float, high: float, steps: int, kind: str) -> dict[str, Any]:
    return {"warmup_min_lr": low, "warmup_max_lr": high, "warmup_num_steps": steps, "warmup_type": kind}


def _warmup_decay(s: _Shape, lr: float | None) -> Params:
    last = s.corners[-1]
    for high, steps, kind in s.warmups():
        for total in dict.fromkeys([s.bottom - 1, s.bottom, last - 1, steps]):
            yield {"total_num_steps": total, **_rise(s.node(0), high, steps, kind)}


def _warmup_cosine(s: _Shape, lr: float | None) -> Params:
    if not lr:
        return
    for steps, kind in dict.fromkeys((steps, kind) for _, steps, kind in s.warmups()):
        for total in dict.fromkeys([s.bottom, s.bottom - 1, s.bottom + 1, s.corners[-1], steps]):
            yield {
                "total_num_steps": total,
                "warmup_min_ratio": s.node(1) / lr,
                "warmup_num_steps": steps,
                "cos_min_ratio": float(s.rates[-1]) / lr,
                "warmup_type": kind,
            }


def _one_cycle(s: _Shape, lr: float | None) -> Params:
    low = s.node(0)
    if low < 0.0:
        return
    few = s.corners if len(s.corners) < 12 else []
    decays = [(part.rate, part.steps) for part in parts(s.node) if isinstance(part, InverseTime)]
    held = int(np.argmax(s.rates != low)) - 1
    for up in sorted(step for step in {*s.extremes, *few, held, *_turn(s.rates[: s.size])} if step > 0):
        for high in dict.fromkeys(max(end, 0.0) for end in [s.node(up), *s.ends(), _unseen(s.rates[:up])]):
            for first in _counts(s.rates[: up + 1], low, high):
                if not _rises(s, low, high, up, first):
                    continue
                fall = s.rates[up : s.size]
                for second in _counts(fall[: _reached(fall, low) + 1], high, low):
                    for down in _falls(fall, low, second, [corner - up for corner in few]):
                        for decay in [(0.0, 0.0), *decays, *_measured_decay(s, up + down, low)]:
                            yield _cycle(low, high, (up, first), (down, second), decay)


def _turn(rates: Any) -> list[int]:
    """Return the steps at which a curve has reached where it turns for the first time, and leaves it.

    It is no extreme of the whole curve if a decay falls below the valley of a cycle upside down.
    """
    moved = np.flatnonzero(np.diff(rates)) + 1
    up = rates[moved] > rates[moved - 1]
    if np.all(up) or not np.any(up):
        return []
    back = int(np.argmax(up != up[0]))
    return [int(moved[back - 1]), int(moved[back])]


def _rises(s: _Shape, low: float, high: float, up: int, stairs: int) -> bool:
    """Return whether a cycle begins as the schedule does."""
    rise = deepspeed.OneCycle(low, high, cycle_first_step_size=up, cycle_first_stair_count=stairs)
    steps = s.steps[: min(up, s.size)]
    return equality(s.node, rise, steps, rtol=0.0, atol=TOLERANCE * s.top).equal


def _unseen(rates: Any) -> float:
    """Return the level that the next stair of a rise would have, where the rise breaks off."""
    moved = int(np.argmax(rates != rates[0]))
    return max(float(rates[0] + (rates[moved] - rates[0]) * len(np.unique(rates))), 0.0)


def _counts(rates: Any, start: float, end: float) -> list[int]:
    """Return how many stairs may lead from one value to another; 0 for a line."""
    if start == end or not 1 < len(rates) <= 4096:
        return [0]
    shares = {Fraction((float(rate) - start) / (end - start)).limit_denominator(10_000) for rate in rates}
    count = math.lcm(*(share.denominator for share in shares))
    return [0, count] if count <= 10_000 else [0]


def _reached(fall: Any, low: float) -> int:
    """Return the first step of a fall that is at the bottom, or where the fall ends."""
    at = fall == low
    return int(np.argmax(at)) if at.any() else len(fall)


def _falls(fall: Any, low: float, stairs: int, more: list[int]) -> list[int]:
    """Return how long a fall may be: the last of its stairs may be longer than what is seen of it."""
    bottom = _reached(fall, low)
    beyond = np.flatnonzero(fall[bottom:] != low)
    found = [bottom, bottom + int(beyond[0]) - 1 if beyond.size else bottom]
    if stairs > 1:
        near = (bottom - 1) * stairs // (stairs - 1)
        found += [near + shift for shift in (-1, 0, 1, 2)]
    return [steps for steps in dict.fromkeys([*found, *more]) if steps >= 0]


def _measured_decay(s: _Shape, start: int, low: float) -> list[tuple[float, float]]:
    """Return the rate of an inverse decay after the cycle, for a time unit of one step."""
    late = s.node(start + 1000)
    return [((low / late - 1.0) / 1000, 1.0)] if 0.0 < late < low else []


def _cycle(
    low: float, high: float, up: tuple[int, int], down: tuple[int, int], decay: tuple[float, float]
) -> dict[str, Any]:
    params: dict[str, Any] = {"cycle_min_lr": low, "cycle_max_lr": high, "cycle_first_step_size": up[0]}
    if down[0] != up[0]:
        params["cycle_second_step_size"] = down[0]
    if up[1] or down[1]:
        params |= {"cycle_first_stair_count": up[1], "cycle_second_stair_count": down[1]}
    if decay[0]:
        params |= {"decay_lr_rate": decay[0], "decay_step_size": decay[1]}
    # The momentum, which DeepSpeed would turn against the rate, stays as it is.
    return {**params, "cycle_momentum": False}


_FAMILIES: dict[str, Callable[[_Shape, float | None], Params]] = {
    "LRRangeTest": _range_test,
    "WarmupLR": _warmup,
    "WarmupDecayLR": _warmup_decay,
    "WarmupCosineLR": _warmup_cosine,
    "OneCycle": _one_cycle,
}
