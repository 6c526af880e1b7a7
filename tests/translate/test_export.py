"""Schedules as configurations of trainers, and back: what is written down gives the curve it was written from."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lrsched as ls
from lrsched import Schedule, compat, equality, to_deepspeed, to_hf_kwargs
from tests.strategies import schedules

rates = st.sampled_from([0.1, 1.0, 3e-4, 7e-5])
warmups = st.integers(0, 15)
lengths = st.integers(1, 50)
cycles = st.sampled_from([0.5, 1.0, 1.5, 0.25]) | st.floats(0.05, 3.0)
floors = st.sampled_from([{"min_lr": 1e-5}, {"min_lr_rate": 0.1}, {"min_lr_rate": 0.0}])
ramps = st.sampled_from(["linear", "cosine", "1-sqrt"])


def floored(extra: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {"num_cycles": cycles, **extra}
    return st.tuples(st.fixed_dictionaries({}, optional=optional), floors).map(lambda pair: {**pair[0], **pair[1]})


# The arguments of each type of the Trainer.
TYPES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "constant": st.just({}),
    "constant_with_warmup": st.just({}),
    "linear": st.just({}),
    "cosine": st.fixed_dictionaries({}, optional={"num_cycles": cycles}),
    "cosine_with_restarts": st.fixed_dictionaries({}, optional={"num_cycles": st.integers(1, 12)}),
    "polynomial": st.fixed_dictionaries(
        {}, optional={"lr_end": st.sampled_from([0.0, 1e-6]), "power": st.sampled_from([1.0, 2.0, 0.7])}
    ),
    "inverse_sqrt": st.fixed_dictionaries({}, optional={"timescale": st.integers(1, 100)}),
    "cosine_with_min_lr": floored({}),
    "cosine_warmup_with_min_lr": floored({"warmup_lr_rate": st.floats(0.0, 1.0)}),
    "warmup_stable_decay": st.fixed_dictionaries(
        {"num_decay_steps": warmups},
        optional={
            "warmup_type": ramps,
            "decay_type": ramps,
            "min_lr_ratio": st.sampled_from([0.0, 0.1]),
            "num_cycles": cycles,
        },
    ),
}


def hf(name: str, lr: float, warmup: int, steps: int, arguments: dict[str, Any]) -> Schedule:
    return compat.transformers.get_scheduler(name, lr, warmup, steps, arguments)


def close(a: Any, b: Any, steps: Any, rtol: float = 2e-12) -> None:
    """Compare to a part of the largest rate."""
    largest = float(np.max(np.abs(np.asarray(a(np.arange(steps) if isinstance(steps, int) else np.asarray(steps))))))
    assert equality(a, b, steps, rtol=0.0, atol=rtol * largest).equal


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data(), lr=rates, warmup=warmups, steps=lengths)
def test_what_the_trainer_can_follow_comes_back(name: str, data: Any, lr: float, warmup: int, steps: int):
    assume(name != "polynomial" or warmup != steps)  # the library divides by zero, so that there is no schedule
    schedule = hf(name, lr, warmup, steps, data.draw(TYPES[name]))
    found = to_hf_kwargs(schedule, steps)
    close(schedule, compat.transformers.from_config(found), steps)
    assert compat.transformers.from_config(json.loads(json.dumps(found))) == compat.transformers.from_config(found)


@given(schedule=schedules(), steps=st.integers(1, 300))
@settings(max_examples=30)
def test_any_schedule_is_followed_exactly_or_refused(schedule: Schedule, steps: int):
    try:
        found = to_hf_kwargs(schedule, steps)
    except ValueError:
        return
    close(schedule, compat.transformers.from_config(found), steps)


RECIPES: dict[str, tuple[Schedule, int, str]] = {
    "cosine": (ls.warmup_cosine(0.1, 1000, 50), 1000, "cosine"),
    "a cosine that stops early": (ls.warmup_cosine(0.1, 1000, 50), 700, "cosine"),
    "a cosine that ends early": (ls.warmup_cosine(0.1, 1000, 50), 1200, "warmup_stable_decay"),
    "a line that stops early": (ls.warmup_linear(0.1, 1000, 50), 700, "warmup_stable_decay"),
    "line": (ls.warmup_linear(0.1, 1000, 50), 1000, "linear"),
    "line to a floor": (ls.Warmup(50) >> ls.Linear(0.1, 0.01, 950), 1000, "polynomial"),
    "floor": (ls.warmup_cosine(0.1, 1000, 50, end=0.01), 1000, "cosine_with_min_lr"),
    "power": (ls.Warmup(50) >> ls.Polynomial(0.1, 0.01, 950, 2.0), 1000, "polynomial"),
    "inverse root": (ls.inverse_sqrt(0.1, 50), 1000, "inverse_sqrt"),
    "noam": (ls.noam(512, 400), 1000, "inverse_sqrt"),
    "restarts": (ls.Warmup(10) >> ls.Repeat(ls.Cosine(0.1, 0.0, 30), times=3), 100, "cosine_with_restarts"),
    "stable": (ls.wsd(0.1, 1000, 50, 200), 1000, "warmup_stable_decay"),
    "constant": (ls.Constant(0.1), 10, "constant"),
    "zero": (ls.Constant(0.0), 10, "constant"),
    "one update": (ls.Exponential(0.1, 0.5), 1, "constant"),
    "only the warm-up": (ls.Warmup(50) >> ls.Exponential(0.1, 0.5), 40, "constant_with_warmup"),
    "optax": (compat.optax.warmup_cosine_decay_schedule(0.0, 0.1, 50, 1000, 0.01), 1000, "cosine_with_min_lr"),
    "keras": (compat.keras.CosineDecay(0.0, 950, warmup_target=0.1, warmup_steps=50), 1000, "cosine"),
    "torch": (
        compat.torch.SequentialLR([compat.torch.LinearLR(0.1), compat.torch.CosineAnnealingLR(0.1, 95)], [5]),
        100,
        "cosine_warmup_with_min_lr",
    ),
    "from a sum": (ls.Warmup(10) >> (ls.Cosine(0.09, 0.0, 90) + 0.01), 100, "cosine_with_min_lr"),
    "from a table": (ls.Table(tuple(0.1 * (1 - t / 20) for t in range(21))), 20, "linear"),
    "from a product": (2.0 * ls.warmup_cosine(0.1, 100, 10), 100, "cosine"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_curve_is_recognised_however_it_is_written(name: str):
    schedule, steps, expected = RECIPES[name]
    found = to_hf_kwargs(schedule, steps)
    assert found["lr_scheduler_type"] == expected
    close(schedule, compat.transformers.from_config(found), steps)


def test_the_plain_case_has_plain_arguments():
    assert to_hf_kwargs(ls.warmup_cosine(3e-4, 10_000, 500), 10_000) == {
        "learning_rate": 3e-4,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 500,
        "lr_scheduler_kwargs": {},
        "max_steps": 10_000,
    }


def test_a_long_training_is_compared_to_its_end():
    # Alike for a million steps, and then not.
    cosine = ls.warmup_cosine(0.1, 2_000_000, 100)
    odd = ls.Hold(cosine, 1_500_000) >> ls.Constant(0.1, 1) >> ls.Shift(cosine, 1_500_001)
    assert to_hf_kwargs(cosine, 2_000_000)["lr_scheduler_type"] == "cosine"
    with pytest.raises(ValueError, match=r"has .* at step 1500000 instead of 0\.1"):
        to_hf_kwargs(odd, 2_000_000)


@pytest.mark.parametrize(
    "schedule", [ls.Exponential(0.1, 0.9), ls.one_cycle(0.1, 100, 30), ls.step_decay(0.1, 0.5, every=7)]
)
def test_a_refusal_names_the_nearest_and_a_way_out(schedule: Schedule):
    with pytest.raises(ValueError, match=r"got .*: the nearest, '\w+', has .* at step \d+ instead of .*ScheduleLR"):
        to_hf_kwargs(schedule, 100)


def test_what_goes_below_zero_is_refused():
    with pytest.raises(ValueError, match="must be a curve that an lr_scheduler_type"):
        to_hf_kwargs(ls.Extend(ls.Linear(0.1, 0.0, 50)), 100)


@pytest.mark.parametrize(("schedule", "steps"), [(ls.Constant(0.1), 0), (ls.Warmup(3), 10)])
def test_bad_arguments_of_the_trainer_are_refused(schedule: Schedule, steps: int):
    with pytest.raises(ValueError, match=r"to_hf_kwargs\((schedule|steps)=...\) must be "):
        to_hf_kwargs(schedule, steps)


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data(), lr=rates, warmup=warmups, steps=lengths)
@settings(max_examples=25)
def test_the_live_scheduler_of_the_arguments_gives_the_rates(name: str, data: Any, lr: float, warmup: int, steps: int):
    assume(name != "polynomial" or warmup != steps)  # the library divides by zero, so that there is no schedule
    torch = pytest.importorskip("torch")
    optimization = pytest.importorskip("transformers.optimization")
    schedule = hf(name, lr, warmup, steps, data.draw(TYPES[name]))
    found = to_hf_kwargs(schedule, steps)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=found["learning_rate"])
    scheduler = optimization.get_scheduler(
        found["lr_scheduler_type"],
        optimizer,
        found["warmup_steps"],
        found["max_steps"],
        scheduler_specific_kwargs=found["lr_scheduler_kwargs"],
    )
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(schedule(np.arange(steps)), seen, rtol=0.0, atol=1e-11 * max(lr, *seen))


def test_the_trainer_takes_the_arguments(tmp_path: Any):
    pytest.importorskip("accelerate")
    if importlib.util.find_spec("deepspeed"):  # accelerate imports it, and it is here without what it needs
        pytest.importorskip("deepspeed", exc_type=ImportError)
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    schedule = ls.Warmup(3) >> ls.Cosine(0.1, 0.01, 9)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to=[], logging_steps=1, save_strategy="no",
        disable_tqdm=True, **to_hf_kwargs(schedule, 12),
    )  # fmt: skip

    class Model(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch may be absent
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any, labels: Any) -> dict[str, Any]:
            return {"loss": ((self.layer(x) - labels) ** 2).mean()}

    data = [{"x": torch.ones(1), "labels": torch.ones(1)}] * 100
    trainer = transformers.Trainer(model=Model(), args=arguments, train_dataset=data)
    trainer.train()
    seen = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    np.testing.assert_allclose(seen, schedule(np.arange(12)), rtol=1e-12, atol=1e-15)
    assert compat.transformers.from_config(arguments) == compat.transformers.from_config(to_hf_kwargs(schedule, 12))


# The configuration of the Trainer.


class Arguments:
    """An object as TrainingArguments is."""

    def to_dict(self) -> dict[str, Any]:
        return {"learning_rate": 0.1, "lr_scheduler_type": "cosine", "warmup_steps": 0.1, "max_steps": 95, "seed": 3}


def test_a_configuration_is_a_dictionary_or_an_object():
    # 0.1 * 95 = 9.5 steps are rounded up.
    expected = hf("cosine", 0.1, 10, 95, {})
    assert compat.transformers.from_config(Arguments()) == expected
    assert compat.transformers.from_config(Arguments().to_dict()) == expected


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"warmup_steps": 0}, hf("linear", 5e-5, 0, 100, {})),
        ({"learning_rate": "1e-3", "warmup_steps": "10"}, hf("linear", 1e-3, 10, 100, {})),
        ({"warmup_ratio": 0.1}, hf("linear", 5e-5, 10, 100, {})),
        ({"warmup_ratio": 0.1, "warmup_steps": 7}, hf("linear", 5e-5, 7, 100, {})),
        ({"warmup_steps": 7.9}, hf("linear", 5e-5, 7, 100, {})),
        ({"max_steps": 50, "output_dir": "x"}, hf("linear", 5e-5, 0, 100, {})),
        ({"lr_scheduler_kwargs": '{"num_cycles": 3}', "lr_scheduler_type": "cosine_with_restarts"},
         hf("cosine_with_restarts", 5e-5, 0, 100, {"num_cycles": 3})),
        ({"lr_scheduler_kwargs": None, "lr_scheduler_type": "constant"}, ls.Constant(5e-5)),
    ],
)  # fmt: skip
def test_a_configuration_is_read_as_the_trainer_reads_it(given_: dict[str, Any], expected: Schedule):
    assert compat.transformers.from_config(given_, num_training_steps=100) == expected


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"max_steps": -1}, ValueError, r"num_training_steps=...\) must be given for 'linear'"),
        ({"lr_scheduler_type": "inverse_sqrt", "warmup_steps": 0.1}, ValueError, "must be given for 'inverse_sqrt'"),
        ({"learning_rate": "1e-3x", "max_steps": 9}, TypeError, r"learning_rate=...\) must be .*, got '1e-3x'"),
        ({}, ValueError, r"must hold the names of TrainingArguments, got nothing"),
        ({"learning_rate": -1.0, "max_steps": 9}, ValueError, r"TrainingArguments\(learning_rate=...\) must be "),
        ({"warmup_ratio": 1.5, "max_steps": 9}, ValueError, r"warmup_ratio=...\) must be "),
        ({"lr_scheduler_type": "square", "max_steps": 9}, ValueError, "must be one of 'constant'"),
        ({"lr_scheduler_type": "greedy", "max_steps": 9}, ValueError, "use lrsched.feedback"),
        (
            {"lr_scheduler_kwargs": {"cycles": 2}, "max_steps": 9},
            TypeError,
            r"lr_scheduler_kwargs=...\) must hold .*, got 'cycles'",
        ),
        ({"lr_scheduler_kwargs": 3, "max_steps": 9}, TypeError, r"lr_scheduler_kwargs=...\) must be a dictionary"),
        ({"lr_scheduler": "linear", "max_steps": 9}, TypeError, "names of TrainingArguments, got 'lr_scheduler'"),
        ({"num_warmup_steps": 5, "max_steps": 9}, TypeError, "names of TrainingArguments, got 'num_warmup_steps'"),
        (None, TypeError, "must be a dictionary or have a method to_dict, got None"),
    ],
)
def test_a_wrong_configuration_of_the_trainer_is_refused(config: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        compat.transformers.from_config(config)


# DeepSpeed.

low = st.sampled_from([0.0, 0.1, 3e-4])
kinds = st.sampled_from(["log", "linear"])
sizes = st.integers(1, 30)
DEEPSPEED: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "LRRangeTest": st.fixed_dictionaries(
        {
            "lr_range_test_min_lr": low,
            "lr_range_test_step_size": sizes,
            "lr_range_test_step_rate": st.sampled_from([0.5, 1.0, 3.0]),
            "lr_range_test_staircase": st.booleans(),
        }
    ),
    "OneCycle": st.fixed_dictionaries(
        {"cycle_min_lr": low, "cycle_max_lr": low, "cycle_first_step_size": sizes},
        optional={
            "cycle_second_step_size": st.integers(0, 30),
            "cycle_first_stair_count": st.integers(-1, 12),
            "cycle_second_stair_count": st.integers(-1, 12),
            "decay_lr_rate": st.just(0.5),
            "decay_step_size": st.sampled_from([0, 1, 7]),
        },
    ),
    "WarmupLR": st.fixed_dictionaries(
        {"warmup_min_lr": low, "warmup_max_lr": low, "warmup_num_steps": sizes, "warmup_type": kinds}
    ),
    "WarmupDecayLR": st.fixed_dictionaries(
        {"total_num_steps": st.integers(1, 60), "warmup_num_steps": sizes, "warmup_type": kinds},
        optional={"warmup_min_lr": low, "warmup_max_lr": low},
    ),
    "WarmupCosineLR": st.fixed_dictionaries(
        {"total_num_steps": st.integers(1, 60), "warmup_num_steps": sizes, "warmup_type": kinds},
        optional={"warmup_min_ratio": st.just(0.01), "cos_min_ratio": st.sampled_from([0.0, 0.1])},
    ),
}
BEYOND = [*range(150), 1000, 10**5, 2**31 - 1]


@pytest.mark.parametrize("name", DEEPSPEED)
@given(data=st.data())
@settings(max_examples=25)
def test_what_deepspeed_can_follow_comes_back(name: str, data: Any):
    schedule = compat.deepspeed.from_config({"type": name, "params": data.draw(DEEPSPEED[name])}, lr=0.2)
    found = to_deepspeed(schedule, lr=0.2)
    assert set(found) == {"type", "params"}
    close(schedule, compat.deepspeed.from_config(json.loads(json.dumps(found)), lr=0.2), BEYOND)


@pytest.mark.parametrize("second", [12, 1, 0])
@pytest.mark.parametrize("down", [20, 0, 3])
def test_a_decay_may_fall_below_the_valley_of_a_cycle_of_stairs(second: int, down: int):
    # The 12 stairs from 0.1 down to 3e-4 and up again turn at step 20, but 0.1 / (1 + t / 2) is lower in the end.
    params = {"cycle_min_lr": 0.1, "cycle_max_lr": 3e-4, "cycle_first_step_size": 20, "cycle_second_step_size": down}
    stairs = {"cycle_first_stair_count": 12, "cycle_second_stair_count": second}
    schedule = compat.deepspeed.OneCycle(**params, **stairs, decay_lr_rate=0.5, decay_step_size=1)
    found = to_deepspeed(schedule)
    assert found["type"] == "OneCycle"
    close(schedule, compat.deepspeed.from_config(found), BEYOND)


@given(schedule=schedules())
@settings(max_examples=15)
def test_any_schedule_is_followed_by_deepspeed_exactly_or_refused(schedule: Schedule):
    try:
        found = to_deepspeed(schedule)
    except ValueError:
        return
    close(schedule, compat.deepspeed.from_config(found), BEYOND)


def test_a_warm_up_and_a_line_are_one_cycle():
    assert to_deepspeed(ls.warmup_linear(0.1, 100, 10)) == {
        "type": "OneCycle",
        "params": {
            "cycle_min_lr": 0.0,
            "cycle_max_lr": 0.1,
            "cycle_first_step_size": 10,
            "cycle_second_step_size": 90,
            "cycle_momentum": False,
        },
    }


@pytest.mark.parametrize("name", ["OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"])
def test_what_is_written_otherwise_is_recognised(name: str):
    params: dict[str, dict[str, Any]] = {
        "OneCycle": {"cycle_min_lr": 0.01, "cycle_max_lr": 0.1, "cycle_first_step_size": 20},
        "WarmupLR": {"warmup_max_lr": 0.1, "warmup_num_steps": 20},
        "WarmupDecayLR": {"total_num_steps": 80, "warmup_max_lr": 0.1, "warmup_num_steps": 20},
        "WarmupCosineLR": {"total_num_steps": 80, "warmup_num_steps": 20},
    }
    schedule = compat.deepspeed.from_config({"type": name, "params": params[name]}, lr=0.1)
    listed = ls.Table(tuple(schedule(t) for t in range(100)))
    found = to_deepspeed(listed, lr=0.1)
    assert found["type"] == name
    close(schedule, compat.deepspeed.from_config(found, lr=0.1), 300)


def test_a_cosine_of_deepspeed_needs_the_rate_of_the_optimizer():
    schedule = compat.deepspeed.WarmupCosineLR(0.1, 80, warmup_num_steps=20)
    with pytest.raises(ValueError, match=r"WarmupCosineLR was left out, for it needs to_deepspeed\(lr=...\)"):
        to_deepspeed(schedule)
    assert to_deepspeed(schedule, lr=0.1)["type"] == "WarmupCosineLR"


@pytest.mark.parametrize("name", ["WarmupLR", "WarmupDecayLR", "OneCycle", "LRRangeTest", "WarmupCosineLR"])
def test_the_live_scheduler_of_deepspeed_gives_the_rates(name: str):
    oracles = pytest.importorskip("oracles")
    quiet = oracles.stub("deepspeed.utils", logger=type("Quiet", (), {"warning": staticmethod(lambda *a: None)}))
    live = oracles.load("deepspeed", "runtime/lr_schedules.py", [quiet])
    curves = {
        "WarmupLR": compat.deepspeed.WarmupLR(0.0, 0.1, 20),
        "WarmupDecayLR": compat.deepspeed.WarmupDecayLR(80, 0.0, 0.1, 20, "linear"),
        "OneCycle": ls.warmup_linear(0.1, 80, 20),
        "LRRangeTest": compat.deepspeed.LRRangeTest(0.001, 20),
        "WarmupCosineLR": compat.deepspeed.WarmupCosineLR(0.3, 80, warmup_num_steps=20),
    }
    found = to_deepspeed(curves[name], lr=0.3)
    assert found["type"] == name
    optimizer = oracles.torch.optim.Adam([oracles.torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = getattr(live, name)(optimizer, **found["params"])
    seen = oracles.rates(optimizer, lambda t: scheduler.step(), 120)
    np.testing.assert_allclose(curves[name](np.arange(120)), seen, rtol=1e-12, atol=1e-15)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("schedule", [ls.warmup_cosine(0.1, 100, 10), ls.Exponential(0.1, 0.9)])
def test_deepspeed_refuses_with_a_way_out(schedule: Schedule):
    with pytest.raises(ValueError, match=r"the nearest, \w+, has .* at step \d+ .*lr_scheduler=...\) a lrsched_torch"):
        to_deepspeed(schedule)


def test_a_whole_configuration_of_deepspeed_holds_the_rate():
    optimizer = {"type": "AdamW", "params": {"lr": 0.1}}
    section = {"type": "WarmupCosineLR", "params": {"total_num_steps": 80}}
    whole = {"optimizer": optimizer, "scheduler": section, "train_batch_size": 8}
    assert compat.deepspeed.from_config(whole) == compat.deepspeed.WarmupCosineLR(0.1, 80)
    assert compat.deepspeed.from_config(whole, lr=0.2) == compat.deepspeed.WarmupCosineLR(0.2, 80)


def test_deepspeed_takes_the_schedulers_of_torch():
    optimizer = {"type": "AdamW", "params": {"lr": 0.1}}
    section = {"type": "CosineAnnealingLR", "params": {"T_max": 10}}
    assert compat.deepspeed.from_config({"optimizer": optimizer, "scheduler": section}) == (
        compat.torch.CosineAnnealingLR(0.1, 10)
    )
    cycle = {"type": "OneCycleLR", "params": {"max_lr": 0.1, "total_steps": 10}}
    assert compat.deepspeed.from_config(cycle) == compat.torch.OneCycleLR(0.1, 10)


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"type": "WarmupDecayLR", "params": {"total_num_steps": "auto"}}, TypeError, "'auto': the Hugging Face"),
        ({"scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": "auto"}}}, TypeError, "replaces 'auto'"),
        ({"optimizer": {"params": {"lr": "auto"}}, "scheduler": {"type": "StepLR", "params": {"step_size": 3}}},
         TypeError, "'auto': the Hugging Face Trainer"),
        ({"type": "WarmupCosineLR", "params": {"total_num_steps": 9}}, ValueError, r"\(lr=...\) must be given"),
        ({"optimizer": {"type": "Adam"}}, ValueError, "must hold a section 'scheduler', .*, got only 'optimizer'"),
        ({"scheduler": "WarmupLR"}, TypeError, r"from_config\(config\['scheduler'\]\) must be a dictionary"),
        ("WarmupLR", TypeError, r"from_config\(config\) must be a dictionary"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_of_deepspeed_is_refused(config: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        compat.deepspeed.from_config(config)


# torchtitan.

TOML = """
[model]
name = "llama3"
[optimizer]
name = "AdamW"
lr = 3e-4
[lr_scheduler]
warmup_steps = 20
decay_ratio = 0.25
decay_type = "sqrt"
min_lr_factor = 0.1
[training]
steps = 100
local_batch_size = 8
"""


def test_the_tables_of_torchtitan_are_read():
    import tomllib

    expected = compat.torchtitan.LRSchedulersContainer(3e-4, 100, 20, None, 0.25, "sqrt", 0.1)
    assert compat.torchtitan.from_config(tomllib.loads(TOML)) == expected


def test_torchtitan_has_defaults_for_all_but_the_rate():
    assert compat.torchtitan.from_config({"optimizer": {"lr": 8e-4}}) == (
        compat.torchtitan.LRSchedulersContainer(8e-4, 10_000)
    )


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"warmup_steps": 3}, TypeError, "the tables lr_scheduler, .*, got 'warmup_steps': it belongs in lr_scheduler"),
        ({"model": {}}, ValueError, "must hold the tables lr_scheduler, optimizer and training, got only 'model'"),
        ([], TypeError, r"from_config\(config\) must be a dictionary, got \[\]"),
        ({"lr_scheduler": 3}, TypeError, r"config\['lr_scheduler'\]\) must be a dictionary, got 3"),
        ({"lr_scheduler": {"lr_min": 0.1}}, TypeError, "must hold only warmup_steps, .*min_lr_factor, got 'lr_min'"),
        ({"optimizer": {"lr": "auto"}}, TypeError, r"lr=...\) must be a finite number"),
        ({"training": {"steps": 9}}, ValueError, r"config\['optimizer'\]\) must be a table with param_groups"),
        ({"optimizer": {"lr": 1}, "training": {"steps": 0}}, ValueError, r"training_steps=...\) must be an int >= 1"),
    ],
)
def test_a_wrong_configuration_of_torchtitan_is_refused(config: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        compat.torchtitan.from_config(config)


FALLING = [
    ls.Extend(ls.Linear(0.1, 0.0, 1000)),
    ls.Extend(ls.Linear(0.1, 0.05, 10_000)),
    ls.Constant(0.1, 50) >> ls.Extend(ls.Linear(0.1, 0.0, 100)),
    ls.Shift(ls.Extend(ls.Linear(1.0, 0.5, 10)), 500),
]


@pytest.mark.parametrize("schedule", FALLING, ids=repr)
def test_what_falls_below_zero_late_is_refused_in_words_about_it(schedule: Schedule):
    with pytest.raises(
        ValueError, match=r"^to_deepspeed\(schedule=...\) must be a curve that a scheduler of DeepSpeed"
    ):
        to_deepspeed(schedule)
