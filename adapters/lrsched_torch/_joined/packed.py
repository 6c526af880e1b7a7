"""The updates of one rule on parameters that may be cut and joined."""

from collections.abc import Sequence
from operator import is_
from typing import Any, Protocol

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.engines import Compiled, Eager, Loaded
from lrsched_torch._joined.native import Kernel, kernel_of
from lrsched_torch._joined.units import CPU, GPU, NATIVE, Home, Unit, flattened, label
from lrsched_torch._shared.captured import Captured
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Member
from lrsched_torch._traced.graphs import Env


class Engine(Protocol):
    """Runs the passes of a rule over one unit."""

    def reduce(self, loaded: Loaded, index: int) -> Any:
        """Return the result of reduction number `index`; the ones before are known."""

    def finish(self, loaded: Loaded) -> None:
        """Write the new parameter and slots; all reductions are known."""


class Packed(Executor):
    """Does the updates of one rule.

    Args:
        rule: a rule that packs.
        compile: whether to compile it.
        homes: the places of parameters in one buffer, if they have some.
        captured: what is kept on the device, if it is kept there.
    """

    def __init__(
        self, rule: rules.Rule, *, compile: bool, homes: dict[Tensor, Home], captured: Captured | None = None
    ) -> None:
        self.rule, self.compile, self.homes, self.captured = rule, compile, homes, captured
        self.facts = facts_of(rule)
        # The native kernels take the number of the update from the host.
        self.kernel = None if captured else kernel_of(rule)
        self._scaled = False
        self._counts: list[Tensor] = []
        self._members: list[Member] = []
        self._gs: list[Tensor] = []
        self._dtypes: list[torch.dtype] = []
        self._units: list[Unit] = []
        self._scratch: dict[Any, Tensor] = {}

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members; the same lists stand for the same members and dtypes."""
        scaled = self.captured is not None and self.captured.scaled
        again = members is not self._members or scaled != self._scaled
        if again or gs is not self._gs:
            dtypes = [g.dtype for g in gs]
            if again or dtypes != self._dtypes:
                self._plan(members, dtypes)
            self._gs, self._scaled = gs, scaled
        if not all(unit.fits() for unit in self._units):
            self._plan(members, self._dtypes)
        units = self._units if self.kernel is None else self._natively(self.kernel, gs)
        engine: Engine = (
            Compiled(self.rule, self.facts, self.captured) if self.compile else Eager(self.rule, self.facts)
        )
        if self.facts.totals:
            self._together(engine, units, gs)
        else:
            for unit in units:
                loaded = self.load(unit, gs)
                for i in range(len(self.facts.reductions)):
                    loaded.known.append(engine.reduce(loaded, i))
                engine.finish(loaded)
                self.store(unit, loaded.low if loaded.low is not None else loaded.p)
        for unit in self._units:
            unit.advance()
        if self.captured:
            self.captured.count(self._counts)
        if not self.homes:
            self._gs = []

    def _natively(self, kernel: Kernel, gs: Sequence[Tensor]) -> list[Unit]:
        """Update by a native kernel the units of one dtype, and return the others.

        On a CPU the native kernel is never slower than what is compiled, which is all that other devices get.
        """
        rest: list[Unit] = []
        lists: dict[Any, list[Loaded]] = {}
        for unit in self._units:
            mixed = {unit.ps[0].dtype, gs[unit.indices[0]].dtype} != {unit.work}
            if unit.master or mixed or (self.compile and unit.device.type != "cpu"):
                rest.append(unit)
            elif unit.alone:
                key = (unit.number, unit.step, unit.work, unit.device)
                lists.setdefault(key, []).append(self.load(unit, gs))
            else:
                loaded = self.load(unit, gs)
                _run_kernel(kernel, [loaded])
                self.store(unit, loaded.p)
        for together in lists.values():
            _run_kernel(kernel, together)
        return rest

    def _together(self, engine: Engine, units: Sequence[Unit], gs: Sequence[Tensor]) -> None:
        """Do all passes over all units, one pass after the other."""
        kept: list[tuple[list[Any], Env]] = [([], {}) for _ in units]
        count = len(self.facts.reductions)
        for i in range(count + 1):
            found = []
            for unit, (known, env) in zip(units, kept, strict=True):
                loaded = self.load(unit, gs)._replace(known=known, env=env)
                if i == count:
                    engine.finish(loaded)
                    self.store(unit, loaded.low if loaded.low is not None else loaded.p)
                else:
                    found.append(engine.reduce(loaded, i))
            if i < count:
                if self.facts.reductions[i].kind == "total":
                    total = torch.stack([x.to(found[0]) for x in found]).sum()
                    found = [total.to(x) for x in found]
                for (known, _), result in zip(kept, found, strict=True):
                    known.append(result)

    def _plan(self, members: list[Member], dtypes: list[torch.dtype]) -> None:
        """Lay out the members anew; their state goes on."""
        if self.captured:
            self._counts = self.captured.settle(members)
        limits = NATIVE if self.kernel else CPU
        if any(m.p.device.type != "cpu" for m in members):
            limits = GPU
        self._units = []
        open_: dict[Any, tuple[list[Member], list[int], int]] = {}

        def close(key: Any) -> None:
            own, indices, _ = open_.pop(key)
            homes = [self.homes[m.p] for m in own] if own[0].p in self.homes else None
            self._units.append(Unit(own, indices, self.facts, "master" in own[0].state, homes))

        for i, (member, dtype) in enumerate(zip(members, dtypes, strict=True)):
            p, home = member.p, self.homes.get(member.p)
            rank = p.dim() if self.facts.ranked and self.facts.elementwise else 0
            key = (member.number, label(member.state["step"]), rank, p.dtype, dtype, p.device, home is not None)
            size = p.numel()
            if size >= limits.alone and (home is None or not (self.compile or self.facts.elementwise)):
                self._units.append(Unit([member], [i], self.facts, "master" in member.state, None))
                continue
            if key in open_:
                own, _, total = open_[key]
                apart = home is not None and self.homes[own[-1].p].end != home.begin
                if apart or (home is None and total + size > limits.bucket):
                    close(key)
            own, indices, total = open_.setdefault(key, ([], [], 0))
            own.append(member)
            indices.append(i)
            open_[key] = (own, indices, total + size)
        for key in list(open_):
            close(key)
        self._members, self._dtypes, self._scratch = members, dtypes, {}

    def _room(self, unit: Unit, what: str, dtype: torch.dtype) -> Tensor:
        """Return a buffer for a bucket, which all buckets share."""
        key = (what, dtype, unit.device)
        if key not in self._scratch:
            most = max(u.size for u in self._units if not u.alone and u.homes is None and u.device == unit.device)
            self._scratch[key] = torch.zeros(most, dtype=dtype, device=unit.device)
        return self._scratch[key][: unit.size]

    def load(self, unit: Unit, gs: Sequence[Tensor]) -> Loaded:
        """Return the arrays of a unit as a kernel sees them; those of a bucket are gathered."""
        own = [gs[i] for i in unit.indices] if len(unit.indices) < len(gs) else gs
        if unit.alone:
            (p,), (g,) = unit.ps, own
            if g.stride() != p.stride():
                g = torch.empty_like(p, dtype=g.dtype).copy_(g)
            low, g = flattened(p), flattened(g)
        elif unit.homes is not None:
            low, g = unit.p, unit.g
            if not all(map(is_, own, unit.gs)):
                away = [(view, x) for view, x in zip(unit.gs, own, strict=True) if x is not view]
                torch._foreach_copy_([view for view, _ in away], [x for _, x in away])
        else:
            low, g = self._gathered(unit, "p", unit.ps), self._gathered(unit, "g", own)
        if unit.master:
            return Loaded(unit, unit.slots[-1], low, g, [], {})
        return Loaded(unit, low, None, g, [], {})

    def _gathered(self, unit: Unit, what: str, arrays: Sequence[Tensor]) -> Tensor:
        room = self._room(unit, what, arrays[0].dtype)
        if what == "g" or not unit.master:
            unit.gather(what, arrays, room)
        return unit.shaped(room)

    def store(self, unit: Unit, p: Tensor) -> None:
        """Write the parameters of a bucket back."""
        if not unit.alone and unit.homes is None:
            torch._foreach_copy_(unit.ps, unit.places("p", p.view(-1)))


def _run_kernel(kernel: Kernel, loaded: Sequence[Loaded]) -> None:
    unit = loaded[0].unit
    lr = unit.group["lr"]
    kernel(
        [x.p for x in loaded],
        [x.g for x in loaded],
        [x.unit.slots for x in loaded],
        lr if isinstance(lr, Tensor) else float(lr),
        unit.step,
        unit.maximize,
    )
