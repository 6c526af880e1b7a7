"""Whole configurations: what they say is what their trainers do, and what cannot be known is not guessed."""

import doctest
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from lrsched import Budget, Constant, Linear, Warmup, read_config, rules, to_config
from lrsched._configs.reading import FORMATS
from lrsched.cli import main
from lrsched.compat import deepspeed, transformers

pytest.importorskip("yaml")
T = np.arange(40)
SFT = """\
# Trainer
learning_rate: 2.0e-05
lr_scheduler_type: cosine
num_train_epochs: 2
per_device_train_batch_size: 16
warmup_ratio: 0.1
lr_finder: false
"""


def written(folder, text, name="config.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_schedules_a_rule_and_a_budget(tmp_path):
    found = read_config(written(tmp_path, SFT), budget=Budget(steps_per_epoch=50))
    assert found.format == "transformers"
    assert found.schedules["lr"] == transformers.get_scheduler("cosine", 2e-5, 10, 100)
    assert found.optimizer == rules.ClipByGlobalNorm(1.0, eps=1e-6) >> rules.Adam()
    assert found.budget == Budget(steps=100, steps_per_epoch=50)


def test_an_explanation_names_each_line_that_mattered_and_each_that_did_not(tmp_path):
    told = read_config(written(tmp_path, SFT), budget=Budget(steps=100)).explain()
    used, unused = told.split("not used:")
    for line, key in enumerate(SFT.splitlines()[1:5], 2):
        assert f" {line}  {key.partition(':')[0]}" in (used if line != 5 else unused)
    assert "   7  lr_finder" in unused


def test_what_the_file_does_not_tell_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"config.yaml: Budget\(steps=...\) or Budget\(steps_per_epoch=...\) must"):
        read_config(written(tmp_path, SFT))


def test_a_budget_must_not_differ_from_what_the_file_tells():
    config = {"learning_rate": 1e-4, "max_steps": 100, "output_dir": "out"}
    assert read_config(config, budget=Budget(steps=100)).budget.steps == 100
    with pytest.raises(ValueError, match="must be 100, as the file has it, got 50"):
        read_config(config, budget=Budget(steps=50))


@pytest.mark.slow
@pytest.mark.parametrize("extra", [
    {"lr_scheduler_type": "cosine", "warmup_ratio": 0.1},
    {"lr_scheduler_type": "linear", "warmup_steps": 7},
    {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0.2},
    {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}, "warmup_steps": 3},
    {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 9}, "warmup_steps": 3},
    {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": '{"power": 2.0}', "warmup_steps": 3},
])  # fmt: skip
def test_the_rates_are_those_of_the_trainer(extra, tmp_path):
    hf = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    kwargs = extra.get("lr_scheduler_kwargs")
    real = {**extra, "lr_scheduler_kwargs": json.loads(kwargs) if isinstance(kwargs, str) else kwargs}
    ratio = real.pop("warmup_ratio", None)
    args = hf.TrainingArguments(
        output_dir=str(tmp_path), max_steps=40, learning_rate=1e-3, use_cpu=True, **real | (
            {} if ratio is None else {"warmup_steps": ratio})
    )  # fmt: skip
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=args.learning_rate)
    scheduler = hf.get_scheduler(
        args.lr_scheduler_type, optimizer, args.get_warmup_steps(40), 40, args.lr_scheduler_kwargs
    )
    rates = []
    for _ in T:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = read_config({"learning_rate": "1e-3", "max_steps": 40, "output_dir": "out", **extra})
    np.testing.assert_allclose(found.schedules["lr"](T), rates, rtol=1e-12, atol=1e-18)


@pytest.mark.slow
def test_no_argument_of_the_trainer_is_taken_for_a_misspelling():
    hf = pytest.importorskip("transformers")
    for item in fields(hf.TrainingArguments):
        if item.name not in ("deepspeed", "lr_scheduler_type", "lr_scheduler_kwargs", "optim_args"):
            value = "sgd" if item.name == "optim" else 0.5 if item.name.startswith("adam") else 1
            read_config({"output_dir": "out", "max_steps": 10, item.name: value}, format="transformers")


@pytest.mark.parametrize(
    ("key", "meant"), [("lerning_rate", "learning_rate"), ("lr_sheduler_type", "lr_scheduler_type")]
)
def test_a_misspelt_key_is_refused_with_the_one_that_is_meant(key, meant):
    with pytest.raises(TypeError, match=f"{key}.*is '{meant}' meant"):
        read_config({key: 1e-3, "max_steps": 10, "output_dir": "out"})


@pytest.mark.parametrize(("config", "match"), [
    ({"learning_rate": 1e-3, "lr_scheduler_type": "cosin", "max_steps": 9}, r"nearest are 'cosine', '\w+', '\w+'$"),
    ({"lr": 1e-3, "sched": "multi_step", "epochs": 9}, r"sched: .*nearest are 'multistep', "),
    ({"learning_rate": 1e-3, "lr_scheduler": "liner", "lr_warmup_steps": 1, "max_train_steps": 9}, "are 'linear', "),
    ({"optim": {"lr": 1e-3, "sched": {"name": "CosinAnnealing"}}}, "such as 'CosineAnnealing' or '"),
    ({"max_duration": "9ba", "scheduler": {"name": "cosine"}, "optimizer": {"lr": 1.0}}, "as 'cosine_with_warmup'"),
    (["--lr", "1e-3", "--train-iters", "9", "--lr-decay-style", "cosin"], "nearest are 'cosine', "),
    ({"tokens": {"train_steps": 9}, "optimizer": {"learning_rate_scheduler": {
        "learning_rate": 1.0, "lr_decay_style": "cosin"}}}, "nearest are 'cosine', "),
])  # fmt: skip
def test_an_unknown_scheduler_is_refused_with_the_nearest_ones(config, match):
    with pytest.raises(ValueError, match=match):
        read_config(config, budget=Budget(steps_per_epoch=10))


ENGINE = {
    "train_batch_size": "auto",
    "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {"total_num_steps": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"},
    },
}


def test_auto_is_what_the_trainer_around_deepspeed_says():
    config = {"learning_rate": 1e-3, "max_steps": 40, "warmup_steps": 8, "output_dir": "out", "adam_beta2": 0.9}
    found = read_config({**config, "deepspeed": ENGINE})
    assert found.schedules["lr"] == deepspeed.WarmupDecayLR(40, 0.0, 1e-3, warmup_num_steps=8)
    assert found.optimizer == rules.Adam(b2=0.9)  # which clips only where DeepSpeed is told to


def test_auto_alone_is_named():
    with pytest.raises(ValueError, match=r"scheduler\.params.warmup_max_lr must be written out"):
        read_config(ENGINE, budget=Budget(steps=10))
    with pytest.raises(ValueError, match=r"Budget\(steps=...\) must be given where total_num_steps is 'auto'"):
        read_config(ENGINE)


def test_a_value_of_this_library_is_read_too(tmp_path):
    s = Warmup(5) >> Linear(1e-3, 0.0, steps=35)
    text = repr(s)
    assert read_config(to_config(s)).schedules["lr"] == s
    assert read_config(written(tmp_path, json.dumps(to_config(s)), "s.json")).schedules["lr"] == s
    assert read_config(written(tmp_path, text, "s.txt")).schedules["lr"] == s
    template = written(tmp_path, "Warmup(5%) >> Linear(1e-3, 0, steps=95%)", "t.txt")
    assert read_config(template, budget=Budget(steps=100)).schedules["lr"](100) == 0.0
    assert read_config(to_config(rules.Adam())).optimizer == rules.Adam()


def test_a_format_is_recognised_or_asked_for():
    with pytest.raises(ValueError, match="must be in a known format, one of lrsched, transformers"):
        read_config({"hidden_size": 3})
    with pytest.raises(ValueError, match=r"looks like .*llamafactory and axolotl: say which by format="):
        read_config({"finetuning_type": "lora", "base_model": "m", "num_epochs": 1, "learning_rate": 1e-3})
    with pytest.raises(ValueError, match=r"read_config\(format=...\) must be one of lrsched"):
        read_config({}, format="mine")


@pytest.mark.parametrize(("name", "content", "match"), [
    ("a.yaml", b"", "must hold a configuration, got nothing"),
    ("a.yaml", b"\x89PNG\r\n\x1a\n\x00\x00", "must be a text"),
    ("a.yaml", b"a: \xff\xfe\xfd", "must be a text"),
    ("a.yaml", b"a: " + b"x" * 2**20, "must have at most 1048576 bytes"),
    ("a.yaml", b"a: " + b"[" * 600 + b"]" * 600, "must not nest deeper than 64 levels"),
    ("a.yaml", b"a: " + b"[" * 100 + b"]" * 100, "64 levels"),
    ("a.json", b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "64 levels"),
    ("a.json", b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "64 levels"),
    ("a.json", b'{"a": 1,\n "b": }', "line 2: Expecting value"),
    ("a.toml", b"a = 1\nb = = 2", "line 2"),
    ("a.yaml", b"a: 1\nb: [1, 2", "line 2: this is no YAML"),
    ("a.yaml", b"- 1\n- 2\n", "must hold names and values"),
    ("a.yaml", b"just a text", "must hold names and values"),
    ("a.yaml", b"a: 1\n---\nb: 2\n", "this is no YAML: but found another document"),
    ("a.yaml", b"lr: !!python/object/apply:os.system ['true']\n", r"line 1 must be a plain value, .* '!!python"),
    ("a.yaml", b"lr: !new:torch.optim.Adam\n", "got the tag '!new:torch.optim.Adam', which is never run"),
    ("a.yaml", b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c + 1, c + 1, b",".join([b"*%c" % c] * 10)) for c in range(97, 104)), "100000 entries"),
    ("a.yaml", b"a: &a {b: *a}\n", "64 levels"),
    ("a.py", b"lr = (", "line 1: this is no Python"),
])  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused_in_a_sentence(name, content, match, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_config(path)


def test_what_is_no_source_is_refused():
    with pytest.raises(TypeError, match="must be a path, a dictionary or a list of arguments, got 3"):
        read_config(3)
    with pytest.raises(TypeError, match=r"read_config\(budget=...\) must be a Budget, got 3"):
        read_config({"a": 1}, budget=3)
    with pytest.raises(FileNotFoundError):
        read_config("there_is_no_such_file.yaml")


def test_an_entry_that_is_written_twice_counts_the_second_time(tmp_path):
    text = "output_dir: out\nmax_steps: 10\nlearning_rate: 1e-3\nlr_scheduler_type: constant\nlearning_rate: 0.5\n"
    found = read_config(written(tmp_path, text))
    assert found.schedules["lr"] == Constant(0.5)
    assert any(note.line == 3 and note.became == "written again in line 5" for note in found.unused)


def test_axolotl_has_a_warm_up_of_its_own():
    config = {"base_model": "m", "micro_batch_size": 2, "num_epochs": 3, "learning_rate": 2e-4}
    found = read_config(config, budget=Budget(steps=1000))
    assert found.schedules["lr"] == transformers.get_scheduler("cosine", 2e-4, 30, 1000)
    assert found.optimizer is not None
    low = read_config({**config, "cosine_min_lr_ratio": 0.1, "warmup_steps": 10}, budget=Budget(steps=1000))
    want = transformers.get_cosine_with_min_lr_schedule_with_warmup(2e-4, 10, 1000, min_lr_rate=0.1)
    assert low.schedules["lr"] == want
    with pytest.raises(ValueError, match="jagged_restart_steps must be left out"):
        read_config({**config, "jagged_restart_steps": 10}, budget=Budget(steps=1000))


def test_the_page_about_formats_runs_and_names_each_of_them():
    page = (Path(__file__).resolve().parents[2] / "docs" / "configs.md").read_text(encoding="utf-8")
    runner = doctest.DebugRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(doctest.DocTestParser().get_doctest(page.replace("```", ""), {}, "configs.md", "configs.md", 0))
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(FORMATS)


def test_the_command_explains_a_file_and_reads_schedules_of_it(tmp_path, capsys):
    path = written(tmp_path, SFT)
    assert main(["explain", str(path), "--steps-per-epoch", "50"]) == 0
    assert " 3  lr_scheduler_type" in capsys.readouterr().out
    assert main(["table", f"@{path}", "--steps", "100", "--csv"]) == 0
    assert "\n10,2e-05" in capsys.readouterr().out
    assert main(["convert", f"@{path}", "--steps-per-epoch", "50", "--to", "text"]) == 0
    assert "Cosine(2e-05, 0.0, steps=90)" in capsys.readouterr().out
    assert main(["lint", f"@{path}", "--steps", "100"]) == 0
    capsys.readouterr()
    assert main(["plot", f"@{path}#lr", "--steps-per-epoch", "50", "--ascii"]) == 0


def test_a_run_that_the_file_tells_is_not_changed_by_what_a_command_shows(tmp_path, capsys):
    path = written(tmp_path, SFT + "max_steps: 100\n")
    assert main(["table", f"@{path}", "--steps", "20", "--csv"]) == 0
    assert "\n10,2e-05" in capsys.readouterr().out


def test_the_command_says_what_is_missing(tmp_path, capsys):
    path = written(tmp_path, SFT)
    assert main(["explain", str(path)]) == 2
    assert "config.yaml: --steps or --steps-per-epoch must be given where max_steps" in capsys.readouterr().err
    assert main(["plot", f"@{path}#momentum", "--steps", "9"]) == 2
    assert "must have a schedule of 'momentum', got lr" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "none.yaml")]) == 2


def test_importing_the_library_loads_neither_yaml_nor_the_readers():
    code = "import sys, lrsched; print(*[m for m in sys.modules if m == 'yaml' or '_configs' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
    code = f"{code.partition(';')[0]}; lrsched.read_config; print(*[m for m in sys.modules if '_configs' in m])"
    assert (
        "lrsched._configs.reading"
        in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
