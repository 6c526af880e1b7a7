"""`from_torch` reads schedulers in schedulers as torch runs them."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import Schedule, compat

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
from_torch = pytest.importorskip("lrsched_torch").from_torch

STEPS = 60
Build = Callable[[Any], Any]


def sgd(*lrs: float) -> Any:
    """Return an optimizer with a group for each rate."""
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=lrs[0], momentum=0.9)


def take(optimizer: Any, scheduler: Any, steps: int) -> list[list[float]]:
    """Return the rates of all groups before each of some steps."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append([float(group["lr"]) for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
    return seen


def agree(schedules: list[Schedule], seen: list[list[float]]) -> None:
    steps = np.arange(len(seen))
    for schedule, rates in zip(schedules, np.transpose(seen), strict=True):
        np.testing.assert_allclose(schedule(steps), rates, rtol=1e-10, atol=1e-12 * np.max(rates))


gammas = st.sampled_from([0.5, 0.9, 0.97])
# Those that multiply the rate they find, and never bring it to 0.
LEAVES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "ConstantLR": st.fixed_dictionaries({"factor": st.sampled_from([0.25, 0.5]), "total_iters": st.integers(1, 9)}),
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": st.sampled_from([0.1, 1 / 3]), "total_iters": st.integers(1, 9)}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": gammas}),
    "StepLR": st.fixed_dictionaries({"step_size": st.integers(1, 9), "gamma": gammas}),
    "MultiStepLR": st.fixed_dictionaries(
        {"milestones": st.lists(st.integers(1, 40), min_size=1, max_size=3), "gamma": gammas}
    ),
}
FADING = {
    "PolynomialLR": st.fixed_dictionaries({"total_iters": st.integers(110, 130), "power": st.sampled_from([1.0, 2.0])}),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": st.integers(110, 130)}),
}


@st.composite
def leaves(draw: Any) -> Build:
    """A function that builds a simple scheduler."""
    name = draw(st.sampled_from([*LEAVES, *FADING]))
    arguments = draw({**LEAVES, **FADING}[name])
    return lambda optimizer: getattr(lr_scheduler, name)(optimizer, **arguments)


@st.composite
def composites(draw: Any, depth: int = 3) -> Build:
    """A function that builds schedulers in schedulers; only the first part of a sequence is one, for torch's sake."""
    if draw(st.booleans()):
        parts = draw(st.lists(leaves() if depth == 0 else leaves() | composites(depth - 1), min_size=1, max_size=3))
        return lambda optimizer: lr_scheduler.ChainedScheduler([part(optimizer) for part in parts], optimizer)
    first = draw(leaves() if depth == 0 else leaves() | composites(depth - 1))
    rest = draw(st.lists(leaves(), max_size=2))
    milestones = sorted(draw(st.sets(st.integers(5, 30), min_size=len(rest), max_size=len(rest))))
    return lambda optimizer: lr_scheduler.SequentialLR(
        optimizer, [first(optimizer), *(part(optimizer) for part in rest)], milestones
    )


@given(build=composites(), taken=st.integers(0, 45))
@settings(max_examples=60)
def test_schedulers_in_schedulers_are_imported_as_torch_runs_them(build: Build, taken: int):
    optimizer = sgd(0.1, 0.5)
    scheduler = build(optimizer)
    seen = take(optimizer, scheduler, taken)
    schedules = from_torch(scheduler)
    agree(schedules, seen + take(optimizer, scheduler, STEPS))


def times(optimizer: Any) -> Any:
    return lr_scheduler.MultiplicativeLR(optimizer, lambda t: 0.9 + t % 3 / 10)


def scaled(optimizer: Any) -> Any:
    return lr_scheduler.LambdaLR(optimizer, lambda t: 1.0 if t < 4 else 0.5 / t)


def halved(optimizer: Any) -> Any:
    return lr_scheduler.ExponentialLR(optimizer, 0.5)


@pytest.mark.parametrize(
    "parts", [(times, halved), (halved, times), (scaled, times), (times, scaled), (scaled, scaled)]
)
@pytest.mark.parametrize("taken", [0, 3, 20])
@pytest.mark.parametrize("inner", [False, True])
def test_functions_of_the_step_in_a_sequence_are_imported_as_torch_runs_them(parts: Any, taken: int, inner: bool):
    optimizer = sgd(0.1, 0.5)
    made = [part(optimizer) for part in parts]
    if inner:
        made[0] = lr_scheduler.SequentialLR(optimizer, [made[0], halved(optimizer)], [5])
    scheduler = lr_scheduler.SequentialLR(optimizer, made, [9])
    seen = take(optimizer, scheduler, taken)
    agree(from_torch(scheduler), seen + take(optimizer, scheduler, STEPS))


def test_functions_in_a_product_are_imported_or_refused_as_they_set_the_rate():
    optimizer = sgd(0.1)
    scheduler = lr_scheduler.ChainedScheduler([times(optimizer), halved(optimizer)], optimizer)
    agree(from_torch(scheduler), take(optimizer, scheduler, STEPS))
    setting = sgd(0.1)
    scheduler = lr_scheduler.ChainedScheduler([halved(setting), scaled(setting)], setting)
    agree(from_torch(scheduler), take(setting, scheduler, STEPS))
    sequence = lr_scheduler.SequentialLR(optimizer, [halved(optimizer), times(optimizer)], [3])
    with pytest.raises(ValueError, match="that multiply beside a sequence, got a MultiplicativeLR"):
        from_torch(lr_scheduler.ChainedScheduler([halved(optimizer), sequence], optimizer))


def test_a_product_that_begins_a_sequence_takes_one_step_more():
    # torch lets the exponential inside take a step at update 0: 0.5 * 0.9, then 0.5 * 0.9**2, ...
    optimizer = sgd(0.5)
    product = lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(optimizer, 0.9)])
    scheduler = lr_scheduler.SequentialLR(optimizer, [product, lr_scheduler.StepLR(optimizer, 5)], [4])
    (schedule,) = from_torch(scheduler)
    assert [schedule(t) for t in range(5)] == pytest.approx([0.45, 0.405, 0.3645, 0.32805, 0.5])
    agree([schedule], take(optimizer, scheduler, STEPS))


def test_a_sequence_in_a_product_takes_away_what_came_before_it():
    # The exponential falls by half each step; at step 3 the sequence sets 0.4, from where it falls on.
    optimizer = sgd(0.4)
    halves = lr_scheduler.ExponentialLR(optimizer, 0.5)
    parts = [lr_scheduler.ConstantLR(optimizer, 1.0), lr_scheduler.ConstantLR(optimizer, 1.0)]
    scheduler = lr_scheduler.ChainedScheduler([halves, lr_scheduler.SequentialLR(optimizer, parts, [3])])
    (schedule,) = from_torch(scheduler)
    assert [schedule(t) for t in range(6)] == pytest.approx([0.4, 0.2, 0.1, 0.4, 0.2, 0.1])
    agree([schedule], take(optimizer, scheduler, 20))


def test_a_cosine_that_has_taken_a_step_before_ends_at_its_turn_too():
    optimizer = sgd(0.1)
    steps = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 6) for _ in range(2)], [5])
    product = lr_scheduler.ChainedScheduler([lr_scheduler.CosineAnnealingLR(optimizer, 20), steps], optimizer)
    scheduler = lr_scheduler.SequentialLR(optimizer, [product], [])
    (schedule,) = from_torch(scheduler)
    assert schedule(19) > 0.0 == schedule(20)
    agree([schedule], take(optimizer, scheduler, 21))


@given(
    parts=st.lists(leaves(), max_size=2),
    wave=st.fixed_dictionaries({"T_max": st.integers(25, 60), "eta_min": st.sampled_from([1e-10, 1e-3, 0.05])}),
    place=st.integers(0, 2),
)
def test_a_product_with_a_floored_cosine_may_begin_a_sequence(parts: list[Build], wave: dict[str, Any], place: int):
    builds = [*parts[:place], lambda o: lr_scheduler.CosineAnnealingLR(o, **wave), *parts[place:]]
    optimizer = sgd(0.1, 0.5)
    product = lr_scheduler.ChainedScheduler([build(optimizer) for build in builds], optimizer)
    scheduler = lr_scheduler.SequentialLR(optimizer, [product, lr_scheduler.StepLR(optimizer, 5)], [20])
    agree(from_torch(scheduler), take(optimizer, scheduler, STEPS))


def test_a_floored_cosine_in_a_product_with_a_sequence_is_refused():
    optimizer = sgd(0.1)
    sequence = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 5)], [])
    wave = lr_scheduler.CosineAnnealingLR(optimizer, 5, eta_min=0.01)
    with pytest.raises(ValueError, match="that multiply beside a sequence, got a CosineAnnealingLR with eta_min"):
        from_torch(lr_scheduler.ChainedScheduler([sequence, wave]))


def test_a_cosine_in_a_sequence_in_a_product_ends_at_its_turn():
    optimizer = sgd(0.1)
    parts = [lr_scheduler.LinearLR(optimizer), lr_scheduler.CosineAnnealingLR(optimizer, 20)]
    sequence = lr_scheduler.SequentialLR(optimizer, parts, [6])
    scheduler = lr_scheduler.ChainedScheduler([sequence, lr_scheduler.ExponentialLR(optimizer, 0.95)])
    (schedule,) = from_torch(scheduler)
    agree([schedule], take(optimizer, scheduler, 27))
    assert schedule(26) == schedule(100) == pytest.approx(0.0, abs=1e-17)


@pytest.mark.parametrize("kind", ["SequentialLR", "ChainedScheduler"])
def test_where_torch_stops_at_a_composite_the_rest_is_what_was_meant(kind: str):
    optimizer = sgd(0.5)
    first, second = lr_scheduler.ConstantLR(optimizer, 0.5, 3), lr_scheduler.ExponentialLR(optimizer, 0.9)
    later: Any = lr_scheduler.ChainedScheduler([second])
    if kind == "SequentialLR":
        later = lr_scheduler.SequentialLR(optimizer, [second], [])
    scheduler = lr_scheduler.SequentialLR(optimizer, [first, later], [4])
    (schedule,) = from_torch(scheduler)
    ours = [compat.torch.ConstantLR(0.5, 0.5, 3), compat.torch.ExponentialLR(0.5, 0.9)]
    assert schedule == compat.torch.SequentialLR(ours, [4])
    with pytest.raises(NotImplementedError):
        take(optimizer, scheduler, 6)


def test_a_cycle_in_a_product_with_a_sequence_is_refused():
    optimizer = sgd(0.1)
    sequence = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(optimizer, 5)], [])
    cycle = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5)
    with pytest.raises(
        ValueError, match="schedulers that multiply beside a sequence, got a CosineAnnealingWarmRestarts"
    ):
        from_torch(lr_scheduler.ChainedScheduler([sequence, cycle]))


def test_a_product_that_would_go_on_from_zero_is_refused():
    optimizer = sgd(0.1)
    gone = lr_scheduler.PolynomialLR(optimizer, 4)
    parts = [lr_scheduler.StepLR(optimizer, 5), lr_scheduler.StepLR(optimizer, 5)]
    sequence = lr_scheduler.SequentialLR(optimizer, parts, [9])
    with pytest.raises(ValueError, match="must get a product that is not 0 at step 9"):
        from_torch(lr_scheduler.ChainedScheduler([gone, sequence]))


def test_a_part_of_a_sequence_alone_is_refused_before_its_turn():
    optimizer = sgd(0.1)
    parts = [lr_scheduler.ConstantLR(optimizer), lr_scheduler.ConstantLR(optimizer)]
    sequence = lr_scheduler.SequentialLR(optimizer, parts, [2])
    assert len(from_torch(sequence)) == 1
    with pytest.raises(ValueError, match="that has begun, got a ConstantLR before its turn in a SequentialLR"):
        from_torch(parts[1])


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "LambdaLR"])
def test_what_ignite_drives_has_the_values_of_its_scheduler(name: str):
    handlers = pytest.importorskip("ignite.handlers.param_scheduler")
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = sgd(0.1, 0.5)
    schedulers: dict[str, Build] = {
        "StepLR": lambda o: lr_scheduler.StepLR(o, 7, 0.5),
        "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, [0.1, 0.5], total_steps=40),
        "LambdaLR": lambda o: optimization.get_cosine_schedule_with_warmup(o, 5, 40),
    }
    scheduler = schedulers[name](optimizer)
    driver = handlers.LRScheduler(scheduler)
    schedules = from_torch(driver.lr_scheduler)
    seen = []
    for _ in range(30):  # at the start of each iteration, before its update
        driver(None)
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
    agree(schedules, seen)


# Every name of `transformers.get_scheduler`, with several groups and after some steps.
NAMES: dict[str, dict[str, Any]] = {
    "constant": {},
    "linear": {},
    "cosine": {"num_cycles": 1.5},
    "cosine_with_restarts": {"num_cycles": 3},
    "polynomial": {"power": 2.0, "lr_end": 1e-3},
    "constant_with_warmup": {},
    "inverse_sqrt": {"timescale": 20},
    "cosine_with_min_lr": {"min_lr": 1e-3},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    "warmup_stable_decay": {"num_decay_steps": 10, "min_lr_ratio": 0.1},
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taken", [0, 3, 30])
def test_what_transformers_builds_by_name_is_imported_for_every_group(name: str, taken: int):
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = sgd(0.1, 0.5)
    scheduler = optimization.get_scheduler(name, optimizer, 5, 50, scheduler_specific_kwargs=NAMES[name])
    seen = take(optimizer, scheduler, taken)
    schedules = from_torch(scheduler)
    assert schedules[0] == compat.transformers.get_scheduler(name, 0.1, 5, 50, NAMES[name])
    agree(schedules, seen + take(optimizer, scheduler, STEPS))


def test_the_turn_of_a_cosine_is_found_through_its_sequence():
    turn = pytest.importorskip("lrsched_torch._imports.composites").turn
    optimizer = sgd(0.1)
    parts = [lr_scheduler.CosineAnnealingLR(optimizer, steps) for steps in (9, 4)]
    sequence = lr_scheduler.SequentialLR(optimizer, parts, [6])
    assert turn(sequence) == 10
    assert turn(lr_scheduler.StepLR(optimizer, 3)) == math.inf


@pytest.mark.parametrize("taken", [0, 25])
@pytest.mark.parametrize(
    "first",
    [
        lambda o: lr_scheduler.PolynomialLR(o, 100),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 12, 0.004),
        lambda o: torch.optim.swa_utils.SWALR(o, 0.05, 9),
    ],
    ids=["PolynomialLR", "CosineAnnealingLR", "SWALR"],
)
def test_what_comes_before_a_one_cycle_begins_with_the_first_rate_of_that(first: Build, taken: int):
    optimizer = sgd(0.1, 0.3)
    parts = [first(optimizer), lr_scheduler.OneCycleLR(optimizer, 0.5, 120)]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [20])
    seen = take(optimizer, scheduler, taken)
    schedules = from_torch(scheduler, momentum=False)
    agree(schedules, seen + take(optimizer, scheduler, STEPS))
    assert schedules[0](0) == pytest.approx(0.02)


@pytest.mark.parametrize("taken", [0, 25])
def test_a_cosine_in_sequences_swings_back_to_its_own_rate(taken: int):
    # The step that it has taken before lets it fall from more than 0.1, to which it comes back.
    optimizer = sgd(0.1)
    parts = [lr_scheduler.CosineAnnealingLR(optimizer, 7, 0.05), lr_scheduler.ExponentialLR(optimizer, 0.97)]
    inner = lr_scheduler.SequentialLR(optimizer, parts, [40])
    scheduler = lr_scheduler.SequentialLR(optimizer, [inner], [])
    seen = take(optimizer, scheduler, taken)
    agree(from_torch(scheduler), seen + take(optimizer, scheduler, STEPS))


@pytest.mark.parametrize("taken", [0, 15])
def test_a_later_part_that_is_at_its_end_has_the_whole_rate(taken: int):
    optimizer = sgd(0.1)
    parts = [lr_scheduler.StepLR(optimizer, 3), lr_scheduler.ConstantLR(optimizer, 0.5, 0)]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [10])
    seen = take(optimizer, scheduler, taken)
    agree(from_torch(scheduler), seen + take(optimizer, scheduler, STEPS))


def test_an_averaging_in_a_sequence_is_read_after_its_turn_too():
    optimizer = sgd(0.1)
    parts = [torch.optim.swa_utils.SWALR(optimizer, 0.05, 6), lr_scheduler.StepLR(optimizer, 5)]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [8])
    seen = take(optimizer, scheduler, 25)
    agree(from_torch(scheduler), seen + take(optimizer, scheduler, STEPS))
    inner = torch.optim.swa_utils.SWALR(optimizer, 0.05, 6)
    outer = lr_scheduler.SequentialLR(optimizer, [lr_scheduler.SequentialLR(optimizer, [inner], [])], [])
    with pytest.raises(ValueError, match="must get a SWALR in a sequence that stands in no other one first"):
        from_torch(outer)
