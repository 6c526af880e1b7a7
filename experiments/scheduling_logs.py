"""Logs of 202 training runs of language models: ten models, peaks from 1e-4 to 5e-3, cosine and decays of many lengths.

The files are not part of this project. Put the folder `lr-scheduling` (`index.csv` and a CSV of `step,lr,loss` for each
run) below the folder that LRSCHED_DATA names, or below `../shared/data`; the runs are those of
github.com/fabian-sp/lr-scheduling (Schaipp et al., ICML 2025, arXiv 2501.18965, MIT). The logs hold the validation loss
every 200 or 400 steps; the rate of every step is computed here, and held against the logged ones.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.forecast_curves import folder

EVERY = 200
# A loss so far above the lowest of the run has diverged.
DIVERGED = 0.1
HELP = "the logs are missing: set LRSCHED_DATA to a folder with lr-scheduling/ (see experiments/scheduling_logs.py)"

# Parameters, and the data that they were trained on.
Model = tuple[int, str]


class Log(NamedTuple):
    """A training run: the rate of every step and the losses observed, those of the run it left included."""

    name: str
    model: Model
    kind: str  # wsd, cos, wsd_twostage
    peak: float
    decay: float  # part of the run that its last decay takes; 0 for cosine and constant runs
    curve: str  # of that decay: linear, sqrt
    group: str
    hold: int  # the first step that a run of this rate up to here need not share
    resumed: int  # the step at which it left another run
    lr: NDArray[np.float64]
    steps: NDArray[np.int64]
    loss: NDArray[np.float64]


def logs() -> Path | None:
    """Return the folder of the logs, or None if it is missing."""
    beside = folder()
    return beside.parent / "lr-scheduling" if beside and (beside.parent / "lr-scheduling").is_dir() else None


def rates(row: dict[str, str]) -> NDArray[np.float64]:
    """Return the rate of every step of a run."""
    steps, warmup = int(row["steps"]), int(row["warmup"])
    peak, floor = float(row["peak"]), float(row["floor"])
    at = np.arange(steps, dtype=np.float64)
    if row["schedule"] == "cos":
        rise, fall = at / (warmup - 1), (at - (warmup - 1)) / (steps - warmup)
        low, high, z = (
            np.where(rise <= 1, peak / 100, peak),
            np.where(rise <= 1, peak, floor),
            np.minimum(rise, 1) * (rise <= 1) + fall * (rise > 1),
        )
        return low + (high - low) * (1 - np.cos(np.pi * z)) / 2
    hold = steps - int(float(row["decay_fraction"]) * steps)
    z = np.clip((at - hold) / max(steps - hold, 1), 0.0, 1.0)
    level = np.ones(steps)
    if row["schedule"] == "wsd_twostage":
        begin, over, factor = stages(row["twostage"])
        level += (factor - 1) * np.clip((at - begin) / over, 0.0, 1.0)
    fall = 1 - (np.sqrt(z) if row["decay_type"] == "sqrt" else z)
    rise = at / warmup + (1 - at / warmup) / 100
    return peak * np.where(at < warmup, rise, level * fall)


def stages(text: str) -> tuple[int, int, float]:
    """Return when the second stage of a run begins, over how many steps, and its level: `40000+1000->0.5`."""
    begin, rest = text.split("+")
    over, factor = rest.split("->")
    return int(begin), int(over), float(factor)


def load() -> list[Log]:
    """Return all runs, each branch joined to the run it left.

    Raises:
        FileNotFoundError: the files are missing; the message says how to get them.
        ValueError: the logged rates are not those that the index describes, or the run that a branch left is not there.
    """
    root = logs()
    if root is None:
        raise FileNotFoundError(HELP)
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    parts = {row["run"]: _read(root, row) for row in rows}
    whole: dict[str, Log] = {}
    # Branches of branches come after what they left.
    for row in sorted(rows, key=lambda row: parts[row["run"]].resumed):
        run = parts[row["run"]]
        if run.resumed:
            left = _left(run, row, [(other, whole[other["run"]]) for other in rows if other["run"] in whole])
            before = left.steps < run.resumed
            steps, loss = ((left[i][before], run[i]) for i in (-2, -1))
            run = run._replace(steps=np.concatenate(steps), loss=np.concatenate(loss))
        if run.steps[0] or (np.diff(run.steps) > 2 * EVERY).any():
            raise ValueError(f"{run.name}: the losses between {run.steps[0]} and {run.steps[-1]} are not all there")
        whole[run.name] = run
    return [whole[row["run"]] for row in rows]


def _read(root: Path, row: dict[str, str]) -> Log:
    step, lr, loss = np.loadtxt(root / f"{row['run']}.csv", delimiter=",", skiprows=1, unpack=True, ndmin=2)
    # A run that was started again logged some steps twice: the last loss is that of the run that went on.
    steps, last = np.unique(step[::-1].astype(np.int64), return_index=True)
    lr, loss = lr[::-1][last], loss[::-1][last]
    every = rates(row)
    np.testing.assert_allclose(every[steps], lr, rtol=1e-7, atol=1e-14, err_msg=row["run"])
    decay, length = float(row["decay_fraction"]), int(row["steps"])
    hold = length - int(decay * length) if row["schedule"] != "cos" else 0
    return Log(
        row["run"],
        (int(row["parameters"]), row["dataset"]),
        row["schedule"],
        float(row["peak"]),
        decay,
        row["decay_type"],
        row["group"],
        stages(row["twostage"])[0] if row["twostage"] else hold,
        int(row["resumed_at"] or 0),
        every,
        steps,
        loss,
    )


def _left(run: Log, row: dict[str, str], others: list[tuple[dict[str, str], Log]]) -> Log:
    """Return the run whose rates and losses a branch shares up to where it begins."""
    same = ("warmup", "tokens_per_step")
    found = [
        (other["group"] != row["group"], log.resumed, log.decay > 0, log)
        for other, log in others
        if (log.model, log.peak) == (run.model, run.peak)
        and all(other[key] == row[key] for key in same)
        and log.resumed < run.resumed <= min(log.hold, int(log.steps[-1]) + EVERY)
    ]
    if not found:
        raise ValueError(f"{run.name}: the run that it left at step {run.resumed} is missing")
    return min(found, key=lambda each: each[:3])[-1]


def finished(runs: list[Log]) -> list[Log]:
    """Return the runs that did not diverge."""
    return [run for run in runs if run.loss[-1] < run.loss.min() + DIVERGED]
