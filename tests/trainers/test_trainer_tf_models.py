"""compat.tf_models gives the rates that the trainers of the TensorFlow Model Garden use.

From 0 a gradient of 1 moves a variable by the rate.
"""

import pytest
from harness import UPDATES, agree, emptied, real

from lrsched import compat

LARGE = "tests/oracles-large.txt"
tf = real("tensorflow", "tensorflow")
tf_keras = real("tf_keras", "tf_keras")
with emptied("gin"):  # fills in arguments from files
    orbit = real("orbit", "tf-models-official", LARGE)
    schedules = real("official.modeling.optimization.lr_schedule", "tf-models-official", LARGE)
    nlp = real("official.nlp.optimization", "tf-models-official", LARGE)
FLOAT32 = 1e-5


class Trainer(orbit.StandardTrainer):
    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.weight = tf.Variable(0.0)
        self.global_step = optimizer.iterations
        self.used = []
        optimizer.build([self.weight])
        super().__init__(
            tf.data.Dataset.from_tensors(tf.constant(1.0)).repeat(),
            orbit.StandardTrainerOptions(use_tf_function=False, use_tf_while_loop=False),
        )

    def train_step(self, iterator):
        self.weight.assign(0.0)
        with tf.GradientTape() as tape:
            loss = self.weight * next(iterator)
        self.optimizer.apply_gradients([(tape.gradient(loss, self.weight), self.weight)])
        self.used.append(-float(self.weight))


def train(rate):
    """Return the rates of the updates that Orbit's controller makes."""
    trainer = Trainer(tf_keras.optimizers.SGD(rate))
    controller = orbit.Controller(trainer=trainer, global_step=trainer.global_step, steps_per_loop=5)
    controller.train(UPDATES)
    return trainer.used


# Arguments that change something within 12 updates.
CALLS = {
    "CosineDecayWithOffset": {"offset": 2, "initial_learning_rate": 0.1, "decay_steps": 20},
    "DirectPowerDecay": {"initial_learning_rate": 0.1, "power": -0.5},
    "ExponentialDecayWithOffset": {
        "offset": 2, "initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.5, "staircase": True,
    },
    "PiecewiseConstantDecayWithOffset": {"offset": 2, "boundaries": [3, 6], "values": [0.1, 0.05, 0.01]},
    "PolynomialDecayWithOffset": {
        "offset": 2, "initial_learning_rate": 0.1, "decay_steps": 8, "end_learning_rate": 0.01,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_tf_models(name):
    used = train(getattr(schedules, name)(**CALLS[name]))
    agree("tf_models", getattr(compat.tf_models, name)(**CALLS[name]), used, rtol=FLOAT32)


def test_a_warm_up():
    decay = {"offset": 0, "initial_learning_rate": 0.1, "decay_steps": 20, "end_learning_rate": 0.0}
    used = train(schedules.LinearWarmup(schedules.PolynomialDecayWithOffset(**decay), 4, 0.01))
    ours = compat.tf_models.LinearWarmup(compat.tf_models.PolynomialDecayWithOffset(**decay), 4, 0.01)
    agree("tf_models", ours, used, rtol=FLOAT32)


def test_the_warm_up_of_language_models():
    decay = {"initial_learning_rate": 0.1, "decay_steps": 20, "end_learning_rate": 0.0}
    used = train(nlp.WarmUp(0.1, tf_keras.optimizers.schedules.PolynomialDecay(**decay), 4))
    ours = compat.tf_models.WarmUp(0.1, compat.keras.PolynomialDecay(**decay), 4)
    agree("tf_models", ours, used, rtol=FLOAT32)
