"""`RuleOptimizer(flat=True)`: the same values as without, whatever happens to parameters and gradients meanwhile."""

import copy
import io
import os
import pickle

import pytest
import torch

from lrsched import Cosine, Warmup, rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._optimizer import pages as _pages

S = Warmup(5) >> Cosine(0.05, 0.0, steps=45)
SHAPES = ((3, 4), (4,), (), (0,), (70, 1000), (2, 700))
RULES = [
    rules.SGD(),
    rules.Adam(),
    rules.AdaGrad(initial=0.1),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.LARS(),
    rules.NovoGrad(),
    rules.ClipByGlobalNorm(0.5) >> rules.LAMB(),
]


def parameters(dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in SHAPES]


def gradients(t, ps):
    generator = torch.Generator().manual_seed(t)
    return [torch.randn(p.shape, generator=generator).to(p.dtype) for p in ps]


def backward(ps, t):
    """Make gradients as autograd does: add to what is there."""
    for p, g in zip(ps, gradients(t, ps), strict=True):
        p.backward(g)


def grouped(ps):
    return [{"params": ps[:2]}, {"params": ps[2:], "lr": 2.0 * S, "maximize": True}]


def train(opt, ps, steps, **reset):
    for t in steps:
        opt.zero_grad(**reset)
        backward(ps, t)
        opt.step()


def trained(rule, steps=8, reset=None, dtype=torch.float64, **options):
    ps = parameters(dtype)
    train(RuleOptimizer(grouped(ps), rule, lr=S, **options), ps, range(steps), **(reset or {}))
    return ps


@pytest.mark.parametrize("reset", [{}, {"set_to_none": True}, {"set_to_none": False}], ids=str)
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_flat_equals_not_flat(rule, reset):
    torch.testing.assert_close(trained(rule, reset=reset, flat=True), trained(rule), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("master", [False, True])
def test_flat_bfloat16_equals_not_flat(master):
    rule, options = rules.Adam(), {"dtype": torch.bfloat16, "master": master}
    flat, plain = trained(rule, flat=True, **options), trained(rule, **options)
    for a, b in zip(flat, plain, strict=True):  # a kernel of PyTorch, and the body of the rule, may round another way
        torch.testing.assert_close(a, b)


def test_parameters_and_gradients_of_a_group_lie_in_one_buffer_each():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1, flat=True)
    opt.zero_grad()
    for pick in (lambda p: p, lambda p: p.grad):
        assert len({pick(p).untyped_storage().data_ptr() for p in ps if p.numel()}) == 1
    before = [p.data_ptr() for p in ps]
    backward(ps, 0)
    opt.step()
    assert [p.data_ptr() for p in ps] == before


def test_a_module_sees_its_parameters_move():
    model = torch.nn.Linear(3, 2)
    opt = RuleOptimizer(model.parameters(), rules.SGD(), lr=0.5, flat=True)
    x = torch.ones(1, 3)
    before = model(x).sum().item()
    opt.zero_grad()
    model(x).sum().backward()
    opt.step()
    # Each of 2 outputs falls by 0.5 * (3 weights + 1 bias).
    assert model(x).sum().item() == pytest.approx(before - 2 * 0.5 * 4, rel=1e-5)


def test_zeros_stay_in_the_buffer_unless_none_is_asked_for():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.1, flat=True)
    opt.zero_grad()
    assert all(p.grad is not None and not p.grad.any() for p in ps)
    opt.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in ps)


def test_a_parameter_without_a_gradient_stays():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1, flat=True)
    for _ in range(2):
        before = [p.detach().clone() for p in ps]
        opt.zero_grad(set_to_none=True)
        backward(ps, 0)
        ps[1].grad = None
        opt.step()
        moved = [not torch.equal(p, old) for p, old in zip(ps, before, strict=True)]
        assert moved == [True, False, True, False, True, True]  # the fourth is empty


def test_gradients_of_others_are_only_read():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.LAMB(), lr=0.1, flat=True, maximize=True)
    gs = gradients(0, ps)
    for p, g in zip(ps, gs, strict=True):
        p.grad = g.clone()
    mine = [p.grad for p in ps]
    opt.step()
    assert all(p.grad is kept and torch.equal(kept, g) for p, kept, g in zip(ps, mine, gs, strict=True))


def test_a_replaced_tensor_is_taken_back_into_the_buffer():
    flat, plain = parameters(), parameters()
    for ps, option in ((flat, True), (plain, False)):
        opt = RuleOptimizer(ps, rules.Momentum(), lr=0.1, flat=option)
        train(opt, ps, range(2))
        ps[0].data = torch.ones_like(ps[0])
        train(opt, ps, range(2, 4))
    torch.testing.assert_close(flat, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"compile": True}], ids=str)
def test_gradients_whose_memory_is_replaced_are_taken_back_into_the_buffer(options):
    flat, plain = parameters(), parameters()
    for ps, option in ((flat, True), (plain, False)):
        module = torch.nn.ParameterList(ps)
        opt = RuleOptimizer(ps, rules.LAMB(), lr=0.1, flat=option, **(options if option else {}))
        train(opt, ps, range(2))
        module.to(torch.float32)  # as a move to another device and back does, gradients included
        module.to(torch.float64)
        opt.step()
        train(opt, ps, range(2, 4))
        for p, g in zip(ps, gradients(4, ps), strict=True):
            p.grad.data = g
        opt.step()
        opt.zero_grad()
        train(opt, ps, range(5, 7))
    torch.testing.assert_close(flat, plain, rtol=1e-10, atol=1e-12)


def test_a_model_that_changes_its_dtype_is_an_error():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.1, flat=True)
    ps[0].data = ps[0].data.float()
    with pytest.raises(ValueError, match=r"must keep the shape, dtype and device of each parameter, got torch.float32"):
        opt.step()


@pytest.mark.parametrize(("before", "after"), [(True, False), (False, True)], ids=["from flat", "to flat"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_states_are_exchangeable(rule, before, after):
    whole, first = parameters(), parameters()
    train(RuleOptimizer(whole, rule, lr=S), whole, range(6))
    opt = RuleOptimizer(first, rule, lr=S, flat=before)
    train(opt, first, range(3))
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    second = [torch.nn.Parameter(p.detach().clone()) for p in first]
    resumed = RuleOptimizer(second, rule, lr=S, flat=after)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(resumed, second, range(3, 6))
    torch.testing.assert_close(second, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_goes_on_by_itself_and_so_does_the_original(duplicate):
    whole, ps = parameters(), parameters()
    train(RuleOptimizer(whole, rules.Adam(), lr=S, flat=True), whole, range(6))
    opt = RuleOptimizer(ps, rules.Adam(), lr=S, flat=True)
    train(opt, ps, range(3))
    twin = duplicate(opt)
    for one in (twin, opt):
        mine = one.param_groups[0]["params"]
        train(one, mine, range(3, 6))
        assert all(torch.equal(a, b) for a, b in zip(mine, whole, strict=True))


def test_a_pickle_holds_each_parameter_once():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1, flat=True)
    train(opt, ps, [0])
    # Parameters, gradients and two moments.
    assert len(pickle.dumps(opt)) < 5 * sum(p.nbytes for p in ps)


def test_a_late_group_gets_a_place():
    flat, plain = parameters(), parameters()
    for ps, option in ((flat, True), (plain, False)):
        opt = RuleOptimizer(ps[:2], rules.Adam(), lr=0.1, flat=option)
        train(opt, ps[:2], range(2))
        opt.add_param_group({"params": ps[2:]})
        train(opt, ps, range(2, 4))
    torch.testing.assert_close(flat, plain, rtol=1e-12, atol=1e-12)


def test_a_scaler_unscales_the_buffer_and_skips_what_is_not_finite():
    p = torch.nn.Parameter(torch.ones(2))
    opt = RuleOptimizer([p], rules.Momentum(0.9), lr=0.5, flat=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    used = []
    for factor in (1.0, float("inf"), 1.0):
        opt.zero_grad()
        scaler.scale((factor * p).sum()).backward()
        before = p.detach().clone()
        scaler.step(opt)
        scaler.update()
        used.append((before - p.detach())[0].item())
    assert used == pytest.approx([0.5, 0.0, 1.9 * 0.5])


class Shard(torch.nn.Parameter):
    """A kind of parameter that owns its memory."""


def tied():
    table = torch.zeros(6)
    return [torch.nn.Parameter(table[:4]), torch.nn.Parameter(table[3:])]


@pytest.mark.parametrize(
    ("ps", "error", "message"),
    [
        (lambda: tied(), ValueError, "must get parameters that share no memory, got two of shapes"),
        (
            lambda: [torch.nn.Parameter(torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last))],
            ValueError,
            r"must get contiguous parameters, got one of shape \(2, 3, 4, 4\)",
        ),
        (lambda: [Shard(torch.zeros(2))], TypeError, "must get ordinary parameters, got a Shard .* under FSDP"),
    ],
    ids=["overlap", "channels last", "subclass"],
)
def test_what_cannot_be_flat_is_refused(ps, error, message):
    with pytest.raises(error, match=message):
        RuleOptimizer(ps(), rules.SGD(), lr=0.1, flat=True)


def test_a_rule_of_matrices_is_refused():
    with pytest.raises(
        TypeError, match=r"flat=True\) must have a rule that does not need the shapes of tensors, got Mu"
    ):
        RuleOptimizer(parameters(), rules.Muon(), lr=0.1, flat=True)


def test_slots_that_start_above_zero_add_nothing_between_the_tensors():
    rule = rules.Layerwise(rules.Yogi(0.5, 0.1, 1.0, initial=1.0), trust_coefficient=1.0, min_ndim=0)
    found = []
    for flat in (False, True):
        generator = torch.Generator().manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in [(3, 5), (7,), (2, 3, 3)]]
        optimizer = RuleOptimizer(ps, rule, lr=0.1, flat=flat)
        for _ in range(3):
            for p in ps:
                p.grad = torch.randn(p.shape, generator=generator)
            optimizer.step()
        found.append([p.detach().clone() for p in ps])
    torch.testing.assert_close(*found)


def flags_of(address):
    """Return what Linux notes about the memory at an address."""
    found = False
    with open("/proc/self/smaps") as file:
        for line in file:
            head = line.split(" ", 1)[0]
            if "-" in head and not head.endswith(":"):
                begin, end = (int(x, 16) for x in head.split("-"))
                found = begin <= address < end
            elif found and line.startswith("VmFlags:"):
                return line.split()[1:]
    return []


@pytest.mark.skipif(_pages._advise() is None or not os.path.exists("/proc/self/smaps"), reason="Linux tells")
def test_large_buffers_ask_for_large_pages():
    w = torch.nn.Parameter(torch.ones(_pages.LARGE))
    RuleOptimizer([w], rules.SGD(), 0.1, flat=True)
    assert bool(w.eq(1.0).all())
    assert "hg" in flags_of(w.data_ptr() + 2 * _pages.LARGE)


def test_a_system_that_takes_no_advice_gives_memory_all_the_same(monkeypatch):
    monkeypatch.setattr(_pages, "_advise", lambda: None)
    x = _pages.zeros(_pages.LARGE, torch.empty(0, dtype=torch.float64))
    torch.testing.assert_close(x, torch.zeros(_pages.LARGE, dtype=torch.float64))
