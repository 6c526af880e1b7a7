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
        counts: what is counted where gradients are accumulated over several batches, or "" where it is not known.
    """

    how: str
    where: str
    counts: str = ""


_NOT_YET = Loop(ONLY, "its trainer was not tried")

LOOPS = {
    "allennlp": _NOT_YET,
    "big_vision": _NOT_YET,
    "composer": Loop(RUN, "`composer.Trainer`", "updates"),
    "deepspeed": Loop(RUN, "`deepspeed.initialize`", "updates"),
    "detectron2": _NOT_YET,
    "diffusers": Loop(RUN, "the loop of its training scripts, with `accelerate.Accelerator`", "updates"),
    "fairseq": _NOT_YET,
    "fastai": _NOT_YET,
    "fvcore": _NOT_YET,
    "gpt_neox": _NOT_YET,
    "hyperbolic_lr": _NOT_YET,
    "ignite": _NOT_YET,
    "keras": _NOT_YET,
    "levanter": _NOT_YET,
    "llmfoundry": Loop(RUN, "`composer.Trainer`", "updates"),
    "maxtext": _NOT_YET,
    "megatron": _NOT_YET,
    "mlx": _NOT_YET,
    "mmengine": _NOT_YET,
    "nanotron": _NOT_YET,
    "nemo": _NOT_YET,
    "olmo_core": _NOT_YET,
    "optax": _NOT_YET,
    "paddle": _NOT_YET,
    "power_lr": _NOT_YET,
    "pytorch_optimizer": _NOT_YET,
    "pytorch_warmup": _NOT_YET,
    "scenic": _NOT_YET,
    "speechbrain": _NOT_YET,
    "t5x": _NOT_YET,
    "tensorflow_addons": _NOT_YET,
    "tf_models": _NOT_YET,
    "thinc": _NOT_YET,
    "timm": _NOT_YET,
    "torch": Loop(RUN, "the loop of `torch.optim`, Lightning's `Trainer` and `accelerate.Accelerator`", "updates"),
    "torchtitan": _NOT_YET,
    "transformers": Loop(RUN, "`transformers.Trainer`", "updates"),
}
