"""compat.composer and compat.llmfoundry give the rates of Composer's and llm-foundry's schedulers in its Trainer."""

import enum
import types

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracles import assert_agrees, folder, load, stub

from lrsched.compat import composer, llmfoundry


def _live():
    """Load Composer's clock and schedulers, and llm-foundry's, without Composer."""
    folder("llmfoundry")
    needed = [stub("composer.utils", StringEnum=enum.Enum), stub("composer.core.serializable", Serializable=object)]
    needed += [_package("composer"), _package("composer.core")]
    time = load("composer", "core/time.py", needed)
    core = stub("composer.core", State=object, Time=time.Time, TimeUnit=time.TimeUnit)
    schedulers = load("composer", "optim/scheduler.py", [core])
    optim = stub("composer.optim", ComposerScheduler=object, LinearScheduler=schedulers.LinearScheduler)
    optim.__path__ = []
    stubs = [core, optim, stub("composer.optim.scheduler", _convert_time=schedulers._convert_time)]
    stubs += [_package("composer"), _package("llmfoundry"), _package("llmfoundry.utils")]
    stubs += [stub("llmfoundry.utils.warnings", experimental_class=lambda name: lambda cls: cls)]
    return time, schedulers, load("llmfoundry", "optim/scheduler.py", stubs)


def _package(name):
    package = types.ModuleType(name)
    package.__path__ = []
    return package


time, live, foundry = _live()
EPOCH = 7


def theirs(module, name, count, max_duration, ssr, lr, arguments, every_batch=True):
    """Ask when the Trainer asks (tests/trainers): before it counts a batch, or after the batches of an epoch."""
    scheduler = getattr(module, name)(**arguments)
    found = []
    for update in range(count):
        t = max(update - 1, 0) if every_batch else update // EPOCH * EPOCH
        state = types.SimpleNamespace(
            max_duration=time.Time.from_timestring(max_duration),
            dataloader_len=EPOCH,
            timestamp=time.Timestamp(epoch=t // EPOCH, batch=t, batch_in_epoch=t % EPOCH),
        )
        found.append(lr * scheduler(state, ssr))
    return found


def check(name, max_duration="10ep", ssr=1.0, lr=0.3, count=100, ours=composer, module=live, **arguments):
    horizon = {"max_duration": max_duration, "dataloader_len": EPOCH, "ssr": ssr}
    try:
        expected = theirs(module, name, count, max_duration, ssr, lr, arguments)
    except (ValueError, ZeroDivisionError):
        with pytest.raises(ValueError, match="must be"):
            getattr(ours, name)(lr, **arguments, **horizon)
        return
    assert_agrees(getattr(ours, name)(lr, **arguments, **horizon), expected)
    in_epochs = getattr(ours, name)(lr, **arguments, **horizon, step_schedulers_every_batch=False)
    training = int(max_duration[:-2]) * (EPOCH if max_duration.endswith("ep") else 1)
    assert_agrees(in_epochs, theirs(module, name, training, max_duration, ssr, lr, arguments, every_batch=False))


batches = st.integers(0, 80).map("{}ba".format)
epochs = st.integers(0, 12).map("{}ep".format)
shares = st.sampled_from(["0dur", "0.1dur", "0.25dur", "0.5dur", "0.9dur", "1dur"])
times = batches | epochs | shares
durations = st.sampled_from(["10ep", "70ba", "33ba"])
ratios = st.sampled_from([1.0, 1.0, 0.5, 1.7])
alphas = st.sampled_from([0.0, 0.1, 1.0, 1.5])


@given(times, st.sampled_from([0.1, 0.5, 1.0]), durations, ratios)
def test_stairs_are_those_of_composer(size, gamma, total, ssr):
    check("StepScheduler", total, ssr, step_size=size, gamma=gamma)


@given(st.lists(times, min_size=1, max_size=4), st.sampled_from([0.1, 0.0]), durations, ratios)
def test_milestones_are_those_of_composer(milestones, gamma, total, ssr):
    check("MultiStepScheduler", total, ssr, milestones=milestones, gamma=gamma)


@given(alphas, times, durations, ratios)
def test_constants_are_those_of_composer(alpha, t_max, total, ssr):
    check("ConstantScheduler", total, ssr, alpha=alpha, t_max=t_max)


@given(alphas, alphas, times, durations, ratios)
def test_lines_are_those_of_composer(first, last, t_max, total, ssr):
    check("LinearScheduler", total, ssr, alpha_i=first, alpha_f=last, t_max=t_max)


@given(st.sampled_from([0.5, 0.9, 1.1]), times, durations, ratios)
def test_exponentials_are_those_of_composer(gamma, period, total, ssr):
    check("ExponentialScheduler", total, ssr, gamma=gamma, decay_period=period)


@given(alphas, times, durations, ratios, st.sampled_from([0.5, 1.0, 2.0]))
def test_cosines_and_powers_are_those_of_composer(alpha, t_max, total, ssr, power):
    check("CosineAnnealingScheduler", total, ssr, t_max=t_max, alpha_f=alpha)
    check("PolynomialScheduler", total, ssr, t_max=t_max, alpha_f=alpha, power=power)


@given(times, st.sampled_from([1.0, 1.5, 2.0, 2.7]), alphas, durations, ratios)
def test_restarts_are_those_of_composer(first, mult, alpha, total, ssr):
    check("CosineAnnealingWarmRestartsScheduler", total, ssr, t_0=first, t_mult=mult, alpha_f=alpha)


WARMED = {
    "MultiStepWithWarmupScheduler": {"milestones": ["5ba", "3ep", "0.5dur"]},
    "ConstantWithWarmupScheduler": {"alpha": 0.5},
    "LinearWithWarmupScheduler": {"alpha_i": 0.8, "alpha_f": 0.1},
    "CosineAnnealingWithWarmupScheduler": {"alpha_f": 0.1},
    "PolynomialWithWarmupScheduler": {"alpha_f": 0.1},
}


@pytest.mark.filterwarnings("ignore:.*warmup duration is 0")
@pytest.mark.parametrize("name", WARMED)
@given(times, times | st.just("1dur"), durations, ratios, st.booleans())
@example("1ba", "1dur", "10ep", 0.5, True)  # int(1 * 0.5) = 0 batches, by which Composer divides
def test_warm_ups_are_those_of_composer(name, warmup, t_max, total, ssr, scaled):
    arguments = dict(WARMED[name])
    if name != "MultiStepWithWarmupScheduler":
        arguments["t_max"] = t_max
    check(name, total, ssr, t_warmup=warmup, scale_warmup=scaled, **arguments)


@pytest.mark.filterwarnings("ignore:.*warmup duration is 0")
@given(st.integers(0, 30), st.integers(1, 40), st.integers(0, 60), ratios, st.sampled_from([0.0, 0.2]))
def test_the_inverse_square_root_is_that_of_llm_foundry(warmup, scale, cooldown, ssr, low):
    check(
        "InverseSquareRootWithWarmupScheduler", "70ba", ssr, ours=llmfoundry, module=foundry,
        t_warmup=f"{warmup}ba", t_scale=f"{scale}ba", t_cooldown=f"{cooldown}ba",
        alpha_f_decay=low, alpha_f_cooldown=low / 2,
    )  # fmt: skip


def test_a_constant_returns_to_one():
    s = composer.ConstantScheduler(1.0, alpha=0.5, t_max="2ba")
    assert [s(t) for t in range(5)] == [0.5, 0.5, 0.5, 1.0, 1.0]


def test_cycles_are_rounded_down_one_by_one():
    # 3, int(4.5) = 4, int(6.0) = 6: restarts after 3, 7, 13 batches, seen one update later
    s = composer.CosineAnnealingWarmRestartsScheduler(1.0, "3ba", t_mult=1.5)
    assert [t for t in range(1, 20) if s(t) == 1.0] == [1, 4, 8, 14]


def test_the_first_rates_of_a_warm_up_are_those_of_the_trainer():
    s = composer.CosineAnnealingWithWarmupScheduler(0.1, "4ba", max_duration="20ba")
    assert [s(t) for t in range(6)] == pytest.approx([0.0, 0.0, 0.025, 0.05, 0.075, 0.1], rel=1e-12)
    # 0.1 (1 + cos(pi / 16)) / 2
    assert s(6) == pytest.approx(0.09903926402016153, rel=1e-12)


def test_the_first_rates_of_the_inverse_square_root_are_those_of_the_trainer():
    s = llmfoundry.InverseSquareRootWithWarmupScheduler(1.0, "4ba", "4ba", "4ba", max_duration="20ba")
    assert [s(t) for t in range(4)] == [0.0, 0.0, 0.25, 0.5]


def test_none_is_the_default_of_the_trainer():
    call = {"t_warmup": "2ba", "max_duration": "3ep", "dataloader_len": EPOCH}
    made = composer.LinearWithWarmupScheduler(0.1, **call, step_schedulers_every_batch=None)
    assert made == composer.LinearWithWarmupScheduler(0.1, **call)
    assert made != composer.LinearWithWarmupScheduler(0.1, **call, step_schedulers_every_batch=False)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: composer.StepScheduler(1.0, "10tok"), ValueError, "must be a text such as '10ep'"),
        (lambda: composer.StepScheduler(1.0, "1.5ep"), ValueError, "must be a whole number of 'ep'"),
        (lambda: composer.StepScheduler(1.0, 10), TypeError, "must be a text such as '10ep'"),
        (lambda: composer.StepScheduler(1.0, "1ep"), ValueError, "dataloader_len=...\\) must be given"),
        (lambda: composer.LinearScheduler(1.0), ValueError, "max_duration=...\\) must be given"),
        (lambda: composer.LinearScheduler(1.0, max_duration="1dur"), ValueError, "must be a time in 'ep' or 'ba'"),
        (
            lambda: composer.StepScheduler(1.0, "9ba", step_schedulers_every_batch=False),
            ValueError,
            "dataloader_len=...\\) must be given unless the scheduler steps with every batch",
        ),
        (
            lambda: composer.StepScheduler(1.0, "9ba", dataloader_len=5, step_schedulers_every_batch=False),
            ValueError,
            "max_duration=...\\) must be given unless the scheduler steps with every batch",
        ),
        (
            lambda: composer.LinearScheduler(
                1.0, max_duration="100001ep", dataloader_len=5, step_schedulers_every_batch=False
            ),
            ValueError,
            "max_duration=...\\) must be at most 100000 epochs of training, got 100001",
        ),
        (lambda: composer.StepScheduler(1.0, "9ba", step_schedulers_every_batch=1), TypeError, "True or False, got 1"),
        (
            lambda: composer.LinearWithWarmupScheduler(1.0, "1ba", t_max="5ba", max_duration="9ba"),
            ValueError,
            "t_max=...\\) must be at least max_duration, 9 batches, got '5ba'",
        ),
        (
            lambda: composer.ConstantWithWarmupScheduler(1.0, "1ba", max_duration="9ba", ssr=0.5, scale_warmup=True),
            ValueError,
            "t_warmup=...\\) must be at least one batch when scaled by 0.5, got '1ba'",
        ),
        (
            lambda: composer.CosineAnnealingWarmRestartsScheduler(1.0, "9ba", t_mult=0.5),
            ValueError,
            "t_mult=...\\) must be a number >= 1",
        ),
        (
            lambda: llmfoundry.InverseSquareRootWithWarmupScheduler(1.0, "1ep", "1ba", "1ba", max_duration="9ba"),
            ValueError,
            "must be in the unit of max_duration, 'ba', got '1.0ep'",
        ),
    ],
)
def test_bad_times_are_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
