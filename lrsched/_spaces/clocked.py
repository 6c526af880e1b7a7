"""The operations on local times that every space shares; each gives them its own numbers.

Sides are decided by comparing the steps with a constant, by integers, by exact remainders, and by single products,
never by a quotient by a constant (XLA and TensorFlow multiply by its reciprocal) nor by a sum with a product in it
(compilers round the two only once). So every library finds the same side, compiled or not.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from math import gcd
from typing import Any

from lrsched._spaces.clock import Clock, clock

# Float64 counts exactly to here, and the path that is taken must not depend on the kind of the steps.
EXACT = 2**53


class Clocked:
    """What can be asked of a local time, a plain number of steps or a `Clock`; the base of all spaces."""

    top: int | None = None
    double = True

    # What a space has for its numbers: steps as floats, and whether steps are integers.
    cast: Callable[[Any], Any]
    counts: Callable[[Any], bool]
    # The whole multiples of n in t >= 0, exactly those.
    whole: Callable[[Any, Any], Any]
    # A product that no compiler may fuse with a sum: a bound that it never meets stands between.
    apart: Callable[[Any], Any]
    # The smaller and the larger one.
    minimum: Callable[[Any, Any], Any]
    maximum: Callable[[Any, Any], Any]
    # Steps as floats left until n, and what `fold` gives of a plain number of steps.
    rest: Callable[[Any, int], Any]
    swing: Callable[[Any, int], Any]
    # `start * exp(rate * t)` in float32, for spaces that are `single`.
    exponential: Callable[[Any, float, float], Any]

    # What follows.

    def alike(self, steps: Any, n: int) -> int | float:
        """Return a whole number for arithmetic with steps: beside floats of 32 bits JAX takes no long integer."""
        return n if self.counts(steps) else float(n)

    def real(self, t: Any) -> Any:
        """Return the local time as a float."""
        return self.elapsed(t) / self.pace(t) if type(t) is Clock else self.cast(t)

    def modulo(self, t: Any, n: Any) -> Any:
        """Return what is left of t >= 0 beside whole multiples of n; a remainder is exact."""
        return t % n

    def at_least(self, a: Any, low: float) -> Any:
        """Return the number, or `low` where it is less."""
        return self.maximum(a, low)

    def fold(self, t: Any, n: int) -> Any:
        """Return the distance to the nearest even multiple of n: a clock that swings between 0 and n."""
        if type(t) is not Clock:
            return self.swing(t, n)
        _, local = self.turn(t, 2 * n)
        return self.minimum(self.real(local), self.rest(local, 2 * n))

    def _limit(self, steps: Any) -> int:
        """Return up to where the kind of the steps counts exactly."""
        if self.counts(steps):
            return EXACT if self.top is None else min(self.top, EXACT)
        return EXACT if self.double else 2**24

    def edge(self, steps: Any, over: int, under: int) -> Any:
        """Return the least number of the kind of the steps that is not below `over / under`."""
        if self.counts(steps):
            return -(-over // under)
        shift = (53 if self.double else 24) - math.frexp(over / under)[1]
        return math.ldexp(-(-(over << shift) // under), -shift) if shift >= 0 else over / under

    def beyond(self, steps: Any, edge: Any) -> bool:
        """Return whether no step of its kind reaches the edge."""
        return self.top is not None and edge > self.top and self.counts(steps)

    def elapsed(self, t: Clock) -> Any:
        """Return the steps since the local time 0, as a float."""
        if t.unit is not None:
            ahead = self.apart(t.unit * (abs(t.plus) / t.times))
            return t.steps + ahead if t.plus > 0 else t.steps - ahead if t.plus else t.steps
        if t.plus >= 0:
            return self.cast(t.steps) + t.plus / t.times if t.plus else self.cast(t.steps)
        whole, part = -(t.plus // t.times), (t.plus % t.times) / t.times
        if self.beyond(t.steps, whole):
            return self.cast(t.steps - self.top) + (float((self.top or 0) - whole) + part)
        gone = self.cast(t.steps - self.alike(t.steps, whole))
        return gone + part if part else gone

    def remaining(self, t: Clock, n: int) -> Any:
        """Return the steps until the local time n, as a float; negative after it."""
        at = t.at(n)
        if t.unit is not None:
            return t.left if at == t.end else t.left + t.unit * ((at - t.end) / t.times)
        whole, part = -(-at // t.times), (-at % t.times) / t.times
        if self.beyond(t.steps, whole):
            return self.cast(self.top - t.steps) + (float(whole - (self.top or 0)) - part)
        left = self.cast(self.alike(t.steps, whole) - t.steps)
        return left - part if part else left

    def pace(self, t: Clock, n: int = 1) -> Any:
        """Return how many steps n local ones take."""
        steps = n * t.over / t.times
        return steps if t.unit is None else t.unit * steps

    def parts(self, t: Clock, n: int) -> tuple[Any, Any]:
        """Return the part of n local steps that is gone, and the part that is left."""
        pace = self.pace(t, n)
        return self.elapsed(t) / pace, self.remaining(t, n) / pace

    def under(self, t: Clock, n: int) -> Any:
        """Return where the local time is less than n, or None if it is at every step."""
        at = t.at(n)
        if t.unit is not None:
            return t.left > 0.0 if at == t.end else t.steps < t.unit * (at / t.times)
        edge = self.edge(t.steps, at, t.times)
        return None if self.beyond(t.steps, edge) else t.steps < edge

    def turn(self, t: Any, n: int) -> tuple[Any, Any]:
        """Return how many whole n are in the local time, and the local time since the last of them."""
        if type(t) is not Clock:
            if self.beyond(t, n):
                return t * 0, t
            number = self.whole(t, n)
            return number, t - number * n
        over = n * t.over
        if t.unit is not None:
            span = self.apart(t.unit * (over / t.times))
            gone = self.elapsed(t)
            rest = self.modulo(gone, span)
            return self.whole(gone, span), Clock(rest, t.times, 0, t.over, t.unit, span - rest, over)
        common = gcd(t.times, over)
        size, many = over // common, t.times // common  # in `size` steps the time turns `many` times
        turns, plus = divmod(t.plus, over)
        if size * t.times + over > self._limit(t.steps):
            gone, span = self.at_least(self.elapsed(t), 0.0), over / t.times
            return self.whole(gone, span), Clock(self.modulo(gone, span), t.times, 0, t.over)
        steps = t.steps
        number = self.whole(steps, size)
        rest = steps - number * size
        if t.times > 1 or plus:
            if many > 1 and self.top is not None and self.counts(steps):
                number = self.minimum(number, (self.top - abs(turns) - many) // many)
            if t.times > 1:
                rest = rest * t.times if self.counts(rest) else self.apart(rest * float(t.times))
            rest = rest + plus
            more = self.whole(rest, over)
            number, rest = (number * many if many > 1 else number) + more, rest - more * over
        if turns > 0 and self.top is not None and self.counts(number):
            number = self.minimum(number, self.top - turns)
        number = number + turns if turns else number
        return number, (rest if t.over == 1 else Clock(rest, over=t.over))

    def later(self, t: Any, steps: Fraction) -> Any:
        """Return the local time so many steps later."""
        if type(t) is not Clock and steps.denominator == 1:
            n = steps.numerator
            if self.top is None or not self.counts(t):
                return t + n
            if self.top >= EXACT:
                return self.minimum(t, self.top - n) + n
        return clock(t).ahead(steps)

    def last_of(self, t: Any, n: int, length: int | None) -> Any:
        """Return the last of the n local steps that step t stands for, in a schedule of that length."""
        if type(t) is not Clock and self.counts(t):
            if self.top is None:
                return t * n + (n - 1)
            if length is not None and length + n <= self.top:
                return self.minimum(t, length // n) * n + (n - 1)
            if self.top >= EXACT:
                return self.minimum(t, (self.top + 1) // n - 1) * n + (n - 1)
        return clock(t).slower(Fraction(1, n)).ahead(n - 1)

    def back(self, t: Any, n: int) -> Any:
        """Return the local time until n, for times before it."""
        if type(t) is not Clock:
            if self.beyond(t, n):
                return Clock(self.remaining(Clock(t), n), unit=1.0, left=self.cast(t), end=n)
            return n - self.minimum(t, n)
        at = t.at(n)
        if t.unit is not None:
            return Clock(t.left, t.times, at - t.end, t.over, t.unit, t.steps, t.end)
        whole = at // t.times
        if self.beyond(t.steps, whole):
            return Clock(self.remaining(t, n), t.times, 0, t.over)
        steps = self.minimum(t.steps, whole) if self.counts(t.steps) else t.steps
        return Clock(whole - steps, t.times, at - whole * t.times, t.over)
