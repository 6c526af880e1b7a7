"""The rules of `compat.optax` give the steps of Optax's own optimizers."""

import inspect
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

from lrsched import compat, rules  # noqa: E402
from lrsched.arguments import constraints_of  # noqa: E402
from lrsched.compat import optax as dialect  # noqa: E402

STEPS = 20
SHAPES = [(), (3,), (2, 3)]  # the last parameter starts at zero; the gradient before it is zero

shares = st.sampled_from([0.0, 0.5, 0.9, 0.99]) | st.floats(0.0, 0.999)
# Where a variance is a difference, small decays leave nothing but rounding.
slow = st.floats(0.1, 0.999)
positive = st.sampled_from([1e-8, 1e-3]) | st.floats(1e-10, 1.0)
# The square of a tiny number is 0, and the norms of LAMB are roots of squares.
some = st.just(0.0) | st.floats(1e-6, 1.0)
masks = st.sampled_from([None, True, False])
flags = st.booleans()
momentum = {"momentum": st.none() | shares, "nesterov": flags}
moments = {"b1": shares, "b2": shares, "eps": positive}
adam = {**moments, "eps_root": some}
decayed = {"weight_decay": some, "mask": masks}


def some_of(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=optional)


ARGUMENTS = {
    "sgd": some_of(**momentum),
    "adam": some_of(**adam, nesterov=flags),
    "adamw": some_of(**adam, **decayed, nesterov=flags),
    "nadam": some_of(**adam, nesterov=flags),
    "nadamw": some_of(**adam, **decayed, nesterov=flags),
    "radam": some_of(**adam, threshold=st.sampled_from([4.0, 5.0]) | st.floats(4.0, 20.0), nesterov=flags),
    "adamax": some_of(**moments),
    "adamaxw": some_of(**moments, **decayed),
    # The surprise of a constant gradient is a difference: a larger eps keeps the rounding small.
    "adabelief": some_of(b1=shares, b2=shares, eps_root=some, nesterov=flags, eps=st.floats(1e-6, 1.0)),
    "yogi": some_of(**moments),
    "adan": some_of(**adam, **decayed, b3=shares),
    "adadelta": some_of(rho=shares, eps=positive, weight_decay=some, weight_decay_mask=masks),
    "sign_sgd": st.just({}),
    "signum": some_of(beta=shares | st.just(1.0)),
    "novograd": some_of(**adam, weight_decay=some),
    "amsgrad": some_of(**adam, bias_correction_mu=flags, bias_correction_nu=flags),
    "rmsprop": some_of(
        decay=slow, eps=positive, initial_scale=some, eps_in_sqrt=flags, bias_correction=flags, **momentum
    ),
    "adagrad": some_of(initial_accumulator_value=some, eps=positive),
    "lion": some_of(b1=st.floats(0.0, 1.0), b2=st.floats(0.0, 1.0), **decayed),
    "lars": some_of(
        weight_decay=some,
        weight_decay_mask=masks,
        trust_coefficient=st.floats(1e-4, 1.0),
        eps=some,
        trust_ratio_mask=flags,
        momentum=shares,
        nesterov=flags,
    ),
    "lamb": some_of(**adam, **decayed),
}
# A variance may be 0 up to rounding: a larger eps keeps the rounding small.
CENTERED = st.fixed_dictionaries(
    {"centered": st.just(True), "eps": st.floats(1e-2, 1.0)},
    optional={"decay": st.floats(0.1, 0.99), "initial_scale": some, "bias_correction": flags, **momentum},
)


def ours(name: str, /, **arguments: Any) -> rules.Rule:
    return getattr(dialect, name)(**arguments)


def rate(t: Any) -> Any:
    return 0.01 * (1 + t % 7)


def arrays(seed: int, zero: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    found = [np.asarray(rng.normal(size=shape)) for shape in SHAPES]
    found[zero][...] = 0
    return found


def native_run(name: str, arguments: dict[str, Any]) -> list[np.ndarray]:
    """Return the parameters after 20 steps of the optimizer of Optax."""
    optimizer = getattr(optax, name)(rate, **arguments)
    with jax.enable_x64(True):
        ps = [jax.numpy.asarray(p) for p in arrays(0, -1)]
        state = optimizer.init(ps)
        for t in range(STEPS):
            updates, state = optimizer.update([jax.numpy.asarray(g) for g in arrays(100 + t, -2)], state, ps)
            ps = optax.apply_updates(ps, updates)
        return [np.asarray(p) for p in ps]


def rule_run(rule: rules.Rule) -> list[np.ndarray]:
    """Return the parameters after 20 steps of the rule."""
    ps = arrays(0, -1)
    slots = rules.init(rule, ps)
    for t in range(STEPS):
        ps, slots = rules.apply(rule, ps, arrays(100 + t, -2), slots, lr=rate(t), step=t)
    return ps


def agree(name: str, arguments: dict[str, Any]) -> None:
    expected = native_run(name, arguments)
    # relative to the largest element: parameters pass through zero
    scale = max(1.0, *(np.abs(q).max() for q in expected))
    for p, q in zip(rule_run(ours(name, **arguments)), expected, strict=True):
        assert q.dtype == np.float64
        np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize("name", ARGUMENTS)
@settings(max_examples=6)
@given(data=st.data())
def test_a_rule_takes_the_steps_of_optax(name: str, data: st.DataObject):
    agree(name, data.draw(ARGUMENTS[name]))


@settings(max_examples=10)
@given(arguments=CENTERED)
def test_a_centered_rule_takes_the_steps_of_optax(arguments: dict[str, Any]):
    agree("rmsprop", arguments)


@settings(max_examples=5)
@given(arguments=CENTERED)
def test_a_centered_rule_with_eps_outside_the_root_takes_the_steps_of_optax(arguments: dict[str, Any]):
    # A gradient that is always zero has no variance; a negative one would be NaN in Optax.
    agree("rmsprop", {**arguments, "eps_in_sqrt": False, "bias_correction": False})


# What chance seldom puts together.
TOGETHER = [
    ("adamw", {"weight_decay": 0.1, "mask": True}),
    ("adamw", {"weight_decay": 0.1, "mask": False}),
    ("rmsprop", {"momentum": 0.9, "nesterov": True, "initial_scale": 1.0, "bias_correction": True}),
    ("lars", {"weight_decay": 0.1, "trust_coefficient": 0.1, "eps": 0.1, "nesterov": True}),
    ("lars", {"weight_decay": 0.1, "trust_coefficient": 0.1, "weight_decay_mask": False}),
    ("lars", {"weight_decay": 0.1, "trust_coefficient": 0.1, "trust_ratio_mask": False}),
    ("lamb", {"weight_decay": 0.1, "eps_root": 1e-3}),
    ("lamb", {"weight_decay": 0.1, "mask": False}),
]


@pytest.mark.parametrize(("name", "arguments"), TOGETHER)
def test_arguments_together_take_the_steps_of_optax(name: str, arguments: dict[str, Any]):
    agree(name, arguments)


@settings(max_examples=10)
@given(
    arguments=some_of(eta_minus=st.floats(0.1, 0.9), eta_plus=st.floats(1.1, 3.0), max_step_size=st.floats(0.011, 1.0))
)
def test_rprop_takes_the_step_that_optax_returns_too_late(arguments: dict[str, Any]):
    optimizer, rule = optax.rprop(0.01, **arguments), ours("rprop", **arguments)
    ps = arrays(0, -1)
    slots = rules.init(rule, ps)
    with jax.enable_x64(True):
        state = optimizer.init([jax.numpy.asarray(p) for p in ps])
        for t in range(STEPS):
            gs = arrays(100 + t, -2)
            late = state[0].prev_updates
            emitted, state = optimizer.update([jax.numpy.asarray(g) for g in gs], state)
            new, slots = rules.apply(rule, ps, gs, slots, lr=0.01, step=t)
            for p, q, due, old, given in zip(ps, new, state[0].prev_updates, late, emitted, strict=True):
                np.testing.assert_allclose(p - q, due, rtol=1e-10, atol=1e-14)
                # the mistake of Optax: what it gives out is of the step before, or 0
                np.testing.assert_array_equal(given, np.where(np.asarray(given) == 0, 0, -np.asarray(old)))
            ps = new


@pytest.mark.parametrize("name", [*ARGUMENTS, "rprop"])
def test_arguments_and_defaults_are_those_of_optax(name: str):
    def signature(function: Any) -> dict[str, Any]:
        return {p.name: p.default for p in inspect.signature(function).parameters.values()}

    native = signature(getattr(optax, name))
    del native["learning_rate"]
    assert signature(getattr(dialect, name)) == native


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_rule_builds_itself_again(name: str):
    rule = ours(name)
    assert eval(repr(rule), vars(rules)) == rule


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("adamw", "mask"),
        ("lion", "mask"),
        ("lamb", "mask"),
        ("adamaxw", "mask"),
        ("adan", "mask"),
        ("adadelta", "weight_decay_mask"),
        ("lars", "weight_decay_mask"),
        ("lars", "trust_ratio_mask"),
    ],
)
@pytest.mark.parametrize("content", [lambda params: params, {"w": True}], ids=["function", "tree"])
def test_a_mask_that_is_no_value_is_refused(name: str, mask: str, content: Any):
    with pytest.raises(TypeError, match=rf"{name}\({mask}=...\) must be True.* False.*, got .*; .*min_ndim"):
        ours(name, **{mask: content})


def test_a_ratio_for_nobody_and_everybody_is_told_apart():
    assert ours("lars", trust_ratio_mask=False) == rules.Momentum(lr_in_buffer=True)


def test_optax_and_the_rule_refuse_no_mask_for_the_ratio():
    with pytest.raises(ValueError, match="None"):
        native_run("lars", {"trust_ratio_mask": None})
    with pytest.raises(TypeError, match=r"lars\(trust_ratio_mask=...\) must be True or False, got None"):
        ours("lars", trust_ratio_mask=None)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nadam", {"mu_dtype": "float64"}, r"nadam\(mu_dtype=...\) must be None \(or float32.*\), got 'float64'"),
        ("nadam", {"mu_dtype": "bfloat16"}, r"nadam\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("nadamw", {"mu_dtype": "bfloat16"}, r"nadamw\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("signum", {"accumulator_dtype": "float16"}, r"signum\(accumulator_dtype=...\) must be None \(.*\), got"),
        ("radam", {"threshold": 3.9}, r"radam\(threshold=...\) must be a finite number >= 4, got 3.9"),
        ("rprop", {"eta_minus": 1.0}, r"rprop\(eta_minus=...\) must be < 1, got 1.0"),
        ("rprop", {"eta_plus": 1.0}, r"rprop\(eta_plus=...\) must be > 1, got 1.0"),
        ("rprop", {"max_step_size": 1e-9}, r"rprop\(max_step_size=...\) must be >= 1e-06, got 1e-09"),
        ("adam", {"mu_dtype": "bfloat16"}, r"adam\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("adamw", {"mu_dtype": "bfloat16"}, r"adamw\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("amsgrad", {"mu_dtype": "bfloat16"}, r"amsgrad\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("lion", {"mu_dtype": "bfloat16"}, r"lion\(mu_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("sgd", {"accumulator_dtype": "bfloat16"}, r"sgd\(accumulator_dtype=...\) must be None \(.*\), got 'bfloat16'"),
        ("adamw", {"weight_decay": rate}, r"adamw\(weight_decay=...\) must be a finite number >= 0, got <function"),
        ("adam", {"learning_rate": 0.1}, r"adam\(\) .*unexpected keyword argument 'learning_rate'"),
    ],
)
def test_what_a_rule_cannot_hold_is_refused(name: str, arguments: dict[str, Any], message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        ours(name, **arguments)


def test_a_learning_rate_given_by_place_is_refused():
    with pytest.raises(TypeError, match=r"adam\(\) has too many positional arguments"):
        dialect.adam(0.1)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_arguments_are_named_with_what_must_hold_and_what_came(name: str):
    for argument, constraint in constraints_of(getattr(dialect, name)).items():
        for wrong in constraint.wrong():
            with pytest.raises((ValueError, TypeError), match=rf"^{name}\({argument}=...\) must be .*got "):
                ours(name, **{argument: wrong})


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "f4"])
def test_the_dtype_that_moments_have_in_any_case_may_be_named(dtype: Any):
    assert compat.optax.adam(mu_dtype=dtype) == compat.optax.adam()
    assert compat.optax.sgd(momentum=0.9, accumulator_dtype=dtype) == compat.optax.sgd(momentum=0.9)
    assert compat.optax.adafactor(dtype_momentum=dtype) == compat.optax.adafactor()
