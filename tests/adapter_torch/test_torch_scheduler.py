"""`ScheduleLR` as a torch scheduler: values, groups, tensors, fields, composition with torch's own schedulers."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from pickles import globals_of, private
from torch.optim.lr_scheduler import ChainedScheduler, ExponentialLR, LambdaLR, SequentialLR

import lrsched_torch
from lrsched import Constant, Cosine, Exponential, Linear, Warmup, feedback, rules
from lrsched_torch import ScheduleLR

S = Warmup(3) >> Cosine(0.1, 0.0, steps=7)
DOUBLED = S * 2.0


def optimizer(groups=1, lr=1.0, kind=torch.optim.SGD, **options):
    return kind([{"params": [torch.nn.Parameter(torch.zeros(2))]} for _ in range(groups)], lr=lr, **options)


def rates(opt, scheduler, steps):
    """Return the rate of each group at each update."""
    used = []
    for _ in range(steps):
        used.append([float(group["lr"]) for group in opt.param_groups])
        opt.step()
        scheduler.step()
    return used


def test_update_t_uses_the_value_at_t():
    opt = optimizer()
    assert rates(opt, ScheduleLR(opt, S), 12) == [[S(t)] for t in range(12)]


def test_relative_values_multiply_the_first_rate_of_each_group():
    opt = optimizer(2)
    opt.param_groups[1]["lr"] = 0.25
    assert rates(opt, ScheduleLR(opt, S, relative=True), 12) == [[S(t), 0.25 * S(t)] for t in range(12)]


def test_each_group_follows_its_own_schedule():
    opt = optimizer(2)
    assert rates(opt, ScheduleLR(opt, [S, DOUBLED]), 12) == [[S(t), DOUBLED(t)] for t in range(12)]


def test_the_usual_order_of_calls_does_not_warn():
    opt = optimizer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates(opt, ScheduleLR(opt, S), 3)


def test_stepping_the_scheduler_before_the_optimizer_warns_at_the_line_of_the_caller():
    scheduler = ScheduleLR(optimizer(), S)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`") as caught:
        scheduler.step()
    assert [found.filename for found in caught] == [__file__]


def test_a_late_group_takes_the_only_schedule():
    opt = optimizer()
    scheduler = ScheduleLR(opt, S)
    rates(opt, scheduler, 4)
    opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    scheduler.step()
    assert [group["lr"] for group in opt.param_groups] == [S(5), S(5)]


def test_a_late_group_takes_the_last_of_several_schedules():
    opt = optimizer(2)
    scheduler = ScheduleLR(opt, [S, DOUBLED])
    opt.step()
    opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))]})
    scheduler.step()
    assert scheduler.get_last_lr() == [S(1), DOUBLED(1), DOUBLED(1)]


def test_a_late_group_of_a_relative_scheduler_starts_from_its_own_rate():
    opt = optimizer()
    scheduler = ScheduleLR(opt, S, relative=True)
    rates(opt, scheduler, 4)
    opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.5})
    for t in (5, 6):
        scheduler.step()
        assert scheduler.get_last_lr() == [S(t), 0.5 * S(t)]


@pytest.mark.parametrize("relative", [False, True])
def test_a_tensor_rate_is_written_in_place(relative):
    rate = torch.tensor(1.0, dtype=torch.float64)
    opt = optimizer(lr=rate)
    held = opt.param_groups[0]["lr"]
    scheduler = ScheduleLR(opt, S, relative=relative)
    for t in range(12):
        assert opt.param_groups[0]["lr"] is held
        assert held.item() == S(t)
        opt.step()
        scheduler.step()


def test_the_last_rates_of_tensors_are_plain_floats():
    opt = optimizer(lr=torch.tensor(1.0))
    assert [type(lr) for lr in ScheduleLR(opt, S).get_last_lr()] == [float]


@pytest.mark.parametrize(
    ("field", "kind", "read"),
    [
        ("weight_decay", torch.optim.AdamW, lambda group: group["weight_decay"]),
        ("momentum", torch.optim.SGD, lambda group: group["momentum"]),
        ("betas[0]", torch.optim.Adam, lambda group: group["betas"][0]),
        ("betas[1]", torch.optim.Adam, lambda group: group["betas"][1]),
    ],
)
def test_any_number_of_a_group_can_be_driven(field, kind, read):
    opt = optimizer(kind=kind)
    scheduler = ScheduleLR(opt, S, field=field)
    for t in range(5):
        assert read(opt.param_groups[0]) == S(t)
        assert opt.param_groups[0]["lr"] == 1.0
        opt.step()
        scheduler.step()


def test_driving_one_item_of_a_tuple_leaves_the_other():
    opt = optimizer(kind=torch.optim.Adam, betas=(0.9, 0.95))
    ScheduleLR(opt, Constant(0.8), field="betas[0]")
    assert opt.param_groups[0]["betas"] == (0.8, 0.95)


def test_a_tensor_in_a_tuple_is_written_in_place():
    b1 = torch.tensor(0.9, dtype=torch.float64)
    opt = optimizer(lr=torch.tensor(1.0), kind=torch.optim.Adam, betas=(b1, torch.tensor(0.95)), capturable=True)
    ScheduleLR(opt, Constant(0.8), field="betas[0]")
    assert opt.param_groups[0]["betas"][0] is b1
    assert b1.item() == 0.8


def test_relative_weight_decay_multiplies_the_first_decay():
    opt = optimizer(kind=torch.optim.AdamW, weight_decay=0.5)
    scheduler = ScheduleLR(opt, S, field="weight_decay", relative=True)
    for t in range(5):
        assert opt.param_groups[0]["weight_decay"] == 0.5 * S(t)
        scheduler.step() if t else (opt.step(), scheduler.step())


def test_rate_and_weight_decay_have_schedulers_side_by_side():
    opt = optimizer(kind=torch.optim.AdamW)
    schedulers = [ScheduleLR(opt, S), ScheduleLR(opt, DOUBLED, field="weight_decay")]
    opt.step()
    for scheduler in schedulers:
        scheduler.step()
    assert (opt.param_groups[0]["lr"], opt.param_groups[0]["weight_decay"]) == (S(1), DOUBLED(1))


def test_sequential_runs_it_as_any_phase():
    def native(opt):
        return SequentialLR(opt, [LambdaLR(opt, S), LambdaLR(opt, DOUBLED), LambdaLR(opt, S)], [4, 9])

    def ours(opt):
        return SequentialLR(opt, [ScheduleLR(opt, S), LambdaLR(opt, DOUBLED), ScheduleLR(opt, S)], [4, 9])

    a, b = optimizer(), optimizer()
    assert rates(a, ours(a), 15) == rates(b, native(b), 15)


def test_the_same_two_phases_need_no_sequential():
    opt = optimizer()
    first, second = Linear(0.1, 1.0, steps=4), Exponential(1.0, 0.5)
    sequential = SequentialLR(opt, [ScheduleLR(opt, first), ScheduleLR(opt, second)], [4])
    assert rates(opt, sequential, 9) == [[(first >> second)(t)] for t in range(9)]


def test_chained_multiplies_it_as_the_first_member():
    opt = optimizer()
    chained = ChainedScheduler([ScheduleLR(opt, S), ExponentialLR(opt, 0.5)], opt)
    # ExponentialLR multiplies by 0.5 once more at each step, but ours writes anew: only the last factor stays.
    assert [row[0] for row in rates(opt, chained, 6)] == [S(0), *(0.5 * S(t) for t in range(1, 6))]


def test_a_step_to_a_given_epoch_writes_its_value():
    scheduler = ScheduleLR(optimizer(), S)
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(5)
    assert (scheduler.last_epoch, scheduler.get_last_lr()) == (5, [S(5)])


def test_a_numpy_epoch_becomes_a_plain_int():
    scheduler = ScheduleLR(optimizer(), S)
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(np.int64(5))
    assert type(scheduler.state_dict()["last_epoch"]) is int


@pytest.mark.parametrize("epoch", [2.5, "5", [5], float("nan")])
def test_a_step_to_no_integer_is_a_value_error(epoch):
    scheduler = ScheduleLR(optimizer(), S)
    with pytest.warns(UserWarning, match="epoch parameter"), pytest.raises(ValueError, match="must be an int, got"):
        scheduler.step(epoch)


def test_get_lr_is_a_closed_form_of_last_epoch():
    scheduler = ScheduleLR(optimizer(), S)
    for t in (7, 2, 30, 0, -1):
        scheduler.last_epoch = t
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert scheduler.get_lr() == [S(max(t, 0))]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_goes_on_by_itself(duplicate):
    opt = optimizer()
    scheduler = ScheduleLR(opt, [S], relative=True)
    rates(opt, scheduler, 4)
    twin = duplicate(scheduler)
    assert rates(twin.optimizer, twin, 4) == [[S(t)] for t in range(4, 8)]
    assert scheduler.last_epoch == 4


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((torch.nn.Linear(1, 1), S), {}, TypeError, r"ScheduleLR\(optimizer=...\) must be a torch.optim.Optimizer"),
        ((optimizer(), [S, 0.1]), {}, TypeError, "must be a schedule or a sequence of schedules"),
        ((optimizer(2), [S]), {}, ValueError, "one schedule for each of 2 groups, got 1"),
        ((optimizer(), S), {"field": "beta"}, ValueError, r"ScheduleLR\(field=...\) must name a number.*got 'beta'"),
        ((optimizer(), S), {"field": "betas[0]"}, ValueError, "must name a number in each group"),
        ((optimizer(kind=torch.optim.Adam), S), {"field": "betas"}, ValueError, "must name a number in each group"),
        ((optimizer(kind=torch.optim.Adam), S), {"field": "betas[2]"}, ValueError, "must name a number"),
    ],
)
def test_bad_arguments_raise_when_built(arguments, options, error, message):
    with pytest.raises(error, match=message):
        ScheduleLR(*arguments, **options)


def test_pickles_hold_public_names():
    weight = torch.nn.Parameter(torch.zeros(2))
    ours = lrsched_torch.RuleOptimizer([weight], rules.Adam(), lr=Linear(0.1, 0.0, steps=10))
    weight.grad = torch.ones(2)
    ours.step()
    native = torch.optim.SGD([weight], lr=0.1)
    for item in (
        ours,
        lrsched_torch.ScheduleLR(native, Linear(0.1, 0.0, steps=10)),
        lrsched_torch.FeedbackLR(native, Linear(0.1, 0.0, steps=10), feedback.Plateau()),
        [getattr(lrsched_torch, name) for name in ("averaged", "from_torch", "lightning_config", "run_range_test")],
    ):
        assert private(globals_of(pickle.dumps(item))) == set()
