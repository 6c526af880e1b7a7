"""`lrsched_torch.averaged`: the averages of Schedule-Free in the place of the parameters."""

import pytest

torch = pytest.importorskip("torch")

from lrsched import rules  # noqa: E402
from lrsched_torch import RuleOptimizer, averaged  # noqa: E402


def trained(
    rule: rules.Rule, dtype: torch.dtype = torch.float64, **form: bool
) -> tuple[list[torch.Tensor], RuleOptimizer]:
    generator = torch.Generator().manual_seed(0)
    ps = [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in [(3, 4), (5,)]]
    optimizer = RuleOptimizer(ps, rule, lr=0.1, **form)
    for _ in range(4):
        for p in ps:
            p.grad = torch.randn(p.shape, generator=generator).to(dtype)
        optimizer.step()
    return ps, optimizer


@pytest.mark.parametrize("form", [{}, {"flat": True}], ids=["list", "flat"])
def test_parameters_are_averages_inside_and_themselves_after(form: dict[str, bool]):
    rule = rules.ClipByGlobalNorm(1.0) >> rules.ScheduleFree(rules.Adam(0.0), b1=0.8)
    ps, optimizer = trained(rule, **form)
    before = [p.detach().clone() for p in ps]
    with averaged(optimizer):
        for p, y in zip(ps, before, strict=True):
            torch.testing.assert_close(p.detach(), (y - 0.2 * optimizer.state[p]["z"]) / 0.8, rtol=1e-14, atol=0)
            assert not torch.equal(p, y)
    for p, y in zip(ps, before, strict=True):
        assert torch.equal(p, y)


def test_parameters_come_back_after_an_error():
    ps, optimizer = trained(rules.ScheduleFree(rules.SGD()))
    before = ps[0].detach().clone()
    with pytest.raises(RuntimeError, match="stop"), averaged(optimizer):
        raise RuntimeError("stop")
    assert torch.equal(ps[0], before)


def test_a_master_copy_is_what_is_averaged():
    ps, optimizer = trained(rules.ScheduleFree(rules.SGD()), torch.bfloat16, master=True)
    state = optimizer.state[ps[0]]
    exact = (state["master"] - 0.1 * state["z"]) / 0.9
    with averaged(optimizer):
        assert torch.equal(ps[0], exact.bfloat16())


def test_what_has_not_moved_stays():
    w = torch.nn.Parameter(torch.ones(2))
    with averaged(RuleOptimizer([w], rules.ScheduleFree(rules.SGD()), lr=0.1)):
        assert torch.equal(w, torch.ones(2))


def test_a_rule_that_does_not_average_is_refused():
    ps, optimizer = trained(rules.Adam())
    before = ps[0].detach().clone()
    with pytest.raises(TypeError, match="must be a ScheduleFree"), averaged(optimizer):
        raise AssertionError
    assert torch.equal(ps[0], before)
