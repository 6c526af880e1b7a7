"""Random compositions in every library, against Python numbers: `python tests/composition_libraries.py jax.jit 1000`.

A difference is one of more than 1e-12 of the largest value. Jumps get no allowance: a library must find the same side
of each as Python does. Where a slope is infinite (the end of a root), 1e-12 is less than what the last bits of a
fraction of a step make: there a value may be that of a time some bits away, if the two differ by less than 1e-6.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from compositions import bounded, endless, times, whole_steps

from lrsched import Schedule
from lrsched._spaces.compile import compiled
from lrsched._spaces.scalar import SCALAR

Array = np.ndarray[Any, Any]
Case = tuple[Schedule, Array]
TOLERANCE = 1e-12


def expected(schedule: Schedule, steps: Array) -> Array:
    """Return the values on Python numbers, without compilation."""
    return np.array([schedule._at(t, SCALAR) for t in steps.tolist()], dtype=float)


def by_numpy(cases: Sequence[Case]) -> list[Any]:
    return [schedule(steps) for schedule, steps in cases]


def by_compiled(cases: Sequence[Case]) -> list[Any]:
    return [list(map(compiled(schedule._at), steps.tolist())) for schedule, steps in cases]


def by_torch(cases: Sequence[Case]) -> list[Any]:
    return [values.numpy() for values in _torch(lambda schedule: schedule, cases)]


def by_torch_vmap(cases: Sequence[Case]) -> list[Any]:
    torch = pytest.importorskip("torch")
    return [values.numpy() for values in _torch(torch.vmap, cases)]


def by_torch_compile(cases: Sequence[Case]) -> list[Any]:
    """Trace each schedule; the graph runs as it is, without code for it."""
    torch = pytest.importorskip("torch")

    def trace(schedule: Schedule) -> Any:
        torch.compiler.reset()
        return torch.compile(lambda t: schedule(t), backend="eager")

    return [values.numpy() for values in _torch(trace, cases)]


def _torch(make: Callable[[Schedule], Any], cases: Sequence[Case]) -> list[Any]:
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return [make(schedule)(torch.tensor(steps)) for schedule, steps in cases]
    finally:
        torch.set_default_dtype(before)


def of_one_size(evaluate: Callable[[Array], Any], steps: Array) -> Array:
    """Return the values at `steps`, evaluated at so many that JAX, which compiles each size anew, meets few sizes."""
    size = 64 * -(-steps.size // 64)
    return np.asarray(evaluate(np.resize(steps, size)))[: steps.size]


def by_jax(cases: Sequence[Case]) -> list[Any]:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        return [of_one_size(lambda t, s=s: s(jax.numpy.asarray(t)), steps) for s, steps in cases]


def by_jax_jit(cases: Sequence[Case]) -> list[Any]:
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        together = jax.jit(lambda all_steps: [s(t) for (s, _), t in zip(cases, all_steps, strict=True)])
        return list(map(np.asarray, together([steps for _, steps in cases])))


def by_tensorflow(cases: Sequence[Case]) -> list[Any]:
    tf = pytest.importorskip("tensorflow")
    return [schedule(tf.constant(steps)).numpy() for schedule, steps in cases]


def by_tf_function(cases: Sequence[Case]) -> list[Any]:
    tf = pytest.importorskip("tensorflow")
    together = tf.function(
        lambda all_steps: [s(t) for (s, _), t in zip(cases, all_steps, strict=True)], autograph=False
    )
    return [values.numpy() for values in together([tf.constant(steps) for _, steps in cases])]


LIBRARIES: dict[str, Callable[[Sequence[Case]], list[Any]]] = {
    "numpy": by_numpy,
    "compiled": by_compiled,
    "torch": by_torch,
    "torch.vmap": by_torch_vmap,
    "torch.compile": by_torch_compile,
    "jax": by_jax,
    "jax.jit": by_jax_jit,
    "tensorflow": by_tensorflow,
    "tf.function": by_tf_function,
}


def steps_for(library: str, schedule: Schedule, seed: int) -> Array:
    """Return whole steps or, every other time, fractions of steps too; a compiled schedule takes whole ones only."""
    pick = random.Random(seed).choice
    whole = library == "compiled" or (seed % 2 == 0)
    return whole_steps(schedule, pick) if whole else times(schedule, pick)


def differences(library: str, cases: Sequence[Case]) -> Iterator[str]:
    """Yield what is different from the values on Python numbers."""
    if library in ("tensorflow", "tf.function"):  # which give float32 at integers
        cases = [(schedule, steps.astype(float)) for schedule, steps in cases]
    for (schedule, steps), values in zip(cases, LIBRARIES[library](cases), strict=True):
        wanted, got = expected(schedule, steps), np.asarray(values, dtype=float)
        # Below 1e-300 float64 runs out of exponents.
        apart, size = np.abs(got - wanted), np.abs(wanted).max()
        wrong = ~(apart <= TOLERANCE * size + 1e-300)
        for i in np.flatnonzero(wrong & (apart <= 1e-6 * size) & (steps % 1 != 0)):
            near = expected(schedule, steps[i] * (1 + np.array([-4, -2, -1, 1, 2, 4]) * 2.0**-52))
            slack = TOLERANCE * size
            wrong[i] = not min(near.min(), wanted[i]) - slack <= got[i] <= max(near.max(), wanted[i]) + slack
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            yield (
                f"{library}: {schedule!r} is {got[i]!r} instead of {wanted[i]!r} at {steps[i].item()!r} "
                f"and different at {wrong.sum()} of {steps.size} steps"
            )


def main() -> None:
    """Search and print each difference, and now and then how far it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("count", type=int, help="how many compositions")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--batch", type=int, default=20, help="how many are traced together")
    options = parser.parse_args()
    draws = random.Random(options.seed)
    begin, found, last = time.monotonic(), 0, 0.0
    for done in range(0, options.count, options.batch):
        schedules = [draws.choice((bounded, endless))(draws.choice, 4) for _ in range(options.batch)]
        cases = [(s, steps_for(options.library, s, draws.randrange(10**9))) for s in schedules]
        for difference in differences(options.library, cases):
            found += 1
            print(difference, flush=True)
        seconds = time.monotonic() - begin
        if seconds - last > 30 or done + options.batch >= options.count:
            last = seconds
            print(
                f"{options.library}, seed {options.seed}: {done + options.batch} compositions, "
                f"{found} differences, {seconds:.0f} s",
                flush=True,
            )
    raise SystemExit(found > 0)


if __name__ == "__main__":
    main()
