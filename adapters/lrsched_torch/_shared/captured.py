"""What a step that a CUDA graph can repeat keeps on the device: counts, learning rates and the scale of the loss.

A graph launches again what was launched while it was captured, on the same memory. So no number of the host may change
from step to step: what does is a tensor, and the schedules are part of the step.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from lrsched import Schedule
from lrsched_torch._shared.update import Member

Curve = Callable[[Tensor], Tensor]
Group = dict[str, Any]
# What a group keeps on the device.
KEPT = ("lr", "updates")


def capturing() -> bool:
    """Return whether what is launched goes into a CUDA graph."""
    begun: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return begun and torch.cuda.is_current_stream_capturing()


def refuse() -> None:
    """Raise an error if a step that counts on the host is to be captured.

    Raises:
        RuntimeError: a graph is captured.
    """
    if capturing():
        raise RuntimeError(
            "RuleOptimizer.step() must count on the device to be captured in a CUDA graph; write "
            "RuleOptimizer(..., capturable=True)"
        )


def prepare(what: str) -> None:
    """Raise an error if something must be done now that no graph can repeat.

    Raises:
        RuntimeError: a graph is captured.
    """
    if capturing():
        raise RuntimeError(
            f"RuleOptimizer.step() must have {what} before a CUDA graph is captured; do the same step a few times on a "
            "side stream first"
        )


def numbers(tensors: Sequence[Any]) -> list[float]:
    """Return the contents of 0-d tensors and numbers, with one wait for the device."""
    there = [x.detach().to(torch.float64).reshape(()) for x in tensors if isinstance(x, Tensor)]
    found = iter(torch.stack([x.to(there[0].device) for x in there]).tolist() if there else [])
    return [next(found) if isinstance(x, Tensor) else float(x) for x in tensors]


class Captured:
    """The counts and rates of one optimizer, and what it has been told of the gradients of this step.

    Attributes:
        scaled: whether the gradients of this step are scaled or may be infinite.
    """

    def __init__(self) -> None:
        self._homes: dict[tuple[int, str], Tensor] = {}
        self._curves: dict[Any, tuple[Schedule, Curve]] = {}
        self.tell(None, None)

    def tell(self, scale: Tensor | None, found: Tensor | None) -> None:
        """Take what a gradient scaler has said of the gradients.

        Args:
            scale: by what they are too large, or None for 1.
            found: not 0 if one is infinite or NaN, or None for 0.
        """
        self.scaled = scale is not None or found is not None
        self._scale, self._found = scale, found
        self._told: dict[torch.device, dict[str, Tensor]] = {}

    def begin(self, optimizer: Any) -> None:
        """Look at the groups, and at what a gradient scaler has given to the optimizer for this step."""
        self.tell(getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None))
        self.adopt(optimizer.param_groups)

    def told(self, device: torch.device) -> dict[str, Tensor]:
        """Return what graphs call `inverse` and `found`, in float64; nothing if the gradients are as they should be."""
        if self.scaled and device not in self._told:
            one = torch.ones((), dtype=torch.float64, device=device)
            scale = one if self._scale is None else self._scale.to(device, torch.float64).reshape(())
            found = one * 0.0 if self._found is None else self._found.to(device, torch.float64).reshape(())
            self._told[device] = {"inverse": scale.reciprocal(), "found": found, "moves": (found == 0.0).to(one.dtype)}
        return {name: self._told[device][name] for name in ("inverse", "found")} if self.scaled else {}

    def count(self, counts: Iterable[Tensor]) -> None:
        """Add one to counts, each given once or more often, unless the step is skipped."""
        for x in {id(x): x for x in counts}.values():
            self.told(x.device)
            x.add_(self._told[x.device]["moves"] if self.scaled else 1.0)

    def adopt(self, groups: Sequence[Group]) -> None:
        """Put rates and counts of updates on the device of their groups; those that lie there stay."""
        kept = {id(group[name]) for group in groups for name in KEPT}
        for i, group in enumerate(groups):
            device = group["params"][0].device if group["params"] else torch.device("cpu")
            for name in KEPT:
                x, home = group[name], self._homes.get((i, name))
                if home is not None and home is not x and id(home) in kept:
                    home = None  # that of a group which others have moved
                if home is None or x is not home or home.device != device:
                    self._homes[i, name] = group[name] = _settled(x, home, device)

    def finish(self, groups: Sequence[Group], schedules: Sequence[Schedule | None]) -> None:
        """Count the update, and write the rates of the next."""
        self.count(group["updates"] for group in groups)
        self.write_rates(groups, schedules)
        self.tell(None, None)

    def load(self, groups: Sequence[Group], schedules: Sequence[Schedule | None]) -> None:
        """Take rates and counts of updates that were loaded."""
        self.tell(None, None)
        plain(groups)
        self.adopt(groups)
        self.write_rates(groups, schedules)

    def write_rates(self, groups: Sequence[Group], schedules: Sequence[Schedule | None]) -> None:
        """Write the rates of schedules, unless the step is skipped."""
        for group, schedule in zip(groups, schedules, strict=True):
            if schedule is not None:
                lr = group["lr"]
                new = self._curve(schedule, lr.device)(group["updates"])
                told = self.told(lr.device)
                lr.copy_(torch.where(told["found"] == 0.0, new, lr) if told else new)

    def _curve(self, schedule: Schedule, device: torch.device) -> Curve:
        """Return the schedule as a function on a device."""
        key = (id(schedule), device)
        if key not in self._curves:
            prepare("evaluated its schedules")
            self._curves[key] = schedule, traced(schedule, device)
        return self._curves[key][1]

    def prepare(self) -> None:
        """Raise an error if members cannot be laid out now, as a graph is captured."""
        prepare("met the same parameters, gradients and groups")

    def settle(self, members: Sequence[Member]) -> list[Tensor]:
        """Let members that have done as many updates have one count in common, and return the counts."""
        counts: dict[Any, Tensor] = {}
        for m, done in zip(members, numbers([m.state["step"] for m in members]), strict=True):
            key = (m.p.device, done)
            if key not in counts:
                # A count of its own, as others may go on to share the present one.
                counts[key] = torch.full((), done, dtype=torch.float64, device=m.p.device)
            m.state["step"] = counts[key]
        return list(counts.values())


class Upload:
    """Sends a table to a device when its key changes; a CUDA graph has a copy of its own.

    Args:
        device: the device.
        spare: whether to keep memory of the host for a table that a graph sends.
    """

    def __init__(self, device: torch.device, *, spare: bool) -> None:
        self.device, self.spare = device, spare and device.type == "cuda"
        self._key: Any = None
        self._table = torch.empty(0)
        self._spare: list[Tensor] = []
        self._held: list[Tensor] = []

    def __call__(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        """Return on the device what `make` makes, which is the same for the same key."""
        if capturing():
            return self._captured(key, make)
        if key != self._key:
            table = make()
            self._key, self._table = key, sent(table, self.device)
            if self.spare and not self._spare:
                self._spare.append(torch.empty_like(table).pin_memory())
        return self._table

    def _captured(self, key: Any, make: Callable[[], Tensor]) -> Tensor:
        """Return a table that stays as it is as long as the graph may be launched."""
        if key == self._key:
            self._held.append(self._table)
            return self._table
        if not self._spare:
            prepare("met other gradients")
        # Each launch copies it, so the memory of the host is for nothing else.
        host = self._spare.pop().copy_(make())
        self._held.append(host)
        return torch.empty_like(host, device=self.device).copy_(host, non_blocking=True)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on a device, without waiting for it."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def plain(groups: Sequence[Group]) -> None:
    """Replace rates and counts of updates by numbers."""
    found = iter(numbers([group[name] for group in groups for name in KEPT]))
    for group in groups:
        group["lr"] = next(found)
        group["updates"] = int(next(found))


def _settled(x: Any, home: Tensor | None, device: torch.device) -> Tensor:
    """Return a rate or count as a tensor on a device: itself, or what was there before with its content."""
    if isinstance(x, Tensor) and x.device == device and x.is_floating_point():
        return x
    prepare("taken learning rates that are numbers of the host")
    if home is None or home.device != device:
        return torch.full((), float(x), dtype=torch.float64, device=device)
    return home.fill_(float(x))


def traced(schedule: Schedule, device: torch.device) -> Curve:
    """Return a schedule as a graph from a count to a rate, both 0-d and float64, with its constants on the device."""

    # With a dimension: to take one item of a table by a 0-d tensor would wait for the device.
    def function(updates: Tensor) -> Tensor:
        rate: Tensor = schedule(updates.reshape(1))
        return rate.reshape(())

    with torch.no_grad():
        graph = make_fx(function)(torch.zeros((), dtype=torch.float64, device=device))
    _fold(graph, device)
    return graph


def _fold(graph: GraphModule, device: torch.device) -> None:
    """Compute once what does not depend on the inputs."""
    known: dict[Node, Any] = {}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr":
            known[node] = getattr(graph, str(node.target))
        elif node.op == "call_function" and all(n in known for n in node.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda n: known[n])
            known[node] = node.target(*args, **kwargs)
        else:
            continue
        if any(user not in known for user in node.users) and isinstance(known[node], Tensor):
            graph.register_buffer(f"fixed_{node.name}", known[node].to(device, copy=True))
            with graph.graph.inserting_before(node):
                fixed = graph.graph.get_attr(f"fixed_{node.name}")
            node.replace_all_uses_with(fixed)
            known[fixed] = known[node]
    graph.graph.eliminate_dead_code()
    graph.recompile()
