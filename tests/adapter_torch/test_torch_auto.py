"""`compile="auto"`, the default: C++ where it soon pays, decided at the first step."""

import copy
import pickle
import warnings

import pytest
import torch

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._joined import in_cache
from lrsched_torch._joined.native import native_of
from lrsched_torch._loops import cpp_loops
from lrsched_torch._loops.build import CannotBuild, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler")


def parameters(sizes, seed=0):
    """Parameters with gradients, drawn anew from the seed."""
    generator = torch.Generator().manual_seed(seed)
    ps = [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in sizes]
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator)
    return ps


def engine(optimizer):
    """What `repr` says after a step."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    return repr(optimizer).splitlines()[-2].rpartition(": ")[2]


def test_the_default_is_auto_and_repr_says_when_it_is_decided():
    optimizer = RuleOptimizer(parameters([3]), rules.RMSprop(), lr=0.1)
    assert optimizer.compile == "auto"
    assert repr(optimizer).endswith("Rules\n    RMSprop(): chosen at the next step\n)")


def test_a_million_elements_or_a_thousand_tensors_of_a_rule_without_a_kernel_run_in_cpp():
    assert engine(RuleOptimizer(parameters([1_100, 1_000]), rules.RMSprop(), lr=0.1)) == "eager"
    assert engine(RuleOptimizer(parameters([(1_100, 1_000)]), rules.RMSprop(), lr=0.1)) == "C++"
    assert engine(RuleOptimizer(parameters([4] * 1_030), rules.RMSprop(), lr=0.1)) == "C++"


@pytest.mark.parametrize("rule", [rules.SGD(), rules.Adam() >> rules.DecoupledWeightDecay(0.1)], ids=repr)
def test_what_torch_has_a_kernel_for_runs_as_that(rule):
    assert engine(RuleOptimizer(parameters([(1_100, 1_000)]), rule, lr=0.1)) == "kernel of PyTorch"
    low = parameters([(1_100, 1_000)])[0].detach().bfloat16().requires_grad_()
    low.grad = torch.ones_like(low)
    assert engine(RuleOptimizer([low], rule, lr=0.1)) == "C++"


def test_what_is_asked_for_is_done_whatever_the_size():
    assert engine(RuleOptimizer(parameters([3]), rules.RMSprop(), lr=0.1, compile=True)) == "C++"
    assert engine(RuleOptimizer(parameters([(1_100, 1_000)]), rules.RMSprop(), lr=0.1, compile=False)) == "eager"


def test_without_a_compiler_or_with_one_that_fails_auto_is_eager_and_silent(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(cpp_loops, "compiler", lambda: None)
        assert engine(RuleOptimizer(parameters([4] * 1_030), rules.RMSprop(), lr=0.1)) == "eager"

    def fail(*_, **__):
        raise CannotBuild("it fails")

    monkeypatch.setattr(cpp_loops, "LoopTable", fail)
    assert engine(RuleOptimizer(parameters([4] * 1_030), rules.RMSprop(), lr=0.1)) == "eager"


def test_it_is_decided_once_for_each_rule(monkeypatch):
    ps = parameters([8, 8, 8])
    optimizer = RuleOptimizer(ps[:1], rules.RMSprop(), lr=0.1)
    assert engine(optimizer) == "eager"
    monkeypatch.setattr(cpp_loops, "WORTH", 1)
    optimizer.add_param_group({"params": ps[1:2]})
    assert engine(optimizer) == "eager"
    optimizer.load_state_dict(optimizer.state_dict())
    assert engine(optimizer) == "eager"
    optimizer.add_param_group({"params": ps[2:], "rule": rules.Lion()})
    assert engine(optimizer) == "C++"


@pytest.mark.parametrize("rule", [rules.RMSprop(), rules.Lion(), rules.lamb()], ids=repr)
def test_both_choices_agree_and_take_the_state_of_each_other(rule, monkeypatch):
    ps, qs = parameters([(40, 30), 7, ()]), parameters([(40, 30), 7, ()])
    eager = RuleOptimizer(ps, rule, lr=0.01)
    assert engine(eager) == "eager"
    monkeypatch.setattr(cpp_loops, "WORTH", 1)
    loops = RuleOptimizer(qs, rule, lr=0.01)
    assert engine(loops) == "C++"
    other = RuleOptimizer(qs, rule, lr=0.01)
    other.load_state_dict(eager.state_dict())
    eager.step()
    assert engine(other) == "C++"
    for p, q in zip(ps, qs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)


def test_copies_and_pickles_choose_for_themselves():
    optimizer = RuleOptimizer(parameters([4] * 1_030), rules.RMSprop(), lr=0.1)
    assert engine(optimizer) == "C++"
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        for group in other.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        assert other.compile == "auto"
        assert engine(other) == "C++"


def test_capturable_wants_to_be_compiled_on_purpose():
    with pytest.raises(ValueError, match=r"capturable=...\) must be False without compile=True or"):
        RuleOptimizer(parameters([3]), rules.RMSprop(), lr=0.1, capturable=True)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("limit", [1e-3, 1e3])
@pytest.mark.parametrize("more", [(), (rules.ClipByValue(1.0), rules.L1(0.1)), (rules.ClipByNorm(0.5),)], ids=str)
def test_parts_before_a_kernel_leave_the_rest_to_it_and_gradients_as_they_are(more, limit, maximize, monkeypatch):
    parts = (rules.ClipByGlobalNorm(limit), *more)
    rule = rules.Link.sequence((*parts, rules.Adam(), rules.DecoupledWeightDecay(0.1)))
    found, called, (before, kernel) = [], [], native_of(rule)
    assert before == parts
    monkeypatch.setattr(
        in_cache, "native_of", lambda _: (parts, lambda ps, *rest: called.append(ps) or kernel(ps, *rest))
    )
    for compiled in (False, True):
        ps = parameters([(100, 90), 7, (), (64, 64), (400, 400)])
        optimizer = RuleOptimizer(ps, rule, lr=0.01, maximize=maximize, compile=compiled)
        for _ in range(3):
            optimizer.step()
        assert bool(called) is not compiled
        called.clear()
        found.append((ps, [p.grad for p in ps]))
    assert all(map(torch.equal, *(gs for _, gs in found)))
    for p, q in zip(*(ps for ps, _ in found), strict=True):
        torch.testing.assert_close(p, q, rtol=2e-6, atol=1e-7)
