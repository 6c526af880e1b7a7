"""A call with one Python step, beside a closure over `math` that a person would write for the same curve."""

from collections import deque
from collections.abc import Callable

from benchmarks._curves import STEPS, WARMUP, curves
from benchmarks._rows import Row, interleaved

TARGET = 3.0
CALLS = 2_000
SAMPLE = list(range(0, STEPS + WARMUP, (STEPS + WARMUP) // CALLS))


def _calls(function: Callable[[int], float]) -> Callable[[], object]:
    # deque(map(...)) is the loop with the least of its own time.
    return lambda: deque(map(function, SAMPLE), maxlen=0)


def rows() -> list[Row]:
    """Return a row a curve; seconds are those of one call."""
    found = []
    for curve in curves():
        ours, peer = interleaved(_calls(curve.schedule), _calls(curve.closure))
        found.append(Row(curve.name, "closure over math", ours / len(SAMPLE), peer / len(SAMPLE), TARGET))
    return found
