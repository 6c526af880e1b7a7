"""A function of the step where the adapter takes a schedule."""

import pytest

from lrsched import Function, rules

torch = pytest.importorskip("torch")
adapter = pytest.importorskip("lrsched_torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")


def stairs(t: int) -> float:
    return 0.1 if t < 3 else 0.05 / t


def weight() -> "torch.nn.Parameter":
    return torch.nn.Parameter(torch.ones(3))


def test_a_scheduler_takes_functions_as_torch_does():
    ours, theirs = (torch.optim.SGD([weight()], lr=0.5) for _ in range(2))
    relative = adapter.ScheduleLR(ours, stairs, relative=True)
    native = lr_scheduler.LambdaLR(theirs, stairs)
    for _ in range(9):
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]
        for one in (ours, theirs, relative, native):
            one.step()
    assert adapter.from_torch(relative) == adapter.from_torch(native)


def test_each_group_may_have_a_function_and_the_state_is_a_number_and_a_text():
    groups = [{"params": [weight()]}, {"params": [weight()], "lr": 0.7}, {"params": [weight()]}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = adapter.ScheduleLR(optimizer, [stairs, None, Function(stairs)])
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.7, 0.1]
    state = scheduler.state_dict()
    assert state["schedule"] == ["Function(stairs)", "None", "Function(stairs)"]
    scheduler.load_state_dict({**state, "last_epoch": 5})
    assert optimizer.param_groups[2]["lr"] == stairs(5)


@pytest.mark.parametrize("wrong", [lambda: 0.1, lambda t: "text", Function, lambda t: 1 / t])
def test_what_gives_no_rates_is_refused_before_anything_has_changed(wrong):
    optimizer = torch.optim.SGD([weight()], lr=0.5)
    with pytest.raises((TypeError, ValueError), match=r"Function\(f=...\) must|must be a schedule"):
        adapter.ScheduleLR(optimizer, wrong)
    assert (optimizer.param_groups[0]["lr"], "initial_lr" in optimizer.param_groups[0]) == (0.5, False)


def test_an_optimizer_follows_a_function_and_groups_have_their_own():
    ws = [weight(), weight()]
    optimizer = adapter.RuleOptimizer(
        [{"params": ws[:1]}, {"params": ws[1:], "lr": lambda t: 0.2}], rules.SGD(), lr=stairs
    )
    for t in range(5):
        assert [group["lr"] for group in optimizer.param_groups] == [stairs(t), 0.2]
        for w in ws:
            w.grad = torch.ones(3)
        optimizer.step()
    assert ws[0].tolist() == pytest.approx([1.0 - sum(map(stairs, range(5)))] * 3)
    with pytest.raises(TypeError, match=r"RuleOptimizer\(lr=...\) .* or a function of the step"):
        adapter.RuleOptimizer([weight()], rules.SGD(), lr="0.1")
