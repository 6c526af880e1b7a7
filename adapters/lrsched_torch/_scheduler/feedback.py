"""A schedule times the factor of a feedback rule, as a torch scheduler."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lrsched import Constant, Schedule, feedback
from lrsched_torch._scheduler.scheduler import ScheduleLR
from lrsched_torch._scheduler.wanted import exactly, number, wrong


class FeedbackLR(ScheduleLR):
    """A torch scheduler: a schedule times a factor that answers a metric.

    `step(metric)` shows the metric to the rule and goes on to the next update, like torch's `ReduceLROnPlateau`.
    Where the two have different clocks, `step()` after each `optimizer.step()` moves the schedule alone and
    `observe(metric)` after each validation moves the rule alone. Either writes the new rates at once.

    In Lightning, `lightning_config(s, monitor="val_loss")` passes the logged value to `step`, once an epoch; the
    schedule then counts epochs. For a schedule that counts updates, return `lightning_config(s)` and call
    `self.lr_schedulers().observe(metric)` in `on_validation_epoch_end`. The Trainer of transformers calls `step()`
    alone, so observe in a callback. `SequentialLR` calls `step(0)`, here a metric: join schedules with `>>` instead.

    Args:
        optimizer: the optimizer to drive.
        schedule: one schedule for all groups, a sequence with one for each group, where None leaves a group alone, or
            None for the rate that each group has at first.
        rule: a rule of `lrsched.feedback`.
        relative: multiply the schedule with the first rate of each group.
        last_epoch: number of the last update done, -1 for none. To resume, use `load_state_dict`: the state of the rule
            follows from no number.
        scaler: the `GradScaler` of the loop, as `ScheduleLR` takes it; the rule does not see the metric of a step that
            stands still.
        per_update: as `ScheduleLR` takes it.

    Attributes:
        state: state of the rule, a NamedTuple.
        factor: what the schedule is multiplied with now.

    Raises:
        TypeError: `rule` is no feedback rule, or another argument is of the wrong kind.
        ValueError: the number of schedules is not the number of groups.

    Examples:
        >>> import torch
        >>> from lrsched import feedback
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = FeedbackLR(sgd, None, feedback.Plateau(factor=0.5, patience=1))
        >>> for metric in [3.0, 2.0, 2.0, 2.0, 2.0]:
        ...     sgd.step()
        ...     scheduler.step(metric)
        >>> sgd.param_groups[0]["lr"]
        0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Callable[[Any], Any] | Sequence[Schedule | Callable[[Any], Any] | None] | None,
        rule: feedback.Feedback,
        *,
        relative: bool = False,
        last_epoch: int = -1,
        scaler: torch.amp.GradScaler | None = None,
        per_update: bool = False,
    ) -> None:
        if not isinstance(rule, feedback.Feedback):
            raise wrong(TypeError, "FeedbackLR(rule=...)", "a rule such as feedback.Plateau()", rule)
        self.rule = rule
        self.state = rule.init()
        self.factor = 1.0
        if schedule is None:
            schedule, relative = Constant(1.0), True
        super().__init__(
            optimizer, schedule, relative=relative, last_epoch=last_epoch, scaler=scaler, per_update=per_update
        )

    def _values(self, step: int) -> list[float | torch.Tensor]:
        values = super()._values(step)
        return [v if s is None else v * self.factor for s, v in zip(self._plan, values, strict=True)]

    def step(  # type: ignore[override]  # of another kind of scheduler, as torch's ReduceLROnPlateau
        self,
        metric: Any = None,
        epoch: int | None = None,
        *,
        metrics: Any = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        """Show the metric to the rule, if there is one, and go on to the next update.

        Args:
            metric: what the rule observes: a number, a tensor of one element, or a `feedback.Observation` of these;
                None moves the schedule alone.
            epoch: the update to go to, as torch has it still; by default the next one.
            metrics: the same as `metric`, by the name that torch has for it.
            scaler: the `GradScaler` of the loop: nothing is done if it has skipped every update since the last call.

        Raises:
            ValueError: an argument is not as described.
        """
        if metric is not None and metrics is not None:
            raise ValueError(f"FeedbackLR.step(metrics=...) must be None beside a metric, got {metrics!r}")
        metric = metrics if metric is None else metric
        self._advance(self._asked(epoch), metric, scaler)

    def observe(self, metric: Any) -> None:
        """Show the metric to the rule and write the new rates; the schedule stands still.

        Args:
            metric: a number, a tensor of one element, or a `feedback.Observation` of these.

        Raises:
            ValueError: it is none of these.
        """
        self._take(metric)
        self._update_lr(self.last_epoch)

    def _take(self, metric: Any) -> None:
        where = "FeedbackLR.step(metric=...)"
        if isinstance(metric, feedback.Observation):
            metric = feedback.Observation(*(x if x is None else number(where, x, ValueError) for x in metric))
        else:
            metric = number(where, metric, ValueError)
        self.state, self.factor = self.rule.update(self.state, metric)

    @property
    def stop(self) -> bool:
        """Whether a rule that can end a run, such as `EarlyStopping`, wants to."""
        return bool(getattr(self.state, "stop", False))

    def state_dict(self) -> dict[str, Any]:
        """Return the state of schedule and rule: numbers, texts, lists of them; it loads with `weights_only=True`."""
        return {
            **super().state_dict(),
            "rule": repr(self.rule),
            "rule_state": json.dumps(feedback.state_to_json(self.state)),
            "factor": float(self.factor),
        }

    def _read(self, where: str, state: Mapping[str, Any]) -> dict[str, Any]:
        if not {"rule", "rule_state", "factor"} <= set(state):
            raise ValueError(f"{where} must get the state of a FeedbackLR, got {sorted(state, key=str)}")
        exactly(str, f"{where}['rule']", state["rule"], ValueError)
        factor = number(f"{where}['factor']", state["factor"], ValueError)
        if not 0.0 <= factor < math.inf:
            raise wrong(ValueError, f"{where}['factor']", "a finite number >= 0", factor)
        content = exactly(str, f"{where}['rule_state']", state["rule_state"], ValueError)
        try:
            parts = json.loads(content)
        except (RecursionError, ValueError):
            raise wrong(ValueError, f"{where}['rule_state']", "JSON", content) from None
        seen = feedback.state_from_json(self.rule, parts)
        return {**super()._read(where, state), "state": seen, "factor": factor}

    def _origins(self, state: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        yield "rule", [state["rule"]], [repr(self.rule)]
        yield from super()._origins(state)
