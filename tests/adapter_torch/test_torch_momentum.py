"""What `OneCycleLR` and `CyclicLR` do to the momentum is given on request, and said where it is left out."""

import functools
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsched import compat

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
adapter = pytest.importorskip("lrsched_torch")
from_torch, ScheduleLR = adapter.from_torch, adapter.ScheduleLR

STEPS = 70


def sgd(groups: int = 1) -> Any:
    """Return an optimizer with a momentum for each group."""
    parts = [{"params": [torch.zeros(1)], "lr": 0.1 * (i + 1)} for i in range(groups)]
    return torch.optim.SGD(parts, lr=0.1, momentum=0.7)


def adam(groups: int = 1) -> Any:
    """Return an optimizer whose momentum is the first of the betas."""
    return torch.optim.AdamW([{"params": [torch.zeros(1)]} for _ in range(groups)], lr=0.1, betas=(0.6, 0.99))


OPTIMIZERS = {"momentum": sgd, "betas[0]": adam}


def momentum(group: dict[str, Any]) -> float:
    """Return the momentum of a group."""
    return float(group["betas"][0] if "betas" in group else group["momentum"])


def take(optimizer: Any, schedulers: Any, steps: int) -> np.ndarray:
    """Return rate and momentum of each group in each of some updates."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append([(float(group["lr"]), momentum(group)) for group in optimizer.param_groups])
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
    return np.array(seen)


def agree(schedules: Any, seen: np.ndarray) -> None:
    # Next to 0 torch has lost digits: it subtracts the cycles from the steps.
    steps = np.arange(len(seen))
    for schedule, values in zip(schedules, seen.T, strict=True):
        np.testing.assert_allclose(schedule(steps), values, rtol=1e-12, atol=1e-13)


tops = st.sampled_from([0.95, 0.9, 0.5])
feet = st.sampled_from([0.85, 0.8, 0.0, 0.97])


@st.composite
def cycles(draw: Any) -> tuple[str, dict[str, Any]]:
    """A scheduler that cycles the momentum, and its arguments."""
    ends = {"base_momentum": draw(feet), "max_momentum": draw(tops)}
    if draw(st.booleans()):
        own = {
            "max_lr": 0.5,
            "total_steps": draw(st.integers(150, 190)),
            "pct_start": draw(st.sampled_from([0.0, 0.1, 0.3, 0.4])),
            "anneal_strategy": draw(st.sampled_from(["cos", "linear"])),
            "three_phase": draw(st.booleans()),
        }
        return "OneCycleLR", {**own, **ends}
    own = {
        "base_lr": 0.1,
        "max_lr": draw(st.sampled_from([0.5, 0.05])),
        "step_size_up": draw(st.integers(1, 12)),
        "step_size_down": draw(st.none() | st.integers(0, 12)),
        "mode": draw(st.sampled_from(["triangular", "triangular2", "exp_range"])),
        "gamma": draw(st.sampled_from([0.9, 0.99, 1.0])),
    }
    return "CyclicLR", {**own, **ends}


def build(optimizer: Any, drawn: tuple[str, dict[str, Any]]) -> Any:
    return getattr(lr_scheduler, drawn[0])(optimizer, **drawn[1])


@settings(max_examples=60)
@given(cycles(), st.sampled_from(list(OPTIMIZERS)), st.integers(0, 40))
def test_both_lists_are_those_of_the_live_scheduler(drawn: Any, field: str, taken: int):
    optimizer = OPTIMIZERS[field]()
    scheduler = build(optimizer, drawn)
    seen = take(optimizer, [scheduler], taken)
    rates, momenta = from_torch(scheduler, momentum=True)
    seen = np.concatenate([seen.reshape(-1, 1, 2), take(optimizer, [scheduler], STEPS)])
    agree([*rates, *momenta], seen[:, 0])
    name, arguments = drawn
    assert momenta == [getattr(compat.torch, name)(**arguments, field="momentum")]
    assert rates == [getattr(compat.torch, name)(**arguments)]


@settings(max_examples=30)
@given(cycles(), st.sampled_from(list(OPTIMIZERS)))
def test_two_schedulers_replace_the_one(drawn: Any, field: str):
    optimizer, double = OPTIMIZERS[field](), OPTIMIZERS[field]()
    scheduler = build(optimizer, drawn)
    rates, momenta = from_torch(scheduler, momentum=True)
    both = [ScheduleLR(double, rates), ScheduleLR(double, momenta, field=field)]
    np.testing.assert_allclose(take(double, both, STEPS), take(optimizer, [scheduler], STEPS), rtol=1e-12, atol=1e-13)


@settings(max_examples=40)
@given(
    st.lists(cycles() | st.just(("ConstantLR", {"total_iters": 7})), min_size=1, max_size=3),
    cycles(),
    st.booleans(),
    st.integers(0, 40),
)
def test_the_momentum_in_a_sequence_is_that_of_the_part_that_writes_it(drawn: Any, one: Any, first: bool, taken: int):
    optimizer = sgd()
    parts = [build(optimizer, each) for each in ([one, *drawn] if first else [*drawn, one])]
    parts[0] = lr_scheduler.ChainedScheduler(parts[:1], optimizer) if first else parts[0]
    milestones = [10 * (i + 1) for i in range(len(parts) - 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = lr_scheduler.SequentialLR(optimizer, parts, milestones)
    seen = take(optimizer, [whole], taken)
    _, momenta = from_torch(whole, momentum=True)
    seen = np.concatenate([seen.reshape(-1, 1, 2), take(optimizer, [whole], STEPS)])
    agree(momenta, seen[:, 0, 1:])


def test_each_group_has_its_momentum():
    optimizer = sgd(2)
    scheduler = lr_scheduler.OneCycleLR(optimizer, [0.1, 0.5], 20, base_momentum=[0.8, 0.7], max_momentum=[0.9, 0.95])
    _, momenta = from_torch(scheduler, momentum=True)
    assert momenta[1] == compat.torch.OneCycleLR(0.5, 20, base_momentum=0.7, max_momentum=0.95, field="momentum")
    agree(momenta, take(optimizer, [scheduler], 20)[:, :, 1])


@pytest.mark.parametrize("field", OPTIMIZERS)
def test_a_momentum_that_is_left_out_is_said(field: str):
    scheduler = lr_scheduler.OneCycleLR(OPTIMIZERS[field](), 0.1, 20)
    whole = lr_scheduler.SequentialLR(scheduler.optimizer, [scheduler], [])
    for each in (scheduler, whole):
        with pytest.warns(UserWarning, match=r"rates, momenta = from_torch\(scheduler, momentum=True\)") as caught:
            rates = from_torch(each)
        assert f"field={field!r}" in str(caught[0].message)
        assert caught[0].filename == __file__
        assert rates == [compat.torch.OneCycleLR(0.1, 20)]


def test_a_momentum_in_a_handler_of_ignite_is_said():
    handlers = pytest.importorskip("ignite.handlers.param_scheduler")
    handler = handlers.LRScheduler(lr_scheduler.OneCycleLR(sgd(), 0.1, 20))
    with pytest.warns(UserWarning, match="cycles the momentum too") as caught:
        from_torch(handler)
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="must get a scheduler of torch, got a handler of ignite"):
        from_torch(handler, momentum=True)


def test_nothing_is_said_where_nothing_is_left_out():
    quiet = lr_scheduler.OneCycleLR(sgd(), 0.1, 20, cycle_momentum=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_torch(quiet) == [compat.torch.OneCycleLR(0.1, 20)]
        assert from_torch(lr_scheduler.CyclicLR(sgd(), 0.1, 0.5), momentum=False) == [compat.torch.CyclicLR(0.1, 0.5)]
        from_torch(lr_scheduler.StepLR(sgd(), 5))
    with pytest.raises(ValueError, match=r"must get a scheduler that cycles the momentum, .*got a OneCycleLR"):
        from_torch(quiet, momentum=True)
    with pytest.raises(ValueError, match=r"must get a scheduler that cycles the momentum, .*got a StepLR"):
        from_torch(lr_scheduler.StepLR(sgd(), 5), momentum=True)


def test_a_momentum_that_was_changed_by_hand_is_refused():
    optimizer = sgd()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, 20)
    optimizer.param_groups[0]["momentum"] = 0.1
    with pytest.raises(ValueError, match=r"whose momenta follow from its arguments, but group 0 has 0.1 at step 0"):
        from_torch(scheduler, momentum=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compat.torch.OneCycleLR(0.1, 20, cycle_momentum=False, field="momentum"), "'lr' if cycle_momentum"),
        (lambda: compat.torch.CyclicLR(0.1, 0.2, cycle_momentum=False, field="momentum"), "'lr' if cycle_momentum"),
        (lambda: compat.torch.OneCycleLR(0.1, 20, field="betas"), "must be one of 'lr', 'momentum', got 'betas'"),
        (
            lambda: compat.torch.CyclicLR(0.5, 0.1, mode="exp_range", gamma=1.1),
            r"CyclicLR\(gamma=...\) must be <= 1 where the wave begins at its top, got 1.1",
        ),
    ],
)
def test_what_has_no_curve_is_refused(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()


# States of older versions of torch.


def aged(scheduler: Any, version: str) -> Any:
    """Return a scheduler as a version of torch pickled it: what it kept under other names, and what it did not keep."""
    state = vars(scheduler)
    state["verbose"] = False
    if isinstance(scheduler, lr_scheduler.OneCycleLR):
        strategy = state.pop("_anneal_func_type")
        state["anneal_func"] = scheduler._annealing_cos if strategy == "cos" else scheduler._annealing_linear
        if version == "1.7":
            state["step_size_up"] = state.pop("_schedule_phases")[0]["end_step"]
            state["step_size_down"] = float(scheduler.total_steps - state["step_size_up"]) - 1
    elif isinstance(scheduler, lr_scheduler.CyclicLR):
        del state["_scale_fn_custom"], state["_scale_fn_ref"]
        state.pop("use_beta1", None)
        own = {"triangular": "_triangular_scale_fn", "triangular2": "_triangular2_scale_fn"}
        # What was a bound method of one argument is a partial today.
        exponential = functools.update_wrapper(
            functools.partial(scheduler._exp_range_scale_fn, scheduler.gamma), scheduler._exp_range_scale_fn
        )
        state["scale_fn"] = getattr(scheduler, own[scheduler.mode]) if scheduler.mode in own else exponential
    elif isinstance(scheduler, lr_scheduler.MultiStepLR):
        state["milestones"] = sorted(scheduler.milestones.elements())
    elif isinstance(scheduler, lr_scheduler.SequentialLR):
        del state["optimizer"]
    return scheduler


OLD = {
    "OneCycleLR of 1.8": ("1.8", lambda o: lr_scheduler.OneCycleLR(o, 0.5, 40)),
    "OneCycleLR of 1.8, linear": ("1.8", lambda o: lr_scheduler.OneCycleLR(o, 0.5, 40, anneal_strategy="linear")),
    "OneCycleLR of 1.8, three phases": ("1.8", lambda o: lr_scheduler.OneCycleLR(o, 0.5, 40, three_phase=True)),
    "OneCycleLR of 1.7": ("1.7", lambda o: lr_scheduler.OneCycleLR(o, 0.5, 40)),
    "CyclicLR of 1.12": ("1.12", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, 7)),
    "CyclicLR of 1.12, triangular2": ("1.12", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, 7, mode="triangular2")),
    "CyclicLR of 1.12, exp_range": ("1.12", lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, 7, 3, "exp_range", 0.9)),
    "MultiStepLR of 1.3": ("1.3", lambda o: lr_scheduler.MultiStepLR(o, [5, 9])),
    "SequentialLR of 1.10": (
        "1.10",
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 3), lr_scheduler.ExponentialLR(o, 0.9)], [5]),
    ),
    "StepLR of 1.4": ("1.4", lambda o: lr_scheduler.StepLR(o, 3)),
}


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("taken", [0, 11])
def test_what_older_versions_of_torch_have_pickled_is_read(name: str, taken: int):
    version, make = OLD[name]
    optimizer = sgd()
    scheduler = make(optimizer)
    take(optimizer, [scheduler], taken)
    wanted = from_torch(scheduler, momentum=False)
    assert from_torch(aged(scheduler, version), momentum=False) == wanted


@pytest.mark.parametrize("name", [name for name in OLD if "OneCycleLR" in name])
def test_a_one_cycle_is_read_from_a_pickle_and_with_its_momentum(name: str):
    version, make = OLD[name]
    scheduler = make(sgd())
    wanted = from_torch(scheduler, momentum=True)
    optimizer = sgd()
    again = pickle.loads(pickle.dumps({k: v for k, v in vars(aged(scheduler, version)).items() if k != "optimizer"}))
    found = lr_scheduler.OneCycleLR.__new__(lr_scheduler.OneCycleLR)
    optimizer.load_state_dict(scheduler.optimizer.state_dict())
    vars(found).update(again, optimizer=optimizer)
    assert from_torch(found, momentum=True) == wanted


@pytest.mark.parametrize("name", [name for name in OLD if "OneCycleLR" in name])
def test_a_state_of_an_older_version_that_a_new_scheduler_loads_is_read(name: str):
    version, make = OLD[name]
    optimizer, new = sgd(), sgd()
    scheduler = make(optimizer)
    take(optimizer, [scheduler], 11)
    fresh = make(new)
    new.load_state_dict(optimizer.state_dict())
    fresh.load_state_dict({k: v for k, v in vars(aged(scheduler, version)).items() if k != "optimizer"})
    assert from_torch(fresh, momentum=False) == from_torch(make(sgd()), momentum=False)


def test_an_anneal_function_of_the_user_is_refused():
    scheduler = aged(lr_scheduler.OneCycleLR(sgd(), 0.1, 20), "1.8")
    scheduler.anneal_func = lambda start, end, part: start
    with pytest.raises(ValueError, match=r"a OneCycleLR with an anneal_func of torch, got '<lambda>'"):
        from_torch(scheduler)
