"""One sample call of each public function of compat, and the rates that its live library gives for it.

The table serves the page of documentation and its tests. What runs a library is borrowed from the tests of its preset,
so that nothing is said twice. A library that cannot be installed has no way to run: its formulas are in its tests.
"""

import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import compat_live as live
import numpy as np
import pytest
from compat_live import Part, tests

from lrsched import Constant, Cosine, Exponential, InverseTime, Linear, compat, rules

# Updates that are compared.
COUNT = 120


class Library(NamedTuple):
    """The samples of one library.

    `package` is the distribution whose version is compared; `run(name, named, count)` gives the rates of the first
    `count` updates, or fewer where the library stops.
    """

    samples: dict[str, dict[str, Any]]
    package: str = ""
    run: Callable[[str, dict[str, Any], int], Sequence[float]] | None = None


def call(library: str, name: str, named: dict[str, Any]) -> Any:
    """Return what compat makes of a sample."""
    return getattr(getattr(compat, library), name)(**{k: built(library, v) for k, v in named.items()})


def built(library: str, value: Any) -> Any:
    if isinstance(value, Part):
        return call(library, *value)
    return [built(library, v) for v in value] if isinstance(value, list) else value


def text(name: str, named: dict[str, Any]) -> str:
    """Return a call as it is written."""

    def of(value: Any) -> str:
        if isinstance(value, Part):
            return text(*value)
        return f"[{', '.join(map(of, value))}]" if isinstance(value, list) else repr(value)

    return f"{name}({', '.join(f'{k}={of(v)}' for k, v in named.items())})"


def sampled(library: str) -> dict[str, dict[str, Any]]:
    """Return the sample of each public function of a library; an optimizer's is the call without arguments."""
    module = getattr(compat, library)
    known = LIBRARIES[library].samples if library in LIBRARIES else {}
    found = {}
    for name in module.__all__:
        if name in known:
            found[name] = known[name]
        elif not needed(function := getattr(module, name)) and isinstance(function(), rules.Rule):
            found[name] = {}
    return found


def refused(library: str) -> list[str]:
    """Return the public functions that only say what to use instead."""
    module = getattr(compat, library)
    return [name for name in module.__all__ if inspect.signature(getattr(module, name)).return_annotation is NoReturn]


def needed(function: Any) -> list[str]:
    """Return the arguments that a function cannot do without."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def difference(library: str, name: str) -> float | None:
    """Return the largest difference from the live library, relative to its largest value.

    None where no library is run, or a rule is compared in another way, in a test of its own.
    """
    entry, named = LIBRARIES[library], sampled(library)[name]
    if entry.run is None:
        return None
    ours = call(library, name, named)
    if isinstance(ours, rules.Rule):
        return _rule_difference(library, name, ours)
    expected = np.asarray(entry.run(name, named, COUNT), dtype=np.float64)
    return float(np.abs(ours(np.arange(expected.size)) - expected).max() / np.abs(expected).max())


def _rule_difference(library: str, name: str, rule: rules.Rule) -> float | None:
    module = tests(f"rules_{library}")
    if name not in module.ARGUMENTS:
        return None
    expected, found = module.native_run(name, {}), module.rule_run(rule)
    scale = max(1.0, *(float(np.abs(q).max()) for q in expected))
    return max(float(np.abs(p - q).max()) for p, q in zip(found, expected, strict=True)) / scale


def version(library: str) -> str:
    """Return the installed version of a library; skip where there is none."""
    package = LIBRARIES[library].package
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed (pip install --no-deps -r tests/oracles.txt)")


_WARM = {"lr": 0.1, "num_warmup_steps": 10, "num_training_steps": 100}
_BA = {"lr": 0.1, "t_warmup": "10ba", "max_duration": "100ba"}
_TIMES = {"max_duration": "100ba"}
_OLMO = {"lr": 0.1, "t_max": 100, "warmup": 10}
_NEMO = {"lr": 0.1, "max_steps": 100, "warmup_steps": 10}
_HOLD = {**_NEMO, "hold_steps": 20}
_LATE = {"t_max": 100, "max_lr": 0.1, "warmup_steps": 10}
_MAIN = {"lr_scheduler": Cosine(0.3, 0.03, steps=40)}  # what the tests of pytorch_warmup dampen

_TORCH = {
    "ChainedScheduler": {
        "schedulers": [
            Part("ConstantLR", {"lr": 0.1, "factor": 0.5, "total_iters": 10}),
            Part("ExponentialLR", {"lr": 0.1, "gamma": 0.9}),
        ],
        "lr": 0.1,
    },
    "ConstantLR": {"lr": 0.1, "factor": 0.5, "total_iters": 10},
    "CosineAnnealingLR": {"lr": 0.1, "T_max": 100, "eta_min": 0.001},
    "CosineAnnealingWarmRestarts": {"lr": 0.1, "T_0": 10, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 20},
    "ExponentialLR": {"lr": 0.1, "gamma": 0.95},
    "LambdaLR": {"lr": 0.1, "lr_lambda": Exponential(1.0, 0.95)},
    "LinearLR": {"lr": 0.1, "start_factor": 0.25, "total_iters": 10},
    "MultiStepLR": {"lr": 0.1, "milestones": [30, 80]},
    "MultiplicativeLR": {"lr": 0.1, "lr_lambda": Constant(0.95)},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 100},
    "PolynomialLR": {"lr": 0.1, "total_iters": 100, "power": 2.0},
    "SWALR": {"lr": 0.1, "swa_lr": 0.05, "anneal_epochs": 10},
    "SequentialLR": {
        "schedulers": [
            Part("LinearLR", {"lr": 0.1, "start_factor": 0.1, "total_iters": 10}),
            Part("CosineAnnealingLR", {"lr": 0.1, "T_max": 90}),
        ],
        "milestones": [10],
    },
    "StepLR": {"lr": 0.1, "step_size": 30},
    "one_cycle": {"initial_lr": 0.1 / 25, "max_lr": 0.1, "min_lr": 0.1 / 25 / 1e4, "total_steps": 100, "ends": [29.0]},
}
_OPTAX = {
    "constant_schedule": {"value": 0.1},
    "cosine_decay_schedule": {"init_value": 0.1, "decay_steps": 100, "alpha": 0.01},
    "cosine_onecycle_schedule": {"transition_steps": 100, "peak_value": 0.1},
    "exponential_decay": {"init_value": 0.1, "transition_steps": 10, "decay_rate": 0.5},
    "join_schedules": {
        "schedules": [
            Part("linear_schedule", {"init_value": 0.0, "end_value": 0.1, "transition_steps": 10}),
            Part("constant_schedule", {"value": 0.1}),
        ],
        "boundaries": [10],
    },
    "linear_onecycle_schedule": {"transition_steps": 100, "peak_value": 0.1},
    "linear_schedule": {"init_value": 0.1, "end_value": 0.0, "transition_steps": 100},
    "piecewise_constant_schedule": {"init_value": 1.0, "boundaries_and_scales": {30: 0.5, 80: 0.1}},
    "piecewise_interpolate_schedule": {
        "interpolate_type": "linear", "init_value": 1.0, "boundaries_and_scales": {30: 0.5, 80: 0.1},
    },
    "polynomial_schedule": {"init_value": 0.1, "end_value": 0.0, "power": 2.0, "transition_steps": 100},
    "sgdr_schedule": {
        "cosine_kwargs": [
            {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 5, "decay_steps": 40},
            {"init_value": 0.0, "peak_value": 0.05, "warmup_steps": 5, "decay_steps": 60},
        ],
    },
    "warmup_constant_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10},
    "warmup_cosine_decay_schedule": {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "decay_steps": 100},
    "warmup_exponential_decay_schedule": {
        "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10, "transition_steps": 20, "decay_rate": 0.5,
    },
}  # fmt: skip
_KERAS = {
    "CosineDecay": {"initial_learning_rate": 0.0, "decay_steps": 90, "warmup_target": 0.1, "warmup_steps": 10},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 20, "m_mul": 0.5},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [30, 80], "values": [0.1, 0.01, 0.001]},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 100},
}
_DIFFUSERS = {
    "get_constant_schedule": {"lr": 0.1},
    "get_constant_schedule_with_warmup": {"lr": 0.1, "num_warmup_steps": 10},
    "get_cosine_schedule_with_warmup": _WARM,
    "get_cosine_with_hard_restarts_schedule_with_warmup": {**_WARM, "num_cycles": 3},
    "get_linear_schedule_with_warmup": _WARM,
    "get_polynomial_decay_schedule_with_warmup": {**_WARM, "power": 2.0},
    "get_scheduler": {"name": "cosine", **_WARM},
}
_TRANSFORMERS = {
    **_DIFFUSERS,
    "from_config": {
        "config": {"learning_rate": 0.1, "lr_scheduler_type": "cosine", "warmup_steps": 10, "max_steps": 100}
    },
    "get_cosine_with_min_lr_schedule_with_warmup": {**_WARM, "min_lr_rate": 0.1},
    "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": {**_WARM, "min_lr_rate": 0.1},
    "get_inverse_sqrt_schedule": {"lr": 0.1, "num_warmup_steps": 10},
    "get_wsd_schedule": {**_WARM, "num_decay_steps": 20},
}
_TIMM = {
    "CosineLRScheduler": {"lr": 0.1, "t_initial": 100, "warmup_t": 10},
    "MultiStepLRScheduler": {"lr": 0.1, "decay_t": [30, 80], "decay_rate": 0.1},
    "PolyLRScheduler": {"lr": 0.1, "t_initial": 100},
    "StepLRScheduler": {"lr": 0.1, "decay_t": 30, "decay_rate": 0.1},
    "TanhLRScheduler": {"lr": 0.1, "t_initial": 100},
    "WSDLRScheduler": {"lr": 0.1, "t_initial": 90, "decay_t": 20, "warmup_t": 10},
    "create_scheduler_v2": {"lr": 0.1, "sched": "cosine", "num_epochs": 100, "warmup_epochs": 5},
}
_IGNITE = {
    "ConcatScheduler": {
        "schedulers": [
            Part("LinearCyclicalScheduler", {"start_value": 0.0, "end_value": 0.1, "cycle_size": 20}),
            Part("CosineAnnealingScheduler", {"start_value": 0.1, "end_value": 0.0, "cycle_size": 50}),
        ],
        "durations": [10],
    },
    "CosineAnnealingScheduler": {"start_value": 0.1, "end_value": 0.0, "cycle_size": 50},
    "LRScheduler": {"lr_scheduler": "CosineAnnealingLR", "lr": 0.1, "T_max": 10},
    "LinearCyclicalScheduler": {"start_value": 0.0, "end_value": 0.1, "cycle_size": 20},
    "PiecewiseLinear": {"milestones_values": [(10, 0.0), (20, 0.1), (100, 0.0)]},
    "create_lr_scheduler_with_warmup": {
        "lr_scheduler": Part("CosineAnnealingScheduler", {"start_value": 0.1, "end_value": 0.0, "cycle_size": 100}),
        "warmup_start_value": 0.0,
        "warmup_duration": 10,
    },
}
_FVCORE = {
    "CompositeParamScheduler": {
        "schedulers": [
            Part("LinearParamScheduler", {"start_value": 0.0, "end_value": 0.1, "max_iter": 100}),
            Part("CosineParamScheduler", {"start_value": 0.1, "end_value": 0.0, "max_iter": 100}),
        ],
        "lengths": [0.25, 0.75],
        "interval_scaling": ["rescaled", "rescaled"],
        "max_iter": 100,
    },
    "ConstantParamScheduler": {"value": 0.1, "max_iter": 100},
    "CosineParamScheduler": {"start_value": 0.1, "end_value": 0.0, "max_iter": 100},
    "ExponentialParamScheduler": {"start_value": 0.1, "decay": 0.01, "max_iter": 100},
    "LinearParamScheduler": {"start_value": 0.1, "end_value": 0.0, "max_iter": 100},
    "MultiStepParamScheduler": {
        "values": [0.1, 0.01, 0.001], "num_updates": 90, "milestones": [30, 60], "max_iter": 90,
    },
    "PolynomialDecayParamScheduler": {"base_value": 0.1, "power": 2.0, "max_iter": 100},
    "StepParamScheduler": {"num_updates": 90, "values": [0.1, 0.01, 0.001], "max_iter": 90},
    "StepWithFixedGammaParamScheduler": {
        "base_value": 0.1, "num_decays": 2, "gamma": 0.1, "num_updates": 90, "max_iter": 90,
    },
}  # fmt: skip
_COMPOSER = {
    "ConstantScheduler": {"lr": 0.1, "alpha": 0.5, "t_max": "50ba", **_TIMES},
    "ConstantWithWarmupScheduler": _BA,
    "CosineAnnealingScheduler": {"lr": 0.1, **_TIMES},
    "CosineAnnealingWarmRestartsScheduler": {"lr": 0.1, "t_0": "20ba", "t_mult": 1.5, **_TIMES},
    "CosineAnnealingWithWarmupScheduler": _BA,
    "ExponentialScheduler": {"lr": 0.1, "gamma": 0.5, "decay_period": "20ba"},
    "LinearScheduler": {"lr": 0.1, **_TIMES},
    "LinearWithWarmupScheduler": _BA,
    "MultiStepScheduler": {"lr": 0.1, "milestones": ["30ba", "80ba"]},
    "MultiStepWithWarmupScheduler": {**_BA, "milestones": ["30ba", "80ba"]},
    "PolynomialScheduler": {"lr": 0.1, "power": 2.0, **_TIMES},
    "PolynomialWithWarmupScheduler": _BA,
    "StepScheduler": {"lr": 0.1, "step_size": "30ba"},
}
_DEEPSPEED = {
    "LRRangeTest": {"lr_range_test_min_lr": 0.001, "lr_range_test_step_size": 10},
    "OneCycle": {"cycle_min_lr": 0.01, "cycle_max_lr": 0.1, "cycle_first_step_size": 20},
    "WarmupCosineLR": {"lr": 0.1, "total_num_steps": 100, "warmup_num_steps": 10},
    "WarmupDecayLR": {"total_num_steps": 100, "warmup_max_lr": 0.1, "warmup_num_steps": 10},
    "WarmupLR": {"warmup_max_lr": 0.1, "warmup_num_steps": 10},
    "from_config": {
        "config": {
            "type": "WarmupDecayLR",
            "params": {
                "total_num_steps": 100, "warmup_max_lr": 0.1, "warmup_num_steps": 10, "warmup_type": "linear",
            },
        }
    },
}  # fmt: skip
_MMENGINE = {
    "ConstantLR": {"lr": 0.1, "factor": 0.5, "end": 10},
    "CosineAnnealingLR": {"lr": 0.1, "T_max": 100},
    "CosineRestartLR": {"lr": 0.1, "periods": [30, 70], "restart_weights": [1, 0.5], "eta_min": 0.0},
    "ExponentialLR": {"lr": 0.1, "gamma": 0.95},
    "LinearLR": {"lr": 0.1, "start_factor": 0.1, "end": 10},
    "MultiStepLR": {"lr": 0.1, "milestones": [30, 80]},
    "OneCycleLR": {"lr": 0.1, "eta_max": 0.1, "total_steps": 100, "end": 100},
    "PolyLR": {"lr": 0.1, "power": 2.0, "end": 100},
    "StepLR": {"lr": 0.1, "step_size": 30},
    "build_param_schedulers": {
        "lr": 0.1,
        "configs": [
            {"type": "LinearLR", "start_factor": 0.1, "begin": 0, "end": 10},
            {"type": "PolyLR", "begin": 10, "end": 100},
        ],
    },
}
_FASTAI = {
    "LRFinder": {"start_lr": 1e-7, "end_lr": 10, "num_it": 100},
    "SchedCos": {"start": 0.1, "end": 0.0, "steps": 100},
    "SchedExp": {"start": 0.1, "end": 0.001, "steps": 100},
    "SchedLin": {"start": 0.1, "end": 0.0, "steps": 100},
    "SchedNo": {"start": 0.1, "end": 0.1, "steps": 100},
    "SchedPoly": {"start": 0.1, "end": 0.0, "power": 2.0, "steps": 100},
    "combine_scheds": {
        "pcts": [0.25, 0.75],
        "scheds": [
            Part("SchedLin", {"start": 0.0, "end": 0.1, "steps": 100}),
            Part("SchedCos", {"start": 0.1, "end": 0.0, "steps": 100}),
        ],
        "steps": 100,
    },
    "combined_cos": {"pct": 0.25, "start": 0.01, "middle": 0.1, "end": 0.0, "steps": 100},
    "fit_flat_cos": {"lr": 0.1, "steps": 100},
    "fit_one_cycle": {"lr_max": 0.1, "steps": 100},
    "fit_sgdr": {"lr_max": 0.1, "n_cycles": 2, "cycle_len": 1, "steps_per_epoch": 32},
}
_NEMO_ALL = {
    "CosineAnnealing": _NEMO,
    "InverseSquareRootAnnealing": _NEMO,
    "NoamAnnealing": {"lr": 1.0, "d_model": 64, "warmup_steps": 10},
    "NoamHoldAnnealing": _HOLD,
    "PolynomialDecayAnnealing": {**_NEMO, "power": 2.0},
    "PolynomialHoldDecayAnnealing": _HOLD,
    "SquareAnnealing": _NEMO,
    "SquareRootAnnealing": _NEMO,
    "T5InverseSquareRootAnnealing": {"max_steps": 100, "constant_steps": 10},
    "WarmupAnnealing": _NEMO,
    "WarmupHoldAnnealLinear": _HOLD,
    "WarmupHoldAnnealOneMinusSquareRoot": _HOLD,
    "WarmupHoldPolicy": _HOLD,
    "WarmupPolicy": {"lr": 0.1, "warmup_steps": 10},
}
_OLMO_ALL = {
    "ConstantScheduler": {"lr": 0.1},
    "ConstantWithWarmup": _OLMO,
    "CosWithWarmup": _OLMO,
    "CosWithWarmupAndLinearDecay": {**_OLMO, "decay": 20, "decay_fraction": None},
    "ExponentialScheduler": {"lr": 0.1, "t_max": 100},
    "HalfCosWithWarmup": _OLMO,
    "InvSqrtWithWarmup": _OLMO,
    "LinearWithWarmup": _OLMO,
    "PowerLR": {**_OLMO, "decay": 20, "decay_fraction": None},
    "WSD": {**_OLMO, "decay": 20, "decay_fraction": None},
    "WSDS": {"lr": 0.1, "period_lengths": [40, 60], "warmup": 10, "decay": 10},
}
_PADDLE = {
    "CosineAnnealingDecay": {"learning_rate": 0.1, "T_max": 100},
    "CosineAnnealingWarmRestarts": {"learning_rate": 0.1, "T_0": 10, "T_mult": 2},
    "CyclicLR": {"base_learning_rate": 0.01, "max_learning_rate": 0.1, "step_size_up": 20},
    "ExponentialDecay": {"learning_rate": 0.1, "gamma": 0.95},
    "InverseTimeDecay": {"learning_rate": 0.1, "gamma": 0.1},
    "LinearLR": {"learning_rate": 0.1, "total_steps": 10},
    "LinearWarmup": {"learning_rate": 0.1, "warmup_steps": 10, "start_lr": 0.0, "end_lr": 0.1},
    "MultiStepDecay": {"learning_rate": 0.1, "milestones": [30, 80]},
    "NaturalExpDecay": {"learning_rate": 0.1, "gamma": 0.1},
    "NoamDecay": {"d_model": 64, "warmup_steps": 10},
    "OneCycleLR": {"max_learning_rate": 0.1, "total_steps": 100},
    "PiecewiseDecay": {"boundaries": [30, 80], "values": [0.1, 0.01, 0.001]},
    "PolynomialDecay": {"learning_rate": 0.1, "decay_steps": 100},
    "StepDecay": {"learning_rate": 0.1, "step_size": 30},
}
_FAIRSEQ = {
    "cosine": {"lr": 0.1, "warmup_updates": 10, "lr_period_updates": 90},
    "fixed": {"lr": [0.1, 0.05], "force_anneal": 3, "updates_per_epoch": 30},
    "inverse_sqrt": {"lr": 0.1, "warmup_updates": 10},
    "manual": {"lr": 0.1, "update2lr": "{'30': 0.05, '80': 0.01}"},
    "polynomial_decay": {"lr": 0.1, "total_num_update": 100, "warmup_updates": 10},
    "step": {"lr": 0.1, "lr_deacy_period": 30},
    "tri_stage": {"lr": 0.1, "warmup_steps": 10, "hold_steps": 40, "decay_steps": 50},
    "triangular": {"lr": 0.01, "max_lr": 0.1, "lr_period_updates": 40},
}
_THINC = {
    "compounding": {"start": 0.01, "stop": 0.1, "compound": 1.05},
    "constant": {"rate": 0.1},
    "constant_then": {"rate": 0.1, "steps": 20, "schedule": Part("decaying", {"base_rate": 0.1, "decay": 0.1})},
    "cyclic_triangular": {"min_lr": 0.01, "max_lr": 0.1, "period": 20},
    "decaying": {"base_rate": 0.1, "decay": 0.1},
    "slanted_triangular": {"max_rate": 0.1, "num_steps": 100},
    "warmup_linear": {"initial_rate": 0.1, "warmup_steps": 10, "total_steps": 100},
}

_EPOCHS = {"num_epochs": 10, "num_steps_per_epoch": 10}
_ALLENNLP = {
    "combined": {
        "lr": 0.1,
        "schedulers": [
            (2, {"type": "polynomial_decay", "warmup_steps": 10}), (8, {"type": "exponential", "gamma": 0.5}),
        ],
        "num_steps_per_epoch": 10,
    },
    "constant": {"lr": 0.1},
    "constant_with_warmup": {"lr": 0.1, "num_warmup_steps": 10},
    "cosine": {"lr": 0.1, "t_initial": 10, "t_mul": 2.0},
    "cosine_hard_restarts_with_warmup": {**_WARM, "num_cycles": 3},
    "cosine_with_warmup": _WARM,
    "exponential": {"lr": 0.1, "gamma": 0.95},
    "linear_with_warmup": {"lr": 0.1, **_EPOCHS, "warmup_steps": 10},
    "multi_step": {"lr": 0.1, "milestones": [30, 80]},
    "noam": {"lr": 0.1, "model_size": 64, "warmup_steps": 10},
    "polynomial_decay": {"lr": 0.1, **_EPOCHS, "power": 2.0, "warmup_steps": 10},
    "slanted_triangular": {"lr": 0.1, **_EPOCHS},
    "step": {"lr": 0.1, "step_size": 30},
}  # fmt: skip
_SPEECHBRAIN = {
    "CyclicCosineScheduler": {"n_warmup_steps": 10, "lr_initial": 0.1, "total_steps": 100},
    "CyclicLRScheduler": {"base_lr": 0.01, "max_lr": 0.1, "step_size": 20.0},
    "IntervalScheduler": {"lr": 0.1, "intervals": [{"steps": 30, "lr": 0.05}, {"steps": 80, "lr": 0.01}]},
    "InverseSquareRootScheduler": {"lr": 0.1, "warmup_steps": 10},
    "LinearNoamScheduler": {"lr_initial": 0.1, "n_warmup_steps": 10, "n_keep_steps": 20},
    "LinearScheduler": {"initial_value": 0.1, "final_value": 0.01, "epoch_count": 50},
    "LinearWarmupScheduler": {"initial_value": 0.1, "num_warmup_steps": 10, "num_training_steps": 100},
    "NoamIntervalScheduler": {
        "lr_initial": 0.1, "n_warmup_steps": 10, "anneal_steps": [50, 80], "anneal_rates": [0.5, 0.1],
    },
    "NoamScheduler": {"lr_initial": 0.1, "n_warmup_steps": 10},
    "StepScheduler": {"initial_value": 0.1, "decay_factor": 0.5, "decay_drop": 10},
    "TriStageLRSchedule": {"lr": 0.1, "warmup_steps": 10, "hold_steps": 40, "decay_steps": 50, "total_steps": 100},
    "WarmAndExpDecayLRSchedule": {"lr": 0.1, "n_warmup_steps": 10, "total_steps": 100},
    "WarmCoolDecayLRSchedule": {"lr": 0.1, "warmup": 10, "cooldown": 20, "total_steps": 100, "decay_every": 30},
}  # fmt: skip
_CYCLE = {"initial_learning_rate": 0.01, "maximal_learning_rate": 0.1, "step_size": 20.0}
_FALLING = Part("CosineDecayWithOffset", {"initial_learning_rate": 0.1, "decay_steps": 100})
_TF_MODELS = {
    "CosineDecayWithOffset": {"initial_learning_rate": 0.1, "decay_steps": 90, "offset": 10},
    "DirectPowerDecay": {"initial_learning_rate": 0.1, "power": -0.5},
    "ExponentialDecayWithOffset": {
        "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5, "offset": 10,
    },
    "LinearWarmup": {"after_warmup_lr_sched": _FALLING, "warmup_steps": 10, "warmup_learning_rate": 0.0},
    "PiecewiseConstantDecayWithOffset": {"boundaries": [30, 80], "values": [0.1, 0.01, 0.001], "offset": 10},
    "PolynomialDecayWithOffset": {"initial_learning_rate": 0.1, "decay_steps": 90, "offset": 10},
    "PolynomialWarmUp": {"after_warmup_lr_sched": _FALLING, "warmup_steps": 10, "power": 2.0},
    "PowerAndLinearDecay": {"initial_learning_rate": 0.1, "total_decay_steps": 100, "power": -0.5},
    "PowerDecayWithOffset": {
        "initial_learning_rate": 0.1, "power": -0.5, "offset": 10, "pre_offset_learning_rate": 0.1,
    },
    "StepCosineDecayWithOffset": {"boundaries": [0, 40, 100], "values": [0.1, 0.05, 0.01]},
    "WarmUp": {"initial_learning_rate": 0.1, "decay_schedule_fn": _FALLING, "warmup_steps": 10},
}  # fmt: skip
_DOLOMITE = {
    "lr": 0.1, "num_warmup_steps": 10, "num_constant_steps": 20, "num_decay_steps": None, "num_training_steps": 100,
    "lr_decay_factor": 0.1,
}  # fmt: skip

LIBRARIES: dict[str, Library] = {
    "allennlp": Library(_ALLENNLP, "allennlp", live.allennlp),
    "big_vision": Library(
        {"create_learning_rate_schedule": {"total_steps": 100, "base": 0.1, "decay_type": "cosine", "warmup_steps": 10}}
    ),
    "composer": Library(_COMPOSER, "mosaicml", live.composer),
    "deepspeed": Library(_DEEPSPEED, "deepspeed", live.deepspeed),
    "detectron2": Library(
        {
            "LRMultiplier": {"lr": 0.1, "multiplier": Linear(1.0, 0.0, steps=100), "max_iter": 100},
            "WarmupCosineLR": {"lr": 0.1, "max_iters": 100, "warmup_iters": 10},
            "WarmupMultiStepLR": {"lr": 0.1, "milestones": [30, 80], "warmup_iters": 10},
            "WarmupParamScheduler": {
                "scheduler": Cosine(1.0, 0.0, steps=100), "warmup_factor": 0.001, "warmup_length": 0.1, "max_iter": 100,
            },
            "build_lr_scheduler": {
                "cfg": {"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR": 0.1, "MAX_ITER": 100, "WARMUP_ITERS": 10}
            },
        }
    ),
    "diffusers": Library(
        {
            **_DIFFUSERS,
            "get_piecewise_constant_schedule": {"lr": 0.1, "step_rules": "1:30,0.1:80,0.01"},
        },
        "diffusers",
        live.diffusers,
    ),
    "fairseq": Library(_FAIRSEQ),
    "fastai": Library(_FASTAI, "fastai", live.fastai),
    "fvcore": Library(_FVCORE, "fvcore", live.fvcore),
    "gpt_neox": Library(
        {"AnnealingLR": {"start_lr": 0.1, "warmup_iter": 10, "total_iters": 100, "decay_style": "cosine"}}
    ),
    "hyperbolic_lr": Library({"HyperbolicLR": {"lr": 0.1, "upper_bound": 200, "max_iter": 100, "warmup_epochs": 5}}),
    "ignite": Library(_IGNITE, "pytorch-ignite", live.ignite),
    "keras": Library(_KERAS, "keras", live.keras),
    "levanter": Library(
        {"lr_scheduler": {"num_train_steps": 100, "learning_rate": 0.1, "warmup": 10}}, "levanter", live.levanter
    ),
    "llmfoundry": Library(
        {
            "InverseSquareRootWithWarmupScheduler": {
                "lr": 0.1, "t_warmup": "10ba", "t_scale": "10ba", "t_cooldown": "20ba", "max_duration": "100ba",
            }
        },
        "llm-foundry",
        live.composer,
    ),
    "maxtext": Library({"create_learning_rate_schedule": {"steps": 100, "learning_rate": 0.1}}),
    "megatron": Library(
        {
            "OptimizerParamScheduler": {
                "max_lr": 0.1, "lr_warmup_steps": 10, "lr_decay_steps": 100, "lr_decay_style": "cosine",
            },
            "get_wd": {"start_wd": 0.01, "end_wd": 0.1, "wd_incr_steps": 100, "wd_incr_style": "cosine"},
        },
        "megatron-core",
        live.megatron,
    ),
    "mlx": Library(
        {
            "cosine_decay": {"init": 0.1, "decay_steps": 100},
            "exponential_decay": {"init": 0.1, "decay_rate": 0.95},
            "join_schedules": {
                "schedules": [
                    Part("linear_schedule", {"init": 0.0, "end": 0.1, "steps": 10}),
                    Part("cosine_decay", {"init": 0.1, "decay_steps": 90}),
                ],
                "boundaries": [10],
            },
            "linear_schedule": {"init": 0.0, "end": 0.1, "steps": 10},
            "step_decay": {"init": 0.1, "decay_rate": 0.5, "step_size": 30},
        },
        "mlx",
        live.mlx,
    ),
    "mmengine": Library(_MMENGINE, "mmengine", live.mmengine),
    "nanotron": Library(
        {
            "lr_scheduler_builder": {
                "learning_rate": 0.1, "total_training_steps": 100, "lr_warmup_steps": 10, "lr_decay_style": "cosine",
                "min_decay_lr": 0.0,
            }
        },
        "nanotron",
        live.nanotron,
    ),
    "nemo": Library(_NEMO_ALL, "nemo-toolkit", live.nemo),
    "olmo_core": Library(_OLMO_ALL, "ai2-olmo-core", live.olmo_core),
    "optax": Library(_OPTAX, "optax", live.optax),
    "paddle": Library(_PADDLE, "paddlepaddle", live.paddle),
    "power_lr": Library(
        {
            "ConstantScheduler": {**_DOLOMITE, "num_decay_steps": 0},
            "CosineScheduler": _DOLOMITE,
            "ExponentialScheduler": _DOLOMITE,
            "LinearScheduler": _DOLOMITE,
            "PowerScheduler": {**_DOLOMITE, "num_constant_steps": 0, "a": 8.0, "b": -0.51, "c": 16.0},
        }
    ),
    "pytorch_optimizer": Library(
        {
            "CosineAnnealingWarmupRestarts": {
                "first_cycle_steps": 40, "max_lr": 0.1, "min_lr": 0.001, "warmup_steps": 5,
            },
            "CosineScheduler": _LATE,
            "LinearScheduler": _LATE,
            "PolyScheduler": _LATE,
            "REXScheduler": {"total_steps": 100, "max_lr": 0.1},
            "get_chebyshev_schedule": {"lr": 0.1, "num_epochs": 8},
            "get_wsd_schedule": {"lr": 0.1, "num_warmup_steps": 10, "num_stable_steps": 70, "num_decay_steps": 20},
        },
        "pytorch_optimizer",
        live.pytorch_optimizer,
    ),
    "pytorch_warmup": Library(
        {
            "ExponentialWarmup": {**_MAIN, "warmup_period": 10},
            "LinearWarmup": {**_MAIN, "warmup_period": 10},
            "RAdamWarmup": _MAIN,
            "UntunedExponentialWarmup": _MAIN,
            "UntunedLinearWarmup": _MAIN,
        },
        "pytorch-warmup",
        live.pytorch_warmup,
    ),
    "scenic": Library(
        {
            "compound_lr_scheduler": {
                "config": {
                    "factors": "constant*cosine_decay*linear_warmup", "base_learning_rate": 0.1, "total_steps": 100,
                    "steps_per_cycle": 100, "warmup_steps": 10,
                }
            }
        }
    ),
    "speechbrain": Library(_SPEECHBRAIN, "speechbrain", live.speechbrain),
    "t5x": Library({"create_learning_rate_scheduler": {"base_learning_rate": 0.1, "warmup_steps": 10}}),
    "tensorflow_addons": Library(
        {
            "CyclicalLearningRate": {**_CYCLE, "scale_fn": InverseTime(1.0, 0.5)},
            "ExponentialCyclicalLearningRate": {**_CYCLE, "gamma": 0.95},
            "Triangular2CyclicalLearningRate": _CYCLE,
            "TriangularCyclicalLearningRate": _CYCLE,
        },
        "tensorflow-addons",
        live.tensorflow_addons,
    ),
    "tf_models": Library(_TF_MODELS, "tf-models-official", live.tf_models),
    "thinc": Library(_THINC, "thinc", live.thinc),
    "timm": Library(_TIMM, "timm", live.timm),
    "torch": Library(_TORCH, "torch", live.torch),
    "torchtitan": Library(
        {
            "LRSchedulersContainer": {"lr": 0.1, "training_steps": 100, "warmup_steps": 10, "decay_type": "cosine"},
            "from_config": {
                "config": {
                    "optimizer": {"lr": 0.1}, "training": {"steps": 100},
                    "lr_scheduler": {"warmup_steps": 10, "decay_ratio": 0.2},
                }
            },
        },
        "torchtitan",
        live.torchtitan,
    ),
    "transformers": Library(_TRANSFORMERS, "transformers", live.transformers),
}  # fmt: skip
