"""One request, many answers: linear warm-up of 3 updates, then a cosine to 0 in 10, as each library understands it."""

import pytest

from lrsched import compat

W, T = 3, 10
# Seven steps of a half cosine: (1 + cos(pi k / 7)) / 2.
FALL = [1, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495]


def _ignite():
    cosine = compat.ignite.CosineAnnealingScheduler(1.0, 0.0, T - W)
    return compat.ignite.create_lr_scheduler_with_warmup(cosine, 0.0, W, 1.0)


def _detectron2():
    return compat.detectron2.build_lr_scheduler(
        {"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR": 1.0, "MAX_ITER": T, "WARMUP_ITERS": W}
    )


# The values of updates 0 to 11.
PLAIN = [0, 0.3333, 0.6667, *FALL, 0, 0]
TABLE = {
    "transformers": (
        lambda: compat.transformers.get_scheduler("cosine", lr=1.0, num_warmup_steps=W, num_training_steps=T),
        [*PLAIN[:11], 0.0495],  # it rises again
    ),
    "optax": (lambda: compat.optax.warmup_cosine_decay_schedule(0.0, 1.0, W, T), PLAIN),
    "optax (T - W by mistake)": (
        lambda: compat.optax.warmup_cosine_decay_schedule(0.0, 1.0, W, T - W),
        [0, 0.3333, 0.6667, 1, 0.8536, 0.5, 0.1464, 0, 0, 0, 0, 0],
    ),
    "keras": (lambda: compat.keras.CosineDecay(0.0, T - W, warmup_target=1.0, warmup_steps=W), PLAIN),
    "keras (T by mistake)": (
        lambda: compat.keras.CosineDecay(0.0, T, warmup_target=1.0, warmup_steps=W),
        [0, 0.3333, 0.6667, 1, 0.9755, 0.9045, 0.7939, 0.6545, 0.5, 0.3455, 0.2061, 0.0955],
    ),
    "torch": (
        lambda: compat.torch.SequentialLR(
            [compat.torch.LinearLR(1.0, 1 / 3, 1.0, W), compat.torch.CosineAnnealingLR(1.0, T - W)], [W]
        ),
        [0.3333, 0.5556, 0.7778, *FALL, 0, 0.0495],
    ),
    "timm (prefix)": (lambda: compat.timm.CosineLRScheduler(1.0, T - W, warmup_t=W, warmup_prefix=True), PLAIN),
    "timm": (
        lambda: compat.timm.CosineLRScheduler(1.0, T, warmup_t=W),
        [0, 0.3333, 0.6667, 0.7939, 0.6545, 0.5, 0.3455, 0.2061, 0.0955, 0.0245, 0, 0],
    ),
    "ignite": (_ignite, [0, 0.5, *FALL, 1, 0.9505, 0.8117]),
    "megatron": (
        lambda: compat.megatron.OptimizerParamScheduler(
            max_lr=1.0, lr_warmup_steps=W, lr_decay_steps=T, lr_decay_style="cosine"
        ),
        PLAIN,
    ),
    # Its Trainer steps the scheduler before it counts the batch.
    "composer": (
        lambda: compat.composer.CosineAnnealingWithWarmupScheduler(1.0, f"{W}ba", max_duration=f"{T}ba"),
        [0, *PLAIN[:11]],
    ),
    "nanotron": (
        lambda: compat.nanotron.lr_scheduler_builder(1.0, T, W, lr_decay_style="cosine", min_decay_lr=0.0),
        PLAIN,
    ),
    # Its trainer counts the update before it sets the rate, so all is one step earlier.
    "olmo_core": (lambda: compat.olmo_core.CosWithWarmup(1.0, T, W, alpha_f=0.0), [*PLAIN[1:], 0]),
    "deepspeed (log)": (
        lambda: compat.deepspeed.WarmupCosineLR(1.0, T, warmup_num_steps=W),
        # log(1 + it) / log(3) for it = 0, 1, 2; the cosine then has the floor 1e-4
        [0, 0, 0.6309, 1, 0.9505, 0.8118, 0.6113, 0.3888, 0.1883, 0.0496, 0.0001, 0.0001],
    ),
    "deepspeed (linear)": (
        lambda: compat.deepspeed.WarmupCosineLR(1.0, T, warmup_num_steps=W, warmup_type="linear"),
        [0, 0, 0.3333, 0.6667, 0.9505, 0.8118, 0.6113, 0.3888, 0.1883, 0.0496, 0.0001, 0.0001],
    ),
    "torchtitan": (
        lambda: compat.torchtitan.LRSchedulersContainer(1.0, T, warmup_steps=W, decay_type="cosine"),
        [0.3333, 0.6667, 1, *FALL, 0, 0.0495],
    ),
    "nemo": (
        lambda: compat.nemo.CosineAnnealing(1.0, max_steps=T, warmup_steps=W),
        [0.25, 0.5, 0.75, *FALL, 0, 0],
    ),
    "detectron2": (
        _detectron2,
        [0.001, 0.2653, 0.5296, 0.7939, 0.6545, 0.5, 0.3455, 0.2061, 0.0955, 0.0245, 0, 0],
    ),
    # Its counter is that of the update before, and the first rate is the lowest.
    "pytorch_optimizer": (
        lambda: compat.pytorch_optimizer.CosineScheduler(T, 1.0, warmup_steps=W),
        [0, 0, 0.3333, 0.6667, *FALL, 0],
    ),
    "gpt_neox": (lambda: compat.gpt_neox.AnnealingLR(1.0, W, T, "cosine"), [0.3333, *PLAIN[1:11], 0.0495]),
    "big_vision": (
        lambda: compat.big_vision.create_learning_rate_schedule(T, base=1.0, decay_type="cosine", warmup_steps=W),
        PLAIN,
    ),
    "allennlp": (
        lambda: compat.allennlp.cosine_with_warmup(1.0, num_warmup_steps=W, num_training_steps=T),
        [*PLAIN[:11], 0.0495],
    ),
    "levanter": (lambda: compat.levanter.lr_scheduler(T, 1.0, 0.0, warmup=W, lr_schedule="cosine"), PLAIN),
    "dolomite": (lambda: compat.power_lr.CosineScheduler(1.0, W, 0, None, T, 0.0), PLAIN),
    "maxtext": (
        lambda: compat.maxtext.create_learning_rate_schedule(
            T + 5, 1.0, learning_rate_final_fraction=0.0, warmup_steps_fraction=0.3, learning_rate_schedule_steps=T
        ),
        [0, 0.3333, 0.6667, 1, 0.933, 0.75, 0.5, 0.25, 0.067, 0, 0, 0],
    ),
}


@pytest.mark.parametrize("library", TABLE)
def test_a_cosine_with_warm_up_is_that_of_the_library(library):
    make, expected = TABLE[library]
    schedule = make()
    assert [round(schedule(t), 4) for t in range(12)] == expected
