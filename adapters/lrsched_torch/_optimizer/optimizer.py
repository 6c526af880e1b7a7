"""An update rule as a torch optimizer."""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import is_, itemgetter
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT, StateDict

from lrsched import Schedule, rules
from lrsched_torch._joined.bucket import Home, unshared
from lrsched_torch._optimizer.arguments import (
    RULE,
    check_group,
    check_groups,
    check_new_group,
    check_processes,
    check_switches,
    check_table,
    told_of,
)
from lrsched_torch._optimizer.choice import executor_of
from lrsched_torch._optimizer.flat import Flat, check_flat
from lrsched_torch._optimizer.loading import LOW, OF, loaded
from lrsched_torch._optimizer.rates import LeftRates
from lrsched_torch._optimizer.seen import KnownGroup, Seen, complete
from lrsched_torch._scheduler.scheduler import ScheduleLR
from lrsched_torch._shared.captured import Captured, plain, prepare, refuse
from lrsched_torch._shared.compiling import CPP, Ways
from lrsched_torch._shared.entries import counts_of, slots_of
from lrsched_torch._shared.jobs import Executor, Job
from lrsched_torch._shared.untraced import untraced
from lrsched_torch._shared.update import named

COUNTS = "RuleOptimizer(params=...) must have 'updates' in each group"
# References to a group that only `_known` and the question have.
KEPT_BY_US = 2

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


_rate = itemgetter("lr")


class RuleOptimizer(Optimizer):
    """A torch optimizer that runs an update rule of `lrsched.rules` in place.

    The rule sees all parameters of the optimizer that have a gradient, so `ClipByGlobalNorm` takes the norm over all
    groups that have this rule. Parameters without a gradient keep value and state, and each counts its own updates.
    Gradients are only read. Moments are float32 (float64 for float64 parameters) and stay so through `state_dict` and
    `load_state_dict`, whose dictionaries serve every form: compiled or not, flat or not.

    Works with closures, step hooks, `zero_grad` and `torch.amp.GradScaler`, which skips a step when a gradient is not
    finite; then the schedule stands still too. What PyTorch has as a fused kernel (SGD, momentum, Adam, AdamW, AdaGrad)
    runs as that kernel unless `compile` is True, and small parameters are updated together. `repr` says what runs.

    Args:
        params: parameters, named parameters or groups. A group may have its own `lr`, of any kind below, its own
            `maximize` and its own `rule`.
        rule: the update rule, such as `rules.Adam()` or `rules.ClipByGlobalNorm(1.0) >> rules.Momentum(0.9)`.
        lr: learning rate. A number or a 0-d tensor stays until a scheduler changes it. A schedule is driven by the
            number of steps of this optimizer, which is saved: step t (from 0) uses `lr(t)`, and leaves `lr(t + 1)` in
            the group for the next. So no scheduler is needed. What one writes there, or a hand after the first step,
            does not hold: a warning says so once. A trainer that wants a scheduler gets `optimizer.scheduler()`; where
            others are to set the rate, give a number. A function of the step is a schedule.
        maximize: go up instead of down.
        compile: compile the rule, at the first step and for tensors of any length, so that nothing compiles again while
            learning rates and steps change. On a CPU to C++ that takes all tensors at once, where they are: it needs
            g++, clang++ or what $CXX names, takes a second and is kept on the disk. Elsewhere, and without such a
            compiler, by Inductor. Rules that need tensors in their own shape are one graph a shape. What cannot
            be compiled runs eagerly, and a warning says so and why.
            "auto": do so on a CPU if a second for the compiler will soon have paid: for a rule that PyTorch has no
            kernel for, from about a million elements or a thousand tensors on, where a C++ compiler is found. That is
            decided once, at the first step.
            "triton", for all other rules on CUDA devices: kernels that take all tensors at once, where they are, one
            for each pass; it needs the package triton, and `flat` gains nothing then.
        flat: make parameters and gradients views of one buffer for each group, dtype and device, which is fastest.
            Moving the model or replacing `p.data` copies them once more. `zero_grad()` then leaves zeros, not None;
            gradients that are no views are copied into the buffer. Not for FSDP, tied or non-contiguous parameters.
        master: bfloat16 and float16 parameters get a float32 copy, part of the state, which is updated and then rounded
            to the parameter. What others write into the parameter is lost.
        capturable: let a CUDA graph repeat `step`, captured after some steps of the same kind on a side stream. Counts
            and learning rates are tensors on the device, schedules are part of the step, and a scaler gives it the
            scale without a wait. `compile` must be True or "triton". After anything is loaded or added, or a step with
            other gradients missing, capture again.
        totals_over: processes that hold other parameters of the same model, as under ZeRO: what the rule sums over all
            tensors, it sums over theirs too, so all of them must take part in every step.

    No form waits for the device, if the learning rate is a number, a schedule or a tensor there. Steps are counted on
    the host, so a CUDA graph can repeat `step` with `capturable` only.

    Raises:
        TypeError: an argument is of the wrong kind, or a parameter is complex or no floating-point tensor. In `step`: a
            gradient is sparse.
        ValueError: a learning rate is negative or not finite, or `compile` or `capturable` does not go with the rest.
        ImportError: Triton is asked for and not installed.
        NotImplementedError: Triton is asked for, and an operation of the rule has no translation.

    Examples:
        >>> import torch
        >>> from lrsched import Linear, rules
        >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> optimizer = RuleOptimizer([w], rules.Momentum(0.9), lr=Linear(0.5, 0.0, steps=2))
        >>> for _ in range(2):
        ...     optimizer.zero_grad()
        ...     w.sum().backward()
        ...     optimizer.step()
        >>> w.detach()
        tensor([0.0250, 1.0250])
    """

    def __init__(
        self,
        params: ParamsT,
        rule: rules.Rule,
        lr: float | Tensor | Schedule | Callable[[Any], Any],
        *,
        maximize: bool = False,
        compile: bool | Literal["auto", "triton"] = "auto",
        flat: bool = False,
        master: bool = False,
        capturable: bool = False,
        totals_over: "ProcessGroup | None" = None,
    ) -> None:
        rule = rules.Rule.of(RULE, rule)
        check_processes(totals_over)
        check_switches(maximize=maximize, flat=flat, master=master, capturable=capturable)
        self.rule, self.totals_over = rule, totals_over
        self.compile, self.flat, self.master, self.capturable = compile, flat, master, capturable
        self._ways: dict[rules.Rule, Ways] = {}
        self._rates = LeftRates()
        self._known: list[KnownGroup] = []
        self.group_rules: list[rules.Rule] = []
        self._schedules: list[Schedule | None] = []
        with told_of("params"):
            super().__init__(params, {"lr": lr, "maximize": maximize})

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """What tells a gradient scaler that `step` takes its scale, and skips a step by itself."""
        return self.capturable

    def _forget(self) -> None:
        """Drop what is made at the next step, and neither copied nor pickled."""
        self._jobs: list[Job] = []
        self._seen: Seen | None = None
        self._flat: Flat | None = None
        self._captured = Captured() if self.capturable else None

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles keep."""
        self._follow(self.param_groups)
        if self._flat is not None:
            self._flat.release()  # or each parameter would be pickled with all of the buffer
        state: dict[Any, Any] = {
            p: {k: unshared(v) for k, v in entry.items()} if isinstance(entry, dict) else entry
            for p, entry in self.state.items()
        }
        own = {
            name: getattr(self, name)
            for name in ("rule", "compile", "flat", "master", "capturable", "totals_over", "_schedules", "group_rules")
        }
        return {**super().__getstate__(), "state": defaultdict(dict, state), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` returned, or, from `load_state_dict`, a part of it."""
        super().__setstate__(state)
        before = self.__dict__.get("_known", ())
        slots = [k.slots for k in before] if before else map(slots_of, self.group_rules)
        self._known = list(map(KnownGroup, self.param_groups, self.group_rules, self._schedules, slots))
        self._seen = None
        self.__dict__.setdefault("_rates", LeftRates()).again()
        if "_flat" not in self.__dict__:
            self._ways = {}  # decided anew at the first step
            self._forget()

    def __repr__(self) -> str:
        """Return the groups and what runs the rule of each."""
        runs = {job.rule: job.executor.engine for job in self._jobs}
        told = [
            f"    {rule!r}: {runs.get(rule, 'chosen at the next step')}\n" for rule in dict.fromkeys(self.group_rules)
        ]
        return f"{super().__repr__()[:-1]}Rules\n{''.join(told)})"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with their own `lr`, `maximize` and `rule` if the group has them.

        A schedule goes on with the count of the optimizer.

        Args:
            param_group: a dictionary with the parameters under "params".

        Raises:
            TypeError: a parameter, the learning rate or the rule is of the wrong kind.
            ValueError: the learning rate is negative or not finite.
        """
        # The rule is not kept in the group, as a state dictionary holds plain values only.
        check_new_group(param_group)
        rule = self.rule
        if "rule" in param_group:
            param_group = dict(param_group)
            rule = rules.Rule.of(RULE, param_group.pop("rule"))
        super().add_param_group(param_group)
        try:
            known = self._taken(self.param_groups[-1], rule)
        except Exception:
            del self.param_groups[-1]
            raise
        self._known.insert(len(self.group_rules), known)
        self.group_rules.append(known.rule)
        self._schedules.append(known.schedule)
        self._forget()
        self._rates.left = None
        if self._captured or self.flat:
            self._follow(self.param_groups)
        if self._captured:
            self._captured.adopt(self.param_groups)
        if self.flat:
            self._buffers().attach()

    def _taken(self, group: dict[str, Any], rule: Any = None, schedule: Schedule | None = None) -> KnownGroup:
        """Take a group as `add_param_group` does, whoever has put it among the others: what it lacks is the default."""
        check_groups([group])
        rule = group.get("rule", self.rule) if rule is None else rule
        full = {**self.defaults, "updates": self._done(), **({"lr": schedule} if schedule else {}), **group}
        full["lr"] = Schedule.of(full["lr"])
        check_group(full, rule, self.compile, self.capturable, self.totals_over)
        if self.flat:
            known = {id(k.group): k.rule for k in self._known}
            check_flat(
                (known.get(id(other), rule), 0, other["params"])
                for other in self.param_groups
                if other is group or id(other) in known
            )
        (full["updates"],) = counts_of(COUNTS, [full["updates"]])
        if isinstance(full["lr"], Schedule):
            schedule = full["lr"]
            full["lr"] = schedule(full["updates"])
        group.update(full)
        group.pop("rule", None)
        return KnownGroup(group, rule, schedule, slots_of(rule))

    def _done(self) -> int:
        """Return the updates so far: those of the group that has done most, be it here or taken out."""
        groups = [*self.param_groups, *(k.group for k in self._known)]
        return max(counts_of(COUNTS, [group["updates"] for group in groups if "updates" in group]), default=0)

    def _follow(self, groups: list[dict[str, Any]]) -> None:
        """Find the rule and the schedule of each group, wherever others have put it, and take groups that are new."""
        if len(groups) == len(self._known) == len(self.group_rules) and all(
            k.group is group and complete(group) for k, group in zip(self._known, groups, strict=True)
        ):
            return
        found, known = [], {id(k.group): k for k in self._known}
        away = {id(k.group) for k in self._known[len(self.group_rules) :]}
        for group in groups:
            k = known.pop(id(group), None)
            if k is None:
                k = self._taken(group)
            elif not complete(group):
                k = self._taken(k.group, k.rule, k.schedule)
            elif id(group) in away:  # the count has gone on without it
                group["updates"] = self._done()
                if k.schedule is not None:
                    group["lr"] = k.schedule(group["updates"])
            found.append(k)
        # One that somebody keeps may come back.
        self._known = [*found, *(k for k in known.values() if getrefcount(k.group) > KEPT_BY_US)]
        self.group_rules, self._schedules = [k.rule for k in found], [k.schedule for k in found]

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @untraced
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one update of all parameters that have a gradient.

        In a function under `torch.compile` it runs as it is, between two graphs.

        Args:
            closure: computes the loss again, with gradients, and returns it; or None.

        Returns:
            What the closure returned, or None.

        Raises:
            TypeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                raise TypeError(f"RuleOptimizer.step(closure=...) must be a function or None, got {closure!r}")
            with torch.enable_grad():
                loss = closure()
        if not self._captured:
            refuse()
        jobs = self._current_jobs()
        if self.flat:
            self._buffers().attach()
        left = self._rates.left
        if left is None or not all(map(is_, map(_rate, self.param_groups), left)):
            self._rates.hold(self.param_groups, self._schedules, self._captured)
        if self._captured:
            self._captured.begin(self)
        # All of them look before one changes anything.
        try:
            for job in jobs:
                job.prepare(self.new_state, alone=len(jobs) == 1)
        except BaseException:
            for job in jobs:
                job.release(undo=True)
            raise
        for job in jobs:
            job.step()
        if self._seen is None or self._seen.entries != len(self.state):
            quick = any(job.executor.engine == CPP for job in jobs)
            self._seen = Seen(self.param_groups, self.state, quick=quick)
        if self._captured:
            self._captured.finish(self.param_groups, self._schedules)
            self._rates.leave(self.param_groups)
        else:
            for group in self.param_groups:
                group["updates"] += 1
            self._write_rates()
        return loss

    def _write_rates(self) -> None:
        if not any(self._schedules):
            self._rates.left = []
            return
        for group, schedule in zip(self.param_groups, self._schedules, strict=True):
            if schedule is not None:
                group["lr"] = rate = schedule(group["updates"])
                if not rate:
                    self._rates.ended(group, schedule)
        self._rates.left = [*map(_rate, self.param_groups)]

    def scheduler(self) -> ScheduleLR:
        """Return a scheduler to hand to a trainer that wants one: it leaves the rates to this optimizer.

        It counts its steps, tells the rates (`get_last_lr`), saves and loads as any other, and writes nothing.

        Examples:
            >>> import torch
            >>> from lrsched import Linear, rules
            >>> w = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
            >>> optimizer = RuleOptimizer([w], rules.SGD(), lr=Linear(0.5, 0.0, steps=2))
            >>> scheduler = optimizer.scheduler()
            >>> optimizer.step()
            >>> scheduler.step()
            >>> scheduler.get_last_lr()
            [0.25]
        """
        return ScheduleLR(self, [None] * len(self.param_groups))

    def zero_grad(self, set_to_none: bool | None = None) -> None:
        """Reset the gradients.

        Args:
            set_to_none: True for None, False for zeros. By default None, but with `flat` zeros in the buffer of the
                gradients, so that nothing is copied into it later. A parameter that gets no gradient afterwards is
                then updated with a gradient of zero.
        """
        if set_to_none is not None:
            check_switches("RuleOptimizer.zero_grad", set_to_none=set_to_none)
        if self.flat and not set_to_none:
            self._current_jobs()
            self._buffers().zero_grad()
        else:
            super().zero_grad(set_to_none is not False)

    def _buffers(self) -> Flat:
        if self._flat is None:
            self._flat = Flat(self._numbered(self.group_rules), quick=self.compile is True)
        return self._flat

    def _numbered(self, rules_of_groups: Sequence[rules.Rule]) -> list[tuple[rules.Rule, int, list[Tensor]]]:
        pairs = zip(rules_of_groups, self.param_groups, strict=True)
        return [(rule, i, group["params"]) for i, (rule, group) in enumerate(pairs)]

    def _current_jobs(self) -> list[Job]:
        """Return the jobs, one for each different rule; new ones if somebody has changed the groups."""
        groups = self.param_groups
        if self._seen is None or not self._seen.holds(groups, self.state):
            check_groups(groups)
            check_table(self.state)
            self._follow(groups)
            if self._flat is not None and not self._flat.holds(self._numbered(self.group_rules)):
                self._flat, self._jobs = None, []
            homes = self._buffers().homes if self.flat else {}
            numbers: dict[rules.Rule, list[int]] = {}
            for i, rule in enumerate(self.group_rules):
                numbers.setdefault(rule, []).append(i)
            found, jobs = [], self._jobs
            for rule, own in numbers.items():
                job = next((job for job in jobs if job.takes(rule, own, groups, self.state)), None)
                if job is None:
                    executor = self._executor(rule, [p for i in own for p in groups[i]["params"]], homes)
                    job = Job(executor, rule, own, groups, self.state, resident=self.flat)
                found.append(job)
            # What a step makes of the state is looked at after it.
            self._jobs, self._seen = found, None
        return self._jobs

    def _executor(self, rule: rules.Rule, ps: Sequence[Tensor], homes: dict[Tensor, Home]) -> Executor:
        """Choose what updates the parameters of one rule; they may be spread over processes."""
        return executor_of(
            rule, ps, homes, self._ways.setdefault(rule, Ways(rule, asked=self.compile is True)), self._captured,
            compile=self.compile, flat=self.flat, totals_over=self.totals_over,
        )  # fmt: skip

    def new_state(self, rule: rules.Rule, p: Tensor) -> dict[str, Any]:
        """Return the state of a parameter before its first update."""
        state = {"step": 0, **dict(named(rule.init(p)))}
        if self.master and p.dtype in LOW:
            state["master"] = p.detach().to(torch.float32)
        return state

    def state_dict(self) -> StateDict:
        """Return counts, moments and learning rates, as `load_state_dict` of every form takes them."""
        self._follow(self.param_groups)
        held = self.state
        own = set(map(id, chain.from_iterable(group["params"] for group in self.param_groups)))
        if not own.issuperset(map(id, held)):  # what belongs to a group that was removed has no number
            self.state = defaultdict(dict, {p: x for p, x in held.items() if id(p) in own or not torch.is_tensor(p)})
        hooks = self._optimizer_state_dict_post_hooks
        # First, so that the hooks of others see what is returned.
        self._optimizer_state_dict_post_hooks = OrderedDict(
            [(-1, lambda _, found: self._described(found)), *hooks.items()]
        )
        try:
            return super().state_dict()
        finally:
            self._optimizer_state_dict_post_hooks, self.state = hooks, held

    def _described(self, found: StateDict) -> None:
        if self._captured:
            plain(found["param_groups"])
        for group, k in zip(found["param_groups"], self._known, strict=False):
            group[OF] = k.slots.kind

    @untraced
    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load counts, moments and learning rates; the moments keep the dtype in which they were saved.

        Schedules stay those of the constructor and go on from the saved count.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            TypeError: something in the dictionary is of the wrong kind.
            ValueError: the groups do not fit, a number is out of range, or the moments are those of another rule. After
                an error the optimizer is as it was.
        """
        self._follow(self.param_groups)
        if self._captured:
            prepare("loaded its state")
        given: Any = state_dict
        given = dict(given) if isinstance(given, Mapping) else given
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            # As in torch, None stands for the dictionary itself.
            given = given if (found := hook(self, given)) is None else found
        state, groups = loaded(given, self.param_groups, [k.slots for k in self._known], master=self.master)
        self.__setstate__({"state": state, "param_groups": groups})
        if self._captured:
            self._captured.load(self.param_groups, self._schedules)
        else:
            self._write_rates()
        for done in self._optimizer_load_state_dict_post_hooks.values():
            done(self)
