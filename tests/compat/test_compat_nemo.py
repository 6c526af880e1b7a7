"""compat.nemo gives the rates of NeMo's own policies."""

import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, load, rates, sgd, stub

from lrsched.compat import nemo

live = load(
    "nemo",
    "core/optim/lr_scheduler.py",
    [
        stub("omegaconf", DictConfig=dict, OmegaConf=None),
        stub("nemo", __path__=[]),
        stub("nemo.core", __path__=[]),
        stub("nemo.core.classes", __path__=[]),
        stub("nemo.core.classes.common", safe_instantiate=None),
        stub("nemo.core.config", __path__=[]),
        stub(
            "nemo.core.config.schedulers",
            SchedulerParams=None,
            get_scheduler_config=None,
            register_scheduler_params=None,
        ),
        stub("nemo.utils", logging=None, __path__=[]),
        stub("nemo.utils.model_utils", maybe_update_config_version=None),
    ],
)

lrs = st.sampled_from([1.0, 0.05])
lows = st.sampled_from([0.0, 1e-4])
totals = st.integers(1, 50)


def check(name, lr, count=70, **arguments):
    """Compare the rates of NeMo with ours; where NeMo raises, ours is refused when it is built."""
    head = () if name.startswith("T5") else (lr,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = sgd(lr)
        try:
            scheduler = getattr(live, name)(optimizer, **arguments)
            expected = rates(optimizer, lambda t: scheduler.step(), count)
        except (AssertionError, ValueError, ZeroDivisionError):
            with pytest.raises(ValueError, match=rf"{name}\(\w+=...\) must be"):
                getattr(nemo, name)(*head, **arguments)
            return
    assert_agrees(getattr(nemo, name)(*head, **arguments), expected)


def phase(name):
    """Return the arguments of a phase: a number of steps, a part of all, or none."""
    ratios = st.sampled_from([0.0, 0.1, 0.25, 1.0])
    steps = st.integers(0, 60).map(lambda n: {f"{name}_steps": n})
    return st.just({}) | steps | ratios.map(lambda part: {f"{name}_ratio": part})


SIMPLE = [
    "WarmupPolicy", "SquareAnnealing", "SquareRootAnnealing", "WarmupAnnealing", "InverseSquareRootAnnealing",
    "PolynomialDecayAnnealing",
]  # fmt: skip


@pytest.mark.parametrize("name", SIMPLE)
@given(lr=lrs, total=totals, warmup=phase("warmup"), low=lows)
def test_policies_with_a_warm_up_are_those_of_nemo(name, lr, total, warmup, low):
    arguments = {"power": 2.0} if name == "PolynomialDecayAnnealing" else {}
    check(name, lr, max_steps=total, min_lr=low, **warmup, **arguments)


HELD = [
    "WarmupHoldPolicy", "WarmupHoldAnnealOneMinusSquareRoot", "WarmupHoldAnnealLinear", "NoamHoldAnnealing",
    "PolynomialHoldDecayAnnealing",
]  # fmt: skip


@pytest.mark.parametrize("name", HELD)
@given(lr=lrs, total=totals, warmup=phase("warmup"), hold=phase("hold"), low=lows, cycle=st.booleans())
def test_policies_with_a_hold_are_those_of_nemo(name, lr, total, warmup, hold, low, cycle):
    arguments = {"cycle": cycle} if name == "PolynomialHoldDecayAnnealing" else {}
    check(name, lr, max_steps=total, min_lr=low, **warmup, **hold, **arguments)


@given(lrs, totals, phase("warmup"), phase("constant"), st.sampled_from([0.0, 1e-4, 0.05, 0.5]))
def test_the_cosine_is_that_of_nemo(lr, total, warmup, constant, low):
    check("CosineAnnealing", lr, max_steps=total, min_lr=low, **warmup, **constant)


def test_a_cosine_without_a_step_drops_to_the_last_rate_after_the_warm_up():
    arguments = {"warmup_steps": 250, "constant_steps": 2500, "min_lr": 1e-7, "max_steps": 2000}
    check("CosineAnnealing", 5e-6, count=2100, **arguments)
    s = nemo.CosineAnnealing(5e-6, **arguments)
    assert [s(t) for t in (125, 250, 251, 1999)] == [2.5e-6, 5e-6, 1e-7, 1e-7]


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("phase", ["warmup", "hold"])
@pytest.mark.parametrize(
    ("form", "value", "kind"),
    [
        ("ratio", 2.0, ValueError), ("ratio", math.nan, ValueError), ("ratio", "0.1", TypeError),
        ("ratio", True, TypeError), ("steps", "3", TypeError), ("steps", True, TypeError), ("steps", 3.5, TypeError),
        ("steps", math.nan, TypeError), ("steps", -1, ValueError),
    ],
)  # fmt: skip
def test_the_phases_of_a_hold_are_checked(name, phase, form, value, kind):
    with pytest.raises(kind, match=rf"{name}\({phase}_{form}=...\) must be "):
        getattr(nemo, name)(1.0, max_steps=9, **{f"{phase}_{form}": value})


@given(lrs, st.integers(1, 64), st.none() | st.integers(0, 20), st.sampled_from([0.0, 0.01]))
def test_noam_is_that_of_nemo(lr, width, warmup, low):
    check("NoamAnnealing", lr, d_model=width, warmup_steps=warmup, min_lr=low)


@given(st.integers(1, 60), totals, lows)
def test_the_t5_policy_ignores_the_rate_as_that_of_nemo(constant, total, low):
    check("T5InverseSquareRootAnnealing", 123.0, max_steps=total, constant_steps=constant, min_lr=low)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: nemo.WarmupPolicy(1.0, warmup_steps=2, warmup_ratio=0.1, max_steps=9),
            ValueError,
            r"warmup_ratio=...\) must be None if warmup_steps is given",
        ),
        (lambda: nemo.WarmupPolicy(1.0, warmup_ratio=0.1), ValueError, r"max_steps=...\) must be given"),
        (lambda: nemo.CosineAnnealing(0.1, max_steps=9, min_lr=0.2), ValueError, r"min_lr=...\) must be <= lr=0.1"),
        (
            lambda: nemo.WarmupHoldAnnealLinear(1.0, max_steps=9, warmup_steps=3, hold_steps=6),
            ValueError,
            r"max_steps=...\) must be other than 9, where the hold ends: NeMo divides by 0, got 9",
        ),
        (
            lambda: nemo.CosineAnnealing(1.0, max_steps=9, constant_steps=9),
            ValueError,
            r"constant_steps=...\) must be other than 9: NeMo divides by 0",
        ),
        (lambda: nemo.NoamHoldAnnealing(1.0, max_steps=9), ValueError, r"warmup_steps=...\) must be >= 1"),
        (lambda: nemo.NoamAnnealing(0.1, d_model=4, min_lr=0.2), ValueError, r"min_lr=...\) must be <= lr=0.1"),
        (lambda: nemo.WarmupHoldPolicy(1.0, max_steps=9, gamma=1), TypeError, "unexpected keyword argument 'gamma'"),
    ],
)
def test_what_nemo_refuses_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
