"""An update rule of lrsched as a Keras optimizer."""

import importlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypedDict, Unpack

import keras
import numpy as np
from keras.src.backend.common.stateless_scope import in_stateless_scope

from lrsched import Schedule, from_config, rules, to_config
from lrsched.arguments import (
    Default,
    Fraction,
    Int,
    LengthOrNone,
    OnOff,
    OrNone,
    PositiveOrNone,
    RateOrNone,
    Real,
    TextOrNone,
    checked,
    meant,
    short,
)
from lrsched_keras._feedback import FeedbackSchedule, put_in_order
from lrsched_keras._schedule import LRSchedule

FLOATS = ("float16", "bfloat16", "float32", "float64")
LARGEST = 2**31 - 1  # where the count of updates is of 32 bits


class _BaseArguments(TypedDict, total=False):
    """What `keras.optimizers.Optimizer` takes."""

    weight_decay: Annotated[RateOrNone, Default(None)]
    clipnorm: Annotated[RateOrNone, Default(None)]
    clipvalue: Annotated[RateOrNone, Default(None)]
    global_clipnorm: Annotated[RateOrNone, Default(None)]
    use_ema: Annotated[OnOff, Default(False)]
    ema_momentum: Annotated[Fraction, Default(0.99)]
    ema_overwrite_frequency: Annotated[LengthOrNone, Default(None)]
    loss_scale_factor: Annotated[PositiveOrNone, Default(None)]
    gradient_accumulation_steps: Annotated[int | None, OrNone(Int(low=2)), Default(None)]


@dataclass(frozen=True)
class _Plan:
    """What a variable for a slot will be."""

    value: float
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Planned:
    """Plans the slots of a model variable."""

    shape: tuple[int, ...]

    def __call__(self, value: float, shape: tuple[int, ...] | None = None) -> _Plan:
        return _Plan(value, self.shape if shape is None else shape)


def _names(slots: Any, name: str = "slot") -> Iterator[str]:
    """Yield a name for each array of the slots of one parameter, in the order of `rules.map_arrays`."""
    if isinstance(slots, tuple):
        fields = getattr(slots, "_fields", [f"{name}{i}" for i in range(len(slots))])
        # A file in HDF5 needs different names.
        several = sum(isinstance(item, tuple) for item in slots) > 1
        for field, item in zip(fields, slots, strict=True):
            for inner in _names(item, field):
                yield f"{field}_{inner}" if several and isinstance(item, tuple) else inner
    elif slots is not None:
        yield name


def _name(variable: Any) -> str:
    """Return the name of a variable of Keras or of TensorFlow, as Keras makes those of its slots of it."""
    return str(getattr(variable, "path", variable.name)).replace("/", "_").replace(":", "_")


def slots_of(rule: rules.Rule, arrays: Iterable[Any]) -> Any:
    """Return the slots of one parameter that hold the next arrays."""
    flat = iter(arrays)
    return rules.map_arrays(lambda _: next(flat), rule.slots(_Planned(())))


def _dense(gradient: Any) -> Any:
    """Return a gradient as a dense tensor."""
    gradient = keras.ops.convert_to_tensor(gradient, sparse=False)
    return gradient.to_dense() if getattr(gradient, "is_sparse", False) else gradient  # of torch, which Keras leaves


def _native_of(variable: Any) -> Any:
    """Return what a variable of Keras holds on TensorFlow, and one of TensorFlow as it is."""
    return variable.value if isinstance(variable, keras.Variable) else variable


@keras.saving.register_keras_serializable(package="lrsched")
class RuleOptimizer(keras.optimizers.Optimizer):
    """A Keras optimizer that updates the model by a rule of `lrsched.rules`.

    The rule sees all variables of an update together, so norms over the whole model (`ClipByGlobalNorm`) and over
    layers (`Layerwise`, `lars`, `lamb`) are what they say. The slots of the rule are variables of the optimizer, saved
    with the model, in float32 (float64 for float64 parameters): also where the parameters are bfloat16 or float16. The
    update number that the rule counts is `iterations`, also when gradients are accumulated. A variable whose gradients
    come late begins as in a new optimizer of that count; averages are corrected for the count, as in Keras's own Adam.

    A sparse gradient acts as the dense one: rows of an embedding that a batch did not touch still move with their
    moments, where Keras's own Adam on TensorFlow leaves them.

    What Keras's base class does comes first: unscaling, accumulation, `clipnorm` and its kin, then `weight_decay`
    (`p <- p - lr * weight_decay * p`). A rule with parts of its own, `ClipByGlobalNorm(1.0) >> Adam() >>
    DecoupledWeightDecay(0.01)`, needs none of these; given both, both act. Variables of `exclude_from_weight_decay` are
    left alone by either decay.

    Where TensorFlow or PyTorch has the rule as a kernel (`SGD`, `Momentum`, `Adam`; in PyTorch `AMSGrad` and `AdaGrad`
    too), it updates parameters of float32 and float64 in place. That of TensorFlow rounds the decay rates of `Adam` to
    the dtype of the parameter; PyTorch does not compile the update then, whatever `jit_compile` says.

    Args:
        rule: an update rule.
        learning_rate: a float, a schedule of lrsched, a `LearningRateSchedule` of Keras, or a function of no arguments.
            A schedule of lrsched counts updates, also when gradients are accumulated; `Batches(schedule, n)` counts
            batches.
        name: of the optimizer.
        **kwargs: the other arguments of `keras.optimizers.Optimizer`: `weight_decay`, `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`, `loss_scale_factor`,
            `gradient_accumulation_steps`.

    Raises:
        TypeError: `rule` is not a rule, or another argument is of the wrong kind; in `apply`, a gradient is.
        ValueError: an argument is out of its range; in `apply`, gradients and variables do not fit each other; where
            it is loaded, the state is not that of this optimizer. Nothing has changed then.

    Warns:
        UserWarning: `learning_rate` is an `LRSchedule` that counts batches where the optimizer accumulates gradients.

    Examples:
        >>> import keras
        >>> from lrsched import Cosine, Warmup, rules
        >>> from lrsched_keras import RuleOptimizer
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> optimizer = RuleOptimizer(rules.lars(momentum=0.9), Warmup(10) >> Cosine(0.1, 0.0, steps=90))
        >>> model.compile(optimizer, loss="mse")
    """

    @checked
    def __init__(
        self,
        rule: rules.Rule,
        learning_rate: Any,
        *,
        name: TextOrNone = "rule_optimizer",
        **kwargs: Unpack[_BaseArguments],
    ) -> None:
        rule = rules.Rule.of("RuleOptimizer(rule)", rule)
        every = kwargs.get("gradient_accumulation_steps")
        given = {key: value for key, value in kwargs.items() if value is not None}  # an older Keras has fewer
        super().__init__(_keras_rate(learning_rate, every), name=name, **given)
        self.rule = rule
        self._waiting: Any = None  # what was loaded before the variables are known
        kernels = _kernels()
        self._native = kernels.native(rule) if kernels else None

    @property
    def learning_rate(self) -> Any:
        """The current rate, as a variable or a tensor; may be set to what the constructor takes."""
        return super().learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        rate = _keras_rate(learning_rate, self.gradient_accumulation_steps)
        keras.optimizers.Optimizer.learning_rate.fset(self, rate)
        put_in_order(self)

    def build(self, variables: list[Any]) -> None:
        """Create the slots of the variables to train."""
        variables = _listed("RuleOptimizer.build(variables)", variables)
        # The reader of .h5 knows the variables of the model alone, not those of its layers: there is more to come.
        if self.built or not variables:
            return
        for variable in variables:
            dtype = keras.backend.standardize_dtype(variable.dtype)
            if dtype not in FLOATS and not self._overwrite_variable_with_gradient(variable):
                must = f"RuleOptimizer.build(variables) must get variables of {', '.join(FLOATS)}"
                raise TypeError(f"{must}, got {_name(variable)!r} of {dtype}")
        super().build(variables)
        self._slots = [
            [] if self._overwrite_variable_with_gradient(variable) else self._new_slots(variable)
            for variable in variables
        ]
        if self._waiting is not None:
            self.set_weights(self._waiting)
            self._waiting = None

    def _new_slots(self, variable: Any) -> list[Any]:
        """Return a variable for each array that the rule keeps of a model variable."""
        template = self.rule.slots(_Planned(tuple(variable.shape)))
        names = _names(template)
        wide = keras.backend.standardize_dtype(variable.dtype) == "float64"
        slots: list[Any] = []

        def create(plan: _Plan) -> None:
            # `add_variable_from_reference` would take the dtype of the parameter, in which moments stall.
            slots.append(
                self.add_variable(
                    shape=plan.shape,
                    initializer=keras.initializers.Constant(plan.value),
                    dtype="float64" if wide else "float32",
                    layout=getattr(variable, "_layout", None) if plan.shape == tuple(variable.shape) else None,
                    name=f"{_name(variable)}_{next(names)}",
                )
            )

        rules.map_arrays(create, template)
        return slots

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """Update the variables by their gradients.

        Args:
            grads: a gradient for each variable, or None.
            trainable_variables: the variables; those the optimizer was built with, if None.

        Raises:
            TypeError: a gradient is no floating-point tensor.
            ValueError: gradients and variables differ in number or shape, or a variable is unknown.
        """
        if trainable_variables is not None:
            trainable_variables = _listed("RuleOptimizer.apply(trainable_variables)", trainable_variables)
        grads = self._fitting(grads, trainable_variables)
        apply = super().apply
        if self._native is not None and keras.config.backend() == "torch":
            _kernels().uncompiled(apply, grads, trainable_variables)
        else:
            apply(grads, trainable_variables)
        self._stay_at_the_largest_count()

    def _fitting(self, grads: Any, variables: list[Any] | None) -> list[Any]:
        """Return the gradients as tensors, checked before the base class has changed anything."""
        where = "RuleOptimizer.apply(grads)"
        if not isinstance(grads, list | tuple):
            raise TypeError(f"{where} must be a list with a gradient for each variable, got a {type(grads).__name__}")
        if variables is None:
            if not self.built:
                return list(grads)  # which the base class refuses
            variables = self._trainable_variables
        if len(grads) != len(variables) and grads:
            raise ValueError(f"{where} must hold a gradient for each of {len(variables)} variables, got {len(grads)}")
        if len({*map(id, variables)}) < len(variables):
            raise ValueError("RuleOptimizer.apply(trainable_variables) must hold each variable once, got one twice")
        known = self._trainable_variables_indices
        for unknown in (v for v in variables if self.built and self._var_key(v) not in known):
            raise ValueError(
                "RuleOptimizer.apply(trainable_variables) must be among the variables that it was built with, got "
                f"{_name(unknown)!r}: build it with all that are ever trained, or begin with a new one"
            )
        return [self._tensor(f"{where}[{i}]", g, v) for i, (g, v) in enumerate(zip(grads, variables, strict=False))]

    def _tensor(self, where: str, gradient: Any, variable: Any) -> Any:
        if gradient is None or self._overwrite_variable_with_gradient(variable):
            return gradient
        if not keras.ops.is_tensor(gradient):
            try:
                gradient = keras.ops.convert_to_tensor(gradient)
            except (TypeError, ValueError) as error:
                kind = type(gradient).__name__
                raise TypeError(f"{where} must be a tensor of {', '.join(FLOATS)}, got a {kind}: {error}") from None
        if (dtype := keras.backend.standardize_dtype(gradient.dtype)) not in FLOATS:
            raise TypeError(f"{where} must be a tensor of {', '.join(FLOATS)}, got one of {dtype}")
        if not _same_shape(gradient.shape, variable.shape):
            must = f"have the shape {tuple(variable.shape)} of its variable {_name(variable)!r}"
            raise ValueError(f"{where} must {must}, got one of shape {tuple(gradient.shape)}")
        return gradient

    def _stay_at_the_largest_count(self) -> None:
        """Keep the count of updates from turning negative where it is of 32 bits."""
        if keras.config.backend() == "jax":
            count = self._iterations.value
            self._iterations.assign(keras.ops.where(count < 0, LARGEST, count))
        elif keras.config.backend() == "torch" and not in_stateless_scope():
            count = self._iterations._value.data
            count.masked_fill_(count < 0, LARGEST)

    def _backend_update_step(self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any) -> None:
        """Update all variables together: the hook that Keras offers where backends differ."""
        variables = list(trainable_variables)
        if keras.config.backend() == "tensorflow":
            # Under tf.distribute each replica holds the gradients of its own part of the batch.
            grads = [g for g, _ in self._all_reduce_sum_gradients(zip(grads, variables, strict=True))]
        kept = [self._slots[self._get_variable_index(v)] for v in variables]
        spared = self._spared(variables)
        if self._native is None or not self._natively(variables, kept, grads, learning_rate, spared):
            self._purely(variables, kept, [*map(_dense, grads)], learning_rate, spared)

    def _spared(self, variables: list[Any]) -> list[bool]:
        """Return whether weight decay leaves each variable alone, or nothing if it spares none."""
        if not hasattr(self, "_exclude_from_weight_decay"):
            return []
        # Keras asks the variables of TensorFlow for their names, which are paths.
        named = [*map(_native_of, variables)] if keras.config.backend() == "tensorflow" else variables
        spared = [not self._use_weight_decay(v) for v in named]
        return spared if any(spared) else []

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Let the base class shrink the variables; on PyTorch it fails where there are none."""
        spared = self._spared(variables)
        if not spared or not all(spared):
            super()._apply_weight_decay(variables)

    def _natively(
        self, variables: list[Any], kept: list[list[Any]], grads: list[Any], learning_rate: Any, spared: list[bool]
    ) -> bool:
        """Update by the kernel of the framework, or return False if it does not take the variables."""
        update = _kernels().update
        if keras.config.backend() == "tensorflow":
            targets, slots = [*map(_native_of, variables)], [[s.value for s in own] for own in kept]
            lr, step = (keras.ops.convert_to_tensor(x) for x in (learning_rate, self.iterations))
            return update(self._native, self._distribution_strategy, targets, slots, grads, lr, step, spared)  # type: ignore[no-any-return]  # of a module found by name
        if in_stateless_scope():
            return False
        targets, slots = [v._value for v in variables], [[s._value for s in own] for own in kept]
        return update(self._native, targets, slots, grads, learning_rate, self.iterations, spared)  # type: ignore[no-any-return]  # of a module found by name

    def _purely(
        self, variables: list[Any], kept: list[list[Any]], grads: list[Any], learning_rate: Any, spared: list[bool]
    ) -> None:
        """Update by the mathematics of the rule."""
        targets = [*variables, *(slot for slots in kept for slot in slots)]
        read = keras.ops.stop_gradient
        given = [read(v) for v in targets]
        flat = iter(given[len(variables) :])
        params, slots = rules.apply(
            self.rule,
            given[: len(variables)],
            grads,
            [slots_of(self.rule, flat) for _ in variables],
            lr=read(keras.ops.convert_to_tensor(learning_rate)),
            step=read(self.iterations),
            # Arrays of torch are the memory of the variables.
            donate=keras.config.backend() == "torch" and not in_stateless_scope(),
            decays=[not one for one in spared] or True,
        )
        values = list(params)
        rules.map_arrays(values.append, tuple(slots))
        changed = [
            pair for pair, old in zip(zip(targets, values, strict=True), given, strict=True) if pair[1] is not old
        ]
        self._assign_all([target for target, _ in changed], [content for _, content in changed])

    def _assign_all(self, variables: list[Any], values: list[Any]) -> None:
        if keras.config.backend() != "tensorflow":
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return
        import tensorflow as tf

        def update(strategy: Any, variables: list[Any], values: list[Any]) -> None:
            for variable, value in zip(variables, values, strict=True):
                strategy.extended.update(variable, lambda v, x: v.assign(x), args=(value,), group=False)

        # A mirrored variable can only be assigned where all replicas meet.
        tf.__internal__.distribute.interim.maybe_merge_call(
            update, self._distribution_strategy, [*map(_native_of, variables)], values
        )

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Set all variables of the optimizer, or none; before it is built, those that it will have."""
        where = "RuleOptimizer.set_weights(weights)"
        if isinstance(weights, str) or not isinstance(weights, Iterable):
            raise TypeError(f"{where} must hold the arrays of an optimizer, got {short(weights)}")
        arrays = [keras.ops.convert_to_numpy(weight) for weight in weights]
        if self.built:
            super().set_weights(self._checked_weights(where, arrays))
        else:
            self._waiting = tuple(arrays)

    def load_own_variables(self, store: Any) -> None:
        """Take the variables from a file, all or none; of another number of them Keras warns, and takes none."""
        names, found = [str(i) for i in range(len(self.variables))], list(store.keys())
        if len(found) == len(names):
            where = "RuleOptimizer.load_own_variables(store)"
            if missing := [name for name in names if name not in found]:
                raise ValueError(f"{where} must hold the variables 0 to {len(names) - 1}, got none of number {missing}")
            content = self._checked_weights(where, [store[name] for name in names])
            store = dict(zip(names, content, strict=True))
        super().load_own_variables(store)

    def _checked_weights(self, where: str, weights: list[Any]) -> list[Any]:
        """Return what is to be the variables, as arrays."""
        if not self.built:
            return weights
        if len(weights) != len(self.variables):
            raise ValueError(f"{where} must hold {len(self.variables)} arrays, got {len(weights)}")
        return [
            _checked_weight(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(self.variables, weights, strict=True))
        ]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON types."""
        return {"rule": to_config(self.rule), **super().get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Build the optimizer that `get_config` describes, without its variables."""
        if "rule" not in config:
            raise ValueError(f"RuleOptimizer.from_config(config) must have a 'rule', got {short(config)}")
        built: Self = super().from_config({**config, "rule": from_config(config["rule"])}, custom_objects)
        return built


def _kernels() -> Any:
    """Return the module of the kernels of the backend, or None where XLA compiles the mathematics."""
    backend = keras.config.backend()
    return importlib.import_module(f"lrsched_keras._{backend}") if backend in ("tensorflow", "torch") else None


def _listed(where: str, variables: Any) -> list[Any]:
    """Return variables of Keras or of TensorFlow as a list."""
    found = list(variables) if isinstance(variables, Iterable) else [variables]
    for one in found:
        if not hasattr(one, "assign"):
            raise TypeError(f"{where} must be a list of variables, got {short(one)}")
    return found


def _keras_rate(learning_rate: Any, gradient_accumulation_steps: int | None) -> Any:
    """Return what Keras takes: a schedule of its own, a function, a tensor, a float."""
    every = gradient_accumulation_steps or 1
    learning_rate = meant(learning_rate)
    if isinstance(learning_rate, Schedule):
        return LRSchedule(learning_rate, gradient_accumulation_steps=every)
    inner = learning_rate.schedule if isinstance(learning_rate, FeedbackSchedule) else learning_rate
    if isinstance(inner, LRSchedule) and inner.gradient_accumulation_steps != every:
        warnings.warn(
            f"RuleOptimizer(learning_rate={learning_rate!r}) counts {inner.gradient_accumulation_steps} batches an "
            f"update, but the optimizer accumulates {every}: write LRSchedule(schedule, gradient_accumulation_steps="
            f"{every}) to count updates, or Batches(schedule, {every}), without LRSchedule, to count batches",
            UserWarning,
            stacklevel=5,
        )
    if callable(learning_rate) or keras.ops.is_tensor(learning_rate) or isinstance(learning_rate, keras.Variable):
        return learning_rate
    return Real(low=0.0)("RuleOptimizer(learning_rate=...)", learning_rate)


def _same_shape(found: Any, wanted: Any) -> bool:
    """Return whether a gradient has the shape of its variable, as far as a graph knows it."""
    if found == wanted:
        return True
    try:
        dimensions = tuple(found)
    except ValueError:  # not even their number is known
        return True
    return len(dimensions) == len(wanted) and all(
        one is None or one == other for one, other in zip(dimensions, wanted, strict=True)
    )


def _checked_weight(where: str, variable: Any, weight: Any) -> Any:
    """Return what is to be a variable of the optimizer, as an array.

    Raises:
        TypeError: it is of another kind of numbers.
        ValueError: it is of another shape, or it is a count, rate or factor that is not finite or negative.
    """
    found = keras.ops.convert_to_numpy(weight)
    named = f"{where}, {variable.name!r},"
    if found.shape != tuple(variable.shape):
        raise ValueError(f"{named} must have the shape {tuple(variable.shape)}, got {found.shape}")
    whole = keras.backend.is_int_dtype(variable.dtype)
    if (found.dtype.kind not in "iu") if whole else (found.dtype.name not in FLOATS):
        kinds = "whole numbers" if whole else ", ".join(FLOATS)
        raise ValueError(f"{named} must be an array of {kinds}, got one of {found.dtype}")
    largest = np.iinfo(variable.dtype).max if whole else np.finfo(np.float64).max
    if variable.name in ("iteration", "learning_rate", "factor") and not 0 <= found <= largest:
        raise ValueError(f"{named} must be finite, >= 0 and <= {largest}, got {found}")
    return found
