"""Logs in the forms in which loggers write and export them; where a logger is installed, it writes them itself."""

import gzip
import json

import numpy as np
import pytest

from lrsched import Constant, Linear
from lrsched._command.logs import Wanted, read_run
from lrsched._command.shared import UserError
from lrsched.cli import main

PLAN = Constant(0.1, steps=300) >> Linear(0.1, 0.0, steps=100)
STEPS = np.arange(0, 400, 10)
RATES = PLAN(STEPS)
LOSSES = 2.0 + 1.0 / np.sqrt(1.0 + STEPS)
ROWS = list(zip(STEPS.tolist(), RATES.tolist(), LOSSES.tolist(), strict=True))


def text_of(rows, delimiter=","):
    return "\n".join(delimiter.join(map(str, row)) for row in rows) + "\n"


def history(rows=ROWS, names=("_step", "train/lr", "train/loss")):
    return [dict(zip(names, row, strict=True)) for row in rows]


def apart(rows=ROWS):
    """Return rows that hold one value each, as loggers write them that are called twice a step."""
    return [row for step, lr, loss in rows for row in ((step, lr, ""), (step, "", loss))]


# Each writes the run into a folder and returns what is given to the command, and what it must be told.
WRITERS = {
    "plain": lambda to: to("run.csv", text_of([("step", "lr", "loss"), *ROWS])),
    "W&B CSV": lambda to: to(
        "wandb.csv",
        text_of(
            [
                ("_step", "_runtime", "train/learning_rate", "train/loss", "eval/loss"),
                *((s, 1.5 * s, r, v, "") for s, r, v in ROWS),
            ]
        ),
    ),
    "W&B rows apart": lambda to: to("wandb.csv", text_of([("_step", "lr", "train_loss"), *apart()])),
    "W&B panels": lambda to: [
        to(
            "rate.csv",
            text_of(
                [
                    ('"Step"', '"sweet-1 - lr"', '"sweet-1 - lr__MIN"', '"sweet-1 - lr__MAX"'),
                    *((s, r, 0.0, 1.0) for s, r, _ in ROWS),
                ]
            ),
        ),
        to(
            "loss.csv",
            text_of(
                [
                    ('"Step"', '"sweet-1 - train/loss"', '"sweet-1 - train/loss__MIN"'),
                    *((s, v, 0.0) for s, _, v in ROWS),
                ]
            ),
        ),
    ],
    "JSON lines": lambda to: to("history.jsonl", "".join(json.dumps(row) + "\n" for row in history())),
    "JSON lines, nested": lambda to: to(
        "h.jsonl", "".join(json.dumps({"step": s, "train": {"lr": r, "loss": v}}) + "\n" for s, r, v in ROWS)
    ),
    "JSON list": lambda to: to("history.json", json.dumps(history(names=("step", "lr", "loss")))),
    "trainer_state.json": lambda to: to(
        "trainer_state.json",
        json.dumps(
            {
                "global_step": 390,
                "log_history": [
                    *({"epoch": s / 100, "step": s, "learning_rate": r, "loss": v} for s, r, v in ROWS),
                    {"epoch": 4.0, "eval_loss": 9.0, "step": 390},
                    {"step": 390, "train_loss": 7.0},
                ][:-1],
            }
        ),
    ),
    "TensorBoard's CSV": lambda to: [
        to(
            "run-version_0-tag-train_lr.csv",
            text_of([("Wall time", "Step", "Value"), *((1.7e9 + s, s, r) for s, r, _ in ROWS)]),
        ),
        to(
            "run-version_0-tag-train_loss.csv",
            text_of([("Wall time", "Step", "Value"), *((1.7e9 + s, s, v) for s, _, v in ROWS)]),
        ),
    ],
    "MLflow's folder": lambda to: (
        to("mlruns/0/abc/metrics/lr", text_of([(1700 + s, r, s) for s, r, _ in ROWS], " ")).parent
        if to("mlruns/0/abc/metrics/train/loss", text_of([(1700 + s, v, s) for s, _, v in ROWS], " "))
        else None
    ),
    "MLflow's CSV": lambda to: to(
        "metrics.csv",
        text_of(
            [
                ("run_id", "key", "value", "step", "timestamp"),
                *(row for s, r, v in ROWS for row in (("a", "lr", r, s, 17), ("a", "loss", v, s, 17))),
            ]
        ),
    ),
    "semicolons": lambda to: to("run.csv", text_of([("Step", "LR", "Loss"), *ROWS], ";").replace(".", ",")),
    "tabs": lambda to: to("run.tsv", text_of([("iter", "lr-AdamW/pg1", "train_loss_step"), *ROWS], "\t")),
    "marked": lambda to: to("run.csv", "\ufeff\r\n" + text_of([("step", "lr", "loss"), *ROWS]).replace("\n", "\r\n")),
    "UTF-16": lambda to: to("run.csv", text_of([("step", "lr", "loss"), *ROWS]).encode("utf-16")),
    "compressed": lambda to: to("run.csv.gz", gzip.compress(text_of([("step", "lr", "loss"), *ROWS]).encode())),
    "Lightning's folder": lambda to: (
        to(
            "version_0/metrics.csv",
            text_of(
                [("epoch", "lr-SGD", "step", "train_loss", "val_loss"), *((0, a[1], a[0], a[2], "") for a in apart())]
            ),
        ).parent
    ),
}


@pytest.fixture
def to(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def equal(run, steps=STEPS, rates=RATES, losses=LOSSES, rtol=0.0):
    np.testing.assert_array_equal(run.step, steps)
    np.testing.assert_allclose(run.lr, rates, rtol=rtol)
    np.testing.assert_allclose(run.loss, losses, rtol=rtol)


@pytest.mark.parametrize("form", WRITERS)
def test_a_run_is_read_in_each_form(form, to):
    paths = WRITERS[form](to)
    run = read_run(paths if isinstance(paths, list) else [paths])
    equal(run)
    assert run.told.all()
    assert run.notes == ()


@pytest.mark.parametrize(
    ("names", "amounts", "sizes"),
    [
        (("tokens", "lr", "loss"), (STEPS + 1) * 4_000_000 * 10**6, {"tokens_per_step": 4_000_000 * 10**6}),
        (("train/consumed_samples", "lr", "loss"), (STEPS + 1) * 256, {"samples_per_step": 256}),
        (("epoch", "lr", "loss"), (STEPS + 1) / 40, {"steps_per_epoch": 40}),
    ],
)
def test_tokens_samples_and_epochs_become_updates(names, amounts, sizes, to):
    rows = [(a, r, v) for a, (_, r, v) in zip(amounts.tolist(), ROWS, strict=True)]
    path = to("run.csv", text_of([names, *rows]))
    equal(read_run([path], Wanted(**sizes)))
    (size,) = sizes
    with pytest.raises(UserError, match=f"say how many an update has, --{size.replace('_', '-')}"):
        read_run([path])


def test_epochs_of_keras_end_with_their_last_update(to):
    content = {"loss": [3.0, 2.0, 1.5], "learning_rate": [0.1, 0.1, 0.05], "val_loss": [9.0, 9.0, 9.0]}
    for path in (
        to("history.json", json.dumps(content)),
        to(
            "log.csv",
            text_of([("epoch", *content), *([i, *row] for i, row in enumerate(zip(*content.values(), strict=True)))]),
        ),
    ):
        equal(read_run([path], Wanted(steps_per_epoch=100)), [99, 199, 299], content["learning_rate"], content["loss"])


def test_epochs_in_parts_are_those_that_have_passed_whole_ones_too(to):
    rows = [(0.5, 0.1, 3.0), (1.0, 0.1, 2.0), (1.5, 0.05, 1.5)]
    path = to("log.csv", text_of([("epoch", "lr", "loss"), *rows]))
    equal(read_run([path], Wanted(steps_per_epoch=100)), [49, 99, 149], [0.1, 0.1, 0.05], [3.0, 2.0, 1.5])


def test_what_was_logged_again_after_a_restart_counts(to):
    before = [(step, rate, 9.0) for step, rate, _ in ROWS[20:25]]
    path = to("run.csv", text_of([("step", "lr", "loss"), *ROWS[:20], *before, *ROWS[20:]]))
    run = read_run([path])
    equal(run)
    assert run.notes == tuple(
        f"5 of 45 values of '{name}' were logged again later: the last count" for name in ("lr", "loss")
    )
    # What lay between, on steps that the second part has not logged, is gone with the rest.
    odd = [(step + 3, rate, 9.0) for step, rate, _ in ROWS[20:25]]
    equal(read_run([to("run.csv", text_of([("step", "lr", "loss"), *ROWS[:20], *odd, *ROWS[20:]]))]))


def test_a_file_in_no_order_is_sorted(to):
    rows = [ROWS[i] for i in np.random.default_rng(0).permutation(len(ROWS))]
    equal(read_run([to("run.csv", text_of([("step", "lr", "loss"), *rows]))]))


def test_a_rate_logged_every_few_steps_lies_on_the_line_between(to):
    rows = [(step, rate if step % 50 == 0 else "", loss) for step, rate, loss in ROWS]
    run = read_run([to("run.csv", text_of([("step", "lr", "loss"), *rows]))])
    known = STEPS[STEPS % 50 == 0]
    equal(run, rates=np.interp(STEPS, known, PLAN(known)))
    np.testing.assert_array_equal(run.step[run.told], known)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "step,rate,loss\n0,1,1\n",
            r"there is no 'lr' or 'learning_rate', only step, rate, loss \(name it with --lr\)",
        ),
        ("a.csv", "step,lr,val_loss\n0,1,1\n", r"there is no 'loss' or 'train_loss', only val_loss, .*--loss"),
        ("a.csv", "when,lr,loss\n0,1,1\n", r"there is no 'step', only when, lr, loss \(name it with --step\)"),
        (
            "a.csv",
            'Step,"a - lr","a - loss","b - loss"\n0,1,1,1\n',
            r"which of 2 runs\? --loss must be one of 'a - loss', 'b -",
        ),
        ("a.csv", "", r"there is no 'lr' or 'learning_rate', only nothing"),
        ("a.json", "[1, 2]", "this is no log"),
        ("a.jsonl", '{"step": 0, "lr": 1, "loss": 1}\n{"step": 1,\n', "line 2, column 12: Expecting"),
        ("a.json", "[" * 100_000, "nests too deeply"),
        ("a.csv", "step,lr,loss\n0,0.1,1\n1,x,1\n", r"line 3: step, lr must be numbers, got '1,x,1'"),
        ("a.csv", "\n\nstep,lr,loss\n0,0.1,1\n-1,0.1,1\n", r"line 5: the step must be an int >= 0, got -1.0"),
        ("a.csv", "tokens,lr,loss\n1e300,0.1,1\n", r"the number of tokens must be >= 0 and finite, got 1e\+300"),
        ("metrics/lr", "1 2\n", r"there is no 'loss'"),
    ],
)
def test_what_is_no_log_is_told(name, content, message, to):
    path = to(name, content)
    with pytest.raises(UserError, match=message):
        read_run([path.parent if path.suffix == "" else path], Wanted(tokens_per_step=10))


def test_a_folder_without_a_log_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=r"neither events of TensorBoard nor metrics/ nor metrics.csv, trainer_state"):
        read_run([tmp_path])


def test_the_nearest_columns_come_first_and_not_all(to):
    names = [f"layer{i}/norm" for i in range(40)]
    path = to("a.csv", text_of([("step", *names, "lr", "train/losss"), range(43)]))
    with pytest.raises(UserError, match=r"there is no 'train/loss', only train/losss, .* and 31 more"):
        read_run([path], Wanted(loss="train/loss"))


def test_a_smoothed_loss_is_doubted(to):
    path = to("a.csv", text_of([("step", "lr", "loss_smoothed"), *ROWS]))
    assert "smoothed by its name" in read_run([path], Wanted(loss="loss_smoothed")).notes[0]


def forecast(capsys, *arguments):
    status = main(["forecast", *map(str, arguments)])
    return status, capsys.readouterr()


def test_a_plan_that_contradicts_the_rates_is_an_error(to, capsys):
    path = to("run.csv", text_of([("step", "lr", "loss"), *ROWS[:30]]))
    status, done = forecast(capsys, path, "--horizon", "400", "--plan", "Linear(0.1, 0.0, steps=400)")
    assert status == 2
    assert "from update 0, but at 10 it gives 0.0975, and the run had 0.1 (29 of 30 logged rates differ)" in done.err
    shifted = to("late.csv", text_of([("step", "lr", "loss"), *((s, float(PLAN(s + 1)), v) for s, _, v in ROWS[:35])]))
    assert forecast(capsys, shifted, "--horizon", "400", "--plan", repr(PLAN))[0] == 0


def test_steps_in_tokens_are_noticed_and_take_no_memory(to, capsys):
    rows = [((s + 1) * 4_000_000, r, v) for s, r, v in ROWS[:30]]
    path = to("run.csv", text_of([("step", "lr", "loss"), *rows]))
    status, done = forecast(capsys, path, "--horizon", "400")
    assert status == 2
    assert "if its steps are tokens or samples, say so: --tokens-per-step" in done.err
    named = to("run2.csv", text_of([("tokens", "lr", "loss"), *rows]))
    status, done = forecast(capsys, named, "--horizon", "400", "--tokens-per-step", "4M")
    plain = to("plain.csv", text_of([("step", "lr", "loss"), *ROWS[:30]]))
    assert done.out == forecast(capsys, plain, "--horizon", "400")[1].out
    huge = to("huge.csv", text_of([("step", "lr", "loss"), *((10**12 + s, r, v) for s, r, v in ROWS[:30])]))
    assert "are too few to forecast from" in forecast(capsys, huge, "--horizon", str(2 * 10**12))[1].err


def test_notes_are_said_once_beside_the_table(to, capsys):
    path = to("run.csv", text_of([("step", "lr", "loss"), *ROWS[:30], *ROWS[25:30]]))
    status, done = forecast(capsys, path, "--horizon", "400")
    assert status == 0
    assert done.err.count("5 of 35 values of 'loss' were logged again later") == 1


def test_tensorboard_s_own_events(tmp_path):
    pytest.importorskip("tensorboard")
    writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter(str(tmp_path / "logs" / "run"))
    for step, rate, loss in ROWS:
        writer.add_scalar("train/lr", rate, step)
        writer.add_scalar("train/loss", loss, step)
    writer.close()
    equal(read_run([tmp_path / "logs"]), rtol=1e-6)
    with pytest.raises(UserError, match=r"there is no 'rate', only .*train/l"):
        read_run([tmp_path], Wanted(lr="rate"))


def test_lightning_s_own_csv(tmp_path):
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    logger = loggers.CSVLogger(str(tmp_path), name="", version="one")
    for step, rate, loss in ROWS:
        logger.log_metrics({"lr-SGD": rate}, step)
        logger.log_metrics({"train_loss": loss}, step)
    logger.save()
    equal(read_run([tmp_path / "one"]))


def test_the_trainer_s_own_state(tmp_path):
    callbacks = pytest.importorskip("transformers.trainer_callback")
    state = callbacks.TrainerState(log_history=[{"loss": v, "learning_rate": r, "step": s} for s, r, v in ROWS])
    state.save_to_json(str(tmp_path / "trainer_state.json"))
    equal(read_run([tmp_path]))


@pytest.mark.slow
def test_random_logs_are_read_back_or_refused(to):
    """400 runs: random steps, gaps, restarts, separators, names and forms."""
    for seed in range(400):
        rng = np.random.default_rng(seed)
        steps = np.unique(rng.integers(0, 10_000, int(rng.integers(2, 60))))
        rates, losses = rng.uniform(0, 1, steps.size), rng.normal(size=steps.size)
        rows = [*zip(steps.tolist(), rates.tolist(), losses.tolist(), strict=True)]
        cut = int(rng.integers(0, len(rows)))
        if rng.random() < 0.5:
            rows = rows[: cut + 1] + [(s, r, 5.0) for s, r, _ in rows[cut + 1 : cut + 3]] + rows[cut + 1 :]
        names = [
            str(rng.choice(each))
            for each in (
                ("step", "Step", "_step", "global_step"),
                ("lr", "train/lr", "opt - lr"),
                ("loss", "train/loss", "Train Loss"),
            )
        ]
        order = rng.permutation(3)
        delimiter = str(rng.choice([",", ";", "\t"]))
        if rng.random() < 0.5:
            content = [[(names, *rows)[i][j] for j in order] for i in range(len(rows) + 1)]
            path = to("run.csv", text_of(content, delimiter))
        else:
            content = [{names[j]: row[j] for j in order} for row in rows]
            path = to("run.json", json.dumps(content) if rng.random() < 0.5 else "\n".join(map(json.dumps, content)))
        equal(read_run([path]), steps, rates, losses)
