"""The averages of Schedule-Free in the place of the variables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import keras

from lrsched import rules
from lrsched.arguments import OneOf, checked
from lrsched_keras._feedback import core_of, parts_of
from lrsched_keras._optimizer import RuleOptimizer, slots_of


@checked
@contextmanager
def averaged(
    optimizer: Annotated[keras.optimizers.Optimizer, OneOf(keras.optimizers.Optimizer, "an optimizer of Keras")],
) -> Iterator[None]:
    """Hold the averages of `rules.ScheduleFree` in the variables of a model.

    Evaluate and save a model for use inside the `with` block; what is trained comes back after it. Variables that have
    not been updated stay as they are, and so do those of other optimizers inside a `MultiOptimizer`. The statistics of
    batch normalization are not averaged.

    Args:
        optimizer: that of the model: a `RuleOptimizer` whose rule is a `ScheduleFree`, or a chain around one; inside a
            `LossScaleOptimizer` or a `MultiOptimizer` too.

    Raises:
        TypeError: no rule of the optimizer averages.

    Examples:
        >>> import keras, numpy as np
        >>> from lrsched import rules
        >>> w = keras.Variable(np.array([4.0], "float32"))
        >>> optimizer = RuleOptimizer(rules.ScheduleFree(rules.SGD(), b1=0.5), 0.5)
        >>> for _ in range(2):
        ...     optimizer.apply([keras.ops.copy(w)], [w])
        >>> with averaged(optimizer):
        ...     print(float(w[0]))
        1.5
        >>> float(w[0])
        1.25
    """
    parts = [core_of(part) for part in parts_of(optimizer)]
    averaging = [part for part in parts if isinstance(part, RuleOptimizer) and _averages(part.rule)]
    if not averaging:
        described = ", ".join(repr(getattr(part, "rule", part)) for part in parts)
        raise TypeError(f"averaged(optimizer) must have a rule that is a ScheduleFree or around one, got {described}")
    kept = [(v, keras.ops.copy(keras.ops.stop_gradient(v)), x) for part in averaging for v, x in _of(part)]
    for variable, _, average in kept:
        variable.assign(average)
    try:
        yield
    finally:
        for variable, training, _ in kept:
            variable.assign(training)


def _of(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the variables of an optimizer with their averages."""
    built = (optimizer._trainable_variables, optimizer._slots) if optimizer.built else ((), ())
    for variable, slots in zip(*built, strict=True):
        if slots:  # else it is overwritten with its gradient
            read = [keras.ops.stop_gradient(slot) for slot in slots]
            p = keras.ops.cast(keras.ops.stop_gradient(variable), slots[0].dtype)
            yield variable, rules.averages(optimizer.rule, p, slots_of(optimizer.rule, read))


def _averages(rule: Any) -> bool:
    try:
        rules.averages(rule, [], [])
    except TypeError:
        return False
    return True
