"""The passes of a rule as the text of Triton kernels that read all tensors where they are.

For each pass there are two kernels. `main{i}` runs over chunks of the tensors: it ends in a sum for each chunk, or
writes the results. `link{i}` comes before it and runs over the tensors: it adds up the sums of the chunks in their
order and computes what a tensor needs once, such as its trust ratio. All kernels take the same arguments:

* `table`: `(T, 5 + arrays)` int64, a row for each tensor: `COLUMNS`, then the address of each of its arrays.
* `keys`: `(K, scalars)`, what follows from learning rate, step and rank, a row for each different combination.
* `values`: `(T, values)`, what belongs to each tensor: its numbers, its sums, what follows from them.
* `owner`: `(chunks,)` int32, the tensor of each chunk. `partials`: `(sums, chunks)`. `total`: one float64 number.
* `chunks`: how many there are. `chunk`: elements of one, a multiple of `BLOCK`.

So a weight enters as a row of `table`. A program of `main{i}` knows its chunk, finds its tensor in `owner`, reads from
the row where parameter, gradient and slots begin, goes through the chunk in blocks and writes them in place; or it
leaves its sum in `partials`, which the program of `link{i+1}` for that tensor adds up. `triton.py` fills the tables and
launches.
"""

from collections.abc import Iterator, Sequence, Set
from functools import lru_cache
from itertools import chain

from lrsched_torch._kernels.early import early_slots
from lrsched_torch._kernels.ops import TYPES, expression, operand, untranslated
from lrsched_torch._traced.graphs import Form
from lrsched_torch._traced.program import (
    TRUTHS,
    Level,
    LoopPhase,
    Unsupported,
    loads,
    program_of,
)

# First chunk, chunks, elements, row of `keys`, whether all addresses are multiples of 16.
COLUMNS = ("first", "count", "size", "row", "aligned")
BLOCK = 1024
ARGUMENTS = "table, keys, values, owner, partials, total, chunks, chunk, BLOCK: tl.constexpr"


class KernelSource:
    """The kernels of a form, and what the columns of their tables hold.

    Attributes:
        text: of the kernels.
        once: the operations by which the other `scalars` follow from learning rate, step and rank.
        arrays: what a row of the table has the addresses of.
        scalars: what a row of `keys` holds.
        values: what a row of `values` holds.
        links: whether a pass has a `link`.

    Raises:
        NotImplementedError: the body uses an operation that has no translation.
    """

    def __init__(self, form: Form) -> None:
        try:
            # A total is known to the device only, and what follows from it there alone.
            program = early_slots(program_of(form, Level.OWN))
        except Unsupported as error:
            raise untranslated(error.args[1]) from error
        self.form, self.program, self.phases, self.known = form, program, program.phases, program.known
        self.wide, self.numbers = program.wide, program.numbers
        self.arrays = (*self.wide, *self.numbers)
        self.operations = {op.name: op for phase in self.phases for op in phase.operations}
        self.once = tuple(op for op in self.operations.values() if op.level == Level.KEY)
        self.scalars = tuple(dict.fromkeys([*form.scalars, *self._handed(Level.KEY)]))
        self.values = tuple(dict.fromkeys([*self.numbers, *chain(*self.known), *self._handed(Level.OWN)]))
        self.type = TYPES[form.work]
        self.dtypes = dict.fromkeys(self.arrays, form.work) | {"g": form.g, "low" if form.master else "p": form.p}
        for phase in self.phases:
            for op in phase.operations:
                if op.level == Level.AFTER and (op.kind != "sum" or op.name not in phase.gives):
                    raise untranslated(op.kind)
        self.links = tuple(i > 0 or bool({*self.values} & x.later(Level.OWN)) for i, x in enumerate(self.phases))
        kernels = [_kernel(f"link{i}", self._link(i)) for i, wanted in enumerate(self.links) if wanted]
        self.text = "\n\n".join([*kernels, *(_kernel(f"main{i}", self._main(i)) for i in range(len(self.phases)))])

    def _handed(self, level: Level) -> Iterator[str]:
        return chain.from_iterable(phase.handed(level) for phase in self.phases)

    def _link(self, index: int) -> Iterator[str]:
        """Yield the kernel that computes what each tensor needs once before a pass."""
        phase, fresh = self.phases[index], self.known[index - 1] if index else ()
        read = {*phase.used(Level.OWN)}
        yield "number = tl.program_id(0)"
        yield from self._row()
        yield from self._sums(index - 1) if index else ()
        yield from self._scalars(read)
        for name in self.numbers:
            yield f"{name} = tl.load({self._address(name)})"
        yield from self._values(read.difference(self.numbers, fresh))
        yield from self._operations(phase, Level.OWN)
        for name in (*self.numbers, *fresh, *phase.handed(Level.OWN)):
            content = f"tl.where({name}, 1.0, 0.0)" if self._is_flag(name) else name
            yield f"tl.store(value + {self.values.index(name)}, {content})"

    def _sums(self, reduction: int) -> Iterator[str]:
        """Yield what adds up the sums of the chunks, in float64, in an order that never changes."""
        names = self.known[reduction]
        if self.phases[reduction].total:
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

    def _main(self, index: int) -> Iterator[str]:
        """Yield the kernel of one pass over the elements."""
        phase, read = self.phases[index], self.phases[index].later(Level.OWN)
        # Every other pass goes backwards: what the one before has read last may still be in the cache.
        yield "pid = tl.num_programs(0) - 1 - tl.program_id(0)" if index % 2 else "pid = tl.program_id(0)"
        yield "number = tl.load(owner + pid)"
        yield from self._row()
        yield f"part = pid - tl.load(row + {COLUMNS.index('first')})"
        yield "begin = part * chunk"
        yield f"size = tl.minimum(tl.load(row + {COLUMNS.index('size')}) - begin, chunk).to(tl.int32)"
        yield from self._scalars(read)
        yield from self._values(read)
        used = [name for name in self.wide if name in read or name in dict(phase.stores)]
        for name in used:
            yield f"at_{name} = tl.load(row + {self._column(name)})"
        sums = range(len(phase.gives))
        # Whole blocks of aligned tensors, by vectors of 16 bytes of the widest dtype and as many elements of the
        # others: with more of them Triton would exchange elements between threads before it stores.
        vector = min(16 // self.dtypes[name].itemsize for name in used)
        yield f"whole = size // BLOCK * BLOCK * tl.load(row + {COLUMNS.index('aligned')}).to(tl.int32)"
        for name in used:
            # The shifts change nothing where `aligned` is 1, and tell Triton that these are multiples of 16.
            place = f"(at_{name} >> 4 << 4).to({self._pointer(name)})"
            yield f"v_{name} = tl.multiple_of({place}, {vector * self.dtypes[name].itemsize}) + begin"
        yield from (f"sum{j} = tl.zeros((BLOCK,), {self.type})" for j in sums)
        yield "for at in range(0, whole, BLOCK):"
        yield from ("    " + line for line in self._elements(phase, masked=False))
        yield from (f"found{j} = tl.sum(sum{j})" for j in sums)
        # The rest by single elements. With blocks of another length, or Triton would take the layout of the vectors
        # for the loads too and exchange what is to be stored through shared memory.
        yield "if whole < size:"
        for name in used:
            yield f"    u_{name} = at_{name}.to({self._pointer(name)}) + begin"
        yield from (f"    rest{j} = tl.zeros((BLOCK // 2,), {self.type})" for j in sums)
        yield "    for at in range(whole, size, BLOCK // 2):"
        yield from ("        " + line for line in self._elements(phase, masked=True))
        yield from (f"    found{j} += tl.sum(rest{j})" for j in sums)
        yield from (f"tl.store(partials + {j} * chunks + pid, found{j})" for j in sums)
        for label, value in phase.stores:
            if label in self.numbers:
                # No other program reads it: they have it from `values`.
                yield "if part == 0:"
                yield f"    tl.store({self._address(label)}, {operand(value, self.form.work)})"

    def _elements(self, phase: LoopPhase, masked: bool) -> Iterator[str]:
        """Yield what happens to one block."""
        at, mask, length = ("u", ", mask=mask", "BLOCK // 2") if masked else ("v", "", "BLOCK")
        yield f"i = at + tl.arange(0, {length})"
        if masked:
            yield "mask = i < size"
        for name in loads(phase, self.program):
            typed = "" if self.dtypes[name] == self.form.work else f".to({self.type})"
            yield f"{name} = tl.load({at}_{name} + i{mask}{', other=0.0' if masked else ''}){typed}"
        yield from self._operations(phase, Level.WIDE)
        for j, result in enumerate(phase.gives):
            (x,) = self.operations[str(result)].args
            yield f"rest{j} += tl.where(mask, {x}, 0.0)" if masked else f"sum{j} += {x}"
        for label, value in phase.stores:
            if label in self.wide:
                yield f"tl.store({at}_{label} + i, {operand(value, self.form.work)}{mask})"

    def _operations(self, phase: LoopPhase, level: Level) -> Iterator[str]:
        return (f"{op.name} = {expression(op, self.form.work)}" for op in phase.operations if op.level == level)

    def _is_flag(self, name: str) -> bool:
        """Return whether a name is true or false, which stands in the tables as 1 or 0."""
        op = self.operations.get(name)
        return op is not None and (op.kind in TRUTHS or (op.kind == "where" and self._is_flag(str(op.args[1]))))

    def _row(self) -> Iterator[str]:
        yield f"row = table + number * {len(COLUMNS) + len(self.arrays)}"
        yield f"value = values + number * {len(self.values)}"

    def _scalars(self, read: Set[str]) -> Iterator[str]:
        yield f"key = keys + tl.load(row + {COLUMNS.index('row')}) * {len(self.scalars)}"
        yield from self._loaded("key", self.scalars, read)

    def _values(self, read: Set[str]) -> Iterator[str]:
        yield from self._loaded("value", self.values, read)

    def _loaded(self, place: str, names: Sequence[str], read: Set[str]) -> Iterator[str]:
        for i, name in enumerate(names):
            if name in read:
                yield f"{name} = tl.load({place} + {i}){' != 0.0' if self._is_flag(name) else ''}"

    def _column(self, name: str) -> int:
        return len(COLUMNS) + self.arrays.index(name)

    def _address(self, name: str) -> str:
        return f"tl.load(row + {self._column(name)}).to({self._pointer(name)})"

    def _pointer(self, name: str) -> str:
        return f"tl.pointer_type({TYPES[self.dtypes[name]]})"


def _kernel(name: str, lines: Iterator[str]) -> str:
    body = "".join(f"    {line}\n" for line in lines)
    return f'@triton.jit(do_not_specialize=["chunks"])\ndef {name}({ARGUMENTS}):\n{body}'


@lru_cache(maxsize=64)
def source_of(form: Form) -> KernelSource:
    """Return the kernels of a form, written once."""
    return KernelSource(form)
