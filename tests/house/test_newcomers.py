"""A new curve and a new rule need a class and a line in the samples: everything else works with them as it stands."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest
from newcomers import LINES, Fading, PowerSign, Smoothstep, enter
from rule_samples import asks_for_sums

import lrsched as ls
from lrsched import feedback, rules
from lrsched._core.offers import CLASSES
from lrsched._spaces.compile import compiled

ROOT = Path(__file__).resolve().parents[2]
CURVES = [Smoothstep(0.1, 0.01, steps=30), Smoothstep(0.0, 0.1, steps=7), Fading(0.1)]
STEPS = np.array([*range(40), 2**24 + 1, 2**31 - 1])


@pytest.fixture(autouse=True)
def newcomers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the library know them in this test, and nothing that it defines after it."""
    enter(monkeypatch)
    monkeypatch.setitem(CLASSES["schedule"], "Plain", Plain)
    monkeypatch.setitem(CLASSES["feedback"], "Backoff", Backoff)
    before = {family: dict(known) for family, known in CLASSES.items()}
    yield
    for family, known in before.items():
        CLASSES[family].clear()
        CLASSES[family].update(known)


def wanted(schedule: ls.Schedule) -> list[float]:
    """Return the exact values at `STEPS`."""
    return [float(LINES[type(schedule)].formula(schedule, mp.mpf(t))) for t in STEPS.tolist()]


def in_torch(schedule: ls.Schedule) -> Any:
    return schedule(pytest.importorskip("torch").tensor(STEPS)).numpy()


def in_jax(schedule: ls.Schedule) -> Any:
    return pytest.importorskip("jax").jit(schedule)(STEPS.astype(np.int32))


def in_tensorflow(schedule: ls.Schedule) -> Any:
    return schedule(pytest.importorskip("tensorflow").constant(STEPS)).numpy()


def in_numpy(schedule: ls.Schedule) -> Any:
    return schedule(STEPS)


def in_python(schedule: ls.Schedule) -> Any:
    return [schedule(t) for t in STEPS.tolist()]


def in_compiled_code(schedule: ls.Schedule) -> Any:
    return [compiled(schedule._at)(t) for t in STEPS.tolist()]


@pytest.mark.parametrize(
    ("values", "rtol"),
    [
        (in_python, 1e-14),
        (in_compiled_code, 1e-14),
        (in_numpy, 1e-14),
        (in_torch, 1e-6),
        (in_jax, 1e-6),
        (in_tensorflow, 1e-6),
    ],
)
@pytest.mark.parametrize("schedule", CURVES, ids=repr)
def test_a_new_curve_has_its_values_in_every_library(schedule: ls.Schedule, values: Any, rtol: float):
    np.testing.assert_allclose(values(schedule), wanted(schedule), rtol=rtol)


@pytest.mark.parametrize("new", [*CURVES, PowerSign(), PowerSign(0.5)], ids=repr)
def test_what_is_new_prints_pickles_and_is_saved(new: Any):
    assert eval(repr(new), vars(ls) | vars(rules)) == new
    assert pickle.loads(pickle.dumps(new)) == new
    assert ls.from_config(json.loads(json.dumps(ls.to_config(new)))) == new


def test_a_new_curve_is_read_from_text():
    assert ls.parse("Warmup(5) >> Smoothstep(0.1, 0, steps=30)") == ls.Warmup(5) >> Smoothstep(0.1, 0.0, steps=30)


def test_wrong_arguments_of_what_is_new_are_refused():
    with pytest.raises(ValueError, match=r"Smoothstep\(start=...\) must be a finite number >= 0, got -1.0"):
        Smoothstep(-1.0, 0.0, steps=3)
    with pytest.raises(ValueError, match=r"PowerSign\(b=...\) must be a finite number >= 0 and < 1, got 2.0"):
        PowerSign(2.0)


CURVE = Smoothstep(0.1, 0.0, steps=30)
COMPOSED = {
    "chain": (ls.Warmup(10) >> CURVE, lambda t: CURVE(0) * t / 10 if t < 10 else CURVE(t - 10)),
    "cool-down": (
        ls.Hold(Fading(0.1), steps=10) >> ls.Cooldown(10),
        lambda t: Fading(0.1)(t) if t < 10 else Fading(0.1)(10) * max(20 - t, 0) / 10,
    ),
    "product": (CURVE * Fading(1.0) + 0.5, lambda t: CURVE(t) * Fading(1.0)(t) + 0.5),
    "cycles": (ls.Repeat(CURVE, stretch=2), lambda t: CURVE(t) if t < 30 else CURVE((t - 30) / 2)),
    "reversed": (ls.Reverse(CURVE), lambda t: CURVE(max(30 - t, 0))),
    "slower": (ls.Stretch(Fading(0.1), 2.5), lambda t: Fading(0.1)(t / 2.5)),
    "warped": (ls.Warp(CURVE, 2.0), lambda t: CURVE(t**2 / 30) if t < 30 else 0.0),
    "batches": (ls.Batches(CURVE, 3), lambda t: CURVE(3 * t + 2)),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_a_new_curve_combines_with_the_others(name: str):
    schedule, meant = COMPOSED[name]
    steps = np.arange(80)
    expected = [meant(t) for t in steps.tolist()]
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-12, atol=1e-15)
    assert [schedule(t) for t in range(80)] == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert ls.parse(repr(schedule)) == schedule


@pytest.mark.parametrize("schedule", [*CURVES, COMPOSED["chain"][0], COMPOSED["cycles"][0]], ids=repr)
def test_a_new_curve_has_a_picture_and_milestones(schedule: ls.Schedule):
    assert "<polyline" in ls.svg(schedule)
    assert ls.plot_text(schedule)
    assert ls.milestones(schedule)
    assert {"image/svg+xml", "text/html"} & set(schedule._repr_mimebundle_())
    assert ls.equality(schedule, schedule, 100).equal


@pytest.mark.parametrize("schedule", [*CURVES, COMPOSED["chain"][0], COMPOSED["warped"][0]], ids=repr)
def test_a_new_curve_has_source_code_for_a_scheduler_of_torch(schedule: ls.Schedule):
    torch = pytest.importorskip("torch")
    names = {"model": torch.nn.Linear(1, 1)}
    exec(ls.to_source(schedule, "torch"), names)
    seen = []
    for _ in range(50):
        seen.append(names["optimizer"].param_groups[0]["lr"])
        names["optimizer"].step()
        names["scheduler"].step()
    np.testing.assert_allclose(seen, schedule(np.arange(50)), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("target", ["keras", "optax", "transformers"])
@pytest.mark.parametrize("schedule", [*CURVES, COMPOSED["warped"][0]], ids=repr)
def test_a_new_curve_has_source_code_that_does_not_name_this_library(schedule: ls.Schedule, target: str):
    code = ls.to_source(schedule, target)
    compile(code, "<source>", "exec")
    assert "lrsched" not in code


def test_a_new_curve_drives_optimizers():
    torch = pytest.importorskip("torch")
    adapter = pytest.importorskip("lrsched_torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = adapter.ScheduleLR(optimizer, CURVES[0])
    for t in range(40):
        assert optimizer.param_groups[0]["lr"] == CURVES[0](t)
        optimizer.step()
        scheduler.step()


# What a user writes


class Plain(ls.Curve):
    """Fields of all kinds, without constraints of their own."""

    start: float
    every: int = 3
    name: str = "plain"
    on: bool = True
    rates: tuple[float, ...] = (0.5, 0.25)
    floor: float | None = None

    def at(self, t: Any, space: Any) -> Any:
        return self.start / (1.0 + t)


def test_fields_without_constraints_are_checked_by_their_annotations():
    curve = Plain(1, every=4, rates=[1, 2], floor=1)
    assert repr(curve) == "Plain(1.0, every=4, rates=(1.0, 2.0), floor=1.0)"
    assert ls.parse(repr(curve)) == curve
    assert ls.from_config(json.loads(json.dumps(ls.to_config(curve)))) == curve
    assert pickle.loads(pickle.dumps(curve)) == curve
    wrong = {"start": "0.1", "every": 2.5, "name": 3, "on": 1, "rates": (1.0, None), "floor": "no"}
    for name, content in wrong.items():
        with pytest.raises(TypeError, match=rf"Plain\({name}=...\)(\[1\])? must be "):
            Plain(**{"start": 0.1, name: content})


def test_annotations_may_be_texts():
    module = vars(sys.modules.setdefault("of_a_user", ModuleType("of_a_user")))
    exec(
        "from __future__ import annotations\n"
        "from lrsched import Curve\n"
        "from lrsched.arguments import Rate\n"
        "class Texts(Curve):\n"
        "    start: Rate\n"
        "    every: int = 3\n"
        "    def at(self, t, space):\n"
        "        return self.start / (1.0 + t)\n",
        module,
    )
    assert repr(module["Texts"](1)) == "Texts(1.0)"
    with pytest.raises(ValueError, match=r"Texts\(start=...\) must be a finite number >= 0, got -1"):
        module["Texts"](-1)


def test_a_class_made_inside_a_function_does_all_but_pickle():
    class Inner(ls.Ramp):
        def curve(self, x: Any, y: Any, space: Any) -> Any:
            return self.start * y + self.end * x

    curve = Inner(1, 0, steps=4)
    assert ls.parse("Inner(1, 0, steps=4)") == curve == copy.deepcopy(curve)
    assert ls.from_config(ls.to_config(curve))(1) == 0.75
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        pickle.dumps(curve)


def test_a_class_that_is_defined_again_takes_the_place_of_the_old_one_and_none_takes_one_of_ours():
    made = []
    for power in (1.0, 2.0):

        class Again(ls.Curve):
            p: float = power

            def at(self, t: Any, space: Any) -> Any:
                return self.p / (1.0 + t)

        made.append(Again)
    assert type(ls.parse("Again()")) is made[1]
    for name, base in (("Cosine", ls.Ramp), ("Adam", rules.Local), ("Plateau", feedback.Feedback), ("Adam", ls.Curve)):
        with pytest.raises(TypeError, match=f"{name} is already the name of a "):
            type(name, (base,), {})
    assert ls.parse("Cosine(1, 0, steps=4)") == ls.Cosine(1.0, 0.0, steps=4)


def test_a_curve_that_branches_gives_its_numbers_however_often_it_is_called():
    class Forked(ls.Curve):
        start: float

        def at(self, t: Any, space: Any) -> Any:
            if t == 7 or t > 100:
                return 0.5 * self.start
            return self.start * math.cos(t / 1000)

    curve = Forked(0.5)
    expected = [0.25 if t == 7 or t > 100 else 0.5 * math.cos(t / 1000) for t in range(200)]
    assert [curve(t) for t in range(200)] == expected
    assert [(ls.Warmup(0) >> ls.Hold(curve, 150))(t) for t in range(150)] == expected[:150]


class Scale(NamedTuple):
    """The state of `Backoff`."""

    scale: float


class Backoff(feedback.Feedback):
    """Halve the rate at each metric above `most`."""

    most: float

    def init(self) -> Scale:
        return Scale(1.0)

    def body(self, xp: Any, state: Any, *numbers: Any) -> Any:
        (metric,) = numbers
        scale = xp.where(metric > self.most, state.scale * 0.5, state.scale)
        return Scale(scale), scale


# Other tests must not find them.
del CLASSES["schedule"]["Plain"], CLASSES["feedback"]["Backoff"]


def test_a_new_feedback_rule_prints_saves_and_drives_a_scheduler():
    rule = Backoff(2)
    assert ls.from_config(json.loads(json.dumps(ls.to_config(rule)))) == rule == pickle.loads(pickle.dumps(rule))
    torch, adapter = pytest.importorskip("torch"), pytest.importorskip("lrsched_torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = adapter.FeedbackLR(optimizer, ls.Constant(0.5), rule)
    seen = []
    for metric in (1.0, 3.0, 2.0, 5.0):
        optimizer.step()
        scheduler.step(metric)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [0.5, 0.25, 0.25, 0.125]


# The rule


SHAPES = ((40, 30), (7,), (), (0,))


def numbers(t: int) -> list[np.ndarray]:
    rng = np.random.default_rng(t)
    return [np.asarray(rng.normal(size=shape)) for shape in SHAPES]


def trained(apply: Any) -> list[np.ndarray]:
    """Return the parameters after four updates by a function of parameters, gradients and the step."""
    ps: Any = numbers(0)
    for t in range(4):
        ps = apply(ps, numbers(1 + t), t)
    return [np.asarray(p) for p in ps]


def by_hand(rule: PowerSign) -> list[np.ndarray]:
    means = [0.0 * p for p in numbers(0)]

    def apply(ps: Any, gs: Any, t: int) -> Any:
        means[:] = [rule.b * m + (1.0 - rule.b) * g for m, g in zip(means, gs, strict=True)]
        return [p - 0.1 * np.exp(np.sign(g) * np.sign(m)) * g for p, g, m in zip(ps, gs, means, strict=True)]

    return trained(apply)


def assert_close(found: list[Any], expected: list[np.ndarray], rtol: float = 1e-13) -> None:
    for p, q in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.asarray(p), q, rtol=rtol, atol=rtol)


def test_a_new_rule_updates_arrays_of_numpy():
    rule, slots = PowerSign(), rules.init(PowerSign(), numbers(0))

    def apply(ps: Any, gs: Any, t: int) -> Any:
        nonlocal slots
        ps, slots = rules.apply(rule, ps, gs, slots, lr=0.1, step=t)
        return ps

    assert_close(trained(apply), by_hand(rule))
    assert not asks_for_sums(rule)


def test_a_new_rule_joins_parts_and_stands_inside_others():
    chain = rules.ClipByGlobalNorm(1.0) >> PowerSign() >> rules.DecoupledWeightDecay(0.1)
    for rule in (chain, rules.Layerwise(PowerSign()), rules.ScheduleFree(PowerSign())):
        ps = numbers(0)
        found, _ = rules.apply(rule, ps, numbers(1), rules.init(rule, ps), lr=0.1, step=0)
        assert all(np.isfinite(p).all() for p in found)
        assert eval(repr(rule), vars(rules).copy()) == rule


@pytest.mark.parametrize("how", [{}, {"compile": True}, {"compile": True, "flat": True}], ids=repr)
def test_a_new_rule_is_an_optimizer_of_torch_compiled_or_not(how: dict[str, bool]):
    torch = pytest.importorskip("torch")
    adapter = pytest.importorskip("lrsched_torch")
    ps = [torch.nn.Parameter(torch.tensor(p)) for p in numbers(0)]
    optimizer = adapter.RuleOptimizer(ps, PowerSign(), lr=0.1, **how)
    for t in range(4):
        for p, g in zip(ps, numbers(1 + t), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
    assert_close([p.detach() for p in ps], by_hand(PowerSign()))


def test_a_new_rule_is_a_transformation_of_optax():
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    adapter = pytest.importorskip("lrsched_optax")
    with jax.enable_x64(True):
        optimizer = adapter.from_rule(PowerSign(), 0.1)
        update, state = jax.jit(optimizer.update), optimizer.init([jax.numpy.asarray(p) for p in numbers(0)])

        def apply(ps: Any, gs: Any, t: int) -> Any:
            nonlocal state
            updates, state = update(gs, state, ps)
            return optax.apply_updates(ps, updates)

        assert_close(trained(apply), by_hand(PowerSign()))


def test_a_new_rule_is_an_optimizer_of_keras():
    keras = pytest.importorskip("keras")
    adapter = pytest.importorskip("lrsched_keras")
    variables = [keras.Variable(p, dtype="float32") for p in numbers(0)]
    optimizer = adapter.RuleOptimizer(PowerSign(), learning_rate=0.1)
    for t in range(4):
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype="float32") for g in numbers(1 + t)], variables)
    assert_close([keras.ops.convert_to_numpy(v.value) for v in variables], by_hand(PowerSign()), rtol=1e-5)


# Its line alone brings it into these.
SUITES = [
    "tests/core/test_accuracy.py",
    "tests/core/test_arguments.py",
    "tests/core/test_laws.py",
    "tests/core/test_libraries.py",
    "tests/core/test_range.py",
    "tests/core/test_text.py",
    "tests/draw",
    "tests/rules/test_rules_blocks.py",
    "tests/rules/test_rules_core.py",
    "tests/rules/test_rules_rows.py",
    "tests/rules/test_rules_torch.py",
    "tests/adapter_torch/test_torch_cpp_loops.py",
    "tests/translate/test_source.py",
]


@pytest.mark.slow
def test_a_line_brings_a_newcomer_into_the_tests_of_all_others():
    path = os.pathsep.join(map(str, (ROOT, ROOT / "adapters", ROOT / "tests")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "newcomers", "-p", "no:cacheprovider", *SUITES]
    options = {"cwd": ROOT, "env": os.environ | {"PYTHONPATH": path}, "capture_output": True, "text": True}
    listed = subprocess.run([*command, "--collect-only", "-m", "not slow"], check=False, **options)
    assert [name for name in ("PowerSign()", "Smoothstep(", "Fading(0.1)") if name not in listed.stdout] == []
    done = subprocess.run([*command, "-m", "not slow"], check=False, **options)
    assert done.returncode == 0, done.stdout[-5000:]
