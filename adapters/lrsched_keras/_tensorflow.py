"""Updates by the kernels that TensorFlow has for the variables of an optimizer: one operation a variable, in place.

They are the same mathematics, with the decay rates of averages rounded to the dtype of the variable.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from lrsched import rules
from lrsched_keras._native import Native, native_of

# The dtypes in which parameters and slots are the same.
DTYPES = (tf.float32, tf.float64)
# How far, relatively, the weight `1 - b` of an average may move when b is rounded: 1.3e-5 for 0.999.
ROUNDING = 5e-5


class VariableKernel(NamedTuple):
    """A native kernel.

    Args:
        scalars: `scalars(context, dtype)` returns the numbers that all variables share, of that dtype.
        apply: `apply(variable, gradient, slots, scalars)` updates one variable and its slots.
    """

    scalars: Callable[[rules.Context, Any], tuple[Any, ...]]
    apply: Callable[[Any, Any, Sequence[Any], Sequence[Any]], Any]


def native(rule: rules.Rule) -> Native | None:
    """Return a rule as a native kernel with parts around it, or None."""
    return native_of(rule, _kernel_of)


def _kernel_of(rule: rules.Rule) -> VariableKernel | None:
    if isinstance(rule, rules.SGD):
        return _sgd()
    if isinstance(rule, rules.Momentum):
        return _momentum(rule)
    if isinstance(rule, rules.Adam):
        return _adam(rule)
    return None


def _sgd() -> VariableKernel:
    def apply(v: Any, g: Any, slots: Sequence[Any], scalars: Sequence[Any]) -> None:
        tf.raw_ops.ResourceApplyGradientDescent(var=v.handle, alpha=scalars[0], delta=g)

    return VariableKernel(lambda context, dtype: (context.lr,), apply)


def _momentum(rule: rules.Momentum) -> VariableKernel:
    scaled = rule.lr_in_buffer or rule.dampening > 0.0

    def scalars(context: rules.Context, dtype: Any) -> tuple[Any, ...]:
        weight = 1.0 - rule.dampening * (context.started() if rule.first_step == "clone" else 1.0)
        inside, outside = (weight * context.lr, 1.0) if rule.lr_in_buffer else (weight, context.lr)
        return inside, outside, rule.momentum

    def apply(v: Any, g: Any, slots: Sequence[Any], scalars: Sequence[Any]) -> None:
        inside, outside, momentum = scalars
        tf.raw_ops.ResourceApplyMomentum(
            var=v.handle, accum=slots[0].handle, lr=outside, grad=inside * g if scaled else g, momentum=momentum,
            use_nesterov=rule.nesterov,
        )  # fmt: skip

    return VariableKernel(scalars, apply)


def _adam(rule: rules.Adam) -> VariableKernel | None:
    if rule.eps_at == "inside" or rule.eps_root or rule.amsgrad != "off" or not (rule.correct_m and rule.correct_v):
        return None
    if any(abs(float(np.float32(b)) - b) > ROUNDING * (1.0 - b) for b in (rule.b1, rule.b2)):
        return None

    def scalars(context: rules.Context, dtype: Any) -> tuple[Any, ...]:
        # The kernel rounds b and only then takes it from 1: corrected by the same b, an average of equal numbers is
        # that number.
        b1, b2 = (float(np.asarray(b, dtype.as_numpy_dtype)) for b in (rule.b1, rule.b2))
        root = context.root(context.correction(b2))
        eps = rule.eps * root if rule.eps_at == "outside" else rule.eps
        return context.lr * root / context.correction(b1), eps, b1, b2, 0.0

    def apply(v: Any, g: Any, slots: Sequence[Any], scalars: Sequence[Any]) -> None:
        rate, eps, b1, b2, zero = scalars
        tf.raw_ops.ResourceApplyAdam(
            var=v.handle, m=slots[0].handle, v=slots[1].handle, beta1_power=zero, beta2_power=zero,
            lr=rate, beta1=b1, beta2=b2, epsilon=eps, grad=g,
        )  # fmt: skip

    return VariableKernel(scalars, apply)


def update(
    native: Native,
    strategy: Any,
    variables: list[Any],
    slots: list[list[Any]],
    grads: list[Any],
    lr: Any,
    step: Any,
    spared: Sequence[bool],
) -> bool:
    """Update variables by a native kernel.

    Args:
        native: what to do.
        strategy: the `tf.distribute.Strategy` of the optimizer.
        variables: those of TensorFlow.
        slots: the variables of the rule for each.
        grads: a tensor for each.
        lr: learning rate, a 0-d tensor.
        step: updates done before this one, a 0-d tensor.
        spared: whether weight decay leaves each variable alone; empty if it spares none.

    Returns:
        False if the kernel does not take one of the dtypes; nothing has been done then.
    """
    dtype, kernel = variables[0].dtype, native.kernel
    grads = [tf.convert_to_tensor(g) for g in grads]  # a sparse one becomes dense
    if dtype not in DTYPES or any(x.dtype != dtype for x in (*variables, *grads)):
        return False
    lr, step = tf.cast(lr, dtype), tf.cast(step, dtype)
    if native.before:
        grads = native.transformed([tf.convert_to_tensor(v) for v in variables], grads, lr, step, spared)
    ops: Any = rules.ops_of(lr)
    scalars = [tf.convert_to_tensor(x, dtype) for x in kernel.scalars(rules.Context.of_list(ops, [0], lr, step), dtype)]
    rate = tf.convert_to_tensor(native.rate(lr), dtype) if native.decay else None

    decays = native.decays(variables, spared)

    def one(v: Any, g: Any, own: Any, decay: bool, numbers: Any, share: Any) -> None:
        if decay:
            v.assign_sub(share * v, read_value=False)
        kernel.apply(v, g, own, numbers)

    def everyone(strategy: Any, variables: Any, grads: Any, slots: Any, numbers: Any, share: Any) -> None:
        for v, g, own, decay in zip(variables, grads, slots, decays, strict=True):
            strategy.extended.update(v, one, args=(g, own, decay, numbers, share), group=False)

    if strategy is tf.distribute.get_strategy() and not tf.distribute.has_strategy():
        for v, g, own, decay in zip(variables, grads, slots, decays, strict=True):
            one(v, g, own, decay, scalars, rate)
        return True
    # A mirrored variable can only be updated where all replicas meet.
    tf.__internal__.distribute.interim.maybe_merge_call(everyone, strategy, variables, grads, slots, scalars, rate)
    return True
