"""Twenty files in the style of those that people publish: each is read rightly, or refused by name."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from lrsched import (
    Budget,
    Consumed,
    Cosine,
    Epochs,
    Hold,
    Linear,
    batch_ramp,
    compat,
    from_config,
    read_config,
    rules,
    to_config,
)

pytest.importorskip("yaml")
FILES = Path(__file__).parent / "files"
EPOCHS, STEPS = Budget(steps_per_epoch=100), Budget(steps=5000)
CLIP = rules.ClipByGlobalNorm(1.0, eps=1e-6)
RAMP = batch_ramp(200, 1000, samples=100_000, increment=200)


def hf(name, lr, warmup, total, **more):
    return compat.transformers.get_scheduler(name, lr, warmup, total, more or None)


def adamw(b1, b2, decay, eps=1e-8):
    return CLIP >> compat.torch.AdamW(betas=(b1, b2), eps=eps, weight_decay=decay)


def wsd_megatron(lr):
    return Consumed(compat.megatron.OptimizerParamScheduler(
        max_lr=lr, lr_warmup_steps=20_000, lr_decay_steps=2_000_000, lr_decay_style="WSD", wsd_decay_steps=400_000,
        lr_wsd_decay_style="minus_sqrt",
    ), RAMP)  # fmt: skip


def retinanet(lr):
    return compat.mmengine.build_param_schedulers(lr, [
        {"type": "LinearLR", "start_factor": 0.001, "by_epoch": False, "begin": 0, "end": 500},
        {"type": "MultiStepLR", "begin": 0, "end": 12, "milestones": [8, 11], "gamma": 0.1},
    ], epoch_length=100, max_epochs=12)  # fmt: skip


DETECTOR = compat.detectron2.build_lr_scheduler({"BASE_LR": 0.02, "STEPS": (60_000, 80_000), "MAX_ITER": 90_000})
AXOLOTL = compat.transformers.get_cosine_with_min_lr_schedule_with_warmup(2e-4, 10, 400, min_lr_rate=0.1)
# File, format, what the file does not tell; then the schedules, the rule, the updates of the run.
READ = {
    "sft.yaml": ("transformers", EPOCHS, {"lr": hf("cosine", 2e-5, 30, 300)}, adamw(0.9, 0.999, 0.0), 300),
    "dpo.json": ("transformers", None, {"lr": hf("cosine_with_min_lr", 5e-7, 40, 400, min_lr_rate=0.1)},
                 rules.ClipByGlobalNorm(0.5, eps=1e-6) >> compat.torch.RMSprop(), 400),
    "finetune.sh": ("transformers", EPOCHS, {"lr": hf("constant_with_warmup", 2e-4, 6, 200)},
                    adamw(0.9, 0.999, 0.0), 200),
    "ppo.yaml": ("transformers", None, {"lr": hf("polynomial", 1e-6, 50, 1000, power=2.0)},
                 rules.ClipByGlobalNorm(0.2, eps=1e-6) >> rules.Adam(), 1000),
    "zero3.json": ("deepspeed", STEPS, {"lr": compat.deepspeed.WarmupDecayLR(5000, 0.0, 1e-4, 100, "linear")},
                   adamw(0.9, 0.95, 0.1), 5000),
    "lora-axolotl.yml": ("axolotl", EPOCHS, {"lr": AXOLOTL, "lr[heads]": AXOLOTL * (2e-5 / 2e-4)},
                         adamw(0.9, 0.999, 0.01), 400),
    "lora-llamafactory.yaml": ("llamafactory", EPOCHS, {
        "lr": hf("cosine", 1e-4, 30, 300), "lr[lora_B]": hf("cosine", 1e-4, 30, 300) * 16.0,
        "lr[lora_embedding_B]": hf("cosine", 1e-4, 30, 300) * (1e-6 / 1e-4)}, adamw(0.9, 0.999, 0.0), 300),
    "llama.toml": ("torchtitan", None, {"lr": compat.torchtitan.LRSchedulersContainer(
        3e-4, 1000, 200, decay_ratio=0.8, decay_type="cosine", min_lr_factor=0.1)}, adamw(0.9, 0.95, 0.1), 1000),
    "conformer-nemo.yaml": ("nemo", EPOCHS, {"lr": compat.nemo.NoamAnnealing(
        2.0, d_model=256, warmup_steps=10_000, min_lr=1e-6, max_steps=50_000)},
        compat.torch.AdamW(betas=(0.9, 0.98), weight_decay=1e-3), 50_000),
    "gpt-megatron.sh": ("megatron", None, {"lr": Linear(0.0, 6e-5, 430) >> Cosine(6e-5, 6e-6, 429_570)},
                        adamw(0.9, 0.95, 0.1), 500_000),
    "wsd-megatron.sh": ("megatron", None, {
        "lr": wsd_megatron(3e-4), "lr[embedding and output]": wsd_megatron(1e-3), "batch_size": RAMP,
        "weight_decay": Consumed(Linear(0.033, 0.1, 2_000_000), RAMP)}, adamw(0.9, 0.999, 0.01), 2000),
    "pythia-neox.yml": ("gpt_neox", None, {"lr": compat.gpt_neox.AnnealingLR(
        6e-4, 1430, 143_000, "cosine", min_lr=6e-5)}, adamw(0.9, 0.95, 0.1), 143_000),
    "olmo.yaml": ("olmo", None, {"lr": compat.olmo_core.CosWithWarmup(
        4e-4, 3 * 10**12, warmup=8_388_608_000, warmup_min_lr=4e-5, units="tokens", tokens_per_step=2**22)},
        adamw(0.9, 0.95, 0.1, eps=1e-5), 476_838),  # 2e12 / 2**22 = 476837.2, rounded up
    "olmo-core.json": ("olmo_core", None, {"lr": compat.olmo_core.CosWithWarmup(3e-4, 23_842, warmup=2000)},
                       adamw(0.9, 0.95, 0.1), 23_842),
    "mpt.yaml": ("llmfoundry", None, {"lr": compat.composer.CosineAnnealingWithWarmupScheduler(
        6e-4, "100ba", alpha_f=0.1, max_duration="4800ba")}, adamw(0.9, 0.95, 0.1), 4800),
    "tiny-nanotron.yaml": ("nanotron", None, {
        "lr": Linear(0.0, 3e-4, 10) >> Linear(3e-4, 3e-4, 70) >> Linear(3e-4, 1e-5, 20)},
        adamw(0.9, 0.95, 0.01), 100),
    "mask-rcnn.yaml": ("detectron2", None, {"lr": DETECTOR, "lr[bias]": DETECTOR * 2.0},
                       rules.ClipByNorm(0.5, eps=1e-6) >> compat.torch.SGD(momentum=0.9, weight_decay=1e-4), 90_000),
    "retinanet.py": ("mmengine", EPOCHS, {
        "lr": retinanet(0.01), "lr[backbone]": retinanet(0.01 * 0.1),
        "momentum": Hold(Cosine(0.9, 0.85, 1200), 1200)},
        rules.ClipByGlobalNorm(35.0, eps=1e-6) >> compat.torch.SGD(momentum=0.9, weight_decay=1e-4), 1200),
    "diffusion.yaml": ("diffusers", None, {"lr": compat.diffusers.get_scheduler(
        "cosine", 1e-4, num_warmup_steps=500, num_training_steps=15_000)}, adamw(0.9, 0.999, 0.01), 15_000),
    "vit-timm.yaml": ("timm", EPOCHS, {"lr": Epochs(compat.timm.CosineLRScheduler(
        1e-3, 300, lr_min=1e-5, warmup_t=20, warmup_lr_init=1e-6), 100)},
        CLIP >> compat.torch.AdamW(weight_decay=0.05), 31_000),
    "wav2vec.yaml": ("fairseq", None, {"lr": compat.fairseq.tri_stage(
        5e-4, phase_ratio=(0.1, 0.4, 0.5), final_lr_scale=0.05, max_update=400_000)}, None, 400_000),
    "translation.sh": ("fairseq", None, {"lr": compat.fairseq.inverse_sqrt(5e-4, 4000, 1e-7)}, None, 300_000),
}  # fmt: skip


# What is refused, and the sentence.
REFUSED = {
    "old-detector.py": "lr_config must be written as param_scheduler of MMEngine",
    "kohya.toml": "must be in a known format",
    "rex-axolotl.yml": "line 6: lr_scheduler must be one of those of transformers",
    "old-titan.toml": "warmup_steps.*it belongs in lr_scheduler since 2025-03-10",
    "grpo.yaml": "learning_rate must be given: the trainers of TRL have defaults of their own",
    "bert-deepspeed.json": "line 6: scheduler.params.warmup_num_steps must be written out: 'auto'",
    "plateau-fairseq.sh": "line 2: lr_scheduler: reduce_lr_on_plateau listens to the validation loss",
    "child-detectron2.yaml": "_BASE_",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_read_rightly_is_refused_by_name(name):
    with pytest.raises((TypeError, ValueError), match=REFUSED[name]) as error:
        read_config(FILES / name, budget=STEPS)
    assert str(error.value).startswith(name)


def test_every_file_has_an_expectation():
    assert {path.name for path in FILES.iterdir()} == {*READ, *REFUSED}
    assert len(READ) >= 20


@pytest.mark.parametrize("name", READ)
def test_a_published_file_is_read_rightly(name):
    form, budget, schedules, rule, steps = READ[name]
    found = read_config(FILES / name, budget=budget)
    assert (found.format, found.optimizer, found.budget.steps) == (form, rule, steps)
    assert found.schedules.keys() == schedules.keys()
    t = np.unique(np.linspace(0, steps - 1, 2000).astype(int))
    for what, schedule in schedules.items():
        np.testing.assert_allclose(found.schedules[what](t), schedule(t), rtol=1e-12, err_msg=what)
        assert from_config(to_config(found.schedules[what])) == found.schedules[what]


@pytest.mark.parametrize("name", [name for name, item in READ.items() if item[1] is not None])
def test_what_a_published_file_does_not_tell_is_asked_for(name):
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: Budget\(steps(_per_epoch)?=...\)"):
        read_config(FILES / name)


@pytest.mark.parametrize("name", READ)
def test_an_explanation_names_the_lines_of_the_file(name):
    found = read_config(FILES / name, budget=READ[name][1])
    lines = (FILES / name).read_text().splitlines()
    told = [note for note in (*found.notes, *found.unused) if note.line is not None]
    assert told
    for note in told:
        key = re.sub(r"\[\d+\]", "", note.key).rpartition(".")[2]
        assert key.replace("_", "-") in lines[note.line - 1].replace("_", "-"), note
    assert found.explain().startswith(f"{name}: ")


# OLMo's own function, at 59a53e3 (2025-09-04), for what its trainer counts when it makes update t.
def olmo(t, lr, warmup, end, alpha, first):
    step = t + 1
    if step < warmup:
        return first + (lr - first) * step / warmup
    if step >= end:
        return lr * alpha
    part = (step - warmup) / (end - warmup)
    return lr * alpha + (lr - lr * alpha) * (1 + math.cos(math.pi * part)) / 2


def test_the_rates_of_olmo_are_those_of_its_function():
    config = {
        "optimizer": {"learning_rate": 1e-3}, "max_duration": "1e6T", "global_train_batch_size": 100,
        "scheduler": {"name": "cosine_with_warmup", "t_warmup": 5, "alpha_f": 0.2},
        "model": {"max_sequence_length": 100},
    }  # fmt: skip
    s = read_config(config).schedules["lr"]
    np.testing.assert_allclose(s(np.arange(120)), [olmo(t, 1e-3, 5, 100, 0.2, 1e-4) for t in range(120)], rtol=1e-12)
