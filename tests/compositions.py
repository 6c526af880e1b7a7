"""Random schedules inside schedules, small enough that ends and joints lie close together, and times to try them at.

A composition is built by a function `pick` that takes one of a list: a Hypothesis draw, which shrinks what fails, or
`random.choice`, which is fast.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from samples import BOUNDED, ENDLESS, NODES, RAMPS, Arguments, Curve

import lrsched as ls
from lrsched import Schedule
from lrsched._core.value import children

Pick = Callable[[Sequence[Any]], Any]

RATES = (0.0, 1.0, 0.5, 0.3, 0.1, 3e-4)
HEIGHTS = (1.0, 0.5, 0.1, 3e-4)
LENGTHS = (1, 2, 3, 4, 5, 7, 10)
POWERS = (0.5, 1.0, 2.0, 1.7)
# Dyadic, decimal, periodic in binary, with a reciprocal that rounds back to less than 1, and of no simple fraction.
FACTORS = (0.5, 1 / 3, 2.0, 2.5, 3.0, 0.7, 1.1, 0.1, 7.0, 49.0, 1 / 49, 100.0, 0.8414709848078965, math.pi)
SHIFTS = (1, 2, 3, 7, 0.5, 0.1, 0.3, 1 / 3, 2.75, 6.9, 0.8414709848078965)
STRETCHES = (1.0, 1.0, 2.0, 1.5, 1.1, 3.0, 0.5, 0.7)
SCALES = (1.0, 1.0, 0.5, 1.2, 0.3)
SHAPES = ("linear", "cosine", "1-sqrt", "1-square", "square", "exponential")

# The arguments that the lines of `samples` ask for.
ARGUMENTS: dict[str, Any] = {
    "rate": RATES,
    "ends": lambda p: (p(RATES), p(RATES)),
    "positive_ends": lambda p: (p(HEIGHTS), p(HEIGHTS)),
    "length": LENGTHS,
    "maybe_length": (None, *LENGTHS),
    "more": LENGTHS,
    "skip": SHIFTS,
    "count": (1, 2, 3, 5),
    "power": POWERS,
    "root": POWERS,
    "exponent": (0.5, 0.8),
    "base": (0.01, 0.5, 2.0),
    "factor": (0.5, 0.9, 0.99),
    "slope": (0.0, 0.5, 3.0),
    "scale": (1.0, 2.5, 7.5, 10.5),
    "beta": (0.9, 0.999),
    "lower": (-3.0,),
    "upper": (2.0,),
    "stretch": FACTORS,
    "rates": lambda p: tuple(p(RATES) for _ in range(p(LENGTHS) + 2)),
    "ramp": lambda p: ramp(p),
    "growing": lambda p: ls.Cosine(p(RATES), p(RATES), p(LENGTHS)),
}


def _built(curves: Sequence[Curve], **more: Callable[[Pick], Schedule]) -> list[Callable[[Pick], Schedule]]:
    """Return what picks each of some curves; `more` are the schedules inside of them."""

    def maker(curve: Curve) -> Callable[[Pick], Schedule]:
        def make(pick: Pick) -> Schedule:
            def of(kind: str) -> Any:
                found = more.get(kind) or ARGUMENTS[kind]
                return found(pick) if callable(found) else pick(found)

            return curve.build(Arguments(of))

        return make

    return [maker(curve) for curve in curves]


def ramp(pick: Pick) -> Schedule:
    """Return one of the curves with an end."""
    return pick(_built(RAMPS))(pick)


def bounded(pick: Pick, depth: int) -> Schedule:
    """Return a schedule with a length: a leaf at depth 0, else any node around one of less depth."""
    if depth == 0:
        return pick(
            (
                *_built(BOUNDED),
                ramp,
                ramp,
                ramp,
                lambda p: ls.Warmup(p(LENGTHS), p(RATES), p(SHAPES)) >> ramp(p),
                lambda p: ramp(p) >> ls.Cooldown(p(LENGTHS), p(RATES), p(SHAPES)),
            )
        )(pick)
    inner = pick((depth - 1, depth - 1, depth - 1, 0))
    return pick(
        (
            *_around(bounded, inner),
            lambda p: bounded(p, inner) >> bounded(p, depth - 1),
            lambda p: bounded(p, inner) >> bounded(p, 0) >> bounded(p, inner),
            lambda p: _repeat(p, inner, p((1, 2, 3))),
            lambda p: _repeat(p, inner, p((2, 3, 5))),
            lambda p: ls.Reverse(bounded(p, inner)),
            lambda p: ls.Hold(endless(p, inner), p(LENGTHS)),
            lambda p: ls.Hold(bounded(p, inner), p(LENGTHS)),
        )
    )(pick)


def endless(pick: Pick, depth: int) -> Schedule:
    """Return a schedule without a length."""
    if depth == 0:
        return pick(_built(ENDLESS))(pick)
    inner = pick((depth - 1, depth - 1, depth - 1, 0))
    return pick(
        (
            *_around(endless, inner),
            lambda p: bounded(p, inner) >> endless(p, depth - 1),
            lambda p: _repeat(p, inner, None),
            lambda p: _repeat(p, inner, None),
        )
    )(pick)


def _around(family: Callable[[Pick, int], Schedule], inner: int) -> list[Callable[[Pick], Schedule]]:
    """Return what makes a schedule of a family from others of it."""
    clocks = [curve for curve in NODES if curve.kind in (ls.Shift, ls.Stretch)]  # of which there is most to see
    return [
        *_built([*NODES, *clocks], inner=lambda p: family(p, inner), other=lambda p: family(p, 0)),
        lambda p: ls.Minimum((family(p, inner), p(HEIGHTS))) * p(RATES) + p(RATES),
    ]


def _repeat(pick: Pick, inner: int, times: int | None) -> Schedule:
    schedule = bounded(pick, inner)
    stretch, scale = pick(STRETCHES), pick(SCALES)
    if times is None:
        stretch, scale = (stretch if stretch >= 1.0 else 1.0), min(scale, 1.0)
    rounding = pick(("none", "none", "once", "each"))
    if rounding != "none" and not _leaves_a_step(schedule.length or 1, times, stretch):
        rounding = "none"
    return ls.Repeat(schedule, times, stretch, scale, rounding)


def _leaves_a_step(period: int, times: int | None, stretch: float) -> bool:
    """Return whether rounded cycles have whole steps, and grow."""
    return period * stretch ** ((times or 1) - 1) >= 2.0 and period * stretch >= period + (1 if stretch > 1.0 else 0)


@st.composite
def compositions(draw: Any, depth: int = 4) -> Schedule:
    """Schedules of any node around any other, `depth` levels deep."""

    def pick(choices: Sequence[Any]) -> Any:
        return choices[draw(st.integers(0, len(choices) - 1))]

    return pick((bounded, endless))(pick, depth)


def nodes_of(schedule: Schedule, level: int = 0) -> set[tuple[str, int]]:
    """Return the name of each node and how deep it stands."""
    return {(type(schedule).__name__, level)}.union(*(nodes_of(child, level + 1) for child in children(schedule)))


COUNT = 96


def whole_steps(schedule: Schedule, pick: Pick) -> np.ndarray[Any, Any]:
    """Return `COUNT` steps: the first ones, those around the end, and some far ones."""
    ends = [schedule.length or 0, *(getattr(schedule, "starts", ())[:4])]
    found = list(range(40)) + [end + near for end in ends for near in (-2, -1, 0, 1, 2) if 0 <= end + near < 2**31 - 2]
    while len(found) < COUNT:
        found.append(pick((40, 50, 64, 99, 147, 300, 1000, 12_345, 2**24)) + pick(range(50)))
    return np.array(sorted(found[:COUNT]), dtype=np.int64)


def times(schedule: Schedule, pick: Pick) -> np.ndarray[Any, Any]:
    """Return `COUNT` float64 times: whole steps and the fractions between them."""
    parts = [pick((0.0, 0.25, 0.5, 0.75, 0.1, 0.3, 1 / 3, 0.7, 0.9, 0.9999999)) for _ in range(COUNT)]
    return whole_steps(schedule, pick) + np.array(parts)
