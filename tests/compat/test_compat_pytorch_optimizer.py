"""compat.pytorch_optimizer gives the rates of pytorch_optimizer's own schedulers."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import assert_agrees, rates, sgd

from lrsched.compat import pytorch_optimizer

live = pytest.importorskip("pytorch_optimizer.lr_scheduler")
from pytorch_optimizer.lr_scheduler.chebyshev import get_chebyshev_schedule  # noqa: E402  # needs the check above
from pytorch_optimizer.lr_scheduler.wsd import get_wsd_schedule  # noqa: E402

lows = st.sampled_from([0.0, 0.01])


def check(name, theirs, lr=0.5, **arguments):
    optimizer = sgd(lr)
    scheduler = theirs(optimizer, **arguments)

    expected = rates(optimizer, lambda t: scheduler.step(), 70)
    head = (lr,) if name.startswith("get") else ()
    assert_agrees(getattr(pytorch_optimizer, name)(*head, **arguments), expected)


@pytest.mark.parametrize("name", ["LinearScheduler", "CosineScheduler", "PolyScheduler"])
@given(warmup=st.integers(0, 15), rest=st.integers(1, 40), low=lows, init=lows)
def test_late_schedules_are_those_of_pytorch_optimizer(name, warmup, rest, low, init):
    arguments = {"t_max": warmup + rest, "max_lr": 0.7, "min_lr": low, "init_lr": init, "warmup_steps": warmup}
    check(name, getattr(live, name), **arguments)


@given(st.integers(1, 50), lows)
def test_rex_is_that_of_pytorch_optimizer(total, low):
    check("REXScheduler", live.REXScheduler, total_steps=total, max_lr=0.7, min_lr=low)


@given(
    st.integers(1, 20), st.sampled_from([1.0, 2.0, 1.5, 1.05, 0.5, 0.01]), st.integers(0, 9),
    st.sampled_from([0.9, 1.0, 0.5]), lows,
)  # fmt: skip
@example(1, 1.5, 0, 0.9, 0.0)  # one step stays one
def test_restarts_are_those_of_pytorch_optimizer(steps, mult, warmup, gamma, low):
    arguments = {"first_cycle_steps": steps + warmup, "cycle_mult": mult, "max_lr": 0.7, "min_lr": low}
    theirs = live.CosineAnnealingWarmupRestarts
    check("CosineAnnealingWarmupRestarts", theirs, warmup_steps=warmup, gamma=gamma, **arguments)


@given(
    st.integers(0, 15), st.integers(0, 15), st.integers(0, 20), st.sampled_from([0.0, 0.1]),
    st.sampled_from(["1-sqrt", "cosine", "linear", "1-square"]), st.sampled_from([0.5, 1.0, 1.5]),
)  # fmt: skip
def test_wsd_is_that_of_pytorch_optimizer(warmup, stable, decay, ratio, kind, cycles):
    check(
        "get_wsd_schedule", get_wsd_schedule, num_warmup_steps=warmup, num_stable_steps=stable, num_decay_steps=decay,
        min_lr_ratio=ratio, cooldown_type=kind, num_cycles=cycles,
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 30, 64])
@pytest.mark.parametrize("warmup", [True, False])
def test_chebyshev_steps_are_those_of_pytorch_optimizer(count, warmup):
    check("get_chebyshev_schedule", get_chebyshev_schedule, num_epochs=count, is_warmup=warmup)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pytorch_optimizer.LinearScheduler(5, 1.0, warmup_steps=5), r"t_max=...\) must be > warmup_steps=5"),
        (lambda: pytorch_optimizer.PolyScheduler(5, 1.0, poly_order=0.0), r"poly_order=...\) must be .* > 0"),
        (lambda: pytorch_optimizer.CosineScheduler(5, -1.0), r"max_lr=...\) must be a finite number >= 0"),
        (lambda: pytorch_optimizer.CosineAnnealingWarmupRestarts(5, warmup_steps=5), r"warmup_steps=...\) must be < 5"),
        (lambda: pytorch_optimizer.get_chebyshev_schedule(1.0, 0), r"num_epochs=...\) must be an int >= 1"),
        (lambda: pytorch_optimizer.get_wsd_schedule(1.0, 1, 1, 1, cooldown_type="no"), r"cooldown_type=...\) must be"),
    ],
)
def test_what_pytorch_optimizer_refuses_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
