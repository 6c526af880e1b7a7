"""A schedule as a torch scheduler."""

import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from operator import is_, itemgetter
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import EPOCH_DEPRECATION_WARNING, LRScheduler

from lrsched import Schedule
from lrsched_torch._scheduler.hooks import hooked, tell
from lrsched_torch._scheduler.wanted import exactly, number, whole, wrong
from lrsched_torch._scheduler.watch import LoopWatch, look, tell_factors

# Of the state dictionary; a reader refuses what is newer.
FORMAT = 1

if not hasattr(LRScheduler, "_update_lr"):
    raise ImportError(
        f"lrsched_torch needs a torch whose LRScheduler writes values in one place (2.9 does), got {torch.__version__}"
    )

T = TypeVar("T")
Group = dict[str, Any]
_params = itemgetter("params")


class ScheduleLR(LRScheduler):
    """A torch scheduler whose value is a pure function of one integer, `last_epoch`.

    Update number t (from 0) uses `schedule(t)`, or, with `relative=True`, `schedule(t)` times the first rate of each
    group. Call `step()` after each `optimizer.step()`. Nothing is computed from the current rate, and a state that the
    optimizer loads moves none of the values that the scheduler has written, so it does not matter whether optimizer or
    scheduler is loaded first, with this schedule or another, or whether the optimizer is loaded at all.

    A learning rate that is a tensor is written in place, so `torch.compile(optimizer.step)` compiles once. Groups may
    be added later with `add_param_group`; the scheduler writes to a new group from its next `step()` on. A schedule
    stays with its group when others are removed, or all are put in another order.

    Inside `SequentialLR` it works as any phase, inside `ChainedScheduler` as the first member: an absolute value
    overwrites what came before. `>>` and `*` of schedules need neither.

    Args:
        optimizer: the optimizer to drive.
        schedule: one schedule for all groups, or a sequence with one for each group, where None leaves a group alone;
            groups added later take the last. A function of the step is one: `lambda t: 0.1 * 0.99**t`, a rate, and with
            `relative=True` the factor that it is in torch's `LambdaLR`.
        relative: multiply the schedule with the value that each group had at first, kept in the group under
            `"initial_lr"` (`"initial_" + field` for another field). A group added later starts from its own value.
        field: which entry of the groups to write: "lr", "weight_decay", "momentum", or, for one item of a tuple,
            "betas[0]". A group that is left alone need not have it.
        last_epoch: number of the last update done, -1 for none. `last_epoch=k` on a new optimizer makes the next update
            use `schedule(k + 1)`. To resume, prefer `load_state_dict`.
        scaler: the `GradScaler` of the loop: then `step()` stands still if the scaler has skipped every update since
            the last one. accelerate needs none: it leaves out such a step itself.
        per_update: let `step()` stand still unless the optimizer was called since the last one, so that many calls are
            one step: accelerate makes one for each process, unless it splits batches.

    Attributes:
        last_epoch: number of the update that the current values are for, counted from 0.

    Raises:
        TypeError: `optimizer` is no torch optimizer, `schedule` neither a schedule nor a sequence of schedules, or
            another argument is of the wrong kind.
        ValueError: the number of schedules is not the number of groups, or a group has no entry `field`.

    Warns:
        LintWarning: what is seen of the loop does not fit the schedule: ten updates at rate 0 before the first `step`,
            one `step` for many updates of a schedule of 1000 steps or more, or steps long after the schedule has ended
            at 0.

    Examples:
        >>> import torch
        >>> from lrsched import Linear
        >>> sgd = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> scheduler = ScheduleLR(sgd, Linear(0.1, 0.0, steps=10))
        >>> for _ in range(5):
        ...     sgd.step()
        ...     scheduler.step()
        >>> sgd.param_groups[0]["lr"]
        0.05
    """

    # The count of steps at which the loop is looked at again; the update whose values were written last, and these.
    _look = 1
    _at = -1
    _rates: Sequence[float | torch.Tensor] = ()

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | Callable[[Any], Any] | Sequence[Schedule | Callable[[Any], Any] | None],
        *,
        relative: bool = False,
        field: str = "lr",
        last_epoch: int = -1,
        scaler: torch.amp.GradScaler | None = None,
        per_update: bool = False,
    ) -> None:
        name = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise wrong(TypeError, f"{name}(optimizer=...)", "a torch.optim.Optimizer", optimizer)
        groups = optimizer.param_groups
        self.schedules = _checked(name, schedule, len(groups))
        self.relative = exactly(bool, f"{name}(relative=...)", relative)
        self.field = exactly(str, f"{name}(field=...)", field)
        self.per_update = exactly(bool, f"{name}(per_update=...)", per_update)
        last_epoch = whole(f"{name}(last_epoch=...)", last_epoch)
        match = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", field)
        if scaler is not None:
            exactly(torch.amp.GradScaler, f"{name}(scaler=...)", scaler)
        self._key = match[1] if match else field
        self._item = int(match[2]) if match and match[2] else None
        self._initial = f"initial_{field}"
        # For each group: its list of parameters, which stays the same object when a state is loaded; its schedule; what
        # the value was at first; what was written last; whether it still stood there when a state was to be loaded.
        self._lists = [group["params"] for group in groups]
        self._only = self.schedules[0] if len(self.schedules) == 1 else None
        self._leaves = None in self.schedules
        self._plan = list(self.schedules) * (len(groups) // len(self.schedules))
        self._bases: list[float | None] = [None] * len(groups)
        self._written: list[Any] = [None] * len(groups)
        self._held = [False] * len(groups)
        self._changed = False
        self.optimizer = optimizer
        self._check_entries(f"{name}(field=...)")
        self.scaler: torch.amp.GradScaler | None = None
        self._done: int | None = None
        self._missed: Any = 0.0
        for group in groups:
            # Ahead of the base class, which refuses last_epoch >= 0 without it and would keep a tensor, slow to read.
            group.setdefault("initial_lr", float(group["lr"]))
        super().__init__(optimizer, last_epoch)
        self._attach()
        if any(self.schedules):
            LoopWatch(self)
        if self.relative and self.field == "lr":
            tell_factors(name, [(self._first(i), one) for i, one in enumerate(self._plan) if one is not None])
        if scaler is not None or per_update:
            self._count()
            self.scaler = scaler

    def _attach(self) -> None:
        tell(self, "load_state_dict_pre", ScheduleLR._before_load)
        tell(self, "load_state_dict_post", ScheduleLR._after_load)
        if self._done is not None:
            tell(self, "step_post", ScheduleLR._after_step)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what a copy or a pickle holds; the optimizer in it has no hooks."""
        self.__dict__.update(state)
        self._attach()

    def get_lr(self) -> list[float | torch.Tensor]:
        """Return the value of each group for update number `last_epoch`: a closed form, callable at any time.

        Of a group that is left alone it is the present value, or NaN if the group has none.
        """
        self._follow()
        return self._values(self.last_epoch)

    # What SequentialLR and `step(epoch)` ask for.
    _get_closed_form_lr = get_lr

    @property
    def _last_lr(self) -> list[float | torch.Tensor]:
        """What `get_last_lr` tells; torchtitan restores a scheduler by setting this, after `last_epoch`."""
        return list(self._rates)

    @_last_lr.setter
    def _last_lr(self, values: Sequence[float | torch.Tensor]) -> None:
        self._rates = values
        if 0 <= self.last_epoch != self._at >= 0:
            self._update_lr(self.last_epoch)

    def _values(self, step: int) -> list[float | torch.Tensor]:
        if step < 0:
            step = 0  # SequentialLR winds its members back to -1
        groups, plan = self.optimizer.param_groups, self._plan
        values: list[float | torch.Tensor]
        if self._only is not None:
            values = [self._only(step)] * len(groups)
        elif not self._leaves:
            values = [schedule(step) for schedule in plan if schedule is not None]
        else:
            values = [_present(self._entry(g)) if s is None else s(step) for s, g in zip(plan, groups, strict=True)]
        if self.relative:
            return [v if s is None else self._first(i) * v for i, (s, v) in enumerate(zip(plan, values, strict=True))]
        return values

    def _first(self, i: int) -> float:
        """Return the value that group i had at first."""
        # An optimizer state that was saved without a scheduler does not hold it.
        group, known = self.optimizer.param_groups[i], self._bases[i]
        if self._initial not in group:
            group[self._initial] = float(self._entry(group)) if known is None else known
        base = float(group[self._initial])
        if known is None:
            self._bases[i] = base
        return base

    def _follow(self) -> None:
        """Let schedules stay with their groups when some are added, removed or put in another order."""
        groups, known = self.optimizer.param_groups, self._lists
        if len(groups) == len(known) and all(map(is_, map(_params, groups), known)):
            return
        owners = {id(one): i for i, ps in enumerate(known) for one in (ps, *ps[:1])}
        found = [owners.get(id(ps), owners.get(id(ps[0])) if ps else None) for ps in map(_params, groups)]
        if len(groups) == len(known) and all(i is None for i in found):
            found = list(range(len(groups)))  # all parameters were replaced, as FSDP does

        def moved(old: Sequence[T], new: T) -> list[T]:
            return [new if i is None else old[i] for i in found]

        self._plan, self._bases = moved(self._plan, self.schedules[-1]), moved(self._bases, None)
        self._written, self._held = moved(self._written, None), moved(self._held, False)
        self._lists, self._changed = [group["params"] for group in groups], True

    def _entry(self, group: Group) -> Any:
        """Return the number that a group holds, or None if it has none."""
        try:
            entry = group[self._key] if self._item is None else group[self._key][self._item]
        except (KeyError, IndexError, TypeError):
            return None
        one = entry.numel() == 1 if isinstance(entry, torch.Tensor) else isinstance(entry, Real)
        return entry if one and not isinstance(entry, bool) else None

    def _check_entries(self, where: str) -> None:
        """Raise an error unless each group that has a schedule has a number to write."""
        for schedule, group in zip(self._plan, self.optimizer.param_groups, strict=True):
            if schedule is not None and self._entry(group) is None:
                raise ValueError(
                    f"{where} must name a number in each group, such as 'lr' or 'betas[0]', got {self.field!r}; a "
                    f"group has {sorted(set(group) - {'params'})}; None in the place of its schedule leaves it alone"
                )

    def _write(self, group: Group, value: float | torch.Tensor) -> None:
        key, item = self._key, self._item
        if isinstance(old := group[key], torch.Tensor):
            old.fill_(value)
        elif item is None:
            group[key] = value
        elif isinstance(old[item], torch.Tensor):
            old[item].fill_(value)
        else:
            group[key] = (*old[:item], value, *old[item + 1 :])

    def _update_lr(self, epoch: int | None = None) -> None:
        """Move to update `epoch`, by default the next one, and write its values into the groups."""
        step = self.last_epoch + 1 if epoch is None else epoch
        groups, key = self.optimizer.param_groups, self._key
        # With one absolute schedule for all it does not matter which group is which.
        if self._only is None or self.relative or len(groups) != len(self._lists):
            self._follow()
        if self._changed:
            self._check_entries(f"{type(self).__name__}(field=...)")
            self._changed = False
        values = self._values(step)
        self.last_epoch = self._at = step
        self._rates = self._written = values
        for schedule, group, value in zip(self._plan, groups, values, strict=True):
            if schedule is None:
                continue
            if type(group[key]) is float:
                group[key] = value
            else:
                self._write(group, value)

    def _before_load(self) -> None:
        """Note where the value still stands that was written last."""
        self._follow()
        self._held = [
            schedule is not None and written is not None and _stands(self._entry(group), written)
            for schedule, written, group in zip(self._plan, self._written, self.optimizer.param_groups, strict=True)
        ]

    def _after_load(self) -> None:
        """Put the values back where the loaded ones have replaced them."""
        self._follow()
        self._changed = True
        if self.last_epoch < 0:
            return
        values = self._values(self.last_epoch)
        last = list(self._rates if len(self._rates) == len(values) else values)
        for i, (schedule, group) in enumerate(zip(self._plan, self.optimizer.param_groups, strict=True)):
            if schedule is None:
                last[i] = values[i]
            elif self._held[i] and self._entry(group) is not None:
                self._write(group, values[i])
                last[i] = values[i]
        self._rates, self._at = last, self.last_epoch
        self._written = [new if held else old for new, old, held in zip(last, self._written, self._held, strict=True)]

    def step(
        self, epoch: int | None = None, *, metrics: Any = None, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        """Go on to the next update: after each `optimizer.step()`.

        Args:
            epoch: the update to go to, as torch has it still; by default the next one.
            metrics: what `ReduceLROnPlateau` is given: a number or a tensor of one element. It changes nothing here;
                `FeedbackLR` answers it.
            scaler: the `GradScaler` of the loop: nothing is done if it has skipped every update since the last call.

        Raises:
            ValueError: an argument is not as described.
        """
        self._advance(self._asked(epoch), metrics, scaler)

    def _asked(self, epoch: Any) -> Any:
        """Return the update that a caller of `step` names, who is told that this is no longer done."""
        if epoch is None:
            return None
        warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=3)
        # A ValueError for the wrong kind too: DeepSpeed takes a TypeError for a scheduler with another signature.
        return whole(f"{type(self).__name__}.step(epoch=...)", epoch, kind=ValueError)

    def _take(self, metric: Any) -> None:
        number("ScheduleLR.step(metrics=...)", metric, ValueError)

    def _advance(self, epoch: Any, metric: Any, scaler: Any) -> None:
        """Do what `step` does unless an update was skipped; it warns at the line that has called `step`."""
        name = f"{type(self).__name__}.step"
        if self.per_update and epoch is None and not self._is_initial and not self._done:
            return
        told = self.scaler if scaler is None else scaler
        # accelerate tells of a skipped step by itself.
        skipped = getattr(self.optimizer, "step_was_skipped", False) if told is None else self._skipped(told)
        if skipped and not self._is_initial:
            return
        if self._step_count >= self._look:
            if self._step_count == 1 and epoch is None and not _stepped(self.optimizer):
                warnings.warn(
                    f"{name}() was called before `optimizer.step()`, so no update uses the first value; call it after "
                    "each",
                    UserWarning,
                    stacklevel=3,
                )
            self._look = look(self)
        if metric is not None:
            self._take(metric)
        if self.per_update and told is None:
            self._count()
        self._update_lr(epoch)
        self._step_count += 1

    def _skipped(self, scaler: Any) -> bool:
        """Return whether a gradient scaler has skipped every update since the last call."""
        exactly(torch.amp.GradScaler, f"{type(self).__name__}.step(scaler=...)", scaler, ValueError)
        optimizer, done = hooked(self.optimizer), self._done
        skipped = not _stepped(self.optimizer) if done is None else done - float(self._missed) < 1.0
        if done is None and scaler.is_enabled() and getattr(optimizer, "_step_supports_amp_scaling", False):
            # Not counted so far. Until its own update the scaler knows of the last step, then it counts anew after one.
            told = scaler._per_optimizer_states.get(id(optimizer))
            founds = told["found_inf_per_device"].values() if told else [scaler.state_dict()["_growth_tracker"] == 0]
            skipped = any(map(bool, founds))
        self._count()
        return skipped and scaler.is_enabled()

    def _count(self) -> None:
        """Count updates from now on."""
        if self._done is None:
            tell(self, "step_post", ScheduleLR._after_step)
        self._done, self._missed = 0, 0.0

    def _after_step(self) -> None:
        self._done = (self._done or 0) + 1
        # Fused optimizers are called for an update that is to be skipped too, and told so.
        found = getattr(hooked(self.optimizer), "found_inf", None)
        if found is not None:
            self._missed = self._missed + (found > 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the state: numbers, texts and lists of them, so that it loads with `weights_only=True`."""
        return {
            "format": FORMAT,
            # SequentialLR in SequentialLR winds its members back to -2.
            "last_epoch": max(int(self.last_epoch), -1),
            "_step_count": int(self._step_count),
            "_last_lr": [float(value) for value in self._last_lr],
            # Flat texts: distributed checkpoints take a nested dictionary apart and want the same keys when they load.
            "schedule": [repr(schedule) for schedule in self.schedules],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to the saved update and write its values into the groups at once.

        Only the count is taken from the state; schedules, `relative` and `field` stay what the constructor got. The
        state of any torch scheduler that counts in `last_epoch` will do. A state that is refused changes nothing.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            TypeError: it is no dictionary.
            ValueError: it has no `last_epoch`, an entry is wrong, it is of another number of groups, or a newer version
                of this library wrote it.

        Warns:
            UserWarning: the state was saved with other schedules.
        """
        where = f"{type(self).__name__}.load_state_dict(...)"
        if not isinstance(state_dict, Mapping):
            raise wrong(TypeError, where, "a dictionary", state_dict)
        new = self._read(where, state_dict)
        for kind, saved, present in self._origins(state_dict):
            if saved != present:
                warnings.warn(
                    f"the state was saved with the {kind} {_shown(saved)}, and goes on with the present one, "
                    f"{_shown(present)}",
                    UserWarning,
                    stacklevel=2,
                )
        old = {name: self.__dict__[name] for name in new}
        self.__dict__.update(new)
        if self.last_epoch >= 0:  # else SequentialLR has not come to it
            try:
                self._update_lr(self.last_epoch)
            except Exception:
                self.__dict__.update(old)
                raise

    def _read(self, where: str, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes that a state holds, or raise an error."""
        written = whole(f"{where}['format']", state.get("format", FORMAT), 1, ValueError)
        if "last_epoch" not in state or written > FORMAT:
            raise ValueError(
                f"{where} must get the state of a scheduler, with 'last_epoch' and a 'format' of at most {FORMAT}, got "
                f"the entries {sorted(state, key=str)} and the format {written}"
            )
        last = whole(f"{where}['last_epoch']", state["last_epoch"], kind=ValueError)
        self._follow()
        rates = state.get("_last_lr", self._last_lr)
        must = f"a list of one number for each of {len(self._plan)} groups"
        if not isinstance(rates, list | tuple) or len(rates) != len(self._plan):
            raise wrong(ValueError, f"{where}['_last_lr']", must, rates)
        for rate, schedule in zip(rates, self._plan, strict=True):
            one = number(f"{where}['_last_lr']", rate, ValueError)
            if schedule is not None and not math.isfinite(one):
                raise wrong(ValueError, f"{where}['_last_lr']", "finite", rate)
        texts = state.get("schedule", [])
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise wrong(ValueError, f"{where}['schedule']", "a list of texts", texts)
        count = whole(f"{where}['_step_count']", state.get("_step_count", last + 1), 0, ValueError)
        return {"last_epoch": last, "_step_count": count}

    def _origins(self, state: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        """Yield what kinds of things a state was saved with, and what there is now."""
        if "schedule" in state:
            yield "schedule", list(state["schedule"]), [repr(schedule) for schedule in self.schedules]


def _checked(name: str, schedule: Any, groups: int) -> tuple[Schedule | None, ...]:
    schedule = Schedule.of(schedule)
    if isinstance(schedule, Schedule):
        return (schedule,)
    where = f"{name}(schedule=...)"
    many = isinstance(schedule, Sequence) and not isinstance(schedule, str)
    schedule = list(map(Schedule.of, schedule)) if many else schedule
    if not isinstance(schedule, list) or not all(part is None or isinstance(part, Schedule) for part in schedule):
        raise wrong(
            TypeError, where, "a schedule or a sequence of schedules, where None leaves a group alone", schedule
        )
    if len(schedule) != groups:
        raise ValueError(f"{where} must hold one schedule for each of {groups} groups, got {len(schedule)}")
    return tuple(schedule)


def _stepped(optimizer: Any) -> bool:
    """Return whether an optimizer was called since a scheduler was made for it."""
    return not hasattr(optimizer.step, "_wrapped_by_lr_sched") or getattr(optimizer, "_opt_called", False)


def _present(entry: Any) -> float | torch.Tensor:
    if entry is None:
        return math.nan
    return entry.detach().clone() if isinstance(entry, torch.Tensor) else float(entry)


def _stands(entry: Any, written: Any) -> bool:
    """Return whether a group still holds what was written, in the precision of the group."""
    if isinstance(entry, torch.Tensor):
        return bool(entry == torch.full_like(entry, written))
    return entry is not None and bool(entry == written)


def _shown(texts: Sequence[str]) -> str:
    return str(texts[0] if len(texts) == 1 else list(texts))
