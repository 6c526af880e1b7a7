"""compat.olmo_core gives the rates of OLMo-core's own schedulers, one step ahead as its trainer counts."""

import enum
import types
from math import cos, pi, sqrt
from typing import Any, Optional, Union

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_agrees, assert_agrees_at, definitions

from lrsched.compat import olmo_core

torch = pytest.importorskip("torch")

NAMES = [
    "SchedulerUnits", "Scheduler", "ConstantScheduler", "ConstantWithWarmup", "WSD", "PowerLR", "LinearWithWarmup",
    "InvSqrtWithWarmup", "CosWithWarmup", "HalfCosWithWarmup", "CosWithWarmupAndLinearDecay", "WSDS",
    "ExponentialScheduler", "_linear_warmup", "_linear_decay",
]  # fmt: skip


class Registrable:
    @classmethod
    def register(cls, name):
        return lambda sub: sub


def _live():
    import dataclasses
    from abc import ABCMeta, abstractmethod

    content = {
        "dataclass": dataclasses.dataclass, "field": dataclasses.field, "Config": type("Config", (), {}),
        "Registrable": Registrable, "StrEnum": enum.StrEnum, "ABCMeta": ABCMeta, "abstractmethod": abstractmethod,
        "LR_FIELD": "lr", "INITIAL_LR_FIELD": "initial_lr", "OLMoConfigurationError": ValueError, "torch": torch,
        "np": np, "cos": cos, "pi": pi, "sqrt": sqrt, "Any": Any, "Optional": Optional, "Union": Union, "Dict": dict,
        "List": list,
    }  # fmt: skip
    return types.SimpleNamespace(**definitions("olmo_core", "optim/scheduler.py", NAMES, **content))


live = _live()

lrs = st.sampled_from([1.0, 3e-4])
totals = st.integers(2, 50)
warmups = st.integers(1, 60)
tails = st.integers(0, 40)
alphas = st.sampled_from([0.0, 0.1, 1.0])


def check(name, lr, total, over=6, **arguments):
    """Update t has the value of t + 1: train/trainer.py counts before it trains."""
    scheduler = getattr(live, name)(**arguments)
    expected = [scheduler.get_lr(lr, t + 1, total) for t in range(total + over)]
    head = () if name in ("WSDS", "ConstantScheduler") else (total,)
    assert_agrees(getattr(olmo_core, name)(lr, *head, **arguments), expected)


@given(lrs, totals, warmups, alphas)
def test_warm_ups_and_their_decays_are_those_of_olmo(lr, total, warmup, alpha):
    check("ConstantWithWarmup", lr, total, warmup=warmup)
    for name in ("LinearWithWarmup", "InvSqrtWithWarmup", "CosWithWarmup"):
        check(name, lr, total, warmup=warmup, alpha_f=alpha)
    check("HalfCosWithWarmup", lr, total, warmup=warmup, alpha_f=alpha, warmup_min_lr=0.0)


@given(lrs, totals, st.sampled_from([0.1, 0.25, 0.5]), st.sampled_from([0.1, 0.4]))
def test_parts_of_the_training_are_rounded_as_olmo_does(lr, total, part, tail):
    if round(total * part) > 0 and round(total * tail) > 0:
        check("WSD", lr, total, warmup_fraction=part, decay_fraction=tail)
        check("CosWithWarmup", lr, total, warmup_fraction=part, warmup_min_lr=lr / 10)


@given(lrs, totals, warmups, st.integers(1, 40), st.sampled_from([0.0, 1e-5]))
def test_wsd_is_that_of_olmo(lr, total, warmup, decay, low):
    check("WSD", lr, total, warmup=warmup, decay=decay, decay_fraction=None, decay_min_lr=low)


@given(lrs, st.integers(1, 15), st.integers(1, 20), st.integers(1, 15), st.sampled_from([-0.51, -1.0]), alphas)
def test_power_and_cosine_with_a_line_are_those_of_olmo(lr, warmup, body, decay, b, alpha):
    total = warmup + body + decay
    check("PowerLR", lr, total, warmup=warmup, decay=decay, decay_fraction=None, b=b)
    arguments = {"warmup": warmup, "decay": decay, "decay_fraction": None, "alpha_f": max(alpha, 0.1)}
    check("CosWithWarmupAndLinearDecay", lr, total, **arguments)


@given(lrs, st.integers(0, 9), st.integers(1, 9), st.lists(st.integers(0, 20), min_size=1, max_size=4), st.booleans())
def test_wsd_s_is_that_of_olmo(lr, warmup, decay, stable, scaled):
    lengths = [n + decay + (warmup if i == 0 else 0) for i, n in enumerate(stable)]
    heights = [1.0 - 0.2 * i for i in range(len(lengths))] if scaled else None
    arguments = {"period_lengths": lengths, "period_lr_multipliers": heights, "warmup": warmup, "decay": decay}
    check("WSDS", lr, sum(lengths), **arguments, decay_min_lr=1e-6)


@given(lrs, totals)
def test_the_rise_is_that_of_olmo(lr, total):
    check("ExponentialScheduler", lr, total, lr_min=1e-9)
    check("ConstantScheduler", lr, total)


@given(
    lrs, st.integers(2, 30), st.integers(1, 7), st.integers(0, 6), st.integers(1, 60), alphas,
    st.sampled_from([0.1, 0.4]), st.integers(1, 40), st.booleans(),
)  # fmt: skip
def test_lengths_may_count_tokens(lr, updates, size, more, warmup, alpha, part, decay, long):
    """optim/scheduler.py, set_lr: the trainer counts the tokens of a batch, then sets the rate."""
    total, scale = updates * size + more % size, 10**6 if long else 1
    size, total, warmup, decay = size * scale, total * scale, warmup * scale, decay * scale

    def check_tokens(name, **arguments):
        scheduler = getattr(live, name)(units="tokens", **arguments)
        count = -(-total // size)  # the update that reaches the number of tokens is the last
        expected = [scheduler.get_lr(lr, (t + 1) * size, total) for t in range(count)]
        head = () if name == "WSDS" else (total,)
        ours = getattr(olmo_core, name)(lr, *head, units="tokens", tokens_per_step=size, **arguments)
        # In float32 a power of large numbers of tokens is 2e-6 off.
        assert_agrees(ours, expected, single=name != "PowerLR")

    check_tokens("ConstantWithWarmup", warmup=warmup)
    for name in ("LinearWithWarmup", "InvSqrtWithWarmup", "CosWithWarmup", "HalfCosWithWarmup"):
        check_tokens(name, warmup=warmup, alpha_f=alpha)
    if round(total * part) > 0:
        check_tokens("CosWithWarmup", warmup_fraction=part)
    check_tokens("WSD", warmup=warmup, decay=decay, decay_fraction=None)
    check_tokens("ExponentialScheduler", lr_min=1e-9)
    if warmup + decay < total:
        check_tokens("PowerLR", warmup=warmup, decay=decay, decay_fraction=None)
        tail = {"decay": decay, "decay_fraction": None, "alpha_f": max(alpha, 0.1)}
        check_tokens("CosWithWarmupAndLinearDecay", warmup=warmup, **tail)
        check_tokens("WSDS", period_lengths=[total], warmup=warmup, decay=decay)


def test_tokens_beyond_the_reach_of_int32_are_counted_in_every_library():
    # 4 Mi tokens an update, 2**42 in all, a warm-up of 100 updates: from the update 2**9 on int32 would overflow
    size = 2**22
    s = olmo_core.InvSqrtWithWarmup(
        1.0, 2**42, alpha_f=0.0, warmup=100 * size, units="tokens", tokens_per_step=size
    )  # fmt: skip
    assert_agrees_at(s, {99: 1.0, 399: 0.5, 999: 0.1**0.5, 10**6 - 1: 0.01})
    jnp = pytest.importorskip("jax.numpy")
    for t in (99, 399, 999, 10**6 - 1):
        assert float(s(jnp.asarray(t))) == pytest.approx((100 / (t + 1)) ** 0.5, rel=2e-6)


def test_tokens_need_the_tokens_of_an_update():
    with pytest.raises(ValueError, match=r"tokens_per_step=...\) must be given if units is \"tokens\", and only then"):
        olmo_core.CosWithWarmup(1.0, 1000, warmup=10, units="tokens")
    with pytest.raises(ValueError, match=r"tokens_per_step=...\) must be given if .*, got 5"):
        olmo_core.CosWithWarmup(1.0, 1000, warmup=10, tokens_per_step=5)
    with pytest.raises(ValueError, match=r"units=...\) must be one of 'steps', 'tokens', got 'samples'"):
        olmo_core.CosWithWarmup(1.0, 1000, warmup=10, units="samples")
    assert olmo_core.ConstantScheduler(0.1, units="tokens") == olmo_core.ConstantScheduler(0.1)


def test_the_first_update_is_a_step_ahead():
    s = olmo_core.CosWithWarmup(1.0, 10, warmup=4)
    assert [s(t) for t in range(4)] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: olmo_core.ConstantWithWarmup(1.0, 9), r"warmup=...\) must be given, or warmup_fraction"),
        (
            lambda: olmo_core.WSD(1.0, 9, warmup=2, decay=2),
            r"decay=...\) must be given, or decay_fraction, and not both",
        ),
        (
            lambda: olmo_core.WSD(1.0, 9, warmup_fraction=1.5),
            r"warmup_fraction=...\) must be a finite number >= 0 and <= 1",
        ),
        (lambda: olmo_core.WSD(1.0, 9, warmup=2, warmup_min_lr=1.0), r"warmup_min_lr=...\) must be < 1.0, got 1.0"),
        (lambda: olmo_core.PowerLR(1.0, 9, b=0.5, warmup=2), r"b=...\) must be a finite number >= -100 and < 0"),
        (lambda: olmo_core.WSDS(1.0, [5], warmup=3, decay=3), r"decay=...\) must be from 1 to"),
        (lambda: olmo_core.WSDS(1.0, [], warmup=3, decay=3), r"must be a sequence of 1 or more items"),
        (lambda: olmo_core.ExponentialScheduler(1.0, 9, lr_min=0.0), r"lr_min=...\) must be a finite number > 0"),
    ],
)
def test_what_olmo_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
