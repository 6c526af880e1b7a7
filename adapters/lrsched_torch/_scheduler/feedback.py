"""A schedule times the factor of a feedback rule, as a torch scheduler."""

import json
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lrsched import Constant, Schedule, feedback
from lrsched_torch._scheduler.scheduler import ScheduleLR


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
        schedule: one schedule for all groups, a sequence with one for each group, or None for the rate that each group
            has at first.
        rule: a rule of `lrsched.feedback`.
        relative: multiply the schedule with the first rate of each group.
        last_epoch: number of the last update done, -1 for none. To resume, use `load_state_dict`: the state of the rule
            follows from no number.

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
        schedule: Schedule | Sequence[Schedule] | None,
        rule: feedback.Feedback,
        *,
        relative: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(rule, feedback.Feedback):
            raise TypeError(f"FeedbackLR(rule=...) must be a rule such as feedback.Plateau(), got {rule!r}")
        self.rule = rule
        self.state = rule.init()
        self.factor = 1.0
        plan, relative = (Constant(1.0), True) if schedule is None else (schedule, relative)
        super().__init__(optimizer, plan, relative=relative, last_epoch=last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        """Return the rate of each group for update number `last_epoch` under the present factor."""
        return [rate * self.factor for rate in super().get_lr()]

    _get_closed_form_lr = get_lr

    def step(self, metric: Any = None) -> None:
        """Show the metric to the rule, if there is one, and go on to the next update.

        Args:
            metric: what the rule observes: a number, a tensor of one element, or a `feedback.Observation` of these;
                None moves the schedule alone.
        """
        if metric is not None:
            self._take(metric)
        super().step()

    def observe(self, metric: Any) -> None:
        """Show the metric to the rule and write the new rates; the schedule stands still.

        Args:
            metric: a number, a tensor of one element, or a `feedback.Observation` of these.
        """
        self._take(metric)
        self._update_lr(self.last_epoch)

    def _take(self, metric: Any) -> None:
        if isinstance(metric, feedback.Observation):
            seen: Any = feedback.Observation(*(None if number is None else _number(number) for number in metric))
        else:
            seen = _number(metric)
        self.state, self.factor = self.rule.update(self.state, seen)

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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the saved update with the saved state of the rule, and write the rates into the groups at once.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            ValueError: it is the state of another scheduler, or of a rule with another state.

        Warns:
            UserWarning: the state was saved with another rule, or with other schedules.
        """
        if not {"rule", "rule_state", "factor"} <= set(state_dict):
            raise ValueError(f"FeedbackLR.load_state_dict(...) must get the state of a FeedbackLR, got {state_dict!r}")
        state = feedback.state_from_json(self.rule, json.loads(state_dict["rule_state"]))
        if state_dict["rule"] != repr(self.rule):
            warnings.warn(
                f"the state was saved with the rule {state_dict['rule']}, "
                f"and goes on with the present one, {self.rule!r}",
                UserWarning,
                stacklevel=2,
            )
        self.state, self.factor = state, float(state_dict["factor"])
        super().load_state_dict(state_dict)


def _number(metric: Any) -> float:
    return float(metric.detach() if isinstance(metric, torch.Tensor) else metric)
