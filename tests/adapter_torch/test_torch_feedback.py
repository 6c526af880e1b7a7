"""`FeedbackLR` and the range test in the live PyTorch: `schedule(t) * factor`, and nothing else, ever."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lrsched import Cosine, Linear, Warmup, feedback, rules
from lrsched_torch import FeedbackLR, RuleOptimizer, ScheduleLR, lightning_config, run_range_test

SCHEDULE = Warmup(3) >> Cosine(0.1, 0.01, steps=20)
RULES = [
    feedback.Plateau(factor=0.5, patience=1),
    feedback.GreedyLR(patience=1),
    feedback.NewBob(),
    feedback.KLAdaptive(target=2.0, band=1.125),
    feedback.DecayOnPlateauThenStop(),
    feedback.EarlyStopping(patience=2),
]
METRICS = [3.0, 2.0, 2.5, 2.4, float("nan"), 2.3, 1.0, 1.2, 1.1, 1.3, 1.2]
metrics = st.lists(st.floats(-1e3, 1e3, width=32) | st.just(float("nan")), max_size=20)


def optimizer(*rates):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(2))], "lr": lr} for lr in rates or (1.0,)])


def rates(opt):
    return [float(group["lr"]) for group in opt.param_groups]


def factors(rule, seen):
    """Return the factor after each number of observations."""
    state, found = rule.init(), [1.0]
    for metric in seen:
        state, factor = rule.update(state, metric)
        found.append(factor)
    return found


def advance(opt, scheduler, seen):
    """Do an update for each metric and return the rates that they used."""
    used = []
    for metric in seen:
        used += rates(opt)
        opt.step()
        scheduler.step(metric)
    return used


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(seen=metrics)
def test_the_rate_is_the_schedule_times_the_factor(rule, seen):
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, rule)
    expected = [SCHEDULE(t) * factor for t, factor in enumerate(factors(rule, seen))]
    assert [*advance(opt, scheduler, seen), *rates(opt)] == expected


@pytest.mark.parametrize("mode", ["min", "max"])
@given(seen=metrics, patience=st.integers(0, 3), cooldown=st.integers(0, 2))
def test_without_a_schedule_it_equals_the_plateau_rule_of_torch(mode, seen, patience, cooldown):
    ours, theirs = optimizer(1.0), optimizer(1.0)
    options = {"mode": mode, "factor": 0.5, "patience": patience, "cooldown": cooldown}
    rule = feedback.Plateau(**options, dialect="torch", eps=1e-8)
    assert advance(ours, FeedbackLR(ours, None, rule), seen) == pytest.approx(
        advance(theirs, ReduceLROnPlateau(theirs, **options), seen), rel=1e-12
    )


def test_it_is_a_scheduler_of_torch():
    assert isinstance(FeedbackLR(optimizer(), SCHEDULE, RULES[0]), LRScheduler)


def test_a_step_without_a_metric_moves_the_schedule_alone():
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, RULES[0])
    scheduler.observe(1.0)
    state = scheduler.state
    assert advance(opt, scheduler, [None] * 5) == [SCHEDULE(t) for t in range(5)]
    assert scheduler.state == state


def test_observing_moves_the_rule_alone_and_writes_the_rate_at_once():
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, feedback.Plateau(factor=0.5, patience=0))
    advance(opt, scheduler, [None] * 4)
    scheduler.observe(1.0)
    scheduler.observe(1.0)
    assert rates(opt) == [SCHEDULE(4) * 0.5]
    assert scheduler.get_last_lr() == rates(opt)
    assert scheduler.last_epoch == 4


def test_the_closed_form_has_the_factor_too():
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, feedback.Plateau(factor=0.5, patience=0))
    advance(opt, scheduler, [1.0, 1.0])
    assert scheduler._get_closed_form_lr() == [SCHEDULE(2) * 0.5]


def test_without_a_schedule_each_group_keeps_its_first_rate():
    opt = optimizer(1.0, 0.25)
    scheduler = FeedbackLR(opt, None, feedback.Plateau(factor=0.5, patience=0))
    advance(opt, scheduler, [1.0, 1.0])
    assert rates(opt) == [0.5, 0.125]


def test_each_group_may_have_its_schedule():
    opt = optimizer(1.0, 1.0)
    plans = [SCHEDULE, Linear(1.0, 0.0, steps=10)]
    advance(opt, FeedbackLR(opt, plans, feedback.Plateau(factor=0.5, patience=0)), [1.0, 1.0])
    assert rates(opt) == [plan(2) * 0.5 for plan in plans]


def test_a_relative_schedule_multiplies_the_first_rate_of_each_group():
    opt = optimizer(1.0, 0.25)
    plan = Linear(1.0, 0.0, steps=10)
    advance(opt, FeedbackLR(opt, plan, feedback.Plateau(factor=0.5, patience=0), relative=True), [1.0, 1.0])
    assert rates(opt) == [0.4, 0.1]  # plan(2) = 0.8, halved


def test_a_group_that_is_added_later_is_driven_too():
    opt = optimizer(1.0)
    scheduler = FeedbackLR(opt, None, feedback.Plateau(factor=0.5, patience=0))
    opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.25})
    advance(opt, scheduler, [1.0, 1.0])
    assert rates(opt) == [0.5, 0.125]


def test_a_rate_that_is_a_tensor_is_written_in_place():
    lr = torch.tensor(1.0)
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=lr)
    scheduler = FeedbackLR(opt, None, feedback.Plateau(factor=0.5, patience=0))
    scheduler.observe(1.0)
    scheduler.observe(1.0)
    assert opt.param_groups[0]["lr"] is lr
    assert lr == 0.5


def test_a_metric_may_be_a_tensor_with_a_gradient():
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, RULES[0])
    scheduler.observe(torch.tensor(2.5, requires_grad=True) * 1.0)
    assert scheduler.state.best == 2.5
    assert type(scheduler.state.best) is float


def test_a_rule_of_several_numbers_takes_an_observation():
    opt = optimizer()
    rule = feedback.Polyak()
    scheduler = FeedbackLR(opt, None, rule)
    scheduler.observe(feedback.Observation(loss=torch.tensor(0.5), norm_sq=torch.tensor(2.0)))
    assert rates(opt) == [rule.update(rule.init(), feedback.Observation(loss=0.5, norm_sq=2.0))[1]]


def test_a_rule_that_ends_a_run_says_so():
    scheduler = FeedbackLR(optimizer(), SCHEDULE, feedback.EarlyStopping(patience=1))
    said = []
    for metric in [1.0, 0.5, 0.5]:
        scheduler.observe(metric)
        said.append(scheduler.stop)
    assert said == [False, False, True]


def test_a_rule_without_an_end_never_stops():
    assert FeedbackLR(optimizer(), SCHEDULE, RULES[0]).stop is False


def through_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("done", range(len(METRICS)))
def test_a_resumed_run_goes_on_exactly(rule, done):
    opt = optimizer()
    scheduler = FeedbackLR(opt, SCHEDULE, rule)
    advance(opt, scheduler, METRICS[:done])
    saved = through_file(scheduler.state_dict())
    again = optimizer()
    resumed = FeedbackLR(again, SCHEDULE, rule)
    resumed.load_state_dict(saved)
    assert rates(again) == rates(opt)
    assert advance(again, resumed, METRICS[done:]) == advance(opt, scheduler, METRICS[done:])


def test_the_state_of_another_scheduler_is_refused():
    scheduler = FeedbackLR(optimizer(), SCHEDULE, RULES[0])
    with pytest.raises(ValueError, match="must get the state of a FeedbackLR"):
        scheduler.load_state_dict({"last_epoch": 3})


def test_the_state_of_a_rule_of_another_kind_is_refused():
    saved = FeedbackLR(optimizer(), SCHEDULE, feedback.NewBob()).state_dict()
    with pytest.raises(ValueError, match="must be a dictionary of scale, best"):
        FeedbackLR(optimizer(), SCHEDULE, RULES[0]).load_state_dict(saved)


def test_the_state_of_another_rule_of_the_same_kind_warns():
    saved = FeedbackLR(optimizer(), SCHEDULE, feedback.Plateau(patience=3)).state_dict()
    with pytest.warns(UserWarning, match=r"saved with the rule Plateau\(patience=3\)"):
        FeedbackLR(optimizer(), SCHEDULE, RULES[0]).load_state_dict(saved)


@pytest.mark.parametrize("wrong", [None, 0.5, SCHEDULE, rules.SGD(), feedback.Plateau], ids=repr)
def test_what_is_no_feedback_rule_is_refused(wrong):
    with pytest.raises(TypeError, match=r"FeedbackLR\(rule=...\) must be a rule such as feedback.Plateau\(\)"):
        FeedbackLR(optimizer(), SCHEDULE, wrong)


HALVE = feedback.Plateau(factor=0.5, patience=0)


def test_lightning_is_told_what_to_monitor():
    scheduler = FeedbackLR(optimizer(), None, HALVE)
    told = {"scheduler": scheduler, "interval": "epoch", "frequency": 1, "reduce_on_plateau": True}
    assert lightning_config(scheduler, monitor="val_loss") == {
        "optimizer": scheduler.optimizer,
        "lr_scheduler": {**told, "monitor": "val_loss", "strict": True},
    }
    assert lightning_config(
        scheduler, name="rate", monitor="loss", interval="step", frequency=3, strict=False
    )["lr_scheduler"] == {
        **told, "name": "rate", "monitor": "loss", "interval": "step", "frequency": 3, "strict": False,
    }  # fmt: skip


def test_lightning_is_told_of_no_metric_without_a_monitor():
    config = lightning_config(FeedbackLR(optimizer(), None, HALVE), frequency=2)["lr_scheduler"]
    assert (set(config), config["interval"]) == ({"scheduler", "interval", "frequency"}, "step")
    assert config["frequency"] == 2


@pytest.mark.parametrize(
    ("scheduler", "options", "error", "message"),
    [
        (lambda: ScheduleLR(optimizer(), SCHEDULE), {"monitor": "loss"}, TypeError, "a FeedbackLR, got a ScheduleLR"),
        (lambda: FeedbackLR(optimizer(), None, feedback.DoG()), {"monitor": "loss"}, TypeError, "needs one number"),
        (lambda: FeedbackLR(optimizer(), None, HALVE), {"monitor": 3}, TypeError, "a logged name or None, got 3"),
        (lambda: FeedbackLR(optimizer(), None, HALVE), {"interval": "batch"}, ValueError, "'epoch' or None, got 'bat"),
        (lambda: FeedbackLR(optimizer(), None, HALVE), {"frequency": 0}, ValueError, "an int >= 1 .*got 0"),
        (lambda: FeedbackLR(optimizer(), None, HALVE), {"frequency": True}, TypeError, "an int >= 1 .*got True"),
    ],
)
def test_lightning_is_told_nothing_that_fails_later(scheduler, options, error, message):
    with pytest.raises(error, match=message):
        lightning_config(scheduler(), **options)


def lightning_rates(config, schedule=None, **options):
    """Return the rates of each update of a real run of four epochs, two updates each, that logs a constant."""
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen = []

        def training_step(self, batch, index):
            self.seen += rates(self.trainer.optimizers[0])
            self.log("watched", 1.0, on_step=False, on_epoch=True)
            self.log("now", 1.0, on_step=True, on_epoch=False)
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            opt = torch.optim.SGD(self.parameters(), lr=1.0)
            return lightning_config(FeedbackLR(opt, schedule, HALVE), **config)

    module = Module()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", enable_model_summary=False, **quiet, **options)
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(2, 1), batch_size=1))
    return module.seen


def test_lightning_passes_the_monitored_value():
    assert lightning_rates({"monitor": "watched"}) == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_lightning_passes_the_monitored_value_after_each_update():
    seen = lightning_rates({"monitor": "now", "interval": "step"}, Linear(1.0, 0.0, steps=8))
    assert seen == [(1 - t / 8) * 0.5 ** max(t - 1, 0) for t in range(8)]


def test_lightning_observes_every_second_epoch():
    # Epochs 2 and 4 are observed, after the second no epoch follows.
    assert lightning_rates({"monitor": "watched", "frequency": 2}, Linear(1.0, 0.0, steps=2)) == [1.0] * 4 + [0.5] * 4


def test_lightning_misses_a_name_only_if_it_is_strict():
    with pytest.warns(RuntimeWarning, match="Skipping learning rate update"):
        assert lightning_rates({"monitor": "missing", "strict": False}) == [1.0] * 8
    with pytest.raises(Exception, match="conditioned on metric missing which is not available"):
        lightning_rates({"monitor": "missing"})


def test_lightning_knows_every_key():
    types = pytest.importorskip("lightning.pytorch.utilities.types")
    config = lightning_config(FeedbackLR(optimizer(), None, HALVE), name="rate", monitor="loss")
    assert set(config["lr_scheduler"]) == set(types.LRSchedulerConfigType.__annotations__)


class Task:
    """A linear model that is far from its solution, with a layer that has buffers."""

    def __init__(self, build):
        torch.manual_seed(0)
        self.x = torch.linspace(-1.0, 1.0, 16)[:, None]
        self.model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
        self.optimizer = build(self.model.parameters())
        self.used = []

    def step(self):
        self.optimizer.zero_grad()
        loss = (self.model(self.x) - 2.0 * self.x - 10.0).square().mean()
        loss.backward()
        self.used.append(float(self.optimizer.param_groups[0]["lr"]))
        self.optimizer.step()
        return loss

    def content(self):
        slots = self.optimizer.state_dict()
        return [[x.clone() for x in self.model.state_dict().values()], repr(slots)]


BUILDS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    "rule": lambda p: RuleOptimizer(p, rules.Adam(), lr=Linear(0.1, 0.0, steps=9)),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
@pytest.mark.parametrize("done", [0, 3])
def test_a_range_test_leaves_model_and_optimizer_as_they_were(build, done):
    task = Task(build)
    for _ in range(done):
        task.step()
    weights, slots = task.content()
    run_range_test(task.model, task.optimizer, task.step, start=1e-4, steps=30)
    after, slots_after = task.content()
    assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))
    assert slots == slots_after


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_range_test_trains_at_the_rates_that_it_returns(build):
    task = Task(build)
    curve = run_range_test(task.model, task.optimizer, task.step, start=1e-4, end=1.0, steps=8)
    assert task.used == pytest.approx(curve.lrs, rel=1e-6)
    assert curve.lrs == pytest.approx([1e-4 * 10 ** (i / 2) for i in range(9)], rel=1e-12)


def test_a_range_test_stops_when_the_loss_explodes():
    task = Task(lambda p: torch.optim.SGD(p, lr=0.01))
    curve = run_range_test(task.model, task.optimizer, task.step, start=1e-4, end=1e4, steps=200)
    assert len(curve.lrs) < 150
    assert curve.losses[-1] > curve.losses[0]


def test_a_range_test_suggests_what_the_analysis_of_its_smoothed_losses_does():
    task = Task(lambda p: torch.optim.SGD(p, lr=0.01))
    curve = run_range_test(task.model, task.optimizer, task.step, start=1e-4, rule=feedback.RangeTest(beta=0.0))
    assert curve.suggestions == feedback.lr_range_test(curve.lrs, curve.losses)


def test_a_short_range_test_suggests_nothing():
    task = Task(BUILDS["Adam"])
    assert run_range_test(task.model, task.optimizer, task.step, steps=5).suggestions is None


def test_a_range_test_that_fails_puts_everything_back():
    task = Task(BUILDS["Adam"])
    weights, slots = task.content()

    def step():
        task.step()
        raise RuntimeError("out of data")

    with pytest.raises(RuntimeError, match="out of data"):
        run_range_test(task.model, task.optimizer, step)
    assert all(torch.equal(a, b) for a, b in zip(weights, task.content()[0], strict=True))
    assert slots == task.content()[1]


def test_a_range_test_keeps_the_tensor_of_the_rate():
    lr = torch.tensor(0.25)
    task = Task(lambda p: torch.optim.SGD(p, lr=lr))
    run_range_test(task.model, task.optimizer, task.step, steps=5)
    assert task.optimizer.param_groups[0]["lr"] is lr
    assert lr == 0.25


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.1), (1.0, 1.0)])
def test_a_range_test_must_rise(start, end):
    task = Task(BUILDS["Adam"])
    with pytest.raises(ValueError, match="must rise from start > 0 to end, got"):
        run_range_test(task.model, task.optimizer, task.step, start=start, end=end)


def test_a_range_test_keeps_what_a_short_loader_showed_it_and_says_so():
    model = torch.nn.Linear(1, 1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.clone()
    batches = iter(torch.linspace(-1.0, 1.0, 30 * 4).reshape(30, 4, 1))

    def step():
        x = next(batches)
        sgd.zero_grad()
        loss = (model(x) - 2.0 * x).square().mean()
        loss.backward()
        sgd.step()
        return loss

    with pytest.warns(UserWarning, match="data of the range test ended after 30 of 101 updates"):
        curve = run_range_test(model, sgd, step, start=1e-4)
    assert len(curve.lrs) == len(curve.losses) == 30
    assert curve.suggestions is not None
    assert torch.equal(model.weight, before)
    with pytest.raises(ValueError, match=r"range_curve\(train=...\) must do at least one update, got StopIteration"):
        run_range_test(model, sgd, step)
