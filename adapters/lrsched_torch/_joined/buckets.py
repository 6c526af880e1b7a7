"""The updates of one rule on parameters that may be cut and joined.

A small weight comes from `_shared/jobs.py` with its state and its gradient. At the first step it gets a place in a
bucket beside others of its group, step and dtype, and its slots move to their places in the buffers of that bucket
(`bucket.py`). At each step `load` copies weight and gradient beside those of the others, into buffers that all buckets
share; an engine (`engines.py`) or PyTorch's own kernel of the rule (`native.py`) updates all of them as one tensor, as
a call for each would take longer than its work; and `store` copies the weight back. A large weight is a bucket by
itself, where it lies.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import CPU, GPU, NATIVE, Bucket, Home, flattened, label
from lrsched_torch._joined.engines import Compiled, Eager, Engine, Loaded, NativeKernel
from lrsched_torch._joined.native import Kernel, native_of
from lrsched_torch._shared.captured import Captured
from lrsched_torch._shared.compiling import EAGER, INDUCTOR
from lrsched_torch._shared.entries import check_gradients, check_members
from lrsched_torch._shared.facts import facts_of
from lrsched_torch._shared.jobs import Executor
from lrsched_torch._shared.update import Member
from lrsched_torch._traced.graphs import Env


class Buckets(Executor):
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
        self.parts, self.kernel = ((), None) if captured else native_of(rule)
        self.engine = INDUCTOR if compile else EAGER if self.kernel is None else "kernel of PyTorch"
        self._scaled = False
        self._engine: Engine = Eager(rule, self.facts)
        self._counts: list[Tensor] = []
        self._members: list[Member] = []
        self._gs: list[Tensor] = []
        self._dtypes: list[torch.dtype] = []
        self._buckets: list[Bucket] = []
        self._scratch: dict[Any, Tensor] = {}

    def prepare(self, members: list[Member], gs: list[Tensor]) -> None:
        """Lay out the members, and compile; the same lists stand for the same members and dtypes."""
        scaled = self.captured is not None and self.captured.scaled
        again = members is not self._members or scaled != self._scaled
        if again or gs is not self._gs:
            dtypes = [g.dtype for g in gs]
            if again or dtypes != self._dtypes:
                self._plan(members, dtypes)
            self._gs, self._scaled = gs, scaled
        if not all(bucket.fits() for bucket in self._buckets):
            self._plan(members, self._dtypes)
            check_gradients([m.p for m in members], gs)
        for bucket in self._buckets:
            own = [gs[i] for i in bucket.indices] if len(bucket.indices) < len(gs) else gs
            bucket.look(own, native=self.kernel is not None and self._is_native(bucket))
        eager = Eager(self.rule, self.facts)
        self._engine = NativeKernel(self.parts, self.kernel, eager) if self.kernel else eager
        # What is kept on the device is known to the graphs alone.
        if self.compile or self.captured:
            self._engine = Compiled(self.rule, self.facts, self.captured)
            for bucket in self._buckets:
                if not self._is_native(bucket):
                    dtype = self._dtypes[bucket.indices[0]]
                    self._engine.prepare(bucket, dtype, compile=self.compile)

    def __call__(self, members: list[Member], gs: list[Tensor]) -> None:
        """Do one update of the members."""
        buckets, engine = self._buckets, self._engine
        if self.kernel and not self.parts:
            buckets = self._natively(self.kernel, gs)
        if self.facts.totals:
            self._together(engine, buckets, gs)
        else:
            for bucket in buckets:
                loaded = self.load(bucket, gs)
                for i in range(len(self.facts.reductions)):
                    loaded.known.append(engine.reduce(loaded, i))
                engine.finish(loaded)
                self.store(bucket, loaded.low if loaded.low is not None else loaded.p)
        for bucket in self._buckets:
            bucket.advance()
        if self.captured:
            self.captured.count(self._counts)
        if not self.homes:
            self._gs = []

    def _is_native(self, bucket: Bucket) -> bool:
        """Return whether a native kernel alone updates a bucket, which must be of one dtype.

        On a CPU it is never slower than what is compiled, which is all that other devices get.
        """
        mixed = {bucket.ps[0].dtype, self._dtypes[bucket.indices[0]]} != {bucket.work}
        compiled = self.compile and bucket.device.type != "cpu"
        return self.kernel is not None and not (self.parts or bucket.master or mixed or compiled)

    def _natively(self, kernel: Kernel, gs: Sequence[Tensor]) -> list[Bucket]:
        """Update by a native kernel the buckets that it may, and return the others."""
        rest: list[Bucket] = []
        lists: dict[Any, list[Loaded]] = {}
        for bucket in self._buckets:
            if not self._is_native(bucket):
                rest.append(bucket)
            elif bucket.alone:
                key = (bucket.number, bucket.step, bucket.work, bucket.device)
                lists.setdefault(key, []).append(self.load(bucket, gs))
            elif bucket.in_lists:
                _run_kernel(kernel, bucket, bucket.ps, [gs[i] for i in bucket.indices], bucket.slots_of_each())
            else:
                loaded = self.load(bucket, gs)
                _run_kernel(kernel, bucket, [loaded.p], [loaded.g], [bucket.slots])
                self.store(bucket, loaded.p)
        for together in lists.values():
            slots = [x.bucket.slots for x in together]
            _run_kernel(kernel, together[0].bucket, [x.p for x in together], [x.g for x in together], slots)
        return rest

    def _together(self, engine: Engine, buckets: Sequence[Bucket], gs: Sequence[Tensor]) -> None:
        """Do all passes over all buckets, one pass after the other."""
        kept: list[tuple[list[Any], Env]] = [([], {}) for _ in buckets]
        count = len(self.facts.reductions)
        for i in range(count + 1):
            found = []
            for bucket, (known, env) in zip(buckets, kept, strict=True):
                loaded = self.load(bucket, gs)._replace(known=known, env=env)
                if i == count:
                    engine.finish(loaded)
                    self.store(bucket, loaded.low if loaded.low is not None else loaded.p)
                else:
                    found.append(engine.reduce(loaded, i))
            if i < count:
                if self.facts.reductions[i] == "total":
                    total = torch.stack([x.to(found[0]) for x in found]).sum()
                    found = [total.to(x) for x in found]
                for (known, _), result in zip(kept, found, strict=True):
                    known.append(result)

    def _plan(self, members: list[Member], dtypes: list[torch.dtype]) -> None:
        """Lay out the members anew; their state goes on."""
        if self.captured:
            self.captured.prepare()
        check_members(self.rule, members)
        if self.captured:
            self._counts = self.captured.settle(members)
        alone, most = NATIVE if self.kernel and not self.parts else CPU
        if any(m.p.device.type != "cpu" for m in members):
            alone, most = GPU
        self._buckets = []
        open_: dict[Any, tuple[list[Member], list[int], int]] = {}

        def close(key: Any) -> None:
            own, indices, _ = open_.pop(key)
            homes = [self.homes[m.p] for m in own] if own[0].p in self.homes else None
            self._buckets.append(Bucket(own, indices, self.facts, "master" in own[0].state, homes))

        for i, (member, dtype) in enumerate(zip(members, dtypes, strict=True)):
            p, home = member.p, self.homes.get(member.p)
            rank = p.dim() if self.facts.ranked and self.facts.elementwise else 0
            key = (member.number, label(member.state["step"]), rank, p.dtype, dtype, p.device, home is not None)
            size = p.numel()
            if size >= alone and (home is None or not (self.compile or self.facts.elementwise)):
                self._buckets.append(Bucket([member], [i], self.facts, "master" in member.state, None))
                continue
            if key in open_:
                own, _, total = open_[key]
                apart = home is not None and self.homes[own[-1].p].end != home.begin
                if apart or (home is None and total + size > most):
                    close(key)
            own, indices, total = open_.setdefault(key, ([], [], 0))
            own.append(member)
            indices.append(i)
            open_[key] = (own, indices, total + size)
        for key in list(open_):
            close(key)
        self._members, self._dtypes, self._scratch = members, dtypes, {}

    def _room(self, bucket: Bucket, what: str, dtype: torch.dtype) -> Tensor:
        """Return a buffer for a bucket, which all buckets share."""
        key = (what, dtype, bucket.device)
        if key not in self._scratch:
            most = max(x.size for x in self._buckets if not x.alone and x.homes is None and x.device == bucket.device)
            self._scratch[key] = torch.zeros(most, dtype=dtype, device=bucket.device)
        return self._scratch[key][: bucket.size]

    def load(self, bucket: Bucket, gs: Sequence[Tensor]) -> Loaded:
        """Return the arrays of a bucket as a kernel sees them; those of several tensors are gathered."""
        own = [gs[i] for i in bucket.indices] if len(bucket.indices) < len(gs) else gs
        if bucket.alone:
            (p,), (g,) = bucket.ps, own
            if g.stride() != p.stride():
                g = torch.empty_like(p, dtype=g.dtype).copy_(g)
            low, g = flattened(p), flattened(g)
        elif bucket.homes is not None:
            low, g = bucket.p, bucket.g
            if not all(map(is_, own, bucket.gs)):
                away = [(view, x) for view, x in zip(bucket.gs, own, strict=True) if x is not view]
                torch._foreach_copy_([view for view, _ in away], [x for _, x in away])
        else:
            low, g = self._gathered(bucket, "p", bucket.ps), self._gathered(bucket, "g", own)
        if bucket.master:
            return Loaded(bucket, bucket.slots[-1], low, g, [], {})
        return Loaded(bucket, low, None, g, [], {})

    def _gathered(self, bucket: Bucket, what: str, arrays: Sequence[Tensor]) -> Tensor:
        room = self._room(bucket, what, arrays[0].dtype)
        if what == "g" or not bucket.master:
            bucket.gather(what, arrays, room)
        return bucket.shaped(room)

    def store(self, bucket: Bucket, p: Tensor) -> None:
        """Write the parameters of a bucket back."""
        if not bucket.alone and bucket.homes is None:
            torch._foreach_copy_(bucket.ps, bucket.places("p", p.view(-1)))


def _run_kernel(kernel: Kernel, bucket: Bucket, ps: list[Tensor], gs: list[Tensor], slots: list[list[Tensor]]) -> None:
    """Run a kernel on tensors that have the group and the step of a bucket."""
    lr = bucket.group["lr"]
    kernel(ps, gs, slots, lr if isinstance(lr, Tensor) else float(lr), bucket.step, bucket.maximize)
