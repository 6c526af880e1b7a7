"""The graphs of a rule as the text of Triton kernels that read all tensors where they are.

For each pass there are two kernels. `main{i}` runs over chunks of the tensors: it ends in a sum for each chunk, or
writes the results. `link{i}` comes before it and runs over the tensors: it adds up the sums of the chunks in their
order and computes what a tensor needs once, such as its trust ratio. All kernels take the same arguments:

* `table`: `(T, 5 + arrays)` int64, a row for each tensor: `COLUMNS`, then the address of each of its arrays.
* `keys`: `(K, scalars)`, what follows from learning rate, step and rank, a row for each different combination.
* `values`: `(T, values)`, what belongs to each tensor: its numbers, its sums, what follows from them.
* `owner`: `(chunks,)` int32, the tensor of each chunk. `partials`: `(sums, chunks)`. `total`: one float64 number.
* `chunks`: how many there are. `chunk`: elements of one, a multiple of `BLOCK`.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

import torch

from lrsched_torch._facts import Facts, facts_of
from lrsched_torch._graphs import Form, Phase, Piece, known_names, pieces_of
from lrsched_torch._kernels._early import early_slots, is_op, nodes_of, read_by
from lrsched_torch._kernels._ops import TYPES, expression

# First chunk, chunks, elements, row of `keys`, whether all addresses are multiples of 16.
COLUMNS = ("first", "count", "size", "row", "aligned")
BLOCK = 1024
ARGUMENTS = "table, keys, values, owner, partials, total, chunks, chunk, BLOCK: tl.constexpr"


@dataclass(frozen=True)
class Source:
    """The kernels of a form, and what the columns of their tables hold."""

    text: str
    arrays: tuple[str, ...]
    scalars: tuple[str, ...]
    values: tuple[str, ...]
    links: tuple[bool, ...]  # whether a pass has a `link`


@lru_cache(maxsize=64)
def source_of(form: Form) -> Source:
    """Return the text of the kernels.

    Raises:
        NotImplementedError: the body uses an operation that has no translation.
    """
    facts, phases = facts_of(form.rule), pieces_of(form)
    wide = [label for label, name in zip(facts.labels, facts.names, strict=True) if name in facts.wide]
    last = known_names(facts, len(phases) - 2) if len(phases) > 1 else []
    return _Writer(form, facts, early_slots(phases, wide, last)).source()


class _Writer:
    """Writes the kernels of one form."""

    def __init__(self, form: Form, facts: Facts, phases: Sequence[Phase]) -> None:
        self.form, self.facts, self.phases = form, facts, phases
        pairs = list(zip(facts.labels, facts.names, strict=True))
        self.numbers = [label for label, name in pairs if name not in facts.wide]
        self.wide = ["p", *(["low"] if form.master else []), "g", *(n for n in facts.labels if n not in self.numbers)]
        self.arrays = [*self.wide, *self.numbers]
        keys = [name for phase in phases for name in phase.key.gives]
        self.scalars = [*form.scalars, *keys]
        self.known = [known_names(facts, i) for i in range(len(facts.reductions))]
        self.values = [*self.numbers, *chain.from_iterable(self.known), *(n for x in phases for n in x.own.gives)]
        # What is true or false stands in the tables as 1 or 0.
        self.flags = {
            name
            for phase in phases
            for piece in (phase.key, phase.own)
            for name, dtype in zip(piece.gives, _output_dtypes(piece), strict=True)
            if dtype == torch.bool
        }
        self.type = TYPES[form.work]
        self.dtypes = dict.fromkeys(self.arrays, form.work) | {"g": form.g, "low" if form.master else "p": form.p}

    def source(self) -> Source:
        links = tuple(
            i > 0 or bool(x.own.gives or {*self.numbers} & read_by(x.main)) for i, x in enumerate(self.phases)
        )
        kernels = [_kernel(f"link{i}", self._link(i)) for i, wanted in enumerate(links) if wanted]
        kernels += [_kernel(f"main{i}", self._main(i)) for i in range(len(self.phases))]
        return Source("\n\n".join(kernels), tuple(self.arrays), tuple(self.scalars), tuple(self.values), links)

    def _link(self, phase: int) -> Iterator[str]:
        """Yield the kernel that computes what each tensor needs once before a pass."""
        yield "number = tl.program_id(0)"
        yield from self._row()
        piece = self.phases[phase].own
        fresh = self.known[phase - 1] if phase else []
        yield from self._sums(phase - 1) if phase else ()
        read = {*piece.takes, *self.numbers}
        yield from self._scalars([name for name in self.scalars if name in read])
        for name in self.numbers:
            yield f"{name} = tl.load({self._address(name)})"
        yield from self._values([name for names in self.known[: max(phase - 1, 0)] for name in names if name in read])
        outputs = yield from self._statements(nodes_of(piece))
        found = [*zip(self.numbers, self.numbers, strict=True), *zip(fresh, fresh, strict=True)]
        for name, source in [*found, *zip(piece.gives, outputs, strict=True)]:
            content = f"tl.where({source}, 1.0, 0.0)" if name in self.flags else source
            yield f"tl.store(value + {self.values.index(name)}, {content})"

    def _sums(self, reduction: int) -> Iterator[str]:
        """Yield what adds up the sums of the chunks, in float64, in an order that never changes."""
        names = self.known[reduction]
        if self.facts.reductions[reduction].kind == "total":
            yield f"{names[0]} = tl.load(total).to({self.type})"
            return
        yield f"first = tl.load(row + {COLUMNS.index('first')})"
        yield f"count = tl.load(row + {COLUMNS.index('count')}).to(tl.int32)"
        for j in range(len(names)):
            yield f"sum{j} = tl.zeros((BLOCK,), tl.float64)"
        yield "for at in range(0, count, BLOCK):"
        yield "    i = at + tl.arange(0, BLOCK)"
        for j in range(len(names)):
            yield f"    sum{j} += tl.load(partials + {j} * chunks + first + i, mask=i < count, other=0.0)"
        for j, name in enumerate(names):
            yield f"{name} = tl.sum(sum{j}).to({self.type})"

    def _main(self, phase: int) -> Iterator[str]:
        """Yield the kernel of one pass over the elements."""
        nodes = nodes_of(self.phases[phase].main)
        read = read_by(self.phases[phase].main)
        written = {node.args[0].name for node in nodes if is_op(node, "copy_")}
        # Every other pass goes backwards: what the one before has read last may still be in the cache.
        yield "pid = tl.num_programs(0) - 1 - tl.program_id(0)" if phase % 2 else "pid = tl.program_id(0)"
        yield "number = tl.load(owner + pid)"
        yield from self._row()
        yield f"part = pid - tl.load(row + {COLUMNS.index('first')})"
        yield "begin = part * chunk"
        yield f"size = tl.minimum(tl.load(row + {COLUMNS.index('size')}) - begin, chunk).to(tl.int32)"
        yield from self._scalars([name for name in self.scalars if name in read])
        yield from self._values([name for name in self.values if name in read])
        used = [name for name in self.wide if name in read | written]
        for name in used:
            yield f"at_{name} = tl.load(row + {self._column(name)})"
        sums = range(len(_outputs(nodes)))
        # Whole blocks of aligned tensors, by vectors of 16 bytes of the widest dtype and as many elements of the
        # others: with more of them Triton would exchange elements between threads before it stores.
        vector = min(16 // self.dtypes[name].itemsize for name in used)
        yield f"whole = size // BLOCK * BLOCK * tl.load(row + {COLUMNS.index('aligned')}).to(tl.int32)"
        for name in used:
            place = f"(at_{name} >> 4 << 4).to({self._pointer(name)})"
            yield f"v_{name} = tl.multiple_of({place}, {vector * self.dtypes[name].itemsize}) + begin"
        yield from (f"sum{j} = tl.zeros((BLOCK,), {self.type})" for j in sums)
        yield "for at in range(0, whole, BLOCK):"
        yield from ("    " + line for line in self._elements(nodes, read, masked=False))
        yield from (f"found{j} = tl.sum(sum{j})" for j in sums)
        # The rest by single elements. With blocks of another length, or Triton would take the layout of the vectors
        # for the loads too and exchange what is to be stored through shared memory.
        yield "if whole < size:"
        for name in used:
            yield f"    u_{name} = at_{name}.to({self._pointer(name)}) + begin"
        yield from (f"    rest{j} = tl.zeros((BLOCK // 2,), {self.type})" for j in sums)
        yield "    for at in range(whole, size, BLOCK // 2):"
        yield from ("        " + line for line in self._elements(nodes, read, masked=True))
        yield from (f"    found{j} += tl.sum(rest{j})" for j in sums)
        yield from (f"tl.store(partials + {j} * chunks + pid, found{j})" for j in sums)
        for node in nodes:
            if is_op(node, "copy_") and node.args[0].name in self.numbers:
                # No other program reads it: they have it from `values`.
                yield "if part == 0:"
                yield f"    tl.store({self._address(node.args[0].name)}, {node.args[1].name})"

    def _elements(self, nodes: Sequence[Any], read: set[str], masked: bool) -> Iterator[str]:
        """Yield what happens to one block."""
        at, mask, length = ("u", ", mask=mask", "BLOCK // 2") if masked else ("v", "", "BLOCK")
        yield f"i = at + tl.arange(0, {length})"
        if masked:
            yield "mask = i < size"
        for name in self.wide:
            if name in read:
                yield f"{name} = tl.load({at}_{name} + i{mask}{', other=0.0' if masked else ''})"
        summed: set[Any] = set()  # the sums themselves are for the end
        for node in nodes:
            if is_op(node, "sum") or summed.intersection(node.all_input_nodes):
                summed.add(node)
        yield from self._statements([n for n in nodes if n not in summed])
        for j, x in enumerate(map(_summed, _outputs(nodes))):
            yield f"rest{j} += tl.where(mask, {x.name}, 0.0)" if masked else f"sum{j} += {x.name}"
        for node in nodes:
            if is_op(node, "copy_") and node.args[0].name in self.wide:
                yield f"tl.store({at}_{node.args[0].name} + i, {node.args[1].name}{mask})"

    def _row(self) -> Iterator[str]:
        yield f"row = table + number * {len(COLUMNS) + len(self.arrays)}"
        yield f"value = values + number * {len(self.values)}"

    def _scalars(self, names: Sequence[str]) -> Iterator[str]:
        if names:
            yield f"key = keys + tl.load(row + {COLUMNS.index('row')}) * {len(self.scalars)}"
        yield from (self._loaded(name, f"key + {self.scalars.index(name)}") for name in names)

    def _values(self, names: Sequence[str]) -> Iterator[str]:
        yield from (self._loaded(name, f"value + {self.values.index(name)}") for name in names)

    def _loaded(self, name: str, place: str) -> str:
        return f"{name} = tl.load({place}){' != 0.0' if name in self.flags else ''}"

    def _column(self, name: str) -> int:
        return len(COLUMNS) + self.arrays.index(name)

    def _address(self, name: str) -> str:
        return f"tl.load(row + {self._column(name)}).to({self._pointer(name)})"

    def _pointer(self, name: str) -> str:
        return f"tl.pointer_type({TYPES[self.dtypes[name]]})"

    def _statements(self, nodes: Sequence[Any]) -> Generator[str, None, list[str]]:
        """Yield one line for each operation, and return the names of the outputs."""
        outputs: list[str] = []
        for node in nodes:
            if node.op == "output":
                outputs = [x.name for x in node.args[0]]
            elif node.op != "placeholder" and not is_op(node, "copy_"):
                yield f"{node.name} = {expression(node, self.form.work)}"
        return outputs


def _kernel(name: str, lines: Iterator[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f'@triton.jit(do_not_specialize=["chunks"])\ndef {name}({ARGUMENTS}):\n{body}'


def _outputs(nodes: Sequence[Any]) -> list[Any]:
    return [x for node in nodes if node.op == "output" for x in node.args[0]]


def _summed(node: Any) -> Any:
    """Return what an output of a pass is the sum of."""
    while not is_op(node, "sum"):
        if str(node.target) != "aten.add.Tensor" or node.args[1] != 0:
            raise NotImplementedError(f"a reduction must end in a sum for compile='triton', got {node.format_node()}")
        node = node.args[0]
    return node.args[0]


def _output_dtypes(piece: Piece) -> list[torch.dtype]:
    return [x.meta["val"].dtype for x in _outputs(nodes_of(piece))]
