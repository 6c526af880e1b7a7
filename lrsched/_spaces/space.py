"""What a curve may ask of the space that it is computed in: of numbers, arrays, traced tensors or symbols.

A curve is written once, in these operations and in `+ - * / **`; each space computes them in its own kind of number.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol

from lrsched._spaces.clock import Clock, Counts, Cycles, Values


class Space(Protocol):
    """The operations of a curve: `t` is a local time (steps or a `Clock`), `x` and `y` are two parts of 1."""

    # Whether one number is computed rather than an array, and whether that in float32 and by `exponential`.
    scalar: bool
    single: bool
    # The largest float.
    largest: float

    def sin(self, a: Any, /) -> Any: ...
    def exp(self, a: Any, /) -> Any: ...
    def expm1(self, a: Any, /) -> Any: ...
    def log(self, a: Any, /) -> Any: ...
    def log1p(self, a: Any, /) -> Any: ...
    def sqrt(self, a: Any, /) -> Any: ...

    def root(self, x: Any, /) -> Any:
        """Return the square root; its slope at 0 is infinite."""

    def power(self, x: Any, y: Any, p: float) -> Any:
        """Return x**p for x = 1 - y."""

    def log_of(self, x: Any, y: Any) -> Any:
        """Return log(x) for x = 1 - y, accurate where x is close to 1 too."""

    def raised(self, base: Any, exponent: Any) -> Any:
        """Return `max(base, 0) ** exponent`."""

    def grow(self, factor: float, number: Any) -> Any:
        """Return `factor ** number` for whole numbers."""

    def exponential(self, t: Any, start: float, rate: float) -> Any:
        """Return `start * exp(rate * t)`; only where `single` is set."""

    def times(self, a: Any, b: Any) -> Any:
        """Return the product; 0 beside a value that overflows is 0."""

    def fits(self, number: float) -> bool:
        """Return whether a number > 0 keeps all its digits here."""

    def full(self, t: Any, value: float) -> Any:
        """Return the value at each step of `t`."""

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """Return a where the condition holds, else b."""

    def minimum(self, a: Any, b: Any) -> Any:
        """Return the smaller one."""

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger one."""

    def real(self, t: Any) -> Any:
        """Return the time as a float."""

    def rest(self, t: Any, n: int) -> Any:
        """Return the time left until n as a float."""

    def parts(self, t: Clock, n: int) -> tuple[Any, Any]:
        """Return the part of n local steps that is gone, and the part that is left."""

    def later(self, t: Any, steps: Fraction) -> Any:
        """Return the time so many steps later."""

    def back(self, t: Any, n: int) -> Any:
        """Return the time until n, for times before it."""

    def last_of(self, t: Any, n: int, length: int | None) -> Any:
        """Return the last of the n local steps that step t stands for, in a schedule of that length."""

    def turn(self, t: Any, n: int) -> tuple[Any, Any]:
        """Return how many whole n are in the time, and the time since the last of them."""

    def fold(self, t: Any, n: int) -> Any:
        """Return the distance to the nearest even multiple of n."""

    def counted(self, t: Any, counts: Counts, curve: "AtTime") -> Any:
        """Return the value of a curve at what is counted by each step."""

    def cycle(self, t: Any, cycles: Cycles) -> tuple[Any, Any]:
        """Return the number of the cycle of each step, and the time within it."""

    def take(self, values: Values, t: Any) -> Any:
        """Return the value of a table at each step, the last one for ever."""

    def value_of(self, f: Callable[[Any], Any], t: Any) -> Any:
        """Return what a function of the user gives at each step."""

    def bounded(self, t: Any, n: int, curve: "Part", end: float) -> Any:
        """Return `curve(t / n, (n - t) / n)` before step n, and `end` from there on."""

    def before(self, t: Any, n: int, curve: "AtTime", end: float) -> Any:
        """Return `curve(t)` before step n, and `end` from there on."""

    def pieces(self, t: Any, starts: Sequence[int], curves: Sequence["AtTime"]) -> Any:
        """Return the value of the piece that owns each step, in its own local time."""


# A function of a local time, and one of the parts of its steps that are gone and left; each gets its space too.
AtTime = Callable[[Any, Space], Any]
Part = Callable[[Any, Any, Space], Any]
