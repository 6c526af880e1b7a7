"""What trainers do to a scheduler, imitated: the accesses of Lightning, HF Trainer, accelerate, DeepSpeed and others.

Each fake repeats what the tool named in it does with the object, no more; the tools themselves are not installed here.
"""

import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lrsched import Constant, Cosine, Warmup
from lrsched_torch import ScheduleLR, lightning_config

S = Warmup(3) >> Cosine(0.1, 0.0, steps=7)


def build(schedule=S, **options):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=1.0)
    return opt, ScheduleLR(opt, schedule, **options)


def through_file(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class FakeLightning:
    """The checks of Lightning's core/optimizer.py and one step for each update."""

    def __init__(self, config):
        self.optimizer = config["optimizer"]
        entry = {"interval": "epoch", "frequency": 1, "name": None, **config["lr_scheduler"]}
        self.scheduler, self.interval, self.name = entry["scheduler"], entry["interval"], entry["name"]
        assert hasattr(self.scheduler, "state_dict")
        assert hasattr(self.scheduler, "load_state_dict")
        assert isinstance(self.scheduler, LRScheduler | ReduceLROnPlateau)
        assert self.scheduler.optimizer is self.optimizer

    def fit(self, updates):
        monitored = []
        for _ in range(updates):
            monitored.append(self.scheduler.optimizer.param_groups[0]["lr"])
            self.optimizer.step()
            if self.interval == "step":
                self.scheduler.step()
        return monitored


def test_lightning_steps_it_with_each_update():
    assert FakeLightning(lightning_config(build()[1])).fit(12) == [S(t) for t in range(12)]


def test_lightning_is_told_the_name():
    assert FakeLightning(lightning_config(build()[1], name="rate")).name == "rate"


def test_hf_trainer_logs_the_rate_used_and_resumes_at_half():
    opt, scheduler = build()
    logged = []
    for _ in range(5):
        opt.step()
        logged.append(scheduler.get_last_lr()[0])  # read before the step
        scheduler.step()
    state = through_file(scheduler.state_dict())
    opt, scheduler = build()
    scheduler.load_state_dict(state)
    for _ in range(5):
        opt.step()
        logged.append(scheduler.get_last_lr()[0])
        scheduler.step()
    assert logged == [S(t) for t in range(10)]


class FakeAccelerated:
    """accelerate's AcceleratedScheduler: several steps for each update, none on overflow, none past `total_steps`."""

    def __init__(self, scheduler, processes=1):
        assert isinstance(scheduler, LRScheduler)  # anything else is left alone
        self.scheduler, self.processes = scheduler, processes

    def step(self, *, accumulating=False, skipped=False):
        if accumulating:
            self.scheduler._step_count += 1
            return
        if skipped:
            return
        for _ in range(self.processes):
            if hasattr(self.scheduler, "total_steps"):
                if self.scheduler._step_count <= self.scheduler.total_steps:
                    self.scheduler.step()
            else:
                self.scheduler.step()


def test_accelerate_steps_it_once_for_each_process():
    opt, scheduler = build()
    wrapped = FakeAccelerated(scheduler, processes=2)
    for _ in range(5):
        opt.step()
        wrapped.step()
    assert (scheduler.last_epoch, opt.param_groups[0]["lr"]) == (10, S(10))


def test_accelerate_may_count_while_it_accumulates():
    opt, scheduler = build()
    wrapped = FakeAccelerated(scheduler)
    opt.step()
    wrapped.step(accumulating=True)
    wrapped.step(skipped=True)
    wrapped.step()
    assert (scheduler.last_epoch, scheduler._step_count) == (1, 3)


def test_accelerate_never_freezes_it():
    assert not hasattr(build(Constant(0.1, steps=3))[1], "total_steps")


class FakeDeepSpeed:
    """DeepSpeed's engine: falsy is no scheduler, callable is a factory, a TypeError means another `step`."""

    def __init__(self, optimizer, scheduler):
        self.scheduler = None
        if scheduler:
            self.scheduler = scheduler(optimizer) if isinstance(scheduler, Callable) else scheduler

    def step(self):
        try:
            self.scheduler.step()
        except TypeError:
            self.scheduler.step(32)  # the batch size


def test_deepspeed_takes_and_steps_it():
    opt, scheduler = build()
    engine = FakeDeepSpeed(opt, scheduler)
    assert engine.scheduler is scheduler
    used = []
    for _ in range(7):
        used.append(opt.param_groups[0]["lr"])
        opt.step()
        engine.step()
    assert used == [S(t) for t in range(7)]


def test_deepspeed_never_sees_a_type_error():
    _, scheduler = build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in ("5", object(), [1], 1j):
            with pytest.raises(ValueError, match="must be an int"):
                scheduler.step(epoch)


class FakeTitan:
    """torchtitan's container: it saves only `last_epoch` and sets three attributes when it loads."""

    def __init__(self, schedulers):
        self.schedulers = schedulers

    def state_dict(self):
        return {"last_epoch": self.schedulers[0].last_epoch}

    def load_state_dict(self, state):
        for scheduler in self.schedulers:
            scheduler.last_epoch = state["last_epoch"]
            scheduler._step_count = state["last_epoch"] + 1
            scheduler._last_lr = scheduler.get_lr()


def test_torchtitan_restores_it_from_one_number():
    opt, scheduler = build(relative=True)
    for _ in range(6):
        opt.step()
        scheduler.step()
    state = through_file(FakeTitan([scheduler]).state_dict())
    opt, resumed = build(relative=True)
    FakeTitan([resumed]).load_state_dict(state)
    assert resumed.get_last_lr() == [S(6)]
    assert opt.param_groups[0]["lr"] == S(6)
    opt.step()
    resumed.step()
    assert opt.param_groups[0]["lr"] == S(7)


def fake_ignite(scheduler, events):
    """Do what ignite's LRScheduler handler does at each event: `get_lr()`, write the rate, count by itself."""
    used = []
    for _ in range(events):
        scheduler._get_lr_called_within_step = True
        rate = scheduler.get_lr()[0]
        scheduler._get_lr_called_within_step = False
        scheduler.optimizer.param_groups[0]["lr"] = rate
        used.append(rate)
        scheduler.last_epoch += 1
    return used


def test_ignite_counts_by_itself():
    assert fake_ignite(build()[1], 12) == [S(t) for t in range(12)]


def test_ignite_simulates_and_puts_everything_back():
    opt, scheduler = build()
    states = through_file({"scheduler": scheduler.state_dict(), "optimizer": opt.state_dict()})
    fake_ignite(scheduler, 12)
    scheduler.load_state_dict(states["scheduler"])
    opt.load_state_dict(states["optimizer"])
    assert (scheduler.last_epoch, opt.param_groups[0]["lr"]) == (0, S(0))


def test_an_unfreezing_callback_may_add_groups():
    opt, scheduler = build()
    opt.step()
    scheduler.step()
    for t in range(2, 5):
        opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
        opt.step()
        scheduler.step()
        assert {group["lr"] for group in opt.param_groups} == {S(t)}


@pytest.mark.parametrize("name", ["__call__", "__len__", "__bool__", "total_steps"])
def test_it_has_no_attribute_that_a_trainer_misreads(name):
    assert not hasattr(build()[1], name)
