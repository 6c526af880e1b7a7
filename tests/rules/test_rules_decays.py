"""`apply(decays=...)`: what the weight decay of a rule leaves alone."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from lrsched import rules

RULES = [
    rules.L2(0.3) >> rules.ClipByGlobalNorm(0.5) >> rules.Momentum(0.9),
    rules.ClipByGlobalNorm(0.5) >> rules.Adam() >> rules.DecoupledWeightDecay(0.2),
    rules.lamb(weight_decay=0.3),
    rules.lars(weight_decay=0.2, trust_coefficient=0.1),
    rules.Layerwise(rules.Adam(), weight_decay=0.3, denominator="joint", min_ndim=0),
    rules.DecayBefore(rules.L2(0.2) >> rules.SGD(), 0.4),
    rules.NovoGrad(weight_decay=0.3),
    rules.Prodigy(d0=0.1, weight_decay=0.3),
    rules.Split(rules.Adam() >> rules.DecoupledWeightDecay(0.3), rules.L2(0.4) >> rules.SGD()),
    rules.ScheduleFree(rules.Adam(0.0) >> rules.DecoupledWeightDecay(0.1)),
    rules.OwnRate(rules.AdamW(weight_decay=0.3), warmup=3),
]
SHAPES = {"a": (3, 2), "b": (2,), "c": (2, 2), "d": ()}


def bare(item: Any) -> Any:
    """Return a rule without decay."""
    if isinstance(item, tuple):
        return tuple(map(bare, item))
    if not isinstance(item, rules.Link):
        return item
    names = [field.name for field in dataclasses.fields(item) if field.init]
    decays = ("weight_decay", "strength")
    return dataclasses.replace(item, **{n: 0.0 if n in decays else bare(getattr(item, n)) for n in names})


def trained(rule: rules.Rule, **arguments: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    params: Any = {name: np.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    slots = rules.init(rule, params)
    for t in range(4):
        grads = {name: np.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}
        params, slots = rules.apply(rule, params, grads, slots, lr=0.1, step=t, **arguments)
    return params  # type: ignore[no-any-return]  # of the loop


def gap(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.abs(one[name] - other[name]).max()) for name in one}


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_without_decays_a_rule_is_that_without_decay(rule: rules.Rule) -> None:
    assert max(gap(trained(rule, decays=False), trained(bare(rule))).values()) < 1e-12
    assert max(gap(trained(rule, decays=dict.fromkeys(SHAPES, True)), trained(rule)).values()) < 1e-12
    assert max(gap(trained(rule), trained(bare(rule))).values()) > 1e-6


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.couples], ids=repr)
def test_each_parameter_decays_or_not_by_itself(rule: rules.Rule) -> None:
    some = trained(rule, decays={"a": True, "b": False, "c": False, "d": True})
    whole, none = trained(rule), trained(bare(rule))
    for name, x in some.items():
        np.testing.assert_allclose(x, (whole if name in "ad" else none)[name], rtol=1e-12)


@pytest.mark.parametrize("wrong", [None, 1, "no", {"a": False}, [False]], ids=repr)
def test_what_is_no_choice_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"apply\(decays=...\)"):
        trained(rules.SGD(), decays=wrong)
