"""The body of a rule as a list of array operations, recorded once and run on every block with the memory it needs.

`Tape` records what a body does to `Traced` arrays. `Program` keeps the operations that some results need and says
where each writes: into a buffer that nothing needs any more, or into the array that is to hold the result.
"""

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lrsched.rules._arrays import Array, Ops
from lrsched.rules._context import Context

# Operations that write floating-point numbers, element by element, where they are told to.
WRITING = frozenset(
    (
        *("add", "subtract", "multiply", "divide", "negative", "sqrt", "abs", "sign", "expm1", "maximum", "minimum"),
        *("copy", "add_scaled", "subtract_scaled"),
    )
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


class Traced:
    """Stands for an array while the body is recorded.

    Args:
        tape: which records.
        index: the place of the array on the tape.
        number: one number a tensor.
        truth: of truth values.
    """

    __array_ufunc__ = None  # so that scalars of NumPy leave the operators to this class
    __slots__ = ("index", "number", "tape", "truth")

    def __init__(self, tape: "Tape", index: int, number: bool = False, truth: bool = False) -> None:
        self.tape, self.index, self.number, self.truth = tape, index, number, truth

    def __bool__(self) -> bool:
        raise TypeError("the body of a rule may not branch on the values of arrays")


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
class Reduction:
    """A request for sums of some arrays, of each tensor or over all, and the places of the results."""

    total: bool
    arrays: tuple[int, ...]
    results: tuple[int, ...]


@dataclass
class Tape:
    """What a body does, in order.

    Args:
        xp: the operations of the library.
        whole: every tensor lies within one block, so that its sums need no pass of their own.
        operations: what is done.
        constants: numbers, by place.
        reductions: the sums that no block knows by itself.
        places: how many there are.
    """

    xp: Ops
    whole: bool
    operations: list[Operation] = field(default_factory=list)
    constants: dict[int, Any] = field(default_factory=dict)
    reductions: list[Reduction] = field(default_factory=list)
    places: int = 0

    def new(self, number: bool = False, truth: bool = False) -> Traced:
        """Return an array at a new place."""
        self.places += 1
        return Traced(self, self.places - 1, number, truth)

    def place(self, content: Any) -> int:
        """Return the place of an array or of a constant."""
        if isinstance(content, Traced):
            return content.index
        self.constants[self.places] = content
        self.places += 1
        return self.places - 1

    def record(self, name: str, *inputs: Any) -> Traced:
        """Add an operation and return its result."""
        if name == "multiply" and any(isinstance(x, float) and x == 1.0 for x in inputs):
            return next(x for x in inputs if isinstance(x, Traced))
        arrays = [x for x in inputs if isinstance(x, Traced)]
        truth = (name in RETURNING and name != "power") or all(x.truth for x in arrays)
        made = self.new(all(x.number for x in arrays), truth)
        self.operations.append(Operation(name, tuple(map(self.place, inputs)), made.index, made.number, truth))
        return made

    def combine(self) -> None:
        """Let a sum or difference with the product of an array and a constant be one operation: `x + y * c`."""
        uses = Counter(place for one in self.operations for place in one.inputs)
        uses.update(place for one in self.reductions for place in one.arrays)
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
            return lambda *xs: self.record(name, *xs) if any(isinstance(x, Traced) for x in xs) else real(*xs)

        names = ("sqrt", "abs", "sign", "expm1", "where", "maximum", "minimum")
        traced: dict[str, Any] = {name: function(name, getattr(self.xp, name)) for name in names}
        xp = replace(self.xp, **traced, cast=lambda x, dtype: x)
        return replace(context, xp=xp, ndims=(ndim,), sums=self._sums, total=self._total, each=())

    def _sums(self, arrays: Sequence[Traced], owners: Sequence[int]) -> list[Traced]:
        if self.whole:
            return [self._rows(x) for x in arrays]
        return self._reduced(False, arrays) if arrays else []

    def _rows(self, x: Traced) -> Traced:
        made = self.new(number=True)
        self.operations.append(Operation("rows", (x.index,), made.index, number=True, truth=False))
        return made

    def _total(self, arrays: Sequence[Traced]) -> Traced:
        return self._reduced(True, arrays)[0]

    def _reduced(self, total: bool, arrays: Sequence[Traced]) -> list[Traced]:
        made = [self.new(number=True) for _ in ([0] if total else arrays)]
        self.reductions.append(Reduction(total, tuple(map(self.place, arrays)), tuple(x.index for x in made)))
        return made


# An operation without memory of its own returns a new array.
RETURNS = -1


@dataclass(frozen=True)
class Program:
    """The operations that some results need, each with the memory it writes into.

    Args:
        steps: for each operation its name, the places of what it takes, the place of what it makes, and its memory: the
            number of a buffer, `RETURNS`, or, for result i, the number of buffers plus i.
        buffers: how many there are.
        copies: `(result, place)` of the results that no operation writes by itself.
    """

    steps: tuple[tuple[str, tuple[int, ...], int, int], ...]
    buffers: int
    copies: tuple[tuple[int, int], ...]


def program(tape: Tape, wanted: Sequence[int], direct: Sequence[bool], overwritten: Sequence[int | None]) -> Program:
    """Return the program for some results.

    Args:
        tape: what was recorded.
        wanted: the places of the results.
        direct: for each result, whether an operation may write it.
        overwritten: for each result, the place of the array whose memory it takes, or None.
    """
    operations = _needed(tape.operations, wanted)
    last = {place: i for i, one in enumerate(operations) for place in one.inputs}
    last |= dict.fromkeys(wanted, len(operations))
    results = {place: i for i, place in enumerate(wanted) if direct[i] and wanted.count(place) == 1}
    steps: list[tuple[str, tuple[int, ...], int, int]] = []
    free: list[int] = []
    held: dict[int, int] = {}
    targets: dict[int, int] = {}
    buffers = 0
    for i, one in enumerate(operations):
        # It may write into what it reads for the last time: each element is read before it is written.
        free += [held.pop(place) for place in set(one.inputs) if last[place] == i and place in held]
        memory = RETURNS
        if one.name in WRITING and not one.number and not one.truth:
            result = results.get(one.output)
            if result is not None and last.get(overwritten[result], -1) <= i:  # type: ignore[arg-type]  # None is no place
                targets[len(steps)] = result
            else:
                if not free:
                    free.append(buffers)
                    buffers += 1
                memory = held[one.output] = free.pop()
        steps.append((one.name, one.inputs, one.output, memory))
    for i, result in targets.items():
        steps[i] = (*steps[i][:3], buffers + result)
    written = set(targets.values())
    return Program(tuple(steps), buffers, tuple((i, place) for i, place in enumerate(wanted) if i not in written))


def _needed(operations: Sequence[Operation], wanted: Iterable[int]) -> list[Operation]:
    needed, found = set(wanted), []
    for one in reversed(operations):
        if one.output in needed:
            needed.update(one.inputs)
            found.append(one)
    return found[::-1]
