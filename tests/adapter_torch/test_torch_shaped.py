"""Rules that need tensors in their own shape, one tensor after the other: the same as all at once, in less memory."""

import random
import warnings

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from lrsched import compat, rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._shared.jobs import WholeTensors
from lrsched_torch._shared.update import update_with
from lrsched_torch._traced import recorded as _recorded
from lrsched_torch._traced.shaped import Shaped

SHAPES = ((6, 4), (4, 6), (6, 4), (5,), (), (0,), (3, 2, 4), (2, 0))
CLIP = rules.ClipByGlobalNorm(0.1)
RULES = (
    rules.Adafactor(),
    rules.Adafactor(momentum=0.9, relative_step=True, axes="largest"),
    compat.torch.Adafactor(weight_decay=0.1, eps=(1e-10, 1e-3)),
    rules.DecayBefore(rules.Adafactor(), 0.1, late=True),
    rules.Layerwise(rules.Adafactor()),
    CLIP >> rules.Adafactor() >> rules.DecoupledWeightDecay(0.1),
    rules.ClipByNorm(0.1) >> CLIP >> rules.Split(CLIP >> rules.Muon(), CLIP >> rules.RAdam()),
    rules.Split(CLIP >> rules.Split(rules.Muon(precision="bfloat16"), rules.SGD(), 3), rules.Rprop()),
    rules.Split(rules.Muon(bias_correction=True), rules.Prodigy(d0=0.1)),
    rules.Split(rules.ScheduleFree(rules.Adam()), rules.OwnRate(rules.NAdam(), warmup=3, decay=0.1)),
)


def parameters(dtype, shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def set_gradients(ps, seed, missing=()):
    generator = torch.Generator().manual_seed(seed)
    for i, p in enumerate(ps):
        g = torch.randn(p.shape, generator=generator).to(p.dtype)
        p.grad = None if i in missing else g


def whole(optimizer):
    """Let an optimizer call the body of its rule on all tensors together, or on each in turn, without a recording."""
    optimizer._executor = lambda rule, *_: WholeTensors(update_with(rule), rule, apart=not rule.couples)
    return optimizer


def contents(optimizer):
    entries = [entry for group in optimizer.param_groups for entry in map(optimizer.state.get, group["params"])]
    return [x for entry in entries if entry for x in entry.values() if isinstance(x, torch.Tensor)]


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_tensor_by_tensor_is_what_all_at_once_is(rule, dtype):
    found = []
    for form in (lambda optimizer: optimizer, whole):
        ps = parameters(dtype)
        groups = [{"params": ps[::2]}, {"params": ps[1::2], "lr": 0.02, "maximize": True}]
        optimizer = form(RuleOptimizer(groups, rule, lr=0.05, master=dtype == torch.bfloat16))
        for t in range(4):
            set_gradients(ps, t, missing={t} if t < 3 else ())
            optimizer.step()
        found.append([*ps, *contents(optimizer)])
        assert isinstance(optimizer._jobs[0].executor, Shaped) == (form is not whole)
    tolerance = 1e-13 if dtype == torch.float64 else 3e-6
    if "bfloat16" in repr(rule):
        tolerance = 1e-3
    torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_any_layout_of_memory_gives_the_same():
    draw = random.Random(0)
    layouts = (
        lambda x: x,
        lambda x: x.mT.contiguous().mT if x.dim() > 1 else x,
        lambda x: torch.stack([x, x], -1)[..., 0],
        lambda x: x.flip(0).contiguous().flip(0) if x.dim() else x,
    )
    for case in range(100):
        rule, dtype = draw.choice(RULES), draw.choice([torch.float32, torch.float64])
        shapes = [tuple(draw.randrange(0, 5) for _ in range(draw.randrange(4))) for _ in range(4)]
        forms = [draw.choice(layouts) for _ in shapes]
        found = []
        for form in (lambda optimizer: optimizer, whole):
            ps = [torch.nn.Parameter(f(p.detach())) for f, p in zip(forms, parameters(dtype, shapes), strict=True)]
            optimizer = form(RuleOptimizer(ps, rule, lr=0.05))
            for t in range(3):
                set_gradients(ps, t, missing={(case + t) % 4})
                for p, f in zip(ps, reversed(forms), strict=True):
                    p.grad = p.grad if p.grad is None else f(p.grad)
                optimizer.step()
            found.append([*ps, *contents(optimizer)])
        tolerance = 2e-2 if "bfloat16" in repr(rule) else 2e-5
        torch.testing.assert_close(
            *found, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda m, c=case: f"{c}: {m}"
        )


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), -float("inf"), 1e25, 1e-30])
@pytest.mark.parametrize("rule", [RULES[1], RULES[4], RULES[6]], ids=repr)
def test_gradients_at_the_ends_of_their_range_do_what_they_do_at_once(rule, value):
    found = []
    for form in (lambda optimizer: optimizer, whole):
        ps = parameters(torch.float32)
        optimizer = form(RuleOptimizer(ps, rule, lr=0.05))
        for t in range(3):
            set_gradients(ps, t)
            if t == 1:
                for p in ps:
                    p.grad.view(-1)[:1] = value
            optimizer.step()
        found.append([*ps, *contents(optimizer)])
    torch.testing.assert_close(*found, rtol=2e-5, atol=2e-5, equal_nan=True)


def most_alive(rule, shapes, steps=3):
    """Return how many elements of tensors live beyond parameters, gradients and state, at most, within a step."""
    ps = parameters(torch.float32, shapes)
    optimizer = RuleOptimizer(ps, rule, lr=0.1)
    for t in range(steps):
        set_gradients(ps, t)
        with torch.profiler.profile(profile_memory=True) as profile:
            optimizer.step()
    alive = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most / 4


@pytest.mark.parametrize(
    ("rule", "tensors"),
    [
        (rules.Adafactor(), 1),
        (CLIP >> rules.Adafactor(), 2),
        (rules.Muon(), 3),
        (CLIP >> rules.Muon(), 4),
        (CLIP >> rules.Split(rules.Muon(), rules.Adam()), 4),
    ],
    ids=repr,
)
def test_a_step_needs_the_arrays_of_one_tensor(rule, tensors):
    shapes = [(64, 64)] * 8
    assert most_alive(rule, shapes) <= (tensors + 0.3) * 64 * 64


def test_a_clipped_gradient_that_is_large_needs_no_memory(monkeypatch):
    monkeypatch.setattr(_recorded, "SCALED", 64 * 64)
    assert most_alive(CLIP >> rules.Adafactor(), [(64, 64)] * 8) <= 1.3 * 64 * 64


@pytest.mark.parametrize("rule", [CLIP >> rules.Adafactor(), CLIP >> rules.Muon(), rules.Adafactor(momentum=0.9)])
def test_multiples_that_are_computed_anew_are_the_same_to_the_last_bit(rule, monkeypatch):
    found = []
    for size in (_recorded.SCALED, 2):
        monkeypatch.setattr(_recorded, "SCALED", size)
        ps = parameters(torch.float32, [(64, 32), (32, 64), (16, 16)])
        with torch.no_grad():
            ps[0][0, :8] = -0.0  # which shows the sign of an update of 0
        optimizer = RuleOptimizer(ps, rule, lr=0.1)
        for t in range(3):
            set_gradients(ps, t)
            ps[0].grad[0, :8] = torch.tensor([0.0, -0.0, 1e-42, -1e-42, 1e-30, -1e-30, 3e4, -3e4])
            optimizer.step()
        found.append([*ps, *contents(optimizer)])
    for x, y in zip(*found, strict=True):
        assert torch.equal(x.detach().view(torch.int32), y.detach().view(torch.int32))


def test_arrays_of_all_tensors_would_be_seen(monkeypatch):
    monkeypatch.setattr("lrsched_torch._traced.shaped._asked", lambda *_: None)
    assert most_alive(CLIP >> rules.Adafactor(), [(64, 64)] * 8) > 8 * 64 * 64


class _Reading(rules.Rule):
    """A rule of whole tensors that no recording can say: it looks at contents."""

    shaped = True

    def slots(self, full):
        return ()

    def body(self, context, ps, gs, slots):
        return [context.lr * g if float(abs(g).max()) > 0.5 else 0.0 * g for g in gs], slots


class _Keeping(rules.Rule):
    """A rule whose slots change places, and one of which is what the parameter was."""

    shaped = True

    def slots(self, full):
        return (full(1.0), full(2.0), full(3.0))

    def body(self, context, ps, gs, slots):
        return [context.lr * (g + b) for g, (_, b, _) in zip(gs, slots, strict=True)], [
            (b, p, a) for p, (a, b, _) in zip(ps, slots, strict=True)
        ]


@pytest.mark.parametrize("rule", [_Reading(), _Keeping(), CLIP >> _Reading(), CLIP >> _Keeping()], ids=repr)
def test_a_rule_of_somebody_else_runs_as_it_does_without_a_recording(rule):
    found = []
    for form in (lambda optimizer: optimizer, whole):
        ps = parameters(torch.float32, [(2, 3), (3,)])
        optimizer = form(RuleOptimizer(ps, rule, lr=0.05))
        for t in range(4):
            set_gradients(ps, t)
            optimizer.step()
        found.append([*ps, *contents(optimizer)])
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


def test_a_tensor_that_muon_refuses_stops_the_step_before_it_begins():
    ps = parameters(torch.float32, [(2, 3), (3,)])
    optimizer = RuleOptimizer(ps, rules.Muon(), lr=0.1)
    set_gradients(ps, 0)
    before = [p.detach().clone() for p in ps]
    with pytest.raises(ValueError, match=r"Muon must get matrices; .*; got one of shape \(3,\)"):
        optimizer.step()
    assert all(map(torch.equal, ps, before))


def test_the_bfloat16_steps_of_muon_follow_torch():
    ours, theirs = (parameters(torch.float32, [(8, 5), (5, 8)]) for _ in range(2))
    arguments = {"weight_decay": 0.1, "momentum": 0.9}
    optimizers = [
        RuleOptimizer(ours, compat.torch.Muon(**arguments), lr=0.1),
        torch.optim.Muon(theirs, 0.1, **arguments),
    ]
    for t in range(3):
        for ps, optimizer in zip((ours, theirs), optimizers, strict=True):
            set_gradients(ps, t)
            optimizer.step()
    for p, q in zip(ours, theirs, strict=True):
        assert (p - q).abs().max() < 0.03


@pytest.mark.parametrize("clip", [False, True])
def test_a_late_shape_that_fails_to_compile_leaves_no_update_half_done(monkeypatch, clip):
    """Under `-W error` the sentence about it is an error: nothing may have changed by then."""
    from torch._inductor.exc import InvalidCxxCompiler

    real = torch.compile

    def only_matrices(function, **options):
        fast = real(function, backend="eager", **options)

        def call(batch):
            if batch.ps[0].dim() != 2:
                raise InvalidCxxCompiler
            fast(batch)

        return call

    monkeypatch.setattr(torch, "compile", only_matrices)
    rule = CLIP >> rules.Adafactor() if clip else rules.Adafactor()
    ps = parameters(torch.float32, [(4,), (2, 3), (4,), (3, 2), (4,)])
    optimizer = RuleOptimizer(ps, rule, lr=0.1, compile=True)
    others = parameters(torch.float32, [(4,), (2, 3), (4,), (3, 2), (4,)])
    eager = RuleOptimizer(others, rule, lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for t in range(4):
            for each, one in ((ps, optimizer), (others, eager)):
                set_gradients(each, t, missing={0, 2, 4} if t < 2 else ())
                if t == 2 and one is optimizer:
                    before = [p.detach().clone() for p in [*ps, *contents(one)]]
                    with pytest.raises(UserWarning, match="as 'eager'"):
                        one.step()
                    assert all(map(torch.equal, before, [*ps, *contents(one)]))
                one.step()
    torch.testing.assert_close(ps, others, rtol=1e-6, atol=1e-6)


def test_a_clip_before_a_matrix_rule_compiles_once_for_each_shape(monkeypatch):
    counter, real = CompileCounter(), torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=counter, **options))
    found = []
    for compile in (True, False):
        ps = parameters(torch.float32, [(2, 3), (3,)] * 5)
        optimizer = RuleOptimizer(ps, CLIP >> rules.Adafactor(), lr=0.1, compile=compile)
        for t in range(3):
            set_gradients(ps, t, missing={t})
            optimizer.step()
        found.append(ps)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
    assert counter.frame_count == 2


def test_numbers_that_no_step_has_yet_do_not_stop_a_step():
    """Both sides of a `where` are computed: one may be the root of a negative number, or divide by zero."""
    numbers = _recorded.NUMBERS
    assert repr([numbers["sqrt"](-1.0), numbers["log"](0.0), numbers["pow"](-2.0, 0.5)]) == "[nan, nan, nan]"
    assert [numbers["div"](1.0, 0.0), numbers["exp"](1e4)] == [float("inf")] * 2
    assert [numbers["clamp"](3.0, 4.0), numbers["clamp"](3.0, None, 2.0)] == [4.0, 2.0]


def test_squares_of_a_long_vector_keep_their_digits():
    x = torch.rand(2**22, generator=torch.Generator().manual_seed(0))
    assert _recorded.squares(x).item() == pytest.approx(x.double().square().sum().item(), rel=2e-7)
    assert abs(torch.dot(x, x).item() / x.double().square().sum().item() - 1.0) > 0.0


@pytest.mark.parametrize("master", [False, True])
@pytest.mark.parametrize("rule", [rules.AdamW(weight_decay=0.1), CLIP >> rules.Momentum(), rules.AdaGrad()], ids=repr)
def test_what_pytorch_has_as_a_kernel_for_float32_updates_bfloat16_by_pieces(monkeypatch, rule, master):
    shapes = [(400, 400), (7, 5), (3,), (), (0,)]
    found = []
    for form in ("kernel", "body"):
        if form == "body":
            for module in ("buckets", "in_cache"):
                monkeypatch.setattr(f"lrsched_torch._joined.{module}.native_of", lambda _: ((), None))
        ps = parameters(torch.bfloat16, shapes)
        optimizer = RuleOptimizer(ps, rule, lr=0.01, compile=False, master=master)
        for t in range(3):
            set_gradients(ps, t)
            optimizer.step()
        assert (optimizer._jobs[0].executor.engine == "eager") == (form == "body")
        found.append(contents(optimizer))
        found.append([p.float() for p in ps])
    torch.testing.assert_close(found[0], found[2], rtol=1e-4, atol=1e-6)
    # The last digit of few may be rounded the other way.
    for p, q in zip(found[1], found[3], strict=True):
        assert (p - q).abs().max() <= 2.0**-7 * max(1.0, q.abs().max()) if p.numel() else True
        assert (p != q).float().sum() <= 1 + p.numel() // 100
