"""Two ways to run the body of a rule over a bucket: eagerly, piece by piece, and compiled.

A bucket comes from `buckets.py` as `Loaded`: one array for the parameters, one for the gradients, one for each slot.
For each sum that the rule asks for, `reduce` runs its body as far as that question; then `finish` runs all of it, with
the answers, and writes parameters and slots in place. `Eager` does so for pieces that fit in the cache, as each
operation of torch by itself reads and writes all it is given. `Compiled` hands the arrays to the graphs of
`_traced/graphs.py`, in which a pass is one loop, and computes only once what follows from learning rate and step alone.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lrsched import rules
from lrsched_torch._joined.bucket import Bucket
from lrsched_torch._joined.native import Kernel, transformed
from lrsched_torch._shared.captured import Captured
from lrsched_torch._shared.facts import Facts, ops, rebuilt
from lrsched_torch._shared.update import apart
from lrsched_torch._traced.graphs import TABLES, Env, Form, Passes, flat_context, known_names, phases_of

# Elements of one piece of an eager update: what it reads, writes and keeps for a moment stays in the cache.
PIECE = 2**17


Inputs = tuple[list[Tensor], list[Tensor], list[Any]]


class Loaded(NamedTuple):
    """The arrays of a bucket in one update, and what has been found out about it."""

    bucket: Bucket
    p: Tensor  # the leading copy
    low: Tensor | None  # the parameter, if another copy leads
    g: Tensor
    known: list[Any]
    env: Env

    @property
    def pure(self) -> bool:
        """Whether all is of one dtype."""
        return self.low is None and self.p.dtype == self.g.dtype == self.bucket.work


class Eager:
    """Runs the body of a rule piece by piece."""

    def __init__(self, rule: rules.Rule, facts: Facts) -> None:
        self.rule, self.facts = rule, facts

    def reduce(self, loaded: Loaded, index: int) -> Any:
        """Return the result of a reduction, added up over the pieces."""
        result: Any = None
        for inputs, context, _ in self.pieces(loaded):
            found = rules.next_reduction(partial(self._body, inputs), context, loaded.known)
            assert found is not None  # facts say that there is one
            if result is None:
                result = found.result
            elif found.kind == "sums":
                result = [a + b for a, b in zip(result, found.result, strict=True)]
            else:
                result = result + found.result
        return result

    def finish(self, loaded: Loaded) -> None:
        """Write the new parameter and slots."""
        numbers: list[tuple[Tensor, Tensor]] = []
        for inputs, context, (p, low, slots) in self.pieces(loaded):
            (update,), (new,) = self._body(inputs, context.replaying(loaded.known) if loaded.known else context)
            new = new if loaded.bucket.tables is None else loaded.bucket.tables.narrow(new)
            # A slot may keep what the parameter or another slot was.
            contents = apart([p, *slots], [update, *self.facts.arrays(new)])[1:]
            if p.dtype == update.dtype:
                p.sub_(update)
            else:
                p.copy_(p.to(update.dtype) - update)
            if low is not None:
                low.copy_(p)
            numbers = []
            for old, content in zip(slots, contents, strict=True):
                if old.dim() == p.dim():
                    old.copy_(content)
                else:
                    numbers.append((old, content))  # the next piece needs it as it is
        for old, content in numbers:
            old.copy_(content)

    def pieces(
        self, loaded: Loaded
    ) -> Iterator[tuple[Inputs, rules.Context, tuple[Tensor, Tensor | None, list[Tensor]]]]:
        """Yield for each piece what the body takes, the context, and where parameter, its copy and slots go."""
        bucket, tables = loaded.bucket, loaded.bucket.tables
        lr = bucket.group["lr"]
        lr = lr.to(bucket.work) if isinstance(lr, Tensor) else float(lr)
        slots = bucket.slots[: len(self.facts.names)]
        if tables is not None:
            context, pieces = tables.context(ops(), lr, bucket.step), 1
        else:
            context, pieces = flat_context(lr, bucket.step, bucket.rank), max(-(-bucket.size // PIECE), 1)
        for i in range(pieces):
            p, low, g, old = loaded.p, loaded.low, loaded.g, slots
            if pieces > 1:
                cut = slice(i * PIECE, (i + 1) * PIECE)
                p, low, g = p[cut], None if low is None else low[cut], g[cut]
                old = [x[cut] if x.dim() == p.dim() else x for x in slots]
            state, g = rebuilt(self.facts, old), g.to(bucket.work)
            inputs = (
                [p.to(bucket.work)],
                [-g if bucket.maximize else g],
                [state if tables is None else tables.wide(state)],
            )
            yield inputs, context, (p, low, old)

    def _body(self, inputs: Inputs, context: rules.Context) -> Any:
        return self.rule.body(context, *inputs)


class NativeKernel:
    """Runs the leading parts of a rule piece by piece, and a native kernel on what they make of each.

    Args:
        parts: what stands before the rest of the rule.
        kernel: that of the rest.
        otherwise: runs the whole rule where the kernel does not take the tensors.
    """

    def __init__(self, parts: Sequence[rules.Part], kernel: Kernel, otherwise: Eager) -> None:
        self.parts, self.kernel, self.otherwise = parts, kernel, otherwise

    def reduce(self, loaded: Loaded, index: int) -> Any:
        """Return the result of a reduction; they are all asked for by the parts."""
        return self.otherwise.reduce(loaded, index)

    def finish(self, loaded: Loaded) -> None:
        """Write the new parameter and slots."""
        bucket = loaded.bucket
        lr = bucket.group["lr"]
        lr = lr if isinstance(lr, Tensor) else float(lr)
        if loaded.pure and self._unchanged(loaded):
            self.kernel([loaded.p], [loaded.g], [bucket.slots], lr, bucket.step, bucket.maximize)
            return
        for inputs, context, (p, low, slots) in self.otherwise.pieces(loaded):
            gs = transformed(self.parts, context.replaying(loaded.known), *inputs[:2])
            (wide,) = inputs[0]
            self.kernel([wide], gs, [slots], lr, bucket.step, False)  # the gradient points down already
            if wide is not p:
                p.copy_(wide)
            if low is not None:
                low.copy_(p)

    def _unchanged(self, loaded: Loaded) -> bool:
        """Return whether the norm of all gradients is below what it is clipped to; a GPU is not waited for."""
        if loaded.p.device.type != "cpu" or not all(isinstance(part, rules.ClipByGlobalNorm) for part in self.parts):
            return False
        one = torch.ones(1, dtype=loaded.p.dtype)
        context = flat_context(lr=0.0, step=0, rank=1).replaying(loaded.known)
        return bool(transformed(self.parts, context, [one], [one])[0] == 1.0)


class Compiled:
    """Runs the compiled graphs of a rule."""

    def __init__(self, rule: rules.Rule, facts: Facts, captured: Captured | None) -> None:
        self.rule, self.facts, self.captured = rule, facts, captured
        self._keys: dict[Any, Env] = {}

    def prepare(self, bucket: Bucket, g: torch.dtype, *, compile: bool) -> None:
        """Make the graphs for a bucket with gradients of a dtype.

        Raises:
            CannotCompile: they cannot be compiled.
        """
        if bucket.phases is None:
            p = bucket.ps[0].dtype
            rows, device = bucket.rows is not None, bucket.device.type
            scaled = self.captured is not None and self.captured.scaled
            form = Form(self.rule, rows, p, g, bucket.work, bucket.maximize, bucket.master, device, scaled)
            bucket.phases = phases_of(form, compile)

    def reduce(self, loaded: Loaded, index: int) -> Any:
        """Return the result of a reduction."""
        env, phases = self._env(loaded), loaded.bucket.phases
        self._add_key(loaded, phases, index, env)
        if self.facts.reductions[index] == "sums":
            # Its graph goes on to what the next one needs of the sums.
            self._add_key(loaded, phases, index + 1, env)
        _, own, main = phases[index]
        env |= own(env)
        env |= main(env)
        results = [env[name] for name in known_names(self.facts, index)]
        return results if self.facts.reductions[index] == "sums" else results[0]

    def finish(self, loaded: Loaded) -> None:
        """Write the new parameter and slots."""
        env, phases = self._env(loaded), loaded.bucket.phases
        self._add_key(loaded, phases, len(phases) - 1, env)
        _, own, main = phases[-1]
        env |= own(env)
        main(env)

    def _env(self, loaded: Loaded) -> Env:
        bucket, env = loaded.bucket, loaded.env
        env |= {"p": loaded.p, "g": loaded.g, "low": loaded.low}
        env |= zip(self.facts.labels, bucket.slots, strict=False)
        if bucket.tables is not None:
            env |= zip(TABLES, bucket.tables, strict=True)
        for i, result in enumerate(loaded.known):
            values = result if isinstance(result, list) else [result]
            env |= zip(known_names(self.facts, i), values, strict=True)
        return env

    def _add_key(self, loaded: Loaded, phases: Passes, index: int, env: Env) -> None:
        """Add what one graph needs of the learning rate, the step and the totals, computed once for all tensors."""
        bucket = loaded.bucket
        rank = bucket.rank if self.facts.ranked else 0
        key = (bucket.number, bucket.label, rank, bucket.work, bucket.device, bucket.rows is None)
        if (key, index) not in self._keys:
            if key not in self._keys:
                self._keys[key] = _scalars(bucket, self.captured)
            wide = self._keys[key]
            totals = {
                name: env[name].to(wide["step"])
                for i, asked in enumerate(self.facts.reductions[:index])
                if asked == "total"
                for name in known_names(self.facts, i)
            }
            found = phases[index][0](wide | totals) | wide
            self._keys[key, index] = {
                name: x.to(bucket.device, bucket.work if x.is_floating_point() else x.dtype)
                for name, x in found.items()
            }
        env |= self._keys[key, index]


Engine = Eager | NativeKernel | Compiled


def _scalars(bucket: Bucket, captured: Captured | None) -> Env:
    """Return learning rate, step and rank in float64; on the device only if the learning rate is there."""
    lr = bucket.group["lr"]
    device = bucket.device if captured else lr.device if isinstance(lr, Tensor) else "cpu"

    def scalar(number: Any) -> Tensor:
        if isinstance(number, Tensor):
            return number.to(device, torch.float64)
        return torch.full((), float(number), dtype=torch.float64, device=device)

    env = {"lr": scalar(lr), "step": scalar(bucket.step), "rank": scalar(bucket.rank)}
    return env | captured.told(bucket.device) if captured else env
