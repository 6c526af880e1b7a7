"""compat.olmo_core gives the rates that OLMo-core's Trainer uses."""

import pytest
import torch
from harness import EPOCH, UPDATES, agree, emptied, real
from torch_harness import watched

from lrsched import compat

# What reads from clouds, and starts trainings there.
UNUSED = ("beaker", "bettermap", "boto3", "botocore", "cached_path", "gantry")
with emptied(*UNUSED):
    train_module = real("olmo_core.train.train_module", "ai2-olmo-core")
    olmo = real("olmo_core.train", "ai2-olmo-core")
    data = real("olmo_core.data", "ai2-olmo-core")
    optim = real("olmo_core.optim", "ai2-olmo-core")
    transformer = real("olmo_core.nn.transformer", "ai2-olmo-core")

LENGTH, WORDS = 4, 8


class Loader(data.TextDataLoaderBase):
    """`EPOCH` batches of the same words."""

    total_batches = EPOCH

    def state_dict(self):
        return {"batches_processed": self.batches_processed, "epoch": self._epoch}

    def load_state_dict(self, state_dict):
        self.batches_processed, self._epoch = state_dict["batches_processed"], state_dict["epoch"]

    def reshuffle(self, epoch=None, **kwargs):
        self._epoch = epoch

    def _iter_batches(self):
        for _ in range(self.batches_processed, EPOCH):
            yield self.get_mock_batch()

    def get_mock_batch(self):
        rows = self.rank_batch_size // LENGTH
        return {"input_ids": torch.arange(rows * LENGTH).reshape(rows, LENGTH) % WORDS}


def train(scheduler, folder, rows=1, **options):
    """Return the rates that the updates used; with more rows the gradients of micro-batches are accumulated."""
    batch = rows * LENGTH
    loader = Loader(collator=data.DataCollator(pad_token_id=0), work_dir=str(folder), global_batch_size=batch)
    config = transformer.TransformerConfig.llama_like(
        d_model=8, vocab_size=WORDS, n_layers=1, n_heads=2, fused_ops=False, use_flash=False
    )
    module = train_module.TransformerTrainModule(
        model=config.build(init_device="cpu"), optim=optim.AdamWConfig(lr=0.1), rank_microbatch_size=LENGTH,
        max_sequence_length=LENGTH, scheduler=scheduler, device=torch.device("cpu"),
    )  # fmt: skip
    used = watched(module.optim)
    trainer = olmo.TrainerConfig(
        save_folder=str(folder), work_dir=str(folder), save_overwrite=True, no_checkpoints=True,
        max_duration=olmo.Duration.steps(UPDATES), device="cpu", **options,
    ).build(module, loader)  # fmt: skip
    trainer.fit()
    return used


SCHEDULERS = {
    "CosWithWarmup": {"warmup": 3},
    "LinearWithWarmup": {"warmup": 3, "alpha_f": 0.1},
    "WSD": {"warmup": 3, "decay": 4, "decay_fraction": None},
    "InvSqrtWithWarmup": {"warmup": 3},
}


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_olmo_core(name, rows, tmp_path):
    used = train(getattr(optim, name)(**SCHEDULERS[name]), tmp_path, rows)
    agree("olmo_core", getattr(compat.olmo_core, name)(0.1, t_max=UPDATES, **SCHEDULERS[name]), used)
