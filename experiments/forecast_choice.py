"""Would another fit of the multi-power law predict better? Chosen on the training curves alone, then judged.

Each choice of the constants of the fit is scored on the three curves that a law is fitted to, never on the others:
each curve predicted from the other two, and the part after step 12,000 of each from the part before it. The score is
the sum of the two mean largest errors over the three sizes. The choice with the lowest score meets the present
constants on the six held-out curves, once. Run `python -m experiments.forecast_choice [folder]`: it takes about a
minute and writes forecast_choice.json and .md there.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from experiments.forecast_curves import SIZES, TEST, TRAIN, Run, load, metrics
from lrsched.forecast import MultiPowerLaw, Prior, UnidentifiedWarning, _law, _solve, predict

SEEN = 12_000
Runs = dict[tuple[int, str], Run]


class Choice(NamedTuple):
    """Constants of the fit; the defaults are those in use."""

    discrepancy: float = _law.DISCREPANCY
    independent: int = _law.INDEPENDENT
    huber: float = _solve.HUBER
    tightness: float = 1.0  # of the prior: divides its spreads, but for those that are free


GRID = [
    Choice(*each) for each in product((0.001, 0.002, 0.004), (10, 30, 100), (1.345, 2.0, 4.0), (0.5, 1.0, 2.0, 3.0))
]


def fitted(curves: Sequence[Run], choice: Choice) -> MultiPowerLaw:
    """Return the law of some curves under other constants."""
    prior = MultiPowerLaw.prior
    tight = Prior(
        prior.centre,
        spread=(*prior.spread[:2], *(each / choice.tightness for each in prior.spread[2:])),
        reference=prior.reference,
    )
    with ExitStack() as stack:
        stack.enter_context(patch.object(_law, "DISCREPANCY", choice.discrepancy))
        stack.enter_context(patch.object(_law, "INDEPENDENT", choice.independent))
        stack.enter_context(patch.object(_solve, "HUBER", choice.huber))
        return MultiPowerLaw.fit(list(curves), tight)


def worst(law: MultiPowerLaw, run: Run, part: NDArray[np.bool_]) -> float:
    """Return the largest relative error over a part of the points."""
    said = predict(law, run.lr, run.steps[part])
    return float(np.max(np.abs(said / run.loss[part] - 1)))


def errors(runs: Runs, choice: Choice) -> Iterator[tuple[float, float]]:
    """Yield, for each training curve, its largest error from the other curves, and from the curves before `SEEN`."""
    for size in SIZES:
        own = [runs[size, name] for name in TRAIN]
        early = fitted([Run(run.lr, run.steps[k], run.loss[k]) for run in own for k in [run.steps <= SEEN]], choice)
        for i, run in enumerate(own):
            others = fitted([*own[:i], *own[i + 1 :]], choice)
            yield worst(others, run, run.steps >= 0), worst(early, run, run.steps > SEEN)


def held_out(runs: Runs, choice: Choice, size: int) -> dict[str, float]:
    """Return the mean measures on the six held-out curves of a size."""
    law = fitted([runs[size, name] for name in TRAIN], choice)
    rows = [metrics(run.loss, predict(law, run.lr, run.steps)) for run in (runs[size, name] for name in TEST)]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def apart(runs: Runs, size: int) -> float:
    """Return the largest relative difference of the two constant runs, whose rates are the same."""
    short, long = runs[size, "constant_24000"], runs[size, "constant_72000"]
    steps, i, j = np.intersect1d(short.steps, long.steps, return_indices=True)
    return float(np.max(np.abs(short.loss[i] / long.loss[j] - 1))) if steps.size else 0.0


def report(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["# Would another fit predict better?", ""]
    lines += [
        "| constants | curve from curve | later from earlier | size | R2 | MAE | WorstE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ("in use", "chosen"):
        row = results[name]
        for size, found in row["held_out"].items():
            values = " | ".join(f"{found[key]:.4f}" for key in ("r2", "mae", "worste"))
            lines.append(f"| {name} | {row['curve']:.4f} | {row['later']:.4f} | {size}M | {values} |")
    chosen = ", ".join(f"{key} {number:g}" for key, number in results["chosen"]["choice"].items())
    apart_by = ", ".join(f"{number:.4f} ({size}M)" for size, number in results["apart"].items())
    lines += ["", f"Chosen of {len(GRID)}: {chosen}.", "", f"Two runs of the same rates differ by up to {apart_by}."]
    return "\n".join(lines) + "\n"


def main(folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Run everything, write the results into `folder` and return them."""
    warnings.simplefilter("ignore", UnidentifiedWarning)
    runs = load()
    scores = {}
    for i, choice in enumerate(GRID):
        scores[choice] = np.mean(list(errors(runs, choice)), axis=0)
        say(f"{i + 1} of {len(GRID)}: {choice} {scores[choice]}")
    best = min(GRID, key=lambda choice: float(scores[choice].sum()))
    results: dict[str, Any] = {"apart": {size: apart(runs, size) for size in SIZES}}
    for name, choice in (("in use", Choice()), ("chosen", best)):
        curve, later = scores[choice].tolist()
        judged = {size: held_out(runs, choice, size) for size in SIZES}
        results[name] = {"choice": choice._asdict(), "curve": curve, "later": later, "held_out": judged}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "forecast_choice.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "forecast_choice.md").write_text(report(results))
    say(report(results))
    return results


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
