"""What a return model believes of a run, in words and as a picture."""

import html
from typing import NamedTuple

import numpy as np

from lrsched._draw.axis import count, linear_ticks, number
from lrsched.forecast._forecast import Forecast
from lrsched.forecast._path import Array
from lrsched.forecast._state import ReturnState

WIDTH, LEFT, RIGHT = 640, 56, 12
# Upper and lower edges of the panels of the loss and of the learning rate, and the height of the whole.
LOSS, RATE, HEIGHT = (26, 246), (268, 332), 356
# The colours of the first two curves of `lrsched` pictures; the second is dashed as well.
STYLES = (("#2f81f7", ""), ("#e0700d", ' stroke-dasharray="6 3"'))


class Explanation(NamedTuple):
    """An explanation in words, and a picture as SVG text; notebooks show both."""

    text: str
    svg: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        shown = f"<figure>{self.svg}<figcaption>{html.escape(self.text)}</figcaption></figure>"
        return {"text/plain": self.text, "text/html": shown}


class Fan(NamedTuple):
    """A plan, and forecasts of the loss at later updates under it."""

    label: str
    rates: Array  # `(m,)`: learning rates, evenly spaced from update 0 to the horizon
    steps: Array  # `(n,)`
    forecasts: list[Forecast]  # n of them, or none if it is too early


def explain(horizon: int, state: ReturnState, fans: list[Fan], status: str) -> Explanation:
    """Return what there is to say of a run.

    Args:
        horizon: length of the run in updates.
        state: the state of its return model.
        fans: the present plan, then the advised one if there is one.
        status: in words, how far the model trusts itself.

    Returns:
        The explanation.
    """
    record = state.record
    sentences = [f"Update {count(record.step)} of {count(horizon)}, learning rate {number(state.lr)}: {status}."]
    foreseen = bool(fans[0].forecasts)
    if foreseen:
        sentences.append(f"Under the present plan the loss should end at {_said(fans[0].forecasts[-1])}.")
    if foreseen and len(fans) > 1 and state.better is not None:
        gain, sd = map(number, state.gain)
        sentences.append(
            f"Keeping the rate until update {count(state.better.start)} and then decaying to 0 (power "
            f"{number(state.better.power)}) should end at {_said(fans[1].forecasts[-1])}. The law sees a gain of "
            f"{gain} +- {sd}; it promises too much as a rule, so expect less."
        )
    elif foreseen:
        sentences.append("No other plan is better with enough certainty.")
    if record.refused:
        sentences.append(f"{record.refused} losses were not between 1e-30 and 1e30 and were left out.")
    text = " ".join(sentences)
    seen = np.array([(step, loss) for step, _, loss, _ in record.points]).reshape(-1, 2)
    return Explanation(text, _picture(horizon, seen, fans, text))


def _said(forecast: Forecast) -> str:
    return f"{forecast.mean:.4g} ({forecast.lo:.4g} to {forecast.hi:.4g} with 80 %)"


def _picture(horizon: int, seen: Array, fans: list[Fan], title: str) -> str:
    """Draw the losses `(n, 2)` of step and loss, each forecast as a line in its interval, and the rates below."""
    # The first losses are far above the rest and would flatten it: they are left out.
    values = [*seen[len(seen) // 4 :, 1], *(edge for fan in fans for each in fan.forecasts for edge in each)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    high = high if high > low else low + 1.0
    seen = seen[seen[:, 1] <= high]
    top = max(float(fan.rates.max()) for fan in fans)

    def loss_at(steps: Array, losses: Array) -> str:
        return _points(np.asarray(steps) / horizon, (np.asarray(losses) - low) / (high - low), LOSS)

    ticks = [(each, f"{each:.5g}") for each in linear_ticks(low, high) if low <= each <= high]
    parts = [
        _axes(LOSS, [((each - low) / (high - low), label) for each, label in ticks]),
        _axes(RATE, [(0.0, "0"), (1.0, number(top))] if top else [(0.0, "0")]),
        f'<text x="{LEFT + 4}" y="{RATE[0] - 6}">learning rate</text>',
        _steps(horizon),
    ]
    for fan, (colour, dashes), x in zip(fans, STYLES, (LEFT, LEFT + 150), strict=False):
        stroke = f'fill="none" stroke="{colour}" stroke-width="2"{dashes}'
        rates = _points(np.linspace(0.0, 1.0, fan.rates.size), fan.rates / (top or 1.0), RATE)
        parts.append(f'<path d="M{x} 13h20" {stroke}/><text x="{x + 26}" y="17">{fan.label}</text>')
        parts.append(f'<polyline points="{rates}" {stroke}/>')
        if fan.forecasts:
            mean, lo, hi = np.array(fan.forecasts).T
            edge = loss_at(np.concatenate((fan.steps, fan.steps[::-1])), np.concatenate((lo, hi[::-1])))
            parts.append(f'<polygon points="{edge}" fill="{colour}" fill-opacity="0.18"/>')
            parts.append(f'<polyline points="{loss_at(fan.steps, mean)}" {stroke}/>')
    if len(seen):
        parts.append(f'<polyline points="{loss_at(*seen.T)}" fill="none" stroke="currentColor" stroke-width="1.5"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="system-ui,sans-serif" font-size="11" fill="currentColor">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )


def _points(across: Array, up: Array, panel: tuple[int, int]) -> str:
    """Return the points of a line from parts of the width and of the height of a panel."""
    x = LEFT + across * (WIDTH - LEFT - RIGHT)
    y = panel[1] - np.clip(up, 0.0, 1.0) * (panel[1] - panel[0])
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _axes(panel: tuple[int, int], ticks: list[tuple[float, str]]) -> str:
    """Return the two axes of a panel, and labels at parts of its height."""
    top, bottom = panel
    parts = [f'<path d="M{LEFT} {top}V{bottom}H{WIDTH - RIGHT}" fill="none" stroke="currentColor"/>']
    for part, label in ticks:
        y = bottom - part * (bottom - top)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    return "".join(parts)


def _steps(horizon: int) -> str:
    parts = []
    for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x, label = LEFT + part * (WIDTH - LEFT - RIGHT), count(round(part * horizon))
        parts.append(f'<text x="{x:.1f}" y="{RATE[1] + 16}" text-anchor="{anchor}">{label}</text>')
    return "".join(parts)
