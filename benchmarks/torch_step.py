"""`ScheduleLR.step` of the PyTorch adapter, beside torch's own `LambdaLR.step` of the same curve."""

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks._curves import END, PEAK, cosine
from benchmarks._rows import Row, interleaved, skipped
from lrsched import Cosine

TARGET = 1.0
STEPS = 1_000_000
CALLS = 500


def _optimizer(torch: Any, groups: int, lr: float) -> Any:
    return torch.optim.SGD([{"params": [torch.zeros(1)]} for _ in range(groups)], lr=lr)


def _steps(scheduler: Any) -> Callable[[], object]:
    scheduler.optimizer.step()  # or torch warns about the order

    def run() -> None:
        for _ in range(CALLS):
            scheduler.step()

    return run


def rows() -> list[Row]:
    """Return a row for 1 and for 10 parameter groups; seconds are those of one step."""
    cases = {groups: f"{groups} group{'s' * (groups > 1)}" for groups in (1, 10)}
    try:
        torch = importlib.import_module("torch")
        adapter = importlib.import_module("lrsched_torch")
        build = adapter.ScheduleLR
    except (AttributeError, ImportError) as error:
        return [skipped(case, "torch LambdaLR", TARGET, str(error)) for case in cases.values()]
    found = []
    for groups, case in cases.items():
        ours = build(_optimizer(torch, groups, PEAK), Cosine(PEAK, END, steps=STEPS))
        peer = torch.optim.lr_scheduler.LambdaLR(_optimizer(torch, groups, 1.0), cosine(PEAK, END, STEPS))
        times = interleaved(_steps(ours), _steps(peer))
        found.append(Row(case, "torch LambdaLR", times[0] / CALLS, times[1] / CALLS, TARGET))
    return found
