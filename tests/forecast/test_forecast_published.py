"""The loss laws on real language models; skipped where the published curves are missing."""

import numpy as np
import pytest

from experiments import forecast_curves as curves
from experiments import forecast_laws as protocol
from lrsched.forecast import AnnealingLaw, MultiPowerLaw, ReturnModel, UnidentifiedWarning
from lrsched.forecast._path import jumps_of, trace

pytestmark = [
    pytest.mark.skipif(curves.folder() is None, reason=curves.HELP),
    pytest.mark.filterwarnings(f"ignore::{UnidentifiedWarning.__module__}.UnidentifiedWarning"),
]


@pytest.fixture(scope="module")
def runs():
    return curves.load()


@pytest.fixture(scope="module")
def priors(runs):
    return protocol.other_sizes(runs)


def test_published_parameters_give_the_published_metrics(runs):
    rows = curves.published_metrics()
    assert len(rows) == 27
    names = {"r2": "r2_score", "mae": "mae_loss", "rmse": "rmse_loss", "prede": "prede", "worste": "worste"}
    for row in rows:
        size = int(row["model"].removesuffix("M"))
        run = runs[size, row["curve"]]
        # The published table sums every jump; merging them moves a loss by up to 5e-5.
        said = exact(curves.published(size), run)
        for ours, theirs in names.items():
            assert curves.metrics(run.loss, said)[ours] == pytest.approx(float(row[theirs]), abs=1e-5)


def exact(law, run):
    """Return the prediction of a law with no jump merged, in blocks of steps that fit in memory."""
    jumps = jumps_of(run.lr)
    parts = np.array_split(run.steps, 1 + run.steps.size * jumps.gap.size // 2_000_000)
    return np.concatenate([law._model(law.theta, trace(run.lr, part, 0.5)._replace(jumps=jumps))[0] for part in parts])


@pytest.mark.parametrize(
    ("size", "r2", "mae", "worst"),
    [(25, 0.998, 0.0042, 0.006), (100, 0.998, 0.0042, 0.006), (400, 0.997, 0.0056, 0.0065)],
)
def test_three_curves_predict_six_others(runs, size, r2, mae, worst):
    found = protocol.held_out(runs, MultiPowerLaw, size)
    assert found["r2"] >= r2
    assert found["mae"] <= mae
    assert found["worste"] <= worst


@pytest.mark.parametrize("size", curves.SIZES)
def test_the_annealing_law_does_so_too(runs, size):
    found = protocol.held_out(runs, AnnealingLaw, size)
    assert found["r2"] >= 0.997
    assert found["mae"] <= 0.0055


@pytest.mark.parametrize("own", [True, False])
def test_a_prefix_predicts_the_final_loss(runs, priors, own):
    rows = protocol.from_prefix(runs, MultiPowerLaw, priors if own else dict.fromkeys(curves.SIZES))
    for row, bound in zip(rows, (0.020, 0.015, 0.012, 0.010, 0.010), strict=True):
        assert row["error"] <= bound
        assert 0.65 <= row["coverage"] <= 0.95


def test_the_rate_chosen_at_a_branch_is_nearly_the_best(runs, priors):
    rows = list(protocol.branches(runs, priors))
    assert len(rows) == 15
    assert np.mean([row["regret"] for row in rows]) <= 0.001


def test_the_best_rate_depends_on_the_horizon(runs, priors):
    rows = {(row["size"], row["ahead"]): row["choice"] for row in protocol.branches(runs, priors)}
    for size in (25, 100):
        assert rows[size, 2000] == 3e-5
        assert rows[size, 7900] == 9e-5


def test_the_return_model_forecasts_a_language_model_from_half_way(runs, priors):
    errors, inside = [], []
    for size in curves.SIZES:
        for name in protocol.PLANNED:
            run = runs[size, name]
            schedule, steps = curves.schedule(name)
            losses = np.interp(np.arange(127, steps, 128), run.steps, run.loss)
            model = ReturnModel(128 * len(losses), curves.PEAK, schedule, priors[size], every=128)
            state = model.init()
            # What was not recorded, the warm-up, is refused.
            for i, loss in enumerate(losses[: len(losses) // 2]):
                state, _ = model.update(state, loss if 128 * (i + 1) > curves.WARMUP else np.nan)
            said = model.forecast(state)
            errors.append(abs(said.mean - run.loss[-1]))
            inside.append(said.lo <= run.loss[-1] <= said.hi)
    assert np.mean(errors) <= 0.015
    assert 0.6 <= np.mean(inside) <= 1.0
