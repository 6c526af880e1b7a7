"""An update rule as a torch optimizer."""

from collections.abc import Callable, Iterator
from itertools import chain
from numbers import Real
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT, StateDict

from lrsched import Schedule, rules
from lrsched_torch._update import Leaf, Update, batch_of, compiled, named, update_with


class RuleOptimizer(Optimizer):
    """A torch optimizer that runs an update rule of `lrsched.rules` in place.

    The rule sees all parameters of the optimizer that have a gradient, so `ClipByGlobalNorm` takes the norm over all
    groups, which must then be on one device; if it stands after the rule, each group is clipped as if all groups had
    its learning rate. Parameters without a gradient keep value and state, and each counts its own updates. Gradients
    are only read. Moments are float32 (float64 for float64 parameters) and stay so through `state_dict` and
    `load_state_dict`.

    Works with closures, step hooks, `zero_grad` and `torch.amp.GradScaler`, which skips a step when a gradient is not
    finite; then the schedule stands still too.

    Args:
        params: parameters, named parameters or groups. A group may have its own `lr`, of any kind below, and its own
            `maximize`.
        rule: the update rule, such as `rules.Adam()` or `rules.ClipByGlobalNorm(1.0) >> rules.Momentum(0.9)`.
        lr: learning rate. A number or a 0-d tensor stays until a scheduler changes it. A schedule is driven by the
            number of steps of this optimizer, which is saved: step t (from 0) uses `lr(t)`, and leaves `lr(t + 1)` in
            the group for the next. So no scheduler is needed; what one writes there holds for the next step.
        maximize: go up instead of down.
        compile: run the rule as one graph of `torch.compile`, with learning rate and step as tensors, so that nothing
            compiles again while they change. The first step compiles; so does another set of parameters with gradients.
            All parameters must be on one device.

    Raises:
        TypeError: an argument is of the wrong kind, or a parameter is complex or no floating-point tensor. In `step`: a
            gradient is sparse.
        ValueError: a learning rate is negative or not finite.

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
        lr: float | Tensor | Schedule,
        *,
        maximize: bool = False,
        compile: bool = False,
    ) -> None:
        _check_rule(rule)
        self.rule = rule
        self.compile = compile
        self._schedules: list[Schedule | None] = []
        super().__init__(params, {"lr": lr, "maximize": maximize})
        self._prepare()

    def _prepare(self) -> None:
        """Make what is neither copied nor pickled."""
        self._together = self.rule.couples
        update = update_with(self.rule)
        self._update: Update = compiled(update) if self.compile else update
        # Slots without memory, for their structure.
        self._empty: dict[Tensor, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles keep."""
        own = {"rule": self.rule, "compile": self.compile, "_schedules": self._schedules}
        return {**super().__getstate__(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what `__getstate__` returned, or, from `load_state_dict`, a part of it."""
        super().__setstate__(state)
        if "_update" not in self.__dict__:
            self._prepare()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with their own `lr` and `maximize` if the group has them.

        A schedule goes on with the count of the optimizer.

        Args:
            param_group: a dictionary with the parameters under "params".

        Raises:
            TypeError: a parameter or the learning rate is of the wrong kind.
            ValueError: the learning rate is negative or not finite.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            for p in group["params"]:
                if not p.is_floating_point():
                    raise TypeError(
                        f"RuleOptimizer(params=...) must be real floating-point tensors, got one of {p.dtype}"
                    )
            lr = group["lr"]
            _check_rate(lr)
        except (TypeError, ValueError):
            del self.param_groups[-1]
            raise
        group["updates"] = self.param_groups[0].get("updates", 0)
        self._schedules.append(lr if isinstance(lr, Schedule) else None)
        if isinstance(lr, Schedule):
            group["lr"] = lr(group["updates"])

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Do one update of all parameters that have a gradient.

        Args:
            closure: computes the loss again, with gradients, and returns it; or None.

        Returns:
            What the closure returned, or None.

        Raises:
            TypeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        leaves = [
            self._leaf(i, p) for i, group in enumerate(self.param_groups) for p in group["params"] if p.grad is not None
        ]
        if leaves:
            self._update(batch_of(leaves, self._bucket))
        for leaf in leaves:
            self.state[leaf.p]["step"] += 1
        for group in self.param_groups:
            group["updates"] += 1
        self._write_rates()
        return loss

    def _write_rates(self) -> None:
        for group, schedule in zip(self.param_groups, self._schedules, strict=True):
            if schedule is not None:
                group["lr"] = schedule(group["updates"])

    def _bucket(self, leaf: Leaf) -> Any:
        """Return what the leaves of one call of the rule have in common."""
        if self.compile:
            return leaf.group, leaf.step  # the same buckets while learning rates move
        if self._together:
            return id(leaf.lr) if isinstance(leaf.lr, Tensor) else leaf.lr, leaf.step
        return id(leaf.p)  # one after the other needs the least memory

    def _leaf(self, i: int, p: Tensor) -> Leaf:
        group, state, g = self.param_groups[i], self.state[p], p.grad
        assert g is not None
        if g.layout != torch.strided:
            raise TypeError(
                f"RuleOptimizer.step() must get dense gradients, got one of {g.layout} for a parameter of shape "
                f"{tuple(p.shape)}; write torch.nn.Embedding(..., sparse=False)"
            )
        if not state:
            state["step"] = 0
            state.update(named(self.rule.init(p)))
        empty = self._structure(p)
        contents = (state[name] for name, _ in named(empty))
        slots = rules.map_arrays(lambda _: next(contents), empty)
        return Leaf(p, g, slots, group["lr"], state["step"], i, group["maximize"])

    def _structure(self, p: Tensor) -> Any:
        if p not in self._empty:
            self._empty[p] = self.rule.init(torch.empty_like(p, device="meta"))
        return self._empty[p]

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load counts, moments and learning rates; the moments keep the dtype in which they were saved.

        Schedules stay those of the constructor and go on from the saved count.

        Args:
            state_dict: what `state_dict` returned.

        Raises:
            ValueError: the groups do not fit, or the moments are those of another rule.
        """
        final: StateDict = {}

        def read(_: Optimizer, given: StateDict) -> None:
            self._check_state(given)
            final.update(given)

        # Registered last, so it sees what the hooks of others have made of the dictionary.
        handle = self.register_load_state_dict_pre_hook(read)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        for i, p in self._matched(final):
            # The base class has cast the moments to the dtype of the parameter.
            if saved := final["state"].get(i):
                self.state[p] = {k: v.to(p.device, copy=True) if isinstance(v, Tensor) else v for k, v in saved.items()}
        self._write_rates()

    def _matched(self, state_dict: StateDict) -> Iterator[tuple[Any, Tensor]]:
        """Yield the number of each parameter in the state and the parameter; the base class checks the lengths."""
        numbers = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        return zip(numbers, chain.from_iterable(group["params"] for group in self.param_groups), strict=False)

    def _check_state(self, state_dict: StateDict) -> None:
        where = "RuleOptimizer.load_state_dict(...) must get the state of a RuleOptimizer"
        for group in state_dict["param_groups"]:
            if "updates" not in group:
                raise ValueError(f"{where}, got a group with the entries {sorted(group)}")
        for i, p in self._matched(state_dict):
            saved = state_dict["state"].get(i)
            wanted = ["step", *(name for name, _ in named(self._structure(p)))]
            if saved and set(saved) != set(wanted):
                raise ValueError(f"{where} with the rule {self.rule!r}, which keeps {wanted}, got {sorted(saved)}")


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, rules.Rule):
        hint = f"; write {rule!r} >> rules.SGD()" if isinstance(rule, rules.Part) else ""
        raise TypeError(f"RuleOptimizer(rule=...) must be a rule such as rules.Adam(), got {rule!r}{hint}")


def _check_rate(lr: Any) -> None:
    must = "RuleOptimizer(lr=...) must be a finite number >= 0, a 0-d tensor or a schedule"
    if isinstance(lr, Schedule):
        lr(0)  # a warm-up without a neighbour has no height
        return
    if isinstance(lr, bool) or not isinstance(lr, Real | Tensor):
        raise TypeError(f"{must}, got {lr!r}")
    if isinstance(lr, Tensor):
        if lr.ndim != 0:
            raise ValueError(f"{must}, got a tensor of shape {tuple(lr.shape)}")
    elif not 0.0 <= float(lr) < float("inf"):
        raise ValueError(f"{must}, got {lr!r}")
