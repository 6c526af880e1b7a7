"""A list of milestones may be empty wherever the library takes it so; the rate then stays, or follows its warm-up."""

import importlib

import pytest
from oracles import assert_agrees, rates, sgd

from lrsched import Constant, compat

torch = pytest.importorskip("torch")


def of(library):
    """Return the tests of a preset, which load the library."""
    return importlib.import_module(f"test_compat_{library}")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("MultiStepScheduler", {}), ("MultiStepWithWarmupScheduler", {"t_warmup": "4ba", "scale_warmup": True})],
)
@pytest.mark.parametrize("ssr", [1.0, 0.5])
def test_composer_takes_none(name, arguments, ssr):
    of("composer").check(name, ssr=ssr, milestones=[], **arguments)


def test_composer_warms_up_to_the_rate_that_stays():
    s = compat.composer.MultiStepWithWarmupScheduler(0.1, "4ba", [])
    # the Trainer steps the scheduler before it counts the batch
    assert [s(t) for t in (0, 1, 3, 5, 99)] == [0.0, 0.0, 0.05, 0.1, 0.1]


def test_torch_takes_none():
    optimizer = sgd(0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [])
    assert_agrees(compat.torch.MultiStepLR(0.1, []), rates(optimizer, lambda t: scheduler.step(), 9))


def test_paddle_takes_none():
    # 3.3, optimizer/lr.py: a loop over the milestones that comes to none
    assert compat.paddle.MultiStepDecay(0.1, []) == Constant(0.1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("MultiStepLR", {"milestones": []}), ("CosineRestartLR", {"periods": [], "restart_weights": [], "eta_min": 0.0})],
)
def test_mmengine_takes_none(name, arguments):
    of("mmengine").check(name, 0.1, 0, None, count=9, **arguments)


def test_timm_takes_none():
    of("timm").check("MultiStepLRScheduler", 0.1, decay_t=[], warmup_t=3, warmup_lr_init=0.01)


def test_optax_takes_none():
    optax = pytest.importorskip("optax")
    ours = compat.optax.piecewise_constant_schedule(0.1, {})
    assert_agrees(ours, [float(optax.piecewise_constant_schedule(0.1, {})(t)) for t in range(9)], rtol=1e-7)


def test_detectron2_takes_none():
    # 0.6, solver/lr_scheduler.py: bisect_right([], t) is 0 at each step
    assert compat.detectron2.WarmupMultiStepLR(0.1, [], warmup_iters=0) == Constant(0.1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: compat.keras.PiecewiseConstantDecay([], [0.1]), "keras"),
        (lambda: compat.tf_models.PiecewiseConstantDecayWithOffset([], [0.1]), "tf_keras"),
    ],
    ids=["keras", "tf_models"],
)
def test_where_the_library_fails_without_boundaries_they_are_wanted(ours, theirs):
    native = pytest.importorskip(theirs).optimizers.schedules.PiecewiseConstantDecay([], [0.1])
    with pytest.raises(IndexError):
        native(1)
    with pytest.raises(ValueError, match=r"boundaries=...\) must be a sequence of 1 or more items, got \[\]"):
        ours()
