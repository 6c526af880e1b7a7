"""Adafactor, Muon, Schedule-Free and Prodigy: the steps of the optimizers of three libraries, and their laws."""

from typing import Any

import numpy as np
import pytest
from rule_cases import WRONG_IN_KERAS

from lrsched import compat, rules

STEPS = 200
SHAPES = [(4, 6), (6, 4), (5,), (2, 3, 7), ()]
MATRICES = [(4, 6), (6, 4), (3, 3)]


def start(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]


def noise(shapes: list[tuple[int, ...]], t: int) -> list[np.ndarray]:
    rng = np.random.default_rng(100 + t)
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]


def rate(t: int) -> float:
    return 0.01 * (1.0 + t % 7)


def rule_run(rule: rules.Rule, shapes: list[tuple[int, ...]], lr: Any = rate, steps: int = STEPS) -> Any:
    """Return parameters and slots after updates with gradients that depend on the parameters."""
    ps = start(shapes)
    slots = rules.init(rule, ps)
    for t in range(steps):
        gs = [0.3 * p + x for p, x in zip(ps, noise(shapes, t), strict=True)]
        ps, slots = rules.apply(rule, ps, gs, slots, lr=lr(t), step=t)
    return ps, slots


def torch_run(kind: str, arguments: dict[str, Any], shapes: list[tuple[int, ...]], steps: int) -> list[np.ndarray]:
    torch = pytest.importorskip("torch")
    ps = [torch.nn.Parameter(torch.tensor(p)) for p in start(shapes)]
    optimizer = getattr(torch.optim, kind)(ps, **arguments)
    for t in range(steps):
        for p, x in zip(ps, noise(shapes, t), strict=True):
            p.grad = 0.3 * p.detach() + torch.tensor(x)
        optimizer.param_groups[0]["lr"] = rate(t)
        optimizer.step()
    return [p.detach().numpy() for p in ps]


def optax_run(make: Any, shapes: list[tuple[int, ...]]) -> tuple[list[np.ndarray], Any]:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    with jax.enable_x64(True):
        optimizer = make(optax)
        ps = [jax.numpy.asarray(p) for p in start(shapes)]
        state = optimizer.init(ps)

        @jax.jit
        def update(ps: Any, state: Any, xs: Any) -> Any:
            updates, state = optimizer.update([0.3 * p + x for p, x in zip(ps, xs, strict=True)], state, ps)
            return optax.apply_updates(ps, updates), state

        for t in range(STEPS):
            ps, state = update(ps, state, noise(shapes, t))
        averages = optax.contrib.schedule_free_eval_params(state, ps) if hasattr(state, "weight_sum") else ps
        return [np.asarray(p) for p in ps], [np.asarray(p) for p in averages]


def agree(found: Any, expected: Any, tolerance: float) -> None:
    scale = max(1.0, *(np.abs(q).max() for q in expected))
    for p, q in zip(found, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"weight_decay": 0.1, "eps": (1e-6, 1e-2), "beta2_decay": -0.5, "d": 2.0},
        {"eps": (0.5, 1e-3)},  # floors that are felt
    ],
    ids=["defaults", "all", "floor"],
)
def test_adafactor_takes_the_steps_of_torch(arguments: dict[str, Any]):
    arguments = {"eps": (1e-10, 1e-3), **arguments}
    found, _ = rule_run(compat.torch.Adafactor(**arguments), SHAPES)
    agree(found, torch_run("Adafactor", arguments, SHAPES, STEPS), 1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"momentum": 0.9, "weight_decay_rate": 1e-3, "clipping_threshold": None},
        {"factored": False, "multiply_by_parameter_scale": False, "decay_rate": 0.6},
        {"min_dim_size_to_factor": 4, "weight_decay_rate": 1e-3, "weight_decay_mask": False},
    ],
    ids=["defaults", "momentum", "plain", "long axes"],
)
def test_adafactor_takes_the_steps_of_optax(arguments: dict[str, Any]):
    arguments = {"min_dim_size_to_factor": 3, **arguments}
    found, _ = rule_run(compat.optax.adafactor(**arguments), SHAPES, lambda t: 0.02)
    # Optax has the decay in float32.
    agree(found, optax_run(lambda optax: optax.adafactor(0.02, **arguments), SHAPES)[0], 2e-6)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", [None, "original", "match_rms_adamw"])
def test_muon_takes_the_steps_of_torch(nesterov: bool, adjust: str | None):
    torch = pytest.importorskip("torch")
    arguments = {"nesterov": nesterov, "adjust_lr_fn": adjust, "weight_decay": 0.1}
    expected = torch_run("Muon", arguments, MATRICES, 1)
    rule = compat.torch.Muon(**arguments)
    ps = [torch.tensor(p) for p in start(MATRICES)]
    gs = [0.3 * p + torch.tensor(x) for p, x in zip(ps, noise(MATRICES, 0), strict=True)]
    found, _ = rules.apply(rule, ps, gs, rules.init(rule, ps), lr=rate(0), step=0)
    for p, q, first in zip(found, expected, ps, strict=True):
        moved = q - first.numpy()
        # PyTorch rounds every sum to 8 bits, five times.
        assert np.abs(p.numpy() - q).max() <= 0.06 * np.abs(moved).max()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"nesterov": False, "weight_decay": 0.1, "adam_weight_decay": 0.2},
        {"consistent_rms": 0.2, "beta": 0.5, "ns_steps": 3, "eps": 0.1, "adam_b1": 0.5, "adam_eps_root": 0.1},
    ],
    ids=["defaults", "plain", "all"],
)
def test_muon_takes_the_steps_of_optax(arguments: dict[str, Any]):
    found, _ = rule_run(compat.optax.muon(**arguments), SHAPES, lambda t: 0.02)
    agree(found, optax_run(lambda optax: optax.contrib.muon(0.02, **arguments), SHAPES)[0], 1e-10)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("schedule_free_sgd", {"weight_decay": 0.1, "b1": 0.8}),
        ("schedule_free_sgd", {"weight_lr_power": 0.0}),
        ("schedule_free_adamw", {"weight_decay": 0.1}),
        ("schedule_free_adamw", {"b2": 0.9, "eps": 0.1, "weight_lr_power": 1.0}),
    ],
)
def test_schedule_free_takes_the_steps_of_optax(name: str, arguments: dict[str, Any]):
    rule = getattr(compat.optax, name)(**arguments)
    found, slots = rule_run(rule, SHAPES, lambda t: 0.02)
    expected, averages = optax_run(lambda optax: getattr(optax.contrib, name)(0.02, **arguments), SHAPES)
    agree(found, expected, 1e-11)
    agree([rule.average(p, s) for p, s in zip(found, slots, strict=True)], averages, 1e-11)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"weight_decay": 0.05, "safeguard_warmup": True, "betas": (0.8, 0.99)},
        {"beta3": 0.9, "estim_lr0": 1e-4, "estim_lr_coef": 2.0, "eps": 1e-3},
    ],
    ids=["defaults", "decay", "all"],
)
def test_prodigy_takes_the_steps_of_optax(arguments: dict[str, Any]):
    found, slots = rule_run(compat.optax.prodigy(**arguments), SHAPES, lambda t: 0.5)
    agree(found, optax_run(lambda optax: optax.contrib.prodigy(0.5, **arguments), SHAPES)[0], 1e-11)
    assert len({float(own.distance) for own in slots}) == 1
    assert float(slots[0].distance) > 100 * arguments.get("estim_lr0", 1e-6)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Adafactor", {"weight_decay": 0.1, "beta_2_decay": -0.5, "clip_threshold": 0.5}),
        ("Adafactor", {"epsilon_1": 1e-3, "global_clipnorm": 1.0}),
        ("Muon", {"exclude_embeddings": False}),
        ("Muon", {"exclude_embeddings": False, "adam_lr_ratio": 0.1, "rms_rate": None, "nesterov": False}),
        ("ScheduleFreeAdamW", {"weight_decay": 0.0}),
        ("ScheduleFreeAdamW", {"warmup_steps": 5}),
        ("ScheduleFreeAdamW", {"weight_decay": 0.3, "warmup_steps": 4}),
        ("ScheduleFreeAdamW", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.1}),
    ],
)
def test_a_rule_takes_the_steps_of_keras(name: str, arguments: dict[str, Any]):
    keras = pytest.importorskip("keras")
    if (keras.backend.backend(), name) in WRONG_IN_KERAS:
        pytest.skip("Keras is wrong here")
    optimizer = getattr(keras.optimizers, name)(learning_rate=0.02, **arguments)
    variables = [keras.Variable(p.astype(np.float32)) for p in start(SHAPES)]
    optimizer.build(variables)
    rule = getattr(compat.keras, name)(**arguments)
    ps = [p.astype(np.float32) for p in start(SHAPES)]
    slots = rules.init(rule, ps)
    for t in range(20):
        gs = [x.astype(np.float32) for x in noise(SHAPES, t)]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gs], variables)
        ps, slots = rules.apply(rule, ps, gs, slots, lr=0.02, step=t)
    agree(ps, [keras.ops.convert_to_numpy(v) for v in variables], 2e-5)


def test_what_keras_leaves_out_by_name_is_refused():
    with pytest.raises(ValueError, match=r"Muon\(exclude_embeddings=...\) must be False"):
        compat.keras.Muon(exclude_embeddings=True)
    with pytest.raises(ValueError, match=r"Muon\(exclude_layers=...\) must be None"):
        compat.keras.Muon(exclude_layers=["head"])


def test_muon_is_nearly_orthogonal():
    rule = rules.Muon(momentum=0.0, nesterov=False, factor="none")
    g = np.random.default_rng(1).normal(size=(8, 5))
    delta, _ = rule.delta(0 * g, g, rule.init(g), lr=1.0, step=0)
    assert np.all(np.abs(np.linalg.svd(delta, compute_uv=False) - 0.95) < 0.3)
    u, _, v = np.linalg.svd(g, full_matrices=False)
    assert np.vdot(-delta, u @ v) > 0.9 * np.linalg.norm(delta) * np.linalg.norm(u @ v)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_muon_refuses_what_is_no_matrix(shape: tuple[int, ...]):
    p = np.ones(shape)
    with pytest.raises(
        ValueError, match=r"Muon must get matrices; write Split\(Muon\(\), Adam\(\)\).*; got one of shape"
    ):
        rules.Muon().delta(p, p, rules.Muon().init(p), lr=0.1, step=0)


def test_numpy_has_no_bfloat16():
    p = np.ones((2, 2))
    rule = rules.Muon(precision="bfloat16")
    with pytest.raises(ValueError, match=r"Muon\(precision=...\) must be 'working' with numpy"):
        rule.delta(p, p, rule.init(p), lr=0.1, step=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficients": (1.0, 2.0, 3.0, 4.0)}, "coefficients=...\\) must be three numbers"),
        ({"bias_correction": True, "average": False}, "bias_correction=...\\) must be False with average=False"),
    ],
)
def test_arguments_of_muon_must_fit_together(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        rules.Muon(**arguments)


def test_a_split_keeps_a_number_for_what_a_tensor_does_not_need():
    slots = rules.init(rules.Split(rules.Muon(), rules.Adam()), start(MATRICES[:1] + SHAPES[2:3]))
    assert [s.rule.m.shape for s in slots] == [(4, 6), ()]
    assert [s.others.v.shape for s in slots] == [(), (5,)]


def test_each_side_of_a_split_does_what_its_rule_does_alone():
    shapes = [*MATRICES, (5,), ()]
    split = rules.Split(rules.ClipByGlobalNorm(0.1) >> rules.Muon(), rules.lamb(), others_rate=0.5)
    found, _ = rule_run(split, shapes, steps=1)
    ps, gs = start(shapes), [0.3 * p + x for p, x in zip(start(shapes), noise(shapes, 0), strict=True)]
    for rule, pick, lr in [(split.rule, slice(0, 3), rate(0)), (split.others, slice(3, 5), 0.5 * rate(0))]:
        alone, _ = rules.apply(rule, ps[pick], gs[pick], rules.init(rule, ps[pick]), lr=lr, step=0)
        for p, q in zip(found[pick], alone, strict=True):
            np.testing.assert_array_equal(p, q)


def test_a_decay_before_differs_from_one_after_where_the_rule_looks_at_the_parameter():
    for rule, same in [(rules.Adam(), True), (rules.lamb(), False)]:
        before, _ = rule_run(rules.DecayBefore(rule, 0.5), MATRICES, steps=1)
        after, _ = rule_run(rule >> rules.DecoupledWeightDecay(0.5), MATRICES, steps=1)
        assert np.allclose(before[0], after[0], rtol=1e-14) is same


def test_averaging_needs_no_schedule():
    # The average of noisy descent at a constant rate is nearer to the minimum, 0, than its last point.
    rule = rules.ScheduleFree(rules.SGD())
    ps, slots = rule_run(rule, [(50,)], lambda t: 0.5)
    plain, _ = rule_run(rules.SGD(), [(50,)], lambda t: 0.5)
    assert np.linalg.norm(rule.average(ps[0], slots[0])) < 0.5 * np.linalg.norm(plain[0])


def test_a_rate_of_zero_leaves_averages_alone():
    found, slots = rule_run(rules.ScheduleFree(rules.SGD()), SHAPES, lambda t: 0.0, steps=3)
    agree(found, start(SHAPES), 0.0)
    assert all(np.isfinite(own.weights) for own in slots)


def test_no_gradient_leaves_the_estimate_of_prodigy():
    rule, p = rules.Prodigy(), np.ones(3)
    delta, slots = rule.delta(p, 0 * p, rule.init(p), lr=1.0, step=0)
    np.testing.assert_array_equal(delta, 0.0)
    assert slots.distance == 1e-6


def test_averages_are_found_inside_a_chain_and_nowhere_else():
    rule = rules.ClipByGlobalNorm(1.0) >> rules.ScheduleFree(rules.SGD())
    ps, slots = rule_run(rule, SHAPES, steps=3)
    for p, q, own in zip(rules.averages(rule, ps, slots), ps, slots, strict=True):
        np.testing.assert_array_equal(p, rule.links[-1].average(q, own))
    for other in (rules.Adam(), rules.L2(0.1) >> rules.Adam(), rules.lars()):
        with pytest.raises(TypeError, match=r"averages\(rule, ...\) must be a ScheduleFree"):
            rules.averages(other, ps, slots)
