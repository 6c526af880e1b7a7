"""What docs/trainers.md says of Stable-Baselines3, which tells a schedule what is left of the training."""

import pytest
from harness import page, real
from torch_harness import all_watched

from lrsched import Cosine, Warmup

sb3 = real("stable_baselines3", "stable-baselines3", "tests/oracles-large.txt")
gymnasium = real("gymnasium", "gymnasium", "tests/oracles-large.txt")
OWN = Warmup(100) >> Cosine(0.01, 0.0, steps=540)
ROUND, UPDATES = 64, 4  # steps of the environment to a round, and updates of a round
OPTIONS = {"n_steps": ROUND, "batch_size": 32, "n_epochs": 2, "device": "cpu", "seed": 0}


def test_the_page(tmp_path):
    given = {"PPO": sb3.PPO, "env": gymnasium.make("CartPole-v1"), "schedule": OWN, "options": OPTIONS}
    with all_watched() as used:
        model = page("Stable-Baselines3", steps=10 * ROUND, total_timesteps=10 * ROUND, **given)["model"]
    # A round begins when its steps are taken.
    assert used == [OWN(ROUND * (i // UPDATES + 1)) for i in range(10 * UPDATES)]
    model.save(tmp_path / "model")
    assert sb3.PPO.load(tmp_path / "model").lr_schedule(0.5) == OWN(5 * ROUND)


def test_a_schedule_as_it_stands_is_refused_before_the_first_update():
    model = sb3.PPO("MlpPolicy", gymnasium.make("CartPole-v1"), learning_rate=OWN, **OPTIONS)
    with all_watched() as used, pytest.raises(TypeError, match=r"what is left .*learning_rate=lambda left: schedule"):
        model.learn(2 * ROUND)
    assert used == []
