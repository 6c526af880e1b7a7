"""compat.detectron2, whose warm-up is fvcore's composite: worked out from its formulas, with fvcore as the oracle.

The formulas are those of detectron2 at 02b5c4e (2026-06-06), detectron2/solver.
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees

from lrsched.compat import detectron2, fvcore

live = pytest.importorskip("fvcore.common.param_scheduler")


def warmed(scheduler, factor, length, method, rescaled=False):
    """Return what WarmupParamScheduler builds (detectron2 at 02b5c4e, 2026-06-06, solver/lr_scheduler.py)."""
    start, end = factor * scheduler(0.0), scheduler(0.0 if rescaled else length)
    first = live.ConstantParamScheduler(start) if method == "constant" else live.LinearParamScheduler(start, end)
    scaling = ["rescaled", "rescaled" if rescaled else "fixed"]
    return live.CompositeParamScheduler([first, scheduler], [length, 1 - length], scaling)


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


NAMES = ["WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR"]


@given(
    st.sampled_from(NAMES), st.booleans(), st.integers(60, 3000), st.integers(0, 59), st.integers(1, 5),
    st.sampled_from(["linear", "constant"]), st.sampled_from([0.1, 0.5, 1.0]),
)  # fmt: skip
def test_each_name_builds_what_detectron2_builds(name, rescaled, total, warmup, decays, method, gamma):
    """What build_lr_scheduler builds (detectron2 at 02b5c4e, 2026-06-06, solver/build.py)."""
    steps = [total * (i + 1) // (decays + 1) + i for i in range(decays)]
    if name == "WarmupMultiStepLR":
        inner = live.MultiStepParamScheduler([gamma**k for k in range(decays + 1)], total, steps)
    elif name == "WarmupCosineLR":
        inner = live.CosineParamScheduler(1, 0.25)
    else:
        inner = live.StepWithFixedGammaParamScheduler(1.0, decays, gamma, total)
    theirs = warmed(inner, 0.01, warmup / total, method, rescaled)
    solver = {
        "LR_SCHEDULER_NAME": name, "MAX_ITER": total, "BASE_LR": 0.02, "BASE_LR_END": 0.005,
        "STEPS": [*steps, total + 9],
        "GAMMA": gamma, "NUM_DECAYS": decays, "WARMUP_ITERS": warmup, "WARMUP_FACTOR": 0.01, "WARMUP_METHOD": method,
        "RESCALE_INTERVAL": rescaled,
    }  # fmt: skip
    ours = detectron2.build_lr_scheduler({"SOLVER": solver})
    assert_agrees(ours, [0.02 * theirs(t / total) for t in range(total)])


@given(st.integers(2, 300), st.data(), st.booleans())
def test_a_warm_up_rescales_what_follows(total, data, steps):
    warmup = data.draw(st.integers(1, total - 1))
    if steps and total > 4:
        inner = live.StepParamScheduler(total, [1.0, 0.5, 0.25])
        own = fvcore.StepParamScheduler(total, [1.0, 0.5, 0.25])
    else:
        inner, own = live.LinearParamScheduler(1.0, 0.1), fvcore.LinearParamScheduler(1.0, 0.1, max_iter=total)
    theirs = warmed(inner, 0.1, warmup / total, "linear", True)
    ours = detectron2.WarmupParamScheduler(own, 0.1, warmup / total, rescale_interval=True, max_iter=total)
    assert_agrees(ours, [theirs(t / total) for t in range(total)])


SOLVER = {"IMS_PER_BATCH": 16, "BASE_LR": 0.02, "STEPS": "(60000, 80000)", "MAX_ITER": 90000}


def test_a_whole_configuration_has_its_section_solver():
    whole = {"MODEL": {"META_ARCHITECTURE": "GeneralizedRCNN"}, "SOLVER": SOLVER, "VERSION": 2}
    ours = detectron2.build_lr_scheduler(whole)
    assert ours == detectron2.build_lr_scheduler(SOLVER)
    assert ours == detectron2.build_lr_scheduler({**SOLVER, "STEPS": [60000, 80000], "MAX_ITER": "9e4"})
    assert (ours(0), ours(1000), ours(59999)) == (0.02 * 0.001, 0.02, 0.02)
    assert (ours(60000), ours(89999)) == pytest.approx((0.002, 0.0002), rel=1e-12)


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({}, ValueError, r"\(cfg\) must hold the names of detectron2's section SOLVER, got nothing"),
        ({"MAX_ITERS": 9}, TypeError, r"\(cfg\) must hold .*, got 'MAX_ITERS': 'MAX_ITER' is read, is that meant\?"),
        ({"SOLVER": {}}, ValueError, r"\(cfg\['SOLVER'\]\) must hold .*, got nothing"),
        ({"SOLVER": {"MAX_ITERS": 9}}, TypeError, r"\(cfg\['SOLVER'\]\) must hold .*, got 'MAX_ITERS'"),
        ({"solver": {"MAX_ITER": 9}}, ValueError, "got only 'solver': such names are under 'solver', give that"),
        ({"cfg": {"SOLVER": SOLVER}}, ValueError, r"such names are under 'cfg\.SOLVER', give that"),
        ({"SOLVER": SOLVER, "BASE_LR": 1.0}, TypeError, "got 'BASE_LR': it belongs in SOLVER"),
        ({"SOLVER": SOLVER, "TRAIN": {"MAX_ITER": 9}}, TypeError, r"got 'TRAIN\.MAX_ITER'"),
        ({"SOLVER": SOLVER, "SOLVERS": {}}, TypeError, "got 'SOLVERS': 'SOLVER' is read"),
        ({"_BASE_": "Base.yaml", "SOLVER": {"MAX_ITER": 9}}, ValueError, "must be merged first: .*BASE_LR.* may stand"),
        ({"lr_multiplier": {"warmup_length": 0.1}}, TypeError, "got 'lr_multiplier'"),
        ({"STEPS": 30000}, TypeError, r"STEPS=...\) must be a sequence"),
        ({"STEPS": (20000, 10000)}, ValueError, r"STEPS=...\) must be increasing between 0 and MAX_ITER=40000"),
        ({"STEPS": (40000,)}, ValueError, r"STEPS=...\) must be increasing"),
        ({"POLY_LR_POWER": 0.9, "MAX_ITER": 9}, TypeError, "got 'POLY_LR_POWER'"),
        ({"SOLVER": [1]}, TypeError, r"\(cfg\['SOLVER'\]\) must be a dictionary"),
        ({"GAMMA": 0.0, "LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR"}, ValueError, r"GAMMA=...\) must be > 0"),
        ({"BASE_LR": 0.0, "LR_SCHEDULER_NAME": "WarmupCosineLR"}, ValueError, r"BASE_LR=...\) must be > 0"),
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_read_is_refused_by_name(config, kind, message):
    with pytest.raises(kind, match=rf"^build_lr_scheduler.*{message}"):
        detectron2.build_lr_scheduler(config)


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
        ({"LR_SCHEDULER_NAME": "StepLR"}, "must be one of 'WarmupMultiStepLR', .*, got 'StepLR'"),
        ({"LR_SCHEDULER_NAME": "WarmupCosineLR", "BASE_LR_END": 1.0}, "must be from 0 to 0.001, got 1.0"),
        ({"WARMUP_METHOD": "no"}, "must be one of 'linear', 'constant'"),
    ],
)
def test_what_detectron2_refuses_is_refused(config, message):
    with pytest.raises(ValueError, match=message):
        detectron2.build_lr_scheduler(config)
