"""Schedules and rules in the configurations of Hydra and OmegaConf, of which a table says what each way gives."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rule_samples
import torch
from harness import UPDATES, follows, page, real
from hypothesis import given
from strategies import schedules
from torch_harness import endless, line, watched

import lrsched
from lrsched import Chain, Constant, Cosine, Function, Hold, Schedule, Warmup, compat, parse, rules, to_config
from lrsched_torch import RuleOptimizer, ScheduleLR

hydra = real("hydra", "hydra-core")
utils = real("hydra.utils", "hydra-core")
omegaconf = real("omegaconf", "omegaconf")
OmegaConf, instantiate = omegaconf.OmegaConf, utils.instantiate

TEXT = "Warmup(4) >> Cosine(0.1, 0.0, steps=8)"
CHAIN, COSINE = parse(TEXT), Cosine(0.1, 0.0, steps=8)
ADAMW = rules.ClipByGlobalNorm(1.0) >> rules.AdamW()


def plain(text: str, **more: Any) -> Any:
    """Instantiate what a file says, as its author would."""
    return instantiate(OmegaConf.create(text), **more)


def whole(text: str, **more: Any) -> Any:
    """Instantiate a whole file: what is no call becomes dictionaries and lists, and values stay what they are."""
    return plain(text, _convert_="object", **more)


@dataclass
class Training:
    """Settings of a program, with a schedule by default."""

    lr: Any = field(default_factory=lambda: CHAIN)
    max_steps: int = 12


@dataclass
class Typed:
    """The same, with types."""

    lr: Schedule = field(default_factory=lambda: COSINE)
    rule: rules.Rule = field(default_factory=rules.AdamW)


TARGET = "{_target_: lrsched.Cosine, start: 0.1, end: 0.0, steps: 8}"
PARTS = f"[{{_target_: lrsched.Warmup, steps: 4}}, {TARGET}]"
REFERENCE = "'${n}'"
# What a call in a file gives, whatever `_convert_` says.
CALLS: dict[str, tuple[str, Any]] = {
    "a class": (TARGET, COSINE),
    "in order": ("{_target_: lrsched.Cosine, _args_: [0.1, 0.0, 8]}", COSINE),
    "numbers as people write them": ("{_target_: lrsched.Cosine, start: 1e-1, end: 0, steps: 8e0}", COSINE),
    "a text": (f"{{_target_: lrsched.parse, _args_: ['{TEXT}']}}", CHAIN),
    "a text by name": (f"{{_target_: lrsched.parse, text: '{TEXT}'}}", CHAIN),
    "JSON": (f"{{_target_: lrsched.from_config, config: {to_config(CHAIN)}}}".replace("'", '"'), CHAIN),
    "a chain": (f"{{_target_: lrsched.Chain, parts: {PARTS}}}", CHAIN),
    "a sequence": (f"{{_target_: lrsched.Schedule.sequence, parts: {PARTS}}}", CHAIN),
    "nested": (f"{{_target_: lrsched.Hold, schedule: {TARGET}, steps: 5}}", Hold(COSINE, steps=5)),
    "nested in a list": (f"{{_target_: lrsched.Maximum, parts: [{TARGET}, {TARGET}]}}", lrsched.Maximum((COSINE,) * 2)),
    "a list of numbers": ("{_target_: lrsched.Table, values: [0.1, 0.2]}", lrsched.Table((0.1, 0.2))),
    "a recipe": ("{_target_: lrsched.wsd, peak: 0.1, steps: 12, warmup: 2, cooldown: 3}", lrsched.wsd(0.1, 12, 2, 3)),
    "a recipe with lists": (
        "{_target_: lrsched.multi_step, start: 0.1, factor: 0.5, milestones: [3, 6]}",
        lrsched.multi_step(0.1, 0.5, (3, 6)),
    ),
    "compat": (
        "{_target_: lrsched.compat.torch.OneCycleLR, max_lr: 0.1, total_steps: 12}",
        compat.torch.OneCycleLR(0.1, 12),
    ),
    "compat around others": (
        f"{{_target_: lrsched.compat.torch.SequentialLR, schedulers: [{TARGET}, {TARGET}], milestones: [5]}}",
        compat.torch.SequentialLR([COSINE, COSINE], [5]),
    ),
    "a rule": ("{_target_: lrsched.rules.Adam, b1: 0.8}", rules.Adam(0.8)),
    "a rule with decay": ("{_target_: lrsched.rules.AdamW, weight_decay: 0.1}", rules.AdamW(weight_decay=0.1)),
    "a text of a rule": ("{_target_: lrsched.rules.parse, text: 'ClipByGlobalNorm(1.0) >> AdamW()'}", ADAMW),
    "a chain of rules": (
        "{_target_: lrsched.rules.Pipeline, links: "
        "[{_target_: lrsched.rules.ClipByGlobalNorm, max_norm: 1.0}, {_target_: lrsched.rules.AdamW}]}",
        ADAMW,
    ),
    "a rule around a rule": (
        "{_target_: lrsched.rules.Layerwise, rule: {_target_: lrsched.rules.AdamW}}",
        rules.Layerwise(rules.AdamW()),
    ),
    "a function": (
        "{_target_: lrsched.Function, f: {_target_: hydra.utils.get_method, path: numpy.sqrt}}",
        Function(np.sqrt),
    ),
    "feedback": ("{_target_: lrsched.feedback.Plateau, patience: 3}", lrsched.feedback.Plateau(patience=3)),
    "a budget": ("{_target_: lrsched.Budget, steps: 1000}", lrsched.Budget(steps=1000)),
}


@pytest.mark.parametrize("convert", ["none", "partial", "object", "all"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_gives_its_value(name: str, convert: str):
    text, wanted = CALLS[name]
    assert plain(text, _convert_=convert) == wanted


@pytest.mark.parametrize("name", CALLS)
def test_a_whole_file_gives_the_values_in_it(name: str):
    text, wanted = CALLS[name]
    assert whole(f"{{a: {text}, many: [{text}], b: {{c: {{d: {text}}}}}, seed: 3}}") == {
        "a": wanted,
        "many": [wanted],
        "b": {"c": {"d": wanted}},
        "seed": 3,
    }


FILE = OmegaConf.create(f"{{lr: {CALLS['a chain'][0]}, rule: {CALLS['a rule with decay'][0]}, other: {TARGET}}}")
MADE = instantiate(FILE)  # without `_convert_`: OmegaConf has kept the values as configurations of their classes
OBJECTS = OmegaConf.create({"lr": CHAIN, "rule": rules.AdamW(weight_decay=0.1), "other": COSINE})


def parameters() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.zeros(2))]


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters(), lr=0.1)


# What takes a value takes its configuration too.
TAKES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "after a schedule": (lambda c: Warmup(3) >> c.other, Warmup(3) >> COSINE),
    "before a schedule": (lambda c: c.other >> Constant(0.1), COSINE >> Constant(0.1)),
    "a factor": (lambda c: 0.5 * Constant(0.1) * c.lr, 0.5 * Constant(0.1) * CHAIN),
    "inside": (lambda c: Hold(c.lr, steps=3), Hold(CHAIN, steps=3)),
    "parts": (lambda c: Chain((c.other, c.lr)), COSINE >> CHAIN),
    "of another library": (lambda c: compat.torch.SequentialLR([c.other, c.lr], [5]), Hold(COSINE, steps=5) >> CHAIN),
    "a rule inside": (lambda c: rules.Layerwise(c.rule), rules.Layerwise(rules.AdamW(weight_decay=0.1))),
    "a rule after a part": (
        lambda c: rules.ClipByNorm(1.0) >> c.rule,
        rules.ClipByNorm(1.0) >> rules.AdamW(weight_decay=0.1),
    ),
    "JSON": (lambda c: to_config(c.lr), to_config(CHAIN)),
    "ScheduleLR": (lambda c: ScheduleLR(sgd(), c.lr).schedules, (CHAIN,)),
    "ScheduleLR by group": (lambda c: ScheduleLR(sgd(), OmegaConf.create([c.lr])).schedules, (CHAIN,)),
    "RuleOptimizer": (lambda c: RuleOptimizer(parameters(), c.rule, c.lr).rule, rules.AdamW(weight_decay=0.1)),
    "slots": (
        lambda c: type(rules.init(c.rule, np.zeros(2))),
        rules.AdamSlots,
    ),
}


@pytest.mark.parametrize("config", [MADE, OBJECTS], ids=["instantiated", "created"])
@pytest.mark.parametrize("name", TAKES)
def test_a_configuration_that_is_a_value_is_taken_as_the_value(name: str, config: Any):
    call, wanted = TAKES[name]
    assert call(config) == wanted


# Hydra's and OmegaConf's other ways.
WAYS: dict[str, tuple[Callable[[], Any], Any]] = {
    "an interpolation": (lambda: whole(f"{{n: 8, lr: {TARGET.replace('8', REFERENCE)}}}")["lr"], COSINE),
    "from the command line": (
        lambda: instantiate(OmegaConf.merge(FILE, OmegaConf.from_dotlist(["other.steps=9"])), _convert_="object")[
            "other"
        ],
        Cosine(0.1, 0.0, steps=9),
    ),
    "partly": (lambda: plain("{_target_: lrsched.Cosine, _partial_: true, start: 0.1, end: 0.0}")(steps=8), COSINE),
    "an argument of the call": (lambda: plain("{_target_: lrsched.Cosine, start: 0.1, end: 0.0}", steps=8), COSINE),
    "a value in the call": (lambda: plain("{_target_: lrsched.Hold, steps: 5}", schedule=COSINE), Hold(COSINE, 5)),
    "values in the call": (lambda: plain("{_target_: lrsched.Chain}", parts=[Warmup(4), COSINE]), CHAIN),
    "objects": (lambda: OmegaConf.to_object(OBJECTS)["lr"], CHAIN),
    "objects of a whole": (lambda: instantiate(OBJECTS, _convert_="object")["lr"], CHAIN),
    "structured": (lambda: OmegaConf.to_object(OmegaConf.structured(CHAIN)), CHAIN),
    "settings": (lambda: OmegaConf.to_object(OmegaConf.structured(Training)).lr, CHAIN),
    "typed settings": (lambda: OmegaConf.to_object(OmegaConf.structured(Typed)).rule, rules.AdamW()),
    "settings as they are": (lambda: Hold(OmegaConf.structured(Typed).lr, steps=5), Hold(COSINE, 5)),
    "a file of it and back": (
        lambda: whole(OmegaConf.to_yaml(FILE))["lr"],
        CHAIN,
    ),
    "not recursively": (
        lambda: plain(f"{{_target_: lrsched.Hold, _recursive_: false, schedule: {TARGET}, steps: 5}}"),
        r"hydra.utils.instantiate\(config\) builds what it says",
    ),
    "frozen": (lambda: OmegaConf.merge(OBJECTS, {"other": {"steps": 9}}), "read-only"),
    "a union": (lambda: OmegaConf.structured(Union), "Unions of containers are not supported"),
    "a value that fails": (
        lambda: whole(f"{{lr: {TARGET.replace('8', '0')}}}"),
        r"Cosine\(steps=...\) must be an int >= 1",
    ),
    "what is missing": (lambda: Hold(OmegaConf.structured(Cosine), steps=5), "missing mandatory value: start"),
    "never instantiated": (
        lambda: RuleOptimizer(parameters(), rules.Adam(), FILE.lr),
        r"hydra.utils.instantiate\(config\) builds what it says",
    ),
    "a text that nobody read": (
        lambda: RuleOptimizer(parameters(), rules.Adam(), OmegaConf.create({"lr": TEXT}).lr),
        r"parse\(text\) builds what it says",
    ),
    "a function among objects": (lambda: OmegaConf.create({"lr": Function(np.sqrt)}), "Unexpected type annotation"),
}


@dataclass
class Union:
    """What OmegaConf has no node for."""

    lr: Schedule | float = 0.1


@pytest.mark.parametrize("name", WAYS)
def test_a_way_gives_the_value_or_says_why_not(name: str):
    call, wanted = WAYS[name]
    if isinstance(wanted, str):
        with pytest.raises(Exception, match=wanted):
            call()
    else:
        assert call() == wanted


def test_a_resolver_makes_texts_schedules():
    OmegaConf.register_new_resolver("schedule", parse, replace=True)
    assert OmegaConf.create({"lr": f"${{schedule:'{TEXT}'}}"}).lr == CHAIN


@given(schedules())
def test_any_schedule_comes_back_out_of_a_configuration(schedule: Schedule):
    if "Function(" in (text := repr(schedule)) or "per_step=Constant" in text:
        return  # OmegaConf has no node for their fields, and says so
    assert instantiate(OmegaConf.create({"lr": [schedule]}), _convert_="object") == {"lr": [schedule]}


@pytest.mark.parametrize("rule", [sample.rule for sample in rule_samples.SAMPLES], ids=repr)
def test_any_rule_comes_back_out_of_a_configuration(rule: rules.Rule):
    assert instantiate(OmegaConf.create({"rule": [rule]}), _convert_="object") == {"rule": [rule]}


def test_what_hydra_composes_from_files_and_the_command_line(tmp_path: Path):
    (tmp_path / "schedule").mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [schedule: cosine, _self_]\nsteps: 8\n")
    (tmp_path / "schedule/cosine.yaml").write_text(TARGET[1:-1].replace(", ", "\n").replace("8", "${steps}"))
    (tmp_path / "schedule/text.yaml").write_text(f"_target_: lrsched.parse\ntext: {TEXT}\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base=None):
        settings = [["steps=9"], ["schedule.start=0.2", "+schedule._partial_=false"], ["schedule=text"]]
        found = [instantiate(hydra.compose("config", overrides=each).schedule) for each in settings]
    assert found == [Cosine(0.1, 0.0, steps=9), Cosine(0.2, 0.0, steps=8), CHAIN]


def _trained(updates: int, state: Any = None) -> tuple[list[float], Any]:
    """Return the rates of some updates of what the page says, and what a checkpoint holds."""
    model = line()
    found = page("Hydra", model=model, RuleOptimizer=RuleOptimizer)
    assert Chain(found["settings"]["phases"]) == Warmup(3) >> Cosine(0.1, 0.0, steps=9)
    optimizer = found["optimizer"]
    if state is not None:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
    used = watched(optimizer)
    for x, y in itertools.islice(endless(), updates):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return used, (model.state_dict(), optimizer.state_dict())


def test_an_optimizer_of_a_file_follows_its_schedule_and_goes_on_after_half():
    schedule = lrsched.wsd(0.1, UPDATES, 3, 4)
    used, _ = _trained(UPDATES)
    follows(schedule, used)
    first, state = _trained(UPDATES // 2)
    follows(schedule, first, _trained(UPDATES // 2, state)[0])
