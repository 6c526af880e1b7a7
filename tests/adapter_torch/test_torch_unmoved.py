"""Many tensors looked at in one call: each change between two steps is seen, and where that call cannot be had too."""

import sys

import pytest
import torch

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import cpp_loops as _cpp_loops
from lrsched_torch._loops import table as _table
from lrsched_torch._loops import unmoved as _unmoved

pytestmark = [
    pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler"),
    pytest.mark.filterwarnings("error:RuleOptimizer.compile=True. runs"),
]
SHAPES = ((3, 5), (), (0,), (7,), (4, 4))


@pytest.fixture(autouse=True)
def _fresh():
    _unmoved.functions.cache_clear()
    yield
    _unmoved.functions.cache_clear()


@pytest.fixture(params=["one call", "no symbols", "no compiler", "other layout", "no lock"])
def how(request, monkeypatch):
    """All ways to look: in one call, and those that cannot."""
    if request.param == "no symbols":
        monkeypatch.setattr(_unmoved, "OF_TORCH", (*_unmoved.OF_TORCH[:-1], "what PyTorch does not have"))
    elif request.param == "no compiler":

        def build(source, load):
            raise _build.CannotBuild("no compiler")

        monkeypatch.setattr(_unmoved, "build", build)
    elif request.param == "other layout":
        monkeypatch.setattr(_unmoved, "HEAD", _unmoved.HEAD + 8)
    elif request.param == "no lock":
        monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    return request.param


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def parameters(dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def none(opt, p):
    p.grad = None


def other_dtype(opt, p):
    p.grad_dtype = None
    p.grad = p.grad.to(torch.float32)


def turned(opt, p):
    p.grad = p.grad.t().contiguous().t()


def strided(opt, p):
    p.grad = torch.stack([p.grad, p.grad], -1)[..., 0]


def moved(opt, p):
    p.data = p.data + 1.0


def turned_parameter(opt, p):
    p.data = p.data.t().contiguous().t()


def swapped(opt, p):
    q = torch.nn.Parameter(p.detach() - 1.0)
    q.grad = 2.0 * p.grad
    torch.utils.swap_tensors(p, q)


def replaced(opt, p):
    opt.state[p]["m"] = 0.5 * opt.state[p]["m"]


def replaced_elsewhere(opt, p):
    opt.state[p]["v"].data = 2.0 * opt.state[p]["v"]


def counted(opt, p):
    for entry in opt.state.values():
        entry["step"] += 3


def upwards(opt, p):
    opt.param_groups[0]["maximize"] = True


def rated(opt, p):
    opt.param_groups[0]["lr"] = 0.5


# What leaves the quick look without an answer, and what it takes as it is.
SLOW = (
    none, other_dtype, turned, strided, moved, turned_parameter, swapped, replaced, replaced_elsewhere, counted, upwards
)  # fmt: skip
CHANGES = (*SLOW, rated)


# Flat parameters stay contiguous, and themselves.
FORMS = [(change, flat) for change in CHANGES for flat in (False, True) if change not in (turned_parameter, swapped)]


@pytest.mark.parametrize(("change", "flat"), [*FORMS, (turned_parameter, False), (swapped, False)])
def test_a_change_between_two_steps_is_seen(how, change, flat):
    found = []
    for fast in (True, False):
        ps = parameters()
        opt = RuleOptimizer(ps, rules.NAdam(), lr=0.01, compile=fast, flat=flat and fast)
        for t in range(6):
            set_gradients(ps, t)
            if t in (2, 4):
                change(opt, ps[-1])
            opt.step()
        found.append([*(p.detach() for p in ps), *(opt.state[p][name] for p in ps for name in ("step", "m", "v"))])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_as_it_was_is_looked_at_in_one_call(monkeypatch, change):
    assert _unmoved.functions() is not None
    ps = parameters()
    opt = RuleOptimizer(ps, rules.NAdam(), lr=0.01, compile=True)
    asked = []
    real = _cpp_loops.CppLoops.prepare
    monkeypatch.setattr(_cpp_loops.CppLoops, "prepare", lambda self, *args: (asked.append(t), real(self, *args)))
    for t in range(6):
        set_gradients(ps, t)
        if t == 2:
            change(opt, ps[-1])
        opt.step()
    assert asked == [0, *([2] if change in SLOW else []), *([3] if change is none else []), *again(change)]


def again(change):
    """The steps that a parameter or gradient in another layout than the plain one goes on to need."""
    if change is turned_parameter:
        return [3, 4, 5]
    return [3] if change is other_dtype else []


def test_a_gradient_that_was_found_lives_until_it_is_released():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.ClipByGlobalNorm(1.0) >> rules.Adam(), lr=0.01, compile=True)
    set_gradients(ps, 0)
    opt.step()
    (table,) = opt._jobs[0].executor.executor._tables
    assert not table.at_once
    before = [p.grad._use_count() for p in ps]
    assert table.again(alone=True)
    assert [p.grad._use_count() for p in ps] == [count + 1 for count in before]
    table.release()
    table.release()
    assert [p.grad._use_count() for p in ps] == before
    ps[-1].grad = None
    assert not table.again(alone=True)
    assert [p.grad._use_count() for p in ps[:-1]] == before[:-1]
    opt.step()
    assert [p.grad._use_count() for p in ps[:-1]] == before[:-1]


# With one pass over parameters of one dtype, with two passes, and with parameters of two dtypes.
KINDS = {
    "at once": (rules.Adam(), ()),
    "two passes": (rules.ClipByGlobalNorm(1.0) >> rules.Adam(), ()),
    "two dtypes": (rules.Adam(), (torch.nn.Parameter(torch.ones(3)),)),
    "many elements": (rules.Adam(), (torch.nn.Parameter(torch.ones(_table.BRIEF, dtype=torch.float64)),)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_is_one_change_for_autograd(how, kind):
    rule, more = KINDS[kind]
    ps = [*parameters(), *more]
    opt = RuleOptimizer(ps, rule, lr=0.01, compile=True)
    for t in range(4):
        for p in ps:
            p.grad = torch.full_like(p, 1.0 + t)
        before = [p._version for p in ps]
        opt.step()
        assert [p._version for p in ps] == [version + 1 for version in before]
    tables = opt._jobs[0].executor.executor._tables
    assert [table.at_once for table in tables] == [kind == "at once"] * len(tables)


def test_tensors_without_a_version_are_updated(how):
    with torch.inference_mode():
        (p,) = ps = [torch.zeros(3)]
        opt = RuleOptimizer(ps, rules.SGD(), lr=0.25, compile=True)
        p.grad = torch.ones(3)
        opt.step()
        opt.step()
    opt.step()
    opt.step()
    assert p.tolist() == [-1.0] * 3


def test_sparse_gradients_are_refused_after_a_step_with_dense_ones(how):
    (p,) = ps = [torch.nn.Parameter(torch.ones(3))]
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.01, compile=True)
    p.grad = torch.ones(3)
    opt.step()
    p.grad = torch.ones(3).to_sparse()
    with pytest.raises(TypeError, match="dense gradients"):
        opt.step()


def test_a_parameter_of_another_shape_is_refused(how):
    (p,) = ps = [torch.nn.Parameter(torch.ones(4))]
    opt = RuleOptimizer(ps, rules.Momentum(0.9), lr=0.01, compile=True)
    p.grad = torch.ones(4)
    opt.step()
    p.data = p.data[:2]
    with pytest.raises(ValueError, match=r"must find 'v' in shape \(2,\) for a parameter of shape \(2,\), got \(4,\)"):
        opt.step()
    opt.state[p]["v"] = torch.zeros(2)
    with pytest.raises(ValueError, match=r"gradients of the shape of their parameter, \(2,\), got \(4,\)"):
        opt.step()
    p.grad = torch.ones(2)
    opt.step()
    torch.testing.assert_close(p.detach(), torch.full((2,), 0.98))


def test_it_is_told_whether_one_tensor_has_moved(how):
    xs = [torch.ones(3), torch.ones(0), torch.ones(())]
    unmoved = _unmoved.Unmoved(xs, quick=True)
    assert unmoved
    xs[2].data = torch.zeros(())
    assert not unmoved


def test_who_does_not_compile_builds_nothing(monkeypatch):
    monkeypatch.setattr(_unmoved, "build", lambda *_: pytest.fail("built"))
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.01, flat=True)
    set_gradients(ps, 0)
    opt.step()
    assert _unmoved.functions.cache_info().currsize == 0
