"""`to_source` prints code that runs without lrsched and gives the same curve."""

import ast
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import BOUNDED, ENDLESS, RAMPS

import lrsched as ls
from lrsched import Schedule, Warmup, compat
from lrsched._translate.formula import _FALLS, _RULES
from lrsched._translate.source import to_source
from tests.strategies import boundary_steps, bounded_schedules, endless_schedules, schedules

TARGETS = ["torch", "keras", "optax", "transformers"]
NAMED: dict[str, Schedule] = {
    "constant": ls.Constant(0.1),
    "line": ls.Linear(0.1, 0.01, 20),
    "line to zero": ls.Linear(0.1, 0.0, 20),
    "power": ls.Polynomial(0.1, 0.0, 20, power=2.0),
    "cosine": ls.Cosine(0.1, 0.01, 20),
    "swing": compat.torch.CosineAnnealingLR(0.1, 20, eta_min=0.01),
    "staircase": ls.step_decay(0.1, 0.5, every=7),
    "milestones": ls.multi_step(0.1, 0.5, [5, 12, 30]),
    "levels": ls.piecewise_constant([5, 12], [0.1, 0.2, 0.05]),
    "exponential": ls.Exponential(0.1, 0.9),
    "slow exponential": ls.Exponential(0.1, 0.5, steps=10),
    "inverse time": ls.InverseTime(0.1, 0.5, steps=10),
    "accumulated batches": ls.Batches(ls.Warmup(10) >> ls.Cosine(0.1, 0.01, 80), 3),
    "accumulated staircase": ls.Batches(ls.step_decay(0.1, 0.5, every=7), 3),
    "inverse time staircase": ls.Epochs(ls.InverseTime(0.1, 0.5), 10),
    "restarts": ls.Repeat(ls.Cosine(0.1, 0.01, 10)),
    "longer restarts": ls.sgdr(0.1, 5, end=0.01),
    "lower restarts": ls.Repeat(ls.Cosine(0.1, 0.0, 10), scale=0.5),
    "three restarts": ls.Repeat(ls.Cosine(0.1, 0.0, 10), times=3),
    "wave": ls.Triangular(0.01, 0.1, 7, 5),
    "bounded exponential": ls.Maximum((ls.Exponential(0.1, 0.9), ls.Constant(0.01))),
    "growing exponential": ls.Minimum((ls.Exponential(0.01, 1.1), ls.Constant(0.1))),
    "warmup, cosine": ls.warmup_cosine(0.1, 40, 10),
    "warmup, cosine to a floor": ls.warmup_cosine(0.1, 40, 10, end=0.01),
    "warmup, line": ls.warmup_linear(0.1, 40, 10),
    "warmup, constant": ls.Warmup(10) >> ls.Constant(0.1),
    "warmup, exponential": ls.Warmup(10) >> ls.Exponential(0.1, 0.9),
    "warmup, swing": compat.transformers.get_cosine_schedule_with_warmup(0.1, 10, 40),
    "warmup, swing to a floor": compat.transformers.get_cosine_with_min_lr_schedule_with_warmup(
        0.1, 10, 40, min_lr=0.01
    ),
    "warmup, power": compat.transformers.get_polynomial_decay_schedule_with_warmup(0.1, 10, 40, lr_end=0.01, power=2.0),
    "warmup, inverse root": compat.transformers.get_inverse_sqrt_schedule(0.1, 10),
    "stable": ls.wsd(0.1, 50, 10, 15),
    "stable, root": ls.wsd(0.1, 50, 10, 15, shape="1-sqrt"),
    "stable, cosine": ls.wsd(0.1, 50, 10, 15, shape="cosine"),
    "stable from a floor": ls.Warmup(10, start=0.01) >> ls.Constant(0.1, 20) >> ls.Cooldown(15, end=0.01),
    "no warmup, stable": ls.Constant(0.1, 20) >> ls.Cooldown(15, end=0.01),
    "sequence": compat.torch.SequentialLR(
        [compat.torch.LinearLR(0.1), compat.torch.CosineAnnealingLR(0.1, 30), compat.torch.StepLR(0.1, 5)], [5, 25]
    ),
    "one cycle": compat.torch.OneCycleLR(0.1, 45),
}
# The shortest way to say it: the name that the code must call.
NATIVE = {
    "torch": {
        "constant": "ConstantLR(",
        "line": "LinearLR(",
        "line to zero": "LinearLR(",
        "power": "PolynomialLR(",
        "swing": "CosineAnnealingLR(",
        "staircase": "StepLR(",
        "milestones": "MultiStepLR(",
        "exponential": "ExponentialLR(",
        "slow exponential": "ExponentialLR(",
        "restarts": "CosineAnnealingWarmRestarts(",
        "longer restarts": "CosineAnnealingWarmRestarts(",
        "wave": "CyclicLR(",
        "sequence": "SequentialLR(",
        "levels": "SequentialLR(",
        "no warmup, stable": "SequentialLR(",
    },
    "keras": {
        "line": "PolynomialDecay(",
        "power": "PolynomialDecay(",
        "cosine": "CosineDecay(",
        "staircase": "ExponentialDecay(",
        "levels": "PiecewiseConstantDecay(",
        "slow exponential": "ExponentialDecay(",
        "inverse time": "InverseTimeDecay(",
        "inverse time staircase": "InverseTimeDecay(",
        "restarts": "CosineDecayRestarts(",
        "lower restarts": "CosineDecayRestarts(",
        "warmup, cosine to a floor": "CosineDecay(",
    },
    "optax": {
        "constant": "optax.constant_schedule(",
        "line": "optax.linear_schedule(",
        "power": "optax.polynomial_schedule(",
        "cosine": "optax.cosine_decay_schedule(",
        "staircase": "optax.exponential_decay(",
        "levels": "optax.piecewise_constant_schedule(",
        "slow exponential": "optax.exponential_decay(",
        "bounded exponential": "optax.exponential_decay(",
        "growing exponential": "optax.exponential_decay(",
        "warmup, cosine": "optax.warmup_cosine_decay_schedule(",
        "warmup, constant": "optax.warmup_constant_schedule(",
        "warmup, exponential": "optax.warmup_exponential_decay_schedule(",
        "stable": "optax.join_schedules(",
    },
    "transformers": {
        "constant": "get_constant_schedule(",
        "cosine": "get_wsd_schedule(",
        "warmup, cosine": "get_cosine_with_hard_restarts_schedule_with_warmup(",
        "warmup, line": "get_linear_schedule_with_warmup(",
        "warmup, constant": "get_constant_schedule_with_warmup(",
        "warmup, swing": "get_cosine_schedule_with_warmup(",
        "warmup, swing to a floor": "get_cosine_with_min_lr_schedule_with_warmup(",
        "warmup, power": "get_polynomial_decay_schedule_with_warmup(",
        "warmup, inverse root": "get_inverse_sqrt_schedule(",
        "stable": "get_wsd_schedule(",
        "stable, root": "get_wsd_schedule(",
        "stable, cosine": "get_wsd_schedule(",
        "stable from a floor": "get_wsd_schedule(",
        "no warmup, stable": "get_wsd_schedule(",
    },
}


def run(code: str) -> dict[str, Any]:
    """Execute the code as a user would, next to a model."""
    names: dict[str, Any] = {}
    if "torch" in code:
        names["model"] = pytest.importorskip("torch").nn.Linear(1, 1)
    exec(compile(code, "<source>", "exec"), names)
    return names


def torch_rates(code: str, steps: int) -> list[float]:
    """Return the rates of the first updates."""
    names = run(code)
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append(names["optimizer"].param_groups[0]["lr"])
            names["optimizer"].step()
            names["scheduler"].step()
    return seen


def jax_values(code: str, steps: Any) -> list[float]:
    """Return the values in float64."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        schedule = run(code)["schedule"]
        return [float(schedule(jax.numpy.asarray(step))) for step in steps]


@pytest.fixture
def keras64() -> Iterator[Any]:
    """Keras in float64."""
    keras = pytest.importorskip("keras")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield keras
    keras.config.set_floatx(before)


def keras_values(keras: Any, code: str, steps: Any) -> list[float]:
    schedule = run(code)["schedule"]
    return [float(schedule(keras.ops.convert_to_tensor(np.int64(step)))) for step in steps]


def agree(values: Any, schedule: Schedule, steps: Any, rtol: float = 1e-9) -> None:
    """Compare with the schedule, in units of its largest value: a plain formula may cancel from there to nothing.

    That of RAdam's rectification does so at its beginning.
    """
    rtol = max(rtol, 1e-4 if "RectifiedWarmup" in repr(schedule) else 0.0)
    expected = np.asarray(schedule(np.asarray(steps))) + np.zeros(len(steps))
    tiny = 2.0**-125 if rtol > 1e-7 else 0.0  # below it float32 has only zero
    largest = max(map(abs, schedule._reach(max(steps))))
    np.testing.assert_allclose(values, expected, rtol=rtol, atol=rtol * largest + tiny)


@pytest.mark.parametrize("target", ["torch", "transformers"])
@pytest.mark.parametrize("name", NAMED)
def test_a_scheduler_gives_the_same_rates(name: str, target: str):
    pytest.importorskip(target)
    agree(torch_rates(to_source(NAMED[name], target), 90), NAMED[name], range(90))


@pytest.mark.parametrize("name", NAMED)
def test_an_optax_schedule_gives_the_same_values(name: str):
    pytest.importorskip("optax")
    agree(jax_values(to_source(NAMED[name], "optax"), range(0, 90)), NAMED[name], range(0, 90))


@pytest.mark.parametrize("name", NAMED)
def test_a_keras_schedule_gives_the_same_values(name: str, keras64: Any):
    steps = sorted({*range(0, 90, 7), *(step for step in boundary_steps(NAMED[name]) if step < 200)})
    # The schedules of Keras compute in float32 all the same.
    agree(keras_values(keras64, to_source(NAMED[name], "keras"), steps), NAMED[name], steps, rtol=2e-6)


@pytest.mark.parametrize(("target", "name"), [(target, name) for target in NATIVE for name in NATIVE[target]])
def test_what_the_library_has_a_name_for_is_called_by_it(target: str, name: str):
    code = to_source(NAMED[name], target)
    assert NATIVE[target][name] in code
    assert "def " not in code


@given(schedule=schedules(), more=st.lists(st.integers(0, 5000), max_size=5))
def test_a_function_for_torch_gives_the_same_rates(schedule: Schedule, more: list[int]):
    pytest.importorskip("torch")
    names = run(to_source(schedule, "torch"))
    steps = sorted({*boundary_steps(schedule)[:40], *more})
    if "learning_rate" in names:
        agree([names["learning_rate"](step) for step in steps], schedule, steps)
    else:
        agree(torch_rates(to_source(schedule, "torch"), 30), schedule, range(30))


@given(schedule=schedules(), more=st.lists(st.integers(0, 5000), max_size=3))
@settings(max_examples=30)
def test_a_function_for_optax_gives_the_same_values(schedule: Schedule, more: list[int]):
    pytest.importorskip("optax")
    steps = sorted({*boundary_steps(schedule)[:12], *more})
    agree(jax_values(to_source(schedule, "optax"), steps), schedule, steps)


@given(schedule=schedules(), more=st.lists(st.integers(0, 5000), max_size=3))
@settings(max_examples=30)
def test_a_class_for_keras_gives_the_same_values(schedule: Schedule, more: list[int]):
    keras = pytest.importorskip("keras")
    keras.config.set_floatx("float64")
    try:
        steps = sorted({*boundary_steps(schedule)[:12], *more})
        code = to_source(schedule, "keras")
        agree(keras_values(keras, code, steps), schedule, steps, rtol=1e-9 if "class " in code else 2e-6)
    finally:
        keras.config.set_floatx("float32")


# A table is no operation on numbers, and the others are around schedules.
TRACED = [c for c in (*RAMPS, *ENDLESS) if c.kind is not ls.Extend] + [c for c in BOUNDED if c.kind is ls.Constant]


@pytest.mark.parametrize("target", ["torch", "optax", "keras"])
@pytest.mark.parametrize("curve", TRACED, ids=lambda curve: repr(curve.small))
def test_a_curve_without_a_rule_is_written_down_operation_by_operation(
    curve: Any, target: str, keras64: Any, monkeypatch: pytest.MonkeyPatch
):
    for table in (_RULES, _FALLS):
        monkeypatch.delitem(table, curve.kind, raising=False)
    schedule = ls.Constant(0.3, steps=4) >> 2.0 * curve.small  # of which no library has its own
    code, steps = to_source(schedule, target), range(0, 40, 3)
    values = {
        "torch": lambda: torch_rates(code, 40)[::3],
        "optax": lambda: jax_values(code, steps),
        "keras": lambda: keras_values(keras64, code, steps),
    }
    agree(values[target](), schedule, steps)


def test_a_table_without_a_rule_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(_RULES, ls.Table)
    with pytest.raises(TypeError, match="one with a table needs a rule"):
        to_source(2.0 * ls.Table((0.1, 0.2)), "torch")


@given(schedule=bounded_schedules() | endless_schedules(), target=st.sampled_from(TARGETS))
def test_the_code_is_python_that_does_not_name_this_library(schedule: Schedule, target: str):
    code = to_source(schedule, target)
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    assert "lrsched" not in code
    assert ("scheduler" if target in ("torch", "transformers") else "schedule") in names | {
        node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)
    }


@given(schedule=schedules(), target=st.sampled_from(TARGETS))
def test_everything_that_the_code_assigns_or_imports_is_used(schedule: Schedule, target: str):
    tree = ast.parse(to_source(schedule, target))
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert (stored | imported) - {"schedule", "scheduler"} <= loaded


def test_the_code_runs_where_this_library_cannot_be_imported():
    pytest.importorskip("optax")
    code = (
        "import sys\nsys.modules['lrsched'] = None\n"
        + to_source(NAMED["warmup, cosine"], "optax")
        + "print(schedule(10))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(done.stdout) == pytest.approx(0.1)


def test_a_keras_class_is_saved_by_name():
    keras = pytest.importorskip("keras")
    names = run(to_source(NAMED["wave"], "keras"))
    schedule = keras.optimizers.schedules
    back = schedule.deserialize(schedule.serialize(names["schedule"]), {"LearningRate": names["LearningRate"]})
    assert float(back(3)) == pytest.approx(NAMED["wave"](3), rel=1e-6)


# The call that a run sees, in each library that has one: of a curve that is written in several ways.
COSINE = Warmup(10) >> ls.Cosine(0.1, 0.0, 90)
MEGATRON = compat.megatron.OptimizerParamScheduler(max_lr=0.1, min_lr=0.01, lr_warmup_steps=5, lr_decay_steps=50)
ON_A_RUN = [
    (COSINE, 100, "optax", "optax.warmup_cosine_decay_schedule(init_value=0.0, peak_value=0.1, warmup_steps=10, "),
    (COSINE, 100, "keras", "keras.optimizers.schedules.CosineDecay(0.0, decay_steps=90, warmup_steps=10, "),
    (COSINE, 100, "transformers", "get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=10, "),
    (COSINE, 100, "torch", "CosineAnnealingLR(optimizer, T_max=90)"),
    (ls.Cosine(0.1, 0.01, 50), 51, "torch", "CosineAnnealingLR(optimizer, T_max=50, eta_min=0.01)"),
    (ls.Cosine(0.1, 0.01, 50), 70, "torch", "SequentialLR("),
    (ls.Cosine(0.1, 0.0, 50), 30, "transformers", "get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=0, "),
    (ls.Linear(0.1, 0.0, 50) >> ls.Constant(0.0), 70, "torch", "scheduler = LinearLR("),
    (ls.Constant(0.1, 5) >> ls.Constant(0.1, 5) >> ls.Linear(0.1, 0, 9), 10, "torch", "scheduler = ConstantLR("),
    (ls.Warmup(10) >> ls.Linear(0.1, 0.0, 40), 50, "transformers", "get_linear_schedule_with_warmup("),
    (ls.Warmup(10) >> ls.Constant(0.1), 50, "transformers", "get_constant_schedule_with_warmup("),
    (ls.Warmup(10) >> ls.Constant(0.1), 50, "keras", "keras.optimizers.schedules.PolynomialDecay("),
    (ls.wsd(0.1, 50, 10, 15), 50, "transformers", "get_wsd_schedule("),
    (compat.torch.OneCycleLR(0.1, 45), 45, "torch", "OneCycleLR(optimizer, max_lr=0.1, total_steps=45, cycle_mom"),
    (compat.torch.OneCycleLR(0.1, 60, three_phase=True), 60, "torch", "three_phase=True"),
    (ls.one_cycle(0.1, 100), 100, "optax", 'optax.piecewise_interpolate_schedule("cosine", 0.004, '),
    (ls.Table(tuple(COSINE(np.arange(100)).tolist())), 100, "optax", "optax.warmup_cosine_decay_schedule("),
    (ls.Table(tuple(COSINE(np.arange(100)).tolist())), 100, "keras", "CosineDecay(0.0, decay_steps=90, "),
    (ls.Table(tuple(COSINE(np.arange(100)).tolist())), 100, "transformers", "get_cosine_schedule_with_warmup("),
    (ls.Table(tuple(MEGATRON(np.arange(50)).tolist())), 50, "optax", "optax."),
]


@pytest.mark.parametrize(("schedule", "steps", "target", "call"), ON_A_RUN)
def test_on_a_run_the_library_has_its_name(schedule: Schedule, steps: int, target: str, call: str):
    code = to_source(schedule, target, steps)
    assert call in code
    assert "def " not in code
    if target in ("torch", "transformers"):
        pytest.importorskip(target)
        agree(torch_rates(code, steps), schedule, range(steps))


def test_a_run_of_one_update_is_written_too():
    for target in TARGETS:
        assert to_source(COSINE, target, 1)


@given(schedule=schedules(), steps=st.integers(1, 60), target=st.sampled_from(["torch", "transformers"]))
@settings(max_examples=60)
def test_any_schedule_has_the_same_rates_on_its_run(schedule: Schedule, steps: int, target: str):
    pytest.importorskip(target)
    agree(torch_rates(to_source(schedule, target, steps), steps), schedule, range(steps))


@given(schedule=schedules(), steps=st.integers(1, 60))
@settings(max_examples=20)
def test_any_schedule_has_the_same_values_in_optax_on_its_run(schedule: Schedule, steps: int):
    pytest.importorskip("optax")
    few = sorted({0, steps // 3, steps // 2, steps - 1})
    agree(jax_values(to_source(schedule, "optax", steps), few), schedule, few)


def test_what_no_language_can_say_is_a_table_on_a_run():
    schedule = compat.torch.MultiplicativeLR(0.1, lambda t: 0.9)
    with pytest.raises(TypeError, match="must get functions"):
        to_source(schedule, "torch")
    agree(torch_rates(to_source(schedule, "torch", 20), 20), schedule, range(20))


@pytest.mark.parametrize("steps", [0, -1, 1.5, "10"])
def test_a_run_is_a_number_of_updates(steps: Any):
    with pytest.raises((TypeError, ValueError), match=r"to_source\(steps=...\) must be an int >= 1"):
        to_source(COSINE, "torch", steps)


def test_an_optimizer_for_a_function_has_the_highest_rate():
    code = to_source(ls.Rex(0.3, 0.0, steps=50), "torch")
    assert "lr=0.3)" in code
    assert code.splitlines()[-1] == "scheduler = LambdaLR(optimizer, lambda step: learning_rate(step) / 0.3)"


def test_a_cosine_that_stays_at_zero_says_why_it_has_restarts():
    assert "# stays at 0 after its end, where a plain cosine would rise again" in to_source(COSINE, "transformers")


def test_a_model_with_a_class_for_keras_is_loaded_where_the_code_has_run(tmp_path: Path):
    keras = pytest.importorskip("keras")
    schedules = [NAMED["wave"], NAMED["stable"]]
    codes = [to_source(schedule, "keras") for schedule in schedules]
    for i, code in enumerate(codes):
        (tmp_path / f"rate_{i}.py").write_text(code, encoding="utf-8")
        rate = run(code)["schedule"]
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate), loss="mse")
        model.save(tmp_path / f"model_{i}.keras")
    load = (
        "import keras, rate_0, rate_1\n"
        "for i in range(2):\n"
        "    model = keras.saving.load_model(f'model_{i}.keras')\n"
        "    print(float(model.optimizer._learning_rate(12)))\n"
    )
    done = subprocess.run([sys.executable, "-c", load], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert [float(line) for line in done.stdout.split()] == pytest.approx([s(12) for s in schedules], rel=1e-6)


def test_code_for_torch_is_short():
    assert to_source(compat.torch.CosineAnnealingLR(0.1, 100), "torch").splitlines() == [
        "import torch",
        "from torch.optim.lr_scheduler import CosineAnnealingLR",
        "",
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
        "scheduler = CosineAnnealingLR(optimizer, T_max=100)",
    ]


def test_a_function_reads_like_the_formula():
    assert to_source(ls.warmup_cosine(0.1, 100, 10), "torch").splitlines()[6:12] == [
        "def learning_rate(step):",
        "    if step < 10:",
        "        x1 = step / 10",
        "        return 0.1 * x1",
        "    t2 = step - 10",
        "    x3 = min(t2, 90) / 90",
    ]


def live_schedulers() -> dict[str, Any]:
    """Functions that build a torch scheduler."""
    scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    return {
        "step": lambda o: scheduler.StepLR(o, 7, 0.5),
        "cosine": lambda o: scheduler.CosineAnnealingLR(o, 20, 0.01),
        "restarts": lambda o: scheduler.CosineAnnealingWarmRestarts(o, 10, 2),
        "one cycle": lambda o: scheduler.OneCycleLR(o, 0.2, total_steps=61),
        "cycle": lambda o: scheduler.CyclicLR(o, 0.1, 0.2, 6, mode="triangular2"),
        "sequence": lambda o: scheduler.SequentialLR(
            o, [scheduler.LinearLR(o), scheduler.CosineAnnealingLR(o, 40)], [5]
        ),
        "product": lambda o: scheduler.ChainedScheduler([scheduler.LinearLR(o), scheduler.ExponentialLR(o, 0.9)]),
    }


@pytest.mark.parametrize("name", ["step", "cosine", "restarts", "one cycle", "cycle", "sequence", "product"])
def test_a_torch_scheduler_goes_through_this_library_into_optax_and_back(name: str):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    scheduler = live_schedulers()[name](optimizer)
    (schedule,) = pytest.importorskip("lrsched_torch._imports.torch").from_torch(scheduler)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(60):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    code = to_source(schedule, "optax")
    np.testing.assert_allclose(jax_values(code, range(60)), rates, rtol=1e-9, atol=1e-12)
    # What Optax has a name for is recognised again.
    native = run(code)["schedule"]
    found = pytest.importorskip("lrsched_optax._import").from_optax(native, 60)
    assert ls.Schedule in type(found.schedule).__mro__
    np.testing.assert_allclose(found.schedule(np.arange(60)), rates, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", ["jax", "", "PyTorch"])
def test_an_unknown_target_is_refused(target: str):
    with pytest.raises(ValueError, match=r"to_source\(target=...\) must be one of 'torch'"):
        to_source(ls.Constant(0.1), target)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(TypeError, match=r"to_source\(schedule=...\) must be a schedule"):
        to_source(0.1, "torch")  # type: ignore[arg-type]  # the error is the point


def test_a_schedule_that_lacks_a_height_is_refused():
    with pytest.raises(ValueError, match=r"to_source\(schedule=...\) must be complete"):
        to_source(ls.Warmup(3), "torch")
