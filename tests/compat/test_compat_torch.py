"""`compat.torch` gives the rates that torch's own schedulers write into the optimizer, step by step."""

import inspect
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsched import Chain, Constant, Extend, Hold, Linear, Repeat, compat

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
swa_utils = pytest.importorskip("torch.optim.swa_utils")

STEPS = 60
# SequentialLR of a SequentialLR takes a step when it is built.
pytestmark = pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
rates = st.one_of(st.sampled_from([0.1, 1.0, 3e-4]), st.floats(1e-6, 10.0))
floors = st.one_of(st.just(0.0), st.floats(0.0, 1.0))
shares = st.one_of(st.sampled_from([0.1, 0.3, 0.5, 1.0]), st.floats(1e-3, 1.0))
counts = st.integers(1, 25)
powers = st.just(0.0) | st.floats(0.05, 4.0)

ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "StepLR": st.fixed_dictionaries({"step_size": counts}, optional={"gamma": st.floats(0.0, 1.5)}),
    "MultiStepLR": st.fixed_dictionaries(
        {"milestones": st.lists(st.integers(0, 40), max_size=5)}, optional={"gamma": st.floats(0.0, 1.5)}
    ),
    "ConstantLR": st.fixed_dictionaries({}, optional={"factor": shares, "total_iters": st.integers(0, 25)}),
    "LinearLR": st.fixed_dictionaries(
        {}, optional={"start_factor": shares, "end_factor": floors, "total_iters": st.integers(0, 25)}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": st.floats(0.0, 1.1)}),
    "PolynomialLR": st.fixed_dictionaries({}, optional={"total_iters": st.integers(0, 25), "power": powers}),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": counts}, optional={"eta_min": floors}),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": counts}, optional={"T_mult": st.integers(1, 4), "eta_min": floors}
    ),
    "SWALR": st.fixed_dictionaries(
        {"swa_lr": rates},
        optional={"anneal_epochs": st.integers(0, 25), "anneal_strategy": st.sampled_from(["cos", "linear"])},
    ),
}


def live(name: str, optimizer: Any, arguments: dict[str, Any]) -> Any:
    """Return torch's scheduler of that name."""
    module = swa_utils if name == "SWALR" else lr_scheduler
    return getattr(module, name)(optimizer, **arguments)


def sgd(*lrs: float) -> Any:
    """Return an optimizer with one group for each rate."""
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in lrs or (0.1,)]
    return torch.optim.SGD(groups, lr=1.0, momentum=0.9)


def used(optimizer: Any, scheduler: Any, steps: int = STEPS) -> list[float]:
    """Return the rate of the first group in each of `steps` updates."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for step in range(steps):
            seen.append(float(optimizer.param_groups[0]["lr"]))
            if step < steps - 1:
                optimizer.step()
                scheduler.step()
    return seen


def agree(schedule: Any, expected: list[float], rtol: float = 1e-12, atol: float = 1e-15, top: float = 0.0) -> None:
    """Check every step of a run; the absolute tolerance is relative to the largest rate."""
    values = schedule(np.arange(len(expected)))
    np.testing.assert_allclose(values, expected, rtol=rtol, atol=atol * max(*expected, top))


def signature(function: Any, *absent: str) -> dict[str, Any]:
    """Return the arguments of a function and their defaults, without some of them."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in absent}


NAMES = [*ARGUMENTS, "CyclicLR", "OneCycleLR", "SequentialLR", "ChainedScheduler"]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_defaults_are_those_of_torch(name: str):
    native = signature(getattr(swa_utils if name == "SWALR" else lr_scheduler, name), "optimizer", "last_epoch")
    assert signature(getattr(compat.torch, name), "lr", "field") == native


def test_every_scheduler_of_torch_has_its_function():
    public = {name for name in lr_scheduler.__all__ if name != "LRScheduler"}
    assert public <= set(compat.torch.__all__)


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), lr=rates)
def test_a_scheduler_gives_the_rates_of_torch(name: str, data: st.DataObject, lr: float):
    arguments = data.draw(ARGUMENTS[name])
    optimizer = sgd(lr)
    expected = used(optimizer, live(name, optimizer, arguments))
    ours, top = getattr(compat.torch, name)(lr, **arguments), max(lr, arguments.get("eta_min", 0.0))
    # Torch multiplies step by step: next to the zero of a cosine its rounding grows (4e-14 measured), and stays.
    turn = arguments["T_max"] if name == "CosineAnnealingLR" else STEPS
    agree(ours, expected[:turn], top=top)
    agree(ours, expected, atol=1e-15 if turn == STEPS else 1e-13, top=top)


cycles = st.fixed_dictionaries(
    {"base_lr": rates, "height": st.floats(0.0, 5.0), "step_size_up": counts},
    optional={
        "step_size_down": st.none() | st.integers(0, 25),
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
        "gamma": st.floats(0.0, 1.05),
        "cycle_momentum": st.booleans(),
    },
)


def rounding(up: int, down: int) -> float:
    """Return what torch loses in a cycle: it takes the place in it from the whole time (4e-15 measured)."""
    return 1e-15 + 2.3e-16 * (up + down + STEPS) / min(up, down)


@given(arguments=cycles)
def test_a_cyclic_scheduler_gives_the_rates_of_torch(arguments: dict[str, Any]):
    arguments["max_lr"] = arguments["base_lr"] + arguments.pop("height")
    optimizer = sgd()
    expected = used(optimizer, lr_scheduler.CyclicLR(optimizer, **arguments))
    up = arguments["step_size_up"]
    agree(compat.torch.CyclicLR(**arguments), expected, atol=rounding(up, arguments.get("step_size_down") or up))


@given(low=rates, high=rates, up=counts, down=counts)
def test_a_cycle_may_stand_on_its_head(low: float, high: float, up: int, down: int):
    optimizer = sgd()
    expected = used(optimizer, lr_scheduler.CyclicLR(optimizer, low, high, up, down))
    agree(compat.torch.CyclicLR(low, high, up, down), expected, atol=rounding(up, down))


one_cycles = st.fixed_dictionaries(
    {"max_lr": rates, "total_steps": st.integers(1, 60)},
    optional={
        "pct_start": st.one_of(
            st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0]),
            st.floats(0.0, 1.0),
            st.builds(
                lambda k, n, off: min(k / n + off, 1.0),
                st.integers(0, 12),
                st.integers(12, 24),
                st.sampled_from([0.0, 1e-9, 1e-11, 1e-13, 1e-15]),
            ),
        ),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "div_factor": st.floats(0.5, 1000.0),
        "final_div_factor": st.floats(0.5, 1e6),
        "three_phase": st.booleans(),
        "cycle_momentum": st.booleans(),
    },
)


@given(arguments=one_cycles)
def test_one_cycle_gives_the_rates_of_torch_or_is_refused_as_there(arguments: dict[str, Any]):
    optimizer = sgd()
    try:
        scheduler = lr_scheduler.OneCycleLR(optimizer, **arguments)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="divides by zero"):
            compat.torch.OneCycleLR(**arguments)
        return
    expected = used(optimizer, scheduler, arguments["total_steps"])
    agree(compat.torch.OneCycleLR(**arguments), expected, top=arguments["max_lr"])


@given(pct=st.integers(0, 40), total=st.integers(2, 40), three=st.booleans())
def test_one_cycle_agrees_where_a_phase_ends_on_a_step_or_beside_it(pct: int, total: int, three: bool):
    share = min(pct / total, 1.0)
    if share * total - 1 == 0.0:
        return
    optimizer = sgd()
    expected = used(
        optimizer, lr_scheduler.OneCycleLR(optimizer, 1.0, total, pct_start=share, three_phase=three), total
    )
    agree(compat.torch.OneCycleLR(1.0, total, pct_start=share, three_phase=three), expected)


@given(arguments=one_cycles)
def test_one_cycle_holds_its_last_rate_after_the_last_update(arguments: dict[str, Any]):
    try:
        schedule = compat.torch.OneCycleLR(**arguments)
    except ValueError:
        return
    last = arguments["total_steps"] - 1
    assert schedule(last + 1) == schedule(last) == schedule(last + 1000)


def test_one_cycle_takes_epochs_times_steps():
    by_epochs = compat.torch.OneCycleLR(0.1, epochs=10, steps_per_epoch=30)
    assert by_epochs == compat.torch.OneCycleLR(0.1, total_steps=300)


ABSOLUTE = ("CosineAnnealingWarmRestarts",)


@st.composite
def sequences(draw: Any, names: list[str]) -> tuple[list[tuple[str, dict[str, Any]]], list[int]]:
    """Schedulers and milestones; children that torch's closed form cannot start are left out."""
    count = draw(st.integers(1, 4))
    children = []
    for _ in range(count):
        name = draw(st.sampled_from(names))
        arguments = draw(ARGUMENTS[name])
        if arguments.get("total_iters") == 0:
            arguments["total_iters"] = 3
        children.append((name, arguments))
    return children, sorted(draw(st.lists(st.integers(0, 50), min_size=count - 1, max_size=count - 1)))


CLOSED = [name for name in ARGUMENTS if name != "SWALR"]


@given(lr=rates, drawn=sequences(CLOSED))
def test_a_sequence_gives_the_rates_of_torch(lr: float, drawn: tuple[list[tuple[str, dict[str, Any]]], list[int]]):
    children, milestones = drawn
    optimizer = sgd(lr)
    parts = [live(name, optimizer, arguments) for name, arguments in children]
    expected = used(optimizer, lr_scheduler.SequentialLR(optimizer, parts, milestones=milestones))
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in children]
    top = max(lr, *(arguments.get("eta_min", 0.0) for _, arguments in children))
    grows = any(name == "CosineAnnealingLR" for name, _ in children)  # the rounding of its recursion, as alone
    agree(compat.torch.SequentialLR(ours, milestones=milestones), expected, atol=1e-13 if grows else 1e-15, top=top)


FACTORS = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR"]


@given(lr=rates, drawn=sequences(FACTORS))
def test_a_product_gives_the_rates_of_torch(lr: float, drawn: tuple[list[tuple[str, dict[str, Any]]], list[int]]):
    children, _ = drawn
    optimizer = sgd(lr)
    expected = used(optimizer, lr_scheduler.ChainedScheduler([live(n, optimizer, a) for n, a in children], optimizer))
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in children]
    agree(compat.torch.ChainedScheduler(ours, lr), expected, top=lr)


FLOORED = st.fixed_dictionaries({"T_max": st.integers(1, 60), "eta_min": st.sampled_from([1e-10, 1e-3, 0.05, 1.0])})


def check_a_floored_product(lr: float, children: list[tuple[str, dict[str, Any]]]):
    """Compare until the first cosine ends, from where torch goes on without the history of the others."""
    end = min(arguments["T_max"] for name, arguments in children if name == "CosineAnnealingLR")
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in children]
    if any(isinstance(part, Chain) and min(step(0) for step in part.parts) == 0.0 for part in ours):
        with pytest.raises(
            ValueError, match="must be schedulers with gamma > 0 and rates above 0 beside a cosine with eta_min > 0"
        ):
            compat.torch.ChainedScheduler(ours, lr)
        return
    product = compat.torch.ChainedScheduler(ours, lr)
    optimizer = sgd(lr)
    scheduler = lr_scheduler.ChainedScheduler([live(n, optimizer, a) for n, a in children], optimizer)
    expected = used(optimizer, scheduler, end + 1)
    top = max(lr, *(arguments.get("eta_min", 0.0) for _, arguments in children))
    agree(product, expected, rtol=1e-11, atol=1e-14, top=top)  # 7e-14 of the value measured
    assert product(end + 100) == product(end)


@given(lr=rates, drawn=sequences([*FACTORS, "CosineAnnealingLR"]), wave=FLOORED, place=st.integers(0, 4))
def test_a_product_with_floored_cosines_gives_the_rates_of_torch(lr: float, drawn: Any, wave: Any, place: int):
    children = list(drawn[0])
    children.insert(place, ("CosineAnnealingLR", wave))
    check_a_floored_product(lr, children)


def test_a_floor_does_not_wipe_out_what_a_staircase_did():
    parts = [compat.torch.CosineAnnealingLR(0.05, 10, eta_min=1e-10), compat.torch.StepLR(0.05, 3)]
    product = compat.torch.ChainedScheduler(parts, 0.05)
    assert [round(product(t), 5) for t in range(4)] == [0.05, 0.04878, 0.04523, 0.00397]  # torch 2.13.0
    check_a_floored_product(
        0.05, [("CosineAnnealingLR", {"T_max": 10, "eta_min": 1e-10}), ("StepLR", {"step_size": 3})]
    )


def test_a_floored_cosine_with_drops_is_pieces_of_waves_however_long_it_is():
    parts = [compat.torch.CosineAnnealingLR(0.1, 10**9, eta_min=0.01), compat.torch.MultiStepLR(0.1, [5 * 10**8])]
    product = compat.torch.ChainedScheduler(parts, 0.1)
    assert type(product).__name__ == "Chain"
    assert product(5 * 10**8) == pytest.approx(0.0055, rel=1e-12)  # (0.01 + 0.09 / 2) * 0.1


def test_too_many_values_beside_a_floored_cosine_are_refused():
    parts = [compat.torch.CosineAnnealingLR(0.1, 10**6, eta_min=0.01), compat.torch.ExponentialLR(0.1, 0.9)]
    with pytest.raises(ValueError, match=r"ChainedScheduler\(schedulers=...\) must be schedulers that act in at most"):
        compat.torch.ChainedScheduler(parts, 0.1)


def test_a_product_with_a_cosine_gives_the_rates_of_torch_until_its_end():
    optimizer = sgd(0.1)
    parts = [lr_scheduler.CosineAnnealingLR(optimizer, 30), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    expected = used(optimizer, lr_scheduler.ChainedScheduler(parts), 31)
    ours = [compat.torch.CosineAnnealingLR(0.1, 30), compat.torch.ExponentialLR(0.1, 0.9)]
    agree(compat.torch.ChainedScheduler(ours, 0.1), expected)


@pytest.mark.parametrize(
    "part",
    [
        Repeat(Linear(0.1, 0.0, 5)),
        compat.torch.CyclicLR(0.1, 0.2),
        compat.torch.OneCycleLR(0.1, 100),
        Extend(Linear(0.1, 0.0, 5)),
    ],
)
def test_what_does_not_multiply_is_refused_in_a_product(part: Any):
    with pytest.raises(
        ValueError, match=r"ChainedScheduler\(schedulers=...\)\[1\] must be a scheduler that multiplies"
    ):
        compat.torch.ChainedScheduler([compat.torch.ExponentialLR(0.1, 0.9), part], 0.1)


REJECTED = [
    ("StepLR", {"step_size": 0}),
    ("ConstantLR", {"factor": 1.5}),
    ("ConstantLR", {"factor": -0.5}),
    ("ConstantLR", {"factor": 0.0}),
    ("LinearLR", {"start_factor": 0.0}),
    ("LinearLR", {"start_factor": 1.5}),
    ("LinearLR", {"end_factor": 1.5}),
    ("LinearLR", {"end_factor": -0.5}),
    ("CosineAnnealingLR", {"T_max": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 0}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 0}),
    ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "mode": "square"}),
    ("OneCycleLR", {"max_lr": 0.1}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 0}),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 3}),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 0, "steps_per_epoch": 5}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": 1.5}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "pct_start": -0.5}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 10, "anneal_strategy": "square"}),
    ("SWALR", {"swa_lr": 0.1, "anneal_epochs": -1}),
    ("SWALR", {"swa_lr": 0.1, "anneal_strategy": "square"}),
]


@pytest.mark.parametrize(("name", "arguments"), REJECTED)
def test_what_torch_rejects_is_rejected(name: str, arguments: dict[str, Any]):
    base = {} if name in ("CyclicLR", "OneCycleLR") else {"lr": 0.1}
    with pytest.raises(ValueError, match=rf"^{name}\(\w+=...\) must be "):
        getattr(compat.torch, name)(**base, **arguments)
    optimizer = sgd(0.1)
    with pytest.raises((ValueError, ZeroDivisionError)):
        used(optimizer, live(name, optimizer, arguments))


LAMBDAS = {
    "smooth": lambda t: 0.95**t,
    "stairs": lambda t: 1.0 if t < 7 else 0.5,
    "a rise": lambda t: 1.0 + math.sin(t) / 2,
    "a schedule": Linear(1.0, 0.5, 20),
}


@pytest.mark.parametrize("name", ["LambdaLR", "MultiplicativeLR"])
@pytest.mark.parametrize("function", LAMBDAS.values(), ids=LAMBDAS)
@pytest.mark.parametrize("taken", [0, 9])
def test_a_function_of_the_step_has_the_rates_of_torch_to_the_last_bit(name: str, function: Any, taken: int):
    optimizer = sgd(0.1, 0.3)
    scheduler = getattr(lr_scheduler, name)(optimizer, [function, lambda t: 0.5])
    seen = []
    for t in range(40):
        if t == taken:
            read = from_torch(scheduler)
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    both = list(map(getattr(compat.torch, name), (0.1, 0.3), (function, lambda t: 0.5)))
    for schedules in (both, read):
        assert [[schedule(t) for schedule in schedules] for t in range(40)] == seen
        np.testing.assert_allclose(np.transpose([schedule(np.arange(40)) for schedule in schedules]), seen, rtol=1e-12)


def test_running_products_are_equal_hashable_and_kept():
    calls = []
    product = compat.torch.MultiplicativeLR(1.0, lambda t: calls.append(t) or 0.5)
    again = compat.torch.MultiplicativeLR(1.0, product.f.factor)
    assert product == again
    assert hash(product) == hash(again)
    calls.clear()
    assert [product(3), product(3), product(2)] == [0.125, 0.125, 0.25]
    assert calls == [1, 2, 3]


def test_a_scaling_function_is_refused():
    with pytest.raises(ValueError, match=r"CyclicLR\(scale_fn=...\) must be None"):
        compat.torch.CyclicLR(0.1, 0.2, scale_fn=lambda x: 1.0)


def test_plateau_is_refused_with_what_to_use_instead():
    with pytest.raises(ValueError, match=r"lrsched\.feedback\.Plateau"):
        compat.torch.ReduceLROnPlateau(0.1, factor=0.5)


@pytest.mark.parametrize("milestones", [[], [5, 6], [7, 5]])
def test_milestones_that_do_not_fit_are_refused(milestones: list[int]):
    parts = [Constant(0.1)] * (3 if len(milestones) == 2 and milestones[0] > milestones[1] else 2)
    with pytest.raises(ValueError, match=r"SequentialLR\(milestones=...\) must be"):
        compat.torch.SequentialLR(parts, milestones)


def test_the_parts_of_a_sequence_are_cut_where_the_next_begins():
    parts = [compat.torch.CosineAnnealingLR(0.1, 10), compat.torch.ExponentialLR(0.1, 0.9)]
    sequence = compat.torch.SequentialLR(parts, [4])
    assert sequence == Hold(parts[0], 4) >> parts[1]


# Live schedulers as schedules.

lrsched_torch = pytest.importorskip("lrsched_torch._imports.torch")
from_torch = lrsched_torch.from_torch


def advance(optimizer: Any, scheduler: Any, steps: int) -> Any:
    """Take some steps."""
    used(optimizer, scheduler, steps + 1)
    return scheduler


@pytest.mark.parametrize("name", ARGUMENTS)
@given(data=st.data(), lr=rates, taken=st.integers(0, 12))
def test_a_live_scheduler_is_the_schedule_of_its_arguments(name: str, data: st.DataObject, lr: float, taken: int):
    arguments = data.draw(ARGUMENTS[name])
    optimizer = sgd(lr)
    scheduler = advance(optimizer, live(name, optimizer, arguments), taken)
    assert from_torch(scheduler) == [getattr(compat.torch, name)(lr, **arguments)]


@given(arguments=cycles, taken=st.integers(0, 12))
def test_a_live_cycle_is_the_schedule_of_its_arguments(arguments: dict[str, Any], taken: int):
    arguments["max_lr"] = arguments["base_lr"] + arguments.pop("height")
    optimizer = sgd()
    scheduler = advance(optimizer, lr_scheduler.CyclicLR(optimizer, **arguments), taken)
    assert from_torch(scheduler) == [compat.torch.CyclicLR(**arguments)]


@given(arguments=one_cycles, part=st.floats(0.0, 1.0))
def test_a_live_one_cycle_is_the_schedule_of_its_arguments(arguments: dict[str, Any], part: float):
    optimizer = sgd()
    try:
        scheduler = lr_scheduler.OneCycleLR(optimizer, **arguments)
    except ZeroDivisionError:
        return
    advance(optimizer, scheduler, int(part * (arguments["total_steps"] - 1)))
    assert from_torch(scheduler) == [compat.torch.OneCycleLR(**arguments)]


@given(lr=rates, drawn=sequences(CLOSED), taken=st.integers(0, 50))
def test_a_live_sequence_is_the_schedule_of_its_arguments(lr: float, drawn: Any, taken: int):
    children, milestones = drawn
    optimizer = sgd(lr)
    parts = [live(name, optimizer, arguments) for name, arguments in children]
    scheduler = advance(optimizer, lr_scheduler.SequentialLR(optimizer, parts, milestones=milestones), taken)
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in children]
    assert from_torch(scheduler) == [compat.torch.SequentialLR(ours, milestones)]


@given(lr=rates, drawn=sequences(FACTORS), taken=st.integers(0, 50))
def test_a_live_product_is_the_schedule_of_its_arguments(lr: float, drawn: Any, taken: int):
    optimizer = sgd(lr)
    scheduler = lr_scheduler.ChainedScheduler([live(n, optimizer, a) for n, a in drawn[0]], optimizer)
    advance(optimizer, scheduler, taken)
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in drawn[0]]
    assert from_torch(scheduler) == [compat.torch.ChainedScheduler(ours, lr)]


@given(lr=rates, drawn=sequences(FACTORS), wave=FLOORED, place=st.integers(0, 4), taken=st.integers(0, 50))
def test_a_live_product_with_a_floored_cosine_is_the_schedule_of_its_arguments(
    lr: float, drawn: Any, wave: Any, place: int, taken: int
):
    # A factor that is 0, or underflows to it, is refused beside the floor: see the test of what is refused.
    children = [
        (name, arguments) for name, arguments in drawn[0] if getattr(compat.torch, name)(lr, **arguments)(100) > 0.0
    ]
    children.insert(place, ("CosineAnnealingLR", wave))
    optimizer = sgd(lr)
    scheduler = lr_scheduler.ChainedScheduler([live(n, optimizer, a) for n, a in children], optimizer)
    advance(optimizer, scheduler, min(taken, wave["T_max"]))
    ours = [getattr(compat.torch, name)(lr, **arguments) for name, arguments in children]
    assert from_torch(scheduler) == [compat.torch.ChainedScheduler(ours, lr)]


def test_each_group_has_its_schedule():
    optimizer = sgd(0.1, 0.5)
    assert from_torch(lr_scheduler.CosineAnnealingLR(optimizer, 10)) == [
        compat.torch.CosineAnnealingLR(0.1, 10),
        compat.torch.CosineAnnealingLR(0.5, 10),
    ]
    assert from_torch(lr_scheduler.OneCycleLR(sgd(0.1, 0.5), max_lr=[1.0, 2.0], total_steps=20)) == [
        compat.torch.OneCycleLR(1.0, 20),
        compat.torch.OneCycleLR(2.0, 20),
    ]


def test_rates_may_be_tensors():
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=torch.tensor(0.5))
    assert from_torch(lr_scheduler.StepLR(optimizer, 10)) == [compat.torch.StepLR(0.5, 10)]


@given(first=st.integers(2, 20), second=st.integers(21, 40), taken=st.integers(0, 45))
def test_a_sequence_that_begins_with_a_sequence_is_imported_as_torch_runs_it(first: int, second: int, taken: int):
    optimizer = sgd(0.1)
    inner = lr_scheduler.SequentialLR(
        optimizer, [lr_scheduler.LinearLR(optimizer), lr_scheduler.StepLR(optimizer, 3)], [first]
    )
    outer = lr_scheduler.SequentialLR(optimizer, [inner, lr_scheduler.ExponentialLR(optimizer, 0.9)], [second])
    advance(optimizer, outer, taken)
    (schedule,) = from_torch(outer)
    rest = used(optimizer, outer)
    np.testing.assert_allclose(schedule(np.arange(taken, taken + STEPS)), rest, rtol=1e-12)


def test_averaging_after_a_decay_begins_with_the_rate_it_finds():
    optimizer = sgd(0.1)
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.9), swa_utils.SWALR(optimizer, 0.05, anneal_epochs=5)]
    outer = lr_scheduler.SequentialLR(optimizer, parts, [8])
    (schedule,) = from_torch(outer)
    agree(schedule, used(optimizer, outer))


def test_averaging_that_began_late_is_imported_from_the_rate_it_found():
    optimizer = sgd(0.1)
    advance(optimizer, lr_scheduler.ExponentialLR(optimizer, 0.9), 5)
    averaging = advance(optimizer, swa_utils.SWALR(optimizer, 0.05, anneal_epochs=10), 3)
    (schedule,) = from_torch(averaging)
    assert schedule(0) == pytest.approx(0.1 * 0.9**5, rel=1e-12)


def test_import_leaves_scheduler_and_optimizer_as_they_are():
    optimizer = sgd(0.1, 0.2)
    scheduler = advance(optimizer, lr_scheduler.CyclicLR(optimizer, 0.1, 0.3, 5), 7)
    before = (repr(scheduler.state_dict()), repr(optimizer.param_groups))
    from_torch(scheduler)
    assert (repr(scheduler.state_dict()), repr(optimizer.param_groups)) == before


def test_our_own_scheduler_gives_back_its_schedule():
    adapter = pytest.importorskip("lrsched_torch")
    curve = Linear(0.1, 0.0, 10)
    assert from_torch(adapter.ScheduleLR(sgd(), curve)) == [curve]
    assert from_torch(adapter.ScheduleLR(sgd(0.5, 0.2), curve, relative=True)) == [0.5 * curve, 0.2 * curve]


def test_a_scale_that_is_a_function_cannot_be_imported_and_says_so():
    with pytest.raises(ValueError, match="without scale_fn"):
        from_torch(lr_scheduler.CyclicLR(sgd(), 0.1, 0.2, scale_fn=lambda x: 0.5))


def test_what_depends_on_a_metric_cannot_be_imported():
    with pytest.raises(ValueError, match=r"use lrsched\.feedback"):
        from_torch(lr_scheduler.ReduceLROnPlateau(sgd()))


def test_a_rate_changed_by_hand_is_noticed():
    optimizer = sgd(0.1)
    scheduler = advance(optimizer, lr_scheduler.ExponentialLR(optimizer, 0.9), 3)
    optimizer.param_groups[0]["lr"] = 0.5
    with pytest.raises(ValueError, match="was the rate changed by hand"):
        from_torch(scheduler)


def test_a_sequence_out_of_step_is_noticed():
    optimizer = sgd(0.1)
    parts = [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.StepLR(optimizer, 5)]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [40])
    scheduler.last_epoch = 2  # the children have taken no step
    with pytest.raises(ValueError, match="whose rates follow from its arguments"):
        from_torch(scheduler)


class Custom(lr_scheduler.StepLR):  # type: ignore[misc,name-defined]  # torch may be absent
    """A subclass, which may compute anything."""


def test_a_subclass_is_refused():
    with pytest.raises(TypeError, match="got a Custom"):
        from_torch(Custom(sgd(), 5))


@pytest.mark.parametrize("thing", [None, 3, object()])
def test_what_is_no_scheduler_is_refused(thing: Any):
    with pytest.raises(TypeError, match="must get a torch scheduler"):
        from_torch(thing)
