"""The picture of a schedule in a terminal: braille dots, or plain ASCII where the terminal has no braille."""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import Int
from lrsched._draw.axis import bounds, count, fraction, labelled_ticks, step_ticks
from lrsched._draw.samples import Samples, is_jump, sample
from lrsched._draw.svg import Curves, Labels, common_horizon
from lrsched.arguments import CountOrNone, OnOff, checked

# Bits of the eight dots of U+2800, by row and column.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_MARKS = "*+ox#@%&"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_COLOURS = (34, 33, 32, 35, 36, 31)


@checked
def plot_text(
    schedules: Curves,
    steps: CountOrNone = None,
    width: Annotated[int, Int(low=24, high=10_000)] = 80,
    height: Annotated[int, Int(low=4, high=1_000)] = 16,
    *,
    labels: Labels = None,
    log: OnOff = False,
    ascii_only: OnOff = False,
    colour: OnOff = False,
) -> str:
    """A picture of one or several schedules as lines of text.

    Args:
        schedules: a schedule, or a sequence of them.
        steps: last step shown; by default the length of the longest, or a sensible horizon.
        width: characters of a line, at least 24.
        height: lines of the plot area, at least 4; axis and legend come below.
        labels: names for the legend; by default the texts of several schedules, and none for one.
        log: draw the values on a logarithmic axis.
        ascii_only: draw with one ASCII mark a schedule instead of braille dots.
        colour: tell the schedules apart by terminal colours.

    Returns:
        Lines of at most `width` characters, without a line break at the end.

    Raises:
        ValueError: no schedule, too small a picture, or not one label a schedule.

    Examples:
        >>> from lrsched import Linear
        >>> print(plot_text(Linear(1.0, 0.0, steps=8), width=24, height=4, ascii_only=True))
           1 |***
             |   ******
         0.5 |         ******
           0 |               ***
             +------------------
              0          5
    """
    items: Any = schedules
    names = [repr(item) for item in items] if labels is None and len(items) > 1 else list(labels or [])
    if names and len(names) != len(items):
        raise ValueError(f"plot_text(labels=...) must hold one label a schedule, got {len(names)} for {len(items)}")
    last = common_horizon(items, steps)
    curves = [sample(item, last) for item in items]
    every = np.concatenate([curve.values for curve in curves])
    positive = every[every > 0]
    log = log and bool(positive.size)
    low, high = bounds(float(positive.min()) if log else float(every.min()), float(every.max()), log)
    ticks, texts = labelled_ticks(low, high, log, most=max(3, min(5, height // 3)))
    margin = max(4, *(len(text) for text in texts)) if texts else 4
    columns = width - margin - 2
    across, down = (1, 1) if ascii_only else (2, 4)
    grids = [_raster(_heights(curve, low, high, log), columns * across, height * down, last) for curve in curves]
    rows = {
        round((1 - float(part)) * (height - 1)): text
        for part, text in zip(fraction(ticks, low, high, log), texts, strict=True)
    }
    canvas = _ascii(grids, colour) if ascii_only else _braille(grids, colour)
    lines = [f"{rows.get(i, ''):>{margin}} |{row.rstrip()}" for i, row in enumerate(canvas)]
    lines.append(" " * margin + " +" + "-" * columns)
    lines.append(_step_labels(last, columns, margin + 2))
    for i, name in enumerate(names):
        mark = _MARKS[i % len(_MARKS)] if ascii_only else "\u2501\u2501" if colour else _LETTERS[i % len(_LETTERS)]
        room = width - margin - 3 - len(mark)
        shown = name if len(name) <= room else name[: room - 3] + "..."
        lines.append(f"{' ' * (margin + 2)}{_paint(mark, i) if colour else mark} {shown}")
    return "\n".join(lines)


def _heights(curve: Samples, low: float, high: float, log: bool) -> Samples:
    """Return the curve with jumps made vertical and values between 0 and 1."""
    jump = np.flatnonzero(is_jump(*curve)) + 1
    steps = np.insert(curve.steps, jump, curve.steps[jump])
    values = np.insert(curve.values, jump, curve.values[jump - 1])
    return Samples(steps, np.clip(fraction(values, low, high, log), 0.0, 1.0))


def _raster(curve: Samples, columns: int, rows: int, last: int) -> NDArray[np.bool_]:
    """Return the dots of a curve: in each column all from the least to the greatest value there."""
    edges = np.linspace(0.0, last, columns + 1)
    steps = curve.steps.astype(np.float64)
    # Just inside the column, so that a jump on its edge belongs to one of the two only.
    left, right = (np.interp(x, steps, curve.values) for x in (edges[:-1] + 1e-9 * last, edges[1:] - 1e-9 * last))
    top, bottom = np.maximum(left, right), np.minimum(left, right)
    column = np.minimum((steps / last * columns).astype(np.int64), columns - 1)
    np.maximum.at(top, column, curve.values)
    np.minimum.at(bottom, column, curve.values)
    first, final = np.rint((1 - top) * (rows - 1)), np.rint((1 - bottom) * (rows - 1))
    row = np.arange(rows)[:, None]
    return np.asarray((row >= first) & (row <= final))


def _braille(grids: Sequence[NDArray[np.bool_]], colour: bool) -> list[str]:
    bits = []
    for grid in grids:
        rows, columns = grid.shape
        cells = grid.reshape(rows // 4, 4, columns // 2, 2)
        bits.append((cells * _DOTS[None, :, None, :]).sum(axis=(1, 3)))
    drawn = np.bitwise_or.reduce(bits)
    owner = _owners([cell > 0 for cell in bits])
    lines = [[chr(0x2800 + code) if code else " " for code in row] for row in drawn.tolist()]
    if len(grids) > 1 and not colour:
        _tag(lines, [cell > 0 for cell in bits])
    return [_join(line, row, colour) for line, row in zip(lines, owner, strict=True)]


def _tag(lines: list[list[str]], drawn: Sequence[NDArray[np.bool_]]) -> None:
    """Write the letter of each curve on it, where it runs alone if it ever does."""
    alone = np.sum(drawn, axis=0) == 1
    for i, cells in enumerate(drawn):
        places = np.argwhere((cells & alone).T)
        places = places if len(places) else np.argwhere(cells.T)
        column, row = places[min(len(places) - 1, (2 * i + 1) * len(places) // (2 * len(drawn)))]
        lines[row][column] = _LETTERS[i % len(_LETTERS)]


def _ascii(grids: Sequence[NDArray[np.bool_]], colour: bool) -> list[str]:
    owner = _owners(grids)
    lines = [[_MARKS[i % len(_MARKS)] if i >= 0 else " " for i in row] for row in owner]
    return [_join(line, row, colour) for line, row in zip(lines, owner, strict=True)]


def _join(line: Sequence[str], owner: Sequence[int], colour: bool) -> str:
    """Return the characters as one text, each run of one schedule in its colour."""
    if not colour:
        return "".join(line)
    runs = groupby(zip(line, owner, strict=True), key=lambda pair: pair[1])
    return "".join(_paint("".join(c for c, _ in run), i) if i >= 0 else "".join(c for c, _ in run) for i, run in runs)


def _owners(grids: Sequence[NDArray[np.bool_]]) -> list[list[int]]:
    """Return for each cell the schedule that is seen there, -1 for none; where several meet they alternate."""
    stack = np.stack(grids)
    met = stack.sum(axis=0)
    turn = np.add.outer(np.zeros(stack.shape[1], dtype=np.int64), np.arange(stack.shape[2])) % np.maximum(met, 1)
    rank = np.cumsum(stack, axis=0) - 1
    seen = stack & (rank == turn)
    owner: list[list[int]] = np.where(met > 0, seen.argmax(axis=0), -1).tolist()
    return owner


def _paint(text: str, index: int) -> str:
    return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{text}\x1b[0m"


def _step_labels(last: int, columns: int, indent: int) -> str:
    line = [" "] * columns
    for step in step_ticks(last, max(2, columns // 8)):
        text = count(step)
        begin = min(max(round(step / last * (columns - 1)) - len(text) // 2, 0), columns - len(text))
        if all(c == " " for c in line[max(begin - 1, 0) : begin + len(text) + 1]):
            line[begin : begin + len(text)] = text
    return " " * indent + "".join(line).rstrip()
