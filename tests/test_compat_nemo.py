"""compat.nemo gives the rates of NeMo's own policies."""

import warnings

import pytest
from hypothesis import assume, given
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
totals = st.integers(2, 50)


def check(name, lr, count=70, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = sgd(lr)
        scheduler = getattr(live, name)(optimizer, **arguments)
        expected = rates(optimizer, lambda t: scheduler.step(), count)
    ours = getattr(nemo, name)
    head = () if name.startswith("T5") else (lr,)
    assert_agrees(ours(*head, **arguments), expected)


SIMPLE = [
    "WarmupPolicy", "SquareAnnealing", "SquareRootAnnealing", "CosineAnnealing", "WarmupAnnealing",
    "InverseSquareRootAnnealing", "PolynomialDecayAnnealing",
]  # fmt: skip


@pytest.mark.parametrize("name", SIMPLE)
@given(lr=lrs, total=totals, warmup=st.none() | st.integers(0, 40), low=lows)
def test_policies_with_a_warm_up_are_those_of_nemo(name, lr, total, warmup, low):
    assume((warmup or 0) < total)
    arguments = {"power": 2.0} if name == "PolynomialDecayAnnealing" else {}
    check(name, lr, max_steps=total, warmup_steps=warmup, min_lr=low, **arguments)


HELD = [
    "WarmupHoldPolicy", "WarmupHoldAnnealOneMinusSquareRoot", "WarmupHoldAnnealLinear", "NoamHoldAnnealing",
    "PolynomialHoldDecayAnnealing",
]  # fmt: skip


@pytest.mark.parametrize("name", HELD)
@given(lr=lrs, rest=st.integers(1, 30), warmup=st.integers(0, 12), hold=st.none() | st.integers(0, 12), low=lows)
def test_policies_with_a_hold_are_those_of_nemo(name, lr, rest, warmup, hold, low):
    assume(warmup > 0 or name != "NoamHoldAnnealing")
    # NeMo divides zero by zero if warm-up and hold are asked for and neither takes a step
    assume(name != "PolynomialHoldDecayAnnealing" or hold is not None or warmup == 0)
    total = warmup + (hold or 0) + rest
    check(name, lr, max_steps=total, warmup_steps=warmup, hold_steps=hold, min_lr=low)


@given(lrs, st.integers(0, 12), st.integers(1, 30), st.integers(1, 12), lows)
def test_the_cosine_with_constant_steps_is_that_of_nemo(lr, warmup, rest, constant, low):
    total = warmup + rest + constant
    check("CosineAnnealing", lr, max_steps=total, warmup_steps=warmup, constant_steps=constant, min_lr=low)


@given(lrs, st.integers(1, 64), st.none() | st.integers(0, 20), st.sampled_from([0.0, 0.01]))
def test_noam_is_that_of_nemo(lr, width, warmup, low):
    check("NoamAnnealing", lr, d_model=width, warmup_steps=warmup, min_lr=low)


@given(st.integers(1, 30), st.integers(1, 30), lows)
def test_the_t5_policy_ignores_the_rate_as_that_of_nemo(constant, rest, low):
    check("T5InverseSquareRootAnnealing", 123.0, max_steps=constant + rest, constant_steps=constant, min_lr=low)


@given(lrs, st.sampled_from([0.1, 0.25]), st.sampled_from([0.1, 0.3]), st.integers(10, 50))
def test_ratios_are_rounded_down_as_in_nemo(lr, warmup, hold, total):
    check("WarmupAnnealing", lr, max_steps=total, warmup_ratio=warmup)
    check("WarmupHoldAnnealLinear", lr, max_steps=total, warmup_ratio=warmup, hold_ratio=hold)
    check("CosineAnnealing", lr, max_steps=total, warmup_ratio=warmup, constant_ratio=hold)


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
        (lambda: nemo.NoamHoldAnnealing(1.0, max_steps=9), ValueError, r"warmup_steps=...\) must be >= 1"),
        (lambda: nemo.NoamAnnealing(0.1, d_model=4, min_lr=0.2), ValueError, r"min_lr=...\) must be <= lr=0.1"),
        (lambda: nemo.WarmupHoldPolicy(1.0, max_steps=9, gamma=1), TypeError, "unexpected argument 'gamma'"),
    ],
)
def test_what_nemo_refuses_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
