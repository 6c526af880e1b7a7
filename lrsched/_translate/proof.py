"""Guesses at how a trainer says a curve: each is built and compared at every step, and the first right one wins."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import short
from lrsched._curves import Schedule
from lrsched._curves.equality import equality

# The difference that counts as none, in units of the largest rate.
TOLERANCE = 1e-12

Configuration = dict[str, Any]


class Proof:
    """Compares guesses with a schedule: at a few steps, and those that pass at all of them.

    Args:
        node: the schedule.
        build: returns the schedule that a configuration stands for; a TypeError or ValueError says that there is none.
        blocks: returns all steps that count, as arrays.
    """

    def __init__(
        self,
        node: Schedule,
        build: Callable[[Configuration], Schedule],
        blocks: Callable[[], Iterable[NDArray[np.int64]]],
    ) -> None:
        self.node, self.build, self.blocks = node, build, blocks
        self._nearest, self._distance = "", (True, math.inf)
        self._tried: set[str] = set()

    def look_at(self, few: Iterable[int]) -> None:
        """Choose the few steps."""
        self._few = {step: self.node(step) for step in sorted(set(few))}
        self._top = max(map(abs, self._few.values()))

    def first(self, guesses: Iterable[tuple[str, Configuration]], where: str, what: str, instead: str) -> Configuration:
        """Return the first configuration that gives the schedule.

        Args:
            guesses: configurations, each with the name that an error gives it.
            where: what the error names.
            what: which curves there are.
            instead: what to do for others.

        Raises:
            ValueError: none gives it; the message names the nearest.
        """
        for name, configuration in guesses:
            text = repr(configuration)
            if text not in self._tried and self.gives(name, configuration):
                return configuration
            self._tried.add(text)
        near = self._nearest or "none comes near"
        raise ValueError(f"{where} must be a curve that {what}, got {short(self.node)}: {near}; {instead}")

    def gives(self, name: str, configuration: Configuration) -> bool:
        """Return whether a configuration gives the schedule, and remember how far it is from it if not."""
        try:
            found = self.build(configuration)
        except (TypeError, ValueError):
            return False
        off = {step: abs(found(step) - rate) for step, rate in self._few.items()}
        step = max(off, key=off.__getitem__)
        alike = off[step] <= TOLERANCE * self._top
        if alike:
            far = self._first_difference(found)
            if far is None:
                return True
            # Others that are wrong there need not be compared everywhere.
            step, self._few[far] = far, self.node(far)
        distance = (not alike, abs(self.node(step) - found(step)))
        if distance < self._distance:
            self._distance = distance
            self._nearest = f"the nearest, {name}, has {found(step)!r} at step {step} instead of {self.node(step)!r}"
        return False

    def _first_difference(self, found: Schedule) -> int | None:
        top = self._top
        for steps in self.blocks():
            top = max(top, float(np.max(np.abs(self.node(steps)))))
            first = equality(self.node, found, steps, rtol=0.0, atol=TOLERANCE * top).first
            if first is not None:
                return first
        return None
