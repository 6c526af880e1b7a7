"""`compile="triton"`: what the kernels compute, what they move, what they are compiled to, and what they refuse."""

import importlib.util
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._kernels import triton as _triton
from lrsched_torch._kernels.ops import computed
from lrsched_torch._kernels.source import BLOCK, source_of
from lrsched_torch._traced.graphs import Form
from lrsched_torch._traced.program import OPERATIONS, Level, LoopOperation

ROOT = Path(__file__).resolve().parents[2]
F32, BF16 = torch.float32, torch.bfloat16
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed: see tests/oracles-large.txt"
)


def form_of(rule, p=F32, master=False):
    return Form(rule, False, p, p, torch.float64 if p == torch.float64 else F32, False, master, "cpu")


def pytest_on(*arguments, interpret):
    """Return what pytest says in a process that has chosen between the interpreter and a GPU."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "TRITON_INTERPRET"))}
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout[-6000:] + done.stderr[-2000:]


@needs_triton
@pytest.mark.slow
def test_the_kernels_compute_what_the_rules_say():
    code, said = pytest_on("tests/adapter_torch/triton_kernels.py", interpret=not torch.cuda.is_available())
    assert code == 0, said


@needs_triton
def test_one_kernel_of_each_kind_computes_what_the_rules_say():
    chosen = "equal_the_pure_rule_in_float32 or memory_in_any_order"
    code, said = pytest_on(
        "tests/adapter_torch/triton_kernels.py", "-k", chosen, interpret=not torch.cuda.is_available()
    )
    assert code == 0, said


class Velocity(NamedTuple):
    v: Any


class Leaning(rules.Rule):
    """A rule that would move more if its slot were written with the norms."""

    def slots(self, full):
        return Velocity(full(0.0))

    def body(self, context, ps, gs, slots):
        sums = context.sums([g * g for g in gs], range(len(gs)))
        new = [Velocity(0.5 * s.v + g) for g, s in zip(gs, slots, strict=True)]
        return [context.lr * (s.v + g) * x for g, s, x in zip(gs, new, sums, strict=True)], new


def moved(form):
    """Return the bytes that the kernels read and write for an element, by the text of their loops over vectors."""
    source = source_of(form)
    sizes = dict.fromkeys(source.arrays, form.work.itemsize) | {"g": form.g.itemsize}
    sizes["low" if form.master else "p"] = form.p.itemsize
    return sum(sizes[name] for name in re.findall(r"tl\.(?:load|store)\(v_(\w+) \+ i", source.text))


@pytest.mark.parametrize(
    ("form", "least"),
    [
        (form_of(rules.SGD()), 12),
        (form_of(rules.Momentum(0.9)), 20),
        (form_of(rules.Lion()), 20),
        (form_of(rules.RMSprop()), 20),
        (form_of(rules.Adam()), 28),
        (form_of(rules.AMSGrad()), 36),
        (form_of(rules.Adan()), 44),
        # 8 for norms and 20; 24 for norms and moments and 16.
        (form_of(rules.LARS()), 28),
        (form_of(rules.LAMB()), 40),
        (form_of(rules.Layerwise(rules.NovoGrad())), 4 + 16 + 12),
        (form_of(Leaning()), 4 + 20),
        (form_of(rules.ClipByGlobalNorm(1.0) >> rules.LAMB()), 40 + 4),
        (form_of(rules.ClipByGlobalNorm(1.0) >> rules.Adam()), 28 + 4),
        (form_of(rules.Adam(), BF16, master=True), 28),
        (form_of(rules.Adam(), torch.float64), 56),
    ],
    ids=lambda x: f"{x.rule} {x.p}" if isinstance(x, Form) else str(x),
)
def test_no_more_is_moved_than_the_rule_must(form, least):
    assert moved(form) == least


def test_what_follows_from_a_total_is_not_computed_for_each_element():
    link, main = source_of(form_of(rules.ClipByGlobalNorm(0.5) >> rules.SGD())).text.split("def main1")
    assert "tl.sqrt_rn(known0_0)" in link
    assert "sqrt" not in main
    assert "known0_0" not in main


def test_what_a_scaler_says_is_not_computed_for_each_tensor():
    form = form_of(rules.Adam())
    assert source_of(form).links == source_of(form._replace(scaled=True)).links == (False,)


def test_both_loops_of_a_kernel_load_the_same():
    text = source_of(form_of(rules.LAMB())).text
    vectors, elements = (re.findall(rf"tl\.(load|store)\({at}_(\w+) \+ i", text) for at in "vu")
    assert vectors == elements
    assert vectors


class Sum(NamedTuple):
    s: Any


class Curved(rules.Rule):
    """A rule with an operation that has no translation."""

    name: str

    def slots(self, full):
        return Sum(full(0.0).sum())

    def body(self, context, ps, gs, slots):
        sums = [Sum(context.xp.total(g)) if self.name == "sum" else s for g, s in zip(gs, slots, strict=True)]
        return [context.lr * (g if self.name == "sum" else getattr(g, self.name)()) for g in gs], sums


@needs_triton
@pytest.mark.parametrize(("name", "said"), [("expm1", "expm1"), ("tanh", "aten.tanh.default"), ("sum", "sum")])
def test_an_operation_without_a_translation_is_named_when_the_optimizer_is_built(monkeypatch, name, said):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    words = f"RuleOptimizer(compile=...) must be True or False for a rule that uses {said}, which has no translation to"
    with pytest.raises(NotImplementedError, match=re.escape(f"{words} Triton, got 'triton'")):
        RuleOptimizer([torch.ones(3)], Curved(name), lr=0.1, compile="triton")


def arguments_of(target, kind):
    """Return arguments of an operation as names and numbers, and others with a number in place of an array."""
    if kind == "clamp":
        return [("x0", -1.0, 2.0), ("x0", None, 2.0), ("x0", -1.0)]
    arrays = [a.type.kind() == "TensorType" for a in target._schema.arguments if a.name != "alpha"]
    args = tuple(f"x{i}" if array else 0.6 for i, array in enumerate(arrays))
    if kind in ("and", "or", "pow") or sum(arrays) == 1:
        return [args, *((args[0], x) for x in (0.0, 1, 3.0) if target == torch.ops.aten.pow.Tensor_Scalar)]
    found = [args, *((*args[:i], math.inf, *args[i + 1 :]) for i in range(kind == "where", len(args)))]
    return [*found, ("x0", 0.1, -0.1)] if kind == "where" else found


CASES = [(target, kind, args) for target, kind in OPERATIONS.items() for args in arguments_of(target, kind)]


def inputs_and_result(target, kind, args, dtype):
    """Return arrays under the names among the arguments, and what torch makes of all."""
    x = torch.tensor([-2.5, -0.0, 0.0, 0.75, 3e30, math.inf, -math.inf, math.nan], dtype=dtype)
    y = torch.tensor([1.5, 0.0, -1.0, 0.75, math.nan, 2.0, -3.0, 1.0], dtype=dtype)
    x = x.abs() if args[1:] == (0.6,) and kind == "pow" else x
    env = {"x0": x > 0 if kind in ("and", "or", "not", "where") else x, "x1": y > 0 if kind in ("and", "or") else y}
    env = {name: content for name, content in (env | {"x2": -x}).items() if name in args}
    taken = [
        env[x] if x in env else torch.tensor(x, dtype=dtype) if a.type.kind() == "TensorType" else x
        for x, a in zip(args, target._schema.arguments, strict=False)
    ]
    return env, target(*taken)


@pytest.mark.parametrize(("target", "kind", "args"), CASES, ids=str)
def test_what_belongs_to_the_update_is_what_torch_makes_of_it(target, kind, args):
    env, expected = inputs_and_result(target, kind, args, torch.float64)
    found = computed([LoopOperation("r", kind, args, Level.KEY)], env | {"lr": torch.ones(1)})["r"]
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0.0, equal_nan=True)


@needs_triton
def test_a_rule_that_needs_shapes_is_refused(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(ValueError, match=r"in their own shape, as Muon\(.*\) does, got 'triton'"):
        RuleOptimizer([torch.ones(3)], rules.Muon(), lr=0.1, compile="triton")


@needs_triton
def test_a_parameter_elsewhere_is_refused(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="must be on a CUDA device for compile='triton', got one on cpu"):
        RuleOptimizer([torch.ones(3)], rules.Adam(), lr=0.1, compile="triton")


@needs_triton
def test_a_parameter_spread_over_processes_is_refused(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    p = torch.ones(3)
    p._fsdp_flattened = True
    with pytest.raises(ValueError, match="must be True or False for parameters spread over processes"):
        RuleOptimizer([p], rules.Adam(), lr=0.1, compile="triton")


def test_triton_must_be_installed(monkeypatch):
    monkeypatch.setattr(_triton.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="must have the package triton, which is not installed"):
        RuleOptimizer([torch.ones(3)], rules.Adam(), lr=0.1, compile="triton")


def test_another_word_is_refused():
    with pytest.raises(TypeError, match="must be 'auto', True, False or 'triton', got 'tritom'"):
        RuleOptimizer([torch.ones(3)], rules.Adam(), lr=0.1, compile="tritom")


class Flagged(rules.Local):
    """A rule in which a truth of an update meets those of elements."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        fast = context.choose(context.step > 0, context.step > 1, context.lr > 0.03)
        return lambda p, g, s: (context.choose(fast & (g > 0.5), context.lr * g, 0.0 * g), s)


COMPILED = [
    form_of(Flagged()),
    form_of(rules.Adam()),
    form_of(rules.LAMB()),
    form_of(rules.LARS(), BF16, master=True),
    form_of(rules.Adan(), BF16),
    form_of(rules.ScheduleFree(rules.Adam(b1=0.0))),
    form_of(rules.ClipByGlobalNorm(0.5) >> rules.NovoGrad(), torch.float64),
]


def compiled(form):
    """Return the kernels of a form for sm_90, which takes no GPU."""
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    work = "*fp64" if form.work == torch.float64 else "*fp32"
    types = {"table": "*i64", "keys": work, "values": work, "owner": "*i32", "partials": work, "total": "*fp64"}
    types |= {"chunks": "i32", "chunk": "i32", "BLOCK": "constexpr"}
    # What Triton finds out at the first launch: all tables lie at multiples of 16 bytes, and so is `chunk`.
    multiples = {(i,): [["tt.divisibility", 16]] for i in (0, 1, 2, 3, 4, 5, 7)}
    return {
        name: compile_kernel(
            ASTSource(kernel, types, {"BLOCK": BLOCK}, multiples),
            target=GPUTarget("cuda", 90, 32),
            options={"num_warps": _triton.WARPS},
        )
        for name, kernel in _triton.loaded(source_of(form).text).items()
    }


@needs_triton
@pytest.mark.skipif(_triton.interpreted(), reason="the interpreter compiles nothing")
@pytest.mark.parametrize("form", COMPILED, ids=lambda form: f"{form.rule} {form.p}")
def test_the_kernels_for_a_gpu_load_vectors_and_spill_nothing(form, tmp_path):
    from triton import knobs

    last = f"main{len(source_of(form).links) - 1}"
    for name, kernel in compiled(form).items():
        code = kernel.asm["ptx"]
        assert ".local" not in code
        assert not re.search(r"(div|sqrt)\.(full|approx)", code)  # as they are not correctly rounded
        with tempfile.NamedTemporaryFile(dir=tmp_path, suffix=".cubin") as file:
            file.write(kernel.asm["cubin"])
            file.flush()
            asked = [knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
            said = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        assert "STACK:0" in said  # where registers would be spilled to
        assert "LOCAL:0" in said
        if name.startswith("main"):
            assert re.search(r"ld\.global\.v[24]\.b(32|64)", code)
        if name == last:
            assert re.search(r"st\.global\.v[24]\.b(32|64)", code)
            assert kernel.metadata.shared == 0  # no element goes to another thread


@needs_triton
@pytest.mark.skipif(_triton.interpreted(), reason="the interpreter compiles nothing")
def test_a_clip_keeps_what_is_no_number():
    code = compiled(form_of(rules.ClipByValue(0.1) >> rules.SGD()))["main0"].asm["ptx"]
    for name in ("max", "min"):
        assert f"{name}.NaN.f32" in code
        assert f"{name}.f32" not in code
