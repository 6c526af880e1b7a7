"""Schedules and runs that `lint` is tried on: what does not fit, and what trainers recommend."""

import lrsched as ls
from lrsched import compat

EPOCH = {"unit": "epoch"}
WSD = "Warmup(500) >> Constant(3e-4, steps=8000) >> Cooldown(1500)"
HF = "Warmup(500) >> Cosine(3e-4, 0, steps=9500)"

# For each code: a schedule and a run of which it is said, its severity and words; then a schedule and a run close by of
# which it is not.
CASES = {
    # cycles of 10: update 94 is number 4 of its cycle
    "cut-cycle": (
        "Repeat(Cosine(1, 0, steps=10))",
        {"steps": 95},
        "warning",
        "in step 4 of 10 of a cycle",
        "Repeat(Cosine(1, 0, steps=10))",
        {"steps": 100},
    ),
    # 0.95 ** 999 = exp(-51.2) = 5.7e-23
    "decays-per-update": (
        "Exponential(0.1, 0.95)",
        {"steps": 1000},
        "warning",
        "6e-23 of the first",
        "Exponential(0.1, 0.9995)",
        {"steps": 1000},
    ),
    "default-peak": (
        repr(compat.deepspeed.WarmupDecayLR(5000)),
        {"lr": 3e-4},
        "warning",
        "overrides the optimizer's 3e-4",
        repr(compat.deepspeed.WarmupDecayLR(5000)),
        {"lr": 1e-3},
    ),
    # (1 + cos(pi * 4499 / 9500)) / 2 = 0.5415...
    "ends-after-training": (
        HF,
        {"steps": 5000},
        "warning",
        "1.62e-4, 54% of the highest rate: the curve goes on to step",
        HF,
        {"steps": 10_000},
    ),
    "ends-before-training": (
        HF,
        {"steps": 12_000},
        "warning",
        "the last 2000 of 12000 updates all have the rate 0",
        HF,
        {"steps": 10_001},
    ),
    "first-epoch-zero": (
        "Warmup(5) >> Cosine(0.1, 0, steps=85)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
        "error",
        "500 updates are lost; epoch 1 is the first that moves, with 0.02",
        "Warmup(5, start=0.01) >> Cosine(0.1, 0, steps=85)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
    ),
    "first-update-zero": (HF, {}, "info", "update 1 is the first that moves, with 6e-7", f"Shift({HF}, steps=1)", {}),
    "float32-cannot-count": (
        "Cosine(3e-4, 0, steps=16_777_217)",
        {},
        "info",
        "a length of 16777217 steps",
        "Cosine(3e-4, 0, steps=16_777_216)",
        {},
    ),
    "from-nothing-to-nothing": (
        "Warmup(10) >> Warmup(5) >> Cosine(3e-4, 0, steps=985)",
        {"steps": 1000},
        "error",
        "10 updates from step 0 on have the rate 0",
        "Warmup(10) >> Warmup(5, start=1e-4) >> Cosine(3e-4, 0, steps=985)",
        {"steps": 1000},
    ),
    "jump-after-warmup": (
        "Linear(0, 0.1, steps=100) >> Cosine(0.3, 0, steps=900)",
        {},
        "warning",
        "from 0.099 to 0.3 at step 100",
        "Linear(0, 0.3, steps=100) >> Cosine(0.3, 0, steps=900)",
        {},
    ),
    "jump-at-joint": (
        "Constant(0.1, steps=100) >> Cosine(0.03, 0, steps=900)",
        {},
        "warning",
        "from 0.1 to 0.03 at step 100",
        "Constant(0.1, steps=100) >> Constant(0.03, steps=900)",
        {},
    ),
    "last-update-zero": (
        "Cosine(0.1, 0, steps=89)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
        "warning",
        "epoch 89, the last, has the rate 0: 500 updates are lost",
        "Cosine(0.1, 0, steps=90)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
    ),
    "last-value-missed": (
        "multi_step(0.1, 0.1, [30, 60])",
        {"steps": 60},
        "warning",
        "update 59, the last, has 0.01; 1e-3 is reached at step 60",
        "multi_step(0.1, 0.1, [30, 60])",
        {"steps": 61},
    ),
    "length-looks-like-epochs": (
        "Cosine(0.1, 0, steps=90)",
        {"steps": 45_000, "steps_per_epoch": 500},
        "error",
        "a length of 90 counts updates, and the training has 45000 of them, 500 times as many",
        "Cosine(0.1, 0, steps=45_000)",
        {"steps": 45_000, "steps_per_epoch": 500},
    ),
    "length-looks-like-updates": (
        "Cosine(0.1, 0, steps=45_000)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
        "error",
        "a length of 45000 counts epochs, and the training has 90 of them, of 500 updates each",
        "Cosine(0.1, 0, steps=90)",
        {**EPOCH, "steps": 90, "steps_per_epoch": 500},
    ),
    "looks-like-factor": (
        "Cosine(1, 0, steps=100)",
        {"lr": 1e-3},
        "error",
        "as a rate it is 1000 times as high",
        "Cosine(1, 0, steps=100)",
        {"lr": 1.0},
    ),
    # what LambdaLR makes of a schedule that is a rate: 0.1 * 3e-4
    "looks-like-rate": (
        "0.1 * Cosine(3e-4, 0, steps=100)",
        {"lr": 0.1},
        "warning",
        "the rate 0.1 is multiplied with what is 3e-4 at most, which looks like a rate: it gives 3e-5 at most",
        "0.1 * Cosine(1, 0.01, steps=100)",
        {"lr": 0.1},
    ),
    "negative-rate": (
        "Extend(Linear(0.1, 0, steps=100))",
        {"steps": 151},
        "error",
        "-0.05 at step 150",
        "Extend(Linear(0.1, 0, steps=100))",
        {"steps": 101},
    ),
    "never-above-zero": (
        "Constant(0)",
        {"steps": 100},
        "error",
        "none of the 100 updates",
        "Constant(1e-3)",
        {"steps": 100},
    ),
    "never-changes": (
        "Constant(0.1, steps=5) >> Constant(0.1)",
        {"steps": 10},
        "info",
        "updates 0 to 9 all have 0.1",
        "Constant(0.1, steps=5) >> Constant(0.01)",
        {"steps": 10},
    ),
    "never-falls": (
        "Warmup(500) >> Constant(3e-4)",
        {"steps": 10_000},
        "info",
        "none of the 9500 updates",
        WSD,
        {"steps": 10_000},
    ),
    "peak-differs": (
        HF,
        {"lr": 1e-3},
        "warning",
        "the highest rate is 3e-4, at update 500; the optimizer's own is 1e-3",
        HF,
        {"lr": 3e-4},
    ),
    "rate-above-one": ("Cosine(1000, 0, steps=100)", {}, "warning", "1000, at update 0", "Cosine(1, 0, steps=100)", {}),
    "rate-tiny": ("Cosine(3e-9, 0, steps=100)", {}, "warning", "is 3e-9", "Cosine(3e-8, 0, steps=100)", {}),
    # 21 of 2000 are 1.05 %
    "rate-zero": (
        "Constant(0, steps=21) >> Cosine(0.1, 0, steps=1979)",
        {"steps": 2000},
        "warning",
        "21 of 2000 updates, 1.05 %, have the rate 0",
        "Constant(0, steps=20) >> Cosine(0.1, 0, steps=1980)",
        {"steps": 2000},
    ),
    "rises-after-end": (
        repr(compat.torch.CosineAnnealingLR(0.1, 100)),
        {"steps": 150},
        "warning",
        "after step 100: 0.0484",
        repr(compat.torch.CosineAnnealingLR(0.1, 100)),
        {"steps": 101},
    ),
    "warmup-longer-than-training": (
        HF,
        {"steps": 400},
        "error",
        "takes 500 steps and the training has 400 updates",
        HF,
        {"steps": 1200},
    ),
    "warmup-more-than-half": (
        "Warmup(60) >> Cosine(0.1, 0, steps=40)",
        {"steps": 100},
        "warning",
        "60 of 100 updates, 60 %",
        "Warmup(50) >> Cosine(0.1, 0, steps=50)",
        {"steps": 100},
    ),
}

# What trainers recommend, or what their documentation trains with, and for how long.
DEFAULTS = {
    "transformers, linear, the Trainer's default": (
        compat.transformers.get_scheduler("linear", lr=5e-5, num_warmup_steps=0, num_training_steps=3 * 3668),
        {"steps": 3 * 3668, "lr": 5e-5},
    ),
    "transformers, cosine": (
        compat.transformers.get_scheduler("cosine", lr=5e-5, num_warmup_steps=500, num_training_steps=10_000),
        {"steps": 10_000, "lr": 5e-5},
    ),
    "transformers, constant with warm-up": (
        compat.transformers.get_scheduler("constant_with_warmup", lr=2e-5, num_warmup_steps=100),
        {"steps": 5000},
    ),
    "transformers, inverse_sqrt": (
        compat.transformers.get_scheduler("inverse_sqrt", lr=1e-3, num_warmup_steps=4000),
        {"steps": 100_000},
    ),
    "transformers, warmup_stable_decay": (
        compat.transformers.get_wsd_schedule(3e-4, num_warmup_steps=500, num_stable_steps=8000, num_decay_steps=1500),
        {"steps": 10_000},
    ),
    "diffusers, text_to_image": (
        compat.diffusers.get_scheduler("constant", lr=1e-4, num_warmup_steps=500),
        {"steps": 15_000},
    ),
    "timm, train.py": (
        compat.timm.CosineLRScheduler(0.1, t_initial=300, lr_min=0.0, warmup_t=5, warmup_lr_init=1e-5),
        {"steps": 300, "unit": "epoch", "steps_per_epoch": 1251},
    ),
    "torchvision references, resnet": (
        compat.torch.StepLR(0.1, 30, 0.1),
        {"steps": 90, "unit": "epoch", "steps_per_epoch": 5005},
    ),
    "torch, CosineAnnealingLR": (
        compat.torch.CosineAnnealingLR(0.1, 200),
        {"steps": 200, "unit": "epoch", "steps_per_epoch": 391},
    ),
    "torch, OneCycleLR": (compat.torch.OneCycleLR(max_lr=0.01, total_steps=10_000), {"steps": 10_000, "lr": 0.01}),
    "torch, CyclicLR": (compat.torch.CyclicLR(1e-4, 1e-3, 2000), {"steps": 8000}),
    "torch, CosineAnnealingWarmRestarts": (compat.torch.CosineAnnealingWarmRestarts(0.1, 10, 2), {"steps": 150}),
    "torchtitan, llama3 8b": (
        compat.torchtitan.LRSchedulersContainer(3e-4, 1000, warmup_steps=200),
        {"steps": 1000, "lr": 3e-4},
    ),
    "megatron, gpt3 175b": (  # 430,000 of 500,000 iterations of 1536 samples
        compat.megatron.OptimizerParamScheduler(
            max_lr=6e-5, min_lr=6e-6, lr_warmup_steps=430 * 1536, lr_decay_steps=430_000 * 1536, lr_decay_style="cosine"
        ),
        {"steps": 500_000 * 1536},
    ),
    "gpt-neox, 20b": (
        compat.gpt_neox.AnnealingLR(0.97e-4, 1500, 150_000, "cosine", min_lr=0.97e-5),
        {"steps": 150_000},
    ),
    "nanotron, tiny llama": (
        compat.nanotron.lr_scheduler_builder(3e-4, 15_000, 100, lr_decay_style="cosine", min_decay_lr=3e-5),
        {"steps": 15_000},
    ),
    "llm-foundry, mpt 7b": (
        compat.composer.CosineAnnealingWithWarmupScheduler(
            3e-4, t_warmup="100ba", t_max="1dur", alpha_f=0.1, max_duration="63900ba"
        ),
        {"steps": 63_900, "lr": 3e-4},
    ),
    "OLMo, 7b": (compat.olmo_core.CosWithWarmup(3e-4, t_max=477_000, warmup=2000), {"steps": 477_000}),
    "fastai, fit_one_cycle": (compat.fastai.fit_one_cycle(1e-3, steps=10_000), {"steps": 10_000}),
    "fastai, fit_flat_cos": (compat.fastai.fit_flat_cos(1e-3, steps=10_000), {"steps": 10_000}),
    "Keras, CosineDecay": (compat.keras.CosineDecay(0.0, 1000, warmup_target=0.1, warmup_steps=1000), {"steps": 2000}),
    "Keras, ExponentialDecay": (compat.keras.ExponentialDecay(1e-2, 10_000, 0.9), {"steps": 50_000}),
    "Keras, PolynomialDecay": (compat.keras.PolynomialDecay(0.1, 10_000, 0.01, 0.5), {"steps": 10_000}),
    "Keras, PiecewiseConstantDecay": (
        compat.keras.PiecewiseConstantDecay([100_000, 110_000], [1.0, 0.5, 0.1]),
        {"steps": 150_000},
    ),
    "Optax, warmup_cosine_decay_schedule": (
        compat.optax.warmup_cosine_decay_schedule(0.0, 1e-3, 1000, 100_000, 1e-5),
        {"steps": 100_000},
    ),
    "Optax, cosine_onecycle_schedule": (compat.optax.cosine_onecycle_schedule(10_000, 1e-3), {"steps": 10_000}),
    "DeepSpeed, WarmupLR": (compat.deepspeed.WarmupLR(0.0, 1e-3, 1000), {"steps": 10_000, "lr": 1e-3}),
    "DeepSpeed, WarmupDecayLR": (
        compat.deepspeed.WarmupDecayLR(10_000, warmup_max_lr=3e-4, warmup_num_steps=1000),
        {"steps": 10_000},
    ),
    "DeepSpeed, LRRangeTest": (compat.deepspeed.LRRangeTest(1e-3, 200, 5.0, True), {"steps": 1000}),
    "detectron2, 1x": (
        compat.detectron2.WarmupMultiStepLR(0.02, [60_000, 80_000], warmup_iters=1000),
        {"steps": 90_000, "lr": 0.02},
    ),
    "t5x, pretraining": (
        compat.t5x.create_learning_rate_scheduler("constant * rsqrt_decay", 1.0, warmup_steps=10_000),
        {"steps": 524_288},
    ),
    "levanter, gpt2": (compat.levanter.lr_scheduler(100_000, 6e-4, min_lr_ratio=0.1, warmup=0.01), {"steps": 100_000}),
    "big_vision, vit": (
        compat.big_vision.create_learning_rate_schedule(93_000, base=1e-3, decay_type="cosine", warmup_steps=10_000),
        {"steps": 93_000},
    ),
    "Attention is all you need": (ls.noam(512, 4000), {"steps": 100_000}),
    "SGDR": (ls.sgdr(0.05, 10, stretch=2), {"steps": 150, "unit": "epoch"}),
    "MiniCPM": (ls.wsd(0.01, 10_000, 500, 1000), {"steps": 10_000}),
    "super-convergence": (ls.one_cycle(0.4, 10_000, 4500), {"steps": 10_000}),
    "range test": (ls.range_test(1e-7, 1.0, 1000), {"steps": 1000}),
}
