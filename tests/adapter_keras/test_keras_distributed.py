"""`RuleOptimizer` under `tf.distribute`: two replicas compute what one device does with the whole batch.

One process with two devices does all the work once; the tests read what it reports.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="tf.distribute is of TensorFlow")

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "mirrored_lars.py"
PROGRAM = r"""
import contextlib, json
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from lrsched import Linear, rules
from lrsched_keras import RuleOptimizer

S = Linear(0.1, 0.0, steps=9)
two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
x = rng.normal(size=(16, 3)).astype("float32")
x[::2] *= 10.0  # the halves of a batch differ, so their gradients do
y = x.sum(axis=1, keepdims=True)


def trained(scope, rule, **options):
    keras.utils.set_random_seed(0)
    with scope:
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(1)])
        model.compile(RuleOptimizer(rule, S, **options), loss="mse", jit_compile=False)
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return np.concatenate([w.ravel() for w in model.get_weights()])


found = {}
for name, rule, options in (
    ("LARS", rules.lars(trust_coefficient=0.1), {}),
    ("LAMB", rules.lamb(), {}),
    ("clip all", rules.ClipByGlobalNorm(0.1) >> rules.Momentum(0.9), {}),
    ("clip of Keras", rules.Momentum(0.9), {"global_clipnorm": 0.1}),
):
    ours, alone = (trained(scope, rule, **options) for scope in (two.scope(), contextlib.nullcontext()))
    found[name] = float(np.abs(ours - alone).max())
print(json.dumps(found))
"""


def output(*arguments):
    """Return what Python prints."""
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found():
    """The largest difference of a weight between two replicas and one device, for each case."""
    return json.loads(output("-c", PROGRAM).splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LARS", "LAMB", "clip all"])
def test_two_replicas_train_as_one_device(found, name):
    assert found[name] < 1e-6


@pytest.mark.slow
def test_the_clip_of_keras_acts_on_each_replica_and_would_fail_the_comparison(found):
    assert found["clip of Keras"] > 1e-3


@pytest.mark.slow
def test_the_example_runs():
    assert "2 replicas: mean loss" in output(str(EXAMPLE))
