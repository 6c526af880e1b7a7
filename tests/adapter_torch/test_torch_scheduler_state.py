"""States of schedulers are loaded or refused whole, in any order with the optimizer, whatever schedule saved them."""

import contextlib
import copy
import gc
import itertools
import math
import pickle
import warnings
import weakref

import pytest
import torch
from torch.optim import lr_scheduler as native

from lrsched import Cosine, Exponential, Linear, Warmup, feedback, rules
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR, run_range_test

OLD, NEW = Warmup(3) >> Cosine(0.1, 0.0, steps=17), Warmup(2) >> Linear(0.3, 0.01, steps=11)
DONE = 6
DEEP = "[" * 100_000 + "]" * 100_000


def deep():
    nested = []
    for _ in range(10_000):
        nested = [nested]
    return nested


def optimizer(groups=2, kind=torch.optim.SGD, **options):
    options = {"lr": 1.0, "momentum": 0.9} if kind is torch.optim.SGD and not options else {"lr": 1.0, **options}
    return kind([{"params": [torch.nn.Parameter(torch.zeros(2))]} for _ in range(groups)], **options)


def advance(opt, schedulers, steps=DONE):
    for _ in range(steps):
        opt.step()
        for scheduler in schedulers:
            scheduler.step()


def schedule_lr(groups=2):
    opt = optimizer(groups)
    return opt, ScheduleLR(opt, OLD)


def feedback_lr(groups=2):
    opt = optimizer(groups)
    return opt, FeedbackLR(opt, OLD, feedback.Plateau(factor=0.5, patience=0))


# What stands under each entry of a state, and must not.
COUNTS = [-7, -2, 2.5, math.nan, math.inf, 2**53 + 1, 10**400, "3", None, True, [3], {}, torch.tensor(3), deep()]
WRONG = {
    "last_epoch": COUNTS,
    "_step_count": [-1, *COUNTS],
    "format": [0, 2, 99, *COUNTS],
    "_last_lr": [
        None, 0.1, "0.1", {}, [], [0.1], [0.1] * 3, [0.1, "0.1"], [0.1, None], [0.1, True], [0.1, math.nan],
        [0.1, math.inf], [0.1, [0.1]], [0.1, torch.zeros(2)], [0.1, 1j], [0.1, 10**400], [deep(), deep()],
    ],
    "schedule": [None, 3, "Constant(0.1)", [3], [None], {}, [b"Constant(0.1)"], [deep()]],
}  # fmt: skip
WRONG_OF_RULE = {
    "factor": [math.nan, math.inf, -0.5, "0.5", None, True, [0.5], 10**400, torch.zeros(2), deep()],
    "rule": [None, 3, ["Plateau()"]],
    "rule_state": [
        None, 3, {}, "", "{", "null", "[]", "{}", "3", DEEP, '{"scale": 1.0}',
        *(
            '{{"scale": {}, "best": {}, "bad": {}, "cooldown": 0, "started": {}, "seen": 0, "average": 0.0}}'.format(*x)
            for x in [
                ("NaN", "1.0", "0", "true"), ("-1.0", "1.0", "0", "true"), ("Infinity", "1.0", "0", "true"),
                ('"1.0"', "1.0", "0", "true"), ("null", "1.0", "0", "true"), ("1.0", "[]", "0", "true"),
                ("1.0", '"x"', "0", "true"), ("1.0", "1.0", "-5", "true"), ("1.0", "1.0", "0.5", "true"),
                ("1.0", "1.0", "true", "true"), ("1.0", "1.0", "0", "1"), ("1.0", "1.0", "0", DEEP),
            ]
        ),
    ],
}  # fmt: skip


def contents(opt, scheduler):
    """Return all that a load could have changed."""
    groups = [{name: value for name, value in group.items() if name != "params"} for group in opt.param_groups]
    return copy.deepcopy((scheduler.state_dict(), groups, scheduler.get_last_lr(), scheduler.get_lr()))


@pytest.mark.parametrize(("build", "table"), [(schedule_lr, WRONG), (feedback_lr, WRONG | WRONG_OF_RULE)])
def test_a_wrong_entry_is_refused_and_the_scheduler_goes_on_as_it_was(build, table):
    for name, value in [(name, value) for name, values in table.items() for value in values]:
        opt, scheduler = build()
        advance(opt, [scheduler], 3)
        before, other = contents(opt, scheduler), build()
        advance(other[0], other[1:])
        state = other[1].state_dict() | {name: value}
        with pytest.raises(ValueError, match=r"must (be|get|hold) .*, got ") as raised:
            scheduler.load_state_dict(state)
        assert len(str(raised.value)) < 500
        assert contents(opt, scheduler) == before, (name, value)
        opt.step()
        scheduler.step()
        assert [group["lr"] for group in opt.param_groups] == [OLD(4)] * 2


@pytest.mark.parametrize("wrong", [None, 3, "state", [], [("last_epoch", 3)], deep()], ids=type)
@pytest.mark.parametrize("build", [schedule_lr, feedback_lr])
def test_what_is_no_dictionary_is_refused(build, wrong):
    with pytest.raises(TypeError, match=r"\w+LR.load_state_dict\(...\) must be a dictionary, got"):
        build()[1].load_state_dict(wrong)


@pytest.mark.parametrize("missing", ["last_epoch", "rule", "rule_state", "factor"])
def test_an_entry_that_nothing_stands_for_is_missed(missing):
    state = feedback_lr()[1].state_dict()
    del state[missing]
    with pytest.raises(ValueError, match=r"must get the state of a (scheduler|FeedbackLR)"):
        feedback_lr()[1].load_state_dict(state)


def test_unknown_and_missing_entries_are_taken_as_torch_takes_them():
    opt, scheduler = schedule_lr()
    scheduler.load_state_dict({"last_epoch": DONE, "base_lrs": [1.0, 1.0], "lr_lambdas": [None], "verbose": False})
    assert (scheduler.last_epoch, scheduler._step_count) == (DONE, DONE + 1)
    assert [group["lr"] for group in opt.param_groups] == [OLD(DONE)] * 2


def test_a_state_of_another_number_of_groups_is_refused():
    state = schedule_lr(3)[1].state_dict()
    with pytest.raises(ValueError, match=r"\['_last_lr'\] must be a list of one number for each of 2 groups, got \["):
        schedule_lr(2)[1].load_state_dict(state)


def test_a_warning_that_is_an_error_leaves_the_scheduler_as_it_was():
    opt, scheduler = schedule_lr()
    before = contents(opt, scheduler)
    state = ScheduleLR(optimizer(), NEW).state_dict()
    with pytest.warns(UserWarning, match="goes on with the present one"):
        schedule_lr()[1].load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="goes on with the present one"):
            scheduler.load_state_dict(state)
    assert contents(opt, scheduler) == before


# Loading in any order, with a schedule that is another one than when the state was saved.

FIELDS = {
    "lr": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {}),
    "weight_decay": (torch.optim.AdamW, {"weight_decay": 0.5}),
    "betas[0]": (torch.optim.Adam, {"betas": (0.9, 0.99)}),
    "betas[1]": (torch.optim.Adam, {"betas": (0.9, 0.99)}),
    "eps": (torch.optim.RMSprop, {}),
}


def rule_optimizer(params, lr):
    return RuleOptimizer(params, rules.Adam(), lr=lr)


def read(opt, field):
    key, _, item = field.partition("[")
    entries = [group[key] for group in opt.param_groups]
    return [float(entry[int(item[:-1])] if item else entry) for entry in entries]


def orders(*made):
    """Yield each order of loads, and each subset that has the schedulers."""
    yield from itertools.permutations(made)
    yield from itertools.permutations(made[1:])


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("field", FIELDS)
def test_optimizer_and_scheduler_load_in_any_order_though_the_schedule_has_changed(field, relative):
    kind, options = FIELDS[field]

    def build(schedules):
        opt = optimizer(2, kind, **options)
        return opt, ScheduleLR(opt, schedules, field=field, relative=relative)

    saved = build([OLD, OLD * 2.0])
    advance(saved[0], saved[1:])
    states = [one.state_dict() for one in saved]
    first = read(optimizer(1, kind, **options), field)[0] if relative else 1.0
    for order in orders(0, 1):
        made = build([NEW, NEW * 0.5])
        for i in order:
            with pytest.warns(UserWarning, match="goes on with") if i else contextlib.nullcontext():
                made[i].load_state_dict(states[i])
        assert read(made[0], field) == [first * NEW(DONE), first * 0.5 * NEW(DONE)], order
        assert made[1].get_last_lr() == read(made[0], field)
        advance(made[0], made[1:], 1)
        assert read(made[0], field) == [first * NEW(DONE + 1), first * 0.5 * NEW(DONE + 1)], order


def test_a_scheduler_that_is_not_loaded_begins_where_it_stands():
    old = schedule_lr()
    advance(old[0], old[1:])
    opt = optimizer()
    scheduler = ScheduleLR(opt, NEW)
    opt.load_state_dict(old[0].state_dict())
    assert read(opt, "lr") == [NEW(0)] * 2 == scheduler.get_last_lr()


@pytest.mark.filterwarnings("ignore:the state was saved with")
def test_schedulers_of_several_fields_load_in_any_order():
    def build(a, b, c):
        opt = optimizer(2, torch.optim.AdamW, weight_decay=0.5)
        return [
            opt, ScheduleLR(opt, a), ScheduleLR(opt, b, field="weight_decay", relative=True),
            ScheduleLR(opt, [c, None], field="betas[0]"),
        ]  # fmt: skip

    saved = build(OLD, OLD, OLD)
    advance(saved[0], saved[1:])
    states = [one.state_dict() for one in saved]
    for order in orders(0, 1, 2, 3):
        made = build(NEW, NEW * 0.1, NEW * 0.2)
        for i in order:
            made[i].load_state_dict(states[i])
        assert read(made[0], "lr") == [NEW(DONE)] * 2
        assert read(made[0], "weight_decay") == [0.5 * (NEW * 0.1)(DONE)] * 2
        assert read(made[0], "betas[0]") == [(NEW * 0.2)(DONE), 0.9]
        assert read(made[0], "betas[1]") == [0.999] * 2


@pytest.mark.filterwarnings("ignore:the state was saved with")
@pytest.mark.parametrize("lr", [1.0, torch.tensor(1.0), torch.tensor(1.0, dtype=torch.float64)], ids=repr)
def test_a_rule_optimizer_and_tensor_rates_load_in_any_order(lr):
    def build(schedule):
        ps = [torch.nn.Parameter(torch.ones(2))]
        opt = rule_optimizer(ps, copy.copy(lr) if isinstance(lr, float) else lr.clone())
        ps[0].grad = torch.ones(2)
        return opt, ScheduleLR(opt, schedule)

    saved = build(OLD)
    advance(saved[0], saved[1:])
    states = [copy.deepcopy(one.state_dict()) for one in saved]
    wanted = float(torch.full_like(lr, NEW(DONE))) if isinstance(lr, torch.Tensor) else NEW(DONE)
    for order in orders(0, 1):
        made = build(NEW)
        for i in order:
            made[i].load_state_dict(states[i])
        assert read(made[0], "lr") == [wanted]
        assert type(made[0].param_groups[0]["lr"]) is type(lr)


def test_a_feedback_scheduler_keeps_its_factor_when_the_optimizer_is_loaded_last():
    opt, scheduler = feedback_lr()
    for metric in [1.0, 1.0, 1.0]:
        opt.step()
        scheduler.step(metric)
    again, resumed = feedback_lr()
    resumed.load_state_dict(scheduler.state_dict())
    state = opt.state_dict()
    state["param_groups"][0]["lr"] = 7.0
    again.load_state_dict(state)
    assert read(again, "lr") == [OLD(3) * scheduler.factor] * 2 == [OLD(3) * 0.25] * 2


@pytest.mark.filterwarnings("ignore:.*was called before")  # by the SequentialLR around another, as for torch's own
@pytest.mark.parametrize("done", [0, 1, 3, 4, 5, 9])
def test_phases_of_a_sequential_scheduler_load_in_any_order(done):
    def build():
        opt = optimizer(1)
        inner = native.SequentialLR(
            opt, [ScheduleLR(opt, Linear(1.0, 0.5, steps=4)), ScheduleLR(opt, Exponential(0.7, 0.5))], [2]
        )
        return opt, native.SequentialLR(opt, [inner, ScheduleLR(opt, Exponential(0.3, 0.5))], [4])

    saved = build()
    advance(saved[0], saved[1:], done)
    states = [one.state_dict() for one in saved]
    for order in orders(0, 1):
        made = build()
        for i in order:
            made[i].load_state_dict(copy.deepcopy(states[i]))
        assert read(made[0], "lr") == read(saved[0], "lr"), order


def test_what_another_has_written_over_the_rate_is_loaded_as_torch_loads_it():
    opt, scheduler = schedule_lr()
    state = opt.state_dict()
    state["param_groups"][1]["lr"] = 7.0
    opt.param_groups[1]["lr"] = 0.5
    opt.load_state_dict(state)
    assert read(opt, "lr") == [OLD(0), 7.0]
    opt.step()
    scheduler.step()
    assert read(opt, "lr") == [OLD(1)] * 2


def test_a_load_that_torch_refuses_leaves_the_rates():
    opt, scheduler = schedule_lr()
    advance(opt, [scheduler])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        opt.load_state_dict(optimizer(3).state_dict())
    assert read(opt, "lr") == [OLD(DONE)] * 2 == scheduler.get_last_lr()


def test_a_loaded_group_without_the_entry_is_named_at_the_next_step():
    opt = optimizer(2, torch.optim.RMSprop)
    scheduler = ScheduleLR(opt, OLD, field="eps")
    state = opt.state_dict()
    del state["param_groups"][1]["eps"]
    opt.load_state_dict(state)
    with (
        pytest.raises(ValueError, match=r"ScheduleLR\(field=...\) must name a number in each group"),
        pytest.warns(UserWarning, match="before"),
    ):
        scheduler.step()
    assert (opt.param_groups[0]["eps"], scheduler.last_epoch) == (OLD(0), 0)


def test_the_optimizer_does_not_keep_its_schedulers():
    opt = optimizer()
    hooks = [opt._optimizer_load_state_dict_pre_hooks, opt._optimizer_load_state_dict_post_hooks]
    known = [weakref.ref(ScheduleLR(opt, OLD)) for _ in range(5)]
    gc.collect()
    assert [one() for one in known] == [None] * 5
    assert list(map(len, hooks)) == [0, 0]
    opt.load_state_dict(opt.state_dict())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_of_a_scheduler_follows_the_loads_of_its_own_optimizer(duplicate):
    opt, scheduler = schedule_lr()
    advance(opt, [scheduler])
    twin = duplicate(scheduler)
    state = optimizer().state_dict()
    twin.optimizer.load_state_dict(state)
    assert (read(twin.optimizer, "lr"), read(opt, "lr")) == ([OLD(DONE)] * 2, [OLD(DONE)] * 2)
    alone = duplicate(opt)
    alone.load_state_dict(state)
    assert (read(alone, "lr"), read(opt, "lr")) == ([1.0] * 2, [OLD(DONE)] * 2)


def test_a_range_test_puts_the_rate_of_a_scheduler_back():
    model = torch.nn.Linear(1, 1)
    opt = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = ScheduleLR(opt, OLD)
    advance(opt, [scheduler])

    def step():
        opt.zero_grad()
        loss = model(torch.ones(4, 1)).square().mean()
        loss.backward()
        opt.step()
        return loss

    run_range_test(model, opt, step, start=1e-4, steps=5)
    assert read(opt, "lr") == [OLD(DONE)] == scheduler.get_last_lr()
