"""Schedules on the axes of Matplotlib, with the horizon, the samples and the ticks of the other pictures."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lrsched._core.check import short
from lrsched._curves import Shift
from lrsched._draw.axis import bounds, count, labelled_ticks, linear_ticks, number, step_ticks
from lrsched._draw.curve import band, line
from lrsched._draw.picture import Panel
from lrsched._draw.samples import Samples, sample
from lrsched._draw.svg import Curves, Labels, common_horizon
from lrsched.arguments import Count, CountOrNone, OnOff, checked
from lrsched.installed import needs

# What lines are simplified for: dots across and up, and points of a line before it is drawn as a band.
_ACROSS, _UP, _MOST = 4000.0, 2000.0, 1200
# Part of a linear axis that is left free above the curve, and below it where that is below 0.
_ROOM = 0.03
# Characters of a name in the legend.
_SHOWN = 60


@checked
def plot(
    schedules: Curves,
    ax: Any = None,
    labels: Labels = None,
    log: OnOff = False,
    start: Count = 0,
    stop: CountOrNone = None,
) -> Any:
    """Draw one schedule, or several, with Matplotlib.

    Jumps are vertical, and cycles too dense for a line are a band, as in the other pictures.

    Args:
        schedules: a schedule or a function of the step, or a sequence of up to 64.
        ax: the axes to draw on, which keep what is there; by default new ones.
        labels: names for the legend; by default the texts of several schedules, and none for one.
        log: whether the value axis is logarithmic; not where no value is above 0.
        start: first step shown.
        stop: last step shown; by default the length of the longest schedule, or a sensible horizon.

    Returns:
        The axes, a `matplotlib.axes.Axes`.

    Raises:
        ModuleNotFoundError: Matplotlib is missing.
        TypeError: `ax` is none, or another argument is of the wrong kind.
        ValueError: no schedule, one that lacks a height, not one label a schedule, or `stop` is not after `start`.

    Examples:
        >>> from lrsched import Cosine, Warmup, plot
        >>> ax = plot([Cosine(0.1, 0.0, steps=90), Warmup(10) >> Cosine(0.1, 0.0, steps=80)])
        >>> [line.get_label() for line in ax.lines]
        ['Cosine(0.1, 0.0, steps=90)', 'Linear(0.0, 0.1, steps=10) >> Cosine(0.1, 0.0, steps=80)']
        >>> tuple(map(float, ax.get_xlim()))
        (0.0, 90.0)
    """
    items: Any = schedules
    names = [_cut(repr(item)) for item in items] if labels is None and len(items) > 1 else list(labels or [])
    if names and len(names) != len(items):
        raise ValueError(f"plot(labels=...) must hold one label a schedule, got {len(names)} for {len(items)}")
    last = max(common_horizon(items, None), start + 1) if stop is None else stop
    if last <= start:
        raise ValueError(f"plot(stop=...) must be after start={start}, got {last}")
    if ax is not None and not (hasattr(ax, "fill") and hasattr(ax, "xaxis")):
        raise TypeError(f"plot(ax=...) must be axes of Matplotlib, got {short(ax)}")
    with needs("plot", "plot", "matplotlib"):
        ticker = import_module("matplotlib.ticker")
        own = ax is None
        if own:
            ax = import_module("matplotlib.pyplot").subplots()[1]
    curves = [sample(Shift(item, start) if start else item, last - start) for item in items]
    every = np.concatenate([curve.values for curve in curves])
    positive = every[every > 0]
    log = log and bool(positive.size)
    low, high = bounds(float(positive.min()) if log else float(every.min()), float(every.max()), log)
    for i, curve in enumerate(curves):
        panel = Panel(0.0, 0.0, _ACROSS, _UP, last - start, low, high, log)
        _draw(ax, curve, panel, start, names[i] if names else None)
    if own:
        ax.set(xlim=(start, last), ylim=_room(low, high, log), xlabel="step", ylabel="learning rate")
    if log:
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(_locator(ticker, _whole))
    ax.xaxis.set_major_formatter(lambda step, place: count(round(step)))
    if not log:
        ax.yaxis.set_major_locator(_locator(ticker, _inside))
    ax.yaxis.set_major_formatter(lambda value, place: number(value))
    if names:
        ax.legend()
    return ax


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN else name[: _SHOWN - 3] + "..."


def _room(low: float, high: float, log: bool) -> tuple[float, float]:
    """Return the ends of the value axis, with a little room for the line."""
    if log:
        return low, high * (high / low) ** _ROOM if high > low else 10 * high
    more = _ROOM * (high - low)
    return low - (more if low < 0 else 0.0), high + more


def _inside(low: float, high: float) -> Sequence[float]:
    """Return the ticks that the other pictures have, of a value axis with room."""
    more = (high - low) * _ROOM / (1 + _ROOM + _ROOM * (low < 0))
    return labelled_ticks(low + more * (low < 0), high - more, False)[0]


def _draw(ax: Any, curve: Samples, panel: Panel, start: int, label: str | None) -> None:
    """Draw a line with vertical jumps, or a band; both are found in dots of a fine picture."""
    points = line(curve, panel.place, _MOST)
    dense = points is None
    x, y = (band(curve, panel.place, 1000) if points is None else points).T
    share = 1.0 - y / panel.height
    steps = start + x / panel.width * panel.end
    low, high = panel.low, panel.high
    values = low * (high / low) ** share if panel.log else low + (high - low) * share
    if dense:
        ax.fill(steps, values, alpha=0.5, label=label)
    else:
        ax.plot(steps, values, label=label)


def _whole(low: float, high: float) -> Sequence[float]:
    """Return round steps between two steps."""
    if low <= 0 and high >= 1:
        return step_ticks(int(high))
    return [tick for tick in linear_ticks(low, high, 6) if tick == int(tick)]


def _locator(ticker: Any, ticks: Callable[[float, float], Sequence[float]]) -> Any:
    """Return what tells Matplotlib the ticks of an axis, also when one zooms into it."""

    def between(self: Any, low: float, high: float) -> Sequence[float]:
        return ticks(*sorted((low, high)))

    def now(self: Any) -> Sequence[float]:
        return between(self, *self.axis.get_view_interval())

    return type("Ticks", (ticker.Locator,), {"tick_values": between, "__call__": now})()
