"""How work and memory grow with the size of what is given: `python -m benchmarks.growth [--only TEXT] [--scale 0.1]`.

Each case is measured at four sizes, each twice the last. The exponent is the slope of the logarithms by least squares:
1 is work in proportion, 2 its square. Time is that of the processor, the least of several runs, so that others on the
machine do not count. Memory is the most that Python and NumPy hold at once; what PyTorch holds is not seen.
"""

import argparse
import math
import pickle
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import reduce
from importlib.util import find_spec
from operator import add, mul, rshift
from typing import Any, NamedTuple

import numpy as np

import lrsched as ls
from lrsched import compat, forecast

# Beyond this a case is told as growing too fast.
TARGET = 1.1
SIZES = 4
Run = Callable[[], object]


class Case(NamedTuple):
    """Something whose cost depends on a size: `prepare(n)` returns what is measured."""

    name: str
    largest: int
    prepare: Callable[[int], Run]


class Growth(NamedTuple):
    """What was measured of a case: seconds and bytes at each size."""

    sizes: list[int]
    seconds: list[float]
    bytes: list[int]


def exponent(sizes: list[int], costs: list[float]) -> float:
    """Return the slope of log(cost) over log(size) by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(costs, 1e-12)), 1)[0])


def seconds(run: Run) -> float:
    """Return the least time of a few runs, of some 50 ms together where they are short."""
    found: list[float] = []
    while not found or (len(found) < 50 and sum(found) < 0.05):
        begin = time.process_time()
        run()
        found.append(time.process_time() - begin)
    return min(found)


def measured(case: Case, scale: float = 1.0) -> Growth:
    """Measure a case at each of its sizes."""
    largest = max(round(case.largest * scale), 2**SIZES)
    sizes = [largest // 2**i for i in reversed(range(SIZES))]
    runs = [case.prepare(size) for size in sizes]
    times = [seconds(run) for run in runs]
    peaks = []
    for run in runs:
        tracemalloc.start()
        run()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return Growth(sizes, times, peaks)


def _parts(n: int) -> list[ls.Schedule]:
    return [ls.Linear(1.0, 0.99 + 0.01 * i / n, steps=3) for i in range(n)]


def _joined(join: Callable[[Any, Any], Any]) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        parts = _parts(n)
        return lambda: reduce(join, parts)

    return prepare


def _read(text: Callable[[int], str]) -> Callable[[int], Run]:
    def prepare(n: int) -> Run:
        written = text(n)
        return lambda: ls.parse(written)

    return prepare


def _random_steps(n: int) -> Run:
    chain = reduce(rshift, _parts(n))
    steps = np.random.default_rng(0).integers(0, 3 * n, 10 * n)
    return lambda: chain(steps)


def _values(n: int) -> tuple[float, ...]:
    return tuple(random.Random(0).random() for _ in range(n))


def _table(n: int) -> Run:
    values = _values(n)
    return lambda: ls.Table(values)


def _pickled(n: int) -> Run:
    held = pickle.dumps(ls.Table(_values(n)))
    return lambda: pickle.loads(held)


def _mmengine(n: int) -> Run:
    entries = [{"type": "ConstantLR", "factor": 0.5, "begin": 2 * i, "end": 2 * i + 1} for i in range(n)]
    return lambda: compat.mmengine.build_param_schedulers(0.1, entries)


def _stretched(n: int) -> Run:
    return lambda: reduce(lambda inner, _: ls.Stretch(inner, factor=1.1), range(n), ls.Linear(1.0, 0.0, steps=9))


_LAW = forecast.MultiPowerLaw(l0=2.5, a=20.0, alpha=0.5, b=0.15, c=0.04, beta=0.5, gamma=0.4)


def _run(n: int) -> ls.Schedule:
    return ls.Warmup(n // 50) >> ls.Cosine(1.0, 0.0, steps=n - n // 50)


def _predicted(n: int) -> Run:
    return lambda: forecast.predict(_LAW, _run(n), np.arange(n))


def _jittered(n: int) -> Run:
    rates = 0.5 + 0.1 * np.random.default_rng(0).random(n)
    return lambda: forecast.predict(_LAW, rates, np.arange(n))


def _curve(n: int) -> tuple[ls.Schedule, Any, Any]:
    at = np.arange(n // 50 + 1, n)
    loss = forecast.predict(_LAW, _run(n), at)
    return _run(n), at, loss * np.exp(0.01 * np.random.default_rng(0).normal(size=at.size))


def _fitted(n: int) -> Run:
    curve = _curve(max(n, 10))
    return lambda: forecast.MultiPowerLaw.fit([curve])


def _fitted_together(n: int) -> Run:
    schedule, at, loss = _curve(20_000)
    curves = [(schedule, at[i :: at.size // 500], loss[i :: at.size // 500]) for i in range(n)]
    return lambda: forecast.MultiPowerLaw.fit(curves)


def _optimizer(n: int, groups: int, name: str) -> tuple[Any, Any]:
    """Return an optimizer of PyTorch over n tensors that has made a step, and the module of torch."""
    import torch

    import lrsched_torch

    torch.set_num_threads(1)
    params = [torch.ones(100, requires_grad=True) for _ in range(n)]
    for param in params:
        param.grad = torch.full_like(param, 0.1)
    rule = getattr(ls.rules, name)()
    split = [{"params": params[i::groups]} for i in range(groups)]
    optimizer = lrsched_torch.RuleOptimizer(split, rule, lr=1e-3, compile=False)
    optimizer.step()
    return optimizer, params


def _loaded(n: int) -> Run:
    optimizer, _ = _optimizer(n, 1, "Adam")
    state = optimizer.state_dict()
    return lambda: optimizer.load_state_dict(state)


def _stepped(n: int) -> Run:
    optimizer, params = _optimizer(n, n, "lamb")
    return lambda: (optimizer.step(), params)


CASES = (
    Case(">> in a loop", 16_000, _joined(rshift)),
    Case("* in a loop", 16_000, _joined(mul)),
    Case("+ in a loop", 16_000, _joined(add)),
    Case("Minimum in a loop", 16_000, _joined(lambda a, b: ls.Minimum((a, b)))),
    Case("multi_step of n milestones", 16_000, lambda n: lambda: ls.multi_step(0.1, 0.999, range(1, n + 1))),
    Case("build_param_schedulers of MMEngine, n entries", 4_000, _mmengine),
    Case("Stretch n deep", 60, _stretched),
    Case("10 n random steps in n parts", 16_000, _random_steps),
    Case("parse a product of n", 16_000, _read(lambda n: " * ".join(["Linear(1, 0.5, 3)"] * n))),
    Case("parse a table of n", 80_000, _read(lambda n: f"Table({_values(n)!r})")),
    Case("build a table of n", 1_000_000, _table),
    Case("unpickle a table of n", 1_000_000, _pickled),
    Case("predict n steps of a run", 1_000_000, _predicted),
    Case("predict n steps of rates that jitter", 64_000, _jittered),
    Case("fit a law to n losses", 64_000, _fitted),
    Case("fit a law to n curves of 500 losses", 64, _fitted_together),
)
TORCH_CASES = (
    Case("load_state_dict of n tensors (PyTorch)", 4_000, _loaded),
    Case("a step of LAMB over n groups (PyTorch, eager)", 2_000, _stepped),
)


def cases() -> tuple[Case, ...]:
    """Return the cases that can be measured here."""
    return CASES + TORCH_CASES if find_spec("torch") else CASES


HEAD = ("case", "n", "time", "exponent", "memory", "exponent")


def _cells(case: Case, found: Growth) -> tuple[str, ...]:
    rates = [exponent(found.sizes, costs) for costs in (found.seconds, [float(peak) for peak in found.bytes])]
    said = [f"{rate:.2f}{' (over)' if rate > TARGET else ''}" for rate in rates]
    size, last = f"{found.sizes[0]:,} to {found.sizes[-1]:,}", found.seconds[-1]
    return case.name, size, f"{last:.2g} s" if last >= 1 else f"{1e3 * last:.3g} ms", said[0], _held(found), said[1]


def _held(found: Growth) -> str:
    return f"{found.bytes[-1] / 1e6:.2g} MB" if found.bytes[-1] < 1e8 else f"{found.bytes[-1] / 1e6:.0f} MB"


def rows(only: str = "", scale: float = 1.0) -> Iterator[str]:
    """Yield the lines of the table, as Markdown."""
    yield f"| {' | '.join(HEAD)} |"
    yield "|---|" + "---:|" * (len(HEAD) - 1)
    for case in cases():
        if only in case.name:
            yield f"| {' | '.join(_cells(case, measured(case, scale)))} |"


def main() -> None:
    """Print the table; time and memory are those of the largest size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all sizes")
    options = parser.parse_args()
    if not math.isfinite(options.scale) or options.scale <= 0.0:
        parser.error(f"--scale must be a number > 0, got {options.scale}")
    for row in rows(options.only, options.scale):
        print(row, flush=True)


if __name__ == "__main__":
    main()
