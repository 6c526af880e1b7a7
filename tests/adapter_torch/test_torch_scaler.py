"""A step that a gradient scaler skipped does not advance a scheduler that is told of the scaler."""

import copy
import pickle
import random
import warnings

import pytest
import torch

from lrsched import Linear, feedback, rules
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR

S = Linear(1.0, 0.0, steps=100)
KINDS = {
    "SGD": lambda ps: torch.optim.SGD(ps, lr=1.0),
    "fused Adam": lambda ps: torch.optim.Adam(ps, lr=1.0, fused=True),  # is called for a step to skip, too
    "RuleOptimizer": lambda ps: RuleOptimizer(ps, rules.Adam(), lr=1.0),
}
TOLD = {
    "by the constructor": (lambda scaler: {"scaler": scaler}, lambda scaler: {}),
    "at each step": (lambda scaler: {}, lambda scaler: {"scaler": scaler}),
}


class Run:
    """A loop with a scaler, in which some gradients are infinite."""

    def __init__(self, kind, told, scaler=None, build=ScheduleLR):
        self.p = torch.nn.Parameter(torch.ones(2))
        self.opt = KINDS[kind]([self.p])
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0) if scaler is None else scaler
        made, self.options = (make(self.scaler) for make in TOLD[told])
        self.scheduler = build(self.opt, S, **made)
        self.done = 0

    def update(self, infinite, *, update_first=True):
        self.opt.zero_grad()
        self.scaler.scale((self.p * (torch.inf if infinite else 1.0)).sum()).backward()
        before = self.p.detach().clone()
        self.scaler.step(self.opt)
        self.done += not torch.equal(before, self.p)
        if update_first:
            self.scaler.update()
        self.scheduler.step(**self.options)
        if not update_first:
            self.scaler.update()


@pytest.mark.parametrize("update_first", [True, False])
@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("kind", KINDS)
def test_the_schedule_counts_the_updates_that_were_done(kind, told, update_first):
    for seed in range(8):
        draw = random.Random(seed)
        run = Run(kind, told)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns of a first step that was skipped
            for _ in range(12):
                run.update(draw.random() < 0.5, update_first=update_first)
                assert run.scheduler.last_epoch == run.done
                assert run.opt.param_groups[0]["lr"] == S(run.done)


@pytest.mark.parametrize("told", TOLD)
def test_a_scaler_that_is_not_enabled_skips_nothing(told):
    run = Run("SGD", told, torch.amp.GradScaler("cpu", enabled=False))
    for _ in range(3):
        run.update(False)
    assert run.scheduler.last_epoch == 3


def test_two_schedulers_of_one_optimizer_and_two_optimizers_of_one_scaler_are_counted_apart():
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    ps = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    opts = [torch.optim.AdamW([p], lr=1.0) for p in ps]
    schedulers = [ScheduleLR(opt, S, field=field) for opt in opts for field in ("lr", "weight_decay")]
    for t in range(6):
        for i, p in enumerate(ps):
            opts[i].zero_grad()
            scaler.scale(p.sum() * (torch.inf if (t + i) % 3 == 0 else 1.0)).backward()
        for opt in opts:
            scaler.step(opt)
        scaler.update()
        for scheduler in schedulers:
            scheduler.step(scaler=scaler)
    assert [scheduler.last_epoch for scheduler in schedulers] == [4, 4, 4, 4]


@pytest.mark.parametrize("told", TOLD)
def test_a_step_of_many_updates_advances_if_one_was_done(told):
    run = Run("fused Adam", told)
    run.update(False)
    step, run.scheduler.step = run.scheduler.step, lambda **options: None
    run.update(True)
    run.update(False)
    run.update(True)
    step(**run.options)
    assert run.scheduler.last_epoch == 2
    run.update(True)
    step(**run.options)
    assert run.scheduler.last_epoch == 2


@pytest.mark.parametrize("told", TOLD)
def test_a_rule_does_not_see_the_metric_of_a_skipped_step(told):
    run = Run("SGD", told, build=lambda *a, **o: FeedbackLR(*a, feedback.Plateau(factor=0.5, patience=0), **o))
    run.options = {**run.options, "metrics": 1.0}
    run.update(False)
    state = run.scheduler.state
    run.update(True)
    assert (run.scheduler.state, run.scheduler.last_epoch) == (state, 1)
    run.update(False)
    assert (run.scheduler.factor, run.scheduler.last_epoch) == (0.5, 2)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_counts_by_itself(duplicate):
    run = Run("SGD", "by the constructor")
    run.update(False)
    twin = duplicate(run.scheduler)
    twin.step()
    assert (twin.last_epoch, run.scheduler.last_epoch) == (1, 1)
    twin.optimizer.step()
    twin.step()
    assert (twin.last_epoch, run.scheduler.last_epoch) == (2, 1)


@pytest.mark.parametrize("scaler", [1.0, "cpu", torch.amp.GradScaler, True], ids=repr)
def test_what_is_no_scaler_is_refused_without_a_step(scaler):
    run = Run("SGD", "at each step")
    with pytest.raises(ValueError, match=r"ScheduleLR.step\(scaler=...\) must be a GradScaler, got"):
        run.scheduler.step(scaler=scaler)
    assert run.scheduler.last_epoch == 0


def test_without_a_scaler_every_step_counts():
    run = Run("SGD", "by the constructor")
    scheduler = ScheduleLR(run.opt, S)
    run.update(True)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        scheduler.step()
    assert (scheduler.last_epoch, run.scheduler.last_epoch) == (1, 0)


def test_accelerate_tells_of_a_skipped_step():
    accelerate = pytest.importorskip("accelerate")
    accelerate.Accelerator(cpu=True)
    p = torch.nn.Parameter(torch.ones(2))
    inner = torch.optim.SGD([p], lr=1.0)
    opt = accelerate.optimizer.AcceleratedOptimizer(inner, scaler=torch.amp.GradScaler("cpu", init_scale=4.0))
    made = [ScheduleLR(opt, S), ScheduleLR(inner, S)]
    prepared = accelerate.scheduler.AcceleratedScheduler(made[1], opt)
    for t, infinite in enumerate([True, False, False, True, False]):
        opt.zero_grad()
        opt.scaler.scale((p * (torch.inf if infinite else 1.0)).sum()).backward()
        opt.step()
        assert opt.step_was_skipped == infinite
        made[0].step()
        prepared.step()
        done = [0, 1, 2, 2, 3][t]
        assert [scheduler.last_epoch for scheduler in made] == [done, done]
        assert inner.param_groups[0]["lr"] == S(done)
    state = copy.deepcopy(opt.state_dict())
    state["param_groups"][0]["lr"] = 7.0
    opt.load_state_dict(state)
    assert inner.param_groups[0]["lr"] == S(3)
