"""`lrsched forecast`: from a log of a run to a table of plans and a picture."""

from xml.etree import ElementTree

import numpy as np
import pytest

from lrsched import Constant, Cosine, Linear, Warmup
from lrsched.cli import main
from lrsched.forecast import MultiPowerLaw, predict

HORIZON = 6_000
STEPS = np.arange(0, 4_000, 20)
PLAN = Constant(0.1, steps=2_000) >> Constant(0.05, steps=2_800) >> Linear(0.05, 0.0, steps=1_200)
TEXT = repr(PLAN)
STAY = "Constant(0.1, steps=2000) >> Constant(0.05)"
LAW = MultiPowerLaw(l0=2.0, a=30.0, alpha=0.5, b=1.0, c=0.03, beta=0.5, gamma=0.4, peak=0.1)
LOSSES = predict(LAW, PLAN, np.append(STEPS, HORIZON - 1))


def rows(steps=STEPS, lrs=None, losses=LOSSES):
    lrs = PLAN(steps) if lrs is None else lrs
    return [
        f"{step},{lr!r},{loss!r}" for step, lr, loss in zip(steps, map(float, lrs), map(float, losses), strict=False)
    ]


@pytest.fixture
def run(tmp_path):
    """Write a CSV file and return its path."""

    def write(lines, head="step,lr,loss"):
        path = tmp_path / "run.csv"
        path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def out(capsys):
    def call(*arguments):
        assert main(["forecast", *arguments]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def complaint(capsys):
    """Run the command, demand exit status 2, return its one line."""

    def call(*arguments):
        assert main(["forecast", *arguments]) == 2
        done = capsys.readouterr()
        assert done.out == ""
        assert done.err.count("\n") == 1
        return done.err

    return call


def table(text):
    """Return the numbers of the table: loss, low, high, gain (NaN for the first) and the plan of each row."""
    found = []
    for line in text.partition("\n\n")[0].splitlines()[1:]:
        numbers, rest = line[:37].replace(" to ", " ").split(), line[37:]
        gain, plan = rest[:10].strip(), rest[10:].strip()
        found.append((*map(float, numbers), float(gain or "nan"), plan))
    return found


def test_the_interval_of_the_true_plan_holds_the_final_loss(run, out):
    ((loss, low, high, _, _),) = table(out(run(rows()), "--horizon", str(HORIZON), "--plan", TEXT))
    assert low < LOSSES[-1] < high
    assert loss == pytest.approx(LOSSES[-1], abs=0.02)


def test_plans_are_listed_as_they_were_given(run, out):
    texts = [TEXT, STAY, "Constant(0.1, steps=2000) >> Constant(0.05, steps=2000) >> Cosine(0.05, 0.0, steps=2000)"]
    arguments = [part for text in texts for part in ("--plan", text)]
    assert [row[-1] for row in table(out(run(rows()), "--horizon", str(HORIZON), *arguments))] == texts


def test_a_gain_is_the_first_loss_minus_the_other(run, out):
    first, second = table(out(run(rows()), "--horizon", str(HORIZON), "--plan", STAY, "--plan", TEXT))
    assert second[3] == pytest.approx(first[0] - second[0], abs=2e-4)
    assert second[3] > 0


def test_without_plans_three_usual_ones_are_compared(run, out):
    decay, linear, constant = table(out(run(rows()), "--horizon", str(HORIZON)))
    assert (decay[-1], linear[-1], constant[-1]) == (
        "the present rate, linear to 0 over the last 20 %",
        "linear to 0 from now on",
        "the present rate to the end",
    )
    assert decay[0] < constant[0]


def test_what_the_model_believes_is_said_below(run, out):
    text = out(run(rows()), "--horizon", str(HORIZON), "--plan", TEXT).partition("\n\n")[2]
    assert "learning rate 0.05: the law describes the run" in text
    assert "were left out" not in text


def test_the_picture_is_svg(run, out, tmp_path):
    path = tmp_path / "picture.svg"
    out(run(rows()), "--horizon", str(HORIZON), "--plan", TEXT, "--svg", str(path))
    assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_columns_may_have_other_names_and_places(run, out):
    lines = [",".join([*reversed(row.split(",")), "x"]) for row in rows()]
    renamed = out(run(lines, "train/nll,rate,step,note"), "--horizon", "6000", "--lr", "rate", "--loss", "train/nll")
    assert renamed == out(run(rows()), "--horizon", "6000")


def test_a_usual_name_is_found_in_a_group(run, out):
    renamed = out(run(rows(), "Step,train/learning_rate,train/loss"), "--horizon", "6000")
    assert renamed == out(run(rows()), "--horizon", "6000")


def test_losses_that_are_not_numbers_are_passed_over(run, out):
    lines = rows()
    lines[150] = lines[150].rpartition(",")[0] + ",nan"
    ((loss, *_),) = table(out(run(lines), "--horizon", "6000", "--plan", TEXT))
    assert loss == pytest.approx(LOSSES[-1], abs=0.02)


def test_a_warm_up_that_was_not_logged_can_be_told(run, out):
    plan = Warmup(1_000) >> Cosine(0.1, 0.0, steps=5_000)
    steps = np.arange(1_000, 3_000, 20)
    losses = predict(LAW, plan, np.append(steps, HORIZON - 1))
    path = run(rows(steps, plan(steps), losses))
    arguments = ("--horizon", "6000", "--plan", repr(plan))
    every = np.arange(0, 3_000, 20)
    marked = np.where(every < 1_000, np.nan, predict(LAW, plan, every))
    ((told, *_),) = table(out(path, *arguments, "--warmup", "1000"))
    ((untold, *_),) = table(out(path, *arguments))
    ((logged, *_),) = table(out(run(rows(every, plan(every), marked)), *arguments))
    assert told == pytest.approx(logged, abs=1e-4)
    assert told != untold


def test_a_long_run_is_read_in_blocks(run, out):
    steps = np.arange(0, 120_000, 600)
    plan = Constant(0.1, steps=60_000) >> Constant(0.05, steps=84_000) >> Linear(0.05, 0.0, steps=36_000)
    losses = predict(LAW, plan, np.append(steps, 179_999))
    ((_, low, high, _, _),) = table(
        out(run(rows(steps, plan(steps), losses)), "--horizon", "180000", "--plan", repr(plan))
    )
    assert low < losses[-1] < high


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        ([], "step,lr,loss", "there is no row with a step, a learning rate and a loss"),
        (["0,0.1,1"], "step,loss", "there is no 'lr' or 'learning_rate', only step, loss"),
        (["0,0.1,1", "1,x,1"], "step,lr,loss", "line 3: step, lr must be numbers, got '1,x,1'"),
        (["0,0.1,1", "1,0.1"], "step,lr,loss", "line 3: a row must have 3 cells, step, lr, loss, got 2"),
        (["0.5,0.1,1"], "step,lr,loss", "line 2: the step must be an int >= 0, got 0.5"),
        (["-1,0.1,1"], "step,lr,loss", "line 2: the step must be an int >= 0, got -1.0"),
        (["0,-0.1,1"], "step,lr,loss", "line 2: the learning rate must be a finite number >= 0, got -0.1"),
        (["0,nan,1"], "step,lr,loss", "line 2: the learning rate must be a finite number >= 0, got nan"),
        (["0,0,1", "9,0,1"], "step,lr,loss", "the learning rate is nowhere above 0"),
        (["0,0.1,1", "9,0.1,1"], "step,lr,loss", "10 of 1000 updates are too few to forecast from"),
        (
            ["0,0.1,1", "2000,0.1,1"],
            "step,lr,loss",
            "--horizon must be more than the 2001 updates of the run, got 1000",
        ),
    ],
)
def test_a_run_that_cannot_be_used_is_one_line(run, complaint, lines, head, message):
    assert message in complaint(run(lines, head), "--horizon", "1000")


def test_a_column_that_was_asked_for_must_be_there(run, complaint):
    assert "there is no 'rate', only step, lr, loss" in complaint(run(rows()), "--horizon", "6000", "--lr", "rate")


def test_a_missing_file_is_one_line(complaint, tmp_path):
    assert "No such file" in complaint(str(tmp_path / "none.csv"), "--horizon", "1000")


def test_a_file_that_is_no_text_is_one_line(complaint, tmp_path):
    path = tmp_path / "run.csv"
    path.write_bytes(b"\xff\xfe\x00")
    assert "this is no CSV file" in complaint(str(path), "--horizon", "1000")


def test_a_plan_that_cannot_be_read_is_refused(run, capsys):
    assert main(["forecast", run(rows()), "--horizon", "6000", "--plan", "Cosine(0.1"]) == 2
    assert capsys.readouterr().err.startswith("lrsched forecast: line 1, column")


def test_a_log_directory_without_tensorboard_is_one_line(complaint, tmp_path, monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError(name, name=name.partition(".")[0])

    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    monkeypatch.setattr("lrsched._command.logs.import_module", refuse)
    told = complaint(str(tmp_path), "--horizon", "1000")
    assert 'reading events needs tensorboard, which is not installed: pip install "lrsched-suite[logs]"' in told


def write_events(folder):
    summary = pytest.importorskip("torch.utils.tensorboard")
    with summary.SummaryWriter(str(folder)) as writer:
        for step, loss in zip(STEPS.tolist(), LOSSES, strict=False):
            writer.add_scalar("train/lr", PLAN(step), step)
            writer.add_scalar("train/loss", loss, step)


def test_a_log_directory_of_tensorboard_is_read(out, tmp_path):
    pytest.importorskip("tensorboard")
    write_events(tmp_path)
    ((_, low, high, _, _),) = table(out(str(tmp_path), "--horizon", str(HORIZON), "--plan", TEXT))
    assert low < LOSSES[-1] < high
