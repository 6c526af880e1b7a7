"""What the arguments of other libraries' functions mean, as data: where `remarks` looks.

Only names stand here. What a library does with them (whether a length holds the warm-up, what the first update uses,
what comes after the end) is read off the evaluated curve.
"""

from dataclasses import dataclass, replace

from lrsched._lint.codes import LINT, Meaning

_SHARED = (
    "cut-cycle",
    "decays-per-update",
    "default-peak",
    "ends-after-training",
    "ends-before-training",
    "first-update-zero",
    "jump-after-warmup",
    "length-looks-like-epochs",
    "length-looks-like-updates",
)
CODES: dict[str, Meaning] = {
    "boundary-early": Meaning("info", "The new rate begins one step before the boundary."),
    "boundary-late": Meaning("info", "The new rate begins one step after the boundary."),
    "counts-batches": Meaning("info", "Where gradients are accumulated one step is a batch, not an update."),
    "default-floor": Meaning("info", "The last rate is above 0 by a default."),
    "default-length": Meaning("info", "A length is that of a default."),
    "end-above-rate": Meaning("warning", "The last rate is above the highest that was asked for."),
    "end-at-last-update": Meaning(
        "info", "The last rate is reached one step before the length: the denominator is T - 1."
    ),
    "end-ignored": Meaning("warning", "The last rate has no effect on this scheduler."),
    "ends-early": Meaning("info", "The curve has ended before its own length."),
    "ends-one-late": Meaning("info", "The last rate is reached one step after the length."),
    "first-rate-twice": Meaning("info", "The first two updates have the same rate."),
    "first-update-high": Meaning("info", "The first update has a higher rate than the warm-up's first."),
    "integer-rate": Meaning("error", "A rate without a dot makes Keras compute in integers."),
    "last-epoch": Meaning(
        "info", "Where training stands is no part of a schedule, and torch's argument means two things."
    ),
    "length-excludes-warmup": Meaning("info", "The length does not hold the warm-up."),
    "length-includes-warmup": Meaning("info", "The length holds the warm-up."),
    "library-changed": Meaning("info", "An earlier version of the library gives another curve."),
    "milestones-repeated": Meaning("warning", "A repeated milestone counts again."),
    "milestones-unsorted": Meaning("warning", "Milestones are not in order."),
    "negative-after-end": Meaning("info", "The rate falls below 0 after the end."),
    "momentum-left-out": Meaning("info", "The library moves the momentum too, and this schedule is the rate alone."),
    "nearly-flat": Meaning("info", "The decay takes much longer than the training."),
    "one-cycle-divisors": Meaning("info", "The divisors of the one-cycle policy mean another last rate elsewhere."),
    "other-curve": Meaning(
        "warning", "The same numbers give another curve in the function that they were written for."
    ),
    "other-groups": Meaning("info", "Some parameters have another rate."),
    "part-looks-like-rate": Meaning("warning", "A last rate that is a part of the highest looks like a rate."),
    "peak-not-reached": Meaning("info", "The highest rate that was asked for is never used."),
    "raises-after-end": Meaning("info", "The library raises after the end, where the schedule here holds."),
    "rescaled-by-trainer": Meaning("info", "The trainer scales the schedule to the number of workers."),
    "restart-missed": Meaning("info", "The library's logarithm puts the first step of a cycle into the one before."),
    "restarts-after-end": Meaning("info", "The curve begins anew after its end."),
    "returns-to-base": Meaning("info", "After its length the factor is taken back."),
    "scales-look-like-rates": Meaning("warning", "Factors at boundaries multiply, and look like rates."),
    "start-is-a-part": Meaning("info", "The warm-up begins at a part of the rate, by default."),
    "unit-is-epochs": Meaning("info", "One step is an epoch."),
    "unit-is-samples": Meaning("info", "One step is a sample."),
    "warmup-cut-off": Meaning("error", "The warm-up is as long as the whole length, or longer."),
    "warmup-ignored": Meaning("error", "The warm-up has no effect."),
    "warmup-index": Meaning("info", "The top is reached one update away from the warm-up's length."),
    "warmup-is-a-ratio": Meaning("error", "A number of steps looks like a ratio."),
    "whole-wave": Meaning("warning", "The curve ends as high as it began."),
    "without-steps": Meaning("warning", "A transition without steps stays at its first value."),
    # Said by `lint` too, in the same words. Where nothing is said of the training, a curve that would rise is none.
    **{code: LINT[code] for code in _SHARED},
    "rises-after-end": LINT["rises-after-end"]._replace(severity="info"),
}


# Libraries that move a schedule with every batch, and what makes an update of n of them; all others move it with every
# update, or leave that to the user.
BATCHES: dict[str, str] = {
    "fastai": "GradientAccumulation(n_acc=n * batch size)",
    "ignite": "create_supervised_trainer(gradient_accumulation_steps=n)",
    "keras": "gradient_accumulation_steps=n of the optimizer",
    "mmengine": "OptimWrapper(accumulative_counts=n)",
    "paddle": "Model.fit(accumulate_grad_batches=n)",
}
# Where these make an update of the batches that are left; the others let it go on.
LEFT: dict[str, str] = {"mmengine": "the training", "paddle": "each epoch"}


@dataclass(frozen=True)
class Convention:
    """The arguments of one function, by their meaning.

    Args:
        length: name of the argument with the length.
        warmup: name of the argument with the warm-up's length.
        rate: name of the argument with the highest rate.
        end: name of the argument with the last rate.
        part: name of the argument with the last rate as a part of the highest.
        bounds: name of the argument with the boundaries of a staircase.
        kind: "fall" ends low, "cycle" begins anew on purpose, "one-cycle", "factor" of every step, "slow" has a time
            scale, "open" is any other.
        unit: what one step is: "update", "epoch" or "sample".
        raises: whether the library raises after the end.
    """

    length: str = ""
    warmup: str = ""
    rate: str = "lr"
    end: str = ""
    part: str = ""
    bounds: str = ""
    kind: str = "fall"
    unit: str = "update"
    raises: bool = False


C = Convention
_HF = C("num_training_steps", "num_warmup_steps")
_HF_OPEN = C(warmup="num_warmup_steps", kind="open")
_OLMO = C("t_max", "warmup", part="alpha_f")
_NEMO = C("max_steps", "warmup_steps", end="min_lr")
_COMPOSER = C("t_max", part="alpha_f")
_COMPOSER_WARM = C("t_max", "t_warmup", part="alpha_f")
_TIMM = C("t_initial", "warmup_t", end="lr_min", unit="epoch")
_LATE = C("t_max", "warmup_steps", "max_lr", end="min_lr")
_LEARNING = C(rate="learning_rate")
_ALLENNLP = C("num_training_steps", "num_warmup_steps", unit="epoch")
_DOLOMITE = C("num_training_steps", "num_warmup_steps", part="lr_decay_factor")
_MM = C(kind="open", unit="epoch")

_TRANSFORMERS = {
    "get_constant_schedule_with_warmup": _HF_OPEN,
    "get_cosine_schedule_with_warmup": _HF,
    "get_cosine_with_hard_restarts_schedule_with_warmup": _HF,
    "get_linear_schedule_with_warmup": _HF,
    "get_polynomial_decay_schedule_with_warmup": replace(_HF, end="lr_end"),
}

CONVENTIONS: dict[str, dict[str, Convention]] = {
    "allennlp": {
        "constant_with_warmup": C(warmup="num_warmup_steps", kind="open", unit="epoch"),
        "cosine": C("t_initial", end="eta_min", kind="cycle", unit="epoch"),
        "cosine_hard_restarts_with_warmup": replace(_ALLENNLP, kind="cycle"),
        "cosine_with_warmup": _ALLENNLP,
        "exponential": C(kind="factor", unit="epoch"),
        "linear_with_warmup": C("num_epochs", "warmup_steps", kind="open"),
        "multi_step": C(bounds="milestones", kind="open", unit="epoch"),
        "noam": C(warmup="warmup_steps", kind="slow"),
        "step": C("step_size", kind="open", unit="epoch"),
    },
    "big_vision": {"create_learning_rate_schedule": C("total_steps", "warmup_steps", "base")},
    "composer": {
        "ConstantScheduler": C("t_max", kind="open"),
        "CosineAnnealingScheduler": _COMPOSER,
        "CosineAnnealingWarmRestartsScheduler": C("t_0", part="alpha_f", kind="cycle"),
        "CosineAnnealingWithWarmupScheduler": _COMPOSER_WARM,
        "ExponentialScheduler": C(kind="open"),
        "LinearScheduler": _COMPOSER,
        "LinearWithWarmupScheduler": _COMPOSER_WARM,
        "PolynomialScheduler": _COMPOSER,
        "PolynomialWithWarmupScheduler": _COMPOSER_WARM,
    },
    "deepspeed": {
        "LRRangeTest": C("lr_range_test_step_size", rate="", kind="open"),
        "OneCycle": C("cycle_first_step_size", rate="cycle_max_lr", kind="open"),
        "WarmupCosineLR": C("total_num_steps", "warmup_num_steps", part="cos_min_ratio"),
        "WarmupDecayLR": C("total_num_steps", "warmup_num_steps", "warmup_max_lr", end="warmup_min_lr"),
        "WarmupLR": C(warmup="warmup_num_steps", rate="warmup_max_lr", kind="open"),
    },
    "detectron2": {
        "WarmupCosineLR": C("max_iters", "warmup_iters"),
        "WarmupMultiStepLR": C(warmup="warmup_iters", bounds="milestones", kind="open"),
    },
    "diffusers": _TRANSFORMERS,
    "fairseq": {
        "cosine": C("lr_period_updates", "warmup_updates", end="min_lr", kind="cycle"),
        "inverse_sqrt": C(warmup="warmup_updates", kind="slow"),
        "polynomial_decay": C("total_num_update", "warmup_updates", end="end_learning_rate"),
        "step": C("lr_deacy_period", "warmup_updates", kind="open"),
        "tri_stage": C(warmup="warmup_steps", kind="open"),
        "triangular": C("lr_period_updates", rate="max_lr", kind="cycle"),
    },
    "fastai": {
        "fit_flat_cos": C("steps", kind="open"),
        "fit_one_cycle": C("steps", rate="lr_max", kind="one-cycle"),
    },
    "fvcore": {
        "CosineParamScheduler": C("max_iter", rate="start_value", end="end_value", raises=True),
        "PolynomialDecayParamScheduler": C("max_iter", rate="base_value"),
    },
    "gpt_neox": {"AnnealingLR": C("total_iters", "warmup_iter", "start_lr", end="min_lr")},
    "hyperbolic_lr": {"HyperbolicLR": C("max_iter", "warmup_epochs", unit="epoch", raises=True)},
    "ignite": {
        "CosineAnnealingScheduler": C("cycle_size", rate="start_value", end="end_value"),
        "LinearCyclicalScheduler": C("cycle_size", rate="", kind="cycle"),
        "create_lr_scheduler_with_warmup": C(warmup="warmup_duration", rate="", kind="open"),
    },
    "keras": {
        "CosineDecay": C("decay_steps", "warmup_steps", "warmup_target", part="alpha"),
        "CosineDecayRestarts": C("first_decay_steps", rate="initial_learning_rate", part="alpha", kind="cycle"),
        "PiecewiseConstantDecay": C(rate="", bounds="boundaries", kind="open"),
        "PolynomialDecay": C("decay_steps", rate="initial_learning_rate", end="end_learning_rate"),
    },
    "levanter": {"lr_scheduler": C("num_train_steps", "warmup", "learning_rate", part="min_lr_ratio")},
    "llmfoundry": {"InverseSquareRootWithWarmupScheduler": C("t_max", "t_warmup")},
    "maxtext": {"create_learning_rate_schedule": C("steps", rate="learning_rate", part="learning_rate_final_fraction")},
    "megatron": {
        "OptimizerParamScheduler": C("lr_decay_steps", "lr_warmup_steps", "max_lr", end="min_lr", unit="sample")
    },
    "mlx": {
        "cosine_decay": C("decay_steps", rate="init", end="end"),
        "exponential_decay": C(rate="init", kind="factor"),
        "linear_schedule": C("steps", rate="", end="end", kind="open"),
    },
    "mmengine": {
        "CosineAnnealingLR": replace(_MM, length="T_max", end="eta_min", kind="fall"),
        "CosineRestartLR": replace(_MM, end="eta_min", kind="cycle"),
        "ExponentialLR": replace(_MM, kind="factor"),
        "LinearLR": replace(_MM, length="end"),
        "MultiStepLR": replace(_MM, bounds="milestones"),
        "OneCycleLR": C("total_steps", rate="eta_max", kind="one-cycle", unit="epoch", raises=True),
        "PolyLR": replace(_MM, length="end", end="eta_min", kind="fall"),
        "StepLR": replace(_MM, length="step_size"),
    },
    "nanotron": {
        "lr_scheduler_builder": C("total_training_steps", "lr_warmup_steps", "learning_rate", end="min_decay_lr")
    },
    "nemo": {
        "CosineAnnealing": _NEMO,
        "InverseSquareRootAnnealing": replace(_NEMO, kind="slow"),
        "NoamAnnealing": C("", "warmup_steps", end="min_lr", kind="slow"),
        "PolynomialDecayAnnealing": _NEMO,
        "SquareAnnealing": _NEMO,
        "SquareRootAnnealing": _NEMO,
        "WarmupAnnealing": _NEMO,
        "WarmupPolicy": C(warmup="warmup_steps", kind="open"),
    },
    "olmo_core": {
        "ConstantWithWarmup": C(warmup="warmup", kind="open"),
        "CosWithWarmup": _OLMO,
        "HalfCosWithWarmup": _OLMO,
        "InvSqrtWithWarmup": replace(_OLMO, kind="slow"),
        "LinearWithWarmup": _OLMO,
        "WSD": C("t_max", "warmup", end="decay_min_lr"),
    },
    "optax": {
        "cosine_decay_schedule": C("decay_steps", rate="init_value", part="alpha"),
        "cosine_onecycle_schedule": C("transition_steps", rate="peak_value", kind="one-cycle"),
        "exponential_decay": C("transition_steps", rate="init_value", kind="open"),
        "linear_onecycle_schedule": C("transition_steps", rate="peak_value", kind="one-cycle"),
        "linear_schedule": C("transition_steps", rate="", end="end_value", kind="open"),
        "piecewise_constant_schedule": C(rate="", bounds="boundaries_and_scales", kind="open"),
        "piecewise_interpolate_schedule": C(rate="", bounds="boundaries_and_scales", kind="open"),
        "polynomial_schedule": C("transition_steps", rate="", end="end_value", kind="open"),
        "warmup_constant_schedule": C(warmup="warmup_steps", rate="peak_value", kind="open"),
        "warmup_cosine_decay_schedule": C("decay_steps", "warmup_steps", "peak_value", end="end_value"),
        "warmup_exponential_decay_schedule": C("transition_steps", "warmup_steps", "peak_value", kind="open"),
    },
    "paddle": {
        "CosineAnnealingDecay": replace(_LEARNING, length="T_max", end="eta_min"),
        "CosineAnnealingWarmRestarts": replace(_LEARNING, length="T_0", end="eta_min", kind="cycle"),
        "CyclicLR": C("step_size_up", rate="max_learning_rate", kind="cycle"),
        "ExponentialDecay": replace(_LEARNING, kind="factor"),
        "LinearLR": replace(_LEARNING, length="total_steps", kind="open"),
        "LinearWarmup": C(warmup="warmup_steps", rate="", kind="open"),
        "MultiStepDecay": replace(_LEARNING, bounds="milestones", kind="open"),
        "NaturalExpDecay": replace(_LEARNING, kind="factor"),
        "NoamDecay": replace(_LEARNING, warmup="warmup_steps", kind="slow"),
        "OneCycleLR": C("total_steps", rate="max_learning_rate", kind="one-cycle", raises=True),
        "PiecewiseDecay": C(rate="", bounds="boundaries", kind="open"),
        "PolynomialDecay": replace(_LEARNING, length="decay_steps", end="end_lr"),
    },
    "power_lr": {
        "CosineScheduler": _DOLOMITE,
        "ExponentialScheduler": replace(_DOLOMITE, kind="open"),
        "LinearScheduler": _DOLOMITE,
        "PowerScheduler": C(warmup="num_warmup_steps", kind="slow"),
    },
    "pytorch_optimizer": {
        "CosineAnnealingWarmupRestarts": replace(_LATE, length="first_cycle_steps", kind="cycle"),
        "CosineScheduler": _LATE,
        "LinearScheduler": _LATE,
        "PolyScheduler": replace(_LATE, kind="open"),
        "REXScheduler": C("total_steps", rate="max_lr", end="min_lr"),
        "get_wsd_schedule": _HF_OPEN,
    },
    "pytorch_warmup": {"LinearWarmup": C(warmup="warmup_period", rate="", kind="open")},
    "speechbrain": {
        "CyclicCosineScheduler": C("total_steps", "n_warmup_steps", "lr_initial", kind="open"),
        "InverseSquareRootScheduler": C(warmup="warmup_steps", kind="slow"),
        "LinearScheduler": C("epoch_count", rate="initial_value", end="final_value", kind="open", unit="epoch"),
        "LinearWarmupScheduler": C("num_training_steps", "num_warmup_steps", "initial_value"),
        "NoamScheduler": C(warmup="n_warmup_steps", rate="lr_initial", kind="slow"),
        "StepScheduler": C("decay_drop", rate="initial_value", kind="open", unit="epoch"),
        "WarmAndExpDecayLRSchedule": C("total_steps", "n_warmup_steps", kind="open"),
    },
    "t5x": {
        "create_learning_rate_scheduler": C(warmup="warmup_steps", rate="base_learning_rate", kind="slow"),
    },
    "tf_models": {
        "LinearWarmup": C(warmup="warmup_steps", rate="", kind="open"),
        "PiecewiseConstantDecayWithOffset": C(rate="", bounds="boundaries", kind="open"),
        "PolynomialDecayWithOffset": C("decay_steps", rate="", end="end_learning_rate", kind="open"),
        "PolynomialWarmUp": C(warmup="warmup_steps", rate="", kind="open"),
        "WarmUp": C(warmup="warmup_steps", rate="initial_learning_rate", kind="open"),
    },
    "thinc": {
        "compounding": C(rate="", kind="open"),
        "slanted_triangular": C("num_steps", rate="max_rate", kind="open"),
        "warmup_linear": C("total_steps", "warmup_steps", "initial_rate"),
    },
    "timm": {
        "CosineLRScheduler": _TIMM,
        "MultiStepLRScheduler": C(warmup="warmup_t", bounds="decay_t", kind="open", unit="epoch"),
        "PolyLRScheduler": _TIMM,
        "StepLRScheduler": C("decay_t", "warmup_t", kind="open", unit="epoch"),
        "TanhLRScheduler": _TIMM,
        "WSDLRScheduler": _TIMM,
        "create_scheduler_v2": C("num_epochs", "warmup_epochs", end="min_lr", unit="epoch"),
    },
    "torch": {
        "ConstantLR": C("total_iters", kind="open"),
        "CosineAnnealingLR": C("T_max", end="eta_min"),
        "CosineAnnealingWarmRestarts": C("T_0", end="eta_min", kind="cycle"),
        "CyclicLR": C("step_size_up", rate="max_lr", kind="cycle"),
        "ExponentialLR": C(kind="factor"),
        "LinearLR": C("total_iters", kind="open"),
        "MultiStepLR": C(bounds="milestones", kind="open"),
        "OneCycleLR": C("total_steps", rate="max_lr", kind="one-cycle", raises=True),
        "PolynomialLR": C("total_iters"),
        "SWALR": C("anneal_epochs", rate="", kind="open"),
        "StepLR": C("step_size", kind="open"),
    },
    "torchtitan": {"LRSchedulersContainer": C("training_steps", "warmup_steps", part="min_lr_factor")},
    "transformers": {
        **_TRANSFORMERS,
        "get_cosine_with_min_lr_schedule_with_warmup": replace(_HF, end="min_lr", part="min_lr_rate"),
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": replace(_HF, end="min_lr", part="min_lr_rate"),
        "get_inverse_sqrt_schedule": replace(_HF_OPEN, kind="slow"),
        "get_wsd_schedule": replace(_HF_OPEN, part="min_lr_ratio"),
    },
}
