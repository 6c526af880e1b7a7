"""How well do loss laws do on models they have not seen? One protocol, fixed before the tables were made.

A model is a pair (parameters, data). To judge on a model, everything is learned from the others, and the 124M and 208M
models that were trained on a part of SlimPajama are left out together with those that were trained on all of it. Laws
of the other models (each fitted to at most 24 of its runs, from loose beliefs) teach a prior, and their own forecasts
the width of the intervals. Every model counts the same, however many runs it has.

* prefix: the final loss of each cosine or decaying run from its first half and first three quarters.
* whole: the final loss of each such run from two other runs of its model, the shortest two (cosine and WSD where there
  are both), with nothing seen of the run itself.
* choice: the 124M model. From six runs of 25,000 steps, the same three decay lengths at two peaks, every such six in
  turn: which of the 24 runs of 50,000 steps (four peaks, six decay lengths) ends lowest? And which of the 24 of
  25,000 steps? Regret is the loss of the choice over that of the best.
* old: the 15 forecasts of forecast_laws.py, from 20, 35, 50, 75 and 90 %, with the prior that all ten models teach.

Run `python -m experiments.forecast_models [folder]`: minutes. What is done stands in forecast_models.jsonl in the
folder and is not done again; the tables are forecast_models.md.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from experiments.forecast_curves import load as load_curves
from experiments.forecast_laws import FRACTIONS as OLD_FRACTIONS
from experiments.forecast_laws import PLANNED
from experiments.scheduling_logs import Log, Model, finished, load
from lrsched.forecast import (
    AnnealingLaw,
    FunctionalLaw,
    MisfitWarning,
    MultiPowerLaw,
    Prior,
    UnidentifiedWarning,
    fit_prior,
    forecast,
)
from lrsched.forecast._forecast import look, spread_of
from lrsched.forecast._path import FINE, rates

LAWS: dict[str, Any] = {law.__name__: law for law in (FunctionalLaw, MultiPowerLaw, AnnealingLaw)}
# What is believed where laws are fitted to teach.
LOOSE: dict[str, Prior | None] = {
    "FunctionalLaw": Prior(
        (1.0, 0.04, 0.5, 7.0, 0.4, 0.3, 0.6), spread=(10.0, 1.0, 0.5, 1.5, 2.0, 0.7, 1.0), rate=1e-3
    ),
    "MultiPowerLaw": None,
    "AnnealingLaw": None,
}
LEAST = 0.1
TAUGHT, POINTS = 24, 60
FRACTIONS = (0.5, 0.75)
GRID = (123587328, "slimpajama")
DRAWS = 2000
Curve = tuple[Any, Any, Any]
Row = dict[str, Any]


def name_of(model: Model) -> str:
    """Return a short name, `124M slimpajama`."""
    return f"{model[0] / 1e6:.0f}M {model[1]}"


def others(model: Model, models: Sequence[Model]) -> list[Model]:
    """Return the models that may teach where this one is judged."""
    data = model[1].removesuffix("_chunk1")
    return [other for other in models if (other[0], other[1].removesuffix("_chunk1")) != (model[0], data)]


def curve(run: Log, until: float = np.inf) -> Curve:
    """Return what a law is fitted to: some sixty points of a run up to a step."""
    there = np.flatnonzero((run.steps > 0) & (run.steps <= until))
    some = there[np.unique(np.linspace(0, there.size - 1, POINTS).round().astype(int))]
    return run.lr, run.steps[some], run.loss[some]


def ends(run: Log) -> bool:
    """Return whether a run is one of those judged: a cosine, or a decay to 0."""
    return run.kind == "cos" or run.decay > 0


class Study:
    """The runs, and what has been learned from them."""

    def __init__(self, runs: list[Log]) -> None:
        self.runs = finished(runs)
        self.models = sorted({run.model for run in self.runs})

    def of(self, model: Model) -> list[Log]:
        """Return the finished runs of a model."""
        return [run for run in self.runs if run.model == model]

    @cache  # noqa: B019
    def law(self, law: str, model: Model) -> Any:
        """Return the law of a model, from loose beliefs."""
        runs = self.of(model)
        return LAWS[law].fit([curve(run) for run in runs[:: -(-len(runs) // TAUGHT)]], LOOSE[law])

    @cache  # noqa: B019
    def prior(self, law: str, model: Model | None = None) -> Prior:
        """Return the prior for a model, or that of all models."""
        taught = self.models if model is None else others(model, self.models)
        return fit_prior([self.law(law, other) for other in taught], least=LEAST)

    def prefix(self, law: str, fraction: float) -> Iterator[Callable[[], Row]]:
        """Yield how each final loss is forecast from a part of the run."""
        for run in filter(ends, self.runs):

            def row(run: Log = run) -> Row:
                fitted = LAWS[law].fit([curve(run, fraction * run.lr.size)], self.prior(law, run.model))
                return said(fitted, run, int(run.steps[run.steps <= fraction * run.lr.size][-1]))

            yield row

    def whole(self, law: str) -> Iterator[Callable[[], Row]]:
        """Yield how each final loss is forecast from two other runs."""
        for model in self.models:
            runs = sorted(filter(ends, self.of(model)), key=lambda run: (run.lr.size, run.name))
            cosine = [run for run in runs if run.kind == "cos"]
            rest = [run for run in runs if run.kind != "cos"]
            two = [cosine[0], rest[0]] if cosine and rest else runs[:2]
            for run in (run for run in runs if run not in two):

                def row(run: Log = run, two: list[Log] = two, model: Model = model) -> Row:
                    fitted = LAWS[law].fit([curve(each) for each in two], self.prior(law, model))
                    return said(fitted, run, None)

                yield row

    def choice(self, law: str) -> Iterator[Callable[[], Row]]:
        """Yield what is chosen from each six runs."""
        grid = {
            (run.peak, run.decay, run.lr.size): run
            for run in self.of(GRID)
            if run.kind == "wsd" and run.decay > 0 and run.curve == "linear" and run.group == "."
        }
        peaks = sorted({peak for peak, _, steps in grid if steps == 25_000})
        decays = sorted({decay for _, decay, steps in grid if steps == 25_000})
        for pair in combinations(peaks, 2):
            for three in combinations(decays, 3):

                def row(pair: tuple[float, ...] = pair, three: tuple[float, ...] = three) -> Row:
                    six = [grid[peak, decay, 25_000] for peak in pair for decay in three]
                    fitted = LAWS[law].fit([curve(run) for run in six], self.prior(law, GRID))
                    found: Row = {"model": name_of(GRID), "run": f"{pair} {three}"}
                    for steps in (25_000, 50_000):
                        candidates = [run for key, run in grid.items() if key[2] == steps]
                        losses = [float(run.loss[-1]) for run in candidates]
                        chosen = int(np.argmin([said(fitted, run, None)["mean"] for run in candidates]))
                        found[f"chosen {steps}"] = f"{candidates[chosen].peak:g} {candidates[chosen].decay:g}"
                        found[f"regret {steps}"] = losses[chosen] - min(losses)
                    return found

                yield row

    def old(self, law: str, fraction: float) -> Iterator[Callable[[], Row]]:
        """Yield the forecasts of the curves that came with the multi-power law, with the prior of all models."""
        for (size, name), run in load_curves().items():
            if name not in PLANNED:
                continue

            def row(size: int = size, name: str = name, run: Any = run) -> Row:
                known = run.steps <= fraction * len(run.lr)
                fitted = LAWS[law].fit([(run.lr, run.steps[known], run.loss[known])], self.prior(law))
                log = self.runs[0]._replace(
                    name=f"{size}M {name}", model=(size * 10**6, "old"), lr=run.lr, steps=run.steps, loss=run.loss
                )
                return said(fitted, log, int(run.steps[known][-1]))

            yield row


def said(law: Any, run: Log, seen: int | None) -> Row:
    """Return what a law says of the last loss of a run, and what it was."""
    last = int(run.steps[-1])
    (then,) = look(law, law._see(rates("lr", run.lr, last).over(law.peak), np.array([last]), FINE))
    mean, lo, hi = forecast(law, run.lr, last, seen=seen)
    truth = float(run.loss[-1])
    return {
        "model": name_of(run.model),
        "run": run.name,
        "mean": mean,
        "truth": truth,
        "spread": spread_of(law, then.slope),
        "inside": lo <= truth <= hi,
        "seen": seen,
    }


def by_model(rows: Sequence[Row], value: Callable[[Row], float]) -> dict[str, float]:
    """Return the mean of a value over the rows of each model."""
    models = sorted({row["model"] for row in rows}, key=lambda name: (name.partition(" ")[2], name))
    return {model: float(np.mean([value(row) for row in rows if row["model"] == model])) for model in models}


def error(row: Row) -> float:
    """Return the absolute error of a forecast."""
    return abs(row["mean"] - row["truth"])


def covers(rows: Sequence[Row], trust: float, least: float) -> Callable[[Row], float]:
    """Return whether an interval of 80 % with these margins holds the truth."""
    reach = NormalDist().inv_cdf(0.9)
    return lambda row: float(error(row) <= reach * np.hypot(trust * row["spread"], least * row["mean"]))


def trust_of(rows: Sequence[Row], least: float) -> float:
    """Return the trust with which the intervals hold 80 % of the truths, every model counting the same."""
    grid = np.arange(0.1, 6.0, 0.05)
    found = [np.mean(list(by_model(rows, covers(rows, trust, least)).values())) for trust in grid]
    return float(grid[int(np.argmin(np.abs(np.array(found) - 0.8)))])


def judged(rows: Sequence[Row], models: Sequence[Model], least: float) -> dict[str, float]:
    """Return the coverage for each model with the trust that the others teach."""
    found = {}
    for model in models:
        name, teachers = name_of(model), {name_of(other) for other in others(model, models)}
        trust = trust_of([row for row in rows if row["model"] in teachers], least)
        own = [row for row in rows if row["model"] == name]
        if own:
            found[name] = by_model(own, covers(own, trust, least))[name]
    return found


def spans(values: dict[str, float]) -> str:
    """Return a mean over models and its 90 % interval, by the bootstrap over models."""
    numbers = np.array(list(values.values()))
    draws = np.random.default_rng(0).choice(numbers, (DRAWS, numbers.size)).mean(axis=1)
    low, high = np.quantile(draws, (0.05, 0.95))
    return f"{numbers.mean():.4f} ({low:.4f} to {high:.4f})"


def report(done: dict[str, list[Row]], models: Sequence[Model]) -> str:
    """Return the tables as Markdown."""
    lines = ["# Loss laws on models they have not seen", ""]
    for what in ("prefix 0.5", "prefix 0.75", "whole"):
        tables = {law: done[f"{what} {law}"] for law in LAWS if f"{what} {law}" in done}
        lines += [f"## {what}", "", "Mean over models, and its 90 % interval by the bootstrap over models.", ""]
        lines += ["| law | mean error | largest | bias | in its 80 % interval | trust learned from other models |"]
        lines += ["|---|---|---|---|---|---|"]
        for law, rows in tables.items():
            least = LAWS[law].margin.least if what != "whole" else LAWS[law].margin.fresh
            bias = by_model(rows, lambda row: row["mean"] - row["truth"])
            lines.append(
                f"| {law} | {spans(by_model(rows, error))} | {max(map(error, rows)):.3f} "
                f"| {np.mean(list(bias.values())):+.4f} | {spans(by_model(rows, lambda row: row['inside']))} "
                f"| {spans(judged(rows, models, least))}, all {trust_of(rows, least):.2f} |"
            )
        lines += ["", f"| model | runs | {' | '.join(f'{law}, bias, in 80 %' for law in tables)} |"]
        lines += [f"|---|---|{'---|' * len(tables)}"]
        first = next(iter(tables.values()))
        for model in by_model(first, error):
            cells = []
            for rows in tables.values():
                own = [row for row in rows if row["model"] == model]
                bias = np.mean([row["mean"] - row["truth"] for row in own])
                inside = np.mean([row["inside"] for row in own])
                cells.append(f"{np.mean([error(row) for row in own]):.4f}, {bias:+.4f}, {inside:.0%}")
            count = sum(row["model"] == model for row in first)
            lines.append(f"| {model} | {count} | {' | '.join(cells)} |")
        lines.append("")
    lines += ["## choice", "", "| law | horizon | sixes | mean regret | worst | right |", "|---|---|---|---|---|---|"]
    for law in LAWS:
        rows = done.get(f"choice {law}", [])
        for steps in (25_000, 50_000) if rows else ():
            regret = np.array([row[f"regret {steps}"] for row in rows])
            lines.append(
                f"| {law} | {steps} | {len(rows)} | {regret.mean():.4f} | {regret.max():.4f} "
                f"| {np.mean(regret == 0):.0%} |"
            )
    lines += ["", "## old", "", "| law | observed | mean error | largest | bias | in its 80 % interval |"]
    lines += ["|---|---|---|---|---|---|"]
    for law in LAWS:
        for fraction in OLD_FRACTIONS:
            rows = done.get(f"old {fraction} {law}", [])
            if rows:
                bias = np.mean([row["mean"] - row["truth"] for row in rows])
                lines.append(
                    f"| {law} | {fraction:.0%} | {np.mean(list(map(error, rows))):.4f} | {max(map(error, rows)):.3f} "
                    f"| {bias:+.4f} | {np.mean([row['inside'] for row in rows]):.0%} |"
                )
    return "\n".join(lines) + "\n"


def main(folder: Path, only: Sequence[str] = (), say: Callable[[str], None] = print) -> dict[str, list[Row]]:
    """Do what is not done yet, write the results into `folder` and return them."""
    warnings.simplefilter("ignore", UnidentifiedWarning)  # a prefix at constant rate must lean on its prior
    warnings.simplefilter("ignore", MisfitWarning)
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "forecast_models.jsonl"
    known: dict[str, dict[str, Row]] = {}
    for line in store.read_text().splitlines() if store.exists() else ():
        entry = json.loads(line)
        known.setdefault(entry["part"], {})[str(entry["number"])] = entry["row"]
    study = Study(load())
    say(f"{len(study.runs)} finished runs of {len(study.models)} models")
    parts: dict[str, Iterator[Callable[[], Row]]] = {}
    for law in LAWS:
        parts |= {f"prefix {fraction} {law}": study.prefix(law, fraction) for fraction in FRACTIONS}
        parts[f"whole {law}"] = study.whole(law)
        parts |= {f"old {fraction} {law}": study.old(law, fraction) for fraction in OLD_FRACTIONS}
        parts[f"choice {law}"] = study.choice(law)
    done: dict[str, list[Row]] = {}
    with store.open("a") as file:
        for part, jobs in parts.items():
            if only and not any(word in part for word in only):
                continue
            before, rows = known.get(part, {}), []
            for number, job in enumerate(jobs):
                row = before.get(str(number))
                if row is None:
                    row = job()
                    file.write(json.dumps({"part": part, "number": number, "row": row}) + "\n")
                    file.flush()
                rows.append(row)
            done[part] = rows
            say(f"{part}: {len(rows)} done")
    text = report(done, study.models) if not only else ""
    if text:
        (folder / "forecast_models.md").write_text(text)
        say(text)
    return done


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"), sys.argv[2:])
