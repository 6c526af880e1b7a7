"""How it is known, library by library, that a preset is what the library's trainer uses; see tests/trainers/harness.py.

The page of documentation is written from LOOPS.
"""

from typing import NamedTuple

RUN = "trainer run"
READ = "loop read"
ONLY = "schedule only"


class Loop(NamedTuple):
    """What drives the schedules of one library.

    Args:
        how: `RUN` where a test of tests/trainers trains with it; `READ` where its loop was read; `ONLY` where neither.
        where: for `RUN` the trainer's names; for `READ` the lines read, in an installed version or at a commit and its
            date; for `ONLY` why there is no more.
        counts: what is counted, where gradients are accumulated over several batches too: updates, batches, epochs or
            samples; two of them with ", or" where an argument says which.
    """

    how: str
    where: str
    counts: str = ""


LOOPS = {
    "allennlp": Loop(
        READ, "allennlp 2.10.1, allennlp/training/gradient_descent_trainer.py:448-552", "updates, or epochs"
    ),
    "big_vision": Loop(
        READ, "google-research/big_vision at 0127fb6 (2025-05-19), big_vision/optax.py:88-91", "updates"
    ),
    "composer": Loop(RUN, "`composer.Trainer`", "updates"),
    "deepspeed": Loop(RUN, "`deepspeed.initialize`", "updates"),
    "detectron2": Loop(
        READ, "facebookresearch/detectron2 at 02b5c4e (2026-06-06), detectron2/engine/hooks.py:356-359", "updates"
    ),
    "diffusers": Loop(RUN, "the loop of its training scripts, with `accelerate.Accelerator`", "updates"),
    "fairseq": Loop(READ, "facebookresearch/fairseq at 3d262bb (2025-09-30), fairseq/trainer.py:1040", "updates"),
    "fastai": Loop(RUN, "`fastai.learner.Learner`", "batches"),
    "fvcore": Loop(
        READ,
        "facebookresearch/detectron2 at 02b5c4e (2026-06-06), detectron2/solver/lr_scheduler.py:123-125",
        "updates",
    ),
    "gpt_neox": Loop(READ, "EleutherAI/gpt-neox at ea7aefd (2026-05-19), megatron/training.py:1188-1357", "updates"),
    "hyperbolic_lr": Loop(READ, "Axect/HyperbolicLR at cefcb8f (2026-02-07), paper/util.py:236-274", "epochs"),
    "ignite": Loop(RUN, "`ignite.engine.create_supervised_trainer`", "batches, or epochs"),
    "keras": Loop(RUN, "`keras.Model.fit`, on three backends", "batches"),
    "levanter": Loop(READ, "levanter 1.2.dev1644, levanter/trainer_state.py:137-163", "updates"),
    "llmfoundry": Loop(RUN, "`composer.Trainer`", "updates"),
    "maxtext": Loop(
        READ, "AI-Hypercomputer/maxtext at e591f30 (2026-08-22), src/maxtext/utils/train_utils.py:48-50", "updates"
    ),
    "megatron": Loop(
        READ, "NVIDIA/Megatron-LM at d98e8a6 (2026-08-22), megatron/training/training.py:3165-3223", "samples"
    ),
    "mlx": Loop(RUN, "`mlx.optimizers.SGD`", "updates"),
    "mmengine": Loop(RUN, "`mmengine.runner.Runner`", "epochs, or batches"),
    "nanotron": Loop(READ, "nanotron 0.4, nanotron/trainer.py:392-396", "updates"),
    "nemo": Loop(RUN, "Lightning's `Trainer`, as `prepare_lr_scheduler` configures it", "updates"),
    "olmo_core": Loop(RUN, "`olmo_core.train.Trainer`", "updates"),
    "optax": Loop(RUN, "`flax.training.train_state.TrainState`, `flax.nnx.Optimizer`", "updates"),
    "paddle": Loop(RUN, "`paddle.Model.fit`", "batches"),
    "power_lr": Loop(READ, "open-lm-engine/lm-engine at 36bad91 (2026-08-08), lm_engine/train.py:216-217", "updates"),
    "pytorch_optimizer": Loop(RUN, "the loop of its documentation", "updates"),
    "pytorch_warmup": Loop(RUN, "the loop of its documentation", "updates"),
    "scenic": Loop(
        READ, "google-research/scenic at 4a38d47 (2026-07-02), scenic/train_lib/optimizers.py:144", "updates"
    ),
    "speechbrain": Loop(RUN, "`speechbrain.core.Brain`", "updates, or epochs"),
    "t5x": Loop(READ, "google-research/t5x at cc342d4 (2026-04-21), t5x/trainer.py:1024", "updates"),
    "tensorflow_addons": Loop(RUN, "`tf_keras.Model.fit`", "updates"),
    "tf_models": Loop(RUN, "`orbit.Controller`", "updates"),
    "thinc": Loop(RUN, "`thinc.api.Optimizer`", "updates"),
    "timm": Loop(
        READ, "huggingface/pytorch-image-models at aa4b585 (2026-08-08), train.py:1143-1439", "epochs, or updates"
    ),
    "torch": Loop(RUN, "the loop of `torch.optim`, Lightning's `Trainer` and `accelerate.Accelerator`", "updates"),
    "torchtitan": Loop(READ, "torchtitan 0.3.0, torchtitan/trainer.py:948-949", "updates"),
    "transformers": Loop(RUN, "`transformers.Trainer`", "updates"),
}
