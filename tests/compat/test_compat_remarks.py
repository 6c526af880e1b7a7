"""What `compat.remarks` says of a call is true of its curve, and it is silent where there is nothing to say."""

import importlib
import inspect

import compat_samples as samples
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import Batches, Hold, Shift, clip, compat
from lrsched.compat import remarks
from lrsched.compat._remarks.table import BATCHES, CODES, CONVENTIONS


def codes(*call, **named):
    return {remark.code for remark in remarks(*call, **named)}


def message(code, *call, **named):
    (found,) = [f"{r.message}; {r.suggestion}" for r in remarks(*call, **named) if r.code == code]
    return found


WARM = {"num_warmup_steps": 10, "num_training_steps": 100}
RISING = {"warmup_max_lr": 1.0, "warmup_num_steps": 10, "warmup_type": "linear"}
SOLVER = {"BASE_LR": 0.02, "MAX_ITER": 90000, "STEPS": (60000, 80000)}
RESTARTS = ("timm", "CosineLRScheduler", 1.0, 7)

# For each code a call with the remark, what it must say, and a call without the remark.
CASES = {
    # timm's exponent counts milestones up to t + 1
    "boundary-early": (("timm", "MultiStepLRScheduler", 0.1, [10], 0.5), {}, "begins with step 9, one before",
     ("torch", "MultiStepLR", 0.1, [10], 0.5), {}),
    "boundary-late": (("keras", "PiecewiseConstantDecay", [10], [0.1, 0.01]), {}, "0.01 begins with step 11",
     ("paddle", "PiecewiseDecay", [10], [0.1, 0.01]), {}),
    # 800 batches are 200 updates of 4; 800 updates take 4 * 800 batches
    "counts-batches": (("keras", "CosineDecay", 0.1, 800), {"accumulation": 4}, "takes 200 updates",
     ("optax", "cosine_decay_schedule", 0.1, 800), {"accumulation": 4}),
    # cycles of 10: update 94 is number 4 of its cycle, (1 + cos(0.4 pi)) / 2 = 0.654...; update 99 is the last
    "cut-cycle": (("torch", "CosineAnnealingWarmRestarts", 1.0, 10), {"horizon": 95}, "ends with 0.655",
     ("torch", "CosineAnnealingWarmRestarts", 1.0, 10), {"horizon": 150, "T_mult": 2}),
    # 0.95 ** 999 = exp(-51.2); 0.95 ** (1 / 100) = 0.99948720...
    "decays-per-update": (("torch", "ExponentialLR", 1.0, 0.95), {"horizon": 1000, "epoch": 100}, "0.9994872",
     ("torch", "ExponentialLR", 1.0, 0.9995), {"horizon": 1000}),
    "default-floor": (("keras", "PolynomialDecay", 0.1, 100), {}, "1e-4, by the default end_learning_rate",
     ("keras", "PolynomialDecay", 0.1, 100, 1e-4), {}),
    "default-length": (("torch", "PolynomialLR", 0.1), {}, "total_iters=5 is a default",
     ("torch", "PolynomialLR", 0.1, 5), {}),
    "default-peak": (("deepspeed", "WarmupDecayLR", 1000), {}, "is 1e-3, the default of DeepSpeed's warmup_max_lr",
     ("deepspeed", "WarmupDecayLR", 1000), {"warmup_max_lr": 1e-3}),
    "end-above-rate": (("torch", "CosineAnnealingLR", 1e-3, 100, 0.1), {}, "eta_min=0.1 is above lr=0.001",
     ("torch", "CosineAnnealingLR", 0.1, 100, 1e-3), {}),
    "end-at-last-update": (("maxtext", "create_learning_rate_schedule", 50), {}, "update 49, the last of 50",
     ("optax", "cosine_decay_schedule", 0.1, 50), {}),
    # half a cosine of 100 steps at step 49 is (1 + cos(0.49 pi)) / 2 = 0.5157...
    "ends-after-training": (("optax", "cosine_decay_schedule", 1.0, 100), {"horizon": 50}, "0.516, 52%",
     ("optax", "cosine_decay_schedule", 1.0, 100), {"horizon": 100}),
    "ends-before-training": (("optax", "cosine_decay_schedule", 1.0, 100), {"horizon": 150}, "last 50 of 150",
     ("torch", "CosineAnnealingLR", 1.0, 100), {"horizon": 150}),
    "ends-early": (
        ("nanotron", "lr_scheduler_builder", 1.0, 100, 10), {"lr_decay_starting_step": 40, "min_decay_lr": 0.0},
        "at step 90 of 100",
        ("nanotron", "lr_scheduler_builder", 1.0, 100, 10), {"min_decay_lr": 0.0},
    ),
    # the line falls by 1 / 90 a step and ends at iteration 100, which is update 101
    "ends-one-late": (("deepspeed", "WarmupDecayLR", 100), RISING, "reached at step 101",
     ("transformers", "get_linear_schedule_with_warmup", 1.0), WARM),
    "first-update-zero": (("transformers", "get_linear_schedule_with_warmup", 1.0), WARM, "update 1 is the first",
     ("torchtitan", "LRSchedulersContainer", 1.0, 100), {"warmup_steps": 10}),
    "integer-rate": (("keras", "CosineDecay", 1, 100), {}, "initial_learning_rate=1.0",
     ("keras", "CosineDecay", 1.0, 100), {}),
    # 0.05 a step up to 0.45, then the first rate of what follows
    "jump-after-warmup": (("paddle", "LinearWarmup", 1.0, 10, 0.0, 0.5), {}, "from 0.45 to 1 at step 10",
     ("paddle", "LinearWarmup", 0.5, 10, 0.0, 0.5), {}),
    "last-epoch": (("torch", "StepLR", 0.1, 30), {"last_epoch": 29}, "last_epoch=29",
     ("torch", "StepLR", 0.1, 30), {"last_epoch": -1}),
    "first-rate-twice": (("deepspeed", "WarmupLR"), RISING, "updates 0 and 1 both have 0",
     ("transformers", "get_constant_schedule_with_warmup", 1.0, 10), {}),
    # SpeechBrain sets the rate after an update, so the first one has that of the optimizer
    "first-update-high": (("speechbrain", "LinearWarmupScheduler", 0.1, 10, 100), {}, "update 0 has 0.1",
     ("speechbrain", "LinearWarmupScheduler", 0.1, 10, 100), {"lr": 0.0}),
    "length-excludes-warmup": (
        ("keras", "CosineDecay", 0.0, 900), {"warmup_target": 0.1, "warmup_steps": 100}, "takes 1000 steps",
        ("keras", "CosineDecay", 0.1, 900), {},
    ),
    "length-includes-warmup": (
        ("optax", "warmup_cosine_decay_schedule", 0.0, 0.1, 100, 900), {}, "decay_steps=1000",
        ("optax", "cosine_decay_schedule", 0.1, 900), {},
    ),
    "length-looks-like-epochs": (
        ("torch", "CosineAnnealingLR", 0.1, 90), {"horizon": 9000, "epoch": 100}, "T_max=9000",
        ("torch", "CosineAnnealingLR", 0.1, 90), {"horizon": 90, "epoch": 1},
    ),
    "length-looks-like-updates": (("timm", "CosineLRScheduler", 0.1, 9000), {"horizon": 9000, "epoch": 100}, "90",
     ("timm", "CosineLRScheduler", 0.1, 90), {"horizon": 9000, "epoch": 100}),
    # with (2 - 1) / (3 - 1) for the second update and 2 / 3 for the third
    "library-changed": (
        ("maxtext", "create_learning_rate_schedule", 30, 1.0), {}, "with version='2026-01' update 1 has 0.5",
        ("maxtext", "create_learning_rate_schedule", 30, 1.0), {"version": "2026-03"},
    ),
    "milestones-repeated": (("torch", "MultiStepLR", 0.1, [30, 30]), {}, "step 30 occurs more than once",
     ("torch", "MultiStepLR", 0.1, [30, 60]), {}),
    "milestones-unsorted": (("torch", "MultiStepLR", 0.1, [60, 30]), {}, "[60, 30] is not in order",
     ("torch", "MultiStepLR", 0.1, [30, 60]), {}),
    "momentum-left-out": (("torch", "CyclicLR", 0.1, 0.5), {}, "from 0.9 to 0.8 at the top of the rate and back",
     ("torch", "CyclicLR", 0.1, 0.5), {"cycle_momentum": False}),
    "nearly-flat": (("transformers", "get_inverse_sqrt_schedule", 1.0, 0), {}, "95.3%",
     ("transformers", "get_inverse_sqrt_schedule", 1.0, 100), {}),
    "negative-after-end": (("torchtitan", "LRSchedulersContainer", 1.0, 100), {"warmup_steps": 10}, "after step 100",
     ("optax", "linear_schedule", 1.0, 0.0, 100), {}),
    # the top over the last is 25 * 1e4
    "one-cycle-divisors": (("torch", "OneCycleLR", 0.1, 1000), {}, "div_final=250000 in fastai",
     ("torch", "CyclicLR", 0.1, 0.5, 100), {}),
    # Keras' wave takes 900 steps, Optax' 800: (cos(pi t / 900) - cos(pi t / 800)) / 2 is at most 0.10679
    "other-curve": (
        ("optax", "warmup_cosine_decay_schedule", 0.0, 0.1, 100, 900), {"like": "keras.CosineDecay"},
        "from update 102 on, by up to 0.107 of the highest rate; write decay_steps=1000",
        ("optax", "warmup_cosine_decay_schedule", 0.0, 0.1, 100, 900), {"like": "megatron.OptimizerParamScheduler"},
    ),
    "part-looks-like-rate": (("optax", "cosine_decay_schedule", 1e-3, 100, 1e-5), {}, "alpha=0.01",
     ("optax", "cosine_decay_schedule", 1e-3, 100, 0.01), {}),
    # half a cosine of 10 steps at step 3 is 0.79389...
    "peak-not-reached": (("timm", "CosineLRScheduler", 1.0, 10), {"warmup_t": 3}, "rate is 0.794, at update 3",
     ("timm", "CosineLRScheduler", 1.0, 10), {"warmup_t": 3, "warmup_prefix": True}),
    "raises-after-end": (("torch", "OneCycleLR", 0.1, 100), {"horizon": 101}, "raises after 100 steps",
     ("torch", "OneCycleLR", 0.1, 100), {"horizon": 100}),
    "restart-missed": (RESTARTS, {"cycle_mul": 3.0, "cycle_limit": 9}, "step 847, the first of cycle 5",
      RESTARTS, {"cycle_mul": 2.0, "cycle_limit": 9}),
    "restarts-after-end": (("ignite", "CosineAnnealingScheduler", 1.0, 0.0, 7), {}, "at step 6, 1 at the next",
     ("fvcore", "CosineParamScheduler", 1.0, 0.0), {"max_iter": 7}),
    "returns-to-base": (("composer", "ConstantScheduler", 1.0, 0.5, "10ba"), {}, "after 10 steps",
     ("composer", "ConstantScheduler", 1.0, 1.0, "10ba"), {}),
    "rises-after-end": (("torch", "CosineAnnealingLR", 0.1, 100), {}, "0.1 at step 200",
     ("torch", "CosineAnnealingLR", 0.1, 100), {"horizon": 101}),
    # 0.1 * 0.01 * 0.001
    "scales-look-like-rates": (
        ("optax", "piecewise_constant_schedule", 0.1, {30: 0.01, 60: 0.001}), {}, "rate is 1e-6",
        ("optax", "piecewise_constant_schedule", 0.1, {30: 0.5, 60: 0.5}), {},
    ),
    "start-is-a-part": (("torch", "LinearLR", 0.3), {}, "begins with 0.1",
     ("torch", "LinearLR", 0.3, 0.01), {}),
    "unit-is-epochs": (("timm", "StepLRScheduler", 0.1, 30), {"epoch": 50}, "Epochs(schedule, 50)",
     ("timm", "StepLRScheduler", 0.1, 30), {"t_in_epochs": False}),
    "unit-is-samples": (("megatron", "OptimizerParamScheduler"), {"max_lr": 1.0, "lr_decay_steps": 9}, "samples",
     ("gpt_neox", "AnnealingLR", 1.0, 3, 9, "cosine"), {}),
    "warmup-cut-off": (
        ("transformers", "get_cosine_schedule_with_warmup", 1.0, 100, 90), {}, "num_training_steps=190",
        ("keras", "CosineDecay", 0.0, 90), {"warmup_target": 0.1, "warmup_steps": 100},
    ),
    "warmup-ignored": (("keras", "CosineDecay", 0.1, 90), {"warmup_steps": 10}, "warmup_target=0.1",
     ("keras", "CosineDecay", 0.0, 90), {"warmup_steps": 10, "warmup_target": 0.1}),
    "warmup-index": (("torchtitan", "LRSchedulersContainer", 1.0, 100), {"warmup_steps": 10}, "by update 9",
     ("nemo", "CosineAnnealing", 1.0), {"max_steps": 100, "warmup_steps": 10}),
    "warmup-is-a-ratio": (("transformers", "get_cosine_schedule_with_warmup", 1.0, 0.1, 90), {}, "int(0.1 * upd",
     ("nemo", "CosineAnnealing", 1.0), {"max_steps": 90, "warmup_ratio": 0.1}),
    "whole-wave": (
        ("transformers", "get_cosine_schedule_with_warmup", 1.0, 10, 100), {"num_cycles": 1.0}, "at step 100",
        ("transformers", "get_cosine_schedule_with_warmup", 1.0, 10, 100), {"num_cycles": 1.5},
    ),
    "without-steps": (("optax", "linear_schedule", 0.1, 1.0, 0), {}, "stays at 0.1 for ever",
     ("optax", "linear_schedule", 0.1, 1.0, 10), {}),
    "end-ignored": (
        ("detectron2", "build_lr_scheduler", SOLVER | {"BASE_LR_END": "1e-4"}), {}, "no effect on WarmupMultiStepLR",
        ("detectron2", "build_lr_scheduler", SOLVER | {"BASE_LR_END": 0, "LR_SCHEDULER_NAME": "WarmupCosineLR"}), {}),
    "other-groups": (
        ("detectron2", "build_lr_scheduler", {"SOLVER": SOLVER | {"BIAS_LR_FACTOR": 2.0}}), {}, "2.0 * schedule",
        ("detectron2", "build_lr_scheduler", SOLVER | {"BIAS_LR_FACTOR": 1}), {}),
    "rescaled-by-trainer": (
        ("detectron2", "build_lr_scheduler", SOLVER | {"REFERENCE_WORLD_SIZE": 8}), {}, "auto_scale_workers",
        ("detectron2", "build_lr_scheduler", SOLVER | {"REFERENCE_WORLD_SIZE": 0}), {}),
}  # fmt: skip


def test_every_code_has_its_cases_and_its_words():
    assert set(CASES) == set(CODES)


@pytest.mark.parametrize("code", CASES)
def test_a_mistake_is_remarked_in_the_numbers_of_the_call(code):
    call, named, words, *_ = CASES[code]
    assert words in message(code, *call, **named)


@pytest.mark.parametrize("code", CASES)
def test_a_call_without_the_mistake_has_no_such_remark(code):
    *_, call, named = CASES[code]
    assert code not in codes(*call, **named)


ALL_LEFT = {"num_constant_steps": 0, "num_decay_steps": None, "lr_decay_factor": 0.0}
# Read in the sources of the libraries: does the length hold the warm-up? (None: it says nothing of a warm-up.)
INCLUDED = {
    ("allennlp", "cosine_with_warmup"): ({}, True),
    ("big_vision", "create_learning_rate_schedule"): ({"decay_type": "cosine"}, True),
    ("deepspeed", "WarmupCosineLR"): ({}, True),
    ("deepspeed", "WarmupDecayLR"): ({}, True),
    ("detectron2", "WarmupCosineLR"): ({}, True),
    ("diffusers", "get_cosine_schedule_with_warmup"): ({}, True),
    ("fairseq", "polynomial_decay"): ({}, True),
    ("gpt_neox", "AnnealingLR"): ({"decay_style": "cosine"}, True),
    ("keras", "CosineDecay"): ({"initial_learning_rate": 0.0}, False),
    ("levanter", "lr_scheduler"): ({"min_lr_ratio": 0.0}, True),
    ("megatron", "OptimizerParamScheduler"): ({}, True),
    ("nanotron", "lr_scheduler_builder"): ({"min_decay_lr": 0.0}, True),
    ("nemo", "CosineAnnealing"): ({}, True),
    ("nemo", "PolynomialDecayAnnealing"): ({}, True),
    ("olmo_core", "CosWithWarmup"): ({}, True),
    ("olmo_core", "LinearWithWarmup"): ({}, True),
    ("optax", "warmup_cosine_decay_schedule"): ({"init_value": 0.0}, True),
    ("power_lr", "CosineScheduler"): (ALL_LEFT, True),
    ("power_lr", "LinearScheduler"): (ALL_LEFT, True),
    ("pytorch_optimizer", "CosineScheduler"): ({}, True),
    ("pytorch_optimizer", "LinearScheduler"): ({}, True),
    ("speechbrain", "LinearWarmupScheduler"): ({}, True),
    ("thinc", "warmup_linear"): ({}, True),
    ("timm", "CosineLRScheduler"): ({}, True),
    ("timm", "PolyLRScheduler"): ({}, True),
    ("torchtitan", "LRSchedulersContainer"): ({}, True),
    ("transformers", "get_cosine_schedule_with_warmup"): ({}, True),
    ("transformers", "get_cosine_with_hard_restarts_schedule_with_warmup"): ({}, True),
    ("transformers", "get_cosine_with_min_lr_schedule_with_warmup"): ({"min_lr": 0.0}, True),
    ("transformers", "get_cosine_with_min_lr_schedule_with_warmup_lr_rate"): ({"min_lr": 0.0}, True),
    ("transformers", "get_linear_schedule_with_warmup"): ({}, True),
    ("transformers", "get_polynomial_decay_schedule_with_warmup"): ({}, True),
}


def request(library, name, warmup, length, more):
    c = CONVENTIONS[library][name]
    rate = {c.rate: 1.0} if c.rate in inspect.signature(getattr(getattr(compat, library), name)).parameters else {}
    return {c.warmup: warmup, c.length: length, **rate, **more}


@pytest.mark.parametrize(("library", "name"), INCLUDED, ids=lambda part: part)
@settings(max_examples=15)
@given(warmup=st.integers(2, 60), length=st.integers(2, 200))
def test_what_a_length_holds_is_read_off_the_curve(library, name, warmup, length):
    more, included = INCLUDED[library, name]
    call = request(library, name, warmup, length, more)
    try:
        found = codes(library, name, **call)
    except ValueError:
        assert warmup >= length, call  # only a warm-up that does not fit is refused
        return
    assert ("length-excludes-warmup" in found) == (not included)
    assert ("length-includes-warmup" in found) == (included and warmup < length)
    assert ("warmup-cut-off" in found) == (included and warmup >= length)


def test_the_prefix_of_timm_is_not_held():
    call = ("timm", "CosineLRScheduler", 1.0, 100)
    assert "length-excludes-warmup" in codes(*call, warmup_t=10, warmup_prefix=True)


def test_every_convention_names_arguments_of_its_function():
    for library, functions in CONVENTIONS.items():
        for name, c in functions.items():
            signature = inspect.signature(getattr(getattr(compat, library), name)).parameters
            named = {c.length, c.warmup, c.rate, c.end, c.part, c.bounds} - {""}
            free = {"warmup_steps"} if library in ("big_vision", "nemo") else set()
            assert named - set(signature) - free == set(), (library, name)


def test_a_call_by_name_is_that_of_the_function():
    by_name = ("transformers", "get_scheduler", "cosine")
    assert remarks(*by_name, lr=0.1, **WARM) == remarks("transformers", "get_cosine_schedule_with_warmup", 0.1, **WARM)
    config = {"type": "WarmupDecayLR", "params": {"total_num_steps": 100, **RISING}}
    expected = remarks("deepspeed", "WarmupDecayLR", 100, **RISING)
    assert remarks("deepspeed", "from_config", config) == remarks("deepspeed", "from_config", {"scheduler": config})
    assert remarks("deepspeed", "from_config", config) == expected
    trainer = {"learning_rate": 0.1, "lr_scheduler_type": "cosine", "warmup_steps": "10", "max_steps": 100}
    direct = remarks("transformers", "get_cosine_schedule_with_warmup", 0.1, 10, 100)
    assert remarks("transformers", "from_config", trainer) == direct
    tables = {"optimizer": {"lr": 0.1}, "training": {"steps": 100}, "lr_scheduler": {"warmup_steps": 10}}
    direct = remarks("torchtitan", "LRSchedulersContainer", 0.1, 100, 10)
    assert remarks("torchtitan", "from_config", tables) == direct


def test_an_optimizer_has_no_remarks():
    assert remarks("torch", "Adam") == ()


# A sample of each library that moves its schedule with every batch.
BATCHES_IN = {
    "fastai": (("fit_one_cycle", 0.1), {"steps": 100}),
    "ignite": (("CosineAnnealingScheduler", 0.1, 0.0, 100), {}),
    "keras": (("PolynomialDecay", 0.1, 100), {}),
    "mmengine": (("CosineAnnealingLR", 0.1, 100), {"by_epoch": False}),
    "paddle": (("CosineAnnealingDecay", 0.1, 100), {}),
}


def test_the_libraries_that_count_batches_are_those_of_the_table():
    assert set(BATCHES_IN) == set(BATCHES)


@pytest.mark.parametrize("library", BATCHES)
def test_a_library_that_counts_batches_says_so_unless_each_makes_an_update(library):
    call, named = BATCHES_IN[library]
    assert BATCHES[library] in message("counts-batches", library, *call, **named)
    assert "step 3 * j + 2" in message("counts-batches", library, *call, **named, accumulation=3)
    assert "counts-batches" not in codes(library, *call, **named, accumulation=1)


@pytest.mark.parametrize("library", sorted(set(CONVENTIONS) - set(BATCHES)))
def test_a_library_that_counts_updates_has_nothing_to_say_of_batches(library):
    for name, named in samples.sampled(library).items():
        built = {key: samples.built(library, value) for key, value in named.items()}
        assert "counts-batches" not in codes(library, name, **built, accumulation=4)


def test_an_update_of_the_batches_that_are_left_is_said():
    call, named = BATCHES_IN["paddle"]
    assert "last update of each epoch has the batches left" in message("counts-batches", "paddle", *call, **named)
    call, named = BATCHES_IN["keras"]
    assert "left" not in message("counts-batches", "keras", *call, **named)


def test_an_epoch_of_mmengine_has_any_number_of_batches():
    assert "counts-batches" not in codes("mmengine", "CosineAnnealingLR", 0.1, 100, accumulation=4)


@pytest.mark.parametrize("library", BATCHES)
@given(n=st.integers(2, 12))
def test_a_training_of_accumulated_batches_is_long_enough_for_the_suggested_length(library, n):
    (name, *given_), named = BATCHES_IN[library]
    if library == "fastai":
        longer = compat.fastai.fit_one_cycle(0.1, steps=100 * n)
    else:
        place = given_.index(100)
        longer = getattr(getattr(compat, library), name)(*given_[:place], 100 * n, *given_[place + 1 :], **named)
    text = message("counts-batches", library, name, *given_, **named, accumulation=n)
    assert text.endswith(f"={100 * n}")
    assert Batches(longer, n)(99) == longer(100 * n - 1)


def test_a_horizon_in_updates_is_compared_with_a_length_in_batches():
    call = ("keras", "CosineDecay", 1.0, 1000)
    assert codes(*call, horizon=1000) & {"ends-before-training"} == set()
    # 1000 updates of 4 batches
    assert "last 3000 of 4000 batches" in message("ends-before-training", *call, horizon=1000, accumulation=4)
    assert "length-looks-like-epochs" not in codes(*call, horizon=250, accumulation=4)


def test_times_of_composer_are_read():
    call = ("composer", "CosineAnnealingWithWarmupScheduler", 1.0, "3ba")
    assert "max_duration='13ba'" in message("length-includes-warmup", *call, max_duration="10ba")


def test_a_ratio_is_none_where_the_library_takes_one():
    assert "warmup-is-a-ratio" not in codes("levanter", "lr_scheduler", 1000, warmup=0.1)


def test_a_ratio_is_remarked_where_the_call_itself_is_refused():
    call = ("transformers", "get_cosine_schedule_with_warmup", 1.0, 0.1, 100)
    with pytest.raises(TypeError, match="num_warmup_steps"):
        compat.transformers.get_cosine_schedule_with_warmup(*call[2:])
    assert codes(*call) == {"warmup-is-a-ratio"}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (("torhc", "StepLR", 0.1, 5), ValueError, r"remarks\(module\) must be one of .*torch.*, got 'torhc'"),
        (("torch", "StepRL", 0.1, 5), ValueError, r"remarks\(function\) must be one of .*StepLR.*, got 'StepRL'"),
        (("torch", "StepLR", 0.1, 0), ValueError, r"StepLR\(step_size=...\) must be"),
        (("torch", "StepLR", 0.1), TypeError, "step_size"),
    ],
)
def test_what_is_no_call_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        remarks(*call)


@pytest.mark.parametrize("name", ["horizon", "epoch", "accumulation"])
def test_numbers_of_updates_are_checked(name):
    with pytest.raises(ValueError, match=rf"remarks\({name}=...\) must be an int >= 1"):
        remarks("torch", "StepLR", 0.1, 5, **{name: 0})


@pytest.mark.parametrize("library", samples.LIBRARIES)
def test_every_preset_can_be_remarked_on_for_any_training(library):
    for name, named in samples.sampled(library).items():
        built = {key: samples.built(library, value) for key, value in named.items()}
        for training in ({}, {"horizon": 1}, {"horizon": 100, "epoch": 10}, {"horizon": 100_000, "accumulation": 3}):
            for remark in remarks(library, name, **built, **training):
                assert remark.code in CODES
                assert remark.message
                assert remark.suggestion
                assert "nan" not in remark.message


COSINES = [
    "optax.warmup_cosine_decay_schedule", "keras.CosineDecay", "transformers.get_cosine_schedule_with_warmup",
    "megatron.OptimizerParamScheduler", "big_vision.create_learning_rate_schedule", "levanter.lr_scheduler",
    "allennlp.cosine_with_warmup",
]  # fmt: skip


@pytest.mark.parametrize("like", COSINES)
@settings(max_examples=20)
@given(warmup=st.integers(2, 60), length=st.integers(62, 200), peak=st.sampled_from([1.0, 3e-4]))
def test_a_suggested_length_gives_the_curve_of_the_other_library(like, warmup, length, peak):
    call = ("optax", "warmup_cosine_decay_schedule", 0.0, peak, warmup, length)
    found = [r.suggestion for r in remarks(*call, like=like) if r.code == "other-curve"]
    assert found == ([f"write decay_steps={length + warmup} for that curve"] if like == "keras.CosineDecay" else [])
    call = ("keras", "CosineDecay", 0.0, length, 0.0, "", peak, warmup)
    found = [r.suggestion for r in remarks(*call, like=like) if r.code == "other-curve"]
    assert found == ([] if like == "keras.CosineDecay" else [f"write decay_steps={length - warmup} for that curve"])


def test_a_window_of_mmengine_is_one_step_longer():
    assert "write end=101" in message("other-curve", "mmengine", "PolyLR", 0.1, end=100, like="torch.PolynomialLR")
    changed, wanted = compat.mmengine.PolyLR(0.1, end=101), compat.torch.PolynomialLR(0.1, 100)
    assert [changed(t) for t in range(100)] == pytest.approx([wanted(t) for t in range(100)], rel=1e-12)


def test_no_length_makes_up_for_the_first_rate_that_composer_uses_twice():
    call = ("composer", "CosineAnnealingWithWarmupScheduler", 0.1, "10ba")
    found = message("other-curve", *call, max_duration="100ba", like="optax.warmup_cosine_decay_schedule")
    assert "differs from update 1 on" in found
    assert "no other length gives it" in found


@pytest.mark.parametrize(
    "like", ["keras", "keras.CosineRise", "torch.StepRL", "torch.CosineAnnealingLR", "power_lr.LinearScheduler"]
)
def test_a_function_with_other_arguments_is_refused(like):
    with pytest.raises(ValueError, match=r"remarks\(like=...\) must be .*got '?" + like):
        remarks("optax", "warmup_cosine_decay_schedule", 0.0, 0.1, 100, 900, like=like)


# What the suggestions promise.


def test_the_suggested_shift_begins_with_a_step_of_the_line():
    schedule = compat.transformers.get_linear_schedule_with_warmup(1.0, **WARM)
    assert [Shift(schedule, 1)(t) for t in range(3)] == [0.1, 0.2, 0.3]


def test_the_suggested_hold_and_clip_stop_the_curve():
    wave = compat.torch.CosineAnnealingLR(0.1, 100, 0.01)
    assert Hold(wave, 100)(150) == wave(100) == 0.01
    falling = compat.torchtitan.LRSchedulersContainer(1.0, 100, warmup_steps=10)
    assert falling(120) < 0.0 == clip(falling, low=0.0)(120)


def test_the_suggested_divisors_give_the_same_ends():
    ours = compat.torch.OneCycleLR(0.1, 1000)
    there = compat.fastai.fit_one_cycle(0.1, 25.0, 250000.0, 0.3, steps=1000)
    paddle = compat.paddle.OneCycleLR(0.1, 1000, end_learning_rate=4e-07)
    assert ours(999) == pytest.approx(there(1000)) == pytest.approx(paddle(999))


def test_the_suggested_call_gives_the_momentum():
    words = message("momentum-left-out", "torch", "OneCycleLR", 0.1, 100)
    assert "from 0.95 to 0.85 at the top" in words
    assert "write OneCycleLR(..., field='momentum')" in words
    momenta = compat.torch.OneCycleLR(0.1, 100, field="momentum")
    assert [momenta(t) for t in (0, 29, 99)] == [0.95, 0.85, 0.95]
    assert "momentum-left-out" not in codes("torch", "OneCycleLR", 0.1, 100, field="momentum")
    wanted = "write combined_cos(0.25, 0.95, 0.85, 0.95, steps=100)"
    assert wanted in message("momentum-left-out", "fastai", "fit_one_cycle", 0.1, steps=100)


def test_the_suggested_factors_give_the_rates():
    wanted = compat.optax.piecewise_constant_schedule(0.1, {30: 0.1, 60: 0.1})
    assert "{30: 0.1, 60: 0.1}" in message("scales-look-like-rates", *CASES["scales-look-like-rates"][0])
    assert [wanted(t) for t in (0, 30, 60)] == pytest.approx([0.1, 0.01, 0.001])


def test_the_libraries_that_are_named_change_at_the_boundary():
    staircases = [
        compat.torch.MultiStepLR(1.0, [10], 0.5),
        compat.optax.piecewise_constant_schedule(1.0, {10: 0.5}),
        compat.paddle.PiecewiseDecay([10], [1.0, 0.5]),
        compat.mmengine.MultiStepLR(1.0, [10], 0.5),
    ]
    assert [(s(9), s(10)) for s in staircases] == [(1.0, 0.5)] * 4


@pytest.mark.parametrize(
    "build",
    [
        lambda: compat.keras.PiecewiseConstantDecay([60, 30], [1.0, 0.5, 0.1]),
        lambda: compat.paddle.MultiStepDecay(1.0, [60, 30]),
        lambda: compat.timm.MultiStepLRScheduler(1.0, [60, 30]),
    ],
    ids=["keras", "paddle", "timm"],
)
def test_the_libraries_that_are_named_want_milestones_in_order(build):
    with pytest.raises(ValueError, match=r"must be (in order|strictly increasing|in increasing order)"):
        build()


def test_the_libraries_that_are_named_begin_with_a_step_of_the_line():
    assert compat.torchtitan.LRSchedulersContainer(1.0, 100, warmup_steps=10)(0) == 0.1
    assert compat.olmo_core.CosWithWarmup(1.0, 100, warmup=10)(0) == 0.1


# Live libraries do what the remarks say of them.


def test_torch_raises_after_its_cycle():
    lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    oracles = importlib.import_module("oracles")
    optimizer = oracles.sgd(0.1)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, 10)
    with pytest.raises(ValueError, match="Tried to step 11 times"):
        oracles.rates(optimizer, lambda t: scheduler.step(), 13)


def test_torch_goes_on_with_another_rate_after_last_epoch():
    lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    oracles = importlib.import_module("oracles")
    whole = oracles.sgd(1.0)
    scheduler = lr_scheduler.StepLR(whole, 3)
    rates = oracles.rates(whole, lambda t: scheduler.step(), 8)
    # Six updates are made, and the optimizer's rate is restored: torch multiplies once more.
    again = oracles.sgd(rates[6])
    again.param_groups[0]["initial_lr"] = 1.0
    lr_scheduler.StepLR(again, 3, last_epoch=5)
    assert rates[6] == pytest.approx(0.01)
    assert again.param_groups[0]["lr"] == pytest.approx(0.001)


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("CosineAnnealingLR", {"T_max": 9}),
        ("CosineAnnealingWarmRestarts", {"T_0": 4}),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "cycle_momentum": False}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("LinearLR", {"total_iters": 9}),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "cycle_momentum": False}),
    ],
)
def test_torch_goes_on_with_the_number_of_updates_less_one(name, arguments):
    lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
    oracles = importlib.import_module("oracles")
    whole = oracles.sgd(1.0)
    scheduler = getattr(lr_scheduler, name)(whole, **arguments)
    rates = oracles.rates(whole, lambda t: scheduler.step(), 7)
    again = oracles.sgd(rates[6])
    stored = {key: value for key, value in whole.param_groups[0].items() if key not in ("params", "lr")}
    again.param_groups[0].update(stored)
    getattr(lr_scheduler, name)(again, **arguments, last_epoch=5)
    assert again.param_groups[0]["lr"] == pytest.approx(rates[6], rel=1e-12)


@settings(max_examples=10)
@given(first=st.integers(2, 40), growth=st.sampled_from([1.5, 2.0, 3.0]))
def test_keras_misses_the_restarts_that_are_named(first, growth):
    schedules = pytest.importorskip("keras").optimizers.schedules
    call = ("keras", "CosineDecayRestarts", 1.0, first, growth)
    native = schedules.CosineDecayRestarts(1.0, first, growth)
    found = [r.message for r in remarks(*call) if r.code == "restart-missed"]
    begin, cycle, starts = float(first), float(first), []
    for _ in range(12):
        if begin == int(begin):
            starts.append(int(begin))
        cycle *= growth
        begin += cycle
    missed = [step for step in starts if float(native(np.int32(step))) < 0.5]
    assert (f"step {missed[0]}," in found[0]) if missed else not found


def test_keras_computes_in_integers():
    keras = pytest.importorskip("keras")
    native = keras.optimizers.schedules.ExponentialDecay(1, 10, 0.5)
    assert float(native(5)) in (0.0, 1.0)
    assert 0.0 < compat.keras.ExponentialDecay(1, 10, 0.5)(5) < 1.0
