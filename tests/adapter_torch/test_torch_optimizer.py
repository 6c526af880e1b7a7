"""`RuleOptimizer` as a torch optimizer: torch's own values, groups, state, closures, GradScaler, errors."""

import copy
import io
import pickle
import sys

import numpy as np
import pytest
import torch
from rule_samples import alone

from lrsched import Constant, Cosine, Exponential, Linear, Warmup, rules
from lrsched_torch import RuleOptimizer, ScheduleLR

S = Warmup(5) >> Cosine(0.05, 0.0, steps=45)

DIALECTS = {
    "SGD": (rules.SGD(), lambda ps: torch.optim.SGD(ps, lr=0.05)),
    "SGD with L2": (rules.L2(0.1) >> rules.SGD(), lambda ps: torch.optim.SGD(ps, lr=0.05, weight_decay=0.1)),
    "momentum": (rules.Momentum(0.9), lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9)),
    "dampening": (
        rules.Momentum(0.9, dampening=0.5, first_step="clone"),
        lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9, dampening=0.5),
    ),
    "Nesterov": (rules.Nesterov(0.9), lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9, nesterov=True)),
    "AdaGrad": (rules.AdaGrad(), lambda ps: torch.optim.Adagrad(ps, lr=0.05)),
    "RMSprop": (rules.RMSprop(), lambda ps: torch.optim.RMSprop(ps, lr=0.05)),
    "centered RMSprop with momentum": (
        rules.RMSprop(momentum=0.9, centered=True),
        lambda ps: torch.optim.RMSprop(ps, lr=0.05, momentum=0.9, centered=True),
    ),
    "Adam": (rules.Adam(), lambda ps: torch.optim.Adam(ps, lr=0.05)),
    "Adam with L2": (rules.L2(0.1) >> rules.Adam(), lambda ps: torch.optim.Adam(ps, lr=0.05, weight_decay=0.1)),
    "AMSGrad": (rules.AMSGrad(), lambda ps: torch.optim.Adam(ps, lr=0.05, amsgrad=True)),
    "AdamW": (rules.AdamW(weight_decay=0.1), lambda ps: torch.optim.AdamW(ps, lr=0.05, weight_decay=0.1)),
}


def parameters(dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in ((3, 4), (4,), ())]


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def train(opt, ps, steps, scheduler=None):
    for t in steps:
        set_gradients(ps, t)
        opt.step()
        if scheduler is not None:
            scheduler.step()


def values(ps):
    return [p.detach().clone() for p in ps]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize(("rule", "native"), DIALECTS.values(), ids=DIALECTS)
def test_it_equals_the_optimizer_of_torch_under_a_moving_schedule(rule, native, dtype, tolerance):
    ours, theirs = parameters(dtype), parameters(dtype)
    train(RuleOptimizer(ours, rule, lr=S), ours, range(50))
    opt = native(theirs)
    train(opt, theirs, range(50), ScheduleLR(opt, S))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_it_is_an_optimizer_that_any_torch_scheduler_drives():
    ps, others = parameters(), parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.1)
    train(opt, ps, range(5), torch.optim.lr_scheduler.ExponentialLR(opt, 0.5))
    train(RuleOptimizer(others, rules.SGD(), lr=Exponential(0.1, 0.5)), others, range(5))
    torch.testing.assert_close(ps, others, rtol=1e-12, atol=0.0)


def test_a_tensor_rate_is_read_at_each_step_and_kept():
    rate = torch.tensor(0.1, dtype=torch.float64)
    ps, others = parameters(), parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=rate)
    train(opt, ps, range(5), ScheduleLR(opt, S))
    train(RuleOptimizer(others, rules.Adam(), lr=S), others, range(5))
    assert opt.param_groups[0]["lr"] is rate
    torch.testing.assert_close(ps, others, rtol=1e-12, atol=0.0)


def test_the_group_shows_the_rate_of_the_step_to_come():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=S)
    for t in range(3):
        assert opt.param_groups[0]["lr"] == S(t)
        train(opt, ps, [t])


def test_what_another_writes_into_the_group_holds_for_one_step():
    # As distributed checkpoints do: a step at rate 0 that only makes the state.
    ps = parameters()
    opt = RuleOptimizer(ps, rules.AdamW(weight_decay=0.1), lr=Constant(0.1))
    before = values(ps)
    opt.param_groups[0]["lr"] = 0.0
    train(opt, ps, [0])
    assert all(torch.equal(p, old) for p, old in zip(ps, before, strict=True))
    assert opt.param_groups[0]["lr"] == 0.1


def test_another_schedule_takes_over_when_the_state_is_loaded():
    ps, qs = parameters(), parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=S)
    train(opt, ps, range(4))
    other = RuleOptimizer(qs, rules.SGD(), lr=Exponential(0.1, 0.5))
    other.load_state_dict(opt.state_dict())
    assert other.param_groups[0]["lr"] == Exponential(0.1, 0.5)(4)


def test_each_group_has_its_own_rate_number_or_schedule():
    ps = parameters()
    before = values(ps)
    groups = [{"params": ps[:1]}, {"params": ps[1:2], "lr": 0.5}, {"params": ps[2:], "lr": Constant(0.25)}]
    opt = RuleOptimizer(groups, rules.SGD(), lr=Linear(0.125, 0.0, steps=1))
    for _ in range(2):
        set_gradients(ps, 0)
        opt.step()
    for p, old, total in zip(ps, before, (0.125, 2 * 0.5, 2 * 0.25), strict=True):
        torch.testing.assert_close(p.detach(), old - total * p.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "rule",
    [rules.ClipByGlobalNorm(0.1) >> rules.Momentum(0.9), rules.Momentum(0.9) >> rules.ClipByGlobalNorm(0.01)],
    ids=["before the rule", "after the rule"],
)
def test_a_global_norm_runs_over_all_groups(rule):
    together, grouped = parameters(), parameters()
    train(RuleOptimizer(together, rule, lr=0.1), together, range(3))
    # Nearly equal rates put the groups into buckets of their own.
    groups = [{"params": grouped[:1]}, {"params": grouped[1:], "lr": 0.1 * (1 + 1e-13)}]
    train(RuleOptimizer(groups, rule, lr=0.1), grouped, range(3))
    torch.testing.assert_close(grouped, together, rtol=1e-10, atol=0.0)


def test_a_global_norm_equals_that_of_torch():
    ours, theirs = parameters(), parameters()
    train(RuleOptimizer(ours, rules.ClipByGlobalNorm(0.1, eps=1e-6) >> rules.SGD(), lr=0.5), ours, [0])
    opt = torch.optim.SGD(theirs, lr=0.5)
    set_gradients(theirs, 0)
    torch.nn.utils.clip_grad_norm_(theirs, 0.1)
    opt.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("rule", [rules.ClipByGlobalNorm(0.1) >> rules.Adam(), rules.LAMB(), rules.LARS()], ids=str)
def test_gradients_are_only_read(rule):
    ps = parameters()
    opt = RuleOptimizer(ps, rule, lr=0.1, maximize=True)
    set_gradients(ps, 0)
    before = [p.grad.clone() for p in ps]
    opt.step()
    assert all(torch.equal(p.grad, g) for p, g in zip(ps, before, strict=True))


def test_a_parameter_without_a_gradient_stays_and_keeps_no_state():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1)
    set_gradients(ps, 0)
    ps[1].grad = None
    before = values(ps)
    opt.step()
    assert [torch.equal(p.detach(), old) for p, old in zip(ps, before, strict=True)] == [False, True, False]
    assert ps[1] not in opt.state or not opt.state[ps[1]]


def test_each_parameter_counts_its_own_updates_as_in_torch():
    def run(make):
        ps = parameters()
        opt = make(ps)
        for t in range(6):
            set_gradients(ps, t)
            ps[1].grad = None if t < 3 else ps[1].grad  # thawed late
            ps[0].grad = None if t == 4 else ps[0].grad
            opt.step()
        return values(ps)

    ours = run(lambda ps: RuleOptimizer(ps, rules.Adam(), lr=0.1))
    torch.testing.assert_close(ours, run(lambda ps: torch.optim.Adam(ps, lr=0.1)), rtol=1e-10, atol=1e-12)


def test_a_late_group_goes_on_with_the_schedule_of_the_optimizer():
    ps = parameters()
    opt = RuleOptimizer(ps[:2], rules.SGD(), lr=S)
    train(opt, ps[:2], range(4))
    opt.add_param_group({"params": ps[2:]})
    assert [group["lr"] for group in opt.param_groups] == [S(4), S(4)]
    train(opt, ps, [4])
    assert [group["lr"] for group in opt.param_groups] == [S(5), S(5)]


def test_maximizing_goes_the_other_way():
    up, down = parameters(), parameters()
    start = values(up)
    train(RuleOptimizer(up, rules.SGD(), lr=0.1, maximize=True), up, [0])
    train(RuleOptimizer(down, rules.SGD(), lr=0.1), down, [0])
    for a, b, old in zip(up, down, start, strict=True):
        torch.testing.assert_close((a - old).detach(), (old - b).detach(), rtol=1e-9, atol=1e-15)


def test_a_closure_is_called_once_with_gradients_and_its_loss_returned():
    p = torch.nn.Parameter(torch.tensor(3.0, dtype=torch.float64))
    opt = RuleOptimizer([p], rules.SGD(), lr=0.25)
    calls = []

    def closure():
        calls.append(torch.is_grad_enabled())
        opt.zero_grad()
        loss = p**2
        loss.backward()
        return loss

    assert opt.step(closure).item() == 9.0
    assert calls == [True]
    assert p.item() == 3.0 - 0.25 * 6.0


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_reset_as_torch_does(set_to_none):
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.1)
    set_gradients(ps, 0)
    opt.zero_grad(set_to_none=set_to_none)
    assert all(p.grad is None if set_to_none else not p.grad.any() for p in ps)


def test_step_hooks_run():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=0.1)
    seen = []
    opt.register_step_pre_hook(lambda *_: seen.append("before"))
    opt.register_step_post_hook(lambda *_: seen.append("after"))
    train(opt, ps, [0])
    assert seen == ["before", "after"]


def test_a_scaler_skips_the_step_and_the_schedule_when_a_gradient_is_infinite():
    p = torch.nn.Parameter(torch.ones(2))
    opt = RuleOptimizer([p], rules.Momentum(0.9), lr=Exponential(0.5, 0.5))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    used = []
    for factor in (1.0, float("inf"), 1.0):
        opt.zero_grad()
        scaler.scale((factor * p).sum()).backward()
        before = p.detach().clone()
        scaler.step(opt)
        scaler.update()
        used.append((before - p.detach())[0].item())
    # Velocities 1 and 1.9 at rates 0.5 and 0.25.
    assert used == pytest.approx([0.5, 0.0, 1.9 * 0.25])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_moments_of_low_precision_parameters_are_float32_and_stay_so_when_loaded(dtype):
    ps = parameters(dtype)
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.01)
    train(opt, ps, range(3))
    other = RuleOptimizer(parameters(dtype), rules.Adam(), lr=0.01)
    other.load_state_dict(opt.state_dict())
    for p, q in zip(ps, other.param_groups[0]["params"], strict=True):
        assert other.state[q]["m"].dtype == torch.float32
        assert torch.equal(other.state[q]["m"], opt.state[p]["m"])


def test_bfloat16_does_not_stall_below_its_resolution_of_the_moments():
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    opt = RuleOptimizer([p], rules.Adam(b2=0.9999), lr=0.01)
    for _ in range(5):
        p.grad = torch.full((1,), 1.0, dtype=torch.bfloat16)
        opt.step()
    # 1 - 0.9999**5; in bfloat16 the sum would stay at its first value.
    assert opt.state[p]["v"].item() == pytest.approx(1 - 0.9999**5, rel=1e-3)


RULES = [rules.SGD(), rules.Momentum(0.9), rules.AMSGrad(), rules.RMSprop(centered=True, momentum=0.5), rules.LAMB()]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_resumed_run_is_identical(rule):
    whole = parameters(torch.float32)
    train(RuleOptimizer(whole, rule, lr=S), whole, range(10))
    first = parameters(torch.float32)
    opt = RuleOptimizer(first, rule, lr=S)
    train(opt, first, range(6))
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    second = [torch.nn.Parameter(value) for value in values(first)]
    resumed = RuleOptimizer(second, rule, lr=S)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    train(resumed, second, range(6, 10))
    assert all(torch.equal(a, b) for a, b in zip(second, whole, strict=True))


def test_a_loaded_state_shares_no_memory_with_its_source():
    ps, qs = parameters(), parameters()
    opt, other = (RuleOptimizer(params, rules.Momentum(), lr=0.1) for params in (ps, qs))
    train(opt, ps, [0])
    other.load_state_dict(opt.state_dict())
    before = opt.state[ps[0]]["v"].clone()
    train(other, qs, [1])
    assert torch.equal(opt.state[ps[0]]["v"], before)


def test_hooks_of_others_may_change_what_is_loaded():
    ps, qs = parameters(), parameters()
    opt, other = (RuleOptimizer(params, rules.Momentum(), lr=0.1) for params in (ps, qs))
    train(opt, ps, [0])

    def doubled(_, given):
        state = {i: {**entry, "v": 2 * entry["v"]} for i, entry in given["state"].items()}
        return {**given, "state": state}

    other.register_load_state_dict_pre_hook(doubled)
    other.load_state_dict(opt.state_dict())
    assert torch.equal(other.state[qs[0]]["v"], 2 * opt.state[ps[0]]["v"])


def test_the_state_of_another_rule_is_refused_and_changes_nothing():
    ps, qs = parameters(), parameters()
    opt, other = RuleOptimizer(ps, rules.Adam(), lr=0.1), RuleOptimizer(qs, rules.Momentum(), lr=0.2)
    train(opt, ps, [0])
    with pytest.raises(ValueError, match=r"with the rule Momentum\(\), which keeps \['step', 'v'\], got \['m', 'step'"):
        other.load_state_dict(opt.state_dict())
    assert other.param_groups[0]["lr"] == 0.2


def test_the_state_of_a_torch_optimizer_is_refused():
    with pytest.raises(ValueError, match="must get the state of a RuleOptimizer, got a group with the entries"):
        RuleOptimizer(parameters(), rules.SGD(), lr=0.1).load_state_dict(
            torch.optim.SGD(parameters(), lr=0.1).state_dict()
        )


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_goes_on_by_itself(duplicate):
    whole, ps = parameters(), parameters()
    train(RuleOptimizer(whole, rules.Adam(), lr=S), whole, range(6))
    opt = RuleOptimizer(ps, rules.Adam(), lr=S)
    train(opt, ps, range(3))
    twin = duplicate(opt)
    train(twin, twin.param_groups[0]["params"], range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(twin.param_groups[0]["params"], whole, strict=True))


def test_named_parameters_keep_their_names():
    model = torch.nn.Linear(2, 1)
    opt = RuleOptimizer(model.named_parameters(), rules.SGD(), lr=0.1)
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_the_state_may_be_moved_in_place_by_others():
    # The idiom with which trainers move an optimizer: new tensors under the old names.
    ps, others = parameters(), parameters()
    opt, other = (RuleOptimizer(params, rules.Adam(), lr=0.1) for params in (ps, others))
    train(opt, ps, range(2))
    for state in opt.state.values():
        for name, content in state.items():
            if isinstance(content, torch.Tensor):
                state[name] = content.clone()
    train(opt, ps, range(2, 4))
    train(other, others, range(4))
    assert all(torch.equal(a, b) for a, b in zip(ps, others, strict=True))


@pytest.mark.parametrize("options", [{}, {"flat": True}], ids=str)
def test_what_others_write_into_the_state_counts(options):
    ps = mixed()
    opt = RuleOptimizer(ps, rules.Momentum(0.5), lr=1.0, **options)
    train(opt, ps, range(2))
    before = values(ps)
    for p in ps:
        opt.state[p]["v"] = torch.full_like(p, 4.0, requires_grad=False)
        p.grad = torch.zeros_like(p)
    opt.step()
    for p, old in zip(ps, before, strict=True):
        torch.testing.assert_close(p.detach(), old - 2.0, rtol=1e-12, atol=1e-12)
        assert (opt.state[p]["v"] == 2.0).all()


def test_a_sparse_gradient_is_a_clear_error():
    table = torch.nn.Embedding(4, 2, sparse=True)
    opt = RuleOptimizer(table.parameters(), rules.SGD(), lr=0.1)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"must get dense gradients, got one of torch.sparse_coo .*sparse=False"):
        opt.step()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64], ids=str)
def test_a_parameter_that_is_not_real_is_refused(dtype):
    with pytest.raises(TypeError, match="must be real floating-point tensors, got one of torch"):
        RuleOptimizer([torch.zeros(2, dtype=dtype)], rules.SGD(), lr=0.1)


def test_a_refused_group_is_not_added():
    opt = RuleOptimizer(parameters(), rules.SGD(), lr=0.1)
    with pytest.raises(ValueError, match="must be a finite number >= 0"):
        opt.add_param_group({"params": parameters(), "lr": -1.0})
    assert len(opt.param_groups) == 1


@pytest.mark.parametrize(
    ("rule", "lr", "error", "message"),
    [
        (
            rules.L2(0.1),
            0.1,
            TypeError,
            r"must be a rule such as rules.Adam\(\), got L2\(0.1\); write L2\(0.1\) >> SGD",
        ),
        ("Adam", 0.1, TypeError, r"RuleOptimizer\(rule=...\) must be a rule such as rules.Adam\(\), got 'Adam'"),
        (rules.SGD(), "0.1", TypeError, r"RuleOptimizer\(lr=...\) must be a finite number >= 0"),
        (rules.SGD(), True, TypeError, "a 0-d tensor, a schedule or a function of the step, got True"),
        (rules.SGD(), -0.1, ValueError, "got -0.1"),
        (rules.SGD(), float("nan"), ValueError, "got nan"),
        (rules.SGD(), torch.ones(2), ValueError, r"got a tensor of shape \(2,\)"),
        (rules.SGD(), Warmup(3), ValueError, "takes its height from a neighbour"),
    ],
)
def test_bad_arguments_raise_when_built(rule, lr, error, message):
    with pytest.raises(error, match=message):
        RuleOptimizer(parameters(), rule, lr=lr)


def test_a_numpy_rate_is_a_number():
    ps = parameters()
    opt = RuleOptimizer(ps, rules.SGD(), lr=np.float64(0.1))
    train(opt, ps, [0])
    assert float(opt.param_groups[0]["lr"]) == 0.1


# Large and small tensors, several pieces, and more than one bucket
MIXED = ((300, 500), (4,), (), (0,), (3, 4), (70_000,), (2, 700), *[(200, 300)] * 5)
ALL = [
    *(rule for rule, _ in DIALECTS.values()),
    *(sample.rule for sample in alone()),
    rules.Nesterov(0.9) >> rules.DecoupledWeightDecay(0.1),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.Adam(eps=1e-3, eps_at="hat"),
    rules.AdaGrad(eps_at="inside", initial=0.1),
    rules.RAdam(),
    rules.LARS(),
    rules.LAMB(),
    rules.ClipByGlobalNorm(0.5) >> rules.LAMB(),
    rules.ClipByNorm(0.3) >> rules.LARS() >> rules.ClipByGlobalNorm(0.1),
    rules.ScheduleFree(rules.Adam(b1=0.0)),
    rules.Split(rules.Muon(), rules.Adam()),
]


def mixed(dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in MIXED]


@pytest.mark.parametrize("rule", ALL, ids=repr)
def test_it_equals_the_pure_rule_whatever_the_sizes(rule):
    ps = mixed()
    pure = [p.detach().clone() for p in ps]
    slots = rules.init(rule, pure)
    opt = RuleOptimizer([{"params": ps[:3]}, {"params": ps[3:], "lr": 0.02}], rule, lr=0.01)
    for t in range(3):
        set_gradients(ps, t)
        opt.step()
        rates = [0.01] * 3 + [0.02] * (len(ps) - 3)
        pure, slots = rules.apply(rule, pure, [p.grad for p in ps], slots, lr=rates, step=t)
    for p, q in zip(ps, pure, strict=True):
        torch.testing.assert_close(p.detach(), q, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("flat", [False, True])
def test_a_group_may_have_its_own_rule(flat):
    ps, alone = parameters(), parameters()
    groups = [{"params": ps[:1]}, {"params": ps[1:], "rule": rules.AdamW(weight_decay=0.1), "lr": 0.01}]
    opt = RuleOptimizer(groups, rules.ClipByGlobalNorm(0.1) >> rules.Momentum(), lr=0.1, flat=flat)
    train(opt, ps, range(3))
    # The norm runs over the groups of the rule that asks for it.
    first = RuleOptimizer(alone[:1], rules.ClipByGlobalNorm(0.1) >> rules.Momentum(), lr=0.1)
    second = RuleOptimizer(alone[1:], rules.AdamW(weight_decay=0.1), lr=0.01)
    for t in range(3):
        set_gradients(alone, t)
        first.step()
        second.step()
    torch.testing.assert_close(ps, alone, rtol=1e-12, atol=1e-12)
    state = opt.state_dict()
    assert all("rule" not in group for group in state["param_groups"])
    other = RuleOptimizer(groups, rules.ClipByGlobalNorm(0.1) >> rules.Momentum(), lr=0.1)
    other.load_state_dict(state)


def test_a_group_with_a_wrong_rule_is_refused():
    opt = RuleOptimizer(parameters()[:1], rules.SGD(), lr=0.1)
    with pytest.raises(TypeError, match=r"must be a rule such as rules.Adam\(\), got 'Adam'"):
        opt.add_param_group({"params": parameters()[1:], "rule": "Adam"})
    assert len(opt.param_groups) == 1


def test_a_leading_copy_moves_below_the_resolution_of_bfloat16():
    moved = []
    for master in (False, True):
        p = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        opt = RuleOptimizer([p], rules.SGD(), lr=1e-3, master=master)
        for _ in range(10):
            p.grad = torch.ones_like(p)
            opt.step()
        moved.append(p[0].item())
    # 1e-3 is below half of 2**-8, the distance of bfloat16 numbers below 1; ten of them are not.
    assert moved == [1.0, pytest.approx(0.99, abs=2.0**-8)]
    assert opt.state[p]["master"].dtype == torch.float32
    assert opt.state[p]["master"][0].item() == pytest.approx(0.99, rel=1e-6)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.LAMB(), rules.Split(rules.Muon(), rules.Adam())], ids=repr)
def test_a_leading_copy_follows_float32_parameters(rule):
    low, high = parameters(torch.bfloat16), parameters(torch.bfloat16)
    high = [torch.nn.Parameter(p.detach().float()) for p in high]
    one, other = RuleOptimizer(low, rule, lr=0.01, master=True), RuleOptimizer(high, rule, lr=0.01)
    for t in range(5):
        set_gradients(low, t)
        for p, q in zip(low, high, strict=True):
            q.grad = p.grad.float()
        one.step()
        other.step()
    for p, q in zip(low, high, strict=True):
        torch.testing.assert_close(one.state[p]["master"], q.detach(), rtol=1e-6, atol=1e-6)
        assert torch.equal(p.detach(), one.state[p]["master"].to(torch.bfloat16))


def test_states_with_and_without_a_leading_copy_are_exchangeable():
    ps = parameters(torch.bfloat16)
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.01, master=True)
    train(opt, ps, range(2))
    plain = RuleOptimizer(parameters(torch.bfloat16), rules.Adam(), lr=0.01)
    plain.load_state_dict(opt.state_dict())
    assert all("master" not in state for state in plain.state.values())
    again = RuleOptimizer(ps, rules.Adam(), lr=0.01, master=True)
    again.load_state_dict(plain.state_dict())
    assert all(torch.equal(again.state[p]["master"], p.detach().float()) for p in ps)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (64, 64, 5, 5)], ids=["small", "large"])
def test_the_order_of_the_memory_changes_nothing(shape):
    torch.manual_seed(0)
    value = torch.randn(shape, dtype=torch.float64)
    ps = [torch.nn.Parameter(value.clone()), torch.nn.Parameter(value.to(memory_format=torch.channels_last))]
    for p, q in ((ps[0], ps[0]), (ps[1], ps[1])):
        opt = RuleOptimizer([p], rules.LAMB(), lr=0.1)
        for t in range(3):
            set_gradients([q], t)  # gradients in the usual order
            opt.step()
    torch.testing.assert_close(*ps, rtol=1e-12, atol=1e-12)
    assert ps[1].is_contiguous(memory_format=torch.channels_last)


def test_gradients_are_not_kept_alive():
    ps = mixed()
    opt = RuleOptimizer(ps, rules.LAMB(), lr=0.1)
    set_gradients(ps, 0)
    opt.step()
    # What is left: the parameter's own, and the argument of the call.
    assert {sys.getrefcount(p.grad) for p in ps} == {1 + 1}


def test_equal_states_whether_compiled_or_not_have_equal_keys():
    ps = mixed(torch.float32)
    opt = RuleOptimizer(ps, rules.NovoGrad(), lr=0.1)
    train(opt, ps, [0])
    state = opt.state_dict()["state"]
    assert {tuple(entry) for entry in state.values()} == {("step", "m", "v")}
    assert all(state[i]["m"].shape == p.shape and state[i]["v"].shape == () for i, p in enumerate(ps))
