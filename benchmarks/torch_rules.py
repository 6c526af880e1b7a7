"""`RuleOptimizer.step`, beside the native optimizers of torch, those of timm, and the speed of the memory."""

import ctypes
import importlib
import importlib.util
import math
import os
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks._rows import Row, interleaved, seconds, skipped
from benchmarks._tensors import LISTS, MATRICES, parameters, passage

# Seconds of the first step, in which everything compiles, that a person may wait.
PATIENCE = 20.0
# How soon a compiler must have paid.
UPDATES = 200
ROUNDS = {"1000 x 1000": 81}
Make = Callable[[list[Any]], Any]


def _rounds(name: str) -> int:
    return ROUNDS.get(name, 15)


def _ours(torch: Any, rule: Any, name: str, **options: Any) -> Callable[[], object]:
    """Return the step of our optimizer, after the first one."""
    ps = parameters(torch, name)
    gradients = [p.grad for p in ps]
    optimizer = importlib.import_module("lrsched_torch").RuleOptimizer(ps, rule, lr=1e-3, **options)
    if options.get("flat"):
        optimizer.zero_grad()
        for p, g in zip(ps, gradients, strict=True):
            p.grad.copy_(g)
    optimizer.step()
    return optimizer.step  # type: ignore[no-any-return]  # a framework without types here


def _against(torch: Any, rule: Any, name: str, label: str, peer: str, make: Make, target: float, **options: Any) -> Row:
    other = make(parameters(torch, name))
    times = interleaved(_ours(torch, rule, name, **options), other.step, _rounds(name))
    return Row(f"{label}, {name}", peer, *times, target)


def _by_default(torch: Any, rule: Any, name: str, label: str, peer: str, make: Make) -> Row:
    """Compare what UPDATES updates take by default, the first one with empty caches included."""
    with importlib.import_module("torch._inductor.utils").fresh_cache():
        _forget()
        ours = importlib.import_module("lrsched_torch").RuleOptimizer(parameters(torch, name), rule, lr=1e-3)
        theirs = make(parameters(torch, name))
        first = [seconds(ours.step), seconds(theirs.step)]
        times = interleaved(ours.step, theirs.step, _rounds(name))
    _forget()
    whole = [one + (UPDATES - 1) * each for one, each in zip(first, times, strict=True)]
    return Row(f"{label} by default, {UPDATES} updates, {name}", peer, *whole, 1.0)


def _against_memory(torch: Any, rule: Any, name: str, label: str, size: int, target: float, **options: Any) -> Row:
    """Compare with a pass over as many bytes as the update must move, `size` for each parameter."""
    times = interleaved(_ours(torch, rule, name, **options), passage(torch, name, size), _rounds(name))
    return Row(f"{label}, {name}", f"mul_ of {size} bytes each", *times, target)


def _first_steps(torch: Any, rule: Any, name: str, label: str) -> Iterator[Row]:
    """Yield the seconds of the first step with empty caches, and in a process that finds them on the disk."""
    fresh = importlib.import_module("torch._inductor.utils").fresh_cache
    optimizers = importlib.import_module("lrsched_torch")
    with fresh():
        for case in ("first step", "first step of the next process"):
            _forget()
            torch._dynamo.reset()
            step = optimizers.RuleOptimizer(parameters(torch, name), rule, lr=1e-3, compile=True).step
            yield Row(f"{case} of {label}, {name}", "what one may wait", seconds(step), PATIENCE, 1.0)
    _forget()


def _forget() -> None:
    """Let the next optimizer of a rule compile it again, or find it on the disk."""
    importlib.import_module("lrsched_torch._traced.graphs").phases_of.cache_clear()
    importlib.import_module("lrsched_torch._traced.program").program_of.cache_clear()
    importlib.import_module("lrsched_torch._loops.table").library.cache_clear()


def peak(run: Callable[[], object]) -> float:
    """Return by how many bytes the memory of the process grows at most, beyond what it has; NaN if unknown."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what is free already does not count
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = _status("VmRSS")
        run()
        return _status("VmHWM") - before
    except (AttributeError, OSError):
        return math.nan


def _status(name: str) -> float:
    with open("/proc/self/status") as file:
        return next(1024.0 * int(line.split()[1]) for line in file if line.startswith(name))


def _memory(
    torch: Any, rule: Any, name: str, label: str, make: Make, target: float = 1.2, peer: str = "fused", **options: Any
) -> Row:
    """Compare what the first two steps need, moments included; the graphs are there already."""
    if options:
        _ours(torch, rule, "1000 x 1000", **options)
    _ours(torch, rule, name, **options)
    found = []
    optimizers = importlib.import_module("lrsched_torch")
    for build in (lambda ps: optimizers.RuleOptimizer(ps, rule, lr=1e-3, **options), make):
        optimizer = build(parameters(torch, name))
        found.append(peak(lambda step=optimizer.step: (step(), step())))  # type: ignore[misc]  # bound at once
        del optimizer
    note = f"peak memory in GB instead of seconds: {found[0] / 1e9:.3f} and {found[1] / 1e9:.3f}"
    return Row(f"{label}, {name}", peer, found[0] / 1e9, found[1] / 1e9, target, note=note)


def _timm(name: str) -> Any:
    """Return a module of timm's optimizers, without the rest of it, which needs torchvision."""
    if "timm" not in sys.modules:
        spec = importlib.util.find_spec("timm")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("timm is not installed")
        folder = spec.submodule_search_locations[0]
        for package, path in (("timm", folder), ("timm.optim", os.path.join(folder, "optim"))):
            hollow = types.ModuleType(package)
            hollow.__path__ = [path]
            sys.modules[package] = hollow
    return importlib.import_module(f"timm.optim.{name}")


def rows() -> Iterator[Row]:
    """Yield the rows: compiled, on one buffer, trust ratios, eager, and what compiling costs."""
    try:
        torch = importlib.import_module("torch")
        importlib.import_module("lrsched_torch")
    except ImportError as error:
        yield skipped("all", "torch", 1.0, str(error))
    else:
        yield from _rows(torch)


def _rows(torch: Any) -> Iterator[Row]:
    rules, optim = importlib.import_module("lrsched.rules"), torch.optim
    adam, momentum = rules.Adam(), rules.Momentum(0.9)

    def fused_adam(ps: list[Any]) -> Any:
        return optim.Adam(ps, lr=1e-3, fused=True)

    def fused_sgd(ps: list[Any]) -> Any:
        return optim.SGD(ps, lr=1e-3, momentum=0.9, fused=True)

    yield from _first_steps(torch, rules.NAdam(), "ResNet-50", "NAdam")
    yield from _first_steps(torch, rules.lamb(), "ResNet-50", "LAMB")
    yield from _first_steps(torch, rules.NAdam(), "1000 x 1000", "NAdam")
    for name in LISTS:
        target = 0.35 if name == "1000 x 1000" else 1.05
        for rule, label, make in ((adam, "Adam", fused_adam), (momentum, "momentum", fused_sgd)):
            yield _against(torch, rule, name, f"{label} compiled", "fused", make, target, compile=True)
        make = _rmsprop(torch, foreach=True)
        yield _against(torch, rules.RMSprop(), name, "RMSprop compiled", "foreach", make, 1.0, compile=True)
    for name in LISTS:
        for rule, label, size in ((adam, "Adam", 28), (momentum, "momentum", 20)):
            yield _against_memory(torch, rule, name, f"{label} flat", size, 1.05, compile=True, flat=True)
    yield from _layerwise(torch, rules)

    def foreach(ps: list[Any]) -> Any:
        return optim.Adam(ps, foreach=True)

    for name in LISTS:
        yield _against(torch, adam, name, "Adam eager", "foreach", foreach, 1.0, compile=False)
        for peer in ("foreach", "for loop"):
            make = _rmsprop(torch, foreach=peer == "foreach")
            yield _against(torch, rules.RMSprop(), name, "RMSprop eager", peer, make, 1.0, compile=False)
    yield from _eager(torch, rules)
    for name in LISTS:
        for label, (rule, make) in _defaults(torch, rules).items():
            yield _by_default(torch, rule, name, label, "default", make)
    for name in LISTS:
        yield _memory(torch, adam, name, "Adam compiled", fused_adam, compile=True)
    yield from _shaped(torch, rules)
    yield from _narrow(torch, rules)


def _defaults(torch: Any, rules: Any) -> dict[str, tuple[Any, Make]]:
    """Return rules beside the optimizers that torch makes of its default arguments."""
    optim = torch.optim
    return {
        "SGD": (rules.SGD(), lambda ps: optim.SGD(ps, lr=1e-3)),
        "momentum": (rules.Momentum(0.9), lambda ps: optim.SGD(ps, lr=1e-3, momentum=0.9)),
        "Adam": (rules.Adam(), lambda ps: optim.Adam(ps, lr=1e-3)),
        "RMSprop": (rules.RMSprop(), _rmsprop(torch)),
        "NAdam": (rules.NAdam(), lambda ps: optim.NAdam(ps, lr=1e-3)),
        "AdamW, clipped": (
            rules.ClipByGlobalNorm(1.0) >> rules.Adam() >> rules.DecoupledWeightDecay(1e-2),
            lambda ps: _clipped(torch, optim.AdamW(ps, lr=1e-3), ps),
        ),
    }


def _shaped(torch: Any, rules: Any) -> Iterator[Row]:
    """Yield the rows of rules that need tensors in their own shape: seconds, and what a step needs of memory."""
    optim = torch.optim
    adafactor, muon = rules.Adafactor(), rules.Muon(precision="bfloat16")
    clip = rules.ClipByGlobalNorm(1.0)
    cases: tuple[tuple[Any, str, Make, float], ...] = (
        (adafactor, "Adafactor", lambda ps: optim.Adafactor(ps, lr=1e-3), 1.0),
        (clip >> adafactor, "Adafactor, clipped", lambda ps: _clipped(torch, optim.Adafactor(ps, lr=1e-3), ps), 1.0),
        (muon, "Muon in bfloat16", lambda ps: optim.Muon(ps, lr=1e-3, weight_decay=0.0), 1.2),
    )
    for name in MATRICES:
        for rule, label, make, target in cases:
            yield _against(torch, rule, name, f"{label} eager", "default", make, target)
    for rule, label, make, _ in cases:
        # What is small finds places in memory that was used before, which the system does not count alike.
        name = "100 of 316 x 316" if rule is muon else "one of 25 M"
        yield _memory(torch, rule, name, f"{label} eager", make, 1.1, peer="default")


def _narrow(torch: Any, rules: Any) -> Iterator[Row]:
    """Yield the rows of bfloat16 parameters, without a compiler."""
    rule, name = rules.AdamW(weight_decay=1e-2), "100 of 316 x 316"
    optimizers = importlib.import_module("lrsched_torch")
    for master, peer, dtype in ((False, "default", "bfloat16"), (True, "default on float32", "float32")):
        ps = parameters(torch, name, "bfloat16")
        ours = optimizers.RuleOptimizer(ps, rule, lr=1e-3, compile=False, master=master)
        theirs = torch.optim.AdamW(parameters(torch, name, dtype), lr=1e-3)
        ours.step(), theirs.step()
        times = interleaved(ours.step, theirs.step, _rounds(name))
        yield Row(f"AdamW on bfloat16{', float32 copies' if master else ''} eager, {name}", peer, *times, 1.0)


def _eager(torch: Any, rules: Any) -> Iterator[Row]:
    """Yield rows without a compiler: other rules, many groups, and gradients missing at random."""
    known = _defaults(torch, rules)
    cases = {label: (*known[label], "default") for label in ("SGD", "momentum", "RMSprop", "NAdam")}
    try:
        lion, lamb = _timm("lion").Lion, _timm("lamb").Lamb
    except ImportError as error:
        yield skipped("Lion and LAMB eager", "timm", 1.0, str(error))
    else:
        cases["Lion"] = rules.Lion(), lambda ps: lion(ps, lr=1e-3), "timm"
        options = {"weight_decay": 0.01, "max_grad_norm": None}
        cases["LAMB"] = rules.lamb(weight_decay=0.01), lambda ps: lamb(ps, lr=1e-3, **options), "timm"
    for name in ("ResNet-50", "Llama"):
        for label, (rule, make, peer) in cases.items():
            yield _against(torch, rule, name, f"{label} eager", peer, make, 1.0, compile=False)
    for label in ("Adam", "RMSprop"):
        rule, make = known[label]
        for case in ("1000 groups", "half of the gradients missing"):
            ours, theirs = parameters(torch, "1000 x 1000"), parameters(torch, "1000 x 1000")
            grads = [p.grad for p in ours]
            one = importlib.import_module("lrsched_torch").RuleOptimizer(
                _grouped(ours, case), rule, 1e-3, compile=False
            )
            other = make(_grouped(theirs, case))
            one.step(), other.step()  # with all gradients, so that none is new later
            steps = [_missing(x.step, ps, grads, case) for x, ps in ((one, ours), (other, theirs))]
            times = interleaved(*steps, _rounds("ResNet-50"))
            yield Row(f"{label} eager, {case}, 1000 x 1000", "default", *times, 1.0)


def _grouped(ps: list[Any], case: str) -> list[Any]:
    return [{"params": [p], "lr": 1e-3 + 1e-6 * i} for i, p in enumerate(ps)] if "groups" in case else ps


def _missing(step: Callable[[], object], ps: list[Any], grads: list[Any], case: str) -> Callable[[], object]:
    """Return the step, before which other gradients are missing each time; to choose them is part of both times."""
    draws = random.Random(0)

    def run() -> None:
        if "missing" in case:
            for p, g in zip(ps, grads, strict=True):
                p.grad = g if draws.random() < 0.5 else None
        step()

    return run


def _clipped(torch: Any, optimizer: Any, ps: list[Any]) -> Any:
    def clip(*_: object) -> None:
        torch.nn.utils.clip_grad_norm_(ps, 1.0)

    optimizer.register_step_pre_hook(clip)
    return optimizer


def _rmsprop(torch: Any, **options: Any) -> Make:
    return lambda ps: torch.optim.RMSprop(ps, lr=1e-3, **options)


def _layerwise(torch: Any, rules: Any) -> Iterator[Row]:
    cases = (
        ("LARS", rules.lars(lr_in_buffer=False, eps=1e-8), "Lars", {"momentum": 0.9, "weight_decay": 1e-4}, 28, 1.35),
        ("LAMB", rules.lamb(weight_decay=0.01), "Lamb", {"weight_decay": 0.01, "max_grad_norm": None}, 40, 1.9),
    )
    for label, rule, theirs, options, size, limit in cases:
        for name in ("ResNet-50", "1000 x 1000"):
            try:
                kind = getattr(_timm(theirs.lower()), theirs)
            except ImportError as error:
                yield skipped(f"{label} compiled, {name}", "timm", 0.6, str(error))
            else:
                make = lambda ps, kind=kind, options=options: kind(ps, lr=1e-3, **options)  # noqa: E731
                yield _against(torch, rule, name, f"{label} compiled", "timm", make, 0.6, compile=True)
                yield _by_default(torch, rule, name, label, "timm", make)
        yield _against_memory(torch, rule, "ResNet-50", f"{label} compiled", size, limit, compile=True)
        yield _against_memory(torch, rule, "ResNet-50", f"{label} flat", size, limit, compile=True, flat=True)
