"""Update rules on one CUDA device: first checked, then timed beside the native optimizers, then written down.

    python -m benchmarks.gpu                     # everything, gpu.json
    python -m benchmarks.gpu --within 540        # as much as begins in nine minutes; the same again goes on from there
    python -m benchmarks.gpu --device cpu --shrink 200 --rounds 3     # a rehearsal without a GPU
    TRITON_INTERPRET=1 python -m benchmarks.gpu --device cpu --shrink 400 --lists small --rounds 1 --no-jax

The last rehearses the Triton kernels too, in Python: the first without that leaves them out. What is `captured` is the
step as a CUDA graph, which a rehearsal leaves out: three updates as they are, the others by launching the graph.

Every variant is checked before it is timed: five updates with fresh random gradients against a float64 run of torch's
own optimizer (of the formula written out, for LARS and LAMB), with the allocator's free memory filled with NaN, so that
a kernel that reads what nothing wrote is seen. One that fails is reported and not timed.

Times are medians over rounds in which all variants run in turn. `limit` is the time over that of moving the bytes that
the rule must move at the copy bandwidth, measured in the same rounds.

PyTorch, and for their rows Triton, JAX and Optax are all it needs: this package is taken from the checkout.
"""

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks._lists import LISTS, Shapes, size
from lrsched import rules

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
UPDATES = 5  # of the check
TRACED = 300  # tensors that XLA compiles in less than minutes
LISTED = ("transformer", "resnet50", "small")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A rule, how its peers are called, and what it must move.

    Args:
        rule: the rule.
        slots: arrays of the size of the parameters that it keeps.
        norms: what is read once more, after norms: 1 parameters and gradients, 2 parameters and slots, 0 nothing.
        native: arguments of the class of that name in `torch.optim`, or None.
        optax: name and arguments in Optax, or None.
        lr: learning rate, at which updates are about as large as the parameters.
        alike: whether Optax computes the same; if not, it is timed unchecked.
        target: largest multiple of the byte limit that is in order, for float32 on the transformer.
    """

    rule: rules.Rule
    slots: int
    norms: int = 0
    native: tuple[str, dict[str, Any]] | None = None
    optax: tuple[str, dict[str, Any]] | None = None
    lr: float = 1e-2
    alike: bool = True
    target: float = 1 / 0.9

    def bytes(self, parameter: int) -> int:
        """Return the bytes moved for one parameter of so many bytes: all once, and what norms need again."""
        once = 3 * parameter + 8 * self.slots
        return once + {0: 0, 1: 2 * parameter, 2: parameter + 4 * self.slots}[self.norms]


CASES = {
    "adam": Case(rules.Adam(), 2, native=("Adam", {}), optax=("adam", {})),
    "adamw": Case(rules.AdamW(), 2, native=("AdamW", {"weight_decay": 1e-2}), optax=("adamw", {"weight_decay": 1e-2})),
    "momentum": Case(
        rules.Momentum(0.9), 1, native=("SGD", {"momentum": 0.9}), optax=("sgd", {"momentum": 0.9}), lr=0.5
    ),
    "rmsprop": Case(
        rules.RMSprop(), 1, native=("RMSprop", {}), optax=("rmsprop", {"decay": 0.99, "eps_in_sqrt": False})
    ),
    "lars": Case(
        rules.lars(0.9, lr_in_buffer=False),
        1,
        1,
        optax=("lars", {"weight_decay": 1e-4}),
        lr=100.0,
        alike=False,
        target=1 / 0.85,
    ),
    "lamb": Case(
        rules.lamb(), 2, 2, optax=("lamb", {"eps": 1e-6, "weight_decay": 1e-2}), lr=0.1, alike=False, target=1 / 0.85
    ),
}


@dataclass
class Variant:
    """One way to do the update, ready to run."""

    name: str
    step: Step = list
    give: Callable[[list[torch.Tensor]], object] = list
    parameters: Callable[[], list[torch.Tensor]] = list
    first_s: float = math.nan
    memory: int = 0
    error: float = math.nan
    times: list[float] = field(default_factory=list)


def numbers(shapes: Shapes, seed: int, dtype: torch.dtype, device: str, scale: float = 1.0) -> list[torch.Tensor]:
    """Return random tensors that do not depend on the dtype, but for rounding."""
    generator = torch.Generator(device).manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator, device=device) for shape in shapes]
    return [(scale * x).to(dtype) for x in drawn]


def sync(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def poison(device: str) -> None:
    """Fill memory that the allocator will hand out again with NaN."""
    blocks = [torch.full((1 << k,), math.nan, device=device) for k in range(8, 24)]
    sync(device)
    del blocks


def reference(case: Case, shapes: Shapes, dtype: torch.dtype, device: str) -> list[torch.Tensor]:
    """Return the parameters after some updates in float64."""
    ps = [torch.nn.Parameter(p.double()) for p in numbers(shapes, 0, dtype, device, 0.05)]
    if case.native:
        name, arguments = case.native
        native = getattr(torch.optim, name)(ps, lr=case.lr, **arguments)
    kept: list[list[torch.Tensor]] = [[torch.zeros_like(p), torch.zeros_like(p)] for p in ps]
    for t in range(UPDATES):
        gs = [g.double() for g in numbers(shapes, 1 + t, dtype, device, 0.1)]
        if case.native:
            for p, g in zip(ps, gs, strict=True):
                p.grad = g
            native.step()
            continue
        formula = lars_formula if case is CASES["lars"] else lamb_formula
        with torch.no_grad():
            for p, g, slots in zip(ps, gs, kept, strict=True):
                formula(p, g, slots, t, case.lr)
    return [p.detach() for p in ps]


def lars_formula(p: torch.Tensor, g: torch.Tensor, slots: list[torch.Tensor], t: int, lr: float) -> None:
    """Do one update of LARS as its paper writes it, with the rate outside the velocity."""
    if p.ndim > 1:
        decay, norm, size = 1e-4, torch.linalg.vector_norm(p), torch.linalg.vector_norm(g)
        g = (1e-3 * norm / (size + decay * norm)) * (g + decay * p)
    slots[0].mul_(0.9).add_(g)
    p.sub_(lr * slots[0])


def lamb_formula(p: torch.Tensor, g: torch.Tensor, slots: list[torch.Tensor], t: int, lr: float) -> None:
    """Do one update of LAMB as its paper writes it."""
    slots[0].mul_(0.9).add_(0.1 * g)
    slots[1].mul_(0.999).add_(0.001 * g * g)
    u = slots[0] / (1 - 0.9 ** (t + 1)) / ((slots[1] / (1 - 0.999 ** (t + 1))).sqrt() + 1e-6)
    ratio = 1.0
    if p.ndim > 1:
        u = u + 1e-2 * p
        ratio = torch.linalg.vector_norm(p) / torch.linalg.vector_norm(u)
    p.sub_(lr * ratio * u)


def ours(case: Case, shapes: Shapes, dtype: torch.dtype, device: str, **form: Any) -> Variant:
    """Return our optimizer in one form: `compile`, `flat`, `capturable`, which is then captured."""
    from lrsched_torch import RuleOptimizer

    ps = [torch.nn.Parameter(p) for p in numbers(shapes, 0, dtype, device, 0.05)]
    optimizer = RuleOptimizer(ps, case.rule, lr=case.lr, **form)
    words = ("triton" if on == "triton" else name for name, on in form.items() if on and name != "capturable")
    variant = _stepping(" ".join(["lrsched", *words]), ps, optimizer)
    return captured(variant) if form.get("capturable") else variant


def native(case: Case, shapes: Shapes, dtype: torch.dtype, device: str, form: str) -> Variant:
    """Return torch's own optimizer in one form: "loop", "foreach", "fused" or "captured", which is fused too."""
    assert case.native
    name, arguments = case.native
    ps = [torch.nn.Parameter(p) for p in numbers(shapes, 0, dtype, device, 0.05)]
    chosen = {} if form == "loop" else {"fused": True, "capturable": True} if form == "captured" else {form: True}
    optimizer = getattr(torch.optim, name)(ps, lr=case.lr, **({"foreach": False} | chosen), **arguments)
    variant = _stepping("torch fused" if form == "captured" else f"torch {form}", ps, optimizer)
    return captured(variant) if form == "captured" else variant


def _stepping(name: str, ps: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer) -> Variant:
    gs = [torch.zeros_like(p) for p in ps]
    for p, g in zip(ps, gs, strict=True):
        p.grad = g

    def give(fresh: list[torch.Tensor]) -> None:
        for p, g in zip(ps, fresh, strict=True):
            assert p.grad is not None
            p.grad.copy_(g)

    return Variant(name, optimizer.step, give, lambda: [p.detach() for p in ps])


def captured(variant: Variant) -> Variant:
    """Return a variant whose first updates warm up and whose others launch a CUDA graph."""
    plain, stream, graph, done = variant.step, torch.cuda.Stream(), torch.cuda.CUDAGraph(), iter(range(4))

    def step() -> None:
        number = next(done, None)
        if number is not None and number < 3:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                plain()
            torch.cuda.current_stream().wait_stream(stream)
            return
        if number is not None:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                plain()
        graph.replay()

    variant.name, variant.step = f"{variant.name} captured", step
    return variant


def jitted(case: Case, shapes: Shapes, dtype: torch.dtype, device: str, name: str) -> Variant:
    """Return Optax's chain or ours as one jitted function with donated buffers."""
    import jax
    import jax.numpy as jnp
    import optax

    from lrsched_optax import from_rule

    if name == "optax":
        assert case.optax
        kind, arguments = case.optax
        transform = getattr(optax, kind)(case.lr, **arguments)
    else:
        transform = from_rule(case.rule, case.lr)

    def array(x: torch.Tensor) -> Any:
        return jnp.array(jax.dlpack.from_dlpack(x), copy=True)

    held = {"p": [array(p) for p in numbers(shapes, 0, dtype, device, 0.05)]}
    held["s"] = transform.init(held["p"])
    held["g"] = [jnp.zeros_like(p) for p in held["p"]]

    def update(ps: Any, state: Any, gs: Any) -> Any:
        updates, state = transform.update(gs, state, ps)
        return optax.apply_updates(ps, updates), state

    run = jax.jit(update, donate_argnums=(0, 1))

    def step() -> None:
        held["p"], held["s"] = run(held["p"], held["s"], held["g"])
        jax.block_until_ready(held["p"])

    return Variant(
        "lrsched jax" if name == "lrsched" else "optax jit",
        step,
        lambda gs: held.update(g=[array(g) for g in gs]),
        lambda: [torch.from_dlpack(p).clone() for p in held["p"]],
    )


def makers(
    case: Case, shapes: Shapes, dtype: torch.dtype, device: str, with_jax: bool
) -> Iterator[Callable[[], Variant]]:
    """Yield what builds each variant."""
    large = size(shapes) > 1 << 28  # what is slow by far is left out, so that all fit into memory
    forms: list[dict[str, Any]] = [{"compile": True}, {"compile": True, "flat": True}]
    if device == "cuda" or os.environ.get("TRITON_INTERPRET"):
        forms += [{"compile": "triton"}]
    for form in forms if large else [*forms, {}]:
        yield lambda form=form: ours(case, shapes, dtype, device, **form)
    fused = {"Adam": "fused", "AdamW": "fused", "SGD": "fused"}
    if case.native:
        for one in ("loop", "foreach", fused.get(case.native[0], "")):
            if one and not (large and one == "loop"):
                yield lambda one=one: native(case, shapes, dtype, device, one)
    if device == "cuda" and not large:
        for form in ({"compile": True, "capturable": True}, {"compile": "triton", "capturable": True}):
            yield lambda form=form: ours(case, shapes, dtype, device, **form)
        if case.native and case.native[0] in ("Adam", "AdamW"):
            yield lambda: native(case, shapes, dtype, device, "captured")
    if with_jax and len(shapes) <= TRACED:
        for name in ("lrsched", "optax"):
            yield lambda name=name: jitted(case, shapes, dtype, device, name)


def check(variant: Variant, expected: list[torch.Tensor], shapes: Shapes, dtype: torch.dtype) -> None:
    """Run updates with fresh gradients; note the time of the first, and the largest error over the largest step."""
    on = expected[0].device.type
    for t in range(UPDATES):
        variant.give(numbers(shapes, 1 + t, dtype, on, 0.1))
        poison(on)
        begin = time.perf_counter()
        variant.step()
        sync(on)
        if t == 0:
            variant.first_s = time.perf_counter() - begin
    found = [p.double().to(on) for p in variant.parameters()]
    first = [p.double().to(on) for p in numbers(shapes, 0, dtype, on, 0.05)]
    moved = max(float((q - p).abs().max()) for p, q in zip(first, expected, strict=True))
    wrong = [float((p - q).abs().max()) for p, q in zip(found, expected, strict=True)]
    variant.error = math.nan if any(map(math.isnan, wrong)) else max(wrong) / moved


def bandwidth(device: str, n: int) -> tuple[Step, float]:
    """Return a copy of `n` float32 numbers and the bytes that it moves."""
    source, target = torch.randn(n, device=device), torch.empty(n, device=device)
    return (lambda: target.copy_(source)), 8.0 * n


def seconds(step: Step, device: str) -> float:
    """Return the time of one run, by events of the device where it has them."""
    if device != "cuda":
        begin = time.perf_counter()
        step()
        return time.perf_counter() - begin
    begin_event, end_event = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin_event.record()
    step()
    end_event.record()
    torch.cuda.synchronize()
    return 1e-3 * begin_event.elapsed_time(end_event)


def measure(label: str, case: Case, shapes: Shapes, name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Check and time all variants of a rule on one list and dtype; print and return one line for each."""
    dtype, device = DTYPES[name], options.device
    expected = reference(case, shapes, dtype, device)
    # In bfloat16 five roundings of the parameters, and the moments of the native optimizers are bfloat16 too.
    tolerance = 1e-3 if name == "float32" else 0.1
    variants = []
    for make in makers(case, shapes, dtype, device, options.jax):
        try:
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            variant = make()
            check(variant, expected, shapes, dtype)
            if device == "cuda":
                variant.memory = torch.cuda.max_memory_allocated() - before
            variants.append(variant)
        except Exception as error:  # a variant that fails is a line of the table
            variants.append(Variant(f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"))
    del expected
    rate, moved = bandwidth(device, min(size(shapes), 1 << 28))
    copies: list[float] = []
    unlike = () if case.alike else ("optax jit",)
    timed = [variant for variant in variants if variant.error <= tolerance or variant.name in unlike]
    for _ in range(options.rounds):
        copies.append(seconds(rate, device))
        for variant in timed:
            variant.times.append(seconds(variant.step, device))
    speed = moved / statistics.median(copies)
    floor = size(shapes) * case.bytes(dtype.itemsize) / speed
    lines = []
    for variant in variants:
        median = statistics.median(variant.times) if variant.times else math.nan
        lines.append(
            {
                "list": label,
                "dtype": name,
                "variant": variant.name,
                "ms": 1e3 * median,
                "limit": median / floor,
                "first_s": variant.first_s,
                "peak_MB": variant.memory / 1e6,
                "error": variant.error,
                "copy_GBps": speed / 1e9,
                "remark": remark(variant, tolerance, unlike),
            }
        )
    return lines


def remark(variant: Variant, tolerance: float, unlike: tuple[str, ...]) -> str:
    """Return what one must know to read the line of a variant."""
    if variant.name in unlike:
        return "another dialect: timed, not compared"
    return "" if variant.error <= tolerance else "not right: not timed"


def table(rule: str, case: Case, lines: list[dict[str, Any]]) -> None:
    """Print the lines of one rule, list and dtype."""
    first = lines[0]
    print(f"\n{rule}, {first['list']}, {first['dtype']}: copy {first['copy_GBps']:.0f} GB/s", flush=True)
    print(f"  {'':24}{'ms':>10}{'x limit':>9}{'first s':>9}{'peak MB':>9}{'error':>9}")
    for line in lines:
        cells = (
            f"{line['ms']:10.3f}{line['limit']:9.2f}{line['first_s']:9.1f}{line['peak_MB']:9.0f}{line['error']:9.0e}"
        )
        print(f"  {line['variant']:24}{cells}  {line['remark']}", flush=True)


def machine(device: str) -> dict[str, Any]:
    """Return what the figures belong to."""
    found = {"date": datetime.date.today().isoformat(), "python": platform.python_version(), "torch": torch.__version__}
    found["device"] = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    for library in ("triton", "jax", "optax"):
        try:
            found[library] = __import__(library).__version__
        except ImportError:
            continue
    return found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rules", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--lists", nargs="+", choices=LISTS, default=list(LISTED))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--shrink", type=int, default=1, help="divide the number of tensors by this, for a rehearsal")
    parser.add_argument("--no-jax", dest="jax", action="store_false", help="leave JAX and Optax out")
    parser.add_argument("--out", default="gpu.json", help="where the figures go; what it has already is not repeated")
    parser.add_argument("--within", type=float, default=math.inf, help="seconds after which nothing more begins")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu --shrink 50 rehearses")
    if options.device == "cpu" and not os.environ.get("TRITON_INTERPRET"):
        print("the Triton kernels are left out; TRITON_INTERPRET=1 runs them in Python, for a small list")
    begin = time.perf_counter()
    written = {"machine": {**machine(options.device), "shrink": options.shrink}, "lines": []}
    print(json.dumps(written["machine"]))
    if os.path.exists(options.out):
        with open(options.out) as file:
            found = json.load(file)
        if found["machine"] | {"date": None} != written["machine"] | {"date": None}:
            parser.error(f"{options.out} holds the figures of another machine; move it, or name another --out")
        written = found
    done = {(line["list"], line["dtype"], line["rule"]) for line in written["lines"]}
    cases = [(label, name, rule) for label in options.lists for name in options.dtypes for rule in options.rules]
    missing = [case for case in cases if case not in done]
    for i, (label, name, rule) in enumerate(missing):
        if time.perf_counter() - begin > options.within:
            print(f"\n{len(missing) - i} of {len(cases)} are left: the same command goes on with them")
            return
        shapes = LISTS[label]()[:: options.shrink]
        lines = measure(label, CASES[rule], shapes, name, options)
        table(rule, CASES[rule], lines)
        written["lines"] += [{"rule": rule, **line} for line in lines]
        with open(options.out, "w") as file:  # after each, so that nothing is lost
            json.dump(written, file, indent=1, allow_nan=True)
    print(f"\nall {len(cases)} are in {options.out}")


if __name__ == "__main__":
    main()
