"""`from_torch` reads the schedulers of pytorch-ignite: what a real engine's optimizer uses, update by update."""

import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lrsched import Constant, Cosine, Linear, Schedule, compat
from lrsched.compat import ignite

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
engines = pytest.importorskip("ignite.engine")
live = pytest.importorskip("ignite.handlers.param_scheduler")
lrsched_torch = pytest.importorskip("lrsched_torch")
from_torch = lrsched_torch.from_torch

STEPS = 40


def sgd(*lrs: float) -> Any:
    """Return an optimizer with a group for each rate."""
    return torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in lrs], lr=lrs[0], momentum=0.9)


def run(handler: Any, updates: int, event: Any = engines.Events.ITERATION_STARTED, optimizer: Any = None) -> Any:
    """Return the rates of all groups that the updates of an engine use."""
    optimizer = optimizer or handler.optimizer
    seen: list[list[float]] = []
    if not updates:
        return np.zeros((0, len(optimizer.param_groups)))

    def update(engine: Any, batch: Any) -> None:
        optimizer.step()
        seen.append([float(group["lr"]) for group in optimizer.param_groups])

    engine = engines.Engine(update)
    engine.add_event_handler(event, handler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        engine.run(range(updates), max_epochs=1)
    return np.array(seen)


def agree(schedules: list[Schedule], *seen: Any) -> None:
    rates = np.concatenate(seen)
    for schedule, column in zip(schedules, rates.T, strict=True):
        np.testing.assert_allclose(schedule(np.arange(len(column))), column, rtol=1e-12, atol=1e-13 * column.max())


def imported(handler: Any, taken: int, optimizer: Any = None, steps: int = STEPS) -> list[Schedule]:
    """Return the schedules read after some events, found equal to the whole run."""
    before = run(handler, taken, optimizer=optimizer)
    schedules = from_torch(handler)
    agree(schedules, before, run(handler, steps, optimizer=optimizer))
    return schedules


rates = st.sampled_from([0.1, 0.5, 3e-4]) | st.floats(1e-6, 3.0)
values = st.just(0.0) | rates
counts = st.integers(0, 50)
lengths = st.integers(1, 30)
mults = st.sampled_from([1.0, 1.0, 2, 3.0, 1.5, 1.05])
factors = st.sampled_from([1.0, 1.0, 0.5, 0.9, 1.3])

CYCLES = {
    "start_value": values,
    "end_value": values,
    "cycle_size": st.integers(2, 25),
    "cycle_mult": mults,
    "start_value_mult": factors,
    "end_value_mult": factors,
}
pairs = st.tuples(st.integers(0, 40), values)
OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "CosineAnnealingScheduler": st.fixed_dictionaries({**CYCLES, "warmup_duration": st.sampled_from([0, 1, 4])}),
    "LinearCyclicalScheduler": st.fixed_dictionaries({**CYCLES, "monotonic": st.just(False)})
    | st.fixed_dictionaries({**CYCLES, "monotonic": st.just(True), "warmup_duration": st.sampled_from([0, 1, 4])}),
    "PiecewiseLinear": st.fixed_dictionaries(
        {"milestones_values": st.lists(pairs, min_size=1, max_size=5).map(lambda p: sorted(p, key=lambda q: q[0]))}
    ),
}


@given(st.data(), st.sampled_from(sorted(OWN)), counts)
def test_a_scheduler_of_ignite_is_that_of_compat(data: Any, name: str, taken: int):
    arguments = data.draw(OWN[name])
    (schedule,) = imported(getattr(live, name)(sgd(1.0), "lr", **arguments), taken)
    ours = getattr(ignite, name)(**arguments)
    # After a cycle the first values must be found from what came of them: of many digits, but for the last.
    if all(len(repr(v)) < 9 for v in arguments.values() if isinstance(v, float)):
        assert schedule == ours
    steps = np.arange(2 * STEPS)
    np.testing.assert_allclose(schedule(steps), ours(steps), rtol=1e-12, atol=1e-15)


gammas = st.sampled_from([0.5, 0.9]) | st.floats(0.3, 1.1)
TORCH: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ConstantLR": st.fixed_dictionaries({"factor": st.floats(0.1, 1.0), "total_iters": st.integers(0, 30)}),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": lengths, "eta_min": st.sampled_from([0.0, 1e-4])}),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": lengths, "T_mult": st.integers(1, 3), "eta_min": values}
    ),
    "CyclicLR": st.fixed_dictionaries(
        {"base_lr": st.floats(0.01, 0.1), "max_lr": st.floats(0.1, 1.0), "step_size_up": st.integers(1, 9)}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": gammas}),
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": st.floats(0.1, 1.0), "end_factor": st.floats(0.0, 1.0), "total_iters": st.integers(0, 30)}
    ),
    "MultiStepLR": st.fixed_dictionaries({"milestones": st.lists(st.integers(0, 40), max_size=4), "gamma": gammas}),
    "MultiplicativeLR": st.fixed_dictionaries(
        {"lr_lambda": st.sampled_from([lambda t: 0.9, lambda t: 1 - 1 / (t + 3)])}
    ),
    "OneCycleLR": st.fixed_dictionaries({"max_lr": rates, "total_steps": st.just(150)}),
    "PolynomialLR": st.fixed_dictionaries({"total_iters": lengths, "power": st.sampled_from([0.0, 0.9, 1.0, 2.0])}),
    "SWALR": st.fixed_dictionaries({"swa_lr": rates, "anneal_epochs": st.sampled_from([0, 10])}),
    "StepLR": st.fixed_dictionaries({"step_size": lengths, "gamma": gammas}),
}
SETTING = ("CyclicLR", "OneCycleLR")  # they bring the rate themselves


def torch_scheduler(name: str, optimizer: Any, arguments: dict[str, Any]) -> Any:
    kind = torch.optim.swa_utils.SWALR if name == "SWALR" else getattr(lr_scheduler, name)
    return kind(optimizer, **arguments)


def with_rate(name: str, lr: float, arguments: dict[str, Any]) -> dict[str, Any]:
    return arguments if name in SETTING else {"lr": lr, **arguments}


@given(st.data(), st.sampled_from(sorted(TORCH)), rates, counts)
@settings(max_examples=150)
def test_a_scheduler_of_torch_in_ignite_does_its_first_step_twice(data: Any, name: str, lr: float, taken: int):
    arguments = data.draw(TORCH[name])
    # The first value is below 0 where the least is above the rate; rounding grows where both nearly meet.
    assume(name != "CosineAnnealingLR" or arguments["eta_min"] < 0.5 * lr)
    handler = live.LRScheduler(torch_scheduler(name, sgd(lr), arguments))
    (schedule,) = imported(handler, taken)
    assert schedule == ignite.LRScheduler(name, **with_rate(name, lr, arguments))


@given(st.data(), st.sampled_from(sorted(set(TORCH) - {"SWALR"})), rates, st.integers(0, 25))
def test_a_scheduler_called_after_the_updates_is_that_of_torch(data: Any, name: str, lr: float, taken: int):
    arguments = data.draw(TORCH[name])
    optimizer = sgd(lr)
    scheduler = torch_scheduler(name, optimizer, arguments)
    with pytest.warns(UserWarning, match="ITERATION_COMPLETED"):
        handler = live.LRScheduler(scheduler, use_legacy=True)
    before = run(handler, taken, engines.Events.ITERATION_COMPLETED)
    schedules = from_torch(handler)
    agree(schedules, before, run(handler, STEPS, engines.Events.ITERATION_COMPLETED))
    named = with_rate(name, lr, arguments)
    assert schedules == [ignite.LRScheduler(name, use_legacy=True, **named)] == [getattr(compat.torch, name)(**named)]


@given(st.data(), st.sampled_from(sorted(set(TORCH) - {"SWALR"})), rates, st.integers(1, 25), st.integers(0, 25))
@settings(max_examples=100)
def test_a_scheduler_that_has_taken_steps_goes_on_from_there(data: Any, name: str, lr: float, begun: int, taken: int):
    arguments = data.draw(TORCH[name])
    optimizer = sgd(lr)
    scheduler = torch_scheduler(name, optimizer, arguments)
    for _ in range(begun):
        optimizer.step()
        scheduler.step()
    # At their ends torch divides by what is 0, or nearly.
    assume(name != "CosineAnnealingLR" or begun % arguments["T_max"] > 1)
    assume(name != "PolynomialLR" or begun < arguments["total_iters"])
    assume(name != "LinearLR" or arguments["end_factor"] > 0.05)
    (schedule,) = imported(live.LRScheduler(scheduler), taken)
    agree(
        [ignite.LRScheduler(name, taken=begun, **with_rate(name, lr, arguments))], schedule(np.arange(STEPS))[:, None]
    )


def test_the_first_step_of_torch_counts_twice():
    # 0.4 * 0.5, then half of that each event; 0.4 * 0.25 * 0.25, then up by the steps of the line
    exponential, linear = sgd(0.4), sgd(0.4)
    (halves,) = from_torch(live.LRScheduler(lr_scheduler.ExponentialLR(exponential, 0.5)))
    (line,) = from_torch(live.LRScheduler(lr_scheduler.LinearLR(linear, 0.25, total_iters=3)))
    assert [halves(t) for t in range(3)] == [0.2, 0.1, 0.05]
    assert [line(t) for t in range(5)] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_a_schedule_of_ours_is_left_as_it_is():
    curve = Linear(0.0, 0.1, 5) >> Cosine(0.1, 0.0, 40)
    assert imported(live.LRScheduler(lrsched_torch.ScheduleLR(sgd(0.3), curve)), 7) == [curve]
    (late,) = imported(live.LRScheduler(lrsched_torch.ScheduleLR(sgd(0.3), curve, last_epoch=3)), 7)
    assert [late(t) for t in range(9)] == [curve(t + 4) for t in range(9)]


@given(st.data(), st.lists(st.sampled_from(sorted([*OWN, *TORCH])), min_size=2, max_size=4), counts)
@settings(max_examples=150)
def test_a_concatenation_is_read_with_the_rates_that_its_parts_find(data: Any, names: list[str], taken: int):
    optimizer = sgd(0.5, 0.2)
    parts = []
    for name in names:
        if name in OWN:
            parts.append(getattr(live, name)(optimizer, "lr", **data.draw(OWN[name])))
        else:
            arguments = data.draw(TORCH[name])
            if name == "CosineAnnealingLR":  # where its least is above the rate it finds, ignite goes below 0
                arguments["eta_min"] = 0.0
            parts.append(live.LRScheduler(torch_scheduler(name, optimizer, arguments)))
    durations = data.draw(st.lists(lengths, min_size=len(names) - 1, max_size=len(names) - 1))
    imported(live.ConcatScheduler(parts, durations), taken)


def test_a_concatenation_of_ignite_is_that_of_compat():
    optimizer = sgd(1.0)
    inner = live.ConcatScheduler(
        [
            live.LinearCyclicalScheduler(optimizer, "lr", 0.0, 1.0, 8, start_value_mult=0.5, monotonic=True),
            live.CosineAnnealingScheduler(optimizer, "lr", 1.0, 0.1, 4, cycle_mult=1.5),
        ],
        [20],
    )
    handler = live.ConcatScheduler([inner, live.LRScheduler(lr_scheduler.StepLR(optimizer, 5, 0.5))], [45])
    ours = ignite.ConcatScheduler(
        [
            ignite.LinearCyclicalScheduler(0.0, 1.0, 8, start_value_mult=0.5, monotonic=True),
            ignite.CosineAnnealingScheduler(1.0, 0.1, 4, cycle_mult=1.5),
        ],
        [20],
    )
    rest = ignite.LRScheduler("StepLR", lr=1.0, step_size=5, gamma=0.5, found=ours(44))
    assert imported(handler, 30) == [ignite.ConcatScheduler([ours, rest], [45])]
    assert from_torch(handler) == [ignite.ConcatScheduler([ours, rest], [45])]


ends = st.sampled_from([None, 0.25, 1.0, 1.5])


@given(st.data(), st.sampled_from(sorted(set(TORCH) - {"SWALR"})), values, st.integers(2, 12), ends, counts)
@settings(max_examples=100)
def test_a_warm_up_before_torch_is_that_of_compat(
    data: Any, name: str, start: float, duration: int, end: float | None, taken: int
):
    arguments = data.draw(TORCH[name])
    scheduler = torch_scheduler(name, sgd(1.0), arguments)
    handler = live.create_lr_scheduler_with_warmup(scheduler, start, duration, end)
    ours = getattr(compat.torch, name)(**with_rate(name, 1.0, arguments))
    assert imported(handler, taken) == [ignite.create_lr_scheduler_with_warmup(ours, start, duration, end)]


@given(st.data(), values, st.integers(2, 12), ends, counts)
def test_a_warm_up_before_ignite_is_that_of_compat(data: Any, start: float, duration: int, end: Any, taken: int):
    size, low = data.draw(st.integers(2, 25)), data.draw(values)
    inner = live.CosineAnnealingScheduler(sgd(1.0), "lr", 1.0, low, size)
    handler = live.create_lr_scheduler_with_warmup(inner, start, duration, end)
    ours = ignite.create_lr_scheduler_with_warmup(
        ignite.CosineAnnealingScheduler(1.0, low, size), start, duration, 1.0 if end is None else end
    )
    assert imported(handler, taken) == [ours]


@given(st.data(), st.sampled_from(sorted(TORCH)), values, st.integers(2, 12), ends, counts)
@settings(max_examples=100)
def test_a_warm_up_of_several_groups_is_read_as_ignite_runs_it(
    data: Any, name: str, start: float, duration: int, end: float | None, taken: int
):
    # The second group does not see what the first has learnt of the scheduler: the joint differs from that of one.
    arguments = data.draw(TORCH[name])
    assume(name != "CosineAnnealingLR" or arguments["T_max"] > 1)
    scheduler = torch_scheduler(name, sgd(1.0, 0.3), arguments)
    imported(live.create_lr_scheduler_with_warmup(scheduler, start, duration, end), taken)


@given(counts)
def test_schedulers_of_groups_give_one_schedule_each(taken: int):
    optimizer = sgd(1.0, 0.3, 0.7)
    handler = live.ParamGroupScheduler(
        [
            live.CosineAnnealingScheduler(optimizer, "lr", 0.5, 0.1, 9, 2.0, param_group_index=0),
            live.LinearCyclicalScheduler(optimizer, "lr", 0.0, 0.1, 6, end_value_mult=0.5, param_group_index=-1),
        ]
    )
    assert imported(handler, taken, optimizer) == [
        ignite.CosineAnnealingScheduler(0.5, 0.1, 9, 2.0),
        Constant(0.3),
        ignite.LinearCyclicalScheduler(0.0, 0.1, 6, end_value_mult=0.5),
    ]


def test_of_two_schedulers_of_a_group_the_last_counts():
    optimizer = sgd(1.0, 0.3)
    parts = [
        live.CosineAnnealingScheduler(optimizer, "lr", low, 0.1, 9, param_group_index=g)
        for low, g in ((0.5, None), (0.2, 1))
    ]
    first, second = imported(live.ParamGroupScheduler(parts), 20, optimizer)
    assert (first(0), second(0)) == (0.5, 0.2)


def test_the_parts_of_a_concatenation_may_drive_other_groups():
    optimizer = sgd(1.0, 0.3)
    parts = [live.CosineAnnealingScheduler(optimizer, "lr", 0.5, 0.1, 9, param_group_index=g) for g in (0, 1)]
    first, second = imported(live.ConcatScheduler(parts, [4]), 0)
    assert first(30) == first(3)
    assert second(3) == 0.3


def test_a_handler_goes_on_from_its_saved_state():
    def build() -> Any:
        return live.create_lr_scheduler_with_warmup(lr_scheduler.ExponentialLR(sgd(0.5), 0.9), 0.0, 5)

    first, resumed = build(), build()
    run(first, 20)
    resumed.load_state_dict(first.state_dict())
    resumed.optimizer.load_state_dict(first.optimizer.state_dict())
    assert from_torch(resumed) == from_torch(build())


def test_reading_touches_neither_the_handler_nor_the_optimizer():
    optimizer = sgd(0.5, 0.2)
    handler = live.create_lr_scheduler_with_warmup(lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 7), 0.1, 5, 0.4)
    run(handler, 9)
    before = repr(optimizer.state_dict()), repr(handler._scheduler_index), handler.schedulers[1].lr_scheduler.last_epoch
    from_torch(handler)
    after = repr(optimizer.state_dict()), repr(handler._scheduler_index), handler.schedulers[1].lr_scheduler.last_epoch
    assert before == after


Build = Callable[[Any], Any]
REFUSED: dict[str, tuple[Build, type[Exception], str]] = {
    "closed loop": (
        lambda o: live.ReduceLROnPlateauScheduler(o, "loss"),
        ValueError,
        "got a ReduceLROnPlateauScheduler: use lrsched.feedback.Plateau",
    ),
    "plateau of torch": (
        lambda o: live.LRScheduler(lr_scheduler.ReduceLROnPlateau(o)),
        ValueError,
        "got a ReduceLROnPlateau: use lrsched.feedback",
    ),
    "another field": (
        lambda o: live.CosineAnnealingScheduler(o, "momentum", 0.9, 0.5, 9),
        ValueError,
        r"got one of 'momentum': .* ScheduleLR\(..., field='momentum'\)",
    ),
    "another field of a group": (
        lambda o: live.ParamGroupScheduler(
            [live.PiecewiseLinear(o, key, [(0, 0.5)], param_group_index=0) for key in ("lr", "momentum")]
        ),
        ValueError,
        "got one of 'momentum'",
    ),
    "two optimizers": (
        lambda o: live.ParamGroupScheduler([live.PiecewiseLinear(p, "lr", [(0, 0.5)]) for p in (o, sgd(1.0))]),
        ValueError,
        "one optimizer, got several",
    ),
    "a part twice": (
        lambda o: live.ConcatScheduler([live.PiecewiseLinear(o, "lr", [(0, 0.5)])] * 2, [5]),
        ValueError,
        "each scheduler once",
    ),
    "a sequence": (
        lambda o: live.LRScheduler(lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 5)], [])),
        ValueError,
        "one of a SequentialLR, at which it stops",
    ),
    "shrinking cycles": (
        lambda o: live.CosineAnnealingScheduler(o, "lr", 0.9, 0.5, 9, 0.5),
        ValueError,
        r"cycle_mult=...\) must be a number >= 1",
    ),
    "a swing below zero": (
        lambda o: live.LRScheduler(lr_scheduler.CosineAnnealingLR(o, 1, 2.0)),
        ValueError,
        r"eta_min=...\) must be small enough",
    ),
    "averaging that began": (
        lambda o: live.LRScheduler(stepped(torch.optim.swa_utils.SWALR(o, 0.5))),
        ValueError,
        r"taken=...\) must be 0 for SWALR",
    ),
    "a polynomial without steps": (
        lambda o: live.LRScheduler(lr_scheduler.PolynomialLR(o, 0)),
        ValueError,
        r"total_iters=...\) must be an int >= 1, or torch divides by zero",
    ),
}


def stepped(scheduler: Any) -> Any:
    scheduler.optimizer.step()
    scheduler.step()
    return scheduler


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_schedule_is_refused(case: str):
    build, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        from_torch(build(sgd(0.9)))


def test_batch_sizes_and_attributes_of_the_engine_are_no_rates():
    loader = torch.utils.data.DataLoader(list(range(8)), batch_size=2)
    with pytest.raises(TypeError, match="an optimizer's rates, got a BatchSizeScheduler of ignite"):
        from_torch(live.BatchSizeScheduler(loader, lambda event: 4))
    states = pytest.importorskip("ignite.handlers.state_param_scheduler")
    with pytest.raises(TypeError, match="got a StepStateScheduler of ignite"):
        from_torch(states.StepStateScheduler("param", 0.5, 0.9, 5))


def test_a_scheduler_of_the_user_is_named():
    class Own(live.ParamScheduler):  # type: ignore[misc, name-defined]  # a module found while testing
        def get_param(self) -> float:
            return 0.1

    optimizer = sgd(0.9)
    with pytest.raises(TypeError, match="got a Own"):
        from_torch(Own(optimizer, "lr"))
    with pytest.raises(TypeError, match="got a Own"):
        from_torch(live.ConcatScheduler([Own(optimizer, "lr"), live.PiecewiseLinear(optimizer, "lr", [(0, 0.5)])], [5]))


def test_a_rate_changed_by_hand_is_noticed_where_torch_goes_on_from_it():
    handler = live.LRScheduler(lr_scheduler.ExponentialLR(sgd(0.5), 0.9))
    run(handler, 5)
    handler.optimizer.param_groups[0]["lr"] = 0.2
    with pytest.raises(ValueError, match=r"group 0 has .* at step 5, .*: was the rate changed by hand\?"):
        from_torch(handler)


def test_one_cycle_is_read_to_its_last_step():
    handler = live.LRScheduler(lr_scheduler.OneCycleLR(sgd(0.5), 0.5, total_steps=20))
    run(handler, 18)
    (schedule,) = from_torch(handler)
    assert schedule == compat.torch.OneCycleLR(0.5, total_steps=20)
    assert math.isclose(run(handler, 2)[1, 0], schedule(19))


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: ignite.LRScheduler("SequentialLR", lr=0.1),
            ValueError,
            r"lr_scheduler=...\) must be one of 'ConstantLR'",
        ),
        (lambda: ignite.LRScheduler(5, lr=0.1), TypeError, r"lr_scheduler=...\) must be one of"),
        (lambda: ignite.LRScheduler("StepLR", lr=0.1), TypeError, r"missing a required argument: 'step_size'"),
        (lambda: ignite.LRScheduler(Constant(0.1), lr=0.1), TypeError, r"unexpected argument 'lr'"),
        (lambda: ignite.LRScheduler("StepLR", lr=0.1, step_size=5, found=-1.0), ValueError, r"found=...\) must be a"),
        (
            lambda: ignite.LRScheduler("StepLR", lr=0.1, step_size=5, gamma=0.0, taken=7, found=0.5),
            ValueError,
            r"found=...\) must be 0, as StepLR is at step 6",
        ),
    ],
)
def test_what_torch_does_not_offer_to_ignite_is_refused(call: Build, kind: type[Exception], message: str):
    with pytest.raises(kind, match=message):
        call()  # type: ignore[call-arg]  # of the parameter list above


def test_ignite_need_not_be_installed():
    code = (
        "import sys; sys.modules['ignite'] = None\n"
        "import torch; from lrsched_torch import from_torch\n"
        "o = torch.optim.SGD([torch.zeros(1)], lr=0.1)\n"
        "print(from_torch(torch.optim.lr_scheduler.StepLR(o, 5)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert "Epochs" in done.stdout, done.stderr
