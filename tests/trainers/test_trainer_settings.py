"""Schedules and rules as fields of settings: pydantic, tyro, simple-parsing, draccus, gin, attrs."""

from dataclasses import dataclass
from typing import Any

import pytest
from harness import page, real
from hypothesis import given
from rule_samples import SAMPLES
from strategies import schedules

import lrsched
from lrsched import Cosine, Linear, Schedule, Warmup, compat, feedback, parse, rules, to_config

TEXT = "Warmup(4) >> Cosine(0.1, 0.0, steps=8)"
CHAIN, COSINE = parse(TEXT), Cosine(0.1, 0.0, steps=8)
LARGE = "tests/oracles-large.txt"


def model(kind: Any) -> Any:
    return real("pydantic", "pydantic").create_model("Settings", value=(kind, ...))


READ: dict[str, tuple[Any, Any, Any]] = {
    "a schedule": (Schedule, CHAIN, CHAIN),
    "its text": (Schedule, TEXT, CHAIN),
    "its configuration": (Schedule, to_config(CHAIN), CHAIN),
    "its configuration without format": (Schedule, {"type": "Cosine", "start": 0.1, "end": 0.0, "steps": 8}, COSINE),
    "another library": (
        Schedule,
        "torch.OneCycleLR(max_lr=0.1, total_steps=12)",
        compat.torch.OneCycleLR(0.1, 12),
    ),
    "one class": (Cosine, {"start": 0.1, "end": 0.0, "steps": 8}, COSINE),
    "a number or a schedule": (Schedule | float, TEXT, CHAIN),
    "a schedule or a number": (Schedule | float, 0.3, 0.3),
    "a list": (list[Schedule], [TEXT, COSINE], [CHAIN, COSINE]),
    "a dictionary": (dict[str, Schedule], {"a": TEXT}, {"a": CHAIN}),
    "None": (Schedule | None, None, None),
    "a rule": (rules.Rule, "ClipByGlobalNorm(1.0) >> AdamW()", rules.ClipByGlobalNorm(1.0) >> rules.AdamW()),
    "feedback": (feedback.Plateau, {"patience": 3}, feedback.Plateau(patience=3)),
}


@pytest.mark.parametrize("name", READ)
def test_a_field_of_pydantic_reads_a_value_and_saves_its_text(name: str):
    kind, said, wanted = READ[name]
    made = model(kind)
    found = made(value=said)
    assert found.value == wanted
    assert made.model_validate_json(found.model_dump_json()) == found
    assert made.model_validate(found.model_dump()) == found


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "no text of a schedule": (Schedule, "Cosinus(0.1)", "not a known schedule; the nearest are"),
    "another class": (Linear, TEXT, "a field of Linear must be one, its text or its configuration, got"),
    "a rule": (Schedule, "Adam()", "not a known schedule"),
    "a number": (Schedule, 0.3, "a field of Schedule must be one"),
    "a wrong value": (Schedule, "Constant(-1)", "must be a finite number >= 0, got -1"),
    "a wrong field": (Cosine, {"begin": 0.1}, r"has the fields \['end', 'start', 'steps'\], got 'begin'"),
    "a list": (Schedule, [TEXT], "a field of Schedule must be one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_field_of_pydantic_refuses_the_rest(name: str):
    kind, said, told = REFUSED[name]
    made = model(kind)
    with pytest.raises(real("pydantic", "pydantic").ValidationError, match=told):
        made(value=said)


def test_a_function_without_a_name_is_not_saved():
    found = model(Schedule)(value=lrsched.Function(lambda t: 0.1))
    with pytest.raises(Exception, match="register"):
        found.model_dump_json()


def test_the_schema_is_that_of_a_text():
    assert model(Schedule).model_json_schema()["properties"]["value"] == {
        "type": "string",
        "title": "Schedule",
        "description": "the text of a schedule of lrsched",
    }


@given(schedules())
def test_any_schedule_is_saved(schedule: Schedule):
    if "Function(" not in repr(schedule):
        made = model(Schedule)
        assert made.model_validate_json(made(value=schedule).model_dump_json()).value == schedule


@pytest.mark.parametrize("rule", [sample.rule for sample in SAMPLES], ids=repr)
def test_any_rule_is_saved(rule: rules.Rule):
    made = model(rules.Rule)
    assert made.model_validate_json(made(value=rule).model_dump_json()).value == rule


def test_the_lines_of_the_page():
    real("pydantic", "pydantic")
    settings = page("pydantic")["settings"]
    assert settings.lr == Warmup(500) >> Cosine(3e-4, 0.0, steps=9500)
    assert settings.rule == rules.AdamW(weight_decay=0.1)
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings


@dataclass
class Settings:
    """Settings with a schedule by default."""

    lr: Cosine = COSINE


def test_tyro_builds_schedules_from_arguments():
    tyro = real("tyro", "tyro", LARGE)
    said = ["--start", "0.1", "--end", "0", "--steps", "8"]
    assert tyro.cli(Cosine, args=said) == COSINE
    assert tyro.cli(Cosine | Linear, args=["linear", *said]) == Linear(0.1, 0.0, steps=8)
    assert tyro.cli(Settings, args=["--lr.steps", "9"]).lr == Cosine(0.1, 0.0, steps=9)
    assert tyro.cli(parse, args=["--text", TEXT]) == CHAIN


def test_simple_parsing_builds_schedules_from_arguments():
    simple_parsing = real("simple_parsing", "simple-parsing", LARGE)
    assert simple_parsing.parse(Cosine, args="--start 0.1 --end 0 --steps 8") == COSINE
    assert simple_parsing.parse(Settings, args="--steps 9").lr == Cosine(0.1, 0.0, steps=9)


def test_draccus_writes_settings_and_reads_them():
    draccus = real("draccus", "draccus", LARGE)
    assert draccus.parse(Settings, args=[]).lr == COSINE
    assert draccus.decode(Settings, draccus.encode(Settings())) == Settings()


def test_gin_configures_schedules():
    gin = real("gin", "gin-config", LARGE)
    gin.external_configurable(parse, module="lrsched")
    gin.external_configurable(Cosine, module="lrsched")
    train = gin.external_configurable(lambda lr, other: (lr, other), name="train")
    gin.parse_config(f"train.lr = @lrsched.parse()\nparse.text = '{TEXT}'\ntrain.other = @lrsched.Cosine()")
    gin.parse_config("Cosine.start = 0.1\nCosine.end = 0.0\nCosine.steps = 8")
    assert train() == (CHAIN, COSINE)


@pytest.mark.parametrize("base", [Schedule, rules.Rule, rules.Part, feedback.Feedback])
def test_a_base_has_no_values(base: Any):
    with pytest.raises(TypeError, match=f"{base.__name__} must be extended by a class with"):
        base()
