"""The rules as C++ for the CPU: gradients and slots that come and go, what threads share, and what is kept."""

from typing import NamedTuple

import pytest
import torch

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import cpp as _cpp
from lrsched_torch._traced import program as _program

pytestmark = [
    pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler"),
    pytest.mark.filterwarnings("error:RuleOptimizer.compile=True. runs"),
]


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def parameters(shapes=((3, 5), (), (7,)), dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64).to(dtype)) for shape in shapes]


@pytest.mark.parametrize("flat", [False, True])
def test_another_parameter_may_be_the_one_without_a_gradient(flat):
    found = []
    for fast in (True, False):
        ps = parameters(((4,), (4,), (4,)))
        opt = RuleOptimizer(ps, rules.NAdam(), lr=0.01, compile=fast, flat=flat and fast)
        for t in range(5):
            set_gradients(ps, t)
            ps[t % 3].grad = None
            opt.step()
        found.append([p.detach() for p in ps])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13)


def test_a_slot_in_another_layout_is_read_and_goes_on():
    found = []
    for fast in (True, False):
        torch.manual_seed(0)
        images = torch.randn(8, 3, 5, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
        ps = [torch.nn.Parameter(images)]
        opt = RuleOptimizer(ps, rules.NAdam(), lr=0.01, compile=fast)
        for t in range(4):
            set_gradients(ps, t)
            if t == 2:
                opt.state[ps[0]]["m"] = opt.state[ps[0]]["m"].contiguous()
            opt.step()
        found.append(ps[0].detach())
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13)


# Each with passes of another kind: elements that threads cut anywhere, then tensors, sums of tensors and totals.
SHARED = (
    rules.RMSprop(),
    rules.ClipByGlobalNorm(0.5) >> rules.RMSprop(),
    rules.lamb(),
    rules.ClipByNorm(0.3) >> rules.lars() >> rules.ClipByGlobalNorm(0.1),
    rules.Prodigy(d0=0.1),
)
# Ends that no number of threads divides, before a tensor so large that threads share it, and after it.
LENGTHS = ((5001,), (3, 7), (90_001,), (40_003,), (), (50_001,), (11,))


@pytest.mark.parametrize("rule", SHARED, ids=repr)
def test_threads_share_the_work_and_change_nothing(rule):
    found, threads = [], torch.get_num_threads()
    try:
        for count in (0, 1, 2, 3, 4, 3, 2):
            torch.set_num_threads(max(count, 1))
            ps = parameters(LENGTHS, torch.float32)
            groups = [{"params": ps[:3]}, {"params": ps[3:], "lr": 0.03}]
            opt = RuleOptimizer(groups, rule, lr=0.01, compile=count > 0)
            set_gradients(ps, 0)
            for _ in range(30):
                opt.step()
            kept = [torch.as_tensor(x) for entry in opt.state.values() for x in entry.values()]
            found.append([*(p.detach() for p in ps), *kept])
    finally:
        torch.set_num_threads(threads)
    eager, first, *others = found
    torch.testing.assert_close(first, eager, rtol=1e-4, atol=1e-5)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


class _BySize(rules.Rule):
    """A rule whose elements take a sum of their tensor and one of all as they are."""

    def slots(self, full):
        return ()

    def body(self, context, ps, gs, slots):
        sums = context.sums([g * g for g in gs], range(len(gs)))
        total = context.total(gs)
        return [g * total * s for g, s in zip(gs, sums, strict=True)], slots


def test_sums_may_be_used_as_they_are():
    ps = [torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (2, 3)]
    opt = RuleOptimizer(ps, _BySize(), lr=0.1, compile=True)
    for p in ps:
        p.grad = torch.full_like(p, 2.0)
    opt.step()
    # 2 * (5 * 2) * (2 * 4) and 2 * (5 * 2) * (3 * 4)
    assert [p.unique().tolist() for p in ps] == [[-160.0], [-240.0]]


class _One(NamedTuple):
    s: torch.Tensor


class _Remainder(rules.Rule):
    """A rule that subtracts what a product leaves of a slot."""

    def slots(self, full):
        return _One(full(0.0))

    def body(self, context, ps, gs, slots):
        return [g * p - s.s for p, g, s in zip(ps, gs, slots, strict=True)], slots


def test_a_product_is_rounded_before_it_is_used():
    (p,) = parameters(((1000,),))
    opt = RuleOptimizer([p], _Remainder(), lr=0.1, compile=True)
    p.grad = torch.zeros_like(p)
    opt.step()
    set_gradients([p], 0)
    opt.state[p]["s"] = p.detach() * p.grad
    before = p.detach().clone()
    opt.step()
    assert torch.equal(p, before)


@pytest.mark.parametrize("lr", [2.0**-8, 3 * 2.0**-9])
def test_what_lies_between_two_numbers_of_bfloat16_goes_to_the_even_one(lr):
    (p,) = parameters(((4000,),), torch.bfloat16)
    p.grad = torch.where(torch.arange(4000) % 2 == 0, p.detach().abs().log2().floor().exp2(), p.detach()).bfloat16()
    expected = (p.detach().float() - lr * p.grad.float()).bfloat16()
    RuleOptimizer([p], rules.SGD(), lr=lr, compile=True).step()
    assert torch.equal(p, expected)


def test_no_kind_of_nan_becomes_a_number_of_bfloat16():
    p = torch.nn.Parameter(torch.ones(40, dtype=torch.bfloat16))
    opt = RuleOptimizer([p], rules.SGD(), lr=0.1, compile=True, master=True)
    set_gradients([p], 0)
    opt.step()
    # All bits of the fraction are set: to round up would reach the bit of the sign.
    opt.state[p]["master"] = torch.full((40,), 0x7FFFFFFF, dtype=torch.int32).view(torch.float32)
    opt.step()
    assert p.isnan().all()


@pytest.mark.slow
def test_numbers_in_float64_are_kept_by_the_graph_of_all_tensors():
    found = []
    for compiled in (True, False):
        ps = parameters(((), (2, 2), (3,)))
        opt = RuleOptimizer(ps, rules.Split(rules.Muon(), rules.NovoGrad()), lr=0.1, compile=compiled)
        for t in range(2):
            set_gradients(ps, t)
            opt.step()
        kept = [torch.as_tensor(x) for entry in opt.state.values() for x in entry.values()]
        found.append([*(p.detach() for p in ps), *kept])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("form", [{}, {"flat": True}, {"compile": True}, {"compile": True, "flat": True}], ids=str)
@pytest.mark.parametrize("what", ["parameters", "states", "contents", "gradients"])
def test_memory_that_moves_under_a_tensor_is_found(what, form):
    torch.manual_seed(0)
    w = torch.nn.Parameter(torch.randn(3, 4))
    other = torch.nn.Parameter(w.detach().clone())
    opts = [RuleOptimizer([w], rules.lamb(), 0.1, **form), RuleOptimizer([other], rules.lamb(), 0.1)]
    for t in range(4):
        for p, opt in zip((w, other), opts, strict=True):
            if t == 0:
                p.grad = torch.ones(3, 4)
            p.grad.fill_(float(t))
            opt.step()
        if what == "parameters":
            torch.nn.ParameterList([w]).share_memory()
        elif what == "states":
            for x in opts[0].state[w].values():
                if isinstance(x, torch.Tensor):
                    x.share_memory_()
        elif what == "contents":
            for opt, p in zip(opts, (w, other), strict=True):
                opt.state[p]["m"].data = 0.5 * opt.state[p]["m"]
        else:
            w.grad.data = torch.zeros(3, 4)
    torch.testing.assert_close(w, other, rtol=1e-6, atol=1e-7)


def test_a_gradient_in_another_layout_is_read_at_each_step():
    ps = [torch.nn.Parameter(torch.zeros(3, 4)) for _ in range(2)]
    opts = [RuleOptimizer([ps[0]], rules.SGD(), 1.0, compile=True, flat=True), RuleOptimizer([ps[1]], rules.SGD(), 1.0)]
    for p in ps:
        p.grad = torch.zeros(4, 3).t()
    for t in range(3):
        for p, opt in zip(ps, opts, strict=True):
            p.grad.fill_(float(t + 1))
            opt.step()
    assert ps[0].unique().tolist() == ps[1].unique().tolist() == [-6.0]


def test_a_tensor_that_has_left_the_cpu_is_an_error():
    w = torch.nn.Parameter(torch.ones(3))
    opt = RuleOptimizer([w], rules.Momentum(0.9), 0.1, compile=True)
    w.grad = torch.ones(3)
    opt.step()
    opt.state[w]["v"] = opt.state[w]["v"].to("meta")
    with pytest.raises(ValueError, match=r"on the CPU, where it began, got one of shape \(3,\) on meta"):
        opt.step()


def test_what_a_tensor_has_for_itself_keeps_it_whole():
    written = _program.LoopPhase((), (), False, (("p", "slot0"),))
    program = _program.LoopProgram(("p",), ("slot0",), (written,), ())
    (stage,) = _cpp.stages_of(program)
    assert not _cpp.cuts_anywhere(program, stage)


def test_a_dtype_without_arithmetic_is_left_to_inductor():
    program = _program.LoopProgram(("p",), (), (_program.LoopPhase((), (), False, (("p", 1.0),)),), ())
    with pytest.raises(_program.Unsupported, match="float8_e5m2"):
        _cpp.source_of(program, torch.float32, {"p": torch.float8_e5m2})
