"""Update rules on torch tensors: agreement with `torch.optim` over 50 steps, and compilation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rule_samples import alone

torch = pytest.importorskip("torch")

from lrsched import rules  # noqa: E402

SHAPES = [(), (0,), (3,), (4, 5), (2, 3, 4)]
STEPS = 50
clip_t = torch.nn.utils.clip_grad_norm_

# (our rule, their optimizer at learning rate 1, what they do to gradients first)
PAIRS: list[tuple[rules.Rule, Callable[[Any], Any]]] = [
    (rules.SGD(), lambda ps: torch.optim.SGD(ps, 1.0)),
    (rules.L2(0.1) >> rules.SGD(), lambda ps: torch.optim.SGD(ps, 1.0, weight_decay=0.1)),
    (rules.Momentum(0.9), lambda ps: torch.optim.SGD(ps, 1.0, momentum=0.9)),
    (
        rules.Momentum(0.9, dampening=0.3, first_step="clone"),
        lambda ps: torch.optim.SGD(ps, 1.0, momentum=0.9, dampening=0.3),
    ),
    (
        rules.L2(0.01) >> rules.Nesterov(0.9),
        lambda ps: torch.optim.SGD(ps, 1.0, momentum=0.9, nesterov=True, weight_decay=0.01),
    ),
    (rules.AdaGrad(), lambda ps: torch.optim.Adagrad(ps, 1.0)),
    (
        rules.AdaGrad(eps=1e-3, initial=0.1),
        lambda ps: torch.optim.Adagrad(ps, 1.0, eps=1e-3, initial_accumulator_value=0.1),
    ),
    (rules.RMSprop(), lambda ps: torch.optim.RMSprop(ps, 1.0)),
    (
        rules.RMSprop(0.9, eps=1e-3, momentum=0.8, centered=True),
        lambda ps: torch.optim.RMSprop(ps, 1.0, alpha=0.9, eps=1e-3, momentum=0.8, centered=True),
    ),
    (rules.Adam(), lambda ps: torch.optim.Adam(ps, 1.0)),
    (rules.Adam(0.8, 0.99, eps=1e-3), lambda ps: torch.optim.Adam(ps, 1.0, betas=(0.8, 0.99), eps=1e-3)),
    (rules.L2(0.1) >> rules.Adam(), lambda ps: torch.optim.Adam(ps, 1.0, weight_decay=0.1)),
    (rules.AMSGrad(eps=1e-3), lambda ps: torch.optim.Adam(ps, 1.0, eps=1e-3, amsgrad=True)),
    (rules.AdamW(), lambda ps: torch.optim.AdamW(ps, 1.0)),
]
ids = [repr(rule) for rule, _ in PAIRS]


def rate(t: int) -> float:
    return 0.01 * (1 + t % 7)


def starts(kind: str, dtype: Any) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    ps = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    return [(p * 0 if kind == "zero parameters" else p).to(dtype) for p in ps]


def gradients(kind: str, t: int, dtype: Any) -> list[Any]:
    generator = torch.Generator().manual_seed(100 + t)
    gs = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
    return [(g * 0 if kind == "zero gradients" else g).to(dtype) for g in gs]


def theirs(make: Callable[[Any], Any], kind: str, dtype: Any, before: Any = lambda ps: None) -> list[Any]:
    ps = [torch.nn.Parameter(p.clone()) for p in starts(kind, dtype)]
    optimizer = make(ps)
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(t)
        for p, g in zip(ps, gradients(kind, t, dtype), strict=True):
            p.grad = g
        before(ps)
        optimizer.step()
    return [p.detach() for p in ps]


def ours(rule: rules.Rule, kind: str, dtype: Any, number: Any = lambda x: x) -> list[Any]:
    ps = starts(kind, dtype)
    slots = rules.init(rule, ps)
    for t in range(STEPS):
        ps, slots = rules.apply(rule, ps, gradients(kind, t, dtype), slots, lr=number(rate(t)), step=number(t))
    return ps


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    # relative to the largest element: parameters pass through zero
    scale = max([1.0, *(float(q.abs().max()) for q in expected if q.numel())])
    for p, q in zip(found, expected, strict=True):
        assert p.dtype == q.dtype
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("kind", ["normal", "zero gradients", "zero parameters"])
@pytest.mark.parametrize(("rule", "make"), PAIRS, ids=ids)
def test_a_rule_agrees_with_torch_in_float64(rule: rules.Rule, make: Any, kind: str):
    assert_close(ours(rule, kind, torch.float64), theirs(make, kind, torch.float64), 1e-10)


@pytest.mark.parametrize(("rule", "make"), PAIRS, ids=ids)
def test_a_rule_agrees_with_torch_in_float32(rule: rules.Rule, make: Any):
    assert_close(ours(rule, "normal", torch.float32), theirs(make, "normal", torch.float32), 1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rule", [rule for rule, _ in PAIRS], ids=ids)
def test_tensors_as_scalars_change_nothing(rule: rules.Rule, dtype: Any):
    found = ours(rule, "normal", dtype, lambda x: torch.tensor(x))
    assert_close(found, ours(rule, "normal", dtype), 1e-6)  # torch.tensor(0.01) is float32


def test_global_norm_clipping_agrees_with_torch():
    rule = rules.ClipByGlobalNorm(0.5, eps=1e-6) >> rules.Momentum(0.9)
    expected = theirs(
        lambda ps: torch.optim.SGD(ps, 1.0, momentum=0.9), "normal", torch.float64, lambda ps: clip_t(ps, 0.5)
    )
    assert_close(ours(rule, "normal", torch.float64), expected, 1e-10)


def test_clipping_by_value_agrees_with_torch():
    def clip(ps: Any) -> None:
        torch.nn.utils.clip_grad_value_(ps, 0.5)

    expected = theirs(lambda ps: torch.optim.SGD(ps, 1.0), "normal", torch.float64, clip)
    assert_close(ours(rules.ClipByValue(0.5) >> rules.SGD(), "normal", torch.float64), expected, 1e-10)


LOW = [
    rules.SGD(),
    rules.Momentum(),
    rules.Adam(),
    rules.AdamW(),
    rules.RMSprop(),
    rules.AdaGrad(),
    rules.lars(),
    rules.lamb(),
]


@pytest.mark.parametrize(("dtype", "ulp"), [(torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)])
@pytest.mark.parametrize("rule", LOW, ids=repr)
def test_low_precision_follows_float64(rule: rules.Rule, dtype: Any, ulp: float):
    # The parameters are rounded after each step, by at most half an ulp each; the moments are not.
    ps = starts("normal", dtype)
    exact = [p.double() for p in ps]
    slots, other = rules.init(rule, ps), rules.init(rule, exact)
    for t in range(20):
        gs = gradients("normal", t, dtype)
        ps, slots = rules.apply(rule, ps, gs, slots, lr=rate(t), step=t)
        exact, other = rules.apply(rule, exact, [g.double() for g in gs], other, lr=rate(t), step=t)
    assert all(p.dtype == dtype for p in ps)
    assert all(x.dtype == torch.float32 for s in slots for x in s if x is not None)
    for p, q in zip(ps, exact, strict=True):
        if p.numel():
            bound = 20 * ulp / 2 * max(1.0, float(q.abs().max())) * 2
            assert float((p.double() - q).abs().max()) < bound


@pytest.mark.parametrize("number", [lambda x: x, torch.tensor], ids=["numbers", "tensors"])
def test_adam_moves_bfloat16_parameters(number: Any):
    # 0.999 is 1 in bfloat16: a correction computed there is 0, and the parameters never move
    p, rule = torch.ones(3, dtype=torch.bfloat16), rules.Adam()
    slots = rule.init(p)
    for t in range(3):
        p, slots = rules.apply(rule, p, torch.ones_like(p), slots, lr=number(0.1), step=number(t))
    torch.testing.assert_close(p, torch.full_like(p, 0.7), atol=3 * 2.0**-8, rtol=0)


def test_a_delta_in_bfloat16_has_float32_slots():
    p, rule = torch.ones(3, dtype=torch.bfloat16), rules.Adam()
    delta, slots = rule.delta(p, torch.ones(3), rule.init(p), lr=0.1, step=0)
    assert delta.dtype == torch.bfloat16
    assert slots.m.dtype == slots.v.dtype == torch.float32


def test_corrections_in_float32_are_exact_to_a_few_ulp():
    rule, p = rules.Adam(eps=1e-30), torch.ones(1)
    host, _ = rule.delta(p, p, rule.init(p), lr=1.0, step=0)
    traced, _ = rule.delta(p, p, rule.init(p), lr=torch.tensor(1.0), step=torch.tensor(0))
    torch.testing.assert_close(traced, host, rtol=5e-7, atol=0)


def test_slots_of_a_parameter_need_no_gradient():
    slots = rules.Adam().init(torch.nn.Parameter(torch.ones(2)))
    assert not slots.m.requires_grad


def test_a_tensor_subclass_is_a_torch_tensor():
    p = torch.nn.Parameter(torch.ones(2))
    with torch.no_grad():
        delta, _ = rules.SGD().delta(p, torch.ones(2), (), lr=0.5, step=0)
    assert torch.equal(delta, torch.full((2,), -0.5))


def test_arrays_of_two_libraries_are_refused():
    with pytest.raises(
        TypeError, match=r"apply\(params\)\[1\] must be a numpy array like the first, got a torch array"
    ):
        rules.apply(rules.SGD(), [np.ones(1), torch.ones(1)], [np.ones(1), torch.ones(1)], [(), ()], lr=0.1, step=0)
    with pytest.raises(TypeError, match=r"SGD\.delta\(g\) must be a torch array"):
        rules.SGD().delta(torch.ones(1), np.ones(1, np.float32), (), lr=0.1, step=0)


def test_an_integer_tensor_is_refused():
    with pytest.raises(
        TypeError, match=r"Adam\.init\(p\) must be an array .* got a torch array of int64 and shape \(2,\)"
    ):
        rules.Adam().init(torch.ones(2, dtype=torch.int64))


COMPILED = [rule for rule, _ in PAIRS[-5:]] + [
    *(sample.rule for sample in alone()),
    rules.ClipByGlobalNorm(1.0) >> rules.lamb(),
    rules.lars(),
    rules.NAdam(),
    rules.AdaBelief(),
    rules.NovoGrad(),
]


@pytest.mark.parametrize("rule", COMPILED, ids=repr)
def test_a_body_is_one_graph_that_serves_every_step(rule: rules.Rule):
    ps = starts("normal", torch.float64)[2:]
    slots = rules.init(rule, ps)
    xp = rules.ops_of(ps[0])
    assert xp is not None
    graphs = []
    torch.compiler.reset()  # it counts the recompilations of `step` below over all rules

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=backend)
    def step(ps: Any, gs: Any, slots: Any, lr: Any, t: Any) -> Any:
        context = rules.Context.of_list(xp, [p.ndim for p in ps], lr, t)
        updates, slots = rule.body(context, ps, gs, slots)
        return [p - u for p, u in zip(ps, updates, strict=True)], slots

    expected, state = ps, slots
    for t in range(4):
        gs = gradients("normal", t, torch.float64)[2:]
        lr, count = torch.tensor(rate(t), dtype=torch.float64), torch.tensor(float(t), dtype=torch.float64)
        ps, slots = step(ps, gs, slots, lr, count)
        expected, state = rules.apply(rule, expected, gs, state, lr=rate(t), step=t)
    assert_close(ps, expected, 1e-12)
    assert len(graphs) == 1
