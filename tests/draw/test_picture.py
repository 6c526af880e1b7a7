"""The pictures say what the schedule says: parsed as XML or read as text, never compared byte by byte."""

import math
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import bounded_schedules, pending, schedules

from lrsched import (
    Batches,
    Chain,
    Constant,
    Cooldown,
    Cosine,
    Epochs,
    Exponential,
    Extend,
    Geometric,
    Hold,
    Linear,
    PowerLaw,
    Repeat,
    Schedule,
    Stretch,
    Table,
    Triangular,
    Warmup,
)
from lrsched._draw.axis import bounds, linear_ticks, step_ticks
from lrsched._draw.milestones import merged, milestones
from lrsched._draw.samples import BUDGET, evaluate, horizon, sample
from lrsched._draw.svg import mimebundle, svg
from lrsched._draw.terminal import plot_text

SVG = "{http://www.w3.org/2000/svg}"
PEAK = Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500)
SPIKE = Constant(0.1, steps=10**6) >> Constant(0.9, steps=1) >> Constant(0.1, steps=2 * 10**6)
STAIRS = Constant(0.1, steps=30_000) >> Constant(0.01, steps=30_000) >> Constant(0.001, steps=30_000)
SAW = Repeat(Linear(1e-3, 1e-4, steps=20) >> Linear(1e-4, 1e-3, steps=3), times=100_000)
ODD = {
    "unbounded decay": Exponential(0.1, 0.999),
    "slow decay": Warmup(4000) >> PowerLaw(7e-4, 0.5, timescale=4000),
    "cycles without end": Triangular(1e-4, 1e-2, up=2000),
    "growing cycles without end": Repeat(Cosine(1e-3, 0.0, steps=100), stretch=2.0),
    "one step": Linear(0.1, 0.0, steps=1),
    "constant": Constant(0.1),
    "zero": Constant(0.0),
    "2**31 steps": Warmup(1000) >> Cosine(1e-3, 0.0, steps=2**31),
    "2**53 steps": Cosine(1e-3, 0.0, steps=2**53),
    "12 decades": Geometric(0.1, 1e-13, steps=5000),
    "largest float": Linear(1.7e308, 0.0, steps=7),
    "almost both ends of the floats": Hold(Extend(Linear(1e308, 0.0, steps=50)), steps=95),
    "smallest float": Linear(5e-324, 0.0, steps=7),
    "smallest normal float": Linear(2e-308, 1e-308, steps=9000),
    "below zero": Extend(Linear(1.0, 0.0, steps=50)),
    "100,000 cycles": SAW,
    "3000 parts": Chain(tuple(Constant(0.1 * (1 + i % 7), steps=13) for i in range(3000))),
    "noise": Table(tuple(np.random.default_rng(0).random(9000).tolist())),
    "overflow": Exponential(1e300, 1.1),
    "overflow at once": Exponential(1.7e308, 10.0),
    "one-step spike": SPIKE,
    "stairs": STAIRS,
}


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def points(picture: ElementTree.Element, name: str = "curve") -> list[list[tuple[float, float]]]:
    """Return the points of every line or band of a picture."""
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in shape.get("points", "").split())]
        for shape in picture.iter()
        if shape.get("class") == name
    ]


def shapes(picture: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return points(picture) + points(picture, "band")


def coordinates(picture: ElementTree.Element) -> Iterator[tuple[float, float]]:
    for shape in shapes(picture):
        yield from shape
    for element in picture.iter():
        for x, y in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2")):
            if x in element.attrib:
                yield float(element.attrib[x]), float(element.attrib[y])


def outside(picture: ElementTree.Element) -> list[tuple[float, float]]:
    """Return the coordinates that are not finite or lie outside the view box."""
    width, height = (float(size) for size in picture.attrib["viewBox"].split()[2:])
    return [(x, y) for x, y in coordinates(picture) if not (0 <= x <= width and 0 <= y <= height)]


def value_axis(picture: ElementTree.Element) -> tuple[float, float]:
    """Return scale and offset of the first linear value axis, `value = scale * y + offset`, from two of its labels."""
    labels = [
        (float(element.attrib["y"]) - 3.8, float(element.text or ""))
        for element in picture.iter(f"{SVG}text")
        if element.get("text-anchor") == "end" and element.text != "step"
    ]
    (y0, v0), (y1, v1) = labels[0], labels[-1]
    scale = (v1 - v0) / (y1 - y0)
    return scale, v0 - scale * y0


def assert_sound(schedule: Schedule) -> None:
    text = svg(schedule)
    picture = parsed(text)
    assert outside(picture) == []
    assert len(shapes(picture)) in (1, 2)
    assert len(text.encode()) < 20_000


@given(schedules())
def test_every_picture_is_small_and_stays_inside_its_frame(schedule: Schedule):
    assert_sound(schedule)


@pytest.mark.parametrize("schedule", ODD.values(), ids=ODD)
def test_an_odd_schedule_has_a_small_picture_inside_its_frame(schedule: Schedule):
    assert_sound(schedule)


def test_a_point_outside_the_frame_is_found():
    text = svg(PEAK)
    last = parsed(text).attrib["viewBox"].split()
    assert outside(parsed(text.replace('x="', 'x="-'))) != []
    assert outside(parsed(text.replace('points="', 'points="nan,3 '))) != []
    assert outside(parsed(text.replace(" ".join(last), "0 0 300 240"))) != []


@given(bounded_schedules())
def test_the_curve_reaches_exactly_from_the_least_to_the_greatest_value(schedule: Schedule):
    end = min(horizon(schedule), BUDGET - 1)
    values = schedule(np.arange(end + 1))
    low, high = float(values.min()), float(values.max())
    picture = parsed(svg(schedule, steps=end, log=False))
    # The axis spans 166 pixels: 240 less 40 above and 34 below. A line may be 0.12 off and has one decimal.
    bottom, top = bounds(low, high, log=False)
    drawn = [y for shape in shapes(picture) for _, y in shape]

    def place(value: float) -> float:
        return 40 + (1 - (value / 2 - bottom / 2) / (top / 2 - bottom / 2)) * 166

    assert min(drawn) == pytest.approx(place(high), abs=0.18)
    assert max(drawn) == pytest.approx(place(low), abs=0.18)


@pytest.mark.parametrize("schedule", [PEAK, SPIKE, STAIRS, ODD["2**31 steps"], Triangular(0.002, 0.01, up=700)])
def test_the_labels_of_the_axis_agree_with_the_curve(schedule: Schedule):
    picture = parsed(svg(schedule))
    scale, offset = value_axis(picture)
    values = [scale * y + offset for _, y in shapes(picture)[0]]
    real = sample(schedule, horizon(schedule)).values
    assert max(values) == pytest.approx(real.max(), rel=2e-3)
    assert min(values) == pytest.approx(real.min(), abs=2e-3 * real.max())


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 1.0]), st.integers(2, 10**6)), min_size=2, max_size=30))
def test_every_jump_between_plateaus_is_vertical(steps: list[tuple[float, int]]):
    stairs = Chain(tuple(Constant(value, steps=n) for value, n in steps))
    for (x0, y0), (x1, y1) in pairwise(points(parsed(svg(stairs, log=False)))[0]):
        assert x0 == x1 or y0 == y1


def test_a_slope_is_not_drawn_as_jumps():
    line = points(parsed(svg(Linear(1.0, 0.0, steps=5))))[0]
    assert len(line) == 2


def test_a_one_step_spike_in_millions_of_steps_is_drawn_to_its_top():
    line = points(parsed(svg(SPIKE)))[0]
    top = min(y for _, y in line)
    assert len([y for _, y in line if y == top]) >= 1
    assert value_axis(parsed(svg(SPIKE)))[0] * top + value_axis(parsed(svg(SPIKE)))[1] == pytest.approx(0.9, abs=1e-3)


def test_many_cycles_are_drawn_as_a_band_without_gaps():
    band = points(parsed(svg(SAW)), "band")[0]
    top, bottom = min(y for _, y in band), max(y for _, y in band)
    assert {y for _, y in band} == {top, bottom}


def test_a_curve_over_many_decades_is_also_drawn_on_a_logarithmic_axis():
    assert len(points(parsed(svg(ODD["12 decades"])))) == 2
    assert len(points(parsed(svg(ODD["12 decades"], log=True)))) == 1
    assert len(points(parsed(svg(PEAK)))) == 1


def test_a_decay_by_a_constant_factor_is_a_straight_line_on_a_logarithmic_axis():
    line = points(parsed(svg(Geometric(0.1, 1e-6, steps=5000), log=True)))[0]
    assert len(line) == 2


def test_the_joints_of_a_chain_are_vertical_lines_at_their_steps():
    wsd = Warmup(500) >> Constant(3e-4, steps=8_000) >> Cooldown(1_500)
    picture = parsed(svg(wsd))
    left, right = (f([x for x, _ in points(picture)[0]]) for f in (min, max))
    drawn = [float(line.attrib["x1"]) for line in picture.iter(f"{SVG}line") if line.get("class") == "joint"]
    assert drawn == pytest.approx([left + (right - left) * t / 10_000 for t in (500, 8_500)], abs=0.1)


def test_several_schedules_share_the_axes_and_have_a_legend():
    picture = parsed(svg([PEAK, Linear(3e-4, 0.0, steps=4_000)], labels=["<a> & b", "second"], title="x < y"))
    assert len(points(picture)) == 2
    assert {"<a> & b", "second", "x < y"} <= {element.text for element in picture.iter(f"{SVG}text")}
    assert outside(picture) == []


def test_sixty_four_schedules_fit_into_one_picture():
    text = svg([Repeat(Cosine(i + 1.0, 0.0, steps=37 + i), times=300) for i in range(64)], height=400)
    assert outside(parsed(text)) == []
    assert len(text.encode()) < 100_000


def test_a_picture_has_a_role_a_name_and_a_description():
    picture = parsed(svg(PEAK))
    name, description = picture.attrib["aria-labelledby"].split()
    assert picture.attrib["role"] == "img"
    assert {element.get("id"): element.text for element in picture.iter() if element.tag != SVG + "svg"}[name] == repr(
        PEAK
    )
    found = next(element.text for element in picture.iter() if element.get("id") == description)
    assert found == (
        "Value over steps 0 to 10000. start, Linear at step 0: 0; peak, Cosine at step 500: 3e-4; "
        "half of peak at step 5250: 1.5e-4; end at step 10000: 0."
    )


def test_two_pictures_on_a_page_have_different_ids():
    a, b = (parsed(svg(Linear(0.1, 0.0, steps=n))) for n in (10, 11))
    ids = [{element.attrib["id"] for element in picture.iter() if "id" in element.attrib} for picture in (a, b)]
    assert len(ids[0]) == len(ids[1]) == 3
    assert ids[0].isdisjoint(ids[1])


def test_a_picture_of_its_own_knows_light_and_dark_and_neither():
    text = svg(PEAK)
    assert text.count("prefers-color-scheme:light") == text.count("prefers-color-scheme:dark") == 1
    assert parsed(text).attrib["color"] == "#7d8590"


def test_a_picture_in_a_page_takes_the_text_colour_of_the_page():
    page = mimebundle(PEAK)["text/html"]
    assert "prefers-color-scheme" not in page
    assert ' color="' not in page
    assert "script" not in page


@given(schedules())
@settings(max_examples=20)
def test_a_notebook_gets_three_forms_of_a_schedule(schedule: Schedule):
    bundle = mimebundle(schedule)
    assert bundle["text/plain"] == repr(schedule)
    assert parsed(bundle["text/html"]).tag == "div"
    assert parsed(bundle["image/svg+xml"]).tag == SVG + "svg"


@given(pending())
@settings(max_examples=20)
def test_a_schedule_without_its_neighbour_shows_as_text(schedule: Schedule):
    assert schedule._repr_mimebundle_() == {"text/plain": repr(schedule)}


def test_a_picture_of_an_incomplete_schedule_is_refused():
    with pytest.raises(ValueError, match="a height is missing"):
        svg(Warmup(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedules": []}, "a sequence of 1 to 64, got 0"),
        ({"schedules": PEAK, "width": 100}, r"svg\(width=...\) must be an int >= 200 and <= 100000, got 100"),
        ({"schedules": PEAK, "labels": ["a", "b"]}, "one label a schedule, got 2 for 1"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused(arguments: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        svg(**arguments)


def test_control_characters_do_not_break_the_picture():
    assert parsed(svg(PEAK, title="a\x00b\x1b]\ud800")).find(f"{SVG}title").text == "a\ufffdb\ufffd]\ufffd"


class Counted(Schedule, abstract=True):
    """A schedule that counts how many steps it is asked for."""

    def __init__(self, inner: Schedule) -> None:
        self.__dict__.update(inner=inner, asked=0)

    @property
    def length(self) -> int | None:
        return self.inner.length

    def _fields(self) -> tuple[Schedule]:
        return (self.inner,)

    def _at(self, t, space):
        self.__dict__["asked"] += np.size(t)
        return self.inner._at(t, space)


@pytest.mark.parametrize("schedule", ODD.values(), ids=ODD)
def test_sampling_asks_for_few_steps(schedule: Schedule):
    counted = Counted(schedule)
    found = sample(counted, horizon(schedule))
    assert found.steps.size <= counted.asked <= BUDGET
    assert (np.diff(found.steps) > 0).all()


def test_the_top_of_a_long_smooth_curve_is_found_where_no_field_names_it():
    # t / n * (1 - t / n) is greatest in the middle: 1/4.
    arch = Linear(0.0, 1.0, steps=10**6 + 2) * Linear(1.0, 0.0, steps=10**6 + 2)
    assert sample(arch, 10**6 + 2).values.max() == pytest.approx(0.25, rel=1e-10)


@given(bounded_schedules())
def test_samples_are_values_of_the_schedule(schedule: Schedule):
    found = sample(schedule, horizon(schedule))
    assert (found.values == evaluate(schedule, found.steps)).all()
    assert (found.steps[0], found.steps[-1]) == (0, horizon(schedule))


@pytest.mark.parametrize(
    ("schedule", "last"),
    [
        (PEAK, 10_000),
        (Constant(0.1), 1000),
        (Warmup(500) >> Constant(0.1), 1500),
        (Repeat(Cosine(1.0, 0.0, steps=100)), 399),  # the step after would begin a fifth cycle
        (Triangular(0.0, 1.0, up=10, down=30), 160),
        (Exponential(1.0, 0.5), 8),  # 1/32 is the first below 1/20, and 8 the power of two after that step
        (Epochs(Exponential(1.0, 0.5), steps_per_epoch=10), 80),
        (PowerLaw(1.0, 0.5, timescale=1000), 50_000),
        (2.0 * Triangular(0.0, 1.0, up=10), 80),
        (Repeat(Cosine(1.0, 0.0, steps=100), stretch=2.0), 1499),
        (Extend(Cosine(1.0, 0.0, steps=100)), 300),
        (Batches(Repeat(Cosine(1.0, 0.0, steps=100)), batches_per_update=3), 133),
        (Stretch(PowerLaw(1.0, 0.5, timescale=1000), factor=2.5), 125_000),
        (Hold(Exponential(1.0, 0.5), steps=77) >> Triangular(0.0, 1.0, up=10), 157),
    ],
)
def test_a_picture_ends_where_nothing_new_comes(schedule: Schedule, last: int):
    assert horizon(schedule) == last


@given(schedules())
def test_milestones_are_ordered_values_of_the_schedule(schedule: Schedule):
    found = milestones(schedule)
    assert [m.step for m in found] == sorted(m.step for m in found)
    assert [m.value for m in found] == [schedule(m.step) for m in found]
    assert (found[0].name, found[0].step) == ("start", 0)
    assert (found[-1].name, found[-1].step) == ("end", horizon(schedule))


@given(schedules())
def test_the_shares_of_the_milestones_add_up_to_one(schedule: Schedule):
    total = math.fsum(m.share for m in milestones(schedule))
    assert total == pytest.approx(1.0) or total == 0.0


def test_the_milestones_of_a_warmup_and_decay_are_as_computed_by_hand():
    # Rising: sum of t/10 for t < 10 is 4.5. Falling: sum of 1 - k/90 for k < 90 is 45.5, and for k < 45 it is 34.
    found = [(m.name, m.step, m.value, m.share) for m in merged(milestones(Warmup(10) >> Linear(1.0, 0.0, steps=90)))]
    assert found == [
        ("start, Linear", 0, 0.0, pytest.approx(4.5 / 50)),
        ("peak, Linear", 10, 1.0, pytest.approx(34 / 50)),
        ("half of peak", 55, 0.5, pytest.approx(11.5 / 50)),
        ("end", 100, 0.0, 0.0),
    ]


@given(bounded_schedules())
def test_the_half_of_the_peak_is_the_first_step_below(schedule: Schedule):
    end = min(horizon(schedule), BUDGET - 1)
    values = schedule(np.arange(end + 1))
    for m in milestones(schedule, end):
        if m.name == "half of peak":
            assert m.value <= values.max() / 2 < schedule(m.step - 1)


@given(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308), st.integers(2, 8))
def test_ticks_are_few_and_within_the_axis(a: float, b: float, most: int):
    low, high = min(a, b), max(a, b)
    ticks = linear_ticks(low, high, most)
    slack = 1e-6 * (high - low) if high - low < math.inf else 1e300
    assert 1 <= len(ticks) <= most + 1
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.integers(1, 2**53), st.integers(2, 10))
def test_step_ticks_are_whole_and_start_at_zero(end: int, most: int):
    ticks = step_ticks(end, most)
    assert ticks[0] == 0
    assert ticks[-1] <= end
    assert 1 <= len(ticks) <= most + 1


@given(schedules(), st.integers(24, 130), st.integers(4, 30), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_a_picture_in_the_terminal_keeps_to_its_size(
    schedule: Schedule, width: int, height: int, plain: bool, log: bool
):
    lines = plot_text(schedule, width=width, height=height, ascii_only=plain, log=log).split("\n")
    assert len(lines) == height + 2
    assert max(map(len, lines)) <= width
    assert not plain or "\n".join(lines).isascii()


def test_a_jump_in_the_terminal_is_a_vertical_line():
    drawn = plot_text(Constant(1.0, steps=10) >> Constant(0.0, steps=10), width=30, height=6, ascii_only=True)
    rows = [line[6:] for line in drawn.split("\n")[:6]]
    column = rows[1].index("*")
    assert [row[column] for row in rows] == ["*"] * 6
    assert rows[0] == "*" * (column + 1)
    assert rows[5].lstrip() == "*" * (24 - column)


def test_schedules_without_colour_are_told_apart_by_letters_on_the_curves():
    drawn = plot_text([Linear(1.0, 0.0, steps=90), Constant(0.5, steps=90)], width=60, height=8)
    plot, legend = drawn.split("\n")[:8], drawn.split("\n")[-2:]
    assert [sum(row.count(letter) for row in plot) for letter in "AB"] == [1, 1]
    assert [line.split()[0] for line in legend] == ["A", "B"]


def test_schedules_that_run_together_show_both_their_marks():
    drawn = plot_text([Constant(0.5), Constant(0.5)], width=40, height=4, ascii_only=True).split("\n")
    line = next(row for row in drawn if "*" in row)
    assert line[6:] == "*+" * 17


def test_schedules_in_colour_come_with_their_colours_in_the_legend():
    drawn = plot_text([Linear(1.0, 0.0, steps=9), Constant(0.5, steps=9)], width=40, height=4, colour=True)
    legend = drawn.split("\n")[-2:]
    assert ["\x1b[34m" in legend[0], "\x1b[33m" in legend[1]] == [True, True]
    assert drawn.count("\x1b[0m") == drawn.count("\x1b[34m") + drawn.count("\x1b[33m")


def test_a_picture_for_a_terminal_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"plot_text\(width=...\) must be an int >= 24 and <= 10000, got 10"):
        plot_text(PEAK, width=10)
