"""The rules of `compat.torch` give the steps of torch's own optimizers."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from lrsched import rules  # noqa: E402
from lrsched.arguments import constraints_of  # noqa: E402
from lrsched.compat import torch as dialect  # noqa: E402

STEPS = 20
SHAPES = [(), (2, 3), (3,)]  # the last parameter starts at zero

shares = st.sampled_from([0.0, 0.5, 0.9, 0.99]) | st.floats(0.0, 0.999)
positive = st.sampled_from([1e-8, 1e-3]) | st.floats(1e-10, 1.0)
decays = st.just(0.0) | st.floats(0.0, 1.0)
flags = st.booleans()
# Where a variance is a difference, small decays leave nothing but rounding.
slow = st.floats(0.1, 0.999)
moments = {"betas": st.tuples(shares, shares), "eps": positive, "weight_decay": decays}
adam = {**moments, "amsgrad": flags}
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "SGD": st.one_of(
        st.fixed_dictionaries({}, optional={"momentum": shares, "dampening": decays, "weight_decay": decays}),
        st.fixed_dictionaries(
            {"momentum": st.floats(0.1, 0.99), "nesterov": st.just(True)}, optional={"weight_decay": decays}
        ),
    ),
    "Adam": st.fixed_dictionaries({}, optional={**adam, "decoupled_weight_decay": st.booleans()}),
    "AdamW": st.fixed_dictionaries({}, optional=adam),
    "RMSprop": st.fixed_dictionaries(
        {},
        optional={
            "alpha": slow,
            "eps": positive,
            "weight_decay": decays,
            "momentum": shares,
            "centered": st.booleans(),
        },
    ),
    "Adagrad": st.fixed_dictionaries(
        {}, optional={"weight_decay": decays, "initial_accumulator_value": decays, "eps": positive, "lr_decay": decays}
    ),
    "NAdam": st.fixed_dictionaries(
        {},
        optional={
            **moments,
            "momentum_decay": st.sampled_from([0.0, 1e-3, 1.0]) | st.floats(0.0, 10.0),
            "decoupled_weight_decay": flags,
        },
    ),
    "RAdam": st.fixed_dictionaries({}, optional={**moments, "decoupled_weight_decay": flags}),
    "Adamax": st.fixed_dictionaries({}, optional=moments),
    "Adadelta": st.fixed_dictionaries({}, optional={"rho": shares, "eps": positive, "weight_decay": decays}),
    "Rprop": st.fixed_dictionaries(
        {},
        optional={
            "etas": st.tuples(st.floats(0.1, 0.9), st.floats(1.1, 3.0)),
            "step_sizes": st.tuples(st.floats(1e-6, 1e-2), st.floats(0.1, 50.0)),
        },
    ),
}
ABSENT = {"params", "lr"}


def ours(name: str, /, **arguments: Any) -> rules.Rule:
    return getattr(dialect, name)(**arguments)


def rate(t: int) -> float:
    return 0.01 * (1 + t % 7)


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape)) for shape in SHAPES]


def start() -> list[np.ndarray]:
    *rest, last = arrays(0)
    return [*rest, 0 * last]


def native_run(name: str, arguments: dict[str, Any]) -> list[np.ndarray]:
    """Return the parameters after 20 steps of torch's optimizer."""
    # In the default dtype NAdam keeps the product of its momenta.
    torch.set_default_dtype(torch.float64)
    try:
        return _native_run(name, arguments)
    finally:
        torch.set_default_dtype(torch.float32)


def _native_run(name: str, arguments: dict[str, Any]) -> list[np.ndarray]:
    ps = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in start()]
    optimizer = getattr(torch.optim, name)(ps, lr=1.0, **arguments)
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(t)
        for p, g in zip(ps, arrays(100 + t), strict=True):
            p.grad = torch.from_numpy(g)
        optimizer.step()
    return [p.detach().numpy() for p in ps]


def rule_run(rule: rules.Rule) -> list[np.ndarray]:
    """Return the parameters after 20 steps of the rule."""
    ps = start()
    slots = rules.init(rule, ps)
    for t in range(STEPS):
        ps, slots = rules.apply(rule, ps, arrays(100 + t), slots, lr=rate(t), step=t)
    return ps


def agree(name: str, arguments: dict[str, Any]) -> None:
    expected = native_run(name, arguments)
    # relative to the largest element: parameters pass through zero
    scale = max(1.0, *(np.abs(q).max() for q in expected))
    for p, q in zip(rule_run(ours(name, **arguments)), expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=15)
@given(data=st.data())
def test_a_rule_takes_the_steps_of_torch(name: str, data: st.DataObject):
    agree(name, data.draw(ARGUMENTS[name]))


# What chance seldom puts together.
TOGETHER = [
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True, "eps": 1e-3}),
    ("RMSprop", {"weight_decay": 0.1, "momentum": 0.9, "centered": True, "eps": 1e-3}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "eps": 1e-3}),
    ("RAdam", {"betas": (0.9, 0.8), "weight_decay": 0.1}),
    ("Adamax", {"weight_decay": 0.1, "eps": 1e-3}),
    ("Rprop", {"etas": (0.3, 2.0), "step_sizes": (0.005, 0.02)}),
]


@pytest.mark.parametrize(("name", "arguments"), TOGETHER)
def test_arguments_together_take_the_steps_of_torch(name: str, arguments: dict[str, Any]):
    agree(name, arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_and_defaults_are_those_of_torch(name: str):
    def signature(function: Any) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.name not in ABSENT}

    assert signature(getattr(dialect, name)) == signature(getattr(torch.optim, name))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_chooses_an_implementation_leaves_the_rule_as_it_is(name: str):
    known = inspect.signature(getattr(dialect, name)).parameters
    for switch in {"foreach", "capturable", "differentiable", "fused"} & known.keys():
        assert ours(name, **{switch: True}) == ours(name)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_rule_builds_itself_again(name: str):
    rule = ours(name) if name == "Rprop" else ours(name, weight_decay=0.1)
    assert eval(repr(rule), vars(rules)) == rule


REFUSED_BY_BOTH = [
    ("SGD", {"momentum": -0.1}, r"SGD\(momentum=...\) must be a finite number >= 0 and < 1, got -0.1"),
    ("SGD", {"weight_decay": -0.1}, r"SGD\(weight_decay=...\) must be a finite number >= 0, got -0.1"),
    ("SGD", {"nesterov": True}, r"SGD\(momentum=...\) must be > 0 with nesterov=True, got 0.0"),
    (
        "SGD",
        {"nesterov": True, "momentum": 0.9, "dampening": 0.5},
        r"SGD\(dampening=...\) must be 0 with nesterov=True, got 0.5",
    ),
    ("SGD", {"fused": True, "foreach": True}, r"SGD\(fused=...\) must be False or None with foreach=True, got True"),
    ("Adam", {"betas": (0.9, 1.0)}, r"Adam\(betas=...\)\[1\] must be a finite number >= 0 and < 1, got 1.0"),
    ("Adam", {"betas": (-0.1, 0.9)}, r"Adam\(betas=...\)\[0\] must be a finite number >= 0 and < 1, got -0.1"),
    ("Adam", {"eps": -1e-8}, r"Adam\(eps=...\) must be a finite number > 0, got -1e-08"),
    (
        "Adam",
        {"fused": True, "differentiable": True},
        r"Adam\(fused=...\) must be False or None with differentiable=True, got True",
    ),
    ("AdamW", {"weight_decay": -0.1}, r"AdamW\(weight_decay=...\) must be a finite number >= 0, got -0.1"),
    ("AdamW", {"decoupled_weight_decay": True}, r"AdamW\(\) .*unexpected keyword argument 'decoupled_weight_decay'"),
    ("RMSprop", {"alpha": -0.1}, r"RMSprop\(alpha=...\) must be a finite number >= 0 and < 1, got -0.1"),
    ("RMSprop", {"fused": True}, r"RMSprop\(\) .*unexpected keyword argument 'fused'"),
    ("Adagrad", {"lr_decay": -1.0}, r"Adagrad\(lr_decay=...\) must be a finite number >= 0, got -1.0"),
    ("NAdam", {"momentum_decay": -1.0}, r"NAdam\(momentum_decay=...\) must be a finite number >= 0, got -1.0"),
    ("Rprop", {"etas": (1.1, 1.2)}, r"Rprop\(etas=...\) must be below 1 and above 1, got \(1.1, 1.2\)"),
    ("Rprop", {"etas": (0.5, 0.9)}, r"Rprop\(etas=...\) must be below 1 and above 1, got \(0.5, 0.9\)"),
    ("Adagrad", {"capturable": True}, r"Adagrad\(\) .*unexpected keyword argument 'capturable'"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED_BY_BOTH)
def test_what_torch_refuses_is_refused(name: str, arguments: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError, RuntimeError)):  # in torch's own words
        getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(1))], lr=1.0, **arguments)
    with pytest.raises((ValueError, TypeError), match=message):
        ours(name, **arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_maximizing_is_refused(name: str):
    with pytest.raises(ValueError, match=rf"{name}\(maximize=...\) must be False \(negate the gradients .*got True"):
        ours(name, maximize=True)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Adam", {"betas": (0.9, 0.99, 0.999)}, r"Adam\(betas=...\) must be two numbers, got \(0.9, 0.99, 0.999\)"),
        ("Adamax", {"betas": (0.9,)}, r"Adamax\(betas=...\) must be two numbers, got \(0.9,\)"),
        ("Rprop", {"step_sizes": (1.0, 0.5)}, r"Rprop\(step_sizes=...\) must be in order, got \(1.0, 0.5\)"),
        ("Adam", {"lr": 0.1}, r"Adam\(\) .*unexpected keyword argument 'lr'"),
    ],
)
def test_what_a_rule_cannot_hold_is_refused(name: str, arguments: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        ours(name, **arguments)


def test_a_learning_rate_given_by_place_is_refused():
    with pytest.raises(TypeError, match=r"SGD\(\) has too many positional arguments"):
        dialect.SGD(0.1)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments_are_named_with_what_must_hold_and_what_came(name: str):
    for argument, constraint in constraints_of(getattr(dialect, name)).items():
        for wrong in constraint.wrong():
            with pytest.raises((ValueError, TypeError), match=rf"^{name}\({argument}=...\)(\[0\])? must be .*got "):
                ours(name, **{argument: wrong})
