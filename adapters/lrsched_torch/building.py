"""Compiles update rules ahead of a run, for machines that have no compiler: what `lrsched build-cache` calls."""

from pathlib import Path

import torch

from lrsched import rules
from lrsched_torch._loops.build import CannotBuild
from lrsched_torch._loops.table import library
from lrsched_torch._loops.unmoved import functions
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.update import named
from lrsched_torch._traced.graphs import Form
from lrsched_torch._traced.program import Unsupported


def build_cache(rule: rules.Rule, dtype: str, *, master: bool, maximize: bool) -> tuple[list[Path], str]:
    """Compile a rule to C++ as `RuleOptimizer(compile=True)` does on a CPU, or find it on the disk.

    Args:
        rule: the rule.
        dtype: the name of that of parameters and gradients, such as "float32".
        master: as `RuleOptimizer` takes it.
        maximize: likewise.

    Returns:
        Where it lies, with what looks for tensors that have moved, and what is to be said of it.

    Raises:
        ValueError: it cannot be compiled to C++.
    """
    p = torch.ones(2, dtype=getattr(torch, dtype))
    work = torch.float64 if p.dtype == torch.float64 else torch.float32
    if not facts_of(rule).packs:
        raise ValueError(f"{rule!r} needs tensors in their own shape: Inductor compiles it at the first step")
    kept = tuple(x.dtype for _, x in named(rule.init(p)))
    form = Form(rule, False, p.dtype, p.dtype, work, maximize, master and p.dtype != work, "cpu")
    try:
        built = library(form, kept)[2]
    except (CannotBuild, Unsupported) as error:
        raise ValueError(f"{rule!r} cannot be compiled for {dtype}: {error}") from error
    looks = functions()
    return [x.path for x in (built, *(looks or ())[:1])], f"on one thread: {built.lacks}" if built.lacks else ""
