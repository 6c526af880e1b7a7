"""compat.tensorflow_addons gives the rates that `tf_keras.Model.fit` uses with the schedules of TensorFlow Addons.

Of the library, which no longer imports with this TensorFlow, one file is loaded. Batch i is the i-th unit vector and
the loss the output, so weight i moves once, by the rate of that batch.
"""

import types
from collections.abc import Callable
from typing import Union

import numpy as np
import pytest
from harness import UPDATES, agree, real
from oracles import definitions

from lrsched import compat

tf = real("tensorflow", "tensorflow")
tf_keras = real("tf_keras", "tf_keras")


class Before:
    """TensorFlow as the library knows it, with Keras 2."""

    keras = tf_keras

    def __getattr__(self, name):
        return getattr(tf, name)


NAMES = ["CyclicalLearningRate", "TriangularCyclicalLearningRate", "Triangular2CyclicalLearningRate",
         "ExponentialCyclicalLearningRate"]  # fmt: skip
live = types.SimpleNamespace(
    **definitions(
        "tensorflow_addons", "optimizers/cyclical_learning_rate.py", NAMES, __name__="tensorflow_addons", tf=Before(),
        typechecked=lambda function: function, FloatTensorLike=float, Union=Union, Callable=Callable,
    )
)  # fmt: skip


def train(rate):
    """Return the rates of the updates of three epochs."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(tf_keras.optimizers.SGD(rate), loss=lambda wanted, found: found)
    batches = tf.data.Dataset.from_tensor_slices((np.eye(UPDATES, dtype="f"), np.zeros((UPDATES, 1), "f"))).batch(1)
    model.fit(batches.repeat(), steps_per_epoch=UPDATES // 3, epochs=3, verbose=0)
    return (-model.get_weights()[0][:, 0]).tolist()


CALLS = {
    "ExponentialCyclicalLearningRate": {
        "initial_learning_rate": 0.01, "maximal_learning_rate": 0.1, "step_size": 3, "gamma": 0.9,
        "scale_mode": "cycle",
    },
    "Triangular2CyclicalLearningRate": {
        "initial_learning_rate": 0.01, "maximal_learning_rate": 0.1, "step_size": 3,
    },
    "TriangularCyclicalLearningRate": {
        "initial_learning_rate": 0.01, "maximal_learning_rate": 0.1, "step_size": 2.5,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_tensorflow_addons(name):
    used = train(getattr(live, name)(**CALLS[name]))
    agree("tensorflow_addons", getattr(compat.tensorflow_addons, name)(**CALLS[name]), used, rtol=1e-5)


def test_a_power_of_the_step_is_refused_in_a_training():
    with pytest.raises(TypeError, match="int64"):
        train(live.ExponentialCyclicalLearningRate(0.01, 0.1, 3, scale_mode="iterations", gamma=0.9))
