"""The rules of `compat.keras` give the steps of the Keras optimizers, on whichever Keras backend is set."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

keras = pytest.importorskip("keras")

from lrsched import rules  # noqa: E402
from lrsched.arguments import constraints_of  # noqa: E402
from lrsched.compat import keras as dialect  # noqa: E402
from lrsched.compat.keras.optimizers import Shared  # noqa: E402

STEPS = 20
SHAPES = [(), (2, 3), (3,)]  # the last parameter starts at zero
# Keras computes in float32, also `1 - beta`: these numbers are exact there.
RATES = [2.0**-6, 2.0**-5, 2.0**-7]
shares = st.sampled_from([0.0, 0.5, 0.75, 0.875, 1.0 - 2.0**-7])
# The average of squares at decay 0 is the last square: a small one after a large one is lost in rounding.
slow = st.sampled_from([0.5, 0.75, 0.875, 1.0 - 2.0**-7])
epsilons = st.sampled_from([1e-7, 1e-3, 0.1])
some = st.sampled_from([0.0, 0.125, 0.5])
flags = st.booleans()
clips = st.sampled_from([None, 0.0, 0.5, 4.0])
SHARED = st.one_of(
    st.just({}),
    st.builds(lambda name, limit: {name: limit}, st.sampled_from(["clipnorm", "clipvalue", "global_clipnorm"]), clips),
    st.just({"name": "mine", "use_ema": False, "ema_momentum": 0.5, "loss_scale_factor": None}),
)


def some_of(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


adam = {"beta_1": shares, "beta_2": slow, "epsilon": epsilons}
ARGUMENTS = {
    "SGD": some_of(momentum=shares, nesterov=flags, weight_decay=st.none() | some),
    "Adam": some_of(**adam, amsgrad=flags, weight_decay=st.none() | some),
    "AdamW": some_of(**adam, amsgrad=flags, weight_decay=some),
    # A variance may be 0 up to rounding: a larger epsilon keeps the rounding small.
    "RMSprop": st.one_of(
        some_of(rho=slow, momentum=shares, epsilon=epsilons, weight_decay=st.none() | some),
        st.fixed_dictionaries(
            {"centered": st.just(True), "rho": st.sampled_from([0.5, 0.875]), "epsilon": st.just(0.1)},
            optional={"momentum": shares},
        ),
    ),
    "Adagrad": some_of(initial_accumulator_value=some, epsilon=epsilons, weight_decay=st.none() | some),
    "Lion": some_of(beta_1=st.sampled_from([0.25, 0.875, 1.0]), beta_2=shares | st.just(1.0), weight_decay=some),
    "Nadam": some_of(**adam, weight_decay=st.none() | some),
    "Adamax": some_of(**adam, weight_decay=st.none() | some),
    "Adadelta": some_of(rho=slow, epsilon=epsilons, weight_decay=st.none() | some),
    "Lamb": some_of(**adam, weight_decay=st.none() | some),
}
# The defaults of beta_2 are not exact in float32, and its complement is far from it.
EXACT = {name: {"beta_2": 1.0 - 2.0**-7} for name in ("Adam", "AdamW", "Nadam", "Adamax", "Lion", "Lamb")}


def ours(name: str, /, **arguments: Any) -> rules.Rule:
    return getattr(dialect, name)(**arguments)


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape), np.float32) for shape in SHAPES]


def start() -> list[np.ndarray]:
    *rest, last = arrays(0)
    return [*rest, 0 * last]


def native_run(name: str, arguments: dict[str, Any]) -> list[np.ndarray]:
    """Return the parameters after 20 steps of the optimizer of Keras."""
    optimizer = getattr(keras.optimizers, name)(**arguments)
    variables = [keras.Variable(p) for p in start()]
    optimizer.build(variables)
    for t in range(STEPS):
        optimizer.learning_rate = RATES[t % 3]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in arrays(100 + t)], variables)
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]


def rule_run(rule: rules.Rule) -> list[np.ndarray]:
    """Return the parameters after 20 steps of the rule."""
    ps = start()
    slots = rules.init(rule, ps)
    for t in range(STEPS):
        ps, slots = rules.apply(rule, ps, arrays(100 + t), slots, lr=RATES[t % 3], step=t)
    return ps


def agree(name: str, arguments: dict[str, Any]) -> None:
    arguments = {**EXACT.get(name, {}), **arguments}
    expected = native_run(name, arguments)
    # relative to the largest element: parameters pass through zero
    scale = max(1.0, *(np.abs(q).max() for q in expected))
    for p, q in zip(rule_run(ours(name, **arguments)), expected, strict=True):
        assert p.dtype == q.dtype == np.float32
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=4)
@given(data=st.data(), shared=SHARED)
def test_a_rule_takes_the_steps_of_keras(name: str, data: st.DataObject, shared: dict[str, Any]):
    agree(name, data.draw(ARGUMENTS[name]) | shared)


# What chance seldom puts together.
TOGETHER = [
    ("SGD", {"clipnorm": 0.5, "momentum": 0.875, "nesterov": True, "weight_decay": 0.5}),
    ("SGD", {"global_clipnorm": 0.5, "weight_decay": 0.5}),
    ("SGD", {"clipvalue": 0.5}),
    ("Adam", {"clipnorm": 0.5, "weight_decay": 0.5, "amsgrad": True}),
    ("RMSprop", {"momentum": 0.875, "centered": True, "epsilon": 0.1, "weight_decay": 0.5}),
    ("Lamb", {"global_clipnorm": 0.5}),
]


@pytest.mark.parametrize(("name", "arguments"), TOGETHER)
def test_arguments_together_take_the_steps_of_keras(name: str, arguments: dict[str, Any]):
    agree(name, arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_and_defaults_are_those_of_keras(name: str):
    def signature(function: Any) -> dict[str, Any]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is not p.VAR_KEYWORD}

    native = signature(getattr(keras.optimizers, name))
    del native["learning_rate"]
    own = signature(getattr(dialect, name))
    assert own == {argument: native[argument] for argument in own}
    assert native.keys() - own.keys() == Shared.__annotations__.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_rule_builds_itself_again(name: str):
    rule = ours(name, clipnorm=1.0)
    assert eval(repr(rule), vars(rules)) == rule


def test_the_clip_stands_before_the_rule_and_the_decay_after_it():
    rule = ours("SGD", clipvalue=0.5, weight_decay=0.1)
    assert rule == rules.ClipByValue(0.5) >> rules.SGD() >> rules.DecoupledWeightDecay(0.1)


REFUSED_BY_BOTH = [
    ("SGD", {"momentum": -0.1}, r"SGD\(momentum=...\) must be a finite number >= 0 and < 1, got -0.1"),
    ("SGD", {"momentum": 1.5}, r"SGD\(momentum=...\) must be a finite number >= 0 and < 1, got 1.5"),
    ("SGD", {"dampening": 0.1}, r"SGD\(\) got an unexpected argument 'dampening'"),
    (
        "Adam",
        {"clipnorm": 1.0, "clipvalue": 1.0},
        r"Adam\(clipnorm, clipvalue\) must be one limit at most, got \{'clipnorm': 1.0, 'clipvalue': 1.0\}",
    ),
    (
        "Adam",
        {"clipnorm": 0.0, "global_clipnorm": 1.0},
        r"Adam\(clipnorm, global_clipnorm\) must be one limit at most",
    ),
    ("AdamW", {"weight_decay": None}, r"AdamW\(weight_decay=...\) must be a finite number >= 0, got None"),
    ("Lion", {"beta_1": 0.0}, r"Lion\(beta_1=...\) must be a finite number > 0 and <= 1, got 0.0"),
    (
        "Lamb",
        {"gradient_accumulation_steps": 1},
        r"Lamb\(gradient_accumulation_steps=...\) must be None \(a rule does not do it\), got 1",
    ),
]


@pytest.mark.parametrize(("name", "arguments", "message"), REFUSED_BY_BOTH)
def test_what_keras_refuses_is_refused(name: str, arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError):  # noqa: PT011  # the words of Keras are its affair
        getattr(keras.optimizers, name)(**arguments)
    with pytest.raises((ValueError, TypeError), match=message):
        ours(name, **arguments)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize(
    ("argument", "content"), [("use_ema", True), ("loss_scale_factor", 8.0), ("gradient_accumulation_steps", 4)]
)
def test_what_no_rule_does_is_refused(name: str, argument: str, content: Any):
    with pytest.raises(ValueError, match=rf"{name}\({argument}=...\) must be .* \(a rule does not do it\), got"):
        ours(name, **{argument: content})


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_a_limit_must_be_a_number_that_is_not_negative(name: str, clip: str):
    for wrong in (-1.0, np.nan, "1"):
        with pytest.raises(
            (ValueError, TypeError), match=rf"{name}\({clip}=...\) must be a finite number >= 0 or None, got"
        ):
            ours(name, **{clip: wrong})


def test_a_learning_rate_is_refused():
    with pytest.raises(TypeError, match=r"Adam\(\) has too many positional arguments"):
        dialect.Adam(0.1)
    with pytest.raises(TypeError, match=r"Adam\(\) got an unexpected argument 'learning_rate'"):
        ours("Adam", learning_rate=0.1)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments_are_named_with_what_must_hold_and_what_came(name: str):
    for argument, constraint in constraints_of(getattr(dialect, name)).items():
        for wrong in constraint.wrong():
            with pytest.raises((ValueError, TypeError), match=rf"^{name}\({argument}=...\) must be .*got "):
                ours(name, **{argument: wrong})
