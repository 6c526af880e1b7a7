"""The rules as C++ for the CPU: the same numbers as the eager rule, wherever tensors lie and however they are cut."""

import ctypes
import re
from dataclasses import replace
from typing import NamedTuple

import pytest
import rule_cases
import torch
from rule_samples import SAMPLES

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import cpp as _cpp
from lrsched_torch._loops import table as _table
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._traced import graphs as _graphs
from lrsched_torch._traced import program as _program
from lrsched_torch._traced.graphs import Form

pytestmark = [
    pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler"),
    pytest.mark.filterwarnings("error:RuleOptimizer.compile=True. runs"),
]

# Around the lengths at which pieces end and several threads share a tensor.
CHUNK, SMALL = (int(eval(x)) for x in re.search(r"CHUNK = ([^,]+), SMALL = ([^;]+);", _cpp.WALK).groups())
SHAPES = ((3, 5), (), (0,), (0, 3), (CHUNK + 1,), (SMALL,), (SMALL + 1,), (5, CHUNK), (7,))
LAYERED = (
    rules.lars(),
    rules.lamb(upper=1.0),
    rules.NovoGrad(),
    rules.ClipByGlobalNorm(0.5) >> rules.lars(),
    rules.ClipByNorm(0.3) >> rules.lars() >> rules.ClipByGlobalNorm(0.1),
    rules.ScheduleFree(rules.Adam(b1=0.0)),
    rules.Prodigy(d0=0.1),
    rules.AdamW(weight_decay=0.1, min_ndim=2),
    rules.ClipByValue(0.1) >> rules.L1(0.1) >> rules.RMSprop(centered=True, momentum=0.9),
)
CASES = (*rule_cases.TORCH, *rule_cases.OPTAX, *rule_cases.KERAS)
KNOWN = dict.fromkeys([*(case.rule() for case in CASES), *(sample.rule for sample in SAMPLES)])
PACKED = tuple(rule for rule in KNOWN if facts_of(rule).packs)


def parameters(dtype=torch.float64, shapes=SHAPES):
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, dtype=torch.float64).to(dtype)) for shape in shapes]


def set_gradients(ps, t):
    generator = torch.Generator().manual_seed(t)
    for p in ps:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def state_of(opt):
    return [torch.as_tensor(x) for p, entry in opt.state.items() for _, x in sorted(entry.items())]


def trained(rule, ps, steps=4, second=None, **options):
    """Return parameters and state after some steps; the second group has its own rate."""
    groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": 0.03, **(second or {})}]
    opt = RuleOptimizer(groups, rule, lr=0.01, **options)
    for t in range(steps):
        set_gradients(ps, t)
        if t == 1:
            ps[-1].grad = None
        opt.step()
    return [*(p.detach() for p in ps), *state_of(opt)]


def compare(rule, make, rtol, atol, second=None, **options):
    fast = trained(rule, make(), second=second, compile=True, **options)
    slow = trained(rule, make(), second=second, **options)
    torch.testing.assert_close(fast, slow, rtol=rtol, atol=atol)


# Each is compiled: one of each class of rule in every run, the others among the slow tests.
FIRST = {repr(rule)[: repr(rule).index("(")]: rule for rule in reversed(PACKED)}.values()
DIALECTS = [pytest.param(rule, marks=[pytest.mark.slow] * (rule not in FIRST)) for rule in PACKED]


@pytest.mark.parametrize("rule", DIALECTS, ids=repr)
def test_every_dialect_equals_the_eager_rule(rule):
    compare(rule, lambda: parameters(shapes=((3, 5), (), (0,), (400,), (7,))), 1e-11, 1e-13)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("rule", LAYERED, ids=repr)
def test_tensors_are_cut_and_joined_without_a_trace(rule, flat):
    compare(rule, parameters, 1e-10, 1e-13, flat=flat)


@pytest.mark.parametrize("rule", [rules.lamb(), rules.NAdam(), rules.Prodigy(d0=0.1)], ids=repr)
@pytest.mark.parametrize("options", [{}, {"master": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow), torch.float32])
def test_low_precision(rule, dtype, options):
    # A sum in another order may move a parameter to the next number of its dtype.
    tolerance = 4 * torch.finfo(dtype).eps
    compare(rule, lambda: parameters(dtype), max(tolerance, 1e-5), max(tolerance, 1e-5), **options)


@pytest.mark.parametrize("rule", [rules.lars(), rules.ClipByGlobalNorm(0.5) >> rules.RMSprop()], ids=repr)
def test_one_group_goes_up_and_parameters_have_two_dtypes(rule):
    def make():
        return [*parameters(shapes=SHAPES[:5]), *parameters(torch.float32, SHAPES[5:])]

    compare(rule, make, 1e-5, 1e-6, second={"maximize": True})


@pytest.mark.parametrize("rule", [rules.lars(), rules.RMSprop()], ids=repr)
def test_tensors_in_other_layouts(rule):
    def make():
        torch.manual_seed(0)
        images = torch.randn(8, 3, 5, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
        return [
            torch.nn.Parameter(images),
            torch.nn.Parameter(torch.randn(20, 30, dtype=torch.float64)[::2, ::3]),
            torch.nn.Parameter(torch.randn(20, 30, dtype=torch.float64).t()),
            torch.nn.Parameter(torch.randn(4, 6, dtype=torch.float64)),
        ]

    compare(rule, make, 1e-11, 1e-13)


def test_gradients_in_other_layouts_are_read_and_kept():
    ps, others = parameters(shapes=((40, 50), (8, 3, 4, 4))), parameters(shapes=((40, 50), (8, 3, 4, 4)))
    opts = [RuleOptimizer(each, rules.lars(), lr=0.1, compile=fast) for each, fast in ((ps, True), (others, False))]
    for t in range(3):
        for each, opt in zip((ps, others), opts, strict=True):
            torch.manual_seed(t)
            each[0].grad = torch.randn(50, 40, dtype=torch.float64).t()
            each[1].grad = torch.randn(8, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
            before = [p.grad.clone() for p in each]
            opt.step()
            assert all(torch.equal(p.grad, g) for p, g in zip(each, before, strict=True))
    torch.testing.assert_close(ps, others, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("rule", [rules.RMSprop(), rules.lamb(), rules.Rprop(), rules.SignSGD()], ids=repr)
def test_what_is_not_finite_goes_where_it_goes_in_the_eager_rule(rule, bad):
    found = []
    for fast in (True, False):
        ps = parameters(shapes=((40, 50), (3,)))
        opt = RuleOptimizer(ps, rule, lr=0.01, compile=fast)
        for t in range(3):
            set_gradients(ps, t)
            ps[0].grad[1, 2] = bad
            opt.step()
        found.append([*(p.detach() for p in ps), *state_of(opt)])
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13, equal_nan=True)


def test_the_number_of_threads_changes_nothing():
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 7):
            torch.set_num_threads(count)
            found.append(trained(rules.lamb(), parameters(torch.float32), compile=True))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("forms", [(False, True), (True, False)])
def test_a_run_goes_on_in_the_other_form(forms):
    ps = parameters()
    first = RuleOptimizer(ps, rules.lamb(), lr=0.01, compile=forms[0])
    for t in range(2):
        set_gradients(ps, t)
        first.step()
    second = RuleOptimizer(ps, rules.lamb(), lr=0.01, compile=forms[1])
    second.load_state_dict(first.state_dict())
    for t in range(2, 4):
        set_gradients(ps, t)
        second.step()
    others = parameters()
    whole = RuleOptimizer(others, rules.lamb(), lr=0.01)
    for t in range(4):
        set_gradients(others, t)
        whole.step()
    torch.testing.assert_close(ps, others, rtol=1e-11, atol=1e-13)


def test_a_state_that_others_replace_is_used():
    found = []
    for fast in (True, False):
        ps = parameters()
        opt = RuleOptimizer(ps, rules.NAdam(), lr=0.01, compile=fast)
        for t in range(3):
            set_gradients(ps, t)
            opt.step()
            for entry in opt.state.values():  # as one who moves a state to another device does
                entry["m"] = (0.5 * entry["m"]).to(torch.float32 if t else torch.float64)
            opt.state[ps[0]]["step"] = 7
            ps[3].data = ps[3].data.clone()
        found.append([*(p.detach() for p in ps), *state_of(opt)])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-7)


def test_autograd_sees_that_a_parameter_has_changed():
    w = torch.nn.Parameter(torch.ones(3))
    opt = RuleOptimizer([w], rules.RMSprop(), lr=0.1, compile=True)
    loss = (w * w).sum()
    w.grad = torch.ones(3)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class _Turned(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


class _Turning(rules.Rule):
    """A rule whose slots become what the parameter and the other slot were, and whose update is an old slot."""

    def slots(self, full):
        return _Turned(full(1.0), full(2.0))

    def body(self, context, ps, gs, slots):
        return [s.b for s in slots], [_Turned(p, s.a) for p, s in zip(ps, slots, strict=True)]


@pytest.mark.parametrize("options", [{}, {"compile": True}, {"flat": True}, {"compile": True, "flat": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_slot_may_keep_what_the_parameter_was(options, dtype):
    ps = [torch.nn.Parameter(torch.full(shape, 10.0, dtype=dtype)) for shape in ((2, 3), (), (70_000,))]
    opt = RuleOptimizer(ps, _Turning(), lr=0.1, **options)
    for _ in range(3):
        set_gradients(ps, 0)
        opt.step()
    # 10 - 2 = 8, 8 - 1 = 7, 7 - 10 = -3
    for p in ps:
        assert p.detach().unique().tolist() == [-3.0]
        assert opt.state[p]["a"].unique().tolist() == [7.0]
        assert opt.state[p]["b"].unique().tolist() == [8.0]


def form(rule):
    return Form(rule, False, torch.float32, torch.float32, torch.float32, False, False, "cpu")


def test_a_pass_reads_only_what_it_needs():
    program = _program.program_of(form(rules.lars()))
    assert [list(_program.loads(phase, program)) for phase in program.phases] == [["p", "g"], ["p", "g", "slot0"]]
    program = _program.program_of(form(rules.lamb()))
    everything = ["p", "g", "slot0", "slot1"]
    assert [list(_program.loads(phase, program)) for phase in program.phases] == [everything, everything]
    assert not program.phases[0].stores


def test_what_depends_on_the_step_alone_is_not_computed_for_each_element():
    (phase,) = _program.program_of(form(rules.NAdam())).phases
    levels = {op.kind: op.level for op in phase.operations}
    assert levels["expm1"] == _program.Level.KEY
    assert sum(op.kind == "sqrt" and op.level == _program.Level.WIDE for op in phase.operations) == 1


def test_an_operation_without_a_translation_falls_back_to_inductor(monkeypatch):
    _program.program_of.cache_clear(), _table.library.cache_clear()
    monkeypatch.delitem(_program.OPERATIONS, torch.ops.aten.sign.default)
    try:
        with pytest.raises(_program.Unsupported, match="sign"):
            _program.program_of(form(rules.SignSGD()))
        monkeypatch.setattr(_graphs, "compile_graph", lambda graph, _: graph)
        w = torch.nn.Parameter(torch.ones(3))
        opt = RuleOptimizer([w], rules.SignSGD(), lr=0.25, compile=True)
        w.grad = torch.ones(3)
        with pytest.warns(UserWarning, match=r"SignSGD\(\) as 'Inductor': C\+\+ fails \(.* arithmetic .*sign"):
            opt.step()
        opt.step()
        assert w.tolist() == [0.5] * 3
    finally:
        _program.program_of.cache_clear(), _table.library.cache_clear()


@pytest.mark.parametrize("kind", sorted({*_cpp._FORMS, "clamp"}))
def test_every_operation_means_what_torch_means(kind):
    target = next(op for op, name in _program.OPERATIONS.items() if name == kind)
    x = torch.tensor([-2.5, -0.0, 0.0, 0.75, 3.0, float("inf"), float("-inf"), float("nan")], dtype=torch.float64)
    y = torch.tensor([1.5, 0.0, -1.0, 0.75, float("nan"), 2.0, -3.0, 1.0], dtype=torch.float64)
    truths = kind in ("and", "or", "not")
    count = {"where": 3, "clamp": 1}.get(kind, sum(a.type.kind() == "TensorType" for a in target._schema.arguments))
    arrays = [(x > 0 if truths or (kind == "where" and i == 0) else (x, y, x)[i]) for i in range(count)]
    numbers = sum(a.type.kind() == "NumberType" and a.name != "alpha" for a in target._schema.arguments)
    constants = [0.5] * numbers
    expected = target(*arrays, *((-1.0, 2.0) if kind == "clamp" else constants))
    names = tuple(f"x{i}" for i in range(count))
    args = (*names, *((-1.0, 2.0) if kind == "clamp" else constants))
    ops, inputs = [], []
    for name, array in zip(names, arrays, strict=True):
        if array.dtype == torch.bool:  # arrays are numbers, so a truth is made of one
            ops.append(_program.LoopOperation(f"{name}t", "gt", (name, 0.0), _program.Level.WIDE))
            args = tuple(f"{name}t" if x == name else x for x in args)
            array = array.to(torch.float64)
        inputs.append(array)
    ops.append(_program.LoopOperation("r", kind, args, _program.Level.WIDE))
    result = "r"
    if expected.dtype == torch.bool:
        ops.append(_program.LoopOperation("n", "where", ("r", 1.0, 0.0), _program.Level.WIDE))
        result, expected = "n", expected.to(torch.float64)
    program = _program.LoopProgram(
        (*names, "out"), (), (_program.LoopPhase(tuple(ops), (), False, (("out", result),)),), ()
    )
    dtypes = dict.fromkeys((*names, "out"), torch.float64)
    call = _build.build(_cpp.source_of(program, torch.float64, dtypes)).stage0
    out = torch.full_like(expected, 7.0)
    table = (ctypes.c_int64 * (count + 1))(*(a.data_ptr() for a in (*inputs, out)))
    scalars = (ctypes.c_double * 3)()
    big = ctypes.c_int64
    call(big(1), table, (big * 1)(8), (ctypes.c_int32 * 1)(0), big(1), scalars, None, None, ctypes.c_int(1))
    torch.testing.assert_close(out, expected, rtol=1e-15, atol=0.0, equal_nan=True)


def test_the_names_of_a_form_are_all_that_a_graph_depends_on():
    one, other = form(rules.Adam()), replace(rules.Adam(), b1=0.5)
    assert _program.program_of(one) != _program.program_of(one._replace(rule=other))
