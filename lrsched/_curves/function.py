"""A Python function of the step as a schedule."""

from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any, ClassVar

from lrsched._core.check import Int, OrNone
from lrsched._core.functions import StepFunction, written
from lrsched._core.value import settle
from lrsched._curves.schedule import Schedule
from lrsched._spaces.functions import NoNumber, number_of
from lrsched._spaces.space import Space

# What pictures show of one without a length.
_SHOWN = 1000


class Function(Schedule):
    """Any function of the step: `Function(f)(t)` is `f(t)`.

    Where a schedule is wanted the function alone will do: `ScheduleLR(optimizer, f)`, `Warmup(100) >> f`, `0.5 * f`.
    `f` gets a whole step as an int and one between, in a schedule that runs slower, as a float. For many steps it is
    tried on the array first, of NumPy, torch, JAX or TensorFlow, and what comes out is compared with `f` at some of
    them; if that fails, it is called step by step. In traced code (`jax.jit`, `tf.function`, `torch.compile`) there is
    no such way out: there it needs operations of that library, `where` in place of `if`.

    Two are equal if their functions are. It prints, and is saved, under the name of the function: `parse` and
    `from_config` find it if it is registered (`register`) or given to them, and import nothing. Python pickles a
    function that stands at the top of a module, and no lambda.

    Args:
        f: a function of one argument, the step, that returns a number; the same one each time.
        steps: length in optimizer updates, at least 1, from where on it holds `f(steps)`; None if it never ends.

    Raises:
        TypeError: `f` is no function of one argument, or returns no number at step 0.

    Examples:
        >>> s = Function(lambda t: 0.1 if t < 100 else 0.01)
        >>> s(99), s(100), s([0, 200])
        (0.1, 0.01, array([0.1 , 0.01]))
    """

    f: Annotated[Callable[[Any], Any], StepFunction()]
    steps: Annotated[int | None, OrNone(Int(low=1))] = None

    _known: tuple[float, float] = field(init=False)
    _blame_values: ClassVar[str] = "f"

    def _check(self) -> None:
        first = self._value(0)
        settle(self, "_known", (first, first if self.steps is None else self._value(self.steps)))

    def _value(self, step: int) -> float:
        try:
            return number_of(self.f, step)
        except NoNumber:
            raise
        except Exception as error:  # whatever a function of the user raises
            kind = TypeError if isinstance(error, TypeError) else ValueError
            told = f"{type(error).__name__}: {error}"
            raise kind(f"Function(f=...) must give a number at step {step}, got {told}") from error

    @property
    def length(self) -> int | None:
        """The given number of steps, or None."""
        return self.steps

    def _reach(self, t: float) -> tuple[float, float]:
        return min(self._known), max(self._known)

    def _view(self) -> int:
        return _SHOWN

    def _values(self, t: Any, space: Space) -> Any:
        return space.value_of(self.f, t)

    def _at(self, t: Any, space: Space) -> Any:
        if self.steps is None:
            return self._values(t, space)
        return space.before(t, self.steps, self._values, self._known[1])

    def __repr__(self) -> str:
        """Return the text; the function stands in it under its name."""
        return f"Function({written(self.f)}{'' if self.steps is None else f', steps={self.steps}'})"
