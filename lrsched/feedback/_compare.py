"""When a metric counts as better than the best one."""

from typing import Any

from lrsched.feedback._space import INF, Number, Space, finite

MODES = ("min", "max")


def worst(mode: str) -> float:
    """Return what every metric is better than."""
    return INF if mode == "min" else -INF


def plainly(mode: str, metric: Number, best: Number, relative: float, absolute: float) -> Any:
    """Return whether the metric passes `best * (1 - relative) - absolute` (with plus, upwards, in mode "max").

    PyTorch and Optax compare so. A negative best makes the relative margin work backwards: what is a little worse
    counts as better.
    """
    if mode == "min":
        return metric < best * (1.0 - relative) - absolute
    return metric > best * (1.0 + relative) + absolute


def safely(xp: Space, mode: str, metric: Number, best: Number, relative: float, absolute: float) -> Any:
    """Return whether a finite metric is better than `best` by more than `relative * abs(best) + absolute`.

    So a margin is one for negative metrics too, and no infinity becomes the best.
    """
    margin = relative * abs(best) + absolute
    # Nothing has been seen yet: an infinite margin would hide the first metric.
    margin = xp.where(finite(margin), margin, 0.0)
    passed = metric < best - margin if mode == "min" else metric > best + margin
    return finite(metric) & passed
