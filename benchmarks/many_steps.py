"""A call with a million steps, beside the plain NumPy expression of the same curve."""

import numpy as np

from benchmarks._curves import curves
from benchmarks._rows import Row, interleaved

TARGET = 1.5
COUNT = 1_000_000


def rows() -> list[Row]:
    """Return a row a curve."""
    steps = np.arange(COUNT)
    found = []
    for curve in curves():
        times = interleaved(lambda c=curve: c.schedule(steps), lambda c=curve: c.formula(steps), rounds=9)  # type: ignore[misc]
        found.append(Row(curve.name, "NumPy expression", *times, TARGET))
    return found
