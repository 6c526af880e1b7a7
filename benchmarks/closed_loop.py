"""One observation of the closed-loop rules, and one update and one re-plan of the return model."""

import math
import statistics
import time

from benchmarks._rows import Row
from lrsched import feedback
from lrsched.forecast import ReturnModel

UPDATE_MS, PLAN_MS = 0.020, 50.0
STEPS = 4_000
RULES = (
    feedback.Plateau(),
    feedback.Plateau(dialect="torch"),
    feedback.EarlyStopping(),
    feedback.GreedyLR(),
    feedback.GreedyLR(window=50),
    feedback.NewBob(),
)


def _loss(step: int) -> float:
    return 3.0 + 0.5 * (step + 10) ** -0.5 + 1e-3 * math.sin(step)


def _rule(rule: feedback.Feedback) -> Row:
    state = rule.init()
    begin = time.perf_counter()
    for step in range(STEPS):
        state, _ = rule.update(state, _loss(step))
    with_rule = (time.perf_counter() - begin) / STEPS
    begin = time.perf_counter()
    for step in range(STEPS):
        _loss(step)
    alone = (time.perf_counter() - begin) / STEPS
    return Row(f"{rule!r}, one update", "the loss alone", with_rule, alone, UPDATE_MS, unit="ms")


def _model() -> list[Row]:
    model = ReturnModel(horizon=STEPS, peak=0.1)
    state = model.init()
    times = []
    for step in range(STEPS):
        begin = time.perf_counter()
        state, _ = model.update(state, _loss(step))
        times.append(time.perf_counter() - begin)
    # A refit every 4 % of the horizon is the slow update.
    plans = sorted(times)[-STEPS // 250 :]
    return [
        Row("ReturnModel, median update", "nothing", statistics.median(times), 0.0, UPDATE_MS, unit="ms"),
        Row("ReturnModel, median re-plan", "nothing", statistics.median(plans), 0.0, PLAN_MS, unit="ms"),
    ]


def rows() -> list[Row]:
    """Return a row for each rule, and two for the return model."""
    return [*map(_rule, RULES), *_model()]
