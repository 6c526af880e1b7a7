"""`lrsched bound`: shapes in their order, and what a schedule becomes for another horizon."""

import json

import pytest

from lrsched import parse
from lrsched.cli import main
from lrsched.forecast import transfer_horizon

RUN = "Constant(1e-3, steps=800) >> Linear(1e-3, 0.0, steps=200)"


@pytest.fixture
def out(capsys):
    def call(*arguments):
        assert main(["bound", *arguments]) == 0
        return capsys.readouterr().out

    return call


def test_shapes_come_in_their_order_under_the_text_that_was_typed(out):
    texts = ["Constant(7)", "wsd(3, steps=10000, warmup=0, cooldown=2000)", "Linear(1, 0, steps='100%')"]
    rows = json.loads(out(*texts, "--steps", "10k", "--json"))
    assert [row["schedule"] for row in rows] == texts[::-1]
    assert [row["bound"] for row in rows] == pytest.approx([2.0008, 2.1614, 3.2844], abs=1e-3)
    assert [row["ratio"] for row in rows] == pytest.approx([1.0, 2.1614 / 2.0008, 3.2844 / 2.0008], abs=1e-3)
    assert rows[0]["peak"] == 1.0
    assert [line.rpartition("  ")[2] for line in out(*texts, "--steps", "10k").splitlines()[1:4]] == texts[::-1]


def test_another_horizon_shows_schedules_that_parse(out):
    rows = {row["how"]: row["becomes"] for row in json.loads(out(RUN, "--steps", "1000", "--to", "2000", "--json"))}
    for how, text in rows.items():
        assert parse(text) == transfer_horizon(parse(RUN), 1000, 2000, how=how)
        assert text in out(RUN, "--steps", "1000", "--to", "2000")


def test_a_way_that_is_not_possible_says_why(out):
    lines = out(RUN, "--steps", "1000", "--to", "1010").splitlines()
    assert "not possible: transfer_horizon(to=...) must leave room for a second stage" in lines[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Constant(0)", "--steps", "10"], "Constant(0): best_peaks(schedules[0]) must give 10 finite rates"),
        (["Constant(1)", "--steps", "10", "--to", "20"], "Constant(1): transfer_horizon(schedule) must rise, stay"),
        (["Cosine(1", "--steps", "10"], "Cosine(1"),
        (["Constant(1)", "--steps", "1t"], "best_peaks(steps=...) must be an int >= 1 and <= 134217728"),
        (["Constant(1)", "--steps", "3ep"], "--steps-per-epoch must be given"),
    ],
)
def test_what_cannot_be_ranked_is_told(arguments, message, capsys):
    assert main(["bound", *arguments]) == 2
    done = capsys.readouterr()
    assert message in done.err
    assert done.out == ""
