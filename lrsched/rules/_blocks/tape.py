"""The body of a rule as a list of array operations, recorded once and run on every block with the memory it needs.

`Tape` records what a body does to `Traced` arrays. `Program` keeps the operations that some results need and says
where each writes: into a buffer that nothing needs any more, or into the array that is to hold the result.

The new first moment of Adam, `b1 * m + (1 - b1) * g`, is three operations on the tape, at three new places. The first
product is no result and goes into the first buffer, the second into another. Nothing reads the two after the sum: so it
may write over them, and being a result it writes where the new m is to lie, unless m itself lies there and something
later reads it. Then it takes a buffer, and is copied at the end. A body that branches on what an array holds, or asks
for what a `Traced` has not, raises, and the update is done without blocks.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Protocol, TypeGuard

from lrsched._core.needed import needed
from lrsched._spaces.ops import COMMON, Array, Ops
from lrsched.rules._ops.context import Context

# Operations that write floating-point numbers, element by element, where they are told to.
WRITING = frozenset(
    (*COMMON, "add", "subtract", "multiply", "divide", "negative", "copy", "choose", "add_scaled", "subtract_scaled")
)
# The others, which return what they make.
RETURNING: dict[str, Callable[..., Array]] = {
    "power": operator.pow,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "and": operator.and_,
    "or": operator.or_,
    "invert": operator.invert,
}


class Recorder(Protocol):
    """Records operations."""

    def record(self, name: str, *inputs: Any) -> "Traced":
        """Add an operation and return its result."""


class Traced:
    """Stands for an array while the body is recorded.

    Args:
        tape: which records what is done to it.
        index: the place of the array on the tape.
        number: one number a tensor.
        truth: of truth values.
    """

    __array_ufunc__ = None  # so that scalars of NumPy leave the operators to this class
    __slots__ = ("index", "number", "tape", "truth")

    def __init__(self, tape: "Recorder", index: int, number: bool = False, truth: bool = False) -> None:
        self.tape, self.index, self.number, self.truth = tape, index, number, truth

    def __bool__(self) -> bool:
        raise TypeError("the body of a rule may not branch on the values of arrays")

    def __eq__(self, other: object) -> Any:
        raise TypeError("the body of a rule may not compare arrays")

    __hash__ = None  # type: ignore[assignment]  # as what cannot be compared has none


def _operator(name: str, swapped: bool = False) -> Any:
    def binary(self: Traced, other: Any) -> Traced:
        return self.tape.record(name, other, self) if swapped else self.tape.record(name, self, other)

    return binary


for _name, _method in {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "power": "pow",
    "and": "and",
    "or": "or",
}.items():
    setattr(Traced, f"__{_method}__", _operator(_name))
    setattr(Traced, f"__r{_method}__", _operator(_name, swapped=True))
for _name, _method in {"less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge"}.items():
    setattr(Traced, f"__{_method}__", _operator(_name))
for _name, _method in {"negative": "neg", "abs": "abs", "invert": "invert"}.items():
    setattr(Traced, f"__{_method}__", lambda self, name=_name: self.tape.record(name, self))


@dataclass(frozen=True)
class Operation:
    """One operation: its name, the places of what it takes, and the place of what it makes."""

    name: str
    inputs: tuple[int, ...]
    output: int
    number: bool
    truth: bool


@dataclass(frozen=True)
class Sums:
    """A request for sums, of each tensor or over all.

    Args:
        total: over all tensors.
        terms: what to sum: the elements of one array, or the products of those of two.
        results: the places of the sums.
        after: how many operations come before.
    """

    total: bool
    terms: tuple[tuple[int, ...], ...]
    results: tuple[int, ...]
    after: int


@dataclass
class Tape:
    """What a body does, in order.

    Args:
        xp: the operations of the library.
        whole: every tensor lies within one block, so that its sums need no pass of their own.
        dots: the library sums products without an array of them.
        operations: what is done.
        constants: numbers, by place.
        reductions: the sums that no block knows by itself.
        places: how many there are.
    """

    xp: Ops
    whole: bool
    dots: bool
    operations: list[Operation] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    reductions: list[Sums] = field(default_factory=list)
    places: int = 0
    _numbers: set[int] = field(default_factory=set)
    # Products of a number of each tensor and an array: a constant that comes next multiplies the number.
    _scaled: dict[int, tuple[Traced, Traced]] = field(default_factory=dict)

    def new(self, number: bool = False, truth: bool = False) -> Traced:
        """Return an array at a new place."""
        self.places += 1
        if number:
            self._numbers.add(self.places - 1)
        return Traced(self, self.places - 1, number, truth)

    def holds(self, content: Any) -> TypeGuard[Traced]:
        """Return whether something is an array of this tape; all else are constants to it."""
        return isinstance(content, Traced) and content.tape is self

    def place(self, content: Any) -> int:
        """Return the place of an array or of a constant."""
        if self.holds(content):
            return content.index
        self.constants[self.places] = content
        self.places += 1
        return self.places - 1

    def record(self, name: str, *inputs: Any) -> Traced:
        """Add an operation and return its result."""
        if name == "where" and inputs[0].number and any(self.holds(x) and not x.number for x in inputs):
            name = "choose"  # one truth value a tensor
        if name == "multiply" and any(isinstance(x, float) and x == 1.0 for x in inputs):
            return next(x for x in inputs if self.holds(x))
        if name == "multiply":
            for x, c in (inputs, inputs[::-1]):
                if self.holds(x) and not self.holds(c) and x.index in self._scaled:
                    number, y = self._scaled[x.index]
                    return self.record(name, self.record(name, c, number), y)
        arrays = [x for x in inputs if self.holds(x)]
        truth = (name in RETURNING and name != "power") or all(x.truth for x in arrays)
        made = self.new(all(x.number for x in arrays), truth)
        self.operations.append(Operation(name, tuple(map(self.place, inputs)), made.index, made.number, truth))
        if name == "multiply" and len(arrays) == 2 and arrays[0].number != arrays[1].number:
            number, y = arrays if arrays[0].number else arrays[::-1]
            self._scaled[made.index] = number, y
        return made

    def combine(self) -> None:
        """Let a sum or difference with the product of an array and a constant be one operation: `x + y * c`."""
        uses = Counter(place for one in self.operations for place in one.inputs)
        uses.update(place for one in self.reductions for term in one.terms for place in term)
        products = {
            one.output: one.inputs
            for one in self.operations
            if one.name == "multiply"
            and uses[one.output] == 1
            and not one.number
            and self.constants.keys() & set(one.inputs)
        }
        for i, one in enumerate(self.operations):
            if one.name not in ("add", "subtract") or one.number:
                continue
            x, product = one.inputs
            if product not in products and one.name == "add":
                x, product = product, x
            if product in products and x not in self.constants:
                y, c = sorted(products[product], key=lambda place: place in self.constants)
                self.operations[i] = replace(one, name=f"{one.name}_scaled", inputs=(x, y, c))

    def context(self, context: Context, ndim: int) -> Context:
        """Return the context with which the body of one tensor, or of several of so many dimensions, is recorded."""

        def function(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*xs: Any) -> Any:
                own = next((x for x in xs if isinstance(x, Traced)), None)
                return real(*xs) if own is None else own.tape.record(name, *xs)

            return call

        traced: dict[str, Any] = {name: function(name, getattr(self.xp, name)) for name in (*COMMON, "where")}
        xp = replace(self.xp, **traced, cast=lambda x, dtype: x)
        return replace(context, xp=xp, ndims=(ndim,), sums=self._sums, total=self._total, each=())

    def _sums(self, arrays: Sequence[Traced], owners: Sequence[int]) -> list[Traced]:
        if self.whole:
            return [self._rows(x) for x in arrays]
        return self._reduced(False, arrays) if arrays else []

    def _rows(self, x: Traced) -> Traced:
        made, term = self.new(number=True), self._term(x)
        name = "rows" if len(term) == 1 else "dots"
        self.operations.append(Operation(name, term, made.index, number=True, truth=False))
        return made

    def _term(self, x: Traced) -> tuple[int, ...]:
        """Return the two arrays whose product `x` is, if their sum of products can be had at once, or else `x`."""
        if self.dots and self.holds(x):
            for one in reversed(self.operations):
                if one.output == x.index:
                    whole = one.name == "multiply" and not self.constants.keys() & set(one.inputs)
                    return one.inputs if whole and not self._numbers & set(one.inputs) else (x.index,)
        return (self.place(x),)

    def _total(self, arrays: Sequence[Traced]) -> Traced:
        return self._reduced(True, arrays)[0]

    def _reduced(self, total: bool, arrays: Sequence[Traced]) -> list[Traced]:
        made = [self.new(number=True) for _ in ([0] if total else arrays)]
        terms = tuple(map(self._term, arrays))
        self.reductions.append(Sums(total, terms, tuple(x.index for x in made), len(self.operations)))
        return made


@dataclass(frozen=True)
class Program:
    """The operations that some arrays need, each with the memory that it writes into.

    Beyond the places of the tape come the memory of each array wanted, then that of the buffers.

    Args:
        steps: for each operation its name, where what it takes lies, where what it makes is to lie, and whether it
            writes there; else it returns a new array.
        reads: the places that must be filled before.
        wanted: where each array wanted lies in the end.
        buffers: how many there are.
    """

    steps: tuple[tuple[str, tuple[int, ...], int, bool], ...]
    reads: frozenset[int]
    wanted: tuple[int, ...]
    buffers: int


def program(
    tape: Tape,
    wanted: Sequence[int],
    direct: Sequence[bool],
    overwritten: Sequence[int | None],
    given: Sequence[int] = (),
) -> Program:
    """Return the program for some arrays.

    Args:
        tape: what was recorded.
        wanted: the places of the arrays.
        direct: for each, whether an operation may write it into memory of its own.
        overwritten: for each, the place of the array whose memory that is, or None.
        given: places whose contents are known.
    """
    operations = needed_for(tape.operations, wanted, given)
    last = {place: i for i, one in enumerate(operations) for place in one.inputs}
    last |= dict.fromkeys(wanted, len(operations))
    results = {place: i for i, place in enumerate(wanted) if direct[i] and wanted.count(place) == 1}
    steps: list[tuple[str, tuple[int, ...], int, bool]] = []
    first = tape.places + len(wanted)
    free: list[int] = []
    held: dict[int, int] = {}
    where: dict[int, int] = {}
    buffers = 0
    for i, one in enumerate(operations):
        # It may write into what it reads for the last time: each element is read before it is written.
        free += [held.pop(place) for place in set(one.inputs) if last[place] == i and place in held]
        inputs = tuple(where.get(place, place) for place in one.inputs)
        writes = one.name in WRITING and not one.number and not one.truth
        if writes:
            result = results.get(one.output)
            if result is not None and last.get(overwritten[result], -1) <= i:  # type: ignore[arg-type]  # None is no place
                where[one.output] = tape.places + result
            else:
                if not free:
                    free.append(first + buffers)
                    buffers += 1
                where[one.output] = held[one.output] = free.pop()
        steps.append((one.name, inputs, where.get(one.output, one.output), writes))
    made = {one.output for one in operations}
    reads = frozenset(place for one in operations for place in one.inputs) | frozenset(wanted)
    return Program(tuple(steps), reads - made, tuple(where.get(place, place) for place in wanted), buffers)


def needed_for(operations: Sequence[Operation], wanted: Iterable[int], given: Iterable[int] = ()) -> list[Operation]:
    """Return the operations that some places need, where others are given."""
    made = [one for one in operations if one.output not in given]
    return needed(made, wanted, attrgetter("output"), attrgetter("inputs"))
