"""The picture of a schedule: a small SVG that needs no script, no font and no style sheet."""

from collections.abc import Sequence
from typing import Annotated, Any

from lrsched._core.check import Flag, Int, Many, OneOf, OneOrMany, OrNone
from lrsched._core.value import shown
from lrsched._curves import Complete, Schedule, is_pending
from lrsched._draw.axis import number
from lrsched._draw.milestones import Milestone, merged, milestones_of
from lrsched._draw.picture import Picture, escape
from lrsched._draw.samples import horizon, phases, sample
from lrsched.arguments import CountOrNone, checked

# What pictures of several schedules take. One holds up to 64 curves.
Curves = Annotated[Schedule | Sequence[Schedule], OneOrMany(Complete(), 64)]
Text = Annotated[str, OneOf(str, "a text")]
Labels = Annotated[Sequence[str] | None, OrNone(Many(OneOf(str, "a text"), least=0))]


@checked
def svg(
    schedules: Curves,
    *,
    steps: CountOrNone = None,
    width: Annotated[int, Int(low=200, high=100_000)] = 640,
    height: Annotated[int, Int(low=120, high=100_000)] = 240,
    title: Annotated[str | None, OrNone(OneOf(str, "a text"))] = None,
    labels: Labels = None,
    log: Annotated[bool | None, OrNone(Flag())] = None,
    quantity: Text = "learning rate",
) -> str:
    """A picture of one schedule, or of several on the same axes, as SVG text.

    Args:
        schedules: a schedule, or a sequence of up to 64.
        steps: last step shown; by default the length of the longest schedule, or a sensible horizon.
        width: of the picture in pixels, at least 200.
        height: of the picture in pixels, at least 120.
        title: shown on top; by default none is shown, and screen readers get the text of the schedule.
        labels: names of the curves for the legend; by default their texts.
        log: True for a logarithmic value axis, False for a linear one, None for both where one is not enough.
        quantity: what the value axis shows.

    Returns:
        An XML document; it follows the light or dark theme of the viewer.

    Raises:
        ValueError: no schedule, too many, one that lacks a height, too small a picture, or not one label a schedule.

    Examples:
        >>> from lrsched import Cosine
        >>> svg(Cosine(3e-4, 0.0, steps=100))[:4]
        '<svg'

    References:
        Ramer, An iterative procedure for the polygonal approximation of plane curves, 1972.
    """
    items: Any = schedules
    names = list(map(repr, items) if labels is None else labels)
    if len(names) != len(items):
        raise ValueError(f"svg(labels=...) must hold one label a schedule, got {len(names)} for {len(items)}")
    last = common_horizon(items, steps)
    return _picture(items, last, width, height, title, names, log, quantity).draw(inline=False)


def _picture(
    items: Sequence[Schedule],
    last: int,
    width: int,
    height: int,
    title: str | None,
    names: list[str],
    log: bool | None,
    quantity: str,
) -> Picture:
    """Return the picture of the steps up to `last`; that of one schedule shows its parts and milestones."""
    curves = [sample(item, last) for item in items]
    picture = Picture(width, height, last, curves, title, names, log, escape(quantity))
    if len(items) == 1:
        picture.phases = phases(items[0])
        picture.marks = merged(milestones_of(items[0], curves[0], last))
    return picture


def common_horizon(items: Sequence[Schedule], steps: int | None) -> int:
    """Return the last step of a picture of several schedules: that of the longest bounded one, if there is one."""
    bounded = [item for item in items if item.length is not None]
    return max(horizon(item, steps) for item in (bounded or items))


def mimebundle(schedule: Schedule) -> dict[str, Any]:
    """What a notebook shows of a schedule, by MIME type: picture, milestones and text.

    Args:
        schedule: any schedule. A `Warmup` or `Cooldown` without its neighbour has no picture, only a text.

    Returns:
        "text/plain" always, of a very long one its beginning; "text/html" and "image/svg+xml" where there is a picture.
    """
    text = shown(schedule)
    if is_pending(schedule):
        return {"text/plain": text}
    picture = _picture([schedule], horizon(schedule), 640, 240, None, [text], None, "learning rate")
    page = f"{picture.draw(inline=True)}{_table(picture.marks)}{_code(text)}"
    page = f'<div style="max-width:{picture.width}px">{page}</div>'
    return {"text/html": page, "image/svg+xml": picture.draw(inline=False), "text/plain": text}


def _code(text: str) -> str:
    return f'<pre style="white-space:pre-wrap;margin:.4em 0">{escape(text)}</pre>'


def _table(marks: Sequence[Milestone]) -> str:
    shown = marks if len(marks) <= 14 else [*marks[:13], marks[-1]]
    cell = '<td style="text-align:{}">{}</td>'.format
    rows = "".join(
        f"<tr>{cell('left', escape(m.name))}{cell('right', f'{m.step:,}')}{cell('right', number(m.value))}"
        f"{cell('right', f'{m.share:.0%}' if m.step < marks[-1].step else '')}</tr>"
        for m in shown
    )
    head = "".join(f'<th style="text-align:{side}">{name}</th>' for name, side in _COLUMNS)
    return f'<table style="margin:.4em 0"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


_COLUMNS = (("milestone", "left"), ("step", "right"), ("value", "right"), ("share of area to the next", "right"))
