"""Loss curves of language models (25M, 100M, 400M parameters) under nine schedules, published with the multi-power law.

The files are not part of this project. Put the folder `loss-curves` (with `csv_25`, `csv_100`, `csv_400` and
`published_metrics.csv`) below the folder that LRSCHED_DATA names, or below `../shared/data`; the curves are those of
github.com/thu-yao-01-luo/MultiPowerLaw (MIT).
"""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsched import Constant, Cosine, Geometric, Linear, Schedule, Warmup
from lrsched.forecast import MultiPowerLaw

PEAK, END, WARMUP = 3e-4, 3e-5, 2160
SIZES = (25, 100, 400)
TRAIN = ("cosine_24000", "constant_24000", "wsdcon_9")
TEST = ("constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000", "wsdcon_3", "wsdcon_18")
HELP = (
    "the loss curves are missing: set LRSCHED_DATA to a folder with loss-curves/ (see experiments/forecast_curves.py)"
)

# l0, a, alpha, b, c, beta, gamma as the authors published them, for rates as they are (peak 1).
PUBLISHED = {
    25: (3.0404540607184405, 0.524686039368193, 0.5078685704877554, 363.7875162170278, 2.0656081241337327,
         0.5827901296148124, 0.6414225733502996),
    100: (2.6514477024161742, 0.6011515230827974, 0.4529581100522778, 437.94642760340304, 2.132456121480403,
          0.5978519925072291, 0.6552364418199805),
    400: (2.374744659170942, 0.6542121550244083, 0.42878731201783993, 523.4246437117536, 2.0246273548931515,
          0.5935049336845727, 0.6347245666876161),
}  # fmt: skip


class Run(NamedTuple):
    """A training run: the rate of every step and the losses observed."""

    lr: NDArray[np.float64]
    steps: NDArray[np.int64]
    loss: NDArray[np.float64]


def folder() -> Path | None:
    """Return the folder of the curves, or None if it is missing."""
    root = Path(os.environ.get("LRSCHED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return root / "loss-curves" if (root / "loss-curves").is_dir() else None


def schedule(name: str) -> tuple[Schedule, int]:
    """Return the schedule of a curve and the number of its steps; the warm-up is at the peak one step early."""
    kind, *numbers = name.split("_")
    first = int(numbers[0])
    warm = Warmup(WARMUP - 1) >> Constant(PEAK, steps=1)
    if kind == "wsdcon":
        return warm >> Constant(PEAK, steps=8000 - WARMUP) >> Constant(first * 1e-5), 16_000
    if kind == "cosine":
        return warm >> Cosine(PEAK, END, steps=first - WARMUP), first
    if kind == "constant":
        return warm >> Constant(PEAK), first
    last = int(numbers[1])
    decay = {"wsd": Geometric, "wsdld": Linear}[kind](PEAK, END, steps=last - first)
    return warm >> Constant(PEAK, steps=first - WARMUP) >> decay, last


def load() -> dict[tuple[int, str], Run]:
    """Return all 27 runs under (size, name).

    Raises:
        FileNotFoundError: the files are missing; the message says how to get them.
    """
    root = folder()
    if root is None:
        raise FileNotFoundError(HELP)
    runs = {}
    for size in SIZES:
        for name in TRAIN + TEST:
            step, lr, loss = np.loadtxt(root / f"csv_{size}" / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
            curve, steps = schedule(name)
            run = Run(curve(np.arange(steps)), step.astype(np.int64), loss)
            np.testing.assert_allclose(run.lr[run.steps], lr, rtol=0, atol=1e-12)
            runs[size, name] = run
    return runs


def published_metrics() -> list[dict[str, str]]:
    """Return the rows of the authors' own evaluation."""
    root = folder()
    if root is None:
        raise FileNotFoundError(HELP)
    with (root / "published_metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def published(size: int) -> MultiPowerLaw:
    """Return the law that the authors fitted."""
    return MultiPowerLaw(*PUBLISHED[size])


def metrics(seen: NDArray[np.float64], said: NDArray[np.float64]) -> dict[str, float]:
    """Return the authors' measures of a prediction."""
    error = np.abs(seen - said)
    return {
        "r2": 1 - float(error @ error) / float(np.sum((seen - seen.mean()) ** 2)),
        "mae": float(error.mean()),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "prede": float((error / seen).mean()),
        "worste": float((error / seen).max()),
    }
