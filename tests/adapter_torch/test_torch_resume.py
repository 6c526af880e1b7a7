"""Resuming with `ScheduleLR`: in whatever order things are loaded, the next rates are those of the unbroken run."""

import io
import math
import warnings

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.optim import lr_scheduler as native

from lrsched import (
    Constant,
    Cosine,
    Exponential,
    InverseTime,
    Linear,
    Repeat,
    Triangular,
    Warmup,
    multi_step,
    one_cycle,
    rules,
    step_decay,
)
from lrsched_torch import RuleOptimizer, ScheduleLR

DONE = 6
NEXT = range(DONE, DONE + 4)

# Each torch scheduler over a base rate of 1 and the schedule that equals it.
ROWS = {
    "LambdaLR": (lambda o: native.LambdaLR(o, lambda t: 1 / (1 + t)), InverseTime(1.0, 1.0)),
    "StepLR": (lambda o: native.StepLR(o, 3, 0.1), step_decay(1.0, 0.1, 3)),
    "MultiStepLR": (lambda o: native.MultiStepLR(o, [2, 5], 0.1), multi_step(1.0, 0.1, [2, 5])),
    "ConstantLR": (lambda o: native.ConstantLR(o, 0.5, 8), Constant(0.5, steps=8) >> Constant(1.0)),
    "MultiplicativeLR": (lambda o: native.MultiplicativeLR(o, lambda t: 0.9), Exponential(1.0, 0.9)),
    "LinearLR": (lambda o: native.LinearLR(o, 0.1, 1.0, 8), Linear(0.1, 1.0, steps=8)),
    "ExponentialLR": (lambda o: native.ExponentialLR(o, 0.9), Exponential(1.0, 0.9)),
    "PolynomialLR": (lambda o: native.PolynomialLR(o, 10, 1.0), Linear(1.0, 0.0, steps=10)),
    "CosineAnnealingLR": (lambda o: native.CosineAnnealingLR(o, 10), Cosine(1.0, 0.0, steps=10)),
    "WarmRestarts": (lambda o: native.CosineAnnealingWarmRestarts(o, 8), Repeat(Cosine(1.0, 0.0, steps=8))),
    "CyclicLR": (lambda o: native.CyclicLR(o, 0.1, 1.0, 4, cycle_momentum=False), Triangular(0.1, 1.0, up=4)),
    "OneCycleLR": (
        # Its two phases end at steps 0.25 * 16 - 1 = 3 and 16 - 1 = 15.
        lambda o: native.OneCycleLR(o, 1.0, total_steps=16, pct_start=0.25, cycle_momentum=False),
        one_cycle(1.0, steps=15, warmup=3),
    ),
    "SequentialLR": (
        lambda o: native.SequentialLR(o, [native.LinearLR(o, 0.1, 1.0, 4), native.CosineAnnealingLR(o, 8)], [4]),
        Linear(0.1, 1.0, steps=4) >> Cosine(1.0, 0.0, steps=8),
    ),
    "ChainedScheduler": (
        lambda o: native.ChainedScheduler([native.LinearLR(o, 0.1, 1.0, 8), native.ExponentialLR(o, 0.9)], o),
        Linear(0.1, 1.0, steps=8) * Exponential(1.0, 0.9),
    ),
}
SCHEDULES = [pytest.param(schedule, id=name) for name, (_, schedule) in ROWS.items()]
MODES = pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])


def optimizer(lr=1.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=lr, momentum=0.9)


def advance(opt, scheduler, steps):
    """Do some updates and return the rates that they used."""
    used = []
    for _ in range(steps):
        used.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return used


def saved(schedule, relative):
    """Return the states of optimizer and scheduler after the first updates, through a file."""
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule, relative=relative)
    advance(opt, scheduler, DONE)
    file = io.BytesIO()
    torch.save((opt.state_dict(), scheduler.state_dict()), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.filterwarnings("ignore:Please also save or load")
@pytest.mark.parametrize(("build", "schedule"), ROWS.values(), ids=ROWS)
def test_the_schedule_of_each_row_is_that_of_torch(build, schedule):
    opt = optimizer()
    assert advance(opt, build(opt), 10) == pytest.approx([schedule(t) for t in range(10)], rel=1e-12, abs=1e-15)


@MODES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_optimizer_may_be_loaded_before_the_scheduler_is_built(schedule, relative):
    states = saved(schedule, relative)
    opt = optimizer()
    opt.load_state_dict(states[0])
    scheduler = ScheduleLR(opt, schedule, relative=relative)
    scheduler.load_state_dict(states[1])
    assert advance(opt, scheduler, 4) == [schedule(t) for t in NEXT]


@MODES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_optimizer_may_be_loaded_after_the_scheduler_is_built(schedule, relative):
    states = saved(schedule, relative)
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule, relative=relative)
    opt.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    assert advance(opt, scheduler, 4) == [schedule(t) for t in NEXT]


@MODES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_optimizer_may_be_loaded_last(schedule, relative):
    states = saved(schedule, relative)
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule, relative=relative)
    scheduler.load_state_dict(states[1])
    opt.load_state_dict(states[0])
    assert advance(opt, scheduler, 4) == [schedule(t) for t in NEXT]


@MODES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_scheduler_alone_may_be_loaded(schedule, relative):
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule, relative=relative)
    scheduler.load_state_dict(saved(schedule, relative)[1])
    assert advance(opt, scheduler, 4) == [schedule(t) for t in NEXT]


@MODES
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_last_epoch_is_the_last_update_done(schedule, relative):
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule, relative=relative, last_epoch=DONE - 1)
    assert advance(opt, scheduler, 4) == [schedule(t) for t in NEXT]


def test_a_relative_scheduler_keeps_its_first_rate_when_the_optimizer_was_saved_without_one():
    opt, plain = optimizer(), optimizer(lr=0.3)
    scheduler = ScheduleLR(opt, Exponential(1.0, 0.9), relative=True)
    opt.load_state_dict(plain.state_dict())
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] == 0.9


def test_the_rate_stands_in_the_group_as_soon_as_the_state_is_loaded():
    schedule = Warmup(3) >> Cosine(0.1, 0.0, steps=7)
    opt = optimizer()
    ScheduleLR(opt, schedule).load_state_dict(saved(schedule, False)[1])
    assert opt.param_groups[0]["lr"] == schedule(DONE)


def test_loading_a_state_writes_a_tensor_rate_in_place():
    opt = optimizer(lr=torch.tensor(1.0))
    held = opt.param_groups[0]["lr"]
    ScheduleLR(opt, Exponential(1.0, 0.5)).load_state_dict({"last_epoch": 3})
    assert opt.param_groups[0]["lr"] is held
    assert held.item() == 0.125


def test_the_state_holds_primitives_only():
    def primitive(content):
        if type(content) is list:
            return all(map(primitive, content))
        return type(content) in (int, float, str)

    scheduler = ScheduleLR(optimizer(lr=torch.tensor(1.0)), Cosine(0.1, 0.0, steps=7))
    state = scheduler.state_dict()
    assert state.keys() == {"format", "last_epoch", "_step_count", "_last_lr", "schedule"}
    assert all(map(primitive, state.values()))


def test_another_schedule_warns_and_is_used():
    state = saved(Exponential(1.0, 0.9), False)[1]
    opt = optimizer()
    scheduler = ScheduleLR(opt, Exponential(1.0, 0.5))
    with pytest.warns(UserWarning, match=r"saved with the schedule Exponential\(1.0, 0.9\)") as caught:
        scheduler.load_state_dict(state)
    assert opt.param_groups[0]["lr"] == Exponential(1.0, 0.5)(DONE)
    assert caught[0].filename == __file__


def test_the_same_schedule_does_not_warn():
    state = saved(Exponential(1.0, 0.9), False)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opt = optimizer()
        scheduler = ScheduleLR(opt, Exponential(1.0, 0.9))
        scheduler.load_state_dict(state)
        scheduler.step()


def test_the_state_of_a_torch_scheduler_will_do():
    opt = optimizer()
    other = native.ExponentialLR(opt, 0.9)
    advance(opt, other, DONE)
    ours = ScheduleLR(optimizer(), Exponential(1.0, 0.9))
    ours.load_state_dict(other.state_dict())
    assert ours.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)


@pytest.mark.parametrize("state", [{}, {"format": 99, "last_epoch": 3}])
def test_a_state_that_cannot_be_read_is_refused(state):
    with pytest.raises(ValueError, match=r"ScheduleLR.load_state_dict\(...\) must get the state of a scheduler"):
        ScheduleLR(optimizer(), Constant(0.1)).load_state_dict(state)


def test_a_long_run_does_not_drift():
    # A float32 tensor multiplied 10,000 times would be wrong in the third digit (torch's own recursion).
    opt = optimizer(lr=torch.tensor(1.0))
    scheduler = ScheduleLR(opt, Exponential(1.0, 0.9999))
    opt.step()
    for _ in range(10_000):
        scheduler.step()
    assert opt.param_groups[0]["lr"].item() == pytest.approx(math.exp(10_000 * math.log(0.9999)), rel=1e-7)


def test_sequential_resumes_with_it_inside():
    def build(opt):
        return native.SequentialLR(
            opt, [ScheduleLR(opt, Linear(0.1, 1.0, steps=4)), ScheduleLR(opt, Exponential(1.0, 0.5))], [4]
        )

    whole = optimizer()
    expected = advance(whole, build(whole), 10)
    first = optimizer()
    scheduler = build(first)
    advance(first, scheduler, DONE)
    second = optimizer()
    resumed = build(second)
    resumed.load_state_dict(scheduler.state_dict())
    second.load_state_dict(first.state_dict())
    assert advance(second, resumed, 4) == expected[DONE:]


def test_a_distributed_checkpoint_saves_and_loads_it(tmp_path):
    schedule = Warmup(3) >> Cosine(0.1, 0.0, steps=7)
    opt = optimizer()
    scheduler = ScheduleLR(opt, schedule)
    assert isinstance(scheduler, Stateful)
    advance(opt, scheduler, DONE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one process, no process group
        dcp.save({"scheduler": scheduler}, checkpoint_id=tmp_path)
        other = optimizer()
        resumed = ScheduleLR(other, schedule)
        dcp.load({"scheduler": resumed}, checkpoint_id=tmp_path)
    assert other.param_groups[0]["lr"] == schedule(DONE)
    assert advance(other, resumed, 4) == [schedule(t) for t in NEXT]


def test_a_distributed_checkpoint_loads_into_a_longer_schedule(tmp_path):
    opt = optimizer()
    scheduler = ScheduleLR(opt, Warmup(3) >> Constant(0.1))
    advance(opt, scheduler, DONE)
    longer = Warmup(3) >> Constant(0.1, steps=2) >> Exponential(0.1, 0.5)
    resumed = ScheduleLR(optimizer(), longer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"scheduler": scheduler}, checkpoint_id=tmp_path)
        dcp.load({"scheduler": resumed}, checkpoint_id=tmp_path)
    assert resumed.get_last_lr() == [longer(DONE)]


def test_a_distributed_checkpoint_resumes_a_rule_that_a_schedule_drives(tmp_path):
    schedule = Warmup(3) >> Cosine(0.1, 0.0, steps=17)
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))

    def train(model, opt, steps):
        for _ in range(steps):
            model(inputs).square().mean().backward()
            opt.step()
            opt.zero_grad()

    def build():
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 2)
        return model, RuleOptimizer(model.parameters(), rules.AdamW(weight_decay=0.1), lr=schedule)

    whole, opt = build()
    train(whole, opt, DONE)
    second, resumed = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = {"model": whole.state_dict(), "optimizer": get_optimizer_state_dict(whole, opt)}
        dcp.save(content, checkpoint_id=tmp_path)
        # On a new optimizer this does a step at rate 0 to make the state.
        content = {"model": second.state_dict(), "optimizer": get_optimizer_state_dict(second, resumed)}
        dcp.load(content, checkpoint_id=tmp_path)
        second.load_state_dict(content["model"])
        set_optimizer_state_dict(second, resumed, content["optimizer"])
    assert resumed.param_groups[0]["lr"] == schedule(DONE)
    train(whole, opt, 4)
    train(second, resumed, 4)
    assert all(torch.equal(a, b) for a, b in zip(second.parameters(), whole.parameters(), strict=True))
