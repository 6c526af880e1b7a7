"""`RuleOptimizer(lr=schedule)` follows its own schedule, whatever schedulers a trainer makes for it."""

import copy
import io
import pickle
import warnings

import pytest
import torch
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict
from torch.optim import lr_scheduler as native
from torch.optim.lr_scheduler import LRScheduler

from lrsched import Cosine, Linear, Warmup, rules
from lrsched_torch import RuleOptimizer, ScheduleLR

FROM_ZERO = Warmup(3) >> Cosine(0.1, 0.01, steps=10)
FALLING = Linear(0.2, 0.02, steps=12)
FORMS = {
    "eager": {},
    "compiled": {"compile": True},
    "capturable": {"compile": True, "capturable": True},
}


def transformers_schedule(name, **options):
    def build(opt):
        return getattr(pytest.importorskip("transformers"), name)(opt, **options)

    return build


# The schedulers that trainers make, and that people make by hand.
FOREIGN = {
    "LambdaLR": lambda o: native.LambdaLR(o, lambda t: 1.0),
    "half": lambda o: native.LambdaLR(o, lambda t: 0.5),
    "StepLR": lambda o: native.StepLR(o, 2, 0.1),
    "MultiStepLR": lambda o: native.MultiStepLR(o, [1, 3], 0.1),
    "ConstantLR": lambda o: native.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: native.LinearLR(o, 0.1, 1.0, 4),
    "ExponentialLR": lambda o: native.ExponentialLR(o, 0.5),
    "PolynomialLR": lambda o: native.PolynomialLR(o, 4),
    "CosineAnnealingLR": lambda o: native.CosineAnnealingLR(o, 4),
    "WarmRestarts": lambda o: native.CosineAnnealingWarmRestarts(o, 4),
    "OneCycleLR": lambda o: native.OneCycleLR(o, 0.5, total_steps=20, cycle_momentum=False),
    "CyclicLR": lambda o: native.CyclicLR(o, 0.01, 0.5, 4, cycle_momentum=False),
    "SequentialLR": lambda o: native.SequentialLR(o, [native.ConstantLR(o), native.StepLR(o, 2)], [3]),
    "ChainedScheduler": lambda o: native.ChainedScheduler([native.ConstantLR(o), native.ExponentialLR(o, 0.9)], o),
    "ReduceLROnPlateau": lambda o: Plateau(o),
    "ScheduleLR": lambda o: ScheduleLR(o, Linear(1.0, 0.0, steps=20)),
    "constant": transformers_schedule("get_constant_schedule"),
    "linear": transformers_schedule("get_linear_schedule_with_warmup", num_warmup_steps=2, num_training_steps=9),
    "cosine": transformers_schedule("get_cosine_schedule_with_warmup", num_warmup_steps=2, num_training_steps=9),
    "by hand": lambda o: ByHand(o),
}


class Plateau(native.ReduceLROnPlateau):
    """Torch's, whose metric never falls."""

    def __init__(self, opt):
        super().__init__(opt, patience=0, factor=0.5)

    def step(self):
        super().step(1.0)


class ByHand:
    """What people write in their loops."""

    def __init__(self, opt):
        self.opt = opt

    def step(self):
        for group in self.opt.param_groups:
            group["lr"] = 0.7


def build(schedule=FROM_ZERO, form="eager"):
    torch.manual_seed(0)
    ps = [torch.nn.Parameter(torch.randn(3)) for _ in range(2)]
    groups = [{"params": ps[:1]}, {"params": ps[1:], "lr": FALLING}]
    rule = rules.SGD() if form == "capturable" else rules.AdamW(weight_decay=0.1)  # which takes longer to compile
    return ps, RuleOptimizer(groups, rule, lr=schedule, **FORMS[form])


def train(ps, opt, steps, scheduler=None):
    """Return the rates that the updates used."""
    used = []
    for t in steps:
        for i, p in enumerate(ps):
            p.grad = torch.full_like(p, 0.5 + t - i)
        opt.step()
        used.append([float(rate) for rate in opt.used])
        if scheduler is not None:
            scheduler.step()
    return used


@pytest.fixture(autouse=True)
def _watched(monkeypatch):
    """Note the rates of each step, as the rules see them."""
    from lrsched_torch._shared import jobs

    whole = jobs.Job.prepare

    def prepare(self, new_state, *, alone):
        opt = new_state.__self__
        opt.used = [
            group["lr"].clone() if isinstance(group["lr"], torch.Tensor) else group["lr"] for group in opt.param_groups
        ]
        return whole(self, new_state, alone=alone)

    monkeypatch.setattr(jobs.Job, "prepare", prepare)


def theirs(found):
    return [one for one in found if "RuleOptimizer goes on" in str(one.message)]


EACH = [
    pytest.param(name, form, marks=[pytest.mark.slow] * (form == "capturable"))
    for name in FOREIGN
    for form in FORMS
    if form == "eager" or name in ("LambdaLR", "OneCycleLR")
]


@pytest.mark.parametrize("schedule", [FROM_ZERO, FALLING], ids=["from zero", "falling"])
@pytest.mark.parametrize(("foreign", "form"), EACH)
def test_a_foreign_scheduler_is_told_of_once_and_overruled(foreign, form, schedule):
    ps, opt = build(schedule, form)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        scheduler = FOREIGN[foreign](opt)
        used = train(ps, opt, range(8), scheduler)
    qs, other = build(schedule, form)
    assert used == train(qs, other, range(8)) == [pytest.approx([schedule(t), FALLING(t)], rel=1e-12) for t in range(8)]
    assert all(torch.equal(p, q) for p, q in zip(ps, qs, strict=True))
    assert len(theirs(found)) == 1
    assert theirs(found)[0].filename == __file__


def test_the_warning_names_both_rates_and_the_line_to_write():
    ps, opt = build()
    scheduler = native.LambdaLR(opt, lambda t: 1.0)
    train(ps, opt, [0], scheduler)
    message = (
        r"goes on with its schedule, at 0.0333333: the learning rate of group 0 was overwritten with 0 before "
        r"update 1, by a scheduler or by hand. Hand a trainer `optimizer.scheduler\(\)`; "
        r".* RuleOptimizer\(..., lr=<a number>\)"
    )
    with pytest.warns(UserWarning, match=message):
        train(ps, opt, [1], scheduler)


@pytest.mark.parametrize("form", FORMS)
def test_without_another_nothing_is_told(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ps, opt = build(form=form)
        train(ps, opt, range(3))
        opt.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})
        train(ps, opt, range(3, 5))
        opt.load_state_dict(opt.state_dict())
        train(ps, opt, range(5, 7))
        for twin in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
            train([p for group in twin.param_groups for p in group["params"]], twin, range(7, 9))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("schedule", [FROM_ZERO, FALLING], ids=["from zero", "falling"])
@pytest.mark.parametrize("attached", [False, True])
def test_a_step_by_which_a_checkpoint_makes_the_state_holds(form, schedule, attached):
    ps, opt = build(schedule, form)
    scheduler = opt.scheduler() if attached else None
    before = [p.detach().clone() for p in ps]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*(deprecated|TypedStorage)")
        get_optimizer_state_dict(torch.nn.ParameterList(ps), opt)
        assert all(torch.equal(p, old) for p, old in zip(ps, before, strict=True))
        train(ps, opt, range(3), scheduler)


def test_what_a_hand_writes_before_the_first_step_holds_for_it():
    ps, opt = build(FALLING)
    opt.param_groups[0]["lr"] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train(ps, opt, range(3)) == [[0.5, FALLING(0)], *([FALLING(t)] * 2 for t in (1, 2))]


def test_others_drive_the_groups_that_have_a_number():
    ps, opt = build(0.5)
    scheduler = native.LambdaLR(opt, lambda t: 0.5**t)
    with pytest.warns(UserWarning, match="learning rate of group 1 was overwritten"):
        used = train(ps, opt, range(4), scheduler)
    assert used == [[0.5 * 0.5**t, FALLING(t)] for t in range(4)]


def test_a_load_between_does_not_hide_another_scheduler():
    ps, opt = build()
    scheduler = FOREIGN["LambdaLR"](opt)
    with pytest.warns(UserWarning, match="goes on with its schedule"):
        train(ps, opt, range(3), scheduler)
    opt.load_state_dict(opt.state_dict())
    assert train(ps, opt, range(3, 6), scheduler) == [[FROM_ZERO(t), FALLING(t)] for t in range(3, 6)]


@pytest.mark.parametrize("form", FORMS)
def test_the_own_scheduler_tells_the_rates_and_writes_nothing(form):
    ps, opt = build(form=form)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = opt.scheduler()
        for t in range(5):
            told = [float(rate) for rate in scheduler.get_last_lr()]
            (used,) = train(ps, opt, [t])
            assert (
                told
                == used
                == [float(rate) for rate in scheduler.get_last_lr()]
                == pytest.approx([FROM_ZERO(t), FALLING(t)])
            )
            scheduler.step(metrics=1.0)
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.last_epoch == 5
    file = io.BytesIO()
    torch.save((opt.state_dict(), scheduler.state_dict()), file)
    for order in ([0, 1], [1, 0]):
        file.seek(0)
        states = torch.load(file, weights_only=True)
        _, again = build(form=form)
        made = again, again.scheduler()
        for i in order:
            made[i].load_state_dict(states[i])
        assert made[1].last_epoch == 5
        assert [float(rate) for rate in made[1].get_last_lr()] == pytest.approx([FROM_ZERO(5), FALLING(5)], rel=1e-12)
        assert [float(group["lr"]) for group in again.param_groups] == pytest.approx([FROM_ZERO(5), FALLING(5)])


def test_the_own_scheduler_loads_what_a_trainer_saved_of_another():
    ps, opt = build()
    scheduler = FOREIGN["LambdaLR"](opt)
    with pytest.warns(UserWarning, match="goes on"):
        train(ps, opt, range(4), scheduler)
    _, again = build()
    own = again.scheduler()
    own.load_state_dict(scheduler.state_dict())
    again.load_state_dict(opt.state_dict())
    assert (own.last_epoch, own.get_last_lr()) == (4, [FROM_ZERO(4), FALLING(4)])


def test_accelerate_takes_the_own_scheduler():
    accelerate = pytest.importorskip("accelerate")
    ps, opt = build()
    accelerator = accelerate.Accelerator(cpu=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        prepared, scheduler = accelerator.prepare(opt, opt.scheduler())
        assert isinstance(scheduler, accelerate.scheduler.AcceleratedScheduler)
        for t in range(4):
            for p in ps:
                p.grad = torch.ones_like(p)
            prepared.step()
            assert opt.used == [FROM_ZERO(t), FALLING(t)] == scheduler.get_last_lr()
            scheduler.step()


def lightning_run(make):
    """Return the rates that the updates of a real run of Lightning used."""
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen = []

        def training_step(self, batch, index):
            return self.layer(batch).square().mean()

        def on_train_batch_end(self, *_):
            self.seen += self.optimizers().optimizer.used

        def configure_optimizers(self):
            opt = RuleOptimizer(self.parameters(), rules.SGD(), lr=FROM_ZERO)
            return {"optimizer": opt, "lr_scheduler": {"scheduler": make(opt), "interval": "step"}}

    module = Module()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(module, torch.utils.data.DataLoader(torch.ones(3, 1), batch_size=1))
    return module.seen


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_lightning_takes_the_own_scheduler_and_cannot_stop_the_schedule_by_another():
    own = [FROM_ZERO(t) for t in range(6)]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert lightning_run(lambda opt: opt.scheduler()) == own
    assert theirs(found) == []
    with pytest.warns(UserWarning, match="RuleOptimizer goes on"):
        assert lightning_run(FOREIGN["LambdaLR"]) == own
