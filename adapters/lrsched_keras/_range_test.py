"""The learning-rate range test over a Keras model."""

from collections.abc import Iterable
from itertools import chain, islice, repeat
from typing import Annotated, Any

import keras
import numpy as np

from lrsched import Constant, feedback, range_test
from lrsched.arguments import Length, OneOf, OrNone, Positive, checked
from lrsched_keras._feedback import core_of
from lrsched_keras._schedule import LRSchedule

# The arguments of `train_on_batch` that a batch may have: x, y, weights of samples and of classes.
_MOST = 4


def _known(x: Any) -> Any:
    """Return the tensor of another library as an array."""
    if keras.ops.is_tensor(x) or not hasattr(x, "__array__"):
        return x
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x)


@checked
def run_range_test(
    model: Annotated[keras.Model, OneOf(keras.Model, "a keras.Model")],
    batches: Annotated[Iterable[Any], OneOf(Iterable, "batches such as (x, y)")],
    *,
    start: Positive = 1e-7,
    end: Positive = 10.0,
    steps: Length = 100,
    rule: Annotated[feedback.RangeTest | None, OrNone(OneOf(feedback.RangeTest, "a RangeTest"))] = None,
) -> feedback.RangeCurve:
    """Train with a rising rate, put everything back, and suggest a learning rate.

    Afterwards all variables of model, metrics and optimizer are as they were, and so is the optimizer's own schedule.

    Args:
        model: a model that is built and compiled with one optimizer.
        batches: tuples of arguments of `model.train_on_batch`, such as `(x, y)`, of arrays or tensors of any library,
            as a list, a generator, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a `DataLoader` of PyTorch has
            them; repeated when they end; no more are taken than the test needs.
        start: first learning rate, > 0.
        end: last learning rate, > `start`.
        steps: updates between them, at least 1; at most `steps + 1` are done.
        rule: when to stop; by default when the smoothed loss exceeds four times its best.

    Returns:
        Learning rates, the loss of each update, and the suggestions.

    Raises:
        TypeError: a batch is no tuple of up to four such arguments.
        ValueError: the rates do not rise, the model is not built, not compiled or has several optimizers, or there is
            no batch.

    Examples:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.125), loss="mse")
        >>> x = np.linspace(-1.0, 1.0, 16)[:, None]
        >>> curve = run_range_test(model, [(x, 2.0 * x + 10.0)], start=1e-4, steps=60)
        >>> 1e-4 < curve.suggestions.valley < 1.0 < curve.lrs[-1]
        True
        >>> float(model.optimizer.learning_rate)
        0.125
    """
    rates = range_test(start, end, steps)
    optimizer = getattr(model, "optimizer", None)
    if not model.built:
        raise ValueError("run_range_test(model) must be built: call it on a batch first")
    if optimizer is None:
        raise ValueError("run_range_test(model) must be compiled: call model.compile(optimizer, loss) first")
    if hasattr(core_of(optimizer), "optimizers"):
        raise ValueError("run_range_test(model) must be compiled with one optimizer, got a MultiOptimizer")
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    core = core_of(optimizer)
    each = core.gradient_accumulation_steps or 1
    given = list(islice(batches, each * (steps + 1)))  # a generator may have no end
    if not given:
        raise ValueError("run_range_test(batches=...) must hold at least one batch, got none")
    for batch in given:
        if not isinstance(batch, tuple | list) or not 1 <= len(batch) <= _MOST:
            several = f"of {len(batch)} " if isinstance(batch, tuple | list) else ""
            raise TypeError(
                "run_range_test(batches=...) must hold tuples of arguments of train_on_batch, such as [(x, y)], got a "
                f"{type(batch).__name__} {several}in it"
            )
    feed = chain.from_iterable(repeat(keras.tree.map_structure(_known, given)))
    read = keras.ops.convert_to_numpy

    def train(lr: float) -> float:
        if own is None:
            optimizer.learning_rate = lr
        total = 0.0
        for _ in range(each):
            total += float(model.train_on_batch(*next(feed), return_dict=True)["loss"])
        return total / each

    # Metrics have no variables before the first batch, so that there may be more of them later.
    saved = [(variable, read(variable).copy()) for variable in (*model.variables, *optimizer.variables)]
    # A rate that is no variable cannot be set, but it can be replaced by a schedule that rises from here on.
    own = None if isinstance(optimizer.learning_rate, keras.Variable) else core._learning_rate
    try:
        if own is not None:
            done = int(read(optimizer.iterations))
            rising = Constant(start, steps=done) >> rates if done else rates
            core._learning_rate = LRSchedule(rising, gradient_accumulation_steps=each)
            model.make_train_function(force=True)
        return feedback.range_curve(train, map(rates, range(steps + 1)), rule)
    finally:
        for variable, content in saved:
            variable.assign(content)
        model.reset_metrics()
        if own is not None:
            core._learning_rate = own
            model.make_train_function(force=True)
