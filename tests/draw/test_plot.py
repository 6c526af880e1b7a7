"""`plot` and `schedule.plot`: Matplotlib shows what the other pictures show."""

import subprocess
import sys

import numpy as np
import pytest

import lrsched as ls
from lrsched import Cosine, Linear, Repeat, Warmup, plot, rules
from lrsched._draw.axis import bounds, count, labelled_ticks, step_ticks
from lrsched._draw.samples import horizon, sample

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
SCHEDULES = [
    Warmup(500) >> Cosine(3e-4, 0.0, steps=9_500),
    ls.multi_step(0.1, 0.1, [30, 60, 80]),
    ls.PowerLaw(1e-3, timescale=500.0),
    ls.Constant(0.1),
    Linear(0.1, 0.09, steps=10),
    Repeat(Cosine(1.0, 0.0, steps=7)),
    ls.Function(lambda t: 0.1 / (1 + t), steps=50),
    ls.Exponential(0.1, 0.5),
]


@pytest.fixture(autouse=True)
def closed():
    """Close the figures of a test."""
    yield
    __import__("matplotlib.pyplot").pyplot.close("all")


def ticks_of(axis):
    low, high = axis.get_view_interval()
    ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    return [(tick, text.get_text()) for tick, text in ticks if low <= tick <= high]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_horizon_and_ticks_are_those_of_the_svg(schedule):
    ax = schedule.plot()
    last = horizon(schedule)
    assert ax.get_xlim() == (0, last)
    assert ticks_of(ax.xaxis) == [(step, count(step)) for step in step_ticks(last)]
    values = sample(schedule, last).values
    low, high = bounds(float(values.min()), float(values.max()), False)
    assert [tick for tick, _ in ticks_of(ax.yaxis)] == pytest.approx(labelled_ticks(low, high, False)[0])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_line_has_the_values_of_the_schedule(schedule):
    (line,) = schedule.plot(stop=200).lines
    steps, values = line.get_data()
    top = float(schedule(np.arange(201)).max())
    # Within half a dot of a fine picture; at a jump the line stands at one step with two values.
    whole = np.rint(steps).astype(int)
    near = [min(abs(v - schedule(max(int(t) + k, 0))) for k in (-1, 0)) for t, v in zip(whole, values, strict=True)]
    assert max(near) <= 1e-9 * top + 1e-12
    assert (steps[0], steps[-1]) == pytest.approx((0, 200))


def test_several_are_drawn_on_the_same_axes_with_a_legend():
    ax = plot(SCHEDULES[:3], labels=["a", "b", "c"])
    assert [line.get_label() for line in ax.lines] == ["a", "b", "c"]
    assert plot(SCHEDULES[3], ax) is ax
    assert len(ax.lines) == 4
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_a_part_of_the_run_begins_at_start():
    ax = Cosine(1.0, 0.0, steps=100).plot(start=40, stop=60, label="middle")
    assert ax.lines[0].get_xdata()[[0, -1]] == pytest.approx([40, 60])
    steps, values = ax.lines[0].get_data()
    assert ax.get_xlim() == (40, 60)
    assert (steps[0], values[0]) == pytest.approx((40, Cosine(1.0, 0.0, steps=100)(40)))
    assert ax.lines[0].get_label() == "middle"


def test_a_logarithmic_axis_shows_positive_values():
    ax = plot(Cosine(1.0, 0.0, steps=100), log=True)
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] > 0
    assert plot(ls.Constant(0.0), log=True).get_yscale() == "linear"


def test_dense_cycles_are_a_band():
    ax = plot(Repeat(Cosine(1.0, 0.0, steps=7)), stop=1_000_000)
    assert (len(ax.patches), len(ax.lines)) == (1, 0)


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda: plot([]), ValueError, "plot"),
        (lambda: plot(0.1), TypeError, r"plot\(schedules=...\) must be a schedule or a function"),
        (lambda: plot(Warmup(5)), ValueError, "must be complete"),
        (lambda: plot(SCHEDULES[:2], labels=["a"]), ValueError, "one label a schedule, got 1 for 2"),
        (lambda: plot(SCHEDULES[0], ax=3), TypeError, r"plot\(ax=...\) must be axes of Matplotlib, got 3"),
        (lambda: SCHEDULES[0].plot(start=10, stop=10), ValueError, "must be after start=10, got 10"),
        (lambda: SCHEDULES[0].plot(log=1), TypeError, r"plot\(log=...\) must be"),
        (lambda: SCHEDULES[0].plot(label=3), TypeError, r"plot\(labels=...\)\[0\] must be a text"),
        (lambda: SCHEDULES[0].plot(start=-1), ValueError, r"plot\(start=...\) must be an int >= 0"),
        (lambda: ls.parse("Warmup(5%) >> Constant(1)").plot(), AttributeError, "plot"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, kind, match):
    with pytest.raises(kind, match=match):
        call()


def test_without_matplotlib_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'plot needs matplotlib.*pip install "lrsched-suite\[plot\]"'):
        SCHEDULES[0].plot()


def test_completion_shows_what_a_schedule_has_for_its_user():
    schedule = Warmup(5) >> Cosine(1.0, 0.0, steps=10)
    assert [name for name in dir(schedule) if name[0] != "_"] == ["length", "parts", "plot", "starts"]
    assert [n for n in dir(Cosine(1.0, 0.0, steps=10)) if n[0] != "_"] == ["end", "length", "plot", "start", "steps"]
    assert not {"kind", "positional", "advice"} & {*dir(rules.Adam()), *dir(ls.Template("Warmup(5%)"))}


def test_completion_of_a_class_shows_how_one_is_built():
    assert {"sequence", "of"} <= set(dir(ls.Schedule))


def test_completion_in_ipython_shows_the_same():
    pytest.importorskip("IPython")
    code = """
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
import lrsched
shell = InteractiveShell.instance()
shell.user_ns["s"] = lrsched.Cosine(1.0, 0.0, steps=10)
with provisionalcompleter():
    print(*[found.text for found in shell.Completer.completions("s.", 2)])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["end", "length", "plot", "start", "steps"]
