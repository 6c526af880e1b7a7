"""`lrsched build-cache`: what it builds, a run without a compiler finds."""

import os
from pathlib import Path

import pytest
import torch

from lrsched import rules
from lrsched.cli import main
from lrsched_torch import RuleOptimizer
from lrsched_torch._loops import build as _build
from lrsched_torch._loops import table, unmoved

pytestmark = pytest.mark.skipif(_build.compiler() is None, reason="there is no C++ compiler")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty place for libraries."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    table.library.cache_clear(), unmoved.functions.cache_clear()
    yield tmp_path / "lrsched"
    table.library.cache_clear(), unmoved.functions.cache_clear()


def test_what_is_built_before_is_found_without_a_compiler(home, monkeypatch, capsys):
    assert main(["build-cache", "Yogi()", "ClipByGlobalNorm(1.0) >> Adam()", "--dtype", "bfloat16", "--master"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Yogi(), bfloat16"
    assert lines[3].endswith(" >> Adam(), bfloat16")
    paths = [Path(line.strip()) for line in (*lines[1:3], *lines[4:])]
    assert {*paths} == {*home.glob("*.so")}
    assert len({*paths}) == 3  # what looks for moved tensors is the same for all
    table.library.cache_clear(), unmoved.functions.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    for rule in (rules.Yogi(), rules.ClipByGlobalNorm(1.0) >> rules.Adam()):
        p = torch.nn.Parameter(torch.ones(3, 4, dtype=torch.bfloat16))
        opt = RuleOptimizer([p], rule, lr=0.1, compile=True, master=True)
        for _ in range(3):
            p.grad = torch.ones_like(p)
            opt.step()
        assert repr(opt).splitlines()[-2].endswith(": C++")
    assert unmoved.functions() is not None


def test_what_cannot_be_built_is_said_and_the_others_are_built(home, capsys):
    assert main(["build-cache", "Muon()", "ClipByNorm(1.0) >> LAMB(weight_decay=0.1)"]) == 1
    done = capsys.readouterr()
    assert "Muon() needs tensors in their own shape" in done.err
    assert done.out.startswith(f"{rules.ClipByNorm(1.0) >> rules.LAMB(weight_decay=0.1)!r}, float32\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Yogi(", "column"),
        ("Cosine(1.0, 0.0, steps=3)", "rule"),
        ("ClipByNorm(1.0)", "is a part of a rule"),
        ("", "must describe"),
        ("LAMB(wrong=1)", "lamb() got an unexpected keyword"),
        ("LAMB(weight_decay=print())", "'print' is not a known rule"),
        ("apply()", "apply"),
        ("__import__('os')", "column"),
        ("(" * 5000, "column"),
    ],
)
def test_what_is_no_rule_is_refused(capsys, text, message):
    assert main(["build-cache", text]) == 2
    assert message in capsys.readouterr().err


def test_without_a_compiler_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "")
    assert os.environ["PATH"] == ""
    assert main(["build-cache", "Yogi()"]) == 1
    assert "no C++ compiler" in capsys.readouterr().err
