"""What passes through the body of a rule together: a stack of small tensors, or one tensor cut into blocks."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from lrsched.rules._arrays import Array, Ops
from lrsched.rules._context import Context
from lrsched.rules._memory import Library
from lrsched.rules._tape import RETURNS, Program, Reduction, Tape, program

# The rule and the tensors of `run`, whose module imports this one.
Body = Any
Leaf = Any


@dataclass(frozen=True)
class Expected:
    """Stands for an array in the structure that slots must have."""

    shape: tuple[int | None, ...] | None


class Expecting(NamedTuple):
    """Makes what stands for the slots of a tensor."""

    shape: Any

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> Any:
        return Expected(self.shape if shape is None else shape)


def flat(slots: tuple[Any, ...]) -> list[Array]:
    """Return the arrays of the slots of one tensor, in the order of `map_arrays`."""
    found = []
    for item in slots:
        if isinstance(item, tuple):
            found += flat(item)
        elif item is not None:
            found.append(item)
    return found


def refilled(slots: Any, arrays: Iterator[Array]) -> Any:
    """Return slots like these with other arrays."""
    items = [
        None if item is None else refilled(item, arrays) if isinstance(item, tuple) else next(arrays) for item in slots
    ]
    return type(slots)._make(items) if hasattr(slots, "_make") else tuple(items)


def _slots(slots: Any, columns: Iterator[Sequence[Array]], count: int) -> Iterable[Any]:
    """Return slots like these for each of `count` tensors, from a column for each array."""
    items = [
        repeat(None, count)
        if item is None
        else _slots(item, columns, count)
        if isinstance(item, tuple)
        else next(columns)
        for item in slots
    ]
    rows = zip(*items, strict=True) if items else repeat((), count)
    return map(type(slots)._make, rows) if hasattr(slots, "_make") else rows


class Totals:
    """The totals over all units, in the order in which the body asks for them."""

    def __init__(self, units: int) -> None:
        self.known: list[Array] = []
        self._units = self._missing = units
        self._sum = 0.0

    def add(self, part: float, number: Callable[[float], Array]) -> None:
        """Take the part of one unit; each gives one before any asks for the next total."""
        self._sum += part
        self._missing -= 1
        if not self._missing:
            self.known.append(number(self._sum))
            self._sum, self._missing = 0.0, self._units


@dataclass(frozen=True)
class Update:
    """What all tensors of an update share.

    Args:
        rule: what to do.
        xp: the operations of the library.
        library: the others.
        wide: the working dtype of the body.
        add: True for new parameters, False for what to add to the old ones.
        donate: whether results may be written into the arrays given.
        length: the most elements of a block.
    """

    rule: Body
    xp: Ops
    library: Library
    wide: Any
    add: bool
    donate: bool
    length: int

    def buffers(self, count: int) -> list[Array]:
        """Return so many vectors of the length of a block, always the same ones."""
        while len(self._made) < count:
            self._made.append(self.library.empty((self.length,), self.wide))
        return self._made[:count]

    _made: list[Array] = field(default_factory=list)


class Recorded:
    """The body as recorded for tensors of one number of dimensions, one learning rate and one step.

    Args:
        update: what all tensors share.
        context: learning rate and step.
        leaf: one of the tensors.
        numbers: for each array of the slots, whether it is one number a tensor.
        whole: every tensor lies within one block.
    """

    def __init__(self, update: Update, context: Context, leaf: Leaf, numbers: Sequence[bool], whole: bool) -> None:
        self.tape = tape = Tape(update.xp, whole)
        p, g, *slots = [tape.new(number) for number in (False, False, *numbers)]
        given = refilled(leaf.slots, iter(slots))
        (u,), (new,) = update.rule.body(tape.context(context, len(leaf.p.shape)), [p], [g], [given])
        result = tape.record("subtract", p, u) if update.add else tape.record("negative", u)
        # What is handed on as it came needs a copy, for its memory may be written before.
        news = [tape.record("copy", x) if any(x is old for old in (p, g, *slots)) else x for x in flat(new)]
        self.results = [tape.place(x) for x in (result, *news)]
        if update.library.combines:
            tape.combine()
        self.g = g.index
        self.inputs = [p.index, *(x.index for x in slots)]
        self.constants = {place: update.library.constant(number) for place, number in tape.constants.items()}
        self.passes = [
            program(tape, one.arrays, [False] * len(one.arrays), [None] * len(one.arrays)) for one in tape.reductions
        ]
        self.totals = any(one.total for one in tape.reductions)
        self._last: dict[Any, Program] = {}

    def last(self, direct: Sequence[bool], in_place: Sequence[bool]) -> Program:
        """Return the program of the last pass.

        Args:
            direct: for each result, whether an operation may write it.
            in_place: for each result, whether it takes the memory of what it replaces.
        """
        key = (*direct, *in_place)
        if key not in self._last:
            overwritten = [place if own else None for place, own in zip(self.inputs, in_place, strict=True)]
            self._last[key] = program(self.tape, self.results, direct, overwritten)
        return self._last[key]


class Unit:
    """What passes through the body together: a stack of whole tensors of one shape, or one tensor in blocks.

    Args:
        update: what all units share.
        recorded: the body.
        leaves: the tensors, of one shape and dtype; several only if they fit into a block.
        numbers: for each array of the slots, whether it is one number a tensor.
        dtypes: of the parameter and of each array of the slots, when done.
        totals: those of all units.
    """

    def __init__(
        self,
        update: Update,
        recorded: Recorded,
        leaves: Sequence[Leaf],
        numbers: Sequence[bool],
        dtypes: Sequence[Any],
        totals: Totals,
    ) -> None:
        self._update, self._recorded, self._leaves, self._totals = update, recorded, leaves, totals
        self._numbers, self._dtypes = (False, *numbers), dtypes
        self._shape = tuple(leaves[0].p.shape)
        self._size, length = math.prod(self._shape), update.length
        self._cut = not recorded.tape.whole
        self._places = [slice(i, i + length) for i in range(0, self._size, length)] if self._cut else [slice(None)]
        self._given = [list(column) for column in zip(*([leaf.p, *flat(leaf.slots)] for leaf in leaves), strict=True)]
        self._olds = [self._united(*pair) for pair in zip(self._given, self._numbers, strict=True)]
        self._g = self._united([leaf.g for leaf in leaves], number=False)
        self._outs: list[Array] = []
        self._in_place: list[bool] = []
        # By place: constants, sums, numbers of the tensors, and in turn what belongs to a block.
        self._contents: list[Any] = [None] * recorded.tape.places
        for place, number in recorded.constants.items():
            self._contents[place] = number
        self._pass = self._seen = 0
        self._waits: int | None = None
        self.done = False

    def _united(self, arrays: list[Array], number: bool) -> Array:
        """Return what belongs to the tensors as one array: rows of a stack, or all elements of one tensor."""
        if number:  # A copy, since the first block writes what the second one needs.
            return self._update.library.stack(arrays).reshape((-1,) if self._cut else (-1, 1))
        if len(arrays) == 1:
            return arrays[0].reshape((-1,) if self._cut else (1, self._size))
        join = self._update.library.join if self._shape else self._update.library.stack
        return join(arrays).reshape((len(arrays), self._size))

    def step(self) -> None:
        """Make the next pass, unless all is done or other units must give their parts of a total first."""
        if self._waits is not None:
            if self._seen == len(self._totals.known):
                return
            self._contents[self._waits] = self._totals.known[self._seen]
            self._seen, self._waits = self._seen + 1, None
        if self._pass < len(self._recorded.passes):
            self._take(self._recorded.passes[self._pass], self._recorded.tape.reductions[self._pass])
            self._pass += 1
        elif not self.done:
            self._write()
            self.done = True

    def _take(self, do: Program, asked: Reduction) -> None:
        """Take the sums of one request."""
        sums = [0.0] * len(asked.arrays)
        for _ in self._blocks(do, []):
            for i, place in enumerate(asked.arrays):
                sums[i] += float(self._contents[place].sum())
        if asked.total:
            self._waits = asked.results[0]
            self._totals.add(sum(sums), self._number)
        else:
            for place, content in zip(asked.results, sums, strict=True):
                self._contents[place] = self._number(content)

    def _number(self, content: float) -> Array:
        return self._update.xp.full(self._g, content, (), self._update.wide)

    def _write(self) -> None:
        """Compute the results."""
        wide = self._update.wide
        self._make_outs()
        direct = [not number and out.dtype == wide for out, number in zip(self._outs, self._numbers, strict=True)]
        do = self._recorded.last(direct, self._in_place)
        for place in self._blocks(do, self._outs):
            for i, source in do.copies:
                self._outs[i][... if self._numbers[i] else place] = self._contents[source]

    def _blocks(self, do: Program, outs: list[Array]) -> Iterator[slice]:
        """Run a program on one block after the other."""
        cast, wide, contents = self._update.xp.cast, self._update.wide, self._contents
        inputs = [
            *zip(self._recorded.inputs, self._olds, self._numbers, strict=True),
            (self._recorded.g, self._g, False),
        ]
        functions = self._update.library.functions
        steps = [(functions[name], places, made, where) for name, places, made, where in do.steps]
        buffers = self._update.buffers(do.buffers)
        for place in self._places:
            for i, array, number in inputs:
                contents[i] = cast(array if number else array[place], wide)
            block = contents[self._recorded.g]
            size = math.prod(block.shape)
            memory = [x[:size].reshape(block.shape) for x in buffers] + [
                out if number else out[place] for out, number in zip(outs, self._numbers, strict=False)
            ]
            for function, places, made, where in steps:
                arguments = [contents[i] for i in places]
                contents[made] = function(*arguments) if where == RETURNS else function(*arguments, out=memory[where])
            yield place

    def _make_outs(self) -> None:
        """Take arrays for the results, shaped like the old ones: those given, where that is possible."""
        library = self._update.library
        for old, given, dtype in zip(self._olds, self._given, self._dtypes, strict=True):
            own = len(given) == 1 and library.whole(given[0]) and self._may_write(given[0], dtype)
            self._outs.append(given[0].reshape(tuple(old.shape)) if own else library.empty(tuple(old.shape), dtype))
            self._in_place.append(own)

    def _may_write(self, given: Array, dtype: Any) -> bool:
        return self._update.donate and given.dtype == dtype and self._update.library.writable(given)

    def results(self) -> Iterable[tuple[Array, Any]]:
        """Return the parameter and the slots of each tensor."""
        columns = []
        for out, given, number, own in zip(self._outs, self._given, self._numbers, self._in_place, strict=True):
            if own:
                columns.append(given)
                continue
            rows = out.reshape((len(given), *(() if number else self._shape)))
            # Of a vector NumPy would yield scalars.
            made = [rows[i, ...] for i in range(len(given))] if rows.ndim == 1 else list(rows)
            if self._update.donate:
                made = self._handed(made, given)
            columns.append(made)
        ps, *slots = columns
        return zip(ps, _slots(self._leaves[0].slots, iter(slots), len(ps)), strict=True)

    def _handed(self, made: list[Array], given: list[Array]) -> list[Array]:
        """Return the arrays given with what was made written into them, or, where that cannot be, what was made."""
        may = [self._may_write(old, new.dtype) for old, new in zip(given, made, strict=True)]
        pairs = [pair for pair, one in zip(zip(given, made, strict=True), may, strict=True) if one]
        if pairs:
            self._update.library.write([old for old, _ in pairs], [new for _, new in pairs])
        return [old if one else new for one, old, new in zip(may, given, made, strict=True)]
