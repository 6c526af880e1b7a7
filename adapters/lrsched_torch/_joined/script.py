"""A pass of a rule as Python that calls PyTorch with `out=`, on blocks of memory that stay in the cache.

A program (`_traced/program.py`) names each operation and says how often it is done. What is done once for all tensors,
or once for each of them, is a handful of numbers: `found` computes them by NumPy, in float64. The operations on
elements become the text of a function, such as this one of `RMSprop`:

    def run(g, p, slot0, lr, b0):
        mul(slot0, 0.99, out=slot0)
        addcmul(slot0, g, g, value=0.01, out=slot0)
        sqrt(slot0, out=b0)
        add(b0, 1e-08, out=b0)
        addcdiv(p, g, b0, value=-lr, out=p)
        return ()

The tensor p is the argument of that name, written in place by the last operation that reads it; `b0` is a buffer.
A product that only a sum needs is part of the sum (`_Fusion`). The text is the same for every learning rate and step.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lrsched_torch._traced.program import TRUTHS, Const, Level, LoopOperation, LoopPhase, LoopProgram, needed


def _clamp(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _where(mask: Any, x: Any, y: Any) -> Any:
    return np.where(mask, x, y)[()]  # a number remains one


# The operations on numbers, one for all tensors or an array with one for each.
NUMBERS: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "rsub": lambda x, y: np.subtract(y, x), "mul": np.multiply, "div": np.divide,
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "sqrt": np.sqrt, "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "reciprocal": lambda x: np.divide(1.0, x), "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
    "pow": np.power, "maximum": np.maximum, "minimum": np.minimum, "clamp": _clamp, "where": _where,
    "isnan": np.isnan, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "gt": np.greater,
    "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
# What PyTorch calls differently.
_CALLED = {"and": "logical_and", "or": "logical_or", "not": "logical_not", "neg": "negative"}
Name = str | Const | None
# What a pass keeps for the next one beside slots, as the passes call it.
KEPT = "kept"


class Script(NamedTuple):
    """One pass over the blocks of a tensor.

    Args:
        arrays: the arrays that it takes a block of.
        scalars: the numbers that it takes: each a number, or a column with one for each tensor.
        buffers: how many buffers it takes.
        writes: which of the arrays it writes.
        sums: the names of the sums that it returns.
        run: the function of all these, in this order.
        text: of the function.
    """

    arrays: tuple[str, ...]
    scalars: tuple[str, ...]
    buffers: int
    writes: frozenset[str]
    sums: tuple[str, ...]
    run: Callable[..., tuple[Tensor, ...]]
    text: str


class _ScriptLine(NamedTuple):
    """One call: what its result is called, the function, the arrays and numbers it takes, and a factor of the last."""

    name: str
    kind: str
    args: tuple[Name, ...]
    factor: str = ""


def found(operations: Iterable[LoopOperation], numbers: dict[str, Any]) -> None:
    """Add to `numbers` what operations that are not done for each element make of them."""
    for name, kind, args, _ in operations:
        if name not in numbers:
            numbers[name] = NUMBERS[kind](*[numbers[x] if isinstance(x, str) else x for x in args])


def early_stores(program: LoopProgram) -> tuple[tuple[str, str], ...]:
    """Return what the pass before the last one writes, and what of its results.

    It is slots whose content it knows and nothing reads later, and, if the last pass follows at once and needs one more
    of its results, that result, as "kept".
    """
    if len(program.phases) < 2:
        return ()
    before, last = program.phases[-2:]
    known = {op.name for op in before.operations if op.level == Level.WIDE}
    stores: dict[str, Any] = {
        target: x for target, x in last.stores if target in program.wide and target != "p" and x in known
    }
    while True:
        rest = [value for target, value in last.stores if target not in stores]
        given = set(stores.values())
        operations = needed([op for op in last.operations if op.name not in given], rest)
        taken = {x for op in operations if op.name not in known for x in op.args} & (known - given)
        if len(taken) == 1 and not before.total and known & {op.name for op in operations} - taken:
            (stores[KEPT],) = taken
            continue
        read = {x for op in operations for x in op.args} | set(rest)
        if read.isdisjoint(stores):
            return tuple(stores.items())
        stores = {target: value for target, value in stores.items() if target not in read}


@lru_cache(maxsize=256)
def script_of(
    program: LoopProgram, index: int, columns: frozenset[str], masks: tuple[tuple[str, bool], ...], early: bool
) -> Script:
    """Return a pass as a function.

    Args:
        program: the passes.
        index: of the pass.
        columns: the numbers of which there is one for each tensor.
        masks: the truth values that hold for all tensors.
        early: whether the pass before the last one writes what it can.
    """
    phase, count = program.phases[index], len(program.phases)
    soon = early_stores(program) if early else ()
    stores = [(target, value) for target, value in phase.stores if target in program.wide]
    given: dict[str, str] = {}
    if index == count - 2:
        stores = [*stores, *soon]
    elif index == count - 1:
        stores = [store for store in stores if store not in soon]
        given = {value: target for target, value in soon}
    return _ScriptPrinter(program, phase, stores, given, columns, dict(masks)).script()


def _signs(operations: list[LoopOperation]) -> list[LoopOperation]:
    """Let a sign that keeps NaN be one call, which asks for NaN in the sum of all."""
    uses, made = Counter(x for op in operations for x in op.args), {op.name: op for op in operations}
    for op in operations:
        mask, x, sign = (*op.args, None, None)[:3] if op.kind == "where" else (None, None, None)
        one, other = made.get(mask), made.get(sign)  # type: ignore[arg-type]  # None is no name
        same = one and other and (one.kind, other.kind) == ("isnan", "sign") and one.args == other.args == (x,)
        if one and same and uses[mask] == 1:
            made[op.name] = op._replace(kind="signs", args=(x,))
            for name in (mask, sign):
                if uses[name] == 1:
                    del made[str(name)]
    return list(made.values())


class _Fusion:
    """Operations on elements, with those that are part of another: `x + c * y`, `x + c * y * z`, `x + c * y / z`.

    Args:
        operations: in order.
        uses: how often each result is used.
        columns: the numbers of which there is one for each tensor.
    """

    def __init__(self, operations: Sequence[LoopOperation], uses: Mapping[Name, int], columns: frozenset[str]) -> None:
        self._uses, self._columns = uses, columns
        self._made = {op.name: op for op in operations}
        eaten: set[str] = set()
        lines = []
        for op in reversed(operations):
            if op.name not in eaten:
                line, parts = self._line(op)
                lines.append(line)
                eaten.update(parts)
        self.lines = lines[::-1]

    def _line(self, op: LoopOperation) -> tuple[_ScriptLine, Sequence[str]]:
        x, y = op.args if len(op.args) == 2 else (None, None)
        for one, other in ((x, y), (y, x)) if op.kind == "add" else ((x, y),) if op.kind == "sub" else ():
            if self._wide(one) and isinstance(other, str) and self._inner(other):
                factors, core, parts = self._factored(other)
                inner = self._inner(core)
                kind, args = "add", [core]
                if inner is not None and inner.kind in ("mul", "div") and all(map(self._wide, inner.args)):
                    taken = [self._factored(a) if inner.kind == "mul" or i == 0 else ([], a, []) for i, a in
                             enumerate(inner.args)]  # fmt: skip
                    kind, args = f"addc{inner.kind}", [a for _, a, _ in taken]
                    factors = [*factors, *(f for own, _, _ in taken for f in own)]
                    parts = [*parts, core, *(part for _, _, own in taken for part in own)]
                if inner is not None and inner.kind == "sub" and inner.args[1] == one and op.kind == "add" and factors:
                    return _ScriptLine(op.name, "lerp", (one, inner.args[0]), "*".join(map(_text, factors))), [
                        *parts,
                        core,
                    ]
                if parts:
                    factor = "*".join([*("-1" for _ in range(op.kind == "sub")), *map(_text, factors)])
                    return _ScriptLine(op.name, kind, (one, *args), factor or "1"), parts
        return _ScriptLine(op.name, op.kind, op.args), ()

    def _wide(self, x: Name) -> bool:
        """Return whether a name stands for an array."""
        return isinstance(x, str) and (x in self._made or x in ARRAYS_OF_ALL or x.startswith("slot"))

    def _inner(self, x: Name) -> LoopOperation | None:
        """Return the operation that makes what is used only once."""
        return self._made.get(x) if isinstance(x, str) and self._uses[x] == 1 else None

    def _factored(self, x: Any) -> tuple[list[Name], Any, list[str]]:
        """Return the numbers by which an array is multiplied, the array, and the operations that did so."""
        factors: list[Name] = []
        parts: list[str] = []
        while (op := self._inner(x)) is not None and op.kind in ("mul", "div"):
            either = (op.args, op.args[::-1]) if op.kind == "mul" else ((op.args[0], _inverse(op.args[1])),)
            pair = next(((a, c) for a, c in either if self._wide(a) and self._factor(c)), None)
            if pair is None:
                break
            parts.append(x)
            x, factors = str(pair[0]), [*factors, pair[1]]
        return factors, x, parts

    def _factor(self, x: Name) -> bool:
        return x is not None and not isinstance(x, bool) and not self._wide(x) and x not in self._columns


def _inverse(x: Name) -> Name:
    """Return 1 / x of a number that is known, else None."""
    return 1.0 / x if isinstance(x, float) and x and math.isfinite(1.0 / x) else None


ARRAYS_OF_ALL = ("p", "g", KEPT)


class _ScriptPrinter:
    """Writes the function of a pass."""

    def __init__(
        self,
        program: LoopProgram,
        phase: LoopPhase,
        stores: Sequence[tuple[str, str | Const]],
        given: Mapping[str, str],
        columns: frozenset[str],
        masks: Mapping[Name, bool],
    ) -> None:
        self._columns = columns
        self._sums = [op for op in phase.operations if op.kind == "sum"]
        # What is chosen, what is multiplied by 1, and what an earlier pass has written is read where it is.
        same: dict[Any, Any] = dict(given)
        kept: list[LoopOperation] = []
        for op in phase.operations:
            if op.level != Level.WIDE or op.name in given:
                continue
            args = tuple(same.get(x, x) if isinstance(x, str) else x for x in op.args)
            rest = [x for x in args if not (isinstance(x, float) and x == 1.0)]
            chosen = args[1 if masks[args[0]] else 2] if op.kind == "where" and args[0] in masks else None
            if chosen in {*program.wide, KEPT, *(one.name for one in kept)}:
                same[op.name] = chosen
            elif op.kind == "mul" and len(rest) == 1:
                same[op.name] = rest[0]
            else:
                kept.append(op._replace(args=args))
        self._stores = [(target, same.get(value, value)) for target, value in stores]
        self._terms = [same.get(op.args[0], op.args[0]) for op in self._sums]
        kept = _signs(list(needed(kept, [*self._terms, *(value for _, value in self._stores)])))
        taken = [*(x for op in kept for x in op.args), *self._terms, *(value for _, value in self._stores)]
        # A sum of products is one call.
        uses, made = Counter(x for op in kept for x in op.args), {op.name: op for op in kept}
        self._factors: dict[Any, tuple[Any, ...]] = {}
        for x in self._terms:
            product = made.get(str(x))
            only = not uses[x] and self._terms.count(x) == 1 and all(x != value for _, value in self._stores)
            if only and product and product.kind == "mul" and {*product.args} <= {*program.wide, KEPT, *made}:
                self._factors[x] = product.args
                kept.remove(product)
        taken = [*(x for op in kept for x in op.args), *(value for _, value in self._stores)]
        taken += [x for term in self._terms for x in self._factors.get(term, (term,))]
        self._lines = _Fusion(kept, Counter(taken), columns).lines
        results = {line.name for line in self._lines}
        names = dict.fromkeys(x for x in taken if isinstance(x, str) and x not in results)
        self._arrays = [x for x in (*program.wide, KEPT) if x in names or x in dict(self._stores)]
        used = {x for line in self._lines for x in line.args} | {value for _, value in self._stores}
        used |= {name for line in self._lines for name in names if name in line.factor.split("*")}
        self._scalars = [x for x in names if x not in self._arrays and x in used]
        self._truths = {line.name for line in self._lines if line.kind in TRUTHS}

    def script(self) -> Script:
        """Return the function."""
        body, buffers = self._body()
        memory = [f"b{i}" for i in range(buffers)]
        text = f"def run({', '.join([*self._arrays, *self._scalars, *memory])}):\n"
        text += "".join(f"    {line}\n" for line in body)
        space: dict[str, Any] = {**_FUNCTIONS}
        exec(compile(text, "<pass over blocks>", "exec"), space)
        writes = frozenset(target for target, _ in self._stores)
        sums = tuple(op.name for op in self._sums)
        return Script(tuple(self._arrays), tuple(self._scalars), buffers, writes, sums, space["run"], text)

    def _last(self) -> dict[Name, int]:
        """Return the last line that reads each name; the results are read after all."""
        last: dict[Name, int] = {x: i for i, line in enumerate(self._lines) for x in line.args}
        terms = [x for term in self._terms for x in self._factors.get(term, (term,))]
        last |= dict.fromkeys([*terms, *(value for _, value in self._stores)], len(self._lines))
        return last

    def _body(self) -> tuple[list[str], int]:
        """Return the lines of the text, and how many buffers they write into."""
        last, lines = self._last(), self._lines
        homes: dict[Name, str] = {}
        for target, value in self._stores:
            homes.setdefault(value, target)
        where: dict[str, str] = {}
        held: dict[Name, str] = {}
        free: list[str] = []
        at: dict[Name, int] = {line.name: i for i, line in enumerate(lines)}
        busy: dict[str, int] = {}  # until when a slot holds what will not stay there
        buffers = 0
        text = []

        def buffer() -> str:
            nonlocal buffers
            if not free:
                free.append(f"b{buffers}")
                buffers += 1
            return free.pop()

        for i, line in enumerate(lines):
            given = [where.get(x, x) if isinstance(x, str) else x for x in line.args]
            free += [held.pop(x) for x in dict.fromkeys(line.args) if last[x] == i and x in held]
            if line.name in self._truths:
                text.append(f"{line.name} = {self._call(line, given)})")
                continue
            # What is to be overwritten by what is made of this, and is read no more, is as good as a buffer.
            soon = next((x for value, x in homes.items() if at.get(value) == last[line.name] and x not in busy), None)
            home = homes.get(line.name, soon)
            if home is not None and last.get(home, -1) <= i and busy.get(home, -1) <= i:
                out, busy[home] = home, last[line.name]
            else:
                out = held[line.name] = buffer()
            where[line.name] = out
            text.append(f"{self._call(line, given)}, out={out})")
        return [*text, *self._ends(where, set(where.values()), buffer)], buffers

    def _ends(self, where: Mapping[str, str], written: set[str], buffer: Callable[[], str]) -> list[str]:
        """Return the lines that sum, and that copy to where they belong the results that are not there."""
        first, text = self._arrays[0], []
        sums = []
        for term in self._terms:
            x, *others = [where.get(a, a) for a in self._factors.get(term, (term,))]
            sums.append(f"dots({x}, {others[0]})" if others else f"{x}.sum(-1)")
        copies = [(target, where.get(x, x) if isinstance(x, str) else x) for target, x in self._stores]
        copies = [(target, x) for target, x in copies if x != target]
        moving = [target for target, x in copies if self._array(x) and not str(x).startswith("b")]
        if len(moving) > 1:  # one of them might be written before it is read
            for i, (target, x) in enumerate(copies):
                if target in moving:
                    copies[i] = target, buffer()
                    text.append(f"{copies[i][1]}.copy_({x})")
        elif moving:
            copies.sort(key=lambda pair: pair[0] not in moving)
        for target, x in copies:
            text.append(f"{target}.copy_({x if self._array(x) else f'T({_text(x)}, {first})'})")
        given = [f"s{i} = {x}" for i, x in enumerate(sums)]
        return [*given, *text, f"return ({''.join(f's{i}, ' for i in range(len(sums)))})"]

    def _array(self, x: Name) -> bool:
        return isinstance(x, str) and x not in self._scalars

    def _call(self, line: _ScriptLine, given: list[Any]) -> str:
        """Return a call but for its last argument and bracket."""
        kind, like = line.kind, self._arrays[0]
        if kind == "rsub":
            kind, given = "sub", given[::-1]
        elif kind in ("add", "mul") and not self._array(given[0]):
            given = given[::-1]
        if kind == "clamp" and any(x in self._columns for x in given[1:]):
            low, high = [*given[1:], None][:2]
            inner = given[0] if low is None else f"maximum({given[0]}, T({_text(low)}, {like}))"
            return f"minimum({inner}, T({_text(high if high is not None else math.inf)}, {like})"
        tensors = kind in ("where", "maximum", "minimum")
        texts = [
            str(x) if self._array(x) else f"T({_text(x)}, {like})" if tensors or i == 0 else _text(x)
            for i, x in enumerate(given)
        ]
        if line.factor and line.factor != "1":
            word = {"add": "alpha", "lerp": "weight"}.get(kind, "value")
            texts.append(f"{word}={line.factor}")
        return f"{_CALLED.get(kind, kind)}({', '.join(texts)}"


def _text(x: Name) -> str:
    return x if isinstance(x, str) else repr(x)


def _tensor(x: Any, like: Tensor) -> Tensor:
    """Return a number as a tensor without dimensions; a column is one already."""
    if isinstance(x, Tensor):
        return x
    return torch.full((), x, dtype=torch.bool if isinstance(x, bool) else like.dtype)


def _signs_of(x: Tensor, out: Tensor) -> Tensor:
    """Return signs, and NaN where there is NaN."""
    if math.isfinite(x.sum()):
        return torch.sign(x, out=out)
    return out.copy_(torch.where(torch.isnan(x), x, torch.sign(x)))


def _dots(x: Tensor, y: Tensor) -> Tensor:
    """Return the sum of products, or that of each row."""
    return torch.dot(x, y) if x.dim() == 1 else (x * y).sum(-1)


_FUNCTIONS: dict[str, Any] = {
    name: getattr(torch, name)
    for name in (
        *(_CALLED.get(kind, kind) for kind in NUMBERS if kind != "rsub"), "addcmul", "addcdiv", "lerp",
    )
}  # fmt: skip
_FUNCTIONS |= {"T": _tensor, "dots": _dots, "signs": _signs_of, "inf": math.inf, "nan": math.nan}
