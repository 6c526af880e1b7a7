"""What docs/trainers.md says of data frames, searches and trackers."""

from typing import Any

import numpy as np
import pytest
import torch
from harness import UPDATES, follows, page, real
from torch_harness import endless, line, sgd

from lrsched import Cosine, Schedule, Warmup, parse
from lrsched_torch import ScheduleLR

LARGE = "tests/oracles-large.txt"
SCHEDULE = Warmup(4) >> Cosine(0.1, 0.0, steps=8)
STEPS = list(range(UPDATES))


def test_pandas_keeps_its_index():
    pd = real("pandas", "pandas")
    given = pd.DataFrame({"step": STEPS}, index=list("lkjihgfedcba"))
    found = page("pandas", frame=given, schedule=SCHEDULE)["frame"]
    follows(SCHEDULE, found.lr)
    assert found.index.equals(given.index)


@pytest.mark.parametrize("dtype", ["int32", "Int64", "float32", "uint8", "category"])
def test_series_of_any_kind_give_arrays(dtype: str):
    pd = real("pandas", "pandas")
    np.testing.assert_array_equal(SCHEDULE(pd.Series(STEPS).astype(dtype)), SCHEDULE(np.array(STEPS)))
    np.testing.assert_array_equal(SCHEDULE(pd.RangeIndex(UPDATES)), SCHEDULE(np.array(STEPS)))
    assert pd.Series(STEPS).map(SCHEDULE).tolist() == [SCHEDULE(t) for t in STEPS]


@pytest.mark.parametrize(("dtype", "content"), [("Int64", [1, None]), ("float64", [1, None]), ("object", ["a"])])
def test_a_step_that_is_missing_is_refused(dtype: str, content: list[Any]):
    pd = real("pandas", "pandas")
    with pytest.raises((TypeError, ValueError), match="must get"):
        SCHEDULE(pd.Series(content, dtype=dtype))


def test_polars():
    pl = real("polars", "polars")
    given = pl.DataFrame({"step": STEPS})
    follows(SCHEDULE, page("polars", frame=given, schedule=SCHEDULE)["frame"]["lr"].to_list())
    follows(SCHEDULE, page("polars", frame=given.lazy(), schedule=SCHEDULE)["frame"].collect()["lr"].to_list())
    follows(SCHEDULE, given.with_columns(lr=SCHEDULE(given["step"]))["lr"].to_list())
    with pytest.raises(TypeError, match=r"write pl.col\('step'\).map_batches\(schedule"):
        SCHEDULE(pl.col("step"))
    with pytest.raises(ValueError, match="finite"):
        SCHEDULE(pl.Series([1, None]))


def test_optuna(tmp_path: Any):
    optuna = real("optuna", "optuna", LARGE)
    tried: list[Schedule] = []

    def train(schedule: Schedule) -> float:
        tried.append(schedule)
        return schedule(5)

    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study", direction="maximize")
    best = page("Optuna", study=study, train=train)["best"]
    assert best == max(tried, key=lambda schedule: schedule(5))
    assert study.ask().suggest_categorical("lr", [repr(SCHEDULE)]) == repr(SCHEDULE)


def test_ray():
    ray = real("ray", "ray", LARGE)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        follows(SCHEDULE, page("Ray", schedule=SCHEDULE)["rates"])
        assert ray.get(ray.put([SCHEDULE])) == [SCHEDULE]
    finally:
        ray.shutdown()


def logged(tool: str, folder: Any) -> dict[str, Any]:
    """Run what the page says with a model; return its names."""
    model = line()
    optimizer = sgd(model)
    batches = [next(iterator) for iterator in [endless()] for _ in STEPS]
    return page(
        tool,
        schedule=SCHEDULE,
        folder=str(folder),
        model=model,
        optimizer=optimizer,
        scheduler=ScheduleLR(optimizer, SCHEDULE),
        batches=batches,
        loss_of=lambda model, batch: torch.nn.functional.mse_loss(model(batch[0]), batch[1]),
    )


def test_tensorboard_shows_the_rates_used(tmp_path: Any):
    events = real("tensorboard.backend.event_processing.event_accumulator", "tensorboard", LARGE)
    logged("TensorBoard", tmp_path)
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [event.step for event in found.Scalars("lr")] == STEPS
    follows(SCHEDULE, [event.value for event in found.Scalars("lr")], rtol=1e-6)


def test_wandb_keeps_the_schedule_and_the_rates_used(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    wandb = real("wandb", "wandb", LARGE)
    monkeypatch.setenv("WANDB_SILENT", "true")
    used: list[float] = []
    log = wandb.Run.log
    monkeypatch.setattr(
        wandb.Run, "log", lambda run, data, **more: (used.append(data.get("lr")), log(run, data, **more))
    )
    run = logged("W&B", tmp_path)["run"]
    assert parse(run.config["lr"]) == SCHEDULE
    follows(SCHEDULE, used[1:])


def test_html_is_what_a_notebook_shows():
    assert SCHEDULE._repr_html_() == SCHEDULE._repr_mimebundle_()["text/html"]
    assert "<svg" in str(SCHEDULE._repr_html_())
    assert Warmup(3)._repr_html_() is None
