"""What passes through the body of a rule together: a stack of small tensors, or one tensor, by blocks if large.

A `Stack` of a hundred biases finds each column, say their first moments, already end to end in the memory that the
update before returned, or gathers them into the scratch memory. They are then one array `(100, n)`, one block, whose
sums are those of its rows, and whose results are handed out as a hundred views. A large tensor is a stack of its own,
a vector; each pass runs the operations on slices of it, and adds up the sums that the next pass has to know.
"""

import math
from collections.abc import Generator, Sequence
from typing import Any

from lrsched._spaces.ops import Array
from lrsched.rules._blocks.memory import Scratch
from lrsched.rules._blocks.recording import Pass, Recording, Update
from lrsched.rules._blocks.threads import share

# Blocks that a thread takes at a time.
RUN = 4


def picked(items: Sequence[Any], those: Sequence[int]) -> list[Any]:
    """Return some of the items, by index."""
    if isinstance(those, range):
        return list(items[those.start : those.stop])
    return [items[i] for i in those]


def put(items: Any, those: Sequence[int], contents: Sequence[Any]) -> None:
    """Put something in the places of some of the items: the inverse of `picked`."""
    if isinstance(those, range):
        items[those.start : those.stop] = contents
    else:
        for i, content in zip(those, contents, strict=True):
            items[i] = content


class Stack:
    """Tensors that pass through the body together.

    Args:
        update: what all stacks share.
        recording: the body.
        those: the tensors by index, of one shape and dtype; several only if they fit into the memory of a `Scratch`.
        numbers: for each array of the slots, whether it is one number a tensor.
    """

    def __init__(self, update: Update, recording: Recording, those: Sequence[int], numbers: Sequence[bool]) -> None:
        self._update, self._recording, self._those = update, recording, those
        self._numbers = (False, *numbers)
        self._given = [picked(column, those) for column in update.olds]
        self._gs = picked(update.gs, those)
        p = self._given[0][0]
        self._stacked = len(those) > 1
        # For each of these columns the array in which it lies end to end, if there is one.
        self._joined: list[Any] = [
            None if number else update.library.joined(given) if self._stacked else given[0]
            for given, number in zip(self._given, self._numbers, strict=True)
        ]
        self._dtypes = [p.dtype, *[update.dtypes[those[0]]] * len(numbers)]
        self._tensor = tuple(p.shape)
        self.size = math.prod(self._tensor)
        self._whole = recording.tape.whole
        self._shape = (len(those), self.size) if self._whole else (self.size,)
        # By place: constants, numbers of the tensors, sums and totals.
        self._contents: list[Any] = [None] * recording.tape.places
        for place, number in recording.constants.items():
            self._contents[place] = number
        for place, arrays, number in zip(recording.inputs, self._given, self._numbers, strict=True):
            if number:
                column = update.library.gather(arrays, update.library.empty((len(arrays),), update.wide))
                self._contents[place] = column.reshape((-1, 1)) if self._whole else column

    def run(self) -> Generator[float, Any, None]:
        """Do all, from the first `send` on, which gives the memory of each thread, `(spaces, None)`.

        It yields the part of this stack in each total, and is sent `(spaces, total)`.
        """
        spaces, _ = yield 0.0
        update, stacked = self._update, self._stacked
        copied = stacked and update.donate  # the results are made in a stack and then copied to where they belong
        owns = [
            joined is not None and update.library.whole(joined) and self._may_write(given, dtype)
            for given, joined, dtype in zip(self._given, self._joined, self._dtypes, strict=True)
        ]
        direct = [
            not number and (copied or dtype == update.wide)
            for number, dtype in zip(self._numbers, self._dtypes, strict=True)
        ]
        in_place = [own or copied for own in owns]
        # What is kept between passes lies where the parameter will be, or else in memory of its own.
        fresh = direct[0] and not in_place[0]
        room = not self._whole and (fresh or self.size <= update.library.sizes().kept)
        passes = self._recording.passes(direct, in_place, room)
        outs = [
            joined.reshape(self._shape)
            if own
            else None
            if number or copied
            else update.library.result(self._shape, dtype)
            for own, joined, number, dtype in zip(owns, self._joined, self._numbers, self._dtypes, strict=True)
        ]
        if any(len(outs) in one.outs for one in passes):
            outs.append(outs[0] if fresh else spaces[0].kept(self.size))
        for one in passes:
            sums, made = self._pass(one, spaces, outs)
            if one.asked is None:
                self._hand_over([made.get(j, out) for j, out in enumerate(outs[: len(owns)])], owns)
            elif one.asked.total:
                spaces, total = yield sum(sums)
                self._contents[one.asked.results[0]] = self._number(total)
            else:
                for place, content in zip(one.asked.results, sums, strict=True):
                    self._contents[place] = self._number(content)

    def _may_write(self, given: Sequence[Array], dtype: Any) -> bool:
        return bool(self._update.donate and given[0].dtype == dtype and self._update.library.writable(given))

    def _number(self, content: float) -> Array:
        return self._update.xp.full(self._gs[0], content, (), self._update.wide)

    def _pass(self, one: Pass, spaces: list[Scratch], outs: list[Array]) -> tuple[list[float], dict[int, Array]]:
        """Return the sums that a pass asks for, and by number those results that lie in no memory of their own."""
        tape, update = self._recording.tape, self._update
        memory = spaces[0].inputs(len(outs) + 1) if self._stacked else []
        rows = [x[: len(self._those) * self.size] for x in memory]
        g = None if self._stacked else self._gs[0]
        inputs = [
            *zip(self._recording.inputs, self._given, self._joined, strict=True),
            (self._recording.g, self._gs, g),
        ]
        arrays: list[tuple[int, Array]] = []
        for i, (place, those, joined) in enumerate(inputs):
            if place in one.do.reads and self._contents[place] is None:
                united = update.library.gather(those, rows[i]) if joined is None else joined
                arrays.append((place, united.reshape(self._shape)))
        arrays += [(place, outs[j]) for place, j in one.given]
        for i, j in enumerate(one.outs):
            if not self._number_of(j):
                arrays.append((tape.places + i, rows[j].reshape(self._shape) if outs[j] is None else outs[j]))
        length = update.library.sizes().block
        blocks = [slice(None)] if self._whole else [slice(i, i + length) for i in range(0, self.size, length)]
        runs = [blocks[i : i + RUN] for i in range(0, len(blocks), RUN)] if len(spaces) > 1 else [blocks]
        found: list[Any] = [None] * len(runs)

        def do(space: Scratch, i: int) -> None:
            found[i] = self._blocks(one, space, runs[i], arrays, outs)

        if len(runs) > 1:
            share(do, spaces, range(len(runs)))
        else:
            do(spaces[0], 0)
        # In the order of the blocks, whoever took them.
        each = [sums for parts, _ in found for sums in parts]
        return [sum(column) for column in zip(*each, strict=True)], found[-1][1]

    def _blocks(
        self, one: Pass, space: Scratch, blocks: list[slice], arrays: list[tuple[int, Array]], outs: list[Array]
    ) -> tuple[list[list[float]], dict[int, Array]]:
        """Make a pass over some blocks."""
        do, first = one.do, self._recording.tape.places
        wide, cast, functions = self._update.wide, self._update.xp.cast, self._update.library.functions
        steps = [(functions[name], inputs, target, writes) for name, inputs, target, writes in do.steps]
        casts = [place for place, array in arrays if place < first and array.dtype != wide]
        ends = [(first + i, j, place) for i, (j, place) in enumerate(zip(one.outs, do.wanted, strict=False))]
        copies = [(own, place) for own, j, place in ends if own != place and not self._number_of(j)]
        memory = first + len(do.wanted)
        contents = [*self._contents, *[None] * (len(do.wanted) + do.buffers)]
        buffers, length, sums = space.buffers(do.buffers), None, []
        for block in blocks:
            for place, array in arrays:
                contents[place] = array[block]
            shape = contents[arrays[0][0]].shape
            if shape != length:
                length, size = shape, math.prod(shape)
                contents[memory:] = [x[:size].reshape(shape) for x in buffers]
            for place in casts:
                contents[place] = cast(contents[place], wide)
            for function, inputs, target, writes in steps:
                if writes:
                    function(*[contents[i] for i in inputs], out=contents[target])
                else:
                    contents[target] = function(*[contents[i] for i in inputs])
            for own, place in copies:
                contents[own][...] = contents[place]
            sums.append([self._sum(*(contents[i] for i in term)) for term in one.terms])
        # Numbers, and what is still in a stack.
        return sums, {j: contents[place if self._number_of(j) else own] for own, j, place in ends if outs[j] is None}

    def _number_of(self, j: int) -> bool:
        return j < len(self._numbers) and self._numbers[j]

    def _sum(self, x: Array, *others: Array) -> float:
        if not others:
            return float(x.sum())
        (y,) = others
        if not self._whole:
            x, y = x.reshape((1, -1)), y.reshape((1, -1))
        return float(self._update.library.functions["dots"](x, y).sum())

    def _hand_over(self, made: list[Array], owns: list[bool]) -> None:
        """Give out the results."""
        update, count = self._update, len(self._those)
        for new, content, given, number, dtype, own in zip(
            update.news, made, self._given, self._numbers, self._dtypes, owns, strict=True
        ):
            results = given
            if not own:
                if number:
                    column = update.library.empty((count,), dtype)
                    column[...] = content.reshape((-1,)) if hasattr(content, "reshape") else content
                    content = column
                results = update.library.parts(content, (count, *(() if number else self._tensor)))
                if update.donate:
                    results = self._handed(results, given, dtype, self._stacked and not number)
            put(new, self._those, results)

    def _handed(self, made: list[Array], given: list[Array], dtype: Any, borrowed: bool) -> list[Array]:
        """Return the arrays given with what was made written into them, or, where that cannot be, what was made.

        Args:
            made: the results.
            given: what they replace.
            dtype: of the results.
            borrowed: they lie in memory that will be written again.
        """
        if self._update.uniform:
            try:
                self._update.library.write(given, made)
            except ValueError:  # one is read-only; to write the others again does no harm
                pass
            else:
                return given
        may = [self._may_write([old], dtype) for old in given]
        pairs = [pair for pair, one in zip(zip(given, made, strict=True), may, strict=True) if one]
        if pairs:
            self._update.library.write([old for old, _ in pairs], [new for _, new in pairs])
        return [
            old if one else self._copy(new, dtype) if borrowed else new
            for one, old, new in zip(may, given, made, strict=True)
        ]

    def _copy(self, x: Array, dtype: Any) -> Array:
        new = self._update.library.empty(tuple(x.shape), dtype)
        new[...] = x
        return new
