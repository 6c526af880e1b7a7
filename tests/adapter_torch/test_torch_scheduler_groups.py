"""Groups that `ScheduleLR` leaves alone, and groups that come, go and change places after it was made."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as native

from lrsched import Cosine, Exponential, Linear, Warmup, feedback, rules
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR

S = Warmup(3) >> Cosine(0.1, 0.0, steps=7)
T = Exponential(0.5, 0.9)
# Each way of calling `step` with a metric that torch knows, or that people write.
METRICS = [0.5, 3, math.nan, math.inf, torch.tensor(0.5), torch.tensor([2.0]), torch.tensor(0.5, requires_grad=True)]
METRICS += [np.float32(0.5), np.int64(3), np.array(0.5)]


def weights():
    return [torch.nn.Parameter(torch.zeros(2))]


def optimizer(groups=2, kind=torch.optim.SGD, **options):
    return kind([{"params": weights(), "lr": 1.0 + i} for i in range(groups)], **options)


def read(opt, key="lr"):
    return [group.get(key) for group in opt.param_groups]


def advance(opt, *schedulers, steps=1):
    for _ in range(steps):
        opt.step()
        for scheduler in schedulers:
            scheduler.step()


class Mixed(torch.optim.Optimizer):
    """An optimizer of groups with different entries, as those that run Muon and Adam side by side."""

    def __init__(self):
        super().__init__(
            [
                {"params": weights(), "lr": 0.02, "momentum": 0.95},
                {"params": weights(), "lr": 3e-4, "betas": (0.9, 0.95)},
            ],
            {},
        )

    def step(self, closure=None):
        """Do nothing."""


@pytest.mark.parametrize("plan", list(itertools.product([None, S, T], repeat=3)), ids=str)
@pytest.mark.parametrize("relative", [False, True])
def test_none_leaves_a_group_alone(plan, relative):
    opt = optimizer(3)
    scheduler = ScheduleLR(opt, list(plan), relative=relative)
    for t in range(5):
        wanted = [1.0 + i if s is None else s(t) * (1.0 + i if relative else 1.0) for i, s in enumerate(plan)]
        assert read(opt) == wanted == scheduler.get_last_lr() == scheduler.get_lr()
        advance(opt, scheduler)


def test_a_group_that_is_left_alone_may_be_driven_by_hand_and_by_others():
    opt = optimizer(2)
    ours, theirs = ScheduleLR(opt, [None, S]), native.LambdaLR(opt, [lambda t: 0.5**t, lambda t: 1.0])
    for t in range(1, 5):
        opt.step()
        theirs.step()
        ours.step()
        assert read(opt) == ours.get_last_lr() == [0.5**t, S(t)]
    opt.param_groups[0]["lr"] = torch.tensor(0.125)
    advance(opt, ours)
    opt.param_groups[0]["lr"].fill_(0.5)
    assert ours.get_last_lr() == [0.125, S(5)]


def test_a_field_need_stand_only_in_the_groups_that_are_scheduled():
    opt = Mixed()
    muon = ScheduleLR(opt, [S, None], field="momentum")
    adam = ScheduleLR(opt, [None, T], field="betas[0]")
    rate = ScheduleLR(opt, S, relative=True)
    for t in range(5):
        assert read(opt, "momentum") == [S(t), None]
        assert read(opt, "betas") == [None, (T(t), 0.95)]
        assert read(opt) == [0.02 * S(t), 3e-4 * S(t)]
        assert math.isnan(muon.get_last_lr()[1])
        assert math.isnan(adam.get_last_lr()[0])
        advance(opt, muon, adam, rate)
    for one in (muon, adam, rate):
        again = copy.deepcopy(one)
        again.load_state_dict(one.state_dict())
        assert again.last_epoch == 5


@pytest.mark.parametrize("field", ["momentum", "betas[0]", "betas[2]", "betas", "lr[0]", "weight_decay", "", "params"])
def test_a_field_that_a_scheduled_group_lacks_is_named(field):
    opt = Mixed()
    with pytest.raises(ValueError, match=r"ScheduleLR\(field=...\) must name a number in each group.*leaves it alone"):
        ScheduleLR(opt, S, field=field)
    assert "initial_lr" not in opt.param_groups[0]


def test_a_late_group_without_the_field_is_named_before_anything_is_written():
    opt = Mixed()
    scheduler = ScheduleLR(opt, [None, S], field="betas[0]")
    opt.step()
    opt.add_param_group({"params": weights(), "lr": 0.1, "momentum": 0.9})
    before = [dict(group) for group in opt.param_groups], scheduler.state_dict()
    with pytest.raises(ValueError, match=r"got 'betas\[0\]'; a group has \['lr', 'momentum'\]"):
        scheduler.step()
    assert ([dict(group) for group in opt.param_groups], scheduler.state_dict()) == before
    del opt.param_groups[-1]
    scheduler.step()
    assert opt.param_groups[1]["betas"] == (S(1), 0.95)


def test_a_late_group_is_left_alone_as_the_last_one_is():
    opt = optimizer(2)
    scheduler = ScheduleLR(opt, [S, None])
    opt.add_param_group({"params": weights(), "lr": 0.25})
    advance(opt, scheduler)
    assert read(opt) == [S(1), 2.0, 0.25] == scheduler.get_last_lr()


PLANS = {"one": S, "each": [S, T, S * 3.0], "some": [S, None, T]}


def edits():
    """Yield what people do to the list of groups: each takes the groups of an optimizer and returns the new list."""
    for order in itertools.permutations(range(3)):
        yield f"order {order}", lambda groups, order=order: [groups[i] for i in order]
    for gone in range(3):
        yield f"without {gone}", lambda groups, gone=gone: groups[:gone] + groups[gone + 1 :]
    yield "only the last, twice cut", lambda groups: [groups[2]]
    yield "none", lambda groups: []
    yield "new dictionaries", lambda groups: [dict(group) for group in groups[::-1]]
    yield "new lists", lambda groups: [{**group, "params": list(group["params"])} for group in groups[::-1]]
    yield "new parameters", lambda groups: [{**group, "params": weights()} for group in groups]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_schedule_stays_with_its_group(plan, relative):
    for name, edit in edits():
        opt = optimizer(3)
        scheduler = ScheduleLR(opt, plan, relative=relative)
        for number, group in enumerate(opt.param_groups):
            group["number"] = number
        advance(opt, scheduler, steps=2)
        opt.param_groups[:] = edit(opt.param_groups)
        for t in (3, 4):
            scheduler.step()
            wanted = []
            for i in read(opt, "number"):
                s = plan[i] if isinstance(plan, list) else plan
                wanted.append(1.0 + i if s is None else s(t) * (1.0 + i if relative else 1.0))
            assert read(opt) == wanted == scheduler.get_last_lr() == scheduler.get_lr(), name
        if opt.param_groups:
            state = opt.state_dict()
            for group in state["param_groups"]:
                group["lr"] = 9.0
            opt.load_state_dict(state)
            driven = [w if s is not None else 9.0 for w, s in zip(wanted, scheduler._plan, strict=True)]
            assert read(opt) == driven == scheduler.get_last_lr(), name


def test_a_group_that_takes_the_place_of_another_takes_the_last_schedule():
    opt = optimizer(2)
    scheduler = ScheduleLR(opt, [S, T])
    del opt.param_groups[0]
    opt.add_param_group({"params": weights(), "lr": 0.1})
    advance(opt, scheduler)
    assert read(opt) == [T(1), T(1)]


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_step_takes_a_metric_as_torch_does(metric):
    opt = optimizer()
    scheduler = ScheduleLR(opt, S)
    opt.step()
    scheduler.step(metrics=metric)
    assert read(opt) == [S(1)] * 2
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(metrics=metric, epoch=5)
    assert read(opt) == [S(5)] * 2


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_a_feedback_rule_answers_metrics_by_either_name(metric):
    found = []
    for call in (lambda s, m: s.step(m), lambda s, m: s.step(metric=m), lambda s, m: s.step(metrics=m)):
        opt = optimizer()
        scheduler = FeedbackLR(opt, S, feedback.Plateau(factor=0.5, patience=0))
        for _ in range(3):
            opt.step()
            call(scheduler, metric)
        found.append((read(opt), scheduler.state_dict()["rule_state"]))
    assert found[0] == found[1] == found[2]


def test_a_feedback_rule_goes_to_an_epoch_as_torch_does():
    opt = optimizer()
    scheduler = FeedbackLR(opt, S, feedback.Plateau(factor=0.5, patience=0))
    opt.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(1.0, 5)
    assert (read(opt), scheduler.last_epoch) == ([S(5)] * 2, 5)


@pytest.mark.parametrize(
    "metric",
    ["0.5", "loss", [0.5], {}, True, 1j, torch.zeros(2), 10**400, object, np.array("5"), np.zeros(2)],
    ids=repr,
)
def test_a_metric_that_is_no_number_changes_nothing(metric):
    for make in (lambda o: ScheduleLR(o, S), lambda o: FeedbackLR(o, S, feedback.Plateau())):
        opt = optimizer()
        scheduler = make(opt)
        opt.step()
        before = scheduler.state_dict()
        with pytest.raises(ValueError, match=r"step\(metrics?=...\) must be a number or a tensor of one element, got"):
            scheduler.step(metrics=metric)
        assert scheduler.state_dict() == before
    with pytest.raises(ValueError, match=r"FeedbackLR.step\(metrics=...\) must be None beside a metric"):
        scheduler.step(0.5, metrics=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relative": "yes"}, r"ScheduleLR\(relative=...\) must be a bool, got 'yes'"),
        ({"relative": 1}, r"ScheduleLR\(relative=...\) must be a bool, got 1"),
        ({"field": 3}, r"ScheduleLR\(field=...\) must be a str, got 3"),
        ({"field": None}, r"ScheduleLR\(field=...\) must be a str, got None"),
        ({"last_epoch": 2.5}, r"ScheduleLR\(last_epoch=...\) must be an int, got 2.5"),
        ({"last_epoch": "3"}, r"ScheduleLR\(last_epoch=...\) must be an int, got '3'"),
        ({"last_epoch": True}, r"ScheduleLR\(last_epoch=...\) must be an int, got True"),
        ({"last_epoch": -2}, r"ScheduleLR\(last_epoch=...\) must be an int >= -1 and <= 2\*\*53, got -2"),
        ({"last_epoch": math.nan}, r"ScheduleLR\(last_epoch=...\) must be an int, got nan"),
        ({"scaler": 1.0}, r"ScheduleLR\(scaler=...\) must be a GradScaler, got 1.0"),
        ({"schedule": None}, r"ScheduleLR\(schedule=...\) must be a schedule or a sequence of schedules"),
        ({"schedule": "S"}, r"ScheduleLR\(schedule=...\) must be a schedule or a sequence of schedules"),
        ({"schedule": [S, 0.1]}, r"ScheduleLR\(schedule=...\) must be a schedule or a sequence of schedules"),
        ({"schedule": [S]}, r"ScheduleLR\(schedule=...\) must hold one schedule for each of 2 groups, got 1"),
        ({"schedule": []}, r"ScheduleLR\(schedule=...\) must hold one schedule for each of 2 groups, got 0"),
    ],
)
def test_a_wrong_argument_is_named_and_leaves_the_optimizer_as_it_was(options, message):
    opt = optimizer()
    before = [dict(group) for group in opt.param_groups]
    with pytest.raises((TypeError, ValueError), match=message):
        ScheduleLR(opt, **{"schedule": S, **options})
    assert [dict(group) for group in opt.param_groups] == before


def test_a_rule_optimizer_of_several_groups_is_driven_in_part():
    ps = [weights(), weights()]
    opt = RuleOptimizer(
        [{"params": ps[0], "lr": Linear(1.0, 0.0, steps=10)}, {"params": ps[1], "lr": 0.5}], rules.SGD(), lr=0.1
    )
    scheduler = ScheduleLR(opt, [None, S])
    for t in range(5):
        assert read(opt) == [Linear(1.0, 0.0, steps=10)(t), S(t)] == scheduler.get_last_lr()
        advance(opt, scheduler)
