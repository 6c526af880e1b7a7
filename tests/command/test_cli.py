"""The command `lrsched`, through `main([...])` and once as a process."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from lrsched import Cosine, Linear, Warmup, to_config
from lrsched._command.shared import COMMANDS, command, option
from lrsched.cli import main

TEXT = "Warmup(500) >> Cosine(3e-4, 0, steps=9500)"
SCHEDULE = Warmup(500) >> Cosine(3e-4, 0.0, steps=9500)


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]):
    """Run the command, demand success, return what it printed."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        done = capsys.readouterr()
        assert done.err == ""
        return done.out

    return run


@pytest.fixture
def complaint(capsys: pytest.CaptureFixture[str]):
    """Run the command, demand exit status 2 and nothing on the standard output, return the message."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        done = capsys.readouterr()
        assert done.out == ""
        return done.err

    return run


def test_plot_draws_in_the_width_of_the_terminal(out, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("LINES", "20")
    picture = out("plot", TEXT).split("\n\n")[0].split("\n")
    assert max(map(len, picture)) <= 49
    assert len(picture) == 14 + 2


def test_plot_prints_the_milestones_below(out):
    rows = [line.split(maxsplit=3) for line in out("plot", TEXT).split("\n\n")[1].splitlines()]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("0", "0", "start, Linear"),
        ("500", "3e-4", "peak, Cosine"),
        ("5,250", "1.5e-4", "half of peak"),
        ("10,000", "0", "end"),
    ]


def test_plot_needs_no_braille(out):
    assert out("plot", TEXT, "--ascii", "--width", "60", "--height", "5").isascii()


def test_plot_avoids_braille_where_the_output_has_none(monkeypatch: pytest.MonkeyPatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["plot", TEXT, TEXT]) == 0
    assert b"*" in stream.buffer.getvalue()


def test_plot_writes_a_picture_to_a_file(out, tmp_path: Path):
    path = tmp_path / "picture.svg"
    assert out("plot", TEXT, "Linear(3e-4, 0, steps=500)", "--svg", str(path), "--labels", "a,b", "--title", "T") == ""
    texts = {element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}
    assert {"a", "b", "T"} <= texts


def test_plot_writes_a_picture_to_the_standard_output(out):
    assert ElementTree.fromstring(out("plot", TEXT, "--svg", "-", "--width", "300")).attrib["width"] == "300"


def test_a_table_of_given_steps_has_a_row_for_each(out):
    rows = [line.split() for line in out("table", "Linear(1, 0, steps=4)", "--at", "0,1,4").splitlines()]
    assert rows == [["step", "Linear(1.0,", "0.0,", "steps=4)"], ["0", "1"], ["1", "0.75"], ["4", "0"]]


def test_a_table_by_default_shows_the_milestones(out):
    steps = json.loads(out("table", TEXT, "--json"))["step"]
    assert {0, 500, 5250, 10_000} <= set(steps)
    assert steps == sorted(steps)


def test_csv_has_every_digit_of_every_step(out):
    rows = list(csv.reader(io.StringIO(out("table", TEXT, "Linear(3e-4, 0, steps=500)", "--steps", "70_000", "--csv"))))
    assert rows[0] == ["step", repr(SCHEDULE), "Linear(0.0003, 0.0, steps=500)"]
    found = np.array(rows[1:], dtype=np.float64)
    steps = np.arange(70_000)
    assert (found[:, 0] == steps).all()
    assert (found[:, 1] == SCHEDULE(steps)).all()
    assert (found[:, 2] == Linear(3e-4, 0.0, steps=500)(steps)).all()


def test_json_has_a_list_of_values_for_each_schedule(out):
    found = json.loads(out("table", TEXT, "Linear(1, 0, steps=4)", "--at", "0,3", "--json", "--labels", "a,b"))
    assert found == {"step": [0, 3], "schedules": ["a", "b"], "values": [[0.0, SCHEDULE(3)], [1.0, 0.25]]}


def test_a_schedule_is_read_from_the_standard_input(out, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(TEXT + "\n"))
    assert repr(SCHEDULE) in out("table", "-", "--at", "0")


def test_a_schedule_is_read_from_a_text_or_a_configuration(out, tmp_path: Path):
    (tmp_path / "s.txt").write_text(f"{TEXT}  # the usual\n")
    (tmp_path / "s.json").write_text(json.dumps(to_config(SCHEDULE)))
    printed = out("table", f"@{tmp_path}/s.txt", f"@{tmp_path}/s.json", "--at", "500", "--json")
    assert json.loads(printed)["schedules"] == [repr(SCHEDULE)] * 2


def test_a_bad_text_is_shown_with_a_caret_under_the_column(complaint):
    message = complaint("plot", "Linear(1, 0, steps=3) >> Cosin(3e-4)").splitlines()
    assert message[0].startswith("lrsched plot: line 1, column 26: 'Cosin' is not a known schedule")
    assert message[1:] == ["  Linear(1, 0, steps=3) >> Cosin(3e-4)", "  " + " " * 25 + "^"]


def test_a_wrong_value_is_named(complaint):
    assert "Cosine(steps=...) must be an int >= 1" in complaint("table", "Cosine(1, 0, steps=-5)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", ""], "must describe a schedule"),
        (["plot", "Warmup(3)"], "takes its height from a neighbour"),
        (["plot", "@no/such/file.json"], "No such file"),
        (["plot", "-", "-"], "only once"),
        (["plot", '{"format": 1,'], "line 1, column 14"),
        (["plot", json.dumps(to_config(SCHEDULE)).replace("Cosine", "Cosin")], "'Cosin'"),
        (["plot", '{"a":' * 100_000], "nests too deeply"),
        (["plot", TEXT, "--svg", "/no/such/folder/p.svg"], "No such file"),
        (["plot", TEXT, "--svg", "-", "--width", "50"], "svg(width=...) must be an int >= 200"),
        (["plot", TEXT, "--labels", "a,b"], "name each of the 1 schedules"),
        (["table", TEXT, "--at", "50%"], "--steps must be given for lengths such as '50%'"),
    ],
)
def test_what_cannot_be_used_is_one_message_and_status_2(complaint, arguments: list[str], message: str):
    assert message in complaint(*arguments)


def test_a_long_message_shows_only_the_part_around_the_caret(complaint):
    message = complaint("plot", "Linear(1, 0, steps=3) >> " * 200 + "Cosin(3e-4)").splitlines()
    assert max(map(len, message[1:])) <= 102
    assert message[1][message[2].index("^") :].startswith("Cosin(")


@pytest.mark.parametrize(
    "arguments", [["plot"], ["plot", TEXT, "--steps", "0"], ["table", TEXT, "--at", "1,x"], ["bake"]]
)
def test_wrong_options_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "error" in capsys.readouterr().err


def test_no_command_prints_the_help(complaint):
    message = complaint()
    assert all(name in message for name in COMMANDS)


def test_version_is_printed(out):
    assert out("--version").startswith("lrsched ")


def test_the_demo_gets_its_options(monkeypatch: pytest.MonkeyPatch):
    seen: list[list[str]] = []
    monkeypatch.setitem(sys.modules, "lrsched.demo", SimpleNamespace(main=lambda argv: seen.append(argv) or 3))
    assert main(["demo", "--out", "here"]) == 3
    assert seen == [["--out", "here"]]


def test_a_sub_command_is_one_function(out):
    @command("greet", "say hello", option("name"))
    def _greet(args):
        print("hello", args.name)
        return 0

    try:
        assert out("greet", "you") == "hello you\n"
    finally:
        del COMMANDS["greet"]


def test_the_command_runs_as_a_process():
    run = [sys.executable, "-m", "lrsched", "table", "Linear(1, 0, steps=4)", "--at", "1", "--csv"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == 'step,"Linear(1.0, 0.0, steps=4)"\n1,0.75\n'


def test_a_reader_that_leaves_early_is_no_error():
    run = [sys.executable, "-m", "lrsched", "table", TEXT, "--steps", "2000000", "--csv"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def process(arguments: list[str], shell: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a shell that does something with its streams."""
    command = f'"{sys.executable}" -m lrsched "$@" {shell}'
    return subprocess.run(["bash", "-c", command, "sh", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
@pytest.mark.parametrize(
    ("arguments", "shell", "status", "said"),
    [
        (["table", TEXT], ">&-", 0, ""),
        (["plot", TEXT], ">&-", 0, ""),
        (["--help"], ">&-", 0, ""),
        (["table", TEXT, "--steps", "100000"], "| true; exit ${PIPESTATUS[0]}", 0, ""),
        (["--help"], "| true; exit ${PIPESTATUS[0]}", 0, ""),
        (["table", TEXT], "> /dev/full", 2, "No space left"),
        (["table", "@/dev/zero"], "", 2, "at most 67108864 bytes"),
        (["forecast", "/dev/zero", "--horizon", "1000"], "", 2, "at most 67108864 bytes"),
        (["table", "-"], "<&-", 2, "must describe a schedule"),
        (["table", "-"], "< /dev/zero", 2, "at most 2000000 characters"),
    ],
)
def test_streams_that_are_closed_full_or_endless_end_the_command_well(arguments, shell, status, said):
    done = process(arguments, shell)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr
    assert said or not done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("content", [TEXT, json.dumps(to_config(SCHEDULE))])
def test_a_file_is_read_in_every_form_of_unicode(out, tmp_path: Path, encoding: str, content: str):
    path = tmp_path / "schedule"
    path.write_text(content, encoding=encoding)
    assert out("table", f"@{path}", "--at", "1e3") == out("table", TEXT, "--at", "1000")


def test_json_of_values_that_are_not_finite_is_valid(out):
    found = json.loads(out("table", "Exponential(1e300, 10)", "--json", "--at", "0,1000"), parse_constant=pytest.fail)
    assert found["values"] == [[1e300, None]]


@pytest.mark.parametrize("option", ["--width", "--height"])
def test_a_picture_of_any_size_is_refused(option: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["plot", TEXT, option, str(2**53)])
    assert "must be an int >=" in capsys.readouterr().err


ONE_EPOCH = ("--steps", "90", "--unit", "epoch", "--steps-per-epoch", "500")


def lines(capsys, status: int, *arguments: str) -> list[str]:
    assert main(["lint", *arguments]) == status
    done = capsys.readouterr()
    assert done.err == ""
    return done.out.splitlines()


def test_lint_prints_what_does_not_fit_and_fails_for_errors(capsys):
    found = lines(capsys, 1, "Warmup(5) >> Cosine(0.1, 0, steps=85)", *ONE_EPOCH)
    assert found[0].startswith("error: first-epoch-zero: epoch 0 is trained at the rate 0: 500 updates are lost")
    assert found[1].startswith("  for example Shift(")


def test_lint_fails_for_warnings_if_it_is_to_be_strict(capsys):
    assert lines(capsys, 0, TEXT, "--steps", "12k")[0].startswith("warning: rate-zero: 2000 of 12000")
    assert lines(capsys, 1, TEXT, "--steps", "12k", "--strict")[0].startswith("warning: rate-zero")
    assert lines(capsys, 0, TEXT, "--steps", "10k", "--strict")[0].startswith("info: first-update-zero")
    assert lines(capsys, 1, TEXT, "--lr", "1e-3", "--strict")[0].startswith("warning: peak-differs")
    assert lines(capsys, 0, "Linear(0.1, 0.01, steps=9)", "--steps", "10", "--strict") == ["nothing to remark"]


def test_lint_reads_several_schedules_and_files_and_prints_json(capsys, tmp_path):
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(to_config(SCHEDULE)), encoding="utf-8")
    found = json.loads("\n".join(lines(capsys, 1, f"@{path}", "Constant(0)", "--steps", "1e4", "--json")))
    assert [entry["schedule"] for entry in found] == [repr(SCHEDULE), "Constant(0.0)"]
    assert found[1]["remarks"][0]["severity"] == "error"
    assert set(found[0]["remarks"][0]) == {"code", "message", "suggestion", "severity"}
    plain = lines(capsys, 0, TEXT, "Linear(0.1, 0.01, steps=9)")
    assert plain[0] == repr(SCHEDULE)
    assert plain[-2:] == ["Linear(0.1, 0.01, steps=9)", "nothing to remark"]


@pytest.mark.parametrize(("text", "steps"), [("10k", 10_000), ("1.5M", 1_500_000), ("2G", 2 * 10**9), ("1e3k", 10**6)])
def test_counts_may_be_written_in_thousands(capsys, text, steps):
    (first, *_) = lines(capsys, 1, "Constant(0)", "--steps", text)
    assert f"none of the {steps} updates" in first


@pytest.mark.parametrize("text", ["1.0005k", "k", "-1k", "nank", "10kk", "9999999T", "1e999k"])
def test_counts_that_are_none_are_refused(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        main(["lint", TEXT, f"--steps={text}"])
    assert "must be an int >= 1 and <= 2**53" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast"])
def test_a_rate_that_is_none_is_refused(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        main(["lint", TEXT, f"--lr={text}"])
    assert "must be a finite number > 0" in capsys.readouterr().err


def test_texts_with_units_are_built_for_the_run_of_the_options(out):
    text = "Warmup(10%) >> Constant(0.1, 2e6tok) >> Cooldown(1ep)"
    options = ["--steps", "20", "--steps-per-epoch", "5", "--tokens-per-step", "1M", "--csv"]
    with_units = out("table", text, *options)
    in_numbers = out("table", "Warmup(2) >> Constant(0.1, 2) >> Cooldown(5)", "--steps", "20", "--csv")
    assert with_units == in_numbers
    assert out("table", text, "--steps", "4ep", *options[2:]) == in_numbers
    assert out("table", text, "--steps", "20Mtok", *options[2:]) == in_numbers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plot", "Warmup(5%) >> Constant(1)"], "--steps must be given for lengths such as '5%'"),
        (["plot", "Warmup(3ep) >> Constant(1)"], "--steps-per-epoch must be given"),
        (["plot", "Constant(1)", "--steps", "3tok"], "--tokens-per-step must be given"),
        (["table", "Constant(1)", "--steps", "9Mep", "--steps-per-epoch", "9"], "must be at most 10000000 updates"),
    ],
)
def test_a_unit_without_its_option_is_named(complaint, arguments: list[str], message: str):
    assert message in complaint(*arguments)


def test_a_table_takes_steps_in_units_of_the_run(out):
    rows = out(
        "table", "Warmup(5%) >> Constant(0.1)", "--steps", "10k", "--at", "0,2.5%,1ep,7k", "--steps-per-epoch", "500"
    )
    assert [row.split() for row in rows.splitlines()[1:]] == [
        ["0", "0"],
        ["250", "0.05"],
        ["500", "0.1"],
        ["7000", "0.1"],
    ]


def test_convert_prints_the_code_of_a_library(out, tmp_path: Path):
    code = out("convert", TEXT, "--to", "optax")
    assert "optax.warmup_cosine_decay_schedule(" in code
    assert out("convert", "Warmup(5%) >> Cosine(3e-4, 0, steps=95%)", "--to", "jax", "--steps", "10k") == code
    path = tmp_path / "schedule.json"
    path.write_text(out("convert", TEXT, "--to", "json"), encoding="utf-8")
    assert out("convert", f"@{path}", "--to", "jax") == code
    assert out("convert", f"@{path}", "--to", "text").strip() == repr(SCHEDULE)


def test_convert_prints_settings_of_trainers_as_json(out):
    linear = "Warmup(10) >> Linear(0.1, 0, steps=90)"
    assert json.loads(out("convert", linear, "--to", "trainer", "--steps", "100"))["lr_scheduler_type"] == "linear"
    assert json.loads(out("convert", linear, "--to", "deepspeed"))["type"] == "OneCycle"


def test_convert_to_a_trainer_needs_the_run(complaint):
    assert "--to trainer must be given the updates of the training, --steps N" in complaint(
        "convert", TEXT, "--to", "trainer"
    )
