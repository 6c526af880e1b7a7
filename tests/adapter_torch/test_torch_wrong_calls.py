"""No wrong call of the torch adapter ends in a foreign error, in silence, or in a message that does not help."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from wrong_calls import Call, Public, callables, complaints

import lrsched_torch as lt
from lrsched import Cosine, feedback, parse, rules

SCHEDULE = Cosine(0.1, 0.0, steps=10)


def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(2))


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter()], lr=0.1)


def optimizer(rule: rules.Rule | None = None) -> lt.RuleOptimizer:
    """Return an optimizer that has made an update."""
    made = lt.RuleOptimizer([parameter()], rule or rules.Adam(), lr=0.1)
    made.param_groups[0]["params"][0].grad = torch.ones(2)
    made.step()
    return made


def scheduler() -> lt.ScheduleLR:
    return lt.ScheduleLR(sgd(), SCHEDULE)


def timm() -> lt.TimmLR:
    return lt.TimmLR(sgd(), SCHEDULE)


def answering() -> lt.FeedbackLR:
    return lt.FeedbackLR(sgd(), SCHEDULE, feedback.Plateau())


def of(make: Callable[[], Any], method: str, **arguments: Any) -> Callable[[], Call]:
    """Return what makes a call of a method of a new object."""
    return lambda: Call(getattr(make(), method), {name: given() for name, given in arguments.items()})


CALLS: dict[str, Callable[[], Call]] = {
    "FeedbackLR": lambda: Call(lt.FeedbackLR, {"optimizer": sgd(), "schedule": SCHEDULE, "rule": feedback.Plateau()}),
    "FeedbackLR.get_lr": of(answering, "get_lr"),
    "FeedbackLR.step": of(answering, "step", metric=lambda: 1.0),
    "FeedbackLR.observe": of(answering, "observe", metric=lambda: 1.0),
    "FeedbackLR.state_dict": of(answering, "state_dict"),
    "FeedbackLR.load_state_dict": of(answering, "load_state_dict", state_dict=answering().state_dict),
    "ScheduleLR": lambda: Call(lt.ScheduleLR, {"optimizer": sgd(), "schedule": SCHEDULE}),
    "ScheduleLR.get_lr": of(scheduler, "get_lr"),
    "ScheduleLR.step": of(scheduler, "step"),
    "ScheduleLR.state_dict": of(scheduler, "state_dict"),
    "ScheduleLR.load_state_dict": of(scheduler, "load_state_dict", state_dict=scheduler().state_dict),
    "TimmLR": lambda: Call(lt.TimmLR, {"optimizer": sgd(), "schedule": SCHEDULE}),
    "TimmLR.step": of(timm, "step", epoch=lambda: 1),
    "TimmLR.step_update": of(timm, "step_update", num_updates=lambda: 1),
    "RuleOptimizer": lambda: Call(lt.RuleOptimizer, {"params": [parameter()], "rule": rules.Adam(), "lr": 0.1}),
    "RuleOptimizer.add_param_group": of(optimizer, "add_param_group", param_group=lambda: {"params": [parameter()]}),
    "RuleOptimizer.step": of(optimizer, "step"),
    "RuleOptimizer.zero_grad": of(optimizer, "zero_grad"),
    "RuleOptimizer.scheduler": of(lambda: lt.RuleOptimizer([parameter()], rules.Adam(), lr=SCHEDULE), "scheduler"),
    "RuleOptimizer.state_dict": of(optimizer, "state_dict"),
    "RuleOptimizer.load_state_dict": of(optimizer, "load_state_dict", state_dict=lambda: optimizer().state_dict()),
    "averaged": lambda: Call(lt.averaged, {"optimizer": optimizer(rules.ScheduleFree(rules.SGD()))}),
    "from_torch": lambda: Call(lt.from_torch, {"scheduler": StepLR(sgd(), 3)}),
    "lightning_config": lambda: Call(lt.lightning_config, {"scheduler": scheduler()}),
    "run_range_test": lambda: Call(
        lt.run_range_test,
        {"model": torch.nn.Linear(1, 1), "optimizer": sgd(), "step": lambda: 1.0, "steps": 3},
    ),
}
LEFT = {"RuleOptimizer.new_state": "the executors call it"}
RIGHT: dict[tuple[str, str], str] = {
    ("lrsched_torch.FeedbackLR.step", "metric"): "any number, infinite and NaN too, or None",
    ("lrsched_torch.FeedbackLR.step", "metrics"): "None beside a metric",
    ("lrsched_torch.FeedbackLR.observe", "metric"): "any number, infinite and NaN too",
    ("lrsched_torch.ScheduleLR.step", "metrics"): "any number, or None",
    ("lrsched_torch.TimmLR.step", "metric"): "any number, or None",
    ("lrsched_torch.TimmLR.step_update", "metric"): "the same",
    ("lrsched_torch.RuleOptimizer", "totals_over"): "None",
    ("lrsched_torch.ScheduleLR.load_state_dict", "state_dict"): "the message writes it (...), for there is no other",
    ("lrsched_torch.FeedbackLR.load_state_dict", "state_dict"): "the same",
}


def test_each_public_callable_has_a_valid_call():
    assert [p.path for p in callables("lrsched_torch") if p.path not in CALLS and p.path not in LEFT] == []
    assert [name for name in LEFT if name not in {p.path for p in callables("lrsched_torch")}] == []


def walked() -> list[tuple[Public, Callable[[], Call]]]:
    return [(public, CALLS[public.path]) for public in callables("lrsched_torch") if public.path in CALLS]


def test_wrong_calls_are_refused_with_function_argument_what_must_hold_and_what_came():
    assert list(complaints(walked(), RIGHT, every=5)) == []


@pytest.mark.slow
def test_every_wrong_call_is():
    assert list(complaints(walked(), RIGHT)) == []


@pytest.mark.parametrize(
    "use",
    [
        lambda p, t: lt.ScheduleLR(torch.optim.SGD([p], lr=1.0), t),
        lambda p, t: lt.RuleOptimizer([p], rules.Adam(), lr=t),
    ],
    ids=["ScheduleLR", "RuleOptimizer"],
)
def test_a_template_is_refused_with_how_it_becomes_a_schedule(use):
    template = parse("Warmup(5%) >> Constant(1)")
    with pytest.raises(TypeError, match=r"got Template.*template.build\(Budget\(steps=...\)\) returns the schedule"):
        use(torch.nn.Parameter(torch.zeros(2)), template)
