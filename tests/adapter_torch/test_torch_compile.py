"""`torch.compile`: one graph while the learning rate moves, whoever computes it."""

import time
import warnings

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lrsched import Constant, Cosine, Exponential, Polynomial, Repeat, Warmup, rules
from lrsched_torch import RuleOptimizer, ScheduleLR
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import table as _table
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._traced import graphs as _graphs

S = Warmup(10) >> Constant(0.05, steps=20) >> Cosine(0.05, 0.0, steps=70)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# The first and the last are large enough to stand alone; the others share buckets.
SHAPES = ((300, 300), (3, 4), (4,), (), (0,), (2, 700), (66_000,))


def parameters(dtype=torch.float32, shapes=SHAPES):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


@pytest.fixture
def no_libraries(monkeypatch):
    """Let rules be compiled by Inductor, as on other devices than a CPU."""

    def build(source):
        raise _build.CannotBuild("no compiler")

    monkeypatch.setattr(_table, "build", build)
    _table.library.cache_clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RuleOptimizer.compile=True. runs .*no compiler")
        yield
    _table.library.cache_clear()


@pytest.fixture
def graphs(monkeypatch, no_libraries):
    """Let the graphs run without the C++ compiler, and list them."""
    made = []

    def keep(graph, examples):
        made.append(graph)
        return graph

    monkeypatch.setattr(_graphs, "compile_graph", keep)
    _graphs.phases_of.cache_clear()
    yield made
    _graphs.phases_of.cache_clear()


RULES = [
    rules.Momentum(0.9, lr_in_buffer=True),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.RAdam(),
    rules.LAMB(),
    rules.NovoGrad(),
    rules.ClipByGlobalNorm(0.5) >> rules.Adam(),
    rules.ClipByGlobalNorm(0.5) >> rules.LARS(),
    rules.ClipByNorm(0.3) >> rules.LARS() >> rules.ClipByGlobalNorm(0.1),
    rules.ScheduleFree(rules.Adam(b1=0.0)),
    rules.Prodigy(d0=0.1),
]


def trained(rule, steps=20, dtype=torch.float64, shapes=SHAPES, **options):
    ps = parameters(dtype, shapes)
    groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S}]
    opt = RuleOptimizer(groups, rule, lr=S, **options)
    for t in range(steps):
        set_gradients(ps, t)
        opt.step()
    return ps


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_nothing_compiles_again_while_rates_and_steps_move(graphs, rule):
    ps = parameters()
    groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S}]
    opt = RuleOptimizer(groups, rule, lr=S, compile=True)
    set_gradients(ps, 0)
    opt.step()
    first = len(graphs)
    for t in range(1, 60):
        set_gradients(ps, t)
        if t > 30:
            ps[0].grad = None  # another set of gradients
        opt.step()
    assert len(graphs) == first
    assert first <= 2 * 4  # a graph for each reduction and a last one; alone and in rows


def test_nothing_compiles_again_under_a_torch_scheduler_or_a_loaded_state(graphs):
    ps = parameters()
    opt = RuleOptimizer(ps, rules.RMSprop(), lr=0.1, compile=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.99)
    for t in range(20):
        set_gradients(ps, t)
        opt.step()
        scheduler.step()
        opt.load_state_dict(opt.state_dict())
    assert len(graphs) == 1


def test_another_optimizer_of_the_same_rule_compiles_nothing(graphs):
    for shapes in (SHAPES, [(5,), (70_000,)]):
        ps = parameters(shapes=shapes)
        opt = RuleOptimizer(ps, rules.RMSprop(), lr=0.1, compile=True)
        set_gradients(ps, 0)
        opt.step()
    assert len(graphs) == 1


@pytest.mark.parametrize("rule", [rules.Momentum(0.9), rules.Adam(), rules.AdamW()], ids=str)
def test_what_torch_has_as_a_kernel_for_the_cpu_compiles_nothing(graphs, rule):
    torch.testing.assert_close(trained(rule, compile=True), trained(rule), rtol=1e-10, atol=1e-12)
    assert not graphs


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_graphs_equal_the_eager_rule(graphs, rule, flat):
    traced, eager = trained(rule, compile=True, flat=flat), trained(rule)
    torch.testing.assert_close(traced, eager, rtol=1e-10, atol=1e-12)
    assert graphs


@pytest.mark.parametrize("rule", [rules.Adam(), rules.LAMB()], ids=str)
@pytest.mark.parametrize("options", [{}, {"master": True}, {"maximize": True}], ids=str)
def test_the_graphs_of_bfloat16_parameters_equal_the_eager_rule(graphs, rule, options):
    traced = trained(rule, dtype=torch.bfloat16, compile=True, **options)
    eager = trained(rule, dtype=torch.bfloat16, **options)
    torch.testing.assert_close(traced, eager, rtol=2.0**-8, atol=2.0**-8)
    assert graphs


def test_what_depends_on_the_step_alone_is_not_computed_for_each_element(graphs):
    trained(rules.NAdam(), steps=1, compile=True)
    (graph,) = graphs
    targets = {str(node.target) for node in graph.graph.nodes}
    assert "aten.expm1.default" not in targets
    assert "aten.sqrt.default" in targets


def test_no_array_is_kept_between_the_passes_over_a_tensor(graphs):
    trained(rules.LAMB(), steps=1, compile=True, shapes=[(300, 300), (70_000,)])
    sums, last = graphs
    # Two sums and the trust ratio go from one to the other: 0-d, or LAMB would keep its update.
    (output,) = (node for node in sums.graph.nodes if node.op == "output")
    shapes = [tuple(node.meta["val"].shape) for node in output.args[0]]
    assert shapes == [()] * len(shapes)
    assert not any("sum" in str(node.target) for node in last.graph.nodes)


def test_a_rule_of_matrices_is_one_graph_for_each_shape(monkeypatch):
    counter = CompileCounter()
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=counter, **options))
    rule = rules.Split(rules.Muon(), rules.Adam())
    shapes = [(3, 4), (4,)] * 5
    traced, eager = trained(rule, steps=3, shapes=shapes, compile=True), trained(rule, steps=3, shapes=shapes)
    torch.testing.assert_close(traced, eager, rtol=1e-6, atol=1e-6)
    assert counter.frame_count == 2


@pytest.mark.slow
@pytest.mark.usefixtures("no_libraries")
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_compiled_rule_equals_the_eager_one(rule, flat):
    _graphs.phases_of.cache_clear()
    shapes = [(300, 300), (3, 4), (70_000,), (4,), (), (0,), (5, 1000)]
    fast = trained(rule, dtype=torch.float32, shapes=shapes, compile=True, flat=flat)
    eager = trained(rule, dtype=torch.float32, shapes=shapes)
    torch.testing.assert_close(fast, eager, rtol=1e-5, atol=2e-5)


@pytest.mark.slow
def test_a_compiled_step_compares_with_torch_and_compiles_in_time():
    # 161 tensors: a list graph takes 40 s and more.
    shapes = [(64, 3, 7, 7), (64,), (64,)] + [(256, 64, 3, 3), (256,), (256,)] * 52 + [(1000, 128), (1000,)]
    ours, theirs = parameters(shapes=shapes), parameters(shapes=shapes)
    opt = RuleOptimizer(ours, rules.Adam(), lr=0.01, compile=True)
    other = torch.optim.Adam(theirs, lr=0.01, fused=True)
    begin = time.process_time()
    for t in range(5):
        for ps, one in ((ours, opt), (theirs, other)):
            set_gradients(ps, t)
            one.step()
    assert time.process_time() - begin < 30.0
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [rules.Adam(), pytest.param(rules.Muon(), marks=pytest.mark.slow)], ids=repr)
@pytest.mark.parametrize("form", [{}, {"compile": True}, {"flat": True}, {"compile": True, "flat": True}], ids=str)
def test_a_training_step_may_be_compiled_as_a_whole(form, rule):
    if "flat" in form and not facts_of(rule).packs:
        form = {**form, "flat": False}  # matrices stay matrices
    found = []
    for compiled in (True, False):
        torch.manual_seed(0)
        (p,) = ps = [torch.nn.Parameter(torch.randn(3, 4, dtype=torch.float64))]
        opt = RuleOptimizer(ps, rule, lr=S, **form)

        def train(x, p=p, opt=opt):
            loss = (p * x).square().sum()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        train = torch.compile(train, backend="eager") if compiled else train
        losses = [train(torch.full((4,), 1.0 + t, dtype=torch.float64)) for t in range(5)]
        found.append((torch.stack(losses).detach(), p.detach()))
    torch.testing.assert_close(*found, rtol=1e-12, atol=0.0)


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
