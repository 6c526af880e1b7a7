"""Which executor updates the parameters of a rule."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import Home
from lrsched_torch._joined.buckets import Buckets
from lrsched_torch._joined.in_cache import in_cache_of
from lrsched_torch._joined.native import NATIVE, kernel_of
from lrsched_torch._kernels.triton import Triton
from lrsched_torch._loops.build import hanging
from lrsched_torch._loops.cpp_loops import CppLoops, worthwhile
from lrsched_torch._optimizer.arguments import is_sharded
from lrsched_torch._shared.captured import Captured
from lrsched_torch._shared.compiling import CPP, EAGER, INDUCTOR, Ways
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor, InTurn, WholeTensors
from lrsched_torch._traced.shaped import Shaped

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


def engines_of(rule: rules.Rule, ps: Sequence[Tensor], *, capturable: bool = False) -> tuple[str, ...]:
    """Return the names of the ways to run a rule with `compile=True`, best first: those of `_shared/compiling.py`.

    It compiles nothing, starts no process and reads no file, so it may be asked for every optimizer. The last is always
    EAGER. Each of the others may still fail at the first step, and the next one runs then. Where CPP is among them,
    there is a compiler for it if `compiler()` of `_loops/build.py`, which looks at the PATH only, is not None.

    Args:
        rule: the rule.
        ps: parameters that are not spread over processes.
        capturable: whether counts and rates are kept on the device.
    """
    if capturable or not facts_of(rule).packs or any(p.device.type != "cpu" for p in ps):
        return INDUCTOR, EAGER
    # Inductor is not faster than PyTorch's own kernel on a CPU, if there is one.
    return (CPP, EAGER) if _is_native(rule, ps) else (CPP, INDUCTOR, EAGER)


def _is_native(rule: rules.Rule, ps: Sequence[Tensor]) -> bool:
    return kernel_of(rule) is not None and all(p.dtype in NATIVE for p in ps)


def executor_of(
    rule: rules.Rule, ps: Sequence[Tensor], homes: dict[Tensor, Home], ways: Ways, captured: Captured | None, *,
    compile: bool | Literal["auto", "triton"], flat: bool, totals_over: "ProcessGroup | None",
) -> Executor:  # fmt: skip
    """Return what updates the parameters of one rule.

    Args:
        rule: the rule.
        ps: the parameters, which may be spread over processes.
        homes: the places of parameters in one buffer, if they have some.
        ways: what has been found out about the ways to run it, and is not asked again.
        captured: what is kept on the device, if it is kept there.
        compile: that of the optimizer, as are the following.
        flat: likewise.
        totals_over: likewise.
    """
    asked = ways if ways.asked else None
    spread = totals_over is not None or any(map(is_sharded, ps))
    by_inductor = asked and (spread or not facts_of(rule).packs) and any(p.device.type == "cpu" for p in ps)
    # It would wait for such a compiler for ever.
    if by_inductor and INDUCTOR not in ways.failed and (error := hanging()):
        ways.failed[INDUCTOR] = error
        ways.tell(EAGER)
    if spread:
        # PyTorch may be built without torch.distributed.
        from lrsched_torch._spread.sharded import sharded_update_with

        update = sharded_update_with(rule, ways=asked, totals_over=totals_over)
        return WholeTensors(update, rule, apart=False, ways=asked, always=totals_over is not None)
    if compile == "triton":
        return Triton(rule, captured)
    if not facts_of(rule).packs:
        return Shaped(rule, asked)
    in_cache = captured is None and not homes and all(p.device.type == "cpu" for p in ps)
    joined = partial(Buckets, rule, homes=homes, captured=captured)
    engines: dict[str, Callable[[], Executor]] = {
        CPP: lambda: CppLoops(rule, ways, resident=flat),
        INDUCTOR: lambda: joined(compile=True),
        EAGER: lambda: (in_cache and in_cache_of(rule)) or joined(compile=False),
    }
    possible = engines_of(rule, ps, capturable=captured is not None)
    if compile == "auto":
        if ways.pays is None:
            ways.pays = CPP in possible and not _is_native(rule, ps) and worthwhile(ps)
        possible = (CPP, EAGER) if ways.pays else (EAGER,)
    return InTurn({name: engines[name] for name in possible}, ways) if compile else engines[EAGER]()
