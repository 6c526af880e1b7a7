"""Hypothesis strategies over schedules; `test_laws` proves that they reach every node."""

from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import strategies as st
from samples import BOUNDED, ENDLESS, NODES, RAMPS, Arguments, Curve

import lrsched as ls
from lrsched import Schedule
from lrsched._curves.schedule import corners

rates = st.one_of(
    st.sampled_from([0.0, 1.0, 3e-4, 0.1, 1e-6]),
    st.floats(min_value=1e-8, max_value=100.0, allow_nan=False, allow_subnormal=False),
)
positive = st.floats(min_value=1e-6, max_value=100.0, allow_nan=False)
lengths = st.one_of(st.sampled_from([1, 2, 3, 10]), st.integers(min_value=1, max_value=5_000))
powers = st.one_of(st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.floats(min_value=0.1, max_value=5.0))
SHAPES = ["linear", "cosine", "1-sqrt", "1-square", "square", "exponential"]
STRETCHES = [0.5, 1.0, 1.5, 2.0, 3.0]
# The arguments that the lines of `samples` ask for.
ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "rate": rates,
    "ends": st.tuples(rates, rates),
    "positive_ends": st.tuples(positive, positive),
    "length": lengths,
    "maybe_length": st.none() | lengths,
    "more": st.integers(0, 9_999),
    "skip": st.integers(0, 3_000),
    "count": st.integers(1, 50),
    "power": powers,
    "root": st.sampled_from([0.5, 1.0, 2.0]),
    "exponent": st.floats(0.0, 2.0),
    "base": st.sampled_from([0.01, 0.5, 2.0, 30.0]),
    "factor": st.floats(0.5, 1.0),
    "slope": st.floats(0.0, 10.0),
    "scale": st.floats(0.5, 1000.0),
    "beta": st.floats(0.61, 0.99999),
    "lower": st.floats(-8.0, 0.0),
    "upper": st.floats(0.5, 6.0),
    "stretch": st.sampled_from([0.5, 1 / 3, 1.0, 2.0, 2.5, 7.0]),
    "rates": st.lists(rates, min_size=1, max_size=8).map(tuple),
    "ramp": st.deferred(lambda: ramps()),
    "growing": st.builds(ls.Cosine, rates, rates, lengths),
}

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _choose(draw: Draw, makers: list[Callable[[], Schedule]]) -> Schedule:
    return makers[draw(st.integers(0, len(makers) - 1))]()


def _built(draw: Draw, curves: list[Curve], inner: st.SearchStrategy[Schedule] | None = None) -> list[Any]:
    """Return what draws each of some curves; `inner` is what those that are nodes stand around."""
    schedules = {} if inner is None else {"inner": inner, "other": inner}
    arguments = Arguments(lambda kind: draw(schedules[kind] if kind in schedules else ARGUMENTS[kind]))
    return [partial(curve.build, arguments) for curve in curves]


@st.composite
def ramps(draw: Draw) -> Schedule:
    """Any curve from a start to an end."""
    return _choose(draw, _built(draw, RAMPS))


@st.composite
def bounded_schedules(draw: Draw, depth: int = 2) -> Schedule:
    """Schedules with a length, of every node that can have one."""
    if depth == 0 or draw(st.booleans()):
        return _choose(
            draw,
            [
                *_built(draw, BOUNDED),
                lambda: draw(ramps()),
                lambda: ls.Warmup(draw(lengths), draw(rates), draw(st.sampled_from(SHAPES))) >> draw(ramps()),
                lambda: draw(ramps()) >> ls.Cooldown(draw(lengths), draw(rates), draw(st.sampled_from(SHAPES))),
            ],
        )
    inner = bounded_schedules(depth - 1)
    return _choose(
        draw,
        [
            *_built(draw, NODES, inner),
            lambda: draw(rates) * draw(inner) + draw(rates),
            lambda: draw(inner) >> draw(inner),
            lambda: ls.Repeat(
                draw(inner),
                draw(st.integers(1, 4)),
                draw(st.sampled_from(STRETCHES)),
                draw(st.sampled_from([0.3, 1.0, 1.2])),
            ),
            lambda: ls.Repeat(draw(ramps()), 3, 1.5, 1.0, draw(st.sampled_from(["once", "each"]))),
            lambda: ls.Reverse(draw(inner)),
            # Float32 has no fractions beyond 2**24, so only what has ended there.
            lambda: ls.Shift(draw(inner), draw(st.sampled_from([0.5, 0.1, 7.3, 1000.25]))),
            lambda: ls.Hold(draw(endless_schedules(depth - 1)), draw(lengths)),
        ],
    )


@st.composite
def endless_schedules(draw: Draw, depth: int = 2) -> Schedule:
    """Schedules without a length, of every node that can lack one."""
    if depth == 0 or draw(st.booleans()):
        return _choose(draw, _built(draw, ENDLESS))
    inner = endless_schedules(depth - 1)
    bounded = bounded_schedules(depth - 1)
    return _choose(
        draw,
        [
            *_built(draw, NODES, inner),
            lambda: draw(rates) * draw(inner) + draw(rates),
            lambda: draw(bounded) >> draw(inner),
            lambda: ls.Repeat(
                draw(bounded), None, draw(st.sampled_from(STRETCHES[1:])), draw(st.sampled_from([0.3, 1.0]))
            ),
        ],
    )


def schedules() -> st.SearchStrategy[Schedule]:
    """Complete schedules of every kind."""
    return st.one_of(bounded_schedules(), endless_schedules())


def pending() -> st.SearchStrategy[Schedule]:
    """Warm-ups and cool-downs that still lack a neighbour."""
    return st.one_of(st.builds(ls.Warmup, lengths, rates), st.builds(ls.Cooldown, lengths, rates))


def steps(high: int = 20_000) -> st.SearchStrategy[int]:
    """Steps, often small, often a power of two."""
    return st.one_of(st.integers(0, 30), st.integers(0, high), st.sampled_from([2**24, 2**24 + 1, 2**31 - 1, 2**31]))


def boundary_steps(schedule: Schedule) -> list[int]:
    """The steps around every boundary that a schedule has: the places where a wrong side would show."""
    told = corners(schedule, 2**31)
    few = {0, *told[:20], *told[-10:]}
    return sorted({step + near for step in few for near in (-2, -1, 0, 1, 2) if step + near >= 0})
