"""Update rules on NumPy arrays: laws, hand-computed steps, containers, dtypes, errors."""

import copy
import pickle
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rule_samples import SAMPLES, alone, natural, positive

from lrsched import rules
from lrsched._core import offers
from lrsched._core.check import constraints
from lrsched._core.config import from_config, to_config
from lrsched._core.parse import parse_value
from lrsched._core.value import Value

RNG = np.random.default_rng(0)
SHAPES = [(), (0,), (3,), (4, 5), (2, 3, 4)]

ranks = st.integers(0, 3)
parts_before = st.one_of(
    st.builds(rules.ClipByValue, positive),
    st.builds(rules.ClipByNorm, positive, natural),
    st.builds(rules.ClipByGlobalNorm, positive, natural),
    st.builds(rules.L2, natural, ranks),
    st.builds(rules.L1, natural, ranks),
)
parts_after = st.one_of(
    st.builds(rules.ClipByValue, positive),
    st.builds(rules.ClipByGlobalNorm, positive),
    st.builds(rules.DecoupledWeightDecay, natural, st.booleans(), ranks),
)
leaves = st.one_of(*(sample.drawn for sample in alone()))


def _wrap(inner: st.SearchStrategy[rules.Rule]) -> st.SearchStrategy[rules.Rule]:
    return st.one_of(
        st.builds(
            lambda a, rule, b: rules.Rule.sequence([*a, rule, *b]),
            st.lists(parts_before, max_size=2),
            inner,
            st.lists(parts_after, max_size=2),
        ),
        st.builds(
            rules.Layerwise,
            inner,
            positive,
            natural,
            at=st.sampled_from(["update", "gradient"]),
            denominator=st.sampled_from(["separate", "joint", "plain"]),
            eps=natural,
            min_ndim=ranks,
            decay_skipped=st.booleans(),
            clip=st.booleans(),
            upper=st.none() | positive,
        ),
    )


any_rule = st.recursive(leaves, _wrap, max_leaves=3)
rule_or_shaped = any_rule | st.one_of(*(sample.drawn for sample in SAMPLES if not sample.alone))


def tensors(seed: int, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape)).astype(dtype) for shape in SHAPES]


def trained(rule: rules.Rule, params: Any, steps: int = 5, seed: int = 1, lr: Any = lambda t: 0.1 / (t + 1)) -> Any:
    slots = rules.init(rule, params)
    for t in range(steps):
        grads = [np.asarray(g, p.dtype) for g, p in zip(tensors(seed + t), params, strict=True)]
        params, slots = rules.apply(rule, params, grads, slots, lr=lr(t), step=t)
    return params, slots


def one_step(rule: rules.Rule, p: Any, g: Any, **how: Any) -> np.ndarray:
    p, g = np.asarray(p, np.float64), np.asarray(g, np.float64)
    return rule.delta(p, g, rule.init(p), **({"lr": 1.0, "step": 0} | how))[0]


# The algebra


@given(st.lists(parts_before, min_size=1, max_size=3), leaves, st.lists(parts_after, min_size=1, max_size=3))
def test_joining_is_associative(before: Any, rule: Any, after: Any):
    links = [*before, rule, *after]
    left = links[0]
    for link in links[1:]:
        left = left >> link
    right = links[-1]
    for link in reversed(links[:-1]):
        right = (
            link >> right
            if not isinstance(right, rules.Part) or isinstance(link, rules.Rule)
            else rules.Parts((link, right))
        )
    assert left == right == rules.Rule.sequence(links)


@given(rule_or_shaped)
def test_a_rule_prints_as_the_text_that_builds_it(rule: rules.Rule):
    assert parse_value(repr(rule), "rule") == rule
    assert eval(repr(rule), vars(rules).copy()) == rule


@given(rule_or_shaped)
def test_a_rule_survives_config_pickle_and_copy(rule: rules.Rule):
    assert from_config(to_config(rule)) == rule
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert copy.deepcopy(rule) == rule


@given(rule_or_shaped)
def test_equal_rules_have_equal_hashes(rule: rules.Rule):
    assert hash(parse_value(repr(rule), "rule")) == hash(rule)


def test_parts_without_a_rule_can_be_named_and_joined_later():
    parts = rules.ClipByGlobalNorm(1.0) >> rules.L2(1e-4)
    assert parts >> rules.SGD() == rules.ClipByGlobalNorm(1.0) >> (rules.L2(1e-4) >> rules.SGD())
    assert parse_value(repr(parts), "rule") == parts


def test_inner_chains_are_flattened():
    a, b, c = rules.L2(0.1), rules.L1(0.1), rules.SGD()
    assert rules.Parts((rules.Parts((a, b)), a)).links == (a, b, a)
    assert rules.Pipeline((rules.Parts((a, b)), rules.Pipeline((c,)))).links == (a, b, c)


def test_chains_of_one_link_print_as_what_builds_them():
    for chain in (rules.Parts((rules.L2(0.1),)), rules.Pipeline((rules.SGD(),))):
        assert parse_value(repr(chain), "rule") == chain


def test_adamw_is_adam_with_decoupled_decay():
    assert rules.AdamW(weight_decay=1e-2) == rules.Adam() >> rules.DecoupledWeightDecay(1e-2)


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([rules.SGD(), rules.Adam()], r"exactly one rule, got \[SGD\(\), Adam\(\)\]"),
        ([rules.DecoupledWeightDecay(0.1), rules.SGD()], r"DecoupledWeightDecay\(0.1\) must stand after the rule"),
        ([rules.SGD(), rules.L2(0.1)], r"L2\(0.1\) must stand before the rule"),
        ([rules.SGD(), rules.L1(0.1)], r"L1\(0.1\) must stand before the rule"),
    ],
)
def test_a_chain_with_a_link_in_the_wrong_place_is_refused(links: Any, message: str):
    with pytest.raises(ValueError, match=message):
        links[0] >> links[1]


def test_a_chain_of_parts_only_is_refused():
    with pytest.raises(ValueError, match="exactly one rule, got parts only"):
        rules.Pipeline((rules.L2(0.1),))


def test_a_link_joins_only_links():
    with pytest.raises(TypeError, match="unsupported operand"):
        rules.SGD() >> 3
    with pytest.raises(TypeError, match="unsupported operand"):
        rules.L2(0.1) >> 3


# Arguments

# Those of this library: other tests define some too.
OWN = [cls for name, cls in offers.CLASSES["rule"].items() if getattr(rules, name, None) is cls]
CLASSES = sorted(OWN, key=lambda cls: cls.__name__)
NEEDED = {
    "DecayBefore": {"rule": rules.SGD(), "strength": 0.1},
    "Layerwise": {"rule": rules.SGD()},
    "OwnRate": {"rule": rules.SGD()},
    "ScheduleFree": {"rule": rules.SGD()},
    "Split": {"rule": rules.SGD(), "others": rules.SGD()},
    "ClipByValue": {"limit": 1.0},
    "ClipByNorm": {"max_norm": 1.0},
    "ClipByGlobalNorm": {"max_norm": 1.0},
    "L1": {"strength": 0.1},
    "L2": {"strength": 0.1},
    "DecoupledWeightDecay": {"strength": 0.1},
    "Parts": {"links": (rules.L2(0.1),)},
    "Pipeline": {"links": (rules.SGD(),)},
}


@pytest.mark.parametrize(
    ("cls", "field", "where", "bad"),
    [
        pytest.param(cls, field, where, bad, id=f"{cls.__name__}-{field}-{i}")
        for cls in CLASSES
        for field, where, constraint in constraints(cls)
        for i, bad in enumerate(constraint.wrong())
    ],
)
def test_a_wrong_argument_is_refused_by_name(cls: Any, field: str, where: str, bad: Any):
    with pytest.raises((TypeError, ValueError)) as caught:
        cls(**NEEDED.get(cls.__name__, {}) | {field: bad})
    assert str(caught.value).startswith(where.removesuffix("=...)"))
    assert " must be " in str(caught.value)


def test_every_public_class_is_known_to_the_text_form():
    public = {n for n in rules.__all__ if isinstance(getattr(rules, n), type) and issubclass(getattr(rules, n), Value)}
    assert public - {"Link", "Local", "Part", "Rule"} == {cls.__name__ for cls in CLASSES}


def test_every_rule_that_stands_alone_has_a_line():
    around = {"DecayBefore", "Layerwise", "OwnRate", "Pipeline", "ScheduleFree", "Split"}
    own = {cls.__name__ for cls in CLASSES if issubclass(cls, rules.Rule)}
    assert {type(sample.rule).__name__ for sample in SAMPLES} == own - around


def test_nesterov_with_dampening_is_refused():
    with pytest.raises(ValueError, match=r"Momentum\(dampening=...\) must be 0 with nesterov=True, got 0.1"):
        rules.Momentum(dampening=0.1, nesterov=True)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match=r"RMSprop\(momentum=...\) must be > 0 with nesterov=True, got 0.0"):
        rules.RMSprop(nesterov=True)


# One step, worked out by hand

G = 2.0
ONE_STEP = [
    (rules.OwnRate(rules.SGD(), warmup=4, decay=0.5), -0.5),  # 2 / 4
    (rules.SGD(), -2.0),
    (rules.Momentum(0.9), -2.0),
    (rules.Momentum(0.9, dampening=0.25), -1.5),  # 0.75 * 2
    (rules.Momentum(0.9, dampening=0.25, first_step="clone"), -2.0),
    (rules.Nesterov(0.5), -3.0),  # 2 + 0.5 * 2
    (rules.AdaGrad(eps=1.0), -2 / 3),  # 2 / (sqrt(4) + 1)
    (rules.AdaGrad(eps=5.0, eps_at="inside"), -2 / 3),  # 2 / sqrt(4 + 5)
    (rules.AdaGrad(eps=1e-300, initial=12.0), -0.5),  # 2 / sqrt(12 + 4)
    (rules.RMSprop(0.75, eps=1.0), -1.0),  # v = 1: 2 / (1 + 1)
    (rules.RMSprop(0.75, eps=3.0, eps_at="inside"), -1.0),  # 2 / sqrt(1 + 3)
    (rules.RMSprop(0.75, eps=1.0, initial=32.0), -1 / 3),  # v = 24 + 1: 2 / (5 + 1)
    (rules.RMSprop(0.75, eps=3.25, eps_at="inside", centered=True), -1.0),  # v - m^2 = 1 - 0.25
    (rules.RMSprop(0.75, eps=2.0, bias_correction=True), -0.5),  # v' = 4: 2 / (2 + 2)
    (rules.RMSprop(0.75, eps=1.0, momentum=0.5, nesterov=True), -1.5),  # d + 0.5 d
    (rules.Adam(0.5, 0.75, eps=2.0), -0.5),  # m' = 2, v' = 4: 2 / (2 + 2)
    (rules.Adam(0.5, 0.75, eps=12.0, eps_at="inside"), -0.5),  # 2 / sqrt(4 + 12)
    (rules.Adam(0.5, 0.75, eps=1.0, eps_at="hat"), -0.5),  # sqrt(0.25) / 0.5 * m / (sqrt(v) + 1), m = v = 1
    (rules.Adam(0.5, 0.75, eps=1.0, correct_m=False, correct_v=False), -0.5),  # m = 1, v = 1: 1 / (1 + 1)
    (rules.Adam(0.5, 0.75, eps=1.0, eps_root=5.0), -0.5),  # 2 / (sqrt(4 + 5) + 1)
    (rules.Lion(), -1.0),
    (rules.Signum(0.5), -1.0),
    (rules.SignSGD(), -1.0),
    (rules.AdaDelta(0.75, eps=3.0), -np.sqrt(3.0)),  # v = 1: sqrt(3) / sqrt(1 + 3) * 2
    (rules.NAdam(0.5, 0.75, 2.0, momentum_decay=0.0), -17 / 30),  # mu = 1/4: (1/4 / (15/16) + 3/4 / (3/4) * 2) / 4
    (rules.NAdam(0.5, 0.75, 2.0, momentum_decay=None), -2 / 3),  # (1/2 / (3/4) + 1/2 / (1/2) * 2) / (2 + 2)
    (rules.NAdam(0.5, 0.75, 2.0, None, eps_root=5.0), -8 / 15),  # (2/3 + 2) / (sqrt(4 + 5) + 2)
    (rules.RAdam(0.5), -2.0),  # not divided yet
    (rules.Adamax(0.5, eps=2.0), -0.5),  # m' = 2, u = 2 + 2
    (rules.AdaBelief(0.5, 0.75, eps=1.0, eps_root=0.0), -1.0),  # m = 1, v = 1/4, v' = 1: 2 / (1 + 1)
    (rules.AdaBelief(0.5, 0.75, eps=1.0, eps_root=0.75), -2 / 3),  # v = 1, v' = 4: 2 / (2 + 1)
    (rules.Yogi(0.5, 0.75, eps=2.0, initial=0.0), -0.5),  # m' = 2, v = 1, v' = 4
    (rules.Yogi(0.5, 0.75, eps=2.0, initial=10.0), -1.5),  # m = 6, m' = 12; v = 10 - 1, v' = 36: 12 / (6 + 2)
    (rules.Adan(0.5, 0.5, 0.75, eps=2.0), -0.5),  # m' = 2, v' = 4, no change yet
    (rules.NovoGrad(eps=2.0), -0.5),  # 2 / (2 + 2)
    (rules.NovoGrad(eps=2.0, weight_decay=0.25, eps_root=12.0), -4 / 3),  # 2 / (sqrt(4 + 12) + 2) + 0.25 * 4
    (rules.Rprop(), -1.0),  # the first size is the rate
    (rules.Rprop(initial=0.5), -0.5),
    (rules.ClipByValue(0.5) >> rules.SGD(), -0.5),
    (rules.ClipByNorm(0.5) >> rules.SGD(), -0.5),
    (rules.ClipByNorm(1.0, eps=2.0) >> rules.SGD(), -0.5),  # 2 * 1 / (2 + 2)
    (rules.ClipByGlobalNorm(0.5) >> rules.SGD(), -0.5),
    (rules.SGD() >> rules.ClipByValue(0.5), -0.5),
    (rules.L2(0.5) >> rules.SGD(), -4.0),  # 2 + 0.5 * 4
    (rules.L1(0.5) >> rules.SGD(), -2.5),  # 2 + 0.5 * 1
    (rules.SGD() >> rules.DecoupledWeightDecay(0.25), -3.0),  # 2 + 0.25 * 4
    (rules.Layerwise(rules.SGD(), 0.5, min_ndim=0), -2.0),  # 0.5 * 4 / 2 * 2
    (rules.Layerwise(rules.SGD(), 0.5, min_ndim=1), -2.0),  # skipped
    (rules.Layerwise(rules.SGD(), 1.0, 0.5, min_ndim=0), -4.0),  # 4 / (2 + 2) * (2 + 2)
    (rules.Layerwise(rules.SGD(), 1.0, 0.5, denominator="joint", min_ndim=0), -4.0),  # 4 / 4 * 4
    (rules.Layerwise(rules.SGD(), 1.0, 0.5, denominator="plain", min_ndim=0), -8.0),  # 4 / 2 * 4
    (rules.Layerwise(rules.SGD(), 1.0, eps=2.0, min_ndim=0), -2.0),  # 4 / (2 + 2) * 2
    (rules.Layerwise(rules.SGD(), 1.0, min_ndim=0, upper=0.5), -1.0),
    (rules.Layerwise(rules.SGD(), 1.0, 0.5, min_ndim=1), -2.0),
    (rules.Layerwise(rules.SGD(), 1.0, 0.5, min_ndim=1, decay_skipped=True), -4.0),
]


@pytest.mark.parametrize(("rule", "expected"), ONE_STEP, ids=lambda x: repr(x))
def test_the_first_step_is_what_the_formula_says(rule: rules.Rule, expected: float):
    # p = 4, g = 2, lr = 1
    np.testing.assert_allclose(one_step(rule, 4.0, G), expected, rtol=1e-15)


def test_the_second_step_of_momentum_is_not_a_clone():
    rule = rules.Momentum(0.5, dampening=0.25, first_step="clone")
    p = np.ones(1)
    _, slots = rule.delta(p, np.array([2.0]), rule.init(p), lr=1.0, step=0)
    delta, _ = rule.delta(p, np.array([4.0]), slots, lr=1.0, step=1)
    assert delta == -4.0  # 0.5 * 2 + 0.75 * 4


def test_dampening_equal_to_momentum_is_the_exponential_average():
    rule, p, v = rules.Momentum(0.9, dampening=0.9), np.zeros(1), 0.0
    slots = rule.init(p)
    for t, g in enumerate([1.0, -2.0, 0.5]):
        delta, slots = rule.delta(p, np.array([g]), slots, lr=0.1, step=t)
        v = 0.9 * v + 0.1 * g
        np.testing.assert_allclose(delta, -0.1 * v, rtol=1e-15)


@pytest.mark.parametrize("make", [rules.Momentum, lambda b, **how: rules.RMSprop(0.0, eps=1e-300, momentum=b, **how)])
@pytest.mark.parametrize(("inside", "second"), [(False, -0.75), (True, -1.0)])
def test_a_learning_rate_in_the_buffer_stays_with_its_gradient(make: Any, inside: bool, second: float):
    rule, p = make(0.5, lr_in_buffer=inside), np.zeros(1)
    _, slots = rule.delta(p, np.ones(1), rule.init(p), lr=1.0, step=0)
    # the rate falls to 0.5; outside: 0.5 * (0.5 * 1 + 1), inside: 0.5 * 1 + 0.5 * 1
    delta, _ = rule.delta(p, np.ones(1), slots, lr=0.5, step=1)
    assert delta == second


def test_amsgrad_keeps_the_largest_second_moment():
    rule, p = rules.AMSGrad(0.0, 0.5, eps=1e-300), np.zeros(1)
    _, slots = rule.delta(p, np.array([8.0]), rule.init(p), lr=1.0, step=0)
    delta, slots = rule.delta(p, np.ones(1), slots, lr=1.0, step=1)
    assert slots.v_max == 32.0  # v: 0.5 * 64, then 0.5 * 32 + 0.5
    np.testing.assert_allclose(delta, -1.0 / np.sqrt(32.0 / 0.75))


def test_corrected_amsgrad_keeps_the_largest_corrected_moment():
    rule, p = rules.AMSGrad(0.0, 0.5, eps=1e-300, corrected=True), np.zeros(1)
    _, slots = rule.delta(p, np.array([8.0]), rule.init(p), lr=1.0, step=0)
    delta, slots = rule.delta(p, np.ones(1), slots, lr=1.0, step=1)
    assert slots.v_max == 64.0  # 32 / 0.5
    np.testing.assert_allclose(delta, -1.0 / 8.0)


def test_lion_steps_by_one_average_and_keeps_another():
    rule, p = rules.Lion(0.5, 0.75), np.zeros(1)
    _, slots = rule.delta(p, np.array([4.0]), rule.init(p), lr=1.0, step=0)
    assert slots.m == 1.0  # 0.25 * 4
    delta, slots = rule.delta(p, np.array([-2.0]), slots, lr=1.0, step=1)
    assert delta == 1.0  # -sign(0.5 * 1 - 0.5 * 2)
    assert slots.m == 0.25  # 0.75 * 1 - 0.25 * 2


def second_step(rule: rules.Rule, first: float, second: float, rate: float = 1.0) -> np.ndarray:
    p = np.zeros(1)
    _, slots = rule.delta(p, np.array([first]), rule.init(p), lr=1.0, step=0)
    return rule.delta(p, np.array([second]), slots, lr=rate, step=1)[0]


def test_adan_follows_the_change_of_the_gradient():
    # m' = 4; the change 2 averages to 1, corrected 1 / (1 - 1/4); v = (4 + 1/2 * 2)^2
    found = second_step(rules.Adan(0.0, 0.5, 0.0, eps=1e-300), 2.0, 4.0)
    np.testing.assert_allclose(found, -(4 + 1 / 2 * 4 / 3) / 5, rtol=1e-15)
    found = second_step(rules.Adan(0.0, 0.5, 0.0, eps=1e-300, look_ahead=1.0), 2.0, 4.0)
    np.testing.assert_allclose(found, -(4 + 4 / 3) / 6, rtol=1e-15)


def test_adamax_keeps_a_decaying_maximum():
    # u = max(1/2 * (8 + 1), 2 + 1), and max(1/2 * 8, 2) + 1
    np.testing.assert_allclose(second_step(rules.Adamax(0.0, 0.5, 1.0), 8.0, 2.0), -2 / 4.5, rtol=1e-15)
    np.testing.assert_allclose(second_step(rules.Adamax(0.0, 0.5, 1.0, "outside"), 8.0, 2.0), -2 / 5, rtol=1e-15)


def test_novograd_starts_with_the_whole_norm():
    # v = 4, then 3/4 * 4 + 1/4 * 36 = 12; m = 2 / 2, then 1/2 * 1 + 6 / sqrt(12)
    found = second_step(rules.NovoGrad(0.5, 0.75, eps=1e-300), 2.0, 6.0)
    np.testing.assert_allclose(found, -(1 / 2 + 6 / np.sqrt(12)), rtol=1e-15)


def test_novograd_has_one_number_a_tensor():
    assert rules.NovoGrad().init(np.ones((2, 3))).v.shape == ()


@pytest.mark.parametrize(("second", "size"), [(4.0, 1.25), (-4.0, 0.0), (0.0, 0.0)])
def test_rprop_takes_its_rate_from_the_first_update_only(second: float, size: float):
    assert second_step(rules.Rprop(0.5, 1.25), 2.0, second, rate=100.0) == -size


def test_rprop_with_an_initial_size_follows_the_rate():
    assert second_step(rules.Rprop(0.5, 1.25, initial=2.0), 2.0, 4.0, rate=0.5) == -1.25  # 2 * 1.25 * 0.5


def test_rprop_waits_where_the_sign_changes_then_steps_half_as_far():
    rule, p = rules.Rprop(0.5, 1.25), np.zeros(1)
    slots, moves = rule.init(p), []
    for t, g in enumerate([1.0, -1.0, -1.0, -1.0]):
        move, slots = rule.delta(p, np.array([g]), slots, lr=1.0, step=t)
        moves.append(float(move[0]))
    assert moves == [-1.0, 0.0, 0.5, 0.625]


def test_rprop_whose_bounds_cross_is_refused():
    with pytest.raises(ValueError, match=r"Rprop\(largest=...\) must be >= smallest=1.0, got 0.5"):
        rules.Rprop(smallest=1.0, largest=0.5)


@pytest.mark.parametrize("b2", [0.7, 0.9, 0.999])
def test_radam_starts_to_divide_when_the_length_passes_the_threshold(b2: float):
    rule, p = rules.RAdam(0.0, b2, eps=1e-300), np.zeros(1)
    slots, most = rule.init(p), 2 / (1 - b2) - 1
    for t in range(1, 13):
        delta, slots = rule.delta(p, np.array([3.0]), slots, lr=1.0, step=t - 1)
        r = most - 2 * t * b2**t / (1 - b2**t)
        k = np.sqrt((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r)) if r > 5 else 3.0
        np.testing.assert_allclose(delta, -k, rtol=1e-10)


def test_a_small_gradient_after_a_large_one_is_not_lost():
    # v = b2 * 1e20 + (1 - b2) * 1, where the first term is 1e-9: not 1e20 - 1e20 + ...
    found = second_step(rules.RMSprop(1e-29, eps=1e-300), 1e10, 1.0)
    np.testing.assert_allclose(found, -1.0, rtol=1e-8)


@pytest.mark.parametrize(("p", "g", "expected"), [(0.0, 2.0, -2.0), (4.0, 0.0, -1.0)])
def test_a_zero_norm_leaves_the_step_as_it_is(p: float, g: float, expected: float):
    # the step is g + 0.25 p; a ratio would be 0.5 * p / (g + 0.25 p) = 0 or 2
    assert one_step(rules.Layerwise(rules.SGD(), 0.5, 0.25, min_ndim=0, at="gradient"), p, g) == expected


def test_larc_bounds_the_trust_ratio_by_the_learning_rate():
    rule = rules.Layerwise(rules.SGD(), 0.5, min_ndim=0, at="gradient", clip=True)
    # the ratio 0.5 * 4 / 2 = 1 is a rate: min(1, lr)
    assert one_step(rule, 4.0, 2.0, lr=0.25) == -0.25 * 2.0
    assert one_step(rule, 4.0, 2.0, lr=8.0) == -1.0 * 2.0


def test_l1_follows_the_sign_of_the_parameter():
    np.testing.assert_array_equal(one_step(rules.L1(0.5) >> rules.SGD(), [-4.0, 0.0], [2.0, 2.0]), [-1.5, -2.0])


def test_decay_that_is_not_times_lr_ignores_the_learning_rate():
    rule = rules.SGD() >> rules.DecoupledWeightDecay(0.25, times_lr=False)
    assert one_step(rule, 4.0, 0.0, lr=0.0) == -1.0


@pytest.mark.parametrize("part", [rules.L1(0.5, min_ndim=2), rules.L2(0.5, min_ndim=2)])
def test_a_gradient_decay_spares_tensors_of_few_dimensions(part: rules.Part):
    rule = part >> rules.SGD()
    assert one_step(rule, [1.0], [1.0]) == -1.0
    assert one_step(rule, [[1.0]], [[1.0]]) == -1.5


def test_decoupled_decay_spares_tensors_of_few_dimensions():
    rule = rules.AdamW(weight_decay=0.5, min_ndim=2)
    np.testing.assert_array_equal(one_step(rule, [1.0], [0.0]), 0.0)
    assert one_step(rule, [[1.0]], [[0.0]]) == -0.5


def test_layerwise_at_the_update_is_lamb():
    p, g = np.array([[3.0, 4.0]]), np.array([[1.0, -1.0]])
    # the first update of Adam at rate 1 is the sign (eps vanishes): u + 0.5 p = (2.5, 1)
    expected = -0.1 * 5.0 / np.hypot(2.5, 1.0) * np.array([[2.5, 1.0]])
    np.testing.assert_allclose(one_step(rules.lamb(eps=1e-300, weight_decay=0.5), p, g, lr=0.1), expected, rtol=1e-14)


def lars_reference(p: np.ndarray, gs: Any, lrs: Any, momentum: float, wd: float, clip: bool) -> np.ndarray:
    """timm.optim.Lars, restated: rate outside the buffer, 1e-8 in the denominator, always adapting."""
    buffer = None
    for g, lr in zip(gs, lrs, strict=True):
        w, n = np.sqrt((p * p).sum()), np.sqrt((g * g).sum())
        ratio = 0.001 * w / (n + w * wd + 1e-8) if w > 0 and n > 0 else 1.0
        if clip:
            ratio = min(ratio / lr, 1.0)
        g = (g + wd * p) * ratio
        buffer = g if buffer is None else momentum * buffer + g
        p = p - lr * buffer
    return p


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("zero", [False, True], ids=["normal", "zero"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lars_agrees_with_a_restatement_of_timm(shape: tuple[int, ...], zero: bool, clip: bool):
    rng = np.random.default_rng(7)
    p = np.zeros(shape) if zero else np.asarray(rng.normal(size=shape))
    gs = [np.asarray(rng.normal(size=shape)) for _ in range(50)]
    lrs = [0.5 / (t + 1) for t in range(50)]
    rule = rules.Layerwise(rules.Momentum(0.9), 1e-3, 0.01, at="gradient", eps=1e-8, min_ndim=0, clip=clip)
    q, slots = p, rule.init(p)
    for t, g in enumerate(gs):
        q, slots = rules.apply(rule, q, g, slots, lr=lrs[t], step=t)
    np.testing.assert_allclose(q, lars_reference(p, gs, lrs, 0.9, 0.01, clip), rtol=1e-10)


# Containers


class Layer(NamedTuple):
    w: Any
    b: Any


def test_containers_come_back_as_they_were():
    params = {
        "a": [np.ones(2), None, (np.ones(()), np.ones((2, 2)))],
        "b": OrderedDict(z=np.ones(1), y=Layer(np.ones(3), None)),
        "c": defaultdict(list, d=np.ones(4)),
        "e": (),
    }
    new, slots = rules.apply(rules.Adam(), params, params, rules.init(rules.Adam(), params), lr=0.1, step=0)
    assert repr(new).replace("0.9", "1.") == repr(params)
    assert list(slots["b"]) == ["z", "y"]
    assert type(slots["b"]["y"].w).__name__ == "AdamSlots"
    assert new["c"].default_factory is list


def test_apply_changes_nothing_in_place():
    rule = rules.ClipByGlobalNorm(0.1) >> rules.L2(0.1) >> rules.RMSprop(momentum=0.9, centered=True)
    params, grads = tensors(0), tensors(1)
    slots = rules.init(rule, params)
    before = copy.deepcopy((params, grads, slots))
    rules.apply(rule, params, grads, slots, lr=0.1, step=0)
    assert repr((params, grads, slots)) == repr(before)


@pytest.mark.parametrize("rule", [rule for rule, _ in ONE_STEP], ids=repr)
def test_no_result_shares_memory_with_an_argument_or_another_result(rule: rules.Rule):
    # adapters copy results back in place
    p, g = np.ones((2, 3)), np.ones((2, 3))
    old = rule.init(p)
    delta, new = rule.delta(p, g, old, lr=0.1, step=0)
    arrays = [p, g, delta, *(x for slots in (old, new) for x in slots if x is not None)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_a_missing_gradient_leaves_parameter_and_slots():
    rule, params = rules.Momentum(), {"a": np.ones(2), "b": np.ones(2)}
    slots = rules.init(rule, params)
    new, after = rules.apply(rule, params, {"a": None, "b": np.ones(2)}, slots, lr=0.1, step=0)
    assert new["a"] is params["a"]
    assert after["a"] is slots["a"]
    assert (new["b"] == 0.9).all()


def test_nothing_to_do_gives_back_what_came():
    assert rules.apply(rules.Adam(), {"a": None}, {"a": None}, {"a": None}, lr=0.1, step=0) == (
        {"a": None},
        {"a": None},
    )


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({"a": np.ones(2)}, r"apply\(params\) is a dict with the keys \['a', 'b'\], and so must be apply\(grads\)"),
        ({"a": np.ones(2), "c": []}, r"apply\(params\) is a dict with the keys \['a', 'b'\]"),
        ([np.ones(2)], r"apply\(params\) is a dict with the keys"),
        ({"a": np.ones(2), "b": (np.ones(1),)}, r"apply\(params\)\['b'\] is a list of length 1"),
        ({"a": np.ones(2), "b": []}, r"apply\(params\)\['b'\] is a list of length 1"),
        (
            {"a": np.ones(3), "b": [np.ones(1)]},
            r"apply\(grads\)\['a'\] must have the shape \(2,\) of its parameter, got",
        ),
    ],
)
def test_other_containers_are_refused(grads: Any, message: str):
    params = {"a": np.ones(2), "b": [np.ones(1)]}
    with pytest.raises(ValueError, match=message):
        rules.apply(rules.SGD(), params, grads, rules.init(rules.SGD(), params), lr=0.1, step=0)


def test_a_gradient_where_no_parameter_is_is_refused():
    with pytest.raises(ValueError, match=r"apply\(params\)\[0\] is None, and so must be apply\(grads\)\[0\]"):
        rules.apply(rules.SGD(), [None], [np.ones(1)], [None], lr=0.1, step=0)


def test_the_global_norm_runs_over_all_tensors_of_apply():
    params, grads = [np.zeros(1), np.zeros(())], [np.array([3.0]), np.array(4.0)]
    new, _ = rules.apply(rules.ClipByGlobalNorm(1.0) >> rules.SGD(), params, grads, [(), ()], lr=1.0, step=0)
    np.testing.assert_allclose([new[0][0], new[1]], [-0.6, -0.8], rtol=1e-15)


# Kinds and shapes

BAD_PARAMETERS = [np.ones(2, np.int32), np.ones(2, np.complex128), np.ones(2, bool), np.array(["a"]), 1.0, "p", [1.0]]


@pytest.mark.parametrize("p", BAD_PARAMETERS, ids=lambda p: f"{getattr(p, 'dtype', type(p))}")
def test_a_parameter_that_is_no_real_floating_point_array_is_refused(p: Any):
    with pytest.raises(
        TypeError, match=r"Adam\.init\(p\) must be an array of numpy, torch, jax or tensorflow, of float16"
    ):
        rules.Adam().init(p)
    if not isinstance(p, list):
        with pytest.raises(TypeError, match=r"init\(params\)\['w'\] must be an array"):
            rules.init(rules.Adam(), {"w": p})


def delta(**changes: Any) -> Any:
    rule, p = rules.Adam(), np.ones(2)
    arguments = {"p": p, "g": p, "slots": rule.init(p), "lr": 0.1, "step": 0} | changes
    return rule.delta(**arguments)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"g": np.ones(2, int)},
            TypeError,
            r"Adam\.delta\(g\) must be a numpy array of float16.*got a numpy array of int",
        ),
        ({"g": 1.0}, TypeError, r"Adam\.delta\(g\) must be a numpy array of float16.*got 1.0"),
        ({"g": np.ones(3)}, ValueError, r"Adam\.delta\(g\) must have the shape \(2,\) of its parameter, got .* \(3,\)"),
        ({"g": np.ones((2, 1))}, ValueError, r"Adam\.delta\(g\) must have the shape \(2,\)"),
        ({"slots": rules.Adam().init(np.ones(2))._replace(m=1.0)}, TypeError, r"\.m must be a numpy array, got 1.0"),
        ({"slots": ()}, TypeError, r"Adam\.delta\(slots\) must be what init\(...\) of the same rule gave, got \(\)"),
        ({"slots": rules.Momentum().init(np.ones(2))}, TypeError, r"Adam\.delta\(slots\) must be what init"),
        ({"slots": rules.AMSGrad().init(np.ones(2))}, TypeError, r"Adam\.delta\(slots\)\.v_max must be what init"),
        ({"slots": rules.Adam().init(np.ones(3))}, ValueError, r"Adam\.delta\(slots\)\.m must have the shape \(2,\)"),
        ({"lr": "0.1"}, TypeError, r"Adam\.delta\(lr=...\) must be a number or a 0-d array, got '0.1'"),
        ({"lr": True}, TypeError, r"Adam\.delta\(lr=...\) must be a number or a 0-d array, got True"),
        ({"lr": np.ones(2)}, ValueError, r"Adam\.delta\(lr=...\) must be a number or a 0-d array, got a numpy array"),
        ({"step": -1}, ValueError, r"Adam\.delta\(step=...\) must be an int >= 0, got -1"),
        ({"step": 0.5}, ValueError, r"Adam\.delta\(step=...\) must be an int >= 0, got 0.5"),
        ({"step": None}, TypeError, r"Adam\.delta\(step=...\) must be a number or a 0-d array, got None"),
    ],
)
def test_a_wrong_argument_of_delta_is_refused(changes: Any, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        delta(**changes)


@pytest.mark.parametrize("function", [rules.init, lambda *a: rules.apply(*a, [np.ones(1)], [()], lr=0.1, step=0)])
def test_parts_are_no_rule(function: Any):
    with pytest.raises(
        TypeError, match=r"must be a rule such as rules.Adam\(\), got L2\(0.1\); write L2\(0.1\) >> SGD\(\)"
    ):
        function(rules.L2(0.1), [np.ones(1)])


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.array(0.5), 0.5], ids=lambda x: str(type(x)))
def test_a_learning_rate_may_be_any_number(number: Any):
    assert (delta(lr=number)[0] == delta(lr=0.5)[0]).all()


@pytest.mark.parametrize("step", [np.int64(3), np.array(3), 3.0, np.uint8(3)], ids=lambda x: str(type(x)))
def test_a_step_may_be_any_whole_number(step: Any):
    assert (delta(step=step)[0] == delta(step=3)[0]).all()


# Values that go wrong elsewhere


@given(any_rule, st.sampled_from(SHAPES))
def test_zeros_give_finite_results(rule: rules.Rule, shape: tuple[int, ...]):
    p = np.zeros(shape)
    new, slots = rules.apply(rule, p, p, rule.init(p), lr=0.1, step=0)
    assert np.isfinite(new).all()
    assert all(np.isfinite(x).all() for x in slots if x is not None)


@given(any_rule)
def test_shapes_and_dtypes_come_back(rule: rules.Rule):
    params = tensors(0, np.float32)
    new, slots = trained(rule, params, steps=2)
    assert [(x.shape, x.dtype) for x in new] == [(x.shape, x.dtype) for x in params]
    for p, s in zip(params, slots, strict=True):
        found, first = ([(x.shape, x.dtype) for x in xs if x is not None] for xs in (s, rule.init(p)))
        assert found == first
        assert all(shape in (p.shape, ()) and dtype == np.float32 for shape, dtype in found)
    assert all(isinstance(x, np.ndarray) for s in slots for x in s if x is not None)


@given(any_rule)
def test_applying_is_adding_delta(rule: rules.Rule):
    p, g = np.array([[1.0, -2.0]]), np.array([[0.5, 3.0]])
    d, slots = rule.delta(p, g, rule.init(p), lr=0.1, step=0)
    new, after = rules.apply(rule, p, g, rule.init(p), lr=0.1, step=0)
    np.testing.assert_allclose(new, p + d, rtol=1e-14, atol=1e-14)
    assert repr(after) == repr(slots)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "rule",
    [rules.SGD(), rules.Momentum(), rules.Adam(), rules.RMSprop(), rules.AdaGrad(), rules.lars(), rules.lamb()],
    ids=repr,
)
def test_a_gradient_that_is_not_finite_is_not_hidden(rule: rules.Rule, bad: float):
    p = np.ones((2, 2))
    new, _ = rules.apply(rule, p, np.array([[bad, 1.0], [1.0, 1.0]]), rule.init(p), lr=0.1, step=0)
    assert not np.isfinite(new[0, 0])


@pytest.mark.filterwarnings("error")
def test_an_infinite_norm_clips_finite_elements_to_zero():
    clip = rules.ClipByGlobalNorm(1.0) >> rules.SGD()
    np.testing.assert_array_equal(one_step(clip, [0.0, 0.0], [np.inf, 1.0]), [np.nan, 0.0])
    np.testing.assert_array_equal(one_step(clip, [0.0, 0.0], [np.nan, 1.0]), [np.nan, np.nan])


def test_clipping_by_value_keeps_nan():
    np.testing.assert_array_equal(
        one_step(rules.ClipByValue(1.0) >> rules.SGD(), [0.0, 0.0], [np.nan, -np.inf]), [np.nan, 1.0]
    )


def test_a_variance_that_rounds_below_zero_gives_no_nan():
    rule, p, smallest = rules.RMSprop(0.5, centered=True), np.zeros(1), 1.0
    slots = rule.init(p)
    for t in range(100):
        d, slots = rule.delta(p, np.array([0.7]), slots, lr=0.1, step=t)
        assert np.isfinite(d).all()
        smallest = min(smallest, float((slots.v - slots.mean**2)[0]))
    assert smallest < 0  # or this tests nothing


@pytest.mark.parametrize("rule", [rules.Adam(), rules.RMSprop(), rules.lars(), rules.Momentum()], ids=repr)
def test_float16_follows_float64(rule: rules.Rule):
    low, slots = trained(rule, tensors(0, np.float16), steps=20, lr=lambda t: 0.01)
    high, _ = trained(rule, [p.astype(np.float64) for p in tensors(0, np.float16)], steps=20, lr=lambda t: 0.01)
    assert all(p.dtype == np.float16 for p in low)
    assert all(x.dtype == np.float32 for s in slots for x in s if x is not None)
    for p, q in zip(low, high, strict=True):
        np.testing.assert_allclose(p, q, atol=20 * 2.0**-11, rtol=20 * 2.0**-11)  # half an ulp each step


def test_one_float64_tensor_does_not_change_the_dtype_of_another():
    params = [np.ones(2, np.float32), np.ones(2)]
    new, slots = rules.apply(rules.Adam(), params, params, rules.init(rules.Adam(), params), lr=0.1, step=0)
    assert [p.dtype for p in new] == [s.m.dtype for s in slots] == [np.float32, np.float64]


def test_apply_rounds_once():
    # 1024 - 0.2501 is nearest to 1023.5; rounding 0.2501 to 0.25 first makes a tie, which goes to 1024
    p, g = np.array([1024.0], np.float16), np.ones(1, np.float16)
    assert rules.apply(rules.SGD(), p, g, (), lr=0.2501, step=0)[0] == 1023.5
    assert p + rules.SGD().delta(p, g, (), lr=0.2501, step=0)[0] == 1024.0


# Layouts


class Rows:
    """Tensors padded to whole rows of one buffer, with sums by segments: the layout of compiled adapters."""

    def __init__(self, shapes: list[tuple[int, ...]], width: int = 4) -> None:
        self.shapes, self.width = shapes, width
        self.sizes = [int(np.prod(shape)) for shape in shapes]
        counts = [max(-(-size // width), 1) for size in self.sizes]
        self.owner = np.repeat(np.arange(len(shapes)), counts)
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])

    def pack(self, arrays: Any) -> np.ndarray:
        buffer = np.zeros((len(self.owner), self.width))
        for start, x in zip(self.starts, arrays, strict=True):
            buffer.reshape(-1)[start * self.width : start * self.width + x.size] = x.reshape(-1)
        return buffer

    def unpack(self, buffer: np.ndarray) -> list[np.ndarray]:
        flat = buffer.reshape(-1)
        return [
            flat[start * self.width : start * self.width + size].reshape(shape)
            for start, size, shape in zip(self.starts, self.sizes, self.shapes, strict=True)
        ]

    def sums(self, arrays: Any, owners: Any) -> list[np.ndarray]:
        assert all(i == 0 for i in owners)
        return [np.add.reduceat(x.sum(axis=1), self.starts)[self.owner][:, None] for x in arrays]

    def context(self, lr: float, step: int) -> rules.Context:
        ndims = np.array([len(shape) for shape in self.shapes])[self.owner][:, None]
        xp = rules.ops_of(ndims)
        assert xp is not None
        return rules.Context(xp, lr, step, (ndims,), self.sums, lambda arrays: sum(x.sum() for x in arrays))


def rows_of(layout: Rows, rule: rules.Rule, slots: list[Any]) -> Any:
    """Return the slots packed one by one, so that the padding holds zeros."""
    names = iter(range(100))
    template = rules.map_arrays(lambda _: next(names), slots[0])
    arrays: list[list[Any]] = []
    for own in slots:
        found: list[Any] = []
        rules.map_arrays(found.append, own)
        arrays.append(found)
    return rules.map_arrays(lambda i: layout.pack([own[i] for own in arrays]), template)


@given(any_rule)
def test_the_body_gives_the_same_packed_in_rows(rule: rules.Rule):
    layout = Rows(SHAPES)
    params, slots = tensors(0), rules.init(rule, tensors(0))
    packed = layout.pack(params)
    state = rows_of(layout, rule, slots)
    for t in range(3):
        grads = tensors(10 + t)
        params, slots = rules.apply(rule, params, grads, slots, lr=0.1, step=t)
        (update,), (state,) = rule.body(layout.context(0.1, t), [packed], [layout.pack(grads)], [state])
        packed = packed - update
    for p, q in zip(params, layout.unpack(packed), strict=True):
        np.testing.assert_allclose(q, p, rtol=1e-9, atol=1e-9)


@given(any_rule)
def test_passes_give_what_one_gives(rule: rules.Rule):
    params, grads = tensors(0), tensors(1)
    slots = rules.init(rule, params)
    xp = rules.ops_of(params[0])
    assert xp is not None
    context = rules.Context.of_list(xp, [p.ndim for p in params], 0.1, 0)
    expected, taken = rule.body(context, params, grads, slots), []
    while reduction := rules.next_reduction(lambda own: rule.body(own, params, grads, slots), context, taken):
        taken.append(reduction.result)
    # the last pass computes no sum itself
    second = rules.Context(xp, 0.1, 0, context.ndims, sums=None, total=None).replaying(taken)  # type: ignore[arg-type]
    assert repr(rule.body(second, params, grads, slots)) == repr(expected)


def test_a_context_counts_what_an_average_has_forgotten():
    context = rules.Context.of_list(rules.ops_of(np.ones(1)), [1], 0.1, 2)  # type: ignore[arg-type]
    np.testing.assert_allclose(context.correction(0.9), 1 - 0.9**3, rtol=1e-15)
    assert context.correction(0.0) == 1.0


@pytest.mark.parametrize(
    "rule", [rules.ClipByGlobalNorm(0.5) >> rules.AdamW(), rules.lars(lr_in_buffer=False), rules.lamb()], ids=repr
)
def test_tensors_may_have_rates_and_steps_of_their_own(rule):
    params = {"a": np.ones((2, 3)), "b": [np.full(2, 0.5), np.ones((1, 2))]}
    grads = {"a": np.full((2, 3), 0.1), "b": [np.array([3.0, -1.0]), np.full((1, 2), 0.2)]}
    slots = rules.init(rule, params)
    rates, steps = {"a": 0.1, "b": [0.2, 0.3]}, {"a": 4, "b": [7, 4]}
    found, kept = rules.apply(rule, params, grads, slots, lr=rates, step=steps)
    for lr, step, pick in [(0.1, 4, lambda x: x["a"]), (0.2, 7, lambda x: x["b"][0]), (0.3, 4, lambda x: x["b"][1])]:
        alone, own = rules.apply(rule, params, grads, slots, lr=lr, step=step)
        np.testing.assert_array_equal(pick(found), pick(alone))
        np.testing.assert_equal(pick(kept), pick(own))


def test_containers_of_rates_must_fit():
    params = {"a": np.ones(2), "b": np.ones(3)}
    with pytest.raises(ValueError, match=r"apply\(params\) is a dict with the keys .*, and so must be apply\(lr=...\)"):
        rules.apply(rules.SGD(), params, params, rules.init(rules.SGD(), params), lr={"a": 0.1}, step=0)
    with pytest.raises(TypeError, match=r"apply\(lr=...\) must be a number"):
        rules.apply(rules.SGD(), params, params, rules.init(rules.SGD(), params), lr={"a": 0.1, "b": "0.1"}, step=0)


@pytest.mark.parametrize(
    ("rule", "couples"),
    [
        (rules.SGD(), False),
        (rules.lars(), False),
        (rules.ClipByGlobalNorm(1.0) >> rules.SGD(), True),
        (rules.Layerwise(rules.ClipByGlobalNorm(1.0) >> rules.SGD()), True),
    ],
    ids=repr,
)
def test_a_rule_says_whether_tensors_depend_on_each_other(rule, couples):
    assert rule.couples is couples
    assert rule.packs


@pytest.mark.parametrize("factor", ["rows", "columns", "larger", "none"])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_muon_takes_matrices_without_elements(factor: str, shape: tuple[int, int]):
    rule, p = rules.Muon(factor=factor), np.zeros(shape)
    (moved,), _ = rules.apply(rule, [p], [p], [rule.init(p)], lr=0.1, step=0)
    assert moved.shape == shape


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "ClipByGlobalNorm(1.0) >> AdamW(weight_decay=0.1)",
            rules.ClipByGlobalNorm(1.0) >> rules.AdamW(weight_decay=0.1),
        ),
        ("LARS(momentum=0.8)", rules.LARS(momentum=0.8)),
        ("Layerwise(RMSprop())", rules.Layerwise(rules.RMSprop())),
        ("L2(0.1)", rules.L2(0.1)),
    ],
)
def test_a_rule_is_read_from_its_text(text, rule):
    assert rules.parse(text) == rule
    assert rules.parse(repr(rule)) == rule


@pytest.mark.parametrize("text", ["Adam", "Cosine(0.1, 0, steps=3)", "Adam(nan)", "Adam() >> os", "3", "Adam(b1=5%)"])
def test_what_is_no_rule_is_refused_by_its_place(text):
    with pytest.raises(ValueError, match=r"parse\(text\): "):
        rules.parse(text)
