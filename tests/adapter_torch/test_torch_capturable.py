"""`capturable=True`: a step that a CUDA graph can repeat, shown on a CPU by what the step does and does not do."""

import copy
import importlib.util
import io
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lrsched import Constant, Cosine, Linear, Repeat, Rex, Table, Triangular, Warmup, rules
from lrsched_torch import RuleOptimizer, ScheduleLR
from lrsched_torch._kernels import triton as _triton
from lrsched_torch._kernels.source import source_of
from lrsched_torch._shared import captured as _captured
from lrsched_torch._traced import graphs as _graphs

ROOT = Path(__file__).resolve().parents[2]
S = Warmup(4) >> Constant(0.05, steps=5) >> Cosine(0.05, 0.0, steps=40)
# The second stands alone, the others share buckets.
SHAPES = ((3, 4), (260, 260), (4,), (), (0,), (2, 600))
SMALL = ((3, 4), (4,), (), (0,), (5, 2))
RULES = [
    rules.SGD(),
    rules.Momentum(0.9, lr_in_buffer=True),
    rules.Adam(),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.LAMB(),
    rules.NovoGrad(),
    rules.ClipByGlobalNorm(0.5) >> rules.LARS(),
    rules.ScheduleFree(rules.Adam(b1=0.0)),
    rules.Prodigy(d0=0.1),
]
# Element by element, a number for each tensor, sums for each tensor, totals.
KINDS = [rules.Adam(), rules.NovoGrad(), rules.LAMB(), rules.ClipByGlobalNorm(0.5) >> rules.LARS()]
PLAIN, FLAT, MASTER = {}, {"flat": True}, {"master": True}


@pytest.fixture(autouse=True, scope="module")
def _graphs_without_a_compiler():
    _graphs.phases_of.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graphs, "compile_graph", lambda graph, examples: graph)
        yield
    _graphs.phases_of.cache_clear()


def parameters(dtype=torch.float64, shapes=SMALL):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]


def gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    return [torch.randn(p.shape, generator=generator).to(p) for p in ps]


def grouped(ps):
    return [{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S, "maximize": True}]


def optimizer(ps, rule, lr=S, **options):
    return RuleOptimizer(grouped(ps), rule, lr=lr, **options)


def capturable(ps, rule, lr=S, **options):
    return optimizer(ps, rule, lr, **{"compile": True, "capturable": True} | options)


def train(opt, ps, steps, missing=lambda i, t: False):
    for t in steps:
        opt.zero_grad()
        for i, (p, g) in enumerate(zip(ps, gradients(ps, t), strict=True)):
            if not missing(i, t):
                p.grad = g
        opt.step()


def assert_same(ps, qs, rtol=1e-10, atol=1e-12):
    torch.testing.assert_close([p.detach() for p in ps], [q.detach() for q in qs], rtol=rtol, atol=atol)


def numbers_of(opt):
    """Return counts and rates."""
    entries = [opt.state[p] for group in opt.param_groups for p in group["params"]]
    steps = [float(entry["step"]) for entry in entries if entry]
    return steps + [float(group[name]) for group in opt.param_groups for name in ("lr", "updates")]


def slots_of(opt):
    entries = [opt.state[p] for group in opt.param_groups for p in group["params"]]
    return [entry[name] for entry in entries for name in sorted(entry) if name != "step"]


def assert_equal_optimizers(a, b, rtol=1e-10, atol=1e-12):
    for x, y in zip(a.param_groups, b.param_groups, strict=True):
        assert_same(x["params"], y["params"], rtol, atol)
    torch.testing.assert_close(slots_of(a), slots_of(b), rtol=rtol, atol=atol)
    assert numbers_of(a) == pytest.approx(numbers_of(b), rel=1e-12, abs=1e-15)


FORMS = [*((rule, PLAIN) for rule in RULES), *((rule, FLAT) for rule in KINDS)]


@pytest.mark.parametrize(("rule", "options"), FORMS, ids=str)
def test_it_equals_the_ordinary_step(rule, options):
    ps, qs = parameters(shapes=SHAPES), parameters(shapes=SHAPES)
    a, b = capturable(ps, rule, **options), optimizer(qs, rule)
    # `zero_grad` of flat leaves zeros, so nothing is missing there.
    missing = (lambda i, t: False) if options else (lambda i, t: t >= 3 and (i + t) % 4 == 0)
    for opt, own in ((a, ps), (b, qs)):
        train(opt, own, range(20), missing)
    assert_equal_optimizers(a, b)


@pytest.mark.parametrize("options", [{}, {"master": True}], ids=str)
def test_it_equals_the_ordinary_step_in_bfloat16(options):
    ps, qs = parameters(torch.bfloat16), parameters(torch.bfloat16)
    a, b = capturable(ps, rules.LAMB(), **options), optimizer(qs, rules.LAMB(), **options)
    train(a, ps, range(12))
    train(b, qs, range(12))
    assert_same(ps, qs, rtol=2.0**-7, atol=2.0**-7)


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("rule", [rules.Adam(), rules.ClipByGlobalNorm(0.5) >> rules.LARS()], ids=str)
@pytest.mark.parametrize(("first", "second"), [(capturable, optimizer), (optimizer, capturable), (capturable,) * 2])
def test_states_go_from_one_form_to_the_other(rule, first, second):
    ps, qs = parameters(), parameters()
    missing = lambda i, t: i == 1 and t == 2  # noqa: E731  # short
    whole = optimizer(qs, rule)
    train(whole, qs, range(15), missing)
    a = first(ps, rule)
    train(a, ps, range(7), missing)
    state = saved(a.state_dict())
    assert [type(group["updates"]) for group in state["param_groups"]] == [int, int]
    assert [type(group["lr"]) for group in state["param_groups"]] == [float, float]
    b = second(ps, rule)
    b.load_state_dict(state)
    assert numbers_of(a) == pytest.approx(numbers_of(b))
    train(b, ps, range(7, 15), missing)
    assert_equal_optimizers(b, whole)
    if second is optimizer:
        assert {type(entry["step"]) for entry in b.state.values()} == {int}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_goes_on_by_itself(duplicate):
    ps = parameters()
    a = capturable(ps, rules.Adam())
    train(a, ps, range(3))
    before = numbers_of(a)
    b = duplicate(a)
    train(b, [p for group in b.param_groups for p in group["params"]], range(3, 8))
    assert numbers_of(a) == before
    train(a, ps, range(3, 8))
    assert_equal_optimizers(a, b, rtol=0.0, atol=0.0)


def test_a_late_group_goes_on_with_the_schedule():
    found = []
    for make in (capturable, optimizer):
        ps = parameters()
        opt = make(ps[:3], rules.Adam())
        train(opt, ps[:3], range(3))
        opt.add_param_group({"params": ps[3:]})
        train(opt, ps, range(3, 8))
        found.append(opt)
    assert_equal_optimizers(*found)


@pytest.mark.filterwarnings("ignore:RuleOptimizer goes on with its schedule")  # of the second group
def test_a_scheduler_fills_the_rate_where_it_is():
    ps, qs = parameters(), parameters()
    a, b = capturable(ps, rules.Adam(), lr=0.1), optimizer(qs, rules.Adam(), lr=0.1)
    place = a.param_groups[0]["lr"].data_ptr()
    for opt, own in ((a, ps), (b, qs)):
        ours = ScheduleLR(opt, Linear(0.1, 0.0, steps=10))
        theirs = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)
        for t in range(8):
            train(opt, own, [t])
            (ours if t < 4 else theirs).step()
    assert_same(ps, qs)
    assert a.param_groups[0]["lr"].data_ptr() == place


def test_a_rate_stays_at_its_place_whoever_writes_it():
    ps = parameters()
    opt = capturable(ps, rules.SGD(), lr=torch.full((), 0.5))
    train(opt, ps, [0])
    places = [group[name].data_ptr() for group in opt.param_groups for name in ("lr", "updates")]
    opt.param_groups[0]["lr"] = 0.25
    train(opt, ps, [1])
    opt.load_state_dict(opt.state_dict())
    train(opt, ps, [2])
    assert [group[name].data_ptr() for group in opt.param_groups for name in ("lr", "updates")] == places
    assert float(opt.param_groups[0]["lr"]) == 0.25


def test_a_loaded_rate_that_is_a_tensor_is_written_where_the_present_one_is():
    ps = parameters()
    opt = capturable(ps, rules.SGD(), lr=0.5)
    place = opt.param_groups[0]["lr"].data_ptr()
    opt.load_state_dict(optimizer(parameters(), rules.SGD(), lr=torch.full((), 0.25)).state_dict())
    assert float(opt.param_groups[0]["lr"]) == 0.25
    assert opt.param_groups[0]["lr"].data_ptr() == place


# What waits for a device, as PyTorch calls it below and above, and what takes numbers from the host.
WAITS = ("_local_scalar_dense", "item", "equal", "is_nonzero", "nonzero", "masked_select")
ASKS = (torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__bool__, torch.Tensor.__float__, torch.Tensor.__int__)
TAKES = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy, torch.Tensor.numpy, torch.Tensor.cpu)
MADE = ("full", "full_like", "scalar_tensor", "zeros", "zeros_like", "ones", "empty", "empty_like", "new_zeros")


def name_of(func):
    return func.overloadpacket.__name__


def tensors_of(*arguments):
    return [x for x in tree_leaves(arguments) if isinstance(x, torch.Tensor)]


class _Above(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        assert func not in ASKS, f"{func} waits for the device"
        assert func not in TAKES, f"{func} takes numbers from the host"
        return func(*args, **(kwargs or {}))


class Watch(TorchDispatchMode):
    """Refuses what waits for a device, and what makes a tensor of numbers of the host but for filling."""

    def __enter__(self):
        self.above = _Above()
        self.above.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.above.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, given = name_of(func), tensors_of(args, kwargs)
        masks = name.startswith("index") and any(x.dtype == torch.bool for x in tensors_of(args[1:]))
        assert name not in WAITS, f"{name} waits for the device"
        assert not masks, f"{name} waits for the device"
        assert given or name in MADE or func.namespace == "profiler", f"{name} takes numbers from the host"
        return func(*args, **(kwargs or {}))


class Record(TorchDispatchMode):
    """Writes down what is called, so that it can be called again on the same memory, as a CUDA graph does."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func.namespace != "profiler":
            self.calls.append((func, args, kwargs or {}, found))
        return found

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, before in self.calls:
            found = func(*args, **kwargs)
            for old, new in zip(tensors_of(before), tensors_of(found), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


SCHEDULES = [
    S,
    Repeat(Linear(0.1, 0.01, steps=7), stretch=1.5),
    Triangular(0.01, 0.1, up=3, down=8),
    Table((0.1, 0.3, 0.02, 0.5, 0.25)),
    Rex(0.1, 0.0, steps=30),
]


def test_the_watch_sees_what_waits_and_what_comes_from_the_host():
    x = torch.ones(3)
    wrong = [
        lambda: x.sum().item(),
        lambda: torch.ops.aten._local_scalar_dense(x[0]),
        lambda: bool(x[0] > 0),
        lambda: torch.tensor(3.0),
        lambda: torch.arange(3),
        lambda: x[x > 0],
    ]
    for call in wrong:
        with pytest.raises(AssertionError, match=r"waits for the device|takes numbers from the host"), Watch():
            call()


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_planned_step_does_not_wait_and_takes_nothing_from_the_host(rule, scaled):
    ps = parameters(shapes=SHAPES)
    opt = capturable(ps, rule)
    if scaled:
        opt.grad_scale, opt.found_inf = torch.full((), 4.0), torch.zeros(())
    train(opt, ps, range(2))
    for p, g in zip(ps, gradients(ps, 2), strict=True):
        p.grad = g
    with Watch():
        opt.step()
    if scaled:
        del opt.grad_scale, opt.found_inf
    assert numbers_of(opt)[-1] == 3


def recorded(opt, ps, t):
    """Return what one step calls; it is done once by that."""
    for p, g in zip(ps, gradients(ps, t), strict=True):
        p.grad = g
    with Record() as calls:
        opt.step()
    return calls


def renew(ps, t, scale=1.0):
    for p, g in zip(ps, gradients(ps, t), strict=True):
        p.grad.copy_(g * scale)


@pytest.mark.parametrize(("rule", "options"), FORMS, ids=str)
def test_a_step_that_is_launched_again_is_the_next_step(rule, options):
    ps, qs = parameters(shapes=SHAPES), parameters(shapes=SHAPES)
    a, b = capturable(ps, rule, **options), optimizer(qs, rule)
    train(a, ps, range(2))
    calls = recorded(a, ps, 2)
    for t in range(3, 12):
        renew(ps, t)
        calls.replay()
    train(b, qs, range(12))
    assert_equal_optimizers(a, b)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_schedule_moves_on_with_each_launch(schedule):
    ps = parameters()
    opt = capturable(ps, rules.SGD(), lr=schedule)
    train(opt, ps, range(2))
    calls = recorded(opt, ps, 2)
    for t in range(3, 40):
        assert float(opt.param_groups[0]["lr"]) == pytest.approx(schedule(t), rel=1e-12, abs=1e-15)
        calls.replay()


def test_members_that_have_done_fewer_updates_keep_their_count_when_launched_again():
    ps, qs = parameters(), parameters()
    a, b = capturable(ps, rules.Adam()), optimizer(qs, rules.Adam())
    missing = lambda i, t: i == 2 and t < 2  # noqa: E731  # short
    train(a, ps, range(4), missing)
    calls = recorded(a, ps, 4)
    for t in range(5, 12):
        renew(ps, t)
        calls.replay()
    train(b, qs, range(12), missing)
    assert_equal_optimizers(a, b)


@pytest.mark.parametrize(("rule", "options"), [*FORMS, *((rule, MASTER) for rule in KINDS)], ids=str)
def test_a_launch_that_finds_infinity_changes_nothing(rule, options):
    dtype = torch.bfloat16 if options.get("master") else torch.float64
    ps, qs = parameters(dtype), parameters(dtype)
    a, b = capturable(ps, rule, **options), capturable(qs, rule, **options)
    a.grad_scale, a.found_inf = torch.full((), 4.0), torch.zeros(())
    train_scaled = [t for t in range(12) if t % 3]
    for t in (1, 2):
        for p, g in zip(ps, gradients(ps, t), strict=True):
            p.grad = 4.0 * g
        a.step()
    for p, g in zip(ps, gradients(ps, 4), strict=True):
        p.grad = 4.0 * g
    with Record() as calls:
        a.step()
    for t in (3, 5, 6, 7, 8, 9, 10, 11):
        skipped = t % 3 == 0
        renew(ps, t, float("inf") if skipped else 4.0)
        a.found_inf.fill_(float(skipped))
        before = [x.detach().clone() for x in (*ps, *slots_of(a))], numbers_of(a)
        calls.replay()
        if skipped:
            after = [x.detach() for x in (*ps, *slots_of(a))], numbers_of(a)
            torch.testing.assert_close(after[0], before[0], rtol=0.0, atol=0.0)
            assert after[1] == before[1]
    train(b, qs, train_scaled)
    assert_equal_optimizers(a, b, *((0.0, 0.0) if options.get("master") else (1e-10, 1e-12)))


def test_a_skipped_step_keeps_the_rate_that_another_has_written():
    ps = parameters()
    opt = capturable(ps, rules.SGD())
    opt.found_inf = torch.ones(())
    train(opt, ps, range(2))
    assert numbers_of(opt)[-4:] == [S(0), 0, 2.0 * S(0), 0]
    opt.param_groups[0]["lr"].fill_(0.7)
    train(opt, ps, [2])
    assert float(opt.param_groups[0]["lr"]) == 0.7
    opt.found_inf.zero_()
    train(opt, ps, [3])
    assert numbers_of(opt)[-4:] == pytest.approx([S(1), 1, 2.0 * S(1), 1])


def scaled_run(opt, ps, steps=10):
    """Train under a scaler, with infinities in some steps, and return the gradients as they were left."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    left = []
    for t in range(steps):
        opt.zero_grad()
        loss = sum((p * g).sum() for p, g in zip(ps, gradients(ps, t), strict=True))
        scaler.scale(loss).backward()
        if t in (0, 4, 5):
            ps[1].grad.view(-1)[0] = float("inf")
        given = [p.grad.clone() for p in ps]
        scaler.step(opt)
        left.append(all(torch.equal(p.grad, g) for p, g in zip(ps, given, strict=True)))
        scaler.update()
    return left, scaler.get_scale()


@pytest.mark.parametrize(
    ("rule", "native"),
    [(rules.Adam(), lambda ps: torch.optim.Adam(ps, 0.1)), (rules.SGD(), lambda ps: torch.optim.SGD(ps, 0.1))],
    ids=["Adam", "SGD"],
)
def test_it_equals_the_optimizer_of_torch_under_a_gradient_scaler(rule, native):
    ps, qs = parameters(torch.float32), parameters(torch.float32)
    found = scaled_run(RuleOptimizer(ps, rule, lr=0.1, compile=True, capturable=True), ps)
    expected = scaled_run(native(qs), qs)
    assert_same(ps, qs, rtol=1e-5, atol=1e-6)
    assert found[1] == expected[1]
    assert all(found[0])


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_it_equals_the_ordinary_step_under_a_gradient_scaler(rule):
    ps, qs = parameters(), parameters()
    a, b = capturable(ps, rule), optimizer(qs, rule)
    found, expected = scaled_run(a, ps), scaled_run(b, qs)
    assert_equal_optimizers(a, b)
    assert found[1] == expected[1]


def test_gradients_that_were_unscaled_before_are_not_unscaled_again():
    found = []
    for make in (capturable, optimizer):
        ps = parameters()
        opt, scaler = make(ps, rules.Adam()), torch.amp.GradScaler("cpu", init_scale=8.0)
        for t in range(3):
            opt.zero_grad()
            scaler.scale(sum((p * g).sum() for p, g in zip(ps, gradients(ps, t), strict=True))).backward()
            scaler.unscale_(opt)
            scaler.step(opt)
            scaler.update()
        found.append(opt)
    assert_equal_optimizers(*found)


@pytest.mark.parametrize("schedule", [*SCHEDULES, 2.0 * S, Constant(0.3)], ids=str)
def test_a_traced_schedule_equals_the_schedule(schedule):
    curve = _captured.traced(schedule, torch.device("cpu"))
    for t in range(0, 60, 3):
        step = torch.full((), float(t), dtype=torch.float64)
        with Watch():
            found = curve(step)
        assert found.shape == ()
        assert found.item() == pytest.approx(schedule(t), rel=1e-12, abs=1e-15)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="it needs a CUDA device")
@pytest.mark.parametrize("compile", [True, "triton"])
@pytest.mark.parametrize("rule", KINDS, ids=str)
def test_a_cuda_graph_repeats_the_step(rule, compile):
    ps, qs = ([torch.nn.Parameter(p.detach().cuda()) for p in parameters(shapes=SHAPES)] for _ in range(2))
    a, b = capturable(ps, rule, compile=compile), optimizer(qs, rule)
    a.grad_scale, a.found_inf = torch.full((), 4.0, device="cuda"), torch.zeros((), device="cuda")
    for p in ps:
        p.grad = torch.zeros_like(p)
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for t in range(3):
            renew(ps, t, 4.0)
            a.step()
    torch.cuda.current_stream().wait_stream(stream)
    for p in ps:
        p.grad = torch.zeros_like(p)  # elsewhere, as after a backward pass in the graph
    with torch.cuda.graph(graph):
        a.step()
    for t in range(3, 15):
        renew(ps, t, float("inf") if t % 4 == 0 else 4.0)
        a.found_inf.fill_(float(t % 4 == 0))
        graph.replay()
    train(b, qs, [t for t in range(15) if t < 3 or t % 4])
    assert_equal_optimizers(a, b)


def unfit(opt, ps, what):
    """Do something after which a step must plan anew."""
    if what == "a gradient is missing":
        ps[1].grad = None
    elif what == "a slot is another":
        opt.state[ps[0]]["m"] = opt.state[ps[0]]["m"].clone()
    elif what == "a rate is a number":
        opt.param_groups[0]["lr"] = 0.1
    elif what == "gradients are scaled":
        opt.grad_scale = torch.full((), 2.0)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("a gradient is missing", "met the same parameters, gradients and groups"),
        ("a slot is another", "met the same parameters, gradients and groups"),
        ("a rate is a number", "taken learning rates that are numbers of the host"),
        ("gradients are scaled", "met the same parameters, gradients and groups"),
    ],
)
def test_what_cannot_be_captured_is_a_clear_error(monkeypatch, what, message):
    ps = parameters()
    opt = capturable(ps, rules.Adam())
    train(opt, ps, range(2))
    unfit(opt, ps, what)
    monkeypatch.setattr(_captured, "capturing", lambda: True)
    with pytest.raises(RuntimeError, match=f"must have {message} before a CUDA graph is captured"):
        opt.step()


def test_an_ordinary_step_cannot_be_captured(monkeypatch):
    ps = parameters()
    opt = optimizer(ps, rules.Adam())
    monkeypatch.setattr(_captured, "capturing", lambda: True)
    with pytest.raises(
        RuntimeError, match=r"must count on the device .* write RuleOptimizer\(\.\.\., capturable=True\)"
    ):
        opt.step()


@pytest.mark.parametrize("rule", [*KINDS, rules.Adan()], ids=str)
def test_a_scaled_step_of_triton_moves_no_more_than_another(rule):
    form = _graphs.Form(rule, False, torch.float32, torch.float32, torch.float32, False, False, "cpu")
    texts = [source_of(form._replace(scaled=scaled)).text for scaled in (False, True)]
    plain, scaled = (re.findall(r"tl\.(load|store)\(v_(\w+) \+ i", text) for text in texts)
    assert scaled == plain


def test_a_step_that_is_planned_can_be_captured(monkeypatch):
    ps = parameters()
    opt = capturable(ps, rules.Adam())
    train(opt, ps, range(2))
    monkeypatch.setattr(_captured, "capturing", lambda: True)
    train(opt, ps, [2])
    assert numbers_of(opt)[-1] == 3


def test_an_upload_in_a_capture_leaves_alone_what_is_launched_again(monkeypatch):
    upload = _captured.Upload(torch.device("cpu"), spare=False)
    first = upload("a", lambda: torch.ones(2))
    upload._spare.append(torch.empty(2))
    with monkeypatch.context() as capture:
        capture.setattr(_captured, "capturing", lambda: True)
        inside = upload("b", lambda: torch.full((2,), 2.0))
        with pytest.raises(RuntimeError, match="must have met other gradients before"):
            upload("c", lambda: torch.zeros(2))
        assert upload("a", lambda: torch.zeros(2)) is first
    # What is captured is not done, so an ordinary step must not trust it.
    again = upload("b", lambda: torch.full((2,), 2.0))
    assert again.data_ptr() not in (first.data_ptr(), inside.data_ptr())
    assert [x.tolist() for x in (first, inside, again)] == [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"capturable": 1, "compile": True}, TypeError, r"capturable=\.\.\.\) must be True or False, got 1"),
        ({"capturable": True}, ValueError, r"must be False without compile=True or compile='triton', got True"),
        (
            {"capturable": True, "compile": True, "rule": rules.Muon()},
            ValueError,
            r"must be False for a rule that needs tensors in their own shape, as Muon\(.*\) does, got True",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        RuleOptimizer(parameters(), **{"rule": rules.Adam(), "lr": 0.1} | options)


def test_parameters_spread_over_processes_are_refused():
    p = torch.ones(3)
    p._fsdp_flattened = True
    with pytest.raises(ValueError, match="must be False for parameters spread over processes, got True"):
        RuleOptimizer([p], rules.Adam(), lr=0.1, compile=True, capturable=True)


needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: see tests/oracles-large.txt"
)


@needs_triton
@pytest.mark.skipif(_triton.interpreted(), reason="it is what runs")
def test_the_kernels_of_triton_take_counts_rates_and_scales_from_the_device():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header"]
    command += ["tests/adapter_torch/test_torch_capturable.py", "-k", "interpreted_kernels"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


@pytest.mark.skipif(not _triton.interpreted(), reason="another test runs it under the interpreter of Triton")
@pytest.mark.parametrize(
    "rule",
    [rules.AdamW(min_ndim=2), rules.LAMB(), rules.NovoGrad(), rules.ClipByGlobalNorm(0.5) >> rules.Adam()],
    ids=str,
)
def test_interpreted_kernels_equal_the_ordinary_step(rule):
    ps, qs = parameters(), parameters()
    missing = lambda i, t: t >= 2 and (i + t) % 4 == 0  # noqa: E731  # short
    a, b = capturable(ps, rule, compile="triton"), optimizer(qs, rule)
    for opt, own in ((a, ps), (b, qs)):
        train(opt, own, range(5), missing)
    assert_equal_optimizers(a, b)
    found, expected = scaled_run(a, ps, 6), scaled_run(b, qs, 6)
    assert_equal_optimizers(a, b)
    assert all(found[0])
    assert found[1] == expected[1]
