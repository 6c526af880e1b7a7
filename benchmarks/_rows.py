"""A row of the table, and how its two times are taken."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Run = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison of ours with a peer.

    Args:
        case: what is measured.
        peer: what it is compared with.
        ours_s: seconds of ours; NaN if it could not be measured.
        peer_s: seconds of the peer.
        target: the largest value that is in order.
        unit: "x" for the ratio of the two, "ms" for their difference in milliseconds.
        note: why there is no value, or what one must know to read it.
    """

    case: str
    peer: str
    ours_s: float
    peer_s: float
    target: float
    unit: str = "x"
    note: str = ""

    @property
    def value(self) -> float:
        """The ratio, or the difference in milliseconds."""
        return self.ours_s / self.peer_s if self.unit == "x" else 1e3 * (self.ours_s - self.peer_s)

    @property
    def verdict(self) -> str:
        """One of "ok", "over" and "skipped"."""
        if math.isnan(self.value):
            return "skipped"
        return "ok" if self.value <= self.target else "over"


def skipped(case: str, peer: str, target: float, why: str) -> Row:
    """Return the row of a comparison that cannot be made here."""
    return Row(case, peer, math.nan, math.nan, target, note=why)


def seconds(run: Run) -> float:
    """Return how long one run takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def interleaved(ours: Run, peer: Run, rounds: int = 41) -> tuple[float, float]:
    """Return the median seconds of both; they run in turns, so what slows the machine down slows both.

    Args:
        ours: what is measured.
        peer: what it is compared with.
        rounds: runs of each, after one that is not counted. Who begins changes from round to round.
    """
    ours(), peer()
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for which in (0, 1) if i % 2 else (1, 0):
            times[which].append(seconds((ours, peer)[which]))
    return statistics.median(times[0]), statistics.median(times[1])
