"""`ScheduleLR` and `RuleOptimizer` warn once of a loop that does not fit the schedule, and of no other."""

import copy
import gc
import pickle
import warnings
import weakref

import pytest
import torch
from torch.optim.lr_scheduler import SequentialLR

from lrsched import (
    Constant,
    Cosine,
    Exponential,
    LintWarning,
    PowerLaw,
    Repeat,
    Schedule,
    Warmup,
    compat,
    feedback,
    rules,
)
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR

LONG = Warmup(500) >> Cosine(1e-3, 0.0, steps=9_500)
EPOCHS = Warmup(5, start=1e-3) >> Cosine(0.1, 0.0, steps=85)


def sgd(groups=1):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(2))]} for _ in range(groups)], lr=0.1)


def run(optimizer, scheduler, epochs, updates, metric=None):
    for _ in range(epochs):
        for _ in range(updates):
            optimizer.step()
        scheduler.step() if metric is None else scheduler.step(metric)


def told(act) -> list[str]:
    """Return the codes of what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    assert all(one.filename == __file__ for one in caught if one.category is LintWarning)
    return [str(one.message).partition(":")[0] for one in caught if one.category is LintWarning]


IN_UPDATES = [
    LONG,
    PowerLaw(1e-3, timescale=500.0),
    [None, LONG],
    Cosine(0.1, 0.0, steps=1000),
    compat.transformers.get_cosine_schedule_with_warmup(1e-3, 500, 10_000),
]
IN_EPOCHS = [
    EPOCHS,
    Exponential(0.1, 0.95),
    Constant(0.1),
    Repeat(Cosine(0.1, 0.0, steps=10)),
    Warmup(5, start=0.01) >> Constant(0.1),
    Warmup(5, start=1e-3) >> Cosine(0.1, 0.0, steps=595),
]


@pytest.mark.parametrize("schedule", IN_UPDATES)
@pytest.mark.parametrize("updates", [10, 100])
def test_a_schedule_in_updates_that_is_stepped_by_epoch_is_told_once(schedule, updates):
    optimizer = sgd(2)
    scheduler = ScheduleLR(optimizer, schedule)
    assert told(lambda: run(optimizer, scheduler, 4, updates))[-1:] == ["length-looks-like-updates"]
    assert told(lambda: run(optimizer, scheduler, 4, updates)) == []


def test_the_warning_has_the_numbers_and_can_be_filtered():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, Cosine(0.1, 0.0, steps=9000))
    with pytest.warns(LintWarning, match=r"was called once for 90 updates, .* takes 9000 steps, .* 810000"):
        run(optimizer, scheduler, 2, 90)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "length-looks-like-updates", LintWarning)
        run(optimizer := sgd(), ScheduleLR(optimizer, Cosine(0.1, 0.0, steps=9000)), 2, 90)


def test_a_first_epoch_at_zero_is_told_once():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, Warmup(5) >> Cosine(0.1, 0.0, steps=85))
    assert told(lambda: run(optimizer, scheduler, 5, 30)) == ["first-epoch-zero"]


def test_a_first_epoch_above_zero_is_not_told():
    optimizer = sgd()
    assert told(lambda: run(optimizer, ScheduleLR(optimizer, EPOCHS), 5, 30)) == []


def test_a_schedule_in_epochs_that_is_stepped_by_update_is_told_once():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, EPOCHS)
    assert told(lambda: run(optimizer, scheduler, 189, 1)) == []
    assert told(lambda: run(optimizer, scheduler, 300, 1)) == ["length-looks-like-epochs"]
    with pytest.warns(LintWarning, match="ScheduleLR has made 190 updates, and its schedule of 90 steps stands at 0"):
        run(optimizer := sgd(), ScheduleLR(optimizer, EPOCHS), 200, 1)


def test_an_optimizer_that_follows_its_schedule_tells_the_same_once():
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = RuleOptimizer([w], rules.SGD(), lr=EPOCHS)

    def act(updates):
        for _ in range(updates):
            w.grad = torch.ones(2)
            optimizer.step()

    assert told(lambda: act(189)) == []
    assert told(lambda: act(100)) == ["length-looks-like-epochs"]
    scheduler = optimizer.scheduler()
    assert told(lambda: [(act(20), scheduler.step()) for _ in range(3)]) == []


@pytest.mark.parametrize("schedule", IN_EPOCHS)
def test_a_schedule_in_epochs_that_is_stepped_by_epoch_is_not_told(schedule: Schedule):
    optimizer = sgd()
    assert told(lambda: run(optimizer, ScheduleLR(optimizer, schedule), 5, 300)) == []


def test_a_loop_that_is_right_is_not_told_and_not_watched_after_the_second_update():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, LONG)
    assert told(lambda: run(optimizer, scheduler, 2, 1)) == []
    assert len(optimizer._optimizer_step_post_hooks) == 0
    assert told(lambda: run(optimizer, scheduler, 200, 1)) == []


def test_critics_with_updates_of_their_own_are_not_told():
    critic, generator = sgd(), sgd()
    schedulers = ScheduleLR(critic, LONG), ScheduleLR(generator, LONG)

    def act():
        for _ in range(50):
            for _ in range(5):
                critic.step()
            generator.step()
            for scheduler in schedulers:
                scheduler.step()

    assert told(act) == []


def test_accumulated_gradients_and_short_loops_are_not_told():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, LONG)

    def act():
        for batch in range(200):
            if batch % 8 == 7:
                optimizer.step()
                scheduler.step()

    assert told(act) == []
    optimizer = sgd()
    assert told(lambda: run(optimizer, ScheduleLR(optimizer, LONG), 1, 9)) == []
    optimizer = sgd()
    short = Warmup(2) >> Cosine(0.1, 0.0, steps=8)
    assert told(lambda: run(optimizer, ScheduleLR(optimizer, short), 10, 1)) == []


def test_updates_before_the_first_step_alone_are_not_told():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, Cosine(0.1, 0.0, steps=9000))
    assert told(lambda: (run(optimizer, scheduler, 1, 500), run(optimizer, scheduler, 100, 1))) == []


def test_a_run_that_is_resumed_is_not_told():
    optimizer = sgd()
    scheduler = ScheduleLR(optimizer, LONG)
    run(optimizer, scheduler, 700, 1)
    states = optimizer.state_dict(), scheduler.state_dict()

    def act():
        again = sgd()
        other = ScheduleLR(again, LONG)
        again.load_state_dict(states[0])
        other.load_state_dict(states[1])
        run(again, other, 50, 1)
        late = sgd()
        late.param_groups[0]["initial_lr"] = 0.1
        run(late, ScheduleLR(late, LONG, last_epoch=5000), 50, 1)

    assert told(act) == []


def test_a_phase_that_waits_for_its_turn_is_not_told():
    optimizer = sgd()
    parts = [ScheduleLR(optimizer, Constant(0.1)), ScheduleLR(optimizer, LONG)]
    joined = SequentialLR(optimizer, parts, milestones=[100])
    assert told(lambda: run(optimizer, joined, 300, 1)) == []


def test_a_metric_of_each_epoch_over_a_constant_is_not_told():
    optimizer = sgd()
    scheduler = FeedbackLR(optimizer, None, feedback.Plateau())
    assert told(lambda: run(optimizer, scheduler, 4, 50, 1.0)) == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))])
def test_a_copy_goes_on_unwatched(copied):
    scheduler = copied(ScheduleLR(sgd(), Cosine(0.1, 0.0, steps=9000)))
    assert told(lambda: run(scheduler.optimizer, scheduler, 3, 20)) == []
    assert scheduler.last_epoch == 3


def test_a_watch_keeps_no_scheduler_alive():
    optimizer = sgd()
    known = weakref.ref(ScheduleLR(optimizer, LONG))
    gc.collect()
    assert known() is None
    assert len(optimizer._optimizer_step_post_hooks) == 0


def test_a_rate_that_is_taken_for_a_factor_is_told_once():
    assert told(lambda: ScheduleLR(sgd(2), Cosine(3e-4, 0.0, steps=100), relative=True)) == ["looks-like-rate"]


@pytest.mark.parametrize("factor", [Cosine(1.0, 0.0, steps=100), Constant(0.1), Warmup(5) >> Constant(1.0)])
def test_a_factor_is_not_told(factor):
    assert told(lambda: ScheduleLR(sgd(2), factor, relative=True)) == []
