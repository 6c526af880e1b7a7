"""compat.deepspeed.from_config and the JSON files that people have."""

import json
from typing import Any

import pytest

from lrsched.compat import deepspeed, torch

DECAY = {"type": "WarmupDecayLR", "params": {"total_num_steps": 100, "warmup_max_lr": 0.1, "warmup_num_steps": 10}}
WHOLE = {
    "train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "steps_per_print": 10,
    "gradient_clipping": 1.0,
    "optimizer": {"type": "AdamW", "params": {"lr": 3e-5, "betas": [0.8, 0.999], "eps": 1e-8, "weight_decay": 3e-7}},
    "scheduler": DECAY,
    "fp16": {"enabled": True, "loss_scale_window": 1000, "initial_scale_power": 16, "hysteresis": 2},
    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}, "stage3_max_live_parameters": 1e9},
    "data_efficiency": {
        "data_routing": {
            "random_ltd": {"random_ltd_schedule": {"schedule_type": "fixed_linear", "schedule_config": {}}}
        }
    },
    "curriculum_learning": {
        "enabled": True,
        "schedule_type": "fixed_linear",
        "schedule_config": {"difficulty_step": 8},
    },
    "compression_training": {"weight_quantization": {"shared_parameters": {"schedule_offset": 0}}},
    "progressive_layer_drop": {"enabled": True, "theta": 0.5, "gamma": 0.001},
    "wall_clock_breakdown": False,
}
EXPECTED = deepspeed.WarmupDecayLR(100, 0.0, 0.1, 10)


def test_a_whole_file_is_read():
    assert deepspeed.from_config(WHOLE) == deepspeed.from_config(json.loads(json.dumps(WHOLE))) == EXPECTED
    assert deepspeed.from_config(DECAY) == EXPECTED


def test_numbers_may_be_text_and_the_start_of_training_told():
    params = {"total_num_steps": "1e2", "warmup_max_lr": "1e-1", "warmup_num_steps": "10", "last_batch_iteration": -1}
    assert deepspeed.from_config({"type": "WarmupDecayLR", "params": params}) == EXPECTED
    params = {"milestones": "[3, 9]", "gamma": "5e-1", "last_epoch": -1}
    optimizer = {"type": "AdamW", "params": {"lr": "1e-3"}}
    assert deepspeed.from_config({"optimizer": optimizer, "scheduler": {"type": "MultiStepLR", "params": params}}) == (
        torch.MultiStepLR(0.001, [3, 9], 0.5)
    )
    with pytest.raises(ValueError, match=r"\['last_batch_iteration'\] must be -1, which changes nothing, got 7"):
        deepspeed.from_config({"type": "OneCycle", "params": {"last_batch_iteration": 7}})


def test_the_momentum_of_a_cycle_leaves_the_rate_as_it_is():
    params = {"cycle_min_lr": 0.01, "cycle_max_lr": 0.1, "cycle_momentum": True, "cycle_min_mom": 0.8}
    assert deepspeed.from_config({"type": "OneCycle", "params": params}) == deepspeed.OneCycle(0.01, 0.1)


def without(name: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in WHOLE.items() if key != name} | more


COSINE = {"type": "WarmupCosineLR", "params": {"total_num_steps": 100}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"^from_config\(config\) must hold a section 'scheduler', or .*, got nothing$"),
        ({"deepspeed": WHOLE}, "got only 'deepspeed': such names are under 'deepspeed', give that$"),
        (without("scheduler"), "must hold a section 'scheduler', .*, got only 'train_batch_size', "),
        (without("scheduler", schedulers=DECAY), "got 'schedulers', .*: 'scheduler' is read"),
        (without("scheduler", lr_scheduler=DECAY), "got 'lr_scheduler'"),
        (without("scheduler", Scheduler=DECAY), "got 'Scheduler', .*: 'scheduler' is read"),
        ({**WHOLE, "warmup_num_steps": 3}, "got 'warmup_num_steps': it belongs in the params of 'scheduler'"),
        ({**WHOLE, "scheduler": None}, r"\['scheduler'\]\) must be a dictionary, got None"),
        ({"type": "WarmupDecayLR", "warmup_num_steps": 3}, "got 'warmup_num_steps': it belongs in params"),
        ({"type": "WarmupDecayLR", "param": DECAY["params"]}, "only 'type' and 'params', got 'param"),
        ({"name": "WarmupDecayLR", "params": DECAY["params"]}, "only 'type' and 'params', got 'name'"),
        ({"type": "warmupdecaylr", "params": {}}, r"\['type'\]\) must be one of .*: is 'WarmupDecayLR' meant\?"),
        ({"type": "WarmupDecayLR", "params": {"total_steps": 9}}, "got 'total_steps'"),
        ({"type": "WarmupDecayLR", "params": {"lr": 0.1}}, "got 'lr': it belongs in the params of 'optimizer'"),
        ({"type": "WarmupLR", "params": {"lr": 0.1}}, "got 'lr': it belongs in the params of 'optimizer'"),
        ({"scheduler": COSINE, "optimizer": {"params": {"learning_rate": 1}}}, r"\['params'\]\) .* 'learning_rate'"),
        ({"scheduler": COSINE, "optimizer": {"lr": 0.1}}, r"\['optimizer'\]\) must hold .*'lr': it belongs in params"),
        ({"scheduler": COSINE, "optimizer": {"params": {"rate": 1}}}, r"with the rate as 'lr', got {'rate': 1}"),
        ({"scheduler": COSINE, "optimizer": {"params": {"lr": 1, "muon_lr": 1}}}, "got 'muon_lr'"),
        ({"scheduler": COSINE}, r"\(lr=...\) must be given for WarmupCosineLR"),
    ],
)
def test_a_file_that_is_not_read_is_refused_by_name(config: Any, message: str):
    with pytest.raises((TypeError, ValueError), match=message):
        deepspeed.from_config(config)


def test_rates_that_the_scheduler_replaces_do_not_matter():
    optimizer = {"type": "Muon", "params": {"lr": 0.1, "muon_lr": 0.02, "adam_lr": 0.01}}
    assert deepspeed.from_config({**WHOLE, "optimizer": optimizer}) == EXPECTED
