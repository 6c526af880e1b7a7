"""`from_torch` reads what tools hold: several schedulers of an optimizer, accelerate's and Lightning's wrappers."""

import random
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrsched import Constant, Cosine, Epochs, Linear, Schedule, Stretch, Warmup, compat, feedback, rules

torch = pytest.importorskip("torch")
lr_scheduler = pytest.importorskip("torch.optim.lr_scheduler")
lrsched_torch = pytest.importorskip("lrsched_torch")
from_torch, ScheduleLR = lrsched_torch.from_torch, lrsched_torch.ScheduleLR

Build = Callable[[Any], Any]


def sgd(*lrs: float) -> Any:
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in lrs or (0.1,)]
    return torch.optim.SGD(groups, lr=groups[0]["lr"], momentum=0.9)


def take(optimizer: Any, step: Callable[[], Any], steps: int) -> list[list[float]]:
    """Return the rates of all groups before each of some steps."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(steps):
            seen.append([float(group["lr"]) for group in optimizer.param_groups])
            optimizer.step()
            step()
    return seen


def agree(schedules: list[Schedule], seen: list[list[float]]) -> None:
    steps = np.arange(len(seen))
    for schedule, rates in zip(schedules, np.transpose(seen), strict=True):
        np.testing.assert_allclose(schedule(steps), rates, rtol=1e-9, atol=1e-11 * np.max(rates))


def wave(t: int) -> float:
    return 1.0 + t % 5


SET: dict[str, Build] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, wave),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.3, 7),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.3, 70),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 9, 2, 0.001),
    "ScheduleLR": lambda o: ScheduleLR(o, Warmup(5) >> Cosine(0.3, 0.01, steps=60)),
}
MULTIPLY: dict[str, Build] = {
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9 + t % 3 / 10),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 4, 0.5),
    "StepLR each step": lambda o: lr_scheduler.StepLR(o, 1, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [3, 3, 20], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.25, 6),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, 0.8, 8.0),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
}


@pytest.mark.parametrize("taken", [0, 13])
@pytest.mark.parametrize("last", MULTIPLY)
@pytest.mark.parametrize("first", SET)
def test_what_one_scheduler_sets_the_next_multiplies(first: str, last: str, taken: int):
    optimizer = sgd(0.1, 0.5)
    both = [SET[first](optimizer), MULTIPLY[last](optimizer)]
    seen = take(optimizer, lambda: [one.step() for one in both], taken)
    agree(from_torch(both, momentum=False), seen + take(optimizer, lambda: [one.step() for one in both], 65 - taken))


@pytest.mark.parametrize("last", SET)
@pytest.mark.parametrize("first", MULTIPLY)
def test_what_is_set_last_wins(first: str, last: str):
    optimizer = sgd(0.1, 0.5)
    both = [MULTIPLY[first](optimizer), SET[last](optimizer)]
    agree(from_torch(both, momentum=False), take(optimizer, lambda: [one.step() for one in both], 65))


def test_several_that_multiply_are_a_product_as_in_torch():
    optimizer = sgd()
    both = (lr_scheduler.LinearLR(optimizer, 0.1), lr_scheduler.CosineAnnealingLR(optimizer, 50))
    assert from_torch(both) == from_torch(lr_scheduler.ChainedScheduler(both))
    agree(from_torch(both), take(optimizer, lambda: [one.step() for one in both], 50))


def test_schedulers_of_other_fields_do_not_change_the_rate():
    optimizer = sgd()
    rate = Linear(0.1, 0.0, steps=9)
    both = [ScheduleLR(optimizer, rate), ScheduleLR(optimizer, Constant(0.8), field="momentum")]
    assert from_torch(both) == [rate]
    with pytest.raises(ValueError, match="must get a ScheduleLR of the field 'lr', got 'momentum'"):
        from_torch(both[1:])


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda o: [lr_scheduler.LambdaLR(o, wave), lr_scheduler.PolynomialLR(o, 9)], "not by 0, after one that sets"),
        (
            lambda o: [lr_scheduler.LambdaLR(o, wave), lr_scheduler.StepLR(o, 9, 0.0)],
            "and not by 0, after one that set",
        ),
        (lambda o: [lr_scheduler.LambdaLR(o, wave), lr_scheduler.CosineAnnealingLR(o, 9)], "a CosineAnnealingLR$"),
        (lambda o: [lr_scheduler.StepLR(o, 9)] * 2, r"must get each scheduler once.*got \['StepLR', 'StepLR'\]"),
        (lambda o: [lr_scheduler.StepLR(o, 9), lr_scheduler.ReduceLROnPlateau(o)], "of the step, got a ReduceLROnPla"),
        (
            lambda o: [{"scheduler": lr_scheduler.StepLR(o, 9)}, lr_scheduler.StepLR(o, 9)],
            "step together, got .* of which some step more often",
        ),
        (lambda o: [torch.optim.swa_utils.SWALR(o, 0.1), lr_scheduler.StepLR(o, 2)], "follow from its arguments, got"),
    ],
)
def test_what_has_no_closed_form_beside_others_is_refused_by_name(build: Build, match: str):
    with pytest.raises(ValueError, match=match):
        from_torch(build(sgd()))


def test_schedulers_that_were_stepped_unlike_are_refused():
    optimizer = sgd()
    both = [lr_scheduler.StepLR(optimizer, 5), lr_scheduler.ExponentialLR(optimizer, 0.9)]
    take(optimizer, both[0].step, 3)
    with pytest.raises(ValueError, match=r"that step together, got \['StepLR', 'ExponentialLR'\] after \[3, 0\] steps"):
        from_torch(both)


LEAVES = {**SET, **MULTIPLY, "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 70)}


def nested(draw: random.Random, depth: int) -> Build:
    """A function that builds a scheduler, of schedulers in schedulers."""
    leaf = LEAVES[draw.choice(list(LEAVES))]
    kind = draw.choice(["leaf", "product", "sequence"]) if depth else "leaf"
    if kind == "leaf":
        return leaf
    inner = nested(draw, depth - 1)
    if kind == "product":
        return lambda o: lr_scheduler.ChainedScheduler([inner(o), leaf(o)], o)
    return lambda o: lr_scheduler.SequentialLR(o, [inner(o), leaf(o)], [20])


@pytest.mark.parametrize("seed", range(60))
def test_schedulers_side_by_side_are_read_as_they_step_or_refused_by_name(seed: int):
    draw = random.Random(seed)
    optimizer = sgd(0.1, 0.5)
    several = [nested(draw, 2)(optimizer) for _ in range(draw.choice([1, 2, 2, 3]))]

    def step() -> None:
        for one in several:
            one.step()

    seen = take(optimizer, step, draw.choice([0, 0, 4, 25]))
    try:
        schedules = from_torch(several, momentum=False)
    except ValueError as error:
        assert str(error).startswith("from_torch(scheduler) must get")  # noqa: PT017  # what is refused is drawn
        return
    agree(schedules, seen + take(optimizer, step, 60 - len(seen)))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let accelerate believe in a number of processes."""
    accelerate = pytest.importorskip("accelerate")
    accelerate.Accelerator(cpu=True)
    shared = accelerate.state.PartialState._shared_state
    return lambda n: monkeypatch.setitem(shared, "num_processes", n)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", LEAVES)
def test_a_prepared_scheduler_is_read_as_the_updates_find_it(name: str, n: int, split: bool, processes: Any):
    prepare = pytest.importorskip("accelerate.scheduler").AcceleratedScheduler
    wrap = pytest.importorskip("accelerate.optimizer").AcceleratedOptimizer
    processes(n)
    optimizer = sgd(0.1, 0.5)
    inner = LEAVES[name](optimizer)
    prepared = prepare(inner, wrap(optimizer, device_placement=False), split_batches=split)
    seen = take(optimizer, prepared.step, 4)
    schedules = from_torch(prepared, momentum=False)
    agree(schedules, seen + take(optimizer, prepared.step, 60 // n - 4))
    alone = from_torch(inner, momentum=False)
    assert schedules == ([Stretch(one, 1 / n) for one in alone] if n > 1 and not split else alone)


def test_a_prepared_scheduler_that_the_program_steps_is_read_alone(processes: Any):
    prepare = pytest.importorskip("accelerate.scheduler").AcceleratedScheduler
    processes(4)
    inner = lr_scheduler.StepLR(sgd(), 5)
    assert from_torch(prepare(inner, [], step_with_optimizer=False)) == from_torch(inner)


def test_a_prepared_cycle_that_accelerate_stops_early_is_refused(processes: Any):
    prepare = pytest.importorskip("accelerate.scheduler").AcceleratedScheduler
    processes(1)
    prepared = prepare(lr_scheduler.OneCycleLR(sgd(), 0.1, 90), [])
    prepared.gradient_state = SimpleNamespace(num_steps=4, adjust_scheduler=True)
    with pytest.raises(ValueError, match="without total_steps where gradients of 4 batches are accumulated"):
        from_torch(prepared)


@pytest.mark.parametrize(
    ("wrap", "paced"),
    [
        (lambda o, s: {"optimizer": o, "lr_scheduler": s}, lambda x: x),
        (
            lambda o, s: {"optimizer": o, "lr_scheduler": {"scheduler": s, "interval": "step"}, "monitor": "x"},
            lambda x: x,
        ),
        (lambda o, s: [{"optimizer": o, "lr_scheduler": {"scheduler": s}}], lambda x: x),
        (lambda o, s: ([o], [s]), lambda x: x),
        (lambda o, s: [[o], [{"scheduler": s, "frequency": 3}]], lambda x: Epochs(x, 3)),
        (lambda o, s: {"scheduler": s, "frequency": 2, "name": "rate"}, lambda x: Epochs(x, 2)),
        (lambda o, s: lrsched_torch.lightning_config(s), lambda x: x),
        (lambda o, s: lrsched_torch.lightning_config(s)["lr_scheduler"], lambda x: x),
    ],
)
def test_what_lightning_takes_is_read_in_what_it_counts(wrap: Any, paced: Callable[[Schedule], Schedule]):
    optimizer = sgd()
    scheduler = lr_scheduler.StepLR(optimizer, 5)
    assert from_torch(wrap(optimizer, scheduler)) == [paced(compat.torch.StepLR(0.1, 5))]


def test_the_configuration_of_lightning_is_read():
    config = pytest.importorskip("pytorch_lightning.utilities.types").LRSchedulerConfig
    scheduler = lr_scheduler.StepLR(sgd(), 5)
    assert from_torch(config(scheduler, interval="step")) == from_torch(scheduler)
    assert from_torch([config(scheduler, frequency=4)]) == [Epochs(compat.torch.StepLR(0.1, 5), 4)]


def test_the_groups_of_several_optimizers_follow_each_other():
    one, other, plain = sgd(0.1, 0.2), sgd(0.3), sgd(0.4)
    made = ([one, plain, other], [lr_scheduler.StepLR(other, 5), {"scheduler": lr_scheduler.StepLR(one, 7)}])
    steps = [compat.torch.StepLR(0.1, 7), compat.torch.StepLR(0.2, 7), Constant(0.4), compat.torch.StepLR(0.3, 5)]
    assert from_torch(made) == steps


def test_the_momenta_of_what_tools_hold_keep_their_pace():
    cycle = lr_scheduler.OneCycleLR(sgd(), 0.1, 90)
    rates, momenta = from_torch(cycle, momentum=True)
    config = {"scheduler": cycle, "frequency": 2}
    assert from_torch(config, momentum=True) == ([Epochs(rates[0], 2)], [Epochs(momenta[0], 2)])
    with pytest.warns(UserWarning, match="cycles the momentum too") as caught:
        from_torch([cycle])
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("config", "kind", "match"),
    [
        ({"interval": "step", "frequency": 2}, ValueError, "'frequency'.*must be 1 with the interval 'step', got 2"),
        ({"interval": "batch"}, ValueError, "'interval'.*must be 'step' or 'epoch', got 'batch'"),
        ({"frequency": "often"}, TypeError, "'frequency'.*must be an int, got 'often'"),
        ({"reduce_on_plateau": True}, ValueError, "must get a function of the step, got one of a metric"),
    ],
)
def test_what_lightning_lets_depend_on_more_is_refused(config: dict[str, Any], kind: type[Exception], match: str):
    with pytest.raises(kind, match=match):
        from_torch({"scheduler": lr_scheduler.StepLR(sgd(), 5), **config})


@pytest.mark.parametrize("nothing", [None, [], (), {}, "cosine", [[]], [None]])
def test_what_holds_no_scheduler_is_refused(nothing: Any):
    with pytest.raises(TypeError, match="must get a torch scheduler, got"):
        from_torch(nothing)


def test_an_optimizer_alone_keeps_its_rates_or_has_a_scheduler_that_is_missing():
    optimizer = sgd(0.1, 0.2)
    assert from_torch(optimizer) == [Constant(0.1), Constant(0.2)]
    lr_scheduler.StepLR(optimizer, 5)
    with pytest.raises(ValueError, match="must get the scheduler of an optimizer that has one, got the SGD alone"):
        from_torch(optimizer)


def test_an_optimizer_with_a_schedule_follows_it_whatever_drives_it():
    rate = Linear(0.5, 0.0, steps=9)
    optimizer = lrsched_torch.RuleOptimizer([torch.nn.Parameter(torch.zeros(2))], rules.SGD(), lr=rate)
    for driver in (optimizer, optimizer.scheduler(), lr_scheduler.LambdaLR(optimizer, lambda t: 1.0), [optimizer]):
        assert from_torch(driver) == [rate]


def test_a_schedule_that_a_metric_turns_is_read_with_its_factor():
    optimizer = sgd()
    scheduler = lrsched_torch.FeedbackLR(optimizer, Linear(0.1, 0.0, steps=50), feedback.Plateau(patience=1))
    assert from_torch(scheduler) == [Linear(0.1, 0.0, steps=50)]
    for metric in (1.0, 2.0, 2.0, 2.0):
        scheduler.step(metric)
    assert scheduler.factor < 1.0
    (schedule,) = from_torch(scheduler)
    assert schedule == scheduler.factor * Linear(0.1, 0.0, steps=50)
    assert schedule(4) == pytest.approx(optimizer.param_groups[0]["lr"])
