"""How well the loss laws do on language models: held-out schedules, forecasts from a prefix, decisions at a branch.

Run `python -m experiments.forecast_laws [folder]`: it takes a minute and writes forecast_laws.json and .md there.
Priors for a model come from the laws of the other two sizes only. The constants of the intervals and the default prior
are round numbers chosen on these very curves: read the coverage as a calibration, not as a test.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.forecast_curves import PEAK, SIZES, TEST, TRAIN, Run, load, metrics
from lrsched.forecast import AnnealingLaw, MultiPowerLaw, Prior, UnidentifiedWarning, fit_prior, forecast, predict

Runs = dict[tuple[int, str], Run]
PLANNED = ("cosine_24000", "constant_72000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000")
FRACTIONS = (0.2, 0.35, 0.5, 0.75, 0.9)
BRANCH = 8000
BRANCHES = {"constant_72000": 3e-4, "wsdcon_18": 1.8e-4, "wsdcon_9": 9e-5, "wsdcon_3": 3e-5}
AHEAD = (500, 1000, 2000, 4000, 7900)


def held_out(runs: Runs, law: type[Any], size: int) -> dict[str, float]:
    """Fit three curves of one model, return the mean measures on the six others."""
    fitted = law.fit([runs[size, name] for name in TRAIN])
    rows = [metrics(run.loss, predict(fitted, run.lr, run.steps)) for run in (runs[size, name] for name in TEST)]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def other_sizes(runs: Runs, law: type[Any] = MultiPowerLaw) -> dict[int, Prior]:
    """Return, for each size, the prior that the other two teach."""
    laws = {size: law.fit([runs[size, name] for name in TRAIN]) for size in SIZES}
    return {size: fit_prior([laws[other] for other in SIZES if other != size]) for size in SIZES}


def from_prefix(runs: Runs, law: type[Any], priors: dict[int, Prior | None]) -> Iterator[dict[str, float]]:
    """Yield, for each fraction observed, the error of the forecast final loss and the coverage of its interval."""
    for fraction in FRACTIONS:
        errors, inside = [], []
        for run, prior in ((runs[size, name], priors[size]) for size in SIZES for name in PLANNED):
            known = run.steps <= fraction * len(run.lr)
            fitted = law.fit([(run.lr, run.steps[known], run.loss[known])], prior)
            said = forecast(fitted, run.lr, int(run.steps[-1]), seen=int(run.steps[known][-1]))
            errors.append(said.mean - run.loss[-1])
            inside.append(said.lo <= run.loss[-1] <= said.hi)
        size = np.abs(errors)
        yield {
            "fraction": fraction,
            "error": float(size.mean()),
            "largest": float(size.max()),
            "bias": float(np.mean(errors)),
            "coverage": float(np.mean(inside)),
        }


def branches(runs: Runs, priors: dict[int, Prior]) -> Iterator[dict[str, Any]]:
    """Yield 15 decisions: which rate is best from step 8000 on, if the run ends some steps later."""
    for size in SIZES:
        own = runs[size, "constant_72000"]
        known = own.steps <= BRANCH
        law = MultiPowerLaw.fit([(own.lr, own.steps[known], own.loss[known])], priors[size])
        for ahead in AHEAD:
            seen, said = [], []
            for name, rate in BRANCHES.items():
                run = runs[size, name]
                at = int(run.steps[run.steps <= BRANCH + ahead][-1])
                lr = np.concatenate((own.lr[:BRANCH], np.full(at + 1 - BRANCH, rate)))
                seen.append(float(run.loss[run.steps == at][0]))
                said.append(float(predict(law, lr, [at])[0]))
            choice = int(np.argmin(said))
            yield {
                "size": size,
                "ahead": ahead,
                "choice": list(BRANCHES.values())[choice],
                "best": list(BRANCHES.values())[int(np.argmin(seen))],
                "regret": seen[choice] - min(seen),
                "error": float(np.mean(np.abs(np.subtract(said, seen)))),
                "advantage_error": float(
                    np.mean(np.abs((np.subtract(said, said[0]) - np.subtract(seen, seen[0]))[1:]))
                ),
            }


def report(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = ["# Loss laws on language models", "", "## Six held-out schedules, fitted on three", ""]
    lines += ["| law | size | R2 | MAE | RMSE | PredE | WorstE |", "|---|---|---|---|---|---|---|"]
    for row in results["held_out"]:
        lines.append(f"| {row['law']} | {row['size']}M | " + " | ".join(f"{row[k]:.5f}" for k in list(row)[2:]) + " |")
    lines += ["", "## Final loss from a prefix (5 schedules, 3 sizes)", ""]
    lines += ["| law, prior | observed | mean error | largest | bias | coverage of 80 % |", "|---|---|---|---|---|---|"]
    for key, rows in results["from_prefix"].items():
        for row in rows:
            lines.append(
                f"| {key} | {row['fraction']:.0%} | {row['error']:.4f} | {row['largest']:.3f} | {row['bias']:+.4f} "
                f"| {row['coverage']:.0%} |"
            )
    rows = results["branches"]
    lines += ["", "## Which rate from step 8000 on?", ""]
    lines += [f"Mean regret {np.mean([row['regret'] for row in rows]):.5f}, "
              f"right {sum(row['choice'] == row['best'] for row in rows)} of {len(rows)}, "
              f"error {np.mean([row['error'] for row in rows]):.4f}, "
              f"error of differences {np.mean([row['advantage_error'] for row in rows]):.4f}.", ""]  # fmt: skip
    lines += ["| size | steps ahead | choice | best | regret |", "|---|---|---|---|---|"]
    lines += [f"| {r['size']}M | {r['ahead']} | {r['choice']:g} | {r['best']:g} | {r['regret']:.4f} |" for r in rows]
    return "\n".join(lines) + "\n"


def main(folder: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Run everything, write the results into `folder` and return them."""
    warnings.simplefilter("ignore", UnidentifiedWarning)  # a prefix at constant rate must lean on its prior
    runs = load()
    say(f"27 curves, peak {PEAK:g}")
    laws = {"MultiPowerLaw": MultiPowerLaw, "AnnealingLaw": AnnealingLaw}
    results: dict[str, Any] = {
        "held_out": [
            {"law": name, "size": size, **held_out(runs, law, size)} for name, law in laws.items() for size in SIZES
        ]
    }
    say("held-out schedules done")
    priors = other_sizes(runs)
    results["from_prefix"] = {
        "MultiPowerLaw, other sizes": list(from_prefix(runs, MultiPowerLaw, dict(priors))),
        "MultiPowerLaw, default": list(from_prefix(runs, MultiPowerLaw, dict.fromkeys(SIZES))),
        "AnnealingLaw, default": list(from_prefix(runs, AnnealingLaw, dict.fromkeys(SIZES))),
    }
    say("forecasts done")
    results["branches"] = list(branches(runs, priors))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "forecast_laws.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "forecast_laws.md").write_text(report(results))
    say(report(results))
    return results


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
