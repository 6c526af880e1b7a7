"""How a schedule is drawn: axes, joints, curves and marks, as SVG elements.

Everything neutral is drawn in `currentColor`: inside a page that is the page's own text colour. A file of its own
(an `<img>`, a README) has no such colour, so it carries one for light and one for dark.
"""

import html
from itertools import pairwise
from typing import NamedTuple
from zlib import crc32

import numpy as np

from lrsched._draw.axis import bounds, count, fraction, labelled_ticks, number, step_ticks, wants_log
from lrsched._draw.curve import band, line
from lrsched._draw.milestones import Milestone
from lrsched._draw.samples import Floats, Ints, Phase, Samples

# Mid-tones that can be told apart on white, on black and without colour vision; dashes repeat the message.
_COLOURS = ("#2f81f7", "#e0700d", "#1a9e6c", "#c04bb3", "#8f7a1c", "#d6404a", "#7b61d1", "#17929c")
_DASHES = ("", "7 3", "2 2.5", "9 3 2 3")
_FONT = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
_CHARACTER = 6.1
# Points of all lines together: what keeps a picture below 20 kB.
_MOST_POINTS = 900


class Panel(NamedTuple):
    """A plot area in pixels and the axes that it shows."""

    left: float
    top: float
    width: float
    height: float
    end: int
    low: float
    high: float
    log: bool

    def place(self, steps: Ints, values: Floats) -> tuple[Floats, Floats]:
        """Return the pixel coordinates of points; what lies below a logarithmic axis stands on it."""
        x = self.left + np.asarray(steps, dtype=np.float64) / self.end * self.width
        part = fraction(values, self.low, self.high, self.log)
        return x, self.top + (1.0 - np.clip(part, 0.0, 1.0)) * self.height

    def spot(self, step: int, value: float) -> tuple[float, float]:
        """Return the pixel coordinates of one point."""
        x, y = self.place(np.array([step]), np.array([value]))
        return float(x[0]), float(y[0])


def escape(text: str) -> str:
    """Return a text as XML content."""
    # XML 1.0 has no control characters, not even as references.
    clean = "".join(c if c.isprintable() or c == " " else "\ufffd" for c in text)
    return html.escape(clean)


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 1)] + "\u2026"


class Picture:
    """One drawing: collects SVG elements from top to bottom."""

    def __init__(
        self,
        width: int,
        height: int,
        end: int,
        curves: list[Samples],
        title: str | None,
        names: list[str],
        log: bool | None,
        quantity: str = "learning rate",
    ) -> None:
        self.width, self.height, self.end, self.curves = width, height, end, curves
        self.title, self.names, self.quantity = title, names, quantity
        self.phases: tuple[Phase, ...] = ()
        self.marks: list[Milestone] = []
        every = np.concatenate([curve.values for curve in curves])
        self.low, self.high = float(every.min()), float(every.max())
        positive = every[every > 0]
        self.least = float(positive.min()) if positive.size else 0.0
        if log is None:
            both = any(wants_log(curve) for curve in curves) and width >= 480
            self.scales = [False, True] if both else [False]
        else:
            self.scales = [log and self.least > 0]

    def draw(self, inline: bool) -> str:
        """Return the SVG; `inline` for one inside a page, whose text colour it takes."""
        body: list[str] = []
        top = 8.0
        if self.title:
            shown = _clip(self.title, int((self.width - 20) / 7.5))
            body.append(f'<text x="10" y="20" font-size="13" font-weight="600">{escape(shown)}</text>')
            top += 20
        if len(self.curves) > 1:
            top = self._legend(body, top)
        each = self.width / len(self.scales)
        for i, log in enumerate(self.scales):
            self._panel(body, i * each, top, each, log)
        name = escape(_clip(self.title or " and ".join(self.names), 200))
        key = f"lr{crc32(''.join(body).encode() + name.encode()):08x}{'i' if inline else ''}"
        # A viewer that knows no media queries keeps the grey, which can be read on both.
        colour = "" if inline else ' color="#7d8590"'
        theme = "" if inline else f"<style>{_theme(key, 'light', '#424a53')}{_theme(key, 'dark', '#c9d1d9')}</style>"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" id="{key}" role="img" aria-labelledby="{key}-t {key}-d"'
            f' viewBox="0 0 {self.width} {self.height}" width="{self.width}" height="{self.height}"{colour}'
            f' style="max-width:100%;height:auto" font-family="{_FONT}" font-size="11" fill="currentColor">'
            f'<title id="{key}-t">{name}</title><desc id="{key}-d">{escape(self._words())}</desc>{theme}'
            f"{''.join(body)}</svg>"
        )

    def _words(self) -> str:
        """Return the picture in words."""
        if not self.marks:
            span = f"between {number(self.low)} and {number(self.high)}"
            return f"{len(self.curves)} curves over steps 0 to {self.end}, {span}."
        seen = "; ".join(f"{m.name} at step {m.step}: {number(m.value)}" for m in self.marks[:12])
        return f"Value over steps 0 to {self.end}. {seen}."

    def _legend(self, body: list[str], top: float) -> float:
        """Draw the names of the curves in as many rows as they need; return where the panels begin."""
        most = max(10, int((self.width - 60) / _CHARACTER))
        x, y = 10.0, top + 8
        room = max(1, int((self.height - 130) // 15))
        for i, name in enumerate(self.names):
            shown = _clip(name, min(most, 60))
            wide = 44 + len(shown) * _CHARACTER
            if x > 10 and x + wide > self.width:
                x, y, room = 10.0, y + 15, room - 1
            if room <= 0:
                body.append(f'<text x="10" y="{y + 2:.1f}">and {len(self.names) - i} more</text>')
                break
            body.append(f'<line x1="{x:.1f}" y1="{y - 2:.1f}" x2="{x + 20:.1f}" y2="{y - 2:.1f}" {_stroke(i)}/>')
            body.append(f'<text x="{x + 26:.1f}" y="{y + 2:.1f}">{escape(shown)}</text>')
            x += wide
        return y + 8

    def _panel(self, body: list[str], left: float, top: float, width: float, log: bool) -> None:
        low, high = bounds(self.least if log else self.low, self.high, log)
        ticks, texts = labelled_ticks(low, high, log)
        after = 14 + (len(number(self.marks[-1].value)) * _CHARACTER if self.marks else 6)
        margin = 14 + max(map(len, texts), default=1) * _CHARACTER
        panel = Panel(
            left + margin, top + 32, width - margin - after, self.height - top - 32 - 34, self.end, low, high, log
        )
        self._axes(body, panel, list(zip(ticks, texts, strict=True)), left)
        if self.phases:
            self._joints(body, panel)
        for i, curve in enumerate(self.curves):
            self._curve(body, panel, curve, i)
        if self.marks:
            self._dots(body, panel)

    def _axes(self, body: list[str], panel: Panel, ticks: list[tuple[float, str]], left: float) -> None:
        right, bottom = panel.left + panel.width, panel.top + panel.height
        body.append(_text(left + 10, panel.top - 21, f"{self.quantity}{' (log)' if panel.log else ''}", 0.7))
        for tick, text in ticks:
            y = panel.spot(0, tick)[1]
            body.append(_rule(panel.left, y, right, y, 0.13))
            body.append(_text(panel.left - 6, y + 3.8, text, 0.85, "end"))
        body.append(_rule(panel.left, bottom, right, bottom, 0.5))
        for step in step_ticks(self.end, max(2, int(panel.width / 75))):
            x = panel.spot(step, panel.low)[0]
            body.append(_rule(x, bottom, x, bottom + 4, 0.5))
            body.append(_text(x, bottom + 16, count(step), 0.85, "middle"))
        body.append(_text(right, bottom + 30, "step", 0.7, "end"))

    def _joints(self, body: list[str], panel: Panel) -> None:
        """Draw where the parts of a chain meet, with their names where there is room."""
        inside = [phase for phase in self.phases if phase.start < self.end]
        if len(inside) > 40:
            return
        stops = [panel.spot(phase.start, panel.low)[0] for phase in inside] + [panel.left + panel.width]
        for phase, (x, until) in zip(inside, pairwise(stops), strict=True):
            if phase.start:
                body.append(
                    _rule(x, panel.top - 14, x, panel.top + panel.height, 0.45, ' class="joint" stroke-dasharray="2 3"')
                )
            begin = max(x, panel.left + (110 if panel.log else 80))  # right of the name of the axis
            if until - begin > len(phase.name) * _CHARACTER + 4:
                body.append(_text(begin, panel.top - 21, phase.name, 0.6))

    def _curve(self, body: list[str], panel: Panel, curve: Samples, index: int) -> None:
        each = _MOST_POINTS // (len(self.scales) * len(self.curves))
        points = line(curve, panel.place, max(each, 40))
        if points is not None:
            body.append(f'<polyline class="curve" points="{_points(points)}" fill="none" {_stroke(index)}/>')
            if len(self.curves) == 1 and curve.steps.size <= 33:
                x, y = panel.place(*curve)
                body += [
                    f'<circle cx="{a:.1f}" cy="{b:.1f}" r="1.9" fill="{_COLOURS[0]}"/>'
                    for a, b in zip(x, y, strict=True)
                ]
            return
        shape = band(curve, panel.place, max(20, min(int(panel.width / 2.5), each // 2)))
        colour = _COLOURS[index % len(_COLOURS)]
        body.append(
            f'<polygon class="band" points="{_points(shape)}" fill="{colour}" fill-opacity=".3" stroke="{colour}"'
            ' stroke-linejoin="round"/>'
        )

    def _dots(self, body: list[str], panel: Panel) -> None:
        """Mark start, peak, minimum and end; the peak and the end also in numbers, which need no room below."""
        right = panel.left + panel.width
        marks = [m for m in self.marks if {"start", "peak", "minimum", "end"} & set(m.name.split(", "))]
        for m in marks:
            x, y = panel.spot(m.step, m.value)
            body.append(
                f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{_COLOURS[0]}">'
                f"<title>{escape(m.name)}: {number(m.value)} at step {m.step}</title></circle>"
            )
            text = number(m.value) if m.step == self.end else f"{number(m.value)} at {count(m.step)}"
            half = len(text) * _CHARACTER / 2
            if m.step == self.end:
                x, y = x + 7 + half, y + 4
            elif "peak" in m.name.split(", "):
                x, y = min(max(x, panel.left + half), right - half), y - 8
            else:
                continue
            body.append(_text(x, y, text, 1, "middle"))


def _text(x: float, y: float, text: str, opacity: float, anchor: str = "start") -> str:
    strength = ' font-weight="600"' if opacity == 1 else f' opacity="{opacity:g}"'
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{side}{strength}>{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float, opacity: float, more: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" opacity="{opacity:g}"{more}/>'


def _theme(key: str, scheme: str, colour: str) -> str:
    return f"@media(prefers-color-scheme:{scheme}){{#{key}{{color:{colour}}}}}"


def _stroke(index: int) -> str:
    dash = _DASHES[index % len(_DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{_COLOURS[index % len(_COLOURS)]}" stroke-width="1.8" stroke-linejoin="round"{dashes}'


def _points(points: Floats) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
