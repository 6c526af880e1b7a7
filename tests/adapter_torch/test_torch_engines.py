"""`compile=True` never ends a run: what cannot be compiled runs the next best way, and one warning says so and why."""

import os
import subprocess
import sys
import time
import warnings

import pytest
import torch
import torch._inductor
from rule_samples import SAMPLES
from torch._dynamo.testing import CompileCounter

from lrsched import rules
from lrsched_torch import RuleOptimizer
from lrsched_torch._joined import engines as _engines
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import table as _table
from lrsched_torch._shared.compiling import CannotCompile
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._traced import graphs as _graphs

SHAPES = ((3, 4), (2, 5), (4,), (), (0,))
CHAINS = (
    rules.ClipByGlobalNorm(0.5) >> rules.Adam(),
    rules.Split(rules.Muon(), rules.AdamW()),
)


@pytest.fixture
def broken(monkeypatch):
    """Let no compiler work, as where there is no program of that kind; without the seconds that Inductor takes."""
    monkeypatch.setattr(_table, "build", no_build)
    monkeypatch.setattr(torch._inductor, "standalone_compile", no_program)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: no_program)
    forget()
    yield
    forget()


def no_build(*_):
    raise _build.CannotBuild("no compiler")


def no_program(*_, **__):
    from torch._inductor.exc import InvalidCxxCompiler

    raise InvalidCxxCompiler


def forget():
    _table.library.cache_clear(), _graphs.phases_of.cache_clear()


def trained(rule, steps, dtype=torch.float32, **options):
    torch.manual_seed(0)
    shapes = SHAPES[:2] if isinstance(rule, rules.Muon) else SHAPES
    ps = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]
    opt = RuleOptimizer([{"params": ps[:1]}, {"params": ps[1:], "lr": 0.02}], rule, lr=0.01, **options)
    for t in range(steps):
        set_gradients(opt, t)
        opt.step()
    return ps, opt


def set_gradients(opt, t):
    generator = torch.Generator().manual_seed(t)
    for group in opt.param_groups:
        for p in group["params"]:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def contents(opt):
    return [torch.as_tensor(x).clone() for entry in opt.state.values() for x in entry.values()]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    "options",
    [{"flat": True}, pytest.param({"dtype": torch.bfloat16, "master": True}, marks=pytest.mark.slow)],
    ids=["flat", "master"],
)
def test_every_rule_runs_without_a_compiler_as_it_does_eagerly(options):
    for rule in (*(sample.rule for sample in SAMPLES), *CHAINS):
        given = options if facts_of(rule).packs else {**options, "flat": False}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ps, opt = trained(rule, 2, compile=True, **given)
            opt.load_state_dict(opt.state_dict())
            opt.step()
        others, eager = trained(rule, 2, **given)
        eager.step()
        torch.testing.assert_close([*ps, *contents(opt)], [*others, *contents(eager)], rtol=1e-5, atol=1e-5)
        assert [str(w.message).count(f"runs {rule!r} as {opt._jobs[0].executor.engine!r}: ") for w in caught] == [1]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("rule", [rules.Yogi(), rules.lamb(), rules.Muon()], ids=repr)
def test_a_warning_that_is_an_error_changes_nothing_and_comes_once(rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ps, opt = trained(rule, 0, compile=True)
        before = [p.detach().clone() for p in ps]
        set_gradients(opt, 0)
        with pytest.raises(UserWarning, match="as 'eager'"):
            opt.step()
        assert all(map(torch.equal, ps, before))
        assert {entry["step"] for entry in opt.state.values()} <= {0}
        opt.step()
    torch.testing.assert_close(ps, trained(rule, 1)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("first", [0, 3])
def test_a_graph_that_fails_at_any_step_leaves_the_others_of_that_step_undone(broken, monkeypatch, first):
    """One of two dtypes cannot be compiled: the other must not be updated twice."""
    real = _graphs.phases_of

    def phases_of(form, compile=True):
        if compile and form.g == torch.bfloat16:
            raise CannotCompile("no bfloat16")
        return real(form, compile=False)

    monkeypatch.setattr(_engines, "phases_of", phases_of)
    found = []
    for compile in (True, False):
        ps, opt = trained(rules.lamb(), 0, dtype=torch.bfloat16, compile=compile)
        more = [torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(70_000))]
        opt.add_param_group({"params": more})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for t in range(6):
                set_gradients(opt, t)
                if t < first:
                    for p in ps:
                        p.grad = None
                opt.step()
        assert [str(w.message).split(": ", 1)[0].rsplit(" as ")[-1] for w in caught] == (
            ([] if first == 0 else ["'Inductor'"]) + ["'eager'"] if compile else []
        )
        found.append([*ps, *more, *contents(opt)])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_a_compiler_that_vanishes_during_the_run_is_not_missed(monkeypatch):
    forget()
    found = []
    for compile in (True, False):
        ps, opt = trained(rules.Yogi(), 2, compile=compile)
        late = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        opt.add_param_group({"params": [late]})
        with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            patch.setattr(_table, "build", no_build)
            patch.setattr(torch._inductor, "standalone_compile", no_program)
            for t in (2, 3):
                set_gradients(opt, t)
                opt.step()
        assert len(caught) == compile
        found.append([*ps, late, *contents(opt)])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    forget()


class _Peeking(rules.Rule):
    """A rule that no graph can say: it looks at numbers."""

    limit: float = 1.0

    def slots(self, full):
        return ()

    def body(self, context, ps, gs, slots):
        if self.limit < 0.0:
            raise ValueError("the rule's own words")
        return [context.lr * g * min(float(abs(g).max()), self.limit) for g in gs], slots


def test_a_rule_that_cannot_be_traced_runs_eagerly():
    with pytest.warns(UserWarning, match="as 'eager': C") as caught:
        ps, _ = trained(_Peeking(), 2, compile=True)
    assert len(caught) == 1
    torch.testing.assert_close(ps, trained(_Peeking(), 2)[0])


def test_an_error_of_the_rule_comes_through():
    with pytest.raises(ValueError, match="the rule's own words"):
        trained(_Peeking(-1.0), 1, compile=True)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, torch.OutOfMemoryError, SystemExit])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_no_failure_of_a_compiler_comes_through(broken, monkeypatch, error, wrapped):
    def stop(*_, **__):
        try:
            raise error("of the user")
        except Exception as inner:
            if wrapped:
                raise RuntimeError("a compiler's") from inner
            raise

    monkeypatch.setattr(torch._inductor, "standalone_compile", stop)
    monkeypatch.setattr(torch, "compile", lambda *_, **__: stop)
    for rule in (rules.Yogi(), rules.Muon()):
        with pytest.raises((error, RuntimeError), match=r"of the user|compiler's"):
            trained(rule, 1, compile=True)


@pytest.mark.parametrize("rule", [rules.Yogi(), rules.lamb(), rules.Adam()], ids=repr)
def test_counts_on_the_device_go_on_without_a_compiler(broken, rule):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ps, _ = trained(rule, 3, compile=True, capturable=True)
    assert ["as 'eager': Inductor fails" in str(w.message) for w in caught] == [True]
    torch.testing.assert_close(ps, trained(rule, 3)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_rule_of_matrices_under_a_clip_compiles_once_for_each_shape(monkeypatch):
    """Dynamo gives up at the ninth graph of a function; here each step lacks another gradient."""
    torch._dynamo.reset()
    real, counter = torch.compile, CompileCounter()
    monkeypatch.setattr(torch, "compile", lambda function, **options: real(function, backend=counter, **options))
    found = []
    for compile in (True, False):
        torch.manual_seed(0)
        ps = [torch.nn.Parameter(torch.randn(2, 3 + i % 10)) for i in range(12)]
        opt = RuleOptimizer(ps, rules.ClipByGlobalNorm(1.0) >> rules.Muon(), lr=0.1, compile=compile)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for t in range(12):
                set_gradients(opt, t)
                ps[t].grad = None
                opt.step()
        found.append([*ps, *contents(opt)])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    assert counter.frame_count == 10
    torch._dynamo.reset()


@pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler")
def test_a_compiler_without_openmp_is_told_and_gives_the_same(tmp_path, monkeypatch):
    (tmp_path / "c++").write_text(
        '#!/bin/sh\nfor a; do [ "$a" = -fopenmp ] && { echo "error: no OpenMP here"; exit 1; }; done\n'
        f'exec {_build.compiler()[0]} "$@"\n'
    )
    (tmp_path / "c++").chmod(0o700)
    expected = {rule: trained(rule, 3, compile=True)[0] for rule in (rules.Yogi(), rules.lamb())}
    forget(), _build._here.__init__()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    for rule, others in expected.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ps, opt = trained(rule, 1, compile=True)
            opt.load_state_dict(opt.state_dict())
            for t in (1, 2):
                set_gradients(opt, t)
                opt.step()
        (told,) = (str(w.message) for w in caught)
        assert f"runs {rule!r} as 'C++ on one thread': OpenMP fails (" in told
        assert told.endswith("no OpenMP here)")
        assert repr(opt).splitlines()[-2].endswith(": C++ on one thread")
        torch.testing.assert_close(ps, others, rtol=1e-6, atol=1e-6)
    forget(), _build._here.__init__()


@pytest.mark.parametrize("text", ["sleep 60", '[ "$1" = --version ] || sleep 60'], ids=["always", "when it builds"])
def test_nobody_waits_for_a_compiler_that_hangs(tmp_path, monkeypatch, text):
    (tmp_path / "c++").write_text(f"#!/bin/sh\n{text}\n")
    (tmp_path / "c++").chmod(0o700)
    forget(), _build._here.__init__(), _build._told.cache_clear()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    monkeypatch.setattr(_build, "TELLING", 1.0)
    monkeypatch.setattr(_build, "BUILDING", 1.0)
    monkeypatch.setattr(torch._inductor, "standalone_compile", lambda *_, **__: pytest.fail("waits"))
    monkeypatch.setattr(torch, "compile", lambda *_, **__: lambda _: pytest.fail("waits"))
    begin = time.monotonic()
    for rule in (rules.Yogi(), rules.Muon(), CHAINS[1]):
        with pytest.warns(UserWarning, match=r"as 'eager': .*(has not ended|does not end)"):
            trained(rule, 2, compile=True)
    assert time.monotonic() - begin < 50.0
    forget(), _build._here.__init__(), _build._told.cache_clear()


def test_a_deprecation_inside_of_pytorch_is_no_error_of_its_compiler(monkeypatch):
    real = torch._inductor.standalone_compile

    def deprecated(*arguments, **options):
        warnings.warn("PyTorch calls what PyTorch has deprecated", DeprecationWarning, stacklevel=2)
        return real(*arguments, **options)

    monkeypatch.setattr(torch._inductor, "standalone_compile", deprecated)
    _graphs.phases_of.cache_clear()
    optimizer = RuleOptimizer([torch.nn.Parameter(torch.ones(3))], rules.SGD(), lr=0.1, compile=True, capturable=True)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        assert warnings.filters[0][0] == "error"
    _graphs.phases_of.cache_clear()
    assert "SGD(): Inductor" in repr(optimizer)


WITHOUT = """
import torch, warnings
from lrsched import rules
from lrsched_torch import RuleOptimizer
for rule in (rules.Yogi(), rules.lamb(), rules.Muon()):
    p = torch.nn.Parameter(torch.ones(4, 4))
    opt = RuleOptimizer([p], rule, lr=0.1, compile=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            p.grad = torch.ones(4, 4)
            opt.step()
    caught = [w for w in caught if w.category is UserWarning]
    print(len(caught), opt.state[p]["step"], p.isfinite().all().item() and (p < 1.0).all().item())
    print(caught[0].message)
"""


@pytest.mark.slow
def test_a_run_without_any_program_goes_on_eagerly(tmp_path):
    environment = {**os.environ, "PATH": "", "CXX": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[::2] == ["1 2 True"] * 3
    assert all("as 'eager': " in line and "InvalidCxxCompiler" in line for line in lines[1::2])
