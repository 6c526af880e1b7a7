"""compat.detectron2, whose warm-up is fvcore's composite: worked out from its formulas, with fvcore as the oracle."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat import detectron2, fvcore

live = pytest.importorskip("fvcore.common.param_scheduler")


def warmed(scheduler, factor, length, method):
    """Return what detectron2's WarmupParamScheduler builds (solver/lr_scheduler.py, lines 26 to 50)."""
    start, end = factor * scheduler(0.0), scheduler(length)
    first = live.ConstantParamScheduler(start) if method == "constant" else live.LinearParamScheduler(start, end)
    return live.CompositeParamScheduler([first, scheduler], [length, 1 - length], ["rescaled", "fixed"])


@given(st.integers(2, 80), st.data(), st.sampled_from([0.0, 0.001, 0.5]), st.sampled_from(["linear", "constant"]))
def test_the_warm_up_is_a_composite_of_fvcore(total, data, factor, method):
    steps = data.draw(st.integers(1, total - 1))
    theirs = warmed(live.CosineParamScheduler(1.0, 0.1), factor, steps / total, method)
    ours = detectron2.WarmupParamScheduler(
        fvcore.CosineParamScheduler(1.0, 0.1, max_iter=total), factor, steps / total, method, max_iter=total
    )
    assert_agrees(detectron2.LRMultiplier(0.3, ours, total), [0.3 * theirs(t / total) for t in range(total)])


@given(st.integers(10, 90), st.integers(1, 9), st.sampled_from(["linear", "constant"]))
def test_the_configuration_builds_what_detectron2_builds(total, warmup, method):
    steps = [total // 2, total + 5]
    config = {
        "BASE_LR": 0.02,
        "MAX_ITER": total,
        "STEPS": steps,
        "WARMUP_ITERS": warmup,
        "WARMUP_METHOD": method,
        "IMS_PER_BATCH": 16,
    }
    inner = live.MultiStepParamScheduler([1.0, 0.1], total, steps[:1])
    theirs = warmed(inner, 1e-3, warmup / total, method)
    assert_agrees(detectron2.build_lr_scheduler(config), [0.02 * theirs(t / total) for t in range(total)])
    cosine = warmed(live.CosineParamScheduler(1, 0.1), 1e-3, warmup / total, method)
    ours = detectron2.build_lr_scheduler({**config, "LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 0.002})
    assert_agrees(ours, [0.02 * cosine(t / total) for t in range(total)])


def test_the_warm_up_ends_at_the_value_of_the_whole_schedule():
    # half a cosine of 10 updates is 0.79389 at update 3; the line to it from 0.001 has a third of the way at 1
    ours = detectron2.build_lr_scheduler(
        {"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR": 1.0, "MAX_ITER": 10, "WARMUP_ITERS": 3}
    )
    top = (1 + math.cos(0.3 * math.pi)) / 2
    assert_agrees(ours, [0.001, 0.001 + (top - 0.001) / 3, 0.001 + (top - 0.001) * 2 / 3, top])


def test_the_older_schedulers_multiply_by_a_factor():
    # factor 0.1 + 0.9 t / 2 for t < 2; one half of the rate from step 3 on
    stairs = detectron2.WarmupMultiStepLR(1.0, [3], 0.5, warmup_factor=0.1, warmup_iters=2)
    assert_agrees(stairs, [0.1, 0.55, 1.0, 0.5, 0.5])
    cosine = detectron2.WarmupCosineLR(1.0, 4, warmup_factor=0.1, warmup_iters=2, warmup_method="constant")
    assert_agrees(cosine, [0.1, 0.1 * (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"LR_SCHEDULER_NAME": "StepLR"}, "must be WarmupMultiStepLR or WarmupCosineLR, got 'StepLR'"),
        ({"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 1.0}, "must be from 0 to 0.001, got 1.0"),
        ({"WARMUP_METHOD": "no"}, "must be one of 'linear', 'constant'"),
    ],
)
def test_what_detectron2_refuses_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        detectron2.build_lr_scheduler(config)
