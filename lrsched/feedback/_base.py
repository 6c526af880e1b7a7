"""What closed-loop rules have in common: they fold observations of a run into a factor of the learning rate."""

import math
from abc import abstractmethod
from typing import Annotated, Any, ClassVar, NamedTuple

from lrsched._core.check import Int, OneOf, Real, short
from lrsched._core.value import Value
from lrsched.arguments import checked
from lrsched.feedback._space import Number, Space, enter


class Observation(NamedTuple):
    """What a trainer can measure; `rule.needs` names the fields that a rule reads.

    Args:
        metric: what is to fall or rise, such as a validation loss or an accuracy.
        loss: training loss of the batch.
        norm_sq: squared norm of the gradient, over all parameters.
        dot_previous: inner product of the gradient and the previous gradient; 0 at the first update.
        distance: Euclidean distance of the parameters from where they started.
        weight_norm_sq: squared norm of the parameters.
    """

    metric: Number = None
    loss: Number = None
    norm_sq: Number = None
    dot_previous: Number = None
    distance: Number = None
    weight_norm_sq: Number = None


class Feedback(Value, abstract=True):
    """A closed-loop rule as a frozen value: `(state, observation) -> (state, factor)`.

    The learning rate is `schedule(t) * factor`. The rule holds no state: `init` makes one and `update` returns the
    next one, a NamedTuple of numbers. Python and NumPy numbers give Python numbers, in float64. A 0-d array or tracer
    of PyTorch, JAX or TensorFlow gives 0-d arrays, in float32 unless one is float64; no value decides a branch, so
    the update compiles. A state may be saved (`state_to_json`) and resumed at any step, by any of these libraries.

    Examples:
        >>> from lrsched import Constant, feedback
        >>> rule = feedback.Plateau(factor=0.5, patience=1)
        >>> s, state = Constant(0.1), rule.init()
        >>> for loss in [1.0, 0.9, 0.9, 0.9, 0.9]:
        ...     state, factor = rule.update(state, loss)
        ...     print(s(0) * factor)
        0.1
        0.1
        0.1
        0.05
        0.05
    """

    kind: ClassVar[str] = "feedback"
    # The fields of an `Observation` that `update` reads; if it is one, a number may stand for the observation.
    needs: ClassVar[tuple[str, ...]] = ("metric",)

    @abstractmethod
    def init(self) -> Any:
        """Return the state before the first observation, a NamedTuple of Python numbers."""

    def update(self, state: Any, observation: Any) -> tuple[Any, Any]:
        """Take in one observation.

        Args:
            state: what `init` or the previous call returned.
            observation: a number for a rule that needs one, else an `Observation`.

        Returns:
            The next state, and the factor of the learning rate from now on.

        Raises:
            TypeError: the observation lacks what the rule needs, or is no number.
        """
        where = f"{type(self).__name__}.update"
        if isinstance(observation, Observation):
            numbers = [getattr(observation, name) for name in self.needs]
        else:
            numbers = [observation]
        if len(numbers) != len(self.needs) or any(x is None for x in numbers):
            must = " and ".join(self.needs)
            raise TypeError(f"{where}(observation) must hold {must}, got {short(observation)}")
        xp, state, numbers = enter(where, state, numbers)
        return self.body(xp, state, *numbers)

    @abstractmethod
    def body(self, xp: Space, state: Any, *numbers: Number) -> tuple[Any, Number]:
        """Return the next state and the factor: pure mathematics of the numbers that the rule needs."""


@checked
def state_to_json(state: Annotated[Any, OneOf(tuple, "a state of a feedback rule")]) -> dict[str, Any]:
    """Return a state as a dictionary of strict JSON: infinities and NaN become text.

    Args:
        state: a state of any rule; its numbers may be 0-d arrays.

    Examples:
        >>> from lrsched import feedback
        >>> feedback.state_to_json(feedback.NewBob().init())
        {'scale': 1.0, 'last': 'inf', 'wait': 0}
    """
    if not hasattr(state, "_asdict"):
        raise TypeError(f"state_to_json(state=...) must be a state of a feedback rule, got {short(state)}")
    return {name: _written(content) for name, content in state._asdict().items()}


def _written(content: Any) -> Any:
    if type(content) is tuple:
        return [_written(part) for part in content]
    if hasattr(content, "dtype"):
        content = (content.numpy() if hasattr(content, "numpy") else content).item()
    return content if not isinstance(content, float) or math.isfinite(content) else str(content)


@checked
def state_from_json(rule: Annotated[Feedback, OneOf(Feedback, "a feedback rule")], content: Any) -> Any:
    """Return the state of `rule` that `state_to_json` wrote.

    Args:
        rule: the rule whose state it is.
        content: the dictionary, as read from JSON.

    Raises:
        ValueError: the dictionary does not hold a state of this rule.

    Examples:
        >>> from lrsched import feedback
        >>> rule = feedback.NewBob()
        >>> feedback.state_from_json(rule, {"scale": 0.5, "last": 2.0, "wait": 0})
        NewBobState(scale=0.5, last=2.0, wait=0)
    """
    first = rule.init()
    if not isinstance(content, dict) or set(content) != set(first._fields):
        fields = ", ".join(first._fields)
        raise ValueError(f"state_from_json(content=...) must be a dictionary of {fields}, got {short(content)}")
    parts = [_read(name, like, content[name]) for name, like in first._asdict().items()]
    return type(first)(*parts)


def _read(name: str, like: Any, content: Any) -> Any:
    if isinstance(like, tuple) and isinstance(content, list | tuple) and len(content) == len(like):
        return tuple(_read(name, a, b) for a, b in zip(like, content, strict=True))
    try:
        if isinstance(like, float) and (type(content) in (int, float) or content in ("inf", "-inf", "nan")):
            # Every factor is made of a scale; infinite and NaN are what metrics may have been.
            return Real(low=0.0)(name, content) if name == "scale" else float(content)
        if type(content) is type(like) and not isinstance(like, tuple):
            return content if isinstance(like, bool) else Int()(name, content)  # all ints are counts
    except (OverflowError, TypeError, ValueError):
        pass
    must = "an int >= 0" if type(like) is int else f"a {type(like).__name__}"
    if isinstance(like, tuple):
        must = f"a list of {len(like)}"
    elif name == "scale":
        must = "a finite number >= 0"
    raise ValueError(f"state_from_json(content=...) must hold {must} under {name!r}, got {short(content)}")
