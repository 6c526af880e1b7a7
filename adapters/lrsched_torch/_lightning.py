"""What Lightning wants to be told about a scheduler."""

from typing import Any

from torch.optim.lr_scheduler import LRScheduler


def lightning_config(scheduler: LRScheduler, *, name: str | None = None) -> dict[str, Any]:
    """Return what `configure_optimizers` returns to step a scheduler each update.

    Lightning steps a scheduler once an epoch unless it is told otherwise, without a warning; a warm-up of 500 updates
    would then take 500 epochs. With gradient accumulation it steps once for each update, as it should.

    Args:
        scheduler: the scheduler; its optimizer is taken from it.
        name: what `LearningRateMonitor` calls it.

    Returns:
        A dictionary with the optimizer, the scheduler and `interval="step"`.

    Examples:
        >>> import torch
        >>> from lrsched import Constant
        >>> from lrsched_torch import ScheduleLR
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> lightning_config(ScheduleLR(sgd, Constant(0.1)))["lr_scheduler"]["interval"]
        'step'
    """
    config: dict[str, Any] = {"scheduler": scheduler, "interval": "step", "frequency": 1}
    if name is not None:
        config["name"] = name
    return {"optimizer": scheduler.optimizer, "lr_scheduler": config}
