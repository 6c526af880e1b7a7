"""`torch.compile`: one graph while the learning rate moves, whoever computes it."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lrsched import Constant, Cosine, Exponential, Polynomial, Repeat, Warmup, rules
from lrsched_torch import RuleOptimizer, ScheduleLR

S = Warmup(10) >> Constant(0.05, steps=20) >> Cosine(0.05, 0.0, steps=70)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def parameters(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in ((3, 4), (4,))]


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


@pytest.fixture
def frontend(monkeypatch):
    """Let `torch.compile` trace and guard as ever, count the graphs, and run them without the C++ compiler."""
    counter = CompileCounter()
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=counter, **options))
    return counter


RULES = [
    rules.Momentum(0.9),
    rules.AdamW(weight_decay=0.1),
    rules.ClipByGlobalNorm(0.5) >> rules.Adam(),
    rules.LAMB(),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_compiled_rule_compiles_once_over_a_moving_schedule(frontend, rule):
    ps = parameters()
    groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S}]
    opt = RuleOptimizer(groups, rule, lr=S, compile=True)
    for t in range(100):
        set_gradients(ps, t)
        opt.step()
    assert frontend.frame_count == 1


def test_a_compiled_rule_compiles_once_under_a_torch_scheduler(frontend):
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1, compile=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.99)
    for t in range(100):
        set_gradients(ps, t)
        opt.step()
        scheduler.step()
    assert frontend.frame_count == 1


def test_another_set_of_gradients_compiles_again(frontend):
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=0.1, compile=True)
    for t in range(4):
        set_gradients(ps, t)
        if t >= 2:
            ps[0].grad = None
        opt.step()
    assert frontend.frame_count == 2


def test_many_optimizers_do_not_use_up_the_limit_of_recompilations(frontend):
    with torch._dynamo.config.patch(recompile_limit=2):
        for _ in range(4):
            ps = parameters()
            opt = RuleOptimizer(ps, rules.Momentum(), lr=0.1, compile=True)
            set_gradients(ps, 0)
            opt.step()
    assert frontend.frame_count == 4


def test_loading_a_state_does_not_compile_again(frontend):
    ps = parameters()
    opt = RuleOptimizer(ps, rules.Adam(), lr=S, compile=True)
    for t in range(4):
        set_gradients(ps, t)
        opt.step()
        opt.load_state_dict(opt.state_dict())
    assert frontend.frame_count == 1


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_traced_rule_equals_the_eager_one(frontend, rule):
    traced, eager = parameters(torch.float64), parameters(torch.float64)
    for ps, fast in ((traced, True), (eager, False)):
        groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S}]
        opt = RuleOptimizer(groups, rule, lr=S, compile=fast)
        for t in range(20):
            set_gradients(ps, t)
            opt.step()
    torch.testing.assert_close(traced, eager, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_the_compiled_rule_equals_the_eager_one():
    rule = rules.ClipByGlobalNorm(0.5) >> rules.AdamW(weight_decay=0.1)
    fast, eager = parameters(), parameters()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for ps, compiled in ((fast, True), (eager, False)):
            opt = RuleOptimizer(ps, rule, lr=S, compile=compiled)
            for t in range(100):
                set_gradients(ps, t)
                opt.step()
    torch.testing.assert_close(fast, eager, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_the_step_of_a_torch_optimizer_compiles_once_with_a_tensor_rate(kind):
    ps = parameters()
    opt = kind(ps, lr=torch.tensor(0.1))
    scheduler = ScheduleLR(opt, S)
    counter = CompileCounter()
    step = torch.compile(opt.step, backend=counter)
    used = []
    for t in range(100):
        set_gradients(ps, t)
        used.append(opt.param_groups[0]["lr"].item())
        step()
        scheduler.step()
    assert counter.frame_count == 1
    assert used == pytest.approx([S(t) for t in range(100)], rel=1e-6)


@pytest.mark.parametrize(
    "schedule",
    [
        S,
        S * Exponential(1.0, 0.99),
        Warmup(5) >> Polynomial(0.1, 0.0, steps=50, power=2.0),
        Repeat(Cosine(1.0, 0.0, steps=7)),
    ],
    ids=["chain", "product", "polynomial", "repeat"],
)
def test_a_schedule_traces_into_one_graph(schedule):
    schedule(torch.tensor(0))  # the table of namespaces is filled by the first tensor
    counter = CompileCounter()
    rate = torch.compile(lambda t: schedule(t), backend=counter, fullgraph=True)
    for t in range(100):
        assert rate(torch.tensor(t)).item() == pytest.approx(schedule(t), rel=1e-6, abs=1e-9)
    assert counter.frame_count == 1
