"""What people type first, in Python, in texts and in a shell: it works, or the error says what to write instead.

What it says is pasted here, and works.
"""

import contextlib
import inspect
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import lrsched
from lrsched import Cosine, Linear, Schedule, Warmup, compat, parse, rules, to_config
from lrsched._core.hints import example
from lrsched._core.offers import CALLS, CLASSES
from lrsched.cli import main

NAMES = {**{name: getattr(lrsched, name) for name in lrsched.__all__}, "lrsched": lrsched, "compat": compat}

# Python that works, and Python whose error says what to write.
WORKS = [
    "Cosine(3e-4, 0, 1000)",
    "Cosine(1e-3, 0, steps=1e4)",
    "Cosine(start=0.1, end=0, steps=100)",
    "Warmup(500) >> Cosine(3e-4, 0, 9500)",
    "Chain([Warmup(10), Cosine(0.1, 0, 100)])",
    "Cosine(0.1, 0, steps=100)(range(3))",
    "0.5 * Cosine(0.1, 0, steps=100)",
    "warmup_cosine(3e-4, 10000, 500)",
    "wsd(3e-4, steps=1000, warmup=0.05, cooldown=0.2)",
    "lrsched.rules.Adam()",
    "lrsched.feedback.Plateau()",
    "lrsched.compat.torch.StepLR(0.1, 30)",
    "lrsched.forecast.AnnealingLaw",
]
SAYS = [
    "Cosine(0.1)",
    "Cosine(0.1, 1000)",
    "Cosine(3e-4, steps=1000)",
    "Cosine(lr=0.1, steps=100)",
    "Cosine(0.1, 0, total_steps=100)",
    "Cosine()",
    "Linear(0.1, 0)",
    "Chain(Warmup(10), Cosine(0.1, 0, 100))",
    "wsd(3e-4, 10000)",
    "one_cycle(0.1)",
    "warmup_cosine(3e-4)",
    "lrsched.warmup(500)",
    "lrsched.cosine(0.1, 0, 1000)",
    "lrsched.CosineAnnealing(0.1, 100)",
    "lrsched.StepLR(0.1, 30)",
    "lrsched.OneCycleLR(max_lr=0.1, total_steps=100)",
    "lrsched.Adam()",
    "lrsched.adamw()",
    "compat.pytorch",
    "compat.jax",
    "compat.tensorflow.CosineDecay(0.1, 100)",
    "compat.huggingface",
    "compat.torchh",
]
# Texts, and the one that is meant, or None where any will do.
TEXTS_THAT_WORK = [
    "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "one_cycle(0.1, steps=1000)",
    "warmup_cosine(3e-4, steps=10_000, warmup=0.05)",
    "torch.OneCycleLR(max_lr=0.1, total_steps=100)",
    "torch.optim.lr_scheduler.StepLR(0.1, 30)",
    "pytorch.StepLR(0.1, 30)",
    "jax.cosine_decay_schedule(0.1, 100)",
    "tf.keras.optimizers.schedules.CosineDecay(0.1, 100)",
    "huggingface.get_cosine_schedule_with_warmup(5e-5, 100, 1000)",
    "lrsched.Cosine(0.1, 0, steps=100)",
    "ls.Warmup(5) >> ls.Cosine(0.1, 0, steps=100)",
    "compat.torch.StepLR(0.1, 30)",
    "Cosine(0.1, 0, steps=10*1000)",
    "Cosine(0.1, 0, steps=10k)",
    "Warmup(5%) >> Cosine(3e-4, 0, steps=95%)",
]
MEANT = {
    "cosine(0.1, 0, steps=1000)": "Cosine(0.1, 0, steps=1000)",
    "cosine(0.1, 1000)": None,
    "cosine": None,
    "Cosine": None,
    "constant": None,
    "warmup(500) >> cosine(3e-4)": None,
    "Warmup(500) -> Cosine(3e-4, 0, steps=9500)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(500) > Cosine(3e-4, 0, steps=9500)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(500) | Cosine(3e-4, 0, steps=9500)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(500), Cosine(3e-4, 0, steps=9500)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "Warmup(500) + Cosine(3e-4, 0, steps=9500)": "Warmup(500) >> Cosine(3e-4, 0, steps=9500)",
    "s = Cosine(0.1, 0, steps=100)": "Cosine(0.1, 0, steps=100)",
    "'Cosine(0.1, 0, steps=100)'": "Cosine(0.1, 0, steps=100)",
    "Cosine(0.1, 0, steps=10,000)": "Cosine(0.1, 0, steps=10000)",
    "Cosine(lr=0.1, steps=100)": None,
    "0.1": "Constant(0.1)",
    "1e-3": "Constant(1e-3)",
    "StepLR(0.1, 30)": "torch.StepLR(0.1, 30)",
    "CosineAnnealingLR(0.1, T_max=100)": "torch.CosineAnnealingLR(0.1, T_max=100)",
    "OneCycleLR(max_lr=0.1, total_steps=100)": "torch.OneCycleLR(max_lr=0.1, total_steps=100)",
    "cosine_decay_schedule(0.1, 100)": "optax.cosine_decay_schedule(0.1, 100)",
    "CosineDecay(0.1, 100)": "keras.CosineDecay(0.1, 100)",
    "get_linear_schedule_with_warmup(5e-5, 100, 1000)": "transformers.get_linear_schedule_with_warmup(5e-5, 100, 1000)",
    "linear(0.1, 0, 100)": "Linear(0.1, 0, steps=100)",
    "OneCycle(0.1, steps=100)": "one_cycle(0.1, steps=100)",
    "wsd(3e-4)": None,
}
# Command lines that work, and those whose error says what to write: a command line, or a text in the place of that.
SHELL_WORKS = [
    'plot "Warmup(500) >> Cosine(3e-4, 0, steps=9500)"',
    'plot "one_cycle(0.1, steps=1000)" "torch.StepLR(0.1, 30)"',
    "plot schedule.json",
    "plot @schedule.json",
    'plot "Warmup(5%) >> Cosine(3e-4, 0, steps=95%)" --steps 10k',
    'table "Cosine(0.1, 0, steps=100)" --at 0,50%,99 --steps 100',
    'convert "Cosine(0.1, 0, steps=100)" --to pytorch',
    "convert schedule.json --to jax --steps 10k",
    'lint "Cosine(0.1, 0, steps=100)" --steps 100',
]
SHELL_SAYS = [
    "plot cosine",
    'plot "cosine(0.1, 1000)"',
    'plot "StepLR(0.1, 30)"',
    'plot "Warmup(500) -> Cosine(3e-4, 0, steps=9500)"',
    "plot 0.1",
    '"Cosine(0.1, 0, steps=100)"',
    'convert "cosine(0.1)" --to torch',
]


def said(error: str) -> str:
    """Return what an error says that one should write."""
    found = re.search(r"(?:for example|write) (?!one\b)(.+?)(?: or .*)?$", error, re.MULTILINE)
    assert found, error
    return found[1]


@pytest.mark.parametrize("code", WORKS)
def test_what_people_write_in_python_works(code: str):
    eval(code, dict(NAMES))


@pytest.mark.parametrize("code", SAYS)
def test_an_error_in_python_says_what_works(code: str):
    with pytest.raises((AttributeError, TypeError), match=r"write|for example") as caught:
        eval(code, dict(NAMES))
    eval(said(str(caught.value)), dict(NAMES))


@pytest.mark.parametrize("text", TEXTS_THAT_WORK)
def test_a_text_that_people_write_is_read(text: str):
    assert isinstance(parse(text), Schedule | lrsched.Template)


@pytest.mark.parametrize("text", MEANT)
def test_an_error_about_a_text_says_what_can_be_read(text: str):
    with pytest.raises(ValueError, match=r"write|for example") as caught:
        parse(text)
    meant = MEANT[text]
    found = parse(said(str(caught.value)))
    assert isinstance(found, Schedule)
    assert meant is None or found == parse(meant)


@pytest.mark.parametrize("text", ["adam", "adam()", "lrsched.rules.Adam()", "rules.Adam()"])
def test_a_rule_is_read_or_the_error_says_how(text: str):
    try:
        found = rules.parse(text)
    except ValueError as error:
        found = rules.parse(said(str(error)))
    assert found == rules.Adam()


@pytest.mark.parametrize("text", ["schedule.json", "@schedule.json", "run.yaml"])
def test_the_name_of_a_file_is_no_text_of_a_schedule(text: str):
    with pytest.raises(ValueError, match=r"a file is read by read_config\('\w+\.\w+'\)$"):
        parse(text)


@pytest.mark.parametrize("text", ["torch.Adam()", "Adam()"])
def test_a_rule_is_no_schedule(text: str):
    with pytest.raises(ValueError, match=r"must describe a schedule|is not a known schedule"):
        parse(text)


@pytest.mark.parametrize("text", ["Linear(1, 0, steps=0)", "Constant(-1)", "Cosin(1, 0, steps=3)", "__import__('os')"])
def test_what_has_a_wrong_number_or_no_meaning_is_not_replaced(text: str):
    with pytest.raises(ValueError, match=r"^(?!.*; write )"):
        parse(text)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with a schedule."""
    import json

    (tmp_path / "schedule.json").write_text(json.dumps(to_config(Warmup(5) >> Cosine(0.1, 0.0, steps=95))))
    monkeypatch.chdir(tmp_path)


def shell(line: str) -> tuple[int, str]:
    """Return the exit status of a command line, and what it complains of."""
    complaint = io.StringIO()
    with contextlib.redirect_stderr(complaint), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = main(shlex.split(line))
        except SystemExit as error:
            status = int(error.code or 0)
    return status, complaint.getvalue()


@pytest.mark.parametrize("line", SHELL_WORKS)
def test_what_people_write_in_a_shell_works(line: str, there: None):
    assert shell(line) == (0, "")


@pytest.mark.parametrize("line", SHELL_SAYS)
def test_an_error_in_a_shell_says_what_works(line: str, there: None):
    status, complaint = shell(line)
    assert status == 2
    told = said(complaint.partition("\n  ")[0].rstrip() if not complaint.startswith("usage") else complaint)
    better = told.removeprefix("lrsched ") if told.startswith("lrsched ") else f"plot {shlex.quote(told)}"
    assert shell(better) == (0, "")


def makes() -> dict[str, Any]:
    known = {**CLASSES["schedule"], **CALLS["schedule"]}
    ours = {name: make for name, make in known.items() if name in lrsched.__all__ and not inspect.isabstract(make)}
    return {name: make for name, make in ours.items() if name not in ("Budget", "Function", "Template", "Schedule")}


@pytest.mark.parametrize("name", sorted(makes()))
def test_every_curve_and_recipe_has_an_example_that_can_be_read(name: str):
    such = example(name, inspect.signature(makes()[name]))
    assert such is not None
    parse(such)


def test_an_argument_without_a_sample_has_no_example():
    assert example("f", inspect.signature(lambda nonsense: None)) is None


def test_errors_inside_of_a_constructor_stay_as_they_are():
    with pytest.raises(TypeError, match=r"^Linear\(start=...\) must be a finite number >= 0, got None$"):
        Linear(None, 0.0, steps=3)  # type: ignore[arg-type]  # the error is the point
