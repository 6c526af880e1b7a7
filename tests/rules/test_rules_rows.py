"""Tensors packed in rows of one buffer: the same update as on the list, in every array library."""

import numpy as np
import pytest
from rule_samples import alone

from lrsched import rules

SHAPES = [(), (3,), (0,), (4, 5), (2, 3, 4), (9,)]
RULES = [
    *(sample.rule for sample in alone()),
    rules.Momentum(0.9),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.lars(),
    rules.ClipByGlobalNorm(0.5) >> rules.lamb(),
    rules.ClipByNorm(0.3) >> rules.lars() >> rules.ClipByGlobalNorm(0.1),
    rules.ScheduleFree(rules.SGD()),
]


def tensors(seed):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape).astype(np.float32) for shape in SHAPES]


def converter(library):
    """Return what makes arrays of a library, by name, and its module."""
    module = pytest.importorskip({"jax": "jax.numpy"}.get(library, library))
    return {"numpy": "asarray", "jax": "asarray", "torch": "tensor", "tensorflow": "constant"}[library], module


def arrays(library, found):
    name, module = converter(library)
    return [getattr(module, name)(x) for x in found]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "tensorflow"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_an_update_in_rows_equals_that_of_the_list(rule, library):
    rows = rules.Rows(SHAPES, width=4)
    params = tensors(0)
    slots = rules.init(rule, params)
    p = rows.pack(arrays(library, params))
    state = rows.init(rule, p)
    for t in range(3):
        grads = tensors(10 + t)
        params, slots = rules.apply(rule, params, grads, slots, lr=0.1, step=t)
        update, state = rows.update(rule, p, rows.pack(arrays(library, grads)), state, lr=0.1, step=t)
        p = p - update
    for one, other in zip(rows.unpack(p), params, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-5, atol=1e-5)
    # What fills the rows stays zero.
    total = sum(float(np.abs(x).sum()) for x in params)
    assert float(np.abs(np.asarray(p)).sum()) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_tensors_in_rows_may_have_rates_and_steps_of_their_own(library):
    rule, rows = rules.lamb(), rules.Rows(SHAPES, width=4)
    params, grads = tensors(0), tensors(1)
    slots = rules.init(rule, params)
    rates = np.linspace(0.1, 0.6, len(SHAPES)).astype(np.float32)
    steps = [3, 0, 1, 7, 2, 2]
    expected, _ = rules.apply(rule, params, grads, slots, lr=rates.tolist(), step=steps)
    p, g = (rows.pack(arrays(library, xs)) for xs in (params, grads))
    lr, step = arrays(library, [rates, np.array(steps, np.float32)])
    update, _ = rows.update(rule, p, g, rows.init(rule, p), lr=lr, step=step)
    for one, other in zip(rows.unpack(p - update), expected, strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_passes_that_stop_at_each_reduction_give_what_one_pass_gives(rule):
    params, grads = tensors(0), tensors(1)
    slots = rules.init(rule, params)
    xp = rules.ops_of(params[0])
    context = rules.Context.of_list(xp, [p.ndim for p in params], 0.1, 0)
    known = []

    def body(c):
        return rule.body(c, params, grads, slots)

    while (found := rules.next_reduction(body, context, known)) is not None:
        known.append(found.result)
    assert repr(body(context.replaying(known))) == repr(body(context))
    kinds = {"Clip": 1, "Layer": 1, "Novo": 1}
    assert len(known) == sum(repr(rule).count(word) * n for word, n in kinds.items())


def test_a_body_stops_before_it_does_anything_else():
    p = np.ones(2)
    context = rules.Context.of_list(rules.ops_of(p), [1], 0.1, 0)

    def body(c):
        c.total([p])
        raise AssertionError("too far")

    assert rules.next_reduction(body, context, []) == ("total", 2.0)


def test_a_rule_of_matrices_does_not_pack():
    rows = rules.Rows([(2, 3)], width=4)
    with pytest.raises(ValueError, match=r"must get a rule that packs, got Adafactor"):
        rows.init(rules.Adafactor(), np.zeros((2, 4)))
