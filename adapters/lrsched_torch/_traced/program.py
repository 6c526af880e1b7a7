"""A traced graph of a rule, taken apart for kernels that walk over tensors where they lie, in C++ or in Triton.

Each operation of a graph is done as seldom as it can be: once for all tensors that share learning rate and step, once
for each tensor, once for each element, or once for each tensor after its sums are known.

A tensor is a name here too: the graph of `graphs.py` takes "p", "g", "slot0", ... `_phase` goes through its nodes,
gives each result a name, and a level, which is the latest of what it is computed from. A writing of the graph becomes a
store, done when all is read. `_loops/cpp.py` and `_kernels/source.py` then write one function for each level of a pass.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from lrsched_torch._shared.compiling import CannotCompile
from lrsched_torch._shared.facts import Facts, facts_of
from lrsched_torch._traced.graphs import Form, known_names, traced

Const = float | int | bool
_aten = torch.ops.aten

# What the operations of a graph are called in a kernel; all take scalars and arrays alike.
OPERATIONS: dict[Any, str] = {
    _aten.add.Tensor: "add", _aten.add.Scalar: "add", _aten.sub.Tensor: "sub", _aten.sub.Scalar: "sub",
    _aten.rsub.Scalar: "rsub", _aten.mul.Tensor: "mul", _aten.mul.Scalar: "mul", _aten.div.Tensor: "div",
    _aten.div.Scalar: "div", _aten.neg.default: "neg", _aten.abs.default: "abs", _aten.sign.default: "sign",
    _aten.sqrt.default: "sqrt", _aten.rsqrt.default: "rsqrt", _aten.reciprocal.default: "reciprocal",
    _aten.exp.default: "exp", _aten.expm1.default: "expm1", _aten.log.default: "log", _aten.log1p.default: "log1p",
    _aten.pow.Tensor_Scalar: "pow", _aten.pow.Tensor_Tensor: "pow", _aten.pow.Scalar: "pow",
    _aten.maximum.default: "maximum", _aten.minimum.default: "minimum", _aten.clamp.default: "clamp",
    _aten.where.self: "where", _aten.isnan.default: "isnan", _aten.bitwise_and.Tensor: "and",
    _aten.logical_and.default: "and", _aten.bitwise_or.Tensor: "or", _aten.logical_or.default: "or",
    _aten.bitwise_not.default: "not", _aten.logical_not.default: "not",
    _aten.gt.Scalar: "gt", _aten.gt.Tensor: "gt", _aten.ge.Scalar: "ge", _aten.ge.Tensor: "ge",
    _aten.lt.Scalar: "lt", _aten.lt.Tensor: "lt", _aten.le.Scalar: "le", _aten.le.Tensor: "le",
    _aten.eq.Scalar: "eq", _aten.eq.Tensor: "eq", _aten.ne.Scalar: "ne", _aten.ne.Tensor: "ne",
}  # fmt: skip
# These keep the value: a loop converts what it loads and stores.
_SAME = (_aten._to_copy.default, _aten.clone.default, _aten.alias.default)
TRUTHS = frozenset(("gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not", "isnan"))


class Unsupported(CannotCompile, NotImplementedError):
    """A rule does what no loop over elements can say.

    Args:
        must: what it must do.
        used: what it does.
    """

    def __str__(self) -> str:
        """Return the message."""
        return "{}, got {}".format(*self.args)


class Level(IntEnum):
    """How often an operation is done."""

    KEY = 0  # once for all tensors of one learning rate and step
    OWN = 1  # once for each tensor
    WIDE = 2  # once for each element
    AFTER = 3  # once for each tensor, after its sums


class LoopOperation(NamedTuple):
    """A named result of an operation on other names and on constants; "sum" sums over the elements of a tensor.

    One name means one result in all passes.
    """

    name: str
    kind: str
    args: tuple[str | Const | None, ...]
    level: Level


class LoopPhase(NamedTuple):
    """One pass over the tensors.

    Args:
        operations: in order, those of all levels.
        gives: the names or constants that are the results of the reduction; empty in the last pass.
        total: whether these are summed over all tensors.
        stores: what is written, once all is read: array or number, and name or constant.
    """

    operations: tuple[LoopOperation, ...]
    gives: tuple[str | Const, ...]
    total: bool
    stores: tuple[tuple[str, str | Const], ...]

    def used(self, level: Level) -> list[str]:
        """Return the names that operations of a level take from elsewhere."""
        own = {op.name for op in self.operations if op.level == level}
        named = [x for op in self.operations if op.level == level for x in op.args]
        return list(dict.fromkeys(x for x in named if isinstance(x, str) and x not in own))

    def later(self, level: Level) -> set[str]:
        """Return the names of what later levels take, of the results, and of what is written."""
        taken = [x for op in self.operations if op.level > level for x in op.args]
        taken += [*self.gives, *(value for _, value in self.stores)]
        return {x for x in taken if isinstance(x, str)}

    def handed(self, level: Level, others: Iterable[str] = ()) -> list[str]:
        """Return the results of a level, and those of other names, that later levels take."""
        later = self.later(level)
        return [x for x in (*(op.name for op in self.operations if op.level == level), *others) if x in later]


class LoopProgram(NamedTuple):
    """A rule as passes over tensors.

    Args:
        wide: the arrays of a tensor, as the graphs call them: "p", "low" if a copy leads, "g", slots.
        numbers: the slots that are one number for each tensor.
        phases: the passes, one for each reduction and the last one.
        known: the names of the results of each reduction.
    """

    wide: tuple[str, ...]
    numbers: tuple[str, ...]
    phases: tuple[LoopPhase, ...]
    known: tuple[tuple[str, ...], ...]

    def sums(self, *, total: bool) -> list[str]:
        """Return the names of what reductions find out: over all tensors, or of each tensor for itself."""
        pairs = zip(self.phases, self.known, strict=False)  # the last pass has none
        return [name for phase, names in pairs if phase.total == total for name in names]


@lru_cache(maxsize=64)
def program_of(form: Form, totals: Level = Level.KEY) -> LoopProgram:
    """Return the passes of a rule.

    Args:
        form: not in rows.
        totals: where sums over all tensors become known: KEY, or OWN, and then to each tensor for itself.

    Raises:
        Unsupported: the body does something else than arithmetic on elements and sums over them.
    """
    facts = facts_of(form.rule)
    pairs = list(zip(facts.labels, facts.names, strict=True))
    slots = [label for label, name in pairs if name in facts.wide]
    wide = ("p", *(["low"] if form.master else []), "g", *slots)
    numbers = tuple(label for label, name in pairs if name not in facts.wide)
    count = len(facts.reductions)
    known = tuple(tuple(known_names(facts, i)) for i in range(count))
    levels: dict[str, Level] = dict.fromkeys(wide, Level.WIDE) | dict.fromkeys(form.scalars, Level.KEY)
    levels |= dict.fromkeys(numbers, Level.OWN)
    for names, asked in zip(known, facts.reductions, strict=True):
        levels |= dict.fromkeys(names, totals if asked == "total" else Level.OWN)
    made: dict[Any, LoopOperation] = {}
    return LoopProgram(wide, numbers, tuple(_phase(form, facts, i, levels, made) for i in range(count + 1)), known)


def _phase(form: Form, facts: Facts, index: int, levels: dict[str, Level], made: dict[Any, LoopOperation]) -> LoopPhase:
    """Return one pass; adds what it makes to `levels` and to `made`, and takes from there what is made already."""
    graph = traced(form, facts, index)
    values: dict[Node, str | Const | None] = {}
    operations: dict[str, LoopOperation] = {}
    stores: list[tuple[str, str | Const]] = []
    gives: tuple[str | Const, ...] = ()

    def read(x: Any) -> Any:
        return values[x] if isinstance(x, Node) else x

    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = node.name
        elif node.op == "get_attr":
            values[node] = _number(getattr(graph.owning_module, node.target))
        elif node.op == "output":
            gives = tuple(read(x) for x in node.args[0])
        elif node.target in _SAME:
            values[node] = read(node.args[0])
        elif node.target == _aten.scalar_tensor.default:
            values[node] = node.args[0]
        elif node.target == _aten.copy_.default:
            stores.append((read(node.args[0]), read(node.args[1])))
            values[node] = read(node.args[1])
        else:
            kind, level = _operation(node, args := [read(x) for x in node.args], levels)
            if kind == "add" and level == Level.AFTER and args[1] == 0:  # where Python's sum begins
                values[node] = args[0]
                continue
            fresh = LoopOperation(f"{kind}_{len(made)}", kind, tuple(args), level)
            operation = made.setdefault((kind, *map(repr, args)), fresh)
            operations[operation.name] = operation
            values[node] = operation.name
            levels[operation.name] = level
    total = index < len(facts.reductions) and facts.reductions[index] == "total"
    wanted = (*gives, *(value for _, value in stores))
    return LoopPhase(needed(operations.values(), wanted), gives, total, tuple(stores))


def _operation(node: Node, args: list[Any], levels: dict[str, Level]) -> tuple[str, Level]:
    if node.target == _aten.sum.default and not node.kwargs:
        if len(args) != 1 or levels.get(args[0]) != Level.WIDE:
            raise Unsupported("a rule must sum over the elements of arrays only", node.target)
        return "sum", Level.AFTER
    kind = OPERATIONS.get(node.target)
    extra = set(node.kwargs) - {"dtype", "layout", "device", "pin_memory"}
    if kind is None or extra or not all(x is None or isinstance(x, str | float | int) for x in args):
        raise Unsupported("a rule must be made of arithmetic on elements", node.target)
    level = max((levels[x] for x in args if isinstance(x, str)), default=Level.KEY)
    if level == Level.AFTER and any(levels.get(x) == Level.WIDE for x in args if isinstance(x, str)):
        raise Unsupported("a rule must ask its context for sums that it needs", node.target)
    return kind, level


def _number(x: Tensor) -> Const:
    if x.dim():
        raise Unsupported("a rule must have no constant arrays", f"one of shape {tuple(x.shape)}")
    return x.item()


def needed(operations: Iterable[LoopOperation], names: Iterable[Any]) -> tuple[LoopOperation, ...]:
    """Return the operations without those on which none of the names depends."""
    wanted = {x for x in names if isinstance(x, str)}
    found = []
    for op in reversed([*operations]):
        if op.name in wanted:
            found.append(op)
            wanted |= {x for x in op.args if isinstance(x, str)}
    return tuple(reversed(found))


def loads(phase: LoopPhase, program: LoopProgram) -> Iterator[str]:
    """Yield the arrays that a pass reads."""
    taken = {x for op in phase.operations for x in op.args}
    taken |= {value for _, value in phase.stores}
    return (label for label in program.wide if label in taken)


def stages_of(program: LoopProgram) -> list[tuple[int, ...]]:
    """Return the numbers of the passes of each stage.

    Within one nothing is known of other tensors: its last pass asks for a total, or writes.
    """
    found, open_ = [], []
    for i, phase in enumerate(program.phases):
        open_.append(i)
        if phase.total or i == len(program.phases) - 1:
            found.append(tuple(open_))
            open_ = []
    return found
