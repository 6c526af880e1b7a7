"""What a user gets by default, beside the framework's own default: `python -m benchmarks.proportion [--only TEXT]`.

Each row runs ours and the peer in turn in one process, on one thread, and tells the medians of the time of the
processor, so that others on the machine hardly count. Rows of memory are measured in a child process each: by how much
the memory of the process grows at most in two steps, state included. `--rounds` says how often each runs.
"""

import argparse
import importlib
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import lrsched as ls
from benchmarks import numpy_rules
from benchmarks._lists import llama
from benchmarks.growth import Run
from lrsched import rules

Shapes = list[tuple[int, ...]]
LISTS: dict[str, Shapes] = {
    "Llama": llama(),
    "1000 of 1000": [(1000,)] * 1000,
    "10,000 of 10": [(10,)] * 10_000,
    "100 of 316 x 316": [(316, 316)] * 100,
    "1000 of 8 x 8": [(8, 8)] * 1000,
    "512 x 512": [(512, 512)],
    "4096 x 256": [(4096, 256)],
    "5000 x 5000": [(5000, 5000)],
    "3 of 10": [(10,)] * 3,
}
HEAD = ("case", "peer", "ours", "peer's", "ratio", "target")


class Pair(NamedTuple):
    """Ours and the peer's, ready to run; `calls` of them are what is told."""

    ours: Run
    peer: Run
    calls: int = 1


class Case(NamedTuple):
    """A row: `prepare()` makes the two. `memory` says that what counts is the most that each holds."""

    name: str
    peer: str
    prepare: Callable[[], Pair]
    target: float = 1.0
    memory: bool = False


def medians(pair: Pair, rounds: int) -> tuple[float, float]:
    """Return the median time of the processor of both, which run in turn; what is short runs often in each round."""
    runs = (pair.ours, pair.peer)
    once = max(min(_seconds(run, 1) for _ in range(2)) for run in runs)
    times = max(1, min(1000, round(2e-3 / max(once, 1e-7))))
    found: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for which in (0, 1) if i % 2 else (1, 0):
            found[which].append(_seconds(runs[which], times) / times / pair.calls)
    return statistics.median(found[0]), statistics.median(found[1])


def _seconds(run: Run, times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        run()
    return time.process_time() - begin


# Optimizers of PyTorch


def _torch() -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    return torch


def _parameters(name: str, dtype: str) -> list[Any]:
    torch = _torch()
    generator, kind = torch.Generator().manual_seed(0), getattr(torch, dtype)
    found = []
    for shape in LISTS[name]:
        p = torch.nn.Parameter((0.1 * torch.randn(shape, generator=generator)).to(kind))
        p.grad = (0.1 * torch.randn(shape, generator=generator)).to(kind)
        found.append(p)
    return found


def _clipped(torch: Any, optimizer: Any) -> Any:
    ps = [p for group in optimizer.param_groups for p in group["params"]]

    def clip(*_: object) -> None:
        torch.nn.utils.clip_grad_norm_(ps, 1.0)

    optimizer.register_step_pre_hook(clip)
    return optimizer


def _theirs(ps: Any, kind: str, clip: bool, options: dict[str, Any]) -> Any:
    package, _, name = kind.rpartition(".")
    if package == "timm":
        importlib.import_module("benchmarks.torch_rules")._timm("lion")
    module = {"": "torch.optim", "timm": f"timm.optim.{name.lower()}"}.get(package, package)
    optimizer = getattr(importlib.import_module(module), name)(ps, **{"lr": 1e-3, **options})
    return _clipped(_torch(), optimizer) if clip else optimizer


def _steps(
    rule: rules.Rule, kind: str, name: str, *, compile: Any = False, groups: int = 1, missing: bool = False,
    clip: bool = False, dtype: str = "float32", peer_dtype: str = "", first: bool = True,
    own: dict[str, Any] | None = None, **options: Any,
) -> Pair:  # fmt: skip
    """Return the steps of both, after the first one unless `first` is False."""
    optimizers = importlib.import_module("lrsched_torch")
    made = []
    for which, this in enumerate((dtype, peer_dtype or dtype)):
        ps = _parameters(name, this)
        split: Any = [{"params": ps[i::groups]} for i in range(groups)] if groups > 1 else ps
        if which == 0:
            given = {"lr": options.get("lr", 1e-3), "compile": compile, **(own or {})}
            optimizer = optimizers.RuleOptimizer(split, rule, **given)
        else:
            optimizer = _theirs(split, kind, clip, options)
        made.append(_with_gradients(optimizer, ps, missing))
        if first:
            made[-1]()
    return Pair(*made)


def _with_gradients(optimizer: Any, ps: list[Any], missing: bool) -> Run:
    """Return a step; before it, if asked, other gradients are missing each time."""
    if not missing:
        return optimizer.step  # type: ignore[no-any-return]  # a framework without types here
    optimizer.step()  # with all of them, so that none is new later
    draws, grads = random.Random(0), [p.grad for p in ps]

    def run() -> None:
        for p, g in zip(ps, grads, strict=True):
            p.grad = g if draws.random() < 0.5 else None
        optimizer.step()

    return run


_LAMB = rules.lamb(weight_decay=0.01)
_TIMM_LAMB = {"weight_decay": 0.01, "max_grad_norm": None}
_CLIP = rules.ClipByGlobalNorm(1.0)
_CLIPPED = _CLIP >> rules.Adam() >> rules.DecoupledWeightDecay(1e-2)
_EAGER: dict[str, tuple[rules.Rule, str, dict[str, Any]]] = {
    "SGD": (rules.SGD(), "SGD", {}),
    "momentum": (rules.Momentum(0.9), "SGD", {"momentum": 0.9}),
    "Adam": (rules.Adam(), "Adam", {}),
    "AdamW": (rules.AdamW(weight_decay=1e-2), "AdamW", {}),
    "RMSprop": (rules.RMSprop(), "RMSprop", {}),
    "NAdam": (rules.NAdam(), "NAdam", {}),
    "Lion": (rules.Lion(), "timm.Lion", {}),
    "LAMB": (_LAMB, "timm.Lamb", _TIMM_LAMB),
    "Prodigy": (rules.Prodigy(), "prodigyopt.Prodigy", {"lr": 1.0, "use_bias_correction": True}),
}


def _torch_cases() -> Iterator[Case]:
    def case(
        label: str, rule: rules.Rule, kind: str, name: str, target: float = 1.0, memory: bool = False, **options: Any
    ) -> Case:
        peer = kind if "." in kind else f"torch.optim.{kind}"
        return Case(f"{label}, {name}", peer, partial(_steps, rule, kind, name, **options), target, memory)

    for name in ("Llama", "1000 of 1000"):
        for label, (rule, kind, options) in _EAGER.items():
            yield case(f"{label} eager", rule, kind, name, **options)
    for label in ("Adam", "RMSprop", "LAMB"):
        rule, kind, options = _EAGER[label]
        yield case(f"{label} eager, 1000 groups", rule, kind, "1000 of 1000", groups=1000, **options)
        yield case(f"{label} eager, half of the gradients missing", rule, kind, "1000 of 1000", missing=True, **options)
    for name in ("100 of 316 x 316", "10,000 of 10"):
        yield case("clip, Adam, decay", _CLIPPED, "AdamW", name, clip=True)
        yield case("LAMB eager", _LAMB, "timm.Lamb", name, **_TIMM_LAMB)
        yield case("LAMB by default", _LAMB, "timm.Lamb", name, compile="auto", **_TIMM_LAMB)
    adamw = rules.AdamW(weight_decay=1e-2)
    yield case("AdamW on bfloat16", adamw, "AdamW", "100 of 316 x 316", dtype="bfloat16")
    yield case(
        "AdamW on bfloat16, float32 copies, beside float32", adamw, "AdamW", "100 of 316 x 316", dtype="bfloat16",
        peer_dtype="float32", own={"master": True},
    )  # fmt: skip
    for name in ("100 of 316 x 316", "512 x 512", "1000 of 8 x 8"):
        yield case("Adafactor", rules.Adafactor(), "Adafactor", name)
        yield case("clip, Adafactor", _CLIP >> rules.Adafactor(), "Adafactor", name, clip=True)
    muon, decay = rules.Muon(precision="bfloat16"), {"weight_decay": 0.0}
    for name in ("100 of 316 x 316", "512 x 512", "4096 x 256"):
        yield case("Muon in bfloat16", muon, "Muon", name, **decay)
        yield case("Muon in bfloat16 on bfloat16", muon, "Muon", name, dtype="bfloat16", **decay)
    yield case("Muon in float32, which PyTorch has not", rules.Muon(), "Muon", "512 x 512", **decay)
    memory: dict[str, Any] = {"memory": True, "first": False}
    yield case("Adam", rules.Adam(), "Adam", "5000 x 5000", **memory)
    yield case("clip, Adam, decay", _CLIPPED, "AdamW", "5000 x 5000", clip=True, **memory)
    yield case("Adafactor", rules.Adafactor(), "Adafactor", "5000 x 5000", **memory)
    yield case("clip, Adafactor", _CLIP >> rules.Adafactor(), "Adafactor", "5000 x 5000", clip=True, **memory)
    yield case("Muon in bfloat16", muon, "Muon", "100 of 316 x 316", **decay, **memory)
    for label, compile in (("eager", False), ("compiled", True)):
        yield case(f"LAMB {label}", _LAMB, "timm.Lamb", "10,000 of 10", compile=compile, **_TIMM_LAMB, **memory)
        yield case(f"LAMB {label}", _LAMB, "timm.Lamb", "1000 of 1000", compile=compile, **_TIMM_LAMB, **memory)


# Rules on NumPy


def _by_hand(label: str, name: str, donate: bool) -> Pair:
    rule, plain, slots = numpy_rules.CASES[label]
    return Pair(numpy_rules._ours(rule, LISTS[name], donate)[1], numpy_rules._by_hand(plain, slots, LISTS[name])[1])


def _numpy_cases() -> Iterator[Case]:
    for name in ("1000 of 1000", "3 of 10"):
        for label in numpy_rules.CASES:
            for donate in (False, True):
                said = f"{label} on NumPy, {name}, {'in place' if donate else 'new arrays'}"
                yield Case(said, "NumPy by hand", partial(_by_hand, label, name, donate))


# Schedules


def _jitted(ours: Callable[[], Any], theirs: Callable[[Any], Any], size: int) -> Pair:
    jax, optax = importlib.import_module("jax"), importlib.import_module("optax")
    counts = jax.numpy.arange(size) * max(10_000 // size, 1)
    first, second = jax.jit(ours()), jax.jit(theirs(optax))
    np.testing.assert_allclose(first(counts), second(counts), rtol=2e-4, atol=1e-7)
    return Pair(lambda: first(counts).block_until_ready(), lambda: second(counts).block_until_ready())


def _call(schedule: Callable[[], Any], at: Any, peer: Callable[[Any], Any]) -> Pair:
    run = schedule()
    for _ in range(100):  # numbers go through compiled code after some calls
        run(at)
    return Pair(lambda: run(at), lambda: peer(at))


def _cosine(t: Any) -> float:
    return 0.5 * 0.1 * (1.0 + math.cos(math.pi * t / 10_000)) if t < 10_000 else 0.0


def _product(t: Any) -> float:
    return _cosine(t) * (1.0 + (0.5 - 1.0) * t / 10_000 if t < 10_000 else 0.5)


_TIMES = tuple(range(1, 1001))


def _schedule_cases() -> Iterator[Case]:
    curves: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
        "cosine": (lambda: ls.Cosine(0.1, 0.0, steps=10_000), lambda o: o.cosine_decay_schedule(0.1, 10_000)),
        "exponential": (lambda: ls.Exponential(0.1, 0.9, steps=100), lambda o: o.exponential_decay(0.1, 100, 0.9)),
        "multi_step of 1000": (
            lambda: ls.multi_step(0.1, 0.99, [10 * t for t in _TIMES]),
            lambda o: o.piecewise_constant_schedule(0.1, {10 * t: 0.99 for t in _TIMES}),
        ),
    }
    for label, (ours, theirs) in curves.items():
        for size in (1, 100_000):
            if (label, size) != ("multi_step of 1000", 100_000):  # Optax takes one step at a time
                yield Case(f"jitted {label}, {size:,} steps", "Optax", partial(_jitted, ours, theirs, size), 1.2)
    cosine = curves["cosine"][0]
    product = lambda: cosine() * ls.Linear(1.0, 0.5, steps=10_000)  # noqa: E731
    yield Case("cosine of a number", "by hand", partial(_call, cosine, 1234, _cosine), 1.2)
    yield Case("cosine of a NumPy number", "by hand", partial(_call, cosine, np.int64(1234), _cosine), 1.2)
    yield Case("product of two of a number", "by hand", partial(_call, product, 1234, _product), 1.2)


def cases() -> tuple[Case, ...]:
    """Return all rows."""
    return *_torch_cases(), *_numpy_cases(), *_schedule_cases()


def peak(case: Case, which: int) -> float:
    """Return the most that two steps of one side hold beyond what was there, measured in this process."""
    step = case.prepare()[which]
    found: float = importlib.import_module("benchmarks.torch_rules").peak(lambda: (step(), step()))
    return found


def _child(case: Case, which: int) -> float:
    command = [sys.executable, "-m", "benchmarks.proportion", "--only", case.name, "--peak", str(which)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measured(case: Case, rounds: int) -> tuple[float, float]:
    """Return seconds of ours and of the peer, or bytes."""
    if case.memory:
        ours, peer = (_child(case, which) for which in (0, 1))
        return ours, peer
    return medians(case.prepare(), rounds)


def _told(value: float, memory: bool) -> str:
    if memory:
        return f"{value / 1e6:.3g} MB"
    size, unit = next((size, unit) for size, unit in ((1.0, "s"), (1e-3, "ms"), (0.0, "us")) if value >= size)
    return f"{value / (size or 1e-6):.3g} {unit}"


def line(case: Case, rounds: int) -> str:
    """Measure a row and return it as Markdown; one that cannot be measured here says why."""
    name = f"{case.name} (memory)" if case.memory else case.name
    try:
        ours, peer = measured(case, rounds)
    except ImportError as error:
        cells: Sequence[str] = (name, case.peer, f"not measured: {error}", "", "", "")
    else:
        ratio = ours / peer
        told = f"{ratio:.2f}{' (over)' if ratio > case.target else ''}"
        cells = (name, case.peer, _told(ours, case.memory), _told(peer, case.memory), told, f"{case.target:g}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table as it is found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proportion", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="cases whose name holds one of these")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--peak", type=int, choices=(0, 1), help=argparse.SUPPRESS)
    options = parser.parse_args()
    chosen = [case for case in cases() if any(text in case.name for text in options.only)]
    if options.peak is not None:
        print(peak(next(case for case in chosen if case.memory and case.name in options.only), options.peak))
        return
    print(f"| {' | '.join(HEAD)} |\n|---|---|{'---:|' * (len(HEAD) - 2)}")
    for case in chosen:
        print(line(case, options.rounds), flush=True)


if __name__ == "__main__":
    main()
