"""Schedules and rules on command lines and in files that jsonargparse reads, LightningCLI among them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import UPDATES, follows, page, real
from torch_harness import all_watched, line, loader

import lrsched
from lrsched import Cosine, Hold, Schedule, Warmup, compat, parse, rules
from lrsched_torch import RuleOptimizer, ScheduleLR

jsonargparse = real("jsonargparse", "jsonargparse")
lightning = real("pytorch_lightning", "pytorch-lightning")

TEXT = "Warmup(4) >> Cosine(0.1, 0.0, steps=8)"
CHAIN, COSINE = parse(TEXT), Cosine(0.1, 0.0, steps=8)
SAID = '{"class_path": "lrsched.Cosine", "init_args": {"start": 0.1, "end": 0.0, "steps": 8}}'
CHAINED = (
    '{"class_path": "lrsched.Chain", "init_args": {"parts": '
    f'[{{"class_path": "lrsched.Warmup", "init_args": {{"steps": 4}}}}, {SAID}]}}}}'
)


class Model:
    """What a program has: a schedule, schedules, a rate or a schedule, a rule."""

    def __init__(
        self,
        lr: Schedule | None = None,
        phases: list[Schedule] | None = None,
        rate: Schedule | float = 0.1,
        rule: rules.Rule | None = None,
        function: Callable[[int], float] | None = None,
        cosine: Cosine | None = None,
    ) -> None:
        self.lr, self.phases, self.rate, self.rule, self.function, self.cosine = (
            lr,
            phases,
            rate,
            rule,
            function,
            cosine,
        )


def read(add: Callable[[Any], Any], arguments: list[str], again: bool = False) -> Any:
    """Return what a parser makes of arguments; if `again`, of the file that it writes of them."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    add(parser)
    found = parser.parse_args(arguments)
    if again:
        found = parser.parse_string(parser.dump(found))
    return parser.instantiate(found)


def cosine(name: str, class_path: bool = True, sub: str = "") -> list[str]:
    said = [f"--{name}", "lrsched.Cosine"] if class_path else []
    return [*said, f"--{name}{sub}.start", "0.1", f"--{name}{sub}.end=0", f"--{name}{sub}.steps", "8"]


def of_type(kind: Any, *arguments: str) -> tuple[Callable[[Any], Any], list[str]]:
    return lambda parser: parser.add_argument("--s", type=kind), list(arguments)


def subclass(kind: Any, *arguments: str) -> tuple[Callable[[Any], Any], list[str]]:
    return lambda parser: parser.add_subclass_arguments(kind, "s"), list(arguments)


def of_class(kind: Any, *arguments: str) -> tuple[Callable[[Any], Any], list[str]]:
    return lambda parser: parser.add_class_arguments(kind, "s"), list(arguments)


def member(name: str, *arguments: str) -> tuple[Callable[[Any], Any], list[str], str]:
    return lambda parser: parser.add_class_arguments(Model, "s"), list(arguments), name


WAYS: dict[str, tuple[Any, Any]] = {
    "a class": (of_class(Cosine, *cosine("s", class_path=False)), COSINE),
    "a class from JSON": (of_class(Hold, "--s.steps", "5", "--s.schedule", SAID), Hold(COSINE, steps=5)),
    "a subclass": (subclass(Schedule, *cosine("s")), COSINE),
    "a subclass, init_args": (subclass(Schedule, *cosine("s", sub=".init_args")), COSINE),
    "a subclass by its short name": (subclass(Schedule, "--s", "Cosine", *cosine("s", False)), COSINE),
    "a chain": (subclass(Schedule, "--s", CHAINED), CHAIN),
    "nested": (
        subclass(Schedule, "--s", "lrsched.Hold", "--s.steps", "5", *cosine("s.schedule")),
        Hold(COSINE, steps=5),
    ),
    "a table": (subclass(Schedule, "--s", "lrsched.Table", "--s.values", "[0.1, 0.2]"), lrsched.Table((0.1, 0.2))),
    "a recipe": (
        of_type(Schedule, "--s", "lrsched.wsd", "--s.peak=0.1", "--s.steps=9", "--s.warmup=2", "--s.cooldown=3"),
        lrsched.wsd(0.1, 9, 2, 3),
    ),
    "compat": (
        of_type(Schedule, "--s", "lrsched.compat.torch.OneCycleLR", "--s.max_lr", "0.1", "--s.total_steps", "12"),
        compat.torch.OneCycleLR(0.1, 12),
    ),
    "a text": (of_type(Schedule, "--s", "lrsched.parse", "--s.text", TEXT), CHAIN),
    "a type": (of_type(Schedule, *cosine("s")), COSINE),
    "a type of one class": (of_type(Cosine, *cosine("s", class_path=False)), COSINE),
    "a union, a schedule": (of_type(Schedule | float, *cosine("s")), COSINE),
    "a union, a number": (of_type(Schedule | float, "--s", "0.1"), 0.1),
    "a list": (of_type(list[Schedule], "--s", f"[{CHAINED}, {SAID}]"), [CHAIN, COSINE]),
    "a dictionary": (of_type(dict[str, Schedule], "--s", f'{{"a": {SAID}}}'), {"a": COSINE}),
    "a rule": (subclass(rules.Rule, "--s", "lrsched.rules.Adam", "--s.b1", "0.8"), rules.Adam(0.8)),
    "a rule with decay": (
        subclass(rules.Rule, "--s", "lrsched.rules.AdamW", "--s.weight_decay", "0.1"),
        rules.AdamW(weight_decay=0.1),
    ),
    "a text of a rule": (
        subclass(rules.Rule, "--s", "lrsched.rules.parse", "--s.text", "L2(0.1) >> SGD()"),
        rules.L2(0.1) >> rules.SGD(),
    ),
    "an argument": (member("lr", *cosine("s.lr")), COSINE),
    "an argument, a list": (member("phases", "--s.phases", f"[{SAID}]"), [COSINE]),
    "an argument, a number": (member("rate", "--s.rate", "0.3"), 0.3),
    "an argument, no number": (member("rate", "--s.rate", CHAINED), CHAIN),
    "an argument, a rule": (
        member("rule", "--s.rule", "lrsched.rules.Momentum", "--s.rule.momentum=0.5"),
        rules.Momentum(0.5),
    ),
    "an argument, a function": (member("function", *cosine("s.function")), COSINE),
    "an argument, one class": (member("cosine", *cosine("s.cosine", class_path=False)), COSINE),
}


@pytest.mark.parametrize("again", [False, True], ids=["given", "written and read"])
@pytest.mark.parametrize("name", WAYS)
def test_a_way_gives_the_value(name: str, again: bool):
    (add, arguments, *inner), wanted = WAYS[name]
    found = read(add, arguments, again).s
    assert (getattr(found, inner[0]) if inner else found) == wanted


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a wrong value": (
        lambda: read(*of_type(Schedule, "--s", "lrsched.Constant", "--s.value=-1")),
        r"Constant\(value=...\) must be a finite number >= 0, got -1",
    ),
    "a wrong name": (lambda: read(*of_type(Schedule, "--s", "lrsched.Cosinus")), "Cosinus"),
    "a text without parse": (lambda: read(*of_type(Schedule, "--s", TEXT)), "import path"),
    "a rule as a schedule": (lambda: read(*of_type(Schedule, "--s", "lrsched.rules.Adam")), "Adam"),
    "what is missing": (
        lambda: read(*of_type(Schedule, "--s", "lrsched.Cosine", "--s.start=1")),
        "required: end, steps",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_told(name: str):
    call, told = REFUSED[name]
    with pytest.raises(Exception, match=told):
        call()


def test_the_command_line_of_a_function():
    assert jsonargparse.CLI(lrsched.parse, args=[TEXT]) == CHAIN


def test_an_optimizer_and_a_scheduler_as_callables():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--optimizer", type=Callable[[Any], torch.optim.Optimizer])
    parser.add_argument("--scheduler", type=Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler])
    said = ["--optimizer", "lrsched_torch.RuleOptimizer", "--optimizer.rule", "lrsched.rules.Adam"]
    said += ["--optimizer.lr", CHAINED, "--scheduler", "lrsched_torch.ScheduleLR", "--scheduler.schedule", CHAINED]
    found = parser.instantiate(parser.parse_args(said))
    optimizer = found.optimizer([torch.nn.Parameter(torch.zeros(2))])
    assert isinstance(optimizer, RuleOptimizer)
    assert isinstance(found.scheduler(torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], 0.1)), ScheduleLR)


def fitted(folder: Path, arguments: list[str]) -> list[float]:
    """Return the rates of the updates of the page's command line."""
    names = page("LightningCLI", loader=loader, line=line)
    with all_watched() as used, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names["main"](["fit", *arguments, f"--trainer.default_root_dir={folder}"])
    return used


def test_lightning_follows_the_schedule_of_its_command_line_and_goes_on_after_half(tmp_path: Path):
    quiet = [f"--trainer.{name}=false" for name in ("logger", "enable_progress_bar", "enable_model_summary")]
    quiet += ["--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"]
    schedule = ["--model.lr", CHAINED]
    first = fitted(tmp_path, [*schedule, *quiet, f"--trainer.max_steps={UPDATES // 2}"])
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    (config,) = tmp_path.rglob("config.yaml")
    assert "class_path: lrsched.Chain" in config.read_text()
    rest = ["--config", str(config), f"--trainer.max_steps={UPDATES}", f"--ckpt_path={checkpoint}"]
    follows(Warmup(4) >> COSINE, first, fitted(tmp_path / "second", rest))
