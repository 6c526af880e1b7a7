"""The Triton kernels against the pure rules in NumPy; `test_torch_triton.py` runs this file where kernels can run.

That is on a GPU, or under Triton's interpreter, which must be chosen before anything imports Triton.
"""

import copy
import math
from typing import Any, NamedTuple

import pytest
import torch
from test_torch_triton import CASES, inputs_and_result

from lrsched import Cosine, rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._kernels import ops as _ops
from lrsched_torch._kernels import triton as _triton
from lrsched_torch._kernels.source import COLUMNS
from lrsched_torch._shared.facts import facts_of, rebuilt
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._traced.program import Level, LoopOperation

DEVICE = "cpu" if _triton.interpreted() else "cuda"
BLOCK = _triton.BLOCK
# Ends of blocks and of vectors, no element at all, no dimension; the last two start at zero, and have no gradient.
SHAPES = ((1,), (7,), (BLOCK - 1,), (BLOCK + 1,), (0,), (), (3, 5, 7), (40, 64), (2, BLOCK), (4, 4), (3, 3))

RULES = [
    rules.SGD(),
    rules.Momentum(0.9, lr_in_buffer=True),
    rules.Nesterov(0.9),
    rules.AdaGrad(),
    rules.AdaDelta(),
    rules.RMSprop(0.9, momentum=0.9, centered=True),
    rules.Adam(),
    rules.AMSGrad(),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.NAdam(),
    rules.RAdam(b2=0.9),
    rules.Adamax(),
    rules.AdaBelief(),
    rules.Yogi(),
    rules.Adan(),
    rules.NovoGrad(weight_decay=0.1),
    rules.Lion(),
    rules.Signum(),
    rules.Rprop(),
    rules.LARS(),
    rules.LAMB(upper=1.5),
    rules.Layerwise(rules.RMSprop(), 0.02, clip=True, denominator="plain", min_ndim=0),
    rules.Layerwise(rules.NovoGrad()),
    rules.Layerwise(rules.AdaDelta()),  # needs a slot as it was, too
    rules.ScheduleFree(rules.LAMB()),
    rules.ClipByValue(0.3) >> rules.L1(0.1) >> rules.L2(0.1) >> rules.Adam() >> rules.DecoupledWeightDecay(0.1),
    rules.ClipByGlobalNorm(0.5) >> rules.LARS(),
    rules.ClipByNorm(0.3) >> rules.LARS() >> rules.ClipByGlobalNorm(0.1),
    rules.ScheduleFree(rules.Adam(b1=0.0)),
    rules.Prodigy(d0=0.1),
    rules.DecayBefore(rules.Adam(), 0.1),
]
# One of each kind: element by element, a sum for each tensor, a number for each tensor, totals.
KINDS = [rules.AdamW(), rules.LAMB(), rules.NovoGrad(), rules.ClipByGlobalNorm(0.5) >> rules.LARS(), rules.Prodigy()]


def numbers(shape, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(DEVICE, dtype)


def parameters(dtype, shapes=SHAPES):
    ps = [torch.nn.Parameter(numbers(shape, i, dtype)) for i, shape in enumerate(shapes)]
    for p in ps[-2:] if shapes is SHAPES else ():
        p.data.zero_()
    return ps


def set_gradients(ps, t):
    for i, p in enumerate(ps):
        p.grad = numbers(p.shape, 100 * (t + 1) + i, p.dtype)
        if p.shape == SHAPES[-1]:
            p.grad.zero_()


def trained(kind, rule, dtype=torch.float64, change=None, **options):
    """Return an optimizer after three updates, in two groups of which the second goes up.

    Args:
        change: `change(ps, t)` is done to the gradients before update t.
    """
    ps = parameters(dtype)
    groups = [{"params": ps[:2] + ps[5:]}, {"params": ps[2:5], "lr": Cosine(0.02, 0.01, steps=3), "maximize": True}]
    opt = kind(groups, rule, lr=0.05, compile="triton", **options)
    for t in range(3):
        set_gradients(ps, t)
        if change:
            change(ps, t)
        opt.step()
    return opt


class Pure(RuleOptimizer):
    """The same optimizer with the pure function, in NumPy and float64."""

    def __init__(self, params, rule, lr, compile=False, **options):
        super().__init__(params, rule, lr, **options)

    def _executor(self, rule, ps, homes):
        return Purely(rule)


class Purely(Executor):
    engine = "NumPy"

    def __init__(self, rule):
        self.rule = rule

    def __call__(self, members, gs):
        _purely(self.rule, members, gs)


def _purely(rule, members, gs):
    facts = facts_of(rule)
    targets = [[m.state.get("master", m.p), *(m.state[name] for name in facts.names)] for m in members]
    arrays = [[x.detach().double().cpu().numpy().copy() for x in own] for own in targets]
    new, slots = rules.apply(
        rule,
        [own[0] for own in arrays],
        [(-g if m.group["maximize"] else g).double().cpu().numpy() for m, g in zip(members, gs, strict=True)],
        [rebuilt(facts, own[1:]) for own in arrays],
        lr=[float(m.group["lr"]) for m in members],
        step=[m.state["step"] for m in members],
    )
    for m, own, p, kept in zip(members, targets, new, slots, strict=True):
        for target, content in zip(own, [p, *facts.arrays(kept)], strict=True):
            target.copy_(torch.as_tensor(content))
        m.p.copy_(own[0])
        m.state["step"] += 1


def contents(opt):
    """Return the parameters and the state."""
    ps = [p for group in opt.param_groups for p in group["params"]]
    return [p.detach() for p in ps], [dict(opt.state[p]) for p in ps]


def assert_same(found, expected, rtol=1e-12, atol=1e-13):
    torch.testing.assert_close(contents(found), contents(expected), rtol=rtol, atol=atol, equal_nan=True)


def without_one(ps, t):
    if t == 1:
        ps[6].grad = None


def both(train, *arguments, **options):
    """Return what comes of the kernels, and of the pure function."""
    return train(RuleOptimizer, *arguments, **options), train(Pure, *arguments, **options)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_kernels_equal_the_pure_rule(rule):
    assert_same(*both(trained, rule, change=without_one))


@pytest.mark.parametrize("rule", KINDS, ids=str)
def test_the_kernels_equal_the_pure_rule_in_float32(rule):
    assert_same(*both(trained, rule, dtype=torch.float32, change=without_one), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rule", KINDS[:2], ids=str)
def test_the_kernels_equal_the_pure_rule_in_half_precision(rule, dtype, master):
    found, expected = map(contents, both(trained, rule, dtype=dtype, master=master, change=without_one))
    # The interpreter cuts off where hardware rounds: one unit in the last place of the parameter for each update.
    low = 3 * torch.finfo(dtype).eps
    torch.testing.assert_close(found[0], expected[0], rtol=low, atol=low)
    if master:
        assert all(state["master"].dtype == torch.float32 for state in found[1])
        torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=2e-6)


def test_parameters_of_several_dtypes_share_a_total():
    def train(kind):
        dtypes = [torch.float64, torch.float32, torch.float64, torch.bfloat16]
        ps = [torch.nn.Parameter(numbers((5, 4), i, dtype)) for i, dtype in enumerate(dtypes)]
        opt = kind(ps, rules.ClipByGlobalNorm(0.5) >> rules.Momentum(0.9), lr=0.1, compile="triton")
        for t in range(2):
            set_gradients(ps, t)
            opt.step()
        return opt

    (found, velocities), (expected, others) = map(contents, both(train))
    torch.testing.assert_close(velocities, others, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[:3], expected[:3], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", KINDS[:3], ids=str)
def test_chunks_of_several_blocks_give_the_same(monkeypatch, rule):
    monkeypatch.setattr(_triton, "CHUNKS", 1)
    monkeypatch.setattr(_triton, "BLOCKS", 2)

    def train(kind):
        ps = parameters(torch.float64, ((5 * BLOCK + 3,), (2 * BLOCK,), (2, BLOCK + 1), (4,)))
        opt = kind(ps, rule, lr=0.05, compile="triton")
        for t in range(2):
            set_gradients(ps, t)
            opt.step()
        return opt

    assert_same(*both(train))


class Steady(rules.Local):
    """A rule whose update is not zero where nothing is."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        return lambda p, g, s: (context.lr * (0.0 * g + 1.0), s)


class Switched(rules.Local):
    """A rule with truths of an update that follow from truths."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        fast = context.choose(context.step > 0, context.step > 1, context.lr > 0.03)
        return lambda p, g, s: (context.choose(fast, context.lr * g, 0.0 * g), s)


def test_what_is_true_of_an_update_is_true_in_a_kernel():
    assert_same(*both(trained, Switched()))


def test_what_lies_behind_the_end_of_a_tensor_is_in_no_sum():
    assert_same(*both(trained, rules.Layerwise(Steady())))


class Velocity(NamedTuple):
    v: Any


class Bent(rules.Rule):
    """A rule whose slot follows from the last norm, for which it is read too."""

    def slots(self, full):
        return Velocity(full(0.0))

    def body(self, context, ps, gs, slots):
        sums = context.sums([(s.v + g) * g for g, s in zip(gs, slots, strict=True)], range(len(gs)))
        new = [Velocity(0.5 * s.v + g / (1.0 + x * x)) for g, s, x in zip(gs, slots, sums, strict=True)]
        return [context.at(i).lr * s.v for i, s in enumerate(new)], new


class Late(Bent):
    """A rule whose update follows from the slot as it was, and whose norm from what it will be."""

    def body(self, context, ps, gs, slots):
        new = [Velocity(0.5 * s.v + g) for g, s in zip(gs, slots, strict=True)]
        sums = context.sums([s.v * s.v for s in new], range(len(gs)))
        return [context.at(i).lr * s.v / (1.0 + x) for i, (s, x) in enumerate(zip(slots, sums, strict=True))], new


@pytest.mark.parametrize("rule", [Bent(), Late()], ids=str)
def test_a_slot_that_follows_from_the_last_norm_or_is_read_after_it_is_written_after_it(rule):
    assert_same(*both(trained, rule))


TRANSLATED = [
    (target, kind, args)
    for target, kind, args in CASES
    if kind in {*_ops._FORMS, "clamp"} and not (kind == "pow" and isinstance(args[1], str))
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("target", "kind", "args"), TRANSLATED, ids=str)
def test_an_operation_is_what_torch_makes_of_it(target, kind, args, dtype):
    env, expected = inputs_and_result(target, kind, args, dtype)
    lines = ["i = tl.arange(0, 8)"]
    lines += [f"{name} = tl.load(at_{name} + i){' > 0.0' * (x.dtype == torch.bool)}" for name, x in env.items()]
    lines += [f"r = {_ops.expression(LoopOperation('r', kind, args, Level.WIDE), dtype)}"]
    lines += [f"tl.store(out + i, {'tl.where(r, 1.0, 0.0)' if expected.dtype == torch.bool else 'r'})"]
    text = "\n    ".join([f"@triton.jit\ndef main({', '.join(f'at_{name}' for name in env)}, out):", *lines, ""])
    out = torch.full((8,), 7.0, dtype=dtype, device=DEVICE)
    _triton.loaded(text)["main"][(1,)](*(x.to(DEVICE, dtype) for x in env.values()), out)
    rtol = 2e-7 if dtype == torch.float32 else 1e-14
    torch.testing.assert_close(out.cpu(), expected.to(dtype).expand(8), rtol=rtol, atol=0.0, equal_nan=True)


def test_memory_in_any_order_is_updated_where_it_is():
    image = numbers((2, 3, 4, 5), 0, torch.float64).contiguous(memory_format=torch.channels_last)
    wide, start = numbers((6, 8), 1, torch.float64), numbers((BLOCK + 9,), 2, torch.float64)

    def train(kind):
        whole, odd = wide.clone(), start.clone()
        ps = [
            torch.nn.Parameter(image.clone(memory_format=torch.preserve_format)),
            torch.nn.Parameter(whole[:, ::2]),  # leaves gaps
            torch.nn.Parameter(whole[:, 1::4].t()),
            torch.nn.Parameter(odd[1:-1]),  # not at a multiple of 16 bytes
        ]
        opt = kind(ps, rules.LAMB(), lr=0.05, compile="triton")
        for t in range(3):
            set_gradients(ps, t)
            ps[1].grad = ps[1].grad.t().contiguous().t()
            ps[2].grad = ps[2].grad[:1].expand(2, 6)
            opt.step()
        return opt, whole, odd, ps

    (found, whole, odd, ps), (expected, whole2, odd2, _) = both(train)
    assert_same(found, expected)
    assert ps[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close([whole, odd], [whole2, odd2], rtol=1e-12, atol=1e-13)
    assert torch.equal(odd[[0, -1]], start[[0, -1]])
    assert torch.equal(whole[:, 3::4], wide[:, 3::4])


@pytest.mark.parametrize("size", [1, BLOCK // 2 + 1, BLOCK - 1, BLOCK + 1])
def test_nothing_beside_a_tensor_is_written(size):
    around = torch.full((size + 2 * BLOCK,), 7.0, device=DEVICE)
    p = torch.nn.Parameter(around[BLOCK : BLOCK + size])
    p.grad = torch.ones_like(p)
    RuleOptimizer([p], rules.SGD(), lr=1.0, compile="triton").step()
    assert (p == 6.0).all()
    assert (around[:BLOCK] == 7.0).all()
    assert (around[BLOCK + size :] == 7.0).all()


@pytest.mark.parametrize("content", [math.nan, math.inf])
@pytest.mark.parametrize(
    "rule",
    [*KINDS[:4], rules.ClipByValue(0.1) >> rules.RAdam(), rules.Adamax(), rules.Signum(), rules.Rprop()],
    ids=str,
)
def test_what_is_not_finite_goes_where_the_pure_rule_puts_it(rule, content):
    def spoil(ps, t):
        if t == 1:
            ps[3].grad[5] = ps[7].grad[2, 3] = content

    assert_same(*both(trained, rule, change=spoil))


def test_no_result_depends_on_memory_that_nothing_wrote(monkeypatch):
    real = torch.empty

    def poisoned(*shape, **options):
        return real(*shape, **options).fill_(math.nan)

    for rule in KINDS[1:4]:
        with monkeypatch.context() as patch:
            patch.setattr(torch, "empty", poisoned)
            assert_same(*both(trained, rule))


@pytest.mark.parametrize("rule", KINDS, ids=str)
@pytest.mark.parametrize("master", [False, True])
def test_the_state_goes_from_form_to_form(rule, master):
    dtype = torch.bfloat16 if master else torch.float64
    forms = ({}, {"compile": "triton"}, {"flat": True}, {"compile": "triton", "flat": True}, {})
    ps, other = parameters(dtype), parameters(dtype)
    expected, state = Pure(other, rule, lr=0.05, master=master), None
    for t, form in enumerate(forms):
        opt = RuleOptimizer(ps, rule, lr=0.05, master=master, **form)
        if state:
            opt.load_state_dict(state)
        for one in (opt, expected):
            set_gradients(one.param_groups[0]["params"], t)
            one.step()
        state = copy.deepcopy(opt.state_dict())
    if not master:
        assert_same(opt, expected)
    for found, kept in zip(contents(opt)[1], contents(expected)[1], strict=True):
        torch.testing.assert_close(found, kept, **({"rtol": 1e-4, "atol": 1e-5} if master else {}))


def test_what_changes_between_updates_is_seen():
    def train(kind):
        ps = parameters(torch.float64)
        opt = kind(ps[:-2], rules.LAMB(), lr=0.05, compile="triton")
        for t in range(6):
            set_gradients(ps, t)
            if t == 1:
                ps[3].data = ps[3].data.clone()  # another address
            if t == 2:
                opt.state[ps[7]]["m"] = 2.0 * opt.state[ps[7]]["m"]
            if t == 3:
                opt.param_groups[0]["maximize"] = True
            if t == 4:
                opt.param_groups[0]["lr"] = 0.5
                opt.add_param_group({"params": ps[-2:], "lr": 0.01})
            if t == 5:
                opt.state[ps[8]].update({k: opt.state[ps[8]][k].t().contiguous().t() for k in ("m", "v")})
            opt.step()
        return opt

    assert_same(*both(train))


def test_a_learning_rate_may_be_a_tensor():
    def train(kind):
        ps = parameters(torch.float64)
        rate = torch.tensor(0.05, dtype=torch.float64, device=DEVICE)
        groups = [{"params": ps[:4]}, {"params": ps[4:], "lr": 0.2}]
        opt = kind(groups, rules.Prodigy(d0=0.1), lr=rate, compile="triton")
        for t in range(3):
            set_gradients(ps, t)
            opt.step()
            rate.mul_(0.5)
        return opt

    assert_same(*both(train))


def test_places_are_counted_in_64_bits(monkeypatch):
    p = torch.nn.Parameter(numbers((5,), 0, torch.float64))
    expected, far = p.detach() - 1.0, 2**31
    filled = _triton.KernelTable._filled

    def shifted(table):
        """Say that the tensor is the end of one of 2**31 elements more."""
        found = filled(table)
        found[0, COLUMNS.index("first")] = -far // table.chunk
        found[0, COLUMNS.index("size")] += far
        found[0, len(COLUMNS) :] -= far * p.element_size()
        return found

    monkeypatch.setattr(_triton.KernelTable, "_filled", shifted)
    p.grad = torch.ones_like(p)
    RuleOptimizer([p], rules.SGD(), lr=1.0, compile="triton").step()
    assert torch.equal(p, expected)


def test_the_order_of_the_sums_never_changes():
    first, second = (trained(RuleOptimizer, rules.LAMB(), dtype=torch.float32) for _ in range(2))
    assert_same(first, second, rtol=0.0, atol=0.0)


def test_autograd_sees_that_a_parameter_has_changed():
    p = torch.nn.Parameter(torch.ones(3, device=DEVICE))
    loss = (p * p).sum()
    p.grad = torch.ones_like(p)
    RuleOptimizer([p], rules.SGD(), lr=0.1, compile="triton").step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_copies_and_pickles_go_on():
    opt = trained(RuleOptimizer, rules.LAMB())
    other = copy.deepcopy(opt)
    for one in (opt, other):
        ps = [p for group in one.param_groups for p in group["params"]]
        set_gradients(ps, 9)
        one.step()
    assert_same(other, opt)
