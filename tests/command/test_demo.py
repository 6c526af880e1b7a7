"""The demonstration: the same losses and learning rates in every framework, and a test accuracy worth having."""

import importlib
import xml.etree.ElementTree as ET

import numpy as np
import pytest

pytest.importorskip("sklearn")

from lrsched import demo


@pytest.fixture(scope="module")
def problem():
    return demo.digits()


@pytest.fixture(scope="module")
def reference(problem):
    return demo.train(problem, *demo.plan(problem), lambda done: None)


def test_the_split_is_real(problem):
    train, test = {row.tobytes() for row in problem.train_x}, {row.tobytes() for row in problem.test_x}
    assert not train & test
    assert (len(problem.train_x), len(problem.test_x)) == (1347, 450)


def test_the_gradients_are_those_of_the_loss(problem):
    weights = [first.astype(np.float64) for first in problem.weights]
    x, y = problem.train_x[:9].astype(np.float64), problem.train_y[:9]
    _, gradients = demo.loss_and_gradients(weights, x, y)
    random = np.random.default_rng(0)
    for i, weight in enumerate(weights):
        direction = random.normal(size=weight.shape)
        slope = []
        for h in (1e-5, -1e-5):
            moved = [w + h * direction if j == i else w for j, w in enumerate(weights)]
            slope.append(demo.loss_and_gradients(moved, x, y)[0])
        assert (slope[0] - slope[1]) / 2e-5 == pytest.approx(float((gradients[i] * direction).sum()), rel=1e-6)


def test_numpy_reaches_the_accuracy_promised(problem, reference):
    assert demo.accuracy(reference.weights, problem) >= 0.95
    assert reference.losses[-1] < 0.2 * reference.losses[0]


@pytest.mark.parametrize("adapter", ["lrsched_torch", "lrsched_keras", "lrsched_optax"])
def test_each_framework_repeats_the_run(adapter, problem, reference):
    pytest.importorskip(adapter)
    done = []
    run = importlib.import_module(f"{adapter}.demo").train(problem, *demo.plan(problem), done.append)
    assert done[-1] == len(problem.batches) == len(run.losses) == len(run.rates)
    assert demo.difference(run, reference, "rates") < 1e-6
    assert demo.difference(run, reference, "losses") < 1e-3
    assert demo.accuracy(run.weights, problem) >= 0.95


def test_the_comparison_sees_a_rate_that_is_one_step_late(problem, reference):
    late = reference._replace(rates=[0.0, *reference.rates[:-1]])
    assert demo.difference(late, reference, "rates") > 1e-3


def test_the_table_has_a_line_for_each_framework(problem, reference):
    schedule, _ = demo.plan(problem)
    head, *lines = demo.table({"NumPy": reference, "Twin": reference}, problem, schedule)
    assert [line.split()[0] for line in lines] == ["NumPy", "Twin"]
    assert {len(head), *map(len, lines)} == {len(head)}
    assert lines[0].split()[3] == "0.01"  # the peak, at the end of the warm-up


def test_the_picture_is_an_svg_with_both_panels(problem, reference):
    schedule, _ = demo.plan(problem)
    drawing = ET.fromstring(demo.picture(schedule, {"NumPy": reference, "Twin": reference}))
    assert len([child for child in drawing if child.tag.endswith("svg")]) == 2


def test_the_command_reports_agreement_and_writes_the_picture(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "TRAINERS", {"NumPy": "lrsched.demo", "Missing": "no_such_framework_here"})
    assert demo.main(["--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "left out: no_such_framework_here is not installed" in shown
    assert "the frameworks agree" in shown
    assert (tmp_path / "digits.svg").stat().st_size > 2_000


def test_the_command_fails_when_a_framework_disagrees(monkeypatch, tmp_path, capsys):
    honest = demo.train
    calls = iter([1.0, 1.1])

    def train(problem, schedule, rule, report):
        return honest(problem, next(calls) * schedule, rule, report)

    monkeypatch.setattr(demo, "TRAINERS", {"NumPy": "lrsched.demo", "Other": "lrsched.demo"})
    monkeypatch.setattr(demo, "train", train)
    assert demo.main(["--out", str(tmp_path)]) == 1
    assert "THE FRAMEWORKS DISAGREE" in capsys.readouterr().out
