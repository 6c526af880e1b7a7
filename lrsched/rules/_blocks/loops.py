"""NumPy arrays updated one after the other, by a loop that is written for the body of a rule.

What is stacked must be gathered and handed out again, which takes longer than a few calls of NumPy on an array. Here
the recorded body of a rule becomes the text of a function, such as this one of `Momentum`:

    def loop(columns, x4, x6, put0, put1):
        for x0, x1, x2 in columns:
            r1 = multiply_(x2, x4)
            add_(r1, x1, r1)
            r0 = multiply_(r1, x6)
            subtract_(x0, r0, r0)
            put0(r0)
            put1(r1)

The arrays of a tensor are called `x` with their place on the tape, and so are constants; `r` are results and `b` what
lies in between. An operation writes over what nothing reads after it, as a person would have NumPy do it, and makes a
new array otherwise. With `donate` the results go to where the arrays given lie, and nothing is put anywhere.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from lrsched.rules._blocks.formulas import FUNCTIONS, Formulas
from lrsched.rules._blocks.memory import OF_NUMPY
from lrsched.rules._blocks.passes import picked, put
from lrsched.rules._blocks.recording import Recording, Update
from lrsched.rules._blocks.tape import Program, Traced, program
from lrsched.rules._ops.context import Context
from lrsched.rules._ops.slots import Lists, SlotForm

# From how many times as many elements as threads may share on they do.
SHARED = 32
# So many operations take as long as to stack an array, so many as a stack itself; and the fewest elements of arrays
# that are not stacked.
BOTH, STACK, SHORTEST = 4, 100, 2**9
# Functions that take `out` by its name only; for others that is slower.
NAMED = ("maximum", "minimum")
# Learning rates and steps at which numbers of a text are compared with those of the body.
PROBES = ((0.37, 0), (3e-4, 1), (0.1, 2), (1.7e-3, 7), (2.5e-2, 31), (1e-5, 1000), (0.9, 123_457))


@dataclass(frozen=True)
class ArrayLoop:
    """A function for the body of a rule.

    Args:
        function: takes for each tensor its arrays, the gradient last, then numbers, and what takes the results.
        operations: how many it calls for each tensor.
    """

    function: Callable[..., None]
    operations: int


class LearnedBody:
    """What has been found out about the body of a rule for tensors of some kind, for all updates.

    Args:
        update: has the rule.
        ndim: dimensions of the tensors.
        form: of their slots.
    """

    def __init__(self, update: Update, ndim: int, form: SlotForm) -> None:
        self._update, self._ndim, self._form = update, ndim, form
        self._calls = 0
        self._loop: ArrayLoop | None = None
        self._numbers: Callable[[Any, Any], tuple[Any, ...]] | None = None
        self._constants: list[Any] = []
        self._open: list[tuple[int, bool]] = []

    def __call__(self, context: Context) -> tuple[ArrayLoop, list[Any]] | None:
        """Return a loop and its numbers; None if that needs a recording."""
        self._calls += 1
        if self._calls == 2:  # one update alone is done sooner without
            with suppress(ArithmeticError, AttributeError, TypeError, ValueError):  # a body that looks at its numbers
                self._learn(context)
        if self._loop is None or self._numbers is None:
            return None
        try:
            found = self._numbers(context.lr, context.step)
        except (ArithmeticError, TypeError, ValueError):
            return None
        constants, constant, wide = self._constants.copy(), self._update.library.constant, self._update.wide
        for (i, raw), number in zip(self._open, found, strict=True):
            constants[i] = number if raw else constant(number, wide)
        return self._loop, constants

    def _recorded(self, context: Context) -> Recording:
        return Recording(self._update, context, self._ndim, self._form.slots, self._form.numbers or (), whole=True)

    def _learn(self, context: Context) -> None:
        formulas = Formulas()
        recording = self._recorded(replace(context, lr=formulas.lr, step=formulas.step))
        if not recording.elementwise:
            return
        loop, constants = loop_for(recording, self._update.donate)
        numbers = [number for number in recording.constants.values() if isinstance(number, Traced)]
        evaluate = _numbers(formulas.text(numbers))
        for lr, step in ((context.lr, context.step), *PROBES):
            rest: Iterator[Any] = iter(evaluate(lr, step))
            found = {
                place: (next(rest) if isinstance(number, Traced) else number)
                for place, number in recording.constants.items()
            }
            if not self._agrees(recording, found, self._recorded(replace(context, lr=lr, step=step))):
                return
        self._numbers = _numbers(formulas.text([x for x in constants if isinstance(x, Traced)]))
        raw = [recording.constants[place] for place in recording.raw & recording.constants.keys()]
        self._constants = constants
        self._open = [(i, any(x is y for y in raw)) for i, x in enumerate(constants) if isinstance(x, Traced)]
        self._loop = loop

    def _agrees(self, recording: Recording, found: dict[int, Any], plain: Recording) -> bool:
        """Return whether a recording with its numbers filled in is what the body does with Python numbers."""
        one, other = recording.tape, plain.tape
        if one.operations != other.operations or recording.results != plain.results:
            return False
        wide, constant = self._update.wide, self._update.library.constant
        for place, number in found.items():
            expected = plain.constants[place]
            filled = number if place in recording.raw or isinstance(number, np.ndarray) else constant(number, wide)
            if type(filled) is not type(expected) or filled != expected:
                return False
        return found.keys() == plain.constants.keys()


@lru_cache(maxsize=512)
def _numbers(text: str) -> Callable[[Any, Any], tuple[Any, ...]]:
    return _defined(text, FUNCTIONS, "numbers")


def loop_for(recording: Recording, donate: bool) -> tuple[ArrayLoop, list[Any]]:
    """Return the loop for a recorded body that computes each element by itself, and the numbers that it reads."""
    inputs = recording.inputs
    do = program(recording.tape, recording.results, [True] * len(inputs), inputs if donate else [None] * len(inputs))
    reads = {place for _, taken, _, _ in do.steps for place in taken}
    constants = sorted(reads & recording.constants.keys())
    text = _text(do, recording.tape.places, (*inputs, recording.g), constants, donate)
    return _loop(text, len(do.steps)), [recording.constants[place] for place in constants]


@lru_cache(maxsize=512)
def _loop(text: str, operations: int) -> ArrayLoop:
    functions = {f"{name}_": function for name, function in OF_NUMPY.items()}
    return ArrayLoop(_defined(text, functions, "loop"), operations)


def _defined(text: str, known: dict[str, Callable[..., Any]], name: str) -> Callable[..., Any]:
    space: dict[str, Any] = dict(known)
    exec(compile(text, "<loop over arrays>", "exec"), space)
    function: Callable[..., Any] = space[name]
    return function


def _text(do: Program, places: int, inputs: tuple[int, ...], constants: Sequence[int], donate: bool) -> str:
    """Return the function for a program.

    Args:
        do: the program; its results replace all but the last of the inputs.
        places: of the tape.
        inputs: the places of the arrays of a tensor.
        constants: the places of the numbers that it reads.
        donate: whether the results lie where the inputs do.
    """
    results = [f"x{i}" for i in inputs[:-1]] if donate else [f"r{i}" for i in range(len(inputs) - 1)]
    names = [f"x{i}" for i in range(places)] + results + [f"b{i}" for i in range(do.buffers)]
    exists = {f"x{i}" for i in inputs}
    lines = []
    for i, (operation, taken, made, writes) in enumerate(do.steps):
        given = ", ".join(names[place] for place in taken)
        name = names[made]
        if writes and name not in exists and operation != "sign":
            ended = [x for x in taken if x >= places + len(results) and x != made and not _read(do, x, i + 1)]
            if ended:  # what is made takes the place of what nobody reads any more
                name = names[made] = names[ended[0]]
                names[ended[0]] = f"b{len(names)}_{i}"
        if writes and name in exists:
            lines.append(f"{operation}_({given}, {'out=' if operation in NAMED else ''}{name})")
        else:
            lines.append(f"{name} = {operation}_({given})")
        exists.add(name)
    for i, place in enumerate(do.wanted):
        if donate and place != places + i:
            lines.append(f"copy_({names[place]}, {results[i]})")
        if not donate:
            lines.append(f"put{i}({names[place]}{'.copy()' if place in do.wanted[:i] else ''})")
    puts = [] if donate else [f"put{i}" for i in range(len(results))]
    head = f"def loop({', '.join(['columns', *(f'x{i}' for i in constants), *puts])}):\n"
    return f"{head}    for {', '.join(f'x{i}' for i in inputs)} in columns:\n" + "".join(
        f"        {x}\n" for x in lines
    )


def _read(do: Program, place: int, begin: int) -> bool:
    """Return whether what lies at a place is read from a step on, before something else is written there."""
    for _, taken, made, _ in do.steps[begin:]:
        if place in taken:
            return True
        if made == place:
            return False
    return place in do.wanted


def body_of(update: Update, lists: Lists, shape: tuple[int, ...]) -> LearnedBody:
    """Return what is known of the body of a rule for tensors of a shape."""
    form, known = lists.expected[shape], lists.forms.learned
    key = (len(shape), form.kind, form.numbers, update.wide, update.add, update.donate)
    if key not in known:
        known[key] = LearnedBody(replace(update, gs=(), olds=(), dtypes=(), news=[]), len(shape), form)
    found: LearnedBody = known[key]
    return found


def takes(update: Update, lists: Lists, shape: tuple[int, ...], those: Sequence[int]) -> bool:
    """Return whether tensors of a shape can be updated by a loop, if their rule computes each element by itself."""
    size, sizes = math.prod(shape), update.library.sizes()
    if not update.uniform or update.xp.name != "numpy" or not shape or any(lists.expected[shape].numbers or ()):
        return False
    # What threads can share is theirs.
    threaded = size >= sizes.shared and lists.elements >= SHARED * sizes.shared and update.library.threads() > 1
    if size > sizes.block or threaded:
        return False
    return not update.donate or all(update.library.writable(picked(column, those)) for column in update.olds)


def better(loop: ArrayLoop, those: Sequence[int], shape: tuple[int, ...]) -> bool:
    """Return whether tensors of a shape are updated sooner by a loop than in stacks."""
    return math.prod(shape) >= SHORTEST or len(those) * (loop.operations - BOTH) <= STACK


class Looped:
    """Tensors that one loop updates.

    Args:
        loop: the loop.
        numbers: those that it reads.
        those: the tensors, by index.
    """

    def __init__(self, loop: ArrayLoop, numbers: list[Any], those: Sequence[int]) -> None:
        self.loop, self.numbers, self.those = loop, numbers, [those]

    def run(self, update: Update) -> None:
        """Update the tensors."""
        count = len(update.gs)
        those = self.those[0] if len(self.those) == 1 else sorted(chain.from_iterable(self.those))
        whole = len(those) == count
        columns = [column if whole else picked(column, those) for column in (*update.olds, update.gs)]
        made: list[Any] = columns[:-1] if update.donate else [[] for _ in update.olds]
        puts = [] if update.donate else [column.append for column in made]
        self.loop.function(zip(*columns, strict=True), *self.numbers, *puts)
        if whole:
            update.news[:] = made
        else:
            for new, column in zip(update.news, made, strict=True):
                put(new, those, column)


def add(looped: list[Looped], loop: ArrayLoop, numbers: list[Any], those: Sequence[int]) -> None:
    """Add tensors to those of the same loop and numbers."""
    for one in looped:
        if one.loop is loop and all(map(operator.eq, one.numbers, numbers)):
            one.those.append(those)
            return
    looped.append(Looped(loop, numbers, those))
