"""compat.transformers gives the rates that the Trainer uses."""

import warnings

import pytest
import torch
from harness import EPOCH, UPDATES, agree, follows, page, real
from torch_harness import Pairs, line, sgd, watched

from lrsched import Cosine, Warmup, compat, rules, warmup_cosine
from lrsched_torch import RuleOptimizer
from lrsched_torch._shared.jobs import Job

trainer_module = real("transformers.trainer", "transformers")
transformers = real("transformers", "transformers")
real("accelerate", "accelerate")


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = line()

    def forward(self, x, y):
        return {"loss": ((self.line(x) - y) ** 2).mean()}


def collate(rows):
    x, y = zip(*rows, strict=True)
    return {"x": torch.stack(x), "y": torch.stack(y)}


def train(folder, kind, updates=UPDATES, batches=EPOCH, resume=False, made=None, **options):
    """Return the rates that the updates of the Trainer used."""
    model = Line()
    optimizer, scheduler = made(model) if made else (sgd(model), None)
    used = watched(optimizer)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), learning_rate=0.1, lr_scheduler_type=kind, max_steps=UPDATES, use_cpu=True,
        per_device_train_batch_size=1, report_to=[], save_strategy="steps", save_steps=7, disable_tqdm=True,
        logging_strategy="no", **options,
    )  # fmt: skip
    stop = Stop(updates)
    trainer = trainer_module.Trainer(
        model, arguments, collate, Pairs(batches), optimizers=(optimizer, scheduler), callbacks=[stop]
    )
    trainer.train(resume_from_checkpoint=resume)
    return used


class Stop(transformers.TrainerCallback):
    """Stops a training before its end."""

    def __init__(self, updates):
        self.updates = updates

    def on_step_end(self, args, state, control, **more):
        control.should_training_stop |= state.global_step >= self.updates


KINDS = {
    "linear": {},
    "cosine": {},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 4},
}


def preset(kind):
    return compat.transformers.from_config(
        {
            "learning_rate": 0.1, "lr_scheduler_type": kind, "warmup_steps": 3, "max_steps": UPDATES,
            "lr_scheduler_kwargs": KINDS[kind],
        }
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_transformers(tmp_path, kind):
    agree("transformers", preset(kind), train(tmp_path, kind, warmup_steps=3, lr_scheduler_kwargs=KINDS[kind]))


def test_updates_are_counted_where_gradients_are_accumulated(tmp_path):
    used = train(tmp_path, "cosine", warmup_steps=3, gradient_accumulation_steps=2)
    agree("transformers", preset("cosine"), used)


def test_a_training_goes_on_from_the_middle_of_an_epoch(tmp_path):
    used = train(tmp_path, "cosine", updates=7, warmup_steps=3)
    used += train(tmp_path, "cosine", resume=True, warmup_steps=3)
    agree("transformers", preset("cosine"), used)


OWN = Warmup(3) >> Cosine(0.1, 0.0, steps=9)


def alone(model):
    return RuleOptimizer(model.parameters(), rules.SGD(), lr=OWN), None


def with_its_scheduler(model):
    optimizer, _ = alone(model)
    return optimizer, optimizer.scheduler()


@pytest.mark.parametrize("made", [alone, with_its_scheduler])
def test_an_optimizer_with_a_schedule_follows_it_whatever_scheduler_the_trainer_makes(tmp_path, made, monkeypatch):
    used = []
    # The hooks of a step run before the optimizer has looked at its groups.
    whole = Job.step
    monkeypatch.setattr(Job, "step", lambda job, *more: (used.append(job.groups[0]["lr"]), whole(job, *more))[1])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        train(tmp_path, "cosine", updates=7, made=made)
        train(tmp_path, "cosine", resume=True, made=made)
    told = [one for one in found if "RuleOptimizer goes on with its schedule" in str(one.message)]
    assert used == [OWN(t) for t in range(UPDATES)]
    assert len(told) == (2 if made is alone else 0)  # once for each of the two optimizers


class Log(transformers.TrainerCallback):
    """Keeps the rates that the Trainer logs, one for each update."""

    def __init__(self):
        self.rates = []

    def on_log(self, args, state, control, logs, **more):
        self.rates += [logs["learning_rate"]] if "learning_rate" in logs else []


PAGE_RUNS = {"save_strategy": "steps", "save_steps": 7, "use_cpu": True, "report_to": [], "disable_tqdm": True}
PAGE_RUNS |= {"per_device_train_batch_size": 1, "logging_steps": 1, "logging_nan_inf_filter": False}


def by_the_page(heading, folder, schedule, updates, resume, **options):
    """Return the rates that the updates used and those that were logged, in a training by the lines of the page."""
    used, log = [], Log()

    class Trainer(transformers.Trainer):
        def __init__(self, *given, train_dataset, **more):
            stop = [Stop(updates), log]
            super().__init__(*given, collate, train_dataset, callbacks=stop, **more)

        def create_optimizer(self, *given):
            made = super().create_optimizer(*given)
            made.register_step_pre_hook(lambda opt, *_: used.append(float(opt.param_groups[0]["lr"])))
            return made

    options = {"max_steps": UPDATES, **PAGE_RUNS, **options}
    if heading == "Hugging Face Trainer, its own scheduler":
        options.pop("max_steps")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        page(
            heading, torch=torch, Trainer=Trainer, TrainingArguments=transformers.TrainingArguments, model=Line(),
            args=transformers.TrainingArguments(str(folder), **options), data=Pairs(EPOCH), schedule=schedule,
            steps=UPDATES, folder=str(folder), options=options, resume=resume,
        )  # fmt: skip
    return used, log.rates


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("heading", "schedule"),
    [
        ("Hugging Face Trainer", OWN),
        ("Hugging Face Trainer, its own scheduler", warmup_cosine(0.1, steps=UPDATES, warmup=3)),
        ("Hugging Face Trainer, RuleOptimizer", OWN),
    ],
)
def test_the_page(tmp_path, heading, schedule, accumulate):
    """An update, and what is logged of it, have the rate of the schedule."""
    first, logged = by_the_page(heading, tmp_path, schedule, 7, False, gradient_accumulation_steps=accumulate)
    rest, more = by_the_page(heading, tmp_path, schedule, UPDATES, True, gradient_accumulation_steps=accumulate)
    rtol = 1e-14 if heading.endswith("its own scheduler") else 0.0  # transformers computes it another way
    follows(schedule, first, rest, rtol=rtol)
    follows(schedule, logged, more, rtol=rtol)
