"""`compile="triton"`: what the kernels compute, what they move, what they are compiled to, and what they refuse."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from lrsched import rules
from lrsched._value import value
from lrsched_torch import RuleOptimizer
from lrsched_torch._graphs import Form
from lrsched_torch._kernels import _triton
from lrsched_torch._kernels._source import BLOCK, source_of

ROOT = Path(__file__).resolve().parents[1]
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
    code, said = pytest_on("tests/triton_kernels.py", interpret=not torch.cuda.is_available())
    assert code == 0, said


@needs_triton
def test_one_kernel_of_each_kind_computes_what_the_rules_say():
    chosen = "equal_the_pure_rule_in_float32 or memory_in_any_order"
    code, said = pytest_on("tests/triton_kernels.py", "-k", chosen, interpret=not torch.cuda.is_available())
    assert code == 0, said


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
        (form_of(rules.ClipByGlobalNorm(1.0) >> rules.LAMB()), 40 + 4),
        (form_of(rules.ClipByGlobalNorm(1.0) >> rules.Adam()), 28 + 4),
        (form_of(rules.Adam(), BF16, master=True), 28),
        (form_of(rules.Adam(), torch.float64), 56),
    ],
    ids=lambda x: f"{x.rule} {x.p}" if isinstance(x, Form) else str(x),
)
def test_no_more_is_moved_than_the_rule_must(form, least):
    assert moved(form) == least


def test_both_loops_of_a_kernel_load_the_same():
    text = source_of(form_of(rules.LAMB())).text
    vectors, elements = (re.findall(rf"tl\.(load|store)\({at}_(\w+) \+ i", text) for at in "vu")
    assert vectors == elements
    assert vectors


@value
class Curved(rules.Local):
    """A rule with an operation that has no translation."""

    def slots(self, full):
        return ()

    def kernel(self, context):
        return lambda p, g, s: (context.lr * context.xp.expm1(g), s)


@needs_triton
def test_an_operation_without_a_translation_is_named_when_the_optimizer_is_built(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(NotImplementedError, match=r"must be True or False for a rule that uses aten\.expm1\.default"):
        RuleOptimizer([torch.ones(3)], Curved(), lr=0.1, compile="triton")


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
    with pytest.raises(TypeError, match="must be True, False or 'triton', got 'tritom'"):
        RuleOptimizer([torch.ones(3)], rules.Adam(), lr=0.1, compile="tritom")


COMPILED = [
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
