"""The algebra: what a schedule is, and how schedules combine.

`a >> b` runs b after a, each on its own clock; `a * b`, `a + b` and `a ** b` combine values step by step.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, overload

import numpy as np
from numpy.typing import NDArray

from lrsched._core.check import MAX_STEPS, Int, Many, OneOf, OrNone, Real, instead, meant, short
from lrsched._core.functions import is_function
from lrsched._core.offers import CLASSES, PLOT
from lrsched._core.value import MAX_DEPTH, Value, children, settle
from lrsched._spaces.compile import compiled
from lrsched._spaces.namespace import evaluate
from lrsched._spaces.scalar import SCALAR
from lrsched._spaces.space import AtTime, Space
from lrsched.arguments import checked

# Compiling takes as long as some hundred calls.
CALLS_BEFORE_COMPILING = 50
_INT64 = 2**63 - 1
# So many parts are joined at once, by the constructor.
FEW = 64
# Corners that a schedule is asked for.
_CORNERS = 50_000


class Schedule(Value, abstract=True):
    """A learning rate as a pure function of the step: `schedule(step) -> lr`.

    `schedule(t)` is the rate that update number t uses, counted from 0. A Python or NumPy number gives a Python float,
    computed in float64; a NumPy array or a sequence gives a float64 array; a torch tensor, JAX array or tracer,
    tf.Tensor or keras Variable gives the same kind on the same device, in float32 unless the step is float64 or 64-bit
    mode is on.

    Raises:
        ValueError: a negative or non-finite Python number, a non-finite entry of a NumPy array. Negative entries of
            arrays count as 0; non-finite ones of tensors and tracers, which cannot raise, give NaN.
        TypeError: a step that is not a number or an array of a known library.
    """

    kind: ClassVar[str] = "schedule"
    _hidden = Value._hidden | {"at", "curve", "fall", "of", "resolve", "rise", "sequence", "side"}
    # The fields that an error blames where the schedule ends too late, and where a value overflows.
    _blame_length: ClassVar[str] = "steps"
    _blame_values: ClassVar[str] = "schedule"

    def __post_init__(self) -> None:
        """Check the fields, then that the schedule can be counted and, as long as it lasts, be finite."""
        super().__post_init__()
        length = self.length
        if length is not None and length > MAX_STEPS:
            raise self._must(self._blame_length, "end within 2**53 steps")
        if not all(map(math.isfinite, self._reach(0 if length is None else length))):
            raise self._must(self._blame_values, "keep every value finite")

    def _must(self, name: str, what: str) -> ValueError:
        return ValueError(f"{type(self).__name__}({name}=...) must {what}, got {short(getattr(self, name))}")

    @abstractmethod
    def _reach(self, t: float) -> tuple[float, float]:
        """Return bounds of the values in the first `t` steps: none is smaller, none larger."""

    @property
    @abstractmethod
    def length(self) -> int | None:
        """Steps before the schedule holds its last value, or None if it never does."""

    @abstractmethod
    def _at(self, t: Any, space: Space) -> Any:
        """Return the value at local steps `t` >= 0, numbers of the `space`."""

    def _inside(self, last: float) -> "Iterator[tuple[Schedule, float, float]]":
        """Yield the schedules that make the first `last` steps, and where: step u of each at `begin + pace * u`."""
        yield from ((child, 0, 1) for child in children(self) if isinstance(child, Schedule))

    def _corners(self, last: float) -> Iterator[float]:
        """Yield, in any order, the steps up to `last` where the curve may have a corner or a jump, negative ones too.

        Where it has very many, as in endless cycles, some from everywhere; the stairs of `Epochs` are none.
        """
        length = self.length
        yield from (0, length or 0)
        last = min(last, MAX_STEPS if length is None else length)
        for inner, begin, pace in self._inside(last):
            until = (last - begin) / pace if pace > 0 else math.inf
            told = (begin + pace * step for step in inner._corners(until))
            yield from (step for step in told if step <= last)

    def _view(self) -> int:
        """Return the steps that show how it goes on without end, or 0 where what is inside, or its values, tell."""
        return 0

    @overload
    def __call__(self, step: int | float | np.integer[Any] | np.floating[Any], /) -> float: ...
    @overload
    def __call__(self, step: NDArray[Any], /) -> NDArray[np.float64]: ...
    @overload
    def __call__(self, step: Any, /, *, xp: Any = ...) -> Any: ...
    # Keras calls a function of its own as a rate without arguments: None is refused with a sentence about that.
    def __call__(self, step: Any = None, /, *, xp: Any = None) -> Any:
        """Return the rate that update number `step` uses; `xp` names the array module of an unknown library."""
        if type(step) is int and 0 <= step <= _INT64 and xp is None:
            return self._number(step)
        if isinstance(step, np.integer) and xp is None and 0 <= (whole := int(step)) <= _INT64:
            return self._number(whole)
        return evaluate(self._at, step, xp)

    def _number(self, step: int) -> float:
        """Return the value at a step; a schedule that is called often is compiled and this method replaced.

        Threads may share a schedule: calls that they count at the same time may be lost, and the one that sets the
        mark, which a dictionary lets only one do, compiles.
        """
        own = self.__dict__
        own["_calls"] = calls = own.get("_calls", 0) + 1
        if calls > CALLS_BEFORE_COMPILING and own.setdefault("_compiler", mine := object()) is mine:
            own["_number"] = compiled(self._at)
        return float(self._at(step, SCALAR))

    def plot(
        self, ax: Any = None, *, label: str | None = None, log: bool = False, start: int = 0, stop: int | None = None
    ) -> Any:
        """Draw with Matplotlib and return the axes; see `lrsched.plot`, which draws several."""
        return PLOT[0](self, ax, None if label is None else [label], log, start, stop)

    def __rshift__(self, other: "ScheduleLike") -> "Schedule":
        other = self.of(other)
        if not isinstance(other, Schedule):
            return NotImplemented
        return other if _vanishes(self) else self if _vanishes(other) else _chained(self, other)

    def __rrshift__(self, other: "ScheduleLike") -> "Schedule":
        return first >> self if isinstance(first := self.of(other), Schedule) else NotImplemented

    def __mul__(self, other: Any) -> "Schedule":
        return _combine("Product", self, other)

    def __rmul__(self, other: Any) -> "Schedule":
        return _combine("Product", other, self)

    def __add__(self, other: Any) -> "Schedule":
        return _combine("Sum", self, other)

    def __radd__(self, other: Any) -> "Schedule":
        return _combine("Sum", other, self)

    def __pow__(self, other: Any) -> "Schedule":
        return _combine("Power", self, other)

    def __rpow__(self, other: Any) -> "Schedule":
        return _combine("Power", other, self)

    @staticmethod
    def of(content: Any) -> Any:
        """Return a function of the step, or what OmegaConf keeps of a schedule, as a schedule; else it as it is."""
        return CLASSES["schedule"]["Function"](content) if is_function(content) else meant(content)

    @staticmethod
    @checked
    def sequence(parts: Annotated[Iterable[Any], OneOf(Iterable, "schedules")]) -> "Schedule":
        """Return one or more schedules one after the other, as `>>` between each two of them would."""
        given = tuple(parts)
        kept = tuple(part for part in given if not _vanishes(part)) or given[-1:]
        return kept[0] if len(kept) == 1 and isinstance(kept[0], Schedule) else Chain(kept)


# What a schedule may be given as: one, or a function of the step.
ScheduleLike = Schedule | Callable[[Any], Any]


def _combine(name: str, left: Any, right: Any) -> Schedule:
    """Return the node of that name over two operands; the nodes themselves are defined on top of this module."""
    left, right = Schedule.of(left), Schedule.of(right)
    if not all(isinstance(part, Schedule | int | float | np.integer | np.floating) for part in (left, right)):
        return NotImplemented  # type: ignore[no-any-return]  # as Python's operators want it
    combine: Any = CLASSES["schedule"][name]
    if name == "Power":
        return combine(left, right)  # type: ignore[no-any-return]
    return combine.of_two(left, right)  # type: ignore[no-any-return]


class Pending(Schedule, abstract=True):
    """A part of a chain that takes its height from its neighbour: `Warmup` and `Cooldown`."""

    steps: Annotated[int, Int(low=0)]
    # Where the neighbour stands: 1 for the part after, -1 for the part before.
    side: ClassVar[int]

    @property
    def length(self) -> int:
        """Steps until the neighbour's height is reached or left."""
        return self.steps

    def _reach(self, t: float) -> tuple[float, float]:
        return 0.0, 0.0

    @abstractmethod
    def resolve(self, height: float) -> Schedule:
        """Return the curve between this part's own end and the neighbour's `height`."""

    def _at(self, t: Any, space: Space) -> Any:
        where = "before" if self.side == 1 else "after"
        raise ValueError(f"{self!r} takes its height from a neighbour: put it {where} another schedule with >>")


def corners(schedule: Schedule, end: int) -> list[int]:
    """Return, sorted, the steps in `[0, end]` at which a schedule says that it may have a corner or a jump."""
    return sorted({round(step) for step in islice(schedule._corners(end), _CORNERS) if 0 <= step <= end})


def bounded(schedule: Schedule) -> int:
    """Return the length of a schedule that has one."""
    if schedule.length is None:
        raise ValueError(f"{schedule!r} never ends")
    return schedule.length


def is_pending(schedule: Any) -> bool:
    """Return whether a height is still missing at one end of the schedule."""
    return any(isinstance(end, Pending) for end in _ends(schedule))


def _vanishes(part: Any) -> bool:
    """Return whether a part of a chain takes no steps: `Warmup(0)` or `Cooldown(0)`."""
    return isinstance(part, Pending) and part.steps == 0


def _ends(schedule: Any) -> tuple[Any, Any]:
    return schedule._ends if isinstance(schedule, Chain) else (schedule, schedule)


def _is_open(family: type[Any]) -> bool:
    return issubclass(family, Pending)


@dataclass(frozen=True)
class Complete:
    """A constraint: a complete schedule, or a function of the step; a number is a constant one if `lift` is set."""

    lift: bool = False
    bounded: bool = False
    pending: bool = False

    def __call__(self, where: str, content: Any) -> Schedule:
        """Return the schedule, or raise an error that names `where`."""
        content = Schedule.of(content)
        if not isinstance(content, Schedule):
            if self.lift:
                return Constant(Real(low=0.0)(where, content))
            must = f"{where} must be a schedule or a function of the step"
            raise TypeError(f"{must}, got {short(content)}{instead(content)}")
        if is_pending(content) and not self.pending:
            missing = f"a height is missing in {content!r}: chain it with >> first"
            raise ValueError(f"{where} must be complete, but {missing}")
        if self.bounded and content.length is None:
            raise ValueError(f"{where} must have a length, but {content!r} never ends: cut it with Hold(..., steps=n)")
        return content

    def wrong(self) -> Iterator[Any]:
        """Yield values of each kind that must be refused."""
        yield from ("0.1", None, [0.1], Constant)
        if not self.lift:
            yield 0.1
        if not self.pending:
            yield from (family(3) for family in CLASSES["schedule"].values() if _is_open(family))
        if self.bounded:
            yield Constant(0.1)


class Constant(Schedule):
    """The same value at every step.

    Args:
        value: the learning rate, finite and >= 0.
        steps: length in optimizer updates, at least 1, or None for a schedule that never ends.

    Examples:
        >>> Constant(3e-4)(10_000)
        0.0003
    """

    value: Annotated[float, Real(low=0.0)]
    steps: Annotated[int | None, OrNone(Int(low=1))] = None

    @property
    def length(self) -> int | None:
        """Steps that this part takes in a chain, or None."""
        return self.steps

    def _reach(self, t: float) -> tuple[float, float]:
        return self.value, self.value

    def _at(self, t: Any, space: Space) -> Any:
        return space.full(t, self.value)


class Associative(Schedule, abstract=True):
    """Schedules under an operation that may be bracketed at will: what stands in inner brackets is written without.

    Where an operator joins two of which one has many parts, the result knows these two, and the tuple of all parts is
    made when it is asked for: joining n parts one by one takes time linear in n.
    """

    parts: tuple[Schedule, ...]
    # Parts and left and right operand of what an operator made.
    _count: int = field(default=1, init=False)
    _operands: tuple[Schedule, ...] = field(init=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name not in self._lazy or "_operands" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self._place(self._flat(self._operands))
            return vars(self)[name]

    # What is made when it is asked for.
    _lazy: ClassVar[tuple[str, ...]] = ("parts",)

    def _flat(self, nodes: Sequence[Schedule]) -> list[Schedule]:
        """Return the schedules from left to right, of those of this class their parts."""
        found: list[Schedule] = []
        waiting = list(reversed(nodes))
        while waiting:
            node = waiting.pop()
            if not isinstance(node, type(self)):
                found.append(node)
            elif "parts" in vars(node):
                found += node.parts
            else:
                waiting += reversed(node._operands)
        return found

    def _place(self, parts: list[Schedule]) -> None:
        """Set the parts, and what follows from each."""
        settle(self, "parts", tuple(parts))
        settle(self, "_count", len(parts))

    @classmethod
    def _lazily(cls, left: Schedule, right: Schedule) -> Self | None:
        """Return the two joined, their parts not yet written down, or None if they nest too deeply."""
        joined = object.__new__(cls)
        joined._postpone((left, right))
        settle(joined, "_depth", joined._levels())
        return joined if joined._depth <= MAX_DEPTH else None

    def _postpone(self, operands: tuple[Schedule, ...]) -> None:
        """Leave the parts to be written down when somebody asks for them."""
        vars(self).pop("parts", None)
        settle(self, "_operands", operands)
        settle(self, "_count", sum([count_of(type(self), node) for node in operands]))

    def _levels(self) -> int:
        if "_operands" not in vars(self):
            return super()._levels()
        return 1 + max([node._depth - isinstance(node, type(self)) for node in self._operands])


def count_of(cls: type[Associative], node: Any) -> int:
    """Return how many parts a schedule is of one of that class."""
    return node._count if isinstance(node, cls) else 1


class Chain(Associative):
    """Schedules one after the other, each on its own clock: what `a >> b` builds.

    Part i owns the steps `[start, start + length)`; the joint belongs to the right neighbour. Only the last part may
    be unbounded. Chains inside `parts` are flattened, and a `Warmup` or `Cooldown` becomes the ramp to its neighbour,
    or vanishes if it takes no steps.

    Args:
        parts: two or more schedules.

    Raises:
        ValueError: a part other than the last is unbounded, or a warm-up meets a cool-down.

    Examples:
        >>> from lrsched import Constant, Cooldown, Warmup
        >>> Warmup(2) >> Constant(1.0, steps=5) >> Cooldown(4)
        Linear(0.0, 1.0, steps=2) >> Constant(1.0, steps=5) >> Linear(1.0, 0.0, steps=4)
    """

    parts: Annotated[tuple[Schedule, ...], Many(Complete(pending=True), least=2)]
    _starts: tuple[int, ...] = field(init=False)
    _curves: tuple[AtTime, ...] = field(init=False)
    _length: int | None = field(init=False)
    _ends: tuple[Schedule, Schedule] = field(init=False)
    _lazy: ClassVar[tuple[str, ...]] = ("parts", "_starts", "_curves")

    def _check(self) -> None:
        parts = [part for part in self._flat(self.parts) if not _vanishes(part)]
        if len(parts) < 2:
            raise self._must("parts", "hold two or more schedules that take steps")
        _give_heights(parts)
        for i, part in enumerate(parts[:-1]):
            if part.length is None:
                raise ValueError(f"only the last schedule of a chain may be unbounded, but part {i} is {part!r}")
        self._place(parts)
        last = parts[-1].length
        settle(self, "_length", None if last is None else self._starts[-1] + last)
        settle(self, "_ends", (parts[0], parts[-1]))
        if self._starts[-1] > MAX_STEPS:
            raise self._must("parts", "end within 2**53 steps")

    def _place(self, parts: list[Schedule]) -> None:
        super()._place(parts)
        settle(self, "_starts", tuple(accumulate(map(bounded, parts[:-1]), initial=0)))
        settle(self, "_curves", tuple([part._at for part in parts]))

    _blame_length: ClassVar[str] = "parts"

    @property
    def starts(self) -> tuple[int, ...]:
        """The step at which each part begins."""
        return self._starts

    @property
    def length(self) -> int | None:
        """Sum of the lengths of the parts, or None."""
        return self._length

    def _inside(self, last: float) -> Iterator[tuple[Schedule, float, float]]:
        yield from ((part, at, 1) for part, at in zip(self.parts, self._starts, strict=True) if at <= last)

    def _reach(self, t: float) -> tuple[float, float]:
        known = [part._reach(t - at) for part, at in zip(self.parts, self._starts, strict=True) if at <= t]
        lows, highs = zip(*known, strict=True)
        return min(lows), max(highs)

    def _at(self, t: Any, space: Space) -> Any:
        return space.pieces(t, self._starts, self._curves)

    def __repr__(self) -> str:
        """Return the parts joined by `>>`; a very long chain prints as the call, which Python can read again."""
        if len(self.parts) > 100:
            return f"Chain({self.parts!r})"
        return " >> ".join(map(repr, self.parts))


def _chained(left: Schedule, right: Schedule) -> Chain:
    """Return `left >> right`."""
    if count_of(Chain, left) + count_of(Chain, right) <= FEW:
        return Chain((left, right))
    before, after = _ends(left)[1], _ends(right)[0]
    if _side(after) == -1 and not _side(before) and before.length is not None:
        if isinstance(right, Chain):
            return reduce(_chained, right.parts, left)  # type: ignore[return-value]  # they are two or more
        right = after = after.resolve(before(before.length))
    while _side(before) == 1 and not _side(after):
        resolved = before.resolve(after(0))
        if left is before:
            left = before = resolved
        elif isinstance(left, Chain) and vars(left).get("_operands", ())[1:] == (before,):
            left, right = left._operands[0], _chained(resolved, right)
            before, after = _ends(left)[1], resolved
        else:
            break
    missing = (_side(before) == 1 != _side(after)) or (_side(after) == -1 and not _side(before))
    begin, length = left.length, right.length
    if missing or begin is None or begin + (length or 0) > MAX_STEPS:
        return Chain((left, right))
    joined = Chain._lazily(left, right)
    if joined is None:
        return Chain((left, right))
    settle(joined, "_length", None if length is None else begin + length)
    settle(joined, "_ends", (_ends(left)[0], _ends(right)[1]))
    return joined


def _side(end: Any) -> int:
    """Return where the neighbour of a pending part stands, 0 for a part with heights of its own."""
    return end.side if isinstance(end, Pending) else 0


def _give_heights(parts: list[Schedule]) -> None:
    for left, right in pairwise(parts):
        if isinstance(left, Pending) and isinstance(right, Pending) and left.side == 1 and right.side == -1:
            raise ValueError(f"a cool-down cannot follow a warm-up: nothing stands between {left!r} and {right!r}")
    for i, part in enumerate(parts):
        if isinstance(part, Pending) and part.side == -1 and i > 0 and not isinstance(parts[i - 1], Pending):
            before = parts[i - 1]
            if before.length is None:
                raise ValueError(
                    f"only the last schedule of a chain may be unbounded, but {part!r} follows {before!r}; "
                    "give it a length (steps=...) or cut it with Hold(..., steps=n)"
                )
            parts[i] = part.resolve(before(before.length))
    for i in range(len(parts) - 2, -1, -1):
        part = parts[i]
        if isinstance(part, Pending) and part.side == 1 and not isinstance(parts[i + 1], Pending):
            parts[i] = part.resolve(parts[i + 1](0))
