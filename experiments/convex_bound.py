"""Does the bound of convex optimisation order real runs? Horizon transfers, and two shapes of the decay.

Run `python -m experiments.convex_bound [folder]`: it takes seconds and writes convex_bound.json and .md there. It needs
the logs that `experiments/scheduling_logs.py` describes. One number is taken from them: the distance from which the
peak 1e-3 is best for a run of 50,000 steps with a decay over the last 20 %, the best peak of the grid.
"""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from experiments.scheduling_logs import Log, load
from lrsched.forecast import best_peaks, convex_bound

PEAK, STEPS, DECAY = 1e-3, 50_000, 0.2


def distance(runs: list[Log]) -> float:
    """Return the distance from which the peak of the tuned run is best."""
    rates = next(run.lr for run in runs if _is_wsd(run, "linear") and run.peak == PEAK and len(run.lr) == STEPS)
    (tuned,) = best_peaks([lambda step: rates[step]], STEPS)
    return 1.0 / tuned.factor


def _is_wsd(run: Log, curve: str) -> bool:
    return run.kind == "wsd" and run.decay == DECAY and run.curve == curve and run.group == "."


def pairs(runs: list[Log]) -> Iterator[tuple[str, Log, Log]]:
    """Yield the question and two runs of one model and one length."""
    moved = [run for run in runs if run.group == "horizon_transfer" and len(run.lr) > STEPS]
    for one, two in combinations(moved, 2):
        if one.model == two.model and len(one.lr) == len(two.lr):
            yield "horizon", one, two
    for one in (run for run in runs if _is_wsd(run, "sqrt")):
        for two in (run for run in runs if _is_wsd(run, "linear")):
            same = (one.model, one.peak, len(one.lr)) == (two.model, two.peak, len(two.lr))
            if same and one.resumed == two.resumed:
                yield "decay", one, two
                break


def called(run: Log) -> str:
    """Return what is particular about a run."""
    return run.kind if run.kind == "wsd_twostage" else f"wsd {run.decay:.0%} {run.curve}"


def main(folder: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run everything, write the results into `folder` and return them."""
    runs = load()
    far = distance(runs)
    rows: list[dict[str, Any]] = []
    for question, one, two in pairs(runs):
        bounds = [convex_bound(run.lr, len(run.lr), distance=far) for run in (one, two)]
        losses = [float(run.loss[-1]) for run in (one, two)]
        rows.append(
            {
                "question": question,
                "model": f"{one.model[0] / 1e6:.0f}M",
                "peak": one.peak,
                "steps": len(one.lr),
                "one": called(one),
                "two": called(two),
                "losses": losses,
                "bounds": bounds,
                "same": bool(np.sign(losses[0] - losses[1]) == np.sign(bounds[0] - bounds[1])),
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "convex_bound.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    lines = [
        "| model | peak | steps | one | two | losses | bounds / least | same order |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['model']} | {row['peak']:g} | {row['steps']:,} | {row['one']} | {row['two']} "
            f"| {row['losses'][0]:.4f} {row['losses'][1]:.4f} "
            f"| {row['bounds'][0] / min(row['bounds']):.3f} {row['bounds'][1] / min(row['bounds']):.3f} "
            f"| {'yes' if row['same'] else 'no'} |"
            for row in rows
        ),
    ]
    (folder / "convex_bound.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    say("\n".join(lines))
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
