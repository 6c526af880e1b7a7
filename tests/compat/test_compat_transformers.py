"""`compat.transformers` gives the rates of the schedules of transformers, step by step."""

import inspect
import json
import math
import warnings
from dataclasses import make_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import Schedule, compat
from lrsched.compat.transformers import from_config
from lrsched.compat.transformers import get_scheduler as hf

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
optimization = pytest.importorskip("transformers.optimization")

rates = st.one_of(st.sampled_from([0.1, 1.0, 3e-4]), st.floats(1e-5, 10.0))
warmups = st.integers(0, 15)
lengths = st.integers(0, 50)
cycles = st.one_of(st.sampled_from([0.5, 1.0, 1.5, 0.25, 0.0]), st.floats(0.01, 5.0), st.floats(-1.0, -0.01))
floors = st.one_of(st.just({"min_lr_rate": 0.1}), st.floats(0.0, 1.5).map(lambda rate: {"min_lr_rate": rate}))
absolute = st.floats(0.0, 1.0).map(lambda low: {"min_lr": low})
ramps = st.sampled_from(["linear", "cosine", "1-sqrt"])
both = {"num_warmup_steps": warmups, "num_training_steps": lengths}


@st.composite
def floored(draw: Any, *names: str) -> dict[str, Any]:
    """The arguments of the cosines with a least rate."""
    arguments = draw(st.fixed_dictionaries(both, optional={"num_cycles": cycles})) | draw(floors | absolute)
    if "warmup_lr_rate" in names and draw(st.booleans()):
        arguments["warmup_lr_rate"] = draw(st.floats(0.0, 1.0))
    return arguments


ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "get_constant_schedule": st.just({}),
    "get_constant_schedule_with_warmup": st.fixed_dictionaries({"num_warmup_steps": warmups}),
    "get_linear_schedule_with_warmup": st.fixed_dictionaries(both),
    "get_cosine_schedule_with_warmup": st.fixed_dictionaries(both, optional={"num_cycles": cycles}),
    "get_cosine_with_hard_restarts_schedule_with_warmup": st.fixed_dictionaries(
        both, optional={"num_cycles": st.integers(1, 60)}
    ),
    "get_polynomial_decay_schedule_with_warmup": st.fixed_dictionaries(
        both,
        optional={
            "lr_end": st.just(1e-7) | st.floats(0.0, 9e-6),
            "power": st.sampled_from([0.0, 1.0]) | st.floats(0.05, 4.0),
        },
    ).filter(lambda a: a["num_warmup_steps"] != a["num_training_steps"]),  # 0 / 0 there; refused, as a test below shows
    "get_inverse_sqrt_schedule": st.fixed_dictionaries(
        {"num_warmup_steps": warmups}, optional={"timescale": st.none() | st.integers(1, 100)}
    ),
    "get_cosine_with_min_lr_schedule_with_warmup": floored(),
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": floored("warmup_lr_rate"),
    "get_wsd_schedule": st.fixed_dictionaries(
        {"num_warmup_steps": warmups, "num_decay_steps": warmups},
        optional={
            "warmup_type": ramps,
            "decay_type": ramps,
            "min_lr_ratio": st.floats(0.0, 1.5),
            "num_cycles": cycles,
        },
    ).flatmap(
        lambda a: st.one_of(
            lengths.map(lambda n: a | {"num_training_steps": n}), lengths.map(lambda n: a | {"num_stable_steps": n})
        )
    ),
}


def rates_of(optimizer: Any, scheduler: Any, steps: int = 70) -> list[float]:
    """Return the rates of the updates."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return seen


def sgd(lr: float) -> Any:
    return torch.optim.SGD([torch.zeros(1)], lr=lr)


def agree(schedule: Schedule, expected: list[float], angle: float = 0.0) -> None:
    """Check every step; the library's cosine has the rounding of its angle, 1e-16 of up to 2000 radians here."""
    atol = (1e-15 + 2.3e-16 * angle) * max(expected)
    np.testing.assert_allclose(schedule(np.arange(len(expected))), expected, rtol=1e-12, atol=atol)


def last_angle(arguments: dict[str, Any], steps: int) -> float:
    """Return the angle of the cosine at the last step, long after the end."""
    begin, end = arguments["num_warmup_steps"], arguments["num_training_steps"]
    return 2.0 * math.pi * abs(arguments.get("num_cycles", 0.5)) * (steps - begin) / max(1, end - begin)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_and_defaults_are_those_of_transformers(name: str):
    def signature(function: Any, absent: str) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.name not in absent}

    native = signature(getattr(optimization, name), "optimizer last_epoch")
    assert signature(getattr(compat.transformers, name), "lr") == native


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), lr=rates)
def test_a_schedule_gives_the_rates_of_transformers(name: str, data: st.DataObject, lr: float):
    arguments = data.draw(ARGUMENTS[name])
    optimizer = sgd(lr)
    expected = rates_of(optimizer, getattr(optimization, name)(optimizer, **arguments))
    swings = name.startswith("get_cosine") and "restarts" not in name
    angle = last_angle(arguments, len(expected)) if swings else 0.0
    agree(getattr(compat.transformers, name)(lr, **arguments), expected, angle)


def test_a_restart_that_the_library_misses_by_rounding_is_missed_here():
    # 49 * (1 / 49) is below 1 in floating point.
    assert math.floor(49 * (2 / 98)) == 0
    optimizer = sgd(0.1)
    scheduler = optimization.get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, 0, 98, num_cycles=49)
    ours = compat.transformers.get_cosine_with_hard_restarts_schedule_with_warmup(0.1, 0, 98, num_cycles=49)
    agree(ours, rates_of(optimizer, scheduler, 110))
    assert from_torch(scheduler) == [ours]


NAMES = {
    "constant": {},
    "linear": {},
    "cosine": {"num_cycles": 1.5},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0, "lr_end": 1e-3},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": 20},
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    "warmup_stable_decay": {"num_decay_steps": 10, "min_lr_ratio": 0.1},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_is_found_by_its_name(name: str):
    optimizer = sgd(0.1)
    expected = rates_of(
        optimizer, optimization.get_scheduler(name, optimizer, 5, 50, scheduler_specific_kwargs=NAMES[name])
    )
    agree(compat.transformers.get_scheduler(name, 0.1, 5, 50, NAMES[name]), expected)


def test_every_name_is_known_or_that_of_a_feedback_rule():
    names = {kind.value for kind in optimization.SchedulerType}
    assert names - {"reduce_lr_on_plateau", "greedy"} == set(NAMES)


def test_a_name_may_be_the_member_of_the_enumeration():
    member = optimization.SchedulerType.COSINE
    assert compat.transformers.get_scheduler(member, 0.1, 5, 50) == compat.transformers.get_scheduler(
        "cosine", 0.1, 5, 50
    )


@pytest.mark.parametrize("name", ["reduce_lr_on_plateau", "greedy"])
def test_the_name_of_a_feedback_rule_is_refused(name: str):
    with pytest.raises(ValueError, match=r"get_scheduler\(name=...\) must be a function of the step"):
        compat.transformers.get_scheduler(name, 0.1)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"get_scheduler\(name=...\) must be one of 'constant'"):
        compat.transformers.get_scheduler("square", 0.1, 5, 50)


@pytest.mark.parametrize(("name", "missing"), [("linear", "num_training_steps"), ("inverse_sqrt", "num_warmup_steps")])
def test_a_missing_number_of_steps_is_refused(name: str, missing: str):
    given_ = {} if missing == "num_warmup_steps" else {"num_warmup_steps": 5}
    with pytest.raises(ValueError, match=rf"get_scheduler\({missing}=...\) must be given"):
        compat.transformers.get_scheduler(name, 0.1, **given_)
    with pytest.raises(ValueError, match=missing):
        optimization.get_scheduler(name, sgd(0.1), **given_)


@pytest.mark.parametrize("unknown", ["min_lr", "end_lr", "learning_rate_end", "power", "num_training_steps", "cycles"])
@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_a_schedule_does_not_have_are_refused(name: str, unknown: str):
    known = inspect.signature(optimization.TYPE_TO_SCHEDULER_FUNCTION[name]).parameters
    if unknown in known and unknown != "num_training_steps":
        return
    more = {**NAMES[name], unknown: 2}
    for where, read in (
        (r"get_scheduler\(scheduler_specific_kwargs=...\)", lambda: hf(name, 0.1, 5, 50, more)),
        (r"TrainingArguments\(lr_scheduler_kwargs=...\)",
         lambda: from_config({"lr_scheduler_type": name, "lr_scheduler_kwargs": more}, 50)),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=rf"^{where} must hold arguments of \w+: .*, got '{unknown}'"):
            read()
    # The library refuses it too, or leaves it out.
    if not name.startswith("constant"):
        with pytest.raises(TypeError, match=unknown):
            optimization.get_scheduler(name, sgd(0.1), 5, 50, scheduler_specific_kwargs=more)


def test_the_start_of_training_is_neutral():
    for name in NAMES:
        assert hf(name, 0.1, 5, 50, {**NAMES[name], "last_epoch": -1}) == hf(name, 0.1, 5, 50, NAMES[name])
    with pytest.raises(ValueError, match=r"\['last_epoch'\] must be -1, which changes nothing, got 3"):
        hf("linear", 0.1, 5, 50, {"last_epoch": 3})


WHOLE = {
    "learning_rate": "2e-5", "lr_scheduler_type": "SchedulerType.COSINE_WITH_MIN_LR", "warmup_steps": "10",
    "lr_scheduler_kwargs": {"min_lr": "1e-6"}, "max_steps": "1e2", "weight_decay": 0.1, "save_steps": 500,
}  # fmt: skip


def test_the_whole_configuration_of_a_trainer_is_read(tmp_path: Any):
    arguments = transformers.Seq2SeqTrainingArguments(
        output_dir=str(tmp_path), learning_rate=2e-5, lr_scheduler_type="cosine_with_min_lr", warmup_steps=10,
        lr_scheduler_kwargs={"min_lr": 1e-6}, max_steps=100, report_to=[], use_cpu=True,
    )  # fmt: skip
    expected = hf("cosine_with_min_lr", 2e-5, 10, 100, {"min_lr": 1e-6})
    assert len(arguments.to_dict()) > 100
    for config in (arguments, arguments.to_dict(), json.loads(arguments.to_json_string()), WHOLE):
        assert from_config(config) == expected


def test_the_trainers_of_reinforcement_learning_have_a_discount(tmp_path: Any):
    kind = make_dataclass("PPO", [("gamma", float, 0.99)], bases=(transformers.TrainingArguments,))
    assert from_config(kind(output_dir=str(tmp_path), max_steps=9, use_cpu=True)) == hf("linear", 5e-5, 0, 9, {})


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({}, ValueError, "must hold the names of TrainingArguments, got nothing$"),
        ({"train": WHOLE}, ValueError, "got only 'train': such names are under 'train', give that$"),
        ({"a": [{"args": WHOLE}], "seed": 3}, ValueError, r"got only 'a', 'seed': such names are under 'a\[0\].args'"),
        ({"max_steps": 9, "trainer": {"learning_rate": 1.0}}, TypeError, "got 'trainer.learning_rate'"),
        ({**WHOLE, "min_lr": 0.1}, TypeError, "got 'min_lr': it belongs in lr_scheduler_kwargs"),
        ({**WHOLE, "num_cycles": 2}, TypeError, "got 'num_cycles': it belongs in lr_scheduler_kwargs"),
        ({**WHOLE, "cosine_min_lr_ratio": 0.1}, TypeError, "got 'cosine_min_lr_ratio'"),
        ({**WHOLE, "end_lr": 0.1}, TypeError, "got 'end_lr'"),
        ({**WHOLE, "learning_rate_end": 0.1}, TypeError, "got 'learning_rate_end'"),
        ({**WHOLE, "lr_scheduler": "cosine"}, TypeError, "got 'lr_scheduler': write lr_scheduler_type"),
        ({**WHOLE, "warmup_stepz": 2}, TypeError, "got 'warmup_stepz': 'warmup_steps' is read"),
        ({**WHOLE, "scheduler": {"type": "WarmupLR"}}, TypeError, "got 'scheduler': that of DeepSpeed"),
        ({**WHOLE, "deepspeed": {"scheduler": {"type": "WarmupLR"}}}, TypeError, "got 'deepspeed.scheduler': that of"),
        ({**WHOLE, "lr_scheduler_kwargs": "{"}, TypeError, "must be a dictionary, its JSON, or None, got '{'"),
        ({**WHOLE, "lr_scheduler_kwargs": [1]}, TypeError, "must be a dictionary, its JSON, or None"),
        ({**WHOLE, "lr_scheduler_type": "Cosine"}, ValueError, r"lr_scheduler_type=...\) must be one of 'constant'"),
        ({**WHOLE, "lr_scheduler_type": None}, TypeError, r"lr_scheduler_type=...\) must be one of 'constant'"),
        ({**WHOLE, "warmup_steps": "auto"}, TypeError, r"warmup_steps=...\) must be .*, got 'auto'"),
    ],
)
def test_a_configuration_that_is_not_read_is_refused_by_name(config: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        from_config(config)


def test_what_is_told_to_deepspeed_and_is_no_scheduler_is_left_alone():
    engine = {"zero_optimization": {"stage": 2}, "optimizer": {"type": "AdamW", "params": {"lr": "auto"}}}
    assert from_config({**WHOLE, "deepspeed": engine}) == from_config({**WHOLE, "deepspeed": "ds.json"})


REJECTED = [
    ("get_polynomial_decay_schedule_with_warmup", {"num_warmup_steps": 5, "num_training_steps": 50, "lr_end": 0.1}),
    ("get_cosine_with_min_lr_schedule_with_warmup", {"num_warmup_steps": 5, "num_training_steps": 50}),
    (
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate",
        {"num_warmup_steps": 5, "num_training_steps": 50, "min_lr": 0.01, "min_lr_rate": 0.1},
    ),
    ("get_wsd_schedule", {"num_warmup_steps": 5, "num_decay_steps": 50}),
    ("get_wsd_schedule", {"num_warmup_steps": 5, "num_decay_steps": 5, "num_stable_steps": 5, "decay_type": "square"}),
    ("get_wsd_schedule", {"num_warmup_steps": 5, "num_decay_steps": 5, "num_stable_steps": 5, "warmup_type": "square"}),
]


@pytest.mark.parametrize(("name", "arguments"), REJECTED)
def test_what_transformers_rejects_is_rejected(name: str, arguments: dict[str, Any]):
    with pytest.raises(ValueError, match=rf"^{name}\(\w+=...\) must be "):
        getattr(compat.transformers, name)(0.1, **arguments)
    with pytest.raises(ValueError, match=r"."):
        getattr(optimization, name)(sgd(0.1), **arguments)


def test_a_polynomial_without_steps_is_refused_for_the_library_divides_by_zero():
    with pytest.raises(ValueError, match=r"num_training_steps=...\) must be another number than num_warmup_steps"):
        compat.transformers.get_polynomial_decay_schedule_with_warmup(0.1, 5, 5)


# Live schedulers as schedules.

from_torch = pytest.importorskip("lrsched_torch._imports.torch").from_torch


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), lr=rates, taken=st.integers(0, 12))
def test_a_live_scheduler_is_the_schedule_of_its_arguments(name: str, data: st.DataObject, lr: float, taken: int):
    arguments = data.draw(ARGUMENTS[name])
    optimizer = sgd(lr)
    scheduler = getattr(optimization, name)(optimizer, **arguments)
    rates_of(optimizer, scheduler, taken)
    assert from_torch(scheduler) == [getattr(compat.transformers, name)(lr, **arguments)]


def test_the_end_of_a_polynomial_is_relative_to_the_default_rate():
    groups = [{"params": [torch.zeros(1)], "lr": 0.5}, {"params": [torch.zeros(1)]}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = optimization.get_polynomial_decay_schedule_with_warmup(optimizer, 5, 20, lr_end=0.1)
    first, second = from_torch(scheduler)
    assert (first(20), second(20)) == (0.05, 0.1)
    agree(first, rates_of(optimizer, scheduler))


def test_greedy_cannot_be_imported():
    with pytest.raises(ValueError, match=r"use lrsched\.feedback"):
        from_torch(optimization.get_scheduler("greedy", sgd(0.1)))


def test_rounding_beside_a_first_rate_of_zero_is_no_other_rate():
    # The library follows the cosine to 0 where ours ends within 1e-17.
    optimizer, arguments = (
        sgd(0.1),
        {"num_warmup_steps": 1, "num_training_steps": 0, "num_cycles": 0.010000000000000002},
    )
    scheduler = optimization.get_cosine_schedule_with_warmup(optimizer, **arguments)
    (schedule,) = from_torch(scheduler)
    assert schedule == compat.transformers.get_cosine_schedule_with_warmup(0.1, **arguments)
    assert schedule(0) == 0.0 < schedule(51) < 1e-16
