"""Every schedule tells where its curve has corners: pictures, proofs and tests look there."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import schedules

import lrsched as ls
from lrsched import Schedule
from lrsched._curves.schedule import corners
from lrsched._draw.samples import is_jump, sample

LINE = ls.Linear(1.0, 0.0, 10)
TWO = LINE >> ls.Linear(0.5, 0.0, 4)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (ls.Constant(0.1), [0]),
        (ls.Exponential(0.1, 0.9), [0]),
        (LINE, [0, 10]),
        (TWO, [0, 10, 14]),
        (ls.Warmup(5) >> ls.Repeat(LINE), [0, 5, 15, 25, 35]),
        (LINE * ls.Cosine(1.0, 0.0, 7), [0, 7, 10]),
        (LINE ** ls.Cosine(1.0, 0.0, 7), [0, 7, 10]),
        (ls.Repeat(TWO, times=2), [0, 10, 14, 24, 28]),
        (ls.Repeat(TWO, times=2, stretch=0.5), [0, 10, 14, 19, 21]),
        # 10 steps, then int(10 * 1.55) = 15 and int(15 * 1.55) = 23.
        (ls.Repeat(LINE, times=3, stretch=1.55, rounding="each"), [0, 10, 25]),
        (ls.Triangular(0.0, 1.0, 10, 6), [0, 10, 16, 26, 32]),
        (ls.Hold(ls.Repeat(LINE), 25), [0, 10, 20, 25]),
        (ls.Shift(TWO, 3), [0, 7, 11]),
        (ls.Shift(TWO, 12), [0, 2]),
        (ls.Stretch(TWO, 2.0), [0, 20, 28]),
        (ls.Epochs(TWO, 2), [0, 20, 28]),
        # Update t is batch 3 t + 2: batch 10 lies between the updates 2 and 3, batch 14 is update 4.
        (ls.Batches(TWO, 3), [0, 3, 4]),
        (ls.Reverse(TWO), [0, 4, 14]),
        (ls.Reverse(ls.Repeat(LINE, times=3)), [0, 10, 20, 30]),
        (ls.Extend(LINE), [0, 10]),
        (ls.Warp(LINE, 2.0), [0, 10]),
        (ls.Stretch(ls.Shift(ls.Reverse(TWO), 1), 3.0), [0, 9, 39]),
    ],
    ids=repr,
)
def test_the_corners_of_each_node_are_as_computed_by_hand(schedule: Schedule, expected: list[int]):
    assert corners(schedule, 40) == expected


class Late(Schedule, abstract=True):
    """A schedule that begins five steps late."""

    def __init__(self, inner: Schedule) -> None:
        self.__dict__.update(inner=inner)

    length = 24

    def _at(self, t: Any, space: Any) -> Any:
        return self.inner._at(space.maximum(t, 5) - 5, space)

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield self.inner, 5, 1


def test_of_a_new_node_the_pictures_know_what_it_tells():
    assert corners(Late(TWO), 40) == [0, 5, 15, 19, 24]
    assert {4, 5, 6, 14, 15, 16, 18, 19, 20} <= set(sample(Late(TWO), 10**6).steps.tolist())


def test_of_many_cycles_some_are_told_from_everywhere():
    told = corners(ls.Repeat(LINE), 10**9)
    assert told[:4] == [0, 10, 25_000_000, 25_000_010]
    assert len(told) == 81  # 41 begin, and the last one ends later


def test_a_curve_of_very_many_corners_tells_so_many_only():
    assert len(corners(ls.Repeat(ls.Repeat(ls.Repeat(ls.Repeat(LINE, 41), 41), 41), 41), 2**53)) <= 50_000


def untold(schedule: Schedule) -> list[int]:
    """Return the first steps at which a schedule jumps and that it does not tell, nor one beside them."""
    steps = np.arange(42)
    jumps = np.flatnonzero(is_jump(steps, schedule(steps))) + 1
    told = corners(schedule, 43)
    return [t for t in jumps.tolist() if min(abs(t - step) for step in told) > 1]


# Stairs and lists jump at each of their steps.
@given(schedules().filter(lambda s: "Epochs" not in repr(s) and "Table" not in repr(s)))
@settings(max_examples=100)
def test_a_jump_lies_only_where_the_schedule_tells_a_corner(schedule: Schedule):
    assert untold(schedule) == []


def test_a_jump_that_is_not_told_is_found():
    assert untold(ls.Epochs(ls.Exponential(0.1, 0.5), 14)) == [14, 28]
