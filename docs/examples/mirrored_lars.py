"""LARS in Keras on TensorFlow, on replicas that share each batch; they do what one device does with all of it.

python docs/examples/mirrored_lars.py
"""

import contextlib
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from lrsched import Cosine, Warmup, rules
from lrsched_keras import RuleOptimizer

STEPS = 20


def trained(scope):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(64 * STEPS, 20)).astype("float32")
    with scope:
        model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(64, "tanh"), keras.layers.Dense(1)])
        # Part of the rule, so after the sum over replicas; `global_clipnorm=` of Keras acts on each replica, before it.
        rule = rules.ClipByGlobalNorm(10.0) >> rules.lars(trust_coefficient=0.05)
        schedule = Warmup(5) >> Cosine(0.2, 0.0, steps=STEPS - 5)
        model.compile(RuleOptimizer(rule, schedule), loss="mse", jit_compile=False)
    history = model.fit(x, x.sum(axis=1, keepdims=True), batch_size=64, verbose=0, shuffle=False)
    return history.history["loss"][0], [w.copy() for w in model.get_weights()]


def main():
    if not tf.config.list_physical_devices("GPU"):  # show it on a processor, as two devices
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    strategy = tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
    loss, weights = trained(strategy.scope())
    print(f"{strategy.num_replicas_in_sync} replicas: mean loss {loss:.4f}")
    loss, others = trained(contextlib.nullcontext())
    print(f"one device: mean loss {loss:.4f}")
    apart = max(np.abs(a - b).max() for a, b in zip(weights, others, strict=True))
    print(f"largest difference of a weight: {apart:.1e}")
    assert apart < 1e-4


if __name__ == "__main__":
    main()
