"""What Lightning wants to be told about a scheduler."""

from typing import Annotated, Any

from torch.optim.lr_scheduler import LRScheduler

from lrsched.arguments import Choice, Length, OneOf, OnOff, OrNone, TextOrNone, checked
from lrsched_torch._scheduler.feedback import FeedbackLR


@checked
def lightning_config(
    scheduler: Annotated[LRScheduler, OneOf(LRScheduler, "a torch scheduler")],
    *,
    name: TextOrNone = None,
    monitor: Annotated[str | None, OrNone(OneOf(str, "a logged name"))] = None,
    interval: Annotated[str | None, OrNone(Choice(("step", "epoch")))] = None,
    frequency: Length = 1,
    strict: OnOff = True,
) -> dict[str, Any]:
    """Return what `configure_optimizers` returns to step a scheduler each update.

    Lightning steps a scheduler once an epoch unless it is told otherwise, without a warning; a warm-up of 500 updates
    would then take 500 epochs. With gradient accumulation it steps once for each update, as it should.

    With `monitor`, Lightning calls `FeedbackLR.step(metric)` with the logged value of that name, by default once an
    epoch, after validation; the schedule then counts epochs. A metric of each epoch over a schedule of updates needs
    two calls: leave out `monitor`, and call `self.lr_schedulers().observe(metric)` in `on_validation_epoch_end`.

    Args:
        scheduler: the scheduler; its optimizer is taken from it.
        name: what `LearningRateMonitor` calls it.
        monitor: the logged name that a `FeedbackLR` observes; None for no metric.
        interval: "step" or "epoch", what one step of the scheduler stands for; by default "epoch" with `monitor` and
            else "step". With "step", a metric is observed after each update, however old it is.
        frequency: steps or epochs to one step of the scheduler, at least 1; Lightning counts steps from the start of
            each epoch.
        strict: with `monitor`, whether a name that nobody logged is an error; else such a step is skipped.

    Returns:
        A dictionary with the optimizer and, under "lr_scheduler", the keys that Lightning documents.

    Raises:
        TypeError: `monitor` is no name, or comes with a scheduler that does not observe one number.
        ValueError: `interval` or `frequency` is not as described.

    Examples:
        >>> import torch
        >>> from lrsched import Constant, feedback
        >>> from lrsched_torch import FeedbackLR, ScheduleLR
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        >>> lightning_config(ScheduleLR(sgd, Constant(0.1)))["lr_scheduler"]["interval"]
        'step'
        >>> rule = FeedbackLR(sgd, None, feedback.Plateau())
        >>> lightning_config(rule, monitor="val_loss")["lr_scheduler"]["reduce_on_plateau"]
        True
    """
    if monitor is not None and not isinstance(scheduler, FeedbackLR):
        raise TypeError(f"lightning_config(monitor=...) must come with a FeedbackLR, got a {type(scheduler).__name__}")
    if isinstance(scheduler, FeedbackLR) and monitor is not None and len(scheduler.rule.needs) != 1:
        raise TypeError(
            f"lightning_config(monitor=...) must come with a rule that needs one number, got {scheduler.rule!r}"
        )
    config: dict[str, Any] = {
        "scheduler": scheduler,
        "interval": interval or ("epoch" if monitor is not None else "step"),
        "frequency": frequency,
    }
    if monitor is not None:
        # Lightning would know torch's own rule by its class.
        config |= {"monitor": monitor, "reduce_on_plateau": True, "strict": strict}
    if name is not None:
        config["name"] = name
    return {"optimizer": scheduler.optimizer, "lr_scheduler": config}
